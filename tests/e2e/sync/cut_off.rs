//! A run that is cut off goes on, and publishes what it would have published.

use std::time::Duration;

use sim::cloudflare::{Cloudflare, Latency, Route, Spec};

use super::{digest, three_pages};
use crate::deployment::{Deployment, PATIENCE, snapshot};

/// Waits until the Worker has asked for members more often than that.
async fn waits_for_members(cloudflare: &Cloudflare, asked: usize) {
    let waits = async {
        while cloudflare.requests(Route::ListMembers) <= asked {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_killed_again_and_again_publishes_the_same() {
    let spec = Spec { members: 400, ..three_pages() };
    let undisturbed = Deployment::with(spec.clone(), |options| options).await.synced().await;
    let deployment = Deployment::with(spec, |options| options).await;
    // However slow the machine is, it is killed while it waits for members.
    deployment.cloudflare.set_route_latency(Route::ListMembers, Latency::of(Duration::from_mins(1)));
    assert_eq!(deployment.request("POST", "/v1/sync", &[], None).await.status, 202);
    let (kills, mut asked) = (3, 0);
    for left in (0..kills).rev() {
        waits_for_members(&deployment.cloudflare, asked).await;
        deployment.worker.kill().await;
        asked = deployment.cloudflare.requests(Route::ListMembers);
        if left == 0 {
            deployment.cloudflare.set_route_latency(Route::ListMembers, Latency::default());
        }
        deployment.worker.restart().await.unwrap();
        // The alarm of a killed invocation may be gone with it; the next cron sees to the run. It is no new one.
        assert_eq!(deployment.worker.trigger_cron().await.unwrap(), "ok");
    }
    let status = deployment.wait_for_sync(PATIENCE).await.unwrap();
    assert_eq!(status["state"], "connected", "{status}");
    assert_eq!(status["runs"].as_array().unwrap().len(), 1, "the same run: {status}");
    assert_eq!(digest(&deployment), digest(&undisturbed));
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
    let (sent, least) = (deployment.cloudflare.total_requests(), undisturbed.cloudflare.total_requests());
    assert!(sent <= least + kills * 6, "only what was on its way is asked again: {sent}, undisturbed {least}");
}

#[tokio::test]
async fn a_run_that_is_cut_off_goes_on_by_itself() {
    let deployment = Deployment::with(three_pages(), |options| options).await;
    let cloudflare = &deployment.cloudflare;
    // However slow the machine is, it is killed while it waits for the members.
    cloudflare.set_route_latency(Route::ListMembers, Latency::of(Duration::from_mins(1)));
    assert_eq!(deployment.request("POST", "/v1/sync", &[], None).await.status, 202);
    waits_for_members(cloudflare, 0).await;
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["state"], "syncing", "{status}");
    deployment.worker.kill().await;
    cloudflare.set_route_latency(Route::ListMembers, Latency::default());
    let before = cloudflare.total_requests();
    deployment.worker.restart().await.unwrap();
    let status = deployment.wait_for_sync(PATIENCE).await.unwrap();
    assert_eq!(status["state"], "connected", "{status}");
    assert!(cloudflare.total_requests() > before, "the run was over before it was cut off");
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}
