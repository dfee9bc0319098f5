//! What the doctor tells of a Worker, whether it runs in the real runtime or without one.

use serde_json::Value;

use crate::deployment::Deployment;
use crate::looks::assert_is_problem;

/// What the Worker cannot do without.
pub(crate) const REQUIRED: [&str; 4] =
    ["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "C1_TENANT"];

/// The checks that are right, or those that are not, by name.
pub(crate) fn names(report: &Value, ok: bool) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["ok"] == ok).map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// Checks what a misconfigured Worker does: it names all of these at once to the operator, and is of no use otherwise.
pub(crate) async fn misconfigured(deployment: &Deployment, expected: &[&str]) -> Value {
    let report = deployment.get("/v1/doctor").await;
    assert_eq!(report.status, 503);
    let mut named = names(&report.json(), false);
    named.sort();
    let mut expected: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
    expected.sort();
    assert_eq!(named, expected);

    let webhook = deployment.send(&deployment.c1.test_event()).await;
    assert_eq!((webhook.status, assert_is_problem(&webhook, "webhook").as_str()), (503, "not_configured"));
    assert!(webhook.header("retry-after").is_some());
    for name in &expected {
        assert!(!webhook.text().contains(name.as_str()), "strangers are not told what is missing");
    }
    let list = deployment.get("/v1/users").await;
    assert_eq!((list.status, assert_is_problem(&list, "list").as_str()), (503, "not_configured"));
    assert_eq!(deployment.raw("GET", "/healthz", &[], None).await.status, 200);

    let logs = deployment.logs();
    let line = logs
        .iter()
        .find(|line| line.contains("not configured"))
        .unwrap_or_else(|| panic!("the log says so too: {logs:?}"));
    for name in &expected {
        assert!(line.contains(name.as_str()), "{name} is missing in: {line}");
    }
    report.json()
}
