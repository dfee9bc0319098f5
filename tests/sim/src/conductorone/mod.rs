//! A ConductorOne tenant: it signs and sends webhooks, lists its keys, and takes callbacks
//! (`reference/conductorone.md` 1, 2 and 8).

mod api;
mod callback;
mod delivery;
mod directory;
mod dispatch;
mod edit;
mod id;
mod inbound;
mod jwks;
mod keys;
mod response;
mod task;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use api::Api;
use callback::Callbacks;
use inbound::Inbound;
use jwks::Jwks;

pub use api::{ApiFault, ApiRequest, Credential, SyncEnd};
pub use callback::{CallbackFault, CallbackPost};
pub use delivery::Delivery;
pub use directory::{Account, App, Entitlement, Person};
pub use dispatch::{Attempt, Outcome, Pace, Unsettled, Verdict};
pub use id::{derived as derived_id, fresh as fresh_id};
pub use inbound::{InboundFault, InboundRequest, Proof};
pub use jwks::JwksFault;
pub use keys::{AlgStyle, Algorithm, JwkStyle, Key, is_signed};
pub use response::{InvalidDocument, MAX_BYTES, MAX_COMMENT, MAX_REASSIGNED, parse as parse_response};
pub use task::{Style, Task};
pub use token::Token;

use crate::http::{Handler, Reply, ReplyFuture, Request};

/// The host of the tenant that tests use.
pub const HOST: &str = "acme.conductor.one";

/// Where the tests' connector says it can be reached.
pub const PUBLIC_URL: &str = "https://connector.example.com";

/// What a tenant is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tenant's host: `iss` of its tokens.
    pub host: String,
    /// The tenant's base URL, as callback URLs have it.
    pub base_url: String,
    /// The URL that its webhook is configured with.
    pub webhook_url: String,
    /// The keys follow from this.
    pub seed: u64,
    /// How patient it is.
    pub pace: Pace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: HOST.into(),
            base_url: format!("https://{HOST}"),
            webhook_url: format!("{PUBLIC_URL}/webhooks/conductorone"),
            seed: 1,
            pace: Pace::hurried(),
        }
    }
}

/// A tenant. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct ConductorOne {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: String,
    base_url: String,
    client: reqwest::Client,
    state: Mutex<State>,
    /// Changes with each callback.
    called_back: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    webhook_url: String,
    pace: Pace,
    jwks: Jwks,
    callbacks: Callbacks,
    inbound: Inbound,
    unexpected: Vec<String>,
    api: Api,
    /// Where the hosts of webhooks really are.
    reachable: HashMap<String, Reach>,
    clock: Clock,
}

/// How a host of webhooks is reached.
#[derive(Clone, Debug)]
enum Reach {
    /// At this base URL.
    At(String),
    /// By whoever takes what is sent here.
    Through(mpsc::UnboundedSender<Delivery>),
}

/// What tells the millisecond that it is.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(|| chrono::Utc::now().timestamp_millis()))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&(self.0)()).finish()
    }
}

impl Default for ConductorOne {
    fn default() -> Self {
        Self::new()
    }
}

impl ConductorOne {
    /// The tenant `acme.conductor.one`, which retries a thousand times faster than the real one.
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// A tenant of one's own.
    pub fn with(options: Options) -> Self {
        let state = State {
            webhook_url: options.webhook_url,
            pace: options.pace,
            jwks: Jwks::new(options.seed),
            callbacks: Callbacks::default(),
            inbound: Inbound::default(),
            unexpected: Vec::new(),
            api: Api::default(),
            reachable: HashMap::new(),
            clock: Clock::default(),
        };
        Self {
            inner: Arc::new(Inner {
                host: options.host,
                base_url: options.base_url.trim_end_matches('/').to_owned(),
                client: crate::client::to_worker(),
                state: Mutex::new(state),
                called_back: watch::Sender::new(0),
            }),
        }
    }

