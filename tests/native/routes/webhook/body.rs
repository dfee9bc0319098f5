//! Bodies that are signed, and yet of the wrong shape.

use serde_json::{Value, json};
use sim::conductorone::{Entitlement, Person, Task};

use crate::deployment::Deployment;
use crate::looks::assert_is_problem;

#[tokio::test(start_paused = true)]
async fn what_is_signed_and_yet_no_webhook_is_refused() {
    let deployment = Deployment::start().await;
    let provision = |payload: Value| {
        json!({ "version": "v1", "event": "c1.webhooks.v1.PayloadProvisionStep", "payload": payload }).to_string()
    };
    let cases = [
        ("nothing", String::new()),
        ("no JSON", "hello".to_owned()),
        ("half of JSON", "{\"version\":\"v1\",".to_owned()),
        ("not even text", String::from("\u{0}\u{1}")),
        ("a list", "[]".to_owned()),
        ("a text", "\"PayloadTest\"".to_owned()),
        ("null", "null".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("an event that is a number", json!({ "event": 5 }).to_string()),
        ("an empty event", json!({ "event": "" }).to_string()),
        ("a step without a payload", provision(Value::Null)),
        ("a step whose payload is a text", provision(json!("payload"))),
        ("a step without a task", provision(json!({ "taskView": {} }))),
        ("a task without an id", provision(json!({ "taskView": { "task": {} } }))),
        ("a task that is a list", provision(json!({ "taskView": { "task": [] } }))),
        ("an expansion that is an object", provision(json!({ "taskView": { "task": { "id": "x" } }, "expanded": {} }))),
        ("nested deep", format!("{}{}", "[".repeat(50_000), "]".repeat(50_000))),
    ];
    for (what, body) in cases {
        let answer = deployment.send(&deployment.c1.test_event().with_body(body)).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(assert_is_problem(&answer, what), "invalid_webhook");
    }
    let answer = deployment.send(&deployment.c1.test_event().with_body(vec![0xff, 0xfe, 0x00])).await;
    assert_eq!(answer.status, 400, "bytes that are no text: {}", answer.text());
    assert_eq!(deployment.cloudflare.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_not_looked_at_before_its_signature() {
    let deployment = Deployment::start().await;
    let answer = deployment.raw("POST", "/webhooks/conductorone", &[], Some(b"not JSON".to_vec())).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_wait_for_us_changes_nothing() {
    let deployment = Deployment::start().await;
    let task = || {
        let role = Entitlement::role("05784afa30c1afe1440e79d9351c7430", "Administrator Read Only");
        Task::grant(role, Person::member("jane.doe@example.com", &"1".repeat(32), &"2".repeat(32)))
    };
    for (what, task, why) in [
        ("closed", task().set("/taskView/task/state", "TASK_STATE_CLOSED"), "closed"),
        ("at another step", task().without("/taskView/task/policy/current/provision"), "not at a provisioning step"),
        (
            "of another kind",
            task()
                .without("/taskView/task/type/grant")
                .set("/taskView/task/type/offboarding", json!({ "userId": "2Jane" })),
            "offboarding",
        ),
    ] {
        let outcome = deployment.deliver(&deployment.c1.task(&task)).await;
        let sentence = outcome.errored().unwrap_or_else(|| panic!("{what}: {outcome:?}"));
        assert!(sentence.contains(why), "{what}: {sentence}");
        assert_eq!(outcome.attempts.len(), 1);
    }
    assert_eq!(deployment.cloudflare.total_requests(), 0);
}
