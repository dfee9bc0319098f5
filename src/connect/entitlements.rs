//! What connecting remembers of C1's entitlements: as last listed, and what each was before it was first changed.
//!
//! **Invariant:** what was there before is on disk before a change is sent, and is never overwritten by a later run.

use crate::base::json;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::conductorone::apps::Policy;

use super::run::What;

/// An entitlement as last listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedEntitlement {
    pub(super) n: i64,
    pub(super) id: String,
    pub(super) name: String,
    /// This connector's id of it, or [`ACCESS`] for C1's own; empty where it is none of ours.
    pub(super) own: String,
    pub(super) provisioner: Policy,
    pub(super) deprovisioner: Policy,
    /// Whether a run that went through came to an end with it before.
    pub(super) settled: bool,
}

/// What stands for C1's builtin Access entitlement.
pub(super) const ACCESS: &str = "access";

/// The ids of an entitlement's app, and of itself.
pub(super) type EntitlementIds = (String, String);

/// What an entitlement was before it was first changed; a side that was not changed is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PoliciesBefore {
    pub(super) app: String,
    pub(super) entitlement: String,
    pub(super) name: String,
    pub(super) provisioner: Option<Policy>,
    pub(super) deprovisioner: Option<Policy>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    for statement in [
        "CREATE TABLE IF NOT EXISTS connect_entitlement ( \
            n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, own TEXT NOT NULL, \
            provisioner TEXT NOT NULL, deprovisioner TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS connect_saved ( \
            app TEXT NOT NULL, entitlement TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, name TEXT NOT NULL, \
            provisioner TEXT, deprovisioner TEXT, saved_at INTEGER NOT NULL, \
            PRIMARY KEY (app, entitlement)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS connect_settled (own TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS connect_given_up (own TEXT PRIMARY KEY) WITHOUT ROWID",
    ] {
        sql.run(statement, &[])?;
    }
    Ok(())
}

/// Forgets the list of entitlements, before it is read again.
pub(super) fn forget_listed(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("DELETE FROM connect_entitlement", &[])
}

/// Notes an entitlement; one that comes twice, since pages shifted meanwhile, is one.
pub(super) fn list(sql: &dyn Sql, entitlement: &ListedEntitlement) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO connect_entitlement (id, name, own, provisioner, deprovisioner) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO NOTHING",
        &[
            entitlement.id.as_str().into(),
            entitlement.name.as_str().into(),
            entitlement.own.as_str().into(),
            entitlement.provisioner.value().to_string().into(),
            entitlement.deprovisioner.value().to_string().into(),
        ],
    )
}

/// The next entitlements of an app as listed. Of those that an earlier version settled it noted no ids of C1's, and kept what each was before; what
/// was kept after the last run that went through is of one that did not, which may have changed nothing.
pub(super) fn listed(
    sql: &dyn Sql,
    app: &str,
    connected_at: Option<Timestamp>,
    after: i64,
    limit: i64,
) -> Result<Vec<ListedEntitlement>, SqlError> {
    let rows = sql.query(
        "SELECT n, id, name, own, provisioner, deprovisioner, id IN (SELECT own FROM connect_settled) OR ( \
            own IN (SELECT own FROM connect_settled) \
            AND EXISTS (SELECT 1 FROM connect_saved WHERE app = ? AND entitlement = connect_entitlement.id AND saved_at <= ?)) \
         FROM connect_entitlement WHERE n > ? ORDER BY n LIMIT ?",
        &[app.into(), connected_at.into(), after.into(), limit.into()],
    )?;
    let read = |row: &Vec<SqlValue>| match row.as_slice() {
        [n, id, name, own, provisioner, deprovisioner, settled] => Some(ListedEntitlement {
            n: n.integer()?,
            id: id.text()?.to_owned(),
            name: name.text()?.to_owned(),
            own: own.text()?.to_owned(),
            provisioner: policy(provisioner)?,
            deprovisioner: policy(deprovisioner)?,
            settled: settled.integer()? != 0,
        }),
        _ => None,
    };
    rows.iter().map(|row| read(row).ok_or_else(|| SqlError::unreadable("a listed entitlement"))).collect()
}

fn policy(value: &SqlValue) -> Option<Policy> {
    Some(Policy::of(Some(json::read_str(value.text()?).ok()?)))
}

/// Whether a role or group of the account is among what was listed.
pub(super) fn lists_ours(sql: &dyn Sql) -> Result<bool, SqlError> {
    sql.has("SELECT 1 FROM connect_entitlement WHERE own NOT IN ('', ?) LIMIT 1", &[ACCESS.into()])
}

/// Notes which entitlements a run that connects has come to an end with, by this connector's ids and by C1's: what was listed, but for what
/// it could not change.
pub(super) fn settle(sql: &dyn Sql, run: i64) -> Result<(), SqlError> {
    sql.run("DELETE FROM connect_settled", &[])?;
    sql.run(
        "WITH ended AS (SELECT id, own FROM connect_entitlement WHERE own NOT IN ( \
            SELECT listed.own FROM connect_line AS line JOIN connect_entitlement AS listed ON listed.id = line.entitlement \
            WHERE line.run = ? AND line.what = ?)) \
         INSERT INTO connect_settled (own) SELECT own FROM ended UNION SELECT id FROM ended WHERE own <> ''",
        &[run.into(), What::Failed.as_str().into()],
    )
}

