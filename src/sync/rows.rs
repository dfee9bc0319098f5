//! From what a crawl found to the rows of a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use super::crawl::Off;
use super::found::Found;
use super::names::{Names, Seen, is_account_wide};
use super::previous::Previous;
use super::staging::StagedMember;
use crate::cloudflare::{PermissionGroup, PolicyRecord, RoleRecord};
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::id::{AccountId, MemberId, PermissionGroupId, ResourceGroupId, RoleId, UserGroupId, UserId};
use crate::model::resource::{Group, Member, Role, Row, ScopedRole};
use crate::model::super_administrator;
use crate::snapshot::{Capability, GenerationId};

/// The rows of a snapshot, and what is to be said with them.
#[derive(Debug)]
pub(super) struct Assembled {
    /// In the order of their keys.
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) names: Names,
    pub(super) capabilities: BTreeMap<String, Capability>,
    pub(super) warnings: Vec<String>,
    /// Memberships that the current generation has, and how many of those are gone.
    pub(super) before: usize,
    pub(super) gone: usize,
}

/// Builds the rows. With `accept_removals`, nothing is kept from the current generation where a list can no longer be read.
pub(super) fn assemble(
    account: AccountId,
    found: Found,
    names: Names,
    previous: Option<&Previous>,
    accept_removals: bool,
) -> Assembled {
    let permission_groups = found.known_permission_groups();
    let (names, warnings) = names.learn(Seen {
        account,
        resource_groups: found.resource_groups.as_deref().unwrap_or_default(),
        permission_groups: &permission_groups,
        roles: found.roles.as_deref().unwrap_or_default(),
        hints: &found.hints,
        previous: previous.map(|previous| &previous.manifest.naming),
    });
    let mut builder = Builder {
        kept: previous.filter(|_| !accept_removals),
        previous,
        names,
        permission_groups,
        rows: BTreeMap::new(),
        capabilities: BTreeMap::new(),
        warnings,
        held: BTreeSet::new(),
    };
    builder.tokens(&found);
    let memberships = builder.groups(&found);
    let gone = gone(&found.members, previous);
    let mut found = found;
    builder.members(std::mem::take(&mut found.members), &found, &memberships);
    builder.roles(&found);
    builder.scoped_roles(&found);
    builder.note("resource_groups", &found.resource_groups, None);
    builder.note("permission_groups", &found.permission_groups, None);
    builder.capabilities.insert("members".to_owned(), ON);
    Assembled {
        rows: builder.rows,
        names: builder.names,
        capabilities: builder.capabilities,
        warnings: builder.warnings,
        before: previous.map_or(0, |previous| previous.members.len()),
        gone,
    }
}

const ON: Capability = Capability { on: true, message: None, kept_from: None };

/// How many of those who were there are not. Somebody with a new membership, invited anew, is not gone.
fn gone(members: &BTreeMap<MemberId, StagedMember>, previous: Option<&Previous>) -> usize {
    let users: BTreeSet<UserId> = members.values().filter_map(|member| member.user_id).collect();
    let is_gone = |(id, user): &(&MemberId, &Option<UserId>)| {
        !members.contains_key(*id) && user.is_none_or(|user| !users.contains(&user))
    };
    previous.map_or(0, |previous| previous.members.iter().filter(is_gone).count())
}

struct Builder<'a> {
    previous: Option<&'a Previous>,
    /// The current generation, where its rows may stand in for a list that cannot be read.
    kept: Option<&'a Previous>,
    names: Names,
    permission_groups: BTreeMap<PermissionGroupId, PermissionGroup>,
    rows: BTreeMap<String, Row>,
    capabilities: BTreeMap<String, Capability>,
    warnings: Vec<String>,
    /// What somebody or some group holds.
    held: BTreeSet<(PermissionGroupId, ResourceGroupId)>,
}

/// Which user groups a member is in, and the ids of those groups' policies.
#[derive(Default)]
struct Memberships {
    groups: BTreeMap<MemberId, BTreeSet<UserGroupId>>,
    policies: BTreeMap<UserGroupId, BTreeSet<String>>,
}

