//! Where the Worker is reached when `PUBLIC_URL` is not set: who teaches it, and that what was learned is as strict a check as a setting.

use serde_json::{Value, json};
use sim::conductorone::{App, Entitlement, PUBLIC_URL};
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::access::{AUDIENCE, TEAM, claims, token};
use crate::deployment::Deployment;
use crate::looks::small;

const READ_TOKEN: &str = "connector-read-token-of-the-tests-0123456789";

/// What C1 is told to call in these tests, as a `Host` header.
const HOST: &str = "connector.example.com";
const FORGED: &str = "evil.example.org";

async fn without_a_setting() -> Deployment {
    let change = |options: sim::harness::Options| {
        options
            .var("PUBLIC_URL", "")
            .var("CONNECTOR_READ_TOKEN", READ_TOKEN)
            .var("ACCESS_TEAM_DOMAIN", TEAM)
            .var("ACCESS_AUD", AUDIENCE)
            .var("ACCESS_EDITORS", "jane@example.com")
    };
    Deployment::with(small(), change).await
}

/// A request by a host.
async fn by(connector: &Deployment, host: &str, method: &str, path: &str, bearer: &str, body: Option<Value>) -> Value {
    let bearer = format!("Bearer {bearer}");
    let headers = [("host", host), ("authorization", &bearer)];
    let answer = connector.raw(method, path, &headers, body.map(|body| body.to_string().into_bytes())).await;
    serde_json::from_str(&answer.text()).unwrap_or_default()
}

/// What the status tells. Asked with the token that reads.
async fn told(connector: &Deployment) -> Value {
    by(connector, FORGED, "GET", "/v1/status", READ_TOKEN, None).await["public_url"].clone()
}

