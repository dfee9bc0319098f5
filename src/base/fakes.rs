//! What stands in for the runtime in tests, here and in `tests/`: a clock that is set, a key-value store that fails on chosen keys, SQLite in
//! memory, a log that is kept. A test's own world has a [`Desk`], passes on to it what it has nothing of its own for
//! ([`passes_on`](crate::passes_on)), and adds who answers its requests.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    unknown_lints,
    clippy::unused_async_trait_impl,
    reason = "async because the ports are; older Clippys do not know it"
)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::Poll;

use ed25519_dalek::Signer as _;

use crate::base::database::Database;
use crate::base::ports::{
    Clock, HttpRequest, HttpResponse, KeyValue, KvError, Level, Log, Sign, SignError, Sql, SqlError, SqlValue, Zstd,
    ZstdError,
};
use crate::base::signing::SigningKey;
use crate::base::space::Space;
use crate::base::time::Timestamp;
use crate::base::timers::Timers;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::base::zstd::RawFrame;

/// When a write of a chosen key fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written.
    BeforePersisting,
    /// It is written, and the writer is told that it failed.
    AfterPersisting,
}

/// A desk with everything on it.
#[derive(Debug)]
pub struct Desk {
    /// The account's part of the key-value store.
    pub space: Space,
    /// The values of the key-value store.
    pub values: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The keys written, in order.
    pub puts: RefCell<Vec<String>>,
    /// The keys read, in order.
    pub gets: RefCell<Vec<String>>,
    /// Whether reads and writes are noted, which takes memory of its own.
    pub noting: Cell<bool>,
    /// Failures of writes by the beginning of a name, and how many times each fails.
    pub faults: RefCell<BTreeMap<String, (Fault, usize)>>,
    /// Failures of reads by the beginning of a name, and how many times each fails.
    pub read_faults: RefCell<BTreeMap<String, usize>>,
    /// Whether a read of the key-value store lets others go on meanwhile.
    pub yields: Cell<bool>,
    /// Values that are seen only after a number of reads in vain.
    pub late: RefCell<BTreeMap<String, (u32, Vec<u8>)>>,
    /// Every line of the log.
    pub lines: RefCell<Vec<String>>,
    /// Now.
    pub time: Cell<Timestamp>,
    /// Who waits for a time, and whether an answer is waited for.
    pub timers: Timers,
    database: Database,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// The desk of an account whose id nobody looks at.
    pub fn new() -> Self {
        Self::of(format!("{:032x}", 7))
    }

    /// The desk of an account.
    pub fn of(account: impl std::fmt::Display) -> Self {
        Self {
            space: Space::new(account, "0123456789abcdef"),
            values: RefCell::default(),
            puts: RefCell::default(),
            gets: RefCell::default(),
            noting: Cell::new(true),
            yields: Cell::new(false),
            faults: RefCell::default(),
            read_faults: RefCell::default(),
            late: RefCell::default(),
            lines: RefCell::default(),
            time: Cell::new(Timestamp::from_secs(1_800_000_000)),
            timers: Timers::default(),
            database: Database::new().unwrap(),
        }
    }

    /// The keys that have values.
    pub fn keys(&self) -> BTreeSet<String> {
        self.values.borrow().keys().cloned().collect()
    }

    /// What the keys of the values are called in the account's own part of the store.
    pub fn names(&self) -> BTreeSet<String> {
        self.keys().iter().map(|key| self.name_of(key).to_owned()).collect()
    }

