//! Who may speak: what a token says, and of what it is said.

use serde_json::{Value, json};
use sim::conductorone::{Algorithm, ConductorOne, Delivery, Entitlement, Options, PUBLIC_URL, Person, Task, Token};

use crate::deployment::Deployment;
use crate::jane::Jane;
use crate::lives::world::BEGAN;
use crate::looks::assert_is_problem;

/// A grant, which would have the account looked at and changed, were it let in.
fn grant(c1: &ConductorOne) -> Delivery {
    let role = Entitlement::role("05784afa30c1afe1440e79d9351c7430", "Administrator Read Only");
    c1.task(&Task::grant(role, Person::member("jane.doe@example.com", &"1".repeat(32), &"2".repeat(32))))
}

/// Sends webhooks that must be refused, each for the reason that its sentence has, and checks that nothing came of them.
async fn refused(cases: impl IntoIterator<Item = (&'static str, &'static str, Delivery)>, deployment: &Deployment) {
    for (what, why, delivery) in cases {
        let answer = deployment.send(&delivery).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        assert_eq!(assert_is_problem(&answer, what), "webhook_rejected");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{what}: {}", answer.text());
    }
    assert_eq!(deployment.cloudflare.total_requests(), 0, "the account was looked at for a stranger");
    assert_eq!(*deployment.world().desk.gets.borrow(), [""; 0], "the snapshot was looked at for a stranger");
}

async fn refused_tokens(cases: impl IntoIterator<Item = (&'static str, &'static str, Token)>) {
    let deployment = Deployment::start().await;
    let deliveries: Vec<_> =
        cases.into_iter().map(|(what, why, token)| (what, why, grant(&deployment.c1).token(token))).collect();
    refused(deliveries, &deployment).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_token_may_say_differently_is_accepted() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let host = PUBLIC_URL.strip_prefix("https://").unwrap();
    for (what, token) in [
        ("aud as a list", Token::new().claim("aud", json!(["other.example.com", host]))),
        ("iss as a URL", Token::new().claim("iss", "https://acme.conductor.one")),
        ("claims nobody knows", Token::new().claim("new", json!({ "a": [1] })).header("x", 1)),
        ("no jti", Token::new().without_claim("jti")),
        ("just expired, within the leeway", Token::new().aged(170)),
        ("issued by a clock that is ahead, within the leeway", Token::new().aged(-50)),
    ] {
        // A test event is answered alike where its token counts as used.
        let answer = deployment.send(&deployment.c1.task(&jane.grant(&jane.lacks)).token(token)).await;
        assert!(answer.status == 200 && answer.text().contains("\"complete\""), "{what}: {}", answer.text());
    }
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    let without_digest = deployment.c1.test_event().without_header("content-digest");
    assert_eq!(deployment.send(&without_digest).await.status, 200, "the token has the body's hash already");
    let path_of_proxy = deployment.c1.test_event().signed_for(&format!("{PUBLIC_URL}/webhooks/conductorone?from=c1"));
    assert_eq!(deployment.send(&path_of_proxy).await.status, 200, "htu has no query");
}

#[tokio::test(start_paused = true)]
async fn without_a_token_that_can_be_read_nothing_happens() {
    let deployment = Deployment::start().await;
    let with = |value: &str| grant(&deployment.c1).header("authorization", value);
    let long = format!("bearer {}", "x".repeat(9000));
    let cases = vec![
        ("no header", "no bearer token", grant(&deployment.c1).without_header("authorization")),
        ("an empty one", "no bearer token", with("")),
        ("another scheme", "no bearer token", with("Basic dXNlcjpwYXNz")),
        ("no token after the scheme", "no bearer token", with("bearer ")),
        ("the connector's own token", "not a JWT", with(&format!("Bearer {}", sim::harness::workerd::CONNECTOR_TOKEN))),
        ("something with dots", "not a JWT", with("bearer a.b.c")),
        ("a very long one", "not a JWT", with(&long)),
    ];
    refused(cases, &deployment).await;
    assert_eq!(deployment.c1.jwks_fetches(), 0, "nobody is asked about what is no token at all");
}

