//! The end of a run: what was read is verified, put together, published and remembered.

use crate::base::tree::BTreeSet;
use std::fmt::Write as _;

use super::crawl::{Crawl, Further, List, MAX_MEMBERSHIPS, MAX_PAGES};
use super::harvest::{Check, Harvest, Verification, sightings, verify};
use super::history::{self, GenerationSummary};
use super::limits::Limits;
use super::metered::MeteredPorts;
use super::metered::add_use;
use super::previous::{Previous, SEVERAL};
use super::rows::{Assembly, Unsure, assemble};
use super::run::{CURSOR_KEY, Cursor, Published};
use super::{moved, room, staging, state, unchanged};
use crate::account::identity::{Identity, own_token};
use crate::account::names::Names;
use crate::account::{expiry, inherited, overlay};
use crate::audit::activity;
use crate::audit::signs::Shown;
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::Client;
use crate::ledger::record;
use crate::model::id::MemberId;
use crate::model::kind::Kind;
use crate::snapshot::{
    self, ChangeCounts, ChangeKind, Draft, GenerationId, KvUse, Manifest, Publication, PublishError, RunOutcome,
    RunRecord, Snapshot, SnapshotError,
};

/// What comes next.
#[derive(Debug)]
pub(super) enum Finish {
    /// The run is over and remembered.
    Ended,
    /// More is to be read first; the cursor says what.
    More,
    /// It is published, and remembered in the next step.
    Apart,
    /// Something that may pass.
    Trouble(String),
}

/// How a run ends.
#[derive(Debug)]
pub(super) struct Ending {
    outcome: RunOutcome,
    message: String,
    not_before: Option<Timestamp>,
    generation: Option<GenerationId>,
    changes: Option<ChangeCounts>,
    warnings: Vec<String>,
    chunks_written: u64,
    bytes_written: u64,
}

impl Ending {
    fn new(outcome: RunOutcome, message: String) -> Self {
        Self {
            outcome,
            message,
            not_before: None,
            generation: None,
            changes: None,
            warnings: Vec::new(),
            chunks_written: 0,
            bytes_written: 0,
        }
    }

    /// The run failed; the clock starts none before then.
    pub(super) fn failed(message: String, not_before: Timestamp) -> Self {
        Self { not_before: Some(not_before), ..Self::new(RunOutcome::Failed, message) }
    }
}

/// More of the previous generation's members than this share gone, and more than this number, is taken for a mistake.
const MAX_GONE_SHARE: usize = 10;
const MAX_GONE: usize = 10;

/// A list of roles that Cloudflare says is not there is asked for this often again, over two minutes, before ids are made up without it.
const MAX_REFUSED: u32 = 3;

/// Where it fails otherwise, or has a record of which nothing can be read, syncs are held for this long, and for so many of them: what is so for
/// good must not end them for good.
const HELD_MILLIS: i64 = 24 * 60 * 60 * 1_000;
const HELD_SYNCS: u32 = 3;

/// At most this many changes are counted for the run's record.
const MAX_COUNTED: u64 = 5_000;

/// A value that is not there this long after it was written will not come any more: KV takes a minute.
pub const LOST_AFTER_SECS: i64 = 600;

/// The same, of the generation before, however new that is: what was not there for so many tries, over four minutes, is on its way no more. The next
/// try is the run's last.
const LOST_AFTER_TRIES: u32 = 4;

/// The same, of what this run has published: so many times it was asked for in vain, over a quarter of an hour.
const LOST_AFTER_ATTEMPTS: u32 = 6;

/// Ends a run without a publication: what was published before stays.
async fn publish_nothing<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    cursor: &Cursor,
    previous: Option<&Previous>,
    ending: Ending,
) -> Result<Finish, SqlError> {
    let generation = previous.map(|previous| previous.manifest.generation.clone());
    end(kv, cursor.clone(), Ending { generation, ..ending }).await?;
    Ok(Finish::Ended)
}

