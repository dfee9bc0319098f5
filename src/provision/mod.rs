//! Changing the account: grants, revokes, and what keeps them safe.

pub mod callback;
pub mod execute;
mod guards;
pub mod journal;
pub mod lock;
pub mod policies;
pub mod request;
mod resolve;
mod written;

use crate::cloudflare::{ApiError, Client, MemberRecord, Purpose};
use crate::conductorone::payload::Action;
use crate::config::{Config, LastRole, Provisioning};
use crate::model::access::{Atom, Policy};
use crate::model::id::UserGroupId;
use crate::model::resource::MemberStatus;
use crate::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::sync::overlay::{self, Left};
use crate::sync::snapshot::Snapshot;
use execute::Change;
use journal::EntryId;
use lock::{Guard, Locks};
use request::{Effect, Outcome, Refusal, Request};
use resolve::{Unresolved, Wanted, What};

/// Creates the tables of provisioning.
pub fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    journal::init(sql)?;
    callback::init(sql)?;
    written::init(sql)
}

/// Carries out an operation. Safe to repeat at any point: it reads first, and what is so already is left alone.
pub async fn carry_out<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    config: &Config,
    locks: &Locks,
    id: EntryId,
    request: &Request,
) -> Outcome {
    match attempt(ports, config, locks, id, request).await {
        Ok(outcome) | Err(Unresolved::Refused(outcome)) => outcome,
        Err(Unresolved::Api(error)) => after(&error),
        Err(Unresolved::Storage(message)) => Outcome::NotNow { message, retry_at: None },
    }
}

/// An operation under way: what its steps share.
struct Work<'a, P> {
    ports: &'a P,
    config: &'a Config,
    client: Client<'a, P>,
    id: EntryId,
    request: &'a Request,
    what: What,
    /// The generation that readers see, as far as KV tells.
    snapshot: Option<Snapshot>,
}

