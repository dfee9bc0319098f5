//! What is asked of the connector, by whatever way it comes: an action, an entitlement as somebody names it, a person as somebody
//! knows them.

use crate::base::json::Deserialize;
use crate::base::order;
use serde::{Deserializer, Serialize};

use super::grant::{Entitlement, Principal};
use super::id::{MemberId, UserId};

/// What a step asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Give access.
    Grant,
    /// Take access away.
    Revoke,
}

/// How C1 names an entitlement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementRef {
    /// C1's own id of it.
    pub id: Option<String>,
    /// Texts that may be the connector's id of it, the likeliest first (`reference/conductorone.md` 2.5).
    pub candidates: Vec<String>,
    /// The name people see, such as `Administrator Member Role`.
    pub display_name: Option<String>,
    /// The app's builtin entitlement: to have it is to have an account.
    pub builtin: bool,
}

impl EntitlementRef {
    /// The entitlements of this connector that it names by an id, each once.
    pub fn entitlements(&self) -> Vec<Entitlement> {
        let mut found: Vec<Entitlement> =
            self.candidates.iter().filter_map(|text| Entitlement::recognise(text)).collect();
        order::sort(&mut found);
        found.dedup();
        found
    }

    /// What it means, as far as that can be said of it alone.
    pub fn meaning(&self) -> Meaning<'_> {
        let ids = self.entitlements();
        // Only the flag tells: the builtin entitlement's name is the customer's to choose.
        match (self.builtin, ids.as_slice()) {
            (true, []) => Meaning::Account,
            (false, [one]) => Meaning::Entitlement(*one),
            (false, []) => {
                // A Baton id that is none of ours is of something else, whatever that is called; what a CSV file's are known by has no colon.
                let is_another = self.candidates.iter().any(|id| id.contains(':'));
                let name = self.display_name.as_deref().map(str::trim).filter(|name| !is_another && !name.is_empty());
                name.map_or(Meaning::Nothing, Meaning::Called)
            }
            (account, _) => Meaning::Several { account, entitlements: ids },
        }
    }

    /// Whether both name the same entitlement: the same id of C1's, and no other id of this connector.
    pub fn is_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.entitlements(), other.entitlements());
        let same_id = match (&self.id, &other.id) {
            (Some(one), Some(other)) => one == other,
            _ => self.display_name == other.display_name || (!ours.is_empty() && ours == theirs),
        };
        same_id && self.builtin == other.builtin && (ours.is_empty() || theirs.is_empty() || ours == theirs)
    }
}

/// What an entitlement means that C1 names: an id decides, wherever C1 may have put it (`reference/conductorone.md` 2.5), and without one the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// Having an account.
    Account,
    /// The one that its ids name.
    Entitlement(Entitlement),
    /// It has no Baton id: whatever alone has this name.
    Called(&'a str),
    /// Its ids name several at once.
    Several {
        /// Whether having an account is one of them.
        account: bool,
        /// The others.
        entitlements: Vec<Entitlement>,
    },
    /// It has no id of this connector, and either no name or an id of something else.
    Nothing,
}

/// Who a step is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// E-mail addresses, the likeliest first.
    pub emails: Vec<String>,
    /// The membership id that the last sync told C1: a hint, since a new invitation has a new one.
    #[serde(default, deserialize_with = "readable")]
    pub member_id: Option<MemberId>,
    /// The Cloudflare user id that the last sync told C1.
    #[serde(default, deserialize_with = "readable")]
    pub user_id: Option<UserId>,
    /// The name people see.
    pub display_name: Option<String>,
    /// Whether C1 knows an account of the person in the app.
    pub has_account: bool,
}

impl Subject {
    /// Somebody of whom the e-mail address is known, and no account.
    pub fn of_email(email: impl Into<String>) -> Self {
        Self { emails: vec![email.into()], ..Self::default() }
    }

    /// Whether both may be the same person: the user ids decide, else they share a membership or an address.
    pub fn is_same(&self, other: &Self) -> bool {
        if let (Some(one), Some(other)) = (self.user_id, other.user_id) {
            return one == other;
        }
        let has = |address: &String| other.emails.iter().any(|known| super::address::same(known, address));
        let same_membership = self.member_id.is_some() && self.member_id == other.member_id;
        same_membership || self.emails.iter().any(has) || (self.is_nobody() && other.is_nobody())
    }

    /// Somebody of whom there is one id, and nobody knows of what kind it is.
    pub const fn of_untyped(user: UserId, membership: MemberId) -> Self {
        Self {
            emails: Vec::new(),
            member_id: Some(membership),
            user_id: Some(user),
            display_name: None,
            has_account: true,
        }
    }

    /// Whether the user id and the membership id are one id, of which it is not known which of the two it is.
    pub fn is_untyped(&self) -> bool {
        self.user_id.map(UserId::bytes) == self.member_id.map(MemberId::bytes) && self.user_id.is_some()
    }

    /// Whom the ids name: the user, and the invitation.
    pub fn principals(&self) -> impl Iterator<Item = Principal> {
        let ids = [self.user_id.map(Principal::User), self.member_id.map(Principal::Invitation)];
        ids.into_iter().flatten()
    }

    /// Whether a membership is theirs by one of the ids, whatever the address is.
    pub fn is_by_id(&self, membership: MemberId, user: Option<UserId>) -> bool {
        self.member_id == Some(membership) || (user.is_some() && self.user_id == user)
    }

    /// Whether a user is somebody else by the user ids.
    pub fn is_another(&self, user: Option<UserId>) -> bool {
        !self.is_untyped() && self.user_id.zip(user).is_some_and(|(ours, theirs)| ours != theirs)
    }

    /// Whether there is nothing by which the person could be found.
    pub const fn is_nobody(&self) -> bool {
        self.emails.is_empty() && self.user_id.is_none() && self.member_id.is_none()
    }

    /// The person as a sentence names them.
    pub fn shown(&self) -> String {
        let user = || self.user_id.map(|id| format!("user {id}"));
        let member = || self.member_id.map(|id| format!("membership {id}"));
        self.emails.first().cloned().or_else(user).or_else(member).unwrap_or_else(|| "the person".to_owned())
    }
}

/// An id; one of another form, as an earlier version stored whatever C1 sent, counts as none.
fn readable<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::Subject;

    #[test]
    fn a_stored_id_that_is_none_is_left_out_and_the_rest_is_read() {
        let id = "05784afa30c1afe1440e79d9351c7430";
        let stored = format!(
            r#"{{"emails":["jane@example.com"],"member_id":"m-17","user_id":"{id}","display_name":null,"has_account":true}}"#
        );
        let subject: Subject = serde_json::from_str(&stored).unwrap();
        assert_eq!((subject.member_id, subject.user_id), (None, Some(id.parse().unwrap())));
        assert_eq!(serde_json::to_value(&subject).unwrap()["user_id"], id, "as it always stood");
    }
}
