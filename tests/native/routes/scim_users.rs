//! `/scim/v2/Users`: removing within the guards, and errors.

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Entitlement, Person, Task};

use super::scim::assert_error;
use crate::deployment::Deployment;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

#[tokio::test(start_paused = true)]
async fn a_member_is_removed_by_put_and_by_delete_within_the_guards() {
    let deployment = Deployment::start().await;
    let members = ["one@example.com", "two@example.com"].map(|email| {
        let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
        let policy = crate::looks::holds(&deployment.cloudflare, &role);
        let id = deployment.cloudflare.add_member(email, vec![policy]);
        deployment.cloudflare.membership(&id).unwrap()
    });
    deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
    let deployment = deployment.synced().await;
    let path = |user: &Option<String>| format!("/scim/v2/Users/{}", user.as_deref().unwrap());
    let first = path(&members[0].user_id);
    let other = json!({ "userName": "three@example.com", "active": true });
    assert_error(&deployment.request("PUT", &first, &[], Some(&other)).await, 400, Some("mutability"));
    // Whoever is to be removed need not have the right name for it.
    let inactive = json!({ "username": "three@example.com", "ACTIVE": false });
    assert_eq!(deployment.request("PUT", &first, &[], Some(&inactive)).await.status, 200);
    assert!(deployment.cloudflare.membership_of("one@example.com").is_none());
    let capped = deployment.request("DELETE", &path(&members[1].user_id), &[], None).await;
    assert_error(&capped, 429, None);
    assert!(capped.json()["detail"].as_str().unwrap().contains("MAX_REMOVALS_PER_HOUR"));
    assert!(deployment.cloudflare.membership_of("two@example.com").is_some());
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_form_of_scim() {
    let deployment = Deployment::start().await;
    assert_error(&deployment.get("/scim/v2/Users").await, 503, None);
    let deployment = deployment.synced().await;
    assert_error(&deployment.raw("GET", "/scim/v2/Users", &[], None).await, 401, None);
    for (method, path, status, scim_type) in [
        ("GET", "/scim/v2/Devices", 404, None),
        ("GET", "/scim/v2/Users/jane", 404, None),
        ("GET", "/scim", 404, None),
        ("POST", "/scim/v2/Groups", 405, None),
        ("GET", "/scim/v2/Me", 501, None),
        ("POST", "/scim/v2/Bulk", 501, None),
        ("GET", "/scim/v2/Schemas?filter=id%20pr", 403, None),
        ("GET", "/scim/v2/Users?filter=password%20pr", 400, Some("invalidFilter")),
        ("GET", "/scim/v2/Users?count=many", 400, Some("invalidValue")),
    ] {
        assert_error(&deployment.request(method, path, &[], None).await, status, scim_type);
    }
    let long = format!("{}@example.com", "a".repeat(90));
    for body in [
        json!([]),
        json!({ "userName": "jane" }),
        json!({ "userName": "a@example.com", "Active": false }),
        json!({ "userName": "a@example.com", "active": "no" }),
        json!({ "userName": "a@example.com", "active": 0 }),
        // Nobody else is invited in the place of whom it names.
        json!({ "userName": long, "emails": [{ "value": "jane@private.example" }] }),
    ] {
        assert_eq!(deployment.request("POST", "/scim/v2/Users", &[], Some(&body)).await.status, 400);
    }
    let search = json!({ "filter": "active eq true", "count": 2, "attributes": ["userName"] });
    let found = deployment.request("POST", "/scim/v2/Users/.search", &[], Some(&search)).await.json();
    assert_eq!(found["itemsPerPage"], 2);
    assert_eq!(found["Resources"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "schemas", "userName"]);
}

/// A client takes "there is no such User" for a removal that is done.
#[tokio::test(start_paused = true)]
async fn who_is_on_no_list_is_removed_all_the_same_and_only_then_there_is_no_such_user() {
    let deployment = Deployment::start().await.synced().await;
    let account = &deployment.cloudflare;
    let role = crate::looks::roles(account)[0].clone();
    // The names of attributes have no case (RFC 7643 section 2.1).
    let inactive = json!({ "UserName": "late@example.com", "Active": false });
    let groups = json!([{ "value": "role-1", "display": "What they had" }]);
    let whole = json!({ "displayName": "Late Comer", "groups": groups, "roles": groups, "active": false });
    for method in ["DELETE", "PUT", "PATCH", "PATCH of the whole record"] {
        // Came since the last sync; accepted since, so that the invitation's id is on no list any more.
        let late = account.add_member("late@example.com", vec![crate::looks::holds(account, &role)]);
        let invited = account.invite("invited@example.com", vec![crate::looks::holds(account, &role)]);
        account.accept_invitation(&invited);
        let user = account.membership(&late).unwrap().user_id.unwrap();
        for path in [format!("/scim/v2/Users/{user}"), format!("/scim/v2/Users/invitation-{invited}")] {
            let operations = json!([{ "op": "replace", "path": "active", "value": false }]);
            let ask = async || match method {
                "PATCH" => super::scim::patch(&deployment, &path, operations.clone()).await,
                "PATCH of the whole record" => {
                    super::scim::patch(&deployment, &path, json!([{ "op": "replace", "value": whole }])).await
                }
                "PUT" => deployment.request("PUT", &path, &[], Some(&inactive)).await,
                other => deployment.request(other, &path, &[], None).await,
            };
            assert_error(&deployment.get(&path).await, 404, None);
            account.fail_next(sim::cloudflare::Route::GetMember, 20, sim::cloudflare::Fault::status(503, 10_000));
            account.fail_next(sim::cloudflare::Route::ListMembers, 20, sim::cloudflare::Fault::status(503, 10_000));
            assert_error(&ask().await, 503, None);
            account.clear_faults();
            let answer = ask().await;
            assert_eq!(answer.status, 204, "{method} {path}: {}", answer.text());
            assert_error(&ask().await, 404, None);
        }
        assert!(account.membership(&late).is_none() && account.membership(&invited).is_none());
    }
}

/// A client that was given the id of an invitation keeps it, and takes "there is no such User" for a removal that is done.
#[tokio::test(start_paused = true)]
async fn who_has_accepted_is_shown_and_removed_under_the_id_of_their_invitation_too() {
    for method in ["PATCH", "PUT", "DELETE"] {
        let (deployment, invited) = crate::calls::invited().await;
        let account = &deployment.cloudflare;
        let path = format!("/scim/v2/Users/invitation-{invited}");
        let user = account.accept_invitation(&invited).unwrap();
        deployment.sync().await;
        let shown = deployment.json(&path).await;
        assert_eq!((&shown["id"], &shown["userType"]), (&json!(user), &json!("member")));
        let body = |active: bool| json!({ "userName": crate::calls::NEWCOMER, "active": active });
        let answer = deployment.request("PUT", &path, &[], Some(&body(true))).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(user)), "{}", answer.text());
        assert!(account.membership(&invited).is_some());
        let (answer, status) = match method {
            "PATCH" => {
                let inactive = json!([{ "op": "replace", "path": "active", "value": false }]);
                (super::scim::patch(&deployment, &path, inactive).await, 200)
            }
            "PUT" => (deployment.request(method, &path, &[], Some(&body(false))).await, 200),
            other => (deployment.request(other, &path, &[], None).await, 204),
        };
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
        assert!(account.membership(&invited).is_none());
        for gone in [path, format!("/scim/v2/Users/{user}"), format!("/scim/v2/Users/invitation-{}", "f".repeat(32))] {
            assert_error(&deployment.get(&gone).await, 404, None);
        }
    }
}

