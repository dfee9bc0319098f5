//! `scripts/names.mjs`: the names of functions leave the wasm, and a stack trace gets them back. `scripts/order.mjs`: alike functions stand side by side.
//! `scripts/columns.mjs`: a panic tells file and line alone.

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
    node(&[&[script.to_str().unwrap()], arguments].concat(), input)
}

fn node(arguments: &[&str], input: &str) -> (bool, String, String) {
    let mut node = Command::new("node")
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

#[test]
fn a_panic_tells_its_file_and_line_and_whatever_else_is_like_that_stays() {
    let folder = std::env::temp_dir().join(format!("c1-cloudflare-columns-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("a.wasm");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/columns.mjs");
    let numbers = |all: [u32; 4]| all.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    // The first part is loaded at 64, the second one at 0x1000, where the names are; a third is loaded by instructions.
    let wasm = |columns: [u32; 2]| {
        let first = [
            numbers([0x1000, 8, 12, columns[0]]),
            numbers([0x1008, 8, 12, 5]),
            numbers([0x1000, 7, 12, 5]),
            numbers([0x1010, 8, 12, 5]),
            numbers([0x1000, 8, 0, 5]),
            numbers([7, 0x1000, 8, 900]),
            numbers([columns[1], 0, 0, 0]),
        ]
        .concat();
        let parts = [
            &[3, 0, 0x41, 0xc0, 0, 0x0b][..],
            &counted(&first),
            &[0, 0x41, 0x80, 0x20, 0x0b],
            &counted(b"src/a.rssrc/a.md"),
            &[1, 2, 0, 0x10],
        ]
        .concat();
        [b"\0asm\x01\0\0\0".to_vec(), section(5, &[1, 0, 1]), section(11, &parts)].concat()
    };
    std::fs::write(&file, wasm([77, 31])).unwrap();
    let run = || node(&[script.to_str().unwrap(), file.to_str().unwrap()], "");
    for _ in 0..2 {
        let (done, _, error) = run();
        assert!(done, "{error}");
        assert_eq!(
            std::fs::read(&file).unwrap(),
            wasm([0, 0]),
            "places that begin at any four bytes, and nothing else"
        );
    }
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    assert!(run().0, "one without data stays");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A length, then the bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let [low, high] = [bytes.len() % 128, bytes.len() / 128].map(|part| u8::try_from(part).unwrap());
    assert!(high < 128);
    let length: &[u8] = if high == 0 { &[low] } else { &[low | 0x80, high] };
    [length, bytes].concat()
}

fn section(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![kind], counted(bytes)].concat()
}

/// A wasm with all that names functions by number: calls, a table, a reference, exports, a start, a section of names. Functions 0 and 3 are alike,
/// 8 is the same as 0, 7 is the same as 6, both are the same as 5 where 8 is 0, 9 is the same as 0 but for its type,
/// and 10 has a parameter and locals of two types, the last of which it uses most, and reads memory, aligned as it says.
fn wasm_of_functions() -> Vec<u8> {
    let alike = |last: u8| {
        [&[0][..], &[0x41, 3, 0x41, 5, 0x6c, 0x41, 11, 0x6a, 0x41, 2, 0x6b, 0x41, last, 0x6a, 0x0b]].concat()
    };
    let bodies = [
        alike(1),
        // The start: sets the global.
        [&[0][..], &[0x41, 7, 0x24, 0, 0x0b]].concat(),
        // Calls 3 and adds the global; before it a block with a branch table.
        [&[1, 1, 0x7f][..], &[0x02, 0x40, 0x41, 0, 0x0e, 1, 0, 0, 0x0b, 0x10, 3, 0x23, 0, 0x6a, 0x0b]].concat(),
        alike(4),
        // Calls what the table has first, then what it has as a reference.
        [&[0][..], &[0x41, 0, 0x11, 0, 0, 0x41, 1, 0x11, 0, 0, 0x6c, 0x0b]].concat(),
        vec![0, 0x10, 0, 0x0b],
        vec![0, 0x10, 8, 0x0b],
        vec![0, 0x10, 8, 0x0b],
        alike(1),
        alike(1),
        [
            &[3, 1, 0x7f, 1, 0x7e, 1, 0x7f][..],
            &[0x41, 5, 0x21, 1, 0x42, 9, 0x21, 2, 0x41, 7, 0x22, 3, 0x20, 3, 0x6a, 0x20, 3, 0x6a],
            &[0x20, 1, 0x6a, 0x20, 2, 0xa7, 0x6a, 0x20, 0, 0x6a, 0x20, 0, 0x28, 2, 4, 0x6a, 0x0b],
        ]
        .concat(),
    ];
    let code: Vec<u8> = bodies.iter().flat_map(|body| counted(body)).collect();
    let names: Vec<u8> = (0..11).zip(*b"asbcdfgiehj").flat_map(|(index, name)| [index, 1, name]).collect();
    let names = [&[11][..], &names].concat();
    let exports: Vec<u8> = (*b"abcdefghij")
        .into_iter()
        .zip([0, 2, 3, 4, 8, 5, 6, 9, 7, 10])
        .flat_map(|(name, index)| [1, name, 0, index])
        .collect();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[3, 0x60, 0, 1, 0x7f, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, &[11, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2]),
        section(4, &[1, 0x70, 0, 2]),
        section(5, &[1, 0, 1]),
        section(6, &[1, 0x7f, 1, 0x41, 0, 0x0b]),
        section(7, &[&[10][..], &exports].concat()),
        section(8, &[1]),
        section(9, &[2, 0, 0x41, 0, 0x0b, 1, 2, 4, 0x41, 1, 0x0b, 1, 0xd2, 3, 0x0b]),
        section(10, &[&[11][..], &code].concat()),
        section(0, &[&b"\x04name\x01"[..], &counted(&names)].concat()),
    ]
    .concat()
}

