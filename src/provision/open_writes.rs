//! Each write of a member's access, from before it is sent until it is certain that it can do no harm any more: one whose
//! answer never came may be carried out late, over a later change; and one that was answered may have fallen on somebody
//! else's. `aftercare` looks after both.
//!
//! **Invariant:** what a write is expected to leave is on disk before it is sent, be it of policies, of a group or the removal of a
//! membership; and whoever is about to lose Super Administrator by an open write counts as one who has lost it.

use crate::base::json;
use crate::base::tree::BTreeSet;

use super::late::{AWAITED_SECS, LONGEST_LIFE_SECS, STALE_MILLIS};
use super::resolve::Counterpart;
use super::{last_writes, removals};
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::cloudflare::MemberRecord;
use crate::model::access::{Access, Atom};
use crate::model::id::{MemberId, PermissionGroupId, UserGroupId};
use crate::model::operation::EntryId;

/// When a write whose answer never came is looked for, in seconds after it was sent; and for as long as the operation that sent it is
/// not settled.
pub(super) const CHECKS: [i64; 7] = [15, 60, AWAITED_SECS, 300, 600, 1_200, LONGEST_LIFE_SECS];

/// For how long a removal whose answer never came keeps grants of the same person waiting: what was granted would go with it.
pub(super) const BLOCKS_SECS: i64 = AWAITED_SECS;

/// When the audit log is asked about a write, in seconds after it was sent: soon, and once more, since nothing is documented
/// about how late an entry may be.
pub(super) const LOOKS: [i64; 2] = [120, 1_800];

/// What a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteKind {
    /// The member's policies.
    Policies,
    /// The membership ends.
    Removal,
    /// The member comes into a user group.
    Join(UserGroupId),
    /// The member leaves a user group.
    Leave(UserGroupId),
}

impl WriteKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Removal => "removal",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
        }
    }

    const fn group(self) -> Option<UserGroupId> {
        match self {
            Self::Join(group) | Self::Leave(group) => Some(group),
            Self::Policies | Self::Removal => None,
        }
    }
}

/// A write that is about to be sent.
pub(super) struct Write<'a> {
    pub(super) operation: EntryId,
    pub(super) kind: WriteKind,
    pub(super) member: &'a MemberRecord,
    /// The policies' atoms before.
    pub(super) held: &'a BTreeSet<Atom>,
    /// The policies' atoms afterwards; nothing where it is not about policies.
    pub(super) planned: &'a BTreeSet<Atom>,
    /// Whether the member stops being Super Administrator by it.
    pub(super) loses_admin: bool,
    /// Whether it may replace what somebody else does meanwhile, which the audit log is asked about: policies, and an invitation that is
    /// removed to be made again, which its person may have accepted.
    pub(super) may_replace: bool,
    /// When the read that it was worked out from was asked for.
    pub(super) read_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// A write that was sent.
#[derive(Clone, Debug)]
pub(super) struct OpenWrite {
    pub(super) id: i64,
    pub(super) operation: EntryId,
    pub(super) kind: WriteKind,
    pub(super) member: MemberId,
    pub(super) email: String,
    pub(super) planned: BTreeSet<Atom>,
    /// What the member held when an operation was last done with it, where one was since.
    pub(super) expected: Option<BTreeSet<Atom>>,
    /// Whether the member was in the group when an operation was last done with that, where one was since.
    pub(super) expected_in: Option<bool>,
    pub(super) read_at: Timestamp,
    /// When it was sent.
    pub(super) at: Timestamp,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) ray: Option<String>,
    pub(super) looks: i64,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::init(sql)?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS sent ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, operation INTEGER NOT NULL, \
            member TEXT NOT NULL, email TEXT NOT NULL, planned TEXT NOT NULL, expected TEXT, \
            read_at INTEGER NOT NULL, sent_at INTEGER NOT NULL, answered_at INTEGER, ray TEXT, \
            check_at INTEGER, look_at INTEGER, looks INTEGER NOT NULL DEFAULT 0, \
            kind TEXT NOT NULL DEFAULT 'policies', user_group TEXT, loses_admin INTEGER NOT NULL DEFAULT 0, \
            expected_in INTEGER, held TEXT)",
        &[],
    )?;
    sql.run("CREATE INDEX IF NOT EXISTS sent_member ON sent (member) WHERE check_at IS NOT NULL", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS sent_over ON sent (member) WHERE check_at IS NULL AND look_at IS NULL", &[])
}

