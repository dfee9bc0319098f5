//! Is this request really from our tenant, meant for us, and unchanged? (`reference/conductorone.md` 1.3)
//!
//! **Invariant:** a webhook's body is not parsed before every check here has passed.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::jwks::{self, Cache, FETCH_MILLIS, KeySet, KeySetError};
use super::jwt::{Claims, Token, TokenError};
use super::settings::{PublicUrl, Settings};
use crate::base::base64;
use crate::base::ports::{Clock, Http, KeyCache, Signatures};
use crate::base::time::Timestamp;

/// How far the tenant's clock and ours may be apart, in seconds. C1's tokens live two minutes; every second more here
/// is a second longer in which a token that leaked can be used again.
pub const LEEWAY_SECS: i64 = 60;

/// C1's tokens are valid from 60 s before to 120 s after their issue. One with a longer life was not made for a webhook.
const MAX_LIFETIME_SECS: f64 = 600.0;

/// The body of a webhook, in bytes at most. C1's are about 10 KB.
pub const MAX_BODY: usize = 1024 * 1024;

/// The path at which C1's webhook is received, under `PUBLIC_URL`.
pub const PATH: &str = "/webhooks/conductorone";

/// A request as it arrived, as far as the check needs it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Content-Digest` header.
    pub content_digest: Option<&'a str>,
    /// The raw bytes of the body.
    pub body: &'a [u8],
}

