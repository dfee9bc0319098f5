//! Signals to C1's incoming webhook, after a sync.

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Access, Fault, PolicySpec, Route};
use sim::conductorone::{Entitlement, InboundFault, Person, Proof, Task};
use sim::harness::Options;

use c1_cloudflare::base::ports::{Http as _, HttpRequest, Method, Secret, Sql as _};
use c1_cloudflare::base::time::Timestamp;

use crate::deployment::Deployment;
use crate::looks::{assert_is_problem, holds, roles, small};
use crate::signal_case::{SECRET, SignalCase, statuses, url};

/// Signals of these kinds, for the one who listens.
fn signalling(options: Options, kinds: &str) -> Options {
    options.var("SIGNAL_URL", &url("")).var("SIGNAL_HMAC_SECRET", SECRET).var("SIGNALS", kinds)
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_fails_or_is_held_is_told_and_only_what_was_asked_for() {
    let change = |options: Options| signalling(options, "sync_failed");
    let desk = SignalCase::with(change).await;
    desk.given(&desk.roles[3]);
    desk.synced().await;
    desk.deployment.cloudflare.set_token_status("disabled");
    let failed = desk.synced().await;
    assert_eq!(failed["runs"][0]["outcome"], "failed", "{failed}");
    desk.done().await;
    let events = desk.deployment.c1.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&event["event"], &event["outcome"]), (&json!("sync_failed"), &json!("failed")));
    assert_eq!(event["message"], failed["runs"][0]["message"], "what to do");

    desk.deployment.cloudflare.set_token_status("active");
    let people = desk.deployment.cloudflare.memberships();
    for n in 0..30 {
        desk.deployment.cloudflare.add_member(&format!("extra{n}@example.com"), Vec::new());
    }
    let run = async |body: Value| {
        let begun = desk.deployment.request("POST", "/v1/sync", &[], Some(&body)).await;
        assert_eq!(begun.status, 202, "{}", begun.text());
        let id = begun.json()["run"].clone();
        desk.deployment.until("/v1/status", |status| status["runs"][0]["run"] == id).await
    };
    run(json!({})).await;
    for member in desk.deployment.cloudflare.memberships() {
        if !people.iter().any(|known| known.id == member.id) {
            desk.deployment.cloudflare.remove_member(&member.id);
        }
    }
    assert_eq!(run(json!({})).await["runs"][0]["outcome"], "held");
    desk.deployment.until("/v1/status", |_| desk.events().len() == 2).await;
    assert_eq!(desk.deployment.c1.events()[1]["outcome"], "held");
}

/// Not a day after the first failure, of which nobody was told.
#[tokio::test(start_paused = true)]
async fn whoever_asks_to_be_told_of_syncs_that_fail_already_is_told_of_the_next_one_and_once() {
    // No signals at all, others, and none since nobody could read which.
    for before in [None, Some("access_changed"), Some("sync-failed")] {
        let desk = SignalCase::with(|options| match before {
            Some(kinds) => signalling(options, kinds),
            None => options,
        })
        .await;
        let deployment = &desk.deployment;
        deployment.cloudflare.set_token_status("disabled");
        let told_of_a_failure = async || {
            assert_eq!(deployment.run(&Value::Null).await["outcome"], "failed", "{before:?}");
            deployment.wait(Duration::from_mins(1)).await;
            desk.events()
        };
        assert_eq!(told_of_a_failure().await, [""; 0], "{before:?}");
        let listener = url("");
        for (name, value) in
            [("SIGNAL_URL", listener.as_str()), ("SIGNAL_HMAC_SECRET", SECRET), ("SIGNALS", "sync_failed")]
        {
            deployment.set_var(name, value);
        }
        assert_eq!(told_of_a_failure().await, ["sync_failed"], "{before:?}");
        assert_eq!(told_of_a_failure().await, ["sync_failed"], "{before:?}: it is told already");
    }
}

