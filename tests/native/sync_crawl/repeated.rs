//! Pages of members that come as they came in the sync before are not read again.

use c1_cloudflare::base::ports::{Secret, Sql as _, SqlValue};
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::resource::Row;
use c1_cloudflare::sync::RunOutcome;
use sim::cloudflare::Spec;

use super::account;
use super::oracle::{assert_same, published};
use crate::support::World;

/// No address of the simulated account ends so.
const MARK: u8 = b'9';

/// Two pages of members, synced once.
async fn synced() -> World {
    let world = World::new(Spec { groups: 0, ..account(60) });
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    world
}

/// Changes, in what the last sync staged, how everybody's address ends: whoever has it so later was taken from there.
fn mark(world: &World) {
    let rows = world.query("SELECT page, rows FROM staged WHERE list = 'members/1' ORDER BY page", &[]).unwrap();
    assert_eq!(rows.len(), 2, "what was staged of members is kept");
    for row in rows {
        let [page, SqlValue::Blob(mut staged)] = <[SqlValue; 2]>::try_from(row).unwrap() else { panic!("no bytes") };
        for member in world.cloudflare.memberships() {
            let email = member.email.as_bytes();
            if let Some(at) = staged.windows(email.len()).position(|bytes| bytes == email) {
                staged[at + email.len() - 1] = MARK;
            }
        }
        world
            .query("UPDATE staged SET rows = ? WHERE list = 'members/1' AND page = ?", &[SqlValue::Blob(staged), page])
            .unwrap();
    }
}

/// How many have the mark, and how many have not.
async fn marked(world: &World) -> (usize, usize) {
    let (mut with, mut without) = (0, 0);
    let see = |row: Row| {
        if let Row::User(member) | Row::Invitation(member) = row {
            let is_marked = member.email.ends_with(char::from(MARK));
            *(if is_marked { &mut with } else { &mut without }) += 1;
        }
    };
    let snapshot = c1_cloudflare::snapshot::latest(world).await.unwrap().unwrap();
    snapshot.each(world, &[Kind::User, Kind::Invitation], see).await.unwrap();
    (with, without)
}

#[tokio::test]
async fn a_page_whose_bytes_came_before_is_not_read_again_and_another_is() {
    let world = synced().await;
    mark(&world);
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    let all = world.cloudflare.memberships().len();
    assert_eq!(marked(&world).await, (all, 0), "both pages are those of the sync before");

    // Somebody on the second page has another role: that page is read, and the first is not.
    let member = world.cloudflare.memberships().into_iter().max_by(|one, other| one.email.cmp(&other.email)).unwrap();
    world.cloudflare.set_policies(&member.id, vec![]);
    world.sync().await;
    assert_eq!(marked(&world).await, (50, all - 50));

    // Everybody moves on by one: both are read.
    world.cloudflare.add_member("aaaa@example.com", vec![]);
    world.sync().await;
    assert_eq!(marked(&world).await, (0, all + 1));
    assert_same(&published(&world).await, &world.cloudflare.truth(), "after both were read");
}

#[tokio::test]
async fn pages_of_another_token_are_read() {
    let mut world = synced().await;
    mark(&world);
    world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
    world.sync().await;
    assert_eq!(marked(&world).await.0, 0);
    assert_same(&published(&world).await, &world.cloudflare.truth(), "with another token");
}

#[tokio::test]
async fn where_user_groups_give_something_and_nothing_changed_nothing_is_built_again() {
    let world = World::new(Spec { groups: 3, ..account(60) });
    world.sync().await;
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
    mark(&world);
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "what would be built is not what is published");
    let all = world.cloudflare.memberships().len();
    assert_eq!(marked(&world).await, (0, all));
    // The control: once a group has another name, all of it is built.
    let group = world.cloudflare.truth().groups.into_keys().next().unwrap();
    world.cloudflare.rename_group(&group, "Another name");
    assert_eq!(world.sync().await.outcome, RunOutcome::Published);
    assert_eq!(marked(&world).await, (all, 0));
}

#[tokio::test]
async fn what_a_sync_leaves_of_its_pages_is_bounded_by_one_sync() {
    let world = synced().await;
    let count = || world.query("SELECT run, list, page FROM staged", &[]).unwrap().len();
    assert_eq!(count(), 2);
    for _ in 0..3 {
        world.cloudflare.add_member(&format!("{}@example.com", count()), vec![]);
        world.sync().await;
        assert_eq!(count(), 2);
    }
    // What cannot be looked up is read.
    world.sql_faults.replace(Some(("SELECT facts FROM staged WHERE".to_owned(), usize::MAX)));
    assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged);
    world.sql_faults.replace(None);
    // A sync that fails leaves its own, or nothing.
    world.cloudflare.revoke_permission(sim::cloudflare::Permission::Members);
    assert_eq!(world.sync().await.outcome, RunOutcome::Failed);
    assert!(count() <= 2);
    world.cloudflare.allow_permission(sim::cloudflare::Permission::Members);
    world.sync().await;
    assert_same(&published(&world).await, &world.cloudflare.truth(), "after a failure");
}
