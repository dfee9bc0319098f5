//! The tenant's key set, and how it can be had, or not.

use std::time::Duration;

use serde_json::{Value, json};
use sim::client::{self, Answer, Unanswered};
use sim::conductorone::{AlgStyle, Algorithm, ConductorOne, JwkStyle, JwksFault, Key};
use sim::http::Server;

struct Served {
    c1: ConductorOne,
    server: Server,
}

impl Served {
    async fn start() -> Self {
        let c1 = ConductorOne::new();
        let server = Server::start(0, c1.handler()).await.unwrap();
        Self { c1, server }
    }

    /// With patience that a busy machine does not use up.
    async fn fetch(&self) -> Result<Answer, Unanswered> {
        self.fetch_within(Duration::from_secs(30)).await
    }

    async fn fetch_within(&self, patience: Duration) -> Result<Answer, Unanswered> {
        let url = format!("{}/auth/v1/jwks", self.server.url());
        client::send(reqwest::Client::new().get(url), patience).await
    }

    async fn keys(&self) -> Vec<Value> {
        self.fetch().await.unwrap().json()["keys"].as_array().unwrap().clone()
    }

    async fn kids(&self) -> Vec<String> {
        self.keys().await.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn the_key_set_has_a_key_of_each_algorithm() {
    let served = Served::start().await;
    let keys = served.keys().await;
    let kinds: Vec<_> = keys.iter().map(|key| (&key["kty"], &key["alg"])).collect();
    let expected = [("RSA", "RS256"), ("EC", "ES256"), ("OKP", "EdDSA")].map(|(kty, alg)| (json!(kty), json!(alg)));
    assert_eq!(kinds, expected.iter().map(|(kty, alg)| (kty, alg)).collect::<Vec<_>>());
    let lengths: Vec<_> = [("n", 342), ("x", 43), ("x", 43)].into();
    for (key, (field, length)) in keys.iter().zip(lengths) {
        assert_eq!(key[field].as_str().unwrap().len(), length, "{key}");
        assert_eq!(key["use"], "sig");
    }
    assert_eq!(served.c1.jwks_fetches(), 1);
}

#[tokio::test]
async fn keys_are_rotated_with_and_without_an_overlap() {
    let served = Served::start().await;
    let before = served.kids().await;
    served.c1.rotate(Algorithm::EdDsa);
    let rotated = served.kids().await;
    assert_eq!(rotated.len(), 3);
    assert_eq!(before.iter().filter(|kid| rotated.contains(kid)).count(), 2);
    assert!(rotated.contains(&served.c1.signing_key(Some(Algorithm::EdDsa)).kid));
    served.c1.rotate_and_keep(Algorithm::EdDsa);
    assert_eq!(served.kids().await.len(), 4);
    served.c1.list_only(&[Algorithm::Rs256]);
    assert_eq!(served.kids().await, [served.c1.signing_key(Some(Algorithm::Rs256)).kid]);
}

#[tokio::test]
async fn keys_are_written_as_a_test_wants() {
    let served = Served::start().await;
    served.c1.set_jwk_style(JwkStyle { kid: false, alg: AlgStyle::FullySpecified, usage: false });
    let keys = served.keys().await;
    assert_eq!(keys.iter().map(|key| &key["alg"]).collect::<Vec<_>>(), ["RS256", "ES256", "Ed25519"]);
    assert!(keys.iter().all(|key| key.get("kid").is_none() && key.get("use").is_none()));
    served.c1.set_jwk_style(JwkStyle { alg: AlgStyle::Absent, ..JwkStyle::default() });
    assert!(served.keys().await.iter().all(|key| key.get("alg").is_none()));
}

#[tokio::test]
async fn the_key_set_cannot_always_be_had() {
    let served = Served::start().await;
    let with = async |fault| {
        served.c1.fail_jwks(fault, Some(1));
        served.fetch().await
    };
    assert_eq!(with(JwksFault::Status(500)).await.unwrap().status, 500);
    assert!(with(JwksFault::NotJson).await.unwrap().text().starts_with("<!doctype"));
    assert_eq!(with(JwksFault::NotKeys).await.unwrap().json()["keys"], "soon");
    assert_eq!(with(JwksFault::Empty).await.unwrap().json()["keys"], json!([]));
    assert!(with(JwksFault::Huge(2_000_000)).await.unwrap().body.len() > 2_000_000);
    assert!(matches!(with(JwksFault::Reset).await, Err(Unanswered::Disconnected(_))));
    served.c1.fail_jwks(JwksFault::Hang, Some(1));
    assert_eq!(served.fetch_within(Duration::from_millis(300)).await, Err(Unanswered::TimedOut));
    assert_eq!(served.kids().await.len(), 3, "the fault was for one time");
    served.c1.fail_jwks(JwksFault::Status(503), None);
    for _ in 0..3 {
        assert_eq!(served.fetch().await.unwrap().status, 503);
    }
    served.c1.heal_jwks();
    assert_eq!(served.kids().await.len(), 3);
}

#[tokio::test]
async fn other_routes_are_not_there_and_are_remembered() {
    let served = Served::start().await;
    let url = format!("{}/nothing", served.server.url());
    assert_eq!(reqwest::get(url).await.unwrap().status(), 404);
    assert_eq!(served.c1.unexpected_requests(), ["GET /nothing"]);
}

#[test]
fn keys_follow_from_the_seed() {
    for algorithm in Algorithm::ALL {
        let key = |seed, generation| Key::derive(algorithm, seed, generation);
        assert_eq!(key(1, 0).public_bytes(), key(1, 0).public_bytes());
        assert_ne!(key(1, 0).public_bytes(), key(1, 1).public_bytes());
        assert_ne!(key(1, 0).public_bytes(), key(2, 0).public_bytes());
        assert_ne!(key(1, 0).kid, key(2, 0).kid);
    }
    // Every pair of the built-in primes is a key, and the last one is no tenant's.
    let tenants = (0..20).map(|number| Key::derive(Algorithm::Rs256, 0, number));
    let keys = tenants.chain([Key::stranger(Algorithm::Rs256)]);
    let moduli: std::collections::BTreeSet<_> = keys.map(|key| key.public_bytes()).collect();
    assert_eq!(moduli.len(), 6);
    assert!(moduli.iter().all(|modulus| modulus.len() == 256));
}
