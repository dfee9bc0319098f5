//! What is left to do once operations are answered: looking for writes that come late, and for others' writes that ours may have
//! replaced, in what was read of the audit log (`reference/cloudflare.md` 1.7, 2.4). Both on the Coordinator's alarm, in nobody's way.

use std::pin::pin;

use super::asking::Asking;
use super::execute::{self, Edit, EditOutcome};
use super::incident::{self, Incident};
use super::lock::Locks;
use super::open_writes::{self, CHECKS, LOOKS, OpenWrite, WriteKind};
use super::settings::Settings;
use super::{apart, group, heard, journal, last_writes, late_writes, read, removals};
use crate::account::Stopped;
use crate::account::overlay::{self, Aftermath};
use crate::audit::{Entry, entries, feed};
use crate::base::ports::{Clock, Http, HttpError, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::base::under_way::{do_all, task};
use crate::cloudflare;
use crate::cloudflare::{ApiError, Client, Purpose};
use crate::model::access::atoms;
use crate::model::id::UserGroupId;
use crate::model::operation::Outcome;
use crate::snapshot;
use futures::future::{Either, select};

/// How many late writes one alarm looks for at most, a GET each.
const CHECKS_AT_ONCE: i64 = 10;

/// How many looks go on side by side: of the six connections of a Worker, operations have four.
const SIDE_BY_SIDE: usize = 2;

/// A look that takes longer than this is cut off, and made again: others wait to be looked after. So is putting right what was found;
/// that is a change like any other, and has the time for it also where everything is slow.
const LOOK_MILLIS: u32 = 10_000;
const PUT_RIGHT_MILLIS: u32 = 90_000;

/// Writes that are looked up at once.
const WRITES_AT_ONCE: i64 = 500;

/// When a write is looked up that the log is not read up to yet.
const UNREAD_SECS: i64 = 30;

/// Cloudflare's clock and this one's may differ, and a write is in force a moment before or after its entry's time.
const SLACK_MILLIS: i64 = 2_000;

/// A write that the log could not be asked about for a day is left alone, and one that could not be looked for within seven.
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A write of an operation that is not settled is looked for again after this.
const UNSETTLED_SECS: i64 = 10 * 60;

/// What a late write undid is tried to be made once more for this long.
const TRY_MILLIS: i64 = 60 * 60 * 1_000;

/// When there is something to do next.
pub fn next_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    Ok([late_writes_due(sql)?, audit_log_due(sql)?].into_iter().flatten().min())
}

/// When a write whose answer never came is next looked for.
pub fn late_writes_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    open_writes::check_due(sql)
}

/// When a write is next looked up in what was read of the audit log.
pub fn audit_log_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    open_writes::look_due(sql)
}

/// Looks for the writes whose answer never came and whose time it is, `most` of them, side by side: one that takes long keeps no other waiting.
pub async fn look_for_late_writes<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    settings: &Settings,
    locks: &Locks,
    most: i64,
) -> Result<(), SqlError> {
    let due = open_writes::unanswered(ports, ports.now(), most.min(CHECKS_AT_ONCE))?;
    let checks = due.into_iter().map(|write| {
        task(async move {
            match within(ports, PUT_RIGHT_MILLIS, check(ports, cloudflare, settings, locks, &write)).await {
                Some(checked) => checked,
                None => match open_writes::still_open(ports, write.id)? {
                    Some(write) => again(ports, &write, None),
                    None => Ok(()),
                },
            }
        })
    });
    do_all(SIDE_BY_SIDE, checks).await
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
    write: &OpenWrite,
) -> Result<(), SqlError> {
    let turn = locks.acquire(&write.member.to_string(), || ports.now()).await;
    // Others may have been busy with the member while this waited.
    let Some(write) = open_writes::still_open(ports, write.id)? else { return Ok(()) };
    // Should the look be cut off, it is made again.
    open_writes::checked(ports, write.id, Some(ports.now().plus_secs(30)))?;
    let client = Client::new(ports, cloudflare, Purpose::Provisioning).seated(locks.seats());
    let asking = Asking {
        ports,
        settings,
        locks,
        client: &client,
        operation: write.operation,
        comes_again: true,
        asked_for: std::slice::from_ref(&write.email),
    };
    let looked = look(&asking, &write).await;
    // Whom our own removal ended late nobody else tells readers of: what the log says of the connector's token is not listened to.
    if write.kind == WriteKind::Removal && open_writes::still_open(ports, write.id)?.is_none() {
        drop(turn);
        drop(heard::note_gone(ports, None, locks, &[write.member]).await);
    }
    // Room that was taken to put something right, and not used, is no operation's that is over.
    if journal::is_settled(ports, write.operation)? {
        removals::give_back(ports, write.operation)?;
    }
    match looked {
        Ok(next) => open_writes::checked(ports, write.id, next),
        Err(Stopped::Storage(message)) => Err(SqlError(message)),
        Err(Stopped::Api(error)) => again(ports, &write, error.retry_at()),
        Err(Stopped::NotNow(_)) => again(ports, &write, None),
        Err(Stopped::Until(_, at)) => again(ports, &write, Some(at.min(ports.now().plus_secs(30)))),
        Err(Stopped::Ended(Outcome::NotNow { retry_at, .. })) if ports.now().since(write.at) < TRY_MILLIS => {
            again(ports, &write, retry_at)
        }
        Err(Stopped::Ended(Outcome::NotNow { message, .. } | Outcome::Refused { message, .. })) => {
            give_up(ports, &write, &message)
        }
        Err(Stopped::Ended(Outcome::Done { .. })) => Ok(()),
    }
}

