//! `scripts/names.mjs`: the names of functions leave the wasm, and a stack trace gets them back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A wasm with a type section, a section of names that calls function 7 `_ZN5alpha4beta17h0123456789abcdefE`, and a custom
/// section that stays.
fn wasm() -> Vec<u8> {
    let name = b"_ZN5alpha4beta17h0123456789abcdefE";
    let mut functions = vec![1, 7, u8::try_from(name.len()).unwrap()];
    functions.extend_from_slice(name);
    let mut names = b"\x04name".to_vec();
    names.extend([1, u8::try_from(functions.len()).unwrap()]);
    names.extend(functions);
    let mut wasm = b"\0asm\x01\0\0\0\x01\x01\0".to_vec();
    wasm.extend([0, u8::try_from(names.len()).unwrap()]);
    wasm.extend(names);
    wasm.extend(b"\0\x06\x05other");
    wasm
}

fn names(arguments: &[&str], input: &str) -> (bool, String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/names.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Where the script does not read, it may be gone already.
    let _ = node.stdin.take().unwrap().write_all(input.as_bytes());
    let output = node.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_trace_is_readable_with_the_names_that_were_taken_out() {
    let folder = std::env::temp_dir().join(format!("c1-cloudflare-names-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (wasm_file, names_file) = (folder.join("a.wasm"), folder.join("a.names"));
    std::fs::write(&wasm_file, wasm()).unwrap();
    let files = [wasm_file.to_str().unwrap(), names_file.to_str().unwrap()];
    assert!(names(&["take", files[0], files[1]], "").0);
    assert_eq!(std::fs::read(&wasm_file).unwrap(), b"\0asm\x01\0\0\0\x01\x01\0\0\x06\x05other");
    let (_, trace, _) = names(&["read", files[1]], "at wasm://x:wasm-function[7]:0x1\nat wasm-function[8]\n");
    assert_eq!(trace, "at wasm://x:wasm-function[7] (alpha::beta):0x1\nat wasm-function[8]\n");
    // A wasm without names stays as it is, and the names that were taken out before are kept.
    assert!(names(&["take", files[0], files[1]], "").0);
    assert!(names(&["read", files[1]], "wasm-function[7]").1.contains("alpha::beta"));
    std::fs::write(&wasm_file, b"\0asm\x01\0\0\0\x01\x7f\0").unwrap();
    let (done, _, error) = names(&["take", files[0], files[1]], "");
    assert!(!done && error.contains("ends in the middle"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}
