//! `GET /v1/doctor`: is everything in place?

use crate::deployment::{Deployment, small};
use crate::told_by_doctor::{REQUIRED, misconfigured, names};

#[tokio::test]
async fn everything_that_is_missing_is_named_at_once() {
    let deployment = Deployment::with(small(), |mut options| {
        options.vars.clear();
        options
    })
    .await;
    let report = misconfigured(&deployment, &REQUIRED).await;
    assert_ne!(deployment.worker.trigger_cron().await.unwrap(), "ok", "the cron is recorded as failed");
    for check in report["checks"].as_array().unwrap() {
        let message = check["message"].as_str().unwrap();
        assert!(message.contains("missing: set it"), "it says what to do: {message}");
    }
}

#[tokio::test]
async fn a_connector_that_lacks_nothing_is_told_so() {
    let deployment = Deployment::start().await;
    let report = deployment.json("/v1/doctor").await;
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(names(&report, false), [""; 0]);
    let good = names(&report, true);
    for name in ["configuration", "STATE", "CLOUDFLARE_API_TOKEN", "C1_TENANT", "permission: members"] {
        assert!(good.contains(&name.to_owned()), "{name} is not among {good:?}");
    }
}
