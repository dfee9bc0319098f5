//! The account changes while it is read.

use std::cell::Cell;

use c1_cloudflare::sync::{self, RunOutcome, Trigger};
use sim::cloudflare::{Cloudflare, Fault, PolicySpec, Route, Spec};

use super::account;
use super::oracle::{assert_same, published, still_offering};
use crate::support::World;

/// Each sync asks one member of a group whether the record shows what the group gives.
const WITNESS: usize = 1;

#[tokio::test]
async fn a_member_who_leaves_an_already_read_page_hides_nobody() {
    for page in 1..=4 {
        let mut world = World::new(account(260));
        world.limits.in_flight = 1;
        world.cloudflare.after_page(Route::ListMembers, page, |cloudflare, _| {
            let members = cloudflare.memberships();
            let mut by_address: Vec<_> = members.iter().map(|member| (&member.email, &member.id)).collect();
            by_address.sort();
            cloudflare.remove_member(by_address[10].1);
        });
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("after page {page}"));
    }
}

#[tokio::test]
async fn a_member_who_comes_in_on_an_already_read_page_is_found() {
    for page in 1..=5 {
        let mut world = World::new(account(260));
        world.limits.in_flight = 1;
        world.cloudflare.after_page(Route::ListMembers, page, |cloudflare, _| {
            cloudflare.add_member("!first@example.com", vec![]);
        });
        world.sync().await;
        assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("after page {page}"));
    }
}

#[tokio::test]
async fn one_who_leaves_and_one_who_comes_at_once_do_not_cancel_out() {
    let mut world = World::new(account(260));
    world.sync().await;
    let before = world.cloudflare.truth();
    world.limits.in_flight = 1;
    world.cloudflare.after_page(Route::ListMembers, 3, |cloudflare, _| {
        let members = cloudflare.memberships();
        let mut by_address: Vec<_> = members.iter().map(|member| (&member.email, &member.id)).collect();
        by_address.sort();
        cloudflare.remove_member(by_address[10].1);
        cloudflare.add_member("~last@example.com", vec![]);
    });
    world.sync().await;
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "after both");
}

#[tokio::test]
async fn somebody_is_gone_only_when_asking_for_them_says_so() {
    let world = World::new(account(260));
    world.sync().await;
    let before = world.cloudflare.truth();
    for member in world.cloudflare.memberships().iter().skip(100).take(3) {
        world.cloudflare.remove_member(&member.id);
    }
    world.cloudflare.reset_log();
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published);
    assert_eq!(world.cloudflare.requests(Route::GetMember), 3 + WITNESS);
    assert_eq!(run.changes.unwrap().removed, 3);
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "three gone");
}

#[tokio::test]
async fn many_who_are_gone_are_looked_for_in_a_second_pass() {
    let world = World::new(account(1000));
    world.sync().await;
    let before = world.cloudflare.truth();
    for member in world.cloudflare.memberships().iter().skip(100).take(60) {
        world.cloudflare.remove_member(&member.id);
    }
    world.cloudflare.reset_log();
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_eq!(world.cloudflare.requests(Route::ListMembers), 2 * 19);
    assert_eq!(world.cloudflare.requests(Route::GetMember), 25 + WITNESS);
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "sixty gone");
}

#[tokio::test]
async fn an_invitation_that_was_accepted_is_a_user_and_nobody_is_gone() {
    let world = World::new(account(120));
    world.sync().await;
    let pending = world.cloudflare.memberships().into_iter().find(|member| member.status == "pending").unwrap();
    world.cloudflare.accept_invitation(&pending.id).unwrap();
    world.cloudflare.reset_log();
    let run = world.sync().await;
    assert_eq!(world.cloudflare.requests(Route::GetMember), WITNESS);
    assert_eq!(
        (run.changes.unwrap().added, run.changes.unwrap().removed),
        (1, 1),
        "another resource, not another person"
    );
    assert_same(&published(&world).await, &world.cloudflare.truth(), "accepted");
}

#[tokio::test]
async fn a_scoped_role_stays_on_offer_when_nobody_holds_it_any_more() {
    let world = World::new(account(20));
    let (zone, _) = world.cloudflare.domain_resource_groups().remove(0);
    let group = world.cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let member = world.cloudflare.memberships().remove(0);
    world.cloudflare.set_policies(&member.id, vec![PolicySpec::allow(group.id.clone(), zone.clone())]);
    world.sync().await;
    for member in world.cloudflare.memberships() {
        world.cloudflare.set_policies(&member.id, vec![]);
    }
    // That so many hold nothing any more is accepted once it was told.
    world.sync().await;
    world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
    let scoped = format!("{}-{zone}", group.id);
    let published = published(&world).await;
    assert!(published.scoped_roles.contains(&scoped), "it can be granted again");
    assert!(!published.grants.iter().any(|grant| grant.contains(&format!("{scoped}:member:user"))));
}

/// An account with a user group of two pages; the group, and its members by their addresses.
fn with_a_large_group(world: &World) -> (String, Vec<String>) {
    let group = world.cloudflare.add_group("Everybody", vec![]);
    let mut members = world.cloudflare.memberships();
    members.sort_by(|a, b| a.email.cmp(&b.email));
    let members: Vec<String> = members.into_iter().map(|member| member.id).collect();
    members[10..].iter().for_each(|member| world.cloudflare.join_group(&group, member));
    (group, members)
}

