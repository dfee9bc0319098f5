//! Connecting when things go wrong.

use std::time::Duration;

use serde_json::json;
use sim::conductorone::ApiFault;

use crate::connected::{lines, prepared};
use crate::deployment::assert_is_problem;

#[tokio::test]
async fn a_run_that_is_cut_off_goes_on_and_two_at_once_are_not() {
    const CHANGE: &str = "POST /api/v1/apps/";
    let connected = prepared(|options| options).await;
    // However slow the machine is, the Worker is killed while it waits for a change.
    let long = ApiFault::Slow(Duration::from_mins(1));
    connected.c1.fail_api(CHANGE, long.clone(), None);
    // The next two are quick, and the one after them is not.
    let after_two = || {
        connected.c1.heal_api();
        connected.c1.fail_api(CHANGE, ApiFault::Slow(Duration::ZERO), Some(2));
        connected.c1.fail_api(CHANGE, long.clone(), None);
    };
    let changed = || {
        let requests = connected.c1.api_requests();
        requests.iter().filter(|request| request.route.starts_with(CHANGE)).count()
    };
    let (nothing, undo) = (json!({}), json!({ "undo": true }));
    let begun = connected.world.post("/v1/connect", &nothing);
    let killed = async {
        for wanted in [1, 4] {
            let waited = async {
                while changed() < wanted {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(crate::deployment::PATIENCE, waited).await.unwrap();
            let second = connected.post(&json!({})).await;
            assert_eq!((second.status, assert_is_problem(&second, "second").as_str()), (409, "connect_running"));
            connected.worker.kill().await;
            if wanted == 1 {
                after_two();
            } else {
                connected.c1.heal_api();
            }
            connected.worker.restart().await.unwrap();
        }
    };
    let (cut_off, ()) = tokio::join!(begun, killed);
    assert!(cut_off.is_err(), "the request went with the Worker");
    let report = connected.ended().await;
    assert_eq!(report["state"], "done", "{report}");
    connected.assert_wired(&connected.webhook());
    assert_eq!(report["entitlements"]["changed"], connected.roles.len() + 1, "each is told as changed, and once");
    assert_eq!(lines(&report, "changed").len(), connected.roles.len() + 2, "{report}");

    after_two();
    let before = changed();
    let begun = connected.world.post("/v1/connect", &undo);
    let killed = async {
        let waited = async {
            while changed() < before + 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::deployment::PATIENCE, waited).await.unwrap();
        let report = connected.json("/v1/connect").await;
        assert_eq!(report["state"], "running", "{report}");
        connected.worker.kill().await;
        connected.c1.heal_api();
        connected.worker.restart().await.unwrap();
    };
    let (cut_off, ()) = tokio::join!(begun, killed);
    assert!(cut_off.is_err(), "the request went with the Worker");
    let undo = connected.ended().await;
    assert_eq!(undo["state"], "done", "{undo}");
    connected.assert_untouched();
    assert_eq!(undo["entitlements"]["restored"], connected.roles.len() + 1);
}