/// Publishes nothing for now, where ids would be published that change again; `None` where the list will not be better.
async fn hold_back<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    cursor: &mut Cursor,
    previous: Option<&Previous>,
    unsure: Option<Unsure>,
) -> Result<Option<Finish>, SqlError> {
    let Some(Unsure { why, refused }) = unsure else {
        state::remove(kv, state::HELD)?;
        return Ok(None);
    };
    if refused.is_empty() {
        let (since, syncs) = state::load(kv, state::HELD)?.unwrap_or((kv.now(), 0));
        if syncs >= HELD_SYNCS && kv.now().since(since) >= HELD_MILLIS {
            return Ok(None);
        }
        state::store(kv, state::HELD, &(since, syncs.saturating_add(1)))?;
        let message = format!(
            "{why}: nothing was published, and the next sync tries again; where that is so for a day, they are published all the same"
        );
        return publish_nothing(kv, cursor, previous, Ending::new(RunOutcome::Failed, message)).await.map(Some);
    }
    if cursor.refused >= MAX_REFUSED {
        return Ok(None);
    }
    cursor.refused += 1;
    for list in refused {
        staging::forget(kv, &cursor.run, list)?;
    }
    Ok(Some(Finish::Trouble(why)))
}

/// Whether so many of these are gone that it is taken for a mistake.
fn are_many((gone, before): (usize, usize)) -> bool {
    gone > MAX_GONE.max(before / MAX_GONE_SHARE)
}

/// Whether the last sync was held, but for those that failed: an acceptance is of what that one told, then, and of no list.
fn was_held(sql: &dyn Sql) -> Result<bool, SqlError> {
    let runs = history::runs(sql)?;
    let last = runs.iter().find(|run| run.is_sweep() && run.outcome != RunOutcome::Failed);
    Ok(last.is_some_and(|run| run.outcome == RunOutcome::Held))
}

/// Why so many people, or so many people's or user groups' grants, are gone that somebody has to accept it, be the groups there or not. Where the last generation is lost, only this
/// is known of it: how many people it had. An older one that can be read may have had fewer.
fn mass_disappearance(sql: &dyn Sql, assembled: &Assembly, is_lost: bool) -> Result<Option<String>, SqlError> {
    let lost = if is_lost { state::load::<usize>(sql, state::LOST)? } else { None };
    let lost = lost.map(|people| (people.saturating_sub(assembled.rows.people()), people));
    let Assembly { gone, bare, bare_groups, .. } = assembled;
    let people = lost.filter(|lost| are_many(*lost)).unwrap_or(*gone);
    let are_most = bare_groups.0 >= SEVERAL && bare_groups.0 > bare_groups.1 / 2;
    let mut found = String::new();
    for (is_found, (gone, before), of, whose) in [
        (are_many(people), people, "", "members and invitations"),
        (are_many(*bare), *bare, OWN_GRANTS, "members and invitations that held any"),
        (are_most, *bare_groups, OWN_GRANTS, "user groups that held any"),
    ] {
        if is_found {
            // Whoever accepts it is told all of it. Writing to a String does not fail.
            let and = if found.is_empty() { "" } else { " and " };
            let _ = write!(found, "{and}{of}{gone} of {before} {whose}");
        }
    }
    Ok((!found.is_empty()).then(|| found + MISTAKE))
}

/// What is gone of people and user groups that are there still.
const OWN_GRANTS: &str = "all own grants of ";

/// What is to be done about what is gone.
const MISTAKE: &str = " are gone, which looks like a mistake: nothing was published. If it is right, accept it with POST /v1/sync and {\"accept_removals\": true}";

/// What is told where an acceptance is of none of the lists.
const NO_LIST: &str =
    "what is known of lists that cannot be read stays until one more acceptance: this one is of people and grants";

