//! Changing the account: grants, revokes, and what keeps them safe.

mod accounts;
pub mod callback;
mod doubt;
pub mod execute;
mod foreign;
mod groups;
mod guards;
pub mod incidents;
pub mod journal;
pub mod lock;
mod owner;
pub mod policies;
mod renewal;
pub mod request;
pub(crate) mod resolve;
mod roles;
mod super_administrators;
mod written;

use crate::cloudflare::{ApiError, Client, MemberRecord, Purpose};
use crate::conductorone::payload::Action;
use crate::config::{Config, Provisioning};
use crate::model::id::UserGroupId;
use crate::ports::{Clock, Http, KeyValue, Log, Sql, SqlError};
use crate::sync::overlay::{self, Left};
use crate::sync::snapshot::Snapshot;
use crate::time::Timestamp;
use journal::EntryId;
use lock::{Guard, Locks};
use request::{Effect, Outcome, Refusal, Request, Target};
use resolve::{Unresolved, Wanted, What};

/// Creates the tables of provisioning.
pub fn init<P: Sql>(sql: &P) -> Result<(), SqlError> {
    journal::init(sql)?;
    callback::init(sql)?;
    doubt::init(sql)?;
    foreign::init(sql)?;
    owner::init(sql)?;
    renewal::init(sql)?;
    written::init(sql)
}

/// Forgets operations that were settled before a time, and what belongs to them.
pub fn purge<P: Sql>(sql: &P, before: Timestamp) -> Result<(), SqlError> {
    journal::purge(sql, before)?;
    incidents::purge(sql, before)?;
    renewal::purge(sql)
}

/// What is to be looked at again some time after a write: whether one that got lost was carried out late, and whether
/// somebody else wrote at the same moment. Returns when there is something again.
pub async fn look_again<P: Http + KeyValue + Clock + Sql + Log>(
    ports: &P,
    config: &Config,
    locks: &Locks,
) -> Result<Option<Timestamp>, SqlError> {
    doubt::look_again(ports, config, locks).await?;
    foreign::look(ports, config).await?;
    next_look(ports)
}

/// When something is to be looked at again.
pub fn next_look<P: Sql>(sql: &P) -> Result<Option<Timestamp>, SqlError> {
    Ok([doubt::next_due(sql)?, foreign::next_due(sql)?].into_iter().flatten().min())
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
    if request.target == Target::Renewal
        && let Some(plan) = renewal::plan(ports, id)?
    {
        // An earlier attempt had decided what to do: by now the invitation may be gone that it was about.
        let _turn = locks.acquire(&plan.email.to_lowercase(), || ports.now()).await;
        return work.renew_as_planned(locks, &plan).await;
    }
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
        let Some(member) = execute::believable(self.ports, &self.client, member).await? else {
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
        let told = member.clone();
        let outcome = match (self.what.access, self.request.action) {
            (Wanted::Atom(atom), _) => self.change(locks, member, atom).await,
            (Wanted::Group(group), _) => self.change_group(locks, &member, group).await,
            (Wanted::Renewal, _) => self.renew(locks, &member).await,
            (Wanted::Account, Action::Grant) => self.account_is_there(locks, &member).await,
            (Wanted::Account, Action::Revoke) => self.remove(locks, &member).await,
        }?;
        Ok(if self.request.action == Action::Grant { outcome.to_account(&told) } else { outcome })
    }

    /// Nobody in the account is meant.
    async fn for_nobody(&self) -> Result<Outcome, Unresolved> {
        let subject = &self.request.subject;
        let known = subject.emails.first().or(subject.user_id.as_ref()).or(subject.member_id.as_ref());
        let who = known.map_or("the person", String::as_str);
        match (self.request.action, subject.emails.first()) {
            _ if self.what.access == Wanted::Renewal => Ok(Outcome::refused(
                Refusal::UnknownMember,
                format!("{who} is no invitation of this Cloudflare account any more; invite the person anew."),
            )),
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
        guards::token_owner(self.ports, self.config, &self.client, member).await?;
        let turn = locks.acquire("super administrators", || self.ports.now()).await;
        super_administrators::enough(self.ports, self.config, &self.client, member).await?;
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

    /// Notes a write that is about to be sent.
    fn writing(&self, what: &str) -> Result<(), SqlError> {
        self.note(&format!("{}{what}", journal::WRITING))
    }

    /// Notes a write that was answered, with the ray id that Cloudflare's support asks for.
    fn wrote(&self) -> Result<(), SqlError> {
        self.note(&answered(&self.client))
    }

    fn note(&self, line: &str) -> Result<(), SqlError> {
        journal::note(self.ports, self.id, journal::State::Writing, line, self.ports.now())
    }
}

/// The label of the permission group with the least access there is.
pub(crate) const MINIMAL_ACCESS: &str = "minimal_account_access";

fn done(effect: Effect, message: String) -> Outcome {
    Outcome::Done { effect, message, account: None }
}

/// The line of the journal for a write that was answered.
fn answered<P: Http + Clock + Sql>(client: &Client<'_, P>) -> String {
    match client.last_ray() {
        Some(ray) => format!("answered (cf-ray {ray})"),
        None => "answered".to_owned(),
    }
}

fn unknown_policy(email: &str) -> Outcome {
    Outcome::refused(
        Refusal::UnknownPolicy,
        format!(
            "{email} has a policy of a kind that this version of the connector does not know and could not write back unchanged; change the access in Cloudflare's dashboard, and update the connector."
        ),
    )
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
