# Sourced by the other scripts: which tools the build needs, at which versions, and where they are.
# Everything here works in bash 3.2, which is what macOS has. The caller stands in the project's folder.

wasm_target=wasm32-unknown-unknown
tools=$PWD/.tools
npm_bin=$PWD/node_modules/.bin
# A Rust toolchain that has the wasm32 target, made by setup only where rustup cannot install that target.
own_rust=$tools/rust
# Debian's Rust for the web browsers, its standard library's source, and the linker for wasm32.
debian_packages="rustc-web cargo-web rust-web-src lld-19"
debian_linker=wasm-ld-19

# The version of a crate in Cargo.lock.
locked_version() {
  awk -v name="\"$1\"" '
    $1 == "name" { found = ($3 == name) }
    $1 == "version" && found { gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}

# Whether the rustc of the given name can compile for wasm32.
has_wasm_target() {
  local sysroot
  sysroot=$("$1" --print sysroot 2>/dev/null) || return 1
  compgen -G "$sysroot/lib/rustlib/$wasm_target/lib/libcore-*.rlib" >/dev/null
}

# Makes `cargo` and `rustc` mean a toolchain with the wasm32 target; fails where there is none.
use_wasm_toolchain() {
  if has_wasm_target rustc; then return 0; fi
  has_wasm_target "$own_rust/bin/rustc" || return 1
  export PATH="$own_rust/bin:$PATH" RUSTC="$own_rust/bin/rustc"
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$debian_linker
}

# Whether node_modules is what package-lock.json says: setup leaves a copy of the lock file it installed from.
npm_stamp=node_modules/.installed-package-lock.json
has_npm_tools() { cmp -s package-lock.json "$npm_stamp"; }

# The Python environment of the tests (scim2-tester, schemathesis and the two services' own SDKs), and the copy of the list it was installed from.
python_tools=$tools/python
python_requirements=tests/scim/requirements.txt
has_python_tools() {
  "$python_tools/bin/python" -c 'import scim2_tester, cloudflare, conductorone_sdk' 2>/dev/null && cmp -s "$python_requirements" "$python_tools/.installed-requirements.txt"
}

# The browser that the tests click through the page with: CHROME, or where systems have one. tests/wrangler/page.mjs looks in the same places.
has_browser() {
  local path
  for path in "${CHROME:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$path" ] && [ -x "$path" ]; then return 0; fi
  done
  return 1
}

# The most that the Worker's wasm may have, gzipped and without names; with HOLD_SIZE, as .ci/run has it, a build above it fails. Cloudflare takes 3 MB on the free plan.
most_gzipped_kib=900
