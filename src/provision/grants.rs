//! One role more or less on a member: what is checked before it is written, and what is said afterwards.

use super::come_back::{self, Meanwhile};
use super::execute::{Edit, EditOutcome};
use super::outcomes::unknown_policy;
use super::resolve;
use super::settings::LastRole;
use super::work::{Work, done};
use super::{apart, guards, journal, open_writes, policies, read, removals, super_admins};
use crate::account::Stopped;
use crate::account::default_role::Configured;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::MemberRecord;
use crate::model::access::{Atom, Policy};
use crate::model::ask::Action;
use crate::model::operation::{Effect, Outcome, Refusal};

/// A refusal that waits for what may make it moot is told so long before the operation would be given up, which says nothing of what to do. No two tries
/// are further apart.
const TOLD_BEFORE_SECS: i64 = 60 * 60;

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Grants or revokes an atom.
    pub(super) async fn change(&self, member: MemberRecord, atom: Atom) -> Result<Outcome, Stopped> {
        let (name, email) = (self.what.name.clone(), member.email.clone());
        let (action, id) = (self.request.action, member.id);
        let edit = Edit::of(action, atom);
        let own = member.policies_to_change()?;
        let planned = edit.apply(&own);
        if action == Action::Grant && is_denied(&own, atom, planned.is_some()) {
            return Ok(denied(&email, &name));
        }
        let ours = journal::has_written(self.ports, self.id)?;
        if let Some(planned) = &planned {
            guards::protected(self.guards(), &member.email, &self.request.subject.emails)?;
            if action == Action::Revoke && !policies::give_something(planned) {
                return match self.guards().last_role {
                    LastRole::Refuse => Ok(last_role(&email, &name)),
                    LastRole::MinimalAccess | LastRole::RemoveMember => self.last_role(member, atom).await,
                };
            }
        }
        let would = would_change(action, &email, &name);
        // Also where it is so already: what is seen may be the work of a write that came late, which took along what others were told.
        let change = self.write(member.clone(), &edit, &would).await;
        // What it seemed to have may have come out to be a user group's.
        let member = apart::without_theirs(self.ports, member)?;
        let planned = edit.apply(&member.own_policies()?);
        let change = match change {
            // A guard forbids that to be taken back. The aftercare says so; what was asked for here is so all the same.
            Err(Stopped::Ended(Outcome::Refused { .. })) if planned.is_none() => {
                open_writes::amended(self.ports, member.id, &edit.grant, &edit.revoke)?;
                come_back::follow(self.ports, self.id, &member, Meanwhile::Edited(&edit))?;
                EditOutcome::AlreadySo(Box::new(member))
            }
            change => change?,
        };
        Ok(match (change, action) {
            (EditOutcome::Made(member) | EditOutcome::AlreadySo(member), Action::Grant) => {
                self.left(&member, false, None).await?;
                if ours || planned.is_some() {
                    done(Effect::Granted, format!("Granted {name} to {email}."))
                } else {
                    done(Effect::AlreadyGranted, format!("{email} has {name} already; nothing was changed."))
                }
            }
            (EditOutcome::Made(member) | EditOutcome::AlreadySo(member), Action::Revoke) => {
                match planned {
                    Some(_) => self.left(&member, false, None).await?,
                    None => self.left_as_read(&member, None).await?,
                }
                // Where an earlier attempt of this operation wrote it, and was cut off before it could say so, that is what it did.
                let said = if ours || planned.is_some() {
                    done(Effect::Revoked, format!("Revoked {name} from {email}."))
                } else {
                    done(Effect::AlreadyRevoked, format!("{email} does not have {name}; nothing was changed."))
                };
                self.unless_through_a_group(&member, atom, said).await?
            }
            // What it seemed to have besides was a user group's, or is gone since.
            (EditOutcome::WouldBeEmpty, Action::Revoke) if self.guards().last_role != LastRole::Refuse => {
                return self.last_role(read::member(self.ports, &self.client, id).await?, atom).await;
            }
            (EditOutcome::WouldBeEmpty, _) => last_role(&email, &name),
            (EditOutcome::UnknownPolicy, _) => unknown_policy(&email),
            (EditOutcome::NotSeen, _) => {
                self.not_now(format!("Cloudflare accepted the change of {name} for {email}, but does not show it"), 10)
            }
        })
    }

    /// What is said of a revoke where the member has nothing of this of their own: it is told only where no user group gives it.
    async fn unless_through_a_group(
        &self,
        member: &MemberRecord,
        atom: Atom,
        said: Outcome,
    ) -> Result<Outcome, Stopped> {
        let (name, email) = (&self.what.name, &member.email);
        // Whatever is said of it, of their own they have it no more, and no older grant is to bring it back.
        journal::took_effect(self.ports, self.id)?;
        let through = guards::held_through(&self.asking(), member, &|held| {
            held.permission_group == atom.permission_group && held.resource_group == atom.resource_group
        })
        .await?;
        Ok(match through {
            Some(group) => held_by_group(email, name, &group),
            None => said,
        })
    }

    /// What a revoke comes to that is refused while another operation for the same person, as of somebody who leaves, or gets another role in the place
    /// of this one, may make that moot: it waits for that one, for almost a day, or where its turn came later than that until it came to nothing a few times,
    /// and keeps no place among the removals that it has not used, for which that one may wait. Who does not come again by themselves is told at once.
    pub(super) fn unless_moot(
        &self,
        ended: Result<Outcome, Stopped>,
        member: &MemberRecord,
    ) -> Result<Outcome, Stopped> {
        let (Ok(Outcome::Refused { code, message }) | Err(Stopped::Ended(Outcome::Refused { code, message }))) = &ended
        else {
            return ended;
        };
        let last = *code == Refusal::LastRole;
        if !(last || *code == Refusal::HeldThroughGroup)
            || self.request.action == Action::Grant
            || self.request.key.is_none()
            || (journal::is_past_its_time(self.ports, self.id, self.ports.now().plus_secs(TOLD_BEFORE_SECS))?
                && !removals::waited_for_room(self.ports, self.id)?)
        {
            return ended;
        }
        // Where nobody is removed with it, the last role stays the last one of their own whatever user group they leave.
        let through = !last || self.guards().last_role == LastRole::RemoveMember;
        match journal::makes_moot(self.ports, self.id, member, last, through)? {
            Some(other) => {
                removals::give_back(self.ports, self.id)?;
                let why = message.trim_end_matches('.');
                Ok(self.not_now(format!("{why}; operation {}, which may change that, is under way", other.0), 300))
            }
            None => ended,
        }
    }

    /// The revoke of a member's last access, where the configuration says what that is to do.
    async fn last_role(&self, member: MemberRecord, atom: Atom) -> Result<Outcome, Stopped> {
        let (name, email) = (&self.what.name, member.email.clone());
        if self.guards().last_role == LastRole::RemoveMember {
            // The account would take along what was granted since.
            if journal::granted_since(self.ports, self.id)?.is_some() {
                return Ok(last_role(&email, name));
            }
            // Who is in a group has access that nobody asked to take away.
            if let Some(group) = self.a_group_of(&member).await? {
                return Ok(more_through(&email, name, &group));
            }
            return self.remove_who(&member, Some(&Edit::of(Action::Revoke, atom))).await;
        }
        let minimal = match resolve::configured_role(self.ports, &self.client, &Configured::default()).await? {
            Some(minimal) if minimal != atom => minimal,
            _ => return Ok(last_role(&email, name)),
        };
        // Both in one write: at no time is the member without any.
        let edit = Edit { grant: vec![minimal], revoke: vec![atom] };
        let would = would_leave_minimal(&email, name);
        Ok(match self.write(member, &edit, &would).await? {
            EditOutcome::Made(member) | EditOutcome::AlreadySo(member) => {
                self.left(&member, false, None).await?;
                let said = format!("Revoked {name} from {email}, who is left with Minimal Account Access.");
                self.unless_through_a_group(&member, atom, done(Effect::Revoked, said)).await?
            }
            EditOutcome::UnknownPolicy => unknown_policy(&email),
            // What would be left to them is denied.
            EditOutcome::WouldBeEmpty => last_role(&email, name),
            EditOutcome::NotSeen => self.not_now(format!("{name} could not be seen to be gone from {email}"), 10),
        })
    }

    /// A user group that the member is in and that gives something, asked of Cloudflare now.
    pub(super) async fn a_group_of(&self, member: &MemberRecord) -> Result<Option<String>, Stopped> {
        guards::held_through(&self.asking(), member, &|_| true).await
    }
}

