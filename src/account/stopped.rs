//! Why an operation goes no further.

use std::fmt;

use crate::base::ports::SqlError;
use crate::base::time::Timestamp;
use crate::cloudflare::ApiError;
use crate::model::operation::{Outcome, Refusal};
use crate::snapshot::SnapshotError;

/// Why an operation goes no further.
#[derive(Debug)]
pub enum Stopped {
    /// How it ends for now: refused, or put off until a time.
    Ended(Outcome),
    /// It cannot be known now; a sentence for the log.
    NotNow(String),
    /// It cannot be known before a time that is known: nothing else stands in its way, and by then nothing does. A sentence for the log.
    Until(String, Timestamp),
    /// Cloudflare could not be asked.
    Api(ApiError),
    /// Our own storage could not be read.
    Storage(String),
}

impl Stopped {
    /// A refusal.
    pub fn refused(code: Refusal, message: impl Into<String>) -> Self {
        Self::Ended(Outcome::refused(code, message))
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(outcome) => f.write_str(outcome.message()),
            Self::NotNow(why) | Self::Until(why, _) | Self::Storage(why) => f.write_str(why),
            Self::Api(error) => error.fmt(f),
        }
    }
}

impl From<SqlError> for Stopped {
    fn from(error: SqlError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<SnapshotError> for Stopped {
    fn from(error: SnapshotError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<ApiError> for Stopped {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}
