// The values in wrangler.toml that `make up` fills in. The rest of the file, its comments too, stays as it is.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Stop } from "./terminal.mjs";

const FILE = "wrangler.toml";

/** The column of the comments behind values. */
const COMMENTS = 42;

/** How a switch stands that lets the connector change nothing. */
export const OFF = "off";

/** The variables as the repository has them, before anybody sets them. */
export const SHIPPED = { CLOUDFLARE_ACCOUNT_ID: "", C1_TENANT: "", PUBLIC_URL: "", PROVISIONING: OFF, AUTO_WIRE: OFF, PLAN: "free" };

/** A text as TOML may write it: over several lines, or between quotes, or between apostrophes, where nothing is escaped. */
const TEXT = String.raw`"""[\s\S]*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'`;

/** A key as TOML may write it, bare or quoted, and several with dots between them. */
const KEY = String.raw`(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')`;
const KEYS = String.raw`${KEY}(?:[ \t]*\.[ \t]*${KEY})*`;

/**
 * A line, or several where a value goes over them: a heading; or keys and a text; or keys and what is no text, or is not understood here;
 * or anything else. A text is passed over whole: a line in it may begin like a heading.
 */
const STATEMENT = new RegExp(
  String.raw`^[ \t]*(?:\[\[?[ \t]*(?<heading>${KEYS})[ \t]*\]\]?[ \t]*(?:#.*)?$|(?<keys>${KEYS})[ \t]*=[ \t]*(?:(?<written>${TEXT})(?<rest>[ \t]*(?:#.*)?)$|(?<other>[^\n]*))|(?<idle>(?:#.*)?)$|[^\n]*)`,
  "gm",
);

/** What leads to the Worker besides its workers.dev address stands below one of these. */
const ROUTES = ["route", "routes"];

