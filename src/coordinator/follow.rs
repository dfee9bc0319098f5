//! Which jobs a sync brings about, and the loop that carries jobs out.

use serde_json::Value;

use super::memory::{Coordinator, Ports};
use super::settings::Settings;
use super::wire;
use crate::account::expiry;
use crate::base::jobs::{self, Attempt, Job, JobKind};
use crate::base::order;
use crate::base::ports::{Level, SqlError};
use crate::conductorone::api::Tokens;
use crate::connect;
use crate::export::{File, Insights, MAX_INSIGHTS};
use crate::findings;
use crate::ledger::record;
use crate::provision::incident::{self, Incident};
use crate::push;
use crate::signal::{self, CapReached, ToldFindings};
use crate::snapshot::{GenerationId, RunRecord};
use crate::sync;

/// Whether what a kind of job is for is turned off.
fn is_off(settings: &Settings, kind: JobKind) -> bool {
    match kind {
        JobKind::Findings => false,
        JobKind::Push => settings.push.is_none(),
        JobKind::Wire => !settings.auto_wire || settings.conductorone.credentials.is_none(),
        JobKind::Signal => settings.signal.is_none(),
    }
}

/// Whether somebody has connected since the wiring was given up: that is what it asks for, and publishes nothing. A run that it began itself had
/// ended by then, so it is tried once more and no oftener.
fn is_connected_since<P: Ports>(ports: &P) -> Result<bool, SqlError> {
    let is_failed = |job: &Job| job.kind == JobKind::Wire && job.state == jobs::State::Failed;
    let Some(job) = jobs::all(ports)?.into_iter().find(is_failed) else { return Ok(false) };
    Ok(connect::summary(ports)?.is_some_and(|connection| connection.connected_at > job.ended_at))
}

/// The subject that a job of a kind should be about by now; `None` where nothing was configured that needs one.
fn subject<P: Ports>(
    ports: &P,
    settings: &Settings,
    kind: JobKind,
    generation: &GenerationId,
) -> Result<Option<String>, SqlError> {
    Ok(match kind {
        JobKind::Findings => {
            // A token is unused for a day longer with each day, whatever is published.
            let today = ports.now().date();
            let overdue = expiry::overdue_so_far(ports, ports.now().plus_secs(-settings.overdue_minutes * 60))?;
            // What is there no more by one sweep is over once another one has found it so.
            let is_sure = !overdue.starts_with('0')
                && record::is_published_before(ports, generation, sync::found_so_since(ports, generation)?)?;
            let sure = if is_sure { "-sure" } else { "" };
            Some(format!("{generation} {today} {overdue}{sure}"))
        }
        JobKind::Push => match &settings.push {
            None => None,
            // With other findings it is another file.
            Some(push) if has_insights(settings) => {
                Some(format!("{generation} {} {}", push.fingerprint(), findings::latest_event(ports)?))
            }
            Some(push) => Some(format!("{generation} {}", push.fingerprint())),
        },
        JobKind::Wire if !is_off(settings, kind) => Some(generation.to_string()),
        // Signals are events, not a state: they are queued, and the job is asked for where some wait.
        JobKind::Wire | JobKind::Signal => None,
    })
}

/// A cap that was reached longer ago than this is no news any more: signals that wait are kept for a week, and none is told twice.
const CAP_SECS: i64 = 24 * 60 * 60;

fn cap_reached(incident: &Incident) -> CapReached<'_> {
    let Incident { at, operation, email, message, .. } = incident;
    CapReached { at: *at, operation: operation.0, email, message }
}

/// One attempt at a job. The tokens are for C1's API.
async fn attempt<P: Ports>(ports: &P, settings: &Settings, tokens: &Tokens, job: &Job) -> Attempt {
    match job.kind {
        JobKind::Findings => {
            // What is over by a generation that is not the current one may be so no more.
            let is_current = |generation: &GenerationId| {
                sync::current(ports).is_ok_and(|current| current.as_ref() == Some(generation))
            };
            let known = |generation: &GenerationId| {
                let since = sync::found_so_since(ports, generation).ok().flatten();
                since.filter(|_| is_current(generation))
            };
            let days = settings.journal_days;
            let tell = |noted: &_| tell(ports, settings, noted);
            findings::attempt(ports, &settings.findings, days, job, known, tell).await
        }
        JobKind::Push => {
            let insights = match insights(ports, settings, job) {
                Ok(Some(insights)) => insights,
                Ok(None) => return Attempt::GoOn(ports.now().plus_secs(FINDINGS_PAUSE_SECS), Value::Null),
                Err(error) => return Attempt::Again(format!("The findings cannot be read: {error}.")),
            };
            push::attempt(ports, settings.push.as_ref(), &settings.conductorone, tokens, insights, job).await
        }
        JobKind::Signal => signal::attempt(ports, settings.told_by()).await,
        JobKind::Wire if is_off(settings, job.kind) => Attempt::GivenUp("It is not configured any more.".to_owned()),
        JobKind::Wire => wire::attempt(ports, job).await,
    }
}

/// So long a push waits at a time for the findings of its generation.
const FINDINGS_PAUSE_SECS: i64 = 5;

/// Whether the file that is pushed has the findings.
fn has_insights(settings: &Settings) -> bool {
    let push = settings.push.as_ref();
    settings.findings.in_c1z && push.is_some_and(|push| push.store.is_some() && push.file == File::C1z)
}

