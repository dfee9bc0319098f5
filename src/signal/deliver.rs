//! One POST to C1's inbound webhook, signed as `reference/conductorone.md` 8.1 has it.

use serde_json::{Value, json};

use super::settings::{Auth, Settings};
use crate::base::base64;
use crate::base::hash::{hmac_sha256, sha256};
use crate::base::object::object;
use crate::base::ports::{Clock, Http, HttpRequest, Method, Secret};
use crate::base::ports::{Sign, SignError};
use crate::base::signing::{SigningKey, jwt};

/// How long C1 may take.
const TIMEOUT_MILLIS: u32 = 15_000;

/// A token is valid this long; C1 takes 10 minutes at most.
const TOKEN_SECS: i64 = 5 * 60;

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeliveryOutcome {
    /// C1 has it, now or since an earlier attempt.
    Yes,
    /// Not this time; a sentence that says why.
    Again(String),
    /// C1 will not take this event, however often it is sent.
    Refused(String),
    /// C1 will take none, as things are configured; a sentence that says what to do.
    Misconfigured(String),
}

/// Sends an event.
pub(super) async fn send<P: Http + Clock + Sign>(
    ports: &P,
    c1_url: &str,
    settings: &Settings,
    event_id: &str,
    body: &str,
) -> DeliveryOutcome {
    let now = ports.now();
    let timestamp = now.secs().to_string();
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("Webhook-Timestamp", timestamp.clone()),
        ("Webhook-Event-Id", event_id.to_owned()),
    ];
    let mut bearer = None;
    match &settings.auth {
        Auth::Capability => {}
        Auth::Hmac(secret) => headers.push(("Webhook-Signature", signature(secret, &timestamp, event_id, body))),
        Auth::Jwt(key) => {
            let claims = object!({
                "sub": c1_url,
                "aud": settings.url.expose(),
                "iat": now.secs(),
                "exp": now.plus_secs(TOKEN_SECS).secs(),
                "jti": event_id,
                "htm": "POST",
                "htb_s256": base64::url(sha256(body.as_bytes())),
            });
            match token(ports, key, &claims).await {
                Ok(token) => bearer = Some(Secret::new(token)),
                Err(error) => return DeliveryOutcome::Again(format!("The signal could not be signed: {error}.")),
            }
        }
    }
    let request = HttpRequest {
        method: Method::Post,
        url: settings.url.expose().to_owned(),
        headers,
        bearer,
        body: Some(body.as_bytes().to_vec()),
        timeout_millis: TIMEOUT_MILLIS,
        max_bytes: 64 * 1024,
    };
    match ports.send(request).await {
        Ok(response) => verdict(response.status, &settings.auth),
        Err(error) => DeliveryOutcome::Again(format!("ConductorOne could not be reached: {error}.")),
    }
}

/// `base64url(HMAC-SHA-256(secret as shown, "<timestamp>.<event id>.<body>"))`, without padding.
fn signature(secret: &Secret, timestamp: &str, event_id: &str, body: &str) -> String {
    let message = format!("{timestamp}.{event_id}.{body}");
    base64::url(hmac_sha256(secret.expose().as_bytes(), message.as_bytes()))
}

/// A JWT of these claims, signed with the key that [`key_set`] shows.
pub async fn token<P: Sign>(ports: &P, key: &SigningKey, claims: &Value) -> Result<String, SignError> {
    let kid = key_id(ports, key).await?;
    jwt(ports, key, Some(&kid), claims).await
}

/// The key's thumbprint (RFC 7638), by which C1 finds it in the set.
fn thumbprint(public: &[u8]) -> String {
    let x = base64::url(public);
    base64::url(sha256(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes()))
}

/// The thumbprint of the key that signs.
pub async fn key_id<P: Sign>(ports: &P, key: &SigningKey) -> Result<String, SignError> {
    Ok(thumbprint(&ports.public_key(key).await?))
}

