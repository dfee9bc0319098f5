// Takes away what `make up` made: says what that is, asks, and does it. What `make down` runs. May be run again: what is gone already is
// left out. Exit status: 0 done, 1 something is not as it should be, 2 wrong use, 130 ended by Ctrl-C.

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { command } from "./up/commands.mjs";
import { SHIPPED, Settings } from "./up/settings.mjs";
import { Stop, ask, isInteractive, isPiped, plain, run, say, secretsOfThePipe } from "./up/terminal.mjs";
import { underWay } from "./up/underway.mjs";
import { PRIVATE, Worker, isPrivate, reason } from "./up/worker.mjs";
import { deployed, elsewhere, isAt, login, mustBeOurs, mustLeadTo, namespacesOf, removeNamespace, titleOf, usersOf, workersDev, wrangler } from "./up/wrangler.mjs";

const HELP = `node scripts/down.mjs          (or: ${command("down", { YES: true })})
  --account <id>               the Cloudflare account that it is in, if not CLOUDFLARE_ACCOUNT_ID in wrangler.toml
  --yes                        do not ask
  --abandon                    take the Worker away though operations are under way, something of ConductorOne's may go on leading to it, or
                               standard input brings no CONNECTOR_TOKEN
  --reach <https://…>          where this machine reaches the Worker, if not at PUBLIC_URL
Standard input, where it is no terminal: CONNECTOR_TOKEN=…, with which ConductorOne's entitlements are put back first; lines of the other two
tokens are not used.`;

const FULL = "CONNECTOR_TOKEN";
/** What a password store has for `up` as well, and is not needed here. */
const UNUSED = ["CLOUDFLARE_API_TOKEN", "CONNECTOR_READ_TOKEN"];

/** The command line that takes the Worker away whatever that leaves behind. */
const ABANDON = command("down", { YES: true, ABANDON: true });

/** Whether something in ConductorOne leads to the Worker, or may: what it cannot read of its connection may be one. */
async function isConnected(worker) {
  const { connection, set_aside: unread = [] } = await worker.call("GET", "/v1/status");
  return connection?.webhook != null || connection?.connected_at != null || unread.some(({ table }) => table.startsWith("connect_"));
}

