//! A small publication between two sweeps: what our own operations and what was read again of members, user groups and tokens that the
//! audit log named, put into a generation of its own, so that signals and files have it within a minute. Readers of `/v1` have what is of a
//! member before, from the overlay.
//!
//! **Invariants:** nothing is taken in that a crawl under way may not have seen; a mass disappearance, and whatever the current generation
//! has no name for, is left to the sweep, and keeps nothing else from being published: that sweep may be held for days.

use super::history::{self, GenerationSummary};
use super::metered::MeteredPorts;
use super::previous::SEVERAL;
use super::run::Cursor;
use super::{room, state};
use crate::account::overlay;
use crate::base::ports::{Clock, KeyValue, Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::Timestamp;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::ledger::record;
use crate::model::access::Access;
use crate::model::address;
use crate::model::grant::{Entitlement, Principal};
use crate::model::kind::Kind;
use crate::model::resource::{Member, Row};
use crate::model::token::Token;
use crate::snapshot::{self, Snapshot, SnapshotError, last_published};

/// More members than these who are gone at once, or hold nothing any more, are looked at by a sweep, which may hold them back or find them otherwise.
pub const MOST_GONE: usize = 10;

/// More changed rows than these are a sweep's.
const MOST_ROWS: usize = 200;

/// When there may be something to publish; `None` where nothing waits.
pub fn next_due<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<Option<Timestamp>, SqlError> {
    if Cursor::load(ports)?.is_some() || history::generations(ports)?.is_empty() {
        return Ok(None);
    }
    let Some(oldest) = overlay::oldest_open(ports)? else { return Ok(None) };
    let ripe = oldest.plus_secs(overlay::LAG_SECS);
    let tried = state::load::<Timestamp>(ports, state::TRIED)?;
    let ripe = tried.map_or(ripe, |tried| ripe.max(tried.plus_secs(room::APART_SECS)));
    Ok(Some(room::from(ports, plan)?.map_or(ripe, |from| ripe.max(from))))
}

/// Whether rows may be published now, beside what waits by itself.
pub fn has_room<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    let is_idle = Cursor::load(ports)?.is_none() && !history::generations(ports)?.is_empty();
    Ok(is_idle && room::is_free(ports, plan)?)
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was to be published is.
    Published,
    /// Not now.
    NotNow,
    /// A sweep is called for: all of it is left to that, or what is not published.
    Sweep,
}

