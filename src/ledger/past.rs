//! Who had what when.

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::json as reader;
use crate::base::json::Deserialize;
use crate::base::object::{object, put};
use crate::base::order;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows::Narrowed;
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::model::address;
use crate::model::grant::{Entitlement, Principal};
use crate::model::kind::Kind;
use crate::snapshot::GenerationId;

use super::SO_FAR;

/// What changes are wanted, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// A principal's id, or an e-mail address: of whoever has it, or had it.
    pub person: Option<String>,
    /// Who has that address today.
    pub principals: Vec<String>,
    /// An entitlement's id, or the id of its resource.
    pub entitlement: Option<String>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Changes that are older than the one with this number.
    pub before: Option<i64>,
}

/// What is asked of the past, of a part of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// As of when.
    pub at: Timestamp,
    /// The generation that is known to be so: what came later is none of it.
    pub generation: GenerationId,
    /// A principal's id, or an e-mail address: of whoever has it, or had it.
    pub person: Option<String>,
    /// Who has that address today; where no person is asked for, these alone.
    pub principals: Vec<String>,
    /// These entitlements.
    pub entitlements: Option<Vec<Entitlement>>,
    /// What comes after this place.
    pub after: Option<Place>,
    /// Principals up to this one.
    pub until: Option<String>,
    /// What was gained before is told without when and how; what the ledger has forgotten, where nobody says.
    pub since: Option<Timestamp>,
}

/// A principal; or a grant of one, by its entitlement. In the order of their texts, and after a principal come all of that one's grants.
pub type Place = (String, Option<String>);

impl Question {
    /// The whole account as of a time, as it was known by a generation.
    pub const fn of_all(at: Timestamp, generation: GenerationId) -> Self {
        Self {
            at,
            generation,
            person: None,
            principals: Vec::new(),
            entitlements: None,
            after: None,
            until: None,
            since: None,
        }
    }

    /// Whether it is of some principals alone, wherever they stand.
    pub const fn is_of_some(&self) -> bool {
        self.person.is_some() || !self.principals.is_empty()
    }
}

/// Whether a grant comes after a place.
pub fn is_after(principal: &str, entitlement: &str, place: &Place) -> bool {
    match &place.1 {
        Some(within) => (principal, entitlement) > (place.0.as_str(), within.as_str()),
        None => principal > place.0.as_str(),
    }
}

/// Whoever is asked for by one of them is looked for among as many principals at most.
const MOST_PEOPLE: i64 = 100;

/// The principals that a person is asked for by: that one; or who has the address, whoever had it since the ledger began, and what these
/// were invited as.
pub fn people(sql: &dyn Sql, person: Option<&str>, known: &[String]) -> Result<Vec<String>, SqlError> {
    let Some(person) = person else { return Ok(known.to_vec()) };
    if person.parse::<Principal>().is_ok() {
        return Ok(vec![person.to_owned()]);
    }
    let rows = sql.query(
        "WITH people AS ( \
            SELECT value AS who FROM json_each(?1) \
            UNION SELECT principal FROM ledger WHERE name = ?2 AND version = 1 \
            UNION SELECT principal FROM former_name WHERE former = ?2 AND version = 1 \
            UNION SELECT principal FROM former_name WHERE name = ?2 AND version = 1) \
         SELECT who FROM people \
         UNION SELECT ?3 || member FROM people JOIN ledger ON principal = who WHERE member IS NOT NULL \
         ORDER BY 1 LIMIT ?4",
        &[
            json!(known).to_string().into(),
            address::folded(person).into(),
            Kind::Invitation.prefix().into(),
            MOST_PEOPLE.into(),
        ],
    )?;
    Ok(rows.iter().flatten().filter_map(SqlValue::text).map(str::to_owned).collect())
}

/// What the ledger says of one grant as of a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Who.
    pub principal: String,
    /// That one's e-mail address or name.
    pub name: String,
    /// What.
    pub entitlement: String,
    /// Whether it was held then; nothing where that is as it is now.
    pub held: Option<bool>,
    /// When it was last gained before, and how.
    pub gained: Option<Value>,
}

/// How far the ledger goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Of what was before it says nothing.
    pub begins_at: Option<Timestamp>,
    /// When something may have changed that could not be found out.
    pub gaps: Vec<Timestamp>,
}

