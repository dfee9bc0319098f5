//! The documents that C1 takes for an answer (`reference/conductorone.md` 1.4).

use serde_json::{Map, Value};

use crate::base::object::object_of;
use crate::model::operation::Outcome;

/// Comments are cut to this many characters: C1 documents the limit for policy steps, and it does no harm elsewhere.
pub const MAX_COMMENT: usize = 1024;

/// An answer to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// To the test event, and to events that are none of our business.
    Noted,
    /// The step is done; a sentence for the task's history.
    Complete(String),
    /// The step cannot be done; a sentence that says why and what to do.
    Errored(String),
    /// To an approval step: it is approved, because of what the sentence says.
    Approve(String),
    /// It is denied.
    Deny(String),
    /// It is for somebody else to say.
    Reassign {
        /// Why.
        comment: String,
        /// The C1 ids of those who are asked instead: one at least; of more than 32, the first.
        users: Vec<String>,
    },
    /// To an automation's step: what it asked for.
    Context(Map<String, Value>),
}

/// A reassignment names at most this many people.
pub const MAX_REASSIGNED: usize = 32;

impl Document {
    /// What tells C1 how an operation ended.
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { message, .. } => Self::Complete(message),
            Outcome::Refused { message, .. } | Outcome::NotNow { message, .. } => Self::Errored(message),
        }
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        let version = ("version", Value::from("v1"));
        let mut step = Vec::new();
        let (name, comment) = match self {
            Self::Noted => return object_of(vec![version]).to_string(),
            Self::Context(context) => {
                return object_of(vec![version, ("context", Value::Object(context.clone()))]).to_string();
            }
            Self::Complete(comment) => ("complete", comment),
            Self::Errored(comment) => ("errored", comment),
            Self::Approve(comment) => ("approve", comment),
            Self::Deny(comment) => ("deny", comment),
            Self::Reassign { comment, users } => {
                let mut asked = Vec::new();
                for user in users.iter().take(MAX_REASSIGNED) {
                    asked.push(Value::from(user.as_str()));
                }
                step.push(("newStepUserIds", Value::Array(asked)));
                ("reassign", comment)
            }
        };
        step.push(("comment", cut(comment, MAX_COMMENT).into()));
        object_of(vec![version, (name, object_of(step))]).to_string()
    }
}

/// A text, cut to so many characters.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::Document;
    use crate::model::operation::{Effect, Outcome, Refusal};

    #[test]
    fn documents_are_c1s() {
        assert_eq!(Document::Noted.to_json(), r#"{"version":"v1"}"#);
        assert_eq!(Document::Complete("Done.".into()).to_json(), r#"{"complete":{"comment":"Done."},"version":"v1"}"#);
        assert_eq!(Document::Errored("No.".into()).to_json(), r#"{"errored":{"comment":"No."},"version":"v1"}"#);
    }

    #[test]
    fn what_is_done_completes_the_step_and_nothing_else_does() {
        let done = Outcome::Done { effect: Effect::Granted, message: "Done.".into(), account: None };
        assert_eq!(Document::of(done), Document::Complete("Done.".into()));
        let not_now = Outcome::NotNow { message: "No.".into(), retry_at: None };
        for outcome in [Outcome::refused(Refusal::LastRole, "No."), not_now] {
            assert_eq!(Document::of(outcome), Document::Errored("No.".into()));
        }
    }

    #[test]
    fn a_long_comment_is_cut_at_a_character() {
        let text = Document::Errored("é".repeat(3000)).to_json();
        assert_eq!(text.chars().filter(|&c| c == 'é').count(), 1023);
        assert!(text.contains('…'));
    }
}
