//! What was found, and what became of it: opened, closed, accepted. In the Coordinator's SQLite.

use crate::base::json::Deserialize;
use crate::base::tree::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::extent::is_more;
use super::rules::{RULES, Test, words_of};
use super::severity::Severity;
use crate::base::object::object;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows::Narrowed;
use crate::base::time::Timestamp;
use crate::ledger::past::Reach;
use crate::snapshot::{GenerationId, KEPT};

/// A finding is accepted for this many days at most.
pub const MAX_DAYS: i64 = 366;

/// What the finding is about that says how many a rule found beside those that are listed one by one.
pub(super) const OTHERS: &str = "others";

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The rule, a colon, and what it is about.
    pub(super) id: String,
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    /// What it is about: a row's key, `account`, or [`OTHERS`].
    pub(super) about: String,
    /// The name that people know that by.
    pub(super) name: String,
    pub(super) evidence: String,
    /// How far it goes, as that is kept.
    pub(super) extent: String,
}

impl Match {
    /// As an answer has it that tells of what would be.
    pub(super) fn told(self) -> Value {
        let (title, remedy) = words_of(self.rule);
        object!({
            "id": self.id, "rule": self.rule, "severity": self.severity, "title": title,
            "about": self.about, "name": self.name, "evidence": self.evidence, "remedy": remedy,
        })
    }
}

/// Which findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// `open`, `accepted`, `closed` or `all`; those that are open where it is absent.
    pub state: Option<String>,
    /// A rule's name.
    pub rule: Option<String>,
    /// `high`, `medium` or `low`.
    pub severity: Option<String>,
    /// Findings older than this one.
    pub before: Option<i64>,
    /// Those that are open, the gravest first: for what has room for so many.
    #[serde(default)]
    pub gravest: bool,
}

impl Filter {
    /// Those that are open, the gravest first.
    pub fn gravest() -> Self {
        Self { gravest: true, ..Self::default() }
    }
}

/// That a finding is as it should be, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The finding's id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Until when; it is open again from then on.
    pub until: Timestamp,
    /// Who says so.
    pub by: String,
    /// What the finding told whoever says so, where they say that: what tells something else by now is not what they accept.
    pub evidence: Option<String>,
}

/// The evidence of a generation has at most this many findings, of some 500 bytes each.
const MOST_CUT: i64 = 1_000;
const TOLD_IN_CUT: [&str; 8] = ["id", "severity", "state", "title", "about", "name", "evidence", "accepted"];

/// How many findings of each severity are open, and accepted; `?1` is now.
pub const BY_SEVERITY: &str = "SELECT severity, CASE WHEN accepted_until > ?1 THEN 'accepted' ELSE 'open' END, COUNT(*) \
    FROM finding WHERE closed_at IS NULL GROUP BY 1, 2";

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS finding ( \
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, rule TEXT NOT NULL, severity TEXT NOT NULL, \
            about TEXT NOT NULL, name TEXT NOT NULL, evidence TEXT NOT NULL, opened_at INTEGER NOT NULL, closed_at INTEGER, \
            reason TEXT, accepted_by TEXT, accepted_at INTEGER, accepted_until INTEGER, extent TEXT, \
            accepted_extent TEXT)",
        &[],
    )?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS invitation_seen (key TEXT PRIMARY KEY, since INTEGER NOT NULL, day TEXT NOT NULL) \
            WITHOUT ROWID",
        &[],
    )?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS finding_cut ( \
            generation TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, findings TEXT NOT NULL) WITHOUT ROWID",
        &[],
    )?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS finding_event ( \
            number INTEGER PRIMARY KEY AUTOINCREMENT, finding TEXT NOT NULL, at INTEGER NOT NULL, what TEXT NOT NULL, \
            detail TEXT NOT NULL)",
        &[],
    )
}

