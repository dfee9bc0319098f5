//! What the last sync found that can be granted: to tell the Cloudflare app from others, and an entitlement by its name where C1
//! carries no id of it.

use crate::base::order;
use crate::base::tree::{BTreeMap, BTreeSet};

use crate::base::ports::KeyValue;
use crate::conductorone::apps::AppEntitlement;
use crate::model::ask::Meaning;
use crate::model::grant::Entitlement;
use crate::model::kind::Kind;
use crate::model::name;
use crate::model::resource::Row;
use crate::snapshot::{self, Snapshot, SnapshotError};

use super::entitlements::ACCESS;

/// What is known of an app, the stronger the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// It has nothing to do with Cloudflare, as far as can be seen.
    Nothing,
    /// It stands for a Cloudflare account, whichever.
    Alike,
    /// It stands for this one.
    Account,
}

/// The entitlements of a snapshot; read when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Catalogue(Option<Known>);

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether there is a snapshot.
    synced: bool,
    ids: BTreeSet<String>,
    names: BTreeMap<String, Vec<Entitlement>>,
}

impl Catalogue {
    /// The entitlements of the current snapshot.
    pub(super) async fn known<P: KeyValue>(&mut self, ports: &P) -> Result<&Known, SnapshotError> {
        let known = match self.0.take() {
            Some(known) => known,
            None => match snapshot::latest(ports).await? {
                Some(snapshot) => Known::read(ports, &snapshot).await?,
                None => Known::default(),
            },
        };
        Ok(self.0.insert(known))
    }
}

impl Known {
    /// The entitlements of a snapshot.
    pub(super) async fn read<P: KeyValue>(ports: &P, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        let mut known = Self { synced: true, ..Self::default() };
        snapshot.each(ports, Kind::OFFERING, |row| known.take(&row)).await?;
        Ok(known)
    }

    fn take(&mut self, row: &Row) {
        let Some((entitlement, _)) = row.offered() else { return };
        row.names().iter().for_each(|name| self.add(entitlement, name));
    }

    pub(super) fn add(&mut self, entitlement: Entitlement, title: &str) {
        self.synced = true;
        self.ids.insert(entitlement.to_string());
        self.names.entry(name::folded(title)).or_default().push(entitlement);
    }

    /// Their ids.
    pub(super) fn ids(&self) -> &BTreeSet<String> {
        &self.ids
    }

    /// What an entitlement's id tells of the account that its app stands for.
    pub(super) fn evidence(&self, entitlement: &AppEntitlement) -> Evidence {
        let &[own] = entitlement.named.entitlements().as_slice() else { return Evidence::Nothing };
        let synced = self.ids.contains(&own.to_string());
        match own {
            // A group's id is drawn for it, and a scoped role's has that of a resource group in it.
            Entitlement::Group(_) | Entitlement::ScopedRole(_) if synced => Evidence::Account,
            Entitlement::Role(_) if synced || !self.synced => Evidence::Alike,
            _ if !self.synced => Evidence::Alike,
            _ => Evidence::Nothing,
        }
    }

