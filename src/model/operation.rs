//! What is asked of the connector, and how it ends: the same for a webhook and for a REST call.

use serde::{Deserializer, Serialize};

use crate::base::json::Deserialize;
use crate::base::time::Timestamp;
use crate::base::words::words;
use crate::model::ask::{Action, EntitlementRef, Subject};
use crate::model::grant::{Entitlement, Holding, Principal};

/// The number of an operation in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId(pub i64);

/// One operation to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What identifies the operation, however often it is delivered: C1's task and step ids. A REST call has none.
    pub key: Option<String>,
    /// Grant or revoke.
    pub action: Action,
    /// What is granted or revoked.
    pub target: Target,
    /// Who is concerned.
    pub subject: Subject,
    /// Who asked.
    pub origin: Origin,
}

impl Request {
    /// Whether another asks for the same: the same action, entitlement and person. What is told of those may differ, since a sync may
    /// have been between two deliveries of one task; what contradicts may not.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.action == other.action && self.target.is_same(&other.target) && self.subject.is_same(&other.subject)
    }
}

/// What is granted or revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "StoredTarget")]
pub enum Target {
    /// An entitlement under its own id, as a REST path names it.
    #[serde(rename = "id")]
    Entitlement(Entitlement),
    /// An entitlement as C1 names it.
    Named(EntitlementRef),
    /// An account in Cloudflare, whatever roles it has.
    Account,
    /// A new invitation in the place of one that expired or got stuck, with what that one holds.
    Renewal,
}

impl Target {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(one), Self::Named(other)) => one.is_same(other),
            (one, other) => one == other,
        }
    }
}

impl From<Holding> for Target {
    fn from(what: Holding) -> Self {
        match what {
            Holding::Entitlement(entitlement) => Self::Entitlement(entitlement),
            Holding::Account => Self::Account,
        }
    }
}

/// A target as it is stored. What was to be an id may be any text in what an earlier version stored.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredTarget {
    Id(String),
    Named(EntitlementRef),
    Account,
    Renewal,
}

impl From<StoredTarget> for Target {
    fn from(stored: StoredTarget) -> Self {
        match stored {
            StoredTarget::Id(text) => match text.parse() {
                Ok(entitlement) => Self::Entitlement(entitlement),
                Err(_) => Self::Named(EntitlementRef { candidates: vec![text], ..EntitlementRef::default() }),
            },
            StoredTarget::Named(named) => Self::Named(named),
            StoredTarget::Account => Self::Account,
            StoredTarget::Renewal => Self::Renewal,
        }
    }
}

/// Who asked for an operation: what an audit wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `webhook`, `rest` or `scim`.
    pub by: String,
    /// C1's task.
    pub task: Option<String>,
    /// The task's number, as people see it.
    pub task_number: Option<String>,
    /// C1's app; of a grant that a task of another app leads here both, that one first, with a blank between.
    pub app_id: Option<String>,
    /// Who asked for it in C1.
    pub requester: Option<String>,
    /// Who approved it in C1.
    pub approvers: Vec<String>,
    /// For how many seconds C1 grants it; nothing where it is for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_secs: Option<i64>,
    /// Whether that is longer than it was granted for before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extends: bool,
    /// What the token that it came with may do, by REST and SCIM: `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// Of one of the operations that a SCIM request for a Group is: the operation that came last before the request, which all of them are as old as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EntryId>,
}

/// How an [`Outcome`] is read: by its `outcome` (`base::json`).
#[derive(serde::Deserialize)]
#[serde(remote = "Outcome", rename = "#outcome", rename_all = "snake_case")]
#[allow(dead_code, reason = "serde makes the outcomes themselves")]
enum ReadOutcome {
    Done {
        effect: Effect,
        message: String,
        #[serde(default)]
        account: Option<Account>,
    },
    Refused {
        code: Refusal,
        message: String,
    },
    NotNow {
        message: String,
        retry_at: Option<Timestamp>,
    },
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadOutcome::deserialize(deserializer)
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is done: the account is as was asked for.
    Done {
        /// Whether anything had to change.
        effect: Effect,
        /// A sentence for the task's history.
        message: String,
        /// The account that something was granted to, where the operation knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<Account>,
    },
    /// It cannot be done, and trying again will not help.
    Refused {
        /// A stable word for the reason.
        code: Refusal,
        /// A sentence that says which rule, and what to do.
        message: String,
    },
    /// It could not be done now; trying again may help.
    NotNow {
        /// A sentence for the log.
        message: String,
        /// When to try again, where that is known.
        retry_at: Option<Timestamp>,
    },
}

/// The account of a person, under the ids that a snapshot gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `user`, or `invitation` while the person has not accepted.
    pub resource_type: String,
    /// The user's id, or the membership's.
    pub id: String,
    /// The e-mail address.
    pub email: String,
}

impl Account {
    /// The account of somebody, under an e-mail address.
    pub fn of(principal: Principal, email: &str) -> Self {
        Self { resource_type: principal.kind().as_str().to_owned(), id: principal.id(), email: email.to_owned() }
    }
}

/// What a finished operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The access was given.
    Granted,
    /// It was there already.
    AlreadyGranted,
    /// The access was taken away.
    Revoked,
    /// It was gone already.
    AlreadyRevoked,
    /// The person was invited.
    Invited,
    /// The member was removed, or the invitation cancelled.
    Removed,
    /// The invitation was removed and made again.
    Renewed,
}