#[tokio::test(start_paused = true)]
async fn a_capability_url_is_all_there_is_and_is_never_shown() {
    let desk = SignalCase::with(|options| options.var("SIGNAL_URL", &url("/t/capability-of-the-tests"))).await;
    desk.deployment.c1.listen("listener", Proof::Capability("capability-of-the-tests".to_owned()));
    desk.given(&desk.roles[1]);
    desk.deployment.c1.fail_inbound(InboundFault::Refused(401), 1);
    desk.synced().await;
    let job = desk.job(|job| job["state"] == "failed").await;
    desk.synced().await;
    desk.deployment.until("/v1/status", |_| desk.events().len() == 2).await;
    let report = desk.deployment.get("/v1/doctor").await.text();
    for text in desk.deployment.logs().iter().chain([&report, &job.to_string()]) {
        assert!(!text.contains("capability-of-the-tests"), "{text}");
    }
    let none = desk.deployment.raw("GET", "/.well-known/jwks.json", &[], None).await;
    assert_eq!(none.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_does_not_make_an_event_happen_twice() {
    let desk = SignalCase::start().await;
    desk.given(&desk.roles[1]);
    desk.deployment.c1.fail_inbound(InboundFault::TakenButFailed(502), 1);
    desk.synced().await;
    desk.job(|job| job["attempts"] == 1 && job["message"].as_str().is_some_and(|said| said.contains("502"))).await;
    // The wait before another attempt is too long for a test: the next sync asks for one.
    desk.synced().await;
    desk.deployment.until("/v1/status", |_| desk.events().len() == 2).await;
    assert_eq!(desk.events(), ["foreign_change", "access_changed"]);
    let requests = desk.deployment.c1.inbound_requests();
    assert_eq!(statuses(&desk.deployment.c1), [502, 409, 200]);
    assert_eq!(requests[0].event_id, requests[1].event_id);
    assert_eq!(requests[0].body, requests[1].body, "the same event, byte for byte");
    assert_eq!(desk.done().await["message"], "Sent 2 signals.");
}

#[tokio::test(start_paused = true)]
async fn what_c1_could_not_take_for_a_while_comes_later_in_order_and_once() {
    let desk = SignalCase::start().await;
    desk.deployment.c1.fail_inbound(InboundFault::Reset, u32::MAX);
    let mut runs = Vec::new();
    for role in &desk.roles[1..3] {
        desk.given(role);
        let status = desk.synced().await;
        runs.push(status["runs"][0]["run"].clone());
        let failing = |job: &Value| job["subject"] == *runs.last().unwrap() && job["attempts"].as_i64() >= Some(1);
        desk.job(failing).await;
    }
    // A crash in between loses nothing.
    desk.deployment.restart();
    desk.deployment.c1.heal_inbound();
    desk.given(&desk.roles[3]);
    runs.push(desk.synced().await["runs"][0]["run"].clone());
    desk.deployment.until("/v1/status", |_| desk.events().len() >= 6).await;
    desk.done().await;
    let told: Vec<Value> = desk.deployment.c1.events().iter().map(|event| event["run"].clone()).collect();
    let expected: Vec<Value> = runs.iter().flat_map(|run| [run.clone(), run.clone()]).collect();
    assert_eq!(told, expected);
    let taken = statuses(&desk.deployment.c1).into_iter().filter(|status| *status != 0);
    assert_eq!(taken.collect::<Vec<_>>(), [200; 6], "each once");
    for (event, role) in desk.deployment.c1.events().iter().step_by(2).zip(&desk.roles[1..4]) {
        assert_eq!(event["grants"][0]["name"], json!(role.name), "each of what its own sync found");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_of_an_event_that_is_taken_out_of_signals_is_not_sent_any_more() {
    // The control: nothing is taken out.
    for kinds in ["foreign_change", "foreign_change, access_changed"] {
        let desk = SignalCase::start().await;
        desk.deployment.c1.fail_inbound(InboundFault::Reset, u32::MAX);
        desk.given(&desk.roles[1]);
        desk.synced().await;
        desk.job(|job| job["attempts"].as_i64() >= Some(1)).await;
        desk.deployment.c1.heal_inbound();
        let expected: Vec<&str> = kinds.split(", ").collect();
        for named in [kinds, "foreign_change, access_changed"] {
            desk.deployment.set_var("SIGNALS", named);
            desk.synced().await;
            desk.deployment.wait(Duration::from_mins(1)).await;
            assert_eq!(desk.events(), expected, "{named}");
        }
    }
}

/// What waits is kept: who turns signals on again within a week has it.
#[tokio::test(start_paused = true)]
async fn signals_that_c1_does_not_take_are_in_the_metrics_until_none_are_to_be_sent_any_more() {
    for (fault, state) in [(InboundFault::Refused(401), "failed"), (InboundFault::Reset, "due")] {
        let desk = SignalCase::start().await;
        let deployment = &desk.deployment;
        let is_told = async || deployment.get("/metrics").await.text().contains("connector_jobs{kind=\"signal\"");
        deployment.c1.fail_inbound(fault, u32::MAX);
        desk.given(&desk.roles[1]);
        desk.synced().await;
        desk.job(|job| job["state"] == state && job["attempts"].as_i64() >= Some(1)).await;
        deployment.restart();
        deployment.wait(Duration::from_mins(1)).await;
        assert!(is_told().await, "{state}, the control: they are to be sent");
        deployment.unset_var("SIGNAL_URL");
        deployment.unset_var("SIGNAL_HMAC_SECRET");
        desk.synced().await;
        deployment.wait(Duration::from_mins(20)).await;
        assert!(!is_told().await, "{state}");
        deployment.set_var("SIGNAL_URL", &url(""));
        deployment.set_var("SIGNAL_HMAC_SECRET", SECRET);
        deployment.c1.heal_inbound();
        desk.synced().await;
        deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(desk.events(), ["foreign_change", "access_changed"], "{state}");
    }
}

/// Who looks at the metrics alone is to see that C1 takes nothing, though each sync asks for the job anew.
#[tokio::test(start_paused = true)]
async fn a_webhook_that_takes_nothing_for_days_is_in_the_metrics_and_what_was_given_up_is_told_afterwards() {
    let desk = SignalCase::with(|options| signalling(options, "access_changed")).await;
    let deployment = &desk.deployment;
    let stands = async || {
        let metrics = deployment.get("/metrics").await.text();
        let of_signals = "connector_jobs{kind=\"signal\",state=\"";
        let line = metrics.lines().find_map(|line| line.strip_prefix(of_signals)).unwrap();
        line.split('"').next().unwrap().to_owned()
    };
    deployment.c1.fail_inbound(InboundFault::Reset, u32::MAX);
    desk.given(&desk.roles[1]);
    for run in 0..8 {
        desk.synced().await;
        deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(stands().await, if run == 0 { "due" } else { "failing" }, "a minute after run {run}");
        let job = desk.job(|job| !job.is_null()).await;
        assert!(job["message"].as_str().unwrap().contains("could not be reached"), "{job}");
        deployment.wait(Duration::from_mins(14)).await;
    }
    let doctor = deployment.json("/v1/doctor").await;
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "SIGNAL_URL").unwrap();
    assert_eq!(check["ok"], false, "{check}");
    for _ in 0..8 * 6 {
        deployment.wait(Duration::from_hours(4)).await;
        desk.synced().await;
    }
    deployment.c1.heal_inbound();
    // What was given up is told while it is news, and no longer; the first is what follows at once.
    let lost = "Signals given up in the last seven days, since ConductorOne took none in time: 1.";
    for (role, told) in [(2, format!("Sent a signal. {lost}")), (3, "Sent a signal.".to_owned())] {
        desk.given(&desk.roles[role]);
        desk.synced().await;
        deployment.wait(Duration::from_mins(2)).await;
        assert_eq!((&desk.done().await["message"], stands().await), (&json!(told), "done".to_owned()));
        deployment.wait(Duration::from_hours(8 * 24)).await;
    }
    assert_eq!(desk.events(), ["access_changed"; 2]);
}

#[tokio::test(start_paused = true)]
async fn what_c1_refuses_is_told_with_what_to_do() {
    let desk = SignalCase::start().await;
    for (status, says) in [(401, "SIGNAL_HMAC_SECRET"), (403, "networks"), (404, "SIGNAL_URL")] {
        desk.deployment.c1.fail_inbound(InboundFault::Refused(status), 1);
        desk.given(&desk.roles[usize::from(status) - 400]);
        let run = desk.synced().await["runs"][0]["run"].clone();
        let job = desk.job(|job| job["subject"] == run && job["state"] == "failed").await;
        assert!(job["message"].as_str().unwrap().contains(says), "{job}");
    }
    let report = desk.deployment.json("/v1/doctor").await;
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "SIGNAL_URL").unwrap();
    assert_eq!(check["ok"], false, "{check}");
    assert_eq!(desk.events(), [""; 0]);
    // Nothing of it is lost, and one event that is refused for good is not in the others' way.
    desk.deployment.c1.fail_inbound(InboundFault::Refused(400), 1);
    desk.synced().await;
    let job = desk
        .job(|job| job["state"] == "failed" && job["message"].as_str().is_some_and(|said| said.contains("400")))
        .await;
    assert!(job["message"].as_str().unwrap().contains("foreign_change"), "{job}");
    assert_eq!(desk.events().len(), 5);
    desk.synced().await;
    tokio::task::yield_now().await;
    assert_eq!(desk.deployment.c1.inbound_requests().len(), 3 + 6, "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn half_a_configuration_names_what_is_missing() {
    let deployment = Deployment::with(small(), |options| options.var("SIGNAL_URL", &url(""))).await;
    let report = deployment.get("/v1/doctor").await;
    assert_eq!(report.status, 200, "everything else goes on");
    let checks = report.json()["checks"].as_array().unwrap().clone();
    assert!(checks.iter().any(|check| check["name"] == "SIGNAL_HMAC_SECRET" && check["ok"] == false), "{checks:?}");
}

/// From the account to C1: what is opened and what is over, of the severities that are wanted and no others.
#[tokio::test(start_paused = true)]
async fn findings_are_told_when_they_open_and_when_they_are_over_as_their_severity_is_wanted() {
    let change = |severities: &'static str| {
        move |options: Options| signalling(options, "finding").var("FINDINGS_SIGNALLED", severities)
    };
    let rules = |events: &[Value], state: &str| -> Vec<String> {
        let all = events
            .iter()
            .filter(|event| event["event"] == "finding")
            .flat_map(|event| event["findings"].as_array().unwrap());
        all.filter(|one| one["state"] == state).map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
    };
    for (severities, is_told) in [("high", true), ("low", false)] {
        let desk = SignalCase::with(change(severities)).await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        let before = desk.deployment.c1.events().len();
        let cloudflare = &desk.deployment.cloudflare;
        let account = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
        // High, and medium beside it: it has no end.
        let token = cloudflare.add_token(
            "makes tokens",
            None,
            &json!({ "policies": [{
                "id": "a".repeat(32), "effect": "allow", "resources": { account: "*" },
                "permission_groups": [{ "id": "b".repeat(32), "name": "API Tokens Write" }],
            }] }),
        );
        desk.synced().await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        let events = desk.deployment.c1.events()[before..].to_vec();
        let opened = rules(&events, "open");
        assert_eq!(opened.contains(&"token-powerful".to_owned()), is_told, "{severities}: {events:?}");
        assert!(!opened.contains(&"token-without-expiry".to_owned()), "it is medium: {events:?}");
        cloudflare.remove_token(&token);
        desk.synced().await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        let closed = rules(&desk.deployment.c1.events()[before..], "closed");
        assert_eq!(closed.contains(&"token-powerful".to_owned()), is_told, "{severities}: {closed:?}");
    }
}

/// Cloudflare has carried the write out and said so, and then does not tell of the member. Who asked by REST does not come again by itself.
#[tokio::test(start_paused = true)]
async fn what_was_granted_by_rest_and_could_not_be_read_back_is_looked_at_once_more_and_is_nobody_elses() {
    for (unread, told) in [(1, "done"), (2, "not_now")] {
        let desk = SignalCase::with(|options| signalling(options, "foreign_change").var("PROVISIONING", "on")).await;
        let deployment = &desk.deployment;
        deployment.cloudflare.after_next(Route::UpdateMember, move |cloudflare, _| {
            cloudflare.fail_next(Route::GetMember, unread, Fault::status(503, 10_000));
        });
        let path = format!("/v1/roles/{}/members/{}", desk.roles[3].governed_as(), desk.user);
        let answer = deployment.request("PUT", &path, &[], None).await;
        assert_eq!((answer.status, assert_is_problem(&answer, &path).as_str()), (503, "not_now"));
        assert!(answer.text().contains("goes on by itself"), "{}", answer.text());
        deployment.wait(Duration::from_mins(10)).await;
        let entry = deployment.json("/v1/operations?limit=1").await["items"][0].clone();
        assert_eq!((&entry["state"], &entry["outcome"]["outcome"]), (&json!("settled"), &json!(told)), "{entry}");
        assert_eq!(deployment.cloudflare.requests(Route::UpdateMember), 1, "it is written once");
        desk.synced().await;
        deployment.wait(Duration::from_mins(2)).await;
        assert_eq!(desk.events(), [""; 0], "{told}");
        // The control: what somebody else gives.
        desk.given(&desk.roles[4]);
        desk.synced().await;
        deployment.wait(Duration::from_mins(2)).await;
        assert_eq!(desk.events(), ["foreign_change"], "{told}");
    }
}

/// Somebody gives Jane in the dashboard what an operation of this connector gave her a few minutes before, and what she did not keep.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_past_c1_is_somebody_elses_however_soon_it_is_after_our_own_grant() {
    for (is_shown, by_us, is_foreign) in
        [(false, true, true), (true, true, true), (true, false, true), (false, true, false), (true, true, false)]
    {
        let what = format!("published in between: {is_shown}, taken by us: {by_us}, given back by us: {}", !is_foreign);
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on");
            options.var("AUDIT_FEED", "on").var("PLAN", "paid")
        })
        .await;
        let deployment = &desk.deployment;
        deployment.wait(Duration::from_mins(2)).await;
        let role = &desk.roles[3];
        let path = format!("/v1/roles/{}/members/{}", role.governed_as(), desk.user);
        let ours = async |method: &str| {
            let answer = deployment.request(method, &path, &[], None).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        };
        let published = Duration::from_secs(if is_shown { 75 } else { 1 });
        ours("PUT").await;
        deployment.wait(published).await;
        if by_us {
            ours("DELETE").await;
        } else {
            let kept = holds(&deployment.cloudflare, &desk.roles[0]);
            deployment.cloudflare.set_policies(&desk.member, vec![kept]);
        }
        deployment.wait(published).await;
        if is_foreign {
            desk.given(role);
        } else {
            ours("PUT").await;
        }
        deployment.wait(Duration::from_mins(2)).await;
        desk.synced().await;
        deployment.wait(Duration::from_mins(70)).await;

        let events = deployment.c1.events();
        assert_eq!(events.len(), usize::from(is_foreign), "{what}: {events:?}");
        assert!(events.iter().all(|event| event["grants"][0]["name"] == role.name.as_str()), "{what}: {events:?}");
        let path = format!("/v1/history?person=jane.doe@example.com&entitlement={}", role.governed_as());
        let history = deployment.json(&path).await["items"].as_array().unwrap().clone();
        let gained: Vec<&Value> = history.iter().filter(|change| change["what"] == "gained").collect();
        assert_eq!(gained.len(), 1 + usize::from(is_shown), "{what}: {history:#?}");
        assert_eq!(gained[0]["cause"], if is_foreign { "foreign" } else { "operation" }, "{what}: {history:#?}");
        assert!(gained[1..].iter().all(|change| change["cause"] == "operation"), "{what}: {history:#?}");
        let lost = history.iter().filter(|change| change["what"] == "lost");
        let by = if by_us { "operation" } else { "foreign" };
        assert!(lost.into_iter().all(|change| change["cause"] == by), "{what}: {history:#?}");
    }
}

