//! Records that are not as the contract has them: what is absent is unknown and not empty, and one odd record stops nobody else.

use std::collections::BTreeSet;

use c1_cloudflare::account::inherited;
use c1_cloudflare::base::ports::Secret;
use c1_cloudflare::snapshot::{self, Capability};
use c1_cloudflare::sync::{self, RunOutcome, Trigger};
use serde_json::{Value, json};
use sim::cloudflare::{
    Access, Atom, Behaviour, Fault, Membership, Oddity, On, Permission, PolicySpec, Route, Spec, Truth,
};

use super::account;
use super::oracle::{assert_same, manifest, published, still_offering};
use crate::support::World;

/// An account that was synced once, and what it was then.
async fn synced() -> (World, Truth) {
    let world = World::new(account(60));
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    let truth = published(&world).await;
    assert_same(&truth, &world.cloudflare.truth(), "the first sync");
    (world, truth)
}

/// An accepted member who holds something.
fn somebody(world: &World) -> sim::cloudflare::Membership {
    let all = world.cloudflare.memberships().into_iter();
    let mut found = all.filter(|member| member.status == "accepted");
    found.find(|member| world.cloudflare.member_atoms(&member.id).len() > 1).expect("somebody holds something")
}

/// What the manifest and the status say of a list's odd records; both say the same.
async fn unreadable(world: &World, list: &str) -> Option<(u64, String)> {
    let told: Capability = manifest(world).await.capabilities[list].clone();
    assert_eq!(sync::status(world).unwrap().capabilities[list], told);
    let unreadable = told.unreadable?;
    assert!(told.message.unwrap().contains(&unreadable.first[0]), "the message names it");
    Some((unreadable.count, unreadable.first.join("; ")))
}

#[tokio::test]
async fn a_list_without_policies_is_mended_by_the_members_own_records() {
    let (world, before) = synced().await;
    let member = somebody(&world);
    world.cloudflare.make_odd(Route::ListMembers, &member.id, Oddity::Without("policies"));
    let asked = world.cloudflare.requests(Route::GetMember);
    let run = world.sync().await;
    assert_eq!((run.outcome, run.warnings), (RunOutcome::Unchanged, Vec::new()), "{}", run.message);
    assert_eq!(
        world.cloudflare.requests(Route::GetMember),
        asked + 1 + 1,
        "and one whether it shows what a group gives"
    );
    assert_same(&published(&world).await, &before, "read again by id");
    assert_eq!(unreadable(&world, "members").await, None);
}

#[tokio::test]
async fn what_is_told_nowhere_is_kept_as_it_was_and_the_member_is_named() {
    let odd = [
        Oddity::Without("policies"),
        Oddity::Null("policies"),
        // There are roles, and the policies do not account for them.
        Oddity::Empty("policies"),
        Oddity::NullInPolicies("resource_groups"),
        Oddity::NullInPolicies("permission_groups"),
        Oddity::Text("status", "suspended"),
        Oddity::Without("status"),
        Oddity::NoEmail,
        Oddity::UserText("id", "usr_1"),
        // An id that nothing can be asked for: the e-mail address tells whose it is.
        Oddity::Text("id", "mem_1"),
        Oddity::Text("policies", "of another shape"),
    ];
    for oddity in odd {
        let what = format!("{oddity:?}");
        let (world, before) = synced().await;
        let member = somebody(&world);
        world.cloudflare.make_odd(On::Reads, &member.id, oddity.clone());
        // Another's change is seen all the same.
        let other = world.cloudflare.add_member("newest@example.com", vec![]);
        let mut expected = before;
        expected.users.insert(world.cloudflare.membership(&other).unwrap().user_id.unwrap());
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
        assert_same(&published(&world).await, &expected, &what);
        let (count, first) = unreadable(&world, "members").await.expect("it is named");
        // The id in the list is not the one that was asked for: both records are odd.
        let records = if oddity == Oddity::Text("id", "mem_1") { 2 } else { 1 };
        assert_eq!(count, records, "{what}: {first}");
        assert_eq!(run.warnings.len(), 1, "{what}: {:?}", run.warnings);
        assert!(first.contains(&member.id), "{what}: {first}");
        // The generation after keeps it too, and is the same.
        assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "{what}");
        // And once it is told again, all is well.
        world.cloudflare.make_even();
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), &what);
        assert_eq!(unreadable(&world, "members").await, None, "{what}");
    }
}

/// A record without the login says nothing of its second factor.
#[tokio::test]
async fn the_second_factor_of_somebody_whose_login_is_not_told_is_as_it_was_known() {
    let (world, _) = synced().await;
    let member = somebody(&world);
    let key = format!("user:{}", member.user_id.clone().unwrap());
    let told = async || {
        world.sync().await;
        let snapshot = snapshot::latest(&world).await.unwrap().unwrap();
        snapshot.get(&world, &key).await.unwrap().unwrap().as_member().unwrap().two_factor
    };
    for is_on in [false, true] {
        world.cloudflare.set_two_factor(&member.id, is_on);
        assert_eq!(told().await, Some(is_on), "the control");
        world.cloudflare.make_odd(On::Reads, &member.id, Oddity::Without("user"));
        assert_eq!(told().await, Some(is_on), "it is kept");
        world.cloudflare.make_even();
    }
}

/// The policy that makes Super Administrator.
fn super_administrator(world: &World) -> PolicySpec {
    let role = world.cloudflare.permission_group("super_admin").unwrap();
    PolicySpec::allow(role.id, world.cloudflare.account_resource_group())
}

