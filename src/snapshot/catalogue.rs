//! What an account offers, by its ids and by the names that people use for it: roles, scoped roles and user groups of one generation.
//! Which entitlement a row offers, and what it is called, [`Row::offered`] and [`Row::names`] say.

use crate::base::tree::BTreeMap;

use super::keys::Values;
use super::manifest::Naming;
use super::read::{Snapshot, SnapshotError};
use crate::base::order;
use crate::model::access::Access;
use crate::model::grant::Entitlement;
use crate::model::id::PermissionGroupId;
use crate::model::kind::Kind;
use crate::model::name;
use crate::model::resource::{Row, allowed};
use crate::model::super_administrator;

/// One thing that can be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
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
    /// Whether it may bring more: of what this version cannot judge it is not known what it gives.
    pub may_bring_more: bool,
}

/// Everything that can be granted.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    all: BTreeMap<Entitlement, CatalogueEntry>,
    /// What goes by a name, in the form in which names are looked up.
    called: BTreeMap<String, Vec<Entitlement>>,
    super_administrator: Option<PermissionGroupId>,
}

impl Catalogue {
    /// Reads what a generation offers.
    pub async fn load(kv: &dyn Values, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let mut all = Vec::new();
        snapshot.each(kv, Kind::OFFERING, |row| all.extend(offered(&row, &snapshot.manifest().naming))).await?;
        Ok(Self::of(all))
    }

    /// The catalogue of these.
    pub(crate) fn of(all: Vec<CatalogueEntry>) -> Self {
        let mut catalogue = Self::default();
        for it in all {
            for name in [Some(&it.name), it.also.as_ref()].into_iter().flatten() {
                catalogue.called.entry(name::key(name)).or_default().push(it.entitlement);
            }
            catalogue.all.insert(it.entitlement, it);
        }
        catalogue.name_scoped();
        catalogue
    }

    /// The label of a permission group is told with its role alone.
    fn name_scoped(&mut self) {
        let labelled = self.all.values().filter_map(|it| Some((it.permission_group?, it.label.clone()?)));
        let labels: BTreeMap<PermissionGroupId, String> = labelled.collect();
        self.super_administrator = labels
            .iter()
            .find(|(_, label)| super_administrator::is_label(Some(label.as_str())))
            .map(|(group, _)| *group);
        let known = super_administrator::role().and_then(|id| self.all.get(&Entitlement::Role(id))?.permission_group);
        self.super_administrator = self.super_administrator.or(known);
        for it in self.all.values_mut().filter(|it| it.label.is_none()) {
            it.label = it.permission_group.and_then(|group| labels.get(&group).cloned());
        }
    }

    /// What an entitlement is.
    pub fn get(&self, entitlement: Entitlement) -> Option<&CatalogueEntry> {
        self.all.get(&entitlement)
    }

    /// All of it, in the order of the entitlements.
    pub fn iter(&self) -> impl Iterator<Item = &CatalogueEntry> {
        self.all.values()
    }

    /// What is meant by a name alone, as ConductorOne shows it: of a role or scoped role with `Member Role` at its end, of a user group with `Member`,
    /// or of whichever without. Each once, in the order of the entitlements.
    pub fn called(&self, shown: &str) -> Vec<Entitlement> {
        let mut found: Vec<Entitlement> = Vec::new();
        for (name, is_group) in [(shown, None), name::plain(shown)] {
            let name = name::key(name);
            let all = self.called.get(&name).filter(|_| !name.is_empty()).into_iter().flatten();
            found.extend(all.filter(|it| is_group.is_none_or(|is| is == matches!(it, Entitlement::Group(_)))));
        }
        order::sort(&mut found);
        found.dedup();
        found
    }

