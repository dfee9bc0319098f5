//! The decisions about approvals: who asked for what, how it was decided and by which rule.

use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::{newest_first, paging};
use crate::coordinator::{Command, Reply};
use crate::decide::record::Filter;

/// Lists decisions, the newest first; `member` (an e-mail address), `role` (an entitlement or a role id), `verdict`, `rule`, `since` and
/// `until` narrow it down.
pub(super) async fn list<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let limit = paging::limit(request)?;
    let filter = Filter {
        member: newest_first::text(request, "member"),
        entitlement: newest_first::text(request, "role"),
        verdict: newest_first::text(request, "verdict"),
        rule: newest_first::text(request, "rule"),
        since: newest_first::time(request, "since")?,
        until: newest_first::time(request, "until")?,
        before: newest_first::before(request)?,
    };
    let Reply::Decisions(items) =
        asking::ask(ports, Command::Decisions { filter: Box::new(filter), limit: newest_first::most(limit) }).await?
    else {
        return Err(asking::failed());
    };
    Ok(newest_first::page(items, limit, |record| record.id))
}
