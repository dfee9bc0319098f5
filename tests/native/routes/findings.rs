//! `GET /v1/findings`, one of them, and `POST /v1/findings/{id}/accept`.

use std::collections::BTreeSet;
use std::time::Duration;

use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use serde_json::{Value, json};
use sim::cloudflare::{Access, Cloudflare, Fault, Oddity, Permission, PolicySpec, Route, Spec};

use crate::deployment::Deployment;
use crate::looks::{assert_is_problem, small};

fn ids(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

async fn items(deployment: &Deployment, narrowed: &str) -> Vec<Value> {
    deployment.json(&format!("/v1/findings?{narrowed}")).await["items"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_found_with_each_publication_closed_when_it_is_over_and_accepted_for_a_time() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let (admin, whole) = (cloudflare.permission_group("admin").unwrap().id, cloudflare.account_resource_group());
    let people = cloudflare.memberships();
    let person = people.iter().rfind(|one| one.status == "accepted" && one.user_id.is_some()).unwrap();
    for one in &people {
        cloudflare.set_two_factor(&one.id, true);
    }
    // Through a user group it is held just as well.
    let group = cloudflare.add_group("Operators of all", vec![PolicySpec::allow(admin.clone(), whole.clone())]);
    cloudflare.join_group(&group, &person.id);
    cloudflare.set_two_factor(&person.id, false);
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(1)).await;

    let user = person.user_id.clone().unwrap();
    let id = format!("privileged-without-two-factor:user:{user}");
    let open = deployment.list("/v1/findings", 1000).await;
    assert_eq!(ids(&open).iter().filter(|id| id.starts_with("privileged-")).collect::<Vec<_>>(), [&id.as_str()]);
    assert_eq!(deployment.list("/v1/findings", 1).await, open, "in pages");
    let path = format!("/v1/findings/{id}");
    let finding = deployment.json(&path).await;
    assert_eq!((&finding["severity"], &finding["state"]), (&json!("high"), &json!("open")));
    assert!(finding["evidence"].as_str().unwrap().contains("Administrator"), "{finding}");
    assert!(finding["remedy"].as_str().unwrap().contains("Two-Factor Authentication"), "{finding}");
    assert!(open.iter().any(|finding| finding["rule"] == "token-without-expiry"), "{open:#?}");
    let medium = items(&deployment, "severity=medium").await;
    assert!(!medium.is_empty() && medium.iter().all(|finding| finding["severity"] == "medium"));

    // In the file where that is wanted; then what is accepted is not in it any more, and is another file.
    let in_file = async |tag: Option<&str>| {
        let headers: Vec<(&str, &str)> = tag.map(|tag| ("If-None-Match", tag)).into_iter().collect();
        let answer = deployment.request("GET", "/v1/export/sync.c1z", &headers, None).await;
        (answer.status, answer.header("etag").unwrap_or_default().to_owned())
    };
    let (_, without) = in_file(None).await;
    deployment.set_var("FINDINGS_IN_C1Z", "on");
    let (status, with) = in_file(Some(&without)).await;
    assert_eq!((status, with == without), (200, false));
    assert_eq!(in_file(Some(&with)).await, (304, with.clone()));

    // Accepted, with a reason and an end; by who may change things.
    let accept = format!("{path}/accept");
    let until = "2027-03-01";
    for (body, status) in [
        (json!({ "reason": "", "until": until }), 400),
        (json!({ "reason": "so agreed", "until": "2000-01-01" }), 400),
        (json!({ "reason": "so agreed" }), 400),
        (json!({ "reason": "so agreed", "until": until }), 200),
    ] {
        let answer = deployment.request("POST", &accept, &[], Some(&body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    assert_eq!(in_file(Some(&with)).await.0, 200);
    assert!(!ids(&deployment.list("/v1/findings", 1000).await).contains(&id.as_str()));
    let accepted = items(&deployment, "state=accepted").await;
    assert_eq!((ids(&accepted), &accepted[0]["accepted"]["reason"]), (vec![id.as_str()], &json!("so agreed")));

    // Of more than it has room for it has the gravest, however old that is.
    let open = "INSERT INTO finding (id, rule, severity, about, name, evidence, opened_at)";
    let query = |text: &str| deployment.world().query(text, &[]).unwrap();
    query(&format!(
        "{open} VALUES ('old:high', 'deny-policy', 'high', 'user:x', 'x', 'x', 1), ('old:low', 'deny-policy', 'low', 'user:x', 'x', 'x', 2)"
    ));
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)";
    query(&format!("{many} {open} SELECT 'new:' || n, 'deny-policy', 'low', 'user:x', 'x', 'x', 3 FROM n"));
    let (_, full) = in_file(None).await;
    query("DELETE FROM finding WHERE id = 'old:low'");
    assert_eq!(in_file(None).await.1, full, "it was left out");
    query("DELETE FROM finding WHERE id = 'old:high'");
    assert_ne!(in_file(None).await.1, full);
    query("DELETE FROM finding WHERE id LIKE 'new:%'");

    // Over, and again.
    deployment.cloudflare.set_two_factor(&person.id, true);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let closed = deployment.json(&path).await;
    assert_eq!(closed["state"], "closed");
    let events: Vec<&Value> = closed["events"].as_array().unwrap().iter().map(|event| &event["what"]).collect();
    assert_eq!(events, ["closed", "accepted", "opened"]);
    let answer =
        deployment.request("POST", &accept, &[], Some(&json!({ "reason": "so agreed", "until": until }))).await;
    assert_eq!((answer.status, assert_is_problem(&answer, &accept).as_str()), (409, "finding_closed"));
    for path in ["/v1/findings/nothing:there", "/v1/findings?state=odd", "/v1/findings?format=odd"] {
        let answer = deployment.get(path).await;
        assert_eq!(answer.status, if path.contains('?') { 400 } else { 404 }, "{path}");
    }
    let csv = deployment.get("/v1/findings?format=csv").await;
    assert!(
        csv.text().starts_with("id,rule,severity,state,title,about,name,evidence,since,remedy\r\n"),
        "{}",
        csv.text()
    );
}

/// An account in which each rule has something to find, through the whole way from Cloudflare's answers to `/v1/findings`.
#[tokio::test(start_paused = true)]
async fn every_rule_finds_what_it_is_about_in_an_account_that_breaks_them_all() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let whole = cloudflare.account_resource_group();
    let admin = cloudflare.permission_group("admin").unwrap().id;
    let top = cloudflare.permission_group("super_admin").unwrap().id;
    let dns = cloudflare.permission_groups().into_iter().find(|one| one.account_wide && one.role_id.is_some()).unwrap();
    let zone = cloudflare.add_zone("shop.example");
    for n in 0..6 {
        let one = cloudflare.add_member(&format!("root{n}@example.com"), vec![PolicySpec::allow(&top, &whole)]);
        cloudflare.accept_invitation(&one);
    }
    let operators = cloudflare.add_group("Operators", vec![PolicySpec::allow(&admin, &whole)]);
    let policies = vec![
        PolicySpec::allow(&admin, &whole),
        PolicySpec { access: Access::Deny, ..PolicySpec::allow(&dns.id, &zone) },
    ];
    let jane = cloudflare.add_member("jane@elsewhere.example", policies);
    cloudflare.accept_invitation(&jane);
    cloudflare.join_group(&operators, &jane);
    cloudflare.set_two_factor(&jane, false);
    let odd = cloudflare.add_member("odd@example.com", vec![PolicySpec::allow(&dns.id, &whole)]);
    cloudflare.accept_invitation(&odd);
    cloudflare.make_odd(Route::ListMembers, &odd, Oddity::TextInPolicies("access", "perhaps"));
    cloudflare.invite("never@example.com", vec![PolicySpec::allow(&dns.id, &whole)]);
    cloudflare.set_sso_domain("example.com", "verified", true);
    cloudflare.enforce_two_factor(false);
    cloudflare.set_organization(&"0".repeat(32), "The Group");
    let account = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
    let gives = |name: &str| json!([{ "id": "a".repeat(32), "effect": "allow", "resources": { &account: "*" }, "permission_groups": [{ "id": "b".repeat(32), "name": name }] }]);
    cloudflare.add_token("never used", None, &json!({ "policies": gives("DNS Write") }));
    cloudflare.add_token(
        "used long ago",
        None,
        &json!({ "last_used_on": "2026-01-01T00:00:00Z", "policies": gives("DNS Write") }),
    );
    cloudflare.add_token("ends soon", None, &json!({ "expires_on": "2027-01-28T00:00:00Z" }));
    let ending = json!([{
        "id": "a".repeat(32), "effect": "allow", "resources": { &account: "*" },
        "permission_groups": [{ "id": "c".repeat(32), "name": "Old Write", "meta": { "deprecated": "true", "eol_at": "2027-02-01" } }],
    }]);
    cloudflare.add_token("of old", None, &json!({ "policies": ending }));
    cloudflare.add_token("makes tokens", None, &json!({ "policies": gives("API Tokens Write") }));
    cloudflare.add_token("of who left", Some("gone@example.com"), &json!({ "policies": gives("DNS Write") }));
    let reader = cloudflare.add_member("reader@example.com", vec![PolicySpec::allow(&dns.id, &zone)]);
    cloudflare.accept_invitation(&reader);
    cloudflare.add_token(
        "stronger",
        Some("reader@example.com"),
        &json!({ "policies": gives("Account Settings Write") }),
    );
    let scopes: Vec<String> = (0..60).map(|n| format!("scope{n}:write")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    cloudflare.add_oauth_client("wide", "public", &scopes);
    deployment.sync().await;
    // Of an invitation only the time shows that it is old.
    deployment.wait(Duration::from_hours(24 * 8)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let open = deployment.list("/v1/findings", 1000).await;
    let found: BTreeSet<&str> = open.iter().map(|one| one["rule"].as_str().unwrap()).collect();
    let all: BTreeSet<&str> = c1_cloudflare::findings::RULES.iter().map(|rule| rule.name).collect();
    // With tests of their own: two that need more than an account, one that excludes another, and what cannot be read.
    let elsewhere =
        BTreeSet::from(["privileged-idle", "overdue-revoke", "too-few-super-administrators", "member-unreadable"]);
    let missing: Vec<_> = all.difference(&found).filter(|rule| !elsewhere.contains(*rule)).collect();
    assert!(missing.is_empty(), "{missing:?} found nothing");
    let evidence =
        |rule: &str, about: &str| open.iter().any(|one| one["rule"] == rule && one.to_string().contains(about));
    for (rule, about) in [
        ("direct-beside-group", "jane@elsewhere.example"),
        ("deny-policy", "jane@elsewhere.example"),
        ("unknown-policy", "odd@example.com"),
        ("privileged-outside-domains", "elsewhere.example is not one"),
        ("invitation-old", "never@example.com"),
        ("token-of-somebody-who-left", "of who left"),
        ("token-stronger-than-creator", "stronger"),
        ("token-powerful", "makes tokens"),
        ("permission-group-ending", "Old Write"),
        ("organization-unseen", "The Group"),
    ] {
        assert!(evidence(rule, about), "{rule} says nothing of {about}: {open:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_open_again_at_the_end_and_that_is_told_once() {
    let deployment = Deployment::start().await.synced().await;
    deployment.wait(Duration::from_mins(1)).await;
    let id = ids(&items(&deployment, "rule=token-without-expiry").await)[0].to_owned();
    let path = format!("/v1/findings/{id}");
    let until = deployment.world().now().plus_secs(86_400).to_string();
    let body = json!({ "reason": "so agreed", "until": until });
    assert_eq!(deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await.status, 200);
    let events = async || -> Vec<Value> {
        let finding = deployment.json(&path).await;
        finding["events"].as_array().unwrap().iter().map(|event| event["what"].clone()).collect()
    };
    for n in 0..2 {
        deployment.cloudflare.add_member(&format!("new{n}@example.com"), vec![]);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(events().await, ["accepted", "opened"], "it is accepted");
    }
    for n in 2..5 {
        deployment.wait(Duration::from_hours(25)).await;
        deployment.cloudflare.add_member(&format!("new{n}@example.com"), vec![]);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(events().await, ["open_again", "accepted", "opened"]);
    }
    let finding = deployment.json(&path).await;
    assert_eq!((&finding["state"], &finding["accepted"]), (&json!("open"), &Value::Null));
    assert!(finding["events"][0]["detail"].as_str().unwrap().contains("so agreed"), "{finding}");
    let told = deployment.json("/v1/operations?of=findings").await;
    assert!(told["items"].as_array().unwrap().iter().any(|event| event["what"] == "open_again"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn who_holds_more_than_when_that_was_accepted_is_found_again_and_who_holds_less_is_not() {
    let deployment = Deployment::start().await;
    let cloudflare = deployment.cloudflare.clone();
    let whole = cloudflare.account_resource_group();
    let may = |label: &str| PolicySpec::allow(cloudflare.permission_group(label).unwrap().id, whole.clone());
    let who = ["grows", "shrinks", "stays"].map(|who| {
        let policies = if who == "grows" { vec![may("admin")] } else { vec![may("admin"), may("super_admin")] };
        let member = cloudflare.add_member(&format!("{who}@example.com"), policies);
        cloudflare.set_two_factor(&member, false);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        (member, format!("/v1/findings/privileged-without-two-factor:user:{user}"))
    });
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(1)).await;
    let until = deployment.world().now().plus_secs(30 * 86_400).to_string();
    let body = json!({ "reason": "so agreed", "until": until });
    for (_, path) in &who {
        assert_eq!(deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await.status, 200);
    }
    cloudflare.add_policy(&who[0].0, may("super_admin"));
    cloudflare.set_policies(&who[1].0, vec![may("admin")]);
    // What is told otherwise alone.
    cloudflare.change_email(&who[2].0, "called.otherwise@example.com");
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let told = async |place: usize| {
        let finding = deployment.json(&who[place].1).await;
        (finding["state"].clone(), finding["events"].clone())
    };
    let (state, events) = told(0).await;
    assert_eq!(
        (state, &events[0]["what"], &events[1]["what"]),
        (json!("open"), &json!("open_again"), &json!("accepted"))
    );
    assert!(events[0]["detail"].as_str().unwrap().contains("Super Administrator"), "{events}");
    for place in [1, 2] {
        let (state, events) = told(place).await;
        assert_eq!((state, &events[0]["what"]), (json!("accepted"), &json!("accepted")), "{events}");
    }
}

/// Between what somebody reads and what they say of it there may be a sync.
#[tokio::test(start_paused = true)]
async fn what_goes_further_than_was_read_is_not_accepted_by_who_says_what_they_read() {
    let deployment = Deployment::start().await;
    let cloudflare = deployment.cloudflare.clone();
    let whole = cloudflare.account_resource_group();
    let may = |label: &str| PolicySpec::allow(cloudflare.permission_group(label).unwrap().id, whole.clone());
    let member = cloudflare.add_member("grows@example.com", vec![may("admin")]);
    cloudflare.set_two_factor(&member, false);
    let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
    let path = format!("/v1/findings/privileged-without-two-factor:user:{user}");
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(1)).await;
    let read = deployment.json(&path).await["evidence"].clone();
    cloudflare.add_policy(&member, may("super_admin"));
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let grown = deployment.json(&path).await["evidence"].clone();
    assert!(!read.to_string().contains("Super Admin") && grown.to_string().contains("Super Admin"), "{read} {grown}");
    let until = deployment.world().now().plus_secs(30 * 86_400).to_string();
    let body = json!({ "reason": "so agreed", "until": until });
    let with = |evidence: &Value| json!({ "reason": "so agreed", "until": until, "evidence": evidence });
    for (body, status, state) in [
        (with(&read), 409, "open"),
        (with(&grown), 200, "accepted"),
        (with(&read), 409, "accepted"),
        // Who does not say what they read accepts what there is.
        (body, 200, "accepted"),
    ] {
        let answer = deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        if status == 409 {
            assert_eq!(assert_is_problem(&answer, &path), "finding_changed");
        }
        let finding = deployment.json(&path).await;
        assert_eq!(finding["state"], state, "{body}: {finding}");
        let times = finding["events"].as_array().unwrap().iter().filter(|event| event["what"] == "accepted").count();
        assert!(status == 200 || times == usize::from(state == "accepted"), "{finding}");
    }
}

/// Who was accepted with an address of one domain was not accepted with one of any other.
#[tokio::test(start_paused = true)]
async fn who_has_an_address_of_another_domain_than_was_accepted_is_found_again() {
    let deployment = Deployment::start().await;
    let cloudflare = deployment.cloudflare.clone();
    cloudflare.set_sso_domain("example.com", "verified", true);
    let admin = cloudflare.permission_group("admin").unwrap().id;
    let policy = PolicySpec::allow(admin, cloudflare.account_resource_group());
    let who = [
        ("joe@partner.example", "joe@elsewhere.example", "open"),
        // The control: called otherwise, in the same domain.
        ("ann@partner.example", "ann.married@Partner.example", "accepted"),
    ]
    .map(|(before, after, state)| {
        let member = cloudflare.add_member(before, vec![policy.clone()]);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        (member, after, state, format!("/v1/findings/privileged-outside-domains:user:{user}"))
    });
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(1)).await;
    let body = json!({ "reason": "so agreed", "until": "2027-03-01" });
    for (_, _, _, path) in &who {
        assert_eq!(deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await.status, 200);
    }
    for (member, after, _, _) in &who {
        cloudflare.change_email(member, after);
    }
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    for (_, after, state, path) in &who {
        let finding = deployment.json(path).await;
        assert_eq!(finding["state"], *state, "{after}: {finding}");
    }
}

/// What a token may do is each permission group on each object.
#[tokio::test(start_paused = true)]
async fn a_token_that_may_do_elsewhere_what_it_could_do_there_is_found_again_and_one_with_less_is_not() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let may = |name: &str, on: &[&str]| {
        let key = |zone: &&str| format!("com.cloudflare.api.account.zone.{}", zone.repeat(32));
        let on: serde_json::Map<String, Value> = on.iter().map(|zone| (key(zone), json!("*"))).collect();
        let groups = json!([{ "id": "b".repeat(32), "name": name }]);
        json!({ "id": "a".repeat(32), "effect": "allow", "resources": on, "permission_groups": groups })
    };
    let both = json!([may("DNS Write", &["1"]), may("Cache Purge", &["2"])]);
    let which = [
        ("dealt out otherwise", both.clone(), json!([may("DNS Write", &["2"]), may("Cache Purge", &["1"])]), "open"),
        // The controls: less, and the same in fewer policies.
        ("less", both, json!([may("DNS Write", &["1"])]), "accepted"),
        (
            "together",
            json!([may("DNS Write", &["1"]), may("DNS Write", &["2"])]),
            json!([may("DNS Write", &["1", "2"])]),
            "accepted",
        ),
    ]
    .map(|(name, before, after, state)| {
        let token = cloudflare.add_token(name, None, &json!({ "policies": before }));
        let path = format!("/v1/findings/token-without-expiry:api_token:{token}");
        (token, after, state, path)
    });
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let body = json!({ "reason": "so agreed", "until": "2027-03-01" });
    for (token, after, _, path) in &which {
        assert_eq!(deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await.status, 200);
        cloudflare.change_token(token, &json!({ "policies": after }));
    }
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    for (_, _, state, path) in &which {
        let finding = deployment.json(path).await;
        assert_eq!(finding["state"], *state, "{finding}");
    }
}

/// Of more than 200 it is kept how many there are, and not which.
#[tokio::test(start_paused = true)]
async fn one_super_administrator_more_than_was_accepted_is_more_however_many_there_are() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let minimal = PolicySpec::allow(
        cloudflare.permission_group("minimal_account_access").unwrap().id,
        cloudflare.account_resource_group(),
    );
    let members: Vec<String> =
        (0..203).map(|n| cloudflare.add_member(&format!("admin{n}@example.com"), vec![minimal.clone()])).collect();
    let path = "/v1/findings/too-many-super-administrators:account";
    let state = async |count: usize| {
        are_super_administrators(cloudflare, &members[..count]);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
        let finding = deployment.json(path).await;
        assert!(finding["evidence"].as_str().unwrap().starts_with(&format!("{count}, ")), "{finding}");
        finding["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(202).await, "open");
    let body = json!({ "reason": "so agreed", "until": "2027-03-01" });
    assert_eq!(deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await.status, 200);
    // The controls: as many, fewer, and as many again.
    for count in [202, 201, 202] {
        assert_eq!(state(count).await, "accepted", "{count}");
    }
    assert_eq!(state(203).await, "open");
}

/// A later version was in use, and this one is put back.
#[tokio::test(start_paused = true)]
async fn what_a_rule_of_a_later_version_found_is_left_to_that() {
    let deployment = Deployment::start().await.synced().await;
    deployment.wait(Duration::from_mins(1)).await;
    for rule in ["a-later-rule", "deny-policy"] {
        let found = "INSERT INTO finding (id, rule, severity, about, name, evidence, opened_at)
            VALUES (?1 || ':user:1', ?1, 'high', 'user:1', 'Jane', 'x', 0)";
        deployment.world().query(found, &[rule.into()]).unwrap();
    }
    for n in 0..2 {
        deployment.cloudflare.add_member(&format!("new{n}@example.com"), vec![]);
        deployment.sync().await;
        deployment.wait(Duration::from_hours(25)).await;
    }
    let state = async |rule: &str| deployment.json(&format!("/v1/findings/{rule}:user:1")).await["state"].clone();
    assert_eq!((state("a-later-rule").await, state("deny-policy").await), (json!("open"), json!("closed")));
}

#[tokio::test(start_paused = true)]
async fn what_is_so_is_never_told_to_be_over_however_many_there_are() {
    let deployment = Deployment::start().await;
    let never = async |count: usize| {
        let made: Vec<String> =
            (0..count).map(|n| deployment.cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
        made
    };
    let open = async || -> BTreeSet<String> {
        let all = deployment.list("/v1/findings", 1000).await;
        let of = all.iter().filter(|one| one["rule"] == "token-without-expiry" && one["name"] != "others");
        of.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let more = async || -> String {
        let told = deployment.get("/v1/findings/token-without-expiry:more").await;
        let told = told.json();
        if told["state"] == "open" { told["evidence"].as_str().unwrap().to_owned() } else { String::new() }
    };
    never(505).await;
    let first = open().await;
    assert_eq!((first.len(), more().await.is_empty()), (500, false));
    // Others whose ids sort before those that were found.
    let made = never(40).await;
    let second = open().await;
    assert!(second.is_superset(&first), "{:?}", first.difference(&second));
    assert!(made.iter().any(|id| second.contains(&format!("token-without-expiry:api_token:{id}"))), "the control");
    let hidden = more().await;
    // What is over is told to be, wherever it sorts.
    let last = second.last().unwrap().clone();
    let [_, _, token] = last.split(':').collect::<Vec<_>>()[..] else { panic!("{last}") };
    deployment.cloudflare.remove_token(token);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let third = open().await;
    assert_eq!(second.difference(&third).collect::<Vec<_>>(), [&last]);
    assert_eq!(more().await, hidden, "nobody of those that are not listed went");
}

/// As long as it is not known who is there, tokens of who left are not certain to be over, listed or not.
#[tokio::test(start_paused = true)]
async fn how_many_there_are_beside_those_that_are_listed_is_over_only_where_that_is_certain() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let jane = cloudflare.add_member("jane@example.com", vec![]);
    cloudflare.accept_invitation(&jane);
    let tokens: Vec<String> =
        (0..505).map(|n| cloudflare.add_token(&format!("ci {n}"), Some("jane@example.com"), &json!({}))).collect();
    let more = async || {
        let listed = open_of(&deployment, &[LEFT]).await;
        let more = listed.iter().find(|(id, _)| id.ends_with(":more")).map(|(_, evidence)| evidence.clone());
        (listed.len() - usize::from(more.is_some()), more)
    };
    assert_eq!(more().await, (0, None));
    cloudflare.remove_member(&jane);
    let five = Some("5 more than are listed one by one".to_owned());
    assert_eq!(more().await, (500, five.clone()));
    // Somebody new cannot be read: whoever made a token may be that one.
    let policy =
        PolicySpec::allow(&cloudflare.permission_group("admin").unwrap().id, cloudflare.account_resource_group());
    let odd = cloudflare.add_member("odd@example.com", vec![policy]);
    for route in [Route::ListMembers, Route::GetMember] {
        cloudflare.make_odd(route, &odd, Oddity::NullInPolicies("permission_groups"));
    }
    assert_eq!(more().await, (500, five.clone()));
    for token in &tokens[..20] {
        cloudflare.remove_token(token);
    }
    let (listed, told) = more().await;
    assert!(told == five && (480..500).contains(&listed), "tokens that are gone are: {listed} {told:?}");
    cloudflare.make_even();
    assert_eq!(more().await, (485, None), "it is certain now");
}

/// Makes these the only Super Administrators, by policies of their own.
fn are_super_administrators(cloudflare: &Cloudflare, members: &[String]) {
    let (top, whole) = (cloudflare.permission_group("super_admin").unwrap().id, cloudflare.account_resource_group());
    let minimal = cloudflare.permission_group("minimal_account_access").unwrap().id;
    for one in cloudflare.memberships() {
        let is_one = members.contains(&one.id);
        cloudflare.set_policies(&one.id, vec![PolicySpec::allow(if is_one { &top } else { &minimal }, &whole)]);
    }
}

/// A token of a member's that edits members, which is more than any role but one gives.
fn strong_token(cloudflare: &Cloudflare, of: &str) -> String {
    let account = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
    let policies = json!([{
        "id": "a".repeat(32), "effect": "allow", "resources": { &account: "*" },
        "permission_groups": [{ "id": "b".repeat(32), "name": "Account Settings Write" }],
    }]);
    cloudflare.add_token(of, Some(of), &json!({ "policies": policies }))
}

const FEW: &str = "too-few-super-administrators";
const STRONGER: &str = "token-stronger-than-creator";
const LEFT: &str = "token-of-somebody-who-left";

/// Of these rules the ids and the evidence of what is open.
async fn open_of(deployment: &Deployment, rules: &[&str]) -> Vec<(String, String)> {
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let mut open = deployment.list("/v1/findings", 1000).await;
    open.retain(|one| rules.iter().any(|rule| one["rule"] == *rule));
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let mut open: Vec<_> = open.iter().map(|one| (text(one, "id"), text(one, "evidence"))).collect();
    open.sort();
    open
}

/// As a revoke counts those of whom enough must be left.
#[tokio::test(start_paused = true)]
async fn who_is_denied_super_administrator_is_not_counted_as_one() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let members: Vec<String> =
        (0..3).map(|n| cloudflare.add_member(&format!("admin{n}@example.com"), Vec::new())).collect();
    are_super_administrators(cloudflare, &members);
    assert_eq!(open_of(&deployment, &[FEW]).await, []);
    let deny = |label: &str| {
        let id = cloudflare.permission_group(label).unwrap().id;
        let policy = PolicySpec::allow(id, cloudflare.account_resource_group());
        for member in &members[1..] {
            cloudflare.add_policy(member, PolicySpec { access: Access::Deny, ..policy.clone() });
        }
    };
    deny("admin");
    assert_eq!(open_of(&deployment, &[FEW]).await, [], "the control: they are denied another role");
    deny("super_admin");
    let open = open_of(&deployment, &[FEW]).await;
    assert!(open.len() == 1 && open[0].1.starts_with("1, "), "{open:?}");
}

/// An answer that leaves the names out takes nothing from the token.
#[tokio::test(start_paused = true)]
async fn a_token_is_powerful_still_where_its_permission_groups_are_told_without_names() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let token = strong_token(cloudflare, "jane@example.com");
    let open = open_of(&deployment, &["token-powerful"]).await;
    let is_found = |open: &[(String, String)]| open.iter().any(|(id, _)| id.ends_with(&token));
    assert!(is_found(&open), "{open:?}");
    let account = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
    let set = |group: Value| {
        let policy = json!({
            "id": "a".repeat(32), "effect": "allow", "resources": { &account: "*" }, "permission_groups": [group],
        });
        cloudflare.change_token(&token, &json!({ "policies": [policy] }));
    };
    set(json!({ "id": "b".repeat(32) }));
    assert_eq!(open_of(&deployment, &["token-powerful"]).await, open);
    set(json!({ "id": "c".repeat(32), "name": "DNS Write" }));
    assert!(!is_found(&open_of(&deployment, &["token-powerful"]).await), "the control: it has another one");
}

/// What was never set is told as nothing, and is off.
#[tokio::test(start_paused = true)]
async fn a_second_factor_for_which_nothing_was_ever_set_is_not_asked_for() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let told = async || {
        let open = open_of(&deployment, &["second-factor-not-enforced"]).await.len();
        (open, deployment.json("/v1/status").await["posture"]["enforces_two_factor"].clone())
    };
    cloudflare.enforce_two_factor(true);
    assert_eq!(told().await, (0, json!(true)));
    // A record without the settings says nothing of it.
    cloudflare.make_odd(Route::GetAccount, &cloudflare.account_id(), Oddity::Without("settings"));
    assert_eq!(told().await, (0, json!(true)));
    cloudflare.make_even();
    cloudflare.unset_two_factor();
    assert_eq!(told().await, (1, json!(false)));
}

/// A list of domains with nothing on it may be an answer that left them out.
#[tokio::test(start_paused = true)]
async fn who_is_outside_of_the_domains_is_so_still_where_their_list_is_empty_all_of_a_sudden() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let admin = cloudflare.permission_group("admin").unwrap().id;
    let jane = cloudflare
        .add_member("jane@elsewhere.example", vec![PolicySpec::allow(&admin, cloudflare.account_resource_group())]);
    cloudflare.accept_invitation(&jane);
    cloudflare.set_sso_domain("example.com", "verified", true);
    let rules = ["privileged-outside-domains"];
    let open = open_of(&deployment, &rules).await;
    assert!(open.iter().any(|(_, evidence)| evidence.contains("elsewhere.example")), "{open:?}");
    cloudflare.answer_null(Route::ListSsoConnectors);
    for _ in 0..2 {
        assert_eq!(open_of(&deployment, &rules).await, open);
        let status = deployment.json("/v1/status").await;
        assert!(status["posture"]["sso_domains"]["example.com"].is_string(), "{status}");
        let told = &status["capabilities"]["sso_domains"];
        assert!(told["on"] == false && told["message"].as_str().unwrap().contains("told of some before"), "{told}");
    }
    deployment.wait(Duration::from_mins(15)).await;
    assert_eq!(open_of(&deployment, &rules).await, open, "the list is empty, and says of nobody that they are inside");
    assert_eq!(deployment.json("/v1/status").await["posture"]["sso_domains"], json!({}));
    // The control: a list decides.
    cloudflare.make_even();
    cloudflare.set_sso_domain("elsewhere.example", "verified", true);
    let open = open_of(&deployment, &rules).await;
    assert!(!open.iter().any(|(_, evidence)| evidence.contains("elsewhere.example")), "it is one's own: {open:?}");
}

/// Its name in DNS proved whose it is, and who pauses the login of its people may mean to hide who is outside.
#[tokio::test(start_paused = true)]
async fn a_domain_whose_single_sign_on_is_paused_is_ones_own_still() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let admin = cloudflare.permission_group("admin").unwrap().id;
    let add = |domain: &str| {
        let policy = PolicySpec::allow(&admin, cloudflare.account_resource_group());
        cloudflare.add_member(&format!("jane@{domain}"), vec![policy]);
    };
    let (outside, sister, later) = ("elsewhere.example", "sister.example", "later.example");
    [outside, sister].into_iter().for_each(add);
    let found = async || {
        let open = open_of(&deployment, &["privileged-outside-domains"]).await;
        [outside, sister, later].map(|domain| open.iter().any(|(_, evidence)| evidence.contains(domain)))
    };
    for (one, other) in [(true, true), (true, false), (false, true), (false, false)] {
        cloudflare.set_sso_domain("example.com", "verified", one);
        cloudflare.set_sso_domain(sister, "verified", other);
        assert_eq!(found().await, [true, false, false], "in use: {one}, {other}");
    }
    add(later);
    assert_eq!(found().await, [true, false, true], "both are paused");
    // The control: one that nobody proved is no more one's own than any other.
    cloudflare.set_sso_domain(sister, "pending", true);
    assert_eq!(found().await, [true; 3]);
}

/// The proof is gone, and no list says any more who is one's own.
#[tokio::test(start_paused = true)]
async fn who_was_outside_of_the_domains_stays_found_where_none_is_known_any_more() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let may = |label: &str| {
        PolicySpec::allow(cloudflare.permission_group(label).unwrap().id, cloudflare.account_resource_group())
    };
    let add = |email: &str| {
        let member = cloudflare.add_member(email, vec![may("admin")]);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        (member, format!("privileged-outside-domains:user:{user}"))
    };
    let rules = ["privileged-outside-domains"];
    let (jane, ann) = (add("jane@elsewhere.example"), add("ann@other.example"));
    cloudflare.set_sso_domain("example.com", "verified", true);
    let open = open_of(&deployment, &rules).await;
    let is_found = |id: &String| open.iter().any(|(found, _)| found == id);
    assert!(is_found(&jane.1) && is_found(&ann.1), "{open:?}");
    cloudflare.set_sso_domain("example.com", "pending", true);
    add("joe@third.example");
    assert_eq!(open_of(&deployment, &rules).await, open, "neither over nor more");
    // What they hold is known all the same.
    let path = format!("/v1/findings/{}", jane.1);
    let body = json!({ "reason": "so agreed", "until": "2027-03-01" });
    assert_eq!(deployment.request("POST", &format!("{path}/accept"), &[], Some(&body)).await.status, 200);
    let state = async |id: &str| {
        open_of(&deployment, &rules).await;
        deployment.json(&format!("/v1/findings/{id}")).await["state"].clone()
    };
    assert_eq!(state(&jane.1).await, "accepted");
    cloudflare.add_policy(&jane.0, may("super_admin"));
    assert_eq!(state(&jane.1).await, "open");
    // The controls: who holds nothing of it any more, and a list that decides.
    cloudflare.set_policies(&ann.0, vec![may("minimal_account_access")]);
    assert_eq!(state(&ann.1).await, "closed");
    cloudflare.set_sso_domain("elsewhere.example", "verified", true);
    assert_eq!(state(&jane.1).await, "closed");
}

/// An answer that leaves it out turns no second factor on.
#[tokio::test(start_paused = true)]
async fn who_has_no_second_factor_is_found_until_one_is_told() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let admin = cloudflare.permission_group("admin").unwrap().id;
    let policy = PolicySpec::allow(admin, cloudflare.account_resource_group());
    let jane = cloudflare.add_member("jane@example.com", vec![policy]);
    let user = cloudflare.membership(&jane).unwrap().user_id.unwrap();
    let id = format!("privileged-without-two-factor:user:{user}");
    let is_open = async || {
        let open = open_of(&deployment, &["privileged-without-two-factor"]).await;
        open.iter().any(|(found, _)| *found == id)
    };
    let untold = |oddity: &Oddity| {
        for route in [Route::ListMembers, Route::GetMember] {
            cloudflare.make_odd(route, &jane, oddity.clone());
        }
    };
    let flag = Oddity::UserWithout("two_factor_authentication_enabled");
    cloudflare.set_two_factor(&jane, true);
    assert!(!is_open().await);
    untold(&flag);
    assert!(!is_open().await, "what is not told is not found");
    cloudflare.make_even();
    cloudflare.set_two_factor(&jane, false);
    assert!(is_open().await);
    for oddity in [Oddity::Without("user"), flag] {
        untold(&oddity);
        for _ in 0..2 {
            assert!(is_open().await, "{oddity:?}");
        }
        cloudflare.make_even();
        assert!(is_open().await, "{oddity:?}");
    }
    // The control: one that is told.
    cloudflare.set_two_factor(&jane, true);
    assert!(!is_open().await);
}

