//! `AUTO_WIRE`: what C1 learns of later is pointed here too.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::{Value, json};
use sim::conductorone::{ApiFault, App, Entitlement};

use crate::connected::{Connected, lines, prepared};

/// The job, once it has an outcome or waits for its next look.
fn wire(status: &Value) -> Option<&Value> {
    status["jobs"].as_array()?.iter().find(|job| job["kind"] == "wire")
}

/// Everything that is governed is in C1, so that there is something to be found complete.
async fn learn(connected: &Connected) {
    for item in connected.list("/v1/entitlements", 1000).await {
        let id = item["id"].as_str().unwrap();
        if !connected.roles.iter().any(|role| role.external_id == id) {
            connected.c1.add_entitlement(&connected.app, &Entitlement::new(id, id));
        }
    }
}

/// Connected, with everything in C1.
async fn complete() -> Connected {
    let connected = prepared(|options| options.var("AUTO_WIRE", "on")).await;
    assert_eq!(connected.cron_and_wait().await["state"], "connected");
    let known = connected.roles.len();
    learn(&connected).await;
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
        if state.is_none() {
            continue;
        }
        connected.wait(Duration::from_mins(5)).await;
        let job = wired(&connected, "failed").await;
        connected.wait(Duration::from_mins(5)).await;
        assert_eq!(wired(&connected, "failed").await, job, "as long as nobody connects it is left alone");
        learn(&connected).await;
        assert_eq!(connected.run(json!({})).await["state"], "done");
        let done = wired(&connected, "done").await;
        assert_eq!(done["subject"], job["subject"], "nothing was published since");
        connected.wait(Duration::from_mins(5)).await;
        assert_eq!(wired(&connected, "done").await, done, "once");
    }
}

