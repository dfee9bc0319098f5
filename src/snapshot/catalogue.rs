//! What an account offers, by the names that people use for it: roles, scoped roles and user groups of one generation.

use crate::base::tree::BTreeMap;

use super::read::{Snapshot, SnapshotError};
use crate::base::ports::KeyValue;
use crate::model::grant::Entitlement;
use crate::model::id::PermissionGroupId;
use crate::model::kind::Kind;
use crate::model::resource::{Row, allowed};
use crate::model::super_administrator;

/// One thing that can be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// What it is.
    pub entitlement: Entitlement,
    /// The name people know it by.
    pub name: String,
    /// Another name that people may know a scoped role by: with the resource group's own instead of what that reaches.
    pub also: Option<String>,
    /// The name of the permission group behind a scoped role, such as `Domain Administrator`.
    pub permission_group_name: Option<String>,
    /// Cloudflare's stable label of the permission group, such as `super_admin`.
    pub label: Option<String>,
    /// The permission group behind a role.
    pub permission_group: Option<PermissionGroupId>,
    /// Where Cloudflare withdraws the permission group: the day from which it is no more, or an empty text where none is told.
    pub ends: Option<String>,
    /// What membership of a user group brings with it.
    pub brings: Vec<Entitlement>,
}

/// Everything that can be granted.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    all: BTreeMap<Entitlement, Offered>,
    super_administrator: Option<PermissionGroupId>,
}

impl Catalogue {
    /// Reads what a generation offers.
    pub async fn load<P: KeyValue>(kv: &P, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let mut all = Vec::new();
        snapshot.each(kv, Kind::OFFERING, |row| all.extend(offered(&row, snapshot))).await?;
        Ok(Self::of(all))
    }

    /// The catalogue of these.
    pub(crate) fn of(all: Vec<Offered>) -> Self {
        let all = all.into_iter().map(|it| (it.entitlement, it)).collect();
        let mut catalogue = Self { all, super_administrator: None };
        catalogue.name_scoped();
        catalogue
    }

    /// The label of a permission group is told with its role alone.
    fn name_scoped(&mut self) {
        let labelled = self.all.values().filter_map(|it| Some((it.permission_group?, it.label.clone()?)));
        let labels: BTreeMap<PermissionGroupId, String> = labelled.collect();
        self.super_administrator =
            labels.iter().find(|(_, label)| label.as_str() == super_administrator::LABEL).map(|(group, _)| *group);
        let known = super_administrator::role().and_then(|id| self.all.get(&Entitlement::Role(id))?.permission_group);
        self.super_administrator = self.super_administrator.or(known);
        for it in self.all.values_mut().filter(|it| it.label.is_none()) {
            it.label = it.permission_group.and_then(|group| labels.get(&group).cloned());
        }
    }

    /// What an entitlement is.
    pub fn get(&self, entitlement: Entitlement) -> Option<&Offered> {
        self.all.get(&entitlement)
    }

    /// All of it, in the order of the entitlements.
    pub fn iter(&self) -> impl Iterator<Item = &Offered> {
        self.all.values()
    }

    /// The name of an entitlement, or its id where it is not known.
    pub fn name(&self, entitlement: Entitlement) -> String {
        self.get(entitlement).map_or_else(|| entitlement.to_string(), |it| it.name.clone())
    }

    /// What an entitlement gives: itself, and what a user group brings with it.
    pub fn given_by(&self, entitlement: Entitlement) -> Vec<Entitlement> {
        let brings = self.get(entitlement).map(|it| it.brings.clone()).unwrap_or_default();
        [entitlement].into_iter().chain(brings).collect()
    }

    /// Whether an entitlement makes its holder Super Administrator, be it through a user group.
    #[allow(clippy::match_wildcard_for_single_variants, reason = "whatever is no role makes nobody one")]
    pub fn makes_super_administrator(&self, entitlement: Entitlement) -> bool {
        self.given_by(entitlement).into_iter().any(|given| match given {
            Entitlement::Role(role) => {
                Some(role) == super_administrator::role()
                    || self.super_administrator.is_some_and(|group| {
                        role == group.into() || self.get(given).is_some_and(|it| it.permission_group == Some(group))
                    })
            }
            Entitlement::ScopedRole(role) => Some(role.permission_group) == self.super_administrator,
            _ => false,
        })
    }
}

fn offered(row: &Row, snapshot: &Snapshot) -> Option<Offered> {
    let (entitlement, name) = row.offered()?;
    let plain = Offered {
        entitlement,
        name,
        also: None,
        permission_group_name: None,
        label: None,
        permission_group: None,
        ends: None,
        brings: Vec::new(),
    };
    Some(match row {
        Row::Role(role) => Offered {
            label: role.label.clone(),
            permission_group: role.permission_group,
            ends: role.ends.clone(),
            ..plain
        },
        Row::ScopedRole(role) => Offered {
            also: Some(role.name_by_group()),
            permission_group_name: Some(role.permission_group_name.clone()),
            permission_group: Some(role.permission_group),
            ends: role.ends.clone(),
            ..plain
        },
        Row::Group(group) => {
            let naming = &snapshot.manifest().naming;
            let brings =
                allowed(&group.atoms).map(|atom| naming.entitlement_of(atom.permission_group, atom.resource_group));
            Offered { brings: brings.collect(), ..plain }
        }
        _ => plain,
    })
}
