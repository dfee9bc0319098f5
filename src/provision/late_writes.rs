//! A write of ours that came late, over later changes: an incident, and a line in its operation's trail.

use super::incident::{self, Incident};
use super::journal;
use super::open_writes::{OpenWrite, WriteKind};
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;

/// Notes that a write came late, over later changes, and what became of that.
pub(super) fn note(sql: &dyn Sql, write: &OpenWrite, and: &str, now: Timestamp) -> Result<(), SqlError> {
    let what = match write.kind {
        WriteKind::Policies => {
            let (lost, back) = write.undid();
            format!("A write to {}", write.email)
                + &format!(
                    " that Cloudflare had not answered was carried out late, over later changes ({} taken away, {} brought back)",
                    lost.len(),
                    back.len()
                )
        }
        WriteKind::Removal => {
            format!(
                "The removal of {}, which Cloudflare had not answered, was carried out late, over later changes",
                write.email
            )
        }
        WriteKind::Join(group) => {
            format!(
                "{} came late into the user group {group}, by a write that Cloudflare had not answered, over later changes",
                write.email
            )
        }
        WriteKind::Leave(group) => {
            format!(
                "{} left the user group {group} late, by a write that Cloudflare had not answered, over later changes",
                write.email
            )
        }
    };
    let incident = Incident {
        kind: incident::IncidentKind::LateWrite,
        at: now,
        operation: write.operation,
        member: write.member.to_string(),
        email: write.email.clone(),
        message: format!("{what}; {and}."),
        actor: None,
        through: None,
        reference: write.ray.clone(),
    };
    if incident::note(sql, &format!("late/{}", write.id), &incident)? {
        journal::remark(sql, write.operation, "its write came late, over later changes", now)?;
    }
    Ok(())
}
