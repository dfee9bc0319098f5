//! What a webhook carries (`reference/conductorone.md` 2). Which fields C1 fills is only partly documented, so missing,
//! `null`, `""` and `…_UNSPECIFIED` mean the same, unknown fields are ignored, and objects are found by type and id
//! rather than by the position their paths name.
//!
//! A grant, with what is read of it:
//!
//! ```text
//! { "version": "v1", "webhookId": "…", "callbackUrl": "https://acme.conductor.one/api/v1/webhooks/callback/…",
//!   "event": "c1.webhooks.v1.PayloadProvisionStep",
//!   "payload": {
//!     "taskView": { "task": {
//!       "id": "task1", "numericId": "1042", "state": "TASK_STATE_OPEN", "userId": "u1", "createdByUserId": "u1",
//!       "type": { "grant": { "appId": "app1", "appEntitlementId": "e1", "appUserId": "au1", "identityUserId": "u1" } },
//!       "policy": {
//!         "current": { "id": "step1", "provision": { "provision": { "provisionTarget": {
//!           "appId": "app1", "appEntitlementId": "e1", "appUserId": "au1" } } } },
//!         "history": [ { "approval": { "approved": { "userId": "u2" } } } ] } } },
//!     "expanded": [
//!       { "@type": "type.googleapis.com/c1.api.app.v1.AppEntitlement", "id": "e1", "displayName": "Admin Member Role",
//!         "sourceConnectorIds": { "…": "role:05784afa30c1afe1440e79d9351c7430:member" } },
//!       { "@type": "type.googleapis.com/c1.api.app.v1.AppUser", "id": "au1", "email": "jane@example.com",
//!         "profile": { "member_id": "4536bcfa…", "cloudflare_user_id": "7c5dae55…" } },
//!       { "@type": "type.googleapis.com/c1.api.user.v1.User", "id": "u1", "email": "jane.doe@example.com" },
//!       { "@type": "type.googleapis.com/c1.api.user.v1.User", "id": "u2", "email": "boss@example.com" } ] } }
//! ```

use serde::Deserializer;
use serde_json::Value;

use super::apps::candidates;
use crate::base::json::{self, Deserialize, Text};
use crate::model::address;
use crate::model::ask::{Action, EntitlementRef, Subject};
use crate::model::grant::Entitlement;
use crate::model::name;

/// A webhook's body, read as far as its event is known.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where the outcome goes when the answer was 202. A capability: it must not be shown.
    pub callback_url: Option<String>,
    /// What happened.
    pub event: Event,
}

/// The events there are.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody pressed "Test webhook".
    Test,
    /// Access is to be given or taken away.
    Provision(Box<TaskStep>),
    /// Whether to give it, or to take it away, is asked.
    Approval(Box<TaskStep>),
    /// An automation asks something.
    Workflow(WorkflowStep),
    /// An event that this connector has no part in; its name.
    Other(String),
}

/// Why a body is no webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not JSON at all.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, of another shape than documented.
    #[error("the body is not a webhook: {0}")]
    Shape(String),
}

/// A step of a task: one grant or revoke that is to be carried out, or to be approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStep {
    /// The task's id.
    pub task_id: String,
    /// The number people see.
    pub task_number: Option<String>,
    /// The step's id, with the entitlement's behind it where that is another than the task's; with the task's id it identifies the operation, however often
    /// it is delivered.
    pub step_id: Option<String>,
    /// Whether the task is still open and this step waits for us; if not, why not.
    pub actionable: Result<(), String>,
    /// Grant or revoke; or the kind of task, where it is neither.
    pub action: Result<Action, String>,
    /// The C1 app it belongs to; a grant by a task of another app to both, that one first, with a blank between.
    pub app_id: Option<String>,
    /// What is to be granted or revoked.
    pub entitlement: EntitlementRef,
    /// Who is concerned.
    pub subject: Subject,
    /// Whether the last of their addresses is a user name, and none of their e-mail addresses.
    pub ends_with_username: bool,
    /// The e-mail address, or else the C1 id, of who asked for it.
    pub requester: Option<String>,
    /// The e-mail addresses, or else the C1 ids, of who approved it.
    pub approvers: Vec<String>,
    /// For how many seconds a grant is; nothing where it is for good.
    pub duration_secs: Option<i64>,
    /// Whether it makes a grant that there is last longer.
    pub is_extension: bool,
    /// The C1 ids of those whom the task is about and by: the subject and the requester.
    pub parties: Vec<String>,
}

/// A step of an automation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowStep {
    /// What the automation's author wrote for this step: any JSON.
    pub context: Value,
}

impl Webhook {
    /// Reads a body whose signature was verified.
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        let raw: RawWebhook<'_> = json::read(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => PayloadError::Shape(error.to_string()),
            _ => PayloadError::NotJson(error.to_string()),
        })?;
        let name = raw.event.ok_or_else(|| PayloadError::Shape("it has no event".to_owned()))?;
        let event = match name.rsplit('.').next().unwrap_or_default() {
            "PayloadTest" => Event::Test,
            "PayloadProvisionStep" => Event::Provision(Box::new(task_step(raw.payload, Waits::Provision)?)),
            "PayloadPolicyApprovalStep" => Event::Approval(Box::new(task_step(raw.payload, Waits::Approval)?)),
            "PayloadWorkflowStep" => Event::Workflow(workflow_step(raw.payload)),
            _ => Event::Other(name),
        };
        Ok(Self { callback_url: raw.callback_url, event })
    }
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Provision,
    Approval,
}

