//! The sync: `POST /v1/sync`, the cron trigger, `GET /v1/status`, and what is in KV afterwards.

mod broken;
mod cut_off;
mod memory;

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Fault, Latency, Permission, Route, Spec};
use sim::harness::kv::KvCall;

use crate::deployment::{Deployment, PATIENCE, assert_is_account, assert_is_problem, holds, roles, small, snapshot};

/// An account whose members fill three pages.
fn three_pages() -> Spec {
    Spec { members: 120, roles: 20, ..Spec::default() }
}

/// The digest of what is published.
fn digest(deployment: &Deployment) -> String {
    let current = deployment.kv.get_json("current").unwrap_or_default();
    current["digest"].as_str().unwrap_or_default().to_owned()
}

/// Starts a sync through the API and waits for its end; gives the run as `GET /v1/status` remembers it.
async fn run(deployment: &Deployment, body: &Value) -> Value {
    let begun = deployment.request("POST", "/v1/sync", &[], Some(body)).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let id = begun.json()["run"].clone();
    let ended = |status: &Value| status["runs"][0]["run"] == id && status["running"].is_null();
    deployment.wait_for("/v1/status", PATIENCE, ended).await.unwrap()["runs"][0].clone()
}

#[tokio::test]
async fn the_snapshot_is_the_account_whatever_the_page_size() {
    let deployment = Deployment::with(three_pages(), |options| options).await.synced().await;
    let truth = deployment.cloudflare.truth();
    for limit in [1000, 100, 17] {
        assert_eq!(snapshot(&deployment, limit).await, truth, "in pages of {limit}");
    }
}

#[tokio::test]
async fn an_account_of_one_is_an_account() {
    for members in [0, 1] {
        let spec = Spec { members, groups: 0, tokens: 1, ..small() };
        let deployment = Deployment::with(spec, |options| options).await.synced().await;
        assert_eq!(snapshot(&deployment, 1).await, deployment.cloudflare.truth(), "{members} members");
    }
}

#[tokio::test]
async fn a_sync_asks_no_more_often_than_it_must() {
    let deployment = Deployment::with(three_pages(), |options| options).await.synced().await;
    let pages = |items: usize| items.div_ceil(50);
    let spec = three_pages();
    let most = pages(spec.members)
        + pages(spec.roles)
        + pages(deployment.cloudflare.permission_groups().len())
        + spec.groups
        + 9
        // Three at most ask whether a member's record shows what a group gives.
        + 1
        // The domains' names, since somebody holds a role on one.
        + 1;
    let sent = deployment.cloudflare.total_requests();
    assert!(sent <= most, "{sent} requests, {most} at most: {:?}", deployment.cloudflare.counts());
    assert!(deployment.cloudflare.most_in_flight() <= 6, "a Worker has six connections");
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["runs"][0]["requests"], sent, "and it counts right");
}

#[tokio::test]
async fn cron_and_api_start_a_sync_and_a_second_one_waits_its_turn() {
    let deployment = Deployment::start().await;
    let status = deployment.json("/v1/status").await;
    assert_eq!((&status["state"], &status["running"]), (&json!("not_connected"), &Value::Null));

    deployment.cloudflare.set_latency(Latency::of(Duration::from_millis(150)));
    let begun = deployment.request("POST", "/v1/sync", &[], None).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let id = begun.json()["run"].as_str().unwrap().to_owned();
    let second = deployment.request("POST", "/v1/sync", &[], None).await;
    assert_eq!((second.status, assert_is_problem(&second, "second").as_str()), (409, "sync_running"));
    assert!(second.text().contains(&id), "it says which one runs");
    assert_eq!(deployment.worker.trigger_cron().await.unwrap(), "ok", "to the cron that is no error");
    let running = deployment.json("/v1/status").await;
    assert_eq!((&running["state"], &running["running"]["run"]), (&json!("syncing"), &json!(id)));
    assert_eq!(running["running"]["by"], "api");

    let done = deployment.wait_for_sync(PATIENCE).await.unwrap();
    assert_eq!(done["state"], "connected", "{done}");
    assert_eq!(done["runs"].as_array().unwrap().len(), 1, "one run, whoever asked meanwhile");
    deployment.cloudflare.set_latency(Latency::default());
    assert_eq!(deployment.world.sync().await.unwrap()["state"], "connected");
    deployment.wait_for("/v1/status", PATIENCE, |status| status["runs"][0]["by"] == "cron").await.unwrap();
}

