//! What the token may no longer read, what Cloudflare no longer offers, and people who disappear all at once.

use c1_cloudflare::account::names;
use c1_cloudflare::base::ports::Secret;
use c1_cloudflare::model::id::RoleId;
use c1_cloudflare::sync::{self, RunOutcome, SyncState, Trigger};
use serde_json::json;
use sim::cloudflare::{Behaviour, Fault, Limits, Permission, PolicySpec, Route, Spec};

use super::account;
use super::oracle::{assert_same, manifest, published, still_offering};
use crate::support::World;

fn accepting() -> Trigger {
    Trigger { by: "api".to_owned(), accept_removals: true }
}

#[tokio::test]
async fn a_list_that_can_no_longer_be_read_keeps_its_rows_and_says_what_to_do() {
    let cases = [
        (Permission::Tokens, "tokens", "Account API Tokens: Read"),
        (Permission::UserGroups, "user_groups", "Account Settings: Read"),
    ];
    for (permission, list, label) in cases {
        let world = World::new(account(120));
        let first = world.sync().await;
        let before = published(&world).await;
        world.cloudflare.revoke_permission(permission);
        for _ in 0..2 {
            world.sync().await;
            assert_same(&published(&world).await, &before, list);
            let status = sync::status(&world).unwrap();
            assert_eq!(status.state, SyncState::Connected);
            let capability = &status.capabilities[list];
            assert!(!capability.on && capability.message.as_ref().unwrap().contains(label), "{capability:?}");
            assert_eq!(capability.kept_from, first.generation, "{list}");
        }
        assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "a list that is off is not a change each time");

        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, RunOutcome::Published);
        let without = published(&world).await;
        assert!(if list == "tokens" { without.tokens.is_empty() } else { without.groups.is_empty() });
        assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "what was accepted stays accepted");

        world.cloudflare.allow_permission(permission);
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), list);
        assert!(sync::status(&world).unwrap().capabilities[list].on);
    }
}

#[tokio::test]
async fn entitlements_outlive_every_list_that_names_them() {
    for permission in [Permission::Roles, Permission::PermissionGroups, Permission::ResourceGroups] {
        let world = World::new(account(120));
        world.sync().await;
        world.cloudflare.revoke_permission(permission);
        let run = world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("{permission:?}: {}", run.message));
    }
    let world = World::new(account(120));
    world.sync().await;
    world.cloudflare.configure(|behaviour| behaviour.roles_api_gone = true);
    for _ in 0..2 {
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), "the roles API is gone");
    }
    let message = sync::status(&world).unwrap().capabilities["roles"].message.clone().unwrap();
    assert!(message.contains("no longer offers"), "{message}");
}

#[tokio::test]
async fn an_account_that_never_told_its_roles_is_governed_by_permission_groups() {
    let behaviour = Behaviour { roles_api_gone: true, ..Behaviour::default() };
    let world = World::new(Spec { behaviour, ..account(120) });
    world.sync().await;
    let truth = world.cloudflare.truth();
    let published = published(&world).await;
    assert_eq!((published.users, published.roles.len()), (truth.users, truth.roles.len()));
    assert_eq!(published.grants.len(), truth.grants.len());
    let administrator: RoleId = sim::cloudflare::SUPER_ADMINISTRATOR.parse().unwrap();
    let group = names::permission_group_of(&world, administrator).unwrap().unwrap();
    assert_eq!(group.to_string(), world.cloudflare.permission_group("super_admin").unwrap().id);
    assert_eq!(manifest(&world).await.naming.role_of(group), administrator);
}

#[tokio::test]
async fn roles_and_permission_groups_are_looked_up_both_ways() {
    let world = World::new(account(50));
    world.sync().await;
    let naming = manifest(&world).await.naming;
    for group in world.cloudflare.permission_groups().iter().filter(|group| group.account_wide) {
        let (role, id) = (group.governed_as().parse().unwrap(), group.id.parse().unwrap());
        assert_eq!(names::permission_group_of(&world, role).unwrap(), Some(id), "{}", group.name);
        assert_eq!(naming.role_of(id), role, "{}", group.name);
    }
    let whole = naming.account_resource_group.unwrap();
    assert_eq!(whole.to_string(), world.cloudflare.account_resource_group());
}

#[tokio::test]
async fn a_user_group_whose_members_cannot_be_read_keeps_them() {
    let world = World::new(account(120));
    world.sync().await;
    let truth = world.cloudflare.truth();
    let group = truth.groups.keys().find(|group| truth.grants.iter().any(|grant| grant.contains(*group))).unwrap();
    world.cloudflare.break_group(group, true);
    world.sync().await;
    assert_same(&published(&world).await, &truth, "broken");
    let capability = sync::status(&world).unwrap().capabilities["user_group_members"].clone();
    assert!(capability.message.unwrap().contains(group.as_str()));
    world.cloudflare.break_group(group, false);
    world.sync().await;
    assert_same(&published(&world).await, &truth, "mended");
}