/// What was not closed when the evidence of a generation was first asked for, that which matters most first; and before it when that was, how many
/// more there were, and how far the ledger went then: the same as long as the generation is kept.
pub fn cut(sql: &dyn Sql, generation: &GenerationId, reach: &Reach, now: Timestamp) -> Result<Vec<Value>, SqlError> {
    // A row of version 1 has neither states nor what was accepted, and is of the file's format 1.
    let known =
        sql.text("SELECT findings FROM finding_cut WHERE generation = ? AND version = 2", &[generation.into()])?;
    if let Some(known) = known.and_then(|text| crate::base::json::read_str(&text).ok()) {
        return Ok(known);
    }
    let rows = gravest(sql, UNCLOSED, MOST_CUT, now)?;
    let all = sql.number(&format!("SELECT COUNT(*) FROM finding WHERE {UNCLOSED}"), &[])?;
    let left_out = all.unwrap_or_default() - MOST_CUT;
    let mut cut =
        vec![object!({ "as_of": now, BEGINS_AT: reach.begins_at, "gaps": reach.gaps, "left_out": left_out.max(0) })];
    for mut finding in rows.iter().filter_map(|row| shown(row, now)) {
        // What is the same for all of a rule is told by the list of findings.
        if let Value::Object(fields) = &mut finding {
            fields.retain(|name, _| TOLD_IN_CUT.contains(&name.as_str()));
        }
        cut.push(finding);
    }
    sql.run(
        "INSERT OR REPLACE INTO finding_cut (generation, version, findings) VALUES (?, 2, ?)",
        &[generation.into(), serde_json::to_string(&cut)?.into()],
    )?;
    Ok(cut)
}

/// Under this name the head of the evidence has since when the ledger went.
pub const BEGINS_AT: &str = "ledger_begins_at";

/// Forgets what was open in generations that are kept no more. Gives since when the ledger is told by the evidence of one that is.
pub fn told_since(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    sql.run(&format!("DELETE FROM finding_cut WHERE generation NOT IN ({KEPT})"), &[])?;
    let rows = sql
        .query("SELECT json_extract(findings, '$[0].' || ?) FROM finding_cut WHERE version < 3", &[BEGINS_AT.into()])?;
    Ok(rows.iter().flatten().filter_map(SqlValue::text).filter_map(Timestamp::parse).min())
}

