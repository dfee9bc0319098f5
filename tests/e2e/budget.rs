//! Cloudflare's rate limit: 429 is waited for, by everybody, and nobody is kept waiting in vain.
//!
//! The connector waits a minute at least, whatever `retry-after` says; all that has to wait for that does so in one test.

use std::time::Duration;

use serde_json::json;
use sim::cloudflare::{Fault, Route, Spec};
use sim::conductorone::Verdict;

use crate::deployment::{Deployment, assert_is_account, small};
use crate::jane::{EMAIL, Jane, assert_done, assert_refused};

/// The minute, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// What a 429 is waited for, less a little for the clocks.
const MINUTE: Duration = Duration::from_millis(59_500);

fn refusal() -> Fault {
    Fault::TooManyRequests { retry_after: Some(1), headers: true }
}

/// A sync goes on after its page was refused, and sends nothing before.
async fn a_sync_waits_and_goes_on() {
    let deployment = Deployment::with(Spec { members: 120, ..small() }, |options| options).await;
    deployment.cloudflare.after_page(Route::ListMembers, 1, |cloudflare, _| {
        cloudflare.fail_next(Route::ListMembers, 1, refusal());
    });
    assert_eq!(deployment.request("POST", "/v1/sync", &[], None).await.status, 202);
    let waits = |status: &serde_json::Value| status["running"]["not_before"].is_string();
    deployment.wait_for("/v1/status", PATIENCE, waits).await.unwrap();
    let status = deployment.wait_for_sync(PATIENCE).await.unwrap();
    assert_eq!(status["runs"][0]["outcome"], "published", "{status}");
    assert_is_account(&deployment).await;

    let exchanges = deployment.cloudflare.exchanges();
    let refused = exchanges.iter().find(|exchange| exchange.status == Some(429)).unwrap().finished;
    // What was on its way at that moment may still have come in.
    let on_its_way = refused + Duration::from_secs(1);
    let early = exchanges.iter().filter(|exchange| (on_its_way..refused + MINUTE).contains(&exchange.started)).count();
    assert_eq!(early, 0, "nothing is sent while the limit is in force");
}

/// A webhook is answered 202, and its outcome comes to the callback URL.
async fn a_webhook_is_answered_later() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 1, refusal());
    let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    let outcome = jane.deployment.deliver(&delivery).await;
    assert_eq!(outcome.verdict, Verdict::Accepted);
    jane.changed(&[], &[]);
    let document = jane.deployment.c1.callback(&delivery, PATIENCE).await.unwrap_or_else(|| panic!("no callback"));
    assert_eq!(document["complete"]["comment"], json!(format!("Granted {} to {EMAIL}.", jane.lacks.name)));
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.deployment.c1.callback_posts().len(), 1);
}

/// Who asks by REST is told when to ask again, and what was asked does not happen behind their back.
async fn a_rest_call_is_told_when_to_ask_again() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 1, refusal());
    let answer = jane.call("PUT", &jane.lacks).await;
    assert_refused(&answer, 503, "not_now", "");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
    assert_refused(&jane.call("PUT", &jane.lacks).await, 503, "not_now", "");
    assert_eq!(jane.deployment.cloudflare.total_requests(), 1, "the second call was not even tried");
    tokio::time::sleep(Duration::from_secs(wait + 2)).await;
    jane.changed(&[], &[]);
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
}

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    tokio::join!(a_sync_waits_and_goes_on(), a_webhook_is_answered_later(), a_rest_call_is_told_when_to_ask_again());
}
