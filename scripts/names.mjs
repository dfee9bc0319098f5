// The names of the Worker's functions stand in a custom section of the wasm that only a person who reads a stack trace needs; it is a
// fourth of the file. The build takes it out into a file beside it:
//
//   node scripts/names.mjs take build/index_bg.wasm build/index_bg.names
//
// and a trace from the logs, whose frames say wasm-function[1234], is made readable with the names of the very build that is deployed:
//
//   node scripts/names.mjs read build/index_bg.names < trace.txt
//
// Format: the WebAssembly core specification, binary format and appendix "Custom Sections".
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const HEADER = 8; // magic and version
const CUSTOM = 0;
const FUNCTION_NAMES = 1;
const IMPORTS = 2;

/** Reads an unsigned LEB128 number; gives it and the place after it. */
export function number(bytes, at) {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("the file ends in the middle of a number");
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
  throw new Error("a number is too long");
}

function text(bytes, at) {
  const [length, start] = number(bytes, at);
  return [bytes.toString("utf8", start, start + length), start + length];
}

/** The sections of a wasm: where each begins, where its content begins, where it ends, and a custom one's name. */
export function* sections(wasm) {
  if (wasm.length < HEADER || wasm.toString("latin1", 0, 4) !== "\0asm") throw new Error("this is no wasm");
  for (let begin = HEADER; begin < wasm.length; ) {
    const id = wasm[begin];
    const [length, content] = number(wasm, begin + 1);
    const end = content + length;
    if (end > wasm.length) throw new Error("the file ends in the middle of a section");
    yield id === CUSTOM
      ? { id, begin, end, name: text(wasm, content)[0], content: text(wasm, content)[1] }
      : { id, begin, end, content };
    begin = end;
  }
}

const [FUNCTION, TABLE, MEMORY, GLOBAL] = [0, 1, 2, 3];

/** The place after the limits of a table or memory. */
function limits(wasm, at) {
  const bounded = wasm[at++] & 1;
  for (let bound = 0; bound <= bounded; bound++) [, at] = number(wasm, at);
  return at;
}

/** How many functions a wasm imports: the numbers of its own begin after them. */
export function imported(wasm) {
  const section = [...sections(wasm)].find(({ id }) => id === IMPORTS);
  if (section === undefined) return 0;
  let [count, at] = number(wasm, section.content);
  let found = 0;
  for (; count > 0; count--) {
    for (let part = 0; part < 2; part++) {
      const [length, start] = number(wasm, at);
      at = start + length;
    }
    const kind = wasm[at++];
    if (kind === TABLE) at++;
    if (kind === TABLE || kind === MEMORY) at = limits(wasm, at);
    else if (kind === GLOBAL) at += 2;
    else [, at] = number(wasm, kind === FUNCTION ? at : at + 1);
    if (kind === FUNCTION) found++;
  }
  return found;
}

/** Takes the section of names out of a wasm; a wasm without one stays as it is, and so does the file of names. */
function take(wasmFile, namesFile) {
  const wasm = readFileSync(wasmFile);
  const kept = [wasm.subarray(0, HEADER)];
  let names;
  for (const section of sections(wasm)) {
    if (section.name === "name") names = wasm.subarray(section.content, section.end);
    else kept.push(wasm.subarray(section.begin, section.end));
  }
  if (names === undefined) return;
  writeFileSync(namesFile, names);
  writeFileSync(wasmFile, Buffer.concat(kept));
}

/** Function names by number, from the content of a section of names. */
export function functions(names) {
  for (let at = 0; at < names.length; ) {
    const kind = names[at];
    const [length, content] = number(names, at + 1);
    at = content + length;
    if (kind !== FUNCTION_NAMES) continue;
    const found = new Map();
    let [count, place] = number(names, content);
    for (; count > 0; count--) {
      let index, name;
      [index, place] = number(names, place);
      [name, place] = text(names, place);
      found.set(index, name);
    }
    return found;
  }
  return new Map();
}

/** A mangled name of Rust's (`_ZN4core3fmt…17h0123456789abcdefE`) as its path; any other as it is. */
export function path(name) {
  const mangled = /^_ZN(.*?)(17h[0-9a-f]{16})?E/.exec(name);
  if (!mangled) return name;
  const parts = [];
  for (let rest = mangled[1]; rest; ) {
    const length = /^\d+/.exec(rest)?.[0];
    if (!length) return name;
    parts.push(rest.substr(length.length, Number(length)));
    rest = rest.slice(length.length + Number(length));
  }
  return parts.join("::");
}

function read(namesFile) {
  const names = functions(readFileSync(namesFile));
  const trace = readFileSync(0, "utf8");
  process.stdout.write(
    trace.replace(/wasm-function\[(\d+)\]/g, (frame, index) => {
      const name = names.get(Number(index));
      return name === undefined ? frame : `${frame} (${path(name)})`;
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [verb, ...files] = process.argv.slice(2);
  if (verb === "take" && files.length === 2) take(...files);
  else if (verb === "read" && files.length === 1) read(...files);
  else {
    console.error("names: usage: node scripts/names.mjs take <wasm> <names>, or: node scripts/names.mjs read <names> < trace");
    process.exit(2);
  }
}