#[tokio::test]
async fn a_mass_disappearance_is_held_back_until_somebody_accepts_it() {
    let world = World::new(account(200));
    world.sync().await;
    let before = published(&world).await;
    for member in world.cloudflare.memberships().iter().skip(10).take(21) {
        world.cloudflare.remove_member(&member.id);
    }
    for _ in 0..2 {
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Held);
        assert!(run.message.starts_with("21 of 200") && run.message.contains("accept_removals"), "{}", run.message);
        assert_same(&published(&world).await, &before, "held");
        assert_eq!(sync::status(&world).unwrap().state, SyncState::Error);
    }
    let run = world.sync_as(accepting()).await;
    assert_eq!(run.outcome, RunOutcome::Published);
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "accepted");
    // Seventeen of 179 are no more than a tenth, seventeen of 162 are.
    for expected in [RunOutcome::Published, RunOutcome::Held] {
        for member in world.cloudflare.memberships().iter().skip(10).take(17) {
            world.cloudflare.remove_member(&member.id);
        }
        let run = world.sync().await;
        assert_eq!(run.outcome, expected, "{}", run.message);
    }
}

/// Another token may be shown less, and hours later more may be gone, than was told to whoever accepted.
#[tokio::test]
async fn a_sync_that_starts_over_accepts_nothing_any_more() {
    for starts_over in ["another token", "six hours", ""] {
        let mut world = World::new(account(200));
        world.sync().await;
        let lose = |world: &World, count: usize| {
            for member in world.cloudflare.memberships().iter().skip(10).take(count) {
                world.cloudflare.remove_member(&member.id);
            }
        };
        lose(&world, 21);
        assert_eq!(world.sync().await.outcome, RunOutcome::Held);
        (world.limits.pages, world.limits.in_flight) = (1, 1);
        world.advance(900);
        sync::begin(&world, &world.config.cloudflare, accepting()).unwrap();
        sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
        assert!(sync::status(&world).unwrap().running.is_some());
        match starts_over {
            "another token" => world.config.cloudflare.token = Secret::new(world.cloudflare.user_token()),
            "six hours" => world.advance(6 * 60 * 60 + 1),
            _ => {
                assert_eq!(world.finish().await.outcome, RunOutcome::Published, "the control");
                continue;
            }
        }
        lose(&world, 80);
        let run = world.finish().await;
        assert_eq!(run.outcome, RunOutcome::Held, "{starts_over}: {}", run.message);
        assert!(run.message.starts_with("101 of 200"), "{starts_over}: {}", run.message);
        // What is told now is what is accepted now.
        assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Published, "{starts_over}");
    }
}

/// Bends answers so that no record in them tells of any policy or role.
fn without_policies(world: &World, is_of: fn(&str) -> bool) {
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if !is_of(asked) {
            return;
        }
        let records = match &mut told["result"] {
            serde_json::Value::Array(records) => records.as_mut_slice(),
            record => std::slice::from_mut(record),
        };
        for record in records {
            for field in ["policies", "roles"] {
                if record.get(field).is_some() {
                    record[field] = json!([]);
                }
            }
        }
    }));
}

#[tokio::test]
async fn the_grants_of_everybody_are_not_gone_for_an_answer_without_any_until_somebody_accepts_that() {
    let world = World::new(account(60));
    world.sync().await;
    let before = published(&world).await;
    without_policies(&world, |asked| asked.contains("/members?") && !asked.contains("/user_groups/"));
    for _ in 0..2 {
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Held, "{}", run.message);
        assert!(run.message.starts_with("all own grants of ") && run.message.contains("members"), "{}", run.message);
        assert!(run.message.contains("accept_removals"), "{}", run.message);
        assert_same(&published(&world).await, &before, "held");
        assert_eq!(sync::status(&world).unwrap().state, SyncState::Error);
    }
    let run = world.sync_as(accepting()).await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let by_groups = |grant: &String| grant.starts_with("group:") || grant.contains(":member:group:");
    assert!(published(&world).await.grants.iter().all(by_groups), "accepted");
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "what was accepted stays accepted");
}

/// Ten of any number are no mass, and what the connector itself did is none.
#[tokio::test]
async fn members_who_hold_nothing_any_more_are_held_back_where_they_are_more_than_ten_and_not_ours() {
    for (count, is_ours, expected) in [
        (1, false, RunOutcome::Published),
        (10, false, RunOutcome::Published),
        (11, false, RunOutcome::Held),
        (11, true, RunOutcome::Published),
    ] {
        let world = World::new(account(60));
        world.sync().await;
        let before = published(&world).await;
        let members = world.cloudflare.memberships().into_iter();
        let holders = members.filter(|member| !world.cloudflare.member_atoms(&member.id).is_empty());
        for member in holders.skip(3).take(count) {
            world.cloudflare.set_policies(&member.id, vec![]);
            if is_ours {
                let record = super::overlay::read(&world, &member.id).await.unwrap();
                super::overlay::note(&world, &record, false, None).await;
            }
        }
        let run = world.sync().await;
        assert_eq!(run.outcome, expected, "{count} {is_ours}: {}", run.message);
        if expected == RunOutcome::Held {
            assert!(run.message.starts_with("all own grants of 11 of "), "{}", run.message);
            assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Published);
        }
        let truth = still_offering(world.cloudflare.truth(), &before);
        assert_same(&published(&world).await, &truth, &format!("{count} {is_ours}"));
    }
}

