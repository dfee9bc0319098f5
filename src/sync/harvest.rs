//! Everything that a finished crawl brought, put together from its staged pages.

use crate::base::json;
use crate::base::tree::{BTreeMap, BTreeSet};

use super::crawl::{Crawl, List, Off, PageFacts};
use super::staging::{self, Members};
use crate::account::hints::Hints;
use crate::account::overlay::Changes;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{Odd, PermissionGroup, ResourceGroup, RoleRecord, UserGroup};
use crate::model::id::{MemberId, PermissionGroupId, ResourceGroupId, UserGroupId};
use crate::model::resource::{Member, OauthClient, Token};
use crate::snapshot::RunId;

/// The lists; one that could not be read is `Err` with the reason.
#[derive(Clone, Debug)]
pub(super) struct Harvest {
    pub(super) resource_groups: Result<Vec<ResourceGroup>, Off>,
    pub(super) permission_groups: Result<Vec<PermissionGroup>, Off>,
    pub(super) roles: Result<Vec<RoleRecord>, Off>,
    pub(super) user_groups: Result<Vec<UserGroup>, Off>,
    pub(super) group_members: BTreeMap<UserGroupId, Result<BTreeSet<MemberId>, Off>>,
    pub(super) tokens: Result<Vec<Token>, Off>,
    pub(super) oauth_clients: Result<Vec<OauthClient>, Off>,
    /// Whether the account locks out members without a second factor, and the organization that it is in; one item.
    pub(super) account: Result<Vec<SetUp>, Off>,
    /// The domains with an identity provider of their own, and how each stands.
    pub(super) sso_domains: Result<Vec<[String; 2]>, Off>,
    /// The names of domains, Workers and Access applications, by their lists as far as these were asked for: id and name.
    pub(super) names: BTreeMap<List, Result<Vec<[String; 2]>, Off>>,
    pub(super) members: Members,
    /// Who was asked for by id, and is not there.
    pub(super) gone: BTreeSet<MemberId>,
    pub(super) hints: Hints,
    /// The ids of the policies of all user groups, once they are learned: what members show under them is nobody's own.
    pub(super) group_policies: BTreeSet<String>,
    /// Records that cannot be read, by list; those of the members under [`List::Members`]'s first pass.
    pub(super) odd: BTreeMap<List, BTreeSet<Odd>>,
    /// What is to be said of lists that gave fewer than they tell of.
    pub(super) left_out: Vec<String>,
    /// The lists that did so, but for the members.
    pub(super) tells_more: Vec<List>,
}

/// Whether the account locks out members without a second factor, and the organization that it is in: id and name.
type SetUp = (Option<bool>, Option<(String, String)>);

/// The list under which the odd ones of the members stand.
const MEMBERS: List = List::Members { pass: 1 };

/// Which members each pass saw, and which of those that were asked for by id are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings {
    pub(super) first: BTreeSet<MemberId>,
    pub(super) second: BTreeSet<MemberId>,
    /// Asked for by id, and there.
    pub(super) confirmed: BTreeSet<MemberId>,
    /// Seen, with something that the list did not tell.
    pub(super) unclear: BTreeSet<MemberId>,
    /// How many records of the first pass have no id that could be read.
    pub(super) unnamed: usize,
}

impl Sightings {
    /// Whether a member was seen.
    pub(super) fn has(&self, id: &MemberId) -> bool {
        [&self.first, &self.second, &self.confirmed].iter().any(|seen| seen.contains(id))
    }
}

/// Which members were seen: the pages' own facts say it.
pub(super) fn sightings(crawl: &Crawl, confirm: &[MemberId]) -> Sightings {
    let mut seen = Sightings::default();
    for (pass, of_pass) in [(1, &mut seen.first), (2, &mut seen.second)] {
        for facts in crawl.facts(List::Members { pass }) {
            of_pass.extend(&facts.members);
            seen.unclear.extend(&facts.unclear);
        }
    }
    for facts in confirm.iter().flat_map(|&member| crawl.facts(List::Member(member))) {
        seen.confirmed.extend(&facts.members);
    }
    seen.unnamed = crawl.odd(MEMBERS).into_iter().filter(|odd| odd.parsed::<MemberId>().is_none()).count();
    seen
}

