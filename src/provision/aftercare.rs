//! What is left to do once operations are answered: looking for writes that come late, and into the audit log for others' writes
//! that ours may have replaced (`reference/cloudflare.md` 1.7, 2.4). Both on the Coordinator's alarm, in nobody's way.

use std::pin::pin;

use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream;
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::execute::{self, Change, Edit};
use super::incident::{self, Incident};
use super::lock::Locks;
use super::open_writes::{self, CHECKS, Kind, LOOKS, Open};
use super::settings::Settings;
use super::{group, journal, last_writes, late_writes, read};
use crate::account::overlay::{self, Left};
use crate::account::{Stopped, identity};
use crate::base::json;
use crate::base::ports::{Clock, Http, HttpError, KeyValue, Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::cloudflare;
use crate::cloudflare::{ApiError, AuditEntry, AuditFilters, Client, Purpose};
use crate::model::access::atoms;
use crate::model::id::UserGroupId;
use crate::model::operation::Outcome;
use crate::snapshot;

/// How many late writes one alarm looks for, a GET each, and how many spans of the audit log it asks about.
const CHECKS_AT_ONCE: i64 = 10;
const SPANS_AT_ONCE: usize = 2;

/// How many looks go on side by side: of the six connections of a Worker, operations have four.
const SIDE_BY_SIDE: usize = 2;

/// A look that takes longer than this is cut off, and made again: others wait to be looked after. So is putting right what was found;
/// that is a change like any other, and has the time for it also where everything is slow.
const LOOK_MILLIS: u32 = 10_000;
const PUT_RIGHT_MILLIS: u32 = 90_000;

/// Writes that one question to the audit log is about at most, and how far they may lie apart.
const WRITES_AT_ONCE: i64 = 500;
const SPAN_MILLIS: i64 = 10 * 60 * 1_000;

/// Writes whose time comes within this are asked about along with those that are due.
const EARLY_SECS: i64 = 60;

/// 3,000 entries within ten minutes; a busier log is not read to its end.
const MAX_PAGES: usize = 3;

/// Cloudflare's clock and this one's may differ, and a write is in force a moment before or after its entry's time.
const SLACK_MILLIS: i64 = 2_000;

/// A log that may not be read is asked for again after this; what was written meanwhile is not looked up.
const UNREADABLE_SECS: i64 = 60 * 60;

/// A write that the log could not be asked about for a day is left alone.
const GIVE_UP_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A write of an operation that is not settled is looked for again after this.
const UNSETTLED_SECS: i64 = 10 * 60;

/// What a late write undid is tried to be made once more for this long.
const TRY_MILLIS: i64 = 60 * 60 * 1_000;

/// How the audit log stands, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Whether it could be read when it was last asked.
    pub readable: bool,
    /// A sentence about that.
    pub message: String,
    /// When it was last asked.
    pub at: Timestamp,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS audit_log (
            id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL DEFAULT 1, state TEXT NOT NULL)",
        &[],
    )?;
    Ok(())
}

/// How the audit log stood when it was last asked; `None` where it never was.
pub fn audit_log(sql: &dyn Sql) -> Result<Option<AuditLog>, SqlError> {
    let value = sql.one("SELECT state FROM audit_log WHERE id = 1", &[])?;
    Ok(value.as_ref().and_then(SqlValue::text).and_then(|text| json::read_str(text).ok()))
}

fn note_audit_log(sql: &dyn Sql, state: &AuditLog) -> Result<(), SqlError> {
    let text = serde_json::to_string(state)?;
    sql.query("INSERT OR REPLACE INTO audit_log (id, state) VALUES (1, ?)", &[text.into()])?;
    Ok(())
}

/// When there is something to do next.
pub fn next_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    Ok([late_writes_due(sql)?, audit_log_due(sql)?].into_iter().flatten().min())
}

/// When a write whose answer never came is next looked for.
pub fn late_writes_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    open_writes::check_due(sql)
}

/// When the audit log is next asked.
pub fn audit_log_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    open_writes::look_due(sql)
}

