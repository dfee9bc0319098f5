//! The journal: what was asked of the connector, by whom, and what became of it.

use serde::Serialize;

use super::problem::Problem;
use super::{Answer, Incoming, World, paging, status};
use crate::base::time::Timestamp;
use crate::coordinator::{Command, Reply};
use crate::provision::journal::{Entry, EntryId, Filter};

#[derive(Serialize)]
struct Page {
    items: Vec<Entry>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists operations, the newest first; `member` (a membership id or an e-mail address), `role` (an entitlement or a role id),
/// `outcome`, `since` and `until` narrow it down.
pub(super) async fn list<P: World>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let text = |name: &str| request.param(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let time = |name: &str| match text(name) {
        None => Ok(None),
        Some(text) => Timestamp::parse(&text)
            .map(Some)
            .ok_or_else(|| Problem::invalid(format!("{name} must be a time such as 2026-08-21T10:00:00Z, or a date"))),
    };
    let limit = paging::limit(request)?;
    let before =
        text("cursor").map(|cursor| cursor.parse().map(EntryId).map_err(|_| paging::invalid_cursor())).transpose()?;
    let filter = Filter {
        member: text("member"),
        entitlement: text("role"),
        outcome: text("outcome"),
        since: time("since")?,
        until: time("until")?,
        before,
    };
    // One more than asked for tells whether there is a next page.
    let most = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let Reply::Operations(mut items) =
        status::ask(ports, Command::Operations { filter: Box::new(filter), limit: most }).await?
    else {
        return Err(status::failed());
    };
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|entry| entry.id.0.to_string());
    Ok(Answer::json(200, &Page { items, next_cursor }))
}

/// Shows one operation, by its number, or by its key with `%2F` or `~` for the slash.
pub(super) async fn show<P: World>(ports: &P, id: String) -> Result<Answer, Problem> {
    let id = id.replace("%2F", "/").replace("%2f", "/").replace('~', "/");
    match status::ask(ports, Command::Operation(id)).await? {
        Reply::Operations(entries) => match entries.into_iter().next() {
            Some(entry) => Ok(Answer::json(200, &entry)),
            None => Err(Problem::new(404, "not_found", "the journal has no such operation")),
        },
        _ => Err(status::failed()),
    }
}
