//! Deliveries that come again, whatever identifies them.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Person, Token, Verdict};

use crate::jane::{Jane, completed};
use crate::looks::{assert_is_problem, roles};

const STEP: &str = "/taskView/task/policy/current/id";

#[tokio::test(start_paused = true)]
async fn a_delivery_without_a_step_is_known_by_its_callback_url() {
    let jane = Jane::start().await;
    let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks).without(STEP));
    let first = completed(&jane.deployment.deliver(&delivery).await);
    assert_eq!(completed(&jane.deployment.deliver(&delivery.clone().token(Token::new())).await), first);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 1);
    let entries = jane.deployment.json("/v1/operations").await;
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "{entries}");
    assert!(entries["items"][0]["key"].as_str().unwrap().starts_with("callback/"), "{entries}");
    // Another delivery is another operation.
    completed(&jane.deliver(&jane.revoke(&jane.lacks).without(STEP)).await);
    jane.changed(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_replayed_after_its_revoke_stays_revoked() {
    let jane = Jane::start().await;
    let granted = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    let first = completed(&jane.deployment.deliver(&granted).await);
    completed(&jane.deliver(&jane.revoke(&jane.lacks)).await);
    jane.deployment.cloudflare.reset_log();
    for token in [Token::new(), Token::new()] {
        assert_eq!(completed(&jane.deployment.deliver(&granted.clone().token(token)).await), first);
    }
    jane.deployment.restart();
    assert_eq!(completed(&jane.deployment.deliver(&granted).await), first);
    assert_eq!(jane.deployment.cloudflare.total_requests(), 0);
    jane.changed(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn the_journal_tells_who_asked_and_who_approved() {
    let jane = Jane::start().await;
    let requester = Person::newcomer("rita.requester@example.com");
    let approver = Person::newcomer("andy.approver@example.com");
    let task = jane.grant(&jane.lacks).requested_by(requester).approved_by(approver);
    completed(&jane.deliver(&task).await);
    let entry = jane.deployment.json("/v1/operations").await["items"][0].clone();
    let origin = &entry["request"]["origin"];
    assert_eq!(origin["by"], "webhook", "{entry}");
    assert_eq!(origin["requester"], "rita.requester@example.com", "{entry}");
    assert_eq!(origin["approvers"], serde_json::json!(["andy.approver@example.com"]), "{entry}");
    assert!(entry["trail"].to_string().contains("cf-ray"), "{entry}");
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_id_is_good_for_one_delivery_too() {
    for token in [Token::new().without_claim("jti"), Token::new().claim("jti", "")] {
        let jane = Jane::start().await;
        let without_id = |issued: i64| token.clone().claim("iat", issued);
        let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks));
        jane.deployment.cloudflare.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
        let now = jane.deployment.now();
        assert_eq!(jane.deployment.send(&delivery.clone().token(without_id(now))).await.status, 202);
        let again = jane.deployment.send(&delivery.clone().token(without_id(now))).await;
        assert!(again.status == 503 && again.text().contains("token_used"), "{} {}", again.status, again.text());
        // C1 signs each attempt anew.
        assert_eq!(jane.deployment.send(&delivery.token(without_id(now + 3))).await.status, 202);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_another_version_noted_is_kept_for_it() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 9, Fault::status(500, 10_000));
    let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    assert_eq!(jane.deployment.deliver(&delivery).await.verdict, Verdict::Accepted);
    let world = jane.deployment.world();
    let noted = |outcome: &str| {
        let statement = "UPDATE operation SET state = 'settled', settled_at = received_at, due_at = NULL, outcome = ?";
        world.query(statement, &[outcome.into()]).unwrap();
    };
    noted(r#"{"outcome":"refused","code":"of_a_newer_version","message":"Not here."}"#);
    world.query("UPDATE callback SET due_at = 1", &[]).unwrap();
    jane.deployment.cron().await;
    jane.deployment.wait(Duration::from_hours(3)).await;
    assert_eq!(world.query("SELECT * FROM callback", &[]).unwrap().len(), 1);
    noted(r#"{"outcome":"refused","code":"protected_member","message":"Not here."}"#);
    let told = jane.deployment.callback(&delivery).await;
    assert!(told.to_string().contains("Not here."), "{told}");
}

/// Outcomes go to the configured tenant alone, whatever a delivery says.
#[tokio::test(start_paused = true)]
async fn a_callback_url_of_another_host_is_never_called() {
    for origin in [
        "https://evil.example.com",
        "https://acme.conductor.one.evil.example.com",
        "https://acme.conductor.one@evil.example.com",
        "https://acme.conductor.one:8443",
        "http://acme.conductor.one",
    ] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        deployment.cloudflare.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
        let mut delivery = deployment.c1.task(&jane.grant(&jane.lacks));
        delivery.callback_url = format!("{origin}/api/v1/webhooks/callback/elsewhere");
        let first = deployment.send_as(&delivery, "one").await;
        assert_eq!((first.status, assert_is_problem(&first, origin).as_str()), (503, "not_now"), "{origin}");
        assert!(deployment.world().query("SELECT * FROM callback", &[]).unwrap().is_empty(), "{origin}");
        deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(deployment.c1.callback_posts(), [], "{origin}");
        assert!(deployment.cloudflare.unexpected().is_empty(), "nothing is sent to another host: {origin}");
        // C1 delivers it again, and has the outcome by that.
        let again = deployment.send_as(&delivery, "two").await;
        assert!(again.status == 200 && again.text().contains("complete"), "{origin}: {}", again.text());
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        let logged = || deployment.logs().iter().filter(|line| line.contains("callback URL of another host")).count();
        assert_eq!(logged(), 2, "{origin}");
        completed(&jane.deliver(&jane.revoke(&jane.lacks)).await);
        assert_eq!(logged(), 2, "the tenant's own: {origin}");
        assert!(!deployment.logs().iter().any(|line| line.contains("callback/elsewhere")), "{origin}");
    }
}

/// What an earlier one did is not undone, and nobody is to think that it was not done.
#[tokio::test(start_paused = true)]
async fn a_delivery_of_a_task_that_is_closed_by_then_claims_nothing_of_an_earlier_one() {
    let jane = Jane::start().await;
    let task = || jane.grant(&jane.lacks).id("2task").step_id("2step");
    completed(&jane.deliver(&task()).await);
    let outcome = jane.deliver(&task().set("/taskView/task/state", "TASK_STATE_CLOSED")).await;
    let said = outcome.errored().unwrap_or_else(|| panic!("{outcome:?}"));
    assert!(said.starts_with("Nothing was done for this delivery, because the task is closed;"), "{said}");
    assert!(said.contains("GET /v1/operations") && said.ends_with('.') && !said.contains(". "), "{said}");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
}

#[tokio::test(start_paused = true)]
async fn two_steps_of_one_task_are_two_operations() {
    let jane = Jane::start().await;
    let all = roles(&jane.deployment.cloudflare);
    let other = all.iter().find(|role| ![&jane.has.id, &jane.lacks.id].contains(&&role.id)).unwrap();
    for (step, role) in [("2stepA", &jane.lacks), ("2stepB", other)] {
        completed(&jane.deliver(&jane.grant(role).id("2task").step_id(step)).await);
    }
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(other)], &[]);
    let told = jane.deployment.json("/v1/operations").await;
    let keys: Vec<&str> =
        told["items"].as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["2task/2stepB", "2task/2stepA"], "{told}");
}
