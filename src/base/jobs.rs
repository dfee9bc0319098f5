//! What follows a publication: jobs that talk to others than Cloudflare. Each kind is one row on disk, at most one
//! attempt of a kind is under way, and one that does not work out is tried again after a growing wait.
//!
//! **Invariants:** what is wanted is a state, not an event: a job is about a subject (a generation, a run), a newer subject takes an
//! older one's place, and whoever looks again and again asks for nothing twice. An attempt that ends settles its own subject
//! alone. An attempt that was cut off anywhere is begun again, so each must bear repetition.

use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::{Timestamp, doubled};
use crate::base::words::words;

words! {
    /// The kinds of jobs.
    pub enum JobKind {
        /// The current generation's file is brought to where C1 pulls it from, and C1 is asked to.
        Push = "push",
        /// Entitlements that C1 has learned of get this Worker's webhook as their provisioner.
        Wire = "wire",
        /// What is wrong with the account is worked out of the current generation.
        Findings = "findings",
        /// What a sync found is told to C1's inbound webhook.
        Signal = "signal",
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The job is done; a sentence for the status.
    Done(String),
    /// All is well so far; it goes on then, from this state.
    GoOn(Timestamp, Value),
    /// It did not work out this time; a sentence that says why, and what to do should it last.
    Again(String),
    /// Trying again will not help; a sentence that says what to do.
    GivenUp(String),
}

words! {
    /// How a job stands.
    pub enum State {
        /// It is waiting for its time, or under way.
        Due = "due",
        /// It is done.
        Done = "done",
        /// It was given up.
        Failed = "failed",
    }
}

/// A job, as the status shows it and as an attempt gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its kind.
    pub kind: JobKind,
    /// What it is about: a generation's or a run's id.
    pub subject: String,
    /// How it stands.
    pub state: State,
    /// What an earlier attempt left for the next one. May hold what is not to be shown.
    #[serde(skip)]
    pub left: Value,
    /// How many attempts failed in a row.
    pub attempts: i64,
    /// What the last attempt said.
    pub message: Option<String>,
    /// When it was last asked for.
    pub wanted_at: Timestamp,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// When the last attempt ended.
    pub ended_at: Option<Timestamp>,
    /// When a job of this kind was last done.
    pub last_done_at: Option<Timestamp>,
}

/// The wait before a job is tried again doubles from 15 s up to an hour.
const FIRST_WAIT_SECS: i64 = 15;
const LONGEST_WAIT_SECS: i64 = 60 * 60;

/// After this many failures in a row, some ten hours, a job is given up.
const MAX_ATTEMPTS: i64 = 18;

/// An attempt whose end nobody noted, because the Worker vanished, is made again after this. No attempt takes longer.
pub const LEASE_SECS: i64 = 15 * 60;

/// A job that was cut off is begun again soon at most this many times; after that the lease is waited for.
const INTERRUPTIONS: i64 = 5;

/// Creates the table, and takes up again what was cut off. Called when the Coordinator starts.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::init(sql)?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS job ( \
            kind TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, subject TEXT NOT NULL, state TEXT NOT NULL, \
            left_over TEXT NOT NULL DEFAULT 'null', attempts INTEGER NOT NULL DEFAULT 0, message TEXT, \
            wanted_at INTEGER NOT NULL, due_at INTEGER, ended_at INTEGER, last_done_at INTEGER, begun_at INTEGER) \
         WITHOUT ROWID",
        &[],
    )?;
    // There is one Coordinator at a time, and this one has begun nothing: who was at it is gone, and nobody needs to wait for the
    // lease to end. It counts as a failure, lest a job that takes the Coordinator with it is tried again and again, and looks as if it waited.
    sql.query(
        "UPDATE job SET attempts = attempts + 1, begun_at = NULL, \
            message = 'The Worker ended in the middle of the last attempt; should that last, see in its log which limit it exceeded.', \
            state = CASE WHEN attempts + 1 < ?3 THEN state ELSE 'failed' END, \
            ended_at = CASE WHEN attempts + 1 < ?3 THEN ended_at ELSE begun_at END, \
            due_at = CASE WHEN attempts < ?2 THEN MIN(due_at, begun_at + ?1) WHEN attempts + 1 < ?3 THEN due_at END \
         WHERE begun_at IS NOT NULL AND state = 'due'",
        &[(FIRST_WAIT_SECS * 1000).into(), INTERRUPTIONS.into(), MAX_ATTEMPTS.into()],
    )?;
    Ok(())
}

