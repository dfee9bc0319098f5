//! What happened to a member beside what was asked for: somebody else's write that ours may have replaced, a write of ours
//! that came late, removals that wait, and what C1 does not wait for any more. Shown with the operation it is about, and the latest ones in the status.

use serde::Serialize;

use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::model::operation::EntryId;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// Somebody else wrote between our read and our write, or before a read that was behind, and may have been overwritten.
    ForeignWrite,
    /// A write of ours was carried out late, over a later change.
    LateWrite,
    /// Revokes or removals wait, since as many as are allowed were carried out within the hour.
    RemovalCap,
    /// Something was changed for C1, which does not wait for it any more.
    CallbackGivenUp,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What kind.
    pub kind: IncidentKind,
    /// When it happened, or was found.
    pub at: Timestamp,
    /// The operation whose write it is about.
    pub operation: EntryId,
    /// The membership.
    pub member: String,
    /// The e-mail address of the member.
    pub email: String,
    /// A sentence that says what happened, and what to do.
    pub message: String,
    /// Who did it, where somebody else did: an e-mail address, or the id of a token, user or account.
    pub actor: Option<String>,
    /// Through what they did it: the dashboard, a token by its name, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The ray id of their request, or the id of the audit log's entry.
    pub reference: Option<String>,
}

/// How many the status shows of what C1 does not wait for any more, and how many of all else: a batch that was cancelled there hides nothing.
const SHOWN: i64 = 20;

/// How many are kept.
const KEPT: i64 = 1_000;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS incident ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, operation INTEGER NOT NULL, \
            source TEXT NOT NULL, incident TEXT NOT NULL, UNIQUE (operation, source))",
        &[],
    )
}

/// Notes an incident, once for a source.
pub(super) fn note(sql: &dyn Sql, source: &str, incident: &Incident) -> Result<bool, SqlError> {
    let body = serde_json::to_string(incident)?;
    let is_new = sql.has(
        "INSERT INTO incident (operation, source, incident) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
        &[incident.operation.0.into(), source.into(), body.into()],
    )?;
    sql.run("DELETE FROM incident WHERE id <= (SELECT MAX(id) FROM incident) - ?", &[KEPT.into()])?;
    Ok(is_new)
}

/// Notes an incident that may come of many operations, once for all of them within a time.
pub(super) fn note_once(sql: &dyn Sql, source: &str, within_secs: i64, incident: &Incident) -> Result<(), SqlError> {
    let last = read(sql, "WHERE source LIKE ? ORDER BY id DESC LIMIT 1", &[format!("{source}/%").into()])?;
    let is_told = |last: &Incident| (0..within_secs * 1_000).contains(&incident.at.since(last.at));
    if !last.iter().any(is_told) {
        note(sql, &format!("{source}/{}", incident.at.millis()), incident)?;
    }
    Ok(())
}

/// The latest incidents of a kind that are not older than this, the newest first.
pub fn since(sql: &dyn Sql, kind: IncidentKind, oldest: Timestamp) -> Result<Vec<Incident>, SqlError> {
    Ok(latest(sql)?.into_iter().filter(|incident| incident.kind == kind && incident.at >= oldest).collect())
}

/// The latest incidents, the newest first.
pub fn latest(sql: &dyn Sql) -> Result<Vec<Incident>, SqlError> {
    read(
        sql,
        "WHERE id IN (SELECT id FROM incident WHERE source = 'callback' ORDER BY id DESC LIMIT ?1) \
         OR id IN (SELECT id FROM incident WHERE source <> 'callback' ORDER BY id DESC LIMIT ?1) ORDER BY id DESC",
        &[SHOWN.into()],
    )
}

/// The incidents of an operation, the oldest first.
pub(super) fn of(sql: &dyn Sql, operation: EntryId) -> Result<Vec<Incident>, SqlError> {
    read(sql, "WHERE operation = ? ORDER BY id", &[operation.0.into()])
}

fn read(sql: &dyn Sql, which: &str, params: &[SqlValue]) -> Result<Vec<Incident>, SqlError> {
    let rows = sql.query(&format!("SELECT id, CASE version WHEN 1 THEN incident END FROM incident {which}"), params)?;
    rows::readable(sql, "incident", &rows, |row| json::read_str(row.get(1)?.text()?).ok())
}
