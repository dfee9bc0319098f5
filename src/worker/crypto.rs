//! Signatures, checked and made, and hashes of much, with the runtime's `WebCrypto` (<https://www.w3.org/TR/webcrypto/>): 14 KB of Worker where the same in Rust
//! would be 57 KB.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use js_sys::futures::JsFuture;
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CryptoKey, SubtleCrypto, WorkerGlobalScope};

use super::io;
use crate::base::hash;
use crate::base::ports::SignError;
use crate::base::signing::PublicKey;
use crate::base::signing::SigningKey;

/// Whether `signature` over `message` is of `key`; a key that cannot be imported signs nothing.
pub(super) async fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    checked(key, message, signature).await.unwrap_or(false)
}

async fn checked(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, JsValue> {
    let subtle = subtle()?;
    let (jwk, algorithm) = describe(key)?;
    let usages = Array::of1(&"verify".into());
    let imported = subtle.import_key_with_object("jwk", &jwk, &algorithm, false, &usages)?;
    let imported: CryptoKey = JsFuture::from(imported).await?.dyn_into()?;
    let verdict = subtle.verify_with_object_and_js_u8_array_and_js_u8_array(
        &algorithm,
        &imported,
        &Uint8Array::from(signature),
        &Uint8Array::from(message),
    )?;
    Ok(JsFuture::from(verdict).await?.is_truthy())
}

/// What stands before the seed in a PKCS #8 private key (RFC 8410 section 7): `WebCrypto` takes no bare seed.
const PKCS8_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// Signs with Ed25519.
pub(super) async fn sign(key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let signed = async {
        let (key, algorithm) = private(key).await?;
        let signature = subtle()?.sign_with_object_and_js_u8_array(&algorithm, &key, &Uint8Array::from(message))?;
        Ok::<_, JsValue>(Uint8Array::new(&JsFuture::from(signature).await?).to_vec())
    };
    signed.await.map_err(|error| refused(&error))
}

/// The public key of an Ed25519 private key.
pub(super) async fn public_key(key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let exported = async {
        let (key, _) = private(key).await?;
        let jwk = JsFuture::from(subtle()?.export_key("jwk", &key)?).await?;
        Ok::<_, JsValue>(Reflect::get(&jwk, &"x".into())?.as_string().unwrap_or_default())
    };
    let x = exported.await.map_err(|error| refused(&error))?;
    URL_SAFE_NO_PAD.decode(x).map_err(|error| SignError(error.to_string()))
}

async fn private(key: &SigningKey) -> Result<(CryptoKey, Object), JsValue> {
    let algorithm = object(&[("name", "Ed25519")])?;
    let pkcs8 = [PKCS8_PREFIX.as_slice(), key.expose()].concat();
    let usages = Array::of1(&"sign".into());
    let data = Uint8Array::from(pkcs8.as_slice());
    let imported = subtle()?.import_key_with_object("pkcs8", &data, &algorithm, true, &usages)?;
    Ok((JsFuture::from(imported).await?.dyn_into()?, algorithm))
}

fn refused(error: &JsValue) -> SignError {
    SignError(error.as_string().unwrap_or_else(|| format!("{error:?}")))
}

/// What is shorter is hashed sooner than the runtime is asked to.
const SHORT: usize = 2 * 1024;

/// SHA-256 of some bytes.
pub(super) async fn sha256(bytes: &[u8]) -> [u8; 32] {
    let told = if bytes.len() < SHORT { None } else { io::sha256_of(bytes).await };
    told.unwrap_or_else(|| hash::sha256(bytes))
}

fn subtle() -> Result<SubtleCrypto, JsValue> {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(scope.crypto()?.subtle())
}

/// The JWK, rebuilt from the fields that define the key, and the algorithm to use it with.
fn describe(key: &PublicKey) -> Result<(Object, Object), JsValue> {
    Ok(match key {
        PublicKey::Rsa { n, e } => (
            object(&[("kty", "RSA"), ("n", n), ("e", e)])?,
            object(&[("name", "RSASSA-PKCS1-v1_5"), ("hash", "SHA-256")])?,
        ),
        PublicKey::P256 { x, y } => (
            object(&[("kty", "EC"), ("crv", "P-256"), ("x", x), ("y", y)])?,
            object(&[("name", "ECDSA"), ("namedCurve", "P-256"), ("hash", "SHA-256")])?,
        ),
        PublicKey::Ed25519 { x } => {
            (object(&[("kty", "OKP"), ("crv", "Ed25519"), ("x", x)])?, object(&[("name", "Ed25519")])?)
        }
    })
}

fn object(fields: &[(&str, &str)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &(*name).into(), &(*value).into())?;
    }
    Ok(object)
}