impl Builder<'_> {
    fn insert(&mut self, row: Row) {
        use std::collections::btree_map::Entry;
        match self.rows.entry(row.key()) {
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
            Entry::Occupied(entry) => {
                self.warnings.push(format!("{} is there twice; the first is taken", entry.key()));
            }
        }
    }

    fn hold(&mut self, atoms: &BTreeSet<Atom>) {
        let allowed = atoms.iter().filter(|atom| atom.access == Access::Allow);
        self.held.extend(allowed.map(|atom| (atom.permission_group, atom.resource_group)));
    }

    /// Says whether a list could be read.
    fn note<T>(&mut self, list: &str, read: &Result<Vec<T>, Off>, kept_from: Option<GenerationId>) {
        let capability = match read {
            Ok(_) => ON,
            Err(off) => Capability { on: false, message: Some(explain(list, off, kept_from.as_ref())), kept_from },
        };
        self.capabilities.insert(list.to_owned(), capability);
    }

    fn tokens(&mut self, found: &Found) {
        let kept_from = self.kept.filter(|_| found.tokens.is_err()).and_then(|kept| kept.keeps("tokens"));
        let kept = self.kept.filter(|_| kept_from.is_some());
        let tokens = found.tokens.iter().flatten().chain(kept.into_iter().flat_map(|kept| &kept.tokens));
        // A list that moved while it was read may have one of them twice.
        let tokens: BTreeMap<_, _> = tokens.map(|token| (token.id, token)).collect();
        for token in tokens.into_values() {
            self.insert(Row::ApiToken(token.clone()));
        }
        self.note("tokens", &found.tokens, kept_from);
    }

    fn groups(&mut self, found: &Found) -> Memberships {
        let mut memberships = Memberships::default();
        let Ok(groups) = &found.user_groups else {
            let kept = self.kept.and_then(|kept| Some((kept, kept.keeps("user_groups")?)));
            if let Some((kept, _)) = &kept {
                for group in &kept.groups {
                    self.hold(&group.atoms.iter().copied().collect());
                    self.insert(Row::Group(group.clone()));
                }
                for (&member, groups) in &kept.memberships {
                    memberships.groups.entry(member).or_default().extend(groups);
                }
            }
            self.note("user_groups", &found.user_groups, kept.map(|(_, from)| from));
            return memberships;
        };
        // A list that moved while it was read may have one of them twice.
        let groups: BTreeMap<_, _> = groups.iter().map(|group| (group.id, group)).collect();
        for group in groups.into_values() {
            let policies: Vec<Policy> = group.policies.iter().map(PolicyRecord::policy).collect();
            let held = atoms(&policies);
            self.hold(&held);
            let ids = group.policies.iter().filter_map(|policy| policy.id.clone()).collect();
            memberships.policies.insert(group.id, ids);
            let atoms = held.into_iter().collect();
            self.insert(Row::Group(Group { id: group.id, name: group.name.clone(), atoms }));
        }
        self.note("user_groups", &found.user_groups, None);
        self.group_members(found, &mut memberships);
        memberships
    }

    /// The members of each group. A group whose members cannot be read keeps those it had: a group that holds an invalid policy
    /// answers with an error (`reference/cloudflare.md` 2.7), and that is nobody's leaving.
    fn group_members(&mut self, found: &Found, memberships: &mut Memberships) {
        let mut unread = Vec::new();
        for (&group, members) in &found.group_members {
            match members {
                Ok(members) => {
                    for &member in members {
                        memberships.groups.entry(member).or_default().insert(group);
                    }
                }
                Err(off) => {
                    unread.push((group, off));
                    for (&member, groups) in self.kept.iter().flat_map(|kept| &kept.memberships) {
                        if groups.contains(&group) {
                            memberships.groups.entry(member).or_default().insert(group);
                        }
                    }
                }
            }
        }
        let capability = match unread.first() {
            None => ON,
            Some((group, off)) => {
                let others = match unread.len() - 1 {
                    0 => String::new(),
                    n => format!(" and {n} other user groups"),
                };
                let known = self.kept.and_then(|kept| {
                    let before = kept.manifest.capabilities.get("user_group_members");
                    before
                        .and_then(|before| before.kept_from.clone())
                        .or_else(|| Some(kept.manifest.generation.clone()))
                });
                Capability {
                    on: false,
                    message: Some(format!(
                        "the members of user group {group}{others} cannot be read ({}); those known before are kept",
                        describe(off)
                    )),
                    kept_from: known,
                }
            }
        };
        self.capabilities.insert("user_group_members".to_owned(), capability);
    }

    fn members(&mut self, members: BTreeMap<MemberId, StagedMember>, found: &Found, memberships: &Memberships) {
        let none = BTreeSet::new();
        let known: BTreeSet<UserGroupId> = match &found.user_groups {
            Ok(groups) => groups.iter().map(|group| group.id).collect(),
            Err(_) => memberships.groups.values().flatten().copied().collect(),
        };
        for (id, member) in members {
            let groups = memberships.groups.get(&id).unwrap_or(&none);
            let inherited: BTreeSet<&String> =
                groups.iter().filter_map(|group| memberships.policies.get(group)).flatten().collect();
            let own: Vec<Policy> = member
                .policies
                .iter()
                .filter(|policy| policy.id.as_ref().is_none_or(|id| !inherited.contains(id)))
                .map(super::staging::StagedPolicy::policy)
                .collect();
            let held = atoms(&own);
            self.hold(&held);
            self.insert(Row::member(Member {
                member_id: id,
                user_id: member.user_id,
                email: member.email,
                status: member.status,
                first_name: member.first_name,
                last_name: member.last_name,
                two_factor: member.two_factor,
                atoms: held.into_iter().collect(),
                groups: groups.iter().filter(|group| known.contains(group)).copied().collect(),
            }));
        }
    }

    /// Roles: those Cloudflare lists, every permission group that can be held on the whole account or is, and Super Administrator.
    fn roles(&mut self, found: &Found) {
        let account = self.names.account_resource_group;
        let mut roles: BTreeMap<RoleId, Role> = BTreeMap::new();
        let naming = self.names.naming();
        let listed =
            found.permission_groups.iter().flatten().filter(|group| is_account_wide(group)).map(|group| group.id);
        let held = self.held.iter().filter(|(_, on)| Some(*on) == account).map(|(group, _)| *group);
        let groups: BTreeSet<PermissionGroupId> = listed.chain(held).collect();
        for group in groups {
            let id = naming.role_of(group);
            roles.insert(id, self.role(id, Some(group), None));
        }
        // Two roles have been seen under one id (`reference/cloudflare.md` 6, no. 4): the first is taken.
        let mut listed = BTreeSet::new();
        for record in found.roles.iter().flatten().filter(|record| listed.insert(record.id)) {
            let own = PermissionGroupId::from(record.id);
            let own = self.permission_groups.contains_key(&own).then_some(own);
            let group = self.names.permission_group_of(record.id).or(own);
            roles.insert(record.id, self.role(record.id, group, Some(record)));
        }
        if let Some(id) = super_administrator::role() {
            roles.entry(id).or_insert_with(|| self.role(id, self.names.permission_group_of(id), None));
        }
        let kept = self.kept_roles(found, &roles);
        roles.extend(kept.into_iter().map(|role| (role.id, role)));
        let own = roles.values().filter_map(|role| role.permission_group.filter(|&group| role.id == group.into()));
        self.names.set_own(own.collect());
        for role in roles.into_values() {
            self.insert(Row::Role(role));
        }
        let kept_from = self.kept.and_then(|kept| kept.keeps("roles"));
        self.note("roles", &found.roles, kept_from);
    }

    /// Roles that the current generation has and that come from a list that cannot be read now.
    fn kept_roles(&self, found: &Found, roles: &BTreeMap<RoleId, Role>) -> Vec<Role> {
        let from_roles = found.roles.is_err();
        let from_groups = found.permission_groups.is_err();
        let of_unread = |role: &&Role| match role.permission_group {
            // The role may come from either list.
            Some(_) => from_groups,
            None => from_roles,
        };
        let kept = self.kept.iter().flat_map(|kept| &kept.roles);
        kept.filter(of_unread).filter(|role| !roles.contains_key(&role.id)).cloned().collect()
    }

    fn role(&self, id: RoleId, group: Option<PermissionGroupId>, listed: Option<&RoleRecord>) -> Role {
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
        Role { id, name, description, permission_group: group, label }
    }

    /// Scoped roles: every pair that is held, and those of the current generation that still can be.
    fn scoped_roles(&mut self, found: &Found) {
        let account = self.names.account_resource_group;
        let resource_groups = found.known_resource_groups();
        let before: BTreeMap<_, _> = self
            .previous
            .iter()
            .flat_map(|previous| &previous.scoped_roles)
            .map(|role| ((role.permission_group, role.resource_group), role))
            .collect();
        let mut pairs: BTreeSet<(PermissionGroupId, ResourceGroupId)> =
            self.held.iter().filter(|(_, on)| Some(*on) != account).copied().collect();
        let exists = |&&(group, on): &&(PermissionGroupId, ResourceGroupId)| {
            let permitted = found.permission_groups.is_err() || self.permission_groups.contains_key(&group);
            let there = found.resource_groups.is_err() || resource_groups.contains_key(&on);
            permitted && there && Some(on) != account
        };
        pairs.extend(before.keys().filter(exists));
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
                .cloned()
                .or_else(|| old.map(|role| role.resource_group_name.clone()))
                .unwrap_or_else(|| resource_group.to_string());
            self.insert(Row::ScopedRole(ScopedRole {
                permission_group,
                resource_group,
                permission_group_name,
                resource_group_name,
            }));
        }
    }
}

