//! `/scim/v2/Groups`: what is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Cloudflare, Fault, KnownPermissionGroup, Membership, Route, Spec};
use sim::conductorone::{Person, Task, Verdict};

use super::scim::{GROUP, assert_error, members, patch};
use crate::jane::{Jane, named};

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_what_was_done_before_it() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
    let nobody = "f".repeat(32);
    let value = json!([{ "value": jane.user }, { "value": nobody }]);
    let answer = patch(deployment, &path, json!([{ "op": "add", "path": "members", "value": value }])).await;
    assert_error(&answer, 400, Some("invalidValue"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("Done besides that: Granted"), "{}", answer.text());
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    // Her last role is kept by the guard.
    let path = format!("/scim/v2/Groups/role-{}", jane.has.governed_as());
    patch(
        deployment,
        &format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as()),
        json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", jane.user) }]),
    )
    .await;
    let answer =
        patch(deployment, &path, json!([{ "op": "remove", "path": "members", "value": [{ "value": jane.user }] }]))
            .await;
    assert_error(&answer, 409, None);
    jane.changed(&[], &[]);
}

/// Four people who hold two roles, in the order of their ids, and the one of both that nobody else holds; as many may be taken out at once.
fn holding(deployment: &crate::deployment::Deployment) -> (KnownPermissionGroup, [Membership; 4]) {
    let account = &deployment.cloudflare;
    let role = held_by_nobody(account);
    let other = crate::looks::roles(account).into_iter().find(|other| other.id != role.id).unwrap();
    let mut people = ["ann", "bob", "carol", "dora"].map(|name| {
        let held = [&role, &other].map(|role| crate::looks::holds(account, role)).into();
        let member = account.add_member(&format!("{name}@example.com"), held);
        account.membership(&member).unwrap()
    });
    people.sort_by(|one, other| one.user_id.cmp(&other.user_id));
    deployment.set_var("SCIM_REPLACE_MAX_REMOVALS", "4");
    (role, people)
}

fn listed(people: &[Membership]) -> Vec<Value> {
    people.iter().map(|one| json!({ "value": one.user_id })).collect()
}

/// Which of them hold a role.
fn having<const N: usize>(account: &Cloudflare, role: &KnownPermissionGroup, people: &[Membership; N]) -> [bool; N] {
    let role = crate::looks::atom(account, role);
    people.each_ref().map(|one| account.member_atoms(&one.id).contains(&role))
}

/// They would be behind the same one at each try.
#[tokio::test(start_paused = true)]
async fn who_cannot_be_taken_out_of_a_group_keeps_nobody_else_in_it() {
    for is_put in [true, false] {
        let deployment = crate::deployment::Deployment::start().await;
        let (role, people) = holding(&deployment);
        deployment.set_var("PROTECTED_MEMBERS", &format!("{},{}", people[0].email, people[2].email));
        let deployment = deployment.synced().await;
        let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
        let answer = if is_put {
            deployment.request("PUT", &path, &[], Some(&json!({ "members": listed(&people[3..]) }))).await
        } else {
            let remove = json!([{ "op": "remove", "path": "members", "value": listed(&people[..3]) }]);
            patch(&deployment, &path, remove).await
        };
        assert_error(&answer, 409, None);
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(having(&deployment.cloudflare, &role, &people), [true, false, true, true], "{told}");
        let (refused, done) = told.split_once(" Done besides that: ").unwrap();
        assert!(refused.contains(&people[0].email) && refused.contains(&people[2].email), "{told}");
        assert!(done.contains(&people[1].email) && !done.contains("Not tried"), "{told}");
        let last = json!([{ "op": "remove", "path": "members", "value": listed(&people[3..]) }]);
        assert_eq!(patch(&deployment, &path, last).await.status, 200);
        assert_eq!(having(&deployment.cloudflare, &role, &people), [true, false, true, false]);
    }
}

/// What stands in the way of one now stands in the way of all, and whoever asks is to ask again.
#[tokio::test(start_paused = true)]
async fn what_another_try_may_help_leaves_those_behind_it_untried() {
    for is_first in [true, false] {
        let deployment = crate::deployment::Deployment::start().await;
        let (role, people) = holding(&deployment);
        if !is_first {
            deployment.set_var("PROTECTED_MEMBERS", &people[0].email);
        }
        let deployment = deployment.synced().await;
        let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
        let busy = Fault::TooManyRequests { retry_after: None, headers: false };
        deployment.cloudflare.fail_next(Route::UpdateMember, 1, busy);
        let remove = json!([{ "op": "remove", "path": "members", "value": listed(&people[..3]) }]);
        let answer = patch(&deployment, &path, remove).await;
        assert_error(&answer, 503, None);
        assert!(answer.header("retry-after").is_some());
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(told.contains("PROTECTED_MEMBERS"), !is_first, "{told}");
        let untried = if is_first { &people[1..3] } else { &people[2..3] };
        let untried: Vec<_> = untried.iter().map(|one| format!("remove {}", one.user_id.as_deref().unwrap())).collect();
        assert!(told.ends_with(&format!(" Not tried after that: {}.", untried.join(", "))), "{told}");
        assert_eq!(having(&deployment.cloudflare, &role, &people), [true; 4], "{told}");
    }
}

/// Takes the role from somebody who holds two, and invites another with both; gives their membership.
fn invited_in_place_of(account: &Cloudflare, role: &KnownPermissionGroup, somebody: &Membership) -> String {
    let other = crate::looks::roles(account).into_iter().find(|other| other.id != role.id).unwrap();
    account.set_policies(&somebody.id, vec![crate::looks::holds(account, &other)]);
    account.invite(crate::calls::NEWCOMER, [role, &other].map(|role| crate::looks::holds(account, role)).into())
}

