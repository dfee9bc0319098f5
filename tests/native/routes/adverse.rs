//! Grants and revokes while Cloudflare misbehaves: each time the account, the answer, the journal and the calls.

use serde_json::{Value, json};
use sim::cloudflare::{Fault, Route};

use crate::deployment::Deployment;
use crate::jane::{Jane, assert_done, assert_refused};
use crate::looks::small;

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
