//! What tests look at whether the Worker runs in the real runtime or its parts run without it: answers, lists, the account.

#![allow(dead_code, reason = "each test binary uses its own part")]

#[path = "openapi.rs"]
pub(crate) mod openapi;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sim::client::Answer;
use sim::cloudflare::{Access, Atom, Cloudflare, KnownPermissionGroup, PolicySpec, Spec, Truth};

use crate::deployment::Deployment;

/// An account that is small enough to look at.
pub(crate) fn small() -> Spec {
    Spec { members: 8, roles: 12, groups: 2, zones: 2, tokens: 2, ..Spec::default() }
}

impl Deployment {
    /// `GET` with the connector's token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], None).await
    }

    /// The JSON of a `GET` that must go well.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// All items of a list, page by page; every page must be of one generation.
    pub(crate) async fn list(&self, path: &str, limit: usize) -> Vec<Value> {
        let (mut items, mut generation, mut cursor) = (Vec::new(), None, String::new());
        for _ in 0..1000 {
            let page = self.json(&format!("{path}?limit={limit}{cursor}")).await;
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit, "{path}: {} items of {limit} at most", found.len());
            items.extend(found.iter().cloned());
            let of = generation.get_or_insert_with(|| page["generation"].clone());
            assert_eq!(*of, page["generation"], "{path}");
            match page["next_cursor"].as_str() {
                Some(next) => {
                    assert!(!found.is_empty(), "{path}: an empty page makes some clients stop");
                    cursor = format!("&cursor={next}");
                }
                None => return items,
            }
        }
        panic!("{path} has no end");
    }
}

/// Checks what holds for every answer.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let names: BTreeSet<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), answer.headers.len(), "{method} {path} has a header twice: {:?}", answer.headers);
    openapi::hold(method, path, answer.status, answer.header("content-type"), &answer.body);
    // The doctor's report is an answer to the question, not an error, even where it is not a good one.
    if answer.status < 400 || method == "HEAD" {
        return;
    }
    if path.starts_with("/scim") {
        assert_is_scim_error(answer, &format!("{method} {path}"));
    } else if !path.starts_with("/v1/doctor") {
        assert_is_problem(answer, &format!("{method} {path}"));
    }
}

/// Checks that an answer is an error as `application/problem+json` (RFC 9457) with a code; gives the code.
pub(crate) fn assert_is_problem(answer: &Answer, what: &str) -> String {
    let body = answer.json();
    let told = format!("{what}: {} {}", answer.status, answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{told}");
    assert_eq!(body["status"], answer.status, "{told}");
    for field in ["type", "title", "detail"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing: {told}");
    }
    assert_ne!(body["title"], "Error", "a status without its phrase: {told}");
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    assert!(!code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{told}");
    code
}

/// Checks that an answer is an error as SCIM tells it (RFC 7644 section 3.12).
fn assert_is_scim_error(answer: &Answer, what: &str) {
    let body = answer.json();
    let told = format!("{what}: {} {}", answer.status, answer.text());
    assert_eq!(answer.header("content-type"), Some("application/scim+json"), "{told}");
    assert_eq!(body["schemas"], serde_json::json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{told}");
    assert_eq!(body["status"], answer.status.to_string(), "{told}");
    assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{told}");
}

/// The account-wide roles that are legacy roles too, without Super Administrator.
pub(crate) fn roles(cloudflare: &Cloudflare) -> Vec<KnownPermissionGroup> {
    cloudflare.ordinary_roles()
}

/// The policy that gives a role on the whole account.
pub(crate) fn holds(cloudflare: &Cloudflare, role: &KnownPermissionGroup) -> PolicySpec {
    PolicySpec::allow(role.id.clone(), cloudflare.account_resource_group())
}

/// The same as an atom.
pub(crate) fn atom(cloudflare: &Cloudflare, role: &KnownPermissionGroup) -> Atom {
    (Access::Allow, role.id.clone(), cloudflare.account_resource_group())
}

/// What the lists say, in the form that the simulator's truth has.
pub(crate) async fn snapshot(deployment: &Deployment, limit: usize) -> Truth {
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    let ids = async |path: &str| -> BTreeSet<String> {
        let items = deployment.list(path, limit).await;
        let ids: BTreeSet<String> = items.iter().map(|item| text(item, "id")).collect();
        assert_eq!(ids.len(), items.len(), "{path} has an item twice");
        ids
    };
    let names = async |path: &str| -> BTreeMap<String, String> {
        let items = deployment.list(path, limit).await;
        items.iter().map(|item| (text(item, "id"), text(item, "name"))).collect()
    };
    Truth {
        users: ids("/v1/users").await,
        invitations: ids("/v1/invitations").await,
        roles: names("/v1/roles").await,
        scoped_roles: ids("/v1/scoped-roles").await,
        groups: names("/v1/groups").await,
        tokens: names("/v1/tokens").await,
        grants: ids("/v1/grants").await,
    }
}

/// Checks that the lists say what is true of the account now. Scoped roles that nobody holds any more may still be offered.
pub(crate) async fn assert_is_account(deployment: &Deployment) {
    let (found, mut truth) = (snapshot(deployment, 1000).await, deployment.cloudflare.truth());
    assert!(found.scoped_roles.is_superset(&truth.scoped_roles));
    truth.scoped_roles.clone_from(&found.scoped_roles);
    assert_eq!(found, truth);
}

/// The variables that are secret; of a key of S3 the id is not.
const SECRETS: [&str; 12] = [
    "CLOUDFLARE_API_TOKEN",
    "CONNECTOR_TOKEN",
    "CONNECTOR_TOKEN_PREVIOUS",
    "CONNECTOR_READ_TOKEN",
    "CONNECTOR_READ_TOKEN_PREVIOUS",
    "SIGNAL_URL",
    "SIGNAL_HMAC_SECRET",
    "SIGNAL_SIGNING_KEY",
    "C1_CLIENT_SECRET",
    "S3_SECRET_ACCESS_KEY",
    "S3_SESSION_TOKEN",
    "AZURE_SAS_URL",
];

/// What of a configuration nobody may be shown. What is shorter than any secret is a mistake that a test makes, and may be any word.
pub(crate) fn secrets_of(vars: &BTreeMap<String, String>) -> Vec<String> {
    let set = SECRETS.iter().filter_map(|name| vars.get(*name));
    set.map(|value| value.trim().to_owned()).filter(|value| value.len() >= 16).collect()
}

/// Checks that no answer, and no line of the log, shows a secret. A session's cookie stands in the answer that sets it, and nowhere else.
pub(crate) fn assert_shows_no_secret(answers: &[String], log: &[String], mut secrets: Vec<String>) {
    const COOKIE: &str = "set-cookie: ";
    // Of a shared access signature, and of a callback URL, which is a capability, the part that is secret.
    secrets.extend(["sig=", "/webhooks/callback/Chs"].map(str::to_owned));
    let set = answers.iter().flat_map(|answer| answer.lines()).filter_map(|line| line.strip_prefix(COOKIE));
    // What it may do, when it ends, and what proves that.
    secrets.extend(
        set.filter_map(|cookie| cookie.split([';', '.']).nth(2)).filter(|it| it.len() == 64).map(str::to_owned),
    );
    for text in answers.iter().chain(log) {
        for line in text.lines().filter(|line| !line.starts_with(COOKIE)) {
            for secret in &secrets {
                assert!(!line.contains(secret.as_str()), "a secret is shown: {text}");
            }
        }
    }
}
