// Makes one of the built wasm's functions that are the same to the byte, and orders them so that those that are alike stand near each other. gzip
// looks back 32 KB and no further, and the same generic function for another type stands farther away than that: the compressed file is a
// ninth smaller for it. Nothing else changes: the same functions, each with the same instructions and locals, under other numbers, but for the
// hint how memory is aligned. A stack trace names one of those that were the same.
//
//   node scripts/order.mjs build/index_bg.wasm
//
// The section of names, where there is one, has the new numbers too. Format: the WebAssembly core specification, binary format.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { imported, number, sections } from "./names.mjs";

const [TYPE, FUNCTION, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA] = [1, 3, 6, 7, 8, 9, 10, 11];
const FUNCTION_TYPE = 0x60;
/** The parts of the section of names that go by a function's number: functions, locals, labels. */
const [FUNCTION_NAMES, LOCAL_NAMES, LABEL_NAMES] = [1, 2, 3];

/** How many bytes in a row have to be the same to count as alike. */
const RUN = 7;
/**
 * The orders that are tried, each on what the one before it made: functions that call the same have more in common once what they call has numbers that
 * are near each other. The one is taken that gzip makes the smallest file of: which that is changes with every build, by a kilobyte.
 * `window`: how many KB back a function is compared with, what gzip still sees with the next function before it. `common`: what more functions than
 * this have in common tells nothing. `rarity`: what fewer functions have in common tells more, a run counts by their number to the power of this.
 * `size`: a large function has more in common with any other, what it has counts by its bytes to the power of this.
 */
const TRIED = [
  { window: 34, common: 2000, size: -0.6, rarity: -0.25 },
  { window: 32, common: 800, size: -0.6, rarity: -0.25 },
  { window: 32, common: 2000, size: -0.65, rarity: -0.25 },
  { window: 32, common: 2000, size: -0.6, rarity: -0.25 },
  { window: 31, common: 4000, size: -0.65, rarity: -0.4 },
  { window: 34, common: 2000, size: -0.6, rarity: -0.25 },
  { window: 31, common: 6000, size: -0.52, rarity: -0.25 },
  { window: 32, common: 6000, size: -0.65, rarity: -0.4 },
  { window: 32, common: 800, size: -0.6, rarity: -0.25 },
  { window: 31, common: 4000, size: -0.65, rarity: -0.4 },
];

/** So many functions that are called the most come first, where a number has one byte and not two. */
const CALLED = 20;

/** A number as unsigned LEB128. */
function leb(value) {
  const bytes = [];
  do {
    const low = value & 0x7f;
    value >>>= 7;
    bytes.push(value ? low | 0x80 : low);
  } while (value);
  return bytes;
}

/** Bytes that are copied from a wasm with some of its function numbers replaced. */
class Copy {
  constructor(wasm, at, renumbered, local) {
    Object.assign(this, { wasm, at, renumbered, local, from: at, parts: [] });
  }
  /** The next number; it stays as it is. */
  number() {
    const [value, after] = number(this.wasm, this.at);
    this.at = after;
    return value;
  }
  byte() {
    return this.wasm[this.at++];
  }
  /** A number of any length and sign, or none: a heap type, a block's type, a constant. */
  skip() {
    while (this.byte() & 0x80);
  }
  /** Writes other bytes in place of those since the given place. */
  replace(since, bytes) {
    this.parts.push(this.wasm.subarray(this.from, since), Uint8Array.from(bytes));
    this.from = this.at;
  }
  text() {
    const length = this.number();
    this.at += length;
  }
  /** The next number is a function's: gets its new one. */
  function() {
    const since = this.at;
    this.replace(since, leb(this.renumbered(this.number())));
  }
  /** The next number is a local's: gets its new one, if there are new ones. */
  variable() {
    const since = this.at;
    const index = this.number();
    if (this.local !== undefined) this.replace(since, leb(this.local(index)));
  }
  /** Where in memory an instruction reads or writes. Its alignment is a hint without a meaning, and goes: the same byte everywhere compresses better. */
  access() {
    const since = this.at;
    const flags = this.number();
    // This bit tells that a memory's number follows.
    const memory = flags & 0x40;
    if (this.local !== undefined) this.replace(since, leb(memory));
    if (memory) this.skip();
    this.skip();
  }
  each(what) {
    for (let count = this.number(); count > 0; count--) what();
  }
  /** Everything up to the given place. */
  end(at = this.at) {
    this.parts.push(this.wasm.subarray(this.from, at));
    return Buffer.concat(this.parts);
  }

