//! Approval steps, decided by the connector's rules.

use c1_cloudflare::base::ports::Sql as _;
use serde_json::json;
use sim::conductorone::{Entitlement, Person, Task, parse_response};

use crate::approvals::{ApprovalCase, BOSS, comment, rules};
use crate::deployment::Deployment;
use crate::looks::{assert_is_problem, roles};

#[tokio::test(start_paused = true)]
async fn a_question_that_comes_again_gets_the_answer_that_it_got() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    let task = desk.asks(&desk.super_admin);
    let delivery = desk.deployment.c1.task(&task);
    let first = desk.answered(&delivery).await;
    comment(&first, "reassign");
    // Meanwhile the facts are others.
    desk.deployment.cloudflare.set_two_factor(&desk.member, false);
    desk.deployment.cron_and_wait().await;
    assert_eq!(desk.deployment.send(&delivery).await.json(), first);
    assert_eq!(desk.answered(&desk.deployment.c1.task(&task)).await, first, "the same step in another delivery");
    desk.deployment.restart();
    assert_eq!(desk.deployment.send(&delivery).await.json(), first);
    assert_eq!(desk.decisions("").await.len(), 1);
    // Twenty at once are one decision too.
    let again = desk.deployment.c1.task(&desk.asks(&desk.other));
    let answers = futures::future::join_all((0..20).map(|_| desk.deployment.send(&again))).await;
    assert!(answers.iter().all(|answer| answer.json() == answers[0].json()));
    assert_eq!(desk.decisions("").await.len(), 2);
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_denies_rather_than_approves() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    desk.deployment.world().desk.fail_reads("current", 100);
    let answer = desk.decided(&desk.asks(&desk.low)).await;
    assert!(comment(&answer, "reassign").contains("cannot be read right now"), "{answer}");
    desk.deployment.world().desk.fail_reads("current", 0);
    comment(&desk.decided(&desk.asks(&desk.low)).await, "approve");
}

/// In a review a denial takes the access away, and an approval keeps it, whatever it is said to have ended in.
#[tokio::test(start_paused = true)]
async fn a_review_is_never_denied_or_approved_and_ends_where_nobody_can_be_asked() {
    for (what, text, is_reassigned) in [
        ("somebody can be asked", None, true),
        ("nobody is set", Some("{}"), false),
        ("it is their own", None, false),
        ("the rules cannot be read", Some("{"), false),
    ] {
        let desk = ApprovalCase::start(|low| text.map_or_else(|| rules(low).to_string(), str::to_owned)).await;
        let requester = if what == "it is their own" { BOSS } else { "2requester" };
        let asks = |role| desk.asks(role).set("/taskView/task/createdByUserId", requester);
        // Where something else is set beside it, it is a review all the same.
        let kinds = [(None, false), (Some("CERTIFY_OUTCOME_DECERTIFIED"), false), (None, true)];
        for (before, (outcome, revokes_too)) in kinds.into_iter().enumerate() {
            let mut review = desk.deployment.c1.task(&asks(&desk.low));
            let kinds = &mut review.payload["taskView"]["task"]["type"];
            let mut kept = kinds["grant"].take();
            kept["outcome"] = json!(outcome);
            *kinds = if revokes_too { json!({ "certify": kept, "revoke": kept }) } else { json!({ "certify": kept }) };
            if is_reassigned {
                comment(&desk.answered(&review).await, "reassign");
                // An earlier version denied it, and a decision stays what it is; of what is two kinds at once no app is told, and it is asked anew.
                let denied = "UPDATE decision SET record = json_set(record, '$.verdict', 'deny')";
                desk.deployment.world().query(denied, &[]).unwrap();
                let expected = if revokes_too { 200 } else { 410 };
                assert_eq!(desk.deployment.send(&review).await.status, expected, "{what}");
                continue;
            }
            let ended = desk.deployment.deliver(&review).await;
            assert_eq!((ended.status(), ended.attempts.len()), (Some(410), 1), "{what}: {ended:?}");
            let answer = desk.deployment.send(&review).await;
            assert_eq!(assert_is_problem(&answer, what), "not_decided", "{what}: {}", answer.text());
            assert!(answer.text().contains("APPROVAL_RULES cannot be read, or"), "{what}: {}", answer.text());
            assert_eq!(desk.decisions("").await.len(), before, "{what}: nothing was decided");
            // The control: whoever asks for something is told that they do not get it.
            comment(&desk.decided(&asks(&desk.other)).await, "deny");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_an_approval_looks_like_the_answer_is_a_document_that_c1_takes() {
    let desk = ApprovalCase::start(|low| rules(low).to_string()).await;
    let ask = || desk.asks(&desk.low);
    for (what, task) in [
        ("closed", ask().set("/taskView/task/state", "TASK_STATE_CLOSED")),
        ("at another step", ask().without("/taskView/task/policy/current/approval")),
        ("of no kind", ask().without("/taskView/task/type/grant").set("/taskView/task/type/certify", json!({}))),
        ("a review", {
            let review = json!({ "accessReviewId": "2review" });
            ask().without("/taskView/task/type/grant").set("/taskView/task/type/certify", review)
        }),
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
        assert!(what != "a review" || document.get("reassign").is_some(), "{what}: {document}");
        assert_eq!(desk.deployment.send(&delivery).await.json(), document, "{what}, again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_a_moment_ago_is_known_to_the_rules() {
    let (dns, billing) = {
        let known = roles(&sim::cloudflare::Cloudflare::new(crate::looks::small()));
        (known[4].clone(), known[5].clone())
    };
    let apart =
        json!({ "name": "duties-apart", "when": { "roles": [billing.name], "holds": [dns.name] }, "then": "deny" });
    let rules = json!({ "low_risk_roles": [billing.name], "rules": [apart] });
    let desk = ApprovalCase::start(|_| rules.to_string()).await;
    comment(&desk.decided(&desk.asks(&billing).id("2task1")).await, "approve");
    desk.deployment.set_var("PROVISIONING", "on");
    let grant = Task::grant(Entitlement::role(dns.governed_as(), &dns.name), desk.jane.clone());
    assert!(desk.deployment.deliver(&desk.deployment.c1.task(&grant)).await.completed().is_some());
    let told = desk.decided(&desk.asks(&billing).id("2task2")).await;
    assert!(comment(&told, "deny").contains("duties-apart"), "{told}");
    // And to what is told of it: what the change would come to, and how old this is.
    assert!(comment(&told, "deny").contains("), with what is known to have changed since."), "{told}");
    let told = desk.decided(&desk.asks(&dns).id("2task3")).await;
    assert!(comment(&told, "deny").contains(&format!("has {} already.", dns.name)), "{told}");
}
