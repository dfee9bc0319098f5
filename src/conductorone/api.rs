//! Calls ConductorOne's API: a token by client credentials, requests with it, and errors that say what to do
//! (`reference/conductorone.md` 8.2). The calls themselves are in [`webhooks`](super::webhooks) and [`apps`](super::apps).

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::credentials::{Credentials, Proof};
use super::settings::Settings;
use crate::base::hash;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::object::object_of;
use crate::base::ports::{Clock, Http, HttpError, HttpRequest, HttpResponse, Method, Secret};
use crate::base::ports::{Sign, SignError};
use crate::base::remedy::SET_SECRET;
use crate::base::signing::{SigningKey, jwt};
use crate::base::time::Timestamp;
use crate::base::url::Url;

/// The access token, kept in memory alone: never on disk, in KV or in a log.
#[derive(Debug, Default)]
pub struct Tokens {
    current: RefCell<Option<Token>>,
    /// How many assertions were signed: no two have the same id.
    signed: Cell<u64>,
}

#[derive(Clone, Debug)]
struct Token {
    /// Of which client, and where: a configuration that changed needs another token.
    of: (String, String),
    text: Secret,
    usable_until: Timestamp,
}

/// Why C1 did not do what it was asked. Each message says what to do; none carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// There are no credentials.
    #[error(
        "C1_CLIENT_ID and C1_CLIENT_SECRET are not set: make an API key in ConductorOne and set both {SET_SECRET}C1_CLIENT_ID, and C1_CLIENT_SECRET", SET_SECRET = SET_SECRET
    )]
    NotConfigured,
    /// The token endpoint refused the credentials.
    #[error("ConductorOne refused C1_CLIENT_ID and C1_CLIENT_SECRET ({said}): {advice}")]
    Credentials {
        /// What C1 said.
        said: String,
        /// What to do.
        advice: String,
    },
    /// A fresh token was refused as well.
    #[error(
        "ConductorOne does not accept the access token that it has just issued ({0}): check that C1_URL and C1_TENANT are of one tenant"
    )]
    Unauthorized(String),
    /// The credential may not do this.
    #[error(
        "the API key may not {what} ({said}): in ConductorOne give its user the role that allows it, or make a key of somebody who may"
    )]
    Forbidden {
        /// What was attempted, such as `list webhooks`.
        what: &'static str,
        /// What C1 said.
        said: String,
    },
    /// There is no such thing, or the key does not see it.
    #[error("ConductorOne does not know it, or the API key may not see it ({what}: {said})")]
    NotFound {
        /// What was attempted.
        what: &'static str,
        /// What C1 said.
        said: String,
    },
    /// Too many requests.
    #[error("ConductorOne limits the rate of requests; it takes them again at {0}")]
    RateLimited(Timestamp),
    /// Any other refusal.
    #[error("ConductorOne refused to {what}: {status}, {said}")]
    Refused {
        /// What was attempted.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// What C1 said.
        said: String,
    },
    /// C1 is in trouble.
    #[error("ConductorOne answered {0}: try again; if it lasts, see its status page")]
    Unavailable(u16),
    /// C1 could not be reached.
    #[error("the tenant {host} does not answer ({error}): check C1_TENANT, and C1_URL where it is set")]
    Unreachable {
        /// Where C1 was looked for.
        host: String,
        /// What went wrong.
        error: HttpError,
    },
    /// The answer is not what C1's description of its API says.
    #[error("ConductorOne's answer to {what} cannot be read: {why}")]
    Malformed {
        /// What was attempted.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The assertion could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl ApiError {
    /// When trying again may help: at once where this is now, and never where it is nothing.
    pub fn retry_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::RateLimited(at) => Some(*at),
            Self::Unavailable(_) | Self::Unreachable { .. } => Some(now),
            _ => None,
        }
    }

    /// Whether it is sure that nothing was done. What was given up on by either side (408, and gRPC's 499), or by what stands between, may
    /// have been done all the same.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status >= 400 && !matches!(*status, 408 | 499),
            Self::Unavailable(_) | Self::Unreachable { .. } | Self::Malformed { .. } => false,
            Self::NotConfigured
            | Self::Credentials { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::RateLimited(_)
            | Self::Sign(_) => true,
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// What this is, as it reads after "may not": `list webhooks`.
    pub what: &'static str,
    /// The method.
    pub method: Method,
    /// Beneath the tenant's URL, beginning with a slash; see [`path`].
    pub path: String,
    /// The body.
    pub body: Option<&'a Value>,
}

