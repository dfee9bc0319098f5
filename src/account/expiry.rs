//! When what was granted for a time ends. ConductorOne says with a grant how long it is for, and asks for the revoke when that is over; where
//! that does not come, the access stays. The ends are kept here, so that it can be said, and where that is wanted, be done.

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::model::grant::{Entitlement, Holding};
use crate::model::id::{MemberId, RoleId};
use crate::model::operation::{EntryId, Refusal};

/// What the key of an operation begins with that ends a grant for a time; the number of the operation that granted it comes next.
pub const EXPIRY_KEY: &str = "expiry/";

/// The number of the operation that granted what an operation with this key ends, in SQL.
pub fn granted_by(key: &str) -> String {
    format!("CAST(substr({key}, {}) AS INTEGER)", EXPIRY_KEY.len() + 1)
}

/// The operation that is as old as another one, in SQL: itself, and of a step of a SCIM request, which is as old as the request, the one that came last
/// before that.
pub fn as_old_as(of: &str) -> String {
    format!(
        "CASE WHEN {of}.key LIKE 'scim/%' THEN COALESCE(json_extract({of}.request, '$.origin.after'), {of}.id) ELSE {of}.id END"
    )
}

/// A grant that was to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// The e-mail address, folded, under which it was granted; the membership's id, once something was done for another one under that address.
    pub email: String,
    /// The membership, where it was known: an address changes with the login.
    #[serde(default)]
    pub member: Option<MemberId>,
    /// What was granted.
    #[serde(rename = "entitlement")]
    pub what: Holding,
    /// The operation that granted it.
    pub operation: EntryId,
    /// When it was to end.
    pub ended_at: Timestamp,
    /// Since when a revoke is to be asked for once more, where one was refused.
    #[serde(skip)]
    pub again_at: Option<Timestamp>,
}

/// At most this many are told of in the status.
const TOLD: i64 = 100;

/// At most this many are looked for in a generation, 200 bytes each.
const LOOKED_FOR: i64 = 10_000;

/// Creates the table.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::init(sql)?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS expiry ( \
            email TEXT NOT NULL, entitlement TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, operation INTEGER NOT NULL, \
            ends_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 0, member TEXT NOT NULL DEFAULT '', \
            PRIMARY KEY (email, entitlement)) WITHOUT ROWID",
        &[],
    )?;
    sql.run("CREATE INDEX IF NOT EXISTS expiry_ends ON expiry (ends_at)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS expiry_member ON expiry (member)", &[])?;
    sql.run("CREATE INDEX IF NOT EXISTS expiry_asked ON expiry (asked, ends_at)", &[])
}

/// Brings a table that knows people by their address alone to know their membership as well: from the operation that granted it, where
/// that is still kept.
pub fn with_member(sql: &dyn Sql) -> Result<(), SqlError> {
    rows::add_column(sql, "expiry", "member TEXT NOT NULL DEFAULT ''")?;
    sql.run(
        "UPDATE expiry SET member = COALESCE((SELECT member FROM operation WHERE operation.id = expiry.operation), '')",
        &[],
    )
}

/// Has what was asked for asked for again, unless the revoke of it is under way: by a time long ago, and another each time, since it stands in the revoke's key.
pub fn ask_again(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        &format!(
            "UPDATE expiry SET asked = 2 + COALESCE((SELECT MAX(id) FROM operation), 0) WHERE asked = 1 AND operation NOT IN \
                (SELECT {} FROM operation WHERE due_at IS NOT NULL AND outcome IS NULL AND key LIKE '{EXPIRY_KEY}%')",
            granted_by("key")
        ),
        &[],
    )
}

/// In SQL, that an operation `of` a table is none by which somebody came upon an account that was there already and did not ask for it to stay: a SCIM client,
/// who is refused (`uniqueness`), or a step of a task about something else, whose key has that one's entitlement behind the step. It settles nothing of
/// the account, neither its end nor a removal that waits. A task of another app, which has both in its `app_id`, may ask for just that account:
/// `is_another` says whether that counts.
pub fn found_no_account(of: &str, is_another: bool) -> String {
    let but = if is_another {
        format!("AND json_extract({of}request, '$.origin.app_id') LIKE '% %' IS NOT 1")
    } else {
        String::new()
    };
    format!(
        "CASE WHEN {of}key LIKE '%/%/%' {but} THEN 'scim' ELSE json_extract({of}request, '$.origin.by') END || {of}entitlement \
            || json_extract({of}outcome, '$.effect') IS NOT 'scimaccountalready_granted'"
    )
}

