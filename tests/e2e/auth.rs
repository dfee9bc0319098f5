//! Who may read: the bearer token of `/v1`, and what is open.

use serde_json::json;
use sim::harness::workerd::CONNECTOR_TOKEN;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployment::{Deployment, assert_is_problem};

const ID: &str = "05784afa30c1afe1440e79d9351c7430";

/// Some routes of each sort: all of them are walked through natively (`tests/native/routes/rights.rs`).
fn routes() -> Vec<(&'static str, String)> {
    let mut routes: Vec<_> = ["status", "doctor", "users", "grants", "evidence", "export/sync.c1z"]
        .map(|name| ("GET", format!("/v1/{name}")))
        .into();
    routes.extend([
        ("POST", "/v1/sync".to_owned()),
        ("POST", "/v1/connect".to_owned()),
        ("GET", "/v1/connect".to_owned()),
        ("POST", "/v1/accounts".to_owned()),
        ("PUT", format!("/v1/roles/{ID}/members/{ID}")),
        ("DELETE", format!("/v1/scoped-roles/{ID}-{ID}/members/{ID}")),
    ]);
    routes
}

#[tokio::test]
async fn what_is_under_v1_wants_the_token_in_the_real_runtime() {
    let deployment = Deployment::start().await;
    let longer = format!("Bearer {CONNECTOR_TOKEN}x");
    let shorter = format!("Bearer {}", &CONNECTOR_TOKEN[..CONNECTOR_TOKEN.len() - 1]);
    let other = format!("Bearer {}", "x".repeat(CONNECTOR_TOKEN.len()));
    let bare = CONNECTOR_TOKEN.to_owned();
    let basic = format!("Basic {CONNECTOR_TOKEN}");
    let cloudflares = format!("Bearer {}", deployment.cloudflare.token());
    for (method, path) in routes() {
        let answer = deployment.raw(method, &path, &[], None).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(assert_is_problem(&answer, &path), "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let answer = deployment.raw(method, &path, &[("authorization", &other)], None).await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    for wrong in ["", "Bearer", "Bearer ", &longer, &shorter, &other, &bare, &basic, &cloudflares] {
        let answer = deployment.raw("GET", "/v1/users", &[("authorization", wrong)], None).await;
        assert_eq!(answer.status, 401, "a wrong token was let in");
    }
    assert_eq!(deployment.cloudflare.total_requests(), 0);
    assert_eq!(deployment.kv.operations(), []);
}

#[tokio::test]
async fn healthz_is_open_and_says_nothing_of_the_account() {
    let deployment = Deployment::start().await;
    let answer = deployment.raw("GET", "/healthz", &[], None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }));
    let wrong = deployment.raw("GET", "/healthz", &[("authorization", "Bearer wrong")], None).await;
    assert_eq!(wrong.status, 200, "nobody asks who asks");
    let head = deployment.raw("HEAD", "/healthz", &[], None).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn a_path_that_is_not_encoded_is_a_path_like_any_other() {
    let deployment = Deployment::start().await;
    let address = deployment.worker.url().trim_start_matches("http://").to_owned();
    for (line, status) in [("/healthz?x=J\u{fc}rgen", "200 "), ("/\u{e9}", "404 "), ("/v1/users?q=J\u{fc}rgen", "401 ")]
    {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!("GET {line} HTTP/1.1\r\nhost: connector\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(crate::deployment::PATIENCE, stream.read_to_end(&mut answer)).await;
        read.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
}
