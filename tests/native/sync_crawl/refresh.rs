//! Small publications between two sweeps that are cut off.

use c1_cloudflare::account::newest;
use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::base::tree::BTreeMap;
use c1_cloudflare::snapshot::{GenerationId, Snapshot};
use c1_cloudflare::sync::{self, RunOutcome, refresh};
use sim::cloudflare::{PolicySpec, Spec};

use super::oracle::{assert_same, manifest, published, still_offering};
use super::overlay::{note, read};
use crate::support::World;

/// Gives somebody a role by hand, which is heard of.
async fn given(world: &World, member: &str, label: &str) {
    let account = &world.cloudflare;
    let role = account.permission_group(label).unwrap().id;
    account.add_policy(member, PolicySpec::allow(role, account.account_resource_group()));
    note(world, &read(world, member).await.unwrap(), false, None).await;
    world.advance(60);
}

/// That the history has each generation since the first one, and that each is signalled once, against the one before: how many there are.
pub(super) async fn all_told(world: &World, first: &GenerationId, what: &str) -> usize {
    let status = sync::status(world).unwrap();
    let published = status.runs.iter().filter(|run| run.outcome == RunOutcome::Published);
    let told: Vec<_> = published.map(|run| run.generation.clone().unwrap()).take_while(|told| told != first).collect();
    let mut newest = manifest(world).await;
    let mut there = Vec::new();
    while newest.generation != *first {
        assert_eq!(status.generations[there.len()].generation, newest.generation, "{what}: the history has it");
        there.push(newest.generation);
        newest =
            Snapshot::open(world, &newest.previous.expect("the first is before it")).await.unwrap().manifest().clone();
    }
    assert_eq!(told, there, "{what}");
    there.len()
}

#[tokio::test]
async fn a_small_publication_that_is_cut_off_anywhere_is_remembered_by_the_next_sweep_and_kept_by_the_next_small_one() {
    let (mut cut, mut most, mut changes_more) = (0, 0, false);
    loop {
        let what = format!("cut off at {cut}, and more changed: {changes_more}");
        let world = World::new(Spec { members: 60, groups: 0, roles: 8, ..Spec::default() });
        world.sync().await;
        let before = world.cloudflare.truth();
        let first = manifest(&world).await.generation;
        world.advance(900);
        let mut members = world.cloudflare.memberships();
        let roles = ["super_admin", "admin_readonly"].map(|label| world.cloudflare.permission_group(label).unwrap().id);
        let lacks = |id: &str| !world.cloudflare.member_atoms(id).iter().any(|atom| roles.contains(&atom.1));
        members.retain(|member| member.status == "accepted" && lacks(&member.id));
        given(&world, &members[3].id, "super_admin").await;
        let publication = refresh::publish(&world, Plan::Paid, BTreeMap::new());
        if world.cut_off(cut, publication).await.is_some() {
            break;
        }
        if changes_more {
            world.cloudflare.rename(&members[4].id, Some("Renamed"), None);
        }
        world.sync().await;
        let told = all_told(&world, &first, &what).await;
        assert!(told <= if changes_more { 2 } else { 1 }, "{what}");
        most = most.max(told);

        given(&world, &members[5].id, "admin_readonly").await;
        let came = refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap();
        assert_eq!(came, refresh::Outcome::Published, "{what}");
        assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), &what);
        cut += u64::from(changes_more);
        changes_more = !changes_more;
    }
    assert!(cut > 5 && most == 2, "there were only {cut} operations to cut off at, and {most} generations");
}

