//! Approval steps, decided by the connector's rules.

use serde_json::json;
use sim::conductorone::{Entitlement, Person, Style, Task};

use crate::approvals::{ApprovalCase, BOSS, EMAIL, comment, rules};

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
