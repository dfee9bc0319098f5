//! Grants and revokes while Cloudflare misbehaves: each time the account, the answer, the journal and the calls.

use serde_json::Value;
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Person, Task, Verdict};

use crate::deployment::{Deployment, PATIENCE, atom, holds, roles};
use crate::jane::{EMAIL, Jane, assert_done};
use crate::webhook::provision::named;

/// The latest entry of the journal.
async fn latest(deployment: &Deployment) -> Value {
    deployment.json("/v1/operations?limit=1").await["items"][0].clone()
}

#[tokio::test]
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
        let document = deployment.c1.callback(&delivery, PATIENCE).await.unwrap_or_else(|| panic!("no callback"));
        assert!(document["complete"]["comment"].is_string(), "{document}");
        let member = cloudflare.membership_of("new.hire@example.com").unwrap().id;
        let both = [atom(cloudflare, &known[0]), atom(cloudflare, &known[1])].into();
        assert_eq!((cloudflare.member_atoms(&member), cloudflare.requests(Route::CreateMember)), (both, 1));
        assert_eq!(latest(&deployment).await["outcome"]["effect"], "granted");
    }
}

#[tokio::test]
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

/// A late write in the real runtime: the alarm looks for it and puts right what it undid.
#[tokio::test]
async fn a_write_that_comes_late_is_put_right_by_the_alarm() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::Held);
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    let third = roles(&jane.deployment.cloudflare)[4].clone();
    assert_done(&jane.call("PUT", &third).await, "granted");
    assert_eq!(jane.deployment.cloudflare.release_held(), 1);
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    // It may be a read that is behind for a minute.
    let patience = 3 * PATIENCE;
    let found = |status: &Value| status["incidents"][0]["kind"] == "late_write";
    let status = jane.deployment.wait_for("/v1/status", patience, found).await.unwrap();
    assert_eq!(status["incidents"][0]["email"], EMAIL, "{status}");
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(&third)], &[]);
}
