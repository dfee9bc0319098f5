//! What our own operations left of members, kept until a generation has it: readers lay it over the generations before
//! ([`Overlay`]), and a crawl that read a member before the change takes it in, so that its snapshot does not undo it.
//!
//! **Invariant:** a change stays in force for every generation that was not built with it.

use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::order;
use crate::base::tree::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::state;
use crate::base::ports::{Clock, KeyValue, Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::cloudflare::{MemberRecord, PolicyRecord};
use crate::model::access::{Atom, Policy, atoms};
use crate::model::ask::Action;
use crate::model::grant::Principal;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::resource::{Member, MemberStatus, Row};
use crate::snapshot::{GenerationId, KEPT, Overlay, Snapshot, SnapshotError, last_published};

/// A list may lag behind a write as a read of one member may (`reference/cloudflare.md` 2.4): a page that was asked for this soon
/// after a change is not believed about that member. The next crawl sees what somebody else did meanwhile.
const LAG_MILLIS: i64 = 15_000;

/// KV may show the generation before for a minute: after so long every place shows what was published.
pub(crate) const SHOWN_AFTER_SECS: i64 = 75;

/// What an operation left of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aftermath<'a> {
    /// The member as last read.
    pub member: &'a MemberRecord,
    /// Whether the membership is gone since.
    pub gone: bool,
    /// A user group whose membership the operation was about, and whether the member is in it now.
    pub group: Option<(UserGroupId, bool)>,
    /// What of their own the operation was to give or take.
    pub about: Option<(Action, Atom)>,
    /// Whether a write of ours is so young that a list of Cloudflare's may not show it yet.
    pub is_fresh: bool,
}

/// A changed member, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredChange {
    member: Option<Member>,
    /// Whose row it was or is: a membership that is gone has its key from here. None where the row could not be read, and what the record does not
    /// tell of the member is a guess: a sweep's to publish.
    #[serde(default)]
    key: Option<String>,
    /// Groups that operations were about since the member was last part of a generation: in it or not, and since when.
    #[serde(default)]
    groups: BTreeMap<UserGroupId, (bool, Timestamp)>,
    /// What the member held of their own and operations took since then, one atom each: where somebody gives it back before a generation tells of that,
    /// it is told as well, and is none of the member's atoms until then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    took: Vec<Atom>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS overlay ( \
            seq INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, member TEXT NOT NULL, \
            at INTEGER NOT NULL, kept TEXT NOT NULL, generation TEXT)",
        &[],
    )?;
    sql.run("CREATE INDEX IF NOT EXISTS overlay_member ON overlay (member, seq)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS overlay_generation ON overlay (generation, at)", &[])
}

/// Notes what an operation left of a member, before anybody is told that it is done. What readers see already is not noted.
pub async fn note<P: KeyValue + Sql>(
    ports: &P,
    snapshot: Option<&Snapshot>,
    left: Aftermath<'_>,
    now: Timestamp,
) -> Result<(), SqlError> {
    let id = left.member.id;
    // Who declined is no member, in every generation.
    let is_gone = left.gone || !left.member.status.is_member();
    let mut took = Vec::new();
    let (known, mut groups, was_gone, is_seen, is_sure) = loop {
        let last = last_published(ports)?;
        let (taken_in, groups, was_gone) = match latest(ports, id)? {
            Some((kept, None)) if kept.member.is_some() => {
                took = kept.took;
                break (kept.member, kept.groups, false, true, kept.key.is_some());
            }
            // No membership comes back under its id: who is there after all was not found by a read that was behind, and has what the generation
            // knows of them, and the groups that operations were about since.
            Some((kept, None)) => (None, kept.groups, true),
            taken_in => (taken_in.and_then(|(kept, _)| kept.key.and(kept.member)), BTreeMap::new(), false),
        };
        let Newest { known, is_seen, is_sure } = Newest::published(ports, snapshot, taken_in, left.member, now).await?;
        // One that was published meanwhile may know more of the member, which would be undone by what is laid over it.
        if last_published(ports)? == last {
            break (known, groups, was_gone, was_gone || (is_seen && is_sure), is_sure);
        }
    };
    let mut in_groups: BTreeSet<UserGroupId> = known.iter().flat_map(|member| member.groups.iter().copied()).collect();
    if let Some((group, is_in)) = left.group {
        groups.insert(group, (is_in, now));
    }
    for (&group, &(is_in, _)) in &groups {
        if !was_gone && left.group != Some((group, is_in)) {
            continue;
        }
        if is_in {
            in_groups.insert(group)
        } else {
            in_groups.remove(&group)
        };
    }
    let mut member = (!is_gone).then(|| member(left.member, in_groups, known.as_ref()));
    let holds = |one: &Option<Member>, atom| one.as_ref().is_some_and(|one| one.atoms.contains(&atom));
    match left.about {
        Some((Action::Grant, given)) => took.retain(|atom| *atom != given),
        Some((Action::Revoke, atom)) if holds(&known, atom) && !holds(&member, atom) => {
            // No revoke leaves somebody without any: the last of them was given by it in the place of what it took.
            if member.as_ref().is_some_and(|member| member.atoms.iter().all(|atom| took.contains(atom))) {
                took.clear();
            }
            took.push(atom);
        }
        _ => {}
    }
    if let Some(member) = &mut member {
        member.atoms.retain(|atom| !took.contains(atom));
    }
    // What a sync under way has read may be another, and so may what one that begins now is shown.
    let is_syncing = || ports.one("SELECT 1 FROM sync_state WHERE name = ?", &[state::CURSOR.into()]);
    let is_same = if was_gone { is_gone } else { member == known };
    if is_seen && is_same && !left.is_fresh && is_syncing()?.is_none() {
        return Ok(());
    }
    let key = is_sure.then(|| left.member.principal().to_string());
    let kept = serde_json::to_string(&StoredChange { member, key, groups, took })?;
    ports.query(
        "INSERT INTO overlay (member, at, kept) VALUES (?, ?, ?)",
        &[id.to_string().into(), now.into(), kept.into()],
    )?;
    Ok(())
}