    /// What a key is called in the account's own part of the store.
    pub fn name_of<'a>(&self, key: &'a str) -> &'a str {
        self.space.name_of(key).unwrap_or(key)
    }

    /// The key of a value of this account's.
    pub fn key(&self, name: &str) -> String {
        self.space.key(name)
    }

    /// The account whose desk it is.
    pub fn account<T: std::str::FromStr<Err: std::fmt::Debug>>(&self) -> T {
        self.space.key("").split('/').next().unwrap().parse().unwrap()
    }

    /// Lets time pass.
    pub fn advance(&self, secs: i64) {
        self.time.set(self.time.get().plus_secs(secs));
    }

    /// Makes writes of keys whose names begin so fail a number of times.
    pub fn fail(&self, prefix: &str, fault: Fault, times: usize) {
        self.faults.borrow_mut().insert(prefix.to_owned(), (fault, times));
    }

    /// Makes reads of keys whose names begin so fail a number of times.
    pub fn fail_reads(&self, prefix: &str, times: usize) {
        self.read_faults.borrow_mut().insert(prefix.to_owned(), times);
    }

    /// The log's lines about failures.
    pub fn errors(&self) -> Vec<String> {
        self.lines.borrow().iter().filter(|line| line.starts_with("Error ")).cloned().collect()
    }

    /// Whether a statement only reads.
    pub fn only_reads(&self, statement: &str) -> bool {
        self.database.only_reads(statement)
    }

    /// The first name with a prefix that has a fault decides.
    fn fault(&self, key: &str) -> Option<Fault> {
        let name = self.name_of(key);
        let mut faults = self.faults.borrow_mut();
        let (fault, left) =
            faults.iter_mut().find(|(prefix, (_, left))| name.starts_with(prefix.as_str()) && *left > 0)?.1;
        *left -= 1;
        Some(*fault)
    }

    /// Whether a read fails, which counts.
    fn cannot_be_read(&self, key: &str) -> bool {
        let name = self.name_of(key);
        let mut faults = self.read_faults.borrow_mut();
        let Some((_, left)) = faults.iter_mut().find(|(prefix, left)| name.starts_with(prefix.as_str()) && **left > 0)
        else {
            return false;
        };
        *left -= 1;
        true
    }

    fn note(&self, list: &RefCell<Vec<String>>, key: &str) {
        if self.noting.get() {
            list.borrow_mut().push(key.to_owned());
        }
    }
}

impl KeyValue for Desk {
    fn space(&self) -> &Space {
        &self.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.note(&self.gets, key);
        let mut has_let = !self.yields.get();
        poll_fn(|context| {
            if std::mem::replace(&mut has_let, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        if self.cannot_be_read(key) {
            return Err(KvError("failed on purpose".to_owned()));
        }
        let late = self.late.borrow_mut().remove(key);
        if let Some((reads, value)) = late {
            if reads > 0 {
                self.late.borrow_mut().insert(key.to_owned(), (reads - 1, value));
            } else {
                self.values.borrow_mut().insert(key.to_owned(), value);
            }
        }
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        let fault = self.fault(key);
        if fault != Some(Fault::BeforePersisting) {
            self.values.borrow_mut().insert(key.to_owned(), value);
            self.note(&self.puts, key);
        }
        fault.map_or(Ok(()), |fault| Err(KvError(format!("{fault:?}"))))
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.values.borrow_mut().remove(key);
        Ok(())
    }
}

impl Clock for Desk {
    fn now(&self) -> Timestamp {
        self.time.get()
    }

    async fn sleep(&self, millis: u32) {
        let set = |millis| self.time.set(Timestamp::from_millis(millis));
        self.timers.sleep(millis, || self.time.get().millis(), set).await;
    }
}

impl Sign for Desk {
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(ed25519_dalek::SigningKey::from_bytes(key.expose()).sign(message).to_bytes().to_vec())
    }

    async fn public_key(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        Ok(ed25519_dalek::SigningKey::from_bytes(key.expose()).verifying_key().to_bytes().to_vec())
    }
}

impl Sql for Desk {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.database.query(statement, params)
    }

    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        self.database.whole(work)
    }
}

impl Log for Desk {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        self.lines.borrow_mut().push(format!("{level:?} {message} {fields}"));
    }
}

impl Zstd for Desk {
    type Frame = RawFrame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError> {
        Ok(RawFrame::new(content_size))
    }
}

/// A request as it stands on the wire, for a simulator that answers without a network between.
#[derive(Clone, Debug)]
pub struct OnTheWire {
    /// The method in capitals.
    pub method: String,
    /// The path, percent-encoded.
    pub path: String,
    /// The query string without its `?`.
    pub query: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, which may be empty.
    pub body: Vec<u8>,
}

impl OnTheWire {
    /// What becomes of a request that goes out.
    pub fn of(request: HttpRequest) -> Self {
        let url = url::Url::parse(&request.url).unwrap();
        let mut headers: Vec<(String, String)> =
            request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        headers.push(("host".to_owned(), url.host_str().unwrap().to_owned()));
        headers.extend(request.bearer.map(|token| ("authorization".to_owned(), format!("Bearer {}", token.expose()))));
        Self {
            method: request.method.as_str().to_owned(),
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            headers,
            body: request.body.unwrap_or_default(),
        }
    }
}

