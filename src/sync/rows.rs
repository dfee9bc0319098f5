//! From what a crawl brought to the rows of a snapshot.

use crate::base::order;
use crate::base::tree::{BTreeMap, BTreeSet};
use std::borrow::Cow;

use super::crawl::{EMPTIED, List, Names as NameLists, Off, TRIED_AGAIN};
use super::harvest::Harvest;
use super::previous::{MEMBERS_OF, OTHERS, Previous};
use super::staging::{Members, StagedMember, StagedPolicy};
use crate::account::identity::{self, Identity};
use crate::account::names::{CrawlView, Names, is_account_wide};
use crate::audit::signs::Shown;
use crate::cloudflare::{Odd, PermissionGroup, PolicyRecord, RoleRecord};
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::address;
use crate::model::grant::Principal;
use crate::model::id::{AccountId, MemberId, PermissionGroupId, ResourceGroupId, RoleId, TokenId, UserGroupId, UserId};
use crate::model::kind::Kind;
use crate::model::resource::{Group, Member, MemberStatus, OauthClient, Role, Row, ScopedRole, Token};
use crate::model::scope::{ObjectKind, Scope};
use crate::model::signs::Signs;
use crate::model::super_administrator;
use crate::snapshot::{ABSENT, Capability, FAILED, GenerationId, Posture, TAKEN_LATER, TELLS_MORE, Unreadable};

/// The rows of a snapshot, and what is to be said with them.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) rows: Rows,
    pub(super) names: Names,
    pub(super) capabilities: BTreeMap<String, Capability>,
    pub(super) warnings: Vec<String>,
    pub(super) posture: Posture,
    /// How many memberships are gone, and how many the current generation has.
    pub(super) gone: (usize, usize),
    /// How many of those who held something of their own are there and hold nothing any more, and how many there were.
    pub(super) bare: (usize, usize),
    /// The same of user groups, those included that are gone.
    pub(super) bare_groups: (usize, usize),
    /// Whether a member's record showed a policy of a user group.
    pub(super) shows_inherited: bool,
    /// Which lists of names the scopes of its roles make use of.
    pub(super) names_in_use: NameLists,
    /// Why ids would be published that change again, where they would: a list that would tell a role's own id did not come.
    pub(super) unsure: Option<Unsure>,
}

/// Why ids would be published that change again.
#[derive(Debug)]
pub(super) struct Unsure {
    pub(super) why: String,
    /// The lists that Cloudflare says are not there, where no other reason speaks: that may be so for good, or for a moment only.
    pub(super) refused: Vec<List>,
}

/// Builds the rows.
pub(super) fn assemble(
    account: AccountId,
    harvest: Harvest,
    names: Names,
    previous: Option<&Previous>,
    own_token: Option<Identity>,
    shown: Shown,
) -> Assembly {
    let permission_groups = harvest.known_permission_groups();
    let own = names.own().clone();
    let (names, mut warnings) = names.learn(CrawlView {
        account,
        resource_groups: harvest.resource_groups.as_deref().unwrap_or_default(),
        is_whole: harvest.resource_groups.is_ok() && harvest.odd(List::ResourceGroups).next().is_none(),
        permission_groups: &permission_groups,
        roles: harvest.roles.as_deref().unwrap_or_default(),
        hints: &harvest.hints,
        previous: previous.map(|previous| &previous.manifest.naming),
    });
    warnings.extend(harvest.left_out.iter().cloned());
    let mut builder = Builder {
        previous,
        names,
        permission_groups,
        rows: BTreeMap::new(),
        capabilities: BTreeMap::new(),
        warnings,
        held: BTreeSet::new(),
        unreadable: BTreeMap::new(),
        bare: (0, previous.map_or(0, |previous| previous.holders.len())),
        bare_groups: (0, 0),
        shows_inherited: false,
    };
    let mut harvest = harvest;
    let told = std::mem::take(&mut harvest.names);
    let objects = Objects::of(&told, previous);
    let mut names_in_use = NameLists::default();
    builder.oauth_clients(&harvest);
    builder.tokens(&harvest, own_token, &objects, &mut names_in_use);
    let memberships = builder.groups(&harvest);
    let gone = gone(&harvest.members, previous);
    let members = std::mem::take(&mut harvest.members);
    let group_policies = std::mem::take(&mut harvest.group_policies);
    let people = builder.people(members, memberships, group_policies, shown);
    builder.roles(&harvest);
    let scopes = builder.scoped_roles(&harvest, &objects, &mut names_in_use);
    let posture = builder.posture(&harvest);
    for (list, read) in &told {
        let name = list.name();
        let kept = builder.kept(name, read.as_ref().err()).filter(|_| read.is_err());
        builder.note(name, read.as_ref().err(), kept.and_then(|kept| kept.keeps(name)));
    }
    builder.note("resource_groups", harvest.resource_groups.as_ref().err(), None);
    builder.note("permission_groups", harvest.permission_groups.as_ref().err(), None);
    builder.capabilities.insert("members".to_owned(), ON);
    builder.name_unreadable(&harvest);
    let roles = [
        (List::Roles, harvest.roles.as_ref().err()),
        (List::PermissionGroups, harvest.permission_groups.as_ref().err()),
    ];
    let off = || roles.into_iter().filter_map(|(list, off)| Some((list, off?)));
    let failing = off().find(|(_, off)| !off.is_refused()).map(|(_, off)| off.message.as_str());
    // That there is no role at all may be as passing as that there is no such list.
    let empty = harvest.roles.as_ref().is_ok_and(Vec::is_empty).then_some((List::Roles, "the list is empty"));
    // Of a record without an id and a name nothing came at all: it is a part of the list that is missing.
    let mut odd = harvest.odd(List::Roles).chain(harvest.odd(List::PermissionGroups));
    let missing = odd.find(|odd| odd.id.is_none() && odd.name.is_none()).map(|odd| odd.why.as_str());
    let refused = || off().map(|(list, off)| (list, off.message.as_str())).chain(empty);
    let reason = failing.or(missing);
    let why = reason.or_else(|| refused().next().map(|(_, why)| why));
    let unsure = why.filter(|_| !builder.names.own().is_subset(&own)).map(|why| Unsure {
        why: format!(
            "the roles could not be listed ({why}), and without that list some would be published under ids that change again"
        ),
        refused: if reason.is_some() { Vec::new() } else { refused().map(|(list, _)| list).collect() },
    });
    Assembly {
        unsure,
        names_in_use,
        posture,
        rows: Rows { few: builder.rows, scopes, people },
        names: builder.names,
        capabilities: builder.capabilities,
        warnings: builder.warnings,
        gone: (gone, previous.map_or(0, |previous| previous.members.len())),
        bare: builder.bare,
        bare_groups: builder.bare_groups,
        shows_inherited: builder.shows_inherited,
    }
}

