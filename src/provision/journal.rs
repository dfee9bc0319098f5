//! The journal of operations: what was asked, by whom, what became of it. It is the audit trail, and it is what makes a
//! delivery that comes twice be carried out once.
//!
//! **Invariants:** a key is settled at most once, and a settled entry never changes its outcome; an entry that is not
//! settled has a time at which it is looked at again.

use serde::Serialize;

use super::incident::{self, Incident};
use super::removals::{self, IN_LINE, TRIED_IN_VAIN};
use super::resolve::{Counterpart, What};
use super::{callback, open_writes};
use crate::account::expiry::{self, EXPIRY_KEY};
use crate::account::looked_through;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows::{self, Narrowed};
use crate::base::time::Timestamp;
use crate::base::words::words;
use crate::cloudflare::MemberRecord;
use crate::model::address;
use crate::model::ask::Subject;
use crate::model::grant::{Entitlement, Holding};
use crate::model::id::MemberId;
pub use crate::model::operation::EntryId;
use crate::model::operation::{Outcome, Refusal, Request};

words! {
    /// How far an operation has come.
    pub enum State {
        /// It is on disk; nothing was sent to Cloudflare for it yet, or only reads were.
        Received = "received",
        /// A write is about to be sent, or was: until it is read back, what became of it is unknown.
        Writing = "writing",
        /// It could not be finished and will be tried again.
        PutOff = "put_off",
        /// It is finished, one way or the other.
        Settled = "settled",
    }
}

/// One operation, as the journal tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, rising with time.
    pub id: EntryId,
    /// C1's task and step, or `rest/<number>`; `callback/<hash>` where C1 named no step.
    pub key: String,
    /// How far it has come.
    pub state: State,
    /// What was asked, and by whom.
    pub request: Request,
    /// The membership, once it is known.
    pub member: Option<String>,
    /// The e-mail address of the person, once it is known.
    pub email: Option<String>,
    /// The entitlement, once it is known.
    pub entitlement: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How often it was begun.
    pub attempts: i64,
    /// What happened on the way, the `cf-ray` ids of Cloudflare's answers among it.
    pub trail: Vec<String>,
    /// What happened beside what was asked for: somebody else's write that ours may have replaced, a write that came late.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// When it will be tried again.
    pub due_at: Option<Timestamp>,
}

/// What the journal knows of an operation that arrives.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// It is new.
    New(EntryId),
    /// It arrived before and is not settled.
    Underway(EntryId),
    /// It is settled: this is the answer, again.
    Settled(EntryId, Outcome),
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// A membership id or an e-mail address.
    pub member: Option<String>,
    /// An entitlement id, or the id of a role in it.
    pub entitlement: Option<String>,
    /// A state, an outcome (`done`, `refused`) or a refusal's code.
    pub outcome: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// Entries older than this one.
    pub before: Option<EntryId>,
    /// What is under way alone, and shows on no list yet. Of the account: its revokes that nothing voided, of whoever the second text names, by the id of
    /// the User and, behind a blank, the address; of everybody where it names none. Of an entitlement: its grants, and those that
    /// may turn out to be of it, as what a renewal brings back may, where the second text is in it; no text where none is known.
    #[serde(default)]
    pub awaited: Option<(String, String)>,
}

/// The table.
const TABLE: &str = "operation";

/// The columns of an entry, in the order in which `entry` reads them.
const COLUMNS: &str = "id, key, state, request, member, email, entitlement, outcome, attempts, trail, received_at, settled_at, due_at, version";

/// How many lines a trail keeps: an operation that is tried for days must not grow without end.
const MAX_TRAIL: usize = 60;

/// Creates the table, and those of what is kept of operations until they are settled.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS operation ( \
            id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL DEFAULT 1, \
            key TEXT NOT NULL UNIQUE, state TEXT NOT NULL, request TEXT NOT NULL, \
            member TEXT, email TEXT, entitlement TEXT, outcome TEXT, \
            attempts INTEGER NOT NULL DEFAULT 0, trail TEXT NOT NULL DEFAULT '[]', \
            received_at INTEGER NOT NULL, settled_at INTEGER, due_at INTEGER, \
            wrote INTEGER NOT NULL DEFAULT 0, put_offs INTEGER NOT NULL DEFAULT 0, \
            carried_out INTEGER NOT NULL DEFAULT 0, wrote_at INTEGER)",
        &[],
    )?;
    expiry::init(sql)?;
    callback::init(sql)?;
    looked_through::init(sql)?;
    open_writes::init(sql)?;
    sql.run("CREATE TABLE IF NOT EXISTS spent (operation INTEGER PRIMARY KEY, requests INTEGER NOT NULL)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS operation_settled ON operation (settled_at)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS operation_email ON operation (email)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS operation_member ON operation (member)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS operation_due ON operation (due_at) WHERE due_at IS NOT NULL", &[])?;
    removals::init(sql)
}

/// How many operations came to what.
pub const BY_OUTCOME: &str = "SELECT COALESCE(json_extract(outcome, '$.effect'), json_extract(outcome, '$.code'), state), COUNT(*) FROM operation GROUP BY 1";

/// Notes that an operation arrived. `due_at` is when it will be looked at again should nobody finish it before: after a
/// crash, that is what carries it on.
pub fn arrive(sql: &dyn Sql, request: &Request, now: Timestamp, due_at: Timestamp) -> Result<Arrival, SqlError> {
    if let Some(key) = &request.key {
        let known = sql.query("SELECT id, outcome FROM operation WHERE key = ?", &[key.as_str().into()])?;
        if let Some([id, outcome]) = known.first().map(Vec::as_slice) {
            let id = EntryId(id.integer().ok_or_else(corrupt)?);
            return Ok(match outcome.text() {
                Some(text) => Arrival::Settled(id, json::read_str(text).map_err(|_| corrupt())?),
                None => Arrival::Underway(id),
            });
        }
    }
    let body = serde_json::to_string(request)?;
    // By these one is found that stands under no address yet: SQL folds nothing but ASCII.
    let folded: Vec<String> = request.subject.emails.iter().map(|email| address::folded(email)).collect();
    let by = if request.origin.by.is_empty() { "rest" } else { request.origin.by.as_str() };
    let id = sql.number(
        "INSERT INTO operation (key, state, request, received_at, due_at) \
         VALUES (COALESCE(?, ? || '/' || (SELECT COALESCE(MAX(id), 0) + 1 FROM operation)), ?, json_set(?, '$.folded', json(?)), ?, ?) RETURNING id",
        &[
            request.key.clone().into(),
            by.into(),
            State::Received.as_str().into(),
            body.into(),
            serde_json::to_string(&folded)?.into(),
            now.into(),
            due_at.into(),
        ],
    )?;
    Ok(Arrival::New(EntryId(id.ok_or_else(corrupt)?)))
}

/// Notes that an attempt begins; returns which one it is, the first being 1. Should nobody note its end, it is due again then, and up to five minutes
/// later after some whose end nobody noted: one that takes the Coordinator with it each time must not do so all the time. One that waited for its place
/// often has those five minutes too.
pub fn begin(sql: &dyn Sql, id: EntryId, due_at: Timestamp) -> Result<i64, SqlError> {
    let attempt = sql.number(
        "UPDATE operation SET attempts = attempts + 1, due_at = ?1 + 60000 * MAX(0, MIN(attempts - put_offs - 5, 5)) \
         WHERE id = ?2 AND outcome IS NULL RETURNING attempts",
        &[due_at.into(), id.0.into()],
    )?;
    Ok(attempt.unwrap_or(1))
}

/// How many operations are under way that end a grant for a time. Those that fail again and again leave room to the others, unless
/// they wait for room among the removals: each of those keeps what is asked for later waiting.
pub fn ends_under_way(sql: &dyn Sql) -> Result<i64, SqlError> {
    let statement = format!(
        "SELECT COUNT(*) FROM operation WHERE due_at IS NOT NULL AND outcome IS NULL AND key LIKE '{EXPIRY_KEY}%' \
            AND (put_offs < {TRIED_IN_VAIN} OR id IN (SELECT operation FROM removal WHERE writes = {IN_LINE}))"
    );
    Ok(sql.number(&statement, &[])?.unwrap_or_default())
}

/// How old an operation is, as a number of SQL's: its own, and where it ends a grant for a time that of the operation which granted it. A SCIM request
/// of many members is one operation after the other, and each is as old as the request, and so as the one that came last before it.
fn age(of: &str) -> String {
    let granted_by = expiry::granted_by(&format!("{of}.key"));
    format!("CASE WHEN {of}.key LIKE '{EXPIRY_KEY}%' THEN {granted_by} ELSE {} END", expiry::as_old_as(of))
}

