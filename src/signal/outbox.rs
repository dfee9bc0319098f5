//! Signals that are to be sent, in the order in which what they tell of happened, and those that were.
//!
//! **Invariants:** the text of a signal is made once and kept, so that every attempt sends the same under the same id; a signal
//! that was taken is never sent again; one that waits leaves only by being taken or refused, or with its end noted.

use std::fmt;

use serde::Serialize;

use super::cap::CapReached;
use super::compose;
use super::kind::SignalKind;
use crate::base::hash::sha256;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::snapshot::{RunId, RunOutcome, RunRecord};

/// At most this many signals wait; beyond that the oldest are given up, of `access_changed` first, and of `finding` before the others.
const MAX_WAITING: i64 = 200;

/// A signal that could not be sent for a week is given up: C1 remembers for that long which it has, and an older one helps nobody.
const GIVE_UP_SECS: i64 = 7 * 24 * 60 * 60;

/// While syncs go on failing in the same way, that is told once a day.
const TELL_AGAIN_SECS: i64 = 24 * 60 * 60;

/// A signal that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: i64,
    pub(super) kind: SignalKind,
    /// The run that it tells of, where it is one.
    pub(super) run: Option<RunRecord>,
    /// What its id goes by: the run's, or what else it tells of.
    pub(super) key: String,
    /// The texts of its parts, once they are made.
    pub(super) bodies: Option<Vec<String>>,
    /// How many of the parts were taken.
    pub(super) sent: usize,
}

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::init(sql)?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS signal ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, kind TEXT NOT NULL, \
            run TEXT NOT NULL, bodies TEXT, sent INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting', \
            queued_at INTEGER NOT NULL, settled_at INTEGER)",
        &[],
    )?;
    sql.run("CREATE INDEX IF NOT EXISTS signal_waiting ON signal (id) WHERE state = 'waiting'", &[])?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS signal_seen (only INTEGER PRIMARY KEY CHECK (only = 1), seen TEXT NOT NULL)",
        &[],
    )
}

/// How far the runs were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct OutboxState {
    /// The last run that was looked at.
    run: Option<RunId>,
    /// How syncs have been failing since the last that did not, and when that was last told.
    failing: Option<(RunOutcome, Timestamp)>,
}

/// Looks at the runs that ended since the last look, the latest first in `runs`, and queues what they call for; nothing where
/// `kinds` is empty, but what was looked at stays so. Statements only, so that it is on disk together with the run's end; to be called as a whole, so that none is
/// queued twice.
pub(super) fn queue(sql: &dyn Sql, kinds: &[SignalKind], runs: &[RunRecord], now: Timestamp) -> Result<(), SqlError> {
    let mut seen = load(sql)?;
    let new: Vec<&RunRecord> = runs.iter().take_while(|run| Some(&run.run) != seen.run.as_ref()).collect();
    let Some(latest) = new.first() else { return Ok(()) };
    for run in new.iter().rev() {
        for kind in called_for(&mut seen, run, kinds, now).into_iter().filter(|kind| kinds.contains(kind)) {
            let body = serde_json::to_string(run)?;
            sql.run(
                "INSERT INTO signal (kind, run, queued_at) VALUES (?, ?, ?)",
                &[kind.as_str().into(), body.into(), now.into()],
            )?;
        }
    }
    seen.run = Some(latest.run.clone());
    let text = serde_json::to_string(&seen)?;
    sql.run("INSERT OR REPLACE INTO signal_seen (only, seen) VALUES (1, ?)", &[text.into()])?;
    // What was settled long ago is of no use to anybody.
    sql.run("DELETE FROM signal WHERE settled_at < ?", &[now.plus_secs(-GIVE_UP_SECS).into()])
}

/// Queues a signal whose texts are made already. `run` is what its parts' ids are made of.
pub(super) fn queue_made(
    sql: &dyn Sql,
    kind: SignalKind,
    run: &RunRecord,
    bodies: &[String],
    now: Timestamp,
) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO signal (kind, run, queued_at, bodies) VALUES (?, ?, ?, ?)",
        &[kind.as_str().into(), serde_json::to_string(run)?.into(), now.into(), serde_json::to_string(bodies)?.into()],
    )
}

