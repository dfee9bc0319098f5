//! How many revokes and removals there may be within an hour. Each takes its place on disk before Cloudflare is asked for
//! anything, so that many at once count each other; the place is given back only where it is certain that nothing was written.
//!
//! **Invariants:** a place is taken in one statement; an operation that is put off keeps its own where something was sent for it, and for no longer than
//! an hour once it has changed what it was to change: it may wait for one that waits for this place; what comes to nothing before anything is sent keeps
//! neither a place nor anybody behind it; accounts (and Super Administrators) have a count of their own, which revokes of roles do not use up; who waits
//! for a place sends nothing before its turn.

use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows::is_table;
use crate::base::time::Timestamp;
use crate::model::operation::EntryId;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// A role, the membership of a group, an invitation that is renewed.
    Access,
    /// A membership of the account, or Super Administrator.
    Account,
}

impl Count {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Account => "account",
        }
    }
}

/// The time within which removals are counted.
pub(super) const WINDOW_SECS: i64 = 60 * 60;

/// When one that found no place looks again at the soonest.
const SOONEST_SECS: i64 = 30;

/// The same at the latest. Places of operations that are put off may be given back at any time.
const LATEST_SECS: i64 = 5 * 60;

/// The same of one that has twice as many before it as there are places: its turn is far off, and all that it may find is
/// another configuration.
const LOOK_SELDOM_SECS: i64 = 15 * 60;

/// Once its turn has come, an operation fails this often at most before its age counts, however long it waited.
const FEW_TIMES: i64 = 20;

/// Numbers as SQL has them, of which longer statements are made.
macro_rules! number {
    (tried_in_vain) => {
        "4"
    };
    (no_place) => {
        "-1"
    };
    (in_line) => {
        "-2"
    };
}

/// After so many attempts that came to nothing an operation takes up no room: it is tried every few minutes at most.
pub(super) const TRIED_IN_VAIN: &str = number!(tried_in_vain);

/// The `writes` of an operation that has nothing to do but to wait for a place. Beside one that found none, or came to nothing with it, stands
/// `no_place`: that one keeps nobody waiting.
pub(super) const IN_LINE: &str = number!(in_line);

/// Those that count: written within the hour, which began at `?1`, or of an operation that is not settled yet and may still write, or waits for a place;
/// one that failed again and again lets others pass meanwhile.
const COUNTS: &str = concat!(
    "(removal.writes >= 0 AND removal.at > ?1 OR EXISTS \
        (SELECT 1 FROM operation WHERE operation.id = removal.operation AND operation.outcome IS NULL \
            AND CASE WHEN removal.writes < 0 THEN operation.put_offs < ",
    number!(tried_in_vain),
    " ELSE operation.carried_out = 0 END))"
);

/// Those before the operation `?2` among what is counted as `?3`: who has a place, and who came earlier and waits for one.
const AHEAD: &str =
    concat!("count = ?3 AND operation <> ?2 AND writes <> ", number!(no_place), " AND (writes >= 0 OR operation < ?2)");

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    if is_table(sql, "removal")? {
        return Ok(());
    }
    sql.run(
        "CREATE TABLE removal ( \
            operation INTEGER NOT NULL, count TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, at INTEGER NOT NULL, \
            writes INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (operation, count)) WITHOUT ROWID",
        &[],
    )?;
    // What was done before there was this table counts as well.
    sql.query(
        "INSERT INTO removal (operation, count, at, writes) \
         SELECT id, CASE json_extract(outcome, '$.effect') WHEN 'removed' THEN 'account' ELSE 'access' END, settled_at, 1 \
         FROM operation WHERE settled_at IS NOT NULL AND json_extract(outcome, '$.effect') IN ('revoked', 'removed', 'renewed') \
         ORDER BY settled_at DESC LIMIT 1000",
        &[],
    )?;
    Ok(())
}

