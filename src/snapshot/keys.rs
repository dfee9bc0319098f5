//! The keys under which a snapshot's values stand in KV, and the one value that changes.
//!
//! They stand in the connector's own [`Space`](crate::base::space::Space). Before there were such spaces, they stood at the root of the
//! namespace. What stands there still is read as far as it is of this account, and deleted once it is a day old (`legacy.rs`).

use serde::Serialize;

use super::manifest::GenerationId;
use crate::base::json::Deserialize;
use crate::base::ports::{KeyValue, KvError};
use crate::base::time::Timestamp;

/// The version of every value that is written; a reader refuses another one rather than misread it.
pub(super) const FORMAT: u32 = 1;

/// The key of the pointer to the current generation.
pub(super) const CURRENT: &str = "current";

pub(super) fn chunk_key(hash: &str) -> String {
    format!("chunk/{hash}")
}

pub(super) fn manifest_key(generation: impl std::fmt::Display) -> String {
    format!("manifest/{generation}")
}

/// Reads a value: the connector's own, or what stands at the root from before. Whose that is, its content must say.
pub(super) async fn get<P: KeyValue>(kv: &P, name: &str) -> Result<Option<Vec<u8>>, KvError> {
    match kv.get(&kv.space().key(name)).await? {
        Some(value) => Ok(Some(value)),
        None => kv.get(name).await,
    }
}

/// What the value under `current` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) v: u32,
    pub(super) generation: GenerationId,
    pub(super) digest: String,
    pub(super) published_at: Timestamp,
}