/// A list changes after its first page was read, and what was published is the account all the same.
async fn moves_once(world: &mut World, list: Route, change: impl FnOnce(&Cloudflare) + Send + 'static) {
    world.sync().await;
    let before = world.cloudflare.truth();
    assert_same(&published(world).await, &before, "at rest");
    world.limits.in_flight = 1;
    world.cloudflare.after_page(list, 1, |cloudflare, _| change(cloudflare));
    world.sync().await;
    assert_same(&published(world).await, &still_offering(world.cloudflare.truth(), &before), "one left");
}

#[tokio::test]
async fn a_group_of_several_pages_loses_nobody_who_slips_from_one_to_another() {
    for comes in [false, true] {
        let mut world = World::new(Spec { groups: 0, ..account(560) });
        let (group, members) = with_a_large_group(&world);
        moves_once(&mut world, Route::ListUserGroupMembers, move |cloudflare| {
            cloudflare.leave_group(&group, &members[20]);
            if comes {
                let last = cloudflare.add_member("~last@example.com", vec![]);
                cloudflare.join_group(&group, &last);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_list_of_tokens_of_several_pages_loses_none_that_slips_from_one_to_another() {
    for comes in [false, true] {
        let mut world = World::new(account(20));
        let tokens: Vec<String> = (0..70)
            .map(|n| world.cloudflare.add_token(&format!("token {n:02}"), None, &serde_json::json!({})))
            .collect();
        moves_once(&mut world, Route::ListTokens, move |cloudflare| {
            cloudflare.remove_token(&tokens[3]);
            if comes {
                cloudflare.add_token("~last", None, &serde_json::json!({}));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_list_of_groups_of_several_pages_loses_none_that_slips_from_one_to_another() {
    for comes in [false, true] {
        let mut world = World::new(account(20));
        let groups: Vec<String> =
            (0..520).map(|n| world.cloudflare.add_group(&format!("group {n:03}"), vec![])).collect();
        moves_once(&mut world, Route::ListUserGroups, move |cloudflare| {
            cloudflare.remove_group(&groups[3]);
            if comes {
                cloudflare.add_group("~last", vec![]);
            }
        })
        .await;
    }
}

/// What moves without end is not read without end: what was known of it stays, and the status says so.
#[tokio::test]
async fn a_list_of_tokens_that_moves_each_time_is_off_and_what_was_known_of_it_stays() {
    let mut world = World::new(account(20));
    let tokens: Vec<String> =
        (0..70).map(|n| world.cloudflare.add_token(&format!("token {n:02}"), None, &serde_json::json!({}))).collect();
    world.sync().await;
    let (before, known) = (sync::status(&world).unwrap().runs[0].generation.clone(), world.cloudflare.truth().tokens);
    world.limits.in_flight = 1;
    for token in tokens.into_iter().take(8) {
        world.cloudflare.after_page(Route::ListTokens, 1, move |cloudflare, _| cloudflare.remove_token(&token));
    }
    world.cloudflare.reset_log();
    world.sync().await;
    let told = sync::status(&world).unwrap().capabilities["tokens"].clone();
    assert!(!told.on && told.message.as_ref().is_some_and(|why| why.contains("changed each time")), "{told:?}");
    assert_eq!(told.kept_from, before);
    assert_eq!(published(&world).await.tokens, known, "none of them is gone for that");
    assert!(world.cloudflare.requests(Route::ListTokens) <= 8, "two pages, four times");
    // The control: once it is at rest it is read, and those that were removed are gone. The hooks that are left are used up first.
    for _ in 0..2 {
        world.sync().await;
    }
    assert!(sync::status(&world).unwrap().capabilities["tokens"].on);
    assert_eq!(published(&world).await.tokens, world.cloudflare.truth().tokens);
}

/// Whom the list left out is asked for by the id; then the list is read once more, and what that shows is the newer word.
#[tokio::test]
async fn who_was_asked_for_before_the_second_pass_is_as_the_second_pass_shows_them() {
    for is_gone in [false, true] {
        let world = World::new(account(60));
        world.sync().await;
        let member =
            world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted").nth(20).unwrap();
        let other =
            world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted").nth(21).unwrap();
        let (cloudflare, asked_by_id) = (world.cloudflare.clone(), Cell::new(0));
        let left_out = [member.id.clone(), other.id.clone()];
        *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
            if asked.contains("/members?") && !asked.contains("user_groups") && asked_by_id.get() < 2 {
                told["result"].as_array_mut().unwrap().retain(|one| !left_out.iter().any(|id| one["id"] == **id));
                let total = told["result_info"]["total_count"].as_u64().unwrap();
                told["result_info"]["total_count"] = (total - 2).into();
            }
            if left_out.iter().any(|id| asked.contains(&format!("/members/{id}?"))) {
                asked_by_id.set(asked_by_id.get() + 1);
                if asked_by_id.get() == 2 {
                    let role = cloudflare.permission_group("super_admin").unwrap();
                    let whole = cloudflare.account_resource_group();
                    cloudflare.set_policies(&left_out[0], vec![PolicySpec::allow(role.id, whole)]);
                }
            }
        }));
        if is_gone {
            world.cloudflare.fail_next(Route::GetMember, 1, Fault::status(404, 1003));
        }
        let asked = world.cloudflare.requests(Route::ListMembers);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
        assert_eq!(world.cloudflare.requests(Route::ListMembers) - asked, 2 * 2, "two passes");
        assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("{is_gone}"));
    }
}
