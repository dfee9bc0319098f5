//! The budget of requests that everything in the account shares: what a sync may spend, what is kept for provisioning,
//! and until when Cloudflare wants to be left alone (`reference/cloudflare.md` 3.3).
//!
//! Counting happens in the Coordinator's SQLite, where every request passes, one by one as it is sent: there is nothing to give back,
//! and a Coordinator that is killed leaves nothing counted that was not sent.
//!
//! Provisioning's part is shared fairly: a person for whom many requests were made stops before the others do.

use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::tree::BTreeMap;

use serde::Serialize;

use super::error::ApiError;
use crate::base::hash::sha256_hex;
use crate::base::ports::{HttpResponse, Sql, SqlError};
use crate::base::time::Timestamp;

/// What requests are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A crawl: it can wait.
    Sync,
    /// A grant or a revoke: somebody waits.
    Provisioning,
    /// What the doctor tries: somebody waits, and what it meets of what no grant needs stops no grant.
    Doctor,
}

/// Cloudflare counts 1,200 requests in 5 minutes, for each account token, or for each user over all of the user's tokens.
const WINDOW_MILLIS: i64 = 300_000;
const LIMIT: u32 = 1_200;

/// A sync spends 800 of them at most: 2.7 a second, and 5,000 members take about 110.
const SYNC_LIMIT: u32 = 800;

/// A sync leaves 200 to provisioning, about 60 grants at three requests each, whatever else was spent: 1,200 − 200.
const SYNC_TOTAL_LIMIT: u32 = LIMIT - 200;

/// Provisioning leaves 50 for what is not counted here, such as a person at the dashboard with the same user: 1,200 − 50.
const PROVISIONING_TOTAL_LIMIT: u32 = LIMIT - 50;

/// Requests are counted in slots of 30 s. A slot counts until its last request has left the window, so 11 of them count.
const SLOT_MILLIS: i64 = 30_000;

/// Requests for one person within the window: a quarter of what is left may be used for one, so one who is alone gets 230 of
/// 1,150, the next 184, and nobody is turned away before having had 24, which are eight grants.
const PERSON_SHARE: u32 = 4;
const PERSON_MINIMUM: u32 = 24;

/// A remainder below this stops a sync; of a policy with a small quota, a tenth of the quota.
const LOW_REMAINDER: u32 = 60;

/// Waits are at least this long, since not every refusal says how long, and at most an hour, whatever a header says.
const MIN_WAIT_SECS: i64 = 60;
const MAX_WAIT_SECS: i64 = 3_600;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS rate_budget (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL)", &[])
}

/// What is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    v: u32,
    slots: Vec<Slot>,
    /// Provisioning was answered 429; nothing is sent before this.
    #[serde(default)]
    blocked_until: Option<Timestamp>,
    /// The remainder was low, or a sync was answered 429; no sync goes on before this.
    #[serde(default)]
    low_until: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot {
    /// The slot's number since the epoch.
    n: i64,
    sync: u32,
    provisioning: u32,
    /// How many of provisioning's were for whom.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    people: BTreeMap<String, u32>,
}

impl State {
    const VERSION: u32 = 1;

    fn load(sql: &dyn Sql) -> Result<Self, SqlError> {
        let text = sql.text("SELECT state FROM rate_budget WHERE id = 1", &[])?;
        // A state of another version is forgotten: at worst a window's requests are counted again.
        let state = text.and_then(|text| json::read_str::<Self>(&text).ok());
        Ok(state.filter(|state| state.v == Self::VERSION).unwrap_or(Self { v: Self::VERSION, ..Self::default() }))
    }

    fn store(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        let text = serde_json::to_string(self)?;
        sql.run(
            "INSERT INTO rate_budget (id, state) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
            &[text.into()],
        )
    }

