//! The state of things for Prometheus.

use super::asking::{self, Ports};
use super::http::{Answer, Problem};
use crate::coordinator::{Command, Reply};

/// Shows them.
pub(super) async fn show<P: Ports>(ports: &P) -> Result<Answer, Problem> {
    match asking::ask(ports, Command::Metrics).await? {
        Reply::Metrics(text) => Ok(Answer::of(200, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())),
        _ => Err(asking::failed()),
    }
}