/// Keeps what was learned of the account, whether it is published or not.
fn keep(sql: &dyn Sql, assembled: &Assembly) -> Result<(), SqlError> {
    assembled.names.store(sql)?;
    state::store(sql, state::NAMES_IN_USE, &assembled.names_in_use)?;
    state::store(sql, state::CAPABILITIES, &assembled.capabilities)?;
    state::store(sql, state::POSTURE, &assembled.posture)?;
    // The list may be silent where the record of one member is not: that there is none teaches nothing.
    if assembled.shows_inherited { inherited::learn_inherited(sql, true) } else { Ok(()) }
}

/// Verifies what was read, and publishes it.
pub(super) async fn finish<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    kv: &MeteredPorts<'_, P>,
    client: &Client<'_, P>,
    crawl: &mut Crawl,
    cursor: &mut Cursor,
    limits: &Limits,
) -> Result<Finish, SqlError> {
    if let Some(published) = cursor.published.clone() {
        return conclude(kv, cursor, published).await;
    }
    let changes = overlay::open(kv)?;
    let asked = client.sent();
    // Among what is known of the account, so that it is looked at again whether anything changed once this is known.
    let own_token = own_token(ports, client).await?;
    state::store(kv, state::OWN_TOKEN, &own_token.map(|own| own.token))?;
    cursor.failed_requests += client.sent() - asked;
    let made_of = unchanged::made_of(kv, client.settings(), crawl, cursor, &changes)?;
    if let Some(made_of) = &made_of
        && let Some((manifest, warnings)) = unchanged::published(kv, made_of).await?
        && teaches_nothing(kv, client, crawl, cursor, &changes, made_of).await?
    {
        // The list of roles is what it was when nothing was held for it.
        state::remove(kv, state::HELD)?;
        return close(kv, cursor, Publication::unchanged(manifest), warnings).await;
    }
    let (mut previous, is_lost) = match previous(kv, cursor.attempt).await? {
        Ok(known) => known,
        Err(error) => return Ok(Finish::Trouble(format!("the current generation cannot be read: {error}"))),
    };
    // Whatever becomes of this run, which may be held until somebody accepts what it found.
    if let Err(error) = point_at(kv, previous.as_ref()).await {
        return Ok(Finish::Trouble(format!("the snapshot could not be written: {error}")));
    }
    let is_accepted = cursor.trigger.accept_removals;
    // One acceptance accepts one thing, which was told before: what the last sync was held for, or else what is known of lists that the newest
    // generation tells to be off.
    let of_held = is_accepted && was_held(kv)?;
    let accept = is_accepted && !is_lost && !of_held;
    if let Some(previous) = previous.as_mut() {
        previous.take_in(&changes, cursor.started_at);
        previous.listed_by = state::load(kv, state::LISTED_BY)?;
        previous.is_accepted = accept;
    }
    match reads_more(kv, crawl, cursor, previous.as_ref(), &changes)? {
        Ok(false) => {}
        Ok(true) => return Ok(Finish::More),
        Err(why) => return publish_nothing(kv, cursor, previous.as_ref(), Ending::new(RunOutcome::Failed, why)).await,
    }
    let mut harvest = Harvest::load(kv, &cursor.run, crawl, &cursor.further.confirm, &changes)?;
    if let Some(previous) = previous.as_mut()
        && let Err(error) = previous.load_rows(kv, &harvest, &changes).await
    {
        return Ok(Finish::Trouble(format!("the current generation cannot be read: {error}")));
    }
    let until = kv.now().plus_secs(super::inherited::ASKED_FOR_SECS);
    let (doubted, is_unsure) =
        learn(kv, client, cursor, &mut harvest, previous.as_ref(), (limits.requests / 4, until)).await?;
    let (account, names, shown) = (client.settings().account_id, Names::load(kv)?, Shown::load(kv, cursor.started_at)?);
    let mut assembled = assemble(account, harvest, names, previous.as_ref(), own_token, shown);
    assembled.warnings.extend((is_accepted && !accept).then(|| NO_LIST.to_owned()));
    if let Some(held) = hold_back(kv, cursor, previous.as_ref(), assembled.unsure.take()).await? {
        return Ok(held);
    }
    // Asked for from the beginning the next time: this happens once for each kind of object.
    if assembled.names_in_use.0 & !cursor.further.names.0 != 0 {
        cursor.further.names.0 |= assembled.names_in_use.0;
        return Ok(Finish::More);
    }
    keep(kv, &assembled)?;
    let gone = mass_disappearance(kv, &assembled, is_lost || previous.is_none())?;
    if of_held {
        // More may be gone by now than was told when the sync was held.
        assembled.warnings.extend(gone);
    } else if let Some(message) = gone {
        let ending = Ending { warnings: assembled.warnings, ..Ending::new(RunOutcome::Held, message) };
        return publish_nothing(kv, cursor, previous.as_ref(), ending).await;
    }

    let previous = previous.map(|previous| previous.manifest);
    let draft = Draft {
        account_id: client.settings().account_id,
        started_at: cursor.started_at,
        capabilities: assembled.capabilities,
        naming: assembled.names.naming(),
        posture: assembled.posture,
        previous: previous.clone(),
    };
    // No sooner: a run that is cut off before finds once more that the last generation is lost, and how many people it had.
    if is_lost {
        forget_once(kv, cursor)?;
    }
    let published = match snapshot::publish(kv, draft, assembled.rows.iter()).await {
        Ok(published) => published,
        Err(PublishError::Sql(error)) => return Err(error),
        Err(error) => return Ok(Finish::Trouble(format!("the snapshot could not be written: {error}"))),
    };
    // From the flip to here nothing is awaited, and the cursor comes before what is taken in: that is never put together again by this run. A change
    // that is not noted to be taken in stays in force, which does no harm.
    overlay::rebase(kv, changes.seq, cursor.started_at, |id| assembled.rows.member(id))?;
    cursor.published = Some(Published::of(&published, &assembled.warnings));
    cursor.store(kv)?;
    note_published(kv, &doubted, is_lost, &published.manifest, own_token)?;
    overlay::taken_in(kv, changes.seq, &published.manifest.generation, &[])?;
    activity::forget_others(kv, kv.now(), |user| assembled.rows.has_user(user))?;
    if published.changed && kv.count_so_far() > limits.key_value {
        return Ok(Finish::Apart);
    }
    let ending = remember(kv, cursor, previous, published).await?;
    // Only where all of it would be the same the next time: nothing was learned, nothing waits to be believed, and no user group's own record told what is
    // on no page.
    if let (RunOutcome::Unchanged, Some(generation)) = (ending.outcome, ending.generation.clone())
        && let Some(made_of) = made_of.filter(|_| doubted.is_empty() && !is_unsure)
        && unchanged::made_of(kv, client.settings(), crawl, cursor, &changes)?.as_ref() == Some(&made_of)
    {
        unchanged::note(kv, generation, made_of, assembled.warnings.clone())?;
    }
    end(kv, cursor.clone(), Ending { warnings: assembled.warnings, ..ending }).await?;
    Ok(Finish::Ended)
}