/// Notes a write, before it is sent: should the Worker vanish meanwhile, nobody knows whether it will be carried out.
pub(super) fn begin(sql: &dyn Sql, write: &Write<'_>) -> Result<i64, SqlError> {
    removals::sent(sql, write.operation, write.now)?;
    let after = |secs: Option<&i64>| write.now.plus_secs(secs.copied().unwrap_or_default());
    let look_at = write.may_replace.then(|| after(LOOKS.first()));
    let id = sql.number(
        "INSERT INTO sent (operation, member, email, planned, read_at, sent_at, check_at, look_at, kind, user_group, loses_admin, held) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        &[
            write.operation.0.into(),
            write.member.id.to_string().into(),
            write.member.email.as_str().into(),
            encode(write.planned)?.into(),
            write.read_at.unwrap_or(write.now).into(),
            write.now.into(),
            after(CHECKS.first()).into(),
            look_at.into(),
            write.kind.as_str().into(),
            write.kind.group().map(|group| group.to_string()).into(),
            i64::from(write.loses_admin).into(),
            encode(write.held)?.into(),
        ],
    )?;
    id.ok_or_else(corrupt)
}

/// Notes the answer to a write; `may_come_late` where there was none that would exclude it. Else what shows from now on may come of this one, and is no
/// sign that an earlier one of the same operation, which was to leave the same, came late: it undoes nothing before an operation is done with the member.
pub(super) fn answered(
    sql: &dyn Sql,
    id: i64,
    ray: Option<&str>,
    may_come_late: bool,
    now: Timestamp,
) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET answered_at = ?, ray = ?, check_at = CASE WHEN ? THEN check_at END WHERE id = ?",
        &[now.into(), ray.map(str::to_owned).into(), i64::from(may_come_late).into(), id.into()],
    )?;
    sql.run(
        "UPDATE sent SET expected = NULL WHERE check_at IS NOT NULL AND kind = 'policies' AND (operation, member, planned) = \
            (SELECT operation, member, planned FROM sent WHERE id = ? AND check_at IS NULL)",
        &[id.into()],
    )
}

/// Forgets a write that Cloudflare refused.
pub(super) fn refused(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    match sql.number("DELETE FROM sent WHERE id = ? RETURNING operation", &[id.into()])? {
        Some(operation) => removals::not_carried_out(sql, EntryId(operation)),
        None => Ok(()),
    }
}

/// Notes that a member was seen with just these atoms. Where that is what the latest write was to leave, it was carried out, and is not
/// carried out again; unless an earlier one that is open too was to leave the same.
///
/// Not checked here: that the read is not behind. A state that the member had a moment before the write is none that a read is believed to
/// show (`execute::believable`), nor one that proves a write which nobody answered.
pub(super) fn shown(sql: &dyn Sql, member: MemberId, atoms: &BTreeSet<Atom>) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET check_at = NULL WHERE member = ?1 AND kind = 'policies' AND check_at IS NOT NULL AND planned = ?2 \
            AND id = (SELECT MAX(id) FROM sent WHERE member = ?1 AND kind = 'policies') \
            AND 1 = (SELECT COUNT(*) FROM sent WHERE member = ?1 AND kind = 'policies' AND check_at IS NOT NULL AND planned = ?2)",
        &[member.to_string().into(), encode(atoms)?.into()],
    )?;
    forget(sql)
}

/// Notes that a change of a group was seen to be carried out: then it is not carried out again. Where an earlier one is open too, it may
/// have been that one which was seen.
pub(super) fn shown_in(sql: &dyn Sql, group: UserGroupId, member: MemberId, is_in: bool) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET check_at = NULL WHERE member = ?1 AND user_group = ?2 AND kind = ?3 AND check_at IS NOT NULL \
            AND id = (SELECT MAX(id) FROM sent WHERE member = ?1 AND user_group = ?2) \
            AND 1 = (SELECT COUNT(*) FROM sent WHERE member = ?1 AND user_group = ?2 AND kind = ?3 AND check_at IS NOT NULL)",
        &[member.to_string().into(), group.to_string().into(), (if is_in { "join" } else { "leave" }).into()],
    )?;
    forget(sql)
}

