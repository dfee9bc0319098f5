//! Each invitation, from before it is sent until it is certain that it can do no harm any more: one whose answer never came may be carried
//! out late, after its person was removed, or was found not to be there. A membership has no id before, so they go by the address.

use crate::base::json;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::base::tree::BTreeSet;
use crate::cloudflare::MemberRecord;
use crate::model::access::{Atom, atoms};
use crate::model::address;
use crate::model::operation::EntryId;

use super::late::LONGEST_LIFE_SECS;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS open_invitation ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, operation INTEGER NOT NULL, \
            email TEXT NOT NULL, planned TEXT NOT NULL, at INTEGER NOT NULL, followed INTEGER NOT NULL DEFAULT 0)",
        &[],
    )
}

/// Notes an invitation, before it is sent.
pub(super) fn begin(
    sql: &dyn Sql,
    operation: EntryId,
    email: &str,
    planned: &BTreeSet<Atom>,
    now: Timestamp,
) -> Result<i64, SqlError> {
    sql.run("DELETE FROM open_invitation WHERE at <= ?", &[now.plus_secs(-LONGEST_LIFE_SECS).into()])?;
    follow(sql, email, true)?;
    let id = sql.number(
        "INSERT INTO open_invitation (operation, email, planned, at) VALUES (?, ?, ?, ?) RETURNING id",
        &[operation.0.into(), address::folded(email).into(), serde_json::to_string(planned)?.into(), now.into()],
    )?;
    id.ok_or_else(|| SqlError::unreadable("an invitation that was sent"))
}

/// Whether another one was sent since: then who is a member may be so by that one.
fn follow(sql: &dyn Sql, email: &str, followed: bool) -> Result<(), SqlError> {
    sql.run(
        "UPDATE open_invitation SET followed = ? WHERE email = ?",
        &[i64::from(followed).into(), address::folded(email).into()],
    )
}

/// Notes that an invitation was answered: what came of it is known.
pub(super) fn answered(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.run("DELETE FROM open_invitation WHERE id = ?", &[id.into()])
}

/// Notes that an invitation was refused: whoever is a member is so by another one.
pub(super) fn refused(sql: &dyn Sql, id: i64, email: &str) -> Result<(), SqlError> {
    answered(sql, id)?;
    follow(sql, email, false)
}

/// Notes that somebody is a member. Where the only invitation of theirs that is open was to give just what they hold, it was carried out,
/// and is not carried out again; whether that is so.
pub(super) fn shown(sql: &dyn Sql, member: &MemberRecord) -> Result<bool, SqlError> {
    let open = sql.query(
        "SELECT id, planned, followed FROM open_invitation WHERE email = ? AND version = 1",
        &[address::folded(&member.email).into()],
    )?;
    let [only] = open.as_slice() else { return Ok(false) };
    let is_latest = only.get(2).and_then(SqlValue::integer) == Some(0);
    let planned = only.get(1).and_then(SqlValue::text).and_then(|text| json::read_str::<BTreeSet<Atom>>(text).ok());
    let holds = member.own_policies().ok().map(|own| atoms(&own));
    match only.first().and_then(SqlValue::integer) {
        Some(id) if is_latest && planned.is_some() && planned == holds => answered(sql, id).map(|()| true),
        _ => Ok(false),
    }
}

/// Until when an invitation that an operation sent, and that nobody answered, may be carried out.
pub(super) fn sent_for(sql: &dyn Sql, operation: EntryId, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    let at = sql.time(
        "SELECT MAX(at) FROM open_invitation WHERE operation = ? AND at > ?",
        &[operation.0.into(), now.plus_secs(-LONGEST_LIFE_SECS).into()],
    )?;
    Ok(at.map(|at| at.plus_secs(LONGEST_LIFE_SECS)))
}

/// Until when an invitation that nobody answered may make somebody of these addresses a member; anybody, where no address is known. `None`
/// where there is none. What this version cannot read of one counts as if it were anybody's.
pub(super) fn until(sql: &dyn Sql, emails: &[&str], now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    let emails: Vec<String> = emails.iter().map(|email| address::folded(email)).collect();
    let open = sql.query(
        "SELECT id, version, email, at FROM open_invitation WHERE at > ?",
        &[now.plus_secs(-LONGEST_LIFE_SECS).into()],
    )?;
    let mut latest = None;
    let read = rows::readable(sql, "open_invitation", &open, |row| match row {
        [_, version, email, at] if version.integer() == Some(1) => Some((email.text()?.to_owned(), at.integer()?)),
        _ => {
            // It may be of anybody.
            latest = row.last().and_then(SqlValue::integer).max(latest);
            None
        }
    })?;
    let theirs = read.into_iter().filter(|(email, _)| emails.is_empty() || emails.contains(email));
    let latest = theirs.map(|(_, at)| at).max().max(latest);
    Ok(latest.map(|at| Timestamp::from_millis(at).plus_secs(LONGEST_LIFE_SECS)))
}
