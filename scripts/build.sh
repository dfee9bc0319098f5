#!/usr/bin/env bash
# Builds the Worker, and the page it serves, into build/ with the tools that setup installed; does nothing while the build is newer than what it is
# made of. Both make and wrangler ([build] in wrangler.toml) call it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh

# Folders are among the sources, so that a file's removal counts too.
stamp=build/.built-from
page=build/page/index.html
build_page() {
  [ -f "$page" ] && [ -z "$(find page package-lock.json scripts/page.sh scripts/up/permissions.mjs -newer "$page")" ] || bash scripts/page.sh
}
if [ -f build/index.js ] && [ -f build/index_bg.wasm ] && [ -f "$stamp" ] \
  && [ -z "$(find src derive glue json Cargo.toml Cargo.lock package-lock.json scripts/build.sh scripts/columns.mjs scripts/names.mjs scripts/order.mjs scripts/tools.sh -newer "$stamp")" ]; then
  build_page
  exit 0
fi

if ! (use_wasm_toolchain) || ! has_npm_tools; then
  echo "build: tools are missing: run: make setup" >&2
  exit 1
fi
# A mark of an upload that was cut short is not this build's.
rm -f build/page/deployed.txt
echo "build: compiling the Worker (two to three minutes the first time)"
# The sources' time is that of the start: what is edited while the compiler runs is built the next time. What is half made is seen by
# nobody, and a build that fails leaves the one before.
mkdir -p "$tools" build
started=$tools/build-started.$$
new=$tools/build-new.$$
trap 'rm -rf "$started" "$new"' EXIT
: >"$started"
# What a snapshot was found unchanged by holds for the very code that found it so.
CONNECTOR_BUILD=$(find src derive json Cargo.toml Cargo.lock -type f | LC_ALL=C sort | xargs cat | cksum | tr ' ' -)
export CONNECTOR_BUILD
# Panics name source files without the folder they lie in here: whose machine built the Worker is nobody's business. And SHA-256's rounds are a loop, as
# its crate offers it: unrolled they are 2 KiB more of what is uploaded, and what a sync hashes the runtime does.
compiler_flags() {
  local sysroot flags
  sysroot=$("${RUSTC:-rustc}" --print sysroot)
  flags=$(printf '%s' "${RUSTFLAGS:-}" | tr -s ' ' '\037')
  printf '%s' "${flags:+$flags$'\037'}--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src/="
  printf '%s' $'\037'"--remap-path-prefix=$sysroot/lib/rustlib/src/rust/="
  printf '%s' $'\037--cfg=sha2_backend_soft="compact"'
}
# The other variable has wasm-bindgen's macros name what the crate `worker` was made for, as its own build tool sets it.
(
  use_wasm_toolchain
  CARGO_ENCODED_RUSTFLAGS=$(compiler_flags)
  export CARGO_ENCODED_RUSTFLAGS
  WASM_BINDGEN_USE_JS_SYS=1 cargo build --lib --release --target "$wasm_target"
) || exit 1
target=$(cargo metadata --no-deps --format-version 1 | node -p 'JSON.parse(require("node:fs").readFileSync(0)).target_directory')
# In a folder of its own: it does not wait for whoever compiles the tests at the same time.
cargo run --target-dir "$target/glue" -p glue -- "$target/$wasm_target/release/c1_cloudflare.wasm" "$new" "$(locked_version worker)"
cp src/worker/shim.js "$new/"
"$npm_bin/esbuild" "$new/shim.js" --bundle --minify --format=esm "--external:./index_bg.wasm" "--external:cloudflare:*" --log-level=warning \
  --outfile="$new/bundle.js"
# Without the word `source`, which wrangler does not know, the runtime takes the import for that of a module as well.
sed 's/import source \([A-Za-z0-9_$]* *from *"\.\/index_bg\.wasm"\)/import \1/' "$new/bundle.js" >"$new/index.js"
if grep -q 'import source' "$new/index.js"; then
  echo "build: the import of index_bg.wasm in $new/index.js is not written as this script knows it, and wrangler would not read it" >&2
  exit 1
fi
node scripts/columns.mjs "$new/index_bg.wasm"
node scripts/order.mjs "$new/index_bg.wasm"
node scripts/names.mjs take "$new/index_bg.wasm" "$new/index_bg.names"
mv "$new/index.js" "$new/index_bg.wasm" "$new/index_bg.names" build/
kib() { echo $((($1 + 1023) / 1024)); }
gzipped=$(kib "$(gzip -c build/index_bg.wasm | wc -c)")
echo "build: build/index_bg.wasm has $(kib "$(wc -c <build/index_bg.wasm)") KiB, $gzipped KiB gzipped; the functions' names are in build/index_bg.names"
if [ "$gzipped" -gt "$most_gzipped_kib" ]; then
  node scripts/weigh.mjs build/index_bg.wasm build/index_bg.names 15 >&2
  echo "build: that is above the bound of $most_gzipped_kib KiB in scripts/tools.sh: find out what grew before raising it" >&2
  # Another compiler than the one that the bound is held with makes another file, and nobody who deploys can do anything about it, from
  # a CI of their own either: .ci/run alone holds it.
  [ -z "${HOLD_SIZE:-}" ] || exit 1
fi
build_page
mv "$started" "$stamp"
