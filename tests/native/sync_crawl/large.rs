//! Large is slow and not fatal: a page that is too long is read in smaller ones, and what cannot be read at all is named.

use c1_cloudflare::sync::RunOutcome;
use sim::cloudflare::{Fault, Oddity, On, PolicySpec, Route};

use super::account;
use super::oracle::{assert_same, manifest, published};
use crate::support::World;

const MB: usize = 1024 * 1024;

#[tokio::test]
async fn a_members_page_that_is_too_long_is_read_in_smaller_ones() {
    // What each of the first page's 50 members takes, how many requests the page takes, and whether it is read in full.
    for (bytes, requests) in [(100_000, 1 + 2), (200_000, 1 + 2 + 10)] {
        let world = World::new(account(60));
        for member in world.cloudflare.memberships() {
            world.cloudflare.make_odd(Route::ListMembers, &member.id, Oddity::Large(bytes));
        }
        let run = world.sync().await;
        assert_eq!((run.outcome, run.warnings.len()), (RunOutcome::Published, 0), "{bytes}: {}", run.message);
        assert_same(&published(&world).await, &world.cloudflare.truth(), "long pages");
        assert_eq!(world.cloudflare.requests(Route::ListMembers), requests + 1, "{bytes}");
        assert_eq!(run.requests as usize, world.cloudflare.total_requests(), "{bytes}");
    }
}

#[tokio::test]
async fn one_long_record_is_read_and_one_that_is_too_long_is_named_and_kept() {
    for (megabytes, is_read) in [(6, true), (9, false)] {
        let world = World::new(account(60));
        world.sync().await;
        let before = published(&world).await;
        let member = world.cloudflare.memberships().into_iter().find(|member| member.status == "accepted").unwrap();
        world.cloudflare.make_odd(On::Reads, &member.id, Oddity::Large(megabytes * MB));
        let other = world.cloudflare.add_member("newest@example.com", vec![]);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{megabytes} MB: {}", run.message);
        let mut expected = before;
        expected.users.extend(world.cloudflare.membership(&other).unwrap().user_id);
        assert_same(&published(&world).await, &expected, "a long record");
        let told = manifest(&world).await.capabilities["members"].clone();
        assert_eq!(told.unreadable.is_none(), is_read, "{told:?}");
        if let Some(unreadable) = told.unreadable {
            // The others of its page were had one by one.
            assert_eq!(unreadable.count, 1, "{unreadable:?}");
            assert!(unreadable.first[0].starts_with(&member.id), "{unreadable:?}");
            assert!(unreadable.first[0].contains("longer than"), "{unreadable:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_a_row_cannot_take_is_kept_in_pieces() {
    let world = World::new(sim::cloudflare::Spec { zones: 1_000, ..account(24) });
    let role = world.cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let on = world.cloudflare.domain_resource_groups().into_iter().map(|(id, _)| id).collect();
    let all = PolicySpec { resource_groups: on, ..PolicySpec::allow(role.id, "") };
    for member in world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted") {
        world.cloudflare.set_policies(&member.id, vec![all.clone()]);
    }
    let run = world.sync().await;
    assert_eq!((run.outcome, run.warnings.len()), (RunOutcome::Published, 0), "{}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "1,000 domains each");
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
}

#[tokio::test]
async fn a_list_that_goes_on_failing_is_off_after_its_tries_and_what_was_known_is_kept() {
    let lists = [
        (Route::ListTokens, "tokens"),
        (Route::ListUserGroups, "user_groups"),
        (Route::ListRoles, "roles"),
        (Route::ListPermissionGroups, "permission_groups"),
        (Route::ListResourceGroups, "resource_groups"),
        (Route::ListUserGroupMembers, "user_group_members"),
    ];
    for (route, list) in lists {
        for fault in [Fault::status(503, 1), Fault::TruncatedJson, Fault::Reset] {
            let what = format!("{list}, {}", fault.name());
            let world = World::new(account(60));
            world.sync().await;
            let before = published(&world).await;
            world.cloudflare.fail_next(route, 10_000, fault);
            let other = world.cloudflare.add_member("newest@example.com", vec![]);
            let run = world.sync_as(c1_cloudflare::sync::Trigger { by: "test".into(), accept_removals: true }).await;
            assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
            let mut expected = before;
            expected.users.extend(world.cloudflare.membership(&other).unwrap().user_id);
            assert_same(&published(&world).await, &expected, &what);
            let told = manifest(&world).await.capabilities[list].clone();
            assert!(!told.on && told.message.is_some(), "{what}: {told:?}");
            assert!(world.desk.lines.borrow().iter().any(|line| line.contains("ended in trouble")), "{what}");
            // It is back with the next sync that can read it.
            world.cloudflare.clear_faults();
            assert_eq!(world.sync().await.outcome, RunOutcome::Published, "{what}");
            assert!(manifest(&world).await.capabilities[list].on, "{what}");
        }
    }
}

#[tokio::test]
async fn many_groups_that_go_on_failing_do_not_take_hours() {
    let world = World::new(sim::cloudflare::Spec { groups: 100, ..account(20) });
    world.cloudflare.fail_next(Route::ListUserGroupMembers, 100_000, Fault::status(503, 1));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert!(run.duration_millis < 30 * 60 * 1000, "{} s", run.duration_millis / 1000);
}
