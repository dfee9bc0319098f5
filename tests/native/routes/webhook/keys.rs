//! The tenant's keys: kept, changed, and not to be had.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sim::conductorone::{Algorithm, JwkStyle, JwksFault, Token};
use sim::http::Reply;

use crate::deployment::Deployment;
use crate::looks::assert_is_problem;

async fn accepted(deployment: &Deployment, token: Token) -> bool {
    let answer = deployment.send(&deployment.c1.test_event().token(token)).await;
    assert!(matches!(answer.status, 200 | 401), "{}", answer.text());
    answer.status == 200
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_accepted_at_once_and_a_withdrawn_one_is_not() {
    let deployment = Deployment::start().await;
    let c1 = &deployment.c1;
    assert!(accepted(&deployment, Token::new()).await);
    let old = c1.signing_key(None);

    c1.rotate(Algorithm::EdDsa);
    assert_ne!(c1.signing_key(None).kid, old.kid);
    assert!(accepted(&deployment, Token::new()).await, "the new key");
    assert_eq!(c1.jwks_fetches(), 2);
    let withdrawn = Token::new().kid(&old.kid);
    assert!(!accepted(&deployment, withdrawn).await, "the new key under the old one's id");
    assert!(accepted(&deployment, Token::new().algorithm(Algorithm::Rs256)).await, "the others are as they were");
    assert_eq!(c1.jwks_fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_keys_of_a_type_the_right_one_is_found() {
    let deployment = Deployment::start().await;
    for algorithm in Algorithm::ALL {
        deployment.c1.rotate_and_keep(algorithm);
    }
    for algorithm in Algorithm::ALL {
        assert!(accepted(&deployment, Token::new().algorithm(algorithm)).await, "{algorithm:?} by its id");
        assert!(
            accepted(&deployment, Token::new().algorithm(algorithm).without_kid()).await,
            "{algorithm:?} by trying"
        );
    }
    assert_eq!(deployment.c1.jwks_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_without_an_id_is_accepted_at_once_too() {
    let deployment = Deployment::start().await;
    deployment.c1.set_jwk_style(JwkStyle { kid: false, ..JwkStyle::default() });
    assert!(accepted(&deployment, Token::new().without_kid()).await);
    deployment.c1.rotate(Algorithm::EdDsa);
    assert!(accepted(&deployment, Token::new().without_kid()).await, "the keys are asked for once more");
    assert_eq!(deployment.c1.jwks_fetches(), 2);
}

/// The key set with one more key that has no id.
fn with_a_nameless_key(keys: &Value) -> Reply {
    let mut keys = keys.clone();
    let list = keys["keys"].as_array_mut().unwrap();
    let mut nameless = list.iter().find(|key| key["crv"] == "Ed25519").unwrap().clone();
    nameless.as_object_mut().unwrap().remove("kid");
    list.push(nameless);
    Reply::json(200, &keys)
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_accepted_at_once_also_where_another_one_has_no_id() {
    let deployment = Deployment::start().await;
    deployment.c1.fail_jwks(JwksFault::SentAs(with_a_nameless_key), None);
    assert!(accepted(&deployment, Token::new().algorithm(Algorithm::EdDsa)).await);
    deployment.c1.rotate(Algorithm::EdDsa);
    assert!(accepted(&deployment, Token::new().algorithm(Algorithm::EdDsa)).await);
    assert_eq!(deployment.c1.jwks_fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_that_the_tenant_withdrew_are_good_for_nothing_once_that_is_known() {
    for (fault, is_kept) in
        [(JwksFault::SentAs(|_| Reply::json(200, &json!({ "keys": [] }))), false), (JwksFault::Status(500), true)]
    {
        let deployment = Deployment::start().await;
        assert!(accepted(&deployment, Token::new()).await);
        deployment.c1.fail_jwks(fault, None);
        deployment.wait(Duration::from_mins(11)).await;
        let answer = deployment.send(&deployment.c1.test_event()).await;
        assert_eq!(answer.status, if is_kept { 200 } else { 503 }, "{}", answer.text());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_id_asks_the_tenant_once_and_is_refused() {
    let deployment = Deployment::start().await;
    assert!(accepted(&deployment, Token::new()).await);
    for _ in 0..3 {
        let answer = deployment.send(&deployment.c1.test_event().token(Token::new().kid("nobody"))).await;
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("does not list"), "{}", answer.text());
        assert_eq!(deployment.c1.jwks_fetches(), 2, "one more than the first");
    }
    assert!(accepted(&deployment, Token::new()).await, "the right key is still accepted");
    assert_eq!(deployment.c1.jwks_fetches(), 2);
}

async fn storm(deployment: &Deployment) -> usize {
    let forged: Vec<_> =
        (0..50).map(|number| deployment.c1.test_event().token(Token::new().kid(&format!("forged-{number}")))).collect();
    let answers = join_all(forged.iter().map(|delivery| deployment.send(delivery))).await;
    answers.iter().filter(|answer| answer.status == 401).count()
}

#[tokio::test(start_paused = true)]
async fn fifty_forged_tokens_at_once_are_no_storm_at_the_tenant() {
    let deployment = Deployment::start().await;
    assert!(accepted(&deployment, Token::new()).await);
    assert_eq!(storm(&deployment).await, 50);
    assert_eq!(deployment.c1.jwks_fetches(), 2, "one for the keys, one for all the unknown ids");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_gets_through_when_the_tenant_is_back() {
    let deployment = Deployment::start().await;
    deployment.c1.fail_jwks(JwksFault::Reset, Some(2));
    let outcome = deployment.deliver(&deployment.c1.test_event()).await;
    assert_eq!(outcome.document(), Some(&serde_json::json!({ "version": "v1" })));
    assert_eq!(outcome.attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_known_are_used_while_the_tenant_is_away() {
    let deployment = Deployment::start().await;
    assert!(accepted(&deployment, Token::new()).await);
    deployment.c1.fail_jwks(JwksFault::Reset, None);
    // They are asked for again after ten minutes, and of use for an hour.
    for (minutes, fetches) in [(9, 1), (2, 2), (48, 3)] {
        deployment.wait(Duration::from_mins(minutes)).await;
        assert!(accepted(&deployment, Token::new()).await, "{minutes} minutes later");
        assert_eq!(deployment.c1.jwks_fetches(), fetches, "{minutes} minutes later");
    }
    deployment.wait(Duration::from_mins(2)).await;
    let answer = deployment.send(&deployment.c1.test_event()).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "after an hour").as_str()), (503, "keys_unavailable"));
    deployment.c1.heal_jwks();
    assert!(accepted(&deployment, Token::new()).await, "the tenant is back");
}
