//! The tokens that we sign: Ed25519 (RFC 8032) in compact JWTs (RFC 7515, RFC 8037).

use serde_json::Value;

use super::base64;
pub use super::keys::{Algorithm, PublicKey, SigningKey};
use super::ports::{Sign, SignError};

/// A compact JWT of the algorithm `EdDSA`.
pub async fn jwt<P: Sign>(ports: &P, key: &SigningKey, kid: Option<&str>, claims: &Value) -> Result<String, SignError> {
    let mut header = serde_json::json!({ "alg": "EdDSA", "typ": "JWT" });
    if let (Some(kid), Some(header)) = (kid, header.as_object_mut()) {
        header.insert("kid".to_owned(), kid.into());
    }
    let part = |value: &Value| base64::url(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = ports.sign(key, message.as_bytes()).await?;
    Ok(format!("{message}.{}", base64::url(signature)))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
    use futures::executor::block_on;
    use serde_json::json;

    use super::jwt;
    use crate::base::base64;
    use crate::base::fakes::Desk;
    use crate::base::keys::SigningKey;
    use crate::base::ports::Sign as _;

    #[test]
    fn a_token_is_signed_with_the_key_that_its_public_key_belongs_to() {
        let (desk, key) = (Desk::new(), SigningKey::of([7; 32]));
        let token = block_on(jwt(&desk, &key, Some("k1"), &json!({ "sub": "acme" }))).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = Signature::from_slice(&base64::read_url(signature).unwrap()).unwrap();
        let public = block_on(desk.public_key(&key)).unwrap();
        VerifyingKey::from_bytes(&public.try_into().unwrap()).unwrap().verify(message.as_bytes(), &signature).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
