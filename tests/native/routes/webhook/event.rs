//! Events that ask for nothing.

use serde_json::json;

use crate::deployment::Deployment;

#[tokio::test(start_paused = true)]
async fn events_that_are_none_of_our_business_are_acknowledged_once() {
    let deployment = Deployment::start().await;
    let c1 = &deployment.c1;
    for (what, delivery) in [
        ("the test event", c1.test_event()),
        ("an event of the future", c1.event("c1.webhooks.v9.PayloadWhatever", json!({ "a": [1, null] }))),
        ("a post action", c1.event("c1.webhooks.v1.PayloadPolicyPostAction", json!({}))),
        ("a finding", c1.event("c1.webhooks.v1.PayloadFindingDispatch", json!({ "findingId": "f" }))),
    ] {
        let outcome = deployment.deliver(&delivery).await;
        assert_eq!(outcome.document(), Some(&json!({ "version": "v1" })), "{what}: {outcome:?}");
        assert_eq!(outcome.attempts.len(), 1, "{what}");
    }
    assert_eq!(deployment.cloudflare.total_requests(), 0);
}
