//! When the account was last looked through: by a sweep that ended well, whatever small publications came since and however many sweeps failed.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::{Value, json};
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Entitlement, Person, Proof, Task};

use crate::approvals::{BOSS, EMAIL, comment};
use crate::deployment::Deployment;
use crate::looks::{assert_is_problem, holds, roles, small};
use crate::signal_case::{SECRET, url};

/// A connector that approves one role from what was found within two hours, to an account that was just looked through.
struct Swept {
    deployment: Deployment,
    task: Task,
    path: String,
}

impl Swept {
    async fn start() -> Self {
        let low = roles(&sim::cloudflare::Cloudflare::new(small())).remove(0);
        let rules = json!({ "low_risk_roles": [low.name], "reassign_to": [BOSS], "max_snapshot_age_hours": 2 });
        let deployment = Deployment::with(small(), |options| {
            let options = options.var("PROVISIONING", "on").var("AUDIT_FEED", "on").var("SIGNALS", "sync_failed");
            let options = options.var("PLAN", "paid").var("APPROVAL_RULES", &rules.to_string());
            options.var("SIGNAL_URL", &url("")).var("SIGNAL_HMAC_SECRET", SECRET)
        })
        .await;
        deployment.c1.listen("listener", Proof::Hmac(SECRET.to_owned()));
        let known = roles(&deployment.cloudflare);
        let member = deployment.cloudflare.add_member(EMAIL, vec![holds(&deployment.cloudflare, &known[2])]);
        let user = deployment.cloudflare.membership(&member).unwrap().user_id.unwrap();
        let task = Task::grant(Entitlement::role(low.governed_as(), &low.name), Person::member(EMAIL, &user, &member));
        let path = format!("/v1/roles/{}/members/{user}", known[3].governed_as());
        Self { deployment: deployment.synced().await, task, path }
    }

    /// An answer to another question about the same.
    async fn decided(&self, n: u32) -> Value {
        let task = self.task.clone().id(&format!("2task{n}")).awaiting_approval();
        let outcome = self.deployment.deliver(&self.deployment.c1.task(&task)).await;
        outcome.document().unwrap_or_else(|| panic!("{outcome:?}")).clone()
    }

    /// Grants or revokes, and waits until that is published by itself.
    async fn publishes(&self, n: usize) {
        let generation = async || self.deployment.json("/v1/status").await["generations"][0]["generation"].clone();
        let before = generation().await;
        let method = if n.is_multiple_of(2) { "PUT" } else { "DELETE" };
        let answer = self.deployment.request(method, &self.path, &[], None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.deployment.wait(Duration::from_mins(2)).await;
        assert_ne!(generation().await, before, "a small publication");
    }

    async fn metric(&self, name: &str) -> i64 {
        let text = self.deployment.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("connector_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {text}")).parse().unwrap()
    }

