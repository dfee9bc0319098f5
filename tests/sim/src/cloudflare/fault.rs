//! Misbehaviour on demand: which requests it strikes, what it does, and hooks that run between two requests.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::envelope::failure;
use super::limiter;
use super::route::{Call, Route, resolve};
use super::spec::Limits;
use super::{Cloudflare, lock};
use crate::http::{Reply, Request};

/// Which requests something applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Every request.
    Any,
    /// Every GET.
    Reads,
    /// Everything else.
    Writes,
    /// One route.
    Route(Route),
}

impl From<Route> for On {
    fn from(route: Route) -> Self {
        Self::Route(route)
    }
}

impl On {
    pub(super) fn covers(self, route: Route) -> bool {
        match self {
            Self::Any => true,
            Self::Reads => !route.is_write(),
            Self::Writes => route.is_write(),
            Self::Route(only) => only == route,
        }
    }
}

/// A way to go wrong. Unless wrapped by [`Fault::after`], nothing of the request is carried out (but for
/// [`Fault::TruncatedJson`] and [`Fault::Delay`], where all of it is).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The failure envelope with a status, code and message.
    Status {
        /// HTTP status.
        status: u16,
        /// Code in `errors`.
        code: u32,
        /// Message in `errors`.
        message: String,
    },
    /// 429 as the rate limiter would say it.
    TooManyRequests {
        /// The `retry-after` header, in seconds.
        retry_after: Option<u64>,
        /// Whether `Ratelimit` and `Ratelimit-Policy` are there.
        headers: bool,
    },
    /// An HTML page of the edge, such as 524 after the origin's timeout.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// The edge's RFC 9457 body.
    Problem {
        /// HTTP status.
        status: u16,
        /// Whether it claims that a retry may help.
        retryable: bool,
        /// `retry_after` in the body and the header, in seconds.
        retry_after: Option<u64>,
    },
    /// The request is carried out, and the second half of the response body is missing.
    TruncatedJson,
    /// The connection is dropped without an answer.
    Reset,
    /// No answer for this long, and then the connection is dropped.
    Hang(Duration),
    /// The ordinary answer, later by this time.
    Delay(Duration),
    /// The request is carried out, and then the answer is the inner fault.
    After(Box<Fault>),
    /// The connection is dropped at once, and the request is carried out after this time.
    Late(Duration),
    /// The connection is dropped at once, and the request is carried out when [`Cloudflare::release_held`] says so.
    Held,
}

impl Fault {
    /// A failure envelope with a status and a code that fit together.
    pub fn status(status: u16, code: u32) -> Self {
        Self::Status { status, code, message: "Simulated failure".into() }
    }

    /// The same, after the request was carried out: the outcome is unknown to the caller.
    #[must_use]
    pub fn after(self) -> Self {
        match self {
            Self::After(_) => self,
            other => Self::After(Box::new(other)),
        }
    }

    /// Which of the faults it is, for the log.
    pub fn name(&self) -> String {
        match self {
            Self::Status { status, code, .. } => format!("status {status}/{code}"),
            Self::TooManyRequests { .. } => "429".into(),
            Self::Html { status } => format!("html {status}"),
            Self::Problem { status, .. } => format!("problem {status}"),
            Self::TruncatedJson => "truncated json".into(),
            Self::Reset => "reset".into(),
            Self::Hang(_) => "hang".into(),
            Self::Delay(_) => "delay".into(),
            Self::After(inner) => format!("{} after applying", inner.name()),
            Self::Late(_) => "carried out late".into(),
            Self::Held => "held".into(),
        }
    }

