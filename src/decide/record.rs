//! The decisions that were made: who asked for what, how it was decided, by which rule and from what. An audit finds them here,
//! and a delivery that comes again gets the answer that it got before.
//!
//! **Invariant:** a question has one decision, the first; it never changes.

use serde::Serialize;

use super::facts::RequestedAccess;
use super::{Decision, Facts, Question, Verdict};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows::{self, Narrowed};
use crate::base::time::Timestamp;
use crate::conductorone::response::{Document, MAX_COMMENT, cut};
use crate::model::address;
use crate::model::ask::{Action, EntitlementRef, Meaning, Subject};
use crate::model::grant::Holding;
use crate::model::operation::Origin;
use crate::snapshot::GenerationId;

/// A decision, as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, rising with time.
    #[serde(default)]
    pub id: i64,
    /// C1's task and step.
    pub key: String,
    /// When it was decided.
    pub at: Timestamp,
    /// Approve, reassign or deny.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: String,
    /// What C1 was told.
    pub comment: String,
    /// Who is asked instead, by their C1 ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Grant or revoke.
    pub action: Option<Action>,
    /// The entitlement's id, or `account`; absent where it is not known, or nothing comes of it whatever is decided.
    pub entitlement: Option<String>,
    /// The name people know it by.
    pub entitlement_name: Option<String>,
    /// The e-mail address of the person concerned.
    pub email: Option<String>,
    /// The generation that it was decided from.
    pub generation: Option<GenerationId>,
    /// Who asked.
    pub origin: Origin,
    /// What was asked, as C1 named it; absent from decisions of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<RecordedQuestion>,
}

/// What was asked, as C1 named it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedQuestion {
    /// What is to be granted or revoked.
    pub entitlement: EntitlementRef,
    /// The person concerned.
    pub subject: Subject,
}

impl Record {
    /// The record of a decision.
    pub fn new(question: &Question, facts: &Facts, decision: &Decision, now: Timestamp) -> Self {
        let known = match facts {
            Facts::Known(known) => Some(known),
            Facts::Unknown(_) => None,
        };
        let wanted = known.map(|known| &known.wanted);
        Self {
            id: 0,
            key: question.key.clone().unwrap_or_default(),
            at: now,
            verdict: decision.verdict,
            rule: decision.rule.clone(),
            comment: comment(facts, decision),
            users: decision.users.clone(),
            action: question.action.as_ref().ok().copied(),
            // What C1 names by one id is that, also where nothing else is known of it.
            entitlement: match (wanted, question.entitlement.meaning()) {
                (Some(&RequestedAccess { entitlement: Some(id), .. }), _) | (None, Meaning::Entitlement(id)) => {
                    Some(id.to_string())
                }
                (Some(_), _) | (None, Meaning::Account) => Some(Holding::ACCOUNT.to_owned()),
                (None, _) => None,
            },
            entitlement_name: wanted.map(|it| it.name.clone()).or_else(|| question.entitlement.display_name.clone()),
            email: known
                .and_then(|known| known.person.email.clone())
                .or_else(|| question.subject.emails.first().cloned())
                .map(|email| address::folded(&email)),
            generation: known.map(|known| known.generation.clone()),
            origin: question.origin.clone(),
            asked: Some(RecordedQuestion {
                entitlement: question.entitlement.clone(),
                subject: question.subject.clone(),
            }),
        }
    }

    /// Whether a question under the same key is the one that was decided, as far as the record tells: the same app, action, entitlement and
    /// person. What is told of those may differ, since a sync may have been between two deliveries of one task; what contradicts may not.
    pub fn is_of(&self, question: &Question) -> bool {
        let is_of_app = self.origin.app_id.is_none() || self.origin.app_id == question.origin.app_id;
        let is_same = self.asked.as_ref().is_none_or(|asked| {
            asked.entitlement.is_same(&question.entitlement) && asked.subject.is_same(&question.subject)
        });
        is_of_app && is_same && self.action == question.action.as_ref().ok().copied()
    }

    /// The answer to C1.
    pub fn document(&self) -> Document {
        let decision = Decision {
            verdict: self.verdict,
            rule: self.rule.clone(),
            reason: String::new(),
            users: self.users.clone(),
        };
        decision.document(self.comment.clone())
    }
}

/// The rule and the age are there however long the rest is: what the change would come to is cut first, and then the reason.
fn comment(facts: &Facts, decision: &Decision) -> String {
    let (mut line, mut from) = ("", String::new());
    if let Facts::Known(known) = facts {
        line = known.what_if.as_deref().unwrap_or_default();
        from = format!(
            " from the account as it was {} (generation {}){}",
            known.age_secs.map_or_else(|| "at a time that is not known".to_owned(), |age| format!("{} ago", span(age))),
            known.generation,
            if known.has_changed { ", with what is known to have changed since" } else { "" }
        );
    }
    let told = format!("Decided by the connector's rule {:?}{from}.", decision.rule);
    let mut left = MAX_COMMENT.saturating_sub(told.chars().count());
    let mut comment = String::new();
    for text in [&decision.reason, line] {
        // One character is the blank after it.
        if !text.is_empty() && left > 1 {
            let text = cut(text, left - 1);
            left -= text.chars().count() + 1;
            comment = comment + &text + " ";
        }
    }
    comment + &told
}

