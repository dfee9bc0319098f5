//! The connector's ports on the desk: a clock that tests set, a key-value store that fails on chosen keys, SQLite in
//! memory, and HTTP that goes straight to the simulated account. Everything can be cut off at any moment, as an isolate can.

#![allow(
    unknown_lints,
    clippy::unused_async_trait_impl,
    reason = "async because the ports are; older Clippys do not know it"
)]
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use c1_cloudflare::base::fakes::{Desk, OnTheWire};
use c1_cloudflare::base::ports::{
    Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, Sql, SqlError, SqlValue,
};
use c1_cloudflare::base::space::Space;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::coordinator::Settings;
use c1_cloudflare::passes_on;
use c1_cloudflare::sync::{self, Limits, Next, RunRecord, Trigger};
use c1_cloudflare::worker::config;
use sim::cloudflare::{Cloudflare, Spec};
use sim::http::{Handler, Reply, Request};
use tokio::sync::Notify;

/// The C1 app that the connector is for.
pub(crate) const APP: &str = "2app";

/// An account, and everything the Coordinator works with.
pub(crate) struct World {
    pub(crate) cloudflare: Cloudflare,
    pub(crate) config: Settings,
    pub(crate) limits: Limits,
    /// What stands in for the runtime.
    pub(crate) desk: Desk,
    /// Statements that contain a text fail, and how many times.
    pub(crate) sql_faults: RefCell<Option<(String, usize)>>,
    /// Rows written by statements that write.
    pub(crate) statements: Cell<u64>,
    operations: Cell<u64>,
    cut: Cell<Option<u64>>,
    cut_off: Notify,
    /// Whether the answer to a request counts as an operation of its own.
    pub(crate) cuts_answers: Cell<bool>,
    /// Changes an answer on its way: given the request's path with its query, and the body.
    pub(crate) bends: RefCell<Option<Bend>>,
}

/// Changes an answer on its way.
pub(crate) type Bend = Box<dyn Fn(&str, &mut serde_json::Value)>;

impl World {
    /// The world of an account.
    pub(crate) fn new(spec: Spec) -> Self {
        let cloudflare = Cloudflare::new(spec);
        let mut vars = cloudflare.variables();
        vars.insert("ALLOWED_APPS", APP.to_owned());
        let config = config::read(|name| vars.get(name).cloned()).unwrap().coordinator;
        let world = Self {
            desk: Desk::of(config.cloudflare.account_id),
            cloudflare,
            limits: Limits::of(config.plan),
            config,
            sql_faults: RefCell::default(),
            statements: Cell::new(0),
            operations: Cell::new(0),
            cut: Cell::new(None),
            cut_off: Notify::new(),
            cuts_answers: Cell::new(false),
            bends: RefCell::default(),
        };
        world.init();
        world
    }

    fn init(&self) {
        c1_cloudflare::cloudflare::init(self).unwrap();
        c1_cloudflare::audit::init(self).unwrap();
        sync::init(self).unwrap();
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, secs: i64) {
        self.desk.advance(secs);
        self.now();
    }

    /// How many operations were asked of the ports: the moments at which a step can be cut off.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.get()
    }

    /// Starts a sync and carries it to its end, alarm by alarm.
    pub(crate) async fn sync(&self) -> RunRecord {
        self.sync_as(Trigger { by: "test".to_owned(), accept_removals: false }).await
    }

    /// The same, with a trigger of the test's.
    pub(crate) async fn sync_as(&self, trigger: Trigger) -> RunRecord {
        self.advance(900);
        sync::begin(self, &self.config.cloudflare, trigger).unwrap();
        self.finish().await
    }

    /// Carries the running sync to its end.
    pub(crate) async fn finish(&self) -> RunRecord {
        for _ in 0..2_000 {
            match sync::step_within(self, &self.config.cloudflare, &self.limits).await {
                Next::Idle => return sync::status(self).unwrap().runs[0].clone(),
                Next::At(at) => self.desk.time.set(self.desk.time.get().max(at)),
            }
        }
        panic!("the sync does not end: {:?}", sync::status(self).unwrap());
    }

    /// Carries the running sync on and cuts it off at the n-th operation, as when the isolate is lost: whatever is on its way then
    /// never comes back. Says whether it was cut off; otherwise it came to its end.
    pub(crate) async fn cut_off_at(&self, operation: u64) -> bool {
        self.cut.set(Some(self.operations.get() + operation));
        let ended = tokio::select! {
            biased;
            () = self.cut_off.notified() => false,
            _ = self.finish() => true,
        };
        self.cut.set(None);
        // The lost isolate's tables are there when the next one starts.
        self.init();
        !ended
    }

    /// Carries work on and cuts it off at the n-th operation, before a request is sent or after it was carried out; `None` where
    /// it was.
    pub(crate) async fn cut_off<T>(&self, operation: u64, work: impl Future<Output = T>) -> Option<T> {
        self.cut.set(Some(self.operations.get() + operation));
        let ended = tokio::select! {
            biased;
            () = self.cut_off.notified() => None,
            ended = work => Some(ended),
        };
        self.cut.set(None);
        ended
    }

    /// An answer as it arrives.
    fn bent(&self, asked: &str, reply: Reply) -> Reply {
        match (self.bends.borrow().as_ref(), reply) {
            (Some(bend), Reply::Response { status, headers, body }) => {
                let mut told = serde_json::from_slice(&body).unwrap();
                bend(asked, &mut told);
                Reply::Response { status, headers, body: told.to_string().into() }
            }
            (_, reply) => reply,
        }
    }

    async fn operation(&self) {
        self.operations.set(self.operations.get() + 1);
        if self.cut.get().is_some_and(|cut| self.operations.get() > cut) {
            self.cut_off.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Http for World {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.operation().await;
        let max_bytes = request.max_bytes;
        let OnTheWire { method, path, query, headers, body } = OnTheWire::of(request);
        let asked = format!("{method} {path}?{query}");
        let request = Request { method, path, query, headers, body: body.into() };
        let waiting = self.desk.timers.wait();
        let reply = self.bent(&asked, Arc::new(self.cloudflare.clone()).handle(request).await);
        drop(waiting);
        if self.cuts_answers.get() {
            self.operation().await;
        }
        match reply {
            Reply::Reset => Err(HttpError::Connection("reset on purpose".to_owned())),
            Reply::Response { body, .. } if body.len() > max_bytes => Err(HttpError::TooLarge(max_bytes)),
            Reply::Response { status, headers, body } => Ok(HttpResponse::arrived(status, headers, &body)),
        }
    }
}

impl KeyValue for World {
    fn space(&self) -> &Space {
        &self.desk.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.operation().await;
        self.desk.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.operation().await;
        let put = self.desk.put(key, value).await;
        if self.cuts_answers.get() {
            self.operation().await;
        }
        put
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.operation().await;
        self.desk.delete(key).await
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.cloudflare.set_log_time(self.desk.now().millis());
        self.desk.now()
    }

    async fn sleep(&self, millis: u32) {
        self.desk.sleep(millis).await;
    }
}

passes_on!(World.desk => Log);

impl Sql for World {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        if let Some((part, left)) = self.sql_faults.borrow_mut().as_mut()
            && *left > 0
            && statement.contains(part.as_str())
        {
            *left -= 1;
            return Err(SqlError("failed on purpose".to_owned()));
        }
        if !self.desk.only_reads(statement) {
            self.statements.set(self.statements.get() + 1);
        }
        self.desk.query(statement, params)
    }

    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        self.desk.whole(work)
    }
}