/// Whether what was read of a member has something that was taken, of which no generation tells yet: that is told first, and then that somebody gave
/// it back.
pub(crate) fn is_given_back(sql: &dyn Sql, read: &Aftermath<'_>) -> Result<bool, SqlError> {
    let Some((StoredChange { member: Some(_), groups, took, .. }, None)) = latest(sql, read.member.id)? else {
        return Ok(false);
    };
    let is_back = |(group, is_in): (UserGroupId, bool)| is_in && groups.get(&group).is_some_and(|(is_in, _)| !is_in);
    let held = read.member.own_policies();
    Ok(read.group.is_some_and(is_back) || held.is_ok_and(|held| atoms(&held).iter().any(|atom| took.contains(atom))))
}

/// What is known of a member by the newest generation.
struct Newest {
    known: Option<Member>,
    /// Whether the operation saw that generation, and so does every reader by now.
    is_seen: bool,
    /// Whether that is certain, and no guess.
    is_sure: bool,
}

impl Newest {
    /// Looks it up, whatever generation the operation began with; `taken_in` is how a generation took the last change in.
    async fn published<P: KeyValue + Sql>(
        ports: &P,
        snapshot: Option<&Snapshot>,
        taken_in: Option<Member>,
        record: &MemberRecord,
        now: Timestamp,
    ) -> Result<Self, SqlError> {
        // Several may have been published since the operation began, and KV may show none of them yet.
        let newest = last_published(ports)?;
        let seen = snapshot
            .filter(|snapshot| newest.as_ref().is_some_and(|newest| snapshot.manifest().generation >= *newest))
            .map(Snapshot::manifest);
        let opened = match &newest {
            Some(newest) if seen.is_none() => Snapshot::open(ports, newest).await.ok(),
            _ => None,
        };
        let is_newest = seen.is_some() || opened.is_some();
        // The operation may have opened it by its own name, while readers are shown the one before.
        let is_seen = seen.is_some_and(|seen| now.since(seen.finished_at) >= SHOWN_AFTER_SECS * 1_000);
        let snapshot = opened.as_ref().or(snapshot);
        let (known, is_sure) = match taken_in {
            // KV may still show an older generation than the one that took the last change in. Whether that or a newer one has more is not known.
            Some(member) if !is_newest => (Some(member), false),
            taken_in => match published(ports, snapshot, record).await {
                // It may stand under a user whom the record does not name.
                Ok(None) if record.status == MemberStatus::Accepted && record.user_id.is_none() => (None, false),
                Ok(row) => (row, is_newest || newest.is_none()),
                Err(_) if taken_in.is_some() => (taken_in, false),
                Err(_) => (before(ports, snapshot, record).await, false),
            },
        };
        Ok(Self { known, is_seen, is_sure })
    }
}

