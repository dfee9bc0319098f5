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
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::conductorone::jwks::Cache;
use c1_cloudflare::coordinator::{Ask, Command, Reply, Unreachable};
use c1_cloudflare::passes_on;
use c1_cloudflare::routes::{self, Body, Content, Incoming, NotConfigured, Settings, Tally};
use c1_cloudflare::worker::config;
use futures::StreamExt as _;
use futures::future::{Either, LocalBoxFuture, select};
use serde_json::{Value, json};
use sim::client::Answer;
use sim::cloudflare::{Cloudflare, Spec};
use sim::conductorone::{self, Attempt, ConductorOne, Delivery, Outcome, PUBLIC_URL, Pace, Token};
use sim::harness::Options;
use sim::harness::workerd::CONNECTOR_TOKEN;
use sim::http::Handler;
use tokio::sync::mpsc;

use crate::access::{TEAM, Team};
use crate::lives::world::World;
use crate::lives::{self, Lives};
use crate::looks::{assert_shows_no_secret, check, secrets_of, small};

/// A connector to a simulated account. At its end it checks that nothing leaked.
pub(crate) struct Deployment {
    pub(crate) cloudflare: Cloudflare,
    pub(crate) c1: ConductorOne,
    pub(crate) team: Team,
    edge: Edge,
    vars: RefCell<BTreeMap<String, String>>,
    /// What of all variables that there were nobody may be shown.
    secrets: RefCell<Vec<String>>,
    /// The alarm, and C1's test events, which whoever waits drives.
    ring: RefCell<Option<LocalBoxFuture<'static, ()>>>,
}

/// What the Worker's requests are answered with.
#[derive(Clone)]
struct Edge {
    lives: Rc<Lives>,
    settings: Rc<RefCell<Result<Settings, NotConfigured>>>,
    keys: Rc<RefCell<Cache>>,
    shelf: Rc<RefCell<Shelf>>,
    /// What handlers asked the Coordinator for.
    asked: Rc<RefCell<Vec<String>>>,
    /// What the Coordinator was not told of yet: it is when it is asked for the metrics.
    tally: Rc<RefCell<Tally>>,
    /// What was answered.
    answers: Rc<RefCell<Vec<String>>>,
}

fn read(vars: &BTreeMap<String, String>) -> Result<Settings, NotConfigured> {
    config::read(|name| vars.get(name).cloned())
}

impl Deployment {
    /// A connector to a small account.
    pub(crate) async fn start() -> Self {
        Self::with(small(), |options| options).await
    }

    /// A connector to an account of one's own, with changed options. Async as it is in the real runtime.
    #[allow(unknown_lints, clippy::unused_async, reason = "the same call as in the real runtime")]
    pub(crate) async fn with(spec: Spec, change: impl FnOnce(Options) -> Options) -> Self {
        Self::beside_host(spec, change, None).await
    }

