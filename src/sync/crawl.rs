//! What to fetch next: the crawl as a state machine without I/O and without a clock.
//!
//! It is fed with what each page said of itself ([`PageFacts`]) and so can be rebuilt, after a restart, from the pages
//! that are staged: there is no other state that could disagree with them.

use crate::base::hash::fnv1a;
use crate::base::json::Deserialize;
use crate::base::remedy::SET_SECRET;
use crate::base::tree::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, GROUPS_PER_PAGE, Odd, PER_PAGE, counts_too_few};
use crate::model::id::{MemberId, UserGroupId};
use crate::model::scope::ObjectKind;
use crate::snapshot::FAILED;

/// A list of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List {
    ResourceGroups,
    PermissionGroups,
    Roles,
    UserGroups,
    Tokens,
    OauthClients,
    /// The account itself, and the domains with an identity provider of their own.
    Account,
    SsoDomains,
    /// The names of domains, Workers and Access applications: read where a scope names one.
    Zones,
    Workers,
    AccessApps,
    /// The members of one user group.
    GroupMembers(UserGroupId),
    /// The account's members; read a second time when the first time they moved.
    Members {
        pass: u8,
    },
    /// One membership, asked for by its id because the list did not have it.
    Member(MemberId),
}

impl List {
    /// Those that stand for themselves.
    pub(super) const FIRST: [Self; 8] = [
        Self::ResourceGroups,
        Self::PermissionGroups,
        Self::Roles,
        Self::UserGroups,
        Self::Tokens,
        Self::OauthClients,
        Self::Account,
        Self::SsoDomains,
    ];

    /// Those that tell names, in the order of [`ObjectKind::NAMED`].
    pub(super) const NAMES: [Self; 3] = [Self::Zones, Self::Workers, Self::AccessApps];

    const fn per_page(self) -> u32 {
        match self {
            Self::UserGroups | Self::GroupMembers(_) => GROUPS_PER_PAGE,
            _ => PER_PAGE,
        }
    }

    /// Whether there is nothing after the first page, whatever that says: resource groups are answered whole and ignore
    /// `page` (`reference/cloudflare.md` 3.6), and so are Workers, OAuth clients and the domains of identity providers.
    pub(super) const fn is_one_page(self) -> bool {
        matches!(
            self,
            Self::ResourceGroups
                | Self::OauthClients
                | Self::Account
                | Self::SsoDomains
                | Self::Workers
                | Self::Member(_)
        )
    }

    /// Its name, where it stands for itself.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ResourceGroups => "resource_groups",
            Self::PermissionGroups => "permission_groups",
            Self::Roles => "roles",
            Self::UserGroups => "user_groups",
            Self::Tokens => "tokens",
            Self::OauthClients => "oauth_clients",
            Self::Account => "account",
            Self::SsoDomains => "sso_domains",
            Self::Zones => "zones",
            Self::Workers => "workers",
            Self::AccessApps => "access_apps",
            Self::GroupMembers(_) => "user_group_members",
            Self::Members { .. } | Self::Member(_) => "members",
        }
    }

    /// Whether a sync can do without it. What is missing then is said as a capability that is off.
    pub(super) const fn is_optional(self) -> bool {
        !matches!(self, Self::Members { .. } | Self::Member(_))
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroupMembers(group) => write!(f, "group_members/{group}"),
            Self::Members { pass } => write!(f, "members/{pass}"),
            Self::Member(member) => write!(f, "member/{member}"),
            list => f.write_str(list.name()),
        }
    }
}

impl FromStr for List {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text.split_once('/') {
            None => Self::FIRST.into_iter().chain(Self::NAMES).find(|list| list.name() == text).ok_or(())?,
            Some(("group_members", group)) => Self::GroupMembers(group.parse().map_err(|_| ())?),
            Some(("members", pass)) => Self::Members { pass: pass.parse().map_err(|_| ())? },
            Some(("member", member)) => Self::Member(member.parse().map_err(|_| ())?),
            Some(_) => return Err(()),
        })
    }
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fetch {
    pub(super) list: List,
    /// From 1.
    pub(super) page: u32,
}