    /// The reply of a fault that needs no proper one; `None` where the proper one is still wanted.
    pub(super) fn reply(&self, limits: Limits, ray: &str) -> Option<Reply> {
        Some(match self {
            Self::Status { status, code, message } => failure(*status, *code, message.clone()).reply(),
            Self::TooManyRequests { retry_after, headers } => {
                let mut reply = too_many(limits);
                if let Some(seconds) = retry_after {
                    reply = reply.with_header("retry-after", seconds.to_string());
                }
                if *headers {
                    let resets_in = retry_after.map_or(limits.block, Duration::from_secs);
                    for (name, value) in limiter::headers(limits, 0, resets_in) {
                        reply = reply.with_header(name, value);
                    }
                }
                reply
            }
            Self::Html { status } => Reply::text(
                *status,
                "text/html; charset=UTF-8",
                format!(
                    "<!DOCTYPE html>\n<html><head><title>api.cloudflare.com | {status}: error</title></head>\
                     <body><h1>Error {status}</h1><p>Ray ID: {ray}</p></body></html>"
                ),
            ),
            Self::Problem { status, retryable, retry_after } => {
                // The edge has codes of its own, of which some are the API's for something else.
                let code = match status {
                    403 => 1003,
                    status => *status,
                };
                let body = json!({
                    "type": format!("https://developers.cloudflare.com/support/troubleshooting/http-status-codes/{status}"),
                    "title": format!("Error {status}"), "status": status, "detail": "Simulated edge error.",
                    "error_code": code, "cloudflare_error": true, "retryable": retryable,
                    "retry_after": retry_after, "ray_id": ray,
                });
                let reply = Reply::text(*status, "application/problem+json", body.to_string());
                match retry_after {
                    Some(seconds) => reply.with_header("retry-after", seconds.to_string()),
                    None => reply,
                }
            }
            Self::Reset | Self::Hang(_) | Self::Late(_) | Self::Held => Reply::Reset,
            Self::After(inner) => return inner.reply(limits, ray),
            Self::TruncatedJson | Self::Delay(_) => return None,
        })
    }

    /// Whether the request is carried out in spite of it.
    pub(super) const fn applies(&self) -> bool {
        matches!(self, Self::After(_) | Self::TruncatedJson | Self::Delay(_))
    }

    /// How long it holds the answer back.
    pub(super) fn wait(&self) -> Duration {
        match self {
            Self::Hang(time) | Self::Delay(time) => *time,
            Self::After(inner) => inner.wait(),
            _ => Duration::ZERO,
        }
    }

    /// What it makes of the proper reply.
    pub(super) fn spoil(&self, proper: Reply, limits: Limits, ray: &str) -> Reply {
        let truncates = match self {
            Self::After(inner) => **inner == Self::TruncatedJson,
            other => *other == Self::TruncatedJson,
        };
        match proper {
            Reply::Response { status, headers, body } if truncates => {
                let half: Bytes = body.slice(..body.len() / 2);
                Reply::Response { status, headers, body: half }
            }
            proper => self.reply(limits, ray).unwrap_or(proper),
        }
    }
}

/// The body of a 429.
pub(super) fn too_many(limits: Limits) -> Reply {
    let message = format!(
        "More than {} requests per {} seconds reached. Please wait and consider throttling your request speed",
        limits.requests,
        limiter::seconds(limits.window)
    );
    failure(429, 10_013, message).reply()
}

/// A delay before and after a request is carried out, half each: `base` and up to `jitter` more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// What every request takes.
    pub base: Duration,
    /// The most that is added at random.
    pub jitter: Duration,
}

impl Latency {
    /// A latency without jitter.
    pub const fn of(base: Duration) -> Self {
        Self { base, jitter: Duration::ZERO }
    }
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

type Run = Box<dyn FnOnce(&Cloudflare, &Call) + Send>;

struct Hook {
    on: On,
    moment: Moment,
    page: Option<u64>,
    run: Run,
}

struct Planned {
    on: On,
    fault: Fault,
    /// How many requests are let through first.
    after: usize,
    left: usize,
    probability: f64,
}

/// What is planned to go wrong.
pub(super) struct Control {
    faults: Vec<Planned>,
    hooks: Vec<Hook>,
    latency: Latency,
    route_latency: HashMap<Route, Latency>,
    held: Vec<Request>,
    rng: fastrand::Rng,
}

impl Control {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            faults: Vec::new(),
            hooks: Vec::new(),
            latency: Latency::default(),
            route_latency: HashMap::new(),
            held: Vec::new(),
            rng: fastrand::Rng::with_seed(seed ^ 0xFA17),
        }
    }

    /// The fault that strikes a request, if one does: the first planned one that covers it and is due.
    pub(super) fn strike(&mut self, route: Route) -> Option<Fault> {
        let rng = &mut self.rng;
        let planned = self.faults.iter_mut().find_map(|planned| {
            if !planned.on.covers(route) || planned.left == 0 {
                return None;
            }
            if planned.after > 0 {
                planned.after -= 1;
                return None;
            }
            (planned.probability >= 1.0 || rng.f64() < planned.probability).then_some(planned)
        })?;
        planned.left -= 1;
        Some(planned.fault.clone())
    }

    /// How long a request takes.
    pub(super) fn latency(&mut self, route: Option<Route>) -> Duration {
        let latency = route.and_then(|route| self.route_latency.get(&route)).copied().unwrap_or(self.latency);
        latency.base + latency.jitter.mul_f64(self.rng.f64())
    }

    /// The ray id of a request.
    pub(super) fn ray(&mut self) -> String {
        format!("{:016x}", self.rng.u64(..))
    }

    fn take_hook(&mut self, moment: Moment, call: &Call) -> Option<Run> {
        let index = self.hooks.iter().position(|hook| {
            hook.moment == moment
                && hook.on.covers(call.route)
                && hook.page.is_none_or(|page| page == call.page.unwrap_or(1))
        })?;
        Some(self.hooks.remove(index).run)
    }
}

