//! A deployed connector with everything around it, and the checks that hold for every test.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use sim::client::Answer;
use sim::cloudflare::{Cloudflare, Spec};
use sim::conductorone::{ConductorOne, Delivery, Outcome};
use sim::harness::workerd::CONNECTOR_TOKEN;
use sim::harness::{Options, World};

pub(crate) use crate::looks::{assert_is_account, assert_is_problem, atom, holds, roles, small, snapshot};
use crate::looks::{assert_shows_no_secret, check, secrets_of};

/// How long anything may take that the Worker does by itself.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// A Worker, its KV, and the simulators of the two services. At its end it checks that nothing leaked and that nobody
/// else was called.
pub(crate) struct Deployment {
    pub(crate) world: World,
    pub(crate) cloudflare: Cloudflare,
    answers: Mutex<Vec<String>>,
    /// What of the variables that it began with nobody may be shown.
    secrets: Vec<String>,
}

impl Deref for Deployment {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
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
        let options = change(options);
        let secrets = secrets_of(&options.vars);
        let world = World::start(Arc::new(cloudflare.clone()), ConductorOne::new(), options).await.unwrap();
        Self { world, cloudflare, answers: Mutex::default(), secrets }
    }

    /// What the Worker said, line by line.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.world.worker.logs()
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

    /// Fires the cron trigger and waits for the sync that it starts; gives the status.
    pub(crate) async fn cron_and_wait(&self) -> Value {
        self.world.sync().await.unwrap()
    }

    /// Looks at a path again and again until its JSON is as wanted, and gives that.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.world.wait_for(path, PATIENCE, wanted).await.unwrap()
    }

    /// Checks an answer, and keeps it for the check at the end.
    fn noted(&self, method: &str, path: &str, answer: Answer) -> Answer {
        let text = answer.text();
        check(method, path, &answer);
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
        secrets.push(sim::stores::s3::SECRET_ACCESS_KEY.to_owned());
        secrets.append(&mut self.secrets);
        secrets.extend(self.world.c1.api_secrets());
        assert_shows_no_secret(&answers, &logs, secrets);
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
