//! What access is made of: policies as Cloudflare stores them, and the atoms that grants and revokes work on.

use crate::base::json::Deserialize;
use crate::base::tree::BTreeSet;

use serde::Serialize;

use super::id::{PermissionGroupId, ResourceGroupId};

/// What a policy does with the access it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Gives it.
    Allow,
    /// Takes it away, whatever another policy allows. The connector never writes or removes one.
    Deny,
    /// A value this version does not know. Such a policy gives nothing in the model, and its member is never written.
    #[serde(other)]
    Unknown,
}

impl Access {
    /// What a policy does with something, in words: `DNS`, `not DNS`, `unknown: DNS`.
    pub fn told(self, what: String) -> String {
        match self {
            Self::Allow => what,
            Self::Deny => format!("not {what}"),
            Self::Unknown => format!("unknown: {what}"),
        }
    }
}

/// The smallest piece of access: one permission group on one resource group.
///
/// A policy is the product of its permission groups and resource groups; two members have the same access exactly when
/// they have the same atoms, however these are grouped into policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Atom {
    /// Allowed or denied.
    #[serde(rename = "a")]
    pub access: Access,
    /// What may be done.
    #[serde(rename = "p")]
    pub permission_group: PermissionGroupId,
    /// On what.
    #[serde(rename = "r")]
    pub resource_group: ResourceGroupId,
}

impl Atom {
    /// What a grant of a permission group on a resource group is.
    pub const fn allow(permission_group: PermissionGroupId, resource_group: ResourceGroupId) -> Self {
        Self { access: Access::Allow, permission_group, resource_group }
    }
}

/// A policy without its server-side id, which changes with every update and so identifies nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Allowed or denied.
    pub access: Access,
    /// What may be done.
    pub permission_groups: Vec<PermissionGroupId>,
    /// On what.
    pub resource_groups: Vec<ResourceGroupId>,
}

impl Policy {
    /// The policy that is one atom.
    pub fn of(atom: Atom) -> Self {
        Self {
            access: atom.access,
            permission_groups: vec![atom.permission_group],
            resource_groups: vec![atom.resource_group],
        }
    }

    /// The atoms this policy stands for.
    pub fn atoms(&self) -> impl Iterator<Item = Atom> + '_ {
        self.permission_groups.iter().flat_map(move |&permission_group| {
            self.resource_groups.iter().map(move |&resource_group| Atom {
                access: self.access,
                permission_group,
                resource_group,
            })
        })
    }
}

/// The atoms of a set of policies.
pub fn atoms<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> BTreeSet<Atom> {
    policies.into_iter().flat_map(Policy::atoms).collect()
}
