//! Keys and algorithms, and the tokens that we sign: Ed25519 (RFC 8032) in compact JWTs (RFC 7515, RFC 8037).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::ports::{Sign, SignError};

/// An Ed25519 private key: its seed of 32 bytes. Not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// The key of a seed.
    pub const fn of(seed: [u8; 32]) -> Self {
        Self(seed)
    }

    /// The seed, for whoever signs.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// The signature algorithms C1 documents (`reference/conductorone.md` 1.3). Anything else, `none` and the shared-secret
/// `HS256` above all, has no variant and so cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is r‖s, 64 bytes.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A public key, rebuilt from the fields that define it. The set's own `use`, `key_ops` and `alg` are not passed on: a
/// runtime may refuse a key for their spelling (`reference/workers-rs.md` 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA: modulus and exponent, base64url as in the set.
    Rsa {
        /// The modulus.
        n: String,
        /// The exponent.
        e: String,
    },
    /// A point on P-256, base64url coordinates.
    P256 {
        /// The x coordinate.
        x: String,
        /// The y coordinate.
        y: String,
    },
    /// An Ed25519 key, base64url.
    Ed25519 {
        /// The key.
        x: String,
    },
}

impl PublicKey {
    /// The algorithm that goes with this type of key; a token that names another one is refused.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256 { .. } => Algorithm::Es256,
            Self::Ed25519 { .. } => Algorithm::EdDsa,
        }
    }
}

/// A compact JWT of the algorithm `EdDSA`.
pub async fn jwt<P: Sign>(ports: &P, key: &SigningKey, kid: Option<&str>, claims: &Value) -> Result<String, SignError> {
    let mut header = serde_json::json!({ "alg": "EdDSA", "typ": "JWT" });
    if let (Some(kid), Some(header)) = (kid, header.as_object_mut()) {
        header.insert("kid".to_owned(), kid.into());
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = ports.sign(key, message.as_bytes()).await?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
    use futures::executor::block_on;
    use serde_json::json;

    use super::{SigningKey, jwt};
    use crate::base::fakes::Desk;
    use crate::base::ports::Sign as _;

    #[test]
    fn a_token_is_signed_with_the_key_that_its_public_key_belongs_to() {
        let (desk, key) = (Desk::new(), SigningKey::of([7; 32]));
        let token = block_on(jwt(&desk, &key, Some("k1"), &json!({ "sub": "acme" }))).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let public = block_on(desk.public_key(&key)).unwrap();
        VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap().verify(message.as_bytes(), &signature).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
