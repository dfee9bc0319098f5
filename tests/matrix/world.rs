//! The world of `tests/promises` with a trap in it: one chosen call goes wrong in one chosen way, or is the last that an isolate makes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use c1_cloudflare::base::ports::{
    Alarm, Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, Sql, SqlError, SqlValue,
};
use c1_cloudflare::base::space::Space;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::passes_on;
use tokio::sync::Notify;

use crate::lives::world as base;

/// Whether a call goes wrong before it is carried out, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Before,
    After,
}

/// How an answer of Cloudflare goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// None comes within the time that the request has.
    Timeout,
    Reset,
    /// Cloudflare's failure envelope.
    Status(u16),
    /// 429, with the seconds of `Retry-After` or without.
    TooMany(Option<u32>),
    /// A page of the edge.
    Html(u16),
    Truncated,
    /// `success: false` with status 200.
    NoSuccess,
    /// A document without `result`.
    NoResult,
    NullResult,
    Empty,
    TooLarge,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    Answer(Answer, Moment),
    /// A key-value operation or a statement fails.
    Error(Moment),
    /// A value is read as it was before the last write.
    Stale,
    /// A value is not to be seen yet.
    Missing,
    /// The isolate is lost.
    Kill(Moment),
}

/// Which call goes wrong, and how often in a row.
#[derive(Clone, Debug)]
pub(crate) struct Trap {
    pub(crate) call: String,
    /// How many calls of the kind go well first.
    pub(crate) skip: usize,
    pub(crate) times: usize,
    pub(crate) wrong: Wrong,
}

pub(crate) struct World {
    pub(crate) inner: base::World,
    /// The calls made so far, by kind: a request's method and path, a key's first part, a statement. None once nobody counts them any more.
    pub(crate) calls: RefCell<Option<Vec<String>>>,
    trap: RefCell<Option<Trap>>,
    /// How often the trap struck.
    pub(crate) struck: Cell<usize>,
    /// The isolate is lost: nothing that it still does reaches anything.
    dead: Cell<bool>,
    pub(crate) died: Notify,
    before: RefCell<std::collections::BTreeMap<String, Option<Vec<u8>>>>,
}

impl World {
    pub(crate) fn new(inner: base::World) -> Self {
        Self {
            inner,
            calls: RefCell::new(Some(Vec::new())),
            trap: RefCell::default(),
            struck: Cell::new(0),
            dead: Cell::new(false),
            died: Notify::new(),
            before: RefCell::default(),
        }
    }

    pub(crate) fn set_trap(&self, trap: Option<Trap>) {
        if let Some(calls) = self.calls.borrow_mut().as_mut() {
            calls.clear();
        }
        self.trap.replace(trap);
    }

