//! A run that is cut off anywhere goes on, and publishes what an undisturbed one does.

use c1_cloudflare::account::overlay;
use c1_cloudflare::base::fakes::Fault;
use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::base::tree::BTreeMap;
use c1_cloudflare::snapshot::{KvUse, RunRecord, SnapshotError};
use c1_cloudflare::sync::{self, Limits, RunOutcome, SyncState, Trigger, refresh};
use sim::cloudflare::{Cloudflare, Permission, PolicySpec, Spec, Truth};

use super::oracle::{assert_same, manifest, published, still_offering};
use super::overlay::{note, read};
use crate::support::World;

fn spec() -> Spec {
    Spec { members: 230, groups: 3, roles: 20, ..Spec::default() }
}

fn trigger() -> Trigger {
    Trigger { by: "test".to_owned(), accept_removals: false }
}

fn begin(world: &World) {
    world.advance(900);
    sync::begin(world, &world.config.cloudflare, trigger()).unwrap();
}

/// Some of everything: a member gone, one new, one renamed, one who left a group.
fn change(cloudflare: &Cloudflare) {
    let members = cloudflare.memberships();
    cloudflare.remove_member(&members[20].id);
    cloudflare.rename(&members[30].id, Some("Renamed"), None);
    cloudflare.add_member("newcomer@example.com", vec![]);
    if let Some(member) = members.iter().find(|member| !member.groups.is_empty()) {
        cloudflare.leave_group(member.groups.first().unwrap(), &member.id);
    }
}

#[tokio::test]
async fn a_first_sync_cut_off_at_any_operation_publishes_the_same() {
    for plan in [Plan::Paid, Plan::Free] {
        let whole = World::new(spec());
        begin(&whole);
        let requests = whole.finish().await.requests;
        let digest = manifest(&whole).await.digest;
        let mut cut = 0;
        loop {
            let mut world = World::new(spec());
            world.limits = Limits::of(plan);
            begin(&world);
            if !world.cut_off_at(cut).await {
                break;
            }
            let run = world.finish().await;
            assert_eq!(run.outcome, RunOutcome::Published, "cut off at {cut}: {}", run.message);
            assert_eq!(manifest(&world).await.digest, digest, "cut off at {cut}");
            // What was on its way is asked for again, and nothing else.
            let sent = world.cloudflare.total_requests();
            assert!(sent <= requests as usize + 4, "cut off at {cut}: {sent} requests");
            assert!(!world.desk.names().contains("sync/cursor"), "cut off at {cut}");
            cut += 1;
        }
        assert!(cut > 15, "there were only {cut} operations to cut off at");
    }
}

#[tokio::test]
async fn a_later_sync_cut_off_at_any_operation_shows_the_old_snapshot_or_the_new_one() {
    let whole = World::new(spec());
    whole.sync().await;
    change(&whole.cloudflare);
    begin(&whole);
    whole.finish().await;
    let (truth, digest) = (whole.cloudflare.truth(), manifest(&whole).await.digest);
    let mut cut = 0;
    loop {
        let world = World::new(spec());
        world.sync().await;
        let (before, old) = (world.cloudflare.truth(), manifest(&world).await.digest);
        change(&world.cloudflare);
        begin(&world);
        if !world.cut_off_at(cut).await {
            break;
        }
        let now = manifest(&world).await.digest;
        assert!(now == old || now == digest, "cut off at {cut}");
        let expected = if now == old { &before } else { &truth };
        assert_same(&published(&world).await, expected, &format!("cut off at {cut}"));
        let run = world.finish().await;
        assert_eq!(run.outcome, RunOutcome::Published, "cut off at {cut}: {}", run.message);
        assert_eq!(manifest(&world).await.digest, digest, "cut off at {cut}");
        assert_eq!(run.changes.unwrap().added, 1, "cut off at {cut}");
        cut += 1;
    }
    assert!(cut > 20, "there were only {cut} operations to cut off at");
}

#[tokio::test]
async fn a_run_cut_off_again_and_again_comes_to_its_end() {
    let whole = World::new(spec());
    whole.sync().await;
    let world = World::new(spec());
    begin(&world);
    let mut cuts = 0;
    while world.cut_off_at(5).await {
        cuts += 1;
        assert!(cuts < 100);
    }
    assert!(cuts > 2);
    assert_eq!(manifest(&world).await.digest, manifest(&whole).await.digest);
}

