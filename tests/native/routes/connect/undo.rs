//! Putting back what was there before.

use serde_json::{Value, json};
use sim::conductorone::{ApiFault, App, Entitlement, Outcome, Person, Task};

use crate::connected::{Connected, lines, prepared};

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_since_is_left_alone_and_said() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let manual = json!({ "manual": { "instructions": "Ask Jane." } });
    connected.c1.set_policies(&connected.roles[0].id, &manual, &manual);
    connected.c1.remove_entitlement(&connected.roles[1].id);
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    assert_eq!(connected.c1.policies(&connected.roles[0].id), (manual.clone(), manual));
    let left = lines(&undo, "left").join("\n");
    assert!(left.contains("was changed by somebody since") && left.contains("is not there any more"), "{left}");
    assert_eq!(connected.c1.policies(&connected.roles[2].id), (json!({ "connector": {} }), Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_approvals_came_by_stays() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let webhook = connected.webhook();
    let person = connected.cloudflare.memberships().remove(0);
    let subject = Person::member(&person.email, person.user_id.as_deref().unwrap_or_default(), &person.id);
    let task = Task::grant(connected.roles[0].clone(), subject).awaiting_approval();
    connected.deliver(&connected.c1.task(&task)).await;
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    connected.assert_untouched();
    assert_eq!(connected.webhook(), webhook);
    assert!(lines(&undo, "left").join("\n").contains("approvals came by it"), "{undo}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_somebody_else_uses_stays() {
    for is_step in [false, true] {
        let connected = prepared(|options| options).await;
        assert_eq!(connected.run(json!({})).await["state"], "done");
        let webhook = connected.webhook();
        let mut policy = json!({ "webhook": { "webhookId": webhook } });
        if is_step {
            policy = json!({ "multiStep": { "provisionSteps": [{ "manual": {} }, policy] } });
        }
        connected.c1.set_policies(&connected.other.id, &policy, &policy);
        let before = connected.c1.api_requests().len();
        let undo = connected.run(json!({ "undo": true })).await;
        assert_eq!(undo["state"], "done", "{undo}");
        connected.assert_untouched();
        assert_eq!(connected.webhook(), webhook);
        assert!(lines(&undo, "left").join("\n").contains("pointed at it by somebody else"), "{undo}");
        // So `make down` knows it from what is said of an entitlement, which its name is in front of.
        assert!(lines(&undo, "left").iter().any(|line| line.starts_with("The webhook ")), "{undo}");
        let asked = connected.c1.api_requests().split_off(before);
        assert!(!asked.iter().any(|request| request.route.starts_with("DELETE")), "{asked:?}");
    }
}

/// The control: the same policy with another webhook in it.
#[tokio::test(start_paused = true)]
async fn a_webhook_is_deleted_where_somebody_elses_steps_lead_to_another_one() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let theirs = connected.c1.add_webhook("Theirs", "https://other.example.com/hook");
    let steps = json!({ "multiStep": { "provisionSteps": [{ "webhook": { "webhookId": theirs } }] } });
    connected.c1.set_policies(&connected.other.id, &steps, &Value::Null);
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    let left: Vec<String> = connected.c1.webhooks().into_iter().map(|(id, _, _)| id).collect();
    assert_eq!(left, [theirs], "{undo}");
}

async fn grant_of(connected: &Connected, app: &App, email: &str) -> Outcome {
    let task = Task::grant(connected.roles[0].clone(), Person::newcomer(email)).app(app.clone());
    Box::pin(connected.deliver(&connected.c1.task(&task))).await
}

/// An app that nobody connected from here may use the webhook as well. What it asks for is carried out neither before the undo nor after it.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_another_app_uses_or_may_use_stays() {
    for is_seen in [true, false] {
        let connected = prepared(|options| options).await;
        connected.unset_var("ALLOWED_APPS");
        assert_eq!(connected.run(json!({})).await["state"], "done");
        let policy = json!({ "webhook": { "webhookId": connected.webhook() } });
        let (app, theirs) = (
            App { id: "2Sandbox".into(), display_name: "Sandbox".into() },
            Entitlement::new("role:1:member", "Sandbox Role"),
        );
        connected.c1.add_app(&app, std::slice::from_ref(&theirs));
        connected.c1.set_policies(&theirs.id, &policy, &policy);
        if !is_seen {
            connected.c1.forbid_api("GET /api/v1/apps/2Sandbox/entitlements");
        }
        let before = connected.c1.api_requests().len();
        let undo = connected.run(json!({ "undo": true })).await;
        assert_eq!(undo["state"], "done", "{undo}");
        connected.assert_untouched();
        let asked = connected.c1.api_requests().split_off(before);
        assert!(!asked.iter().any(|request| request.route.starts_with("DELETE")), "{asked:?}");
        let why =
            if is_seen { "\"Sandbox Role\" was pointed at it" } else { "may not see whether \"Sandbox\" uses it" };
        assert!(lines(&undo, "left").join("\n").contains(why), "{undo}");
        let refused = grant_of(&connected, &app, "one@example.com").await;
        assert!(refused.errored().is_some_and(|said| said.contains("ALLOWED_APPS")), "{refused:?}");
        // The controls: the app that was connected, should somebody wire it by hand, and another one once it is named.
        let taken = grant_of(&connected, &connected.app, "two@example.com").await;
        assert!(taken.completed().is_some(), "{taken:?}");
        connected.set_var("ALLOWED_APPS", &app.id);
        let taken = grant_of(&connected, &app, "three@example.com").await;
        assert!(taken.completed().is_some(), "{taken:?}");
    }
}

