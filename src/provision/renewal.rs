//! Renewing an invitation that expired or got stuck. Cloudflare's API cannot send one again, so it is removed and made again
//! (`reference/cloudflare.md` 2.6), under a new membership id.
//!
//! **Invariants:** what the invitation held is on disk before it is removed, and stays there until the new one has all of it;
//! a renewal that removed an invitation is never given up in favour of nothing; and what others do with the person meanwhile is done with
//! what is to come back as well ([`follow`]), so that nobody has to wait, and nothing comes back that was taken away.

use serde::Serialize;

use super::execute::{self, Edit, EditOutcome};
use super::guards::{self, Passage, Planned};
use super::journal::EntryId;
use super::outcomes::unknown_policy;
use super::resolve::{Counterpart, What};
use super::shared::UserGroups;
use super::work::{Work, done};
use super::{apart, journal, read};
use crate::account::Stopped;
use crate::account::find;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError, SqlValue};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, MemberRecord};
use crate::model::access::{Access, Policy, atoms};
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::id::{MemberId, UserGroupId};
use crate::model::operation::{Effect, Outcome, Refusal};
use crate::model::resource::MemberStatus;

/// When what a guard forbids to be brought back is tried again.
const FORBIDDEN_SECS: i64 = 60;

/// What is told while provisioning is off.
const WOULD: &str = "would have made an invitation again that it had removed";

/// What an invitation held, from before it is removed until the new one has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InvitationAccess {
    member: MemberId,
    email: String,
    policies: Vec<Policy>,
    groups: Vec<(UserGroupId, String)>,
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.query(
        "CREATE TABLE IF NOT EXISTS renewal (
            operation INTEGER PRIMARY KEY, version INTEGER NOT NULL DEFAULT 1, member TEXT NOT NULL, email TEXT NOT NULL,
            held TEXT NOT NULL)",
        &[],
    )?;
    sql.query("CREATE TABLE IF NOT EXISTS invited (member TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID", &[])?;
    Ok(())
}

/// Notes when we invited somebody: Cloudflare does not tell an invitation's age.
pub(super) fn invited(sql: &dyn Sql, member: MemberId, now: Timestamp) -> Result<(), SqlError> {
    // Nobody asks for the age of what is older than ten years, the most that can be configured.
    sql.query("DELETE FROM invited WHERE at < ?", &[now.plus_secs(-3_651 * 24 * 60 * 60).into()])?;
    sql.query("INSERT OR REPLACE INTO invited (member, at) VALUES (?, ?)", &[member.to_string().into(), now.into()])?;
    Ok(())
}

/// Whether an invitation is one that we are known to have sent.
pub(super) fn is_ours(sql: &dyn Sql, member: MemberId) -> Result<bool, SqlError> {
    Ok(invited_at(sql, member)?.is_some())
}

/// Whether an invitation was sent by an operation, or since that arrived.
pub(super) fn is_of(sql: &dyn Sql, operation: EntryId, member: MemberId) -> Result<bool, SqlError> {
    let sent = sql.query(
        "SELECT 1 FROM invited JOIN operation ON operation.id = ? AND invited.at >= operation.received_at WHERE invited.member = ?",
        &[operation.0.into(), member.to_string().into()],
    )?;
    Ok(!sent.is_empty())
}

fn invited_at(sql: &dyn Sql, member: MemberId) -> Result<Option<Timestamp>, SqlError> {
    let value = sql.one("SELECT at FROM invited WHERE member = ?", &[member.to_string().into()])?;
    Ok(value.as_ref().and_then(SqlValue::integer).map(Timestamp::from_millis))
}

/// The renewal that an operation is in the middle of. An error where this version cannot read what the invitation held: then nobody knows
/// what to bring back, and the operation is settled with those that cannot be read ([`journal::settle_unreadable`]).
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

