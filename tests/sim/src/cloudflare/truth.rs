//! The oracle: what a correct snapshot of the account says, read straight from the account's state. It shares no code
//! with the connector, nor with the simulator's own rendering of members.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{Access, Account, Atom, Level, Member, Policy, atoms};
use super::{Cloudflare, lock};

/// What stands between the two ids of a scoped role.
pub const SCOPED_ROLE_SEPARATOR: char = '-';

/// Everything that is governed, by the ids that ConductorOne knows it under (Baton's formats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// User ids of the accepted members.
    pub users: BTreeSet<String>,
    /// Membership ids of pending members, and of those without a usable user id.
    pub invitations: BTreeSet<String>,
    /// Roles: id to name. The id is the legacy role id where there is one, else the permission group id.
    pub roles: BTreeMap<String, String>,
    /// Scoped roles that somebody or some group holds: permission group id, separator, resource group id.
    pub scoped_roles: BTreeSet<String>,
    /// User groups: id to name.
    pub groups: BTreeMap<String, String>,
    /// Account tokens: id to name.
    pub tokens: BTreeMap<String, String>,
    /// Every grant's id, such as `role:<role id>:member:user:<user id>`.
    pub grants: BTreeSet<String>,
}

impl Cloudflare {
    /// The account as it is now.
    pub fn truth(&self) -> Truth {
        truth(&lock(&self.shared.state).account)
    }

    /// A member's own atoms; none where there is no such member.
    pub fn member_atoms(&self, member: &str) -> BTreeSet<Atom> {
        let state = lock(&self.shared.state);
        state.account.member(member).map(|member| atoms(&member.policies)).unwrap_or_default()
    }

    /// How many accepted members hold an atom themselves.
    pub fn holders(&self, atom: &Atom) -> usize {
        let state = lock(&self.shared.state);
        let accepted = state.account.members().filter(|member| member.status == "accepted");
        accepted.filter(|member| atoms(&member.policies).contains(atom)).count()
    }

    /// A user group's atoms; none where there is no such group.
    pub fn group_atoms(&self, group: &str) -> BTreeSet<Atom> {
        let state = lock(&self.shared.state);
        state.account.user_groups.get(group).map(|group| atoms(&group.policies)).unwrap_or_default()
    }
}

fn truth(account: &Account) -> Truth {
    let mut truth = Truth::default();
    for group in account.permission_groups.iter().filter(|group| group.kind == Level::Account) {
        truth.roles.insert(role_id(account, &group.id), group.name.clone());
    }
    for member in account.members() {
        let principal = principal(member);
        if let Some(user) = principal.strip_prefix("user:") {
            truth.users.insert(user.to_owned());
        } else {
            truth.invitations.insert(member.id.clone());
        }
        held(account, &member.policies, &principal, &mut truth);
    }
    for group in account.user_groups.values() {
        truth.groups.insert(group.id.clone(), group.name.clone());
        held(account, &group.policies, &format!("group:{}", group.id), &mut truth);
        for member in group.members.iter().filter_map(|id| account.member(id)) {
            truth.grants.insert(format!("group:{}:member:{}", group.id, principal(member)));
        }
    }
    truth.tokens = account.tokens.iter().map(|token| (token.id.clone(), token.name.clone())).collect();
    truth
}

/// Whom a membership is governed as.
fn principal(member: &Member) -> String {
    match member.user.usable() {
        Some(user) if member.status == "accepted" => format!("user:{user}"),
        _ => format!("invitation:{}", member.id),
    }
}

/// Adds what a principal holds through policies of its own. What is denied grants nothing.
fn held(account: &Account, policies: &[Policy], principal: &str, truth: &mut Truth) {
    for (access, permission_group, resource_group) in atoms(policies) {
        if access != Access::Allow {
            continue;
        }
        if resource_group == account.whole_rg {
            let role = role_id(account, &permission_group);
            truth.grants.insert(format!("role:{role}:member:{principal}"));
            let name = account.permission_group(&permission_group).map(|group| group.name.clone());
            truth.roles.entry(role).or_insert_with(|| name.unwrap_or_default());
        } else {
            let scoped = format!("{permission_group}{SCOPED_ROLE_SEPARATOR}{resource_group}");
            truth.grants.insert(format!("scoped_role:{scoped}:member:{principal}"));
            truth.scoped_roles.insert(scoped);
        }
    }
}

/// The legacy role id of a permission group where it has one, else its own.
fn role_id(account: &Account, permission_group: &str) -> String {
    let known = account.permission_group(permission_group).and_then(|group| group.legacy_role.clone());
    known.unwrap_or_else(|| permission_group.to_owned())
}