#[tokio::test]
async fn a_second_sync_of_the_same_account_writes_nothing() {
    let deployment = Deployment::with(three_pages(), |options| options).await.synced().await;
    let (before, published) = (deployment.kv.contents(), digest(&deployment));
    deployment.kv.forget_operations();
    let second = run(&deployment, &Value::Null).await;
    assert_eq!(second["outcome"], "unchanged", "{second}");
    let written = deployment.kv.written();
    assert!(!written.iter().any(|key| key.starts_with("chunk/")), "{written:?}");
    assert!(written.len() <= 3, "{written:?}");
    assert_eq!(deployment.kv.count(KvCall::List), 0, "lists are slow and dear");
    assert_eq!((deployment.kv.contents(), digest(&deployment)), (before, published));
    let changes = deployment.json("/v1/changes").await;
    assert_eq!(changes["items"], json!([]));
}

#[tokio::test]
async fn one_change_in_the_account_is_one_change_in_the_snapshot() {
    let deployment = Deployment::with(three_pages(), |options| options).await;
    let roles = roles(&deployment.cloudflare);
    let policies = vec![holds(&deployment.cloudflare, &roles[0])];
    let member = deployment.cloudflare.add_member("jane.doe@example.com", policies);
    let deployment = deployment.synced().await;
    deployment.kv.forget_operations();

    deployment.cloudflare.add_policy(&member, holds(&deployment.cloudflare, &roles[1]));
    let second = run(&deployment, &Value::Null).await;
    assert_eq!(second["outcome"], "published", "{second}");
    let chunks = deployment.kv.written().iter().filter(|key| key.starts_with("chunk/")).count();
    assert!(chunks <= 2, "{:?}", deployment.kv.written());
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());

    let changes = deployment.json("/v1/changes").await;
    let [change] = changes["items"].as_array().unwrap().as_slice() else { panic!("{changes}") };
    let user = deployment.cloudflare.membership(&member).unwrap().user_id.unwrap();
    let grant = format!("role:{}:member:user:{user}", roles[1].governed_as());
    assert_eq!((&change["kind"], &change["key"]), (&json!("changed"), &json!(format!("user:{user}"))), "{change}");
    assert_eq!(change["grants_added"], json!([grant]), "{change}");
    assert_eq!(change["grants_removed"], json!([]), "{change}");
}

#[tokio::test]
async fn on_the_free_plan_a_sync_takes_several_steps_and_finds_the_same() {
    let spec = Spec { members: 260, ..three_pages() };
    let paid = Deployment::with(spec.clone(), |options| options).await.synced().await;
    let free = Deployment::with(spec, |options| options.var("PLAN", "free")).await.synced().await;
    assert_eq!(digest(&free), digest(&paid));
    assert!(!paid.kv.written().contains(&"sync/cursor".to_owned()), "one step needs no copy of its cursor");
    assert!(free.kv.written().contains(&"sync/cursor".to_owned()));
    assert_eq!(free.kv.get("sync/cursor"), None, "the cursor goes when the run is over");
    assert_eq!(snapshot(&free, 1000).await, free.cloudflare.truth());
    assert_eq!(free.cloudflare.total_requests(), paid.cloudflare.total_requests(), "no page is read twice");
}

