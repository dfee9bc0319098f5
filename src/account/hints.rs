//! What members' records tell of others: names of what they hold, and which role goes with which permission group.

use crate::base::tree::{BTreeMap, BTreeSet};

use crate::cloudflare::{MemberRecord, PermissionGroup, ResourceGroup};
use crate::model::access::Access;
use crate::model::id::{PermissionGroupId, ResourceGroupId, RoleId};
use crate::model::name::same;

/// What members tell beside themselves: names of what they hold, and which role goes with which permission group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Permission groups, as members' policies describe them.
    pub(crate) permission_groups: BTreeMap<PermissionGroupId, PermissionGroup>,
    /// Resource groups' names.
    pub(crate) resource_groups: BTreeMap<ResourceGroupId, String>,
    /// A role and a permission group of the same name on one member.
    pub(crate) pairs: BTreeSet<(RoleId, PermissionGroupId)>,
    /// Roles on members.
    pub(crate) roles: BTreeSet<RoleId>,
}

impl Hints {
    pub(crate) fn merge(&mut self, other: Self) {
        for (id, group) in other.permission_groups {
            self.permission_groups.entry(id).or_insert(group);
        }
        for (id, name) in other.resource_groups {
            self.resource_groups.entry(id).or_insert(name);
        }
        self.pairs.extend(other.pairs);
        self.roles.extend(other.roles);
    }

    /// Takes in what a member tells. `account` is the name of the resource group that is the whole account.
    pub(crate) fn add(&mut self, member: &MemberRecord, account: &str) {
        let mut account_wide: BTreeMap<PermissionGroupId, &str> = BTreeMap::new();
        for policy in member.policies.readable() {
            let whole = policy.resource_groups.iter().any(|group| group.name == account);
            for group in policy.permission_groups.iter().filter(|group| !group.name.is_empty()) {
                let named = || PermissionGroup { description: None, ends: None, ..group.clone() };
                self.permission_groups.entry(group.id).or_insert_with(named);
                if whole && policy.access == Access::Allow {
                    account_wide.insert(group.id, &group.name);
                }
            }
            for ResourceGroup { id, name, .. } in policy.resource_groups.iter().filter(|group| !group.name.is_empty()) {
                self.resource_groups.entry(*id).or_insert_with(|| name.clone());
            }
        }
        for role in &member.roles {
            self.roles.insert(role.id);
            let same_name = |name: &str| same(name, &role.name);
            let mut groups = account_wide.iter().filter(|(_, name)| same_name(name));
            let twins = member.roles.iter().filter(|other| other.id != role.id && same_name(&other.name)).count();
            if let (Some((group, _)), None, 0) = (groups.next(), groups.next(), twins) {
                self.pairs.insert((role.id, *group));
            }
        }
    }
}
