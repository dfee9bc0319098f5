//! What is refused, and how that is said.

use serde_json::json;

use crate::deployment::Deployment;
use crate::looks::assert_is_problem;

const ID: &str = "05784afa30c1afe1440e79d9351c7430";

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let deployment = Deployment::start().await;
    for path in ["/", "/v1", "/v1/", "/v2/users", "/v1/zones", "/V1/users", "/healthz/", "/favicon.ico", "/v1/sync/now"]
    {
        let answer = deployment.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(assert_is_problem(&answer, path), "not_found");
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_sync_there_is_no_snapshot() {
    let deployment = Deployment::start().await;
    for path in ["/v1/users", "/v1/grants", "/v1/changes", &format!("/v1/users/{ID}")] {
        let answer = deployment.get(path).await;
        assert_eq!((answer.status, assert_is_problem(&answer, path).as_str()), (503, "no_snapshot"), "{path}");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.text().contains("/v1/sync"), "it says what to do: {}", answer.text());
    }
    let head = deployment.request("HEAD", "/v1/users", &[], None).await;
    assert_eq!((head.status, head.body.len()), (503, 0));
}

#[tokio::test(start_paused = true)]
async fn a_method_that_a_path_does_not_have_is_told_those_it_has() {
    let deployment = Deployment::start().await;
    let member = format!("/v1/roles/{ID}/members/{ID}");
    for (method, path, allow) in [
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/v1/users", "GET, HEAD"),
        ("PATCH", "/v1/status", "GET, HEAD"),
        ("GET", "/v1/sync", "POST"),
        ("HEAD", "/v1/sync", "POST"),
        ("GET", "/webhooks/conductorone", "POST"),
        ("POST", member.as_str(), "PUT, DELETE"),
        ("OPTIONS", "/v1/grants", "GET, HEAD"),
    ] {
        let answer = deployment.request(method, path, &[], None).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        if method != "HEAD" {
            assert_eq!(assert_is_problem(&answer, path), "method_not_allowed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ids_and_parameters_that_are_none_are_said_to_be_none() {
    let deployment = Deployment::start().await;
    let upper = ID.to_uppercase();
    for (method, path, code) in [
        ("GET", "/v1/users/jane".to_owned(), "invalid_request"),
        ("GET", format!("/v1/users/{upper}"), "invalid_request"),
        ("GET", "/v1/users/%2e%2e%2fstatus".to_owned(), "invalid_request"),
        ("GET", "/v1/roles/admin/members".to_owned(), "invalid_request"),
        ("GET", format!("/v1/scoped-roles/{ID}/members"), "invalid_request"),
        ("PUT", format!("/v1/roles/{ID}/members/jane@example.com"), "invalid_request"),
        ("GET", "/v1/users?limit=0".to_owned(), "invalid_request"),
        ("GET", "/v1/users?limit=1001".to_owned(), "invalid_request"),
        ("GET", "/v1/users?limit=-1".to_owned(), "invalid_request"),
        ("GET", "/v1/users?limit=ten".to_owned(), "invalid_request"),
        ("GET", "/v1/grants?cursor=nonsense".to_owned(), "invalid_cursor"),
        ("GET", "/v1/grants?cursor=e30".to_owned(), "invalid_cursor"),
        ("GET", "/v1/operations?since=yesterday".to_owned(), "invalid_request"),
        ("GET", format!("/v1/roles/{ID}/members?principal_type=robot"), "invalid_request"),
    ] {
        let answer = deployment.request(method, &path, &[], None).await;
        assert_eq!((answer.status, assert_is_problem(&answer, &path).as_str()), (400, code), "{path}");
    }
    for (what, body) in [("a text", json!("now")), ("an unknown field", json!({ "accept_removal": true }))] {
        let answer = deployment.request("POST", "/v1/sync", &[], Some(&body)).await;
        assert_eq!((answer.status, assert_is_problem(&answer, what).as_str()), (400, "invalid_request"), "{what}");
    }
    let large = deployment.request("POST", "/v1/sync", &[], Some(&json!({ "padding": "x".repeat(70_000) }))).await;
    assert_eq!((large.status, assert_is_problem(&large, "large").as_str()), (413, "body_too_large"));
    assert_eq!(deployment.cloudflare.total_requests(), 0);
}