/// Looks for the writes whose answer never came and whose time it is, side by side: one that takes long keeps no other waiting.
pub async fn look_for_late_writes<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    settings: &Settings,
    locks: &Locks,
) -> Result<(), SqlError> {
    let due = open_writes::unanswered(ports, ports.now(), CHECKS_AT_ONCE)?;
    let mut checks = stream::iter(due)
        .map(|write| async move {
            match within(ports, PUT_RIGHT_MILLIS, check(ports, cloudflare, settings, locks, &write)).await {
                Some(checked) => checked,
                None => match open_writes::still_open(ports, write.id)? {
                    Some(write) => again(ports, &write, None),
                    None => Ok(()),
                },
            }
        })
        .buffer_unordered(SIDE_BY_SIDE);
    let mut failed = Ok(());
    while let Some(looked) = checks.next().await {
        failed = failed.and(looked);
    }
    failed
}

/// What comes of work that takes no longer than this; nothing where it does.
async fn within<P: Clock, T>(ports: &P, millis: u32, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(ports.sleep(millis))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// What is read of Cloudflare by a look.
async fn seen<P: Clock, T>(ports: &P, read: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let too_long = || Err(ApiError::Transport(HttpError::Timeout(LOOK_MILLIS)));
    within(ports, LOOK_MILLIS, read).await.unwrap_or_else(too_long)
}

/// Looks for a write whose answer never came, and puts right what it did late.
async fn check<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    settings: &Settings,
    locks: &Locks,
    write: &Open,
) -> Result<(), SqlError> {
    let _turn = locks.acquire(&write.member.to_string(), || ports.now()).await;
    // Others may have been busy with the member while this waited.
    let Some(write) = open_writes::still_open(ports, write.id)? else { return Ok(()) };
    // Should the look be cut off, it is made again.
    open_writes::checked(ports, write.id, Some(ports.now().plus_secs(30)))?;
    let client = Client::new(ports, cloudflare, Purpose::Provisioning).seated(locks.seats());
    let asking = Asking { ports, settings, locks, client: &client, operation: write.operation, comes_again: true };
    match look(&asking, &write).await {
        Ok(next) => open_writes::checked(ports, write.id, next),
        Err(Stopped::Storage(message)) => Err(SqlError(message)),
        Err(Stopped::Api(error)) => again(ports, &write, error.retry_at()),
        Err(Stopped::NotNow(_)) => again(ports, &write, None),
        Err(Stopped::Refused(Outcome::NotNow { retry_at, .. })) if ports.now().since(write.at) < TRY_MILLIS => {
            again(ports, &write, retry_at)
        }
        Err(Stopped::Refused(Outcome::NotNow { message, .. } | Outcome::Refused { message, .. })) => {
            give_up(ports, &write, &message)
        }
        Err(Stopped::Refused(Outcome::Done { .. })) => Ok(()),
    }
}

/// A look that came to nothing is made again, for a day.
fn again<P: Clock + Sql>(ports: &P, write: &Open, at: Option<Timestamp>) -> Result<(), SqlError> {
    let later = at.unwrap_or_else(|| ports.now().plus_secs(15)).max(ports.now().plus_secs(15));
    let given_up = ports.now().since(write.at) > GIVE_UP_MILLIS;
    open_writes::checked(ports, write.id, (!given_up).then_some(later))
}

/// A late write that must not or cannot be taken back is told, and left.
fn give_up<P: Clock + Sql>(ports: &P, write: &Open, why: &str) -> Result<(), SqlError> {
    let why = why.trim_end_matches('.');
    let and = format!(
        "this was not put right by itself ({why}), so compare the member with the journal in Cloudflare's dashboard"
    );
    late_writes::note(ports, write, &and, ports.now())?;
    open_writes::checked(ports, write.id, None)
}

