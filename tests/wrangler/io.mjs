// Gives src/worker/io.js requests that no runtime takes; what is thrown is of ours, and has nothing of the request in it. And errors of all kinds, of which each is told.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

// Read as text: without a package that says so, Node takes a .js file for no module.
const code = readFileSync(new URL("../../src/worker/io.js", import.meta.url), "utf8");
const { exchange, told } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

const SECRET = "SECRET0123456789";
const GOOD = "https://acme.blob.core.windows.net/box/grants.csv";
const send = (url, headers) => exchange(undefined, url, "GET", headers, undefined, 1_000, 1_000);

for (const [url, headers] of [
  [`https://acme.blob.core.windows.net:port/box?sig=${SECRET}`, ""],
  [`https://user:${SECRET}@acme.blob.core.windows.net/box`, ""],
  [GOOD, `a name with blanks ${SECRET}\nvalue`],
  [GOOD, `authorization\nBearer ${SECRET}\u0000`],
]) {
  const failed = await send(url, headers).then(
    () => assert.fail(`it is sent: ${url}`),
    (error) => error,
  );
  assert.equal(failed.message, "the runtime does not take its URL or a header");
  const told = `${failed} ${failed.stack} ${JSON.stringify(failed)} ${failed.cause}`;
  assert.ok(!told.includes(SECRET), told);
}

const because = (cause) => Object.assign(new TypeError("fetch failed", { cause }), { code: "E_X" });
const round = new Error("round");
round.cause = round;
for (const [error, text] of [
  [because(new Error("connection lost")), "TypeError [E_X]: fetch failed: Error: connection lost"],
  // Its code is a number of long ago.
  [new DOMException("it was aborted", "AbortError"), "AbortError: it was aborted"],
  ["only a text", "only a text"],
  [undefined, "undefined"],
  [Symbol("odd"), "Symbol(odd)"],
  [Object.create(null), "an error that says nothing"],
  [round, Array(17).fill("Error: round").join(": ")],
]) {
  assert.equal(told(error), text);
}