/// The tasks of those that were put back are taken until then, since nobody else's are to be.
#[tokio::test(start_paused = true)]
async fn an_app_that_was_connected_by_mistake_is_let_go_once_another_one_is_connected_after_the_undo() {
    let connected = prepared(|options| options).await;
    connected.unset_var("ALLOWED_APPS");
    let twin = App { id: "2TwinTwinTwinTwinTwinTwinTw".into(), display_name: "Cloudflare (old)".into() };
    let group = Entitlement { id: "2TwinGroup".into(), ..connected.roles.last().unwrap().clone() };
    connected.c1.add_app(&twin, &[group]);
    let is_taken = async |app: &App, email: &str| grant_of(&connected, app, email).await.completed().is_some();
    assert_eq!(connected.run(json!({ "app_id": twin.id })).await["state"], "done");
    for _ in 0..2 {
        assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done");
    }
    assert!(is_taken(&twin, "one@example.com").await && !is_taken(&connected.app, "two@example.com").await);
    assert_eq!(connected.run(json!({ "app_id": connected.app.id })).await["state"], "done");
    assert!(is_taken(&connected.app, "three@example.com").await && !is_taken(&twin, "four@example.com").await);
}

#[tokio::test(start_paused = true)]
async fn what_c1_refuses_to_put_back_is_said_and_tried_again_by_the_next_undo() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let route =
        |entitlement: &Entitlement| format!("POST /api/v1/apps/{}/entitlements/{}", connected.app.id, entitlement.id);
    connected.c1.fail_api(&route(&connected.roles[0]), ApiFault::Status(400), Some(1));
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!((undo["state"].as_str(), undo["entitlements"]["failed"].as_u64()), (Some("failed"), Some(1)), "{undo}");
    assert_eq!(connected.c1.webhooks().len(), 1, "it is still in use");
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    connected.assert_untouched();
    assert!(connected.c1.webhooks().is_empty());
}