/// Takes note of an operation that was carried out just now: a grant for a time has an end, and one that is made once more another; a
/// grant without a time has none any more, and what is revoked has ended. An extension counts from the end that there is: nobody says from when
/// ConductorOne counts it, and its own revoke comes in time where it ends sooner; what it found there without an end stays so, since ConductorOne's own
/// may be later than any that counts from now. The account's step of another app's task, which may come before something else, counts as one. Whose it is, the membership says as well as the address: whoever
/// changed the address of their login meanwhile is the same person, and has one end; who has that address since then is another. An invitation
/// that is made again is granted no longer by that, nor is an account by a SCIM client that asks for it once more and is refused (`uniqueness`). A grant that was written and given up, since nobody could read it back, may be in force, and ends as well. A revoke that is refused because a user group gives the same has left the member nothing of their own, and so ended what was granted. What a later operation has settled is not settled by an older one that was put off until now;
/// a step of a SCIM request is as old as the request, whenever it comes to be carried out, and settles nothing of what was asked for since.
pub fn note(sql: &dyn Sql, id: EntryId, now: Timestamp) -> Result<(), SqlError> {
    let [counts, stays] = [true, false].map(|is_another| found_no_account("", is_another));
    let as_old_as = as_old_as("operation");
    let rows = sql.query(
        &format!(
            "SELECT json_extract(request, '$.action'), email, COALESCE(member, ''), entitlement, json_extract(request, '$.origin.duration_secs'), \
            json_extract(outcome, '$.effect'), json_extract(outcome, '$.code') IS NOT 'gave_up', \
            CASE WHEN key LIKE '%/%/%' AND entitlement = 'account' THEN 2 ELSE json_extract(request, '$.origin.extends') END, {as_old_as} \
         FROM operation WHERE id = ? AND email IS NOT NULL AND (json_extract(outcome, '$.outcome') = 'done' \
                OR (json_extract(outcome, '$.code') = 'held_through_group' AND carried_out = 1) \
                OR (json_extract(outcome, '$.code') = 'gave_up' AND wrote = 1 \
                AND CASE WHEN json_valid(request) THEN json_extract(request, '$.action') END = 'grant')) \
            AND json_extract(request, '$.target') IS NOT 'renewal' AND {counts}"
        ),
        &[id.0.into()],
    )?;
    let Some([action, email, member, entitlement, secs, effect, is_done, extends, oldest]) =
        rows.first().map(Vec::as_slice)
    else {
        return Ok(());
    };
    // An account that was there already, and may be only the first step to something else, ends no sooner by that, and no later than it has to.
    let was_there = effect.text() == Some("already_granted");
    if was_there && extends.integer() == Some(2) && secs.integer().is_none() {
        return Ok(());
    }
    // The end of an earlier grant is as old as that grant.
    let is_older = sql.has(
        &format!(
            "SELECT id FROM operation WHERE id > ?1 AND entitlement = ?2 AND ((member = ?4 AND member <> '') OR (email = ?3 AND '' IN (?4, COALESCE(member, '')))) \
            AND {as_old_as} >= ?1 \
            AND json_extract(outcome, '$.outcome') = 'done' AND json_extract(request, '$.target') IS NOT 'renewal' \
            AND {stays} \
            AND COALESCE(key, '') NOT LIKE '{EXPIRY_KEY}%' LIMIT 1"
        ),
        &[id.0.into(), entitlement.clone(), email.clone(), member.clone()],
    )?;
    if is_older {
        return Ok(());
    }
    let is_done = is_done.integer() == Some(1);
    // An address is one membership's. Another that had it may be there under a new one, so its end stays, by the membership alone; where that one is
    // gone, the revoke that finds nobody ends it, or the sweep that does not find it.
    let others = "UPDATE OR REPLACE expiry SET email = member WHERE email = ?1 AND ?2 <> '' AND member NOT IN ('', ?2)";
    let own = "DELETE FROM expiry WHERE (email = ?1 OR (member = ?2 AND member <> ''))";
    let params = [
        email.clone(),
        member.clone(),
        entitlement.clone(),
        action.clone(),
        effect.clone(),
        id.0.into(),
        secs.clone(),
        oldest.clone(),
    ];
    let mut from = now;
    // Of what ConductorOne was told that it is not given, nothing that was given before ends later.
    for which in [others, own].into_iter().take(1 + usize::from(is_done)) {
        // The account's end is the end of all that was held, also where it went with the last role, but not of what was granted to who came back since.
        let ended = sql.query(
            &format!(
                "{which} AND operation <= ?8 \
                    AND (entitlement = ?3 OR (?4 = 'revoke' AND (?3 = 'account' OR ?5 = 'removed'))) \
                 RETURNING ends_at - CASE WHEN operation = ?6 THEN 1000 * ?7 ELSE 0 END"
            ),
            &params,
        )?;
        if which == own && extends.integer() > Some(0) {
            if ended.is_empty() && was_there {
                return Ok(());
            }
            let ends = ended.iter().filter_map(|row| row.first()?.time());
            from = ends.fold(from, Timestamp::max);
        }
    }
    if let Some(secs) = secs.integer().filter(|_| action.text() == Some("grant")) {
        let verb = if is_done { "REPLACE" } else { "IGNORE" };
        sql.run(
            &format!(
                "INSERT OR {verb} INTO expiry (email, member, entitlement, operation, ends_at) VALUES (?, ?, ?, ?, ?)"
            ),
            &[email.clone(), member.clone(), entitlement.clone(), id.0.into(), from.plus_secs(secs).into()],
        )?;
    }
    Ok(())
}

/// Takes note that ConductorOne, which waited for the callback of an operation, is told of it just now: it counts the time of a grant from then, and
/// that of an extension from an end that is later. What is cut off after this may be done again.
pub fn told(sql: &dyn Sql, id: EntryId, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "UPDATE expiry SET ends_at = MAX(ends_at, ?2 + 1000 * json_extract(operation.request, '$.origin.duration_secs')) FROM operation, callback \
         WHERE expiry.operation = ?1 AND operation.id = ?1 AND callback.operation = ?1",
        &[id.0.into(), now.into()],
    )
}

/// Takes note of the ids that roles are known by: one may have been granted under its permission group's before its own was learned.
pub fn known_as(sql: &dyn Sql, own: impl Fn(RoleId) -> RoleId) -> Result<(), SqlError> {
    for row in sql.query("SELECT DISTINCT entitlement FROM expiry", &[])? {
        let [text] = row.as_slice() else { continue };
        let Some(Entitlement::Role(id)) = text.text().and_then(|text| text.parse().ok()) else { continue };
        let known = own(id);
        if known != id {
            sql.run(
                "UPDATE OR REPLACE expiry SET entitlement = ?2 WHERE entitlement = ?1 AND NOT EXISTS (SELECT 1 FROM expiry AS later \
                    WHERE later.email = expiry.email AND later.entitlement = ?2 AND later.operation > expiry.operation)",
                &[text.clone(), Entitlement::Role(known).to_string().into()],
            )?;
        }
    }
    Ok(())
}

/// Takes note of invitations that were made again: what was granted to one is its successor's, who may have another address by the time it
/// ends. Which those are the `renewed` table says, and of earlier ones too.
pub fn renewed(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("UPDATE expiry SET member = renewed.successor FROM renewed WHERE renewed.member = expiry.member", &[])
}

