//! What the changes in the ledger came from: an operation of ours, or somebody else as the audit log tells; `unknown` where nothing does.

use serde_json::{Value, json};

use super::memory::{Coordinator, Ports};
use super::settings::Settings;
use crate::account::default_role::Configured;
use crate::account::{Stopped, expiry, newest};
use crate::audit::{entries, feed};
use crate::base::ports::SqlError;
use crate::base::time::Timestamp;
use crate::ledger::past::{self, Authorship};
use crate::ledger::record::{self, UnexplainedChange};
use crate::model::grant::{Entitlement, Holding};
use crate::model::kind::Kind;
use crate::provision::journal::{self, EntryId, Own};
use crate::snapshot::Catalogue;

/// Changes that are looked at at once.
const AT_ONCE: usize = 400;

/// A generation has what happened before it was published, and after the crawl of the one before began: that may have taken as long.
const MARGIN_SECS: i64 = 15 * 60;

/// An entry may come as late as this.
const LATE_SECS: i64 = 15 * 60;

/// What was not read of the log for this long will not be.
const FORGOTTEN_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Who did what differs between two generations: of each grant by the ledger, of other rows by the log. Of what neither knows there is no
/// line, or one that says so.
pub(super) fn authors<P: Ports>(ports: &P, asked: &Authorship) -> Result<Vec<Value>, SqlError> {
    let mut told = past::newest_of(ports, asked)?;
    let (from, until) = (asked.published.0.plus_secs(-MARGIN_SECS), asked.published.1);
    for (key, member) in &asked.rows {
        let token = Kind::SECRETS.iter().find_map(|kind| key.strip_prefix(kind.prefix().as_str()));
        let author = if let Some(token) = token {
            entries::author_of_token(ports, token, from, until)?
        } else {
            let group = key.strip_prefix(Kind::Group.prefix().as_str());
            entries::author_of(ports, member.as_deref(), group, from, until)?
        };
        // An operation is told of grants alone: an entry of ours is about one of those, and somebody else's may still come.
        let (cause, at, by) = match author.filter(|author| !author.who.is_empty()) {
            Some(author) => ("foreign", author.at, json!(author)),
            None => ("unknown", None, past::nobody()),
        };
        told.push(json!({ "key": key, "cause": cause, "happened_at": at, "by": by }));
    }
    Ok(told)
}

/// The role that an account brings, and the one with the least access, which the revoke of the last one may leave.
type Brought = [Option<Entitlement>; 2];

/// These, as the last generation calls them. What has changed was published: where nothing is seen of that, it is not there yet.
async fn read_brought<P: Ports>(ports: &P, settings: &Settings) -> Result<Brought, Stopped> {
    let catalogue = Catalogue::load(ports, newest(ports).await?.last()?).await?;
    Ok([&settings.provision.default_role, &Configured::default()].map(|role| role.in_catalogue(&catalogue)))
}

/// The same, read once, since that takes the whole catalogue; `None` where it cannot be read.
async fn brought<P: Ports>(
    ports: &P,
    settings: &Settings,
    known: &mut Option<Result<Brought, Stopped>>,
) -> Option<Brought> {
    if known.is_none() {
        *known = Some(read_brought(ports, settings).await);
    }
    known.as_ref()?.as_ref().ok().copied()
}

/// Whatever happened until then is in the log, or will never be.
pub(super) fn told_until<P: Ports>(ports: &P) -> Result<Timestamp, SqlError> {
    // One that may not be read any more is asked for again in an hour, and tells then what it would have told.
    let is_told = |until: Timestamp| ports.now().since(until) < FORGOTTEN_MILLIS;
    let log = feed::state(ports)?;
    let log = log.filter(|log| (log.readable || log.read_until.is_some_and(is_told)) && log.next_at.is_some());
    Ok(log.map_or(ports.now(), |log| {
        let lates = if log.readable { 4 } else { 9 };
        let given_up = ports.now().plus_secs(-lates * LATE_SECS);
        log.read_until.map_or(given_up, |until| given_up.max(until.plus_secs(-LATE_SECS)))
    }))
}

fn is_group(principal: &str) -> bool {
    principal.starts_with(&Kind::Group.prefix())
}

/// Whether an operation of ours is what a change came from.
enum Ours {
    /// This one is.
    Is(EntryId, Box<Own>),
    /// What was held before came back, and who gave that is noted.
    CameBack,
    /// It cannot be said yet.
    Unclear,
    /// None is known: the log may still tell of one.
    Unknown,
    /// The one there is did not do it.
    IsNot,
}