/// A webhook that C1 did not delete is no webhook that is gone: it stays this connector's, and the next undo deletes it.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_c1_refuses_to_delete_is_told_and_tried_again_by_the_next_undo() {
    for status in [400, 408, 409, 499] {
        let connected = prepared(|options| options).await;
        assert_eq!(connected.run(json!({})).await["state"], "done");
        connected.c1.fail_api("DELETE /api/v1/webhooks", ApiFault::Status(status), Some(1));
        let undo = connected.run(json!({ "undo": true })).await;
        assert_eq!(undo["state"], "failed", "{undo}");
        assert!(undo["message"].as_str().unwrap().contains(&format!("webhook: {status}")), "{undo}");
        connected.assert_untouched();
        assert_eq!(connected.c1.webhooks().len(), 1);
        let undo = connected.run(json!({ "undo": true })).await;
        assert_eq!(undo["state"], "done", "{undo}");
        assert!(connected.c1.webhooks().is_empty(), "{undo}");
    }
}

/// One that C1 never lets go of keeps none of the others.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_stays_for_good_keeps_no_other_one_from_being_deleted() {
    let connected = prepared(|options| options.var("PUBLIC_URL", "https://wrong.example.com")).await;
    assert_eq!(connected.run(json!({})).await["state"], "failed", "one for the wrong address");
    connected.set_var("PUBLIC_URL", sim::conductorone::PUBLIC_URL);
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let webhooks = connected.c1.webhooks();
    assert_eq!(webhooks.len(), 2, "{webhooks:?}");
    let stays = format!("DELETE /api/v1/webhooks/{}", webhooks[0].0);
    connected.c1.fail_api(&stays, ApiFault::Status(400), Some(3));
    for left in [2, 1, 1] {
        let undo = connected.run(json!({ "undo": true })).await;
        assert_eq!((undo["state"].as_str(), connected.c1.webhooks().len()), (Some("failed"), left), "{undo}");
    }
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!((undo["state"].as_str(), connected.c1.webhooks().len()), (Some("done"), 0), "{undo}");
}

#[tokio::test(start_paused = true)]
async fn undo_puts_back_exactly_what_was_there_before_the_first_run() {
    let connected = prepared(|options| options).await;
    let manual = json!({ "manual": { "instructions": "Ask Jane.", "userIds": ["2Jane"] } });
    let inverse = json!({ "delegated": { "appId": "2App", "entitlementId": "2Other" } });
    connected.c1.set_policies(&connected.roles[0].id, &manual, &inverse);
    connected.c1.set_policies(&connected.roles[1].id, &Value::Null, &Value::Null);
    let before = connected.policies();
    for _ in 0..2 {
        assert_eq!(connected.run(json!({ "overwrite": true })).await["state"], "done");
    }
    connected.assert_wired(&connected.webhook());
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    assert_eq!(connected.policies(), before);
    assert!(connected.c1.webhooks().is_empty(), "the webhook was this connector's, and is gone");
    assert_eq!(undo["entitlements"]["restored"], connected.roles.len() + 1);
    let again = connected.run(json!({ "undo": true })).await;
    assert_eq!(again["message"], "There was nothing to put back.");
    assert_eq!(connected.json("/v1/status").await["connection"]["webhook"], Value::Null);
    // And it can be made again.
    assert_eq!(connected.run(json!({ "overwrite": true })).await["state"], "done");
    connected.assert_wired(&connected.webhook());
}

/// "There is no such thing" is also what somebody is told who may not see it, or who asks another tenant.
#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_kept_where_neither_the_entitlement_nor_its_app_is_to_be_seen() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let webhook = connected.webhook();
    connected.c1.fail_api("GET /api/v1/apps", ApiFault::Status(404), None);
    let undo = connected.run(json!({ "undo": true })).await;
    assert!(undo["message"].as_str().unwrap().contains("could not be put back"), "{undo}");
    assert!(lines(&undo, "failed").join("\n").contains("its app is not to be seen either"), "{undo}");
    assert_eq!(connected.webhook(), webhook, "it stays");
    connected.assert_wired(&webhook);
    connected.c1.heal_api();
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    connected.assert_untouched();
}
