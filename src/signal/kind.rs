//! The kinds of signals.

/// The kinds of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The account is another than at the sync before.
    AccessChanged,
    /// A sync failed, or was held back.
    SyncFailed,
    /// Somebody was given access past C1.
    ForeignChange,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::AccessChanged, Self::SyncFailed, Self::ForeignChange];

    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessChanged => "access_changed",
            Self::SyncFailed => "sync_failed",
            Self::ForeignChange => "foreign_change",
        }
    }

    /// Reads a kind's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
