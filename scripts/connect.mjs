// Lets the deployed Worker connect itself to ConductorOne, and tells line by line what it changed: what `make connect` runs.
// URL and TOKEN say which Worker (TOKEN belongs into the environment, where no process list shows it); APP, DRY_RUN, UNDO and OVERWRITE what to do. An app that
// nobody named, and that was not connected before, is connected only once somebody at a terminal said so: whoever owns an app can have it look like the
// account's. Exit status: 0 done, 1 not, 2 wrong use, 130 ended by Ctrl-C.

import { command, told } from "./up/commands.mjs";
import { Stop, ask, isInteractive } from "./up/terminal.mjs";
import { underWay } from "./up/underway.mjs";
import { Refusal, Worker, pause, reason } from "./up/worker.mjs";

const { URL: url = "", TOKEN: token = "", APP: app = "" } = process.env;
const on = (name) => !["", "0", "no", "off", "false"].includes((process.env[name] ?? "").toLowerCase());

const MAX_UNANSWERED = 30;

function quit(status, message) {
  console.error(`connect: ${message}`);
  process.exit(status);
}

/** Calls the Worker; a refusal ends the program with the Worker's own sentence. */
async function call(method, path, body) {
  try {
    return await worker.call(method, path, body);
  } catch (error) {
    if (error instanceof Refusal) quit(1, error.message);
    throw error;
  }
}

let printed = 0;
/** What an undo says of a webhook that it leaves there; a line of an entitlement begins with its name, in quotes. */
const stays = [];
function print(report, isShown) {
  for (const line of report.lines) {
    if (line.n <= printed) continue;
    printed = line.n;
    if (!isShown) continue;
    console.log(`${line.what.replace("_", " ").padEnd(13)}${told(line.text)}`);
    if (on("UNDO") && line.what === "left" && line.text.startsWith("The webhook ")) stays.push(told(line.text));
  }
}

/** Has the Worker do it, and gives the report of its end; what fails ends the program. */
async function carriedOut(options, isShown = true) {
  printed = 0;
  let report;
  try {
    report = await call("POST", "/v1/connect", options);
  } catch (error) {
    quit(1, `the Worker did not answer (${reason(error)}); if it had begun, running this again says so`);
  }
  print(report, isShown);
  const run = report.run;
  let unanswered = 0;
  while (report.state === "running" || report.more) {
    if (!report.more) await pause();
    try {
      report = await call("GET", `/v1/connect?after=${printed}`);
      unanswered = 0;
    } catch (error) {
      unanswered += 1;
      if (unanswered > MAX_UNANSWERED) quit(1, `the Worker does not answer any more: ${reason(error)}`);
      await pause();
      continue;
    }
    if (report.run !== run) quit(1, "somebody began another one meanwhile; see GET /v1/connect");
    print(report, isShown);
  }
  if (report.state === "done") return report;
  const message = told(report.message ?? "");
  return quit(1, message === "" ? "it failed, and no reason is told; see GET /v1/connect" : message);
}

/** The id of the app that was not named: the one of the last time, or one that somebody here says is the right one. */
async function foundApp() {
  let before;
  try {
    before = (await call("GET", "/v1/status")).connection?.app?.id;
  } catch (error) {
    quit(1, `the Worker did not answer (${reason(error)}); nothing was begun`);
  }
  const { app: found } = await carriedOut({ dry_run: true, overwrite: on("OVERWRITE") }, false);
  if (found.id === before) return found.id;
  const [name, id] = [found.name, found.id].map(told);
  console.log(`${"found".padEnd(13)}The app is "${name}" (${id}). Whoever owns an app in ConductorOne can have it look like this account's, and its tasks are taken once it is connected.`);
  if (!isInteractive()) quit(2, `nobody is here to ask whether that is the right one, so nothing was changed: name the app, ${command("connect", { URL: url, APP: "…" })}, with its id from ConductorOne's address bar`);
  try {
    if ((await ask("Type yes to connect it", { flag: "APP" })) !== "yes") quit(1, "nothing was changed; APP says which app it is, by its id");
  } catch (error) {
    if (error instanceof Stop) quit(error.status, error.message);
    throw error;
  }
  return found.id;
}

try {
  const parsed = new globalThis.URL(url);
  if (!/^https?:$/.test(parsed.protocol)) throw new Error();
} catch {
  quit(2, `say where the Worker is and what its token is: ${command("connect", { URL: "https://…" })}, with the connector token as TOKEN in the environment`);
}
if (app && on("UNDO")) quit(2, "UNDO puts back what is saved of every app: leave APP out");
if (!token) quit(2, "TOKEN is missing: the secret CONNECTOR_TOKEN of the Worker");
let worker;
try {
  worker = new Worker(url, token);
} catch (error) {
  quit(2, error.message);
}
try {
  await worker.meet();
} catch (error) {
  quit(1, `the Worker did not answer (${reason(error)}); nothing was begun`);
}

if (on("UNDO")) {
  // Where that is not to be found out, what comes next says why.
  const open = await underWay(worker).catch(() => undefined);
  if (open !== undefined) console.log(`${"waits".padEnd(13)}${open}: the Worker goes on with that, so leave it where it is until that has ended. The page tells, under Operations.`);
}

const named = app !== "" || on("DRY_RUN") || on("UNDO") ? app : await foundApp();
const { message } = await carriedOut({ dry_run: on("DRY_RUN"), undo: on("UNDO"), overwrite: on("OVERWRITE"), ...(named && { app_id: named }) });
console.log(told(message ?? ""));
// On standard error, where `down` takes it from: once the connection is forgotten, nothing tells it again.
if (stays.length > 0) console.error(`connect: ${stays.join(" ")} Where the Worker is to go, first set what leads there otherwise in ConductorOne.`);