#[tokio::test]
async fn a_run_that_is_under_way_says_how_far_it_is() {
    let world = World::new(spec());
    assert_eq!(sync::status(&world).unwrap().state, SyncState::NotConnected);
    begin(&world);
    assert!(world.cut_off_at(14).await);
    let status = sync::status(&world).unwrap();
    let running = status.running.unwrap();
    assert_eq!(status.state, SyncState::Syncing);
    assert_eq!(running.progress.members_total, Some(230));
    assert!((50..=230).contains(&running.progress.members_seen), "{running:?}");
    assert!(running.progress.pages_done < running.progress.pages_total, "{running:?}");
    let error = sync::begin(&world, &world.config.cloudflare, trigger()).unwrap_err();
    assert_eq!(error, sync::BeginError::AlreadyRunning(running.run));
    world.finish().await;
    assert_eq!(sync::status(&world).unwrap().state, SyncState::Connected);
}

#[tokio::test]
async fn a_store_that_fails_never_touches_what_is_published() {
    for fault in [Fault::BeforePersisting, Fault::AfterPersisting] {
        for prefix in ["chunk/", "manifest/", "current", "sync/cursor"] {
            for times in [1, 1_000] {
                let what = format!("{fault:?} of {prefix} {times} times");
                let world = World::new(spec());
                world.sync().await;
                let (before, old) = (world.cloudflare.truth(), manifest(&world).await.digest);
                change(&world.cloudflare);
                world.desk.fail(prefix, fault, times);
                let run = world.sync().await;
                let now = manifest(&world).await.digest;
                let expected = if now == old { &before } else { &world.cloudflare.truth() };
                assert_same(&published(&world).await, expected, &what);
                assert!(
                    times > 1 || run.outcome == RunOutcome::Published,
                    "{what}: a single failure passes: {}",
                    run.message
                );
                if run.outcome == RunOutcome::Failed {
                    assert_eq!(now, old, "{what}");
                    assert!(run.message.contains("could not be written"), "{what}: {}", run.message);
                    assert_eq!(sync::status(&world).unwrap().state, SyncState::Error);
                }
                world.desk.faults.borrow_mut().clear();
                world.sync().await;
                assert_same(&published(&world).await, &world.cloudflare.truth(), &format!("{what}, then none"));
            }
        }
    }
}

#[tokio::test]
async fn values_that_the_store_lost_are_written_again() {
    for lost in ["chunk/", "manifest/", "current", ""] {
        let world = World::new(spec());
        world.sync().await;
        world.desk.values.borrow_mut().retain(|key, _| !world.desk.name_of(key).starts_with(lost));
        // At once, they could be on their way still; a while later they are lost.
        let run = world.sync().await;
        assert!(matches!(run.outcome, RunOutcome::Published | RunOutcome::Unchanged), "{lost}: {}", run.message);
        assert_same(&published(&world).await, &world.cloudflare.truth(), lost);
    }
    let world = World::new(spec());
    world.sync().await;
    let chunk = world.desk.keys().into_iter().find(|key| key.contains("chunk/")).unwrap();
    world.desk.values.borrow_mut().insert(chunk, b"{}\n".to_vec());
    assert!(matches!(c1_cloudflare::snapshot::Snapshot::named(&world, "unknown").await, Err(SnapshotError::Gone(_))));
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "damaged");
}

/// Readers are not to wait until somebody accepts what it is held for.
#[tokio::test]
async fn a_run_that_is_held_points_at_the_newest_generation_again_where_the_store_lost_that() {
    for names_older in [false, true] {
        let world = World::new(spec());
        world.sync().await;
        let pointer = world.desk.key("current");
        let older = world.desk.values.borrow()[&pointer].clone();
        change(&world.cloudflare);
        world.sync().await;
        let newest = manifest(&world).await.generation;
        if names_older {
            world.desk.values.borrow_mut().insert(pointer, older);
        } else {
            world.desk.values.borrow_mut().remove(&pointer);
        }
        for member in world.cloudflare.memberships().iter().skip(50).take(80) {
            world.cloudflare.remove_member(&member.id);
        }
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Held, "an older one: {names_older}: {}", run.message);
        assert_eq!(manifest(&world).await.generation, newest, "an older one: {names_older}");
    }
}

