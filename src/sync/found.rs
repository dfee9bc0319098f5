//! Everything that a finished crawl found, put together from its staged pages.

use std::collections::{BTreeMap, BTreeSet};

use super::crawl::{Crawl, List, Off};
use super::run::RunId;
use super::staging::{self, Hints, MembersPage, StagedMember};
use crate::cloudflare::{PermissionGroup, ResourceGroup, RoleRecord, UserGroup};
use crate::model::id::{MemberId, PermissionGroupId, ResourceGroupId, UserGroupId};
use crate::model::resource::Token;
use crate::ports::{Sql, SqlError};
use crate::time::Timestamp;

/// The lists; one that could not be read is `Err` with the reason.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) resource_groups: Result<Vec<ResourceGroup>, Off>,
    pub(super) permission_groups: Result<Vec<PermissionGroup>, Off>,
    pub(super) roles: Result<Vec<RoleRecord>, Off>,
    pub(super) user_groups: Result<Vec<UserGroup>, Off>,
    pub(super) group_members: BTreeMap<UserGroupId, Result<BTreeSet<MemberId>, Off>>,
    pub(super) tokens: Result<Vec<Token>, Off>,
    pub(super) members: BTreeMap<MemberId, StagedMember>,
    pub(super) hints: Hints,
}

/// Members that were changed while they were crawled: what the change left, and when. Stands in for what was read before.
pub(super) type Replacements = BTreeMap<MemberId, (Timestamp, Option<StagedMember>)>;

/// Which members each pass saw, and which of those that were asked for by id are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings {
    pub(super) first: BTreeSet<MemberId>,
    pub(super) second: BTreeSet<MemberId>,
    /// Asked for by id, and there.
    pub(super) confirmed: BTreeSet<MemberId>,
}

/// Reads which members were seen.
pub(super) fn sightings<P: Sql>(sql: &P, run: &RunId, confirm: &[MemberId]) -> Result<Sightings, SqlError> {
    let ids = |list| -> Result<BTreeSet<MemberId>, SqlError> {
        let pages = staging::pages::<P, MembersPage>(sql, run, list)?;
        Ok(pages.into_iter().flat_map(|(_, page)| page.members.into_iter().map(|member| member.id)).collect())
    };
    let mut seen = Sightings {
        first: ids(List::Members { pass: 1 })?,
        second: ids(List::Members { pass: 2 })?,
        confirmed: BTreeSet::new(),
    };
    for &member in confirm {
        seen.confirmed.extend(ids(List::Member(member))?);
    }
    Ok(seen)
}

impl Found {
    /// Puts together what a run staged.
    pub(super) fn load<P: Sql>(
        sql: &P,
        run: &RunId,
        crawl: &Crawl,
        confirm: &[MemberId],
        replacements: &Replacements,
    ) -> Result<Self, SqlError> {
        let groups: BTreeSet<UserGroupId> = crawl.groups().collect();
        let mut group_members = BTreeMap::new();
        for group in groups {
            let members = list::<P, MemberId>(sql, run, crawl, List::GroupMembers(group))?;
            group_members.insert(group, members.map(|members| members.into_iter().collect()));
        }
        let (members, hints) = members(sql, run, confirm, replacements)?;
        Ok(Self {
            resource_groups: list(sql, run, crawl, List::ResourceGroups)?,
            permission_groups: list(sql, run, crawl, List::PermissionGroups)?,
            roles: list(sql, run, crawl, List::Roles)?,
            user_groups: list(sql, run, crawl, List::UserGroups)?,
            tokens: list(sql, run, crawl, List::Tokens)?,
            group_members,
            members,
            hints,
        })
    }

    /// Every permission group that is known: from the list, and from members' policies.
    pub(super) fn known_permission_groups(&self) -> BTreeMap<PermissionGroupId, PermissionGroup> {
        let mut known = self.hints.permission_groups.clone();
        known.extend(self.permission_groups.iter().flatten().map(|group| (group.id, group.clone())));
        known
    }

    /// Every resource group's name that is known.
    pub(super) fn known_resource_groups(&self) -> BTreeMap<ResourceGroupId, String> {
        let mut known = self.hints.resource_groups.clone();
        known.extend(self.resource_groups.iter().flatten().map(|group| (group.id, group.name.clone())));
        known
    }
}