/// Until when a write that nobody answered may bring back what was taken from a member; `None` where none can. What this version cannot
/// read of a write counts as if it could.
pub(super) fn may_bring_back_until(
    sql: &dyn Sql,
    member: MemberId,
    taken: Counterpart,
    now: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    let rows = select(
        sql,
        "member = ? AND check_at IS NOT NULL AND sent_at > ?",
        &[member.to_string().into(), now.plus_secs(-LONGEST_LIFE_SECS).into()],
    )?;
    let brings = rows.iter().filter(|row| sent(row).is_none_or(|write| write.brings_back(taken)));
    let latest = brings.filter_map(|row| row.get(7)?.integer()).max();
    Ok(latest.map(|at| Timestamp::from_millis(at).plus_secs(LONGEST_LIFE_SECS)))
}

/// Whether a member shows what was there right before our latest write, which nobody answered and of which nothing was told: its operation
/// is not over, and none was done with the member since.
pub(super) fn is_untold(sql: &dyn Sql, member: MemberId, seen: &BTreeSet<Atom>) -> Result<bool, SqlError> {
    let latest = read(
        sql,
        "member = ?1 AND kind = 'policies' AND id = (SELECT MAX(id) FROM sent WHERE member = ?1 AND kind = 'policies')
            AND check_at IS NOT NULL AND expected IS NULL
            AND EXISTS (SELECT 1 FROM operation WHERE operation.id = sent.operation AND operation.outcome IS NULL)",
        &[member.to_string().into()],
    )?;
    latest.first().map_or(Ok(false), |write| last_writes::was_right_before(sql, member, seen, &write.planned))
}

/// Notes what a member holds now that an operation is done with it. Every operation says so, also where it found nothing to do:
/// a write that is carried out late undoes that as well.
pub(super) fn settled(sql: &dyn Sql, member: MemberId, atoms: &BTreeSet<Atom>) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET expected = ? WHERE member = ? AND check_at IS NOT NULL AND kind IN ('policies', 'removal')",
        &[encode(atoms)?.into(), member.to_string().into()],
    )
}

/// Notes what a member holds now that Cloudflare said so to an operation's write: what another one left open, and was to leave the same, has not come
/// late by that.
pub(super) fn written(
    sql: &dyn Sql,
    member: MemberId,
    operation: EntryId,
    atoms: &BTreeSet<Atom>,
) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET expected = ? WHERE member = ? AND operation <> ? AND check_at IS NOT NULL AND expected IS NOT NULL AND kind = 'policies'",
        &[encode(atoms)?.into(), member.to_string().into(), operation.0.into()],
    )
}

/// Notes that an operation ended without being done: what it sent and nobody answered must not give anything late, end a membership unseen, or
/// leave too few Super Administrators. That a revoke which was refused takes something away late harms nobody, and is left.
pub(super) fn not_done(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET expected = COALESCE(expected, held), expected_in = COALESCE(expected_in, kind = 'leave') \
         WHERE operation = ?1 AND check_at IS NOT NULL AND (kind IN ('removal', 'join') OR loses_admin = 1 OR EXISTS \
            (SELECT 1 FROM operation WHERE operation.id = ?1 AND json_extract(request, '$.action') = 'grant'))",
        &[operation.0.into()],
    )
}

/// Notes what an operation found to be so that is done with the member, where what the member holds besides is not as it should be.
pub(super) fn amended(sql: &dyn Sql, member: MemberId, granted: &[Atom], revoked: &[Atom]) -> Result<(), SqlError> {
    let open = read(
        sql,
        "member = ? AND kind = 'policies' AND check_at IS NOT NULL AND expected IS NOT NULL",
        &[member.to_string().into()],
    )?;
    for write in open {
        let mut expected = write.expected.unwrap_or_default();
        expected.extend(granted);
        expected.retain(|atom| !revoked.contains(atom));
        sql.run("UPDATE sent SET expected = ? WHERE id = ?", &[encode(&expected)?.into(), write.id.into()])?;
    }
    Ok(())
}

/// Notes whether a member is in a group now that an operation is done with that.
pub(super) fn settled_in(sql: &dyn Sql, group: UserGroupId, member: MemberId, is_in: bool) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET expected_in = ? WHERE member = ? AND user_group = ? AND check_at IS NOT NULL",
        &[i64::from(is_in).into(), member.to_string().into(), group.to_string().into()],
    )?;
    // A membership that ends late would take this along.
    sql.query(
        "UPDATE sent SET expected = COALESCE(expected, '[]') WHERE member = ? AND kind = 'removal' AND check_at IS NOT NULL",
        &[member.to_string().into()],
    )?;
    Ok(())
}

/// Notes under which ray id a removal was answered.
pub(super) fn removed(sql: &dyn Sql, id: i64, ray: Option<&str>, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE sent SET answered_at = ?, ray = ? WHERE id = ?",
        &[now.into(), ray.map(str::to_owned).into(), id.into()],
    )
}

