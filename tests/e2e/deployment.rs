//! A deployed connector with everything around it, and the checks that hold for every test.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sim::client::Answer;
use sim::cloudflare::{Access, Atom, Cloudflare, KnownPermissionGroup, PolicySpec, Spec, Truth};
use sim::conductorone::{ConductorOne, Delivery, Outcome};
use sim::harness::workerd::CONNECTOR_TOKEN;
use sim::harness::{Options, World};

/// How long anything may take that the Worker does by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// A Worker, its KV, and the simulators of the two services. At its end it checks that nothing leaked and that nobody
/// else was called.
pub(crate) struct Deployment {
    pub(crate) world: World,
    pub(crate) cloudflare: Cloudflare,
    answers: Mutex<Vec<String>>,
}

impl Deref for Deployment {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// An account that is small enough to look at.
pub(crate) fn small() -> Spec {
    Spec { members: 8, roles: 12, groups: 2, zones: 2, tokens: 2, ..Spec::default() }
}

impl Deployment {
    /// A connector to a small account.
    pub(crate) async fn start() -> Self {
        Self::with(small(), |options| options).await
    }

    /// A connector to an account of one's own, with changed options.
    pub(crate) async fn with(spec: Spec, change: impl FnOnce(Options) -> Options) -> Self {
        let cloudflare = Cloudflare::new(spec);
        let options = Options::default()
            .var("CLOUDFLARE_ACCOUNT_ID", &cloudflare.account_id())
            .var("CLOUDFLARE_API_TOKEN", &cloudflare.token());
        let world = World::start(Arc::new(cloudflare.clone()), ConductorOne::new(), change(options)).await.unwrap();
        Self { world, cloudflare, answers: Mutex::default() }
    }

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

    /// Any request with the connector's token.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let answer = self.world.request(method, path, headers, body).await;
        self.noted(method, path, answer.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// Any request with these headers only.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        let answer = self.world.raw(method, path, headers, body).await;
        self.noted(method, path, answer.unwrap_or_else(|error| panic!("{method} {path}: {error}")))
    }

    /// Sends a webhook once.
    pub(crate) async fn send(&self, delivery: &Delivery) -> Answer {
        let answer = self.world.deliver_once(delivery).await;
        self.noted("POST", "the webhook", answer.unwrap_or_else(|error| panic!("webhook: {error}")))
    }

    /// Delivers a webhook by C1's rules.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let outcome = self.world.deliver(delivery).await;
        for answer in outcome.attempts.iter().filter_map(|attempt| attempt.result.as_ref().ok()) {
            self.noted("POST", "the webhook", answer.clone());
        }
        outcome
    }

    /// Runs a sync to its end, started by the cron trigger.
    pub(crate) async fn synced(self) -> Self {
        let status = self.world.sync().await.unwrap();
        assert_eq!(status["state"], "connected", "{status}");
        self
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

    /// Checks an answer, and keeps it for the check at the end.
    fn noted(&self, method: &str, path: &str, answer: Answer) -> Answer {
        let text = answer.text();
        // The doctor's report is an answer to the question, not an error, even where it is not a good one.
        if answer.status >= 400 && !path.starts_with("/v1/doctor") && method != "HEAD" {
            assert_is_problem(&answer, &format!("{method} {path}"));
        }
        let headers: Vec<String> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let headers = headers.join("\n");
        self.answers.lock().unwrap().push(format!("{method} {path} -> {}\n{headers}\n{text}", answer.status));
        answer
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the Worker said is what one wants to read now.
            let logs = self.world.worker.logs();
            eprintln!("--- the Worker's log, its end:\n{}", logs[logs.len().saturating_sub(40)..].join("\n"));
            return;
        }
        let answers = self.answers.lock().unwrap().clone();
        let logs = self.world.worker.logs();
        let mut secrets = vec![CONNECTOR_TOKEN.to_owned(), self.cloudflare.token(), self.cloudflare.user_token()];
        secrets.extend(self.world.c1.api_secrets());
        for text in answers.iter().chain(&logs) {
            for secret in &secrets {
                assert!(!text.contains(secret.as_str()), "a secret is shown: {text}");
            }
            assert!(
                !text.contains("/webhooks/callback/Chs"),
                "a callback URL, which is a capability, is shown: {text}"
            );
        }
        for text in &answers {
            for trace in ["panicked", "RuntimeError", ".rs:", "wasm-function", "    at "] {
                assert!(!text.contains(trace), "internals are shown: {text}");
            }
        }
        for line in &logs {
            assert!(!line.contains("panicked") && !line.contains("RuntimeError"), "the Worker panicked: {line}");
        }
        assert_eq!(self.world.gateway.unknown(), [], "hosts that nobody told the Worker to call");
        assert!(self.cloudflare.unexpected().is_empty(), "{:?}", self.cloudflare.unexpected());
        assert!(self.world.c1.unexpected_requests().is_empty(), "{:?}", self.world.c1.unexpected_requests());
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
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    assert!(!code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{told}");
    code
}

/// The account-wide roles that are legacy roles too, without Super Administrator.
pub(crate) fn roles(cloudflare: &Cloudflare) -> Vec<KnownPermissionGroup> {
    let groups = cloudflare.permission_groups().into_iter();
    groups.filter(|group| group.account_wide && group.role_id.is_some() && group.label != "super_admin").collect()
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
