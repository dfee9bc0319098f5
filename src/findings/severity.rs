//! How much a finding matters.

use crate::base::words::words;

words! {
    /// How much a finding matters.
    pub enum Severity {
        /// Somebody could take the account over, or lose it.
        High = "high",
        /// More access than there should be.
        Medium = "medium",
        /// Something to tidy up.
        Low = "low",
    }
}
