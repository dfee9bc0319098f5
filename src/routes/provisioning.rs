//! Grant and revoke by REST: the same path as the webhook's.

use serde::Serialize;

use super::asking::{self, Ports};
use super::auth::Right;
use super::http::{Answer, Incoming, Problem};
use super::session;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::coordinator::{Command, Reply};
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::grant::{Entitlement, InvalidEntitlement, Principal};
use crate::model::id::MemberId;
use crate::model::operation::{Account, Effect, EntryId, Origin, Outcome, Refusal, Request, Target};

/// What a successful call answers.
#[derive(Serialize)]
struct Done {
    status: Effect,
    message: String,
    /// The grant's id, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    /// The account that the grant is to: the invitation that was made, or the membership that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
}

/// Grants or revokes.
pub(super) async fn carry_out<P: Ports>(
    ports: &P,
    action: Action,
    entitlement: Entitlement,
    (principal, subject): (Principal, Subject),
    request: &Incoming,
) -> Result<Answer, Problem> {
    request.bytes()?;
    let grant = Some((entitlement, principal));
    operate(ports, request, action, Target::Entitlement(entitlement), subject, grant).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    email: String,
    /// An entitlement id; without it the account gets the configured role.
    entitlement: Option<String>,
}

/// Invites a person.
pub(super) async fn invite<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let wanted: Invitation = json::read(request.bytes()?).map_err(|error| {
        Problem::invalid(format!(
            "the body must be {{\"email\": \"…\"}}, with an \"entitlement\" where a role is to come with it: {error}"
        ))
    })?;
    let email = wanted.email.trim();
    if !address::is_address(email) {
        return Err(Problem::invalid("email must be an e-mail address of 90 characters at most"));
    }
    let target = match wanted.entitlement {
        Some(text) => Target::Entitlement(text.parse().map_err(|error: InvalidEntitlement| {
            let code = Refusal::UnknownEntitlement;
            Problem::new(status_of(code), code.as_str(), format!("{error}."))
        })?),
        None => Target::Account,
    };
    let subject = Subject::of_email(email);
    operate(ports, request, Action::Grant, target, subject, None).await
}

/// Removes a member, or cancels an invitation.
pub(super) async fn remove<P: Ports>(ports: &P, subject: Subject, request: &Incoming) -> Result<Answer, Problem> {
    request.bytes()?;
    operate(ports, request, Action::Revoke, Target::Account, subject, None).await
}

/// Cancels an invitation and sends it again.
pub(super) async fn renew<P: Ports>(ports: &P, member: MemberId, request: &Incoming) -> Result<Answer, Problem> {
    request.bytes()?;
    operate(ports, request, Action::Grant, Target::Renewal, subject(Principal::Invitation(member))?, None).await
}

/// Who is meant by an id.
pub(super) fn subject(principal: Principal) -> Result<Subject, Problem> {
    let mut subject = Subject { has_account: true, ..Subject::default() };
    match principal {
        Principal::User(id) => subject.user_id = Some(id),
        Principal::Invitation(id) => subject.member_id = Some(id),
        Principal::Group(_) => {
            return Err(Problem::invalid(
                "a user group's access is not changed through this connector; change the group's policies in Cloudflare",
            ));
        }
    }
    Ok(subject)
}

async fn operate<P: Ports>(
    ports: &P,
    request: &Incoming,
    action: Action,
    target: Target,
    subject: Subject,
    grant: Option<(Entitlement, Principal)>,
) -> Result<Answer, Problem> {
    let way = (session::by(request), None);
    let (status, message, account) = perform(ports, request, way, action, target, subject).await?;
    // Who was found may be known by another id than the one that was sent.
    let found = account.as_ref().and_then(|it| format!("{}:{}", it.resource_type, it.id).parse().ok());
    let grant = grant.map(|(entitlement, asked)| entitlement.grant_id(found.unwrap_or(asked)));
    Ok(Answer::json(200, &Done { status, message, grant, account }))
}

/// Carries out an operation through the Coordinator; a refusal is a problem. `by` is the way it came, for the journal, which has who asked as well, where
/// the session says so; `after` is the operation that came last before the request, where this is one of several that the request is.
pub(super) async fn perform<P: Ports>(
    ports: &P,
    asked: &Incoming,
    (by, after): (&str, Option<EntryId>),
    action: Action,
    target: Target,
    subject: Subject,
) -> Result<(Effect, String, Option<Account>), Problem> {
    // A token that only reads does not get here (`Route::needs`).
    let right = Some(Right::Full.as_str().to_owned());
    let origin = Origin { by: by.to_owned(), right, requester: session::who(asked), after, ..Origin::default() };
    let request = Box::new(Request { key: None, action, target, subject, origin });
    match asking::ask(ports, Command::Provision { request, callback_url: None }).await? {
        Reply::Outcome(Outcome::Done { effect, message, account }) => Ok((effect, message, account)),
        Reply::Outcome(Outcome::Refused { code, message }) => {
            let mut problem = Problem::new(status_of(code), code.as_str(), message);
            if code == Refusal::RemovalCap {
                problem.headers.push(("Retry-After", ROOM_AFTER_SECS.to_string()));
            }
            Err(problem)
        }
        Reply::Outcome(Outcome::NotNow { message, retry_at }) => Err(Problem::not_now(message, retry_at, ports.now())),
        _ => Err(asking::failed()),
    }
}

/// What is counted against `MAX_REMOVALS_PER_HOUR` is no more after this, so by then there is room at the latest.
const ROOM_AFTER_SECS: u32 = 60 * 60;

const fn status_of(code: Refusal) -> u16 {
    match code {
        Refusal::UnknownEntitlement | Refusal::UnknownMember => 404,
        Refusal::RemovalCap => 429,
        Refusal::ProvisioningOff
        | Refusal::AmbiguousEntitlement
        | Refusal::AmbiguousMember
        | Refusal::KeyConflict
        | Refusal::LastRole
        | Refusal::UnknownPolicy
        | Refusal::UnreadableMember
        | Refusal::Superseded
        | Refusal::ProtectedMember
        | Refusal::TokenOwner
        | Refusal::MinSuperAdmins
        | Refusal::HeldThroughGroup
        | Refusal::AppNotAllowed
        | Refusal::NoDefaultRole
        | Refusal::NotPending
        | Refusal::Declined
        | Refusal::ManagedElsewhere
        | Refusal::GaveUp => 409,
        Refusal::NotEligible | Refusal::Cloudflare => 422,
    }
}
