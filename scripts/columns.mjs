// Takes the columns out of the places that panics name: the line tells where it was, and a thousand columns are a kilobyte of the compressed file.
//
//   node scripts/columns.mjs build/index_bg.wasm
//
// A place (Rust's `core::panic::Location`) is four numbers of four bytes: where the name of the source file stands, how long that is, line, column.
// What does not point to the name of a Rust file is none, and stays. Format: the WebAssembly core specification, binary format.
import { readFileSync, writeFileSync } from "node:fs";
import { number, sections } from "./names.mjs";

const DATA = 11;
const [PLACE, LINE, COLUMN] = [16, 8, 12];
const [MOST_NAME, MOST_LINE, MOST_COLUMN] = [300, 50_000, 1_000];
const [CONSTANT, END] = [0x41, 0x0b];

/** What memory has at first: where each part is loaded, and its bytes, which are the file's own. */
function* parts(wasm) {
  const section = [...sections(wasm)].find(({ id }) => id === DATA);
  if (section === undefined) return;
  let [count, at] = number(wasm, section.content);
  for (; count > 0; count--) {
    const kind = wasm[at++];
    let start;
    if (kind === 0 && wasm[at] === CONSTANT) {
      // A signed number, and no address that the Worker has is a negative one.
      [start, at] = number(wasm, at + 1);
      if (wasm[at++] !== END) return;
    } else if (kind !== 1) return;
    const [length, begin] = number(wasm, at);
    at = begin + length;
    if (start !== undefined) yield { start, bytes: wasm.subarray(begin, at) };
  }
}

const [file, ...more] = process.argv.slice(2);
if (file === undefined || more.length > 0) {
  console.error("columns: usage: node scripts/columns.mjs <wasm>");
  process.exit(2);
}
const wasm = readFileSync(file);
const all = [...parts(wasm)];
const isRustFile = (at, length) => {
  const part = all.find(({ start, bytes }) => at >= start && at + length <= start + bytes.length);
  return part !== undefined && /^[ -~]+\.rs$/.test(part.bytes.toString("latin1", at - part.start, at - part.start + length));
};
for (const { start, bytes } of all) {
  for (let at = -start & 3; at + PLACE <= bytes.length; at += 4) {
    const [name, length, line, column] = [0, 4, LINE, COLUMN].map((offset) => bytes.readUInt32LE(at + offset));
    const isPlace = length <= MOST_NAME && line > 0 && line <= MOST_LINE && column > 0 && column <= MOST_COLUMN && isRustFile(name, length);
    if (isPlace) bytes.writeUInt32LE(0, at + COLUMN);
  }
}
writeFileSync(file, wasm);
