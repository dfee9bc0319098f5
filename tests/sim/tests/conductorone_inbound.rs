//! The tenant's incoming webhook: what it takes, and what it refuses.

use serde_json::json;
use sim::conductorone::{ConductorOne, InboundFault, Proof};
use sim::http::{Handler as _, Reply, Request};
use std::sync::Arc;

/// The test vector of the documentation's scheme.
const EVENT: &str = "11111111-1111-4111-8111-111111111111";

async fn post(c1: &ConductorOne, path: &str, headers: &[(&str, &str)]) -> u16 {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = json!({ "event": "sync_finished" }).to_string().into();
    let request = Request { method: "POST".into(), path: path.into(), query: String::new(), headers, body };
    match Arc::new(c1.clone()).handle(request).await {
        Reply::Response { status, .. } => status,
        Reply::Reset => 0,
    }
}

#[tokio::test]
async fn an_event_is_taken_once_and_only_where_it_is_proven() {
    let c1 = ConductorOne::new();
    let url = c1.listen("l1", Proof::Capability("token".into()));
    let path = url.strip_prefix("https://acme.conductor.one").unwrap().to_owned();
    let now = chrono::Utc::now().timestamp();
    let (at, early, late) = (now.to_string(), (now - 299).to_string(), (now - 310).to_string());
    let send = |path: &str, at: &str, id: &str| {
        let (path, at, id, c1) = (path.to_owned(), at.to_owned(), id.to_owned(), c1.clone());
        async move {
            let json = ("content-type", "application/json");
            post(&c1, &path, &[json, ("webhook-timestamp", &at), ("webhook-event-id", &id)]).await
        }
    };
    assert_eq!(send(&path, &late, EVENT).await, 401);
    assert_eq!(send(&path, &at, "1").await, 400);
    assert_eq!(send(&path.replace("token", "other"), &at, EVENT).await, 401);
    assert_eq!(send(&path.replace("l1", "l2"), &at, EVENT).await, 404);
    c1.fail_inbound(InboundFault::Refused(403), 1);
    assert_eq!(send(&path, &early, EVENT).await, 403);
    assert!(c1.events().is_empty());
    c1.fail_inbound(InboundFault::TakenButFailed(502), 1);
    assert_eq!(send(&path, &early, EVENT).await, 502);
    assert_eq!(send(&path, &at, EVENT).await, 409);
    assert_eq!((c1.events().len(), c1.inbound_requests().len()), (1, 7));
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let c1 = ConductorOne::new();
    let url = c1.listen("l1", Proof::Hmac("s3cr3t".into()));
    let path = url.strip_prefix("https://acme.conductor.one").unwrap().to_owned();
    let at = chrono::Utc::now().timestamp().to_string();
    let headers =
        [("content-type", "application/json"), ("webhook-timestamp", at.as_str()), ("webhook-event-id", EVENT)];
    assert_eq!(post(&c1, &path, &headers).await, 401, "none");
    let wrong = [headers.as_slice(), &[("webhook-signature", "w1T47_MKQyL3P91WzP83No9-bKtkuKzOiTAR8AxrUlI")]].concat();
    assert_eq!(post(&c1, &path, &wrong).await, 401, "of another time");
    assert!(c1.inbound_requests()[1].refused.as_ref().unwrap().contains("Signature"));
}
