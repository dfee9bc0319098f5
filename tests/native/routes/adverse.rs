//! Grants and revokes while Cloudflare misbehaves: each time the account, the answer, the journal and the calls.

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Person, Task, Verdict};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane, assert_done, assert_refused, completed, named};
use crate::looks::{atom, holds, roles, small};

/// The latest entry of the journal.
async fn latest(deployment: &Deployment) -> Value {
    deployment.json("/v1/operations?limit=1").await["items"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_answer_a_write_is_settled_by_reading() {
    let once = ["GET", "PUT", "GET"];
    // Not there to be read after one read-back and three more, so it is written once more.
    let twice = ["GET", "PUT", "GET", "GET", "GET", "GET", "GET", "PUT", "GET"];
    for (fault, calls) in [
        (Fault::status(500, 10_000).after(), once.as_slice()),
        (Fault::Reset.after(), &once),
        (Fault::Html { status: 524 }.after(), &once),
        (Fault::TruncatedJson, &once),
        (Fault::Problem { status: 502, retryable: true, retry_after: Some(1) }.after(), &once),
        (Fault::status(500, 10_000), &twice),
        (Fault::Reset, &twice),
        (Fault::Html { status: 524 }, &twice),
    ] {
        let jane = Jane::start().await;
        jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, fault.clone());
        assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        assert_eq!(jane.requests(), calls, "{fault:?}");
        let entry = latest(&jane.deployment).await;
        assert_eq!((&entry["state"], &entry["outcome"]["effect"]), (&json!("settled"), &json!("granted")), "{entry}");
        assert!(entry["trail"].to_string().contains("outcome unknown"), "{fault:?}: {entry}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_no_refusal_whatever_it_says_of_when_it_ends() {
    for (retry_after, headers) in [(Some(1), true), (None, false)] {
        let jane = Jane::start().await;
        let fault = Fault::TooManyRequests { retry_after, headers };
        jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, fault);
        let answer = jane.call("PUT", &jane.lacks).await;
        assert_refused(&answer, 503, "not_now", "too many");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((50..=60).contains(&wait), "{retry_after:?}: {wait}");
        jane.changed(&[], &[]);
        assert_eq!(jane.requests(), ["GET", "PUT"]);
        assert_eq!(latest(&jane.deployment).await["outcome"]["outcome"], "not_now");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_gone_when_it_is_written_is_looked_for_again() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::status(404, 1003));
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET", "GET", "PUT", "GET"], "the list in between");

    let jane = Jane::start().await;
    jane.deployment.cloudflare.before_next_put(sim::cloudflare::Cloudflare::remove_member);
    assert_refused(&jane.call("PUT", &jane.lacks).await, 404, "unknown_member", "not a member");
    assert_eq!(latest(&jane.deployment).await["outcome"]["code"], "unknown_member");
}

#[tokio::test(start_paused = true)]
async fn cloudflare_refused_is_told_and_not_tried_again() {
    for (status, code, message) in [
        (400, 1006, "invalid permission group and resource group combination"),
        (400, 1001, "Invalid role assignments found"),
        (403, 9109, "Unauthorized to access requested resource"),
    ] {
        let jane = Jane::start().await;
        let fault = Fault::Status { status, code, message: message.into() };
        jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, fault);
        let refused = jane.call("PUT", &jane.lacks).await;
        assert_refused(&refused, 422, "cloudflare_refused", message);
        assert!(refused.text().contains(&code.to_string()) && refused.text().contains("cf-ray"), "{}", refused.text());
        // What a permission mends is said with it, and nothing else is.
        assert_eq!(refused.text().contains("Account Settings: Edit"), status == 403, "{}", refused.text());
        jane.changed(&[], &[]);
        assert_eq!(jane.requests(), ["GET", "PUT"]);
        assert_eq!(latest(&jane.deployment).await["outcome"]["code"], "cloudflare_refused");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invitation_whose_answer_is_lost_is_found_at_once() {
    for fault in [Fault::Reset.after(), Fault::status(500, 10_000).after(), Fault::Html { status: 524 }.after()] {
        let deployment = Deployment::with(small(), |options| options).await.synced().await;
        deployment.cloudflare.fail_next(Route::CreateMember, 1, fault.clone());
        let body = json!({ "email": "new.hire@example.com" });
        let answer = deployment.request("POST", "/v1/accounts", &[], Some(&body)).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("invited")), "{fault:?} {}", answer.text());
        assert_eq!(deployment.cloudflare.requests(Route::CreateMember), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_invited_at_the_same_moment_gets_the_role_too() {
    for code in [1004, 1008] {
        let deployment = Deployment::start().await.synced().await;
        let cloudflare = &deployment.cloudflare;
        cloudflare.configure(|behaviour| behaviour.already_member_code = code);
        let known = roles(cloudflare);
        let theirs = holds(cloudflare, &known[1]);
        cloudflare.before_next(Route::CreateMember, move |cloudflare, _| {
            cloudflare.invite("new.hire@example.com", vec![theirs]);
        });
        cloudflare.reset_log();
        let delivery = deployment.c1.task(&Task::grant(named(&known[0]), Person::newcomer("new.hire@example.com")));
        assert_eq!(deployment.deliver(&delivery).await.verdict, Verdict::Accepted);
        let document = deployment.callback(&delivery).await;
        assert!(document["complete"]["comment"].is_string(), "{document}");
        let member = cloudflare.membership_of("new.hire@example.com").unwrap().id;
        let both = [atom(cloudflare, &known[0]), atom(cloudflare, &known[1])].into();
        assert_eq!((cloudflare.member_atoms(&member), cloudflare.requests(Route::CreateMember)), (both, 1));
        assert_eq!(latest(&deployment).await["outcome"]["effect"], "granted");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_full_is_told_and_not_tried_again() {
    let deployment = Deployment::start().await.synced().await;
    let cloudflare = &deployment.cloudflare;
    let count = cloudflare.memberships().len();
    cloudflare.configure(|behaviour| behaviour.member_limit = Some(count));
    cloudflare.reset_log();
    let task = Task::grant(named(&roles(cloudflare)[0]), Person::newcomer("new.hire@example.com"));
    let outcome = deployment.deliver(&deployment.c1.task(&task)).await;
    assert!(outcome.errored().is_some_and(|said| said.contains("add limit reached")), "{outcome:?}");
    assert_eq!((outcome.attempts.len(), cloudflare.requests(Route::CreateMember)), (1, 1));
    assert_eq!(cloudflare.memberships().len(), count);
    assert_eq!(latest(&deployment).await["outcome"]["code"], "cloudflare_refused");
}

/// The limit of requests was met: for a minute at least, whatever the answer says.
fn refusal() -> Fault {
    Fault::TooManyRequests { retry_after: Some(1), headers: true }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_meets_a_rate_limit_is_answered_later_by_its_callback() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 1, refusal());
    let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    let outcome = jane.deployment.deliver(&delivery).await;
    assert_eq!(outcome.verdict, Verdict::Accepted);
    jane.changed(&[], &[]);
    let document = jane.deployment.callback(&delivery).await;
    assert_eq!(document["complete"]["comment"], json!(format!("Granted {} to {EMAIL}.", jane.lacks.name)));
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.deployment.c1.callback_posts().len(), 1);
}

/// It is one that no grant needs, and may be refused for good.
#[tokio::test(start_paused = true)]
async fn an_audit_log_that_is_rate_limited_for_ever_puts_no_grant_off_and_a_sync_for_five_minutes_at_most() {
    let jane = Jane::start().await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    let busy = Fault::TooManyRequests { retry_after: Some(3_600), headers: true };
    cloudflare.fail_randomly(Route::ListAuditLogs, 1.0, busy);
    deployment.set_var("AUDIT_FEED", "on");
    deployment.sync().await;
    deployment.wait(Duration::from_secs(10)).await;
    assert!(cloudflare.requests(Route::ListAuditLogs) > 0, "it was read");
    let began = deployment.now();
    completed(&jane.deliver(&jane.grant(&jane.lacks)).await);
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    completed(&jane.deliver(&jane.revoke(&jane.lacks)).await);
    jane.changed(&[], &[]);
    assert!(deployment.now() - began < 60);
    deployment.sync().await;
    assert!(deployment.now() - began < 330);
}

/// The control: what a grant meets is of all.
#[tokio::test(start_paused = true)]
async fn a_rate_limit_that_a_grant_meets_stops_the_sync_as_well() {
    let jane = Jane::start().await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    let busy = Fault::TooManyRequests { retry_after: Some(600), headers: false };
    cloudflare.fail_next(Route::GetMember, 1, busy);
    let delivery = deployment.c1.task(&jane.grant(&jane.lacks));
    assert_eq!(deployment.deliver(&delivery).await.verdict, Verdict::Accepted);
    let sent = cloudflare.total_requests();
    assert!(deployment.cron().await);
    deployment.wait(Duration::from_mins(9)).await;
    assert_eq!(cloudflare.total_requests(), sent);
    deployment.callback(&delivery).await;
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    deployment.wait_for_sync().await;
}

#[tokio::test(start_paused = true)]
async fn a_rest_call_that_meets_a_rate_limit_is_told_when_to_ask_again_and_is_not_carried_out_behind_their_back() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 1, refusal());
    let answer = jane.call("PUT", &jane.lacks).await;
    assert_refused(&answer, 503, "not_now", "");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
    assert_refused(&jane.call("PUT", &jane.lacks).await, 503, "not_now", "");
    assert_eq!(jane.deployment.cloudflare.total_requests(), 1, "the second call was not even tried");
    jane.deployment.wait(Duration::from_secs(wait + 2)).await;
    jane.changed(&[], &[]);
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
}
