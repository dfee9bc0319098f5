//! What C1's API is called with: a client id and a client secret, as C1 shows them once under *API Keys*
//! (`reference/conductorone.md` 8.2).

use crate::base::base64;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::Secret;
use crate::base::signing::SigningKey;

/// A client id and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The client id, such as `happy-otter-12345@acme.conductor.one/pcc`.
    pub client_id: String,
    /// What proves that the id is ours.
    pub proof: Proof,
}

/// What proves that a client id is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// An Ed25519 key signs an assertion (RFC 7523 section 2.2): what C1 hands out.
    Key(SigningKey),
    /// The secret is sent as it is (RFC 6749 section 2.3.1).
    Secret(Secret),
}

/// Why a secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It begins as C1's secrets do, and is not one.
    #[error(
        "begins as ConductorOne's client secrets do and does not end like one: it may have been cut off; copy all of it, from \"secret-token:\" to its end"
    )]
    Malformed,
    /// It is of a later form than this version knows.
    #[error(
        "is of a form that this version does not know: make a new API key in ConductorOne, or update the connector"
    )]
    Version,
}

/// How C1's own secrets begin; then come a version and the key.
const PREFIX: &str = "secret-token:conductorone.com:";

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    d: String,
}

impl Proof {
    /// Reads a client secret. One that does not begin as C1's own do is a plain secret.
    pub fn parse(secret: &str) -> Result<Self, SecretError> {
        let Some(rest) = secret.strip_prefix(PREFIX) else { return Ok(Self::Secret(Secret::new(secret))) };
        let (version, key) = rest.split_once(':').ok_or(SecretError::Malformed)?;
        if version != "v1" {
            return Err(SecretError::Version);
        }
        let jwk: Jwk = base64::read_any(key).and_then(|json| json::read(&json).ok()).ok_or(SecretError::Malformed)?;
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
            return Err(SecretError::Version);
        }
        let seed = base64::read_any(&jwk.d).and_then(|seed| seed.try_into().ok()).ok_or(SecretError::Malformed)?;
        Ok(Self::Key(SigningKey::of(seed)))
    }
}

impl Credentials {
    /// The tenant's host that the id names, between `@` and `/`: the audience of an assertion.
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.client_id.split_once('@')?;
        rest.split('/').next().filter(|host| !host.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Proof, SecretError};
    use crate::base::base64;
    use crate::base::ports::Secret;
    use crate::base::signing::SigningKey;

    const SEED: [u8; 32] = [251; 32];

    fn jwk() -> String {
        let d = base64::url(SEED);
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"unused","d":"{d}"}}"#)
    }

    #[test]
    fn the_key_is_read_out_of_c1s_secret_padded_or_not() {
        for key in [base64::url(jwk()), base64::padded(jwk().as_bytes()).replace('+', "-").replace('/', "_")] {
            let proof = Proof::parse(&format!("secret-token:conductorone.com:v1:{key}"));
            assert_eq!(proof, Ok(Proof::Key(SigningKey::of(SEED))));
        }
    }

    #[test]
    fn another_secret_is_sent_as_it_is() {
        assert_eq!(Proof::parse("hunter2"), Ok(Proof::Secret(Secret::new("hunter2"))));
    }

    #[test]
    fn a_secret_that_was_cut_off_is_refused_rather_than_sent() {
        let whole = format!("secret-token:conductorone.com:v1:{}", base64::url(jwk()));
        for length in ["secret-token:conductorone.com:".len(), 35, 60, whole.len() - 3] {
            assert_eq!(Proof::parse(&whole[..length]), Err(SecretError::Malformed), "{length}");
        }
        let rsa = base64::url(r#"{"kty":"RSA","crv":"","d":""}"#);
        for other in [format!("secret-token:conductorone.com:v1:{rsa}"), whole.replace(":v1:", ":v2:")] {
            assert_eq!(Proof::parse(&other), Err(SecretError::Version));
        }
    }

    #[test]
    fn an_id_names_its_tenant_and_no_secret_is_printed() {
        let of = |id: &str| Credentials { client_id: id.to_owned(), proof: Proof::Secret(Secret::new("hunter2")) };
        assert_eq!(of("happy-otter-1@acme.conductor.one/pcc").host(), Some("acme.conductor.one"));
        assert_eq!(of("plain").host(), None);
        assert_eq!(of("odd@/pcc").host(), None);
        assert!(!format!("{:?}", of("plain")).contains("hunter2"));
    }
}