/** The keys of `a."b".c`. */
const keysOf = (text) => text.match(new RegExp(KEY, "g")).map((key) => (/^["']/.test(key) ? (read(key) ?? key) : key));

/** The text that is written so; nothing where it is no text, or written in a way that is not understood here. */
function read(written) {
  const long = /^(?:"""|''')\r?\n?([\s\S]*)(?:"""|''')$/.exec(written);
  if (long !== null) return written.startsWith('"') && long[1].includes("\\") ? undefined : long[1];
  if (written.startsWith("'")) return written.slice(1, -1);
  try {
    const value = JSON.parse(written);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}

export class Settings {
  #text;
  #read;

  constructor() {
    try {
      this.#read = readFileSync(FILE, "utf8");
    } catch {
      throw new Stop(`${FILE} is not here: run this in the project's folder`, 2);
    }
    this.#text = this.#read;
  }

  /** What the file states, each with its table's keys and its own. */
  #statements() {
    let table = [];
    return [...this.#text.matchAll(STATEMENT)].map(({ 0: whole, index, groups: { heading, keys, written, rest, other, idle } }) => {
      if (heading !== undefined) table = keysOf(heading);
      const path = keys === undefined ? undefined : [...table, ...keysOf(keys)];
      return { table, path, whole, index, written, rest, other, isHeading: heading !== undefined, isIdle: idle !== undefined };
    });
  }

  /** Where a key's text stands: the Worker's name in front of all tables, a variable among the variables. */
  #find(name) {
    const path = name === "name" ? name : `vars.${name}`;
    return this.#statements().find((each) => each.path?.join(".") === path && each.written !== undefined);
  }

  /** The text of a key that stands once in the file. */
  get(name) {
    const value = read(this.#find(name)?.written ?? "");
    if (value === undefined) throw new Stop(`${FILE} has no line ${name} = "…"${name === "name" ? "" : " under [vars]"}: put it back, as it is in the repository`, 2);
    return value;
  }

  /** The variables that the file names, each with its text, or with nothing where that is not understood here. */
  variables() {
    const found = new Map();
    for (const { table, path, written, other } of this.#statements()) {
      const [first, name] = path ?? table;
      if (first !== "vars") continue;
      if (path?.length === 2) found.set(name, read(written ?? ""));
      // A table of its own is a variable too.
      else if (name !== undefined) found.set(name, undefined);
      // `vars = { NAME = "…" }`
      else if (path !== undefined) for (const [, key] of (other ?? "").matchAll(new RegExp(`[{,][ \\t]*(${KEYS})[ \\t]*=`, "g"))) found.set(keysOf(key)[0], undefined);
    }
    return found;
  }

  /** The file without the variables that `variables` tells the text of. What is not understood here is left in. */
  withoutVariables() {
    const isTold = ({ table, path, written, isIdle }) =>
      path === undefined ? isIdle && table.join(".") === "vars" : path.length === 2 && path[0] === "vars" && read(written ?? "") !== undefined;
    return this.#statements().filter((each) => !isTold(each)).map(({ whole }) => whole).join("\n");
  }

  /** Whether the file has a key of this name in front of all tables, or a table of it. */
  has(name) {
    return this.#statements().some(({ table, path }) => (path ?? table)[0] === name);
  }

  /** Whether wrangler takes another account than this from the file, which counts before the one that it is told. What is not understood here may be another. */
  leadsElsewhere(account) {
    const stated = this.#statements().find(({ path }) => path?.join(".") === "account_id");
    return stated !== undefined && !["", account].includes(read(stated.written ?? ""));
  }

  /** What stands behind a key in the file, where that is no text. */
  #other(path) {
    return this.#statements().find((each) => each.path?.join(".") === path)?.other ?? "";
  }

  /** The cron triggers; nothing where they are written in a way that is not understood here. */
  get crons() {
    try {
      return JSON.parse(/^\[[^\]\n]*\]/.exec(this.#other("triggers.crons"))?.[0] ?? "");
    } catch {
      return undefined;
    }
  }

  /** Whether a deployment leaves the variables alone that the Worker has and the file does not name. */
  get keeps() {
    return /^true\b/.test(this.#other("keep_vars"));
  }

  /** The ids of the KV namespaces that it names, as far as they are understood here. */
  get namespaces() {
    const named = this.#statements().filter(({ path }) => ["kv_namespaces", "kv_namespaces.id"].includes(path?.join(".")));
    const ids = named.flatMap(({ whole }) => [...whole.replace(/#.*/, "").matchAll(/\bid[ \t]*=[ \t]*["']([0-9a-f]{32})["']/g)]);
    return ids.map(([, id]) => id);
  }

  /** Whether it names a KV namespace by its id: wrangler makes none then. */
  get namesNamespace() {
    return /^[^#\n]*\bid[ \t]*=[ \t]*["'][0-9a-f]{32}["']/m.test(this.#text);
  }

  /** Whether a route of the file leads from this host to the Worker, as far as it is written out there. */
  routes(host, isOwn = false) {
    const own = isOwn ? "[^#\\n]*custom_domain\\s*=\\s*true" : "";
    const route = new RegExp(`^[^#\\n]*["'](?:${host.replaceAll(".", "\\.")})(?:/[^"'\\n]*)?["']${own}`, "m");
    return route.test(this.withoutVariables());
  }

  /** The custom domains among its routes, as far as they are written out there. */
  get customDomains() {
    let isIn = false;
    const lines = this.#statements().filter(({ table, path, isHeading }) => {
      // What is neither a heading nor has a key goes on with what stands before it.
      if (isHeading || path !== undefined) isIn = ROUTES.includes((path ?? table)[0]);
      return isIn;
    });
    // Each route stands behind a bracket of its own.
    const routes = lines.map(({ whole }) => whole.replace(/#.*/, "")).join("\n").split(/[[{]/);
    const own = routes.filter((route) => /\bcustom_domain["']?\s*=\s*true\b/.test(route));
    return own.flatMap((route) => /\bpattern["']?\s*=\s*["']+([^"'\n]+)["']/.exec(route)?.[1].toLowerCase() ?? []);
  }

  /** Whether wrangler switches the Worker's workers.dev address off by itself: so it does where there is a route, unless the file says what is to be. */
  get hidesWorkersDev() {
    return ROUTES.some((key) => this.has(key)) && !this.has("workers_dev");
  }

  /** Whether wrangler switches it on by itself: so it does where there is neither. */
  get showsWorkersDev() {
    return ![...ROUTES, "workers_dev"].some((key) => this.has(key));
  }

  /** Whether the file itself has that address off. */
  get hasWorkersDevOff() {
    return /^false\b/.test(this.#other("workers_dev"));
  }

  /** Sets a value; a comment behind it comes into the column of the others where there is room. */
  set(name, value) {
    if (this.get(name) === value) return;
    const { whole, index, written, rest } = this.#find(name);
    // What JSON escapes, TOML reads.
    const setting = `${whole.slice(0, whole.length - rest.length - written.length)}${JSON.stringify(value)}`;
    const line = rest.trim() === "" ? setting : `${setting.padEnd(COMMENTS - 1)} ${rest.trim()}`;
    this.#text = `${this.#text.slice(0, index)}${line}${this.#text.slice(index + whole.length)}`;
  }

  /** Writes the file where it changed, whole or not at all; says whether it did. */
  write() {
    if (this.#text === this.#read) return false;
    writeFileSync(`${FILE}.new`, this.#text);
    renameSync(`${FILE}.new`, FILE);
    this.#read = this.#text;
    return true;
  }
}
