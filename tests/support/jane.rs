//! Jane, who holds one role and is to have, or to lose, another.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sim::client::Answer;
use sim::cloudflare::{Atom, KnownPermissionGroup};
use sim::conductorone::{Entitlement, Outcome, Person, Task};

use crate::deployment::Deployment;
use crate::looks::{assert_is_problem, atom, holds, roles, small};

/// A connector to an account with Jane in it, who holds one role and is to have, or to lose, another.
pub(crate) struct Jane {
    pub(crate) deployment: Deployment,
    /// Her membership.
    pub(crate) member: String,
    /// Her user id.
    pub(crate) user: String,
    /// What she holds.
    pub(crate) has: KnownPermissionGroup,
    /// What she does not hold.
    pub(crate) lacks: KnownPermissionGroup,
    before: BTreeMap<String, BTreeSet<Atom>>,
}

pub(crate) const EMAIL: &str = "jane.doe@example.com";

impl Jane {
    pub(crate) async fn start() -> Self {
        Self::holding(1).await
    }

    /// Jane with a number of roles.
    pub(crate) async fn holding(count: usize) -> Self {
        Self::with(count, "on").await
    }

    pub(crate) async fn with(count: usize, provisioning: &str) -> Self {
        let deployment = Deployment::with(small(), |options| options.var("PROVISIONING", provisioning)).await;
        let cloudflare = &deployment.cloudflare;
        let roles = roles(cloudflare);
        let policies = roles.iter().take(count).map(|role| holds(cloudflare, role)).collect();
        let member = cloudflare.add_member(EMAIL, policies);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        let (has, lacks) = (roles[0].clone(), roles[count].clone());
        let deployment = deployment.synced().await;
        deployment.cloudflare.reset_log();
        let before = everybody(&deployment);
        Self { deployment, member, user, has, lacks, before }
    }

    pub(crate) async fn call(&self, method: &str, role: &KnownPermissionGroup) -> Answer {
        let path = format!("/v1/roles/{}/members/{}", role.governed_as(), self.user);
        self.deployment.request(method, &path, &[], None).await
    }

    /// Checks that exactly these atoms of Jane's are new and these are gone, and that nobody else's are.
    pub(crate) fn changed(&self, added: &[Atom], removed: &[Atom]) {
        let mut expected = self.before.clone();
        let janes = expected.get_mut(&self.member).unwrap();
        janes.extend(added.iter().cloned());
        janes.retain(|atom| !removed.contains(atom));
        assert_eq!(everybody(&self.deployment), expected);
    }

    pub(crate) fn atom(&self, role: &KnownPermissionGroup) -> Atom {
        atom(&self.deployment.cloudflare, role)
    }

    /// The methods of what Cloudflare was asked.
    pub(crate) fn requests(&self) -> Vec<String> {
        let exchanges = self.deployment.cloudflare.exchanges();
        exchanges.into_iter().map(|exchange| exchange.method).collect()
    }
}

/// Who holds what, of all members.
fn everybody(deployment: &Deployment) -> BTreeMap<String, BTreeSet<Atom>> {
    let members = deployment.cloudflare.memberships().into_iter();
    members.map(|member| (member.id.clone(), deployment.cloudflare.member_atoms(&member.id))).collect()
}

pub(crate) fn assert_done(answer: &Answer, status: &str) {
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(status)), "{}", answer.text());
    assert!(answer.json()["message"].as_str().is_some_and(|message| message.contains(EMAIL)), "{}", answer.text());
}

pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str, sentence: &str) {
    assert_eq!((answer.status, assert_is_problem(answer, code).as_str()), (status, code), "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains(sentence), "{}", answer.text());
}

pub(crate) fn named(role: &KnownPermissionGroup) -> Entitlement {
    Entitlement::role(role.governed_as(), &role.name)
}

impl Jane {
    /// Jane as C1 knows her.
    pub(crate) fn person(&self) -> Person {
        Person::member(EMAIL, &self.user, &self.member)
    }

    pub(crate) fn grant(&self, role: &KnownPermissionGroup) -> Task {
        Task::grant(named(role), self.person())
    }

    pub(crate) fn revoke(&self, role: &KnownPermissionGroup) -> Task {
        Task::revoke(named(role), self.person())
    }

    pub(crate) async fn deliver(&self, task: &Task) -> Outcome {
        self.deployment.deliver(&self.deployment.c1.task(task)).await
    }

    /// Delivers a task that must be refused at once, for good, with a sentence that says this.
    pub(crate) async fn refused(&self, task: &Task, sentence: &str) {
        let outcome = self.deliver(task).await;
        let said = outcome.errored().unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(said.contains(sentence) && said.ends_with('.'), "{said}");
        assert_eq!(outcome.attempts.len(), 1, "C1 must not try again");
        self.changed(&[], &[]);
    }
}

pub(crate) fn completed(outcome: &Outcome) -> String {
    assert_eq!(outcome.attempts.len(), 1, "{outcome:?}");
    outcome.completed().unwrap_or_else(|| panic!("{outcome:?}")).to_owned()
}
