//! What was asked and answered: counts per route, requests in flight, and a bounded log of exchanges.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::route::Route;
use super::{Cloudflare, lock};

/// The most exchanges that are kept.
const MAX_EXCHANGES: usize = 20_000;

/// The most bytes of bodies that are kept: 64 MiB, some 400 pages of 50 members.
const MAX_BYTES: usize = 64 << 20;

/// Under what requests are counted that no route answers.
pub const UNEXPECTED: &str = "unexpected";

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The route, where there is one.
    pub route: Option<Route>,
    /// The method.
    pub method: String,
    /// The path on the wire.
    pub path: String,
    /// The query on the wire, without `?`.
    pub query: String,
    /// Request headers, names in lower case.
    pub request_headers: Vec<(String, String)>,
    /// The request body.
    pub request_body: Bytes,
    /// The HTTP status; `None` where the connection was dropped.
    pub status: Option<u16>,
    /// Response headers, names in lower case.
    pub response_headers: Vec<(String, String)>,
    /// The response body.
    pub response_body: Bytes,
    /// Whether it changed the account.
    pub applied: bool,
    /// The fault that struck it, by name.
    pub fault: Option<String>,
    /// When it came in, since the simulator began.
    pub started: Duration,
    /// When it was answered, since the simulator began.
    pub finished: Duration,
}

impl Exchange {
    /// The first value of a request header; `name` in lower case.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        first(&self.request_headers, name)
    }

    /// The first value of a response header; `name` in lower case.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        first(&self.response_headers, name)
    }

    /// The request body as JSON, `null` where it is none.
    pub fn request_json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.request_body).unwrap_or_default()
    }

    /// The response body as JSON, `null` where it is none.
    pub fn response_json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.response_body).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        self.request_body.len() + self.response_body.len()
    }
}

fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct Log {
    exchanges: VecDeque<Exchange>,
    bytes: usize,
    counts: BTreeMap<&'static str, usize>,
    in_flight: usize,
    most_in_flight: usize,
}

impl Log {
    /// A request came in.
    pub(super) fn begin(&mut self, route: Option<Route>) {
        *self.counts.entry(route.map_or(UNEXPECTED, Route::template)).or_default() += 1;
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
    }

    /// A request was answered. The oldest exchanges make room.
    pub(super) fn end(&mut self, exchange: Exchange) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes += exchange.bytes();
        self.exchanges.push_back(exchange);
        while self.exchanges.len() > MAX_EXCHANGES || (self.bytes > MAX_BYTES && self.exchanges.len() > 1) {
            let Some(oldest) = self.exchanges.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

impl Cloudflare {
    /// How many requests there were on a route since the last reset.
    pub fn requests(&self, route: Route) -> usize {
        lock(&self.shared.log).counts.get(route.template()).copied().unwrap_or(0)
    }

    /// How many requests there were in all since the last reset.
    pub fn total_requests(&self) -> usize {
        lock(&self.shared.log).counts.values().sum()
    }

    /// Requests per route template since the last reset; those that no route answers under [`UNEXPECTED`].
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.log).counts.clone()
    }

    /// The most requests that were in flight at once since the last reset.
    pub fn most_in_flight(&self) -> usize {
        lock(&self.shared.log).most_in_flight
    }

    /// The exchanges since the last reset, in the order of their answers; the oldest may have made room.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.log).exchanges.iter().cloned().collect()
    }

    /// The exchanges that no route answered: unknown paths and wrong methods.
    pub fn unexpected(&self) -> Vec<Exchange> {
        lock(&self.shared.log).exchanges.iter().filter(|exchange| exchange.route.is_none()).cloned().collect()
    }

    /// Forgets counts and exchanges. Requests in flight stay counted as such.
    pub fn reset_log(&self) {
        let mut log = lock(&self.shared.log);
        let in_flight = log.in_flight;
        *log = Log { in_flight, most_in_flight: in_flight, ..Log::default() };
    }
}