/// Queues that a cap of removals was reached, once for each that was noted; it has its text from the beginning. One that was left out while it
/// waited was told to nobody.
pub(super) fn queue_cap(sql: &dyn Sql, account: &str, cap: &CapReached<'_>, now: Timestamp) -> Result<(), SqlError> {
    let kind = SignalKind::RemovalCapReached;
    let key = format!("{}/{}", cap.operation, cap.at.millis());
    let body = compose::removal_cap_reached(account, &event_id(kind, &key, 0), cap);
    sql.run(
        "INSERT INTO signal (kind, run, bodies, queued_at) SELECT ?1, ?2, ?3, ?4 \
         WHERE NOT EXISTS (SELECT 1 FROM signal WHERE kind = ?1 AND run = ?2 AND state <> 'nothing')",
        &[kind.as_str().into(), key.into(), serde_json::to_string(&[body])?.into(), now.into()],
    )
}

/// The number of the newest signal, whatever became of it.
pub(super) fn last(sql: &dyn Sql) -> Result<u64, SqlError> {
    let number = sql.number("SELECT MAX(id) FROM signal", &[])?;
    Ok(number.and_then(|number| number.try_into().ok()).unwrap_or_default())
}

/// The newest signal that waits and tells of no run: what the job of sending is about besides the latest run.
pub(super) fn beside_runs(sql: &dyn Sql) -> Result<Option<String>, SqlError> {
    sql.text(
        "SELECT run FROM signal WHERE state = 'waiting' AND kind = ? ORDER BY id DESC LIMIT 1",
        &[SignalKind::RemovalCapReached.as_str().into()],
    )
}

/// What a run calls for, be it among the `kinds` that are sent or not. Whether access changed by somebody else's hand comes first: it may matter
/// most.
fn called_for(seen: &mut OutboxState, run: &RunRecord, kinds: &[SignalKind], now: Timestamp) -> Vec<SignalKind> {
    match run.outcome {
        RunOutcome::Published => {
            // After a small publication syncs may go on failing.
            if run.is_sweep() {
                seen.failing = None;
            }
            vec![SignalKind::ForeignChange, SignalKind::AccessChanged]
        }
        RunOutcome::Unchanged => {
            seen.failing = None;
            Vec::new()
        }
        // Nobody is told, so that it is news to whoever is told later.
        RunOutcome::Failed | RunOutcome::Held if !kinds.contains(&SignalKind::SyncFailed) => {
            seen.failing = None;
            Vec::new()
        }
        RunOutcome::Failed | RunOutcome::Held => match seen.failing {
            Some((outcome, told)) if outcome == run.outcome && now.since(told) < TELL_AGAIN_SECS * 1000 => Vec::new(),
            _ => {
                seen.failing = Some((run.outcome, now));
                vec![SignalKind::SyncFailed]
            }
        },
    }
}

fn load(sql: &dyn Sql) -> Result<OutboxState, SqlError> {
    let text = sql.text("SELECT seen FROM signal_seen", &[])?;
    Ok(text.and_then(|text| json::read_str(&text).ok()).unwrap_or_default())
}

/// How many signals wait.
pub(super) fn waiting(sql: &dyn Sql) -> Result<i64, SqlError> {
    count(sql, "waiting")
}

/// How many signals stand so. Those that do not wait are kept for a week.
pub(super) fn count(sql: &dyn Sql, state: &str) -> Result<i64, SqlError> {
    let count = sql.number(&format!("SELECT COUNT(*) FROM signal WHERE state = '{state}' AND {READABLE}"), &[])?;
    Ok(count.unwrap_or_default())
}

/// Leaves out what waits of kinds that are not sent any more: there is nothing to tell of it.
pub(super) fn leave_out(sql: &dyn Sql, kinds: &[SignalKind], now: Timestamp) -> Result<(), SqlError> {
    for kind in SignalKind::ALL {
        if !kinds.contains(&kind) {
            sql.run(
                "UPDATE signal SET state = 'nothing', settled_at = ?, bodies = NULL \
                 WHERE state = 'waiting' AND version = 1 AND kind = ?",
                &[now.into(), kind.as_str().into()],
            )?;
        }
    }
    Ok(())
}

