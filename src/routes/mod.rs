//! The HTTP surface: parse, call, answer. No logic of its own.
//!
//! `/healthz` and the public keys are open, `/webhooks/conductorone` is signed by C1, everything under `/v1` and `/scim/v2` wants the
//! bearer token.

mod auth;
pub mod automation;
mod catalog;
mod changes;
mod connect;
mod decisions;
mod doctor;
mod export;
mod keys;
mod lists;
mod operations;
mod paging;
mod principal;
mod problem;
mod provisioning;
mod route;
mod scim;
mod settings;
mod status;
mod webhook;

pub use settings::{NotConfigured, Settings};

use std::fmt;
use std::pin::Pin;

use futures::Stream;
use serde::Serialize;

use crate::base::ports::Sign;
use crate::base::ports::{Clock, Http, KeyValue, Level, Log, Method, Zstd};
use crate::base::ports::{KeyCache, Signatures};
use crate::conductorone::jwks::Cache;
use crate::conductorone::verify;
use crate::coordinator::Ask;
use problem::Problem;
use route::Route;

/// A request as the runtime read it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The method.
    pub method: Method,
    /// The path, as on the wire.
    pub path: String,
    /// The query's parameters, decoded.
    pub query: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// A request's body.
#[derive(Clone, Debug)]
pub enum Body {
    /// Read to its end.
    Read(Vec<u8>),
    /// Longer than [`body_limit`], and not read further than that.
    TooLarge,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Content,
}

/// The pieces of a body. One that fails is the last, and the transfer is broken off.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Vec<u8>, String>>>>;

/// A response's body.
pub enum Content {
    /// All of it.
    Bytes(Vec<u8>),
    /// Made while it is sent; its length in bytes.
    Stream(Pieces, u64),
    /// Of a length that is not known, and not sent: the answer to `HEAD`.
    Unsent,
}

/// What an answer needs of the world. A body that is made while it is sent takes a copy along.
pub trait World:
    Http + KeyValue + Clock + Signatures + KeyCache<Cache> + Ask + Log + Sign + Zstd + Clone + 'static
{
}

impl<T: Http + KeyValue + Clock + Signatures + KeyCache<Cache> + Ask + Log + Sign + Zstd + Clone + 'static> World
    for T
{
}

/// The body of a `/v1` request, in bytes at most: they are a few fields each.
const MAX_BODY: usize = 64 * 1024;

/// How much of a request's body is read at most.
pub fn body_limit(path: &str) -> usize {
    if path == webhook::PATH {
        verify::MAX_BODY
    } else if scim::owns(path) {
        scim::MAX_BODY
    } else {
        MAX_BODY
    }
}

/// Answers a request.
pub async fn answer<P: World>(ports: &P, settings: &Result<Settings, NotConfigured>, request: Incoming) -> Answer {
    let head = request.method == Method::Head;
    let told = |problem: Problem| if scim::owns(&request.path) { scim::error(problem) } else { problem.into_answer() };
    let mut answer = match route::find(&request) {
        Ok(route) => dispatch(ports, settings, route, &request).await.unwrap_or_else(told),
        Err(problem) => told(problem),
    };
    // What is not implemented is no failure.
    if answer.status >= 500 && answer.status != 501 {
        let why = String::from_utf8_lossy(answer.body.bytes()).into_owned();
        ports.log(
            Level::Error,
            "request failed",
            serde_json::json!({ "path": request.path, "status": answer.status, "why": why }),
        );
    }
    if head {
        if let Content::Bytes(body) = &answer.body {
            answer.headers.push(("Content-Length", body.len().to_string()));
        }
        answer.body = Content::none();
    }
    answer
}

async fn dispatch<P: World>(
    ports: &P,
    settings: &Result<Settings, NotConfigured>,
    route: Route,
    request: &Incoming,
) -> Result<Answer, Problem> {
    if route == Route::Health {
        return Ok(Answer::json(200, &serde_json::json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") })));
    }
    if let (Route::Doctor, Err(error)) = (&route, settings) {
        // The one place that answers without a configuration, since it is there to say what is missing. It is open only
        // while there is no token to compare with; it names variables, never their values.
        if let Some(token) = &error.token {
            auth::check_alone(token, request)?;
        }
        ports.log(Level::Error, "not configured", serde_json::json!({ "problems": error.to_string() }));
        return Ok(doctor::unconfigured(error));
    }
    let settings = settings.as_ref().map_err(|error| {
        ports.log(Level::Error, "not configured", serde_json::json!({ "problems": error.to_string() }));
        Problem::not_configured(error)
    })?;
    if route == Route::Webhook {
        return webhook::receive(ports, settings, request).await;
    }
    if route == Route::KeySet {
        return keys::show(ports, settings).await;
    }
    settings.allow(&route, request)?;
    match route {
        Route::Health | Route::Webhook | Route::KeySet => Err(Problem::not_found()),
        Route::Status => status::show(ports, settings).await,
        Route::Doctor => Ok(doctor::examine(ports, settings).await),
        Route::Sync => status::begin_sync(ports, request).await,
        Route::Push => status::push(ports).await,
        Route::Connect => connect::begin(ports, settings, request).await,
        Route::Connection => connect::show(ports, request).await,
        Route::List(list) => lists::list(ports, list, request).await,
        Route::Member(member) => lists::member(ports, member, request).await,
        Route::Holders(entitlement) => lists::holders(ports, entitlement, request).await,
        Route::Export(file) => export::download(ports, file, request).await,
        Route::Changes => changes::list(ports, request).await,
        Route::Invite => provisioning::invite(ports, request).await,
        Route::Renew(member) => provisioning::renew(ports, member, request).await,
        Route::Remove(principal) => provisioning::remove(ports, principal, request).await,
        Route::Scim(endpoint) => scim::answer(ports, settings, endpoint, request).await,
        Route::Decisions => decisions::list(ports, request).await,
        Route::Operations => operations::list(ports, request).await,
        Route::Operation(id) => operations::show(ports, id).await,
        Route::Grant(action, entitlement, named) => {
            let principal = named.find(ports).await?;
            provisioning::carry_out(ports, action, entitlement, principal, request).await
        }
    }
}

impl Answer {
    /// A JSON answer.
    fn json(status: u16, body: &impl Serialize) -> Self {
        // Our own types serialise; should one not, the client reads `null` rather than nothing.
        let body = serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec());
        let headers = vec![("Content-Type", "application/json".to_owned()), ("Cache-Control", "no-store".to_owned())];
        Self { status, headers, body: Content::Bytes(body) }
    }
}

impl Content {
    /// An empty body.
    const fn none() -> Self {
        Self::Bytes(Vec::new())
    }

    /// The bytes; of a body that is made while it is sent there are none yet.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Stream(..) | Self::Unsent => &[],
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Stream(_, length) => write!(f, "a stream of {length} bytes"),
            Self::Unsent => f.write_str("nothing of unknown length"),
        }
    }
}

impl Incoming {
    /// The first value of a header; `name` in lower case.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query.
    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The bytes of the body.
    fn bytes(&self) -> Result<&[u8], Problem> {
        match &self.body {
            Body::Read(bytes) => Ok(bytes),
            Body::TooLarge => Err(Problem::too_large(body_limit(&self.path))),
        }
    }
}