/// What was before is forgotten, though some of it may be kept for evidence.
fn horizon(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    sql.number("SELECT at FROM ledger_mark WHERE kind = 'horizon'", &[])
}

/// How far the ledger goes, and its gaps up to a generation, where one is named: with the one that it is in, where it has no mark of its own.
pub fn reach(sql: &dyn Sql, until: Option<&GenerationId>) -> Result<Reach, SqlError> {
    let rows = sql.query(
        "SELECT at, 'begins' FROM (SELECT MAX(COALESCE((SELECT at FROM ledger_mark WHERE kind = 'horizon'), 0), MIN(at)) AS at \
            FROM ledger_mark WHERE kind <> 'horizon') WHERE at IS NOT NULL \
         UNION ALL SELECT at, kind FROM ledger_mark WHERE kind = 'gap' AND (?1 IS NULL OR generation <= \
            COALESCE((SELECT MIN(generation) FROM ledger_mark WHERE generation >= ?1), ?1)) ORDER BY 1 LIMIT 100",
        &[until.map(ToString::to_string).into()],
    )?;
    let mut reach = Reach::default();
    for row in &rows {
        let [at, kind] = row.as_slice() else { continue };
        let Some(at) = at.time() else { continue };
        match kind.text() {
            Some("begins") => reach.begins_at = Some(at),
            _ => reach.gaps.push(at),
        }
    }
    Ok(reach)
}

/// Changes, the newest first, as they are shown.
pub fn history(sql: &dyn Sql, filter: &Filter, limit: i64) -> Result<Vec<Value>, SqlError> {
    let horizon = horizon(sql)?.unwrap_or_default();
    let mut narrowed = Narrowed::by("version = 1 AND at >= ?", vec![horizon.into()]);
    if filter.person.is_some() {
        let people = people(sql, filter.person.as_deref(), &filter.principals)?;
        narrowed.and("principal IN (SELECT value FROM json_each(?))", Some(json!(people).to_string().into()));
    }
    let entitlement = filter.entitlement.as_deref().map(Into::into);
    narrowed.and("(entitlement = ? OR instr(entitlement, ?) > 0)", entitlement);
    narrowed.and("at >= ?", filter.from.map(Into::into));
    narrowed.and("at < ?", filter.to.map(Into::into));
    narrowed.and("id < ?", filter.before.map(Into::into));
    let read = |rows: &[Vec<SqlValue>]| Ok(rows.iter().filter_map(|row| shown(row)).collect());
    narrowed.newest(sql, &format!("SELECT {COLUMNS} FROM ledger"), "id", limit, read)
}

/// The columns of a change, in the order in which `shown` reads them.
const COLUMNS: &str = "ledger.id, at, generation, gained, principal, name, entitlement, cause, happened_at, by";

/// Who did it is asked for, of what differs between two generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorship {
    /// The older generation, and the newer one.
    pub generations: (GenerationId, GenerationId),
    /// When they were published.
    pub published: (Timestamp, Timestamp),
    /// Grants, each with its principal and its entitlement.
    pub grants: Vec<(String, String)>,
    /// Rows that changed in something else, by their keys, each with the membership of a person.
    pub rows: Vec<(String, Option<String>)>,
}

/// What the ledger says of the grants that are asked about, of each the newest between both generations, as it is shown.
pub fn newest_of(sql: &dyn Sql, asked: &Authorship) -> Result<Vec<Value>, SqlError> {
    let rows = sql.query(
        &format!(
            "SELECT {COLUMNS} FROM json_each(?1) AS wanted JOIN ledger ON ledger.id = ( \
                SELECT MAX(one.id) FROM ledger AS one \
                WHERE one.principal = json_extract(wanted.value, '$[0]') AND one.entitlement = json_extract(wanted.value, '$[1]') \
                    AND one.version = 1 AND one.generation > ?2 AND one.generation <= ?3)"
        ),
        &[json!(asked.grants).to_string().into(), (&asked.generations.0).into(), (&asked.generations.1).into()],
    )?;
    Ok(rows.iter().filter_map(|row| shown(row)).collect())
}

