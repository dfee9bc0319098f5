//! Going wrong on demand: faults, the rate limit, stale reads, foreign writers, drift between pages; and the log.

use std::time::Duration;

use crate::cloudflare_support::{Api, policy};
use serde_json::json;
use sim::cloudflare::{Fault, Latency, Limits, On, PolicySpec, Route, Spec, UNEXPECTED};

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect(what);
}

#[tokio::test]
async fn the_quota_blocks_and_lets_go_again() {
    // However slow the machine is, the window is open until the quota is used up.
    let limits = Limits { requests: 5, window: Duration::from_hours(1), block: Duration::from_secs(1) };
    let api = Api::start(Spec { members: 5, limits, ..Spec::default() }).await;
    api.cloudflare.configure(|behaviour| behaviour.ratelimit_headers = true);
    for left in (0..5).rev() {
        let answer = api.get("/members").await;
        assert_eq!(answer.status, 200);
        let told = answer.header("ratelimit").unwrap();
        let resets_in = told.strip_prefix(&format!("\"default\";r={left};t=")).unwrap_or_else(|| panic!("{told}"));
        assert!((1..=3_600).contains(&resets_in.parse::<u64>().unwrap()), "{told}");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=5;w=3600"));
    }
    let began = tokio::time::Instant::now();
    let mut answer = api.get("/roles").await;
    assert_eq!(answer.status, 429);
    let user = format!("Bearer {}", api.cloudflare.user_token());
    assert_eq!(api.raw("GET", "/user", Some(&user), None).await.unwrap().status, 200, "another bucket");
    while answer.status != 200 {
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
        assert!(began.elapsed() < PATIENCE, "it never lets go");
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = api.get("/members").await;
    }
    assert!(began.elapsed() >= limits.block);
}

#[tokio::test]
async fn a_fault_strikes_as_often_as_planned_and_where_planned() {
    let api = Api::of(5).await;
    api.cloudflare.fail_next(Route::ListMembers, 2, Fault::status(503, 10_000));
    api.cloudflare.fail_next(Route::ListMembers, 1, Fault::Html { status: 524 });
    assert_eq!(api.get("/roles").await.status, 200);
    assert_eq!(api.get("/members").await.code(), (503, 10_000));
    assert_eq!(api.get("/members").await.code(), (503, 10_000));
    let page = api.get("/members").await;
    assert_eq!((page.status, page.header("content-type")), (524, Some("text/html; charset=UTF-8")));
    assert_eq!(api.get("/members").await.status, 200);

    let problem = Fault::Problem { status: 502, retryable: true, retry_after: Some(7) };
    api.cloudflare.fail_next(On::Reads, 1, problem);
    let answer = api.get("/iam/user_groups").await;
    assert_eq!((answer.status, answer.header("retry-after")), (502, Some("7")));
    assert_eq!(answer.json()["retryable"], true);

    for (retry_after, headers) in [(None, false), (Some(30), true)] {
        api.cloudflare.fail_next(On::Any, 1, Fault::TooManyRequests { retry_after, headers });
        let answer = api.get("/members").await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after").is_some(), retry_after.is_some());
        assert_eq!(answer.header("ratelimit").is_some(), headers);
    }
    api.cloudflare.fail_next(On::Any, 1, Fault::TruncatedJson);
    let truncated = api.get("/members").await;
    assert_eq!(truncated.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&truncated.text).is_err());
}

#[tokio::test]
async fn a_write_may_be_lost_before_or_after_it_was_applied() {
    let api = Api::of(20).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let path = format!("/members/{member}");
    let body = json!({ "policies": [policy("allow", &[&admin], &[&whole])] });
    let before = api.cloudflare.member_atoms(&member);

    api.cloudflare.fail_next(On::Writes, 1, Fault::Reset);
    assert!(api.send("PUT", &path, Some(body.clone())).await.is_err());
    assert_eq!(api.cloudflare.member_atoms(&member), before);

    for fault in [Fault::Reset, Fault::status(500, 500), Fault::Html { status: 524 }, Fault::TruncatedJson] {
        api.cloudflare.set_policies(&member, Vec::new());
        api.cloudflare.fail_next(Route::UpdateMember, 1, fault.clone().after());
        let answer = api.send("PUT", &path, Some(body.clone())).await;
        assert!(answer.is_err() || fault != Fault::Reset);
        assert_eq!(api.cloudflare.member_atoms(&member).len(), 1, "{fault:?}");
        let last = api.cloudflare.exchanges().pop().unwrap();
        assert!(last.applied);
        assert_eq!(last.fault, Some(fault.after().name()));
    }
}

