//! Automations that ask the connector something.

use serde_json::{Value, json};

use crate::deployment::{Deployment, holds, roles};

async fn ask(deployment: &Deployment, context: Value) -> Value {
    let outcome = deployment.deliver(&deployment.c1.workflow_step(context)).await;
    assert_eq!(outcome.attempts.len(), 1, "{outcome:?}");
    outcome.document().unwrap_or_else(|| panic!("{outcome:?}"))["context"].clone()
}

#[tokio::test]
async fn a_member_is_looked_up_with_everything_they_hold() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let (role, of_group) = (roles(cloudflare).remove(0), roles(cloudflare).remove(1));
    let member = cloudflare.add_member("jane.doe@example.com", vec![holds(cloudflare, &role)]);
    cloudflare.set_two_factor(&member, true);
    let group = cloudflare.add_group("Platform", vec![holds(cloudflare, &of_group)]);
    cloudflare.join_group(&group, &member);
    let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
    let early = ask(&deployment, json!({"verb": "lookup_member", "email": "jane.doe@example.com"})).await;
    assert!(early["error"].as_str().unwrap().contains("start_sync"), "{early}");

    let deployment = deployment.synced().await;
    for (name, text) in [("email", "Jane.Doe@example.com"), ("user_id", &user), ("member_id", &member)] {
        let found = ask(&deployment, json!({"verb": "lookup_member", name: text})).await;
        assert_eq!(
            (&found["found"], &found["status"], &found["two_factor"]),
            (&json!(true), &json!("member"), &json!(true)),
            "{found}"
        );
        assert_eq!(
            found["roles"],
            json!([{"entitlement": format!("role:{}:member", role.governed_as()), "name": role.name}])
        );
        assert_eq!(found["groups"][0]["name"], "Platform");
        assert_eq!(
            (&found["through_groups"][0]["name"], &found["through_groups"][0]["group"]),
            (&json!(of_group.name), &json!("Platform"))
        );
        assert!(found["generation"].is_string() && found["age_minutes"] == 0, "{found}");
    }
    let nobody = ask(&deployment, json!({"verb": "lookup_member", "email": "nobody@example.com"})).await;
    assert_eq!((&nobody["found"], &nobody["status"]), (&json!(false), &json!("none")));
}
