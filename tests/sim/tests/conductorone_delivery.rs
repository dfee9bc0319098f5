//! What the tenant sends: headers, tokens and payloads.

use crate::conductorone_support::Receiver;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sim::conductorone::{Algorithm, ConductorOne, Delivery, Entitlement, Person, Style, Task, Token};
use sim::http::Request;

const ROLE: &str = "05784afa30c1afe1440e79d9351c7430";

fn role() -> Entitlement {
    Entitlement::role(ROLE, "Administrator Read Only")
}

fn jane() -> Person {
    Person::member("jane.doe@example.com", "7c5dae5552338874e5053f2534d2767a", "4536bcfad5faccb111b47003c79917fa")
}

async fn sent(c1: &ConductorOne, delivery: &Delivery) -> Request {
    let receiver = Receiver::start([]).await;
    c1.deliver_once(&receiver.url(), delivery).await.unwrap();
    receiver.requests().remove(0)
}

fn token(request: &Request) -> (Value, Value) {
    let token = request.header("authorization").unwrap().strip_prefix("bearer ").unwrap();
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

#[tokio::test]
async fn a_delivery_has_the_documented_headers_and_envelope() {
    let c1 = ConductorOne::new();
    let delivery = c1.test_event();
    let request = sent(&c1, &delivery).await;
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/webhooks/conductorone"));
    let digest = format!("sha-256={}", STANDARD.encode(Sha256::digest(&request.body)));
    for (name, value) in [
        ("content-digest", digest.as_str()),
        ("content-type", "application/json"),
        ("webhook-version", "v1"),
        ("webhook-id", &delivery.webhook_id),
        ("webhook-event", "c1.webhooks.v1.PayloadTest"),
        ("webhook-callback-url", &delivery.callback_url),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(delivery.callback_url.starts_with("https://acme.conductor.one/api/v1/webhooks/callback/Chs"));
    let expected = json!({
        "version": "v1", "webhookId": delivery.webhook_id, "callbackUrl": delivery.callback_url,
        "event": "c1.webhooks.v1.PayloadTest",
        "payload": { "@type": "type.googleapis.com/c1.webhooks.v1.PayloadTest" },
    });
    assert_eq!(request.json(), expected);
}

#[tokio::test]
async fn a_token_has_the_documented_claims() {
    let c1 = ConductorOne::new();
    c1.set_webhook_url("https://connector.example.com:8443/hook?tenant=1");
    let request = sent(&c1, &c1.test_event()).await;
    assert_eq!((request.path.as_str(), request.query.as_str()), ("/hook", "tenant=1"));
    let (header, claims) = token(&request);
    let kid = c1.signing_key(None).kid;
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid }));
    let issued = claims["iat"].as_i64().unwrap();
    assert!((chrono::Utc::now().timestamp() - issued).abs() <= 5);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 27);
    let expected = json!({
        "iss": "acme.conductor.one", "aud": "connector.example.com", "c1typ": "wh", "htm": "POST",
        "htu": "https://connector.example.com:8443/hook",
        "htb_s256": STANDARD.encode(Sha256::digest(&request.body)),
        "iat": issued, "nbf": issued - 60, "exp": issued + 120, "jti": claims["jti"],
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn a_token_is_wrong_where_a_test_wants_it_to_be() {
    let c1 = ConductorOne::new();
    let of = async |recipe: Token| token(&sent(&c1, &c1.test_event().token(recipe)).await);

    let (header, claims) = of(Token::new().without_kid().without_claim("htu").claim("aud", json!(["a", "b"]))).await;
    assert_eq!(header.get("kid"), None);
    assert_eq!(claims.get("htu"), None);
    assert_eq!(claims["aud"], json!(["a", "b"]));

    let (header, claims) = of(Token::new().algorithm(Algorithm::Rs256).kid("unknown").aged(600)).await;
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!("unknown")));
    assert!(claims["exp"].as_i64().unwrap() < chrono::Utc::now().timestamp() - 400);

    assert_eq!(of(Token::new().unsigned()).await.0["alg"], "none");
    assert_eq!(of(Token::new().hmac_with_public_key()).await.0["alg"], "HS256");
    assert_eq!(of(Token::new().header("alg", "ES512")).await.0["alg"], "ES512");
}