/// What was to end before a time and was not revoked, the longest overdue first; no more than are told.
pub fn overdue(sql: &dyn Sql, before: Timestamp) -> Result<Vec<Overdue>, SqlError> {
    read(sql, "ends_at <= ? ORDER BY ends_at LIMIT ?", &[before.into(), TOLD.into()])
}

/// The same, as many as are looked for in a generation.
pub fn all_overdue(sql: &dyn Sql, before: Timestamp) -> Result<Vec<Overdue>, SqlError> {
    read(sql, "ends_at <= ? ORDER BY ends_at LIMIT ?", &[before.into(), LOOKED_FOR.into()])
}

/// How many are overdue, and when the last of them was to end: another number says that there are others.
pub fn overdue_so_far(sql: &dyn Sql, before: Timestamp) -> Result<String, SqlError> {
    let told = sql.text(
        &format!("SELECT COUNT(*) || '-' || COALESCE(MAX(ends_at), 0) FROM expiry WHERE ends_at <= ? AND {READABLE}"),
        &[before.into()],
    )?;
    Ok(told.unwrap_or_default())
}

/// Forgets the end of what somebody else took from a membership, where the grant was told `before` that: what it is given again past
/// ConductorOne is no part of that grant.
pub fn taken(sql: &dyn Sql, member: &str, entitlement: &str, before: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM expiry WHERE member = ? AND entitlement = ? \
            AND NOT EXISTS (SELECT 1 FROM operation WHERE operation.id = expiry.operation AND settled_at >= ?)",
        &[member.into(), entitlement.into(), before.into()],
    )
}

/// Forgets an end: who was to lose it does not have it any more, by somebody else's hand, as the account was `known` to be. Who was between two
/// invitations then is in no generation, and has it again. One answer may leave somebody out: that they have lost it was in the ledger before, so that
/// two sweeps agree. The ledger is asked by who it is: who was removed and added again has lost it as another membership. Where the ledger has a gap, has
/// forgotten it, or tells no such thing, as of an account, one is enough.
pub fn over(sql: &dyn Sql, overdue: &Overdue, known: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "DELETE FROM expiry WHERE email = ?1 AND entitlement = ?2 AND ends_at = ?3 \
            AND NOT EXISTS (SELECT 1 FROM renewal JOIN operation ON operation.id = renewal.operation AND operation.outcome IS NULL \
                WHERE renewal.member = expiry.member OR renewal.email = expiry.email COLLATE NOCASE) \
            AND NOT EXISTS (SELECT 1 FROM renewed WHERE renewed.successor = expiry.member AND renewed.at >= ?4) \
            AND NOT EXISTS (SELECT 1 FROM ledger WHERE id = \
                    (SELECT id FROM ledger WHERE entitlement = expiry.entitlement AND version = 1 AND principal = \
                        (SELECT principal FROM ledger WHERE entitlement = expiry.entitlement \
                            AND (member = expiry.member OR (name = expiry.email AND expiry.member = '')) ORDER BY id DESC LIMIT 1) \
                        ORDER BY id DESC LIMIT 1) \
                AND (at >= ?4 OR (gained = 1 \
                    AND NOT EXISTS (SELECT 1 FROM ledger_mark WHERE kind = 'gap' AND ledger_mark.at > ledger.at))))",
        &[overdue.email.as_str().into(), overdue.what.to_string().into(), overdue.ended_at.into(), known.into()],
    )
}

/// The same, of which no revoke of our own was asked for yet, or is to be asked for once more. `asked` is 0 before, 1 after, and more than that is since when.
pub fn unasked(sql: &dyn Sql, before: Timestamp, now: Timestamp, limit: i64) -> Result<Vec<Overdue>, SqlError> {
    read(
        sql,
        &format!("{UNREVOKED} AND ends_at <= ? AND asked <> 1 AND asked <= ? ORDER BY ends_at LIMIT ?"),
        &[before.into(), now.into(), limit.into()],
    )
}

/// Notes that a revoke of our own was asked for.
pub fn asked(sql: &dyn Sql, overdue: &Overdue) -> Result<(), SqlError> {
    sql.run(
        "UPDATE expiry SET asked = 1 WHERE email = ? AND entitlement = ? AND ends_at = ?",
        &[overdue.email.as_str().into(), overdue.what.to_string().into(), overdue.ended_at.into()],
    )
}

/// A revoke that was refused for now is asked for again after this; one because of what was granted since, or by a guard, after a day.
const AGAIN_SECS: i64 = 3 * 60 * 60;
const AFTER_OTHERS_SECS: i64 = 24 * 60 * 60;

/// Takes note of an operation that was refused: where it was a revoke of our own, it is asked for again later. Somebody may have mended by then what
/// a guard refused, and nobody says so.
pub fn refused(sql: &dyn Sql, id: EntryId, code: Refusal, now: Timestamp) -> Result<(), SqlError> {
    let secs = match code {
        Refusal::ProvisioningOff | Refusal::Cloudflare | Refusal::GaveUp | Refusal::RemovalCap => AGAIN_SECS,
        _ => AFTER_OTHERS_SECS,
    };
    sql.run(
        &format!(
            "UPDATE expiry SET asked = ? WHERE asked = 1 \
                AND operation = (SELECT {} FROM operation WHERE id = ? AND key LIKE '{EXPIRY_KEY}%')",
            granted_by("key")
        ),
        &[now.plus_secs(secs).into(), id.0.into()],
    )
}

/// When a revoke of our own is to be asked for next: this long after the next end, and where it is asked for once more not before that time;
/// just what [`unasked`] asks, or the alarm would ring without end for what is not to be asked for yet.
pub fn next_end(sql: &dyn Sql, late_secs: i64) -> Result<Option<Timestamp>, SqlError> {
    sql.time(
        // Each ring of the alarm asks for it: of those that were not asked for yet the first by the index is enough.
        &format!(
            "SELECT MIN(at) FROM (SELECT MIN(ends_at) + ?1 AS at FROM expiry WHERE asked = 0 AND {READABLE} AND {UNREVOKED} \
             UNION ALL SELECT MIN(MAX(ends_at + ?1, asked)) FROM expiry WHERE asked > 1 AND {READABLE} AND {UNREVOKED})"
        ),
        &[(late_secs * 1_000).into()],
    )
}