/// The findings that are open, where they are wanted in the file that is pushed; `None` while those of its generation are being worked out.
/// Where that fails they are not waited for: once they are known the file is another one, and is pushed again.
fn insights<P: Ports>(ports: &P, settings: &Settings, push: &Job) -> Result<Option<Insights>, SqlError> {
    // What was uploaded already needs none any more.
    if !has_insights(settings) || !push.left.is_null() {
        return Ok(Some(Insights::default()));
    }
    let generation = |job: &Job| job.subject.split(' ').next().map(str::to_owned);
    let is_at_it = |job: &Job| {
        let is_first = job.state == jobs::State::Due && job.attempts == 0;
        job.kind == JobKind::Findings && is_first && generation(job) == generation(push)
    };
    if jobs::all(ports)?.iter().any(is_at_it) {
        return Ok(None);
    }
    Ok(Some(Insights::of(&findings::list(ports, &findings::Filter::gravest(), MAX_INSIGHTS, ports.now())?)))
}

/// Queues a signal of the findings that were opened or closed, as far as their severity is signalled.
fn tell<P: Ports>(ports: &P, settings: &Settings, noted: &findings::SurveyOutcome) -> Result<(), SqlError> {
    let Some(run) = sync::runs(ports)?.into_iter().next() else { return Ok(()) };
    let is_wanted =
        |id: &&String| findings::severity_of(id).is_some_and(|it| settings.findings.signalled.contains(&it));
    let [opened, closed] = [&noted.opened, &noted.closed].map(|ids| ids.iter().filter(is_wanted).collect::<Vec<_>>());
    let (opened_count, closed_count) = (opened.len(), closed.len());
    let mut wanted = [opened, closed].concat();
    // As many as there is room for in a signal, and more: those that matter most come first.
    order::sort_by_key(&mut wanted, |id| findings::severity_of(id));
    let mut first = Vec::new();
    for id in wanted.into_iter().take(MOST_TOLD) {
        first.extend(findings::one(ports, id, ports.now())?);
    }
    let told = ToldFindings { opened: opened_count, closed: closed_count, first };
    let run = RunRecord { generation: noted.generation.clone(), ..run };
    if signal::tell_findings(ports, settings.told_by(), &run, told)? {
        jobs::want(ports, JobKind::Signal, &format!("findings {}", ports.now()), false, ports.now())?;
    }
    Ok(())
}

/// At most this many findings are read to be told at once, half a kilobyte each; the others are counted.
const MOST_TOLD: usize = 400;

impl Coordinator {
    /// Asks for the jobs that what was synced calls for. Called after each step of a sync, with nothing awaited in between, so
    /// that a run's end and what follows from it are on disk together; and once more with each alarm, which costs a few reads.
    pub(super) fn follow<P: Ports>(ports: &P, settings: &Settings) -> Result<(), SqlError> {
        for kind in JobKind::ALL {
            if is_off(settings, kind) {
                jobs::forget_failed(ports, kind)?;
            }
        }
        let by = settings.told_by();
        let reached = match by.settings {
            Some(_) => incident::since(ports, incident::IncidentKind::RemovalCap, ports.now().plus_secs(-CAP_SECS))?,
            None => Vec::new(),
        };
        let caps: Vec<_> = reached.iter().map(cap_reached).collect();
        if let Some(about) = signal::queue(ports, by, &sync::runs(ports)?, &caps)? {
            jobs::want(ports, JobKind::Signal, &about, false, ports.now())?;
        }
        let Some(generation) = sync::current(ports)? else { return Ok(()) };
        for kind in JobKind::ALL {
            // What is published while one goes on has its turn after it. A file with findings has those of its own generation, which are gone by then.
            if kind == JobKind::Push
                && let Some(push) = &settings.push
                && !has_insights(settings)
                && push::has_begun(ports, push.store.is_some())?
            {
                continue;
            }
            if let Some(subject) = subject(ports, settings, kind, &generation)? {
                let again = kind == JobKind::Wire && is_connected_since(ports)?;
                jobs::want(ports, kind, &subject, again, ports.now())?;
            }
        }
        Ok(())
    }

    /// Asks for a push of the current generation, be it pushed already or not; gives the generation, `None` where there is none yet.
    pub(super) fn push_again<P: Ports>(ports: &P, settings: &Settings) -> Result<Option<GenerationId>, SqlError> {
        let Some(generation) = sync::current(ports)? else { return Ok(None) };
        if let Some(subject) = subject(ports, settings, JobKind::Push, &generation)? {
            jobs::want(ports, JobKind::Push, &subject, true, ports.now())?;
        }
        Ok(Some(generation))
    }

    /// Carries out the job of a kind, where it is due.
    pub(super) async fn work<P: Ports>(&self, ports: &P, settings: &Settings, kind: JobKind) -> Result<(), SqlError> {
        let Some(job) = jobs::due(ports, ports.now())?.into_iter().find(|job| job.kind == kind) else { return Ok(()) };
        jobs::begin(ports, &job, ports.now())?;
        let came_to = attempt(ports, settings, &self.tokens, &job).await;
        if let Attempt::Again(why) | Attempt::GivenUp(why) = &came_to {
            let fields = serde_json::json!({ "job": job.kind.as_str(), "subject": job.subject, "why": why });
            ports.log(Level::Warn, "a job did not work out", fields);
        }
        jobs::end(ports, &job, &came_to, ports.now())?;
        // What was found may call for another file, what was published during a push for another push, and what is turned off is to be forgotten.
        let calls_for_more = matches!(kind, JobKind::Findings | JobKind::Push) || is_off(settings, kind);
        if calls_for_more { Self::follow(ports, settings) } else { Ok(()) }
    }
}