    /// With one more host beside those that every connector speaks to.
    #[allow(unknown_lints, clippy::unused_async, reason = "the same call as in the real runtime")]
    pub(crate) async fn beside_host(
        spec: Spec,
        change: impl FnOnce(Options) -> Options,
        host: Option<(String, Arc<dyn Handler>)>,
    ) -> Self {
        let cloudflare = Cloudflare::new(spec);
        let options = Options::default()
            .var("CLOUDFLARE_ACCOUNT_ID", &cloudflare.account_id())
            .var("CLOUDFLARE_API_TOKEN", &cloudflare.token());
        let vars = change(options).vars;
        let settings = read(&vars);
        let mut world = World::new(cloudflare.clone(), |_| {});
        let c1 = ConductorOne::new();
        c1.go_by(world.clock());
        c1.set_pace(Pace::real());
        world.elsewhere.insert(conductorone::HOST.to_owned(), c1.handler());
        let team = Team::new();
        world.elsewhere.insert(TEAM.to_owned(), Arc::new(team.clone()));
        world.elsewhere.extend(host);
        // Nobody asks the Coordinator of a Worker that is not configured.
        let of_coordinator = settings
            .as_ref()
            .map_or_else(|_| lives::account::settings(&cloudflare, &[]), |settings| settings.coordinator.clone());
        let edge = Edge {
            lives: Rc::new(Lives::begin(world, of_coordinator)),
            settings: Rc::new(RefCell::new(settings)),
            keys: Rc::default(),
            shelf: Rc::default(),
            asked: Rc::default(),
            tally: Rc::default(),
            answers: Rc::default(),
        };
        let (ringing, at_the_door) = (edge.lives.clone(), edge.clone());
        let (tested, mut tests) = mpsc::unbounded_channel();
        c1.reach_through(PUBLIC_URL.trim_start_matches("https://"), tested);
        let sender = c1.clone();
        let answering = async move {
            while let Some(test) = tests.recv().await {
                at_the_door.send(&sender, &test).await;
            }
        };
        let ring: LocalBoxFuture<'static, ()> = Box::pin(async move {
            futures::future::join(ringing.ring(), answering).await;
        });
        let secrets = RefCell::new(secrets_of(&vars));
        Self { cloudflare, c1, team, edge, vars: RefCell::new(vars), secrets, ring: RefCell::new(Some(ring)) }
    }

    /// Another value of a variable, and a Worker that starts with it.
    pub(crate) fn set_var(&self, name: &str, value: &str) {
        self.vars.borrow_mut().insert(name.to_owned(), value.to_owned());
        self.reconfigure();
    }

    /// No value of a variable, and a Worker that starts without it.
    pub(crate) fn unset_var(&self, name: &str) {
        self.vars.borrow_mut().remove(name);
        self.reconfigure();
    }

    fn reconfigure(&self) {
        let settings = read(&self.vars.borrow());
        self.secrets.borrow_mut().extend(secrets_of(&self.vars.borrow()));
        if let Ok(settings) = &settings {
            self.edge.lives.reconfigure(settings.coordinator.clone());
        }
        *self.edge.settings.borrow_mut() = settings;
        self.restart();
    }

    /// Runs a sync to its end, started as the cron trigger does.
    pub(crate) async fn synced(self) -> Self {
        self.sync().await;
        self
    }

    /// The cron trigger fires; whether a sync began.
    pub(crate) async fn cron(&self) -> bool {
        matches!(self.edge.ask(Command::begin_sync("cron", false)).await.unwrap(), Reply::SyncBegun { .. })
    }

    /// Runs a sync to its end, and checks that it ended well; gives the status.
    pub(crate) async fn sync(&self) -> Value {
        let status = self.cron_and_wait().await;
        assert_eq!(status["state"], "connected", "{status}");
        status
    }

    /// Runs a sync to its end, whatever that is; gives the status.
    pub(crate) async fn cron_and_wait(&self) -> Value {
        // A while after a failure it begins none.
        for _ in 0..20 {
            if self.cron().await {
                return self.wait_for_sync().await;
            }
            self.wait(Duration::from_mins(1)).await;
        }
        panic!("no sync begins");
    }

    /// Starts a sync through the API and waits for its end; gives the run as the status remembers it.
    pub(crate) async fn run(&self, body: &Value) -> Value {
        let begun = self.request("POST", "/v1/sync", &[], Some(body)).await;
        assert_eq!(begun.status, 202, "{}", begun.text());
        let status = self.wait_for_sync().await;
        assert_eq!(status["runs"][0]["run"], begun.json()["run"], "{status}");
        status["runs"][0].clone()
    }

    /// Waits until no sync runs; gives the status.
    pub(crate) async fn wait_for_sync(&self) -> Value {
        self.until("/v1/status", |status| status["running"].is_null()).await
    }

    /// Looks at a path again and again until its JSON is as wanted, and gives that.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..20_000 {
            self.wait(Duration::from_millis(200)).await;
            last = self.json(path).await;
            if wanted(&last) {
                return last;
            }
        }
        panic!("{path} never comes to what is waited for: {last}");
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
        self.beside(self.edge.answer(method, path, headers, body)).await
    }

    /// Sends a webhook once.
    pub(crate) async fn send(&self, delivery: &Delivery) -> Answer {
        self.send_of(&self.c1, delivery).await
    }

    /// Sends a webhook of another tenant once.
    pub(crate) async fn send_of(&self, tenant: &ConductorOne, delivery: &Delivery) -> Answer {
        self.beside(self.edge.send(tenant, delivery)).await
    }

    /// Sends a webhook once, with a token of this id.
    pub(crate) async fn send_as(&self, delivery: &Delivery, token: &str) -> Answer {
        self.send(&delivery.clone().token(Token::new().claim("jti", token))).await
    }

    /// Delivers a webhook by C1's rules.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let mut attempts = Vec::new();
        loop {
            let began = tokio::time::Instant::now();
            let result = Ok(self.send(delivery).await);
            attempts.push(Attempt { result, duration: began.elapsed() });
            if let Some(verdict) = self.c1.judge(delivery, &attempts) {
                return Outcome { attempts, verdict };
            }
            self.beside(self.c1.pause()).await;
        }
    }

    /// Waits for a webhook's callback, and gives its document.
    pub(crate) async fn callback(&self, delivery: &Delivery) -> Value {
        self.beside(self.c1.callback(delivery, Duration::from_hours(24))).await.expect("a callback")
    }

    /// What the Coordinator was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.edge.asked.take()
    }

    /// What the Coordinator keeps.
    pub(crate) fn world(&self) -> &World {
        self.edge.world()
    }

    /// The most requests and callbacks that were sent while the alarm rang once, since this was asked last.
    pub(crate) fn most_sent(&self) -> usize {
        self.edge.lives.most_sent.take()
    }

    /// The names of the values that are kept under a prefix.
    pub(crate) fn names_under(&self, prefix: &str) -> Vec<String> {
        self.world().desk.names().iter().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// Loses a value, and gives it.
    pub(crate) fn lose(&self, name: &str) -> Vec<u8> {
        let desk = &self.world().desk;
        desk.values.borrow_mut().remove(&desk.key(name)).unwrap()
    }

    /// Puts a value in the place of another.
    pub(crate) fn keep(&self, name: &str, value: Vec<u8>) {
        let desk = &self.world().desk;
        desk.values.borrow_mut().insert(desk.key(name), value);
    }

    /// The lines of the log.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.world().desk.lines.borrow().clone()
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
        let mut secrets = vec![CONNECTOR_TOKEN.to_owned(), self.cloudflare.token(), self.cloudflare.user_token()];
        secrets.extend(self.c1.api_secrets());
        secrets.extend(self.secrets.take());
        assert_shows_no_secret(&self.edge.answers.borrow(), &world.desk.lines.borrow(), secrets);
        assert!(self.cloudflare.unexpected().is_empty(), "{:?}", self.cloudflare.unexpected());
        assert!(self.c1.unexpected_requests().is_empty(), "{:?}", self.c1.unexpected_requests());
    }
}