/// Whatever the automation's author wrote is taken as it is: what is not understood is for the answer to say.
fn workflow_step(payload: Option<Text<'_>>) -> WorkflowStep {
    let payload = payload.and_then(|text| text.read::<Value, serde_json::Error>().ok());
    WorkflowStep {
        context: payload.and_then(|mut payload| Some(payload.get_mut("context")?.take())).unwrap_or_default(),
    }
}

fn task_step(payload: Option<Text<'_>>, waits: Waits) -> Result<TaskStep, PayloadError> {
    let shape = |what: &dyn std::fmt::Display| PayloadError::Shape(format!("payload: {what}"));
    let raw: RawStep =
        payload.ok_or_else(|| shape(&"it is missing"))?.read().map_err(|error: serde_json::Error| shape(&error))?;
    let task = raw.task_view.task;
    let task_id =
        task.id.clone().ok_or_else(|| PayloadError::Shape("payload.taskView.task.id is missing".to_owned()))?;
    let current = task.policy.current;
    let waits_for_us = match waits {
        Waits::Provision => current.provision.is_some(),
        Waits::Approval => current.approval.is_some_and(|approval| !approval.is_null()),
    };
    let mut target = current.provision.unwrap_or_default().provision.provision_target;
    let (action, mut named) = action(&task.r#type, waits)?;
    let (mut step_id, mut is_delegated) = (current.id, false);
    // One step of a policy may have several of its own, each of another entitlement, as the account before the role.
    if let (Some(of), Some(at)) = (&named.app_entitlement_id, &target.app_entitlement_id)
        && of != at
    {
        is_delegated = true;
        step_id = step_id.map(|step| [step.as_str(), at.as_str()].join("/"));
    }
    // A task of another app, of which one step is of this one, names its own entitlement and the account that the person has in that app.
    let is_of_another = named.app_id.is_some() && target.app_id.is_some() && named.app_id != target.app_id;
    if is_of_another {
        (named.app_entitlement_id, named.app_user_id) = (None, None);
        // Whoever approved the grant was asked about that app, and is who that one's owner says.
        if let (Ok(Action::Grant), Some(of), Some(at)) = (&action, &named.app_id, &mut target.app_id) {
            *at = [of.as_str(), at.as_str()].join(" ");
        }
    }

    let entitlement_id = target.app_entitlement_id.or(named.app_entitlement_id);
    let app_user_id = target.app_user_id.or(named.app_user_id);
    let expanded = Expansions(raw.expanded);
    let entitlement = match entitlement_id {
        None if is_of_another => EntitlementRef::default(),
        id => expanded.entitlement(id),
    };
    // The account that a task about something else of this app makes first has no end but its own.
    if is_delegated && !is_of_another && entitlement.builtin {
        (named.grant_duration, named.source) = (None, Value::Null);
    }
    let app_user = app_user_id.as_deref().and_then(|id| expanded.find("AppUser", Some(id)));
    let identity =
        named.identity_user_id.or_else(|| app_user.and_then(|user| text(user, "identityUserId"))).or(task.user_id);

    let mut parties: Vec<String> = identity.iter().chain(&task.created_by_user_id).cloned().collect();
    parties.dedup();
    let state = task.state.unwrap_or_default();
    let actionable = if state == "TASK_STATE_CLOSED" {
        Err("the task is closed".to_owned())
    } else if !waits_for_us {
        Err(match waits {
            Waits::Provision => "the task is not at a provisioning step".to_owned(),
            Waits::Approval => "the task is not at an approval step".to_owned(),
        })
    } else {
        Ok(())
    };

    let (subject, ends_with_username) = expanded.subject(app_user, app_user_id.is_some(), identity.as_deref());
    Ok(TaskStep {
        task_id,
        task_number: match &task.numeric_id {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        },
        step_id,
        actionable,
        action,
        app_id: target.app_id.or(named.app_id),
        entitlement,
        subject,
        ends_with_username,
        requester: task.created_by_user_id.map(|id| expanded.person(id)),
        approvers: approvers(&task.policy.history).into_iter().map(|id| expanded.person(id)).collect(),
        duration_secs: target
            .grant_duration
            .as_deref()
            .and_then(seconds)
            .or_else(|| named.grant_duration.as_deref().and_then(seconds)),
        is_extension: named.source.get("isExtension").and_then(Value::as_bool) == Some(true),
        parties,
    })
}

/// A protobuf duration as JSON has it, such as `28800s` or `0.5s`, in whole seconds; none where it is no time at all. What is shorter than a second, or
/// over before it begins, ends all the same.
fn seconds(text: &str) -> Option<i64> {
    let duration = text.strip_suffix('s')?;
    let secs: i64 = duration.split('.').next()?.parse().ok()?;
    let is_none = duration.chars().all(|c| matches!(c, '0' | '.'));
    (!is_none && secs <= LONGEST_SECS).then(|| secs.max(1))
}

/// What protobuf's durations end at: 10,000 years.
const LONGEST_SECS: i64 = 315_576_000_000;

/// What a task is for that is neither a grant nor a revoke: whether somebody keeps what they have.
pub const REVIEW: &str = "review";

/// What a task is for. A kind without anything in it is not set; two that are set contradict each other.
fn action(types: &RawTaskType, waits: Waits) -> Result<(Result<Action, String>, RawTarget), PayloadError> {
    let set: Vec<(&str, &Value)> =
        types.iter().filter(|(_, kind)| is_set(kind)).map(|(name, it)| (&**name, it)).collect();
    let (name, value) = match set.as_slice() {
        [one] => *one,
        [] => return Ok((Err("unknown".to_owned()), RawTarget::default())),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            // A denial takes access away where one of them is a review.
            if waits == Waits::Approval && names.contains(&"certify") {
                return Ok((Err(REVIEW.to_owned()), RawTarget::default()));
            }
            return Ok((Err(format!("{} at once", names.join(" and "))), RawTarget::default()));
        }
    };
    if !["grant", "revoke", "certify"].contains(&name) {
        return Ok((Err(name.to_owned()), RawTarget::default()));
    }
    let target: RawTarget =
        json::of(value).map_err(|error| PayloadError::Shape(format!("payload.taskView.task.type.{name}: {error}")))?;
    let action = match name {
        "grant" => Ok(Action::Grant),
        "revoke" => Ok(Action::Revoke),
        // A review that ended in "take it away" may arrive without a revoke task of its own. Where an answer is still asked for it is a review, whatever
        // stands there already: to approve that is not to approve a revoke.
        _ if waits == Waits::Provision && target.outcome.as_deref() == Some("CERTIFY_OUTCOME_DECERTIFIED") => {
            Ok(Action::Revoke)
        }
        _ => Err(REVIEW.to_owned()),
    };
    Ok((action, target))
}

