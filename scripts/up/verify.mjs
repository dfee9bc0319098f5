// Whether an API token of Cloudflare's may do what the connector needs: one question for each thing, and one change that cannot succeed.

import { READS } from "./permissions.mjs";
import { plain, say } from "./terminal.mjs";
import { Api, Refused } from "./wrangler.mjs";

const TOKENS = "Account API Tokens";

/** What a token is answered that may not do what it asks for. */
const REFUSALS = [401, 403];

/** Where a list is; two of them take the account, or the time, as a parameter. */
function address(account, path) {
  if (path === "/zones") return `/zones?account.id=${account}&per_page=5`;
  if (path !== "/logs/audit") return `/accounts/${account}${path}`;
  // Not up to this moment: the clock here may be ahead of Cloudflare's.
  const before = Date.now() - 300_000;
  const [since, until] = [before - 60_000, before].map((time) => encodeURIComponent(new Date(time).toISOString()));
  return `/accounts/${account}/logs/audit?since=${since}&before=${until}&limit=1`;
}

/** How many tokens a page has at most: what is not among fewer is not on the list. */
const PAGE = 50;

/**
 * Whether a list may be short, which Cloudflare does not say: it has nothing but the token that asks, which may list no others, or not even that
 * one, which is the account's.
 */
function maybeShort(tokens, own, isAccounts) {
  if (!Array.isArray(tokens) || own === undefined) return false;
  const itself = tokens.find(({ id }) => id === own);
  if (itself === undefined) return isAccounts && tokens.length < PAGE;
  const groups = (itself.policies ?? []).flatMap((policy) => policy.permission_groups ?? []);
  return tokens.length === 1 && !groups.some(({ name }) => /^account api tokens (read|write)$/i.test(name ?? ""));
}

/** Says of each thing whether the token may do it, by the permission's name. Gives what is missing and needed, as a text. */
export async function verify(token, account, provisioning) {
  if (!/^[A-Za-z0-9_-]{40,}$/.test(token)) return "that is no API token of Cloudflare's: it has 40 letters, digits, _ and - or more";
  const api = Api.with(token);
  const attempt = async (method, path, body) => {
    try {
      return { result: (await api.call(method, path, body)).result };
    } catch (refused) {
      if (refused instanceof Refused) return { refused };
      throw refused;
    }
  };
  let itself = await attempt("GET", `/accounts/${account}/tokens/verify`);
  const isAccounts = itself.refused === undefined;
  if (!isAccounts) itself = await attempt("GET", "/user/tokens/verify");
  if (itself.refused !== undefined) {
    return `Cloudflare does not take the token: ${plain(itself.refused.message)}; was it copied whole, and made in the account ${account}?`;
  }
  const { status, expires_on: end } = itself.result ?? {};
  if (status !== "active") return `the token is ${plain(status ?? "in no state that Cloudflare tells")}: make a new one`;
  say(`  ok       the token is valid${end === undefined || end === null ? "" : ` until ${plain(end)}: the connector stops then`}`);
  const missing = [];
  const unasked = [];
  for (const [what, path, permission, required] of READS) {
    const { refused, result } = await attempt("GET", address(account, path));
    if (refused !== undefined && !REFUSALS.includes(refused.status)) {
      // Nothing that a permission mends.
      say(`  ${required ? "FAILED " : "off    "}  ${what}: ${refused.status === 404 ? "this account does not have it" : "not to be found out now"}: ${plain(refused.message)}`);
      if (required) unasked.push(`${what}: ${plain(refused.message)}`);
      continue;
    }
    const isShort = permission === TOKENS && maybeShort(result, itself.result?.id, isAccounts);
    const lacks = refused?.message ?? (isShort ? "the list has this token alone, or lacks it" : undefined);
    if (lacks === undefined) say(`  ok       it may read ${what}`);
    else say(`  ${required ? "MISSING" : "off    "}  it may not read ${what}: ${plain(lacks)}; the permission is ${permission}: Read${required ? "" : " (optional)"}`);
    if (lacks !== undefined && required) missing.push(`${permission}: Read`);
  }
  if (provisioning === "on") {
    // An invitation of nobody: refused for what it lacks by who may invite, and for the permission by who may not.
    const { refused } = await attempt("POST", `/accounts/${account}/members`, {});
    if (REFUSALS.includes(refused?.status)) {
      say(`  MISSING  it may not change members: ${plain(refused.message)}; the permission is Account Settings: Edit`);
      missing.push("Account Settings: Edit");
    } else say("  ok       it may change members");
  }
  if (missing.length === 0 && unasked.length > 0) return `Cloudflare did not answer what the token may do (${unasked.join("; ")}): try again`;
  return missing.length === 0 ? undefined : `the token lacks ${[...new Set(missing)].join(" and ")}: edit it in the dashboard, and give it again`;
}
