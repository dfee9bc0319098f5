//! `GET /v1/what-if`: what a grant or a revoke would change.

use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::newest_first::text;
use crate::coordinator::{Command, NoAnswer, Reply, Thinking, Who};
use crate::model::ask::Action;
use crate::model::grant::{Entitlement, Holding};

/// Says what a change would come to. Nothing is written.
pub(super) async fn show<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let (action, named) = match (text(request, "grant"), text(request, "revoke")) {
        (Some(named), None) => (Action::Grant, named),
        (None, Some(named)) => (Action::Revoke, named),
        _ => {
            return Err(Problem::invalid(
                "either grant or revoke must name an entitlement, such as role:<id>:member, or be account",
            ));
        }
    };
    let principal = text(request, "principal").ok_or_else(|| {
        Problem::invalid("principal must be user:<id>, invitation:<membership id>, or an e-mail address")
    })?;
    let entitlement = if named == Holding::ACCOUNT {
        None
    } else {
        Some(Entitlement::recognise(&named).ok_or_else(|| {
            Problem::invalid(format!("{named:?} is no entitlement; GET /v1/entitlements lists those that there are"))
        })?)
    };
    let who = principal.parse().map_or(Who::Address(principal), Who::Known);
    let asked = Thinking { who, action, entitlement };
    match asking::ask(ports, Command::WhatIf(asked)).await? {
        Reply::WouldBe(Ok(answer)) => Ok(Answer::json(200, &answer)),
        Reply::WouldBe(Err(NoAnswer::Unknown(why))) => Err(Problem::new(404, "not_found", why)),
        Reply::WouldBe(Err(NoAnswer::NotNow(why))) => Err(Problem::not_now(why, None, ports.now())),
        _ => Err(asking::failed()),
    }
}
