//! `/Groups`: reading, and changing members.

use serde_json::json;

use super::{GROUP, members, patch};
use crate::jane::Jane;

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
    assert_eq!(operations["items"].as_array().unwrap().len(), 3, "what is so already was looked at: {operations}");
}