/// Whether a value says anything: `null`, `""`, `…_UNSPECIFIED` and what has nothing else in it do not.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty() && !text.ends_with("_UNSPECIFIED"),
        Value::Object(fields) => fields.values().any(is_set),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The ids of the users whose approval stands in the policy's history.
fn approvers(history: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> =
        history.iter().filter_map(|step| text(step.get("approval")?.get("approved")?, "userId")).collect();
    ids.dedup();
    ids
}

/// The objects that C1 sent along.
struct Expansions(Vec<Value>);

impl Expansions {
    /// The object of a type (its name after the last dot) with an id; without an id, the only one of its type.
    fn find(&self, type_name: &str, id: Option<&str>) -> Option<&Value> {
        let mut of_type = self.0.iter().filter(|object| {
            said(object, "@type").is_some_and(|name| name.rsplit(['.', '/']).next() == Some(type_name))
        });
        match id {
            Some(id) => of_type.find(|object| said(object, "id") == Some(id)),
            None => of_type.next().filter(|_| of_type.next().is_none()),
        }
    }

    fn entitlement(&self, id: Option<String>) -> EntitlementRef {
        let Some(object) = self.find("AppEntitlement", id.as_deref()) else {
            return EntitlementRef { id, ..EntitlementRef::default() };
        };
        let mut fields = vec![text(object, "matchBatonId"), text(object, "externalId")];
        // Only an object that is this entitlement's own resource can say which role it is.
        if let Some(resource) = text(object, "appResourceId").and_then(|id| self.find("AppResource", Some(&id))) {
            let role_id = resource.get("profile").and_then(|profile| text(profile, "role_id"));
            // What else stands there is the resource's own, and does not make the entitlement another connector's.
            let ours = [text(resource, "externalId"), text(resource, "matchBatonId"), role_id];
            fields.extend(ours.map(|id| id.filter(|id| Entitlement::recognise(id).is_some())));
        }
        let candidates = candidates(object.get("sourceConnectorIds").and_then(Value::as_object), fields);
        EntitlementRef {
            id: id.or_else(|| text(object, "id")),
            candidates,
            display_name: text(object, "displayName"),
            builtin: object.get("systemBuiltin").and_then(Value::as_bool).unwrap_or(false),
        }
    }

    /// Who is concerned, and whether the last of the addresses is a user name alone.
    fn subject(&self, app_user: Option<&Value>, has_account: bool, identity: Option<&str>) -> (Subject, bool) {
        let identity = identity.and_then(|id| self.find("User", Some(id)));
        let (mut emails, mut ends_with_username) = (Vec::new(), false);
        // An identity may have several accounts: its own addresses are for somebody who has none yet.
        let addressed = if has_account { app_user } else { identity };
        if let Some(object) = addressed {
            let listed = object.get("emails").and_then(Value::as_array).into_iter().flatten();
            let all = text(object, "email")
                .into_iter()
                .chain(listed.filter_map(|value| value.as_str().map(str::to_owned)))
                .map(|email| (email, false))
                .chain(text(object, "username").map(|name| (name, true)));
            let mut add = |email: &str, is_username| {
                if email.contains('@') && !emails.iter().any(|known: &String| address::same(known, email)) {
                    emails.push(email.to_owned());
                    ends_with_username = is_username;
                }
            };
            for (email, is_username) in all {
                let email = email.trim();
                add(email, is_username);
                // A CSV file may have told it with an apostrophe that the account does not have.
                add(&name::bare(email), is_username);
            }
        }
        let profile = app_user.and_then(|user| user.get("profile"));
        let told = |key| profile.and_then(|profile| said(profile, key));
        // `baton-scim` has our SCIM id in the profile, and no more; the same field of an app that is not ours has another form.
        let scim = told("user_id");
        let subject = Subject {
            emails,
            member_id: told("member_id").or_else(|| scim?.strip_prefix("invitation-")).and_then(|id| id.parse().ok()),
            user_id: told("cloudflare_user_id").or(scim).and_then(|id| id.parse().ok()),
            display_name: app_user.into_iter().chain(identity).find_map(|object| text(object, "displayName")),
            has_account,
        };
        (subject, ends_with_username)
    }

