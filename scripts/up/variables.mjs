// Which variables a deployment leaves as they are: the deployed Worker may have been set up from another clone, or in the dashboard.

import { command } from "./commands.mjs";
import { OFF, SHIPPED } from "./settings.mjs";
import { Stop, choose, isInteractive, plain, say } from "./terminal.mjs";

/** What the connector reads: its variables and secrets. */
const KNOWN = new Set([
  "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "CONNECTOR_TOKEN_PREVIOUS", "CONNECTOR_READ_TOKEN",
  "CONNECTOR_READ_TOKEN_PREVIOUS", "ACCESS_TEAM_DOMAIN", "ACCESS_AUD", "ACCESS_EDITORS", "C1_TENANT", "PUBLIC_URL", "PROVISIONING",
  "REST_PROVISIONING", "PLAN", "DEFAULT_ROLE", "MIN_SUPER_ADMINS", "PROTECTED_MEMBERS", "LAST_ROLE", "MAX_REMOVALS_PER_HOUR", "ALLOWED_APPS",
  "RENEW_INVITATIONS_AFTER_DAYS", "SCIM_REPLACE_MAX_REMOVALS", "APPROVAL_RULES", "FINDINGS_MAX_SUPER_ADMINS", "FINDINGS_UNUSED_DAYS",
  "FINDINGS_IDLE_DAYS", "FINDINGS_EXPIRY_DAYS", "FINDINGS_INVITATION_DAYS", "FINDINGS_WITHDRAWAL_DAYS", "FINDINGS_WIDE_SCOPES", "FINDINGS_SIGNALLED",
  "FINDINGS_DOMAINS", "FINDINGS_IN_C1Z", "SIGNAL_URL", "SIGNALS", "SIGNAL_HMAC_SECRET", "SIGNAL_SIGNING_KEY", "C1_CLIENT_ID", "C1_CLIENT_SECRET",
  "C1_APP_ID", "AUTO_WIRE", "C1_CONNECTOR_ID", "PUSH_FILE", "S3_REGION", "S3_BUCKET", "S3_KEY", "S3_ENDPOINT", "S3_ADDRESSING", "S3_ACCESS_KEY_ID",
  "S3_SECRET_ACCESS_KEY", "S3_SESSION_TOKEN", "AZURE_SAS_URL", "AUDIT_FEED", "LAST_LOGINS", "SWEEP_MINUTES", "OVERDUE_REVOKE_MINUTES",
  "ENFORCE_EXPIRY", "JOURNAL_DAYS", "CLOUDFLARE_API_URL", "C1_URL",
]);

/** What of that is set as a secret: as a variable it would stand in plain text in the file, in each upload and in the dashboard. */
const SECRETS = new Set([
  "CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "CONNECTOR_TOKEN_PREVIOUS", "CONNECTOR_READ_TOKEN", "CONNECTOR_READ_TOKEN_PREVIOUS", "SIGNAL_HMAC_SECRET",
  "SIGNAL_SIGNING_KEY", "C1_CLIENT_ID", "C1_CLIENT_SECRET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_SESSION_TOKEN", "AZURE_SAS_URL",
]);

/** An incoming webhook of ConductorOne's whose URL is all that it asks for. */
const CAPABILITY = /\/webhooks\/incoming\/[^/]+\/t\//;

/** Whether a variable is to be a secret, by its name or by what it has. */
const isSecret = (name, text) => SECRETS.has(name) || (name === "SIGNAL_URL" && CAPABILITY.test(text ?? ""));

/** The types of a Worker's variables, which whoever may look at it reads. */
const VARIABLES = ["plain_text", "json"];

/** Where a variable of the Worker is deleted that wrangler.toml does not name. */
const AWAY = "in the dashboard (the Worker's Settings, Variables and Secrets)";

/**
 * Stops at a secret among the variables of wrangler.toml, as far as its lines are understood here, and at a variable that the connector does not
 * read: misspelt, it would protect nothing, and the Worker would not know.
 */
export function mustBeKnown(settings) {
  // One that is empty would be deployed in the place of the secret all the same.
  const [secret] = [...settings.variables()].find(([name, text]) => isSecret(name, text)) ?? [];
  if (secret !== undefined) {
    throw new Stop(`${secret}, which wrangler.toml has under [vars], is a secret: take the line out; where it was deployed, delete it ${AWAY} as well, and make a new value; then, once the Worker is there: npx wrangler secret put ${secret}; nothing was deployed`);
  }
  const unknown = [...settings.variables().keys()].filter((name) => !KNOWN.has(name));
  if (unknown.length === 0) return;
  throw new Stop(`the connector reads no variable ${unknown.map(plain).join(" and no ")}, which wrangler.toml names under [vars]: correct the name, or take the line out (docs/configuration.md has them all); nothing was deployed`);
}

/**
 * Stops at a secret among the variables of the deployed Worker: there it stays through each deployment, and as long as it does, Cloudflare takes no
 * secret of its name. And at a secret of the Worker that wrangler.toml has as a variable: an upload puts the variable in its place, be it empty, without
 * asking, and nobody can read afterwards what the secret was.
 */
export function mustBeSecret(bindings, settings) {
  const secret = [...(bindings?.values() ?? [])].find(({ name, type, text }) => isSecret(name, text) && VARIABLES.includes(type))?.name;
  if (secret !== undefined) {
    throw new Stop(`the Worker has ${secret} as a variable, and it is a secret: delete it ${AWAY} first, and make a new value, since whoever may see the Worker has read it; then run this again, and where it does not ask for that: npx wrangler secret put ${secret}; nothing was deployed`);
  }
  const replaced = [...settings.variables().keys()].find((name) => bindings?.get(name)?.type === "secret_text");
  if (replaced === undefined) return;
  // Without its lines of the repository the file is not taken.
  const way = replaced in SHIPPED ? "" : "take the line out; or, ";
  throw new Stop(`the Worker has ${replaced} as a secret, and wrangler.toml has it under [vars], so that an upload would put the variable in the secret's place, whose value is gone then: ${way}where the variable is to count, delete the secret first (npx wrangler secret delete ${replaced}); nothing was deployed`);
}