    async fn summary(&self) -> Value {
        let asked = self.deployment.c1.workflow_step(json!({ "verb": "account_summary" }));
        let outcome = self.deployment.deliver(&asked).await;
        outcome.document().unwrap_or_else(|| panic!("{outcome:?}"))["context"].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn small_publications_make_no_account_young_that_no_sweep_has_looked_through() {
    let case = Swept::start().await;
    comment(&case.decided(0).await, "approve");
    let swept = case.deployment.json("/v1/status").await["runs"][0].clone();
    case.deployment.cloudflare.fail_next(Route::ListMembers, 10_000, Fault::status(500, 10_000));
    for n in 0..12 {
        case.deployment.wait(Duration::from_mins(13)).await;
        assert!(case.deployment.cron().await);
        case.deployment.wait(Duration::from_mins(5)).await;
        let status = case.deployment.json("/v1/status").await;
        assert_eq!((&status["state"], &status["running"]), (&json!("error"), &Value::Null), "{status}");
        case.publishes(n).await;
    }
    // All that a small publication could look like: the newest generation is two minutes old.
    let told = case.decided(1).await;
    assert!(comment(&told, "reassign").contains("hours old"), "{told}");
    let summary = case.summary().await;
    assert_eq!(summary["as_of"], swept["started_at"], "{summary}");
    assert!(summary["age_minutes"].as_i64().is_some_and(|minutes| minutes > 180), "{summary}");
    assert!(case.metric("data_age_seconds").await > 3 * 3_600);
    let runs = case.deployment.json("/v1/status").await["runs"].as_array().unwrap().clone();
    assert!(runs.len() <= 10 && runs.contains(&swept), "{runs:?}");
    // Of the runs the last sweep is what a metric tells of, and C1 hears once a day that it fails.
    let failed = runs.iter().find(|run| run["outcome"] == "failed").unwrap();
    assert_eq!(case.metric("sync_requests").await, failed["requests"].as_i64().unwrap());
    assert_eq!(case.deployment.c1.events().len(), 1, "{:?}", case.deployment.c1.events());

    case.deployment.cloudflare.clear_faults();
    case.deployment.wait(Duration::from_mins(15)).await;
    case.deployment.sync().await;
    comment(&case.decided(2).await, "approve");
    assert!(case.metric("data_age_seconds").await < 60);
    assert!(case.summary().await["age_minutes"].as_i64().is_some_and(|minutes| minutes < 2));
}

#[tokio::test(start_paused = true)]
async fn an_account_in_which_nothing_changes_is_as_young_as_the_last_sweep_that_found_it_so() {
    let case = Swept::start().await;
    let first = case.deployment.json("/v1/status").await["generations"][0]["generation"].clone();
    for _ in 0..14 {
        case.deployment.wait(Duration::from_mins(15)).await;
        let status = case.deployment.sync().await;
        assert_eq!(status["generations"][0]["generation"], first, "nothing changed");
    }
    let told = case.decided(0).await;
    assert!(comment(&told, "approve").contains(" second"), "{told}");
    let summary = case.summary().await;
    assert_eq!((&summary["generation"], &summary["age_minutes"]), (&first, &json!(0)), "{summary}");
    // Who does not look does not approve.
    case.deployment.wait(Duration::from_hours(3)).await;
    let told = case.decided(1).await;
    assert!(comment(&told, "reassign").contains("3 hours old"), "{told}");
}

/// As an earlier version may leave it, which remembered ten runs, whatever they came to.
#[tokio::test(start_paused = true)]
async fn where_no_good_sweep_is_remembered_nothing_is_approved_until_the_next_one() {
    let case = Swept::start().await;
    case.deployment.world().query("UPDATE sync_state SET value = '[]' WHERE name = 'runs'", &[]).unwrap();
    let told = case.decided(0).await;
    assert!(comment(&told, "reassign").contains("not known"), "{told}");
    let summary = case.summary().await;
    assert!(summary["as_of"].is_null() && summary["age_minutes"].is_null(), "{summary}");
    case.deployment.wait(Duration::from_mins(15)).await;
    case.deployment.sync().await;
    comment(&case.decided(1).await, "approve");
}

/// KV takes a minute to show everywhere what was written to it, and nobody is told not to be there by what was before.
#[tokio::test(start_paused = true)]
async fn an_automation_is_answered_from_the_last_generation_whichever_kv_shows() {
    let case = Swept::start().await;
    let (deployment, cloudflare) = (&case.deployment, &case.deployment.cloudflare);
    let older = deployment.lose("current");
    deployment.keep("current", older.clone());
    cloudflare.add_member("new.hire@example.com", vec![holds(cloudflare, &roles(cloudflare)[2])]);
    let last = deployment.sync().await["generations"][0]["generation"].clone();
    let name = format!("manifest/{}", last.as_str().unwrap());
    let step = || deployment.c1.workflow_step(json!({ "verb": "lookup_member", "email": "new.hire@example.com" }));
    for shown in [Some(older), None] {
        deployment.lose("current");
        if let Some(older) = &shown {
            deployment.keep("current", older.clone());
        }
        let outcome = deployment.deliver(&step()).await;
        let told = outcome.document().unwrap_or_else(|| panic!("{outcome:?}"))["context"].clone();
        assert_eq!((&told["found"], &told["generation"]), (&json!(true), &last), "{shown:?}: {told}");
        // Where that one has not come to this place yet, it is asked for again.
        let manifest = deployment.lose(&name);
        let answer = deployment.send(&step()).await;
        assert_eq!((answer.status, assert_is_problem(&answer, "late")), (503, "not_now".to_owned()), "{shown:?}");
        deployment.keep(&name, manifest);
    }
}
