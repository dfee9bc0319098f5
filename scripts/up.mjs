// From a clone to a connected account: asks what only the person knows, makes what can be made, deploys, and syncs. What `make up` runs.
// Each answer has a flag, so it runs without a person too: `node scripts/up.mjs --help` lists them. Secrets come by standard input, or are
// typed unseen; they go to wrangler's standard input, and to no command line and no file. It may be run again at any time, and
// changes nothing that is right. Exit status: 0 done, 1 something is not as it should be, 2 wrong use.

import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { Settings } from "./up/settings.mjs";
import { Bar, Stop, ask, askSecretly, choose, isInteractive, plain, run, say, secretsOfThePipe } from "./up/terminal.mjs";
import { Worker, pause } from "./up/worker.mjs";
import { Api, Refused, accounts, deploy, deployed, login, must, wrangler } from "./up/wrangler.mjs";

const HELP = `node scripts/up.mjs            (or: make up, with the same in capitals: make up ACCOUNT=… TENANT=…)
  --account <id>               the Cloudflare account: 32 hexadecimal digits
  --tenant <host>              the ConductorOne tenant, such as acme.conductor.one
  --provisioning off|on        off only reviews: it says what it would change; on changes it
  --plan free|paid             the Workers plan of that account
  --url <https://…>            where the Worker is reached, if not at its workers.dev address
  --reach <http://…>           where this machine reaches the Worker, if not there
  --new-tokens                 make new tokens of the connector in place of those that are set
  --show-tokens                print new tokens even where no person is at the terminal
  --no-open                    open no browser
Standard input, where it is no terminal: CLOUDFLARE_API_TOKEN=…, and on a line of its own CONNECTOR_TOKEN=…, CONNECTOR_READ_TOKEN=….`;

const API_TOKEN = "CLOUDFLARE_API_TOKEN";
const FULL = "CONNECTOR_TOKEN";
const READ = "CONNECTOR_READ_TOKEN";
const LEAST_TOKEN = 32;
/** A new workers.dev name is known everywhere after a minute or so, a new secret within seconds. */
const APPEARS_MS = 180_000;
const SYNC_MS = 3_600_000;
/** What is found follows a publication within seconds. */
const FINDINGS_MS = 60_000;

const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function options() {
  const on = { type: "boolean", default: false };
  const text = { type: "string" };
  try {
    return parseArgs({
      options: { account: text, tenant: text, provisioning: text, plan: text, url: text, reach: text, "new-tokens": on, "show-tokens": on, "no-open": on, help: on },
    }).values;
  } catch (error) {
    throw new Stop(`${error.message}\n${HELP}`, 2);
  }
}

const oneOf = (...words) => (text) => (words.includes(text) ? text : undefined);

/** What a person answers: what it may be, in words, and the value of a text, or nothing. */
const FORMS = {
  account: ["32 lower-case hexadecimal digits", (text) => (/^[0-9a-f]{32}$/.test(text) ? text : undefined)],
  // The whole address of the tenant's page will do.
  tenant: ["a host such as acme.conductor.one", (text) => /^(?:https:\/\/)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?:\/.*)?$/.exec(text.trim().toLowerCase())?.[1]],
  provisioning: ["off or on", oneOf("off", "on")],
  plan: ["free or paid", oneOf("free", "paid")],
  url: ["https:// and a host, without a path", (text) => /^https:\/\/[a-z0-9.-]+(?::\d+)?$/.exec(text.trim().toLowerCase().replace(/\/+$/, ""))?.[0]],
};

/** The flags, each held to its form. */
function checked(given) {
  for (const [name, [what, form]] of Object.entries(FORMS)) {
    if (given[name] === undefined) continue;
    const value = form(given[name]);
    if (value === undefined) throw new Stop(`--${name} has to be ${what}`, 2);
    given[name] = value;
  }
  return given;
}

/** The flag, or what is set already, or what the person answers. */
async function answer(given, name, { now = "", fallback = "", question }) {
  if (given[name] !== undefined) return given[name];
  const [what, form] = FORMS[name];
  if (form(now) !== undefined) return form(now);
  for (;;) {
    const value = form(await ask(question, { flag: `--${name}`, fallback }));
    if (value !== undefined) return value;
    say(`  that has to be ${what}`);
  }
}

async function chooseAccount(api, given, now) {
  if (given.account !== undefined) return given.account;
  const seen = await accounts(api);
  if (FORMS.account[1](now) !== undefined) {
    const known = seen.find(({ value }) => value === now);
    say(`Account: ${plain(known?.text ?? now)}`);
    return now;
  }
  if (seen.length === 1) {
    say(`Account: ${plain(seen[0].text)}`);
    return seen[0].value;
  }
  if (seen.length > 1) return choose("Which account is to be governed", seen, { flag: "--account" });
  return answer(given, "account", { question: "Account id (on the account's overview page in the dashboard)" });
}

