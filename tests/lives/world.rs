//! The Coordinator's world with time that is simulated: a wait costs nothing, so everything may be slow. A request that was sent goes
//! on when the isolate that sent it is lost, as it does on the network.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use c1_cloudflare::base::fakes::{Desk, OnTheWire};
use c1_cloudflare::base::ports::{
    Alarm, Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, SqlError,
};
use c1_cloudflare::base::space::Space;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::passes_on;
use sim::cloudflare::{Cloudflare, Route};
use sim::http::{Handler, Reply, Request};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where C1 takes callbacks.
pub(crate) const CALLBACKS: &str = "https://acme.conductor.one/callbacks/";

/// When the simulated time begins.
pub(crate) const BEGAN: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Everything outside the Coordinator.
pub(crate) struct World {
    pub(crate) cloudflare: Cloudflare,
    /// What stands in for the runtime, but for time, which is simulated here.
    pub(crate) desk: Desk,
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
    /// Requests whose path ends so are never answered.
    pub(crate) hanging: RefCell<Vec<String>>,
    /// How long each operation of the key-value store takes.
    pub(crate) kv_takes: Cell<Duration>,
    /// The requests that are under way, and the most there ever were at once.
    pub(crate) under_way: Cell<(usize, usize)>,
    /// How many requests the alarm may send in one ring, callbacks among them; no bound where there is none. What is more is refused, as the runtime does it.
    pub(crate) most: Cell<Option<usize>>,
    /// How many it has sent in this ring.
    pub(crate) sent_in_ring: Cell<usize>,
    /// How many were refused in all of them.
    pub(crate) refused: Cell<usize>,
    /// Whether it is the alarm that goes on right now, and not the edge beside it: that is another invocation.
    is_ringing: Cell<bool>,
}

impl World {
    pub(crate) fn new(cloudflare: Cloudflare, watch: impl Fn(&Cloudflare) + 'static) -> Self {
        Self {
            desk: Desk::of(cloudflare.account_id()),
            cloudflare,
            began: Instant::now(),
            alarm: Cell::new(None),
            alarm_set: Notify::new(),
            callbacks: RefCell::default(),
            called_back: Notify::new(),
            watch: Box::new(watch),
            elsewhere: BTreeMap::new(),
            hanging: RefCell::default(),
            kv_takes: Cell::default(),
            under_way: Cell::default(),
            most: Cell::default(),
            sent_in_ring: Cell::default(),
            refused: Cell::default(),
            is_ringing: Cell::default(),
        }
    }

    /// What tells everybody else the millisecond that it is here.
    pub(crate) fn clock(&self) -> impl Fn() -> i64 + Send + Sync + use<> {
        let began = self.began;
        move || BEGAN.plus_millis(i64::try_from(began.elapsed().as_millis()).unwrap()).millis()
    }

    /// Waits for the time of the alarm, which rings now. `false` where another time was set meanwhile, or none is.
    pub(crate) async fn rings(&self) -> bool {
        let set = self.alarm_set.notified();
        let due = self.alarm.get();
        let wait = due.map(|due| u64::try_from(due.since(self.now())).unwrap_or(0));
        tokio::select! {
            () = set => return false,
            () = tokio::time::sleep(Duration::from_millis(wait.unwrap_or(3_600_000))) => {}
        }
        self.alarm.set(None);
        due.is_some()
    }

    /// The runtime's part after a life that ended within a ring: it rings once more, but for where that life had set another time. That one stays, though it
    /// is tomorrow.
    pub(crate) fn rings_again(&self) {
        if self.alarm.get().is_none() {
            self.alarm.set(Some(self.now().plus_secs(1)));
        }
    }

    /// Does what the alarm does when it rings: what is sent by this is counted.
    pub(crate) async fn ring(&self, alarm: impl Future<Output = ()>) {
        self.sent_in_ring.set(0);
        let mut alarm = pin!(alarm);
        poll_fn(|context| {
            self.is_ringing.set(true);
            let polled = alarm.as_mut().poll(context);
            self.is_ringing.set(false);
            polled
        })
        .await;
    }

    /// Counts a request of the alarm's, unless it has sent as many as it may.
    fn count(&self) -> Result<(), HttpError> {
        if !self.is_ringing.get() {
            return Ok(());
        }
        let sent = self.sent_in_ring.get();
        if self.most.get().is_some_and(|most| sent >= most) {
            self.refused.set(self.refused.get() + 1);
            return Err(HttpError::Connection("Too many subrequests by single Worker invocation.".to_owned()));
        }
        self.sent_in_ring.set(sent + 1);
        Ok(())
    }

    async fn takes_its_time(&self) {
        match self.kv_takes.get() {
            Duration::ZERO => tokio::task::yield_now().await,
            time => tokio::time::sleep(time).await,
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
        self.count()?;
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
        let OnTheWire { method, path, query, headers, body } = OnTheWire::of(request);
        let request = Request { method, path, query, headers, body: body.into() };
        // A task of its own: whoever waits for the answer may vanish, and the request is under way all the same.
        let elsewhere = url.host_str().and_then(|host| self.elsewhere.get(host)).cloned();
        let handler = elsewhere.unwrap_or_else(|| Arc::new(self.cloudflare.clone()));
        let under_way = tokio::spawn(handler.handle(request));
        let reply = tokio::time::timeout(Duration::from_millis(timeout.into()), under_way).await;
        (self.watch)(&self.cloudflare);
        match reply {
            Err(_) => Err(HttpError::Timeout(timeout)),
            Ok(Err(_) | Ok(Reply::Reset)) => Err(HttpError::Connection("reset".to_owned())),
            Ok(Ok(Reply::Response { status, headers, body })) => Ok(HttpResponse::arrived(status, headers, &body)),
        }
    }
}

impl KeyValue for World {
    fn space(&self) -> &Space {
        &self.desk.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.takes_its_time().await;
        self.desk.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.takes_its_time().await;
        self.desk.put(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.desk.delete(key).await
    }
}

passes_on!(World.desk => Log, Sign, Sql, Zstd);

impl Clock for World {
    fn now(&self) -> Timestamp {
        let now = Timestamp::from_millis(self.clock()());
        self.cloudflare.set_log_time(now.millis());
        now
    }

    async fn sleep(&self, millis: u32) {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
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

/// The writes to a member's access: what faults of writes are planned on.
pub(crate) const WRITES: [Route; 2] = [Route::UpdateMember, Route::DeleteMember];
