//! Reads a published snapshot in the shape of the simulator's own account of itself.

use c1_cloudflare::model::grant::Entitlement;
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::resource::Row;
use c1_cloudflare::snapshot::{self, Manifest, Scan, Snapshot};
use sim::cloudflare::Truth;

use crate::support::World;

/// The manifest that is current.
pub(crate) async fn manifest(world: &World) -> Manifest {
    snapshot::latest(world).await.unwrap().expect("something was published").manifest().clone()
}

/// Every row of a snapshot.
async fn rows(world: &World, snapshot: &Snapshot) -> Vec<Row> {
    let (mut rows, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let scan = Scan { kinds: Kind::ALL.to_vec(), holding: None, after, limit: 1_000 };
        let page = snapshot.scan(world, &scan).await.unwrap();
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
    panic!("the scan does not end");
}

/// What the current generation says of the account.
pub(crate) async fn published(world: &World) -> Truth {
    read(world, &snapshot::latest(world).await.unwrap().expect("something was published")).await
}

/// What a snapshot says of the account.
pub(crate) async fn read(world: &World, snapshot: &Snapshot) -> Truth {
    let mut truth = Truth::default();
    for row in rows(world, snapshot).await {
        let grants = snapshot.manifest().grants_of(&row);
        truth.grants.extend(grants.into_iter().map(|(entitlement, principal)| entitlement.grant_id(principal)));
        let id = row.key().split_once(':').unwrap().1.to_owned();
        match row {
            Row::User(_) => {
                truth.users.insert(id);
            }
            Row::Invitation(_) => {
                truth.invitations.insert(id);
            }
            Row::Role(role) => {
                truth.roles.insert(id, role.name);
            }
            Row::ScopedRole(role) => {
                let entitlement = Entitlement::scoped(role.permission_group, role.resource_group);
                assert_eq!(entitlement.resource(), format!("scoped_role:{id}"));
                truth.scoped_roles.insert(id);
            }
            Row::Group(group) => {
                truth.groups.insert(id, group.name);
            }
            Row::ApiToken(token) => {
                truth.tokens.insert(id, token.name);
            }
            // The simulator's own tests hold what it tells of them against the contract.
            Row::OauthClient(_) => {}
        }
    }
    truth
}

/// What is true now, with the scoped roles of before: they stay on offer when nobody holds them any more.
pub(crate) fn still_offering(mut truth: Truth, before: &Truth) -> Truth {
    truth.scoped_roles.extend(before.scoped_roles.iter().cloned());
    truth
}

/// Compares in full; a difference is told by what is missing and what is too much.
pub(crate) fn assert_same(published: &Truth, truth: &Truth, what: &str) {
    let differ = |name: &str, left: Vec<String>, right: Vec<String>| {
        let missing: Vec<_> = right.iter().filter(|item| !left.contains(item)).take(5).collect();
        let extra: Vec<_> = left.iter().filter(|item| !right.contains(item)).take(5).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{what}: {name}: missing {missing:#?}, too much {extra:#?}");
    };
    if published == truth {
        return;
    }
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    let map = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(id, name)| format!("{id} {name}")).collect::<Vec<_>>()
    };
    differ("users", list(&published.users), list(&truth.users));
    differ("invitations", list(&published.invitations), list(&truth.invitations));
    differ("roles", map(&published.roles), map(&truth.roles));
    differ("scoped roles", list(&published.scoped_roles), list(&truth.scoped_roles));
    differ("groups", map(&published.groups), map(&truth.groups));
    differ("tokens", map(&published.tokens), map(&truth.tokens));
    differ("grants", list(&published.grants), list(&truth.grants));
    panic!("{what}: the snapshot and the account differ");
}