/// What is kept of a page beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct PageFacts {
    /// How many items it has.
    pub(super) count: u32,
    /// How many items the list had when this page was read, where told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_count: Option<u32>,
    /// How many pages the list had, where told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_pages: Option<u32>,
    /// Items on a full page, as the server applied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) per_page: Option<u32>,
    /// A hash over the items' ids, to know a page that was answered before.
    pub(super) ids: u64,
    /// A hash of each of those ids, where what is on a list twice is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) each: Vec<u64>,
    /// The members on it, those that cannot be read included where their id can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) members: Vec<MemberId>,
    /// Members on it of whom something is not told: they are asked for by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unclear: Vec<MemberId>,
    /// Records on it that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) odd: Vec<Odd>,
    /// The user groups on it, whose members are to be fetched too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<UserGroupId>,
    /// A hash over the rows that are staged of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) rows: String,
    /// What the bytes that it came as are known by, where it came as one answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) print: String,
    /// How many requests it took.
    pub(super) requests: u32,
    /// When it was asked for: what changed before that is on it.
    pub(super) at: Timestamp,
    /// The list cannot be read at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) off: Option<Off>,
}

/// Why a list cannot be read. Without the ray id: it is part of what is published, and must be equal when nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Off {
    pub(super) status: Option<u16>,
    pub(super) code: Option<i64>,
    pub(super) message: String,
    /// It may be read another time: Cloudflare failed, again and again.
    #[serde(default)]
    pub(super) passing: bool,
}

/// What is told of a fault that may pass.
pub(super) const TRIED_AGAIN: &str = "each sync tries it again";

/// Why a list is not believed that came, and had nothing on it.
pub(super) const EMPTIED: &str = "the list is empty, and was not before";

impl Off {
    /// Whether Cloudflare said that there is no such list for this token, rather than failing: the list of legacy roles will be gone
    /// for good one day. One such answer may be a passing fault all the same. That the token is none, by status 401 or one of these codes, says
    /// nothing of a list.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self.status, Some(403 | 404 | 410)) && !matches!(self.code, Some(9106 | 10_001))
    }

    /// What Cloudflare answered, with what it said where that is wanted.
    pub(super) fn told(&self, in_full: bool) -> String {
        let status = self.status.map(|status| format!("HTTP {status}")).unwrap_or_default();
        let code = self.code.map(|code| format!(", code {code}")).unwrap_or_default();
        let is_told = (in_full || self.status.is_none()) && !self.message.is_empty();
        let message = if is_told { format!(": {}", self.message) } else { String::new() };
        format!("{status}{code}{message}").trim_start_matches(": ").to_owned()
    }

    /// Why one record, or the members of one user group, cannot be had. What is said of a failure may be another each time, and this is part of what is
    /// published.
    pub(super) fn why(&self) -> String {
        if self.passing {
            format!("{FAILED} it again and again ({}); {TRIED_AGAIN}", self.told(false))
        } else {
            self.told(true)
        }
    }

    fn of(error: &ApiError) -> Self {
        let passing = error.is_retryable();
        let (status, failure) = (error.status(), error.failure().cloned().unwrap_or_default());
        let message = match error {
            ApiError::Malformed { what, .. } => format!("the answer cannot be read: {what}"),
            ApiError::Transport(error) => error.to_string(),
            _ => failure.message,
        };
        Self { status, code: failure.code, message, passing }
    }
}

/// Where a crawl is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Resource groups, permission groups, roles, user groups, tokens, OAuth clients, the account itself, and the names of what scopes name.
    Lists,
    /// The members of each user group.
    Groups,
    /// The account's members.
    Members,
    /// What looks gone is confirmed.
    Verify,
    /// The snapshot is written.
    Publish,
}

/// How far a crawl is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Pages read.
    pub pages_done: u32,
    /// Pages to read, as far as known; it grows as lists tell how long they are.
    pub pages_total: u32,
    /// Members read.
    pub members_seen: u32,
    /// Members to read, once known.
    pub members_total: Option<u32>,
    /// Requests sent to Cloudflare.
    pub requests: u32,
}

/// What is to be read beyond the first pass over the members. Decided when that is complete, and kept with the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Further {
    /// The members are read a second time.
    pub(super) second_pass: bool,
    /// Memberships to ask for one by one.
    pub(super) confirm: Vec<MemberId>,
    /// Which lists of names are read.
    pub(super) names: Names,
}

