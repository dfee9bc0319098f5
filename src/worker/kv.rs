//! Workers KV.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use worker::{Delay, KvStore};

use crate::base::ports::KvError;

/// The binding of the KV namespace.
pub(super) const BINDING: &str = "STATE";

/// A read takes some 100 ms where the value is far away. What takes longer than this is treated as failed: the one who reads has
/// others waiting.
const READ_SECS: u64 = 5;

pub(super) async fn get(kv: &KvStore, key: &str) -> Result<Option<Vec<u8>>, KvError> {
    let request = kv.get(key);
    let read = pin!(request.bytes());
    match select(read, pin!(Delay::from(Duration::from_secs(READ_SECS)))).await {
        Either::Left((outcome, _)) => outcome.map_err(|error| failed("read", key, &error)),
        Either::Right(_) => Err(KvError(format!("could not read {key} within {READ_SECS} s"))),
    }
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
