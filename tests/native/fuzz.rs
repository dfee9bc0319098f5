//! The fuzz targets, for as long as a test may take: bytes made from the committed corpora by a seeded random. `make fuzz` runs the same
//! targets with a fuzzer that looks where it gets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::fuzz_targets::TARGETS;

/// What a target may meet at the edges of its grammar.
const WORDS: [&str; 18] = [
    "\"", "\\", "{", "}", "[", "]", ",", ":", ".", "@", "null", "-1", "1e999", "\\u0000", "\u{fffd}", "é", "\u{200d}",
    " and ",
];

fn changed(random: &mut fastrand::Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.choice(corpus).unwrap().clone();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(0..=bytes.len());
        let to = (at + random.usize(0..8)).min(bytes.len());
        match random.u8(0..6) {
            0 if at < bytes.len() => bytes[at] = random.u8(..),
            1 => drop(bytes.drain(at..to)),
            2 => drop(bytes.splice(at..at, random.choice(WORDS).unwrap().bytes())),
            3 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again.repeat(random.usize(1..40)));
            }
            4 => {
                let other = random.choice(corpus).unwrap();
                let from = random.usize(0..=other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn no_target_falls_over_whatever_the_bytes_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let rounds = if std::env::var_os("SOAK").is_some() { 500_000 } else { 1_500 };
    for (name, target) in TARGETS {
        let mut files: Vec<_> =
            std::fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        let mut random = fastrand::Rng::with_seed(11);
        let made = (0..rounds).map(|_| changed(&mut random, &corpus));
        let mut read = 0;
        for bytes in corpus.iter().cloned().chain(made) {
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            let text = String::from_utf8_lossy(&bytes);
            read += usize::from(outcome.unwrap_or_else(|_| panic!("{name} falls over at {text:?}")));
        }
        // A corpus of which nothing is read looks at nothing but the first refusal.
        assert!(read > rounds / 50, "{name} reads {read} of {rounds}");
    }
}