/// Jane has it since long ago, C1 takes it, and somebody gives it back before anything is published: what is read of her then is what was published.
#[tokio::test(start_paused = true)]
async fn what_c1_took_and_somebody_gave_back_before_the_next_publication_is_told_as_both() {
    // By a sync, or by the log while there is no room for a publication; a role, or a membership of a user group.
    for (by_log, of_group, is_back) in [
        (false, false, true),
        (false, true, true),
        (true, false, true),
        (false, false, false),
        (false, true, false),
        (true, false, false),
    ] {
        let what = format!("by the log: {by_log}, a user group: {of_group}, given back: {is_back}");
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on").var("PLAN", "paid");
            options.var("AUDIT_FEED", if by_log { "on" } else { "off" })
        })
        .await;
        let (deployment, role) = (&desk.deployment, &desk.roles[3]);
        let cloudflare = &deployment.cloudflare;
        let group = cloudflare.add_group("Operators", vec![holds(cloudflare, &desk.roles[4])]);
        let given = || if of_group { cloudflare.join_group(&group, &desk.member) } else { desk.given(role) };
        given();
        desk.synced().await;
        deployment.wait(Duration::from_mins(5)).await;
        let before = desk.events().len();
        let id = if of_group { group.as_str() } else { role.governed_as() };
        let path = format!("/v1/{}/{id}/members/{}", if of_group { "groups" } else { "roles" }, desk.user);
        let answer = deployment.request("DELETE", &path, &[], None).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        if by_log {
            without_room(deployment, 100);
        }
        deployment.wait(Duration::from_secs(5)).await;
        if is_back {
            given();
        }
        deployment.wait(if by_log { Duration::from_mins(8) } else { Duration::from_secs(20) }).await;
        for _ in 0..2 {
            desk.synced().await;
            deployment.wait(Duration::from_mins(15)).await;
        }

        let events = deployment.c1.events().split_off(before);
        assert_eq!(events.len(), usize::from(is_back), "{what}: {events:?}");
        let told = |event: &Value| event["grants"][0]["entitlement"].as_str().is_some_and(|it| it.contains(id));
        assert!(events.iter().all(told), "{what}: {events:?}");
        let history = deployment.json("/v1/history?person=jane.doe@example.com").await;
        let mut history = history["items"].as_array().unwrap().clone();
        history.retain(|change| change["entitlement"].as_str().unwrap().contains(id));
        if is_back {
            let gained = history.remove(0);
            let cause = if by_log { "foreign" } else { "unknown" };
            assert_eq!((&gained["what"], &gained["cause"]), (&json!("gained"), &json!(cause)), "{what}: {gained}");
        }
        let lost = (&history[0]["what"], &history[0]["cause"]);
        assert_eq!(lost, (&json!("lost"), &json!("operation")), "{what}: {history:#?}");
    }
}

