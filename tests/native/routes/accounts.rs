//! Accounts, user groups, and what provisioning must not do.

use sim::cloudflare::KnownPermissionGroup;
use sim::conductorone::{Entitlement, Person, Task};

use crate::calls::{NEWCOMER, assert_effect, assert_refused, call, deployed};
use crate::deployment::Deployment;
use crate::jane::named;
use crate::looks::{assert_is_problem, atom, holds, roles, small};

fn super_administrator(deployment: &Deployment) -> KnownPermissionGroup {
    deployment.cloudflare.permission_group("super_admin").unwrap()
}

/// The accepted members who are Super Administrator of their own.
fn super_administrators(deployment: &Deployment) -> Vec<sim::cloudflare::Membership> {
    let cloudflare = &deployment.cloudflare;
    let wanted = atom(cloudflare, &super_administrator(deployment));
    let all = cloudflare.memberships().into_iter();
    all.filter(|member| member.status == "accepted" && cloudflare.member_atoms(&member.id).contains(&wanted)).collect()
}

#[tokio::test(start_paused = true)]
async fn membership_of_a_user_group_is_granted_and_revoked_by_its_own_calls() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let role = roles(cloudflare)[0].clone();
    let group = cloudflare.add_group("Operators", vec![holds(cloudflare, &role)]);
    let member = cloudflare.add_member("jane.doe@example.com", vec![holds(cloudflare, &roles(cloudflare)[1])]);
    let deployment = deployment.synced().await;
    let cloudflare = &deployment.cloudflare;
    let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
    let path = format!("/v1/groups/{group}/members/{user}");
    let is_in = || cloudflare.membership(&member).unwrap().groups.contains(&group);
    let before = cloudflare.member_atoms(&member);
    assert_effect(&call(&deployment, "PUT", &path, None).await, "granted");
    assert!(is_in());
    assert_effect(&call(&deployment, "PUT", &path, None).await, "already_granted");

    // What the group gives cannot be revoked from the member.
    let through = format!("/v1/roles/{}/members/{user}", role.governed_as());
    let refused = call(&deployment, "DELETE", &through, None).await;
    assert_refused(&refused, 409, "held_through_group");
    assert!(refused.text().contains("Operators"), "{}", refused.text());

    assert_effect(&call(&deployment, "DELETE", &path, None).await, "revoked");
    assert!(!is_in());
    assert_effect(&call(&deployment, "DELETE", &path, None).await, "already_revoked");
    assert_eq!(cloudflare.member_atoms(&member), before, "the member's own policies are as they were");
}