/// How many jobs of each kind stand how. One that failed six times in a row, for some eight minutes, is no passing trouble.
pub const BY_STATE: &str = "SELECT kind, CASE WHEN state = 'due' AND attempts > 5 THEN 'failing' ELSE state END, \
    COUNT(*) FROM job GROUP BY 1, 2";

/// Asks for a job about a subject. One that is asked for already, done or given up stays as it is, unless `again`: then it is done
/// once more, or, where it waits for its time, that is now, or, where it is under way, it is due once more should it be given up. One that
/// was given up is begun anew an hour later, since what it was about may be put right by then; not the wiring, whose runs are asked for by
/// somebody or by a publication.
///
/// A newer subject is tried at once, and takes over how often the one before failed in a row, as far as it tells that nothing works: who
/// is asked for something new every few minutes would never be seen to fail. Its next tries are 16 minutes and more apart.
pub fn want(sql: &dyn Sql, kind: JobKind, subject: &str, again: bool, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO job (kind, subject, state, wanted_at, due_at) VALUES (?1, ?2, 'due', ?3, ?3) \
         ON CONFLICT (kind) DO UPDATE SET version = 1, subject = ?2, state = 'due', left_over = 'null', wanted_at = ?3, due_at = ?3, begun_at = NULL, \
            attempts = CASE state WHEN 'due' THEN MIN(attempts, 6) ELSE 0 END, message = CASE state WHEN 'done' THEN NULL ELSE message END \
         WHERE subject <> ?2 OR (?4 AND state <> 'due') OR (?1 <> 'wire' AND state = 'failed' AND ended_at <= ?3 - 3600000)",
        &[kind.as_str().into(), subject.into(), now.into(), i64::from(again).into()],
    )?;
    if again {
        sql.run(
            "UPDATE job SET wanted_at = ?1, due_at = CASE WHEN begun_at IS NULL THEN MIN(due_at, ?1) ELSE due_at END \
             WHERE kind = ?2 AND state = 'due'",
            &[now.into(), kind.as_str().into()],
        )?;
    }
    Ok(())
}

/// Forgets the job of a kind, where it was given up: for when what it is for is turned off, and nobody is to do what it says.
pub fn forget_failed(sql: &dyn Sql, kind: JobKind) -> Result<(), SqlError> {
    sql.run("DELETE FROM job WHERE kind = ? AND state = 'failed' AND version = 1", &[kind.as_str().into()])
}

/// All jobs.
pub fn all(sql: &dyn Sql) -> Result<Vec<Job>, SqlError> {
    read(sql, "1 = 1", &[])
}

/// The jobs that are due.
pub fn due(sql: &dyn Sql, now: Timestamp) -> Result<Vec<Job>, SqlError> {
    read(sql, "state = 'due' AND due_at <= ?", &[now.into()])
}

/// When the job of a kind is due.
pub fn due_at(sql: &dyn Sql, kind: JobKind) -> Result<Option<Timestamp>, SqlError> {
    sql.time("SELECT due_at FROM job WHERE state = 'due' AND version = 1 AND kind = ?", &[kind.as_str().into()])
}

/// Notes that an attempt begins: should nobody note its end, the job is due again after [`LEASE_SECS`].
pub fn begin(sql: &dyn Sql, job: &Job, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE job SET due_at = ?, begun_at = ? WHERE kind = ? AND subject = ?",
        &[now.plus_secs(LEASE_SECS).into(), now.into(), job.kind.as_str().into(), job.subject.as_str().into()],
    )
}

