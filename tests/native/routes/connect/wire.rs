//! `AUTO_WIRE`: what C1 learns of later is pointed here too.

use serde_json::{Value, json};
use sim::conductorone::Entitlement;

use crate::connected::prepared;

/// The job, once it has an outcome or waits for its next look.
fn wire(status: &Value) -> Option<&Value> {
    status["jobs"].as_array()?.iter().find(|job| job["kind"] == "wire")
}

#[tokio::test(start_paused = true)]
async fn nothing_is_wired_before_somebody_connected_or_where_it_is_off() {
    for (auto_wire, state) in [("on", Some("failed")), ("off", None)] {
        let connected = prepared(|options| options.var("AUTO_WIRE", auto_wire)).await;
        assert_eq!(connected.cron_and_wait().await["state"], "connected");
        let status = connected
            .until("/v1/status", |status| wire(status).map(|job| job["state"].as_str()) == state.map(Some))
            .await;
        if let Some(job) = wire(&status) {
            assert!(job["message"].as_str().unwrap().contains("connect on this connector's page"), "{job}");
        }
        assert_eq!(connected.c1.api_requests(), []);
        connected.assert_untouched();
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_a_later_sync_finds_is_wired_once_c1_knows_it() {
    let connected = prepared(|options| options.var("AUTO_WIRE", "on")).await;
    assert_eq!(connected.cron_and_wait().await["state"], "connected");
    // Everything that is governed is in C1, so that there is something to be found complete.
    let (known, all) = (connected.roles.len(), connected.list("/v1/entitlements", 1000).await);
    for item in all {
        let id = item["id"].as_str().unwrap();
        if !connected.roles.iter().any(|role| role.external_id == id) {
            connected.c1.add_entitlement(&connected.app, &Entitlement::new(id, id));
        }
    }
    let report = connected.run(json!({})).await;
    assert!(report["entitlements"]["changed"].as_u64().unwrap() > known as u64, "{report}");

    let group = connected.cloudflare.add_group("Operators", Vec::new());
    let entitlement = Entitlement::new(&format!("group:{group}:member"), "Operators Member");
    connected.c1.add_entitlement(&connected.app, &entitlement);
    let status = connected.cron_and_wait().await;
    let generation = status["generations"][0]["generation"].clone();
    let wired = |job: &Value| job["subject"] == generation && job["state"] == "done";
    connected.until("/v1/status", |status| wire(status).is_some_and(wired)).await;
    let policy = json!({ "webhook": { "webhookId": connected.webhook() } });
    assert_eq!(connected.c1.policies(&entitlement.id), (policy.clone(), policy));
    let status = connected.json("/v1/status").await;
    assert_eq!(status["connection"]["last_run"]["by"], "auto_wire", "{}", status["connection"]);
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done");
    assert_eq!(connected.c1.policies(&entitlement.id).0, json!({ "connector": {} }), "undo knows it as well");
}