#[tokio::test]
async fn a_retry_has_the_same_body_and_a_new_token() {
    let c1 = ConductorOne::new();
    let delivery = c1.task(&Task::grant(role(), jane()));
    let (first, second) = (sent(&c1, &delivery).await, sent(&c1, &delivery).await);
    assert_eq!(first.body, second.body);
    assert_ne!(token(&first).1["jti"], token(&second).1["jti"]);
}

#[tokio::test]
async fn bodies_and_headers_can_be_tampered_with() {
    let c1 = ConductorOne::new();
    let hash = |body: &[u8]| json!(STANDARD.encode(Sha256::digest(body)));

    let nonsense = sent(&c1, &c1.test_event().with_body("not JSON")).await;
    assert_eq!(nonsense.body, "not JSON");
    assert_eq!(token(&nonsense).1["htb_s256"], hash(b"not JSON"));

    let tampered = sent(&c1, &c1.test_event().with_body("signed").tampered("sent")).await;
    assert_eq!(tampered.body, "sent");
    assert_eq!(token(&tampered).1["htb_s256"], hash(b"signed"));

    let delivery = c1.test_event().without_header("authorization").header("content-digest", "sha-256=AAAA");
    let request = sent(&c1, &delivery).await;
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("content-digest"), Some("sha-256=AAAA"));
}

#[test]
fn the_paths_of_a_task_lead_to_what_they_name() {
    let c1 = ConductorOne::new();
    let check = |task: Task, paths: &[(&str, &str)]| {
        let payload = c1.task(&task).payload;
        for (name, object) in paths {
            let path = payload["taskView"][name].as_str().unwrap();
            let id = path
                .strip_prefix("$.expanded[")
                .and_then(|rest| rest.strip_suffix(']'))
                .map_or("", |index| payload["expanded"][index.parse::<usize>().unwrap()]["id"].as_str().unwrap());
            assert_eq!(&id, object, "{name}");
        }
    };
    let (entitlement, jane, boss) = (role(), jane(), Person::newcomer("the.boss@example.com"));
    let account = jane.account.clone().unwrap().id;
    let owner = Person::newcomer("ola.owner@example.com").identity_id;
    check(
        Task::grant(entitlement.clone(), jane.clone()),
        &[
            ("entitlementsPath", &entitlement.id),
            ("appUserPath", &account),
            ("identityUserPath", &jane.identity_id),
            ("createdByUserPath", &jane.identity_id),
            ("approversPath", &owner),
        ],
    );
    check(
        Task::revoke(entitlement.clone(), jane.clone()),
        &[("appUserPath", &account), ("createdByUserPath", &owner), ("approversPath", "")],
    );
    check(
        Task::grant(entitlement, Person::newcomer("new.hire@example.com")).requested_by(boss.clone()),
        &[("appUserPath", ""), ("createdByUserPath", &boss.identity_id)],
    );
}

