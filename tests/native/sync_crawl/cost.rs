//! What a sync costs: requests to Cloudflare, values in KV, rows in SQLite.

use std::collections::BTreeSet;

use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::snapshot::{ChangeKind, Snapshot, diff};
use c1_cloudflare::sync::{self, Limits, RunOutcome};
use sim::cloudflare::{PolicySpec, Route, Spec};

use super::account;
use super::oracle::{assert_same, manifest, published};
use crate::support::World;

/// The bound that is promised: a page is 50 members, roles or permission groups; a user group is one request; nine for the rest (one of
/// them asks for the connector's own token, once for each token), and one more where there are user groups, and a page of domains' names for each 50 where a scope names one: three at most of all of these ask whether a member's record shows what a group gives.
fn bound(world: &World) -> usize {
    let permission_groups = world.cloudflare.permission_groups().len();
    let groups = world.cloudflare.truth().groups.len();
    let members = world.cloudflare.memberships().len();
    // Without members no role is held on a domain.
    let names = if members == 0 { 0 } else { world.cloudflare.domains().len().div_ceil(50) };
    names
        + members.div_ceil(50)
        + 60_usize.div_ceil(50)
        + permission_groups.div_ceil(50)
        + groups
        + 9
        + usize::from(groups > 0)
}

#[tokio::test]
async fn a_sync_keeps_its_bound_of_requests() {
    for (members, groups) in [(1, 0), (50, 0), (1000, 0), (1000, 12), (5000, 0)] {
        let world = World::new(Spec { groups, ..account(members) });
        let run = world.sync().await;
        let (sent, bound) = (world.cloudflare.total_requests(), bound(&world));
        assert!(sent <= bound, "{members} members, {groups} groups: {sent} requests, not {bound}");
        assert_eq!(run.requests as usize, sent, "the record says what was sent");
        assert!(world.cloudflare.most_in_flight() <= 4);
    }
}

#[tokio::test]
async fn an_unchanged_account_costs_no_value_in_kv() {
    for plan in [Plan::Free, Plan::Paid] {
        let mut world = World::new(account(1000));
        world.limits = Limits::of(plan);
        world.sync().await;
        let before = world.desk.values.borrow().clone();
        world.desk.puts.borrow_mut().clear();
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Unchanged, "{}", run.message);
        let puts = world.desk.puts.borrow().clone();
        assert!(
            puts.len() <= 3 && puts.iter().all(|key| world.desk.name_of(key) == "sync/cursor"),
            "{plan:?}: {puts:?}"
        );
        assert_eq!(run.kv.writes, puts.len() as u64);
        assert_eq!(*world.desk.values.borrow(), before, "{plan:?}");
    }
}

/// The statement that reads what is staged of a page.
const STAGED: &str = "SELECT 0 AS piece, rows FROM staged";

/// An account that was found unchanged once: from then on it is known by what its crawl brings.
async fn known_to_be_unchanged() -> World {
    let world = World::new(Spec { groups: 0, ..account(120) });
    world.sync().await;
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
    world
}

#[tokio::test]
async fn a_crawl_that_brings_what_the_one_before_brought_reads_no_page_again() {
    let world = known_to_be_unchanged().await;
    let chunks = world.desk.keys().iter().filter(|key| key.contains("chunk/")).count();
    world.sql_faults.replace(Some((STAGED.to_owned(), 1)));
    let run = world.sync().await;
    assert_eq!((run.outcome, run.warnings.len()), (RunOutcome::Unchanged, 0), "{}", run.message);
    assert_eq!(
        run.generation,
        sync::status(&world).unwrap().generations.first().map(|newest| newest.generation.clone())
    );
    assert!(
        usize::try_from(run.kv.reads).is_ok_and(|reads| reads >= chunks),
        "the generation is looked at all the same: {:?}",
        run.kv
    );
    assert_eq!(world.sql_faults.borrow().as_ref().unwrap().1, 1, "no page was read");
    // The control: the first time after a change the pages are read.
    world.sql_faults.replace(None);
    world.cloudflare.add_member("newest@example.com", vec![]);
    world.sql_faults.replace(Some((STAGED.to_owned(), 1)));
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    assert_eq!(world.sql_faults.borrow().as_ref().unwrap().1, 0);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "after the change");
}