/// Some of [`List::NAMES`]: one bit each, the first in the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Names(pub(super) u8);

impl Names {
    /// Those whose objects' names are wanted.
    pub(super) fn lists(self) -> impl Iterator<Item = List> {
        (0..).zip(List::NAMES).filter(move |(place, _)| self.0 >> place & 1 == 1).map(|(_, list)| list)
    }

    /// Adds the list that tells the names of a kind of object, where one does.
    pub(super) fn add(&mut self, kind: ObjectKind) {
        if let Some(place) = ObjectKind::NAMED.iter().position(|named| *named == kind) {
            self.0 |= 1 << place;
        }
    }
}

/// No list has more pages than this: 100,000 members. Beyond it something is wrong with the paging itself.
pub(super) const MAX_PAGES: u32 = 2_000;

/// The user groups have no more memberships than this in all, which take the Worker some two thirds of its memory.
pub(super) const MAX_MEMBERSHIPS: u32 = 500_000;

/// The crawl.
#[derive(Debug, Default)]
pub(super) struct Crawl {
    lists: BTreeMap<List, Pages>,
    further: Further,
    /// What is read of a list of which nothing is.
    none: Pages,
}

/// The pages of one list. What follows from them is kept up with each page: there may be a thousand.
#[derive(Debug, Default)]
struct Pages {
    read: BTreeMap<u32, PageFacts>,
    in_flight: BTreeSet<u32>,
    /// How many pages the list has, by the largest number that a page told.
    told: Option<u32>,
    /// The first page with these ids.
    first_with: BTreeMap<u64, u32>,
    /// All pages up to this one are read, and the list goes on after each.
    done: u32,
    off: bool,
}

impl Crawl {
    /// A crawl that has read these pages already.
    pub(super) fn resume(staged: impl IntoIterator<Item = (Fetch, PageFacts)>, further: Further) -> Self {
        let mut crawl = Self { further, ..Self::default() };
        for (fetch, facts) in staged {
            crawl.on_page(fetch, facts);
        }
        crawl
    }

    /// Asks for more than the first pass.
    pub(super) fn extend(&mut self, further: Further) {
        self.further = further;
    }

    /// The next page to fetch while others are on their way; `None` where one must come back first, or all are read.
    pub(super) fn next(&mut self) -> Option<Fetch> {
        for phase in [Phase::Lists, Phase::Groups, Phase::Members, Phase::Verify] {
            let lists = self.lists_of(phase);
            for &list in &lists {
                let pages = self.lists.entry(list).or_default();
                if let Some(page) = pages.next(list) {
                    pages.in_flight.insert(page);
                    return Some(Fetch { list, page });
                }
            }
            if !lists.iter().all(|list| self.is_complete(*list)) {
                return None;
            }
        }
        None
    }

    /// Takes note of a page.
    pub(super) fn on_page(&mut self, fetch: Fetch, facts: PageFacts) {
        let pages = self.lists.entry(fetch.list).or_default();
        pages.take(fetch, facts);
    }

    /// A page did not come; it will be asked for again.
    pub(super) fn on_failure(&mut self, fetch: Fetch) {
        if let Some(pages) = self.lists.get_mut(&fetch.list) {
            pages.in_flight.remove(&fetch.page);
        }
    }

    /// Whether everything that was asked for is read.
    pub(super) fn is_all_read(&self) -> bool {
        self.phase() == Phase::Publish
    }

    /// The first phase that has something left to read.
    pub(super) fn phase(&self) -> Phase {
        [Phase::Lists, Phase::Groups, Phase::Members, Phase::Verify]
            .into_iter()
            .find(|&phase| !self.lists_of(phase).into_iter().all(|list| self.is_complete(list)))
            .unwrap_or(Phase::Publish)
    }

    /// Forgets what was read of a list, which is read again.
    pub(super) fn forget(&mut self, list: List) {
        self.lists.remove(&list);
    }

    /// The lists of several pages, and those that are not whole by their own word, but for the members, whom two passes and a look at each make
    /// certain.
    pub(super) fn unsure_lists(&self) -> Vec<List> {
        let is_unsure = |pages: &Pages| (pages.read.len() > 1 || pages.left_out().is_some()) && !pages.off;
        let unsure = self.lists.iter().filter(|(list, pages)| list.is_optional() && is_unsure(pages));
        unsure.map(|(list, _)| *list).collect()
    }