    /// The e-mail address of a C1 user, or the id where the user was not sent along.
    fn person(&self, id: String) -> String {
        self.find("User", Some(&id)).and_then(|user| text(user, "email")).unwrap_or(id)
    }
}

/// A text field; an empty one counts as missing.
fn text(object: &Value, key: &str) -> Option<String> {
    said(object, key).map(str::to_owned)
}

fn said<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// `null` as the default, which is what C1's unset fields are.
fn null_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A text; `null`, `""` and `…_UNSPECIFIED` as none.
fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty() && !text.ends_with("_UNSPECIFIED")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawWebhook<'de> {
    #[serde(default, deserialize_with = "filled")]
    callback_url: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    event: Option<String>,
    payload: Option<Text<'de>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStep {
    task_view: RawTaskView,
    #[serde(default, deserialize_with = "null_default")]
    expanded: Vec<Value>,
}

#[derive(Deserialize)]
struct RawTaskView {
    task: RawTask,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTask {
    #[serde(default, deserialize_with = "filled")]
    id: Option<String>,
    /// What people see, and nothing goes by: a number in its place makes no webhook unreadable.
    #[serde(default)]
    numeric_id: Value,
    #[serde(default, deserialize_with = "null_default")]
    r#type: RawTaskType,
    #[serde(default, deserialize_with = "filled")]
    state: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    created_by_user_id: Option<String>,
    #[serde(default, deserialize_with = "null_default")]
    policy: RawPolicy,
}

/// The kinds of task by their names.
type RawTaskType = crate::base::tree::BTreeMap<String, Value>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTarget {
    #[serde(default, deserialize_with = "filled")]
    app_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    app_entitlement_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    app_user_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    identity_user_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    outcome: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    grant_duration: Option<String>,
    /// Where a grant was asked for, and whether it is an extension.
    #[serde(default)]
    source: Value,
}

#[derive(Default, Deserialize)]
struct RawPolicy {
    #[serde(default, deserialize_with = "null_default")]
    current: RawPolicyStep,
    #[serde(default, deserialize_with = "null_default")]
    history: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct RawPolicyStep {
    #[serde(default, deserialize_with = "filled")]
    id: Option<String>,
    provision: Option<RawProvisionInstance>,
    approval: Option<Value>,
}

#[derive(Default, Deserialize)]
struct RawProvisionInstance {
    #[serde(default, deserialize_with = "null_default")]
    provision: RawProvision,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProvision {
    #[serde(default, deserialize_with = "null_default")]
    provision_target: RawTarget,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Action, Event, PayloadError, TaskStep, Webhook, seconds};

