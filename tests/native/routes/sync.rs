//! `POST /v1/sync` and `GET /v1/status`: how a run ends, as they tell it.

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Permission, Spec};
use sim::harness::Options;

use crate::deployment::Deployment;
use crate::looks::{assert_is_account, small, snapshot};

/// The generation that is published.
async fn generation(deployment: &Deployment) -> Value {
    deployment.json("/v1/status").await["generations"][0]["generation"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_list_that_the_token_may_not_read_is_a_capability_that_is_off() {
    let deployment = Deployment::start().await;
    deployment.cloudflare.revoke_permission(Permission::Tokens);
    let deployment = deployment.synced().await;
    let status = deployment.json("/v1/status").await;
    let off: Vec<_> = status["capabilities"].as_object().unwrap().iter().filter(|(_, is)| is["on"] == false).collect();
    let [(name, capability)] = off.as_slice() else { panic!("{status}") };
    assert!(name.contains("token"), "{name}");
    assert!(capability["message"].as_str().unwrap().contains("Account API Tokens: Read"), "{capability}");
    let mut truth = deployment.cloudflare.truth();
    truth.tokens.clear();
    assert_eq!(snapshot(&deployment, 1000).await, truth);

    deployment.cloudflare.allow_permission(Permission::Tokens);
    assert_eq!(deployment.run(&Value::Null).await["outcome"], "published");
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}

#[tokio::test(start_paused = true)]
async fn most_people_gone_at_once_is_held_until_somebody_says_that_it_is_right() {
    let deployment = Deployment::with(Spec { members: 40, ..small() }, |options| options).await.synced().await;
    let published = (generation(&deployment).await, snapshot(&deployment, 1000).await);
    for member in deployment.cloudflare.memberships().iter().skip(3).take(25) {
        deployment.cloudflare.remove_member(&member.id);
    }
    let held = deployment.run(&Value::Null).await;
    assert_eq!(held["outcome"], "held", "{held}");
    assert!(held["message"].as_str().unwrap().contains("25 of 40"), "{held}");
    assert_eq!((generation(&deployment).await, snapshot(&deployment, 1000).await), published);
    assert_eq!(deployment.json("/v1/status").await["state"], "error");

    let accepted = deployment.run(&json!({ "accept_removals": true })).await;
    assert_eq!(accepted["outcome"], "published", "{accepted}");
    assert_is_account(&deployment).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_an_error_with_a_sentence_and_the_old_snapshot_stays() {
    let deployment = Deployment::start().await.synced().await;
    let published = (generation(&deployment).await, snapshot(&deployment, 1000).await);
    deployment.cloudflare.set_token_status("disabled");
    let failed = deployment.run(&Value::Null).await;
    assert_eq!(failed["outcome"], "failed", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("CLOUDFLARE_API_TOKEN"), "it says what to do: {failed}");
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["state"], "error");
    assert_eq!((generation(&deployment).await, snapshot(&deployment, 1000).await), published);

    deployment.cloudflare.set_token_status("active");
    deployment.cloudflare.add_member("late.comer@example.com", Vec::new());
    assert_eq!(deployment.run(&Value::Null).await["outcome"], "published", "a person need not wait");
    assert_eq!(snapshot(&deployment, 1000).await, deployment.cloudflare.truth());
}

/// However rare syncs are while the log is heard.
#[tokio::test(start_paused = true)]
async fn after_a_failure_the_cron_trigger_begins_no_sync_for_a_while_and_a_person_begins_one_at_once() {
    let options = |options: Options| options.var("AUDIT_FEED", "on").var("SWEEP_MINUTES", "1440");
    let deployment = Deployment::with(small(), options).await.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    assert!(!deployment.cron().await, "the control");
    let fails = async || {
        deployment.cloudflare.revoke_permission(Permission::Members);
        assert_eq!(deployment.run(&Value::Null).await["outcome"], "failed");
        for _ in 0..2 {
            deployment.wait(Duration::from_mins(4)).await;
            assert!(!deployment.cron().await, "it is too soon");
            let status = deployment.json("/v1/status").await;
            assert_eq!((&status["state"], &status["running"]), (&json!("error"), &Value::Null), "{status}");
        }
        deployment.cloudflare.allow_permission(Permission::Members);
    };
    fails().await;
    let run = deployment.run(&Value::Null).await;
    assert_ne!(run["outcome"], "failed", "{run}");
    fails().await;
    deployment.wait(Duration::from_mins(8)).await;
    assert!(deployment.cron().await, "the pause is over");
    let status = deployment.wait_for_sync().await;
    assert_eq!((&status["state"], &status["runs"][0]["by"]), (&json!("connected"), &json!("cron")), "{status}");
}
