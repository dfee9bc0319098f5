//! The tenant's rules: what is an answer, what is tried again, and how the answer may come later.

use std::time::Duration;

use crate::conductorone_support::{Act, Receiver};
use serde_json::{Value, json};
use sim::conductorone::{
    CallbackFault, ConductorOne, Delivery, Entitlement, MAX_BYTES, Options, Outcome, Pace, Person, Task, Verdict,
    parse_response,
};
use sim::http::Server;

const COMPLETE: &str = r#"{"version":"v1","complete":{"comment":"done"}}"#;

fn grant(c1: &ConductorOne) -> Delivery {
    let entitlement = Entitlement::role("05784afa30c1afe1440e79d9351c7430", "DNS");
    c1.task(&Task::grant(entitlement, Person::newcomer("new.hire@example.com")))
}

fn statuses(outcome: &Outcome) -> Vec<u16> {
    outcome.attempts.iter().map(|attempt| attempt.result.as_ref().map_or(0, |answer| answer.status)).collect()
}

async fn deliver(c1: &ConductorOne, acts: &[Act]) -> (Outcome, usize) {
    let receiver = Receiver::start(acts.to_vec()).await;
    let outcome = c1.deliver(&receiver.url(), &grant(c1)).await;
    (outcome, receiver.requests().len())
}

#[tokio::test]
async fn a_response_document_is_final() {
    let (outcome, requests) = deliver(&ConductorOne::new(), &[Act::Answer(201, COMPLETE)]).await;
    assert_eq!(outcome.completed(), Some("done"));
    assert_eq!((outcome.status(), requests), (Some(201), 1));
}

