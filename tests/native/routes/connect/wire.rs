//! `AUTO_WIRE`: what C1 learns of later is pointed here too.

use serde_json::{Value, json};
use sim::conductorone::{ApiFault, App, Entitlement};

use crate::connected::{Connected, prepared};

/// The job, once it has an outcome or waits for its next look.
fn wire(status: &Value) -> Option<&Value> {
    status["jobs"].as_array()?.iter().find(|job| job["kind"] == "wire")
}

/// Connected, and everything that is governed is in C1, so that there is something to be found complete.
async fn complete() -> Connected {
    let connected = prepared(|options| options.var("AUTO_WIRE", "on")).await;
    assert_eq!(connected.cron_and_wait().await["state"], "connected");
    let (known, all) = (connected.roles.len(), connected.list("/v1/entitlements", 1000).await);
    for item in all {
        let id = item["id"].as_str().unwrap();
        if !connected.roles.iter().any(|role| role.external_id == id) {
            connected.c1.add_entitlement(&connected.app, &Entitlement::new(id, id));
        }
    }
    let report = connected.run(json!({})).await;
    assert!(report["entitlements"]["changed"].as_u64().unwrap() > known as u64, "{report}");
    connected
}

/// A group that comes later, of which C1 knows already.
fn later_group(connected: &Connected, name: &str) -> Entitlement {
    let group = connected.cloudflare.add_group(name, Vec::new());
    let entitlement = Entitlement::new(&format!("group:{group}:member"), &format!("{name} Member"));
    connected.c1.add_entitlement(&connected.app, &entitlement);
    entitlement
}

/// Syncs what changed, and gives the job about it once it has ended so.
async fn wired(connected: &Connected, state: &str) -> Value {
    let generation = connected.cron_and_wait().await["generations"][0]["generation"].clone();
    let ended = |job: &Value| job["subject"] == generation && job["state"] == state;
    let status = connected.until("/v1/status", |status| wire(status).is_some_and(ended)).await;
    wire(&status).unwrap().clone()
}

fn assert_leads_here(connected: &Connected, entitlement: &Entitlement, what: &str) {
    let policy = json!({ "webhook": { "webhookId": connected.webhook() } });
    assert_eq!(connected.c1.policies(&entitlement.id), (policy.clone(), policy), "{what}");
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
    let connected = complete().await;
    let group = later_group(&connected, "Operators");
    wired(&connected, "done").await;
    assert_leads_here(&connected, &group, "once C1 knows it");
    let status = connected.json("/v1/status").await;
    assert_eq!(status["connection"]["last_run"]["by"], "auto_wire", "{}", status["connection"]);
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done");
    assert_eq!(connected.c1.policies(&group.id).0, json!({ "connector": {} }), "undo knows it as well");
}

/// The API key may be another tenant's by now, or see less than it did.
#[tokio::test(start_paused = true)]
async fn where_the_app_that_was_connected_is_not_to_be_seen_no_other_one_is_taken_for_it() {
    let connected = complete().await;
    let twin = App { id: "2TwinTwinTwinTwinTwinTwinTw".into(), display_name: "Cloudflare".into() };
    let group = Entitlement { id: "2TwinGroup".into(), ..connected.roles.last().unwrap().clone() };
    connected.c1.add_app(&twin, std::slice::from_ref(&group));
    let untouched = || assert_eq!(connected.c1.policies(&group.id).0, json!({ "connector": {} }));
    connected.set_var("C1_APP_ID", &twin.id);
    later_group(&connected, "Watchers");
    let job = wired(&connected, "failed").await;
    assert!(job["message"].as_str().unwrap().contains("C1_APP_ID is 2TwinTwin"), "{job}");
    untouched();
    connected.unset_var("C1_APP_ID");
    let route = format!("GET /api/v1/apps/{}", connected.app.id);
    connected.c1.fail_api(&route, ApiFault::Status(404), None);
    later_group(&connected, "Operators");
    let job = wired(&connected, "failed").await;
    assert!(job["message"].as_str().unwrap().contains("is not in ConductorOne"), "{job}");
    untouched();
    // The control: whoever asks for it has the other one connected.
    assert_eq!(connected.run(json!({})).await["state"], "done");
    assert_leads_here(&connected, &group, "somebody asked");
}

#[tokio::test(start_paused = true)]
async fn what_a_run_saw_and_did_not_wire_is_wired_later() {
    let connected = complete().await;
    let dry = later_group(&connected, "Dry");
    assert_eq!(connected.run(json!({ "dry_run": true })).await["state"], "done");
    wired(&connected, "done").await;
    assert_leads_here(&connected, &dry, "a dry run saw it");

    let stopped = later_group(&connected, "Stopped");
    connected.c1.forbid_api("GET /api/v1/webhooks");
    assert_eq!(connected.run(json!({})).await["state"], "failed");
    connected.c1.allow_api();
    wired(&connected, "done").await;
    assert_leads_here(&connected, &stopped, "a run saw it that stopped before");

    let refused = later_group(&connected, "Refused");
    let route = format!("POST /api/v1/apps/{}/entitlements/{}", connected.app.id, refused.id);
    connected.c1.fail_api(&route, ApiFault::Status(400), Some(1));
    let job = wired(&connected, "failed").await;
    assert!(job["message"].as_str().unwrap().contains("1 failed"), "{job}");
    assert_eq!(connected.c1.policies(&refused.id).0, json!({ "connector": {} }));
    let other = later_group(&connected, "Another");
    wired(&connected, "done").await;
    for group in [&refused, &other] {
        assert_leads_here(&connected, group, "C1 refused it once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_put_back_is_not_wired_again_before_somebody_connects() {
    let connected = complete().await;
    let webhook = connected.webhook();
    let route = format!("POST /api/v1/apps/{}/entitlements/{}", connected.app.id, connected.roles[0].id);
    connected.c1.fail_api(&route, ApiFault::Status(400), Some(1));
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "failed");

    let group = later_group(&connected, "Operators");
    let assert_stays = |what: &str| {
        for entitlement in [&connected.roles[1], &connected.roles[2], &group] {
            assert_eq!(connected.c1.policies(&entitlement.id).0, json!({ "connector": {} }), "{what}");
        }
    };
    let job = wired(&connected, "failed").await;
    assert!(job["message"].as_str().unwrap().contains("asked to put back"), "{job}");
    assert_stays("C1 did not let one go back");
    // Nor where somebody looks what connecting would change.
    assert_eq!(connected.run(json!({ "dry_run": true })).await["state"], "done");
    later_group(&connected, "More operators");
    wired(&connected, "failed").await;
    assert_stays("a dry run connects nothing");

    assert_eq!(connected.run(json!({})).await["state"], "done");
    connected.assert_wired(&webhook);
    let group = later_group(&connected, "Newcomers");
    wired(&connected, "done").await;
    assert_leads_here(&connected, &group, "it goes on with what was connected again");
}
