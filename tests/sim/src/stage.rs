//! The built Worker before a simulated account, as the demo and the bench look at it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::baton;
use crate::cloudflare::{Cloudflare, Spec};
use crate::conductorone::ConductorOne;
use crate::harness::{Options, StartError, World};

/// How many looks in a row may stay without an answer while a sync runs.
const MOST_UNANSWERED: usize = 10;

/// A running Worker and the account it governs.
#[derive(Debug)]
pub struct Stage {
    /// The Worker, its KV, and ConductorOne.
    pub world: Arc<World>,
    /// The account.
    pub cloudflare: Cloudflare,
    /// How large the account was made.
    pub size: baton::Size,
}

impl Stage {
    /// Makes an account and starts the Worker for it, with these variables on top of the harness's.
    pub async fn set(spec: Spec, vars: &[(&str, &str)]) -> Result<Self, StartError> {
        Self::with(spec, |options| vars.iter().fold(options, |options, (name, value)| options.var(name, value))).await
    }

    /// Makes an account and starts the Worker for it, with changed options.
    pub async fn with(spec: Spec, change: impl FnOnce(Options) -> Options) -> Result<Self, StartError> {
        let (token, account) = (spec.token.clone(), spec.account_id.clone());
        let (members, roles, tokens) = (spec.members, spec.roles, spec.tokens);
        let cloudflare = Cloudflare::new(spec);
        let pending = cloudflare.memberships().iter().filter(|member| member.status == "pending").count();
        let options = Options::default().var("CLOUDFLARE_API_TOKEN", &token).var("CLOUDFLARE_ACCOUNT_ID", &account);
        let world = Arc::new(World::start(Arc::new(cloudflare.clone()), ConductorOne::new(), change(options)).await?);
        Ok(Self { world, cloudflare, size: baton::Size { members, pending, roles, tokens } })
    }

    /// Runs the cron trigger and waits for the sync to end; `watch` sees the status, which is asked for every `poll`, and each fiftieth of the time that it took already.
    pub async fn sync(
        &self,
        patience: Duration,
        poll: Duration,
        mut watch: impl FnMut(&Value),
    ) -> Result<Value, String> {
        match self.world.worker.trigger_cron().await {
            Ok(outcome) if outcome == "ok" => {}
            Ok(outcome) => return Err(format!("the cron trigger ended with {outcome}")),
            Err(error) => return Err(format!("the cron trigger was not answered: {error}")),
        }
        let started = Instant::now();
        let mut unanswered = 0;
        loop {
            // The longer it takes, the more seldom a look: each costs processor time, which is measured.
            let poll = poll.max(started.elapsed() / 50);
            let status = match self.status().await {
                Ok(status) => status,
                // A busy machine may keep one look from its answer.
                Err(_) if unanswered < MOST_UNANSWERED => {
                    unanswered += 1;
                    tokio::time::sleep(poll).await;
                    continue;
                }
                Err(why) => return Err(why),
            };
            unanswered = 0;
            watch(&status);
            match status.get("state").and_then(Value::as_str) {
                Some("connected") => return Ok(status),
                Some("error") => return Err(format!("the sync failed: {}", reason(&status))),
                _ if started.elapsed() >= patience => {
                    return Err(format!("the sync did not end within {} s; last status: {status}", patience.as_secs()));
                }
                _ => tokio::time::sleep(poll).await,
            }
        }
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Value, String> {
        self.json("/v1/status").await
    }

    /// A path that is answered 200 with JSON.
    pub async fn json(&self, path: &str) -> Result<Value, String> {
        match self.world.get(path).await {
            Ok(answer) if answer.status == 200 => Ok(answer.json()),
            Ok(answer) => Err(format!("GET {path} was answered {}: {}", answer.status, answer.text())),
            Err(error) => Err(format!("GET {path} was not answered: {error}")),
        }
    }

    /// The ids of a list, all its pages.
    pub async fn ids(&self, list: &str) -> Result<BTreeSet<String>, String> {
        let mut ids = BTreeSet::new();
        let mut cursor = String::new();
        // Pages of 1,000: a list of the largest account that is simulated ends long before.
        for _ in 0..1_000 {
            let page = self.json(&format!("/v1/{list}?limit=1000&cursor={cursor}")).await?;
            let items = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for item in items {
                let id = item.get("id").and_then(Value::as_str);
                let id = id.ok_or_else(|| format!("an item of /v1/{list} has no id: {item}"))?;
                if !ids.insert(id.to_owned()) {
                    return Err(format!("/v1/{list} has {id} twice"));
                }
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => next.clone_into(&mut cursor),
                None => return Ok(ids),
            }
        }
        Err(format!("/v1/{list} does not end"))
    }

    /// Compares everything that the Worker serves with what is true of the account; gives the number of grants.
    pub async fn compare(&self) -> Result<usize, String> {
        let truth = self.cloudflare.truth();
        let grants = truth.grants.len();
        let expected = [
            ("users", truth.users),
            ("invitations", truth.invitations),
            ("roles", truth.roles.into_keys().collect()),
            ("scoped-roles", truth.scoped_roles),
            ("groups", truth.groups.into_keys().collect()),
            ("tokens", truth.tokens.into_keys().collect()),
            ("grants", truth.grants),
        ];
        for (list, expected) in expected {
            let served = self.ids(list).await?;
            let example = |ids: &mut dyn Iterator<Item = &String>| {
                ids.next().map_or_else(String::new, |id| format!(", such as {id}"))
            };
            let missing = expected.difference(&served).count();
            if missing > 0 {
                let example = example(&mut expected.difference(&served));
                return Err(format!("/v1/{list} lacks {missing} of {} that the account has{example}", expected.len()));
            }
            let invented = served.difference(&expected).count();
            if invented > 0 {
                let example = example(&mut served.difference(&expected));
                return Err(format!("/v1/{list} has {invented} that the account does not have{example}"));
            }
        }
        Ok(grants)
    }
}

/// Why the last run failed, as the status tells it.
fn reason(status: &Value) -> &str {
    status.pointer("/runs/0/message").and_then(Value::as_str).unwrap_or("the status does not say why")
}
