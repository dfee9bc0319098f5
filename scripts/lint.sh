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
if [ "${RUSTC_WORKSPACE_WRAPPER:-}" = clippy-driver ]; then
  # Clippy itself compiled the tests' programs (.ci/run), and the program that the Worker was built with it compiles in a moment. Cargo tells again
  # what it found.
  told=$(mktemp "${TMPDIR:-/tmp}/c1-cloudflare-lint.XXXXXX")
  trap 'rm -f "$told"' EXIT
  set -x
  cargo fmt --all --check
  cargo test --workspace --no-run 2>&1 | tee "$told"
  cargo build -p glue --target-dir target/glue 2>&1 | tee -a "$told"
  { set +x; } 2>/dev/null
  unset RUSTC_WORKSPACE_WRAPPER
  if grep -q '^warning' "$told"; then
    echo "lint: there are warnings above, and none may be there" >&2
    exit 1
  fi
  set -x
else
  set -x
  cargo fmt --all --check
  cargo clippy --workspace --all-targets -- -D warnings
fi
# As the demo and the measurements are compiled: without what only tests need.
cargo clippy -p sim -p counts --bins --features sim/bench -- -D warnings
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
