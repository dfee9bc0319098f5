//! Where all outgoing requests of the Worker end up: each is given to the simulator that stands for its host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::{Handler, Reply, ReplyFuture, Request};

/// The status for a host that no simulator stands for; no real server sends it.
pub const UNKNOWN_HOST: u16 = 599;

/// One outgoing request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The method.
    pub method: String,
    /// The host it was meant for.
    pub host: String,
    /// The path as on the wire.
    pub path: String,
    /// The query as on the wire.
    pub query: String,
}

impl std::fmt::Display for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.query.is_empty() { "" } else { "?" };
        write!(f, "{} {}{}{separator}{}", self.method, self.host, self.path, self.query)
    }
}

#[derive(Default)]
struct State {
    handlers: HashMap<String, Arc<dyn Handler>>,
    down: HashMap<String, u32>,
    requests: Vec<Outgoing>,
    unknown: Vec<Outgoing>,
}

/// The gateway. Clones are handles to the same one.
#[derive(Clone, Default)]
pub struct Gateway {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        let mut hosts: Vec<_> = state.handlers.keys().collect();
        hosts.sort();
        f.debug_struct("Gateway").field("hosts", &hosts).field("requests", &state.requests.len()).finish()
    }
}

impl Gateway {
    /// A gateway to nowhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// This gateway as something that a server can serve.
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(self.clone())
    }

    /// Gives the requests for a host to this simulator from now on.
    pub fn route(&self, host: &str, handler: Arc<dyn Handler>) {
        self.state().handlers.insert(host.to_owned(), handler);
    }

    /// Drops the connections of the next `times` requests for a host.
    pub fn cut(&self, host: &str, times: u32) {
        self.state().down.insert(host.to_owned(), times);
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Outgoing> {
        self.state().requests.clone()
    }

    /// How many requests there were for a host so far.
    pub fn count(&self, host: &str) -> usize {
        self.state().requests.iter().filter(|request| request.host == host).count()
    }

    /// Forgets all requests so far.
    pub fn forget_requests(&self) {
        let mut state = self.state();
        state.requests.clear();
        state.unknown.clear();
    }

    /// The requests for hosts that no simulator stands for: there should be none.
    pub fn unknown(&self) -> Vec<Outgoing> {
        self.state().unknown.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, request: &Request) -> Result<Arc<dyn Handler>, Reply> {
        let outgoing = Outgoing {
            method: request.method.clone(),
            host: request.host().to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
        };
        let mut state = self.state();
        state.requests.push(outgoing.clone());
        if let Some(left) = state.down.get_mut(&outgoing.host).filter(|left| **left > 0) {
            *left -= 1;
            return Err(Reply::Reset);
        }
        if let Some(handler) = state.handlers.get(&outgoing.host) {
            return Ok(Arc::clone(handler));
        }
        let message = format!("no simulator stands for {}", outgoing.host);
        state.unknown.push(outgoing);
        Err(Reply::text(UNKNOWN_HOST, "text/plain", message))
    }
}

impl Handler for Gateway {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move {
            match self.find(&request) {
                Ok(handler) => handler.handle(request).await,
                Err(reply) => reply,
            }
        })
    }
}
