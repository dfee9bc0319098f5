//! Signals to C1's incoming webhook, after a sync.

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Access, Fault, PolicySpec, Route};
use sim::conductorone::{Entitlement, InboundFault, Person, Proof, Task};
use sim::harness::Options;

use c1_cloudflare::base::ports::Sql as _;
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
