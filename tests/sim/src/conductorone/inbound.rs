//! Incoming webhooks: events that others tell the tenant of, each taken once (`reference/conductorone.md` 8.1).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::token::hmac_sha256;
use crate::http::{Reply, Request};

/// The path under which events are received; the listener's id follows.
pub(super) const PREFIX: &str = "/api/v1/webhooks/incoming/";

/// An event has at most this many bytes.
const MAX_BYTES: usize = 64 * 1024;

/// A timestamp may be off by this much.
const TOLERANCE_SECS: i64 = 5 * 60;

/// A token is valid for at most this long.
const TOKEN_SECS: i64 = 10 * 60;

/// How a listener knows who sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// By an HMAC with this secret.
    Hmac(String),
    /// By a JWT of a key in this set, which the sender hosts.
    Jwt(Value),
    /// By this token at the end of the URL.
    Capability(String),
}

/// A way for a listener to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundFault {
    /// This status, and the event is not taken.
    Refused(u16),
    /// The event is taken, and then this status is sent all the same.
    TakenButFailed(u16),
    /// The connection is dropped, and the event is not taken.
    Reset,
}

/// One request to a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundRequest {
    /// What it was answered with; 0 is a dropped connection.
    pub status: u16,
    /// The event's id.
    pub event_id: String,
    /// The body as it came.
    pub body: String,
    /// Why it was refused, when it was.
    pub refused: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// The one listener: its id, and how it knows who sends.
    pub(super) listener: Option<(String, Proof)>,
    pub(super) requests: Vec<InboundRequest>,
    /// The events that were taken, in order.
    pub(super) events: Vec<Value>,
    seen: HashSet<String>,
    /// The fault, and how often it still strikes.
    pub(super) fault: Option<(InboundFault, u32)>,
}

impl Inbound {
    /// Takes a request to `path` at the second that is `now`; `base_url` is the tenant's.
    pub(super) fn receive(&mut self, base_url: &str, now: i64, request: &Request) -> Reply {
        let fault = match &mut self.fault {
            Some((fault, left)) if *left > 0 => {
                *left -= 1;
                Some(*fault)
            }
            _ => None,
        };
        let (status, refused) = match fault {
            Some(InboundFault::Reset) => (0, None),
            Some(InboundFault::Refused(status)) => (status, None),
            Some(InboundFault::TakenButFailed(_)) | None => match self.take(base_url, now, request) {
                Ok(()) => match fault {
                    Some(InboundFault::TakenButFailed(status)) => (status, None),
                    _ => (200, None),
                },
                Err((status, why)) => (status, Some(why)),
            },
        };
        self.requests.push(InboundRequest {
            status,
            event_id: request.header("webhook-event-id").unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            refused: refused.clone(),
        });
        match status {
            0 => Reply::Reset,
            200 => Reply::json(200, &json!({})),
            _ => Reply::json(status, &json!({ "code": 3, "message": refused, "details": [] })),
        }
    }