/// What a revoke of the last role leaves somebody with may have been taken by another a moment before.
#[tokio::test(start_paused = true)]
async fn the_minimal_access_that_a_revoke_leaves_is_shown_though_another_took_it_a_moment_before() {
    for feed in ["on", "off"] {
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on").var("PLAN", "paid");
            options.var("AUDIT_FEED", feed).var("LAST_ROLE", "minimal_access")
        })
        .await;
        let deployment = &desk.deployment;
        let minimal = deployment.cloudflare.permission_group("minimal_account_access").unwrap();
        desk.given(&minimal);
        desk.synced().await;
        deployment.wait(Duration::from_mins(5)).await;
        let before = desk.events().len();
        for role in [&minimal, &desk.roles[0]] {
            let path = format!("/v1/roles/{}/members/{}", role.governed_as(), desk.user);
            assert_eq!(deployment.request("DELETE", &path, &[], None).await.status, 200);
        }
        let grants = async || {
            let grants = deployment.list("/v1/grants", 1000).await;
            let of_hers = grants.iter().filter(|grant| grant["id"].as_str().unwrap().ends_with(&desk.user));
            of_hers.map(|grant| grant["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let left = [format!("role:{}:member:user:{}", minimal.governed_as(), desk.user)];
        assert_eq!(grants().await, left, "feed {feed}");
        deployment.wait(Duration::from_mins(12)).await;
        for _ in 0..2 {
            desk.synced().await;
            assert_eq!(grants().await, left, "feed {feed}");
            deployment.wait(Duration::from_mins(15)).await;
        }
        assert_eq!(desk.events().len(), before, "feed {feed}: {:?}", deployment.c1.events());
    }
}

/// The log may call for a sweep anyway, and that tells what was taken and hides what was given back.
#[tokio::test(start_paused = true)]
async fn what_was_given_back_is_told_soon_though_a_sweep_told_that_it_was_taken() {
    for is_back in [true, false] {
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on").var("PLAN", "paid");
            options.var("AUDIT_FEED", "on").var("SWEEP_MINUTES", "1440")
        })
        .await;
        let (deployment, role) = (&desk.deployment, &desk.roles[3]);
        desk.given(role);
        deployment.run(&Value::Null).await;
        deployment.wait(Duration::from_mins(5)).await;
        let before = desk.events().len();
        assert_eq!(revoked(&desk, 3).await, 200);
        // For a while there is no room for a publication, and then the sweep has it that the account's own entry calls for.
        without_room(deployment, 400);
        deployment.wait(Duration::from_secs(5)).await;
        if is_back {
            desk.given(role);
        }
        let account = format!("/client/v4/accounts/{}", deployment.cloudflare.account_id());
        deployment.cloudflare.log_entry(None, 0, json!({ "raw": { "uri": account, "method": "PUT" } }));
        deployment.wait(Duration::from_mins(20)).await;
        assert_eq!(desk.events().len() - before, usize::from(is_back), "given back: {is_back}");
    }
}

/// C1 takes a role of Jane's. She had it since long ago, beside two others; and for so many seconds there is no room for a publication. With how many
/// events there were before.
async fn taken(feed: &str, secs: i64) -> (SignalCase, usize) {
    let desk = SignalCase::with(|options| {
        let options = signalling(options, "foreign_change").var("PROVISIONING", "on").var("PLAN", "paid");
        options.var("AUDIT_FEED", feed)
    })
    .await;
    desk.given(&desk.roles[3]);
    desk.given(&desk.roles[4]);
    desk.synced().await;
    desk.deployment.wait(Duration::from_mins(5)).await;
    let before = desk.events().len();
    assert_eq!(revoked(&desk, 3).await, 200);
    without_room(&desk.deployment, secs);
    desk.deployment.wait(Duration::from_secs(5)).await;
    (desk, before)
}

/// For so many seconds there is no room for a publication.
fn without_room(deployment: &Deployment, secs: i64) {
    let room = json!({ "last": Timestamp::from_secs(deployment.now() + secs), "saved": 0 }).to_string();
    let statement = "INSERT OR REPLACE INTO sync_state (name, value) VALUES ('room', ?)";
    deployment.world().query(statement, &[room.into()]).unwrap();
}

async fn revoked(desk: &SignalCase, role: usize) -> u16 {
    let path = format!("/v1/roles/{}/members/{}", desk.roles[role].governed_as(), desk.user);
    desk.deployment.request("DELETE", &path, &[], None).await.status
}

/// The grants that were told since, by the roles' names.
fn grants(desk: &SignalCase, before: usize) -> Vec<String> {
    let events = desk.deployment.c1.events().split_off(before);
    let told = events.iter().flat_map(|event| event["grants"].as_array().unwrap());
    told.map(|grant| grant["name"].as_str().unwrap().to_owned()).collect()
}