fn shown(row: &[SqlValue]) -> Option<Value> {
    let [id, at, generation, gained, principal, name, entitlement, cause, happened_at, by] = row else { return None };
    let what = if gained.integer()? == 1 { "gained" } else { "lost" };
    let mut told = told(at, cause, happened_at, by)?;
    if let Value::Object(told) = &mut told {
        put(told, "number", &id.integer()?);
        put(told, "generation", &generation.text()?);
        put(told, "what", &what);
        put(told, "principal", &principal.text()?);
        put(told, "person", &name.text()?);
        put(told, "entitlement", &entitlement.text()?);
    }
    Some(told)
}

/// How it is told that nobody is known to have done something.
pub fn nobody() -> Value {
    object!({ "who": "unknown", "through": "unknown" })
}

/// How a change is told: when it was seen, when it happened, and by what.
fn told(at: &SqlValue, cause: &SqlValue, happened_at: &SqlValue, by: &SqlValue) -> Option<Value> {
    let cause = cause.text().unwrap_or_default().trim_start_matches(SO_FAR);
    let by: Option<Value> = by.text().and_then(|by| reader::read_str(by).ok());
    let (cause, by) = if cause.is_empty() { ("unknown", nobody()) } else { (cause, by.unwrap_or_default()) };
    Some(object!({ "seen_at": at.time()?, "happened_at": happened_at.time(), "cause": cause, "by": by }))
}

/// What the ledger says of a part of the account as of a time: of these principals, where it is of some, in the order of principals and
/// entitlements.
pub fn facts(sql: &dyn Sql, question: &Question, people: &[String], limit: i64) -> Result<Vec<Fact>, SqlError> {
    let gap = sql.number(
        "SELECT MIN(at) FROM ledger_mark WHERE kind = 'gap' AND at > ? AND generation <= ?",
        &[question.at.into(), (&question.generation).into()],
    )?;
    let since = question.since.map(Timestamp::millis).or(horizon(sql)?).unwrap_or_default();
    let (after, within) = question.after.clone().unzip();
    // Where nobody is asked for by name, the index of principals is of no use.
    let of = if question.is_of_some() { "principal IN (SELECT value FROM json_each(?4))" } else { "?4 IS NOT NULL" };
    let listed = question.entitlements.as_ref().map(|them| json!(them).to_string());
    // The index of principals is searched between two bounds only where both stand by themselves; bytes come after every text.
    // `soon` is the first change after that time, before any gap; `last` the last one before; `later` the first beyond the gap.
    let statement = format!(
        "SELECT principal, \
            COALESCE((SELECT called.name FROM former_name AS called WHERE called.principal = who AND called.version = 1 AND called.at <= ?1 \
                ORDER BY called.id DESC LIMIT 1), told.name), \
            entitlement, \
            CASE WHEN soon IS NOT NULL THEN 1 - (SELECT gained FROM ledger WHERE id = soon) \
                WHEN ?2 IS NOT NULL AND last IS NOT NULL THEN (SELECT gained FROM ledger WHERE id = last) \
                WHEN later IS NOT NULL THEN 1 - (SELECT gained FROM ledger WHERE id = later) END, \
            told.gained, told.at, told.cause, told.happened_at, told.by \
         FROM (SELECT principal AS who, entitlement AS what, \
                MIN(CASE WHEN at > ?1 AND at < COALESCE(?2, at + 1) THEN id END) AS soon, \
                MAX(CASE WHEN at <= ?1 THEN id END) AS last, \
                MIN(CASE WHEN at > ?1 AND at >= ?2 THEN id END) AS later, MAX(id) AS newest \
             FROM ledger \
             WHERE version = 1 AND generation <= ?3 AND {of} \
                AND (?6 IS NULL OR entitlement IN (SELECT value FROM json_each(?6))) \
                AND (?7 IS NULL OR principal > ?7 OR entitlement > ?5) AND principal >= COALESCE(?7, '') AND principal <= COALESCE(?8, x'') \
             GROUP BY principal, entitlement ORDER BY principal, entitlement LIMIT ?9) \
         JOIN ledger AS told ON told.id = COALESCE(last, newest)"
    );
    let rows = sql.query(
        &statement,
        &[
            question.at.into(),
            gap.into(),
            (&question.generation).into(),
            json!(people).to_string().into(),
            within.flatten().into(),
            listed.into(),
            after.into(),
            question.until.clone().into(),
            limit.into(),
        ],
    )?;
    let read = |row: &Vec<SqlValue>| {
        let [principal, name, entitlement, held, gained, at, cause, happened_at, by] = row.as_slice() else {
            return None;
        };
        let was_gained = gained.integer()? == 1 && (since..=question.at.millis()).contains(&at.integer()?);
        Some(Fact {
            principal: principal.text()?.to_owned(),
            name: name.text()?.to_owned(),
            entitlement: entitlement.text()?.to_owned(),
            held: held.integer().map(|held| held == 1),
            gained: if was_gained { told(at, cause, happened_at, by) } else { None },
        })
    };
    let mut facts: Vec<Fact> = rows.iter().filter_map(read).collect();
    order::sort_by(&mut facts, |one, other| {
        (&one.principal, &one.entitlement).cmp(&(&other.principal, &other.entitlement))
    });
    Ok(facts)
}

