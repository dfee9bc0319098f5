//! The simulated tenant's API believes nobody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Map, Value, json};
use sim::client::Answer;
use sim::conductorone::{App, ConductorOne, Credential, Entitlement};
use sim::http::Server;

struct Tenant {
    c1: ConductorOne,
    server: Server,
    client: reqwest::Client,
}

impl Tenant {
    async fn start() -> Self {
        let c1 = ConductorOne::new();
        let server = Server::start(0, c1.handler()).await.unwrap();
        Self { c1, server, client: reqwest::Client::new() }
    }

    async fn token(&self, form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(format!("{}/auth/v1/token", self.server.url())).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        sim::client::send(request, std::time::Duration::from_secs(30)).await.unwrap()
    }

    async fn assert_with(&self, credential: &Credential, assertion: &str) -> Answer {
        self.token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &credential.client_id),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ])
        .await
    }
}

fn key(credential: &Credential) -> SigningKey {
    let jwk = credential.client_secret.rsplit(':').next().unwrap();
    let jwk: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwk).unwrap()).unwrap();
    let seed: [u8; 32] = URL_SAFE_NO_PAD.decode(jwk["d"].as_str().unwrap()).unwrap().try_into().unwrap();
    SigningKey::from_bytes(&seed)
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).to_bytes()))
}

fn claims(credential: &Credential, changes: Value) -> Value {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": credential.client_id, "sub": credential.client_id, "aud": "acme.conductor.one",
        "iat": now, "nbf": now - 60, "exp": now + 120, "jti": sim::conductorone::fresh_id(),
    });
    let changes: Map<String, Value> = serde_json::from_value(changes).unwrap();
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

#[tokio::test]
async fn only_a_good_assertion_is_worth_a_token_and_only_once() {
    let tenant = Tenant::start().await;
    let credential = tenant.c1.credential("otter");
    let (key, header, now) = (key(&credential), json!({ "alg": "EdDSA" }), chrono::Utc::now().timestamp());
    let good = sign(&key, &header, &claims(&credential, json!({})));
    let answer = tenant.assert_with(&credential, &good).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(tenant.assert_with(&credential, &good).await.status, 401, "once");

    for changes in [
        json!({ "iss": "somebody" }),
        json!({ "sub": "somebody" }),
        json!({ "aud": "other.conductor.one" }),
        json!({ "exp": now - 1 }),
        json!({ "exp": now + 400 }),
        json!({ "nbf": now + 60 }),
        json!({ "jti": "" }),
    ] {
        let bad = sign(&key, &header, &claims(&credential, changes.clone()));
        assert_eq!(tenant.assert_with(&credential, &bad).await.status, 401, "{changes}");
    }
    let stranger = SigningKey::from_bytes(&[7; 32]);
    let forged = sign(&stranger, &header, &claims(&credential, json!({})));
    assert_eq!(tenant.assert_with(&credential, &forged).await.status, 401);
    let unsigned = sign(&key, &json!({ "alg": "none" }), &claims(&credential, json!({})));
    assert_eq!(tenant.assert_with(&credential, &unsigned).await.status, 401);
    // The secret itself is no proof of a client that has a key.
    let secret = tenant
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &credential.client_id),
            ("client_secret", &credential.client_secret),
        ])
        .await;
    assert_eq!(secret.status, 401);
}

#[tokio::test]
async fn the_api_wants_a_token_and_changes_what_the_mask_names() {
    let tenant = Tenant::start().await;
    let entitlement = Entitlement::role("05784afa30c1afe1440e79d9351c7430", "Administrator");
    tenant.c1.add_app(&App::default(), std::slice::from_ref(&entitlement));
    let url = format!("{}/api/v1/apps/{}/entitlements/{}", tenant.server.url(), App::default().id, entitlement.id);
    let send = async |request: reqwest::RequestBuilder| {
        sim::client::send(request, std::time::Duration::from_secs(30)).await.unwrap()
    };
    assert_eq!(send(tenant.client.get(&url)).await.status, 401);
    let credential = tenant.c1.plain_credential("otter");
    let answer = tenant
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &credential.client_id),
            ("client_secret", &credential.client_secret),
        ])
        .await;
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let post = async |body: Value| {
        send(tenant.client.post(&url).header("authorization", format!("Bearer {token}")).body(body.to_string())).await
    };
    let webhook = json!({ "webhook": { "webhookId": tenant.c1.add_webhook("w", "https://example.com/") } });
    let both = json!({ "provisionerPolicy": webhook, "deprovisionerPolicy": webhook });
    let answer = post(json!({ "entitlement": both, "updateMask": "deprovisionerPolicy" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(tenant.c1.policies(&entitlement.id), (json!({ "connector": {} }), webhook.clone()));
    assert_eq!(post(json!({ "entitlement": {}, "updateMask": "deprovisionerPolicy" })).await.status, 200);
    assert_eq!(tenant.c1.policies(&entitlement.id).1, Value::Null, "named and absent is cleared");
    for bad in [
        json!({ "entitlement": both }),
        json!({ "entitlement": both, "updateMask": "id" }),
        json!({ "entitlement": { "provisionerPolicy": { "webhook": { "webhookId": "2No" } } }, "updateMask": "provisionerPolicy" }),
        json!({ "entitlement": { "provisionerPolicy": { "manual": {}, "connector": {} } }, "updateMask": "provisionerPolicy" }),
    ] {
        assert_eq!(post(bad.clone()).await.status, 400, "{bad}");
    }
}
