//! Changing the account: grants, revokes, and what keeps them safe.

pub mod callback;
pub mod execute;
pub mod journal;
pub mod lock;
pub mod policies;
pub mod request;
mod resolve;
mod written;

use crate::cloudflare::{ApiError, Client, MemberRecord, Purpose};
use crate::conductorone::payload::Action;
use crate::config::{Config, Provisioning};
use crate::ports::{Clock, Http, KeyValue, Sql, SqlError};
use execute::Change;
use journal::EntryId;
use lock::Locks;
use request::{Effect, Outcome, Refusal, Request};
use resolve::{Unresolved, What};

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

async fn attempt<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    config: &Config,
    locks: &Locks,
    id: EntryId,
    request: &Request,
) -> Result<Outcome, Unresolved> {
    let client = Client::new(ports, config, Purpose::Provisioning);
    let what = resolve::entitlement(ports, &client, &request.target).await?;
    let probable = resolve::probable_member(ports, &request.subject).await?;
    // The lock comes before the read that the change is worked out from.
    if let Some(member) = probable {
        let _turn = locks.acquire(&member.to_string(), || ports.now()).await;
        match client.member(member).await {
            Ok(member) if resolve::is_subject(&request.subject, &member) => {
                return apply(ports, config, &client, id, request, &what, member).await;
            }
            // A membership that is somebody else's, or gone: the person may have another one by now.
            Ok(_) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Some(found) = resolve::search(&client, &request.subject).await? else {
        return Ok(absent(request, &what));
    };
    let _turn = locks.acquire(&found.id.to_string(), || ports.now()).await;
    let member = client.member(found.id).await?;
    apply(ports, config, &client, id, request, &what, member).await
}

async fn apply<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    config: &Config,
    client: &Client<'_, P>,
    id: EntryId,
    request: &Request,
    what: &What,
    member: MemberRecord,
) -> Result<Outcome, Unresolved> {
    let email = member.email.clone();
    journal::resolved(ports, id, &member.id.to_string(), &email, &what.entitlement.to_string())?;
    if let Some(newer) = journal::superseded_by(ports, id)? {
        return Ok(Outcome::refused(
            Refusal::Superseded,
            format!(
                "Operation {} asked for the contrary later and was carried out; this one came too late, and nothing was changed.",
                newer.0
            ),
        ));
    }
    let atom = policies::allow(what.permission_group, what.resource_group);
    if config.provisioning == Provisioning::Off {
        return Ok(rehearse(request.action, &member, what));
    }
    let change = execute::change(ports, client, id, member, request.action, atom).await?;
    let name = &what.name;
    Ok(match (change, request.action) {
        (Change::Made, Action::Grant) => done(Effect::Granted, format!("Granted {name} to {email}.")),
        (Change::AlreadySo, Action::Grant) => {
            done(Effect::AlreadyGranted, format!("{email} has {name} already; nothing was changed."))
        }
        (Change::Made, Action::Revoke) => done(Effect::Revoked, format!("Revoked {name} from {email}.")),
        (Change::AlreadySo, Action::Revoke) => {
            done(Effect::AlreadyRevoked, format!("{email} does not have {name}; nothing was changed."))
        }
        (Change::WouldBeEmpty, _) => last_role(&email, name),
        (Change::UnknownPolicy, _) => Outcome::refused(
            Refusal::UnknownPolicy,
            format!(
                "{email} has a policy of a kind that this version of the connector does not know and could not write back unchanged; change the access in Cloudflare's dashboard, and update the connector."
            ),
        ),
        (Change::NotSeen, _) => Outcome::NotNow {
            message: format!("Cloudflare accepted the change of {name} for {email}, but does not show it"),
            retry_at: Some(ports.now().plus_secs(10)),
        },
    })
}

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

/// What would be done, were provisioning on.
fn rehearse(action: Action, member: &MemberRecord, what: &What) -> Outcome {
    let atom = policies::allow(what.permission_group, what.resource_group);
    let (email, name) = (&member.email, &what.name);
    let planned = match (action, execute::apply(action, &member.own_policies(), atom)) {
        (Action::Grant, Some(_)) => format!("would have granted {name} to {email}"),
        (Action::Grant, None) => {
            return done(Effect::AlreadyGranted, format!("{email} has {name} already; nothing was changed."));
        }
        (Action::Revoke, Some(rest)) if rest.is_empty() => return last_role(email, name),
        (Action::Revoke, Some(_)) => format!("would have revoked {name} from {email}"),
        (Action::Revoke, None) => {
            return done(Effect::AlreadyRevoked, format!("{email} does not have {name}; nothing was changed."));
        }
    };
    Outcome::refused(
        Refusal::ProvisioningOff,
        format!(
            "Provisioning is off in this connector; it {planned}. To have it done, set PROVISIONING to on in wrangler.toml and deploy."
        ),
    )
}

fn absent(request: &Request, what: &What) -> Outcome {
    let who =
        request.subject.emails.first().or(request.subject.user_id.as_ref()).or(request.subject.member_id.as_ref());
    let who = who.map_or("the person", String::as_str);
    match request.action {
        // Somebody who is gone holds nothing.
        Action::Revoke => done(
            Effect::AlreadyRevoked,
            format!("{who} is not a member of the Cloudflare account; nothing was changed."),
        ),
        Action::Grant => Outcome::refused(
            Refusal::UnknownMember,
            format!(
                "{who} is not a member of the Cloudflare account, so {} could not be granted; invite the person first.",
                what.name
            ),
        ),
    }
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
