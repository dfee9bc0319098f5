//! The connector from its routes to its alarm, without the runtime around it: the same answers that the built Worker gives, at no cost of time.
//! A request is answered as the edge does it, commands cross to the Coordinator as JSON, and the alarm rings while anybody waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use c1_cloudflare::base::json;
use c1_cloudflare::base::keys::PublicKey;
use c1_cloudflare::base::ports::{Clock as _, KeyCache, KeyValue, KvError, Method, Signatures};
use c1_cloudflare::base::shelf::Shelf;
use c1_cloudflare::base::space::Space;
use c1_cloudflare::conductorone::jwks::Cache;
use c1_cloudflare::coordinator::{Ask, Command, Reply, Unreachable};
use c1_cloudflare::passes_on;
use c1_cloudflare::routes::{self, Body, Content, Incoming, Settings};
use c1_cloudflare::sync::Trigger;
use c1_cloudflare::worker::config;
use futures::StreamExt as _;
use futures::future::{Either, LocalBoxFuture, select};
use serde_json::Value;
use sim::client::Answer;
use sim::cloudflare::{Cloudflare, Spec};
use sim::conductorone::{self, ConductorOne, Delivery, Token};
use sim::harness::Options;
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::access::{TEAM, Team};
use crate::lives::Lives;
use crate::lives::world::World;
use crate::looks::{check, small};

/// A connector to a simulated account. At its end it checks that nothing leaked.
pub(crate) struct Deployment {
    pub(crate) cloudflare: Cloudflare,
    pub(crate) c1: ConductorOne,
    pub(crate) team: Team,
    edge: Edge,
    vars: RefCell<BTreeMap<String, String>>,
    settings: RefCell<Settings>,
    /// The alarm, which whoever waits drives.
    ring: RefCell<Option<LocalBoxFuture<'static, ()>>>,
    answers: RefCell<Vec<String>>,
}

/// What the Worker's requests are answered with.
#[derive(Clone)]
struct Edge {
    lives: Rc<Lives>,
    keys: Rc<RefCell<Cache>>,
    shelf: Rc<RefCell<Shelf>>,
    /// What handlers asked the Coordinator for.
    asked: Rc<RefCell<Vec<String>>>,
}

fn read(vars: &BTreeMap<String, String>) -> Settings {
    config::read(|name| vars.get(name).cloned()).unwrap()
}

impl Deployment {
    /// A connector to a small account.
    pub(crate) async fn start() -> Self {
        Self::with(small(), |options| options).await
    }

    /// A connector to an account of one's own, with changed options. Async as it is in the real runtime.
    #[allow(unknown_lints, clippy::unused_async, reason = "the same call as in the real runtime")]
    pub(crate) async fn with(spec: Spec, change: impl FnOnce(Options) -> Options) -> Self {
        let cloudflare = Cloudflare::new(spec);
        let options = Options::default()
            .var("CLOUDFLARE_ACCOUNT_ID", &cloudflare.account_id())
            .var("CLOUDFLARE_API_TOKEN", &cloudflare.token());
        let vars = change(options).vars;
        let settings = read(&vars);
        let mut world = World::new(cloudflare.clone(), |_| {});
        let c1 = ConductorOne::new();
        world.elsewhere.insert(conductorone::HOST.to_owned(), c1.handler());
        let team = Team::new();
        world.elsewhere.insert(TEAM.to_owned(), Arc::new(team.clone()));
        let lives = Rc::new(Lives::begin(world, settings.coordinator.clone()));
        let ringing = lives.clone();
        let ring: LocalBoxFuture<'static, ()> = Box::pin(async move { ringing.ring().await });
        Self {
            cloudflare,
            c1,
            team,
            edge: Edge { lives, keys: Rc::default(), shelf: Rc::default(), asked: Rc::default() },
            vars: RefCell::new(vars),
            settings: RefCell::new(settings),
            ring: RefCell::new(Some(ring)),
            answers: RefCell::default(),
        }
    }

    /// Another value of a variable, and a Worker that starts with it.
    pub(crate) fn set_var(&self, name: &str, value: &str) {
        self.vars.borrow_mut().insert(name.to_owned(), value.to_owned());
        let settings = read(&self.vars.borrow());
        self.edge.lives.reconfigure(settings.coordinator.clone());
        self.settings.replace(settings);
    }

    /// Runs a sync to its end, started as the cron trigger does.
    pub(crate) async fn synced(self) -> Self {
        self.sync().await;
        self
    }

    /// The cron trigger fires; whether a sync began.
    pub(crate) async fn cron(&self) -> bool {
        let trigger = Trigger { by: "cron".to_owned(), accept_removals: false };
        matches!(self.edge.ask(Command::BeginSync(trigger)).await.unwrap(), Reply::SyncBegun { .. })
    }

    /// Runs a sync to its end, and checks that it ended well.
    pub(crate) async fn sync(&self) {
        let trigger = Trigger { by: "cron".to_owned(), accept_removals: false };
        let begun = self.edge.ask(Command::BeginSync(trigger)).await.unwrap();
        assert!(matches!(begun, Reply::SyncBegun { .. }), "{begun:?}");
        for _ in 0..20_000 {
            self.beside(tokio::time::sleep(Duration::from_millis(200))).await;
            let status = self.json("/v1/status").await;
            if status["running"].is_null() {
                assert_eq!(status["state"], "connected", "{status}");
                return;
            }
        }
        panic!("the sync does not end");
    }

