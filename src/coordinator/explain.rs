//! What the changes in the ledger came from: an operation of ours, or somebody else as the audit log tells; `unknown` where nothing does.

use serde_json::{Value, json};

use super::memory::Ports;
use crate::audit::entries::UNKNOWN;
use crate::audit::{entries, feed};
use crate::base::ports::SqlError;
use crate::ledger::past::{self, Authorship};
use crate::ledger::record::{self, UnexplainedChange};
use crate::model::kind::Kind;
use crate::provision::journal;

/// Changes that are looked at at once.
const AT_ONCE: i64 = 200;

/// A generation has what happened before it was published, and after the crawl of the one before began: that may have taken as long.
const MARGIN_SECS: i64 = 15 * 60;

/// An entry may come as late as this.
const LATE_SECS: i64 = 15 * 60;

/// Who did what differs between two generations: of each grant by the ledger, of other rows by the log. Of what neither knows there is no
/// line, or one that says so.
pub(super) fn authors<P: Ports>(ports: &P, asked: &Authorship) -> Result<Vec<Value>, SqlError> {
    let mut told = past::newest_of(ports, asked)?;
    let (from, until) = (asked.published.0.plus_secs(-MARGIN_SECS), asked.published.1);
    for (key, member) in &asked.rows {
        let token = Kind::SECRETS.iter().find_map(|kind| key.strip_prefix(kind.prefix().as_str()));
        let author = if let Some(token) = token {
            entries::author_of_token(ports, token, from, until)?
        } else {
            let group = key.strip_prefix(Kind::Group.prefix().as_str());
            entries::author_of(ports, member.as_deref(), group, from, until)?
        };
        let (cause, at, by) = match author {
            Some(author) if author.who.is_empty() => ("operation", author.at, json!({ "who": "this connector" })),
            Some(author) => ("foreign", author.at, json!(author)),
            None => ("unknown", None, json!({ "who": UNKNOWN, "through": UNKNOWN })),
        };
        told.push(json!({ "key": key, "cause": cause, "happened_at": at, "by": by }));
    }
    Ok(told)
}

/// Explains what can be explained by now. What the log may still tell is left for the next time.
pub(super) fn explain<P: Ports>(ports: &P) -> Result<(), SqlError> {
    let unexplained = record::unexplained(ports, AT_ONCE)?;
    if unexplained.is_empty() {
        return Ok(());
    }
    let log = feed::state(ports)?.filter(|log| log.readable && log.next_at.is_some());
    for change in unexplained {
        let UnexplainedChange { id, gained, principal, member, name, entitlement, after, began, at } = &change;
        let told = record::told_before(ports, (principal, entitlement), *gained, *at)?;
        let earliest = after.plus_secs(-MARGIN_SECS);
        let from = told.map_or(earliest, |told| earliest.max(told));
        let who = (name.as_str(), member.as_deref(), entitlement.as_str());
        if let Some((operation, request, done_at)) = journal::that_did(ports, who, *gained, (from, *began, *at))? {
            let origin = request.origin;
            let by = json!({
                "who": "this connector", "through": origin.by, "operation": operation.0, "task": origin.task,
                "requester": origin.requester, "approvers": origin.approvers,
            });
            record::explained(ports, *id, "operation", Some(done_at), &by)?;
            continue;
        }
        let of_group = |id: &str| id.strip_prefix("group:").map(|id| id.trim_end_matches(":member").to_owned());
        let group = of_group(principal).or_else(|| of_group(entitlement));
        match entries::author_of(ports, member.as_deref(), group.as_deref(), from, *at)? {
            Some(author) if !author.who.is_empty() => {
                record::explained(ports, *id, "foreign", author.at, &json!(author))?;
            }
            // An entry of ours about the same member, of an operation that was about something else, is no explanation as long as
            // somebody else's may still come.
            ours => {
                let may_come = log.as_ref().is_some_and(|log| log.read_until < Some(at.plus_secs(LATE_SECS)));
                if may_come && ports.now().since(*at) <= 4 * LATE_SECS * 1_000 {
                    continue;
                }
                if let Some(ours) = ours {
                    record::explained(ports, *id, "operation", ours.at, &json!({ "who": "this connector" }))?;
                } else {
                    record::explained(ports, *id, "unknown", None, &json!({ "who": "unknown", "through": "unknown" }))?;
                }
            }
        }
    }
    Ok(())
}
