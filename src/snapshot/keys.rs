//! The keys under which a snapshot's values stand in KV, and the one value that changes.

use serde::{Deserialize, Serialize};

use super::manifest::GenerationId;
use crate::base::time::Timestamp;

/// The version of every value that is written; a reader refuses another one rather than misread it.
pub(super) const FORMAT: u32 = 1;

/// The key of the pointer to the current generation.
pub(super) const CURRENT: &str = "current";

pub(super) fn chunk_key(hash: &str) -> String {
    format!("chunk/{hash}")
}

pub(super) fn manifest_key(generation: &GenerationId) -> String {
    format!("manifest/{generation}")
}

/// What the value under `current` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) v: u32,
    pub(super) generation: GenerationId,
    pub(super) digest: String,
    pub(super) published_at: Timestamp,
}