/// The newer operation that asked for the contrary of this one and was carried out, where there is one: then this one, which
/// was put off meanwhile, is out of date.
///
/// A renewal is contrary to nothing: the new invitation is there for as long as the old one was to be. Else contrary are a grant and a revoke of the same, and the removal of an account and a grant of whatever it holds: a removal that was
/// put off must not take away what was granted since, nor a grant bring back who was removed since. Carried out is also a revoke that
/// waits for its proof ([`carried_out`]).
///
/// An operation stands under one address. One that found nobody was about all that it names: nobody had any of them.
///
/// A SCIM client that asks for an account which is there already is refused (`uniqueness`), so that its operation, settled as it is, is contrary to nothing.
///
/// The end of a grant for a time is as old as that grant, whenever it comes to be asked for: what was granted since goes on. The account ends for all
/// that once what was granted with it has ended, or its own end was asked for: a last role may go with the account alone.
///
/// Of two that are as old as each other, as those of one SCIM request are, the one that came later is the newer one.
pub fn superseded_by(sql: &dyn Sql, id: EntryId) -> Result<Option<EntryId>, SqlError> {
    contrary_since(sql, id, false)
}

/// The newer grant of the account to the same person that was carried out and not taken back: it would go along if this operation, a revoke of
/// what they hold last, ended the account. What else was granted since was read to be gone, be it by somebody else's hand.
pub(super) fn granted_since(sql: &dyn Sql, id: EntryId) -> Result<Option<EntryId>, SqlError> {
    contrary_since(sql, id, true)
}

/// That a request names somebody by an address, which is folded: for an operation that stands under no address yet. What an earlier version stored has
/// the addresses as they were written, alone.
pub fn names_by(request: &str, email: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM json_each(COALESCE(json_extract({request}, '$.folded'), json_extract({request}, '$.subject.emails'))) \
            WHERE lower(value) = {email})"
    )
}

fn contrary_since(sql: &dyn Sql, id: EntryId, ends_account: bool) -> Result<Option<EntryId>, SqlError> {
    let (newer, older, names) = (age("newer"), age("older"), names_by("newer.request", "older.email"));
    let found_no_account = expiry::found_no_account("newer.", true);
    // None is older than its own id says, so that only the latest rows of the table are looked at.
    let statement = format!(
        "SELECT newer.id FROM operation AS older JOIN operation AS newer \
            ON newer.id > {older} AND ({newer}, newer.id) > ({older}, older.id) \
                AND (newer.email = older.email OR (newer.member = older.member AND older.member <> '') \
                    OR (newer.member = '' AND {names})) \
         WHERE older.id = ?1 \
            AND json_extract(newer.request, '$.action') <> json_extract(older.request, '$.action') \
            AND json_extract(newer.request, '$.target') <> 'renewal' \
            AND (newer.carried_out = 1 OR json_extract(newer.outcome, '$.outcome') = 'done') \
            AND {found_no_account} \
            AND (newer.entitlement = older.entitlement \
                OR (?2 IN (older.entitlement, CASE WHEN ?3 THEN newer.entitlement END) AND json_extract(older.request, '$.action') = 'revoke' \
                    AND (NOT (?3 OR COALESCE(older.key, '') LIKE '{EXPIRY_KEY}%') OR NOT (EXISTS ( \
                        SELECT 1 FROM operation AS since WHERE since.id > newer.id AND since.entitlement = newer.entitlement \
                            AND (since.email = newer.email OR (since.member = newer.member AND newer.member <> '')) \
                            AND json_extract(since.request, '$.action') = 'revoke' \
                            AND (since.carried_out = 1 OR json_extract(since.outcome, '$.outcome') = 'done')) \
                        OR EXISTS (SELECT 1 FROM expiry WHERE expiry.asked > 0 AND (expiry.operation = newer.id \
                            OR (expiry.member = newer.member AND newer.member <> '' AND expiry.entitlement = newer.entitlement)))))) \
                OR (newer.entitlement = ?2 AND json_extract(newer.request, '$.action') = 'revoke')) \
         ORDER BY newer.id DESC LIMIT 1"
    );
    let newer = sql.number(&statement, &[id.0.into(), Holding::ACCOUNT.into(), i64::from(ends_account).into()])?;
    Ok(newer.map(EntryId))
}

/// A grant for a person that is under way and would be lost with the account: where this operation ends a grant for a time, one that is newer than
/// that grant; where it takes the account along because nothing else is `left`, one of anything else, whenever it came.
pub(super) fn grant_under_way(
    sql: &dyn Sql,
    id: EntryId,
    member: &MemberRecord,
    left_nothing: bool,
) -> Result<Option<EntryId>, SqlError> {
    let which = format!(
        "json_extract(other.request, '$.action') = 'grant' \
            AND ((?2 AND other.entitlement IS NOT this.entitlement) OR (COALESCE(this.key, '') LIKE '{EXPIRY_KEY}%' AND other.id > {}))",
        age("this")
    );
    under_way(sql, id, member, left_nothing, &which)
}

/// An operation for a person that is under way and may make moot that this one, a revoke of a role, is refused: the revoke of their account; that of a
/// user group, where it is refused for what they have `through` one; and where this is their `last` role the grant of another one; whatever it is, where
/// that is not known yet. None of these waits for the revoke of a role, so that no two wait for each other.
pub(super) fn makes_moot(
    sql: &dyn Sql,
    id: EntryId,
    member: &MemberRecord,
    last: bool,
    through: bool,
) -> Result<Option<EntryId>, SqlError> {
    let revoked = if through { "instr(other.entitlement, 'role:') = 0" } else { "other.entitlement = 'account'" };
    let which = format!(
        "other.entitlement IS NOT this.entitlement AND COALESCE(CASE json_extract(other.request, '$.action') \
            WHEN 'revoke' THEN {revoked} ELSE ?2 AND instr(other.entitlement, 'role:') > 0 END, 1)"
    );
    under_way(sql, id, member, last, &which)
}

/// An operation for a person that is under way, no renewal, and another than this one: by a condition in SQL, in which `?2` is whether something is so.
fn under_way(
    sql: &dyn Sql,
    id: EntryId,
    member: &MemberRecord,
    is_so: bool,
    which: &str,
) -> Result<Option<EntryId>, SqlError> {
    let person =
        Subject { member_id: Some(member.id), user_id: member.user_id, ..Subject::of_email(member.email.as_str()) };
    let statement = format!(
        "SELECT other.id, json_extract(other.request, '$.subject'), other.email = this.email OR other.member = this.member \
         FROM operation AS this JOIN operation AS other ON other.due_at IS NOT NULL AND other.outcome IS NULL \
         WHERE this.id = ?1 AND json_extract(other.request, '$.target') <> 'renewal' AND {which}"
    );
    let rows = sql.query(&statement, &[id.0.into(), i64::from(is_so).into()])?;
    // One that was put off before it was known whom it is about stands under no address yet.
    let theirs = rows.iter().find(|row| {
        row.get(2).and_then(SqlValue::integer) == Some(1)
            || row
                .get(1)
                .and_then(SqlValue::text)
                .is_some_and(|text| json::read_str::<Subject>(text).is_ok_and(|subject| subject.is_same(&person)))
    });
    Ok(theirs.and_then(|row| row.first()?.integer()).map(EntryId))
}

/// A revoke of somebody's account that is not over, and came after an operation; one that is void by now is none, and the end of a grant for a
/// time is as old as that grant.
pub(super) fn account_revoke_since(sql: &dyn Sql, id: EntryId, email: &str) -> Result<Option<EntryId>, SqlError> {
    let age = age("operation");
    let statement = format!(
        "SELECT id FROM operation WHERE id > ?1 AND {age} > ?1 AND email = ?2 AND entitlement = ?3 AND outcome IS NULL \
            AND json_extract(request, '$.action') = 'revoke'"
    );
    for row in sql.query(&statement, &[id.0.into(), address::folded(email).into(), Holding::ACCOUNT.into()])? {
        if let Some(revoke) = row.first().and_then(SqlValue::integer).map(EntryId)
            && superseded_by(sql, revoke)?.is_none()
        {
            return Ok(Some(revoke));
        }
    }
    Ok(None)
}

/// Notes that an operation is carried out as far as can be seen, though it is not told yet: what asked for the contrary before is void from
/// now on, and what failed on the way here says nothing of how long to wait from here.
pub(super) fn carried_out(sql: &dyn Sql, id: EntryId) -> Result<(), SqlError> {
    sql.run("UPDATE operation SET carried_out = 1, put_offs = 0 WHERE id = ?", &[id.0.into()])
}

/// Notes that an operation has changed what it was to change, though something else may keep it from being told so: what asked for the contrary
/// before is void, and it waits as before.
pub(super) fn took_effect(sql: &dyn Sql, id: EntryId) -> Result<(), SqlError> {
    sql.run("UPDATE operation SET carried_out = 1 WHERE id = ?", &[id.0.into()])
}