/// Cloudflare answers for a while, or for as long as a group has an invalid policy, that nobody can be told to be in it.
#[tokio::test(start_paused = true)]
async fn who_is_not_known_to_be_in_a_user_group_is_not_said_to_lack_what_it_gives() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let (top, whole) = (cloudflare.permission_group("super_admin").unwrap().id, cloudflare.account_resource_group());
    let made: Vec<(String, String)> = (0..3)
        .map(|n| {
            let email = format!("jane{n}@example.com");
            let id = cloudflare.add_member(&email, vec![PolicySpec::allow(&top, &whole)]);
            cloudflare.accept_invitation(&id);
            (id, email)
        })
        .collect();
    are_super_administrators(cloudflare, &[made[0].0.clone()]);
    let gives = |name: &str| cloudflare.add_group(name, vec![PolicySpec::allow(&top, &whole)]);
    let roots = gives("Roots");
    for (id, _) in &made[1..] {
        cloudflare.join_group(&roots, id);
    }
    let token = strong_token(cloudflare, &made[1].1);
    let rules = [FEW, STRONGER];
    cloudflare.break_group(&roots, true);
    assert_eq!(open_of(&deployment, &rules).await, [], "it is not known whether they are in it");
    cloudflare.break_group(&roots, false);
    assert_eq!(open_of(&deployment, &rules).await, [], "they are");
    for (id, _) in &made[1..] {
        cloudflare.leave_group(&roots, id);
    }
    let open = open_of(&deployment, &rules).await;
    let ids: Vec<&str> = open.iter().map(|(id, _)| id.as_str()).collect();
    let stronger = format!("{STRONGER}:api_token:{token}");
    assert_eq!(ids, [stronger.as_str(), &format!("{FEW}:account")], "the control: they are not");
    // What is found is found, whatever cannot be told of a new group.
    let others = gives("Others");
    cloudflare.break_group(&others, true);
    cloudflare
        .set_policies(&made[0].0, vec![PolicySpec::allow(cloudflare.permission_group("admin").unwrap().id, &whole)]);
    assert_eq!(open_of(&deployment, &rules).await, open, "neither over nor more, since Others may give it to somebody");
    cloudflare.break_group(&others, false);
    let without: Vec<_> = open_of(&deployment, &rules).await;
    assert!(without.iter().any(|(id, evidence)| id.starts_with(FEW) && evidence.starts_with('0')), "{without:?}");
    cloudflare.remove_token(&token);
    are_super_administrators(cloudflare, &[made[0].0.clone(), made[1].0.clone()]);
    cloudflare.break_group(&others, true);
    assert_eq!(open_of(&deployment, &rules).await, [], "what is certain is over all the same");
}

