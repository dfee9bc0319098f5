//! The JWT that authenticates a delivery (`reference/conductorone.md` 1.3), and every way to get it wrong.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::keys::{Algorithm, Key, base64url};
use super::{ConductorOne, id};

/// How a delivery's token is made. The default is the one that C1 would send.
///
/// It is a recipe: each attempt of a delivery mints a token of its own, with a new `jti` and the time of the attempt.
#[derive(Clone, Debug, Default)]
pub struct Token {
    algorithm: Option<Algorithm>,
    signature: Signature,
    kid: KeyId,
    claims: BTreeMap<String, Option<Value>>,
    header: BTreeMap<String, Option<Value>>,
    age: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Signature {
    #[default]
    Valid,
    UnlistedKey,
    Broken,
    None,
    HmacWithPublicKey,
}

#[derive(Clone, Debug, Default)]
enum KeyId {
    #[default]
    Own,
    Absent,
    Other(String),
}

impl Token {
    /// The token as C1 sends it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Signed with the tenant's key of this algorithm, rather than with the tenant's preferred one.
    #[must_use]
    pub fn algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm: Some(algorithm), ..self }
    }

    /// Signed with a key that the tenant never listed, under the `kid` of one that it lists.
    #[must_use]
    pub fn signed_by_another_key(self) -> Self {
        Self { signature: Signature::UnlistedKey, ..self }
    }

    /// With one bit of the signature flipped.
    #[must_use]
    pub fn broken_signature(self) -> Self {
        Self { signature: Signature::Broken, ..self }
    }

    /// With `"alg": "none"` and no signature.
    #[must_use]
    pub fn unsigned(self) -> Self {
        Self { signature: Signature::None, ..self }
    }

    /// With `"alg": "HS256"` and the public key's bytes as the secret, which a careless verifier accepts.
    #[must_use]
    pub fn hmac_with_public_key(self) -> Self {
        Self { signature: Signature::HmacWithPublicKey, ..self }
    }

    /// Without a `kid`.
    #[must_use]
    pub fn without_kid(self) -> Self {
        Self { kid: KeyId::Absent, ..self }
    }

    /// With another `kid` than the signing key's.
    #[must_use]
    pub fn kid(self, kid: &str) -> Self {
        Self { kid: KeyId::Other(kid.to_owned()), ..self }
    }

    /// With this value of a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), Some(value.into()));
        self
    }

    /// Without a claim.
    #[must_use]
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.insert(name.to_owned(), None);
        self
    }

    /// With this value of a header parameter.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), Some(value.into()));
        self
    }

    /// Issued this many seconds ago; negative is in the future.
    #[must_use]
    pub fn aged(self, seconds: i64) -> Self {
        Self { age: seconds, ..self }
    }

    /// Makes the token for a request of `body` to `url`.
    pub(super) fn mint(&self, tenant: &ConductorOne, url: &str, body: &[u8]) -> String {
        let listed = tenant.signing_key(self.algorithm);
        let key = match self.signature {
            Signature::UnlistedKey => Key::stranger(listed.algorithm()),
            _ => listed.clone(),
        };
        let algorithm = match self.signature {
            Signature::None => "none",
            Signature::HmacWithPublicKey => "HS256",
            _ => key.algorithm().name(),
        };
        let mut header = Map::from_iter([("alg".to_owned(), json!(algorithm)), ("typ".to_owned(), json!("JWT"))]);
        match &self.kid {
            KeyId::Own => header.insert("kid".into(), json!(listed.kid)),
            KeyId::Absent => None,
            KeyId::Other(kid) => header.insert("kid".into(), json!(kid)),
        };
        overwrite(&mut header, &self.header);

        let issued = tenant.now() / 1000 - self.age;
        let mut claims = claims(tenant.host(), url, body, issued);
        overwrite(&mut claims, &self.claims);

        let signed = format!(
            "{}.{}",
            base64url(Value::Object(header).to_string().as_bytes()),
            base64url(Value::Object(claims).to_string().as_bytes())
        );
        let signature = match self.signature {
            Signature::Valid | Signature::UnlistedKey => key.sign(signed.as_bytes()),
            Signature::Broken => {
                let mut signature = key.sign(signed.as_bytes());
                if let Some(byte) = signature.get_mut(10) {
                    *byte ^= 1;
                }
                signature
            }
            Signature::None => Vec::new(),
            Signature::HmacWithPublicKey => hmac_sha256(&key.public_bytes(), signed.as_bytes()),
        };
        format!("{signed}.{}", base64url(&signature))
    }
}

/// A token is valid until this many seconds after its issue.
const LIFETIME: i64 = 120;

/// A token is valid from this many seconds before its issue on.
const NOT_BEFORE: i64 = 60;

fn claims(tenant: &str, url: &str, body: &[u8], issued: i64) -> Map<String, Value> {
    let without_query = url.split(['?', '#']).next().unwrap_or(url);
    let authority = without_query.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or("");
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
    Map::from_iter(
        [
            ("iss", json!(tenant)),
            ("aud", json!(host)),
            ("c1typ", json!("wh")),
            ("htm", json!("POST")),
            ("htu", json!(without_query)),
            ("htb_s256", json!(STANDARD.encode(Sha256::digest(body)))),
            ("iat", json!(issued)),
            ("nbf", json!(issued - NOT_BEFORE)),
            ("exp", json!(issued + LIFETIME)),
            ("jti", json!(id::fresh())),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

fn overwrite(fields: &mut Map<String, Value>, with: &BTreeMap<String, Option<Value>>) {
    for (name, value) in with {
        match value {
            Some(value) => fields.insert(name.clone(), value.clone()),
            None => fields.remove(name),
        };
    }
}

/// HMAC (RFC 2104) with SHA-256.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let mut block = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    block.resize(BLOCK, 0);
    let padded = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}