/// Whether this connector knows one of these addresses as an account's: another operation wrote something under it or was done for the member who
/// has it, or gives something to who has it, unless it was refused for another reason than a revoke that came later.
pub(super) fn knows_account(sql: &dyn Sql, id: EntryId, emails: &[String]) -> Result<bool, SqlError> {
    for email in emails {
        let is_known = sql.has(
            "SELECT 1 FROM operation WHERE email = ?1 AND id <> ?2 \
                AND (wrote = 1 OR (member <> '' AND json_extract(outcome, '$.outcome') = 'done') \
                    OR (json_extract(request, '$.action') = 'grant' \
                        AND (outcome IS NULL OR json_extract(outcome, '$.outcome') = 'done' OR json_extract(outcome, '$.code') = ?3))) \
             LIMIT 1",
            &[address::folded(email).into(), id.0.into(), Refusal::Superseded.as_str().into()],
        )?;
        if is_known {
            return Ok(true);
        }
    }
    // One that was put off before it was known whom it is about stands under no address yet.
    let statement = "SELECT json_extract(request, '$.subject.emails') FROM operation WHERE id <> ? AND COALESCE(email, '') = '' \
            AND due_at IS NOT NULL AND outcome IS NULL AND json_extract(request, '$.action') = 'grant'";
    for row in sql.query(statement, &[id.0.into()])? {
        let named: Vec<String> =
            row.first().and_then(SqlValue::text).and_then(|text| json::read_str(text).ok()).unwrap_or_default();
        if named.iter().any(|named| emails.iter().any(|email| address::same(named, email))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The members whom operations were about under one of these addresses that were settled since a time, or have written and are not settled; those
/// of the latest first.
pub(super) fn members_under(sql: &dyn Sql, emails: &[String], since: Timestamp) -> Result<Vec<MemberId>, SqlError> {
    let mut members: Vec<MemberId> = Vec::new();
    for email in emails {
        let rows = sql.query(
            "SELECT member FROM operation \
             WHERE email = ? AND member <> '' AND (settled_at >= ? OR (outcome IS NULL AND wrote = 1)) \
             GROUP BY member ORDER BY MAX(id) DESC LIMIT ?",
            &[address::folded(email).into(), since.into(), MOST_MEMBERS.into()],
        )?;
        let read = rows.iter().filter_map(|row| row.first()?.text()?.parse().ok());
        members.extend(read.filter(|member| !members.contains(member)).collect::<Vec<_>>());
    }
    Ok(members)
}

/// Somebody who is invited again has another membership each time.
const MOST_MEMBERS: i64 = 5;

/// Notes who and what is concerned.
pub fn resolved(sql: &dyn Sql, id: EntryId, member: &str, email: &str, what: Holding) -> Result<(), SqlError> {
    sql.run(
        "UPDATE operation SET member = ?, email = ?, entitlement = ? WHERE id = ?",
        &[member.into(), address::folded(email).into(), what.to_string().into(), id.0.into()],
    )
}

/// Notes what is concerned, while it is not known yet who is. Where this operation stands under the id of a role's permission group, and the role's own
/// was learned since, all that stands under the former gets the latter: else it would not be known that a newer one is about the same.
pub(super) fn is_about(sql: &dyn Sql, id: EntryId, what: &What) -> Result<(), SqlError> {
    let called = what.id.to_string();
    if let (Holding::Entitlement(Entitlement::Role(_)), Counterpart::Atom(atom)) = (what.id, what.access) {
        let former = Entitlement::Role(atom.permission_group.into()).to_string();
        // Without such an operation there is no such number, and nothing is read.
        sql.query(
            "UPDATE operation SET entitlement = ?2 WHERE entitlement = ?3 \
                AND id > (SELECT 0 FROM operation WHERE id = ?1 AND entitlement = ?3 AND ?2 <> ?3)",
            &[id.0.into(), called.as_str().into(), former.into()],
        )?;
    }
    sql.run("UPDATE operation SET entitlement = ? WHERE id = ? AND entitlement IS NULL", &[called.into(), id.0.into()])
}

/// Notes a step on the way.
pub fn note(sql: &dyn Sql, id: EntryId, state: State, line: &str, now: Timestamp) -> Result<(), SqlError> {
    let trail = lengthened(sql, id, line, now)?;
    let wrote = i64::from(state == State::Writing);
    sql.run(
        "UPDATE operation SET state = ?1, trail = ?2, wrote = MAX(wrote, ?3), wrote_at = COALESCE(wrote_at, CASE ?3 WHEN 1 THEN ?5 END) \
         WHERE id = ?4 AND outcome IS NULL",
        &[state.as_str().into(), trail.into(), wrote.into(), id.0.into(), now.into()],
    )
}

/// Notes that a write is about to be sent; whether one was before.
pub(super) fn sending(sql: &dyn Sql, id: EntryId, line: &str, now: Timestamp) -> Result<bool, SqlError> {
    let before = has_written(sql, id)?;
    note(sql, id, State::Writing, line, now)?;
    Ok(before)
}

/// Notes that a write was not carried out for certain: where none was sent `before`, the operation has written nothing. Who is cut off before this has
/// written, as far as is known.
pub(super) fn not_written(sql: &dyn Sql, id: EntryId, before: bool) -> Result<(), SqlError> {
    sql.run(
        "UPDATE operation SET wrote = 0, wrote_at = NULL WHERE id = ? AND NOT ?",
        &[id.0.into(), i64::from(before).into()],
    )
}

/// Notes what an attempt waits for that time alone mends.
pub fn waits(sql: &dyn Sql, id: EntryId, why: &str, now: Timestamp) -> Result<(), SqlError> {
    note(sql, id, State::PutOff, &format!("{PUT_OFF}{why}"), now)
}

/// Notes that an attempt came to nothing, and why; returns how often that was so by now. Its place among the removals is another's meanwhile, where
/// nothing was sent.
pub fn came_to_nothing(sql: &dyn Sql, id: EntryId, why: &str, now: Timestamp) -> Result<i64, SqlError> {
    waits(sql, id, why, now)?;
    removals::give_back(sql, id)?;
    let put_offs = sql.number(
        "UPDATE operation SET put_offs = put_offs + 1 WHERE id = ? AND outcome IS NULL RETURNING put_offs",
        &[id.0.into()],
    )?;
    Ok(put_offs.unwrap_or(1))
}

/// Notes what was found out later, whether the operation is settled or not; its outcome stays.
pub fn remark(sql: &dyn Sql, id: EntryId, line: &str, now: Timestamp) -> Result<(), SqlError> {
    let trail = lengthened(sql, id, line, now)?;
    sql.run("UPDATE operation SET trail = ? WHERE id = ?", &[trail.into(), id.0.into()])
}

/// Whether the trail of an operation with a member has this in it, as the ray id of an answer.
pub(super) fn has_in_trail(sql: &dyn Sql, member: MemberId, ray: &str) -> Result<bool, SqlError> {
    let statement = "SELECT 1 FROM operation WHERE member = ? AND instr(trail, ?)";
    sql.has(statement, &[member.to_string().into(), ray.into()])
}

/// An operation's trail with one line more, while there is room.
fn lengthened(sql: &dyn Sql, id: EntryId, line: &str, now: Timestamp) -> Result<String, SqlError> {
    let trail = sql.text("SELECT trail FROM operation WHERE id = ?", &[id.0.into()])?;
    let mut trail: Vec<String> = trail.and_then(|text| json::read_str(&text).ok()).unwrap_or_default();
    if trail.len() < MAX_TRAIL {
        trail.push(format!("{now} {line}"));
    }
    Ok(serde_json::to_string(&trail)?)
}

/// Notes that it is to be tried again.
pub fn put_off(sql: &dyn Sql, id: EntryId, due_at: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE operation SET state = ?, due_at = ? WHERE id = ? AND outcome IS NULL",
        &[State::PutOff.as_str().into(), due_at.into(), id.0.into()],
    )
}

/// Settles an operation, with all that follows from that, or not at all: what is settled is not looked at again. The first outcome stays.
pub fn settle(sql: &dyn Sql, id: EntryId, outcome: &Outcome, now: Timestamp) -> Result<(), SqlError> {
    sql.whole(&mut || {
        let body = serde_json::to_string(outcome)?;
        let is_settled = sql.has(
            "UPDATE operation SET state = ?, outcome = ?, settled_at = ?, due_at = NULL WHERE id = ? AND outcome IS NULL RETURNING id",
            &[State::Settled.as_str().into(), body.into(), now.into(), id.0.into()],
        )?;
        if is_settled {
            if !matches!(outcome, Outcome::Done { .. }) {
                open_writes::not_done(sql, id)?;
            }
            if let Outcome::Refused { code, .. } = outcome {
                expiry::refused(sql, id, *code, now)?;
            }
            callback::settled(sql, id, now)?;
        }
        expiry::note(sql, id, now)?;
        looked_through::forget(sql, id)?;
        // However it ended: also where its attempt was cut off.
        removals::give_back(sql, id)
    })
}

/// The operations that are due, the longest due first.
pub fn due(sql: &dyn Sql, now: Timestamp, limit: i64) -> Result<Vec<Entry>, SqlError> {
    let rows = sql.query(
        &format!("SELECT {COLUMNS} FROM operation WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ?"),
        &[now.into(), limit.into()],
    )?;
    rows::readable(sql, TABLE, &rows, |row| entry(row).ok())
}

/// Settles the operations that this version cannot read, or of which it cannot read what they have to bring back, so that who waits for one is answered: it will not be carried out
/// by a later version either.
pub fn settle_unreadable(sql: &dyn Sql, now: Timestamp) -> Result<(), SqlError> {
    rows::init(sql)?;
    let odd = sql.query(
        // By what is set aside, which is little, not through the whole journal.
        "SELECT operation.id FROM set_aside CROSS JOIN operation ON operation.id = CAST(set_aside.id AS INTEGER) \
         WHERE set_aside.of_table IN (?, 'renewal') AND operation.outcome IS NULL",
        &[TABLE.into()],
    )?;
    let outcome = Outcome::refused(
        Refusal::GaveUp,
        "This version of the connector cannot read what another one noted of this operation, and has given it up; see in Cloudflare whether it was carried out, then ask again.",
    );
    let mut ids = odd.iter().filter_map(|row| row.first()?.integer());
    ids.try_for_each(|id| settle(sql, EntryId(id), &outcome, now))
}

/// How an operation ended, where it did: this much can be read of one whose rest cannot.
pub fn outcome(sql: &dyn Sql, id: EntryId) -> Result<Option<Outcome>, SqlError> {
    let outcome = sql.text("SELECT outcome FROM operation WHERE id = ?", &[id.0.into()])?;
    Ok(outcome.and_then(|text| json::read_str(&text).ok()))
}

/// When the next operation is due.
pub fn next_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    sql.time("SELECT MIN(due_at) FROM operation WHERE due_at IS NOT NULL", &[])
}

/// One entry, by its number or its key.
pub fn find(sql: &dyn Sql, id_or_key: &str) -> Result<Option<Entry>, SqlError> {
    match id_or_key.parse() {
        Ok(id) => by_id(sql, EntryId(id)),
        Err(_) => one(sql, "key", id_or_key.into()),
    }
}

/// One entry, by its number.
pub fn by_id(sql: &dyn Sql, id: EntryId) -> Result<Option<Entry>, SqlError> {
    one(sql, "id", id.0.into())
}

fn one(sql: &dyn Sql, column: &str, value: SqlValue) -> Result<Option<Entry>, SqlError> {
    let rows = sql.query(&format!("SELECT {COLUMNS} FROM operation WHERE {column} = ?"), &[value])?;
    let entry = rows::readable(sql, TABLE, &rows, |row| entry(row).ok())?.pop();
    entry.map(|entry| with_incidents(sql, entry)).transpose()
}

fn with_incidents(sql: &dyn Sql, mut entry: Entry) -> Result<Entry, SqlError> {
    entry.incidents = incident::of(sql, entry.id)?;
    Ok(entry)
}

/// Entries, the newest first.
pub fn list(sql: &dyn Sql, filter: &Filter, limit: i64) -> Result<Vec<Entry>, SqlError> {
    let mut narrowed = Narrowed::by("1 = 1", Vec::new());
    if let Some(member) = &filter.member {
        let values = [member.as_str().into(), address::folded(member).into()];
        narrowed.and_all("(member = ? OR email = ?)", &values);
    }
    narrowed.and("instr(entitlement, ?) > 0", filter.entitlement.as_deref().map(Into::into));
    narrowed.and(
        "(state = ? OR json_extract(outcome, '$.outcome') = ? OR json_extract(outcome, '$.code') = ? OR json_extract(outcome, '$.effect') = ?)",
        filter.outcome.as_deref().map(Into::into),
    );
    narrowed.and("received_at >= ?", filter.since.map(Into::into));
    narrowed.and("received_at < ?", filter.until.map(Into::into));
    let leaving = filter.awaited.as_ref().filter(|(what, _)| what == Holding::ACCOUNT).map(|(_, whose)| whose.as_str());
    match &filter.awaited {
        // Revokes of it that are under way.
        Some(_) if leaving.is_some() => {
            let which = "due_at IS NOT NULL AND outcome IS NULL AND json_extract(request, '$.action') = 'revoke'";
            narrowed.and_all(&format!("{which} AND {OF_ACCOUNT}"), &[]);
        }
        Some((what, held)) => narrowed.and_all(COMING, &[what.as_str().into(), held.as_str().into()]),
        None => {}
    }
    narrowed.and("id < ?", filter.before.map(|before| before.0.into()));
    let read = |rows: &[Vec<SqlValue>]| rows::readable(sql, TABLE, rows, |row| entry(row).ok());
    let entries = narrowed.newest(sql, &format!("SELECT {COLUMNS} FROM operation"), "id", limit, read)?;
    let mut told = Vec::with_capacity(entries.len());
    for entry in entries {
        // A removal that a newer grant has voided takes nobody away. Whether one has is read of those alone that are asked for: many may wait in line.
        if let Some(whose) = leaving
            && (!is_whose(&entry, whose) || superseded_by(sql, entry.id)?.is_some())
        {
            continue;
        }
        told.push(with_incidents(sql, entry)?);
    }
    Ok(told)
}

/// Whether an operation is about whoever this names ([`Filter::awaited`]).
fn is_whose(entry: &Entry, whose: &str) -> bool {
    let Some((id, email)) = whose.split_once(' ') else { return true };
    let subject = &entry.request.subject;
    let mut known = subject.emails.iter().chain(&entry.email);
    subject.principals().any(|it| it.to_string() == id) || known.any(|it| address::same(it, email))
}

/// That an operation is about the account; of one that was put off before it was looked up what it is about, what was asked tells.
pub const OF_ACCOUNT: &str = "COALESCE(entitlement = 'account', \
    json_extract(request, '$.target') = 'account' OR json_extract(request, '$.target.named.builtin'))";

/// That an operation under way grants an entitlement, or may turn out to. Whichever of them is in the middle of a renewal, be it that an account was asked
/// for, brings back what the invitation held, and nothing else; before that it may be anything that a renewal which was asked for is to bring back.
const COMING: &str = "due_at IS NOT NULL AND outcome IS NULL AND json_extract(request, '$.action') = 'grant' \
    AND ((json_extract(request, '$.target') <> 'account' AND (entitlement = ? OR entitlement IS NULL \
            OR (json_extract(request, '$.target') = 'renewal' AND id NOT IN (SELECT operation FROM renewal)))) \
        OR id IN (SELECT operation FROM renewal WHERE instr(CASE renewal.version WHEN 1 THEN held END, ?) IS NOT 0))";

/// An operation of ours that may explain what a sync found.
#[derive(Clone, Debug)]
pub struct Own {
    /// What was asked.
    pub request: Request,
    /// The e-mail address of the person, once it is known.
    pub email: Option<String>,
    /// What it is about, once that is known.
    pub what: Option<Holding>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When it was settled; `None` while it is under way.
    pub settled_at: Option<Timestamp>,
    /// What it did, where it was carried out.
    pub effect: Option<String>,
}

/// What a settled operation did. A revoke that was carried out, and never proven, has taken away what it was to take, whatever was told of it.
const EFFECT: &str = "COALESCE(json_extract(outcome, '$.effect'), \
    CASE WHEN wrote = 1 AND carried_out = 1 AND json_extract(request, '$.action') = 'revoke' \
        THEN CASE entitlement WHEN 'account' THEN 'removed' ELSE 'revoked' END END)";

/// The operations that arrived before `until` and were carried out at `since` or later, or may have been: of those that are under way, and of
/// those that were given up with their outcome unknown, the ones that have written; and of grants that were refused, the ones that had invited
/// somebody by then. What a grant that wrote nothing found there already is somebody else's. In the order in which they were settled; those under
/// way come last.
pub fn own_since(sql: &dyn Sql, since: Timestamp, until: Timestamp) -> Result<Vec<Own>, SqlError> {
    // Two searches by index rather than one through the whole journal.
    let statement = format!(
        "SELECT id, request, email, entitlement, received_at, settled_at, {EFFECT} FROM operation \
            WHERE settled_at >= ?1 AND received_at <= ?2 AND (json_extract(outcome, '$.effect') <> 'already_granted' \
                OR wrote = 1 AND (carried_out = 1 OR COALESCE(json_extract(outcome, '$.code'), 'gave_up') = 'gave_up' \
                    OR json_extract(request, '$.action') = 'grant' AND EXISTS (SELECT 1 FROM invited \
                        WHERE invited.member = operation.member AND invited.at >= operation.received_at))) \
         UNION ALL \
         SELECT id, request, email, entitlement, received_at, NULL, NULL FROM operation \
            WHERE due_at IS NOT NULL AND outcome IS NULL AND received_at <= ?2 AND wrote = 1 \
         ORDER BY 6 NULLS LAST, 1"
    );
    let rows = sql.query(&statement, &[since.into(), until.into()])?;
    Ok(rows::readable(sql, TABLE, &rows, own)?.into_iter().map(|(_, own)| own).collect())
}

/// Reads an operation of ours with its number, from the columns that `own_since` asks for.
fn own(row: &[SqlValue]) -> Option<(EntryId, Own)> {
    let text = |place: usize| row.get(place).and_then(SqlValue::text);
    let time = |place: usize| row.get(place).and_then(SqlValue::time);
    let own = Own {
        request: text(1).and_then(|text| json::read_str(text).ok())?,
        email: text(2).map(str::to_owned),
        what: text(3).map(str::parse).transpose().ok()?,
        received_at: time(4)?,
        settled_at: time(5),
        effect: text(6).map(str::to_owned),
    };
    Some((EntryId(row.first()?.integer()?), own))
}

/// The operation that gave somebody an entitlement, or took it away, within a time: by the address or the membership, and the entitlement
/// or the whole account. What an account brought is for the caller to say. It may be seen before it is settled, by a day at most, and not before it
/// wrote; one that has written and is not settled yet may be the one, and has no end. What a later one undid that was settled before the generation `began` explains
/// nothing any more; one that came while the first was not settled yet may have been carried out before it.
pub fn that_did(
    sql: &dyn Sql,
    (email, member, entitlement): (&str, Option<&str>, &str),
    gained: bool,
    (from, began, until): (Timestamp, Timestamp, Timestamp),
) -> Result<Option<(EntryId, Own)>, SqlError> {
    let (action, effects, contrary) = if gained {
        ("grant", "granted invited renewed", "revoked already_revoked removed")
    } else {
        ("revoke", "revoked removed renewed", "granted already_granted invited")
    };
    // Two searches by index rather than one through the whole journal. Who is being invited stands under no address yet.
    let names = names_by("request", "?3");
    let statement = format!(
        "SELECT * FROM ( \
         SELECT id, request, email, entitlement, received_at, settled_at, {EFFECT} FROM operation \
         WHERE settled_at BETWEEN ?1 AND ?2 + {GIVE_UP_MILLIS} AND (settled_at <= ?2 OR wrote_at <= ?2) \
            AND (email = ?3 OR member = ?4) AND (entitlement = ?5 OR entitlement = ?6) AND instr(?7, {EFFECT}) > 0 \
            AND NOT EXISTS (SELECT 1 FROM operation AS later \
                WHERE later.settled_at BETWEEN operation.settled_at AND ?8 AND later.received_at >= operation.settled_at \
                    AND later.id <> operation.id AND (later.email = ?3 OR later.member = ?4) \
                    AND (later.entitlement = ?5 OR {EFFECT} = 'removed') AND instr(?9, {EFFECT}) > 0) \
         UNION ALL \
         SELECT id, request, email, entitlement, received_at, NULL, NULL FROM operation \
         WHERE due_at IS NOT NULL AND outcome IS NULL AND wrote = 1 AND COALESCE(wrote_at, received_at) <= ?2 \
            AND (entitlement = ?5 OR entitlement = ?6) \
            AND (email = ?3 OR member = ?4 OR email IS NULL AND {names}) \
            AND (json_extract(request, '$.action') = ?10 OR json_extract(request, '$.target') = 'renewal')) \
         ORDER BY entitlement = ?5 DESC, id DESC LIMIT 1"
    );
    let rows = sql.query(
        &statement,
        &[
            from.into(),
            until.into(),
            email.into(),
            member.map(str::to_owned).into(),
            entitlement.into(),
            Holding::ACCOUNT.into(),
            effects.into(),
            began.into(),
            contrary.into(),
            action.into(),
        ],
    )?;
    Ok(rows::readable(sql, TABLE, &rows, own)?.pop())
}

/// Whether an operation is to end a grant for a time, and nothing was written for it.
pub fn is_unwritten_end(sql: &dyn Sql, id: EntryId) -> Result<bool, SqlError> {
    let statement = format!("SELECT 1 FROM operation WHERE id = ? AND wrote = 0 AND key LIKE '{EXPIRY_KEY}%'");
    sql.has(&statement, &[id.0.into()])
}

/// Whether an attempt of an operation got as far as a write that was not refused.
pub fn has_written(sql: &dyn Sql, id: EntryId) -> Result<bool, SqlError> {
    sql.has("SELECT 1 FROM operation WHERE id = ? AND wrote = 1", &[id.0.into()])
}

/// Whether an operation that came by REST, or from the page, names an invitation and nobody beside: that is whom it means, as long as it is one. It goes by
/// what was asked, since an id without a type may be read as that of another invitation by now.
pub(super) fn cancels_invitation(sql: &dyn Sql, id: EntryId) -> Result<bool, SqlError> {
    let statement = "SELECT 1 FROM operation WHERE id = ? AND json_extract(request, '$.origin.by') IN ('rest', 'page') \
        AND COALESCE(json_extract(request, '$.subject.user_id'), json_extract(request, '$.subject.emails[0]')) IS NULL";
    sql.has(statement, &[id.0.into()])
}

/// When an operation arrived.
pub(super) fn received_at(sql: &dyn Sql, id: EntryId) -> Result<Timestamp, SqlError> {
    sql.time("SELECT received_at FROM operation WHERE id = ?", &[id.0.into()])?.ok_or_else(corrupt)
}

/// The member that an operation has written to, where it has.
pub(super) fn written_member(sql: &dyn Sql, id: EntryId) -> Result<Option<MemberId>, SqlError> {
    let member = sql.text("SELECT member FROM operation WHERE id = ? AND wrote = 1", &[id.0.into()])?;
    Ok(member.and_then(|text| text.parse().ok()))
}

/// What an operation is about that has written, where that is known.
pub(super) fn written_access(sql: &dyn Sql, id: EntryId) -> Result<Option<Holding>, SqlError> {
    let what = sql.text("SELECT entitlement FROM operation WHERE id = ? AND wrote = 1", &[id.0.into()])?;
    Ok(what.and_then(|text| text.parse().ok()))
}

/// An operation that took this many requests is given up as well, whatever its tries: a day's 70 tries at what takes ten requests are
/// 700, and to go through the members of an account of 50,000 twice takes 2,000.
pub const MOST_REQUESTS: i64 = 5_000;

/// An operation that could not be carried out for a day is given up: by then a person should look.
pub const GIVE_UP_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Whether an operation is to be given up, and nothing new is begun for it.
pub(super) fn is_past_its_time(sql: &dyn Sql, id: EntryId, now: Timestamp) -> Result<bool, SqlError> {
    let is_old = sql.has(
        "SELECT 1 FROM operation WHERE id = ? AND received_at < ?",
        &[id.0.into(), now.plus_millis(-GIVE_UP_MILLIS).into()],
    )?;
    Ok(is_old || spent(sql, id)? >= MOST_REQUESTS)
}

/// Notes how many requests an attempt sent for an operation.
pub(super) fn spend(sql: &dyn Sql, id: EntryId, requests: u32) -> Result<(), SqlError> {
    if requests == 0 {
        return Ok(());
    }
    sql.run(
        "INSERT INTO spent (operation, requests) VALUES (?, ?) \
         ON CONFLICT (operation) DO UPDATE SET requests = requests + excluded.requests",
        &[id.0.into(), i64::from(requests).into()],
    )
}

/// How many requests were sent for an operation so far.
pub fn spent(sql: &dyn Sql, id: EntryId) -> Result<i64, SqlError> {
    Ok(sql.number("SELECT requests FROM spent WHERE operation = ?", &[id.0.into()])?.unwrap_or_default())
}

/// Whether an operation is settled, or forgotten since it was settled long ago.
pub(super) fn is_settled(sql: &dyn Sql, id: EntryId) -> Result<bool, SqlError> {
    Ok(!sql.has("SELECT 1 FROM operation WHERE id = ? AND outcome IS NULL", &[id.0.into()])?)
}

/// How the line of a trail begins that says that an attempt came to nothing.
const PUT_OFF: &str = "put off: ";

/// Forgets settled operations that are older than `before`. Those stay whose outcome ConductorOne was not told yet, and those by which
/// somebody keeps an account at the end of a grant for a time before ([`superseded_by`], [`granted_since`]).
pub fn purge(sql: &dyn Sql, before: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM operation WHERE settled_at IS NOT NULL AND settled_at < ? AND id NOT IN (SELECT operation FROM callback) \
            AND NOT ((carried_out = 1 OR json_extract(outcome, '$.outcome') IS 'done') AND EXISTS (SELECT 1 FROM expiry \
                WHERE expiry.operation < operation.id \
                    AND (expiry.email = operation.email OR (expiry.member = operation.member AND expiry.member <> ''))))",
        &[before.into()],
    )?;
    sql.run("DELETE FROM spent WHERE operation NOT IN (SELECT id FROM operation WHERE due_at IS NOT NULL AND outcome IS NULL)", &[])?;
    // Who looks after a late write of a settled operation may be in the middle of a list.
    sql.query("DELETE FROM looked_through WHERE operation NOT IN (SELECT id FROM operation)", &[])?;
    Ok(())
}