    pub(crate) fn revive(&self) {
        self.dead.set(false);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// What goes wrong with this call, if anything does.
    fn strike(&self, call: &str) -> Option<Wrong> {
        if self.trap.borrow().is_none() {
            if let Some(calls) = self.calls.borrow_mut().as_mut() {
                calls.push(call.to_owned());
            }
            return None;
        }
        let mut trap = self.trap.borrow_mut();
        let trap = trap.as_mut().filter(|trap| trap.call == call)?;
        if trap.skip > 0 {
            trap.skip -= 1;
            return None;
        }
        trap.times = trap.times.checked_sub(1)?;
        self.struck.set(self.struck.get() + 1);
        Some(trap.wrong)
    }

    async fn lose(&self) -> ! {
        self.dead.set(true);
        self.died.notify_one();
        futures::future::pending::<()>().await;
        unreachable!("a lost isolate goes on");
    }

    async fn live(&self) {
        if self.dead.get() {
            futures::future::pending::<()>().await;
        }
    }
}

/// The kind of a request: ids are all alike.
pub(crate) fn kind(request: &HttpRequest) -> String {
    let url = url::Url::parse(&request.url).unwrap();
    let is_id = |part: &str| part.len() >= 32 && part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let path: Vec<&str> = url.path().split('/').map(|part| if is_id(part) { "{id}" } else { part }).collect();
    format!("{} {}", request.method.as_str(), path.join("/"))
}

/// The kind of a key: what stands before the first id.
fn key_kind(operation: &str, key: &str) -> String {
    let words = key.split(['/', ':']).filter(|part| part.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    format!("kv {operation} {}", words.collect::<Vec<_>>().join("/"))
}

fn envelope(status: u16, body: impl Into<Vec<u8>>) -> HttpResponse {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    HttpResponse { status, headers, body: body.into() }
}

impl Answer {
    /// What arrives in the place of `proper`, which is there where the request was carried out.
    fn of(self, request: &HttpRequest, proper: Option<HttpResponse>) -> Result<HttpResponse, HttpError> {
        let failure = |status: u16, code: u32| {
            let body = format!(
                r#"{{"success":false,"errors":[{{"code":{code},"message":"Simulated failure"}}],"messages":[],"result":null}}"#
            );
            envelope(status, body)
        };
        let proper =
            proper.unwrap_or_else(|| envelope(200, r#"{"success":true,"errors":[],"messages":[],"result":{}}"#));
        Ok(match self {
            Self::Timeout => return Err(HttpError::Timeout(request.timeout_millis)),
            Self::Reset => return Err(HttpError::Connection("reset".to_owned())),
            Self::TooLarge => return Err(HttpError::TooLarge(request.max_bytes)),
            Self::Status(status) => failure(status, 10_000),
            Self::TooMany(after) => {
                let mut answer = failure(429, 10_013);
                answer.headers.extend(after.map(|secs| ("retry-after".to_owned(), secs.to_string())));
                answer
            }
            Self::Html(status) => HttpResponse {
                status,
                headers: vec![("content-type".to_owned(), "text/html; charset=UTF-8".to_owned())],
                body: b"<!DOCTYPE html><html><title>a timeout occurred</title></html>".to_vec(),
            },
            Self::Truncated => envelope(proper.status, &proper.body[..proper.body.len() / 2]),
            Self::NoSuccess => failure(200, 1_000),
            Self::NoResult | Self::NullResult => {
                let mut document: serde_json::Value = serde_json::from_slice(&proper.body).unwrap_or_default();
                if let Some(document) = document.as_object_mut() {
                    document.remove("result");
                    if self == Self::NullResult {
                        document.insert("result".to_owned(), serde_json::Value::Null);
                    }
                }
                envelope(proper.status, document.to_string())
            }
            Self::Empty => envelope(proper.status, ""),
        })
    }
}

impl Http for World {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.live().await;
        let sent = request.clone();
        match self.strike(&kind(&request)) {
            Some(Wrong::Kill(Moment::Before)) => self.lose().await,
            Some(Wrong::Kill(Moment::After)) => {
                let _ = self.inner.send(request).await;
                self.lose().await
            }
            Some(Wrong::Answer(answer, moment)) => {
                let proper = match moment {
                    Moment::Before => None,
                    Moment::After => Some(self.inner.send(request).await?),
                };
                if answer == Answer::Timeout {
                    self.inner.sleep(sent.timeout_millis).await;
                }
                answer.of(&sent, proper)
            }
            _ => self.inner.send(request).await,
        }
    }
}

impl KeyValue for World {
    fn space(&self) -> &Space {
        self.inner.space()
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.live().await;
        match self.strike(&key_kind("get", key)) {
            Some(Wrong::Error(_)) => Err(KvError("simulated failure".to_owned())),
            Some(Wrong::Missing) => Ok(None),
            Some(Wrong::Stale) => match self.before.borrow().get(key) {
                Some(before) => Ok(before.clone()),
                None => Ok(None),
            },
            Some(Wrong::Kill(_)) => self.lose().await,
            _ => self.inner.get(key).await,
        }
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.live().await;
        let wrong = self.strike(&key_kind("put", key));
        match wrong {
            Some(Wrong::Error(Moment::Before)) => return Err(KvError("simulated failure".to_owned())),
            Some(Wrong::Kill(Moment::Before)) => self.lose().await,
            _ => {}
        }
        let before = self.inner.get(key).await?;
        self.before.borrow_mut().insert(key.to_owned(), before);
        self.inner.put(key, value).await?;
        match wrong {
            Some(Wrong::Error(Moment::After)) => Err(KvError("simulated failure".to_owned())),
            Some(Wrong::Kill(Moment::After)) => self.lose().await,
            _ => Ok(()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.live().await;
        match self.strike(&key_kind("delete", key)) {
            Some(Wrong::Error(_)) => Err(KvError("simulated failure".to_owned())),
            Some(Wrong::Kill(_)) => self.lose().await,
            _ => self.inner.delete(key).await,
        }
    }
}

passes_on!(World.inner => Clock, Log, Sign, Zstd);

/// The kind of a statement: its text, with any run of blanks as one. A life makes some hundred statements some thousand times.
fn statement_kind(statement: &str) -> Rc<str> {
    thread_local!(static KNOWN: RefCell<BTreeMap<String, Rc<str>>> = RefCell::default());
    let new = || format!("sql {}", statement.split_whitespace().collect::<Vec<_>>().join(" ")).into();
    let known = KNOWN.with_borrow(|known| known.get(statement).cloned());
    known
        .unwrap_or_else(|| KNOWN.with_borrow_mut(|known| known.entry(statement.to_owned()).or_insert_with(new).clone()))
}

impl Sql for World {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        if self.dead.get() {
            return Err(SqlError("the isolate is lost".to_owned()));
        }
        let is_watched = self.trap.borrow().as_ref().is_none_or(|trap| trap.call.starts_with("sql "));
        match is_watched.then(|| self.strike(&statement_kind(statement))).flatten() {
            Some(Wrong::Error(Moment::Before)) => Err(SqlError("simulated failure".to_owned())),
            Some(Wrong::Error(Moment::After)) => {
                self.inner.query(statement, params)?;
                Err(SqlError("simulated failure".to_owned()))
            }
            _ => self.inner.query(statement, params),
        }
    }

    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        self.inner.whole(work)
    }
}

impl Alarm for World {
    async fn wake(&self, at: Timestamp) -> Result<(), SqlError> {
        if self.dead.get() {
            return Err(SqlError("the isolate is lost".to_owned()));
        }
        self.inner.wake(at).await
    }
}
