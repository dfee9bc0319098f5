//! When what was granted for a time ends. ConductorOne says with a grant how long it is for, and asks for the revoke when that is over; where
//! that does not come, the access stays. The ends are kept here, so that it can be said, and where that is wanted, be done.

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::model::grant::Holding;
use crate::model::operation::EntryId;

/// A grant that was to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// The e-mail address, folded.
    pub email: String,
    /// What was granted.
    #[serde(rename = "entitlement")]
    pub what: Holding,
    /// The operation that granted it.
    pub operation: EntryId,
    /// When it was to end.
    pub ended_at: Timestamp,
}

/// At most this many are told of.
const TOLD: i64 = 100;

/// Creates the table.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::init(sql)?;
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
        &[overdue.email.as_str().into(), overdue.what.to_string().into(), overdue.ended_at.into()],
    )?;
    Ok(())
}

/// When the next grant ends of whose revoke nobody asked.
pub fn next_end(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    let value = sql.one(&format!("SELECT MIN(ends_at) FROM expiry WHERE asked = 0 AND {READABLE}"), &[])?;
    Ok(value.as_ref().and_then(SqlValue::integer).map(Timestamp::from_millis))
}

/// Of this version, and not set aside.
const READABLE: &str = "version = 1 AND NOT EXISTS (
    SELECT 1 FROM set_aside WHERE of_table = 'expiry' AND id = email || ' ' || entitlement)";

fn read(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<Overdue>, SqlError> {
    let statement = format!(
        "SELECT email || ' ' || entitlement, email, entitlement, operation, ends_at FROM expiry WHERE {READABLE} AND {condition}"
    );
    rows::readable(sql, "expiry", &sql.query(&statement, params)?, |row| {
        let [_, email, entitlement, operation, ends_at] = row else { return None };
        Some(Overdue {
            email: email.text()?.to_owned(),
            // What this version cannot read must not be taken for the account itself.
            what: entitlement.text()?.parse().ok()?,
            operation: EntryId(operation.integer()?),
            ended_at: Timestamp::from_millis(ends_at.integer()?),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{asked, init, next_end, overdue, unasked};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock, Sql};
    use crate::model::grant::Holding;

    #[test]
    fn an_end_of_what_cannot_be_read_is_set_aside_and_never_taken_for_the_account() {
        let desk = Desk::new();
        init(&desk).unwrap();
        for (email, entitlement, ends_at) in
            [("joe@example.com", "role:of-a-newer-kind", 1), ("jane@example.com", "account", 2)]
        {
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at) VALUES (?, ?, 7, ?)",
                &[email.into(), entitlement.into(), ends_at.into()],
            )
            .unwrap();
        }
        // The first of them cannot be read, and does not stand before the other for ever.
        assert!(unasked(&desk, desk.now(), 1).unwrap().is_empty());
        let due = unasked(&desk, desk.now(), 1).unwrap();
        assert_eq!(
            due.iter().map(|it| (it.email.as_str(), it.what)).collect::<Vec<_>>(),
            [("jane@example.com", Holding::Account)]
        );
        asked(&desk, &due[0]).unwrap();
        assert_eq!(next_end(&desk).unwrap(), None);
        assert_eq!(overdue(&desk, desk.now()).unwrap(), due);
    }
}