/// Whether an invitation of the subject's is being made again at the moment.
pub(super) fn is_under_way(sql: &dyn Sql, subject: &Subject) -> Result<bool, SqlError> {
    let rows = sql.query(
        "SELECT renewal.member, renewal.email FROM renewal JOIN operation ON operation.id = renewal.operation
         WHERE operation.outcome IS NULL",
        &[],
    )?;
    // Without an address they may be anybody: an invitation may have a user id that is not kept here.
    if subject.emails.is_empty() && subject.member_id.is_none() {
        return Ok(!rows.is_empty());
    }
    Ok(rows.iter().any(|row| {
        let text = |place: usize| row.get(place).and_then(SqlValue::text).unwrap_or_default();
        subject.is_same(&Subject { member_id: text(0).parse().ok(), ..Subject::of_email(text(1)) })
    }))
}

/// Takes what an operation did with a member into what renewals that are not over would bring back: what was taken away since stays away, and
/// what was given comes too. Nothing is left to bring back of a membership that was ended.
pub(super) fn follow(
    sql: &dyn Sql,
    member: &MemberRecord,
    what: &What,
    action: Action,
    outcome: &Outcome,
) -> Result<(), SqlError> {
    let Outcome::Done { effect, .. } = outcome else { return Ok(()) };
    for row in sql.query("SELECT operation, member, email FROM renewal", &[])? {
        let text = |place: usize| row.get(place).and_then(SqlValue::text).unwrap_or_default();
        if text(1) != member.id.to_string() && !address::same(text(2), &member.email) {
            continue;
        }
        let Some(operation) = row.first().and_then(SqlValue::integer).map(EntryId) else { continue };
        if *effect == Effect::Removed {
            forget(sql, operation)?;
            continue;
        }
        let Some(mut held) = kept(sql, operation)?.1 else { continue };
        match what.access {
            Counterpart::Atom(atom) => {
                if let Some(policies) = Edit::of(action, atom).apply(&held.policies) {
                    held.policies = policies;
                }
            }
            Counterpart::Group(group) => {
                held.groups.retain(|(one, _)| *one != group);
                if action == Action::Grant {
                    held.groups.push((group, what.name.clone()));
                }
            }
            Counterpart::Account => continue,
        }
        save(sql, operation, &held)?;
    }
    Ok(())
}

fn save(sql: &dyn Sql, operation: EntryId, held: &InvitationAccess) -> Result<(), SqlError> {
    let body = serde_json::to_string(held)?;
    sql.query(
        "INSERT OR REPLACE INTO renewal (operation, member, email, held) VALUES (?, ?, ?, ?)",
        &[operation.0.into(), held.member.to_string().into(), held.email.as_str().into(), body.into()],
    )?;
    Ok(())
}

