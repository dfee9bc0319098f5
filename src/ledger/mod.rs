//! The ledger: the life of each grant, from one published generation to the next. `record.rs` writes it at publication from the
//! difference, `past.rs` answers who had what when.
//!
//! The first generation costs one row, a mark: what was held then is held since before the ledger. As of a time is what is held now with
//! what happened since undone, so no old generation is needed for it.
//!
//! **Invariants:** a generation is recorded once, in the same transaction as it is remembered; where a difference could not be found out
//! there is a mark that says so, and nothing that was recorded is lost.

pub mod past;
pub mod record;

use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;

/// At most this many changes are kept, some 100 MB. Of older ones the ledger says that it begins later.
const MOST_ROWS: i64 = 500_000;

/// What a cause begins with that is told so far, and may become another.
const SO_FAR: char = '?';

/// Of which changes the cause is not settled: it is an empty text, or begins with [`SO_FAR`], which is right before `@`.
const UNSETTLED: &str = "cause < '@'";

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS ledger ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, at INTEGER NOT NULL, \
            generation TEXT NOT NULL, gained INTEGER NOT NULL, principal TEXT NOT NULL, member TEXT, name TEXT NOT NULL, \
            entitlement TEXT NOT NULL, cause TEXT NOT NULL DEFAULT '', happened_at INTEGER, by TEXT)",
        &[],
    )?;
    sql.run("CREATE INDEX IF NOT EXISTS ledger_principal ON ledger (principal, entitlement)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS ledger_entitlement ON ledger (entitlement, id)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS ledger_name ON ledger (name, id)", &[])?;
    // An earlier version had those alone of which nothing is known.
    sql.run("DROP INDEX IF EXISTS ledger_unexplained", &[])?;
    sql.run(&format!("CREATE INDEX IF NOT EXISTS ledger_unsettled ON ledger (id) WHERE {UNSETTLED}"), &[])?;
    // Who came to have another address or name: by the old one that one is found, too.
    sql.run(
        "CREATE TABLE IF NOT EXISTS former_name ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, at INTEGER NOT NULL, \
            generation TEXT NOT NULL, principal TEXT NOT NULL, former TEXT NOT NULL, name TEXT NOT NULL)",
        &[],
    )?;
    for column in ["principal", "former", "name"] {
        sql.run(&format!("CREATE INDEX IF NOT EXISTS former_name_{column} ON former_name ({column}, id)"), &[])?;
    }
    sql.run(
        "CREATE TABLE IF NOT EXISTS ledger_mark ( \
            generation TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, at INTEGER NOT NULL, kind TEXT NOT NULL) \
         WITHOUT ROWID",
        &[],
    )
}

/// Forgets what lies back further than that, and what is beyond the bound. What evidence tells that was given out stays as long as that is
/// told, from `told_since` on; everything else takes it for forgotten.
pub fn purge(sql: &dyn Sql, oldest: Timestamp, told_since: Option<Timestamp>) -> Result<(), SqlError> {
    // By the number, which has gaps at most: an offset would count all of the rows.
    let beyond = sql.time(
        "SELECT at FROM ledger WHERE id <= (SELECT MAX(id) FROM ledger) - ? ORDER BY id DESC LIMIT 1",
        &[MOST_ROWS.into()],
    )?;
    let oldest = oldest.max(beyond.map_or(oldest, |at| at.plus_millis(1)));
    let kept_from = told_since.map_or(oldest, |since| since.min(oldest));
    let is_any = sql.has(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM ledger_mark WHERE at < ?1 AND kind <> 'horizon') \
            OR (SELECT at FROM ledger ORDER BY id LIMIT 1) < ?2",
        &[oldest.into(), kept_from.into()],
    )?;
    if !is_any {
        return Ok(());
    }
    // Who had another address before is not forgotten: a revoke may come by that one, as long as they are there.
    sql.query("DELETE FROM ledger WHERE at < ?", &[kept_from.into()])?;
    // The newest generation's mark stays, however old it is: the next difference begins there.
    sql.query(
        "DELETE FROM ledger_mark WHERE at < ? AND generation <> (SELECT MAX(generation) FROM ledger_mark WHERE version = 1)",
        &[oldest.into()],
    )?;
    sql.run("INSERT OR REPLACE INTO ledger_mark (generation, at, kind) VALUES ('', ?, 'horizon')", &[oldest.into()])
}
