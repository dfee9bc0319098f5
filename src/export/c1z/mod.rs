//! `.c1z`, version 1: five bytes of magic, and one zstd frame with a `SQLite` database (`reference/conductorone.md` 4).
//!
//! The rows go through twice: first to find where the tables' roots will be and how long the file is, then to write it. So
//! that every chunk is known to be there before the first byte is sent.

mod rows;
mod sync_id;
#[cfg(test)]
mod tests;

use super::chunks::{Chunks, Cursor};
use super::directory::Directory;
use super::sqlite::Writer;
use super::{ExportError, PIECE, Ports};
use crate::model::resource::Kind;
use crate::ports::{Clock, KeyValue, Zstd, ZstdFrame};
use rows::{Rows, TABLES};

/// What every `.c1z` of version 1 begins with.
const MAGIC: &[u8; 5] = b"C1ZF\0";

/// A `.c1z` that is being made.
pub(super) struct C1z<F> {
    rows: Rows,
    cursor: Cursor,
    writer: Writer,
    frame: F,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Resources,
    End,
}

impl<F: ZstdFrame> C1z<F> {
    /// Reads the whole generation once, to know the layout of the database.
    pub(super) async fn open<P: Ports + Zstd<Frame = F>>(chunks: &Chunks<P>) -> Result<Self, ExportError> {
        let rows = Rows::new(Directory::read(chunks).await?, chunks.manifest());
        let mut counting = Writer::counting(&TABLES);
        rows.begin(&mut counting)?;
        let mut cursor = Cursor::default();
        while let Some(row) = cursor.next(chunks, &Kind::ALL).await? {
            rows.resource(&row, chunks.manifest(), &mut counting)?;
        }
        rows.end(chunks.manifest(), &mut counting)?;
        let layout = counting.finish()?;
        let frame = chunks.ports().frame(layout.bytes())?;
        let writer = Writer::writing(&TABLES, layout)?;
        Ok(Self { rows, cursor: Cursor::default(), writer, frame, stage: Stage::Begin })
    }

    pub(super) async fn next<P: KeyValue + Clock>(
        &mut self,
        chunks: &Chunks<P>,
    ) -> Result<Option<Vec<u8>>, ExportError> {
        let mut piece = Vec::new();
        if self.stage == Stage::Begin {
            piece.extend_from_slice(MAGIC);
            self.rows.begin(&mut self.writer)?;
            self.stage = Stage::Resources;
        }
        while self.stage == Stage::Resources && piece.len() < PIECE {
            self.fill(chunks).await?;
            piece.extend(self.frame.write(&self.writer.take()).await?);
            if self.stage == Stage::End {
                piece.extend(self.frame.finish().await?);
            }
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Appends rows until some pages are ready, or the last row is in.
    async fn fill<P: KeyValue + Clock>(&mut self, chunks: &Chunks<P>) -> Result<(), ExportError> {
        while self.writer.ready() < PIECE {
            let Some(row) = self.cursor.next(chunks, &Kind::ALL).await? else {
                self.rows.end(chunks.manifest(), &mut self.writer)?;
                self.writer.finish()?;
                self.stage = Stage::End;
                return Ok(());
            };
            self.rows.resource(&row, chunks.manifest(), &mut self.writer)?;
        }
        Ok(())
    }
}