/// A path of which each segment is one value, percent-encoded.
pub fn path(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |path, segment| {
        let encoded: String = form_urlencoded::byte_serialize(segment.as_bytes()).collect();
        // Spaces are `+` in a form and would be a plus in a path.
        format!("{path}/{}", encoded.replace('+', "%20"))
    })
}

/// C1's API as the configured client.
#[derive(Debug)]
pub struct Client<'a, P> {
    ports: &'a P,
    settings: &'a Settings,
    credentials: &'a Credentials,
    tokens: &'a Tokens,
}

/// How long an exchange may take.
const TIMEOUT_MILLIS: u32 = 20_000;

/// 100 entitlements with everything that belongs to them are some 500 KB.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// A token is a few KB.
const MAX_TOKEN_BODY: usize = 64 * 1024;

/// A token is renewed when it has this much left: longer than a request takes.
const RENEW_BEFORE_SECS: i64 = 60;

/// A token that does not say how long it lasts is taken to last this long, and none is kept for longer than a day.
const DEFAULT_LIFETIME_SECS: i64 = 300;
const LONGEST_LIFETIME_SECS: i64 = 24 * 60 * 60;

/// An assertion lasts two minutes, as those of C1's own clients do; up to five are accepted. It counts from a minute ago, since
/// the two clocks need not agree.
const ASSERTION_SECS: i64 = 120;
const ASSERTION_SKEW_SECS: i64 = 60;

/// The wait after a 429 that does not say how long, and the longest that is believed.
const DEFAULT_WAIT_SECS: i64 = 30;
const LONGEST_WAIT_SECS: i64 = 60 * 60;

/// What C1 says is cut off after this many characters.
const MAX_SAID: usize = 300;

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    /// gRPC's JSON: `{"code":7,"message":"…"}`.
    message: Option<String>,
    /// OAuth's: `{"error":"invalid_client","error_description":"…"}`.
    error: Option<Value>,
    error_description: Option<String>,
}

impl<'a, P: Http + Clock + Sign> Client<'a, P> {
    /// A client, where there are credentials.
    pub fn new(ports: &'a P, settings: &'a Settings, tokens: &'a Tokens) -> Result<Self, ApiError> {
        let credentials = settings.credentials.as_ref().ok_or(ApiError::NotConfigured)?;
        Ok(Self { ports, settings, credentials, tokens })
    }