fn entry(row: &[SqlValue]) -> Result<Entry, SqlError> {
    let text = |index: usize| row.get(index).and_then(SqlValue::text).map(str::to_owned);
    let time = |index: usize| row.get(index).and_then(SqlValue::time);
    let required = |index: usize| text(index).ok_or_else(corrupt);
    // Of another version, it may mean something else than it seems to.
    if row.get(13).and_then(SqlValue::integer) != Some(1) {
        return Err(corrupt());
    }
    Ok(Entry {
        id: EntryId(row.first().and_then(SqlValue::integer).ok_or_else(corrupt)?),
        key: required(1)?,
        state: State::parse(&required(2)?).ok_or_else(corrupt)?,
        request: json::read_str(&required(3)?).map_err(|_| corrupt())?,
        member: text(4),
        email: text(5),
        entitlement: text(6),
        outcome: text(7).map(|text| json::read_str(&text)).transpose().map_err(|_| corrupt())?,
        attempts: row.get(8).and_then(SqlValue::integer).unwrap_or(0),
        trail: json::read_str(&required(9)?).unwrap_or_default(),
        incidents: Vec::new(),
        received_at: time(10).ok_or_else(corrupt)?,
        settled_at: time(11),
        due_at: time(12),
    })
}

fn corrupt() -> SqlError {
    SqlError::unreadable("an entry of the journal")
}

