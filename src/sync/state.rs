//! What a sync remembers of itself, beside what is known of the account (`account::state`), in the same table.

pub(super) use crate::account::state::{CURSOR, load, remove, store};
use crate::base::ports::{Sql, SqlError, SqlValue};

/// The last runs.
pub(super) const RUNS: &str = "runs";
/// The last generations.
pub(super) const GENERATIONS: &str = "generations";
/// Which lists could be read in the last crawl that came to its end.
pub(super) const CAPABILITIES: &str = "capabilities";
/// How the account itself is set, by that crawl.
pub(super) const POSTURE: &str = "posture";
/// The token that the connector calls with.
pub(super) const OWN_TOKEN: &str = "own_token";
/// Which lists of names the scopes of the last published generation make use of.
pub(super) const NAMES_IN_USE: &str = "names_in_use";
/// What the current generation was found unchanged by.
pub(super) const UNCHANGED: &str = "unchanged";

/// Since when syncs are held because of the list of roles, and how many were.
pub(super) const HELD: &str = "held";

/// The lists that the last publication doubted, since they were empty all of a sudden, and since when each is: one a while later believes them.
pub(super) const DOUBTED: &str = "doubted";

/// By whom the tokens of the last generation which had all of them were listed.
pub(super) const LISTED_BY: &str = "listed_by";

/// How many people the last generation had, where the store has lost it.
pub(super) const LOST: &str = "lost";

/// How much room there is for small publications.
pub(super) const ROOM: &str = "room";

/// When a publication between two sweeps was last tried in vain.
pub(super) const TRIED: &str = "refresh_tried";

/// Everything that is known of the account beside the runs themselves, as text: what rows are made of beside pages.
pub(super) fn all_but_runs(sql: &dyn Sql) -> Result<String, SqlError> {
    let of_runs = [CURSOR, RUNS, GENERATIONS, UNCHANGED, HELD, LOST, ROOM, TRIED].map(SqlValue::from);
    let marks = vec!["?"; of_runs.len()].join(", ");
    let statement = format!("SELECT name, value FROM sync_state WHERE name NOT IN ({marks}) ORDER BY name");
    let rows = sql.query(&statement, &of_runs)?;
    Ok(rows.iter().flatten().filter_map(SqlValue::text).collect::<Vec<_>>().join("\n"))
}
