//! The event that C1 sends when somebody tests the webhook.

use serde_json::json;

use crate::deployment::Deployment;

#[tokio::test]
async fn the_test_event_is_answered_before_anything_was_synced() {
    let deployment = Deployment::start().await;
    let answer = deployment.send(&deployment.c1.test_event()).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "version": "v1" })));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(deployment.kv.keys().is_empty());
}
