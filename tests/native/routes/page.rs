//! What the page's own routes answer: signing in by Cloudflare Access, and what the journal then says; the metrics.

use std::time::Duration;

use serde_json::{Value, json};
use sim::client::Answer;
use sim::conductorone::ConductorOne;
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::access::{AUDIENCE, TEAM, claims, token};
use crate::calls::NEWCOMER;
use crate::deployment::Deployment;
use crate::looks::small;

const EDITOR: &str = "Jane.Editor@example.com";
const OTHER: &str = "joe@example.com";

async fn behind_access() -> Deployment {
    let connector = Deployment::with(small(), |options| {
        options
            .var("ACCESS_TEAM_DOMAIN", TEAM)
            .var("ACCESS_AUD", AUDIENCE)
            .var("ACCESS_EDITORS", &EDITOR.to_lowercase())
    });
    connector.await.synced().await
}

/// The cookie that a sign-in gave, as a browser sends it back.
async fn signed_in(connector: &Deployment, email: &str) -> String {
    let sent = token(&connector.team.key(), &claims(email, connector.now()));
    let answer = connector.raw("GET", "/session/access", &[("cf-access-jwt-assertion", &sent)], None).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly; Secure; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn whom_access_lets_in_looks_an_editor_changes_access_and_the_journal_says_who() {
    let connector = behind_access().await;
    let signed_out = connector.raw("GET", "/session", &[("x-connector-page", "1")], None).await;
    assert_eq!(signed_out.header("link"), Some("</session/access>; rel=\"authenticate\""));
    let role = connector.list("/v1/roles", 100).await.into_iter().find(|role| role["grantable"] == true).unwrap();
    let person = connector
        .list("/v1/users", 100)
        .await
        .into_iter()
        .find(|person| !person["entitlements"].as_array().unwrap().contains(&role["entitlement_id"]));
    let path =
        format!("/v1/roles/{}/members/{}", role["id"].as_str().unwrap(), person.unwrap()["id"].as_str().unwrap());

    let cookie = signed_in(&connector, OTHER).await;
    let page = [("x-connector-page", "1"), ("cookie", cookie.as_str())];
    let session = connector.raw("GET", "/session", &page, None).await.json();
    assert_eq!((&session["right"], &session["who"]), (&json!("read"), &json!(OTHER)));
    assert_eq!(connector.raw("GET", "/v1/users", &page, None).await.status, 200);
    assert_eq!(connector.raw("PUT", &path, &page, None).await.json()["code"], "read_only_token");
    // Without the page's own header the cookie is of no use.
    assert_eq!(connector.raw("GET", "/v1/users", &page[1..], None).await.json()["code"], "not_from_the_page");

    let cookie = signed_in(&connector, EDITOR).await;
    let page = [("x-connector-page", "1"), ("cookie", cookie.as_str())];
    assert_eq!(connector.raw("PUT", &path, &page, None).await.json()["status"], "granted");
    let origin = connector.json("/v1/operations?limit=1").await["items"][0]["request"]["origin"].clone();
    assert_eq!((&origin["by"], &origin["requester"]), (&json!("page"), &json!(EDITOR)));
    // So it does of a sync, which may accept removals.
    assert_eq!(connector.raw("POST", "/v1/sync", &page, None).await.status, 202);
    assert_eq!(connector.json("/v1/status").await["running"]["by"], EDITOR);
    // And of connecting, be it that no app is found.
    let key = ConductorOne::new().credential("connector");
    connector.set_var("C1_CLIENT_ID", &key.client_id);
    connector.set_var("C1_CLIENT_SECRET", &key.client_secret);
    let answer = connector.raw("POST", "/v1/connect", &page, Some(br#"{"dry_run":true}"#.to_vec())).await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
    assert_eq!(connector.json("/v1/connect").await["by"], EDITOR);
    // The token's end is the session's.
    let ends = connector.raw("GET", "/session", &page, None).await.json()["ends_at"].clone();
    connector.wait(Duration::from_secs(901)).await;
    assert_eq!(connector.raw("GET", "/session", &page, None).await.status, 401, "{ends}");
}

/// An Access application is in front of a path as it is spelled: by another spelling, whoever has a token of it would pass it by.
#[tokio::test(start_paused = true)]
async fn the_way_in_by_access_has_one_spelling() {
    let connector = behind_access().await;
    let sent = token(&connector.team.key(), &claims(OTHER, connector.now()));
    for (path, status) in [
        ("/session/%61ccess", 404),
        ("/%73ession/access", 404),
        ("/session%2Faccess", 404),
        ("/session/access/", 404),
        ("/session/access", 303),
    ] {
        let answer = connector.raw("GET", path, &[("cf-access-jwt-assertion", &sent)], None).await;
        assert_eq!((answer.status, answer.header("set-cookie").is_some()), (status, status == 303), "{path}");
    }
}

/// A session is taken wherever a token is.
#[tokio::test(start_paused = true)]
async fn what_an_editor_changes_by_scim_has_their_name_in_the_journal_and_what_a_program_does_has_none() {
    let connector = behind_access().await;
    let people = connector.list("/v1/users", 100).await;
    let lacks =
        |person: &&Value, role: &Value| !person["entitlements"].as_array().unwrap().contains(&role["entitlement_id"]);
    let roles = connector.list("/v1/roles", 100).await.into_iter().filter(|role| role["grantable"] == true);
    let mut lacking = roles.map(|role| (people.iter().filter(|person| lacks(person, &role)).collect::<Vec<_>>(), role));
    let (lacking, role) = lacking.find(|(lacking, _)| lacking.len() > 1).unwrap();
    let group = format!("/scim/v2/Groups/role-{}", role["id"].as_str().unwrap());
    let cookie = signed_in(&connector, EDITOR).await;
    let bearer = format!("Bearer {CONNECTOR_TOKEN}");
    let by_page = [("x-connector-page", "1"), ("cookie", cookie.as_str())];
    let by_program = [("authorization", bearer.as_str())];
    for (headers, who, person) in
        [(&by_page[..], json!(EDITOR), lacking[0]), (&by_program[..], Value::Null, lacking[1])]
    {
        let ask = async |method: &str, path: &str, body: Value| {
            let body = (!body.is_null()).then(|| body.to_string().into_bytes());
            let answer = connector.raw(method, path, headers, body).await;
            assert!(answer.status < 300, "{method} {path}: {}", answer.text());
            let origin = connector.json("/v1/operations?limit=1").await["items"][0]["request"]["origin"].clone();
            assert_eq!((&origin["by"], &origin["requester"]), (&json!("scim"), &who), "{method} {path}");
        };
        let add = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "add", "path": "members", "value": [{ "value": person["id"] }] }],
        });
        ask("PATCH", &group, add).await;
        ask("POST", "/scim/v2/Users", json!({ "userName": NEWCOMER })).await;
        let invited = connector.cloudflare.membership_of(NEWCOMER).unwrap().id;
        ask("DELETE", &format!("/scim/v2/Users/invitation-{invited}"), Value::Null).await;
        assert!(connector.cloudflare.membership_of(NEWCOMER).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_token_of_this_team_and_application_is_let_in_nowhere_and_counted() {
    let connector = behind_access().await;
    let now = connector.now();
    let with = |name: &str, value: Value| {
        let mut claims = claims(OTHER, now);
        claims[name] = value;
        token(&connector.team.key(), &claims)
    };
    let refused = [
        ("nothing", String::new(), "not a JWT"),
        ("another team", with("iss", json!("https://evil.cloudflareaccess.com")), "another team"),
        ("another application", with("aud", json!(["0".repeat(64)])), "another application"),
        ("no audience", with("aud", json!(null)), "another application"),
        ("over", with("exp", json!(now)), "expired"),
        ("without an end", with("exp", json!(null)), "no exp"),
        ("to come", with("nbf", json!(now + 120)), "not valid yet"),
        ("a service", with("email", json!(null)), "no person"),
        ("no address", with("email", json!("jane")), "no person"),
    ];
    for (what, sent, why) in &refused {
        let answer = connector.raw("GET", "/session/access", &[("cf-access-jwt-assertion", sent)], None).await;
        assert_eq!(answer.json()["code"], "access_refused", "{what}");
        assert!(answer.text().contains(why), "{what}: {}", answer.text());
        assert_eq!(answer.header("set-cookie"), None, "{what}");
    }
    let metrics = connector.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let counted = format!("\nconnector_sign_ins_failed {}\n", refused.len());
    assert!(metrics.text().contains(&counted), "{}", metrics.text());
    for line in ["connector_sync_state{state=\"connected\"} 1", "connector_sync_runs_total{outcome=\"published\"} 1"] {
        assert!(metrics.text().lines().any(|told| told == line), "{line}: {}", metrics.text());
    }
    assert_eq!(connector.raw("GET", "/metrics", &[], None).await.status, 401);
    // Where no team is configured there is no such way in.
    let other = Deployment::start().await;
    assert_eq!(other.raw("GET", "/session/access", &[], None).await.status, 404);
}

/// A session that was opened ends after eight hours, whatever the browser keeps.
async fn assert_lasts_eight_hours(connector: &Deployment, opened: &Answer, path: &str) {
    let cookie = opened.header("set-cookie").unwrap();
    assert!(cookie.contains("; Max-Age=28800"), "{cookie}");
    let sent = cookie.split(';').next().unwrap().to_owned();
    let page = [("x-connector-page", "1"), ("cookie", sent.as_str())];
    connector.wait(Duration::from_mins(8 * 60 - 1)).await;
    assert_eq!(connector.raw("GET", path, &page, None).await.status, 200);
    connector.wait(Duration::from_mins(2)).await;
    assert_eq!(connector.raw("GET", path, &page, None).await.status, 401, "whatever the browser keeps");
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_fails_takes_its_time_and_one_that_succeeds_lasts_eight_hours() {
    let connector = Deployment::start().await;
    let sign_in = async |token: &str| {
        let (header, body) = ([("x-connector-page", "1")], json!({ "token": token }).to_string());
        let began = connector.millis();
        let answer = connector.raw("POST", "/session", &header, Some(body.into_bytes())).await;
        (answer, connector.millis() - began)
    };
    let (refused, took) = sign_in("not-the-token-0123456789abcdef0123456789").await;
    assert_eq!((refused.status, refused.header("set-cookie")), (401, None));
    assert!((1_000..2_000).contains(&took), "{took} ms");
    let metrics = connector.get("/metrics").await;
    assert!(metrics.text().contains("\nconnector_sign_ins_failed 1\n"), "{}", metrics.text());
    let (opened, took) = sign_in(CONNECTOR_TOKEN).await;
    assert!(took < 1_000, "{took} ms");
    assert_lasts_eight_hours(&connector, &opened, "/session").await;
}

#[tokio::test(start_paused = true)]
async fn a_session_by_access_lasts_eight_hours_at_most_however_long_the_teams_does() {
    let connector = behind_access().await;
    let mut claims = claims(OTHER, connector.now());
    claims["exp"] = json!(connector.now() + 30 * 24 * 60 * 60);
    let sent = token(&connector.team.key(), &claims);
    let opened = connector.raw("GET", "/session/access", &[("cf-access-jwt-assertion", &sent)], None).await;
    assert_lasts_eight_hours(&connector, &opened, "/v1/users").await;
}

#[tokio::test(start_paused = true)]
async fn whoever_access_is_set_to_let_in_otherwise_signs_in_again() {
    for (name, value) in [
        ("ACCESS_EDITORS", "somebody.else@example.com"),
        ("ACCESS_EDITORS", ""),
        ("ACCESS_AUD", "0000000000000000000000000000000000000000000000000000000000000000"),
        ("ACCESS_TEAM_DOMAIN", "other.cloudflareaccess.com"),
    ] {
        let connector = behind_access().await;
        let by_access = signed_in(&connector, EDITOR).await;
        let body = json!({ "token": CONNECTOR_TOKEN }).to_string().into_bytes();
        let opened = connector.raw("POST", "/session", &[("x-connector-page", "1")], Some(body)).await;
        let by_token = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let status = async |cookie: &str| {
            connector.raw("GET", "/v1/users", &[("x-connector-page", "1"), ("cookie", cookie)], None).await.status
        };
        assert_eq!([status(&by_access).await, status(&by_token).await], [200, 200], "the control: {name}");
        connector.set_var("PLAN", "paid");
        assert_eq!(status(&by_access).await, 200, "the control: what is no setting of Access ends none");
        connector.set_var(name, value);
        assert_eq!([status(&by_access).await, status(&by_token).await], [401, 200], "{name} = {value:?}");
    }
}

/// Another site's form must neither sign anybody in or out, nor learn whether somebody is.
#[tokio::test(start_paused = true)]
async fn the_sessions_own_route_is_for_the_page_alone() {
    let connector = Deployment::start().await;
    let body = json!({ "token": CONNECTOR_TOKEN }).to_string().into_bytes();
    let page = ("x-connector-page", "1");
    let opened = connector.raw("POST", "/session", &[page], Some(body.clone())).await;
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = ("cookie", cookie.as_str());
    let (host, foreign) = (("host", "connector.example.com"), ("origin", "https://evil.example.com"));
    for (method, body) in [("GET", None), ("POST", Some(body)), ("DELETE", None)] {
        for headers in
            [&[cookie][..], &[cookie, page, host, foreign], &[cookie, page, ("sec-fetch-site", "cross-site")]]
        {
            let answer = connector.raw(method, "/session", headers, body.clone()).await;
            assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("not_from_the_page")), "{method}");
            assert_eq!(answer.header("set-cookie"), None, "{method}");
        }
    }
    assert_eq!(connector.raw("GET", "/session", &[cookie, page], None).await.status, 200, "the control");
}