/// The names of then, of those among them who are called otherwise since: each principal with that name.
pub fn names_then(
    sql: &dyn Sql,
    question: &Question,
    people: &[String],
    limit: i64,
) -> Result<Vec<(String, String)>, SqlError> {
    let of = if question.is_of_some() { "principal IN (SELECT value FROM json_each(?3))" } else { "?3 IS NOT NULL" };
    let rows = sql.query(
        &format!(
            "SELECT principal, former, MIN(id) FROM former_name \
             WHERE version = 1 AND at > ?1 AND generation <= ?2 AND {of} AND principal >= COALESCE(?4, '') \
                AND principal <= COALESCE(?5, x'') \
             GROUP BY principal ORDER BY principal LIMIT ?6"
        ),
        &[
            question.at.into(),
            (&question.generation).into(),
            json!(people).to_string().into(),
            question.after.as_ref().map(|(principal, _)| principal.clone()).into(),
            question.until.clone().into(),
            limit.into(),
        ],
    )?;
    let read = |row: &Vec<SqlValue>| Some((row.first()?.text()?.to_owned(), row.get(1)?.text()?.to_owned()));
    Ok(rows.iter().filter_map(read).collect())
}

/// A grant as of a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastGrant {
    /// Who.
    pub principal: String,
    /// The e-mail address or the name that one had then.
    pub person: String,
    /// What.
    pub entitlement: String,
    /// When it was gained and how, where the ledger goes as far; `null` for what was held before it began.
    pub gained: Option<Value>,
}

impl PastGrant {
    /// The same as it comes to a member of a group: since the group has it, and the member is in it.
    #[must_use]
    pub fn through(&self, membership: &Self) -> Self {
        let since = |gained: &Option<Value>| gained.as_ref()?.get("seen_at")?.as_str().map(str::to_owned);
        let later = if since(&self.gained) > since(&membership.gained) { self } else { membership };
        Self {
            principal: membership.principal.clone(),
            person: membership.person.clone(),
            entitlement: self.entitlement.clone(),
            gained: later.gained.clone(),
        }
    }
}

/// What was held as of a time, from what is held now and what the ledger says of the same part of the account.
pub fn as_of(now: Vec<(String, String, String)>, facts: Vec<Fact>, names: Vec<(String, String)>) -> Vec<PastGrant> {
    let mut held: BTreeMap<(String, String), PastGrant> = BTreeMap::new();
    for (principal, person, entitlement) in now {
        let key = (principal.clone(), entitlement.clone());
        held.insert(key, PastGrant { principal, person, entitlement, gained: None });
    }
    for fact in facts {
        let key = (fact.principal.clone(), fact.entitlement.clone());
        match (fact.held, held.get_mut(&key)) {
            (Some(false), _) => {
                held.remove(&key);
            }
            (_, Some(known)) => known.gained = fact.gained,
            (Some(true), None) => {
                let Fact { principal, name, entitlement, gained, .. } = fact;
                held.insert(key, PastGrant { principal, person: name, entitlement, gained });
            }
            (None, None) => {}
        }
    }
    let names: BTreeMap<String, String> = names.into_iter().collect();
    let called = |mut held: PastGrant| {
        if let Some(name) = names.get(&held.principal) {
            held.person.clone_from(name);
        }
        held
    };
    held.into_iter().map(|(_, held)| called(held)).collect()
}
