//! Signs of life: when a person was last at work, by the day.

use serde::Serialize;

use crate::base::json::Deserialize;

/// When a person was last at work, as far as it is known. By the day in UTC (`2026-11-25`): rows that told the minute would be other
/// rows with every login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signs {
    /// The day of the last login that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_day: Option<String>,
    /// The day of the last change that the audit log told. A change is no login, and who only reads makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_day: Option<String>,
    /// Through what that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_from: Option<String>,
    /// The products that the person changed something in lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<String>,
}

impl Signs {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
