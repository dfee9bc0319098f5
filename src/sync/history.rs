//! What became of runs, and how the sync stands: what `/v1/status` shows.

use crate::base::json::Deserialize;
use crate::base::tree::BTreeMap;

use serde::{Deserializer, Serialize};

use super::crawl::{Crawl, Phase, Progress};
use super::run::Cursor;
use super::{days, staging, state};
use crate::base::json;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::base::words::words;
use crate::snapshot::{
    BY_LOG, Capability, ChangeCounts, Counts, GenerationId, KvUse, Manifest, Posture, RunId, RunOutcome, RunRecord,
};

/// At most this many runs and generations are remembered.
const KEEP: usize = 10;

/// A generation that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationSummary {
    /// Its id.
    pub generation: GenerationId,
    /// The one before.
    pub previous: Option<GenerationId>,
    /// When its sync began.
    pub started_at: Timestamp,
    /// When it was published.
    pub published_at: Timestamp,
    /// How long its sync took.
    pub duration_millis: i64,
    /// How many there are of what.
    pub counts: Counts,
    /// What changed against the one before.
    pub changes: Option<ChangeCounts>,
}

impl GenerationSummary {
    /// Of a generation whose sync took until it was published.
    pub(super) fn of(manifest: &Manifest, changes: Option<ChangeCounts>) -> Self {
        Self {
            generation: manifest.generation.clone(),
            previous: manifest.previous.clone(),
            started_at: manifest.started_at,
            published_at: manifest.finished_at,
            duration_millis: manifest.finished_at.since(manifest.started_at),
            counts: manifest.counts,
            changes,
        }
    }
}

words! {
    /// How the connection stands, in one word.
    pub enum SyncState {
        /// Nothing was published yet, and nothing failed.
        NotConnected = "not_connected",
        /// A sync runs.
        Syncing = "syncing",
        /// The last sync ended well.
        Connected = "connected",
        /// The last sync failed or was held back; its message says what to do.
        Error = "error",
    }
}

/// How the sync stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// In one word.
    pub state: SyncState,
    /// The sync that runs.
    pub running: Option<Running>,
    /// The last runs, the latest first.
    pub runs: Vec<RunRecord>,
    /// The last generations, the current one first.
    pub generations: Vec<GenerationSummary>,
    /// Which lists can be read, and what to do about those that cannot.
    pub capabilities: BTreeMap<String, Capability>,
    /// How the account itself is set.
    #[serde(default)]
    pub posture: Posture,
}

/// What of a [`Running`] is its own, beside its progress.
#[derive(Deserialize)]
struct Beside {
    run: RunId,
    by: String,
    started_at: Timestamp,
    phase: Phase,
    not_before: Option<Timestamp>,
    trouble: Option<String>,
    restarts: u32,
}

impl<'de> Deserialize<'de> for Running {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = json::Text::deserialize(deserializer)?;
        let Beside { run, by, started_at, phase, not_before, trouble, restarts } = text.read()?;
        Ok(Self { run, by, started_at, phase, progress: text.read()?, not_before, trouble, restarts })
    }
}

/// A sync that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Running {
    /// The run.
    pub run: RunId,
    /// Who or what started it.
    pub by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// What it is doing.
    pub phase: Phase,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
    /// It waits until then.
    pub not_before: Option<Timestamp>,
    /// What it has trouble with.
    pub trouble: Option<String>,
    /// How often it had to start over.
    pub restarts: u32,
}

/// How the sync stands.
pub fn status(sql: &dyn Sql) -> Result<SyncStatus, SqlError> {
    let running = match Cursor::load(sql)? {
        None => None,
        Some(cursor) => {
            let crawl = Crawl::resume(staging::facts(sql, &cursor.run)?, cursor.further.clone());
            let mut progress = crawl.progress();
            progress.requests += cursor.failed_requests;
            Some(Running {
                run: cursor.run,
                by: cursor.trigger.by,
                started_at: cursor.started_at,
                phase: crawl.phase(),
                progress,
                not_before: cursor.not_before,
                trouble: cursor.trouble,
                restarts: cursor.restarts,
            })
        }
    };
    let runs = runs(sql)?;
    let generations = generations(sql)?;
    let state = match last_sweep(&runs).map(|run| run.outcome) {
        _ if running.is_some() => SyncState::Syncing,
        Some(RunOutcome::Failed | RunOutcome::Held) => SyncState::Error,
        Some(RunOutcome::Published | RunOutcome::Unchanged) => SyncState::Connected,
        None => SyncState::NotConnected,
    };
    let capabilities = state::load(sql, state::CAPABILITIES)?.unwrap_or_default();
    let posture = state::load(sql, state::POSTURE)?.unwrap_or_default();
    Ok(SyncStatus { state, running, runs, generations, capabilities, posture })
}

