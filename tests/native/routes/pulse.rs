//! What somebody changes in Cloudflare's dashboard, from there to `/v1`: how soon, at what cost, and that the next sweep finds it so.

use std::time::Duration;

use serde_json::Value;
use sim::cloudflare::{Permission, Route, Spec};

use crate::deployment::Deployment;
use crate::looks::{assert_is_account, holds, roles};

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

#[tokio::test(start_paused = true)]
async fn a_change_in_the_dashboard_is_in_v1_within_a_minute_for_a_few_requests_and_writes_at_any_size() {
    for members in [20, 1_000] {
        let deployment = deployment(members, "paid").await;
        let cloudflare = &deployment.cloudflare;
        let known = roles(cloudflare);
        let before = generation(&deployment).await;
        let somebody = cloudflare.memberships().into_iter().find(|one| one.status == "accepted").unwrap();
        let puts = deployment.world().desk.puts.borrow().len();
        let role = known
            .iter()
            .find(|role| !cloudflare.member_atoms(&somebody.id).iter().any(|atom| atom.1 == role.id))
            .unwrap();
        cloudflare.add_policy(&somebody.id, holds(cloudflare, role));
        let user = somebody.user_id.clone().unwrap();
        let path = format!("/v1/users/{user}");
        let entitlement = format!("role:{}:member", role.governed_as());
        let shown = until(&deployment, "v1", async || deployment.get(&path).await.text().contains(&entitlement)).await;
        let published = until(&deployment, "a generation", async || generation(&deployment).await != before).await;
        let requests = cloudflare.total_requests() - cloudflare.requests(Route::ListAuditLogs);
        let writes = deployment.world().desk.puts.borrow().len() - puts;
        println!(
            "{members} members: {shown} s to /v1, {} s to a generation, {requests} requests, {writes} KV writes",
            shown + published
        );
        assert!(shown <= 60 && shown + published <= 90, "{shown} s and {published} s");
        assert!(requests <= 3 && cloudflare.requests(Route::ListMembers) == 0, "{requests} requests");
        assert!(writes <= 5, "{writes} writes");
        // The generation is what a sweep would have published.
        let after = generation(&deployment).await;
        deployment.sync().await;
        assert_eq!(generation(&deployment).await, after, "the sweep finds nothing that is otherwise");
        let changes = deployment.json("/v1/changes?limit=1").await["items"][0].clone();
        assert_eq!(changes["by"][0]["by"]["who"], "somebody.else@example.com", "{changes}");
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
    cloudflare.remove_member(&new);
    quiet("a removal").await;
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

#[tokio::test(start_paused = true)]
async fn on_the_free_plan_a_busy_day_keeps_the_writes_within_a_thousand() {
    let deployment = deployment(20, "free").await;
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let people = cloudflare.memberships();
    let before = deployment.world().desk.puts.borrow().len();
    for n in 0..240 {
        let (one, role) = (&people[n % people.len()], &known[n % known.len()]);
        cloudflare.set_policies(&one.id, vec![holds(cloudflare, role)]);
        deployment.wait(Duration::from_mins(1)).await;
        if n % 60 == 59 {
            assert_is_account(&deployment).await;
        }
    }
    let writes = deployment.world().desk.puts.borrow().len() - before;
    println!("{writes} KV writes in four hours of a change a minute on the Free plan");
    // Twelve at once, and one each eight minutes, of four or five writes.
    assert!(writes <= (12 + 30) * 5, "{writes}");
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
    assert!(check["ok"] == false && check["message"].as_str().unwrap().contains("Access: Audit Logs Read"), "{check}");
}
