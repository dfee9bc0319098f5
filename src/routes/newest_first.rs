//! Lists of what the Coordinator notes, the newest first: what narrows one down, and its pages.

use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use super::http::{Answer, Incoming, Problem};
use super::paging;
use crate::base::time::Timestamp;
use crate::export::csv::cell::Line;

/// A parameter that is there and not empty.
pub(super) fn text(request: &Incoming, name: &str) -> Option<String> {
    request.param(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A parameter that is a time.
pub(super) fn time(request: &Incoming, name: &str) -> Result<Option<Timestamp>, Problem> {
    let read = |text: String| {
        Timestamp::parse(&text)
            .ok_or_else(|| Problem::invalid(format!("{name} must be a time such as 2026-08-21T10:00:00Z, or a date")))
    };
    text(request, name).map(read).transpose()
}

/// The number of the last item that was given, which is the cursor.
pub(super) fn before<T: FromStr>(request: &Incoming) -> Result<Option<T>, Problem> {
    text(request, "cursor").map(|cursor| cursor.parse().map_err(|_| paging::invalid_cursor())).transpose()
}

/// How many items to ask for, where a page is to have `limit`: one more tells whether there is a next page.
pub(super) fn most(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}

#[derive(Serialize)]
struct NumberedPage<T> {
    items: Vec<T>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A page of what [`most`] asked for. `number` is an item's own.
pub(super) fn page<T: Serialize>(mut items: Vec<T>, limit: usize, number: impl Fn(&T) -> i64) -> Answer {
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|last| number(last).to_string());
    Answer::json(200, &NumberedPage { items, next_cursor })
}

/// Whether a CSV file is asked for.
pub(super) fn is_csv(request: &Incoming) -> Result<bool, Problem> {
    match text(request, "format").as_deref() {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(Problem::invalid("format must be json or csv")),
    }
}

/// Items as a CSV file. A column is a field of an item, or else of how it was gained, or else of who did it.
pub(super) fn csv(columns: &[&str], items: &[Value]) -> Answer {
    let mut lines = Vec::new();
    let mut line = Line::new(&mut lines);
    for name in columns {
        line.text(name);
    }
    line.end();
    for item in items {
        let mut line = Line::new(&mut lines);
        let (gained, by) = (item.get("gained").unwrap_or(item), item.pointer("/gained/by").or_else(|| item.get("by")));
        for name in columns {
            let value = item.get(*name).or_else(|| gained.get(*name)).or_else(|| by?.get(*name));
            line.text(&match value {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) => String::new(),
                Some(other) => other.to_string(),
            });
        }
        line.end();
    }
    Answer::of(200, "text/csv; charset=utf-8", lines)
}
