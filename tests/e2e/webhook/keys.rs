//! The tenant's keys: how they are written, and how they are fetched.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use serde_json::Value;
use sim::conductorone::{AlgStyle, Algorithm, JwkStyle, JwksFault, Token};
use sim::http::Reply;

use crate::deployment::{Deployment, assert_is_problem};

async fn accepted(deployment: &Deployment, token: Token) -> bool {
    let answer = deployment.send(&deployment.c1.test_event().token(token)).await;
    assert!(matches!(answer.status, 200 | 401), "{}", answer.text());
    answer.status == 200
}

#[tokio::test]
async fn keys_are_read_however_they_are_written() {
    for style in [
        JwkStyle { kid: true, alg: AlgStyle::FullySpecified, usage: true },
        JwkStyle { kid: true, alg: AlgStyle::Absent, usage: false },
        JwkStyle { kid: false, alg: AlgStyle::Registered, usage: false },
    ] {
        let deployment = Deployment::start().await;
        deployment.c1.set_jwk_style(style);
        for algorithm in Algorithm::ALL {
            let token = Token::new().algorithm(algorithm);
            let token = if style.kid { token } else { token.without_kid() };
            assert!(accepted(&deployment, token).await, "{style:?} {algorithm:?}");
        }
    }
}

#[tokio::test]
async fn fifty_tokens_at_once_to_a_worker_that_has_no_keys_yet_are_no_storm_either() {
    let deployment = Deployment::start().await;
    let forged: Vec<_> =
        (0..50).map(|number| deployment.c1.test_event().token(Token::new().kid(&format!("forged-{number}")))).collect();
    let answers = join_all(forged.iter().map(|delivery| deployment.send(delivery))).await;
    assert!(answers.iter().all(|answer| answer.status == 401));
    assert!(deployment.c1.jwks_fetches() <= 2, "{} fetches", deployment.c1.jwks_fetches());
}

fn packed(body: &[u8]) -> Reply {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(body).unwrap();
    Reply::text(200, "application/json", packer.finish().unwrap()).with_header("content-encoding", "gzip")
}

/// Some kilobytes that become ten megabytes: their length says nothing.
fn far_longer_than_it_says(keys: &Value) -> Reply {
    packed(format!("{keys}{}", " ".repeat(10_000_000)).as_bytes())
}

fn cut_short(keys: &Value) -> Reply {
    match packed(keys.to_string().as_bytes()) {
        Reply::Response { status, headers, body } => {
            Reply::Response { status, headers, body: body.slice(..body.len() / 2) }
        }
        reset @ Reply::Reset => reset,
    }
}

#[tokio::test]
async fn keys_that_come_compressed_are_read() {
    let deployment = Deployment::start().await;
    deployment.c1.fail_jwks(JwksFault::SentAs(|keys| packed(keys.to_string().as_bytes())), None);
    assert!(accepted(&deployment, Token::new()).await);
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let deployment = Deployment::start().await;
    let elsewhere = |_: &Value| Reply::text(302, "text/plain", "").with_header("location", "/auth/v1/jwks");
    // Whoever follows it finds the keys there.
    deployment.c1.fail_jwks(JwksFault::SentAs(elsewhere), Some(1));
    let answer = deployment.send(&deployment.c1.test_event()).await;
    assert_eq!(assert_is_problem(&answer, "keys"), "keys_unavailable");
    assert_eq!(deployment.c1.jwks_fetches(), 1);
}

#[tokio::test]
async fn a_tenant_that_cannot_be_reached_is_not_the_sender_s_fault() {
    let deployment = Deployment::start().await;
    let c1 = &deployment.c1;
    for fault in [
        JwksFault::Status(500),
        JwksFault::Status(302),
        JwksFault::NotJson,
        JwksFault::NotKeys,
        JwksFault::Empty,
        JwksFault::Huge(200_000),
        JwksFault::SentAs(far_longer_than_it_says),
        JwksFault::SentAs(cut_short),
        JwksFault::Reset,
        JwksFault::Hang,
    ] {
        c1.fail_jwks(fault.clone(), None);
        let answer = deployment.send(&c1.test_event()).await;
        assert_eq!(answer.status, 503, "{fault:?}: {}", answer.text());
        assert_eq!(assert_is_problem(&answer, "keys"), "keys_unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    c1.heal_jwks();
    assert!(accepted(&deployment, Token::new()).await);
}
