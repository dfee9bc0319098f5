//! The signs of life that rows show: as of one moment of each day, so that an account in which nothing else changed has the same rows all
//! day long. And for how long somebody gave none, as of now.
//!
//! **Invariant:** who is silent is known by a source that was read lately; of whom no source tells nothing is known, and that is no silence.

use super::{activity, feed, logins};
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::model::id::UserId;
use crate::model::signs::Signs;

/// What was not read for longer says nothing any more.
const BELIEVED_SECS: i64 = 3 * 86_400;

/// What rows show of people's signs of life.
#[derive(Debug, Default)]
pub struct Shown {
    logins: logins::Known,
    changes: BTreeMap<UserId, Signs>,
}

/// In a text, what rows show of people's signs of life: it differs where that does.
pub fn shown_by(sql: &dyn Sql, now: Timestamp) -> Result<Option<String>, SqlError> {
    let Some(state) = logins::state(sql)? else { return Ok(None) };
    let fresh = is_fresh(sql, now)?;
    Ok(Some(format!("{:?} {:?} {} {fresh}", state.read_at, state.log_read_until, state.shown)))
}

/// Whether the log of changes was read lately.
fn is_fresh(sql: &dyn Sql, now: Timestamp) -> Result<bool, SqlError> {
    let fresh = |until: Timestamp| now.since(until) < BELIEVED_SECS * 1_000;
    Ok(feed::state(sql)?.and_then(|state| state.read_until).is_some_and(fresh))
}

impl Shown {
    /// Loads it.
    pub fn load(sql: &dyn Sql, now: Timestamp) -> Result<Self, SqlError> {
        let oldest = now.plus_secs(-BELIEVED_SECS).date();
        let day = logins::state(sql)?.map(|state| state.shown).filter(|day| *day >= oldest);
        let changes = match day {
            Some(day) if is_fresh(sql, now)? => activity::shown(sql, &day)?,
            _ => BTreeMap::new(),
        };
        // However long ago it was read: C1's automation acts on whoever has no last login, and would act on everybody at once.
        Ok(Self { logins: logins::Known::load(sql, None)?, changes })
    }

    /// A person's.
    pub fn of(&self, user: UserId, email: &str) -> Signs {
        let mut signs = self.changes.get(&user).cloned().unwrap_or_default();
        signs.last_login_day = self.logins.of(user, email);
        signs
    }
}

/// What tells of people's silence.
#[derive(Debug, Default)]
pub struct Watch {
    logins: logins::Known,
    changes: BTreeMap<UserId, Timestamp>,
    /// Since when the log of changes is read without a gap; nothing where it was not read lately.
    pub(crate) log_since: Option<Timestamp>,
}

/// Since when somebody gave no sign of life, by each of the sources that can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// The last login: the end of its day.
    pub since_login: Option<Timestamp>,
    /// Nothing was changed since then.
    pub since_change: Option<Timestamp>,
    /// The last change that is known, whether the log is read now or not.
    pub(crate) last_change: Option<Timestamp>,
}

impl Watch {
    /// Loads what is known now.
    pub fn load(sql: &dyn Sql, now: Timestamp) -> Result<Self, SqlError> {
        let log_since = if is_fresh(sql, now)? { feed::state(sql)?.and_then(|state| state.since) } else { None };
        Ok(Self { logins: logins::Known::load(sql, Some(now))?, changes: activity::last_changes(sql)?, log_since })
    }

    /// Somebody's silence. Who changed nothing since the log is read may have done so before.
    pub fn silence(&self, user: UserId, email: &str) -> Silence {
        let login = self.logins.of(user, email).and_then(|day| Timestamp::parse(&day));
        let change = self.changes.get(&user).copied();
        Silence {
            since_login: login.map(|day| day.plus_secs(86_400)),
            since_change: self.log_since.map(|since| change.map_or(since, |at| at.max(since))),
            last_change: change,
        }
    }
}

impl Silence {
    /// How many days it lasts, by all sources that can tell; `None` where none can. A change that is known was one, also where the log is not read any
    /// more.
    pub fn days(self, now: Timestamp) -> Option<i64> {
        let last = Some(self.since_login.max(self.since_change)?).max(self.last_change)?;
        Some(now.since(last).div_euclid(86_400_000).max(0))
    }
}
