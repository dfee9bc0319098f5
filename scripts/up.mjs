// From a clone to a connected account: asks what only the person knows, makes what can be made, deploys, and syncs. What `make up` runs.
// Each answer has a flag, so it runs without a person too: `node scripts/up.mjs --help` lists them. Secrets come by standard input, or are
// typed unseen; they go to wrangler's standard input, and to no command line and no file. It may be run again at any time, and
// changes nothing that is right. Exit status: 0 done, 1 something is not as it should be, 2 wrong use, 130 ended by Ctrl-C.

import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { INTO_C1, command, told } from "./up/commands.mjs";
import { deployedMark, mark, marked } from "./up/mark.mjs";
import { BY_HAND, tokenPage } from "./up/permissions.mjs";
import { OFF, Settings } from "./up/settings.mjs";
import { Bar, Stop, ask, askSecretly, choose, isInteractive, plain, run, say, secretsOfThePipe } from "./up/terminal.mjs";
import { SIDES, areSet, keep, mustBeAsBefore, mustBeKnown, mustBeSecret, mustKeepWorkersDev, takeOver } from "./up/variables.mjs";
import { verify } from "./up/verify.mjs";
import { PRIVATE, Refusal, Worker, isPrivate, pause, reason } from "./up/worker.mjs";
import { accounts, build, crons, deploy, deployed, domainsOf, forgetOthers, isAt, leftBehind, login, mustBeOurs, mustBeThere, mustLeadTo, mustNotBeElsewhere, mustStayOff, removeNamespace, runsAnother, uploadsThere, workerAt, workersDev, wrangler } from "./up/wrangler.mjs";

const HELP = `node scripts/up.mjs            (or: ${command("up", { ACCOUNT: "…", TENANT: "…" })})
  --account <id>               the Cloudflare account: 32 hexadecimal digits
  --tenant <host>              the ConductorOne tenant, such as acme.conductor.one
  --provisioning off|on        off only reviews: it says what it would change; on changes it
  --plan free|paid             the Workers plan of that account
  --url <https://…>            where the Worker is reached, if not at its workers.dev address
  --reach <https://…>          where this machine reaches the Worker, if not there
  --take worker|file           whose variables count, where the deployed Worker has others than wrangler.toml
  --new-tokens                 make new tokens of the connector in place of those that are set, and delete those before
  --show-tokens                print new tokens even where no person is at the terminal
  --no-open                    open no browser
Standard input, where it is no terminal: CLOUDFLARE_API_TOKEN=…, and on a line of its own CONNECTOR_TOKEN=…, CONNECTOR_READ_TOKEN=….`;

const API_TOKEN = "CLOUDFLARE_API_TOKEN";
const FULL = "CONNECTOR_TOKEN";
const READ = "CONNECTOR_READ_TOKEN";
const LEAST_TOKEN = 32;
/** A new workers.dev name is known everywhere after a minute or so, a new secret within seconds. */
const APPEARS_MS = Number(process.env.APPEARS_MS ?? 180_000);
const SYNC_MS = 3_600_000;
/** At most this many kinds of high findings are told by name. */
const MOST_TITLES = 5;
/** How often a sync is asked for where the Worker does not answer. */
const BEGINS = 5;
/** What is found follows a publication within seconds. */
const FINDINGS_MS = 60_000;

