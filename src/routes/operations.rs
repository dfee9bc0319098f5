//! The journal: what was asked of the connector, by whom, and what became of it.

use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::{findings, newest_first, paging};
use crate::coordinator::{Command, Reply};
use crate::provision::journal::{EntryId, Filter};

/// Lists operations, the newest first; `member` (a membership id or an e-mail address), `role` (an entitlement or a role id),
/// `outcome`, `since` and `until` narrow it down. With `of=findings`, what happened to findings.
pub(super) async fn list<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    match newest_first::text(request, "of").as_deref() {
        None | Some("operations") => {}
        Some("findings") => return findings::events(ports, request).await,
        Some(_) => return Err(Problem::invalid("of must be operations or findings")),
    }
    let limit = paging::limit(request)?;
    let filter = Filter {
        member: newest_first::text(request, "member"),
        entitlement: newest_first::text(request, "role"),
        outcome: newest_first::text(request, "outcome"),
        since: newest_first::time(request, "since")?,
        until: newest_first::time(request, "until")?,
        before: newest_first::before(request)?.map(EntryId),
        awaited: None,
    };
    let Reply::Operations(items) =
        asking::ask(ports, Command::Operations { filter: Box::new(filter), limit: newest_first::most(limit) }).await?
    else {
        return Err(asking::failed());
    };
    Ok(newest_first::page(items, limit, |entry| entry.id.0))
}

/// Shows one operation, by its number, or by its key with `%2F` or `~` for the slash.
pub(super) async fn show<P: Ports>(ports: &P, id: String) -> Result<Answer, Problem> {
    let id = id.replace('~', "/");
    match asking::ask(ports, Command::Operation(id)).await? {
        Reply::Operations(entries) => match entries.into_iter().next() {
            Some(entry) => Ok(Answer::json(200, &entry)),
            None => Err(Problem::new(404, "not_found", "the journal has no such operation")),
        },
        _ => Err(asking::failed()),
    }
}
