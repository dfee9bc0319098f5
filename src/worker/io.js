// Exchanges with the world that take the runtime several steps, each as one promise: every promise that the WebAssembly waits for itself, and
// every value that it asks JavaScript for, costs more than all that is done here. Nothing is decided here but where to stop.
//
// What took too long has `LATE` for a result, and a body that is longer than it may be `TOO_LARGE`. `io.rs` knows both.
const LATE = "late";
const TOO_LARGE = "too large";

/** Most bodies are shorter than this. Unless it is asked for more, the runtime hands over some 4 KB at a time. */
const FIRST = 16 * 1024;
/** As long as this is each further piece. */
const FURTHER = 256 * 1024;
/** What is left to read behind a piece that came shorter than it was asked for: the end, or why there is none. */
const END = 64;

/**
 * Reads a body to its end; of one that is longer than `limit` the rest is not read. What the runtime has beside the standard is `readAtLeast` of a
 * reader that is given the memory to read into: https://developers.cloudflare.com/workers/runtime-apis/streams/readablestreambyobreader/
 */
export async function read(stream, limit) {
  const reader = stream.getReader({ mode: "byob" });
  const pieces = [];
  let [size, length] = [FIRST, 0];
  for (;;) {
    const { value } = await reader.readAtLeast(size, new Uint8Array(size));
    // At the end there may be no bytes, or no view of any.
    const read = value?.byteLength ?? 0;
    length += read;
    if (length > limit) return TOO_LARGE;
    if (read === 0) return joined(pieces, length);
    pieces.push(value);
    size = read < size ? END : FURTHER;
  }
}

function joined(pieces, length) {
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

async function within(millis, work) {
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, millis, LATE)));
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Names and values by turns, each on a line of its own: no header has a line end in it. */
function parsed(lines) {
  const headers = new Headers();
  const parts = lines.split("\n");
  for (let at = 0; at + 1 < parts.length; at += 2) headers.set(parts[at], parts[at + 1]);
  return headers;
}

/** Sends a request and reads its answer: status, headers in the form of `parsed`, body. */
export function exchange(signal, url, method, headers, body, millis, limit) {
  return within(millis, answer(signal, url, method, headers, body, limit));
}

async function answer(signal, url, method, headers, body, limit) {
  let request;
  try {
    // A redirect is handed back as an answer with a 3xx status: the token must not follow it.
    request = new Request(url, { method, headers: parsed(headers), body, redirect: "manual", signal });
  } catch {
    // What the runtime says of it may have the whole URL in it.
    throw new Error("the runtime does not take its URL or a header");
  }
  const response = await fetch(request);
  // A compressed body is longer than it says: only piece by piece is it certain not to fill the memory.
  if (Number(response.headers.get("content-length")) > limit) return TOO_LARGE;
  const bytes = response.body ? await read(response.body, limit) : new Uint8Array(0);
  if (bytes === TOO_LARGE) return TOO_LARGE;
  let lines = "";
  for (const [name, value] of response.headers) lines += `${name}\n${value}\n`;
  return [response.status, lines, bytes];
}

/** An operation of a KV namespace: `get` with "arrayBuffer" for `value`, `put` with bytes, `delete`. */
export async function kv(namespace, operation, key, value, millis) {
  return within(millis, namespace[operation](key, value));
}

/** SHA-256 of bytes, which are in the WebAssembly's memory: they are read before this returns. */
export function sha256(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

/** Asks the Durable Object of a name; its answer's bytes. */
export async function ask(namespace, name, command) {
  // The host is a placeholder: the object, not the URL, says where this goes.
  const answer = await namespace.getByName(name).fetch("https://coordinator/", { method: "POST", body: command });
  return answer.arrayBuffer();
}