/**
 * Stops where an upload would switch a workers.dev address off by which the Worker is known (`before`; where that is undefined it is not known, and may
 * be that one) or is to be known (`url`): whoever has it would not reach the Worker any more. That the former may go is for the file to say.
 */
export function mustKeepWorkersDev(settings, url, before) {
  const isThere = (address) => address === undefined || /\.workers\.dev(?:[:/]|$)/i.test(address);
  const otherwise = command("up", { URL: `https://${plain(settings.customDomains[0] ?? "…")}` });
  if (settings.hidesWorkersDev && [url, before].some(isThere)) {
    throw new Stop(`wrangler.toml has a route and no workers_dev, so that an upload would switch off the Worker's workers.dev address, by which it is known, or may be: put workers_dev = true in front of its first [; or, if that address may go, workers_dev = false, and say which one the Worker has then (${otherwise}); nothing was deployed`);
  }
  // By another Worker's name another one stands in front of it.
  const isOwn = () => URL.canParse(url) && new URL(url).hostname.startsWith(`${settings.get("name")}.`);
  if (settings.hasWorkersDevOff && isThere(url) && isOwn()) {
    throw new Stop(`wrangler.toml has workers_dev = false, so that an upload would switch off ${plain(url)}, which is to be the Worker's address: say the domain that leads to the Worker (${otherwise}), or put workers_dev = true there; nothing was deployed`);
  }
}

/** Stops where somebody else changed a variable of the Worker since it was looked at: what was asked, and would be deployed, goes by what it was. */
export function mustBeAsBefore(before, now) {
  const texts = (bindings) => new Map([...(bindings?.values() ?? [])].filter(({ type }) => VARIABLES.includes(type)).map(({ name, text, json }) => [name, text ?? JSON.stringify(json)]));
  const [was, is] = [texts(before), texts(now)];
  const changed = [...new Set([...was.keys(), ...is.keys()])].filter((name) => was.get(name) !== is.get(name));
  if (changed.length === 0) return;
  throw new Stop(`somebody else changed ${changed.map(plain).join(", ")} in the Worker meanwhile: run this again; nothing was deployed`);
}

/** Whose value counts. */
export const SIDES = ["worker", "file"];

/**
 * Takes into `settings` what the deployed Worker has otherwise, and no answer of the person's (`given`) names. A value as the
 * repository has it gives way to the Worker's; of one that was changed on both sides nobody but the person knows which is right (`take`).
 * So it is of a switch that is off in the file: it may be as the repository has it, or somebody turned it off, and then the connector
 * must not go on changing things.
 */
export async function takeOver(settings, bindings, given, take) {
  // A switch that is not there, or empty, is off: it may have been taken away for that.
  const stands = (name, value) => (value === "" && SHIPPED[name] === OFF ? OFF : value);
  const text = (name) => stands(name, bindings.get(name)?.type === "plain_text" ? (bindings.get(name).text ?? "") : "");
  const named = settings.variables();
  const differs = [...named].filter(([name, value]) => !given.has(name) && text(name) !== "" && text(name) !== stands(name, value));
  const unsure = differs.filter(([name, value]) => value !== SHIPPED[name] || value === OFF).map(([name]) => name);
  let side = take;
  let files = differs.map(([name]) => name);
  if (side === undefined && unsure.length > 0) {
    const what = `the Worker and wrangler.toml have other values for ${unsure.map(plain).join(", ")}`;
    if (!isInteractive()) {
      throw new Stop(`${what}: give --take worker to keep the Worker's (it is written into wrangler.toml), or --take file to deploy the file's`, 2);
    }
    say(`${what[0].toUpperCase()}${what.slice(1)}.`);
    side = await choose("Which are to be", [{ value: "worker", text: "the Worker's, which are then written into wrangler.toml" }, { value: "file", text: "those of wrangler.toml" }], { flag: "--take" });
    files = unsure;
  }
  for (const [name] of differs) {
    if (side === "file" && files.includes(name)) continue;
    if (named.get(name) === undefined) throw new Stop(`${plain(name)} in wrangler.toml is written in a way that is not understood here: write there what the Worker has, between quotes`);
    settings.set(name, text(name));
    say(`${plain(name)}: stays as the Worker has it${name in SHIPPED ? `, ${plain(text(name))}` : ""} (--take file sets what wrangler.toml has).`);
  }
}

/** Whether the deployed Worker has each variable that the file names, as the file has it. */
export function areSet(settings, bindings) {
  return [...settings.variables()].every(([name, value]) => value !== undefined && bindings.get(name)?.type === "plain_text" && (bindings.get(name).text ?? "") === value);
}

/** Says which variables the Worker has that the file does not name; stops where a deployment would take them away. */
export function keep(settings, bindings) {
  const named = settings.variables();
  const others = [...bindings.values()].filter(({ name, type }) => VARIABLES.includes(type) && !named.has(name)).map(({ name }) => plain(name));
  if (others.length === 0) return;
  if (!settings.keeps) {
    throw new Stop(`this would take variables away that the Worker has and wrangler.toml does not name: ${others.join(", ")}; put keep_vars = true in front of its first [, as the repository has it, or name them under [vars]`);
  }
  say(`Variables that the Worker has and wrangler.toml does not name stay: ${others.join(", ")}.`);
}
