//! What scoped roles reach, in words: names from lists that are asked for only where they are needed, and what is told without them.

use std::collections::BTreeMap;

use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::resource::{Row, ScopedRole};
use c1_cloudflare::snapshot;
use c1_cloudflare::sync::{self, RunOutcome};
use sim::cloudflare::{Fault, Permission, PolicySpec, Route, ScopeShape, Spec};

use super::account;
use super::oracle::{assert_same, published};
use crate::support::World;

const LISTS: [Route; 3] = [Route::ListZones, Route::ListWorkers, Route::ListAccessApps];

/// An account in which nobody holds anything but what a test gives.
fn world() -> World {
    World::new(Spec { groups: 0, zones: 0, pending_share: 0.0, ..account(5) })
}

/// Has somebody hold a permission group on a new resource group that reaches these; returns the resource group's id.
fn held_on(world: &World, name: &str, keys: &[&str]) -> String {
    let on = world.cloudflare.add_scope(name, keys);
    let is_zone = keys.iter().any(|key| key.contains(".zone."));
    let group = world.cloudflare.permission_groups().into_iter().find(|group| group.account_wide != is_zone).unwrap();
    let member = world.cloudflare.memberships().into_iter().next_back().unwrap();
    world.cloudflare.add_policy(&member.id, PolicySpec::allow(group.id, on.clone()));
    on
}

/// The scoped roles of the current generation, by their resource groups.
async fn scoped(world: &World) -> BTreeMap<String, ScopedRole> {
    let snapshot = snapshot::latest(world).await.unwrap().unwrap();
    let mut all = BTreeMap::new();
    let see = |row| {
        if let Row::ScopedRole(role) = row {
            all.insert(role.resource_group.to_string(), role);
        }
    };
    snapshot.each(world, &[Kind::ScopedRole], see).await.unwrap();
    all
}

/// What the role on a resource group reaches, in words.
async fn reach(world: &World, on: &str) -> String {
    scoped(world).await[on].reach()
}

#[tokio::test]
async fn every_kind_of_object_is_told_by_its_name_and_an_unknown_one_by_its_key() {
    for scope in [ScopeShape::Object, ScopeShape::Array] {
        let world = world();
        world.cloudflare.configure(|behaviour| behaviour.scope = scope);
        let (zone, shop) = (world.cloudflare.add_domain("example.com"), world.cloudflare.add_domain("shop.example"));
        let (worker, app) =
            (world.cloudflare.add_worker("checkout-api"), world.cloudflare.add_access_app("Admin site"));
        let bucket = format!("com.cloudflare.edge.r2.bucket.{}_eu_logs", world.cloudflare.account_id());
        let deleted = world.cloudflare.add_domain("old.example");
        world.cloudflare.delete_object("old.example");
        let unknown = "com.cloudflare.edge.d1.database.7";
        let expected = [
            (held_on(&world, "rg-1", &[&zone]), "example.com"),
            (held_on(&world, "rg-2", &[&shop, &zone]), "example.com and 1 more"),
            (held_on(&world, "rg-3", &[&worker]), "checkout-api"),
            (held_on(&world, "rg-4", &[&app]), "Admin site"),
            (held_on(&world, "rg-5", &[&bucket]), "logs"),
            (held_on(&world, "rg-6", &[unknown, &worker]), "checkout-api and 1 more"),
            (held_on(&world, "rg-7", &[unknown]), unknown),
            (held_on(&world, "rg-8", &["com.cloudflare.api.account.zone.*"]), "every domain"),
            (held_on(&world, "rg-9", &["*"]), "the whole account"),
            (held_on(&world, "rg-10", &[&deleted]), "rg-10"),
            (held_on(&world, "rg-11", &[&deleted, &zone]), "example.com and 1 more"),
        ];
        let run = world.sync().await;
        assert_eq!((run.outcome, run.warnings.len()), (RunOutcome::Published, 0), "{}", run.message);
        assert_same(&published(&world).await, &world.cloudflare.truth(), "ids stay");
        let all = scoped(&world).await;
        for (on, words) in expected {
            assert_eq!(all[&on].reach(), words);
            assert_eq!(all[&on].display_name(), format!("{} on {words}", all[&on].permission_group_name));
        }
        assert!(world.cloudflare.unexpected().is_empty());
    }
}

#[tokio::test]
async fn names_are_asked_for_where_a_held_scope_has_one_of_the_kind_and_then_by_their_pages_alone() {
    let world = world();
    for n in 0..120 {
        world.cloudflare.add_domain(&format!("z{n}.example"));
    }
    let worker = world.cloudflare.add_worker("checkout-api");
    world.cloudflare.add_idle_scopes(17_000);
    let every = held_on(&world, "every", &["com.cloudflare.api.account.zone.*"]);
    let run = world.sync().await;
    assert_eq!(LISTS.map(|list| world.cloudflare.requests(list)), [0, 0, 0], "{}", run.message);
    assert_eq!(reach(&world, &every).await, "every domain");
    // The first sync also asks which token it calls with.
    let before = world.cloudflare.total_requests() - world.cloudflare.requests(Route::VerifyAccountToken);

    let on_worker = held_on(&world, "w", &[&worker]);
    for expected in [[0, 1, 0], [0, 1, 0]] {
        world.cloudflare.reset_log();
        let run = world.sync().await;
        assert_eq!(LISTS.map(|list| world.cloudflare.requests(list)), expected);
        let sent: Vec<String> = world.cloudflare.exchanges().into_iter().map(|exchange| exchange.path).collect();
        assert_eq!(sent.len(), before + 1, "and nothing twice: {sent:#?}");
        assert_eq!(run.requests as usize, before + 1);
    }
    assert_eq!(reach(&world, &on_worker).await, "checkout-api");

    let (key, name) = world.cloudflare.domains().pop().unwrap();
    let on_zone = held_on(&world, "z", &[&key]);
    world.cloudflare.reset_log();
    world.sync().await;
    assert_eq!(LISTS.map(|list| world.cloudflare.requests(list)), [3, 1, 0], "120 domains are three pages");
    assert_eq!(reach(&world, &on_zone).await, name);
}

