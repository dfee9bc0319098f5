//! What a database is made of: its tables, where they are in the file, and what stands in their way.

/// The size of a page in bytes, none of which are reserved.
pub(super) const PAGE: usize = 4096;

/// A table: its name, and its `CREATE TABLE` statement as `sqlite_schema` has it. The first column is `id integer primary
/// key`, and its value the row's number.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Table {
    pub(in crate::export) name: &'static str,
    pub(in crate::export) sql: &'static str,
}

/// Where things are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::export) struct Layout {
    pub(super) roots: Vec<u32>,
    pub(super) pages: u32,
}

impl Layout {
    pub(super) const fn new(roots: Vec<u32>, pages: u32) -> Self {
        Self { roots, pages }
    }

    /// The size of the file.
    pub(in crate::export) fn bytes(&self) -> u64 {
        u64::from(self.pages) * PAGE as u64
    }
}

/// Why a database cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqliteError {
    /// More pages than `SQLite` can number, or a row that is too long for it.
    #[error("the data is more than a SQLite database can have")]
    TooLarge,
    /// The statements do not fit on the first page.
    #[error("the schema is longer than a page")]
    Schema,
    /// The rows of the second pass are not those of the first.
    #[error("the rows changed while they were written")]
    Changed,
}
