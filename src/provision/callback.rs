//! Outcomes that C1 waits for at a callback URL, because its webhook was answered with 202.
//!
//! **Invariants:** a callback is sent only for a settled operation, and never again once C1 has taken it; its URL is a
//! capability and leaves the Coordinator only as the address of that request.

use super::incident::{self, Incident, IncidentKind};
use crate::account::expiry;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::{Timestamp, doubled};
use crate::model::operation::EntryId;

/// C1 keeps a callback open for 8 days unless configured otherwise (`reference/conductorone.md` 1.4).
pub const EXPIRES_MILLIS: i64 = 8 * 24 * 60 * 60 * 1000;

/// The wait before a callback is tried again doubles from 5 s up to an hour.
const FIRST_WAIT_SECS: i64 = 5;
const LONGEST_WAIT_SECS: i64 = 60 * 60;

/// How many tries may come before C1 waits: the first, and those 5, 15 and 35 s after it. Our 202 may be lost, so that C1 notes that it is to wait only
/// once that attempt has run out (30 s), it has paused (15 s) and made another one (30 s): `reference/conductorone.md` 1.4. The next try comes after 75 s.
const EARLY_TRIES: i64 = 4;

/// A callback to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// The operation.
    pub operation: EntryId,
    /// Where to. Not to be shown.
    pub url: String,
    /// Twice how often it was tried; and one more once a try got no answer, so that C1 may have the outcome.
    attempts: i64,
    /// When C1 stops waiting.
    pub expires_at: Timestamp,
}

impl Callback {
    /// Whether C1 may have the outcome, since a try got no answer.
    pub const fn may_be_told(&self) -> bool {
        self.attempts % 2 == 1
    }

    /// Whether C1 may say that it waits for nothing because it does not wait yet.
    pub const fn may_be_early(&self) -> bool {
        self.attempts / 2 < EARLY_TRIES
    }
}

/// How many outcomes are still to be told: those that there are.
pub const WAITING: &str = "SELECT COUNT(*) FROM callback WHERE due_at IS NOT NULL";

/// Creates the table.
pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::init(sql)?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS callback ( \
            operation INTEGER PRIMARY KEY, url TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, \
            due_at INTEGER, expires_at INTEGER NOT NULL)",
        &[],
    )
}

/// Notes that C1 waits for the outcome of an operation. The latest URL counts, should a delivery have come again with another.
pub fn want(sql: &dyn Sql, operation: EntryId, url: &str, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO callback (operation, url, due_at, expires_at) VALUES (?1, ?2, \
            (SELECT CASE WHEN outcome IS NULL THEN NULL ELSE ?3 END FROM operation WHERE id = ?1), ?4) \
         ON CONFLICT (operation) DO UPDATE SET url = excluded.url, expires_at = excluded.expires_at",
        &[operation.0.into(), url.into(), now.into(), now.plus_millis(EXPIRES_MILLIS).into()],
    )
}

/// Notes that an operation is settled: a callback that is wanted is due now.
pub fn settled(sql: &dyn Sql, operation: EntryId, now: Timestamp) -> Result<(), SqlError> {
    sql.run("UPDATE callback SET due_at = ? WHERE operation = ?", &[now.into(), operation.0.into()])
}

/// Forgets a callback, since C1 is told the outcome just now.
pub fn told(sql: &dyn Sql, operation: EntryId, now: Timestamp) -> Result<(), SqlError> {
    expiry::told(sql, operation, now)?;
    done(sql, operation)
}

/// Forgets a callback that C1 does not take. What was changed for it is told to people, who may not want it any more: of what is cancelled in C1 it
/// says nothing here, so that it is carried out all the same.
pub fn given_up(sql: &dyn Sql, operation: EntryId, now: Timestamp) -> Result<(), SqlError> {
    let changed = sql.query(
        "SELECT member, email, json_extract(outcome, '$.message') FROM operation WHERE id = ? AND wrote = 1",
        &[operation.0.into()],
    )?;
    if let Some([member, email, message]) = changed.first().map(Vec::as_slice) {
        let text = |value: &SqlValue| value.text().unwrap_or_default().to_owned();
        let message = format!(
            "{}; ConductorOne did not wait for that any more, as where its task was cancelled, so see whether it is still wanted.",
            text(message).trim_end_matches('.')
        );
        let incident = Incident {
            kind: IncidentKind::CallbackGivenUp,
            at: now,
            operation,
            member: text(member),
            email: text(email),
            message,
            actor: None,
            through: None,
            reference: None,
        };
        incident::note(sql, "callback", &incident)?;
    }
    done(sql, operation)
}

