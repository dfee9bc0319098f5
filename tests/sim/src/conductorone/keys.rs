//! The tenant's signing keys, and how its JWKS shows them (`reference/conductorone.md` 1.3).

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use rsa::signature::SignatureEncoding as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::id;

/// A JWS algorithm that C1 signs with (RFC 7518 and RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256; the signature is r and s, 32 bytes each.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in a JWT's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// How the JWKS writes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JwkStyle {
    /// Whether keys have a `kid`.
    pub kid: bool,
    /// What `alg` says.
    pub alg: AlgStyle,
    /// Whether keys have `"use": "sig"`.
    pub usage: bool,
}

impl Default for JwkStyle {
    fn default() -> Self {
        Self { kid: true, alg: AlgStyle::Registered, usage: true }
    }
}

/// What a JWK's `alg` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgStyle {
    /// The JWS name: `EdDSA` for an Ed25519 key.
    Registered,
    /// The fully specified name: `Ed25519` (RFC 9864), which workerd's `importKey` refuses.
    FullySpecified,
    /// There is none.
    Absent,
}

/// A signing key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Key {
    /// The `kid` under which the JWKS lists it.
    pub kid: String,
    secret: Secret,
}

#[derive(Clone, Debug)]
enum Secret {
    Rsa(Arc<rsa::pkcs1v15::SigningKey<Sha256>>),
    P256(Arc<p256::ecdsa::SigningKey>),
    Ed25519(Arc<ed25519_dalek::SigningKey>),
}

impl Key {
    /// The key of a tenant's seed and the key's generation: the same every time. There are five different RSA keys; the
    /// other algorithms never run out.
    pub fn derive(algorithm: Algorithm, seed: u64, generation: u64) -> Self {
        let rsa = usize::try_from(seed.wrapping_add(generation) % TENANTS_RSA_KEYS).unwrap_or_default();
        Self::labelled(algorithm, &format!("{} {seed} {generation}", algorithm.name()), rsa)
    }

    /// A key that is no tenant's.
    pub fn stranger(algorithm: Algorithm) -> Self {
        Self::labelled(algorithm, &format!("{} stranger", algorithm.name()), PAIRS.len() - 1)
    }

    fn labelled(algorithm: Algorithm, label: &str, rsa: usize) -> Self {
        let secret = match algorithm {
            Algorithm::Rs256 => Secret::Rsa(rsa_key(rsa)),
            Algorithm::Es256 => Secret::P256(Arc::new(p256_key(label))),
            Algorithm::EdDsa => {
                Secret::Ed25519(Arc::new(ed25519_dalek::SigningKey::from_bytes(&Sha256::digest(label).into())))
            }
        };
        Self { kid: id::derived(&format!("key {label}")), secret }
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.secret {
            Secret::Rsa(_) => Algorithm::Rs256,
            Secret::P256(_) => Algorithm::Es256,
            Secret::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The signature of a JWS over `message`.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Rsa(key) => rsa::signature::Signer::sign(key.as_ref(), message).to_vec(),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(key.as_ref(), message);
                signature.to_bytes().to_vec()
            }
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        }
    }

    /// The public key's own bytes: the modulus, the uncompressed point, or the 32 bytes of Ed25519.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.secret {
            Secret::Rsa(key) => {
                let private: &rsa::PrivateKey = key.as_ref().as_ref();
                private.n_bytes().to_vec()
            }
            Secret::P256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Secret::Ed25519(key) => key.verifying_key().to_bytes().to_vec(),
        }
    }

    /// The public key as a JWK (RFC 7517).
    pub fn jwk(&self, style: JwkStyle) -> Value {
        let public = self.public_bytes();
        let mut jwk = match self.algorithm() {
            Algorithm::Rs256 => json!({ "kty": "RSA", "n": base64url(&public), "e": "AQAB" }),
            Algorithm::Es256 => {
                // 0x04, then the two coordinates (SEC 1, 2.3.3).
                let (x, y) = public.get(1..).and_then(|point| point.split_at_checked(32)).unwrap_or_default();
                json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
            }
            Algorithm::EdDsa => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(&public) }),
        };
        let Value::Object(fields) = &mut jwk else { return jwk };
        if style.kid {
            fields.insert("kid".into(), json!(self.kid));
        }
        if style.usage {
            fields.insert("use".into(), json!("sig"));
        }
        match (style.alg, self.algorithm()) {
            (AlgStyle::Absent, _) => {}
            (AlgStyle::FullySpecified, Algorithm::EdDsa) => {
                fields.insert("alg".into(), json!("Ed25519"));
            }
            (_, algorithm) => {
                fields.insert("alg".into(), json!(algorithm.name()));
            }
        }
        jwk
    }
}

/// Whether a signature over `message` is by the key that a JWK shows, as any verifier would find.
pub fn is_signed(jwk: &Value, message: &[u8], signature: &[u8]) -> bool {
    verify(jwk, message, signature).is_some()
}

