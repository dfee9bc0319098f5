//! Callback URLs: each takes one answer, once (`reference/conductorone.md` 1.4).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{id, response};
use crate::http::{Reply, Request};

/// The path under which callbacks are received; the token follows.
pub(super) const PREFIX: &str = "/api/v1/webhooks/callback/";

/// A way for the callback route to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackFault {
    /// This status, and the answer is not kept.
    Refused(u16),
    /// The answer is kept, and then this status is sent all the same.
    KeptButFailed(u16),
    /// The connection is dropped, and the answer is not kept.
    Reset,
}

/// One POST to a callback URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackPost {
    /// The URL's last segment.
    pub token: String,
    /// What it was answered with; 0 is a dropped connection.
    pub status: u16,
    /// The body, `null` when it was not JSON.
    pub body: Value,
    /// Why the body was not taken, when it was not for its own sake.
    pub refused: Option<String>,
}

#[derive(Debug)]
struct Callback {
    event: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    Answered(Value),
    Closed,
}

/// All callbacks of the tenant.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    all: HashMap<String, Callback>,
    pub(super) posts: Vec<CallbackPost>,
    /// The fault, and how often it still strikes.
    pub(super) fault: Option<(CallbackFault, u32)>,
}

impl Callbacks {
    /// Opens a callback for an event and gives its token.
    pub(super) fn open(&mut self, event: &str) -> String {
        // C1's tokens are long, opaque and made of letters and digits.
        let token = format!("Chs{}{}{}", id::fresh(), id::fresh(), id::fresh());
        self.all.insert(token.clone(), Callback { event: event.to_owned(), state: State::Open });
        token
    }

    /// Closes a callback: its time is over, or the webhook was answered.
    pub(super) fn close(&mut self, token: &str) {
        if let Some(callback) = self.all.get_mut(token)
            && matches!(callback.state, State::Open)
        {
            callback.state = State::Closed;
        }
    }

    /// What a callback was answered with.
    pub(super) fn answer(&self, token: &str) -> Option<Value> {
        match &self.all.get(token)?.state {
            State::Answered(document) => Some(document.clone()),
            State::Open | State::Closed => None,
        }
    }

    /// Takes a POST to the callback URL that ends in `token`.
    pub(super) fn receive(&mut self, token: &str, request: &Request) -> Reply {
        let (reply, status, refused) = self.decide(token, request);
        self.posts.push(CallbackPost { token: token.to_owned(), status, body: request.json(), refused });
        reply
    }

    fn decide(&mut self, token: &str, request: &Request) -> (Reply, u16, Option<String>) {
        let fault = match &mut self.fault {
            Some((fault, left)) if *left > 0 => {
                *left -= 1;
                Some(*fault)
            }
            _ => None,
        };
        match fault {
            Some(CallbackFault::Reset) => return (Reply::Reset, 0, None),
            Some(CallbackFault::Refused(status)) => return (error(status, "try again"), status, None),
            Some(CallbackFault::KeptButFailed(_)) | None => {}
        }
        if let Err(why) = self.take(token, request) {
            return (error(400, &why), 400, Some(why));
        }
        match fault {
            Some(CallbackFault::KeptButFailed(status)) => (error(status, "try again"), status, None),
            _ => (Reply::json(200, &json!({})), 200, None),
        }
    }

    fn take(&mut self, token: &str, request: &Request) -> Result<(), String> {
        let callback = self.all.get_mut(token).ok_or("no such callback")?;
        if !matches!(callback.state, State::Open) {
            return Err("the callback was answered, or has expired".into());
        }
        let content_type = request.header("content-type").unwrap_or_default();
        if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
            return Err(format!("content type {content_type:?}"));
        }
        let document = response::parse(&callback.event, &request.body).map_err(|error| error.to_string())?;
        callback.state = State::Answered(document);
        Ok(())
    }
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "code": 3, "message": message, "details": [] }))
}
