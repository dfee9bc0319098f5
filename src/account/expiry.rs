//! When what was granted for a time ends. ConductorOne says with a grant how long it is for, and asks for the revoke when that is over; where
//! that does not come, the access stays. The ends are kept here, so that it can be said, and where that is wanted, be done.

use serde::{Deserialize, Serialize};

use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::model::operation::EntryId;

/// A grant that was to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// The e-mail address, folded.
    pub email: String,
    /// What was granted.
    pub entitlement: String,
    /// The operation that granted it.
    pub operation: EntryId,
    /// When it was to end.
    pub ended_at: Timestamp,
}

/// At most this many are told of.
const TOLD: i64 = 100;

/// Creates the table.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS expiry (
            email TEXT NOT NULL, entitlement TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, operation INTEGER NOT NULL,
            ends_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (email, entitlement)) WITHOUT ROWID",
        &[],
    )?;
    Ok(())
}

/// Takes note of an operation that was carried out just now: a grant for a time has an end, and one that is made once more another; a
/// grant without a time has none any more, and what is revoked has ended.
pub fn note(sql: &dyn Sql, id: EntryId, now: Timestamp) -> Result<(), SqlError> {
    let rows = sql.query(
        "SELECT json_extract(request, '$.action'), email, entitlement, json_extract(request, '$.origin.duration_secs')
         FROM operation WHERE id = ? AND email IS NOT NULL AND json_extract(outcome, '$.outcome') = 'done'",
        &[id.0.into()],
    )?;
    let Some([action, email, entitlement, secs]) = rows.first().map(Vec::as_slice) else { return Ok(()) };
    let secs = secs.integer().filter(|_| action.text() == Some("grant"));
    match secs {
        Some(secs) => sql.query(
            "INSERT OR REPLACE INTO expiry (email, entitlement, operation, ends_at) VALUES (?, ?, ?, ?)",
            &[email.clone(), entitlement.clone(), id.0.into(), now.plus_secs(secs).into()],
        )?,
        // The account's end is the end of all that was held.
        None => sql.query(
            "DELETE FROM expiry WHERE email = ?1 AND (entitlement = ?2 OR (?2 = 'account' AND ?3 = 'revoke'))",
            &[email.clone(), entitlement.clone(), action.clone()],
        )?,
    };
    Ok(())
}

/// What was to end before a time and was not revoked, the longest overdue first.
pub fn overdue(sql: &dyn Sql, before: Timestamp) -> Result<Vec<Overdue>, SqlError> {
    read(sql, "ends_at <= ? ORDER BY ends_at LIMIT ?", &[before.into(), TOLD.into()])
}

/// The same, of which no revoke of our own was asked for yet.
pub fn unasked(sql: &dyn Sql, before: Timestamp, limit: i64) -> Result<Vec<Overdue>, SqlError> {
    read(sql, "ends_at <= ? AND asked = 0 ORDER BY ends_at LIMIT ?", &[before.into(), limit.into()])
}

/// Notes that a revoke of our own was asked for.
pub fn asked(sql: &dyn Sql, overdue: &Overdue) -> Result<(), SqlError> {
    sql.query(
        "UPDATE expiry SET asked = 1 WHERE email = ? AND entitlement = ? AND ends_at = ?",
        &[overdue.email.as_str().into(), overdue.entitlement.as_str().into(), overdue.ended_at.into()],
    )?;
    Ok(())
}

/// When the next grant ends of whose revoke nobody asked.
pub fn next_end(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    let value = sql.one("SELECT MIN(ends_at) FROM expiry WHERE asked = 0 AND version = 1", &[])?;
    Ok(value.as_ref().and_then(SqlValue::integer).map(Timestamp::from_millis))
}

fn read(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<Overdue>, SqlError> {
    let statement =
        format!("SELECT email, entitlement, operation, ends_at FROM expiry WHERE version = 1 AND {condition}");
    let read = |row: &Vec<SqlValue>| {
        let [email, entitlement, operation, ends_at] = row.as_slice() else { return None };
        Some(Overdue {
            email: email.text()?.to_owned(),
            entitlement: entitlement.text()?.to_owned(),
            operation: EntryId(operation.integer()?),
            ended_at: Timestamp::from_millis(ends_at.integer()?),
        })
    };
    Ok(sql.query(&statement, params)?.iter().filter_map(read).collect())
}