/// Forgets a callback: C1 has the outcome, or waits no longer.
pub fn done(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.run("DELETE FROM callback WHERE operation = ?", &[operation.0.into()])
}

/// Notes that C1 did not take it, or that it is not known whether C1 did; returns when the callback will be tried again. Whoever sends it notes the
/// latter before, and may be gone when the answer comes. It counts from what was read, so that an answer takes that note back, and no earlier try's.
pub fn failed(sql: &dyn Sql, callback: &Callback, may_be_told: bool, now: Timestamp) -> Result<Timestamp, SqlError> {
    let due_at = now.plus_secs(doubled(FIRST_WAIT_SECS, callback.attempts / 2, LONGEST_WAIT_SECS));
    let attempts = (callback.attempts + 2) | i64::from(may_be_told);
    sql.run(
        "UPDATE callback SET attempts = ?, due_at = ? WHERE operation = ?",
        &[attempts.into(), due_at.into(), callback.operation.0.into()],
    )?;
    Ok(due_at)
}

/// The callbacks that are due.
pub fn due(sql: &dyn Sql, now: Timestamp, limit: i64) -> Result<Vec<Callback>, SqlError> {
    let rows = sql.query(
        &format!(
            "SELECT operation, url, attempts, expires_at FROM callback \
             WHERE due_at IS NOT NULL AND due_at <= ? AND {READABLE} ORDER BY due_at LIMIT ?"
        ),
        &[now.into(), limit.into()],
    )?;
    rows::readable(sql, "callback", &rows, |row| match row {
        [operation, url, attempts, expires_at] => Some(Callback {
            operation: EntryId(operation.integer()?),
            url: url.text()?.to_owned(),
            attempts: attempts.integer()?,
            expires_at: expires_at.time()?,
        }),
        _ => None,
    })
}

/// Which callbacks are not set aside.
const READABLE: &str = rows::not_set_aside!("operation", "callback");

/// When the next callback is due.
pub fn next_due(sql: &dyn Sql) -> Result<Option<Timestamp>, SqlError> {
    sql.time(&format!("SELECT MIN(due_at) FROM callback WHERE {READABLE}"), &[])
}