    /// This connector's id of an entitlement, as provisioning finds it (`reference/conductorone.md` 2.5): by the ids that C1 carries, else
    /// by a name that exactly one has. Empty where it is none of ours.
    pub(super) fn own(&self, entitlement: &AppEntitlement) -> String {
        let name = match entitlement.named.meaning() {
            Meaning::Account => return ACCESS.to_owned(),
            Meaning::Entitlement(own) => return own.to_string(),
            Meaning::Several { .. } | Meaning::Nothing => return String::new(),
            Meaning::Called(name) => name,
        };
        let called = |name: &str| self.names.get(&name::folded(name));
        let mut found: Vec<&Entitlement> = [name, name::plain(name)].into_iter().filter_map(called).flatten().collect();
        order::sort(&mut found);
        found.dedup();
        match found.as_slice() {
            [one] => one.to_string(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Known};
    use crate::conductorone::apps::{AppEntitlement, Policy};
    use crate::model::ask::EntitlementRef;
    use crate::model::grant::Entitlement;
    use crate::model::resource::Row;

    const ROLE: &str = "05784afa30c1afe1440e79d9351c7430";
    const OTHER: &str = "7c5dae5552338874e5053f2534d2767a";

    fn entitlement(name: &str, candidates: &[&str], builtin: bool) -> AppEntitlement {
        AppEntitlement {
            id: "e".into(),
            named: EntitlementRef {
                id: Some("e".into()),
                display_name: Some(name.into()),
                candidates: candidates.iter().map(|text| (*text).to_owned()).collect(),
                builtin,
            },
            provisioner: Policy::default(),
            deprovisioner: Policy::default(),
        }
    }

    #[test]
    fn an_entitlement_is_known_by_its_id_else_by_a_name_that_one_has() {
        let mut known = Known::default();
        known.add(format!("role:{ROLE}:member").parse().unwrap(), "Administrator");
        for (n, id) in [(1, ROLE), (2, OTHER)] {
            known.add(format!("group:{id}:member").parse().unwrap(), if n == 1 { "Twice" } else { "twice" });
        }
        let role = format!("role:{ROLE}:member");
        let several = [role.clone(), format!("role:{OTHER}:member")];
        let several: Vec<&str> = several.iter().map(String::as_str).collect();
        let group = format!("group:{OTHER}:member");
        for (what, expected) in [
            (entitlement("x", &[&role], false), role.as_str()),
            (entitlement("x", &["", "unrelated", ROLE], false), &role),
            (entitlement("x", &[&group], false), &group),
            (entitlement("Administrator Member Role", &[], false), &role),
            (entitlement("administrator", &["3f9a"], false), &role),
            (entitlement("Twice", &[], false), ""),
            (entitlement("Administrator", &several, false), ""),
            (entitlement("GitHub Admin", &["repo:1:admin"], false), ""),
            (entitlement("Cloudflare Access", &[], true), "access"),
            // Provisioning would not know which of both is meant.
            (entitlement("Cloudflare Access", &[&role], true), ""),
            (entitlement("", &[], false), ""),
        ] {
            assert_eq!(known.own(&what), expected, "{what:?}");
        }
    }

    #[test]
    fn a_scoped_role_is_known_by_what_it_reaches_and_by_its_resource_groups_name() {
        let scoped: Entitlement = format!("scoped_role:{ROLE}-{OTHER}:member").parse().unwrap();
        let Row::ScopedRole(mut role) = Row::untold(scoped) else { unreachable!("a scoped role") };
        "Domain DNS".clone_into(&mut role.permission_group_name);
        "rg-3f2a".clone_into(&mut role.resource_group_name);
        role.scope.0.insert(format!("com.cloudflare.api.account.zone.{OTHER}"), "example.com".to_owned());
        let mut known = Known::default();
        known.take(&Row::ScopedRole(role));
        for name in ["Domain DNS on example.com", "Domain DNS on rg-3f2a Member Role"] {
            assert_eq!(known.own(&entitlement(name, &[], false)), scoped.to_string(), "{name}");
        }
    }

    #[test]
    fn only_what_this_account_alone_has_tells_whose_app_it_is() {
        let (role, group) = (format!("role:{ROLE}:member"), format!("group:{OTHER}:member"));
        let scoped = format!("scoped_role:{ROLE}-{OTHER}:member");
        let mut known = Known::default();
        for id in [&role, &group, &scoped] {
            known.add(id.parse().unwrap(), "x");
        }
        let (others_group, others_role) = (format!("group:{ROLE}:member"), format!("role:{OTHER}:member"));
        for (id, expected) in [
            (&role, Evidence::Alike),
            (&group, Evidence::Account),
            (&scoped, Evidence::Account),
            (&others_group, Evidence::Nothing),
            (&others_role, Evidence::Nothing),
        ] {
            assert_eq!(known.evidence(&entitlement("x", &[id], false)), expected, "{id}");
        }
        // Before the first sync nothing is known to be this account's.
        for id in [&role, &group] {
            assert_eq!(Known::default().evidence(&entitlement("x", &[id], false)), Evidence::Alike);
        }
    }
}
