//! One role more or less on a member: what is checked before it is written, and what is said afterwards.

use super::execute::{Change, Edit};
use super::outcomes::unknown_policy;
use super::resolve;
use super::settings::LastRole;
use super::work::{Work, done};
use super::{guards, journal, open_writes};
use crate::account::Stopped;
use crate::account::default_role::MINIMAL_ACCESS;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::MemberRecord;
use crate::model::access::Atom;
use crate::model::ask::Action;
use crate::model::operation::{Effect, Outcome, Refusal};

/// For how long a REST call that is made again is taken for the same one: C1 may run a connector's call again when the
/// answer was lost, or when a rate limit struck (`reference/conductorone.md` 6.4).
const REPEAT_SECS: i64 = 15 * 60;

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Grants or revokes an atom.
    pub(super) async fn change(&self, member: MemberRecord, atom: Atom) -> Result<Outcome, Stopped> {
        let (name, email) = (self.what.name.clone(), member.email.clone());
        let action = self.request.action;
        let edit = Edit::of(action, atom);
        let planned = edit.apply(&member.own_policies()?);
        let ours = journal::has_written(self.ports, self.id)?;
        if let Some(planned) = &planned {
            guards::protected(self.guards(), &member.email)?;
            if planned.is_empty() {
                return match self.guards().last_role {
                    LastRole::Refuse => Ok(last_role(&email, &name)),
                    LastRole::MinimalAccess | LastRole::RemoveMember => self.last_role(member, atom).await,
                };
            }
        }
        let would = match action {
            Action::Grant => format!("would have granted {name} to {email}"),
            Action::Revoke => format!("would have revoked {name} from {email}"),
        };
        // Also where it is so already: what is seen may be the work of a write that came late, which took along what others were told.
        let change = match self.write(member.clone(), &edit, &would).await {
            // A guard forbids that to be taken back. The aftercare says so; what was asked for here is so all the same.
            Err(Stopped::Refused(Outcome::Refused { .. })) if planned.is_none() => {
                open_writes::amended(self.ports, member.id, &edit.grant, &edit.revoke)?;
                Change::AlreadySo(Box::new(member))
            }
            change => change?,
        };
        Ok(match (change, action) {
            (Change::Made(member), action) if planned.is_some() => {
                self.left(&member, false, None).await?;
                match action {
                    Action::Grant => done(Effect::Granted, format!("Granted {name} to {email}.")),
                    Action::Revoke => done(Effect::Revoked, format!("Revoked {name} from {email}.")),
                }
            }
            (Change::Made(member) | Change::AlreadySo(member), _) => {
                self.left(&member, false, None).await?;
                self.already_so(&member, atom, ours).await?
            }
            (Change::WouldBeEmpty, _) => last_role(&email, &name),
            (Change::UnknownPolicy, _) => unknown_policy(&email),
            (Change::NotSeen, _) => {
                self.not_now(format!("Cloudflare accepted the change of {name} for {email}, but does not show it"), 10)
            }
        })
    }

    /// There is nothing to write; a revoke may still have left the access, where it comes through a user group.
    async fn already_so(&self, member: &MemberRecord, atom: Atom, ours: bool) -> Result<Outcome, Stopped> {
        let (name, email) = (&self.what.name, &member.email);
        if self.request.action == Action::Grant {
            return Ok(self.nothing_to_do(email, ours));
        }
        let through = guards::held_through(&self.asking(), member, |held| {
            held.permission_group == atom.permission_group && held.resource_group == atom.resource_group
        })
        .await?;
        // A REST call has no key by which a second one is known for the first again. What was revoked a moment ago is gone for the
        // second too, though a group still has it.
        let again = self.request.key.is_none()
            && journal::revoked_since(self.ports, self.id, self.ports.now().plus_secs(-REPEAT_SECS))?;
        match through {
            Some(group) if again => Ok(done(
                Effect::AlreadyRevoked,
                format!(
                    "{email} does not have {name} of their own any more; it is left through the user group {group}."
                ),
            )),
            Some(group) => Ok(Outcome::refused(
                Refusal::HeldThroughGroup,
                format!(
                    "{email} has {name} through the user group {group}, not of their own; revoke the membership of that group instead."
                ),
            )),
            None => Ok(self.nothing_to_do(email, ours)),
        }
    }

    /// It is as was asked for. Where an earlier attempt of this operation wrote it, and was cut off before it could say so, that is
    /// what it did.
    fn nothing_to_do(&self, email: &str, ours: bool) -> Outcome {
        let name = &self.what.name;
        match (self.request.action, ours) {
            (Action::Grant, true) => done(Effect::Granted, format!("Granted {name} to {email}.")),
            (Action::Revoke, true) => done(Effect::Revoked, format!("Revoked {name} from {email}.")),
            (Action::Grant, false) => {
                done(Effect::AlreadyGranted, format!("{email} has {name} already; nothing was changed."))
            }
            (Action::Revoke, false) => {
                done(Effect::AlreadyRevoked, format!("{email} does not have {name}; nothing was changed."))
            }
        }
    }

    /// The revoke of a member's last access, where the configuration says what that is to do.
    async fn last_role(&self, member: MemberRecord, atom: Atom) -> Result<Outcome, Stopped> {
        let (name, email) = (&self.what.name, member.email.clone());
        if self.guards().last_role == LastRole::RemoveMember {
            // Who is in a group has access that nobody asked to take away.
            if let Some(group) = self.a_group_of(&member).await? {
                return Ok(Outcome::refused(
                    Refusal::LastRole,
                    format!(
                        "{name} is the last access that {email} has of their own, and they have more through the user group {group}, so they were not removed; revoke the membership of that group first, or the account."
                    ),
                ));
            }
            return self.remove(&member).await;
        }
        let minimal = match resolve::configured_role(self.ports, &self.client, MINIMAL_ACCESS).await? {
            Some(minimal) if minimal != atom => minimal,
            _ => return Ok(last_role(&email, name)),
        };
        // Both in one write: at no time is the member without any.
        let edit = Edit { grant: vec![minimal], revoke: vec![atom] };
        let would = format!("would have revoked {name} from {email} and left them with Minimal Account Access");
        Ok(match self.write(member, &edit, &would).await? {
            Change::Made(member) | Change::AlreadySo(member) => {
                self.left(&member, false, None).await?;
                done(Effect::Revoked, format!("Revoked {name} from {email}, who is left with Minimal Account Access."))
            }
            Change::UnknownPolicy => unknown_policy(&email),
            Change::WouldBeEmpty | Change::NotSeen => {
                self.not_now(format!("{name} could not be seen to be gone from {email}"), 10)
            }
        })
    }

    /// A user group that the member is in and that gives something, asked of Cloudflare now.
    async fn a_group_of(&self, member: &MemberRecord) -> Result<Option<String>, Stopped> {
        guards::held_through(&self.asking(), member, |_| true).await
    }
}

fn last_role(email: &str, name: &str) -> Outcome {
    Outcome::refused(
        Refusal::LastRole,
        format!(
            "{name} is the last access that {email} has of their own, and a member without any cannot exist in Cloudflare; revoke the account instead, or give another role first."
        ),
    )
}