/// The findings that are not closed, each with its evidence and how far it goes.
pub(super) fn unclosed(sql: &dyn Sql) -> Result<BTreeMap<String, (String, String)>, SqlError> {
    let rows = sql.query("SELECT id, evidence, COALESCE(extent, '') FROM finding WHERE closed_at IS NULL", &[])?;
    let read = |row: &Vec<SqlValue>| {
        let text = |place: usize| row.get(place)?.text().map(str::to_owned);
        Some((text(0)?, (text(1)?, text(2)?)))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// How far went what was accepted: it is kept with the time of the acceptance, since a version that does not know of it accepts without it, and keeps the
/// extent itself as it was.
const ACCEPTED: &str =
    "CASE WHEN accepted_extent LIKE accepted_at || ' %' THEN substr(accepted_extent, length(accepted_at) + 2) END";

/// Opens a finding, or takes over what is told of one that is open. Gives whether that is news: one that is new is, unless it is still accepted
/// from before, and one that is open again though it was accepted, since it goes further by now.
pub(super) fn note(sql: &dyn Sql, found: &Match, is_new: bool, now: Timestamp) -> Result<bool, SqlError> {
    let text = |text: &str| SqlValue::from(text);
    let accepted = sql.query(
        &format!("SELECT COALESCE({ACCEPTED}, extent, ''), accepted_by, reason FROM finding WHERE id = ? AND accepted_until > ?"),
        &[text(&found.id), now.into()],
    )?;
    let accepted =
        accepted.first().map(|row| row.iter().map(|value| value.text().unwrap_or_default()).collect::<Vec<_>>());
    // What was accepted stays what was accepted, though there is less of it for a while.
    let before = accepted.as_deref().and_then(|row| row.first());
    let is_more = before.is_some_and(|before| is_more(&found.extent, before));
    sql.run(
        &format!(
            "INSERT INTO finding (id, rule, severity, about, name, evidence, opened_at, extent) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, about = excluded.about, name = excluded.name, \
                evidence = excluded.evidence, extent = excluded.extent, accepted_extent = accepted_at || ' ' || COALESCE({ACCEPTED}, extent), \
                opened_at = CASE WHEN closed_at IS NULL THEN opened_at ELSE excluded.opened_at END, closed_at = NULL"
        ),
        &[
            text(&found.id),
            text(found.rule),
            text(found.severity.as_str()),
            text(&found.about),
            text(&found.name),
            text(&found.evidence),
            now.into(),
            text(&found.extent),
        ],
    )?;
    if is_new {
        event(sql, &found.id, "opened", &found.evidence, now)?;
    }
    if let (true, Some([_, by, reason])) = (is_more, accepted.as_deref()) {
        let why = format!("it is more than was accepted by {by}: {reason}; now {}", found.evidence);
        open_again(sql, &found.id, &why, now)?;
    }
    Ok(is_more || (is_new && accepted.is_none()))
}

/// Takes over the name that what a finding is about goes by now: where all else is as it was, that is no news.
pub(super) fn rename(sql: &dyn Sql, found: &Match) -> Result<(), SqlError> {
    let params = [found.name.as_str().into(), found.id.as_str().into()];
    sql.run("UPDATE finding SET name = ?1 WHERE id = ?2 AND name <> ?1", &params)
}

/// Ends what somebody said of a finding; that stays in its events.
fn open_again(sql: &dyn Sql, id: &str, why: &str, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE finding SET reason = NULL, accepted_by = NULL, accepted_at = NULL, accepted_until = NULL WHERE id = ?",
        &[id.into()],
    )?;
    event(sql, id, "open_again", why, now)
}

/// Closes a finding.
pub(super) fn close(sql: &dyn Sql, id: &str, now: Timestamp) -> Result<(), SqlError> {
    sql.run("UPDATE finding SET closed_at = ? WHERE id = ? AND closed_at IS NULL", &[now.into(), id.into()])?;
    event(sql, id, "closed", "", now)
}

/// Opens those again that were accepted until now: gives their ids. What the acceptance said stays in their events.
pub(super) fn end_acceptances(sql: &dyn Sql, now: Timestamp) -> Result<Vec<String>, SqlError> {
    let over = sql.query(
        "SELECT id, accepted_until, accepted_by, reason FROM finding WHERE closed_at IS NULL AND accepted_until <= ?",
        &[now.into()],
    )?;
    let mut ids = Vec::new();
    for row in &over {
        let [id, until, by, reason] = row.as_slice() else { continue };
        let (Some(id), Some(until)) = (id.text(), until.time()) else { continue };
        let [by, reason] = [by, reason].map(|text| text.text().unwrap_or_default());
        open_again(sql, id, &format!("it was accepted until {until}, by {by}: {reason}"), now)?;
        ids.push(id.to_owned());
    }
    Ok(ids)
}

/// Since when an invitation has been there, as far as it was seen: Cloudflare does not tell. One that is new is noted.
pub(super) fn invited_since(sql: &dyn Sql, key: &str, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    let day = now.date();
    // Once a day, so that those that are gone can be told apart.
    sql.query(
        "INSERT INTO invitation_seen (key, since, day) VALUES (?1, ?2, ?3) \
         ON CONFLICT (key) DO UPDATE SET day = excluded.day WHERE day <> excluded.day",
        &[key.into(), now.into(), day.as_str().into()],
    )?;
    known_since(sql, key)
}

/// The same, where it is known already.
pub(super) fn known_since(sql: &dyn Sql, key: &str) -> Result<Option<Timestamp>, SqlError> {
    sql.time("SELECT since FROM invitation_seen WHERE key = ?", &[key.into()])
}

/// Forgets what was closed, and what happened, before a time; and invitations that were not there for a week.
pub(super) fn purge(sql: &dyn Sql, before: Timestamp, now: Timestamp) -> Result<(), SqlError> {
    let week = now.plus_secs(-7 * 86_400).date();
    sql.run("DELETE FROM invitation_seen WHERE day < ?", &[week.as_str().into()])?;
    sql.run("DELETE FROM finding WHERE closed_at < ?", &[before.into()])?;
    sql.run("DELETE FROM finding_event WHERE at < ?", &[before.into()])
}

fn event(sql: &dyn Sql, id: &str, what: &str, detail: &str, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO finding_event (finding, at, what, detail) VALUES (?, ?, ?, ?)",
        &[id.into(), now.into(), what.into(), detail.into()],
    )
}

