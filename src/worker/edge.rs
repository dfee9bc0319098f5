//! The stateless Worker: a request in, a response out, and the cron trigger.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures::StreamExt as _;
use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use wasm_streams::ReadableStream;
use worker::{Context, Env};

use super::env::{config, log, now, shelf};
use super::kv::Namespace;
use super::object::{self, Object};
use super::{crypto, fetch, io, zstd};
use crate::base::object::object_of;
use crate::base::ports::{
    Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, Level, Log, Method, Zstd, ZstdError,
};
use crate::base::ports::{KeyCache, Signatures};
use crate::base::ports::{Sign, SignError};
use crate::base::settings::Problem;
use crate::base::shelf::Shelf;
use crate::base::signing::PublicKey;
use crate::base::signing::SigningKey;
use crate::base::space::Space;
use crate::base::time::Timestamp;
use crate::base::url::Url;
use crate::conductorone::jwks::Cache;
use crate::coordinator::Ask;
use crate::coordinator::{Command, Reply, Requests, Unreachable};
use crate::model::id::AccountId;
use crate::routes::{self, Content, Settings, Tally};

thread_local! {
    /// The tenant's keys. Lost with the isolate: only ever a saving.
    static KEYS: RefCell<Cache> = RefCell::default();
    /// Requests that the Coordinator was not told of yet.
    static TALLY: RefCell<Tally> = RefCell::default();
    /// Whether it is being told of them soon, whatever comes.
    static IS_TOLD_SOON: Cell<bool> = const { Cell::new(false) };
}

/// A sign-in that failed is told of after this long, also where no other request comes.
const TOLD_SOON_MILLIS: u32 = 20_000;

/// A request as the runtime hands it over.
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The whole URL.
    pub url: &'a str,
    /// The headers, as JavaScript's `Headers`.
    pub headers: &'a JsValue,
    /// The body; none of a request without one.
    pub body: Option<web_sys::ReadableStream>,
}

/// Answers a request with a response of the runtime's.
pub async fn respond(request: Request<'_>, env: &Env, context: &Context) -> Result<JsValue, String> {
    match answer(request, env, context).await {
        Err(why) => {
            log(Level::Error, "a request could not be answered", &object_of(vec![("why", why.into())]));
            io::response(500, "", "INTERNAL SERVER ERROR".into(), None)
        }
        response => response,
    }
}