/// Publishes what is ripe with what is younger, and these rows in the place of those with the same keys.
pub async fn publish<P: KeyValue + Sql + Clock>(
    ports: &P,
    plan: Plan,
    mut more: BTreeMap<String, Option<Row>>,
) -> Result<Outcome, SqlError> {
    let now = ports.now();
    let is_due =
        if more.is_empty() { next_due(ports, plan)?.is_some_and(|at| at <= now) } else { has_room(ports, plan)? };
    if !is_due {
        return Ok(Outcome::NotNow);
    }
    let seq = overlay::ripe(ports, now.plus_secs(-overlay::LAG_SECS), !more.is_empty())?;
    if seq.is_none() && more.is_empty() {
        return Ok(Outcome::NotNow);
    }
    // Noted first: what fails is not tried again at once.
    let room = room::take(ports, plan)?;
    let Some(newest) = history::generations(ports)?.into_iter().next() else { return Ok(Outcome::NotNow) };
    // What a run that was cut off published since is not remembered, and would be undone by what is built on the one before.
    if last_published(ports)?.is_some_and(|last| last != newest.generation) {
        room::give_back(ports, room)?;
        return Ok(Outcome::Sweep);
    }
    let kv = MeteredPorts::new(ports);
    let Ok(snapshot) = Snapshot::open(&kv, &newest.generation).await else { return Ok(Outcome::NotNow) };
    let old = snapshot.manifest();
    let listed: BTreeSet<Entitlement> = old.listed().flatten().collect();
    let asked = more.len();
    // That several user groups give nothing is looked at by a sweep, which may hold it back.
    let is_bare = |row: &Option<Row>| matches!(row, Some(Row::Group(group)) if group.atoms.is_empty());
    let are_several = more.values().filter(|row| is_bare(row)).count() >= SEVERAL;
    // A user group's own row has roles alone.
    more.retain(|_, row| {
        !(are_several && is_bare(row))
            && row.iter().flat_map(|row| old.grants_of(row)).all(|(it, _)| listed.contains(&it))
    });
    let is_known = |it: Entitlement| {
        listed.contains(&it)
            || matches!(it, Entitlement::Group(id) if more.contains_key(&Principal::Group(id).to_string()))
    };
    // The rest of what a member holds is told: who is given the whole account beside what has no name is not hidden by that.
    let cut = |member: &mut Member| {
        let held = member.atoms.len() + member.groups.len();
        member.atoms.retain(|atom| {
            atom.access != Access::Allow
                || is_known(old.naming.entitlement_of(atom.permission_group, atom.resource_group))
        });
        member.groups.retain(|group| is_known(Entitlement::Group(*group)));
        member.atoms.len() + member.groups.len() < held
    };
    let (mut rows, left_out) = overlay::rows_of(ports, seq.unwrap_or_default(), MOST_GONE, &cut)?;
    let is_all = left_out.is_empty() && more.len() == asked;
    rows.extend(more);
    if makers(&kv, &snapshot, &mut rows).await.is_err() {
        return Ok(Outcome::NotNow);
    }
    // A generation's id is made of a second.
    if (rows.is_empty() && !is_all) || rows.len() > MOST_ROWS || now.secs() <= old.started_at.secs() {
        room::give_back(ports, room)?;
        return Ok(Outcome::Sweep);
    }
    let came = if is_all { Outcome::Published } else { Outcome::Sweep };
    let Ok(published) = snapshot::amend(&kv, old, rows, now).await else { return Ok(Outcome::NotNow) };
    let manifest = published.manifest;
    let chapters = record::read(&kv, &manifest).await?;
    let changes = if published.changed { super::finish::count_changes(&kv, old, &manifest).await } else { None };
    // From here on nothing is awaited. A sync that was asked for meanwhile takes the changes in by itself.
    let sweep = Cursor::load(ports)?;
    if let (Some(seq), None) = (seq, &sweep) {
        overlay::taken_in(ports, seq, &manifest.generation, &left_out)?;
    }
    record::write(ports, &chapters)?;
    if !published.changed {
        room::give_back(ports, room)?;
        return Ok(came);
    }
    let ended = ports.now();
    history::remember_generation(
        ports,
        GenerationSummary {
            started_at: now,
            duration_millis: ended.since(now),
            ..GenerationSummary::of(&manifest, changes)
        },
    )?;
    let used = kv.take();
    room::charge(ports, i64::try_from(used.writes).unwrap_or(i64::MAX).saturating_sub(room::USUAL_WRITES))?;
    history::remember_small_run(
        ports,
        sweep.map(|sweep| sweep.run),
        &manifest.generation,
        (now, ended),
        used,
        (published.chunks_written, published.bytes_written),
        changes,
    )?;
    let _ = snapshot::sweep(&kv, &manifest.generation).await;
    Ok(came)
}

/// Whose the tokens are, where somebody came or went: as the sweep would tell it. The rows that it changes are put to the others.
async fn makers<P: KeyValue>(
    kv: &P,
    snapshot: &Snapshot,
    rows: &mut BTreeMap<String, Option<Row>>,
) -> Result<(), SnapshotError> {
    if !rows.keys().any(|key| Kind::PEOPLE.iter().any(|kind| key.starts_with(&kind.prefix()))) {
        return Ok(());
    }
    let mut tokens: BTreeMap<String, Token> = BTreeMap::new();
    let mut take = |row: &Row| tokens.extend(row.as_token().map(|token| (row.key(), token.clone())));
    snapshot.each(kv, Kind::SECRETS, |row| take(&row)).await?;
    rows.values().flatten().for_each(&mut take);
    for (key, mut token) in tokens {
        let Some(email) = token.creator.as_deref().filter(|_| rows.get(&key) != Some(&None)) else { continue };
        let is_there = token.creator_is.as_ref().is_some_and(|maker| rows.get(maker) != Some(&None));
        if is_there {
            continue;
        }
        let members = rows.values().flatten().filter_map(Row::as_member);
        let now =
            members.filter(|member| address::same(&member.email, email)).map(|it| it.principal().to_string()).next();
        if now != token.creator_is {
            token.creator_is = now;
            rows.insert(key, Some(Row::token(token)));
        }
    }
    Ok(())
}
