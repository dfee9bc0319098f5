//! What was last written to each member, on disk. Reads may be stale for a moment after a write, and a change that is
//! worked out from a stale read would take an earlier grant back: a read that equals an *earlier* state of ours, within
//! a while of our write, is not believed.

use crate::base::tree::BTreeSet;

use super::late;
use crate::account::overlay;
use crate::base::ports::{Sql, SqlError};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::model::access::{Access, Atom};
use crate::model::id::{MemberId, PermissionGroupId, UserGroupId};

/// How long a read may lag behind a write before it is believed all the same.
const DISTRUST_MILLIS: i64 = late::STALE_MILLIS;

/// Creates the table.
pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS written ( \
            member TEXT NOT NULL, at INTEGER NOT NULL, atoms TEXT NOT NULL, \
            PRIMARY KEY (member, at, atoms)) WITHOUT ROWID",
        &[],
    )
}

/// Notes a state of a member: the one read before a write, and the one that is about to be written. No atoms at all: gone.
pub(super) fn note(sql: &dyn Sql, member: MemberId, atoms: &BTreeSet<Atom>, now: Timestamp) -> Result<(), SqlError> {
    note_state(sql, &member.to_string(), &encode(atoms), now)
}

/// Notes that a member is put into a user group, or taken out.
pub(super) fn note_group(
    sql: &dyn Sql,
    group: UserGroupId,
    member: MemberId,
    is_in: bool,
    now: Timestamp,
) -> Result<(), SqlError> {
    let subject = format!("{group}/{member}");
    note_state(sql, &subject, membership(!is_in), now)?;
    note_state(sql, &subject, membership(is_in), now)
}

/// Forgets that a member was put into a user group, or taken out: that was not carried out, as far as can be seen, and it was not so before either.
pub(super) fn forget_group(sql: &dyn Sql, group: UserGroupId, member: MemberId, is_in: bool) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM written WHERE member = ? AND atoms = ?",
        &[format!("{group}/{member}").into(), membership(is_in).into()],
    )
}

const fn membership(is_in: bool) -> &'static str {
    if is_in { "in" } else { "out" }
}

fn note_state(sql: &dyn Sql, subject: &str, state: &str, now: Timestamp) -> Result<(), SqlError> {
    let oldest = now.plus_millis(-DISTRUST_MILLIS);
    // Of everybody's: what is not written again would be kept for good.
    sql.query("DELETE FROM written WHERE at < ?", &[oldest.into()])?;
    // A clock that stands still would put two states at one time and lose their order.
    sql.query(
        "INSERT OR REPLACE INTO written (member, at, atoms) \
         SELECT ?1, MAX(?2, COALESCE(MAX(at) + 1, ?2)), ?3 FROM written WHERE member = ?1",
        &[subject.into(), now.into(), state.into()],
    )?;
    Ok(())
}

/// Until when a read is not believed that shows a state which one of our own writes, not long ago, has replaced; `None` where it is.
pub(super) fn stale_until(
    sql: &dyn Sql,
    member: MemberId,
    seen: &BTreeSet<Atom>,
    now: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    replaced_until(sql, &member.to_string(), &encode(seen), now)
}

/// Until when a read is not believed that shows a member in a user group, or out of it, as it was before our own change not long ago.
pub(super) fn group_stale_until(
    sql: &dyn Sql,
    group: UserGroupId,
    member: MemberId,
    seen: bool,
    now: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    replaced_until(sql, &format!("{group}/{member}"), membership(seen), now)
}

fn replaced_until(sql: &dyn Sql, subject: &str, seen: &str, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    let noted = noted(sql, subject, now)?;
    // The latest time of what is seen, where something else was noted after it; or of what this version cannot read, which may be what is seen.
    let later = |(_, state): &&(i64, Option<String>)| state.as_deref().is_none_or(|state| state == seen);
    let at = noted.iter().rev().find(later);
    let is_replaced =
        |at: i64, state: &Option<String>| state.is_none() || noted.last().is_some_and(|(last, _)| *last > at);
    let at = at.filter(|(at, state)| is_replaced(*at, state)).map(|(at, _)| Timestamp::from_millis(*at));
    Ok(at.map(|at| at.plus_millis(DISTRUST_MILLIS + 1)))
}

