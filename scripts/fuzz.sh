#!/usr/bin/env bash
# Runs each fuzz target for some seconds (SECONDS_EACH, 60 unless told), or the one that is named; ten seconds for one input are a failure too. What is
# found new is kept in fuzz/corpus, which git ignores; what a target falls over at is in fuzz/artifacts, and belongs into tests/fuzz/corpus once it is mended.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "fuzz: a nightly Rust is missing: run: rustup toolchain install nightly --profile minimal" >&2
  exit 1
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "fuzz: cargo-fuzz is missing: run: cargo install cargo-fuzz --locked" >&2
  exit 1
fi
failed=""
for corpus in tests/fuzz/corpus/*/; do
  target=$(basename "$corpus")
  if [ -n "${1:-}" ] && [ "$1" != "$target" ]; then continue; fi
  mkdir -p "fuzz/corpus/$target"
  echo "fuzz: $target"
  FUZZ_TARGET=$target cargo +nightly fuzz run target "fuzz/corpus/$target" "$corpus" -- \
    -max_total_time="${SECONDS_EACH:-60}" -max_len=20000 -timeout=10 -verbosity=0 -print_funcs=0 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target-" || failed="$failed $target"
done
if [ -n "$failed" ]; then
  echo "fuzz: these fell over:$failed; the bytes are in fuzz/artifacts" >&2
  exit 1
fi
