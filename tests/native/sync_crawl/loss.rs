//! What the token may no longer read, what Cloudflare no longer offers, and people who disappear all at once.

use c1_cloudflare::account::names;
use c1_cloudflare::model::id::RoleId;
use c1_cloudflare::sync::{self, RunOutcome, SyncState, Trigger};
use sim::cloudflare::{Behaviour, Permission, Spec};

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
