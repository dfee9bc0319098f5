//! What is told of a cap of removals.

use crate::base::time::Timestamp;

/// A cap of removals that was reached.
#[derive(Clone, Copy, Debug)]
pub struct CapReached<'a> {
    /// When.
    pub at: Timestamp,
    /// The operation that found no room.
    pub operation: i64,
    /// Whom it is about.
    pub email: &'a str,
    /// What happened and what to do, in a sentence.
    pub message: &'a str,
}