/// The row that the snapshot has of a membership.
async fn published<P: KeyValue>(
    ports: &P,
    snapshot: Option<&Snapshot>,
    record: &MemberRecord,
) -> Result<Option<Member>, SnapshotError> {
    let user = record.user_id.map(Principal::User);
    for principal in user.into_iter().chain([Principal::Invitation(record.id)]) {
        let Some(snapshot) = snapshot else { break };
        let key = principal.to_string();
        let row = match snapshot.get(ports, &key).await {
            // It may pass, and nothing else is known of the member.
            Err(_) => snapshot.get(ports, &key).await?,
            Ok(row) => row,
        };
        if let Some(Row::User(member) | Row::Invitation(member)) = row
            && member.member_id == record.id
        {
            return Ok(Some(member));
        }
    }
    Ok(None)
}

/// The row that the generation before has, where the newest one's is on its way.
async fn before<P: KeyValue>(ports: &P, snapshot: Option<&Snapshot>, record: &MemberRecord) -> Option<Member> {
    let before = Snapshot::open(ports, snapshot?.manifest().previous.as_ref()?).await.ok()?;
    published(ports, Some(&before), record).await.ok()?
}

/// The member of a record. What the record does not tell stays as it was known.
fn member(record: &MemberRecord, groups: BTreeSet<UserGroupId>, known: Option<&Member>) -> Member {
    let atoms = if let Some(known) = known.filter(|_| record.unread().is_some()) {
        known.atoms.clone()
    } else {
        // Of whom nothing is known, what could be read is all there is.
        let read: Vec<Policy> = record.policies.readable().iter().map(PolicyRecord::policy).collect();
        atoms(&read).into_iter().collect()
    };
    Member {
        member_id: record.id,
        user_id: record.user_id,
        email: record.email.clone(),
        status: record.status,
        first_name: record.first_name.clone(),
        last_name: record.last_name.clone(),
        two_factor: record.two_factor.or_else(|| known?.two_factor),
        atoms,
        groups: groups.into_iter().collect(),
        // No record of a member tells it.
        signs: known.map(|known| known.signs.clone()).unwrap_or_default(),
    }
}

/// What is laid over a generation. `until` is the number of an earlier overlay that is to be had again.
pub fn over(sql: &dyn Sql, generation: &GenerationId, until: Option<i64>) -> Result<Overlay, SqlError> {
    let newest = sql.number("SELECT MAX(seq) FROM overlay", &[])?;
    let seq = until.or(newest).unwrap_or_default();
    let rows = sql.query(
        "SELECT member, CASE version WHEN 1 THEN kept END, MAX(seq) FROM overlay \
         WHERE seq <= ? AND (generation IS NULL OR generation > ?) GROUP BY member ORDER BY member",
        &[seq.into(), generation.into()],
    )?;
    let members = rows::readable(sql, "overlay", &rows, |row| {
        let (id, kept) = read(row).ok()?;
        Some((id, kept.member))
    })?;
    Ok(Overlay { seq, members })
}

/// What a crawl has to take in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// The number of the last one.
    pub(crate) seq: i64,
    /// The members: as they are now, or gone, and since when; and what of their groups was changed.
    pub(crate) members: BTreeMap<MemberId, MemberChange>,
}

/// What a crawl has to take in of one member.
#[derive(Clone, Debug)]
pub(crate) struct MemberChange {
    pub(crate) at: Timestamp,
    pub(crate) member: Option<Member>,
    pub(crate) groups: BTreeMap<UserGroupId, (bool, Timestamp)>,
    /// What was taken from the member.
    pub(crate) took: Vec<Atom>,
}

impl Changes {
    /// Whether a change counts more than a page that was asked for at a time.
    pub(crate) fn outweighs(changed_at: Timestamp, asked_at: Timestamp) -> bool {
        asked_at <= changed_at.plus_millis(LAG_MILLIS)
    }
}

/// The changes that no generation has yet.
pub(crate) fn open(sql: &dyn Sql) -> Result<Changes, SqlError> {
    let rows = sql.query(
        "SELECT member, CASE version WHEN 1 THEN kept END, MAX(seq), at FROM overlay WHERE generation IS NULL GROUP BY member ORDER BY member",
        &[],
    )?;
    let mut changes = Changes::default();
    let read = rows::readable(sql, "overlay", &rows, |row| {
        let (id, kept) = read(row).ok()?;
        let number = |place: usize| row.get(place).and_then(SqlValue::integer).unwrap_or_default();
        let StoredChange { member, groups, took, .. } = kept;
        let change = MemberChange { at: Timestamp::from_millis(number(3)), member, groups, took };
        Some((number(2), id, change))
    })?;
    for (seq, id, change) in read {
        changes.seq = changes.seq.max(seq);
        changes.members.insert(id, change);
    }
    Ok(changes)
}

