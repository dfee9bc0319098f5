//! The signs of life that rows show: as of one moment of each day, so that an account in which nothing else changed has the same rows all
//! day long.

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
    let (believed, fresh) = (state.is_believed(now), is_fresh(sql, now)?);
    Ok(Some(format!("{:?} {:?} {} {believed} {fresh}", state.read_at, state.log_read_until, state.shown)))
}

/// Whether the log of changes was read lately.
fn is_fresh(sql: &dyn Sql, now: Timestamp) -> Result<bool, SqlError> {
    let fresh = |until: Timestamp| now.since(until) < BELIEVED_SECS * 1_000;
    Ok(feed::state(sql)?.and_then(|state| state.read_until).is_some_and(fresh))
}

impl Shown {
    /// Loads it.
    pub fn load(sql: &dyn Sql, now: Timestamp) -> Result<Self, SqlError> {
        let day = logins::state(sql)?.map(|state| state.shown);
        let changes = match day {
            Some(day) if is_fresh(sql, now)? => activity::shown(sql, &day)?,
            _ => BTreeMap::new(),
        };
        Ok(Self { logins: logins::Known::load(sql, now)?, changes })
    }

    /// A person's.
    pub fn of(&self, user: UserId, email: &str) -> Signs {
        let mut signs = self.changes.get(&user).cloned().unwrap_or_default();
        signs.last_login_day = self.logins.of(user, email);
        signs
    }
}