impl Edge {
    fn world(&self) -> &World {
        &self.lives.world
    }

    /// Answers a request as the runtime's edge does, and checks what holds for every answer.
    async fn answer(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
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
        let settings = self.settings.borrow().clone();
        let route = routes::label(&incoming);
        let answer = Box::pin(routes::answer(self, &settings, incoming)).await;
        self.tally.borrow_mut().count(route, answer.status, Timestamp::from_millis(0));
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

    /// Takes a webhook that C1 sends once.
    async fn send(&self, c1: &ConductorOne, delivery: &Delivery) -> Answer {
        let (headers, body) = delivery.attempt(c1);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.answer("POST", delivery.path(), &headers, Some(body.to_vec())).await
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
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let jwk = match key {
            PublicKey::Rsa { n, e } => json!({ "kty": "RSA", "n": n, "e": e }),
            PublicKey::P256 { x, y } => json!({ "kty": "EC", "x": x, "y": y }),
            PublicKey::Ed25519 { x } => json!({ "kty": "OKP", "x": x }),
        };
        conductorone::is_signed(&jwk, message, signature)
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
        if matches!(command, Command::Metrics) {
            let counts = self.tally.borrow_mut().take();
            Box::pin(self.lives.ask(Command::Answered(counts))).await;
        }
        self.asked.borrow_mut().push(format!("{command:?}"));
        let reply = Box::pin(self.lives.ask(command)).await;
        Ok(json::of(&reply).unwrap())
    }
}
