//! Small facts that outlive a sync's step, each one row of JSON in the Coordinator's SQLite.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::json;
use crate::base::ports::{Sql, SqlError};

/// The cursor of the running sync; there is none between runs.
pub(crate) const CURSOR: &str = "cursor";
/// The ids of the user groups' policies.
pub(super) const GROUP_POLICIES: &str = "group_policies";
/// Whether member records show the policies of user groups.
pub(super) const SHOWS_INHERITED: &str = "shows_inherited";
/// The user groups that give nothing although their list tells them without policies.
pub(super) const SILENT_GROUPS: &str = "silent_groups";
/// Which role is which permission group, and which resource group is the whole account.
pub(super) const NAMES: &str = "names";

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS sync_state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID", &[])
}

/// Reads a value. One that cannot be read, such as one of another version, counts as absent.
pub(crate) fn load<T: DeserializeOwned>(sql: &dyn Sql, name: &str) -> Result<Option<T>, SqlError> {
    Ok(text(sql, name)?.and_then(|text| json::read_str(&text).ok()))
}

fn text(sql: &dyn Sql, name: &str) -> Result<Option<String>, SqlError> {
    sql.text("SELECT value FROM sync_state WHERE name = ?", &[name.into()])
}

/// Writes a value, unless it is there already: rows written cost money.
pub(crate) fn store<T: Serialize>(sql: &dyn Sql, name: &str, value: &T) -> Result<(), SqlError> {
    store_text(sql, name, &serde_json::to_string(value)?)
}

fn store_text(sql: &dyn Sql, name: &str, new: &str) -> Result<(), SqlError> {
    if text(sql, name)?.as_deref() != Some(new) {
        sql.run("INSERT OR REPLACE INTO sync_state (name, value) VALUES (?, ?)", &[name.into(), new.into()])?;
    }
    Ok(())
}

/// Removes a value.
pub(crate) fn remove(sql: &dyn Sql, name: &str) -> Result<(), SqlError> {
    sql.run("DELETE FROM sync_state WHERE name = ?", &[name.into()])
}