/// Forgets what is stored of a generation that is lost: once in a run.
fn forget_once(sql: &dyn Sql, cursor: &mut Cursor) -> Result<(), SqlError> {
    if cursor.forgot {
        return Ok(());
    }
    cursor.forgot = true;
    cursor.store(sql)?;
    snapshot::forget(sql)
}

/// Notes what goes by what is published: which lists were doubted, by whom all tokens were listed, that nothing is lost any more, and under
/// which ids roles have their ends.
fn note_published(
    sql: &dyn Sql,
    doubted: &[(String, Timestamp)],
    was_lost: bool,
    manifest: &Manifest,
    own_token: Option<Identity>,
) -> Result<(), SqlError> {
    // No sooner: whoever goes by the generation before would miss what is to end under its id.
    expiry::known_as(sql, |id| manifest.naming.role_of(id.into()))?;
    state::store(sql, state::DOUBTED, &doubted)?;
    if own_token.is_some() && manifest.capabilities.get("tokens").is_some_and(|tokens| tokens.on) {
        state::store(sql, state::LISTED_BY, &own_token.map(Identity::lister))?;
    }
    state::remove(sql, state::LOST)?;
    if was_lost { state::remove(sql, state::GENERATIONS) } else { Ok(()) }
}

/// Ends a run that has published, and was cut off since or left the rest to a step of its own. Put together once more, the rows would be without
/// what the generation has taken in.
async fn conclude<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    cursor: &Cursor,
    published: Published,
) -> Result<Finish, SqlError> {
    let Published { generation, chunks_written, bytes_written, warnings } = published;
    let manifest = match Snapshot::open(kv, &generation).await {
        Ok(snapshot) => snapshot.manifest().clone(),
        // It will not come any more. What it has taken in is in force again, and the next run puts a generation together from what there is.
        Err(error) if cursor.attempt >= LOST_AFTER_ATTEMPTS && !matches!(error, SnapshotError::Kv(_)) => {
            overlay::reopen(kv, &generation)?;
            let message = format!("what was published is lost: {error}; the next sync publishes again");
            return publish_nothing(kv, cursor, None, Ending::new(RunOutcome::Failed, message)).await;
        }
        Err(error) => return Ok(Finish::Trouble(format!("what was published cannot be read: {error}"))),
    };
    let published = Publication { chunks_written, bytes_written, ..Publication::unchanged(manifest) };
    close(kv, cursor, published, warnings).await
}

