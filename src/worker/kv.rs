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

/// A write may have a chunk to carry. One that took longer and is carried out all the same does no harm: what a key holds is made again
/// from the same content.
const WRITE_SECS: u64 = 15;

pub(super) async fn get(kv: &KvStore, key: &str) -> Result<Option<Vec<u8>>, KvError> {
    let request = kv.get(key);
    within(READ_SECS, "read", key, request.bytes()).await
}

pub(super) async fn put(kv: &KvStore, key: &str, value: &[u8]) -> Result<(), KvError> {
    let put = kv.put_bytes(key, value).map_err(|error| failed("write", key, &error))?;
    within(WRITE_SECS, "write", key, put.execute()).await
}

pub(super) async fn delete(kv: &KvStore, key: &str) -> Result<(), KvError> {
    within(WRITE_SECS, "delete", key, kv.delete(key)).await
}

async fn within<T>(
    secs: u64,
    what: &str,
    key: &str,
    work: impl Future<Output = Result<T, worker::KvError>>,
) -> Result<T, KvError> {
    match select(pin!(work), pin!(Delay::from(Duration::from_secs(secs)))).await {
        Either::Left((outcome, _)) => outcome.map_err(|error| failed(what, key, &error)),
        Either::Right(_) => Err(KvError(format!("could not {what} {key} within {secs} s"))),
    }
}

fn failed(what: &str, key: &str, error: &worker::KvError) -> KvError {
    KvError(format!("could not {what} {key}: {error}"))
}
