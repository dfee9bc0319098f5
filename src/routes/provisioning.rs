//! Grant and revoke by REST: the same path as the webhook's.

use serde::Serialize;

use super::problem::Problem;
use super::{Answer, Incoming, World, status};
use crate::conductorone::payload::{Action, Subject};
use crate::coordinator::{Command, Reply};
use crate::model::grant::{Entitlement, Principal};
use crate::provision::request::{Effect, Origin, Outcome, Refusal, Request, Target};

/// What a successful call answers.
#[derive(Serialize)]
struct Done {
    status: Effect,
    message: String,
    grant: String,
}

/// Grants or revokes.
pub(super) async fn carry_out<P: World>(
    ports: &P,
    action: Action,
    entitlement: Entitlement,
    principal: Principal,
    request: &Incoming,
) -> Result<Answer, Problem> {
    request.bytes()?;
    let mut subject = Subject { has_account: true, ..Subject::default() };
    match principal {
        Principal::User(id) => subject.user_id = Some(id.to_string()),
        Principal::Invitation(id) => subject.member_id = Some(id.to_string()),
        Principal::Group(_) => return Err(Problem::invalid("a group cannot be given a role through this connector")),
    }
    let operation = Request {
        key: None,
        action,
        target: Target::Id(entitlement.to_string()),
        subject,
        origin: Origin { by: "rest".to_owned(), ..Origin::default() },
    };
    match status::ask(ports, Command::Provision { request: Box::new(operation), callback_url: None }).await? {
        Reply::Outcome(Outcome::Done { effect, message }) => {
            Ok(Answer::json(200, &Done { status: effect, message, grant: entitlement.grant_id(principal) }))
        }
        Reply::Outcome(Outcome::Refused { code, message }) => {
            Err(Problem::new(status_of(code), code.as_str(), message))
        }
        Reply::Outcome(Outcome::NotNow { message, retry_at }) => {
            let wait = retry_at.map_or(5, |at| at.since(ports.now()) / 1000);
            Err(Problem::unavailable("not_now", message, wait))
        }
        _ => Err(status::failed()),
    }
}

const fn status_of(code: Refusal) -> u16 {
    match code {
        Refusal::UnknownEntitlement | Refusal::UnknownMember => 404,
        Refusal::ProvisioningOff
        | Refusal::AmbiguousEntitlement
        | Refusal::LastRole
        | Refusal::UnknownPolicy
        | Refusal::Superseded
        | Refusal::GaveUp => 409,
        Refusal::Unsupported | Refusal::Cloudflare => 422,
    }
}
