#!/usr/bin/env bash
# Makes a tree that holds all that a deployment needs and nothing to compile: the built Worker, its page, the configuration, the programs
# behind `make up`, and checksums. It is what the branch behind a Deploy to Cloudflare button holds; docs/deploying.md says how that is
# published. FOLDER says where the tree goes, REPOSITORY which address the button in it leads to.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${FOLDER:-dist/release}
repository=${REPOSITORY:-}

# What is there goes. Only a tree that was made here may: in another folder there is something of somebody's.
if [ -e "$folder" ] && { [ -e "$folder/.git" ] || [ ! -f "$folder/SHA256SUMS" ]; } && [ -n "$(ls -A "$folder" 2>/dev/null || echo "no folder")" ]; then
  echo "release: $folder is there, and is no tree that this made before: give another FOLDER, and copy from it" >&2
  exit 2
fi
# Nor one that somebody works in: what is installed or written there, or its own account, nobody could give back.
used=
if [ -e "$folder" ]; then
  used=$(ls -A "$folder" | grep -vxE 'build|scripts|LICENSE|README\.md|SHA256SUMS|package\.json|wrangler\.toml|\.dev\.vars\.example|\.gitignore' | tr '\n' ' ' || true)
  if grep -qsE '^CLOUDFLARE_ACCOUNT_ID *= *"[^"]' "$folder/wrangler.toml"; then used="$used"'wrangler.toml (CLOUDFLARE_ACCOUNT_ID)'; fi
fi
if [ -n "$used" ]; then
  echo "release: $folder is in use, since it has more than was released: ${used% }; give another FOLDER, and copy from it" >&2
  exit 2
fi
# What is published is everybody's: a deployment's own account, tenant, address and switches are not.
own=$(node --input-type=module -e '
  import { SHIPPED, Settings } from "./scripts/up/settings.mjs";
  const settings = new Settings();
  const own = [...settings.variables()].filter(([name, value]) => value !== SHIPPED[name]).map(([name]) => name);
  if (settings.namesNamespace) own.push("the id of a KV namespace");
  own.push(...["route", "routes", "account_id", "env"].filter((key) => settings.has(key)));
  console.log(own.join(", "));
')
if [ -n "$own" ]; then
  echo "release: wrangler.toml has values of a deployment: $own; release from a clone of its own, with wrangler.toml as it is in the repository" >&2
  exit 2
fi
bash scripts/build.sh
rm -rf "$folder"
mkdir -p "$folder/build" "$folder/scripts"
cp build/index.js build/index_bg.wasm "$folder/build/"
cp -R build/page "$folder/build/"
cp -R scripts/up scripts/up.mjs scripts/down.mjs scripts/connect.mjs "$folder/scripts/"
cp LICENSE .dev.vars.example "$folder/"
# What holds secrets, and what is installed or left behind there.
printf '/%s\n' node_modules .wrangler .dev.vars headers.txt >"$folder/.gitignore"
# Nothing is built there: Rust is not among what Cloudflare builds with.
awk '/^\[/ { skip = ($0 == "[build]") } !skip' wrangler.toml >"$folder/wrangler.toml"
# There is no Makefile there, and no docs/.
for file in wrangler.toml .dev.vars.example; do
  sed -e 's/`make up`/`npm run up`/g' -e 's/`make dev`/`npx wrangler dev`/g' -e '/^# docs\//d' -e 's/; see docs\/[a-z-]*\.md$//' "$folder/$file" >"$folder/$file.new"
  mv "$folder/$file.new" "$folder/$file"
done
# Of the tools only wrangler is needed there, at the version that deploys from here.
node -e '
  const { name, license, engines, cloudflare, devDependencies: { wrangler } } = require("./package.json");
  const description = "Connects a Cloudflare account to ConductorOne: the Worker, its page and the programs that deploy it, ready built";
  const scripts = {
    build: "node scripts/check.mjs", deploy: "wrangler deploy",
    up: "node scripts/up.mjs", down: "node scripts/down.mjs", connect: "node scripts/connect.mjs",
  };
  console.log(JSON.stringify({ name, private: true, description, license, type: "module", engines, scripts, dependencies: { wrangler }, cloudflare }, null, 2));
' >"$folder/package.json"
cat >"$folder/scripts/check.mjs" <<'END'
// Holds what is to be deployed against the checksums that came with it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const lines = readFileSync("SHA256SUMS", "utf8").split("\n").filter((line) => line !== "");
const wrong = lines.filter((line) => {
  const [sum, path] = line.split("  ");
  try {
    return createHash("sha256").update(readFileSync(path)).digest("hex") !== sum;
  } catch {
    return true;
  }
});
for (const line of wrong) console.error(`check: ${line.split("  ")[1]} is not what was released`);
if (lines.length === 0 || wrong.length > 0) process.exit(1);
console.log(`check: ${lines.length} files are as they were released`);
END
{
  printf '# c1-cloudflare, built\n\nConductorOne'\''s connector to Cloudflare, ready to be deployed: nothing is compiled here.\n\n'
  if [ -n "$repository" ]; then
    printf '[![Deploy to Cloudflare](https://deploy.workers.cloudflare.com/button)](https://deploy.workers.cloudflare.com/?url=%s)\n\n' "$repository"
  fi
  printf 'Or: `npm install`, and `npm run up`, which asks for what it needs to know, deploys, and syncs. After a deployment by the button open the\n'
  printf 'Worker'\''s address in a browser: it says what is still missing. `npm run down` takes everything away again.\n\n'
  # GitHub and GitLab both know the default branch by this name.
  if [ -n "$repository" ]; then printf 'The documents are at %s/tree/HEAD/docs.\n\n' "${repository%%/tree/*}"; fi
  cat <<'END'
Variables stand under `[vars]` in `wrangler.toml`: set them there, and deploy. One that is set in the dashboard alone stays only where that
file does not name it. Secrets are set in the dashboard, or with `npx wrangler secret put <name>`.

## Into ConductorOne

1. Let ConductorOne take the account in. A file is enough to begin with: `/v1/export/sync.c1z` of the Worker, with `CONNECTOR_TOKEN` as bearer
   token; in ConductorOne, *Import app data* → *From file*. The project's own documents have the other paths.
2. Set an API key of ConductorOne's as the secrets `C1_CLIENT_ID` and `C1_CLIENT_SECRET`.
3. Point the entitlements at the Worker, with `CONNECTOR_TOKEN` as `TOKEN` in the environment: `URL=https://… DRY_RUN=1 npm run connect` only tells,
   `URL=https://… npm run connect` does it, and with `UNDO=1` it puts back what was there. The Worker's page has the same without a terminal: signed in with
   `CONNECTOR_TOKEN`, under *Now*.
4. When a test grant says what it would have done: edit the API token in Cloudflare's dashboard, *Account Settings* from *Read* to *Edit* (its value stays the
   same), and `npm run up -- --provisioning on`.

## A newer release

Replace all files here but `wrangler.toml` with those of the release, and `npm run up`; a copy that the button made is deployed with each push. Compare the release's
`wrangler.toml` with yours before: a new `[[migrations]]` or variable belongs there too. An older release goes the same way.

`SHA256SUMS` has what each file was when it was built; `npm run build` compares.
END
} >"$folder/README.md"
# wrangler.toml is not among them: who deploys fills it in.
(
  cd "$folder"
  sums() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
  find build scripts -type f | LC_ALL=C sort | while IFS= read -r path; do sums "$path"; done >SHA256SUMS
)
echo "release: $folder has $(find "$folder" -type f | wc -l | tr -d ' ') files; docs/deploying.md says how to publish them"