    fn take(&mut self, base_url: &str, now: i64, request: &Request) -> Result<(), (u16, String)> {
        let refuse = |status: u16, why: &str| Err((status, why.to_owned()));
        let rest = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let (id, token) = rest.split_once("/t/").map_or((rest, None), |(id, token)| (id, Some(token)));
        let Some((_, proof)) = self.listener.as_ref().filter(|(known, _)| known == id) else {
            return refuse(404, "no such listener");
        };
        if request.body.len() > MAX_BYTES {
            return refuse(413, "the body is longer than 64 KB");
        }
        if request.header("content-type") != Some("application/json") {
            return refuse(400, "the content type is not application/json");
        }
        let Some(event_id) = request.header("webhook-event-id").filter(|id| is_uuid(id)) else {
            return refuse(400, "Webhook-Event-Id is not a version 4 UUID");
        };
        let timestamp = request.header("webhook-timestamp").unwrap_or_default();
        let is_off = |at: i64| (now - at).abs() > TOLERANCE_SECS;
        if timestamp.parse().ok().is_none_or(is_off) {
            return refuse(401, "Webhook-Timestamp is more than five minutes off");
        }
        let url = format!("{base_url}{}", request.path);
        match (proof, token) {
            (Proof::Capability(expected), Some(token)) if expected == token => {}
            (Proof::Capability(_), _) | (_, Some(_)) => return refuse(401, "the URL is not the capability"),
            (Proof::Hmac(secret), None) => {
                let message = [timestamp.as_bytes(), b".", event_id.as_bytes(), b".", request.body.as_ref()].concat();
                let expected = URL_SAFE_NO_PAD.encode(hmac_sha256(secret.as_bytes(), &message));
                if request.header("webhook-signature") != Some(expected.as_str()) {
                    return refuse(401, "Webhook-Signature is wrong");
                }
            }
            (Proof::Jwt(keys), None) => {
                if let Err(why) = check_token(keys, base_url, &url, event_id, now, request) {
                    return refuse(401, &why);
                }
            }
        }
        let Value::Object(event) = request.json() else { return refuse(400, "the body is not a JSON object") };
        if !self.seen.insert(event_id.to_owned()) {
            return refuse(409, "the event was taken before");
        }
        self.events.push(Value::Object(event));
        Ok(())
    }
}

fn is_uuid(id: &str) -> bool {
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    let hex = id.chars().all(|c| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c));
    lengths == [8, 4, 4, 4, 12]
        && hex
        && id.chars().nth(14) == Some('4')
        && matches!(id.chars().nth(19), Some('8' | '9' | 'a' | 'b'))
}

fn check_token(
    keys: &Value,
    base_url: &str,
    url: &str,
    event_id: &str,
    now: i64,
    request: &Request,
) -> Result<(), String> {
    let authorization = request.header("authorization").unwrap_or_default();
    let token = authorization.strip_prefix("Bearer ").ok_or("there is no bearer token")?;
    let (message, signature) = token.rsplit_once('.').ok_or("not a JWT")?;
    let (header, claims) = message.split_once('.').ok_or("not a JWT")?;
    let part = |text: &str| -> Result<Value, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    };
    let (header, claims) = (part(header)?, part(claims)?);
    if header.get("alg") != Some(&json!("EdDSA")) {
        return Err("alg is not EdDSA".into());
    }
    let listed = keys.get("keys").and_then(Value::as_array).ok_or("the key set has no keys")?;
    let key = listed
        .iter()
        .find(|key| key.get("kid") == header.get("kid") && key.get("crv") == Some(&json!("Ed25519")))
        .ok_or("the key set does not have the token's key")?;
    let x = key.get("x").and_then(Value::as_str).and_then(|x| URL_SAFE_NO_PAD.decode(x).ok()).unwrap_or_default();
    let key = VerifyingKey::from_bytes(&x.try_into().map_err(|_| "not an Ed25519 key")?)
        .map_err(|error| error.to_string())?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|error| error.to_string())?;
    let signature = Signature::from_slice(&signature).map_err(|error| error.to_string())?;
    key.verify_strict(message.as_bytes(), &signature).map_err(|_| "the signature is wrong")?;
    for (name, expected) in [
        ("sub", json!(base_url)),
        ("aud", json!(url)),
        ("jti", json!(event_id)),
        ("htm", json!("POST")),
        ("htb_s256", json!(URL_SAFE_NO_PAD.encode(Sha256::digest(&request.body)))),
    ] {
        if claims.get(name) != Some(&expected) {
            return Err(format!("{name} is not {expected}"));
        }
    }
    let expires = claims.get("exp").and_then(Value::as_i64).unwrap_or_default();
    if expires <= now || expires > now + TOKEN_SECS {
        return Err("exp is not within ten minutes".into());
    }
    Ok(())
}