/// What became of Jane's roles last.
async fn last_of(desk: &SignalCase, role: usize) -> String {
    let path = format!("/v1/history?person=jane.doe@example.com&entitlement={}", desk.roles[role].governed_as());
    desk.deployment.json(&path).await["items"][0]["what"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_else_somebody_gives_to_whom_c1_took_something_is_told_with_the_next_publication() {
    for (feed, is_back) in [("off", false), ("off", true), ("on", true)] {
        let (desk, before) = Box::pin(taken(feed, 100)).await;
        let cloudflare = &desk.deployment.cloudflare;
        let top = cloudflare.permission_group("super_admin").unwrap();
        let mut given = vec![&desk.roles[0], &desk.roles[4], &top];
        given.extend(is_back.then_some(&desk.roles[3]));
        let given = given.into_iter().map(|role| holds(cloudflare, role)).collect();
        cloudflare.set_policies(&desk.member, given);
        let what = format!("the feed is {feed}, given back: {is_back}");
        let is_top = |name: &String| name.starts_with("Super Administrator");
        if feed == "off" {
            desk.deployment.wait(Duration::from_secs(20)).await;
            desk.synced().await;
            desk.deployment.wait(Duration::from_mins(15)).await;
            let told = grants(&desk, before);
            assert!(told.len() == 1 && is_top(&told[0]), "{what}: {told:?}");
            assert_eq!(last_of(&desk, 3).await, "lost", "{what}");
            desk.synced().await;
        }
        desk.deployment.wait(Duration::from_mins(15)).await;
        let told = grants(&desk, before);
        assert!(is_top(&told[0]), "{what}: {told:?}");
        let back: &[String] = if is_back { std::slice::from_ref(&desk.roles[3].name) } else { &[] };
        assert_eq!(&told[1..], back, "{what}");
    }
}

/// Jane's record shows what a user group gives, be it the very role that C1 takes of her own.
#[tokio::test(start_paused = true)]
async fn what_a_user_group_gives_is_not_taken_for_given_back_and_hides_nothing_else() {
    for given in [3, 5] {
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on");
            options.var("AUDIT_FEED", "off").var("PLAN", "paid")
        })
        .await;
        let (deployment, cloudflare) = (&desk.deployment, &desk.deployment.cloudflare);
        cloudflare.configure(|behaviour| {
            behaviour.lists_inherited_policies = true;
            behaviour.lists_inherited_policies_everywhere = true;
        });
        let group = cloudflare.add_group("Operators", vec![holds(cloudflare, &desk.roles[given])]);
        cloudflare.join_group(&group, &desk.member);
        desk.given(&desk.roles[3]);
        desk.given(&desk.roles[4]);
        desk.synced().await;
        deployment.wait(Duration::from_mins(5)).await;
        let before = desk.events().len();
        assert_eq!(revoked(&desk, 3).await == 200, given != 3, "what a group gives is told");
        deployment.wait(Duration::from_secs(5)).await;
        // By hand she loses another one.
        cloudflare.set_policies(&desk.member, vec![holds(cloudflare, &desk.roles[0])]);
        deployment.wait(Duration::from_secs(20)).await;
        for _ in 0..2 {
            desk.synced().await;
            deployment.wait(Duration::from_mins(15)).await;
            assert_eq!(last_of(&desk, 4).await, "lost", "the group gives {given}");
            assert_eq!(last_of(&desk, 3).await, "lost", "the group gives {given}");
        }
        assert_eq!(grants(&desk, before), [""; 0], "the group gives {given}");
    }
}

/// The next operation reads the member with what was given back.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_told_whatever_c1_takes_of_the_same_person_next() {
    for (feed, is_back) in [("off", true), ("off", false), ("on", true), ("on", false)] {
        let (desk, before) = Box::pin(taken(feed, 600)).await;
        if is_back {
            desk.given(&desk.roles[3]);
        }
        // By then a read that shows what was there before our own write is believed.
        desk.deployment.wait(Duration::from_secs(90)).await;
        assert_eq!(revoked(&desk, 4).await, 200);
        desk.deployment.wait(Duration::from_mins(12)).await;
        for _ in 0..2 {
            desk.synced().await;
            desk.deployment.wait(Duration::from_mins(15)).await;
        }
        let back: &[String] = if is_back { std::slice::from_ref(&desk.roles[3].name) } else { &[] };
        let what = format!("the feed is {feed}, given back: {is_back}");
        assert_eq!(grants(&desk, before), back, "{what}");
        assert_eq!(last_of(&desk, 3).await, if is_back { "gained" } else { "lost" }, "{what}");
        assert_eq!(last_of(&desk, 4).await, "lost", "{what}");
    }
}

/// It was read, and is read again once a publication tells that it was taken: no sweep takes that away from who listens.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_told_without_a_sweep_however_long_there_is_no_room_for_a_publication() {
    for is_back in [true, false] {
        let (desk, before) = Box::pin(taken("on", 540)).await;
        if is_back {
            desk.given(&desk.roles[3]);
        }
        desk.deployment.wait(Duration::from_mins(20)).await;
        let back: &[String] = if is_back { std::slice::from_ref(&desk.roles[3].name) } else { &[] };
        assert_eq!(grants(&desk, before), back, "given back: {is_back}");
        assert_eq!(last_of(&desk, 3).await, if is_back { "gained" } else { "lost" });
    }
}

/// The sweep that is to tell of what has no name yet may be held for days.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_sweep_that_is_held_keeps_nothing_else_from_being_told() {
    // What has no name may be somebody else's, or given to the same person by the same write.
    for (is_fresh, is_beside) in [(true, false), (true, true), (false, false)] {
        let what = format!("on a fresh resource group: {is_fresh}, beside what has a name: {is_beside}");
        let desk = SignalCase::with(|options| {
            signalling(options, "foreign_change").var("AUDIT_FEED", "on").var("PLAN", "paid")
        })
        .await;
        let deployment = &desk.deployment;
        let cloudflare = &deployment.cloudflare;
        let add = |name: &str| cloudflare.add_member(name, vec![holds(cloudflare, &desk.roles[0])]);
        let others: Vec<String> = (0..30).map(|n| add(&format!("p{n}@example.com"))).collect();
        let joe = add("joe@example.com");
        desk.synced().await;
        deployment.wait(Duration::from_mins(5)).await;
        let before = desk.events().len();
        // The log does not tell of them yet.
        cloudflare.set_log_delay(36_000);
        for other in &others {
            cloudflare.remove_member(other);
        }
        cloudflare.set_log_delay(0);
        let outcome = |status: &Value| {
            let runs = status["runs"].as_array().unwrap().clone();
            runs.into_iter().find(|run| run["requests"] != 0).unwrap()["outcome"].clone()
        };
        assert_eq!(outcome(&desk.synced().await), "held");
        let on = if is_fresh { cloudflare.add_zone("shop.example") } else { cloudflare.account_resource_group() };
        let unnamed = PolicySpec::allow(desk.roles[3].id.clone(), on);
        cloudflare.add_policy(&desk.member, unnamed.clone());
        deployment.wait(Duration::from_mins(4)).await;
        let top = cloudflare.permission_group("super_admin").unwrap();
        let mut given = vec![holds(cloudflare, &desk.roles[0]), holds(cloudflare, &top)];
        given.extend(is_beside.then_some(unnamed));
        cloudflare.set_policies(&joe, given);
        deployment.wait(Duration::from_mins(5)).await;
        assert_eq!(outcome(&deployment.json("/v1/status").await), "held");
        let events = deployment.c1.events().split_off(before);
        let told: Vec<&Value> = events.iter().flat_map(|event| event["grants"].as_array().unwrap()).collect();
        let of_joe = told.iter().filter(|grant| grant["to"] == "joe@example.com");
        assert_eq!(of_joe.count(), 1, "{what}: {told:?}");
        // The control: what has a name is published as ever.
        assert_eq!(told.len(), if is_fresh { 1 } else { 2 }, "{what}: {told:?}");
        // The rest stays in force for the sweep, and for who reads meanwhile.
        let open = "SELECT COUNT(DISTINCT member) FROM overlay WHERE generation IS NULL";
        let open = deployment.world().one(open, &[]).unwrap().and_then(|count| count.integer()).unwrap();
        assert_eq!(open, i64::from(is_fresh) + i64::from(is_beside), "{what}");
    }
}

