//! KV that fails while a generation is written.

use futures::future::join_all;
use sim::cloudflare::Truth;
use sim::harness::kv::{Fault, Keys, KvCall};

use super::digest;
use crate::deployment::{Deployment, PATIENCE, holds, roles, snapshot};

/// Everything that lists can say of what was published first.
async fn published(deployment: &Deployment) -> (String, Truth) {
    (digest(deployment), snapshot(deployment, 1000).await)
}

/// A sync whose writes to some keys fail, try after try: what was published stays until the new generation is whole, which it is after the first try that
/// goes well.
async fn failing(keys: &str, after_persisting: bool) {
    let deployment = Deployment::start().await.synced().await;
    let before = published(&deployment).await;
    let role = roles(&deployment.cloudflare).pop().unwrap();
    let policies = vec![holds(&deployment.cloudflare, &role)];
    deployment.cloudflare.add_member("new.hire@example.com", policies);
    let fault = Fault::new(KvCall::Put, Keys::Prefixed(keys.to_owned())).times(1_000);
    deployment.kv.fail(if after_persisting { fault.after_persisting() } else { fault });

    assert_eq!(deployment.request("POST", "/v1/sync", &[], None).await.status, 202);
    let troubled = |status: &serde_json::Value| status["running"]["trouble"].is_string();
    let status = deployment.wait_for("/v1/status", PATIENCE, troubled).await.unwrap();
    assert!(status["running"]["trouble"].as_str().unwrap().contains("written"), "{status}");
    let flipped = keys == "current" && after_persisting;
    let meanwhile = published(&deployment).await;
    assert_eq!(
        meanwhile == before,
        !flipped,
        "{keys}: what is published is the old generation or the new, never a mixture"
    );
    if flipped {
        assert_eq!(meanwhile.1, deployment.cloudflare.truth());
    }

    deployment.kv.heal();
    let status = deployment.wait_for_sync(PATIENCE).await.unwrap();
    assert_eq!(status["runs"][0]["outcome"], "published", "{status}");
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth(), "{keys}");
}

#[tokio::test]
async fn a_write_that_fails_never_touches_what_was_published() {
    // What the runtime makes of a write that failed before or after it was stored; natively each key fails in each way
    // (`a_store_that_fails_never_touches_what_is_published`).
    let cases = [("chunk/", false), ("current", true)];
    // At the same time, since each waits a quarter of a minute for its next try.
    join_all(cases.map(|(keys, after_persisting)| failing(keys, after_persisting))).await;
}
