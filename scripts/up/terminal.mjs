// Talking with the person at the terminal, or with nobody where there is none: then an answer that is missing is an error that names its flag.

import { fstatSync } from "node:fs";
import { createInterface } from "node:readline/promises";

/** Why the program stops; `status` is the exit status: 1 something is not as it should be, 2 wrong use. */
export class Stop extends Error {
  constructor(message, status = 1) {
    super(message);
    this.status = status;
  }
}

/** Control characters in what came from elsewhere are not for a terminal. */
export const plain = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");

/** The person ended it, by Ctrl-C or Ctrl-D. */
const ended = () => new Stop("ended before anything else was changed", 130);

export const say = (text = "") => console.log(text);

export const isInteractive = () => Boolean(process.stdin.isTTY && process.stdout.isTTY);

/** Whether standard input is a pipe or a file, which somebody gave to bring something; a terminal and /dev/null are neither. */
export const isPiped = () => !fstatSync(0).isCharacterDevice();

/** Asks, and takes `fallback` for an empty line; without a person the fallback is the answer. */
export async function ask(question, { flag, fallback = "" }) {
  if (!isInteractive()) {
    if (fallback !== "") return fallback;
    throw new Stop(`nobody is here to ask: give ${flag}`, 2);
  }
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = (await lines.question(`${question}${fallback === "" ? "" : ` [${fallback}]`}: `)).trim();
    return answer === "" ? fallback : answer;
  } catch (error) {
    throw error.name === "AbortError" ? ended() : error;
  } finally {
    lines.close();
  }
}

/** Asks for one of a list, by its number; `shown` and `of` tell what an item looks like and what is taken of it. */
export async function choose(question, items, { flag, fallback }) {
  const at = items.findIndex(({ value }) => value === fallback);
  if (!isInteractive()) {
    if (at >= 0) return fallback;
    throw new Stop(`nobody is here to ask: give ${flag}: ${items.map(({ value, text }) => `${value} (${plain(text)})`).join(", ")}`, 2);
  }
  items.forEach(({ text }, n) => say(`  ${n + 1}  ${plain(text)}`));
  for (;;) {
    const answer = await ask(question, { flag, fallback: at >= 0 ? String(at + 1) : "" });
    const item = items[Number(answer) - 1] ?? items.find(({ value }) => value === answer);
    if (item !== undefined) return item.value;
    say(`a number from 1 to ${items.length}, please`);
  }
}

/** Reads a line without showing it. Ctrl-C ends the program; an empty line is an empty text. */
export function askSecretly(question) {
  return new Promise((resolve, reject) => {
    const { stdin, stdout } = process;
    // The echo goes before the question comes: whoever is quick to answer is not shown either.
    stdin.setRawMode(true);
    stdout.write(`${question}: `);
    stdin.resume();
    let text = "";
    const end = (finish) => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.off("data", take);
      stdout.write("\n");
      finish();
    };
    const take = (bytes) => {
      for (const letter of bytes.toString("utf8").replaceAll("\u001b[200~", "").replaceAll("\u001b[201~", "")) {
        if (letter === "\r" || letter === "\n") return end(() => resolve(text.trim()));
        if (letter === "\u0003" || letter === "\u0004") return end(() => reject(ended()));
        text = letter === "\u007f" || letter === "\b" ? text.slice(0, -1) : letter < " " ? text : text + letter;
      }
      return undefined;
    };
    stdin.on("data", take);
  });
}

/** Secrets that a pipe brings: lines of NAME=value, of these names; a line alone is the first of them. */
export async function secretsOfThePipe(names) {
  if (process.stdin.isTTY) return {};
  let text = "";
  for await (const part of process.stdin) {
    text += part;
    if (text.length > 65_536) throw new Stop("standard input is too long: it takes a line for each secret", 2);
  }
  const secrets = {};
  for (const line of text.split(/\r?\n/).map((each) => each.trim()).filter((each) => each !== "")) {
    const named = /^([A-Z0-9_]+)=(.*)$/.exec(line);
    const name = named === null ? names[0] : named[1];
    // What the line has is not repeated: it may be a secret.
    if (!names.includes(name) || name in secrets) throw new Stop(`standard input takes lines of NAME=value, one for each of ${names.join(", ")}`, 2);
    secrets[name] = named === null ? line : named[2];
  }
  return secrets;
}

/** A bar that moves in place on a terminal; elsewhere a line now and then. */
export class Bar {
  #width = 30;
  #last = "";

  show(done, total, text) {
    const part = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(part * this.#width);
    const line = `  [${"#".repeat(filled)}${".".repeat(this.#width - filled)}] ${String(Math.floor(part * 100)).padStart(3)} %  ${plain(text)}`;
    if (line === this.#last) return;
    this.#last = line;
    if (process.stdout.isTTY) process.stdout.write(`\r${line}\u001b[K`);
    else say(line);
  }

  end() {
    if (process.stdout.isTTY && this.#last !== "") process.stdout.write("\n");
  }
}

/** Runs the program: a reason to stop is a line and an exit status, never a stack. */
export async function run(name, main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = error.status;
  }
}