/// A member's policy, or the member's status, or that a group's policies lack an id, hides nothing that is told beside it.
#[tokio::test]
async fn what_is_given_to_whom_cannot_be_read_in_full_is_shown_beside_what_was_known() {
    for is_one_policy in [true, false] {
        let world = World::new(account(60));
        let whole = world.cloudflare.account_resource_group();
        let gives = PolicySpec::allow(world.cloudflare.ordinary_roles().remove(0).id, whole);
        let group = world.cloudflare.add_group("Few", vec![gives.clone()]);
        world.sync().await;
        let before = published(&world).await;
        let admin = super_administrator(&world);
        let is_other =
            |atoms: &BTreeSet<Atom>| atoms.len() > 1 && atoms.iter().all(|atom| atom.1 != admin.permission_groups[0]);
        let mut all = world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted");
        let member = all.find(|member| is_other(&world.cloudflare.member_atoms(&member.id))).expect("somebody else");
        if is_one_policy {
            let id = member.id.clone();
            *world.bends.borrow_mut() = Some(Box::new(move |_, told| {
                let records = match &mut told["result"] {
                    Value::Array(records) => records.as_mut_slice(),
                    one => std::slice::from_mut(one),
                };
                for record in records.iter_mut().filter(|record| record["id"] == json!(id)) {
                    if let Some(groups) = record.pointer_mut("/policies/0/permission_groups") {
                        *groups = Value::Null;
                    }
                }
            }));
        } else {
            world.cloudflare.make_odd(On::Reads, &member.id, Oddity::Text("status", "suspended"));
        }
        world.cloudflare.make_odd(On::Reads, &group, Oddity::NullInPolicies("id"));
        world.sync().await;
        assert_same(&published(&world).await, &before, "kept");
        world.cloudflare.add_policy(&member.id, admin.clone());
        world.cloudflare.set_group_policies(&group, vec![gives.clone(), admin]);
        for _ in 0..2 {
            world.sync().await;
            assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("given, {is_one_policy}"));
            assert!(unreadable(&world, "members").await.is_some() && unreadable(&world, "user_groups").await.is_some());
        }
        if !is_one_policy {
            // The control: what is told no more may be what is not told.
            let before = published(&world).await;
            world.cloudflare.set_policies(&member.id, vec![]);
            world.cloudflare.set_group_policies(&group, vec![gives]);
            world.sync().await;
            assert_same(&published(&world).await, &before, "taken");
        }
        *world.bends.borrow_mut() = None;
        world.cloudflare.make_even();
        world.sync().await;
        let truth = still_offering(world.cloudflare.truth(), &before);
        assert_same(&published(&world).await, &truth, "told again");
    }
}

/// Whoever may write groups may name one so.
#[tokio::test]
async fn a_user_group_without_a_name_is_shown_with_all_that_it_gives() {
    let world = World::new(Spec { groups: 0, ..account(60) });
    let whole = world.cloudflare.account_resource_group();
    let gives = PolicySpec::allow(world.cloudflare.ordinary_roles().remove(0).id, whole);
    let known = world.cloudflare.add_group("Known", vec![gives.clone()]);
    world.sync().await;
    let admin = super_administrator(&world);
    let new = world.cloudflare.add_group("New", vec![admin.clone()]);
    world.cloudflare.set_group_policies(&known, vec![gives, admin]);
    for group in [&known, &new] {
        world.cloudflare.make_odd(On::Reads, group, Oddity::Text("name", " "));
    }
    let mut expected = world.cloudflare.truth();
    expected.groups.insert(new.clone(), new);
    for _ in 0..2 {
        world.sync().await;
        assert_same(&published(&world).await, &expected, "the one by its id, the other by the name that it had");
        assert_eq!(unreadable(&world, "user_groups").await.unwrap().0, 2, "they are named");
    }
    // The control.
    world.cloudflare.make_even();
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "told again");
    assert_eq!(unreadable(&world, "user_groups").await, None);
}

#[tokio::test]
async fn an_account_whose_members_all_lack_policies_keeps_every_grant() {
    let (world, before) = synced().await;
    for member in world.cloudflare.memberships() {
        world.cloudflare.make_odd(On::Reads, &member.id, Oddity::Without("policies"));
    }
    world.cloudflare.reset_log();
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_same(&published(&world).await, &before, "nobody's policies are told");
    assert_eq!(unreadable(&world, "members").await.unwrap().0, 60);
    assert!(world.cloudflare.requests(Route::GetMember) <= 25, "few are asked for one by one");
}

#[tokio::test]
async fn a_member_who_holds_nothing_of_their_own_is_nothing_odd() {
    let (world, _) = synced().await;
    let member = somebody(&world);
    world.cloudflare.set_policies(&member.id, vec![]);
    let run = world.sync().await;
    assert_eq!((run.outcome, run.warnings), (RunOutcome::Published, Vec::new()));
    let now = published(&world).await;
    assert!(!now.grants.iter().any(|grant| grant.contains(&format!(":role:{}", member.id))));
    assert_eq!(unreadable(&world, "members").await, None);
}

#[tokio::test]
async fn somebody_who_is_gone_is_not_kept_by_anothers_odd_record() {
    let (world, _) = synced().await;
    let member = somebody(&world);
    world.cloudflare.make_odd(On::Reads, &member.id, Oddity::Text("id", "mem_1"));
    let leaver = world.cloudflare.memberships().into_iter().find(|other| other.id != member.id).unwrap();
    world.cloudflare.remove_member(&leaver.id);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let now = published(&world).await;
    assert!(
        !now.users.contains(leaver.user_id.as_deref().unwrap_or_default()) && !now.invitations.contains(&leaver.id)
    );
}

#[tokio::test]
async fn somebody_who_is_gone_is_not_kept_by_a_record_that_may_be_anybodys() {
    let (world, _) = synced().await;
    let [nobody, leaver] = [0, 1].map(|place| world.cloudflare.memberships().swap_remove(place));
    let id = nobody.id.clone();
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        let records = told["result"].as_array_mut().filter(|_| asked.contains("/members?"));
        for record in records.into_iter().flatten().filter(|record| record["id"] == json!(id)) {
            *record = json!({ "id": "mem_1" });
        }
    }));
    world.sync().await;
    world.cloudflare.remove_member(&leaver.id);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let now = published(&world).await;
    let has = |member: &Membership| {
        now.users.contains(member.user_id.as_deref().unwrap_or_default()) || now.invitations.contains(&member.id)
    };
    assert!(!has(&leaver), "asked for by id, and not there");
    assert!(has(&nobody), "asked for by id, and there");
}

