//! `/scim/v2/Users`: removing within the guards, and errors.

use serde_json::json;

use super::scim::assert_error;
use crate::deployment::Deployment;

#[tokio::test(start_paused = true)]
async fn a_member_is_removed_by_put_and_by_delete_within_the_guards() {
    let deployment = Deployment::start().await;
    let members = ["one@example.com", "two@example.com"].map(|email| {
        let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
        let policy = crate::looks::holds(&deployment.cloudflare, &role);
        let id = deployment.cloudflare.add_member(email, vec![policy]);
        deployment.cloudflare.membership(&id).unwrap()
    });
    deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
    let deployment = deployment.synced().await;
    let path = |user: &Option<String>| format!("/scim/v2/Users/{}", user.as_deref().unwrap());
    let first = path(&members[0].user_id);
    let other = json!({ "userName": "three@example.com", "active": true });
    assert_error(&deployment.request("PUT", &first, &[], Some(&other)).await, 400, Some("mutability"));
    let inactive = json!({ "userName": "one@example.com", "active": false });
    assert_eq!(deployment.request("PUT", &first, &[], Some(&inactive)).await.status, 200);
    assert!(deployment.cloudflare.membership_of("one@example.com").is_none());
    let capped = deployment.request("DELETE", &path(&members[1].user_id), &[], None).await;
    assert_error(&capped, 429, None);
    assert!(capped.json()["detail"].as_str().unwrap().contains("MAX_REMOVALS_PER_HOUR"));
    assert!(deployment.cloudflare.membership_of("two@example.com").is_some());
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_form_of_scim() {
    let deployment = Deployment::start().await;
    assert_error(&deployment.get("/scim/v2/Users").await, 503, None);
    let deployment = deployment.synced().await;
    assert_error(&deployment.raw("GET", "/scim/v2/Users", &[], None).await, 401, None);
    for (method, path, status, scim_type) in [
        ("GET", "/scim/v2/Devices", 404, None),
        ("GET", "/scim/v2/Users/jane", 404, None),
        ("GET", "/scim", 404, None),
        ("POST", "/scim/v2/Groups", 405, None),
        ("GET", "/scim/v2/Me", 501, None),
        ("POST", "/scim/v2/Bulk", 501, None),
        ("GET", "/scim/v2/Schemas?filter=id%20pr", 403, None),
        ("GET", "/scim/v2/Users?filter=password%20pr", 400, Some("invalidFilter")),
        ("GET", "/scim/v2/Users?count=many", 400, Some("invalidValue")),
    ] {
        assert_error(&deployment.request(method, path, &[], None).await, status, scim_type);
    }
    for body in [json!([]), json!({ "userName": "jane" }), json!({ "userName": "a@example.com", "active": false })] {
        assert_eq!(deployment.request("POST", "/scim/v2/Users", &[], Some(&body)).await.status, 400);
    }
    let search = json!({ "filter": "active eq true", "count": 2, "attributes": ["userName"] });
    let found = deployment.request("POST", "/scim/v2/Users/.search", &[], Some(&search)).await.json();
    assert_eq!(found["itemsPerPage"], 2);
    assert_eq!(found["Resources"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "schemas", "userName"]);
}
