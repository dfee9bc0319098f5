//! A small publication between two sweeps: what our own operations and what was read again of members, user groups and tokens that the
//! audit log named, put into a generation of its own, so that signals and files have it within a minute. Readers of `/v1` have what is of a
//! member before, from the overlay.
//!
//! **Invariants:** nothing is taken in that a crawl under way may not have seen; a mass disappearance, and whatever the current generation
//! has no name for, is left to the sweep.

use serde::Serialize;

use super::history::{self, GenerationSummary};
use super::metered::MeteredPorts;
use super::run::{BY_LOG, Cursor};
use super::state;
use crate::account::overlay;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::Timestamp;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::ledger::record;
use crate::model::grant::{Entitlement, Principal};
use crate::model::resource::Row;
use crate::snapshot::{self, ChangeCounts, KvUse, RunId, RunOutcome, RunRecord, Snapshot};

/// More members than these who are gone at once are looked at by a sweep, which may hold them back.
const MOST_GONE: usize = 10;

/// More changed rows than these are a sweep's.
const MOST_ROWS: usize = 200;

/// Publications come at most this often.
const APART_SECS: i64 = 20;

/// On the Free plan, with 1,000 writes to KV a day, of which a publication takes four or five: this many at once, and one more
/// each time that these seconds have passed, which are 180 a day.
const FREE_AT_ONCE: i64 = 12;
const FREE_EVERY_SECS: i64 = 8 * 60;

/// How much room there is for publications.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Room {
    last: Timestamp,
    /// Seconds saved up.
    saved: i64,
}

/// When there may be something to publish; `None` where nothing waits.
pub fn next_due<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<Option<Timestamp>, SqlError> {
    let Some(oldest) = overlay::oldest_open(ports)? else { return Ok(None) };
    if history::generations(ports)?.is_empty() || Cursor::load(ports)?.is_some() {
        return Ok(None);
    }
    let ripe = oldest.plus_secs(overlay::LAG_SECS);
    let tried = state::load::<Timestamp>(ports, state::TRIED)?;
    let ripe = tried.map_or(ripe, |tried| ripe.max(tried.plus_secs(APART_SECS)));
    Ok(Some(room_from(ports, plan)?.map_or(ripe, |from| ripe.max(from))))
}

/// From when on there is room for a publication; `None` where there always was.
fn room_from<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<Option<Timestamp>, SqlError> {
    let wait = |room: Room| match plan {
        Plan::Paid => APART_SECS,
        Plan::Free => APART_SECS.max(FREE_EVERY_SECS - room.saved),
    };
    Ok(state::load::<Room>(ports, state::ROOM)?.map(|room| room.last.plus_secs(wait(room))))
}

/// Whether rows may be published now, beside what waits by itself.
pub fn has_room<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    let is_idle = Cursor::load(ports)?.is_none() && !history::generations(ports)?.is_empty();
    Ok(is_idle && is_free(ports, plan)?)
}

/// Whether there is room now, whatever is under way.
fn is_free<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    Ok(room_from(ports, plan)?.is_none_or(|from| from <= ports.now()))
}

/// Notes that a publication takes its room; gives what there was before.
fn take_room<P: Sql + Clock>(ports: &P) -> Result<Option<Room>, SqlError> {
    let (now, before) = (ports.now(), state::load::<Room>(ports, state::ROOM)?);
    state::store(ports, state::ROOM, &Room { last: now, saved: (saved(before, now) - FREE_EVERY_SECS).max(0) })?;
    Ok(before)
}

/// Gives the room back that nothing was written for. The next try is [`APART_SECS`] away all the same: what calls for a sweep calls for it
/// until that comes, and would be tried without end.
fn give_back<P: Sql + Clock>(ports: &P, before: Option<Room>) -> Result<(), SqlError> {
    state::store(ports, state::TRIED, &ports.now())?;
    match before {
        Some(room) => state::store(ports, state::ROOM, &room),
        None => state::remove(ports, state::ROOM),
    }
}

/// The seconds that are saved up by now.
fn saved(before: Option<Room>, now: Timestamp) -> i64 {
    const MOST: i64 = FREE_AT_ONCE * FREE_EVERY_SECS;
    before.map_or(MOST, |room| (room.saved + now.since(room.last) / 1_000).clamp(0, MOST))
}

/// Takes the room for what a sweep publishes that the audit log calls for; whether there is any.
pub fn take_for_sweep<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    let is_free = is_free(ports, plan)?;
    if is_free {
        take_room(ports)?;
    }
    Ok(is_free)
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was to be published is.
    Published,
    /// Not now.
    NotNow,
    /// A sweep is called for instead.
    Sweep,
}

