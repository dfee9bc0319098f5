//! `PUT` and `DELETE /v1/roles/{role}/members/{user}`.

use serde_json::json;
use sim::cloudflare::Atom;

use crate::deployment::roles;
use crate::jane::{EMAIL, Jane, assert_done};

#[tokio::test]
async fn a_grant_adds_exactly_one_atom_in_three_calls_and_a_revoke_takes_it_back() {
    let jane = Jane::start().await;
    let granted = jane.call("PUT", &jane.lacks).await;
    assert_done(&granted, "granted");
    let grant = format!("role:{}:member:user:{}", jane.lacks.governed_as(), jane.user);
    assert_eq!(granted.json()["grant"], json!(grant));
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET"]);
    assert!(jane.deployment.cloudflare.truth().grants.contains(&grant));

    jane.deployment.cloudflare.reset_log();
    assert_done(&jane.call("DELETE", &jane.lacks).await, "revoked");
    jane.changed(&[], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET"]);
}

#[tokio::test]
async fn grants_and_revokes_of_one_member_at_once_are_all_carried_out() {
    let jane = Jane::holding(2).await;
    let all = roles(&jane.deployment.cloudflare);
    let grants = all[3..8].iter().map(|role| jane.call("PUT", role));
    let (granted, revoked) = tokio::join!(futures::future::join_all(grants), jane.call("DELETE", &jane.has));
    for answer in &granted {
        assert_done(answer, "granted");
    }
    assert_done(&revoked, "revoked");
    let added: Vec<Atom> = all[3..8].iter().map(|role| jane.atom(role)).collect();
    jane.changed(&added, &[jane.atom(&jane.has)]);
}

#[tokio::test]
async fn an_operation_stands_in_the_journal() {
    let jane = Jane::start().await;
    jane.call("PUT", &jane.lacks).await;
    let entries = jane.deployment.json("/v1/operations").await;
    let [entry] = entries["items"].as_array().unwrap().as_slice() else { panic!("{entries}") };
    assert_eq!((&entry["email"], &entry["state"]), (&json!(EMAIL), &json!("settled")), "{entry}");
    assert_eq!(entry["entitlement"], json!(format!("role:{}:member", jane.lacks.governed_as())));
    let one = jane.deployment.json(&format!("/v1/operations/{}", entry["id"])).await;
    assert_eq!(one["key"], entry["key"]);
    assert_eq!(jane.deployment.json("/v1/operations?member=nobody@example.com").await["items"], json!([]));
    let missing = jane.deployment.get("/v1/operations/4711").await;
    assert_eq!(missing.status, 404);
}
