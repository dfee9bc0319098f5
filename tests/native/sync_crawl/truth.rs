//! Every resource and every grant of the account is in the snapshot, and nothing else.

use c1_cloudflare::sync::RunOutcome;
use sim::cloudflare::{Behaviour, Collation, ScopeShape, Spec};

use super::oracle::{assert_same, published};
use crate::support::World;

async fn check(spec: Spec) {
    let what = format!("{} members, seed {}", spec.members, spec.seed);
    let world = World::new(spec);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{what}: {}", run.message);
    assert_same(&published(&world).await, &world.cloudflare.truth(), &what);
    assert_eq!(run.warnings, Vec::<String>::new(), "{what}");
    assert!(world.cloudflare.unexpected().is_empty(), "{what}");
}

#[tokio::test]
async fn the_snapshot_is_the_account_for_20_seeds_at_the_edges_of_a_page() {
    for seed in 1..=20 {
        for members in [1, 49, 50, 51] {
            check(Spec { members, seed, ..Spec::default() }).await;
        }
    }
}

#[tokio::test]
async fn the_snapshot_is_the_account_for_20_seeds_at_1000_members() {
    for seed in 1..=10 {
        check(Spec { members: 1000, seed, ..Spec::default() }).await;
    }
}

#[tokio::test]
async fn the_snapshot_is_the_account_for_the_other_10_seeds_at_1000_members() {
    for seed in 11..=20 {
        check(Spec { members: 1000, seed, ..Spec::default() }).await;
    }
}

#[tokio::test]
async fn what_the_api_leaves_open_makes_no_difference() {
    let other = Behaviour {
        permission_groups_result_info: false,
        collation: Collation::CaseInsensitive,
        blank_end_of_life: true,
        lists_inherited_policies: true,
        repeats_a_role_id: true,
        extra_fields: true,
        ratelimit_headers: true,
        ..Behaviour::default()
    };
    for seed in 1..=5 {
        let scope = if seed % 2 == 0 { ScopeShape::Mixed } else { ScopeShape::Array };
        // The list of members shows them, too, or it does not.
        let behaviour = Behaviour { scope, lists_inherited_policies_everywhere: seed > 2, ..other.clone() };
        check(Spec { members: 120, seed, groups: 9, behaviour, ..Spec::default() }).await;
    }
}

#[tokio::test]
async fn many_groups_tokens_and_roles_are_read_to_their_last_page() {
    check(Spec { members: 60, roles: 101, groups: 30, tokens: 120, zones: 40, ..Spec::default() }).await;
}