/// An answer of 200 to what was not read says that somebody is out who is in.
#[tokio::test(start_paused = true)]
async fn a_put_that_deactivates_is_read_wherever_it_says_so_and_one_that_may_is_refused() {
    let qualified = format!("{USER}:active");
    for inactive in [json!({ USER: { "active": "False" } }), json!({ qualified: false })] {
        let deployment = Deployment::start().await;
        let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
        let policy = crate::looks::holds(&deployment.cloudflare, &role);
        let jane = deployment.cloudflare.add_member("jane@example.com", vec![policy]);
        let deployment = deployment.synced().await;
        let account = &deployment.cloudflare;
        let path = format!("/scim/v2/Users/{}", account.membership(&jane).unwrap().user_id.unwrap());
        let put = async |body: Value| deployment.request("PUT", &path, &[], Some(&body)).await;
        for unclear in [json!({ "active": null }), json!({ USER: { "active": null } }), json!({ "active": "no" })] {
            assert_error(&put(unclear).await, 400, Some("invalidValue"));
        }
        for (said, active) in [("nothing", json!({})), ("it", json!({ "active": true }))] {
            let answer = put(json!({ "userName": "jane@example.com", USER: active })).await;
            assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(true)), "{said}: {}", answer.text());
        }
        assert!(account.membership(&jane).is_some());
        let answer = put(inactive.clone()).await;
        assert_eq!((answer.status, &answer.json()["active"]), (200, &json!(false)), "{}", answer.text());
        assert!(account.membership(&jane).is_none());
        // Who is made is active, unless it says otherwise.
        let post = async |body: Value| deployment.request("POST", "/scim/v2/Users", &[], Some(&body)).await;
        let not_active = json!({ "userName": "new.hire@example.com", USER: { "active": false } });
        assert_error(&post(not_active).await, 400, Some("invalidValue"));
        let answer = post(json!({ "userName": "new.hire@example.com", "active": null })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// A refusal after the change would read as if there had been none.
#[tokio::test(start_paused = true)]
async fn what_an_answer_is_to_show_is_read_before_anything_is_changed() {
    let deployment = Deployment::start().await.synced().await;
    let account = &deployment.cloudflare;
    let both = "attributes=userName&excludedAttributes=emails";
    let body = json!({ "userName": "new.hire@example.com" });
    let answer = deployment.request("POST", &format!("/scim/v2/Users?{both}"), &[], Some(&body)).await;
    assert_error(&answer, 400, Some("invalidValue"));
    assert_eq!(account.requests(sim::cloudflare::Route::CreateMember), 0);
    let member = deployment.json("/v1/users?limit=1").await["items"][0].clone();
    let path = format!("/scim/v2/Users/{}?{both}", member["id"].as_str().unwrap());
    let removal = json!([{ "op": "replace", "path": "active", "value": false }]);
    assert_error(&super::scim::patch(&deployment, &path, removal).await, 400, Some("invalidValue"));
    assert_eq!(account.requests(sim::cloudflare::Route::DeleteMember), 0);
}

/// A client sends who is active on every occasion: that asks for nothing, and makes nothing void that was asked for.
#[tokio::test(start_paused = true)]
async fn that_somebody_is_active_is_no_operation() {
    let deployment = Deployment::start().await;
    let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
    let policy = crate::looks::holds(&deployment.cloudflare, &role);
    let jane = deployment.cloudflare.add_member("jane@example.com", vec![policy]);
    let deployment = deployment.synced().await;
    let user = deployment.cloudflare.membership(&jane).unwrap().user_id.unwrap();
    let active = json!({ "userName": "jane@example.com", "active": true });
    assert_eq!(deployment.request("PUT", &format!("/scim/v2/Users/{user}"), &[], Some(&active)).await.status, 200);
    assert!(deployment.json("/v1/operations").await["items"].as_array().unwrap().is_empty());
}

/// A client that has somebody back takes no further look, and they would be gone a little later.
#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_be_active_whose_removal_is_under_way() {
    let deployment = Deployment::start().await;
    let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
    let members = ["one@example.com", "two@example.com", "three@example.com", "four@example.com"].map(|email| {
        let policy = crate::looks::holds(&deployment.cloudflare, &role);
        let id = deployment.cloudflare.add_member(email, vec![policy]);
        deployment.cloudflare.membership(&id).unwrap()
    });
    deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
    let deployment = deployment.synced().await;
    let remove = async |place: usize| {
        let member = &members[place];
        let person = Person::member(&member.email, member.user_id.as_deref().unwrap(), &member.id);
        let removal = deployment.c1.task(&Task::revoke(Entitlement::access(), person));
        deployment.send_as(&removal, &member.id).await.status
    };
    assert_eq!([remove(0).await, remove(1).await], [200, 202], "there is room for one");
    // Of this one it is not known yet who they are.
    deployment.cloudflare.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
    assert_eq!(remove(2).await, 202);
    let activate = async |place: usize, puts: bool| {
        let path = format!("/scim/v2/Users/{}", members[place].user_id.as_deref().unwrap());
        let answer = if puts {
            let active = json!({ "userName": members[place].email, "active": true });
            deployment.request("PUT", &path, &[], Some(&active)).await
        } else {
            let active = json!([{ "op": "replace", "path": "active", "value": true }]);
            super::scim::patch(&deployment, &path, active).await
        };
        if answer.status == 200 {
            assert_eq!(answer.json()["active"], true, "{}", answer.text());
        } else {
            assert_error(&answer, 503, None);
            assert!(answer.header("retry-after").is_some());
        }
        answer.status
    };
    for puts in [true, false] {
        let told = [activate(1, puts).await, activate(2, puts).await, activate(3, puts).await];
        assert_eq!(told, [503, 503, 200], "{puts}");
    }
    // The account was granted since, so that the removal is void.
    let again = deployment.request("POST", "/v1/accounts", &[], Some(&json!({ "email": members[1].email }))).await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(activate(1, true).await, 200);
}