async fn attempt<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    config: &Config,
    locks: &Locks,
    id: EntryId,
    request: &Request,
) -> Result<Outcome, Unresolved> {
    guards::app(config, request)?;
    let client = Client::new(ports, config, Purpose::Provisioning);
    let snapshot = resolve::latest(ports).await?;
    let what = resolve::entitlement(ports, &client, snapshot.as_ref(), &request.target).await?;
    let work = Work { ports, config, client, id, request, what, snapshot };
    // The lock comes before the read that the change is worked out from.
    if let Some(member) = resolve::probable_member(ports, &request.subject).await? {
        let _turn = locks.acquire(&member.to_string(), || ports.now()).await;
        match execute::read(ports, &work.client, member).await {
            Ok(member) if resolve::is_subject(&request.subject, &member) => {
                return work.for_member(locks, member).await;
            }
            // A membership that is somebody else's, or gone: the person may have another one by now.
            Ok(_) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Somebody new is known by the address alone: two grants for one must not both invite.
    let name = request.subject.emails.first().map(|email| email.to_lowercase()).unwrap_or_default();
    let _turn = locks.acquire(&name, || ports.now()).await;
    let Some(found) = resolve::search(&work.client, &request.subject).await? else {
        return work.for_nobody().await;
    };
    let _turn = locks.acquire(&found.id.to_string(), || ports.now()).await;
    let member = execute::read(ports, &work.client, found.id).await?;
    work.for_member(locks, member).await
}

impl<P: Http + KeyValue + Clock + Sql> Work<'_, P> {
    /// The person has a membership, accepted or pending.
    async fn for_member(&self, locks: &Locks, member: MemberRecord) -> Result<Outcome, Unresolved> {
        let wanted = match self.what.access {
            Wanted::Atom(atom) => Some((self.request.action, atom)),
            Wanted::Account | Wanted::Group(_) => None,
        };
        let Some(member) = execute::believable(self.ports, &self.client, member, wanted).await? else {
            return Ok(Outcome::NotNow {
                message: "Cloudflare shows the member as before an earlier change".to_owned(),
                retry_at: Some(self.ports.now().plus_secs(10)),
            });
        };
        let (ports, email) = (self.ports, member.email.as_str());
        journal::resolved(ports, self.id, &member.id.to_string(), email, &self.what.id)?;
        if let Some(newer) = journal::superseded_by(ports, self.id)? {
            return Ok(Outcome::refused(
                Refusal::Superseded,
                format!(
                    "Operation {} asked for the contrary later and was carried out; this one came too late, and nothing was changed.",
                    newer.0
                ),
            ));
        }
        match (self.what.access, self.request.action) {
            (Wanted::Atom(atom), _) => self.change(locks, member, atom).await,
            (Wanted::Group(group), _) => self.change_group(locks, &member, group).await,
            (Wanted::Account, Action::Grant) => {
                self.left(&member, false, None).await?;
                Ok(done(
                    Effect::AlreadyGranted,
                    match member.status {
                        MemberStatus::Pending => {
                            format!("{email} was invited already and has not accepted yet; nothing was changed.")
                        }
                        _ => format!("{email} is a member already; nothing was changed."),
                    },
                ))
            }
            (Wanted::Account, Action::Revoke) => self.remove(locks, &member).await,
        }
    }

    /// Nobody in the account is meant.
    async fn for_nobody(&self) -> Result<Outcome, Unresolved> {
        let subject = &self.request.subject;
        let known = subject.emails.first().or(subject.user_id.as_ref()).or(subject.member_id.as_ref());
        let who = known.map_or("the person", String::as_str);
        match (self.request.action, subject.emails.first()) {
            // Somebody who is gone holds nothing.
            (Action::Revoke, _) => Ok(done(
                Effect::AlreadyRevoked,
                format!("{who} is not a member of the Cloudflare account; nothing was changed."),
            )),
            (Action::Grant, Some(email)) if !subject.has_account => self.invite(email).await,
            // Somebody took the account away: to invite anew is a decision, not a detail of a grant.
            (Action::Grant, Some(email)) => Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "{email} is not a member of the Cloudflare account any more, though ConductorOne still has the account; sync this connector in ConductorOne, then ask again, and the person is invited."
                ),
            )),
            (Action::Grant, None) => Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!(
                    "{who} is not a member of the Cloudflare account, and without an e-mail address nobody can be invited; nothing was changed."
                ),
            )),
        }
    }

    async fn change(&self, locks: &Locks, member: MemberRecord, atom: Atom) -> Result<Outcome, Unresolved> {
        let (name, email) = (self.what.name.clone(), member.email.clone());
        let action = self.request.action;
        let Some(planned) = execute::apply(action, &member.own_policies(), atom) else {
            return self.already_so(&member, atom).await;
        };
        guards::protected(self.config, &member)?;
        let mut turn = None;
        if action == Action::Revoke {
            if planned.is_empty() && self.config.guards.last_role != LastRole::Refuse {
                return self.last_role(locks, &member, atom).await;
            }
            guards::removal_cap(self.ports, self.config, self.id)?;
            let loses = guards::loses_super_administrator(self.ports, &member, Some(atom))?;
            turn = self.keep_super_administrators(locks, &member, loses).await?;
        }
        if planned.is_empty() {
            return Ok(last_role(&email, &name));
        }
        self.may_write(&match action {
            Action::Grant => format!("would have granted {name} to {email}"),
            Action::Revoke => format!("would have revoked {name} from {email}"),
        })?;
        // A guard has asked Cloudflare in between: the read is made anew right before the write.
        let member = if turn.is_some() { execute::read(self.ports, &self.client, member.id).await? } else { member };
        let change = execute::change(self.ports, &self.client, self.id, member, action, atom).await?;
        if let Change::Made(member) | Change::AlreadySo(member) = &change {
            self.left(member, false, None).await?;
        }
        Ok(match (change, action) {
            (Change::Made(_), Action::Grant) => done(Effect::Granted, format!("Granted {name} to {email}.")),
            (Change::Made(_), Action::Revoke) => done(Effect::Revoked, format!("Revoked {name} from {email}.")),
            (Change::AlreadySo(_), Action::Grant) => {
                done(Effect::AlreadyGranted, format!("{email} has {name} already; nothing was changed."))
            }
            (Change::AlreadySo(_), Action::Revoke) => {
                done(Effect::AlreadyRevoked, format!("{email} does not have {name}; nothing was changed."))
            }
            (Change::WouldBeEmpty, _) => last_role(&email, &name),
            (Change::UnknownPolicy, _) => Outcome::refused(
                Refusal::UnknownPolicy,
                format!(
                    "{email} has a policy of a kind that this version of the connector does not know and could not write back unchanged; change the access in Cloudflare's dashboard, and update the connector."
                ),
            ),
            (Change::NotSeen, _) => Outcome::NotNow {
                message: format!("Cloudflare accepted the change of {name} for {email}, but does not show it"),
                retry_at: Some(self.ports.now().plus_secs(10)),
            },
        })
    }

    /// There is nothing to write; a revoke may still have left the access, where it comes through a user group.
    async fn already_so(&self, member: &MemberRecord, atom: Atom) -> Result<Outcome, Unresolved> {
        let (name, email) = (&self.what.name, &member.email);
        self.left(member, false, None).await?;
        if self.request.action == Action::Grant {
            return Ok(done(Effect::AlreadyGranted, format!("{email} has {name} already; nothing was changed.")));
        }
        let through =
            guards::held_through(self.ports, &self.client, member, atom.permission_group, atom.resource_group).await?;
        Ok(match through {
            Some(group) => Outcome::refused(
                Refusal::HeldThroughGroup,
                format!(
                    "{email} has {name} through the user group {group}, not of their own; revoke the membership of that group instead."
                ),
            ),
            None => done(Effect::AlreadyRevoked, format!("{email} does not have {name}; nothing was changed.")),
        })
    }

    /// The revoke of a member's last access, where the configuration says what that is to do.
    async fn last_role(&self, locks: &Locks, member: &MemberRecord, atom: Atom) -> Result<Outcome, Unresolved> {
        let (name, email) = (&self.what.name, &member.email);
        if self.config.guards.last_role == LastRole::RemoveMember {
            return self.remove(locks, member).await;
        }
        let minimal = match resolve::configured_role(self.ports, MINIMAL_ACCESS).await? {
            Some(group) => policies::allow(group, resolve::whole_account(self.ports, &self.client).await?),
            None => return Ok(last_role(email, name)),
        };
        if minimal == atom {
            return Ok(last_role(email, name));
        }
        guards::removal_cap(self.ports, self.config, self.id)?;
        let loses = guards::loses_super_administrator(self.ports, member, Some(atom))?;
        let _turn = self.keep_super_administrators(locks, member, loses).await?;
        self.may_write(&format!("would have revoked {name} from {email} and left them with Minimal Account Access"))?;
        // First the one, then the other: at no time is the member without any.
        let fresh = execute::read(self.ports, &self.client, member.id).await?;
        match execute::change(self.ports, &self.client, self.id, fresh, Action::Grant, minimal).await? {
            Change::Made(_) | Change::AlreadySo(_) => {}
            _ => {
                return Ok(Outcome::NotNow {
                    message: format!("Minimal Account Access could not be given to {email}"),
                    retry_at: None,
                });
            }
        }
        let fresh = execute::read(self.ports, &self.client, member.id).await?;
        Ok(match execute::change(self.ports, &self.client, self.id, fresh, Action::Revoke, atom).await? {
            Change::Made(member) | Change::AlreadySo(member) => {
                self.left(&member, false, None).await?;
                done(Effect::Revoked, format!("Revoked {name} from {email}, who is left with Minimal Account Access."))
            }
            _ => Outcome::NotNow { message: format!("{name} could not be revoked from {email}"), retry_at: None },
        })
    }

    async fn change_group(
        &self,
        locks: &Locks,
        member: &MemberRecord,
        group: UserGroupId,
    ) -> Result<Outcome, Unresolved> {
        let (name, email) = (&self.what.name, &member.email);
        let is_in = self.client.is_in_group(group, member.id).await?;
        match (self.request.action, is_in) {
            (Action::Grant, true) => {
                self.left(member, false, Some((group, true))).await?;
                return Ok(done(
                    Effect::AlreadyGranted,
                    format!("{email} is in the group {name} already; nothing was changed."),
                ));
            }
            (Action::Revoke, false) => {
                self.left(member, false, Some((group, false))).await?;
                return Ok(done(
                    Effect::AlreadyRevoked,
                    format!("{email} is not in the group {name}; nothing was changed."),
                ));
            }
            _ => {}
        }
        guards::protected(self.config, member)?;
        let mut _turn = None;
        if self.request.action == Action::Revoke {
            guards::removal_cap(self.ports, self.config, self.id)?;
            let loses = guards::group_makes_super_administrators(self.ports, &self.client, group).await?;
            _turn = self.keep_super_administrators(locks, member, loses).await?;
        }
        let (what, wrote) = match self.request.action {
            Action::Grant => {
                self.may_write(&format!("would have put {email} into the group {name}"))?;
                self.note("adding to the group")?;
                ("Put", self.client.add_to_group(group, member.id).await)
            }
            Action::Revoke => {
                self.may_write(&format!("would have taken {email} out of the group {name}"))?;
                self.note("taking out of the group")?;
                ("Taken", self.client.remove_from_group(group, member.id).await)
            }
        };
        match wrote {
            Ok(()) | Err(ApiError::AlreadyExists(_)) => {}
            Err(ApiError::NotFound(_)) if self.request.action == Action::Revoke => {}
            Err(error) if error.outcome_unknown() => self.note(&format!("outcome unknown: {error}"))?,
            Err(error) => return Err(error.into()),
        }
        let seen = self.client.is_in_group(group, member.id).await?;
        if seen != (self.request.action == Action::Grant) {
            return Ok(Outcome::NotNow {
                message: format!("Cloudflare does not show the change of the group {name} yet"),
                retry_at: None,
            });
        }
        self.note("read back")?;
        self.left(member, false, Some((group, seen))).await?;
        Ok(match self.request.action {
            Action::Grant => done(Effect::Granted, format!("{what} {email} into the group {name}.")),
            Action::Revoke => done(Effect::Revoked, format!("{what} {email} out of the group {name}.")),
        })
    }

    /// Invites somebody new, with the role that was asked for, or with the configured one where an account or a group was.
    async fn invite(&self, email: &str) -> Result<Outcome, Unresolved> {
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
            Wanted::Account | Wanted::Group(_) => {
                let role = self.config.default_role.as_deref().unwrap_or(MINIMAL_ACCESS);
                let Some(group) = resolve::configured_role(self.ports, role).await? else {
                    return Ok(Outcome::refused(
                        Refusal::NoDefaultRole,
                        format!(
                            "A new account needs a role, and this Cloudflare account has none that is called {role:?}; set DEFAULT_ROLE to the id or the name of a role."
                        ),
                    ));
                };
                policies::allow(group, resolve::whole_account(self.ports, &self.client).await?)
            }
        };
        self.may_write(&format!("would have invited {email} with {name}"))?;
        self.note("inviting")?;
        let policy = Policy {
            access: atom.access,
            permission_groups: vec![atom.permission_group],
            resource_groups: vec![atom.resource_group],
        };
        let member = match self.client.invite(email, &[policy]).await {
            Ok(member) => member,
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
            self.note("adding to the group")?;
            self.client.add_to_group(group, member.id).await?;
            joined = Some((group, true));
        }
        self.left(&member, false, joined).await?;
        Ok(match self.what.access {
            Wanted::Account => {
                done(Effect::Invited, format!("Invited {email}; the account is there once the invitation is accepted."))
            }
            _ => done(
                Effect::Granted,
                format!("Invited {email} with {name}; it is effective once the invitation is accepted."),
            ),
        })
    }

    /// Removes a member, or cancels an invitation.
    async fn remove(&self, locks: &Locks, member: &MemberRecord) -> Result<Outcome, Unresolved> {
        let email = &member.email;
        guards::protected(self.config, member)?;
        guards::removal_cap(self.ports, self.config, self.id)?;
        let loses = member.status == MemberStatus::Accepted
            && guards::may_be_super_administrator(self.ports, &self.client, member).await?;
        let _turn = self.keep_super_administrators(locks, member, loses).await?;
        self.may_write(&format!("would have removed {email} from the account"))?;
        self.note("removing the membership")?;
        match self.client.remove_member(member.id).await {
            Ok(()) | Err(ApiError::NotFound(_)) => {}
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

    /// Where the member would stop being Super Administrator, enough others must be left. What comes back is held until the
    /// change is through, so that two revokes do not count each other's.
    async fn keep_super_administrators(
        &self,
        locks: &Locks,
        member: &MemberRecord,
        loses: bool,
    ) -> Result<Option<Guard>, Unresolved> {
        if !loses {
            return Ok(None);
        }
        let turn = locks.acquire("super administrators", || self.ports.now()).await;
        guards::enough_super_administrators(self.ports, self.config, &self.client, member).await?;
        Ok(Some(turn))
    }

    /// Nothing is written while provisioning is off; the refusal says what would have been.
    fn may_write(&self, planned: &str) -> Result<(), Unresolved> {
        if self.config.provisioning == Provisioning::On {
            return Ok(());
        }
        Err(Unresolved::Refused(Outcome::refused(
            Refusal::ProvisioningOff,
            format!(
                "Provisioning is off in this connector; it {planned}. To have it done, set PROVISIONING to on in wrangler.toml and deploy."
            ),
        )))
    }

    /// Notes what the operation left of the member, so that readers see it from now on.
    async fn left(
        &self,
        member: &MemberRecord,
        gone: bool,
        group: Option<(UserGroupId, bool)>,
    ) -> Result<(), SqlError> {
        let left = Left { member, gone, group };
        overlay::note(self.ports, self.snapshot.as_ref(), left, self.ports.now()).await
    }

    fn note(&self, line: &str) -> Result<(), SqlError> {
        journal::note(self.ports, self.id, journal::State::Writing, line, self.ports.now())
    }
}

/// The label of the permission group with the least access there is.
const MINIMAL_ACCESS: &str = "minimal_account_access";

fn done(effect: Effect, message: String) -> Outcome {
    Outcome::Done { effect, message }
}

fn last_role(email: &str, name: &str) -> Outcome {
    Outcome::refused(
        Refusal::LastRole,
        format!(
            "{name} is the last access that {email} has of their own; a member without any cannot exist in Cloudflare. Revoke the account instead, or give another role first."
        ),
    )
}

/// What an error of Cloudflare's means for the operation.
fn after(error: &ApiError) -> Outcome {
    let message = error.to_string();
    match error {
        error if error.is_retryable() || error.outcome_unknown() => {
            Outcome::NotNow { message, retry_at: error.retry_at() }
        }
        _ => Outcome::refused(Refusal::Cloudflare, format!("Cloudflare refused: {message}.")),
    }
}
