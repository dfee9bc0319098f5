// Tells what of the built Worker's wasm weighs how much: by section, by crate, by instantiation (the same generic function for different
// types counts together), and by function. Where a build is above its bound, this tells what grew:
//
//   node scripts/weigh.mjs build/index_bg.wasm build/index_bg.names [how many lines of each]
//
// The weights are bytes of code before compression; compressed they are about a third.
import { readFileSync } from "node:fs";
import { functions, imported, number, path, sections } from "./names.mjs";

const CODE = 10;
const SECTIONS = ["custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "count", "tag"];

/** The bytes of each function by its number. */
function bodies(wasm) {
  const weights = new Map();
  let index = imported(wasm);
  for (const section of sections(wasm)) {
    if (section.id !== CODE) continue;
    let [count, at] = number(wasm, section.content);
    for (; count > 0; count--) {
      const [length, start] = number(wasm, at);
      weights.set(index++, start + length - at);
      at = start + length;
    }
  }
  return weights;
}

/** The crate that a function's name begins with. */
const crate = (name) => /^[<&(\[ ]*(?:dyn )?([a-z_][\w]*)/i.exec(name.replace(/^_*<?/, ""))?.[1] ?? "(other)";

function table(title, weights, lines, whole) {
  console.log(`\n${title}`);
  const sorted = [...weights].sort((one, other) => other[1].bytes - one[1].bytes);
  for (const [name, { bytes, count }] of sorted.slice(0, lines)) {
    const share = ((100 * bytes) / whole).toFixed(1).padStart(5);
    console.log(`${String(bytes).padStart(9)} ${share} % ${count > 1 ? `${count} × ` : ""}${name}`);
  }
}

const [wasmFile, namesFile, lines = "30"] = process.argv.slice(2);
if (wasmFile === undefined || namesFile === undefined) {
  console.error("weigh: usage: node scripts/weigh.mjs <wasm> <names> [lines]");
  process.exit(2);
}
const wasm = readFileSync(wasmFile);
const names = functions(readFileSync(namesFile));
const groups = { crate: new Map(), instantiation: new Map(), function: new Map() };
const add = (group, name, bytes) => {
  const known = group.get(name) ?? { bytes: 0, count: 0 };
  group.set(name, { bytes: known.bytes + bytes, count: known.count + 1 });
};
let whole = 0;
for (const [index, bytes] of bodies(wasm)) {
  const name = path(names.get(index) ?? `function ${index}`).replace(/::h[0-9a-f]{16}$/, "");
  whole += bytes;
  add(groups.crate, crate(name), bytes);
  add(groups.instantiation, name, bytes);
  add(groups.function, `${name} [${index}]`, bytes);
}
const parts = new Map();
for (const { id, begin, end } of sections(wasm)) add(parts, SECTIONS[id] ?? `section ${id}`, end - begin);
table("Sections", parts, 20, wasm.length);
for (const [title, group] of Object.entries(groups)) table(`Code by ${title}`, group, Number(lines), whole);
