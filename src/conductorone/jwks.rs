//! The tenant's public keys (RFC 7517), and the rules for keeping them and for asking for them again.

use crate::base::base64;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Http, HttpRequest, Method};
use crate::base::signing::{Algorithm, PublicKey};
use crate::base::time::Timestamp;

/// Keys are asked for again after this long, so that a key that C1 withdrew stops counting within minutes.
const FRESH_MILLIS: i64 = 10 * 60 * 1000;

/// When the tenant cannot be reached, keys this old still count: C1 being away from the network for an hour should not
/// stop it from revoking access. A longer time would keep a withdrawn key alive for as long.
const USABLE_MILLIS: i64 = 60 * 60 * 1000;

/// After an unknown key id made us ask again, another unknown one does not before this time: else anybody could turn
/// forged tokens into a stream of requests at the tenant.
const REFETCH_PAUSE_MILLIS: i64 = 30 * 1000;

/// A fetch takes 5 s at most; one that has not ended after this was cut off with the request it was made in.
const ABANDONED_MILLIS: i64 = 6 * 1000;

/// How many bytes of key set are read.
const MAX_BYTES: usize = 64 * 1024;

/// How long a fetch of keys may take: a fraction of the 30 s that C1 waits for the answer to a webhook.
pub(super) const FETCH_MILLIS: u32 = 5_000;

/// The usable keys of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<(Option<String>, PublicKey)>,
}

/// Why there is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// No answer, or none that is a key set's.
    #[error("{0}")]
    Unanswered(String),
    /// Not JSON of the shape `{"keys":[…]}`.
    #[error("the key set is not JSON with a list of keys")]
    Malformed,
    /// There is no key in it that could be used.
    #[error("the key set has no RSA, P-256 or Ed25519 key")]
    Empty,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Fetches a key set.
pub async fn fetch<P: Http>(ports: &P, url: String) -> Result<KeySet, KeySetError> {
    let request = HttpRequest {
        method: Method::Get,
        url,
        headers: vec![("Accept", "application/json".to_owned())],
        bearer: None,
        body: None,
        timeout_millis: FETCH_MILLIS,
        max_bytes: MAX_BYTES,
    };
    let response = ports.send(request).await.map_err(|error| KeySetError::Unanswered(error.to_string()))?;
    match response.status {
        200 => KeySet::parse(&response.body),
        status => Err(KeySetError::Unanswered(format!("HTTP status {status}"))),
    }
}

impl KeySet {
    /// Reads a key set. A key of another kind, or a broken one, is passed over: a set may hold keys for other purposes.
    pub fn parse(body: &[u8]) -> Result<Self, KeySetError> {
        let set: RawSet = json::read(body).map_err(|_| KeySetError::Malformed)?;
        let keys: Vec<_> = set
            .keys
            .into_iter()
            .filter_map(|key| json::of::<RawKey>(&key).ok())
            .filter(|key| key.usage.as_deref().is_none_or(|usage| usage == "sig"))
            .filter_map(usable)
            .collect();
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// The keys that may have signed: those with the token's key id, or without a key id in the token every key of the
    /// algorithm's type. A key that the set lists without an id may be the one that any token names.
    pub fn candidates(&self, algorithm: Algorithm, key_id: Option<&str>) -> Vec<&PublicKey> {
        self.keys
            .iter()
            .filter(|(kid, key)| {
                key.algorithm() == algorithm
                    && key_id.is_none_or(|wanted| kid.as_deref().is_none_or(|kid| kid == wanted))
            })
            .map(|(_, key)| key)
            .collect()
    }

    /// Whether a key has this id.
    pub fn lists(&self, key_id: &str) -> bool {
        self.keys.iter().any(|(kid, _)| kid.as_deref() == Some(key_id))
    }
}

fn usable(key: RawKey) -> Option<(Option<String>, PublicKey)> {
    // WebCrypto would say so too, less clearly, and once per token.
    let decodes = |text: &String| base64::read_url(text).is_some_and(|bytes| !bytes.is_empty() && bytes.len() <= 1024);
    let public = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => PublicKey::Rsa { n: key.n.filter(decodes)?, e: key.e.filter(decodes)? },
        ("EC", Some("P-256")) => PublicKey::P256 { x: key.x.filter(decodes)?, y: key.y.filter(decodes)? },
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519 { x: key.x.filter(decodes)? },
        _ => return None,
    };
    Some((key.kid, public))
}

/// The keys as last fetched. Lost with the isolate, and so only ever a saving.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    keys: Option<(KeySet, Timestamp)>,
    last_refetch: Option<Timestamp>,
    fetching_since: Option<Timestamp>,
    last_failure: Option<Timestamp>,
}

impl Cache {
    /// The keys, while they are fresh.
    pub fn fresh(&self, now: Timestamp) -> Option<&KeySet> {
        self.younger_than(FRESH_MILLIS, now)
    }

    /// The keys, where they may still be used because the tenant cannot be reached.
    pub fn usable(&self, now: Timestamp) -> Option<&KeySet> {
        self.younger_than(USABLE_MILLIS, now)
    }

    fn younger_than(&self, millis: i64, now: Timestamp) -> Option<&KeySet> {
        self.keys.as_ref().filter(|(_, at)| now.since(*at) < millis).map(|(keys, _)| keys)
    }

