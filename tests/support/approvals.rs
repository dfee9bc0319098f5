//! Approval steps that a connector's rules decide, whether it runs in the real runtime or without one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use sim::cloudflare::KnownPermissionGroup;
use sim::conductorone::{Delivery, Entitlement, Outcome, Person, Task};

use crate::deployment::Deployment;
use crate::looks::{holds, roles, small};

pub(crate) const BOSS: &str = "2fCjgK8tYJxV9u8d1wupBMeXZ45";
pub(crate) const EMAIL: &str = "jane.doe@example.com";

/// A connector with rules, to an account with Jane in it.
pub(crate) struct ApprovalCase {
    pub(crate) deployment: Deployment,
    pub(crate) jane: Person,
    pub(crate) member: String,
    pub(crate) low: KnownPermissionGroup,
    pub(crate) other: KnownPermissionGroup,
    pub(crate) super_admin: KnownPermissionGroup,
}

/// Rules in which one role of the account is of low risk.
pub(crate) fn rules(low: &KnownPermissionGroup) -> Value {
    json!({
        "allowed_domains": ["example.com"],
        "low_risk_roles": [low.name],
        "reassign_to": [BOSS],
        "rules": [{"name": "revokes", "when": {"action": "revoke"}, "then": "approve"}],
    })
}

impl ApprovalCase {
    pub(crate) async fn start(rules: impl FnOnce(&KnownPermissionGroup) -> String) -> Self {
        // The roles' names follow from the account's seed, so they are known before the Worker starts.
        let low = roles(&sim::cloudflare::Cloudflare::new(small())).remove(0);
        let rules = rules(&low);
        let deployment = Deployment::with(small(), |options| options.var("APPROVAL_RULES", &rules)).await;
        let cloudflare = &deployment.cloudflare;
        let known = roles(cloudflare);
        let member = cloudflare.add_member(EMAIL, vec![holds(cloudflare, &known[2])]);
        cloudflare.set_two_factor(&member, true);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        let super_admin = cloudflare.permission_group("super_admin").unwrap();
        let jane = Person::member(EMAIL, &user, &member);
        let deployment = deployment.synced().await;
        deployment.cloudflare.reset_log();
        Self { deployment, jane, member, low, other: known[1].clone(), super_admin }
    }

    pub(crate) fn asks(&self, role: &KnownPermissionGroup) -> Task {
        Task::grant(Entitlement::role(role.governed_as(), &role.name), self.jane.clone()).awaiting_approval()
    }

    pub(crate) async fn decided(&self, task: &Task) -> Value {
        self.answered(&self.deployment.c1.task(task)).await
    }

    /// Delivers; the first answer must be a document that C1 takes.
    pub(crate) async fn answered(&self, delivery: &Delivery) -> Value {
        let outcome: Outcome = self.deployment.deliver(delivery).await;
        assert_eq!(outcome.attempts.len(), 1, "{outcome:?}");
        outcome.document().unwrap_or_else(|| panic!("{outcome:?}")).clone()
    }

    pub(crate) async fn decisions(&self, query: &str) -> Vec<Value> {
        self.deployment.json(&format!("/v1/decisions{query}")).await["items"].as_array().unwrap().clone()
    }
}

pub(crate) fn comment<'a>(document: &'a Value, verdict: &str) -> &'a str {
    document[verdict]["comment"].as_str().unwrap_or_else(|| panic!("not {verdict}: {document}"))
}
