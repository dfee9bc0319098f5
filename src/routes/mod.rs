//! The HTTP surface: parse, call, answer. No logic of its own.
//!
//! `/healthz` and the public keys are open, `/webhooks/conductorone` is signed by C1, everything under `/v1` and `/scim/v2` wants the
//! bearer token.

mod access;
mod allow;
mod asking;
mod auth;
pub mod automation;
mod catalog;
mod changes;
mod connect;
mod decisions;
mod doctor;
mod entry;
mod evidence;
mod export;
mod findings;
mod http;
mod keys;
mod ledger;
mod lists;
mod metrics;
mod newest_first;
mod operations;
mod paging;
mod principal;
mod provisioning;
mod public_url;
mod route;
mod scim;
mod session;
mod settings;
mod status;
mod tally;
mod webhook;
mod what_if;

pub use asking::Ports;
pub use http::{Answer, Body, Content, Incoming, Pieces};
pub(crate) use route::SIGN_IN;
pub use settings::{NotConfigured, Settings};
pub use tally::Tally;

use crate::base::object::object_of;
use crate::base::ports::{Level, Method};
use crate::conductorone::verify;
use http::Problem;
use principal::PathPrincipal;
use route::Route;
use scim::endpoint;

/// The body of a `/v1` request, in bytes at most: they are a few fields each.
const MAX_BODY: usize = 64 * 1024;

/// For the fuzz targets: whether a text is a cursor.
///
/// # Panics
/// One that is read is not the same when it is given again.
#[cfg(feature = "fakes")]
pub fn is_cursor(text: &str) -> bool {
    let Some(cursor) = paging::Cursor::decode(text) else { return false };
    assert_eq!(paging::Cursor::decode(&cursor.encode()), Some(cursor));
    true
}

/// How much of a request's body is read at most.
pub fn body_limit(path: &str) -> usize {
    if path == verify::PATH {
        verify::MAX_BODY
    } else if endpoint::owns(path) {
        scim::MAX_BODY
    } else {
        MAX_BODY
    }
}

/// What a request's route is called in the metrics; `none` where there is no such route.
pub fn label(request: &Incoming) -> &'static str {
    match route::find(request) {
        Ok(Route::Session) if request.method == Method::Post => SIGN_IN,
        Ok(route) => route.label(),
        Err(_) => "none",
    }
}

/// Answers a request.
pub async fn answer<P: Ports>(ports: &P, settings: &Result<Settings, NotConfigured>, request: Incoming) -> Answer {
    let head = request.method == Method::Head;
    let told =
        |problem: Problem| if endpoint::owns(&request.path) { scim::error(problem) } else { problem.into_answer() };
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
            object_of(vec![
                ("path", request.path.as_str().into()),
                ("status", answer.status.into()),
                ("why", why.into()),
            ]),
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

/// That the Worker runs.
fn health() -> Answer {
    Answer::json(200, &object_of(vec![("status", "ok".into()), ("version", env!("CARGO_PKG_VERSION").into())]))
}

async fn dispatch<P: Ports>(
    ports: &P,
    settings: &Result<Settings, NotConfigured>,
    route: Route,
    request: &Incoming,
) -> Result<Answer, Problem> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(_) if matches!(route, Route::Health) => return Ok(health()),
        Err(error) => {
            // The one place that answers without a configuration, since it is there to say what is missing. It is open only
            // while there is no token to compare with; it names variables, never their values.
            let is_examined = matches!(route, Route::Doctor);
            if let (true, Some(token)) = (is_examined, &error.token) {
                auth::check_alone(token, request)?;
            }
            ports.log(Level::Error, "not configured", object_of(vec![("problems", error.to_string().into())]));
            return if is_examined { Ok(doctor::unconfigured(error)) } else { Err(error.problem()) };
        }
    };
    // These are open, or find out by themselves who asks.
    if !matches!(route, Route::Health | Route::Webhook | Route::KeySet | Route::Session | Route::Entry) {
        let right = allow::allow(settings, &route, request, ports.now())?;
        // Whoever Cloudflare Access let in need not know the token.
        if right == auth::Right::Full && session::who(request).is_none() {
            public_url::teach(ports, settings, request).await;
        }
    }
    match route {
        Route::Health => Ok(health()),
        Route::Webhook => webhook::receive(ports, settings, request).await,
        Route::Session => session::answer(ports, settings, request).await,
        Route::Entry => session::enter(ports, settings, request).await,
        Route::KeySet => keys::show(ports, settings).await,
        Route::Metrics => metrics::show(ports).await,
        Route::Status => status::show(ports, settings).await,
        Route::Days => status::days(ports, request).await,
        Route::Doctor => Ok(doctor::examine(ports, settings, request).await),
        Route::Sync => status::begin_sync(ports, request).await,
        Route::Push => status::push(ports).await,
        Route::Connect => connect::begin(ports, settings, request).await,
        Route::Connection => connect::show(ports, request).await,
        Route::List(list) => lists::list(ports, list, request).await,
        Route::One(key) => lists::one(ports, &key, request).await,
        Route::Access(object) => access::list(ports, &object, request).await,
        Route::Holders(entitlement) => lists::holders(ports, entitlement, request).await,
        Route::Export(file) => export::download(ports, settings, file, request).await,
        Route::Changes => changes::list(ports, request).await,
        Route::History => ledger::history(ports, request).await,
        Route::Evidence => evidence::download(ports, settings, request).await,
        Route::AsOf => ledger::as_of(ports, request).await,
        Route::Invite => provisioning::invite(ports, request).await,
        Route::Renew(member) => provisioning::renew(ports, member, request).await,
        Route::Remove(principal) => {
            let (_, mut subject) = principal.find(ports).await?;
            // Who has an invitation cancelled by its id alone has nobody removed who accepted it and is known by another one.
            if let PathPrincipal::Bare(user, member, _) = principal
                && subject.user_id.is_some_and(|found| found != user)
            {
                (subject.user_id, subject.member_id) = (None, Some(member));
            }
            provisioning::remove(ports, subject, request).await
        }
        Route::Scim(endpoint) => scim::answer(ports, settings, endpoint, request).await,
        Route::Decisions => decisions::list(ports, request).await,
        Route::WhatIf => what_if::show(ports, request).await,
        Route::Findings => findings::list(ports, request).await,
        Route::Finding(id) => findings::show(ports, id).await,
        Route::AcceptFinding(id) => findings::accept(ports, id, request).await,
        Route::Operations => operations::list(ports, request).await,
        Route::Operation(id) => operations::show(ports, id).await,
        Route::Grant(action, entitlement, named) => {
            let found = named.find(ports).await?;
            provisioning::carry_out(ports, action, entitlement, found, request).await
        }
    }
}
