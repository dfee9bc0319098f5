//! Invitations: what is granted to them, and C1's accounts that are invitations.

use serde_json::{Value, json};
use sim::cloudflare::{Fault, KnownPermissionGroup, Route};
use sim::conductorone::{Person, Task};

use crate::calls::{NEWCOMER, assert_effect, assert_refused, call, invited};
use crate::jane::{completed, named};
use crate::looks::{assert_is_account, assert_is_problem, atom, holds, roles};

#[tokio::test(start_paused = true)]
async fn an_invitation_is_given_and_loses_roles_and_groups_by_rest() {
    let (deployment, invitation) = invited().await;
    let cloudflare = &deployment.cloudflare;
    let role = roles(cloudflare)[1].clone();
    let domain_role = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let domain = cloudflare.domain_resource_groups()[0].0.clone();
    let group = deployment.json("/v1/groups").await["items"][0]["id"].as_str().unwrap().to_owned();
    let before = cloudflare.member_atoms(&invitation);
    for path in [
        format!("/v1/roles/{}/members", role.governed_as()),
        format!("/v1/scoped-roles/{}-{domain}/members", domain_role.id),
        format!("/v1/groups/{group}/members"),
    ] {
        let path = format!("{path}/invitation:{invitation}");
        for (method, status) in
            [("PUT", "granted"), ("PUT", "already_granted"), ("DELETE", "revoked"), ("DELETE", "already_revoked")]
        {
            let answer = deployment.request(method, &path, &[], None).await;
            assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(status)), "{path} {}", answer.text());
            let grant = answer.json()["grant"].as_str().unwrap().to_owned();
            assert!(grant.ends_with(&format!(":invitation:{invitation}")), "{grant}");
        }
    }
    assert_eq!(cloudflare.member_atoms(&invitation), before);
    assert!(cloudflare.membership(&invitation).unwrap().groups.is_empty());
    assert_is_account(&deployment).await;
}

/// Programs that put the id of a listed item into a path have no type to put before it.
#[tokio::test(start_paused = true)]
async fn an_invitation_is_cancelled_by_its_bare_id_too() {
    let (deployment, invitation) = invited().await;
    let path = format!("/v1/accounts/{invitation}");
    crate::calls::assert_effect(&deployment.request("DELETE", &path, &[], None).await, "removed");
    assert!(deployment.cloudflare.membership(&invitation).is_none());
}

/// Who accepted it is a member, whom nobody asked to remove, whether a sync has seen that or not.
#[tokio::test(start_paused = true)]
async fn an_invitation_that_was_accepted_is_not_cancelled_and_its_person_stays() {
    for renewed in [false, true] {
        let (deployment, invitation) = invited().await;
        let cloudflare = &deployment.cloudflare;
        if renewed {
            let renewed = call(&deployment, "POST", &format!("/v1/invitations/{invitation}/renew"), None).await;
            assert_effect(&renewed, "renewed");
        }
        let member = cloudflare.membership_of(NEWCOMER).unwrap().id;
        let (user, held) = (cloudflare.accept_invitation(&member).unwrap(), cloudflare.member_atoms(&member));
        for synced in [false, true] {
            if synced {
                deployment.sync().await;
            }
            for id in [format!("invitation:{invitation}"), member.clone()] {
                let answer = call(&deployment, "DELETE", &format!("/v1/accounts/{id}"), None).await;
                assert_refused(&answer, 409, "not_pending");
                assert!(answer.text().contains("listed among the users"), "{}", answer.text());
                assert_eq!(cloudflare.member_atoms(&member), held, "{id}, renewed: {renewed}, synced: {synced}");
            }
        }
        // As a user they are removed.
        let user = if renewed { format!("user:{user}") } else { user };
        assert_effect(&call(&deployment, "DELETE", &format!("/v1/accounts/{user}"), None).await, "removed");
        assert!(cloudflare.membership(&member).is_none());
    }
    // The control: an invitation that is one.
    let (deployment, invitation) = invited().await;
    let path = format!("/v1/accounts/invitation:{invitation}");
    assert_effect(&call(&deployment, "DELETE", &path, None).await, "removed");
    assert!(deployment.cloudflare.membership(&invitation).is_none());
}

