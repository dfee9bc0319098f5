//! The role that comes with a new account, and any other role that a setting names: read in this one place, so that an approval
//! judges what provisioning will do.

use std::fmt;

use crate::model::grant::Entitlement;
use crate::model::id::PermissionGroupId;
use crate::model::name;
use crate::snapshot::{Catalogue, CatalogueEntry};

/// The permission group with the least access there is: the first role where no other is configured. Its name is known, *Minimal Account Access*; that
/// this is its label no document says for certain.
pub const MINIMAL_ACCESS: &str = "minimal_account_access";

/// What a setting calls a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configured {
    /// An entitlement's id, or a role's or permission group's bare one. A user group is no access that an invitation can carry.
    Id(Entitlement),
    /// A role by its name, or by Cloudflare's label.
    Name(String),
}

/// The role with the least access there is.
impl Default for Configured {
    fn default() -> Self {
        Self::Name(MINIMAL_ACCESS.to_owned())
    }
}

/// As a setting may have it.
impl fmt::Display for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(entitlement) => entitlement.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Configured {
    /// Reads a setting.
    pub fn read(text: &str) -> Self {
        let entitlement = text.parse().ok().or_else(|| text.parse().ok().map(Entitlement::Role));
        entitlement.map_or_else(|| Self::Name(text.to_owned()), Self::Id)
    }

    /// Whether a role's name or label is the one that is meant; the name also where it has the words of a label.
    pub fn is_called(&self, name: &str, label: Option<&str>) -> bool {
        let Self::Name(text) = self else { return false };
        name::same(name, text) || label == Some(text.as_str()) || name::same(name, &text.replace('_', " "))
    }

    /// The entitlement that is meant, as a generation has it. An id is one whether the generation has it or not.
    pub fn in_catalogue(&self, catalogue: &Catalogue) -> Option<Entitlement> {
        match self {
            Self::Id(Entitlement::Group(_)) => None,
            Self::Id(entitlement) => Some(listed(catalogue, *entitlement).map_or(*entitlement, |it| it.entitlement)),
            Self::Name(_) => {
                let mut found = catalogue.iter().filter(|it| {
                    matches!(it.entitlement, Entitlement::Role(_)) && self.is_called(&it.name, it.label.as_deref())
                });
                found.next().filter(|_| found.next().is_none()).map(|it| it.entitlement)
            }
        }
    }
}

/// An entitlement as a generation has it: a role may also be named by its permission group.
pub fn listed(catalogue: &Catalogue, entitlement: Entitlement) -> Option<&CatalogueEntry> {
    catalogue.get(entitlement).or_else(|| match entitlement {
        Entitlement::Role(id) => {
            let group = PermissionGroupId::from(id);
            catalogue
                .iter()
                .find(|it| matches!(it.entitlement, Entitlement::Role(_)) && it.permission_group == Some(group))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::Configured;
    use crate::model::grant::Entitlement;
    use crate::snapshot::{Catalogue, CatalogueEntry};

    const ROLE: &str = "05784afa30c1afe1440e79d9351c7430";
    const GROUP: &str = "7c5dae5552338874e5053f2534d2767a";

    #[test]
    fn a_role_is_named_by_its_entitlement_its_id_its_permission_group_its_name_or_its_label() {
        let role = Entitlement::Role(ROLE.parse().unwrap());
        let catalogue = Catalogue::of(vec![CatalogueEntry {
            entitlement: role,
            name: "DNS".to_owned(),
            also: None,
            permission_group_name: None,
            label: Some("dns_admin".to_owned()),
            permission_group: Some(GROUP.parse().unwrap()),
            ends: None,
            brings: Vec::new(),
            may_bring_more: false,
        }]);
        let names = [&format!("role:{ROLE}:member"), ROLE, &format!("role:{GROUP}:member"), GROUP, "dns", "dns_admin"];
        for name in names {
            assert_eq!(Configured::read(name).in_catalogue(&catalogue), Some(role), "{name}");
        }
        let scoped = format!("scoped_role:{GROUP}-{ROLE}:member");
        assert_eq!(Configured::read(&scoped).in_catalogue(&catalogue), scoped.parse().ok(), "known by its id alone");
        for none in ["zone", &format!("group:{GROUP}:member")] {
            assert_eq!(Configured::read(none).in_catalogue(&catalogue), None, "{none}");
        }
        assert_eq!(Configured::default().in_catalogue(&catalogue), None, "no minimal access here");
    }

    #[test]
    fn the_role_with_the_least_access_is_known_by_its_name_and_by_its_label() {
        let minimal = Configured::default();
        for (name, label, is_it) in [
            ("Minimal Account Access", Some("account_minimal"), true),
            ("minimal account access", None, true),
            ("Least", Some("minimal_account_access"), true),
            ("Least", Some("account_minimal"), false),
            ("Minimal Account Access Read", None, false),
        ] {
            assert_eq!(minimal.is_called(name, label), is_it, "{name} {label:?}");
        }
        // What is typed as a name is no label for that.
        assert!(!Configured::read("Minimal Account Access").is_called("Least", Some("minimal_account_access")));
    }
}