/// That sweep may be held for days. Whoever is left to it stays noted, and stands before everybody else.
#[tokio::test]
async fn more_than_a_small_publication_takes_is_the_next_ones_and_waits_for_no_sweep() {
    use refresh::Outcome::{NotNow, Published, Sweep};
    for (left, is_gone) in [(0, false), (90, true), (90, false)] {
        let what = format!("{left} are left to a sweep, and they are gone: {is_gone}");
        let world = World::new(Spec { members: 400, groups: 0, roles: 8, ..Spec::default() });
        world.sync().await;
        world.advance(900);
        let account = &world.cloudflare;
        let role = account.permission_group("admin_readonly").unwrap().id;
        let policy = PolicySpec::allow(role.clone(), account.account_resource_group());
        let mut members = account.memberships();
        members.retain(|member| {
            let atoms = account.member_atoms(&member.id);
            member.status == "accepted" && !atoms.is_empty() && !atoms.iter().any(|atom| atom.1 == role)
        });
        let (first, others) = members.split_at(left);
        for member in first {
            if !is_gone {
                account.set_policies(&member.id, vec![]);
            }
            let record = read(&world, &member.id).await.unwrap();
            if is_gone {
                account.remove_member(&member.id);
            }
            note(&world, &record, is_gone, None).await;
        }
        for member in &others[..120] {
            account.add_policy(&member.id, policy.clone());
            note(&world, &read(&world, &member.id).await.unwrap(), false, None).await;
        }
        let mut came = Vec::new();
        for turn in 0..4 {
            world.advance(60);
            came.push(refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap());
            let due = refresh::next_due(&world, Plan::Paid).unwrap().map(|at| at.since(world.now()));
            assert!(turn > 0 || due.is_some_and(|due| due <= 20_000), "{what}: the others come at once: {due:?}");
        }
        let expected = if left == 0 { [Published, Published, NotNow, NotNow] } else { [Sweep; 4] };
        assert_eq!(came, expected, "{what}");
        let (published, truth) = (published(&world).await, account.truth());
        assert!(published.grants.is_superset(&truth.grants), "{what}");
        assert_eq!(published.users.len() - truth.users.len(), if is_gone { left } else { 0 }, "{what}");
    }
}

/// People in several chunks, and a member in the last of them.
async fn in_chunks() -> (World, String) {
    let world = World::new(Spec { members: 1_500, groups: 0, roles: 8, ..Spec::default() });
    world.sync().await;
    let last = manifest(&world).await.chunks.last().unwrap().first_key.clone();
    let mut members = world.cloudflare.memberships();
    members.retain(|one| one.user_id.as_ref().is_some_and(|user| format!("user:{user}") >= last));
    let member = members.into_iter().find(|one| one.status == "accepted").unwrap().id;
    (world, member)
}

/// Somebody gives a member another role by hand, which is heard of and published.
async fn changed(world: &World, member: &str, role: &str) {
    let account = &world.cloudflare;
    let role = account.permission_group(role).unwrap().id;
    account.set_policies(member, vec![PolicySpec::allow(role, account.account_resource_group())]);
    note(world, &read(world, member).await.unwrap(), false, None).await;
    world.advance(60);
    let came = refresh::publish(world, Plan::Paid, BTreeMap::new()).await.unwrap();
    assert_eq!(came, refresh::Outcome::Published);
}

/// The newest generation is never an old one then.
#[tokio::test]
async fn a_chunk_that_the_store_lost_is_written_again_though_something_is_published_every_few_minutes() {
    let (world, member) = in_chunks().await;
    let chunks = manifest(&world).await.chunks;
    let lost = &chunks[chunks.len() - 2];
    assert!(lost.first_key.starts_with("user:"), "{chunks:?}");
    world.desk.values.borrow_mut().remove(&world.desk.key(&format!("chunk/{}", lost.hash))).unwrap();
    for round in 0..15 {
        changed(&world, &member, ["admin_readonly", "super_admin"][round % 2]).await;
        world.advance(180);
        if round % 3 == 2 {
            let trigger = sync::Trigger { by: "test".into(), accept_removals: false };
            sync::begin(&world, &world.config.cloudflare, trigger).unwrap();
            let run = world.finish().await;
            assert_ne!(run.outcome, RunOutcome::Failed, "{round}: {}", run.message);
        }
    }
    let (published, truth) = (published(&world).await, world.cloudflare.truth());
    assert_eq!((published.users, published.grants), (truth.users, truth.grants));
}

