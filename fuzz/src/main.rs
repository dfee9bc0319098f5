//! One of the fuzz targets, the one that `FUZZ_TARGET` names; scripts/fuzz.sh runs one after the other.

#![no_main]

#[path = "../../tests/fuzz/targets.rs"]
mod targets;

use std::sync::LazyLock;

static CHOSEN: LazyLock<fn(&[u8]) -> bool> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    targets::TARGETS.iter().find(|(known, _)| *known == name).expect("FUZZ_TARGET names a target").1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    CHOSEN(bytes);
});
