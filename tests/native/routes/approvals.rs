//! Questions about approvals that come under a key which was used before.

use c1_cloudflare::base::ports::{Sql as _, SqlValue};
use serde_json::{Value, json};
use sim::conductorone::{App, Entitlement, Person, Task};

use crate::jane::{EMAIL, Jane};

const BOSS: &str = "2fCjgK8tYJxV9u8d1wupBMeXZ45";

#[tokio::test(start_paused = true)]
async fn a_key_that_was_decided_for_one_app_and_action_decides_nothing_for_another() {
    let jane = Jane::start().await;
    let rules = json!({
        "allowed_domains": ["example.com"],
        "low_risk_roles": [jane.lacks.name],
        "reassign_to": [BOSS],
        "rules": [{ "name": "revokes", "when": { "action": "revoke" }, "then": "approve" }],
    });
    jane.deployment.set_var("APPROVAL_RULES", &rules.to_string());
    let entitlement = || Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let person = || Person::member(EMAIL, &jane.user, &jane.member);
    let asked = |task: Task| task.id("2task").step_id("2step").awaiting_approval();
    let ask = async |task: Task, token: &str| {
        let answer = jane.deployment.send_as(&jane.deployment.c1.task(&asked(task)), token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let serves = || {
        let told =
            jane.deployment.world().one("SELECT body FROM connect_state WHERE name = 'connection'", &[]).unwrap();
        told.as_ref().and_then(SqlValue::text).is_some_and(|body| body.contains("approvals"))
    };
    assert!(!serves());
    let first = ask(Task::grant(entitlement(), person()), "1").await;
    assert!(serves(), "whoever undoes make connect leaves the webhook in place");
    let approved = |told: &str| told.contains("\"approve\"");
    assert!(approved(&first), "{first}");
    let other = App { id: "2other".to_owned(), ..App::default() };
    let of_another_app = ask(Task::grant(entitlement(), person()).app(other), "2").await;
    assert!(!approved(&of_another_app) && of_another_app.contains("2other"), "{of_another_app}");
    let contrary = ask(Task::revoke(entitlement(), person()), "3").await;
    assert!(!approved(&contrary) && contrary.contains("asked for something else before"), "{contrary}");
    let cloudflare = &jane.deployment.cloudflare;
    let joe = cloudflare.add_member("joe@example.com", vec![crate::looks::holds(cloudflare, &jane.has)]);
    let joe = Person::member("joe@example.com", &cloudflare.membership(&joe).unwrap().user_id.unwrap(), &joe);
    let other = Entitlement::role(jane.has.governed_as(), &jane.has.name);
    for (task, token) in [(Task::grant(entitlement(), joe), "5"), (Task::grant(other, person()), "6")] {
        let told = ask(task, token).await;
        assert!(!approved(&told) && told.contains("asked for something else before"), "{told}");
    }
    // The question that was decided has its answer whenever it comes, also under the token that it came by.
    for token in ["1", "4"] {
        assert_eq!(ask(Task::grant(entitlement(), person()), token).await, first);
    }
    // Another sync may have told C1 more of the same person.
    let known_better = Person { account: None, ..person() };
    assert_eq!(ask(Task::grant(entitlement(), known_better), "7").await, first);
    let kept: Value = jane.deployment.json("/v1/decisions").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept}");
    // Nor is it told to another app whose tasks are taken as well.
    jane.deployment.set_var("ALLOWED_APPS", &format!("{},2other", App::default().id));
    let other = App { id: "2other".to_owned(), ..App::default() };
    let told = ask(Task::grant(entitlement(), person()).app(other), "9").await;
    assert!(!approved(&told) && told.contains("asked for something else before"), "{told}");
    assert_eq!(ask(Task::grant(entitlement(), person()), "10").await, first);
    // What was approved for an app is not told again once its tasks are not taken any more.
    jane.deployment.set_var("ALLOWED_APPS", "2third");
    let told = ask(Task::grant(entitlement(), person()), "8").await;
    assert!(!approved(&told) && told.contains("ALLOWED_APPS does not have it"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn the_doctor_warns_where_changes_are_carried_out_for_any_app() {
    let jane = Jane::start().await;
    let warns = async || {
        let told = jane.deployment.json("/v1/doctor").await;
        told.to_string().contains("no app is pinned")
    };
    assert!(!warns().await, "one is pinned");
    jane.deployment.set_var("ALLOWED_APPS", "");
    assert!(warns().await);
    jane.deployment.set_var("C1_APP_ID", "2app");
    assert!(!warns().await, "by C1_APP_ID as well");
    jane.deployment.set_var("C1_APP_ID", "");
    jane.deployment.set_var("PROVISIONING", "off");
    assert!(!warns().await, "nothing is carried out");
}