/// Whether an operation has sent a removal that was not refused, and of which it is not known yet who else wrote.
pub(super) fn has_removed(sql: &dyn Sql, operation: EntryId) -> Result<bool, SqlError> {
    let statement = "SELECT 1 FROM sent WHERE operation = ? AND kind = 'removal'";
    sql.has(statement, &[operation.0.into()])
}

/// Notes that a membership was seen to be gone: nothing that was sent for it can be carried out any more.
pub(super) fn gone(sql: &dyn Sql, member: MemberId) -> Result<(), SqlError> {
    sql.run("UPDATE sent SET check_at = NULL WHERE member = ?", &[member.to_string().into()])?;
    forget(sql)
}

/// Until when a removal of the member, whose answer never came, may still come where it may for so long; `None` where there is none.
pub(super) fn removal_open_until(
    sql: &dyn Sql,
    member: MemberId,
    for_secs: i64,
    now: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    let sent_at = sql.time(
        "SELECT MAX(sent_at) FROM sent WHERE member = ? AND kind = 'removal' AND check_at IS NOT NULL",
        &[member.to_string().into()],
    )?;
    Ok(sent_at.map(|at| at.plus_secs(for_secs)).filter(|until| *until > now))
}

/// Who may stop being Super Administrator at any moment, whatever they were when it was sent: by a write that is open, or by one that was carried
/// out a moment ago, be it that its answer was an error, and that a read does not show yet. `group` is their permission group. What this version
/// cannot read of a write counts as if it ended that.
pub(super) fn losing_admin(
    sql: &dyn Sql,
    group: PermissionGroupId,
    now: Timestamp,
) -> Result<BTreeSet<MemberId>, SqlError> {
    let rows = sql.query(
        "SELECT member, loses_admin = 0 AND kind = 'join', planned FROM sent \
         WHERE check_at IS NOT NULL OR (loses_admin = 1 AND sent_at > ?)",
        &[now.plus_millis(-STALE_MILLIS).into()],
    )?;
    let leaving = rows.iter().filter_map(|row| {
        let [member, gives, planned] = row.as_slice() else { return None };
        let planned = json::read_str::<BTreeSet<Atom>>(planned.text()?).unwrap_or_default();
        let makes = |atom: &Atom| atom.access == Access::Allow && atom.permission_group == group;
        let keeps = gives.integer() == Some(1) || planned.iter().any(makes);
        if keeps { None } else { member.text()?.parse().ok() }
    });
    Ok(leaving.collect())
}

/// The write that came late, where a member holds exactly what that one wrote, and not what it held when an operation was last done
/// with it.
pub(super) fn come_late(sql: &dyn Sql, member: MemberId, seen: &BTreeSet<Atom>) -> Result<Option<OpenWrite>, SqlError> {
    let open = read(
        sql,
        "member = ? AND kind = 'policies' AND check_at IS NOT NULL AND expected IS NOT NULL",
        &[member.to_string().into()],
    )?;
    Ok(open.into_iter().find(|write| write.planned == *seen && write.expected.as_ref() != Some(seen)))
}

/// The writes whose answer never came and that are to be looked for.
pub(super) fn unanswered(sql: &dyn Sql, now: Timestamp, limit: i64) -> Result<Vec<OpenWrite>, SqlError> {
    read(sql, "check_at <= ? ORDER BY check_at LIMIT ?", &[now.into(), limit.into()])
}

impl OpenWrite {
    /// Whether somebody may have this again should the write be carried out. Which roles a group gives is not asked.
    fn brings_back(&self, taken: Counterpart) -> bool {
        match (self.kind, taken) {
            (WriteKind::Policies, Counterpart::Atom(atom)) => self.planned.contains(&atom),
            (WriteKind::Join(_), Counterpart::Atom(_)) => true,
            (WriteKind::Join(group), Counterpart::Group(taken)) => group == taken,
            _ => false,
        }
    }

    /// What this write took away, and what it brought back, where it came late.
    pub(super) fn undid(&self) -> (Vec<Atom>, Vec<Atom>) {
        let Some(expected) = &self.expected else { return (Vec::new(), Vec::new()) };
        let lost = expected.difference(&self.planned).copied().collect();
        (lost, self.planned.difference(expected).copied().collect())
    }
}

