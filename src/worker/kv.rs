//! Workers KV.

use worker::KvStore;

use crate::base::ports::KvError;

/// The binding of the KV namespace.
pub(super) const BINDING: &str = "STATE";

pub(super) async fn get(kv: &KvStore, key: &str) -> Result<Option<Vec<u8>>, KvError> {
    kv.get(key).bytes().await.map_err(|error| failed("read", key, &error))
}

pub(super) async fn put(kv: &KvStore, key: &str, value: &[u8]) -> Result<(), KvError> {
    let put = kv.put_bytes(key, value).map_err(|error| failed("write", key, &error))?;
    put.execute().await.map_err(|error| failed("write", key, &error))
}

pub(super) async fn delete(kv: &KvStore, key: &str) -> Result<(), KvError> {
    kv.delete(key).await.map_err(|error| failed("delete", key, &error))
}

fn failed(what: &str, key: &str, error: &worker::KvError) -> KvError {
    KvError(format!("could not {what} {key}: {error}"))
}