#[tokio::test(start_paused = true)]
async fn enough_super_administrators_are_left() {
    let deployment = deployed(|options| options).await;
    let role = super_administrator(&deployment);
    let admins = super_administrators(&deployment);
    assert!(admins.len() >= 3);
    let mut refused = 0;
    for admin in &admins {
        let user = admin.user_id.clone().unwrap();
        deployment.cloudflare.add_policy(&admin.id, holds(&deployment.cloudflare, &roles(&deployment.cloudflare)[0]));
        let path = format!("/v1/roles/{}/members/{user}", role.governed_as());
        let answer = call(&deployment, "DELETE", &path, None).await;
        if answer.status == 409 {
            assert_is_problem(&answer, "min_super_admins");
            assert_refused(
                &call(&deployment, "DELETE", &format!("/v1/accounts/{user}"), None).await,
                409,
                "min_super_admins",
            );
            refused += 1;
        } else {
            assert_effect(&answer, "revoked");
        }
    }
    assert_eq!(super_administrators(&deployment).len(), 2);
    assert_eq!(refused, 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_protected_is_never_changed_and_the_cap_holds() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let policies = || known.iter().take(4).map(|role| holds(cloudflare, role)).collect();
    let jane = cloudflare.add_member("jane.doe@example.com", policies());
    let boss = cloudflare.add_member("The.Boss@example.com", policies());
    let deployment = deployment.synced().await;
    deployment.set_var("PROTECTED_MEMBERS", "the.boss@example.com");
    deployment.set_var("MAX_REMOVALS_PER_HOUR", "2");
    let user = |member: &str| deployment.cloudflare.membership(member).unwrap().user_id.unwrap();
    let path = |role: &KnownPermissionGroup, member: &str| {
        format!("/v1/roles/{}/members/{}", role.governed_as(), user(member))
    };
    for method in ["PUT", "DELETE"] {
        let role = if method == "PUT" { &known[5] } else { &known[0] };
        assert_refused(&call(&deployment, method, &path(role, &boss), None).await, 409, "protected_member");
    }
    for role in &known[..2] {
        assert_effect(&call(&deployment, "DELETE", &path(role, &jane), None).await, "revoked");
    }
    let over = call(&deployment, "DELETE", &path(&known[2], &jane), None).await;
    assert_refused(&over, 429, "removal_cap");
    assert_eq!(over.header("retry-after"), Some("3600"), "by then there is room");
    assert_effect(&call(&deployment, "PUT", &path(&known[0], &jane), None).await, "granted");
    assert_eq!(deployment.cloudflare.member_atoms(&boss).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_last_role_goes_as_the_configuration_says() {
    for (setting, left) in [("refuse", Some(1)), ("minimal_access", Some(1)), ("remove_member", None)] {
        let deployment = Deployment::with(small(), |options| options.var("LAST_ROLE", setting)).await;
        let cloudflare = &deployment.cloudflare;
        let role = roles(cloudflare)[3].clone();
        let jane = cloudflare.add_member("jane.doe@example.com", vec![holds(cloudflare, &role)]);
        let deployment = deployment.synced().await;
        let cloudflare = &deployment.cloudflare;
        let user = cloudflare.membership(&jane).unwrap().user_id.unwrap();
        let path = format!("/v1/roles/{}/members/{user}", role.governed_as());
        let answer = call(&deployment, "DELETE", &path, None).await;
        let still = cloudflare.member_atoms(&jane).contains(&atom(cloudflare, &role));
        match setting {
            "refuse" => assert_refused(&answer, 409, "last_role"),
            "minimal_access" => assert_effect(&answer, "revoked"),
            _ => assert_effect(&answer, "removed"),
        }
        assert_eq!(still, setting == "refuse", "{setting}");
        assert_eq!(cloudflare.membership(&jane).map(|_| 1), left, "{setting}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_through_a_group_is_not_copied_into_the_members_own_policies() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    cloudflare.configure(|behaviour| behaviour.lists_inherited_policies = true);
    let known = roles(cloudflare);
    let group = cloudflare.add_group("Operators", vec![holds(cloudflare, &known[0])]);
    let jane = cloudflare.add_member("jane.doe@example.com", vec![holds(cloudflare, &known[1])]);
    cloudflare.join_group(&group, &jane);
    let deployment = deployment.synced().await;
    let cloudflare = &deployment.cloudflare;
    let user = cloudflare.membership(&jane).unwrap().user_id.unwrap();
    let path = format!("/v1/roles/{}/members/{user}", known[2].governed_as());
    assert_effect(&call(&deployment, "PUT", &path, None).await, "granted");
    let expected = [atom(cloudflare, &known[1]), atom(cloudflare, &known[2])].into();
    assert_eq!(cloudflare.member_atoms(&jane), expected);
}

#[tokio::test(start_paused = true)]
async fn a_grant_to_somebody_new_invites_with_that_role_and_is_carried_out_once() {
    let deployment = deployed(|options| options).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    let task = deployment.c1.task(&Task::grant(named(&role), Person::newcomer(NEWCOMER)));
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
        let task: Task = task(named(&other), Person::newcomer(NEWCOMER));
        let outcome = deployment.deliver(&deployment.c1.task(&task)).await;
        assert!(outcome.completed().is_some(), "{outcome:?}");
        assert_eq!(deployment.cloudflare.member_atoms(&member.id).len(), count);
    }
}

#[tokio::test(start_paused = true)]
async fn the_access_entitlement_is_the_account_itself() {
    let deployment = deployed(|options| options).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    deployment.set_var("DEFAULT_ROLE", &role.name);
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

#[tokio::test(start_paused = true)]
async fn a_task_of_an_app_that_is_not_listed_is_refused() {
    let deployment = deployed(|options| options.var("ALLOWED_APPS", "another-app")).await;
    let role = roles(&deployment.cloudflare)[0].clone();
    let task = deployment.c1.task(&Task::grant(named(&role), Person::newcomer(NEWCOMER)));
    let outcome = deployment.deliver(&task).await;
    assert!(outcome.errored().is_some_and(|said| said.contains("ALLOWED_APPS")), "{outcome:?}");
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
}

/// Who was found may be known by another id than the one that was sent: no list has a grant to that.
#[tokio::test(start_paused = true)]
async fn the_grant_that_is_answered_is_that_of_the_account_which_was_found() {
    let deployment = Deployment::start().await.synced().await;
    let cloudflare = &deployment.cloudflare;
    let role = roles(cloudflare)[0].governed_as().to_owned();
    let path = |id: &str| format!("/v1/roles/{role}/members/{id}");
    // Invited since the last sync, by the bare id of the membership.
    let new = cloudflare.invite("asked@example.com", vec![holds(cloudflare, &roles(cloudflare)[1])]);
    let answer = call(&deployment, "PUT", &path(&new), None).await;
    assert_eq!(answer.json()["grant"], format!("role:{role}:member:invitation:{new}"), "{}", answer.text());
    // And by the id of the invitation, once it was accepted.
    cloudflare.accept_invitation(&new);
    let user = cloudflare.membership(&new).unwrap().user_id.unwrap();
    let answer = call(&deployment, "PUT", &path(&format!("invitation:{new}")), None).await;
    assert_eq!(answer.json()["grant"], format!("role:{role}:member:user:{user}"), "{}", answer.text());
}
