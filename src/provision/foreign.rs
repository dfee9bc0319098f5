//! Did somebody else write a member between our read and our write? Cloudflare's member update has no version check, so
//! such a change leaves no trace but in the audit log (`reference/cloudflare.md` 1.7, 2.4). There it is looked for afterwards,
//! some minutes later and out of the grant's way.
//!
//! **Invariant:** a look that fails costs nothing but itself: no operation waits for one, and none is changed by what it finds.

use std::collections::BTreeSet;

use super::incidents::{self, Incident, Kind};
use super::journal::EntryId;
use super::owner;
use crate::cloudflare::{ApiError, AuditEntry, AuditFilters, Client, Purpose};
use crate::config::Config;
use crate::model::id::MemberId;
use crate::ports::{Clock, Http, Level, Log, Sql, SqlError, SqlValue};
use crate::time::Timestamp;

/// When to look after a write: how late an entry may be is not documented, so there are two looks.
const LOOKS_SECS: [i64; 2] = [2 * 60, 15 * 60];

/// Their clock and ours may differ by so much.
const SKEW_MILLIS: i64 = 2_000;

/// So many pages of the log are read in a look; what is beyond is looked for the next time.
const MAX_PAGES: u32 = 5;

/// So many writes are looked after at once.
const BATCH: i64 = 200;

/// A log that the token may not read is not asked for again so soon.
const OFF_SECS: i64 = 24 * 60 * 60;

/// A write of ours: when the member was read that it was worked out from, and when it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window<'a> {
    pub(super) operation: EntryId,
    pub(super) member: MemberId,
    pub(super) read_at: Timestamp,
    pub(super) written_at: Timestamp,
    pub(super) ray: Option<&'a str>,
}

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    incidents::init(sql)?;
    sql.query(
        "CREATE TABLE IF NOT EXISTS audit_window (
            id INTEGER PRIMARY KEY AUTOINCREMENT, operation INTEGER NOT NULL, member TEXT NOT NULL, read_at INTEGER NOT NULL,
            written_at INTEGER NOT NULL, ray TEXT, looks INTEGER NOT NULL DEFAULT 0, due_at INTEGER NOT NULL)",
        &[],
    )?;
    sql.query("CREATE TABLE IF NOT EXISTS audit_off (id INTEGER PRIMARY KEY, until INTEGER NOT NULL)", &[])?;
    Ok(())
}

/// Notes a write to be looked after.
pub(super) fn note<P: Sql>(sql: &P, window: &Window<'_>, now: Timestamp) -> Result<(), SqlError> {
    if !sql.query("SELECT 1 FROM audit_off WHERE until > ?", &[now.into()])?.is_empty() {
        return Ok(());
    }
    sql.query(
        "INSERT INTO audit_window (operation, member, read_at, written_at, ray, due_at) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            window.operation.0.into(),
            window.member.to_string().into(),
            window.read_at.into(),
            window.written_at.into(),
            window.ray.into(),
            now.plus_secs(LOOKS_SECS[0]).into(),
        ],
    )?;
    Ok(())
}

/// When the next look is due.
pub(super) fn next_due<P: Sql>(sql: &P) -> Result<Option<Timestamp>, SqlError> {
    let rows = sql.query("SELECT MIN(due_at) FROM audit_window", &[])?;
    Ok(rows.first().and_then(|row| row.first()).and_then(SqlValue::integer).map(Timestamp::from_millis))
}

struct Due {
    id: i64,
    operation: EntryId,
    member: String,
    from: Timestamp,
    to: Timestamp,
    ray: Option<String>,
}