/// The status of C1's test event, and the code and the reason where it is refused.
async fn webhook(connector: &Deployment, token: &str) -> (u16, Value, String) {
    let answer = connector.send_as(&connector.c1.test_event(), token).await;
    let body = answer.json();
    (answer.status, body["code"].clone(), body["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn nobody_but_the_full_token_teaches_it_and_until_then_no_webhook_is_taken() {
    let connector = without_a_setting().await;
    let (page, host) = (("x-connector-page", "1"), ("host", FORGED));
    // A forged host of whoever has no token, a wrong one, or the one that reads.
    for bearer in ["", "wrong-0123456789abcdef0123456789abcdef", READ_TOKEN] {
        for path in ["/v1/status", "/v1/doctor", "/v1/users", "/scim/v2/Users", "/metrics"] {
            by(&connector, FORGED, "GET", path, bearer, None).await;
        }
        by(&connector, FORGED, "POST", "/v1/sync", bearer, None).await;
        connector.raw("POST", "/session", &[page, host], Some(json!({ "token": bearer }).to_string().into())).await;
    }
    // Whoever Access let in may change access, and need not know the token.
    let sent = token(&connector.team.key(), &claims("jane@example.com", connector.now()));
    let entered = connector.raw("GET", "/session/access", &[host, ("cf-access-jwt-assertion", &sent)], None).await;
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let begun = connector.raw("POST", "/v1/sync", &[page, host, ("cookie", &cookie)], None).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    assert_eq!(told(&connector).await, Value::Null);
    let (status, code, why) = webhook(&connector, "t1").await;
    assert_eq!((status, code), (503, json!("public_url_unknown")));
    assert!(why.contains("PUBLIC_URL is not set"), "{why}");

    // An address that C1 cannot call is not learned; the first that it can is.
    for odd in ["127.0.0.1:8787", "localhost", "[::1]:8787", "connector.example.com."] {
        by(&connector, odd, "GET", "/v1/operations", CONNECTOR_TOKEN, None).await;
        assert_eq!(told(&connector).await, Value::Null, "{odd}");
    }
    let doctor = by(&connector, "localhost", "GET", "/v1/doctor", CONNECTOR_TOKEN, None).await;
    assert_eq!(check(&doctor)["ok"], false, "{doctor}");
    by(&connector, HOST, "GET", "/v1/operations?limit=1", CONNECTOR_TOKEN, None).await;
    let learned = told(&connector).await;
    assert_eq!((&learned["url"], &learned["source"]), (&json!(PUBLIC_URL), &json!("learned")));
    assert_eq!(learned["learned_from"], "GET /v1/operations");
    assert_eq!(webhook(&connector, "t2").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn connecting_tells_c1_the_address_that_was_learned() {
    let connector = without_a_setting().await.synced().await;
    let group = connector.cloudflare.add_group("Engineers", Vec::new());
    let key = connector.c1.plain_credential("learned");
    connector.set_var("C1_CLIENT_ID", &key.client_id);
    connector.set_var("C1_CLIENT_SECRET", &key.client_secret);
    connector.sync().await;
    connector.c1.add_app(&App::default(), &[Entitlement::new(&format!("group:{group}:member"), "Engineers Member")]);
    by(&connector, FORGED, "POST", "/v1/connect", CONNECTOR_TOKEN, Some(json!({ "dry_run": true }))).await;
    connector.wait(std::time::Duration::from_mins(1)).await;
    let report = by(&connector, FORGED, "GET", "/v1/connect", READ_TOKEN, None).await;
    let says = format!("A webhook that leads to {PUBLIC_URL}/webhooks/conductorone would be created.");
    assert!(report.to_string().contains(&says), "{report}");
}

/// Only the full token teaches the address: whoever may change access and asks again without it would ask for ever.
#[tokio::test(start_paused = true)]
async fn connecting_without_an_address_tells_which_sign_in_teaches_it() {
    let connector = without_a_setting().await;
    let group = connector.cloudflare.add_group("Engineers", Vec::new());
    let key = connector.c1.plain_credential("unknown");
    connector.set_var("C1_CLIENT_ID", &key.client_id);
    connector.set_var("C1_CLIENT_SECRET", &key.client_secret);
    connector.c1.add_app(&App::default(), &[Entitlement::new(&format!("group:{group}:member"), "Engineers Member")]);
    // From this host nothing is learned.
    for (path, body) in [("/v1/sync", None), ("/v1/connect", Some(json!({})))] {
        by(&connector, "localhost", "POST", path, CONNECTOR_TOKEN, body).await;
        connector.wait(std::time::Duration::from_mins(1)).await;
    }
    assert_eq!(told(&connector).await, Value::Null);
    let report = by(&connector, FORGED, "GET", "/v1/connect", READ_TOKEN, None).await;
    let says = "is not known: sign in over https with CONNECTOR_TOKEN, or set PUBLIC_URL.";
    assert!(report["state"] == "failed" && report["message"].as_str().unwrap().contains(says), "{report}");
}

fn check(doctor: &Value) -> &Value {
    doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "PUBLIC_URL").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_stays_and_is_compared_as_strictly_as_a_setting_which_stands_above_it() {
    let connector = without_a_setting().await;
    // First by the workers.dev name, then by the custom domain that C1 calls; and after a restart.
    let (first, other) = ("c1-cloudflare.acme.workers.dev", format!("https://{HOST}"));
    let session = json!({ "token": CONNECTOR_TOKEN }).to_string().into_bytes();
    connector.raw("POST", "/session", &[("x-connector-page", "1"), ("host", first)], Some(session)).await;
    for _ in 0..2 {
        by(&connector, HOST, "POST", "/v1/sync", CONNECTOR_TOKEN, None).await;
        let learned = told(&connector).await;
        assert_eq!(learned["url"], format!("https://{first}"));
        assert_eq!(learned["learned_from"], "POST /session");
        let (status, code, why) = webhook(&connector, "t1").await;
        assert_eq!((status, code), (401, json!("webhook_rejected")));
        assert!(why.contains("another host"), "{why}");
        connector.restart();
    }
    let doctor = by(&connector, HOST, "GET", "/v1/doctor", CONNECTOR_TOKEN, None).await;
    let message = check(&doctor)["message"].as_str().unwrap();
    for part in [first, "learned", "POST /session", "set PUBLIC_URL", &format!("this request came by {other}")] {
        assert!(message.contains(part), "{part}: {message}");
    }

    connector.set_var("PUBLIC_URL", &other);
    assert_eq!(told(&connector).await, json!({ "url": other, "source": "setting" }));
    assert_eq!(webhook(&connector, "t2").await.0, 200);
    let doctor = by(&connector, HOST, "GET", "/v1/doctor", CONNECTOR_TOKEN, None).await;
    assert!(!check(&doctor)["message"].as_str().unwrap().contains("learned"), "{doctor}");
}

#[tokio::test(start_paused = true)]
async fn a_setting_is_never_learned_over_and_nothing_is_learned_beside_it() {
    let connector = Deployment::with(small(), |options| options.var("CONNECTOR_READ_TOKEN", READ_TOKEN)).await;
    by(&connector, FORGED, "GET", "/v1/status", CONNECTOR_TOKEN, None).await;
    assert_eq!(told(&connector).await["source"], "setting");
    connector.set_var("PUBLIC_URL", "");
    assert_eq!(told(&connector).await, Value::Null);
}