impl Harvest {
    /// Puts together what a run staged.
    pub(super) fn load(
        sql: &dyn Sql,
        run: &RunId,
        crawl: &Crawl,
        confirm: &[MemberId],
        changes: &Changes,
    ) -> Result<Self, SqlError> {
        let groups: BTreeSet<UserGroupId> = crawl.groups().collect();
        let mut group_members = BTreeMap::new();
        for group in groups {
            group_members.insert(group, members_of(sql, run, crawl, group, changes)?);
        }
        let (members, hints) = members(sql, run, crawl, confirm, changes)?;
        let mut odd: BTreeMap<List, BTreeSet<Odd>> = BTreeMap::new();
        let groups = group_members.keys().map(|&group| List::GroupMembers(group));
        for list in List::FIRST.into_iter().chain(List::NAMES).chain(groups) {
            odd.insert(list, crawl.odd(list).into_iter().cloned().collect());
        }
        odd.insert(MEMBERS, odd_members(crawl, confirm, &members));
        odd.retain(|_, odd| !odd.is_empty());
        let gone: BTreeSet<MemberId> = confirm.iter().copied().filter(|&member| is_gone(crawl, member)).collect();
        let mut names = BTreeMap::new();
        for asked in List::NAMES.into_iter().filter(|&asked| crawl.pages(asked).next().is_some()) {
            names.insert(asked, list(sql, run, crawl, asked)?);
        }
        let mut tells_more = crawl.unsure_lists();
        tells_more.retain(|&list| crawl.tells_more(list));
        Ok(Self {
            names,
            tells_more,
            resource_groups: list(sql, run, crawl, List::ResourceGroups)?,
            permission_groups: list(sql, run, crawl, List::PermissionGroups)?,
            roles: list(sql, run, crawl, List::Roles)?,
            user_groups: list(sql, run, crawl, List::UserGroups)?,
            tokens: list(sql, run, crawl, List::Tokens)?,
            oauth_clients: list(sql, run, crawl, List::OauthClients)?,
            account: list(sql, run, crawl, List::Account)?,
            sso_domains: list(sql, run, crawl, List::SsoDomains)?,
            group_members,
            left_out: left_out(crawl, members.len() + gone.len() + odd.get(&MEMBERS).map_or(0, BTreeSet::len)),
            gone,
            members,
            hints,
            group_policies: BTreeSet::new(),
            odd,
        })
    }

    /// The records of a list that cannot be read.
    pub(super) fn odd(&self, list: List) -> impl Iterator<Item = &Odd> {
        self.odd.get(&list).into_iter().flatten()
    }

    /// The members' records that cannot be read.
    pub(super) fn odd_members(&self) -> impl Iterator<Item = &Odd> {
        self.odd(MEMBERS)
    }

    /// Whether what an earlier generation says of a member is still needed: the crawl saw the member, or a record that may be the
    /// member's, and could not read all of it.
    pub(super) fn needs(&self, known: &Member) -> bool {
        match self.members.is_unread(known.member_id) {
            Some(unread) => unread,
            None if self.gone.contains(&known.member_id) => false,
            None => self.odd_members().any(|odd| odd.may_be(&known.member_id, &known.email)),
        }
    }

