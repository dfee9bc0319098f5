//! Membership of user groups, through the groups' own calls.

use super::lock::Locks;
use super::request::{Effect, Outcome, Refusal};
use super::resolve::Unresolved;
use super::{Work, done, execute, guards, journal, super_administrators};
use crate::cloudflare::{ApiError, MemberRecord};
use crate::conductorone::payload::Action;
use crate::model::id::UserGroupId;
use crate::ports::{Clock, Http, KeyValue, Sql};

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    pub(super) async fn change_group(
        &self,
        locks: &Locks,
        member: &MemberRecord,
        group: UserGroupId,
    ) -> Result<Outcome, Unresolved> {
        let (name, email) = (&self.what.name, &member.email);
        let wanted = self.request.action == Action::Grant;
        if self.client.is_in_group(group, member.id).await? == wanted {
            self.left(member, false, Some((group, wanted))).await?;
            return self.group_is_so(email);
        }
        guards::protected(self.config, member)?;
        let mut _turn = None;
        if self.request.action == Action::Revoke {
            guards::removal_cap(self.ports, self.config, self.id)?;
            let loses = super_administrators::made_by(self.ports, &self.client, group).await?;
            _turn = self.keep_super_administrators(locks, member, loses).await?;
        }
        let wrote = match self.request.action {
            Action::Grant => {
                self.may_write(&format!("would have put {email} into the group {name}"))?;
                self.writing("into the group")?;
                self.client.add_to_group(group, member.id).await
            }
            Action::Revoke => {
                self.may_write(&format!("would have taken {email} out of the group {name}"))?;
                self.writing("out of the group")?;
                self.client.remove_from_group(group, member.id).await
            }
        };
        match wrote {
            Ok(()) | Err(ApiError::AlreadyExists(_)) => self.wrote()?,
            Err(ApiError::NotFound(_)) if !wanted => {}
            // A group that was just made is not found for some seconds (`reference/cloudflare.md` 2.7).
            Err(ApiError::NotFound(_)) if self.is_there(group).await? => {
                return Ok(Outcome::NotNow {
                    message: format!("Cloudflare does not find the members of the group {name} yet"),
                    retry_at: Some(self.ports.now().plus_secs(5)),
                });
            }
            Err(error) if error.outcome_unknown() => self.note(&format!("outcome unknown: {error}"))?,
            Err(error) => return explained(error, email, name),
        }
        let mut waits = execute::READ_BACK_WAITS.into_iter();
        while self.client.is_in_group(group, member.id).await? != wanted {
            let Some(wait) = waits.next() else {
                return Ok(Outcome::NotNow {
                    message: format!("Cloudflare does not show the change of the group {name} yet"),
                    retry_at: None,
                });
            };
            self.ports.sleep(wait).await;
        }
        self.note("read back")?;
        self.left(member, false, Some((group, wanted))).await?;
        self.group_is_so(email)
    }

    /// The membership is as was asked for, by this operation or before it.
    fn group_is_so(&self, email: &str) -> Result<Outcome, Unresolved> {
        let name = &self.what.name;
        Ok(match (self.request.action, journal::has_written(self.ports, self.id)?) {
            (Action::Grant, true) => done(Effect::Granted, format!("Put {email} into the group {name}.")),
            (Action::Revoke, true) => done(Effect::Revoked, format!("Took {email} out of the group {name}.")),
            (Action::Grant, false) => {
                done(Effect::AlreadyGranted, format!("{email} is in the group {name} already; nothing was changed."))
            }
            (Action::Revoke, false) => {
                done(Effect::AlreadyRevoked, format!("{email} is not in the group {name}; nothing was changed."))
            }
        })
    }

    async fn is_there(&self, group: UserGroupId) -> Result<bool, ApiError> {
        match self.client.user_group(group).await {
            Ok(_) => Ok(true),
            Err(ApiError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What a refusal by Cloudflare means, where more is known of it than its words say (`reference/cloudflare.md` 2.6).
fn explained(error: ApiError, email: &str, group: &str) -> Result<Outcome, Unresolved> {
    let text = error.to_string();
    let lower = text.to_lowercase();
    let why = if lower.contains("dsr enabled") {
        format!(
            "{email} cannot be in user groups: Cloudflare has not moved this member to domain-scoped roles yet ({text}). Grant the role itself instead."
        )
    } else if lower.contains("scim") {
        format!(
            "The group {group} is managed by an identity provider through SCIM, so only that can change who is in it ({text})."
        )
    } else {
        return Err(error.into());
    };
    Ok(Outcome::refused(Refusal::Cloudflare, why))
}