    /// Whether a list tells of more than it gives.
    pub(super) fn tells_more(&self, list: List) -> bool {
        self.lists.get(&list).is_some_and(|pages| pages.left_out().is_some())
    }

    /// The lists that tell of more than they give, but for the members: how many of what there are by their own word, and how many they give.
    pub(super) fn left_out(&self) -> Vec<(&'static str, u32, u32)> {
        let mut all: Vec<(&'static str, u32, u32)> = Vec::new();
        for (list, pages) in self.lists.iter().filter(|(list, pages)| list.is_optional() && !pages.off) {
            let Some((told, given)) = pages.left_out() else { continue };
            match all.last_mut().filter(|(name, ..)| *name == list.name()) {
                // The members of all user groups together: there may be thousands of lists.
                Some(last) => (last.1, last.2) = (last.1.saturating_add(told), last.2.saturating_add(given)),
                None => all.push((list.name(), told, given)),
            }
        }
        all
    }

    /// What a list gives: the hash of each id.
    pub(super) fn given(&self, list: List) -> BTreeSet<u64> {
        self.lists.get(&list).map(Pages::given).unwrap_or_default()
    }

    /// Whether a list goes on after the last of its pages that is asked for.
    pub(super) fn is_cut_off(&self, list: List) -> bool {
        self.lists.get(&list).is_some_and(|pages| pages.is_cut_off(list))
    }

    /// Whether a list moved while it was read, as far as its pages' own totals tell.
    pub(super) fn totals_differ(&self, list: List) -> bool {
        let Some(pages) = self.lists.get(&list) else { return false };
        let totals: BTreeSet<u32> = pages.read.values().filter_map(|facts| facts.total_count).collect();
        totals.len() > 1
    }

    /// How many members there are, by the page of the last pass that tells of the most: one that was cut short may tell nothing.
    pub(super) fn members_total(&self) -> Option<u32> {
        let told = |pass| self.facts(List::Members { pass }).filter_map(|facts| facts.total_count).max();
        told(2).or_else(|| told(1))
    }

    /// The last page read of the list that is being read, for those who watch.
    pub(super) fn last_page(&self) -> u32 {
        let lists = self.lists_of(self.phase());
        lists.iter().filter_map(|list| self.lists.get(list)?.read.keys().next_back().copied()).max().unwrap_or(0)
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        let mut progress =
            Progress { pages_done: 0, pages_total: 0, members_seen: 0, members_total: None, requests: 0 };
        for (list, pages) in &self.lists {
            let done = u32::try_from(pages.read.len()).unwrap_or(u32::MAX);
            progress.pages_done += done;
            progress.pages_total += pages.total(*list).unwrap_or(done + 1).max(done);
            progress.requests += pages.read.values().map(|facts| facts.requests).sum::<u32>();
            if matches!(list, List::Members { .. }) {
                progress.members_seen += pages.read.values().map(|facts| facts.count).sum::<u32>();
                progress.members_total =
                    progress.members_total.max(pages.read.values().filter_map(|facts| facts.total_count).max());
            }
        }
        progress.members_seen = progress.members_seen.min(progress.members_total.unwrap_or(u32::MAX));
        progress
    }

    /// Why a list cannot be read, where it cannot.
    pub(super) fn off(&self, list: List) -> Option<&Off> {
        self.facts(list).find_map(|facts| facts.off.as_ref())
    }

    /// What each page of a list said of itself, in the order of the pages.
    pub(super) fn facts(&self, list: List) -> impl Iterator<Item = &PageFacts> {
        self.read(list).values()
    }

    fn read(&self, list: List) -> &BTreeMap<u32, PageFacts> {
        &self.lists.get(&list).unwrap_or(&self.none).read
    }

    /// All pages that are read, of one list after the other.
    pub(super) fn all_pages(&self) -> impl Iterator<Item = (Fetch, &PageFacts)> {
        self.lists.keys().flat_map(|&list| self.pages(list))
    }

    /// The pages of a list that are read, in their order.
    pub(super) fn pages(&self, list: List) -> impl Iterator<Item = (Fetch, &PageFacts)> {
        self.read(list).iter().map(move |(&page, facts)| (Fetch { list, page }, facts))
    }

    /// The records of a list that cannot be read, each once.
    pub(super) fn odd(&self, list: List) -> BTreeSet<&Odd> {
        self.facts(list).flat_map(|facts| &facts.odd).collect()
    }

    /// The user groups whose members are read.
    pub(super) fn groups(&self) -> impl Iterator<Item = UserGroupId> + '_ {
        let is_on = self.off(List::UserGroups).is_none();
        self.facts(List::UserGroups).filter(move |_| is_on).flat_map(|facts| facts.groups.iter().copied())
    }

