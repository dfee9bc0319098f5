// How a person runs this project's programs where they are: with make in a clone, with npm in a released tree, which has no Makefile.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { plain } from "./terminal.mjs";

const HAS_MAKE = existsSync(fileURLToPath(new URL("../../Makefile", import.meta.url)));

/** The command line that runs `up`, `down` or `connect`, with these options by the names that make has for them; `true` is a switch. */
export function command(program, options = {}) {
  const given = Object.entries(options).map(([name, value]) => `${name}=${value === true ? 1 : value}`);
  if (HAS_MAKE) return ["make", program, ...given].join(" ");
  // `connect` takes its options from the environment.
  if (program === "connect") return [...given, "npm run connect"].join(" ");
  const flags = Object.entries(options).map(([name, value]) => ` --${name.toLowerCase()}${value === true ? "" : ` ${value}`}`);
  return `npm run ${program}${flags.length === 0 ? "" : ` --${flags.join("")}`}`;
}

/** What the Worker says, which names commands as a clone has them, fit for where it is read, and for a terminal. */
export const told = (text) => (HAS_MAKE ? plain(text) : plain(text).replace(/\bmake (up|down|connect)\b/g, "npm run $1"));

/** What installs what the programs need. */
export const SETUP = HAS_MAKE ? "make setup" : "npm install";

/** Where it is written how ConductorOne takes the account in. */
export const INTO_C1 = HAS_MAKE ? 'README\'s "Into ConductorOne"' : 'README.md\'s "Into ConductorOne"';