/// Accepts a finding that is not closed, and tells what was accepted, where that is known; `false` where there is none.
pub fn accept(sql: &dyn Sql, acceptance: &Acceptance, now: Timestamp) -> Result<bool, SqlError> {
    let Acceptance { id, reason, until, by, evidence } = acceptance;
    let is_accepted = sql.has(
        "UPDATE finding SET reason = ?, accepted_by = ?, accepted_at = ?, accepted_until = ?, accepted_extent = CAST(?3 AS INTEGER) || ' ' || extent \
         WHERE id = ? AND closed_at IS NULL AND evidence = COALESCE(?, evidence) RETURNING id",
        &[
            reason.as_str().into(),
            by.as_str().into(),
            now.into(),
            (*until).into(),
            id.as_str().into(),
            evidence.clone().into(),
        ],
    )?;
    if !is_accepted {
        return Ok(false);
    }
    event(sql, id, "accepted", &format!("until {until}, by {by}: {reason}"), now)?;
    Ok(true)
}

/// Findings, those first that were found last, unless the filter wants the gravest.
pub fn list(sql: &dyn Sql, filter: &Filter, limit: i64, now: Timestamp) -> Result<Vec<Value>, SqlError> {
    if filter.gravest {
        let rows = gravest(sql, OPEN, limit, now)?;
        return Ok(rows.iter().filter_map(|row| shown(row, now)).collect());
    }
    let state = match filter.state.as_deref() {
        Some("all") => "? > 0",
        Some("closed") => "closed_at IS NOT NULL AND ? > 0",
        Some("accepted") => "closed_at IS NULL AND accepted_until > ?",
        _ => OPEN,
    };
    let mut narrowed = Narrowed::by(state, vec![now.into()]);
    narrowed.and("rule = ?", filter.rule.as_deref().map(Into::into));
    narrowed.and("severity = ?", filter.severity.as_deref().map(Into::into));
    narrowed.and("number < ?", filter.before.map(Into::into));
    narrowed.newest(sql, SELECT, "number", limit, |rows| Ok(rows.iter().filter_map(|row| shown(row, now)).collect()))
}

/// Those of which that holds, the gravest first, and of those the newest; behind all of them what is accepted.
fn gravest(sql: &dyn Sql, which: &str, limit: i64, now: Timestamp) -> Result<Vec<Vec<SqlValue>>, SqlError> {
    let by_weight = "IFNULL(accepted_until, 0) > ?1, CASE severity WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END";
    sql.query(&format!("{SELECT} WHERE {which} ORDER BY {by_weight}, number DESC LIMIT ?"), &[now.into(), limit.into()])
}

/// The rules by which something about somebody, or about the account, is open; and those by which something about people is open that is
/// not listed one by one: it may be about anybody who is there.
pub fn open_about(sql: &dyn Sql, about: &str, now: Timestamp) -> Result<(Vec<String>, Vec<String>), SqlError> {
    let rows = sql.query(
        &format!(
            "SELECT DISTINCT rule, id = rule || ':more' FROM finding \
             WHERE {OPEN} AND (about IN (?, 'account') OR id = rule || ':more')"
        ),
        &[now.into(), about.into()],
    )?;
    let is_of_people = |name: &str| RULES.iter().any(|rule| rule.name == name && matches!(rule.test, Test::Person(_)));
    let (mut open, mut perhaps) = (Vec::new(), Vec::new());
    for row in &rows {
        let [rule, is_more] = row.as_slice() else { continue };
        let Some(rule) = rule.text() else { continue };
        if is_more.integer() != Some(1) {
            open.push(rule.to_owned());
        } else if !about.is_empty() && is_of_people(rule) {
            perhaps.push(rule.to_owned());
        }
    }
    Ok((open, perhaps))
}

/// One finding, with what happened to it.
pub fn one(sql: &dyn Sql, id: &str, now: Timestamp) -> Result<Option<Value>, SqlError> {
    let rows = sql.query(&format!("{SELECT} WHERE id = ?"), &[id.into()])?;
    let Some(mut finding) = rows.first().and_then(|row| shown(row, now)) else { return Ok(None) };
    let rows = sql.query(
        "SELECT at, what, detail FROM finding_event WHERE finding = ? ORDER BY number DESC LIMIT 100",
        &[id.into()],
    )?;
    let events: Vec<Value> = rows
        .iter()
        .filter_map(|row| {
            let [at, what, detail] = row.as_slice() else { return None };
            let at = at.time()?;
            Some(object!({ "at": at, "what": what.text()?, "detail": detail.text()? }))
        })
        .collect();
    if let Value::Object(fields) = &mut finding {
        fields.insert("events".to_owned(), events.into());
    }
    Ok(Some(finding))
}