#[tokio::test]
async fn a_list_that_the_token_may_not_read_is_a_capability_that_is_off() {
    let deployment = Deployment::start().await;
    deployment.cloudflare.revoke_permission(Permission::Tokens);
    let deployment = deployment.synced().await;
    let status = deployment.json("/v1/status").await;
    let off: Vec<_> = status["capabilities"].as_object().unwrap().iter().filter(|(_, is)| is["on"] == false).collect();
    let [(name, capability)] = off.as_slice() else { panic!("{status}") };
    assert!(name.contains("token"), "{name}");
    assert!(capability["message"].as_str().unwrap().contains("Account API Tokens: Read"), "{capability}");
    let mut truth = deployment.cloudflare.truth();
    truth.tokens.clear();
    assert_eq!(snapshot(&deployment, 1000).await, truth);

    deployment.cloudflare.allow_permission(Permission::Tokens);
    assert_eq!(run(&deployment, &Value::Null).await["outcome"], "published");
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}

#[tokio::test]
async fn a_permission_that_is_lost_later_does_not_look_like_people_losing_access() {
    let deployment = Deployment::start().await.synced().await;
    let truth = deployment.cloudflare.truth();
    deployment.cloudflare.revoke_permission(Permission::UserGroups);
    run(&deployment, &Value::Null).await;
    assert_eq!(snapshot(&deployment, 1000).await.grants, truth.grants);
    run(&deployment, &json!({ "accept_removals": true })).await;
    let accepted = snapshot(&deployment, 1000).await;
    assert!(accepted.groups.is_empty() && accepted.grants.len() < truth.grants.len());
}

#[tokio::test]
async fn most_people_gone_at_once_is_held_until_somebody_says_that_it_is_right() {
    let deployment = Deployment::with(Spec { members: 40, ..small() }, |options| options).await.synced().await;
    let published = (digest(&deployment), snapshot(&deployment, 1000).await);
    for member in deployment.cloudflare.memberships().iter().skip(3).take(25) {
        deployment.cloudflare.remove_member(&member.id);
    }
    let held = run(&deployment, &Value::Null).await;
    assert_eq!(held["outcome"], "held", "{held}");
    assert!(held["message"].as_str().unwrap().contains("25 of 40"), "{held}");
    assert_eq!((digest(&deployment), snapshot(&deployment, 1000).await), published);
    assert_eq!(deployment.json("/v1/status").await["state"], "error");

    let accepted = run(&deployment, &json!({ "accept_removals": true })).await;
    assert_eq!(accepted["outcome"], "published", "{accepted}");
    assert_is_account(&deployment).await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_an_error_with_a_sentence_and_the_old_snapshot_stays() {
    let deployment = Deployment::start().await.synced().await;
    let published = (digest(&deployment), snapshot(&deployment, 1000).await);
    deployment.cloudflare.set_token_status("disabled");
    let failed = run(&deployment, &Value::Null).await;
    assert_eq!(failed["outcome"], "failed", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("CLOUDFLARE_API_TOKEN"), "it says what to do: {failed}");
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["state"], "error");
    assert_eq!((digest(&deployment), snapshot(&deployment, 1000).await), published);

    deployment.cloudflare.set_token_status("active");
    deployment.cloudflare.add_member("late.comer@example.com", Vec::new());
    assert_eq!(run(&deployment, &Value::Null).await["outcome"], "published", "a person need not wait");
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}

#[tokio::test]
async fn members_that_move_between_two_pages_are_not_lost() {
    let deployment = Deployment::with(three_pages(), |options| options).await;
    // Somebody on the first page leaves after it was read: the first of page two is now the last of page one.
    deployment.cloudflare.after_page(Route::ListMembers, 1, |cloudflare, _| {
        let first = cloudflare.memberships().into_iter().min_by(|a, b| a.email.cmp(&b.email)).unwrap();
        cloudflare.remove_member(&first.id);
    });
    let deployment = deployment.synced().await;
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}

#[tokio::test]
async fn an_error_that_passes_is_passed_over() {
    let deployment = Deployment::start().await;
    deployment.cloudflare.fail_next(Route::ListMembers, 1, Fault::Html { status: 524 });
    deployment.cloudflare.fail_next(Route::ListPermissionGroups, 1, Fault::Reset);
    deployment.cloudflare.fail_next(Route::ListRoles, 1, Fault::TruncatedJson);
    let deployment = deployment.synced().await;
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}
