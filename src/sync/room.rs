//! How much room there is for publications: how soon one may follow another, and on the Free plan what the day's writes to KV leave.

use serde::Serialize;

use super::state;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::Timestamp;

/// Publications come at most this often.
pub(super) const APART_SECS: i64 = 20;

/// On the Free plan, with 1,000 writes to KV a day, each takes this many seconds to be earned, which are 800 a day. A publication counts for
/// five until it is known how many it took; twelve of those may be saved up. What sweeps write counts as well: publications wait until that
/// is earned, and so does the cron trigger's next sweep where it would take more than [`SWEEP_OWES_SECS`].
const WRITE_SECS: i64 = 108;
const FREE_EVERY_SECS: i64 = USUAL_WRITES * WRITE_SECS;
pub(super) const USUAL_WRITES: i64 = 5;
const FREE_AT_ONCE: i64 = 12;

/// The seconds that a sweep may begin with as a debt: 66 writes.
const SWEEP_OWES_SECS: i64 = 2 * 60 * 60;

/// How much room there is for publications.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Room {
    last: Timestamp,
    /// Seconds saved up, or owed.
    saved: i64,
}

/// From when on there is room for a publication; `None` where there always was.
pub(super) fn from<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<Option<Timestamp>, SqlError> {
    let wait = |room: Room| match plan {
        Plan::Paid => APART_SECS,
        Plan::Free => APART_SECS.max(FREE_EVERY_SECS - room.saved),
    };
    Ok(state::load::<Room>(ports, state::ROOM)?.map(|room| room.last.plus_secs(wait(room))))
}

/// Whether there is room now, whatever is under way.
pub(super) fn is_free<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    Ok(from(ports, plan)?.is_none_or(|from| from <= ports.now()))
}

/// Whether a sweep that nobody asked for should wait until more writes are earned. On the Paid plan nothing is owed, and once the plan is another no more than the last sweep wrote.
pub fn owes_too_much<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    if plan == Plan::Paid {
        state::remove(ports, state::ROOM)?;
    }
    let room = state::load::<Room>(ports, state::ROOM)?;
    Ok(saved(room, ports.now()) < -SWEEP_OWES_SECS)
}

/// Notes that a publication takes its room; gives what there was before. What was written before on the Paid plan is not owed.
pub(super) fn take<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<Option<Room>, SqlError> {
    let (now, before) = (ports.now(), state::load::<Room>(ports, state::ROOM)?);
    let owed = before.filter(|_| plan == Plan::Free);
    state::store(ports, state::ROOM, &Room { last: now, saved: saved(owed, now) - FREE_EVERY_SECS })?;
    Ok(before)
}

/// Notes how many values were written, a sweep's among them: whoever writes next waits for as long as they take to be earned.
pub(super) fn charge<P: Sql + Clock>(ports: &P, writes: i64) -> Result<(), SqlError> {
    charge_at(ports, ports.now(), writes)
}

fn charge_at(sql: &dyn Sql, now: Timestamp, writes: i64) -> Result<(), SqlError> {
    let before = state::load::<Room>(sql, state::ROOM)?;
    let last = before.map_or(now, |room| room.last);
    let saved = (saved(before, now) - writes.min(MOST_OWED) * WRITE_SECS).max(-MOST_OWED);
    // By now that is what it comes to: what is earned counts from the last publication on.
    state::store(sql, state::ROOM, &Room { last, saved: saved - now.since(last) / 1_000 })
}

/// Gives the room back that nothing was written for. The next try is [`APART_SECS`] away all the same: what calls for a sweep calls for it
/// until that comes, and would be tried without end.
pub(super) fn give_back<P: Sql + Clock>(ports: &P, before: Option<Room>) -> Result<(), SqlError> {
    state::store(ports, state::TRIED, &ports.now())?;
    match before {
        Some(room) => state::store(ports, state::ROOM, &room),
        None => state::remove(ports, state::ROOM),
    }
}

/// The seconds that are saved up by now.
fn saved(before: Option<Room>, now: Timestamp) -> i64 {
    const MOST: i64 = FREE_AT_ONCE * FREE_EVERY_SECS;
    before.map_or(MOST, |room| (room.saved + now.since(room.last) / 1_000).clamp(-MOST_OWED, MOST))
}

/// What a day's writes take to be earned: after that the day is another one.
const MOST_OWED: i64 = 86_400;

/// Takes the room for what a sweep publishes that the audit log calls for; whether there is any.
pub fn take_for_sweep<P: Sql + Clock>(ports: &P, plan: Plan) -> Result<bool, SqlError> {
    let is_free = is_free(ports, plan)?;
    if is_free {
        take(ports, plan)?;
    }
    Ok(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fakes::Desk;

    #[test]
    fn what_a_sweep_writes_is_owed_however_long_ago_the_last_small_publication_was() {
        let desk = Desk::default();
        crate::sync::init(&desk).unwrap();
        charge(&desk, 1).unwrap();
        desk.advance(3 * 86_400);
        charge(&desk, 200).unwrap();
        assert!(owes_too_much(&desk, Plan::Free).unwrap());
        // It is earned in time, and more than a day's writes are never owed.
        desk.advance(200 * WRITE_SECS);
        assert!(!owes_too_much(&desk, Plan::Free).unwrap());
        charge(&desk, 100_000).unwrap();
        assert!(owes_too_much(&desk, Plan::Free).unwrap());
        desk.advance(MOST_OWED);
        assert!(!owes_too_much(&desk, Plan::Free).unwrap());
    }

    #[test]
    fn what_was_written_on_the_paid_plan_is_not_owed_on_the_free_plan() {
        for (plan, is_owed) in [(Plan::Paid, false), (Plan::Free, true)] {
            for is_sweep in [false, true] {
                let desk = Desk::default();
                crate::sync::init(&desk).unwrap();
                for _ in 0..300 {
                    desk.advance(60);
                    if is_sweep {
                        // As the cron trigger asks before it begins one.
                        owes_too_much(&desk, plan).unwrap();
                        charge(&desk, USUAL_WRITES).unwrap();
                    } else {
                        take(&desk, plan).unwrap();
                    }
                }
                assert_eq!(owes_too_much(&desk, Plan::Free).unwrap(), is_owed, "{plan:?}, by sweeps: {is_sweep}");
            }
        }
    }
}