/// A user group takes the place of what they held of their own; who was in it before holds less than they did.
#[tokio::test]
async fn who_is_put_into_a_user_group_for_what_they_held_holds_no_sync_back() {
    for is_moved in [true, false] {
        let world = World::new(account(60));
        let role = world.cloudflare.ordinary_roles().remove(0);
        let gives = PolicySpec::allow(role.id, world.cloudflare.account_resource_group());
        let group = world.cloudflare.add_group("Operators", vec![gives]);
        let moved: Vec<String> = holders(&world).into_iter().take(11).collect();
        let join = || moved.iter().for_each(|id| world.cloudflare.join_group(&group, id));
        if !is_moved {
            join();
        }
        world.sync().await;
        if is_moved {
            join();
        }
        for id in &moved {
            world.cloudflare.set_policies(id, vec![]);
        }
        let run = world.sync().await;
        let expected = if is_moved { RunOutcome::Published } else { RunOutcome::Held };
        assert_eq!(run.outcome, expected, "{is_moved}: {}", run.message);
    }
}

/// Those who hold something of their own, but for the first three.
fn holders(world: &World) -> Vec<String> {
    let members = world.cloudflare.memberships().into_iter().map(|member| member.id);
    members.filter(|id| !world.cloudflare.member_atoms(id).is_empty()).skip(3).collect()
}

/// However many syncs failed since it was told, and not where it was told of nothing yet.
#[tokio::test]
async fn an_acceptance_is_of_what_the_last_sync_was_held_for_and_of_no_list() {
    for (is_told, fails) in [(true, false), (true, true), (false, false)] {
        let what = format!("{is_told} {fails}");
        let world = World::new(account(60));
        world.sync().await;
        world.cloudflare.revoke_permission(Permission::Tokens);
        world.sync().await;
        let before = published(&world).await;
        assert!(!before.tokens.is_empty());
        holders(&world).iter().take(11).for_each(|id| world.cloudflare.set_policies(id, vec![]));
        let run = if is_told { world.sync().await } else { world.sync_as(accepting()).await };
        assert_eq!(run.outcome, RunOutcome::Held, "{what}: {}", run.message);
        assert_same(&published(&world).await, &before, &what);
        if fails {
            world.cloudflare.revoke_permission(Permission::Members);
            assert_eq!(world.sync().await.outcome, RunOutcome::Failed, "{what}");
            world.cloudflare.allow_permission(Permission::Members);
        }
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
        assert!(run.warnings.iter().any(|told| told.contains("until one more acceptance")), "{:?}", run.warnings);
        let after = published(&world).await;
        assert!(after.grants.len() < before.grants.len(), "{what}");
        assert_eq!(after.tokens, before.tokens, "{what}: the tokens are there");
        // The control: nothing else is held, so this is about the list.
        let run = world.sync_as(accepting()).await;
        assert_eq!((run.outcome, run.warnings), (RunOutcome::Published, Vec::new()), "{what}: {}", run.message);
        assert!(published(&world).await.tokens.is_empty(), "{what}");
    }
}

/// It was told to nobody; what was told is dropped all the same.
#[tokio::test]
async fn an_acceptance_takes_nothing_of_a_list_that_goes_wrong_for_the_first_time_in_that_very_sync() {
    type Spoil = fn(&World);
    let cases: [(&str, bool, Spoil); 4] = [
        ("refused", true, |world| world.cloudflare.revoke_permission(Permission::UserGroups)),
        ("refused once", false, |world| {
            world.cloudflare.fail_next(Route::ListUserGroups, 1, Fault::status(404, 7_003));
        }),
        ("empty", true, |world| world.cloudflare.answer_null(Route::ListUserGroups)),
        ("members", true, |world| {
            world.cloudflare.fail_next(Route::ListUserGroupMembers, 1_000, Fault::status(403, 10_000));
        }),
    ];
    for (what, is_dropped, spoil) in cases {
        let world = World::new(account(120));
        world.sync().await;
        world.cloudflare.revoke_permission(Permission::Tokens);
        world.sync().await;
        let before = published(&world).await;
        assert!(!before.tokens.is_empty(), "{what}");
        spoil(&world);
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
        let after = published(&world).await;
        assert!(after.tokens.is_empty(), "{what}: which was told");
        assert_eq!((&after.groups, &after.grants), (&before.groups, &before.grants), "{what}");
        // The control: by now it is told, where it is so still.
        world.sync_as(accepting()).await;
        assert_eq!(published(&world).await.grants.len() < before.grants.len(), is_dropped, "{what}");
    }
}

/// Nor of what passes by itself.
#[tokio::test]
async fn an_acceptance_takes_nothing_of_a_list_that_goes_wrong_otherwise_than_was_told() {
    type Spoil = fn(&World);
    let fails: Spoil = |world| world.cloudflare.fail_next(Route::ListUserGroups, 100_000, Fault::status(503, 1));
    let cases: [(&str, Spoil, Spoil); 4] = [
        ("it failed, and is empty", fails, |world| world.cloudflare.answer_null(Route::ListUserGroups)),
        ("it failed, and is refused", fails, |world| {
            world.cloudflare.fail_next(Route::ListUserGroups, 1, Fault::status(403, 10_000));
        }),
        ("it failed, and tells of more", fails, |world| {
            *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
                if asked.contains("/iam/user_groups?") {
                    told["result"].as_array_mut().unwrap().truncate(1);
                }
            }));
        }),
        (
            "members failed, and are refused",
            |world| world.cloudflare.fail_next(Route::ListUserGroupMembers, 100_000, Fault::status(503, 1)),
            |world| world.cloudflare.fail_next(Route::ListUserGroupMembers, 1_000, Fault::status(403, 10_000)),
        ),
    ];
    for (what, told, then) in cases {
        let world = World::new(account(120));
        world.sync().await;
        world.cloudflare.revoke_permission(Permission::Tokens);
        told(&world);
        world.sync().await;
        let before = published(&world).await;
        assert!(before.groups.len() > 1 && !before.tokens.is_empty(), "{what}");
        world.cloudflare.clear_faults();
        then(&world);
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
        let after = published(&world).await;
        assert!(after.tokens.is_empty(), "{what}: the control, which was told");
        assert_eq!((&after.groups, &after.grants), (&before.groups, &before.grants), "{what}");
    }
}