#[tokio::test]
async fn a_declined_invitation_is_no_member() {
    // Also where the list has them only when it is asked for them.
    for is_hidden in [false, true] {
        let (world, before) = synced().await;
        world.cloudflare.configure(|behaviour| behaviour.hides_rejected = is_hidden);
        let pending = world.cloudflare.memberships().into_iter().find(|member| member.status == "pending").unwrap();
        assert!(before.invitations.contains(&pending.id));
        world.cloudflare.set_status(&pending.id, "rejected");
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published);
        assert!(is_hidden || run.warnings.is_empty(), "{:?}", run.warnings);
        let now = published(&world).await;
        assert!(!now.invitations.contains(&pending.id));
        assert_eq!(now.invitations.len() + 1, before.invitations.len(), "the others stay");
    }
}

#[tokio::test]
async fn groups_and_what_names_access_are_kept_as_they_were() {
    let cases = [
        (Route::ListUserGroups, "user_groups", Oddity::NullInPolicies("id")),
        (Route::ListUserGroups, "user_groups", Oddity::NullInPolicies("resource_groups")),
        (Route::ListUserGroups, "user_groups", Oddity::NullInPolicies("permission_groups")),
        (Route::ListUserGroups, "user_groups", Oddity::Without("name")),
        (Route::ListUserGroups, "user_groups", Oddity::Text("id", "grp_1")),
        (Route::ListTokens, "tokens", Oddity::Text("id", "tok_1")),
        (Route::ListTokens, "tokens", Oddity::Without("policies")),
        (Route::ListTokens, "tokens", Oddity::Null("policies")),
        (Route::ListTokens, "tokens", Oddity::NullInPolicies("permission_groups")),
        (Route::ListRoles, "roles", Oddity::Text("id", "rol_1")),
        (Route::ListPermissionGroups, "permission_groups", Oddity::Text("id", "per_1")),
        (Route::ListResourceGroups, "resource_groups", Oddity::Text("id", "res_1")),
    ];
    for (route, list, oddity) in cases {
        let what = format!("{list}: {oddity:?}");
        let (world, before) = synced().await;
        let id = match list {
            "user_groups" => before.groups.keys().next().unwrap().clone(),
            "tokens" => before.tokens.keys().next().unwrap().clone(),
            "roles" => before.roles.keys().last().unwrap().clone(),
            "permission_groups" => world.cloudflare.permission_groups()[0].id.clone(),
            _ => world.cloudflare.domain_resource_groups()[0].0.clone(),
        };
        world.cloudflare.make_odd(route, &id, oddity);
        let run = world.sync().await;
        assert_ne!(run.outcome, RunOutcome::Failed, "{what}: {}", run.message);
        assert_same(&published(&world).await, &before, &what);
        assert_eq!(unreadable(&world, list).await.expect("it is named").0, 1, "{what}");
    }
}

#[tokio::test]
async fn a_group_member_with_an_odd_id_stays_in_the_group() {
    let world = World::new(account(60));
    let role = &world.cloudflare.permission_groups()[0];
    let whole = world.cloudflare.account_resource_group();
    let group = world.cloudflare.add_group("Few", vec![PolicySpec::allow(role.id.clone(), whole)]);
    let members: Vec<_> = world.cloudflare.memberships().into_iter().take(3).collect();
    for member in &members {
        world.cloudflare.join_group(&group, &member.id);
    }
    world.sync().await;
    let before = published(&world).await;
    world.cloudflare.make_odd(Route::ListUserGroupMembers, &members[0].id, Oddity::Text("id", "mem_1"));
    // Another who leaves is seen to leave.
    world.cloudflare.leave_group(&group, &members[1].id);
    world.sync().await;
    let now = published(&world).await;
    let gone: Vec<_> = before.grants.difference(&now.grants).collect();
    assert!(gone.len() == 1 && gone[0].starts_with(&format!("group:{group}:member")), "{gone:?}");
    assert_eq!(unreadable(&world, "user_group_members").await.unwrap().0, 1);
}

#[tokio::test]
async fn a_list_that_is_null_is_an_empty_list() {
    for (route, list) in [
        (Route::ListUserGroups, "user_groups"),
        (Route::ListRoles, "roles"),
        (Route::ListPermissionGroups, "permission_groups"),
        (Route::ListResourceGroups, "resource_groups"),
        (Route::ListUserGroupMembers, "user_group_members"),
    ] {
        let world = World::new(sim::cloudflare::Spec { groups: 2, ..account(20) });
        world.cloudflare.answer_null(route);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{list}: {}", run.message);
        let told = &manifest(&world).await.capabilities[list];
        assert!(told.on && told.unreadable.is_none(), "{list}: {told:?}");
    }
    // No account is without members: one that had some is not believed to have none.
    let (world, before) = synced().await;
    world.cloudflare.answer_null(Route::ListMembers);
    let run = world.sync().await;
    assert!(matches!(run.outcome, RunOutcome::Held | RunOutcome::Failed), "{}", run.message);
    assert_same(&published(&world).await, &before, "members answered with null");
}

#[tokio::test]
async fn a_list_that_is_empty_all_of_a_sudden_is_believed_by_the_second_sync() {
    for (route, list) in [(Route::ListUserGroups, "user_groups"), (Route::ListTokens, "tokens")] {
        let (mut world, before) = synced().await;
        // A list of tokens without the account's own that asks is never believed, and a person's not until it had all that the account's had.
        world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
        world.sync().await;
        world.cloudflare.answer_null(route);
        world.sync().await;
        let first = manifest(&world).await.capabilities[list].clone();
        assert!(!first.on && first.message.as_ref().unwrap().contains("told of some before"), "{list}: {first:?}");
        assert_eq!(first.lasting(), None, "it may pass: {first:?}");
        assert_same(&published(&world).await, &before, list);
        world.sync().await;
        let (told, now) = (manifest(&world).await.capabilities[list].clone(), published(&world).await);
        let kept = if list == "tokens" { now.tokens.len() } else { now.groups.len() };
        assert!(told.on && kept == 0, "{list}: {told:?}");
    }
}