  /** One instruction; its code. */
  instruction() {
    const code = this.byte();
    const skip = () => this.skip();
    const plain = code <= 0x01 || code === 0x05 || code === 0x0a || code === 0x0b || code === 0x0f || code === 0x1a || code === 0x1b || code === 0xd1;
    if (plain || (code >= 0x45 && code <= 0xc4)) return code;
    if (code === 0x10 || code === 0x12 || code === 0xd2) this.function();
    else if (code === 0x0e) {
      this.each(skip);
      skip();
    } else if (code === 0x1c) this.each(skip);
    else if (code === 0x11 || code === 0x13) {
      skip();
      skip();
    } else if (code >= 0x28 && code <= 0x3e) {
      this.access();
    } else if (code === 0x43) this.at += 4;
    else if (code === 0x44) this.at += 8;
    else if (code === 0xfc) {
      const more = this.number();
      if (more > 17) throw new Error(`the instruction 0xfc ${more} is not known here`);
      if (more >= 8) skip();
      if (more === 8 || more === 10 || more === 12 || more === 14) skip();
    } else if (code === 0x1f) {
      // A block whose exceptions are caught: by tag or all of them, with a reference to it or without.
      skip();
      this.each(() => {
        if (this.byte() < 2) skip();
        skip();
      });
    } else if (code >= 0x20 && code <= 0x22) this.variable();
    else if ((code >= 0x02 && code <= 0x04) || code === 0x08 || code === 0x0c || code === 0x0d || code === 0xd0) skip();
    else if ((code >= 0x23 && code <= 0x26) || (code >= 0x3f && code <= 0x42)) skip();
    else throw new Error(`the instruction 0x${code.toString(16)} is not known here`);
    return code;
  }
  /** A constant expression. */
  expression() {
    while (this.instruction() !== 0x0b);
  }
  /** A type of a value. */
  type() {
    const code = this.byte();
    if (code === 0x63 || code === 0x64) this.skip();
  }
  /** Where tables have which functions. */
  element() {
    const kind = this.number();
    const [passive, explicit, expressions] = [kind & 1, kind & 2, kind & 4];
    if (!passive) {
      if (explicit) this.number();
      this.expression();
    }
    if (passive || explicit) {
      if (expressions) this.type();
      else this.byte();
    }
    this.each(() => (expressions ? this.expression() : this.function()));
  }
}

/** The functions of a code section: where each begins and ends, its length left out. */
function bodies(wasm, section) {
  let [count, at] = number(wasm, section.content);
  const found = [];
  for (; count > 0; count--) {
    const [length, begin] = number(wasm, at);
    at = begin + length;
    found.push({ begin, end: at });
  }
  return found;
}

/** The functions that have a run of bytes, for each run that several have. */
function runsOf(wasm, functions) {
  const having = new Map();
  functions.forEach(({ begin, end }, index) => {
    const seen = new Set();
    for (let at = begin; at + RUN <= end; at++) {
      let hash = 0;
      for (let next = at; next < at + RUN; next++) hash = Math.imul(hash ^ wasm[next], 0x9e3779b1) ^ (hash >>> 15);
      seen.add(hash);
    }
    for (const hash of seen) {
      const list = having.get(hash);
      if (list === undefined) having.set(hash, [index]);
      else list.push(index);
    }
  });
  return [...having.values()].filter((list) => list.length > 1);
}

/** The order in which alike functions follow each other: each time the one that has most in common with those just before it. */
function order(functions, lists, calls, { window, common: mostCommon, size, rarity }) {
  const runs = functions.map(() => []);
  for (const list of lists) {
    if (list.length > mostCommon) continue;
    const run = { list, near: 0, weight: list.length ** rarity };
    for (const index of list) runs[index].push(run);
  }

  const length = functions.map(({ begin, end }) => end - begin);
  const weight = length.map((bytes) => bytes ** size);
  const common = new Float64Array(functions.length);
  const byCalls = functions.map((_, index) => index).sort((one, other) => calls[other] - calls[one]);
  const late = byCalls.splice(CALLED).sort((one, other) => one - other);
  let left = byCalls;
  const ordered = [];
  let [near, oldest] = [0, 0];
  while (ordered.length < functions.length) {
    if (left.length === 0) left = late;
    let [best, most] = [0, 0];
    for (let at = 0; at < left.length; at++) {
      const likeness = common[left[at]] * weight[left[at]];
      if (likeness > most) [best, most] = [at, likeness];
    }
    const [index] = left.splice(best, 1);
    ordered.push(index);
    near += length[index];
    for (const run of runs[index]) if (run.near++ === 0) for (const other of run.list) common[other] += run.weight;
    for (; near > window * 1024 && oldest < ordered.length - 1; oldest++) {
      near -= length[ordered[oldest]];
      for (const run of runs[ordered[oldest]]) if (--run.near === 0) for (const other of run.list) common[other] -= run.weight;
    }
  }
  return ordered;
}

