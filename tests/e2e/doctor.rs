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

/// Wrangler makes bindings of another kind of what stands in `[vars]` without quotes.
#[tokio::test]
async fn a_variable_that_is_no_text_is_read_or_named_and_never_passed_over() {
    let wrong =
        [("MIN_SUPER_ADMINS", "0"), ("REST_PROVISIONING", "false"), ("PROTECTED_MEMBERS", "[\"a@example.com\"]")];
    let deployment = Deployment::with(small(), |options| {
        wrong.iter().fold(options, |options, (name, value)| options.var(name, &format!("json:{value}")))
    })
    .await;
    misconfigured(&deployment, &wrong.map(|(name, _)| name)).await;
    for (name, right) in
        [("MIN_SUPER_ADMINS", "json:1"), ("REST_PROVISIONING", "on"), ("MAX_REMOVALS_PER_HOUR", "json:0")]
    {
        deployment.worker.set_var(name, right);
    }
    deployment.worker.unset_var("PROTECTED_MEMBERS");
    deployment.worker.set_var("PROVISIONING", "on");
    deployment.worker.restart().await.unwrap();
    let deployment = deployment.synced().await;
    let user = deployment.json("/v1/users?limit=1").await["items"][0]["id"].as_str().unwrap().to_owned();
    let refused = deployment.request("DELETE", &format!("/v1/accounts/{user}"), &[], None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (429, "removal_cap"), "{}", refused.text());
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
