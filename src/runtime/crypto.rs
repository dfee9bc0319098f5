//! Signature checks with the runtime's `WebCrypto` (<https://www.w3.org/TR/webcrypto/>): 14 KB of Worker where the same in Rust
//! would be 57 KB.

use js_sys::futures::JsFuture;
use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CryptoKey, SubtleCrypto, WorkerGlobalScope};

use crate::conductorone::jwks::PublicKey;

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
