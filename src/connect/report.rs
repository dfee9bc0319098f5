//! What a run tells: how it stands, what it found and did, line by line.

use serde::Serialize;

use super::journal;
use super::run::{Counts, Line, Mode, NamedApp, Run, RunState};
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;

/// What a run tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run's number.
    pub run: i64,
    /// What was asked.
    pub mode: Mode,
    /// Who asked.
    pub by: String,
    /// How it stands.
    pub state: RunState,
    /// How it ended, or why it waits.
    pub message: Option<String>,
    /// The app.
    pub app: Option<NamedApp>,
    /// The webhook's id.
    pub webhook: Option<String>,
    /// What was found and done, in numbers.
    pub entitlements: Counts,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was found and done, from the line that was asked for on.
    pub lines: Vec<Line>,
    /// Whether there are more lines by now; ask for those after the last one.
    pub more: bool,
}

/// The connection, as the status shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The app.
    pub app: Option<NamedApp>,
    /// The webhook's id.
    pub webhook: Option<String>,
    /// How many entitlements lead to it, as last listed.
    pub wired: u32,
    /// When a run last went through.
    pub connected_at: Option<Timestamp>,
    /// When a test event of C1's last arrived.
    pub verified_at: Option<Timestamp>,
    /// How the latest run stands.
    pub last_run: RunSummary,
}

/// The latest run, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its number.
    pub run: i64,
    /// What was asked.
    pub mode: Mode,
    /// Who asked.
    pub by: String,
    /// How it stands.
    pub state: RunState,
    /// How it ended, or why it waits.
    pub message: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// At most this many lines are told at once.
const MAX_LINES: usize = 500;

/// The report of the latest run, its lines after a number; nothing where there was no run yet.
pub fn report(sql: &dyn Sql, after: i64) -> Result<Option<Report>, SqlError> {
    let Some(run) = journal::latest(sql)? else { return Ok(None) };
    let limit = i64::try_from(MAX_LINES + 1).unwrap_or(i64::MAX);
    let mut lines = journal::lines(sql, run.id, after, limit)?;
    let more = lines.len() > MAX_LINES;
    lines.truncate(MAX_LINES);
    let Run { id, options, by, state, message, app, webhook, counts, started_at, ended_at, .. } = run;
    Ok(Some(Report {
        run: id,
        mode: options.mode(),
        by,
        state,
        message,
        app,
        webhook,
        entitlements: counts,
        started_at,
        ended_at,
        lines,
        more,
    }))
}

/// The connection in short; nothing where there was no run yet.
pub fn summary(sql: &dyn Sql) -> Result<Option<Summary>, SqlError> {
    let Some(run) = journal::latest(sql)? else { return Ok(None) };
    // One that cannot be read is set aside, and the status says so.
    let connection = journal::readable_connection(sql)?.unwrap_or_default();
    let last_run = RunSummary {
        run: run.id,
        mode: run.options.mode(),
        by: run.by,
        state: run.state,
        message: run.message,
        ended_at: run.ended_at,
    };
    Ok(Some(Summary {
        app: connection.app,
        webhook: connection.webhook,
        wired: connection.wired,
        connected_at: connection.connected_at,
        verified_at: connection.verified_at,
        last_run,
    }))
}
