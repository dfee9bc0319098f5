//! How many revokes and removals there may be within an hour. Each takes its place on disk before Cloudflare is asked for
//! anything, so that many at once count each other; the place is given back only where it is certain that nothing was written.
//!
//! **Invariants:** a place is taken in one statement; an operation that is put off keeps its own; accounts (and Super
//! Administrators) have a count of their own, which revokes of roles do not use up.

use crate::base::ports::{Sql, SqlError, SqlValue};
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

/// When one that found no place looks again, at the latest and at the soonest. Places of operations that are put off may be given
/// back at any time.
const LOOK_AGAIN_SECS: (i64, i64) = (30, 5 * 60);

/// How many writes stand beside an operation that found no place and waits for one: who came later does not get it first.
pub(super) const WAITS: i64 = -1;

/// Those that count: written within the hour, or of an operation that is not settled yet.
const COUNTS: &str = "(removal.at > ? OR EXISTS \
    (SELECT 1 FROM operation WHERE operation.id = removal.operation AND operation.outcome IS NULL))";

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    let known = sql.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'removal'", &[])?;
    if !known.is_empty() {
        return Ok(());
    }
    sql.query(
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
    sql.query(
        "DELETE FROM removal WHERE at <= ? AND NOT EXISTS \
            (SELECT 1 FROM operation WHERE operation.id = removal.operation AND operation.outcome IS NULL)",
        &[since.into()],
    )?;
    let taken = sql.query(
        &format!(
            "INSERT INTO removal (operation, count, at) \
             SELECT ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM removal WHERE operation = ?2 AND count = ?3 AND writes > {WAITS}) \
                OR (SELECT COUNT(*) FROM removal \
                    WHERE count = ?3 AND operation <> ?2 AND (writes > {WAITS} OR operation < ?2) AND {}) < ?5 \
             ON CONFLICT (operation, count) DO UPDATE SET at = MAX(at, excluded.at), writes = MAX(writes, 0) RETURNING operation",
            COUNTS.replace('?', "?1")
        ),
        &[since.into(), operation.0.into(), count.as_str().into(), now.into(), most.into()],
    )?;
    if !taken.is_empty() {
        return Ok(Ok(()));
    }
    sql.query(
        "INSERT OR IGNORE INTO removal (operation, count, at, writes) VALUES (?, ?, ?, ?)",
        &[operation.0.into(), count.as_str().into(), now.into(), WAITS.into()],
    )?;
    let oldest = sql.query(
        "SELECT MIN(at) FROM removal WHERE count = ? AND at > ? AND writes > ?",
        &[count.as_str().into(), since.into(), WAITS.into()],
    )?;
    let free = oldest.first().and_then(|row| row.first()).and_then(SqlValue::integer);
    let (soonest, latest) = (now.plus_secs(LOOK_AGAIN_SECS.0), now.plus_secs(LOOK_AGAIN_SECS.1));
    let free = free.map_or(latest, |at| Timestamp::from_millis(at).plus_secs(WINDOW_SECS).plus_millis(1));
    Ok(Err(free.clamp(soonest, latest)))
}

/// How many count at the moment.
pub(super) fn counted(sql: &dyn Sql, count: Count, now: Timestamp) -> Result<i64, SqlError> {
    let rows = sql.query(
        &format!(
            "SELECT COUNT(*) FROM removal WHERE count = ?2 AND writes > {WAITS} AND {}",
            COUNTS.replace('?', "?1")
        ),
        &[now.plus_secs(-WINDOW_SECS).into(), count.as_str().into()],
    )?;
    Ok(rows.first().and_then(|row| row.first()).and_then(SqlValue::integer).unwrap_or(0))
}

/// Notes that a write of the operation is about to be sent: from now on its place is its own for an hour.
pub(super) fn sent(sql: &dyn Sql, operation: EntryId, now: Timestamp) -> Result<(), SqlError> {
    sql.query(
        "UPDATE removal SET writes = writes + 1, at = MAX(at, ?) WHERE operation = ?",
        &[now.into(), operation.0.into()],
    )?;
    Ok(())
}

/// Notes that a write was refused: nothing was changed by it.
pub(super) fn not_carried_out(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.query("UPDATE removal SET writes = MAX(writes - 1, 0) WHERE operation = ?", &[operation.0.into()])?;
    Ok(())
}

/// Gives the places of an operation back that is over, where nothing was written for it; one that comes again keeps its own.
pub(super) fn give_back(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.query("DELETE FROM removal WHERE operation = ? AND writes <= 0", &[operation.0.into()])?;
    Ok(())
}

/// Gives one place back, where nothing was written for it.
pub(super) fn give_back_one(sql: &dyn Sql, operation: EntryId, count: Count) -> Result<(), SqlError> {
    sql.query(
        "DELETE FROM removal WHERE operation = ? AND count = ? AND writes <= 0",
        &[operation.0.into(), count.as_str().into()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Count, counted, give_back, not_carried_out, reserve, sent};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock as _, Sql as _};
    use crate::provision::journal::{self, EntryId};

    fn desk() -> Desk {
        let desk = Desk::new();
        journal::init(&desk).unwrap();
        desk
    }

    fn takes(desk: &Desk, id: i64, count: Count) -> bool {
        reserve(desk, EntryId(id), count, 2, desk.now()).unwrap().is_ok()
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
        let desk = desk();
        for id in 1..=5 {
            desk.query(
                "INSERT INTO operation (id, key, state, request, received_at) VALUES (?1, ?1, 'put_off', '{}', 0)",
                &[id.into()],
            )
            .unwrap();
        }
        for id in 1..=2 {
            assert!(takes(&desk, id, Count::Access));
            sent(&desk, EntryId(id), desk.now()).unwrap();
            desk.query("UPDATE operation SET outcome = '{}' WHERE id = ?", &[id.into()]).unwrap();
        }
        assert!(!takes(&desk, 3, Count::Access));
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

    #[test]
    fn what_is_put_off_goes_on_counting() {
        let desk = desk();
        for id in 1..=2 {
            desk.query(
                "INSERT INTO operation (id, key, state, request, received_at) VALUES (?1, ?1, 'put_off', '{}', 0)",
                &[id.into()],
            )
            .unwrap();
            assert!(takes(&desk, id, Count::Access));
        }
        desk.advance(7_200);
        assert!(!takes(&desk, 3, Count::Access));
        desk.query("UPDATE operation SET outcome = '{}' WHERE id = 1", &[]).unwrap();
        assert!(takes(&desk, 3, Count::Access));
    }
}
