//! What the current generation says, as far as the next one needs it: who was there, and what is to be kept where a list
//! can no longer be read.

use crate::base::tree::BTreeMap;
use crate::base::tree::BTreeSet;

use super::crawl::{EMPTIED, List, Off, TRIED_AGAIN};
use super::harvest::Harvest;
use super::run::Cursor;
use crate::account::overlay::Changes;
use crate::base::ports::KeyValue;
use crate::base::time::Timestamp;
use crate::model::id::{MemberId, ResourceGroupId, TokenId, UserGroupId, UserId};
use crate::model::kind::Kind;
use crate::model::resource::{Group, Member, OauthClient, Role, Row, ScopedRole, Token};
use crate::model::scope::Scope;
use crate::model::super_administrator;
use crate::snapshot::{self, Brief, GenerationId, Manifest, Snapshot, SnapshotError, TELLS_MORE};

/// The current generation.
#[derive(Clone, Debug)]
pub(super) struct Previous {
    pub(super) manifest: Manifest,
    pub(super) members: BTreeMap<MemberId, Option<UserId>>,
    /// Those who hold something of their own, and whom none of our own operations changed since.
    pub(super) holders: BTreeSet<MemberId>,
    /// The user groups of those who are in any.
    pub(super) memberships: BTreeMap<MemberId, Vec<UserGroupId>>,
    /// The rows of those of whom the crawl could not read everything; see [`Self::load_rows`].
    pub(super) rows: BTreeMap<MemberId, Member>,
    pub(super) roles: Vec<Role>,
    /// The scoped roles, without their scopes.
    pub(super) scoped_roles: Vec<ScopedRole>,
    /// What each of their resource groups reaches, and how many objects beside: once, since many roles may be on one.
    pub(super) scopes: BTreeMap<ResourceGroupId, (Scope, u32)>,
    pub(super) groups: Vec<Group>,
    pub(super) tokens: Vec<Token>,
    pub(super) oauth_clients: Vec<OauthClient>,
    /// By whom all of those tokens were last listed.
    pub(super) listed_by: Option<TokenId>,
    /// `current` names an older generation, or none.
    pub(super) is_behind: bool,
    /// Somebody accepts what this generation tells of lists.
    pub(super) is_accepted: bool,
}

/// Doubts a list that is empty; whether it was.
fn doubt<T>(is_doubtful: bool, list: &mut Result<Vec<T>, Off>) -> bool {
    let is_doubted = is_doubtful && list.as_ref().is_ok_and(Vec::is_empty);
    if is_doubted {
        *list = Err(emptied());
    }
    is_doubted
}

fn emptied() -> Off {
    Off { status: None, code: None, message: EMPTIED.to_owned(), passing: true }
}

/// How it begins what is told of user groups whose members cannot be read.
pub(super) const MEMBERS_OF: &str = "the members of ";

/// How it is told that the members of more user groups cannot be read than are named.
pub(super) const OTHERS: &str = " other user groups";

/// A group that one or two have left is empty by that as often as not, and of one or two groups all may give nothing any more.
pub(super) const SEVERAL: usize = 3;

/// An empty list is believed by a sync that begins this long after one that found it empty: two may follow each other within seconds, and the same
/// fault answers both.
const BELIEVED_MILLIS: i64 = 10 * 60 * 1_000;

