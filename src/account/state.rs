//! Small facts that outlive a sync's step, each one row of JSON in the Coordinator's SQLite.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::json;
use crate::base::ports::{Sql, SqlError, SqlValue};

/// The cursor of the running sync; there is none between runs.
pub(crate) const CURSOR: &str = "cursor";
/// The ids of the user groups' policies.
pub(super) const GROUP_POLICIES: &str = "group_policies";
/// Whether member records show the policies of user groups.
pub(super) const SHOWS_INHERITED: &str = "shows_inherited";
/// Which role is which permission group, and which resource group is the whole account.
pub(super) const NAMES: &str = "names";

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.query("CREATE TABLE IF NOT EXISTS sync_state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID", &[])?;
    Ok(())
}

/// Reads a value. One that cannot be read, such as one of another version, counts as absent.
pub(crate) fn load<T: DeserializeOwned>(sql: &dyn Sql, name: &str) -> Result<Option<T>, SqlError> {
    let value = sql.one("SELECT value FROM sync_state WHERE name = ?", &[name.into()])?;
    let text = value.as_ref().and_then(SqlValue::text);
    Ok(text.and_then(|text| json::read(text.as_bytes()).ok()))
}

/// Writes a value, unless it is there already: rows written cost money.
pub(crate) fn store<T: Serialize>(sql: &dyn Sql, name: &str, value: &T) -> Result<(), SqlError> {
    let text = serde_json::to_string(value)?;
    let known =
        sql.query("SELECT 1 FROM sync_state WHERE name = ? AND value = ?", &[name.into(), text.as_str().into()])?;
    if known.is_empty() {
        sql.query("INSERT OR REPLACE INTO sync_state (name, value) VALUES (?, ?)", &[name.into(), text.into()])?;
    }
    Ok(())
}

/// Removes a value.
pub(crate) fn remove(sql: &dyn Sql, name: &str) -> Result<(), SqlError> {
    sql.query("DELETE FROM sync_state WHERE name = ?", &[name.into()])?;
    Ok(())
}