const ON: Capability = Capability { on: true, message: None, kept_from: None, unreadable: None };

/// At most this many of the records that cannot be read are named.
const NAMED: usize = 5;

/// How many of those who were there are not. Somebody with a new membership, invited again, is not gone.
fn gone(members: &Members, previous: Option<&Previous>) -> usize {
    let Some(previous) = previous else { return 0 };
    let missing: Vec<Option<UserId>> = previous
        .members
        .iter()
        .filter(|(id, _)| !members.contains(**id) && !previous.rows.contains_key(id))
        .map(|(_, user)| *user)
        .collect();
    if missing.is_empty() {
        return 0;
    }
    let users: BTreeSet<UserId> = members.iter().filter_map(|member| member.user_id).collect();
    missing.iter().filter(|user| user.is_none_or(|user| !users.contains(&user))).count()
}

/// The rows of a snapshot, in the order of their keys. A person's is made each time it is asked for: all of them at once would take ten
/// times the memory of what they are made of.
#[derive(Debug)]
pub(super) struct Rows {
    /// Those of everything but people.
    few: BTreeMap<String, Row>,
    /// What the resource groups of scoped roles reach, and how many objects beside: once for each, since many roles may be on one.
    scopes: BTreeMap<ResourceGroupId, (Scope, u32)>,
    people: People,
}

impl Rows {
    /// A row with what it reaches.
    fn whole(&self, row: &Row) -> Row {
        let mut row = row.clone();
        if let Row::ScopedRole(role) = &mut row
            && let Some((scope, unlisted)) = self.scopes.get(&role.resource_group)
        {
            (role.scope, role.unlisted) = (scope.clone(), *unlisted);
        }
        row
    }

    /// Whether somebody is a member.
    pub(super) fn has_user(&self, user: UserId) -> bool {
        self.people.users.contains_key(&user)
    }

    /// How many people there are, with those who are invited.
    pub(super) fn people(&self) -> usize {
        self.people.users.len() + self.people.invitations.len()
    }

    /// A member's.
    pub(super) fn member(&self, id: MemberId) -> Option<Member> {
        self.people.row(id)
    }

    /// All rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = Row> {
        let (invitation, user) = (Kind::Invitation.prefix(), Kind::User.prefix());
        let few = |from, to| self.few.between::<str>(from, to).map(|(_, row)| self.whole(row));
        let people = &self.people;
        few(None, Some(&invitation))
            .chain(people.invitations.iter().filter_map(|&id| people.row(id)).map(Row::member))
            .chain(few(Some(&invitation), Some(&user)))
            .chain(people.users.values().filter_map(|&id| people.row(id)).map(Row::member))
            .chain(few(Some(&user), None))
    }
}

/// What the rows of people are made of.
#[derive(Debug)]
struct People {
    members: Members,
    memberships: Memberships,
    /// The ids of the policies of all user groups.
    group_policies: BTreeSet<String>,
    /// The user groups that have rows.
    groups: BTreeSet<UserGroupId>,
    /// What the current generation knows of those whose records cannot be read in full.
    known: BTreeMap<MemberId, Member>,
    /// When they were last at work.
    shown: Shown,
    /// Whose row each key is: an invitation's is its membership's, a user's that of one of their memberships.
    invitations: BTreeSet<MemberId>,
    users: BTreeMap<UserId, MemberId>,
}

impl People {
    fn groups_of(&self, id: MemberId) -> Vec<UserGroupId> {
        let groups = self.memberships.get(&id).into_iter().flatten();
        groups.filter(|group| self.groups.contains(group)).copied().collect()
    }

    /// Whether a policy that a member shows is one of a user group's. Which groups the member is in does not matter: somebody may have come
    /// into one since its members were listed.
    fn is_inherited(&self, policy: &StagedPolicy<'_>) -> bool {
        policy.id.as_deref().is_some_and(|id| self.group_policies.contains(id))
    }

    /// A member as the crawl saw it.
    fn seen(&self, member: StagedMember<'_>) -> Member {
        let id = member.id;
        let own = member.policies.iter().filter(|policy| !self.is_inherited(policy));
        let atoms: Vec<Atom> = own.flat_map(StagedPolicy::atoms).collect();
        let mut row = Member {
            member_id: id,
            user_id: member.user_id,
            email: member.email.into_owned(),
            status: member.status,
            first_name: member.first_name.map(Cow::into_owned),
            last_name: member.last_name.map(Cow::into_owned),
            two_factor: member.two_factor,
            atoms,
            groups: self.groups_of(id),
            signs: Signs::default(),
        };
        // What Cloudflare does not tell is as it was, beside what it tells; of somebody new it is only known that there is more.
        if member.unread.is_some()
            && let Some(known) = self.known.get(&id)
        {
            row.atoms.extend_from_slice(&known.atoms);
            row.two_factor = row.two_factor.or(known.two_factor);
            if row.status == MemberStatus::Other || row.user_id.is_none() {
                // That an invitation was accepted is told, whether the login is or not.
                let status = if row.status == MemberStatus::Accepted { row.status } else { known.status };
                (row.status, row.user_id) = (status, known.user_id);
            }
        }
        // Most are not among them, and have many atoms together.
        let less = &self.members.less;
        if less.iter().any(|(of, _)| *of == id) {
            row.atoms.retain(|atom| !less.contains(&(id, *atom)));
        }
        order::sort(&mut row.atoms);
        row.atoms.dedup();
        self.with_signs(row)
    }