const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function options() {
  const on = { type: "boolean", default: false };
  const text = { type: "string" };
  try {
    return parseArgs({
      options: { account: text, tenant: text, provisioning: text, plan: text, url: text, reach: text, take: text, "new-tokens": on, "show-tokens": on, "no-open": on, help: on },
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
  take: ["worker or file", oneOf(...SIDES)],
  reach: [PRIVATE, (text) => (isPrivate(text) ? text : undefined)],
  url: ["https:// and a host, without a path", (text) => /^https:\/\/[a-z0-9.-]+(?::\d+)?$/.exec(text.trim().toLowerCase().replace(/\/+$/, ""))?.[0]],
};

/** The variables that flags set. */
const VARIABLES = [["account", "CLOUDFLARE_ACCOUNT_ID"], ["tenant", "C1_TENANT"], ["url", "PUBLIC_URL"], ["provisioning", "PROVISIONING"], ["plan", "PLAN"]];

/** What else than a workers.dev name leads to a Worker. */
const URL_FLAG = "--url, with a domain of your own whose route stands in wrangler.toml";

/** How a value is given again that stands in wrangler.toml by then, and is not asked for any more. */
const MENDS = {
  C1_TENANT: command("up", { TENANT: "acme.conductor.one" }),
  PUBLIC_URL: command("up", { URL: "https://…" }),
  CLOUDFLARE_API_TOKEN: `${command("up")}, with another API token`,
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

function openInBrowser(url) {
  const [program, ...parameters] = { darwin: ["open", url], win32: ["cmd", "/c", "start", "", url] }[process.platform] ?? ["xdg-open", url];
  const child = spawn(program, parameters, { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}

/** The API token: from the pipe, from the person, or left as the Worker has it. */
async function apiToken(piped, isSet, account, provisioning, isQuiet, turnsOn) {
  // One that was made for reviews reads everything, so that nothing else would tell before the first grant is refused.
  const tell = () => {
    if (turnsOn && isSet) say(`PROVISIONING turns on. The API token that is set cannot be looked at from here: if it has Account Settings: Read, make that Edit at https://dash.cloudflare.com/${account}/api-tokens; its value stays the same.`);
  };
  if (!isInteractive()) {
    if (piped === undefined && isSet) {
      tell();
      return undefined;
    }
    if (piped === undefined) throw new Stop(`${API_TOKEN} is missing: give it by standard input, as in: printf '%s' "$TOKEN" | node scripts/up.mjs …`, 2);
    const wrong = await verify(piped, account, provisioning);
    if (wrong !== undefined) throw new Stop(wrong);
    return piped;
  }
  const page = tokenPage(provisioning === "on");
  say(isSet ? `The Worker has an API token of Cloudflare's. A new one is made here:\n  ${page}` : `Make the API token that the Worker calls Cloudflare with, here:\n  ${page}`);
  say(`  The form is filled in. Account Settings: ${provisioning === "on" ? "Edit" : "Read"} is what it cannot do without; the others are optional, and each is told below.`);
  say(`  To be added by hand, since the form cannot be filled in with them: ${BY_HAND.join(" and ")} (optional too). Account Resources: this one account.`);
  tell();
  if (!isSet && !isQuiet) openInBrowser(page);
  for (;;) {
    const token = await askSecretly(`API token (it is not shown${isSet ? "; Enter keeps the one that is set" : ""})`);
    if (token === "" && isSet) return undefined;
    const wrong = await verify(token, account, provisioning);
    if (wrong === undefined) return token;
    say(`  ${wrong}`);
  }
}

/** Stops where new tokens are asked for and one of standard input may be among those that the Worker takes: it would stay, and may be what leaked. */
async function mustBeNew(worker, name) {
  const status = await worker.ask("GET", "/v1/doctor").then((answered) => answered.status, reason);
  if (status === UNKNOWN) return;
  const why = [200, ...REFUSALS].includes(status)
    ? `the ${name} on standard input is one that the Worker takes already, and --new-tokens is to put another one in its place: leave its line out, or give another one`
    : `whether the Worker takes the ${name} on standard input already is not to be found out at ${worker.base} (${status}): leave its line out, and --new-tokens makes another one`;
  throw new Stop(`${why}; nothing was deployed`, 2);
}

/**
 * Stops where the Worker does not take a token of standard input in place of which another one is set, and nobody asks for new ones: a password store may
 * bring back what leaked. Gives whether it takes it: one that it takes is not set again, since it may be the one before.
 */
async function mustBeTaken(base, token, name) {
  if (!isPrivate(base)) return false;
  const worker = new Worker(base, token);
  const asks = (path) => worker.ask("GET", path).then(({ status }) => status, () => undefined);
  // One that lacks something else, or has it wrong, compares a token for its doctor alone, which costs the account requests.
  const status = await asks("/v1/status");
  if (status === 200) return true;
  if (status !== UNKNOWN && !(status === 503 && (await asks("/v1/doctor")) === UNKNOWN)) return false;
  throw new Stop(`the Worker does not take the ${name} on standard input, and has another one: give that; where this is to be a new one, --new-tokens as well; nothing was deployed`, 2);
}

/**
 * The connector's own two tokens, as they are to be set: those that are set stay. `base` is where the Worker is that has them; `isRunning` tells
 * whether it runs there as it is set.
 */
async function connectorTokens(piped, isSet, isNew, base, isRunning) {
  const tokens = {};
  // The one that only reads is optional: whoever has the other one without it wants none.
  const isToBeMade = (name) => (isSet(name) ? isNew : name === FULL || (!isSet(FULL) && piped[FULL] === undefined));
  // The Worker takes nothing where the two are one: whoever may look could change things.
  if (piped[FULL] !== undefined && piped[FULL] === piped[READ]) throw new Stop(`${FULL} and ${READ} are the same, and have to be two: openssl rand -hex 32 makes another one`, 2);
  for (const name of [FULL, READ]) {
    if (piped[name] !== undefined) {
      if (piped[name].length < LEAST_TOKEN) throw new Stop(`${name} has to have at least ${LEAST_TOKEN} characters: openssl rand -hex 32 makes one`, 2);
      if (isNew && [FULL, READ].some(isSet)) await mustBeNew(new Worker(base, piped[name]), name);
      const isKept = !isNew && isSet(name) && (await isRunning()) && (await mustBeTaken(base, piped[name], name));
      tokens[name] = { value: piped[name], isMade: false, isKept };
    } else if (isToBeMade(name)) tokens[name] = { value: randomBytes(32).toString("hex"), isMade: true };
  }
  while (tokens[FULL] === undefined && isInteractive()) {
    const typed = await askSecretly(`The Worker has a ${FULL}: give it, to look at the Worker with it (it is not shown; Enter makes a new one)`);
    if (typed === "") tokens[FULL] = { value: randomBytes(32).toString("hex"), isMade: true };
    else if (typed === tokens[READ]?.value) say(`  that is the ${READ} that was given: they have to be two`);
    else if (await isTaken(new Worker(base, typed))) tokens[FULL] = { value: typed, isMade: false, isKept: true };
    else say(`  that is not the Worker's ${FULL}: it does not take it`);
  }
  if (tokens[FULL] === undefined) throw new Stop(`the Worker has a ${FULL}: give it by standard input, or --new-tokens for another one`, 2);
  return tokens;
}

/** What the Worker takes beside its tokens while they are rotated: that is told, since nothing else shows it, and goes where new ones were asked for. */
async function tokensBefore(account, isSet, isNew) {
  for (const name of [FULL, READ]) {
    const before = `${name}_PREVIOUS`;
    if (!isSet(before)) continue;
    if (isNew) {
      await wrangler(["secret", "delete", before], { account });
      say(`Secret deleted: ${before}.`);
    } else say(`The Worker takes the token in ${before} as well as ${name}. Once nobody uses that one: npx wrangler secret delete ${before}`);
  }
}

/** What a token of nobody's is answered, and one that may only look. */
const UNKNOWN = 401;
const REFUSALS = [UNKNOWN, 403];

/** Whether the deployed Worker takes the token, as far as it tells: one that does not answer may be mended by what is deployed next. */
async function isTaken(worker) {
  try {
    return !REFUSALS.includes((await worker.ask("GET", "/v1/doctor")).status);
  } catch {
    return true;
  }
}

/** Whether the Worker has the code, the page, the variables and the cron triggers already that an upload would give it, and runs with them. */
async function isDeployed(api, account, name, settings, before, uploads, base) {
  if (await runsAnother(api, account, name)) {
    say(`The Worker ${name} does not run its newest version, as after a rollback: it is deployed again, with PROVISIONING = "${settings.get("PROVISIONING")}".`);
    return false;
  }
  if (uploads === undefined || !areSet(settings, before) || !["STATE", "COORDINATOR"].every((binding) => before.has(binding))) return false;
  if (JSON.stringify(settings.crons) !== JSON.stringify(await crons(api, account, name))) return false;
  return (await deployedMark(base)) === uploads;
}

/**
 * The other Worker that the address leads to as its custom domain, where a route in wrangler.toml is to have it lead to this one, which is in the
 * first of the accounts: no name where there is none, and nothing where no such route is written out or nobody may look. wrangler takes a domain
 * away from another Worker without asking.
 */
async function routed(api, settings, address, name, accounts) {
  const host = URL.canParse(address) ? new URL(address).hostname : "";
  if (host === "" || !settings.routes(host, true)) return undefined;
  for (const [n, each] of accounts.entries()) {
    const worker = await workerAt(api, each, host);
    if (worker !== "" && !(n === 0 && worker === name)) return worker;
  }
  return "";
}

/**
 * Stops where a custom domain in wrangler.toml is another Worker's: as wrangler is run here, it takes a domain away from any other Worker without
 * asking, and puts this one in the place of a DNS record of that name. Such a record its login cannot see. So a person is asked about a domain that no
 * Worker has; where nobody is, that has to be the address of this one.
 */
async function mustTakeNoDomain(api, settings, account, name, url) {
  for (const host of settings.customDomains) {
    const worker = await workerAt(api, account, host);
    if (worker === name) continue;
    const stop = (why) => {
      throw new Stop(`wrangler.toml has the custom domain ${plain(host)} among its routes, ${why}; nothing was deployed`);
    };
    if (worker === undefined) stop("and wrangler's login may not look whose that is, so that an upload might take it away from another Worker: use a login that may edit Workers Scripts, or take that route out");
    if (worker !== "") stop(`which leads to the Worker ${plain(worker)}, and an upload would take it away from that one: take that route out, or first delete the domain in the dashboard (that Worker's Settings, Domains & Routes)`);
    if (isInteractive()) {
      say(`No Worker has ${plain(host)} so far. Where a DNS record of that name leads to something else, it is replaced: wrangler's login cannot see that before.`);
      const leads = await choose(`Is ${plain(host)} to lead to the Worker`, [{ value: "yes", text: "yes, whatever it leads to by now" }, { value: "no", text: "no: stop here" }], {});
      if (leads === "no") stop("and it is not to lead to the Worker: take that route out");
    } else if (host !== new URL(url).hostname) {
      stop("which no Worker has so far and which is not the Worker's address, so that a DNS record of something else might be replaced: take that route out, or attach the domain to the Worker in the dashboard (its Settings, Domains & Routes)");
    }
  }
}

/**
 * Stops where an upload would take a custom domain away from this Worker: those of the file are all that it has from then on, and each other one goes
 * with its DNS record, without asking. A person is asked, unless it is to be the Worker's address; tells whether one goes.
 */
async function mustKeepDomains(api, settings, account, name, url) {
  const named = settings.customDomains;
  // An upload without any leaves them alone.
  if (named.length === 0) return false;
  const lost = (await domainsOf(api, account, name)).filter((host) => !named.includes(host));
  if (lost.length === 0) return false;
  const hosts = lost.map(plain).join(" and ");
  if (isInteractive() && !lost.includes(new URL(url).hostname)) {
    say(`The Worker has ${hosts} so far, and the custom domains among the routes in wrangler.toml are all that it has after an upload: what they lack is taken away from it, with its DNS record.`);
    const goes = await choose(`May ${hosts} go`, [{ value: "yes", text: "yes: nobody is to reach the Worker there any more" }, { value: "no", text: "no: stop here" }], {});
    if (goes === "yes") return true;
  }
  const beside = lost.map((host) => `{ pattern = "${plain(host)}", custom_domain = true }`).join(", ");
  throw new Stop(`wrangler.toml has custom domains among its routes and lacks ${hosts}, so that an upload would take that away from the Worker, with its DNS record: put it beside (${beside}); or, if it may go, first delete it in the dashboard (the Worker's Settings, Domains & Routes); nothing was deployed`);
}

/**
 * Whether wrangler.toml was filled in for another Worker: for one of another account, or for one of another name in this one, as whose address
 * this Worker would be deployed that has none so far. Its own token would go there then. Stops, unless the address is said, or Cloudflare or a
 * route says that it is this one's.
 */
async function isAnothers(api, given, settings, account, name, before) {
  const [files, address] = [settings.get("CLOUDFLARE_ACCOUNT_ID"), settings.get("PUBLIC_URL")];
  const own = before?.get("PUBLIC_URL")?.text ?? "";
  const isElsewhere = files !== "" && files !== account;
  // Which of two addresses is right is asked with the other variables.
  if (!isElsewhere && own !== "") return false;
  const isKnown = [given.url, own].includes(address);
  const leads = address === "" || isKnown || given.url !== undefined ? undefined : await routed(api, settings, address, name, isElsewhere ? [account, files] : [account]);
  const isOwn = address === "" || isKnown || leads === "" || (given.url === undefined && (await isAt(api, account, name, address, URL_FLAG)));
  if (!isOwn && given.url === undefined) {
    const whose = leads === undefined ? `may be that of one that ${isElsewhere ? `governs the account ${plain(files)}` : "has another name"}` : `leads to the Worker ${plain(leads)}`;
    throw new Stop(
      `wrangler.toml has PUBLIC_URL = ${JSON.stringify(plain(address))}, which is not the address of the Worker ${name} in the account ${account} but ${whose}: deploy this one from a clone of its own, or say its address (${command("up", { ACCOUNT: account, URL: "https://…" })}); nothing was deployed`,
    );
  }
  return isElsewhere || !isOwn;
}

/** What changes things in the account or in ConductorOne by itself is not taken over from another Worker's file, nor into another account: `before` is what this Worker has for this one. */
function turnOff(given, settings, before, whose) {
  const named = settings.variables();
  for (const name of ["PROVISIONING", "AUTO_WIRE"]) {
    if (name === "PROVISIONING" && given.provisioning !== undefined) continue;
    // What it has itself is compared with the file.
    if (!named.has(name) || named.get(name) === OFF || before?.get(name)?.text) continue;
    say(`${name}: ${OFF}, since ${plain(named.get(name))} in wrangler.toml was meant for another ${whose}.`);
    settings.set(name, OFF);
  }
}

/** What names ConductorOne's app of one account, or its connector: whose tasks are taken, and what is changed and told there. */
const APPS = ["C1_APP_ID", "ALLOWED_APPS", "C1_CONNECTOR_ID"];

/**
 * Does not take over which app is another Worker's, and asks whose it is where the account is new to the Worker: a file has it still after the
 * Worker of another account was taken away, and a Worker that is to govern another account has it itself.
 */
async function settleApps(settings, before, account, isOthers) {
  const isGoverned = before?.get("CLOUDFLARE_ACCOUNT_ID")?.text === account;
  const own = (name) => before?.get(name)?.text ?? "";
  for (const [name, value] of isOthers ? settings.variables() : []) {
    // What this Worker has itself was compared with the file, and is of the account that it governs.
    if (!APPS.includes(name) || value === "" || (own(name) !== "" && (isGoverned || own(name) !== value))) continue;
    say(`${name}: "", since ${plain(value)} in wrangler.toml was meant for another Worker.`);
    settings.set(name, "");
  }
  if (isGoverned) return;
  const named = settings.variables();
  const value = (name) => (named.has(name) ? named.get(name) : own(name));
  const set = APPS.filter((name) => value(name) !== "");
  if (set.length === 0) return;
  const what = set.map((name) => `${name} = ${JSON.stringify(plain(value(name) ?? "…"))}`).join(", ");
  say(`${what}: that has to be of ConductorOne's app of the account ${account}, which this Worker did not govern so far. If it is another account's, set it to "" under [vars] of wrangler.toml.`);
  if (!isInteractive()) return;
  const whose = await choose("Whose is that", [{ value: "this", text: `of the app of the account ${account}: it stays` }, { value: "other", text: 'another account\'s: it is set to ""' }], {});
  if (whose === "this") return;
  const without = set.filter((name) => named.get(name) === undefined);
  if (without.length > 0) throw new Stop(`put ${without.map((name) => `${name} = ""`).join(" and ")} under [vars] of wrangler.toml, and run this again; nothing was deployed`);
  for (const name of set) {
    say(`${name}: "".`);
    settings.set(name, "");
  }
}

/** Says what still leads to the address that the Worker had, where it moves: ConductorOne knows that one. Gives it in words then. */
function tellMoved(url, before) {
  const formerly = before.get("PUBLIC_URL")?.text ?? "";
  if (url === "" || formerly === url) return undefined;
  if (formerly === "") {
    say(`The Worker may have learned another address than ${url} (public_url of /v1/status tells). Then ConductorOne's webhook leads to that one, and what it sends there is refused from now on: run ${command("connect", { URL: url })} once this is through.`);
    return undefined;
  }
  say(`The Worker was known by ${plain(formerly)}, and is known by ${url} from now on. ConductorOne's webhook leads to the old address, and what it sends there is refused from now on: run ${command("connect", { URL: url })} once this is through, and change the address wherever else ConductorOne or SCIM has it.`);
  return plain(formerly);
}

/** Says what becomes of the tenant that the Worker had, where it is to be another one's; a person is asked, since that may have been meant for another Worker. */
async function tellTenant(tenant, before) {
  const former = before.get("C1_TENANT")?.text ?? "";
  if (former === "" || former.trim().toLowerCase() === tenant) return;
  say(`Until now the Worker took what the ConductorOne tenant ${plain(former)} sends. It is to be of ${tenant}, and refuses that from now on, though what is connected there leads here still: put it back first (${command("connect", { UNDO: "1" })}, with the API key of that tenant).`);
  if (!isInteractive()) return;
  const moves = await choose(`Is the Worker to be of ${tenant}`, [{ value: "yes", text: `yes: ${plain(former)} is to reach it no more` }, { value: "no", text: "no: stop here" }], {});
  if (moves === "no") throw new Stop(`the Worker's tenant stays ${plain(former)}: nothing was deployed`);
}

/** Whether an address is the Worker's own, as far as Cloudflare tells; one that cannot be looked at is not known to be. */
async function isKnownAt(api, account, name, url) {
  try {
    return await isAt(api, account, name, url, URL_FLAG);
  } catch (error) {
    if (error instanceof Stop) return false;
    throw error;
  }
}

/** Says how a domain of one's own leads to the Worker, where nothing that is known does; a person is asked, since the address may be mistyped. */
async function tellRoute(api, settings, account, name, url, before) {
  const { hostname } = new URL(url);
  if (before?.get("PUBLIC_URL")?.text === url || settings.routes(hostname) || (await isKnownAt(api, account, name, url))) return;
  if (hostname.endsWith(".workers.dev")) say(`${hostname} is not the name of the Worker ${name} on workers.dev. Unless what has that name leads to it, stop here.`);
  else {
    say(`Nothing in wrangler.toml has ${hostname} lead to the Worker. Unless something else does, stop here, and put this in front of its first [ (the domain has to be a zone of the account):`);
    say(`  routes = [{ pattern = "${hostname}", custom_domain = true }]`);
  }
  if (!isInteractive()) return;
  const leads = await choose(`Does ${hostname} lead to the Worker`, [{ value: "yes", text: "yes, or it will once this is through" }, { value: "no", text: "no: stop here" }], {});
  if (leads === "no") throw new Stop(`${hostname} does not lead to the Worker: put the route into wrangler.toml, or give another address; nothing was deployed`);
}

/** Whether what answers goes by another PROVISIONING than was deployed: it is what ran before, or another Worker. */
const isOther = (checks, provisioning) => checks.some(({ name, ok }) => name === "PROVISIONING" && ok !== (provisioning === "on"));

/** Asks the doctor until the Worker is there with its new variables and secrets. A token that was set before it has from the first. */
async function examine(worker, isKept, provisioning) {
  const deadline = Date.now() + APPEARS_MS;
  let last = "";
  let waits = false;
  for (;;) {
    let isRefused = false;
    try {
      const { status, answer } = await worker.ask("GET", "/v1/doctor");
      isRefused = REFUSALS.includes(status);
      if (Array.isArray(answer.checks)) {
        // Right after the upload and after the secrets were set, an isolate may still run without them.
        const failed = answer.checks.filter(({ ok, required }) => required && !ok);
        const isBefore = isOther(answer.checks, provisioning);
        if (Date.now() >= deadline || (!isBefore && (failed.length === 0 || !failed.every(({ name }) => [API_TOKEN, FULL, READ].includes(name))))) return answer;
        last = isBefore ? `PROVISIONING is not ${provisioning} there` : failed.map(({ message }) => message).join("; ");
      } else last = `${answer.detail ?? status} (${answer.code ?? status})`;
    } catch (error) {
      last = reason(error);
    }
    if (isRefused && (isKept || Date.now() >= deadline)) throw new Stop(`the Worker at ${worker.base} does not take this ${FULL}: ${told(last)}`);
    if (Date.now() >= deadline) {
      throw new Stop(`the Worker does not answer at ${worker.base}: ${told(last)}; a new name takes a few minutes now and then: open ${worker.base}/healthz in a browser, and when it says ok run this again. Where another address leads there: ${command("up", { URL: "https://…" })}`);
    }
    if (!waits) say(`  it is not there yet (${told(last)}): waiting, for three minutes at most`);
    waits = true;
    await pause();
  }
}

/** Has a sync begin, unless one runs; a Worker that does not answer for a moment is asked again. */
async function begin(worker) {
  for (let asked = 1; ; asked += 1) {
    try {
      return await worker.call("POST", "/v1/sync");
    } catch (error) {
      if (error.code === "sync_running") return undefined;
      if (error instanceof Refusal || asked === BEGINS) throw new Stop(`the sync does not start: ${reason(error)}`);
    }
    await pause();
  }
}

/** Starts a sync, unless one runs, and shows it to its end; gives the status then. */
async function sync(worker) {
  await begin(worker);
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
        if (unanswered > 60) throw new Stop(`the Worker does not answer any more: ${reason(error)}`);
        continue;
      }
      if (status.running === null) {
        const run = status.runs.find(({ by }) => by !== "audit log");
        if (status.state === "error" || status.generations.length === 0) throw new Stop(`the sync failed: ${told(run?.message ?? "no reason told")}`);
        bar.show(1, 1, "done");
        return status;
      }
      const { phase, pages_done: done, pages_total: total, members_seen: people, trouble } = status.running;
      bar.show(done, total, `${phase.replaceAll("_", " ")}, ${count(people, "person", "people")}${trouble ? `; ${trouble}` : ""}`);
    }
  } finally {
    bar.end();
  }
  throw new Stop("the sync goes on by itself, and takes longer than an hour; see GET /v1/status, or the page");
}

/** The open findings, once the newest generation was looked through; nothing where that did not come to an end, or cannot be asked. */
async function findings(worker, generation) {
  const deadline = Date.now() + FINDINGS_MS;
  for (; Date.now() < deadline; await pause()) {
    try {
      const { jobs } = await worker.call("GET", "/v1/status");
      const { state } = jobs.find(({ kind, subject }) => kind === "findings" && subject.startsWith(generation)) ?? {};
      if (state === "failed") return undefined;
      if (state === "done") return await openFindings(worker);
    } catch {
      // The account is connected, whatever becomes of one call: the next one may tell.
    }
  }
  return undefined;
}

async function openFindings(worker) {
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
  mustBeKnown(settings);
  const piped = await secretsOfThePipe([API_TOKEN, FULL, READ]);
  const name = settings.get("name");
  const api = await login();

  const account = await chooseAccount(api, given, settings.get("CLOUDFLARE_ACCOUNT_ID"));
  mustLeadTo(settings, account, "nothing was deployed");
  const before = await deployed(api, account, name);
  mustBeOurs(before, name, account, "nothing was deployed");
  mustBeSecret(before, settings);
  // One without its Durable Object never ran: wrangler makes it for secrets that somebody sets beforehand, and it has nothing else.
  const isFirst = !before?.has("COORDINATOR");
  if (isFirst) await mustNotBeElsewhere(api, account, name);
  await mustBeThere(api, account, name, settings, before?.get("STATE")?.namespace_id);
  const left = before?.has("STATE") || settings.namesNamespace ? undefined : await leftBehind(api, account, name);
  const governed = before?.get("CLOUDFLARE_ACCOUNT_ID")?.text ?? "";
  const isMoved = governed !== "" && governed !== account;
  if (isMoved && given.account === undefined) {
    throw new Stop(`the Worker ${name} in the account ${account} governs another account, ${plain(governed)}: give --account ${account}, to have it govern this one from now on, or another name in wrangler.toml; where it is to go on governing that one from here, upload it with its own wrangler.toml (${uploadsThere(account)})`);
  }
  const isOthers = await isAnothers(api, given, settings, account, name, before);
  if (isOthers || isMoved) turnOff(given, settings, governed === account ? before : undefined, isMoved ? "account" : "Worker");
  if (!isFirst) {
    if (isMoved) {
      say(`Until now the Worker governed the account ${plain(governed)}. Whatever ConductorOne's app of that account asks for comes here still, and is carried out in ${account} where the id of a role is the same: put it back first (${command("connect", { UNDO: "1" })} with the account that was), or set C1_APP_ID to the app of this account before PROVISIONING is on.`);
    }
    await takeOver(settings, before, new Set(VARIABLES.filter(([flag]) => flag === "account" || given[flag] !== undefined).map(([, variable]) => variable)), given.take);
    keep(settings, before);
  }
  await settleApps(settings, before, account, isOthers);
  const tenant = await answer(given, "tenant", { now: settings.get("C1_TENANT"), question: "ConductorOne tenant, as in the address bar (such as acme.conductor.one)" });
  if (!isFirst) await tellTenant(tenant, before);
  // The file comes with values; the first time they are only proposed.
  const known = (variable) => (isFirst ? { fallback: settings.get(variable) } : { now: settings.get(variable) });
  const provisioning = await answer(given, "provisioning", { ...known("PROVISIONING"), question: "Change access when ConductorOne asks (on), or only say what would be changed (off)" });
  const plan = await answer(given, "plan", { ...known("PLAN"), question: "Workers plan of the account, free or paid" });
  const url = await answer(given, "url", { now: given.url ?? (settings.get("PUBLIC_URL") || (await workersDev(api, account, name, URL_FLAG))), question: "Address of the Worker" });
  await mustTakeNoDomain(api, settings, account, name, url);
  const goes = await mustKeepDomains(api, settings, account, name, url);
  // One that was deployed without its address has learned it.
  mustKeepWorkersDev(settings, url, isFirst ? "" : before.get("PUBLIC_URL")?.text || undefined);
  const has = (secret) => before?.get(secret)?.type === "secret_text";
  // One without this secret was never put up to the end: a first run that was ended may have uploaded it, and not switched its address on yet.
  const mustBeOff = () => (isFirst || !has(FULL) ? undefined : mustStayOff(api, account, name, settings));
  await mustBeOff();
  await tellRoute(api, settings, account, name, url, before);
  // A Worker that was deployed without it has learned it, and may have learned another one.
  const isLearned = !isFirst && given.url === undefined && settings.get("PUBLIC_URL") === "";

  const token = await apiToken(piped[API_TOKEN], has(API_TOKEN), account, provisioning, given["no-open"], provisioning === "on" && before?.get("PROVISIONING")?.text !== "on");
  const there = given.reach ?? before?.get("PUBLIC_URL")?.text;
  // One that was never deployed has no token yet, and one that was rolled back may have those of then; and an address that is not known to be its own is sent none so early.
  const isRunning = async () => !isFirst && !(await runsAnother(api, account, name)) && (given.reach !== undefined || there === url || isKnownAt(api, account, name, there || url));
  const tokens = await connectorTokens(piped, has, given["new-tokens"], there || url, isRunning);
  const made = Object.entries(tokens).filter(([, { isMade }]) => isMade);
  const shows = isInteractive() || given["show-tokens"];
  if (made.length > 0 && !shows) throw new Stop(`${made.map(([each]) => each).join(" and ")} would be made, and nobody is here to see them: give them by standard input, or --show-tokens`, 2);

  const values = { account, tenant, url: isLearned ? "" : url, provisioning, plan };
  for (const [flag, variable] of VARIABLES) settings.set(variable, values[flag]);
  say(settings.write() ? "wrangler.toml: written." : "wrangler.toml: as it should be.");

  const formerly = isFirst ? undefined : tellMoved(values.url, before);

  await build();
  const uploads = mark(settings);
  if (!isFirst && !goes && (await isDeployed(api, account, name, settings, before, uploads, given.reach ?? url))) {
    say(`The Worker ${name} is what would be uploaded: it stays as it is.`);
  } else {
    say(`Deploying ${name}${isFirst ? "" : " again"}…`);
    // Since it was looked at, questions were asked and a build ran.
    mustBeAsBefore(before, await deployed(api, account, name));
    await mustBeOff();
    const still = left === undefined ? undefined : await leftBehind(api, account, name);
    if (still !== undefined) await removeNamespace(account, still);
    const targets = await marked(uploads, () => deploy(account));
    say(`  deployed${targets.length === 0 ? "" : `: ${targets.map(plain).join(", ")}`}`);
  }
  forgetOthers(account);

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
  await tokensBefore(account, has, given["new-tokens"]);

  const worker = new Worker(given.reach ?? url, tokens[FULL].value);
  say("The doctor:");
  const { ok, checks } = await examine(worker, tokens[FULL].isKept, provisioning);
  for (const check of checks) say(`  ${check.ok ? "ok     " : check.required ? "MISSING" : "off    "}  ${plain(check.name)}: ${told(check.message)}`);
  if (isOther(checks, provisioning)) {
    throw new Stop(`what answers at ${worker.base} does not go by PROVISIONING = ${provisioning}, which was deployed: an older version of the Worker runs there, as after a rollback, or another Worker does. Look at the Worker's deployments in the dashboard, deploy its newest version there, and run this again`);
  }
  if (!ok) {
    const ways = checks.filter((check) => check.required && !check.ok).flatMap(({ name: what }) => (what in MENDS ? [MENDS[what]] : []));
    throw new Stop(`put right what is missing, and run this again${ways.length === 0 ? "" : `: ${[...new Set(ways)].join(", and ")}`}`);
  }

  say("The account is read:");
  const { generations, connection } = await sync(worker);
  const { generation, counts } = generations[0];
  const open = await findings(worker, generation);
  const high = open?.filter(({ severity }) => severity === "high") ?? [];
  const found = open === undefined ? "and the findings are still to come: see the page" : `${count(open.length, "finding")}, ${high.length} of them high`;
  say(`\n${count(counts.users, "person", "people")}, ${count(counts.roles, "role")}, ${found}.`);
  const titles = [...new Set(high.map(({ title }) => title))];
  for (const title of titles.slice(0, MOST_TITLES)) say(`  high: ${plain(title)} (${high.filter((each) => each.title === title).length})`);
  if (titles.length > MOST_TITLES) say(`  and ${count(titles.length - MOST_TITLES, "more kind")}: the page has all of them`);
  const looks = READ in tokens || has(READ) ? `, or with ${READ} to look alone` : "";
  say(`\nThe page:  ${url}/   (sign in with ${FULL}${looks})`);
  say(`What comes next: let ConductorOne take the account in, as ${INTO_C1} says, and then run this, with the connector's token as TOKEN in the environment (the page's view Now has the same):`);
  // Alone on its line: whoever copies that gives the command nothing else.
  say(`  ${command("connect", { URL: url, DRY_RUN: 1 })}`);
  if (provisioning === "off") say(`Nothing is changed in the account so far. When a test grant says what it would have done: ${command("up", { PROVISIONING: "on" })}`);
  // Until somebody does that, every task of ConductorOne's fails: this is no run that went well.
  if (formerly !== undefined && connection?.webhook != null) {
    throw new Stop(`ConductorOne's webhook leads to ${formerly}, and what it sends is refused, since the Worker is known by ${url} now: connect once more (${command("connect", { URL: url })})`);
  }
  return undefined;
});