/// The write as it stands now, where it is still to be looked for.
pub(super) fn still_open(sql: &dyn Sql, id: i64) -> Result<Option<OpenWrite>, SqlError> {
    Ok(read(sql, "id = ? AND check_at IS NOT NULL", &[id.into()])?.pop())
}

/// Notes that a write was looked for; it is again at `next`.
pub(super) fn checked(sql: &dyn Sql, id: i64, next: Option<Timestamp>) -> Result<(), SqlError> {
    sql.run("UPDATE sent SET check_at = ? WHERE id = ?", &[next.into(), id.into()])?;
    forget(sql)
}

/// The writes that the audit log is to be asked about, the oldest first.
pub(super) fn unlooked(sql: &dyn Sql, until: Timestamp, limit: i64) -> Result<Vec<OpenWrite>, SqlError> {
    read(sql, "look_at <= ? ORDER BY read_at LIMIT ?", &[until.into(), limit.into()])
}

/// Notes that the audit log was asked about a write; `looks` times by now, and again at `next`.
pub(super) fn looked(sql: &dyn Sql, id: i64, looks: i64, next: Option<Timestamp>) -> Result<(), SqlError> {
    sql.run("UPDATE sent SET look_at = ?, looks = ? WHERE id = ?", &[next.into(), looks.into(), id.into()])?;
    forget(sql)
}

/// A write is remembered for as long as an earlier one of the same member is open: what is seen may come of either. A removal also until its
/// operation is over, which may find nobody.
fn forget(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM sent WHERE check_at IS NULL AND look_at IS NULL AND NOT EXISTS \
            (SELECT 1 FROM sent AS earlier WHERE earlier.member = sent.member AND earlier.check_at IS NOT NULL AND earlier.id < sent.id) \
            AND (kind <> 'removal' OR NOT EXISTS (SELECT 1 FROM operation WHERE operation.id = sent.operation AND outcome IS NULL))",
        &[],
    )
}

/// When a write is next looked for.
pub(super) fn check_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    first(sql, "check_at")
}

/// When the audit log is next asked about a write.
pub(super) fn look_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    first(sql, "look_at")
}

fn first(sql: &dyn Sql, column: &str) -> Result<Option<Timestamp>, SqlError> {
    sql.time(&format!("SELECT MIN({column}) FROM sent WHERE {column} IS NOT NULL AND {READABLE}"), &[])
}

/// Which rows are not set aside: one that is must not take the place of those that are asked for a few at a time.
const READABLE: &str = rows::not_set_aside!("id", "sent");

fn read(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<OpenWrite>, SqlError> {
    rows::readable(sql, "sent", &select(sql, &format!("{READABLE} AND {condition}"), params)?, sent)
}

fn select(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
    let statement = format!(
        "SELECT id, operation, member, email, planned, expected, read_at, sent_at, answered_at, ray, looks, kind, user_group, expected_in, version \
         FROM sent WHERE {condition}"
    );
    sql.query(&statement, params)
}

fn sent(row: &[SqlValue]) -> Option<OpenWrite> {
    let [
        id,
        operation,
        member,
        email,
        planned,
        expected,
        read_at,
        at,
        answered_at,
        ray,
        looks,
        kind,
        group,
        is_in,
        version,
    ] = row
    else {
        return None;
    };
    // Of another version, it may mean something else than it seems to.
    version.integer().filter(|version| *version == 1)?;
    let expected = match expected.text() {
        Some(text) => Some(json::read_str(text).ok()?),
        None => None,
    };
    Some(OpenWrite {
        id: id.integer()?,
        operation: EntryId(operation.integer()?),
        kind: match (kind.text()?, group.text().and_then(|group| group.parse().ok())) {
            ("policies", _) => WriteKind::Policies,
            ("removal", _) => WriteKind::Removal,
            ("join", Some(group)) => WriteKind::Join(group),
            ("leave", Some(group)) => WriteKind::Leave(group),
            _ => return None,
        },
        member: member.text()?.parse().ok()?,
        email: email.text()?.to_owned(),
        planned: json::read_str(planned.text()?).ok()?,
        expected,
        expected_in: is_in.integer().map(|is_in| is_in != 0),
        read_at: read_at.time()?,
        at: at.time()?,
        answered_at: answered_at.time(),
        ray: ray.text().map(str::to_owned),
        looks: looks.integer()?,
    })
}

fn encode(atoms: &BTreeSet<Atom>) -> Result<String, SqlError> {
    Ok(serde_json::to_string(atoms)?)
}

fn corrupt() -> SqlError {
    SqlError::unreadable("a write that was sent")
}