/// One more sync may come at once: somebody asks for it, or the log calls for it. Each list waits by itself.
#[tokio::test]
async fn a_list_that_is_empty_all_of_a_sudden_is_kept_for_ten_minutes_however_many_syncs_find_it_so() {
    let (mut world, _) = synced().await;
    world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
    world.sync().await;
    let before = published(&world).await;
    let after = async |secs: i64| {
        world.advance(secs);
        let trigger = Trigger { by: "test".to_owned(), accept_removals: false };
        sync::begin(&world, &world.config.cloudflare, trigger).unwrap();
        let run = world.finish().await;
        assert!(matches!(run.outcome, RunOutcome::Published | RunOutcome::Unchanged), "{}", run.message);
        let now = published(&world).await;
        (now.tokens.is_empty(), now.groups.is_empty())
    };
    world.cloudflare.answer_null(Route::ListTokens);
    for secs in [900, 120, 5] {
        assert_eq!(after(secs).await, (false, false), "{secs}");
        assert_same(&published(&world).await, &before, "kept");
    }
    world.cloudflare.answer_null(Route::ListUserGroups);
    assert_eq!(after(60).await, (false, false));
    assert_eq!(after(420).await, (true, false), "ten minutes for the one, seven for the other");
    assert_eq!(after(120).await, (true, false));
    assert_eq!(after(120).await, (true, true));
    // Nothing else is read meanwhile, and it is believed all the same.
    world.cloudflare.make_even();
    assert_eq!(after(900).await, (false, false));
    world.cloudflare.answer_null(Route::ListTokens);
    for (secs, is_believed) in [(900, false), (120, false), (120, false), (600, true)] {
        assert_eq!(after(secs).await.0, is_believed, "{secs}");
    }
}

#[tokio::test]
async fn no_account_is_believed_to_be_without_permission_groups_or_the_resource_groups_of_its_roles() {
    for (route, list) in
        [(Route::ListPermissionGroups, "permission_groups"), (Route::ListResourceGroups, "resource_groups")]
    {
        let (world, before) = synced().await;
        assert!(!before.scoped_roles.is_empty(), "the account has roles on domains");
        // Those that nobody holds any more are told by the lists alone.
        for member in world.cloudflare.memberships() {
            world.cloudflare.set_policies(&member.id, Vec::new());
        }
        // That nobody holds anything any more is accepted once it was told.
        world.sync().await;
        world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
        let known = published(&world).await;
        world.cloudflare.answer_null(route);
        for _ in 0..3 {
            world.sync().await;
            let told = manifest(&world).await.capabilities[list].clone();
            assert!(!told.on && told.message.as_ref().unwrap().contains("accept_removals"), "{list}: {told:?}");
            assert!(told.lasting().is_some(), "until somebody accepts it: {told:?}");
            assert_same(&published(&world).await, &known, list);
        }
        world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
        assert!(manifest(&world).await.capabilities[list].on, "{list}");
        assert!(published(&world).await.scoped_roles.len() < known.scoped_roles.len(), "{list}");
    }
}

/// So many times the second page of permission groups has nothing on it.
fn empty_second_page(world: &World, times: u32) {
    let left = std::cell::Cell::new(times);
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/permission_groups") && asked.contains("page=2") && left.get() > 0 {
            left.set(left.get() - 1);
            told["result"] = json!([]);
        }
    }));
}

/// A list that does not tell how long it is ends there: it is read once more for what was known of it, and no oftener.
#[tokio::test]
async fn a_page_of_permission_groups_with_nothing_on_it_takes_no_role_out_where_the_list_tells_of_no_length() {
    let behaviour = Behaviour { permission_groups_result_info: false, roles_api_gone: true, ..Behaviour::default() };
    let world = World::new(Spec { roles: 120, behaviour, ..account(60) });
    world.sync().await;
    let before = published(&world).await;
    empty_second_page(&world, 1);
    world.sync().await;
    assert_same(&published(&world).await, &before, "empty once");
    // The control: what is missing once more is gone.
    empty_second_page(&world, 1_000);
    world.cloudflare.reset_log();
    world.sync().await;
    assert!(published(&world).await.roles.len() < before.roles.len());
    assert_eq!(world.cloudflare.requests(Route::ListPermissionGroups), 2 * 2, "two pages, twice");
}

#[tokio::test]
async fn a_page_of_permission_groups_with_nothing_on_it_is_not_the_end_of_a_list_that_tells_of_more() {
    let world = World::new(Spec { roles: 120, ..account(60) });
    let empty = |times: u32| empty_second_page(&world, times);
    empty(2);
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "the first sync");
    empty(2);
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "the second");
    empty(1_000);
    world.sync().await;
    assert!(!manifest(&world).await.capabilities["permission_groups"].on);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "where it goes on");
    empty(0);
    world.sync().await;
    assert!(manifest(&world).await.capabilities["permission_groups"].on);
}

#[tokio::test]
async fn a_member_who_holds_more_than_is_told_does_not_lose_it_for_good() {
    let (world, _) = synced().await;
    let member = somebody(&world);
    world.cloudflare.make_odd(On::Reads, &member.id, Oddity::Without("policies"));
    world.sync().await;
    // What changes meanwhile is seen once Cloudflare tells it.
    let role = world.cloudflare.permission_group("super_admin").unwrap();
    let whole = world.cloudflare.account_resource_group();
    world.cloudflare.add_policy(&member.id, super_administrator(&world));
    world.sync().await;
    world.cloudflare.make_even();
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "told again");
    let atom: Atom = (Access::Allow, role.id, whole);
    assert!(world.cloudflare.member_atoms(&member.id).contains(&atom));
}