/// Who has the token can do what this connector can.
#[tokio::test(start_paused = true)]
async fn what_is_done_with_the_connectors_own_token_outside_of_every_operation_is_told_as_that() {
    for is_operation in [false, true] {
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on");
            options.var("AUDIT_FEED", "on").var("PLAN", "paid")
        })
        .await;
        let deployment = &desk.deployment;
        let cloudflare = &deployment.cloudflare;
        deployment.wait(Duration::from_mins(2)).await;
        let role = &desk.roles[3];
        if is_operation {
            let path = format!("/v1/roles/{}/members/{}", role.governed_as(), desk.user);
            assert_eq!(deployment.request("PUT", &path, &[], None).await.status, 200);
        } else {
            let policy = |role: &str| {
                json!({
                    "access": "allow", "permission_groups": [{ "id": role }],
                    "resource_groups": [{ "id": cloudflare.account_resource_group() }],
                })
            };
            let body = json!({ "policies": [policy(&desk.roles[0].id), policy(&role.id)] });
            let (account, member) = (cloudflare.account_id(), &desk.member);
            let request = HttpRequest {
                method: Method::Put,
                url: format!("https://api.cloudflare.com/client/v4/accounts/{account}/members/{member}"),
                headers: vec![("content-type", "application/json".to_owned())],
                bearer: Some(Secret::new(cloudflare.token())),
                body: Some(body.to_string().into_bytes()),
                timeout_millis: 10_000,
                max_bytes: 1_000_000,
            };
            assert_eq!(Box::pin(deployment.world().send(request)).await.unwrap().status, 200);
        }
        deployment.wait(Duration::from_mins(2)).await;
        desk.synced().await;
        deployment.wait(Duration::from_mins(70)).await;
        let events = deployment.c1.events();
        assert_eq!(events.len(), usize::from(!is_operation), "{events:?}");
        for event in &events {
            let by = &event["grants"][0]["by"];
            assert_eq!(by["who"], "this connector's token", "{event}");
            assert!(by["through"].as_str().unwrap().starts_with("the API token "), "{event}");
            assert!(by["entry"].is_string() && by["at"].is_string(), "{event}");
        }
        let path = format!("/v1/history?person=jane.doe@example.com&entitlement={}", role.governed_as());
        let gained = deployment.json(&path).await["items"][0].clone();
        assert_eq!(gained["cause"], if is_operation { "operation" } else { "foreign" }, "{gained}");
        let who = if is_operation { "this connector" } else { "this connector's token" };
        assert_eq!(gained["by"]["who"], who, "{gained}");
    }
}

/// A read that is behind, and a Coordinator that dies between a write and its note, are no sign of a thief.
#[tokio::test(start_paused = true)]
async fn a_write_of_which_an_operation_could_note_too_little_is_not_told_as_done_with_the_token_by_somebody_else() {
    let cases = [
        (true, "attempts = attempts", true),
        (false, "trail = '[]', attempts = 2", true),
        (false, "trail = '[]', outcome = NULL, due_at = NULL", true),
        // The controls: an operation that noted all that it wrote, and one that wrote long ago.
        (false, "trail = '[]'", false),
        (false, "trail = '[]', attempts = 2, wrote_at = wrote_at - 90000000", false),
    ];
    for (is_slow, noted, is_ours) in cases {
        let desk = SignalCase::with(|options| {
            let options = signalling(options, "foreign_change").var("PROVISIONING", "on").var("AUDIT_FEED", "on");
            options.var("PLAN", "paid").var("LAST_ROLE", "minimal_access")
        })
        .await;
        let deployment = &desk.deployment;
        let cloudflare = &deployment.cloudflare;
        deployment.wait(Duration::from_mins(2)).await;
        if is_slow {
            cloudflare.before_next_put(|cloudflare, member| cloudflare.stale_reads(member, 4));
        }
        let path = format!("/v1/roles/{}/members/{}", desk.roles[0].governed_as(), desk.user);
        assert_eq!(deployment.request("DELETE", &path, &[], None).await.status, 200);
        deployment.world().query(&format!("UPDATE operation SET {noted}"), &[]).unwrap();
        deployment.wait(Duration::from_mins(2)).await;
        desk.synced().await;
        deployment.wait(Duration::from_mins(70)).await;
        let left = cloudflare.permission_group("minimal_account_access").unwrap();
        let path = format!("/v1/history?person=jane.doe@example.com&entitlement={}", left.governed_as());
        let gained = deployment.json(&path).await["items"][0].clone();
        let told = if is_ours { ["operation", "this connector"] } else { ["foreign", "this connector's token"] };
        assert_eq!([&gained["cause"], &gained["by"]["who"]], told, "slow: {is_slow}, {noted}: {gained}");
    }
}