    /// Whether an unknown key id may lead to a request now. Saying yes uses the chance up, before the request is even
    /// sent, so that tokens that arrive together lead to one request.
    pub fn take_refetch(&mut self, now: Timestamp) -> bool {
        let allowed = self.last_refetch.is_none_or(|at| now.since(at) >= REFETCH_PAUSE_MILLIS);
        if allowed {
            self.last_refetch = Some(now);
        }
        allowed
    }

    /// Whether the caller is the one to fetch the keys: nobody else is at it, or whoever was must be gone by now.
    pub fn begin_fetch(&mut self, now: Timestamp) -> bool {
        let free = self.fetching_since.is_none_or(|since| now.since(since) > ABANDONED_MILLIS);
        if free {
            self.fetching_since = Some(now);
        }
        free
    }

    /// Keeps keys that were just fetched, or notes that they could not be.
    pub fn end_fetch(&mut self, keys: Option<&KeySet>, now: Timestamp) {
        self.fetching_since = None;
        match keys {
            Some(keys) => self.keys = Some((keys.clone(), now)),
            None => self.last_failure = Some(now),
        }
    }

    /// Forgets the keys: the tenant has none any more.
    pub fn forget(&mut self) {
        self.keys = None;
    }

    /// Whether a fetch failed since a time: then one who waited for it need not try too.
    pub fn failed_since(&self, begun: Timestamp) -> bool {
        self.last_failure.is_some_and(|at| at > begun)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, KeySet, KeySetError, PublicKey};
    use crate::base::signing::Algorithm;
    use crate::base::time::Timestamp;

    const SET: &str = r#"{"keys":[
        {"kty":"RSA","kid":"r","alg":"RS256","use":"sig","n":"AQAB","e":"AQAB"},
        {"kty":"RSA","kid":"enc","use":"enc","n":"AQAB","e":"AQAB"},
        {"kty":"EC","kid":"e","crv":"P-256","x":"AQ","y":"AQ"},
        {"kty":"EC","kid":"e384","crv":"P-384","x":"AQ","y":"AQ"},
        {"kty":"OKP","kid":"o1","crv":"Ed25519","alg":"Ed25519","x":"AQ"},
        {"kty":"OKP","crv":"Ed25519","x":"Ag"},
        {"kty":"oct","kid":"s","k":"AQ"},
        {"kty":"OKP","kid":"broken","crv":"Ed25519","x":"!"},
        "not a key"]}"#;

    #[test]
    fn keeps_the_keys_it_can_use_and_passes_over_the_others() {
        let set = KeySet::parse(SET.as_bytes()).unwrap();
        let count = |algorithm, kid| set.candidates(algorithm, kid).len();
        assert_eq!(count(Algorithm::Rs256, None), 1);
        assert_eq!(count(Algorithm::Es256, Some("e")), 1);
        assert_eq!(count(Algorithm::EdDsa, None), 2);
        let (named, nameless) = (PublicKey::Ed25519 { x: "AQ".into() }, PublicKey::Ed25519 { x: "Ag".into() });
        assert_eq!(set.candidates(Algorithm::EdDsa, Some("o1")), [&named, &nameless]);
        assert_eq!(set.candidates(Algorithm::EdDsa, Some("o2")), [&nameless]);
    }

    #[test]
    fn a_key_id_alone_does_not_choose_a_key_of_another_algorithm() {
        let set = KeySet::parse(SET.as_bytes()).unwrap();
        assert!(set.candidates(Algorithm::Es256, Some("r")).is_empty());
        assert!(set.candidates(Algorithm::Rs256, Some("nobody")).is_empty());
    }

    #[test]
    fn an_answer_without_keys_is_an_error() {
        assert_eq!(KeySet::parse(b"<html>"), Err(KeySetError::Malformed));
        assert_eq!(KeySet::parse(br#"{"keys":{}}"#), Err(KeySetError::Malformed));
        assert_eq!(KeySet::parse(br#"{"keys":[]}"#), Err(KeySetError::Empty));
    }

    #[test]
    fn keys_age_and_an_unknown_key_id_asks_once_in_a_while() {
        let start = Timestamp::from_secs(1_800_000_000);
        let mut cache = Cache::default();
        assert!(cache.fresh(start).is_none());
        cache.end_fetch(Some(&KeySet::parse(SET.as_bytes()).unwrap()), start);
        assert!(cache.fresh(start.plus_secs(599)).is_some());
        assert!(cache.fresh(start.plus_secs(600)).is_none());
        assert!(cache.usable(start.plus_secs(3599)).is_some());
        assert!(cache.usable(start.plus_secs(3600)).is_none());

        assert!(cache.begin_fetch(start));
        assert!(!cache.begin_fetch(start.plus_secs(6)), "one is enough");
        assert!(cache.begin_fetch(start.plus_secs(13)), "unless it was cut off");
        cache.end_fetch(None, start.plus_secs(14));
        assert!(cache.failed_since(start.plus_secs(13)) && !cache.failed_since(start.plus_secs(14)));
        assert!(cache.begin_fetch(start.plus_secs(15)));

        assert!(cache.take_refetch(start));
        assert!(!cache.take_refetch(start.plus_secs(29)));
        assert!(cache.take_refetch(start.plus_secs(30)));
    }
}