#[tokio::test]
async fn a_membership_whose_own_record_cannot_be_had_is_kept_and_stops_no_sync() {
    for status in [500, 403, 400] {
        let (world, before) = synced().await;
        let member = somebody(&world);
        world.cloudflare.make_odd(Route::ListMembers, &member.id, Oddity::Without("policies"));
        world.cloudflare.fail_next(Route::GetMember, 10_000, Fault::status(status, 7_003));
        let other = world.cloudflare.add_member("newest@example.com", vec![]);
        let mut expected = before;
        expected.users.insert(world.cloudflare.membership(&other).unwrap().user_id.unwrap());
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{status}: {}", run.message);
        assert_same(&published(&world).await, &expected, &format!("{status}"));
        let (count, first) = unreadable(&world, "members").await.expect("it is named");
        assert!(count == 1 && first.contains(&member.id), "{status}: {first}");
        let again = world.sync().await;
        assert_eq!(again.outcome, RunOutcome::Unchanged, "{status}: {}", again.message);
        world.cloudflare.clear_faults();
        world.cloudflare.make_even();
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("{status}, told again"));
        assert_eq!(unreadable(&world, "members").await, None, "{status}");
    }
}

#[tokio::test]
async fn where_nothing_answers_any_more_nobodys_record_is_taken_for_odd() {
    for fault in [Fault::status(503, 1), Fault::status(403, 10_000)] {
        let what = fault.name();
        let (mut world, before) = synced().await;
        let member = somebody(&world);
        world.cloudflare.make_odd(Route::ListMembers, &member.id, Oddity::Without("policies"));
        world.limits.in_flight = 1;
        world.cloudflare.after_page(Route::ListMembers, 2, move |cloudflare, _| {
            cloudflare.fail_next(On::Any, 10_000, fault);
        });
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Failed, "{what}: {}", run.message);
        assert_same(&published(&world).await, &before, &what);
    }
}

/// An account whose records show what user groups give, synced once; one of its members is in a group with a role that the member lacks.
async fn inheriting() -> (World, String, String, [PolicySpec; 2]) {
    let behaviour = Behaviour { lists_inherited_policies: true, ..Behaviour::default() };
    let world = World::new(Spec { groups: 0, behaviour, ..account(60) });
    let cloudflare = &world.cloudflare;
    let member = somebody(&world).id;
    let held = cloudflare.member_atoms(&member);
    let whole = cloudflare.account_resource_group();
    let mut lacks = cloudflare.ordinary_roles().into_iter().filter(|role| !held.iter().any(|atom| atom.1 == role.id));
    let roles = [(); 2].map(|()| PolicySpec::allow(lacks.next().unwrap().id, whole.clone()));
    let group = cloudflare.add_group("Few", vec![roles[0].clone()]);
    cloudflare.join_group(&group, &member);
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "the first sync");
    // Whoever is read by the id shows what the group gives.
    world.cloudflare.make_odd(Route::ListMembers, &member, Oddity::Without("policies"));
    (world, member, group, roles)
}

/// The roles that somebody holds by policies of their own.
fn own_roles(truth: &Truth, world: &World, member: &str) -> Vec<String> {
    let of = format!(":user:{}", world.cloudflare.membership(member).unwrap().user_id.unwrap());
    truth.grants.iter().filter(|grant| grant.starts_with("role:") && grant.ends_with(&of)).cloned().collect()
}

#[tokio::test]
async fn what_a_user_group_gives_is_nobodys_own_where_the_groups_cannot_be_listed() {
    for is_there in [true, false] {
        let (world, ..) = inheriting().await;
        let before = published(&world).await;
        if is_there {
            world.cloudflare.revoke_permission(Permission::UserGroups);
        } else {
            world.cloudflare.fail_next(Route::ListUserGroups, 10_000, Fault::status(404, 1));
        }
        for _ in 0..2 {
            world.sync().await;
            assert_same(&published(&world).await, &before, &format!("the list is there: {is_there}"));
        }
    }
}

#[tokio::test]
async fn what_a_user_group_gives_is_nobodys_own_where_it_changes_while_a_sync_reads() {
    // The group has another role since it was listed.
    let (world, member, group, [_, other]) = inheriting().await;
    world.cloudflare.after_page(Route::ListUserGroups, 1, move |cloudflare, _| {
        cloudflare.set_group_policies(&group, vec![other]);
    });
    world.sync().await;
    let own = own_roles(&world.cloudflare.truth(), &world, &member);
    assert_eq!(own_roles(&published(&world).await, &world, &member), own, "another role");

    // Somebody is in the group since its members were listed.
    let (world, member, group, _) = inheriting().await;
    let late = world.cloudflare.memberships().into_iter().rfind(|it| it.status == "accepted" && it.id != member);
    let late = late.unwrap().id;
    world.cloudflare.make_odd(Route::ListMembers, &late, Oddity::Without("policies"));
    let joins = late.clone();
    world.cloudflare.after_page(Route::ListUserGroupMembers, 1, move |cloudflare, _| {
        cloudflare.join_group(&group, &joins);
    });
    world.sync().await;
    let own = own_roles(&world.cloudflare.truth(), &world, &late);
    assert_eq!(own_roles(&published(&world).await, &world, &late), own, "another member");
}

/// What the others give is told all the same.
#[tokio::test]
async fn what_a_user_group_gives_is_nobodys_own_where_it_changes_beside_one_that_does_not_tell() {
    let (world, member, group, [role, other]) = inheriting().await;
    let silent = world.cloudflare.add_group("Silent", vec![role]);
    world.cloudflare.make_odd(Route::ListUserGroups, &silent, Oddity::NullInPolicies("permission_groups"));
    world.cloudflare.after_page(Route::ListUserGroups, 1, move |cloudflare, _| {
        cloudflare.set_group_policies(&group, vec![other]);
    });
    world.sync().await;
    let own = own_roles(&world.cloudflare.truth(), &world, &member);
    assert_eq!(own_roles(&published(&world).await, &world, &member), own);
}