/// The members who are to be allowed a permission group by what was noted of them last, not long ago.
pub(super) fn to_hold(sql: &dyn Sql, group: PermissionGroupId, now: Timestamp) -> Result<BTreeSet<MemberId>, SqlError> {
    let rows = sql.query(
        "SELECT member FROM written AS last WHERE at >= ? AND instr(atoms, ?) > 0 \
            AND NOT EXISTS (SELECT 1 FROM written WHERE member = last.member AND at > last.at)",
        &[now.plus_millis(-DISTRUST_MILLIS).into(), format!("{}/{group}/", stored(Access::Allow)).into()],
    )?;
    Ok(rows.iter().filter_map(|row| row.first()?.text()?.parse().ok()).collect())
}

/// What was noted of a subject not long ago, with its time, the latest last. What this version cannot read is set aside, and is nothing.
fn noted(sql: &dyn Sql, subject: &str, now: Timestamp) -> Result<Vec<(i64, Option<String>)>, SqlError> {
    let rows = sql.query(
        "SELECT member, at, atoms FROM written WHERE member = ? AND at >= ? ORDER BY at",
        &[subject.into(), now.plus_millis(-DISTRUST_MILLIS).into()],
    )?;
    let mut noted = Vec::with_capacity(rows.len());
    rows::readable(sql, "written", &rows, |row| {
        let state = row.get(2)?.text().filter(|state| is_readable(state)).map(str::to_owned);
        let is_read = state.is_some();
        noted.push((row.get(1)?.integer()?, state));
        is_read.then_some(())
    })?;
    Ok(noted)
}

/// Whether a state is one that [`encode`] or [`membership`] makes.
fn is_readable(state: &str) -> bool {
    [membership(true), membership(false)].contains(&state)
        || state.split_terminator(' ').all(|atom| atom.split('/').count() == 3)
}

/// Whether a member was seen so right before the latest write of ours, where that one was to leave `planned`.
pub(super) fn was_right_before(
    sql: &dyn Sql,
    member: MemberId,
    seen: &BTreeSet<Atom>,
    planned: &BTreeSet<Atom>,
) -> Result<bool, SqlError> {
    let rows =
        sql.query("SELECT atoms FROM written WHERE member = ? ORDER BY at DESC LIMIT 2", &[member.to_string().into()])?;
    let state = |place: usize| rows.get(place)?.first()?.text();
    Ok(state(0) == Some(encode(planned).as_str()) && state(1) == Some(encode(seen).as_str()))
}

/// Whether a member was so before now, and not long ago: a read that is behind may show it, whatever is sent from now on.
pub(super) fn was_so_before(
    sql: &dyn Sql,
    member: MemberId,
    atoms: &BTreeSet<Atom>,
    now: Timestamp,
) -> Result<bool, SqlError> {
    was_before(sql, &member.to_string(), &encode(atoms), now)
}

/// Whether a member was in a user group, or out of it, before now, and not long ago.
pub(super) fn was_in_group(
    sql: &dyn Sql,
    group: UserGroupId,
    member: MemberId,
    is_in: bool,
    now: Timestamp,
) -> Result<bool, SqlError> {
    was_before(sql, &format!("{group}/{member}"), membership(is_in), now)
}

fn was_before(sql: &dyn Sql, subject: &str, state: &str, now: Timestamp) -> Result<bool, SqlError> {
    let mut noted = noted(sql, subject, now)?.into_iter();
    Ok(noted.any(|(at, noted)| at < now.millis() && noted.is_none_or(|noted| noted == state)))
}

/// Whether this is what we wrote last, within the time in which reads are doubted. To write it once more changes nothing that a
/// stale read could hide.
pub(super) fn is_latest(
    sql: &dyn Sql,
    member: MemberId,
    atoms: &BTreeSet<Atom>,
    now: Timestamp,
) -> Result<bool, SqlError> {
    let latest = noted(sql, &member.to_string(), now)?.pop();
    Ok(latest.is_some_and(|(_, state)| state.as_deref() == Some(encode(atoms).as_str())))
}

