//! Policies as Cloudflare tells them. What is absent is unknown, not empty: a set of policies that is missing, or of which one
//! cannot be read, is never taken for all that somebody holds. A user group alone may have none where none are told: its own record says so.

use std::rc::Rc;

use serde::Serialize;

use super::access::{PermissionGroup, ResourceGroup};
use super::client::{filled, id, required};
use super::lenient::MetaWire;
use crate::base::json::{Deserialize, Made, Text};
use crate::model::access::{Access, Atom, Policy};

/// A sync takes in no policies of anybody beyond so many pairs of a permission group and a resource group: those of all are in memory at once,
/// and each takes a kilobyte where it is a role on a part of the account.
const MOST_READ_PAIRS: usize = 50_000;
const TOO_MANY_PAIRS: &str = "the policies are about more than 50000 pairs of a permission group and a resource group";

/// A policy with the names of what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The policy's id, which changes with every update of its member.
    pub id: Option<String>,
    /// Allowed or denied.
    pub access: Access,
    /// What may be done; in a user group's policies without names.
    pub permission_groups: Rc<[PermissionGroup]>,
    /// On what; in a user group's policies without names.
    pub resource_groups: Rc<[ResourceGroup]>,
}

impl PolicyRecord {
    /// The policy that an atom alone is.
    pub fn of(atom: &Atom) -> Self {
        let (id, ends) = (atom.permission_group, None);
        let group = PermissionGroup { id, name: String::new(), description: None, label: None, scopes: None, ends };
        let on = ResourceGroup { id: atom.resource_group, name: String::new(), keys: Vec::new() };
        Self { id: None, access: atom.access, permission_groups: [group].into(), resource_groups: [on].into() }
    }

    /// How many pairs of a permission group and a resource group it is about.
    pub(super) fn pairs(&self) -> usize {
        self.permission_groups.len().saturating_mul(self.resource_groups.len())
    }

    /// The policy without its id and names.
    pub fn policy(&self) -> Policy {
        Policy {
            access: self.access,
            permission_groups: self.permission_groups.iter().map(|group| group.id).collect(),
            resource_groups: self.resource_groups.iter().map(|group| group.id).collect(),
        }
    }
}

/// The policies of a member or of a user group, as far as they could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    readable: Vec<PolicyRecord>,
    /// Why these are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unread: Option<String>,
}

impl From<Vec<PolicyRecord>> for Policies {
    fn from(all: Vec<PolicyRecord>) -> Self {
        Self { readable: all, unread: None }
    }
}

impl Policies {
    pub(super) fn read(wire: Option<Vec<PolicyWire<'_>>>, known: &mut Known) -> Self {
        let Some(wire) = wire else { return Self::default().and_unread("policies is missing") };
        let mut policies = Self::default();
        for policy in wire {
            match PolicyRecord::read(policy, known) {
                Ok(policy) => policies.readable.push(policy),
                Err(why) => policies = policies.and_unread(&why),
            }
        }
        policies
    }

    /// The same, known not to be all, for a reason. The first reason stays.
    #[must_use]
    pub fn and_unread(mut self, why: &str) -> Self {
        self.unread.get_or_insert_with(|| why.to_owned());
        self
    }

    /// All policies; an error says why they are not all known.
    pub fn all(&self) -> Result<&[PolicyRecord], &str> {
        match &self.unread {
            None => Ok(&self.readable),
            Some(why) => Err(why),
        }
    }

    /// Those that could be read, for the names and ids in them: what somebody holds may be more.
    pub fn readable(&self) -> &[PolicyRecord] {
        &self.readable
    }

    /// The policies as far as a sync can take them in: those that do not fit count as not read.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let mut room = MOST_READ_PAIRS;
        let all = self.readable.len();
        self.readable.retain(|policy| {
            let left = room.checked_sub(policy.pairs());
            room = left.unwrap_or(room);
            left.is_some()
        });
        if self.readable.len() < all { self.and_unread(TOO_MANY_PAIRS) } else { self }
    }

    /// How many pairs of a permission group and a resource group those name that could be read.
    pub(super) fn pairs(&self) -> usize {
        self.readable.iter().map(PolicyRecord::pairs).sum()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&PolicyRecord) -> bool) {
        self.readable.retain(keep);
    }
}

#[derive(Deserialize)]
pub(super) struct PolicyWire<'de> {
    id: Option<String>,
    access: Option<Access>,
    permission_groups: Option<Text<'de>>,
    resource_groups: Option<Text<'de>>,
}

#[derive(Deserialize)]
struct NamedWire {
    id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    meta: MetaWire,
}

/// The lists of groups that were read, by their text: most policies name what another one names, and at length.
pub(super) struct Known {
    permission_groups: Made<Rc<[PermissionGroup]>>,
    resource_groups: Made<Rc<[ResourceGroup]>>,
}

impl Known {
    pub(super) const fn new() -> Self {
        Self { permission_groups: Made::new(), resource_groups: Made::new() }
    }
}

fn read<T>(
    known: &mut Made<Rc<[T]>>,
    list: Option<Text<'_>>,
    name: &str,
    of: impl Fn(NamedWire) -> Result<T, String>,
) -> Result<Rc<[T]>, String> {
    known.of(required(list, name)?, |list| {
        let read: Vec<NamedWire> = list.read().map_err(|error: serde_json::Error| format!("{name}: {error}"))?;
        read.into_iter().map(of).collect()
    })
}

impl PolicyRecord {
    fn read(wire: PolicyWire<'_>, known: &mut Known) -> Result<Self, String> {
        let (permitted, on) = ("policies[].permission_groups", "policies[].resource_groups");
        Ok(Self {
            id: filled(wire.id),
            // A word that is not known is told; whether a policy without one gives or takes something is not.
            access: required(wire.access, "policies[].access")?,
            permission_groups: read(&mut known.permission_groups, wire.permission_groups, permitted, |group| {
                let id = id(group.id.as_deref(), "policies[].permission_groups[].id")?;
                Ok(PermissionGroup::new(id, group.name, group.meta))
            })?,
            resource_groups: read(&mut known.resource_groups, wire.resource_groups, on, |group| {
                let id = id(group.id.as_deref(), "policies[].resource_groups[].id")?;
                Ok(ResourceGroup { id, name: group.name.unwrap_or_default(), keys: Vec::new() })
            })?,
        })
    }
}
