//! What one operation may cost before it is given up.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::Value;
use sim::cloudflare::{Cloudflare, Fault, PolicySpec, Route};
use sim::conductorone::{CallbackFault, Delivery, Entitlement, Person, Task};

use crate::calls::{NEWCOMER, invited};
use crate::jane::{EMAIL, Jane};

/// Delivers a grant that is put off, since Cloudflare fails so many times.
async fn put_off(jane: &Jane, times: usize) -> Delivery {
    put_off_task(jane, times, &jane.grant(&jane.lacks)).await
}

async fn put_off_task(jane: &Jane, times: usize, task: &Task) -> Delivery {
    jane.deployment.cloudflare.fail_next(Route::GetMember, times, Fault::status(503, 10_000));
    let delivery = jane.deployment.c1.task(task);
    assert_eq!(jane.deployment.send_as(&delivery, "one").await.status, 202);
    delivery
}

/// Has a grant cost this many requests by the time of its second attempt, which fails as the first one did.
async fn after(requests: i64) -> (Jane, String) {
    let jane = Jane::start().await;
    let delivery = put_off(&jane, 2).await;
    jane.deployment.world().query("UPDATE spent SET requests = ?", &[requests.into()]).unwrap();
    jane.deployment.wait(Duration::from_mins(1)).await;
    let told = jane.deployment.c1.callback(&delivery, Duration::from_secs(1)).await.unwrap_or(Value::Null);
    (jane, told.to_string())
}

#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_an_operation_after_5000_requests_whatever_its_tries() {
    let (jane, told) = Box::pin(after(5_000)).await;
    assert!(told.contains("errored") && told.contains("5000 requests"), "{told}");
    jane.changed(&[], &[]);
    let (jane, told) = Box::pin(after(2_000)).await;
    assert!(told.contains("complete"), "{told}");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
}

