//! `/v1/accounts`.

use serde_json::json;

use crate::calls::{NEWCOMER, assert_effect, assert_refused, call, deployed};
use crate::deployment::roles;

#[tokio::test]
async fn accounts_are_made_and_removed_by_rest() {
    let deployment = deployed(|options| options).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    let entitlement = format!("role:{}:member", role.governed_as());
    let body = json!({ "email": NEWCOMER, "entitlement": entitlement });
    assert_effect(&call(&deployment, "POST", "/v1/accounts", Some(&body)).await, "granted");
    assert_effect(&call(&deployment, "POST", "/v1/accounts", Some(&body)).await, "already_granted");
    let member = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    let path = format!("/v1/accounts/invitation:{}", member.id);
    assert_effect(&call(&deployment, "DELETE", &path, None).await, "removed");
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    assert_effect(&call(&deployment, "DELETE", &path, None).await, "already_revoked");
    for body in [json!({}), json!({ "email": "nobody" }), json!({ "email": "a@b", "roles": [] })] {
        assert_refused(&call(&deployment, "POST", "/v1/accounts", Some(&body)).await, 400, "invalid_request");
    }
}
