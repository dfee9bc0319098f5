//! What the last sync found that can be granted: to tell the Cloudflare app from others, and an entitlement by its name where C1
//! carries no id of it.

use crate::base::ports::KeyValue;
use crate::conductorone::apps::AppEntitlement;
use crate::model::ask::Meaning;
use crate::model::grant::Entitlement;
use crate::model::id::MemberId;
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::snapshot::{self, Catalogue, SnapshotError};

use super::entitlements::ACCESS;

/// What is known of an app, the stronger the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// It has nothing to do with Cloudflare, as far as can be seen.
    Nothing,
    /// It has an id that one account alone has, and this one has not.
    Another,
    /// It stands for a Cloudflare account, whichever.
    Alike,
    /// It stands for this one.
    Account,
}

/// What the current snapshot offers; read when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Offers(Option<Known>);

/// What a snapshot offers, where there is one.
#[derive(Debug, Default)]
pub(super) struct Known(Option<Catalogue>);

impl Offers {
    /// What is known of the current snapshot.
    pub(super) async fn known<P: KeyValue>(&mut self, ports: &P) -> Result<&Known, SnapshotError> {
        let known = match self.0.take() {
            Some(known) => known,
            None => Known(match snapshot::latest(ports).await? {
                Some(snapshot) => Some(Catalogue::load(ports, &snapshot).await?),
                None => None,
            }),
        };
        Ok(self.0.insert(known))
    }
}

/// What memberships tell of the account that their app stands for, as the last sync found it.
pub(super) async fn of_members<P: KeyValue>(ports: &P, memberships: &[MemberId]) -> Result<Evidence, SnapshotError> {
    let mut evidence = Evidence::Nothing;
    if let Some(snapshot) = snapshot::latest(ports).await?.filter(|_| !memberships.is_empty()) {
        evidence = Evidence::Another;
        let mut see = |row: &Row| {
            if row.as_member().is_some_and(|member| memberships.contains(&member.member_id)) {
                evidence = Evidence::Account;
            }
        };
        snapshot.each(ports, Kind::PEOPLE, |row| see(&row)).await?;
    }
    Ok(evidence)
}

impl Known {
    /// What an entitlement's id tells of the account that its app stands for.
    pub(super) fn evidence(&self, entitlement: &AppEntitlement) -> Evidence {
        let &[own] = entitlement.named.entitlements().as_slice() else { return Evidence::Nothing };
        let Some(catalogue) = &self.0 else { return Evidence::Alike };
        match (own, catalogue.get(own).is_some()) {
            // A group's id is drawn for it, and a scoped role's has that of a resource group in it.
            (Entitlement::Group(_) | Entitlement::ScopedRole(_), true) => Evidence::Account,
            (Entitlement::Group(_) | Entitlement::ScopedRole(_), false) => Evidence::Another,
            (Entitlement::Role(_), true) => Evidence::Alike,
            (Entitlement::Role(_), false) => Evidence::Nothing,
        }
    }

    /// This connector's id of an entitlement, as provisioning finds it (`reference/conductorone.md` 2.5): by the ids that C1 carries, else,
    /// where none is another connector's, by a name that exactly one has. Empty where it is none of ours.
    pub(super) fn own(&self, entitlement: &AppEntitlement) -> String {
        let name = match entitlement.named.meaning() {
            Meaning::Account => return ACCESS.to_owned(),
            Meaning::Entitlement(own) => return own.to_string(),
            Meaning::Several { .. } | Meaning::Nothing => return String::new(),
            Meaning::Called(name) => name,
        };
        let found = self.0.as_ref().and_then(|catalogue| catalogue.alone_called(name).ok());
        found.map(|one| one.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Known};
    use crate::conductorone::apps::{AppEntitlement, Policy};
    use crate::model::ask::EntitlementRef;
    use crate::snapshot::{Catalogue, CatalogueEntry};

    const ROLE: &str = "05784afa30c1afe1440e79d9351c7430";
    const OTHER: &str = "7c5dae5552338874e5053f2534d2767a";

    fn known(offered: &[(&str, &str)]) -> Known {
        let offered = offered.iter().map(|(id, name)| CatalogueEntry {
            entitlement: id.parse().unwrap(),
            name: (*name).to_owned(),
            also: None,
            permission_group_name: None,
            label: None,
            permission_group: None,
            brings: Vec::new(),
            may_bring_more: false,
            ends: None,
        });
        Known(Some(Catalogue::of(offered.collect())))
    }

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
        let role = format!("role:{ROLE}:member");
        let groups = [ROLE, OTHER].map(|id| format!("group:{id}:member"));
        let known = known(&[(&role, "Administrator"), (&groups[0], "Twice"), (&groups[1], "twice")]);
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

    /// The hosted connector's mark of who logs in may be called what a role of Cloudflare's is.
    #[test]
    fn what_has_an_id_of_another_type_is_none_of_ours_whatever_it_is_called() {
        let role = format!("role:{ROLE}:member");
        let role = role.as_str();
        let known = known(&[(role, "Cloudflare Access")]);
        let marks: [(&[&str], &str); 8] = [
            (&["app:cloudflare:access"], ""),
            (&["bid:e:app/cloudflare:access"], ""),
            (&["3f9a", "team:1:member"], ""),
            (&["group:1:member"], ""),
            // The controls: what a CSV file's are known by, no id at all, and one of ours beside another.
            (&["3f9a"], role),
            (&[], role),
            (&["app:cloudflare:access", role], role),
            (&[ROLE], role),
        ];
        for (candidates, expected) in marks {
            for name in ["Cloudflare Access", "Cloudflare Access Member Role"] {
                assert_eq!(known.own(&entitlement(name, candidates, false)), expected, "{name} {candidates:?}");
            }
        }
    }

    #[test]
    fn only_what_this_account_alone_has_tells_whose_app_it_is() {
        let (role, group) = (format!("role:{ROLE}:member"), format!("group:{OTHER}:member"));
        let scoped = format!("scoped_role:{ROLE}-{OTHER}:member");
        let known = known(&[(&role, "x"), (&group, "x"), (&scoped, "x")]);
        let (others_group, others_role) = (format!("group:{ROLE}:member"), format!("role:{OTHER}:member"));
        let others_scoped = format!("scoped_role:{OTHER}-{ROLE}:member");
        for (id, expected) in [
            (&role, Evidence::Alike),
            (&group, Evidence::Account),
            (&scoped, Evidence::Account),
            (&others_group, Evidence::Another),
            (&others_scoped, Evidence::Another),
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