#[tokio::test(start_paused = true)]
async fn an_account_without_user_groups_has_nobody_in_any() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let first = cloudflare.memberships().into_iter().find(|one| one.status == "accepted").unwrap();
    are_super_administrators(cloudflare, &[first.id]);
    for (fault, is_told) in [(Fault::status(403, 10_000), false), (Fault::status(404, 7003), true)] {
        cloudflare.clear_faults();
        cloudflare.fail_randomly(Route::ListUserGroups, 1.0, fault);
        let open = open_of(&deployment, &[FEW]).await;
        assert_eq!(!open.is_empty(), is_told, "{open:?}");
    }
}

/// Of somebody new whose record is odd nothing earlier is known: neither what they hold nor, in the worst case, that they are there.
#[tokio::test(start_paused = true)]
async fn nothing_is_said_to_be_beyond_a_creator_whose_record_could_not_be_read() {
    for oddity in [
        Oddity::NullInPolicies("permission_groups"),
        Oddity::Null("policies"),
        Oddity::Text("id", "odd"),
        Oddity::TextInPolicies("access", "perhaps"),
    ] {
        let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await.synced().await;
        let cloudflare = &deployment.cloudflare;
        let (top, whole) =
            (cloudflare.permission_group("super_admin").unwrap().id, cloudflare.account_resource_group());
        let jane = cloudflare.add_member("jane@example.com", vec![PolicySpec::allow(&top, &whole)]);
        cloudflare.accept_invitation(&jane);
        strong_token(cloudflare, "jane@example.com");
        let what = format!("{oddity:?}");
        cloudflare.make_odd(Route::ListMembers, &jane, oddity.clone());
        cloudflare.make_odd(Route::GetMember, &jane, oddity);
        let rules = [STRONGER, LEFT];
        assert_eq!(open_of(&deployment, &rules).await, [], "{what}");
        cloudflare.make_even();
        assert_eq!(open_of(&deployment, &rules).await, [], "{what}");
        let minimal = cloudflare.permission_group("minimal_account_access").unwrap().id;
        cloudflare.set_policies(&jane, vec![PolicySpec::allow(minimal, &whole)]);
        let open = open_of(&deployment, &rules).await;
        assert!(open.len() == 1 && open[0].0.starts_with(STRONGER), "{what}, the control: {open:?}");
        cloudflare.remove_member(&jane);
        let open = open_of(&deployment, &rules).await;
        assert!(open.len() == 1 && open[0].0.starts_with(LEFT), "{what}, the control: {open:?}");
    }
}

