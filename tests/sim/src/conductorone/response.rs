//! The documents that C1 takes for an answer (`reference/conductorone.md` 1.4).

use serde_json::{Map, Value};

/// A response document has at most this many bytes: 250 KB.
pub const MAX_BYTES: usize = 250_000;

/// A comment has at most this many characters.
pub const MAX_COMMENT: usize = 1024;

/// A reassignment names at most this many people.
pub const MAX_REASSIGNED: usize = 32;

/// Why C1 would not take a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a response document of {event}: {why}")]
pub struct InvalidDocument {
    /// The event that was answered.
    pub event: String,
    /// What is wrong.
    pub why: String,
}

/// Reads the answer to an event, and checks that it is one: no more and no less than the event's document allows.
pub fn parse(event: &str, body: &[u8]) -> Result<Value, InvalidDocument> {
    check(event, body).map_err(|why| InvalidDocument { event: event.to_owned(), why })
}

fn check(event: &str, body: &[u8]) -> Result<Value, String> {
    if body.len() > MAX_BYTES {
        return Err(format!("{} bytes, {MAX_BYTES} at most", body.len()));
    }
    let document: Value = serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(fields) = &document else { return Err("not a JSON object".into()) };
    if fields.get("version") != Some(&Value::from("v1")) {
        return Err("version is not \"v1\"".into());
    }
    match event.rsplit('.').next().unwrap_or_default() {
        "PayloadProvisionStep" => match one_of(fields, &["complete", "errored"])? {
            (name, Value::Object(answer)) => only(answer, name, &["comment"]).and_then(|()| comment(answer))?,
            (name, _) => return Err(format!("{name} is not an object")),
        },
        "PayloadPolicyApprovalStep" => match one_of(fields, &["approve", "deny", "reassign", "replacePolicy"])? {
            (name, Value::Object(answer)) => approval(name, answer)?,
            (name, _) => return Err(format!("{name} is not an object")),
        },
        "PayloadWorkflowStep" => {
            only(fields, "the document", &["version", "context"])?;
            if !matches!(fields.get("context"), None | Some(Value::Object(_))) {
                return Err("context is not an object".into());
            }
        }
        _ => only(fields, "the document", &["version"])?,
    }
    Ok(document)
}

fn approval(name: &str, answer: &Map<String, Value>) -> Result<(), String> {
    comment(answer)?;
    match name {
        "reassign" => {
            only(answer, name, &["comment", "newStepUserIds"])?;
            let Some(Value::Array(users)) = answer.get("newStepUserIds") else {
                return Err("reassign names nobody".into());
            };
            if users.is_empty() || users.len() > MAX_REASSIGNED || !users.iter().all(Value::is_string) {
                return Err(format!("newStepUserIds must be 1 to {MAX_REASSIGNED} user ids"));
            }
            Ok(())
        }
        "replacePolicy" => {
            only(answer, name, &["comment", "policySteps"])?;
            match answer.get("policySteps") {
                Some(Value::Array(steps)) if !steps.is_empty() => Ok(()),
                _ => Err("replacePolicy has no policySteps".into()),
            }
        }
        _ => only(answer, name, &["comment"]),
    }
}

/// The one alternative that is set, of those that there are.
fn one_of<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Result<(&'a str, &'a Value), String> {
    let mut allowed = vec!["version"];
    allowed.extend(names);
    only(fields, "the document", &allowed)?;
    let mut set = fields.iter().filter(|(name, _)| name.as_str() != "version");
    match (set.next(), set.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        (None, _) => Err(format!("none of {} is set", names.join(", "))),
        _ => Err(format!("more than one of {} is set", names.join(", "))),
    }
}

fn only(fields: &Map<String, Value>, of: &str, allowed: &[&str]) -> Result<(), String> {
    match fields.keys().find(|name| !allowed.contains(&name.as_str())) {
        Some(name) => Err(format!("{of} has a field {name}")),
        None => Ok(()),
    }
}

fn comment(answer: &Map<String, Value>) -> Result<(), String> {
    match answer.get("comment") {
        None => Ok(()),
        Some(Value::String(text)) if text.chars().count() <= MAX_COMMENT => Ok(()),
        Some(Value::String(text)) => {
            Err(format!("a comment of {} characters, {MAX_COMMENT} at most", text.chars().count()))
        }
        Some(_) => Err("comment is not a string".into()),
    }
}
