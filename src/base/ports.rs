//! What the connector needs of the world, as small traits. `worker` implements them on Workers, [`fakes`](super) and `tests/support` for tests.
//!
//! The futures are not `Send`: a Worker has one thread.

use std::fmt;

use serde::Serialize;

use super::hash;
use super::keys::{PublicKey, SigningKey};
use super::shelf::Shelf;
use super::space::Space;
use super::time::Timestamp;

/// Text that must never be shown: API tokens, client secrets, signing keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// Any other.
    Other,
}

impl Method {
    /// The method's name in capitals.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "OTHER",
        }
    }

    /// Reads a method's name.
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// A request that goes out. Its query and its headers may be what lets whoever has them in, and are not printed.
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Headers other than `Authorization`.
    pub headers: Vec<(&'static str, String)>,
    /// The bearer token, kept apart so that a printed request does not show it.
    pub bearer: Option<Secret>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// How long the whole exchange may take, reading the body included.
    pub timeout_millis: u32,
    /// How many bytes of body are read at most; a longer one is [`HttpError::TooLarge`].
    pub max_bytes: usize,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .finish_non_exhaustive()
    }
}

/// The answer to a request that went out.
#[derive(Clone, Debug, Default)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. Whether the request was carried out is unknown in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No answer, or not all of it, in the time given.
    #[error("no answer within {0} ms")]
    Timeout(u32),
    /// The connection failed or broke.
    #[error("connection failed: {0}")]
    Connection(String),
    /// The body is longer than the request allows.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

/// Sends HTTP requests. Redirects are never followed: a bearer token must not travel.
pub trait Http {
    /// Sends one request and reads the whole answer.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// A failed key-value operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key-value store: {0}")]
pub struct KvError(pub String);

/// Workers KV: eventually consistent, without locks; immutable values under content-derived keys suit it.
pub trait KeyValue {
    /// The part of the namespace that is this connector's own; whatever it writes has its key from there.
    fn space(&self) -> &Space;
    /// Reads a value; a value written within the last minute may not be seen yet.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;
    /// Writes a value (25 MiB at most).
    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError>;
    /// Deletes a value; one that is not there is fine.
    async fn delete(&self, key: &str) -> Result<(), KvError>;
    /// SHA-256 of some bytes, as values are named by their content. `worker` has the runtime do it: in WebAssembly it takes ten times as long.
    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        hash::sha256(bytes)
    }
    /// Uses what is in memory of the values that never change, where anything is kept.
    fn shelf<T>(&self, _: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        None
    }
}

impl<T: KeyValue> KeyValue for &T {
    fn space(&self) -> &Space {
        (**self).space()
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        (**self).get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        (**self).put(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        (**self).delete(key).await
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        (**self).sha256(bytes).await
    }

    fn shelf<V>(&self, f: impl FnOnce(&mut Shelf) -> V) -> Option<V> {
        (**self).shelf(f)
    }
}

/// Time, which on Workers stands still while the processor is busy.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits. Only for waits of a few seconds, within an invocation.
    async fn sleep(&self, millis: u32);
}

impl<T: Clock> Clock for &T {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    async fn sleep(&self, millis: u32) {
        (**self).sleep(millis).await;
    }
}

/// A failed compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zstd: {0}")]
pub struct ZstdError(pub String);

/// Compresses with zstd (RFC 8878).
pub trait Zstd {
    /// A frame that is being written.
    type Frame: ZstdFrame;

    /// Begins a frame whose content will have this many bytes; its header says so.
    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError>;
}

/// One zstd frame, written piece by piece in bounded memory.
pub trait ZstdFrame {
    /// Takes a piece of the content; gives what of the frame is ready, which may be nothing.
    async fn write(&mut self, content: &[u8]) -> Result<Vec<u8>, ZstdError>;
    /// The rest of the frame, once all content was written.
    async fn finish(&mut self) -> Result<Vec<u8>, ZstdError>;
}

impl<T: Zstd> Zstd for &T {
    type Frame = T::Frame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError> {
        (**self).frame(content_size)
    }
}

/// A value in a row of [`Sql`]. As JSON it travels from one Durable Object to another.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlValue {
    /// `NULL`
    Null,
    /// `INTEGER`, within ±2^53: the numbers pass through JavaScript.
    Integer(i64),
    /// `REAL`
    Real(f64),
    /// `TEXT`
    Text(String),
    /// `BLOB`
    Blob(Vec<u8>),
}

