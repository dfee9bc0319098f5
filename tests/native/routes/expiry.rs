//! Grants for a time: what becomes of them when C1's revoke does not come.

use std::time::Duration;

use serde_json::{Value, json};
use sim::conductorone::{Entitlement, Person, Task};

use crate::jane::{EMAIL, Jane};

async fn deliver(jane: &Jane, task: Task, token: &str) -> Value {
    let task = jane.deployment.c1.task(&task);
    let answer = jane.deployment.deliver(&task, token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn entitlement(jane: &Jane) -> Entitlement {
    Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name)
}

fn person(jane: &Jane) -> Person {
    Person::member(EMAIL, &jane.user, &jane.member)
}

fn holds(jane: &Jane) -> bool {
    jane.deployment.cloudflare.member_atoms(&jane.member).contains(&jane.atom(&jane.lacks))
}

async fn overdue(jane: &Jane) -> usize {
    jane.deployment.json("/v1/status").await["overdue_revokes"].as_array().map_or(0, Vec::len)
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_end_has_passed_is_overdue_is_a_finding_and_is_revoked_where_that_is_wanted() {
    for enforces in ["off", "on"] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", enforces);
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(100)).await;
        assert!(holds(&jane) && overdue(&jane).await == 0, "C1 has an hour for its revoke");
        jane.deployment.wait(Duration::from_mins(25)).await;
        let id = format!("overdue-revoke:user:{}", jane.user);
        if enforces == "off" {
            assert!(holds(&jane) && overdue(&jane).await == 1);
            jane.deployment.sync().await;
            jane.deployment.wait(Duration::from_mins(1)).await;
            assert_eq!(jane.deployment.json(&format!("/v1/findings/{id}")).await["state"], "open");
        } else {
            assert!(!holds(&jane) && overdue(&jane).await == 0);
            let journal = jane.deployment.json("/v1/operations").await;
            let own = &journal["items"][0];
            assert_eq!(
                (&own["request"]["origin"]["by"], &own["request"]["action"]),
                (&json!("expiry"), &json!("revoke"))
            );
            assert_eq!(own["outcome"]["effect"], "revoked");
        }
        // C1's own revoke comes at last.
        let told = deliver(&jane, Task::revoke(entitlement(&jane), person(&jane)), "revoke").await.to_string();
        assert!(told.contains("complete"), "{told}");
        assert!(!holds(&jane) && overdue(&jane).await == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_extension_moves_the_end_and_a_grant_for_good_has_none() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.wait(Duration::from_mins(50)).await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(4 * 3_600), "longer").await;
    jane.deployment.wait(Duration::from_hours(3)).await;
    assert!(holds(&jane), "the end was moved");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)), "for good").await;
    jane.deployment.wait(Duration::from_hours(12)).await;
    assert!(holds(&jane) && overdue(&jane).await == 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_guard_protects_stays_though_its_end_has_passed() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.set_var("PROTECTED_MEMBERS", EMAIL);
    jane.deployment.wait(Duration::from_hours(3)).await;
    assert!(holds(&jane) && overdue(&jane).await == 1);
    assert_eq!(jane.deployment.json("/v1/operations").await["items"][0]["outcome"]["code"], "protected_member");
}
