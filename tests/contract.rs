//! What the built Worker sends to Cloudflare, and what it takes for an answer, against the `OpenAPI` document of the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use sim::cloudflare::{Cloudflare, Route, Spec};
use sim::conductorone::{ConductorOne, Entitlement, Person, Task};
use sim::harness::{Options, World};
use sim::openapi::{Contract, VARIABLE};

/// The contract, or word that there is none; in CI there must be one.
fn contract() -> Option<Contract> {
    let contract = Contract::load();
    if contract.is_none() {
        assert!(std::env::var_os("CI").is_none(), "the OpenAPI document is missing: set {VARIABLE}");
        eprintln!("SKIPPED: no OpenAPI document found; set {VARIABLE} to its path to check the contract");
    }
    contract
}

#[tokio::test]
async fn everything_the_worker_sends_is_what_the_api_documents() {
    let Some(contract) = contract() else { return };
    let cloudflare = Cloudflare::new(Spec { members: 60, ..Spec::default() });
    let options = Options::default()
        .var("CLOUDFLARE_ACCOUNT_ID", &cloudflare.account_id())
        .var("CLOUDFLARE_API_TOKEN", &cloudflare.token());
    let world = World::start(Arc::new(cloudflare.clone()), ConductorOne::new(), options).await.unwrap();

    world.get("/v1/doctor").await.unwrap();
    let status = world.sync().await.unwrap();
    assert_eq!(status["state"], json!("connected"), "{status}");
    let member = cloudflare
        .memberships()
        .into_iter()
        .find(|member| member.status == "accepted" && cloudflare.member_atoms(&member.id).len() == 1)
        .unwrap();
    let held = cloudflare.member_atoms(&member.id);
    let role = cloudflare
        .permission_groups()
        .into_iter()
        .find(|group| group.account_wide && held.iter().all(|(_, held, _)| *held != group.id))
        .unwrap();
    let person = Person::member(&member.email, member.user_id.as_deref().unwrap_or_default(), &member.id);
    for task in [Task::grant, Task::revoke] {
        let delivery = world.c1.task(&task(Entitlement::role(role.governed_as(), &role.name), person.clone()));
        let outcome = world.deliver(&delivery).await;
        assert!(outcome.completed().is_some(), "{outcome:?}");
    }

    let exchanges = cloudflare.exchanges();
    let complaints: Vec<String> =
        exchanges.iter().filter_map(|exchange| contract.check(exchange).err()).flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let routes: BTreeSet<Route> = exchanges.iter().filter_map(|exchange| exchange.route).collect();
    assert!(routes.len() >= 10, "the test is to go through the API: {routes:?}");
    assert!(routes.iter().any(|route| route.is_write()), "{routes:?}");
}
