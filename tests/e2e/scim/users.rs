//! `/Users`: filters, pages, inviting, deactivating.

use serde_json::{Value, json};

use super::{assert_error, patch};
use crate::deployment::Deployment;

const NEWCOMER: &str = "new.hire@example.com";

fn user() -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": NEWCOMER, "active": true })
}

#[tokio::test]
async fn a_user_is_invited_shown_found_and_cancelled() {
    let deployment = Deployment::start().await.synced().await;
    let created = deployment.request("POST", "/scim/v2/Users", &[], Some(&user())).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("content-type"), Some("application/scim+json"));
    let member = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    let body = created.json();
    assert_eq!((&body["id"], &body["userType"]), (&json!(format!("invitation-{}", member.id)), &json!("invitation")));
    let path = format!("/scim/v2/Users/invitation-{}", member.id);
    assert_eq!(body["meta"]["location"].as_str().unwrap().split_once("/scim").unwrap().1, &path["/scim".len()..]);
    assert_eq!(deployment.json(&path).await, body);
    assert_error(&deployment.request("POST", "/scim/v2/Users", &[], Some(&user())).await, 409, Some("uniqueness"));
    let found = deployment.json("/scim/v2/Users?filter=userName%20eq%20%22NEW.HIRE@example.com%22").await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &body["id"]));

    let tag = created.header("etag").unwrap();
    assert_eq!(deployment.request("GET", &path, &[("if-none-match", tag)], None).await.status, 304);
    let stale = deployment.request("DELETE", &path, &[("if-match", "W/\"x\"")], None).await;
    assert_error(&stale, 412, None);
    let gone = patch(&deployment, &path, json!([{ "op": "Replace", "path": "active", "value": "False" }])).await;
    assert_eq!((gone.status, &gone.json()["active"]), (200, &json!(false)), "{}", gone.text());
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    assert_error(&deployment.get(&path).await, 404, None);
    assert_error(&deployment.request("DELETE", &path, &[], None).await, 404, None);
}