#[tokio::test]
async fn a_2xx_that_is_no_document_is_final_too() {
    let (outcome, requests) = deliver(&ConductorOne::new(), &[Act::Answer(200, r#"{"version":"v1"}"#)]).await;
    assert!(matches!(outcome.verdict, Verdict::Invalid(_)), "{:?}", outcome.verdict);
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn gone_is_never_tried_again() {
    let (outcome, requests) = deliver(&ConductorOne::new(), &[Act::Answer(410, "")]).await;
    assert_eq!((outcome.verdict, requests), (Verdict::Gone, 1));
}

#[tokio::test]
async fn everything_else_is_tried_again() {
    let c1 = ConductorOne::new();
    // Time enough for what is answered on a busy machine.
    let timeout = Duration::from_secs(3);
    c1.set_pace(Pace { timeout, ..Pace::hurried() });
    let acts = [
        Act::Answer(500, "oops"),
        Act::Answer(401, "{}"),
        Act::Answer(304, ""),
        Act::Reset,
        Act::Late,
        Act::Answer(200, COMPLETE),
    ];
    let (outcome, requests) = deliver(&c1, &acts).await;
    assert_eq!(outcome.completed(), Some("done"));
    assert_eq!(statuses(&outcome), [500, 401, 304, 0, 0, 200]);
    assert_eq!(requests, 6);
    let late = outcome.attempts.get(4).unwrap().duration;
    assert!(late >= timeout, "{late:?}");
}

#[tokio::test]
async fn it_gives_up_after_the_last_attempt() {
    let c1 = ConductorOne::new();
    c1.set_pace(Pace { pause: (Duration::ZERO, Duration::from_millis(1)), ..Pace::hurried() });
    assert_eq!(Pace::real().attempts, 50);
    let (outcome, requests) = deliver(&c1, &vec![Act::Answer(503, ""); 60]).await;
    assert_eq!((outcome.verdict, requests), (Verdict::GaveUp, 50));
}

#[tokio::test]
async fn nobody_there_is_tried_again() {
    let c1 = ConductorOne::new();
    c1.set_pace(Pace { attempts: 3, ..Pace::hurried() });
    let address = Receiver::start([]).await.url();
    let outcome = c1.deliver(&address, &grant(&c1)).await;
    assert_eq!((statuses(&outcome), outcome.verdict), (vec![0, 0, 0], Verdict::GaveUp));
}

/// A tenant that is served, so that its callback URLs lead somewhere.
struct Served {
    c1: ConductorOne,
    server: Server,
}

impl Served {
    async fn start() -> Self {
        let c1 = ConductorOne::with(Options { base_url: "http://unknown/".into(), ..Options::default() });
        let server = Server::start(0, c1.handler()).await.unwrap();
        Self { c1, server }
    }

    async fn call_back(&self, delivery: &Delivery, content_type: &str, body: &str) -> u16 {
        let url = delivery.callback_url.replace("http://unknown", &self.server.url());
        let request = reqwest::Client::new().post(url).header("content-type", content_type).body(body.to_owned());
        request.send().await.map_or(0, |response| response.status().as_u16())
    }
}

#[tokio::test]
async fn after_a_202_the_answer_comes_to_the_callback_url_once() {
    let served = Served::start().await;
    let receiver = Receiver::start([Act::Answer(202, "ignored")]).await;
    let delivery = grant(&served.c1);
    let patience = Duration::from_mins(1);
    let later = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        (
            served.call_back(&delivery, "text/plain", COMPLETE).await,
            served.call_back(&delivery, "application/json", "").await,
            served.call_back(&delivery, "application/json; charset=utf-8", COMPLETE).await,
            served.call_back(&delivery, "application/json", COMPLETE).await,
        )
    };
    let url = receiver.url();
    let (settled, answered) = tokio::join!(served.c1.settle(&url, &delivery, patience), later);
    assert_eq!(settled.unwrap()["complete"]["comment"], "done");
    assert_eq!(answered, (400, 400, 200, 400));
    let posts = served.c1.callback_posts();
    assert_eq!(posts.iter().map(|post| post.status).collect::<Vec<_>>(), [400, 400, 200, 400]);
    assert_eq!(receiver.requests().len(), 1, "a 202 is not tried again");
}

#[tokio::test]
async fn a_callback_is_refused_when_it_comes_too_late() {
    let served = Served::start().await;
    let expired = grant(&served.c1);
    served.c1.close_callback(&expired);
    assert_eq!(served.call_back(&expired, "application/json", COMPLETE).await, 400);

    let receiver = Receiver::start([Act::Answer(200, COMPLETE)]).await;
    let answered = grant(&served.c1);
    served.c1.deliver(&receiver.url(), &answered).await;
    assert_eq!(served.call_back(&answered, "application/json", COMPLETE).await, 400);
    assert_eq!(served.c1.callback(&answered, Duration::from_millis(10)).await, None);
}

#[tokio::test]
async fn callbacks_can_be_made_to_fail() {
    let served = Served::start().await;
    let delivery = grant(&served.c1);
    served.c1.fail_callbacks(CallbackFault::Refused(503), 2);
    for status in [503, 503, 200] {
        assert_eq!(served.call_back(&delivery, "application/json", COMPLETE).await, status);
    }

    let kept = grant(&served.c1);
    served.c1.fail_callbacks(CallbackFault::KeptButFailed(500), 1);
    for status in [500, 400] {
        assert_eq!(served.call_back(&kept, "application/json", COMPLETE).await, status);
    }
    assert!(served.c1.callback(&kept, Duration::from_secs(1)).await.is_some());

    served.c1.fail_callbacks(CallbackFault::Reset, 1);
    assert_eq!(served.call_back(&grant(&served.c1), "application/json", COMPLETE).await, 0);
}

#[test]
fn response_documents_are_checked_against_their_event() {
    let long = "x".repeat(1025);
    let check = |event: &str, document: Value, good: bool| {
        let event = format!("c1.webhooks.v1.{event}");
        let result = parse_response(&event, document.to_string().as_bytes());
        assert_eq!(result.is_ok(), good, "{event} {document}: {result:?}");
    };
    for (event, document, good) in [
        ("PayloadTest", json!({ "version": "v1" }), true),
        ("PayloadTest", json!({ "version": "v2" }), false),
        ("PayloadTest", json!({}), false),
        ("PayloadTest", json!([]), false),
        ("PayloadUnheardOf", json!({ "version": "v1" }), true),
        ("PayloadProvisionStep", json!({ "version": "v1" }), false),
        ("PayloadProvisionStep", json!({ "version": "v1", "complete": {} }), true),
        ("PayloadProvisionStep", json!({ "version": "v1", "errored": { "comment": "no" } }), true),
        ("PayloadProvisionStep", json!({ "version": "v1", "errored": { "comment": long } }), false),
        ("PayloadProvisionStep", json!({ "version": "v1", "complete": {}, "errored": {} }), false),
        ("PayloadProvisionStep", json!({ "version": "v1", "complete": { "note": "?" } }), false),
        ("PayloadProvisionStep", json!({ "version": "v1", "approve": {} }), false),
        ("PayloadPolicyApprovalStep", json!({ "version": "v1", "deny": { "comment": "no" } }), true),
        ("PayloadPolicyApprovalStep", json!({ "version": "v1", "reassign": {} }), false),
        ("PayloadPolicyApprovalStep", json!({ "version": "v1", "reassign": { "newStepUserIds": ["u"] } }), true),
        ("PayloadPolicyApprovalStep", json!({ "version": "v1", "replacePolicy": { "policySteps": [] } }), false),
        ("PayloadWorkflowStep", json!({ "version": "v1", "context": { "any": 1 } }), true),
        ("PayloadWorkflowStep", json!({ "version": "v1", "context": "text" }), false),
    ] {
        check(event, document, good);
    }
    let padded = format!("{}{COMPLETE}", " ".repeat(MAX_BYTES));
    assert!(parse_response("c1.webhooks.v1.PayloadProvisionStep", padded.as_bytes()).is_err());
}