/// What an operation noted while the crawl read would be taken for the members' own.
#[tokio::test]
async fn what_is_known_to_be_a_user_groups_is_forgotten_only_where_all_groups_are_told_once_more() {
    const NOTED: &str = "noted meanwhile";
    let (world, ..) = inheriting().await;
    let mut known = inherited::group_policies(&world).unwrap();
    known.insert(NOTED.to_owned());
    inherited::note_group_policies(&world, &known).unwrap();
    let is_known = || inherited::group_policies(&world).unwrap().contains(NOTED);
    world.cloudflare.fail_later(Route::ListUserGroups, 1, Fault::status(503, 1));
    world.sync().await;
    assert!(is_known(), "the list failed once the members were read");
    world.sync().await;
    assert!(!is_known(), "the control");
}

#[tokio::test]
async fn what_fails_for_a_moment_is_not_given_up_with_what_is_refused() {
    let (world, before) = synced().await;
    let mut all = world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted");
    let two = [all.next().unwrap(), all.next().unwrap()];
    world.cloudflare.configure(|behaviour| behaviour.unlisted.extend(two.map(|member| member.email)));
    // The one is refused; the other fails in this step and in the next one.
    world.cloudflare.fail_next(Route::GetMember, 1, Fault::status(403, 10_000));
    world.cloudflare.fail_next(Route::GetMember, 8, Fault::status(503, 1));
    world.cloudflare.add_member("newest@example.com", vec![]);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let (count, first) = unreadable(&world, "members").await.expect("one is named");
    assert!(count == 1 && first.contains("HTTP 403"), "{first}");
    assert_ne!(published(&world).await, before);
}

#[tokio::test]
async fn a_page_that_is_another_each_time_makes_no_generation_of_its_own() {
    let (world, _) = synced().await;
    let member = somebody(&world);
    world.cloudflare.configure(|behaviour| behaviour.unlisted.extend([member.email]));
    for (round, text) in ["Ray ID: 1", "Ray ID: 2"].into_iter().enumerate() {
        let message = format!("Simulated failure at the edge. {text}");
        world.cloudflare.clear_faults();
        world.cloudflare.fail_next(Route::GetMember, 10_000, Fault::Status { status: 500, code: 1, message });
        let run = world.sync().await;
        let expected = if round == 0 { RunOutcome::Published } else { RunOutcome::Unchanged };
        assert_eq!(run.outcome, expected, "{text}: {}", run.message);
    }
    let (_, first) = unreadable(&world, "members").await.expect("it is named");
    assert!(first.contains("again and again (HTTP 500, code 1)"), "{first}");
}

#[tokio::test]
async fn who_left_is_not_kept_for_a_record_that_fails_for_a_moment_beside_a_list_that_was_given_up() {
    let (world, _) = synced().await;
    let gone = somebody(&world);
    world.cloudflare.fail_next(Route::ListUserGroupMembers, 100_000, Fault::status(503, 1));
    world.cloudflare.remove_member(&gone.id);
    world.cloudflare.fail_next(Route::GetMember, 4, Fault::status(503, 1));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let published = published(&world).await;
    assert!(!published.users.contains(&gone.user_id.unwrap()), "who is gone is not listed");
    assert_eq!(unreadable(&world, "members").await, None);
}

#[tokio::test]
async fn what_a_user_group_gives_is_nobodys_own_where_the_group_cannot_be_read() {
    for oddity in [Oddity::NullInPolicies("id"), Oddity::NullInPolicies("permission_groups"), Oddity::Without("name")] {
        let (world, member, group, _) = inheriting().await;
        let own = own_roles(&published(&world).await, &world, &member);
        world.cloudflare.make_odd(Route::ListUserGroups, &group, oddity.clone());
        for _ in 0..2 {
            world.sync().await;
            assert_eq!(own_roles(&published(&world).await, &world, &member), own, "{oddity:?}");
        }
    }
}

/// Of a user group, and of nobody else, it is told so that there are none.
#[tokio::test]
async fn a_user_group_that_is_told_without_policies_has_none_any_more() {
    for oddity in [Oddity::Null("policies"), Oddity::Without("policies"), Oddity::Empty("policies")] {
        let what = format!("{oddity:?}");
        let (world, _, group, _) = inheriting().await;
        let gives = |truth: &Truth| truth.grants.iter().any(|grant| grant.ends_with(&format!(":group:{group}")));
        assert!(gives(&published(&world).await), "{what}");
        world.cloudflare.set_group_policies(&group, vec![]);
        world.cloudflare.make_odd(On::Reads, &group, oddity);
        for _ in 0..2 {
            let run = world.sync().await;
            assert_eq!(run.warnings, Vec::<String>::new(), "{what}");
            let now = published(&world).await;
            assert!(!gives(&now), "{what}");
            assert_same(&now, &world.cloudflare.truth(), &what);
            assert_eq!(unreadable(&world, "user_groups").await, None, "{what}");
        }
    }
}

/// The list may have left them out: the group's own record tells.
#[tokio::test]
async fn a_user_group_that_the_list_alone_tells_without_policies_gives_what_its_own_record_says() {
    for (oddity, own_fails) in
        [(Oddity::Null("policies"), false), (Oddity::Without("policies"), false), (Oddity::Null("policies"), true)]
    {
        let what = format!("{oddity:?} {own_fails}");
        let (world, _, group, _) = inheriting().await;
        let before = published(&world).await;
        world.cloudflare.make_odd(Route::ListUserGroups, &group, oddity);
        if own_fails {
            world.cloudflare.fail_next(Route::GetUserGroup, 100, Fault::status(500, 1));
        }
        world.sync().await;
        assert_same(&published(&world).await, &before, &what);
        assert_eq!(unreadable(&world, "user_groups").await.is_some(), own_fails, "{what}");
    }
}

/// Whether somebody is published as a member of a user group.
fn is_in(truth: &Truth, group: &str, member: &Membership) -> bool {
    truth.grants.contains(&format!("group:{group}:member:user:{}", member.user_id.clone().unwrap()))
}