    /// Whether the user groups have more members in all, as far as they are read, than a sync takes in.
    pub(super) fn has_too_many_memberships(&self) -> bool {
        let pages = self.groups().flat_map(|group| self.facts(List::GroupMembers(group)));
        pages.map(|facts| facts.count).sum::<u32>() > MAX_MEMBERSHIPS
    }

    fn lists_of(&self, phase: Phase) -> Vec<List> {
        match phase {
            Phase::Lists => List::FIRST.into_iter().chain(self.further.names.lists()).collect(),
            Phase::Groups => {
                let groups: BTreeSet<UserGroupId> = self.groups().collect();
                groups.into_iter().map(List::GroupMembers).collect()
            }
            Phase::Members => {
                let second = self.further.second_pass.then_some(List::Members { pass: 2 });
                [List::Members { pass: 1 }].into_iter().chain(second).collect()
            }
            Phase::Verify => self.further.confirm.iter().map(|&member| List::Member(member)).collect(),
            Phase::Publish => Vec::new(),
        }
    }

    fn is_complete(&self, list: List) -> bool {
        self.lists.get(&list).is_some_and(|pages| pages.is_complete(list))
    }
}

impl Pages {
    fn take(&mut self, fetch: Fetch, facts: PageFacts) {
        // A page may say one thing in `total_pages` and another in `total_count`: the larger number loses nothing.
        let counted = facts.total_count.zip(facts.per_page).map(|(count, size)| count.div_ceil(size.max(1)));
        self.told = self.told.max(facts.total_pages).max(counted);
        if facts.count > 0 {
            let first = self.first_with.entry(facts.ids).or_insert(fetch.page);
            *first = fetch.page.min(*first);
        }
        self.off |= facts.off.is_some();
        self.in_flight.remove(&fetch.page);
        self.read.insert(fetch.page, facts);
        while self.read.get(&(self.done + 1)).is_some_and(|facts| !self.ends_at(fetch.list, self.done + 1, facts)) {
            self.done += 1;
        }
    }

    fn given(&self) -> BTreeSet<u64> {
        self.read.values().flat_map(|facts| facts.each.iter().copied()).collect()
    }

    /// How many there are by its own word, and how many it gives, where those are fewer: each id is one, and each record of which none is kept.
    fn left_out(&self) -> Option<(u32, u32)> {
        let told = self.read.values().filter_map(|facts| facts.total_count).max()?;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let unnamed = |facts: &PageFacts| facts.count.saturating_sub(number(facts.each.len()));
        let given = number(self.given().len()) + self.read.values().map(unnamed).sum::<u32>();
        (told > given).then_some((told, given))
    }

    /// Whether a page is the last one, given that all before it are read (`reference/cloudflare.md` 3.6).
    fn ends_at(&self, list: List, page: u32, facts: &PageFacts) -> bool {
        let full = facts.per_page.unwrap_or(list.per_page());
        let is_low = counts_too_few(facts.total_count, page, full);
        list.is_one_page()
            || facts.count == 0
            || page >= MAX_PAGES
            || self.told.map_or(facts.count < full, |told| page >= told && !(is_low && facts.count >= full))
            || self.first_with.get(&facts.ids).is_some_and(|first| *first < page)
    }

    fn is_cut_off(&self, list: List) -> bool {
        let cut = self.read.get(&MAX_PAGES).filter(|_| self.end(list) == Some(MAX_PAGES));
        cut.is_some_and(|facts| match self.told {
            Some(told) => told > MAX_PAGES,
            None => facts.count >= facts.per_page.unwrap_or(list.per_page()),
        })
    }

    /// The last page, once every page up to it is read.
    fn end(&self, list: List) -> Option<u32> {
        if self.off {
            return self.read.keys().next_back().copied();
        }
        let page = self.done + 1;
        self.read.get(&page).filter(|facts| self.ends_at(list, page, facts)).map(|_| page)
    }