    /// Sends a request and reads the JSON of its answer; an answer without a body reads as an empty object.
    pub async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let response = self.send(&call).await?;
        let body = if response.body.is_empty() { b"{}".as_slice() } else { &response.body };
        json::read(body).map_err(|error| malformed(call.what, &error))
    }

    /// Sends a request, once more with a fresh token where the one at hand is refused.
    async fn send(&self, call: &Call<'_>) -> Result<HttpResponse, ApiError> {
        let mut is_first = true;
        loop {
            let token = self.token().await?;
            let response = self.exchange(call, token).await?;
            if response.status != 401 {
                return self.judge(call.what, response);
            }
            if !std::mem::take(&mut is_first) {
                return Err(ApiError::Unauthorized(self.said(&response)));
            }
            *self.tokens.current.borrow_mut() = None;
        }
    }

    async fn exchange(&self, call: &Call<'_>, token: Secret) -> Result<HttpResponse, ApiError> {
        let mut headers = headers();
        let body = call.body.map(|body| {
            headers.push(("Content-Type", "application/json".to_owned()));
            body.to_string().into_bytes()
        });
        let request = HttpRequest {
            method: call.method,
            url: format!("{}{}", self.settings.url, call.path),
            headers,
            bearer: Some(token),
            body,
            timeout_millis: TIMEOUT_MILLIS,
            max_bytes: MAX_BODY,
        };
        self.ports.send(request).await.map_err(|error| self.unreachable(error))
    }

    /// The token: the one at hand, or a new one.
    pub async fn token(&self) -> Result<Secret, ApiError> {
        let now = self.ports.now();
        let of = (self.fingerprint(), self.settings.url.clone());
        let known = self.tokens.current.borrow().clone();
        if let Some(token) = known.filter(|token| token.of == of && token.usable_until > now) {
            return Ok(token.text);
        }
        let response = self.ports.send(self.token_request().await?).await.map_err(|error| self.unreachable(error))?;
        if matches!(response.status, 400 | 401 | 403) {
            return Err(ApiError::Credentials { said: self.said(&response), advice: self.advice() });
        }
        let response = self.judge("issue an access token", response)?;
        let issued: TokenResponse =
            json::read(&response.body).ok().filter(well_formed).ok_or_else(|| ApiError::Malformed {
                what: "issue an access token",
                why: "there is no usable access_token in it".to_owned(),
            })?;
        // A number by the standard; C1's other 64-bit numbers are texts.
        let lifetime = issued.expires_in.and_then(|secs| secs.as_i64().or_else(|| secs.as_str()?.parse().ok()));
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME_SECS).clamp(0, LONGEST_LIFETIME_SECS);
        let text = Secret::new(issued.access_token);
        let usable_until = now.plus_secs(lifetime - RENEW_BEFORE_SECS);
        *self.tokens.current.borrow_mut() = Some(Token { of, text: text.clone(), usable_until });
        Ok(text)
    }

    async fn token_request(&self) -> Result<HttpRequest, ApiError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").append_pair("client_id", &self.credentials.client_id);
        match &self.credentials.proof {
            Proof::Secret(secret) => form.append_pair("client_secret", secret.expose()),
            Proof::Key(key) => {
                let now = self.ports.now();
                let id = self.token_id(now, key).await?;
                let claims = object_of(vec![
                    ("iss", self.credentials.client_id.as_str().into()),
                    ("sub", self.credentials.client_id.as_str().into()),
                    ("aud", self.credentials.host().unwrap_or(&self.settings.tenant).into()),
                    ("iat", now.secs().into()),
                    ("nbf", (now.secs() - ASSERTION_SKEW_SECS).into()),
                    ("exp", (now.secs() + ASSERTION_SECS).into()),
                    ("jti", id.into()),
                ]);
                form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                    .append_pair("client_assertion", &jwt(self.ports, key, None, &claims).await?)
            }
        };
        let mut headers = headers();
        headers.push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
        Ok(HttpRequest {
            method: Method::Post,
            url: format!("{}/auth/v1/token", self.settings.url),
            headers,
            bearer: None,
            body: Some(form.finish().into_bytes()),
            timeout_millis: TIMEOUT_MILLIS,
            max_bytes: MAX_TOKEN_BODY,
        })
    }

    /// An id that no other assertion has: a signature over the time and a count, which only the key's owner can make.
    async fn token_id(&self, now: Timestamp, key: &SigningKey) -> Result<String, SignError> {
        let count = self.tokens.signed.replace(self.tokens.signed.get().wrapping_add(1));
        let signature = self.ports.sign(key, format!("jti {} {count}", now.millis()).as_bytes()).await?;
        Ok(hash::sha256_hex(&signature).chars().take(32).collect())
    }

    /// Tells one client from another without naming it.
    fn fingerprint(&self) -> String {
        let proof = match &self.credentials.proof {
            Proof::Key(key) => hash::sha256_hex(key.expose()),
            Proof::Secret(secret) => hash::sha256_hex(secret.expose().as_bytes()),
        };
        hash::sha256_hex(format!("{} {proof}", self.credentials.client_id).as_bytes())
    }

    fn judge(&self, what: &'static str, response: HttpResponse) -> Result<HttpResponse, ApiError> {
        let said = || self.said(&response);
        Err(match response.status {
            200..=299 => return Ok(response),
            403 => ApiError::Forbidden { what, said: said() },
            404 => ApiError::NotFound { what, said: said() },
            429 => ApiError::RateLimited(self.told_to_wait(&response)),
            // A redirect is not followed: the token must not travel.
            300..=399 => ApiError::Refused {
                what,
                status: response.status,
                said: "it redirects; set C1_URL to where it leads".to_owned(),
            },
            500.. => ApiError::Unavailable(response.status),
            status => ApiError::Refused { what, status, said: said() },
        })
    }

    /// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
    fn told_to_wait(&self, response: &HttpResponse) -> Timestamp {
        let now = self.ports.now();
        let told = response.header("retry-after").and_then(|text| {
            let secs = text.trim().parse::<i64>().ok().map(|secs| now.plus_secs(secs.clamp(0, LONGEST_WAIT_SECS)));
            secs.or_else(|| Timestamp::parse_http_date(text.trim()))
        });
        told.unwrap_or_else(|| now.plus_secs(DEFAULT_WAIT_SECS)).clamp(now, now.plus_secs(LONGEST_WAIT_SECS))
    }

    /// What C1 said, on one line, cut to a length, and without anything secret.
    fn said(&self, response: &HttpResponse) -> String {
        let refusal: Refusal = json::read(&response.body).unwrap_or_default();
        let error = refusal.error.as_ref().and_then(Value::as_str);
        let text = match (error, refusal.error_description.or(refusal.message)) {
            (Some(error), Some(text)) => format!("{error}: {text}"),
            (None, Some(text)) => text,
            (Some(error), None) => error.to_owned(),
            (None, None) => format!("status {}", response.status),
        };
        let text = match &self.credentials.proof {
            Proof::Secret(secret) if secret.expose().len() >= 8 => text.replace(secret.expose(), "…"),
            _ => text,
        };
        let known = self.tokens.current.borrow();
        let text = match known.as_ref() {
            Some(token) if token.text.expose().len() >= 8 => text.replace(token.text.expose(), "…"),
            _ => text,
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(MAX_SAID).collect()
    }

    fn advice(&self) -> String {
        match self.credentials.host() {
            Some(host) if !host.eq_ignore_ascii_case(&self.settings.tenant) => format!(
                "the id is of the tenant {host} and C1_TENANT is {}; make an API key in the right tenant",
                self.settings.tenant
            ),
            _ => {
                format!(
                    "make a new API key in ConductorOne and set both secrets again {SET_SECRET}C1_CLIENT_ID, and C1_CLIENT_SECRET"
                )
            }
        }
    }

    fn unreachable(&self, error: HttpError) -> ApiError {
        let host =
            Url::parse(&self.settings.url).map_or_else(|_| self.settings.tenant.clone(), |url| url.host().to_owned());
        ApiError::Unreachable { host, error }
    }
}

/// That an answer is none that is known.
fn malformed(what: &'static str, error: &dyn fmt::Display) -> ApiError {
    ApiError::Malformed { what, why: error.to_string() }
}

/// A token goes into a header: printable, without spaces.
fn well_formed(issued: &TokenResponse) -> bool {
    !issued.access_token.is_empty() && issued.access_token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn headers() -> Vec<(&'static str, String)> {
    vec![
        ("Accept", "application/json".to_owned()),
        ("User-Agent", concat!("c1-cloudflare/", env!("CARGO_PKG_VERSION")).to_owned()),
    ]
}

#[cfg(test)]
pub(crate) mod desk;
#[cfg(test)]
mod tests;
