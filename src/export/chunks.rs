//! Reading the chunks of a generation in their order, with some patience: what a manifest lists was written, and may only
//! not have reached this place yet.

use crate::model::resource::{Kind, Row};
use crate::ports::{Clock, KeyValue};
use crate::sync::snapshot::{ChunkRef, Manifest, Snapshot, SnapshotError};

/// Waits between the attempts to read a chunk, in milliseconds. KV may take a minute; a reader of a file waits some seconds.
const PAUSES: [u32; 3] = [250, 1_000, 4_000];

/// The chunks of a generation.
#[derive(Debug)]
pub(super) struct Chunks<P> {
    ports: P,
    snapshot: Snapshot,
}

impl<P: KeyValue + Clock> Chunks<P> {
    pub(super) fn new(ports: P, snapshot: Snapshot) -> Self {
        Self { ports, snapshot }
    }

    pub(super) fn manifest(&self) -> &Manifest {
        self.snapshot.manifest()
    }

    /// The rows of the chunk at a place at or after `place` that may have some of these kinds, and the place after it;
    /// `None` after the last.
    pub(super) async fn next(&self, place: usize, kinds: &[Kind]) -> Result<Option<(Vec<Row>, usize)>, SnapshotError> {
        let mut rest = self.manifest().chunks.iter().enumerate().skip(place);
        let found = rest.find(|(_, chunk)| kinds.iter().any(|kind| chunk.may_have(*kind)));
        let Some((at, chunk)) = found else { return Ok(None) };
        Ok(Some((self.rows(chunk).await?, at + 1)))
    }

    async fn rows(&self, chunk: &ChunkRef) -> Result<Vec<Row>, SnapshotError> {
        for pause in PAUSES {
            match self.snapshot.rows(&self.ports, chunk).await {
                Err(SnapshotError::NotReplicated(_) | SnapshotError::Kv(_)) => self.ports.sleep(pause).await,
                read => return read,
            }
        }
        self.snapshot.rows(&self.ports, chunk).await
    }
}
