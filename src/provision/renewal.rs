//! Renewing an invitation that expired or got stuck. Cloudflare's API cannot send one again, so it is removed and made again
//! (`reference/cloudflare.md` 2.6), under a new membership id.
//!
//! **Invariants:** what the invitation held is on disk before it is removed, and stays there until the new one has all of it;
//! and a renewal that removed an invitation is never given up in favour of nothing, but where all of it was revoked since ([`come_back`]).

use super::come_back::{self, InvitationAccess, begun, forget, save};
use super::execute::{self, Edit, EditOutcome};
use super::guards::{self, Passage, Planned};
use super::journal::EntryId;
use super::outcomes::{refusal, unknown_policy};
use super::shared::UserGroups;
use super::work::{Work, done};
use super::{apart, journal, last_writes, late, open_writes, read};
use crate::account::Stopped;
use crate::account::{expiry, find};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::base::tree::BTreeSet;
use crate::cloudflare::{ApiError, MemberRecord};
use crate::model::access::{Access, Atom, atoms};
use crate::model::address;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::operation::{Effect, Outcome, Refusal};
use crate::model::resource::MemberStatus;

/// When what a guard forbids to be brought back is tried again.
const FORBIDDEN_SECS: i64 = 60;

/// For how long a user group is tried again that Cloudflare does not let a new invitation join: what an edited token may comes to all of
/// Cloudflare within a minute, and what somebody else takes away from the invitation must not come back for as long as it is being made.
const JOIN_MILLIS: i64 = 3 * 60 * 1_000;

/// What is told while provisioning is off.
const WOULD: &str = "would have made an invitation again that it had removed";

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    come_back::init(sql)?;
    sql.run("CREATE TABLE IF NOT EXISTS invited (member TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID", &[])?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS renewed ( \
            member TEXT PRIMARY KEY, successor TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
        &[],
    )
}

/// How long it is remembered of an invitation that we sent it: nobody asks for the age of what is older than ten years, the most that can be
/// configured.
const REMEMBERED_SECS: i64 = 3_651 * 24 * 60 * 60;

/// Notes when we invited somebody, and `with` what: Cloudflare does not tell an invitation's age, and a read that is behind shows it without that.
pub(super) fn invited(sql: &dyn Sql, member: MemberId, with: &BTreeSet<Atom>, now: Timestamp) -> Result<(), SqlError> {
    // Whoever came upon it before it was answered has noted that, and may have changed it since.
    if invited_at(sql, member)?.is_none() {
        last_writes::note(sql, member, &BTreeSet::new(), now)?;
        last_writes::note(sql, member, with, now)?;
    }
    sql.run("DELETE FROM invited WHERE at < ?", &[now.plus_secs(-REMEMBERED_SECS).into()])?;
    sql.run("INSERT OR REPLACE INTO invited (member, at) VALUES (?, ?)", &[member.to_string().into(), now.into()])
}

/// Notes which invitation one was renewed by, and what was renewed by that one before.
fn succeeded(sql: &dyn Sql, member: MemberId, successor: MemberId, now: Timestamp) -> Result<(), SqlError> {
    let ids = [member.to_string().into(), successor.to_string().into()];
    sql.run("DELETE FROM renewed WHERE at < ?", &[now.plus_secs(-REMEMBERED_SECS).into()])?;
    sql.run("UPDATE renewed SET successor = ?2 WHERE successor = ?1", &ids)?;
    let [member, successor] = ids;
    sql.run(
        "INSERT OR REPLACE INTO renewed (member, successor, at) VALUES (?, ?, ?)",
        &[member, successor, now.into()],
    )?;
    expiry::renewed(sql)
}

/// The invitation, or the membership that came of it, that one was renewed by which ConductorOne may still know.
pub(super) fn successor(sql: &dyn Sql, member: MemberId) -> Result<Option<MemberId>, SqlError> {
    let successor = sql.text("SELECT successor FROM renewed WHERE member = ?", &[member.to_string().into()])?;
    Ok(successor.and_then(|text| text.parse().ok()))
}