/// What happened to findings, the newest first: opened, closed, accepted, and open again when that is over.
pub fn events(sql: &dyn Sql, before: Option<i64>, limit: i64) -> Result<Vec<Value>, SqlError> {
    let told = |row: &Vec<SqlValue>| {
        let [number, finding, at, what, detail] = row.as_slice() else { return None };
        let at = at.time()?;
        Some(object!({
            "number": number.integer()?, "finding": finding.text()?, "at": at, "what": what.text()?, "detail": detail.text()?,
        }))
    };
    let select = "SELECT number, finding, at, what, detail FROM finding_event";
    let narrowed = Narrowed::by("number < ?", vec![before.unwrap_or(i64::MAX).into()]);
    narrowed.newest(sql, select, "number", limit, |rows| Ok(rows.iter().filter_map(told).collect()))
}

/// A number that is another one as soon as a finding was opened, closed or accepted.
pub fn latest_event(sql: &dyn Sql) -> Result<i64, SqlError> {
    Ok(sql.number("SELECT MAX(number) FROM finding_event", &[])?.unwrap_or_default())
}

const SELECT: &str = "SELECT number, id, rule, severity, about, name, evidence, opened_at, closed_at, reason, accepted_by, \
    accepted_at, accepted_until FROM finding";

/// Which findings are open, now and not accepted until later.
const OPEN: &str = "closed_at IS NULL AND COALESCE(accepted_until, 0) <= ?";

/// Which are open or accepted.
const UNCLOSED: &str = "closed_at IS NULL";