/// The rows that are others now, by their keys; none where one is gone.
type Changed = BTreeMap<String, Option<Row>>;

/// The rows that the changes which no generation has yet, up to a number, put in the place of those with the same keys; and the members whose changes
/// are a sweep's: of whom it is not known whose row it was, who is gone or holds nothing with more than `most_gone`, and of whose row `cut` took off
/// something, which stands among the rows without that.
pub(crate) fn rows_of(
    sql: &dyn Sql,
    seq: i64,
    most_gone: usize,
    cut: &dyn Fn(&mut Member) -> bool,
) -> Result<(Changed, Vec<String>), SqlError> {
    let rows = sql
        .query("SELECT member, CASE version WHEN 1 THEN kept END FROM overlay WHERE generation IS NULL AND seq <= ? ORDER BY seq", &[seq.into()])?;
    let changes = rows::readable(sql, "overlay", &rows, |row| read(row).ok())?;
    let mut members: BTreeMap<MemberId, Option<Member>> = BTreeMap::new();
    for (id, kept) in &changes {
        members.insert(*id, kept.member.clone());
    }
    let holds = |member: &Member| !member.atoms.is_empty() || !member.groups.is_empty();
    let is_left = |member: &Option<Member>| member.as_ref().is_some_and(holds);
    let gone = members.values().filter(|member| !is_left(member)).count();
    members.retain(|_, member| is_left(member) || gone <= most_gone);
    for (id, _) in changes.iter().filter(|(_, kept)| kept.key.is_none()) {
        members.remove(id);
    }
    let (mut others, mut left_out): (Changed, _) = (BTreeMap::new(), Vec::new());
    for (id, kept) in changes {
        match kept.key.filter(|_| members.contains_key(&id)) {
            Some(key) => {
                others.insert(key, None);
                others.insert(Principal::Invitation(id).to_string(), None);
            }
            None => left_out.push(id.to_string()),
        }
    }
    for mut member in members.into_values().flatten() {
        if cut(&mut member) {
            left_out.push(member.member_id.to_string());
        }
        let row = Row::member(member);
        others.insert(row.key(), Some(row));
    }
    Ok((others, left_out))
}

/// The number of the last change to be published, where one that no generation has yet is as old as that, or something `more` is published
/// anyway. Those that are younger go along, and stay in force: C1 is told to sync what is published, and would take a grant for gone that it was
/// told is done. Not so from somebody on who is gone: an invitation that is renewed is there again a moment later. Nor so where there are more than fit a
/// publication, two rows each: the others are the next one's. Who is gone or holds nothing, and who has no key, may be a sweep's, and stay: they do not count.
pub(crate) fn ripe(sql: &dyn Sql, until: Timestamp, more: bool) -> Result<Option<i64>, SqlError> {
    sql.number(
        "SELECT MAX(seq) FROM overlay WHERE generation IS NULL \
            AND (?2 OR EXISTS (SELECT 1 FROM overlay WHERE generation IS NULL AND at <= ?1)) \
            AND seq < COALESCE((SELECT MIN(seq) FROM overlay WHERE generation IS NULL AND at > ?1 AND kept LIKE '{\"member\":null%'), 9e18) \
            AND seq < COALESCE((SELECT seq FROM overlay WHERE generation IS NULL \
                AND CASE WHEN json_valid(kept) THEN json_extract(kept, '$.key') IS NOT NULL \
                    AND json_extract(kept, '$.member.atoms[0]', '$.member.groups[0]') <> '[null,null]' END \
                ORDER BY seq LIMIT 1 OFFSET 80), 9e18)",
        &[until.into(), i64::from(more).into()],
    )
}

/// When the oldest change was made that no generation has yet.
pub fn oldest_open(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    sql.time("SELECT MIN(at) FROM overlay WHERE generation IS NULL", &[])
}

/// How long a list may show what was before a change.
pub(crate) const LAG_SECS: i64 = LAG_MILLIS / 1_000;