    /// A member's row with the signs of life: of an invitation there are none.
    fn with_signs(&self, mut row: Member) -> Member {
        row.signs = match row.principal() {
            Principal::User(user) => self.shown.of(user, &row.email),
            Principal::Invitation(_) | Principal::Group(_) => Signs::default(),
        };
        row
    }

    /// A member as the crawl saw it, or, where only a record that cannot be read stands for it, as it was.
    fn row(&self, id: MemberId) -> Option<Member> {
        if let Some(member) = self.members.get(id) {
            return Some(self.seen(member));
        }
        let known = self.known.get(&id)?.clone();
        Some(self.with_signs(Member { groups: self.groups_of(id), ..known }))
    }

    /// Notes under which key a member's row stands; `false` where the key is another's.
    fn enter(&mut self, principal: Principal, id: MemberId) -> bool {
        match principal {
            Principal::User(user) => {
                let is_new = !self.users.contains_key(&user);
                if is_new {
                    self.users.insert(user, id);
                }
                is_new
            }
            Principal::Invitation(_) | Principal::Group(_) => self.invitations.insert(id),
        }
    }
}

struct Builder<'a> {
    previous: Option<&'a Previous>,
    names: Names,
    permission_groups: BTreeMap<PermissionGroupId, PermissionGroup>,
    rows: BTreeMap<String, Row>,
    capabilities: BTreeMap<String, Capability>,
    warnings: Vec<String>,
    /// What somebody or some group holds.
    held: BTreeSet<(PermissionGroupId, ResourceGroupId)>,
    /// Records that could not be read in full, by the name of their list.
    unreadable: BTreeMap<&'static str, BTreeSet<String>>,
    /// See [`Assembly`].
    bare: (usize, usize),
    bare_groups: (usize, usize),
    shows_inherited: bool,
}

/// Which user groups a member is in.
type Memberships = BTreeMap<MemberId, BTreeSet<UserGroupId>>;

impl<'a> Builder<'a> {
    fn insert(&mut self, row: Row) {
        let key = row.key();
        if self.rows.contains_key(&key) {
            self.warnings.push(format!("{key} is there twice; the first is taken"));
        } else {
            self.rows.insert(key, row);
        }
    }

