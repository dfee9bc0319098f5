//! What `io.js` does with the runtime in one go, for Rust.

use js_sys::futures::JsFuture;
use js_sys::{Array, Promise, Uint8Array};
use serde_json::Value;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{AbortSignal, ReadableStream};

use crate::base::json;
use crate::base::ports::SqlValue;

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
    #[wasm_bindgen(catch, js_name = objectId)]
    fn object_id(env: &JsValue, name: &str) -> Result<String, JsValue>;
    fn ask(env: &JsValue, name: &str, command: &str) -> Promise;
    fn verify(kty: &str, first: &str, second: &str, message: &[u8], signature: &[u8]) -> Promise;
    fn sign(seed: &[u8], message: &[u8]) -> Promise;
    #[wasm_bindgen(js_name = publicKey)]
    fn public_key(seed: &[u8]) -> Promise;
    #[wasm_bindgen(catch)]
    fn zstd(size: f64) -> Result<JsValue, JsValue>;
    fn compress(frame: &JsValue, bytes: &[u8], is_last: bool) -> Promise;
    #[wasm_bindgen(catch)]
    fn query(state: &JsValue, statement: &str, parameters: &str, apart: &Array) -> Result<String, JsValue>;
    #[wasm_bindgen(catch)]
    fn whole(state: &JsValue, work: &mut dyn FnMut() -> bool) -> Result<(), JsValue>;
    #[wasm_bindgen(catch)]
    fn alarm(state: &JsValue) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch, js_name = setAlarm)]
    fn set_alarm(state: &JsValue, at: f64) -> Result<Promise, JsValue>;
    #[wasm_bindgen(catch)]
    fn respond(status: u16, headers: &str, body: JsValue, length: Option<f64>) -> Result<JsValue, JsValue>;
    fn told(error: &JsValue) -> String;
    pub(super) fn lines(headers: &JsValue) -> String;
    pub(super) fn variable(env: &JsValue, name: &str) -> Option<String>;
}

/// Why there is no result, although nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It took too long.
    Late,
    /// The body is longer than it may be.
    TooLarge,
}

/// A result, or why there is none: what the runtime threw says so.
type Outcome<T> = Result<Result<T, Cut>, String>;

/// What the runtime threw, as a text.
#[allow(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn said(error: JsValue) -> String {
    told(&error)
}

async fn outcome(promise: Promise) -> Outcome<JsValue> {
    let value = wait(promise).await?;
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
    self::bytes(sha256(bytes).ok()?).await.ok()?.try_into().ok()
}

/// As long as this a text is handed over as it is, as bytes are: as JSON it would be written and read once more. `io.js` has the same bound.
const LONG: usize = 4096;

/// Runs a statement of a Durable Object's database.
pub(super) fn of_sql(state: &JsValue, statement: &str, parameters: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, String> {
    let apart = Array::new();
    let aside = |value: JsValue| Value::Array(vec![(apart.push(&value) - 1).into()]);
    let parameters = parameters.iter().map(|value| match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => (*number).into(),
        SqlValue::Real(number) => (*number).into(),
        SqlValue::Text(text) if text.len() < LONG => text.as_str().into(),
        SqlValue::Text(text) => aside(text.as_str().into()),
        SqlValue::Blob(bytes) => aside(Uint8Array::from(bytes.as_slice()).into()),
    });
    let parameters = Value::Array(parameters.collect()).to_string();
    let rows = query(state, statement, &parameters, &apart).map_err(said)?;
    let rows = json::read_str(&rows).map_err(|error| error.to_string())?;
    Ok(list(rows).map(|row| list(row).map(|value| of_json(value, &apart)).collect()).collect())
}

/// Does some work with a Durable Object's database, of which all that it writes stays or nothing; why it failed is the work's own to keep.
pub(super) fn all_or_nothing(state: &JsValue, work: &mut impl FnMut() -> bool) -> Result<(), String> {
    whole(state, work).map_err(said)
}

/// When the alarm of a Durable Object rings.
pub(super) async fn alarm_of(state: &JsValue) -> Result<Option<i64>, String> {
    let at = wait(alarm(state).map_err(said)?).await?;
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds without a fraction, as JavaScript tells the time")]
    let millis = |at: f64| at as i64;
    Ok(at.as_f64().map(millis))
}

/// Has it ring then.
pub(super) async fn wake(state: &JsValue, at: i64) -> Result<(), String> {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds, which are within 2^53")]
    let set = set_alarm(state, at as f64).map_err(said)?;
    wait(set).await.map(drop)
}

/// A response; headers are names and values by turns, each with a line end behind it. Of a stream the length is told.
pub(super) fn response(status: u16, headers: &str, body: JsValue, length: Option<u64>) -> Result<JsValue, String> {
    // Within 2^53: no file has that many bytes.
    #[allow(clippy::cast_precision_loss, reason = "the size of a file")]
    respond(status, headers, body, length.map(|length| length as f64)).map_err(said)
}

fn list(value: Value) -> std::vec::IntoIter<Value> {
    if let Value::Array(list) = value { list } else { Vec::new() }.into_iter()
}

fn of_json(value: Value, apart: &Array) -> SqlValue {
    match value {
        Value::String(text) => SqlValue::Text(text),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| SqlValue::Real(number.as_f64().unwrap_or_default()), SqlValue::Integer)
        }
        Value::Array(_) => {
            // They come in the order in which they were put there.
            let value = apart.shift();
            value.as_string().map_or_else(|| SqlValue::Blob(Uint8Array::new(&value).to_vec()), SqlValue::Text)
        }
        _ => SqlValue::Null,
    }
}

/// The id of the Durable Object of a name.
pub(super) fn of_id(env: &JsValue, name: &str) -> Result<String, String> {
    object_id(env, name).map_err(said)
}

/// Asks the Durable Object of a name; its answer's bytes.
pub(super) async fn of_object(env: &JsValue, name: &str, command: &str) -> Result<Vec<u8>, String> {
    bytes(ask(env, name, command)).await
}

/// Whether a signature is of a public key, which is told by its type and fields as a JWK has them; none is of a key that cannot be imported.
pub(super) async fn is_signed(kty: &str, [first, second]: [&str; 2], message: &[u8], signature: &[u8]) -> bool {
    JsFuture::from(verify(kty, first, second, message, signature)).await.is_ok_and(|verdict| verdict.is_truthy())
}

/// An Ed25519 signature.
pub(super) async fn signature(seed: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
    bytes(sign(seed, message)).await
}

/// The public key of an Ed25519 private key, as a JWK has it.
pub(super) async fn public_key_of(seed: &[u8]) -> Result<String, String> {
    Ok(wait(public_key(seed)).await?.as_string().unwrap_or_default())
}

/// Begins a zstd frame, where the runtime can.
pub(super) fn zstd_frame(size: u64) -> Option<JsValue> {
    // Within 2^53: the file has less than 2^44 bytes.
    #[allow(clippy::cast_precision_loss, reason = "a size of some megabytes")]
    zstd(size as f64).ok()
}

/// What a frame has compressed by now, once these bytes are with it; with the last ones all that is left of it.
pub(super) async fn zstd_piece(frame: &JsValue, content: &[u8], is_last: bool) -> Result<Vec<u8>, String> {
    bytes(compress(frame, content, is_last)).await
}

async fn bytes(promise: Promise) -> Result<Vec<u8>, String> {
    Ok(Uint8Array::new(&wait(promise).await?).to_vec())
}

async fn wait(promise: Promise) -> Result<JsValue, String> {
    JsFuture::from(promise).await.map_err(said)
}
