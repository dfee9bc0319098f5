//! The past: what changed in who holds what, and who held what as of a time.

use serde_json::{Value, json};

use super::asking::{self, Ports};
use super::http::{Answer, Content, Incoming, Problem};
use super::newest_first::{text, time};
use super::{newest_first, paging};
use crate::coordinator::{Command, LedgerAnswer, Reply};
use crate::export::csv::cell::Line;
use crate::ledger::past::{Filter, PastGrant, Question, Reach, as_of as undone};
use crate::model::address;
use crate::model::grant::Entitlement;
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::snapshot::{Catalogue, Scan, Snapshot};

/// Grants that are asked of the ledger for one page at most. A page that has more ends earlier.
const MOST_FACTS: i64 = 5_000;

/// Rows that are read for one page; a page of the account looks through fewer.
const ROWS: usize = 500;

/// The columns of the two CSV files.
const HISTORY: [&str; 11] = [
    "number",
    "seen_at",
    "happened_at",
    "what",
    "person",
    "principal",
    "entitlement",
    "name",
    "cause",
    "who",
    "through",
];
const AS_OF: [&str; 9] =
    ["person", "principal", "entitlement", "name", "seen_at", "happened_at", "cause", "who", "through"];

pub(super) async fn told<P: Ports>(ports: &P, command: Command) -> Result<LedgerAnswer, Problem> {
    match asking::ask(ports, command).await? {
        Reply::Ledger(told) => Ok(*told),
        _ => Err(asking::failed()),
    }
}

/// The entitlement that a request asks for: by its id, a role's id, or a name that only one has.
fn entitlement(request: &Incoming, parameter: &str, catalogue: &Catalogue) -> Result<Option<Entitlement>, Problem> {
    let Some(asked) = text(request, parameter) else { return Ok(None) };
    let found = Entitlement::recognise(&asked).or_else(|| catalogue.alone_called(&asked).ok());
    found.map(Some).ok_or_else(|| {
        Problem::invalid(format!(
            "{parameter} must be an entitlement's id, a role's id, or a name that one entitlement has alone"
        ))
    })
}

fn is_csv(request: &Incoming) -> Result<bool, Problem> {
    match text(request, "format").as_deref() {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(Problem::invalid("format must be json or csv")),
    }
}

/// A page as JSON, or as CSV with the address of the next page in `Link` (RFC 8288).
fn page(
    request: &Incoming,
    items: &[Value],
    next: Option<String>,
    reach: &Reach,
    columns: &[&str],
) -> Result<Answer, Problem> {
    if !is_csv(request)? {
        let mut body = json!({ "items": items, "begins_at": reach.begins_at, "gaps": reach.gaps });
        if let (Some(next), Value::Object(body)) = (next, &mut body) {
            body.insert("next_cursor".to_owned(), json!(next));
        }
        let mut answer = Answer::json(200, &body);
        answer.headers.push(("Cache-Control", "no-store".to_owned()));
        return Ok(answer);
    }
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
    let mut headers =
        vec![("Content-Type", "text/csv; charset=utf-8".to_owned()), ("Cache-Control", "no-store".to_owned())];
    if let Some(next) = next {
        headers.push(("Link", format!("<{}?{}>; rel=\"next\"", request.path, query_with(request, &next))));
    }
    Ok(Answer { status: 200, headers, body: Content::Bytes(lines) })
}

fn query_with(request: &Incoming, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in request.query.iter().filter(|(name, _)| name != "cursor") {
        query.append_pair(name, value);
    }
    query.append_pair("cursor", cursor).finish()
}

/// Lists changes, the newest first; `person`, `entitlement`, `from` and `to` narrow it down.
pub(super) async fn history<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let limit = paging::limit(request)?;
    is_csv(request)?;
    let snapshot = paging::open_published(ports, None).await?;
    let catalogue = Catalogue::load(ports, &snapshot).await.map_err(paging::unreadable)?;
    let filter = Filter {
        person: text(request, "person"),
        entitlement: entitlement(request, "entitlement", &catalogue)?.map(|it| it.to_string()),
        from: time(request, "from")?,
        to: time(request, "to")?,
        before: newest_first::before(request)?,
        generations: None,
    };
    let mut told = told(ports, Command::History { filter: Box::new(filter), limit: newest_first::most(limit) }).await?;
    let has_more = told.changes.len() > limit;
    told.changes.truncate(limit);
    let next = told.changes.last().filter(|_| has_more).and_then(|last| last.get("number")).map(ToString::to_string);
    told.changes.iter_mut().for_each(|change| name(change, &catalogue));
    page(request, &told.changes, next, &told.reach, &HISTORY)
}