    /// Forgets the slots that have left the window; those of the future are of a clock that was set back.
    fn forget_the_past(&mut self, now: Timestamp) {
        let current = now.millis().div_euclid(SLOT_MILLIS);
        let oldest = now.plus_millis(-WINDOW_MILLIS).millis().div_euclid(SLOT_MILLIS);
        self.slots.retain(|slot| (oldest..=current).contains(&slot.n) && slot.sync + slot.provisioning > 0);
    }

    /// Counts a request in a slot.
    fn count(&mut self, n: i64, purpose: Purpose, person: Option<&str>) {
        if !self.slots.iter().any(|slot| slot.n == n) {
            self.slots.push(Slot { n, sync: 0, provisioning: 0, people: BTreeMap::new() });
        }
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.n == n) else { return };
        match purpose {
            Purpose::Sync => slot.sync += 1,
            Purpose::Provisioning | Purpose::Doctor => slot.provisioning += 1,
        }
        if let Some(person) = person {
            *slot.people.entry(person.to_owned()).or_default() += 1;
        }
    }

    /// Whether a person has had a fair share of what is left for all.
    fn had_their_share(&self, person: &str, left: u32) -> bool {
        let used: u32 = self.slots.iter().filter_map(|slot| slot.people.get(person)).sum();
        used >= PERSON_MINIMUM.max(left / PERSON_SHARE)
    }

    fn wait(&self, purpose: Purpose, now: Timestamp) -> Option<Timestamp> {
        let low = if purpose == Purpose::Sync { self.low_until } else { None };
        [self.blocked_until, low].into_iter().flatten().filter(|&until| until > now && until <= latest(now)).max()
    }

    /// How many requests are left for a purpose.
    fn left(&self, purpose: Purpose) -> u32 {
        let sync: u32 = self.slots.iter().map(|slot| slot.sync).sum();
        let total: u32 = sync + self.slots.iter().map(|slot| slot.provisioning).sum::<u32>();
        match purpose {
            Purpose::Sync => SYNC_LIMIT.saturating_sub(sync).min(SYNC_TOTAL_LIMIT.saturating_sub(total)),
            Purpose::Provisioning | Purpose::Doctor => PROVISIONING_TOTAL_LIMIT.saturating_sub(total),
        }
    }
}

/// Nobody is asked to wait for longer: what is noted for later than that was noted by a clock that was ahead.
const fn latest(now: Timestamp) -> Timestamp {
    now.plus_secs(2 * MAX_WAIT_SECS)
}

/// How many requests are left now, for a sync and for provisioning.
pub fn requests_left(sql: &dyn Sql, now: Timestamp) -> Result<(u32, u32), SqlError> {
    let mut state = State::load(sql)?;
    state.forget_the_past(now);
    let left = |purpose| if state.wait(purpose, now).is_some() { 0 } else { state.left(purpose) };
    Ok((left(Purpose::Sync), left(Purpose::Provisioning)))
}

/// A client's share of the budget.
pub(super) struct Budget<'a> {
    sql: &'a dyn Sql,
    purpose: Purpose,
    person: Option<String>,
}

impl std::fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

impl<'a> Budget<'a> {
    pub(super) fn new(sql: &'a dyn Sql, purpose: Purpose) -> Self {
        Self { sql, purpose, person: None }
    }

    /// Counts what is sent from now on as sent for a person, of whom only a digest is kept.
    pub(super) fn for_person(&mut self, person: &str) {
        self.person = Some(sha256_hex(person.as_bytes()).chars().take(12).collect());
    }

    /// Counts one request that is about to be sent.
    pub(super) fn spend(&mut self, now: Timestamp) -> Result<(), ApiError> {
        let mut state = State::load(self.sql)?;
        if let Some(until) = state.wait(self.purpose, now) {
            return Err(ApiError::OutOfBudget { until });
        }
        let current = now.millis().div_euclid(SLOT_MILLIS);
        state.forget_the_past(now);
        let left = state.left(self.purpose);
        let person = self.person.as_deref();
        if left == 0 || person.is_some_and(|person| state.had_their_share(person, left)) {
            // The oldest slot leaves the window first.
            let first = state.slots.iter().map(|slot| slot.n).min().unwrap_or(current);
            let until = Timestamp::from_millis((first + 1) * SLOT_MILLIS + WINDOW_MILLIS);
            return Err(ApiError::OutOfBudget { until });
        }
        state.count(current, self.purpose, person);
        Ok(state.store(self.sql)?)
    }