#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_no_operation_whose_own_invitation_may_still_be_carried_out() {
    for comes in [true, false] {
        let jane = Box::pin(Jane::start()).await;
        jane.deployment.cloudflare.fail_next(Route::CreateMember, 1, Fault::Held);
        let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
        let delivery = jane.deployment.c1.task(&Task::grant(entitlement, Person::newcomer(NEWCOMER)));
        assert_eq!(jane.deployment.send_as(&delivery, "one").await.status, 202);
        jane.deployment.cloudflare.fail_randomly(Route::ListMembers, 1.0, Fault::status(503, 10_000));
        jane.deployment.world().query("UPDATE spent SET requests = 5000", &[]).unwrap();
        jane.deployment.wait(Duration::from_mins(20)).await;
        let told = called_back(&jane, &delivery).await;
        assert_eq!(told, "null");
        if comes {
            assert_eq!(jane.deployment.cloudflare.release_held(), 1);
            jane.deployment.cloudflare.clear_faults();
        }
        jane.deployment.wait(Duration::from_mins(40)).await;
        let told = called_back(&jane, &delivery).await;
        assert!(told.contains(if comes { "complete" } else { "5000 requests" }), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invitation_that_is_never_answered_is_not_sent_for_ever() {
    let jane = Box::pin(Jane::start()).await;
    jane.deployment.cloudflare.fail_randomly(Route::CreateMember, 1.0, Fault::status(503, 10_000));
    let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let delivery = jane.deployment.c1.task(&Task::grant(entitlement, Person::newcomer(NEWCOMER)));
    assert_eq!(jane.deployment.send_as(&delivery, "one").await.status, 202);
    jane.deployment.wait(Duration::from_hours(25)).await;
    let told = called_back(&jane, &delivery).await;
    assert!(told.contains("for a day"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn what_has_to_bring_an_invitation_back_is_not_given_up_for_its_requests() {
    let (deployment, old) = Box::pin(invited()).await;
    deployment.cloudflare.fail_next(Route::CreateMember, 2, Fault::status(503, 10_000));
    let answer = deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none(), "it was taken away");
    deployment.world().query("UPDATE spent SET requests = 5000", &[]).unwrap();
    deployment.wait(Duration::from_mins(3)).await;
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_has_to_bring_an_invitation_back_is_not_given_up_after_a_day() {
    let (deployment, old) = Box::pin(invited()).await;
    deployment.cloudflare.fail_randomly(Route::CreateMember, 1.0, Fault::status(503, 10_000));
    let answer = deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    deployment.wait(Duration::from_hours(26)).await;
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none(), "it was taken away");
    deployment.cloudflare.clear_faults();
    deployment.wait(Duration::from_hours(1)).await;
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_comes_back_for_is_looked_at_once_after_a_crash_and_does_not_happen_by_itself_later() {
    for is_back in [true, false] {
        let jane = Box::pin(Jane::start()).await;
        let cloudflare = &jane.deployment.cloudflare;
        cloudflare.fail_next(Route::GetMember, 1, Fault::Hang(Duration::from_mins(1)));
        tokio::select! {
            // The first one drives the alarm, and goes on.
            biased;
            () = jane.deployment.wait(Duration::from_secs(1)) => jane.deployment.restart(),
            _ = jane.call("PUT", &jane.lacks) => panic!("it hangs"),
        }
        // Cloudflare may be away when the next one looks.
        if !is_back {
            cloudflare.fail_randomly(Route::GetMember, 1.0, Fault::status(503, 10_000));
        }
        jane.deployment.wait(Duration::from_mins(10)).await;
        cloudflare.clear_faults();
        jane.deployment.wait(Duration::from_hours(1)).await;
        let entry = jane.deployment.json("/v1/operations").await["items"][0].clone();
        assert_eq!(entry["state"], "settled", "{entry}");
        let granted = jane.atom(&jane.lacks);
        jane.changed(if is_back { std::slice::from_ref(&granted) } else { &[] }, &[]);
    }
}

/// What nobody comes back for is looked at once more, and before that time nothing could be told.
#[tokio::test(start_paused = true)]
async fn a_revoke_by_rest_that_waits_for_its_proof_is_looked_at_once_there_is_one() {
    let jane = Box::pin(Jane::start()).await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    // Nobody answers the first write, and it may come late; the second one is seen.
    cloudflare.fail_next(Route::UpdateMember, 1, Fault::Held);
    deployment.send_as(&deployment.c1.task(&jane.grant(&jane.lacks)), "grant").await;
    deployment.wait(Duration::from_mins(5)).await;
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    let answer = jane.call("DELETE", &jane.lacks).await;
    crate::jane::assert_refused(&answer, 503, "not_now", "may bring it back until");
    assert!(answer.text().contains("goes on by itself"), "{}", answer.text());
    jane.changed(&[], &[]);
    let latest = async || deployment.json("/v1/operations?limit=1").await["items"][0].clone();
    deployment.wait(Duration::from_mins(20)).await;
    let entry = latest().await;
    assert_eq!(entry["state"], "put_off", "{entry}");
    deployment.wait(Duration::from_mins(20)).await;
    let entry = latest().await;
    assert!(entry["state"] == "settled" && entry["outcome"]["effect"] == "revoked", "{entry}");
    jane.changed(&[], &[]);
}

/// A mistake in a setting may stop everything for days: ConductorOne waits no longer, and its task has failed.
#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_a_grant_that_could_not_even_be_tried_for_days() {
    for (stopped, is_done) in [(Duration::from_hours(9 * 24), false), (Duration::from_hours(1), true)] {
        let jane = Box::pin(Jane::holding(2)).await;
        let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
        for route in [Route::GetMember, Route::ListMembers] {
            cloudflare.fail_randomly(route, 1.0, Fault::status(503, 10_000));
        }
        let newcomer = Task::grant(Entitlement::access(), Person::newcomer(NEWCOMER));
        for (n, task) in [jane.grant(&jane.lacks), newcomer, jane.revoke(&jane.has)].iter().enumerate() {
            let delivery = deployment.c1.task(task);
            assert_eq!(deployment.send_as(&delivery, &format!("task {n}")).await.status, 202);
        }
        cloudflare.clear_faults();
        // No alarm does anything meanwhile.
        tokio::time::advance(stopped).await;
        deployment.restart();
        deployment.wait(Duration::from_mins(10)).await;
        let held = cloudflare.member_atoms(&jane.member);
        let given = (held.contains(&jane.atom(&jane.lacks)), cloudflare.membership_of(NEWCOMER).is_some());
        assert_eq!(given, (is_done, is_done), "{stopped:?}");
        assert!(!held.contains(&jane.atom(&jane.has)), "what is to be taken away is taken away whenever that can be");
        let journal = deployment.json("/v1/operations").await;
        let entries = journal["items"].as_array().unwrap().iter();
        let given_up = entries.filter(|entry| entry["outcome"]["code"] == "gave_up").count();
        assert_eq!(given_up, if is_done { 0 } else { 2 }, "{journal}");
    }
}

/// How an operation ended that C1 was called back for.
async fn called_back(jane: &Jane, delivery: &sim::conductorone::Delivery) -> String {
    let told = jane.deployment.c1.callback(delivery, Duration::from_secs(1)).await;
    told.unwrap_or(Value::Null).to_string()
}

#[tokio::test(start_paused = true)]
async fn addresses_that_are_taken_and_not_listed_are_asked_for_ever_more_rarely_and_keep_nobody_else_waiting() {
    let jane = Box::pin(Jane::start()).await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    let taken: Vec<String> = (0..4).map(|n| format!("taken{n}@example.com")).collect();
    for email in &taken {
        cloudflare.invite(email, vec![]);
    }
    cloudflare.configure(|behaviour| behaviour.unlisted.clone_from(&taken));
    let entitlement = || Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let mut deliveries = Vec::new();
    for email in &taken {
        let delivery = deployment.c1.task(&Task::grant(entitlement(), Person::newcomer(email)));
        assert_eq!(deployment.send_as(&delivery, email).await.status, 202);
        deliveries.push(delivery);
    }
    // Somebody else, a while later, is not kept waiting.
    deployment.wait(Duration::from_secs(75)).await;
    let other = deployment.c1.task(&Task::grant(entitlement(), Person::member(EMAIL, &jane.user, &jane.member)));
    let answer = deployment.send_as(&other, "other").await;
    assert!(answer.status == 200 && answer.text().contains("complete"), "{} {}", answer.status, answer.text());
    assert!(cloudflare.total_requests() < 300, "{} within 75 s", cloudflare.total_requests());
    deployment.wait(Duration::from_hours(25)).await;
    let invitations = cloudflare.requests(Route::CreateMember);
    assert!((4 * 40..4 * 100).contains(&invitations), "{invitations} invitations within a day");
    for delivery in &deliveries {
        let told = called_back(&jane, delivery).await;
        assert!(told.contains("errored") && told.contains("given up"), "{told}");
    }
}

/// From now on Cloudflare takes whatever is written to a member, and shows what was there before.
fn forget_writes(cloudflare: &Cloudflare, member: String, held: PolicySpec) {
    cloudflare.after_next(Route::UpdateMember, move |cloudflare, _| {
        cloudflare.set_policies(&member, vec![held.clone()]);
        forget_writes(cloudflare, member, held);
    });
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_taken_and_never_shown_is_written_a_few_hundred_times_a_day_at_most() {
    let jane = Box::pin(Jane::start()).await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    forget_writes(cloudflare, jane.member.clone(), crate::looks::holds(cloudflare, &jane.has));
    let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let task = Task::grant(entitlement, Person::member(EMAIL, &jane.user, &jane.member));
    let delivery = deployment.c1.task(&task);
    assert_eq!(deployment.send_as(&delivery, "one").await.status, 202);
    deployment.wait(Duration::from_hours(25)).await;
    let writes = cloudflare.requests(Route::UpdateMember);
    assert!((40..400).contains(&writes), "{writes} within a day");
    let told = called_back(&jane, &delivery).await;
    assert!(told.contains("errored") && told.contains("given up"), "{told}");
}

/// How many outcomes C1 still has to be told.
async fn callbacks_waiting(jane: &Jane) -> Value {
    jane.deployment.json("/v1/status").await["callbacks_waiting"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_c1_does_not_take_is_tried_for_eight_days_and_then_given_up() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    deployment.c1.fail_callbacks(CallbackFault::Refused(500), u32::MAX);
    put_off(&jane, 1).await;
    assert_eq!(callbacks_waiting(&jane).await, 0, "there is no outcome yet");
    let given_up = || deployment.logs().iter().filter(|line| line.contains("callback given up")).count();
    deployment.wait(Duration::from_hours(7 * 24)).await;
    let so_far = deployment.c1.callback_posts().len();
    assert!((7 * 24..8 * 24).contains(&so_far), "about once an hour: {so_far}");
    assert_eq!((callbacks_waiting(&jane).await, given_up()), (1.into(), 0));
    deployment.wait(Duration::from_hours(2 * 24)).await;
    assert_eq!((callbacks_waiting(&jane).await, given_up()), (0.into(), 1));
    let (posts, least) = (deployment.c1.callback_posts().len(), so_far + 22);
    assert!((least..so_far + 26).contains(&posts), "{posts} posts, {so_far} of them within a week");
    deployment.wait(Duration::from_hours(24)).await;
    assert_eq!(deployment.c1.callback_posts().len(), posts, "C1 waits no longer");
}

/// C1 asks again before the alarm has its turn, and has the outcome by that answer.
#[tokio::test(start_paused = true)]
async fn who_asks_again_and_is_answered_is_not_called_back_as_well() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let delivery = put_off(&jane, 1).await;
    deployment.world().query("UPDATE operation SET due_at = 1", &[]).unwrap();
    let answer = deployment.send_as(&delivery, "two").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(callbacks_waiting(&jane).await, 0);
    deployment.wait(Duration::from_hours(1)).await;
    assert_eq!(deployment.c1.callback_posts().len(), 0);
    assert!(!deployment.logs().iter().any(|line| line.contains("callback given up")));
}

/// It is sent once more, and C1 says that it waits for nothing.
#[tokio::test(start_paused = true)]
async fn an_outcome_that_c1_took_from_a_worker_that_was_lost_before_it_could_note_that_is_not_called_given_up() {
    let jane = Box::pin(Jane::start()).await;
    let deployment = &jane.deployment;
    let delivery = put_off(&jane, 1).await;
    let world = deployment.world();
    let keeps = "CREATE TRIGGER keeps BEFORE DELETE ON callback BEGIN INSERT INTO kept SELECT * FROM callback; END";
    for statement in ["CREATE TABLE kept AS SELECT * FROM callback WHERE 0", keeps] {
        world.query(statement, &[]).unwrap();
    }
    deployment.callback(&delivery).await;
    deployment.wait(Duration::from_secs(1)).await;
    assert_eq!(callbacks_waiting(&jane).await, 0);
    // As it was on disk when C1 answered.
    for statement in ["DROP TRIGGER keeps", "INSERT INTO callback SELECT * FROM kept", "DROP TABLE kept"] {
        world.query(statement, &[]).unwrap();
    }
    deployment.restart();
    assert_eq!(callbacks_waiting(&jane).await, 1);
    deployment.cron().await;
    deployment.wait(Duration::from_hours(1)).await;
    assert_eq!(callbacks_waiting(&jane).await, 0);
    let statuses: Vec<u16> = deployment.c1.callback_posts().iter().map(|post| post.status).collect();
    assert_eq!(statuses, [200, 400]);
    assert!(!deployment.logs().iter().any(|line| line.contains("callback given up")));
    let status = deployment.json("/v1/status").await;
    assert!(status["incidents"].as_array().unwrap().is_empty(), "{status}");
}

#[tokio::test(start_paused = true)]
async fn that_c1_waits_no_longer_for_an_outcome_that_it_was_never_told_is_logged() {
    // C1 may have it after all where an answer was lost, and says the same to the next try. What it answered that it is busy it does not have; and
    // that it waits for nothing it may say of the first ones alone, which came before our answer that there would be one: that may have been lost.
    for (fault, times, is_closed, changes, given_up, posts) in [
        (None, 0, true, true, 1, 5),
        (None, 0, true, false, 1, 5),
        (Some(CallbackFault::KeptButFailed(502)), 1, false, true, 0, 2),
        (Some(CallbackFault::Reset), 1, true, true, 0, 2),
        (Some(CallbackFault::Refused(503)), 1, true, true, 1, 5),
        (Some(CallbackFault::Refused(400)), 1, false, true, 0, 2),
        (Some(CallbackFault::Refused(400)), 4, false, true, 0, 5),
        (Some(CallbackFault::Refused(400)), 1, true, true, 1, 5),
        (Some(CallbackFault::Refused(410)), 4, false, true, 0, 5),
        (Some(CallbackFault::Refused(410)), 1, true, true, 1, 5),
    ] {
        let jane = Box::pin(Jane::start()).await;
        let deployment = &jane.deployment;
        let task = if changes { jane.grant(&jane.lacks) } else { jane.revoke(&jane.lacks) };
        let delivery = put_off_task(&jane, 1, &task).await;
        if let Some(fault) = fault {
            deployment.c1.fail_callbacks(fault, times);
        }
        if is_closed {
            deployment.c1.close_callback(&delivery);
        }
        deployment.wait(Duration::from_hours(1)).await;
        let told = deployment.logs().iter().filter(|line| line.contains("callback given up")).count();
        assert_eq!((callbacks_waiting(&jane).await, told), (0.into(), given_up), "{fault:?}");
        assert_eq!(deployment.c1.callback_posts().len(), posts, "{fault:?}");
        // What was changed for nobody who waits for it is told to people.
        let status = deployment.json("/v1/status").await;
        let incidents = status["incidents"].as_array().unwrap();
        assert_eq!(incidents.len(), if changes { given_up } else { 0 }, "{fault:?}: {incidents:?}");
        for incident in incidents {
            assert_eq!(incident["kind"], "callback_given_up");
            let message = incident["message"].as_str().unwrap();
            assert!(message.starts_with("Granted ") && message.contains("still wanted"), "{message}");
        }
        let entry = deployment.json("/v1/operations").await["items"][0].clone();
        assert_eq!(entry["trail"].to_string().contains("callback given up"), given_up == 1, "{fault:?}: {entry}");
    }
}
