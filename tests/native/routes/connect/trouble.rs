//! Connecting when things go wrong.

use std::time::Duration;

use serde_json::json;
use sim::conductorone::ApiFault;

use crate::connected::{lines, prepared};

#[tokio::test(start_paused = true)]
async fn wrong_credentials_are_said_by_the_run_and_by_the_doctor() {
    let connected = prepared(|options| options.var("C1_CLIENT_SECRET", "a-secret-of-somebody-else")).await;
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "failed");
    let message = report["message"].as_str().unwrap();
    assert!(
        message.contains("refused C1_CLIENT_ID and C1_CLIENT_SECRET") && message.contains("make a new API key"),
        "{message}"
    );
    assert!(!message.contains("a-secret-of-somebody-else"));
    assert_eq!(connected.writes(), 0);
    let doctor = connected.get("/v1/doctor").await;
    let checks = doctor.json()["checks"].as_array().unwrap().clone();
    let check = checks.iter().find(|check| check["name"] == "C1_CLIENT_ID").unwrap();
    assert_eq!(
        (&check["ok"], doctor.status),
        (&json!(false), 200),
        "what is optional does not make it unwell: {check}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_doctor_says_that_the_key_works_and_sees_the_app() {
    let connected = prepared(|options| options).await;
    let all = |doctor: serde_json::Value| {
        let checks = doctor["checks"].as_array().unwrap().clone();
        checks.into_iter().filter(|check| check["name"].as_str().unwrap().starts_with("C1_")).collect::<Vec<_>>()
    };
    let checks = all(connected.json("/v1/doctor").await);
    assert!(checks.len() == 3 && checks.iter().all(|check| check["ok"] == true), "{checks:?}");
    connected.c1.forbid_api("GET /api/v1/apps");
    let checks = all(connected.json("/v1/doctor").await);
    let app = checks.iter().find(|check| check["name"] == "C1_APP_ID").unwrap();
    assert!(app["message"].as_str().unwrap().contains("may not list apps"), "{app}");
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_ends_the_run_with_its_name() {
    for (route, what) in [
        ("GET /api/v1/apps", "list apps"),
        ("GET /api/v1/webhooks", "list webhooks"),
        ("POST /api/v1/webhooks", "create a webhook"),
        ("POST /api/v1/apps", "change an entitlement's provisioning"),
    ] {
        let connected = prepared(|options| options).await;
        connected.c1.forbid_api(route);
        let report = connected.run(json!({})).await;
        assert_eq!(report["state"], "failed", "{route}: {report}");
        let message = report["message"].as_str().unwrap();
        assert!(message.contains(&format!("may not {what}")), "{message}");
        connected.assert_untouched();
        connected.c1.allow_api();
        let report = connected.run(json!({})).await;
        assert_eq!(report["state"], "done", "{route}: {report}");
        connected.assert_wired(&connected.webhook());
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_not_there_or_is_another_one_changes_nothing() {
    let connected = prepared(|options| options).await;
    let report = connected.run(json!({ "app_id": "2Nowhere" })).await;
    assert!(report["message"].as_str().unwrap().contains("There is no app 2Nowhere"), "{report}");
    let report = connected.run(json!({ "app_id": "2GitHubGitHubGitHubGitHubGi" })).await;
    assert!(report["message"].as_str().unwrap().contains("no entitlement that is a role or group"), "{report}");
    for role in &connected.roles {
        connected.c1.remove_entitlement(&role.id);
    }
    let report = connected.run(json!({})).await;
    assert!(
        report["message"].as_str().unwrap().contains("No app in ConductorOne is seen to be this account's"),
        "{report}"
    );
    assert_eq!(connected.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pointed_here_where_the_test_event_never_arrives() {
    let connected = prepared(|options| options.var("PUBLIC_URL", "https://wrong.example.com")).await;
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "failed");
    let message = report["message"].as_str().unwrap();
    assert!(message.contains("did not arrive within 30 s") && message.contains("PUBLIC_URL must be"), "{message}");
    connected.assert_untouched();
    // The address is put right; the webhook that leads to the wrong one is left behind, and is known.
    connected.set_var("PUBLIC_URL", sim::conductorone::PUBLIC_URL);
    assert_eq!(connected.run(json!({})).await["state"], "done");
    connected.assert_wired(&connected.webhook());
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_waited_for() {
    let connected = prepared(|options| options).await;
    let c1 = &connected.c1;
    c1.fail_api("POST /auth/v1/token", ApiFault::Status(503), Some(1));
    c1.fail_api("GET /api/v1/apps", ApiFault::RateLimited(1), Some(1));
    c1.fail_api("POST /api/v1/webhooks", ApiFault::DoneButFailed(502), Some(1));
    c1.fail_api("GET /api/v1/apps/", ApiFault::Reset, Some(1));
    c1.fail_api("POST /api/v1/apps/", ApiFault::DoneButReset, Some(1));
    c1.fail_api("POST /api/v1/apps/", ApiFault::Status(401), Some(1));
    c1.fail_api("POST /api/v1/apps/", ApiFault::Slow(Duration::from_millis(200)), Some(1));
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "done", "{report}");
    connected.assert_wired(&connected.webhook());
    // What was done although C1 failed is told as done, and once.
    assert_eq!(report["entitlements"]["changed"], connected.roles.len() + 1);
    assert_eq!(lines(&report, "changed").len(), connected.roles.len() + 2, "{report}");
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done");
    connected.assert_untouched();
    assert!(connected.c1.webhooks().is_empty(), "also where nobody heard that it was created");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_somebody_made_where_c1_refused_this_connector_one_is_theirs() {
    let create = "POST /api/v1/webhooks";
    // Of 408 it is not known whether one was made; who made the one that is there by then, its name tells.
    for (refusal, times) in [
        (ApiFault::Status(400), Some(1)),
        (ApiFault::Status(403), Some(1)),
        (ApiFault::Status(404), Some(1)),
        (ApiFault::RateLimited(1), None),
        (ApiFault::Status(408), Some(1)),
    ] {
        let what = format!("{refusal:?}");
        let connected = prepared(|options| options).await;
        connected.c1.fail_api(create, refusal, times);
        assert_eq!(connected.run(json!({})).await["state"], "failed", "{what}");
        connected.c1.add_webhook("By hand", "https://connector.example.com/webhooks/conductorone");
        connected.c1.heal_api();
        let report = connected.run(json!({})).await;
        assert_eq!(report["state"], "done", "{what}: {report}");
        assert!(!lines(&report, "changed").join("\n").contains("was created"), "{what}: {report}");
        assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done", "{what}");
        connected.assert_untouched();
        assert_eq!(connected.c1.webhooks().len(), 1, "{what}: it is somebody's, and stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_of_which_nobody_heard_that_it_was_created_is_this_connectors() {
    // After the reset the same run looks for it, after the 408 the next one does.
    for (fault, state) in [(ApiFault::DoneButReset, "done"), (ApiFault::DoneButFailed(408), "failed")] {
        let what = format!("{fault:?}");
        let connected = prepared(|options| options).await;
        connected.c1.fail_api("POST /api/v1/webhooks", fault, Some(1));
        let mut report = connected.run(json!({})).await;
        assert_eq!(report["state"], state, "{what}: {report}");
        if state == "failed" {
            report = connected.run(json!({})).await;
        }
        assert!(lines(&report, "changed").join("\n").contains("was created"), "{what}: {report}");
        connected.assert_wired(&connected.webhook());
        assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done", "{what}");
        assert!(connected.c1.webhooks().is_empty(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entitlement_that_c1_refuses_is_named_and_the_others_are_wired() {
    let connected = prepared(|options| options).await;
    let id = &connected.roles[1].id;
    let route = format!("POST /api/v1/apps/{}/entitlements/{id}", connected.app.id);
    connected.c1.fail_api(&route, ApiFault::Status(400), Some(1));
    let report = connected.run(json!({})).await;
    assert_eq!(
        (report["state"].as_str(), report["entitlements"]["failed"].as_u64()),
        (Some("failed"), Some(1)),
        "{report}"
    );
    assert!(lines(&report, "failed")[0].contains(&connected.roles[1].display_name), "{report}");
    let report = connected.run(json!({})).await;
    assert_eq!(report["entitlements"]["changed"], 1, "{report}");
    connected.assert_wired(&connected.webhook());
}

#[tokio::test(start_paused = true)]
async fn a_test_event_that_arrived_for_an_earlier_run_proves_nothing_to_a_later_one() {
    let connected = prepared(|options| options).await;
    for body in [json!({}), json!({ "undo": true })] {
        assert_eq!(connected.run(body).await["state"], "done");
    }
    connected.set_var("PUBLIC_URL", "https://wrong.example.com");
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "failed", "{report}");
    assert!(report["message"].as_str().unwrap().contains("did not arrive within 30 s"), "{report}");
    connected.assert_untouched();
}
