//! The payload of a task's step: provisioning, or an approval that is asked of the webhook
//! (`reference/conductorone.md` 2.1 to 2.6).

use serde_json::{Value, json};

use super::directory::{App, Entitlement, Person};
use super::edit::{drop_unset, edit};
use super::id;

/// How a payload is written: C1 may write unset fields, or leave them out, and nobody says which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Unset fields are `null`, `""`, `[]`, `false` or `0`.
    #[default]
    Full,
    /// Unset fields are absent.
    Compact,
}

/// A grant or a revoke on its way through a policy.
#[derive(Clone, Debug)]
pub struct Task {
    action: Action,
    step: Step,
    entitlement: Entitlement,
    subject: Person,
    requester: Option<Person>,
    approver: Person,
    app: App,
    id: String,
    numeric_id: u32,
    step_id: String,
    grant_duration: Option<String>,
    asked_in_slack: bool,
    style: Style,
    edits: Vec<(String, Option<Value>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Grant,
    Revoke,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Provision,
    Approval,
}

impl Task {
    /// A grant of an entitlement, approved, at its provision step.
    pub fn grant(entitlement: Entitlement, subject: Person) -> Self {
        Self::new(Action::Grant, entitlement, subject)
    }

    /// A revoke of an entitlement, at its provision step.
    pub fn revoke(entitlement: Entitlement, subject: Person) -> Self {
        Self::new(Action::Revoke, entitlement, subject)
    }

    fn new(action: Action, entitlement: Entitlement, subject: Person) -> Self {
        Self {
            action,
            step: Step::Provision,
            entitlement,
            subject,
            requester: None,
            approver: Person::newcomer("ola.owner@example.com"),
            app: App::default(),
            id: id::fresh(),
            numeric_id: fastrand::u32(1000..1_000_000),
            step_id: id::fresh(),
            grant_duration: None,
            asked_in_slack: false,
            style: Style::default(),
            edits: Vec::new(),
        }
    }

    /// The same task one step earlier: whether to approve it is asked.
    #[must_use]
    pub fn awaiting_approval(self) -> Self {
        Self { step: Step::Approval, ..self }
    }

    /// Written in this style.
    #[must_use]
    pub fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }

    /// With this task id; without it, a new one.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }

    /// With this step id; without it, a new one.
    #[must_use]
    pub fn step_id(self, id: &str) -> Self {
        Self { step_id: id.to_owned(), ..self }
    }

    /// Of another app.
    #[must_use]
    pub fn app(self, app: App) -> Self {
        Self { app, ..self }
    }

    /// Asked for by somebody else than the subject (grant) or the approver (revoke).
    #[must_use]
    pub fn requested_by(self, requester: Person) -> Self {
        Self { requester: Some(requester), ..self }
    }

    /// Approved by this person.
    #[must_use]
    pub fn approved_by(self, approver: Person) -> Self {
        Self { approver, ..self }
    }

    /// Granted for a time, in seconds.
    #[must_use]
    pub fn for_seconds(self, seconds: u32) -> Self {
        Self { grant_duration: Some(format!("{seconds}s")), ..self }
    }

    /// Asked for in Slack, which says more about where from than the web application does.
    #[must_use]
    pub fn asked_in_slack(self) -> Self {
        Self { asked_in_slack: true, ..self }
    }