/// An id of somebody who is gone stays on a client's list until somebody looks; one of an invitation may be of whoever accepted the one that was made in
/// its place.
#[tokio::test(start_paused = true)]
async fn an_id_that_nobody_has_keeps_nobody_in_a_group_who_is_known_not_to_be_meant_by_it() {
    let deployment = crate::deployment::Deployment::start().await;
    let (role, people) = holding(&deployment);
    let account = &deployment.cloudflare;
    let invited = invited_in_place_of(account, &role, &people[2]);
    let deployment = deployment.synced().await;
    let account = &deployment.cloudflare;
    let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
    let put = async |unknown: Option<&str>| {
        let list = [people[0].user_id.as_deref(), unknown, people[2].user_id.as_deref()];
        let members: Vec<_> = list.into_iter().flatten().map(|id| json!({ "value": id })).collect();
        deployment.request("PUT", &path, &[], Some(&json!({ "members": members }))).await
    };
    let atom = crate::looks::atom(account, &role);
    let holds = || (having(account, &role, &people), account.member_atoms(&invited).contains(&atom));
    let answer = put(Some(&format!("invitation-{}", "f".repeat(32)))).await;
    assert_error(&answer, 400, Some("invalidValue"));
    assert_eq!(holds(), ([true, true, false, true], true), "{}", answer.text());
    let answer = put(Some(&"f".repeat(32))).await;
    assert_error(&answer, 400, Some("invalidValue"));
    assert_eq!(holds(), ([true, false, true, false], true), "{}", answer.text());
    let told = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(told.ends_with(&format!(" Not tried after that: remove invitation-{invited}.")), "{told}");
    let answer = put(None).await;
    assert_eq!((answer.status, holds()), (200, ([true, false, true, false], false)), "{}", answer.text());
}