/** Part of the section of names with a list by functions' numbers, which has to be in their order. */
function namesInOrder(copy, kind, end) {
  const entries = new Map();
  copy.each(() => {
    const index = copy.renumbered(copy.number());
    const begin = copy.at;
    if (kind === FUNCTION_NAMES) copy.text();
    else
      copy.each(() => {
        copy.number();
        copy.text();
      });
    // Of functions that were the same the first has its name.
    if (!entries.has(index)) entries.set(index, copy.wasm.subarray(begin, copy.at));
  });
  if (copy.at !== end) throw new Error("the section of names is not as it should be");
  const sorted = [...entries].sort(([one], [other]) => one - other);
  return [leb(sorted.length), ...sorted.flatMap(([index, bytes]) => [leb(index), bytes])];
}

/** A function's locals and instructions. */
function body(wasm, { begin, end }, renumbered) {
  const copy = new Copy(wasm, begin, renumbered);
  copy.each(() => {
    copy.number();
    copy.type();
  });
  while (copy.at < end) copy.instruction();
  if (copy.at !== end) throw new Error(`the function at ${begin} does not end where it should`);
  return copy.end();
}

/** A function whose locals of each type are in the order of how often they are used: alike functions then name them alike more often. */
function sorted(wasm, { begin, end }, parameters) {
  const types = [];
  const uses = new Map();
  const sameFunction = (index) => index;
  const scan = new Copy(wasm, begin, sameFunction, (index) => {
    if (index >= parameters) uses.set(index, (uses.get(index) ?? 0) + 1);
    return index;
  });
  scan.each(() => {
    const count = scan.number();
    const since = scan.at;
    scan.type();
    for (let more = 0; more < count; more++) types.push(wasm.toString("latin1", since, scan.at));
  });
  const code = scan.at;
  while (scan.at < end) scan.instruction();
  const used = [...uses.keys()].sort((one, other) => uses.get(other) - uses.get(one));
  const numbers = new Map();
  const groups = [];
  for (const type of new Set(types)) {
    const group = used.filter((index) => types[index - parameters] === type);
    for (const index of group) numbers.set(index, parameters + numbers.size);
    if (group.length > 0) groups.push(Uint8Array.from(leb(group.length)), Buffer.from(type, "latin1"));
  }
  const copy = new Copy(wasm, code, sameFunction, (index) => numbers.get(index) ?? index);
  while (copy.at < end) copy.instruction();
  return Buffer.concat([Uint8Array.from(leb(groups.length / 2)), ...groups, copy.end()]);
}

/** The wasm with its functions' locals in that order. */
function withSortedLocals(wasm, code, types, parameters) {
  const parts = bodies(wasm, code).flatMap((place, index) => {
    const bytes = sorted(wasm, place, parameters[types[index]]);
    return [Uint8Array.from(leb(bytes.length)), bytes];
  });
  const content = Buffer.concat([Uint8Array.from(leb(parts.length / 2)), ...parts]);
  return Buffer.concat([wasm.subarray(0, code.begin), Uint8Array.from([CODE, ...leb(content.length)]), content, wasm.subarray(code.end)]);
}

/** How many parameters the functions of each type have. */
function parameters(wasm, section) {
  const list = new Copy(wasm, section.content);
  const counts = [];
  list.each(() => {
    if (list.byte() !== FUNCTION_TYPE) throw new Error("there is a type that is no function's");
    let count = 0;
    list.each(() => {
      list.type();
      count++;
    });
    list.each(() => list.type());
    counts.push(count);
  });
  return counts;
}

/** For each function the first one that is the same: of the same type, with the same locals and instructions, and calling the same. */
function same(wasm, functions, types, first) {
  const twin = functions.map((_, index) => index);
  const renumbered = (index) => (index < first ? index : first + twin[index - first]);
  for (let before = -1, after = 0; before !== after; ) {
    before = after;
    const known = new Map();
    functions.forEach((place, index) => {
      if (twin[index] !== index) {
        // Its twin comes before it, and may have got one itself.
        twin[index] = twin[twin[index]];
        return;
      }
      const text = `${types[index]} ${body(wasm, place, renumbered).toString("latin1")}`;
      if (known.has(text)) after++;
      else known.set(text, index);
      twin[index] = known.get(text);
    });
  }
  return twin;
}

