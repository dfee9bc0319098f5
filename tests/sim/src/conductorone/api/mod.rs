//! C1's REST API: bearer tokens, permissions, faults, and the routes that a connector uses (`reference/conductorone.md` 8.2 and 8.3).

mod apps;
mod connectors;
mod oauth;
mod webhooks;

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub use connectors::SyncEnd;
pub use oauth::Credential;

use super::ConductorOne;
use super::directory::{App, Entitlement};
use crate::http::{Reply, Request};

/// A way for the API to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// This status, and nothing is done.
    Status(u16),
    /// 429 with `Retry-After` in seconds, and nothing is done.
    RateLimited(u64),
    /// It is done, and then this status is sent all the same.
    DoneButFailed(u16),
    /// It is done, and the connection is dropped.
    DoneButReset,
    /// The connection is dropped, and nothing is done.
    Reset,
    /// It is done, and answered after this time.
    Slow(Duration),
    /// 302 to this URL, and nothing is done.
    Redirect(String),
    /// 200 with a page of HTML, and nothing is done.
    NotJson,
}

/// One request to the API.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiRequest {
    /// The method and the path, such as `GET /api/v1/apps`.
    pub route: String,
    /// The body, `null` where there is none.
    pub body: Value,
    /// What it was answered with; 0 is a dropped connection.
    pub status: u16,
}

impl ApiRequest {
    /// Whether it was meant to change something.
    pub fn writes(&self) -> bool {
        !self.route.starts_with("GET ") && !self.route.contains("/search/") && !self.route.ends_with("/test")
    }
}

#[derive(Debug)]
struct Fault {
    /// The beginning of the method and path that it strikes.
    route: String,
    strikes: ApiFault,
    /// How often it still strikes; `None` is for ever.
    left: Option<u32>,
}

/// The API's state.
#[derive(Debug, Default)]
pub(super) struct Api {
    oauth: oauth::OAuth,
    webhooks: Vec<webhooks::Webhook>,
    apps: Vec<apps::AppState>,
    connectors: Vec<connectors::Connector>,
    faults: Vec<Fault>,
    forbidden: BTreeSet<String>,
    requests: Vec<ApiRequest>,
}

/// What a request to the API comes to.
pub(super) struct Answered {
    pub(super) reply: Reply,
    /// How long it takes.
    pub(super) after: Duration,
    /// The webhook that is to be tested: its id and URL.
    pub(super) test: Option<(String, String)>,
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, after: Duration::ZERO, test: None }
    }
}

/// Whether a path is the API's.
pub(super) fn has(path: &str) -> bool {
    path == oauth::PATH || path.starts_with("/api/v1/")
}

impl Api {
    /// Answers a request at the millisecond that is `now`.
    pub(super) fn answer(&mut self, host: &str, now: i64, request: &Request) -> Option<Answered> {
        let route = format!("{} {}", request.method, request.path);
        let mut answered = self.with_faults(host, now, &route, request)?;
        let body = if request.path == oauth::PATH { Value::Null } else { request.json() };
        let status = match &answered.reply {
            Reply::Response { status, .. } => *status,
            Reply::Reset => 0,
        };
        if status >= 400 {
            answered.test = None;
        }
        self.requests.push(ApiRequest { route, body, status });
        Some(answered)
    }

    fn with_faults(&mut self, host: &str, now: i64, route: &str, request: &Request) -> Option<Answered> {
        let fault = self.faults.iter_mut().find(|fault| route.starts_with(&fault.route) && fault.left != Some(0));
        let fault = fault.map(|fault| {
            fault.left = fault.left.map(|left| left - 1);
            fault.strikes.clone()
        });
        let before = match &fault {
            Some(ApiFault::Status(status)) => Some(error(*status, "on purpose")),
            Some(ApiFault::RateLimited(secs)) => {
                Some(error(429, "too many requests").with_header("retry-after", secs.to_string()))
            }
            Some(ApiFault::Reset) => Some(Reply::Reset),
            Some(ApiFault::Redirect(url)) => Some(Reply::text(302, "text/plain", "").with_header("location", url)),
            Some(ApiFault::NotJson) => Some(Reply::text(200, "text/html", "<!doctype html><title>Sign in</title>")),
            _ => None,
        };
        if let Some(reply) = before {
            return Some(reply.into());
        }
        let answered = self.carry_out(host, now, request)?;
        Some(match fault {
            Some(ApiFault::DoneButFailed(status)) => Answered { reply: error(status, "on purpose"), ..answered },
            Some(ApiFault::DoneButReset) => Answered { reply: Reply::Reset, ..answered },
            Some(ApiFault::Slow(after)) => Answered { after, ..answered },
            _ => answered,
        })
    }

    fn carry_out(&mut self, host: &str, now: i64, request: &Request) -> Option<Answered> {
        if request.path == oauth::PATH {
            return Some(self.oauth.token(host, now, request).into());
        }
        if let Err(why) = self.oauth.authorise(now, request) {
            return Some(error(401, why).into());
        }
        let route = format!("{} {}", request.method, request.path);
        if self.forbidden.iter().any(|prefix| route.starts_with(prefix)) {
            return Some(error(403, "permission denied").into());
        }
        let segments = request.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["api", "v1", "webhooks", rest @ ..] => self.webhooks(rest, request),
            ["api", "v1", "search", "webhooks"] => Some(self.search_webhooks(request).into()),
            ["api", "v1", "search", "entitlements"] => Some(self.search_entitlements(request).into()),
            ["api", "v1", "apps", app_id, "connectors", rest @ ..] => {
                self.connectors(app_id, rest, request).map(Answered::from)
            }
            ["api", "v1", "apps", rest @ ..] => self.apps(rest, request).map(Answered::from),
            _ => None,
        }
    }
}