    /// With another value at a JSON pointer (RFC 6901) into the payload, such as `/taskView/task/state`.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        self.edits.push((pointer.to_owned(), Some(value.into())));
        self
    }

    /// Without the field at a JSON pointer into the payload.
    #[must_use]
    pub fn without(mut self, pointer: &str) -> Self {
        self.edits.push((pointer.to_owned(), None));
        self
    }

    /// The event's name.
    pub(super) fn event(&self) -> &'static str {
        match self.step {
            Step::Provision => "c1.webhooks.v1.PayloadProvisionStep",
            Step::Approval => "c1.webhooks.v1.PayloadPolicyApprovalStep",
        }
    }

    /// The payload, without its `@type`.
    pub(super) fn payload(&self, webhook_id: &str) -> Value {
        let mut expanded = vec![self.app.expanded(), self.entitlement.expanded(&self.app, webhook_id)];
        let account = self.subject.expanded_account(&self.app).map(|account| push(&mut expanded, account));
        let subject = push(&mut expanded, self.subject.expanded_identity());
        let mut person = |person: &Person| {
            let id = json!(person.identity_id);
            expanded
                .iter()
                .position(|object| object.get("id") == Some(&id))
                .map_or_else(|| push(&mut expanded, person.expanded_identity()), path)
        };
        let requester = person(self.requester());
        let approver = person(&self.approver);
        let approvers = if self.approved() { approver } else { String::new() };
        let mut payload = json!({
            "taskView": {
                "task": self.task(webhook_id),
                "appPath": path(0),
                "entitlementsPath": path(1),
                "appUserPath": account.unwrap_or_default(),
                "userPath": subject,
                "identityUserPath": subject,
                "createdByUserPath": requester,
                "approversPath": approvers,
                "stepApproversPath": "",
                "accessReviewPath": "",
                "insightsPath": "",
                "appUserLastUsagePath": "",
                "principalResourcePath": "",
                "resourceBindingsPath": "",
                "roleResourcePath": "",
                "scopeResourcePath": "",
            },
            "expanded": expanded,
        });
        if self.style == Style::Compact {
            drop_unset(&mut payload);
        }
        for (pointer, value) in &self.edits {
            edit(&mut payload, pointer, value.as_ref());
        }
        payload
    }

    fn task(&self, webhook_id: &str) -> Value {
        let created = chrono::Utc::now() - chrono::Duration::seconds(60);
        let at = |seconds: i64| (created + chrono::Duration::seconds(seconds)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (verb, preposition, policy) = match self.action {
            Action::Grant => ("Grant", "to", "POLICY_TYPE_GRANT"),
            Action::Revoke => ("Revoke", "from", "POLICY_TYPE_REVOKE"),
        };
        let history = if self.approved() {
            json!([{
                "id": id::derived(&format!("approval of {}", self.id)),
                "state": "POLICY_STEP_STATE_DONE",
                "policyGenerationId": id::derived("policy generation"),
                "approval": {
                    "approval": { "appOwners": {} },
                    "approved": { "approvedAt": at(30), "userId": self.approver.identity_id },
                },
            }])
        } else {
            json!([])
        };
        json!({
            "id": self.id,
            "numericId": self.numeric_id.to_string(),
            "displayName": format!(
                "{verb} {} {preposition} {}", self.entitlement.display_name, self.subject.display_name()
            ),
            "description": "",
            "type": self.task_type(&at(60)),
            "state": "TASK_STATE_OPEN",
            "processing": "TASK_PROCESSING_TYPE_WAITING",
            "origin": match self.action {
                Action::Grant if self.asked_in_slack => "TASK_ORIGIN_SLACK",
                Action::Grant => "TASK_ORIGIN_WEBAPP",
                Action::Revoke => "TASK_ORIGIN_TIME_REVOKE",
            },
            "userId": self.subject.identity_id,
            "createdByUserId": self.requester().identity_id,
            "policy": {
                "current": self.current_step(webhook_id),
                "history": history,
                "next": [],
                "policy": {
                    "id": id::derived("policy"),
                    "displayName": "App owner approval",
                    "policyType": policy,
                    "systemBuiltin": false,
                },
            },
            "policyGenerationId": id::derived("policy generation"),
            "actions": ["TASK_ACTION_TYPE_COMMENT"],
            "approverIds": [self.approver.identity_id],
            "stepApproverIds": [],
            "insightIds": [],
            "annotations": [],
            "externalRefs": [],
            "revocationTargets": [],
            "commentCount": 0,
            "emergencyAccess": false,
            "recommendation": "INSIGHT_RECOMMENDATION_UNSPECIFIED",
            "analysisId": "",
            "data": null,
            "form": null,
            "createdAt": at(0),
            "updatedAt": at(60),
            "deletedAt": null,
        })
    }

    fn task_type(&self, now: &str) -> Value {
        let common = json!({
            "appId": self.app.id,
            "appEntitlementId": self.entitlement.id,
            "appUserId": self.app_user_id(),
            "identityUserId": self.subject.identity_id,
            "outcomeTime": null,
        });
        let (kind, more) = match self.action {
            Action::Grant => (
                "grant",
                json!({
                    "grantDuration": self.grant_duration,
                    "outcome": "GRANT_OUTCOME_UNSPECIFIED",
                    "source": self.asked_in_slack.then(|| json!({
                        "requestId": "", "conversationId": "", "externalUrl": "", "integrationId": "",
                        "isExtension": false,
                    })),
                }),
            ),
            Action::Revoke => (
                "revoke",
                json!({
                    "outcome": "REVOKE_OUTCOME_UNSPECIFIED",
                    "source": { "expired": { "expiredAt": now } },
                }),
            ),
        };
        let mut fields = common;
        if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
            fields.extend(more);
        }
        json!({ kind: fields })
    }

    fn current_step(&self, webhook_id: &str) -> Value {
        let mut step = json!({
            "id": self.step_id,
            "state": "POLICY_STEP_STATE_ACTIVE",
            "policyGenerationId": id::derived("policy generation"),
        });
        let (kind, instance) = match self.step {
            Step::Provision => (
                "provision",
                json!({
                    "provision": {
                        "provisionPolicy": { "webhook": { "webhookId": webhook_id } },
                        "provisionTarget": {
                            "appId": self.app.id,
                            "appEntitlementId": self.entitlement.id,
                            "appUserId": self.app_user_id(),
                            "grantDuration": self.grant_duration,
                        },
                        "assigned": true,
                    },
                    "state": "PROVISION_INSTANCE_STATE_WEBHOOK",
                    "webhookId": webhook_id,
                    "webhookInstanceId": id::derived(&format!("webhook instance of {}", self.step_id)),
                    "notificationId": "",
                    "externalTicketId": "",
                    "externalTicketProvisionerConfigId": "",
                    "batonActionInvocationId": "",
                }),
            ),
            Step::Approval => {
                ("approval", json!({ "approval": { "webhook": { "webhookId": webhook_id }, "assigned": true } }))
            }
        };
        if let Value::Object(step) = &mut step {
            step.insert(kind.into(), instance);
        }
        step
    }

    /// Whether somebody has approved the task already.
    fn approved(&self) -> bool {
        self.action == Action::Grant && self.step == Step::Provision
    }

    fn requester(&self) -> &Person {
        self.requester.as_ref().unwrap_or(match self.action {
            Action::Grant => &self.subject,
            Action::Revoke => &self.approver,
        })
    }

    fn app_user_id(&self) -> &str {
        self.subject.account.as_ref().map_or("", |account| &account.id)
    }
}

fn push(expanded: &mut Vec<Value>, object: Value) -> String {
    expanded.push(object);
    path(expanded.len() - 1)
}

fn path(index: usize) -> String {
    format!("$.expanded[{index}]")
}