/// Notes what an attempt came to. Where the subject is another by now, that one stays due; and so does what is given up though it was asked for
/// once more since the attempt began.
pub fn end(sql: &dyn Sql, job: &Job, attempt: &Attempt, now: Timestamp) -> Result<(), SqlError> {
    let mut left = Value::Null;
    let (state, attempts, due_at, message) = match attempt {
        Attempt::Done(message) => (State::Done, 0, None, Some(message)),
        Attempt::GoOn(at, state) => {
            left.clone_from(state);
            (State::Due, 0, Some(*at), None)
        }
        Attempt::Again(message) if job.attempts + 1 < MAX_ATTEMPTS => {
            left.clone_from(&job.left);
            let wait = doubled(FIRST_WAIT_SECS, job.attempts, LONGEST_WAIT_SECS);
            (State::Due, job.attempts + 1, Some(now.plus_secs(wait)), Some(message))
        }
        Attempt::Again(message) | Attempt::GivenUp(message) => (State::Failed, job.attempts + 1, None, Some(message)),
    };
    sql.run(
        "UPDATE job SET state = CASE WHEN ?1 = 'failed' AND wanted_at > begun_at THEN 'due' ELSE ?1 END, attempts = ?, \
            due_at = CASE WHEN ?1 = 'failed' AND wanted_at > begun_at THEN wanted_at ELSE ? END, \
            message = COALESCE(?, message), left_over = ?, ended_at = ?, \
            last_done_at = CASE WHEN ?1 = 'done' THEN ?6 ELSE last_done_at END, begun_at = NULL \
         WHERE kind = ? AND subject = ?",
        &[
            state.as_str().into(),
            attempts.into(),
            due_at.into(),
            message.cloned().into(),
            left.to_string().into(),
            now.into(),
            job.kind.as_str().into(),
            job.subject.as_str().into(),
        ],
    )
}

