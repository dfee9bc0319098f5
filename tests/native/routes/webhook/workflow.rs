//! Automations that ask the connector something.

use serde_json::{Value, json};
use sim::cloudflare::{Oddity, PolicySpec, Route, Spec};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane};
use crate::looks::{holds, small};

async fn ask(deployment: &Deployment, context: Value) -> Value {
    let outcome = deployment.deliver(&deployment.c1.workflow_step(context)).await;
    assert_eq!(outcome.attempts.len(), 1, "{outcome:?}");
    outcome.document().unwrap_or_else(|| panic!("{outcome:?}"))["context"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_sync_is_started_and_the_account_summed_up() {
    let deployment = Deployment::start().await;
    let started = ask(&deployment, json!({"verb": "start_sync"})).await;
    assert_eq!(started["started"], true, "{started}");
    let status = deployment.wait_for_sync().await;
    assert_eq!((&status["runs"][0]["run"], &status["runs"][0]["by"]), (&started["run"], &json!("workflow")));
    let summary = ask(&deployment, json!({"verb": "account_summary"})).await;
    let truth = deployment.cloudflare.truth();
    assert_eq!(summary["counts"]["users"], truth.users.len());
    assert_eq!(summary["counts"]["grants"], truth.grants.len());
    assert!(summary["super_administrators"]["count"].is_number(), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_makes_no_sense_is_told_what_would() {
    let deployment = Deployment::start().await;
    for context in
        [json!({}), json!(null), json!("x"), json!({"verb": "destroy"}), json!({"verb": "lookup_member", "email": 5})]
    {
        let answer = ask(&deployment, context.clone()).await;
        let sentence = answer["error"].as_str().unwrap_or_else(|| panic!("{context}: {answer}"));
        for verb in ["lookup_member", "start_sync", "account_summary"] {
            assert!(sentence.contains(verb), "{context}: {sentence}");
        }
    }
    assert_eq!(deployment.cloudflare.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_step_before_changed_is_in_the_answer() {
    let jane = Jane::start().await;
    // A list names it by the role's own id, where there is one.
    let role = jane.lacks.name.clone();
    for (method, is_held) in [("PUT", true), ("DELETE", false)] {
        jane.call(method, &jane.lacks).await;
        let answer = ask(&jane.deployment, json!({"verb": "lookup_member", "email": EMAIL})).await;
        assert_eq!(answer["roles"].to_string().contains(&role), is_held, "{method}: {answer}");
    }
}

/// An automation that takes people's access away must not take what is not said for none.
#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_counted_list_by_list_and_who_is_not_clear_is_not_nobody() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let look = async || ask(&jane.deployment, json!({"verb": "lookup_member", "email": EMAIL})).await;
    let whole = look().await;
    assert_eq!((&whole["found"], &whole["left_out"]), (&json!(true), &json!(0)), "{whole}");
    let scopes: Vec<String> = (0..250).map(|n| cloudflare.add_scope(&format!("s{n}"), &[])).collect();
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let all = PolicySpec { resource_groups: scopes, ..PolicySpec::allow(dns.id, "") };
    for name in ["One", "Two"] {
        let group = cloudflare.add_group(name, vec![all.clone()]);
        cloudflare.join_group(&group, &jane.member);
    }
    jane.deployment.sync().await;
    let told = look().await;
    let through = told["through_groups"].as_array().unwrap().len();
    assert_eq!((through, &told["left_out"]), (200, &json!(300)), "two groups bring 500");
    // Two memberships have one address, each written in its own way.
    for email in ["j\u{f6}rg@example.com", "jo\u{308}rg@example.com"] {
        cloudflare.add_member(email, vec![holds(cloudflare, &jane.has)]);
    }
    jane.deployment.sync().await;
    let told = ask(&jane.deployment, json!({"verb": "lookup_member", "email": "J\u{f6}rg@example.com"})).await;
    assert!(told["error"].as_str().is_some_and(|why| why.ends_with('.')), "{told}");
    assert_eq!((&told["found"], &told["status"]), (&Value::Null, &Value::Null), "{told}");
    let nobody = ask(&jane.deployment, json!({"verb": "lookup_member", "email": "nobody@example.com"})).await;
    assert_eq!((&nobody["found"], &nobody["status"]), (&json!(false), &json!("none")), "the control");
    // One whose record cannot be read may have any address.
    let odd = cloudflare.add_member("zoe@example.com", vec![holds(cloudflare, &jane.has)]);
    for route in [Route::ListMembers, Route::GetMember] {
        cloudflare.make_odd(route, &odd, Oddity::NoEmail);
    }
    jane.deployment.sync().await;
    let told = ask(&jane.deployment, json!({"verb": "lookup_member", "email": "zoe@example.com"})).await;
    assert!(told["error"].as_str().is_some_and(|why| why.starts_with("It is not clear")), "{told}");
    assert_eq!((&told["found"], &told["status"]), (&Value::Null, &Value::Null), "{told}");
}

/// An automation accepts nothing: what disappears in great numbers waits for a person.
#[tokio::test(start_paused = true)]
async fn a_mass_disappearance_is_held_back_from_the_sync_that_an_automation_starts() {
    let deployment = Deployment::with(Spec { members: 40, ..small() }, |options| options).await.synced().await;
    let published = async || deployment.json("/v1/users?limit=1").await["generation"].clone();
    let before = published().await;
    for member in deployment.cloudflare.memberships().iter().skip(10).take(25) {
        deployment.cloudflare.remove_member(&member.id);
    }
    let started = ask(&deployment, json!({"verb": "start_sync"})).await;
    assert_eq!(started["started"], true, "{started}");
    let latest = deployment.wait_for_sync().await["runs"][0].clone();
    assert_eq!((&latest["by"], &latest["outcome"]), (&json!("workflow"), &json!("held")), "{latest}");
    assert_eq!(published().await, before);
}