    /// This tenant as something that a server can serve.
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(self.clone())
    }

    /// The tenant's host.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// The URL that the webhook is configured with.
    pub fn webhook_url(&self) -> String {
        self.state().webhook_url.clone()
    }

    /// Configures the webhook with another URL, for deliveries made from now on.
    pub fn set_webhook_url(&self, url: &str) {
        url.clone_into(&mut self.state().webhook_url);
    }

    /// The webhook's id.
    pub fn webhook_id(&self) -> String {
        id::derived(&format!("webhook of {}", self.inner.host))
    }

    /// Says where a host of webhooks really is: a base URL such as `http://127.0.0.1:8787`. Others cannot be reached.
    pub fn reach(&self, host: &str, base_url: &str) {
        self.state().reachable.insert(host.to_owned(), Reach::At(base_url.to_owned()));
    }

    /// Says that whatever is sent to a host of webhooks goes to whoever has the other end of this, to be delivered.
    pub fn reach_through(&self, host: &str, deliveries: mpsc::UnboundedSender<Delivery>) {
        self.state().reachable.insert(host.to_owned(), Reach::Through(deliveries));
    }

    /// Goes by another clock than the machine's: one that tells the millisecond that it is.
    pub fn go_by(&self, clock: impl Fn() -> i64 + Send + Sync + 'static) {
        self.state().clock = Clock(Arc::new(clock));
    }

    /// The millisecond that it is.
    fn now(&self) -> i64 {
        let clock = self.state().clock.clone();
        (clock.0)()
    }

    /// Sends the test event of a webhook of the API, where its host can be reached.
    fn send_test(&self, id: &str, url: &str) {
        let host = url.split("//").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
        let Some(reach) = self.state().reachable.get(host).cloned() else { return };
        let mut delivery = self.test_event().signed_for(url);
        id.clone_into(&mut delivery.webhook_id);
        match reach {
            Reach::At(base) => {
                let tenant = self.clone();
                tokio::spawn(async move { tenant.deliver(&base, &delivery).await });
            }
            // Nobody is there any more: then nobody waits for it.
            Reach::Through(deliveries) => drop(deliveries.send(delivery)),
        }
    }

    /// How patient the tenant is.
    pub fn pace(&self) -> Pace {
        self.state().pace.clone()
    }

    /// Makes the tenant more or less patient.
    pub fn set_pace(&self, pace: Pace) {
        self.state().pace = pace;
    }
}

/// The webhooks.
impl ConductorOne {
    /// The event that "Test webhook" sends.
    pub fn test_event(&self) -> Delivery {
        self.event("c1.webhooks.v1.PayloadTest", json!({}))
    }

    /// The webhook of a task's step.
    pub fn task(&self, task: &Task) -> Delivery {
        self.event(task.event(), task.payload(&self.webhook_id()))
    }

    /// The webhook of an automation's step, which carries whatever JSON the automation's author put there.
    pub fn workflow_step(&self, context: impl Into<Value>) -> Delivery {
        let context: Value = context.into();
        self.event(
            "c1.webhooks.v1.PayloadWorkflowStep",
            json!({
                "workflowId": id::derived("workflow"),
                "workflowExecutionId": fastrand::u32(..).to_string(),
                "workflowExecutionStepId": id::fresh(),
                "context": context,
            }),
        )
    }

    /// A webhook of any event; the payload's `@type` is added.
    pub fn event(&self, name: &str, payload: Value) -> Delivery {
        Delivery::new(self, name, payload)
    }
}

/// The keys.
impl ConductorOne {
    /// Signs with this algorithm where a delivery does not say which: `EdDSA` at first.
    pub fn prefer(&self, algorithm: Algorithm) {
        self.state().jwks.preferred = algorithm;
    }

    /// Takes a new key for an algorithm, and forgets the old one.
    pub fn rotate(&self, algorithm: Algorithm) {
        self.state().jwks.rotate(algorithm, false);
    }

    /// Takes a new key for an algorithm, and goes on listing the old one.
    pub fn rotate_and_keep(&self, algorithm: Algorithm) {
        self.state().jwks.rotate(algorithm, true);
    }

    /// Lists the keys of these algorithms only; signing goes on with all.
    pub fn list_only(&self, algorithms: &[Algorithm]) {
        self.state().jwks.list_only(algorithms);
    }

    /// Writes the JWKS differently.
    pub fn set_jwk_style(&self, style: JwkStyle) {
        self.state().jwks.style = style;
    }

    /// Lets the JWKS route go wrong the next `times` times, or for ever.
    pub fn fail_jwks(&self, fault: JwksFault, times: Option<u32>) {
        self.state().jwks.fault = Some((fault, times));
    }

    /// Ends the JWKS route's fault.
    pub fn heal_jwks(&self) {
        self.state().jwks.fault = None;
    }

    /// How often the keys were fetched, faults included.
    pub fn jwks_fetches(&self) -> u32 {
        self.state().jwks.fetches
    }

