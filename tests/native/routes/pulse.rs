//! What somebody changes in Cloudflare's dashboard, from there to `/v1`: how soon, at what cost, and that the next sweep finds it so.

use std::time::Duration;

use c1_cloudflare::account::inherited;
use c1_cloudflare::audit::feed;
use c1_cloudflare::base::ports::{Clock as _, Sql as _, SqlValue};
use c1_cloudflare::model::ask::{Action, Subject};
use c1_cloudflare::model::operation::{Origin, Outcome, Refusal, Request, Target};
use c1_cloudflare::provision::callback;
use c1_cloudflare::provision::journal::{self, Arrival};
use serde_json::Value;
use sim::cloudflare::{Behaviour, Fault, Oddity, On, Permission, PolicySpec, Route, Spec};
use sim::conductorone::Proof;
use sim::harness::Options;

use crate::deployment::Deployment;
use crate::lives::world::CALLBACKS;
use crate::looks::{assert_is_account, holds, roles};
use crate::support::APP;

async fn deployment(members: usize, plan: &str) -> Deployment {
    let spec = Spec { members, roles: 12, groups: 2, zones: 2, tokens: 2, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "on").var("PLAN", plan)).await;
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    deployment.cloudflare.reset_log();
    deployment
}

async fn generation(deployment: &Deployment) -> Value {
    deployment.json("/v1/status").await["generations"][0]["generation"].clone()
}

/// Seconds until something is so.
async fn until(deployment: &Deployment, what: &str, is_so: impl AsyncFn() -> bool) -> u64 {
    for secs in 0..600 {
        if is_so().await {
            return secs;
        }
        deployment.wait(Duration::from_secs(1)).await;
    }
    panic!("{what} never happens");
}

/// What a change costs, from the dashboard to `/v1` and to a generation.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Seconds to `/v1`, and to a generation.
    shown: u64,
    published: u64,
    requests: usize,
    writes: usize,
    /// Of KV, by the Coordinator.
    reads: usize,
}

/// Makes a change twice: once to see how soon it is there, once to see what it costs while nobody asks.
async fn cost(deployment: &Deployment, change: impl Fn(usize), is_shown: impl AsyncFn(usize) -> bool) -> Cost {
    let (cloudflare, desk) = (&deployment.cloudflare, &deployment.world().desk);
    let before = generation(deployment).await;
    change(0);
    let shown = until(deployment, "v1", async || is_shown(0).await).await;
    let more = until(deployment, "a generation", async || generation(deployment).await != before).await;
    deployment.wait(Duration::from_mins(3)).await;
    let before = generation(deployment).await;
    let (puts, gets) = (desk.puts.borrow().len(), desk.gets.borrow().len());
    cloudflare.reset_log();
    change(1);
    deployment.wait(Duration::from_secs(90)).await;
    let requests = cloudflare.total_requests() - cloudflare.requests(Route::ListAuditLogs);
    let (writes, reads) = (desk.puts.borrow().len() - puts, desk.gets.borrow().len() - gets);
    assert!(cloudflare.requests(Route::ListMembers) == 0, "no sweep");
    assert!(is_shown(1).await && generation(deployment).await != before);
    // The generation is what a sweep would have published.
    let after = generation(deployment).await;
    deployment.sync().await;
    assert_eq!(generation(deployment).await, after, "the sweep finds nothing that is otherwise");
    deployment.wait(Duration::from_mins(3)).await;
    Cost { shown, published: shown + more, requests, writes, reads }
}