#[cfg(test)]
mod tests {
    use super::super::incident::{self, Incident, IncidentKind};
    use super::{WAITING, done, due, failed, given_up, init, next_due, settled, told, want};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock, Sql as _, SqlValue};
    use crate::provision::journal::EntryId;

    fn desk() -> Desk {
        let desk = Desk::new();
        crate::provision::journal::init(&desk).unwrap();
        incident::init(&desk).unwrap();
        init(&desk).unwrap();
        desk
    }

    /// Also what was refused in the end: an invitation that was sent for a group that then took nobody in.
    #[test]
    fn whatever_was_written_for_whom_it_is_not_told_is_an_incident_and_hides_no_other() {
        let desk = desk();
        let cap = Incident {
            kind: IncidentKind::RemovalCap,
            at: desk.now(),
            operation: EntryId(9),
            member: String::new(),
            email: String::new(),
            message: "full".to_owned(),
            actor: None,
            through: None,
            reference: None,
        };
        incident::note(&desk, "cap", &cap).unwrap();
        for id in 1..=40_i64 {
            desk.query(
                "INSERT INTO operation (id, key, state, request, received_at, wrote, outcome) VALUES (?1, ?1, 'settled', '{}', 0, ?2, ?3)",
                &[id.into(), (id % 2).into(), r#"{"outcome":"refused","code":"not_eligible","message":"Was invited."}"#.into()],
            )
            .unwrap();
            given_up(&desk, EntryId(id), desk.now()).unwrap();
        }
        let shown = incident::latest(&desk).unwrap();
        let of_callbacks: Vec<_> = shown.iter().filter(|it| it.kind == IncidentKind::CallbackGivenUp).collect();
        assert!(of_callbacks.iter().all(|it| it.operation.0 % 2 == 1 && it.message.starts_with("Was invited;")));
        assert_eq!((of_callbacks.len(), shown.len()), (20, 21));
    }

    #[test]
    fn a_callback_is_due_when_its_operation_is_settled() {
        let desk = desk();
        let waiting = || desk.one(WAITING, &[]).unwrap().as_ref().and_then(SqlValue::integer);
        want(&desk, EntryId(1), "https://acme/cb/1", desk.now()).unwrap();
        assert!(due(&desk, desk.now().plus_secs(9999), 10).unwrap().is_empty());
        assert_eq!(waiting(), Some(0), "there is no outcome yet");
        settled(&desk, EntryId(1), desk.now()).unwrap();
        assert_eq!(due(&desk, desk.now(), 10).unwrap()[0].url, "https://acme/cb/1");
        assert_eq!(waiting(), Some(1));
        done(&desk, EntryId(1)).unwrap();
        assert_eq!(waiting(), Some(0));
        assert_eq!(next_due(&desk).unwrap(), None);
    }

    /// And once: a second answer to the same question is none that ConductorOne waited for.
    #[test]
    fn the_time_of_a_grant_counts_from_when_conductorone_is_told_and_of_no_other() {
        let desk = desk();
        let settled_at = desk.now();
        for id in [1_i64, 2] {
            desk.query(
                "INSERT INTO operation (id, key, state, request, received_at) VALUES (?1, ?1, 'settled', ?2, 0)",
                &[id.into(), r#"{"origin":{"duration_secs":3600}}"#.into()],
            )
            .unwrap();
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at) VALUES (?1, 'account', ?1, ?2)",
                &[id.into(), settled_at.plus_secs(3_600).into()],
            )
            .unwrap();
            want(&desk, EntryId(id), "https://acme/cb", desk.now()).unwrap();
        }
        done(&desk, EntryId(2)).unwrap();
        for hours in [5, 6] {
            desk.time.set(settled_at.plus_secs(hours * 3_600));
            for id in [1, 2] {
                told(&desk, EntryId(id), desk.now()).unwrap();
            }
            let ends = desk.query("SELECT ends_at FROM expiry ORDER BY operation", &[]).unwrap();
            let ends: Vec<_> = ends.iter().map(|row| row[0].integer()).collect();
            let expected = [6, 1].map(|hours| Some(settled_at.plus_secs(hours * 3_600).millis()));
            assert_eq!(ends, expected, "{hours}");
        }
    }

    #[test]
    fn a_try_whose_end_nobody_noted_may_have_told_it_and_one_that_was_refused_takes_back_no_more_than_its_own_note() {
        let desk = desk();
        want(&desk, EntryId(1), "https://acme/cb/1", desk.now()).unwrap();
        settled(&desk, EntryId(1), desk.now()).unwrap();
        let read = || due(&desk, desk.now().plus_secs(9_999), 10).unwrap().remove(0);
        let mut before = read();
        assert!(before.may_be_early() && !before.may_be_told());
        let (mut may_be_told, mut waited) = (false, 0);
        // C1 has waited for an attempt's end and before the next one, and has made that, before it is believed that it waits for nothing.
        for (got_no_answer, may_be_early) in [(false, true), (true, true), (false, true), (false, false)] {
            let noted = failed(&desk, &before, true, desk.now()).unwrap();
            assert!(read().may_be_told(), "it may be cut off from here");
            assert_eq!(failed(&desk, &before, got_no_answer, desk.now()).unwrap(), noted, "one try is one");
            may_be_told |= got_no_answer;
            waited += noted.since(desk.now()) / 1000;
            before = read();
            assert_eq!(before.may_be_early(), may_be_early);
            assert_eq!(may_be_early, waited < 30 + 15 + 30);
            assert_eq!(before.may_be_told(), may_be_told);
        }
    }

    #[test]
    fn a_callback_that_fails_is_tried_again_at_growing_distances() {
        let desk = desk();
        want(&desk, EntryId(1), "https://acme/cb/1", desk.now()).unwrap();
        settled(&desk, EntryId(1), desk.now()).unwrap();
        let mut waits = Vec::new();
        for _ in 0..14 {
            let now = desk.now();
            let callbacks = due(&desk, now, 10).unwrap();
            let again = failed(&desk, &callbacks[0], false, now).unwrap();
            waits.push(again.since(now) / 1000);
            desk.time.set(again);
        }
        assert_eq!(waits[..4], [5, 10, 20, 40]);
        assert_eq!(waits[13], 3600);
    }
}
