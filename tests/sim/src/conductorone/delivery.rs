//! One webhook as C1 sends it (`reference/conductorone.md` 1.2), with whatever a test wants to be wrong about it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::token::Token;
use super::{ConductorOne, callback};

/// A webhook to be delivered. The same value delivered again is the same webhook delivered again.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event's name, such as `c1.webhooks.v1.PayloadTest`.
    pub event: String,
    /// The webhook's id.
    pub webhook_id: String,
    /// Where a later answer goes.
    pub callback_url: String,
    /// The payload with its `@type`.
    pub payload: Value,
    url: String,
    token: Token,
    signed_body: Option<Bytes>,
    sent_body: Option<Bytes>,
    headers: Vec<(String, Option<String>)>,
}

impl Delivery {
    pub(super) fn new(tenant: &ConductorOne, event: &str, payload: Value) -> Self {
        let mut payload = payload;
        if let Value::Object(fields) = &mut payload {
            fields.insert("@type".into(), json!(format!("type.googleapis.com/{event}")));
        }
        Self {
            event: event.to_owned(),
            webhook_id: tenant.webhook_id(),
            callback_url: tenant.open_callback(event),
            payload,
            url: tenant.webhook_url(),
            token: Token::new(),
            signed_body: None,
            sent_body: None,
            headers: Vec::new(),
        }
    }

    /// With this token instead of a good one.
    #[must_use]
    pub fn token(self, token: Token) -> Self {
        Self { token, ..self }
    }

    /// Signed for a webhook at another URL than the tenant's.
    #[must_use]
    pub fn signed_for(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// With these bytes as the body, signed as such: properly authenticated nonsense.
    #[must_use]
    pub fn with_body(self, body: impl Into<Bytes>) -> Self {
        Self { signed_body: Some(body.into()), ..self }
    }

    /// With these bytes sent in place of the signed ones.
    #[must_use]
    pub fn tampered(self, body: impl Into<Bytes>) -> Self {
        Self { sent_body: Some(body.into()), ..self }
    }

    /// With another value of a header, named in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Without a header, named in lower case.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// The envelope (`c1.webhooks.v1.Body`).
    pub fn envelope(&self) -> Value {
        json!({
            "version": "v1",
            "webhookId": self.webhook_id,
            "callbackUrl": self.callback_url,
            "event": self.event,
            "payload": self.payload,
        })
    }

    /// The callback URL's last segment.
    pub(super) fn callback_token(&self) -> &str {
        self.callback_url.rsplit_once(callback::PREFIX).map_or("", |(_, token)| token)
    }

    /// The path, and the query where there is one, that the webhook is sent to.
    pub fn path(&self) -> &str {
        let after_scheme = self.url.find("//").map_or(0, |at| at + 2);
        self.url.get(after_scheme..).and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..))).unwrap_or("/")
    }

    /// Headers and body of one attempt, with a token of its own.
    pub fn attempt(&self, tenant: &ConductorOne) -> (Vec<(String, String)>, Bytes) {
        let signed = self.signed_body.clone().unwrap_or_else(|| self.envelope().to_string().into());
        let token = self.token.mint(tenant, &self.url, &signed);
        let mut headers: Vec<(String, String)> = [
            ("authorization", format!("bearer {token}")),
            ("content-digest", format!("sha-256={}", STANDARD.encode(Sha256::digest(&signed)))),
            ("content-type", "application/json".into()),
            ("webhook-version", "v1".into()),
            ("webhook-id", self.webhook_id.clone()),
            ("webhook-event", self.event.clone()),
            ("webhook-callback-url", self.callback_url.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (name, value) in &self.headers {
            headers.retain(|(own, _)| own != name);
            headers.extend(value.iter().map(|value| (name.clone(), value.clone())));
        }
        (headers, self.sent_body.clone().unwrap_or(signed))
    }
}
