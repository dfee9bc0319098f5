//! Keys that sign and verify, and the algorithms that they are for.

use std::fmt;

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
