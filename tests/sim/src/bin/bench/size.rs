//! How large the Worker is.

use std::process::Command;

use sim::harness::Options;

use crate::table;

/// Tells the size of the WebAssembly, raw and as it is counted against the plans' limits.
pub(crate) fn measure() -> Result<(), String> {
    let wasm = Options::default().build_dir.join("index_bg.wasm");
    let raw = std::fs::metadata(&wasm).map_err(|error| format!("{}: {error}; run `make build`", wasm.display()))?.len();
    let packed = Command::new("gzip").arg("-9c").arg(&wasm).output().ok().filter(|output| output.status.success());
    let rows = [vec![
        table::kib(usize::try_from(raw).unwrap_or(usize::MAX)),
        table::known(packed, |output| table::kib(output.stdout.len())),
    ]];
    table::print("Size of the Worker's WebAssembly", &["raw", "gzip -9"], &rows);
    Ok(())
}