/// What a policy of a user group does may not be known, and then its members may be anything.
#[tokio::test(start_paused = true)]
async fn nothing_is_said_to_be_beyond_a_creator_whose_user_group_has_a_policy_of_an_unknown_kind() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let whole = cloudflare.account_resource_group();
    let gives = |label: &str| vec![PolicySpec::allow(cloudflare.permission_group(label).unwrap().id, &whole)];
    let jane = cloudflare.add_member("jane@example.com", gives("minimal_account_access"));
    cloudflare.accept_invitation(&jane);
    strong_token(cloudflare, "jane@example.com");
    let roots = cloudflare.add_group("Roots", gives("super_admin"));
    cloudflare.join_group(&roots, &jane);
    for route in [Route::ListUserGroups, Route::GetUserGroup] {
        cloudflare.make_odd(route, &roots, Oddity::TextInPolicies("access", "perhaps"));
    }
    assert_eq!(open_of(&deployment, &[STRONGER]).await, [], "it may give it all");
    cloudflare.leave_group(&roots, &jane);
    let open = open_of(&deployment, &[STRONGER]).await;
    assert!(open.len() == 1, "the control: {open:?}");
}

/// Somebody whose record cannot be read may be a Super Administrator, and is no more than one.
#[tokio::test(start_paused = true)]
async fn who_cannot_be_read_is_counted_among_those_who_may_be_super_administrators() {
    let deployment = Deployment::with(small(), |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let jane = cloudflare.add_member("jane@example.com", vec![]);
    cloudflare.accept_invitation(&jane);
    let first = cloudflare.memberships().into_iter().find(|one| one.status == "accepted" && one.id != jane).unwrap().id;
    let one = vec![first];
    are_super_administrators(cloudflare, &one);
    for route in [Route::ListMembers, Route::GetMember] {
        cloudflare.make_odd(route, &jane, Oddity::NullInPolicies("permission_groups"));
    }
    assert_eq!(open_of(&deployment, &[FEW]).await, [], "there may be two");
    are_super_administrators(cloudflare, &[]);
    let open = open_of(&deployment, &[FEW]).await;
    assert!(open.len() == 1 && open[0].1.starts_with('0'), "there is one at most: {open:?}");
    are_super_administrators(cloudflare, &one);
    assert_eq!(open_of(&deployment, &[FEW]).await, open, "there may be two, and it is not certain to be over");
    cloudflare.make_even();
    let open = open_of(&deployment, &[FEW]).await;
    assert!(open.len() == 1 && open[0].1.starts_with('1'), "the control: {open:?}");
}

/// What Cloudflare tells of a token in a form that this version cannot read is not missing there.
#[tokio::test(start_paused = true)]
async fn what_is_told_of_a_token_and_cannot_be_read_is_not_said_to_be_missing() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let rules = ["token-without-expiry", "token-without-ip-condition", "token-never-used"];
    let made = [
        json!({ "expires_on": "some day", "last_used_on": 7, "condition": { "request_ip": "192.0.2.1" } }),
        json!({ "expires_on": {}, "last_used_on": "x", "condition": { "request_ip": { "in": "192.0.2.1" } } }),
        json!({ "expires_on": 1_800_000_000, "last_used_on": [], "condition": { "request_ip": { "not_in": [1] } } }),
        json!({ "expires_on": false, "last_used_on": true, "condition": [] }),
    ];
    let odd: Vec<String> = made.iter().map(|more| cloudflare.add_token("odd", None, more)).collect();
    let plain = cloudflare.add_token("plain", None, &json!({ "last_used_on": null, "condition": null }));
    let ids: Vec<String> = rules.iter().map(|rule| format!("{rule}:api_token:{plain}")).collect();
    let open: Vec<String> = open_of(&deployment, &rules).await.into_iter().map(|(id, _)| id).collect();
    let mut expected = ids.clone();
    expected.sort();
    assert_eq!(open, expected, "the control is the plain one");
    let listed = deployment.json("/v1/tokens").await["items"].clone();
    for token in listed.as_array().unwrap().iter().filter(|token| token["is_connector"] == false) {
        let fields = if token["id"] == json!(plain) {
            json!([])
        } else {
            json!(["condition.request_ip", "expires_on", "last_used_on"])
        };
        assert_eq!(token["unreadable"], fields, "{token}");
    }
    let told = deployment.json("/v1/status").await["capabilities"]["tokens"].clone();
    assert_eq!(told["unreadable"]["count"], 4 * 3, "{told}");
    assert!(told["message"].as_str().unwrap().contains(odd.iter().min().unwrap().as_str()), "{told}");
}