words! {
    /// Why an operation is refused.
    pub enum Refusal {
        /// `PROVISIONING` is off.
        ProvisioningOff = "provisioning_off",
        /// No entitlement of the account is meant.
        UnknownEntitlement = "unknown_entitlement",
        /// More than one entitlement could be meant.
        AmbiguousEntitlement = "ambiguous_entitlement",
        /// Nobody in the account is meant.
        UnknownMember = "unknown_member",
        /// More than one member could be meant, or the ids and the address name different ones.
        AmbiguousMember = "ambiguous_member",
        /// Another operation came before under the same key.
        KeyConflict = "key_conflict",
        /// There is no invitation to renew: it was accepted.
        NotPending = "not_pending",
        /// The person declined the invitation.
        Declined = "declined",
        /// An identity provider manages the user group.
        ManagedElsewhere = "managed_elsewhere",
        /// The member cannot be in a user group.
        NotEligible = "not_eligible",
        /// The member would be left without any access.
        LastRole = "last_role",
        /// The member has a policy that this version cannot write back unchanged.
        UnknownPolicy = "unknown_policy",
        /// Cloudflare's record of the member cannot be read in full.
        UnreadableMember = "unreadable_member",
        /// The member is on the list of those whose access is never changed.
        ProtectedMember = "protected_member",
        /// The member is the owner of the connector's own API token.
        TokenOwner = "token_owner",
        /// Too few Super Administrators would be left.
        MinSuperAdmins = "min_super_admins",
        /// The access comes through a user group.
        HeldThroughGroup = "held_through_group",
        /// The cap on revokes and removals within an hour is reached.
        RemovalCap = "removal_cap",
        /// The C1 app is not on the list of those whose tasks are carried out.
        AppNotAllowed = "app_not_allowed",
        /// A new account needs a role, and none is configured.
        NoDefaultRole = "no_default_role",
        /// Cloudflare refused it.
        Cloudflare = "cloudflare_refused" | "cloudflare",
        /// A newer operation asked for the contrary and was carried out.
        Superseded = "superseded",
        /// It could not be carried out for so long that it was given up.
        GaveUp = "gave_up",
    }
}

impl Outcome {
    /// The same, with the account that something was granted to; one that it tells already stays.
    #[must_use]
    pub fn to_account(self, to: impl FnOnce() -> Account) -> Self {
        match self {
            Self::Done { effect, message, account: None } => Self::Done { effect, message, account: Some(to()) },
            other => other,
        }
    }

    /// A refusal.
    pub fn refused(code: Refusal, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    /// Its sentence.
    pub fn message(&self) -> &str {
        match self {
            Self::Done { message, .. } | Self::Refused { message, .. } | Self::NotNow { message, .. } => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Refusal, Request, Target};
    use crate::model::ask::{Action, EntitlementRef, Subject};

    #[test]
    fn a_delivery_that_comes_again_may_know_more_and_may_not_ask_for_something_else() {
        let id = |n: u8| format!("{n:032x}");
        let named = |id: &str, candidates: &[String]| {
            Target::Named(EntitlementRef {
                id: Some(id.to_owned()),
                candidates: candidates.to_vec(),
                ..EntitlementRef::default()
            })
        };
        let role = |n: u8| format!("role:{}:member", id(n));
        let first = Request {
            key: Some("task/step".to_owned()),
            action: Action::Grant,
            target: named("e1", &[role(1)]),
            subject: Subject { user_id: id(7).parse().ok(), ..Subject::of_email("jane@example.com") },
            origin: Origin::default(),
        };
        let same = [
            Request { target: named("e1", &[]), ..first.clone() },
            Request { subject: Subject::of_email("JANE@example.com"), ..first.clone() },
            Request {
                subject: Subject { user_id: id(7).parse().ok(), ..Subject::of_email("new@example.com") },
                ..first.clone()
            },
        ];
        for again in same {
            assert!(first.asks_the_same(&again) && again.asks_the_same(&first), "{again:?}");
        }
        let others = [
            Request { action: Action::Revoke, ..first.clone() },
            Request { target: named("e2", &[role(1)]), ..first.clone() },
            Request { target: named("e1", &[role(2)]), ..first.clone() },
            Request { target: Target::Account, ..first.clone() },
            Request { subject: Subject::of_email("joe@example.com"), ..first.clone() },
            Request {
                subject: Subject { user_id: id(8).parse().ok(), ..Subject::of_email("jane@example.com") },
                ..first.clone()
            },
            Request { subject: Subject::default(), ..first.clone() },
        ];
        for other in others {
            assert!(!first.asks_the_same(&other) && !other.asks_the_same(&first), "{other:?}");
        }
    }

    #[test]
    fn a_target_is_stored_as_it_always_was_and_an_unreadable_id_is_still_a_target() {
        let id = "role:05784afa30c1afe1440e79d9351c7430:member";
        let stored = serde_json::json!({ "id": id });
        let target: Target = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(target, Target::Entitlement(id.parse().unwrap()));
        assert_eq!(serde_json::to_value(&target).unwrap(), stored);
        let odd: Target = serde_json::from_str(r#"{"id":"role:x:member"}"#).unwrap();
        assert!(matches!(odd, Target::Named(named) if named.candidates == ["role:x:member"]));
        for plain in [Target::Account, Target::Renewal] {
            let text = serde_json::to_string(&plain).unwrap();
            assert_eq!(serde_json::from_str::<Target>(&text).unwrap(), plain, "{text}");
        }
    }

    #[test]
    fn the_journal_and_the_answers_have_the_same_words() {
        for refusal in [Refusal::Cloudflare, Refusal::LastRole, Refusal::NotPending, Refusal::ManagedElsewhere] {
            assert_eq!(serde_json::json!(refusal), refusal.as_str());
        }
        assert_eq!(
            serde_json::from_str::<Refusal>("\"cloudflare\"").unwrap(),
            Refusal::Cloudflare,
            "as it was stored once"
        );
    }
}