/// An account that was never synced, with a user group that gives something and one that gives nothing. The list tells neither's policies, and somebody is
/// in both.
fn silent_from_the_first(oddity: &Oddity) -> (World, [String; 2], Membership) {
    let world = World::new(Spec { groups: 0, ..account(60) });
    let role = world.cloudflare.ordinary_roles().remove(0);
    let gives = PolicySpec::allow(role.id, world.cloudflare.account_resource_group());
    let groups =
        [("Giving", vec![gives]), ("Idle", vec![])].map(|(name, gives)| world.cloudflare.add_group(name, gives));
    let member = somebody(&world);
    for group in &groups {
        world.cloudflare.join_group(group, &member.id);
        world.cloudflare.make_odd(Route::ListUserGroups, group, oddity.clone());
    }
    (world, groups, member)
}

#[tokio::test]
async fn a_user_group_that_its_list_tells_without_policies_gives_what_its_own_record_says_at_the_first_sync_too() {
    for oddity in [Oddity::Without("policies"), Oddity::Null("policies")] {
        let what = format!("{oddity:?}");
        let (world, ..) = silent_from_the_first(&oddity);
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), &what);
        assert_eq!(unreadable(&world, "user_groups").await, None, "{what}");
        for _ in 0..3 {
            world.cloudflare.reset_log();
            let run = world.sync().await;
            assert_eq!((run.outcome, run.warnings), (RunOutcome::Unchanged, Vec::new()), "{what}: {}", run.message);
            assert_eq!(world.cloudflare.requests(Route::GetUserGroup), 1, "{what}: the one that gives something");
        }
    }
}

/// Nor is it known the second time, with nothing that changed: it is asked for until it tells.
#[tokio::test]
async fn a_user_group_of_which_nothing_was_ever_told_is_named_until_its_own_record_tells_what_it_gives() {
    let (world, groups, member) = silent_from_the_first(&Oddity::Without("policies"));
    world.cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(500, 1));
    for _ in 0..3 {
        world.sync().await;
        let told = unreadable(&world, "user_groups").await.unwrap();
        assert!(told.0 == 2 && groups.iter().all(|group| told.1.contains(group)), "{told:?}");
        let now = published(&world).await;
        assert!(groups.iter().all(|group| is_in(&now, group, &member)), "who is in them is known");
    }
    world.cloudflare.clear_faults();
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "told");
    assert_eq!(unreadable(&world, "user_groups").await, None);
}

/// The list tells of it what it told before, but for when it changed.
#[tokio::test]
async fn a_user_group_that_gave_nothing_and_that_its_list_tells_without_policies_is_asked_for_again_once_it_changed() {
    let (world, [_, idle], _) = silent_from_the_first(&Oddity::Without("policies"));
    for _ in 0..2 {
        world.sync().await;
    }
    let role = world.cloudflare.ordinary_roles().remove(0);
    let gives = PolicySpec::allow(role.id, world.cloudflare.account_resource_group());
    world.cloudflare.set_group_policies(&idle, vec![gives]);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "told");
}

/// Nobody was told that it gives nothing, and it may give something once its own record can be read again.
#[tokio::test]
async fn a_user_group_that_is_accepted_as_its_list_has_it_stays_so_until_its_own_record_tells_what_it_gives() {
    let (world, ..) = silent_from_the_first(&Oddity::Without("policies"));
    world.cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(500, 1));
    world.sync().await;
    assert_eq!(unreadable(&world, "user_groups").await.map(|told| told.0), Some(2));
    world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
    for _ in 0..2 {
        assert_eq!(unreadable(&world, "user_groups").await, None, "it is accepted once");
        world.sync().await;
    }
    world.cloudflare.clear_faults();
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "told");
}

/// They are asked for with each sync, which asks for no more than so many.
#[tokio::test]
async fn user_groups_that_were_accepted_as_their_list_has_them_keep_no_other_from_being_asked_for() {
    let mut world = World::new(Spec { groups: 0, ..account(60) });
    let add = |world: &World, name: &str| {
        let group = world.cloudflare.add_group(name, vec![]);
        world.cloudflare.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
    };
    for n in 0..25 {
        add(&world, &format!("Group {n:02}"));
    }
    world.cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(500, 1));
    world.sync().await;
    // Five of them at a time.
    for left in [20, 15, 10, 5, 0] {
        world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
        assert_eq!(unreadable(&world, "user_groups").await.map_or(0, |told| told.0), left);
    }
    world.cloudflare.clear_faults();
    for n in 0..3 {
        add(&world, &format!("New {n}"));
    }
    // A quarter of it is for these.
    world.limits.requests = 48;
    world.sync().await;
    assert_eq!(unreadable(&world, "user_groups").await, None);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "the new ones have told");
}

#[tokio::test]
async fn many_user_groups_that_their_list_tells_without_policies_are_asked_for_by_turns_and_those_that_give_nothing_once()
 {
    let mut world = World::new(Spec { groups: 0, ..account(60) });
    // A quarter of it is for these.
    world.limits.requests = 48;
    let role = world.cloudflare.ordinary_roles().remove(0);
    let gives = PolicySpec::allow(role.id, world.cloudflare.account_resource_group());
    let mut last = String::new();
    for n in 0..30 {
        // Eight of them give something.
        let policies = if n % 4 == 0 { vec![gives.clone()] } else { vec![] };
        last = world.cloudflare.add_group(&format!("Group {n:02}"), policies);
        world.cloudflare.make_odd(Route::ListUserGroups, &last, Oddity::Without("policies"));
    }
    let member = somebody(&world);
    world.cloudflare.join_group(&last, &member.id);
    // The first puts together twice what it read, since it learns of scoped roles whose objects' names are asked for then: twelve groups each time, and
    // of the first twelve the three that give something once more.
    for left in [9, 0] {
        world.sync().await;
        let told = unreadable(&world, "user_groups").await;
        assert_eq!(told.map_or(0, |(count, _)| count), left);
        assert!(is_in(&published(&world).await, &last, &member), "{left}: also of one that nobody was asked about");
    }
    assert_same(&published(&world).await, &world.cloudflare.truth(), "all have told");
    world.cloudflare.reset_log();
    world.sync().await;
    assert_eq!(world.cloudflare.requests(Route::GetUserGroup), 8, "those that give something");
    assert_same(&published(&world).await, &world.cloudflare.truth(), "and stays so");
}

