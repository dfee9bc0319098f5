//! What connecting remembers: the runs and what each did, the entitlements as last listed, what each was before it was first
//! changed, and the connection itself. All in the Coordinator's SQLite.
//!
//! **Invariants:** what was there before is on disk before a change is sent, and is never overwritten by a later run; one run at
//! most is running.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::conductorone::apps::Policy;
use crate::ports::{Sql, SqlError, SqlValue};
use crate::time::Timestamp;

use super::report::{Counts, Line, Named, RunState, What};
use super::steps::Phase;
use super::{Mode, Options};

/// A run: what was asked, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    #[serde(skip)]
    pub id: i64,
    /// What was asked.
    pub options: Options,
    /// Who asked: `api`, or `auto_wire`.
    pub by: String,
    /// How it stands.
    pub state: RunState,
    /// What comes next.
    pub(super) phase: Phase,
    /// The app.
    pub app: Option<Named>,
    /// The webhook's id.
    pub webhook: Option<String>,
    /// What was found and done.
    pub counts: Counts,
    /// How it ended, or why it waits.
    pub message: Option<String>,
    /// How often in a row C1 could not be asked.
    pub(super) attempts: u32,
    /// When it goes on.
    pub(super) due_at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// The connection: what a run set up and the next one finds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    /// The app that stands for the account.
    pub app: Option<Named>,
    /// The webhook's id.
    pub webhook: Option<String>,
    /// Whether this connector created the webhook.
    pub created: bool,
    /// The URL for which one is being created: should nobody note its id, it is found by that.
    pub creating: Option<String>,
    /// Webhooks that entitlements were pointed at earlier.
    pub former: Vec<String>,
    /// How many entitlements lead to the webhook, as last listed.
    pub wired: u32,
    /// When a run last went through.
    pub connected_at: Option<Timestamp>,
    /// When a test event last arrived.
    pub verified_at: Option<Timestamp>,
}

impl Connection {
    /// The webhooks that are or were ours to point at.
    pub(super) fn ours(&self) -> Vec<String> {
        self.former.iter().chain(&self.webhook).cloned().collect()
    }
}

/// An entitlement as last listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) n: i64,
    pub(super) id: String,
    pub(super) name: String,
    /// This connector's id of it, or [`ACCESS`] for C1's own; empty where it is none of ours.
    pub(super) own: String,
    pub(super) provisioner: Policy,
    pub(super) deprovisioner: Policy,
}

/// What stands for C1's builtin Access entitlement.
pub(super) const ACCESS: &str = "access";

/// What an entitlement was before it was first changed; a side that was not changed is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) app: String,
    pub(super) entitlement: String,
    pub(super) name: String,
    pub(super) provisioner: Option<Policy>,
    pub(super) deprovisioner: Option<Policy>,
}