    #[test]
    fn a_grant_that_ends_is_none_for_good() {
        for (text, secs) in
            [("28800s", Some(28_800)), ("1.9s", Some(1)), ("0.5s", Some(1)), ("-3s", Some(1)), ("-0.5s", Some(1))]
        {
            assert_eq!(seconds(text), secs, "{text}");
        }
        for text in ["0s", "0.000s", "", "s", "3600", "315576000001s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_none_in_one_place_hides_none_in_the_other() {
        for (target, named, secs) in [
            ("0s", "28800s", Some(28_800)),
            ("28800s", "0s", Some(28_800)),
            ("3600s", "28800s", Some(3_600)),
            ("", "60s", Some(60)),
            ("0s", "0s", None),
        ] {
            let mut body = grant();
            let task = &mut body["payload"]["taskView"]["task"];
            task["type"]["grant"]["grantDuration"] = json!(named);
            task["policy"]["current"]["provision"]["provision"]["provisionTarget"]["grantDuration"] = json!(target);
            assert_eq!(step(&body).duration_secs, secs, "{target} {named}");
        }
    }

    /// One step of a task about a role is to be provisioned by another entitlement: the account, which is made first, or what gives the role.
    #[test]
    fn how_long_a_task_is_for_says_nothing_of_the_account_that_is_made_first() {
        for (app, at, is_account, own, secs, is_extension) in [
            ("app1", json!("e2"), true, Value::Null, None, false),
            ("app1", json!("e2"), true, json!("0s"), None, false),
            ("app1", json!("e2"), true, json!("3600s"), Some(3_600), false),
            // The controls: a user group, the same one, one that is not told, and a task of another app.
            ("app1", json!("e2"), false, Value::Null, Some(28_800), true),
            ("app1", json!("e2"), false, json!("3600s"), Some(3_600), true),
            ("app1", json!("e1"), false, Value::Null, Some(28_800), true),
            ("app1", json!("e1"), false, json!("3600s"), Some(3_600), true),
            ("app1", json!("e1"), true, Value::Null, Some(28_800), true),
            ("app1", Value::Null, false, Value::Null, Some(28_800), true),
            ("app0", json!("e2"), true, Value::Null, Some(28_800), true),
        ] {
            let mut body = grant();
            let expanded = body["payload"]["expanded"].as_array_mut().unwrap();
            expanded.push(json!({ "@type": "type.googleapis.com/c1.api.app.v1.AppEntitlement", "id": "e2" }));
            for entitlement in &mut expanded[4..] {
                entitlement["systemBuiltin"] = json!(is_account);
            }
            let task = &mut body["payload"]["taskView"]["task"];
            let named = &mut task["type"]["grant"];
            (named["appId"], named["grantDuration"]) = (json!(app), json!("28800s"));
            named["source"] = json!({ "isExtension": true });
            let target = &mut task["policy"]["current"]["provision"]["provision"]["provisionTarget"];
            (target["appEntitlementId"], target["grantDuration"]) = (at.clone(), own.clone());
            let told = step(&body);
            assert_eq!((told.duration_secs, told.is_extension), (secs, is_extension), "{app} {at} {is_account} {own}");
        }
    }

    #[test]
    fn a_step_of_another_entitlement_than_the_tasks_has_that_ones_id_behind_its_own() {
        for (app, at, told) in [
            ("app1", json!("e2"), Some("step1/e2")),
            ("app0", json!("e2"), Some("step1/e2")),
            // The controls: the same one, and one that is not told.
            ("app1", json!("e1"), Some("step1")),
            ("app0", json!("e1"), Some("step1")),
            ("app1", Value::Null, Some("step1")),
        ] {
            let mut body = grant();
            let task = &mut body["payload"]["taskView"]["task"];
            task["type"]["grant"]["appId"] = json!(app);
            task["policy"]["current"]["provision"]["provision"]["provisionTarget"]["appEntitlementId"] = at.clone();
            assert_eq!(step(&body).step_id.as_deref(), told, "{app} {at}");
            body["payload"]["taskView"]["task"]["policy"]["current"]["id"] = Value::Null;
            assert_eq!(step(&body).step_id, None, "{app} {at}");
        }
    }

    #[test]
    fn an_extension_is_one_where_conductorone_says_so() {
        for (source, is_one) in [
            (json!({ "requestId": "r1", "isExtension": true }), true),
            (json!({ "isExtension": false }), false),
            (json!({}), false),
            (Value::Null, false),
            (json!("slack"), false),
        ] {
            let mut body = grant();
            body["payload"]["taskView"]["task"]["type"]["grant"]["source"] = source.clone();
            assert_eq!(step(&body).is_extension, is_one, "{source}");
        }
        assert!(!step(&grant()).is_extension);
    }

    const ROLE: &str = "role:05784afa30c1afe1440e79d9351c7430:member";

    /// A grant as C1 sends it, with what this connector reads of it and little else.
    fn grant() -> Value {
        json!({
            "version": "v1", "webhookId": "wh1", "callbackUrl": "https://acme.conductor.one/cb/1",
            "event": "c1.webhooks.v1.PayloadProvisionStep",
            "payload": {
                "@type": "type.googleapis.com/c1.webhooks.v1.PayloadProvisionStep",
                "taskView": {"task": {
                    "id": "task1", "numericId": "1042", "state": "TASK_STATE_OPEN", "userId": "u1", "createdByUserId": "u1",
                    "type": {"grant": {"appId": "app1", "appEntitlementId": "e1", "appUserId": "au1", "identityUserId": "u1"}},
                    "policy": {
                        "current": {"id": "step1", "provision": {
                            "provision": {"provisionTarget": {"appId": "app1", "appEntitlementId": "e1", "appUserId": "au1"}},
                            "state": "PROVISION_INSTANCE_STATE_WEBHOOK"}},
                        "history": [{"approval": {"approved": {"userId": "u2"}}}]}
                }},
                "expanded": [
                    {"@type": "type.googleapis.com/c1.api.user.v1.User", "id": "u2", "email": "boss@example.com"},
                    {"@type": "type.googleapis.com/c1.api.app.v1.AppUser", "id": "other", "email": "other@example.com"},
                    {"@type": "type.googleapis.com/c1.api.app.v1.AppUser", "id": "au1", "email": "Jane@example.com", "emails": ["jane@example.com"],
                     "profile": {"member_id": "4536bcfad5faccb111b47003c79917fa", "cloudflare_user_id": "7c5dae5552338874e5053f2534d2767a"}},
                    {"@type": "type.googleapis.com/c1.api.user.v1.User", "id": "u1", "displayName": "Jane Doe", "email": "jane.doe@example.com"},
                    {"@type": "type.googleapis.com/c1.api.app.v1.AppEntitlement", "id": "e1", "displayName": "Admin Member Role",
                     "sourceConnectorIds": {"c1": ROLE}, "externalId": ROLE, "matchBatonId": ""}
                ]
            }
        })
    }

    fn step(body: &Value) -> TaskStep {
        match Webhook::parse(body.to_string().as_bytes()).unwrap().event {
            Event::Provision(step) => *step,
            other => panic!("not a provision step: {other:?}"),
        }
    }

    #[test]
    fn a_number_that_people_see_may_be_one_or_anything_else() {
        let told = |number: Value| {
            let mut body = grant();
            body["payload"]["taskView"]["task"]["numericId"] = number;
            step(&body).task_number
        };
        assert_eq!((told(json!(4711)), told(json!("4711"))), (Some("4711".to_owned()), Some("4711".to_owned())));
        assert_eq!((told(Value::Null), told(json!("")), told(json!({ "low": 1 }))), (None, None, None));
    }

    #[test]
    fn a_grant_names_its_entitlement_its_subject_and_who_asked() {
        let step = step(&grant());
        assert_eq!((step.task_id.as_str(), step.step_id.as_deref()), ("task1", Some("step1")));
        assert_eq!(step.action, Ok(Action::Grant));
        assert_eq!(step.actionable, Ok(()));
        assert_eq!(step.entitlement.candidates, [ROLE]);
        assert_eq!(step.subject.emails, ["Jane@example.com"], "the identity's own address is another account's");
        assert_eq!(step.subject.member_id, "4536bcfad5faccb111b47003c79917fa".parse().ok());
        assert_eq!(step.requester.as_deref(), Some("jane.doe@example.com"));
        assert_eq!(step.approvers, ["boss@example.com"]);
    }

    #[test]
    fn unset_fields_may_be_null_empty_or_absent() {
        let mut body = grant();
        let task = &mut body["payload"]["taskView"]["task"];
        task["type"]["revoke"] = Value::Null;
        task["type"]["certify"] = Value::Null;
        task["numericId"] = json!("");
        task["policy"]["history"] = Value::Null;
        task["policy"]["current"]["provision"]["provision"] = Value::Null;
        let step = step(&body);
        assert_eq!(step.entitlement.id.as_deref(), Some("e1"), "the task's type names it too");
        assert_eq!(step.task_number, None);
        assert!(step.approvers.is_empty());
    }

    #[test]
    fn somebody_without_an_account_is_known_by_the_identity() {
        let mut body = grant();
        body["payload"]["taskView"]["task"]["type"]["grant"]["appUserId"] = json!("");
        body["payload"]["taskView"]["task"]["policy"]["current"]["provision"]["provision"]["provisionTarget"]["appUserId"] =
            Value::Null;
        let step = step(&body);
        assert!(!step.subject.has_account);
        assert_eq!(step.subject.emails, ["jane.doe@example.com"]);
        assert_eq!(step.subject.member_id, None);
    }

    /// A task of another app, one step of which is to be provisioned by an entitlement of this one.
    #[test]
    fn what_a_task_names_of_another_app_is_neither_the_account_nor_the_entitlement_here() {
        for (app, is_ours) in [("app0", false), ("app1", true)] {
            let mut body = grant();
            let task = &mut body["payload"]["taskView"]["task"];
            let mut named = task["type"]["grant"].take();
            named["appId"] = json!(app);
            task["type"] = json!({ "revoke": named });
            let target = "/payload/taskView/task/policy/current/provision/provision/provisionTarget";
            body.pointer_mut(target).unwrap()["appUserId"] = Value::Null;
            let told = step(&body);
            assert_eq!((&told.action, told.app_id.as_deref()), (&Ok(Action::Revoke), Some("app1")));
            assert_eq!(told.entitlement.candidates, [ROLE], "the step's own");
            assert_eq!(told.subject.has_account, is_ours);
            // The identity's addresses are what there is to go by.
            assert_eq!(told.subject.emails, [if is_ours { "Jane@example.com" } else { "jane.doe@example.com" }]);
            assert_eq!(told.subject.member_id.is_some(), is_ours);
            // Nor is it the only one that came along.
            body.pointer_mut(target).unwrap()["appEntitlementId"] = Value::Null;
            let told = step(&body);
            assert_eq!(told.entitlement.id.as_deref(), is_ours.then_some("e1"));
            assert_eq!(told.entitlement.candidates.is_empty(), !is_ours);
            // A grant is of both: only the other app's people were asked whether to give it.
            let task = &mut body["payload"]["taskView"]["task"];
            let named = task["type"]["revoke"].take();
            task["type"] = json!({ "grant": named });
            assert_eq!(step(&body).app_id.as_deref(), Some(if is_ours { "app1" } else { "app0 app1" }));
        }
    }

    #[test]
    fn a_user_name_is_told_from_the_addresses_where_it_is_none_of_them() {
        let body = |emails: &[&str], username: &str| {
            let mut body = grant();
            let payload = &mut body["payload"];
            payload["taskView"]["task"]["type"]["grant"]["appUserId"] = Value::Null;
            let target = "/taskView/task/policy/current/provision/provision/provisionTarget";
            payload.pointer_mut(target).unwrap()["appUserId"] = Value::Null;
            payload["expanded"][3]["emails"] = json!(emails);
            payload["expanded"][3]["username"] = json!(username);
            body
        };
        let (own, other, name) = ("jane.doe@example.com", "jane@example.org", "jdoe@acme.onmicrosoft.com");
        for (emails, username, told, ends_with_username) in [
            (vec![own], name, vec![own, name], true),
            (vec![own, other], name, vec![own, other, name], true),
            (vec![own, other], "Jane@example.org", vec![own, other], false),
            (vec![own, other], "jdoe", vec![own, other], false),
            (vec![own, other], "", vec![own, other], false),
        ] {
            let step = step(&body(&emails, username));
            assert_eq!(step.subject.emails, told, "{username}");
            assert_eq!(step.ends_with_username, ends_with_username, "{emails:?} {username}");
        }
    }

    #[test]
    fn an_address_has_no_blank_around_it() {
        let mut body = grant();
        body["payload"]["expanded"][2]["email"] = json!(" Jane@example.com\t");
        assert_eq!(step(&body).subject.emails, ["Jane@example.com"]);
    }

    #[test]
    fn an_address_is_meant_as_a_csv_file_tells_it_and_as_it_is() {
        for (told, meant) in [
            ("'=eve@example.com", vec!["'=eve@example.com", "=eve@example.com"]),
            ("eve|'=1@example.com", vec!["eve|'=1@example.com", "eve|=1@example.com"]),
            // No file has an apostrophe before, or in, these.
            ("'eve@example.com", vec!["'eve@example.com"]),
            ("o'brien@example.com", vec!["o'brien@example.com"]),
            ("=eve@example.com", vec!["=eve@example.com"]),
        ] {
            let mut body = grant();
            let account = &mut body["payload"]["expanded"][2];
            (account["email"], account["emails"], account["username"]) = (json!(told), json!([told]), json!(told));
            assert_eq!(step(&body).subject.emails, meant);
            assert!(!step(&body).ends_with_username);
        }
    }

    #[test]
    fn an_account_is_known_by_the_scim_id_that_baton_scim_tells_too_where_it_is_one_of_ours() {
        let (user, member) = ("7c5dae5552338874e5053f2534d2767a", "4536bcfad5faccb111b47003c79917fa");
        for (profile, told) in [
            (json!({ "user_id": user, "username": "jane@example.com" }), (Some(user), None)),
            (json!({ "user_id": user, "cloudflare_user_id": "", "member_id": null }), (Some(user), None)),
            (json!({ "user_id": format!("invitation-{member}") }), (None, Some(member))),
            // The controls: what the other connectors tell counts before it, and an id of another form is none.
            (json!({ "user_id": member, "cloudflare_user_id": user, "member_id": member }), (Some(user), Some(member))),
            (json!({ "user_id": "jane@example.com" }), (None, None)),
            (json!({ "user_id": format!("user-{user}") }), (None, None)),
            (json!({ "user_id": "invitation-17" }), (None, None)),
            (json!({ "user_id": 17 }), (None, None)),
            (Value::Null, (None, None)),
        ] {
            let mut body = grant();
            body["payload"]["expanded"][2]["profile"] = profile.clone();
            let subject = step(&body).subject;
            assert_eq!(subject.user_id, told.0.map(|id| id.parse().unwrap()), "{profile}");
            assert_eq!(subject.member_id, told.1.map(|id| id.parse().unwrap()), "{profile}");
            assert_eq!(subject.emails, ["Jane@example.com"], "{profile}");
        }
    }

    #[test]
    fn an_account_that_was_not_sent_along_is_nobody_the_identity_included() {
        let mut body = grant();
        let expanded = body["payload"]["expanded"].as_array_mut().unwrap();
        expanded.retain(|object| object["id"] != "au1");
        let without = step(&body).subject;
        assert!(without.has_account && without.emails.is_empty() && without.member_id.is_none(), "{without:?}");
        body["payload"]["expanded"] = Value::Null;
        assert!(step(&body).subject.emails.is_empty());
    }

    #[test]
    fn an_empty_kind_of_task_is_not_set_and_two_that_are_set_are_refused() {
        let mut body = grant();
        let full = body["payload"]["taskView"]["task"]["type"]["grant"].clone();
        for empty in
            [json!({}), Value::Null, json!({"appId": "", "outcome": "GRANT_OUTCOME_UNSPECIFIED", "source": {}})]
        {
            body["payload"]["taskView"]["task"]["type"] = json!({ "grant": empty, "revoke": full, "certify": {} });
            let step = step(&body);
            assert_eq!((step.action, step.entitlement.id.as_deref()), (Ok(Action::Revoke), Some("e1")));
        }
        for other in ["revoke", "certify", "offboarding"] {
            body["payload"]["taskView"]["task"]["type"] = json!({ "grant": full, other: { "appId": "app1" } });
            let action = step(&body).action.unwrap_err();
            assert!(action.contains("grant") && action.contains(other) && action.ends_with("at once"), "{action}");
        }
    }

    #[test]
    fn a_review_revokes_only_when_it_ended_so_and_is_one_as_long_as_an_answer_is_asked_for() {
        let mut body = grant();
        let types = &mut body["payload"]["taskView"]["task"]["type"];
        types["certify"] = types["grant"].take();
        assert_eq!(step(&body).action, Err("review".to_owned()));
        body["payload"]["taskView"]["task"]["type"]["certify"]["outcome"] = json!("CERTIFY_OUTCOME_DECERTIFIED");
        assert_eq!(step(&body).action, Ok(Action::Revoke));
        body["event"] = json!("c1.webhooks.v1.PayloadPolicyApprovalStep");
        let Event::Approval(asked) = Webhook::parse(body.to_string().as_bytes()).unwrap().event else { panic!() };
        assert_eq!(asked.action, Err("review".to_owned()));
    }

    #[test]
    fn other_tasks_and_closed_ones_are_told_apart() {
        let mut body = grant();
        body["payload"]["taskView"]["task"]["type"] = json!({"offboarding": {"outcome": "X"}});
        body["payload"]["taskView"]["task"]["state"] = json!("TASK_STATE_CLOSED");
        let step = step(&body);
        assert_eq!(step.action, Err("offboarding".to_owned()));
        assert_eq!(step.actionable, Err("the task is closed".to_owned()));
    }

    #[test]
    fn of_an_entitlements_resource_counts_what_names_a_role_and_nothing_else() {
        for (id, written, candidates) in [
            ("3f9a0d6c", "bid:r:cf_role/x", vec!["3f9a0d6c"]),
            ("3f9a0d6c", "bid:r:role/05784afa30c1afe1440e79d9351c7430", {
                vec!["3f9a0d6c", "bid:r:role/05784afa30c1afe1440e79d9351c7430"]
            }),
            ("app:cloudflare:access", "bid:r:app/cloudflare", vec!["app:cloudflare:access"]),
        ] {
            let mut body = grant();
            let expanded = body["payload"]["expanded"].as_array_mut().unwrap();
            let of_type = |one: &&mut Value| one["@type"].as_str().is_some_and(|it| it.ends_with("AppEntitlement"));
            let entitlement = expanded.iter_mut().find(of_type).unwrap();
            entitlement["sourceConnectorIds"] = json!({ "c1": id });
            (entitlement["matchBatonId"], entitlement["externalId"]) = (Value::Null, Value::Null);
            entitlement["appResourceId"] = json!("r1");
            let resource = "type.googleapis.com/c1.api.app.v1.AppResource";
            expanded.push(json!({ "@type": resource, "id": "r1", "matchBatonId": written }));
            assert_eq!(step(&body).entitlement.candidates, candidates, "{written}");
        }
    }

    #[test]
    fn an_approval_is_read_like_the_provisioning_that_follows_it() {
        let mut body = grant();
        body["event"] = json!("c1.webhooks.v1.PayloadPolicyApprovalStep");
        body["payload"]["taskView"]["task"]["policy"]["current"] = json!({"id": "step0", "approval": {"approval": {}}});
        let approval = |body: &Value| match Webhook::parse(body.to_string().as_bytes()).unwrap().event {
            Event::Approval(step) => *step,
            other => panic!("not an approval: {other:?}"),
        };
        let step = approval(&body);
        assert_eq!(
            (step.step_id.as_deref(), &step.actionable, &step.action),
            (Some("step0"), &Ok(()), &Ok(Action::Grant))
        );
        assert_eq!(step.entitlement.candidates, [ROLE], "the task's type names it");
        assert_eq!(step.parties, ["u1"], "who is concerned, and who asked");
        body["payload"]["taskView"]["task"]["policy"]["current"]["approval"] = Value::Null;
        assert_eq!(approval(&body).actionable, Err("the task is not at an approval step".to_owned()));
    }

    #[test]
    fn an_automation_may_send_anything() {
        for (payload, context) in [
            (json!({"workflowId": "w1", "context": {"verb": "start_sync"}}), json!({"verb": "start_sync"})),
            (json!({"context": ["x"]}), json!(["x"])),
            (Value::Null, Value::Null),
        ] {
            let body = json!({"event": "c1.webhooks.v1.PayloadWorkflowStep", "payload": payload});
            let Event::Workflow(step) = Webhook::parse(body.to_string().as_bytes()).unwrap().event else { panic!() };
            assert_eq!(step.context, context);
        }
    }

    #[test]
    fn other_events_are_known_by_name() {
        let test = json!({"version": "v1", "event": "c1.webhooks.v1.PayloadTest", "payload": {}});
        assert!(matches!(Webhook::parse(test.to_string().as_bytes()).unwrap().event, Event::Test));
        let other = json!({"version": "v2", "event": "c1.webhooks.v1.PayloadFromTheFuture"});
        assert!(matches!(Webhook::parse(other.to_string().as_bytes()).unwrap().event, Event::Other(_)));
    }

    #[test]
    fn what_is_no_webhook_says_what_is_wrong() {
        assert!(matches!(Webhook::parse(b"{").unwrap_err(), PayloadError::NotJson(_)));
        assert!(matches!(Webhook::parse(b"[1]").unwrap_err(), PayloadError::Shape(_)));
        assert!(matches!(Webhook::parse(b"{}").unwrap_err(), PayloadError::Shape(_)));
        let mut body = grant();
        body["payload"]["taskView"]["task"]["id"] = json!(7);
        let PayloadError::Shape(message) = Webhook::parse(body.to_string().as_bytes()).unwrap_err() else { panic!() };
        assert!(message.contains("payload"), "{message}");
    }
}
