//! Whose a policy is that a member's record shows: the member's own, or one of a user group's. The documentation says both of
//! whether records show the latter (`reference/cloudflare.md` 2.2), so each sync looks at one member of a group that gives something.
//!
//! Where that does not settle it, the ids decide. An id is never used again, so a policy that a member had and that no user group had
//! *afterwards* is not a group's, and never will be: these are the ids that are kept. A policy that is neither known for a
//! group's nor kept here may be that of a group that was made since.

use crate::base::hash::fnv1a;
use crate::base::order;
use crate::base::tree::BTreeSet;

use super::state;
use crate::base::ports::{Clock, Http, Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, Client, MemberRecord, UserGroup};
use crate::model::id::MemberId;

/// A row of SQLite takes 2 MB: this many ids of eight bytes are 1 MB.
const PIECE: usize = 128 * 1024;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    // What the last sync saw, in pieces: a row for each policy would be written with each sync.
    sql.run("CREATE TABLE IF NOT EXISTS own_policy (piece INTEGER PRIMARY KEY, ids BLOB NOT NULL)", &[])?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS own_policy_since (member TEXT PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL) WITHOUT ROWID",
        &[],
    )
}

/// The ids of the user groups' policies as they were last read: what a member shows under one of them is not the member's own
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

/// What is known of a user group that its list tells without policies goes by its id and by when the list says that it changed last: once it changed, it
/// may give anything.
pub fn silent_key(group: &UserGroup) -> String {
    format!("{} {}", group.id, group.changed)
}

/// The same of a group that somebody accepted as its list has it while its own record told nothing: that stands, and it is asked for again.
pub fn accepted_key(key: &str) -> String {
    key.to_owned() + " accepted"
}

/// The user groups ([`silent_key`]) that the list tells without policies and that give nothing all the same, as their own records said when they were last
/// asked; or by their [`accepted_key`] those of which that is accepted. Whatever else is told so may give anything.
pub fn known_to_give_nothing(sql: &dyn Sql) -> Result<BTreeSet<String>, SqlError> {
    Ok(state::load(sql, state::SILENT_GROUPS)?.unwrap_or_default())
}

/// Notes them as they are now.
pub(crate) fn note_giving_nothing(sql: &dyn Sql, groups: &BTreeSet<String>) -> Result<(), SqlError> {
    state::store(sql, state::SILENT_GROUPS, groups)
}

/// Has those asked for again, by their ids, that changed since.
pub(crate) fn doubt_giving_nothing(sql: &dyn Sql, changed: &[String]) -> Result<(), SqlError> {
    let mut known = known_to_give_nothing(sql)?;
    if known.is_empty() {
        return Ok(());
    }
    known.retain(|key| !changed.iter().any(|id| key.starts_with(id.as_str())));
    note_giving_nothing(sql, &known)
}

/// The ids of a user group's policies.
pub fn policy_ids(group: &UserGroup) -> impl Iterator<Item = &String> + '_ {
    group.policies.readable().iter().filter_map(|policy| policy.id.as_ref())
}

/// The ids of the policies that a member's record shows.
pub fn shown(member: &MemberRecord) -> BTreeSet<String> {
    member.policies.readable().iter().filter_map(|policy| policy.id.clone()).collect()
}

/// Whether everything that a member's record shows, once the groups' policies that are known are taken out of it, is the member's own
/// for certain.
pub fn is_all_own(sql: &dyn Sql, member: &MemberRecord) -> Result<bool, SqlError> {
    let shown: Vec<u64> = shown(member).iter().map(|id| short(id)).collect();
    let since = sql.one("SELECT ids FROM own_policy_since WHERE member = ?", &[member.id.to_string().into()])?;
    let since = since.as_ref().and_then(SqlValue::blob).unwrap_or_default();
    let mut unknown: Vec<u64> = shown.into_iter().filter(|id| !has(since, *id)).collect();
    let mut piece = 0_i64;
    while !unknown.is_empty() {
        let kept = sql.one("SELECT ids FROM own_policy WHERE piece = ?", &[piece.into()])?;
        let Some(kept) = kept.as_ref().and_then(SqlValue::blob) else { return Ok(false) };
        unknown.retain(|id| !has(kept, *id));
        piece += 1;
    }
    Ok(true)
}

/// Notes that these policies of a member's are the member's own.
pub fn note_own(sql: &dyn Sql, member: MemberId, ids: &BTreeSet<String>, now: Timestamp) -> Result<(), SqlError> {
    let ids = packed(ids);
    sql.run(
        "INSERT INTO own_policy_since (member, at, ids) VALUES (?, ?, ?) \
         ON CONFLICT (member) DO UPDATE SET at = excluded.at, ids = excluded.ids",
        &[member.to_string().into(), now.into(), SqlValue::Blob(ids)],
    )
}

