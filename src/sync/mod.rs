//! The sync: one crawl of the account, published as an immutable snapshot.
//!
//! [`begin`] starts a run and [`step`] carries it on, one invocation's worth at a time: pages are fetched as [`crawl`] says and
//! staged in the Coordinator's SQLite; when all are there they are verified, made into rows and published as a
//! [`snapshot`]; [`status`] tells how that stands.
//!
//! **Invariants:** a run that was cut off anywhere goes on from its staged pages and publishes the same; a run that fails
//! leaves what was published untouched; a page is read once in a run, unless its list moved meanwhile.

mod crawl;
pub mod days;
mod fetch;
mod finish;
mod harvest;
mod history;
mod inherited;
mod limits;
mod metered;
mod moved;
mod packed;
mod previous;
pub mod refresh;
mod repeated;
pub mod reread;
pub mod room;
mod rows;
mod run;
mod staging;
mod state;
mod step;
mod unchanged;

pub use crate::snapshot::{RunId, RunOutcome, RunRecord};
pub use crawl::{Phase, Progress};
pub use days::Day;
pub use finish::LOST_AFTER_SECS;
pub use history::{
    GenerationSummary, Running, SyncState, SyncStatus, current, found_so, found_so_since, last_good_sweep, last_sweep,
    runs, status,
};
pub use limits::Limits;
pub use run::Trigger;
pub use step::{BeginError, Next, begin, next_due, step, step_within};

use crate::account;
use crate::base::ports::{Sql, SqlError};

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    account::init(sql)?;
    staging::init(sql)?;
    days::init(sql)?;
    crate::ledger::init(sql)?;
    crate::snapshot::init(sql)
}

/// For the fuzz targets: whether bytes are a staged page of members.
///
/// # Panics
/// Somebody who is said to be on it cannot be read.
#[cfg(feature = "fakes")]
pub fn is_staged_page(bytes: &[u8]) -> bool {
    let mut members = staging::Members::default();
    let Some((ids, _)) = members.take(bytes) else { return false };
    let atoms =
        |id| members.get(id).map(|member| member.policies.iter().flat_map(staging::StagedPolicy::atoms).count());
    assert!(ids.iter().all(|&id| atoms(id).is_some()) && members.iter().count() == members.len());
    true
}

/// The generations that were published last, the latest first.
pub fn generations(sql: &dyn Sql) -> Result<Vec<GenerationSummary>, SqlError> {
    history::generations(sql)
}