#[test]
fn a_task_says_what_is_to_be_done_to_whom() {
    let c1 = ConductorOne::new();
    let task = Task::grant(role(), jane()).id("task").step_id("step").for_seconds(28_800);
    let delivery = c1.task(&task);
    assert_eq!(delivery.event, "c1.webhooks.v1.PayloadProvisionStep");
    let view = &delivery.payload["taskView"]["task"];
    assert_eq!((&view["id"], &view["policy"]["current"]["id"]), (&json!("task"), &json!("step")));
    assert_eq!(view["displayName"], "Grant Administrator Read Only Member Role to Jane Doe");
    assert_eq!(view["type"]["grant"]["grantDuration"], "28800s");
    assert_eq!(view["type"]["grant"]["appEntitlementId"], role().id);
    let target = &view["policy"]["current"]["provision"]["provision"]["provisionTarget"];
    assert_eq!(target["appUserId"], jane().account.unwrap().id);
    let entitlement = &delivery.payload["expanded"][1];
    let values: Vec<_> = entitlement["sourceConnectorIds"].as_object().unwrap().values().collect();
    assert_eq!(values, [&json!(format!("role:{ROLE}:member"))]);

    let newcomer = c1.task(&Task::grant(Entitlement::access(), Person::newcomer("new.hire@example.com")));
    let view = &newcomer.payload["taskView"]["task"];
    assert_eq!(view["type"]["grant"]["appUserId"], "");
    assert_eq!(newcomer.payload["expanded"][1]["systemBuiltin"], true);
    assert_eq!(newcomer.payload["expanded"][1]["sourceConnectorIds"], json!({}));
    assert_eq!(newcomer.payload["expanded"][2]["@type"], "type.googleapis.com/c1.api.user.v1.User");

    let revoke = c1.task(&Task::revoke(role(), jane()));
    assert_eq!(revoke.payload["taskView"]["task"]["type"]["revoke"]["outcome"], "REVOKE_OUTCOME_UNSPECIFIED");

    let approval = c1.task(&Task::grant(role(), jane()).awaiting_approval());
    assert_eq!(approval.event, "c1.webhooks.v1.PayloadPolicyApprovalStep");
    let current = &approval.payload["taskView"]["task"]["policy"]["current"];
    assert_eq!(current["approval"]["approval"]["webhook"]["webhookId"], c1.webhook_id());
    assert_eq!(current.get("provision"), None);

    let workflow = c1.workflow_step(json!({ "verb": "start_sync" }));
    assert_eq!(workflow.payload["context"]["verb"], "start_sync");
    assert!(workflow.payload["workflowExecutionId"].is_string());
}

#[test]
fn compact_payloads_leave_out_what_is_not_set() {
    fn check(value: &Value, path: &str) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, field)| check(field, &format!("{path}/{name}"))),
            Value::Array(items) => items.iter().for_each(|item| check(item, &format!("{path}/-"))),
            value => assert!(![json!(null), json!(""), json!(false), json!(0)].contains(value), "{path}: {value}"),
        }
    }
    let c1 = ConductorOne::new();
    let newcomer = || Person::newcomer("new.hire@example.com");
    for task in [
        Task::grant(role(), jane()),
        Task::revoke(role(), jane()),
        Task::grant(role(), newcomer()).asked_in_slack(),
        Task::grant(Entitlement::access(), newcomer()),
    ] {
        let payload = c1.task(&task.style(Style::Compact)).payload;
        check(&payload, "");
    }
    let task = Task::grant(role(), newcomer()).asked_in_slack().style(Style::Compact);
    let grant = &c1.task(&task).payload["taskView"]["task"]["type"]["grant"];
    assert_eq!(grant["source"], json!({}), "an empty message that is set stays");
    assert_eq!(grant.get("appUserId"), None);
}

#[test]
fn a_payload_can_be_edited_anywhere() {
    let c1 = ConductorOne::new();
    let task = Task::grant(role(), jane())
        .set("/taskView/task/state", "TASK_STATE_CLOSED")
        .without("/taskView/task/policy/current/provision")
        .set("/expanded/0", json!({ "@type": "unheard-of" }))
        .without("/expanded/4");
    let payload = c1.task(&task).payload;
    assert_eq!(payload["taskView"]["task"]["state"], "TASK_STATE_CLOSED");
    assert_eq!(payload["taskView"]["task"]["policy"]["current"].get("provision"), None);
    assert_eq!(payload["expanded"][0]["@type"], "unheard-of");
    assert_eq!(payload["expanded"].as_array().unwrap().len(), 4);
}
