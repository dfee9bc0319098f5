//! Connecting when all goes well.

use serde_json::json;

use crate::connected::{lines, prepared};

#[tokio::test]
async fn every_cloudflare_entitlement_leads_here_after_one_call_and_a_second_one_changes_nothing() {
    let connected = prepared(|options| options).await;
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "done", "{report}");
    let webhook = connected.webhook();
    connected.assert_wired(&webhook);
    assert_eq!(connected.c1.policies(&connected.other.id).0, json!({ "connector": {} }), "others are left alone");
    let count = connected.roles.len() + 1;
    assert_eq!(report["entitlements"]["changed"], count);
    assert_eq!(report["entitlements"]["others"], 1);
    assert_eq!(report["app"]["id"], connected.app.id.as_str());
    // One line for each entitlement, and one for the webhook.
    assert_eq!(lines(&report, "changed").len(), count + 1, "{report}");
    assert!(report.to_string().contains("provisioning was the connector and is now this webhook"), "{report}");
    let name = &connected.c1.webhooks()[0].1;
    assert_eq!(name, "Cloudflare connector");

    let writes = connected.writes();
    let again = connected.run(json!({})).await;
    assert_eq!((again["state"].as_str(), connected.writes()), (Some("done"), writes), "{again}");
    assert_eq!(again["entitlements"]["already"], count);
    assert_eq!(lines(&again, "changed"), [""; 0]);

    let status = connected.json("/v1/status").await;
    assert_eq!(status["connection"]["webhook"], webhook.as_str());
    assert_eq!(status["connection"]["wired"], count);
    assert!(status["connection"]["verified_at"].is_string(), "{status}");
}