await run("down", async () => {
  const on = { type: "boolean", default: false };
  let given;
  try {
    given = parseArgs({ options: { account: { type: "string" }, yes: on, abandon: on, reach: { type: "string" }, help: on } }).values;
  } catch (error) {
    throw new Stop(`${error.message}\n${HELP}`, 2);
  }
  if (given.help) return say(HELP);
  const settings = new Settings();
  const piped = await secretsOfThePipe([FULL, ...UNUSED]);
  const [name, files] = ["name", "CLOUDFLARE_ACCOUNT_ID"].map((key) => settings.get(key));
  if (given.account !== undefined && !/^[0-9a-f]{32}$/.test(given.account)) throw new Stop("--account has to be 32 lower-case hexadecimal digits", 2);
  const account = given.account ?? files;
  if (account === "") return say("There is nothing to take away: wrangler.toml names no account, and --account gives none.");
  mustLeadTo(settings, account, "nothing was taken away");
  const api = await login();
  const bindings = await deployed(api, account, name);
  mustBeOurs(bindings, name, account, "nothing was taken away");
  // The file may have been filled in for another Worker, and that one has no business with this one's token.
  const known = async () => {
    const own = bindings.get("PUBLIC_URL")?.text;
    if (own) return own;
    // A Worker that was deployed without its address has learned it, and nobody wrote it down.
    const address = settings.get("PUBLIC_URL");
    return (await isAt(api, account, name, address, "--reach")) ? address : workersDev(api, account, name, "--reach");
  };
  if (given.reach && !isPrivate(given.reach)) throw new Stop(`--reach has to be ${PRIVATE}`, 2);
  const url = bindings && (given.reach || (await known()));
  const title = titleOf(name);
  const namespaces = await namespacesOf(api, account);
  const bound = bindings?.get("STATE")?.namespace_id;
  // Without a Worker only the name tells which one was its own.
  const namespace = namespaces.find(({ id, title: each }) => (bound === undefined ? each === title : id === bound));
  const isOwn = namespace?.title === title;
  const users = isOwn ? await usersOf(api, account, namespace.id, name) : [];

  say(`This takes away, from the account ${account}:`);
  if (bindings === undefined) {
    say(`  no Worker ${name}: there is none in this account`);
    const others = await elsewhere(api, account, name);
    for (const { value, text } of others) say(`  (there is one in the account ${plain(text)}: ${command("down", { ACCOUNT: value })})`);
    if (others.length === 0) say("  (one in an account that wrangler's login does not see would not be found)");
  } else {
    say(`  the Worker ${name} with its cron trigger, its page and its secrets`);
    say("  its Durable Object: the journal of all operations, findings and what was accepted, the connection to ConductorOne");
  }
  if (users.length > 0) say(`  not the KV namespace ${title}, which ${users.map(plain).join(" and ")} ${users.length === 1 ? "uses" : "use"} as well`);
  else if (isOwn) say(`  the KV namespace ${title}: the snapshot of the account`);
  else if (namespace !== undefined) say(`  not the KV namespace ${namespace.title}, which was not made for this Worker`);
  // What the file has for another account's Worker stays.
  const isFiles = [account, bindings?.get("CLOUDFLARE_ACCOUNT_ID")?.text].includes(files);
  say(isFiles ? "and the values in wrangler.toml." : `The values in wrangler.toml stay, since it names ${files === "" ? "no account" : `the account ${plain(files)}`}.`);
  say("What it changed in the account stays as it is.");
  if (piped[FULL] === undefined && bindings !== undefined) {
    say(`ConductorOne's entitlements that lead to this Worker are put back only by this, before: ${command("connect", { URL: url, UNDO: 1 })}`);
    say(`Whether operations are under way is not known without ${FULL}: nobody goes on with them once the Worker is gone. The page tells, under Operations.`);
  }
  if (!given.yes) {
    if (!isInteractive()) throw new Stop(`nobody is here to ask: give --yes (${command("down", { YES: true })})`, 2);
    if ((await ask(`Type ${name} to do it`, { flag: "--yes" })) !== name) throw new Stop("nothing was taken away");
  } else if (bindings !== undefined && piped[FULL] === undefined && isPiped() && !given.abandon) {
    // Where what was to bring it failed, the pipe is as empty as where nobody meant to bring anything.
    throw new Stop(`standard input brought no ${FULL}, so nothing was taken away: give it, or say that what is connected may lead nowhere (${ABANDON})`, 2);
  }

  if (bindings !== undefined && piped[FULL] !== undefined) {
    const stop = (why) => {
      const without = `Without ${FULL} on standard input, ${ABANDON} takes the Worker away all the same, and what is connected leads nowhere.`;
      throw new Stop(`ConductorOne's entitlements were not put back, so nothing was taken away: ${why.replace(/[^.]$/, "$&.")} ${without}`);
    };
    const worker = new Worker(url, piped[FULL]);
    const mustHaveEnded = async (what, unknown) => {
      const open = given.abandon ? undefined : await underWay(worker).catch((error) => unknown(reason(error)));
      if (open === undefined) return;
      throw new Stop(`${open}, so nothing was taken away: the Worker ends that by itself, and the page tells how far it is, under Operations. ${what} With --abandon (${ABANDON}) nobody goes on with it`);
    };
    // Where something is always put off, there is no end of it as long as ConductorOne asks for more.
    await mustHaveEnded(`Run this again then. Where more comes meanwhile, have ConductorOne's entitlements put back before: ${command("connect", { URL: url, UNDO: 1 })}, with ${FULL} as TOKEN in the environment.`, stop);
    const undo = spawnSync(process.execPath, ["scripts/connect.mjs"], {
      stdio: ["ignore", "inherit", "pipe"],
      encoding: "utf8",
      env: { ...process.env, URL: url, TOKEN: piped[FULL], UNDO: "1", APP: "" },
    });
    if (undo.status !== 0) {
      if (!undo.stderr.includes("connect_not_configured")) stop(undo.stderr.trim().replace(/^connect: /, ""));
      // A Worker without a key of ConductorOne's was never connected, or somebody took the key away again after that.
      if (await isConnected(worker).catch((error) => stop(reason(error)))) {
        stop(`the Worker is connected, and has no key to do it with. Set its secrets C1_CLIENT_ID and C1_CLIENT_SECRET again, and run this again.`);
      }
    }
    // What led here before it was connected is saved nowhere, so that it was not put back: the undo tells of it alone, by the webhook that stays.
    const left = undo.status === 0 && !given.abandon ? /^connect: (.+)$/m.exec(undo.stderr)?.[1] : undefined;
    if (left !== undefined) {
      throw new Stop(`the entitlements are put back that the Worker pointed here, but something else may lead here, so nothing was taken away: ${left} Then run this again, which does not tell it again; or take the Worker away all the same (${ABANDON}), and what leads there leads nowhere`);
    }
    const unsure = (why) => {
      throw new Stop(`the entitlements are put back, and what is under way was not to be found out then, so nothing was taken away: run this again (${why})`);
    };
    // That takes minutes, and until an entitlement was put back ConductorOne went on sending what it asks for.
    await mustHaveEnded("The entitlements are put back: run this again once those have ended.", unsure);
  }
  if (bindings !== undefined) {
    await wrangler(["delete", "--force"], { account });
    say(`The Worker ${name} is gone.`);
  }
  if (isOwn && users.length === 0) {
    // Since it was looked at, somebody was asked and the Worker went. One of its name that was not there before is somebody's.
    const [by] = await usersOf(api, account, namespace.id, bindings === undefined ? undefined : name);
    if (by !== undefined) throw new Stop(`the KV namespace ${title} stays, since ${plain(by)} uses it by now: run this again, to see what is left`);
    await removeNamespace(account, namespace.id);
    say(`The KV namespace ${title} is gone.`);
  }
  const named = settings.variables();
  if (isFiles) for (const [key, value] of Object.entries(SHIPPED)) if (named.has(key)) settings.set(key, value);
  // What somebody set beside that may be of this account alone, and the next deployment would have it.
  const stays = [...settings.variables()].filter(([key, value]) => value !== "" && value !== SHIPPED[key]).map(([key]) => plain(key));
  if (settings.write()) say(stays.length === 0 ? "wrangler.toml is as before." : `wrangler.toml is as before, but for what stays there and the next ${command("up")} deploys: ${stays.join(", ")}.`);
  // What somebody wrote there is not taken out, and a deployment would bind what is gone.
  const isGone = isOwn && users.length === 0 && settings.namespaces.includes(namespace.id);
  if (isGone) say(`wrangler.toml still names that namespace: take the line id = "${namespace.id}" out before the next ${command("up")}.`);
  say(`What is left is the API token: delete it at https://dash.cloudflare.com/${account}/api-tokens`);
  say("So is what was set up beside the Worker, where it was: ConductorOne's API key; the bucket's key or SAS URL, the file there and ConductorOne's data source for it;");
  say("the incoming webhook and the automations of signals; the Access application of the page.");
  return undefined;
});
