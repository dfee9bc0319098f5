//! `GET /v1/history`, `GET /v1/as-of`, and who did what in `GET /v1/changes`.

use std::time::Duration;

use c1_cloudflare::base::ports::Clock as _;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::jane::Jane;
use crate::looks::{assert_is_problem, holds, roles, small};

async fn items(deployment: &Deployment, path: &str) -> Vec<Value> {
    deployment.json(path).await["items"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn what_was_gained_and_lost_has_its_author_by_the_log_or_its_operation_or_is_unknown() {
    for feed in ["on", "off"] {
        let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", feed)).await;
        let known = roles(&deployment.cloudflare);
        let member =
            deployment.cloudflare.add_member("jane@example.com", vec![holds(&deployment.cloudflare, &known[0])]);
        let user = deployment.cloudflare.membership(&member).unwrap().user_id.unwrap();
        let deployment = deployment.synced().await;
        deployment.wait(Duration::from_mins(1)).await;
        let begin = deployment.world().now().to_string();
        // By somebody in the dashboard, and by an operation of ours.
        deployment.cloudflare.add_policy(&member, holds(&deployment.cloudflare, &known[1]));
        let path = format!("/v1/roles/{}/members/{user}", known[2].governed_as());
        assert_eq!(deployment.request("PUT", &path, &[], None).await.status, 200);
        deployment.wait(Duration::from_mins(2)).await;
        deployment.sync().await;
        deployment.wait(Duration::from_mins(40)).await;

        let history = items(&deployment, "/v1/history?person=jane@example.com").await;
        let of = |role: usize| {
            let id = format!("role:{}:member", known[role].governed_as());
            history.iter().find(|change| change["entitlement"] == id.as_str()).unwrap().clone()
        };
        let (theirs, ours) = (of(1), of(2));
        assert_eq!(
            (&ours["cause"], &ours["by"]["who"], &ours["what"]),
            (&json!("operation"), &json!("this connector"), &json!("gained"))
        );
        assert!(ours["by"]["operation"].is_number() && ours["by"]["through"] == "rest", "{ours}");
        if feed == "on" {
            assert_eq!(
                (&theirs["cause"], &theirs["by"]["who"]),
                (&json!("foreign"), &json!("somebody.else@example.com"))
            );
            assert_eq!(theirs["by"]["through"], "the dashboard");
            assert!(theirs["happened_at"].is_string(), "{theirs}");
        } else {
            assert_eq!((&theirs["cause"], &theirs["by"]["who"]), (&json!("unknown"), &json!("unknown")));
        }
        assert_eq!(theirs["name"], known[1].name.as_str());
        assert_eq!(items(&deployment, &format!("/v1/history?entitlement={}", known[1].governed_as())).await.len(), 1);

        // The same in the changes of the generation.
        let changes = items(&deployment, "/v1/changes").await;
        let told: Vec<&Value> =
            changes.iter().flat_map(|change| change["by"].as_array().into_iter().flatten()).collect();
        assert!(told.iter().any(|one| one["cause"] == theirs["cause"] && one["by"] == theirs["by"]), "{changes:#?}");

        // As of a time: before, and now; of a person, of a role, of all.
        let held = async |narrowed: &str| items(&deployment, &format!("/v1/as-of?{narrowed}")).await;
        let now = "2028-01-01T00:00:00Z";
        assert_eq!(held(&format!("at={begin}&person=jane@example.com")).await.len(), 1);
        let all = held(&format!("at={now}&person=user:{user}")).await;
        assert_eq!(all.len(), 3, "{all:#?}");
        let role = known[1].governed_as();
        assert!(held(&format!("at={begin}&role={role}")).await.iter().all(|one| one["person"] != "jane@example.com"));
        let holders = held(&format!("at={now}&role={role}")).await;
        let hers = holders.iter().find(|one| one["person"] == "jane@example.com").unwrap();
        assert_eq!(hers["gained"]["by"], theirs["by"]);
        // In pages, and as a file.
        let (mut cursor, mut told) = (String::new(), Vec::new());
        loop {
            let page = deployment.json(&format!("/v1/as-of?at={now}&limit=3{cursor}")).await;
            told.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(told.len(), deployment.cloudflare.truth().grants.len());
        let csv = deployment.get(&format!("/v1/as-of?at={now}&format=csv")).await;
        assert!(csv.text().starts_with("person,principal,entitlement,name,seen_at,"), "{}", csv.text());
        assert!(csv.text().contains("this connector"), "{}", csv.text());
        let csv = deployment.get("/v1/history?format=csv&limit=1").await;
        assert!(csv.header("link").unwrap().contains("cursor="), "{csv:?}");

        let before = deployment.get("/v1/as-of?at=2001-01-01").await;
        assert_eq!((before.status, assert_is_problem(&before, "as-of").as_str()), (410, "before_the_ledger"));
        for path in ["/v1/as-of", "/v1/as-of?at=soon", "/v1/history?entitlement=nothing", "/v1/history?format=odd"] {
            assert_eq!(deployment.get(path).await.status, 400, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoke_by_webhook_is_told_with_its_task_and_who_approved_it() {
    let jane = Jane::holding(2).await;
    let entitlement = sim::conductorone::Entitlement::role(jane.has.governed_as(), &jane.has.name);
    let person = sim::conductorone::Person::member(crate::jane::EMAIL, &jane.user, &jane.member);
    let task = jane.deployment.c1.task(&sim::conductorone::Task::revoke(entitlement, person));
    assert_eq!(jane.deployment.deliver(&task, "t").await.status, 200);
    jane.deployment.wait(Duration::from_mins(1)).await;
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    let history = items(&jane.deployment, "/v1/history").await;
    assert_eq!(history.len(), 1, "{history:#?}");
    assert_eq!((&history[0]["what"], &history[0]["cause"]), (&json!("lost"), &json!("operation")));
    assert!(history[0]["by"]["task"].is_string(), "{history:#?}");
}
