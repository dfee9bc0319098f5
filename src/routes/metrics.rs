//! The state of things for Prometheus.

use super::asking::{self, Ports};
use super::http::{Answer, Content, Problem};
use crate::coordinator::{Command, Reply};

/// Shows them.
pub(super) async fn show<P: Ports>(ports: &P) -> Result<Answer, Problem> {
    match asking::ask(ports, Command::Metrics).await? {
        Reply::Metrics(text) => Ok(Answer {
            status: 200,
            headers: vec![
                ("Content-Type", "text/plain; version=0.0.4; charset=utf-8".to_owned()),
                ("Cache-Control", "no-store".to_owned()),
            ],
            body: Content::Bytes(text.into_bytes()),
        }),
        _ => Err(asking::failed()),
    }
}