#[tokio::test]
async fn a_list_of_names_that_may_not_be_read_is_off_with_its_permission_and_what_was_known_stays() {
    for (permission, list, label) in [
        (Permission::Zones, "zones", "Zone: Read"),
        (Permission::Workers, "workers", "Workers Scripts: Read"),
        (Permission::AccessApps, "access_apps", "Access: Apps and Policies: Read"),
    ] {
        for known_before in [false, true] {
            let world = world();
            let keys = [
                world.cloudflare.add_domain("name.example"),
                world.cloudflare.add_worker("name.example"),
                world.cloudflare.add_access_app("name.example"),
            ];
            let key = &keys[["zones", "workers", "access_apps"].iter().position(|known| *known == list).unwrap()];
            let on = held_on(&world, "rg-7", &[key]);
            if known_before {
                world.sync().await;
            }
            world.cloudflare.revoke_permission(permission);
            for _ in 0..2 {
                let run = world.sync().await;
                assert_ne!(run.outcome, RunOutcome::Failed, "{list}: {}", run.message);
                let told = sync::status(&world).unwrap().capabilities[list].clone();
                assert!(!told.on && told.message.as_ref().unwrap().contains(label), "{told:?}");
                assert_eq!(told.kept_from.is_some(), known_before, "{list}: {told:?}");
                assert_eq!(reach(&world, &on).await, if known_before { "name.example" } else { "rg-7" }, "{list}");
            }
            assert_eq!(world.sync().await.outcome, RunOutcome::Unchanged, "{list}");
            world.cloudflare.allow_permission(permission);
            world.sync().await;
            assert!(sync::status(&world).unwrap().capabilities[list].on);
            assert_eq!(reach(&world, &on).await, "name.example");
        }
    }
}

#[tokio::test]
async fn names_that_fail_for_a_while_and_resource_groups_that_cannot_be_read_leave_what_was_known() {
    for (route, list) in [(Route::ListZones, "zones"), (Route::ListResourceGroups, "resource_groups")] {
        let world = world();
        let zone = world.cloudflare.add_domain("example.com");
        let on = held_on(&world, "rg-7", &[&zone]);
        world.sync().await;
        world.cloudflare.fail_next(route, 10_000, Fault::status(503, 1));
        world.cloudflare.add_member("newest@example.com", vec![]);
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{list}: {}", run.message);
        assert_eq!(reach(&world, &on).await, "example.com", "{list}");
        assert!(!sync::status(&world).unwrap().capabilities[list].on);
        // Deleted: the resource group goes on naming it, and so do we.
        world.cloudflare.clear_faults();
        world.cloudflare.delete_object("example.com");
        world.sync().await;
        assert_eq!(reach(&world, &on).await, "example.com", "{list}");
    }
}

#[tokio::test]
async fn a_scope_of_more_objects_than_a_row_takes_tells_how_many_there_are() {
    let world = world();
    let keys: Vec<String> = (0..620).map(|n| world.cloudflare.add_domain(&format!("z{n:03}.example"))).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let on = held_on(&world, "rg-7", &keys);
    world.sync().await;
    let role = scoped(&world).await[&on].clone();
    assert_eq!((role.scope.0.len(), role.unlisted), (500, 120));
    assert!(role.reach().ends_with(".example and 619 more"), "{}", role.reach());
}

#[tokio::test]
async fn where_a_role_ends_is_known_while_permission_groups_cannot_be_read() {
    let world = world();
    let group = world.cloudflare.ordinary_roles().into_iter().find(|group| group.account_wide).unwrap();
    let member = world.cloudflare.memberships().into_iter().next_back().unwrap();
    let policy = PolicySpec::allow(group.id.clone(), world.cloudflare.account_resource_group());
    world.cloudflare.add_policy(&member.id, policy);
    let id = group.id.clone();
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/permission_groups") {
            for one in told["result"].as_array_mut().into_iter().flatten().filter(|one| one["id"] == *id) {
                one["meta"]["deprecated"] = "true".into();
                one["meta"]["eol_at"] = "2027-02-01".into();
            }
        }
    }));
    let ends = async || {
        let snapshot = snapshot::latest(&world).await.unwrap().unwrap();
        let mut ends = Vec::new();
        let see = |row| {
            if let Row::Role(role) = row
                && role.id.to_string() == group.governed_as()
            {
                ends.push(role.ends);
            }
        };
        snapshot.each(&world, &[Kind::Role], see).await.unwrap();
        ends
    };
    world.sync().await;
    let known = vec![Some("2027-02-01".to_owned())];
    assert_eq!(ends().await, known, "the control");
    world.cloudflare.fail_next(Route::ListPermissionGroups, 10_000, Fault::status(503, 1));
    world.cloudflare.add_member("newest@example.com", vec![]);
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    assert_eq!(ends().await, known);
    // That it ends no more is told by the list alone.
    world.cloudflare.clear_faults();
    *world.bends.borrow_mut() = None;
    world.sync().await;
    assert_eq!(ends().await, [None]);
}
