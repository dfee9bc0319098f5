//! What was granted, revoked, invited and removed shows under `/v1` at once, not only after the next sync.

use serde_json::json;

use crate::jane::{EMAIL, Jane};
use crate::looks::assert_is_account;

#[tokio::test(start_paused = true)]
async fn lists_are_the_account_as_operations_left_it_before_and_after_the_next_sync() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    jane.call("PUT", &jane.lacks).await;
    let invited =
        deployment.request("POST", "/v1/accounts", &[], Some(&json!({ "email": "newcomer@example.com" }))).await;
    assert_eq!(invited.json()["status"], "invited", "{}", invited.text());
    let mut others = deployment.cloudflare.memberships().into_iter();
    let other = others.rfind(|member| member.email != EMAIL && member.status == "accepted").unwrap();
    let group = deployment.json("/v1/groups").await["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/groups/{group}/members/{}", jane.user);
    deployment.request("PUT", &path, &[], None).await;
    let gone = deployment.request("DELETE", &format!("/v1/accounts/{}", other.user_id.unwrap()), &[], None).await;
    assert_eq!(gone.json()["status"], "removed", "{}", gone.text());

    assert_is_account(deployment).await;
    deployment.sync().await;
    assert_is_account(deployment).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_being_paged_through_does_not_change_under_the_reader() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let first = deployment.json("/v1/grants?limit=2").await;
    let whole = deployment.list("/v1/grants", 1000).await;
    jane.call("PUT", &jane.lacks).await;
    let mut items = first["items"].as_array().unwrap().clone();
    let mut cursor = first["next_cursor"].as_str().map(str::to_owned);
    while let Some(next) = cursor {
        let page = deployment.json(&format!("/v1/grants?limit=2&cursor={next}")).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(items, whole, "the list that began before the grant");
    assert_eq!(deployment.list("/v1/grants", 2).await.len(), whole.len() + 1, "and one that began after it");
}
