//! Questions about approvals, from their arrival to their answer: decided once, kept, and answered the same whenever they come again.

use super::memory::{World, failed};
use super::protocol::Reply;
use super::settings::Settings;
use crate::base::ports::{Level, SqlError};
use crate::decide::record::{self, Record};
use crate::decide::{self, Question};

/// Decides a question, or finds how it was decided.
pub(super) async fn decide<P: World>(ports: &P, settings: &Settings, question: &Question) -> Reply {
    match decided(ports, settings, question).await {
        Ok(record) => Reply::Decided(Box::new(record)),
        Err(error) => failed(ports, "the decisions cannot be used", &error),
    }
}

async fn decided<P: World>(ports: &P, settings: &Settings, question: &Question) -> Result<Record, SqlError> {
    if let Some(key) = &question.key
        && let Some(record) = record::find(ports, key)?
    {
        return Ok(record);
    }
    crate::connect::came_by(ports, "approvals")?;
    let facts = decide::gather(ports, settings.known_by(), question).await;
    let decision = decide::decide(&settings.rules, &facts, &question.parties);
    let record = record::keep(ports, &Record::new(question, &facts, &decision, ports.now()))?;
    let fields = serde_json::json!({
        "decision": record.id, "task": record.origin.task, "verdict": record.verdict, "rule": record.rule,
        "entitlement": record.entitlement, "email": record.email, "requester": record.origin.requester,
    });
    ports.log(Level::Info, "approval decided", fields);
    Ok(record)
}