    /// Takes note of what an answer says of the rate, and tells when to try again after a 429.
    pub(super) fn observe(
        &self,
        response: &HttpResponse,
        body_wait: Option<i64>,
        now: Timestamp,
    ) -> Result<Timestamp, SqlError> {
        let limits = response.header("ratelimit").map(parse_limits).unwrap_or_default();
        let quotas = response.header("ratelimit-policy").map(parse_limits).unwrap_or_default();
        let quota = |name: &str| quotas.iter().find(|limit| limit.name == name).and_then(|limit| limit.quota);
        let threshold = |name: &str| quota(name).map_or(LOW_REMAINDER, |quota| LOW_REMAINDER.min(quota / 10));
        let low: Vec<&Limit> = limits
            .iter()
            .filter(|limit| limit.remaining.is_some_and(|remaining| remaining < threshold(&limit.name)))
            .collect();
        let reset = low.iter().filter_map(|limit| limit.reset).max();
        let asked = response.header("retry-after").and_then(|text| wait_of(text, now)).or(body_wait);
        let wait = asked.into_iter().chain(reset).max().unwrap_or(0).clamp(MIN_WAIT_SECS, MAX_WAIT_SECS);
        let until = now.plus_secs(wait);
        let refused = response.status == 429;
        if refused || !low.is_empty() {
            let mut state = State::load(self.sql)?;
            let (known, until) = match self.purpose {
                Purpose::Provisioning if refused => (&mut state.blocked_until, until),
                // It may be of one list alone that no grant needs, and for longer than all would be refused.
                _ if refused => (&mut state.low_until, until.min(now.plus_millis(WINDOW_MILLIS))),
                _ => (&mut state.low_until, until),
            };
            // Requests in flight together all say the same; one row is enough.
            if known.is_none_or(|known| known.plus_secs(1) < until || known > latest(now)) {
                *known = Some(until);
                state.store(self.sql)?;
            }
        }
        Ok(until)
    }
}

/// One item of `Ratelimit` or `Ratelimit-Policy`, such as `"default";r=50;t=30` or `"burst";q=100;w=60`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Limit {
    name: String,
    remaining: Option<u32>,
    reset: Option<i64>,
    quota: Option<u32>,
}

fn parse_limits(header: &str) -> Vec<Limit> {
    header.split(',').map(parse_limit).collect()
}

fn parse_limit(item: &str) -> Limit {
    let mut parts = item.split(';').map(str::trim);
    let mut limit = Limit { name: parts.next().unwrap_or_default().trim_matches('"').to_owned(), ..Limit::default() };
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key.trim() {
            "r" => limit.remaining = value.trim().parse().ok(),
            "t" => limit.reset = value.trim().parse().ok(),
            "q" => limit.quota = value.trim().parse().ok(),
            _ => {}
        }
    }
    limit
}

