//! A Zero Trust team: its keys as Cloudflare Access serves them, and the tokens that it sends with whoever it let in.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sim::conductorone::{Algorithm, JwkStyle, Key};
use sim::http::{Handler, Reply, ReplyFuture, Request};

/// The team's host.
pub(crate) const TEAM: &str = "acme.cloudflareaccess.com";

/// The audience tag of the application in front of `/session/access`.
pub(crate) const AUDIENCE: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";

/// The team. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Team(Arc<Mutex<Vec<Key>>>);

impl Team {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(vec![Key::derive(Algorithm::Rs256, 7, 0)])))
    }

    /// The newest key.
    pub(crate) fn key(&self) -> Key {
        self.0.lock().unwrap().last().unwrap().clone()
    }

    /// A new key signs from now on; the one before is listed beside it for a while, and then no more.
    pub(crate) fn rotate(&self, keeps_the_one_before: bool) {
        let mut keys = self.0.lock().unwrap();
        let next = Key::derive(Algorithm::Rs256, 7, 1);
        if !keeps_the_one_before {
            keys.clear();
        }
        keys.push(next);
    }
}

impl Handler for Team {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        let keys: Vec<Value> =
            self.0.lock().unwrap().iter().map(|key| key.jwk(JwkStyle { kid: true, ..JwkStyle::default() })).collect();
        let reply = match request.path.as_str() {
            "/cdn-cgi/access/certs" => Reply::json(200, &json!({ "keys": keys, "public_certs": [] })),
            _ => Reply::text(404, "text/plain", "not found"),
        };
        Box::pin(async move { reply })
    }
}

/// The claims of a token for a person, which is good from `now` for a quarter of an hour.
pub(crate) fn claims(email: &str, now: i64) -> Value {
    json!({
        "aud": [AUDIENCE], "email": email, "iss": format!("https://{TEAM}"), "type": "app", "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
        "identity_nonce": "6ei69kawdKzMIAPF", "country": "US", "iat": now, "nbf": now, "exp": now + 900,
    })
}

/// The token, signed by a key.
pub(crate) fn token(key: &Key, claims: &Value) -> String {
    let header = json!({ "alg": key.algorithm().name(), "kid": key.kid, "typ": "JWT" });
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
