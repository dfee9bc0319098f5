//! The sync: `POST /v1/sync`, the cron trigger, `GET /v1/status`, and what is in KV afterwards.

mod broken;
mod cut_off;
mod memory;

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Latency, Route, Spec};

use crate::deployment::{Deployment, PATIENCE, assert_is_problem, holds, roles, snapshot};

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
async fn cron_and_api_start_a_sync_and_a_second_one_waits_its_turn() {
    let deployment = Deployment::start().await;
    let status = deployment.json("/v1/status").await;
    assert_eq!((&status["state"], &status["running"]), (&json!("not_connected"), &Value::Null));

    // However slow the machine is, it goes on until somebody else has asked.
    deployment.cloudflare.set_route_latency(Route::ListMembers, Latency::of(Duration::from_mins(1)));
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

    deployment.cloudflare.set_route_latency(Route::ListMembers, Latency::default());
    let done = deployment.wait_for_sync(PATIENCE).await.unwrap();
    assert_eq!(done["state"], "connected", "{done}");
    assert_eq!(done["runs"].as_array().unwrap().len(), 1, "one run, whoever asked meanwhile");
    assert_eq!(deployment.world.sync().await.unwrap()["state"], "connected");
    deployment.wait_for("/v1/status", PATIENCE, |status| status["runs"][0]["by"] == "cron").await.unwrap();
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

/// The clock accepts nothing: what disappears in great numbers waits for a person.
#[tokio::test]
async fn a_mass_disappearance_is_held_back_from_the_cron_trigger() {
    let spec = Spec { members: 40, roles: 20, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options).await.synced().await;
    let before = digest(&deployment);
    for member in deployment.cloudflare.memberships().iter().skip(10).take(25) {
        deployment.cloudflare.remove_member(&member.id);
    }
    assert_eq!(deployment.worker.trigger_cron().await.unwrap(), "ok");
    let ended =
        |status: &Value| status["runs"].as_array().is_some_and(|runs| runs.len() == 2) && status["running"].is_null();
    let status = deployment.wait_for("/v1/status", PATIENCE, ended).await.unwrap();
    assert_eq!((&status["runs"][0]["by"], &status["runs"][0]["outcome"]), (&json!("cron"), &json!("held")), "{status}");
    assert_eq!(digest(&deployment), before, "what was published stays");
}