#[tokio::test]
async fn whatever_differs_from_what_was_unchanged_is_built_again() {
    // A role of one member; who is in a group; a name.
    let world = known_to_be_unchanged().await;
    let member = world.cloudflare.memberships().into_iter().find(|member| member.user_id.is_some()).unwrap();
    world.cloudflare.set_policies(&member.id, vec![]);
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "a member without policies");
    world.cloudflare.remove_member(&member.id);
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "a member less");

    // What the generation is made of is the same, and a chunk of it is lost.
    let world = known_to_be_unchanged().await;
    let lost = world.desk.keys().into_iter().find(|key| key.contains("chunk/")).unwrap();
    world.desk.values.borrow_mut().remove(&lost);
    world.advance(900);
    let run = world.sync().await;
    assert!(world.desk.keys().contains(&lost), "{}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "after the loss");

    // A list that may no longer be read, and may again.
    let world = known_to_be_unchanged().await;
    world.cloudflare.revoke_permission(sim::cloudflare::Permission::Tokens);
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    assert!(!sync::status(&world).unwrap().capabilities["tokens"].on);
    world.cloudflare.allow_permission(sim::cloudflare::Permission::Tokens);
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    assert!(sync::status(&world).unwrap().capabilities["tokens"].on);
}

#[tokio::test]
async fn one_changed_member_of_5000_rewrites_two_chunks_at_most_and_is_the_whole_difference() {
    let world = World::new(account(5000));
    let first = world.sync().await;
    let old = manifest(&world).await;
    let statements = world.statements.get();
    // A row for each page and one for its request in the budget, and a handful for the cursor and the record; stored chunks beside.
    assert!(statements < 2 * (100 + 115) + 2 * first.chunks_written + 60, "{statements} rows were written");

    let member = world.cloudflare.memberships().into_iter().find(|member| member.user_id.is_some()).unwrap();
    let permission_groups = world.cloudflare.permission_groups();
    let held = world.cloudflare.member_atoms(&member.id);
    let whole = world.cloudflare.account_resource_group();
    let wanted = permission_groups
        .iter()
        .find(|group| group.account_wide && !held.iter().any(|(_, held, _)| *held == group.id))
        .unwrap();
    world.cloudflare.add_policy(&member.id, PolicySpec::allow(wanted.id.clone(), whole));
    world.desk.puts.borrow_mut().clear();
    let second = world.sync().await;
    assert!(second.chunks_written <= 2, "{} chunks", second.chunks_written);
    let values: BTreeSet<String> = world.desk.puts.borrow().iter().cloned().collect();
    assert!(values.len() <= 5, "{values:?}");

    let new = manifest(&world).await;
    let changes = diff(&world, &old, &new, None, 100).await.unwrap().items;
    let [change] = changes.as_slice() else { panic!("{changes:#?}") };
    let key = format!("user:{}", member.user_id.unwrap());
    assert_eq!((change.kind, &change.key), (ChangeKind::Changed, &key));
    let added: Vec<String> =
        change.grants_added.iter().map(|grant| grant.entitlement.grant_id(grant.principal)).collect();
    assert_eq!(added, [format!("role:{}:member:{key}", wanted.governed_as())]);
    assert!(change.grants_removed.is_empty() && change.fields.is_empty(), "{change:#?}");
    let counted = second.changes.unwrap();
    assert_eq!((counted.changed, counted.grants_added, counted.added, counted.removed), (1, 1, 0, 0));
    assert_same(&published(&world).await, &world.cloudflare.truth(), "after the change");
    // The older generation is still whole.
    let older = Snapshot::open(&world, &old.generation).await.unwrap();
    assert_eq!(older.manifest().counts, old.counts);
}

#[tokio::test]
async fn a_free_plan_publishes_the_same_in_small_steps() {
    let paid = World::new(account(700));
    paid.sync().await;
    let noted = |world: &World| world.desk.puts.borrow().iter().any(|key| world.desk.name_of(key) == "sync/cursor");
    assert!(!noted(&paid), "one step needs no copy of its cursor");
    let mut free = World::new(account(700));
    free.limits = Limits::of(Plan::Free);
    let run = free.sync().await;
    assert_eq!(manifest(&free).await.digest, manifest(&paid).await.digest);
    assert_eq!(run.requests as usize, paid.cloudflare.total_requests());
    assert_eq!(free.cloudflare.requests(Route::ListMembers), 14);
    assert!(noted(&free) && !free.desk.names().contains("sync/cursor"), "the cursor goes when the run ends");
}
