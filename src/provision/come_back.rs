//! What renewals are to bring back: on disk from before an invitation is removed until the new one has all of it.
//!
//! **Invariant:** what others do with the invitation while it is still there is done with what is to come back as well ([`follow`]), so that
//! nothing comes back that was taken away. Between the old invitation and the new one they wait.

use serde::Serialize;

use super::execute::Edit;
use super::journal::EntryId;
use crate::base::json::{self, Deserialize};
use crate::base::ports::{Sql, SqlError};
use crate::base::rows;
use crate::cloudflare::MemberRecord;
use crate::model::access::Policy;
use crate::model::address;
use crate::model::ask::Subject;
use crate::model::id::{MemberId, UserGroupId};

/// What an invitation held, from before it is removed until the new one has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InvitationAccess {
    pub(super) member: MemberId,
    pub(super) email: String,
    pub(super) policies: Vec<Policy>,
    pub(super) groups: Vec<(UserGroupId, String)>,
    /// The new membership, once it was seen with all of the policies: what somebody takes away from it by hand from then on stays away.
    #[serde(default)]
    pub(super) made: Option<MemberId>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run(
        "CREATE TABLE IF NOT EXISTS renewal ( \
            operation INTEGER PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, member TEXT NOT NULL, email TEXT NOT NULL, \
            held TEXT NOT NULL)",
        &[],
    )
}

/// The renewal that an operation is in the middle of. An error where this version cannot read what the invitation held: then nobody knows
/// what to bring back, and the operation is settled with those that cannot be read ([`super::journal::settle_unreadable`]).
pub(super) fn begun(sql: &dyn Sql, operation: EntryId) -> Result<Option<InvitationAccess>, SqlError> {
    match kept(sql, operation)? {
        (true, None) => Err(SqlError::unreadable("what an invitation held")),
        (_, held) => Ok(held),
    }
}

/// Whether an operation has to be carried on although nobody waits for it any more: it took something away that it has to bring back, and
/// can.
pub fn must_go_on(sql: &dyn Sql, operation: EntryId) -> Result<bool, SqlError> {
    Ok(kept(sql, operation)?.1.is_some())
}

/// Whether an operation is in the middle of a renewal, and what the invitation held, where this version can read that.
fn kept(sql: &dyn Sql, operation: EntryId) -> Result<(bool, Option<InvitationAccess>), SqlError> {
    let found = sql.query("SELECT operation, version, held FROM renewal WHERE operation = ?", &[operation.0.into()])?;
    let mut read = rows::readable(sql, "renewal", &found, |row| match row {
        [_, version, held] if version.integer() == Some(1) => json::read_str(held.text()?).ok(),
        _ => None,
    })?;
    Ok((!found.is_empty(), read.pop()))
}

/// An invitation that was removed, or is about to be, and is to come back.
struct UnderWay {
    operation: EntryId,
    member: MemberId,
    email: String,
}

/// The renewals that are not over.
fn all_under_way(sql: &dyn Sql) -> Result<Vec<UnderWay>, SqlError> {
    let rows = sql.query(
        "SELECT renewal.operation, renewal.member, renewal.email FROM renewal JOIN operation ON operation.id = renewal.operation \
         WHERE operation.outcome IS NULL",
        &[],
    )?;
    let read = rows.iter().filter_map(|row| {
        let [operation, member, email] = row.as_slice() else { return None };
        Some(UnderWay {
            operation: EntryId(operation.integer()?),
            member: member.text()?.parse().ok()?,
            email: email.text()?.to_owned(),
        })
    });
    Ok(read.collect())
}

/// Whether an invitation of the subject's is being made again at the moment.
pub(super) fn is_under_way(sql: &dyn Sql, subject: &Subject) -> Result<bool, SqlError> {
    let all = all_under_way(sql)?;
    // Without an address they may be anybody: an invitation may have a user id that is not kept here.
    if subject.emails.is_empty() && subject.member_id.is_none() {
        return Ok(!all.is_empty());
    }
    let is_theirs =
        |it: &UnderWay| subject.is_same(&Subject { member_id: Some(it.member), ..Subject::of_email(&it.email) });
    Ok(all.iter().any(is_theirs))
}

