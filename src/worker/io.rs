//! What `io.js` does with the runtime in one go, for Rust.

use js_sys::futures::JsFuture;
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{AbortSignal, ReadableStream};

#[wasm_bindgen(module = "/src/worker/io.js")]
extern "C" {
    fn read(stream: &ReadableStream, limit: f64) -> Promise;
    fn exchange(
        signal: &AbortSignal,
        url: &str,
        method: &str,
        headers: &str,
        body: Option<Uint8Array>,
        millis: u32,
        limit: f64,
    ) -> Promise;
    fn kv(namespace: &JsValue, operation: &str, key: &str, value: JsValue, millis: u32) -> Promise;
    #[wasm_bindgen(catch)]
    fn sha256(bytes: &[u8]) -> Result<Promise, JsValue>;
    fn ask(namespace: &JsValue, name: &str, command: &str) -> Promise;
}

/// Why there is no result, although nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It took too long.
    Late,
    /// The body is longer than it may be.
    TooLarge,
}

/// A result, or why there is none.
type Outcome<T> = Result<Result<T, Cut>, worker::Error>;

async fn outcome(promise: Promise) -> Outcome<JsValue> {
    let value = JsFuture::from(promise).await?;
    Ok(match value.as_string().as_deref() {
        Some("late") => Err(Cut::Late),
        Some("too large") => Err(Cut::TooLarge),
        _ => Ok(value),
    })
}

// Up to 2^53 every size is one of JavaScript's numbers, and none here is larger than 2^32.
#[allow(clippy::cast_precision_loss, reason = "a size within the memory")]
const fn number(size: usize) -> f64 {
    size as f64
}

/// Reads a body to its end; of one that is longer than `limit` the rest is not read.
pub(super) async fn body(stream: &ReadableStream, limit: usize) -> Outcome<Vec<u8>> {
    Ok(outcome(read(stream, number(limit))).await?.map(|bytes| Uint8Array::new(&bytes).to_vec()))
}

/// A request as the runtime takes it.
pub(super) struct Outgoing<'a> {
    pub(super) url: &'a str,
    pub(super) method: &'a str,
    /// Names and values by turns, each with a line end behind it.
    pub(super) headers: &'a str,
    pub(super) body: Option<&'a [u8]>,
    pub(super) timeout_millis: u32,
    /// The most that an answer's body may have.
    pub(super) max_bytes: usize,
}

/// An answer: status, headers in the same form, body.
pub(super) type Answer = (u16, String, Vec<u8>);

/// Sends a request and reads its answer. The signal breaks it off.
pub(super) async fn send(signal: &AbortSignal, outgoing: &Outgoing<'_>) -> Outcome<Answer> {
    let promise = exchange(
        signal,
        outgoing.url,
        outgoing.method,
        outgoing.headers,
        outgoing.body.map(Uint8Array::from),
        outgoing.timeout_millis,
        number(outgoing.max_bytes),
    );
    let parts = match outcome(promise).await? {
        Ok(parts) => parts.unchecked_into::<Array>(),
        Err(cut) => return Ok(Err(cut)),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a status has three digits")]
    let status = parts.get(0).as_f64().unwrap_or_default() as u16;
    let headers = parts.get(1).as_string().unwrap_or_default();
    Ok(Ok((status, headers, Uint8Array::new(&parts.get(2)).to_vec())))
}

/// An operation of a KV namespace.
pub(super) async fn of_kv(
    namespace: &JsValue,
    operation: &str,
    key: &str,
    value: JsValue,
    millis: u32,
) -> Outcome<JsValue> {
    outcome(kv(namespace, operation, key, value, millis)).await
}

/// SHA-256 of some bytes, where the runtime gives one.
pub(super) async fn sha256_of(bytes: &[u8]) -> Option<[u8; 32]> {
    let hash = JsFuture::from(sha256(bytes).ok()?).await.ok()?;
    Uint8Array::new(&hash).to_vec().try_into().ok()
}

/// Asks the Durable Object of a name; its answer's bytes.
pub(super) async fn of_object(namespace: &JsValue, name: &str, command: &str) -> worker::Result<Vec<u8>> {
    let bytes = JsFuture::from(ask(namespace, name, command)).await?;
    Ok(Uint8Array::new(&bytes).to_vec())
}
