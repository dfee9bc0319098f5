// The project's own wrangler, and Cloudflare's API with wrangler's login. A secret goes to wrangler's standard input, and to no
// command line, file or log.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SETUP, command } from "./commands.mjs";
import { proxyHint } from "./proxy.mjs";
import { Stop, isInteractive, plain, say } from "./terminal.mjs";

const WRANGLER = join("node_modules", ".bin", "wrangler");
const API = (process.env.CLOUDFLARE_API_BASE_URL ?? "https://api.cloudflare.com/client/v4").replace(/\/+$/, "");
const PATIENCE_MS = 30_000;

/** wrangler is not there, or cannot be run: that says nothing of whether it is logged in. */
class NoStart extends Stop {}

/** Runs wrangler to its end and gives what it printed. `input` is what it reads; with `shown` it has the terminal instead. */
export async function wrangler(parameters, { account, input, shown = false } = {}) {
  return (await reported(parameters, { account, input, shown })).stdout;
}

/** The same, with what wrangler reports of it to programs. */
async function reported(parameters, { account, input, shown = false }) {
  // wrangler logs what it prints, its login too, and notes which account it went to, where it would go again without asking. It does so in here, and
  // this goes away. A new login has it take away what it noted elsewhere.
  const folder = mkdtempSync(join(tmpdir(), "wrangler-"));
  const report = join(folder, "report.ndjson");
  try {
    const stdout = await spawned(parameters, input, shown, {
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_LOG_SANITIZE: "true",
      WRANGLER_LOG_PATH: folder,
      ...(parameters[0] === "login" ? {} : { WRANGLER_CACHE_DIR: folder }),
      WRANGLER_OUTPUT_FILE_PATH: report,
      ...(account === undefined ? {} : { CLOUDFLARE_ACCOUNT_ID: account }),
    });
    const lines = existsSync(report) ? readFileSync(report, "utf8").split("\n") : [];
    return { stdout, events: lines.filter((line) => line !== "").map((line) => JSON.parse(line)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function spawned(parameters, input, shown, environment) {
  return new Promise((resolve, reject) => {
    // What CLOUDFLARE_ENV names, in the environment or in .env, is another Worker than the one that was looked at.
    const child = spawn(WRANGLER, [...parameters, "--env", ""], { stdio: shown ? "inherit" : "pipe", env: { ...process.env, ...environment } });
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"]) child[stream]?.on("data", (part) => (output[stream] += part));
    child.on("error", (error) => reject(new NoStart(`wrangler does not start (${error.code}): run: ${SETUP}`)));
    child.on("close", (status) => {
      if (status === 0) return resolve(output.stdout);
      const said = `${output.stderr}\n${output.stdout}`.trim().slice(-2_000);
      return reject(new Stop(`wrangler ${parameters[0]} failed${said === "" ? "" : `:\n${said}`}`));
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input ?? "");
  });
}

/** Deploys what wrangler.toml describes, and gives the addresses that wrangler told. */
export async function deploy(account) {
  const { events } = await reported(["deploy"], { account });
  const { targets = [] } = events.find(({ type }) => type === "deploy") ?? {};
  return targets.filter((target) => target.startsWith("https://"));
}

/** Where wrangler notes, run by hand in this folder, which account it went to. */
const NOTES = [process.env.WRANGLER_CACHE_DIR, join("node_modules", ".cache", "wrangler"), join(".wrangler", "cache")].filter(Boolean).map((folder) => join(folder, "wrangler-account.json"));

/** The account that wrangler noted; nothing where there is no note, or none that it reads. */
function noted(note) {
  try {
    return JSON.parse(readFileSync(note, "utf8")).account?.id;
  } catch {
    return undefined;
  }
}

/** Takes away what wrangler noted of another account: a secret that somebody sets by hand would go into that one, unasked. */
export function forgetOthers(account) {
  for (const note of NOTES) if (![undefined, account].includes(noted(note))) rmSync(note, { force: true });
}

/** A refusal of Cloudflare's, with its code. */
export class Refused extends Error {
  constructor(status, errors) {
    const { code, message } = errors?.[0] ?? {};
    super(`${message ?? "no reason told"} (HTTP ${status}${code === undefined ? "" : `, code ${code}`})`);
    this.status = status;
    this.code = code;
  }
}

/** Cloudflare's API with one credential. */
export class Api {
  #headers;

  constructor(headers) {
    this.#headers = headers;
  }

  static with(token) {
    return new Api({ authorization: `Bearer ${token}` });
  }

  /** The whole answer of a call; a refusal is a `Refused`, no answer a reason to stop. */
  async call(method, path, body) {
    let response;
    try {
      response = await fetch(`${API}${path}`, {
        method,
        headers: { ...this.#headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        body: body === undefined ? undefined : JSON.stringify(body),
        redirect: "error",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch (error) {
      const why = error.cause?.code ?? error.name;
      const remedy = /^(CERT_|SELF_SIGNED|UNABLE_TO_)/.test(why) ? "is this machine's clock right, and does nothing between it and Cloudflare open its connections?" : (proxyHint(API) ?? "try again");
      throw new Stop(`Cloudflare's API does not answer (${why}): ${remedy}`);
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok || answer.success !== true) throw new Refused(response.status, answer.errors);
    return answer;
  }

  async get(path) {
    return (await this.call("GET", path)).result;
  }

  /** What is there, or nothing where Cloudflare says that there is none. */
  async find(path) {
    try {
      return await this.get(path);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return undefined;
      throw error;
    }
  }
}

/** Cloudflare's API with the login that wrangler has. */
export async function login() {
  const credentials = async () => JSON.parse(await wrangler(["auth", "token", "--json"]));
  let found = await credentials().catch((error) => {
    if (error instanceof NoStart) throw error;
    return undefined;
  });
  if (found === undefined && isInteractive()) {
    say("wrangler is not logged in: it opens the browser now.");
    await wrangler(["login"], { shown: true });
    found = await credentials();
  }
  if (found === undefined) {
    throw new Stop("wrangler is not logged in: run: npx wrangler login, or set CLOUDFLARE_API_TOKEN to a token that may edit Workers Scripts and Workers KV Storage", 2);
  }
  return found.token === undefined ? new Api({ "x-auth-key": found.key, "x-auth-email": found.email }) : Api.with(found.token);
}

/** What may be wrong where Cloudflare does not let wrangler's login do something. */
const WHOSE =
  process.env.CLOUDFLARE_API_TOKEN === undefined
    ? "is that the account's id, and does wrangler's login see that account? npx wrangler whoami tells which it sees"
    : "is that the account's id? CLOUDFLARE_API_TOKEN in the environment is wrangler's login, not the connector's token: it wants Workers Scripts: Edit and Workers KV Storage: Edit in that account";

/** Ends the program with a sentence of ours around what Cloudflare refused. */
export async function must(what, call) {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Refused) throw new Stop(`${what}: ${plain(error.message)}${[401, 403].includes(error.status) ? `; ${WHOSE}` : ""}`);
    throw error;
  }
}

/** The accounts that the login sees, as choices; an account's own token sees none. */
export async function accounts(api) {
  const found = [];
  for (let page = 1; page <= 20; page += 1) {
    const answer = await api.call("GET", `/accounts?per_page=50&page=${page}`).catch((error) => {
      if (error instanceof Refused) return { result: [] };
      throw error;
    });
    found.push(...answer.result.map(({ id, name }) => ({ value: id, text: `${name} (${id})` })));
    if (answer.result.length < 50) break;
  }
  return found;
}

/** Builds what is deployed, where there is something to build; shows what the compiler says, since that takes minutes the first time. */
export async function build() {
  if (!existsSync(join("scripts", "build.sh"))) return;
  const status = await new Promise((resolve) => spawn("bash", [join("scripts", "build.sh")], { stdio: ["ignore", "inherit", "inherit"] }).on("error", () => resolve(1)).on("close", resolve));
  if (status !== 0) throw new Stop("the build failed, and nothing was deployed: see what it said above");
}

/** The cron triggers of the deployed Worker. */
export async function crons(api, account, name) {
  const { schedules = [] } = await must("the Worker's cron triggers could not be looked at", api.get(`/accounts/${account}/workers/scripts/${name}/schedules`));
  return schedules.map(({ cron }) => cron);
}

/** The Worker as it is deployed: its bindings by name; nothing where there is none. */
export async function deployed(api, account, name) {
  const settings = await must("the Worker could not be looked at", api.find(`/accounts/${account}/workers/scripts/${name}/settings`));
  return settings === undefined ? undefined : new Map(settings.bindings.map((binding) => [binding.name, binding]));
}

/**
 * Whether another version of the Worker than its newest one runs, be it for a part of the requests: after a rollback, say. What is deployed by the
 * Worker's settings is the newest one. Where nobody may look, that is taken for what runs.
 */
export async function runsAnother(api, account, name) {
  const script = `/accounts/${account}/workers/scripts/${name}`;
  try {
    const [running] = (await api.get(`${script}/deployments`))?.deployments ?? [];
    const [newest] = (await api.get(`${script}/versions`))?.items ?? [];
    if (running?.versions === undefined || newest === undefined) return false;
    return !running.versions.some(({ version_id: id, percentage }) => id === newest.id && percentage === 100);
  } catch (error) {
    if (error instanceof Refused) return false;
    throw error;
  }
}

/** What a Worker may have before it is deployed for the first time: secrets that somebody set by hand. */
const OWN_SECRETS = ["CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "CONNECTOR_READ_TOKEN", "C1_CLIENT_ID", "C1_CLIENT_SECRET"];

/** Whether a deployed Worker is this connector, by its bindings: another one may have the name. */
export function isOurs(bindings) {
  const { type, class_name: of } = bindings.get("COORDINATOR") ?? {};
  if (type === "durable_object_namespace" && of === "Coordinator") return true;
  return bindings.size > 0 && [...bindings.values()].every((binding) => binding.type === "secret_text" && OWN_SECRETS.includes(binding.name));
}

/** Ends the program where the Worker of this name is another one than this connector; `not` says what was not done. */
export function mustBeOurs(bindings, name, account, not) {
  if (bindings === undefined || isOurs(bindings)) return;
  throw new Stop(`the Worker ${name} in the account ${account} is not this connector, since it has no Durable Object COORDINATOR of the class Coordinator: ${not}; put another name into wrangler.toml`);
}

/** In at most this many other accounts the Worker is looked for. */
const MOST_ACCOUNTS = 20;

/** Other accounts that the login sees, where this connector is under the same name, each with its bindings. */
export async function elsewhere(api, account, name) {
  const found = [];
  for (const { value, text } of (await accounts(api)).filter((each) => each.value !== account).slice(0, MOST_ACCOUNTS)) {
    // What the login may not look at tells nothing.
    const bindings = await deployed(api, value, name).catch(() => undefined);
    if (bindings !== undefined && isOurs(bindings)) found.push({ value, text, bindings });
  }
  return found;
}

/** How a Worker is uploaded that is in another account than it governs. */
export const uploadsThere = (account) => `CLOUDFLARE_ACCOUNT_ID=${account} ${command("deploy")}`;

/** Ends the program where a Worker of this name governs the account from another one: what is deployed here would be a second one, which knows nothing of it. */
export async function mustNotBeElsewhere(api, account, name) {
  const there = (await elsewhere(api, account, name)).find(({ bindings }) => bindings.get("CLOUDFLARE_ACCOUNT_ID")?.text === account);
  if (there === undefined) return;
  throw new Stop(
    `a Worker ${name} is in the account ${plain(there.text)}, and governs ${account} from there: upload it there (${uploadsThere(there.value)}); or, where this account is to have it, first take that one away (${command("down", { ACCOUNT: there.value })}), or give this one another name in wrangler.toml; nothing was deployed`,
  );
}

/** Ends the program where wrangler.toml leads wrangler into another account than the one that is looked at; `not` says what was not done. */
export function mustLeadTo(settings, account, not) {
  if (!settings.leadsElsewhere(account)) return;
  throw new Stop(`wrangler.toml names another account than ${account} by its line account_id, and wrangler would go there: take that line out, since wrangler is told the account, or give the account that it names with --account; ${not}`);
}

/** The Workers of the account that are bound to a KV namespace, by name; the one of that name is left out. */
export async function usersOf(api, account, namespace, name) {
  const what = "the account's other Workers could not be looked at";
  const found = [];
  for (const { id } of await must(what, api.get(`/accounts/${account}/workers/scripts`))) {
    if (id === name) continue;
    const settings = await must(what, api.find(`/accounts/${account}/workers/scripts/${encodeURIComponent(id)}/settings`));
    if (settings?.bindings.some(({ namespace_id: each }) => each === namespace)) found.push(id);
  }
  return found;
}

/** The title of the KV namespace that wrangler makes for the binding STATE of a Worker. */
export const titleOf = (name) => `${name}-state`;

/** The KV namespaces of the account. */
export const namespacesOf = (api, account) => must("the KV namespaces could not be listed", api.get(`/accounts/${account}/storage/kv/namespaces?per_page=1000`));

/**
 * Ends the program where a KV namespace is not there that a deployment would bind: one that wrangler.toml names, else the one that the Worker has,
 * which wrangler binds once more and does not look at.
 */
export async function mustBeThere(api, account, name, settings, bound) {
  const ids = settings.namesNamespace ? settings.namespaces : [bound].filter((id) => id !== undefined);
  if (ids.length === 0) return;
  const there = (await namespacesOf(api, account)).map(({ id }) => id);
  const gone = ids.find((id) => !there.includes(id));
  if (gone === undefined) return;
  const isNamed = settings.namesNamespace;
  let remedy = `make one (npx wrangler kv namespace create ${titleOf(name)}), and name it in wrangler.toml by the line id = "…" below binding = "STATE"`;
  if (isNamed && bound === undefined) remedy = `take the line id = "${gone}" out, and a deployment makes one; but leave it where the Worker is in another account than it governs, and upload it there (${uploadsThere("…")})`;
  else if (isNamed && there.includes(bound)) remedy = `take the line id = "${gone}" out, and the Worker keeps the one that it has`;
  const what = isNamed ? `which wrangler.toml names, is not in the account ${account}` : `which the Worker ${name} has, is gone`;
  throw new Stop(`the KV namespace ${plain(gone)}, ${what}: ${remedy}; nothing was deployed`);
}

/** Ends the program where an upload would switch on again the workers.dev address that somebody switched off: what stands in front of a domain does not guard that one. */
export async function mustStayOff(api, account, name, settings) {
  if (!settings.showsWorkersDev) return;
  const address = await must("the Worker's workers.dev address could not be looked at", api.find(`/accounts/${account}/workers/scripts/${name}/subdomain`));
  if (address?.enabled !== false) return;
  throw new Stop("the Worker's workers.dev address is switched off, and wrangler.toml has neither a route nor workers_dev, so that an upload would switch it on again: put workers_dev = false in front of its first [, as it is; or workers_dev = true, if it is to be on; nothing was deployed");
}

/**
 * The KV namespace that an earlier deployment left without its Worker, where it is empty and nobody's; wrangler would make one of this title, and
 * Cloudflare refuse that. Stops where there is something in it: whose that is nobody here knows.
 */
export async function leftBehind(api, account, name) {
  const title = titleOf(name);
  const { id } = (await namespacesOf(api, account)).find((each) => each.title === title) ?? {};
  if (id === undefined) return undefined;
  // Nor is it the one of this very Worker, which somebody else may deploy just now.
  const users = await usersOf(api, account, id);
  const keys = await must(`the KV namespace ${title} could not be looked at`, api.get(`/accounts/${account}/storage/kv/namespaces/${id}/keys?limit=10`));
  if (users.length === 0 && keys.length === 0) return id;
  const why = users.length === 0 ? "is there without a Worker" : `is there, and ${users.map(plain).join(" and ")} ${users.length === 1 ? "uses" : "use"} it`;
  const away = users.length === 0 ? `take it away (${command("down", { ACCOUNT: account })}), or ` : "";
  throw new Stop(`the KV namespace ${title} (${id}) ${why}, and a deployment makes one of this name: ${away}keep it, by the line id = "${id}" below binding = "STATE" in wrangler.toml${away === "" ? ", or put another name into wrangler.toml" : ""}; nothing was deployed`);
}

/** Takes a KV namespace away. Whoever calls this has looked at it just now: what was nobody's a few minutes ago may be somebody's. */
export async function removeNamespace(account, id) {
  await wrangler(["kv", "namespace", "delete", "--namespace-id", id, "--skip-confirmation"], { account });
}

/** The Worker of the account that a host leads to as its custom domain: its name, or none; nothing where that may not be looked at. */
export async function workerAt(api, account, host) {
  try {
    const domains = await api.get(`/accounts/${account}/workers/domains?hostname=${encodeURIComponent(host)}`);
    return domains.find(({ hostname }) => hostname === host)?.service ?? "";
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}

/** The custom domains that the Worker has. */
export async function domainsOf(api, account, name) {
  const what = "the Worker's custom domains could not be looked at";
  const domains = await must(what, api.find(`/accounts/${account}/workers/domains?service=${encodeURIComponent(name)}`));
  return (domains ?? []).filter(({ service }) => service === name).map(({ hostname }) => hostname.toLowerCase());
}

/** Where the Worker is if nobody said another address: its name on the account's workers.dev subdomain. `flag` is for who knows better. */
export async function workersDev(api, account, name, flag) {
  try {
    const { subdomain } = await api.get(`/accounts/${account}/workers/subdomain`);
    return `https://${name}.${subdomain}.workers.dev`;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new Stop(
      `the account's workers.dev subdomain is not known: ${plain(error.message)}; open https://dash.cloudflare.com/${account}/workers-and-pages once, which makes one, or give ${flag}`,
    );
  }
}

/** Whether an address is the Worker's own, as far as Cloudflare tells: its custom domain, or its workers.dev name. What is sent to another one, another Worker may read. */
export async function isAt(api, account, name, address, flag) {
  const host = URL.canParse(address) ? new URL(address).hostname : "";
  if (host === "") return false;
  return (await workerAt(api, account, host)) === name || address === (await workersDev(api, account, name, flag));
}
