#!/usr/bin/env bash
# Builds the page that the Worker serves at / into build/page: one script, one style sheet, no request to any other host.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/tools.sh
. scripts/tools.sh
most_page_kib=80
"$npm_bin/tsc" --project page
# Two that build at once each have a folder of their own.
new=build/page.new.$$
trap 'rm -rf "$new"' EXIT
mkdir -p "$new"
"$npm_bin/esbuild" page/src/main.tsx --bundle --minify --format=esm --target=es2022 --jsx=automatic --jsx-import-source=preact --legal-comments=linked \
  --log-level=warning --outfile="$new/page.js"
"$npm_bin/esbuild" page/page.css --bundle --minify --target=es2022 --log-level=warning --outfile="$new/page.css"
cp page/index.html page/icon.svg page/_headers "$new/"
mkdir -p "$new/v1"
node page/openapi.mjs >"$new/v1/openapi.json"
# wrangler watches the folder, so it stays; what is not among the new files goes.
mkdir -p build/page
for old in build/page/*; do
  [ -e "$new/$(basename "$old")" ] || rm -rf "$old"
done
cp -R "$new"/* build/page/
gzipped=$((($(find build/page -maxdepth 1 -type f -exec cat {} + | gzip -c | wc -c) + 1023) / 1024))
echo "build: build/page has $gzipped KiB gzipped"
if [ "$gzipped" -gt "$most_page_kib" ]; then
  echo "build: that is above the bound of $most_page_kib KiB in scripts/page.sh" >&2
  exit 1
fi
