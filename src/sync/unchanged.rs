//! Whether a crawl brought what an earlier one brought, of which it is known that nothing changed by it: then no row is made or compared
//! again, and a page is read again only where user groups give something, for the member whose own record is looked at. What a publication is made of is hashed, and the hash kept beside the generation once the rows have been made and
//! compared: that they would be the same again follows from their being made of the same, by the same build.
//!
//! **Invariant:** the generation itself is looked at all the same: a chunk that KV has lost is no less lost for being unchanged.

use std::fmt::Write as _;

use serde::Serialize;

use super::crawl::Crawl;
use super::metered::MeteredPorts;
use super::run::Cursor;
use super::{history, state};
use crate::account::overlay::Changes;
use crate::audit::signs;
use crate::base::hash::sha256_hex;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::cloudflare::Settings;
use crate::snapshot::{self, GenerationId, Manifest};

/// The build that made the rows: another may make others of the same. `scripts/build.sh` sets it; without one, as in tests, all are one.
pub(super) const BUILD: &str = match option_env!("CONNECTOR_BUILD") {
    Some(build) => build,
    None => "",
};

/// A generation, and the hash of what it was found unchanged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    generation: GenerationId,
    made_of: String,
    /// What was to be said of the rows then.
    #[serde(default)]
    warnings: Vec<String>,
}

/// The hash of everything that the rows are made of, beside the generation before; `None` where time or a person has a part in it.
pub(super) fn made_of(
    sql: &dyn Sql,
    settings: &Settings,
    crawl: &Crawl,
    cursor: &Cursor,
    changes: &Changes,
) -> Result<Option<String>, SqlError> {
    if cursor.trigger.accept_removals || !changes.members.is_empty() {
        return Ok(None);
    }
    // What is known of logins and changes is the same for a whole day.
    let (known, signs) = (state::all_but_runs(sql)?, signs::shown_by(sql, cursor.started_at)?);
    let mut told = format!("{BUILD}\n{}\n{:?}\n{known}\n{signs:?}\n", settings.account_id, cursor.further);
    for (page, facts) in crawl.all_pages() {
        // A page that an earlier version staged tells no hash of its rows.
        if facts.rows.is_empty() {
            return Ok(None);
        }
        // Writing to a String does not fail.
        let _ = writeln!(
            told,
            "{} {} {} {} {:?} {:?} {:?} {:?} {:?}",
            page.list,
            page.page,
            facts.rows,
            facts.count,
            facts.total_count,
            facts.total_pages,
            facts.unclear,
            facts.odd,
            facts.off
        );
    }
    Ok(Some(sha256_hex(told.as_bytes())))
}

/// The current generation, where it is known to be unchanged by what this hash is of, and all of it is there; and what is to be said of it.
pub(super) async fn published<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    made_of: &str,
) -> Result<Option<(Manifest, Vec<String>)>, SqlError> {
    let known = state::load::<Known>(kv, state::UNCHANGED)?.filter(|known| known.made_of == made_of);
    let newest = history::generations(kv)?.into_iter().next().map(|newest| newest.generation);
    let last = snapshot::last_published(kv)?;
    let is_newest = |known: &Known| [&newest, &last].iter().all(|newest| newest.as_ref() == Some(&known.generation));
    let Some(known) = known.filter(is_newest) else { return Ok(None) };
    // Whatever is wrong with it, the long way finds it too, and says what to do.
    let Ok(Some(current)) = snapshot::latest(kv).await else { return Ok(None) };
    if current.manifest().generation != known.generation || current.is_whole(kv).await.is_err() {
        return Ok(None);
    }
    Ok(Some((current.manifest().clone(), known.warnings)))
}

/// Notes that a generation was found unchanged by what this hash is of.
pub(super) fn note(
    sql: &dyn Sql,
    generation: GenerationId,
    made_of: String,
    warnings: Vec<String>,
) -> Result<(), SqlError> {
    state::store(sql, state::UNCHANGED, &Known { generation, made_of, warnings })
}