impl Previous {
    /// A list that is empty all of a sudden, where this generation has some of it, may be an answer that left everything out: what was known is
    /// kept once more, and a sync a while later believes it, whatever became of other lists meanwhile. `before` are those that the last one doubted,
    /// and since when; those that are doubted now are returned. No account is without a permission group, and none whose roles are on resource
    /// groups without one of those: that is not believed until somebody accepts it.
    pub(super) fn doubt_the_empty(
        &self,
        harvest: &mut Harvest,
        before: &[(String, Timestamp)],
        run: &Cursor,
    ) -> Vec<(String, Timestamp)> {
        let since = |list: List| {
            let name = list.to_string();
            before.iter().find(|(known, _)| *known == name).map(|(_, since)| *since)
        };
        // Of the members of user groups it is told which list is empty, of the others that one is off. What a list gives that tells of more may be
        // nothing.
        let is_accepted = |harvest: &Harvest, list: List| {
            let is_told = match list {
                List::GroupMembers(_) => self.is_accepted && since(list).is_some(),
                _ => self.accepts_off(list.name()),
            };
            is_told || self.takes(harvest, list)
        };
        let is_early = |since| run.started_at.since(since) < BELIEVED_MILLIS;
        let is_new = |harvest: &Harvest, list: List| since(list).is_none_or(is_early) && !is_accepted(harvest, list);
        let is_doubtful = |harvest: &Harvest, list: List| is_new(harvest, list) && harvest.odd(list).next().is_none();
        let groups = !self.groups.is_empty() && is_doubtful(harvest, List::UserGroups);
        let tokens = !self.tokens.is_empty() && is_doubtful(harvest, List::Tokens);
        let clients = !self.oauth_clients.is_empty() && is_doubtful(harvest, List::OauthClients);
        let domains = !self.manifest.posture.sso_domains.is_empty() && is_doubtful(harvest, List::SsoDomains);
        // A role that is no permission group comes from the list of roles alone.
        let is_listed = |role: &Role| role.permission_group.is_none() && Some(role.id) != super_administrator::role();
        let roles = self.roles.iter().any(is_listed) && is_doubtful(harvest, List::Roles);
        let scoped = !self.scoped_roles.is_empty();
        let groups_of_roles = scoped || self.roles.iter().any(|role| role.permission_group.is_some());
        doubt(groups_of_roles && !is_accepted(harvest, List::PermissionGroups), &mut harvest.permission_groups);
        doubt(scoped && !is_accepted(harvest, List::ResourceGroups), &mut harvest.resource_groups);
        let whole = [
            (List::Roles, doubt(roles, &mut harvest.roles)),
            (List::UserGroups, doubt(groups, &mut harvest.user_groups)),
            (List::Tokens, doubt(tokens, &mut harvest.tokens)),
            (List::OauthClients, doubt(clients, &mut harvest.oauth_clients)),
            (List::SsoDomains, doubt(domains, &mut harvest.sso_domains)),
        ];
        let mut doubted: Vec<List> =
            whole.into_iter().filter_map(|(list, is_doubted)| is_doubted.then_some(list)).collect();
        for group in self.emptied(harvest) {
            if is_doubtful(harvest, List::GroupMembers(group)) {
                harvest.group_members.insert(group, Err(emptied()));
                doubted.push(List::GroupMembers(group));
            }
        }
        doubted.into_iter().map(|list| (list.to_string(), since(list).unwrap_or(run.updated_at))).collect()
    }

    /// The groups that nobody is in all of a sudden, though several were in it who are members still; whoever our own operations took out, and
    /// whoever was heard to leave, was not.
    fn emptied(&self, harvest: &Harvest) -> Vec<UserGroupId> {
        let empty = harvest.group_members.iter().filter(|(_, members)| members.as_ref().is_ok_and(BTreeSet::is_empty));
        let mut counts: BTreeMap<UserGroupId, usize> = empty.map(|(group, _)| (*group, 0)).collect();
        if !counts.is_empty() {
            for (_, groups) in self.memberships.iter().filter(|(id, _)| harvest.members.get(**id).is_some()) {
                for group in groups {
                    if let Some(count) = counts.get_mut(group) {
                        *count += 1;
                    }
                }
            }
        }
        counts.into_iter().filter_map(|(group, count)| (count >= SEVERAL).then_some(group)).collect()
    }

    /// Reads the current generation. `known` is the newest that this Coordinator knows to have published: what KV says may be
    /// older than that.
    pub(super) async fn load<P: KeyValue>(kv: &P, known: Option<&GenerationId>) -> Result<Option<Self>, SnapshotError> {
        let latest = match snapshot::latest(kv).await {
            // What stands under `current` says nothing, and another place says which generation it should name.
            Err(SnapshotError::Corrupt(_)) if known.is_some() => None,
            latest => latest?,
        };
        let shown = latest.as_ref().map(|latest| &latest.manifest().generation);
        let behind = known.filter(|known| shown.is_none_or(|shown| shown < known));
        let latest = match behind {
            Some(known) => Some(Snapshot::open(kv, known).await?),
            None => latest,
        };
        let Some(latest) = latest else { return Ok(None) };
        let mut previous = Self::read(kv, &latest).await?;
        previous.is_behind = behind.is_some();
        Ok(Some(previous))
    }

    /// Reads a generation.
    pub(super) async fn of<P: KeyValue>(kv: &P, generation: &GenerationId) -> Result<Self, SnapshotError> {
        Self::read(kv, &Snapshot::open(kv, generation).await?).await
    }

    async fn read<P: KeyValue>(kv: &P, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let mut previous = Self {
            manifest: snapshot.manifest().clone(),
            members: BTreeMap::new(),
            holders: BTreeSet::new(),
            memberships: BTreeMap::new(),
            rows: BTreeMap::new(),
            roles: Vec::new(),
            scoped_roles: Vec::new(),
            scopes: BTreeMap::new(),
            groups: Vec::new(),
            tokens: Vec::new(),
            oauth_clients: Vec::new(),
            listed_by: None,
            is_behind: false,
            is_accepted: false,
        };
        snapshot.each_in_brief(kv, |brief| previous.add(brief)).await?;
        Ok(previous)
    }

