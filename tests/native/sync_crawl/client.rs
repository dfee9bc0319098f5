//! The client against the simulated API, call by call: what it reads. What it writes is in `src/cloudflare/tests.rs`.

use c1_cloudflare::account::inherited;
use c1_cloudflare::cloudflare::{Client, Purpose, TokenKind};
use c1_cloudflare::model::access::atoms;
use sim::cloudflare::{Behaviour, Spec};

use super::account;
use crate::support::World;

fn client(world: &World) -> Client<'_, World> {
    Client::new(world, &world.config.cloudflare, Purpose::Provisioning)
}

#[tokio::test]
async fn the_token_is_verified_on_the_route_of_its_kind() {
    let mut world = World::new(account(5));
    let verified = client(&world).verify_token().await.unwrap();
    assert_eq!((verified.kind, verified.status.as_str()), (TokenKind::Account, "active"));
    world.config.cloudflare.token = c1_cloudflare::base::ports::Secret::new(world.cloudflare.user_token());
    assert_eq!(client(&world).verify_token().await.unwrap().kind, TokenKind::User);
    world.config.cloudflare.token = c1_cloudflare::base::ports::Secret::new("cfat_of_nobody_0123456789");
    let error = client(&world).verify_token().await.unwrap_err();
    assert!(!error.is_retryable() && !error.to_string().contains("of_nobody"), "{error}");
}

#[tokio::test]
async fn the_other_lists_are_read() {
    let world = World::new(account(60));
    let client = client(&world);
    assert_eq!(client.account().await.unwrap().id, world.config.cloudflare.account_id);
    let whole = client.account_resource_group().await.unwrap();
    assert_eq!(whole.to_string(), world.cloudflare.account_resource_group());
    let known = world.cloudflare.permission_group("super_admin").unwrap();
    let group = client.permission_group(known.id.parse().unwrap()).await.unwrap();
    assert_eq!((group.name, group.label.as_deref()), (known.name, Some("super_admin")));
}

#[tokio::test]
async fn what_a_member_has_through_a_user_group_is_not_the_members_own() {
    let behaviour = Behaviour { lists_inherited_policies: true, ..Behaviour::default() };
    let world = World::new(Spec { behaviour, groups: 8, ..account(60) });
    world.sync().await;
    let inherited = inherited::group_policies(&world).unwrap();
    assert!(!inherited.is_empty());
    let mut differing = 0;
    for membership in world.cloudflare.memberships().iter().filter(|member| !member.groups.is_empty()) {
        let member = client(&world).member(membership.id.parse().unwrap()).await.unwrap();
        let shown = atoms(&member.own_policies().unwrap());
        let own = atoms(&member.without_inherited(&inherited).own_policies().unwrap());
        let truth = world.cloudflare.member_atoms(&membership.id);
        assert_eq!(own.len(), truth.len(), "{}", membership.email);
        differing += usize::from(own != shown);
    }
    assert!(differing > 0, "some member shows what it has through a group");
}