/// The token may not read the list any more: the days since are no days without use.
#[tokio::test(start_paused = true)]
async fn a_list_of_tokens_that_is_not_read_any_more_makes_no_token_look_unused() {
    let spec = Spec { tokens: 0, ..small() };
    let deployment = Deployment::with(spec, |options| options.var("FINDINGS_UNUSED_DAYS", "5")).await;
    let cloudflare = &deployment.cloudflare;
    let at = |days: i64| deployment.world().now().plus_secs(days * 86_400).to_string();
    let add = |used: Value, ends: i64| {
        cloudflare.add_token("ci", None, &json!({ "issued_on": at(-1), "last_used_on": used, "expires_on": at(ends) }))
    };
    let (old, daily, new) = (add(json!(at(-30)), 400), add(json!(at(-1)), 33), add(Value::Null, 400));
    // One of which something cannot be read keeps nobody from being found.
    add(json!(7), 400);
    let rules = ["token-unused", "token-never-used", "token-about-to-expire"];
    let open = open_of(&deployment, &rules).await;
    // The simulator never says that the connector's own is used.
    let listed = deployment.json("/v1/tokens").await["items"].clone();
    let own = listed.as_array().unwrap().iter().find(|token| token["is_connector"] == true).unwrap()["id"].clone();
    let own = format!("token-unused:api_token:{}", own.as_str().unwrap());
    let others: BTreeSet<&String> = open.iter().map(|(id, _)| id).filter(|id| **id != own).collect();
    assert_eq!(others, BTreeSet::from([&format!("token-unused:api_token:{old}")]));
    cloudflare.revoke_permission(Permission::Tokens);
    let ending = format!("token-about-to-expire:api_token:{daily}");
    for day in 0..7 {
        deployment.wait(Duration::from_hours(24)).await;
        let (ends, others): (Vec<_>, Vec<_>) =
            open_of(&deployment, &rules).await.into_iter().partition(|(id, _)| *id == ending);
        assert_eq!(others, open, "{day}");
        // An end is known, whenever it was read: it is told on its day.
        assert_eq!(ends.len(), usize::from(day >= 3), "{day}");
    }
    // The control: read again, they are what they look like.
    cloudflare.allow_permission(Permission::Tokens);
    let open: BTreeSet<String> = open_of(&deployment, &rules).await.into_iter().map(|(id, _)| id).collect();
    let expected = [
        own,
        format!("token-unused:api_token:{old}"),
        format!("token-unused:api_token:{daily}"),
        ending,
        format!("token-never-used:api_token:{new}"),
    ];
    assert_eq!(open, BTreeSet::from(expected));
}

