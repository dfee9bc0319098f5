//! The past: what changed in who holds what, and who held what as of a time.

use std::cell::RefCell;

use serde_json::Value;

use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::newest_first::{is_csv, text, time};
use super::{newest_first, paging};
use crate::base::object::object_of;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::coordinator::{Command, LedgerAnswer, Reply};
use crate::ledger::past::{Filter, PastGrant, Place, Question, Reach, as_of as undone, is_after};
use crate::model::address;
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::UserGroupId;
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
const AS_OF: [&str; 11] = [
    "person",
    "principal",
    "entitlement",
    "name",
    "seen_at",
    "happened_at",
    "cause",
    "who",
    "through",
    "group_id",
    "group_name",
];

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

/// A page as JSON, or as CSV with the address of the next page in `Link` (RFC 8288).
fn page(
    request: &Incoming,
    items: Vec<Value>,
    next: Option<String>,
    reach: &Reach,
    columns: &[&str],
) -> Result<Answer, Problem> {
    if !is_csv(request)? {
        let mut gaps = Vec::new();
        for gap in &reach.gaps {
            gaps.push(Value::from(gap.to_string()));
        }
        let begins_at = reach.begins_at.map(|at| at.to_string());
        let mut body =
            vec![("items", Value::Array(items)), ("begins_at", begins_at.into()), ("gaps", Value::Array(gaps))];
        if let Some(next) = next {
            body.push(("next_cursor", next.into()));
        }
        return Ok(Answer::json(200, &object_of(body)));
    }
    let mut answer = newest_first::csv(columns, &items);
    if let Some(next) = next {
        answer.headers.push(("Link", format!("<{}?{}>; rel=\"next\"", request.path, query_with(request, &next))));
    }
    Ok(answer)
}

fn query_with(request: &Incoming, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
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
        principals: known_by(ports, &snapshot, text(request, "person").as_deref()).await?,
        person: text(request, "person"),
        entitlement: entitlement(request, "entitlement", &catalogue)?.map(|it| it.to_string()),
        from: time(request, "from")?,
        to: time(request, "to")?,
        before: newest_first::before(request)?,
    };
    let mut told = told(ports, Command::History { filter: Box::new(filter), limit: newest_first::most(limit) }).await?;
    let has_more = told.changes.len() > limit;
    told.changes.truncate(limit);
    let next = told.changes.last().filter(|_| has_more).and_then(|last| last.get("number")).map(ToString::to_string);
    told.changes.iter_mut().for_each(|change| name(change, &catalogue));
    page(request, told.changes, next, &told.reach, &HISTORY)
}

/// Puts the name of an entitlement beside its id.
fn name(item: &mut Value, catalogue: &Catalogue) {
    let id = item.get("entitlement").and_then(Value::as_str).and_then(|id| id.parse().ok());
    if let (Some(id), Value::Object(item)) = (id, item) {
        item.insert("name".to_owned(), catalogue.name(id).into());
    }
}

