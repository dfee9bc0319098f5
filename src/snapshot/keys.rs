//! The keys under which a snapshot's values stand in KV, and the one value that changes.
//!
//! They stand in the connector's own [`Space`](crate::base::space::Space). Before there were such spaces, they stood at the root of the
//! namespace. What stands there still is read as far as it is of this account, and deleted once it is a day old (`legacy.rs`).

use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde::Serialize;

use super::manifest::GenerationId;
use crate::base::json::Deserialize;
use crate::base::ports::{KeyValue, KvError};
use crate::base::space::Space;
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

/// The key-value store as whoever reads a snapshot asks it. Every [`KeyValue`] can be asked so; what reads takes it as `&dyn Values`, and so is
/// compiled once, and not for each of the Worker, the Coordinator and a sync.
pub trait Values {
    /// See [`KeyValue::space`].
    fn own_space(&self) -> &Space;
    /// See [`KeyValue::get`].
    fn value<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>, KvError>>;
    /// See [`KeyValue::sha256`].
    fn hash<'a>(&'a self, bytes: &'a [u8]) -> LocalBoxFuture<'a, [u8; 32]>;
    /// A value that is in memory.
    fn kept(&self, key: &str) -> Option<Rc<[u8]>>;
    /// Keeps one there, where anything is kept.
    fn keep(&self, key: &str, value: &Rc<[u8]>);
}

impl<P: KeyValue> Values for P {
    fn own_space(&self) -> &Space {
        self.space()
    }

    fn value<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<Option<Vec<u8>>, KvError>> {
        Box::pin(self.get(key))
    }

    fn hash<'a>(&'a self, bytes: &'a [u8]) -> LocalBoxFuture<'a, [u8; 32]> {
        Box::pin(self.sha256(bytes))
    }

    fn kept(&self, key: &str) -> Option<Rc<[u8]>> {
        self.shelf(|shelf| shelf.get(key)).flatten()
    }

    fn keep(&self, key: &str, value: &Rc<[u8]>) {
        self.shelf(|shelf| shelf.keep(key, value));
    }
}

/// Reads a value: the connector's own, or what stands at the root from before. Whose that is, its content must say.
pub(super) async fn get(kv: &dyn Values, name: &str) -> Result<Option<Vec<u8>>, KvError> {
    match kv.value(&kv.own_space().key(name)).await? {
        Some(value) => Ok(Some(value)),
        None => kv.value(name).await,
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
