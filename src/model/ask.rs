//! What is asked of the connector, by whatever way it comes: an action, an entitlement as somebody names it, a person as somebody
//! knows them.

use serde::{Deserialize, Serialize};

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

/// Who a step is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// E-mail addresses, the likeliest first.
    pub emails: Vec<String>,
    /// The membership id that the last sync told C1: a hint, since a new invitation has a new one.
    pub member_id: Option<String>,
    /// The Cloudflare user id that the last sync told C1.
    pub user_id: Option<String>,
    /// The name people see.
    pub display_name: Option<String>,
    /// Whether C1 knows an account of the person in the app.
    pub has_account: bool,
}
