//! One authenticated request at work: what the routes' functions are given, and who is asking.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::account::{Account, Member};
use super::envelope::{Failure, failure};
use super::route::{Call, Permission};
use super::spec::Behaviour;
use crate::http::Request;

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The account: `cfat_`.
    Account,
    /// A person, with the user id: `cfut_`.
    User(String),
}

/// A token that the simulator knows.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) secret: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) status: &'static str,
    pub(super) permissions: BTreeSet<Permission>,
}

/// Members as they were before their last PUT, and for how many reads that is still shown.
pub(super) type Stale = HashMap<String, (Member, usize)>;

/// A request that was let in.
pub(super) struct Visit<'a> {
    pub(super) account: &'a mut Account,
    pub(super) behaviour: &'a Behaviour,
    pub(super) stale: &'a mut Stale,
    pub(super) call: &'a Call,
    pub(super) request: &'a Request,
    pub(super) caller: &'a Credential,
}

impl Visit<'_> {
    /// The body as a JSON object.
    pub(super) fn object(&self) -> Result<serde_json::Map<String, Value>, Failure> {
        match self.json()? {
            Value::Object(fields) => Ok(fields),
            _ => Err(failure(400, 1001, "Invalid request: the body must be a JSON object")),
        }
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        if self.request.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.request.body).map_err(|_| failure(400, 6007, "Malformed JSON in request body"))
    }

    /// The `direction` parameter: whether the list goes down.
    pub(super) fn descending(&self) -> Result<bool, Failure> {
        match self.request.param("direction").as_deref() {
            None | Some("asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(failure(400, 1001, "Invalid request: direction must be asc or desc")),
        }
    }
}
