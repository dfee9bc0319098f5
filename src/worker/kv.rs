//! Workers KV.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use worker::{Delay, KvStore};

use crate::base::ports::KvError;

/// The binding of the KV namespace.
pub(super) const BINDING: &str = "STATE";

/// An operation takes some 100 ms where the value is far away. What takes longer than this is treated as failed, since whoever asks has others
/// waiting. A write that was given up and is carried out all the same does no harm: a chunk is stored under the hash of its content, a manifest
/// never changes, and where `current` comes to name an older generation than was published, the next sync finds that and sets it again.
const MOST_SECS: u64 = 5;

pub(super) async fn get(kv: &KvStore, key: &str) -> Result<Option<Vec<u8>>, KvError> {
    let request = kv.get(key);
    within("read", key, request.bytes()).await
}

pub(super) async fn put(kv: &KvStore, key: &str, value: &[u8]) -> Result<(), KvError> {
    let put = kv.put_bytes(key, value).map_err(|error| failed("write", key, &error))?;
    within("write", key, put.execute()).await
}

pub(super) async fn delete(kv: &KvStore, key: &str) -> Result<(), KvError> {
    within("delete", key, kv.delete(key)).await
}

async fn within<T>(
    what: &str,
    key: &str,
    work: impl Future<Output = Result<T, worker::KvError>>,
) -> Result<T, KvError> {
    match select(pin!(work), pin!(Delay::from(Duration::from_secs(MOST_SECS)))).await {
        Either::Left((outcome, _)) => outcome.map_err(|error| failed(what, key, &error)),
        Either::Right(_) => Err(KvError(format!("could not {what} {key} within {MOST_SECS} s"))),
    }
}

fn failed(what: &str, key: &str, error: &worker::KvError) -> KvError {
    KvError(format!("could not {what} {key}: {error}"))
}
