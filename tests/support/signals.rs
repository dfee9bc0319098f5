//! A connector that signals to C1's incoming webhook, whether it runs in the real runtime or without one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::Value;
use sim::cloudflare::KnownPermissionGroup;
use sim::conductorone::{ConductorOne, Proof};
use sim::harness::Options;

use crate::deployment::Deployment;
use crate::looks::{holds, roles, small};

pub(crate) const SECRET: &str = "hmac-secret-of-the-tests-0123456789";

/// A connector that signals by HMAC, to an account that was synced once.
pub(crate) struct SignalCase {
    pub(crate) deployment: Deployment,
    pub(crate) member: String,
    pub(crate) user: String,
    pub(crate) roles: Vec<KnownPermissionGroup>,
}

pub(crate) fn url(suffix: &str) -> String {
    format!("https://{}/api/v1/webhooks/incoming/listener{suffix}", sim::conductorone::HOST)
}

impl SignalCase {
    pub(crate) async fn start() -> Self {
        Self::with(|options| options.var("SIGNAL_URL", &url("")).var("SIGNAL_HMAC_SECRET", SECRET)).await
    }

    pub(crate) async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let deployment = Deployment::with(small(), change).await;
        deployment.c1.listen("listener", Proof::Hmac(SECRET.to_owned()));
        let roles = roles(&deployment.cloudflare);
        let policies = vec![holds(&deployment.cloudflare, &roles[0])];
        let member = deployment.cloudflare.add_member("jane.doe@example.com", policies);
        let user = deployment.cloudflare.membership(&member).unwrap().user_id.unwrap();
        let deployment = deployment.synced().await;
        Self { deployment, member, user, roles }
    }

    /// Somebody gives Jane a role in the dashboard.
    pub(crate) fn given(&self, role: &KnownPermissionGroup) {
        self.deployment.cloudflare.add_policy(&self.member, holds(&self.deployment.cloudflare, role));
    }

    pub(crate) async fn synced(&self) -> Value {
        self.deployment.cron_and_wait().await
    }

    /// Waits until the job of signals stands as wanted.
    pub(crate) async fn job(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let status = self.deployment.until("/v1/status", |status| wanted(signal(status))).await;
        signal(&status).clone()
    }

    pub(crate) async fn done(&self) -> Value {
        self.job(|job| job["state"] == "done").await
    }

    pub(crate) fn events(&self) -> Vec<String> {
        let events = self.deployment.c1.events();
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn signal(status: &Value) -> &Value {
    let jobs = status["jobs"].as_array().unwrap();
    jobs.iter().find(|job| job["kind"] == "signal").unwrap_or(&Value::Null)
}

pub(crate) fn statuses(c1: &ConductorOne) -> Vec<u16> {
    c1.inbound_requests().iter().map(|request| request.status).collect()
}