/// What a person is to do so that a list can be read.
fn explain(list: &str, off: &Off, kept_from: Option<&GenerationId>) -> String {
    let (what, permission) = match list {
        "tokens" => ("account API tokens", "Account API Tokens: Read"),
        "user_groups" => ("user groups", "Account Settings: Read"),
        "permission_groups" => ("permission groups", "Account Settings: Read"),
        "resource_groups" => ("resource groups", "Account Settings: Read"),
        _ => ("the deprecated list of roles", "Account Settings: Read"),
    };
    let kept = kept_from.map(|from| format!("; what generation {from} says of them is kept")).unwrap_or_default();
    let why = describe(off);
    match off.status {
        Some(404 | 410) if list == "roles" => {
            format!("Cloudflare no longer offers {what} ({why}); permission groups take its place")
        }
        Some(404 | 410) => format!("this account does not have {what} ({why}){kept}"),
        _ => format!(
            "the API token may not read {what} ({why}): edit it in Cloudflare's dashboard under API Tokens and add the permission \"{permission}\"{kept}"
        ),
    }
}

fn describe(off: &Off) -> String {
    let status = off.status.map(|status| format!("HTTP {status}")).unwrap_or_default();
    let code = off.code.map(|code| format!(", code {code}")).unwrap_or_default();
    let message = if off.message.is_empty() { String::new() } else { format!(": {}", off.message) };
    format!("{status}{code}{message}")
}