    fn hold<'b>(&mut self, atoms: impl IntoIterator<Item = &'b Atom>) {
        let allowed = atoms.into_iter().filter(|atom| atom.access == Access::Allow);
        self.held.extend(allowed.map(|atom| (atom.permission_group, atom.resource_group)));
    }

    /// The current generation, where its rows may stand in for a list that cannot be read: as long as nobody accepts that it is not.
    fn kept(&self, list: &str, off: Option<&Off>) -> Option<&'a Previous> {
        let passing = off.is_some_and(|off| off.passing);
        self.previous.filter(|previous| passing || !previous.accepts_off(list))
    }

    /// Says whether a list could be read.
    fn note(&mut self, list: &str, off: Option<&Off>, kept_from: Option<GenerationId>) {
        let capability = match off {
            None => ON,
            Some(off) => {
                let message = Some(explain(list, off, kept_from.as_ref()));
                Capability { on: false, message, kept_from, unreadable: None }
            }
        };
        self.capabilities.insert(list.to_owned(), capability);
    }

    fn tokens(
        &mut self,
        harvest: &Harvest,
        own: Option<Identity>,
        objects: &Objects<'_>,
        names_in_use: &mut NameLists,
    ) {
        // A record that cannot be read may be any token's; an empty list that is doubted is one that came.
        let is_told = harvest.odd(List::Tokens).next().is_none()
            && harvest.tokens.as_ref().err().is_none_or(|off| off.message == EMPTIED);
        let told = harvest.tokens.as_deref().unwrap_or_default();
        let lacks_others = identity::may_be_short(told, own);
        let is_short = is_told && (lacks_others || self.lacks_what_another_was_shown(told, own));
        let off = harvest.tokens.as_ref().err();
        // One that is short and tells of more is taken by one acceptance: for each of the two it would be kept against that of the other.
        let is_kept = off.is_some() || is_short && !self.previous.is_some_and(|it| it.takes(harvest, List::Tokens));
        let kept = self.kept("tokens", off).filter(|_| is_kept);
        let kept_from = kept.and_then(|kept| kept.keeps("tokens"));
        let kept = kept.filter(|_| kept_from.is_some());
        let before = self.previous.map(|previous| previous.tokens.as_slice()).unwrap_or_default();
        let odd = |token: &&Token| harvest.odd(List::Tokens).any(|odd| odd.may_be(&token.id, &token.name));
        // Those that are kept first: what is told now takes their place. A list that moved while it was read may have one twice.
        let kept = kept.into_iter().flat_map(|kept| &kept.tokens).chain(before.iter().filter(odd));
        let tokens: BTreeMap<TokenId, &Token> =
            kept.chain(harvest.tokens.iter().flatten()).map(|token| (token.id, token)).collect();
        let creators = Creators::of(harvest, self.previous, tokens.values().copied(), before);
        for token in tokens.into_values() {
            let mut token = token.clone();
            token.is_own = own.is_some_and(|own| own.token == token.id);
            let was = before.iter().find(|was| was.id == token.id);
            // One whose name is not told goes by its id, and keeps the name that was told.
            if let Some(was) = was.filter(|_| token.name == token.id.to_string()) {
                token.name.clone_from(&was.name);
            }
            if let Some(why) = token.unread.take() {
                self.name_one("tokens", &token.id.to_string(), &why);
                // What is not told of the token is as it was, beside what is told.
                if let Some(was) = was {
                    let mut policies = std::mem::take(&mut token.policies);
                    policies.extend_from_slice(&was.policies);
                    let mut room = Token::MAX;
                    for mut policy in policies {
                        // What was known has names already, and by these is the same as what is told.
                        objects.name(&mut policy.scope, names_in_use);
                        if room > 0 && !token.policies.contains(&policy) {
                            room = room.saturating_sub(policy.groups.len() + policy.scope.0.len());
                            token.policies.push(policy);
                        }
                    }
                    for (name, end) in &was.ending {
                        token.ending.entry(name.clone()).or_insert_with(|| end.clone());
                    }
                    token.unlisted = token.unlisted.max(was.unlisted);
                }
            }
            for field in &token.untold {
                self.name_one("tokens", &token.id.to_string(), &format!("{field} cannot be read"));
            }
            if let Some(was) = was {
                token.fill_from(was);
            }
            token.creator_is = token.creator.as_deref().and_then(|email| creators.is(email, was));
            let client = token.provisioner.as_ref().and_then(|(_, id)| id.as_ref());
            let client = client.map(|id| format!("{}{id}", Kind::OauthClient.prefix()));
            token.provisioner_is = client.filter(|key| self.rows.contains_key(key));
            for scope in token.policies.iter_mut().map(|policy| &mut policy.scope) {
                objects.name(scope, names_in_use);
            }
            self.insert(Row::ApiToken(token));
        }
        self.note("tokens", off, kept_from.clone());
        if is_short {
            let kept = kept_since(kept_from.as_ref());
            let message = if lacks_others {
                format!(
                    "the list of account API tokens has one token alone, which is the connector's own or may be, or lacks the connector's own, so others may be left out of it: edit the connector's token in Cloudflare's dashboard under API Tokens and add the permission \"Account API Tokens: Read\"{kept}"
                )
            } else {
                format!(
                    "the list of account API tokens lacks some that the connector's token before was shown: give it that one's rights, or accept the list as it is with POST /v1/sync and {{\"accept_removals\": true}}{kept}"
                )
            };
            let off = Capability { on: false, message: Some(message), kept_from, unreadable: None };
            self.capabilities.insert("tokens".to_owned(), off);
        }
    }

    /// Whether a list of tokens lacks some that the connector was shown with another token. A person's may be shown that person's own alone, which
    /// Cloudflare does not say. The one that the connector called with then may be gone for being replaced.
    fn lacks_what_another_was_shown(&self, told: &[Token], own: Option<Identity>) -> bool {
        let previous = self.previous.filter(|previous| identity::may_be_shown_less(own, previous.listed_by));
        let lacks = |was: &Token| !was.is_own && told.iter().all(|token| token.id != was.id);
        previous.is_some_and(|previous| previous.tokens.iter().any(lacks))
    }

    fn oauth_clients(&mut self, harvest: &Harvest) {
        let off = harvest.oauth_clients.as_ref().err();
        let kept = self.kept("oauth_clients", off).filter(|_| off.is_some());
        let kept_from = kept.and_then(|kept| kept.keeps("oauth_clients"));
        let kept = kept.filter(|_| kept_from.is_some());
        let odd = |client: &&OauthClient| {
            harvest.odd(List::OauthClients).any(|odd| odd.name.as_deref().is_none_or(|name| name == client.name))
        };
        let before = self.previous.iter().flat_map(|previous| &previous.oauth_clients).filter(odd);
        let clients = kept.into_iter().flat_map(|kept| &kept.oauth_clients).chain(before);
        let clients: BTreeMap<String, &OauthClient> = clients
            .chain(harvest.oauth_clients.iter().flatten())
            .map(|client| (client.id.to_string(), client))
            .collect();
        for client in clients.into_values() {
            self.insert(Row::OauthClient(client.clone()));
        }
        self.note("oauth_clients", off, kept_from);
    }

    /// How the account is set; what cannot be read now is as it was, also where that is one of several domains.
    fn posture(&mut self, harvest: &Harvest) -> Posture {
        let (account_off, domains_off) = (harvest.account.as_ref().err(), harvest.sso_domains.as_ref().err());
        let account = self.kept("account", account_off);
        let domains = self.kept("sso_domains", domains_off);
        let before = |kept: Option<&Previous>| kept.map(|kept| kept.manifest.posture.clone()).unwrap_or_default();
        let mut posture = before(account.filter(|_| harvest.account.is_err()));
        let is_odd = harvest.odd(List::SsoDomains).next().is_some();
        let is_kept = |it: &&Previous| harvest.sso_domains.is_err() || is_odd && !it.accepts_one("sso_domains", "");
        posture.sso_domains = before(domains.filter(is_kept)).sso_domains;
        if let Some((enforces, organization)) = harvest.account.iter().flatten().next() {
            // A record without the setting does not say that it is turned on.
            let last = self.previous.and_then(|previous| previous.manifest.posture.enforces_two_factor);
            (posture.enforces_two_factor, posture.organization) = (enforces.or(last), organization.clone());
        }
        let told = harvest.sso_domains.iter().flatten();
        posture.sso_domains.extend(told.map(|[domain, state]| (domain.clone(), state.clone())));
        self.note("account", account_off, account.and_then(|kept| kept.keeps("account")));
        self.note("sso_domains", domains_off, domains.and_then(|kept| kept.keeps("sso_domains")));
        posture
    }

    fn groups(&mut self, harvest: &Harvest) -> Memberships {
        let mut memberships = Memberships::default();
        let Ok(groups) = &harvest.user_groups else {
            let off = harvest.user_groups.as_ref().err();
            let kept = self.kept("user_groups", off);
            let kept = kept.and_then(|kept| Some((kept, kept.keeps("user_groups")?)));
            if let Some((kept, _)) = &kept {
                for group in &kept.groups {
                    self.hold(&group.atoms);
                    self.insert(Row::Group(group.clone()));
                }
                for (&member, groups) in &kept.memberships {
                    memberships.entry(member).or_default().extend(groups);
                }
            }
            self.note("user_groups", off, kept.map(|(_, from)| from));
            return memberships;
        };
        // A list that moved while it was read may have one of them twice.
        let groups: BTreeMap<_, _> = groups.iter().map(|group| (group.id, group)).collect();
        let before: Vec<Group> = self.previous.iter().flat_map(|previous| previous.groups.iter().cloned()).collect();
        let gave = |group: &Group| !group.atoms.is_empty();
        let has_any = !groups.is_empty() || harvest.odd(List::UserGroups).next().is_some();
        // What a list gives that tells of more is accepted with the lists: a hold would be accepted alone, and the list be off once more by that.
        let is_taken = self.previous.is_some_and(|it| it.takes(harvest, List::UserGroups));
        for group in before.iter().filter(|group| !groups.contains_key(&group.id)) {
            if harvest.odd(List::UserGroups).any(|odd| odd.may_be(&group.id, &group.name)) {
                self.hold(&group.atoms);
                self.insert(Row::Group(group.clone()));
            } else {
                // That there is none at all was doubted before.
                self.bare_groups.0 += usize::from(gave(group) && has_any && !is_taken);
            }
        }
        self.bare_groups.1 = before.iter().filter(|group| gave(group)).count();
        for group in groups.into_values() {
            let policies: Vec<Policy> = group.policies.readable().iter().map(PolicyRecord::policy).collect();
            let mut held = atoms(&policies);
            let known = || before.iter().find(|known| known.id == group.id);
            if let Err(why) = group.policies.all() {
                self.name_one("user_groups", &group.id.to_string(), why);
                // What is not told of the group is as it was, beside what is told.
                if let Some(known) = known() {
                    held.extend(&known.atoms);
                }
            }
            // That nobody can tell what it gives was told of this group, and is accepted with the lists.
            let id = group.id.to_string();
            let is_accepted =
                is_taken || self.previous.is_some_and(|previous| previous.accepts_one("user_groups", &id));
            self.bare_groups.0 += usize::from(held.is_empty() && known().is_some_and(gave) && !is_accepted);
            self.hold(&held);
            let atoms = held.into_iter().collect();
            // One whose name is not told goes by its id, and keeps the name that was told.
            let name = known().filter(|_| group.name == id).map_or(&group.name, |known| &known.name).clone();
            self.insert(Row::Group(Group { id: group.id, name, atoms }));
        }
        self.note("user_groups", None, None);
        self.group_members(harvest, &mut memberships);
        memberships
    }

    /// The members of each group. A group whose members cannot be read keeps those it had: a group that holds an invalid policy
    /// answers with an error (`reference/cloudflare.md` 2.7), and that is nobody's leaving.
    fn group_members(&mut self, harvest: &Harvest, memberships: &mut Memberships) {
        // A group whose own record cannot be read, and whose members therefore were not asked for, keeps them.
        let unasked: BTreeSet<UserGroupId> = self
            .rows
            .values()
            .filter_map(|row| if let Row::Group(group) = row { Some(group.id) } else { None })
            .filter(|group| !harvest.group_members.contains_key(group))
            .collect();
        for (&member, groups) in self.previous.iter().flat_map(|previous| &previous.memberships) {
            let kept: Vec<UserGroupId> = groups.iter().filter(|group| unasked.contains(group)).copied().collect();
            if !kept.is_empty() {
                memberships.entry(member).or_default().extend(kept);
            }
        }
        let unread = harvest.group_members.iter().filter_map(|(group, read)| Some((*group, read.as_ref().err()?)));
        let unread: Vec<(UserGroupId, &Off)> = unread.collect();
        let tells_more = |off: &Off| off.message.ends_with(TELLS_MORE);
        let tell = |kind: (bool, bool)| {
            let (mut groups, mut whys) = (Vec::new(), BTreeSet::new());
            for (group, off) in unread.iter().filter(|(_, off)| (off.passing, tells_more(off)) == kind) {
                groups.push(format!("user group {group}"));
                whys.insert(off.why());
            }
            if groups.is_empty() {
                return String::new();
            }
            let others = match groups.len().saturating_sub(NAMED) {
                0 => String::new(),
                n => format!(" and {n}{OTHERS}"),
            };
            groups.truncate(NAMED);
            let whys: Vec<String> = whys.iter().take(NAMED).cloned().collect();
            format!("{MEMBERS_OF}{}{others} cannot be read ({}); ", groups.join(", "), whys.join("; "))
        };
        // An acceptance is of these groups and these reasons, and of no other one that is refused in the very sync that accepts. What may pass is another
        // each time, and is told apart.
        let refused = tell((false, false));
        let is_accepted = self.previous.is_some_and(|previous| previous.accepts("user_group_members", &refused));
        let is_kept = |off: &Off| off.passing || !is_accepted;
        for (&group, members) in &harvest.group_members {
            match members {
                Ok(members) => {
                    for &member in members {
                        memberships.entry(member).or_default().insert(group);
                    }
                    let odd = |member: &MemberId| {
                        let mut odd = harvest.odd(List::GroupMembers(group)).peekable();
                        let known = odd.peek().and_then(|_| harvest.members.get(*member));
                        known.is_some_and(|known| odd.any(|odd| odd.may_be(member, &known.email)))
                    };
                    for (&member, groups) in self.previous.iter().flat_map(|previous| &previous.memberships) {
                        if groups.contains(&group) && odd(&member) {
                            memberships.entry(member).or_default().insert(group);
                        }
                    }
                }
                Err(off) => {
                    let kept = self.previous.filter(|_| is_kept(off));
                    for (&member, groups) in kept.iter().flat_map(|kept| &kept.memberships) {
                        if groups.contains(&group) {
                            memberships.entry(member).or_default().insert(group);
                        }
                    }
                }
            }
        }
        // Last whose lists tell of more, since an acceptance of those is of no other one.
        let capability = match refused + &tell((true, false)) + &tell((true, true)) {
            told if told.is_empty() => ON,
            told => {
                let known = self.previous.filter(|_| unread.iter().any(|&(_, off)| is_kept(off))).and_then(|kept| {
                    // Where the groups themselves could not be read, nobody was asked who is in them.
                    let is_told = kept.manifest.capabilities.contains_key("user_group_members");
                    kept.keeps(if is_told { "user_group_members" } else { "user_groups" })
                });
                Capability {
                    on: false,
                    message: Some(told + "those known before are kept"),
                    kept_from: known,
                    unreadable: None,
                }
            }
        };
        self.capabilities.insert("user_group_members".to_owned(), capability);
    }

    /// Who is there, each under a key of their own, and what they hold.
    fn people(
        &mut self,
        members: Members,
        memberships: Memberships,
        group_policies: BTreeSet<String>,
        shown: Shown,
    ) -> People {
        let groups = self
            .rows
            .values()
            .filter_map(|row| if let Row::Group(group) = row { Some(group.id) } else { None })
            .collect();
        let known = self.previous.map(|previous| previous.rows.clone()).unwrap_or_default();
        let mut people = People {
            members,
            memberships,
            group_policies,
            groups,
            known,
            shown,
            invitations: BTreeSet::new(),
            users: BTreeMap::new(),
        };
        let mut entries = Vec::with_capacity(people.members.len());
        for member in people.members.iter().filter(|member| member.status.is_member()) {
            let id = member.id;
            self.shows_inherited |= member.policies.iter().any(|policy| people.is_inherited(policy));
            if let Some(why) = &member.unread {
                self.name_one("members", &id.to_string(), why);
            }
            let row = people.seen(member);
            // Who was put into a user group may hold the same by that one now.
            let is_bare = |previous: &Previous| {
                let known = previous.memberships.get(&id).map_or(&[][..], Vec::as_slice);
                previous.holders.contains(&id) && row.groups.iter().all(|group| known.contains(group))
            };
            self.bare.0 += usize::from(row.atoms.is_empty() && self.previous.is_some_and(is_bare));
            self.hold(&row.atoms);
            entries.push((row.principal(), id));
        }
        for (principal, id) in entries {
            if !people.enter(principal, id) {
                self.warnings.push(format!("{principal} is there twice; the first is taken"));
            }
        }
        // Only a record that cannot be read stands for them: they stay as they were, unless somebody is there in their place.
        let unseen: Vec<MemberId> = people.known.keys().filter(|id| !people.members.contains(**id)).copied().collect();
        for id in unseen {
            if let Some(row) = people.row(id)
                && people.enter(row.principal(), id)
            {
                self.hold(&row.atoms);
            }
        }
        people
    }

    /// Notes a record that could not be read in full.
    fn name_one(&mut self, list: &'static str, of: &str, why: &str) {
        self.unreadable.entry(list).or_default().insert(format!("{of}: {why}"));
    }

    /// Says of each list which records could not be read in full.
    fn name_unreadable(&mut self, harvest: &Harvest) {
        for (list, odd) in &harvest.odd {
            let name = list.name();
            for odd in odd {
                let of = odd.id.as_deref().or(odd.name.as_deref()).unwrap_or("a record without an id");
                self.name_one(name, of, &odd.why);
            }
        }
        for (list, all) in std::mem::take(&mut self.unreadable) {
            let first: Vec<String> = all.iter().take(NAMED).cloned().collect();
            let count = all.len() as u64;
            let message = format!(
                "{count} of the {} cannot be read in full ({}{}): what was known of them is kept, and nothing is written for them. Look at them in Cloudflare's dashboard, and report the records that stay so to Cloudflare",
                list.replace('_', " "),
                first.join("; "),
                if all.len() > NAMED { "; …" } else { "" },
            );
            self.warnings.push(message.clone());
            let capability = self.capabilities.entry(list.to_owned()).or_insert(ON);
            capability.message.get_or_insert(message);
            capability.unreadable = Some(Unreadable { count, first });
        }
    }

    /// Roles: those Cloudflare lists, every permission group that can be held on the whole account or is, and Super Administrator.
    fn roles(&mut self, harvest: &Harvest) {
        let account = self.names.account_resource_group;
        let mut roles: BTreeMap<RoleId, Role> = BTreeMap::new();
        let naming = self.names.naming();
        let listed =
            harvest.permission_groups.iter().flatten().filter(|group| is_account_wide(group)).map(|group| group.id);
        let held = self.held.iter().filter(|(_, on)| Some(*on) == account).map(|(group, _)| *group);
        let groups: BTreeSet<PermissionGroupId> = listed.chain(held).collect();
        for group in groups {
            let id = naming.role_of(group);
            roles.insert(id, self.role(harvest, id, Some(group), None));
        }
        // Two roles have been seen under one id (`reference/cloudflare.md` 6, no. 4): the first is taken.
        let mut listed = BTreeSet::new();
        for record in harvest.roles.iter().flatten().filter(|record| listed.insert(record.id)) {
            let own = PermissionGroupId::from(record.id);
            let own = self.permission_groups.contains_key(&own).then_some(own);
            let group = self.names.permission_group_of(record.id).or(own);
            roles.insert(record.id, self.role(harvest, record.id, group, Some(record)));
        }
        if let Some(id) = super_administrator::role() {
            roles.entry(id).or_insert_with(|| self.role(harvest, id, self.names.permission_group_of(id), None));
        }
        let kept = self.kept_roles(harvest, &roles);
        roles.extend(kept.into_iter().map(|role| (role.id, role)));
        let own = roles.values().filter_map(|role| role.permission_group.filter(|&group| role.id == group.into()));
        self.names.set_own(own.collect());
        for role in roles.into_values() {
            self.insert(Row::Role(role));
        }
        let off = harvest.roles.as_ref().err();
        let kept_from = self.kept("roles", off).and_then(|kept| kept.keeps("roles"));
        self.note("roles", off, kept_from);
    }

    /// Roles that the current generation has and that come from a list that cannot be read now.
    fn kept_roles(&self, harvest: &Harvest, roles: &BTreeMap<RoleId, Role>) -> Vec<Role> {
        let is_kept = |list: List, off| self.kept(list.name(), Some(off)).is_some();
        let from_roles = harvest.roles.as_ref().is_err_and(|off| is_kept(List::Roles, off));
        let from_groups = harvest.permission_groups.as_ref().is_err_and(|off| is_kept(List::PermissionGroups, off));
        let of_unread = |role: &Role| match role.permission_group {
            // The role may come from either list.
            Some(_) => from_groups,
            None => from_roles,
        };
        let odd = |role: &Role| {
            harvest.odd(List::Roles).any(|odd| odd.may_be(&role.id, &role.name))
                || role
                    .permission_group
                    .is_some_and(|group| harvest.odd(List::PermissionGroups).any(|odd| odd.may_be(&group, &role.name)))
        };
        let kept = self.previous.iter().flat_map(|kept| &kept.roles).filter(|role| of_unread(role));
        let odd = self.previous.iter().flat_map(|previous| &previous.roles).filter(|role| odd(role));
        let kept: BTreeMap<RoleId, &Role> =
            kept.chain(odd).filter(|role| !roles.contains_key(&role.id)).map(|role| (role.id, role)).collect();
        kept.into_values().cloned().collect()
    }

    fn role(
        &self,
        harvest: &Harvest,
        id: RoleId,
        group: Option<PermissionGroupId>,
        listed: Option<&RoleRecord>,
    ) -> Role {
        let before = self.previous.and_then(|previous| previous.roles.iter().find(|role| role.id == id));
        let known = group.and_then(|group| self.permission_groups.get(&group));
        let named = |name: &String| !name.trim().is_empty();
        let fallback = || {
            if Some(id) == super_administrator::role() { super_administrator::NAME.to_owned() } else { id.to_string() }
        };
        let name = listed
            .map(|role| role.name.clone())
            .filter(named)
            .or_else(|| known.map(|group| group.name.clone()).filter(named))
            .or_else(|| before.map(|role| role.name.clone()))
            .unwrap_or_else(fallback);
        let description = listed
            .and_then(|role| role.description.clone())
            .or_else(|| known.and_then(|group| group.description.clone()))
            .or_else(|| before.and_then(|role| role.description.clone()));
        let label = known.and_then(|group| group.label.clone()).or_else(|| before.and_then(|role| role.label.clone()));
        let ends = group.and_then(|group| self.ends(harvest, group, before.and_then(|role| role.ends.clone())));
        Role { id, name, description, permission_group: group, label, ends }
    }

    /// Scoped roles: every pair that is held, and those of the current generation that still can be.
    fn scoped_roles(
        &mut self,
        harvest: &Harvest,
        objects: &Objects<'_>,
        names_in_use: &mut NameLists,
    ) -> BTreeMap<ResourceGroupId, (Scope, u32)> {
        let account = self.names.account_resource_group;
        let resource_groups = harvest.known_resource_groups();
        let before: BTreeMap<_, _> = self
            .previous
            .iter()
            .flat_map(|previous| &previous.scoped_roles)
            .map(|role| ((role.permission_group, role.resource_group), role))
            .collect();
        let mut pairs: BTreeSet<(PermissionGroupId, ResourceGroupId)> =
            self.held.iter().filter(|(_, on)| Some(*on) != account).copied().collect();
        let exists = |&&(group, on): &&(PermissionGroupId, ResourceGroupId)| {
            let named = before.get(&(group, on));
            let odd_group = |odd: &Odd| named.is_some_and(|role| odd.may_be(&group, &role.permission_group_name));
            let odd_on = |odd: &Odd| named.is_some_and(|role| odd.may_be(&on, &role.resource_group_name));
            let permitted = harvest.permission_groups.is_err()
                || self.permission_groups.contains_key(&group)
                || harvest.odd(List::PermissionGroups).any(odd_group);
            let there = harvest.resource_groups.is_err()
                || resource_groups.contains_key(&on)
                || harvest.odd(List::ResourceGroups).any(odd_on);
            permitted && there && Some(on) != account
        };
        pairs.extend(before.keys().filter(exists));
        let on: BTreeSet<ResourceGroupId> = pairs.iter().map(|(_, on)| *on).collect();
        for (permission_group, resource_group) in pairs {
            let old = before.get(&(permission_group, resource_group));
            let permission_group_name = self
                .permission_groups
                .get(&permission_group)
                .map(|group| group.name.clone())
                .filter(|name| !name.is_empty())
                .or_else(|| old.map(|role| role.permission_group_name.clone()))
                .unwrap_or_else(|| permission_group.to_string());
            let resource_group_name = resource_groups
                .get(&resource_group)
                .filter(|name| !name.is_empty())
                .cloned()
                .or_else(|| old.map(|role| role.resource_group_name.clone()))
                .unwrap_or_else(|| resource_group.to_string());
            self.insert(Row::ScopedRole(ScopedRole {
                permission_group,
                resource_group,
                permission_group_name,
                resource_group_name,
                scope: Scope::default(),
                unlisted: 0,
                ends: self.ends(harvest, permission_group, old.and_then(|role| role.ends.clone())),
            }));
        }
        self.scopes(harvest, &on, objects, names_in_use)
    }

    /// Where a permission group is withdrawn; as it was known where their list cannot be read.
    fn ends(&self, harvest: &Harvest, group: PermissionGroupId, before: Option<String>) -> Option<String> {
        match &harvest.permission_groups {
            Ok(_) => self.permission_groups.get(&group)?.ends.clone(),
            Err(_) => before,
        }
    }

    /// What these resource groups reach. What the current generation knows stands in for what is not told: an id means one object
    /// for ever.
    fn scopes(
        &self,
        harvest: &Harvest,
        on: &BTreeSet<ResourceGroupId>,
        objects: &Objects<'_>,
        names_in_use: &mut NameLists,
    ) -> BTreeMap<ResourceGroupId, (Scope, u32)> {
        let mut scopes = BTreeMap::new();
        let listed = harvest.resource_groups.iter().flatten().filter(|group| on.contains(&group.id));
        for group in listed.filter(|group| !group.keys.is_empty()) {
            let keys: BTreeSet<&str> = group.keys.iter().map(String::as_str).collect();
            let unlisted = u32::try_from(keys.len().saturating_sub(Scope::MAX)).unwrap_or(u32::MAX);
            let keys = keys.into_iter().take(Scope::MAX).map(|key| (key.to_owned(), String::new()));
            scopes.insert(group.id, (Scope(keys.collect()), unlisted));
        }
        for (id, scope) in self.previous.iter().flat_map(|previous| &previous.scopes) {
            if on.contains(id) && !scopes.contains_key(id) {
                scopes.insert(*id, scope.clone());
            }
        }
        for (scope, _) in scopes.values_mut() {
            objects.name(scope, names_in_use);
        }
        scopes
    }
}

