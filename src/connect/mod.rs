//! Points C1's entitlements of the Cloudflare app at this Worker's webhook, and back: by one command, and again when C1 learns
//! of new ones.
//!
//! A run is a row on disk with the phase it is in; each unit of work is one change at most, and what it was about to do is noted
//! before. So it may be cut off anywhere, and goes on from there.
//!
//! **Invariants:** nothing is pointed at this Worker before a test event of C1's has arrived here; what was there before is on disk
//! before a change is sent; what people set up on purpose stays unless they say otherwise; what they changed after an earlier run is
//! pointed here again by none that begins by itself; one run at a time.

mod apply;
mod catalogue;
mod entitlements;
mod find;
mod journal;
mod plan;
mod report;
mod run;
mod steps;
mod undo;
mod webhook;

pub use journal::{arrived, came_by, connected_apps, running, undo_asked};
pub use report::{Report, RunSummary, Summary, report, summary};
pub use run::{AUTO_WIRE, Counts, Line, Mode, NamedApp, Options, Ports, Run, RunState, What};

use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::{Timestamp, doubled};
use crate::base::tree::BTreeMap;
use crate::base::words::capitalised;
use crate::conductorone::Settings;
use crate::conductorone::api::{ApiError, Client, Tokens};
use crate::snapshot::{Catalogue, Snapshot, SnapshotError};
use catalogue::Offers;
use run::Phase;
use steps::Trouble;

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    journal::init(sql)?;
    entitlements::init(sql)
}

/// Begins a run; `None` where one is running.
pub fn begin<P: Clock + Sql>(ports: &P, options: Options, by: &str) -> Result<Option<i64>, SqlError> {
    if running(ports)?.is_some() {
        return Ok(None);
    }
    let mode = options.mode();
    if mode != Mode::DryRun {
        journal::connect(ports, &mut |connection| connection.undo_asked = mode == Mode::Undo)?;
    }
    let mut run = run::new_run(options, by, ports.now());
    journal::begin(ports, &mut run)?;
    Ok(Some(run.id))
}

/// Ends the run that is running, where `AUTO_WIRE` began it: for when that is off by now.
pub fn end_auto_wire<P: Clock + Sql>(ports: &P) -> Result<(), SqlError> {
    let Some(mut run) = running(ports)?.filter(|run| run.by == AUTO_WIRE) else { return Ok(()) };
    fail(&mut run, "AUTO_WIRE is off by now; what was changed stays.".to_owned(), ports.now());
    journal::store(ports, &run)
}

/// When the run that is running goes on.
pub fn next_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    Ok(running(sql)?.map(|run| run.due_at))
}

/// The entitlements of a generation that the last run that connected neither found to lead here, nor pointed here, nor left alone on
/// purpose; but for those that were given up.
pub async fn missing<P: KeyValue + Sql>(ports: &P, generation: &str) -> Result<Vec<String>, MissingError> {
    let snapshot = Snapshot::named(ports, generation).await?;
    let wanted = Catalogue::load(ports, &snapshot).await?;
    let settled = entitlements::settled(ports)?;
    Ok(wanted.iter().map(|it| it.entitlement.to_string()).filter(|id| !settled.contains(id)).collect())
}

/// Why it is not known what is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingError {
    /// The generation cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The Coordinator's storage failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// Which of those that are missing C1 was waited for this long, each since it was first missed, whatever was published meanwhile.
pub fn missed_for(sql: &dyn Sql, missing: &[String], secs: i64, now: Timestamp) -> Result<Vec<String>, SqlError> {
    let before = journal::missed(sql)?;
    let since: BTreeMap<String, Timestamp> =
        missing.iter().map(|own| (own.clone(), before.get(own).copied().unwrap_or(now))).collect();
    if since != before {
        journal::note_missed(sql, &since)?;
    }
    Ok(since.into_iter().filter(|(_, at)| now.since(*at) >= secs * 1_000).map(|(own, _)| own).collect())
}