fn span(secs: i64) -> String {
    let (number, unit) = match secs {
        ..60 => (secs, "second"),
        60..7_200 => (secs / 60, "minute"),
        7_200..172_800 => (secs / 3_600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// An e-mail address.
    pub member: Option<String>,
    /// An entitlement id, or the id of a role in it.
    pub entitlement: Option<String>,
    /// `approve`, `reassign` or `deny`.
    pub verdict: Option<String>,
    /// A rule's name.
    pub rule: Option<String>,
    /// Decided at or after.
    pub since: Option<Timestamp>,
    /// Decided before.
    pub until: Option<Timestamp>,
    /// Decisions older than this one.
    pub before: Option<i64>,
}

/// Which decisions denied nothing, as the index of them has it.
pub const NOT_DENIED: &str = "CASE WHEN json_valid(record) THEN json_extract(record, '$.verdict') END <> 'deny'";

/// Creates the table.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS decision ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, \
            key TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, record TEXT NOT NULL)",
        &[],
    )?;
    sql.run(&format!("CREATE INDEX IF NOT EXISTS decision_lately ON decision (at) WHERE {NOT_DENIED}"), &[])?;
    // Earlier versions had approvals alone in one, or looked for an address.
    sql.run("DROP INDEX IF EXISTS decision_approved", &[])?;
    sql.run("DROP INDEX IF EXISTS decision_not_denied", &[])
}

/// What is known of a question's decision.
#[derive(Debug)]
pub enum Before {
    /// It was never asked.
    Nothing,
    /// It was decided so.
    Decided(Box<Record>),
    /// It was decided, and this version cannot read how.
    Unreadable,
}

/// The decision of a question that was asked before.
pub fn find(sql: &dyn Sql, key: &str) -> Result<Before, SqlError> {
    let rows =
        sql.query("SELECT id, CASE version WHEN 1 THEN record END FROM decision WHERE key = ?", &[key.into()])?;
    if rows.is_empty() {
        return Ok(Before::Nothing);
    }
    let found = rows::readable(sql, "decision", &rows, |row| record(row).ok())?.pop();
    Ok(found.map_or(Before::Unreadable, |found| Before::Decided(Box::new(found))))
}

/// Keeps a decision, and gives the one that counts: an earlier one, where two deliveries of a question came at once.
pub fn keep(sql: &dyn Sql, decided: &Record) -> Result<Record, SqlError> {
    let body = serde_json::to_string(decided)?;
    // A question without ids is a question of its own.
    let key = if decided.key.is_empty() { SqlValue::Null } else { decided.key.as_str().into() };
    let kept = sql.query(
        "INSERT INTO decision (key, at, record) \
         VALUES (COALESCE(?, 'unnamed/' || (SELECT COALESCE(MAX(id), 0) + 1 FROM decision)), ?, ?) \
         ON CONFLICT (key) DO UPDATE SET key = key RETURNING id, CASE version WHEN 1 THEN record END",
        &[key, decided.at.into(), body.into()],
    )?;
    record(kept.first().ok_or_else(corrupt)?)
}

/// Decisions, the newest first.
pub fn list(sql: &dyn Sql, filter: &Filter, limit: i64) -> Result<Vec<Record>, SqlError> {
    let mut narrowed = Narrowed::by("1 = 1", Vec::new());
    let member = filter.member.as_deref().map(address::folded);
    narrowed.and("json_extract(record, '$.email') = ? COLLATE NOCASE", member.map(Into::into));
    for (condition, text) in [
        ("instr(json_extract(record, '$.entitlement'), ?) > 0", &filter.entitlement),
        ("json_extract(record, '$.verdict') = ?", &filter.verdict),
        ("json_extract(record, '$.rule') = ?", &filter.rule),
    ] {
        narrowed.and(condition, text.as_deref().map(Into::into));
    }
    narrowed.and("at >= ?", filter.since.map(Into::into));
    narrowed.and("at < ?", filter.until.map(Into::into));
    narrowed.and("id < ?", filter.before.map(Into::into));
    let select = "SELECT id, CASE version WHEN 1 THEN record END FROM decision";
    narrowed.newest(sql, select, "id", limit, |rows| rows::readable(sql, "decision", rows, |row| record(row).ok()))
}

/// Forgets decisions that are older than `before`.
pub fn purge(sql: &dyn Sql, before: Timestamp) -> Result<(), SqlError> {
    sql.run("DELETE FROM decision WHERE at < ?", &[before.into()])
}

fn record(row: &[SqlValue]) -> Result<Record, SqlError> {
    let [id, body] = row else { return Err(corrupt()) };
    let record: Record = body.text().and_then(|text| json::read_str(text).ok()).ok_or_else(corrupt)?;
    Ok(Record { id: id.integer().ok_or_else(corrupt)?, ..record })
}

fn corrupt() -> SqlError {
    SqlError::unreadable("a decision")
}
