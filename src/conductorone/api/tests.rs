//! The client against the simulated tenant, which verifies what it is sent.

use std::time::Duration;

use sim::conductorone::{ApiFault, App, Credential, Entitlement};

use super::desk::{TenantDesk, settings};
use super::{ApiError, Client, Tokens, path};
use crate::base::ports::Clock as _;
use crate::base::time::Timestamp;
use crate::conductorone::Settings;
use crate::conductorone::apps::Policy;

fn ports() -> TenantDesk {
    let ports = TenantDesk::new();
    ports.c1.add_app(&App::default(), &[Entitlement::role("05784afa30c1afe1440e79d9351c7430", "Administrator")]);
    ports
}

async fn apps(ports: &TenantDesk, settings: &Settings, tokens: &Tokens) -> Result<usize, ApiError> {
    Client::new(ports, settings, tokens)?.apps_page(None).await.map(|page| page.items.len())
}

#[tokio::test]
async fn a_token_is_had_with_either_form_of_secret_and_had_again_once_it_is_refused() {
    let ports = ports();
    for credential in [ports.c1.credential("key"), ports.c1.plain_credential("plain")] {
        let (settings, tokens, before) = (settings(&credential), Tokens::default(), ports.token_requests());
        for _ in 0..3 {
            assert_eq!(apps(&ports, &settings, &tokens).await, Ok(1));
        }
        assert_eq!(ports.token_requests() - before, 1);
        ports.c1.expire_api_tokens();
        assert_eq!(apps(&ports, &settings, &tokens).await, Ok(1));
        assert_eq!(ports.token_requests() - before, 2);
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_when_the_credentials_change() {
    let ports = ports();
    let (plain, key) = (settings(&ports.c1.plain_credential("plain")), settings(&ports.c1.credential("key")));
    let tokens = Tokens::default();
    for (settings, ahead_secs, requests) in [(&plain, 0, 1), (&plain, 3530, 1), (&plain, 3550, 2), (&key, 0, 3)] {
        ports.ahead_secs.set(ahead_secs);
        assert_eq!(apps(&ports, settings, &tokens).await, Ok(1));
        assert_eq!(ports.token_requests(), requests, "{ahead_secs} s on");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_again_and_again_is_not_asked_for_for_ever() {
    let ports = ports();
    let settings = settings(&ports.c1.credential("key"));
    ports.c1.fail_api("GET /api/v1/apps", ApiFault::Status(401), None);
    let error = apps(&ports, &settings, &Tokens::default()).await.unwrap_err();
    assert!(matches!(error, ApiError::Unauthorized(_)), "{error}");
    assert_eq!(ports.token_requests(), 2);
}

#[tokio::test]
async fn wrong_credentials_are_named_with_what_to_do() {
    let ports = ports();
    let good = ports.c1.credential("key");
    let plain = ports.c1.plain_credential("plain");
    let nobody = Credential { client_id: "nobody@acme.conductor.one/pcc".into(), ..good.clone() };
    let mixed = Credential { client_secret: ports.c1.credential("other").client_secret, ..good.clone() };
    let guess = Credential { client_secret: "hunter2-hunter2".into(), ..plain };
    for wrong in [nobody, mixed, guess] {
        let error = apps(&ports, &settings(&wrong), &Tokens::default()).await.unwrap_err();
        assert!(matches!(error, ApiError::Credentials { .. }), "{error}");
        assert!(error.to_string().contains("make a new API key"), "{error}");
        assert!(!error.to_string().contains(&wrong.client_secret), "{error}");
    }
    let elsewhere = Credential { client_id: "key@other.conductor.one/pcc".into(), ..good };
    let error = apps(&ports, &settings(&elsewhere), &Tokens::default()).await.unwrap_err().to_string();
    assert!(error.contains("of the tenant other.conductor.one and C1_TENANT is acme.conductor.one"), "{error}");
}

type Is = fn(&ApiError) -> bool;

#[tokio::test]
async fn each_refusal_is_an_error_of_its_own() {
    let ports = ports();
    let (settings, tokens) = (settings(&ports.c1.credential("key")), Tokens::default());
    let table: [(ApiFault, Is); 8] = [
        (ApiFault::Status(403), |error| matches!(error, ApiError::Forbidden { what: "list apps", .. })),
        (ApiFault::Status(404), |error| matches!(error, ApiError::NotFound { .. })),
        (ApiFault::Status(400), |error| matches!(error, ApiError::Refused { status: 400, .. })),
        (ApiFault::Status(502), |error| matches!(error, ApiError::Unavailable(502))),
        (ApiFault::Redirect("https://evil.example.com/".into()), |error| {
            matches!(error, ApiError::Refused { status: 302, .. })
        }),
        (ApiFault::NotJson, |error| matches!(error, ApiError::Malformed { .. })),
        (ApiFault::Reset, |error| matches!(error, ApiError::Unreachable { .. })),
        (ApiFault::RateLimited(7), |error| matches!(error, ApiError::RateLimited(_))),
    ];
    for (fault, is) in table {
        ports.c1.fail_api("GET /api/v1/apps", fault.clone(), Some(1));
        let error = apps(&ports, &settings, &tokens).await.unwrap_err();
        assert!(is(&error), "{fault:?}: {error}");
    }
    ports.c1.fail_api("GET /api/v1/apps", ApiFault::RateLimited(7), Some(1));
    let begun = ports.now();
    let Err(ApiError::RateLimited(at)) = apps(&ports, &settings, &tokens).await else { panic!("not limited") };
    assert!(at.since(begun) >= 7_000, "Retry-After is kept to");
}

#[tokio::test]
async fn an_entitlements_policies_are_changed_and_nothing_else_of_it() {
    let ports = ports();
    let (settings, tokens) = (settings(&ports.c1.credential("key")), Tokens::default());
    let client = Client::new(&ports, &settings, &tokens).unwrap();
    let webhook = client.create_webhook("Cloudflare connector", "https://connector.example.com/x", "").await.unwrap();
    assert_eq!(client.webhooks_page(None).await.unwrap().items, std::slice::from_ref(&webhook));
    let app = client.apps_page(None).await.unwrap().items.remove(0);
    assert_eq!(client.app(&app.id).await.unwrap(), app);
    let before = client.entitlements_page(&app.id, None).await.unwrap().items.remove(0);
    assert_eq!(before.provisioner.kind().map(|(kind, _)| kind), Some("connector"));

    let policy = Policy::webhook(&webhook.id);
    let after = client.set_policies(&app.id, &before.id, Some(&policy), None).await.unwrap();
    assert_eq!((&after.provisioner, &after.deprovisioner), (&policy, &before.deprovisioner));
    assert_eq!(client.entitlement(&app.id, &before.id).await.unwrap(), after);
    let back = client.set_policies(&app.id, &before.id, Some(&before.provisioner), Some(&Policy::default())).await;
    assert_eq!(back.unwrap(), before);
    client.test_webhook(&webhook.id).await.unwrap();
    client.delete_webhook(&webhook.id).await.unwrap();
    assert!(client.webhooks_page(None).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let ports = ports();
    ports.c1.fail_api("GET /api/v1/apps", ApiFault::Slow(Duration::from_millis(50)), Some(1));
    assert_eq!(apps(&ports, &settings(&ports.c1.credential("key")), &Tokens::default()).await, Ok(1));
}

#[test]
fn an_id_in_a_path_stays_one_segment() {
    assert_eq!(path(&["api", "v1", "apps", "a/../b?c d+e"]), "/api/v1/apps/a%2F..%2Fb%3Fc%20d%2Be");
}

#[test]
fn only_what_may_work_later_is_tried_again() {
    let now = Timestamp::from_secs(1);
    assert_eq!(ApiError::RateLimited(now.plus_secs(9)).retry_at(now), Some(now.plus_secs(9)));
    assert_eq!(ApiError::Unavailable(502).retry_at(now), Some(now));
    assert_eq!(ApiError::NotConfigured.retry_at(now), None);
    assert_eq!(ApiError::Forbidden { what: "list apps", said: String::new() }.retry_at(now), None);
}
