// The values in wrangler.toml that `make up` fills in. The rest of the file, its comments too, stays as it is.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Stop } from "./terminal.mjs";

const FILE = "wrangler.toml";

/** The column of the comments behind values. */
const COMMENTS = 42;

/** A line of the table: the name, the text up to the value, the value, and what follows it. */
const line = (name) => new RegExp(`^(${name}[ \\t]*=[ \\t]*)"([^"\\\\\\n]*)"([ \\t]*(?:#.*)?)$`, "m");

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

  /** The value of a key that stands once in the file, as text between quotes. */
  get(name) {
    const found = line(name).exec(this.#text);
    if (found === null) throw new Stop(`${FILE} has no line ${name} = "…": put it back, as it is in the repository`, 2);
    return found[2];
  }

  /** Sets a value; a comment behind it comes into the column of the others where there is room. */
  set(name, value) {
    if (this.get(name) === value) return;
    // What a value may be is checked where it comes from; this keeps the file whole all the same.
    if (/["\\\u0000-\u001f]/.test(value)) throw new Stop(`${name} cannot have quotes or control characters in it`, 2);
    this.#text = this.#text.replace(line(name), (_, start, _before, rest) => {
      const setting = `${start}"${value}"`;
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