/// A removal that had nothing to do is told as one all the same.
#[tokio::test(start_paused = true)]
async fn who_was_removed_by_another_hand_is_shown_no_more_once_their_removal_is_answered() {
    let deployment = Deployment::start().await;
    let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
    let members = ["one@example.com", "two@example.com", "three@example.com"].map(|email| {
        let policy = crate::looks::holds(&deployment.cloudflare, &role);
        let id = deployment.cloudflare.add_member(email, vec![policy]);
        deployment.cloudflare.membership(&id).unwrap()
    });
    deployment.set_var("AUDIT_FEED", "off");
    let deployment = deployment.synced().await;
    let paths = members.each_ref().map(|one| format!("/scim/v2/Users/{}", one.user_id.as_deref().unwrap()));
    for member in &members[..2] {
        deployment.cloudflare.remove_member(&member.id);
    }
    let shown = async || {
        let mut shown = Vec::new();
        for path in &paths {
            shown.push(deployment.get(path).await.status);
        }
        shown
    };
    assert_eq!(shown().await, [200, 200, 200]);
    let answer = deployment.request("DELETE", &paths[0], &[], None).await;
    assert_eq!((answer.status, shown().await), (204, vec![404, 200, 200]), "{}", answer.text());
    let inactive = json!([{ "op": "replace", "path": "active", "value": false }]);
    let answer = super::scim::patch(&deployment, &paths[1], inactive).await;
    assert_eq!((answer.status, shown().await), (200, vec![404, 404, 200]), "{}", answer.text());
    // The control: somebody who is gone may be known by a membership that is another one's.
    let gone = Person::member("gone@example.com", &"f".repeat(32), &members[2].id);
    let removal = deployment.c1.task(&Task::revoke(Entitlement::access(), gone));
    let told = deployment.deliver(&removal).await;
    assert!(told.completed().is_some(), "{told:?}");
    assert_eq!(shown().await, [404, 404, 200]);
}

