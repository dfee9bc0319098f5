//! Small publications between two sweeps that are cut off.

use c1_cloudflare::base::settings::Plan;
use c1_cloudflare::base::tree::BTreeMap;
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

#[tokio::test]
async fn a_small_publication_that_is_cut_off_anywhere_is_remembered_by_the_next_sweep_and_kept_by_the_next_small_one() {
    let mut cut = 0;
    loop {
        let what = format!("cut off at {cut}");
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
        world.sync().await;
        let newest = manifest(&world).await;
        let status = sync::status(&world).unwrap();
        assert_eq!(status.generations[0].generation, newest.generation, "{what}: the history has it");
        let told = status
            .runs
            .iter()
            .filter(|run| run.outcome == RunOutcome::Published && run.generation.as_ref() == Some(&newest.generation));
        assert_eq!(told.count(), 1, "{what}: its change is signalled once");
        assert_eq!(newest.previous.as_ref(), Some(&first), "{what}: by the one before");

        given(&world, &members[5].id, "admin_readonly").await;
        let came = refresh::publish(&world, Plan::Paid, BTreeMap::new()).await.unwrap();
        assert_eq!(came, refresh::Outcome::Published, "{what}");
        assert_same(&published(&world).await, &still_offering(world.cloudflare.truth(), &before), &what);
        cut += 1;
    }
    assert!(cut > 5, "there were only {cut} operations to cut off at");
}