/// The names of the account's objects, as far as a list told them, now or in the current generation.
struct Objects<'a>(BTreeMap<(ObjectKind, &'a str), &'a str>);

impl<'a> Objects<'a> {
    fn of(told: &'a BTreeMap<List, Result<Vec<[String; 2]>, Off>>, previous: Option<&'a Previous>) -> Self {
        let mut names: BTreeMap<(ObjectKind, &str), &str> = BTreeMap::new();
        let mut learn = |object: (ObjectKind, &'a str), name: &'a String| {
            if !name.is_empty() {
                names.insert(object, name.as_str());
            }
        };
        if let Some(previous) = previous {
            for (key, name) in previous.scopes.values().flat_map(|(scope, _)| &scope.0) {
                learn(ObjectKind::of(key), name);
            }
            for policy in previous.tokens.iter().flat_map(|token| &token.policies) {
                for (key, name) in &policy.scope.0 {
                    learn(ObjectKind::of(key), name);
                }
            }
        }
        for (kind, list) in ObjectKind::NAMED.into_iter().zip(List::NAMES) {
            if let Some(Ok(told)) = told.get(&list) {
                for [id, name] in told {
                    learn((kind, id.as_str()), name);
                }
            }
        }
        Self(names)
    }

    /// Names the objects of a scope, and notes which lists tell the names of such.
    fn name(&self, scope: &mut Scope, names_in_use: &mut NameLists) {
        for (key, name) in scope.0.iter_mut() {
            let object = ObjectKind::of(key);
            if object.1 != "*" {
                names_in_use.add(object.0);
            }
            self.0.get(&object).copied().unwrap_or_default().clone_into(name);
        }
    }
}

/// Who has the e-mail addresses of those who made tokens.
struct Creators {
    known: BTreeMap<String, String>,
    /// Those of the makers that an earlier sync told who are still there, under whatever address.
    there: BTreeSet<String>,
    /// There are members of whom not even the address could be read: somebody who is not found may be one of them.
    unsure: bool,
}

impl Creators {
    fn of<'t>(
        harvest: &Harvest,
        previous: Option<&Previous>,
        tokens: impl Iterator<Item = &'t Token>,
        before: &[Token],
    ) -> Self {
        let wanted: BTreeSet<String> =
            tokens.filter_map(|token| token.creator.as_deref()).map(address::folded).collect();
        let makers: BTreeSet<&str> = before.iter().filter_map(|token| token.creator_is.as_deref()).collect();
        let (mut known, mut there) = (BTreeMap::new(), BTreeSet::new());
        let mut see = |email: &str, principal: Principal| {
            let (email, principal) = (address::folded(email), principal.to_string());
            if makers.contains(principal.as_str()) {
                there.insert(principal.clone());
            }
            if wanted.contains(&email) {
                known.insert(email, principal);
            }
        };
        let unread = previous.into_iter().flat_map(|previous| previous.rows.values());
        unread.for_each(|member| see(&member.email, member.principal()));
        if !wanted.is_empty() {
            for member in harvest.members.iter().filter(|member| member.status.is_member()) {
                let principal = match member.user_id {
                    Some(user) if member.status == MemberStatus::Accepted => Principal::User(user),
                    _ => Principal::Invitation(member.id),
                };
                see(&member.email, principal);
            }
        }
        Self { known, there, unsure: harvest.odd_members().any(|odd| odd.name.is_none()) }
    }