/// Each kind of change, and what it costs.
async fn costs(members: usize) -> Vec<(&'static str, Cost)> {
    let deployment = deployment(members, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let people: Vec<_> = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted").collect();
    let somebody = people[0].clone();
    let lacks = |n: usize| {
        let atoms = cloudflare.member_atoms(&somebody.id);
        known.iter().filter(|role| !atoms.iter().any(|atom| atom.1 == role.id)).nth(n).unwrap().clone()
    };
    let given = [lacks(0), lacks(1)];
    let path = format!("/v1/users/{}", somebody.user_id.clone().unwrap());
    let has = async |path: &str, text: &str| deployment.get(path).await.text().contains(text);
    let mut costs = Vec::new();
    let change = |n: usize| cloudflare.add_policy(&somebody.id, holds(cloudflare, &given[n]));
    let is_shown = async |n: usize| has(&path, &format!("role:{}:member", given[n].governed_as())).await;
    costs.push(("a member's policy", cost(&deployment, change, is_shown).await));
    let changes = deployment.json("/v1/changes?limit=1").await["items"][0].clone();
    assert_eq!(changes["by"][0]["by"]["who"], "somebody.else@example.com", "{changes}");

    let gone = [people[people.len() / 2].clone(), people[people.len() - 1].clone()];
    let change = |n: usize| cloudflare.remove_member(&gone[n].id);
    let is_shown = async |n: usize| {
        let path = format!("/v1/users/{}", gone[n].user_id.clone().unwrap());
        deployment.get(&path).await.status == 404
    };
    costs.push(("a member who is removed", cost(&deployment, change, is_shown).await));

    let group = cloudflare.truth().groups.keys().next().unwrap().trim_start_matches("group:").to_owned();
    let change = |n: usize| cloudflare.set_group_policies(&group, vec![holds(cloudflare, &known[n])]);
    let is_shown = async |n: usize| has(&format!("/v1/roles/{}/members", known[n].governed_as()), &group).await;
    costs.push(("a user group's policies", cost(&deployment, change, is_shown).await));

    let token = cloudflare.add_token("ci", None, &Value::Null);
    let change = |n: usize| match n {
        0 => cloudflare.change_token(&token, &serde_json::json!({ "status": "disabled" })),
        _ => cloudflare.remove_token(&token),
    };
    let is_shown = async |n: usize| {
        let answer = deployment.get(&format!("/v1/tokens/{token}")).await;
        if n == 0 { answer.text().contains("disabled") } else { answer.status == 404 }
    };
    costs.push(("an API token", cost(&deployment, change, is_shown).await));
    costs
}

fn tell(members: usize, costs: &[(&str, Cost)]) {
    println!(
        "| {members} members | to `/v1` | to a generation | requests | KV writes | KV reads |\n|---|---|---|---|---|---|"
    );
    for (what, cost) in costs {
        let Cost { shown, published, requests, writes, reads } = cost;
        println!("| {what} | {shown} s | {published} s | {requests} | {writes} | {reads} |");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_in_the_dashboard_is_in_v1_within_a_minute_for_a_few_requests_and_writes_at_any_size() {
    for members in [20, 1_000] {
        let costs = Box::pin(costs(members)).await;
        tell(members, &costs);
        for (what, cost) in costs {
            assert!(cost.shown <= 60 && cost.published <= 90, "{what}: {cost:?}");
            assert!(cost.requests <= 3 && cost.writes <= 5 && cost.reads <= 42, "{what}: {cost:?}");
        }
    }
}

#[cfg(feature = "measure")]
#[tokio::test(start_paused = true)]
async fn what_a_change_costs_is_measured() {
    for members in [1_000, 50_000] {
        tell(members, &Box::pin(costs(members)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_member_is_heard_of_and_the_sweep_finds_it_so() {
    let deployment = deployment(20, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let quiet = async |what: &str| {
        deployment.wait(Duration::from_mins(2)).await;
        assert_is_account(&deployment).await;
        let published = generation(&deployment).await;
        deployment.sync().await;
        assert_eq!(generation(&deployment).await, published, "{what}");
        deployment.wait(Duration::from_mins(3)).await;
    };
    let new = cloudflare.invite("asked@example.com", vec![holds(cloudflare, &known[0])]);
    quiet("an invitation").await;
    cloudflare.accept_invitation(&new);
    quiet("its acceptance").await;
    let group = cloudflare.truth().groups.keys().next().unwrap().trim_start_matches("group:").to_owned();
    cloudflare.join_group(&group, &new);
    quiet("a user group").await;
    // Whose a token is goes with them, whatever address they have.
    let token = cloudflare.make_token("hers", Some("asked@example.com"), &Value::Null);
    quiet("a token of hers").await;
    let maker = async || deployment.json(&format!("/v1/tokens/{token}")).await["creator_id"].clone();
    let user = cloudflare.membership(&new).unwrap().user_id.unwrap();
    // Of which the account's log says nothing.
    cloudflare.change_email(&new, "married@example.com");
    deployment.sync().await;
    assert_eq!(maker().await, format!("user:{user}"));
    cloudflare.remove_member(&new);
    quiet("a removal").await;
    assert_eq!(maker().await, "");
}

/// What is no member's own: for what is done, whether it may take a sweep.
#[tokio::test(start_paused = true)]
async fn a_user_group_and_a_token_are_read_again_by_themselves_and_the_sweep_finds_them_so() {
    let deployment = deployment(60, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let people: Vec<_> = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted").collect();
    let group = cloudflare.truth().groups.keys().next().unwrap().trim_start_matches("group:").to_owned();
    let zone = cloudflare.domain_resource_groups()[0].0.clone();
    let hears = async |what: &str, requests: usize| {
        let (before, puts) = (generation(&deployment).await, deployment.world().desk.puts.borrow().len());
        cloudflare.reset_log();
        let published = until(&deployment, what, async || generation(&deployment).await != before).await;
        let asked = cloudflare.total_requests() - cloudflare.requests(Route::ListAuditLogs);
        let writes = deployment.world().desk.puts.borrow().len() - puts;
        println!("{what}: {published} s to a generation, {asked} requests, {writes} KV writes");
        assert!(published <= 60, "{what}: {published} s");
        assert!(asked <= requests && cloudflare.requests(Route::ListMembers) == 0, "{what}: {asked} requests");
        assert!(writes <= 5, "{what}: {writes} writes");
        deployment.wait(Duration::from_mins(2)).await;
        assert_is_account(&deployment).await;
        let published = generation(&deployment).await;
        deployment.sync().await;
        assert_eq!(generation(&deployment).await, published, "{what}: the sweep finds it so");
        deployment.wait(Duration::from_mins(3)).await;
    };
    cloudflare.set_group_policies(&group, vec![holds(cloudflare, &known[2]), holds(cloudflare, &known[3])]);
    hears("a user group's policies", 2).await;
    // Without a word about whom.
    cloudflare.join_group(&group, &people[0].id);
    cloudflare.leave_group(&group, &people[0].id);
    cloudflare.join_group(&group, &people[1].id);
    cloudflare.join_group(&group, &people[2].id);
    hears("a user group's members", 8).await;
    let new = cloudflare.add_group("New", vec![holds(cloudflare, &known[1])]);
    cloudflare.join_group(&new, &people[3].id);
    hears("a new user group", 6).await;
    let policies = |on: &str| serde_json::json!({ "policies": [{ "id": "a".repeat(32), "effect": "allow", "resources": { on: "*" }, "permission_groups": [{ "id": "b".repeat(32), "name": "DNS Write" }] }] });
    let account = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
    let token = cloudflare.make_token("ci", Some(&people[0].email.to_uppercase()), &policies(&account));
    hears("a new token", 2).await;
    let told = deployment.json(&format!("/v1/tokens/{token}")).await;
    assert_eq!(told["creator_id"], format!("user:{}", people[0].user_id.clone().unwrap()), "{told}");
    cloudflare.change_token(&token, &serde_json::json!({ "status": "disabled" }));
    hears("a token's state", 2).await;
    cloudflare.remove_token(&token);
    hears("a token's end", 2).await;
    assert_eq!(deployment.get(&format!("/v1/tokens/{token}")).await.status, 404);
    // The control: on something that nothing has a name for yet, and a group that is gone, with whoever was in it.
    let unknown = cloudflare.add_domain("new.example");
    let token = cloudflare.make_token("on a new domain", None, &policies(&unknown));
    deployment.wait(Duration::from_mins(4)).await;
    assert!(cloudflare.requests(Route::ListMembers) > 0);
    let told = deployment.json(&format!("/v1/tokens/{token}")).await;
    assert_eq!(told["access"], serde_json::json!(["DNS Write on new.example"]), "{told}");
    cloudflare.remove_group(&group);
    cloudflare.set_group_policies(&new, vec![PolicySpec::allow(known[1].id.clone(), zone)]);
    deployment.wait(Duration::from_mins(5)).await;
    assert_is_account(&deployment).await;
}

/// The list of user groups may tell what it gives: a sweep asks both.
#[tokio::test(start_paused = true)]
async fn a_user_group_whose_own_record_tells_no_policies_gives_what_the_list_says() {
    let deployment = deployment(20, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let group = cloudflare.add_group("New", vec![holds(cloudflare, &known[1])]);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(3)).await;
    let holder = format!(":group:{group}");
    let gives = async || {
        let grants = deployment.list("/v1/grants", 1000).await;
        grants.iter().any(|grant| grant["id"].as_str().unwrap().ends_with(&holder))
    };
    assert!(gives().await);
    cloudflare.reset_log();
    cloudflare.make_odd(Route::GetUserGroup, &group, Oddity::Without("policies"));
    cloudflare.set_group_policies(&group, vec![holds(cloudflare, &known[2])]);
    for _ in 0..240 {
        deployment.wait(Duration::from_secs(1)).await;
        assert!(gives().await);
    }
    assert!(cloudflare.requests(Route::ListMembers) > 0, "a sweep has looked");
    assert_is_account(&deployment).await;
    // The control: what it gave is taken away, which its record tells.
    cloudflare.make_even();
    cloudflare.reset_log();
    cloudflare.set_group_policies(&group, Vec::new());
    until(&deployment, "a user group that gives nothing", async || !gives().await).await;
    assert_eq!(cloudflare.requests(Route::ListMembers), 0, "it takes no sweep");
    assert_is_account(&deployment).await;
}

/// The sweep's list tells of it what it told before.
#[tokio::test(start_paused = true)]
async fn a_user_group_that_gave_nothing_and_changed_with_many_members_at_once_is_asked_for_by_their_sweep() {
    let deployment = deployment(60, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let group = cloudflare.add_group("Ops", Vec::new());
    for field in ["policies", "modified_on"] {
        cloudflare.make_odd(Route::ListUserGroups, &group, Oddity::Without(field));
    }
    deployment.sync().await;
    deployment.wait(Duration::from_mins(5)).await;
    assert_is_account(&deployment).await;
    cloudflare.reset_log();
    cloudflare.set_group_policies(&group, vec![holds(cloudflare, &known[1])]);
    let accepted = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted");
    for one in accepted.take(25) {
        cloudflare.set_policies(&one.id, vec![holds(cloudflare, &known[3])]);
    }
    deployment.wait(Duration::from_mins(5)).await;
    assert!(cloudflare.requests(Route::ListMembers) > 0, "a sweep has looked");
    assert_is_account(&deployment).await;
}

/// It takes no sweep, and an operation goes by what the syncs know of it as well.
#[tokio::test(start_paused = true)]
async fn a_user_group_that_gave_nothing_and_changed_alone_is_not_known_to_give_nothing_any_more() {
    let deployment = deployment(60, "paid").await;
    let (cloudflare, world) = (&deployment.cloudflare, deployment.world());
    let known = roles(cloudflare);
    let [group, idle] = ["Ops", "Idle"].map(|name| cloudflare.add_group(name, Vec::new()));
    for (id, field) in [&group, &idle].into_iter().flat_map(|id| [(id, "policies"), (id, "modified_on")]) {
        cloudflare.make_odd(Route::ListUserGroups, id, Oddity::Without(field));
    }
    let is_known = |id: &str| inherited::known_to_give_nothing(world).unwrap().iter().any(|key| key.starts_with(id));
    deployment.sync().await;
    // The log tells that they were made.
    deployment.wait(Duration::from_mins(5)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    assert!(is_known(&group) && is_known(&idle));
    cloudflare.reset_log();
    cloudflare.set_group_policies(&group, vec![holds(cloudflare, &known[1])]);
    deployment.wait(Duration::from_mins(3)).await;
    assert_eq!(cloudflare.requests(Route::ListMembers), 0, "it takes no sweep");
    // The control: the one that did not change.
    assert!(!is_known(&group) && is_known(&idle));
    assert_is_account(&deployment).await;
}

#[tokio::test(start_paused = true)]
async fn a_user_group_that_changes_while_a_sync_asks_for_others_is_asked_for_by_the_next() {
    let spec = Spec { members: 20, roles: 12, groups: 0, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "off").var("PLAN", "paid")).await;
    let (cloudflare, world) = (&deployment.cloudflare, deployment.world());
    let add = |name: &str| {
        let group = cloudflare.add_group(name, Vec::new());
        cloudflare.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
        group
    };
    let known = || inherited::known_to_give_nothing(world).unwrap();
    let idle = add("Idle");
    deployment.run(&Value::Null).await;
    assert!(known().iter().any(|key| key.starts_with(&idle)));
    for n in 0..3 {
        add(&format!("New {n}"));
    }
    cloudflare.reset_log();
    cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::Delay(Duration::from_secs(5)));
    deployment.request("POST", "/v1/sync", &[], Some(&Value::Null)).await;
    until(&deployment, "a group that is asked for", async || cloudflare.requests(Route::GetUserGroup) > 0).await;
    // As it is where the log names the one that is known.
    world.query("DELETE FROM sync_state WHERE name = 'silent_groups'", &[]).unwrap();
    deployment.wait_for_sync().await;
    // The control: the others have told.
    assert_eq!(known().len(), 3);
    assert!(!known().iter().any(|key| key.starts_with(&idle)), "what doubts it stays");
}

/// Each takes as long as an answer is waited for, and there may be hundreds.
#[tokio::test(start_paused = true)]
async fn user_groups_whose_own_records_hang_keep_no_sync_from_its_end_and_have_their_turn_with_the_next() {
    let spec = Spec { members: 20, roles: 12, groups: 0, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "off").var("PLAN", "paid")).await;
    let cloudflare = &deployment.cloudflare;
    for n in 0..30 {
        let group = cloudflare.add_group(&format!("Idle {n:02}"), Vec::new());
        cloudflare.make_odd(Route::ListUserGroups, &group, Oddity::Without("policies"));
    }
    let unreadable =
        async || deployment.json("/v1/status").await["capabilities"]["user_groups"]["unreadable"]["count"].as_u64();
    cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::Hang(Duration::from_mins(1)));
    let run = deployment.run(&Value::Null).await;
    let asked = cloudflare.requests(Route::GetUserGroup);
    assert!((1..=12).contains(&asked), "{asked}: {run}");
    assert_eq!((run["outcome"].as_str(), unreadable().await), (Some("published"), Some(30)), "{run}");
    cloudflare.clear_faults();
    deployment.run(&Value::Null).await;
    assert_eq!(unreadable().await, None);
}

#[tokio::test(start_paused = true)]
async fn several_user_groups_that_give_nothing_any_more_at_once_are_held_back_as_a_sync_holds_them() {
    for (count, is_held) in [(2, false), (3, true)] {
        let spec = Spec { members: 20, roles: 12, groups: 0, ..Spec::default() };
        let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "on").var("PLAN", "paid")).await;
        let cloudflare = &deployment.cloudflare;
        let role = roles(cloudflare)[1].clone();
        let add = |n: usize| cloudflare.add_group(&format!("Group {n}"), vec![holds(cloudflare, &role)]);
        let groups: Vec<String> = (0..5).map(add).collect();
        deployment.sync().await;
        deployment.wait(Duration::from_mins(3)).await;
        let before = generation(&deployment).await;
        cloudflare.reset_log();
        groups.iter().take(count).for_each(|group| cloudflare.set_group_policies(group, Vec::new()));
        for _ in 0..150 {
            deployment.wait(Duration::from_secs(1)).await;
            assert!(!is_held || generation(&deployment).await == before);
        }
        let run = deployment.json("/v1/status").await["runs"][0].clone();
        assert_eq!(run["outcome"] == "held", is_held, "{run}");
        if is_held {
            let accept = serde_json::json!({ "accept_removals": true });
            deployment.request("POST", "/v1/sync", &[], Some(&accept)).await;
            deployment.wait(Duration::from_mins(2)).await;
        } else {
            assert_eq!(cloudflare.requests(Route::ListMembers), 0, "it takes no sweep");
        }
        assert_ne!(generation(&deployment).await, before);
        assert_is_account(&deployment).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_gone_because_the_api_has_no_path_for_it_for_a_moment() {
    let deployment = deployment(20, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let token = cloudflare.make_token("ci", None, &Value::Null);
    deployment.wait(Duration::from_mins(3)).await;
    let path = format!("/v1/tokens/{token}");
    let status = async || {
        let answer = deployment.get(&path).await;
        if answer.status == 200 { answer.json()["status"].as_str().unwrap().to_owned() } else { String::new() }
    };
    assert_eq!(status().await, "active");
    cloudflare.fail_next(Route::GetToken, 1, Fault::status(404, 7003));
    cloudflare.change_token(&token, &serde_json::json!({ "status": "disabled" }));
    until(&deployment, "the token's state", async || status().await != "active").await;
    assert_eq!(status().await, "disabled");
    // The control: what is gone is.
    cloudflare.remove_token(&token);
    until(&deployment, "the token's end", async || status().await != "disabled").await;
    assert_eq!(status().await, "");
}

/// A person's token may be shown that person's tokens alone.
#[tokio::test(start_paused = true)]
async fn a_token_that_the_log_names_is_not_gone_because_another_token_of_the_connectors_is_not_shown_it() {
    let deployment = deployment(20, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let token = cloudflare.make_token("ci", None, &Value::Null);
    deployment.wait(Duration::from_mins(3)).await;
    let status = async || deployment.get(&format!("/v1/tokens/{token}")).await.status;
    assert_eq!(status().await, 200);
    deployment.set_var("CLOUDFLARE_API_TOKEN", &cloudflare.user_token());
    cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(Vec::new()));
    cloudflare.change_token(&token, &serde_json::json!({ "status": "disabled" }));
    for _ in 0..600 {
        deployment.wait(Duration::from_secs(1)).await;
        assert_eq!(status().await, 200);
    }
    let told = deployment.json("/v1/status").await["capabilities"]["tokens"].clone();
    assert!(told["on"] == false && !told["kept_from"].is_null(), "a sweep says that it is not known: {told}");
    // The control: it is accepted.
    deployment.run(&serde_json::json!({ "accept_removals": true })).await;
    assert_eq!(status().await, 404);
}

/// A sync that is asked for while a small publication is written, at many moments of that.
#[tokio::test(start_paused = true)]
async fn a_sync_that_begins_while_a_small_publication_is_written_is_the_next_writer_and_loses_nothing() {
    let deployment = deployment(20, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let member = cloudflare.add_member("jane.doe@example.com", vec![holds(cloudflare, &known[0])]);
    let path = format!(
        "/v1/roles/{}/members/{}",
        known[1].governed_as(),
        cloudflare.membership(&member).unwrap().user_id.unwrap()
    );
    deployment.wait(Duration::from_mins(3)).await;
    deployment.world().kv_takes.set(Duration::from_secs(1));
    let (mut at_once, mut same_second) = (0, 0);
    let room = || deployment.world().one("SELECT value FROM sync_state WHERE name = 'room'", &[]).unwrap();
    for n in 0..12 {
        let quiet = room();
        let before = deployment.json("/v1/status").await["runs"][0]["run"].clone();
        let method = if n % 2 == 0 { "PUT" } else { "DELETE" };
        let answer = deployment.request(method, &path, &[], None).await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        // Noted as it begins.
        while room() == quiet {
            deployment.wait(Duration::from_millis(50)).await;
        }
        deployment.wait(Duration::from_millis(300 * n)).await;
        let run = deployment.run(&Value::Null).await;
        deployment.wait(Duration::from_mins(3)).await;
        let status = deployment.json("/v1/status").await;
        let runs = status["runs"].as_array().unwrap();
        let new: Vec<_> = runs.iter().take_while(|known| known["run"] != before).collect();
        assert!(new.iter().any(|one| **one == run), "{n}: {new:#?}");
        let ids: std::collections::BTreeSet<_> = new.iter().map(|run| run["run"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), new.len(), "{n}: {new:#?}");
        assert!(new.iter().any(|one| one["by"] == "audit log"), "{n}: under an id of its own: {new:#?}");
        // Times are told to the second in an id, and more closely beside it.
        let began = |it: &Value| {
            (it["started_at"].as_str().map(str::to_owned), it["run"].as_str().map(|id| id[..16].to_owned()))
        };
        let (asked_at, second) = began(&run);
        for one in new.iter().filter(|one| one["by"] == "audit log" && began(one).0 <= asked_at) {
            at_once += usize::from(one["finished_at"].as_str() > asked_at.as_deref());
            same_second += usize::from(began(one).1 == second);
        }
        // One chain, and all of it is there.
        let generations = status["generations"].as_array().unwrap();
        for pair in generations.windows(2) {
            assert_eq!(pair[0]["previous"], pair[1]["generation"], "{n}: {generations:#?}");
        }
        let gaps = deployment.world().query("SELECT generation FROM ledger_mark WHERE kind = 'gap'", &[]).unwrap();
        assert!(gaps.is_empty(), "{n}: {gaps:?}");
    }
    deployment.world().kv_takes.set(Duration::ZERO);
    assert_is_account(&deployment).await;
    assert!(
        at_once >= 8 && same_second > 0,
        "{at_once} were asked for meanwhile, {same_second} in the second in which it began"
    );
}

/// On the Free plan a change waits for room, and is not lost.
#[tokio::test(start_paused = true)]
async fn user_groups_and_tokens_that_change_each_minute_keep_the_writes_within_a_thousand_a_day() {
    let deployment = deployment(20, "free").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let group = cloudflare.truth().groups.keys().next().unwrap().trim_start_matches("group:").to_owned();
    let token = cloudflare.add_token("ci", None, &Value::Null);
    let before = deployment.world().desk.puts.borrow().len();
    for n in 0..120 {
        cloudflare.set_group_policies(&group, vec![holds(cloudflare, &known[n % known.len()])]);
        let status = if n % 2 == 0 { "active" } else { "disabled" };
        cloudflare.change_token(&token, &serde_json::json!({ "status": status }));
        deployment.wait(Duration::from_mins(1)).await;
    }
    let writes = deployment.world().desk.puts.borrow().len() - before;
    println!("{writes} KV writes in two hours of a user group and a token that change each minute, on the Free plan");
    assert!(writes <= (12 + 15 + 1) * 5, "{writes}");
    deployment.wait(Duration::from_mins(20)).await;
    assert_is_account(&deployment).await;
    assert_eq!(deployment.json(&format!("/v1/tokens/{token}")).await["status"], "disabled");
}

/// A day of the Free plan has 1,000 writes for everything: what sweeps write counts too.
#[tokio::test(start_paused = true)]
async fn people_who_change_all_the_time_keep_the_writes_within_a_thousand_a_day_sweeps_included() {
    const HOURS: usize = 1;
    let deployment = deployment(400, "free").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let people: Vec<_> = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted").collect();
    let before = deployment.world().desk.puts.borrow().len();
    let (mut turn, mut sweeps) = (0, 0);
    for minute in 0..HOURS * 60 {
        // Two people a minute, from all chunks.
        for _ in 0..2 {
            turn += 1;
            let somebody = &people[turn * 53 % people.len()];
            cloudflare.set_policies(&somebody.id, vec![holds(cloudflare, &known[minute % known.len()])]);
        }
        // The trigger may be set to be as frequent.
        if minute % 2 == 1 {
            sweeps += usize::from(deployment.cron().await);
        }
        deployment.wait(Duration::from_mins(1)).await;
        if minute == 10 {
            // The control: there is room for hints.
            let runs = deployment.json("/v1/status").await["runs"].clone();
            assert!(runs.as_array().unwrap().iter().any(|run| run["by"] == "audit log"), "{runs}");
        }
    }
    let writes = deployment.world().desk.puts.borrow().len() - before;
    println!("{writes} KV writes in {HOURS} hours in which two people change each minute, on the Free plan");
    // What is earned in that time, what was saved up before, and what may be owed.
    assert!(writes <= 800 * HOURS / 24 + 60 + 66 + 20, "{writes}");
    assert!((5..30 * HOURS).contains(&sweeps), "some wait, and some do not: {sweeps}");
    // Nothing is lost for that, and whoever asks for a sync has one.
    deployment.run(&serde_json::json!({})).await;
    assert_is_account(&deployment).await;
}

#[tokio::test(start_paused = true)]
async fn many_at_once_are_a_sweeps_and_so_is_what_is_no_single_members() {
    let deployment = deployment(60, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    for one in cloudflare.memberships().iter().take(40) {
        cloudflare.set_policies(&one.id, vec![holds(cloudflare, &known[3])]);
    }
    deployment.wait(Duration::from_mins(4)).await;
    assert_is_account(&deployment).await;
    assert!(cloudflare.requests(Route::ListMembers) > 0);
    cloudflare.add_group("New", vec![holds(cloudflare, &known[1])]);
    deployment.wait(Duration::from_mins(4)).await;
    assert_is_account(&deployment).await;
}

/// What only a sweep can tell waits for that, and for as long as the last one took ten times: nothing is read with each turn until then.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_sweep_that_may_not_begin_yet_is_read_a_few_times_and_no_more() {
    for many in [false, true] {
        let deployment = deployment(60, "paid").await;
        let cloudflare = &deployment.cloudflare;
        let known = roles(cloudflare);
        deployment.world().kv_takes.set(Duration::from_secs(10));
        cloudflare.add_group("New", vec![holds(cloudflare, &known[1])]);
        let run = deployment.run(&Value::Null).await;
        deployment.world().kv_takes.set(Duration::ZERO);
        let took = run["duration_millis"].as_u64().unwrap() / 1_000;
        assert!((66..200).contains(&took), "{run}");
        cloudflare.reset_log();
        let people: Vec<_> = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted").collect();
        let group = cloudflare.truth().groups.keys().next().unwrap().trim_start_matches("group:").to_owned();
        for one in people.iter().take(if many { 30 } else { 3 }) {
            cloudflare.set_policies(&one.id, vec![holds(cloudflare, &known[4])]);
        }
        if !many {
            cloudflare.join_group(&group, &people[5].id);
            let whole = serde_json::json!({ "raw": { "uri": "/accounts/a/iam/something_new/x" } });
            cloudflare.log_entry(None, 0, whole);
        }
        let read = || {
            let of = [Route::GetMember, Route::ListUserGroupMembers, Route::GetUserGroup];
            of.map(|route| cloudflare.requests(route)).iter().sum::<usize>()
        };
        deployment.wait(Duration::from_mins(3)).await;
        let at_first = read();
        deployment.wait(Duration::from_mins(7)).await;
        println!("{at_first} requests in three minutes, {} in ten, a sweep takes {took} s", read());
        assert!(at_first > 0, "the control: they are read at once");
        assert_eq!((read(), cloudflare.requests(Route::ListMembers)), (at_first, 0));
        // Who is named by an entry that comes late is read all the same.
        let late = &people[people.len() - 1].id;
        let entry = serde_json::json!({ "raw": { "uri": format!("/accounts/a/members/{late}") }, "resource": { "id": late, "product": "members" } });
        cloudflare.log_entry(Some(deployment.now() - 180), 0, entry);
        deployment.wait(Duration::from_mins(1)).await;
        assert!(read() > at_first);
        let is_late = |path: &str| path.ends_with(late.as_str());
        assert!(cloudflare.exchanges().iter().any(|one| one.route == Some(Route::GetMember) && is_late(&one.path)));
        // It comes, and tells all of it.
        deployment.wait(Duration::from_secs(10 * took - 500)).await;
        assert!(cloudflare.requests(Route::ListMembers) > 0);
        deployment.wait(Duration::from_mins(1)).await;
        assert_is_account(&deployment).await;
    }
}

/// What a user holds by `/v1`; nothing where there is no such user.
async fn entitlements(deployment: &Deployment, user: &str) -> Option<Value> {
    let answer = deployment.get(&format!("/v1/users/{user}")).await;
    (answer.status == 200).then(|| answer.json()["entitlements"].clone())
}

#[tokio::test(start_paused = true)]
async fn who_was_changed_and_is_told_without_something_stays_as_known() {
    for field in ["status", "user", "policies"] {
        let deployment = deployment(20, "paid").await;
        let cloudflare = &deployment.cloudflare;
        let mut people = cloudflare.memberships().into_iter();
        let one = people.find(|one| one.status == "accepted" && !cloudflare.member_atoms(&one.id).is_empty()).unwrap();
        let user = one.user_id.unwrap();
        let before = entitlements(&deployment, &user).await.unwrap();
        cloudflare.make_odd(On::Reads, &one.id, Oddity::Without(field));
        let lacked = roles(cloudflare)
            .into_iter()
            .find(|role| !cloudflare.member_atoms(&one.id).iter().any(|atom| atom.1 == role.id))
            .unwrap();
        cloudflare.add_policy(&one.id, holds(cloudflare, &lacked));
        let added = format!("role:{}:member", lacked.governed_as());
        for _ in 0..240 {
            deployment.wait(Duration::from_secs(1)).await;
            let now = entitlements(&deployment, &user).await.unwrap();
            // Where the policies are told beside something that is not, they may be taken.
            let others = now.as_array().unwrap().iter().filter(|held| field == "policies" || **held != added.as_str());
            assert_eq!(Value::Array(others.cloned().collect()), before, "{field}: {now}");
        }
        assert!(cloudflare.requests(Route::ListMembers) > 0, "a sweep has looked");
        cloudflare.make_even();
        deployment.sync().await;
        assert_is_account(&deployment).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_user_group_gives_since_a_moment_is_never_shown_as_a_members_own() {
    let behaviour = Behaviour { lists_inherited_policies: true, ..Behaviour::default() };
    let spec = Spec { members: 20, roles: 12, groups: 2, behaviour, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "on").var("PLAN", "paid")).await;
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    let cloudflare = &deployment.cloudflare;
    let group = cloudflare.truth().groups.keys().next().unwrap().trim_start_matches("group:").to_owned();
    let new = cloudflare.invite("asked@example.com", vec![holds(cloudflare, &roles(cloudflare)[0])]);
    cloudflare.accept_invitation(&new);
    let user = cloudflare.membership(&new).unwrap().user_id.unwrap();
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let given = roles(cloudflare)[3].clone();
    cloudflare.set_group_policies(&group, vec![holds(cloudflare, &given)]);
    cloudflare.join_group(&group, &new);
    cloudflare.reset_log();
    let role = format!("role:{}:member", given.governed_as());
    let mut is_in = false;
    for _ in 0..180 {
        deployment.wait(Duration::from_secs(1)).await;
        let held = entitlements(&deployment, &user).await.unwrap().to_string();
        assert!(!held.contains(&role), "{held}");
        is_in |= held.contains(&group);
    }
    assert!(is_in && cloudflare.requests(Route::ListMembers) == 0, "heard of, without a sweep");
    assert_is_account(&deployment).await;
    // Where the groups do not tell which policies are theirs, a sweep keeps what is known, and right away.
    for is_empty in [false, true] {
        if is_empty {
            cloudflare.answer_null(Route::ListUserGroups);
        } else {
            cloudflare.make_odd(On::Reads, &group, Oddity::NullInPolicies("permission_groups"));
        }
        cloudflare.add_policy(&new, holds(cloudflare, &roles(cloudflare)[5 + usize::from(is_empty)]));
        deployment.wait(Duration::from_secs(100)).await;
        assert!(cloudflare.requests(Route::ListMembers) > 0, "a list without any: {is_empty}");
        cloudflare.make_even();
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        cloudflare.reset_log();
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_are_gone_at_once_are_held_back_as_a_sync_holds_them() {
    let deployment = deployment(60, "paid").await;
    let cloudflare = &deployment.cloudflare;
    let people = async || deployment.list("/v1/users", 1000).await.len();
    let (before, gone) = (people().await, 15);
    let accepted = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted");
    for one in accepted.rev().take(gone) {
        cloudflare.remove_member(&one.id);
    }
    for _ in 0..240 {
        deployment.wait(Duration::from_secs(1)).await;
        assert_eq!(people().await, before);
    }
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["runs"][0]["outcome"], "held", "{status}");
    let accept = serde_json::json!({ "accept_removals": true });
    deployment.request("POST", "/v1/sync", &[], Some(&accept)).await;
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(people().await, before - gone);
}

#[tokio::test(start_paused = true)]
async fn on_the_free_plan_a_busy_day_keeps_the_writes_within_a_thousand() {
    let deployment = deployment(20, "free").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let people = cloudflare.memberships();
    let before = deployment.world().desk.puts.borrow().len();
    for n in 0..120 {
        let (one, role) = (&people[n % people.len()], &known[n % known.len()]);
        cloudflare.set_policies(&one.id, vec![holds(cloudflare, role)]);
        deployment.wait(Duration::from_mins(1)).await;
        if n % 60 == 59 {
            assert_is_account(&deployment).await;
        }
    }
    let writes = deployment.world().desk.puts.borrow().len() - before;
    println!("{writes} KV writes in two hours of a change a minute on the Free plan");
    // Twelve at once, and one each eight minutes, of four or five writes.
    assert!(writes <= (12 + 15) * 5, "{writes}");
}

#[tokio::test(start_paused = true)]
async fn on_the_free_plan_no_invocation_sends_more_requests_than_it_may() {
    let deployment = deployment(40, "free").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let people = cloudflare.memberships();
    let groups: Vec<String> = (0..19).map(|n| cloudflare.add_group(&format!("New {n}"), vec![])).collect();
    deployment.sync().await;
    for (n, one) in people.iter().take(19).enumerate() {
        cloudflare.set_policies(&one.id, vec![holds(cloudflare, &known[3])]);
        cloudflare.set_group_policies(&groups[n], vec![holds(cloudflare, &known[n % 5])]);
        cloudflare.join_group(&groups[n], &people[20 + n % 10].id);
    }
    // Nothing takes time here: what an invocation sends is sent within its second.
    let (mut most, mut before) = (0, cloudflare.total_requests());
    for _ in 0..600 {
        deployment.wait(Duration::from_secs(1)).await;
        let now = cloudflare.total_requests();
        (most, before) = (most.max(now - before), now);
    }
    assert!((5..=50).contains(&most), "{most}");
    assert_is_account(&deployment).await;
}

/// An account on the free plan for which more than a ring takes on is due in a second: ten operations, ten callbacks, looks for six writes, three pages of
/// the log, which name six people, and the logins, of which there are three pages. Whose token it is is asked as well.
async fn all_due_in_a_second() -> Deployment {
    let spec = Spec { members: 40, roles: 12, ..Spec::default() };
    let options = |options: Options| {
        let options = options.var("AUDIT_FEED", "on").var("LAST_LOGINS", "on").var("ALLOWED_APPS", APP);
        options.var("PLAN", "free").var("PROVISIONING", "on")
    };
    let deployment = Deployment::with(spec, options).await;
    let (cloudflare, world) = (&deployment.cloudflare, deployment.world());
    let known = roles(cloudflare);
    let accepted = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted");
    let people: Vec<_> = accepted.take(22).collect();
    let [ten, six] = ["Ten", "Six"].map(|name| cloudflare.add_group(name, vec![]));
    for (n, one) in people.iter().take(16).enumerate() {
        cloudflare.set_policies(&one.id, vec![holds(cloudflare, &known[0]), holds(cloudflare, &known[1])]);
        cloudflare.join_group(if n < 10 { &ten } else { &six }, &one.id);
    }
    cloudflare.forget_log_entries(1_000);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(3)).await;
    // What the log tells next is ripe when it is read.
    while feed::next_due(world).unwrap().since(world.now()) < 20_000 {
        deployment.wait(Duration::from_secs(1)).await;
    }
    let (now, due) = (world.now(), feed::next_due(world).unwrap());
    for (n, one) in people.iter().enumerate() {
        if (10..16).contains(&n) {
            cloudflare.leave_group(&six, &one.id);
            continue;
        }
        let subject =
            Subject { member_id: one.id.parse().ok(), has_account: true, ..Subject::of_email(one.email.clone()) };
        let target = Target::Entitlement(format!("group:{ten}:member").parse().unwrap());
        let origin = Origin { by: "webhook".to_owned(), app_id: Some(APP.to_owned()), ..Origin::default() };
        let request = Request { key: Some(format!("due{n}~step")), action: Action::Revoke, target, subject, origin };
        if n < 10 {
            journal::arrive(world, &request, now, due).unwrap();
        }
        let told = Request { key: Some(format!("told{n}~step")), ..request };
        let Arrival::New(id) = journal::arrive(world, &told, now, due).unwrap() else { panic!() };
        journal::settle(world, id, &Outcome::refused(Refusal::GaveUp, "No."), now).unwrap();
        if n < 10 {
            callback::want(world, id, &format!("{CALLBACKS}told{n}"), due).unwrap();
            continue;
        }
        // A write of it that nobody answered.
        let sent = "INSERT INTO sent (operation, member, email, planned, read_at, sent_at, check_at, kind) \
            VALUES (?1, ?2, ?3, '[]', ?4, ?4, ?5, 'removal')";
        let row: [SqlValue; 5] =
            [id.0.into(), one.id.as_str().into(), one.email.as_str().into(), now.into(), due.into()];
        world.query(sent, &row).unwrap();
    }
    // A page of the log has 500 entries, and one of the logins 1,000; before those comes the page of the people whom Access knows.
    for _ in 0..1_100 {
        cloudflare.log_entry(None, 0, serde_json::json!({}));
    }
    let user = people[0].user_id.clone().unwrap();
    for _ in 0..1_001 {
        cloudflare.log_login(&user, &people[0].email, "2027-01-10T00:00:00Z", "login");
    }
    deployment.wait(Duration::from_millis(u64::try_from(due.since(world.now())).unwrap() - 1_000)).await;
    for table in ["identity", "login_lists"] {
        world.query(&format!("DELETE FROM {table}"), &[]).unwrap();
    }
    world.refused.set(0);
    deployment.most_sent();
    deployment
}

/// Checks that all of that is done.
fn assert_all_is_done(deployment: &Deployment) {
    let world = deployment.world();
    let count = |which: &str| {
        let counted = world.one(&format!("SELECT COUNT(*) FROM operation WHERE {which}"), &[]).unwrap();
        counted.as_ref().and_then(SqlValue::integer)
    };
    let done = "json_extract(outcome, '$.effect') = 'revoked'";
    assert_eq!([count("outcome IS NULL"), count(done)], [Some(0), Some(10)]);
    assert_eq!(world.callbacks.borrow().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn on_the_free_plan_operations_callbacks_and_who_is_named_that_are_due_at_once_fit_an_invocation() {
    let deployment = Box::pin(all_due_in_a_second()).await;
    deployment.cloudflare.reset_log();
    deployment.wait(Duration::from_mins(2)).await;
    let (most, asked) = (deployment.most_sent(), deployment.cloudflare.counts());
    // An operation reads the member, whether they are in the group, and the group, takes them out, and reads whether that shows.
    let (operations, callbacks, looks) = (3 * 5, 3, 3);
    // Of who is named: their record, whether they are in the group, and whether it is known who is.
    let (token, log, in_group, named, logins) = (1, 3, 1, 6 * 3, 3);
    let all = operations + callbacks + looks + token + log + in_group + named + logins;
    // Each of these is more than one request, but for the token and the group.
    assert!((all - 1..=50).contains(&most), "{most} instead of {all}: {asked:?}");
    assert_eq!(deployment.world().refused.get(), 0, "nothing was more than may be sent: {asked:?}");
    assert_all_is_done(&deployment);
}

/// The control: what is more than that is refused.
#[tokio::test(start_paused = true)]
async fn what_an_invocation_may_not_send_any_more_is_refused_and_done_by_later_ones() {
    let deployment = Box::pin(all_due_in_a_second()).await;
    let (cloudflare, world) = (&deployment.cloudflare, deployment.world());
    world.most.set(Some(20));
    // An hour, and a while after the log was read for the last time.
    deployment.wait(Duration::from_secs(3_610)).await;
    assert!(world.refused.get() > 0 && deployment.most_sent() == 20, "{}", world.refused.get());
    assert_all_is_done(&deployment);
    // What is asked for beside the alarm is another invocation's.
    let (refused, asked) = (world.refused.get(), cloudflare.total_requests());
    world.most.set(Some(0));
    assert_eq!(deployment.get("/v1/doctor").await.status, 200);
    assert!(cloudflare.total_requests() > asked && world.refused.get() == refused, "{}", world.refused.get());
}

#[tokio::test(start_paused = true)]
async fn sweeps_are_rarer_only_while_the_log_is_heard() {
    // Each quarter of an hour, for two hours.
    let sweeps = async |feed: &str, minutes: &str, may_read: bool| {
        let spec = Spec { members: 3, ..Spec::default() };
        let options = |options: Options| options.var("AUDIT_FEED", feed).var("SWEEP_MINUTES", minutes);
        let deployment = Deployment::with(spec, options).await.synced().await;
        deployment.wait(Duration::from_mins(2)).await;
        if !may_read {
            deployment.cloudflare.revoke_permission(Permission::Audit);
            deployment.wait(Duration::from_mins(1)).await;
        }
        let mut begun = Vec::new();
        for _ in 0..8 {
            deployment.wait(Duration::from_mins(15)).await;
            begun.push(deployment.cron().await);
        }
        begun
    };
    let hourly = [false, false, false, true, false, false, false, true];
    assert_eq!(sweeps("on", "60", true).await, hourly);
    for (feed, minutes, may_read) in [("on", "60", false), ("off", "60", true), ("on", "0", true)] {
        assert_eq!(sweeps(feed, minutes, may_read).await, [true; 8], "{feed} {minutes} {may_read}");
    }
}

/// A deployment that was synced, and whose cron trigger rests since, for so many minutes at most.
async fn resting(spec: Spec, minutes: &str) -> Deployment {
    let options = |options: Options| options.var("AUDIT_FEED", "on").var("SWEEP_MINUTES", minutes);
    let deployment = Deployment::with(spec, options).await.synced().await;
    deployment.wait(Duration::from_mins(15)).await;
    assert!(!deployment.cron().await, "the control");
    deployment
}

#[tokio::test(start_paused = true)]
async fn what_was_published_and_cannot_be_read_any_more_is_published_again_however_rare_sweeps_are() {
    let deployment = resting(Spec { members: 3, ..Spec::default() }, "1440").await;
    deployment.world().desk.fail_reads("manifest/", 100);
    assert!(!deployment.cron().await, "what cannot be read just now is not gone");
    deployment.world().desk.fail_reads("manifest/", 0);
    // The namespace is emptied.
    let names = deployment.names_under("");
    let of_before: Vec<(String, Vec<u8>)> =
        names.into_iter().map(|name| (name.clone(), deployment.lose(&name))).collect();
    assert_eq!(deployment.get("/v1/users").await.status, 503);
    assert!(deployment.cron().await);
    deployment.wait_for_sync().await;
    assert_eq!(deployment.get("/v1/users").await.status, 200);
    deployment.wait(Duration::from_mins(15)).await;
    assert!(!deployment.cron().await, "all is well again");
    // The one of before is put back: what it names was published, and is not what was published last.
    for name in deployment.names_under("") {
        deployment.lose(&name);
    }
    for (name, value) in of_before {
        deployment.keep(&name, value);
    }
    deployment.wait(Duration::from_mins(15)).await;
    assert!(deployment.cron().await);
}

/// All of it is there, and readers are led to an older generation, or to none.
#[tokio::test(start_paused = true)]
async fn what_was_published_and_is_not_named_any_more_is_named_again_however_rare_sweeps_are() {
    for names_older in [false, true] {
        let deployment = resting(Spec { members: 3, ..Spec::default() }, "1440").await;
        let older = deployment.lose("current");
        deployment.keep("current", older.clone());
        deployment.cloudflare.add_member("new.hire@example.com", Vec::new());
        deployment.run(&Value::Null).await;
        deployment.wait(Duration::from_mins(3)).await;
        deployment.lose("current");
        if names_older {
            deployment.keep("current", older);
        }
        assert!(!deployment.cron().await, "it may be on its way");
        deployment.wait(Duration::from_mins(15)).await;
        assert!(deployment.cron().await, "an older one: {names_older}");
        deployment.wait_for_sync().await;
        let shown = deployment.json("/v1/users?limit=1").await["generation"].clone();
        assert_eq!(shown, generation(&deployment).await, "an older one: {names_older}");
        deployment.wait(Duration::from_mins(15)).await;
        assert!(!deployment.cron().await, "the control: all is well again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_falls_silent_makes_sweeps_as_frequent_as_ever_and_its_return_rare_again() {
    let deployment = resting(Spec { members: 3, ..Spec::default() }, "60").await;
    // It fails without being forbidden: what was read is too long ago after five minutes.
    deployment.cloudflare.fail_next(Route::ListAuditLogs, 1_000, Fault::Html { status: 502 });
    deployment.wait(Duration::from_mins(15)).await;
    assert!(deployment.cron().await);
    deployment.cloudflare.clear_faults();
    deployment.wait(Duration::from_mins(15)).await;
    assert!(!deployment.cron().await);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_was_held_back_or_failed_is_no_reason_to_rest_and_one_that_ended_well_is() {
    let deployment = resting(Spec { members: 40, roles: 12, ..Spec::default() }, "60").await;
    // The log does not tell of them yet.
    deployment.cloudflare.set_log_delay(36_000);
    for member in deployment.cloudflare.memberships().iter().skip(3).take(25) {
        deployment.cloudflare.remove_member(&member.id);
    }
    let outcome = |status: &Value| status["runs"][0]["outcome"].clone();
    assert_eq!(deployment.run(&Value::Null).await["outcome"], "held");
    for _ in 0..2 {
        deployment.wait(Duration::from_mins(15)).await;
        assert_eq!(outcome(&deployment.cron_and_wait().await), "held");
    }
    deployment.run(&serde_json::json!({ "accept_removals": true })).await;
    deployment.wait(Duration::from_mins(15)).await;
    assert!(!deployment.cron().await, "nothing is left to look for");
}

/// Another sync would come to the same, and each writes.
#[tokio::test(start_paused = true)]
async fn what_is_not_named_any_more_takes_no_wait_from_the_next_sync_after_one_that_failed() {
    let deployment = resting(Spec { members: 3, ..Spec::default() }, "1440").await;
    deployment.lose("current");
    deployment.cloudflare.fail_randomly(Route::ListMembers, 1.0, Fault::Html { status: 502 });
    assert!(deployment.cron().await, "the control: the last one ended well");
    let run = deployment.wait_for_sync().await["runs"][0].clone();
    assert_eq!(run["outcome"], "failed", "{run}");
    assert!(!deployment.cron().await, "it failed a moment ago");
    deployment.cloudflare.clear_faults();
    deployment.wait(Duration::from_hours(2)).await;
    assert!(deployment.cron().await, "the control: the wait is over");
}

/// An account of which C1's automation hears who was given something past C1: with Jane, by her membership, and what Joe holds and she does not.
async fn listening(members: usize) -> (Deployment, String, PolicySpec) {
    const SECRET: &str = "hmac-secret-of-the-tests-0123456789";
    let url = format!("https://{}/api/v1/webhooks/incoming/listener", sim::conductorone::HOST);
    let spec = Spec { members, roles: 12, ..Spec::default() };
    let options = |options: Options| {
        let options = options.var("AUDIT_FEED", "on").var("PLAN", "paid").var("SIGNALS", "foreign_change");
        options.var("SIGNAL_URL", &url).var("SIGNAL_HMAC_SECRET", SECRET)
    };
    let deployment = Deployment::with(spec, options).await;
    deployment.c1.listen("listener", Proof::Hmac(SECRET.to_owned()));
    let cloudflare = &deployment.cloudflare;
    let on = cloudflare.add_scope("rg-3f2a", &[&cloudflare.add_domain("pay.example")]);
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let policy = PolicySpec::allow(dns.id, on);
    cloudflare.add_member("joe@example.com", vec![policy.clone()]);
    let jane = cloudflare.add_member("jane.doe@example.com", vec![]);
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    (deployment, jane, policy)
}

/// Somebody gives Jane a role on one domain, and what C1's automation hears of it after some minutes.
async fn heard_by_c1(delay_secs: i64, fails: bool, minutes: u64) -> Option<Value> {
    let (deployment, jane, policy) = listening(6).await;
    deployment.cloudflare.set_log_delay(delay_secs);
    deployment.cloudflare.add_policy(&jane, policy);
    if fails {
        deployment.cloudflare.fail_next(Route::ListAuditLogs, 1_000, Fault::Html { status: 502 });
    }
    // By a sweep: the log does not tell of it yet.
    deployment.sync().await;
    deployment.wait(Duration::from_mins(minutes)).await;
    let events = deployment.c1.events();
    assert!(events.len() <= 1, "{events:?}");
    events.into_iter().next()
}

#[tokio::test(start_paused = true)]
async fn a_foreign_change_is_told_in_words_with_its_author_and_waits_for_the_log_a_while_and_no_longer() {
    let told = heard_by_c1(25, false, 2).await.unwrap();
    let grant = &told["grants"][0];
    assert_eq!((&grant["to"], &grant["name"]), (&"jane.doe@example.com".into(), &"Domain DNS on pay.example".into()));
    assert_eq!(
        (&grant["by"]["who"], &grant["by"]["through"]),
        (&"somebody.else@example.com".into(), &"the dashboard".into())
    );
    // A log that is an hour behind keeps nobody waiting, and neither does one that fails from then on.
    for fails in [false, true] {
        let told = heard_by_c1(3_600, fails, 4).await.unwrap();
        assert_eq!(told["grants"][0]["by"]["who"], "unknown", "{told}");
    }
}

/// A small publication has what is known to have changed, and nothing of what the log tells later.
#[tokio::test(start_paused = true)]
async fn a_foreign_change_is_told_with_its_author_though_somebody_else_was_published_before_the_log_told_of_it() {
    let (deployment, jane, policy) = listening(6).await;
    let cloudflare = &deployment.cloudflare;
    let joe = cloudflare.membership_of("joe@example.com").unwrap().user_id.unwrap();
    let before = generation(&deployment).await;
    cloudflare.set_log_delay(45);
    cloudflare.add_policy(&jane, policy);
    deployment.wait(Duration::from_secs(3)).await;
    let path = format!("/v1/roles/{}/members/{joe}", roles(cloudflare)[1].governed_as());
    assert_eq!(deployment.request("PUT", &path, &[], None).await.status, 200);
    deployment.wait(Duration::from_mins(4)).await;
    let generations = deployment.json("/v1/status").await["generations"].clone();
    assert_eq!(generations[2]["generation"], before, "the control, Joe's and Jane's: {generations:#}");
    let events = deployment.c1.events();
    let [told] = events.as_slice() else { panic!("{events:?}") };
    let grant = &told["grants"][0];
    assert_eq!((&grant["to"], told["grants"].as_array().unwrap().len()), (&"jane.doe@example.com".into(), 1));
    assert_eq!(grant["by"]["who"], "somebody.else@example.com", "{told}");
}

/// Nobody knows for how long that is held, and more changed at once than are read by themselves.
#[tokio::test(start_paused = true)]
async fn who_is_given_the_whole_account_beside_many_who_are_gone_is_told_while_a_sync_holds_those() {
    for is_first in [true, false] {
        let (deployment, jane, _) = listening(250).await;
        let cloudflare = &deployment.cloudflare;
        let user = cloudflare.membership(&jane).unwrap().user_id.unwrap();
        let people = async || deployment.list("/v1/users", 1000).await.len();
        let before = people().await;
        let role = cloudflare.permission_group("super_admin").unwrap();
        let give = || cloudflare.set_policies(&jane, vec![holds(cloudflare, &role)]);
        if is_first {
            give();
        }
        let others = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted" && one.id != jane);
        for one in others.rev().take(30) {
            cloudflare.remove_member(&one.id);
        }
        if !is_first {
            give();
        }
        deployment.wait(Duration::from_mins(1)).await;
        let held = entitlements(&deployment, &user).await.unwrap().to_string();
        assert!(held.contains(&format!("role:{}:member", role.governed_as())), "first: {is_first}: {held}");
        deployment.wait(Duration::from_mins(3)).await;
        let events = deployment.c1.events();
        assert!(events.iter().any(|event| event["grants"][0]["to"] == "jane.doe@example.com"), "{events:?}");
        let runs = deployment.json("/v1/status").await["runs"].clone();
        assert!(runs.as_array().unwrap().iter().any(|run| run["outcome"] == "held"), "{runs}");
        assert_eq!(people().await, before, "the control: they are held still");
    }
}

#[tokio::test(start_paused = true)]
async fn the_doctor_calls_no_permission_missing_for_what_a_setting_keeps_unread() {
    for (setting, is_on) in [("off", false), ("on", true)] {
        let spec = Spec { members: 3, ..Spec::default() };
        let options = |options: Options| options.var("AUDIT_FEED", setting).var("LAST_LOGINS", setting);
        let deployment = Deployment::with(spec, options).await;
        for permission in [Permission::Audit, Permission::AccessUsers] {
            deployment.cloudflare.revoke_permission(permission);
        }
        deployment.cloudflare.reset_log();
        let checks = deployment.json("/v1/doctor").await["checks"].clone();
        for (name, variable) in [("audit log", "AUDIT_FEED"), ("Access knows", "LAST_LOGINS")] {
            let named = |check: &&Value| check["name"].as_str().unwrap().contains(name);
            let check = checks.as_array().unwrap().iter().find(named).unwrap();
            let message = check["message"].as_str().unwrap();
            assert_eq!(check["ok"], !is_on, "{check}");
            assert_eq!(message.contains(&format!("{variable} is off")), !is_on, "{check}");
            assert_eq!(message.contains("add the permission"), is_on, "{check}");
        }
        let asked = [Route::ListAuditLogs, Route::ListAccessUsers].map(|route| deployment.cloudflare.requests(route));
        assert_eq!(asked.iter().all(|requests| *requests == 0), !is_on, "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_login_is_in_v1_status_and_doctor_and_the_next_reading_is_tomorrows() {
    let spec = Spec { members: 20, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "off").var("LAST_LOGINS", "on")).await;
    let cloudflare = &deployment.cloudflare;
    let somebody = cloudflare.memberships().into_iter().find(|one| one.status == "accepted").unwrap();
    cloudflare.set_access_user(&somebody.email.to_uppercase(), Some("2026-12-03T08:00:00Z"));
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    deployment.sync().await;
    let path = format!("/v1/users/{}", somebody.user_id.unwrap());
    let person = deployment.json(&path).await;
    assert_eq!((&person["last_login"], &person["last_change_at"]), (&"2026-12-03T00:00:00Z".into(), &"".into()));
    let csv = deployment.get("/v1/export/users.csv").await.text();
    assert!(csv.lines().any(|line| line.contains(&somebody.email) && line.contains(",2026-12-03,")), "{csv}");
    let status = deployment.json("/v1/status").await["last_logins"].clone();
    assert_eq!(status["readable"], true, "{status}");
    deployment.wait(Duration::from_hours(6)).await;
    let requests = deployment.cloudflare.requests(Route::ListAccessUsers);
    assert_eq!(requests, 1, "whatever else is due");
    deployment.cloudflare.revoke_permission(Permission::AccessUsers);
    let checks = deployment.json("/v1/doctor").await["checks"].clone();
    let check =
        checks.as_array().unwrap().iter().find(|check| check["name"].as_str().unwrap().contains("Access knows"));
    let check = check.unwrap();
    assert!(check["ok"] == false && check["message"].as_str().unwrap().contains("Access: Audit Logs: Read"), "{check}");
}
