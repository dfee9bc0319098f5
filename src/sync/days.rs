//! What became of the syncs of each day, and how large the account was at its end: for who looks back farther than the last runs go. One row a
//! day, kept for good: ten years are some three thousand of them.

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::snapshot::{Counts, RunOutcome, RunRecord};

/// The syncs since the first one, by their outcome.
pub const BY_OUTCOME: &str = "SELECT outcome, SUM(n) FROM (SELECT 'published' AS outcome, published AS n FROM sync_day \
    UNION ALL SELECT 'unchanged', unchanged FROM sync_day \
    UNION ALL SELECT 'failed', failed FROM sync_day \
    UNION ALL SELECT 'held', held FROM sync_day) GROUP BY outcome ORDER BY outcome";

/// One day, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Which, such as `2026-08-21`.
    pub day: String,
    /// Syncs that found something changed.
    pub published: i64,
    /// Syncs that found everything as it was.
    pub unchanged: i64,
    /// Syncs that failed.
    pub failed: i64,
    /// Syncs that were held back.
    pub held: i64,
    /// Requests to Cloudflare of all of them.
    pub requests: i64,
    /// How long all of them took.
    pub duration_millis: i64,
    /// Users and invitations at the end of the day; none where nothing was published by then.
    pub people: Option<i64>,
    /// Grants at the end of the day.
    pub grants: Option<i64>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS sync_day ( \
            day TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, published INTEGER NOT NULL DEFAULT 0, \
            unchanged INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0, \
            requests INTEGER NOT NULL DEFAULT 0, millis INTEGER NOT NULL DEFAULT 0, people INTEGER, grants INTEGER) WITHOUT ROWID",
        &[],
    )
}

/// Adds a run that ended to its day; `is_sweep` tells whether it looked at the whole account, and `counts` what the account has now.
pub(super) fn note(sql: &dyn Sql, run: &RunRecord, is_sweep: bool, counts: Option<&Counts>) -> Result<(), SqlError> {
    let column = match run.outcome {
        RunOutcome::Published => "published",
        RunOutcome::Unchanged => "unchanged",
        RunOutcome::Failed => "failed",
        RunOutcome::Held => "held",
    };
    let many = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let people = counts.map(|counts| many(counts.people()));
    sql.run(
        &format!(
            "INSERT INTO sync_day (day, {column}, requests, millis, people, grants) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (day) DO UPDATE SET {column} = {column} + excluded.{column}, requests = requests + excluded.requests, \
                millis = millis + excluded.millis, people = COALESCE(excluded.people, people), grants = COALESCE(excluded.grants, grants)"
        ),
        &[
            run.finished_at.date().into(),
            i64::from(is_sweep).into(),
            i64::from(run.requests).into(),
            if is_sweep { run.duration_millis } else { 0 }.into(),
            people.into(),
            counts.map(|counts| many(counts.grants)).into(),
        ],
    )
}

impl Day {
    /// The day as a number such as 20260821, by which a list of them goes on.
    pub fn number(&self) -> i64 {
        self.day.replace('-', "").parse().unwrap_or(0)
    }
}

/// The latest days on which anything was synced, the newest first; those before the one with this [`Day::number`].
pub fn latest(sql: &dyn Sql, before: Option<i64>, limit: i64) -> Result<Vec<Day>, SqlError> {
    let all = sql.query(
        "SELECT day, published, unchanged, failed, held, requests, millis, people, grants FROM sync_day \
         WHERE version = 1 AND (?1 IS NULL OR CAST(replace(day, '-', '') AS INTEGER) < ?1) ORDER BY day DESC LIMIT ?2",
        &[before.into(), limit.into()],
    )?;
    rows::readable(sql, "sync_day", &all, |row| {
        let [day, rest @ ..] = row else { return None };
        let number = |place: usize| rest.get(place).and_then(SqlValue::integer);
        Some(Day {
            day: day.text()?.to_owned(),
            published: number(0)?,
            unchanged: number(1)?,
            failed: number(2)?,
            held: number(3)?,
            requests: number(4)?,
            duration_millis: number(5)?,
            people: number(6),
            grants: number(7),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fakes::Desk;
    use crate::base::ports::Clock as _;
    use crate::base::time::Timestamp;
    use crate::model::kind::Kind;
    use crate::snapshot::RunId;

    fn run(n: u64, at: Timestamp, outcome: RunOutcome) -> RunRecord {
        let bare = RunRecord::bare(RunId::new(at, n), at, outcome);
        RunRecord { started_at: at.plus_secs(-3), duration_millis: 3_000, requests: 29, ..bare }
    }

    #[test]
    fn a_run_counts_once_however_often_it_is_remembered() {
        let desk = Desk::default();
        crate::sync::init(&desk).unwrap();
        let ended = run(1, desk.now(), RunOutcome::Unchanged);
        for _ in 0..2 {
            crate::sync::history::remember_run(&desk, ended.clone()).unwrap();
        }
        assert_eq!(latest(&desk, None, 10).unwrap().iter().map(|day| day.unchanged).sum::<i64>(), 1);
    }

    #[test]
    fn a_day_adds_up_its_syncs_and_keeps_the_latest_size_of_the_account() {
        let desk = Desk::default();
        init(&desk).unwrap();
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let evening = at("2026-08-21T23:59:59Z");
        let counts = |users, grants| {
            let mut counts = Counts::default().with(Kind::User, users).with(Kind::Invitation, 2);
            counts.grants = grants;
            counts
        };
        note(&desk, &run(1, evening, RunOutcome::Published), true, Some(&counts(10, 30))).unwrap();
        note(&desk, &run(2, evening, RunOutcome::Unchanged), true, Some(&counts(11, 31))).unwrap();
        // A small publication is no sync, and tells how large the account is all the same.
        note(&desk, &run(3, evening, RunOutcome::Published), false, Some(&counts(12, 32))).unwrap();
        note(&desk, &run(4, evening.plus_secs(1), RunOutcome::Failed), true, None).unwrap();
        let all = latest(&desk, None, 10).unwrap();
        let [today, yesterday] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((today.day.as_str(), today.failed, today.people, today.grants), ("2026-08-22", 1, None, None));
        assert_eq!((yesterday.published, yesterday.unchanged, yesterday.failed, yesterday.held), (1, 1, 0, 0));
        assert_eq!((yesterday.requests, yesterday.duration_millis), (87, 6_000));
        assert_eq!((yesterday.people, yesterday.grants), (Some(14), Some(32)));
        assert_eq!(latest(&desk, None, 1).unwrap(), std::slice::from_ref(today));
        assert_eq!(latest(&desk, Some(today.number()), 10).unwrap(), std::slice::from_ref(yesterday));
    }
}