/// Tells who held what as of a time: a person, an entitlement, or the whole account in pages. Of a person and of an entitlement, what is
/// held through a user group is told too.
pub(super) async fn as_of<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let asked = paging::asked(request)?;
    is_csv(request)?;
    let at =
        time(request, "at")?.ok_or_else(|| Problem::invalid("at must say as of when, such as 2026-08-21T10:00:00Z"))?;
    // Whoever asks may have a clock that is a little ahead.
    if at > ports.now().plus_secs(60) {
        return Err(Problem::invalid("at is a time that is still to come: nobody knows yet who will hold what"));
    }
    let mut snapshot = paging::open_published(ports, asked.cursor.as_ref()).await?;
    // KV may show what is a minute older than what the ledger has already: from that, nothing is known of the time since.
    if asked.cursor.is_none() && at >= snapshot.manifest().finished_at {
        snapshot = paging::newest(ports, snapshot).await?;
    }
    let catalogue = Catalogue::load(ports, &snapshot).await.map_err(paging::unreadable)?;
    let role = entitlement(request, "role", &catalogue)?;
    let person = text(request, "person");
    let of_all = Question::of_all(at, snapshot.manifest().generation.clone());
    let mut question = of_all.clone();
    question.after = asked.cursor.as_ref().and_then(|cursor| cursor.after.as_deref()).map(place);
    question.principals = known_by(ports, &snapshot, person.as_deref()).await?;
    question.person = person;
    let is_of_all = !question.is_of_some() && role.is_none();
    let mut brought: BTreeMap<String, Vec<PastGrant>> = BTreeMap::new();
    if let Some(role) = role {
        // Whoever was in a group that held it then held it, too.
        let mut of_groups = of_all.clone();
        (of_groups.entitlements, of_groups.until) = (Some(vec![role]), Some(AFTER_GROUPS.to_owned()));
        brought = by_principal(whole(ports, &snapshot, of_groups, &[Kind::Group]).await?);
        let groups = brought.keys().filter_map(|group| group_of(group));
        question.entitlements = Some([role].into_iter().chain(groups.map(Entitlement::Group)).collect());
    }
    let (held, next, reach) = past(ports, &snapshot, question, Kind::HOLDERS, asked.limit).await?;
    if let Some(begins) = reach.begins_at.filter(|&begins| begins > at) {
        return Err(Problem::new(
            410,
            "before_the_ledger",
            format!("the ledger begins at {begins}: of the time before it says nothing"),
        ));
    }
    if role.is_none() && !is_of_all {
        let mut of_groups = of_all;
        let groups: BTreeSet<String> = held.iter().filter_map(|held| group_held(&held.entitlement)).collect();
        of_groups.principals = groups.into_iter().collect();
        if of_groups.is_of_some() {
            brought = by_principal(whole(ports, &snapshot, of_groups, &[]).await?);
        }
    }
    let mut items = Vec::new();
    for one in &held {
        let group = group_held(&one.entitlement).filter(|_| !is_of_all);
        if role.is_none_or(|role| role.to_string() == one.entitlement) {
            items.push(shown(one, &catalogue));
        }
        for it in group.as_ref().and_then(|group| brought.get(group)).into_iter().flatten() {
            let mut item = shown(&it.through(one), &catalogue);
            if let (Value::Object(item), Some(group)) =
                (&mut item, it.principal.strip_prefix(Kind::Group.prefix().as_str()))
            {
                item.insert("group_id".to_owned(), group.into());
                let entry = one.entitlement.parse().ok().and_then(|group| catalogue.get(group));
                let called = entry.map_or(it.person.as_str(), |entry| entry.name.as_str());
                item.insert("group_name".to_owned(), called.into());
            }
            items.push(item);
        }
    }
    let next = next.map(|next| paging::Cursor::of(&snapshot, Some(text_of(next)), None).encode());
    page(request, items, next, &reach, &AS_OF)
}

/// The first text after those of groups.
const AFTER_GROUPS: &str = "group;";

fn shown(held: &PastGrant, catalogue: &Catalogue) -> Value {
    let mut item = object_of(vec![
        ("principal", held.principal.as_str().into()),
        ("person", held.person.as_str().into()),
        ("entitlement", held.entitlement.as_str().into()),
        ("gained", held.gained.clone().unwrap_or_default()),
    ]);
    name(&mut item, catalogue);
    item
}

/// The principal of the group that is joined by an entitlement.
fn group_held(entitlement: &str) -> Option<String> {
    match entitlement.parse() {
        Ok(Entitlement::Group(group)) => Some(Principal::Group(group).to_string()),
        _ => None,
    }
}

fn group_of(principal: &str) -> Option<UserGroupId> {
    if let Ok(Principal::Group(group)) = principal.parse() { Some(group) } else { None }
}

fn by_principal(grants: Vec<PastGrant>) -> BTreeMap<String, Vec<PastGrant>> {
    let mut by: BTreeMap<String, Vec<PastGrant>> = BTreeMap::new();
    for grant in grants {
        by.entry(grant.principal.clone()).or_default().push(grant);
    }
    by
}

/// Who has an address in a generation; nobody where it is a principal that is asked for.
async fn known_by<P: Ports>(ports: &P, snapshot: &Snapshot, person: Option<&str>) -> Result<Vec<String>, Problem> {
    let mut known = Vec::new();
    let Some(person) = person.filter(|person| person.parse::<Principal>().is_err()).map(address::folded) else {
        return Ok(known);
    };
    let see = |row: Row| known.extend((address::folded(&called(&row)) == person).then(|| row.key()));
    snapshot.each(ports, Kind::HOLDERS, see).await.map_err(paging::unreadable)?;
    Ok(known)
}