/// It is told that nothing was changed, so that what was asked for before goes on.
#[tokio::test(start_paused = true)]
async fn a_user_who_is_not_created_since_they_are_there_is_removed_all_the_same_once_there_is_room() {
    for (path, name, status) in [("/scim/v2/Users", "userName", 409), ("/v1/accounts", "email", 200)] {
        let deployment = Deployment::start().await;
        let role = crate::looks::roles(&deployment.cloudflare)[0].clone();
        let members = ["one@example.com", "two@example.com"].map(|email| {
            let policy = crate::looks::holds(&deployment.cloudflare, &role);
            let id = deployment.cloudflare.add_member(email, vec![policy]);
            deployment.cloudflare.membership(&id).unwrap()
        });
        deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
        let deployment = deployment.synced().await;
        for member in &members {
            let person = Person::member(&member.email, member.user_id.as_deref().unwrap(), &member.id);
            let removal = deployment.c1.task(&Task::revoke(Entitlement::access(), person));
            deployment.send_as(&removal, &member.id).await;
        }
        let are_there = || members.each_ref().map(|member| deployment.cloudflare.membership(&member.id).is_some());
        assert_eq!(are_there(), [false, true], "the second waits");
        let answer = deployment.request("POST", path, &[], Some(&json!({ name: members[1].email }))).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        deployment.wait(Duration::from_hours(2)).await;
        // The control: whom REST says that it has granted the account to keeps it.
        assert_eq!(are_there(), [false, status == 200], "{}", deployment.json("/v1/operations").await);
    }
}
