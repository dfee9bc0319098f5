//! Writes whose answer got lost. What became of one is settled by reading, within the operation; but one that was not
//! carried out then may be carried out *late*, after another operation's write of the same member, and would undo that.
//! So each such member is read once more when no write can be on its way any longer, and what was undone is put right.

use std::collections::BTreeSet;

use super::execute;
use super::incidents::{self, Incident, Kind};
use super::journal::{self, EntryId};
use super::lock::Locks;
use super::policies;
use super::written;
use crate::cloudflare::{ApiError, Client, Purpose};
use crate::config::Config;
use crate::model::access::{Access, Atom, atoms};
use crate::model::id::MemberId;
use crate::ports::{Clock, Http, Level, Log, Sql, SqlError, SqlValue};
use crate::time::Timestamp;

/// A request that Cloudflare has not carried out after so long it will not any more: its edge gives up on the origin after
/// 120 s (`reference/cloudflare.md` 3.5).
const LATEST_SECS: i64 = 150;

/// So many members are looked at in one go.
const BATCH: i64 = 20;

pub(super) fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS doubt (
            member TEXT PRIMARY KEY, operation INTEGER NOT NULL, due_at INTEGER NOT NULL, lost TEXT NOT NULL, expected TEXT)
         WITHOUT ROWID",
        &[],
    )?;
    Ok(())
}

/// Notes that a write of these atoms may still be carried out.
pub(super) fn lost<P: Sql>(
    sql: &P,
    member: MemberId,
    operation: EntryId,
    planned: &BTreeSet<Atom>,
    now: Timestamp,
) -> Result<(), SqlError> {
    let mut lost = match find(sql, member)? {
        Some(known) => known.lost,
        None => Vec::new(),
    };
    if !lost.contains(planned) {
        lost.push(planned.clone());
    }
    sql.query(
        "INSERT INTO doubt (member, operation, due_at, lost) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (member) DO UPDATE SET operation = ?2, due_at = ?3, lost = ?4",
        &[member.to_string().into(), operation.0.into(), now.plus_secs(LATEST_SECS).into(), json(&lost)?.into()],
    )?;
    Ok(())
}

/// Notes what a member holds after a write that was read back.
pub(super) fn seen<P: Sql>(sql: &P, member: MemberId, atoms: &BTreeSet<Atom>) -> Result<(), SqlError> {
    let expected = json(atoms)?;
    sql.query("UPDATE doubt SET expected = ? WHERE member = ?", &[expected.into(), member.to_string().into()])?;
    Ok(())
}

/// When the next member is to be looked at.
pub(super) fn next_due<P: Sql>(sql: &P) -> Result<Option<Timestamp>, SqlError> {
    let rows = sql.query("SELECT MIN(due_at) FROM doubt", &[])?;
    Ok(rows.first().and_then(|row| row.first()).and_then(SqlValue::integer).map(Timestamp::from_millis))
}

/// Looks at the members that are due.
pub(super) async fn look_again<P: Http + Clock + Sql + Log>(
    ports: &P,
    config: &Config,
    locks: &Locks,
) -> Result<(), SqlError> {
    let rows = ports.query(
        "SELECT member FROM doubt WHERE due_at <= ? ORDER BY due_at LIMIT ?",
        &[ports.now().into(), BATCH.into()],
    )?;
    let due: Vec<MemberId> = rows.iter().filter_map(|row| row.first()?.text()?.parse().ok()).collect();
    for member in due {
        let _turn = locks.acquire(&member.to_string(), || ports.now()).await;
        let Some(doubt) = find(ports, member)? else { continue };
        if let Err(error) = settle(ports, config, member, &doubt).await {
            let again = error.retry_at().unwrap_or_else(|| ports.now().plus_secs(60));
            ports.query("UPDATE doubt SET due_at = ? WHERE member = ?", &[again.into(), member.to_string().into()])?;
        }
    }
    Ok(())
}