/// It gives nobody anything, and to take it off does.
#[tokio::test(start_paused = true)]
async fn a_policy_that_denies_is_told_with_its_author_when_it_comes_and_when_it_goes() {
    let desk = SignalCase::with(|options| {
        signalling(options, "access_changed, foreign_change").var("AUDIT_FEED", "on").var("PLAN", "paid")
    })
    .await;
    let deployment = &desk.deployment;
    deployment.wait(Duration::from_mins(2)).await;
    let key = format!("user:{}", desk.user);
    let allows = || holds(&deployment.cloudflare, &desk.roles[0]);
    let denies = PolicySpec { access: Access::Deny, ..holds(&deployment.cloudflare, &desk.roles[1]) };
    for (n, policies) in [vec![allows(), denies], vec![allows()]].into_iter().enumerate() {
        deployment.cloudflare.set_policies(&desk.member, policies);
        deployment.wait(Duration::from_mins(3)).await;
        desk.synced().await;
        deployment.wait(Duration::from_mins(2)).await;
        let changes = deployment.json("/v1/changes").await["items"].as_array().unwrap().clone();
        let hers: Vec<&Value> = changes.iter().filter(|change| change["key"] == key.as_str()).collect();
        assert_eq!(hers.len(), n + 1, "{changes:#?}");
        let (none, fields) = (json!([]), json!(["atoms"]));
        assert_eq!((&hers[0]["fields"], &hers[0]["grants_added"], &hers[0]["grants_removed"]), (&fields, &none, &none));
        assert_eq!(hers[0]["by"][0]["by"]["who"], "somebody.else@example.com", "{changes:#?}");
        let events = deployment.c1.events();
        assert_eq!(desk.events(), vec!["access_changed"; n + 1], "{events:?}");
        assert_eq!((&events[n]["changes"][0]["key"], &events[n]["changes"][0]["fields"]), (&json!(key), &fields));
    }
    let history = deployment.json(&format!("/v1/history?person={key}")).await;
    assert_eq!(history["items"], json!([]), "nothing was gained or lost");
}

/// A group that holds an invalid policy answers with an error, and not with who is in it.
#[tokio::test(start_paused = true)]
async fn who_is_in_a_user_group_that_is_read_for_the_first_time_is_no_news_and_who_joined_it_unread_is() {
    // Whether it was read before, and whether the list of all groups could not be read in between.
    for (was_known, is_unlisted) in [(false, false), (true, false), (true, true)] {
        let change = |options: Options| signalling(options, "foreign_change");
        let deployment = Deployment::with(small(), change).await;
        deployment.c1.listen("listener", Proof::Hmac(SECRET.to_owned()));
        let cloudflare = deployment.cloudflare.clone();
        let group = cloudflare.add_group("Operators", vec![holds(&cloudflare, &roles(&cloudflare)[3])]);
        let [jane, joe] = ["jane@example.com", "joe@example.com"].map(|email| cloudflare.add_member(email, Vec::new()));
        cloudflare.join_group(&group, &jane);
        cloudflare.break_group(&group, !was_known);
        let deployment = deployment.synced().await;
        if is_unlisted {
            cloudflare.fail_next(Route::ListUserGroups, 10_000, Fault::status(403, 10_000));
            cloudflare.add_member("other@example.com", Vec::new());
            deployment.sync().await;
            cloudflare.clear_faults();
        }
        cloudflare.break_group(&group, true);
        if was_known {
            cloudflare.join_group(&group, &joe);
        }
        // Something else changes, so that there is a generation more.
        cloudflare.add_member("newest@example.com", Vec::new());
        deployment.sync().await;
        cloudflare.break_group(&group, false);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        let told: Vec<Value> = deployment.c1.events().iter().map(|event| event["grants"].clone()).collect();
        let (joined, cause) = if was_known { (joe, "unknown") } else { (jane, "first_seen") };
        let joined = cloudflare.membership(&joined).unwrap();
        assert_eq!(told.len(), usize::from(was_known), "{told:?}");
        assert!(told.iter().all(|grants| grants[0]["to"] == joined.email.as_str()), "{told:?}");
        let history = deployment.json(&format!("/v1/history?person={}", joined.email)).await;
        let gained = &history["items"][0];
        assert_eq!((&gained["cause"], &gained["what"]), (&json!(cause), &json!("gained")), "{history}");
    }
}

/// What is known of one group is not unknown by another.
#[tokio::test(start_paused = true)]
async fn who_joins_a_group_that_was_read_is_news_on_the_day_that_another_group_is_read_for_the_first_time() {
    let change = |options: Options| signalling(options, "foreign_change");
    let deployment = Deployment::with(small(), change).await;
    deployment.c1.listen("listener", Proof::Hmac(SECRET.to_owned()));
    let cloudflare = deployment.cloudflare.clone();
    let role = &roles(&cloudflare)[3];
    let [broken, read] =
        ["Operators", "Developers"].map(|name| cloudflare.add_group(name, vec![holds(&cloudflare, role)]));
    let [ann, jane, joe, sue] = ["ann@example.com", "jane@example.com", "joe@example.com", "sue@example.com"]
        .map(|email| cloudflare.add_member(email, Vec::new()));
    cloudflare.join_group(&broken, &sue);
    cloudflare.join_group(&read, &ann);
    cloudflare.break_group(&broken, true);
    let deployment = deployment.synced().await;
    cloudflare.break_group(&broken, false);
    cloudflare.join_group(&broken, &jane);
    cloudflare.join_group(&read, &joe);
    // Nor was anybody in a group that was not there.
    let new = cloudflare.add_group("Newcomers", vec![holds(&cloudflare, role)]);
    cloudflare.join_group(&new, &sue);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let events = deployment.c1.events();
    let grants = events.iter().flat_map(|event| event["grants"].as_array().unwrap());
    let mut told: Vec<(&str, &str)> = grants
        .map(|grant| (grant["to"].as_str().unwrap(), grant["name"].as_str().unwrap()))
        .filter(|(to, _)| to.contains('@'))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("joe@example.com", "Developers"), ("sue@example.com", "Newcomers")], "{events:?}");
    for (member, group, cause) in [
        (&jane, &broken, "first_seen"),
        (&sue, &broken, "first_seen"),
        (&joe, &read, "unknown"),
        (&sue, &new, "unknown"),
    ] {
        let email = cloudflare.membership(member).unwrap().email;
        let history = deployment.json(&format!("/v1/history?person={email}&entitlement=group:{group}:member")).await;
        assert_eq!(history["items"][0]["cause"], cause, "{history}");
    }
}

