//! Decides what to change of an entitlement from what is there, and what to put back. No I/O.

use crate::conductorone::apps::Policy;

/// What is to be done about an entitlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Both sides lead to the webhook.
    Already,
    /// These sides are to lead to the webhook.
    Change {
        /// Whether the provisioner is one of them.
        provisioner: bool,
        /// Whether the deprovisioner is one of them.
        deprovisioner: bool,
    },
    /// Somebody set it up on purpose; the text says what is there.
    Custom(String),
    /// Somebody changed it after a run came to an end with it.
    ChangedSince,
}

/// Decides for an entitlement. `former` are webhooks of this connector from before. One that is `settled` leads to one of ours, or somebody
/// changed it since.
pub(super) fn decide(
    provisioner: &Policy,
    deprovisioner: &Policy,
    webhook: &str,
    former: &[String],
    overwrite: bool,
    settled: bool,
) -> Decision {
    let leads_there = |policy: &Policy| policy.webhook_id() == Some(webhook);
    if leads_there(provisioner) && leads_there(deprovisioner) {
        return Decision::Already;
    }
    let of_ours =
        |policy: &Policy| policy.webhook_id().is_some_and(|id| id == webhook || former.iter().any(|known| known == id));
    let custom = |policy: &Policy| !overwrite && !of_ours(policy) && is_custom(policy);
    // One side that was set on purpose may count on what the other one is by default: both stay.
    match (custom(provisioner), custom(deprovisioner)) {
        (false, false) if settled && !(of_ours(provisioner) && of_ours(deprovisioner)) => Decision::ChangedSince,
        (false, false) => {
            Decision::Change { provisioner: !leads_there(provisioner), deprovisioner: !leads_there(deprovisioner) }
        }
        (true, false) => Decision::Custom(format!("provisioning is {}", describe(provisioner))),
        (false, true) => Decision::Custom(format!("deprovisioning is {}", describe(deprovisioner))),
        (true, true) => Decision::Custom(format!(
            "provisioning is {} and deprovisioning is {}",
            describe(provisioner),
            describe(deprovisioner)
        )),
    }
}

/// Whether somebody must have set this up on purpose: anything but what C1 sets by itself, which is nothing, "unconfigured", the
/// connector, or a manual step without instructions and assignees.
fn is_custom(policy: &Policy) -> bool {
    match policy.kind() {
        None | Some(("unconfigured" | "connector", _)) => false,
        Some(("manual", what)) => what.as_object().is_none_or(|fields| !fields.is_empty()),
        Some(_) => true,
    }
}

/// A policy in words, as they read after "is".
pub(super) fn describe(policy: &Policy) -> String {
    let short = |text: &str| text.chars().take(40).collect::<String>();
    let told = match policy.kind() {
        None => "not set",
        Some(("unconfigured", _)) => "unconfigured",
        Some(("connector", _)) => "the connector",
        Some(("manual", _)) => "a manual step",
        Some(("multiStep", _)) => "several steps",
        Some(("delegated", _)) => "delegated to another entitlement",
        Some(("externalTicket", _)) => "an external ticket",
        Some(("webhook", _)) => {
            return format!("the webhook {}", short(policy.webhook_id().unwrap_or("without an id")));
        }
        Some((other, _)) => return format!("of the kind {:?}", short(other)),
    };
    told.to_owned()
}

/// What is to be done about one side when it is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// It is as it was before.
    Already,
    /// It is as we left it, and goes back.
    Restore,
    /// Somebody changed it since.
    Changed,
}