/// What happened while the log was not read nobody knows: that it is read again is no sign of life.
#[tokio::test(start_paused = true)]
async fn who_is_idle_is_so_after_a_gap_in_the_log_too_until_a_sign_of_life() {
    let deployment =
        Deployment::with(small(), |options| options.var("AUDIT_FEED", "on").var("FINDINGS_IDLE_DAYS", "1")).await;
    let cloudflare = deployment.cloudflare.clone();
    let admin = cloudflare.permission_group("admin").unwrap().id;
    let policy = PolicySpec::allow(admin, cloudflare.account_resource_group());
    let jane = cloudflare.add_member("jane@example.com", vec![policy]);
    let user = cloudflare.membership(&jane).unwrap().user_id.unwrap();
    let deployment = deployment.synced().await;
    let path = format!("/v1/findings/privileged-idle:user:{user}");
    let told = async |is_open: bool, what: &str| {
        // Something is published, and held against the rules.
        cloudflare.invite(&format!("new{}@example.com", deployment.now()), vec![]);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
        let finding = deployment.json(&path).await;
        assert_eq!(finding["state"], if is_open { "open" } else { "closed" }, "{what}: {finding}");
        (finding["since"].clone(), finding["evidence"].clone())
    };
    deployment.wait(Duration::from_hours(26)).await;
    told(true, "silent for a day").await;
    // The control: by another threshold it is over, though nobody did anything.
    deployment.set_var("FINDINGS_IDLE_DAYS", "900");
    told(false, "not for long enough").await;
    deployment.set_var("FINDINGS_IDLE_DAYS", "1");
    let before = told(true, "long enough again").await;
    let since = async || deployment.json("/v1/status").await["audit_log"]["since"].clone();
    let log_since = since().await;
    cloudflare.revoke_permission(Permission::Audit);
    for hours in [48, 96] {
        deployment.wait(Duration::from_hours(48)).await;
        assert_eq!(told(true, "the log is not read").await, before, "{hours}");
    }
    cloudflare.allow_permission(Permission::Audit);
    deployment.wait(Duration::from_hours(2)).await;
    assert_ne!(since().await, log_since, "there is a gap");
    assert_eq!(told(true, "the log is read again").await, before);
    cloudflare.log_entry(None, 0, json!({ "actor": { "id": user } }));
    deployment.wait(Duration::from_mins(2)).await;
    told(false, "a sign of life").await;
}