    /// The key that signs now: of this algorithm, or of the preferred one.
    pub fn signing_key(&self, algorithm: Option<Algorithm>) -> Key {
        self.state().jwks.signing_key(algorithm)
    }
}

/// The callbacks.
impl ConductorOne {
    /// Waits for a webhook's callback, for `patience` at most, and gives the response document.
    pub async fn callback(&self, delivery: &Delivery, patience: Duration) -> Option<Value> {
        let mut called_back = self.inner.called_back.subscribe();
        let arrived = async {
            loop {
                let answer = self.state().callbacks.answer(delivery.callback_token());
                if answer.is_some() {
                    return answer;
                }
                called_back.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, arrived).await.ok().flatten()
    }

    /// Lets a webhook's callback expire.
    pub fn close_callback(&self, delivery: &Delivery) {
        self.state().callbacks.close(delivery.callback_token());
    }

    /// Lets the callback route go wrong the next `times` times.
    pub fn fail_callbacks(&self, fault: CallbackFault, times: u32) {
        self.state().callbacks.fault = Some((fault, times));
    }

    /// All POSTs to callback URLs so far.
    pub fn callback_posts(&self) -> Vec<CallbackPost> {
        self.state().callbacks.posts.clone()
    }

    /// Listens for events from others, in place of an earlier listener; gives the URL to send them to.
    pub fn listen(&self, id: &str, proof: Proof) -> String {
        let url = format!("{}{}{id}", self.inner.base_url, inbound::PREFIX);
        let url = match &proof {
            Proof::Capability(token) => format!("{url}/t/{token}"),
            Proof::Hmac(_) | Proof::Jwt(_) => url,
        };
        self.state().inbound.listener = Some((id.to_owned(), proof));
        url
    }

    /// Lets the listener go wrong the next `times` times.
    pub fn fail_inbound(&self, fault: InboundFault, times: u32) {
        self.state().inbound.fault = Some((fault, times));
    }

    /// Ends the listener's fault.
    pub fn heal_inbound(&self) {
        self.state().inbound.fault = None;
    }

    /// The events that the listener took, in order.
    pub fn events(&self) -> Vec<Value> {
        self.state().inbound.events.clone()
    }

    /// All requests to the listener, refused ones as well.
    pub fn inbound_requests(&self) -> Vec<InboundRequest> {
        self.state().inbound.requests.clone()
    }

    /// Requests to routes that the tenant does not have, as `GET /path`.
    pub fn unexpected_requests(&self) -> Vec<String> {
        self.state().unexpected.clone()
    }

    fn open_callback(&self, event: &str) -> String {
        let token = self.state().callbacks.open(event);
        format!("{}{}{token}", self.inner.base_url, callback::PREFIX)
    }

    fn client(&self) -> &reqwest::Client {
        &self.inner.client
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> jwks::Answer {
        let now = self.now();
        let mut state = self.state();
        jwks::Answer::Now(match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/auth/v1/jwks") => return state.jwks.fetch(),
            ("POST", path) if path.starts_with(callback::PREFIX) => {
                let token = path.strip_prefix(callback::PREFIX).unwrap_or_default();
                let reply = state.callbacks.receive(token, request);
                self.inner.called_back.send_modify(|count| *count += 1);
                reply
            }
            ("POST", path) if path.starts_with(inbound::PREFIX) => {
                state.inbound.receive(&self.inner.base_url, now / 1000, request)
            }
            (_, path) if api::has(path) => {
                if let Some(answered) = state.api.answer(&self.inner.host, now, request) {
                    drop(state);
                    if let Some((id, url)) = &answered.test {
                        self.send_test(id, url);
                    }
                    return jwks::Answer::After(answered.after, answered.reply);
                }
                state.unexpected.push(format!("{} {path}", request.method));
                Reply::json(404, &json!({ "code": 5, "message": "Not Found", "details": [] }))
            }
            (method, path) => {
                state.unexpected.push(format!("{method} {path}"));
                Reply::json(404, &json!({ "code": 5, "message": "Not Found", "details": [] }))
            }
        })
    }
}

impl Handler for ConductorOne {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move {
            match self.answer(&request) {
                jwks::Answer::Now(reply) => reply,
                jwks::Answer::After(pause, reply) => {
                    tokio::time::sleep(pause).await;
                    reply
                }
                jwks::Answer::Never => {
                    tokio::time::sleep(jwks::HANG).await;
                    Reply::Reset
                }
            }
        })
    }
}