/// Ends a run whose generation was published before.
async fn close<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    cursor: &Cursor,
    published: Publication,
    warnings: Vec<String>,
) -> Result<Finish, SqlError> {
    let ending = remember(kv, cursor, None, published).await?;
    end(kv, cursor.clone(), Ending { warnings, ..ending }).await?;
    Ok(Finish::Ended)
}

/// Makes `current` name the newest generation, where it is behind for longer than KV takes.
async fn point_at<P: KeyValue + Clock>(kv: &P, newest: Option<&Previous>) -> Result<(), PublishError> {
    let Some(newest) = newest.filter(|newest| newest.is_behind) else { return Ok(()) };
    // Either a minute old, which does no harm, or lost.
    if kv.now().since(newest.manifest.finished_at) >= LOST_AFTER_SECS * 1000 {
        snapshot::repoint(kv, &newest.manifest).await?;
    }
    Ok(())
}

/// Learns, once in a run, what members' records tell of user groups; of lists that are empty all of a sudden against `previous` nothing is learned,
/// and they are returned, each with when it was first found so. Also whether any user group's policies are not as the list tells them: `room` of those
/// that no sync was told of are asked for, until then.
async fn learn<P: Http + Clock + Sql>(
    sql: &dyn Sql,
    client: &Client<'_, P>,
    cursor: &mut Cursor,
    harvest: &mut Harvest,
    previous: Option<&Previous>,
    (room, until): (u32, Timestamp),
) -> Result<(Vec<(String, Timestamp)>, bool), SqlError> {
    let before: Vec<(String, Timestamp)> = state::load(sql, state::DOUBTED)?.unwrap_or_default();
    let (mut doubted, asked) = (Vec::new(), client.sent());
    if let Some(previous) = previous {
        doubted = previous.doubt_the_empty(harvest, &before, cursor);
    }
    let is_unsure = super::inherited::ask_the_silent(sql, client, harvest, previous, room, until).await?;
    if !std::mem::replace(&mut cursor.learned, true) {
        super::inherited::learn(sql, client, harvest, cursor.started_at).await?;
    }
    cursor.failed_requests += client.sent() - asked;
    harvest.group_policies = inherited::group_policies(sql)?;
    Ok((doubted, is_unsure))
}

