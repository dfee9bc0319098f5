//! Which policies on member records are user groups', and whether this account's records show such policies at all.

use std::collections::BTreeSet;

use super::state;
use crate::base::ports::{Sql, SqlError};

/// The ids of the user groups' policies at the last sync: what a member shows under one of them is not the member's own
/// ([`MemberRecord::without_inherited`](crate::cloudflare::MemberRecord::without_inherited)).
pub fn group_policies(sql: &dyn Sql) -> Result<BTreeSet<String>, SqlError> {
    Ok(state::load(sql, state::GROUP_POLICIES)?.unwrap_or_default())
}

/// Notes the ids of the user groups' policies as they are now.
pub fn note_group_policies(sql: &dyn Sql, ids: &BTreeSet<String>) -> Result<(), SqlError> {
    state::store(sql, state::GROUP_POLICIES, ids)
}

/// Whether the account's member records show the policies of user groups beside the member's own; `None` where nothing has told yet.
pub fn shows_inherited(sql: &dyn Sql) -> Result<Option<bool>, SqlError> {
    state::load(sql, state::SHOWS_INHERITED)
}

/// Notes whether a member's record showed a policy of a user group that the member is in.
pub fn learn_inherited(sql: &dyn Sql, shows: bool) -> Result<(), SqlError> {
    state::store(sql, state::SHOWS_INHERITED, &shows)
}
