#!/usr/bin/env bash
# Checks the formatting and the lints, of the native code with its tests and of the Worker as it is compiled for wasm32.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh

if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
  echo "lint: rustfmt or clippy is missing: run: rustup component add rustfmt clippy" >&2
  exit 1
fi
set -x
cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings
# As the demo and the measurements are compiled: without what only tests need.
cargo clippy -p sim --bins --features bench -- -D warnings
{ set +x; } 2>/dev/null
if has_wasm_target rustc; then
  set -x
  cargo clippy --lib --target "$wasm_target" -- -D warnings
else
  # Debian's Rust has no clippy of its version: the compiler's own warnings have to do.
  use_wasm_toolchain
  set -x
  RUSTFLAGS=-Dwarnings cargo check --lib --target "$wasm_target"
fi