/// ConductorOne's generic HTTP connector has nothing but the id, and knows it until its next sync.
#[tokio::test(start_paused = true)]
async fn a_revoke_by_the_bare_id_of_an_invitation_that_was_renewed_is_of_the_one_that_is_there_now() {
    for accepted in [false, true] {
        for synced in [false, true] {
            let (deployment, old) = invited().await;
            let cloudflare = &deployment.cloudflare;
            let (first, second) = (roles(cloudflare)[0].clone(), roles(cloudflare)[1].clone());
            let path = |role: &KnownPermissionGroup| format!("/v1/roles/{}/members/{old}", role.governed_as());
            assert_effect(&call(&deployment, "PUT", &path(&second), None).await, "granted");
            let renewed = call(&deployment, "POST", &format!("/v1/invitations/{old}/renew"), None).await;
            assert_effect(&renewed, "renewed");
            let new = cloudflare.membership_of(NEWCOMER).unwrap().id;
            if accepted {
                cloudflare.accept_invitation(&new);
            }
            if synced {
                deployment.sync().await;
            }
            assert_effect(&call(&deployment, "DELETE", &path(&second), None).await, "revoked");
            assert_eq!(cloudflare.member_atoms(&new), [atom(cloudflare, &first)].into());
            assert_effect(&call(&deployment, "DELETE", &format!("/v1/accounts/{old}"), None).await, "removed");
            assert!(cloudflare.membership_of(NEWCOMER).is_none());
            assert_effect(&call(&deployment, "DELETE", &path(&second), None).await, "already_revoked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bare_id_may_be_a_memberships_also_where_there_is_no_snapshot() {
    let deployment = crate::deployment::Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    for accepted in [false, true] {
        let id = cloudflare.invite(NEWCOMER, vec![holds(cloudflare, &roles(cloudflare)[0])]);
        if accepted {
            cloudflare.accept_invitation(&id);
        }
        let path = format!("/v1/accounts/{id}");
        assert_effect(&call(&deployment, "DELETE", &path, None).await, "removed");
        assert!(cloudflare.membership(&id).is_none());
        assert_effect(&call(&deployment, "DELETE", &path, None).await, "already_revoked");
    }
}

/// The group was made since the last sync, or there was none yet.
#[tokio::test(start_paused = true)]
async fn a_bare_id_may_be_a_user_groups_which_keeps_what_it_gives() {
    for is_synced in [false, true] {
        let deployment = crate::deployment::Deployment::start().await;
        if is_synced {
            deployment.sync().await;
        }
        let cloudflare = &deployment.cloudflare;
        let role = roles(cloudflare)[0].clone();
        let group = cloudflare.add_group("Responders", vec![holds(cloudflare, &role)]);
        let of_role = format!("/v1/roles/{}/members/", role.id);
        for path in ["/v1/accounts/", &of_role] {
            let answer = call(&deployment, "DELETE", &format!("{path}{group}"), None).await;
            assert_refused(&answer, 404, "unknown_member");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("is the user group Responders"), "{detail}");
        }
        // The controls: what an id is of is said with it, which costs nothing, and a group that is gone is nobody.
        let asked = cloudflare.requests(Route::GetUserGroup);
        let typed = call(&deployment, "DELETE", &format!("/v1/accounts/user:{group}"), None).await;
        assert_effect(&typed, "already_revoked");
        assert_eq!(cloudflare.requests(Route::GetUserGroup), asked);
        cloudflare.remove_group(&group);
        for path in ["/v1/accounts/", &of_role] {
            assert_effect(&call(&deployment, "DELETE", &format!("{path}{group}"), None).await, "already_revoked");
        }
    }
}

/// Somebody cancelled the invitation by hand, and invited the person anew: what they hold by that is not what was asked about, and not nothing.
#[tokio::test(start_paused = true)]
async fn a_revoke_by_an_id_that_is_nobodys_any_more_is_not_done_while_the_person_is_there_under_another() {
    for synced in [false, true] {
        let (deployment, old) = invited().await;
        let cloudflare = &deployment.cloudflare;
        let role = roles(cloudflare)[0].clone();
        cloudflare.remove_member(&old);
        let new = cloudflare.invite(NEWCOMER, vec![holds(cloudflare, &role)]);
        if synced {
            deployment.sync().await;
        }
        let typed = format!("invitation:{old}");
        let paths = [&old, &typed]
            .map(|id| [format!("/v1/roles/{}/members/{id}", role.governed_as()), format!("/v1/accounts/{id}")]);
        for path in paths.as_flattened() {
            let answer = call(&deployment, "DELETE", path, None).await;
            assert_refused(&answer, 409, "ambiguous_member");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains(&format!("again as invitation:{new}")), "{detail}");
        }
        assert_eq!(cloudflare.member_atoms(&new), [atom(cloudflare, &role)].into());
        let account = format!("/v1/accounts/invitation:{new}");
        assert_effect(&call(&deployment, "DELETE", &account, None).await, "removed");
        // Nobody is there under any id.
        for path in paths.as_flattened() {
            assert_effect(&call(&deployment, "DELETE", path, None).await, "already_revoked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_declined_invitation_is_refused_by_every_way_in_and_shown_by_none() {
    // Also where the list has them only when it is asked for them.
    for is_hidden in [false, true] {
        Box::pin(declined(is_hidden)).await;
    }
}

async fn declined(is_hidden: bool) {
    let (deployment, invitation) = invited().await;
    let cloudflare = deployment.cloudflare.clone();
    cloudflare.configure(|behaviour| behaviour.hides_rejected = is_hidden);
    let role = roles(&cloudflare)[1].clone();
    let group = deployment.json("/v1/groups").await["items"][0]["id"].as_str().unwrap().to_owned();
    cloudflare.set_status(&invitation, "rejected");
    let before = cloudflare.member_atoms(&invitation);
    let account = json!({ "email": NEWCOMER });
    let scim = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": NEWCOMER });
    let add = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "members", "value": [{ "value": format!("invitation-{invitation}") }] }],
    });
    let ways = [
        ("POST", "/v1/accounts".to_owned(), Some(&account)),
        ("PUT", format!("/v1/roles/{}/members/invitation:{invitation}", role.governed_as()), None),
        ("PUT", format!("/v1/groups/{group}/members/invitation:{invitation}"), None),
        ("POST", format!("/v1/invitations/{invitation}/renew"), None),
        ("POST", "/scim/v2/Users".to_owned(), Some(&scim)),
        ("PATCH", format!("/scim/v2/Groups/role-{}", role.governed_as()), Some(&add)),
    ];
    for (method, path, body) in ways {
        let answer = deployment.request(method, &path, &[], body).await;
        assert_eq!(answer.status, 409, "{method} {path}: {}", answer.text());
        assert!(answer.text().contains("declined the invitation"), "{method} {path}: {}", answer.text());
    }
    assert_eq!(cloudflare.member_atoms(&invitation), before);
    deployment.sync().await;
    for list in ["/v1/users", "/v1/invitations", "/v1/grants", "/scim/v2/Users"] {
        assert!(!deployment.json(list).await.to_string().contains(&invitation), "{list}");
    }
    // Nor does a revoke bring them back.
    let path = format!("/v1/roles/{}/members/invitation:{invitation}", role.governed_as());
    let answer = deployment.request("DELETE", &path, &[], None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for list in ["/v1/users", "/v1/invitations", "/v1/grants", "/scim/v2/Users"] {
        assert!(!deployment.json(list).await.to_string().contains(&invitation), "{list}, after a revoke");
    }
    // The declined one goes with the account, and then the person can be invited like anybody.
    let answer = deployment.request("DELETE", &format!("/v1/accounts/invitation:{invitation}"), &[], None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = deployment.request("POST", "/v1/accounts", &[], Some(&account)).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("invited")), "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn c1s_account_may_be_an_invitation() {
    let (deployment, invitation) = invited().await;
    let role = roles(&deployment.cloudflare)[1].clone();
    let person = Person::member(NEWCOMER, "", &invitation);
    completed(&deployment.deliver(&deployment.c1.task(&Task::grant(named(&role), person.clone()))).await);
    assert!(deployment.cloudflare.member_atoms(&invitation).contains(&atom(&deployment.cloudflare, &role)));
    assert_eq!(deployment.cloudflare.total_requests(), 3);
    completed(&deployment.deliver(&deployment.c1.task(&Task::revoke(named(&role), person))).await);
    assert!(!deployment.cloudflare.member_atoms(&invitation).contains(&atom(&deployment.cloudflare, &role)));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_cut_off_after_the_removal_goes_on_by_itself_after_a_restart() {
    let (deployment, old) = invited().await;
    let held = deployment.cloudflare.member_atoms(&old);
    // Who asked is told that it could not be finished yet, and does not come again.
    deployment.cloudflare.fail_next(Route::CreateMember, 1, Fault::status(500, 10_000));
    let answer = deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "renew").as_str()), (503, "not_now"));
    assert!(answer.text().contains("goes on by itself"), "{}", answer.text());
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none());
    deployment.restart();
    let settled = |list: &Value| list["items"][0]["outcome"]["effect"] == "renewed";
    deployment.until("/v1/operations", settled).await;
    let new = deployment.cloudflare.membership_of(NEWCOMER).unwrap();
    assert_eq!(deployment.cloudflare.member_atoms(&new.id), held);
}