/// Whether this membership is an invitation that is being made again.
pub(super) fn is_being_renewed(sql: &dyn Sql, member: MemberId) -> Result<bool, SqlError> {
    Ok(all_under_way(sql)?.iter().any(|it| it.member == member))
}

/// What somebody did with a person whose invitation is to come back.
#[derive(Clone, Copy)]
pub(super) enum Meanwhile<'a> {
    Edited(&'a Edit),
    Group(UserGroupId, &'a str, bool),
    Ended,
}

/// Does with what is to come back what was done with the person meanwhile: what was taken away stays away, and what was given comes too.
/// Nothing is left to bring back of a membership that was ended.
fn amend(sql: &dyn Sql, operation: EntryId, meanwhile: Meanwhile<'_>) -> Result<(), SqlError> {
    let Some(mut held) = kept(sql, operation)?.1 else { return Ok(()) };
    match meanwhile {
        Meanwhile::Ended => return forget(sql, operation),
        Meanwhile::Edited(edit) => held.policies = edit.apply(&held.policies).unwrap_or(held.policies),
        Meanwhile::Group(group, name, is_in) => {
            held.groups.retain(|(one, _)| *one != group);
            held.groups.extend(is_in.then(|| (group, name.to_owned())));
        }
    }
    save(sql, operation, &held)
}

/// [`amend`]s whatever is to come back of a member, by another operation than the one that does it.
pub(super) fn follow(
    sql: &dyn Sql,
    by: EntryId,
    member: &MemberRecord,
    meanwhile: Meanwhile<'_>,
) -> Result<(), SqlError> {
    let is_of = |it: &UnderWay| it.member == member.id || address::same(&it.email, &member.email);
    for one in all_under_way(sql)?.into_iter().filter(|it| it.operation != by && is_of(it)) {
        amend(sql, one.operation, meanwhile)?;
    }
    Ok(())
}

pub(super) fn save(sql: &dyn Sql, operation: EntryId, held: &InvitationAccess) -> Result<(), SqlError> {
    let body = serde_json::to_string(held)?;
    sql.run(
        "INSERT OR REPLACE INTO renewal (operation, member, email, held) VALUES (?, ?, ?, ?)",
        &[operation.0.into(), held.member.to_string().into(), address::folded(&held.email).into(), body.into()],
    )
}

pub(super) fn forget(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.run("DELETE FROM renewal WHERE operation = ?", &[operation.0.into()])
}

#[cfg(test)]
mod tests {
    use super::super::journal::{self, EntryId};
    use super::super::renewal;
    use super::{InvitationAccess, save};
    use crate::account::expiry::{over, overdue};
    use crate::base::fakes::Desk;
    use crate::base::ports::{Clock as _, Sql as _};
    use crate::model::address;

    #[test]
    fn an_end_stays_while_the_invitation_is_made_again_however_its_address_is_written() {
        for (written, stays) in
            [("JÖRG@müller.example", true), ("jörg@müller.example", true), ("joe@müller.example", false)]
        {
            let desk = Desk::new();
            journal::init(&desk).unwrap();
            renewal::init(&desk).unwrap();
            crate::ledger::init(&desk).unwrap();
            desk.query(
                "INSERT INTO operation (id, key, state, request, received_at) VALUES (7, '7', 'put_off', '{}', 0)",
                &[],
            )
            .unwrap();
            desk.query(
                "INSERT INTO expiry (email, entitlement, operation, ends_at) VALUES (?, 'account', 1, 1000)",
                &[address::folded("jörg@müller.example").into()],
            )
            .unwrap();
            let held = InvitationAccess {
                member: "1950eaac6afff7eeb3d21899eb1b7c9a".parse().unwrap(),
                email: written.to_owned(),
                policies: Vec::new(),
                groups: Vec::new(),
                made: None,
            };
            save(&desk, EntryId(7), &held).unwrap();
            let end = overdue(&desk, desk.now()).unwrap().remove(0);
            over(&desk, &end, desk.now()).unwrap();
            assert_eq!(!overdue(&desk, desk.now()).unwrap().is_empty(), stays, "{written}");
        }
    }
}
