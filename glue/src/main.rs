//! Makes of the compiled Worker the wasm that the runtime loads and the JavaScript module that imports it.
//!
//!     glue target/wasm32-unknown-unknown/release/c1_cloudflare.wasm FOLDER SDK_VERSION
//!
//! leaves `index.js` and `index_bg.wasm` in the folder, as Cloudflare's worker-build has them made by wasm-bindgen. Those two tools bring
//! HTTP clients, archives and a web server, which take minutes to compile and which no build here uses.

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &'static str| arguments.next().context(what);
    let (wasm, folder) = (next("the compiled wasm is not named")?, next("the folder to write to is not named")?);
    let sdk_version = next("the version of the crate `worker` is not given")?;
    let mut output = Bindgen::new()
        .module(true)?
        .input_path(wasm)
        .out_name("index")
        .typescript(false)
        // `src/worker/shim.js` begins anew with these after a panic.
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate_output()?;
    // Cloudflare counts by it what Workers are made with.
    output.wasm_mut().producers.add_sdk("workers-rs", &sdk_version);
    output.emit(folder)
}
