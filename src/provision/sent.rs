//! Each write of a member's policies, from before it is sent until it is certain that it can do no harm any more: one whose
//! answer never came may be carried out late, over a later change; and one that was answered may have fallen on somebody
//! else's. `aftercare` looks after both.

use std::collections::BTreeSet;

use super::journal::EntryId;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::cloudflare::MemberRecord;
use crate::model::access::Atom;
use crate::model::id::MemberId;

/// When a write whose answer never came is looked for, in seconds after it was sent. Cloudflare's edge waits 120 s for its own
/// servers (`reference/cloudflare.md` 3.5); how long those go on is not documented.
pub(super) const CHECKS: [i64; 3] = [15, 60, 180];

/// When the audit log is asked about a write, in seconds after it was sent: soon, and once more, since nothing is documented
/// about how late an entry may be.
pub(super) const LOOKS: [i64; 2] = [120, 1_800];

/// A write that is about to be sent.
pub(super) struct Write<'a> {
    pub(super) operation: EntryId,
    pub(super) member: &'a MemberRecord,
    pub(super) planned: &'a BTreeSet<Atom>,
    /// When the read that it was worked out from was asked for.
    pub(super) read_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// A write that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: i64,
    pub(super) operation: EntryId,
    pub(super) member: MemberId,
    pub(super) email: String,
    pub(super) planned: BTreeSet<Atom>,
    /// What the member held when an operation was last done with it, where one was since.
    pub(super) expected: Option<BTreeSet<Atom>>,
    pub(super) read_at: Timestamp,
    /// When it was sent.
    pub(super) at: Timestamp,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) ray: Option<String>,
    pub(super) looks: i64,
}

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS sent (
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, operation INTEGER NOT NULL,
            member TEXT NOT NULL, email TEXT NOT NULL, planned TEXT NOT NULL, expected TEXT,
            read_at INTEGER NOT NULL, sent_at INTEGER NOT NULL, answered_at INTEGER, ray TEXT,
            check_at INTEGER, look_at INTEGER, looks INTEGER NOT NULL DEFAULT 0)",
        &[],
    )?;
    sql.query("CREATE INDEX IF NOT EXISTS sent_member ON sent (member) WHERE check_at IS NOT NULL", &[])?;
    Ok(())
}

/// Notes a write, before it is sent: should the Worker vanish meanwhile, nobody knows whether it will be carried out.
pub(super) fn begin<P: Sql>(sql: &P, write: &Write<'_>) -> Result<i64, SqlError> {
    let after = |secs: Option<&i64>| write.now.plus_secs(secs.copied().unwrap_or_default());
    let value = sql.one(
        "INSERT INTO sent (operation, member, email, planned, read_at, sent_at, check_at, look_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        &[
            write.operation.0.into(),
            write.member.id.to_string().into(),
            write.member.email.as_str().into(),
            encode(write.planned)?.into(),
            write.read_at.unwrap_or(write.now).into(),
            write.now.into(),
            after(CHECKS.first()).into(),
            after(LOOKS.first()).into(),
        ],
    )?;
    value.as_ref().and_then(SqlValue::integer).ok_or_else(corrupt)
}

/// Notes the answer to a write; `may_come_late` where there was none that would exclude it.
pub(super) fn answered<P: Sql>(
    sql: &P,
    id: i64,
    ray: Option<&str>,
    may_come_late: bool,
    now: Timestamp,
) -> Result<(), SqlError> {
    sql.query(
        "UPDATE sent SET answered_at = ?, ray = ?, check_at = CASE WHEN ? THEN check_at END WHERE id = ?",
        &[now.into(), ray.map(str::to_owned).into(), i64::from(may_come_late).into(), id.into()],
    )?;
    Ok(())
}

/// Forgets a write that Cloudflare refused.
pub(super) fn refused<P: Sql>(sql: &P, id: i64) -> Result<(), SqlError> {
    sql.query("DELETE FROM sent WHERE id = ?", &[id.into()])?;
    Ok(())
}

/// Notes that a write was seen to be carried out: then it is not carried out again. Where an earlier one of the same member
/// is open too, it may have been that one which was seen.
pub(super) fn seen<P: Sql>(sql: &P, id: i64, member: MemberId) -> Result<(), SqlError> {
    sql.query(
        "UPDATE sent SET check_at = NULL WHERE id = ?1 AND NOT EXISTS
            (SELECT 1 FROM sent AS other WHERE other.member = ?2 AND other.id <> ?1 AND other.check_at IS NOT NULL)",
        &[id.into(), member.to_string().into()],
    )?;
    Ok(())
}