async fn settle<P: Http + Clock + Sql + Log>(
    ports: &P,
    config: &Config,
    member: MemberId,
    doubt: &Doubt,
) -> Result<(), ApiError> {
    let Some(expected) = &doubt.expected else {
        // Nothing was read back yet. The operation that goes on will do that; one that was refused left nothing to protect.
        if journal::is_settled(ports, doubt.operation)? {
            forget(ports, member)?;
        } else {
            let again = ports.now().plus_secs(LATEST_SECS);
            ports.query("UPDATE doubt SET due_at = ? WHERE member = ?", &[again.into(), member.to_string().into()])?;
        }
        return Ok(());
    };
    let client = Client::new(ports, config, Purpose::Provisioning);
    let record = match execute::read(ports, &client, member).await {
        Ok(record) => record,
        Err(ApiError::NotFound(_)) => return Ok(forget(ports, member)?),
        Err(error) => return Err(error),
    };
    let now = atoms(&record.own_policies());
    // Another state than a lost write's is somebody's newer decision.
    if now == *expected || !doubt.lost.contains(&now) || expected.is_empty() {
        return Ok(forget(ports, member)?);
    }
    if expected.iter().chain(&now).any(|atom| atom.access == Access::Unknown) {
        report(ports, doubt.operation, member, Kind::LateWriteStands)?;
        return Ok(forget(ports, member)?);
    }
    written::note(ports, member, &now, ports.now())?;
    written::note(ports, member, expected, ports.now())?;
    client.update_policies(member, &policies::of_atoms(expected)).await?;
    let repaired = atoms(&execute::read(ports, &client, member).await?.own_policies()) == *expected;
    if !repaired {
        return Err(ApiError::Refused("what was put right is not there to be read yet"));
    }
    report(ports, doubt.operation, member, Kind::LateWriteUndone)?;
    Ok(forget(ports, member)?)
}

fn report<P: Sql + Clock + Log>(ports: &P, operation: EntryId, member: MemberId, kind: Kind) -> Result<(), SqlError> {
    let message = match kind {
        Kind::LateWriteUndone => {
            "Cloudflare carried out an earlier write late, which took a later change back; the later change was put right."
        }
        _ => {
            "Cloudflare carried out an earlier write late, which took a later change back; the member has a policy of an unknown kind, so compare the member's access in Cloudflare's dashboard with /v1/operations."
        }
    };
    let incident = Incident {
        operation,
        kind,
        member: member.to_string(),
        message: message.to_owned(),
        actor: None,
        ray: None,
        at: ports.now(),
    };
    if incidents::report(ports, &format!("late {}", ports.now()), &incident)? {
        ports.log(
            Level::Warn,
            "a write was carried out late",
            serde_json::json!({ "operation": operation.0, "member": member.to_string() }),
        );
    }
    Ok(())
}

struct Doubt {
    operation: EntryId,
    lost: Vec<BTreeSet<Atom>>,
    expected: Option<BTreeSet<Atom>>,
}

fn find<P: Sql>(sql: &P, member: MemberId) -> Result<Option<Doubt>, SqlError> {
    let rows =
        sql.query("SELECT operation, lost, expected FROM doubt WHERE member = ?", &[member.to_string().into()])?;
    let Some([operation, lost, expected]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let unreadable = || SqlError("a write in doubt cannot be read".to_owned());
    Ok(Some(Doubt {
        operation: EntryId(operation.integer().ok_or_else(unreadable)?),
        lost: lost.text().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(unreadable)?,
        expected: expected.text().and_then(|text| serde_json::from_str(text).ok()),
    }))
}

fn forget<P: Sql>(sql: &P, member: MemberId) -> Result<(), SqlError> {
    sql.query("DELETE FROM doubt WHERE member = ?", &[member.to_string().into()])?;
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, SqlError> {
    serde_json::to_string(value).map_err(|error| SqlError(error.to_string()))
}
