//! How operations end that were not carried out, whichever of them it was.

use super::journal;
use crate::account::Stopped;
use crate::base::ports::Sql;
use crate::cloudflare::ApiError;
use crate::model::operation::{EntryId, Outcome, Refusal};

/// A contrary operation that arrived later was carried out.
pub(super) fn superseded(newer: EntryId) -> Outcome {
    Outcome::refused(
        Refusal::Superseded,
        format!(
            "Operation {} asked for the contrary later and was carried out, so this one is void; ask again if this is still wanted.",
            newer.0
        ),
    )
}

/// There is a policy that could not be written back unchanged.
pub(super) fn unknown_policy(email: &str) -> Outcome {
    Outcome::refused(
        Refusal::UnknownPolicy,
        format!(
            "{email} has a policy of a kind that this version of the connector does not know and could not write back unchanged; change the access in Cloudflare's dashboard, and update the connector."
        ),
    )
}

/// Cloudflare refused a write, so that it was not carried out. That the member is gone is for the caller to look into.
pub(super) fn not_carried_out(error: ApiError) -> Stopped {
    match (after(&error), &error) {
        (_, ApiError::NotFound(_)) | (Outcome::NotNow { .. }, _) => error.into(),
        // A token that was made while `PROVISIONING` was off reads everything, so that nothing else tells it.
        (_, ApiError::Forbidden(_)) => Stopped::refused(
            Refusal::Cloudflare,
            format!(
                "Cloudflare refused: {error}; give the token Account Settings: Edit in Cloudflare's dashboard, its value stays the same."
            ),
        ),
        (refused, _) => Stopped::Ended(refused),
    }
}

/// The same of an operation that had noted the write, and had sent one `before` or none. What is not there for a moment is looked into, and refuses
/// nothing for good.
pub(super) fn refused(sql: &dyn Sql, id: EntryId, before: bool, error: ApiError) -> Stopped {
    match journal::not_written(sql, id, before || matches!(error, ApiError::NotFound(_))) {
        Ok(()) => not_carried_out(error),
        Err(error) => error.into(),
    }
}

/// What a refusal says, without its full stop, where an attempt ended so.
pub(super) fn refusal(ended: &Result<Outcome, Stopped>) -> Option<&str> {
    match ended {
        Ok(Outcome::Refused { message, .. }) | Err(Stopped::Ended(Outcome::Refused { message, .. })) => {
            Some(message.trim_end_matches('.'))
        }
        _ => None,
    }
}

/// What an error of Cloudflare's means for the operation.
pub(super) fn after(error: &ApiError) -> Outcome {
    let message = error.to_string();
    match error {
        error if error.is_retryable() || error.outcome_unknown() => {
            Outcome::NotNow { message, retry_at: error.retry_at() }
        }
        ApiError::Unreadable { .. } => Outcome::refused(
            Refusal::UnreadableMember,
            format!(
                "{message}; a write would replace what was not read, so nothing was written: change the access in Cloudflare's dashboard, and report the record to Cloudflare."
            ),
        ),
        _ => Outcome::refused(Refusal::Cloudflare, format!("Cloudflare refused: {message}.")),
    }
}
