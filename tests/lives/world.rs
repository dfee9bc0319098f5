//! The Coordinator's world with time that is simulated: a wait costs nothing, so everything may be slow. A request that was sent goes
//! on when the isolate that sent it is lost, as it does on the network.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use c1_cloudflare::base::database::Database;
use c1_cloudflare::base::ports::{
    Alarm, Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, Level, Log, Sign, SignError, Sql,
    SqlError, SqlValue, Zstd, ZstdError,
};
use c1_cloudflare::base::signing::SigningKey;
use c1_cloudflare::base::space::Space;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::base::zstd::RawFrame;
use sim::cloudflare::{Cloudflare, Route};
use sim::http::{Handler, Reply, Request};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where C1 takes callbacks.
pub(crate) const CALLBACKS: &str = "https://acme.conductor.one/callbacks/";

/// Everything outside the Coordinator.
pub(crate) struct World {
    pub(crate) cloudflare: Cloudflare,
    space: Space,
    pub(crate) values: RefCell<BTreeMap<String, Vec<u8>>>,
    database: Database,
    began: Instant,
    /// When the alarm rings.
    pub(crate) alarm: Cell<Option<Timestamp>>,
    pub(crate) alarm_set: Notify,
    /// The first body that was posted to each callback.
    pub(crate) callbacks: RefCell<BTreeMap<String, serde_json::Value>>,
    pub(crate) called_back: Notify,
    /// Looks at the account after each request.
    pub(crate) watch: Box<dyn Fn(&Cloudflare)>,
    /// Who answers beside Cloudflare and C1's callbacks, by host.
    pub(crate) elsewhere: BTreeMap<String, Arc<dyn Handler>>,
    /// Every line of the log.
    pub(crate) lines: RefCell<Vec<String>>,
    /// Requests whose path ends so are never answered.
    pub(crate) hanging: RefCell<Vec<String>>,
    /// The requests that are under way, and the most there ever were at once.
    pub(crate) under_way: Cell<(usize, usize)>,
    /// What was logged as an error.
    pub(crate) errors: RefCell<Vec<String>>,
}

impl World {
    pub(crate) fn new(cloudflare: Cloudflare, watch: impl Fn(&Cloudflare) + 'static) -> Self {
        Self {
            space: Space::new(cloudflare.account_id(), "0123456789abcdef"),
            cloudflare,
            values: RefCell::default(),
            database: Database::new().unwrap(),
            began: Instant::now(),
            alarm: Cell::new(None),
            alarm_set: Notify::new(),
            callbacks: RefCell::default(),
            called_back: Notify::new(),
            watch: Box::new(watch),
            elsewhere: BTreeMap::new(),
            lines: RefCell::default(),
            hanging: RefCell::default(),
            under_way: Cell::default(),
            errors: RefCell::default(),
        }
    }

    fn take_callback(&self, request: &HttpRequest) -> HttpResponse {
        let key = request.url.trim_start_matches(CALLBACKS).to_owned();
        let body = serde_json::from_slice(request.body.as_deref().unwrap_or_default()).unwrap();
        self.callbacks.borrow_mut().entry(key).or_insert(body);
        self.called_back.notify_waiters();
        HttpResponse { status: 200, ..HttpResponse::default() }
    }
}

/// A request that is under way, until this is dropped.
struct Connection<'a>(&'a Cell<(usize, usize)>);

impl<'a> Connection<'a> {
    fn open(under_way: &'a Cell<(usize, usize)>) -> Self {
        let (now, most) = under_way.get();
        under_way.set((now + 1, most.max(now + 1)));
        Self(under_way)
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let (now, most) = self.0.get();
        self.0.set((now - 1, most));
    }
}

impl Http for World {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.url.starts_with(CALLBACKS) {
            return Ok(self.take_callback(&request));
        }
        let _connection = Connection::open(&self.under_way);
        let timeout = request.timeout_millis;
        let url = url::Url::parse(&request.url).unwrap();
        if self.hanging.borrow().iter().any(|end| url.path().ends_with(end.as_str())) {
            tokio::time::sleep(Duration::from_millis(timeout.into())).await;
            return Err(HttpError::Timeout(timeout));
        }
        let mut headers: Vec<(String, String)> =
            request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        headers.push(("host".to_owned(), url.host_str().unwrap().to_owned()));
        if let Some(token) = &request.bearer {
            headers.push(("authorization".to_owned(), format!("Bearer {}", token.expose())));
        }
        let request = Request {
            method: request.method.as_str().to_owned(),
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            headers,
            body: request.body.unwrap_or_default().into(),
        };
        // A task of its own: whoever waits for the answer may vanish, and the request is under way all the same.
        let elsewhere = url.host_str().and_then(|host| self.elsewhere.get(host)).cloned();
        let handler = elsewhere.unwrap_or_else(|| Arc::new(self.cloudflare.clone()));
        let under_way = tokio::spawn(handler.handle(request));
        let reply = tokio::time::timeout(Duration::from_millis(timeout.into()), under_way).await;
        (self.watch)(&self.cloudflare);
        match reply {
            Err(_) => Err(HttpError::Timeout(timeout)),
            Ok(Err(_) | Ok(Reply::Reset)) => Err(HttpError::Connection("reset".to_owned())),
            Ok(Ok(Reply::Response { status, headers, body })) => {
                let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
                Ok(HttpResponse { status, headers, body: body.to_vec() })
            }
        }
    }
}

impl KeyValue for World {
    fn space(&self) -> &Space {
        &self.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        tokio::task::yield_now().await;
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        tokio::task::yield_now().await;
        self.values.borrow_mut().insert(key.to_owned(), value);
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.values.borrow_mut().remove(key);
        Ok(())
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).plus_millis(i64::try_from(self.began.elapsed().as_millis()).unwrap())
    }

    async fn sleep(&self, millis: u32) {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }
}

impl Sql for World {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.database.query(statement, params)
    }
}

impl Log for World {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        self.lines.borrow_mut().push(format!("{message} {fields}"));
        if level == Level::Error {
            self.errors.borrow_mut().push(format!("{message} {fields}"));
        }
    }
}

impl Alarm for World {
    async fn wake(&self, at: Timestamp) -> Result<(), SqlError> {
        if self.alarm.get().is_none_or(|set| at < set) {
            self.alarm.set(Some(at));
            self.alarm_set.notify_waiters();
        }
        Ok(())
    }
}

impl Sign for World {
    async fn sign(&self, _: &SigningKey, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Err(SignError("nothing is signed here".to_owned()))
    }

    async fn public_key(&self, _: &SigningKey) -> Result<Vec<u8>, SignError> {
        Err(SignError("nothing is signed here".to_owned()))
    }
}

impl Zstd for World {
    type Frame = RawFrame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError> {
        Ok(RawFrame::new(content_size))
    }
}

/// The writes to a member's access: what faults of writes are planned on.
pub(crate) const WRITES: [Route; 2] = [Route::UpdateMember, Route::DeleteMember];
