//! Bodies: too large, not JSON, of the wrong shape.

use serde_json::{Value, json};
use sim::conductorone::{Entitlement, Person, Task};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployment::{Deployment, assert_is_problem};

/// What a webhook's body may have at most.
const LIMIT: usize = 1024 * 1024;

/// A body of exactly this many bytes that means nothing and is well-formed.
fn padded(bytes: usize) -> String {
    let empty = json!({ "version": "v1", "event": "c1.webhooks.v1.PayloadTest", "padding": "" }).to_string();
    empty.replace("\"padding\":\"\"", &format!("\"padding\":\"{}\"", "x".repeat(bytes - empty.len())))
}

#[tokio::test]
async fn a_body_of_one_megabyte_is_read_and_one_byte_more_is_not() {
    let deployment = Deployment::start().await;
    let largest = deployment.c1.test_event().with_body(padded(LIMIT));
    assert_eq!(deployment.send(&largest).await.status, 200);
    let answer = deployment.send(&deployment.c1.test_event().with_body(padded(LIMIT + 1))).await;
    assert_eq!(answer.status, 413);
    assert_eq!(assert_is_problem(&answer, "too large"), "body_too_large");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_not_read_past_the_limit() {
    let deployment = Deployment::start().await;
    let address = deployment.worker.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /webhooks/conductorone HTTP/1.1\r\nhost: connector\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    for _ in 0..17 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    // The body has not ended, and never will: the answer must come all the same.
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(crate::deployment::PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(deployment.c1.jwks_fetches(), 0);
}

#[tokio::test]
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

#[tokio::test]
async fn a_body_is_not_looked_at_before_its_signature() {
    let deployment = Deployment::start().await;
    let answer = deployment.raw("POST", "/webhooks/conductorone", &[], Some(b"not JSON".to_vec())).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
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