/// However long ago the last sign of life was.
#[tokio::test(start_paused = true)]
async fn who_was_made_privileged_a_moment_ago_is_not_idle_and_is_so_long_after_it() {
    let deployment =
        Deployment::with(small(), |options| options.var("AUDIT_FEED", "on").var("FINDINGS_IDLE_DAYS", "1")).await;
    let cloudflare = deployment.cloudflare.clone();
    let policy = |label: &str| {
        PolicySpec::allow(cloudflare.permission_group(label).unwrap().id, cloudflare.account_resource_group())
    };
    let of = |member: &str| format!("privileged-idle:user:{}", cloudflare.membership(member).unwrap().user_id.unwrap());
    let minimal = "minimal_account_access";
    let [jane, joe, bob, ann] = [("jane", minimal), ("joe", minimal), ("bob", minimal), ("ann", "admin")]
        .map(|(name, label)| cloudflare.add_member(&format!("{name}@example.com"), vec![policy(label)]));
    let operators = cloudflare.add_group("Operators of all", vec![policy("admin")]);
    let engineers = cloudflare.add_group("Engineers", vec![policy(minimal)]);
    cloudflare.join_group(&engineers, &bob);
    let deployment = deployment.synced().await;
    let idle = async || {
        // Something is published, and held against the rules.
        cloudflare.invite(&format!("new{}@example.com", deployment.now()), vec![]);
        let open = open_of(&deployment, &["privileged-idle"]).await;
        [&jane, &joe, &bob, &ann].map(|member| open.iter().any(|(id, _)| *id == of(member)))
    };
    deployment.wait(Duration::from_hours(26)).await;
    cloudflare.add_policy(&jane, policy("admin"));
    cloudflare.join_group(&operators, &joe);
    cloudflare.set_group_policies(&engineers, vec![policy(minimal), policy("admin")]);
    // The controls: who was privileged all the time, also where more was given since.
    cloudflare.add_policy(&ann, policy("super_admin"));
    assert_eq!(idle().await, [false, false, false, true]);
    deployment.wait(Duration::from_hours(26)).await;
    assert_eq!(idle().await, [true; 4]);
}

