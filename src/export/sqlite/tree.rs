//! A table's b-tree, written from its leaves up (file format, section 1.6).

use super::layout::{PAGE, SqliteError};
use super::page::{LEAF, Pages, lay_out, put};
use super::record::varint;

/// A table's interior page.
const INTERIOR: u8 = 0x05;

/// A record of at most this many bytes is on its leaf whole: `U - 35`.
pub(super) const MAX_LOCAL: usize = PAGE - 35;

/// Of a longer one, at least this many bytes are: `((U - 12) * 32 / 255) - 23`.
pub(super) const MIN_LOCAL: usize = (PAGE - 12) * 32 / 255 - 23;

/// What an overflow page has of a record: all but the number of the next page.
pub(super) const OVERFLOW: usize = PAGE - 4;

/// An interior page leads to at most this many children. A cell takes 4 bytes for the child, 9 at most for the key, 2 for its
/// place; the last child is in the header.
pub(super) const CHILDREN: usize = (PAGE - 12) / (4 + 9 + 2) + 1;

/// A page that was written, and the highest row number under it.
type Child = (u32, u64);

/// A table that is being written. In memory: one leaf, and the children of one page on each level above.
#[derive(Debug, Default)]
pub(super) struct Tree {
    rows: u64,
    cells: Vec<u8>,
    sizes: Vec<usize>,
    levels: Vec<Vec<Child>>,
}

impl Tree {
    /// Appends a row, whose number is one more than the last one's.
    pub(super) fn append(&mut self, record: &[u8], pages: &mut Pages) -> Result<(), SqliteError> {
        let rowid = self.rows + 1;
        let local = local(record.len());
        let mut cell = Vec::with_capacity(local + 16);
        varint(&mut cell, record.len() as u64);
        varint(&mut cell, rowid);
        let (kept, spilled) = record.split_at_checked(local).unwrap_or((record, &[]));
        cell.extend_from_slice(kept);
        let size = cell.len() + if spilled.is_empty() { 0 } else { 4 };
        if 8 + 2 * (self.sizes.len() + 1) + self.cells.len() + size > PAGE {
            self.end_leaf(pages)?;
        }
        if !spilled.is_empty() {
            cell.extend_from_slice(&overflow(spilled, pages)?.to_be_bytes());
        }
        self.cells.append(&mut cell);
        self.sizes.push(size);
        self.rows = rowid;
        Ok(())
    }

    /// Ends the table and gives its root's page number. An empty table is one empty leaf.
    pub(super) fn finish(&mut self, pages: &mut Pages) -> Result<u32, SqliteError> {
        self.end_leaf(pages)?;
        let mut level = 0;
        loop {
            let mut children = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
            let top = level + 1 == self.levels.len();
            if let (true, [(root, _)]) = (top, children.as_slice()) {
                return Ok(*root);
            }
            // A page leads to two children at least, so the last two stay together.
            let last = if children.len() > CHILDREN { children.split_off(children.len() - 2) } else { Vec::new() };
            for page in [children, last] {
                if !page.is_empty() {
                    self.interior(level, &page, pages)?;
                }
            }
            level += 1;
            if level >= self.levels.len() {
                // Every level above the leaves is made by a page below it: there is always a top one.
                return Err(SqliteError::TooLarge);
            }
        }
    }

    fn end_leaf(&mut self, pages: &mut Pages) -> Result<(), SqliteError> {
        let (cells, sizes) = (&self.cells, &self.sizes);
        let page = pages.write(|page| lay_out(page, 0, LEAF, None, cells, sizes))?;
        self.cells.clear();
        self.sizes.clear();
        self.adopt(0, (page, self.rows), pages)
    }

    /// Takes a page into the level above it. A full page there is written as soon as two more children are left over, so that
    /// the last page never has to do with one.
    fn adopt(&mut self, level: usize, child: Child, pages: &mut Pages) -> Result<(), SqliteError> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        let Some(children) = self.levels.get_mut(level) else { return Ok(()) };
        children.push(child);
        if children.len() < CHILDREN + 2 {
            return Ok(());
        }
        let rest = children.split_off(CHILDREN);
        let full = std::mem::replace(children, rest);
        self.interior(level, &full, pages)
    }

    fn interior(&mut self, level: usize, children: &[Child], pages: &mut Pages) -> Result<(), SqliteError> {
        let Some(((right, highest), left)) = children.split_last() else { return Ok(()) };
        let (mut cells, mut sizes) = (Vec::new(), Vec::new());
        if !pages.only_counts() {
            for (child, key) in left {
                let before = cells.len();
                cells.extend_from_slice(&child.to_be_bytes());
                varint(&mut cells, *key);
                sizes.push(cells.len() - before);
            }
        }
        let page = pages.write(|page| lay_out(page, 0, INTERIOR, Some(*right), &cells, &sizes))?;
        self.adopt(level + 1, (page, *highest), pages)
    }
}

/// How much of a record is on its leaf.
fn local(size: usize) -> usize {
    if size <= MAX_LOCAL {
        return size;
    }
    let fitting = MIN_LOCAL + (size - MIN_LOCAL) % OVERFLOW;
    if fitting <= MAX_LOCAL { fitting } else { MIN_LOCAL }
}

/// Writes what is not on the leaf as a chain of pages, and gives the first one's number.
fn overflow(spilled: &[u8], pages: &mut Pages) -> Result<u32, SqliteError> {
    let first = pages.upcoming(0)?;
    let mut pieces = spilled.chunks(OVERFLOW).peekable();
    while let Some(piece) = pieces.next() {
        let next = if pieces.peek().is_some() { pages.upcoming(1)? } else { 0 };
        pages.write(|page| {
            put(page, 0, &next.to_be_bytes());
            put(page, 4, piece);
        })?;
    }
    Ok(first)
}
