//! A connector that points C1's entitlements at itself, whether it runs in the real runtime or without one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use sim::client::Answer;
use sim::conductorone::{App, ConductorOne, Entitlement, PUBLIC_URL};
use sim::harness::Options;

use crate::deployment::Deployment;
use crate::looks::{roles, small};

/// The name of the API key.
pub(crate) const KEY: &str = "happy-otter-12345";

/// A connector with an API key, and a tenant with two apps, of which one is the Cloudflare account.
pub(crate) struct Connected {
    pub(crate) deployment: Deployment,
    pub(crate) app: App,
    /// The entitlements of the account's roles and, last, of a user group.
    pub(crate) roles: Vec<Entitlement>,
    pub(crate) access: Entitlement,
    /// An entitlement of the app that is none of the account's.
    pub(crate) other: Entitlement,
}

impl std::ops::Deref for Connected {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.deployment
    }
}

/// As [`Connected`], with more variables.
pub(crate) async fn prepared(change: impl FnOnce(Options) -> Options) -> Connected {
    // The same name is the same key in any tenant of this host.
    let key = ConductorOne::new().credential(KEY);
    let deployment = Deployment::with(small(), |options| {
        change(options.var("C1_CLIENT_ID", &key.client_id).var("C1_CLIENT_SECRET", &key.client_secret))
    })
    .await;
    deployment.c1.credential(KEY);
    let mut roles: Vec<Entitlement> =
        roles(&deployment.cloudflare).iter().map(|role| Entitlement::role(role.governed_as(), &role.name)).collect();
    // What tells this account's app from another account's, whose roles have the same ids.
    let group = deployment.cloudflare.add_group("Engineers", Vec::new());
    roles.push(Entitlement::new(&format!("group:{group}:member"), "Engineers Member"));
    assert_eq!(deployment.cron_and_wait().await["state"], "connected");
    let (access, other) = (Entitlement::access(), Entitlement::new("license:pro:assigned", "Pro Licence"));
    let app = App::default();
    let mut all = roles.clone();
    all.extend([access.clone(), other.clone()]);
    deployment.c1.add_app(&app, &all);
    let github = App { id: "2GitHubGitHubGitHubGitHubGi".into(), display_name: "GitHub".into() };
    deployment.c1.add_app(&github, &[Entitlement::new("repo:1234:admin", "Repository Admin")]);
    Connected { deployment, app, roles, access, other }
}

impl Connected {
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.request("POST", "/v1/connect", &[], Some(body)).await
    }

    /// A run, carried to its end.
    pub(crate) async fn run(&self, body: Value) -> Value {
        let answer = self.post(&body).await;
        assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, answer.text());
        self.ended().await
    }

    /// The report of the latest run, once it has ended.
    pub(crate) async fn ended(&self) -> Value {
        self.until("/v1/connect", |report| report["state"] != "running").await
    }

    /// What the app's entitlements that are the account's lead to.
    pub(crate) fn policies(&self) -> Vec<(Value, Value)> {
        self.ours().map(|entitlement| self.c1.policies(&entitlement.id)).collect()
    }

    pub(crate) fn ours(&self) -> impl Iterator<Item = &Entitlement> {
        self.roles.iter().chain([&self.access])
    }

    pub(crate) fn assert_wired(&self, webhook: &str) {
        let policy = json!({ "webhook": { "webhookId": webhook } });
        for (entitlement, policies) in self.ours().zip(self.policies()) {
            assert_eq!(policies, (policy.clone(), policy.clone()), "{}", entitlement.display_name);
        }
    }

    /// What was there before anything was connected.
    pub(crate) fn assert_untouched(&self) {
        for (entitlement, policies) in self.ours().zip(self.policies()) {
            assert_eq!(policies, (json!({ "connector": {} }), Value::Null), "{}", entitlement.display_name);
        }
    }

    /// The webhook that leads to the Worker.
    pub(crate) fn webhook(&self) -> String {
        let url = format!("{PUBLIC_URL}/webhooks/conductorone");
        let found: Vec<_> = self.c1.webhooks().into_iter().filter(|(_, _, to)| *to == url).collect();
        assert_eq!(found.len(), 1, "one webhook leads here: {found:?}");
        found[0].0.clone()
    }

    /// How many requests so far were meant to change something in C1.
    pub(crate) fn writes(&self) -> usize {
        self.c1.api_requests().iter().filter(|request| request.writes() && request.route.contains("/api/")).count()
    }
}

/// The lines of a kind.
pub(crate) fn lines(report: &Value, what: &str) -> Vec<String> {
    let all = report["lines"].as_array().unwrap().iter();
    all.filter(|line| line["what"] == what).map(|line| line["text"].as_str().unwrap().to_owned()).collect()
}
