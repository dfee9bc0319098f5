//! What went on beside an operation and a person should know of: a write of somebody else's that ours may have replaced, and a
//! write of ours that was carried out late and undone again.

use serde::{Deserialize, Serialize};

use super::journal::EntryId;
use crate::ports::{Sql, SqlError, SqlValue};
use crate::time::Timestamp;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody else wrote the member between our read and our write: what they changed may be lost.
    MayHaveBeenOverwritten,
    /// A write of ours whose answer was lost was carried out after a later one, and was put right.
    LateWriteUndone,
    /// The same, and it could not be put right.
    LateWriteStands,
}

/// Something that went on beside an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The operation.
    pub operation: EntryId,
    /// What happened.
    pub kind: Kind,
    /// The membership.
    pub member: String,
    /// A sentence that says what to do.
    pub message: String,
    /// Who did it, as far as the audit log tells.
    pub actor: Option<String>,
    /// The ray id of their request.
    pub ray: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS incident (
            id INTEGER PRIMARY KEY AUTOINCREMENT, operation INTEGER NOT NULL, at INTEGER NOT NULL, name TEXT NOT NULL,
            body TEXT NOT NULL, UNIQUE (operation, name))",
        &[],
    )?;
    Ok(())
}

/// Notes an incident; one that is known by its name already is not noted again. Whether it is new.
pub(super) fn report<P: Sql>(sql: &P, name: &str, incident: &Incident) -> Result<bool, SqlError> {
    let body = serde_json::to_string(incident).map_err(|error| SqlError(error.to_string()))?;
    let noted = sql.query(
        "INSERT OR IGNORE INTO incident (operation, at, name, body) VALUES (?, ?, ?, ?) RETURNING id",
        &[incident.operation.0.into(), incident.at.into(), name.into(), body.into()],
    )?;
    Ok(!noted.is_empty())
}

/// The latest incidents, the newest first.
pub fn latest<P: Sql>(sql: &P, limit: i64) -> Result<Vec<Incident>, SqlError> {
    Ok(read(&sql.query("SELECT body FROM incident ORDER BY id DESC LIMIT ?", &[limit.into()])?))
}

/// The incidents of the operations in a range of numbers.
pub fn between<P: Sql>(sql: &P, first: EntryId, last: EntryId) -> Result<Vec<Incident>, SqlError> {
    let statement = "SELECT body FROM incident WHERE operation BETWEEN ? AND ? ORDER BY id";
    Ok(read(&sql.query(statement, &[first.0.into(), last.0.into()])?))
}

/// Forgets incidents as old as the operations that are forgotten.
pub(super) fn purge<P: Sql>(sql: &P, before: Timestamp) -> Result<(), SqlError> {
    sql.query("DELETE FROM incident WHERE at < ?", &[before.into()])?;
    Ok(())
}

fn read(rows: &[Vec<SqlValue>]) -> Vec<Incident> {
    rows.iter().filter_map(|row| serde_json::from_str(row.first()?.text()?).ok()).collect()
}