/// A look that came to nothing is made again, ever later: a token that ended on a Friday is renewed within the week.
fn again<P: Clock + Sql>(ports: &P, write: &OpenWrite, at: Option<Timestamp>) -> Result<(), SqlError> {
    let (now, age) = (ports.now(), ports.now().since(write.at));
    let grown = now.plus_millis((age / 8).clamp(15_000, 60 * 60 * 1_000));
    let given_up = age > 7 * DAY_MILLIS;
    open_writes::checked(ports, write.id, (!given_up).then_some(at.map_or(grown, |at| at.max(grown))))
}

/// A late write that must not or cannot be taken back is told, and left.
fn give_up<P: Clock + Sql>(ports: &P, write: &OpenWrite, why: &str) -> Result<(), SqlError> {
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
    write: &OpenWrite,
) -> Result<Option<Timestamp>, Stopped> {
    let (ports, now) = (asking.ports, asking.ports.now());
    let age = now.since(write.at) / 1_000;
    let mut next = CHECKS.into_iter().find(|secs| *secs > age).map(|secs| write.at.plus_secs(secs));
    if next.is_none() && !journal::is_settled(ports, write.operation)? {
        // It may be sent again, and which of them is seen then cannot be told.
        next = Some(now.plus_secs(UNSETTLED_SECS));
    }
    match write.kind {
        WriteKind::Policies => look_at_policies(asking, write, next).await,
        WriteKind::Removal => match seen(ports, asking.client.member(write.member)).await {
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
        WriteKind::Join(group) => look_at_group(asking, write, group, true, next).await,
        WriteKind::Leave(group) => look_at_group(asking, write, group, false, next).await,
    }
}

async fn look_at_policies<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    write: &OpenWrite,
    next: Option<Timestamp>,
) -> Result<Option<Timestamp>, Stopped> {
    let (ports, now) = (asking.ports, asking.ports.now());
    let Some(expected) = &write.expected else {
        // Nothing was done with the member since: there is nothing that it could undo.
        return Ok(next);
    };
    let member = match seen(ports, read::member(ports, asking.client, write.member)).await {
        Ok(member) => member,
        // One answer is no proof: a read may be behind the invitation, and the write is carried out all the same.
        Err(ApiError::NotFound(_)) => return Ok(next),
        Err(error) => return Err(error.into()),
    };
    let seen = atoms(&member.own_policies()?);
    if seen != write.planned || seen == *expected {
        return Ok(next);
    }
    // Not long after our last write this may as well be a read that is behind: it is looked at again until it cannot be.
    if last_writes::stale_until(ports, write.member, &seen, now)?.is_some() {
        return Ok(Some(now.plus_secs(15)));
    }
    let would = "would have put right what a late write did";
    match execute::change(asking, member, &Edit::default(), would).await? {
        EditOutcome::Made(member) | EditOutcome::AlreadySo(member) => {
            let snapshot = snapshot::latest(ports).await.ok().flatten();
            let left = Aftermath { member: &member, gone: false, group: None, about: None, is_fresh: true };
            overlay::note(ports, snapshot.as_ref(), left, ports.now()).await?;
            // One that was carried out is not carried out again. Of two that were to leave the same it was either, and the younger may come yet.
            Ok(open_writes::still_open(ports, write.id)?.and(next))
        }
        EditOutcome::WouldBeEmpty | EditOutcome::UnknownPolicy | EditOutcome::NotSeen => {
            Err(Stopped::Ended(Outcome::NotNow {
                message: "the later changes could not be made once more".to_owned(),
                retry_at: Some(ports.now().plus_secs(30)),
            }))
        }
    }
}