    fn is_complete(&self, list: List) -> bool {
        self.end(list).is_some() && self.in_flight.is_empty()
    }

    fn total(&self, list: List) -> Option<u32> {
        self.end(list).or_else(|| self.told.map(|told| told.clamp(1, MAX_PAGES)))
    }

    fn next(&self, list: List) -> Option<u32> {
        if self.end(list).is_some() {
            return None;
        }
        let missing = |page: &u32| !self.read.contains_key(page) && !self.in_flight.contains(page);
        // The first page tells how many there are. A list that does not tell is read one page after the other.
        let known = if self.read.contains_key(&1) { self.told.unwrap_or(0) } else { 1 };
        let within = (self.done + 1..=known.min(MAX_PAGES)).find(missing);
        within.or_else(|| {
            let beyond = self.read.keys().next_back().map_or(1, |last| last + 1);
            (self.in_flight.is_empty() && beyond > known).then_some(beyond).filter(missing)
        })
    }
}

/// What to do about a page that did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again after this many milliseconds.
    Again(u32),
    /// The list cannot be read; go on without it.
    Off(Off),
    /// The membership is gone.
    Gone,
    /// End the step, and go on at this time at the earliest.
    Until(Timestamp),
    /// End the step; a later one tries again, a few times. A list that a sync can do without is then off, and a member's own record odd.
    Later(String, Option<Off>),
    /// The run has failed.
    Failed(String),
}

/// A page is asked for this often in one step, with 0.5, 1 and 2 s between (`reference/cloudflare.md` 5.8).
const TRIES: u32 = 4;

/// Judges an error. `tries` is how often the page was asked for in this step.
pub(super) fn judge(fetch: Fetch, error: &ApiError, tries: u32) -> Verdict {
    // One list alone may be, for good, and has its tries. Where all are, for five minutes, the last of them comes once that is over.
    let is_limited = matches!(error, ApiError::RateLimited { .. }) && fetch.list.is_optional();
    match error {
        ApiError::RateLimited { until, .. } | ApiError::OutOfBudget { until } if !is_limited => Verdict::Until(*until),
        ApiError::Storage(_) => Verdict::Later(error.to_string(), None),
        // Of one list it may say what others say by 403. Where it is the token, the members do not come either.
        ApiError::Unauthorized(failure) if !fetch.list.is_optional() => Verdict::Failed(format!(
            "Cloudflare does not accept the API token ({failure}); make a new one in Cloudflare's dashboard and set it {SET_SECRET}CLOUDFLARE_API_TOKEN"
        )),
        ApiError::NotFound(_) if matches!(fetch.list, List::Member(_)) => Verdict::Gone,
        error if error.is_retryable() && tries < TRIES && !is_limited => Verdict::Again(500 << (tries - 1).min(4)),
        error if error.is_retryable() || matches!(fetch.list, List::Member(_)) => {
            let can_do_without = fetch.list.is_optional() || matches!(fetch.list, List::Member(_));
            Verdict::Later(error.to_string(), can_do_without.then(|| Off::of(error)))
        }
        error if fetch.list.is_optional() => Verdict::Off(Off::of(error)),
        ApiError::Forbidden(failure) => Verdict::Failed(format!(
            "Cloudflare does not let the API token read the account's members ({failure}); edit the token in Cloudflare's dashboard and give it the permission \"Account Settings: Read\""
        )),
        ApiError::NotFound(failure) => Verdict::Failed(format!(
            "Cloudflare does not know the account's list of members ({failure}); is CLOUDFLARE_ACCOUNT_ID the account's id?"
        )),
        error => Verdict::Failed(format!("the account's members cannot be read: {error}")),
    }
}

/// A hash of an id, within 2^53, since it passes through JSON.
pub(super) fn id_hash(id: &str) -> u64 {
    fnv1a(id.as_bytes()) >> 11
}

/// A hash over ids in any order, of theirs: equal for a page that was answered before.
pub(super) fn ids_hash(ids: impl Iterator<Item = u64>) -> u64 {
    ids.fold(0, |sum, hash| (sum + hash) % (1 << 53))
}

#[cfg(test)]
mod tests;