/// Takes an operation's place among at most `most`; one that has a place keeps it. Otherwise the time at which to look again.
pub(super) fn reserve(
    sql: &dyn Sql,
    operation: EntryId,
    count: Count,
    most: i64,
    now: Timestamp,
) -> Result<Result<(), Timestamp>, SqlError> {
    let since = now.plus_secs(-WINDOW_SECS);
    sql.run(
        "DELETE FROM removal WHERE at <= ? AND NOT EXISTS \
            (SELECT 1 FROM operation WHERE operation.id = removal.operation AND operation.outcome IS NULL)",
        &[since.into()],
    )?;
    let is_taken = sql.has(
        &format!(
            "INSERT INTO removal (operation, count, at) \
             SELECT ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM removal WHERE operation = ?2 AND count = ?3 AND writes >= 0 AND {COUNTS}) \
                OR (SELECT COUNT(*) FROM removal WHERE {AHEAD} AND {COUNTS}) < ?5 \
             ON CONFLICT (operation, count) DO UPDATE SET at = MAX(at, excluded.at), writes = MAX(writes, 0) RETURNING operation"
        ),
        &[since.into(), operation.0.into(), count.as_str().into(), now.into(), most.into()],
    )?;
    if is_taken {
        return Ok(Ok(()));
    }
    sql.run(
        concat!(
            "INSERT INTO removal (operation, count, at, writes) VALUES (?, ?, ?, ",
            number!(no_place),
            ") ON CONFLICT (operation, count) DO UPDATE SET writes = MIN(writes, excluded.writes)"
        ),
        &[operation.0.into(), count.as_str().into(), now.into()],
    )?;
    let again = look_again(sql, operation, count.as_str(), most, now)?;
    Ok(Err(again.unwrap_or(now.plus_secs(SOONEST_SECS))))
}

/// When an operation looks again for a place among at most `most`; nothing where there is room for it. Nothing is taken.
fn look_again(
    sql: &dyn Sql,
    operation: EntryId,
    count: &str,
    most: i64,
    now: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    let since = now.plus_secs(-WINDOW_SECS);
    let number = |statement: &str, most: i64| {
        sql.number(statement, &[since.into(), operation.0.into(), count.into(), most.into()])
    };
    // Hundreds may wait, and none of them goes through all of the others.
    let many = most.saturating_mul(2);
    let ahead = format!("SELECT COUNT(*) FROM (SELECT 1 FROM removal WHERE {AHEAD} AND {COUNTS} LIMIT ?4)");
    let ahead = number(&ahead, many)?.unwrap_or(0);
    if ahead < most {
        return Ok(None);
    }
    // By then so many are free that those who came before have theirs, and nobody wakes who would be too early.
    let free = "SELECT at FROM removal WHERE count = ?3 AND operation <> ?2 AND writes >= 0 AND at > ?1 ORDER BY at LIMIT 1 OFFSET ?4";
    let free = number(free, ahead - most)?;
    let latest = now.plus_secs(if ahead < many { LATEST_SECS } else { LOOK_SELDOM_SECS });
    let free = free.map_or(latest, |at| Timestamp::from_millis(at).plus_secs(WINDOW_SECS).plus_millis(1));
    Ok(Some(free.clamp(now.plus_secs(SOONEST_SECS), latest)))
}

/// Notes that an operation that found no place has nothing to do but to wait for one; whether that is new.
pub(super) fn stand_in_line(sql: &dyn Sql, operation: EntryId) -> Result<bool, SqlError> {
    let statement = concat!(
        "UPDATE removal SET writes = ",
        number!(in_line),
        " WHERE operation = ? AND writes = ",
        number!(no_place),
        " RETURNING operation"
    );
    sql.has(statement, &[operation.0.into()])
}

/// Among what an operation waits for a place and does nothing else: among nothing, mostly.
pub(super) fn waits(sql: &dyn Sql, operation: EntryId) -> Result<Vec<Vec<SqlValue>>, SqlError> {
    sql.query(
        concat!("SELECT count FROM removal WHERE operation = ? AND writes = ", number!(in_line)),
        &[operation.0.into()],
    )
}

/// When an operation that [`waits`] so for a place among at most `most` looks again; nothing where its turn has come.
pub(super) fn before_its_turn(
    sql: &dyn Sql,
    operation: EntryId,
    waits: &[Vec<SqlValue>],
    most: i64,
    now: Timestamp,
) -> Result<Option<Timestamp>, SqlError> {
    let mut again = None;
    for row in waits {
        let count = row.first().and_then(SqlValue::text).unwrap_or_default();
        again = look_again(sql, operation, count, most, now)?;
        if again.is_none() {
            break;
        }
    }
    Ok(again)
}

