//! What the connector works with: the account above, and what stands in for the runtime in all tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use c1_cloudflare::base::fakes;
use c1_cloudflare::base::hash::sha256;
use c1_cloudflare::base::ports::{
    Alarm, Http, HttpError, HttpRequest, HttpResponse, KeyCache, KeyValue, KvError, Level, Log, Method, Signatures,
    SqlError,
};
use c1_cloudflare::base::signing::PublicKey;
use c1_cloudflare::base::space::Space;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::conductorone::jwks::Cache;
use c1_cloudflare::coordinator::{self, Ask, Command, Coordinator, Reply, Unreachable};
use c1_cloudflare::passes_on;
use c1_cloudflare::routes;
use c1_cloudflare::worker::config;

use crate::account::{ACCOUNT, Account};
use crate::{memory, uncounted};

/// Everything, shared by whoever answers requests.
#[derive(Clone)]
pub struct BenchPorts(Rc<Inner>);

pub struct Inner {
    pub account: RefCell<Account>,
    pub settings: routes::Settings,
    pub reads: Cell<usize>,
    pub requests: Cell<usize>,
    /// What stands in for the runtime.
    desk: fakes::Desk,
    keys: RefCell<Cache>,
    core: Coordinator,
}

impl std::ops::Deref for BenchPorts {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl BenchPorts {
    pub fn of(account: Account) -> Self {
        let vars = BTreeMap::from([
            ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT),
            ("CLOUDFLARE_API_TOKEN", "0123456789abcdef0123456789abcdef01234567"),
            ("CONNECTOR_TOKEN", "0123456789abcdef0123456789abcdef"),
            ("C1_TENANT", "acme.conductor.one"),
            ("PUBLIC_URL", "https://connector.example.com"),
            ("PROVISIONING", "on"),
            ("PLAN", "paid"),
        ]);
        let settings = match config::read(|name| vars.get(name).map(|&value| value.to_owned())) {
            Ok(settings) => settings,
            Err(error) => panic!("the configuration is wrong: {error}"),
        };
        let desk = Self(Rc::new(Inner {
            account: RefCell::new(account),
            settings,
            reads: Cell::new(0),
            requests: Cell::new(0),
            desk: fakes::Desk::of(ACCOUNT),
            keys: RefCell::default(),
            core: Coordinator::default(),
        }));
        // What is noted would be counted as the connector's.
        desk.desk.noting.set(false);
        coordinator::init(&desk).expect("the tables");
        desk
    }

    pub fn advance(&self, secs: i64) {
        self.desk.advance(secs);
    }
}

impl Http for BenchPorts {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.requests.set(self.requests.get() + 1);
        uncounted(|| self.answer(request))
    }
}

impl BenchPorts {
    fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = url::Url::parse(&request.url).map_err(|error| HttpError::Connection(error.to_string()))?;
        let page =
            url.query_pairs().find(|(name, _)| name == "page").and_then(|(_, page)| page.parse().ok()).unwrap_or(1);
        let (status, body) = if request.method == Method::Put {
            let body = serde_json::from_slice(&request.body.unwrap_or_default()).unwrap_or_default();
            let wanted = url.path().rsplit('/').next().unwrap_or_default().to_owned();
            let member = self.account.borrow_mut().put(&wanted, &body);
            (200, serde_json::json!({ "success": true, "result": member }).to_string().into_bytes())
        } else {
            self.account.borrow().get(url.path(), page)
        };
        Ok(HttpResponse { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body })
    }
}

impl KeyValue for BenchPorts {
    fn space(&self) -> &Space {
        &self.desk.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.reads.set(self.reads.get() + 1);
        self.desk.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.desk.put(key, memory::elsewhere(value)).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.desk.delete(key).await
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        uncounted(|| sha256(bytes))
    }
}

passes_on!(BenchPorts.desk => Clock, Sign, Sql, Zstd);

impl Log for BenchPorts {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        if level == Level::Error {
            eprintln!("counts: {message} {fields}");
        }
    }
}

impl Alarm for BenchPorts {
    async fn wake(&self, _at: Timestamp) -> Result<(), SqlError> {
        Ok(())
    }
}

impl Signatures for BenchPorts {
    async fn verify(&self, _key: &PublicKey, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

impl KeyCache<Cache> for BenchPorts {
    fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.keys.borrow_mut())
    }
}

impl Ask for BenchPorts {
    async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
        Ok(self.core.handle(self, &self.settings.coordinator, command).await)
    }
}
