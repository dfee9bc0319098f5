//! The tenant's keys: how they are written, and how they are fetched.

use futures::future::join_all;
use sim::conductorone::{AlgStyle, Algorithm, JwkStyle, JwksFault, Token};

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
        JwksFault::Reset,
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