#[tokio::test]
async fn answers_may_be_slow_and_the_request_is_finished_without_the_client() {
    let api = Api::of(20).await;
    api.cloudflare.set_latency(Latency::of(2 * PATIENCE));
    api.cloudflare.set_route_latency(Route::ListRoles, Latency::default());
    tokio::time::timeout(PATIENCE, api.get("/roles")).await.expect("a route with a latency of its own");
    let (began, latency) = (tokio::time::Instant::now(), Duration::from_millis(500));
    api.cloudflare.set_latency(Latency::of(latency));
    api.get("/members").await;
    assert!(began.elapsed() >= latency);
    api.cloudflare.set_latency(Latency::default());

    let member = api.somebody();
    api.cloudflare.fail_next(On::Writes, 1, Fault::Hang(Duration::from_millis(500)).after());
    let path = format!("/members/{member}");
    // The client gives up as soon as the member is gone.
    tokio::select! {
        biased;
        () = until("the member is removed", || api.cloudflare.membership(&member).is_none()) => {}
        answer = api.delete(&path) => panic!("{answer:?}"),
    }
    let is_finished = || api.cloudflare.exchanges().iter().any(|exchange| exchange.method == "DELETE");
    until("the request is finished", is_finished).await;
    assert!(api.cloudflare.exchanges().pop().unwrap().applied);
}

#[tokio::test]
async fn requests_in_flight_are_counted() {
    let api = Api::of(20).await;
    // However slow the machine is, none is answered before all have come.
    api.cloudflare.set_latency(Latency { base: 2 * PATIENCE, jitter: Duration::from_millis(10) });
    tokio::select! {
        () = until("all are in flight", || api.cloudflare.most_in_flight() == 4) => {}
        answers = futures::future::join_all((0..4).map(|_| api.get("/members"))) => panic!("{answers:?}"),
    }
    api.cloudflare.set_latency(Latency::default());
    assert_eq!(api.cloudflare.counts(), [("GET /accounts/{A}/members", 4)].into());
    api.cloudflare.reset_log();
    assert_eq!(api.cloudflare.total_requests(), 0);
    api.get("/nothing").await;
    assert_eq!(api.cloudflare.counts(), [(UNEXPECTED, 1)].into());
}

#[tokio::test]
async fn reads_may_be_stale_after_a_put() {
    let api = Api::of(20).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let path = format!("/members/{member}");
    api.cloudflare.set_policies(&member, Vec::new());
    api.cloudflare.configure(|behaviour| behaviour.stale_reads_after_put = 2);
    let body = json!({ "policies": [policy("allow", &[&admin], &[&whole])] });
    let written = api.put(&path, body).await.result();
    assert_eq!(written["policies"].as_array().unwrap().len(), 1);
    for expected in [0, 0, 1] {
        assert_eq!(api.get(&path).await.result()["policies"].as_array().unwrap().len(), expected);
    }
}

#[tokio::test]
async fn somebody_else_writes_between_a_get_and_the_put() {
    let api = Api::of(20).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let (domain_group, domain) = api.domain_pair();
    let path = format!("/members/{member}");
    let foreign = PolicySpec::allow(domain_group, domain);
    api.cloudflare.before_next_put(move |cloudflare, member| cloudflare.add_policy(member, foreign));
    api.get(&path).await;
    api.put(&path, json!({ "policies": [policy("allow", &[&admin], &[&whole])] })).await.result();
    // The PUT replaced the whole set: the foreign write is lost, and only the audit log knows.
    assert_eq!(api.cloudflare.member_atoms(&member).len(), 1);
    let log = api.get("/logs/audit?since=2020-01-01&before=2100-01-01&direction=asc").await.result();
    let contexts: Vec<_> = log.as_array().unwrap().iter().map(|entry| entry["actor"]["context"].clone()).collect();
    assert_eq!(contexts, ["dash", "api_token"]);
}

#[tokio::test]
async fn rows_shift_between_two_pages() {
    let api = Api::of(20).await;
    let list = "/members?order=user.email&direction=asc&per_page=10";
    let emails = |answer: serde_json::Value| -> Vec<String> {
        answer.as_array().unwrap().iter().map(|member| member["email"].as_str().unwrap().to_owned()).collect()
    };
    let all = emails(api.get("/members?order=user.email&direction=asc&per_page=50").await.result());
    let gone = api.cloudflare.membership_of(&all[0]).unwrap().id;
    api.cloudflare.after_page(Route::ListMembers, 1, move |cloudflare, _| cloudflare.remove_member(&gone));
    let first = emails(api.get(list).await.result());
    let second = emails(api.get(&format!("{list}&page=2")).await.result());
    assert_eq!(first, all[..10]);
    assert_eq!(second, all[11..], "the eleventh was missed");

    api.cloudflare.after_page(Route::ListMembers, 1, |cloudflare, _| {
        cloudflare.invite("!first@example.com", Vec::new());
    });
    let first = emails(api.get(list).await.result());
    let second = emails(api.get(&format!("{list}&page=2")).await.result());
    assert_eq!(first.last(), second.first(), "the tenth came twice");
}

#[tokio::test]
async fn chance_is_drawn_from_the_seed() {
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let api = Api::start(Spec { members: 5, seed: 42, ..Spec::default() }).await;
        api.cloudflare.fail_randomly(On::Reads, 0.3, Fault::status(500, 500));
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(api.get("/members").await.status);
        }
        api.cloudflare.clear_faults();
        assert_eq!(api.get("/members").await.status, 200);
        let failures = statuses.iter().filter(|status| **status == 500).count();
        assert!((5..35).contains(&failures), "{failures}");
        outcomes.push(statuses);
    }
    assert_eq!(outcomes[0], outcomes[1]);
}