/// Notes what a member holds now that an operation is done with it.
pub(super) fn settled<P: Sql>(sql: &P, member: MemberId, atoms: &BTreeSet<Atom>) -> Result<(), SqlError> {
    sql.query(
        "UPDATE sent SET expected = ? WHERE member = ? AND check_at IS NOT NULL",
        &[encode(atoms)?.into(), member.to_string().into()],
    )?;
    Ok(())
}

/// The write that came late, where a member holds exactly what that one wrote, and not what it held when an operation was last done
/// with it.
pub(super) fn come_late<P: Sql>(sql: &P, member: MemberId, seen: &BTreeSet<Atom>) -> Result<Option<Sent>, SqlError> {
    let open = read(sql, "member = ? AND check_at IS NOT NULL AND expected IS NOT NULL", &[member.to_string().into()])?;
    Ok(open.into_iter().find(|write| write.planned == *seen && write.expected.as_ref() != Some(seen)))
}

/// The writes whose answer never came and that are to be looked for.
pub(super) fn unanswered<P: Sql>(sql: &P, now: Timestamp, limit: i64) -> Result<Vec<Sent>, SqlError> {
    read(sql, "check_at <= ? ORDER BY check_at LIMIT ?", &[now.into(), limit.into()])
}

impl Sent {
    /// What this write took away, and what it brought back, where it came late.
    pub(super) fn undid(&self) -> (Vec<Atom>, Vec<Atom>) {
        let Some(expected) = &self.expected else { return (Vec::new(), Vec::new()) };
        let lost = expected.difference(&self.planned).copied().collect();
        (lost, self.planned.difference(expected).copied().collect())
    }
}

/// The write as it stands now, where it is still to be looked for.
pub(super) fn still_open<P: Sql>(sql: &P, id: i64) -> Result<Option<Sent>, SqlError> {
    Ok(read(sql, "id = ? AND check_at IS NOT NULL", &[id.into()])?.pop())
}

/// Notes that a write was looked for; it is again at `next`.
pub(super) fn checked<P: Sql>(sql: &P, id: i64, next: Option<Timestamp>) -> Result<(), SqlError> {
    sql.query("UPDATE sent SET check_at = ? WHERE id = ?", &[next.into(), id.into()])?;
    forget(sql)
}

/// The writes that the audit log is to be asked about, the oldest first.
pub(super) fn unlooked<P: Sql>(sql: &P, until: Timestamp, limit: i64) -> Result<Vec<Sent>, SqlError> {
    read(sql, "look_at <= ? ORDER BY read_at LIMIT ?", &[until.into(), limit.into()])
}

/// Notes that the audit log was asked about a write; `looks` times by now, and again at `next`.
pub(super) fn looked<P: Sql>(sql: &P, id: i64, looks: i64, next: Option<Timestamp>) -> Result<(), SqlError> {
    sql.query("UPDATE sent SET look_at = ?, looks = ? WHERE id = ?", &[next.into(), looks.into(), id.into()])?;
    forget(sql)
}

fn forget<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query("DELETE FROM sent WHERE check_at IS NULL AND look_at IS NULL", &[])?;
    Ok(())
}

/// When a write is next looked after: looked for, or asked about.
pub(super) fn next_due<P: Sql>(sql: &P) -> Result<Option<Timestamp>, SqlError> {
    let mut next: Option<Timestamp> = None;
    for column in ["check_at", "look_at"] {
        let value = sql.one(&format!("SELECT MIN({column}) FROM sent WHERE {column} IS NOT NULL"), &[])?;
        let due = value.as_ref().and_then(SqlValue::integer).map(Timestamp::from_millis);
        next = [next, due].into_iter().flatten().min();
    }
    Ok(next)
}

fn read<P: Sql>(sql: &P, condition: &str, params: &[SqlValue]) -> Result<Vec<Sent>, SqlError> {
    let statement = format!(
        "SELECT id, operation, member, email, planned, expected, read_at, sent_at, answered_at, ray, looks FROM sent WHERE {condition}"
    );
    sql.query(&statement, params)?.iter().map(|row| sent(row).ok_or_else(corrupt)).collect()
}

fn sent(row: &[SqlValue]) -> Option<Sent> {
    let [id, operation, member, email, planned, expected, read_at, at, answered_at, ray, looks] = row else {
        return None;
    };
    let time = |value: &SqlValue| value.integer().map(Timestamp::from_millis);
    let expected = match expected.text() {
        Some(text) => Some(serde_json::from_str(text).ok()?),
        None => None,
    };
    Some(Sent {
        id: id.integer()?,
        operation: EntryId(operation.integer()?),
        member: member.text()?.parse().ok()?,
        email: email.text()?.to_owned(),
        planned: serde_json::from_str(planned.text()?).ok()?,
        expected,
        read_at: time(read_at)?,
        at: time(at)?,
        answered_at: time(answered_at),
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