/// A finding as an answer has it.
fn shown(row: &[SqlValue], now: Timestamp) -> Option<Value> {
    let [number, id, rule, severity, about, name, evidence, opened, closed, reason, by, accepted, until] = row else {
        return None;
    };
    let (title, remedy) = words_of(rule.text()?);
    let (closed, until) = (closed.time(), until.time());
    let is_accepted = until.is_some_and(|until| until > now);
    let state = match closed {
        Some(_) => "closed",
        None if is_accepted => "accepted",
        None => "open",
    };
    let accepted =
        until.map(|until| object!({ "reason": reason.text(), "by": by.text(), "at": accepted.time(), "until": until }));
    Some(object!({
        "number": number.integer()?,
        "id": id.text()?,
        "rule": rule.text()?,
        "severity": severity.text()?,
        "state": state,
        "title": title,
        "about": about.text()?,
        "name": name.text()?,
        "evidence": evidence.text()?,
        "since": opened.time()?,
        "closed_at": closed,
        "accepted": accepted,
        "remedy": remedy,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::extent::Extent;
    use super::*;
    use crate::base::fakes::Desk;

    fn found(id: &str, evidence: &str) -> Match {
        Match {
            id: id.to_owned(),
            rule: "deny-policy",
            severity: Severity::Low,
            about: "user:1".to_owned(),
            name: "Jane".to_owned(),
            evidence: evidence.to_owned(),
            extent: String::new(),
        }
    }

    /// A finding that goes as far as these.
    fn listing(which: &[&str]) -> Match {
        let extent = Extent::listed(which.iter().map(|&one| one.to_owned()).collect());
        Match { extent: extent.text(Severity::Low), ..found("a", &which.join(", ")) }
    }

    fn agreed() -> Acceptance {
        Acceptance {
            id: "a".to_owned(),
            reason: "so agreed".to_owned(),
            until: at(1_000),
            by: "api".to_owned(),
            evidence: None,
        }
    }

    #[test]
    fn an_acceptance_is_of_what_was_accepted_and_not_of_what_a_finding_grows_to() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let acceptance = agreed();
        assert!(note(&desk, &listing(&["x", "y"]), true, at(0)).unwrap());
        accept(&desk, &acceptance, at(1)).unwrap();
        // The controls: told otherwise, less, over, and back.
        assert!(!note(&desk, &Match { evidence: "y and x".to_owned(), ..listing(&["x", "y"]) }, false, at(2)).unwrap());
        assert!(!note(&desk, &listing(&["x"]), false, at(3)).unwrap());
        close(&desk, "a", at(4)).unwrap();
        assert!(!note(&desk, &listing(&["x"]), true, at(5)).unwrap());
        // What was accepted is, though there was less of it for a while.
        assert!(!note(&desk, &listing(&["x", "y"]), false, at(6)).unwrap());
        assert_eq!(states(&desk, "accepted", 6), ["a"]);
        assert!(note(&desk, &listing(&["x", "z"]), false, at(7)).unwrap());
        assert_eq!((states(&desk, "open", 8), states(&desk, "accepted", 8)), (vec!["a".to_owned()], vec![]));
        let told = one(&desk, "a", at(8)).unwrap().unwrap();
        assert_eq!((&told["events"][0]["what"], &told["accepted"]), (&json!("open_again"), &Value::Null));
        let why = told["events"][0]["detail"].as_str().unwrap();
        assert!(why.contains("so agreed") && why.contains("x, z"), "{why}");
        assert!(!note(&desk, &listing(&["x", "z", "q"]), false, at(9)).unwrap(), "nothing is accepted any more");
    }

    #[test]
    fn an_acceptance_that_is_given_anew_is_of_what_there_is_then() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let acceptance = agreed();
        note(&desk, &listing(&["x", "y"]), true, at(0)).unwrap();
        accept(&desk, &acceptance, at(1)).unwrap();
        note(&desk, &listing(&["x"]), false, at(2)).unwrap();
        accept(&desk, &acceptance, at(3)).unwrap();
        assert!(!note(&desk, &listing(&["x"]), false, at(4)).unwrap(), "the control");
        assert_eq!(states(&desk, "accepted", 4), ["a"]);
        assert!(note(&desk, &listing(&["x", "y"]), false, at(5)).unwrap());
        assert_eq!(states(&desk, "open", 6), ["a"]);
        // Nothing of an acceptance that is over is left to the next.
        accept(&desk, &acceptance, at(7)).unwrap();
        assert!(!note(&desk, &listing(&["x", "y"]), false, at(8)).unwrap());
    }

    /// A version that does not know how far an acceptance goes keeps the finding as far as it went, and accepts and opens without it.
    #[test]
    fn what_was_accepted_while_an_earlier_version_ran_is_as_far_as_that_one_kept_it() {
        let acceptance = agreed();
        for (then, now, is_more) in [(&["x"][..], &["x", "y"][..], true), (&["x", "y", "z"], &["x", "y"], false)] {
            let desk = Desk::new();
            init(&desk).unwrap();
            note(&desk, &listing(&["x", "y"]), true, at(0)).unwrap();
            accept(&desk, &acceptance, at(1)).unwrap();
            note(&desk, &listing(then), false, at(2)).unwrap();
            let sql = "UPDATE finding SET accepted_by = 'api', reason = 'so agreed', accepted_at = ?, accepted_until = ?, extent = ?";
            desk.query(sql, &[at(3).into(), at(1_000).into(), listing(then).extent.into()]).unwrap();
            assert_eq!(note(&desk, &listing(now), false, at(4)).unwrap(), is_more, "{then:?}");
            assert!(!note(&desk, &listing(then), false, at(5)).unwrap(), "{then:?}");
        }
    }

    #[test]
    fn of_more_findings_than_the_evidence_takes_those_that_matter_most_are_told_and_the_others_counted() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let high = Match { severity: Severity::High, ..found("high", "x") };
        note(&desk, &high, true, at(0)).unwrap();
        for n in 0..MOST_CUT {
            note(&desk, &found(&n.to_string(), "x"), true, at(1)).unwrap();
        }
        let generation = GenerationId::new(at(0), "12345678");
        let told = cut(&desk, &generation, &Reach::default(), at(2)).unwrap();
        assert_eq!((told.len(), &told[0]["left_out"], &told[1]["id"]), (1_001, &json!(1), &json!("high")));
        // What is accepted leaves the room to what is open, and what is closed is neither told nor counted.
        accept(&desk, &Acceptance { id: "high".to_owned(), ..agreed() }, at(3)).unwrap();
        for (generation, left_out) in [("12345679", 1), ("1234567a", 0)] {
            let told = cut(&desk, &GenerationId::new(at(4), generation), &Reach::default(), at(4)).unwrap();
            assert_eq!((told.len(), &told[0]["left_out"]), (1_001, &json!(left_out)));
            assert_eq!(told[1_000]["id"] == "high", left_out == 0, "{}", told[1_000]);
            close(&desk, "0", at(5)).unwrap();
        }
    }

    #[test]
    fn what_was_accepted_when_evidence_was_first_asked_for_is_told_with_why_and_until_when_and_nothing_later() {
        let desk = Desk::new();
        init(&desk).unwrap();
        for id in ["a", "b"] {
            note(&desk, &found(id, "x"), true, at(0)).unwrap();
        }
        accept(&desk, &agreed(), at(1)).unwrap();
        let generation = GenerationId::new(at(0), "12345678");
        let told = cut(&desk, &generation, &Reach::default(), at(2)).unwrap();
        let of = |place: usize| [&told[place]["id"], &told[place]["state"]].map(|it| it.as_str().unwrap());
        assert_eq!((of(1), &told[1]["accepted"], of(2)), (["b", "open"], &Value::Null, ["a", "accepted"]));
        let accepted = json!({ "reason": "so agreed", "by": "api", "at": at(1), "until": at(1_000) });
        assert_eq!(told[2]["accepted"], accepted);
        accept(&desk, &Acceptance { id: "b".to_owned(), ..agreed() }, at(3)).unwrap();
        assert_eq!(cut(&desk, &generation, &Reach::default(), at(2_000)).unwrap(), told);
    }

    #[test]
    fn what_evidence_of_another_format_told_is_not_told_again_and_the_ledger_is_kept_for_it_all_the_same() {
        let desk = Desk::new();
        init(&desk).unwrap();
        crate::snapshot::init(&desk).unwrap();
        note(&desk, &found("a", "x"), true, at(0)).unwrap();
        accept(&desk, &agreed(), at(1)).unwrap();
        let generation = GenerationId::new(at(0), "12345678");
        desk.query("INSERT INTO generation VALUES (?, 0, '[]')", &[(&generation).into()]).unwrap();
        // As the version before wrote it: what was accepted is left out.
        let before = json!([{ "as_of": at(2), BEGINS_AT: at(-1_000), "gaps": [], "left_out": 0 }]).to_string();
        desk.query(
            "INSERT INTO finding_cut (generation, findings) VALUES (?, ?)",
            &[(&generation).into(), before.as_str().into()],
        )
        .unwrap();
        assert_eq!(told_since(&desk).unwrap(), Some(at(-1_000)));
        let reach = Reach { begins_at: Some(at(-500)), ..Reach::default() };
        let told = cut(&desk, &generation, &reach, at(3)).unwrap();
        assert_eq!((told.len(), &told[1]["state"], &told[0]["as_of"]), (2, &json!("accepted"), &json!(at(3))));
        // The control: what is of this format is told again.
        note(&desk, &found("b", "x"), true, at(4)).unwrap();
        assert_eq!(cut(&desk, &generation, &reach, at(5)).unwrap(), told);
        assert_eq!(told_since(&desk).unwrap(), Some(at(-500)));
    }

    #[test]
    fn of_what_is_open_the_gravest_is_what_fits_however_old_it_is() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let of = |severity, id: &str| Match { severity, ..found(id, "x") };
        for (secs, (severity, id)) in (0..).zip([
            (Severity::High, "over"),
            (Severity::High, "first"),
            (Severity::High, "second"),
            (Severity::Medium, "third"),
        ]) {
            note(&desk, &of(severity, id), true, at(secs)).unwrap();
        }
        for n in 0..10 {
            note(&desk, &found(&n.to_string(), "x"), true, at(10 + n)).unwrap();
        }
        close(&desk, "over", at(30)).unwrap();
        let told = |filter: &Filter, limit| -> Vec<String> {
            let told = list(&desk, filter, limit, at(40)).unwrap();
            told.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(told(&Filter::gravest(), 5), ["second", "first", "third", "9", "8"]);
        assert_eq!(told(&Filter::gravest(), 1), ["second"]);
        assert_eq!(told(&Filter::default(), 2), ["9", "8"], "the control: the newest first");
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    fn states(desk: &Desk, state: &str, now: i64) -> Vec<String> {
        let filter = Filter { state: Some(state.to_owned()), ..Filter::default() };
        let listed = list(desk, &filter, 100, at(now)).unwrap();
        listed.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_finding_is_open_until_it_is_closed_and_accepted_until_its_end() {
        let desk = Desk::new();
        init(&desk).unwrap();
        note(&desk, &found("a", "x"), true, at(0)).unwrap();
        note(&desk, &found("b", "x"), true, at(1)).unwrap();
        note(&desk, &found("a", "y"), false, at(2)).unwrap();
        assert_eq!(states(&desk, "open", 3), ["b", "a"]);
        let acceptance = Acceptance { until: at(100), ..agreed() };
        assert!(accept(&desk, &acceptance, at(4)).unwrap());
        assert!(!accept(&desk, &Acceptance { id: "c".to_owned(), ..acceptance.clone() }, at(4)).unwrap());
        assert_eq!((states(&desk, "open", 5), states(&desk, "accepted", 5)), (vec!["b".into()], vec!["a".into()]));
        assert_eq!(states(&desk, "open", 101), ["b", "a"], "the end has come");
        close(&desk, "b", at(6)).unwrap();
        assert!(!accept(&desk, &Acceptance { id: "b".to_owned(), ..acceptance }, at(7)).unwrap(), "it is closed");
        assert_eq!((states(&desk, "closed", 7), states(&desk, "all", 7).len()), (vec!["b".into()], 2));

        let told = one(&desk, "a", at(8)).unwrap().unwrap();
        assert_eq!((told["evidence"].as_str(), told["since"].as_str()), (Some("y"), Some(at(0).to_string().as_str())));
        let events: Vec<_> = told["events"].as_array().unwrap().iter().map(|event| event["what"].clone()).collect();
        assert_eq!(events, ["accepted", "opened"]);
        assert_eq!(one(&desk, "c", at(8)).unwrap(), None);

        note(&desk, &found("b", "z"), true, at(9)).unwrap();
        let again = one(&desk, "b", at(10)).unwrap().unwrap();
        assert_eq!(
            (again["state"].as_str(), again["since"].as_str()),
            (Some("open"), Some(at(9).to_string().as_str()))
        );
        close(&desk, "b", at(11)).unwrap();
        purge(&desk, at(12), at(12)).unwrap();
        assert_eq!((states(&desk, "all", 13), unclosed(&desk).unwrap().len()), (vec!["a".to_owned()], 1));
    }

    #[test]
    fn what_was_open_in_a_generation_stays_as_long_as_that_is_kept_however_many_there_are() {
        let desk = Desk::new();
        init(&desk).unwrap();
        crate::snapshot::init(&desk).unwrap();
        let generations: Vec<GenerationId> = (0..60).map(|n| GenerationId::new(at(n * 900), "12345678")).collect();
        let mut first = Vec::new();
        for (n, generation) in (0..).zip(&generations) {
            desk.query("INSERT INTO generation VALUES (?, 0, '[]')", &[generation.into()]).unwrap();
            note(&desk, &found(&n.to_string(), "x"), true, at(n)).unwrap();
            let reach = Reach { begins_at: Some(at(n - 1_000)), ..Reach::default() };
            first.push(cut(&desk, generation, &reach, at(n)).unwrap());
        }
        for (generation, first) in generations.iter().zip(&first) {
            assert_eq!(told_since(&desk).unwrap(), Some(at(-1_000)));
            assert_eq!(&cut(&desk, generation, &Reach::default(), at(1_000_000)).unwrap(), first);
        }
        desk.query("DELETE FROM generation WHERE id = ?", &[(&generations[0]).into()]).unwrap();
        assert_eq!(told_since(&desk).unwrap(), Some(at(-999)));
        let again = cut(&desk, &generations[0], &Reach::default(), at(1_000_000)).unwrap();
        assert_eq!((again.len(), first[0].len()), (61, 2), "it is not kept any more");
    }
}
