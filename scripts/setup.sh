#!/usr/bin/env bash
# Finds out what this machine lacks to build, test and deploy the Worker, and installs only that, pinned: the tools go
# into .tools/ and node_modules/ of this folder, the wasm32 target into the Rust toolchain. Where everything is in place it
# says so in one line. With the argument `tests` also what the tests alone need: scim2-tester, schemathesis and
# the SDKs of Cloudflare and ConductorOne, in a Python environment of their own, and a browser. With that one or `runtime`
# it fails where the Workers runtime does not start, which what deploys does without.
# Needs nothing but Rust, Node, make and a C compiler, and of the network the package registries.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh

least_rust=1.91
least_node=20
least_python=3.11
log=$tools/setup.log

say() { printf 'setup: %s\n' "$*"; }

# Ends with the last lines of the log, for the person who has to find out why.
fail() {
  printf 'setup: %s\n' "$1" >&2
  if [ -s "$log" ]; then
    printf 'setup: the end of %s:\n' "$log" >&2
    tail -n 20 "$log" >&2
  fi
  exit 1
}

# Whether version $1 is at least version $2, compared by their first two numbers.
at_least() {
  awk -v have="$1" -v want="$2" 'BEGIN {
    split(have, h, /[^0-9]+/); split(want, w, /[^0-9]+/)
    exit !(h[1] + 0 > w[1] + 0 || (h[1] + 0 == w[1] + 0 && h[2] + 0 >= w[2] + 0)) }'
}

# What only the person can install is told all at once, each with what to do about it.
check_prerequisites() {
  local problems="" compiler
  problem() { problems="$problems
  - $1"; }
  rust_version=$(rustc --version 2>/dev/null | awk '{ print $2 }') || rust_version=""
  if [ -z "$rust_version" ] || ! command -v cargo >/dev/null; then
    problem "Rust $least_rust or later is missing: install it with rustup, as https://rustup.rs says"
  elif ! at_least "$rust_version" "$least_rust"; then
    problem "Rust is $rust_version, and $least_rust or later is needed: run: rustup update stable"
  fi
  node_version=$(node --version 2>/dev/null) || node_version=""
  node_version=${node_version#v}
  if [ -z "$node_version" ] || ! command -v npm >/dev/null; then
    problem "Node $least_node or later with npm is missing: install it as https://nodejs.org/en/download says"
  elif ! at_least "$node_version" "$least_node"; then
    problem "Node is $node_version, and $least_node or later is needed: install it as https://nodejs.org/en/download says"
  fi
  if ! command -v cc >/dev/null && ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then
    case $(uname -s) in
      Darwin) compiler="xcode-select --install" ;;
      *) compiler="apt-get install build-essential (or your system's own way)" ;;
    esac
    problem "a C compiler is missing, which Rust links programs with: run: $compiler"
  fi
  if [ -n "$problems" ]; then
    say "this has to be put right first:$problems" >&2
    exit 1
  fi
}

# The compiler's wasm32 target: from rustup, or else from Debian's packages.
install_wasm_target() {
  if command -v rustup >/dev/null; then
    say "adding the $wasm_target target to the Rust toolchain, which compiles the Worker"
    if rustup target add "$wasm_target" >>"$log" 2>&1 && has_wasm_target rustc; then return; fi
    say "rustup could not add the target here"
  fi
  if ! command -v apt-get >/dev/null || ! apt_offers_rust; then
    fail "Rust's $wasm_target target is missing: run: rustup target add $wasm_target"
  fi
  install_debian_rust
}