/// Role ids are the same in every account, so that a client that is set up for another one finds its Groups here too.
#[tokio::test(start_paused = true)]
async fn a_list_of_which_nobody_is_known_takes_nobody_out_of_a_group() {
    let deployment = crate::deployment::Deployment::start().await;
    let (role, people) = holding(&deployment);
    let account = &deployment.cloudflare;
    let other = crate::looks::roles(account).into_iter().find(|other| other.id != role.id).unwrap();
    for one in &people[1..] {
        account.set_policies(&one.id, vec![crate::looks::holds(account, &other)]);
    }
    let deployment = deployment.synced().await;
    let account = &deployment.cloudflare;
    let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
    let [first, second, third, _] = people.each_ref().map(|one| one.user_id.clone().unwrap());
    let nobody = ["f", "e"].map(|letter| letter.repeat(32));
    let put = async |list: &[&String]| {
        let members: Vec<_> = list.iter().map(|id| json!({ "value": id })).collect();
        let answer = deployment.request("PUT", &path, &[], Some(&json!({ "members": members }))).await;
        assert_error(&answer, 400, Some("invalidValue"));
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let has = || having(account, &role, &people);
    for list in [&[&nobody[0], &nobody[1]], &[&nobody[0], &nobody[0]]] {
        let told = put(list).await;
        assert_eq!(has(), [true, false, false, false], "{told}");
        assert!(told.ends_with(&format!(" Not tried after that: remove {first}.")), "{told}");
    }
    // Whoever is put in is known here.
    let told = put(&[&nobody[0], &second]).await;
    assert_eq!(has(), [false, true, false, false], "{told}");
    // And whoever is in it already.
    let add = |id: &str| json!({ "op": "add", "path": "members", "value": [{ "value": id }] });
    assert_eq!(patch(&deployment, &path, json!([add(&third)])).await.status, 200);
    assert_eq!(has(), [false, true, true, false]);
    let told = put(&[&nobody[0], &second]).await;
    assert_eq!(has(), [false, true, false, false], "{told}");
    // Whom it takes out by name is on no list.
    let remove = json!({ "op": "remove", "path": "members", "value": [{ "value": second }] });
    let answer = patch(&deployment, &path, json!([add(&nobody[0]), remove])).await;
    assert_error(&answer, 400, Some("invalidValue"));
    assert_eq!(has(), [false; 4], "{}", answer.text());
}

/// Nor does it end a grant that waits.
#[tokio::test(start_paused = true)]
async fn a_list_of_which_nobody_is_known_ends_no_grant_that_is_under_way() {
    for has_somebody in [false, true] {
        let jane = Jane::start().await;
        let account = &jane.deployment.cloudflare;
        let other = account.add_member("joe@example.com", vec![crate::looks::holds(account, &jane.has)]);
        let other = account.membership(&other).unwrap().user_id.unwrap();
        account.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
        let grant = jane.deployment.c1.task(&jane.grant(&jane.lacks));
        assert_eq!(jane.deployment.deliver(&grant).await.verdict, Verdict::Accepted);
        let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
        let mut list = vec![json!({ "value": "f".repeat(32) })];
        list.extend(has_somebody.then(|| json!({ "value": other })));
        let answer = jane.deployment.request("PUT", &path, &[], Some(&json!({ "members": list }))).await;
        assert_error(&answer, 400, Some("invalidValue"));
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        let untried = format!(" Not tried after that: remove {}.", crate::jane::EMAIL);
        assert_eq!(told.ends_with(&untried), !has_somebody, "{told}");
        jane.deployment.callback(&grant).await;
        // Beside somebody who is known it is about this account.
        assert_eq!(account.member_atoms(&jane.member).contains(&jane.atom(&jane.lacks)), !has_somebody, "{told}");
    }
}

/// Whoever sends both wants the one in the other's place, and not both in it.
#[tokio::test(start_paused = true)]
async fn nobody_is_put_into_a_group_behind_one_who_could_not_be_taken_out_of_it() {
    for is_known in [false, true] {
        let deployment = crate::deployment::Deployment::start().await;
        let (role, people) = holding(&deployment);
        let account = &deployment.cloudflare;
        let invited = invited_in_place_of(account, &role, &people[1]);
        deployment.set_var("PROTECTED_MEMBERS", &people[0].email);
        let deployment = deployment.synced().await;
        let account = &deployment.cloudflare;
        let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
        account.accept_invitation(&invited);
        let [stays, new, gone, _] = people.each_ref().map(|one| one.user_id.clone().unwrap());
        // One person, by the id that they have now, and by the one that the last sync has.
        let (accepted, old) = (account.membership(&invited).unwrap().user_id.unwrap(), format!("invitation-{invited}"));
        let edit = |op: &str, id: &str| json!({ "op": op, "path": "members", "value": [{ "value": id }] });
        let all = json!([
            edit("remove", &stays),
            edit("add", &new),
            edit("add", &accepted),
            edit("remove", &gone),
            edit("remove", &old),
        ]);
        let atom = crate::looks::atom(account, &role);
        let holds = || (having(account, &role, &people), account.member_atoms(&invited).contains(&atom));
        let answer = patch(&deployment, &path, all.clone()).await;
        assert_error(&answer, 409, None);
        assert_eq!(holds(), ([true, false, false, true], true), "{}", answer.text());
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        let untried = format!(" Not tried after that: add {new}, add {accepted}, remove {old}.");
        assert!(told.ends_with(&untried), "{told}");
        // The control, also where the last sync has them by the id that they have now.
        deployment.unset_var("PROTECTED_MEMBERS");
        if is_known {
            deployment.sync().await;
        }
        let answer = patch(&deployment, &path, all).await;
        assert_eq!((answer.status, holds()), (200, ([false, true, false, true], true)), "{}", answer.text());
    }
}

/// Whatever comes while the members are changed one after the other was asked for later than the change of any of them.
#[tokio::test(start_paused = true)]
async fn what_is_asked_for_while_a_group_is_changed_is_not_undone_by_a_later_step_of_that_change() {
    for (puts_in, is_meanwhile) in [(true, true), (true, false), (false, true), (false, false)] {
        let deployment = crate::deployment::Deployment::start().await;
        let (held, people) = holding(&deployment);
        let deployment = deployment.synced().await;
        let account = &deployment.cloudflare;
        let role = if puts_in { held_by_nobody(account) } else { held };
        let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
        let person = Person::member(&people[1].email, people[1].user_id.as_deref().unwrap(), &people[1].id);
        // She does not have it, or has it already.
        let contrary = if puts_in { Task::revoke(named(&role), person) } else { Task::grant(named(&role), person) };
        let contrary = deployment.c1.task(&contrary);
        account.fail_next(Route::UpdateMember, 1, Fault::Delay(Duration::from_secs(3)));
        let asked = async {
            if puts_in {
                let add = json!([{ "op": "add", "path": "members", "value": listed(&people[..3]) }]);
                patch(&deployment, &path, add).await
            } else {
                let left = json!({ "members": listed(&people[3..]) });
                deployment.request("PUT", &path, &[], Some(&left)).await
            }
        };
        let (answer, told) = if is_meanwhile {
            let meanwhile = async {
                deployment.wait(Duration::from_secs(1)).await;
                deployment.deliver(&contrary).await
            };
            tokio::join!(Box::pin(asked), Box::pin(meanwhile))
        } else {
            let told = deployment.deliver(&contrary).await;
            (asked.await, told)
        };
        assert!(told.completed().is_some(), "{told:?}");
        let expected = match (puts_in, is_meanwhile) {
            (true, true) => [true, false, true, false],
            (true, false) => [true, true, true, false],
            (false, true) => [false, true, false, true],
            (false, false) => [false, false, false, true],
        };
        assert_eq!(having(account, &role, &people), expected, "{}", answer.text());
        assert_eq!(answer.status, if is_meanwhile { 409 } else { 200 }, "{}", answer.text());
        assert_eq!(answer.text().contains("asked for the contrary later"), is_meanwhile, "{}", answer.text());
    }
}

/// Whoever sends both wants the one in the other's place, whatever keeps that one in.
#[tokio::test(start_paused = true)]
async fn nobody_is_put_into_a_group_behind_one_who_stays_in_it_by_what_was_asked_for_later() {
    for is_meanwhile in [true, false] {
        let deployment = crate::deployment::Deployment::start().await;
        let (role, people) = holding(&deployment);
        let other = crate::looks::roles(&deployment.cloudflare).into_iter().find(|other| other.id != role.id).unwrap();
        let held = vec![crate::looks::holds(&deployment.cloudflare, &other)];
        let eve = deployment.cloudflare.add_member("eve@example.com", held);
        let deployment = deployment.synced().await;
        let account = &deployment.cloudflare;
        let eve = account.membership(&eve).unwrap();
        let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
        let person = Person::member(&people[1].email, people[1].user_id.as_deref().unwrap(), &people[1].id);
        let contrary = deployment.c1.task(&Task::grant(named(&role), person));
        account.fail_next(Route::UpdateMember, 1, Fault::Delay(Duration::from_secs(3)));
        let edit = |op: &str, people: &[Membership]| json!({ "op": op, "path": "members", "value": listed(people) });
        let both = json!([edit("remove", &people[..2]), edit("add", std::slice::from_ref(&eve))]);
        let meanwhile = async {
            deployment.wait(Duration::from_secs(1)).await;
            if is_meanwhile {
                assert!(deployment.deliver(&contrary).await.completed().is_some());
            }
        };
        let (answer, ()) = tokio::join!(Box::pin(patch(&deployment, &path, both)), Box::pin(meanwhile));
        assert_eq!(answer.status, if is_meanwhile { 409 } else { 200 }, "{}", answer.text());
        assert_eq!(having(account, &role, &people), [false, is_meanwhile, true, true], "{}", answer.text());
        assert_eq!(having(account, &role, std::array::from_ref(&eve)), [!is_meanwhile], "{}", answer.text());
        let untried = format!(" Not tried after that: add {}.", eve.user_id.unwrap());
        assert_eq!(answer.text().contains(&untried), is_meanwhile, "{}", answer.text());
    }
}

/// The steps of one request are not contrary to each other.
#[tokio::test(start_paused = true)]
async fn who_is_taken_out_of_a_group_and_put_in_again_by_one_request_is_in_it() {
    let jane = Jane::holding(2).await;
    let path = format!("/scim/v2/Groups/role-{}", jane.has.governed_as());
    let edit = |op: &str| json!({ "op": op, "path": "members", "value": [{ "value": jane.user }] });
    let answer = patch(&jane.deployment, &path, json!([edit("remove"), edit("add")])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    jane.changed(&[], &[]);
    let answer = patch(&jane.deployment, &path, json!([edit("add"), edit("remove")])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    jane.changed(&[], &[jane.atom(&jane.has)]);
}

/// `null` may be meant for everybody, and for nothing.
#[tokio::test(start_paused = true)]
async fn a_put_of_a_group_is_refused_where_its_members_are_null_and_changes_nobody_where_they_are_not_there() {
    let jane = Jane::holding(2).await;
    let group = format!("role-{}", jane.has.governed_as());
    let path = format!("/scim/v2/Groups/{group}");
    let put = async |body: Value| jane.deployment.request("PUT", &path, &[], Some(&body)).await;
    for body in [json!({ "displayName": jane.has.name, "members": null }), json!({ GROUP: { "members": null } })] {
        let answer = put(body).await;
        assert_error(&answer, 400, Some("invalidValue"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("send []"), "{}", answer.text());
        jane.changed(&[], &[]);
    }
    jane.deployment.asked();
    assert_eq!(put(json!({ "displayName": jane.has.name })).await.status, 200);
    let asked = jane.deployment.asked();
    assert!(!asked.iter().any(|command| command.starts_with("Operations")), "there is nothing to do: {asked:?}");
    jane.changed(&[], &[]);
    // A list is one wherever it stands.
    let left = members(&jane.deployment, &group).await.into_iter().filter(|id| *id != jane.user);
    let left: Vec<_> = left.map(|id| json!({ "value": id })).collect();
    let answer = put(json!({ GROUP: { "members": left } })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    jane.changed(&[], &[jane.atom(&jane.has)]);
}

/// What somebody did by hand since the last sync is on no list of ours, and a removal that is answered as a success is one.
#[tokio::test(start_paused = true)]
async fn who_is_taken_out_by_id_is_out_also_where_no_sync_has_seen_them_in() {
    for by_path in [true, false] {
        let jane = Jane::start().await;
        let account = &jane.deployment.cloudflare;
        account.add_policy(
            &jane.member,
            sim::cloudflare::PolicySpec::allow(jane.lacks.id.clone(), account.account_resource_group()),
        );
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
        let one = if by_path {
            json!({ "op": "remove", "path": format!("members[type eq \"User\" and value eq \"{}\"]", jane.user) })
        } else {
            json!({ "op": "remove", "path": "members", "value": [{ "value": jane.user }] })
        };
        let answer = patch(&jane.deployment, &path, json!([one])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        jane.changed(&[], &[]);
        // Once more, it is so already.
        assert_eq!(patch(&jane.deployment, &path, json!([one])).await.status, 200);
        let no_id = json!([{ "op": "remove", "path": "members[value eq \"jane@example.com\"]" }]);
        assert_error(&patch(&jane.deployment, &path, no_id).await, 400, Some("noTarget"));
    }
}

/// Who was invited and has accepted has two ids, and a list of members may have either of them.
#[tokio::test(start_paused = true)]
async fn nobody_is_taken_out_under_one_id_whom_a_list_of_members_has_under_the_other() {
    let deployment = crate::deployment::Deployment::start().await;
    let account = &deployment.cloudflare;
    let known = crate::looks::roles(account);
    let held: Vec<_> = known[..2].iter().map(|role| crate::looks::holds(account, role)).collect();
    let invited = account.invite("new.hire@example.com", held);
    let before = account.member_atoms(&invited);
    let deployment = deployment.synced().await;
    let account = &deployment.cloudflare;
    let path = format!("/scim/v2/Groups/role-{}", known[0].governed_as());
    let members = |group: &serde_json::Value| -> Vec<String> {
        group["members"].as_array().unwrap().iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect()
    };
    let put = async |ids: &[String]| {
        let members: Vec<_> = ids.iter().map(|id| json!({ "value": id })).collect();
        deployment.request("PUT", &path, &[], Some(&json!({ "members": members }))).await
    };
    let old = members(&deployment.json(&path).await);
    assert!(old.contains(&format!("invitation-{invited}")), "{old:?}");
    account.accept_invitation(&invited);
    let user = account.membership(&invited).unwrap().user_id.unwrap();
    let new: Vec<String> =
        old.iter().map(|id| if id.starts_with("invitation-") { user.clone() } else { id.clone() }).collect();
    // Whom nobody knows takes nobody's place, and is nobody's second id.
    for nobody in ["f".repeat(32), format!("group-{}", "f".repeat(32))] {
        assert_error(&put(&[nobody]).await, 400, Some("invalidValue"));
        assert_eq!(account.member_atoms(&invited), before);
    }
    // The list is newer than the last sync. That of a PATCH may be of before, too, and which of both ids is the newer one nobody knows yet.
    let value: Vec<_> = new.iter().map(|id| json!({ "value": id })).collect();
    let replace = json!([{ "op": "replace", "path": "members", "value": value }]);
    assert_error(&patch(&deployment, &path, replace).await, 409, None);
    assert_eq!(account.member_atoms(&invited), before);
    let answer = put(&new).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(account.member_atoms(&invited), before);
    deployment.sync().await;
    // And older.
    for list in [&old, &new] {
        let answer = put(list).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(account.member_atoms(&invited), before);
        assert_eq!(members(&answer.json()).len(), old.len());
    }
    // Whoever is on the list under neither is taken out.
    let without: Vec<String> = new.iter().filter(|id| **id != user).cloned().collect();
    assert_eq!(put(&without).await.status, 200);
    assert_eq!(account.member_atoms(&invited).len(), before.len() - 1);
}

/// A revoke that sends those who remain has them of a list of before, as `baton-scim` does.
#[tokio::test(start_paused = true)]
async fn a_replace_that_takes_somebody_out_puts_nobody_back_who_was_taken_out_since_its_list_was_read() {
    let deployment = crate::deployment::Deployment::start().await;
    let account = &deployment.cloudflare;
    let known = crate::looks::roles(account);
    let held = || -> Vec<_> { known[..2].iter().map(|role| crate::looks::holds(account, role)).collect() };
    let (bob, carol) = (account.add_member("bob@example.com", held()), account.add_member("carol@example.com", held()));
    let invited = account.invite("new.hire@example.com", held());
    let user = |member: &str| account.membership(member).unwrap().user_id.unwrap();
    let (bobs, carols) = (user(&bob), user(&carol));
    let deployment = deployment.synced().await;
    let account = &deployment.cloudflare;
    let group = format!("role-{}", known[0].governed_as());
    let path = format!("/scim/v2/Groups/{group}");
    let old = members(&deployment, &group).await;
    // Who accepted since the list was read is nobody else.
    account.accept_invitation(&invited);
    deployment.sync().await;
    let role = crate::looks::atom(account, &known[0]);
    let who = || [&bob, &carol, &invited].map(|member| account.member_atoms(member).contains(&role));
    let without = |gone: &[&String]| -> Vec<_> {
        old.iter().filter(|id| !gone.contains(id)).map(|id| json!({ "value": id })).collect()
    };
    let replace = |gone: &[&String]| json!([{ "op": "replace", "path": "members", "value": without(gone) }]);
    let answer = patch(&deployment, &path, replace(&[&bobs])).await;
    assert_eq!((answer.status, who()), (200, [false, true, true]), "{}", answer.text());
    let answer = patch(&deployment, &path, replace(&[&carols])).await;
    assert_error(&answer, 409, None);
    assert!(answer.json()["detail"].as_str().unwrap().contains("a list of members may be older"), "{}", answer.text());
    assert_eq!(who(), [false, true, true]);
    // One that only takes out, and one that only puts in.
    let answer = patch(&deployment, &path, replace(&[&bobs, &carols])).await;
    assert_eq!((answer.status, who()), (200, [false, false, true]), "{}", answer.text());
    let answer = patch(&deployment, &path, replace(&[&carols])).await;
    assert_eq!((answer.status, who()), (200, [true, false, true]), "{}", answer.text());
    // Both at once where the list is known to be of now, and where the whole Group is meant.
    let swap = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": replace(&[&bobs]) });
    let matching = async |tag: &str| deployment.request("PATCH", &path, &[("if-match", tag)], Some(&swap)).await;
    assert_error(&matching("*").await, 409, None);
    let tag = deployment.get(&path).await.header("etag").unwrap().to_owned();
    let answer = matching(&tag).await;
    assert_eq!((answer.status, who()), (200, [false, true, true]), "{}", answer.text());
    let put = json!({ "members": without(&[&carols]) });
    let answer = deployment.request("PUT", &path, &[], Some(&put)).await;
    assert_eq!((answer.status, who()), (200, [true, false, true]), "{}", answer.text());
}

fn held_by_nobody(account: &Cloudflare) -> KnownPermissionGroup {
    let held: BTreeSet<_> = account.memberships().iter().flat_map(|member| account.member_atoms(&member.id)).collect();
    let mut known = crate::looks::roles(account).into_iter();
    known.find(|role| !held.contains(&crate::looks::atom(account, role))).unwrap()
}

/// KV takes a minute to show everywhere what was written to it, and whom an older generation does not have no list takes out.
#[tokio::test(start_paused = true)]
async fn a_group_is_replaced_by_the_last_generation_also_where_kv_shows_one_before_and_not_where_it_lacks_the_last() {
    let deployment = crate::calls::deployed(|options| options.var("AUDIT_FEED", "off")).await;
    let account = &deployment.cloudflare;
    let role = &held_by_nobody(account);
    let known = crate::looks::roles(account);
    let other = known.iter().find(|other| other.id != role.id).unwrap();
    let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
    let before = deployment.lose("current");
    deployment.keep("current", before.clone());
    let policies = [role, other].map(|role| crate::looks::holds(account, role)).into();
    let jane = account.add_member("jane@example.com", policies);
    let user = account.membership(&jane).unwrap().user_id.unwrap();
    let status = deployment.sync().await;
    let manifest = format!("manifest/{}", status["generations"][0]["generation"].as_str().unwrap());
    deployment.lose("current");
    deployment.keep("current", before);
    let last = deployment.lose(&manifest);
    let put = async || deployment.request("PUT", &path, &[], Some(&json!({ "members": [] }))).await;
    for answer in [
        put().await,
        patch(&deployment, &path, json!([{ "op": "replace", "path": "members", "value": [] }])).await,
        patch(&deployment, &path, json!([{ "op": "remove", "path": "members" }])).await,
    ] {
        assert_error(&answer, 503, None);
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(account.member_atoms(&jane).len(), 2);
    }
    deployment.keep(&manifest, last);
    // Whom a request names is looked at in Cloudflare, whatever is shown here.
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": user }] }]);
    assert_eq!(patch(&deployment, &path, add).await.status, 200);
    let answer = put().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(account.member_atoms(&jane), [crate::looks::atom(account, other)].into());
}

#[tokio::test(start_paused = true)]
async fn what_provisioning_off_would_do_is_refused_with_the_sentence() {
    let jane = Jane::with(1, "off").await;
    let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
    let answer =
        patch(&jane.deployment, &path, json!([{ "op": "add", "path": "members", "value": [{ "value": jane.user }] }]))
            .await;
    assert_error(&answer, 409, None);
    assert!(answer.json()["detail"].as_str().unwrap().contains("would have granted"), "{}", answer.text());
    jane.changed(&[], &[]);
}

/// That the last sync has somebody in it is no proof either.
#[tokio::test(start_paused = true)]
async fn who_is_put_in_by_id_is_in_also_where_somebody_has_taken_them_out_since_the_last_sync() {
    let jane = Jane::holding(2).await;
    let account = &jane.deployment.cloudflare;
    let path = format!("/scim/v2/Groups/role-{}", jane.has.governed_as());
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": jane.user }] }]);
    assert_eq!(patch(&jane.deployment, &path, add.clone()).await.status, 200);
    jane.changed(&[], &[]);
    account.set_policies(&jane.member, vec![crate::looks::holds(account, &crate::looks::roles(account)[1])]);
    jane.changed(&[], &[jane.atom(&jane.has)]);
    assert_eq!(patch(&jane.deployment, &path, add.clone()).await.status, 200);
    jane.changed(&[], &[]);
    // Nor is it said of whom Cloudflare does not tell.
    account.fail_next(sim::cloudflare::Route::GetMember, 20, sim::cloudflare::Fault::status(503, 10_000));
    assert_error(&patch(&jane.deployment, &path, add).await, 503, None);
}

/// A Group that nobody was in at the last sync is on no list, and "there is no such Group" says that nobody is in it.
#[tokio::test(start_paused = true)]
async fn who_is_taken_out_of_a_group_that_no_sync_has_seen_is_out() {
    for also_adds in [false, true] {
        let jane = Jane::start().await;
        let account = &jane.deployment.cloudflare;
        let other = account.memberships().into_iter().find(|one| one.id != jane.member && one.user_id.is_some());
        let other = other.unwrap().user_id.unwrap();
        let (zone, _) = account.domain_resource_groups().remove(0);
        account.add_policy(&jane.member, sim::cloudflare::PolicySpec::allow(jane.lacks.id.clone(), zone.clone()));
        let path = format!("/scim/v2/Groups/scoped_role-{}-{zone}", jane.lacks.id);
        let remove = json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", jane.user) });
        assert_error(&jane.deployment.get(&path).await, 404, None);
        let add = |id: &str| json!({ "op": "add", "path": "members", "value": [{ "value": id }] });
        assert_error(&patch(&jane.deployment, &path, json!([add(&jane.user)])).await, 404, None);
        if also_adds {
            // Nobody is put in, and who is taken out does not stay for that.
            let both = json!([add(&other), remove]);
            assert_error(&patch(&jane.deployment, &path, both).await, 404, None);
        } else {
            let answer = patch(&jane.deployment, &path, json!([remove])).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
        jane.changed(&[], &[]);
        assert_error(&patch(&jane.deployment, &path, json!([remove])).await, 404, None);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_among_the_members_of_a_put_is_taken_out_in_whatever_case_they_are_written() {
    let jane = Jane::start().await;
    let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": jane.user }] }]);
    patch(&jane.deployment, &path, add).await;
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    let nobody = json!({ "displayName": jane.lacks.name, "Members": [] });
    let answer = jane.deployment.request("PUT", &path, &[], Some(&nobody)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    jane.changed(&[], &[]);
}

/// A client that knows Users alone has no user group in its lists, and could not change a role that one holds.
#[tokio::test(start_paused = true)]
async fn a_user_group_that_holds_a_role_stays_in_it_whatever_list_of_users_replaces_its_members() {
    let deployment = crate::deployment::Deployment::start().await;
    let account = &deployment.cloudflare;
    let role = held_by_nobody(account);
    let other = crate::looks::roles(account).into_iter().find(|other| other.id != role.id).unwrap();
    let group = account.add_group("Operators", vec![crate::looks::holds(account, &role)]);
    let add = |name: &str, held: &[&KnownPermissionGroup]| {
        let held = held.iter().map(|role| crate::looks::holds(account, role)).collect();
        account.add_member(&format!("{name}@example.com"), held)
    };
    let people = [add("alice", &[&role, &other]), add("bob", &[&other]), add("carol", &[&other])];
    let users = people.each_ref().map(|member| account.membership(member).unwrap().user_id.unwrap());
    let deployment = deployment.synced().await;
    let account = &deployment.cloudflare;
    let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
    let list = |most: usize| users[..most].iter().map(|user| json!({ "value": user })).collect::<Vec<_>>();
    let replace = |most: usize| json!([{ "op": "replace", "path": "members", "value": list(most) }]);
    // Who of them has it after each, in their order.
    let steps = [(true, 2, "alice bob"), (false, 3, "alice bob carol"), (false, 2, "alice bob"), (true, 1, "alice")];
    for (is_put, most, expected) in steps {
        let answer = if is_put {
            deployment.request("PUT", &path, &[], Some(&json!({ "members": list(most) }))).await
        } else {
            patch(&deployment, &path, replace(most)).await
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let shown = answer.json()["members"].as_array().unwrap().clone();
        let is_shown = |id: &str| shown.iter().any(|member| member["value"] == id);
        assert!(is_shown(&format!("group-{group}")), "{expected}: {}", answer.text());
        assert_eq!(users.iter().filter(|user| is_shown(user)).count(), most, "{}", answer.text());
        let has = |member: &&String| account.member_atoms(member).contains(&crate::looks::atom(account, &role));
        let having = people.iter().filter(has).map(|member| account.membership(member).unwrap().email);
        let having: Vec<String> = having.map(|email| email.replace("@example.com", "")).collect();
        assert_eq!(having.join(" "), expected);
    }
    // Whoever names the group is told that it cannot be taken out here.
    let group = format!("group-{group}");
    for one in [
        json!({ "op": "remove", "path": format!("members[value eq \"{group}\"]") }),
        json!({ "op": "remove", "path": "members", "value": [{ "value": group }] }),
    ] {
        let answer = patch(&deployment, &path, json!([one])).await;
        assert_error(&answer, 400, Some("invalidValue"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("dashboard"), "{}", answer.text());
    }
}

/// All members of all Groups are more than an isolate holds, and who asks for one Group needs those of no other.
#[tokio::test(start_paused = true)]
async fn whether_somebody_is_in_one_group_is_answered_from_what_holds_that_group_alone() {
    let spec = Spec { members: 1_500, groups: 1, ..crate::looks::small() };
    let deployment = crate::deployment::Deployment::with(spec, |options| options).await;
    let account = &deployment.cloudflare;
    // The first group that an account has is one with nobody in it.
    let (group, name) = account.truth().groups.pop_first().unwrap();
    let jane = account.add_member("jane@example.com", Vec::new());
    account.join_group(&group, &jane);
    let user = account.membership(&jane).unwrap().user_id.unwrap();
    let deployment = deployment.synced().await;
    // The Groups that a filter finds, and the chunks that are read for them where nothing is at hand.
    let ask = async |filter: &str| {
        deployment.restart();
        deployment.world().desk.gets.borrow_mut().clear();
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let path = format!("/scim/v2/Groups?filter={filter}&excludedAttributes=members");
        let found = deployment.json(&path).await["Resources"].as_array().unwrap().clone();
        let read = deployment.world().desk.gets.take().into_iter().filter(|key| key.contains("chunk/"));
        (found, read.collect::<BTreeSet<String>>())
    };
    let (its_id, has_jane) = (format!("id eq \"group-{group}\""), format!("members eq \"{user}\""));
    let (_, offering) = ask(&its_id).await;
    let (found, read) = ask(&format!("{its_id} and {has_jane}")).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["id"], format!("group-{group}"));
    assert!(read.difference(&offering).count() <= 1, "{read:?} beside {offering:?}");
    let (nobody, _) = ask(&format!("{its_id} and members eq \"{}\"", "f".repeat(32))).await;
    let (other, _) = ask(&format!("id eq \"role-{}\" and {has_jane}", "f".repeat(32))).await;
    assert_eq!((nobody.len(), other.len()), (0, 0));
    // By its name it is the same one, and found among all that there are.
    let (same, all) = ask(&format!("displayName eq \"{name}\" and {has_jane}")).await;
    assert_eq!(same, found);
    assert!(all.len() > read.len() + 1, "{} chunks, of which {} were read", all.len(), read.len());
    let (either, _) = ask(&format!("{its_id} or members pr")).await;
    assert!(either.len() > 5, "{}", either.len());
}

/// A grant that waits is on no list, and would come after the answer that nobody but these is in it.
#[tokio::test(start_paused = true)]
async fn who_is_not_among_the_members_of_a_put_is_not_put_in_by_a_grant_that_waits() {
    let newcomer = Person::newcomer("new.hire@example.com");
    for (put, is_new) in [(true, false), (true, true), (false, false), (false, true)] {
        let jane = Jane::start().await;
        let account = &jane.deployment.cloudflare;
        let person = if is_new { newcomer.clone() } else { jane.person() };
        let route = if is_new { Route::ListMembers } else { Route::GetMember };
        account.fail_next(route, 1, Fault::status(503, 10_000));
        let grant = jane.deployment.c1.task(&Task::grant(named(&jane.lacks), person));
        assert_eq!(jane.deployment.deliver(&grant).await.verdict, Verdict::Accepted);
        let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
        let answer = if put {
            jane.deployment.request("PUT", &path, &[], Some(&json!({ "members": [] }))).await
        } else {
            patch(&jane.deployment, &path, json!([{ "op": "remove", "path": "members" }])).await
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        jane.deployment.callback(&grant).await;
        jane.changed(&[], &[]);
    }
}

/// It goes on by itself, and would be told as done before its turn comes behind all others.
#[tokio::test(start_paused = true)]
async fn a_grant_that_waits_is_ended_before_anybody_is_taken_out_of_a_group_that_is_emptied() {
    let new = "new.hire@example.com";
    for (put, keeps) in [(true, 0), (false, 0), (true, 1)] {
        let deployment = crate::deployment::Deployment::start().await;
        let (role, people) = holding(&deployment);
        let deployment = deployment.synced().await;
        deployment.set_var("SCIM_REPLACE_MAX_REMOVALS", "5");
        let account = &deployment.cloudflare;
        account.fail_next(Route::ListMembers, 1, Fault::status(503, 10_000));
        let grant = deployment.c1.task(&Task::grant(named(&role), Person::newcomer(new)));
        assert_eq!(deployment.deliver(&grant).await.verdict, Verdict::Accepted);
        let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
        let answer = if put {
            let left = json!({ "members": listed(&people[..keeps]) });
            deployment.request("PUT", &path, &[], Some(&left)).await
        } else {
            patch(&deployment, &path, json!([{ "op": "remove", "path": "members" }])).await
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(having(account, &role, &people), [keeps > 0, false, false, false]);
        let journal = deployment.json("/v1/operations").await;
        let steps = journal["items"].as_array().unwrap().iter().rev();
        let whom: Vec<_> = steps
            .filter(|one| one["request"]["origin"]["by"] == "scim")
            .map(|one| one["request"]["subject"]["emails"][0] == new)
            .collect();
        assert_eq!(whom.len(), 5 - keeps, "{journal}");
        assert!(whom[0], "{put} {keeps}: {journal}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_among_the_members_of_a_put_comes_to_be_in_it_by_the_grant_that_waits() {
    let jane = Jane::start().await;
    let account = &jane.deployment.cloudflare;
    account.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
    let grant = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    assert_eq!(jane.deployment.deliver(&grant).await.verdict, Verdict::Accepted);
    let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
    let members = json!({ "members": [{ "value": jane.user }] });
    assert_eq!(jane.deployment.request("PUT", &path, &[], Some(&members)).await.status, 200);
    jane.deployment.callback(&grant).await;
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
}

#[tokio::test(start_paused = true)]
async fn what_a_renewal_brings_back_is_in_no_group_that_was_emptied_meanwhile() {
    for by_account in [false, true] {
        let deployment = crate::calls::deployed(|options| options.var("RENEW_INVITATIONS_AFTER_DAYS", "1")).await;
        let account = &deployment.cloudflare;
        let roles = crate::looks::roles(account);
        // An invitation keeps one role at least.
        let (role, other) = (&roles[0], &roles[1]);
        let first = format!("role:{}:member", role.governed_as());
        let with_role = json!({ "email": crate::calls::NEWCOMER, "entitlement": first });
        let invited = deployment.request("POST", "/v1/accounts", &[], Some(&with_role)).await;
        assert_eq!(invited.status, 200, "{}", invited.text());
        let old = account.membership_of(crate::calls::NEWCOMER).unwrap().id;
        let granted =
            deployment.request("PUT", &format!("/v1/roles/{}/members/{old}", other.governed_as()), &[], None).await;
        assert_eq!(granted.status, 200, "{}", granted.text());
        let unheld = held_by_nobody(account);
        deployment.wait(Duration::from_hours(36)).await;
        deployment.sync().await;
        account.fail_next(Route::CreateMember, 1, Fault::status(500, 10_000));
        let renewed = if by_account {
            let named = json!({ "email": crate::calls::NEWCOMER });
            deployment.request("POST", "/v1/accounts", &[], Some(&named)).await
        } else {
            deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await
        };
        assert_eq!(renewed.status, 503, "{}", renewed.text());
        let empty = async |role: &KnownPermissionGroup| {
            let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
            deployment.request("PUT", &path, &[], Some(&json!({ "members": [] }))).await
        };
        let answer = empty(role).await;
        assert_error(&answer, 503, None);
        assert!(answer.json()["detail"].as_str().unwrap().contains("is under way"), "{}", answer.text());
        // It keeps nobody from what it does not bring back.
        let answer = empty(&unheld).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        deployment.until("/v1/operations", |list| list["items"][0]["outcome"]["effect"] == "renewed").await;
        let answer = empty(role).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let new = account.membership_of(crate::calls::NEWCOMER).unwrap();
        assert_eq!(account.member_atoms(&new.id), [crate::looks::atom(account, other)].into());
    }
}

/// Whoever is on the way in would be taken out by it, so that it may put in nobody.
#[tokio::test(start_paused = true)]
async fn a_replace_by_a_list_of_before_ends_no_grant_that_is_under_way_while_it_puts_somebody_in() {
    for (method, status) in [("PATCH", 409), ("PUT", 200)] {
        let jane = Jane::start().await;
        let account = &jane.deployment.cloudflare;
        let path = format!("/scim/v2/Groups/role-{}", jane.lacks.governed_as());
        account.fail_next(Route::ListMembers, 1, Fault::status(503, 10_000));
        let grant = jane.deployment.c1.task(&Task::grant(named(&jane.lacks), Person::newcomer("new.one@example.com")));
        assert_eq!(jane.deployment.deliver(&grant).await.verdict, Verdict::Accepted);
        let shown = jane.deployment.json(&path).await["members"].as_array().cloned().unwrap_or_default();
        let list = [shown, vec![json!({ "value": jane.user })]].concat();
        let body = match method {
            "PUT" => json!({ "members": list }),
            _ => {
                json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{ "op": "replace", "path": "members", "value": list }] })
            }
        };
        let answer = jane.deployment.request(method, &path, &[], Some(&body)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(account.member_atoms(&jane.member).contains(&jane.atom(&jane.lacks)), status == 200);
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_come_to_be_in_a_group_counts_among_the_removals_of_a_put() {
    let deployment = crate::calls::deployed(|options| options.var("SCIM_REPLACE_MAX_REMOVALS", "1")).await;
    let account = &deployment.cloudflare;
    let role = &held_by_nobody(account);
    account.fail_next(Route::ListMembers, 2, Fault::status(503, 10_000));
    for name in ["one", "two"] {
        let person = Person::newcomer(&format!("new.{name}@example.com"));
        let grant = deployment.c1.task(&Task::grant(named(role), person));
        assert_eq!(deployment.deliver(&grant).await.verdict, Verdict::Accepted);
    }
    let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
    let answer = deployment.request("PUT", &path, &[], Some(&json!({ "members": [] }))).await;
    assert_error(&answer, 409, None);
    assert!(answer.json()["detail"].as_str().unwrap().contains("take 2 members out"), "{}", answer.text());
}

/// Whoever asks is told who was left as they are.
#[tokio::test(start_paused = true)]
async fn whom_it_was_not_tried_to_keep_out_of_a_group_is_named() {
    let deployment = crate::calls::deployed(|options| options.var("SCIM_REPLACE_MAX_REMOVALS", "2")).await;
    let account = &deployment.cloudflare;
    let role = &held_by_nobody(account);
    let [one, two] = ["new.one@example.com", "new.two@example.com"];
    account.fail_next(Route::ListMembers, 2, Fault::status(503, 10_000));
    for email in [one, two] {
        let grant = deployment.c1.task(&Task::grant(named(role), Person::newcomer(email)));
        assert_eq!(deployment.deliver(&grant).await.verdict, Verdict::Accepted);
    }
    let path = format!("/scim/v2/Groups/role-{}", role.governed_as());
    let empty = async || deployment.request("PUT", &path, &[], Some(&json!({ "members": [] }))).await;
    account.fail_next(Route::ListMembers, 20, Fault::status(503, 10_000));
    let answer = empty().await;
    account.clear_faults();
    assert_error(&answer, 503, None);
    let told = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(told.ends_with(&format!(" Not tried after that: remove {one}.")), "{told}");
    // The control.
    let answer = empty().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    deployment.wait(Duration::from_mins(10)).await;
    assert!(account.membership_of(one).is_none() && account.membership_of(two).is_none());
}
