//! API tokens that the account owns: who made one, what it may do, and where it may be used from (`reference/tokens.md` b.1).

use crate::base::json::Deserialize;
use crate::base::order;
use crate::base::tree::BTreeMap;

use serde::Serialize;

use super::access::Access;
use super::grant::Principal;
use super::id::TokenId;
use super::scope::Scope;
use crate::base::time::Timestamp;

/// An API token that the account owns. Its secret is never known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token's id.
    pub id: TokenId,
    /// The token's name.
    pub name: String,
    /// `active`, `disabled`, `expired`, or another word of Cloudflare's.
    pub status: String,
    /// When it was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_on: Option<Timestamp>,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<Timestamp>,
    /// The day it was last used: a finer time would make every snapshot differ from the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_day: Option<String>,
    /// It is refused before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The e-mail address that its creator had when it was made; it stays when the person goes or changes the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// Who has that address now: nobody where the creator left, or has another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_is: Option<String>,
    /// What made it on somebody's behalf, such as `oauth`, and that one's id where Cloudflare tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<(String, Option<String>)>,
    /// That one's key, where it is among the rows: `oauth_client:<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioner_is: Option<String>,
    /// What it may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<TokenPolicy>,
    /// Why its policies are not all known, as it was just read: a generation has what was known of them before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What is told of it in a form that cannot be read, and was not known before: see [`Self::fill_from`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<String>,
    /// How many permission groups and objects there are beside those in its policies.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u32,
    /// Its permission groups that Cloudflare withdraws, by name, each with the day from which it is no more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ending: BTreeMap<String, String>,
    /// The addresses it may be used from, and those it may not; everywhere where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// See [`Self::from`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_from: Vec<String>,
    /// Whether it is the one that this connector calls with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_own: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One policy of a token: permission groups on objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPolicy {
    /// Allowed or denied.
    pub access: Access,
    /// The permission groups' names by their ids, which are others than those that members hold.
    pub groups: BTreeMap<String, String>,
    /// On what.
    pub scope: Scope,
}

impl TokenPolicy {
    /// The permission groups' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(id, name)| if name.is_empty() { id.as_str() } else { name.as_str() })
    }

    /// In a few words, such as `DNS Write and 1 more on example.com`.
    pub fn told(&self) -> String {
        let mut names: Vec<&str> = self.names().collect();
        order::sort(&mut names);
        let what = match names.as_slice() {
            [] => "nothing".to_owned(),
            [one] => (*one).to_owned(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        let on = self.scope.in_short(0).or_else(|| self.scope.told().into_iter().next());
        self.access.told(format!("{what} on {}", on.as_deref().unwrap_or("nothing")))
    }
}

impl Token {
    /// A token keeps at most this many permission groups and objects in all its policies, 100 KB; of more it tells how many.
    pub const MAX: usize = 1_000;

    /// An active token of which nothing else is told.
    pub fn bare(id: TokenId, name: String) -> Self {
        Self {
            id,
            name,
            status: "active".to_owned(),
            issued_on: None,
            expires_on: None,
            last_used_day: None,
            not_before: None,
            creator: None,
            creator_is: None,
            provisioner: None,
            provisioner_is: None,
            policies: Vec::new(),
            unread: None,
            untold: Vec::new(),
            unlisted: 0,
            ending: BTreeMap::new(),
            from: Vec::new(),
            not_from: Vec::new(),
            is_own: false,
        }
    }

    /// What of Cloudflare's fields may not be readable by itself.
    pub const EXPIRES: &'static str = "expires_on";
    /// See [`Self::EXPIRES`].
    pub const LAST_USED: &'static str = "last_used_on";
    /// See [`Self::EXPIRES`].
    pub const ADDRESSES: &'static str = "condition.request_ip";

    /// Whether it is known of a field what is in it, or that nothing is.
    pub fn is_told(&self, field: &str) -> bool {
        !self.untold.iter().any(|untold| untold == field)
    }

    /// Takes over what was known before of what cannot be read now.
    pub fn fill_from(&mut self, was: &Self) {
        for field in &self.untold {
            match field.as_str() {
                Self::EXPIRES => self.expires_on = was.expires_on,
                Self::LAST_USED => self.last_used_day.clone_from(&was.last_used_day),
                Self::ADDRESSES => (self.from, self.not_from) = (was.from.clone(), was.not_from.clone()),
                "not_before" => self.not_before = was.not_before,
                _ => self.issued_on = was.issued_on,
            }
        }
        self.untold.retain(|field| !was.is_told(field));
    }

    /// Whether it can be used now, or will be.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }

    /// What it is allowed.
    pub fn allowed(&self) -> impl Iterator<Item = &TokenPolicy> {
        self.policies.iter().filter(|policy| policy.access == Access::Allow)
    }

    /// Who its creator is now.
    pub fn creator(&self) -> Option<Principal> {
        self.creator_is.as_deref()?.parse().ok()
    }

    /// Whether it is known that whoever made it is no member any more, or has another address.
    pub fn creator_left(&self) -> bool {
        self.creator.is_some() && self.creator_is.is_none()
    }

    /// Its permission groups' names, each once, sorted.
    pub fn permission_groups(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.allowed().flat_map(TokenPolicy::names).collect();
        order::sort(&mut names);
        names.dedup();
        names
    }
}
