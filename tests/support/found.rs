//! An account as ConductorOne's own connectors find it through the Worker, whether it runs in the real runtime or without one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};

use sim::cloudflare::{Cloudflare, Oddity, On, PolicySpec, Spec, Truth};

use crate::deployment::Deployment;
use crate::looks::{holds, roles};

/// An account with more roles than fit on a small page, and some of everything else. A user group holds a role and a scoped role,
/// and has an invited person in it.
pub(crate) fn account() -> Spec {
    Spec { members: 30, roles: 60, groups: 4, zones: 4, tokens: 3, pending_share: 0.2, ..Spec::default() }
}

pub(crate) async fn deployed() -> Deployment {
    let deployment = Deployment::with(account(), |options| options.var("PROVISIONING", "on")).await;
    let cloudflare = &deployment.cloudflare;
    let role = &roles(cloudflare)[7];
    let domain = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let zone = cloudflare.domain_resource_groups()[0].0.clone();
    let group = cloudflare.add_group("Operators", vec![holds(cloudflare, role), PolicySpec::allow(domain.id, zone)]);
    let jane = cloudflare.invite(JANE, vec![holds(cloudflare, role)]);
    cloudflare.join_group(&group, &jane);
    cloudflare.add_member(JOE, vec![holds(cloudflare, role)]);
    cloudflare.add_member(EVE, vec![holds(cloudflare, &roles(cloudflare)[9])]);
    deployment.synced().await
}

/// Somebody who was invited and has not accepted; a member of the group *Operators*.
pub(crate) const JANE: &str = "jane.doe@example.com";

/// A member with one role.
pub(crate) const JOE: &str = "joe.soap@example.com";

/// A member with another role.
pub(crate) const EVE: &str = "eve@example.com";

/// The id of the user group with a name.
pub(crate) fn group_of(cloudflare: &Cloudflare, name: &str) -> String {
    cloudflare.truth().groups.into_iter().find(|(_, known)| known == name).unwrap().0
}

/// The id that somebody is governed under.
pub(crate) fn id_of(cloudflare: &Cloudflare, email: &str) -> String {
    let member = cloudflare.membership_of(email).unwrap();
    if member.status == "accepted" { member.user_id.unwrap() } else { member.id }
}

/// A scoped role that no user group holds: nobody has it through one.
pub(crate) fn scoped_role_of_no_group(truth: &Truth) -> String {
    let of_group =
        |id: &str| truth.grants.iter().any(|grant| grant.starts_with(&format!("scoped_role:{id}:member:group:")));
    truth.scoped_roles.iter().find(|id| !of_group(id)).unwrap().clone()
}

/// Adds somebody of a status that no document knows, and somebody who has accepted and whose login is not told, and syncs: both are told as
/// invitations. Gives their ids.
pub(crate) async fn with_odd_statuses(deployment: &Deployment) -> [String; 2] {
    let cloudflare = &deployment.cloudflare;
    let add = |email: &str| cloudflare.add_member(email, vec![holds(cloudflare, &roles(cloudflare)[2])]);
    let [odd, came] = [ODD, CAME].map(add);
    cloudflare.set_status(&odd, "suspended");
    cloudflare.make_odd(On::Reads, &came, Oddity::UserText("id", ""));
    resync(deployment).await;
    [odd, came]
}

/// Who they are.
pub(crate) const ODD: &str = "unknown.status@example.com";
pub(crate) const CAME: &str = "no.login.told@example.com";

/// What a connector found, as C1 would keep it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Display names, by resource type and id.
    pub(crate) resources: BTreeMap<String, BTreeMap<String, String>>,
    /// E-mail addresses of users and invitations, by id.
    pub(crate) emails: BTreeMap<String, String>,
    /// Whether they are enabled, and the word for their status, by id.
    pub(crate) statuses: BTreeMap<String, (bool, String)>,
    pub(crate) entitlements: BTreeSet<String>,
    pub(crate) grants: BTreeSet<String>,
}

impl Found {
    pub(crate) fn resource(&mut self, kind: &str, id: &str, name: &str) {
        assert!(!id.is_empty() && !name.is_empty(), "{kind} {id:?} {name:?}");
        let before = self.resources.entry(kind.to_owned()).or_default().insert(id.to_owned(), name.to_owned());
        assert_eq!(before, None, "{kind}:{id} comes twice");
    }

    pub(crate) fn grant(&mut self, id: &str) {
        assert!(self.grants.insert(id.to_owned()), "{id} comes twice");
    }

    pub(crate) fn of(&self, kind: &str) -> BTreeMap<String, String> {
        self.resources.get(kind).cloned().unwrap_or_default()
    }

    pub(crate) fn ids(&self, kind: &str) -> BTreeSet<String> {
        self.of(kind).into_keys().collect()
    }

    /// Checks that this is the account; API tokens only where the connector can tell them.
    pub(crate) fn assert_is(&self, deployment: &Deployment, with_tokens: bool) {
        let truth: Truth = deployment.cloudflare.truth();
        assert_eq!(self.ids("user"), truth.users);
        assert_eq!(self.ids("invitation"), truth.invitations);
        assert_eq!(self.of("role"), truth.roles);
        assert!(self.ids("scoped_role").is_superset(&truth.scoped_roles), "what was held once may still be offered");
        assert_eq!(self.of("group"), truth.groups);
        assert_eq!(self.of("api_token"), if with_tokens { truth.tokens } else { BTreeMap::new() });
        assert_eq!(self.grants, truth.grants);
        let offered = ["role", "scoped_role", "group"]
            .into_iter()
            .flat_map(|kind| self.ids(kind).into_iter().map(move |id| format!("{kind}:{id}:member")));
        assert_eq!(self.entitlements, offered.collect());
        for member in deployment.cloudflare.memberships() {
            let id = id_of(&deployment.cloudflare, &member.email);
            assert_eq!(self.emails.get(&id), Some(&member.email));
            let word = if member.status == "accepted" { "Accepted" } else { "Pending" };
            assert_eq!(self.statuses.get(&id), Some(&(true, word.to_owned())), "{}", member.email);
        }
    }
}

/// Syncs again, whatever was published before.
pub(crate) async fn resync(deployment: &Deployment) {
    let status = deployment.cron_and_wait().await;
    assert_eq!(status["state"], "connected", "{status}");
}