    /// Whether there is anything of which an earlier generation may know more.
    pub(super) fn needs_any(&self) -> bool {
        self.odd_members().next().is_some() || self.members.any_unread()
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

/// What is to be said of lists that gave fewer than they tell of, with how many members came, those included who were asked for by id.
fn left_out(crawl: &Crawl, members: usize) -> Vec<String> {
    let given = u32::try_from(members).unwrap_or(u32::MAX);
    let told = crawl.members_total().filter(|told| *told > given);
    let members = told.map(|told| (MEMBERS.name(), told, given));
    let say = |(name, told, given): (&str, u32, u32)| {
        let what = name.replace('_', " ");
        format!("Cloudflare says that there are {told} {what}, and gives {given}: nothing is known of the others")
    };
    members.into_iter().chain(crawl.left_out()).map(say).collect()
}

/// Whether a member was asked for by id, and is not there.
fn is_gone(crawl: &Crawl, member: MemberId) -> bool {
    crawl.facts(List::Member(member)).next().is_some_and(|facts| facts.members.is_empty())
}

/// The members' records that cannot be read. One that was read by its id since, or is gone by then, is none of them.
fn odd_members(crawl: &Crawl, confirm: &[MemberId], members: &Members) -> BTreeSet<Odd> {
    let settled = |odd: &Odd| odd.parsed::<MemberId>().is_some_and(|id| members.contains(id) || is_gone(crawl, id));
    let passes = [MEMBERS, List::Members { pass: 2 }];
    let asked = confirm.iter().map(|&member| List::Member(member));
    let odd = passes.into_iter().chain(asked).flat_map(|list| crawl.odd(list));
    let odd: BTreeSet<Odd> = odd.filter(|odd| !settled(odd)).cloned().collect();
    // Of records that were too long to read nothing is known, until everybody there is was found in another way.
    let known = members.len() + odd.iter().filter_map(Odd::parsed::<MemberId>).collect::<BTreeSet<_>>().len();
    let everybody = crawl.members_total().is_some_and(|total| usize::try_from(total).is_ok_and(|total| known >= total));
    odd.into_iter().filter(|odd| !everybody || odd.id.is_some() || odd.name.is_some()).collect()
}

fn list<T: serde::de::DeserializeOwned>(
    sql: &dyn Sql,
    run: &RunId,
    crawl: &Crawl,
    list: List,
) -> Result<Result<Vec<T>, Off>, SqlError> {
    let mut items: Vec<T> = Vec::new();
    let mut take = |rows: &[u8], _: &PageFacts| json::read::<Vec<T>>(rows).map(|mut page| items.append(&mut page));
    let read = each_page(sql, run, crawl, list, &mut take)?;
    Ok(read.map(|()| items))
}

/// What is done with each page of a list: its rows as they were staged, and what was told of it.
type Take<'a> = &'a mut dyn FnMut(&[u8], &PageFacts) -> Result<(), serde_json::Error>;

/// Hands out the rows of each page of a list that is staged as JSON, with what the page said of itself; or tells why there are none. What the rows are
/// is `take`'s to know: this is compiled once for all lists.
fn each_page(
    sql: &dyn Sql,
    run: &RunId,
    crawl: &Crawl,
    list: List,
    take: Take<'_>,
) -> Result<Result<(), Off>, SqlError> {
    if let Some(off) = crawl.off(list) {
        return Ok(Err(off.clone()));
    }
    for (page, facts) in crawl.pages(list) {
        take(&staging::rows(sql, run, page)?, facts).map_err(|_| staging::unreadable(list))?;
    }
    Ok(Ok(()))
}

/// The members of a user group, with what our own operations changed since the list was read.
fn members_of(
    sql: &dyn Sql,
    run: &RunId,
    crawl: &Crawl,
    group: UserGroupId,
    changes: &Changes,
) -> Result<Result<BTreeSet<MemberId>, Off>, SqlError> {
    let mut members = BTreeSet::new();
    let mut asked_at: Option<Timestamp> = None;
    let mut take = |rows: &[u8], facts: &PageFacts| {
        asked_at = Some(asked_at.map_or(facts.at, |earliest| earliest.min(facts.at)));
        json::read::<Vec<MemberId>>(rows).map(|page| members.extend(page))
    };
    if let Err(off) = each_page(sql, run, crawl, List::GroupMembers(group), &mut take)? {
        return Ok(Err(off));
    }
    for (id, change) in &changes.members {
        let Some((is_in, changed_at)) = change.groups.get(&group) else { continue };
        // Who was taken out and is in it again is out of it for this once, so that both are told.
        if !*is_in || asked_at.is_none_or(|asked_at| Changes::outweighs(*changed_at, asked_at)) {
            if *is_in {
                members.insert(*id)
            } else {
                members.remove(id)
            };
        }
    }
    Ok(Ok(members))
}

/// The members: of each the latest that was read, or what our own operations left since.
fn members(
    sql: &dyn Sql,
    run: &RunId,
    crawl: &Crawl,
    confirm: &[MemberId],
    changes: &Changes,
) -> Result<(Members, Hints), SqlError> {
    let mut members = Members::default();
    let mut asked_at: BTreeMap<MemberId, Timestamp> = BTreeMap::new();
    let mut hints = Hints::default();
    // Of whom was asked for by the id before the second pass, that pass is the newer word.
    let second = crawl.facts(List::Members { pass: 2 }).map(|facts| facts.at).min();
    let is_later = |list: &List| second.is_none_or(|second| crawl.facts(*list).all(|facts| facts.at > second));
    let by_id = || confirm.iter().map(|&member| List::Member(member));
    let first = [List::Members { pass: 1 }].into_iter().chain(by_id().filter(|list| !is_later(list)));
    let then = [List::Members { pass: 2 }].into_iter().chain(by_id().filter(is_later));
    for list in first.chain(then) {
        if let List::Member(member) = list
            && is_gone(crawl, member)
        {
            members.remove(member);
        }
        for (page, facts) in crawl.pages(list) {
            let rows = staging::rows(sql, run, page)?;
            let (ids, told) = members.take(&rows).ok_or_else(|| staging::unreadable(list))?;
            hints.merge(told);
            if let (List::Member(member), true) = (list, facts.members.is_empty()) {
                asked_at.insert(member, facts.at);
            }
            asked_at.extend(ids.into_iter().filter(|id| changes.members.contains_key(id)).map(|id| (id, facts.at)));
        }
    }
    for (id, change) in &changes.members {
        // A page that was asked for after the change is the newer word; but what was taken and is held again is told as taken first, and by the next
        // generation as given back.
        if asked_at.get(id).is_some_and(|asked_at| !Changes::outweighs(change.at, *asked_at)) {
            members.less.extend(change.took.iter().map(|atom| (*id, *atom)));
            continue;
        }
        match &change.member {
            Some(member) => members.insert(member),
            None => members.remove(*id),
        }
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
    /// These memberships too, one by one.
    Confirm(Vec<MemberId>),
    /// The list leaves out people who are there, and so many others are missing from it that nobody can say who of them is gone.
    LeavesOut(usize),
}

/// At most this many memberships are asked for one by one in a run; each is a request.
const MAX_CONFIRM: usize = 25;

/// So many where some of them turned out to be there: then the list leaves people out, and that somebody is in neither pass proves nothing.
const MAX_CONFIRM_LEFT_OUT: usize = 400;

/// What is known when the pages that were asked for are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<'a> {
    pub(super) seen: &'a Sightings,
    /// Whether the first pass's pages told different totals, or another one than there were members on them.
    pub(super) moved: bool,
    pub(super) second_pass: bool,
    /// Who was asked for by id.
    pub(super) asked: &'a [MemberId],
    /// Who was there in the current generation.
    pub(super) before: &'a BTreeSet<MemberId>,
}

/// Decides what is still to be read (`reference/cloudflare.md` 3.6). Somebody counts as gone who is in no pass and not to be had
/// by id; or, where there are more than can be asked for, who is in neither of two passes of a list that left out nobody who was asked for.
pub(super) fn verify(check: Check<'_>) -> Verification {
    let Check { seen, moved, second_pass, asked, before } = check;
    let union: BTreeSet<MemberId> = seen.first.union(&seen.second);
    let missing: Vec<MemberId> = before.difference(&union).copied().collect();
    // A pass left out somebody who is there: it may have left out others.
    let overlooked = seen.confirmed.iter().any(|id| !union.contains(id) || (second_pass && !seen.second.contains(id)));
    if !second_pass && (moved || overlooked || missing.len() > MAX_CONFIRM) {
        return Verification::SecondPass;
    }
    // Whoever was only in the first pass may have left since, or have slipped between two pages of the second.
    let vanished = seen.first.difference(&seen.second).copied().filter(|_| second_pass);
    let most = if second_pass && overlooked { MAX_CONFIRM_LEFT_OUT } else { MAX_CONFIRM };
    let room = most.saturating_sub(asked.len());
    let left_out = missing.iter().filter(|member| !asked.contains(member)).count();
    // A list that shows nobody at all is none, and is not made up for by asking for everybody.
    if overlooked && (left_out > room || (union.is_empty() && left_out > 0)) {
        return Verification::LeavesOut(left_out);
    }
    // What the list does not tell of somebody, the member's own record may.
    let unclear = seen.unclear.iter().copied();
    let unasked = missing.into_iter().chain(vanished).chain(unclear).filter(|member| !asked.contains(member));
    let unasked: Vec<MemberId> = unasked.take(room).collect();
    if unasked.is_empty() { Verification::Enough } else { Verification::Confirm(unasked) }
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeSet;

    use super::{Check, Sightings, Verification, verify};
    use crate::model::id::MemberId;

    fn id(n: usize) -> MemberId {
        format!("{n:032x}").parse().unwrap()
    }

    fn ids(range: std::ops::Range<usize>) -> BTreeSet<MemberId> {
        range.map(id).collect()
    }

    fn check(seen: &Sightings, moved: bool, second_pass: bool, asked: &[MemberId], before: usize) -> Verification {
        verify(Check { seen, moved, second_pass, asked, before: &ids(0..before) })
    }

    #[test]
    fn a_pass_that_shows_everybody_is_enough() {
        let seen = Sightings { first: ids(0..100), ..Sightings::default() };
        assert_eq!(check(&seen, false, false, &[], 90), Verification::Enough);
        assert_eq!(check(&seen, false, false, &[], 0), Verification::Enough);
    }

    #[test]
    fn a_list_that_moved_is_read_once_more_and_no_more_than_that() {
        let seen = Sightings { first: ids(0..100), ..Sightings::default() };
        assert_eq!(check(&seen, true, false, &[], 100), Verification::SecondPass);
        let seen = Sightings { first: ids(0..100), second: ids(0..100), ..Sightings::default() };
        assert_eq!(check(&seen, true, true, &[], 100), Verification::Enough);
    }

    #[test]
    fn few_who_are_missing_are_asked_for_and_many_looked_for() {
        let seen = Sightings { first: ids(0..100), ..Sightings::default() };
        assert_eq!(check(&seen, false, false, &[], 102), Verification::Confirm(vec![id(100), id(101)]));
        assert_eq!(check(&seen, false, false, &[id(100), id(101)], 102), Verification::Enough);
        assert_eq!(check(&seen, false, false, &[], 126), Verification::SecondPass);
    }

    #[test]
    fn somebody_the_list_left_out_makes_it_be_read_again() {
        let mut seen = Sightings { first: ids(0..100), confirmed: ids(100..101), ..Sightings::default() };
        assert_eq!(check(&seen, false, false, &[id(100)], 101), Verification::SecondPass);
        // The second pass has that one, and has lost another.
        seen.second = ids(1..101);
        assert_eq!(check(&seen, false, true, &[id(100)], 101), Verification::Confirm(vec![id(0)]));
        assert_eq!(check(&seen, false, true, &[id(100), id(0)], 101), Verification::Enough);
    }

    #[test]
    fn no_more_than_25_are_asked_for() {
        let seen = Sightings { first: ids(0..60), second: ids(50..60), ..Sightings::default() };
        let Verification::Confirm(asked) = check(&seen, true, true, &[], 100) else { panic!() };
        assert_eq!(asked.len(), 25);
        assert_eq!(check(&seen, true, true, &asked, 100), Verification::Enough);
    }

    #[test]
    fn who_is_in_no_pass_is_asked_for_before_who_is_in_one() {
        let mut seen = Sightings { first: ids(0..60), second: ids(0..35), ..Sightings::default() };
        let Verification::Confirm(asked) = check(&seen, true, true, &[], 100) else { panic!() };
        assert_eq!(asked, (60..85).map(id).collect::<Vec<_>>());
        // They are there: the list leaves people out, and nobody is gone by it.
        seen.confirmed = ids(60..85);
        let Verification::Confirm(more) = check(&seen, true, true, &asked, 100) else { panic!() };
        assert_eq!(more, (85..100).chain(35..60).map(id).collect::<Vec<_>>());
        // So it is where the second pass left out somebody who is there, and was in the first.
        let seen = Sightings { first: ids(0..60), second: ids(1..60), confirmed: ids(0..1), ..Sightings::default() };
        let Verification::Confirm(more) = check(&seen, true, true, &[id(0)], 100) else { panic!() };
        assert_eq!(more.len(), 40);
    }
}
