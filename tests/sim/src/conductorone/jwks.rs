//! The tenant's key set: which keys are current, which are listed, and how the JWKS route misbehaves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::keys::{Algorithm, JwkStyle, Key};
use crate::http::Reply;

/// A way for `GET /auth/v1/jwks` to go wrong.
#[derive(Clone, Debug)]
pub enum JwksFault {
    /// Another status than 200, with a JSON error.
    Status(u16),
    /// 200 and a page of HTML.
    NotJson,
    /// 200 and JSON that is not a key set.
    NotKeys,
    /// 200 and a key set without a key.
    Empty,
    /// 200 and the right keys, followed by padding up to this many bytes.
    Huge(usize),
    /// No answer within any reasonable time.
    Hang,
    /// The connection is dropped.
    Reset,
    /// The right keys, sent as this makes an answer of them.
    SentAs(fn(&Value) -> Reply),
}

/// The key set.
#[derive(Debug)]
pub(super) struct Jwks {
    seed: u64,
    generation: u64,
    /// What each algorithm signs with now.
    current: BTreeMap<Algorithm, Key>,
    /// What the route lists, in order.
    listed: Vec<Key>,
    /// Used where a delivery does not say which algorithm.
    pub(super) preferred: Algorithm,
    pub(super) style: JwkStyle,
    /// The fault, and how often it still strikes; `None` is for ever.
    pub(super) fault: Option<(JwksFault, Option<u32>)>,
    pub(super) fetches: u32,
}

impl Jwks {
    pub(super) fn new(seed: u64) -> Self {
        let current: BTreeMap<_, _> =
            Algorithm::ALL.map(|algorithm| (algorithm, Key::derive(algorithm, seed, 0))).into();
        Self {
            seed,
            generation: 0,
            listed: current.values().cloned().collect(),
            current,
            preferred: Algorithm::EdDsa,
            style: JwkStyle::default(),
            fault: None,
            fetches: 0,
        }
    }

    /// Replaces the key of an algorithm; the old one stays listed when `keep` says so.
    pub(super) fn rotate(&mut self, algorithm: Algorithm, keep: bool) {
        self.generation += 1;
        let key = Key::derive(algorithm, self.seed, self.generation);
        if !keep {
            self.listed.retain(|listed| listed.algorithm() != algorithm);
        }
        self.listed.push(key.clone());
        self.current.insert(algorithm, key);
    }

    /// Lists only the keys of these algorithms.
    pub(super) fn list_only(&mut self, algorithms: &[Algorithm]) {
        self.listed = algorithms.iter().filter_map(|algorithm| self.current.get(algorithm).cloned()).collect();
    }

    pub(super) fn signing_key(&self, algorithm: Option<Algorithm>) -> Key {
        let algorithm = algorithm.unwrap_or(self.preferred);
        self.current.get(&algorithm).cloned().unwrap_or_else(|| Key::derive(algorithm, self.seed, self.generation))
    }

    /// Counts a fetch, and says what it is answered with.
    pub(super) fn fetch(&mut self) -> Answer {
        self.fetches += 1;
        let keys = json!({ "keys": self.listed.iter().map(|key| key.jwk(self.style)).collect::<Vec<_>>() });
        let fault = match &mut self.fault {
            None | Some((_, Some(0))) => None,
            Some((fault, None)) => Some(fault.clone()),
            Some((fault, Some(left))) => {
                *left -= 1;
                Some(fault.clone())
            }
        };
        let Some(fault) = fault else { return Answer::Now(Reply::json(200, &keys)) };
        Answer::Now(match fault {
            JwksFault::Status(status) => Reply::json(status, &json!({ "code": 13, "message": "internal error" })),
            JwksFault::NotJson => Reply::text(200, "text/html", "<!doctype html><title>Just a moment…</title>"),
            JwksFault::NotKeys => Reply::json(200, &json!({ "keys": "soon" })),
            JwksFault::Empty => Reply::json(200, &json!({ "keys": [] })),
            JwksFault::Huge(bytes) => huge(keys, bytes),
            JwksFault::Reset => Reply::Reset,
            JwksFault::Hang => return Answer::Never,
            JwksFault::SentAs(made) => made(&keys),
        })
    }
}

/// What a request comes to.
pub(super) enum Answer {
    Now(Reply),
    After(Duration, Reply),
    Never,
}

/// How long a hanging route hangs: longer than anybody waits.
pub(super) const HANG: Duration = Duration::from_mins(10);

fn huge(mut keys: Value, bytes: usize) -> Reply {
    if let Value::Object(fields) = &mut keys {
        fields.insert("padding".into(), json!("x".repeat(bytes)));
    }
    Reply::json(200, &keys)
}