#[tokio::test(start_paused = true)]
async fn who_holds_a_permission_group_that_ends_on_several_domains_is_one_of_those_who_hold_it() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let dns = cloudflare.permission_groups().into_iter().find(|one| one.name == "Domain DNS").unwrap().id;
    let zones: Vec<String> = (0..5).map(|n| cloudflare.add_zone(&format!("shop{n}.example"))).collect();
    let on = |zones: &[String]| zones.iter().map(|zone| PolicySpec::allow(&dns, zone)).collect::<Vec<_>>();
    for one in cloudflare.memberships() {
        let minimal = cloudflare.permission_group("minimal_account_access").unwrap().id;
        cloudflare.set_policies(&one.id, vec![PolicySpec::allow(minimal, cloudflare.account_resource_group())]);
    }
    let jane = cloudflare.add_member("jane@example.com", on(&zones));
    cloudflare.accept_invitation(&jane);
    for (field, text) in [("deprecated", "true"), ("eol_at", "2027-02-01")] {
        cloudflare.make_odd(Route::ListPermissionGroups, &dns, Oddity::MetaText(field, text));
    }
    let rule = ["permission-group-ending"];
    let told = async || open_of(&deployment, &rule).await.into_iter().map(|(_, evidence)| evidence).collect::<String>();
    assert!(told().await.contains("held by 1 members and user groups"), "{}", told().await);
    // The control: each of several holders counts, and so does a user group.
    let joe = cloudflare.add_member("joe@example.com", on(&zones[..2]));
    cloudflare.accept_invitation(&joe);
    cloudflare.add_group("DNS", on(&zones));
    assert!(told().await.contains("held by 3 members and user groups"), "{}", told().await);
}

/// Who has accepted may have no login that is told, and is listed as an invitation then.
#[tokio::test(start_paused = true)]
async fn an_accepted_invitation_is_no_old_one_though_its_login_is_not_told() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let minimal = cloudflare.permission_group("minimal_account_access").unwrap().id;
    let policies = || vec![PolicySpec::allow(&minimal, cloudflare.account_resource_group())];
    let (odd, old) =
        (cloudflare.invite("odd@example.com", policies()), cloudflare.invite("never@example.com", policies()));
    deployment.sync().await;
    cloudflare.accept_invitation(&odd);
    for route in [Route::ListMembers, Route::GetMember] {
        cloudflare.make_odd(route, &odd, Oddity::UserText("id", ""));
    }
    deployment.wait(Duration::from_hours(24 * 8)).await;
    let open = open_of(&deployment, &["invitation-old"]).await;
    let listed = deployment.json("/v1/invitations").await.to_string();
    assert!(listed.contains(&odd), "it is published as one: {listed}");
    let about = |member: &str| open.iter().any(|(id, _)| id.ends_with(member));
    assert!(!about(&odd), "{open:?}");
    assert!(about(&old), "the control: {open:?}");
}

/// That it cannot be judged any more is no reason to call it over.
#[tokio::test(start_paused = true)]
async fn what_was_found_beyond_a_creator_stays_where_the_creator_cannot_be_judged_any_more() {
    let deployment = Deployment::with(Spec { tokens: 0, ..small() }, |options| options).await;
    let cloudflare = &deployment.cloudflare;
    let whole = cloudflare.account_resource_group();
    let minimal = cloudflare.permission_group("minimal_account_access").unwrap().id;
    let jane = cloudflare.add_member("jane@example.com", vec![PolicySpec::allow(minimal, &whole)]);
    cloudflare.accept_invitation(&jane);
    let token = strong_token(cloudflare, "jane@example.com");
    let open = open_of(&deployment, &[STRONGER]).await;
    assert_eq!(open.len(), 1, "{open:?}");
    for route in [Route::ListMembers, Route::GetMember] {
        cloudflare.make_odd(route, &jane, Oddity::TextInPolicies("access", "perhaps"));
    }
    assert_eq!(open_of(&deployment, &[STRONGER]).await, open);
    // The control: without the token it is over. That there is none any more is believed the second time.
    cloudflare.remove_token(&token);
    open_of(&deployment, &[STRONGER]).await;
    assert_eq!(open_of(&deployment, &[STRONGER]).await, []);
}
