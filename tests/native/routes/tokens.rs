//! A webhook's token that comes again: it starts nothing, and touches no callback.

use std::time::Duration;

use serde_json::{Value, json};
use sim::client::Answer;
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::jane::{EMAIL, Jane};

fn grant(jane: &Jane) -> Task {
    let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    Task::grant(entitlement, Person::member(EMAIL, &jane.user, &jane.member))
}

fn complete(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document: Value = serde_json::from_str(&answer.text()).unwrap();
    assert!(document["complete"].is_object(), "{document}");
    document
}

fn not_yet(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("token_used") && answer.header("retry-after").is_some(), "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_again_gets_the_answer_that_there_is_and_a_new_one_does_so_too() {
    let jane = Jane::start().await;
    let delivery = jane.deployment.c1.task(&grant(&jane));
    let first = complete(&jane.deployment.send_as(&delivery, "one").await);
    jane.deployment.cloudflare.reset_log();
    for token in ["one", "one", "two"] {
        assert_eq!(complete(&jane.deployment.send_as(&delivery, token).await), first);
    }
    assert_eq!(jane.deployment.cloudflare.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_again_takes_no_callback_away_from_c1() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
    let delivery = jane.deployment.c1.task(&grant(&jane));
    assert_eq!(jane.deployment.send_as(&delivery, "one").await.status, 202);
    // Nobody has an answer yet, so the token is good for none.
    not_yet(&jane.deployment.send_as(&delivery, "one").await);
    // C1 does not take the callback for a while; meanwhile there is an outcome.
    jane.deployment.c1.fail_callbacks(sim::conductorone::CallbackFault::Refused(500), 1);
    jane.deployment.wait(Duration::from_secs(7)).await;
    assert_eq!(jane.deployment.c1.callback_posts().len(), 1);
    complete(&jane.deployment.send_as(&delivery, "one").await);
    jane.deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(jane.deployment.c1.callback_posts().len(), 2, "C1 waits for it, whoever else was answered");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_again_starts_no_sync_and_may_read() {
    let jane = Jane::start().await;
    let c1 = &jane.deployment.c1;
    let (sync, look) = (
        c1.workflow_step(json!({ "verb": "start_sync" })),
        c1.workflow_step(json!({ "verb": "lookup_member", "email": EMAIL })),
    );
    for token in ["look", "look"] {
        let answer = jane.deployment.send_as(&look, token).await;
        assert!(answer.status == 200 && answer.text().contains(&jane.member), "{}", answer.text());
    }
    assert!(jane.deployment.send_as(&sync, "sync").await.text().contains("\"started\":true"));
    jane.deployment.wait(Duration::from_mins(2)).await;
    not_yet(&jane.deployment.send_as(&sync, "sync").await);
    assert!(jane.deployment.send_as(&sync, "another").await.text().contains("\"started\":true"));
}

#[tokio::test(start_paused = true)]
async fn of_two_deliveries_of_one_step_the_later_ones_callback_is_answered() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    deployment.cloudflare.fail_next(Route::GetMember, 6, Fault::status(503, 10_000));
    let task = grant(&jane);
    let (first, second) = (deployment.c1.task(&task), deployment.c1.task(&task));
    assert_ne!(first.callback_url, second.callback_url);
    for (delivery, token) in [(&first, "one"), (&second, "two")] {
        let answer = deployment.send_as(delivery, token).await;
        assert_eq!(answer.status, 202, "{token}: {}", answer.text());
    }
    assert!(deployment.callback(&second).await["complete"].is_object());
    deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(deployment.c1.callback_posts().len(), 1, "and no other");
}