#[tokio::test(start_paused = true)]
async fn algorithms_that_prove_nothing_are_refused() {
    refused_tokens([
        ("none", "algorithm", Token::new().unsigned()),
        ("none in other letters", "algorithm", Token::new().unsigned().header("alg", "nOnE")),
        ("HS256 keyed with the public key", "algorithm", Token::new().hmac_with_public_key()),
        (
            "HS256 keyed with the RSA public key",
            "algorithm",
            Token::new().algorithm(Algorithm::Rs256).hmac_with_public_key(),
        ),
        ("RS512", "algorithm", Token::new().algorithm(Algorithm::Rs256).header("alg", "RS512")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_out_of_its_time_is_refused() {
    let far = BEGAN.secs() + 86_400;
    refused_tokens([
        ("expired", "has expired", Token::new().aged(185)),
        ("long expired", "has expired", Token::new().aged(86_400)),
        ("not yet valid", "not valid yet", Token::new().aged(-75)),
        ("not valid before tomorrow", "not valid yet", Token::new().claim("nbf", far)),
        ("valid for a day", "too long", Token::new().claim("exp", far)),
        ("valid for ever", "no exp claim", Token::new().without_claim("exp")),
        ("of no time", "no iat claim", Token::new().without_claim("iat")),
        ("with a text for a time", "not a JWT", Token::new().claim("exp", "tomorrow")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_for_something_else_is_refused() {
    let url = format!("{PUBLIC_URL}/webhooks/conductorone");
    refused_tokens([
        ("another tenant", "another tenant", Token::new().claim("iss", "evil.conductor.one")),
        ("a tenant of a longer name", "another tenant", Token::new().claim("iss", "acme.conductor.one.evil.com")),
        ("no tenant", "no iss claim", Token::new().without_claim("iss")),
        ("another host", "another host", Token::new().claim("aud", "other.example.com")),
        ("other hosts", "another host", Token::new().claim("aud", json!(["a.example.com", "b.example.com"]))),
        ("no host", "another host", Token::new().claim("aud", Value::Array(Vec::new()))),
        ("no aud", "no aud claim", Token::new().without_claim("aud")),
        ("another path", "another URL", Token::new().claim("htu", format!("{PUBLIC_URL}/v1/sync"))),
        ("another scheme", "another URL", Token::new().claim("htu", url.replace("https", "http"))),
        ("a longer path", "another URL", Token::new().claim("htu", format!("{url}/"))),
        ("no htu", "no htu claim", Token::new().without_claim("htu")),
        ("another method", "another method", Token::new().claim("htm", "GET")),
        ("no htm", "no htm claim", Token::new().without_claim("htm")),
        ("another use", "not a webhook's", Token::new().claim("c1typ", "at")),
        ("no c1typ", "no c1typ claim", Token::new().without_claim("c1typ")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_token_of_another_tenant_is_refused_however_well_it_is_signed() {
    let deployment = Deployment::start().await;
    let options = Options { host: "evil.conductor.one".into(), seed: 7, ..Options::default() };
    let other = ConductorOne::with(options);
    let delivery = grant(&other);
    let answer = deployment.send_of(&other, &delivery).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    let impostor = delivery.token(Token::new().claim("iss", "acme.conductor.one"));
    let answer = deployment.send_of(&other, &impostor).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(deployment.c1.jwks_fetches(), 2, "the tenant alone is asked, and once more for a key it does not list");
    assert_eq!(deployment.cloudflare.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_not_signed_is_refused() {
    let deployment = Deployment::start().await;
    let c1 = &deployment.c1;
    let tampered = grant(c1).envelope().to_string().replace("jane.doe", "mallory");
    let digest = |of: &str| format!("sha-256={of}");
    let other = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let cases = vec![
        ("a tampered body", "not the one that was signed", grant(c1).tampered(tampered)),
        ("no body", "not the one that was signed", grant(c1).tampered("")),
        ("no hash of the body", "no htb_s256 claim", grant(c1).token(Token::new().without_claim("htb_s256"))),
        (
            "the hash of another body",
            "not the one that was signed",
            grant(c1).token(Token::new().claim("htb_s256", other)),
        ),
        ("the digest of another body", "Content-Digest", grant(c1).header("content-digest", &digest(other))),
        (
            "the digest of another body as RFC 9530 writes it",
            "Content-Digest",
            grant(c1).header("content-digest", &format!("sha-512=:AAAA:, sha-256=:{other}:")),
        ),
        ("a digest that is none", "Content-Digest", grant(c1).header("content-digest", "sha-256=nonsense!")),
    ];
    refused(cases, &deployment).await;
}
