//! What stands at the root of the key-value namespace from before each account and Worker had a space of its own: it is read until
//! a day after this account has enough generations of its own, and then deleted.

use super::keys::{CURRENT, Pointer, Values, chunk_key, manifest_key};
use super::manifest::GenerationId;
use super::read::{SnapshotError, manifest};
use crate::base::json;
use crate::base::ports::{KeyValue, KvError, Sql, SqlError, SqlValue};
use crate::model::id::AccountId;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS legacy_value (key TEXT PRIMARY KEY) WITHOUT ROWID", &[])
}

/// Takes everything that was published until now for something at the root. A step of the database's: see `coordinator::schema`.
pub(crate) fn leave_at_the_root(sql: &dyn Sql) -> Result<(), SqlError> {
    init(sql)?;
    for (table, of, prefix) in [("generation", "id", manifest_key("")), ("stored_chunk", "hash", chunk_key(""))] {
        sql.run(&format!("INSERT OR IGNORE INTO legacy_value (key) SELECT ? || {of} FROM {table}"), &[prefix.into()])?;
        sql.run(&format!("DELETE FROM {table}"), &[])?;
    }
    Ok(())
}

/// The account whose generation it is; `None` where it cannot be found.
pub(crate) async fn account_of(kv: &dyn Values, id: &GenerationId) -> Result<Option<AccountId>, SnapshotError> {
    Ok(manifest(kv, id).await?.map(|manifest| manifest.account_id))
}

/// Deletes values of this account's at the root. Returns how many went; the rest goes with the next sweep.
pub(super) async fn sweep<P: KeyValue + Sql, E: From<KvError> + From<SqlError>>(
    ports: &P,
    limit: usize,
) -> Result<u64, E> {
    let rows = ports.query("SELECT key FROM legacy_value ORDER BY key DESC", &[])?;
    let keys: Vec<&str> = rows.iter().filter_map(|row| row.first().and_then(SqlValue::text)).collect();
    if keys.is_empty() {
        return Ok(0);
    }
    // The pointer first, and the manifests before the chunks: nobody is led to what is gone. Another account's pointer stays.
    let pointer = ports.get(CURRENT).await?;
    let pointer = pointer.and_then(|value| json::read::<Pointer>(&value).ok());
    let mut deleted = 0;
    if pointer.is_some_and(|pointer| keys.contains(&manifest_key(&pointer.generation).as_str())) {
        ports.delete(CURRENT).await?;
        deleted += 1;
    }
    for key in keys.into_iter().take(limit) {
        ports.delete(key).await?;
        ports.query("DELETE FROM legacy_value WHERE key = ?", &[key.into()])?;
        deleted += 1;
    }
    Ok(deleted)
}
