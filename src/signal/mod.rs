//! Signals to C1: what a sync found, told to an incoming webhook of the tenant, where automations begin from it.
//!
//! A run that ends queues what it calls for, in the same moment in which its end is put on disk. The job [`crate::base::jobs::JobKind::Signal`]
//! makes the texts, while the generations that they tell of are there, and sends them one after the other.
//!
//! **Invariants:** a signal has one id and one text, whatever happens to it on its way; signals are sent in the order of what they
//! tell of, and one that was taken is not sent again; new Super Administrators are named before anything else.

mod cap;
mod compose;
mod deliver;
mod foreign;
mod kind;
mod outbox;
pub mod settings;
#[cfg(test)]
mod tests;

pub use cap::CapReached;
pub use compose::ToldFindings;
pub use deliver::{key_id, key_set, token};
pub use kind::SignalKind;
pub use outbox::init;
pub use settings::{Settings, ToldBy};

use serde_json::Value;

use crate::audit::feed;
use crate::base::jobs::Attempt;
use crate::base::object::object;
use crate::base::ports::Sign;
use crate::base::ports::{Clock, Http, KeyValue, Level, Log, Sql, SqlError};
use crate::ledger::record;
use crate::snapshot::{self, Capability, Catalogue, Manifest, RunId, RunRecord, Snapshot, SnapshotError};
use compose::Changes;
use deliver::DeliveryOutcome;
use outbox::{Waiting, event_id};

/// At most this many signals are sent in one attempt; the next one follows at once.
const BATCH: usize = 10;

/// A signal that names authors waits as long as this for the audit log to be read up to it, and looks as often.
const LOG_WAIT_SECS: i64 = 120;
const EARLY_SECS: i64 = 10;

/// A value that is not there this long after its publication will not come any more: KV takes a minute.
const LOST_AFTER_MILLIS: i64 = 10 * 60 * 1000;