/// Some user groups in the order of their ids, with the same three members in each, and the first of these, synced.
async fn with_members(count: usize) -> (World, Vec<String>, String) {
    let (world, mut groups) = with_groups(count).await;
    groups.sort();
    let members = world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted");
    let members: Vec<String> = members.take(3).map(|member| member.id).collect();
    for member in &members {
        for group in &groups {
            world.cloudflare.join_group(group, member);
        }
    }
    world.sync().await;
    (world, groups, members[0].clone())
}

/// How many are published to be in each of these user groups.
async fn members_of(world: &World, groups: &[String]) -> Vec<usize> {
    let grants = published(world).await.grants;
    let of = |group: &String| grants.iter().filter(|it| it.starts_with(&format!("group:{group}:member"))).count();
    groups.iter().map(of).collect()
}

/// Changes what is told of the members of a user group.
type Change = fn(&mut serde_json::Value);

/// Bends what is told of the members of some user groups.
fn bend_members(world: &World, changes: &[(&String, Change)]) {
    let list = |(group, change): &(&String, Change)| (format!("/user_groups/{group}/members?"), *change);
    let changes: Vec<(String, Change)> = changes.iter().map(list).collect();
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        for (list, change) in &changes {
            if asked.contains(list.as_str()) {
                change(told);
            }
        }
    }));
}

/// As it is.
const FINE: Change = |_| ();
const CUT_SHORT: Change = |told| told["result"].as_array_mut().unwrap().truncate(1);
const UNREADABLE: Change = |told| told["result"] = json!("x");

/// Which user groups are refused is told, and another one is not what is accepted.
#[tokio::test]
async fn an_acceptance_takes_the_members_of_no_other_user_group_than_was_told() {
    let (world, groups, _) = with_members(3).await;
    world.cloudflare.break_group(&groups[2], true);
    world.sync().await;
    assert_eq!(members_of(&world, &groups).await, [3, 3, 3], "told");
    // The first group is asked for first.
    world.cloudflare.fail_next(Route::ListUserGroupMembers, 1, Fault::status(403, 10_000));
    world.sync_as(accepting()).await;
    assert_eq!(members_of(&world, &groups).await, [3, 3, 3], "another one is refused too");
    // The control: the one alone, once more.
    world.sync().await;
    world.sync_as(accepting()).await;
    assert_eq!(members_of(&world, &groups).await, [3, 3, 0], "which was told");
}

/// What may pass may be another thing each time: it is not what is accepted, and stands against none of that.
#[tokio::test]
async fn the_members_of_a_user_group_that_is_refused_are_accepted_however_another_one_fails_meanwhile() {
    let cases = [(UNREADABLE, CUT_SHORT), (CUT_SHORT, UNREADABLE), (UNREADABLE, FINE), (FINE, UNREADABLE)];
    for (place, (told, then)) in cases.into_iter().enumerate() {
        let (world, groups, _) = with_members(3).await;
        world.cloudflare.break_group(&groups[2], true);
        bend_members(&world, &[(&groups[0], told)]);
        world.sync().await;
        assert_eq!(members_of(&world, &groups).await, [3, 3, 3], "{place}: told");
        bend_members(&world, &[(&groups[0], then)]);
        world.sync_as(accepting()).await;
        assert_eq!(members_of(&world, &groups).await, [3, 3, 0], "{place}");
    }
}

/// Be the other one empty all of a sudden, or cut short for the first time, and be it told that it failed, or nothing.
#[tokio::test]
async fn who_accepts_what_the_members_list_of_one_user_group_gives_accepts_that_of_no_other() {
    const COUNTS_THREE: Change = |told| told["result_info"]["total_count"] = json!(3);
    const EMPTY: Change = |told| *told = json!({ "success": true, "errors": [], "messages": [], "result": [] });
    const NOBODY: Change = |told| told["result"] = json!([]);
    let cases = [(0, FINE, EMPTY), (1, FINE, CUT_SHORT), (0, UNREADABLE, NOBODY), (1, UNREADABLE, CUT_SHORT)];
    for (left, before, other) in cases {
        let (world, groups, member) = with_members(3).await;
        world.cloudflare.leave_group(&groups[0], &member);
        bend_members(&world, &[(&groups[0], COUNTS_THREE), (&groups[1], before)]);
        world.sync().await;
        assert_eq!(members_of(&world, &groups).await, [3, 3, 3], "{left}: told");
        bend_members(&world, &[(&groups[0], COUNTS_THREE), (&groups[1], other)]);
        world.sync_as(accepting()).await;
        assert_eq!(members_of(&world, &groups).await, [2, 3, 3], "{left}: the one that was told");
        // The control: by now the other one is told.
        world.sync_as(accepting()).await;
        assert_eq!(members_of(&world, &groups).await, [2, left, 3], "{left}");
    }
}