/// A generation before the current one, and a list that cannot be read any more: what is known of that is in KV alone.
async fn with_a_list_that_is_off() -> (World, Truth) {
    let world = World::new(spec());
    world.sync().await;
    world.cloudflare.revoke_permission(Permission::Tokens);
    world.cloudflare.add_member("newest@example.com", vec![]);
    world.sync().await;
    let before = published(&world).await;
    assert!(!before.tokens.is_empty());
    (world, before)
}

#[tokio::test]
async fn what_is_known_of_a_list_that_is_off_outlasts_what_the_store_loses_or_damages() {
    type Spoil = fn(&World);
    let cases: [(&str, Spoil); 5] = [
        ("`current` is garbage", |world| {
            world.desk.values.borrow_mut().insert(world.desk.key("current"), b"garbage".to_vec());
        }),
        ("`current` is empty", |world| {
            world.desk.values.borrow_mut().insert(world.desk.key("current"), Vec::new());
        }),
        ("`current` is of a newer version", |world| {
            let newer = br#"{"v":2,"generation":"20990101T000000Z-00000000","digest":"","published_at":"2099-01-01T00:00:00Z"}"#;
            world.desk.values.borrow_mut().insert(world.desk.key("current"), newer.to_vec());
        }),
        ("the manifest is garbage", |world| {
            let current = sync::generations(world).unwrap()[0].generation.clone();
            world.desk.values.borrow_mut().insert(world.desk.key(&format!("manifest/{current}")), b"{}".to_vec());
        }),
        ("the manifest is lost", |world| {
            let current = sync::generations(world).unwrap()[0].generation.clone();
            world.desk.values.borrow_mut().remove(&world.desk.key(&format!("manifest/{current}")));
        }),
    ];
    for (what, spoil) in cases {
        let (world, before) = with_a_list_that_is_off().await;
        spoil(&world);
        let run = world.sync().await;
        assert!(matches!(run.outcome, RunOutcome::Published | RunOutcome::Unchanged), "{what}: {}", run.message);
        assert_same(&published(&world).await, &before, what);
    }
}

#[tokio::test]
async fn a_value_that_is_damaged_or_missing_once_is_read_again_before_it_counts_as_lost() {
    let (world, before) = with_a_list_that_is_off().await;
    let chunk = world.desk.keys().into_iter().find(|key| key.contains("chunk/")).unwrap();
    let body = world.desk.values.borrow_mut().insert(chunk.clone(), b"{}\n".to_vec()).unwrap();
    begin(&world);
    for _ in 0..2 {
        sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
    }
    world.desk.values.borrow_mut().insert(chunk, body);
    let run = world.finish().await;
    assert_eq!(run.outcome, RunOutcome::Unchanged, "{}", run.message);
    assert_same(&published(&world).await, &before, "it was there all the time");
}

#[tokio::test]
async fn a_run_that_is_too_old_or_of_another_account_starts_over() {
    let world = World::new(spec());
    begin(&world);
    assert!(world.cut_off_at(12).await);
    let first = sync::status(&world).unwrap().running.unwrap();
    world.advance(7 * 60 * 60);
    change(&world.cloudflare);
    let run = world.finish().await;
    assert_eq!((run.outcome, &run.run), (RunOutcome::Published, &first.run));
    assert_same(&published(&world).await, &world.cloudflare.truth(), "started over");
}

#[tokio::test]
async fn a_large_publication_is_remembered_in_a_step_of_its_own_and_all_the_same() {
    let run = async |limits: Limits| {
        let mut world = World::new(spec());
        world.sync().await;
        change(&world.cloudflare);
        world.limits = limits;
        begin(&world);
        let (mut steps, mut most) = (1, 0);
        let count = || world.desk.gets.borrow().len() + world.desk.puts.borrow().len();
        loop {
            let before = count();
            let next = sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
            most = most.max(count() - before);
            if next == sync::Next::Idle {
                break;
            }
            steps += 1;
        }
        assert_same(&published(&world).await, &world.cloudflare.truth(), "published");
        let run = sync::status(&world).unwrap().runs.remove(0);
        assert!(!world.desk.names().contains("sync/cursor"), "nothing is left of it");
        (steps, most, RunRecord { kv: KvUse::default(), ..run })
    };
    let whole = Limits::of(Plan::Paid);
    let (steps, most, record) = run(whole).await;
    let apart = run(Limits { key_value: 2, ..whole }).await;
    assert_eq!((apart.0, &apart.2), (steps + 1, &record));
    assert!(apart.1 < most, "{} operations of key-value, {most} in one", apart.1);
}

