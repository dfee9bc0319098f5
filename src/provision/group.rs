//! Membership of a user group, by the group's own member calls: each adds or takes away one member, so nothing has to be read,
//! merged and written back.

use super::execute::READ_BACK_WAITS;
use super::resolve::Unresolved;
use super::{Work, done, guards, journal, super_admins, written};
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{ApiError, Failure, MemberRecord};
use crate::model::ask::Action;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::operation::{Effect, Outcome, Refusal};
use crate::model::resource::MemberStatus;

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// Puts a member into a user group, or takes the member out.
    pub(super) async fn change_group(&self, member: &MemberRecord, group: UserGroupId) -> Result<Outcome, Unresolved> {
        let (name, email) = (&self.what.name, &member.email);
        let wanted = self.request.action == Action::Grant;
        let Some(is_in) = self.is_in(group, member.id).await? else {
            return Ok(self.not_now(format!("Cloudflare does not know the members of the group {name} yet"), 5));
        };
        if is_in == wanted {
            self.left(member, false, Some((group, is_in))).await?;
            let ours = journal::has_written(self.ports, self.id)?;
            return Ok(match self.request.action {
                // Done by an earlier attempt that was cut off before it could say so.
                Action::Grant if ours => done(Effect::Granted, format!("Put {email} into the group {name}.")),
                Action::Revoke if ours => done(Effect::Revoked, format!("Taken {email} out of the group {name}.")),
                Action::Grant => done(
                    Effect::AlreadyGranted,
                    format!("{email} is in the group {name} already; nothing was changed."),
                ),
                Action::Revoke => {
                    done(Effect::AlreadyRevoked, format!("{email} is not in the group {name}; nothing was changed."))
                }
            });
        }
        guards::protected(self.guards(), email)?;
        let mut _turn = None;
        if self.request.action == Action::Revoke {
            guards::removal_cap(self.ports, self.guards(), self.id)?;
            let loses = member.status == MemberStatus::Accepted
                && super_admins::come_of(self.ports, &self.client, group).await?;
            _turn = self.keep_super_administrators(member, loses).await?;
        }
        self.may_write(&match self.request.action {
            Action::Grant => format!("would have put {email} into the group {name}"),
            Action::Revoke => format!("would have taken {email} out of the group {name}"),
        })?;
        let seen = match self.request.action {
            Action::Grant => self.join(group, name, member).await?,
            Action::Revoke => self.leave(group, name, member).await?,
        };
        if !seen {
            return Ok(self.not_now(format!("Cloudflare does not show the change of the group {name} yet"), 5));
        }
        self.left(member, false, Some((group, wanted))).await?;
        Ok(match self.request.action {
            Action::Grant => done(Effect::Granted, format!("Put {email} into the group {name}.")),
            Action::Revoke => done(Effect::Revoked, format!("Taken {email} out of the group {name}.")),
        })
    }

    /// Whether a member is in a group; `None` where the group is too new for Cloudflare to know its members
    /// (`reference/cloudflare.md` 2.7).
    async fn is_in(&self, group: UserGroupId, member: MemberId) -> Result<Option<bool>, Unresolved> {
        let mut waits = READ_BACK_WAITS.into_iter();
        let is_in = loop {
            let is_in = self.client.is_in_group(group, member).await?;
            if !written::is_group_stale(self.ports, group, member, is_in, self.ports.now())? {
                break is_in;
            }
            let Some(wait) = waits.next() else { return Ok(None) };
            self.ports.sleep(wait).await;
        };
        if is_in || self.request.action == Action::Grant {
            return Ok(Some(is_in));
        }
        // A revoke of who seems not to be there: a new group's members are not found either.
        match self.client.user_group_members_page(group, 1).await {
            Err(ApiError::NotFound(_)) => match self.client.user_group(group).await {
                Ok(_) => Ok(None),
                Err(ApiError::NotFound(_)) => Ok(Some(false)),
                Err(error) => Err(error.into()),
            },
            // A group with an invalid policy refuses the list alone.
            Ok(_) | Err(ApiError::Invalid(_)) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a member to a group; whether that shows.
    pub(super) async fn join(&self, group: UserGroupId, name: &str, member: &MemberRecord) -> Result<bool, Unresolved> {
        self.note(&format!("adding to the group {name}"))?;
        let mut waits = READ_BACK_WAITS.into_iter();
        loop {
            match self.client.add_to_group(group, member.id).await {
                Ok(()) | Err(ApiError::AlreadyExists(_)) => break,
                Err(error) if error.outcome_unknown() => {
                    self.note(&format!("outcome unknown: {error}"))?;
                    break;
                }
                // Shortly after its creation a group is there, and its members are not.
                Err(ApiError::NotFound(failure)) => {
                    match self.client.user_group(group).await {
                        Ok(_) => {}
                        Err(ApiError::NotFound(_)) => return Err(no_such_group(name, &failure)),
                        Err(error) => return Err(error.into()),
                    }
                    let Some(wait) = waits.next() else { return Ok(false) };
                    self.ports.sleep(wait).await;
                }
                Err(error) => return Err(refusal(error, name, &member.email)),
            }
        }
        self.note_done("added to the group")?;
        self.shows(group, member.id, true).await
    }

    /// Takes a member out of a group; whether that shows.
    async fn leave(&self, group: UserGroupId, name: &str, member: &MemberRecord) -> Result<bool, Unresolved> {
        self.note(&format!("taking out of the group {name}"))?;
        match self.client.remove_from_group(group, member.id).await {
            Ok(()) | Err(ApiError::NotFound(_)) => {}
            Err(error) if error.outcome_unknown() => self.note(&format!("outcome unknown: {error}"))?,
            Err(error) => return Err(refusal(error, name, &member.email)),
        }
        self.note_done("taken out of the group")?;
        self.shows(group, member.id, false).await
    }

    /// Reads until a change of a group shows.
    async fn shows(&self, group: UserGroupId, member: MemberId, wanted: bool) -> Result<bool, Unresolved> {
        let mut waits = READ_BACK_WAITS.into_iter();
        loop {
            if self.client.is_in_group(group, member).await? == wanted {
                written::note_group(self.ports, group, member, wanted, self.ports.now())?;
                self.note("read back")?;
                return Ok(true);
            }
            let Some(wait) = waits.next() else { return Ok(false) };
            self.ports.sleep(wait).await;
        }
    }
}

fn no_such_group(name: &str, failure: &Failure) -> Unresolved {
    Unresolved::Refused(Outcome::refused(
        Refusal::UnknownEntitlement,
        format!(
            "Cloudflare has no user group {name} any more ({failure}); sync this connector, so that it is not offered."
        ),
    ))
}

/// What Cloudflare's refusal of a group's change means. Its words are the only sign there is (`reference/cloudflare.md` 2.6).
fn refusal(error: ApiError, name: &str, email: &str) -> Unresolved {
    let said = match &error {
        ApiError::Invalid(failure) | ApiError::Forbidden(failure) => failure.message.to_lowercase(),
        _ => return error.into(),
    };
    if said.contains("dsr enabled") {
        return Unresolved::Refused(Outcome::refused(
            Refusal::NotEligible,
            format!(
                "{email} cannot be in a user group, since Cloudflare has not enabled domain-scoped roles for them ({error}); give the roles of the group {name} one by one."
            ),
        ));
    }
    if said.contains("scim") || said.contains("identity provider") {
        return Unresolved::Refused(Outcome::refused(
            Refusal::ManagedElsewhere,
            format!(
                "The members of the user group {name} are managed by an identity provider through SCIM ({error}); change the group there."
            ),
        ));
    }
    error.into()
}
