//! Approval steps, decided by the connector's rules.

use serde_json::{Value, json};
use sim::cloudflare::KnownPermissionGroup;
use sim::conductorone::{Delivery, Entitlement, Outcome, Person, Style, Task, parse_response};
use sim::harness::kv::{Fault, Keys, KvCall};

use crate::deployment::{Deployment, holds, roles, small};

const BOSS: &str = "2fCjgK8tYJxV9u8d1wupBMeXZ45";
const EMAIL: &str = "jane.doe@example.com";

/// A connector with rules, to an account with Jane in it.
struct ApprovalCase {
    deployment: Deployment,
    jane: Person,
    member: String,
    low: KnownPermissionGroup,
    other: KnownPermissionGroup,
    super_admin: KnownPermissionGroup,
}

/// Rules in which one role of the account is of low risk.
fn rules(low: &KnownPermissionGroup) -> Value {
    json!({
        "allowed_domains": ["example.com"],
        "low_risk_roles": [low.name],
        "reassign_to": [BOSS],
        "rules": [{"name": "revokes", "when": {"action": "revoke"}, "then": "approve"}],
    })
}

impl ApprovalCase {
    async fn start(rules: impl FnOnce(&KnownPermissionGroup) -> String) -> Self {
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

    fn asks(&self, role: &KnownPermissionGroup) -> Task {
        Task::grant(Entitlement::role(role.governed_as(), &role.name), self.jane.clone()).awaiting_approval()
    }

    async fn decided(&self, task: &Task) -> Value {
        self.answered(&self.deployment.c1.task(task)).await
    }

    /// Delivers; the first answer must be a document that C1 takes.
    async fn answered(&self, delivery: &Delivery) -> Value {
        let outcome: Outcome = self.deployment.deliver(delivery).await;
        assert_eq!(outcome.attempts.len(), 1, "{outcome:?}");
        outcome.document().unwrap_or_else(|| panic!("{outcome:?}")).clone()
    }

    async fn decisions(&self, query: &str) -> Vec<Value> {
        self.deployment.json(&format!("/v1/decisions{query}")).await["items"].as_array().unwrap().clone()
    }
}

fn comment<'a>(document: &'a Value, verdict: &str) -> &'a str {
    document[verdict]["comment"].as_str().unwrap_or_else(|| panic!("not {verdict}: {document}"))
}

#[tokio::test]
async fn approvals_are_decided_from_the_snapshot_and_listed_for_an_audit() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    for style in [Style::Full, Style::Compact] {
        let low = desk.decided(&desk.asks(&desk.low).style(style)).await;
        assert!(comment(&low, "approve").contains("rule \"low-risk\" from the account as it was"), "{low}");
    }
    let other = desk.decided(&desk.asks(&desk.other)).await;
    assert!(comment(&other, "reassign").contains(&desk.other.name), "{other}");
    assert_eq!(other["reassign"]["newStepUserIds"], json!([BOSS]));

    // Jane has two-factor authentication: whether she gets it is for people to say.
    let asked = desk.decided(&desk.asks(&desk.super_admin)).await;
    comment(&asked, "reassign");
    let task = desk.asks(&desk.super_admin);
    let newcomer = Task::grant(
        Entitlement::role(desk.super_admin.governed_as(), &desk.super_admin.name),
        Person::newcomer("new.hire@example.com"),
    );
    let denied = desk.decided(&newcomer.awaiting_approval()).await;
    assert!(comment(&denied, "deny").contains("not in the Cloudflare account yet"), "{denied}");
    desk.deployment.cloudflare.set_two_factor(&desk.member, false);
    comment(&desk.decided(&task).await, "reassign");
    desk.deployment.world.sync().await.unwrap();
    let denied = desk.decided(&desk.asks(&desk.super_admin)).await;
    assert!(comment(&denied, "deny").contains("has no two-factor authentication"), "{denied}");

    let stranger = Task::grant(
        Entitlement::role(desk.low.governed_as(), &desk.low.name),
        Person::newcomer("new.hire@example.org"),
    );
    comment(&desk.decided(&stranger.awaiting_approval()).await, "reassign");
    let revoke = Task::revoke(Entitlement::role(desk.other.governed_as(), &desk.other.name), desk.jane.clone());
    comment(&desk.decided(&revoke.awaiting_approval()).await, "approve");

    let all = desk.decisions("").await;
    assert_eq!(all.len(), 9, "{all:?}");
    let denied = desk.decisions(&format!("?verdict=deny&member={EMAIL}&role={}", desk.super_admin.governed_as())).await;
    let [one] = denied.as_slice() else { panic!("{denied:?}") };
    assert_eq!(one["rule"], "privileged-without-two-factor");
    assert_eq!((&one["action"], &one["email"]), (&json!("grant"), &json!(EMAIL)));
    assert_eq!(one["origin"]["requester"], json!(EMAIL));
    let first = desk.deployment.json("/v1/decisions?limit=4").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(desk.decisions(&format!("?limit=100&cursor={cursor}")).await.len(), 5);
    let log = desk.deployment.worker.logs();
    assert!(log.iter().any(|line| line.contains("approval decided") && line.contains("privileged-without-two-factor")));
    let writes = desk.deployment.cloudflare.exchanges().into_iter().filter(|exchange| exchange.method != "GET").count();
    assert_eq!(writes, 0, "a decision changes nothing in the account");
}