/// Looks after the writes that are due.
pub(super) async fn look<P: Http + Clock + Sql + Log>(ports: &P, config: &Config) -> Result<(), SqlError> {
    if next_due(ports)?.is_none_or(|at| at > ports.now()) {
        return Ok(());
    }
    // What is due within the next minute is looked for along with it: one request a minute at most.
    let due = due(ports, ports.now().plus_secs(60))?;
    let (Some(since), Some(before)) = (due.iter().map(|due| due.from).min(), due.iter().map(|due| due.to).max()) else {
        return Ok(());
    };
    // Not the reserve that grants have.
    let client = Client::new(ports, config, Purpose::Sync);
    let found = match entries(ports, config, &client, since, before).await {
        Ok(found) => found,
        Err(ApiError::Forbidden(_) | ApiError::Unauthorized(_) | ApiError::NotFound(_)) => {
            ports.query("DELETE FROM audit_window", &[])?;
            let until = ports.now().plus_secs(OFF_SECS);
            ports.query("INSERT OR REPLACE INTO audit_off (id, until) VALUES (1, ?)", &[until.into()])?;
            ports.log(Level::Warn, "the audit log cannot be read", serde_json::json!({ "again": until.to_string() }));
            return Ok(());
        }
        Err(error) => {
            let again = error.retry_at().unwrap_or_else(|| ports.now().plus_secs(LOOKS_SECS[0]));
            ports.query("UPDATE audit_window SET due_at = ? WHERE due_at <= ?", &[again.into(), ports.now().into()])?;
            return Ok(());
        }
    };
    for due in &due {
        for entry in found.iter().filter(|entry| is_foreign(due, entry)) {
            report(ports, due, entry)?;
        }
        let looked = ports.query(
            "UPDATE audit_window SET looks = looks + 1, due_at = written_at + ? WHERE id = ? AND looks = 0 RETURNING id",
            &[(LOOKS_SECS[1] * 1000).into(), due.id.into()],
        )?;
        if looked.is_empty() {
            ports.query("DELETE FROM audit_window WHERE id = ?", &[due.id.into()])?;
        }
    }
    Ok(())
}

fn due<P: Sql>(sql: &P, now: Timestamp) -> Result<Vec<Due>, SqlError> {
    let rows = sql.query(
        "SELECT id, operation, member, read_at, written_at, ray FROM audit_window WHERE due_at <= ? ORDER BY id LIMIT ?",
        &[now.into(), BATCH.into()],
    )?;
    let read = |row: &Vec<SqlValue>| match row.as_slice() {
        [id, operation, member, read_at, written_at, ray] => Some(Due {
            id: id.integer()?,
            operation: EntryId(operation.integer()?),
            member: member.text()?.to_owned(),
            from: Timestamp::from_millis(read_at.integer()?).plus_millis(-SKEW_MILLIS),
            to: Timestamp::from_millis(written_at.integer()?).plus_millis(SKEW_MILLIS),
            ray: ray.text().map(str::to_owned),
        }),
        _ => None,
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// The changes of members within a time, but for those that this connector's token made.
async fn entries<P: Http + Clock + Sql>(
    ports: &P,
    config: &Config,
    client: &Client<'_, P>,
    since: Timestamp,
    before: Timestamp,
) -> Result<Vec<AuditEntry>, ApiError> {
    let own = owner::of_token(ports, config, client).await?;
    let filters = AuditFilters {
        resource_product: Some("members".to_owned()),
        action_result: Some("success".to_owned()),
        ..AuditFilters::default()
    };
    let (mut found, mut cursor, mut known) = (Vec::new(), None::<String>, BTreeSet::new());
    for _ in 0..MAX_PAGES {
        let page = client.audit_log(since, before, &filters, cursor.as_deref()).await?;
        let before = found.len();
        found.extend(page.entries.into_iter().filter(|entry| known.insert(entry.id.clone())));
        cursor = page.cursor.filter(|cursor| !cursor.is_empty());
        if cursor.is_none() || found.len() == before {
            break;
        }
    }
    found.retain(|entry| entry.actor_token_id.as_deref() != Some(own.id.as_str()));
    Ok(found)
}

fn is_foreign(due: &Due, entry: &AuditEntry) -> bool {
    entry.resource_id.as_deref() == Some(due.member.as_str())
        && entry.at.is_some_and(|at| at >= due.from && at <= due.to)
        && (entry.ray.is_none() || entry.ray != due.ray)
}

fn report<P: Sql + Log>(ports: &P, due: &Due, entry: &AuditEntry) -> Result<(), SqlError> {
    let actor = entry.actor_email.clone().or_else(|| entry.actor_token_id.clone().map(|id| format!("token {id}")));
    let who = actor.as_deref().unwrap_or("somebody");
    let message = format!(
        "{who} changed this member at the same moment as this operation, and what they changed may have been overwritten; compare the member's access in Cloudflare's dashboard with what they meant to do."
    );
    let incident = Incident {
        operation: due.operation,
        kind: Kind::MayHaveBeenOverwritten,
        member: due.member.clone(),
        message,
        actor,
        ray: entry.ray.clone(),
        at: entry.at.unwrap_or(due.to),
    };
    if incidents::report(ports, &entry.id, &incident)? {
        let fields = serde_json::json!({ "operation": due.operation.0, "member": due.member, "ray": entry.ray });
        ports.log(Level::Warn, "somebody else's change of a member may have been overwritten", fields);
    }
    Ok(())
}