async fn answer(request: Request<'_>, env: &Env, context: &Context) -> Result<JsValue, String> {
    // A host that no URL has.
    let Ok(url) = Url::parse(request.url) else { return io::response(400, "", JsValue::UNDEFINED, None) };
    let body = match request.body {
        Some(stream) => {
            let limit = routes::body_limit(url.path());
            io::body(&stream, limit).await?.map_or(routes::Body::TooLarge(limit), routes::Body::Read)
        }
        None => routes::Body::Read(Vec::new()),
    };
    let incoming = routes::Incoming {
        method: Method::parse(request.method),
        origin: url.origin(),
        path: url.path().to_owned(),
        query: form_urlencoded::parse(url.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        headers: fetch::pairs(&io::lines(request.headers)),
        body,
    };
    let settings = config(env);
    let edge = Edge::new(env, (*settings).as_ref().ok());
    let route = routes::label(&incoming);
    let answer = routes::answer(&edge, &settings, incoming).await;
    TALLY.with_borrow_mut(|tally| tally.count(route, answer.status, now()));
    if edge.account.is_some()
        && let Some(counts) = TALLY.with_borrow_mut(|tally| tally.due(now()))
    {
        // Nobody waits for it.
        context.wait_until(async move { edge.tell(counts).await });
    } else if route == routes::SIGN_IN && answer.status == 401 && !IS_TOLD_SOON.replace(true) {
        context.wait_until(async move {
            edge.sleep(TOLD_SOON_MILLIS).await;
            IS_TOLD_SOON.set(false);
            edge.tell(TALLY.with_borrow_mut(Tally::take)).await;
        });
    }
    let (body, length) = match answer.body {
        Content::Bytes(bytes) if !bytes.is_empty() => (Uint8Array::from(bytes.as_slice()).into(), None),
        Content::Bytes(_) | Content::Unsent => (JsValue::UNDEFINED, None),
        Content::Stream(pieces, length) => {
            let pieces = pieces.map(|piece| match piece {
                Ok(bytes) => Ok(Uint8Array::from(bytes.as_slice()).into()),
                Err(why) => Err(JsValue::from_str(&why)),
            });
            (ReadableStream::from_stream(pieces).into_raw().into(), Some(length))
        }
    };
    let headers = fetch::lines(&answer.headers, None).ok_or("a header of the answer has a line end in it")?;
    io::response(answer.status, &headers, body, length)
}

/// Starts a sync. Fails where it could not, so that the runtime records the invocation as failed.
pub async fn cron(env: &Env) -> Result<(), String> {
    let settings = config(env);
    let edge = Edge::new(env, (*settings).as_ref().ok());
    match &*settings {
        Ok(settings) => {
            for Problem { name, message, .. } in &settings.problems {
                let fields = object_of(vec![("variable", (*name).into()), ("why", message.as_str().into())]);
                edge.log(Level::Warn, "a variable is wrong", fields);
            }
        }
        Err(error) => {
            edge.log(Level::Error, "not configured", object_of(vec![("problems", error.to_string().into())]));
            return Err(error.to_string());
        }
    }
    match edge.ask(Command::begin_sync("cron", false)).await {
        Ok(Reply::SyncBegun { .. } | Reply::SyncRunning { .. } | Reply::Noted) => Ok(()),
        Ok(_) => Err("the Coordinator's answer is of another kind than what was asked for".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What a request is answered with.
#[derive(Clone)]
struct Edge {
    env: Env,
    account: Option<AccountId>,
    space: Space,
}

impl Edge {
    fn new(env: &Env, settings: Option<&Settings>) -> Self {
        let account = settings.map(|settings| settings.coordinator.cloudflare.account_id);
        // Nothing is read or asked without a configuration, nor where there is no Durable Object: `ask` says why.
        let space = account.and_then(|account| object::space(env, account).ok());
        Self { env: env.clone(), account, space: space.unwrap_or_else(|| Space::new("none", "none")) }
    }

    /// Tells the Coordinator what was counted; what could not be told is counted again.
    async fn tell(&self, counts: Requests) {
        let Some(account) = self.account.filter(|_| !counts.is_empty()) else { return };
        let told = Object::of(&self.env, account).ask(Command::Answered(counts.clone())).await;
        if !matches!(told, Ok(Reply::Noted)) {
            TALLY.with_borrow_mut(|tally| tally.put_back(counts, now()));
        }
    }

    fn kv(&self) -> Result<Namespace, KvError> {
        Namespace::of(&self.env)
    }
}

impl Http for Edge {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        fetch::send(request).await
    }
}

impl KeyValue for Edge {
    fn space(&self) -> &Space {
        &self.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.kv()?.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.kv()?.put(key, &value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.kv()?.delete(key).await
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        crypto::sha256(bytes).await
    }

    fn shelf<T>(&self, f: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        Some(shelf(f))
    }
}

impl Clock for Edge {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, millis: u32) {
        worker::Delay::from(Duration::from_millis(u64::from(millis))).await;
    }
}

impl Zstd for Edge {
    type Frame = zstd::Frame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError> {
        Ok(zstd::frame(content_size))
    }
}

impl Sign for Edge {
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        crypto::sign(key, message).await
    }

    async fn public_key(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        crypto::public_key(key).await
    }
}

impl Log for Edge {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        log(level, message, &fields);
    }
}

impl Signatures for Edge {
    async fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        crypto::verify(key, message, signature).await
    }
}

impl KeyCache<Cache> for Edge {
    fn with<T>(&self, f: impl FnOnce(&mut Cache) -> T) -> T {
        KEYS.with_borrow_mut(f)
    }
}

impl Ask for Edge {
    async fn ask(&self, command: Command) -> Result<Reply, Unreachable> {
        if matches!(command, Command::Metrics) {
            // What this isolate has counted is in the answer.
            self.tell(TALLY.with_borrow_mut(Tally::take)).await;
        }
        match self.account {
            Some(account) => Object::of(&self.env, account).ask(command).await,
            None => Err(Unreachable("the connector is not configured".to_owned())),
        }
    }
}