impl SqlValue {
    /// The text, where it is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, where it is a whole number.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            // Durable Object SQL hands every number over as a double.
            #[allow(clippy::cast_possible_truncation, reason = "whole and far below 2^53")]
            Self::Real(number) if number.fract() == 0.0 => Some(*number as i64),
            _ => None,
        }
    }

    /// The time, where it is a whole number.
    pub fn time(&self) -> Option<Timestamp> {
        self.integer().map(Timestamp::from_millis)
    }

    /// The bytes, where it is a blob.
    pub fn blob(&self) -> Option<&[u8]> {
        match self {
            Self::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl From<i64> for SqlValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Timestamp> for SqlValue {
    fn from(at: Timestamp) -> Self {
        Self::Integer(at.millis())
    }
}

impl From<&str> for SqlValue {
    /// Called from so many places that each had better not have it in itself.
    #[inline(never)]
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SqlValue {
    #[inline(never)]
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A failed statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("database: {0}")]
pub struct SqlError(pub String);

impl SqlError {
    /// A row that this version cannot read: `what` it is, such as `a run's line`.
    pub fn unreadable(what: &str) -> Self {
        Self(format!("{what} cannot be read"))
    }
}

impl From<serde_json::Error> for SqlError {
    /// What was to be stored cannot be written as JSON.
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// The Coordinator's own SQLite: strongly consistent, and durable before any answer or request leaves the Coordinator
/// (the output gate of Durable Objects). Statements with no `await` between them are on disk together where the object dies. Where one of them fails, those
/// before it stay: what must not stand without the rest is written as a `whole`.
pub trait Sql {
    /// Runs one statement and returns its rows.
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError>;

    /// Does some work of which all that it writes stays, or nothing: where it fails, what it has written is undone.
    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError>;

    /// Runs one statement and returns the first value of its first row.
    fn one(&self, statement: &str, params: &[SqlValue]) -> Result<Option<SqlValue>, SqlError> {
        Ok(self.query(statement, params)?.into_iter().next().and_then(|row| row.into_iter().next()))
    }
}

/// What is made of what a statement brings: beside the trait, so that it is compiled once.
impl dyn Sql + '_ {
    /// Runs one statement whose rows nobody asks for.
    pub fn run(&self, statement: &str, params: &[SqlValue]) -> Result<(), SqlError> {
        self.query(statement, params).map(drop)
    }

    /// The first value of the first row as a whole number; nothing where it is none, or where there is no row.
    pub fn number(&self, statement: &str, params: &[SqlValue]) -> Result<Option<i64>, SqlError> {
        Ok(self.one(statement, params)?.and_then(|value| value.integer()))
    }

    /// The same as a text; nothing where it is none, or where there is no row.
    pub fn text(&self, statement: &str, params: &[SqlValue]) -> Result<Option<String>, SqlError> {
        Ok(match self.one(statement, params)? {
            Some(SqlValue::Text(text)) => Some(text),
            _ => None,
        })
    }

    /// The same as a time; nothing where it is none, or where there is no row.
    pub fn time(&self, statement: &str, params: &[SqlValue]) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.one(statement, params)?.and_then(|value| value.time()))
    }

    /// Whether there is a row.
    pub fn has(&self, statement: &str, params: &[SqlValue]) -> Result<bool, SqlError> {
        Ok(self.one(statement, params)?.is_some())
    }
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something happened as it should.
    Info,
    /// Somebody may want to look.
    Warn,
    /// Something failed.
    Error,
}

/// One JSON line per event, for Workers Logs. A failure is logged once, at the boundary that handles it; a line never
/// carries a secret, a token or a callback URL.
pub trait Log {
    /// Writes a line: a message that can be read alone, and fields to filter by.
    fn log(&self, level: Level, message: &str, fields: serde_json::Value);
}

/// Wakes the Coordinator up again.
pub trait Alarm {
    /// Sees to it that the alarm rings at `at` or earlier.
    async fn wake(&self, at: Timestamp) -> Result<(), SqlError>;
}

/// The runtime could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not sign: {0}")]
pub struct SignError(pub String);

/// Signs with Ed25519. `worker` does it with `WebCrypto`.
pub trait Sign {
    /// The signature of 64 bytes over a message.
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError>;
    /// The public key of 32 bytes that belongs to a private one.
    async fn public_key(&self, key: &SigningKey) -> Result<Vec<u8>, SignError>;
}

/// Checks a signature over a message. `worker` does it with `WebCrypto`.
pub trait Signatures {
    /// Whether `signature` over `message` is of `key`. A key or signature that cannot be used is not an error but `false`.
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool;
}

/// Where keys are kept between requests, as long as the isolate lives.
pub trait KeyCache<C> {
    /// Reads or changes the cache; never held over an `await`.
    fn with<T>(&self, f: impl FnOnce(&mut C) -> T) -> T;
}
