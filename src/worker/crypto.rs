//! Signatures, checked and made, and hashes of much, with the runtime's `WebCrypto` (<https://www.w3.org/TR/webcrypto/>): the same in Rust would be 57 KB of
//! Worker.

use super::io;
use crate::base::base64;
use crate::base::hash;
use crate::base::ports::SignError;
use crate::base::signing::PublicKey;
use crate::base::signing::SigningKey;

/// Whether `signature` over `message` is of `key`; a key that cannot be imported signs nothing.
pub(super) async fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let (kty, fields) = match key {
        PublicKey::Rsa { n, e } => ("RSA", [n.as_str(), e.as_str()]),
        PublicKey::P256 { x, y } => ("EC", [x.as_str(), y.as_str()]),
        PublicKey::Ed25519 { x } => ("OKP", [x.as_str(), ""]),
    };
    io::is_signed(kty, fields, message, signature).await
}

/// Signs with Ed25519.
pub(super) async fn sign(key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
    io::signature(key.expose(), message).await.map_err(SignError)
}

/// The public key of an Ed25519 private key.
pub(super) async fn public_key(key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let x = io::public_key_of(key.expose()).await.map_err(SignError)?;
    base64::read_url(&x).ok_or_else(|| SignError("its public key is not base64url".to_owned()))
}

/// What is shorter is hashed sooner than the runtime is asked to.
const SHORT: usize = 2 * 1024;

/// SHA-256 of some bytes.
pub(super) async fn sha256(bytes: &[u8]) -> [u8; 32] {
    let told = if bytes.len() < SHORT { None } else { io::sha256_of(bytes).await };
    told.unwrap_or_else(|| hash::sha256(bytes))
}