#[test]
fn functions_do_the_same_once_each_and_in_another_order_in_which_those_that_are_alike_stand_together() {
    let folder = std::env::temp_dir().join(format!("c1-cloudflare-order-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (wasm_file, names_file) = (folder.join("a.wasm"), folder.join("a.names"));
    std::fs::write(&wasm_file, wasm_of_functions()).unwrap();
    let files = [wasm_file.to_str().unwrap(), names_file.to_str().unwrap()];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/order.mjs");
    let order = || node(&[script.to_str().unwrap(), files[0]], "");
    let run = "const wasm = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
        const all = new WebAssembly.Instance(wasm).exports;
        console.log(...Object.keys(all).map((name) => `${name}=${all[name]()}#${all[name].name}`));";
    let result = || node(&["-e", run, files[0]], "").1;
    // What a function is called in the engine is its number.
    assert_eq!(result(), "a=25#0 b=35#2 c=28#3 d=980#4 e=25#8 f=25#5 g=25#6 h=25#9 i=25#7 j=35#10\n");
    let (done, _, error) = order();
    assert!(done, "{error}");
    assert_eq!(result(), "a=25#0 b=35#4 c=28#2 d=980#5 e=25#0 f=25#6 g=25#6 h=25#1 i=25#6 j=35#7\n");
    let ordered = std::fs::read(&wasm_file).unwrap();
    // Two of one type, of which the most used is the first, then one of the other: the third is set as the first behind the parameter.
    let locals = [2, 2, 0x7f, 1, 0x7e, 0x41, 5, 0x21, 2];
    assert!(ordered.windows(locals.len()).any(|bytes| bytes == locals), "{ordered:x?}");
    assert!(
        ordered.windows(5).any(|bytes| bytes == [0x20, 0, 0x28, 0, 4]),
        "a hint without a meaning is the same everywhere: {ordered:x?}"
    );
    assert!(order().0);
    assert_eq!(std::fs::read(&wasm_file).unwrap(), ordered, "what is in order stays as it is");
    assert!(names(&["take", files[0], files[1]], "").0);
    // Of those that were the same the first has its name.
    for (index, name) in ["a", "h", "c", "s", "b", "d", "f", "j"].into_iter().enumerate() {
        let frame = format!("wasm-function[{index}]");
        assert_eq!(names(&["read", files[1]], &frame).1, format!("{frame} ({name})"));
    }
    assert_eq!(names(&["read", files[1]], "wasm-function[8]").1, "wasm-function[8]");
    // Where an instruction is not known, the file stays, and nobody is kept from deploying it.
    let unknown = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &[1, 0x60, 0, 0]),
        &section(3, &[1, 0]),
        &section(10, &[1, 4, 0, 0xfe, 0, 0x0b]),
    ]
    .concat();
    std::fs::write(&wasm_file, &unknown).unwrap();
    let (done, _, error) = order();
    assert!(done && error.contains("0xfe is not known") && error.contains("compiler's order"), "{error}");
    assert_eq!(std::fs::read(&wasm_file).unwrap(), unknown);
    std::fs::remove_dir_all(&folder).unwrap();
}