/// The last runs, the latest first.
pub fn runs(sql: &dyn Sql) -> Result<Vec<RunRecord>, SqlError> {
    Ok(state::load(sql, state::RUNS)?.unwrap_or_default())
}

/// The last generations, the current one first.
pub(super) fn generations(sql: &dyn Sql) -> Result<Vec<GenerationSummary>, SqlError> {
    Ok(state::load(sql, state::GENERATIONS)?.unwrap_or_default())
}

/// The current generation. Each ring of the alarm asks for it, and for nothing of the others.
pub fn current(sql: &dyn Sql) -> Result<Option<GenerationId>, SqlError> {
    let id = sql.text(
        "SELECT json_extract(value, '$[0].generation') FROM sync_state WHERE name = ? AND json_valid(value)",
        &[state::GENERATIONS.into()],
    )?;
    Ok(id.as_deref().and_then(GenerationId::parse))
}

/// The last run that was to look through the whole account, however it ended.
pub fn last_sweep(runs: &[RunRecord]) -> Option<&RunRecord> {
    runs.iter().find(|run| run.is_sweep())
}

/// The last run that looked through the whole account.
pub fn last_good_sweep(runs: &[RunRecord]) -> Option<&RunRecord> {
    runs.iter().find(|run| run.is_good_sweep())
}

/// When the last sweep began that found the account as a generation has it, but for what was read again since: it ended with that generation
/// or with one before. `None` where none is remembered.
pub fn found_so(runs: &[RunRecord], generation: &GenerationId) -> Option<Timestamp> {
    let ended_with_it = |run: &&RunRecord| run.generation.as_ref().is_some_and(|ended_with| ended_with <= generation);
    runs.iter().filter(|run| run.is_good_sweep()).find(ended_with_it).map(|run| run.started_at)
}

/// The same, of the runs that are remembered.
pub fn found_so_since(sql: &dyn Sql, generation: &GenerationId) -> Result<Option<Timestamp>, SqlError> {
    Ok(found_so(&runs(sql)?, generation))
}

/// Small publications that are remembered beside the runs.
const KEEP_SMALL: usize = 3;

/// Remembers a run.
pub(super) fn remember_run(sql: &dyn Sql, record: RunRecord) -> Result<(), SqlError> {
    let mut runs = runs(sql)?;
    if !runs.iter().any(|known| known.run == record.run) {
        let current = generations(sql)?.into_iter().next();
        days::note(sql, &record, record.is_sweep(), current.as_ref().map(|current| &current.counts))?;
    }
    runs.retain(|known| known.run != record.run);
    runs.insert(0, record);
    // Those of a busy hour must not take the place of the last sweep's.
    let mut small = 0;
    runs.retain(|run| {
        small += usize::from(!run.is_sweep());
        run.is_sweep() || small <= KEEP_SMALL
    });
    // However many fail: what is approved, and what is told of the account's age, goes by the last that did not.
    if let Some(good) = runs.iter().position(RunRecord::is_good_sweep).filter(|place| *place >= KEEP) {
        runs.swap(KEEP - 1, good);
    }
    runs.truncate(KEEP);
    state::store(sql, state::RUNS, &runs)
}

/// Remembers the run of a small publication between two sweeps, or after the `sweep` that runs.
pub(super) fn remember_small_run(
    sql: &dyn Sql,
    sweep: Option<RunId>,
    generation: &GenerationId,
    (started_at, finished_at): (Timestamp, Timestamp),
    used: KvUse,
    (chunks_written, bytes_written): (u64, u64),
    changes: Option<ChangeCounts>,
) -> Result<(), SqlError> {
    // A sync that was asked for in the same second has the next number already.
    let last = sweep.or(runs(sql)?.into_iter().next().map(|run| run.run));
    remember_run(
        sql,
        RunRecord {
            run: RunId::after(last.as_ref(), started_at),
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

/// Remembers a generation.
pub(super) fn remember_generation(sql: &dyn Sql, summary: GenerationSummary) -> Result<(), SqlError> {
    let mut generations = generations(sql)?;
    generations.retain(|known| known.generation != summary.generation);
    generations.insert(0, summary);
    generations.truncate(KEEP);
    state::store(sql, state::GENERATIONS, &generations)
}
