//! What was granted, revoked, invited and removed shows under `/v1` at once, not only after the next sync.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane};
use crate::looks::{assert_is_account, holds, roles};

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

async fn entitlements(deployment: &Deployment, user: &str) -> Vec<String> {
    let person = deployment.json(&format!("/v1/users/{user}")).await;
    person["entitlements"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn holders(deployment: &Deployment, role: &str) -> Vec<Value> {
    deployment.list(&format!("/v1/roles/{role}/members"), 2).await
}

#[tokio::test(start_paused = true)]
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

/// What another hand gave or took, and a sync has published since. KV takes a minute to show that everywhere.
#[tokio::test(start_paused = true)]
async fn what_an_operation_found_to_be_so_already_shows_where_kv_shows_the_generation_before() {
    for (method, status) in [("PUT", "already_granted"), ("DELETE", "already_revoked")] {
        let jane = Jane::holding(2).await;
        let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
        let older = deployment.world().desk.values.borrow()[&deployment.world().desk.key("current")].clone();
        let known = roles(cloudflare);
        let (role, is_grant) = if method == "PUT" { (&jane.lacks, true) } else { (&jane.has, false) };
        let mut held = vec![holds(cloudflare, &known[1])];
        held.extend(is_grant.then(|| holds(cloudflare, role)));
        cloudflare.set_policies(&jane.member, held);
        deployment.sync().await;
        assert_eq!(jane.call(method, role).await.json()["status"], status);
        let newest = deployment.lose("current");
        deployment.keep("current", older);
        let shown = entitlements(deployment, &jane.user).await;
        assert_eq!(shown.contains(&format!("role:{}:member", role.governed_as())), is_grant, "{status}: {shown:?}");
        // The control: what every place shows by then is not noted.
        let noted = || deployment.world().query("SELECT 1 FROM overlay", &[]).unwrap().len();
        deployment.keep("current", newest);
        deployment.wait(Duration::from_mins(3)).await;
        let before = noted();
        assert_eq!(jane.call(method, role).await.json()["status"], status);
        assert_eq!(noted(), before, "{status}");
    }
}
