//! Signatures, which WebCrypto checks. What a token says is tested natively (`tests/native/routes/webhook/token.rs`).

use serde_json::json;
use sim::conductorone::{Algorithm, ConductorOne, Delivery, Entitlement, Person, Task, Token};

use crate::deployment::{Deployment, assert_is_problem};

/// A grant, which would have the account looked at and changed, were it let in.
fn grant(c1: &ConductorOne) -> Delivery {
    let role = Entitlement::role("05784afa30c1afe1440e79d9351c7430", "Administrator Read Only");
    c1.task(&Task::grant(role, Person::member("jane.doe@example.com", &"1".repeat(32), &"2".repeat(32))))
}

#[tokio::test]
async fn all_three_algorithms_are_accepted_with_and_without_a_key_id() {
    let deployment = Deployment::start().await;
    for algorithm in Algorithm::ALL {
        for token in [Token::new().algorithm(algorithm), Token::new().algorithm(algorithm).without_kid()] {
            let answer = deployment.send(&deployment.c1.test_event().token(token)).await;
            assert_eq!((answer.status, answer.json()), (200, json!({ "version": "v1" })), "{algorithm:?}");
        }
    }
    assert_eq!(deployment.c1.jwks_fetches(), 1, "the keys are kept");
}

#[tokio::test]
async fn a_signature_that_is_not_the_keys_is_refused() {
    let mut cases = Vec::new();
    for algorithm in Algorithm::ALL {
        let token = Token::new().algorithm(algorithm);
        cases.push(("a flipped bit", "signature is wrong", token.clone().broken_signature()));
        cases.push(("a flipped bit, no kid", "signature is wrong", token.clone().without_kid().broken_signature()));
        cases.push(("somebody else's key", "signature is wrong", token.signed_by_another_key()));
    }
    // The algorithm goes with the key's type; a token does not choose it.
    cases.push(("one algorithm's key named for another", "does not list", Token::new().header("alg", "ES256")));
    let deployment = Deployment::start().await;
    for (what, why, token) in cases {
        let answer = deployment.send(&grant(&deployment.c1).token(token)).await;
        assert_eq!((answer.status, assert_is_problem(&answer, what).as_str()), (401, "webhook_rejected"), "{what}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{what}: {}", answer.text());
    }
    assert_eq!(deployment.cloudflare.total_requests(), 0, "the account was looked at for a stranger");
}
