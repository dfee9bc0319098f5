//! The account as tests look at it: ids to ask for, and who is who.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{Account, Level, Member};
use super::{Cloudflare, lock};

/// A membership, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The membership id.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// `accepted`, `pending`, or whatever a test made it.
    pub status: String,
    /// The user id, where there is one that identifies somebody.
    pub user_id: Option<String>,
    /// The user groups it is in.
    pub groups: BTreeSet<String>,
}

/// A permission group and the role it was, as tests see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPermissionGroup {
    /// The permission group's id.
    pub id: String,
    /// Its name, which is the role's name too.
    pub name: String,
    /// Its stable label.
    pub label: String,
    /// The legacy role's id, where it ever was one.
    pub role_id: Option<String>,
    /// Whether it stands on the whole account; otherwise on domains.
    pub account_wide: bool,
}

impl KnownPermissionGroup {
    /// The id it is governed under: the legacy role's, else its own.
    pub fn governed_as(&self) -> &str {
        self.role_id.as_deref().unwrap_or(&self.id)
    }
}

impl Cloudflare {
    /// The account's id.
    pub fn account_id(&self) -> String {
        lock(&self.shared.state).account.id.clone()
    }

    /// The id of the resource group that is the whole account.
    pub fn account_resource_group(&self) -> String {
        lock(&self.shared.state).account.whole_rg.clone()
    }

    /// Ids and names of the resource groups for domains.
    pub fn domain_resource_groups(&self) -> Vec<(String, String)> {
        let state = lock(&self.shared.state);
        let groups = state.account.resource_groups.iter().filter(|group| group.kind == Level::Zone);
        groups.map(|group| (group.id.clone(), group.name.clone())).collect()
    }

    /// The variables that a connector to this account cannot do without.
    pub fn variables(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("CLOUDFLARE_ACCOUNT_ID", self.account_id()),
            ("CLOUDFLARE_API_TOKEN", self.token()),
            ("CONNECTOR_TOKEN", crate::harness::workerd::CONNECTOR_TOKEN.to_owned()),
            ("C1_TENANT", crate::conductorone::HOST.to_owned()),
            ("PUBLIC_URL", crate::conductorone::PUBLIC_URL.to_owned()),
            ("PLAN", "paid".to_owned()),
        ])
    }

    /// Every permission group, in the API's order.
    pub fn permission_groups(&self) -> Vec<KnownPermissionGroup> {
        let state = lock(&self.shared.state);
        let groups = state.account.permission_groups.iter();
        groups
            .map(|group| KnownPermissionGroup {
                id: group.id.clone(),
                name: group.name.clone(),
                label: group.label.clone(),
                role_id: group.legacy_role.clone(),
                account_wide: group.kind == Level::Account,
            })
            .collect()
    }

    /// The account-wide ones that are legacy roles too, without Super Administrator.
    pub fn ordinary_roles(&self) -> Vec<KnownPermissionGroup> {
        let groups = self.permission_groups().into_iter();
        groups.filter(|group| group.account_wide && group.role_id.is_some() && group.label != "super_admin").collect()
    }

    /// The permission group with a label, such as `super_admin`.
    pub fn permission_group(&self, label: &str) -> Option<KnownPermissionGroup> {
        self.permission_groups().into_iter().find(|group| group.label == label)
    }

    /// Every membership, by membership id.
    pub fn memberships(&self) -> Vec<Membership> {
        let state = lock(&self.shared.state);
        state.account.members().map(|member| membership(&state.account, member)).collect()
    }

    /// The membership with an id.
    pub fn membership(&self, id: &str) -> Option<Membership> {
        let state = lock(&self.shared.state);
        state.account.member(id).map(|member| membership(&state.account, member))
    }

    /// The membership with an e-mail address, case ignored.
    pub fn membership_of(&self, email: &str) -> Option<Membership> {
        let state = lock(&self.shared.state);
        state.account.member_by_email(email).map(|member| membership(&state.account, member))
    }
}

fn membership(account: &Account, member: &Member) -> Membership {
    let groups = account.user_groups.values().filter(|group| group.members.contains(&member.id));
    Membership {
        id: member.id.clone(),
        email: member.email.clone(),
        status: member.status.clone(),
        user_id: member.user.usable().map(str::to_owned),
        groups: groups.map(|group| group.id.clone()).collect(),
    }
}