/// Decides about one side. `ours` are the webhooks that this connector pointed it at.
pub(super) fn put_back(current: &Policy, before: &Policy, ours: &[String]) -> Back {
    if current == before {
        Back::Already
    } else if current.webhook_id().is_some_and(|id| ours.iter().any(|known| known == id)) {
        Back::Restore
    } else {
        Back::Changed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Back, Decision, decide, describe, put_back};
    use crate::conductorone::apps::Policy;

    fn policy(value: &Value) -> Policy {
        Policy::of(Some(value.clone()))
    }

    #[test]
    fn what_c1_sets_by_itself_is_changed_and_what_people_set_is_not() {
        let ours = json!({ "webhook": { "webhookId": "w" } });
        let change = |provisioner, deprovisioner| Some(Decision::Change { provisioner, deprovisioner });
        let table = [
            (json!(null), json!(null), change(true, true)),
            (json!({ "connector": {} }), json!(null), change(true, true)),
            (json!({ "unconfigured": {} }), json!({ "manual": {} }), change(true, true)),
            (json!({ "connector": { "account": { "x": 1 } } }), json!({ "connector": {} }), change(true, true)),
            (json!({ "manual": { "userIds": [], "instructions": "" } }), json!(null), change(true, true)),
            (ours.clone(), json!(null), change(false, true)),
            (json!(null), ours.clone(), change(true, false)),
            (ours.clone(), ours.clone(), Some(Decision::Already)),
            (json!({ "webhook": { "webhookId": "former" } }), ours.clone(), change(true, false)),
            (json!({ "webhook": { "webhookId": "other" } }), json!(null), None),
            (json!({ "manual": { "instructions": "Ask Jane." } }), json!(null), None),
            (json!({ "multiStep": { "provisionSteps": [ours.clone()] } }), ours.clone(), None),
            (ours, json!({ "delegated": { "appId": "a" } }), None),
            (json!(null), json!({ "externalTicket": {} }), None),
            (json!({ "teleport": {} }), json!(null), None),
        ];
        for (provisioner, deprovisioner, expected) in table {
            let what = format!("{provisioner} {deprovisioner}");
            let (provisioner, deprovisioner) = (policy(&provisioner), policy(&deprovisioner));
            let decided =
                |overwrite| decide(&provisioner, &deprovisioner, "w", &["former".to_owned()], overwrite, false);
            if let Some(expected) = expected {
                assert_eq!(decided(false), expected, "{what}");
            } else {
                assert!(matches!(decided(false), Decision::Custom(_)), "{what}: {:?}", decided(false));
                assert!(matches!(decided(true), Decision::Change { .. }), "{what}: {:?}", decided(true));
            }
        }
    }

    #[test]
    fn what_was_settled_and_leads_elsewhere_was_changed_since() {
        let (ours, former) = (Policy::webhook("w"), Policy::webhook("former"));
        let connector = policy(&json!({ "connector": {} }));
        let change = |provisioner, deprovisioner| Decision::Change { provisioner, deprovisioner };
        for (provisioner, deprovisioner, settled, expected) in [
            (&connector, &connector, true, Decision::ChangedSince),
            (&connector, &ours, true, Decision::ChangedSince),
            (&ours, &connector, true, Decision::ChangedSince),
            (&ours, &ours, true, Decision::Already),
            // The Worker is reached at another address by now.
            (&former, &ours, true, change(true, false)),
            (&former, &former, true, change(true, true)),
            (&connector, &ours, false, change(true, false)),
        ] {
            let decided = decide(provisioner, deprovisioner, "w", &["former".to_owned()], false, settled);
            assert_eq!(decided, expected, "{provisioner:?} {deprovisioner:?} {settled}");
        }
        let ticket = policy(&json!({ "externalTicket": {} }));
        assert!(matches!(decide(&ticket, &ours, "w", &[], false, true), Decision::Custom(_)));
    }

    #[test]
    fn only_what_is_as_we_left_it_goes_back() {
        let (before, ours) = (policy(&json!({ "connector": {} })), ["w".to_owned(), "former".to_owned()]);
        assert_eq!(put_back(&before, &before, &ours), Back::Already);
        assert_eq!(put_back(&Policy::webhook("w"), &before, &ours), Back::Restore);
        assert_eq!(put_back(&Policy::webhook("former"), &before, &ours), Back::Restore);
        assert_eq!(put_back(&Policy::webhook("other"), &before, &ours), Back::Changed);
        assert_eq!(put_back(&Policy::default(), &before, &ours), Back::Changed);
    }

    #[test]
    fn a_policy_is_told_in_words() {
        assert_eq!(describe(&Policy::default()), "not set");
        assert_eq!(describe(&Policy::webhook("w")), "the webhook w");
        assert_eq!(describe(&policy(&json!({ "teleport": {} }))), "of the kind \"teleport\"");
    }
}
