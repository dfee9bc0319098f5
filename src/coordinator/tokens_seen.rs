//! The webhook tokens that were used, for as long as they could be used again: whoever has got hold of one starts nothing with it.
//!
//! C1 signs a token for each attempt of a delivery (`reference/conductorone.md` 1.3), so one that comes a second time is a repetition by
//! somebody on the way. It may have the answer that there is, and changes nothing.

use crate::base::hash::sha256_hex;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS token_seen (id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID", &[])
}

/// Notes that a token was used, which nobody accepts after `until`. Whether it is the first time, and not too late by now: of whatever was
/// verified in its last second and comes after that, nobody knows any more whether it was used.
pub(super) fn use_up(sql: &dyn Sql, id: &str, until: Timestamp, now: Timestamp) -> Result<bool, SqlError> {
    sql.run("DELETE FROM token_seen WHERE until < ?", &[now.into()])?;
    if until < now {
        return Ok(false);
    }
    // A digest: an id may be of any length.
    sql.has(
        "INSERT OR IGNORE INTO token_seen (id, until) VALUES (?, ?) RETURNING id",
        &[sha256_hex(id.as_bytes()).into(), until.into()],
    )
}

#[cfg(test)]
mod tests {
    use super::{init, use_up};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock as _, Sql as _, SqlValue};

    #[test]
    fn a_token_is_used_once_and_forgotten_when_nobody_would_accept_it_any_more() {
        let desk = Desk::new();
        init(&desk).unwrap();
        let first = |id: &str| use_up(&desk, id, desk.now().plus_secs(180), desk.now()).unwrap();
        assert!(first("a") && first("b"));
        assert!(!first("a") && !first("b"));
        desk.advance(180);
        assert!(!first("a"), "it is accepted until that very second");
        desk.advance(1);
        assert!(first("c"));
        assert!(
            !use_up(&desk, "a", desk.now().plus_secs(-1), desk.now()).unwrap(),
            "verified in time, and late by now"
        );
        let kept = desk.one("SELECT COUNT(*) FROM token_seen", &[]).unwrap();
        assert_eq!(kept.as_ref().and_then(SqlValue::integer), Some(1), "and no row stays behind");
    }
}
