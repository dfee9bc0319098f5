//! The files that there are, what it takes to make one, and what may stand in the way.

use super::sqlite::SqliteError;
use crate::base::ports::{Clock, KeyValue, Zstd, ZstdError};
use crate::snapshot::SnapshotError;

/// The version of what the files say of a generation; another one makes other files of the same generation.
pub const FORMAT: u32 = 4;

/// A piece of a file ends with the row that brings it to this length, or with the page.
pub(super) const PIECE: usize = 256 * 1024;

/// The files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// `sync.c1z`: everything, as a finished sync of a Baton connector.
    C1z,
    /// `users.csv`: one line for each person.
    UsersCsv,
    /// `grants.csv`: one line for each person and entitlement.
    GrantsCsv,
}

impl File {
    /// All files.
    pub const ALL: [Self; 3] = [Self::C1z, Self::UsersCsv, Self::GrantsCsv];

    /// The file's name, which is also the end of its URL. C1's data sources expect `sync.c1z`
    /// (`reference/conductorone.md` 5).
    pub const fn name(self) -> &'static str {
        match self {
            Self::C1z => "sync.c1z",
            Self::UsersCsv => "users.csv",
            Self::GrantsCsv => "grants.csv",
        }
    }

    /// The file with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == name)
    }

    /// The media type. RFC 4180 section 3 for CSV; a `.c1z` has none of its own.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::C1z => "application/octet-stream",
            Self::UsersCsv | Self::GrantsCsv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// What an export needs of the world.
pub trait Ports: KeyValue + Clock + Zstd {}

impl<T: KeyValue + Clock + Zstd> Ports for T {}

/// Why a file cannot be made, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The account is too large for the format.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// The compressor failed.
    #[error(transparent)]
    Zstd(#[from] ZstdError),
}