/// Looks for the operation of ours that a change came from, not before `from`. `known` is what an account brings, once it was asked for.
async fn ours<P: Ports>(
    ports: &P,
    settings: &Settings,
    change: &UnexplainedChange,
    from: Timestamp,
    known: &mut Option<Result<Brought, Stopped>>,
) -> Result<Ours, SqlError> {
    let UnexplainedChange { gained, member, name, entitlement, began, at, principal, .. } = change;
    // What a user group holds is never an operation's doing, though it may be called as a person's address is.
    if is_group(principal) {
        return Ok(Ours::Unknown);
    }
    let did = |until| journal::that_did(ports, (name, member.as_deref(), entitlement), *gained, (from, *began, until));
    let is_renewal = |own: &Own| own.effect.as_deref() == Some("renewed");
    let Some((operation, own)) = did(*at)? else { return Ok(Ours::Unknown) };
    let (operation, own) = if *gained && is_renewal(&own) {
        // It brings what was held before, and no first role: that, the account before it may have brought.
        if record::accepted(ports, change, Some(own.received_at))? {
            return Ok(Ours::CameBack);
        }
        match did(own.received_at.plus_millis(-1))? {
            Some((operation, own)) if !is_renewal(&own) => (operation, own),
            _ => return Ok(Ours::IsNot),
        }
    } else {
        (operation, own)
    };
    // Whether it did is told by how it ends, which is within a day, unless it has something to bring back.
    if own.settled_at.is_none() {
        let may_end = ports.now().since(*at) < FORGOTTEN_MILLIS;
        return Ok(if may_end { Ours::Unclear } else { Ours::Unknown });
    }
    if *gained && own.what == Some(Holding::Account) {
        let Some([first, _]) = brought(ports, settings, known).await else { return Ok(Ours::Unclear) };
        if first.is_none_or(|first| first.to_string() != *entitlement) {
            return Ok(Ours::IsNot);
        }
    }
    Ok(Ours::Is(operation, Box::new(own)))
}

/// Where neither the log, which is read by the minute, nor the ledger has anything new, changes are looked at again after this: an operation may have
/// ended since. Each look takes some queries for each of hundreds of changes, and the alarm may ring each second.
const LOOK_AGAIN_MILLIS: i64 = 15_000;

impl Coordinator {
    /// Explains what can be explained by now. What the log may still tell is left for the next time, and who did it is told so far.
    pub(super) async fn explain<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        let (told_until, newest, now) = (told_until(ports)?, record::newest(ports)?, ports.now());
        let is_as_it_was = |(until, change, at): (Timestamp, i64, Timestamp)| {
            (until, change) == (told_until, newest) && now.since(at) < LOOK_AGAIN_MILLIS
        };
        if self.explained.get().is_some_and(is_as_it_was) {
            return Ok(());
        }
        // Of many the rest is looked at with the next ring.
        let last = explain(ports, settings, told_until, self.explained_to.take()).await?;
        self.explained_to.set(last.unwrap_or_default());
        self.explained.set(last.is_none().then_some((told_until, newest, now)));
        Ok(())
    }
}

/// Looks at the changes after one; gives the last of them where there may be more.
async fn explain<P: Ports>(
    ports: &P,
    settings: &Settings,
    told_until: Timestamp,
    after: i64,
) -> Result<Option<i64>, SqlError> {
    let mut known = None;
    let changes = record::unexplained(ports, told_until, after, AT_ONCE)?;
    let last = changes.get(AT_ONCE - 1).map(|change| change.id);
    for change in changes {
        if record::accepted(ports, &change, None)? {
            continue;
        }
        let UnexplainedChange { id, gained, principal, member, name, entitlement, after, at, .. } = &change;
        let called = (!is_group(principal)).then_some(name.as_str());
        let told = record::told_before(ports, (principal, called, entitlement), *gained, *at)?;
        let earliest = after.plus_secs(-MARGIN_SECS);
        let from = told.map_or(earliest, |told| earliest.max(told));
        let ours = ours(ports, settings, &change, from, &mut known).await?;
        match &ours {
            Ours::Is(operation, own) => {
                let origin = &own.request.origin;
                let by = json!({
                    "who": "this connector", "through": origin.by, "operation": operation.0, "task": origin.task,
                    "requester": origin.requester, "approvers": origin.approvers,
                });
                // One that was seen before it was settled happened at a time that nobody noted.
                let happened_at = own.settled_at.filter(|settled_at| settled_at <= at);
                record::explained(ports, *id, "operation", happened_at, &by)?;
                continue;
            }
            Ours::CameBack | Ours::Unclear => continue,
            Ours::Unknown | Ours::IsNot => {}
        }
        let of_group =
            |id: &str| id.strip_prefix("group:").map(|id| id.strip_suffix(":member").unwrap_or(id).to_owned());
        let group = of_group(principal).or_else(|| of_group(entitlement));
        let may_come = *at > told_until;
        let since = record::changed_since(ports, (principal, entitlement), *at)?;
        let from = since.map_or(from, |since| from.max(since));
        let author = entries::author_of(ports, member.as_deref(), group.as_deref(), from, *at)?;
        let nobody = || ("unknown", None, past::nobody());
        let (cause, happened_at, by) = match author {
            Some(author) if !author.who.is_empty() => {
                // Another's entry may still come: of the same member, and of this very change.
                let cause = if may_come { record::FOREIGN_SO_FAR } else { "foreign" };
                (cause, author.at, json!(author))
            }
            // An entry of ours about the same member, of an operation that was about something else, is no explanation as long as
            // somebody else's may still come.
            _ if may_come => continue,
            // Nor is it one of anything else than what an operation brings unasked: the journal has all that was asked for.
            Some(entry) if *gained && matches!(ours, Ours::Unknown) => {
                let Some(brought) = brought(ports, settings, &mut known).await else { continue };
                let is_brought = brought.iter().flatten().any(|it| it.to_string() == *entitlement);
                if is_brought { ("operation", entry.at, json!({ "who": "this connector" })) } else { nobody() }
            }
            _ => nobody(),
        };
        // The generation before had it still, so that what was granted until then is what they took away. Where nobody is named, it may
        // be there all the same, and who is in a user group may only not be told.
        if let (false, "foreign", Some(member), None) = (*gained, cause, member, &group) {
            expiry::taken(ports, member, entitlement, *after)?;
        }
        record::explained(ports, *id, cause, happened_at, &by)?;
    }
    Ok(last)
}