/** Where the Worker will be: its name on the account's workers.dev subdomain. */
async function workersDev(api, account, name) {
  try {
    const { subdomain } = await api.get(`/accounts/${account}/workers/subdomain`);
    return `https://${name}.${subdomain}.workers.dev`;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new Stop(
      `the account's workers.dev subdomain is not known: ${plain(error.message)}; open https://dash.cloudflare.com/${account}/workers-and-pages once, which makes one, or give --url`,
    );
  }
}

/** The page that makes the account's token, filled in as far as Cloudflare's template URLs go. */
function tokenPage(provisioning) {
  const keys = [
    { key: "account_settings", type: provisioning === "on" ? "edit" : "read" },
    { key: "account_api_tokens", type: "read" },
  ];
  const query = new URLSearchParams({ permissionGroupKeys: JSON.stringify(keys), name: "ConductorOne connector" });
  return `https://dash.cloudflare.com/?to=/:account/api-tokens&${query}`;
}

function openInBrowser(url) {
  const [program, ...parameters] = { darwin: ["open", url], win32: ["cmd", "/c", "start", "", url] }[process.platform] ?? ["xdg-open", url];
  const child = spawn(program, parameters, { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}

/** What the connector reads, and what it cannot do without. */
const READS = [
  ["members", "/members?per_page=5", true],
  ["permission groups", "/iam/permission_groups?per_page=5", true],
  ["resource groups", "/iam/resource_groups", true],
  ["roles (deprecated list)", "/roles?per_page=5", false],
  ["user groups", "/iam/user_groups?per_page=5", false],
  ["account API tokens", "/tokens?per_page=5", false],
];

/** Asks Cloudflare for one thing of each kind, and for a change that cannot succeed. Gives what is missing and needed, as a text. */
async function verify(token, account, provisioning) {
  if (!/^[A-Za-z0-9_-]{40,}$/.test(token)) return "that is no API token of Cloudflare's: it has 40 letters, digits, _ and - or more";
  const api = Api.with(token);
  const attempt = async (method, path, body) => {
    try {
      await api.call(method, path, body);
      return undefined;
    } catch (error) {
      if (error instanceof Refused) return error;
      throw error;
    }
  };
  const inactive = (await attempt("GET", `/accounts/${account}/tokens/verify`)) && (await attempt("GET", "/user/tokens/verify"));
  if (inactive) return `Cloudflare does not take the token: ${plain(inactive.message)}`;
  say("  ok       the token is valid");
  const missing = [];
  for (const [what, path, required] of READS) {
    const refused = await attempt("GET", `/accounts/${account}${path}`);
    const permission = what === "account API tokens" ? "Account API Tokens: Read" : "Account Settings: Read";
    if (refused === undefined) say(`  ok       it may read ${what}`);
    else say(`  ${required ? "MISSING" : "off    "}  it may not read ${what}: ${plain(refused.message)}; the permission is ${permission}`);
    if (refused !== undefined && required) missing.push(permission);
  }
  if (provisioning === "on") {
    // An invitation of nobody: refused for what it lacks by who may invite, and for the permission by who may not.
    const refused = await attempt("POST", `/accounts/${account}/members`, {});
    if ([401, 403].includes(refused?.status)) {
      say(`  MISSING  it may not change members: ${plain(refused.message)}; the permission is Account Settings: Edit`);
      missing.push("Account Settings: Edit");
    } else say("  ok       it may change members");
  }
  return missing.length === 0 ? undefined : `the token lacks ${[...new Set(missing)].join(" and ")}: edit it in the dashboard, and give it again`;
}

/** The API token: from the pipe, from the person, or left as the Worker has it. */
async function apiToken(piped, isSet, account, provisioning, isQuiet) {
  if (!isInteractive()) {
    if (piped === undefined && isSet) return undefined;
    if (piped === undefined) throw new Stop(`${API_TOKEN} is missing: give it by standard input, as in: printf '%s' "$TOKEN" | node scripts/up.mjs …`, 2);
    const wrong = await verify(piped, account, provisioning);
    if (wrong !== undefined) throw new Stop(wrong);
    return piped;
  }
  const page = tokenPage(provisioning);
  say(isSet ? `The Worker has an API token of Cloudflare's. A new one is made here:\n  ${page}` : `Make the API token that the Worker calls Cloudflare with, here:\n  ${page}`);
  say(`  It wants Account Settings: ${provisioning === "on" ? "Edit" : "Read"} and Account API Tokens: Read, for this one account.`);
  if (!isSet && !isQuiet) openInBrowser(page);
  for (;;) {
    const token = await askSecretly(`API token (it is not shown${isSet ? "; Enter keeps the one that is set" : ""})`);
    if (token === "" && isSet) return undefined;
    const wrong = await verify(token, account, provisioning);
    if (wrong === undefined) return token;
    say(`  ${wrong}`);
  }
}

/** The connector's own two tokens, as they are to be set: those that are set stay. */
async function connectorTokens(piped, isSet, isNew) {
  const tokens = {};
  for (const name of [FULL, READ]) {
    if (piped[name] !== undefined) {
      if (piped[name].length < LEAST_TOKEN) throw new Stop(`${name} has to have at least ${LEAST_TOKEN} characters: openssl rand -hex 32 makes one`, 2);
      tokens[name] = { value: piped[name], isMade: false };
    } else if (isNew || !isSet(name)) tokens[name] = { value: randomBytes(32).toString("hex"), isMade: true };
  }
  if (tokens[FULL] === undefined && isInteractive()) {
    const typed = await askSecretly(`The Worker has a ${FULL}: give it, to look at the Worker with it (it is not shown; Enter makes a new one)`);
    tokens[FULL] = typed === "" ? { value: randomBytes(32).toString("hex"), isMade: true } : { value: typed, isMade: false, isKept: true };
  }
  if (tokens[FULL] === undefined) throw new Stop(`the Worker has a ${FULL}: give it by standard input, or --new-tokens for another one`, 2);
  return tokens;
}

/** Asks the doctor until the Worker is there with its new secrets, and prints each check. */
async function examine(worker) {
  const deadline = Date.now() + APPEARS_MS;
  let last = "";
  for (;;) {
    try {
      const { status, answer } = await worker.ask("GET", "/v1/doctor");
      if (Array.isArray(answer.checks)) {
        // Right after the secrets were set, an isolate may still run without them.
        const failed = answer.checks.filter(({ ok, required }) => required && !ok);
        if (failed.length === 0 || Date.now() >= deadline || !failed.every(({ name }) => [API_TOKEN, FULL, READ].includes(name))) return answer;
        last = failed.map(({ message }) => message).join("; ");
      } else last = `${answer.detail ?? status} (${answer.code ?? status})`;
    } catch (error) {
      last = String(error.cause?.code ?? error.message);
    }
    if (Date.now() >= deadline) throw new Stop(`the Worker does not answer at ${worker.base}: ${plain(last)}`);
    await pause();
  }
}

/** Starts a sync, unless one runs, and shows it to its end; gives the status then. */
async function sync(worker) {
  const begun = await worker.ask("POST", "/v1/sync");
  if (begun.status >= 400 && begun.answer.code !== "sync_running") throw new Stop(`the sync does not start: ${plain(begun.answer.detail)} (${begun.answer.code})`);
  const bar = new Bar();
  const deadline = Date.now() + SYNC_MS;
  try {
    for (let unanswered = 0; Date.now() < deadline; await pause()) {
      let status;
      try {
        status = await worker.call("GET", "/v1/status");
        unanswered = 0;
      } catch (error) {
        unanswered += 1;
        if (unanswered > 60) throw new Stop(`the Worker does not answer any more: ${plain(error.message)}`);
        continue;
      }
      if (status.running === null) {
        const run = status.runs[0];
        if (status.state === "error" || status.generations.length === 0) throw new Stop(`the sync failed: ${plain(run?.message ?? "no reason told")}`);
        bar.show(1, 1, "done");
        return status;
      }
      const { phase, pages_done: done, pages_total: total, members_seen: people, trouble } = status.running;
      bar.show(done, total, `${phase.replaceAll("_", " ")}, ${count(people, "person", "people")}${trouble ? `; ${trouble}` : ""}`);
    }
  } finally {
    bar.end();
  }
  throw new Stop("the sync goes on; see GET /v1/status, or the page");
}

/** The open findings, once the newest generation was looked through. */
async function findings(worker, generation) {
  const deadline = Date.now() + FINDINGS_MS;
  for (;;) {
    const { jobs } = await worker.call("GET", "/v1/status");
    const looked = jobs.some(({ kind, subject, state }) => kind === "findings" && subject.startsWith(generation) && state !== "due");
    if (looked || Date.now() >= deadline) break;
    await pause();
  }
  const found = [];
  for (let cursor = ""; ; ) {
    const page = await worker.call("GET", `/v1/findings?state=open&limit=1000${cursor}`);
    found.push(...page.items);
    if (page.next_cursor === undefined || page.next_cursor === null) return found;
    cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`;
  }
}

await run("up", async () => {
  const given = checked(options());
  if (given.help) return say(HELP);
  const settings = new Settings();
  const piped = await secretsOfThePipe([API_TOKEN, FULL, READ]);
  if (given.tenant === undefined && settings.get("C1_TENANT") === "" && !isInteractive()) throw new Stop("nobody is here to ask: give --tenant", 2);
  const name = settings.get("name");
  const api = await login();

  const account = await chooseAccount(api, given, settings.get("CLOUDFLARE_ACCOUNT_ID"));
  const tenant = await answer(given, "tenant", { now: settings.get("C1_TENANT"), question: "ConductorOne tenant, as in the address bar (such as acme.conductor.one)" });
  const before = await deployed(api, account, name);
  const isFirst = before === undefined;
  // The file comes with values; the first time they are only proposed.
  const known = (variable) => (isFirst ? { fallback: settings.get(variable) } : { now: settings.get(variable) });
  const provisioning = await answer(given, "provisioning", { ...known("PROVISIONING"), question: "Change access when ConductorOne asks (on), or only say what would be changed (off)" });
  const plan = await answer(given, "plan", { ...known("PLAN"), question: "Workers plan of the account, free or paid" });
  const url = await answer(given, "url", { now: given.url ?? (settings.get("PUBLIC_URL") || (await workersDev(api, account, name))), question: "Address of the Worker" });

  const has = (secret) => before?.get(secret)?.type === "secret_text";
  const token = await apiToken(piped[API_TOKEN], has(API_TOKEN), account, provisioning, given["no-open"]);
  const tokens = await connectorTokens(piped, has, given["new-tokens"]);
  const made = Object.entries(tokens).filter(([, { isMade }]) => isMade);
  const shows = isInteractive() || given["show-tokens"];
  if (made.length > 0 && !shows) throw new Stop(`${made.map(([each]) => each).join(" and ")} would be made, and nobody is here to see them: give them by standard input, or --show-tokens`, 2);

  for (const [variable, value] of Object.entries({ CLOUDFLARE_ACCOUNT_ID: account, C1_TENANT: tenant, PUBLIC_URL: url, PROVISIONING: provisioning, PLAN: plan })) settings.set(variable, value);
  say(settings.write() ? "wrangler.toml: written." : "wrangler.toml: as it should be.");

  say(`Deploying ${name}${isFirst ? "" : " again"}…`);
  const targets = await deploy(account);
  say(`  deployed${targets.length === 0 ? "" : `: ${targets.map(plain).join(", ")}`}`);

  const secrets = Object.fromEntries([
    ...(token === undefined ? [] : [[API_TOKEN, token]]),
    ...Object.entries(tokens).filter(([, { isKept }]) => !isKept).map(([each, { value }]) => [each, value]),
  ]);
  if (Object.keys(secrets).length > 0) {
    await wrangler(["secret", "bulk"], { account, input: JSON.stringify(secrets) });
    say(`Secrets set: ${Object.keys(secrets).join(", ")}.`);
  }
  if (made.length > 0) {
    say("\nThe connector's tokens. They are shown this once and kept nowhere: put them where you keep passwords.");
    for (const [each, { value }] of made) say(`  ${each.padEnd(READ.length)}  ${value}`);
    say();
  }

  const worker = new Worker(given.reach ?? url, tokens[FULL].value);
  say("The doctor:");
  const { ok, checks } = await examine(worker);
  for (const check of checks) say(`  ${check.ok ? "ok     " : check.required ? "MISSING" : "off    "}  ${plain(check.name)}: ${plain(check.message)}`);
  if (!ok) throw new Stop("put right what is missing, and run this again");

  say("The account is read:");
  const { generations } = await sync(worker);
  const { generation, counts } = generations[0];
  const open = await findings(worker, generation);
  const high = open.filter(({ severity }) => severity === "high").length;
  say(`\n${count(counts.users, "person", "people")}, ${count(counts.roles, "role")}, ${count(open.length, "finding")}, ${high} of them high.`);
  say(`\nThe page:  ${url}/   (sign in with ${FULL}, or with ${READ} to look alone)`);
  say("What comes next: let ConductorOne take the account in, as README's \"Into ConductorOne\" says, and then run:");
  say(`  make connect URL=${url} DRY_RUN=1     with the connector's token as TOKEN in the environment`);
  if (provisioning === "off") say("Nothing is changed in the account so far. When a test grant says what it would have done: make up PROVISIONING=on");
  return undefined;
});