function rewritten(original) {
  const first = imported(original);
  const find = (wasm, wanted) => [...sections(wasm)].find(({ id }) => id === wanted);
  const [signatures, kinds, unsorted] = [TYPE, FUNCTION, CODE].map((wanted) => find(original, wanted));
  if (signatures === undefined || kinds === undefined || unsorted === undefined) return original;
  const types = [];
  const list = new Copy(original, kinds.content);
  list.each(() => types.push(list.number()));
  const wasm = withSortedLocals(original, unsorted, types, parameters(original, signatures));
  const all = [...sections(wasm)];
  const code = find(wasm, CODE);
  const functions = bodies(wasm, code);
  const twin = same(wasm, functions, types, first);
  const kept = twin.filter((twin, index) => twin === index);
  const buffers = (parts) => Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  const calls = new Uint32Array(functions.length);
  const count = (index) => {
    if (index >= first) calls[twin[index - first]]++;
    return index;
  };
  for (const index of kept) body(wasm, functions[index], count);
  // What stands before the code and after it is compressed with it.
  const after = wasm.subarray(code.end, find(wasm, DATA)?.end ?? code.end);
  let round = { ordered: kept, written: wasm, places: kept.map((index) => functions[index]) };
  const tries = TRIED.map((how) => {
    const called = round.ordered.map((index) => calls[index]);
    const ordered = order(round.places, runsOf(round.written, round.places), called, how).map((place) => round.ordered[place]);
    const numbers = new Uint32Array(functions.length);
    ordered.forEach((index, place) => (numbers[index] = place));
    const renumbered = (index) => (index < first ? index : first + numbers[twin[index - first]]);
    const parts = [Buffer.from(leb(ordered.length))];
    const places = [];
    let end = parts[0].length;
    for (const index of ordered) {
      const bytes = body(wasm, functions[index], renumbered);
      const length = Buffer.from(leb(bytes.length));
      const begin = end + length.length;
      end = begin + bytes.length;
      parts.push(length, bytes);
      places.push({ begin, end });
    }
    const written = Buffer.concat(parts);
    const listed = buffers([leb(ordered.length), ...ordered.map((index) => leb(types[index]))]);
    const whole = Buffer.concat([wasm.subarray(0, kinds.content), listed, written, after]);
    round = { ordered, renumbered, listed, written, places, weight: gzipSync(whole).length };
    return round;
  });
  const { renumbered, listed, written: inOrder } = tries.reduce((one, other) => (other.weight < one.weight ? other : one));

  const written = [wasm.subarray(0, 8)];
  for (const section of all) {
    const copy = new Copy(wasm, section.content, renumbered);
    let content;
    if (section.id === FUNCTION) {
      content = listed;
    } else if (section.id === CODE) {
      content = inOrder;
    } else if (section.id === EXPORT) {
      copy.each(() => {
        copy.text();
        if (copy.byte() === 0) copy.function();
        else copy.number();
      });
      content = copy.end();
    } else if (section.id === GLOBAL) {
      copy.each(() => {
        copy.type();
        copy.byte();
        copy.expression();
      });
      content = copy.end();
    } else if (section.id === START) {
      copy.function();
      content = copy.end();
    } else if (section.id === ELEMENT) {
      copy.each(() => copy.element());
      content = copy.end();
    } else if (section.name === "name") {
      const parts = [wasm.subarray(number(wasm, section.begin + 1)[1], section.content)];
      while (copy.at < section.end) {
        const kind = copy.byte();
        const length = copy.number();
        const begin = copy.at;
        const end = begin + length;
        // The locals' names are those of their former numbers, and go.
        if (kind === LOCAL_NAMES) {
          copy.at = end;
          continue;
        }
        const byFunction = kind === FUNCTION_NAMES || kind === LABEL_NAMES;
        const part = byFunction ? buffers(namesInOrder(copy, kind, end)) : wasm.subarray(begin, end);
        copy.at = end;
        parts.push([kind], leb(part.length), part);
      }
      content = buffers(parts);
    }
    if (content === undefined) written.push(wasm.subarray(section.begin, section.end));
    else written.push(Uint8Array.from([section.id, ...leb(content.length)]), content);
  }
  return Buffer.concat(written);
}

const [file, ...more] = process.argv.slice(2);
if (file === undefined || more.length > 0) {
  console.error("order: usage: node scripts/order.mjs <wasm>");
  process.exit(2);
}
const wasm = readFileSync(file);
try {
  const result = rewritten(wasm);
  // Not every version of Node knows all the instructions; where this one does, it tells whether the file is still sound.
  if (WebAssembly.validate(wasm)) new WebAssembly.Module(result);
  writeFileSync(file, result);
} catch (error) {
  // A newer compiler may write what is not known here: the Worker is as good in the compiler's order, and only larger.
  console.error(`order: ${error.message}: ${file} stays in the compiler's order`);
}
