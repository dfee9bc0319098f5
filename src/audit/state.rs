//! How the audit log stands, and how far it is read.

use serde::Serialize;

use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;

/// How the audit log stands, as the status shows it, and how far it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLog {
    /// Whether it could be read when it was last asked.
    pub readable: bool,
    /// A sentence about that.
    pub message: String,
    /// When it was last asked.
    pub at: Timestamp,
    /// Everything that the log told of the time before was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_until: Option<Timestamp>,
    /// Since when it is read without a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it is asked next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// When a reading last went back as far as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wide_at: Option<Timestamp>,
    /// The token that this connector itself calls with, whose entries are nobody else's; behind it the one before, and until when that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    /// The reading that is not at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// A reading of the log from one time until another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) began_at: Timestamp,
    pub(super) wide: bool,
    pub(super) pages: u32,
    #[serde(default)]
    pub(super) limit: Option<u32>,
    #[serde(default)]
    pub(super) cursor: Option<String>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS audit_log ( \
            id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL DEFAULT 1, state TEXT NOT NULL)",
        &[],
    )
}

/// How the log stood when it was last asked; `None` where it never was.
pub fn state(sql: &dyn Sql) -> Result<Option<AuditLog>, SqlError> {
    let text = sql.text("SELECT state FROM audit_log WHERE id = 1", &[])?;
    Ok(text.and_then(|text| json::read_str(&text).ok()))
}

pub(super) fn note(sql: &dyn Sql, state: &AuditLog) -> Result<(), SqlError> {
    let text = serde_json::to_string(state)?;
    sql.run("INSERT OR REPLACE INTO audit_log (id, state) VALUES (1, ?)", &[text.into()])
}

impl AuditLog {
    /// Whether what a token did at a time is this connector's own doing.
    pub fn is_ours(&self, token: Option<&str>, at: Timestamp) -> bool {
        let (Some(ours), Some(_)) = (&self.ours, token) else { return false };
        ours.get(..32) == token || (ours.get(33..65) == token && ours.get(66..) >= Some(&*at.to_string()))
    }

    /// A log of which nothing is known yet.
    pub(super) fn unread(at: Timestamp) -> Self {
        let (readable, message) = (false, String::new());
        Self {
            readable,
            message,
            at,
            read_until: None,
            since: None,
            next_at: None,
            wide_at: None,
            ours: None,
            reading: None,
        }
    }
}