fn verify(jwk: &Value, message: &[u8], signature: &[u8]) -> Option<()> {
    use rsa::signature::Verifier as _;
    let field = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
    let number = |name: &str| Some(rsa::BoxedUint::from_be_slice_vartime(&field(name)?));
    match jwk.get("kty")?.as_str()? {
        "RSA" => {
            let key = rsa::PublicKey::new(number("n")?, number("e")?).ok()?;
            let signature = rsa::pkcs1v15::Signature::try_from(signature).ok()?;
            rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature).ok()
        }
        "EC" => {
            let point = [vec![4], field("x")?, field("y")?].concat();
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
            let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
            p256::ecdsa::signature::Verifier::verify(&key, message, &signature).ok()
        }
        "OKP" => {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&field("x")?.try_into().ok()?).ok()?;
            key.verify_strict(message, &ed25519_dalek::Signature::from_slice(signature).ok()?).ok()
        }
        _ => None,
    }
}

/// Base64url without padding, as JOSE has it.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Four primes of 1024 bits, good for tests and nothing else: six pairs, so six RSA keys without the seconds that
/// finding primes takes.
const PRIMES: [&str; 4] = [
    concat!(
        "e0a4dd3c86376870dc087e098eebc84d8f8717f8bc8815763a3e856ae3de1dcc52f2b54596663459066881ba3561cfc8",
        "ead54c8633a2203504e13a34854d4928215821fe177c51b766d8a9d63bcf85f2d224387cf2e948cdae22acf01b5f9fa6",
        "6ff731c4a6c0e0a1592a1cba72a30be2d72717457b27c1be962910c9648f65bb",
    ),
    concat!(
        "f7c213bdfe3cc031b5ffdd46b2ee28ec106e512be8c5aba2b02969966846063b60320523bf4568431f6162f3df0094ed",
        "2d49134212ff08563b60df74e99b0c63f8a2b519baa1526c09f33ff6eb556a6502efe7b17ad53407fe7a4223d621eb5d",
        "c1725daee0b183fc895abc9a61c9c5173d4573f087d8e02372dbc3ff202f980f",
    ),
    concat!(
        "ce799e3ea0341ca63cc3573975c62c44ca7a4edaa10502c58661b7f37c7ae9646b5473299fbc284ceae7a7c3b5f3de96",
        "e419fe25180e7a32536cd7120a8ce635d5a9391458a1618d2624d04ff557080ed59ce4a890d381ddae80e8856ef6c513",
        "2e7376045b8aac9a5b2a9b2c3c96f9e212fcc4d0e406e5063e9ff0926375f5bb",
    ),
    concat!(
        "d0b9789fecdf7c850c3b435852b2e6ec79558a118d4053effc226fd0711d30de34b4cb1507c815eddb6764ded0ff2862",
        "e139a83a6e44c5dd7feed0367ec71b5bdd7487019172eeef5c7a4b79b24045b985d644ed3eaa7f9a55eec62c66508a8b",
        "21f8cd1f7c52df4cedd3779c81e8cd1af600776781fd3f05a8df29189e7943fb",
    ),
];

/// All but the last of the pairs are for tenants.
const TENANTS_RSA_KEYS: u64 = 5;

const PAIRS: [(usize, usize); 6] = [(0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)];

/// Keys that were assembled already: that takes milliseconds, and every test wants one.
static RSA_KEYS: Mutex<[Option<Arc<rsa::pkcs1v15::SigningKey<Sha256>>>; 6]> = Mutex::new([const { None }; 6]);

fn rsa_key(index: usize) -> Arc<rsa::pkcs1v15::SigningKey<Sha256>> {
    let mut keys = RSA_KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(slot) = keys.get_mut(index) else { unreachable!("callers name one of the pairs") };
    Arc::clone(slot.get_or_insert_with(|| Arc::new(assemble_rsa_key(index))))
}

#[expect(clippy::expect_used, clippy::indexing_slicing, reason = "constants, and a test assembles every key")]
fn assemble_rsa_key(index: usize) -> rsa::pkcs1v15::SigningKey<Sha256> {
    let prime = |number: usize| rsa::BoxedUint::from_be_hex(PRIMES[number], 1024).expect("256 hexadecimal digits");
    let (p, q) = PAIRS[index];
    let key = rsa::PrivateKey::from_p_q(prime(p), prime(q), rsa::BoxedUint::from(65_537_u64)).expect("two primes");
    rsa::pkcs1v15::SigningKey::new(key)
}

fn p256_key(label: &str) -> p256::ecdsa::SigningKey {
    let mut bytes = Sha256::digest(label);
    loop {
        // One hash in 2^32 is not a number below the curve's order.
        if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&bytes) {
            return key;
        }
        bytes = Sha256::digest(bytes);
    }
}