/// Whether an invitation was sent by an operation, or since that arrived and by none that came later. One that wrote after it was sent did not send it.
pub(super) fn is_of(sql: &dyn Sql, operation: EntryId, member: MemberId) -> Result<bool, SqlError> {
    sql.has(
        "SELECT 1 FROM invited JOIN operation ON operation.id = ?1 AND invited.at >= operation.received_at WHERE invited.member = ?2 \
            AND NOT EXISTS (SELECT 1 FROM operation AS later WHERE later.member = ?2 AND later.id > ?1 AND later.wrote = 1 \
                AND COALESCE(later.wrote_at, later.received_at) <= invited.at)",
        &[operation.0.into(), member.to_string().into()],
    )
}

fn invited_at(sql: &dyn Sql, member: MemberId) -> Result<Option<Timestamp>, SqlError> {
    sql.time("SELECT at FROM invited WHERE member = ?", &[member.to_string().into()])
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
        let groups = self.groups_of(member.id).await?;
        self.remove_and_invite(member.id, groups).await
    }

    /// The user groups that an invitation is in.
    async fn groups_of(&self, member: MemberId) -> Result<Vec<(UserGroupId, String)>, Stopped> {
        let mut groups = Vec::new();
        // One that were overlooked would not be joined again.
        match &*apart::user_groups(&self.asking()).await? {
            UserGroups::Listed(listed) => {
                for group in listed {
                    if read::is_in_group(self.ports, &self.client, group, member).await? {
                        groups.push((group.id, group.name.clone()));
                    }
                }
            }
            UserGroups::Absent => {}
            UserGroups::Hidden(error) => return Err(error.clone().into()),
        }
        Ok(groups)
    }

    /// The user groups that an invitation is in whose removal was put off. Where those cannot be read by now, it is those that were known; and no group
    /// is taken for left while the removal may be what shows.
    async fn groups_still(&self, held: &InvitationAccess) -> Result<Vec<(UserGroupId, String)>, Stopped> {
        let now = match self.groups_of(held.member).await {
            Ok(groups) => groups,
            Err(Stopped::Api(error)) if !error.is_retryable() => return Ok(held.groups.clone()),
            Err(error) => return Err(error),
        };
        let has_left = held.groups.iter().any(|(group, _)| !now.iter().any(|(one, _)| one == group));
        if has_left
            && let Some(until) =
                open_writes::removal_open_until(self.ports, held.member, open_writes::BLOCKS_SECS, self.ports.now())?
        {
            return Err(Stopped::Until(
                format!("the invitation of {} may be removed already, and out of its user groups by that", held.email),
                until,
            ));
        }
        Ok(now)
    }

    /// Until when a removal of an invitation that nobody answered may come: whoever that one takes away is to be invited again.
    fn may_be_removed_until(&self, member: MemberId) -> Result<Option<Timestamp>, SqlError> {
        open_writes::removal_open_until(self.ports, member, late::LONGEST_LIFE_SECS, self.ports.now())
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
            Ok(_) => {
                let groups = self.groups_still(&held).await?;
                let outcome = self.remove_and_invite(held.member, groups).await;
                self.unless_removed_yet(&held, outcome)
            }
            Err(ApiError::NotFound(_)) => self.invite_again(&held, true).await,
            Err(error) => Err(error.into()),
        }
    }

    /// What forbids a renewal, or makes it pointless, does not end it while a removal that nobody answered may still come: whoever that one
    /// takes away, also after they accepted, is invited again.
    fn unless_removed_yet(
        &self,
        held: &InvitationAccess,
        outcome: Result<Outcome, Stopped>,
    ) -> Result<Outcome, Stopped> {
        let Some(message) = refusal(&outcome) else { return outcome };
        let Some(until) = self.may_be_removed_until(held.member)? else {
            return outcome;
        };
        if begun(self.ports, self.id)?.is_none() {
            save(self.ports, self.id, held)?;
        }
        Err(Stopped::Until(format!("{message}; a removal that got no answer may still be carried out"), until))
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
        if fresh.status != MemberStatus::Pending {
            forget(self.ports, self.id)?;
            return Ok(not_pending(&fresh.email));
        }
        // More than can be sent again is not taken away.
        let policies = fresh.policies_to_change()?;
        if policies.is_empty() {
            forget(self.ports, self.id)?;
            let message = format!(
                "{} holds nothing of their own, and Cloudflare takes no invitation without a role, so theirs was left as it is; grant one first, or cancel the invitation.",
                fresh.email
            );
            return Ok(Outcome::refused(Refusal::LastRole, message));
        }
        if policies.iter().any(|policy| policy.access == Access::Unknown) {
            forget(self.ports, self.id)?;
            return Ok(unknown_policy(&fresh.email));
        }
        let held = InvitationAccess { member, email: fresh.email.clone(), policies, groups, made: None };
        let passage = self.clear_renewal(&fresh).await?;
        // That one ends the membership by its own rules, which may forbid it.
        if journal::account_revoke_since(self.ports, self.id, &held.email)?.is_some() {
            return Ok(self.not_now(format!("a revoke of the account of {} came later and is not over", held.email), 5));
        }
        save(self.ports, self.id, &held)?;
        let line = format!("removing the invitation {member}, to be made again");
        match self.delete(&passage, &fresh, &line).await {
            Ok(true) => {}
            Ok(false) => return Ok(self.not_now(format!("Cloudflare still shows the invitation of {}", held.email), 5)),
            Err(stopped @ (Stopped::Ended(_) | Stopped::Api(_))) => {
                // Nothing was taken away, so there is nothing to bring back, but for what this removal or an earlier one may take yet.
                if self.may_be_removed_until(member)?.is_none() {
                    forget(self.ports, self.id)?;
                }
                return Err(stopped);
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
        let found = if let Some(made) = held.made {
            // Another renewal may have come in between.
            let made = successor(self.ports, made)?.unwrap_or(made);
            match read::present(read::member(self.ports, &self.client, made).await)? {
                // A read may be behind our own of a moment ago.
                None if self.was_invited_within(made, late::STALE_MILLIS)?
                    || come_back::is_being_renewed(self.ports, made)? =>
                {
                    return Ok(self.not_now(format!("{email} is invited again, and not shown yet"), 10));
                }
                None => {
                    return Err(self.not_again(
                        Refusal::UnknownMember,
                        format!(
                            "The invitation of {email} was made again as {made}, and somebody removed that one, so it was not made once more; invite them with POST /v1/accounts where they are to be invited."
                        ),
                    )?);
                }
                found => found,
            }
        } else if again {
            // A list that is behind may still have the old one.
            let listed = find::by_address(&self.client, email).await?.filter(|found| found.id != held.member);
            let sent =
                journal::written_member(self.ports, self.id)?.filter(|sent| listed.is_none() && *sent != held.member);
            match sent {
                // Nor need it have the new one yet.
                Some(sent) => read::present(read::member(self.ports, &self.client, sent).await)?,
                None => listed,
            }
        } else {
            None
        };
        let is_there = found.is_some();
        let member = match found {
            Some(found) => found,
            None => self.send_again(held.member, email).await?,
        };
        // Others may have come upon the new membership first, and what they were told of it stays so.
        let _turn = self.lock(&member.id.to_string()).await;
        let before = &held.policies;
        let mut held = self.still_held()?;
        let member = if is_there && held.made.is_none_or(|made| made != member.id) {
            self.complete(&held, member.id).await?
        } else if held.policies != *before {
            // What was told of it before it was changed under its lock is not what it holds.
            let fresh = read::member(self.ports, &self.client, member.id).await?;
            execute::believable(self.ports, &self.client, fresh, None).await?
        } else {
            member
        };
        held.made = Some(member.id);
        save(self.ports, self.id, &held)?;
        journal::resolved(self.ports, self.id, &member.id.to_string(), email, self.what.id)?;
        let mut missing = Vec::new();
        for (group, name) in &held.groups {
            let passage = self.bring_back(&Planned::membership(&member, *group, true, WOULD)).await?;
            match self.join(&passage, *group, name, &member).await {
                Ok(true) => self.left_as_read(&member, Some((*group, true))).await?,
                Ok(false) => return Ok(self.not_now(format!("{email} is not in the group {name} yet"), 5)),
                // What may pass is waited for.
                Err(Stopped::Ended(Outcome::Refused { code: Refusal::Cloudflare, message }))
                    if self.was_invited_within(member.id, JOIN_MILLIS)? =>
                {
                    return Ok(self.not_now(message, FORBIDDEN_SECS));
                }
                // A group that is gone or closed meanwhile must not keep the invitation back.
                Err(Stopped::Ended(_)) => missing.push(name.as_str()),
                Err(error) => return Err(error),
            }
        }
        self.left_as_read(&member, None).await?;
        succeeded(self.ports, held.member, member.id, self.ports.now())?;
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

    /// Sends the new invitation in place of the old one; it ends here where that is not there yet, or none is to be any more.
    async fn send_again(&self, old: MemberId, email: &str) -> Result<MemberRecord, Stopped> {
        // Whoever's account is revoked is not invited again first: a renewal may have to wait for long, and the revoke waits for it.
        if guards::protected(self.guards(), email, &[]).is_ok()
            && let Some(EntryId(revoke)) = journal::account_revoke_since(self.ports, self.id, email)?
        {
            let message = format!(
                "The invitation of {email} was removed to be made again, and is not, since their account is to be revoked by operation {revoke}, which came later."
            );
            return Err(self.not_again(Refusal::Superseded, message)?);
        }
        let passage = self.bring_back(&Planned::invite(email, WOULD)).await?;
        let held = self.still_held()?;
        if held.policies.is_empty() {
            let message = format!(
                "The invitation of {email} was removed to be made again, and all that it was known to hold was revoked meanwhile, so it was not; invite them with POST /v1/accounts where they are to be invited."
            );
            return Err(self.not_again(Refusal::LastRole, message)?);
        }
        match self.send_invitation(&passage, email, &held.policies, Some(old)).await {
            Err(Stopped::Ended(Outcome::Refused { message, .. })) => {
                let message = format!(
                    "The invitation of {email} was removed, and it could not be made again ({}); when that is mended, invite them with POST /v1/accounts and give back what it held: {}.",
                    message.trim_end_matches('.'),
                    in_words(&held)
                );
                Err(self.not_again(Refusal::Cloudflare, message)?)
            }
            sent => sent,
        }
    }

    /// What was removed is not made again, and nothing is to be brought back any more.
    fn not_again(&self, code: Refusal, message: String) -> Result<Stopped, SqlError> {
        forget(self.ports, self.id)?;
        Ok(Stopped::refused(code, message))
    }

    /// Whether an invitation is one that we sent this short a time ago.
    pub(super) fn was_invited_within(&self, member: MemberId, millis: i64) -> Result<bool, SqlError> {
        Ok(invited_at(self.ports, member)?.is_some_and(|at| self.ports.now().since(at) < millis))
    }

    /// What was taken away comes back as soon as the guards let it: what they forbid meanwhile waits, and is not given up for nothing.
    async fn bring_back(&self, planned: &Planned<'_>) -> Result<Passage, Stopped> {
        self.waiting(guards::check(&self.asking(), planned).await)
    }

    /// The same of whatever else a guard refuses; what Cloudflare refuses, or cannot be told of the member, stays refused.
    fn waiting<T>(&self, cleared: Result<T, Stopped>) -> Result<T, Stopped> {
        match cleared {
            Err(Stopped::Ended(Outcome::Refused { message, code }))
                if !matches!(code, Refusal::Cloudflare | Refusal::UnreadableMember | Refusal::UnknownPolicy) =>
            {
                Err(Stopped::Ended(self.not_now(
                    format!("an invitation was removed to be made again, which waits: {message}"),
                    FORBIDDEN_SECS,
                )))
            }
            cleared => cleared,
        }
    }

    /// A new membership that is there already, by our own hand before a crash or by somebody else's, gets what is missing of the
    /// old one; where it cannot, who reads the refusal is told what the old one held. Who calls has its lock.
    async fn complete(&self, held: &InvitationAccess, found: MemberId) -> Result<MemberRecord, Stopped> {
        let (code, why) = match self.completed(held, found).await {
            Err(Stopped::Ended(Outcome::Refused { code, message })) => (code, message),
            Err(Stopped::Api(error @ ApiError::Unreadable { .. })) => (Refusal::UnreadableMember, error.to_string()),
            ended => return ended?,
        };
        if self.was_invited_within(found, JOIN_MILLIS)? {
            return Err(Stopped::Ended(self.not_now(why, FORBIDDEN_SECS)));
        }
        let message = format!(
            "The invitation of {} was removed to be made again, and the one that they have by now could not be given what it held ({}); when that is mended, give it back: {}.",
            held.email,
            why.trim_end_matches('.'),
            in_words(held)
        );
        Err(self.not_again(code, message)?)
    }

    /// The inner error says itself what the old one held.
    async fn completed(
        &self,
        held: &InvitationAccess,
        found: MemberId,
    ) -> Result<Result<MemberRecord, Stopped>, Stopped> {
        let fresh = read::member(self.ports, &self.client, found).await?;
        // What is denied is not for this connector to write, and without it the rest would give more than before.
        let (grant, denied): (Vec<Atom>, Vec<Atom>) =
            atoms(&held.policies).into_iter().partition(|atom| atom.access == Access::Allow);
        let there = atoms(&fresh.own_policies()?);
        if !denied.iter().all(|atom| there.contains(atom)) {
            // Our own of a moment ago has it, and may not show it yet.
            if self.was_invited_within(found, late::STALE_MILLIS)? {
                let message = format!("{} is invited again, and not shown with everything yet", held.email);
                return Err(Stopped::Ended(self.not_now(message, 10)));
            }
            let message = format!(
                "The invitation of {} was removed to be made again, and by now they have another one, which does not deny what that one did, so nothing was brought back; see in Cloudflare's dashboard to what it held: {}.",
                held.email,
                in_words(held)
            );
            return Ok(Err(self.not_again(Refusal::NotEligible, message)?));
        }
        let edit = Edit { grant, revoke: Vec::new() };
        let would = "would have completed an invitation that was made again";
        match self.waiting(self.write(fresh, &edit, would).await)? {
            EditOutcome::Made(member) | EditOutcome::AlreadySo(member) => Ok(Ok(*member)),
            EditOutcome::UnknownPolicy => Err(Stopped::Ended(unknown_policy(&held.email))),
            _ => {
                let message = format!("{} is invited again, and not with everything yet", held.email);
                Err(Stopped::Ended(self.not_now(message, 10)))
            }
        }
    }
}

/// What an invitation held: the permission groups that its policies allow and deny, and its user groups.
fn in_words(held: &InvitationAccess) -> String {
    let word = |atom: &Atom| if atom.access == Access::Deny { "denied" } else { "allowed" };
    let policies = atoms(&held.policies);
    let policies = policies.iter().map(|atom| format!("{} {}", word(atom), atom.permission_group));
    let groups = held.groups.iter().map(|(_, name)| format!("the user group {name}"));
    policies.chain(groups).collect::<Vec<_>>().join(", ")
}

/// What is told of an invitation that is none any more.
pub(super) fn not_pending(email: &str) -> Outcome {
    Outcome::refused(
        Refusal::NotPending,
        format!(
            "{email} has accepted the invitation, so there is nothing to renew or to cancel; sync this connector, and {email} is listed among the users, as whom they can be removed."
        ),
    )
}