/// What it began by itself nobody could stop otherwise.
#[tokio::test(start_paused = true)]
async fn a_run_that_began_by_itself_ends_where_auto_wire_is_turned_off_and_one_that_somebody_asked_for_goes_on() {
    let connected = complete().await;
    let [first, second] = ["Operators", "Watchers"].map(|name| later_group(&connected, name));
    let route = format!("POST /api/v1/apps/{}/entitlements/{}", connected.app.id, second.id);
    let busy = || connected.c1.fail_api(&route, ApiFault::RateLimited(1), None);
    let waits = |report: &Value| report["state"] == "running" && report["message"].is_string();
    busy();
    connected.cron_and_wait().await;
    let report = connected.until("/v1/connect", waits).await;
    assert_eq!(report["by"], "auto_wire", "{report}");
    assert_leads_here(&connected, &first, "it comes before the other");
    connected.unset_var("AUTO_WIRE");
    connected.c1.heal_api();
    let report = connected.ended().await;
    assert_eq!(report["state"], "failed", "{report}");
    assert!(report["message"].as_str().unwrap().starts_with("AUTO_WIRE is off by now"), "{report}");
    connected.wait(Duration::from_mins(1)).await;
    assert_eq!(connected.c1.policies(&second.id).0, json!({ "connector": {} }));
    assert_leads_here(&connected, &first, "what was changed stays");
    assert_eq!(wire(&connected.json("/v1/status").await), None, "nobody is told to do anything");
    // The control: the alarm carries this one on, too.
    busy();
    connected.post(&json!({})).await;
    let report = connected.until("/v1/connect", waits).await;
    assert_eq!(report["by"], "api", "{report}");
    connected.restart();
    connected.c1.heal_api();
    let report = connected.ended().await;
    assert_eq!(report["state"], "done", "{report}");
    assert_leads_here(&connected, &second, "somebody asked");
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
    let asked = connected.c1.api_requests().len();
    connected.wait(Duration::from_mins(5)).await;
    assert_eq!(wired(&connected, "failed").await, job, "nobody connected since");
    assert_eq!(connected.c1.api_requests().len(), asked);
    assert_eq!(connected.c1.policies(&refused.id).0, json!({ "connector": {} }));
    let other = later_group(&connected, "Another");
    wired(&connected, "done").await;
    for group in [&refused, &other] {
        assert_leads_here(&connected, group, "C1 refused it once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_since_is_not_pointed_here_again_by_itself() {
    for noted in [
        "SELECT 1",
        // As where everything led here already when it was first connected.
        "DELETE FROM connect_saved",
        // As an earlier version noted it.
        "DELETE FROM connect_settled WHERE own IN (SELECT id FROM connect_entitlement)",
    ] {
        let connected = complete().await;
        connected.world().query(noted, &[]).unwrap();
        let (here, back) = (json!({ "webhook": { "webhookId": connected.webhook() } }), json!({ "connector": {} }));
        let (role, half) = (&connected.roles[0], &connected.roles[1]);
        connected.c1.set_policies(&role.id, &back, &Value::Null);
        connected.c1.set_policies(&half.id, &here, &back);
        for name in ["Operators", "Watchers"] {
            let group = later_group(&connected, name);
            let job = wired(&connected, "done").await;
            let said = job["message"].as_str().unwrap();
            assert!(said.contains("nobody set otherwise") && said.contains("(GET /v1/connect)"), "{said}");
            assert_leads_here(&connected, &group, "it is new");
            assert_eq!(connected.c1.policies(&role.id), (back.clone(), Value::Null), "{noted}, {name}");
            assert_eq!(connected.c1.policies(&half.id), (here.clone(), back.clone()), "{noted}, {name}");
            let report = connected.json("/v1/connect").await;
            let left = lines(&report, "left").join("\n");
            assert!(report["by"] == "auto_wire" && left.contains("somebody changed it"), "{report}");
            assert!(left.contains(&role.display_name) && left.contains(&half.display_name), "{left}");
        }
        // The control: whoever asks for it has them lead here again.
        assert_eq!(connected.run(json!({})).await["state"], "done");
        for entitlement in [role, half] {
            assert_leads_here(&connected, entitlement, noted);
        }
    }
}

/// What was none of ours when it was last listed, nobody had lead here.
#[tokio::test(start_paused = true)]
async fn what_is_known_for_ours_by_its_name_later_is_wired_then() {
    let connected = complete().await;
    let nameless = connected.roles[0].clone().known_by_name_only();
    let named = Entitlement { id: "2Latecomers".into(), display_name: "Latecomers".into(), ..nameless };
    connected.c1.add_entitlement(&connected.app, &named);
    assert_eq!(connected.run(json!({})).await["state"], "done");
    assert_eq!(connected.c1.policies(&named.id).0, json!({ "connector": {} }));
    connected.cloudflare.add_group("Latecomers", Vec::new());
    wired(&connected, "done").await;
    assert_leads_here(&connected, &named, "its name is a group's");
}

/// What was put back by an undo nobody set back by hand.
#[tokio::test(start_paused = true)]
async fn what_was_put_back_is_wired_where_the_run_that_was_to_connect_it_again_broke_off() {
    let connected = complete().await;
    let route = format!("POST /api/v1/apps/{}/entitlements/{}", connected.app.id, connected.roles[0].id);
    connected.c1.fail_api(&route, ApiFault::Status(400), Some(1));
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "failed");
    connected.c1.forbid_api("GET /api/v1/webhooks");
    assert_eq!(connected.run(json!({})).await["state"], "failed");
    connected.c1.allow_api();
    assert_eq!(connected.c1.policies(&connected.roles[1].id).0, json!({ "connector": {} }));
    // What is sent first is kept before, and C1 does not take it at once.
    connected.c1.fail_api("POST /api/v1/apps/", ApiFault::Status(503), Some(1));
    later_group(&connected, "Operators");
    wired(&connected, "done").await;
    connected.assert_wired(&connected.webhook());
}

/// What it was before is kept before it is sent, which is no sign that it ever led here.
#[tokio::test(start_paused = true)]
async fn what_c1_made_anew_is_wired_also_where_its_first_answer_does_not_come() {
    for fault in [ApiFault::Status(503), ApiFault::Reset, ApiFault::DoneButReset] {
        let connected = complete().await;
        let anew = Entitlement { id: "2MadeAnew".into(), ..connected.roles[0].clone() };
        connected.c1.remove_entitlement(&connected.roles[0].id);
        connected.c1.add_entitlement(&connected.app, &anew);
        let route = format!("POST /api/v1/apps/{}/entitlements/{}", connected.app.id, anew.id);
        connected.c1.fail_api(&route, fault.clone(), Some(1));
        later_group(&connected, "Operators");
        wired(&connected, "done").await;
        assert_leads_here(&connected, &anew, "it is new");
        let asked = connected.c1.api_requests().into_iter().filter(|request| request.route == route).count();
        assert!(asked > 0, "{fault:?}");
        let report = connected.json("/v1/connect").await;
        assert_eq!(lines(&report, "left"), Vec::<String>::new(), "{fault:?}");
        let told = lines(&report, "changed");
        assert_eq!(told.iter().filter(|line| line.contains(&anew.display_name)).count(), 1, "{fault:?}: {told:?}");
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
    wired(&connected, "done").await;
    let group = later_group(&connected, "Newcomers");
    wired(&connected, "done").await;
    assert_leads_here(&connected, &group, "it goes on with what was connected again");
}
