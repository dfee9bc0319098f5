//! What is open, what the read token may do and what only the full one may: for every path and method, as the documents and the sources have
//! them, so that none is forgotten in a list.

use std::collections::BTreeSet;

use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::deployment::Deployment;
use crate::looks::openapi::DOCUMENT;
use crate::looks::small;

const READ_TOKEN: &str = "read-0123456789abcdef0123456789abcdef";
const ID: &str = "05784afa30c1afe1440e79d9351c7430";
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Each path of `/v1` that `page/openapi.mjs` has, which `tests/docs.rs` compares with the routes, with its methods.
fn described() -> Vec<(String, BTreeSet<String>)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let path = |template: &str| {
        let pair = format!("scoped-roles/{ID}-{ID}");
        let whole = template.replace("scoped-roles/{id}", &pair).replace("{id}", ID);
        whole.replace("{person}", ID).replace("{object}", "zone")
    };
    let methods = |item: &serde_json::Value| item.as_object().unwrap().keys().map(|it| it.to_uppercase()).collect();
    paths.iter().map(|(template, item)| (path(template), methods(item))).collect()
}

/// Each path under `/scim/v2`, by the patterns of `fn at` in its source, with both kinds of resources for a name.
fn of_scim() -> Vec<String> {
    let source = std::fs::read_to_string("src/routes/scim/endpoint.rs").unwrap();
    let body = source.split("fn at(").nth(1).unwrap();
    let patterns = body.lines().filter_map(|line| line.trim().strip_prefix('[')?.split_once(']'));
    let mut paths = BTreeSet::new();
    for (pattern, _) in patterns.filter(|(_, rest)| rest.contains("=>")) {
        for kind in ["Users", "Groups", "User"] {
            let segments = pattern.split(", ").enumerate().map(|(at, segment)| match segment.trim_matches('"') {
                word if word.len() + 2 == segment.len() => word,
                _ if at == 0 => kind,
                _ if kind == "User" => "User",
                _ => ID,
            });
            paths.insert(format!("/scim/v2/{}", segments.collect::<Vec<_>>().join("/")));
        }
    }
    paths.into_iter().collect()
}

/// What the read token may do: what it says nothing by, but for the doctor, whose requests the account's budget pays for.
fn only_reads(method: &str, path: &str) -> bool {
    let searches = path.starts_with("/scim/") && path.ends_with("/.search");
    let is_there = path != "/scim/v2/Me" && path != "/scim/v2/Bulk";
    (method == "GET" && path != "/v1/doctor") || searches || !is_there
}

async fn started() -> Deployment {
    Deployment::with(small(), |options| options.var("CONNECTOR_READ_TOKEN", READ_TOKEN)).await
}

/// Every route that wants a token, by method and path. What a path does not allow is 405 for everybody.
async fn routes(connector: &Deployment) -> Vec<(&'static str, String)> {
    let mut routes = vec![("GET", "/metrics".to_owned())];
    for (path, methods) in described() {
        for method in METHODS {
            if methods.contains(method) {
                routes.push((method, path.clone()));
            } else {
                assert_eq!(connector.raw(method, &path, &[], None).await.status, 405, "{method} {path}");
            }
        }
    }
    for path in of_scim() {
        for method in METHODS {
            if ![404, 405].contains(&connector.raw(method, &path, &[], None).await.status) {
                routes.push((method, path.clone()));
            }
        }
    }
    assert_eq!(connector.asked(), [""; 0], "what is not there asks for nothing");
    routes
}

#[tokio::test(start_paused = true)]
async fn every_route_under_v1_and_scim_wants_the_token_and_asks_for_nothing_before() {
    let connector = started().await;
    let other = format!("Bearer {}", "x".repeat(CONNECTOR_TOKEN.len()));
    let cloudflares = format!("Bearer {}", connector.cloudflare.token());
    let routes = routes(&connector).await;
    let count = |begin: &str| routes.iter().filter(|(_, path)| path.starts_with(begin)).count();
    assert!(count("/v1/") >= 46 && count("/scim/v2/") >= 21, "{routes:?}");
    for (method, path) in &routes {
        for headers in [&[][..], &[("authorization", other.as_str())], &[("authorization", &cloudflares)]] {
            let answer = connector.raw(method, path, headers, Some(b"{}".to_vec())).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
            if *method == "GET" {
                assert_eq!(connector.raw("HEAD", path, headers, None).await.status, 401, "HEAD {path}");
            }
            assert_eq!(connector.asked(), [""; 0], "{method} {path}");
        }
    }
    assert_eq!(connector.cloudflare.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_read_token_changes_nothing_by_any_route_and_the_full_one_is_let_in_everywhere() {
    let connector = started().await;
    let bearer = |token: &str| format!("Bearer {token}");
    let (read, full) = (bearer(READ_TOKEN), bearer(CONNECTOR_TOKEN));
    let routes = routes(&connector).await;
    assert!(routes.iter().filter(|(method, path)| !only_reads(method, path)).count() >= 19, "{routes:?}");
    for (method, path) in &routes {
        let answer = connector.raw(method, path, &[("authorization", &read)], Some(b"{}".to_vec())).await;
        if only_reads(method, path) {
            assert!(![401, 403].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
            connector.asked();
        } else {
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
            assert!(answer.text().contains("CONNECTOR_TOKEN"), "{method} {path}: {}", answer.text());
            assert_eq!(connector.asked(), [""; 0], "{method} {path}");
        }
    }
    assert_eq!(connector.cloudflare.total_requests(), 0);
    // Control: what stopped the read token was its right.
    for (method, path) in &routes {
        let answer = connector.raw(method, path, &[("authorization", &full)], Some(b"{}".to_vec())).await;
        assert!(![401, 403].contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
    }
}

#[tokio::test(start_paused = true)]
async fn the_scheme_may_be_written_in_any_case() {
    let deployment = Deployment::start().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let token = format!("{scheme} {CONNECTOR_TOKEN}");
        let answer = deployment.raw("GET", "/v1/status", &[("authorization", &token)], None).await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
}
