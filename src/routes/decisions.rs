//! The decisions about approvals: who asked for what, how it was decided and by which rule.

use serde::Serialize;

use super::problem::Problem;
use super::{Answer, Incoming, World, paging, status};
use crate::base::time::Timestamp;
use crate::coordinator::{Command, Reply};
use crate::decide::record::{Filter, Record};

#[derive(Serialize)]
struct Page {
    items: Vec<Record>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists decisions, the newest first; `member` (an e-mail address), `role` (an entitlement or a role id), `verdict`, `rule`, `since` and
/// `until` narrow it down.
pub(super) async fn list<P: World>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let text = |name: &str| request.param(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let time = |name: &str| match text(name) {
        None => Ok(None),
        Some(text) => Timestamp::parse(&text)
            .map(Some)
            .ok_or_else(|| Problem::invalid(format!("{name} must be a time such as 2026-08-21T10:00:00Z, or a date"))),
    };
    let limit = paging::limit(request)?;
    let filter = Filter {
        member: text("member"),
        entitlement: text("role"),
        verdict: text("verdict"),
        rule: text("rule"),
        since: time("since")?,
        until: time("until")?,
        before: text("cursor").map(|cursor| cursor.parse().map_err(|_| paging::invalid_cursor())).transpose()?,
    };
    // One more than asked for tells whether there is a next page.
    let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let Reply::Decisions(mut items) =
        status::ask(ports, Command::Decisions { filter: Box::new(filter), limit: most }).await?
    else {
        return Err(status::failed());
    };
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|record| record.id.to_string());
    Ok(Answer::json(200, &Page { items, next_cursor }))
}
