//! Accounts, user groups, and what provisioning must not do: `/v1/accounts`, `/v1/groups/{id}/members/{user}`, and the same by
//! webhook.

use serde_json::json;
use sim::cloudflare::KnownPermissionGroup;
use sim::conductorone::{Entitlement, Person, Task};

use crate::calls::{NEWCOMER, assert_effect, assert_refused, call, deployed};
use crate::deployment::{atom, roles};

fn entitlement(role: &KnownPermissionGroup) -> Entitlement {
    Entitlement::role(role.governed_as(), &role.name)
}

#[tokio::test]
async fn a_grant_to_somebody_new_invites_with_that_role_and_is_carried_out_once() {
    let deployment = deployed(|options| options).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    let task = deployment.c1.task(&Task::grant(entitlement(&role), Person::newcomer(NEWCOMER)));
    for _ in 0..2 {
        let outcome = deployment.deliver(&task).await;
        assert!(outcome.completed().is_some_and(|said| said.contains("Invited new.hire@example.com")), "{outcome:?}");
    }
    let member = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    assert_eq!(member.status, "pending");
    assert_eq!(deployment.cloudflare.member_atoms(&member.id), [atom(&deployment.cloudflare, &role)].into());

    // A second role goes to the invitation, and comes off it again.
    let other = roles(&deployment.cloudflare)[1].clone();
    for (task, count) in [(Task::grant as fn(_, _) -> _, 2), (Task::revoke, 1)] {
        let task: Task = task(entitlement(&other), Person::newcomer(NEWCOMER));
        let outcome = deployment.deliver(&deployment.c1.task(&task)).await;
        assert!(outcome.completed().is_some(), "{outcome:?}");
        assert_eq!(deployment.cloudflare.member_atoms(&member.id).len(), count);
    }
}

#[tokio::test]
async fn the_access_entitlement_is_the_account_itself() {
    let deployment = deployed(|options| options).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    deployment.worker.set_var("DEFAULT_ROLE", &role.name);
    deployment.worker.restart().await.unwrap();
    let of = |task: fn(Entitlement, Person) -> Task| {
        deployment.c1.task(&task(Entitlement::access(), Person::newcomer(NEWCOMER)))
    };
    let invited = deployment.deliver(&of(Task::grant)).await;
    assert!(invited.completed().is_some_and(|said| said.contains("Invited")), "{invited:?}");
    let member = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    assert_eq!(deployment.cloudflare.member_atoms(&member.id), [atom(&deployment.cloudflare, &role)].into());
    let again = deployment.deliver(&of(Task::grant)).await;
    assert!(again.completed().is_some_and(|said| said.contains("invited already")), "{again:?}");
    let removed = deployment.deliver(&of(Task::revoke)).await;
    assert!(removed.completed().is_some_and(|said| said.contains("Cancelled")), "{removed:?}");
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    let gone = deployment.deliver(&of(Task::revoke)).await;
    assert!(gone.completed().is_some_and(|said| said.contains("not a member")), "{gone:?}");
}

#[tokio::test]
async fn accounts_are_made_and_removed_by_rest() {
    let deployment = deployed(|options| options).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    let entitlement = format!("role:{}:member", role.governed_as());
    let body = json!({ "email": NEWCOMER, "entitlement": entitlement });
    assert_effect(&call(&deployment, "POST", "/v1/accounts", Some(&body)).await, "granted");
    assert_effect(&call(&deployment, "POST", "/v1/accounts", Some(&body)).await, "already_granted");
    let member = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    let path = format!("/v1/accounts/invitation:{}", member.id);
    assert_effect(&call(&deployment, "DELETE", &path, None).await, "removed");
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    assert_effect(&call(&deployment, "DELETE", &path, None).await, "already_revoked");
    for body in [json!({}), json!({ "email": "nobody" }), json!({ "email": "a@b", "roles": [] })] {
        assert_refused(&call(&deployment, "POST", "/v1/accounts", Some(&body)).await, 400, "invalid_request");
    }
}

#[tokio::test]
async fn a_task_of_an_app_that_is_not_listed_is_refused() {
    let deployment = deployed(|options| options.var("ALLOWED_APPS", "another-app")).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    let task = deployment.c1.task(&Task::grant(entitlement(&role), Person::newcomer(NEWCOMER)));
    let outcome = deployment.deliver(&task).await;
    assert!(outcome.errored().is_some_and(|said| said.contains("ALLOWED_APPS")), "{outcome:?}");
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
}