/// The set of the one key that signs, for C1 to fetch: its public half alone (RFC 7517, RFC 8037).
pub async fn key_set<P: Sign>(ports: &P, key: &SigningKey) -> Result<Value, SignError> {
    let public = ports.public_key(key).await?;
    let x = base64::url(&public);
    Ok(json!({
        "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": thumbprint(&public), "alg": "EdDSA", "use": "sig" }]
    }))
}

fn verdict(status: u16, auth: &Auth) -> DeliveryOutcome {
    match status {
        // 409: it has the event already, from an attempt whose answer was lost.
        200..=299 | 409 => DeliveryOutcome::Yes,
        401 => DeliveryOutcome::Misconfigured(format!(
            "ConductorOne does not accept the signature (401). {} Signals wait, and are sent again after the next sync.",
            match auth {
                Auth::Hmac(_) => "Set SIGNAL_HMAC_SECRET to the secret of this incoming webhook, exactly as ConductorOne showed it, or delete it where that webhook takes JWTs.",
                Auth::Jwt(_) => "Check that the incoming webhook in ConductorOne has PUBLIC_URL with /.well-known/jwks.json as its key set, and that this URL can be opened.",
                Auth::Capability => "Check that SIGNAL_URL is the whole URL, with the token at its end.",
            }
        )),
        403 => DeliveryOutcome::Misconfigured("ConductorOne does not accept requests from where this Worker sends them (403). Take the list of networks off the incoming webhook in ConductorOne, or add Cloudflare's; signals wait, and are sent again after the next sync.".to_owned()),
        300..=399 | 404 | 405 | 410 => DeliveryOutcome::Misconfigured(format!("ConductorOne has no incoming webhook at SIGNAL_URL ({status}). Copy its URL from ConductorOne again; signals wait, and are sent again after the next sync.")),
        408 | 425 | 429 | 500.. => DeliveryOutcome::Again(format!("ConductorOne answered with the status {status}.")),
        _ => DeliveryOutcome::Refused(format!("ConductorOne refused the event for good ({status}).")),
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::{Auth, DeliveryOutcome, key_set, signature, thumbprint, verdict};
    use crate::base::fakes::Desk;
    use crate::base::ports::Secret;
    use crate::base::signing::SigningKey;

    #[test]
    fn the_signature_is_the_documented_one() {
        let event_id = "11111111-1111-4111-8111-111111111111";
        let signature = signature(&Secret::new("s3cr3t"), "1700000000", event_id, r#"{"event":"sync_finished"}"#);
        assert_eq!(signature, "w1T47_MKQyL3P91WzP83No9-bKtkuKzOiTAR8AxrUlI");
    }

    #[test]
    fn the_key_set_has_the_public_half_alone_under_its_thumbprint() {
        // RFC 8037, appendix A: the key of A.1, the set's entry of A.2, the thumbprint of A.3.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let set = block_on(key_set(&Desk::new(), &SigningKey::of(seed))).unwrap();
        assert_eq!(set["keys"][0]["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(set["keys"][0]["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(set["keys"].as_array().unwrap().len(), 1);
        assert!(!set.to_string().contains("\"d\""), "{set}");
        assert_eq!(thumbprint(&[]).len(), 43);
    }

    #[test]
    fn answers_are_told_apart() {
        let auth = Auth::Capability;
        for status in [200, 202, 409] {
            assert_eq!(verdict(status, &auth), DeliveryOutcome::Yes);
        }
        for status in [408, 429, 500, 503, 599] {
            assert!(matches!(verdict(status, &auth), DeliveryOutcome::Again(_)), "{status}");
        }
        for status in [301, 401, 403, 404] {
            assert!(matches!(verdict(status, &auth), DeliveryOutcome::Misconfigured(_)), "{status}");
        }
        for status in [400, 413, 422] {
            assert!(matches!(verdict(status, &auth), DeliveryOutcome::Refused(_)), "{status}");
        }
    }
}
