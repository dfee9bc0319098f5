// Exchanges with the world that take the runtime several steps, each in one go or as one promise: every promise that the WebAssembly waits for itself, and
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
    if (read === 0) return joined(pieces);
    pieces.push(value);
    size = read < size ? END : FURTHER;
  }
}

function joined(pieces) {
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.byteLength, 0));
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
  return [response.status, lines(response.headers), bytes];
}

/** Names and values by turns, as `parsed` takes them. */
export function lines(headers) {
  let text = "";
  for (const [name, value] of headers) text += `${name}\n${value}\n`;
  return text;
}

/** A response. Of a stream the length is told: with it announced, a client knows a transfer that breaks off; without it, workerd ends it as if well. */
export function respond(status, headers, body, length) {
  if (length !== undefined) {
    const fixed = new FixedLengthStream(length);
    body.pipeTo(fixed.writable);
    body = fixed.readable;
  }
  return new Response(body, { status, headers: parsed(headers) });
}

/** What an error says, with the code that it has and what caused it. */
export function told(error) {
  try {
    const one = (it) => (it instanceof Error ? `${it.name}${typeof it.code === "string" ? ` [${it.code}]` : ""}: ${it.message}` : String(it));
    let text = one(error);
    for (let [cause, depth] = [error?.cause, 0]; cause != null && depth < 16; [cause, depth] = [cause.cause, depth + 1]) text += `: ${one(cause)}`;
    return text;
  } catch {
    return "an error that says nothing";
  }
}

/** An operation of a KV namespace: `get` with "arrayBuffer" for `value`, `put` with bytes, `delete`. */
export async function kv(namespace, operation, key, value, millis) {
  return within(millis, namespace[operation](key, value));
}

/** SHA-256 of bytes, which are in the WebAssembly's memory: they are read before this returns. */
export function sha256(bytes) {
  return crypto.subtle.digest("SHA-256", bytes);
}

function objects(env) {
  if (!env.COORDINATOR) throw new Error("the Durable Object binding COORDINATOR is missing");
  return env.COORDINATOR;
}

/** The id of the Durable Object of a name, which the runtime works out without asking anybody. */
export function objectId(env, name) {
  return objects(env).idFromName(name).toString();
}

/** Asks the Durable Object of a name; its answer's bytes. */
export async function ask(env, name, command) {
  // The host is a placeholder: the object, not the URL, says where this goes.
  const answer = await objects(env).getByName(name).fetch("https://coordinator/", { method: "POST", body: command });
  return answer.arrayBuffer();
}

/** The JWK, rebuilt from the fields that define the key, and the algorithm to use it with. */
const KEYS = {
  RSA: (n, e) => [{ n, e }, { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }],
  EC: (x, y) => [{ crv: "P-256", x, y }, { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }],
  OKP: (x) => [{ crv: "Ed25519", x }, ED25519],
};
const ED25519 = { name: "Ed25519" };

/** Whether a signature is of a public key, which is told by its type and fields as a JWK has them. Bytes are copied before anything is waited for. */
export async function verify(kty, first, second, message, signature) {
  const [signed, given] = [message.slice(), signature.slice()];
  const [fields, algorithm] = KEYS[kty](first, second);
  const key = await crypto.subtle.importKey("jwk", { kty, ...fields }, algorithm, false, ["verify"]);
  return crypto.subtle.verify(algorithm, key, given, signed);
}

/** What stands before the seed in a PKCS #8 private key (RFC 8410 section 7): WebCrypto takes no bare seed. */
const PKCS8_PREFIX = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

function imported(seed) {
  return crypto.subtle.importKey("pkcs8", new Uint8Array([...PKCS8_PREFIX, ...seed]), ED25519, true, ["sign"]);
}

/** Signs with Ed25519. */
export async function sign(seed, message) {
  const signed = message.slice();
  return crypto.subtle.sign(ED25519, await imported(seed), signed);
}

/** The public key of an Ed25519 private key, as a JWK has it. */
export async function publicKey(seed) {
  const jwk = await crypto.subtle.exportKey("jwk", await imported(seed));
  return jwk.x;
}

/**
 * Begins a zstd frame of so many bytes. Its parameter is `ZSTD_c_compressionLevel` at the fastest level, at which `baton-sdk` writes as well, and it is
 * flushed (`ZSTD_e_flush`) and not ended: workerd takes an end that does not fit the stream's buffer at once for an error ("Unexpected end of file",
 * seen with 1.20261117). A flush it repeats as often as it takes; `zstd.rs` ends the frame.
 */
export function zstd(size) {
  const { createZstdCompress } = process.getBuiltinModule("node:zlib");
  const stream = createZstdCompress({ params: { 100: 1 }, finishFlush: 1, pledgedSrcSize: size });
  const frame = { stream, pieces: [], failed: undefined };
  stream.on("data", (piece) => frame.pieces.push(piece));
  stream.on("error", (error) => (frame.failed = error));
  return frame;
}

/** Hands bytes to a frame, or ends its stream, which takes none, and waits until that has called back; gives what is compressed by then. */
export async function compress(frame, bytes, isLast) {
  const content = bytes.slice();
  const told = await new Promise((done) => {
    if (!isLast) return frame.stream.write(content, done);
    frame.stream.on("end", done);
    // A stream that failed has no end.
    frame.stream.on("error", done);
    frame.stream.end();
  });
  const error = frame.failed ?? told;
  if (error) throw error;
  return joined(frame.pieces.splice(0));
}

/** When the alarm of a Durable Object rings, in milliseconds; nothing where it does not. */
export async function alarm(state) {
  return state.storage.getAlarm();
}

/** Has it ring then. */
export async function setAlarm(state, at) {
  return state.storage.setAlarm(at);
}

/** As long as this a text is handed over as it is, as bytes are: as JSON it would be written and read once more. `io.rs` has the same bound. */
const LONG = 4096;
const isApart = (value) => (typeof value === "string" ? value.length >= LONG : value instanceof ArrayBuffer || ArrayBuffer.isView(value));

/**
 * Runs a statement of the database. The parameters come as JSON, and the rows go as JSON. What is handed over as it is stands in `apart`, and
 * its place there, in a list of one, where it belongs.
 */
export function query(state, statement, parameters, apart) {
  const values = JSON.parse(parameters).map((value) => (Array.isArray(value) ? apart[value[0]] : value));
  const rows = state.storage.sql.exec(statement, ...values).raw().toArray();
  apart.length = 0;
  // Most rows have nothing of that, and are written several times as fast without a look at each value.
  if (!rows.some((row) => row.some(isApart))) return JSON.stringify(rows);
  return JSON.stringify(rows, (_, value) => (isApart(value) ? [apart.push(value) - 1] : value));
}

/** Does some work with the database; where it is not done, or falls over, what it has written is undone. */
export function whole(state, work) {
  state.storage.transactionSync(() => {
    if (!work()) throw new Error("it was undone");
  });
}

// A variable or a secret: both are texts. Of what stands without quotes in wrangler.toml wrangler makes a binding of another kind: as JSON it is
// what was written there, and never what nobody set. A binding of a service is none of both.
export function variable(env, name) {
  const value = env[name] ?? undefined;
  if (typeof value === "string") return value;
  const isData = typeof value !== "object" || Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  return isData ? JSON.stringify(value) : undefined;
}
