//! Routes whose logic native tests hold, each once in the real runtime: the way from the edge to the Coordinator and back, with the runtime's
//! own clock, storage and streams.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::deployment::{Deployment, PATIENCE, assert_is_problem};

fn first(list: &Value) -> &Value {
    list["items"].as_array().and_then(|items| items.first()).unwrap_or_else(|| panic!("nothing is listed: {list}"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}

/// A day that is to come, by the machine's clock, which is the runtime's.
#[allow(clippy::disallowed_methods, reason = "the runtime's own clock is the machine's")]
fn in_a_month() -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    chrono::DateTime::from_timestamp(now + 30 * 86_400, 0).unwrap().format("%Y-%m-%d").to_string()
}

#[tokio::test]
async fn what_native_tests_hold_is_answered_in_the_real_runtime_too() {
    let deployment = Deployment::start().await;
    deployment.cloudflare.add_oauth_client("dashboards", "public", &["account.read"]);
    let deployment = deployment.synced().await;
    let generation = deployment.json("/v1/status").await["generations"][0]["generation"].clone();

    let client = deployment.json("/v1/oauth-clients").await;
    assert_eq!(first(&client)["name"], "dashboards", "{client}");
    let token = deployment.json("/v1/tokens").await;
    let token = text(first(&token), "id");
    assert_eq!(text(&deployment.json(&format!("/v1/tokens/{token}")).await, "id"), token);

    let grants = deployment.list("/v1/grants", 1000).await;
    let grant = grants.iter().find(|grant| grant["principal_type"] == "user").unwrap();
    let (entitlement, principal) = (text(grant, "entitlement_id"), format!("user:{}", text(grant, "principal_id")));
    let path = format!("/v1/what-if?principal={principal}&revoke={entitlement}");
    assert!(deployment.json(&path).await["line"].is_string(), "{path}");
    let zone = deployment.cloudflare.account_id();
    let reached = deployment.json(&format!("/v1/resources/com.cloudflare.api.account.{zone}/access")).await;
    assert!(text(first(&reached), "resource_key").ends_with(&zone), "{reached}");

    // The ledger begins with the first generation, which is one row of it: nothing was gained since.
    let history = deployment.json("/v1/history").await;
    assert!(history["begins_at"].is_string() && history["items"] == json!([]), "{history}");
    let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let held = deployment.json(&format!("/v1/as-of?at={now}&limit=1")).await;
    assert_eq!((&held["begins_at"], first(&held)["entitlement"].is_string()), (&history["begins_at"], true), "{held}");
    let before = deployment.get("/v1/as-of?at=2001-01-01").await;
    assert_eq!((before.status, assert_is_problem(&before, "as-of").as_str()), (410, "before_the_ledger"));

    // A job that follows the publication finds what is wrong; then the evidence is settled.
    let is_there = |found: &Value| found["items"].as_array().is_some_and(|items| !items.is_empty());
    let found = deployment.world.wait_for("/v1/findings?limit=1", PATIENCE, is_there).await.unwrap();
    let id = text(first(&found), "id");
    let accept = json!({ "reason": "known, and looked at each quarter", "until": in_a_month() });
    let accepted = deployment.request("POST", &format!("/v1/findings/{id}/accept"), &[], Some(&accept)).await;
    assert_eq!((accepted.status, &accepted.json()["state"]), (200, &json!("accepted")), "{}", accepted.text());
    // It is there once all of that is through.
    let settled = async {
        loop {
            let evidence = deployment.get("/v1/evidence").await;
            if evidence.status != 503 {
                break evidence;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let evidence = tokio::time::timeout(PATIENCE, settled).await.unwrap();
    let opening: Value = serde_json::from_str(evidence.text().lines().next().unwrap_or_default()).unwrap();
    assert_eq!(
        (evidence.status, &opening["part"], &opening["generation"]),
        (200, &json!("head"), &generation),
        "{opening}"
    );

    let metrics = deployment.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("\nconnector_resources{kind=\"oauth_client\"} 1\n"), "{}", metrics.text());
}

#[tokio::test]
async fn the_token_opens_a_session_of_the_page_and_another_text_none() {
    let deployment = Deployment::start().await;
    let sign_in = async |token: &str| {
        let body = json!({ "token": token }).to_string().into_bytes();
        let headers = [("x-connector-page", "1"), ("content-type", "application/json")];
        deployment.raw("POST", "/session", &headers, Some(body)).await
    };
    let wrong = sign_in(&"x".repeat(CONNECTOR_TOKEN.len())).await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    let opened = sign_in(CONNECTOR_TOKEN).await;
    assert_eq!((opened.status, &opened.json()["right"]), (200, &json!("full")), "{}", opened.text());
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = [("x-connector-page", "1"), ("cookie", cookie.as_str())];
    assert_eq!(deployment.raw("GET", "/v1/status", &page, None).await.status, 200);
}
