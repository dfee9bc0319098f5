//! Ports that lead to the simulated tenant: for tests of whatever calls C1's API. They can be cut off at any request, as an
//! isolate can.

#![allow(
    unknown_lints,
    clippy::unused_async_trait_impl,
    reason = "async because the ports are; older Clippys do not know it"
)]

use std::cell::Cell;
use std::sync::Arc;

use sim::conductorone::{ConductorOne, Credential};
use sim::http::{Handler, Reply, Request};
use tokio::sync::Notify;

use crate::base::fakes::{Desk, OnTheWire};
use crate::base::ports::{Clock, Http, HttpError, HttpRequest, HttpResponse};
use crate::base::settings::Reader;
use crate::base::time::Timestamp;
use crate::conductorone::Settings;
use crate::passes_on;

/// Where a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Before,
    After,
}

/// HTTP that goes straight to the tenant, and a clock that agrees with it but for what a test adds.
pub(crate) struct TenantDesk {
    pub(crate) c1: ConductorOne,
    pub(crate) desk: Desk,
    pub(crate) ahead_secs: Cell<i64>,
    /// The number of requests that are answered before one is not.
    pub(crate) cut: Cell<Option<(u32, Cut)>>,
    pub(crate) cut_off: Notify,
}

impl TenantDesk {
    pub(crate) fn new() -> Self {
        let desk = Desk::new();
        crate::connect::init(&desk).unwrap();
        Self { c1: ConductorOne::new(), desk, ahead_secs: Cell::new(0), cut: Cell::new(None), cut_off: Notify::new() }
    }

    pub(crate) fn token_requests(&self) -> usize {
        self.c1.api_requests().iter().filter(|request| request.route == "POST /auth/v1/token").count()
    }

    async fn cut_here(&self, at: Cut) {
        if self.cut.get() == Some((0, at)) {
            self.cut.set(None);
            self.cut_off.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// The settings of a Worker that has this API key.
pub(crate) fn settings(credential: &Credential) -> Settings {
    let vars = [
        ("C1_TENANT", "acme.conductor.one"),
        ("PUBLIC_URL", "https://connector.example.com"),
        ("C1_CLIENT_ID", &credential.client_id),
        ("C1_CLIENT_SECRET", &credential.client_secret),
    ];
    let vars = vars.map(|(name, value)| (name, value.to_owned()));
    let lookup = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    Settings::read(&mut Reader::new(&lookup)).unwrap()
}

impl Http for TenantDesk {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.cut_here(Cut::Before).await;
        let OnTheWire { method, path, query, headers, body } = OnTheWire::of(request);
        let request = Request { method, path, query, headers, body: body.into() };
        if request.path.ends_with("/test") {
            // The event is here before the answer is.
            crate::connect::arrived(&self.desk, self.now()).unwrap();
        }
        let reply = Arc::new(self.c1.clone()).handle(request).await;
        self.cut_here(Cut::After).await;
        self.cut.set(self.cut.get().map(|(left, at)| (left.saturating_sub(1), at)));
        match reply {
            Reply::Reset => Err(HttpError::Connection("reset".to_owned())),
            Reply::Response { status, headers, body } => Ok(HttpResponse::arrived(status, headers, &body)),
        }
    }
}

impl Clock for TenantDesk {
    #[allow(clippy::disallowed_methods, reason = "the tenant goes by the real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap()).plus_secs(self.ahead_secs.get())
    }

    async fn sleep(&self, _: u32) {
        self.ahead_secs.set(self.ahead_secs.get() + 1);
    }
}

passes_on!(TenantDesk.desk => KeyValue, Sign, Sql);
