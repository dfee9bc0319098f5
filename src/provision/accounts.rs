//! Accounts: invitations, and removals of members.

use super::lock::Locks;
use super::request::{Effect, Outcome, Refusal};
use super::resolve::{Unresolved, Wanted};
use super::{MINIMAL_ACCESS, Work, done, execute, guards, journal, resolve, super_administrators};
use crate::cloudflare::{ApiError, MemberRecord};
use crate::model::access::Policy;
use crate::model::resource::MemberStatus;
use crate::ports::{Clock, Http, KeyValue, Sql};

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Invites somebody new, with the role that was asked for, or with the configured one where an account or a group was.
    pub(super) async fn invite(&self, email: &str) -> Result<Outcome, Unresolved> {
        let name = &self.what.name;
        if self.config.guards.protected.contains(&email.to_lowercase()) {
            return Ok(Outcome::refused(
                Refusal::ProtectedMember,
                format!(
                    "{email} is a protected member: PROTECTED_MEMBERS says that this connector never changes their access."
                ),
            ));
        }
        let atom = match self.what.access {
            Wanted::Atom(atom) => atom,
            Wanted::Account | Wanted::Group(_) | Wanted::Renewal => {
                let role = self.config.default_role.as_deref().unwrap_or(MINIMAL_ACCESS);
                match resolve::configured_access(self.ports, &self.client, role).await? {
                    Some(atom) => atom,
                    None => {
                        return Ok(Outcome::refused(
                            Refusal::NoDefaultRole,
                            format!(
                                "A new account needs a role, and this Cloudflare account has none that is called {role:?}; set DEFAULT_ROLE to the id or the name of a role, or to an entitlement's id."
                            ),
                        ));
                    }
                }
            }
        };
        self.may_write(&format!("would have invited {email} with {name}"))?;
        self.writing("inviting")?;
        let policy = Policy {
            access: atom.access,
            permission_groups: vec![atom.permission_group],
            resource_groups: vec![atom.resource_group],
        };
        let member = match self.client.invite(email, &[policy]).await {
            Ok(member) => {
                self.wrote()?;
                member
            }
            // There all the same, by somebody else's hand or our own before a crash: the next attempt finds the membership.
            Err(ApiError::AlreadyExists(failure)) => {
                return Ok(Outcome::NotNow {
                    message: format!("{email} is a member already, and not in the list yet ({failure})"),
                    retry_at: Some(self.ports.now().plus_secs(2)),
                });
            }
            Err(error) => return Err(error.into()),
        };
        journal::resolved(self.ports, self.id, &member.id.to_string(), email, &self.what.id)?;
        let mut joined = None;
        if let Wanted::Group(group) = self.what.access {
            self.writing("into the group")?;
            self.client.add_to_group(group, member.id).await?;
            joined = Some((group, true));
        }
        self.left(&member, false, joined).await?;
        let outcome = match self.what.access {
            Wanted::Account => {
                done(Effect::Invited, format!("Invited {email}; the account is there once the invitation is accepted."))
            }
            _ => done(
                Effect::Granted,
                format!("Invited {email} with {name}; it is effective once the invitation is accepted."),
            ),
        };
        Ok(outcome.to_account(&member))
    }

    /// An account is wanted for somebody who has one. An invitation that nobody has accepted for as long as the configuration says is
    /// renewed.
    pub(super) async fn account_is_there(&self, locks: &Locks, member: &MemberRecord) -> Result<Outcome, Unresolved> {
        let email = &member.email;
        if member.status == MemberStatus::Pending
            && let Some(days) = self.config.renew_invitations_after_days
            && let Some(invited_at) = journal::invited_at(self.ports, &member.id.to_string())?
            && self.ports.now().since(invited_at) >= days * 24 * 60 * 60 * 1000
        {
            return self.renew(locks, member).await;
        }
        self.left(member, false, None).await?;
        let ours = journal::has_written(self.ports, self.id)?;
        Ok(match (member.status, ours) {
            (MemberStatus::Pending, true) => {
                done(Effect::Invited, format!("Invited {email}; the account is there once the invitation is accepted."))
            }
            (MemberStatus::Pending, false) => done(
                Effect::AlreadyGranted,
                format!("{email} was invited already and has not accepted yet; nothing was changed."),
            ),
            _ => done(Effect::AlreadyGranted, format!("{email} is a member already; nothing was changed.")),
        })
    }

    /// Removes a member, or cancels an invitation.
    pub(super) async fn remove(&self, locks: &Locks, member: &MemberRecord) -> Result<Outcome, Unresolved> {
        let email = &member.email;
        guards::protected(self.config, member)?;
        guards::removal_cap(self.ports, self.config, self.id)?;
        guards::token_owner(self.ports, self.config, &self.client, member).await?;
        let loses = member.status == MemberStatus::Accepted
            && super_administrators::is_one(self.ports, &self.client, member).await?;
        let _turn = self.keep_super_administrators(locks, member, loses).await?;
        self.may_write(&format!("would have removed {email} from the account"))?;
        self.writing("removing the membership")?;
        match self.client.remove_member(member.id).await {
            Ok(()) => self.wrote()?,
            Err(ApiError::NotFound(_)) => {}
            Err(error) if error.outcome_unknown() => self.note(&format!("outcome unknown: {error}"))?,
            Err(error) => return Err(error.into()),
        }
        match execute::read(self.ports, &self.client, member.id).await {
            Err(ApiError::NotFound(_)) => {}
            Ok(_) => return Ok(Outcome::NotNow { message: format!("Cloudflare still shows {email}"), retry_at: None }),
            Err(error) => return Err(error.into()),
        }
        self.note("gone")?;
        self.left(member, true, None).await?;
        Ok(done(
            Effect::Removed,
            match member.status {
                MemberStatus::Pending => format!("Cancelled the invitation of {email}."),
                _ => format!("Removed {email} from the account."),
            },
        ))
    }
}
