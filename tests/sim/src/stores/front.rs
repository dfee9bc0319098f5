//! What stands before a store: it remembers each request, and goes wrong where a test says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::http::{Handler, Reply, ReplyFuture, Request};

/// A way to go wrong.
#[derive(Clone, Debug)]
pub enum StoreFault {
    /// This answer, and nothing is done.
    Reply(Reply),
    /// It is done, and then the connection is dropped.
    DoneButReset,
    /// It is held up until it is released, and then done.
    Hold,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method, the path and the query, such as `PUT /bucket/key?partNumber=1`, without the query of a SAS.
    pub route: String,
    /// How long its body was.
    pub length: usize,
    /// What it was answered with; 0 is a dropped connection.
    pub status: u16,
}

#[derive(Default)]
struct State {
    faults: Vec<(String, StoreFault, u32)>,
    seen: Vec<Seen>,
}

#[derive(Default)]
struct Holding {
    /// How many were held up so far.
    held: watch::Sender<usize>,
    /// How often all that were held up were released.
    released: watch::Sender<usize>,
}

/// The front of a store. Clones are handles to the same one.
#[derive(Clone)]
pub struct Front {
    store: Arc<dyn Handler>,
    state: Arc<Mutex<State>>,
    holding: Arc<Holding>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("seen", &self.state().seen).finish_non_exhaustive()
    }
}

impl Front {
    /// A front that lets everything through.
    pub fn new(store: Arc<dyn Handler>) -> Self {
        Self { store, state: Arc::default(), holding: Arc::default() }
    }

    /// This front as something that a gateway can route to.
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(self.clone())
    }

    /// Lets requests in whose route there is this text go wrong the next `times` times.
    pub fn fail(&self, text: &str, fault: StoreFault, times: u32) {
        self.state().faults.push((text.to_owned(), fault, times));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Waits until this many requests were held up, ever; says whether they were within this time.
    pub async fn until_held(&self, count: usize, patience: Duration) -> bool {
        let mut held = self.holding.held.subscribe();
        matches!(tokio::time::timeout(patience, held.wait_for(|held| *held >= count)).await, Ok(Ok(_)))
    }

    /// Lets go of the requests that are held up.
    pub fn release(&self) {
        self.holding.released.send_modify(|times| *times += 1);
    }

    /// All requests so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// How many requests so far had this text in their route and went well.
    pub fn count(&self, text: &str) -> usize {
        let state = self.state();
        state.seen.iter().filter(|seen| seen.route.contains(text) && (200..300).contains(&seen.status)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, route: &str) -> Option<StoreFault> {
        let mut state = self.state();
        let (_, fault, left) = state.faults.iter_mut().find(|(text, _, left)| route.contains(text) && *left > 0)?;
        *left -= 1;
        Some(fault.clone())
    }
}

impl Handler for Front {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move {
            let params = request.query.split('&').filter(|param| !param.is_empty());
            let shown: Vec<&str> = params.filter(|param| !is_sas(param)).collect();
            let separator = if shown.is_empty() { "" } else { "?" };
            let route = format!("{} {}{separator}{}", request.method, request.path, shown.join("&"));
            let length = request.body.len();
            let note = |status| self.state().seen.push(Seen { route: route.clone(), length, status });
            let fault = self.fault(&route);
            let reply = match fault {
                Some(StoreFault::Reply(reply)) => reply,
                Some(StoreFault::Hold) => {
                    let mut released = self.holding.released.subscribe();
                    released.mark_unchanged();
                    self.holding.held.send_modify(|held| *held += 1);
                    let _ = released.changed().await;
                    Arc::clone(&self.store).handle(request).await
                }
                Some(StoreFault::DoneButReset) => {
                    Arc::clone(&self.store).handle(request).await;
                    Reply::Reset
                }
                None => Arc::clone(&self.store).handle(request).await,
            };
            note(match &reply {
                Reply::Response { status, .. } => *status,
                Reply::Reset => 0,
            });
            reply
        })
    }
}

/// A parameter of a shared access signature.
fn is_sas(param: &str) -> bool {
    ["sv", "st", "se", "sr", "sp", "spr", "sig", "ss", "srt"].contains(&param.split('=').next().unwrap_or_default())
}