    /// What is meant by a name where exactly one has it; all that have it where it is not one. Never guessed.
    pub fn alone_called(&self, shown: &str) -> Result<Entitlement, Vec<Entitlement>> {
        match self.called(shown).as_slice() {
            [one] => Ok(*one),
            others => Err(others.to_vec()),
        }
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

fn offered(row: &Row, naming: &Naming) -> Option<CatalogueEntry> {
    let (entitlement, name) = row.offered()?;
    let also = row.names().into_iter().find(|other| *other != name);
    let plain = CatalogueEntry {
        entitlement,
        name,
        also,
        permission_group_name: None,
        label: None,
        permission_group: None,
        ends: None,
        brings: Vec::new(),
        may_bring_more: false,
    };
    Some(match row {
        Row::Role(role) => CatalogueEntry {
            label: role.label.clone(),
            permission_group: role.permission_group,
            ends: role.ends.clone(),
            ..plain
        },
        Row::ScopedRole(role) => CatalogueEntry {
            permission_group_name: Some(role.permission_group_name.clone()),
            permission_group: Some(role.permission_group),
            ends: role.ends.clone(),
            ..plain
        },
        Row::Group(group) => {
            let brings =
                allowed(&group.atoms).map(|atom| naming.entitlement_of(atom.permission_group, atom.resource_group));
            let may_bring_more = group.atoms.iter().any(|atom| atom.access == Access::Unknown);
            CatalogueEntry { brings: brings.collect(), may_bring_more, ..plain }
        }
        _ => plain,
    })
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, CatalogueEntry, Naming, offered};
    use crate::model::grant::Entitlement;
    use crate::model::resource::Row;

    const ROLE: &str = "05784afa30c1afe1440e79d9351c7430";
    const OTHER: &str = "7c5dae5552338874e5053f2534d2767a";

    #[test]
    fn a_scoped_role_is_called_by_what_it_reaches_and_by_its_resource_groups_name_and_nothing_is_called_nothing() {
        let scoped: Entitlement = format!("scoped_role:{ROLE}-{OTHER}:member").parse().unwrap();
        let Row::ScopedRole(mut role) = Row::untold(scoped) else { unreachable!("a scoped role") };
        "Domain DNS".clone_into(&mut role.permission_group_name);
        "rg-3f2a".clone_into(&mut role.resource_group_name);
        role.scope.0.insert(format!("com.cloudflare.api.account.zone.{OTHER}"), "example.com".to_owned());
        let nameless = Row::untold(format!("group:{OTHER}:member").parse().unwrap());
        let Row::Group(mut nameless) = nameless else { unreachable!("a group") };
        nameless.name = String::new();
        let rows = [Row::ScopedRole(role), Row::Group(nameless)];
        let catalogue = Catalogue::of(rows.iter().filter_map(|row| offered(row, &Naming::default())).collect());
        for name in ["Domain DNS on example.com", "domain dns on RG-3f2a Member Role"] {
            assert_eq!(catalogue.called(name), [scoped], "{name}");
        }
        for name in ["Domain DNS", "", " "] {
            assert_eq!(catalogue.called(name), [], "{name:?}");
        }
    }

    #[test]
    fn super_administrator_is_known_by_its_label_in_any_case() {
        for (label, expected) in [("super_admin", true), ("Super_Admin", true), ("admin", false)] {
            let id: Entitlement = format!("role:{ROLE}:member").parse().unwrap();
            let Row::Role(mut role) = Row::untold(id) else { unreachable!("a role") };
            role.label = Some(label.to_owned());
            role.permission_group = Some(OTHER.parse().unwrap());
            let catalogue = Catalogue::of(offered(&Row::Role(role), &Naming::default()).into_iter().collect());
            assert_eq!(catalogue.makes_super_administrator(id), expected, "{label}");
        }
    }

    #[test]
    fn what_is_put_behind_a_name_tells_a_role_from_a_user_group_of_that_name() {
        let ids = [
            format!("role:{ROLE}:member"),
            format!("scoped_role:{ROLE}-{OTHER}:member"),
            format!("group:{ROLE}:member"),
            format!("group:{OTHER}:member"),
        ];
        let [role, scoped, group, other]: [Entitlement; 4] = ids.map(|id| id.parse().unwrap());
        let catalogue = |offers: &[(Entitlement, &str)]| {
            let all = offers.iter().map(|(entitlement, name)| {
                let entry = offered(&Row::untold(*entitlement), &Naming::default()).unwrap();
                CatalogueEntry { name: (*name).to_owned(), also: None, ..entry }
            });
            Catalogue::of(all.collect())
        };
        let named = [(role, "Billing"), (group, "Billing"), (scoped, "DNS on x"), (other, "Ops Member Role")];
        let both = catalogue(&named);
        for (shown, expected) in [
            ("Billing Member Role", &[role][..]),
            ("billing Member", &[group]),
            ("Billing", &[role, group]),
            ("DNS on x Member Role", &[scoped]),
            ("DNS on x Member", &[]),
            // What is called so itself is meant, whatever kind the end of its name is put behind.
            ("Ops Member Role", &[other]),
            ("Ops Member Role Member", &[other]),
            ("Ops", &[]),
            (" Member", &[]),
        ] {
            assert_eq!(both.called(shown), expected, "{shown}");
        }
        // Once one of them is gone, the name with the other's end behind it is nobody's.
        let role_alone = catalogue(&[(role, "Billing")]);
        assert_eq!((role_alone.called("Billing Member"), role_alone.called("Billing")), (vec![], vec![role]));
        assert_eq!(role_alone.called("Billing Member Role"), [role]);
        let group_alone = catalogue(&[(group, "Billing")]);
        assert_eq!((group_alone.called("Billing Member Role"), group_alone.called("Billing")), (vec![], vec![group]));
        assert_eq!(group_alone.called("Billing Member"), [group]);
    }

    /// The same text stands in a file for a name that would be a formula and for one that has the apostrophe itself.
    #[test]
    fn what_a_csv_file_tells_by_one_text_is_not_guessed() {
        let named = |(n, name): (usize, &str)| {
            let Row::Group(mut group) = Row::untold(format!("group:{:032x}:member", n + 1).parse().unwrap()) else {
                unreachable!("a group")
            };
            name.clone_into(&mut group.name);
            Row::Group(group)
        };
        let rows: Vec<Row> = ["@infra", "@ops", "'@ops", "x", "'x"].into_iter().enumerate().map(named).collect();
        let ids: Vec<Entitlement> = rows.iter().filter_map(|row| Some(row.offered()?.0)).collect();
        let catalogue = Catalogue::of(rows.iter().filter_map(|row| offered(row, &Naming::default())).collect());
        for (shown, expected) in [
            ("'@infra Member", &ids[..1]),
            ("@infra Member", &ids[..1]),
            ("'@ops Member", &ids[1..3]),
            ("x Member", &ids[3..4]),
            ("'x Member", &ids[4..]),
            ("''x Member", &ids[..0]),
        ] {
            assert_eq!(catalogue.called(shown), expected, "{shown}");
        }
    }
}
