//! What is wrong with the account, by the rules of `docs/findings.md`: listed, told one by one, and accepted.

use serde_json::Value;

use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::{newest_first, paging, session};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::time::Timestamp;
use crate::coordinator::{Command, Reply};
use crate::findings::{Acceptance, Filter, MAX_DAYS, Severity};

/// The columns of the CSV file, which are fields of a finding.
const COLUMNS: [&str; 10] =
    ["id", "rule", "severity", "state", "title", "about", "name", "evidence", "since", "remedy"];

/// A CSV file has at most this many findings; more than are ever kept open.
const CSV_LIMIT: i64 = 10_000;

/// Lists findings; `state`, `rule` and `severity` narrow it down, and `format=csv` asks for a file of all of them.
pub(super) async fn list<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let one_of = |name: &str, words: &[&str]| match newest_first::text(request, name) {
        Some(text) if !words.contains(&text.as_str()) => {
            Err(Problem::invalid(format!("{name} must be one of {}", words.join(", "))))
        }
        text => Ok(text),
    };
    let limit = paging::limit(request)?;
    let filter = Box::new(Filter {
        state: one_of("state", &["open", "accepted", "closed", "all"])?,
        rule: newest_first::text(request, "rule"),
        severity: one_of("severity", &Severity::ALL.map(Severity::as_str))?,
        before: newest_first::before(request)?,
        gravest: false,
    });
    let is_csv = newest_first::is_csv(request)?;
    let most = if is_csv { CSV_LIMIT } else { newest_first::most(limit) };
    let items = found(ports, Command::Findings { filter, limit: most }).await?;
    if is_csv {
        return Ok(newest_first::csv(&COLUMNS, &items));
    }
    Ok(newest_first::page(items, limit, |finding| finding.get("number").and_then(Value::as_i64).unwrap_or_default()))
}

/// Lists what happened to findings, the newest first.
pub(super) async fn events<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let limit = paging::limit(request)?;
    let before = newest_first::before(request)?;
    let items = found(ports, Command::FindingEvents { before, limit: newest_first::most(limit) }).await?;
    Ok(newest_first::page(items, limit, |event| event.get("number").and_then(Value::as_i64).unwrap_or_default()))
}

async fn found<P: Ports>(ports: &P, command: Command) -> Result<Vec<Value>, Problem> {
    match asking::ask(ports, command).await? {
        Reply::Findings(found) => Ok(found),
        _ => Err(asking::failed()),
    }
}

fn not_found(id: &str) -> Problem {
    Problem::new(404, "not_found", format!("there is no finding {id:?}; GET /v1/findings lists those that there are"))
}

/// Shows one finding, with what happened to it.
pub(super) async fn show<P: Ports>(ports: &P, id: String) -> Result<Answer, Problem> {
    let found = found(ports, Command::Finding(id.clone())).await?;
    found.first().map(|finding| Answer::json(200, finding)).ok_or_else(|| not_found(&id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepting {
    reason: String,
    until: String,
    /// The evidence as it was read: what was not is not accepted with it.
    evidence: Option<String>,
}

/// Accepts a finding, with a reason and an end.
pub(super) async fn accept<P: Ports>(ports: &P, id: String, request: &Incoming) -> Result<Answer, Problem> {
    let wanted: Accepting = json::read(request.bytes()?).map_err(|error| {
        Problem::invalid(format!("the body must be {{\"reason\": \"…\", \"until\": \"2027-01-31\"}}: {error}"))
    })?;
    let reason = wanted.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(Problem::invalid("reason must be a text of 1 to 500 characters"));
    }
    let now = ports.now();
    let until =
        Timestamp::parse(&wanted.until).filter(|&until| until > now && until < now.plus_secs(MAX_DAYS * 86_400));
    let until = until.ok_or_else(|| {
        Problem::invalid(format!("until must be a day or a time to come, such as 2027-01-31, within {MAX_DAYS} days"))
    })?;
    let by = session::who(request).unwrap_or_else(|| session::by(request).to_owned());
    let acceptance = Acceptance { id: id.clone(), reason, until, by, evidence: wanted.evidence.clone() };
    let found = found(ports, Command::AcceptFinding(Box::new(acceptance))).await?;
    match found.first() {
        None => Err(not_found(&id)),
        Some(finding) if finding.get("closed_at").is_some_and(|closed| !closed.is_null()) => Err(Problem::new(
            409,
            "finding_closed",
            format!("the finding {id:?} is closed: what it says is so no more"),
        )),
        Some(finding)
            if wanted.evidence.is_some()
                && finding.get("evidence").and_then(Value::as_str) != wanted.evidence.as_deref() =>
        {
            Err(Problem::new(
                409,
                "finding_changed",
                "the finding tells something else by now, so it was not accepted; look at it again, then accept what it tells",
            ))
        }
        Some(finding) => Ok(Answer::json(200, finding)),
    }
}
