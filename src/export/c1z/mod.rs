//! `.c1z`, version 1: five bytes of magic, and one zstd frame with a `SQLite` database (`reference/conductorone.md` 4).
//!
//! The rows go through twice: first to find where the tables' roots will be, then to write the database. A third time for a
//! file that is too long to be held until its length is known.

mod rows;
mod sync_id;
#[cfg(test)]
mod tests;

use std::vec::IntoIter;

use super::chunks::{Chunks, Cursor};
use super::directory::Directory;
use super::file::{ExportError, PIECE};
use super::insight::Insights;
use super::sqlite::{Layout, Writer};
use crate::base::ports::ZstdFrame;
use crate::model::kind::Kind;
use rows::{Rows, TABLES};

/// What every `.c1z` of version 1 begins with.
const MAGIC: &[u8; 5] = b"C1ZF\0";

/// A `.c1z` that is being made.
pub(super) struct C1z<F> {
    rows: Rows,
    layout: Layout,
    cursor: Cursor,
    writer: Writer,
    frame: F,
    stage: Stage,
    /// What was made already and is not sent yet.
    held: IntoIter<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Resources,
    End,
}

impl<F: ZstdFrame> C1z<F> {
    /// Finds the layout of the database, and then the length of the file. A file of at most `held` bytes is in memory
    /// then; a longer one is made a second time, while it is sent.
    pub(super) async fn open(
        chunks: &Chunks<'_, F>,
        insights: Insights,
        held: usize,
    ) -> Result<(Self, u64), ExportError> {
        let mut rows = Rows::new(Directory::read(chunks).await?, insights, chunks.manifest());
        let mut counting = Writer::counting(&TABLES);
        rows.begin(&mut counting)?;
        let mut cursor = Cursor::default();
        while let Some(row) = cursor.next(chunks, Kind::ALL).await? {
            rows.see(&row);
            rows.resource(&row, chunks.manifest(), &mut counting)?;
        }
        rows.end(chunks.manifest(), &mut counting)?;
        let layout = counting.finish()?;
        let mut c1z = Self {
            rows,
            cursor: Cursor::default(),
            writer: Writer::writing(&TABLES, layout.clone())?,
            frame: chunks.frame(layout.bytes())?,
            layout,
            stage: Stage::Begin,
            held: IntoIter::default(),
        };
        let (mut length, mut made) = (0, Vec::new());
        while let Some(piece) = c1z.make(chunks).await? {
            length += piece.len();
            if length <= held {
                made.push(piece);
            } else {
                made.clear();
            }
        }
        c1z.held = made.into_iter();
        if length > held {
            c1z.cursor = Cursor::default();
            c1z.writer = Writer::writing(&TABLES, c1z.layout.clone())?;
            c1z.frame = chunks.frame(c1z.layout.bytes())?;
            c1z.stage = Stage::Begin;
        }
        Ok((c1z, length as u64))
    }

    /// The next piece of the file.
    pub(super) async fn next(&mut self, chunks: &Chunks<'_, F>) -> Result<Option<Vec<u8>>, ExportError> {
        match self.held.next() {
            Some(piece) => Ok(Some(piece)),
            None => self.make(chunks).await,
        }
    }

    async fn make(&mut self, chunks: &Chunks<'_, F>) -> Result<Option<Vec<u8>>, ExportError> {
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
    async fn fill(&mut self, chunks: &Chunks<'_, F>) -> Result<(), ExportError> {
        while self.writer.ready() < PIECE {
            let Some(row) = self.cursor.next(chunks, Kind::ALL).await? else {
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
