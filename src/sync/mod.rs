//! The sync: one crawl of the account, published as an immutable snapshot.
//!
//! [`begin`] starts a run and [`step`] carries it on, one invocation's worth at a time: pages are fetched as [`crawl`] says and
//! staged in the Coordinator's SQLite; when all are there they are verified, made into rows and published as a
//! [`snapshot`]; [`status`] tells how that stands.
//!
//! **Invariants:** a run that was cut off anywhere goes on from its staged pages and publishes the same; a run that fails
//! leaves what was published untouched; a page is read once in a run.

mod crawl;
mod fetch;
mod finish;
mod harvest;
mod history;
mod limits;
mod metered;
mod names;
pub mod overlay;
mod previous;
mod rows;
mod run;
mod staging;
mod state;
mod step;

pub use crate::snapshot::{RunId, RunOutcome, RunRecord};
pub use crawl::{Phase, Progress};
pub use history::{GenerationSummary, Running, SyncState, SyncStatus, status};
pub use limits::Limits;
pub use run::Trigger;
pub use step::{BeginError, Next, begin, step, step_within};

use std::collections::BTreeSet;

use crate::base::ports::{Sql, SqlError};
use crate::model::id::{PermissionGroupId, ResourceGroupId, RoleId};

/// Creates the tables.
pub fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    state::init(sql)?;
    staging::init(sql)?;
    overlay::init(sql)?;
    crate::snapshot::init(sql)
}

/// The permission group behind a role, as far as a sync has learned it.
pub fn permission_group_of<P: Sql>(sql: &P, role: RoleId) -> Result<Option<PermissionGroupId>, SqlError> {
    Ok(names::Names::load(sql)?.permission_group_of(role))
}

/// The role id that a permission group is governed under, as far as a sync has learned it.
pub fn role_of<P: Sql>(sql: &P, group: PermissionGroupId) -> Result<Option<RoleId>, SqlError> {
    Ok(names::Names::load(sql)?.role_of(group))
}

/// The ids of the user groups' policies at the last sync: what a member shows under one of them is not the member's own
/// ([`MemberRecord::without_inherited`](crate::cloudflare::MemberRecord::without_inherited)).
pub fn group_policies<P: Sql>(sql: &P) -> Result<BTreeSet<String>, SqlError> {
    Ok(state::load(sql, state::GROUP_POLICIES)?.unwrap_or_default())
}

/// Whether the account's member records show the policies of user groups beside the member's own; `None` where nothing has told yet.
pub fn shows_inherited<P: Sql>(sql: &P) -> Result<Option<bool>, SqlError> {
    state::load(sql, state::SHOWS_INHERITED)
}

/// Notes the ids of the user groups' policies as they are now.
pub fn note_group_policies<P: Sql>(sql: &P, ids: &BTreeSet<String>) -> Result<(), SqlError> {
    state::store(sql, state::GROUP_POLICIES, ids)
}

/// Notes whether a member's record showed a policy of a user group that the member is in.
pub fn learn_inherited<P: Sql>(sql: &P, shows: bool) -> Result<(), SqlError> {
    state::store(sql, state::SHOWS_INHERITED, &shows)
}

/// The resource group that is the whole account, as far as a sync has learned it.
pub fn account_resource_group<P: Sql>(sql: &P) -> Result<Option<ResourceGroupId>, SqlError> {
    Ok(names::Names::load(sql)?.account_resource_group)
}