#[tokio::test]
async fn a_run_that_has_published_waits_until_that_can_be_read_and_fails_by_no_means() {
    let mut world = World::new(spec());
    world.sync().await;
    let old = manifest(&world).await.generation;
    change(&world.cloudflare);
    world.limits = Limits { key_value: 2, ..Limits::of(Plan::Paid) };
    begin(&world);
    while manifest(&world).await.generation == old {
        sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
    }
    world.desk.fail_reads("manifest/", 1_000);
    for _ in 0..10 {
        world.advance(300);
        sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
    }
    let running = sync::status(&world).unwrap().running.expect("it runs");
    assert!(running.trouble.unwrap().contains("cannot be read"));
    world.desk.fail_reads("manifest/", 0);
    world.advance(300);
    let run = world.finish().await;
    assert_eq!((run.outcome, run.changes.unwrap().added), (RunOutcome::Published, 1), "{}", run.message);
    assert_eq!(run.generation, Some(manifest(&world).await.generation));
    assert_same(&published(&world).await, &world.cloudflare.truth(), "published");
}

#[tokio::test]
async fn a_publication_that_the_store_loses_before_it_is_remembered_is_made_again_with_what_it_had_taken_in() {
    let mut world = World::new(spec());
    world.sync().await;
    let before = world.cloudflare.truth();
    let old = manifest(&world).await.generation;
    let member = world.cloudflare.memberships().into_iter().find(|member| member.status == "accepted").unwrap().id;
    let role = world.cloudflare.ordinary_roles()[0].id.clone();
    world.cloudflare.add_policy(&member, PolicySpec::allow(role, world.cloudflare.account_resource_group()));
    note(&world, &read(&world, &member).await.unwrap(), false, None).await;
    change(&world.cloudflare);
    world.limits = Limits { key_value: 2, ..Limits::of(Plan::Paid) };
    begin(&world);
    while manifest(&world).await.generation == old {
        sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
    }
    let laid = || overlay::over(&world, &old, None).unwrap();
    let taken_in = overlay::over(&world, &manifest(&world).await.generation, None).unwrap();
    assert!(taken_in.members.is_empty() && !laid().members.is_empty());
    let lost = world.desk.key(&format!("manifest/{}", manifest(&world).await.generation));
    world.desk.values.borrow_mut().remove(&lost);
    let run = world.finish().await;
    assert_eq!(run.outcome, RunOutcome::Failed, "{}", run.message);
    assert!(run.message.contains("is lost") && run.duration_millis < 30 * 60 * 1000, "{run:?}");
    assert!(
        overlay::oldest_open(&world).unwrap().is_some(),
        "what was taken in is in force for whatever is published next"
    );
    // Nothing is built on the generation before: it lacks what the lost one had.
    assert_ne!(refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap(), refresh::Outcome::Published);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), "published again");
}

/// A sync that takes more memory than there is ends its isolate, and with it every operation that is under way, each time.
#[tokio::test]
async fn a_sync_that_is_cut_off_again_and_again_while_it_is_put_together_fails_and_the_next_one_goes_on() {
    let is_read = |world: &World| {
        sync::status(world).unwrap().running.is_some_and(|running| running.phase == sync::Phase::Publish)
    };
    let mut cut = 0;
    let world = loop {
        let world = World::new(spec());
        begin(&world);
        assert!(world.cut_off_at(cut).await, "never cut off while it was put together");
        if is_read(&world) {
            break world;
        }
        cut += 1;
    };
    let mut cuts = 0;
    while world.cut_off_at(0).await {
        cuts += 1;
        assert!(cuts < 10, "it is tried without an end");
    }
    let run = sync::status(&world).unwrap().runs[0].clone();
    assert_eq!(run.outcome, RunOutcome::Failed);
    assert!(run.message.contains("cut off 5 times in a row"), "{}", run.message);
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
}