/// Whether an operation has a place, or waits for one, and failed a few times at most: then the time went by before its turn.
pub fn waited_for_room(sql: &dyn Sql, operation: EntryId) -> Result<bool, SqlError> {
    let statement = "SELECT 1 FROM removal JOIN operation ON operation.id = removal.operation WHERE removal.operation = ? AND put_offs <= ?";
    sql.has(statement, &[operation.0.into(), FEW_TIMES.into()])
}

/// How many count at the moment.
pub(super) fn counted(sql: &dyn Sql, count: Count, now: Timestamp) -> Result<i64, SqlError> {
    let counted = sql.number(
        &format!("SELECT COUNT(*) FROM removal WHERE count = ?2 AND writes >= 0 AND {COUNTS}"),
        &[now.plus_secs(-WINDOW_SECS).into(), count.as_str().into()],
    )?;
    Ok(counted.unwrap_or_default())
}

/// Notes that a write of the operation is about to be sent: from now on its place is its own for an hour. Also where the only one was given back
/// meanwhile: what puts a late write right goes on beside the operation's own attempts.
pub(super) fn sent(sql: &dyn Sql, operation: EntryId, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE removal SET writes = MAX(writes, 0) + 1, at = MAX(at, ?1) \
         WHERE operation = ?2 AND writes >= MIN(0, (SELECT MAX(writes) FROM removal WHERE operation = ?2))",
        &[now.into(), operation.0.into()],
    )
}

/// Notes that a write was refused: nothing was changed by it.
pub(super) fn not_carried_out(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.run("UPDATE removal SET writes = writes - 1 WHERE operation = ? AND writes > 0", &[operation.0.into()])
}

/// Gives the places of an operation back that is over, or came to nothing, where nothing was written for it. That it had its turn, or waits for it, stays
/// known ([`waited_for_room`]).
pub(super) fn give_back(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.run(
        concat!("UPDATE removal SET writes = ", number!(no_place), " WHERE operation = ? AND writes <= 0"),
        &[operation.0.into()],
    )
}

/// Gives one place back, where nothing was written for it.
pub(super) fn give_back_one(sql: &dyn Sql, operation: EntryId, count: Count) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM removal WHERE operation = ? AND count = ? AND writes <= 0",
        &[operation.0.into(), count.as_str().into()],
    )
}

