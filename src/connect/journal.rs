//! What connecting remembers of itself: the runs and what each did, and the connection. All in the Coordinator's SQLite.
//!
//! **Invariant:** one run at most is running.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;

use super::entitlements;
use super::run::{Line, NamedApp, Run, RunState, What};

/// The connection: what a run set up and the next one finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    /// The app that stands for the account: the one that was last connected.
    pub app: Option<NamedApp>,
    /// All apps that were connected, by their ids: what was pointed here in them leads here until it is put back. Their tasks alone are taken, also
    /// after that, until another app is connected.
    #[serde(default)]
    pub apps: Vec<String>,
    /// The webhook's id.
    pub webhook: Option<String>,
    /// Whether this connector created the webhook.
    pub created: bool,
    /// All webhooks that this connector created, and did not delete: one for each address that it was reached at.
    #[serde(default)]
    pub made: Vec<String>,
    /// The URL for which one is being created: should nobody note its id, it is found by that.
    pub creating: Option<String>,
    /// Webhooks that entitlements were pointed at earlier.
    pub former: Vec<String>,
    /// How many entitlements lead to the webhook, as last listed.
    pub wired: u32,
    /// What else came by the webhook: approvals or automations, which somebody set up by hand.
    #[serde(default)]
    pub serves: Option<String>,
    /// Whether it was last asked for to put back what was there before, whatever came of that.
    #[serde(default)]
    pub undo_asked: bool,
    /// When a run last went through.
    pub connected_at: Option<Timestamp>,
    /// When a test event last arrived.
    pub verified_at: Option<Timestamp>,
}

impl Connection {
    /// The webhooks that this connector created; an earlier version noted that of the last one alone.
    pub(super) fn created_ones(&self) -> Vec<String> {
        let last = self.webhook.iter().filter(|id| self.created && !self.made.contains(id));
        self.made.iter().chain(last).cloned().collect()
    }

    /// The apps that were connected; an earlier version noted the last one alone.
    fn connected(&self) -> Vec<String> {
        let last = self.app.iter().map(|app| &app.id).filter(|id| !self.apps.contains(id));
        self.apps.iter().chain(last).cloned().collect()
    }

    /// Settles on an app, to which this connector is connected from now on: beside those that it is connected to, and in the place of those that were
    /// put back.
    pub(super) fn settle(&mut self, app: Option<NamedApp>) {
        if self.app.is_none() {
            self.apps.clear();
        }
        self.apps = self.connected();
        self.app = app;
        self.apps = self.connected();
    }

    /// The webhooks that are or were ours to point at.
    pub(super) fn ours(&self) -> Vec<String> {
        self.former.iter().chain(&self.webhook).cloned().collect()
    }
}

/// How many runs are kept.
const RUNS_KEPT: i64 = 20;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS connect_run ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, running INTEGER NOT NULL, \
            body TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS connect_line ( \
            run INTEGER NOT NULL, n INTEGER NOT NULL, what TEXT NOT NULL, entitlement TEXT, text TEXT NOT NULL, \
            PRIMARY KEY (run, n)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS connect_state ( \
            name TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, body TEXT NOT NULL) WITHOUT ROWID",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

fn text(value: &impl Serialize) -> Result<String, SqlError> {
    Ok(serde_json::to_string(value)?)
}

fn parsed<T: DeserializeOwned>(value: &SqlValue, what: &str) -> Result<T, SqlError> {
    value.text().and_then(|text| json::read_str(text).ok()).ok_or_else(|| SqlError::unreadable(what))
}

/// Notes a new run; what is older than the last few is forgotten.
pub(super) fn begin(sql: &dyn Sql, run: &mut Run) -> Result<(), SqlError> {
    let id = sql.number("INSERT INTO connect_run (running, body) VALUES (1, ?) RETURNING id", &[text(&run)?.into()])?;
    run.id = id.ok_or_else(|| SqlError::unreadable("a run's id"))?;
    let oldest = [(run.id - RUNS_KEPT).into()];
    sql.run("DELETE FROM connect_run WHERE id <= ?", &oldest)?;
    sql.run("DELETE FROM connect_line WHERE run <= ?", &oldest)
}

/// Notes how far a run is.
pub(super) fn store(sql: &dyn Sql, run: &Run) -> Result<(), SqlError> {
    let running = i64::from(run.state == RunState::Running);
    sql.run(
        "UPDATE connect_run SET running = ?, body = ? WHERE id = ?",
        &[running.into(), text(run)?.into(), run.id.into()],
    )
}

fn run(sql: &dyn Sql, condition: &str) -> Result<Option<Run>, SqlError> {
    let rows = sql.query(
        &format!("SELECT id, CASE version WHEN 1 THEN body END FROM connect_run {condition} ORDER BY id DESC LIMIT 1"),
        &[],
    )?;
    let mut runs = rows::readable(sql, "connect_run", &rows, |row| match row {
        [id, body] => Some(Run { id: id.integer()?, ..parsed(body, "a run").ok()? }),
        _ => None,
    })?;
    Ok(runs.pop())
}

/// The run that is running.
pub fn running(sql: &dyn Sql) -> Result<Option<Run>, SqlError> {
    run(sql, "WHERE running = 1")
}

/// The latest run.
pub(super) fn latest(sql: &dyn Sql) -> Result<Option<Run>, SqlError> {
    run(sql, "")
}

/// Adds a line to what a run did.
pub(super) fn say(
    sql: &dyn Sql,
    run: &Run,
    what: What,
    entitlement: Option<&str>,
    said: String,
) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO connect_line (run, n, what, entitlement, text) \
         VALUES (?1, (SELECT COALESCE(MAX(n), 0) + 1 FROM connect_line WHERE run = ?1), ?2, ?3, ?4)",
        &[run.id.into(), what.as_str().into(), entitlement.into(), said.into()],
    )
}

