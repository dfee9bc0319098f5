//! What the connector works with: the account above, KV in memory, SQLite in memory, a clock that stands still.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use c1_cloudflare::base::database::Database;
use c1_cloudflare::base::ports::{
    Alarm, Clock, Http, HttpError, HttpRequest, HttpResponse, KeyCache, KeyValue, KvError, Level, Log, Method, Sign,
    SignError, Signatures, Sql, SqlError, SqlValue, Zstd, ZstdError, ZstdFrame,
};
use c1_cloudflare::base::signing::{PublicKey, SigningKey};
use c1_cloudflare::base::space::Space;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::conductorone::jwks::Cache;
use c1_cloudflare::coordinator::{self, Ask, Command, Coordinator, Reply, Unreachable};
use c1_cloudflare::routes;
use c1_cloudflare::worker::config;

use crate::account::{ACCOUNT, Account};

/// Everything, shared by whoever answers requests.
#[derive(Clone)]
pub struct Desk(Rc<Inner>);

pub struct Inner {
    pub account: RefCell<Account>,
    pub settings: routes::Settings,
    pub values: RefCell<BTreeMap<String, Vec<u8>>>,
    pub reads: Cell<usize>,
    pub requests: Cell<usize>,
    database: Database,
    time: Cell<Timestamp>,
    keys: RefCell<Cache>,
    space: Space,
    core: Coordinator,
}

impl std::ops::Deref for Desk {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Desk {
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
            values: RefCell::default(),
            reads: Cell::new(0),
            requests: Cell::new(0),
            database: Database::new().expect("SQLite in memory"),
            time: Cell::new(Timestamp::from_secs(1_800_000_000)),
            keys: RefCell::default(),
            space: Space::new(ACCOUNT, "0123456789abcdef"),
            core: Coordinator::default(),
        }));
        coordinator::init(&desk).expect("the tables");
        desk
    }

    pub fn advance(&self, secs: i64) {
        self.time.set(self.time.get().plus_secs(secs));
    }
}

impl Http for Desk {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.requests.set(self.requests.get() + 1);
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

impl KeyValue for Desk {
    fn space(&self) -> &Space {
        &self.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.values.borrow_mut().insert(key.to_owned(), value);
        Ok(())
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
        self.time.set(self.time.get().plus_millis(i64::from(millis)));
    }
}

impl Log for Desk {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        if level == Level::Error {
            eprintln!("counts: {message} {fields}");
        }
    }
}

impl Alarm for Desk {
    async fn wake(&self, _at: Timestamp) -> Result<(), SqlError> {
        Ok(())
    }
}

impl Sign for Desk {
    async fn sign(&self, _key: &SigningKey, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![0; 64])
    }

    async fn public_key(&self, _key: &SigningKey) -> Result<Vec<u8>, SignError> {
        Ok(vec![0; 32])
    }
}

impl Signatures for Desk {
    async fn verify(&self, _key: &PublicKey, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

impl KeyCache<Cache> for Desk {
    fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.keys.borrow_mut())
    }
}

impl Ask for Desk {
    async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
        Ok(self.core.handle(self, &self.settings.coordinator, command).await)
    }
}

/// No file is made here.
pub struct NoFrame;

impl ZstdFrame for NoFrame {
    async fn write(&mut self, _content: &[u8]) -> Result<Vec<u8>, ZstdError> {
        Err(ZstdError("not here".to_owned()))
    }

    async fn finish(&mut self) -> Result<Vec<u8>, ZstdError> {
        Err(ZstdError("not here".to_owned()))
    }
}

impl Zstd for Desk {
    type Frame = NoFrame;

    fn frame(&self, _content_size: u64) -> Result<NoFrame, ZstdError> {
        Ok(NoFrame)
    }
}

impl Sql for Desk {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.database.query(statement, params)
    }
}