/// A group that an identity provider keeps takes nobody in: who was invited for it has the account all the same, and is told with the refusal.
#[tokio::test(start_paused = true)]
async fn the_invitation_that_went_out_for_a_grant_that_was_refused_then_is_not_somebody_elses() {
    let desk = SignalCase::with(|options| {
        signalling(options, "foreign_change").var("PROVISIONING", "on").var("AUDIT_FEED", "on")
    })
    .await;
    let deployment = &desk.deployment;
    let cloudflare = &deployment.cloudflare;
    let group = cloudflare.add_group("Operators", Vec::new());
    cloudflare.manage_by_scim(&group);
    desk.synced().await;
    deployment.wait(Duration::from_mins(2)).await;
    let (new, by_hand) = ("new.hire@example.com", "by.hand@example.com");
    let operators = Entitlement::new(&format!("group:{group}:member"), "Operators Member");
    let task = deployment.c1.task(&Task::grant(operators, Person::newcomer(new)));
    deployment.send_as(&task, "grant").await;
    deployment.wait(Duration::from_mins(2)).await;
    let entry = deployment.json("/v1/operations?limit=1").await["items"][0].clone();
    assert_eq!(entry["outcome"]["code"], "managed_elsewhere", "{entry}");
    assert!(cloudflare.membership_of(new).is_some(), "the control");
    desk.synced().await;
    deployment.wait(Duration::from_mins(3)).await;
    assert_eq!(desk.events(), [""; 0]);
    // The control: the same invitation by hand.
    let first = cloudflare.permission_group("minimal_account_access").unwrap();
    cloudflare.invite(by_hand, vec![holds(cloudflare, &first)]);
    desk.synced().await;
    deployment.wait(Duration::from_mins(3)).await;
    assert_eq!(desk.events(), ["foreign_change"]);
    assert_eq!(deployment.c1.events()[0]["grants"][0]["to"], by_hand);
    deployment.wait(Duration::from_mins(40)).await;
    for (email, cause) in [(new, "operation"), (by_hand, "foreign")] {
        let history = deployment.json(&format!("/v1/history?person={email}")).await;
        assert_eq!(history["items"][0]["cause"], cause, "{history}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_still_accepted_is_no_news_when_it_comes_back_and_is_once_it_is_not() {
    for is_accepted in [true, false] {
        let desk =
            SignalCase::with(|options: Options| signalling(options, "finding").var("FINDINGS_SIGNALLED", "medium"))
                .await;
        let cloudflare = &desk.deployment.cloudflare;
        let ends = |at: &Value| json!({ "expires_on": at });
        let token = cloudflare.add_token("ci", None, &ends(&Value::Null));
        desk.synced().await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        let path = format!("/v1/findings/token-without-expiry:api_token:{token}");
        if is_accepted {
            let until = Timestamp::from_secs(desk.deployment.now()).plus_secs(30 * 86_400).to_string();
            let body = json!({ "reason": "so agreed", "until": until });
            let answer = desk.deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let end = Timestamp::from_secs(desk.deployment.now()).plus_secs(30 * 86_400).to_string();
        cloudflare.change_token(&token, &ends(&json!(end)));
        desk.synced().await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(desk.deployment.json(&path).await["state"], "closed");
        let before = desk.deployment.c1.events().len();
        cloudflare.change_token(&token, &ends(&Value::Null));
        desk.synced().await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        let state = if is_accepted { "accepted" } else { "open" };
        assert_eq!(desk.deployment.json(&path).await["state"], state);
        let events = desk.deployment.c1.events()[before..].to_vec();
        let opened = |event: &Value| event["event"] == "finding" && event["summary"]["opened"] == 1;
        assert_eq!(events.iter().filter(|event| opened(event)).count(), usize::from(!is_accepted), "{events:?}");
    }
}

/// Whoever is written to about a finding is written to at an address that is theirs.
#[tokio::test(start_paused = true)]
async fn a_finding_goes_by_the_name_that_what_it_is_about_has_now_and_that_is_no_news() {
    let desk = SignalCase::with(|options: Options| {
        signalling(options, "finding").var("FINDINGS_SIGNALLED", "high,medium,low")
    })
    .await;
    let cloudflare = &desk.deployment.cloudflare;
    let admin = cloudflare.permission_group("admin").unwrap();
    let jane = cloudflare.add_member("jane@example.com", vec![holds(cloudflare, &admin)]);
    cloudflare.set_two_factor(&jane, false);
    let user = cloudflare.membership(&jane).unwrap().user_id.unwrap();
    let token = cloudflare.add_token("ci", None, &json!({}));
    let told = async |names: [&str; 2]| {
        desk.synced().await;
        desk.deployment.wait(Duration::from_mins(1)).await;
        let ids =
            [format!("privileged-without-two-factor:user:{user}"), format!("token-without-expiry:api_token:{token}")];
        let mut findings = Vec::new();
        for (id, name) in ids.iter().zip(names) {
            let mut finding = desk.deployment.json(&format!("/v1/findings/{id}")).await;
            assert_eq!(finding["name"], name, "{finding}");
            finding["name"] = Value::Null;
            findings.push(finding);
        }
        (findings, desk.deployment.c1.events().len())
    };
    let before = told(["jane@example.com", "ci"]).await;
    cloudflare.change_email(&jane, "jane.roe@example.com");
    cloudflare.change_token(&token, &json!({ "name": "deploys" }));
    assert_eq!(told(["jane.roe@example.com", "deploys"]).await, before, "nothing else of it is another");
}

/// A statement that fails leaves none of those before it behind, or what was opened would be known, and never told.
#[tokio::test(start_paused = true)]
async fn a_finding_whose_signal_cannot_be_kept_is_told_once_it_can() {
    let desk =
        SignalCase::with(|options: Options| signalling(options, "finding").var("FINDINGS_SIGNALLED", "medium")).await;
    desk.deployment.wait(Duration::from_mins(1)).await;
    let before = desk.deployment.c1.events().len();
    desk.deployment.cloudflare.add_token("ci", None, &json!({}));
    let world = desk.deployment.world();
    world
        .query("CREATE TRIGGER fails BEFORE INSERT ON signal BEGIN SELECT RAISE(ABORT, 'on purpose'); END", &[])
        .unwrap();
    desk.synced().await;
    desk.deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(desk.deployment.c1.events().len(), before);
    world.query("DROP TRIGGER fails", &[]).unwrap();
    desk.deployment.wait(Duration::from_mins(10)).await;
    let events = desk.deployment.c1.events()[before..].to_vec();
    let opened: Vec<_> = events.iter().map(|event| event["summary"]["opened"].clone()).collect();
    assert_eq!(opened, [json!(1)], "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn findings_are_counted_all_and_what_is_not_listed_is_said_however_many_there_are() {
    let change = |options: Options| signalling(options, "finding").var("FINDINGS_SIGNALLED", "medium");
    let desk = SignalCase::with(change).await;
    desk.deployment.wait(Duration::from_mins(1)).await;
    let before = desk.deployment.c1.events().len();
    let count = 450;
    for n in 0..count {
        desk.deployment.cloudflare.add_token(&format!("ci {n}"), None, &json!({}));
    }
    desk.synced().await;
    desk.deployment.wait(Duration::from_mins(2)).await;
    let events = desk.deployment.c1.events()[before..].to_vec();
    let opened = desk.deployment.json("/v1/findings?rule=token-without-expiry&limit=1000").await["items"]
        .as_array()
        .unwrap()
        .len();
    assert!(opened > count, "{opened}");
    let mut left = None;
    for event in &events {
        let told = usize::try_from(event["summary"]["opened"].as_u64().unwrap()).unwrap();
        assert!(told >= count && event["message"].as_str().unwrap().contains(&format!("{told} new")), "{event}");
        let left = left.get_or_insert(told);
        *left -= event["findings"].as_array().unwrap().len();
        assert_eq!(event["left_out"], *left, "what is in no part so far");
    }
    assert!(left.is_some_and(|left| left > 0), "{left:?}");
}
