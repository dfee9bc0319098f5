//! Members that our own operations change while a crawl reads the account.

use c1_cloudflare::account::overlay::{self, Aftermath};
use c1_cloudflare::audit::logins;
use c1_cloudflare::base::ports::{Clock, Sql as _};
use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::base::tree::BTreeMap;
use c1_cloudflare::cloudflare::{ApiError, Client, MemberRecord, Purpose};
use c1_cloudflare::model::id::{MemberId, UserGroupId};
use c1_cloudflare::snapshot::{Overlay, Snapshot, latest};
use c1_cloudflare::sync::{self, Limits, Next, Phase, RunOutcome, Trigger, refresh};
use sim::cloudflare::{Permission, PolicySpec, Spec};

use super::oracle::{assert_same, manifest, published, still_offering};
use super::refresh::all_told;
use crate::support::World;

fn world() -> World {
    let mut world = World::new(Spec { members: 130, groups: 2, roles: 8, ..Spec::default() });
    // As many steps as there are pages, so that an operation can fall between any two.
    world.limits = Limits { pages: 1, in_flight: 1, ..Limits::of(Plan::Free) };
    world
}

pub(super) async fn read(world: &World, id: &str) -> Option<MemberRecord> {
    let client = Client::new(world, &world.config.cloudflare, Purpose::Provisioning);
    match client.member(id.parse().unwrap()).await {
        Ok(member) => Some(member),
        Err(ApiError::NotFound(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(super) async fn note(world: &World, member: &MemberRecord, gone: bool, group: Option<(UserGroupId, bool)>) {
    let snapshot = latest(world).await.unwrap();
    let left = Aftermath { member, gone, group, about: None, is_fresh: false };
    overlay::note(world, snapshot.as_ref(), left, world.now()).await.unwrap();
}

/// One operation of each kind, as provisioning carries them out: a grant, a revoke of everything but one, an invitation, a
/// removal, into a group and out of one. Gives the memberships that were changed.
async fn operate(world: &World) -> Vec<MemberId> {
    let account = &world.cloudflare;
    let members = account.memberships();
    let accepted: Vec<_> = members.iter().filter(|member| member.status == "accepted").collect();
    let role = account.permission_group("admin_readonly").unwrap();
    let role = PolicySpec::allow(role.id, account.account_resource_group());
    account.add_policy(&accepted[1].id, role.clone());
    account.set_policies(&accepted[60].id, vec![role.clone()]);
    let invited = account.invite("newcomer@example.com", vec![role]);
    for id in [&accepted[1].id, &accepted[60].id, &invited] {
        note(world, &read(world, id).await.unwrap(), false, None).await;
    }
    let removed = read(world, &accepted[5].id).await.unwrap();
    account.remove_member(&accepted[5].id);
    note(world, &removed, true, None).await;
    let in_a_group = accepted.iter().find(|member| !member.groups.is_empty() && member.id != accepted[5].id).unwrap();
    let group = in_a_group.groups.first().unwrap().clone();
    let joining = accepted.iter().rev().find(|member| !member.groups.contains(&group)).unwrap();
    account.join_group(&group, &joining.id);
    note(world, &read(world, &joining.id).await.unwrap(), false, Some((group.parse().unwrap(), true))).await;
    let leaving = in_a_group;
    account.leave_group(&group, &leaving.id);
    note(world, &read(world, &leaving.id).await.unwrap(), false, Some((group.parse().unwrap(), false))).await;
    let ids = [&accepted[1].id, &accepted[60].id, &invited, &accepted[5].id, &joining.id, &leaving.id];
    ids.into_iter().map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn an_operation_in_the_middle_of_a_crawl_is_not_undone_by_its_snapshot() {
    let mut at = 0;
    loop {
        let world = world();
        world.sync().await;
        let before = world.cloudflare.truth();
        world.advance(900);
        sync::begin(&world, &world.config.cloudflare, Trigger { by: "test".into(), accept_removals: false }).unwrap();
        let mut steps = 0;
        let mut operated = false;
        while let Next::At(_) = sync::step_within(&world, &world.config.cloudflare, &world.limits).await {
            if steps == at {
                operate(&world).await;
                operated = true;
            }
            world.advance(60);
            steps += 1;
            assert!(steps < 100, "the sync does not end");
        }
        let run = sync::status(&world).unwrap().runs.remove(0);
        assert_eq!(
            run.outcome,
            if operated { RunOutcome::Published } else { RunOutcome::Unchanged },
            "{}",
            run.message
        );
        let truth = still_offering(world.cloudflare.truth(), &before);
        assert_same(&published(&world).await, &truth, &format!("operated after step {at}"));
        if !operated {
            assert!(at > 3, "the crawl had only {at} steps");
            return;
        }
        at += 1;
    }
}

#[tokio::test]
async fn readers_see_an_operation_at_once_and_until_a_generation_has_it() {
    let world = world();
    world.sync().await;
    let before = manifest(&world).await;
    let old = before.generation.clone();
    assert_eq!(overlay::over(&world, &old, None).unwrap(), Overlay::default());
    let truth = world.cloudflare.truth();
    let changed = operate(&world).await;
    let laid = overlay::over(&world, &old, None).unwrap();
    let mut ids: Vec<MemberId> = laid.members.iter().map(|(id, _)| *id).collect();
    ids.sort();
    let mut expected = changed;
    expected.sort();
    assert_eq!(ids, expected);
    let snapshot = Snapshot::of(before).with(laid.clone());
    let truth = still_offering(world.cloudflare.truth(), &truth);
    assert_same(&super::oracle::read(&world, &snapshot).await, &truth, "laid over");

    world.sync().await;
    let new = manifest(&world).await.generation.clone();
    assert!(overlay::over(&world, &new, None).unwrap().members.is_empty(), "the new generation has them");
    assert_eq!(overlay::over(&world, &old, None).unwrap(), laid, "one who still reads the old generation");
    overlay::purge(&world, world.now().plus_secs(1)).unwrap();
    assert_eq!(overlay::over(&world, &old, None).unwrap(), laid, "and who still may, however old the changes are");
    world.query("DELETE FROM generation WHERE id = ?", &[(&old).into()]).unwrap();
    overlay::purge(&world, world.now().plus_secs(-3_600)).unwrap();
    assert_eq!(overlay::over(&world, &old, None).unwrap(), laid, "a place may not have seen yet that it is gone");
    overlay::purge(&world, world.now().plus_secs(1)).unwrap();
    assert!(overlay::over(&world, &old, None).unwrap().members.is_empty(), "the control: nobody reads it any more");
}

#[tokio::test]
async fn a_list_that_is_paged_through_keeps_the_overlay_that_it_began_with() {
    let world = world();
    world.sync().await;
    let old = manifest(&world).await.generation.clone();
    let members = world.cloudflare.memberships();
    note(&world, &read(&world, &members[3].id).await.unwrap(), true, None).await;
    let first = overlay::over(&world, &old, None).unwrap();
    note(&world, &read(&world, &members[4].id).await.unwrap(), true, None).await;
    note(&world, &read(&world, &members[3].id).await.unwrap(), false, None).await;
    assert_eq!(overlay::over(&world, &old, Some(first.seq)).unwrap(), first);
    assert_eq!(overlay::over(&world, &old, None).unwrap().members.len(), 2);
}

#[tokio::test]
async fn what_readers_see_already_is_not_noted() {
    // KV may show the generation before for a minute.
    for (secs, is_noted) in [(0, true), (60, true), (120, false)] {
        let world = world();
        world.sync().await;
        world.advance(secs);
        let old = manifest(&world).await.generation.clone();
        let members = world.cloudflare.memberships();
        for member in &members[..3] {
            note(&world, &read(&world, &member.id).await.unwrap(), false, None).await;
        }
        assert_eq!(overlay::over(&world, &old, None).unwrap().seq, if is_noted { 3 } else { 0 }, "{secs}");
    }
}

#[tokio::test]
async fn people_whom_we_removed_ourselves_do_not_look_like_a_mass_disappearance() {
    let world = World::new(Spec { members: 40, groups: 0, roles: 5, ..Spec::default() });
    world.sync().await;
    let before = world.cloudflare.truth();
    let members = world.cloudflare.memberships();
    for member in &members[5..25] {
        let record = read(&world, &member.id).await.unwrap();
        world.cloudflare.remove_member(&member.id);
        note(&world, &record, true, None).await;
    }
    let sent = world.cloudflare.total_requests();
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let truth = still_offering(world.cloudflare.truth(), &before);
    assert_same(&published(&world).await, &truth, "without them");
    assert!(world.cloudflare.total_requests() - sent < 12, "nobody was asked for one by one");
}

#[tokio::test]
async fn who_joined_or_left_a_group_whose_members_cannot_be_read_is_published_so() {
    for broken in ["its members", "all groups"] {
        let world = World::new(Spec { members: 60, groups: 2, roles: 5, ..Spec::default() });
        world.sync().await;
        let before = world.cloudflare.truth();
        let account = &world.cloudflare;
        let members = account.memberships();
        let leaving = members.iter().find(|member| !member.groups.is_empty()).unwrap();
        let group = leaving.groups.first().unwrap().clone();
        let joining =
            members.iter().find(|member| member.status == "accepted" && !member.groups.contains(&group)).unwrap();
        match broken {
            "its members" => account.break_group(&group, true),
            _ => account.revoke_permission(Permission::UserGroups),
        }
        account.leave_group(&group, &leaving.id);
        account.join_group(&group, &joining.id);
        for (member, is_in) in [(leaving, false), (joining, true)] {
            let record = read(&world, &member.id).await.unwrap();
            note(&world, &record, false, Some((group.parse().unwrap(), is_in))).await;
        }
        let truth = still_offering(account.truth(), &before);
        for round in ["the sync that takes it in", "the one after it"] {
            world.sync().await;
            assert_same(&published(&world).await, &truth, &format!("{broken} unread: {round}"));
        }
    }
}

/// Carries a sync on until nothing is left of it but its publication. Time passes with each step.
async fn all_read(world: &World) {
    world.advance(900);
    sync::begin(world, &world.config.cloudflare, Trigger { by: "test".into(), accept_removals: false }).unwrap();
    while sync::status(world).unwrap().running.expect("it runs").phase != Phase::Publish {
        sync::step_within(world, &world.config.cloudflare, &world.limits).await;
        world.advance(60);
    }
}

#[tokio::test]
async fn an_operation_is_not_undone_where_the_sync_that_took_it_in_is_cut_off_once_it_has_published() {
    let mut cut = 0;
    loop {
        let world = world();
        world.sync().await;
        let before = world.cloudflare.truth();
        all_read(&world).await;
        operate(&world).await;
        world.advance(60);
        if !world.cut_off_at(cut).await {
            break;
        }
        let what = format!("cut off at {cut}");
        world.advance(60);
        let run = world.finish().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
        assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), &what);
        let generations = sync::generations(&world).unwrap();
        assert_eq!(generations.len(), 2, "{what}: it published one");
        assert_eq!(run.generation.as_ref(), Some(&manifest(&world).await.generation), "{what}");
        let changes = run.changes.unwrap();
        assert!(changes.grants_added > 0 && changes.removed > 0, "{what}: what it brought is counted: {changes:?}");
        cut += 1;
    }
    assert!(cut > 10, "there were only {cut} operations to cut off at");
}

#[tokio::test]
async fn what_an_operation_brings_back_to_what_was_published_is_noted_while_a_sync_runs() {
    for was_given in [false, true] {
        let what = if was_given { "given, and given again" } else { "taken, and taken again" };
        let world = world();
        let account = &world.cloudflare;
        let member = account.memberships().into_iter().find(|member| member.status == "accepted").unwrap();
        let [one, other] = [0, 1].map(|place| {
            PolicySpec::allow(account.ordinary_roles()[place].id.clone(), account.account_resource_group())
        });
        let (fewer, more) = (vec![one.clone()], vec![one, other]);
        let (ours, theirs) = if was_given { (more, fewer) } else { (fewer, more) };
        account.set_policies(&member.id, ours.clone());
        world.sync().await;
        let before = account.truth();
        account.set_policies(&member.id, theirs);
        all_read(&world).await;
        account.set_policies(&member.id, ours);
        note(&world, &read(&world, &member.id).await.unwrap(), false, None).await;
        world.finish().await;
        assert_same(&published(&world).await, &still_offering(account.truth(), &before), what);
    }
}

#[tokio::test]
async fn an_invitation_of_ours_that_somebody_cancelled_is_not_published() {
    for is_there in [false, true] {
        let world = World::new(Spec { members: 40, groups: 0, roles: 5, ..Spec::default() });
        world.sync().await;
        let before = world.cloudflare.truth();
        let invited = world.cloudflare.invite("newcomer@example.com", Vec::new());
        note(&world, &read(&world, &invited).await.unwrap(), false, None).await;
        if is_there {
            // The list does not show it, and its own record is there.
            world.cloudflare.configure(|behaviour| behaviour.unlisted.extend(["newcomer@example.com".to_owned()]));
        } else {
            world.cloudflare.remove_member(&invited);
        }
        world.advance(60);
        world.sync().await;
        let truth = still_offering(world.cloudflare.truth(), &before);
        assert_eq!(truth.invitations.contains(&invited), is_there);
        assert_same(&published(&world).await, &truth, &format!("is there: {is_there}"));
    }
}

#[tokio::test]
async fn who_is_in_a_user_group_stays_in_it_where_the_row_cannot_be_read() {
    for (what, is_next, reads) in [("once", false, 1), ("not yet there", true, 0), ("for a while", false, 1_000)] {
        let world = World::new(Spec { members: 40, groups: 2, roles: 5, ..Spec::default() });
        let account = &world.cloudflare;
        world.sync().await;
        let before = account.truth();
        let chunks = || world.desk.keys().into_iter().filter(|key| key.contains("chunk/")).collect::<Vec<_>>();
        let old = chunks();
        if is_next {
            // Another's row is in a chunk of its own that came after.
            let other = account.memberships().into_iter().rfind(|member| member.groups.is_empty()).unwrap();
            account.rename(&other.id, Some("Renamed"), None);
            world.sync().await;
        }
        let mut new: Vec<String> = chunks();
        new.retain(|key| !old.contains(key));
        let taken: Vec<_> = new.iter().map(|key| (key, world.desk.values.borrow_mut().remove(key).unwrap())).collect();
        assert_eq!(taken.is_empty(), !is_next, "{what}");
        let member = account.memberships().into_iter().find(|member| !member.groups.is_empty()).unwrap();
        let role = PolicySpec::allow(account.ordinary_roles()[4].id.clone(), account.account_resource_group());
        account.set_policies(&member.id, vec![role]);
        world.desk.fail_reads("chunk/", reads);
        note(&world, &read(&world, &member.id).await.unwrap(), false, None).await;
        world.desk.fail_reads("chunk/", 0);
        for (key, body) in taken {
            world.desk.values.borrow_mut().insert(key.clone(), body);
        }

        let truth = still_offering(account.truth(), &before);
        if reads < 1_000 {
            let laid = overlay::over(&world, &manifest(&world).await.generation, None).unwrap();
            let snapshot = Snapshot::of(manifest(&world).await).with(laid);
            assert_same(&super::oracle::read(&world, &snapshot).await, &truth, &format!("{what}: laid over"));
        }
        world.advance(60);
        let came = refresh::publish(&world, Plan::Paid, BTreeMap::new()).await;
        // What is not known is a sweep's to tell.
        let expected = if reads < 1_000 { refresh::Outcome::Published } else { refresh::Outcome::Sweep };
        assert_eq!(came.unwrap(), expected, "{what}");
        if expected == refresh::Outcome::Sweep {
            world.sync().await;
        }
        assert_same(&published(&world).await, &truth, &format!("{what}: published"));
    }
}

#[tokio::test]
async fn what_an_operation_leaves_during_which_something_was_published_needs_no_sweep() {
    for sees in ["the generation before", "none"] {
        let world = World::new(Spec { members: 40, groups: 2, roles: 5, ..Spec::default() });
        let account = &world.cloudflare;
        world.sync().await;
        let before = account.truth();
        let seen = latest(&world).await.unwrap().filter(|_| sees != "none");
        let role = PolicySpec::allow(account.ordinary_roles()[4].id.clone(), account.account_resource_group());
        let members = account.memberships();
        let other = members.iter().find(|member| member.groups.is_empty()).unwrap();
        account.set_policies(&other.id, vec![role.clone()]);
        note(&world, &read(&world, &other.id).await.unwrap(), false, None).await;
        world.advance(60);
        let publish = async || refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap();
        assert_eq!(publish().await, refresh::Outcome::Published);

        let member = members.iter().find(|member| !member.groups.is_empty()).unwrap();
        account.set_policies(&member.id, vec![role]);
        let record = read(&world, &member.id).await.unwrap();
        let left = Aftermath { member: &record, gone: false, group: None, about: None, is_fresh: false };
        overlay::note(&world, seen.as_ref(), left, world.now()).await.unwrap();
        let truth = still_offering(account.truth(), &before);
        let laid = overlay::over(&world, &manifest(&world).await.generation, None).unwrap();
        let snapshot = Snapshot::of(manifest(&world).await).with(laid);
        assert_same(&super::oracle::read(&world, &snapshot).await, &truth, &format!("it saw {sees}: laid over"));
        world.advance(60);
        assert_eq!(publish().await, refresh::Outcome::Published, "it saw {sees}");
        assert_same(&published(&world).await, &truth, &format!("it saw {sees}: published"));
    }
}

#[tokio::test]
async fn an_operation_leaves_the_second_factor_as_it_was_known_where_its_read_does_not_tell() {
    let world = world();
    world.sync().await;
    let members = world.cloudflare.memberships();
    let member = members.iter().find(|member| member.status == "accepted").unwrap();
    let role = world.cloudflare.permission_group("admin_readonly").unwrap();
    let role = PolicySpec::allow(role.id, world.cloudflare.account_resource_group());
    world.cloudflare.set_policies(&member.id, vec![role]);
    let record = read(&world, &member.id).await.unwrap();
    let known = record.two_factor.unwrap();
    // The control: what is told counts.
    for (told, expected) in [(None, known), (Some(!known), !known)] {
        note(&world, &MemberRecord { two_factor: told, ..record.clone() }, false, None).await;
        let laid = overlay::over(&world, &manifest(&world).await.generation, None).unwrap();
        let (_, left) = laid.members.iter().find(|(id, _)| *id == record.id).unwrap();
        assert_eq!(left.as_ref().unwrap().two_factor, Some(expected), "{told:?}");
    }
}

#[tokio::test]
async fn an_operation_is_not_undone_where_storage_fails_right_after_its_publication() {
    for (what, when) in [
        (
            "that it is published",
            "INSERT ON sync_state WHEN NEW.name = 'cursor' AND NEW.value LIKE '%\"published\":{%'",
        ),
        ("what it took in", "UPDATE ON overlay"),
    ] {
        let world = world();
        world.sync().await;
        let before = world.cloudflare.truth();
        all_read(&world).await;
        operate(&world).await;
        world.advance(60);
        let trigger =
            format!("CREATE TRIGGER broken BEFORE {when} BEGIN SELECT RAISE(ABORT, 'failed on purpose'); END");
        world.query(&trigger, &[]).unwrap();
        sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
        assert!(sync::status(&world).unwrap().running.expect("it runs").trouble.is_some(), "{what}: it failed");
        world.query("DROP TRIGGER broken", &[]).unwrap();
        let run = world.finish().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
        assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), what);
    }
}

#[tokio::test]
async fn of_a_run_that_is_cut_off_and_publishes_another_generation_both_are_told() {
    let (mut cut, mut most) = (0, 0);
    loop {
        let world = world();
        world.sync().await;
        let first = manifest(&world).await.generation;
        let member = world.cloudflare.memberships().into_iter().rfind(|member| member.status == "accepted").unwrap();
        world.cloudflare.rename(&member.id, Some("Renamed"), None);
        all_read(&world).await;
        world.cuts_answers.set(true);
        if !world.cut_off_at(cut).await {
            break;
        }
        world.cuts_answers.set(false);
        operate(&world).await;
        world.advance(60);
        world.finish().await;
        most = most.max(all_told(&world, &first, &format!("cut off at {cut}")).await);
        cut += 1;
    }
    assert_eq!(most, 2, "of {cut} runs");
}

#[tokio::test]
async fn what_an_operation_just_brought_back_outweighs_a_list_that_does_not_show_it_yet() {
    for is_open in [false, true] {
        let world = world();
        let account = &world.cloudflare;
        let member = account.memberships().into_iter().find(|member| member.status == "accepted").unwrap();
        let [one, other] = [0, 1].map(|place| {
            PolicySpec::allow(account.ordinary_roles()[place].id.clone(), account.account_resource_group())
        });
        let (fewer, more) = (vec![one.clone()], vec![one, other]);
        account.set_policies(&member.id, if is_open { fewer.clone() } else { more.clone() });
        world.sync().await;
        // Every place shows it by then.
        world.advance(120);
        let before = account.truth();
        account.set_policies(&member.id, more.clone());
        let ours = read(&world, &member.id).await.unwrap();
        note(&world, &ours, false, None).await;
        world.advance(60);
        // Somebody took it, and our grant put it back a moment ago: the list still shows the member without it.
        account.set_policies(&member.id, fewer);
        let snapshot = latest(&world).await.unwrap();
        let left = Aftermath { member: &ours, gone: false, group: None, about: None, is_fresh: true };
        overlay::note(&world, snapshot.as_ref(), left, world.now()).await.unwrap();
        world.advance(3);
        sync::begin(&world, &world.config.cloudflare, Trigger { by: "test".into(), accept_removals: false }).unwrap();
        while sync::status(&world).unwrap().running.expect("it runs").phase != Phase::Publish {
            sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
        }
        account.set_policies(&member.id, more);
        world.finish().await;
        let truth = still_offering(account.truth(), &before);
        assert_same(&published(&world).await, &truth, &format!("a change waited: {is_open}"));
    }
}

#[tokio::test]
async fn what_a_sync_took_in_a_moment_after_it_was_done_is_not_undone_by_the_next_one() {
    for is_soon in [true, false] {
        let world = World::new(Spec { members: 20, groups: 0, roles: 8, ..Spec::default() });
        let account = &world.cloudflare;
        let member = account.memberships().into_iter().find(|member| member.status == "accepted").unwrap();
        let [one, other] = [0, 1].map(|place| {
            PolicySpec::allow(account.ordinary_roles()[place].id.clone(), account.account_resource_group())
        });
        let (fewer, more) = (vec![one.clone()], vec![one, other]);
        account.set_policies(&member.id, fewer.clone());
        world.sync().await;
        world.advance(900);
        account.set_policies(&member.id, more.clone());
        note(&world, &read(&world, &member.id).await.unwrap(), false, None).await;
        let sync_now = async || {
            sync::begin(&world, &world.config.cloudflare, Trigger { by: "test".into(), accept_removals: false })
                .unwrap();
            assert_eq!(world.finish().await.outcome, RunOutcome::Published);
        };
        sync_now().await;
        // The list shows the member as before once more, as a place of Cloudflare's does that is late; or somebody takes the role away.
        account.set_policies(&member.id, fewer);
        world.advance(if is_soon { 1 } else { 60 });
        if is_soon {
            sync::begin(&world, &world.config.cloudflare, Trigger { by: "test".into(), accept_removals: false })
                .unwrap();
            world.finish().await;
        } else {
            sync_now().await;
        }
        let user = member.user_id.as_ref().unwrap();
        let held = published(&world).await.grants.into_iter().filter(|grant| grant.contains(user)).count();
        assert_eq!(held, if is_soon { 2 } else { 1 }, "soon: {is_soon}");
    }
}

#[tokio::test]
async fn what_a_newer_generation_has_of_a_member_is_not_guessed_from_an_older_change() {
    for is_readable in [true, false] {
        let what = format!("readable: {is_readable}");
        let world = World::new(Spec { members: 40, groups: 1, roles: 8, ..Spec::default() });
        let account = &world.cloudflare;
        let accepted: Vec<_> = account.memberships().into_iter().filter(|member| member.status == "accepted").collect();
        let (member, other) = (&accepted[0].id, &accepted[1].id);
        let roles = account.ordinary_roles();
        let give = |id: &str, place: usize| {
            account.add_policy(id, PolicySpec::allow(roles[place].id.clone(), account.account_resource_group()));
        };
        world.sync().await;
        give(member, 0);
        note(&world, &read(&world, member).await.unwrap(), false, None).await;
        world.sync().await;
        let group = account.add_group("Others", vec![]);
        account.join_group(&group, member);
        world.sync().await;
        let before = account.truth();
        // An operation begins, and another generation is published before it ends.
        let snapshot = latest(&world).await.unwrap();
        account.rename(other, Some("Renamed"), None);
        world.sync().await;
        give(member, 1);
        let record = read(&world, member).await.unwrap();
        if !is_readable {
            world.desk.fail_reads("manifest/", 1);
        }
        let left = Aftermath { member: &record, gone: false, group: None, about: None, is_fresh: false };
        overlay::note(&world, snapshot.as_ref(), left, world.now()).await.unwrap();
        world.desk.fail_reads("manifest/", 0);
        world.advance(60);
        let came = refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap();
        let expected = if is_readable { refresh::Outcome::Published } else { refresh::Outcome::Sweep };
        assert_eq!(came, expected, "{what}");
        if !is_readable {
            world.sync().await;
        }
        assert_same(&published(&world).await, &still_offering(account.truth(), &before), &what);
    }
}

#[tokio::test]
async fn a_mass_disappearance_among_our_own_changes_is_left_to_a_sweep() {
    use refresh::Outcome::{Published, Sweep};
    for (gone, is_bare, expected) in
        [(10, false, Published), (11, false, Sweep), (10, true, Published), (11, true, Sweep)]
    {
        let what = format!("{gone}, and they hold nothing: {is_bare}");
        let world = World::new(Spec { members: 60, groups: 0, roles: 8, ..Spec::default() });
        let account = &world.cloudflare;
        world.sync().await;
        let (before, first) = (account.truth(), manifest(&world).await.generation);
        let holds = |id: &str| !account.member_atoms(id).is_empty();
        let accepted = account.memberships().into_iter();
        let accepted = accepted.filter(|member| member.status == "accepted" && holds(&member.id));
        for member in accepted.skip(5).take(gone) {
            if is_bare {
                account.set_policies(&member.id, vec![]);
            }
            let record = read(&world, &member.id).await.unwrap();
            if !is_bare {
                account.remove_member(&member.id);
            }
            note(&world, &record, !is_bare, None).await;
        }
        world.advance(60);
        assert_eq!(refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap(), expected, "{what}");
        if expected == Sweep {
            assert_eq!(manifest(&world).await.generation, first, "{what}");
            // Which holds nothing of it back: it was noted.
            world.sync().await;
        }
        assert_same(&published(&world).await, &still_offering(account.truth(), &before), &what);
    }
}

/// What C1 is told to sync has what it was told is done a moment before. A list may not show that yet, so it stays in force; and an invitation that
/// is renewed is gone for a moment.
#[tokio::test]
async fn what_is_too_young_to_be_published_by_itself_goes_along_and_stays_in_force_but_for_who_is_gone() {
    // Beside another's change that is old enough, beside what was read again, or by itself.
    for (is_gone, is_first, is_more) in
        [(false, true, false), (true, true, false), (false, false, true), (false, false, false)]
    {
        let what = format!("gone: {is_gone}, beside another: {is_first}, beside what was read: {is_more}");
        let world = World::new(Spec { members: 40, groups: 0, roles: 8, ..Spec::default() });
        let account = &world.cloudflare;
        let accepted: Vec<_> = account.memberships().into_iter().filter(|member| member.status == "accepted").collect();
        let (first, second) = (&accepted[5], &accepted[6]);
        let [one, other] = [0, 1].map(|place| {
            PolicySpec::allow(account.ordinary_roles()[place].id.clone(), account.account_resource_group())
        });
        account.set_policies(&second.id, vec![one.clone()]);
        world.sync().await;
        world.advance(900);
        let changed = async |id: &str| {
            account.set_policies(id, vec![one.clone(), other.clone()]);
            note(&world, &read(&world, id).await.unwrap(), false, None).await;
        };
        if is_first {
            changed(&first.id).await;
        }
        world.advance(20);
        if is_gone {
            let record = read(&world, &second.id).await.unwrap();
            account.remove_member(&second.id);
            note(&world, &record, true, None).await;
        } else {
            changed(&second.id).await;
        }
        let stands = async |first_grants: usize, second_grants: usize, open: i64, when: &str| {
            let grants = published(&world).await.grants;
            let of = |one: &sim::cloudflare::Membership| {
                let user = one.user_id.clone().unwrap();
                grants.iter().filter(|grant| grant.contains(&user)).count()
            };
            let held = (of(first), of(second));
            let left = world.one("SELECT COUNT(*) FROM overlay WHERE generation IS NULL", &[]).unwrap().unwrap();
            assert_eq!((held.1, left.integer()), (second_grants, Some(open)), "{what}, {when}");
            assert!(!is_first || held.0 == first_grants, "{what}, {when}");
        };
        let mut more = BTreeMap::new();
        if is_more {
            more.insert(format!("api_token:{:032x}", 1), None);
        }
        let came = if is_first || is_more { refresh::Outcome::Published } else { refresh::Outcome::NotNow };
        assert_eq!(refresh::publish(&world, Plan::Paid, more).await.unwrap(), came, "{what}");
        let is_along = (is_first || is_more) && !is_gone;
        stands(2, if is_along { 2 } else { 1 }, 1, "at first").await;
        let newest = manifest(&world).await.generation;
        world.advance(60);
        let came = refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap();
        assert_eq!(came, refresh::Outcome::Published, "{what}");
        stands(2, if is_gone { 0 } else { 2 }, 0, "later").await;
        assert_eq!(manifest(&world).await.generation == newest, is_along, "{what}: it is there already");
    }
}

/// Somebody who is in a user group, and two more groups; synced once.
async fn in_a_group() -> (World, sim::cloudflare::Membership, [String; 3]) {
    let mut world = World::new(Spec { members: 40, groups: 0, roles: 8, ..Spec::default() });
    world.limits = Limits { pages: 1, in_flight: 1, ..Limits::of(Plan::Free) };
    let account = &world.cloudflare;
    let member = account.memberships().into_iter().find(|member| member.status == "accepted").unwrap();
    let groups = ["Left", "Ours", "Theirs"].map(|name| account.add_group(name, vec![]));
    account.join_group(&groups[0], &member.id);
    world.sync().await;
    (world, member, groups)
}

/// What readers have is the account, and what is published of it a while later by itself.
async fn assert_true(world: &World, before: &sim::cloudflare::Truth, what: &str) {
    let laid = overlay::over(world, &manifest(world).await.generation, None).unwrap();
    assert_eq!(laid.members.len(), 1, "{what}");
    let snapshot = Snapshot::of(manifest(world).await).with(laid);
    let truth = still_offering(world.cloudflare.truth(), before);
    assert_same(&super::oracle::read(world, &snapshot).await, &truth, &format!("{what}: laid over"));
    world.advance(60);
    let came = refresh::publish(world, Plan::Paid, BTreeMap::new()).await.unwrap();
    assert_eq!(came, refresh::Outcome::Published, "{what}");
    assert_same(&published(world).await, &truth, &format!("{what}: published"));
}

#[tokio::test]
async fn what_stays_laid_over_the_next_generation_has_its_groups_and_signs_but_for_what_it_changed_itself() {
    for is_late in [false, true] {
        let what = format!("noted while the generation is written: {is_late}");
        let (world, member, [left, ours, theirs]) = in_a_group().await;
        let account = &world.cloudflare;
        let before = account.truth();
        // Somebody else's doing, and a login.
        account.join_group(&theirs, &member.id);
        account.set_access_user(&member.email, Some("2026-12-03T10:00:00Z"));
        while logins::state(&world).unwrap().is_none_or(|state| state.reading.is_some()) {
            logins::read_on(&world, &world.config.cloudflare, Some(true)).await.unwrap();
            world.advance(2);
        }
        all_read(&world).await;
        world.desk.yields.set(true);
        let mut finishing = Box::pin(world.finish());
        if is_late {
            assert!(futures::poll!(finishing.as_mut()).is_pending(), "it knows which changes there are to take in");
        }
        account.leave_group(&left, &member.id);
        account.join_group(&ours, &member.id);
        let role = account.ordinary_roles()[4].id.clone();
        account.add_policy(&member.id, PolicySpec::allow(role, account.account_resource_group()));
        for (group, is_in) in [(&left, false), (&ours, true)] {
            let record = read(&world, &member.id).await.unwrap();
            note(&world, &record, false, Some((group.parse().unwrap(), is_in))).await;
        }
        assert_eq!(finishing.await.outcome, RunOutcome::Published, "{what}");
        assert_true(&world, &before, &what).await;
        let key = format!("user:{}", member.user_id.unwrap());
        let row = latest(&world).await.unwrap().unwrap().get(&world, &key).await.unwrap().unwrap();
        assert_eq!(row.as_member().unwrap().signs.last_login_day.as_deref(), Some("2026-12-03"), "{what}");
    }
}

#[tokio::test]
async fn what_is_published_while_a_change_is_noted_is_not_undone_by_it() {
    let (world, member, [.., theirs]) = in_a_group().await;
    let account = &world.cloudflare;
    let before = account.truth();
    account.join_group(&theirs, &member.id);
    all_read(&world).await;
    let role = account.ordinary_roles()[4].id.clone();
    account.add_policy(&member.id, PolicySpec::allow(role, account.account_resource_group()));
    let (record, snapshot) = (read(&world, &member.id).await.unwrap(), latest(&world).await.unwrap());
    world.desk.yields.set(true);
    let left = Aftermath { member: &record, gone: false, group: None, about: None, is_fresh: false };
    let mut noting = Box::pin(overlay::note(&world, snapshot.as_ref(), left, world.now()));
    assert!(futures::poll!(noting.as_mut()).is_pending(), "it reads the generation");
    assert_eq!(world.finish().await.outcome, RunOutcome::Published);
    noting.await.unwrap();
    assert_true(&world, &before, "noted").await;
}