/// What a run did, from a line on.
pub(super) fn lines(sql: &dyn Sql, run: i64, after: i64, limit: i64) -> Result<Vec<Line>, SqlError> {
    let rows = sql.query(
        "SELECT run || '/' || n, n, what, entitlement, text FROM connect_line WHERE run = ? AND n > ? ORDER BY n LIMIT ?",
        &[run.into(), after.into(), limit.into()],
    )?;
    rows::readable(sql, "connect_line", &rows, |row| match row {
        [_, n, what, entitlement, text] => Some(Line {
            n: n.integer()?,
            what: What::parse(what.text()?)?,
            entitlement: entitlement.text().map(str::to_owned),
            text: text.text()?.to_owned(),
        }),
        _ => None,
    })
}

/// The connection. One that this version cannot read is an error: what is connected is not known then, and nothing is not what is connected.
pub(super) fn connection(sql: &dyn Sql) -> Result<Connection, SqlError> {
    readable_connection(sql)?.ok_or_else(|| SqlError::unreadable("the connection"))
}

/// The connection; `None` where this version cannot read it.
pub(super) fn readable_connection(sql: &dyn Sql) -> Result<Option<Connection>, SqlError> {
    let statement = "SELECT name, CASE version WHEN 1 THEN body END FROM connect_state WHERE name = 'connection'";
    let rows = sql.query(statement, &[])?;
    if rows.is_empty() {
        return Ok(Some(Connection::default()));
    }
    Ok(rows::readable(sql, "connect_state", &rows, |row| parsed(row.get(1)?, "the connection").ok())?.pop())
}

/// Changes the connection.
pub(super) fn connect(sql: &dyn Sql, change: &mut dyn FnMut(&mut Connection)) -> Result<(), SqlError> {
    let mut connection = connection(sql)?;
    change(&mut connection);
    keep(sql, &connection)
}

fn keep(sql: &dyn Sql, connection: &Connection) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO connect_state (name, body) VALUES ('connection', ?1) ON CONFLICT (name) DO UPDATE SET body = ?1",
        &[text(connection)?.into()],
    )
}

/// Notes that approvals or automations come by the webhook, which is then not this connector's alone to take away.
pub fn came_by(sql: &dyn Sql, what: &str) -> Result<(), SqlError> {
    // What this version cannot read it does not take away either.
    if readable_connection(sql)?.is_none_or(|connection| connection.serves.is_some()) {
        return Ok(());
    }
    connect(sql, &mut |connection| connection.serves = Some(what.to_owned()))
}

/// Whether it was last asked for to put back what was there before, and that did not go through: then somebody has to connect again.
pub fn undo_asked(sql: &dyn Sql) -> Result<bool, SqlError> {
    Ok(readable_connection(sql)?.is_some_and(|connection| connection.undo_asked))
}

/// The apps that earlier runs connected, and those that were put back since while no other one is connected.
pub fn connected_apps(sql: &dyn Sql) -> Result<Vec<String>, SqlError> {
    Ok(connection(sql)?.connected())
}

/// Notes that C1's test event arrived.
pub fn arrived(sql: &dyn Sql, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO connect_state (name, body) VALUES ('arrival', ?1) ON CONFLICT (name) DO UPDATE SET version = 1, body = ?1",
        &[text(&now)?.into()],
    )
}

/// When C1's test event last arrived.
pub(super) fn arrival(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    let value = sql.one("SELECT body FROM connect_state WHERE name = 'arrival' AND version = 1", &[])?;
    // One that cannot be read is as good as none: the next one takes its place.
    Ok(value.as_ref().and_then(|body| parsed(body, "the arrival").ok()))
}

/// Since when C1 was seen not to know which entitlements; nothing where this version cannot read that.
pub(super) fn missed(sql: &dyn Sql) -> Result<BTreeMap<String, Timestamp>, SqlError> {
    let value = sql.one("SELECT body FROM connect_state WHERE name = 'missed' AND version = 1", &[])?;
    Ok(value.as_ref().and_then(|value| parsed(value, "what is missed").ok()).unwrap_or_default())
}

pub(super) fn note_missed(sql: &dyn Sql, since: &BTreeMap<String, Timestamp>) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO connect_state (name, body) VALUES ('missed', ?1) ON CONFLICT (name) DO UPDATE SET version = 1, body = ?1",
        &[text(since)?.into()],
    )
}

/// Forgets the connection, but for the apps: were none pinned any more, the tasks of every app of the tenant would be taken, by a webhook that may stay.
/// What was given up waiting for may come up again.
pub(super) fn disconnect(sql: &dyn Sql) -> Result<(), SqlError> {
    keep(sql, &Connection { apps: connected_apps(sql)?, ..Connection::default() })?;
    sql.run("DELETE FROM connect_state WHERE name = 'missed'", &[])?;
    sql.run("DELETE FROM connect_given_up", &[])?;
    entitlements::unsettle(sql)?;
    entitlements::forget_listed(sql)
}

#[cfg(test)]
mod tests {
    use super::{arrival, arrived, init};
    use crate::base::fakes::Desk;
    use crate::base::ports::Clock as _;

    #[test]
    fn the_last_arrival_counts() {
        let desk = Desk::new();
        init(&desk).unwrap();
        assert_eq!(arrival(&desk).unwrap(), None);
        for _ in 0..2 {
            desk.advance(5);
            arrived(&desk, desk.now()).unwrap();
        }
        assert_eq!(arrival(&desk).unwrap(), Some(desk.now()));
    }
}