impl Cloudflare {
    /// The next `times` requests covered go wrong in this way. Plans are used up in the order they were made.
    pub fn fail_next(&self, on: impl Into<On>, times: usize, fault: Fault) {
        let planned = Planned { on: on.into(), fault, after: 0, left: times, probability: 1.0 };
        lock(&self.shared.control).faults.push(planned);
    }

    /// After `after` of the requests covered, one goes wrong in this way.
    pub fn fail_later(&self, on: impl Into<On>, after: usize, fault: Fault) {
        let planned = Planned { on: on.into(), fault, after, left: 1, probability: 1.0 };
        lock(&self.shared.control).faults.push(planned);
    }

    /// Each request covered goes wrong in this way with a probability, drawn from the account's seed.
    pub fn fail_randomly(&self, on: impl Into<On>, probability: f64, fault: Fault) {
        let planned = Planned { on: on.into(), fault, after: 0, left: usize::MAX, probability };
        lock(&self.shared.control).faults.push(planned);
    }

    /// Carries out what [`Fault::Held`] held back, in the order in which it came; how much that was.
    pub fn release_held(&self) -> usize {
        let held = std::mem::take(&mut lock(&self.shared.control).held);
        for request in &held {
            self.carry_out_unseen(request);
        }
        held.len()
    }

    /// Carries out a request whose caller has long gone.
    pub(super) fn carry_out_unseen(&self, request: &Request) {
        let resolved = resolve(request);
        let ray = lock(&self.shared.control).ray();
        lock(&self.shared.state).process(request, &resolved, &ray);
    }

    /// Keeps a request back.
    pub(super) fn hold(&self, request: Request) {
        lock(&self.shared.control).held.push(request);
    }

    /// Forgets every fault that was planned.
    pub fn clear_faults(&self) {
        lock(&self.shared.control).faults.clear();
    }

    /// Every request takes this long, but for routes with a latency of their own.
    pub fn set_latency(&self, latency: Latency) {
        lock(&self.shared.control).latency = latency;
    }

    /// Requests on one route take this long.
    pub fn set_route_latency(&self, route: Route, latency: Latency) {
        lock(&self.shared.control).route_latency.insert(route, latency);
    }

    /// Runs once, just before the next request covered is carried out.
    pub fn before_next(&self, on: impl Into<On>, run: impl FnOnce(&Self, &Call) + Send + 'static) {
        self.hook(on.into(), Moment::Before, None, Box::new(run));
    }

    /// Runs once, just after the next request covered was carried out and before it is answered.
    pub fn after_next(&self, on: impl Into<On>, run: impl FnOnce(&Self, &Call) + Send + 'static) {
        self.hook(on.into(), Moment::After, None, Box::new(run));
    }

    /// Runs once, after this page of a list was read and before anybody has it: between it and the next page.
    pub fn after_page(&self, route: Route, page: u64, run: impl FnOnce(&Self, &Call) + Send + 'static) {
        self.hook(On::Route(route), Moment::After, Some(page), Box::new(run));
    }

    /// Runs once, between whatever was read of a member and the next PUT of one: the foreign writer. It is given the
    /// member's id.
    pub fn before_next_put(&self, run: impl FnOnce(&Self, &str) + Send + 'static) {
        self.before_next(Route::UpdateMember, move |cloudflare, call| run(cloudflare, call.id(0)));
    }

    fn hook(&self, on: On, moment: Moment, page: Option<u64>, run: Run) {
        lock(&self.shared.control).hooks.push(Hook { on, moment, page, run });
    }

    pub(super) fn run_hooks_before(&self, call: &Call) {
        self.run_hook(Moment::Before, call);
    }

    pub(super) fn run_hooks_after(&self, call: &Call) {
        self.run_hook(Moment::After, call);
    }

    fn run_hook(&self, moment: Moment, call: &Call) {
        // The lock is given back before the hook runs, which may plan more.
        let run = lock(&self.shared.control).take_hook(moment, call);
        if let Some(run) = run {
            run(self, call);
        }
    }
}
