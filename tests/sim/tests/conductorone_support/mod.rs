//! A webhook receiver that answers from a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sim::http::{Handler, Reply, ReplyFuture, Request, Server};

/// What the receiver does next.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// It answers this.
    Answer(u16, &'static str),
    /// It drops the connection.
    Reset,
    /// It answers too late.
    Late,
}

#[derive(Default)]
struct Script {
    acts: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<Request>>,
}

impl Handler for Script {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        self.requests.lock().unwrap().push(request);
        let act = self.acts.lock().unwrap().pop_front();
        Box::pin(async move {
            match act {
                None => Reply::json(200, &json!({ "version": "v1" })),
                Some(Act::Answer(status, body)) => Reply::text(status, "application/json", body),
                Some(Act::Reset) => Reply::Reset,
                Some(Act::Late) => {
                    tokio::time::sleep(Duration::from_hours(1)).await;
                    Reply::Reset
                }
            }
        })
    }
}

/// A running receiver. When the script is over it answers `{"version":"v1"}`.
pub(crate) struct Receiver {
    script: Arc<Script>,
    server: Server,
}

impl Receiver {
    pub(crate) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let script = Arc::new(Script { acts: Mutex::new(acts.into_iter().collect()), ..Script::default() });
        let handler: Arc<dyn Handler> = script.clone();
        Self { script, server: Server::start(0, handler).await.unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }
}
