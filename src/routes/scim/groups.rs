//! `/Groups`: one Group, and changing its members.

use serde_json::Value;

use super::call::Call;
use super::lists;
use super::users::BY;
use crate::model::ask::Action;
use crate::model::grant::Entitlement;
use crate::model::operation::{Refusal, Target};
use crate::model::resource::Row;
use crate::routes::asking::Ports;
use crate::routes::http::{Answer, Problem};
use crate::routes::{paging, provisioning};
use crate::scim::patch::{self, MembersEdit};
use crate::scim::plan::{Step, plan};
use crate::scim::{id, resource};

/// Shows a Group.
pub(super) async fn show<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let with_members = call.projection()?.returns("members");
    let (_, group) = find(call, id, with_members).await?;
    call.shown(200, group)
}

/// Replaces a Group; only its members can change, and members that are not named at all stay as they are.
pub(super) async fn replace<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let body = call.body()?;
    let changes = match body.get("members").filter(|members| !members.is_null()) {
        None => Vec::new(),
        members => vec![MembersEdit::Replace(patch::members(members)?)],
    };
    let (entitlement, group) = find(call, id, true).await?;
    change(call, id, entitlement, &group, &changes).await
}

/// Changes a Group's members.
pub(super) async fn patch<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let body = call.body()?;
    let (entitlement, group) = find(call, id, true).await?;
    let changes = patch::group(&body, &group)?;
    change(call, id, entitlement, &group, &changes).await
}

async fn change<P: Ports>(
    call: &Call<'_, P>,
    id: &str,
    entitlement: Entitlement,
    group: &Value,
    changes: &[MembersEdit],
) -> Result<Answer, Problem> {
    call.unchanged(group)?;
    let members = group.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    let steps = plan(members, changes, call.settings.scim_replace_max_removals)?;
    let mut done = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let subject = provisioning::subject(step.member)?;
        let target = Target::Entitlement(entitlement);
        match provisioning::perform(call.ports, BY, None, step.action, target, subject).await {
            Ok((_, message, _)) => done.push(message),
            Err(problem) => return Err(stopped(problem, &done, steps.get(place + 1..).unwrap_or_default())),
        }
    }
    let (_, group) = find(call, id, true).await?;
    call.shown(200, group)
}

/// The problem of one step, with what was done before it and what was not done after it.
fn stopped(mut problem: Problem, done: &[String], left: &[Step]) -> Problem {
    if problem.code == Refusal::UnknownMember.as_str() {
        // The Group is there; it is the value that is wrong.
        (problem.status, problem.code) = (400, "invalidValue");
    }
    if !done.is_empty() {
        problem.detail = format!("{} Done before that: {}", problem.detail, done.join(" "));
    }
    if !left.is_empty() {
        let left: Vec<String> = left
            .iter()
            .map(|step| {
                let sign = if step.action == Action::Grant { "add" } else { "remove" };
                format!("{sign} {}", id::of_principal(step.member))
            })
            .collect();
        problem.detail = format!("{} Not tried after that: {}.", problem.detail, left.join(", "));
    }
    problem
}

async fn find<P: Ports>(call: &Call<'_, P>, id: &str, with_members: bool) -> Result<(Entitlement, Value), Problem> {
    let shown: String = id.chars().take(100).collect();
    let missing = || Problem::new(404, "not_found", format!("there is no Group {shown:?}; GET /Groups has them"));
    let entitlement = id::entitlement(id).ok_or_else(missing)?;
    let snapshot = paging::open(call.ports, None).await?;
    let row = snapshot.get(call.ports, &entitlement.resource()).await.map_err(paging::unreadable)?;
    let (entitlement, name) = row.as_ref().and_then(Row::offered).ok_or_else(missing)?;
    let mut members = None;
    if with_members {
        let mut held = lists::holders(call, &snapshot, &[entitlement].into()).await?;
        members = Some(held.remove(&entitlement).unwrap_or_default());
    }
    Ok((entitlement, resource::group(&call.base, entitlement, &name, members.as_deref())))
}

#[cfg(test)]
mod tests {
    use super::{Action, Problem, Step, stopped};
    use crate::model::grant::Principal;

    #[test]
    fn a_failure_in_the_middle_says_what_was_done_and_what_was_not() {
        let left = [Step { action: Action::Revoke, member: Principal::User("a".repeat(32).parse().unwrap()) }];
        let told = stopped(Problem::new(404, "unknown_member", "Nobody."), &["Granted A.".to_owned()], &left);
        assert_eq!((told.status, told.code), (400, "invalidValue"));
        let expected = format!("Nobody. Done before that: Granted A. Not tried after that: remove {}.", "a".repeat(32));
        assert_eq!(told.detail, expected);
    }
}
