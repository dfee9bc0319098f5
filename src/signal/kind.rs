//! The kinds of signals.

use crate::base::words::words;

words! {
    /// The kinds of signals.
    pub enum SignalKind {
        /// The account is another than at the sync before.
        AccessChanged = "access_changed",
        /// A sync failed, or was held back.
        SyncFailed = "sync_failed",
        /// Somebody was given access past C1.
        ForeignChange = "foreign_change",
        /// Something was found to be wrong with the account, or is over.
        Finding = "finding",
        /// Revokes or removals wait, since as many as are allowed were carried out.
        RemovalCapReached = "removal_cap_reached",
    }
}
