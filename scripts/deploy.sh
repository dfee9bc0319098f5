#!/usr/bin/env bash
# Deploys the Worker with wrangler; refuses while wrangler.toml lacks what only the person who deploys can know.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=$(awk '
  /^\[/ { vars = ($0 == "[vars]") }
  vars && /^(CLOUDFLARE_ACCOUNT_ID|C1_TENANT)[ \t]*=/ { seen[$1] = ($3 != "\"\"") }
  END {
    split("CLOUDFLARE_ACCOUNT_ID C1_TENANT", names, " ")
    for (i = 1; i <= 2; i++) if (!seen[names[i]]) printf " %s", names[i]
  }' wrangler.toml)
if [ -n "$missing" ]; then
  echo "deploy: fill in under [vars] of wrangler.toml first:$missing" >&2
  exit 1
fi
bash scripts/setup.sh
node_modules/.bin/wrangler deploy "$@"
echo "deploy: the two secrets are set once, with: npx wrangler secret put CLOUDFLARE_API_TOKEN, and CONNECTOR_TOKEN"
echo "deploy: what is still missing or wrong is told by GET /v1/doctor, with the connector token as bearer token"