/// Not all of them are named.
#[tokio::test]
async fn what_the_members_lists_of_many_user_groups_give_that_tell_of_more_is_accepted_at_once() {
    let (world, groups, _) = with_members(7).await;
    let changes: Vec<(&String, Change)> = groups.iter().map(|group| (group, CUT_SHORT)).collect();
    bend_members(&world, &changes);
    world.sync().await;
    assert_eq!(members_of(&world, &groups).await, [3; 7], "told");
    world.sync_as(accepting()).await;
    assert_eq!(members_of(&world, &groups).await, [1; 7]);
}

#[tokio::test]
async fn an_acceptance_that_comes_once_nothing_is_held_any_more_takes_no_list_that_fails_once() {
    let world = World::new(account(60));
    world.sync().await;
    let before = published(&world).await;
    without_policies(&world, |asked| asked.contains("/members?") && !asked.contains("/user_groups/"));
    assert_eq!(world.sync().await.outcome, RunOutcome::Held);
    *world.bends.borrow_mut() = None;
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
    world.cloudflare.fail_next(Route::ListUserGroups, 1, Fault::status(403, 10_000));
    world.sync_as(accepting()).await;
    assert_same(&published(&world).await, &before, "kept");
}

#[tokio::test]
async fn a_sync_that_is_held_tells_of_all_that_is_gone() {
    let world = World::new(account(100));
    world.sync().await;
    let (holders, before) = (holders(&world), published(&world).await);
    holders.iter().take(12).for_each(|id| world.cloudflare.remove_member(id));
    holders.iter().skip(12).take(40).for_each(|id| world.cloudflare.set_policies(id, vec![]));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Held, "{}", run.message);
    let told = "12 of 100 members and invitations and all own grants of 40 of ";
    assert!(run.message.starts_with(told), "{}", run.message);
    let run = world.sync_as(accepting()).await;
    assert_eq!(run.outcome, RunOutcome::Published);
    // More may be gone by then than was told.
    assert!(run.warnings.iter().any(|warning| warning.starts_with(told)), "{:?}", run.warnings);
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "accepted");
}

/// An account with some user groups, each of which gives something, synced once.
async fn with_groups(count: usize) -> (World, Vec<String>) {
    let world = World::new(Spec { groups: 0, ..account(60) });
    let role = world.cloudflare.ordinary_roles().remove(0);
    let gives = PolicySpec::allow(role.id, world.cloudflare.account_resource_group());
    let add = |n: usize| world.cloudflare.add_group(&format!("Group {n}"), vec![gives.clone()]);
    let groups = (0..count).map(add).collect();
    world.sync().await;
    (world, groups)
}

/// One or two are taken back as everyday work; three of four are not, nor is what all of more give than are asked for themselves.
#[tokio::test]
async fn what_most_user_groups_gave_is_held_back_where_it_is_gone_at_once() {
    for (count, of, expected) in [
        (2, 4, RunOutcome::Published),
        (3, 4, RunOutcome::Held),
        (12, 24, RunOutcome::Published),
        (24, 24, RunOutcome::Held),
    ] {
        let (world, groups) = with_groups(of).await;
        let before = published(&world).await;
        groups.iter().take(count).for_each(|group| world.cloudflare.set_group_policies(group, vec![]));
        let run = world.sync().await;
        assert_eq!(run.outcome, expected, "{count}: {}", run.message);
        if expected == RunOutcome::Held {
            let told = format!("all own grants of {count} of {of} user groups");
            assert!(run.message.starts_with(&told), "{}", run.message);
            assert_same(&published(&world).await, &before, "held");
            assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Published);
        }
        let truth = still_offering(world.cloudflare.truth(), &before);
        assert_same(&published(&world).await, &truth, &format!("{count}"));
    }
}

/// Also where they are on their list no more, and this counts what it gives.
#[tokio::test]
async fn most_user_groups_that_are_gone_at_once_are_held_back_until_somebody_accepts_that() {
    for (count, expected) in [(1, RunOutcome::Published), (2, RunOutcome::Published), (3, RunOutcome::Held)] {
        let (world, groups) = with_groups(4).await;
        let before = published(&world).await;
        groups.iter().take(count).for_each(|group| world.cloudflare.remove_group(group));
        let run = world.sync().await;
        assert_eq!(run.outcome, expected, "{count}: {}", run.message);
        if expected == RunOutcome::Held {
            assert!(run.message.starts_with("all own grants of 3 of 4 user groups"), "{}", run.message);
            assert_same(&published(&world).await, &before, "held");
            assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Published);
        }
        let truth = still_offering(world.cloudflare.truth(), &before);
        assert_same(&published(&world).await, &truth, &format!("{count}"));
    }
}