/// Queues what the runs that ended and the caps that were reached call for. Gives what the job is to be about, where signals wait: the
/// latest run, with which one that was given up is begun again, and the latest cap.
pub fn queue<P: Sql + Clock>(
    ports: &P,
    by: ToldBy<'_>,
    runs: &[RunRecord],
    caps: &[CapReached<'_>],
) -> Result<Option<String>, SqlError> {
    let kinds = by.settings.map(|settings| settings.kinds.as_slice()).unwrap_or_default();
    ports.whole(&mut || outbox::queue(ports, kinds, runs, ports.now()))?;
    if kinds.contains(&SignalKind::RemovalCapReached) {
        let account = by.account_id.to_string();
        caps.iter().rev().try_for_each(|cap| outbox::queue_cap(ports, &account, cap, ports.now()))?;
    }
    if kinds.is_empty() || outbox::waiting(ports)? == 0 {
        return Ok(None);
    }
    let run = runs.first().map(|run| run.run.to_string());
    Ok([run, outbox::beside_runs(ports)?].into_iter().flatten().reduce(|run, cap| format!("{run} {cap}")))
}

/// Queues that findings were opened or closed. `run` is the last that ended. To be called with what notes them, as a whole.
pub fn tell_findings<P: Sql + Clock>(
    ports: &P,
    by: ToldBy<'_>,
    run: &RunRecord,
    findings: ToldFindings,
) -> Result<bool, SqlError> {
    let is_wanted = by.settings.is_some_and(|settings| settings.kinds.contains(&SignalKind::Finding));
    if !is_wanted || findings.first.is_empty() {
        return Ok(false);
    }
    // Findings may change more than once with a run and within a second, and each time is an event of its own.
    let now = ports.now();
    let at = RunRecord { run: RunId::new(now, outbox::last(ports)?), ..run.clone() };
    let id = |part| event_id(SignalKind::Finding, &at.run, part);
    let bodies = compose::findings(&by.account_id.to_string(), id, run, findings);
    outbox::queue_made(ports, SignalKind::Finding, &at, &bodies, now)?;
    Ok(true)
}

/// One attempt to send what waits.
pub async fn attempt<P: Http + KeyValue + Clock + Sql + Log + Sign>(ports: &P, by: ToldBy<'_>) -> Attempt {
    let Some(settings) = by.settings else {
        return Attempt::GivenUp("SIGNAL_URL is not set any more, so signals are not sent.".to_owned());
    };
    match send(ports, by, settings).await {
        Ok(attempt) => attempt,
        Err(error) => Attempt::Again(format!("The signals that wait cannot be read: {error}.")),
    }
}

async fn send<P: Http + KeyValue + Clock + Sql + Log + Sign>(
    ports: &P,
    by: ToldBy<'_>,
    settings: &Settings,
) -> Result<Attempt, SqlError> {
    outbox::leave_out(ports, &settings.kinds, ports.now())?;
    let given_up = outbox::give_up(ports, ports.now())?;
    if given_up > 0 {
        ports.log(Level::Error, "signals given up", object!({ "count": given_up }));
    }
    // It is told for as long as it is kept: what goes out afterwards would hide that something is missing.
    let lost = outbox::count(ports, "given_up")?;
    let mut untold = (lost > 0)
        .then(|| format!("Signals given up in the last seven days, since ConductorOne took none in time: {lost}."));
    // First all texts, as long as the generations are there, even while C1 takes none.
    let (mut unmade, mut is_early) = (None, false);
    while let Some(waiting) = outbox::next(ports, true)? {
        if waiting.kind == SignalKind::ForeignChange
            && let Some(run) = &waiting.run
            && is_ahead_of_log(ports, run)?
        {
            is_early = true;
            break;
        }
        match make(ports, by, &waiting).await? {
            Ok(Made { bodies, untold: why }) => {
                outbox::made(ports, waiting.id, &bodies, ports.now())?;
                if let Some(why) = why {
                    let why = format!("What changed with the run {} cannot be told, since {why}.", waiting.key);
                    ports.log(Level::Error, "a signal does not tell what changed", object!({ "why": why }));
                    untold = Some(why);
                }
            }
            Err(error) => {
                unmade = Some(format!("What changed cannot be read: {error}."));
                break;
            }
        }
    }
    let (mut sent, mut refused) = (0, None);
    for _ in 0..BATCH {
        let Some(waiting) = outbox::next(ports, false)? else { return Ok(ended(sent, refused, untold)) };
        let Some(bodies) = &waiting.bodies else {
            if is_early {
                return Ok(Attempt::GoOn(ports.now().plus_secs(EARLY_SECS), Value::Null));
            }
            return Ok(Attempt::Again(unmade.unwrap_or_else(|| "A signal has no text yet.".to_owned())));
        };
        let mut state = "sent";
        for (part, body) in bodies.iter().enumerate().skip(waiting.sent) {
            let id = event_id(waiting.kind, &waiting.key, part);
            match deliver::send(ports, by.c1_url, settings, &id, body).await {
                DeliveryOutcome::Yes => {
                    outbox::part_sent(ports, waiting.id, part + 1)?;
                    let fields = object!({ "event": waiting.kind.as_str(), "event_id": id, "about": waiting.key });
                    ports.log(Level::Info, "signal sent", fields);
                    sent += 1;
                }
                DeliveryOutcome::Again(why) => return Ok(Attempt::Again(why)),
                DeliveryOutcome::Misconfigured(why) => return Ok(Attempt::GivenUp(why)),
                DeliveryOutcome::Refused(why) => {
                    let fields = object!({ "event": waiting.kind.as_str(), "event_id": id, "why": why });
                    ports.log(Level::Error, "signal refused", fields);
                    refused = Some(format!("{why} It was {} of {}.", waiting.kind.as_str(), waiting.key));
                    state = "refused";
                }
            }
        }
        outbox::settle(ports, waiting.id, state, ports.now())?;
    }
    Ok(match outbox::waiting(ports)? {
        0 => ended(sent, refused, untold),
        _ => Attempt::GoOn(ports.now(), Value::Null),
    })
}

/// Whether the audit log is not read yet up to where a run ended: it may tell in a moment who it was.
fn is_ahead_of_log<P: Sql + Clock>(ports: &P, run: &RunRecord) -> Result<bool, SqlError> {
    let age = ports.now().since(run.finished_at);
    Ok(age < LOG_WAIT_SECS * 1_000
        && feed::is_healthy(ports, run.started_at)?
        && feed::state(ports)?.is_some_and(|log| log.read_until < Some(run.finished_at)))
}

fn ended(sent: usize, refused: Option<String>, untold: Option<String>) -> Attempt {
    let untold = untold.map(|why| format!(" {why}")).unwrap_or_default();
    match refused {
        Some(why) => Attempt::GivenUp(format!("{why} Report it; the event will not be sent again.{untold}")),
        None => Attempt::Done(match sent {
            0 => format!("There was nothing to tell.{untold}"),
            1 => format!("Sent a signal.{untold}"),
            _ => format!("Sent {sent} signals.{untold}"),
        }),
    }
}

/// The texts of a signal.
#[derive(Debug)]
struct Made {
    /// One for each part; none where there is nothing to tell after all.
    bodies: Vec<String>,
    /// Why they do not tell what changed, where they do not.
    untold: Option<SnapshotError>,
}

impl From<Vec<String>> for Made {
    fn from(bodies: Vec<String>) -> Self {
        Self { bodies, untold: None }
    }
}

/// Makes the texts of a signal: none where there is nothing to tell after all.
async fn make<P: KeyValue + Clock + Sql>(
    ports: &P,
    by: ToldBy<'_>,
    waiting: &Waiting,
) -> Result<Result<Made, SnapshotError>, SqlError> {
    // What tells of no run has its text, and so have findings.
    let Some(run) = &waiting.run else { return Ok(Ok(Vec::new().into())) };
    if waiting.kind == SignalKind::Finding {
        return Ok(Ok(Vec::new().into()));
    }
    let account = by.account_id.to_string();
    let id = |part| event_id(waiting.kind, &waiting.key, part);
    if waiting.kind == SignalKind::SyncFailed {
        return Ok(Ok(vec![compose::sync_failed(&account, &id(0), run)].into()));
    }
    let untold = |error: SnapshotError| {
        let bodies = vec![compose::unknown(waiting.kind, &account, &id(0), run, &error)];
        Ok(Ok(Made { bodies, untold: Some(error) }))
    };
    let read = match read(ports, run).await {
        Ok(Some(read)) => read,
        // None was there that it could differ from: it is the first, or all that were before are lost, and with them what was known.
        Ok(None) => {
            let before =
                run.generation.as_ref().map(|generation| record::last_before(ports, generation)).transpose()?;
            return match before.flatten() {
                Some(before) => untold(SnapshotError::Gone(before.to_string())),
                None => Ok(Ok(Vec::new().into())),
            };
        }
        // KV may answer another time. What is swept, damaged or lost by now stays so, and no other signal waits for it.
        Err(error @ SnapshotError::Kv(_)) => return Ok(Err(error)),
        Err(error) if ports.now().since(run.finished_at) > LOST_AFTER_MILLIS => return untold(error),
        Err(error) => return Ok(Err(error)),
    };
    let Read { old, new, catalogue, changes } = read;
    if changes.items.is_empty() && !changes.posture {
        return Ok(Ok(Vec::new().into()));
    }
    if waiting.kind == SignalKind::AccessChanged {
        return Ok(Ok(vec![compose::access_changed(&account, &id(0), run, &new, &catalogue, &changes)].into()));
    }
    let foreign = foreign::find(ports, by, (&old, &new), &catalogue, &changes.items)?;
    Ok(Ok(compose::foreign_change(&account, id, run, &new, &foreign, changes.more_grants).into()))
}

/// Two generations, and what differs.
struct Read {
    old: Manifest,
    new: Manifest,
    catalogue: Catalogue,
    changes: Changes,
}

async fn read<P: KeyValue>(kv: &P, run: &RunRecord) -> Result<Option<Read>, SnapshotError> {
    let Some(generation) = &run.generation else { return Ok(None) };
    let new = Snapshot::open(kv, generation).await?;
    let Some(previous) = &new.manifest().previous else { return Ok(None) };
    let old = Snapshot::open(kv, previous).await?;
    let catalogue = Catalogue::load(kv, &new).await?;
    // Of a list that cannot be read any more what was known is kept, so that no row says that nobody watches it now. One that was off for another reason
    // may have been watched in part.
    let is_off = |list: &String, before: Option<&str>| {
        let now = new.manifest().capabilities.get(list).and_then(Capability::lasting);
        now.is_some() && now != before
    };
    let posture = old.manifest().posture != new.manifest().posture
        || old.manifest().capabilities.iter().any(|(list, before)| is_off(list, before.lasting()));
    let mut changes = Changes { posture, ..Changes::default() };
    let mut after: Option<String> = None;
    loop {
        let page = snapshot::diff(kv, old.manifest(), new.manifest(), after.as_deref(), 500).await?;
        for change in page.items.into_iter().filter(|change| !change.is_sign_of_life()) {
            changes.keep(change, &catalogue);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Some(Read { old: old.manifest().clone(), new: new.manifest().clone(), catalogue, changes }))
}