/// The API.
impl ConductorOne {
    /// Makes an API key as C1 does: an Ed25519 key in the secret.
    pub fn credential(&self, name: &str) -> Credential {
        let host = self.host().to_owned();
        self.state().api.oauth.register(name, &host, true)
    }

    /// Makes an API key whose secret is sent as it is.
    pub fn plain_credential(&self, name: &str) -> Credential {
        let host = self.host().to_owned();
        self.state().api.oauth.register(name, &host, false)
    }

    /// Takes an API key away, with the tokens that were issued for it.
    pub fn withdraw_credential(&self, credential: &Credential) {
        self.state().api.oauth.withdraw(&credential.client_id);
    }

    /// Forgets all access tokens: they are answered 401 from now on.
    pub fn expire_api_tokens(&self) {
        self.state().api.oauth.expire();
    }

    /// Issues tokens that last this long from now on.
    pub fn set_api_token_lifetime(&self, lifetime: Duration) {
        self.state().api.oauth.lifetime = lifetime;
    }

    /// All access tokens and client secrets there ever were: none of them may show anywhere.
    pub fn api_secrets(&self) -> Vec<String> {
        self.state().api.oauth.secrets()
    }

    /// Lets requests whose method and path begin so go wrong the next `times` times, or for ever.
    pub fn fail_api(&self, route: &str, fault: ApiFault, times: Option<u32>) {
        self.state().api.faults.push(Fault { route: route.to_owned(), strikes: fault, left: times });
    }

    /// Ends all faults of the API.
    pub fn heal_api(&self) {
        self.state().api.faults.clear();
    }

    /// Denies requests whose method and path begin so, as to somebody without the permission.
    pub fn forbid_api(&self, route: &str) {
        self.state().api.forbidden.insert(route.to_owned());
    }

    /// Allows everything again.
    pub fn allow_api(&self) {
        self.state().api.forbidden.clear();
    }

    /// All requests to the API so far.
    pub fn api_requests(&self) -> Vec<ApiRequest> {
        self.state().api.requests.clone()
    }

    /// Adds an app with entitlements, which the connector provisions at first.
    pub fn add_app(&self, app: &App, entitlements: &[Entitlement]) {
        self.state().api.add_app(app, entitlements);
    }

    /// Adds a person's account to an app, as C1's own sync does.
    pub fn add_account(&self, app: &App, person: &crate::conductorone::Person) {
        self.state().api.add_account(app, person);
    }

    /// Adds an entitlement to an app, as C1's own sync does.
    pub fn add_entitlement(&self, app: &App, entitlement: &Entitlement) {
        self.state().api.add_app(app, std::slice::from_ref(entitlement));
    }

    /// Removes an entitlement.
    pub fn remove_entitlement(&self, id: &str) {
        self.state().api.remove_entitlement(id);
    }

    /// The provisioner's and the deprovisioner's policy of an entitlement, without what is unset.
    pub fn policies(&self, entitlement: &str) -> (Value, Value) {
        self.state().api.policies(entitlement)
    }

    /// Sets both policies of an entitlement, as somebody does in C1; `null` is none.
    pub fn set_policies(&self, entitlement: &str, provisioner: &Value, deprovisioner: &Value) {
        self.state().api.set_policies(entitlement, provisioner, deprovisioner);
    }

    /// The webhooks that are there, as (id, name, URL).
    pub fn webhooks(&self) -> Vec<(String, String, String)> {
        self.state().api.webhook_list()
    }

    /// Adds a webhook, as somebody does in C1; gives its id.
    pub fn add_webhook(&self, name: &str, url: &str) -> String {
        self.state().api.add_webhook(name, url)
    }
}

/// An error of gRPC's JSON.
fn error(status: u16, message: &str) -> Reply {
    let code = match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        429 => 8,
        _ => 13,
    };
    Reply::json(status, &json!({ "code": code, "message": message, "details": [] }))
}

/// One page of a list: 10 to 100 items, 25 when it is not said how many.
fn page(what: &str, items: &[Value], size: Option<i64>, token: Option<&str>) -> Reply {
    let size = match size.unwrap_or(0) {
        0 => 25,
        size if size < 0 => return error(400, "invalid page size"),
        size => usize::try_from(size).unwrap_or(100).clamp(10, 100),
    };
    let begin = match token.filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => {
            let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let number = text.as_deref().and_then(|text| text.strip_prefix(what)?.strip_prefix('+')?.parse().ok());
            let Some(number) = number else { return error(400, "invalid page token") };
            number
        }
    };
    let list: Vec<&Value> = items.iter().skip(begin).take(size).collect();
    let end = begin + list.len();
    let next = if end < items.len() { URL_SAFE_NO_PAD.encode(format!("{what}+{end}")) } else { String::new() };
    Reply::json(200, &json!({ "list": list, "expanded": [], "nextPageToken": next }))
}

/// The page that a request's query asks for.
fn page_of_query(what: &str, items: &[Value], request: &Request) -> Reply {
    let size = match request.param("page_size").map(|size| size.parse()) {
        None => None,
        Some(Ok(size)) => Some(size),
        Some(Err(_)) => return error(400, "invalid page size"),
    };
    page(what, items, size, request.param("page_token").as_deref())
}

/// The page that a request's body asks for.
fn page_of_body(what: &str, items: &[Value], body: &Value) -> Reply {
    page(what, items, body.get("pageSize").and_then(Value::as_i64), body.get("pageToken").and_then(Value::as_str))
}

/// Whether something's name or description has the query of a search.
fn matches(item: &Value, body: &Value) -> bool {
    let query = body.get("query").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    ["displayName", "description"]
        .iter()
        .any(|field| item.get(field).and_then(Value::as_str).unwrap_or_default().to_lowercase().contains(&query))
}