/// Whether what is known stays as it is when a member's own record is looked at as well, which each sync does where user groups give something.
async fn teaches_nothing<P: Http + Clock + Sql>(
    sql: &dyn Sql,
    client: &Client<'_, P>,
    crawl: &Crawl,
    cursor: &mut Cursor,
    changes: &overlay::Changes,
    made_of: &str,
) -> Result<bool, SqlError> {
    if inherited::group_policies(sql)?.is_empty() {
        return Ok(true);
    }
    let mut harvest = Harvest::load(sql, &cursor.run, crawl, &cursor.further.confirm, changes)?;
    // None that would be asked for: what is known to be unchanged is as the lists tell it.
    let none = (0, cursor.started_at);
    learn(sql, client, cursor, &mut harvest, None, none).await?;
    Ok(unchanged::made_of(sql, client.settings(), crawl, cursor, changes)?.as_deref() == Some(made_of))
}

/// What is damaged or not there is read this often again, over 45 s, before it counts as lost: with it goes what is known of lists that
/// cannot be read.
const READ_AGAIN: u32 = 2;

/// The current generation, and whether KV has lost it for good. Then the snapshot is built again: better that than never again. What is kept of
/// lists and records that cannot be read comes of the newest generation that can be, and how many people it had is noted.
async fn previous<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    attempt: u32,
) -> Result<Result<(Option<Previous>, bool), SnapshotError>, SqlError> {
    let mut generations = history::generations(kv)?.into_iter();
    let known = generations.next();
    let error = match Previous::load(kv, known.as_ref().map(|known| &known.generation)).await {
        Ok(previous) => return Ok(Ok((previous, false))),
        Err(error) => error,
    };
    let is_recent = |known: &GenerationSummary| kv.now().since(known.published_at) < LOST_AFTER_SECS * 1000;
    let recent = attempt < LOST_AFTER_TRIES && known.as_ref().is_some_and(is_recent);
    let lost = match &error {
        SnapshotError::Kv(_) => false,
        SnapshotError::Corrupt(_) => true,
        SnapshotError::NoneYet | SnapshotError::Gone(_) | SnapshotError::NotReplicated(_) => !recent,
    };
    if !lost || attempt < READ_AGAIN {
        return Ok(Err(error));
    }
    if let Some(known) = &known {
        state::store(kv, state::LOST, &known.counts.people())?;
        // One of them may have been told to give something since, which that generation alone had.
        inherited::note_giving_nothing(kv, &BTreeSet::default())?;
    }
    let mut older = None;
    // The one that is known may be there: `current` names what was published by a run that did not come to its end.
    for summary in known.into_iter().chain(generations) {
        older = Previous::of(kv, &summary.generation).await.ok();
        if older.is_some() {
            break;
        }
    }
    Ok(Ok((older, true)))
}

/// Sees to it that what is still missing is read before the crawl is believed; whether there is anything. The inner error says why it is not to
/// be believed whatever is read.
fn reads_more<P: Clock + Sql>(
    ports: &P,
    crawl: &mut Crawl,
    cursor: &mut Cursor,
    previous: Option<&Previous>,
    changes: &overlay::Changes,
) -> Result<Result<bool, String>, SqlError> {
    match further(crawl, cursor, previous) {
        Ok(None) => moved::read_again(ports, crawl, cursor, previous, changes).map(Ok),
        Ok(Some(further)) => {
            cursor.further = further;
            Ok(Ok(true))
        }
        Err(why) => Ok(Err(why)),
    }
}

