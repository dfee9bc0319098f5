//! What a sync remembers of itself, beside what is known of the account (`account::state`), in the same table.

pub(super) use crate::account::state::{load, remove, store};

/// The cursor of the running sync; there is none between runs.
pub(super) const CURSOR: &str = "cursor";
/// The last runs.
pub(super) const RUNS: &str = "runs";
/// The last generations.
pub(super) const GENERATIONS: &str = "generations";
/// Which lists could be read in the last crawl that came to its end.
pub(super) const CAPABILITIES: &str = "capabilities";
