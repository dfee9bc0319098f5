//! What tests of accounts and invitations ask of a connector, whether it runs in the real runtime or without one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::{Value, json};
use sim::client::Answer;
use sim::harness::Options;

use crate::deployment::Deployment;
use crate::looks::{assert_is_problem, holds, roles, small};

/// Somebody who has no account yet.
pub(crate) const NEWCOMER: &str = "new.hire@example.com";

/// A connector to a small account that was synced, with changed options.
pub(crate) async fn deployed(change: impl FnOnce(Options) -> Options) -> Deployment {
    Deployment::with(small(), change).await.synced().await
}

/// A connector to an account with an invitation of the newcomer that has one role; and the invitation.
pub(crate) async fn invited() -> (Deployment, String) {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let invitation = cloudflare.invite(NEWCOMER, vec![holds(cloudflare, &roles(cloudflare)[0])]);
    let deployment = deployment.synced().await;
    deployment.cloudflare.reset_log();
    (deployment, invitation)
}

pub(crate) async fn call(deployment: &Deployment, method: &str, path: &str, body: Option<&Value>) -> Answer {
    deployment.request(method, path, &[], body).await
}

pub(crate) fn assert_effect(answer: &Answer, effect: &str) {
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(effect)), "{}", answer.text());
}

pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_is_problem(answer, code);
}