/// A list with a record on it is not empty, whether that one can be read or not.
#[tokio::test]
async fn most_user_groups_that_are_gone_at_once_are_held_back_also_where_the_only_one_left_cannot_be_read() {
    let (world, groups) = with_groups(4).await;
    let before = published(&world).await;
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/iam/user_groups?") {
            told["result"].as_array_mut().unwrap().truncate(1);
            told["result"][0]["name"] = json!(7);
            for total in ["count", "total_count", "total_pages"] {
                told["result_info"][total] = json!(1);
            }
        }
    }));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Held, "{}", run.message);
    assert!(run.message.starts_with("all own grants of 3 of 4 user groups"), "{}", run.message);
    assert_same(&published(&world).await, &before, "held");
    assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Published);
    let left: Vec<String> = published(&world).await.groups.into_keys().collect();
    assert_eq!(left, groups[..1], "accepted, and the one is as it was");
}

/// The list of user groups counts so many, whatever it gives.
fn counting(world: &World, total: u32) {
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/iam/user_groups?") {
            told["result_info"]["total_count"] = json!(total);
        }
    }));
}

/// What Cloudflare counts may be wrong for good: a hold would be of the very groups that one acceptance takes, and be taken back by the next.
#[tokio::test]
async fn user_groups_that_a_list_goes_on_counting_are_gone_once_somebody_accepts_what_it_gives() {
    for left in [2, 0] {
        let (world, groups) = with_groups(6).await;
        let before = published(&world).await;
        groups.iter().skip(left).for_each(|group| world.cloudflare.remove_group(group));
        counting(&world, 6);
        world.sync().await;
        assert_same(&published(&world).await, &before, &format!("{left}: kept"));
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, RunOutcome::Published, "{left}: {}", run.message);
        let truth = still_offering(world.cloudflare.truth(), &before);
        for _ in 0..2 {
            assert_same(&published(&world).await, &truth, &format!("{left}: accepted, and stays so"));
            world.sync().await;
        }
    }
    // The control: of a list that failed nobody was told that any is gone.
    let (world, groups) = with_groups(6).await;
    world.cloudflare.fail_next(Route::ListUserGroups, 100_000, Fault::status(503, 1));
    world.sync().await;
    world.cloudflare.clear_faults();
    groups.iter().skip(2).for_each(|group| world.cloudflare.remove_group(group));
    assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Held);
}

/// A hold would be accepted alone, and the list be off once more by that.
#[tokio::test]
async fn user_groups_that_give_nothing_are_accepted_with_what_a_list_gives_that_goes_on_counting() {
    // The control: where the list counts what it gives, that they give nothing was told to nobody.
    for (total, expected) in [(6, RunOutcome::Published), (5, RunOutcome::Held)] {
        let (world, groups) = with_groups(6).await;
        let before = published(&world).await;
        world.cloudflare.remove_group(&groups[5]);
        counting(&world, 6);
        world.sync().await;
        assert_same(&published(&world).await, &before, &format!("{total}: told"));
        groups.iter().take(4).for_each(|group| world.cloudflare.set_group_policies(group, vec![]));
        counting(&world, total);
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, expected, "{total}: {}", run.message);
        let is_held = expected == RunOutcome::Held;
        let truth = if is_held { before } else { still_offering(world.cloudflare.truth(), &before) };
        for _ in 0..2 {
            assert_same(&published(&world).await, &truth, &format!("{total}, and stays so"));
            world.sync().await;
        }
    }
}

/// That it tells of more was told: not that it is empty, nor that it counts no more than the few that it gives.
#[tokio::test]
async fn who_accepts_what_a_list_of_user_groups_gives_that_tells_of_more_accepts_none_that_does_not() {
    for is_empty in [true, false] {
        let (world, groups) = with_groups(6).await;
        let before = published(&world).await;
        world.cloudflare.remove_group(&groups[5]);
        counting(&world, 6);
        world.sync().await;
        *world.bends.borrow_mut() = None;
        if is_empty {
            world.cloudflare.answer_null(Route::ListUserGroups);
        } else {
            groups.iter().take(5).skip(2).for_each(|group| world.cloudflare.remove_group(group));
        }
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome == RunOutcome::Held, !is_empty, "{}", run.message);
        assert_same(&published(&world).await, &before, &format!("{is_empty}: kept"));
    }
}

/// Those that are named may be the last on their list, where no more than ten are asked for otherwise.
#[tokio::test]
async fn many_user_groups_whose_own_records_never_come_are_accepted_five_at_a_time() {
    let (world, groups) = with_groups(24).await;
    for group in &groups {
        world.cloudflare.set_group_policies(group, vec![]);
    }
    world.cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(500, 1));
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/iam/user_groups?") {
            let groups = told["result"].as_array_mut().unwrap();
            groups.sort_by_key(|group| std::cmp::Reverse(group["id"].to_string()));
        }
    }));
    let giving = async || published(&world).await.grants.iter().filter(|it| it.contains(":member:group:")).count();
    world.sync().await;
    assert_eq!(giving().await, 24, "told");
    for left in [19, 14, 9, 4, 0] {
        let run = world.sync_as(accepting()).await;
        assert_eq!((run.outcome, giving().await), (RunOutcome::Published, left), "{}", run.message);
        // The control: no sync takes any by itself.
        world.sync().await;
        assert_eq!(giving().await, left);
    }
}

