//! Signals to C1's incoming webhook, after a sync: one of each way to sign.

use serde_json::json;
use sim::conductorone::Proof;

use crate::deployment::PATIENCE;
use crate::signal_case::{SignalCase, statuses, url};

#[tokio::test]
async fn what_changed_is_told_with_who_did_it_past_c1() {
    let desk = SignalCase::start().await;
    let super_admin = desk.deployment.cloudflare.permission_group("super_admin").unwrap();
    desk.job(|job| job.is_null() || job["state"] == "done").await;
    assert_eq!(desk.events(), [""; 0], "the first generation differs from nothing");

    // Super Administrator by somebody else, and one role by us. In this order: right after a write of ours, the crawl's read is
    // not believed for a moment, and what came then is told after the next sync.
    desk.given(&super_admin);
    let path = format!("/v1/roles/{}/members/{}", desk.roles[1].governed_as(), desk.user);
    assert_eq!(desk.deployment.request("PUT", &path, &[], None).await.status, 200);
    let status = desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    assert_eq!(desk.events(), ["foreign_change", "access_changed"]);
    assert_eq!(statuses(&desk.deployment.c1), [200, 200]);

    let events = desk.deployment.c1.events();
    let [foreign, changed] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        (&foreign["generation"], &foreign["run"]),
        (&status["generations"][0]["generation"], &status["runs"][0]["run"])
    );
    assert_eq!(
        foreign["grants"],
        json!([{
            "to": "jane.doe@example.com", "principal": format!("user:{}", desk.user),
            "entitlement": format!("role:{}:member", super_admin.governed_as()), "name": foreign["grants"][0]["name"],
            "super_administrator": true, "by": { "who": "unknown", "through": "unknown", "at": null, "entry": null },
        }])
    );
    assert!(foreign["grants"][0]["name"].as_str().unwrap().contains("Super Administrator"), "{foreign}");
    assert_eq!(changed["summary"]["grants_added"], 2);
    assert_eq!(changed["changes"][0]["name"], "jane.doe@example.com");
    assert_eq!(
        (changed["left_out"].as_u64(), changed["account_id"].as_str()),
        (Some(0), Some(desk.deployment.cloudflare.account_id().as_str()))
    );
    let job = desk.done().await;
    assert_eq!(job["message"], "Sent 2 signals.");

    // A sync that finds nothing tells nothing, and a grant that is ours alone is nobody else's.
    desk.synced().await;
    let path = format!("/v1/roles/{}/members/{}", desk.roles[2].governed_as(), desk.user);
    assert_eq!(desk.deployment.request("PUT", &path, &[], None).await.status, 200);
    desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 3).await.unwrap();
    assert_eq!(desk.events()[2], "access_changed");
}

#[tokio::test]
async fn jwts_are_signed_with_the_key_that_is_shown_and_need_no_other_secret() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let desk = SignalCase::with(|options| options.var("SIGNAL_URL", &url("")).var("SIGNAL_SIGNING_KEY", seed)).await;
    let keys = desk.deployment.raw("GET", "/.well-known/jwks.json", &[], None).await;
    assert_eq!((keys.status, keys.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        keys.json()["keys"][0]["x"],
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "the public key of RFC 8032"
    );
    assert!(!keys.text().contains("\"d\"") && !keys.text().contains(seed));
    desk.deployment.c1.listen("listener", Proof::Jwt(keys.json()));
    desk.given(&desk.roles[1]);
    desk.synced().await;
    desk.deployment.wait_for("/v1/status", PATIENCE, |_| desk.events().len() == 2).await.unwrap();
    let requests = desk.deployment.c1.inbound_requests();
    assert!(requests.iter().all(|request| request.status == 200), "{requests:?}");
    let report = desk.deployment.json("/v1/doctor").await;
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "SIGNAL_URL").unwrap();
    assert!(
        check["message"].as_str().unwrap().contains("https://connector.example.com/.well-known/jwks.json"),
        "{check}"
    );
}