/// Of this version, not set aside, and of what ConductorOne waits to be told of no more: it counts the time from then. A callback that is set aside
/// is never sent, and hides no end.
const READABLE: &str = concat!(
    "version = 1 AND NOT EXISTS (SELECT 1 FROM set_aside WHERE of_table = 'expiry' AND id = email || ' ' || entitlement) \
     AND NOT EXISTS (SELECT 1 FROM callback WHERE callback.operation = expiry.operation AND ",
    rows::not_set_aside!("callback.operation", "callback"),
    ")"
);

/// Of which no revoke is under way: one of ConductorOne's that waits, as for room among the removals, has come all the same.
const UNREVOKED: &str = "NOT EXISTS (SELECT 1 FROM operation AS revoke \
    WHERE revoke.due_at IS NOT NULL AND revoke.outcome IS NULL AND revoke.entitlement = expiry.entitlement \
        AND (revoke.email = expiry.email OR (revoke.member = expiry.member AND revoke.member <> '')) \
        AND CASE WHEN json_valid(revoke.request) THEN json_extract(revoke.request, '$.action') END = 'revoke')";

fn read(sql: &dyn Sql, condition: &str, params: &[SqlValue]) -> Result<Vec<Overdue>, SqlError> {
    let statement = format!(
        "SELECT email || ' ' || entitlement, email, entitlement, operation, ends_at, member, asked FROM expiry WHERE {READABLE} AND {condition}"
    );
    rows::readable(sql, "expiry", &sql.query(&statement, params)?, |row| {
        let [_, email, entitlement, operation, ends_at, member, asked] = row else { return None };
        Some(Overdue {
            email: email.text()?.to_owned(),
            member: member.text().and_then(|member| member.parse().ok()),
            // What this version cannot read must not be taken for the account itself.
            what: entitlement.text()?.parse().ok()?,
            operation: EntryId(operation.integer()?),
            ended_at: ends_at.time()?,
            again_at: asked.integer().filter(|&asked| asked > 1).map(Timestamp::from_millis),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{asked, init, next_end, note, over, overdue, told, unasked, with_member};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock, Sql, SqlValue};
    use crate::model::grant::Holding;
    use crate::model::operation::EntryId;

    #[test]
    fn an_end_of_what_cannot_be_read_is_set_aside_and_never_taken_for_the_account() {
        let desk = with_operations();
        for (email, entitlement, ends_at) in
            [("joe@example.com", "role:of-a-newer-kind", 1), ("jane@example.com", "account", 2)]
        {
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at) VALUES (?, ?, 7, ?)",
                &[email.into(), entitlement.into(), ends_at.into()],
            )
            .unwrap();
        }
        // The first of them cannot be read, and does not stand before the other for ever.
        assert!(unasked(&desk, desk.now(), desk.now(), 1).unwrap().is_empty());
        let due = unasked(&desk, desk.now(), desk.now(), 1).unwrap();
        assert_eq!(
            due.iter().map(|it| (it.email.as_str(), it.what)).collect::<Vec<_>>(),
            [("jane@example.com", Holding::Account)]
        );
        asked(&desk, &due[0]).unwrap();
        assert_eq!(next_end(&desk, 0).unwrap(), None);
        assert_eq!(overdue(&desk, desk.now()).unwrap(), due);
    }

    /// What is read here of the journal, in which whatever is not settled is due and whatever has written is carried out, and of the callbacks.
    fn with_operations() -> Desk {
        let desk = Desk::new();
        init(&desk).unwrap();
        for statement in [
            "CREATE TABLE operation (id INTEGER PRIMARY KEY, request TEXT, email TEXT, member TEXT, entitlement TEXT, outcome TEXT, key TEXT, wrote INTEGER,
                carried_out INTEGER AS (wrote),
                due_at INTEGER AS (CASE WHEN outcome IS NULL THEN 0 END))",
            "CREATE TABLE callback (operation INTEGER PRIMARY KEY)",
        ] {
            desk.query(statement, &[]).unwrap();
        }
        desk
    }

    /// Notes an operation of Jane's that was settled.
    fn settled(desk: &Desk, number: i64, request: &str, what: &str, outcome: &str, key: Option<&str>, wrote: i64) {
        desk.query(
            "INSERT INTO operation VALUES (?, ?, 'jane@example.com', '', ?, ?, ?, ?)",
            &[
                number.into(),
                request.into(),
                what.into(),
                outcome.into(),
                key.map_or(SqlValue::Null, SqlValue::from),
                wrote.into(),
            ],
        )
        .unwrap();
        note(desk, EntryId(number), desk.now()).unwrap();
    }

    /// A grant of the account for a time.
    fn for_secs(secs: i64) -> String {
        format!(r#"{{"action":"grant","target":"account","origin":{{"duration_secs":{secs}}}}}"#)
    }

    const DONE: &str = r#"{"outcome":"done"}"#;
    const GAVE_UP: &str = r#"{"outcome":"refused","code":"gave_up"}"#;

    #[test]
    fn an_invitation_that_is_made_again_ends_when_it_would_have_ended_and_a_grant_for_good_never() {
        let desk = with_operations();
        let for_a_time = r#""origin":{"duration_secs":3600}"#;
        for (number, asked, is_there) in [
            (1, format!(r#""target":"account",{for_a_time}"#), true),
            (2, r#""target":"renewal""#.to_owned(), true),
            (3, r#""target":{"named":{"builtin":true}}"#.to_owned(), false),
            (4, format!(r#""target":{{"named":{{"builtin":true}}}},{for_a_time}"#), true),
        ] {
            settled(&desk, number, &format!(r#"{{"action":"grant",{asked}}}"#), "account", DONE, None, 1);
            assert_eq!(next_end(&desk, 0).unwrap().is_some(), is_there, "{asked}");
        }
    }

    #[test]
    fn what_a_later_operation_has_settled_stays_and_the_end_of_an_earlier_grant_is_none_of_those() {
        let desk = with_operations();
        let done = |number: i64, action: &str, secs: i64, key: &str| {
            let request = format!(r#"{{"action":"{action}","target":"account","origin":{{"duration_secs":{secs}}}}}"#);
            settled(&desk, number, &request, "account", DONE, Some(key), 1);
            next_end(&desk, 0).unwrap().map(|end| end.since(desk.now()) / 1_000)
        };
        assert_eq!(done(10, "grant", 3_600, "a"), Some(3_600));
        assert_eq!(done(20, "revoke", 0, "expiry/10/1700000000"), None);
        assert_eq!(done(15, "grant", 7_200, "b"), Some(7_200), "put off until the end of the one before was over");
        assert_eq!(done(12, "grant", 60, "c"), Some(7_200), "older than that one");
        assert_eq!(done(30, "revoke", 0, "d"), None);
        assert_eq!(done(25, "grant", 60, "e"), None, "older than the revoke");
    }

    /// In hours: eight, of which two are over, and four more.
    #[test]
    fn an_extension_counts_from_the_end_that_there_is_and_no_other_grant_does() {
        for (extends, asked_for, told_of) in [(true, 10, 7), (false, 4, 4)] {
            let desk = with_operations();
            let left = || next_end(&desk, 0).unwrap().map(|end| end.since(desk.now()) / 3_600_000);
            let longer = format!(
                r#"{{"action":"grant","target":"account","origin":{{"duration_secs":14400,"extends":{extends}}}}}"#
            );
            settled(&desk, 1, &for_secs(8 * 3_600), "account", DONE, None, 1);
            desk.advance(2 * 3_600);
            settled(&desk, 2, &longer, "account", DONE, None, 1);
            assert_eq!(left(), Some(asked_for), "{extends}");
            // Noted once more, it is no second one.
            note(&desk, EntryId(2), desk.now()).unwrap();
            assert_eq!(left(), Some(asked_for), "{extends}");
            // ConductorOne has heard of it three hours later.
            desk.advance(3 * 3_600);
            desk.query("INSERT INTO callback VALUES (2)", &[]).unwrap();
            told(&desk, EntryId(2), desk.now()).unwrap();
            desk.query("DELETE FROM callback", &[]).unwrap();
            assert_eq!(left(), Some(told_of), "{extends}");
            // What has ended is extended from then on.
            desk.advance(20 * 3_600);
            settled(&desk, 3, &longer, "account", DONE, None, 1);
            assert_eq!(left(), Some(4), "{extends}");
        }
    }

    /// What another app's task asks for the account, or for something else after it, moves an end that there is, and makes none.
    #[test]
    fn another_apps_task_that_finds_the_account_makes_its_end_later_and_no_sooner() {
        for (is_known, secs, ends) in [(true, 1_000, 2_000), (false, 1_000, 0), (true, 0, 1_000)] {
            let desk = with_operations();
            if is_known {
                settled(&desk, 1, &for_secs(1_000), "account", DONE, None, 0);
            }
            let time = if secs > 0 { format!(r#","duration_secs":{secs}"#) } else { String::new() };
            let request = format!(r#"{{"action":"grant","origin":{{"by":"webhook","app_id":"app0 app1"{time}}}}}"#);
            let there = r#"{"outcome":"done","effect":"already_granted"}"#;
            settled(&desk, 2, &request, "account", there, Some("t/s/e2"), 0);
            let end = next_end(&desk, 0).unwrap().map_or(0, |end| end.since(desk.now()) / 1_000);
            assert_eq!(end, ends, "{is_known} {secs}");
        }
    }

    /// Nothing that was given before ends by it.
    #[test]
    fn an_extension_that_finds_what_has_no_known_end_leaves_it_without_one() {
        for (extends, effect, ends) in
            [(true, "already_granted", false), (false, "already_granted", true), (true, "granted", true)]
        {
            let desk = with_operations();
            let request = format!(
                r#"{{"action":"grant","target":"account","origin":{{"duration_secs":60,"extends":{extends}}}}}"#
            );
            let outcome = format!(r#"{{"outcome":"done","effect":"{effect}"}}"#);
            settled(&desk, 1, &request, "account", &outcome, None, 0);
            // Noted once more, it is the same.
            note(&desk, EntryId(1), desk.now()).unwrap();
            assert_eq!(next_end(&desk, 0).unwrap().is_some(), ends, "{extends} {effect}");
        }
    }

    #[test]
    fn what_is_to_be_asked_for_next_is_asked_for_at_that_time() {
        let desk = with_operations();
        // Refused for now, and meanwhile a longer wait was configured.
        desk.query(
            "INSERT INTO expiry (email, entitlement, operation, ends_at, asked) VALUES
                ('jane@example.com', 'account', 7, 1000, 5000), ('joe@example.com', 'account', 8, 3000, 0)",
            &[],
        )
        .unwrap();
        for (late, next) in [(1, [4_000, 5_000]), (3, [5_000, 6_000]), (60, [61_000, 63_000])] {
            for (at, count) in next.into_iter().zip(1..) {
                let at = super::Timestamp::from_millis(at);
                if count == 1 {
                    assert_eq!(next_end(&desk, late).unwrap(), Some(at), "{late}");
                    assert_eq!(unasked(&desk, at.plus_millis(-late * 1_000 - 1), at.plus_millis(-1), 9).unwrap(), []);
                }
                assert_eq!(unasked(&desk, at.plus_secs(-late), at, 9).unwrap().len(), count, "{late}");
            }
        }
    }

    #[test]
    fn an_end_is_none_before_conductorone_is_told_and_a_callback_that_is_set_aside_hides_none() {
        let desk = with_operations();
        settled(&desk, 1, &for_secs(60), "account", DONE, None, 1);
        let late = desk.now().plus_secs(3_600);
        for (statement, count) in [
            ("INSERT INTO callback VALUES (2)", 1),
            ("INSERT INTO callback VALUES (1)", 0),
            ("INSERT INTO set_aside (of_table, id) VALUES ('callback', '1')", 1),
            ("UPDATE set_aside SET of_table = 'job'", 0),
            ("DELETE FROM callback", 1),
        ] {
            desk.query(statement, &[]).unwrap();
            assert_eq!(overdue(&desk, late).unwrap().len(), count, "{statement}");
            assert_eq!(unasked(&desk, late, late, 9).unwrap().len(), count, "{statement}");
            assert_eq!(next_end(&desk, 0).unwrap().is_some(), count == 1, "{statement}");
        }
    }

    #[test]
    fn what_is_being_revoked_is_not_asked_for_once_more() {
        const JANE: &str = "1950eaac6afff7eeb3d21899eb1b7c9a";
        const ROLE: &str = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";
        let (revoke, grant, nothing) = (r#"{"action":"revoke"}"#, r#"{"action":"grant"}"#, SqlValue::Null);
        for (request, email, member, what, outcome, is_asked) in [
            (revoke, "jane@example.com", "", ROLE, &nothing, false),
            (revoke, "jane.married@example.com", JANE, ROLE, &nothing, false),
            // The controls: somebody else's, of something else, a grant, one that cannot be read, and one that is over.
            (revoke, "joe@example.com", "", ROLE, &nothing, true),
            (revoke, "jane@example.com", JANE, "account", &nothing, true),
            (grant, "jane@example.com", JANE, ROLE, &nothing, true),
            ("{", "jane@example.com", JANE, ROLE, &nothing, true),
            (revoke, "jane@example.com", JANE, ROLE, &GAVE_UP.into(), true),
        ] {
            let desk = with_operations();
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at, member) VALUES ('jane@example.com', ?, 1, 1000, ?)",
                &[ROLE.into(), JANE.into()],
            )
            .unwrap();
            desk.query(
                "INSERT INTO operation (id, request, email, member, entitlement, outcome) VALUES (2, ?, ?, ?, ?, ?)",
                &[request.into(), email.into(), member.into(), what.into(), outcome.clone()],
            )
            .unwrap();
            let told = format!("{request} {email} {what}");
            assert_eq!(unasked(&desk, desk.now(), desk.now(), 9).unwrap().len(), usize::from(is_asked), "{told}");
            assert_eq!(next_end(&desk, 0).unwrap().is_some(), is_asked, "{told}");
            assert_eq!(overdue(&desk, desk.now()).unwrap().len(), 1, "{told}: it is overdue all the same");
        }
    }

    #[test]
    fn an_account_that_ends_ends_nothing_that_was_granted_since() {
        let desk = with_operations();
        let (grant, revoke) = (for_secs(3_600), r#"{"action":"revoke"}"#);
        settled(&desk, 1, &grant, "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member", DONE, None, 1);
        settled(&desk, 3, &grant, "role:00000000c6c84a6bb80b0a5a4a4b8f1f:member", DONE, None, 1);
        settled(&desk, 2, revoke, "account", r#"{"outcome":"done","effect":"removed"}"#, None, 1);
        let left = overdue(&desk, desk.now().plus_secs(9_999)).unwrap();
        assert_eq!(left.iter().map(|it| it.operation).collect::<Vec<_>>(), [EntryId(3)]);
    }

    #[test]
    fn a_grant_that_was_written_and_given_up_ends() {
        for (wrote, code, ends) in [(1, "gave_up", true), (0, "gave_up", false), (1, "superseded", false)] {
            let desk = with_operations();
            let outcome = format!(r#"{{"outcome":"refused","code":"{code}"}}"#);
            settled(&desk, 1, &for_secs(3_600), "account", &outcome, None, wrote);
            assert_eq!(next_end(&desk, 0).unwrap().is_some(), ends, "{wrote} {code}");
            // Nothing that was given before ends later by it, and what is done after it has its own end.
            for (number, secs, outcome, end) in
                [(3, 60, DONE, 60), (4, 7_200, GAVE_UP, 60), (2, 90, GAVE_UP, 60), (5, 600, DONE, 600)]
            {
                settled(&desk, number, &for_secs(secs), "account", outcome, None, 1);
                let told = next_end(&desk, 0).unwrap().map(|at| at.since(desk.now()) / 1_000);
                assert_eq!(told, Some(end), "{number}");
            }
        }
    }

    #[test]
    fn an_end_is_over_once_a_revoke_took_what_was_the_members_own_though_a_user_group_gives_the_same() {
        let role = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";
        for (code, carried_out, is_over) in [
            ("held_through_group", 1, true),
            ("held_through_group", 0, false),
            ("gave_up", 1, false),
            ("last_role", 1, false),
        ] {
            for key in [None, Some("expiry/1/1700000000")] {
                let desk = with_operations();
                let refused = format!(r#"{{"outcome":"refused","code":"{code}"}}"#);
                settled(&desk, 1, &for_secs(3_600), role, DONE, None, 1);
                settled(&desk, 2, r#"{"action":"revoke"}"#, role, &refused, key, carried_out);
                assert_eq!(next_end(&desk, 0).unwrap().is_none(), is_over, "{code} {carried_out} {key:?}");
            }
        }
    }

    /// The one whose address it was has another by now, or is gone.
    #[test]
    fn what_is_done_for_who_has_an_address_now_leaves_the_end_of_whose_it_was() {
        let (first, other) = ("1950eaac6afff7eeb3d21899eb1b7c9a", "2950eaac6afff7eeb3d21899eb1b7c9a");
        let role = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";
        let (for_good, revoke) = (r#"{"action":"grant"}"#.to_owned(), r#"{"action":"revoke"}"#.to_owned());
        let removed = r#"{"outcome":"done","effect":"removed"}"#;
        // The end that is left to the same person's grant; to another's it leaves both.
        let cases = [
            (for_good, role, DONE, None),
            (for_secs(7_200), role, DONE, Some(2)),
            (for_secs(7_200), role, GAVE_UP, Some(1)),
            (revoke.clone(), role, DONE, None),
            (revoke.clone(), role, removed, None),
            (revoke, "account", removed, None),
        ];
        for (request, what, outcome, of_same) in cases {
            let of_same: Vec<i64> = of_same.into_iter().collect();
            let of_other = if of_same.is_empty() { vec![1] } else { vec![1, 2] };
            for (member, expected) in [(first, &of_same), (other, &of_other), ("", &of_same)] {
                let desk = with_operations();
                for (number, member, request, what, outcome) in
                    [(1, first, &for_secs(3_600), role, DONE), (2, member, &request, what, outcome)]
                {
                    desk.query(
                        "INSERT INTO operation VALUES (?, ?, 'jane@example.com', ?, ?, ?, NULL, 1)",
                        &[number.into(), request.as_str().into(), member.into(), what.into(), outcome.into()],
                    )
                    .unwrap();
                    note(&desk, EntryId(number), desk.now()).unwrap();
                }
                let ends = overdue(&desk, desk.now().plus_secs(9_999)).unwrap();
                let left: Vec<i64> = ends.iter().map(|end| end.operation.0).collect();
                assert_eq!(left, *expected, "{request} {member}");
                // Who has the address is not the one whose end it is.
                let at_address = ends.iter().filter(|end| end.email == "jane@example.com").count();
                assert_eq!(at_address, left.len() - usize::from(member == other), "{ends:?}");
            }
        }
    }

    #[test]
    fn an_end_is_noted_though_who_has_the_address_since_was_given_the_same_meanwhile() {
        let (first, other) = ("1950eaac6afff7eeb3d21899eb1b7c9a", "2950eaac6afff7eeb3d21899eb1b7c9a");
        for (later, ends) in [(other, 1), (first, 0), ("", 0)] {
            let desk = with_operations();
            for (number, member, request) in
                [(1, first, for_secs(3_600)), (2, later, r#"{"action":"grant"}"#.to_owned())]
            {
                desk.query(
                    "INSERT INTO operation VALUES (?, ?, 'jane@example.com', ?, 'account', ?, NULL, 1)",
                    &[i64::from(number).into(), request.into(), member.into(), DONE.into()],
                )
                .unwrap();
            }
            for number in [2, 1] {
                note(&desk, EntryId(number), desk.now()).unwrap();
            }
            assert_eq!(overdue(&desk, desk.now().plus_secs(9_999)).unwrap().len(), ends, "{later}");
        }
    }

    #[test]
    fn a_grant_that_is_done_after_a_later_one_was_given_up_has_its_own_end() {
        let desk = with_operations();
        settled(&desk, 5, &for_secs(60), "account", GAVE_UP, None, 1);
        settled(&desk, 4, &for_secs(90), "account", DONE, None, 1);
        assert_eq!(next_end(&desk, 0).unwrap().map(|at| at.since(desk.now())), Some(90_000));
    }

    /// It was told that the account is there, and that nothing was changed.
    #[test]
    fn who_asks_for_an_account_once_more_by_scim_or_before_something_else_leaves_its_end() {
        const ROLE: &str = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";
        for (by, app, key, what, effect, ends) in [
            ("scim", "", "", "account", "already_granted", true),
            // The account that a task about something else makes first.
            ("webhook", "app1", "t/s/e2", "account", "already_granted", true),
            // The same of another app's task, which may ask for the account itself, but for no time.
            ("webhook", "app0 app1", "t/s/e2", "account", "already_granted", true),
            // The controls: another way, something else, and an account that was not there.
            ("rest", "", "", "account", "already_granted", false),
            ("webhook", "app1", "t/s", "account", "already_granted", false),
            ("webhook", "app1", "t/s/e2", ROLE, "already_granted", false),
            ("webhook", "app1", "t/s/e2", "account", "invited", false),
            ("scim", "", "", ROLE, "already_granted", false),
            ("scim", "", "", "account", "invited", false),
        ] {
            // The grant for a time is done before it is asked for once more, or comes to be done after that.
            for order in [[1, 2], [2, 1]] {
                let desk = with_operations();
                for number in order {
                    let again = format!(r#"{{"action":"grant","origin":{{"by":"{by}","app_id":"{app}"}}}}"#);
                    let there = format!(r#"{{"outcome":"done","effect":"{effect}"}}"#);
                    if number == 1 {
                        settled(&desk, 1, &for_secs(3_600), what, DONE, None, 1);
                    } else {
                        settled(&desk, 2, &again, what, &there, Some(key), 0);
                    }
                }
                assert_eq!(next_end(&desk, 0).unwrap().is_some(), ends, "{by} {app} {key} {what} {effect} {order:?}");
            }
        }
    }

    /// Its step may be carried out before that is, or after it.
    #[test]
    fn a_step_of_a_scim_request_leaves_the_end_of_what_was_granted_for_a_time_since_the_request_came() {
        const ROLE: &str = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";
        // The request came before that grant, or, as the control, after it.
        for (after, ends) in [(1, true), (2, false)] {
            for (action, order) in [("revoke", [3, 2]), ("grant", [3, 2]), ("grant", [2, 3])] {
                let desk = with_operations();
                let step = format!(r#"{{"action":"{action}","origin":{{"by":"scim","after":{after}}}}}"#);
                for number in order {
                    if number == 2 {
                        settled(&desk, 2, &for_secs(3_600), ROLE, DONE, Some("task/step"), 1);
                    } else {
                        settled(&desk, 3, &step, ROLE, DONE, Some("scim/3"), 1);
                    }
                }
                assert_eq!(next_end(&desk, 0).unwrap().is_some(), ends, "{after} {action} {order:?}");
            }
        }
    }

    #[test]
    fn who_was_between_two_invitations_has_not_lost_what_is_to_end() {
        let (old, new) = ("1950eaac6afff7eeb3d21899eb1b7c9a", "2950eaac6afff7eeb3d21899eb1b7c9a");
        let renewal = |member: &str, email: &str, outcome: &str| {
            format!(
                "INSERT INTO renewal VALUES (7, '{member}', '{email}'); INSERT INTO operation (id, outcome) VALUES (7, {outcome})"
            )
        };
        for (what, stays) in [
            (renewal(old, "x@example.com", "NULL"), true),
            (renewal(new, "Jane@example.com", "NULL"), true),
            (renewal(new, "x@example.com", "NULL"), false),
            (renewal(old, "x@example.com", "'{}'"), false),
            (format!("INSERT INTO renewed VALUES ('{new}', '{old}', 5000)"), true),
            (format!("INSERT INTO renewed VALUES ('{new}', '{old}', 4999)"), false),
        ] {
            let desk = with_operations();
            for statement in LEDGER {
                desk.query(statement, &[]).unwrap();
            }
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at, member) VALUES ('jane@example.com', 'account', 1, 1000, ?)",
                &[old.into()],
            )
            .unwrap();
            for statement in what.split("; ") {
                desk.query(statement, &[]).unwrap();
            }
            let end = overdue(&desk, desk.now()).unwrap().remove(0);
            over(&desk, &end, super::Timestamp::from_millis(5_000)).unwrap();
            assert_eq!(next_end(&desk, 0).unwrap().is_some(), stays, "{what}");
        }
    }

    /// Each is noted as gained or lost, at a time; what is known is so since 5,000.
    #[test]
    fn what_one_sweep_does_not_find_is_over_once_another_one_has_not_found_it_either() {
        const JANE: &str = "1950eaac6afff7eeb3d21899eb1b7c9a";
        const AGAIN: &str = "2950eaac6afff7eeb3d21899eb1b7c9a";
        const ROLE: &str = "role:4f9d0aa8c6c84a6bb80b0a5a4a4b8f1f:member";
        let (gained, lost) = (1_i64, 0_i64);
        for (noted, gap, is_over) in [
            (vec![(gained, 900_i64, JANE), (lost, 4_999, JANE)], None, true),
            (vec![(gained, 900, JANE), (lost, 5_000, JANE)], None, false),
            (vec![(gained, 900, JANE), (lost, 4_000, JANE), (gained, 4_500, JANE), (lost, 5_001, JANE)], None, false),
            // She was removed, and added again without it.
            (vec![(gained, 900, JANE), (lost, 4_999, AGAIN)], None, true),
            (vec![(gained, 900, JANE), (lost, 5_000, AGAIN)], None, false),
            // It was there before the ledger began.
            (vec![(lost, 5_000, JANE)], None, false),
            // That it is lost is not noted yet, or never is.
            (vec![(gained, 900, JANE)], None, false),
            (vec![(gained, 900, JANE)], Some(899_i64), false),
            (vec![(gained, 900, JANE)], Some(901), true),
            (vec![], None, true),
        ] {
            for member in [JANE, ""] {
                let desk = with_operations();
                for statement in LEDGER {
                    desk.query(statement, &[]).unwrap();
                }
                let another = "INSERT INTO ledger VALUES (99, 1, 9000, 0, 'user:joe', '2950', 'joe@example.com', ?)";
                desk.query(another, &[ROLE.into()]).unwrap();
                for (gained, at, of) in &noted {
                    desk.query(
                        "INSERT INTO ledger (version, at, gained, principal, member, name, entitlement)
                            VALUES (1, ?, ?, 'user:jane', ?, 'jane@example.com', ?)",
                        &[(*at).into(), (*gained).into(), (*of).into(), ROLE.into()],
                    )
                    .unwrap();
                }
                if let Some(at) = gap {
                    desk.query("INSERT INTO ledger_mark VALUES (?, 'gap')", &[at.into()]).unwrap();
                }
                desk.query(
                    "INSERT INTO expiry (email, entitlement, operation, ends_at, member)
                        VALUES ('jane@example.com', ?, 1, 1000, ?)",
                    &[ROLE.into(), member.into()],
                )
                .unwrap();
                let end = overdue(&desk, desk.now()).unwrap().remove(0);
                over(&desk, &end, super::Timestamp::from_millis(5_000)).unwrap();
                assert_eq!(next_end(&desk, 0).unwrap().is_none(), is_over, "{noted:?} {gap:?} {member}");
            }
        }
    }

    /// What is read here of invitations that are made again, and of the ledger.
    const LEDGER: [&str; 4] = [
        "CREATE TABLE renewal (operation INTEGER PRIMARY KEY, member TEXT, email TEXT)",
        "CREATE TABLE renewed (member TEXT PRIMARY KEY, successor TEXT, at INTEGER)",
        "CREATE TABLE ledger (id INTEGER PRIMARY KEY, version INTEGER, at INTEGER, gained INTEGER, principal TEXT, member TEXT, name TEXT, entitlement TEXT)",
        "CREATE TABLE ledger_mark (at INTEGER, kind TEXT)",
    ];

    #[test]
    fn a_table_that_knew_addresses_alone_comes_to_know_the_memberships() {
        let desk = Desk::new();
        for statement in [
            "CREATE TABLE operation (id INTEGER PRIMARY KEY, member TEXT)",
            "CREATE TABLE callback (operation INTEGER PRIMARY KEY)",
            "CREATE TABLE expiry (email TEXT NOT NULL, entitlement TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1,
                operation INTEGER NOT NULL, ends_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 0,
                PRIMARY KEY (email, entitlement)) WITHOUT ROWID",
            "INSERT INTO operation VALUES (7, '1950eaac6afff7eeb3d21899eb1b7c9a'), (8, NULL)",
            "INSERT INTO expiry (email, entitlement, operation, ends_at) VALUES
                ('jane@example.com', 'account', 7, 1), ('joe@example.com', 'account', 8, 2), ('ann@example.com', 'account', 9, 3)",
        ] {
            desk.query(statement, &[]).unwrap();
        }
        with_member(&desk).unwrap();
        init(&desk).unwrap();
        let known: Vec<_> =
            overdue(&desk, desk.now()).unwrap().into_iter().map(|it| (it.email, it.member.is_some())).collect();
        let expected = [("jane", true), ("joe", false), ("ann", false)];
        assert_eq!(known, expected.map(|(name, known)| (format!("{name}@example.com"), known)));
    }
}