    /// Reads what is known of members whose records are odd: from the generation, and from what our own operations left since. Most
    /// accounts have none, and then nothing is read.
    pub(super) async fn load_rows<P: KeyValue>(
        &mut self,
        kv: &P,
        harvest: &Harvest,
        changes: &Changes,
    ) -> Result<(), SnapshotError> {
        if !harvest.needs_any() {
            return Ok(());
        }
        let mut rows = BTreeMap::new();
        let snapshot = Snapshot::of(self.manifest.clone());
        let see = |row| {
            if let Row::User(member) | Row::Invitation(member) = row
                && self.members.contains_key(&member.member_id)
                && harvest.needs(&member)
            {
                rows.insert(member.member_id, member);
            }
        };
        snapshot.each(kv, &[Kind::User, Kind::Invitation], see).await?;
        self.rows = rows;
        for member in changes.members.values().filter_map(|change| change.member.as_ref()) {
            if harvest.needs(member) {
                self.rows.insert(member.member_id, member.clone());
            }
        }
        Ok(())
    }

    /// Takes in what our own operations left since: whom they removed nobody misses, and where a group's members cannot be read, those it
    /// keeps are the ones that it had after the last of them. Whom they left there should be in a list that was read a while after it `began`.
    pub(super) fn take_in(&mut self, changes: &Changes, began: Timestamp) {
        self.members.retain(|id, _| changes.members.get(id).is_none_or(|change| change.member.is_some()));
        for (id, change) in &changes.members {
            self.holders.remove(id);
            if let Some(member) = &change.member
                && !Changes::outweighs(change.at, began)
            {
                self.members.entry(*id).or_insert(member.user_id);
            }
            for (&group, &(is_in, _)) in &change.groups {
                let groups = self.memberships.entry(*id).or_default();
                groups.retain(|other| *other != group);
                groups.extend(is_in.then_some(group));
            }
        }
    }

    fn add(&mut self, brief: Brief) {
        match brief {
            Brief::Person(person) => {
                self.members.insert(person.member_id, person.user_id);
                if !person.atoms.is_empty() {
                    self.holders.insert(person.member_id);
                }
                if !person.groups.is_empty() {
                    self.memberships.insert(person.member_id, person.groups);
                }
            }
            Brief::Row(Row::Role(role)) => self.roles.push(role),
            Brief::Row(Row::ScopedRole(mut role)) => {
                let scope = std::mem::take(&mut role.scope);
                if !scope.is_empty() {
                    self.scopes.entry(role.resource_group).or_insert((scope, role.unlisted));
                }
                self.scoped_roles.push(role);
            }
            Brief::Row(Row::Group(group)) => self.groups.push(group),
            Brief::Row(Row::ApiToken(token)) => self.tokens.push(token),
            Brief::Row(Row::OauthClient(client)) => self.oauth_clients.push(client),
            // A person is told in brief.
            Brief::Row(Row::User(_) | Row::Invitation(_)) => {}
        }
    }

    /// Whether somebody accepts that a list is off, which this generation tells for a reason with these words. An acceptance is of that, and of nothing
    /// that goes wrong in the very sync that accepts.
    pub(super) fn accepts(&self, list: &str, why: &str) -> bool {
        self.accepted(list).is_some_and(|told| told.contains(why))
    }

    /// Why a list is off by this generation, where somebody accepts that.
    fn accepted(&self, list: &str) -> Option<&str> {
        let told = self.manifest.capabilities.get(list).filter(|told| self.is_accepted && !told.on);
        told.and_then(|told| told.message.as_deref())
    }

    /// The same, for a reason that does not pass by itself.
    pub(super) fn accepts_off(&self, list: &str) -> bool {
        self.accepts(list, "") && !self.accepts(list, TRIED_AGAIN)
    }

    /// Whether somebody accepts what a list gives that tells of more. Of the members of user groups it is told whose those are, as far as these are named,
    /// behind those that are off for another reason.
    pub(super) fn accepts_more(&self, list: List) -> bool {
        let told = self.accepted(list.name()).unwrap_or_default();
        let newest = told.split(MEMBERS_OF).last().unwrap_or(told);
        let is_named = match list {
            List::GroupMembers(group) => newest.contains(&group.to_string()) || newest.contains(OTHERS),
            _ => true,
        };
        is_named && newest.contains(TELLS_MORE)
    }

    /// Whether somebody accepts what a list gives that tells of more, as it does now.
    pub(super) fn takes(&self, harvest: &Harvest, list: List) -> bool {
        harvest.tells_more.contains(&list) && self.accepts_more(list)
    }

    /// Whether somebody accepts that a record of a list could not be read in full, which this generation names by an id that begins so.
    pub(super) fn accepts_one(&self, list: &str, id: &str) -> bool {
        let told = self.manifest.capabilities.get(list).filter(|_| self.is_accepted);
        let unreadable = told.and_then(|told| told.unreadable.as_ref());
        unreadable.is_some_and(|unreadable| unreadable.first.iter().any(|odd| odd.starts_with(id)))
    }

    /// The generation whose rows of a kind are kept when their list cannot be read any more; `None` where there are none to keep.
    pub(super) fn keeps(&self, list: &str) -> Option<GenerationId> {
        let capability = self.manifest.capabilities.get(list)?;
        let own = capability.on.then(|| self.manifest.generation.clone());
        own.or_else(|| capability.kept_from.clone())
    }
}