    /// Any request with the connector's token.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let authorization = format!("Bearer {CONNECTOR_TOKEN}");
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(headers);
        let body = body.filter(|body| !body.is_null()).map(|body| body.to_string().into_bytes());
        self.raw(method, path, &all, body).await
    }

    /// Any request with these headers only.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        // As the runtime does it: the URL has the host that the request names.
        let host = headers.iter().find(|(name, _)| *name == "host").map_or("connector.example.com", |(_, host)| host);
        let url = url::Url::parse(&format!("https://{host}{path}")).unwrap();
        let body = body.unwrap_or_default();
        let limit = routes::body_limit(url.path());
        let incoming = Incoming {
            method: Method::parse(method),
            origin: url.origin().ascii_serialization(),
            path: url.path().to_owned(),
            query: url.query_pairs().into_owned().collect(),
            headers: headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect(),
            body: if body.len() > limit { Body::TooLarge(limit) } else { Body::Read(body) },
        };
        let settings = Ok(self.settings.borrow().clone());
        let answer = self.beside(routes::answer(&self.edge, &settings, incoming)).await;
        let body = match answer.body {
            Content::Bytes(bytes) => bytes,
            Content::Unsent => Vec::new(),
            Content::Stream(pieces, _) => pieces.map(Result::unwrap).collect::<Vec<_>>().await.concat(),
        };
        let headers = answer.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let answer = Answer { status: answer.status, headers, body: body.into() };
        check(method, path, &answer);
        let head = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n");
        let told = format!("{method} {path} -> {}\n{head}\n{}", answer.status, answer.text());
        self.answers.borrow_mut().push(told);
        answer
    }

    /// Sends a webhook once, with a token of this id.
    pub(crate) async fn deliver(&self, delivery: &Delivery, token: &str) -> Answer {
        let now = self.edge.now().secs();
        let token = Token::new().claim("jti", token).claim("iat", now).claim("nbf", now - 60).claim("exp", now + 120);
        let (headers, body) = delivery.clone().token(token).attempt(&self.c1);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.raw("POST", "/webhooks/conductorone", &headers, Some(body.to_vec())).await
    }

    /// What the Coordinator was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.edge.asked.take()
    }

    /// What the Coordinator keeps.
    pub(crate) fn world(&self) -> &World {
        self.edge.world()
    }

    /// The Worker is lost with everything that it had in memory, and starts again.
    pub(crate) fn restart(&self) {
        self.edge.lives.kill();
        self.edge.keys.take();
        self.edge.shelf.take();
    }

    /// Waits, while the alarm rings.
    pub(crate) async fn wait(&self, time: Duration) {
        self.beside(tokio::time::sleep(time)).await;
    }

    /// The millisecond that it is.
    pub(crate) fn millis(&self) -> i64 {
        self.edge.now().millis()
    }

    /// The second that it is.
    pub(crate) fn now(&self) -> i64 {
        self.edge.now().secs()
    }

    /// Does something while the alarm rings. Of several at once the first drives the alarm.
    async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(ring) = self.ring.take() else { return work.await };
        // Boxed: all that a request and the alarm go through is too deep for a test's stack.
        match select(Box::pin(work), ring).await {
            Either::Left((done, ring)) => {
                self.ring.replace(Some(ring));
                done
            }
            Either::Right(_) => panic!("the alarm never stops"),
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        // The alarm holds the lives that hold the world.
        self.ring.take();
        let world = &self.edge.lives.world;
        if std::thread::panicking() {
            eprintln!("--- the log:\n{}", world.desk.lines.borrow().join("\n"));
            return;
        }
        let secrets = [CONNECTOR_TOKEN.to_owned(), self.cloudflare.token(), self.cloudflare.user_token()];
        for text in self.answers.borrow().iter().chain(world.desk.lines.borrow().iter()) {
            for secret in &secrets {
                assert!(!text.contains(secret.as_str()), "a secret is shown: {text}");
            }
        }
        assert!(self.cloudflare.unexpected().is_empty(), "{:?}", self.cloudflare.unexpected());
    }
}

impl Edge {
    fn world(&self) -> &World {
        &self.lives.world
    }
}

passes_on!(Edge.lives.world => Clock, Http, Log, Sign, Zstd);

impl KeyValue for Edge {
    fn space(&self) -> &Space {
        self.world().space()
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.world().get(key).await
    }

    async fn put(&self, key: &str, _: Vec<u8>) -> Result<(), KvError> {
        panic!("a handler writes {key}");
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        panic!("a handler deletes {key}");
    }

    fn shelf<T>(&self, f: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        Some(f(&mut self.shelf.borrow_mut()))
    }
}

impl Signatures for Edge {
    async fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        // Signatures are tested in the real runtime, whose WebCrypto checks them.
        true
    }
}

impl KeyCache<Cache> for Edge {
    fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        f(&mut self.keys.borrow_mut())
    }
}

impl Ask for Edge {
    async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
        // As between Worker and Durable Object: what does not survive JSON does not arrive.
        let command = json::of(&command).unwrap();
        self.asked.borrow_mut().push(format!("{command:?}"));
        let reply = Box::pin(self.lives.ask(command)).await;
        Ok(json::of(&reply).unwrap())
    }
}