#[tokio::test]
async fn a_chunk_that_was_just_published_and_is_late_is_waited_for_and_not_written_again() {
    let (world, member) = in_chunks().await;
    for role in ["super_admin", "admin_readonly"] {
        changed(&world, &member, role).await;
    }
    let late = world.desk.key(&format!("chunk/{}", manifest(&world).await.chunks.last().unwrap().hash));
    let value = world.desk.values.borrow_mut().remove(&late).unwrap();
    // Seen at the fourth try, two minutes later.
    world.desk.late.borrow_mut().insert(late, (3, value));
    let written = || world.desk.puts.borrow().iter().filter(|key| key.contains("chunk/")).count();
    let before = written();
    let trigger = sync::Trigger { by: "test".into(), accept_removals: false };
    sync::begin(&world, &world.config.cloudflare, trigger).unwrap();
    let run = world.finish().await;
    assert_ne!(run.outcome, RunOutcome::Failed, "{}", run.message);
    assert_eq!(written(), before, "{}", run.message);
}

/// A sync that is cut off at an operation and does not come to its end; whether there was one to cut it off at.
async fn lost(world: &World, cut: u64) -> bool {
    world.advance(900);
    let trigger = sync::Trigger { by: "test".into(), accept_removals: false };
    sync::begin(world, &world.config.cloudflare, trigger).unwrap();
    let is_cut = world.cut_off_at(cut).await;
    if is_cut {
        world.query("DELETE FROM sync_state WHERE name = 'cursor'", &[]).unwrap();
    }
    is_cut
}

#[tokio::test]
async fn a_generation_that_never_became_current_is_not_the_newest_for_long() {
    let (mut cut, mut orphans) = (0, 0);
    loop {
        let what = format!("cut off at {cut}");
        let world = World::new(Spec { members: 60, groups: 0, roles: 8, ..Spec::default() });
        let members = world.cloudflare.memberships();
        let member = members.iter().find(|member| member.status == "accepted").unwrap().id.clone();
        let whole = world.cloudflare.account_resource_group();
        let holds = |label: &str| {
            let role = world.cloudflare.permission_group(label).unwrap().id;
            world.cloudflare.set_policies(&member, vec![PolicySpec::allow(role, whole.clone())]);
        };
        holds("admin_readonly");
        world.sync().await;
        world.sync().await;
        holds("super_admin");
        if !lost(&world, cut).await {
            break;
        }
        // By the next sync everything is as it was.
        holds("admin_readonly");
        let newest = async || newest(&world).await.unwrap().last().unwrap().manifest().generation.clone();
        orphans += usize::from(newest().await != manifest(&world).await.generation);
        world.advance(900);
        world.sync().await;
        assert_eq!(newest().await, manifest(&world).await.generation, "{what}");
        assert_same(&published(&world).await, &world.cloudflare.truth(), &what);
        cut += 1;
    }
    assert!(orphans > 0, "of {cut}");
}

#[tokio::test]
async fn nothing_small_is_built_on_an_older_generation_than_a_lost_run_published() {
    let (mut cut, mut swept, mut built) = (0, 0, 0);
    loop {
        let what = format!("cut off at {cut}");
        let world = World::new(Spec { members: 60, groups: 0, roles: 8, ..Spec::default() });
        world.sync().await;
        let before = world.cloudflare.truth();
        let first = manifest(&world).await.generation;
        let members: Vec<_> =
            world.cloudflare.memberships().into_iter().filter(|member| member.status == "accepted").collect();
        // Somebody else's doing, which the sweep sees.
        let role = world.cloudflare.permission_group("admin_readonly").unwrap().id;
        let policy = PolicySpec::allow(role, world.cloudflare.account_resource_group());
        world.cloudflare.add_policy(&members[2].id, policy);
        if !lost(&world, cut).await {
            break;
        }
        let shown = manifest(&world).await.generation;
        given(&world, &members[3].id, "super_admin").await;
        let came = refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap();
        if shown == first {
            // What was to be published and is not shown may be on its way.
            built += usize::from(came == refresh::Outcome::Published);
        } else if sync::generations(&world).unwrap()[0].generation == first {
            assert_eq!(came, refresh::Outcome::Sweep, "{what}");
            swept += 1;
        }
        world.sync().await;
        assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), &what);
        cut += 1;
    }
    assert!(swept > 0 && built > 5, "{swept} swept and {built} built, of {cut}");
}
