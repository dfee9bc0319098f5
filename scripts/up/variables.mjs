// Which variables a deployment leaves as they are: the deployed Worker may have been set up from another clone, or in the dashboard.

import { OFF, SHIPPED } from "./settings.mjs";
import { Stop, choose, isInteractive, plain, say } from "./terminal.mjs";

/** Whose value counts. */
export const SIDES = ["worker", "file"];

/**
 * Takes into `settings` what the deployed Worker has otherwise, and no answer of the person's (`given`) names. A value as the
 * repository has it gives way to the Worker's; of one that was changed on both sides nobody but the person knows which is right (`take`).
 * So it is of a switch that is off in the file: it may be as the repository has it, or somebody turned it off, and then the connector
 * must not go on changing things.
 */
export async function takeOver(settings, bindings, given, take) {
  const text = (name) => (bindings.get(name)?.type === "plain_text" ? (bindings.get(name).text ?? "") : "");
  const named = settings.variables();
  const differs = [...named].filter(([name, value]) => !given.has(name) && text(name) !== "" && text(name) !== value);
  const unsure = differs.filter(([name, value]) => value !== SHIPPED[name] || value === OFF).map(([name]) => name);
  let side = take;
  let files = differs.map(([name]) => name);
  if (side === undefined && unsure.length > 0) {
    const what = `the Worker and wrangler.toml have other values for ${unsure.map(plain).join(", ")}`;
    if (!isInteractive()) {
      throw new Stop(`${what}: give --take worker to keep the Worker's (it is written into wrangler.toml), or --take file to deploy the file's`, 2);
    }
    say(`${what[0].toUpperCase()}${what.slice(1)}.`);
    side = await choose("Which are to be", [{ value: "worker", text: "the Worker's, which are then written into wrangler.toml" }, { value: "file", text: "those of wrangler.toml" }], { flag: "--take" });
    files = unsure;
  }
  for (const [name] of differs) {
    if (side === "file" && files.includes(name)) continue;
    if (named.get(name) === undefined) throw new Stop(`${plain(name)} in wrangler.toml is written in a way that is not understood here: write there what the Worker has, between quotes`);
    settings.set(name, text(name));
    say(`${plain(name)}: stays as the Worker has it${name in SHIPPED ? `, ${plain(text(name))}` : ""} (--take file sets what wrangler.toml has).`);
  }
}

/** Whether the deployed Worker has each variable that the file names, as the file has it. */
export function areSet(settings, bindings) {
  return [...settings.variables()].every(([name, value]) => value !== undefined && bindings.get(name)?.type === "plain_text" && (bindings.get(name).text ?? "") === value);
}

/** Says which variables the Worker has that the file does not name; stops where a deployment would take them away. */
export function keep(settings, bindings) {
  const named = settings.variables();
  const others = [...bindings.values()].filter(({ name, type }) => ["plain_text", "json"].includes(type) && !named.has(name)).map(({ name }) => plain(name));
  if (others.length === 0) return;
  if (!settings.keeps) {
    throw new Stop(`this would take variables away that the Worker has and wrangler.toml does not name: ${others.join(", ")}; put keep_vars = true in front of its first [, as the repository has it, or name them under [vars]`);
  }
  say(`Variables that the Worker has and wrangler.toml does not name stay: ${others.join(", ")}.`);
}