/// Gives up waiting for C1 to learn of these.
pub fn give_up(sql: &dyn Sql, missing: &[String]) -> Result<(), SqlError> {
    missing.iter().try_for_each(|own| entitlements::give_up(sql, own))
}

/// How much of a run one invocation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// Units of work, each of three requests at most.
    pub units: u32,
    /// Until when; also waits end then.
    pub until: Timestamp,
}

impl Within {
    /// What the plan allows in the time that is left (`reference/cloudflare.md` 4): 50 outgoing requests on the Free plan, of which
    /// some go to KV and to a new token.
    pub const fn of(plan: Plan, until: Timestamp) -> Self {
        let units = match plan {
            Plan::Free => 12,
            Plan::Paid => 1_000,
        };
        Self { units, until }
    }
}

/// A wait within an invocation is this long at most, so that an arrival is soon seen.
const NAP_MILLIS: i64 = 300;

/// A run that takes longer than this goes round in circles: C1's lists do not end, or no work comes through. 50,000 entitlements take two hours.
const LONGEST_RUN_MILLIS: i64 = 6 * 60 * 60 * 1_000;

/// Carries the running run on. What is left of it is due at [`next_due`].
pub async fn drive<P: Ports>(ports: &P, settings: &Settings, tokens: &Tokens, within: Within) -> Result<(), SqlError> {
    let mut offers = Offers::default();
    for _ in 0..within.units {
        let Some(mut run) = running(ports)? else { return Ok(()) };
        while run.due_at > ports.now() {
            if ports.now() >= within.until {
                return Ok(());
            }
            let nap = run.due_at.since(ports.now()).clamp(1, NAP_MILLIS);
            ports.sleep(u32::try_from(nap).unwrap_or(1)).await;
        }
        if ports.now() >= within.until {
            return Ok(());
        }
        let came_to = match Client::new(ports, settings, tokens) {
            _ if ports.now().since(run.started_at) > LONGEST_RUN_MILLIS => Err(Trouble::Stop(
                "The run did not come to its end within six hours, so it was ended; what it changed stays, and the next one goes on from there: see its lines for what took so long."
                    .to_owned(),
            )),
            Ok(client) => {
                let mut step = steps::Step { ports, settings, client, offers: &mut offers, run: &mut run };
                step.advance().await
            }
            Err(error) => Err(Trouble::Api(error)),
        };
        match came_to {
            // That the webhook was looked for once more before it is created is no progress.
            Ok(()) if matches!(run.phase, Phase::Webhook { .. } | Phase::Create) => {}
            Ok(()) => run.attempts = 0,
            Err(Trouble::Sql(error)) => return Err(error),
            Err(Trouble::Stop(message)) => fail(&mut run, message, ports.now()),
            Err(Trouble::Api(error)) => trouble(&mut run, &error, ports.now()),
        }
        journal::store(ports, &run)?;
    }
    Ok(())
}

/// C1 may fail to answer this often in a row; then the run has failed, and may be asked for again.
const MAX_ATTEMPTS: u32 = 8;

/// The wait before C1 is asked again doubles from a second up to a minute.
const LONGEST_WAIT_SECS: i64 = 60;

fn trouble(run: &mut Run, error: &ApiError, now: Timestamp) {
    match error.retry_at(now) {
        Some(at) if run.attempts + 1 < MAX_ATTEMPTS => {
            let wait = doubled(1, run.attempts.into(), LONGEST_WAIT_SECS);
            run.attempts += 1;
            run.due_at = at.max(now.plus_secs(wait));
            run.message = Some(format!("{error}; it is tried again"));
        }
        _ => fail(run, sentence(error), now),
    }
}

fn fail(run: &mut Run, message: String, now: Timestamp) {
    run.state = RunState::Failed;
    run.message = Some(message);
    run.ended_at = Some(now);
}

/// An error as a sentence of its own.
fn sentence(error: &ApiError) -> String {
    format!("{}.", capitalised(&error.to_string()))
}

#[cfg(test)]
mod tests;
