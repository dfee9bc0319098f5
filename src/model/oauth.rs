//! OAuth clients that the account registered: applications to which people give access on their own behalf (`reference/tokens.md` b.2).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::time::Timestamp;

/// The id of an OAuth client. Its form is in no document: letters, digits and `. _ -` are taken, 100 at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct OauthClientId(String);

impl FromStr for OauthClientId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_id = !text.is_empty() && text.len() <= 100 && text.bytes().all(fits);
        is_id.then(|| Self(text.to_owned())).ok_or("client_id is of another form than letters, digits and . _ -")
    }
}

impl TryFrom<String> for OauthClientId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}

impl fmt::Display for OauthClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An OAuth client that the account registered. Its secret is never known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthClient {
    /// The client's id.
    pub id: OauthClientId,
    /// The client's name.
    pub name: String,
    /// `public`: anybody on Cloudflare can give it access; `private`: this account's members alone.
    pub visibility: String,
    /// What it may ask for, sorted; more than [`Self::MAX`] are cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where people are sent with the access that they gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// When it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

impl OauthClient {
    /// At most this many scopes and redirect URIs of a client are kept.
    pub const MAX: usize = 300;
}
