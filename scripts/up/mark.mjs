// Whether the deployed Worker is what would be uploaded: an upload of `make up` takes a mark along, as one of the page's files, which anybody may
// read and which is gone with the next upload of anybody else's. A mark that is absent or another one only means that it is uploaded again.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = join("build", "page");
const NAME = "deployed.txt";
const FILE = join(PAGE, NAME);
const PATIENCE_MS = 10_000;

/** What an upload is made of: the Worker, the page, and wrangler.toml apart from the variables, which the Worker's own settings tell. */
export function mark(settings) {
  const page = readdirSync(PAGE, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const files = [join("build", "index.js"), join("build", "index_bg.wasm"), ...page.filter((path) => path !== FILE).toSorted()];
  const sum = createHash("sha256");
  for (const path of files) {
    if (!existsSync(path)) return undefined;
    sum.update(`${path}\n${createHash("sha256").update(readFileSync(path)).digest("hex")}\n`);
  }
  return sum.update(settings.withoutVariables()).digest("hex");
}

/** Has an upload take the mark along. */
export async function marked(text, upload) {
  if (text !== undefined) writeFileSync(FILE, `${text}\n`);
  try {
    return await upload();
  } finally {
    rmSync(FILE, { force: true });
  }
}

/** The mark of what is deployed at an address; nothing where there is none, or nobody answers. */
export async function deployedMark(base) {
  try {
    const response = await fetch(`${base.replace(/\/+$/, "")}/${NAME}`, { redirect: "error", signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.ok ? (await response.text()).trim() : undefined;
  } catch {
    return undefined;
  }
}