/// `retry-after` in seconds: a number, or an HTTP date.
fn wait_of(text: &str, now: Timestamp) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| Some(Timestamp::parse_http_date(text)?.since(now).div_euclid(1000) + 1))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Budget, Limit, Purpose, parse_limits};
    use crate::base::ports::{HttpResponse, Sql, SqlError, SqlValue};
    use crate::base::time::Timestamp;
    use crate::cloudflare::ApiError;

    /// One row, which is all that the budget keeps.
    #[derive(Default)]
    struct OneRow(RefCell<Option<SqlValue>>);

    impl Sql for OneRow {
        fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
            let mut row = self.0.borrow_mut();
            if statement.starts_with("INSERT") {
                *row = params.first().cloned();
            }
            Ok(row.clone().map(|value| vec![value]).into_iter().collect())
        }

        fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
            work()
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    /// Spends until the budget refuses; how many that were, and when it may go on.
    fn spend_all(sql: &OneRow, purpose: Purpose, now: Timestamp) -> (u32, Timestamp) {
        let mut budget = Budget::new(sql, purpose);
        for spent in 0..5_000 {
            match budget.spend(now) {
                Ok(()) => {}
                Err(ApiError::OutOfBudget { until }) => return (spent, until),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the budget has no bound");
    }

    fn answer(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpResponse { status, headers, body: Vec::new() }
    }

    #[test]
    fn a_sync_stops_at_its_share_and_provisioning_goes_on() {
        let sql = OneRow::default();
        let (spent, until) = spend_all(&sql, Purpose::Sync, at(0));
        assert_eq!(spent, 800);
        assert!(until > at(300) && until <= at(330), "{until}");
        assert_eq!(spend_all(&sql, Purpose::Provisioning, at(1)).0, 350);
        assert_eq!(spend_all(&sql, Purpose::Sync, at(299)).0, 0);
        assert_eq!(spend_all(&sql, Purpose::Sync, at(331)).0, 800);
    }

    #[test]
    fn a_sync_leaves_the_reserve_untouched() {
        let sql = OneRow::default();
        let mut budget = Budget::new(&sql, Purpose::Provisioning);
        for _ in 0..400 {
            budget.spend(at(0)).unwrap();
        }
        drop(budget);
        assert_eq!(spend_all(&sql, Purpose::Sync, at(1)).0, 600);
    }

    #[test]
    fn a_coordinator_that_is_killed_twenty_times_leaves_nothing_counted_that_was_not_sent() {
        let sql = OneRow::default();
        for _ in 0..20 {
            for purpose in [Purpose::Sync, Purpose::Provisioning] {
                let mut budget = Budget::new(&sql, purpose);
                (0..3).for_each(|_| budget.spend(at(0)).unwrap());
                // A Coordinator that is killed drops nothing.
                std::mem::forget(budget);
            }
        }
        assert_eq!(spend_all(&sql, Purpose::Sync, at(1)).0, 800 - 20 * 3);
        assert_eq!(spend_all(&sql, Purpose::Provisioning, at(1)).0, 1150 - 800 - 20 * 3);
    }

    #[test]
    fn one_person_does_not_use_up_what_is_for_all() {
        let sql = OneRow::default();
        let spend_for = |person: &str, at_most: usize| {
            let mut budget = Budget::new(&sql, Purpose::Provisioning);
            budget.for_person(person);
            (0..at_most).take_while(|_| budget.spend(at(0)).is_ok()).count()
        };
        let greedy: Vec<_> = ["a", "b", "c", "d"].map(|person| spend_for(person, 5_000)).into();
        assert!(greedy[0] > 200 && greedy.iter().sum::<usize>() < 800, "{greedy:?}");
        assert_eq!(spend_for("a", 1), 0);
        for other in 0..20 {
            assert_eq!(spend_for(&format!("other {other}"), 15), 15, "{other}");
        }
        let stored = sql.0.borrow().clone().unwrap();
        assert!(!format!("{stored:?}").contains("other"), "only digests of people are kept");
    }

    #[test]
    fn what_a_clock_that_was_ahead_has_noted_stops_nothing() {
        let sql = OneRow::default();
        let budget = Budget::new(&sql, Purpose::Provisioning);
        budget.observe(&answer(429, &[("retry-after", "3600")]), None, at(100_000)).unwrap();
        assert!(spend_all(&sql, Purpose::Provisioning, at(100_001)).0 == 0, "the control");
        Budget::new(&sql, Purpose::Provisioning).spend(at(1)).unwrap();
        budget.observe(&answer(429, &[("retry-after", "90")]), None, at(1)).unwrap();
        assert_eq!(spend_all(&sql, Purpose::Provisioning, at(2)), (0, at(91)), "what is said now counts");
    }

    #[test]
    fn a_low_remainder_and_a_429_of_a_syncs_own_stop_a_sync_only_and_a_429_of_provisionings_stops_all() {
        let sql = OneRow::default();
        let budget = Budget::new(&sql, Purpose::Sync);
        budget.observe(&answer(200, &[("ratelimit", "\"default\";r=59;t=90")]), None, at(0)).unwrap();
        assert_eq!(spend_all(&sql, Purpose::Sync, at(1)), (0, at(90)));
        Budget::new(&sql, Purpose::Provisioning).spend(at(1)).unwrap();

        let refused = answer(429, &[("retry-after", "299")]);
        budget.observe(&refused, None, at(2)).unwrap();
        assert_eq!(spend_all(&sql, Purpose::Sync, at(3)), (0, at(301)));
        Budget::new(&sql, Purpose::Doctor).observe(&refused, None, at(3)).unwrap();
        for purpose in [Purpose::Doctor, Purpose::Provisioning] {
            Budget::new(&sql, purpose).spend(at(3)).unwrap();
        }

        Budget::new(&sql, Purpose::Provisioning).observe(&refused, None, at(4)).unwrap();
        for purpose in [Purpose::Sync, Purpose::Provisioning] {
            assert_eq!(spend_all(&sql, purpose, at(5)), (0, at(303)));
        }
        assert_eq!(spend_all(&sql, Purpose::Provisioning, at(303)).0, 1147);
    }

    #[test]
    fn what_one_list_wants_to_be_left_alone_for_stops_a_sync_no_longer_than_a_refusal_of_all() {
        let sql = OneRow::default();
        let refused = answer(429, &[("retry-after", "3600")]);
        let until = Budget::new(&sql, Purpose::Sync).observe(&refused, None, at(0)).unwrap();
        assert_eq!(until, at(3600), "the list itself is left alone for as long as it says");
        assert_eq!(spend_all(&sql, Purpose::Sync, at(1)), (0, at(300)));
        // The control: what a grant needs is for all.
        Budget::new(&sql, Purpose::Provisioning).observe(&refused, None, at(2)).unwrap();
        assert_eq!(spend_all(&sql, Purpose::Sync, at(1000)), (0, at(3602)));
    }

    #[test]
    fn waits_are_read_from_wherever_they_are_told() {
        let sql = OneRow::default();
        let budget = Budget::new(&sql, Purpose::Sync);
        let until =
            |status, headers: &[(&str, &str)], body| budget.observe(&answer(status, headers), body, at(0)).unwrap();
        assert_eq!(until(429, &[], None), at(60));
        assert_eq!(until(429, &[("retry-after", "7")], None), at(60));
        assert_eq!(until(429, &[("retry-after", "120"), ("ratelimit", "\"default\";r=0;t=200")], None), at(200));
        assert_eq!(until(429, &[], Some(100)), at(100));
        assert_eq!(until(429, &[("retry-after", "99999999")], None), at(3600));
    }

    #[test]
    fn a_small_quota_is_low_at_a_tenth() {
        let sql = OneRow::default();
        let budget = Budget::new(&sql, Purpose::Sync);
        let headers = [("ratelimit", "\"burst\";r=40;t=30"), ("ratelimit-policy", "\"burst\";q=100;w=60")];
        budget.observe(&answer(200, &headers), None, at(0)).unwrap();
        assert_eq!(spend_all(&sql, Purpose::Sync, at(1)).0, 800);
    }

    #[test]
    fn limits_are_lists_and_unknown_parts_are_passed_over() {
        assert_eq!(
            parse_limits("\"default\";r=50;t=30, \"burst\";q=100;w=60;x"),
            [
                Limit { name: "default".into(), remaining: Some(50), reset: Some(30), quota: None },
                Limit { name: "burst".into(), remaining: None, reset: None, quota: Some(100) },
            ]
        );
    }
}
