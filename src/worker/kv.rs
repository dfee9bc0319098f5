//! Workers KV.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use worker::Env;

use super::io::{self, Cut};
use crate::base::ports::KvError;

/// The binding of the KV namespace.
const BINDING: &str = "STATE";

/// An operation takes some 100 ms where the value is far away. What takes longer than this is treated as failed, since whoever asks has others
/// waiting. A write that was given up and is carried out all the same does no harm: a chunk is stored under the hash of its content, a manifest
/// never changes, and where `current` comes to name an older generation than was published, the next sync finds that and sets it again.
const MOST_SECS: u32 = 5;

/// The namespace.
#[derive(Clone, Debug)]
pub(super) struct Namespace(JsValue);

impl Namespace {
    pub(super) fn of(env: &Env) -> Result<Self, KvError> {
        match Reflect::get(env.as_ref(), &BINDING.into()) {
            Ok(namespace) if namespace.is_object() => Ok(Self(namespace)),
            _ => Err(Self::missing()),
        }
    }

    /// What is said where there is none.
    pub(super) fn missing() -> KvError {
        KvError(format!("the KV binding {BINDING} is missing"))
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let value = self.operate("read", "get", key, "arrayBuffer".into()).await?;
        Ok((!value.is_null() && !value.is_undefined()).then(|| Uint8Array::new(&value).to_vec()))
    }

    pub(super) async fn put(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        self.operate("write", "put", key, Uint8Array::from(value).into()).await.map(drop)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.operate("delete", "delete", key, JsValue::UNDEFINED).await.map(drop)
    }

    async fn operate(&self, what: &str, operation: &str, key: &str, value: JsValue) -> Result<JsValue, KvError> {
        match io::of_kv(&self.0, operation, key, value, MOST_SECS * 1_000).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Cut::Late | Cut::TooLarge)) => Err(KvError(format!("could not {what} {key} within {MOST_SECS} s"))),
            Err(error) => Err(KvError(format!("could not {what} {key}: {error}"))),
        }
    }
}