#[cfg(test)]
mod tests {
    use super::{
        Count, before_its_turn, counted, give_back, not_carried_out, reserve, sent, stand_in_line, waited_for_room,
        waits,
    };
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock as _, Sql as _};
    use crate::provision::journal::{self, EntryId};

    fn desk() -> Desk {
        let desk = Desk::new();
        journal::init(&desk).unwrap();
        desk
    }

    /// With as many operations that are put off.
    fn with_operations(count: i64) -> Desk {
        let desk = desk();
        for id in 1..=count {
            desk.query(
                "INSERT INTO operation (id, key, state, request, received_at) VALUES (?1, ?1, 'put_off', '{}', 0)",
                &[id.into()],
            )
            .unwrap();
        }
        desk
    }

    fn takes(desk: &Desk, id: i64, count: Count) -> bool {
        reserve(desk, EntryId(id), count, 2, desk.now()).unwrap().is_ok()
    }

    /// Takes a place, writes, and is settled.
    fn carries_out(desk: &Desk, id: i64) {
        assert!(takes(desk, id, Count::Access));
        sent(desk, EntryId(id), desk.now()).unwrap();
        desk.query("UPDATE operation SET outcome = '{}' WHERE id = ?", &[id.into()]).unwrap();
    }

    #[test]
    fn there_are_as_many_places_as_allowed_and_one_may_be_taken_twice_by_the_same() {
        let desk = desk();
        assert!(takes(&desk, 1, Count::Access) && takes(&desk, 2, Count::Access));
        assert!(!takes(&desk, 3, Count::Access));
        assert!(takes(&desk, 1, Count::Access), "its own");
        assert!(takes(&desk, 3, Count::Account), "another count");
    }

    #[test]
    fn a_place_is_given_back_only_where_nothing_was_written() {
        let desk = desk();
        assert!(takes(&desk, 1, Count::Access) && takes(&desk, 2, Count::Access));
        sent(&desk, EntryId(1), desk.now()).unwrap();
        give_back(&desk, EntryId(1)).unwrap();
        assert!(!takes(&desk, 3, Count::Access), "it may have been carried out");
        not_carried_out(&desk, EntryId(1)).unwrap();
        give_back(&desk, EntryId(1)).unwrap();
        assert!(takes(&desk, 3, Count::Access));
        desk.advance(3_601);
        assert!(takes(&desk, 4, Count::Access) && takes(&desk, 5, Count::Access), "an hour later");
    }

    #[test]
    fn who_waits_for_a_place_gets_it_before_those_who_came_later() {
        let desk = with_operations(5);
        for id in 1..=2 {
            carries_out(&desk, id);
        }
        assert!(!takes(&desk, 3, Count::Access) && stand_in_line(&desk, EntryId(3)).unwrap());
        assert_eq!(counted(&desk, Count::Access, desk.now()), Ok(2), "who waits is not counted");
        desk.advance(3_601);
        assert!(takes(&desk, 4, Count::Access), "there is room for both");
        assert!(!takes(&desk, 5, Count::Access), "the other place is the third one's");
        assert!(takes(&desk, 3, Count::Access));
        // One that is over waits no more.
        desk.query("UPDATE operation SET outcome = '{}' WHERE id <= 5", &[]).unwrap();
        for id in 3..=5 {
            give_back(&desk, EntryId(id)).unwrap();
        }
        assert!(takes(&desk, 6, Count::Access) && takes(&desk, 7, Count::Access));
    }

    /// Hundreds may wait: none of them looks while it cannot be its turn, and whoever is far behind looks seldom.
    #[test]
    fn who_waits_looks_again_when_as_many_places_are_free_as_there_are_before_it() {
        let desk = with_operations(6);
        let began = desk.now();
        for id in 1..=2 {
            carries_out(&desk, id);
            desk.advance(60);
        }
        for id in 3..=6 {
            assert!(!takes(&desk, id, Count::Access) && waits(&desk, EntryId(id)).unwrap().is_empty());
            let is_new = || stand_in_line(&desk, EntryId(id)).unwrap();
            assert!(is_new() && !is_new() && !waits(&desk, EntryId(id)).unwrap().is_empty());
        }
        let looks = |id| {
            let waits = waits(&desk, EntryId(id)).unwrap();
            let again = before_its_turn(&desk, EntryId(id), &waits, 2, desk.now()).unwrap();
            again.map(|at| at.since(desk.now()) / 1_000)
        };
        assert_eq!([3, 4, 5, 6].map(looks), [300, 300, 900, 900].map(Some), "places may be given back meanwhile");
        desk.time.set(began.plus_secs(3_500));
        assert_eq!([3, 4, 5, 6].map(looks), [100, 160, 900, 900].map(Some));
        desk.time.set(began.plus_secs(3_601));
        assert_eq!([3, 4, 5, 6].map(looks), [None, Some(59), Some(300), Some(900)]);
        assert!(!takes(&desk, 4, Count::Access) && takes(&desk, 3, Count::Access), "no place is taken by looking");
        assert_eq!([3, 7].map(looks), [None, None], "who has a place waits for none, nor does who asked for none");
    }

    fn fails(desk: &Desk, id: i64) {
        journal::came_to_nothing(desk, EntryId(id), "no answer", desk.now()).unwrap();
    }

    #[test]
    fn what_is_put_off_goes_on_counting_where_something_was_sent_for_it() {
        let desk = with_operations(4);
        for id in 1..=2 {
            assert!(takes(&desk, id, Count::Access));
            sent(&desk, EntryId(id), desk.now()).unwrap();
        }
        not_carried_out(&desk, EntryId(2)).unwrap();
        fails(&desk, 1);
        desk.advance(7_200);
        assert!(!takes(&desk, 3, Count::Access), "an attempt at the other one may be under way");
        fails(&desk, 2);
        assert!(takes(&desk, 3, Count::Access) && !takes(&desk, 4, Count::Access));
        desk.query("UPDATE operation SET outcome = '{}' WHERE id = 1", &[]).unwrap();
        assert!(takes(&desk, 4, Count::Access));
    }

    /// What puts a late write right may be under way while an attempt comes to nothing.
    #[test]
    fn a_write_counts_whose_place_was_given_back_before_it_was_sent() {
        let desk = with_operations(4);
        let counts = || [Count::Access, Count::Account].map(|count| counted(&desk, count, desk.now()).unwrap());
        let sends = |id: i64| sent(&desk, EntryId(id), desk.now()).unwrap();
        assert!(takes(&desk, 1, Count::Access));
        fails(&desk, 1);
        assert_eq!(counts(), [0, 0]);
        sends(1);
        assert_eq!(counts(), [1, 0]);
        // The controls: what found no place among the accounts, and has one among the roles, is none of the accounts'; who asked for none has none.
        for id in 3..=4 {
            assert!(takes(&desk, id, Count::Account));
        }
        assert!(!takes(&desk, 2, Count::Account) && takes(&desk, 2, Count::Access));
        for id in [2, 5] {
            sends(id);
        }
        assert_eq!(counts(), [2, 2]);
    }

    /// Else those behind would wait for as long as it fails.
    #[test]
    fn who_fails_at_its_turn_lets_others_pass_and_has_its_turn_again() {
        let desk = with_operations(8);
        for id in 1..=2 {
            carries_out(&desk, id);
        }
        let finds_none =
            |id: i64| assert!(!takes(&desk, id, Count::Access) && stand_in_line(&desk, EntryId(id)).unwrap());
        let leaves = |id: i64| {
            desk.query("UPDATE operation SET outcome = '{}' WHERE id = ?", &[id.into()]).unwrap();
            give_back(&desk, EntryId(id)).unwrap();
        };
        for id in 3..=4 {
            finds_none(id);
        }
        desk.advance(3_601);
        // The one before it takes its place, the other one with it.
        fails(&desk, 3);
        assert!(takes(&desk, 4, Count::Access));
        fails(&desk, 4);
        assert!(waited_for_room(&desk, EntryId(3)).unwrap() && waited_for_room(&desk, EntryId(4)).unwrap());
        assert!(takes(&desk, 5, Count::Access) && takes(&desk, 6, Count::Access));
        finds_none(3);
        leaves(5);
        assert!(!takes(&desk, 7, Count::Access) && takes(&desk, 3, Count::Access), "it came before");
        // One that fails again and again keeps nobody behind it, though it finds no place when it comes.
        for _ in 0..3 {
            fails(&desk, 3);
        }
        assert!(takes(&desk, 7, Count::Access));
        finds_none(3);
        leaves(7);
        assert!(takes(&desk, 8, Count::Access));
        // Nor does it keep the ends of grants back that are not asked for yet, but while it waits for a place.
        desk.query("UPDATE operation SET key = 'expiry/1/1', due_at = 0 WHERE id = 3", &[]).unwrap();
        assert_eq!(journal::ends_under_way(&desk), Ok(1));
        fails(&desk, 3);
        assert_eq!(journal::ends_under_way(&desk), Ok(0));
    }

    /// Such a one may wait for another that waits for its place.
    #[test]
    fn what_took_effect_counts_for_its_hour_and_takes_a_place_anew_where_it_writes_again() {
        let desk = with_operations(4);
        for id in 1..=2 {
            assert!(takes(&desk, id, Count::Access));
            sent(&desk, EntryId(id), desk.now()).unwrap();
        }
        journal::took_effect(&desk, EntryId(1)).unwrap();
        desk.advance(3_599);
        assert!(!takes(&desk, 3, Count::Access), "within the hour");
        desk.advance(2);
        assert_eq!(counted(&desk, Count::Access, desk.now()), Ok(1), "of the other nobody knows what became of it");
        assert!(takes(&desk, 3, Count::Access) && !takes(&desk, 4, Count::Access));
        assert!(!takes(&desk, 1, Count::Access), "its place is another's by now");
        assert!(stand_in_line(&desk, EntryId(1)).unwrap() && takes(&desk, 2, Count::Access), "that one has its own");
        // Who waits is before those who came later, also where it took effect before.
        desk.advance(3_601);
        desk.query("UPDATE operation SET outcome = '{}' WHERE id = 3", &[]).unwrap();
        assert!(!takes(&desk, 4, Count::Access) && takes(&desk, 1, Count::Access));
    }
}