#[tokio::test]
async fn a_user_group_that_is_empty_all_of_a_sudden_is_believed_by_the_second_sync_and_a_small_one_by_the_first() {
    for (size, is_doubted) in [(4, true), (2, false)] {
        let world = World::new(Spec { groups: 0, ..account(60) });
        let group = world.cloudflare.add_group("Many", vec![]);
        let people = world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted").take(size);
        for member in people {
            world.cloudflare.join_group(&group, &member.id);
        }
        world.sync().await;
        let before = published(&world).await;
        world.cloudflare.answer_null(Route::ListUserGroupMembers);
        let lost = || async { before.grants.difference(&published(&world).await.grants).count() };
        world.sync().await;
        assert_eq!(lost().await, if is_doubted { 0 } else { size });
        let told = manifest(&world).await.capabilities["user_group_members"].clone();
        assert_eq!(told.on, !is_doubted, "{told:?}");
        world.sync().await;
        assert_eq!(lost().await, size);
        assert!(manifest(&world).await.capabilities["user_group_members"].on);
    }
}

/// Each list is doubted by itself, whatever cannot be read beside it.
#[tokio::test]
async fn a_user_group_that_is_empty_all_of_a_sudden_is_doubted_also_where_another_cannot_be_read() {
    let world = World::new(Spec { groups: 0, ..account(60) });
    let [broken, group] = ["Broken", "Many"].map(|name| world.cloudflare.add_group(name, vec![]));
    let people = world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted");
    for member in people.take(5) {
        world.cloudflare.join_group(&group, &member.id);
        world.cloudflare.join_group(&broken, &member.id);
    }
    world.sync().await;
    let before = published(&world).await;
    world.cloudflare.break_group(&broken, true);
    for _ in 0..2 {
        world.sync().await;
    }
    let lost = || async { before.grants.difference(&published(&world).await.grants).count() };
    let off = async || manifest(&world).await.capabilities["user_group_members"].clone();
    let refused = off().await;
    assert!(refused.lasting().is_some(), "{refused:?}");
    world.cloudflare.answer_null(Route::ListUserGroupMembers);
    world.sync().await;
    assert_eq!(lost().await, 0, "kept once");
    let beside = off().await;
    assert_ne!(beside, refused, "the other is told as well");
    assert_eq!(beside.lasting(), refused.lasting(), "which may pass: {beside:?}");
    world.sync().await;
    assert_eq!(lost().await, 5, "the group that can be read is empty");
    // Kept for as long as that one cannot be read.
    world.sync().await;
    assert_eq!(lost().await, 5);
    // Told once more, it is doubted anew.
    world.cloudflare.make_even();
    world.sync().await;
    assert_eq!(lost().await, 0);
    world.cloudflare.answer_null(Route::ListUserGroupMembers);
    world.sync().await;
    assert_eq!(lost().await, 0, "kept once more");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_not_believed_to_be_empty_by_the_first_sync_that_reads_it() {
    let (world, before) = synced().await;
    world.cloudflare.fail_next(Route::ListUserGroups, 100, Fault::status(500, 10_000));
    world.sync().await;
    let off = manifest(&world).await.capabilities["user_groups"].clone();
    assert_eq!((off.on, off.lasting()), (false, None), "it may pass: {off:?}");
    world.cloudflare.clear_faults();
    world.cloudflare.answer_null(Route::ListUserGroups);
    world.sync().await;
    assert_same(&published(&world).await, &before, "kept once");
    world.sync().await;
    assert!(published(&world).await.groups.is_empty());
}

#[tokio::test]
async fn a_list_with_thousands_of_records_that_cannot_be_read_is_kept_as_it_was_and_ends_no_sync() {
    let (world, before) = synced().await;
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/iam/resource_groups") {
            let name = "x".repeat(90);
            let odd = (0..12_000).map(|n| json!({ "id": format!("odd {n} {name}"), "name": format!("{name} {n}") }));
            told["result"].as_array_mut().unwrap().extend(odd);
        }
    }));
    for _ in 0..2 {
        let run = world.sync().await;
        assert!(matches!(run.outcome, RunOutcome::Published | RunOutcome::Unchanged), "{}", run.message);
        assert_same(&published(&world).await, &before, "kept");
        let told = manifest(&world).await.capabilities["resource_groups"].clone();
        assert!(
            told.message.as_ref().is_some_and(|why| why.contains("12000 of its records cannot be read")),
            "{told:?}"
        );
    }
    *world.bends.borrow_mut() = None;
    world.sync().await;
    assert!(manifest(&world).await.capabilities["resource_groups"].on);
}

#[tokio::test]
async fn a_domain_whose_record_is_odd_is_as_it_was() {
    let world = World::new(account(20));
    for domain in ["example.com", "example.org"] {
        world.cloudflare.set_sso_domain(domain, "verified", true);
    }
    world.sync().await;
    let before = manifest(&world).await.posture.sso_domains;
    assert_eq!(before.len(), 2);
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/sso_connectors") {
            told["result"][0].as_object_mut().unwrap().remove("email_domain");
        }
    }));
    for accept_removals in [true, false] {
        world.sync_as(Trigger { by: "test".to_owned(), accept_removals }).await;
        assert_eq!(manifest(&world).await.posture.sso_domains, before, "{accept_removals}");
    }
    // What was told is accepted: it may be that of one that is there no more.
    world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
    assert_eq!(manifest(&world).await.posture.sso_domains.len(), 1);
    *world.bends.borrow_mut() = None;
    world.sync().await;
    assert_eq!(manifest(&world).await.posture.sso_domains, before);
    // One that is gone is gone.
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/sso_connectors") {
            told["result"].as_array_mut().unwrap().remove(0);
        }
    }));
    world.sync().await;
    assert_eq!(manifest(&world).await.posture.sso_domains.len(), 1);
}