fn read(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<Job>, SqlError> {
    let statement = format!(
        "SELECT kind, CASE version WHEN 1 THEN subject END, state, left_over, attempts, message, wanted_at, due_at, ended_at, \
            last_done_at FROM job WHERE {condition} ORDER BY kind"
    );
    let rows = sql.query(&statement, params)?;
    rows::readable(sql, "job", &rows, job)
}

fn job(row: &[SqlValue]) -> Option<Job> {
    let [kind, subject, state, left, attempts, message, wanted_at, due_at, ended_at, last_done_at] = row else {
        return None;
    };
    Some(Job {
        kind: JobKind::parse(kind.text()?)?,
        subject: subject.text()?.to_owned(),
        state: State::parse(state.text()?)?,
        left: left.text().and_then(|text| json::read(text.as_bytes()).ok()).unwrap_or_default(),
        attempts: attempts.integer()?,
        message: message.text().map(str::to_owned),
        wanted_at: wanted_at.time()?,
        due_at: due_at.time(),
        ended_at: ended_at.time(),
        last_done_at: last_done_at.time(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Attempt, BY_STATE, Job, JobKind, LEASE_SECS, State, all, begin, due, due_at, end, init, want};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock as _, Sql as _};

    fn desk() -> Desk {
        let desk = Desk::new();
        init(&desk).unwrap();
        desk
    }

    fn one(desk: &Desk) -> Job {
        let mut jobs = all(desk).unwrap();
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }

    #[test]
    fn a_job_is_asked_for_once_however_often_somebody_looks() {
        let desk = desk();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        end(&desk, &one(&desk), &Attempt::Done("Pushed.".into()), desk.now()).unwrap();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        assert_eq!((one(&desk).state, due_at(&desk, JobKind::Push).unwrap()), (State::Done, None));
        want(&desk, JobKind::Push, "g1", true, desk.now()).unwrap();
        assert_eq!(one(&desk).state, State::Due, "unless it is asked for again");
        assert_eq!(one(&desk).last_done_at, Some(desk.now()));
    }

    #[test]
    fn a_newer_subject_takes_the_place_of_the_one_before_and_outlives_its_attempt() {
        let desk = desk();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        let older = one(&desk);
        begin(&desk, &older, desk.now()).unwrap();
        want(&desk, JobKind::Push, "g2", false, desk.now()).unwrap();
        end(&desk, &older, &Attempt::Done("Pushed.".into()), desk.now()).unwrap();
        let newer = one(&desk);
        assert_eq!((newer.subject.as_str(), newer.state), ("g2", State::Due));
        assert_eq!(due(&desk, desk.now()).unwrap(), [newer]);
    }

    #[test]
    fn an_attempt_whose_end_nobody_noted_is_made_again() {
        let desk = desk();
        want(&desk, JobKind::Wire, "g1", false, desk.now()).unwrap();
        begin(&desk, &one(&desk), desk.now()).unwrap();
        assert!(due(&desk, desk.now()).unwrap().is_empty());
        desk.advance(LEASE_SECS);
        assert_eq!(due(&desk, desk.now()).unwrap().len(), 1);
    }

    #[test]
    fn an_attempt_that_ended_with_its_coordinator_is_soon_made_again_but_not_for_ever() {
        let desk = desk();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        for interruptions in 1..=6 {
            let job = due(&desk, desk.now()).unwrap().remove(0);
            begin(&desk, &job, desk.now()).unwrap();
            init(&desk).unwrap();
            assert!(due(&desk, desk.now()).unwrap().is_empty(), "not at once");
            desk.advance(15);
            assert_eq!(due(&desk, desk.now()).unwrap().len(), usize::from(interruptions < 6), "{interruptions}");
        }
        desk.advance(LEASE_SECS);
        let job = due(&desk, desk.now()).unwrap().remove(0);
        end(&desk, &job, &Attempt::Done("Pushed.".into()), desk.now()).unwrap();
        init(&desk).unwrap();
        assert_eq!(one(&desk).state, State::Done);
    }

    #[test]
    fn a_job_that_takes_the_coordinator_with_it_each_time_is_seen_to_fail_is_given_up_and_starts_over_an_hour_later() {
        let desk = desk();
        let state = || desk.query(BY_STATE, &[]).unwrap()[0][1].text().unwrap().to_owned();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        for attempts in 1..=18 {
            let job = due(&desk, desk.now()).unwrap().remove(0);
            begin(&desk, &job, desk.now()).unwrap();
            init(&desk).unwrap();
            // The control: a start that cuts nothing off counts for nothing.
            init(&desk).unwrap();
            assert_eq!(one(&desk).attempts, attempts);
            let expected = if attempts == 18 { "failed" } else { ["due", "failing"][usize::from(attempts > 5)] };
            assert_eq!(state(), expected, "{attempts}");
            if attempts < 18 {
                desk.advance(LEASE_SECS);
            }
        }
        let job = one(&desk);
        assert_eq!((job.state, job.due_at, job.ended_at), (State::Failed, None, Some(desk.now())));
        assert!(job.message.unwrap().contains("in the middle of the last attempt"));
        desk.advance(60 * 60 - 1);
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        assert_eq!(state(), "failed");
        desk.advance(1);
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        assert_eq!((due(&desk, desk.now()).unwrap().len(), one(&desk).attempts), (1, 0));
    }

    #[test]
    fn who_asks_again_for_a_job_that_waits_need_not_wait_and_changes_nothing_of_one_under_way() {
        let desk = desk();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        end(&desk, &one(&desk), &Attempt::Again("No answer.".into()), desk.now()).unwrap();
        assert!(due(&desk, desk.now()).unwrap().is_empty());
        want(&desk, JobKind::Push, "g1", true, desk.now()).unwrap();
        let job = due(&desk, desk.now()).unwrap().remove(0);
        assert_eq!(job.attempts, 1);
        begin(&desk, &job, desk.now()).unwrap();
        want(&desk, JobKind::Push, "g1", true, desk.now()).unwrap();
        assert!(due(&desk, desk.now()).unwrap().is_empty());
    }

    #[test]
    fn what_is_asked_for_again_while_the_attempt_is_under_way_that_gives_it_up_is_due_once_more() {
        let given_up = || Attempt::GivenUp("The key is refused.".into());
        for (attempt, is_asked, is_due) in
            [(given_up(), true, true), (given_up(), false, false), (Attempt::Done("Pushed.".into()), true, false)]
        {
            let desk = desk();
            want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
            let job = one(&desk);
            begin(&desk, &job, desk.now()).unwrap();
            desk.advance(1);
            if is_asked {
                want(&desk, JobKind::Push, "g1", true, desk.now()).unwrap();
            }
            end(&desk, &job, &attempt, desk.now()).unwrap();
            let again = due(&desk, desk.now()).unwrap();
            assert_eq!(again.len(), usize::from(is_due), "{attempt:?} {is_asked}");
            // Once, and no more.
            for job in again {
                begin(&desk, &job, desk.now()).unwrap();
                end(&desk, &job, &attempt, desk.now()).unwrap();
            }
            assert!(due(&desk, desk.now().plus_secs(LEASE_SECS)).unwrap().is_empty(), "{attempt:?} {is_asked}");
        }
    }

    #[test]
    fn failures_are_tried_again_at_growing_distances_and_given_up_at_last() {
        let desk = desk();
        want(&desk, JobKind::Signal, "r1", false, desk.now()).unwrap();
        let mut waits = Vec::new();
        while let [job] = due(&desk, desk.now()).unwrap().as_slice() {
            end(&desk, job, &Attempt::Again("The bucket does not answer.".into()), desk.now()).unwrap();
            let Some(at) = due_at(&desk, JobKind::Signal).unwrap() else { break };
            waits.push(at.since(desk.now()) / 1000);
            desk.time.set(at);
        }
        assert_eq!(waits[..5], [15, 30, 60, 120, 240]);
        assert_eq!(waits.last(), Some(&3600));
        let job = one(&desk);
        assert_eq!((job.state, job.message.as_deref()), (State::Failed, Some("The bucket does not answer.")));
    }

    #[test]
    fn what_fails_for_days_is_seen_to_fail_however_often_it_is_asked_for_anew_and_each_time_is_tried_at_once() {
        let desk = desk();
        let fails = || {
            while let [job] = due(&desk, desk.now()).unwrap().as_slice() {
                end(&desk, job, &Attempt::Again("No answer.".into()), desk.now()).unwrap();
            }
        };
        let state = || desk.query(BY_STATE, &[]).unwrap()[0][1].text().unwrap().to_owned();
        for run in 0..20 {
            want(&desk, JobKind::Signal, &format!("r{run}"), false, desk.now()).unwrap();
            assert_eq!(due(&desk, desk.now()).unwrap().len(), 1, "{run}");
            fails();
            let job = one(&desk);
            assert_eq!((job.attempts, state() == "failing"), ((run + 1).min(7), run >= 5), "{run}");
            want(&desk, JobKind::Signal, &format!("r{run} and more"), false, desk.now()).unwrap();
            assert_eq!(one(&desk).message.as_deref(), Some("No answer."), "why it waits");
            want(&desk, JobKind::Signal, &format!("r{run}"), false, desk.now()).unwrap();
        }
        end(&desk, &one(&desk), &Attempt::Done("Sent.".into()), desk.now()).unwrap();
        assert_eq!(state(), "done");
        want(&desk, JobKind::Signal, "next", false, desk.now()).unwrap();
        assert_eq!((one(&desk).attempts, one(&desk).message, state()), (0, None, "due".to_owned()));
    }

    #[test]
    fn what_was_given_up_is_begun_anew_an_hour_later_and_not_before_and_the_wiring_not_at_all() {
        for (kind, is_begun) in [(JobKind::Push, true), (JobKind::Signal, true), (JobKind::Wire, false)] {
            let desk = desk();
            want(&desk, kind, "g1", false, desk.now()).unwrap();
            end(&desk, &one(&desk), &Attempt::GivenUp("The key is refused.".into()), desk.now()).unwrap();
            desk.advance(60 * 60 - 1);
            want(&desk, kind, "g1", false, desk.now()).unwrap();
            assert_eq!(one(&desk).state, State::Failed, "{kind:?}");
            desk.advance(1);
            want(&desk, kind, "g1", false, desk.now()).unwrap();
            assert_eq!(due(&desk, desk.now()).unwrap().len(), usize::from(is_begun), "{kind:?}");
            assert_eq!(one(&desk).attempts, i64::from(!is_begun), "{kind:?}");
        }
    }

    #[test]
    fn a_job_that_goes_on_finds_what_it_left() {
        let desk = desk();
        want(&desk, JobKind::Push, "g1", false, desk.now()).unwrap();
        let later = desk.now().plus_secs(5);
        end(&desk, &one(&desk), &Attempt::GoOn(later, json!({ "uploaded": true })), desk.now()).unwrap();
        assert!(due(&desk, desk.now()).unwrap().is_empty());
        let jobs = due(&desk, later).unwrap();
        assert_eq!(jobs[0].left, json!({ "uploaded": true }));
        assert!(!serde_json::to_string(&jobs).unwrap().contains("uploaded"), "what is left is not shown");
    }
}