/// Publishes what is ripe, and these rows in the place of those with the same keys.
pub async fn publish<P: KeyValue + Sql + Clock>(
    ports: &P,
    plan: Plan,
    more: BTreeMap<String, Option<Row>>,
) -> Result<Outcome, SqlError> {
    let now = ports.now();
    let is_due =
        if more.is_empty() { next_due(ports, plan)?.is_some_and(|at| at <= now) } else { has_room(ports, plan)? };
    if !is_due {
        return Ok(Outcome::NotNow);
    }
    let seq = overlay::ripe(ports, now.plus_secs(-overlay::LAG_SECS))?;
    if seq.is_none() && more.is_empty() {
        return Ok(Outcome::NotNow);
    }
    // Noted first: what fails is not tried again at once.
    let room = take_room(ports)?;
    let Some((mut rows, gone)) = overlay::rows_of(ports, seq.unwrap_or_default())? else {
        give_back(ports, room)?;
        return Ok(Outcome::Sweep);
    };
    rows.extend(more);
    let Some(newest) = history::generations(ports)?.into_iter().next() else { return Ok(Outcome::NotNow) };
    let kv = MeteredPorts::new(ports);
    let Ok(snapshot) = Snapshot::open(&kv, &newest.generation).await else { return Ok(Outcome::NotNow) };
    let old = snapshot.manifest();
    let listed: BTreeSet<Entitlement> = old.listed().flatten().collect();
    let is_known = |it: Entitlement| {
        listed.contains(&it)
            || matches!(it, Entitlement::Group(id) if rows.contains_key(&Principal::Group(id).to_string()))
    };
    let grants = rows.values().flatten().flat_map(|row| old.grants_of(row));
    let all_known = grants.into_iter().all(|(entitlement, _)| is_known(entitlement));
    // A generation's id is made of a second.
    if gone > MOST_GONE || rows.len() > MOST_ROWS || !all_known || now.secs() <= old.started_at.secs() {
        give_back(ports, room)?;
        return Ok(Outcome::Sweep);
    }
    let Ok(published) = snapshot::amend(&kv, old, rows, now).await else { return Ok(Outcome::NotNow) };
    let manifest = published.manifest;
    let chapters = record::read(&kv, &manifest).await?;
    let changes = if published.changed { super::finish::count_changes(&kv, old, &manifest).await } else { None };
    // From here on nothing is awaited. A crawl that began meanwhile may have read what was before: it takes the changes in by itself.
    if let (Some(seq), None) = (seq, Cursor::load(ports)?) {
        overlay::taken_in(ports, seq, &manifest.generation)?;
    }
    record::write(ports, &chapters)?;
    if !published.changed {
        give_back(ports, room)?;
        return Ok(Outcome::Published);
    }
    let ended = ports.now();
    history::remember_generation(
        ports,
        GenerationSummary {
            generation: manifest.generation.clone(),
            previous: manifest.previous.clone(),
            started_at: now,
            published_at: manifest.finished_at,
            duration_millis: ended.since(now),
            counts: manifest.counts,
            changes,
        },
    )?;
    remember(
        ports,
        &manifest.generation,
        (now, ended),
        &kv,
        (published.chunks_written, published.bytes_written),
        changes,
    )?;
    let _ = snapshot::sweep(&kv, &manifest.generation).await;
    Ok(Outcome::Published)
}

fn remember<P: KeyValue + Sql + Clock>(
    ports: &P,
    generation: &snapshot::GenerationId,
    (started_at, finished_at): (Timestamp, Timestamp),
    kv: &MeteredPorts<'_, P>,
    (chunks_written, bytes_written): (u64, u64),
    changes: Option<ChangeCounts>,
) -> Result<(), SqlError> {
    let runs = history::runs(ports)?;
    let used: KvUse = kv.take();
    history::remember_run(
        ports,
        RunRecord {
            run: RunId::after(runs.first().map(|run| &run.run), started_at),
            by: BY_LOG.to_owned(),
            started_at,
            finished_at,
            outcome: RunOutcome::Published,
            message: format!("published generation {generation} with what changed since the last sync"),
            duration_millis: finished_at.since(started_at),
            requests: 0,
            kv: used,
            chunks_written,
            bytes_written,
            generation: Some(generation.clone()),
            changes,
            warnings: Vec::new(),
            not_before: None,
        },
    )
}
