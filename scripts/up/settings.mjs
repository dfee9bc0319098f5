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

/** A line of the table: the name, the text up to the value, the value, and what follows it. */
const line = (name) => new RegExp(`^(${name}[ \\t]*=[ \\t]*)(${TEXT})([ \\t]*(?:#.*)?)$`, "m");

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

  /** The text of a key that stands once in the file. */
  get(name) {
    const value = read(line(name).exec(this.#text)?.[2] ?? "");
    if (value === undefined) throw new Stop(`${FILE} has no line ${name} = "…": put it back, as it is in the repository`, 2);
    return value;
  }

  /** The variables that the file names, each with its text, or with nothing where that is not understood here. */
  variables() {
    const heading = /^\[vars\]/m.exec(this.#text);
    const found = new Map();
    if (heading === null) return found;
    // A value is passed over whole: a line in it may begin like a heading.
    const entry = new RegExp(`^(?:(\\[)|([A-Za-z0-9_-]+)[ \\t]*=[ \\t]*(${TEXT}|[^\\n]*))`, "gm");
    for (const [, next, name, value] of this.#text.slice(heading.index + heading[0].length).matchAll(entry)) {
      if (next !== undefined) break;
      found.set(name, read(value));
    }
    return found;
  }

  /** The file without the table of variables. */
  withoutVariables() {
    const heading = /^\[vars\]/m.exec(this.#text);
    if (heading === null) return this.#text;
    const [before, rest] = [this.#text.slice(0, heading.index), this.#text.slice(heading.index + heading[0].length)];
    // A value is passed over whole: a line in it may begin like a heading.
    const next = [...rest.matchAll(new RegExp(`^(?:(\\[)|[A-Za-z0-9_-]+[ \\t]*=[ \\t]*(?:${TEXT}|[^\\n]*))`, "gm"))].find(([, bracket]) => bracket !== undefined);
    return before + (next === undefined ? "" : rest.slice(next.index));
  }

  /** The cron triggers; nothing where they are written in a way that is not understood here. */
  get crons() {
    try {
      return JSON.parse(/^crons[ \t]*=[ \t]*(\[[^\]\n]*\])/m.exec(this.#text)?.[1] ?? "");
    } catch {
      return undefined;
    }
  }

  /** Whether a deployment leaves the variables alone that the Worker has and the file does not name. */
  get keeps() {
    return /^keep_vars[ \t]*=[ \t]*true\b/m.test(this.#text);
  }

  /** Sets a value; a comment behind it comes into the column of the others where there is room. */
  set(name, value) {
    if (this.get(name) === value) return;
    this.#text = this.#text.replace(line(name), (_, start, _before, rest) => {
      // What JSON escapes, TOML reads.
      const setting = `${start}${JSON.stringify(value)}`;
      return rest.trim() === "" ? setting : `${setting.padEnd(COMMENTS - 1)} ${rest.trim()}`;
    });
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