/// Puts the name of an entitlement beside its id.
fn name(item: &mut Value, catalogue: &Catalogue) {
    let id = item.get("entitlement").and_then(Value::as_str).and_then(|id| id.parse().ok());
    if let (Some(id), Value::Object(item)) = (id, item) {
        item.insert("name".to_owned(), json!(catalogue.name(id)));
    }
}

/// Tells who held what as of a time: a person, an entitlement, or the whole account in pages.
pub(super) async fn as_of<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let asked = paging::asked(request)?;
    is_csv(request)?;
    let at =
        time(request, "at")?.ok_or_else(|| Problem::invalid("at must say as of when, such as 2026-08-21T10:00:00Z"))?;
    let snapshot = paging::open_published(ports, asked.cursor.as_ref()).await?;
    let catalogue = Catalogue::load(ports, &snapshot).await.map_err(paging::unreadable)?;
    let role = entitlement(request, "role", &catalogue)?;
    let person = text(request, "person");
    let after = asked.cursor.as_ref().and_then(|cursor| cursor.after.clone());
    let question = Question {
        at,
        generation: snapshot.manifest().generation.clone(),
        person: person.clone(),
        entitlement: role,
        after: after.clone(),
        until: None,
    };
    let (items, next, reach) = past(ports, &snapshot, question, asked.limit).await?;
    if let Some(begins) = reach.begins_at.filter(|&begins| begins > at) {
        return Err(Problem::new(
            410,
            "before_the_ledger",
            format!("the ledger begins at {begins}: of the time before it says nothing"),
        ));
    }
    let shown = |held: PastGrant| {
        let mut item = json!(held);
        name(&mut item, &catalogue);
        item
    };
    let items: Vec<Value> = items.into_iter().map(shown).collect();
    page(request, &items, next.map(|next| paging::Cursor::of(&snapshot, Some(next), None).encode()), &reach, &AS_OF)
}

/// What was held as of a time in a part of the account, and where the next part begins.
pub(super) async fn past<P: Ports>(
    ports: &P,
    snapshot: &Snapshot,
    mut question: Question,
    limit: usize,
) -> Result<(Vec<PastGrant>, Option<String>, Reach), Problem> {
    let role = question.entitlement;
    // One person is looked for in the whole account: by address there may be a user and an invitation.
    let rows = if question.person.is_some() { 1_000 } else { limit.min(ROWS) };
    let mut now = Vec::new();
    let mut after = question.after.clone();
    let mut until;
    loop {
        let scan = Scan { kinds: Kind::HOLDERS.to_vec(), holding: role, after: after.clone(), limit: rows };
        let found = snapshot.scan(ports, &scan).await.map_err(paging::unreadable)?;
        for row in found.rows.iter().filter(|row| is_wanted(row, question.person.as_deref())) {
            let name = row.as_member().map_or_else(|| row.display_name(), |member| member.email.clone());
            let held =
                snapshot.manifest().grants_of(row).into_iter().filter(|(it, _)| role.is_none_or(|role| role == *it));
            now.extend(held.map(|(it, principal)| (principal.to_string(), name.clone(), it.to_string())));
        }
        until = found.next;
        if until.is_none() || (question.person.is_none() && !now.is_empty()) {
            break;
        }
        after.clone_from(&until);
    }
    question.until.clone_from(&until);
    let mut told = told(ports, Command::Past { question: Box::new(question), limit: MOST_FACTS }).await?;
    if i64::try_from(told.facts.len()).is_ok_and(|count| count >= MOST_FACTS) {
        // What is said of the last one may not be all: the next page begins with that one.
        if let Some(last) = told.facts.pop().map(|fact| fact.principal) {
            told.facts.retain(|fact| fact.principal != last);
            until = told.facts.last().map(|fact| fact.principal.clone());
            now.retain(|(principal, ..)| until.as_ref().is_some_and(|until| principal <= until));
        }
    }
    Ok((undone(now, told.facts), until, told.reach))
}

fn is_wanted(row: &Row, person: Option<&str>) -> bool {
    let Some(person) = person else { return true };
    row.key() == person || row.as_member().is_some_and(|member| address::same(&member.email, person))
}