#[cfg(test)]
mod tests {
    use super::{
        Arrival, EntryId, Filter, State, arrive, begin, came_to_nothing, carried_out, due, find, has_written, init,
        list, next_due, note, purge, put_off, resolved, settle, superseded_by,
    };
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock, Sql as _};
    use crate::model::ask::{Action, Subject};
    use crate::model::grant::Holding;
    use crate::model::operation::{Effect, Origin, Outcome, Refusal, Request, Target};

    fn put_offs(desk: &Desk, id: EntryId) -> Option<i64> {
        desk.one("SELECT put_offs FROM operation WHERE id = ?", &[id.0.into()]).unwrap()?.integer()
    }

    fn desk() -> Desk {
        let desk = Desk::new();
        init(&desk).unwrap();
        super::incident::init(&desk).unwrap();
        desk
    }

    fn request(key: Option<&str>, action: Action) -> Request {
        Request {
            key: key.map(str::to_owned),
            action,
            target: Target::Account,
            subject: Subject::default(),
            origin: Origin::default(),
        }
    }

    fn done(effect: Effect) -> Outcome {
        Outcome::Done { effect, message: "Done.".into(), account: None }
    }

    fn role(digit: char) -> Holding {
        format!("role:{}:member", digit.to_string().repeat(32)).parse().unwrap()
    }

    fn new(desk: &Desk, key: Option<&str>, action: Action) -> EntryId {
        let now = desk.now();
        match arrive(desk, &request(key, action), now, now.plus_secs(30)).unwrap() {
            Arrival::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_operation_arrives_once_and_its_outcome_is_given_again() {
        let desk = desk();
        let id = new(&desk, Some("task/step"), Action::Grant);
        let again = || arrive(&desk, &request(Some("task/step"), Action::Grant), desk.now(), desk.now()).unwrap();
        assert!(matches!(again(), Arrival::Underway(known) if known == id));
        settle(&desk, id, &done(Effect::Granted), desk.now()).unwrap();
        assert!(matches!(again(), Arrival::Settled(known, outcome) if known == id && outcome == done(Effect::Granted)));
    }

    #[test]
    fn an_operation_of_a_newer_version_is_settled_and_the_others_go_on() {
        let desk = desk();
        let good = new(&desk, Some("t/1"), Action::Grant);
        let odd = new(&desk, Some("t/2"), Action::Grant);
        // What looks as it does here may mean something else there.
        desk.query("UPDATE operation SET version = 2 WHERE id = ?", &[odd.0.into()]).unwrap();
        assert!(find(&desk, "t/2").unwrap().is_none() && list(&desk, &Filter::default(), 10).unwrap().len() == 1);
        let request = r#"{"v":2,"what":{"unknown":true}}"#;
        desk.query("UPDATE operation SET version = 2, request = ? WHERE id = ?", &[request.into(), odd.0.into()])
            .unwrap();
        desk.advance(30);
        let due: Vec<_> = due(&desk, desk.now(), 10).unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(due, [good]);
        let settled = || desk.query("SELECT id, settled_at FROM operation WHERE outcome IS NOT NULL", &[]).unwrap();
        super::settle_unreadable(&desk, desk.now()).unwrap();
        let first = settled();
        assert_eq!(first.iter().map(|row| row[0].integer()).collect::<Vec<_>>(), [Some(odd.0)]);
        desk.advance(30);
        super::settle_unreadable(&desk, desk.now()).unwrap();
        assert_eq!(settled(), first, "it is settled once");
        let outcome = super::outcome(&desk, odd).unwrap();
        assert!(matches!(outcome, Some(Outcome::Refused { code: Refusal::GaveUp, .. })), "{outcome:?}");
        assert_eq!(super::outcome(&desk, good).unwrap(), None);
        let listed: Vec<_> = list(&desk, &Filter::default(), 10).unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(listed, [good]);
        assert_eq!(find(&desk, "t/2").unwrap().map(|entry| entry.id), None);
        settle(&desk, good, &done(Effect::Granted), desk.now()).unwrap();
        assert_eq!(next_due(&desk).unwrap(), None);
    }

    #[test]
    fn attempts_that_were_cut_off_do_not_count_as_put_off() {
        let desk = desk();
        let id = new(&desk, None, Action::Grant);
        for _ in 0..3 {
            begin(&desk, id, desk.now()).unwrap();
        }
        assert_eq!((put_offs(&desk, id), has_written(&desk, id).unwrap()), (Some(0), false));
        assert_eq!(came_to_nothing(&desk, id, "no answer", desk.now()).unwrap(), 1);
        assert_eq!((put_offs(&desk, id), has_written(&desk, id).unwrap()), (Some(1), false));
        for _ in 0..100 {
            came_to_nothing(&desk, id, "no answer", desk.now()).unwrap();
        }
        assert_eq!(put_offs(&desk, id), Some(101), "also where the trail is full");
        note(&desk, id, State::Writing, "writing the member's policies", desk.now()).unwrap();
        assert_eq!((put_offs(&desk, id), has_written(&desk, id).unwrap()), (Some(101), true));
    }

    #[test]
    fn what_ends_with_the_coordinator_each_time_comes_again_ever_later_and_what_was_put_off_does_not() {
        for is_put_off in [false, true] {
            let desk = desk();
            let id = new(&desk, None, Action::Revoke);
            let mut waits = Vec::new();
            for _ in 0..50 {
                begin(&desk, id, desk.now().plus_secs(30)).unwrap();
                waits.push(next_due(&desk).unwrap().unwrap().since(desk.now()) / 1_000);
                if is_put_off {
                    came_to_nothing(&desk, id, "no answer", desk.now()).unwrap();
                }
            }
            assert_eq!(waits[..6], [30; 6]);
            let later = if is_put_off { [30, 30] } else { [30 + 4 * 60, 30 + 5 * 60] };
            assert_eq!([waits[9], waits[49]], later, "{is_put_off}");
        }
    }

    #[test]
    fn a_removal_that_was_put_off_gives_way_to_any_newer_grant_and_a_grant_to_a_newer_removal() {
        for (older, its, newer, other, gives_way) in [
            (Action::Revoke, Holding::Account, Action::Grant, role('1'), true),
            (Action::Revoke, Holding::Account, Action::Grant, Holding::Account, true),
            (Action::Grant, role('1'), Action::Revoke, Holding::Account, true),
            (Action::Revoke, role('1'), Action::Grant, role('2'), false),
            (Action::Grant, role('1'), Action::Revoke, role('2'), false),
            (Action::Revoke, role('1'), Action::Revoke, Holding::Account, false),
            (Action::Revoke, role('1'), Action::Grant, Holding::Account, false),
        ] {
            let desk = desk();
            let first = new(&desk, None, older);
            let second = new(&desk, None, newer);
            resolved(&desk, first, "m1", "jane@example.com", its).unwrap();
            resolved(&desk, second, "m1", "jane@example.com", other).unwrap();
            let effect = if newer == Action::Grant { Effect::Granted } else { Effect::Removed };
            settle(&desk, second, &done(effect), desk.now()).unwrap();
            let expected = gives_way.then_some(second);
            assert_eq!(superseded_by(&desk, first).unwrap(), expected, "{older:?} {its}, {newer:?} {other}");
        }
    }

    #[test]
    fn the_first_outcome_stays() {
        let desk = desk();
        let id = new(&desk, None, Action::Grant);
        settle(&desk, id, &done(Effect::Granted), desk.now()).unwrap();
        settle(&desk, id, &Outcome::refused(Refusal::GaveUp, "No."), desk.now()).unwrap();
        note(&desk, id, State::PutOff, "late", desk.now()).unwrap();
        put_off(&desk, id, desk.now()).unwrap();
        let entry = find(&desk, &id.0.to_string()).unwrap().unwrap();
        assert_eq!((entry.state, entry.outcome, entry.due_at), (State::Settled, Some(done(Effect::Granted)), None));
    }

    #[test]
    fn what_nobody_finished_is_due_again() {
        let desk = desk();
        let id = new(&desk, None, Action::Revoke);
        assert!(due(&desk, desk.now(), 10).unwrap().is_empty());
        assert_eq!(next_due(&desk).unwrap(), Some(desk.now().plus_secs(30)));
        desk.advance(30);
        assert_eq!(due(&desk, desk.now(), 10).unwrap()[0].id, id);
        assert_eq!(begin(&desk, id, desk.now().plus_secs(30)).unwrap(), 1);
        assert!(due(&desk, desk.now(), 10).unwrap().is_empty(), "the new attempt has its time");
        settle(&desk, id, &done(Effect::Revoked), desk.now()).unwrap();
        assert_eq!(next_due(&desk).unwrap(), None);
    }

    #[test]
    fn an_older_operation_gives_way_to_a_newer_contrary_one_that_was_carried_out() {
        let desk = desk();
        let grant = new(&desk, None, Action::Grant);
        let revoke = new(&desk, None, Action::Revoke);
        let other = new(&desk, None, Action::Revoke);
        resolved(&desk, grant, "m1", "Jane@example.com", role('1')).unwrap();
        resolved(&desk, revoke, "m1", "jane@example.com", role('1')).unwrap();
        resolved(&desk, other, "m1", "jane@example.com", role('2')).unwrap();
        settle(&desk, other, &done(Effect::Revoked), desk.now()).unwrap();
        assert_eq!(superseded_by(&desk, grant).unwrap(), None, "another role, or not carried out");
        carried_out(&desk, revoke).unwrap();
        assert_eq!(superseded_by(&desk, grant).unwrap(), Some(revoke), "carried out, and not told yet");
        settle(&desk, revoke, &done(Effect::AlreadyRevoked), desk.now()).unwrap();
        assert_eq!(superseded_by(&desk, grant).unwrap(), Some(revoke));
        assert_eq!(superseded_by(&desk, revoke).unwrap(), None, "an older one does not count");
    }

    #[test]
    fn the_end_of_a_grant_for_a_time_is_as_old_as_that_grant() {
        for ends_by_itself in [true, false] {
            let desk = desk();
            let granted = new(&desk, None, Action::Grant);
            settle(&desk, granted, &done(Effect::Granted), desk.now()).unwrap();
            let extension = new(&desk, None, Action::Grant);
            let key = if ends_by_itself { format!("expiry/{}/1700000000", granted.0) } else { "task/step".to_owned() };
            let end = new(&desk, Some(&key), Action::Revoke);
            for id in [granted, extension, end] {
                resolved(&desk, id, "m1", "jane@example.com", role('1')).unwrap();
            }
            assert_eq!(superseded_by(&desk, end).unwrap(), None, "the grant that it ends is no newer one");
            carried_out(&desk, end).unwrap();
            assert_eq!(superseded_by(&desk, extension).unwrap(), (!ends_by_itself).then_some(end));
            carried_out(&desk, extension).unwrap();
            assert_eq!(superseded_by(&desk, end).unwrap(), ends_by_itself.then_some(extension));
        }
    }

    /// The request was there before what came while its steps were carried out, and these are one after the other.
    #[test]
    fn the_steps_of_a_scim_request_are_as_old_as_the_request() {
        let desk = desk();
        let before = new(&desk, None, Action::Grant);
        let meanwhile = new(&desk, None, Action::Grant);
        let step = |action, after| {
            let origin = Origin { by: "scim".to_owned(), after: Some(after), ..Origin::default() };
            let request = Request { origin, ..request(None, action) };
            let Arrival::New(id) = arrive(&desk, &request, desk.now(), desk.now()).unwrap() else { panic!() };
            id
        };
        let (removed, added) = (step(Action::Revoke, before), step(Action::Grant, before));
        let later = step(Action::Revoke, meanwhile);
        for id in [before, meanwhile, removed, added, later] {
            resolved(&desk, id, "m1", "jane@example.com", role('1')).unwrap();
        }
        carried_out(&desk, removed).unwrap();
        assert_eq!(superseded_by(&desk, before).unwrap(), Some(removed), "what came last before the request is older");
        assert_eq!(superseded_by(&desk, meanwhile).unwrap(), None, "what came since is newer");
        assert_eq!(superseded_by(&desk, added).unwrap(), None, "the one before it in the same request");
        carried_out(&desk, added).unwrap();
        assert_eq!(superseded_by(&desk, removed).unwrap(), Some(added), "the one behind it in the same request");
        carried_out(&desk, meanwhile).unwrap();
        assert_eq!(superseded_by(&desk, added).unwrap(), None, "it asked for the same");
        carried_out(&desk, later).unwrap();
        for older in [before, meanwhile, added] {
            assert_eq!(superseded_by(&desk, older).unwrap(), Some(later), "another request that came later");
        }
        assert_eq!(superseded_by(&desk, later).unwrap(), None);
    }

    #[test]
    fn of_the_removals_under_way_those_are_listed_that_nothing_voided_of_whom_they_are_asked_for() {
        let desk = desk();
        let revoke = |subject: Subject| {
            let request = Request { subject, ..request(None, Action::Revoke) };
            let Arrival::New(id) = arrive(&desk, &request, desk.now(), desk.now()).unwrap() else { panic!() };
            id
        };
        let user = "05784afa30c1afe1440e79d9351c7430";
        let by_address = revoke(Subject::of_email("Jane@example.com"));
        let by_id = revoke(Subject { user_id: Some(user.parse().unwrap()), ..Subject::default() });
        let looked_up = revoke(Subject::default());
        resolved(&desk, looked_up, "m1", "jane@example.com", Holding::Account).unwrap();
        let of_another = revoke(Subject::of_email("joe@example.com"));
        let listed = |whose: &str| {
            let awaited = Some((Holding::ACCOUNT.to_owned(), whose.to_owned()));
            let listed = list(&desk, &Filter { awaited, ..Filter::default() }, 10).unwrap();
            listed.iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        let jane = format!("user:{user} jane@example.com");
        assert_eq!(listed(&jane), [looked_up, by_id, by_address]);
        assert_eq!(listed(&format!("user:{} joe@example.com", "f".repeat(32))), [of_another]);
        assert_eq!(listed(""), [of_another, looked_up, by_id, by_address], "whoever it is");
        let since = new(&desk, None, Action::Grant);
        resolved(&desk, since, "m1", "jane@example.com", Holding::Account).unwrap();
        carried_out(&desk, since).unwrap();
        assert_eq!(listed(&jane), [by_id, by_address], "it is void by what was granted since");
    }

    /// Neither what is to end itself, and cannot as the last role, nor what is a user group's alone by now; what the journal forgets changes nothing.
    #[test]
    fn an_account_that_ends_stays_for_no_role_whose_own_end_was_asked_for_or_that_was_taken_back() {
        let end = |operation: i64, member: &str, what: Holding, asked: i64| {
            format!(
                "INSERT INTO expiry (email, member, entitlement, operation, ends_at, asked)
                    VALUES ('{member}@example.com', '{member}', '{what}', {operation}, 1, {asked})"
            )
        };
        for (meanwhile, stays) in [
            ("UPDATE operation SET carried_out = 0".to_owned(), true),
            ("UPDATE operation SET carried_out = 1 WHERE id = 4".to_owned(), false),
            // The end is the extension's by now, and so that of what it extends.
            (end(3, "m1", role('1'), 0), true),
            (end(3, "m1", role('1'), 1), false),
            (end(3, "m1", role('1'), 1_700_000_000_000), false),
            // The controls: another role's, and another person's.
            (end(5, "m1", role('2'), 1), true),
            (end(5, "m2", role('1'), 1), true),
        ] {
            let desk = desk();
            for (action, what, outcome) in [
                (Action::Grant, Holding::Account, done(Effect::Invited)),
                (Action::Grant, role('1'), done(Effect::Granted)),
                (Action::Grant, role('1'), done(Effect::AlreadyGranted)),
                (Action::Revoke, role('1'), Outcome::refused(Refusal::HeldThroughGroup, "No.")),
            ] {
                let id = new(&desk, None, action);
                resolved(&desk, id, "m1", "jane@example.com", what).unwrap();
                settle(&desk, id, &outcome, desk.now()).unwrap();
            }
            let ends = new(&desk, Some("expiry/1/1700000000"), Action::Revoke);
            resolved(&desk, ends, "m1", "jane@example.com", Holding::Account).unwrap();
            for statement in [end(1, "m1", Holding::Account, 1), meanwhile.clone()] {
                desk.query(&statement, &[]).unwrap();
            }
            for _ in 0..2 {
                assert_eq!(superseded_by(&desk, ends).unwrap().is_some(), stays, "{meanwhile}");
                purge(&desk, desk.now().plus_secs(1)).unwrap();
            }
        }
    }

    #[test]
    fn a_removal_that_waits_is_not_void_since_a_task_about_something_else_found_the_account_there() {
        for (key, is_void) in [("t/s/e2", false), ("t/s", true)] {
            let desk = desk();
            let removal = new(&desk, Some("t0/s"), Action::Revoke);
            let found = new(&desk, Some(key), Action::Grant);
            for id in [removal, found] {
                resolved(&desk, id, "m1", "jane@example.com", Holding::Account).unwrap();
            }
            settle(&desk, found, &done(Effect::AlreadyGranted), desk.now()).unwrap();
            assert_eq!(superseded_by(&desk, removal).unwrap(), is_void.then_some(found), "{key}");
        }
    }

    #[test]
    fn the_operation_that_did_what_was_seen_may_be_settled_later_or_not_at_all() {
        let (revoked, through) = (Outcome::refused(Refusal::HeldThroughGroup, "No."), "carried_out = 1");
        let nothing = "wrote = wrote";
        for (arrives, outcome, meanwhile, expected) in [
            (0, Some((30, done(Effect::Revoked))), nothing, Some(true)),
            (0, Some((90, done(Effect::Revoked))), nothing, Some(true)),
            (0, Some((90, revoked.clone())), through, Some(true)),
            (0, None, nothing, Some(false)),
            (0, None, "email = NULL, member = NULL", Some(false)),
            // The controls: what came too late, ended too early, did nothing or has written nothing, and is another's.
            (70, Some((90, done(Effect::Revoked))), nothing, None),
            (0, Some((5, done(Effect::Revoked))), nothing, None),
            (0, Some((90, done(Effect::AlreadyRevoked))), nothing, None),
            (0, Some((90, revoked.clone())), nothing, None),
            (0, Some((90, revoked)), "carried_out = 1, wrote = 0", None),
            (0, None, "wrote = 0", None),
            (0, None, "email = 'joe@example.com', member = 'm2'", None),
            // It waited, and wrote after that was seen.
            (0, Some((90, done(Effect::Revoked))), "wrote_at = 9999999999999", None),
            (0, None, "wrote_at = 9999999999999", None),
            // An earlier version did not note when.
            (0, Some((30, done(Effect::Revoked))), "wrote_at = NULL", Some(true)),
            (0, None, "wrote_at = NULL", Some(false)),
        ] {
            let desk = desk();
            let (from, seen) = (desk.now().plus_secs(10), desk.now().plus_secs(60));
            desk.advance(arrives);
            let subject = Subject { emails: vec!["Jane@example.com".into()], ..Subject::default() };
            let request = Request { subject, ..request(None, Action::Revoke) };
            let Arrival::New(id) = arrive(&desk, &request, desk.now(), desk.now()).unwrap() else { panic!() };
            resolved(&desk, id, "m1", "jane@example.com", role('1')).unwrap();
            note(&desk, id, State::Writing, "writing", desk.now()).unwrap();
            desk.query(&format!("UPDATE operation SET {meanwhile}"), &[]).unwrap();
            let case = format!("{arrives} {outcome:?} {meanwhile}");
            if let Some((at, outcome)) = outcome {
                desk.advance(at - arrives);
                settle(&desk, id, &outcome, desk.now()).unwrap();
            }
            let did = |gained, what: Holding| {
                let who = ("jane@example.com", Some("m1"), what.to_string());
                let times = (from, seen, seen);
                super::that_did(&desk, (who.0, who.1, &who.2), gained, times).unwrap()
            };
            let told = did(false, role('1'));
            assert_eq!(told.as_ref().map(|(_, own)| own.settled_at.is_some()), expected, "{case}");
            assert!(told.is_none_or(|(found, _)| found == id));
            assert!(did(true, role('1')).is_none() && did(false, role('2')).is_none(), "{case}");
        }
    }

    #[test]
    fn what_a_revoke_took_that_was_never_proven_is_given_again_by_another_hand() {
        for (meanwhile, is_ours) in
            [("carried_out = 1", false), ("carried_out = 0", true), ("carried_out = 1, wrote = 0", true)]
        {
            let desk = desk();
            let from = desk.now();
            let subject = Subject { emails: vec!["jane@example.com".into()], ..Subject::default() };
            let mut ids = Vec::new();
            for (action, outcome) in [
                (Action::Grant, done(Effect::Granted)),
                (Action::Revoke, Outcome::refused(Refusal::HeldThroughGroup, "No.")),
            ] {
                desk.advance(5);
                let request = Request { subject: subject.clone(), ..request(None, action) };
                let Arrival::New(id) = arrive(&desk, &request, desk.now(), desk.now()).unwrap() else { panic!() };
                resolved(&desk, id, "m1", "jane@example.com", role('1')).unwrap();
                note(&desk, id, State::Writing, "writing", desk.now()).unwrap();
                if action == Action::Revoke {
                    desk.query(&format!("UPDATE operation SET {meanwhile} WHERE id = ?"), &[id.0.into()]).unwrap();
                }
                desk.advance(5);
                settle(&desk, id, &outcome, desk.now()).unwrap();
                ids.push(id);
            }
            desk.advance(30);
            let what = role('1').to_string();
            let did =
                super::that_did(&desk, ("jane@example.com", Some("m1"), &what), true, (from, desk.now(), desk.now()));
            assert_eq!(did.unwrap().map(|(id, _)| id), is_ours.then_some(ids[0]), "{meanwhile}");
        }
    }

    #[test]
    fn operations_are_found_by_who_what_when_and_how_they_ended() {
        let desk = desk();
        let first = new(&desk, Some("t/1"), Action::Grant);
        resolved(&desk, first, "m1", "jane@example.com", role('1')).unwrap();
        settle(&desk, first, &done(Effect::Granted), desk.now()).unwrap();
        desk.advance(60);
        let second = new(&desk, Some("t/2"), Action::Revoke);
        resolved(&desk, second, "m2", "joe@example.com", role('2')).unwrap();
        settle(&desk, second, &Outcome::refused(Refusal::LastRole, "No."), desk.now()).unwrap();
        let check = |filter: Filter, expected: &[EntryId]| {
            let found: Vec<_> = list(&desk, &filter, 10).unwrap().into_iter().map(|entry| entry.id).collect();
            assert_eq!(found, expected, "{filter:?}");
        };
        let text = |text: &str| Some(text.to_owned());
        check(Filter::default(), &[second, first]);
        check(Filter { member: text("JANE@example.com"), ..Filter::default() }, &[first]);
        check(Filter { member: text("m2"), ..Filter::default() }, &[second]);
        check(Filter { entitlement: text("role:11"), ..Filter::default() }, &[first]);
        check(Filter { outcome: text("done"), ..Filter::default() }, &[first]);
        check(Filter { outcome: text("last_role"), ..Filter::default() }, &[second]);
        check(Filter { since: Some(desk.now()), ..Filter::default() }, &[second]);
        check(Filter { until: Some(desk.now()), ..Filter::default() }, &[first]);
        check(Filter { before: Some(second), ..Filter::default() }, &[first]);
        assert_eq!(find(&desk, "t/2").unwrap().unwrap().id, second);
        purge(&desk, desk.now()).unwrap();
        check(Filter::default(), &[second]);
    }
}
