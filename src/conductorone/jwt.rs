//! JSON Web Tokens in compact form (RFC 7515, RFC 7519): taken apart and typed.
//!
//! **Not checked here:** the signature and the claims' values. [`verify`](super::verify) does both for C1, and
//! `routes/entry.rs` for Cloudflare Access; nothing else may read a [`Token`].

use crate::base::base64;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::signing::Algorithm;
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use std::fmt;

/// A signed token of C1's is about 700 bytes; a longer one than this is not worth decoding.
const MAX_TOKEN: usize = 8 * 1024;

/// A token taken apart.
#[derive(Clone, Debug)]
pub struct Token {
    /// How it says it is signed.
    pub algorithm: Algorithm,
    /// Which key it says it is signed with.
    pub key_id: Option<String>,
    /// What it says.
    pub claims: Claims,
    /// The bytes that are signed.
    pub signed: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// The claims of a webhook's token (`reference/conductorone.md` 1.3). All are optional here and required by the check.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Claims {
    /// The tenant's host.
    pub iss: Option<String>,
    /// The destination's host: one, or a list with it.
    pub aud: Option<Audience>,
    /// `wh` for a webhook.
    pub c1typ: Option<String>,
    /// The request's method.
    pub htm: Option<String>,
    /// The request's URL without its query.
    pub htu: Option<String>,
    /// SHA-256 of the request's body, base64.
    pub htb_s256: Option<String>,
    /// Not to be accepted from this second on.
    pub exp: Option<f64>,
    /// Not to be accepted before this second.
    pub nbf: Option<f64>,
    /// Issued at this second.
    pub iat: Option<f64>,
    /// The token's own id.
    pub jti: Option<String>,
    /// Whom it is of, in a token of Cloudflare Access.
    pub email: Option<String>,
}

/// The `aud` claim.
#[derive(Clone, Debug)]
pub enum Audience {
    /// One audience.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an audience or a list of them")
            }

            fn visit_str<E>(self, one: &str) -> Result<Audience, E> {
                Ok(Audience::One(one.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audience, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = list.next_element()? {
                    many.push(one);
                }
                Ok(Audience::Many(many))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Audience {
    /// Whether `host` is among the audiences.
    pub fn contains(&self, host: &str) -> bool {
        match self {
            Self::One(one) => one.eq_ignore_ascii_case(host),
            Self::Many(many) => many.iter().any(|one| one.eq_ignore_ascii_case(host)),
        }
    }
}

/// Why a text is no token that could be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not three base64url parts with JSON in the first two, or is over 8 KiB.
    #[error("the token is not a JWT: {0}")]
    Malformed(&'static str),
    /// It names an algorithm that is not accepted.
    #[error("the token's algorithm {0:?} is not accepted: only RS256, ES256 and EdDSA are")]
    Algorithm(String),
    /// It says that there is something about it which a reader has to know, and none of that is known here.
    #[error("the token's header has crit, and no extension is known here")]
    Critical,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Whether there are extensions that a reader has to know (RFC 7515 4.1.11), whatever they are said to be. None is known here.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Reads that something is there, `null` included.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Token {
    /// Takes a compact token apart.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Malformed("it is longer than 8 KiB"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed("it has no dots"))?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed("it has one dot only"))?;
        let header: Header = part(header, "its header is not base64url JSON with an alg")?;
        if header.crit {
            return Err(TokenError::Critical);
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            "EdDSA" => Algorithm::EdDsa,
            other => return Err(TokenError::Algorithm(other.chars().take(20).collect())),
        };
        Ok(Self {
            algorithm,
            key_id: header.kid.filter(|kid| !kid.is_empty()),
            claims: part(claims, "its claims are not base64url JSON")?,
            signed: signed.as_bytes().to_vec(),
            signature: base64::read_url(signature).ok_or(TokenError::Malformed("its signature is not base64url"))?,
        })
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str, problem: &'static str) -> Result<T, TokenError> {
    base64::read_url(text).and_then(|bytes| json::read(&bytes).ok()).ok_or(TokenError::Malformed(problem))
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Token, TokenError};
    use crate::base::base64;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", base64::url(header), base64::url(claims))
    }

    #[test]
    fn takes_a_token_apart() {
        let text = token(
            r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#,
            r#"{"iss":"acme","aud":["a","B"],"exp":1.5e9,"new":{}}"#,
        );
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.algorithm, Algorithm::EdDsa);
        assert_eq!(token.key_id.as_deref(), Some("k1"));
        assert!(token.claims.aud.unwrap().contains("b"));
        assert_eq!(token.signature, b"sig");
        assert_eq!(token.signed, text.rsplit_once('.').unwrap().0.as_bytes());
    }

    #[test]
    fn no_other_algorithm_can_be_expressed() {
        for alg in ["none", "None", "HS256", "RS512", "", "eddsa"] {
            let text = token(&format!(r#"{{"alg":"{alg}"}}"#), "{}");
            assert_eq!(Token::parse(&text).unwrap_err(), TokenError::Algorithm(alg.to_owned()));
        }
    }

    #[test]
    fn a_critical_extension_is_refused_and_an_unknown_header_is_not() {
        for crit in [r#"["exp"]"#, "[]", "{}", "null", "false"] {
            let text = token(&format!(r#"{{"alg":"EdDSA","crit":{crit},"exp":1}}"#), "{}");
            assert_eq!(Token::parse(&text).unwrap_err(), TokenError::Critical, "{crit}");
        }
        assert!(Token::parse(&token(r#"{"alg":"EdDSA","exp":1}"#, "{}")).is_ok());
    }

    #[test]
    fn whatever_is_no_token_is_said_to_be_none() {
        let long = "x".repeat(9000);
        let array = token("[]", "{}");
        let no_json = token(r#"{"alg":"ES256"}"#, "claims");
        let padded = format!("{}==", token(r#"{"alg":"ES256"}"#, "{}"));
        for text in ["", ".", "..", "a.b", "a.b.c", &long, &array, &no_json, &padded] {
            assert!(matches!(Token::parse(text), Err(TokenError::Malformed(_))), "{text}");
        }
    }
}