/// Gives up what has waited too long, and the oldest of too many; how many that were.
pub(super) fn give_up(sql: &dyn Sql, now: Timestamp) -> Result<usize, SqlError> {
    let given_up = sql.query(
        "UPDATE signal SET state = 'given_up', settled_at = ?1, bodies = NULL WHERE state = 'waiting' AND (queued_at < ?2 \
            OR id IN (SELECT id FROM signal WHERE state = 'waiting' \
                ORDER BY kind = 'access_changed', kind = 'finding', id DESC LIMIT -1 OFFSET ?3)) RETURNING id",
        &[now.into(), now.plus_secs(-GIVE_UP_SECS).into(), MAX_WAITING.into()],
    )?;
    Ok(given_up.len())
}

/// The oldest signal that waits; with `unmade`, the oldest whose texts are not made yet.
pub(super) fn next(sql: &dyn Sql, unmade: bool) -> Result<Option<Waiting>, SqlError> {
    let also = if unmade { "AND bodies IS NULL" } else { "" };
    let statement = format!(
        "SELECT id, CASE version WHEN 1 THEN kind END, run, bodies, sent FROM signal WHERE state = 'waiting' {also} AND {READABLE} ORDER BY id LIMIT 1"
    );
    loop {
        let rows = sql.query(&statement, &[])?;
        if rows.is_empty() {
            return Ok(None);
        }
        // One that cannot be read is set aside thereby, and the next one's turn has come.
        if let Some(signal) = rows::readable(sql, "signal", &rows, |row| read(row).ok())?.pop() {
            return Ok(Some(signal));
        }
    }
}

/// Which signals are not set aside.
const READABLE: &str = rows::not_set_aside!("id", "signal");

fn read(row: &[SqlValue]) -> Result<Waiting, SqlError> {
    let corrupt = || SqlError::unreadable("a signal");
    let [id, kind, run, bodies, sent] = row else { return Err(corrupt()) };
    let kind = kind.text().and_then(SignalKind::parse).ok_or_else(corrupt)?;
    let about = run.text().ok_or_else(corrupt)?;
    let run = match kind {
        SignalKind::RemovalCapReached => None,
        _ => Some(json::read::<RunRecord>(about.as_bytes()).map_err(|_| corrupt())?),
    };
    Ok(Waiting {
        id: id.integer().ok_or_else(corrupt)?,
        kind,
        key: run.as_ref().map_or_else(|| about.to_owned(), |run| run.run.to_string()),
        run,
        bodies: bodies.text().map(json::read_str).transpose().map_err(|_| corrupt())?,
        sent: sent.integer().and_then(|sent| usize::try_from(sent).ok()).unwrap_or(0),
    })
}

/// Keeps the texts of a signal; one that has none is settled thereby.
pub(super) fn made(sql: &dyn Sql, id: i64, bodies: &[String], now: Timestamp) -> Result<(), SqlError> {
    if bodies.is_empty() {
        return settle(sql, id, "nothing", now);
    }
    let text = serde_json::to_string(bodies)?;
    sql.run("UPDATE signal SET bodies = ? WHERE id = ? AND bodies IS NULL", &[text.into(), id.into()])
}

/// Notes that another part of a signal was taken.
pub(super) fn part_sent(sql: &dyn Sql, id: i64, sent: usize) -> Result<(), SqlError> {
    let sent = i64::try_from(sent).unwrap_or(i64::MAX);
    sql.run("UPDATE signal SET sent = MAX(sent, ?) WHERE id = ?", &[sent.into(), id.into()])
}

/// Settles a signal: `sent`, `refused` or `nothing` to tell.
pub(super) fn settle(sql: &dyn Sql, id: i64, state: &str, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE signal SET state = ?, settled_at = ?, bodies = NULL WHERE id = ? AND state = 'waiting'",
        &[state.into(), now.into(), id.into()],
    )
}

/// The id of a signal's part: the same for every attempt, and in the form of a version 4 UUID (RFC 9562), which C1 asks for.
pub(super) fn event_id(kind: SignalKind, key: impl fmt::Display, part: usize) -> String {
    let digest = sha256(format!("c1-cloudflare/signal/{}/{key}/{part}", kind.as_str()).as_bytes());
    let mut id: [u8; 16] = std::array::from_fn(|place| digest.get(place).copied().unwrap_or(0));
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut id;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = crate::base::hash::hex(&id);
    let piece = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [piece(0, 8), piece(8, 12), piece(12, 16), piece(16, 20), piece(20, 32)].join("-")
}