fn forget(sql: &dyn Sql, operation: EntryId) -> Result<(), SqlError> {
    sql.query("DELETE FROM renewal WHERE operation = ?", &[operation.0.into()])?;
    Ok(())
}

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Whether an invitation is one of ours, and older than the configuration lets it get.
    pub(super) fn is_stale_invitation(&self, member: &MemberRecord) -> Result<bool, SqlError> {
        let Some(days) = self.settings.renew_invitations_after_days else { return Ok(false) };
        let oldest = self.ports.now().plus_secs(-days * 24 * 60 * 60);
        Ok(invited_at(self.ports, member.id)?.is_some_and(|at| at <= oldest))
    }

    /// Removes an invitation and makes it again.
    pub(super) async fn renew(&self, member: MemberRecord) -> Result<Outcome, Stopped> {
        guards::protected(self.guards(), &member.email, &self.request.subject.emails)?;
        if member.status != MemberStatus::Pending {
            return Ok(not_pending(&member.email));
        }
        // Asked here so that nobody's groups are looked up in vain, and again right before the removal.
        self.clear_renewal(&member).await?;
        let mut groups = Vec::new();
        // One that were overlooked would not be joined again.
        match &*apart::user_groups(&self.asking()).await? {
            UserGroups::Listed(listed) => {
                for group in listed {
                    if read::is_in_group(&self.client, group, member.id).await? {
                        groups.push((group.id, group.name.clone()));
                    }
                }
            }
            UserGroups::Absent => {}
            UserGroups::Hidden(error) => return Err(error.clone().into()),
        }
        self.remove_and_invite(member.id, groups).await
    }

    async fn clear_renewal(&self, member: &MemberRecord) -> Result<Passage, Stopped> {
        let would = format!("would have removed the invitation of {} and made it again", member.email);
        guards::check(&self.asking(), &Planned::renew(member, &would)).await
    }

    /// Goes on with a renewal that was cut off anywhere.
    pub(super) async fn resume_renewal(&self, held: InvitationAccess) -> Result<Outcome, Stopped> {
        let _turn = self.lock(&address::folded(&held.email)).await;
        let _turn = self.lock(&held.member.to_string()).await;
        let held = self.still_held()?;
        match read::member(self.ports, &self.client, held.member).await {
            // It was not removed yet.
            Ok(_) => self.remove_and_invite(held.member, held.groups).await,
            Err(ApiError::NotFound(_)) => self.invite_again(&held, true).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The GET right before the DELETE tells what is to come back, and that the invitation was not accepted meanwhile.
    async fn remove_and_invite(
        &self,
        member: MemberId,
        groups: Vec<(UserGroupId, String)>,
    ) -> Result<Outcome, Stopped> {
        let fresh = read::member(self.ports, &self.client, member).await?;
        // What a group gives must not come back as the invitation's own.
        let mut fresh = execute::believable(self.ports, &self.client, fresh, None).await?;
        if !apart::is_certain(self.ports, &fresh)? && apart::tell(&self.asking(), &fresh).await? {
            fresh = read::member(self.ports, &self.client, member).await?;
            if !apart::is_certain(self.ports, &fresh)? {
                return Ok(
                    self.not_now(format!("the policies of {} are being changed by somebody else", fresh.email), 10)
                );
            }
        }
        let policies = fresh.own_policies()?;
        if fresh.status != MemberStatus::Pending {
            forget(self.ports, self.id)?;
            return Ok(not_pending(&fresh.email));
        }
        if policies.iter().any(|policy| policy.access == Access::Unknown) || policies.is_empty() {
            forget(self.ports, self.id)?;
            return Ok(unknown_policy(&fresh.email));
        }
        let held = InvitationAccess { member, email: fresh.email.clone(), policies, groups };
        let passage = self.clear_renewal(&fresh).await?;
        save(self.ports, self.id, &held)?;
        self.note(&format!("removing the invitation {member}, to be made again"))?;
        match self.delete(&passage, &fresh).await {
            Ok(true) => {}
            Ok(false) => return Ok(self.not_now(format!("Cloudflare still shows the invitation of {}", held.email), 5)),
            Err(Stopped::Refused(refused)) => {
                // Nothing was taken away, so there is nothing to bring back.
                forget(self.ports, self.id)?;
                return Ok(refused);
            }
            Err(error) => return Err(error),
        }
        self.left(&fresh, true, None).await?;
        self.invite_again(&held, false).await
    }

    /// What is to come back, as whoever was busy with the person meanwhile has left it.
    fn still_held(&self) -> Result<InvitationAccess, Stopped> {
        let ended = || Stopped::NotNow("the membership was ended while its invitation was being made again".to_owned());
        begun(self.ports, self.id)?.ok_or_else(ended)
    }

    /// The old invitation is gone. `again` where a new one may be there already.
    async fn invite_again(&self, held: &InvitationAccess, again: bool) -> Result<Outcome, Stopped> {
        let email = held.email.as_str();
        let found = if again {
            // A list that is behind may still have the old one.
            find::by_address(&self.client, email).await?.filter(|found| found.id != held.member)
        } else {
            None
        };
        let is_there = found.is_some();
        let member = if let Some(found) = found {
            found
        } else {
            let passage = self.bring_back(&Planned::invite(email, WOULD)).await?;
            let held = self.still_held()?;
            match self.send_invitation(&passage, email, &held.policies).await {
                Ok(Ok(sent)) => sent,
                Ok(Err(not_now)) => return Ok(not_now),
                Err(Stopped::Refused(Outcome::Refused { message, .. })) => {
                    forget(self.ports, self.id)?;
                    let had: Vec<String> =
                        atoms(&held.policies).iter().map(|atom| atom.permission_group.to_string()).collect();
                    return Ok(Outcome::refused(
                        Refusal::Cloudflare,
                        format!(
                            "The invitation of {email} was removed, and it could not be made again ({}); when that is mended, invite them with POST /v1/accounts and give back the permission groups {}.",
                            message.trim_end_matches('.'),
                            had.join(", ")
                        ),
                    ));
                }
                Err(error) => return Err(error),
            }
        };
        // Others may have come upon the new membership first, and what they were told of it stays so.
        let _turn = self.lock(&member.id.to_string()).await;
        let held = self.still_held()?;
        let member = if is_there {
            match self.complete(&held, member.id).await? {
                Ok(member) => member,
                Err(not_now) => return Ok(not_now),
            }
        } else {
            member
        };
        journal::resolved(self.ports, self.id, &member.id.to_string(), email, self.what.id)?;
        let mut missing = Vec::new();
        for (group, name) in &held.groups {
            let passage = self.bring_back(&Planned::join(&member, WOULD)).await?;
            match self.join(&passage, *group, name, &member).await {
                Ok(true) => self.left(&member, false, Some((*group, true))).await?,
                Ok(false) => return Ok(self.not_now(format!("{email} is not in the group {name} yet"), 5)),
                // A group that is gone or closed meanwhile must not keep the invitation back.
                Err(Stopped::Refused(_)) => missing.push(name.as_str()),
                Err(error) => return Err(error),
            }
        }
        self.left(&member, false, None).await?;
        forget(self.ports, self.id)?;
        let without = match missing.as_slice() {
            [] => String::new(),
            missing => format!(", but for the groups {}, which could not be joined again", missing.join(", ")),
        };
        Ok(done(
            Effect::Renewed,
            format!(
                "Invited {email} again with what the invitation held{without}; its membership id is {} now.",
                member.id
            ),
        )
        .to_account(|| member.account()))
    }

    /// What was taken away comes back as soon as the guards let it: what they forbid meanwhile waits, and is not given up for nothing.
    async fn bring_back(&self, planned: &Planned<'_>) -> Result<Passage, Stopped> {
        match guards::check(&self.asking(), planned).await {
            Err(Stopped::Refused(Outcome::Refused { message, .. })) => Err(Stopped::Refused(self.not_now(
                format!("an invitation was removed to be made again, which waits: {message}"),
                FORBIDDEN_SECS,
            ))),
            passage => passage,
        }
    }

    /// A new membership that is there already, by our own hand before a crash or by somebody else's, gets what is missing of the
    /// old one. Who calls has its lock.
    async fn complete(
        &self,
        held: &InvitationAccess,
        found: MemberId,
    ) -> Result<Result<MemberRecord, Outcome>, Stopped> {
        let fresh = read::member(self.ports, &self.client, found).await?;
        // What is denied is not for this connector to write.
        let grant = atoms(&held.policies).into_iter().filter(|atom| atom.access == Access::Allow).collect();
        let edit = Edit { grant, revoke: Vec::new() };
        let would = "would have completed an invitation that was made again";
        Ok(match self.write(fresh, &edit, would).await? {
            EditOutcome::Made(member) | EditOutcome::AlreadySo(member) => Ok(*member),
            _ => Err(self.not_now(format!("{} is invited again, and not with everything yet", held.email), 10)),
        })
    }
}

fn not_pending(email: &str) -> Outcome {
    Outcome::refused(
        Refusal::NotPending,
        format!(
            "{email} has accepted the invitation, so there is nothing to renew; sync this connector, and {email} is listed among the users."
        ),
    )
}