#[tokio::test]
async fn a_question_that_comes_again_gets_the_answer_that_it_got() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    let task = desk.asks(&desk.super_admin);
    let delivery = desk.deployment.c1.task(&task);
    let first = desk.answered(&delivery).await;
    comment(&first, "reassign");
    // Meanwhile the facts are others.
    desk.deployment.cloudflare.set_two_factor(&desk.member, false);
    desk.deployment.world.sync().await.unwrap();
    assert_eq!(desk.deployment.send(&delivery).await.json(), first);
    assert_eq!(desk.answered(&desk.deployment.c1.task(&task)).await, first, "the same step in another delivery");
    desk.deployment.worker.kill().await;
    desk.deployment.worker.restart().await.unwrap();
    assert_eq!(desk.deployment.send(&delivery).await.json(), first);
    assert_eq!(desk.decisions("").await.len(), 1);
    // Twenty at once are one decision too.
    let again = desk.deployment.c1.task(&desk.asks(&desk.other));
    let answers = futures::future::join_all((0..20).map(|_| desk.deployment.send(&again))).await;
    assert!(answers.iter().all(|answer| answer.json() == answers[0].json()));
    assert_eq!(desk.decisions("").await.len(), 2);
}

#[tokio::test]
async fn broken_rules_approve_nothing_and_break_nothing_else() {
    let desk = ApprovalCase::start(|low| format!("{{\"low_risk_roles\": [{:?}], \"rules\": {{}}}}", low.name)).await;
    let denied = desk.decided(&desk.asks(&desk.low)).await;
    assert!(comment(&denied, "deny").contains("APPROVAL_RULES (rules: "), "{denied}");
    assert_eq!(desk.decisions("?rule=broken-rules").await.len(), 1);
    let report = desk.deployment.get("/v1/doctor").await;
    assert_eq!(report.status, 200, "the connector works");
    let report = report.json();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "APPROVAL_RULES").unwrap();
    assert_eq!(check["ok"], false);
    assert!(check["message"].as_str().unwrap().contains("rules: "), "{check}");
    let grant = Task::grant(Entitlement::role(desk.low.governed_as(), &desk.low.name), desk.jane.clone());
    assert!(desk.deployment.deliver(&desk.deployment.c1.task(&grant)).await.completed().is_some());
}

#[tokio::test]
async fn the_doctor_names_roles_that_the_account_does_not_have() {
    let desk = ApprovalCase::start(|low| {
        json!({ "privileged_roles": ["super_admin", "Grand Vizier"], "low_risk_roles": [low.name] }).to_string()
    })
    .await;
    let report = desk.deployment.json("/v1/doctor").await;
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "APPROVAL_RULES").unwrap();
    assert_eq!(check["ok"], false);
    assert!(check["message"].as_str().unwrap().contains("privileged_roles[1]: \"Grand Vizier\""), "{check}");
}

#[tokio::test]
async fn without_rules_or_without_a_sync_everything_is_denied_with_the_reason() {
    let deployment = Deployment::start().await;
    let role = roles(&deployment.cloudflare).remove(0);
    let task = || {
        let entitlement = Entitlement::role(role.governed_as(), &role.name);
        Task::grant(entitlement, Person::newcomer("new.hire@example.com")).awaiting_approval()
    };
    let denied = deployment.deliver(&deployment.c1.task(&task())).await;
    assert!(
        comment(denied.document().unwrap(), "deny").contains("has not read the Cloudflare account yet"),
        "{denied:?}"
    );
    let deployment = deployment.synced().await;
    let denied = deployment.deliver(&deployment.c1.task(&task())).await;
    assert!(comment(denied.document().unwrap(), "deny").contains("Nobody is set who could be asked"), "{denied:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_denies_rather_than_approves() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    desk.deployment.kv.fail(Fault::new(KvCall::Get, Keys::Exactly("current".to_owned())).times(100));
    let answer = desk.decided(&desk.asks(&desk.low)).await;
    assert!(comment(&answer, "reassign").contains("cannot be read right now"), "{answer}");
    desk.deployment.kv.heal();
    comment(&desk.decided(&desk.asks(&desk.low)).await, "approve");
}

#[tokio::test]
async fn whatever_an_approval_looks_like_the_answer_is_a_document_that_c1_takes() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    let ask = || desk.asks(&desk.low);
    for (what, task) in [
        ("closed", ask().set("/taskView/task/state", "TASK_STATE_CLOSED")),
        ("at another step", ask().without("/taskView/task/policy/current/approval")),
        ("a review", ask().without("/taskView/task/type/grant").set("/taskView/task/type/certify", json!({}))),
        ("an action", ask().without("/taskView/task/type/grant").set("/taskView/task/type/action", json!({}))),
        ("no ids", ask().without("/taskView/task/policy/current/id")),
        ("no expansion", ask().set("/expanded", json!([]))),
        ("no subject", ask().without("/taskView/task/type/grant/appUserId").without("/taskView/task/userId")),
    ] {
        let delivery = desk.deployment.c1.task(&task);
        let answer = desk.deployment.send(&delivery).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let document =
            parse_response(&delivery.event, answer.text().as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
        if what != "no ids" && what != "no subject" {
            assert!(document.get("approve").is_none(), "{what}: {document}");
        }
        assert_eq!(desk.deployment.send(&delivery).await.json(), document, "{what}, again");
    }
}