async fn look_at_group<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    write: &OpenWrite,
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
    if last_writes::group_stale_until(ports, group, write.member, is_in, now)?.is_some() {
        return Ok(Some(now.plus_secs(15)));
    }
    let member = match read::member(ports, asking.client, write.member).await {
        Ok(member) => member,
        Err(ApiError::NotFound(_)) => return Ok(next),
        Err(error) => return Err(error.into()),
    };
    if !group::put(asking, group, &group.to_string(), &member, !joins).await? {
        return Ok(Some(now.plus_secs(30)));
    }
    let snapshot = snapshot::latest(ports).await.ok().flatten();
    let member = apart::for_readers(ports, &member)?;
    let left = Aftermath { member: &member, gone: false, group: Some((group, !joins)), about: None, is_fresh: true };
    overlay::note(ports, snapshot.as_ref(), left, ports.now()).await?;
    late_writes::note(ports, write, "that was put right, and nothing needs to be done", ports.now())?;
    Ok(None)
}

/// Looks the writes up that are due, in what was read of the audit log: nothing is asked of Cloudflare for it.
pub fn look_into_audit_log<P: Clock + Sql>(ports: &P) -> Result<(), SqlError> {
    let now = ports.now();
    let due = open_writes::unlooked(ports, now, WRITES_AT_ONCE)?;
    if due.is_empty() {
        return Ok(());
    }
    // A log that is turned off tells nothing. One that cannot be read now is asked again, and may tell it then.
    let Some(log) = feed::state(ports)?.filter(|log| log.readable || log.next_at.is_some()) else {
        return due.iter().try_for_each(|write| open_writes::looked(ports, write.id, write.looks + 1, None));
    };
    for write in due {
        let until = ended(&write).plus_millis(SLACK_MILLIS);
        let is_read = log.readable && log.read_until.is_some_and(|read| read >= until);
        if log.ours.is_none() || !is_read {
            let given_up = now.since(write.at) > DAY_MILLIS;
            let soon = now.plus_secs(UNREAD_SECS);
            let later = (!given_up).then(|| log.next_at.filter(|_| !log.readable).map_or(soon, |next| next.max(soon)));
            open_writes::looked(ports, write.id, write.looks, later)?;
            continue;
        }
        // The read may have been behind, and what it did not show was taken back by the write.
        let from = write.read_at.plus_secs(-overlay::LAG_SECS);
        for entry in entries::of_member(ports, write.member, from, until)? {
            if !log.is_ours(entry.token_id.as_deref(), entry.at) && !is_our_request(ports, &write, &entry)? {
                report(ports, &write, &entry)?;
            }
        }
        let looks = write.looks + 1;
        let next = usize::try_from(looks).ok().and_then(|looks| LOOKS.get(looks));
        open_writes::looked(ports, write.id, looks, next.map(|secs| write.at.plus_secs(*secs).max(now)))?;
    }
    Ok(())
}

/// Whether an entry is of this write, or of another one of ours a moment before: the log need not name the token that something was done with.
fn is_our_request(sql: &dyn Sql, write: &OpenWrite, entry: &Entry) -> Result<bool, SqlError> {
    let Some(theirs) = entry.ray.as_deref().map(request_of).filter(|ray| !ray.is_empty()) else { return Ok(false) };
    Ok(write.ray.as_deref().map(request_of) == Some(theirs) || journal::has_in_trail(sql, write.member, theirs)?)
}

/// A ray id without the data centre, which the header has behind it and the log has not.
fn request_of(ray: &str) -> &str {
    ray.split('-').next().unwrap_or(ray)
}

fn ended(write: &OpenWrite) -> Timestamp {
    // A write that nobody answered may have been carried out until it was last looked for.
    write.answered_at.unwrap_or_else(|| write.at.plus_secs(60))
}

fn report<P: Clock + Sql>(ports: &P, write: &OpenWrite, entry: &Entry) -> Result<(), SqlError> {
    let what = if entry.description.is_empty() { "a change" } else { &entry.description };
    let (who, email) = (entry.author.in_words(), &write.email);
    let message = match write.kind {
        WriteKind::Removal => format!(
            "{who} changed the invitation of {email} ({what}) right before this operation removed it, to make it again; where that was its acceptance, the membership that came of it went along, and {email} has to accept the new invitation."
        ),
        _ => format!(
            "{who} changed {email} ({what}) right before this operation or while it ran, which may have overwritten it; compare the member with what was intended, and make the change again where it is missing."
        ),
    };
    let incident = Incident {
        kind: incident::IncidentKind::ForeignWrite,
        at: entry.at,
        operation: write.operation,
        member: write.member.to_string(),
        email: write.email.clone(),
        message,
        actor: Some(entry.author.who.clone()),
        through: Some(entry.author.through.clone()),
        reference: entry.ray.clone().or_else(|| Some(entry.id.clone())),
    };
    if incident::note(ports, &format!("audit/{}", entry.id), &incident)? {
        journal::remark(ports, write.operation, "somebody else wrote to the member at about that time", ports.now())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::request_of;

    #[test]
    fn a_ray_is_the_same_with_and_without_its_data_centre() {
        assert_eq!(request_of("8e9b1c60ef9e1c9a-FRA"), request_of("8e9b1c60ef9e1c9a"));
    }
}