/// Whether a member of a group shows what the group gives; `None` where that cannot be told.
///
/// That it is not shown is said only where the group had the same policy and the member before and after the record was read.
pub async fn shows<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    group: &UserGroup,
    member: MemberId,
    was_known: bool,
) -> Result<Option<bool>, ApiError> {
    let record = match client.member(member).await {
        Ok(record) => record,
        Err(ApiError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown = shown(&record);
    if policy_ids(group).any(|id| shown.contains(id)) {
        return Ok(Some(true));
    }
    if record.unread().is_some() {
        return Ok(None);
    }
    if was_known {
        return Ok(Some(false));
    }
    let after = match client.user_group(group.id).await {
        Ok(after) => after,
        Err(ApiError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_same = policy_ids(group).any(|id| policy_ids(&after).any(|after| after == id));
    Ok((is_same && client.is_in_group(group.id, member).await?).then_some(false))
}

/// Keeps the ids that a sync saw and that are no group's, in place of those of the sync before, and forgets what writes said before
/// the sync began.
pub(crate) fn note_seen(
    sql: &dyn Sql,
    own: impl IntoIterator<Item = impl AsRef<str>>,
    began: Timestamp,
) -> Result<(), SqlError> {
    keep(sql, &packed(own))?;
    sql.run("DELETE FROM own_policy_since WHERE at < ?", &[began.into()])
}

/// Forgets them all, where nothing depends on them.
pub(crate) fn forget(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("DELETE FROM own_policy", &[])?;
    sql.run("DELETE FROM own_policy_since", &[])
}

/// Keeps ids, unless they are there already: rows written cost money.
fn keep(sql: &dyn Sql, ids: &[u8]) -> Result<(), SqlError> {
    let mut pieces = 0_i64;
    for piece in ids.chunks(PIECE * 8) {
        let kept = sql.one("SELECT ids FROM own_policy WHERE piece = ?", &[pieces.into()])?;
        if kept.as_ref().and_then(SqlValue::blob) != Some(piece) {
            sql.run(
                "INSERT INTO own_policy (piece, ids) VALUES (?, ?) ON CONFLICT (piece) DO UPDATE SET ids = excluded.ids",
                &[pieces.into(), SqlValue::Blob(piece.to_vec())],
            )?;
        }
        pieces += 1;
    }
    sql.run("DELETE FROM own_policy WHERE piece >= ?", &[pieces.into()])
}

/// Ids as they are kept: eight bytes of each, in order.
fn packed(ids: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<u8> {
    let mut short: Vec<u64> = ids.into_iter().map(|id| short(id.as_ref())).collect();
    order::sort(&mut short);
    short.dedup();
    short.into_iter().flat_map(u64::to_be_bytes).collect()
}

fn has(packed: &[u8], id: u64) -> bool {
    let (ids, _) = packed.as_chunks::<8>();
    ids.binary_search(&id.to_be_bytes()).is_ok()
}

/// Eight bytes of an id, which is random: two of a million that agree in them are not to be met.
fn short(id: &str) -> u64 {
    fnv1a(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{has, init, is_all_own, keep, note_own, packed, shown};
    use crate::base::fakes::Desk;
    use crate::base::ports::Clock as _;
    use crate::cloudflare::{MemberRecord, PolicyRecord};
    use crate::model::access::Access;
    use crate::model::resource::MemberStatus;

    fn member(ids: &[&str]) -> MemberRecord {
        let policy = |id: &&str| PolicyRecord {
            id: Some((*id).to_owned()),
            access: Access::Allow,
            permission_groups: [].into(),
            resource_groups: [].into(),
        };
        MemberRecord {
            id: format!("{:032x}", 7).parse().unwrap(),
            user_id: None,
            email: "jane@example.com".to_owned(),
            status: MemberStatus::Accepted,
            first_name: None,
            last_name: None,
            two_factor: None,
            roles: Vec::new(),
            policies: ids.iter().map(policy).collect::<Vec<_>>().into(),
        }
    }

    #[test]
    fn a_policy_is_the_members_own_only_where_a_sync_or_a_write_said_so() {
        let desk = Desk::new();
        init(&desk).unwrap();
        assert!(is_all_own(&desk, &member(&[])).unwrap(), "nothing is shown");
        assert!(!is_all_own(&desk, &member(&["a"])).unwrap());
        keep(&desk, &packed(&["a".to_owned(), "b".to_owned()])).unwrap();
        assert!(is_all_own(&desk, &member(&["a", "b"])).unwrap());
        assert!(!is_all_own(&desk, &member(&["a", "c"])).unwrap());
        let jane = member(&["a", "c"]);
        note_own(&desk, jane.id, &shown(&jane), desk.now()).unwrap();
        assert!(is_all_own(&desk, &jane).unwrap());
        keep(&desk, &[]).unwrap();
        assert!(is_all_own(&desk, &jane).unwrap() && !is_all_own(&desk, &member(&["b"])).unwrap());
    }

    #[test]
    fn more_ids_than_a_row_takes_are_found_in_their_piece() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let ids: Vec<String> = (0..super::PIECE + 10).map(|n| format!("{n:032x}")).collect();
        let all = packed(&ids);
        assert!(ids.iter().all(|id| has(&all, super::short(id))), "no two are the same");
        keep(&desk, &all).unwrap();
        for id in ids.iter().step_by(9_973) {
            assert!(is_all_own(&desk, &member(&[id])).unwrap());
        }
        assert!(!is_all_own(&desk, &member(&["x"])).unwrap());
    }
}
