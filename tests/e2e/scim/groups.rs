//! `/Groups`: reading, and changing members.

use serde_json::json;

use super::{GROUP, assert_error, members, patch};
use crate::grants::Jane;

#[tokio::test]
async fn members_are_added_and_removed_and_the_answer_shows_it() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let group = format!("role-{}", jane.lacks.governed_as());
    let path = format!("/scim/v2/Groups/{group}");
    let before = members(deployment, &group).await;
    let add = json!([{ "op": "add", "path": format!("{GROUP}:members"), "value": [{ "value": jane.user }] }]);
    let added = patch(deployment, &path, add.clone()).await;
    assert_eq!(added.status, 200, "{}", added.text());
    assert!(added.json()["members"].as_array().unwrap().iter().any(|member| member["value"] == json!(jane.user)));
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(patch(deployment, &path, add).await.status, 200);
    let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", jane.user) }]);
    assert_eq!(patch(deployment, &path, remove).await.status, 200);
    jane.changed(&[], &[]);
    assert_eq!(members(deployment, &group).await, before);
    let operations = deployment.json("/v1/operations").await;
    assert_eq!(operations["items"].as_array().unwrap().len(), 2, "what has no effect is no operation: {operations}");
}

#[tokio::test]
async fn a_refusal_is_told_with_what_was_done_before_it() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
    let nobody = "f".repeat(32);
    let value = json!([{ "value": jane.user }, { "value": nobody }]);
    let answer = patch(deployment, &path, json!([{ "op": "add", "path": "members", "value": value }])).await;
    assert_error(&answer, 400, Some("invalidValue"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("Done before that: Granted"), "{}", answer.text());
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    // Her last role is kept by the guard.
    let path = format!("/scim/v2/Groups/role-{}", jane.has.governed_as());
    patch(
        deployment,
        &format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as()),
        json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", jane.user) }]),
    )
    .await;
    let answer =
        patch(deployment, &path, json!([{ "op": "remove", "path": "members", "value": [{ "value": jane.user }] }]))
            .await;
    assert_error(&answer, 409, None);
    jane.changed(&[], &[]);
}

#[tokio::test]
async fn what_provisioning_off_would_do_is_refused_with_the_sentence() {
    let jane = Jane::with(1, "off").await;
    let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
    let answer =
        patch(&jane.deployment, &path, json!([{ "op": "add", "path": "members", "value": [{ "value": jane.user }] }]))
            .await;
    assert_error(&answer, 409, None);
    assert!(answer.json()["detail"].as_str().unwrap().contains("would have granted"), "{}", answer.text());
    jane.changed(&[], &[]);
}