/// So many runs are kept.
const RUNS_KEPT: i64 = 20;

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS connect_run (
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, running INTEGER NOT NULL,
            body TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS connect_line (
            run INTEGER NOT NULL, n INTEGER NOT NULL, what TEXT NOT NULL, entitlement TEXT, text TEXT NOT NULL,
            PRIMARY KEY (run, n)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS connect_entitlement (
            n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, own TEXT NOT NULL,
            provisioner TEXT NOT NULL, deprovisioner TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS connect_saved (
            app TEXT NOT NULL, entitlement TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, name TEXT NOT NULL,
            provisioner TEXT, deprovisioner TEXT, saved_at INTEGER NOT NULL,
            PRIMARY KEY (app, entitlement)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS connect_state (
            name TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, body TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS connect_given_up (own TEXT PRIMARY KEY) WITHOUT ROWID",
    ] {
        sql.query(statement, &[])?;
    }
    Ok(())
}

fn unreadable(what: &str) -> SqlError {
    SqlError(format!("{what} cannot be read"))
}

fn text(value: &impl Serialize) -> Result<String, SqlError> {
    serde_json::to_string(value).map_err(|error| SqlError(error.to_string()))
}

fn parsed<T: DeserializeOwned>(value: &SqlValue, what: &str) -> Result<T, SqlError> {
    value.text().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| unreadable(what))
}

/// Notes a new run; what is older than the last few is forgotten.
pub(super) fn begin<P: Sql>(sql: &P, run: &mut Run) -> Result<(), SqlError> {
    let rows =
        sql.query("INSERT INTO connect_run (running, body) VALUES (1, ?) RETURNING id", &[text(&run)?.into()])?;
    run.id =
        rows.first().and_then(|row| row.first()).and_then(SqlValue::integer).ok_or_else(|| unreadable("a run's id"))?;
    let oldest = [(run.id - RUNS_KEPT).into()];
    sql.query("DELETE FROM connect_run WHERE id <= ?", &oldest)?;
    sql.query("DELETE FROM connect_line WHERE run <= ?", &oldest)?;
    Ok(())
}

/// Notes how far a run is.
pub(super) fn store<P: Sql>(sql: &P, run: &Run) -> Result<(), SqlError> {
    let running = i64::from(run.state == RunState::Running);
    sql.query(
        "UPDATE connect_run SET running = ?, body = ? WHERE id = ?",
        &[running.into(), text(run)?.into(), run.id.into()],
    )?;
    Ok(())
}

fn run<P: Sql>(sql: &P, condition: &str) -> Result<Option<Run>, SqlError> {
    let rows = sql.query(&format!("SELECT id, body FROM connect_run {condition} ORDER BY id DESC LIMIT 1"), &[])?;
    let Some([id, body]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let id = id.integer().ok_or_else(|| unreadable("a run's id"))?;
    Ok(Some(Run { id, ..parsed(body, "a run")? }))
}

/// The run that is running.
pub fn running<P: Sql>(sql: &P) -> Result<Option<Run>, SqlError> {
    run(sql, "WHERE running = 1")
}

/// The latest run.
pub(super) fn latest<P: Sql>(sql: &P) -> Result<Option<Run>, SqlError> {
    run(sql, "")
}

/// Adds a line to what a run did.
pub(super) fn say<P: Sql>(
    sql: &P,
    run: &Run,
    what: What,
    entitlement: Option<&str>,
    said: String,
) -> Result<(), SqlError> {
    sql.query(
        "INSERT INTO connect_line (run, n, what, entitlement, text)
         VALUES (?1, (SELECT COALESCE(MAX(n), 0) + 1 FROM connect_line WHERE run = ?1), ?2, ?3, ?4)",
        &[run.id.into(), what.as_str().into(), entitlement.into(), said.into()],
    )?;
    Ok(())
}

/// What a run did, from a line on.
pub(super) fn lines<P: Sql>(sql: &P, run: i64, after: i64, limit: i64) -> Result<Vec<Line>, SqlError> {
    let rows = sql.query(
        "SELECT n, what, entitlement, text FROM connect_line WHERE run = ? AND n > ? ORDER BY n LIMIT ?",
        &[run.into(), after.into(), limit.into()],
    )?;
    let line = |row: &Vec<SqlValue>| match row.as_slice() {
        [n, what, entitlement, text] => Some(Line {
            n: n.integer()?,
            what: What::parse(what.text()?)?,
            entitlement: entitlement.text().map(str::to_owned),
            text: text.text()?.to_owned(),
        }),
        _ => None,
    };
    rows.iter().map(|row| line(row).ok_or_else(|| unreadable("a run's line"))).collect()
}

/// The connection.
pub(super) fn connection<P: Sql>(sql: &P) -> Result<Connection, SqlError> {
    let rows = sql.query("SELECT body FROM connect_state WHERE name = 'connection'", &[])?;
    match rows.first().and_then(|row| row.first()) {
        Some(body) => parsed(body, "the connection"),
        None => Ok(Connection::default()),
    }
}

/// Changes the connection.
pub(super) fn connect<P: Sql>(sql: &P, change: impl FnOnce(&mut Connection)) -> Result<(), SqlError> {
    let mut connection = connection(sql)?;
    change(&mut connection);
    sql.query(
        "INSERT INTO connect_state (name, body) VALUES ('connection', ?1) ON CONFLICT (name) DO UPDATE SET body = ?1",
        &[text(&connection)?.into()],
    )?;
    Ok(())
}

/// Notes that C1's test event arrived.
pub fn arrived<P: Sql>(sql: &P, now: Timestamp) -> Result<(), SqlError> {
    sql.query(
        "INSERT INTO connect_state (name, body) VALUES ('arrival', ?1) ON CONFLICT (name) DO UPDATE SET body = ?1",
        &[text(&now)?.into()],
    )?;
    Ok(())
}

/// When C1's test event last arrived.
pub(super) fn arrival<P: Sql>(sql: &P) -> Result<Option<Timestamp>, SqlError> {
    let rows = sql.query("SELECT body FROM connect_state WHERE name = 'arrival'", &[])?;
    rows.first().and_then(|row| row.first()).map(|body| parsed(body, "the arrival")).transpose()
}

/// Forgets the list of entitlements, before it is read anew.
pub(super) fn forget_listed<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query("DELETE FROM connect_entitlement", &[]).map(drop)
}

/// Notes an entitlement; one that comes twice, since pages shifted meanwhile, is one.
pub(super) fn list<P: Sql>(sql: &P, entitlement: &Listed) -> Result<(), SqlError> {
    sql.query(
        "INSERT INTO connect_entitlement (id, name, own, provisioner, deprovisioner) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
        &[
            entitlement.id.as_str().into(),
            entitlement.name.as_str().into(),
            entitlement.own.as_str().into(),
            entitlement.provisioner.value().to_string().into(),
            entitlement.deprovisioner.value().to_string().into(),
        ],
    )?;
    Ok(())
}

/// The next entitlements as listed.
pub(super) fn listed<P: Sql>(sql: &P, after: i64, limit: i64) -> Result<Vec<Listed>, SqlError> {
    let rows = sql.query(
        "SELECT n, id, name, own, provisioner, deprovisioner FROM connect_entitlement WHERE n > ? ORDER BY n LIMIT ?",
        &[after.into(), limit.into()],
    )?;
    let read = |row: &Vec<SqlValue>| match row.as_slice() {
        [n, id, name, own, provisioner, deprovisioner] => Some(Listed {
            n: n.integer()?,
            id: id.text()?.to_owned(),
            name: name.text()?.to_owned(),
            own: own.text()?.to_owned(),
            provisioner: policy(provisioner)?,
            deprovisioner: policy(deprovisioner)?,
        }),
        _ => None,
    };
    rows.iter().map(|row| read(row).ok_or_else(|| unreadable("a listed entitlement"))).collect()
}

fn policy(value: &SqlValue) -> Option<Policy> {
    Some(Policy::of(Some(serde_json::from_str(value.text()?).ok()?)))
}

/// This connector's ids that C1 knew when its entitlements were last listed, and those that were given up waiting for.
pub(super) fn known<P: Sql>(sql: &P) -> Result<Vec<String>, SqlError> {
    let rows = sql.query("SELECT own FROM connect_entitlement UNION SELECT own FROM connect_given_up", &[])?;
    Ok(rows.iter().filter_map(|row| row.first()?.text().map(str::to_owned)).collect())
}

/// Gives up waiting for C1 to learn of an entitlement.
pub(super) fn give_up<P: Sql>(sql: &P, own: &str) -> Result<(), SqlError> {
    sql.query("INSERT OR IGNORE INTO connect_given_up (own) VALUES (?)", &[own.into()]).map(drop)
}

/// Notes what an entitlement was, before it is changed; what was noted before stays.
pub(super) fn save<P: Sql>(sql: &P, saved: &Saved, now: Timestamp) -> Result<(), SqlError> {
    let side = |policy: &Option<Policy>| policy.as_ref().map(|policy| policy.value().to_string());
    sql.query(
        "INSERT INTO connect_saved (app, entitlement, name, provisioner, deprovisioner, saved_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (app, entitlement) DO UPDATE SET
            provisioner = COALESCE(provisioner, excluded.provisioner),
            deprovisioner = COALESCE(deprovisioner, excluded.deprovisioner)",
        &[
            saved.app.as_str().into(),
            saved.entitlement.as_str().into(),
            saved.name.as_str().into(),
            side(&saved.provisioner).into(),
            side(&saved.deprovisioner).into(),
            now.into(),
        ],
    )?;
    Ok(())
}

/// The next entitlement that was changed.
pub(super) fn next_saved<P: Sql>(sql: &P, after: &(String, String)) -> Result<Option<Saved>, SqlError> {
    let rows = sql.query(
        "SELECT app, entitlement, name, provisioner, deprovisioner FROM connect_saved
         WHERE (app, entitlement) > (?, ?) ORDER BY app, entitlement LIMIT 1",
        &[after.0.as_str().into(), after.1.as_str().into()],
    )?;
    let Some([app, entitlement, name, provisioner, deprovisioner]) = rows.first().map(Vec::as_slice) else {
        return Ok(None);
    };
    let word = |value: &SqlValue| value.text().map(str::to_owned).ok_or_else(|| unreadable("a saved entitlement"));
    // A side that cannot be read must not be taken for one that was not changed.
    let side = |value: &SqlValue| match value {
        SqlValue::Null => Ok(None),
        value => policy(value).map(Some).ok_or_else(|| unreadable("a saved policy")),
    };
    Ok(Some(Saved {
        app: word(app)?,
        entitlement: word(entitlement)?,
        name: word(name)?,
        provisioner: side(provisioner)?,
        deprovisioner: side(deprovisioner)?,
    }))
}

/// Forgets what an entitlement was: it is so again, or is not ours to put back any more.
pub(super) fn forget_saved<P: Sql>(sql: &P, saved: &Saved) -> Result<(), SqlError> {
    let key = [saved.app.as_str().into(), saved.entitlement.as_str().into()];
    sql.query("DELETE FROM connect_saved WHERE app = ? AND entitlement = ?", &key).map(drop)
}

/// Forgets the connection; what was given up waiting for may come up again.
pub(super) fn disconnect<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query("DELETE FROM connect_state WHERE name = 'connection'", &[])?;
    sql.query("DELETE FROM connect_given_up", &[])?;
    forget_listed(sql)
}

/// How many entitlements there are that can be put back.
pub(super) fn count_saved<P: Sql>(sql: &P) -> Result<i64, SqlError> {
    let rows = sql.query("SELECT COUNT(*) FROM connect_saved", &[])?;
    Ok(rows.first().and_then(|row| row.first()).and_then(SqlValue::integer).unwrap_or(0))
}

/// A run that begins now.
pub(super) fn new_run(options: Options, by: &str, now: Timestamp) -> Run {
    let phase = match options.mode() {
        Mode::Undo => Phase::Undo { after: Default::default() },
        Mode::Connect | Mode::DryRun => Phase::App,
    };
    Run {
        id: 0,
        options,
        by: by.to_owned(),
        state: RunState::Running,
        phase,
        app: None,
        webhook: None,
        counts: Counts::default(),
        message: None,
        attempts: 0,
        due_at: now,
        started_at: now,
        ended_at: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Saved, arrival, arrived, init, next_saved, save};
    use crate::conductorone::apps::Policy;
    use crate::ports::Clock as _;
    use crate::testing::Desk;

    #[test]
    fn what_was_there_first_is_never_overwritten() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let (connector, unset) = (Policy::of(Some(json!({ "connector": {} }))), Policy::default());
        let saved = |provisioner, deprovisioner| Saved {
            app: "a".into(),
            entitlement: "e".into(),
            name: "Admin".into(),
            provisioner,
            deprovisioner,
        };
        save(&desk, &saved(None, Some(unset.clone())), desk.now()).unwrap();
        save(&desk, &saved(Some(connector.clone()), Some(Policy::webhook("w"))), desk.now()).unwrap();
        let first = next_saved(&desk, &Default::default()).unwrap().unwrap();
        assert_eq!(first, saved(Some(connector), Some(unset)), "also where nothing was set");
        assert_eq!(next_saved(&desk, &("a".into(), "e".into())).unwrap(), None);
    }

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