/// Whether a write of ours about a member, or about their membership of the group, is so young that a list may not show it yet.
pub(super) fn is_fresh(
    sql: &dyn Sql,
    member: MemberId,
    group: Option<UserGroupId>,
    now: Timestamp,
) -> Result<bool, SqlError> {
    let member = member.to_string();
    let membership = group.map(|group| format!("{group}/{member}"));
    for subject in [Some(member), membership].into_iter().flatten() {
        let last = noted(sql, &subject, now)?.pop();
        if last.is_some_and(|(at, _)| now.millis() - at <= overlay::LAG_SECS * 1_000) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn encode(atoms: &BTreeSet<Atom>) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(atoms.len() * 67);
    for atom in atoms {
        // Writing to a String does not fail.
        let _ = write!(text, "{}/{}/{} ", stored(atom.access), atom.permission_group, atom.resource_group);
    }
    text
}

/// An atom's access as the table has it: what an earlier version noted is compared with it.
const fn stored(access: Access) -> &'static str {
    match access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
        Access::Unknown => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeSet;

    use super::{encode, init, note, stale_until, was_so_before};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock, Sql as _};
    use crate::base::rows;
    use crate::model::access::{Access, Atom};
    use crate::model::id::MemberId;

    fn state(names: &[u8]) -> BTreeSet<Atom> {
        let id = |n: u8| format!("{n:032x}");
        let atom = |&n: &u8| Atom {
            access: Access::Allow,
            permission_group: id(n).parse().unwrap(),
            resource_group: id(0).parse().unwrap(),
        };
        names.iter().map(atom).collect()
    }

    #[test]
    fn a_read_older_than_our_write_is_not_believed_for_a_while() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let jane: MemberId = format!("{:032x}", 1).parse().unwrap();
        let joe: MemberId = format!("{:032x}", 2).parse().unwrap();
        let stale = |member, seen: &[u8]| stale_until(&desk, member, &state(seen), desk.now()).unwrap().is_some();
        assert!(!stale(jane, &[1]), "nothing was written yet");
        // Three writes within one tick of the clock: [1] → [1, 2] → [1, 2, 3].
        for names in [&[1_u8][..], &[1, 2], &[1, 2], &[1, 2, 3]] {
            note(&desk, jane, &state(names), desk.now()).unwrap();
        }
        assert!(stale(jane, &[1]), "before the first write");
        assert!(stale(jane, &[1, 2]), "between the writes");
        assert!(!stale(jane, &[1, 2, 3]), "the latest");
        assert!(!stale(jane, &[4]), "somebody else's write");
        assert!(!stale(joe, &[1]), "another member");
        desk.advance(61);
        assert!(!stale(jane, &[1]), "by now somebody must have put that back");
        // Of another version, it may be any state; and what was noted since is no proof of the contrary.
        let now = desk.now();
        desk.query("INSERT INTO written VALUES (?, ?, 'v2:?')", &[jane.to_string().into(), now.into()]).unwrap();
        note(&desk, jane, &state(&[5]), now).unwrap();
        assert!(stale(jane, &[4]) && !stale(jane, &[5]) && !stale(joe, &[4]));
        assert!(was_so_before(&desk, jane, &state(&[4]), now.plus_millis(1)).unwrap());
        assert_eq!(rows::counts(&desk).unwrap().len(), 1);
        desk.advance(61);
        assert!(!stale(jane, &[4]));
    }

    /// Else nothing that was written before an update would be known again after it.
    #[test]
    fn a_state_is_noted_in_the_same_words_by_every_version() {
        for (access, word) in [(Access::Allow, "Allow"), (Access::Deny, "Deny"), (Access::Unknown, "Unknown")] {
            let state = state(&[1]).into_iter().map(|atom| Atom { access, ..atom }).collect();
            assert_eq!(encode(&state), format!("{word}/{:032x}/{:032x} ", 1, 0));
        }
    }

    #[test]
    fn a_state_that_we_came_back_to_is_believed() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let jane: MemberId = format!("{:032x}", 1).parse().unwrap();
        for names in [&[1_u8][..], &[1, 2], &[1, 2], &[1]] {
            note(&desk, jane, &state(names), desk.now()).unwrap();
        }
        assert_eq!(stale_until(&desk, jane, &state(&[1]), desk.now()).unwrap(), None);
        let until = stale_until(&desk, jane, &state(&[1, 2]), desk.now()).unwrap().unwrap();
        // It is told exactly: nobody waits longer than the doubt lasts.
        desk.advance(60);
        assert_eq!(until.since(desk.now()).signum(), 1);
        assert!(stale_until(&desk, jane, &state(&[1, 2]), until.plus_millis(-1)).unwrap().is_some());
        assert_eq!(stale_until(&desk, jane, &state(&[1, 2]), until).unwrap(), None);
    }
}