/// Notes that a generation has the changes up to a number, but for those of members who are `left_out`. One that a list may not show yet stays in force
/// for the next one too, which would undo it; but what was taken is told where it is known whose row it was, and what is given back may be.
pub(crate) fn taken_in<P: Sql + Clock>(
    ports: &P,
    seq: i64,
    generation: &GenerationId,
    left_out: &[String],
) -> Result<(), SqlError> {
    ports.query(
        "UPDATE overlay SET generation = ? WHERE generation IS NULL AND seq <= ? AND at <= ? AND member NOT IN (SELECT value FROM json_each(?))",
        &[
            generation.into(),
            seq.into(),
            ports.now().plus_millis(-LAG_MILLIS).into(),
            serde_json::to_string(left_out)?.into(),
        ],
    )?;
    ports.query(
        "UPDATE overlay SET kept = json_remove(kept, '$.took') \
         WHERE generation IS NULL AND seq <= ? AND json_valid(kept) AND kept LIKE '%,\"key\":\"%,\"took\":[%'",
        &[seq.into()],
    )?;
    Ok(())
}

/// Puts the changes that stay in force for the next generation too on top of the one that was published now. What they do not tell of a member by
/// themselves was as the generation before had it, and is as this one has it: signs of life, and user groups but for those that the changes are
/// about, where this one `began` too soon to have seen that.
pub(crate) fn rebase<P: Sql + Clock>(
    ports: &P,
    seq: i64,
    began: Timestamp,
    published: impl Fn(MemberId) -> Option<Member>,
) -> Result<(), SqlError> {
    let rows = ports.query(
        "SELECT member, CASE version WHEN 1 THEN kept END, seq FROM overlay WHERE generation IS NULL AND (seq > ? OR at > ?)",
        &[seq.into(), ports.now().plus_millis(-LAG_MILLIS).into()],
    )?;
    let read = rows::readable(ports, "overlay", &rows, |row| read(row).ok().zip(row.get(2).cloned()))?;
    for ((id, kept), seq) in read {
        let Some((member, known)) = kept.member.as_ref().zip(published(id)) else { continue };
        let mut groups = known.groups;
        for (group, (is_in, _)) in kept.groups.iter().filter(|(_, (_, since))| Changes::outweighs(*since, began)) {
            groups.retain(|one| one != group);
            groups.extend(is_in.then_some(*group));
        }
        order::sort(&mut groups);
        let member = Member { groups, signs: known.signs, ..member.clone() };
        if kept.key.is_none() || kept.member.as_ref() != Some(&member) {
            // What was a guess is none by now.
            let key = kept.key.or_else(|| Some(member.principal().to_string()));
            let kept = serde_json::to_string(&StoredChange { member: Some(member), key, ..kept })?;
            ports.query("UPDATE overlay SET kept = ? WHERE seq = ?", &[kept.into(), seq])?;
        }
    }
    Ok(())
}

/// Notes that no generation has what one has taken in that is lost.
pub(crate) fn reopen(sql: &dyn Sql, generation: &GenerationId) -> Result<(), SqlError> {
    sql.run("UPDATE overlay SET generation = NULL WHERE generation = ?", &[generation.into()])
}

/// Forgets changes from before a time that every generation which is still kept has, however long they waited to be taken in.
pub fn purge(sql: &dyn Sql, oldest: Timestamp) -> Result<(), SqlError> {
    let first = format!("SELECT MIN(id) FROM ({KEPT})");
    sql.run(&format!("DELETE FROM overlay WHERE generation <= ({first}) AND at < ?"), &[oldest.into()])
}

/// The latest change of a member, and the generation that has it.
fn latest(sql: &dyn Sql, id: MemberId) -> Result<Option<(StoredChange, Option<String>)>, SqlError> {
    let rows = sql.query(
        "SELECT member, CASE version WHEN 1 THEN kept END, generation FROM overlay WHERE member = ? ORDER BY seq DESC LIMIT 1",
        &[id.to_string().into()],
    )?;
    let mut read = rows::readable(sql, "overlay", &rows, |row| {
        let (_, kept) = read(row).ok()?;
        Some((kept, row.get(2).and_then(SqlValue::text).map(str::to_owned)))
    })?;
    Ok(read.pop())
}

fn read(row: &[SqlValue]) -> Result<(MemberId, StoredChange), SqlError> {
    let unreadable = || SqlError::unreadable("a change of the overlay");
    let text = |place: usize| row.get(place).and_then(SqlValue::text).ok_or_else(unreadable);
    let id = text(0)?.parse().map_err(|_| unreadable())?;
    Ok((id, json::read_str(text(1)?).map_err(|_| unreadable())?))
}