/// Their own records may never come: one acceptance is enough once that was told, and no hold stands against it.
#[tokio::test]
async fn that_most_user_groups_give_nothing_whose_own_records_cannot_be_read_is_accepted_once_it_was_told() {
    let three_give_nothing = async || {
        let (world, groups) = with_groups(4).await;
        groups.iter().take(3).for_each(|group| world.cloudflare.set_group_policies(group, vec![]));
        world
    };
    let world = three_give_nothing().await;
    let before = published(&world).await;
    world.cloudflare.fail_next(Route::GetUserGroup, 100, Fault::status(500, 1));
    world.sync_as(accepting()).await;
    assert_same(&published(&world).await, &before, "it was told to nobody");
    let run = world.sync_as(accepting()).await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "accepted");
    // The control: where their own records tell so, that is a hold's to tell.
    let world = three_give_nothing().await;
    assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Held);
}

/// Where those that are asked for tell otherwise than the list, it is not believed of the others either.
#[tokio::test]
async fn what_more_user_groups_give_than_are_asked_for_is_as_it_was_where_their_list_tells_of_nothing() {
    let (world, groups) = with_groups(24).await;
    let before = published(&world).await;
    without_policies(&world, |asked| asked.contains("/iam/user_groups?"));
    for _ in 0..2 {
        let run = world.sync().await;
        assert_ne!(run.outcome, RunOutcome::Held, "{}", run.message);
        assert_same(&published(&world).await, &before, "kept");
    }
    // The control: two give nothing any more, and the list tells what the others give.
    *world.bends.borrow_mut() = None;
    groups.iter().take(2).for_each(|group| world.cloudflare.set_group_policies(group, vec![]));
    world.sync().await;
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "two of them");
}

/// The list alone may leave them out, with whatever word: each group's own record tells.
#[tokio::test]
async fn what_user_groups_give_is_asked_of_themselves_where_their_list_tells_of_nothing() {
    let (world, groups) = with_groups(4).await;
    without_policies(&world, |asked| asked.contains("/iam/user_groups?"));
    for _ in 0..3 {
        let run = world.sync().await;
        assert_eq!((run.outcome, run.warnings), (RunOutcome::Unchanged, Vec::new()), "{}", run.message);
    }
    // The control: one that gives nothing any more, while the list stays as it is.
    world.cloudflare.set_group_policies(&groups[0], vec![]);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "one gives nothing");
}

/// What the groups' own records tell is not what is accepted.
#[tokio::test]
async fn an_acceptance_of_lists_asks_user_groups_themselves_that_are_told_without_policies() {
    for count in [1, 4, 24] {
        let (world, _) = with_groups(count).await;
        without_policies(&world, |asked| asked.contains("/iam/user_groups?"));
        world.cloudflare.revoke_permission(Permission::Tokens);
        world.sync().await;
        let before = published(&world).await;
        assert!(!before.tokens.is_empty());
        let run = world.sync_as(accepting()).await;
        assert_eq!(run.outcome, RunOutcome::Published, "{count}: {}", run.message);
        let after = published(&world).await;
        assert!(after.tokens.is_empty(), "{count}: which is what was accepted");
        assert_eq!(after.grants, before.grants, "{count}");
    }
}

/// The list hides who declined, and tells of them by their id: that leaves nobody out.
#[tokio::test]
async fn many_who_are_gone_beside_one_who_declined_are_held_back_and_can_be_accepted() {
    let limits = Limits { requests: u32::MAX, ..Limits::default() };
    let behaviour = Behaviour { hides_rejected: true, ..Behaviour::default() };
    let world = World::new(Spec { limits, behaviour, ..account(600) });
    world.sync().await;
    let mut members = world.cloudflare.memberships();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    // By their ids they are asked for in this order.
    let declined = members.iter().position(|member| member.status == "pending").unwrap();
    world.cloudflare.set_status(&members[declined].id, "rejected");
    members.iter().skip(declined + 1).take(450).for_each(|member| world.cloudflare.remove_member(&member.id));
    for _ in 0..2 {
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Held, "{}", run.message);
        assert!(run.message.starts_with("451 of 600"), "{}", run.message);
    }
    let run = world.sync_as(accepting()).await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let now = published(&world).await;
    assert_eq!(now.users.len() + now.invitations.len(), 149);
    assert!(!now.invitations.contains(&members[declined].id));
}

/// One acceptance accepts one thing.
#[tokio::test]
async fn who_accepts_that_many_are_gone_keeps_what_is_known_of_a_list_that_cannot_be_read() {
    let world = World::new(account(200));
    world.sync().await;
    world.cloudflare.revoke_permission(Permission::UserGroups);
    world.sync().await;
    let before = published(&world).await;
    let by_group = |grant: &&String| grant.contains(":group:");
    assert!(!before.groups.is_empty() && before.grants.iter().any(|grant| by_group(&grant)), "{:?}", before.groups);
    for member in world.cloudflare.memberships().iter().skip(10).take(21) {
        world.cloudflare.remove_member(&member.id);
    }
    assert_eq!(world.sync().await.outcome, RunOutcome::Held);
    let run = world.sync_as(accepting()).await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let after = published(&world).await;
    assert_same(&after, &still_offering(world.cloudflare.truth(), &before), "people are gone, and no group");
    assert!(after.grants.iter().filter(by_group).eq(before.grants.iter().filter(by_group)), "what the groups hold");
    // Nobody is missing any more: this is about the list.
    world.sync_as(accepting()).await;
    assert!(published(&world).await.groups.is_empty());
}

