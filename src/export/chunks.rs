//! Reading the rows of a generation in their order, with some patience: what a manifest lists was written, and may only not
//! have reached this place yet.

use std::cell::{Cell, RefCell};

use futures::future::LocalBoxFuture;

use super::file::Ports;
use crate::base::ports::{Clock, Zstd, ZstdError};
use crate::base::tree::BTreeMap;
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::snapshot::{ChunkRef, Manifest, Snapshot, SnapshotError, Values};

/// Waits between the attempts to read a chunk, in milliseconds. KV may take a minute; a reader of a file waits some seconds.
const PAUSES: [u32; 3] = [250, 1_000, 4_000];

/// At most this many bytes of chunks are kept for the second time they are asked for: all of an account with 15,000 members, and a
/// sixteenth of the isolate's 128 MB. What does not fit is read from KV again.
const KEPT: usize = 8 * 1024 * 1024;

/// What a file is made with, whoever asks for it: so everything that makes one is compiled once, and not for both the Worker and the Coordinator.
trait Means<F> {
    /// Where the chunks are.
    fn values(&self) -> &dyn Values;
    /// See [`Clock::sleep`].
    fn pause(&self, millis: u32) -> LocalBoxFuture<'_, ()>;
    /// See [`Zstd::frame`].
    fn begin_frame(&self, content_size: u64) -> Result<F, ZstdError>;
}

impl<P: Ports> Means<P::Frame> for P {
    fn values(&self) -> &dyn Values {
        self
    }

    fn pause(&self, millis: u32) -> LocalBoxFuture<'_, ()> {
        Box::pin(Clock::sleep(self, millis))
    }

    fn begin_frame(&self, content_size: u64) -> Result<P::Frame, ZstdError> {
        Zstd::frame(self, content_size)
    }
}

/// The chunks of a generation. What is compressed comes as `F`.
pub(super) struct Chunks<'a, F> {
    means: Box<dyn Means<F> + 'a>,
    snapshot: Snapshot,
    kept: RefCell<BTreeMap<String, Vec<u8>>>,
    room: Cell<usize>,
}

/// A place in the rows of a generation.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    chunk: usize,
    rows: std::vec::IntoIter<Row>,
}

impl Cursor {
    /// The next row of these kinds; `None` after the last one.
    pub(super) async fn next<F>(
        &mut self,
        chunks: &Chunks<'_, F>,
        kinds: &[Kind],
    ) -> Result<Option<Row>, SnapshotError> {
        loop {
            for row in self.rows.by_ref() {
                if kinds.contains(&row.kind()) {
                    return Ok(Some(row));
                }
            }
            let rest = &mut chunks.manifest().chunks.iter().enumerate().skip(self.chunk);
            let found = rest.find(|(_, chunk)| kinds.iter().any(|kind| chunk.may_have(*kind)));
            let Some((at, chunk)) = found else { return Ok(None) };
            self.rows = chunks.rows(chunk).await?.into_iter();
            self.chunk = at + 1;
        }
    }
}

impl<'a, F> Chunks<'a, F> {
    pub(super) fn new<P: Ports<Frame = F> + 'a>(ports: P, snapshot: Snapshot) -> Self {
        Self { means: Box::new(ports), snapshot, kept: RefCell::default(), room: Cell::new(KEPT) }
    }

    /// Begins a frame whose content will have this many bytes.
    pub(super) fn frame(&self, content_size: u64) -> Result<F, ZstdError> {
        self.means.begin_frame(content_size)
    }

    pub(super) fn manifest(&self) -> &Manifest {
        self.snapshot.manifest()
    }

    /// Forgets what is kept, as if the account were too large for it.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.kept.borrow_mut().clear();
        self.room.set(0);
    }

    async fn rows(&self, chunk: &ChunkRef) -> Result<Vec<Row>, SnapshotError> {
        if let Some(body) = self.kept.borrow().get(&chunk.hash) {
            return chunk.parse(body);
        }
        let body = self.body(chunk).await?;
        let rows = chunk.parse(&body)?;
        if let Some(room) = self.room.get().checked_sub(body.len()) {
            self.room.set(room);
            self.kept.borrow_mut().insert(chunk.hash.clone(), body);
        }
        Ok(rows)
    }

    async fn body(&self, chunk: &ChunkRef) -> Result<Vec<u8>, SnapshotError> {
        for pause in PAUSES {
            match chunk.read(self.means.values()).await {
                Err(SnapshotError::NotReplicated(_) | SnapshotError::Kv(_)) => self.means.pause(pause).await,
                read => return read,
            }
        }
        chunk.read(self.means.values()).await
    }
}