impl HttpResponse {
    /// An answer as it comes in: the names of its headers in lower case.
    pub fn arrived(status: u16, headers: Vec<(String, String)>, body: &[u8]) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Self { status, headers, body: body.to_vec() }
    }
}

/// Implements ports for a type by passing everything on to what one of its fields leads to:
/// `passes_on!(World.desk => KeyValue, Clock, Sql)`.
#[macro_export]
macro_rules! passes_on {
    ($type:ident . $($field:ident).+ => ) => {};
    ($type:ident . $($field:ident).+ => $port:ident $(, $rest:ident)*) => {
        $crate::passes_on!(@$port $type ($($field).+));
        $crate::passes_on!($type . $($field).+ => $($rest),*);
    };
    (@Http $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Http for $type {
            async fn send(
                &self,
                request: $crate::base::ports::HttpRequest,
            ) -> Result<$crate::base::ports::HttpResponse, $crate::base::ports::HttpError> {
                $crate::base::ports::Http::send(&self.$($field).+, request).await
            }
        }
    };
    (@KeyValue $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::KeyValue for $type {
            fn space(&self) -> &$crate::base::space::Space {
                $crate::base::ports::KeyValue::space(&self.$($field).+)
            }

            async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, $crate::base::ports::KvError> {
                $crate::base::ports::KeyValue::get(&self.$($field).+, key).await
            }

            async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), $crate::base::ports::KvError> {
                $crate::base::ports::KeyValue::put(&self.$($field).+, key, value).await
            }

            async fn delete(&self, key: &str) -> Result<(), $crate::base::ports::KvError> {
                $crate::base::ports::KeyValue::delete(&self.$($field).+, key).await
            }
        }
    };
    (@Clock $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Clock for $type {
            fn now(&self) -> $crate::base::time::Timestamp {
                $crate::base::ports::Clock::now(&self.$($field).+)
            }

            async fn sleep(&self, millis: u32) {
                $crate::base::ports::Clock::sleep(&self.$($field).+, millis).await;
            }
        }
    };
    (@Sql $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Sql for $type {
            fn query(
                &self,
                statement: &str,
                params: &[$crate::base::ports::SqlValue],
            ) -> Result<Vec<Vec<$crate::base::ports::SqlValue>>, $crate::base::ports::SqlError> {
                $crate::base::ports::Sql::query(&self.$($field).+, statement, params)
            }

            fn whole(
                &self,
                work: &mut dyn FnMut() -> Result<(), $crate::base::ports::SqlError>,
            ) -> Result<(), $crate::base::ports::SqlError> {
                $crate::base::ports::Sql::whole(&self.$($field).+, work)
            }
        }
    };
    (@Log $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Log for $type {
            fn log(&self, level: $crate::base::ports::Level, message: &str, fields: serde_json::Value) {
                $crate::base::ports::Log::log(&self.$($field).+, level, message, fields);
            }
        }
    };
    (@Alarm $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Alarm for $type {
            async fn wake(&self, at: $crate::base::time::Timestamp) -> Result<(), $crate::base::ports::SqlError> {
                $crate::base::ports::Alarm::wake(&self.$($field).+, at).await
            }
        }
    };
    (@Sign $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Sign for $type {
            async fn sign(
                &self,
                key: &$crate::base::signing::SigningKey,
                message: &[u8],
            ) -> Result<Vec<u8>, $crate::base::ports::SignError> {
                $crate::base::ports::Sign::sign(&self.$($field).+, key, message).await
            }

            async fn public_key(
                &self,
                key: &$crate::base::signing::SigningKey,
            ) -> Result<Vec<u8>, $crate::base::ports::SignError> {
                $crate::base::ports::Sign::public_key(&self.$($field).+, key).await
            }
        }
    };
    (@Zstd $type:ident ($($field:ident).+)) => {
        impl $crate::base::ports::Zstd for $type {
            type Frame = $crate::base::zstd::RawFrame;

            fn frame(&self, content_size: u64) -> Result<Self::Frame, $crate::base::ports::ZstdError> {
                $crate::base::ports::Zstd::frame(&self.$($field).+, content_size)
            }
        }
    };
}