fn list<P: Sql, T: serde::de::DeserializeOwned>(
    sql: &P,
    run: &RunId,
    crawl: &Crawl,
    list: List,
) -> Result<Result<Vec<T>, Off>, SqlError> {
    if let Some(off) = crawl.off(list) {
        return Ok(Err(off.clone()));
    }
    let pages = staging::pages::<P, Vec<T>>(sql, run, list)?;
    Ok(Ok(pages.into_iter().flat_map(|(_, items)| items).collect()))
}

/// The members: of each the latest that was read, or what replaced it since.
fn members<P: Sql>(
    sql: &P,
    run: &RunId,
    confirm: &[MemberId],
    replacements: &Replacements,
) -> Result<(BTreeMap<MemberId, StagedMember>, Hints), SqlError> {
    let mut members = BTreeMap::new();
    let mut read_at: BTreeMap<MemberId, Timestamp> = BTreeMap::new();
    let mut hints = Hints::default();
    let passes = [List::Members { pass: 1 }, List::Members { pass: 2 }];
    for list in passes.into_iter().chain(confirm.iter().map(|&member| List::Member(member))) {
        let pages = staging::pages::<P, MembersPage>(sql, run, list)?;
        if let List::Member(member) = list
            && pages.iter().all(|(_, page)| page.members.is_empty())
        {
            // Asked for, and not there.
            members.remove(&member);
        }
        for (facts, page) in pages {
            hints.merge(page.hints);
            for member in page.members {
                // A replacement is newer than a page unless the page was read after it.
                if replacements.contains_key(&member.id) {
                    read_at.insert(member.id, facts.at);
                }
                members.insert(member.id, member);
            }
        }
    }
    for (id, (at, member)) in replacements {
        if read_at.get(id).is_some_and(|read| read > at) {
            continue;
        }
        match member {
            Some(member) => members.insert(*id, member.clone()),
            None => members.remove(id),
        };
    }
    Ok((members, hints))
}

/// What is still to be read before a crawl can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// Nothing.
    Enough,
    /// Every page once more: the list moved while it was read, or had not shown somebody who is there.
    SecondPass,
    /// These memberships, one by one.
    Confirm(Vec<MemberId>),
}

/// So many memberships are asked for one by one in a run; each is a request.
const MAX_CONFIRM: usize = 25;

/// What is known when the pages that were asked for are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<'a> {
    pub(super) seen: &'a Sightings,
    /// Whether the first pass's pages told different totals, or another one than there were members on them.
    pub(super) moved: bool,
    pub(super) second_pass: bool,
    pub(super) confirm: Option<&'a [MemberId]>,
    /// Who was there in the current generation.
    pub(super) before: &'a BTreeSet<MemberId>,
}

/// Decides what is still to be read (`reference/cloudflare.md` 3.6). Somebody counts as gone who is in no pass and not to be had
/// by id; or, where there are more than can be asked for, who is in neither of two passes.
pub(super) fn verify(check: Check<'_>) -> Verification {
    let Check { seen, moved, second_pass, confirm, before } = check;
    let union: BTreeSet<MemberId> = seen.first.union(&seen.second).copied().collect();
    let missing: Vec<MemberId> = before.difference(&union).copied().collect();
    if let Some(asked) = confirm {
        // The list left out somebody who is there: it may have left out others.
        let overlooked = asked.iter().any(|member| seen.confirmed.contains(member) && !union.contains(member));
        return if overlooked && !second_pass { Verification::SecondPass } else { Verification::Enough };
    }
    if !second_pass && (moved || missing.len() > MAX_CONFIRM) {
        return Verification::SecondPass;
    }
    // Whoever was only in the first pass may have left since, or have slipped between two pages of the second.
    let vanished = seen.first.difference(&seen.second).copied().filter(|_| second_pass);
    let confirm: Vec<MemberId> = vanished.chain(missing).take(MAX_CONFIRM).collect();
    if confirm.is_empty() { Verification::Enough } else { Verification::Confirm(confirm) }
}