# Debian's Rust, with a standard library for wasm32 that is compiled here from Debian's source of it.
install_debian_rust() {
  local missing="" package build=$tools/build/std
  for package in $debian_packages; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$'; then missing="$missing $package"; fi
  done
  if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
      fail "Rust's $wasm_target target is missing: run: sudo apt-get install$missing, and this again"
    fi
    say "installing Debian's packages$missing, whose Rust can compile for wasm32"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >>"$log" 2>&1 \
      || fail "apt-get could not install$missing"
  fi
  say "compiling Rust's standard library for wasm32 from Debian's source, since Debian has no such package (half a minute)"
  rm -rf "$build" "$own_rust"
  mkdir -p "$build/src" "$own_rust/bin" "$own_rust/lib/rustlib/$wasm_target/lib"
  printf '[package]\nname = "empty"\nedition = "2024"\n[workspace]\n' >"$build/Cargo.toml"
  : >"$build/src/lib.rs"
  # Without the bitcode, link-time optimisation of the Worker fails.
  (
    cd "$build"
    RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort,proc_macro RUSTFLAGS=-Cembed-bitcode=yes \
      RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$build/target" \
      /usr/bin/cargo build --release --target "$wasm_target"
  ) >>"$log" 2>&1 || fail "the standard library did not compile"
  rm -f "$build/target/$wasm_target"/release/deps/libempty-*
  cp "$build/target/$wasm_target"/release/deps/*.rlib "$own_rust/lib/rustlib/$wasm_target/lib/"
  # The toolchain is Debian's but for that library: the rest of its sysroot is linked, so that nothing is written to /usr.
  local sysroot entry
  sysroot=$(/usr/bin/rustc --print sysroot)
  for entry in "$sysroot"/lib/rustlib/*; do
    if [ "$(basename "$entry")" != "$wasm_target" ]; then ln -s "$entry" "$own_rust/lib/rustlib/"; fi
  done
  printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "%s" "$@"\n' "$own_rust" >"$own_rust/bin/rustc"
  chmod +x "$own_rust/bin/rustc"
  ln -s /usr/bin/cargo "$own_rust/bin/cargo"
  has_wasm_target "$own_rust/bin/rustc" || fail "the standard library was compiled, but is not where it should be"
  rm -rf "$tools/build"
}

# Whether Debian's Rust can be had and is new enough; the package lists are fetched where there are none yet.
apt_offers_rust() {
  offered_rust() { apt-cache policy rustc-web 2>/dev/null | awk '$1 == "Candidate:" { print $2 }'; }
  if ! at_least "$(offered_rust)" "$least_rust" && [ "$(id -u)" = 0 ]; then
    say "fetching Debian's package lists, to look for a Rust that compiles for wasm32"
    apt-get update -q >>"$log" 2>&1 || true
  fi
  at_least "$(offered_rust)" "$least_rust"
}

# Whether the Workers runtime starts, of which npm has no build for an older system.
has_runtime() { "$npm_bin/workerd" --version >>"$log" 2>&1; }
no_runtime="the Workers runtime (npm's workerd) does not start on this machine: it needs glibc 2.35, or macOS 13.5, or later"

install_npm_tools() {
  npm ci --ignore-scripts --no-audit --no-fund >>"$log" 2>&1 || fail "npm ci failed"
  cp package-lock.json "$npm_stamp"
  if ! has_runtime; then say "$no_runtime; what deploys does without it, and make test, demo, dev and bench will not run here"; fi
}

# The Python environment of the tests. Debian has the part of Python that makes one in a package of its own.
install_python_tools() {
  local version package=python3-venv
  version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version=""
  if [ -n "$version" ] && ! at_least "$version" "$least_python"; then
    fail "Python is $version, and $least_python or later is needed for the tests: install it as https://www.python.org/downloads says"
  fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    if ! command -v apt-get >/dev/null; then
      fail "Python $least_python or later with venv is missing, which the tests need: install it as https://www.python.org/downloads says"
    elif [ "$(id -u)" != 0 ]; then
      fail "Python $least_python or later with venv is missing, which the tests need: run: sudo apt-get install $package, and this again"
    fi
    say "installing Debian's package $package, which makes the Python environment of the tests"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $package; } \
      >>"$log" 2>&1 || fail "apt-get could not install $package"
  fi
  rm -rf "$python_tools"
  python3 -m venv "$python_tools" >>"$log" 2>&1 || fail "the Python environment of the tests could not be made"
  "$python_tools/bin/python" -m pip install --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    -r "$python_requirements" >>"$log" 2>&1 || fail "the packages of $python_requirements could not be installed"
  cp "$python_requirements" "$python_tools/.installed-requirements.txt"
}

# A browser for the tests: Debian's, where this may install it.
install_browser() {
  if ! command -v apt-get >/dev/null; then
    fail "Chromium or Chrome is missing, which the tests of the page need: install it, or set CHROME to its program, and run this again"
  elif [ "$(id -u)" != 0 ]; then
    fail "Chromium or Chrome is missing, which the tests of the page need: run: sudo apt-get install chromium, and this again"
  fi
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium; } >>"$log" 2>&1 \
    || fail "apt-get could not install chromium"
}

check_prerequisites
mkdir -p "$tools"
: >"$log"

# Starts an installation beside those that follow, with a log of its own: both wait for the network.
beside() {
  local name=$1
  shift
  (
    log=$tools/setup-$name.log
    : >"$log"
    "$@"
  ) &
  running="$running $!"
}

# What the tests need beside the build's tools; both may want apt-get, which one can have at a time.
install_tools_of_tests() {
  if ! has_python_tools; then
    say "installing scim2-tester, schemathesis and the SDKs of Cloudflare and ConductorOne into .tools/python, for the tests"
    install_python_tools
  fi
  if ! has_browser; then
    say "installing Debian's Chromium, which the tests click through the page with"
    install_browser
  fi
}

running=""
if ! (use_wasm_toolchain); then install_wasm_target; fi
if ! has_npm_tools; then
  say "installing esbuild, TypeScript, wrangler, the Workers runtime and what the page is made of from npm, which bundle, check, run and deploy it"
  beside npm install_npm_tools
fi
if [ "${1:-}" = tests ]; then beside tests install_tools_of_tests; fi
for job in $running; do wait "$job" || exit 1; done
# A platform without a prebuilt runtime shows here, not in the middle of the tests.
case "${1:-}" in tests | runtime) has_runtime || fail "$no_runtime" ;; esac
[ "${1:-}" = runtime ] || say "everything is in place (Rust $rust_version, Node $node_version)"
