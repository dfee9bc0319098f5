//! `PUT` and `DELETE /v1/roles/{role}/members/{user}`, and of scoped roles and user groups.

use serde_json::json;
use sim::cloudflare::Access;

use crate::deployment::holds;
use crate::jane::{EMAIL, Jane, assert_done};

#[tokio::test]
async fn a_grant_adds_exactly_one_atom_in_three_calls_and_a_revoke_takes_it_back_in_four() {
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
    // The last asks whether a user group gives the role as well.
    assert_eq!(jane.requests(), ["GET", "PUT", "GET", "GET"]);
}

#[tokio::test]
async fn a_role_on_one_domain_and_a_user_group_are_granted_and_revoked() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let role = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let (domain, _) = cloudflare.domain_resource_groups()[0].clone();
    let path = format!("/v1/scoped-roles/{}-{domain}/members/{}", role.id, jane.user);
    assert_done(&jane.deployment.request("PUT", &path, &[], None).await, "granted");
    jane.changed(&[(Access::Allow, role.id, domain)], &[]);
    assert_done(&jane.deployment.request("DELETE", &path, &[], None).await, "revoked");
    jane.changed(&[], &[]);

    let group = cloudflare.add_group("Operators", vec![holds(cloudflare, &jane.lacks)]);
    let is_in = || cloudflare.membership(&jane.member).unwrap().groups.contains(&group);
    let path = format!("/v1/groups/{group}/members/{}", jane.user);
    assert_done(&jane.deployment.request("PUT", &path, &[], None).await, "granted");
    assert!(is_in());
    assert_done(&jane.deployment.request("DELETE", &path, &[], None).await, "revoked");
    assert!(!is_in());
    jane.changed(&[], &[]);
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