    /// Who made a token: whoever it was before, while they are there, since an address may change and be somebody else's next; else who has
    /// the address that the token tells.
    fn is(&self, email: &str, was: Option<&Token>) -> Option<String> {
        let before = was.filter(|was| was.creator.as_deref() == Some(email)).and_then(|was| was.creator_is.as_ref());
        if let Some(maker) = before.filter(|maker| self.there.contains(maker.as_str())) {
            return Some(maker.clone());
        }
        let known = self.known.get(&address::folded(email)).cloned();
        known.or_else(|| before.filter(|_| self.unsure).cloned())
    }
}

/// What a person is to do so that a list can be read.
fn explain(list: &str, off: &Off, kept_from: Option<&GenerationId>) -> String {
    let (what, permission) = match list {
        "tokens" => ("account API tokens", "Account API Tokens: Read"),
        "user_groups" => ("user groups", "Account Settings: Read"),
        "permission_groups" => ("permission groups", "Account Settings: Read"),
        "resource_groups" => ("resource groups", "Account Settings: Read"),
        "oauth_clients" => ("OAuth clients", "OAuth Client: Read"),
        "account" => ("settings of the account", "Account Settings: Read"),
        "sso_domains" => ("domains that log in through an identity provider", "SSO Connector: Read"),
        "zones" => ("names of domains", "Zone: Read"),
        "workers" => ("names of Workers", "Workers Scripts: Read"),
        "access_apps" => ("names of Access applications", "Access: Apps and Policies: Read"),
        _ => ("deprecated list of roles", "Account Settings: Read"),
    };
    let kept = kept_since(kept_from);
    let why = off.told(true);
    match off.status {
        _ if off.message == EMPTIED => {
            let then = match list {
                "permission_groups" | "resource_groups" => {
                    "which is not believed; where it is right, accept it with POST /v1/sync and {\"accept_removals\": true}"
                }
                _ => TAKEN_LATER,
            };
            format!("Cloudflare tells of no {what}, and told of some before: {then}{kept}")
        }
        _ if off.passing => {
            format!("{FAILED} the {what} again and again ({why}); {TRIED_AGAIN}{kept}")
        }
        Some(404 | 410) if list == "roles" => {
            format!("Cloudflare no longer offers the {what} ({why}); permission groups take its place")
        }
        Some(404 | 410) => format!("{ABSENT} {what} ({why}){kept}"),
        _ => format!(
            "the API token may not read the {what} ({why}): edit it in Cloudflare's dashboard under API Tokens and add the permission \"{permission}\"{kept}"
        ),
    }
}

fn kept_since(kept_from: Option<&GenerationId>) -> String {
    kept_from.map(|from| format!("; what generation {from} says of them is kept")).unwrap_or_default()
}