/// What is still to be read before the crawl can be believed.
fn further(crawl: &Crawl, cursor: &mut Cursor, previous: Option<&Previous>) -> Result<Option<Further>, String> {
    if crawl.is_cut_off(List::Members { pass: 1 }) {
        return Err(format!(
            "Cloudflare's list of members has more than {MAX_PAGES} pages, and no more than that are read: nothing was published"
        ));
    }
    if crawl.has_too_many_memberships() {
        return Err(format!(
            "the user groups have more than {MAX_MEMBERSHIPS} memberships in all, and a sync of more does not fit the Worker's memory: nothing was published"
        ));
    }
    let (asked, names) = (cursor.further.confirm.clone(), cursor.further.names);
    let seen = sightings(crawl, &asked);
    let before: BTreeSet<MemberId> =
        previous.map(|previous| previous.members.keys().copied().collect()).unwrap_or_default();
    let there = seen.first.len() + seen.unnamed;
    let other_total = crawl.members_total().is_some_and(|total| usize::try_from(total) != Ok(there));
    cursor.dirty = other_total || crawl.totals_differ(List::Members { pass: 1 });
    let check = Check {
        seen: &seen,
        moved: cursor.dirty,
        second_pass: cursor.further.second_pass,
        asked: &asked,
        before: &before,
    };
    Ok(match verify(check) {
        Verification::Enough => None,
        Verification::SecondPass => Some(Further { second_pass: true, confirm: asked, names }),
        Verification::Confirm(unasked) => {
            let confirm = asked.into_iter().chain(unasked).collect();
            Some(Further { second_pass: cursor.further.second_pass, confirm, names })
        }
        Verification::LeavesOut(count) => {
            return Err(format!(
                "Cloudflare's list of members leaves out people who are members, and {count} others are missing from it, more than are asked for one by one: nothing was published, and the next sync tries again"
            ));
        }
    })
}

/// Remembers what was published, and sweeps what nobody reads any more.
async fn remember<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    cursor: &Cursor,
    previous: Option<Manifest>,
    published: Publication,
) -> Result<Ending, SqlError> {
    let manifest = published.manifest;
    // A run that was cut off right after its publication finds its own generation to be the current one, or that of a small publication.
    let known = history::generations(kv)?.into_iter().next().map(|newest| newest.generation);
    let is_known = known.as_ref() == Some(&manifest.generation);
    let own = manifest.started_at == cursor.started_at || !is_known;
    let counts = manifest.counts;
    let chapters = record::read(kv, &manifest).await?;
    let mut ending = if published.changed || own {
        let [users, invitations, roles] = [Kind::User, Kind::Invitation, Kind::Role].map(|kind| counts.of(kind));
        let people = format!("{users} users, {invitations} invitations, {roles} roles and {} grants", counts.grants);
        Ending::new(RunOutcome::Published, format!("published generation {}: {people}", manifest.generation))
    } else {
        Ending::new(RunOutcome::Unchanged, format!("nothing changed since generation {}", manifest.generation))
    };
    ending.generation = Some(manifest.generation.clone());
    ending.chunks_written = published.chunks_written;
    ending.bytes_written = published.bytes_written;
    if ending.outcome == RunOutcome::Published {
        let before = match previous.filter(|previous| previous.generation != manifest.generation) {
            Some(previous) => Some(previous),
            None => open(kv, manifest.previous.as_ref()).await,
        };
        ending.changes = changes_since(kv, before.as_ref(), &manifest).await;
        catch_up(kv, cursor, known.as_ref(), &manifest).await?;
        record::write(kv, &chapters)?;
        history::remember_generation(kv, GenerationSummary::of(&manifest, ending.changes))?;
    } else {
        record::write(kv, &chapters)?;
        ending.changes = Some(ChangeCounts::default());
    }
    // What could not be swept now is swept next time.
    let _ = snapshot::sweep(kv, &manifest.generation).await;
    Ok(ending)
}

