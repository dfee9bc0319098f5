//! What was granted, revoked, invited and removed shows under `/v1` at once, not only after the next sync.

use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::jane::Jane;

async fn entitlements(deployment: &Deployment, user: &str) -> Vec<String> {
    let person = deployment.json(&format!("/v1/users/{user}")).await;
    person["entitlements"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn holders(deployment: &Deployment, role: &str) -> Vec<Value> {
    deployment.list(&format!("/v1/roles/{role}/members"), 2).await
}

#[tokio::test]
async fn a_grant_and_a_revoke_show_at_once_and_in_every_list() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let role = jane.lacks.governed_as().to_owned();
    let held = format!("role:{role}:member");
    let list = "/v1/users?limit=1000";
    let tag = |answer: &sim::client::Answer| answer.header("etag").unwrap().to_owned();
    let before = tag(&deployment.get(list).await);
    assert_eq!(jane.call("PUT", &jane.lacks).await.json()["status"], "granted");
    assert!(entitlements(deployment, &jane.user).await.contains(&held));
    assert!(holders(deployment, &role).await.iter().any(|holder| holder["user_id"] == json!(jane.user)));
    let grant = format!("{held}:user:{}", jane.user);
    assert!(deployment.list("/v1/grants", 3).await.iter().any(|item| item["id"] == json!(grant)));
    let conditional = deployment.request("GET", list, &[("if-none-match", &before)], None).await;
    assert_eq!(conditional.status, 200, "what changed is not answered with 304");
    let after = tag(&conditional);
    assert_eq!(deployment.request("GET", list, &[("if-none-match", &after)], None).await.status, 304);

    assert_eq!(jane.call("DELETE", &jane.lacks).await.json()["status"], "revoked");
    assert!(!entitlements(deployment, &jane.user).await.contains(&held));
    assert!(!deployment.list("/v1/grants", 3).await.iter().any(|item| item["id"] == json!(grant)));
}