/// One look; when to look again.
async fn look<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    write: &Open,
) -> Result<Option<Timestamp>, Stopped> {
    let (ports, now) = (asking.ports, asking.ports.now());
    let age = now.since(write.at) / 1_000;
    let mut next = CHECKS.into_iter().find(|secs| *secs > age).map(|secs| write.at.plus_secs(secs));
    if next.is_none() && !journal::is_settled(ports, write.operation)? {
        // It may be sent again, and which of them is seen then cannot be told.
        next = Some(now.plus_secs(UNSETTLED_SECS));
    }
    match write.kind {
        Kind::Policies => look_at_policies(asking, write, next).await,
        Kind::Removal => match seen(ports, asking.client.member(write.member)).await {
            Err(ApiError::NotFound(_)) => {
                if write.expected.is_some() {
                    let and = "nobody is invited again without being asked for, so do that where the person should have an account";
                    late_writes::note(ports, write, and, now)?;
                }
                open_writes::gone(ports, write.member)?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(next),
        },
        Kind::Join(group) => look_at_group(asking, write, group, true, next).await,
        Kind::Leave(group) => look_at_group(asking, write, group, false, next).await,
    }
}

async fn look_at_policies<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    write: &Open,
    next: Option<Timestamp>,
) -> Result<Option<Timestamp>, Stopped> {
    let (ports, now) = (asking.ports, asking.ports.now());
    let Some(expected) = &write.expected else {
        // Nothing was done with the member since: there is nothing that it could undo.
        return Ok(next);
    };
    let member = match seen(ports, read::member(ports, asking.client, write.member)).await {
        Ok(member) => member,
        Err(ApiError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let seen = atoms(&member.own_policies()?);
    if seen != write.planned || seen == *expected {
        return Ok(next);
    }
    // Not long after our last write this may as well be a read that is behind: it is looked at again until it cannot be.
    if last_writes::is_stale(ports, write.member, &seen, now)? {
        return Ok(Some(now.plus_secs(15)));
    }
    let would = "would have put right what a late write did";
    match execute::change(asking, member, &Edit::default(), would).await? {
        Change::Made(member) | Change::AlreadySo(member) => {
            let snapshot = snapshot::latest(ports).await.ok().flatten();
            let left = Left { member: &member, gone: false, group: None };
            overlay::note(ports, snapshot.as_ref(), left, ports.now()).await?;
            // One that was carried out is not carried out again.
            Ok(None)
        }
        Change::WouldBeEmpty | Change::UnknownPolicy | Change::NotSeen => Err(Stopped::Refused(Outcome::NotNow {
            message: "the later changes could not be made once more".to_owned(),
            retry_at: Some(ports.now().plus_secs(30)),
        })),
    }
}

async fn look_at_group<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    write: &Open,
    group: UserGroupId,
    joins: bool,
    next: Option<Timestamp>,
) -> Result<Option<Timestamp>, Stopped> {
    let (ports, now) = (asking.ports, asking.ports.now());
    if write.expected_in.is_none_or(|expected| expected == joins) {
        return Ok(next);
    }
    let is_in = seen(ports, asking.client.is_in_group(group, write.member)).await?;
    if is_in != joins {
        return Ok(next);
    }
    if last_writes::is_group_stale(ports, group, write.member, is_in, now)? {
        return Ok(Some(now.plus_secs(15)));
    }
    let member = match read::member(ports, asking.client, write.member).await {
        Ok(member) => member,
        Err(ApiError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !group::put(asking, group, &group.to_string(), &member, !joins).await? {
        return Ok(Some(now.plus_secs(30)));
    }
    let snapshot = snapshot::latest(ports).await.ok().flatten();
    let left = Left { member: &member, gone: false, group: Some((group, !joins)) };
    overlay::note(ports, snapshot.as_ref(), left, ports.now()).await?;
    late_writes::note(ports, write, "that was put right, and nothing needs to be done", ports.now())?;
    Ok(None)
}

/// Asks the audit log about the writes that are due, several at once.
pub async fn ask_audit_log<P: Http + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
) -> Result<(), SqlError> {
    let now = ports.now();
    if open_writes::unlooked(ports, now, 1)?.is_empty() {
        return Ok(());
    }
    let due = open_writes::unlooked(ports, now.plus_secs(EARLY_SECS), WRITES_AT_ONCE)?;
    let unreadable = audit_log(ports)?.filter(|log| !log.readable && now.since(log.at) < UNREADABLE_SECS * 1_000);
    if unreadable.is_some() {
        return due.iter().try_for_each(|write| open_writes::looked(ports, write.id, write.looks + 1, None));
    }
    let client = Client::new(ports, cloudflare, Purpose::Sync);
    for span in spans(due).into_iter().take(SPANS_AT_ONCE) {
        let found = match seen(ports, entries(ports, &client, &span)).await {
            Ok(found) => found,
            Err(error @ (ApiError::Forbidden(_) | ApiError::NotFound(_) | ApiError::Unauthorized(_))) => {
                let message = format!(
                    "The audit log cannot be read ({error}), so others' writes that were overwritten are not found; give the token Account Settings: Read."
                );
                note_audit_log(ports, &AuditLog { readable: false, message, at: now })?;
                return span.iter().try_for_each(|write| open_writes::looked(ports, write.id, write.looks + 1, None));
            }
            Err(error) => {
                let later = error.retry_at().unwrap_or_else(|| now.plus_secs(60)).max(now.plus_secs(60));
                return span.iter().try_for_each(|write| {
                    let given_up = now.since(write.at) > GIVE_UP_MILLIS;
                    open_writes::looked(ports, write.id, write.looks, (!given_up).then_some(later))
                });
            }
        };
        let message = "The audit log can be read.".to_owned();
        note_audit_log(ports, &AuditLog { readable: true, message, at: now })?;
        for write in &span {
            for entry in found.iter().filter(|entry| fell_between(write, entry)) {
                report(ports, write, entry)?;
            }
            let looks = write.looks + 1;
            let next = usize::try_from(looks).ok().and_then(|looks| LOOKS.get(looks));
            open_writes::looked(ports, write.id, looks, next.map(|secs| write.at.plus_secs(*secs).max(now)))?;
        }
    }
    Ok(())
}

/// The writes by the spans of time that the log is asked about.
fn spans(writes: Vec<Open>) -> Vec<Vec<Open>> {
    let mut spans: Vec<Vec<Open>> = Vec::new();
    for write in writes {
        match spans.last_mut() {
            Some(span) if span.first().is_some_and(|first| write.read_at.since(first.read_at) < SPAN_MILLIS) => {
                span.push(write);
            }
            _ => spans.push(vec![write]),
        }
    }
    spans
}

/// The entries of a span that others made.
async fn entries<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    span: &[Open],
) -> Result<Vec<AuditEntry>, ApiError> {
    let (Some(since), Some(before)) = (span.iter().map(|write| write.read_at).min(), span.iter().map(ended).max())
    else {
        return Ok(Vec::new());
    };
    let ours = identity::identity(ports, client).await?.token.to_string();
    let rays: Vec<&str> = span.iter().filter_map(|write| write.ray.as_deref()).map(request_of).collect();
    // Which product members are filed under is not documented: the member's id in an entry decides, not a filter.
    let filters = AuditFilters { action_result: Some("success".to_owned()), ..AuditFilters::default() };
    let (since, before) = (since.plus_millis(-SLACK_MILLIS), before.plus_millis(SLACK_MILLIS));
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let page = client.audit_log(since, before, &filters, cursor.as_deref()).await?;
        found.extend(page.entries.into_iter().filter(|entry| {
            let by_us = entry.actor_token_id.as_deref() == Some(ours.as_str());
            let our_request = entry.ray.as_deref().is_some_and(|ray| rays.contains(&request_of(ray)));
            !by_us && !our_request
        }));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

/// A ray id without the data centre, which the header has behind it and the log has not.
fn request_of(ray: &str) -> &str {
    ray.split('-').next().unwrap_or(ray)
}

fn ended(write: &Open) -> Timestamp {
    // A write that nobody answered may have been carried out until it was last looked for.
    write.answered_at.unwrap_or_else(|| write.at.plus_secs(60))
}

/// Whether an entry is of a write to the same member, between our read and our write.
fn fell_between(write: &Open, entry: &AuditEntry) -> bool {
    let member = write.member.to_string();
    let by_path = entry
        .uri
        .as_deref()
        .is_some_and(|uri| uri.contains(&format!("/members/{member}")) && !uri.contains("/user_groups/"));
    let is_member = entry.resource_id.as_deref() == Some(member.as_str()) || by_path;
    let from = write.read_at.plus_millis(-SLACK_MILLIS);
    let until = ended(write).plus_millis(SLACK_MILLIS);
    is_member && entry.at.is_some_and(|at| at >= from && at <= until)
}

fn report<P: Clock + Sql>(ports: &P, write: &Open, entry: &AuditEntry) -> Result<(), SqlError> {
    let actor = entry.actor_email.clone().or_else(|| entry.actor_token_id.clone()).or_else(|| entry.actor_id.clone());
    let who = actor.as_deref().unwrap_or("somebody");
    let what = entry.description.as_deref().unwrap_or("a change");
    let message = format!(
        "{who} changed {} ({what}) at the same moment as this operation, which may have overwritten it; compare the member with what was intended, and make the change again where it is missing.",
        write.email
    );
    let incident = Incident {
        kind: incident::Kind::ForeignWrite,
        at: entry.at.unwrap_or_else(|| ports.now()),
        operation: write.operation,
        member: write.member.to_string(),
        email: write.email.clone(),
        message,
        actor,
        reference: entry.ray.clone().or_else(|| Some(entry.id.clone())),
    };
    if incident::note(ports, &format!("audit/{}", entry.id), &incident)? {
        journal::remark(ports, write.operation, "somebody else wrote to the member at the same moment", ports.now())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeSet;

    use super::{Open, fell_between, request_of, spans};
    use crate::base::time::Timestamp;
    use crate::cloudflare::AuditEntry;
    use crate::provision::journal::EntryId;

    fn write(secs: i64) -> Open {
        Open {
            id: secs,
            operation: EntryId(1),
            kind: super::Kind::Policies,
            member: format!("{:032x}", 7).parse().unwrap(),
            email: "jane@example.com".into(),
            planned: BTreeSet::new(),
            expected: None,
            expected_in: None,
            read_at: Timestamp::from_secs(secs),
            at: Timestamp::from_secs(secs),
            answered_at: Some(Timestamp::from_secs(secs + 1)),
            ray: None,
            looks: 0,
        }
    }

    fn entry(secs: i64, resource: &str, uri: &str) -> AuditEntry {
        AuditEntry {
            id: "e".into(),
            at: Some(Timestamp::from_secs(secs)),
            action: None,
            description: None,
            actor_email: None,
            actor_id: None,
            actor_token_id: None,
            uri: Some(uri.into()),
            resource_id: Some(resource.into()),
            ray: None,
        }
    }

    #[test]
    fn only_a_write_to_the_same_member_around_the_same_time_counts() {
        let member = format!("{:032x}", 7);
        let path = format!("/accounts/a/members/{member}");
        for (secs, resource, uri, counts) in [
            (100, member.as_str(), "", true),
            (100, "policy", path.as_str(), true),
            (103, &member, "", true),
            (104, &member, "", false),
            (97, &member, "", false),
            (100, "other", "/accounts/a/members/other", false),
            (100, "group", &format!("/accounts/a/iam/user_groups/g/members/{member}"), false),
        ] {
            assert_eq!(fell_between(&write(100), &entry(secs, resource, uri)), counts, "{secs} {resource} {uri}");
        }
    }

    #[test]
    fn writes_that_lie_close_together_are_asked_about_at_once() {
        let lengths: Vec<usize> = spans([0, 10, 599, 600, 5_000].map(write).to_vec()).iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 1, 1]);
    }

    #[test]
    fn a_ray_is_the_same_with_and_without_its_data_centre() {
        assert_eq!(request_of("8e9b1c60ef9e1c9a-FRA"), request_of("8e9b1c60ef9e1c9a"));
    }
}