/// Remembers what was published between the newest generation that is remembered and this one, each with a run of its own: a signal tells what
/// changed against the generation before. What cannot be read is left out.
async fn catch_up<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    cursor: &Cursor,
    known: Option<&GenerationId>,
    newest: &Manifest,
) -> Result<(), SqlError> {
    let Some(known) = known else { return Ok(()) };
    let mut missing = Vec::new();
    let mut child = newest.clone();
    while child.previous.as_ref().is_some_and(|before| before > known && *before < child.generation)
        && let Some(before) = open(kv, child.previous.as_ref()).await
    {
        missing.push(before.clone());
        child = before;
    }
    while let Some(manifest) = missing.pop() {
        let before = open(kv, manifest.previous.as_ref()).await;
        let changes = changes_since(kv, before.as_ref(), &manifest).await;
        history::remember_generation(kv, GenerationSummary::of(&manifest, changes))?;
        let (run, took) = (cursor.run.clone(), (manifest.started_at, manifest.finished_at));
        history::remember_small_run(kv, Some(run), &manifest.generation, took, KvUse::default(), (0, 0), changes)?;
    }
    Ok(())
}

async fn open<P: KeyValue>(kv: &P, generation: Option<&GenerationId>) -> Option<Manifest> {
    let snapshot = Snapshot::open(kv, generation?).await.ok()?;
    Some(snapshot.manifest().clone())
}

/// Counts what changed, where the generation before is known.
async fn changes_since<P: KeyValue>(kv: &P, old: Option<&Manifest>, new: &Manifest) -> Option<ChangeCounts> {
    count_changes(kv, old?, new).await
}

/// Counts what changed; `None` where a value of KV cannot be read right now.
pub(super) async fn count_changes<P: KeyValue>(kv: &P, old: &Manifest, new: &Manifest) -> Option<ChangeCounts> {
    let mut counts = ChangeCounts::default();
    let mut after: Option<String> = None;
    loop {
        let changes = snapshot::diff(kv, old, new, after.as_deref(), 500).await.ok()?;
        for change in &changes.items {
            match change.kind {
                ChangeKind::Added => counts.added += 1,
                ChangeKind::Removed => counts.removed += 1,
                ChangeKind::Changed => counts.changed += 1,
            }
            counts.grants_added += change.grants_added.len() as u64;
            counts.grants_removed += change.grants_removed.len() as u64;
        }
        after = changes.next;
        if after.is_none() {
            return Some(counts);
        }
        if counts.added + counts.removed + counts.changed >= MAX_COUNTED {
            counts.more = true;
            return Some(counts);
        }
    }
}

/// Ends a run: its record is kept, and of its pages what the next run need not read again.
pub(super) async fn end<P: KeyValue + Clock + Sql>(
    kv: &MeteredPorts<'_, P>,
    mut cursor: Cursor,
    ending: Ending,
) -> Result<(), SqlError> {
    if cursor.copied_at.is_some() {
        // A copy that stays behind is of a run that is over, and says so by its id.
        let _ = kv.delete(&kv.space().key(CURSOR_KEY)).await;
    }
    add_use(&mut cursor, kv);
    let now = kv.now();
    // A run ends whatever cannot be read of its pages: their number of requests is all that is lost.
    let staged = Crawl::resume(staging::facts(kv, &cursor.run).unwrap_or_default(), Further::default()).progress();
    let run = cursor.run.clone();
    let record = RunRecord {
        run: cursor.run,
        by: cursor.trigger.by,
        started_at: cursor.started_at,
        finished_at: now,
        outcome: ending.outcome,
        message: ending.message,
        duration_millis: now.since(cursor.started_at),
        requests: staged.requests + cursor.failed_requests,
        kv: cursor.kv,
        chunks_written: ending.chunks_written,
        bytes_written: ending.bytes_written,
        generation: ending.generation,
        changes: ending.changes,
        warnings: ending.warnings,
        not_before: ending.not_before,
    };
    room::charge(kv, i64::try_from(record.kv.writes).unwrap_or(i64::MAX))?;
    history::remember_run(kv, record)?;
    state::remove(kv, state::CURSOR)?;
    // What stays behind goes at the end of the next run.
    let _ = staging::keep_only(kv, &run);
    Ok(())
}
