//! Writes a `SQLite` database file from its first byte to its last, without going back: tables whose rows come in any
//! interleaving, no indexes (<https://www.sqlite.org/fileformat2.html>).
//!
//! Page 1 tells where each table's b-tree has its root, and a root comes after all it leads to. So the same rows go in
//! twice: once to a [`Writer`] that only counts, whose [`Layout`] the second one begins with.

mod layout;
mod page;
mod record;
#[cfg(test)]
mod tests;
mod tree;

pub use layout::SqliteError;
pub(super) use layout::{Layout, Table};
pub(super) use record::Value;

use page::Pages;
use tree::Tree;

/// A database that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    pages: Pages,
    trees: Vec<Tree>,
    layout: Option<Layout>,
}

impl Writer {
    /// One that only counts.
    pub(super) fn counting(tables: &[Table]) -> Self {
        Self { pages: Pages::counting(), trees: tables.iter().map(|_| Tree::default()).collect(), layout: None }
    }

    /// One that writes, with the layout that counting the same rows gave.
    pub(super) fn writing(tables: &[Table], layout: Layout) -> Result<Self, SqliteError> {
        let pages = Pages::writing(&page::first(tables, &layout)?);
        Ok(Self { pages, trees: tables.iter().map(|_| Tree::default()).collect(), layout: Some(layout) })
    }

    /// Appends a row to the table at a place in the list of tables. `values` are those of all columns but the first.
    pub(super) fn append(&mut self, table: usize, values: &[Value<'_>]) -> Result<(), SqliteError> {
        let tree = self.trees.get_mut(table).ok_or(SqliteError::Schema)?;
        tree.append(&record::encode(values)?, &mut self.pages)
    }

    /// How many bytes of pages are ready.
    pub(super) fn ready(&self) -> usize {
        self.pages.ready()
    }

    /// The pages that are ready; they are the file's next bytes.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.pages.take()
    }

    /// Ends all tables. What is ready afterwards is the rest of the file.
    pub(super) fn finish(&mut self) -> Result<Layout, SqliteError> {
        let mut roots = Vec::with_capacity(self.trees.len());
        for tree in &mut self.trees {
            roots.push(tree.finish(&mut self.pages)?);
        }
        let layout = Layout::new(roots, self.pages.count());
        match &self.layout {
            Some(planned) if *planned != layout => Err(SqliteError::Changed),
            _ => Ok(layout),
        }
    }
}