/// Why a webhook is not accepted: one variant for each reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No `Authorization: bearer …`.
    #[error("the request has no bearer token")]
    NoToken,
    /// The token cannot be read, or its algorithm is not accepted.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No key of the tenant's set fits the token.
    #[error("the token was signed with a key that the tenant does not list")]
    UnknownKey,
    /// The signature is not of any fitting key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing.
    #[error("the token has no {0} claim")]
    MissingClaim(&'static str),
    /// `iss` is another tenant.
    #[error("the token was issued by another tenant than C1_TENANT")]
    Issuer,
    /// `aud` does not have our host.
    #[error("the token is meant for another host than PUBLIC_URL's")]
    Audience,
    /// `c1typ` is not `wh`.
    #[error("the token is not a webhook's")]
    Type,
    /// `htm` is not POST.
    #[error("the token is for another method than POST")]
    Method,
    /// `htu` is not our URL.
    #[error("the token is for another URL than this webhook's under PUBLIC_URL")]
    Url,
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf` or `iat`.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Valid for longer than a webhook's token ever is.
    #[error("the token is valid for too long")]
    Lifetime,
    /// `htb_s256` is not the body's hash.
    #[error("the body is not the one that was signed")]
    Body,
    /// `Content-Digest` is not the body's hash.
    #[error("the body does not match its Content-Digest")]
    Digest,
    /// Where this Worker is reached is not known, so what `aud` and `htu` must name is not either.
    #[error("{0}")]
    NoPublicUrl(String),
    /// The tenant's keys cannot be had. C1 tries again, and so it should.
    #[error("the tenant's keys cannot be fetched: {0}")]
    KeysUnavailable(String),
}

/// Checks a request; what comes back is its token's claims. `public_url` tells where this Worker is reached, or why that is not known; it is
/// asked for a token that the tenant has signed alone, since it may have to ask elsewhere.
pub async fn verify<P: Http + Clock + Signatures + KeyCache<Cache>>(
    ports: &P,
    settings: &Settings,
    public_url: impl AsyncFnOnce() -> Result<PublicUrl, String>,
    request: SignedRequest<'_>,
) -> Result<Claims, Rejection> {
    let token = Token::parse(bearer(request.authorization).ok_or(Rejection::NoToken)?)?;
    check_signature(ports, settings, &token).await?;
    let public_url = public_url().await.map_err(Rejection::NoPublicUrl)?;
    check_claims(settings, &public_url, &token.claims, ports.now())?;
    check_body(&token.claims, request)?;
    Ok(token.claims)
}

/// When the last moment is in which a token is accepted; it is over for good after this, however it came.
pub fn accepted_until(claims: &Claims) -> Timestamp {
    #[allow(clippy::cast_possible_truncation, reason = "a conversion that does not fit stays at the end of the range")]
    let expires = claims.exp.unwrap_or_default() as i64;
    Timestamp::from_secs(expires.saturating_add(LEEWAY_SECS).saturating_add(1).min(i64::MAX / 1_000))
}

/// The token of an `Authorization: Bearer` header. C1 writes the scheme in lower case (RFC 9110: it has no case).
pub fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

async fn check_signature<P: Http + Clock + Signatures + KeyCache<Cache>>(
    ports: &P,
    settings: &Settings,
    token: &Token,
) -> Result<(), Rejection> {
    let keys = current_keys(ports, settings).await?;
    let rejected = match signed_by_one_of(ports, &keys, token).await {
        Ok(()) => return Ok(()),
        Err(rejected) => rejected,
    };
    // The keys may have changed since. A token that names a key we have was not signed with it, whatever changed; one without a name is not the one it names.
    let is_listed = token.key_id.as_deref().is_some_and(|id| keys.lists(id));
    let may_be_new = rejected == Rejection::UnknownKey || !is_listed;
    let now = ports.now();
    if !may_be_new || !ports.with(|cache| cache.take_refetch(now)) {
        return Err(rejected);
    }
    let keys = fetch_keys(ports, settings).await?;
    signed_by_one_of(ports, &keys, token).await
}

async fn signed_by_one_of<P: Signatures>(ports: &P, keys: &KeySet, token: &Token) -> Result<(), Rejection> {
    let candidates = keys.candidates(token.algorithm, token.key_id.as_deref());
    if candidates.is_empty() {
        return Err(Rejection::UnknownKey);
    }
    for key in candidates {
        if ports.verify(key, &token.signed, &token.signature).await {
            return Ok(());
        }
    }
    Err(Rejection::Signature)
}

/// The tenant's keys: kept ones while they are fresh, else fetched. Of many requests that need them at once, one fetches and the
/// others look whether it has them.
pub async fn current_keys<P: Http + Clock + KeyCache<Cache>>(
    ports: &P,
    settings: &Settings,
) -> Result<KeySet, Rejection> {
    let begun = ports.now();
    for _ in 0..FETCH_MILLIS / LOOK_MILLIS {
        let now = ports.now();
        if let Some(keys) = ports.with(|cache| cache.fresh(now).cloned()) {
            return Ok(keys);
        }
        if ports.with(|cache| cache.failed_since(begun)) {
            break;
        }
        if ports.with(|cache| cache.begin_fetch(now)) {
            return match fetch_keys(ports, settings).await {
                Ok(keys) => Ok(keys),
                Err(error) => ports.with(|cache| cache.usable(now).cloned()).ok_or(error),
            };
        }
        ports.sleep(LOOK_MILLIS).await;
    }
    let unavailable = || Rejection::KeysUnavailable("another request could not fetch them either".to_owned());
    ports.with(|cache| cache.usable(begun).cloned()).ok_or_else(unavailable)
}

/// How often a request looks whether another one has fetched the keys.
const LOOK_MILLIS: u32 = 50;

/// Fetches the key set of the *configured* tenant: where a token says it comes from decides nothing.
async fn fetch_keys<P: Http + Clock + KeyCache<Cache>>(ports: &P, settings: &Settings) -> Result<KeySet, Rejection> {
    let keys = jwks::fetch(ports, format!("{}/auth/v1/jwks", settings.url)).await;
    // A tenant that can be reached and lists none that could be used has withdrawn them.
    if let Err(KeySetError::Empty) = keys {
        ports.with(Cache::forget);
    }
    let now = ports.now();
    ports.with(|cache| cache.end_fetch(keys.as_ref().ok(), now));
    keys.map_err(|error| Rejection::KeysUnavailable(error.to_string()))
}

fn check_claims(settings: &Settings, public_url: &PublicUrl, claims: &Claims, now: Timestamp) -> Result<(), Rejection> {
    let issuer = claims.iss.as_deref().ok_or(Rejection::MissingClaim("iss"))?;
    let issuer = issuer.strip_prefix("https://").unwrap_or(issuer).trim_end_matches('/');
    if !issuer.eq_ignore_ascii_case(&settings.tenant) {
        return Err(Rejection::Issuer);
    }
    if !claims.aud.as_ref().ok_or(Rejection::MissingClaim("aud"))?.contains(&public_url.host) {
        return Err(Rejection::Audience);
    }
    if claims.c1typ.as_deref().ok_or(Rejection::MissingClaim("c1typ"))? != "wh" {
        return Err(Rejection::Type);
    }
    if claims.htm.as_deref().ok_or(Rejection::MissingClaim("htm"))? != "POST" {
        return Err(Rejection::Method);
    }
    // The URL the tenant was given, not the one the runtime shows: a route or a proxy may have rewritten that.
    let expected = format!("{}{PATH}", public_url.base);
    if claims.htu.as_deref().ok_or(Rejection::MissingClaim("htu"))? != expected {
        return Err(Rejection::Url);
    }
    check_times(claims, now)
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), Rejection> {
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let (now, leeway) = (now.secs() as f64, LEEWAY_SECS as f64);
    let expires = claims.exp.ok_or(Rejection::MissingClaim("exp"))?;
    let issued = claims.iat.ok_or(Rejection::MissingClaim("iat"))?;
    let not_before = claims.nbf.unwrap_or(issued);
    if now >= expires + leeway {
        return Err(Rejection::Expired);
    }
    if now < not_before - leeway || now < issued - leeway {
        return Err(Rejection::NotYetValid);
    }
    if expires - issued > MAX_LIFETIME_SECS {
        return Err(Rejection::Lifetime);
    }
    Ok(())
}

fn check_body(claims: &Claims, request: SignedRequest<'_>) -> Result<(), Rejection> {
    let actual = Sha256::digest(request.body);
    let claimed = claims.htb_s256.as_deref().ok_or(Rejection::MissingClaim("htb_s256"))?;
    if !is_digest(claimed, &actual) {
        return Err(Rejection::Body);
    }
    // `sha-256=<base64>` as C1 writes it, or `sha-256=:<base64>:` as RFC 9530 does; other algorithms are not our concern.
    for member in request.content_digest.unwrap_or_default().split(',') {
        let Some((algorithm, value)) = member.trim().split_once('=') else { continue };
        if algorithm.eq_ignore_ascii_case("sha-256") && !is_digest(value.trim_matches(':'), &actual) {
            return Err(Rejection::Digest);
        }
    }
    Ok(())
}

/// Whether `text` is `digest` in base64: either alphabet, padded or not, since C1 uses both (reference 1.3 and 8.1).
fn is_digest(text: &str, digest: &[u8]) -> bool {
    base64::read_any(text.trim()).is_some_and(|bytes| bytes.ct_eq(digest).into())
}