/// What a revoke is told where a user group gives what is to be revoked.
pub(super) fn held_by_group(email: &str, name: &str, group: &str) -> Outcome {
    Outcome::refused(
        Refusal::HeldThroughGroup,
        format!(
            "{email} has {name} through the user group {group}, and not of their own (any more); revoke the membership of that group as well."
        ),
    )
}

/// Whether what is granted is denied: the very same always, and on another resource group where it is not held yet. Who holds it was told so, or holds it
/// by an attempt of this grant that could not say so.
pub(super) fn is_denied(own: &[Policy], atom: Atom, is_new: bool) -> bool {
    policies::deny(own, atom) || (is_new && super_admins::denies(own, atom.permission_group))
}

/// What the grant is told of what a policy of the member's denies, be it on another resource group, which may have in it what this one has: it would be
/// there, and perhaps give nothing.
pub(super) fn denied(email: &str, name: &str) -> Outcome {
    Outcome::refused(
        Refusal::NotEligible,
        format!(
            "A policy of {email}'s denies what {name} permits, here or elsewhere in the account, so a grant of it may give nothing; take that policy away in Cloudflare's dashboard, then ask again."
        ),
    )
}

/// What a grant or a revoke would have done while provisioning is off.
pub(super) fn would_change(action: Action, email: &str, name: &str) -> String {
    match action {
        Action::Grant => format!("would have granted {name} to {email}"),
        Action::Revoke => format!("would have revoked {name} from {email}"),
    }
}

/// The same of the revoke of the last access, where it leaves Minimal Account Access.
pub(super) fn would_leave_minimal(email: &str, name: &str) -> String {
    would_change(Action::Revoke, email, name) + " and left them with Minimal Account Access"
}

/// What that revoke is told where it is to remove the member, who has more through a user group.
pub(super) fn more_through(email: &str, name: &str, group: &str) -> Outcome {
    Outcome::refused(
        Refusal::LastRole,
        format!(
            "{name} is the last access that {email} has of their own, and they have more through the user group {group}, so they were not removed; revoke the membership of that group first, or the account."
        ),
    )
}

/// What the revoke of somebody's last access is told.
pub(super) fn last_role(email: &str, name: &str) -> Outcome {
    Outcome::refused(
        Refusal::LastRole,
        format!(
            "{name} is the last access that {email} has of their own, and a member without any cannot exist in Cloudflare; revoke the account instead, or give another role first."
        ),
    )
}