#[tokio::test]
async fn a_mass_disappearance_is_held_back_where_the_store_has_lost_all_that_was_published() {
    let world = World::new(account(200));
    world.sync().await;
    let lose = || world.desk.values.borrow_mut().clear();
    lose();
    for member in world.cloudflare.memberships().iter().skip(10).take(21) {
        world.cloudflare.remove_member(&member.id);
    }
    for _ in 0..2 {
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Held, "{}", run.message);
        assert!(run.message.starts_with("21 of 200") && run.message.contains("accept_removals"), "{}", run.message);
        assert!(c1_cloudflare::snapshot::latest(&world).await.unwrap().is_none());
    }
    assert_eq!(world.sync_as(accepting()).await.outcome, RunOutcome::Published);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "accepted");
    // Where nobody is gone, and where few are, what was lost is published again.
    for member in [10, 11] {
        lose();
        assert_eq!(world.sync().await.outcome, RunOutcome::Published);
        assert_same(&published(&world).await, &world.cloudflare.truth(), "lost once more");
        world.cloudflare.remove_member(&world.cloudflare.memberships()[member].id);
    }
}

#[tokio::test]
async fn a_token_that_may_not_read_members_fails_the_run_and_touches_nothing() {
    type Spoil = fn(&World);
    let cases: [(&str, Spoil); 3] = [
        ("Account Settings: Read", |world| world.cloudflare.revoke_permission(Permission::Members)),
        ("wrangler secret put CLOUDFLARE_API_TOKEN", |world| world.cloudflare.set_token_status("disabled")),
        ("CLOUDFLARE_ACCOUNT_ID", |world| {
            world.cloudflare.configure(|behaviour| behaviour.missing_permission = sim::cloudflare::Denial::NoRoute);
            world.cloudflare.revoke_permission(Permission::Members);
        }),
    ];
    for (expected, spoil) in cases {
        let world = World::new(account(60));
        world.sync().await;
        let before = published(&world).await;
        spoil(&world);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Failed);
        assert!(run.message.contains(expected), "{}", run.message);
        assert!(!run.message.contains(&world.cloudflare.token()));
        assert_same(&published(&world).await, &before, expected);
        assert_eq!(sync::status(&world).unwrap().state, SyncState::Error);
        assert!(run.not_before > Some(run.finished_at), "the clock waits a while before it tries again");
    }
}

/// A tenth of a small account are few: ten of any number are no mass, however many are left.
#[tokio::test]
async fn a_mass_disappearance_from_a_small_account_is_more_than_ten() {
    for (gone, expected) in [(10, RunOutcome::Published), (11, RunOutcome::Held)] {
        let world = World::new(account(40));
        world.sync().await;
        for member in world.cloudflare.memberships().iter().skip(10).take(gone) {
            world.cloudflare.remove_member(&member.id);
        }
        let run = world.sync().await;
        assert_eq!(run.outcome, expected, "{gone}: {}", run.message);
    }
}

/// Two generations, of which the store has lost the newest, and a sync that is about to begin.
async fn newest_lost(members: usize, more: usize) -> (World, Vec<String>) {
    let world = World::new(Spec { groups: 0, ..account(members) });
    world.sync().await;
    let add = |n: usize| world.cloudflare.add_member(&format!("~more{n}@example.com"), vec![]);
    let added = (0..more).map(add).collect();
    world.sync().await;
    let lost = format!("manifest/{}", manifest(&world).await.generation);
    world.desk.values.borrow_mut().retain(|key, _| !key.ends_with(&lost));
    (world, added)
}

#[tokio::test]
async fn a_sync_that_finds_the_newest_generation_lost_and_is_cut_off_anywhere_neither_forgets_that_nor_what_was_known()
{
    for (gone, expected) in [(13, RunOutcome::Held), (0, RunOutcome::Published)] {
        let mut cut = 0;
        loop {
            let what = format!("{gone} gone, cut off at {cut}");
            let (world, _) = newest_lost(119, 1).await;
            let before = world.cloudflare.truth();
            for member in world.cloudflare.memberships().iter().skip(10).take(gone) {
                world.cloudflare.remove_member(&member.id);
            }
            world.cloudflare.revoke_permission(Permission::Tokens);
            world.advance(900);
            let trigger = Trigger { by: "test".to_owned(), accept_removals: false };
            sync::begin(&world, &world.config.cloudflare, trigger).unwrap();
            if !world.cut_off_at(cut).await {
                break;
            }
            let run = world.finish().await;
            assert_eq!(run.outcome, expected, "{what}: {}", run.message);
            if expected == RunOutcome::Published {
                assert_same(&published(&world).await, &before, &what);
            } else {
                assert!(run.message.starts_with("13 of 120"), "{what}: {}", run.message);
                let run = world.sync_as(accepting()).await;
                assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
            }
            cut += 1;
        }
        assert!(cut > 20, "there were only {cut} operations to cut off at");
    }
}

#[tokio::test]
async fn people_whom_only_a_lost_generation_had_do_not_disappear_unseen() {
    for (gone, expected) in [(11, RunOutcome::Held), (10, RunOutcome::Published)] {
        let (world, added) = newest_lost(60, 20).await;
        added.iter().take(gone).for_each(|id| world.cloudflare.remove_member(id));
        let run = world.sync().await;
        assert_eq!(run.outcome, expected, "{gone}: {}", run.message);
        if expected == RunOutcome::Held {
            assert!(run.message.starts_with("11 of 80"), "{}", run.message);
        }
    }
}