/// A person's e-mail address, a group's name.
fn called(row: &Row) -> String {
    row.as_member().map_or_else(|| row.display_name(), |member| member.email.clone())
}

/// A place as a cursor has it: no id has a blank in it.
fn text_of((principal, within): Place) -> String {
    within.map_or_else(|| principal.clone(), |within| format!("{principal} {within}"))
}

fn place(text: &str) -> Place {
    text.split_once(' ')
        .map_or_else(|| (text.to_owned(), None), |(principal, within)| (principal.to_owned(), Some(within.to_owned())))
}

/// All pages of what was held in a part of the account that is small, such as the user groups.
async fn whole<P: Ports>(
    ports: &P,
    snapshot: &Snapshot,
    mut question: Question,
    kinds: &[Kind],
) -> Result<Vec<PastGrant>, Problem> {
    let mut all = Vec::new();
    loop {
        let (held, next, _) = past(ports, snapshot, question.clone(), kinds, ROWS).await?;
        all.extend(held);
        if next.is_none() {
            return Ok(all);
        }
        question.after = next;
    }
}

/// What was held as of a time in a part of the account, and where the next part begins. Those who are asked for by name are looked for
/// wherever they stand, others among these kinds.
pub(super) async fn past<P: Ports>(
    ports: &P,
    snapshot: &Snapshot,
    mut question: Question,
    kinds: &[Kind],
    limit: usize,
) -> Result<(Vec<PastGrant>, Option<Place>, Reach), Problem> {
    let (wanted, after) = (question.entitlements.clone(), question.after.clone());
    let now = RefCell::new(Vec::new());
    let mut end = None;
    let see = &|row: &Row| {
        let name = called(row);
        for (it, principal) in snapshot.manifest().grants_of(row) {
            let (principal, what) = (principal.to_string(), it.to_string());
            let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.contains(&it));
            if is_wanted && after.as_ref().is_none_or(|after| is_after(&principal, &what, after)) {
                now.borrow_mut().push((principal, name.clone(), what));
            }
        }
    };
    match &question.after {
        _ if question.is_of_some() => {}
        // The rest of one's grants.
        Some((principal, Some(_))) => {
            let row = snapshot.get(ports, principal).await.map_err(paging::unreadable)?;
            row.iter().for_each(see);
            end = Some((principal.clone(), None));
        }
        place => {
            let holding = question.entitlements.as_ref().filter(|wanted| wanted.len() == 1);
            let mut scan = Scan {
                kinds: kinds.to_vec(),
                holding: holding.and_then(|wanted| wanted.first()).copied(),
                after: place.as_ref().map(|(principal, _)| principal.clone()),
                limit: limit.min(ROWS),
            };
            loop {
                let found = snapshot.scan(ports, &scan).await.map_err(paging::unreadable)?;
                found.rows.iter().for_each(see);
                scan.after = found.next;
                if scan.after.is_none() || !now.borrow().is_empty() {
                    break;
                }
            }
            end = scan.after.map(|last| (last, None));
        }
    }
    if let Some((last, _)) = &end {
        question.until = Some(last.clone());
    }
    let is_of_some = question.is_of_some();
    let told = told(ports, Command::Past { question: Box::new(question), limit: MOST_FACTS }).await?;
    if is_of_some {
        for principal in &told.people {
            let row = snapshot.get(ports, principal).await.map_err(paging::unreadable)?;
            row.iter().for_each(see);
        }
    }
    // What was cut off is told by the next page.
    let is_full = |count: usize| i64::try_from(count).is_ok_and(|count| count >= MOST_FACTS);
    let fact = told.facts.last().filter(|_| is_full(told.facts.len()));
    let fact = fact.map(|last| (last.principal.clone(), Some(last.entitlement.clone())));
    let name = told.names.last().filter(|_| is_full(told.names.len())).map(|(last, _)| (last.clone(), None));
    let mut now = now.take();
    if let Some(last) = fact.or(name) {
        now.retain(|(principal, _, what)| !is_after(principal, what, &last));
        end = Some(last);
    }
    Ok((undone(now, told.facts, told.names), end, told.reach))
}