/// Forgets which entitlements were settled.
pub(super) fn unsettle(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("DELETE FROM connect_settled", &[])
}

/// The ids of the entitlements that are settled, and of those that were given up waiting for.
pub(super) fn settled(sql: &dyn Sql) -> Result<Vec<String>, SqlError> {
    let rows = sql.query("SELECT own FROM connect_settled UNION SELECT own FROM connect_given_up", &[])?;
    Ok(rows.iter().filter_map(|row| row.first()?.text().map(str::to_owned)).collect())
}

/// Gives up waiting for C1 to learn of an entitlement.
pub(super) fn give_up(sql: &dyn Sql, own: &str) -> Result<(), SqlError> {
    sql.run("INSERT OR IGNORE INTO connect_given_up (own) VALUES (?)", &[own.into()])
}

/// Notes what an entitlement was, before it is changed; what was noted before stays.
pub(super) fn save(sql: &dyn Sql, saved: &PoliciesBefore, now: Timestamp) -> Result<(), SqlError> {
    let side = |policy: &Option<Policy>| policy.as_ref().map(|policy| policy.value().to_string());
    sql.run(
        "INSERT INTO connect_saved (app, entitlement, name, provisioner, deprovisioner, saved_at) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (app, entitlement) DO UPDATE SET \
            provisioner = COALESCE(provisioner, excluded.provisioner), \
            deprovisioner = COALESCE(deprovisioner, excluded.deprovisioner)",
        &[
            saved.app.as_str().into(),
            saved.entitlement.as_str().into(),
            saved.name.as_str().into(),
            side(&saved.provisioner).into(),
            side(&saved.deprovisioner).into(),
            now.into(),
        ],
    )
}

/// The next entitlement that was changed. One of which this version cannot read what it was is set aside, and known by its ids alone.
pub(super) fn next_saved(
    sql: &dyn Sql,
    after: &EntitlementIds,
) -> Result<Option<Result<PoliciesBefore, EntitlementIds>>, SqlError> {
    let found = sql.query(
        "SELECT app || ' ' || entitlement, app, entitlement, name, provisioner, deprovisioner, version FROM connect_saved \
         WHERE (app, entitlement) > (?, ?) ORDER BY app, entitlement LIMIT 1",
        &[after.0.as_str().into(), after.1.as_str().into()],
    )?;
    let text = |value: &SqlValue| value.text().map(str::to_owned);
    // A side that cannot be read must not be taken for one that was not changed.
    let side = |value: &SqlValue| match value {
        SqlValue::Null => Some(None),
        value => policy(value).map(Some),
    };
    let mut read = rows::readable(sql, "connect_saved", &found, |row| match row {
        [_, app, entitlement, name, provisioner, deprovisioner, version] if version.integer() == Some(1) => {
            Some(PoliciesBefore {
                app: text(app)?,
                entitlement: text(entitlement)?,
                name: text(name)?,
                provisioner: side(provisioner)?,
                deprovisioner: side(deprovisioner)?,
            })
        }
        _ => None,
    })?;
    let ids = found.first().and_then(|row| Some((text(row.get(1)?)?, text(row.get(2)?)?)));
    Ok(read.pop().map(Ok).or_else(|| ids.map(Err)))
}

/// Forgets what an entitlement was, and that it was settled: it is so again, or is not ours to put back any more.
pub(super) fn forget_saved(sql: &dyn Sql, saved: &PoliciesBefore) -> Result<(), SqlError> {
    let key = [saved.app.as_str().into(), saved.entitlement.as_str().into()];
    sql.run("DELETE FROM connect_saved WHERE app = ? AND entitlement = ?", &key)?;
    sql.run("DELETE FROM connect_settled WHERE own = ?", &[saved.entitlement.as_str().into()])
}

/// How many entitlements there are that can be put back.
pub(super) fn count_saved(sql: &dyn Sql) -> Result<i64, SqlError> {
    Ok(sql.number("SELECT COUNT(*) FROM connect_saved", &[])?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PoliciesBefore, init, next_saved, save};
    use crate::base::fakes::Desk;
    use crate::base::ports::Clock as _;
    use crate::conductorone::apps::Policy;

    #[test]
    fn what_was_there_first_is_never_overwritten() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let (connector, unset) = (Policy::of(Some(json!({ "connector": {} }))), Policy::default());
        let saved = |provisioner, deprovisioner| PoliciesBefore {
            app: "a".into(),
            entitlement: "e".into(),
            name: "Admin".into(),
            provisioner,
            deprovisioner,
        };
        save(&desk, &saved(None, Some(unset.clone())), desk.now()).unwrap();
        save(&desk, &saved(Some(connector.clone()), Some(Policy::webhook("w"))), desk.now()).unwrap();
        save(&desk, &saved(Some(Policy::webhook("w")), Some(Policy::webhook("w"))), desk.now()).unwrap();
        let first = next_saved(&desk, &Default::default()).unwrap().unwrap().unwrap();
        assert_eq!(first, saved(Some(connector), Some(unset)), "also where nothing was set");
        assert_eq!(next_saved(&desk, &("a".into(), "e".into())).unwrap(), None);
    }
}
