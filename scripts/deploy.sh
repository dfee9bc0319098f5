#!/usr/bin/env bash
# Deploys the Worker with wrangler; refuses while wrangler.toml lacks what only the person who deploys can know.
set -euo pipefail
cd "$(dirname "$0")/.."

# Without node the setup says what is missing.
command -v node >/dev/null || bash scripts/setup.sh
# A value that is there and not understood is none that is missing. What `make up` does not deploy ends this with its sentence.
told=$(node --input-type=module -e '
  import { Settings } from "./scripts/up/settings.mjs";
  import { run } from "./scripts/up/terminal.mjs";
  import { mustBeKnown, mustKeepWorkersDev } from "./scripts/up/variables.mjs";
  await run("deploy", async () => {
    const settings = new Settings();
    mustBeKnown(settings);
    const named = settings.variables();
    const address = named.get("PUBLIC_URL") ?? "";
    mustKeepWorkersDev(settings, address, address);
    for (const name of ["CLOUDFLARE_ACCOUNT_ID", "C1_TENANT"]) if (!named.has(name) || named.get(name) === "") process.stdout.write(` ${name}`);
    process.stdout.write(`\n${named.get("CLOUDFLARE_ACCOUNT_ID") ?? ""}`);
  });
')
missing=${told%%$'\n'*}
account=${told#*$'\n'}
if [ -n "$missing" ]; then
  echo "deploy: fill in under [vars] of wrangler.toml first:$missing" >&2
  exit 1
fi
bash scripts/setup.sh
# What was looked at is the file's top, which CLOUDFLARE_ENV would lead away from, and so would the account that wrangler went into last; who names an
# environment means it.
if [ $# -eq 0 ]; then
  set -- --env ""
  if [ -n "$account" ]; then export CLOUDFLARE_ACCOUNT_ID="${CLOUDFLARE_ACCOUNT_ID:-$account}"; fi
fi
node_modules/.bin/wrangler deploy "$@"
echo "deploy: the two secrets are set once, with: npx wrangler secret put CLOUDFLARE_API_TOKEN, and CONNECTOR_TOKEN"
echo "deploy: what is still missing or wrong is told by GET /v1/doctor, with the connector token as bearer token"
