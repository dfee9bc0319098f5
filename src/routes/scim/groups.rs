//! `/Groups`: one Group, and changing its members.

use serde_json::Value;

use super::call::Call;
use super::lists;
use super::users::BY;
use crate::base::ports::Method;
use crate::base::tree::BTreeSet;
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::grant::{Entitlement, Principal};
use crate::model::kind::Kind;
use crate::model::operation::{Effect, EntryId, Refusal, Target};
use crate::model::resource::Row;
use crate::provision::journal::{Entry, Filter};
use crate::routes::asking::Ports;
use crate::routes::http::{Answer, Problem};
use crate::routes::{paging, principal, provisioning};
use crate::scim::patch::{self, MembersEdit};
use crate::scim::plan::{self, PlanError, Step, plan};
use crate::scim::{id, resource};
use crate::snapshot::Snapshot;

/// Shows a Group.
pub(super) async fn show<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let with_members = call.projection()?.returns("members");
    let found = find(call, id, with_members).await?;
    call.shown(200, found.group.ok_or_else(|| missing(id))?)
}

/// Replaces a Group; only its members can change, and members that are not named at all stay as they are.
pub(super) async fn replace<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let body = call.body()?;
    let changes = patch::whole_group(&body)?;
    change(call, id, find(call, id, true).await?, changes).await
}

/// Changes a Group's members.
pub(super) async fn patch<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let body = call.body()?;
    let found = find(call, id, true).await?;
    let Some(group) = &found.group else { return take_out_of_unlisted(call, id, &found, &body).await };
    let changes = patch::group(&body, group)?;
    change(call, id, found, changes).await
}

/// A Group that is on no list may have come since the last sync, as one does that somebody holds on a part of the account. A client takes
/// "there is no such Group" for nobody being in it, so Cloudflare is asked before that is said of whom it takes out. Nobody is put in.
async fn take_out_of_unlisted<P: Ports>(
    call: &Call<'_, P>,
    id: &str,
    found: &Found,
    body: &Value,
) -> Result<Answer, Problem> {
    call.unchanged(&Value::Null)?;
    let mut changes = patch::group(body, &Value::Null)?;
    let mut steps = plan(Vec::new(), &changes, call.settings.scim_replace_max_removals, true)?;
    let planned = steps.len();
    steps.retain(|step| step.action == Action::Revoke);
    // Nor does a list take anybody out by that it has others: whether it is about this account shows only where one of them is put in.
    changes.retain(|change| !matches!(change, MembersEdit::Replace(ids) if !ids.is_empty()));
    let taken = carry_out(call, found, &changes, &steps, true).await?;
    if taken == 0 || steps.len() < planned {
        return Err(missing(id));
    }
    Ok(Answer::no_content())
}

async fn change<P: Ports>(
    call: &Call<'_, P>,
    id: &str,
    mut found: Found,
    mut changes: Vec<MembersEdit>,
) -> Result<Answer, Problem> {
    let mut group = found.group.take().ok_or_else(|| missing(id))?;
    call.unchanged(&group)?;
    // A Group may have as many members as the account: they are not held twice.
    let Some(Value::Array(members)) = group.get_mut("members").map(Value::take) else { return Err(missing(id)) };
    for change in &mut changes {
        if let MembersEdit::Replace(ids) = change {
            *ids = as_known(call, &found.snapshot, &members, ids).await?;
        }
    }
    // A PATCH that replaces may be a revoke by a list of before: it would also put in who was taken out since. `*` matches whatever there is.
    let may_swap =
        call.request.method == Method::Put || call.request.header("if-match").is_some_and(|known| !known.contains('*'));
    let steps = plan(members, &changes, call.settings.scim_replace_max_removals, may_swap)?;
    carry_out(call, &found, &changes, &steps, may_swap).await?;
    drop(found);
    let left = find(call, id, true).await?;
    call.shown(200, left.group.ok_or_else(|| missing(id))?)
}

/// The ids of a list that replaces the members, as the members have them: who was invited has another id once they have accepted, and a
/// client may have either: by ids alone the one would be put in, and the other, who is the same person, taken out.
async fn as_known<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
    members: &[Value],
    ids: &[String],
) -> Result<Vec<String>, Problem> {
    let there: BTreeSet<Principal> = members.iter().filter_map(plan::principal).collect();
    let mut invitations = BTreeSet::new();
    for member in ids.iter().filter_map(|text| id::member(text)) {
        if let Principal::Invitation(membership) = member
            && !there.contains(&member)
        {
            invitations.insert(membership);
        }
    }
    let accepted = principal::accepted(call.ports, snapshot, &invitations).await?;
    let known = |text: &String| match id::member(text) {
        Some(Principal::Invitation(membership)) => accepted.get(&membership).copied().map(id::of_principal),
        _ => None,
    };
    Ok(ids.iter().map(|text| known(text).unwrap_or_else(|| text.clone())).collect())
}

/// Who is to be in no Group whose members are replaced, or all taken out, and would come to be in it by a grant that is under way: no list shows
/// them, so that no step is about them.
async fn coming<P: Ports>(
    call: &Call<'_, P>,
    found: &Found,
    changes: &[MembersEdit],
    steps: &[Step],
    may_swap: bool,
) -> Result<Vec<Subject>, Problem> {
    let is_whole = |change: &MembersEdit| matches!(change, MembersEdit::Replace(_) | MembersEdit::RemoveWhere(None));
    let Some(last) = changes.iter().rposition(is_whole) else { return Ok(Vec::new()) };
    let asked = found.entitlement.to_string();
    let mut awaited = call.awaited(&asked, &found.held_as).await?;
    if awaited.is_empty() {
        return Ok(Vec::new());
    }
    // Whom the list names, and who is taken out anyway.
    let mut named: BTreeSet<Principal> = steps.iter().map(|step| step.member).collect();
    for change in changes.iter().skip(last) {
        if let MembersEdit::Replace(ids) | MembersEdit::Add(ids) = change {
            named.extend(ids.iter().filter_map(|text| id::member(text)));
        }
    }
    let see = |row: Row| {
        let Some(member) = row.as_member().filter(|member| named.contains(&member.principal())) else { return };
        let has_address = |known: &String| address::same(known, &member.email);
        awaited.retain(|it| !it.request.subject.emails.iter().chain(&it.email).any(has_address));
    };
    found.snapshot.each(call.ports, Kind::PEOPLE, see).await.map_err(paging::unreadable)?;
    awaited.retain(|it| !it.request.subject.principals().any(|id| named.contains(&id)));
    let target = Target::Entitlement(found.entitlement);
    let is_unclear = |it: &&Entry| it.entitlement.as_ref() != Some(&asked) && it.request.target != target;
    if let Some(unclear) = awaited.iter().find(is_unclear) {
        let who = unclear.request.subject.shown();
        let why = format!(
            "a grant to {who} is under way, of which it is not known yet whether it brings them into this Group, so nothing was changed; send this again in a moment, or take {who} out by name"
        );
        return Err(Problem::not_now(why, None, call.ports.now()));
    }
    let most = call.settings.scim_replace_max_removals;
    let removals = awaited.len() + steps.iter().filter(|step| step.action == Action::Revoke).count();
    let swaps = !may_swap && steps.iter().any(|step| step.action == Action::Grant);
    if !awaited.is_empty() && (swaps || removals > most) {
        return Err(PlanError::TooManyRemovals { removals, most }.into());
    }
    Ok(awaited.into_iter().map(|it| it.request.subject).collect())
}

/// Carries out one step after the other; how many of them changed something. Whoever cannot be taken out keeps nobody else in, who would come behind
/// them at each try, but nobody is put in behind them; and a User whom nobody knows keeps nobody in beside others who are known. Any other grant that
/// is refused ends it, and so does what another try may help.
async fn carry_out<P: Ports>(
    call: &Call<'_, P>,
    found: &Found,
    changes: &[MembersEdit],
    steps: &[Step],
    may_swap: bool,
) -> Result<usize, Problem> {
    if changes.is_empty() && steps.is_empty() {
        return Ok(0);
    }
    let (mut done, mut effective, mut given) = (Vec::new(), 0, Vec::new());
    let (mut refused, mut untried, mut names_nobody, mut stays) = (None::<Problem>, Vec::new(), false, false);
    // Whoever is on a list that replaces the members, and is no member yet, is to be put in by a step. A list without anybody names nobody who is not known.
    let names_no_member = steps.iter().any(|step| step.action == Action::Grant)
        && changes.iter().any(|change| {
            let MembersEdit::Replace(ids) = change else { return false };
            let mut named = ids.iter().filter_map(|text| id::member(text));
            named.all(|member| steps.contains(&Step { action: Action::Grant, member }))
        });
    let target = Target::Entitlement(found.entitlement);
    // What comes while the steps are carried out was asked for later than the last of them.
    let after = call.operations(Filter::default(), 1).await?.first().map_or(EntryId(0), |latest| latest.id);
    let mut coming = coming(call, found, changes, steps, may_swap).await?.into_iter();
    let mut left = steps;
    loop {
        // Whether such a list has anybody who is known shows once it was tried to put them in.
        let next = if names_no_member && !left.is_empty() { None } else { coming.next() };
        let (action, subject) = if let Some(subject) = next {
            if names_nobody && given.is_empty() && names_no_member {
                untried.push(taken_out(&subject));
                continue;
            }
            (Action::Revoke, subject)
        } else if let Some((step, rest)) = left.split_first() {
            left = rest;
            let waits = match step.action {
                // Whoever asks for both wants the one in the other's place, and not both in it.
                Action::Grant => stays,
                // Who was not put in by one id may be the invited one whom the last sync has by the other.
                Action::Revoke if matches!(step.member, Principal::Invitation(_)) => {
                    names_nobody || !untried.is_empty()
                }
                // Role ids are the same in every account, so that a list of which nobody is known may be about another one.
                Action::Revoke => names_nobody && given.is_empty() && names_no_member,
            };
            if waits {
                untried.push(shown(step));
                continue;
            }
            if step.action == Action::Revoke && has_accepted(call, &found.snapshot, step.member, &given).await? {
                continue;
            }
            (step.action, provisioning::subject(step.member)?)
        } else {
            break;
        };
        let is_user = subject.user_id.is_some();
        let way = (BY, Some(after));
        match provisioning::perform(call.ports, call.request, way, action, target.clone(), subject).await {
            Ok((effect, message, account)) => {
                given.extend(account.filter(|_| action == Action::Grant).map(|account| account.email));
                effective += usize::from(!matches!(effect, Effect::AlreadyGranted | Effect::AlreadyRevoked));
                done.push(message);
            }
            Err(mut problem) => {
                let is_refusal = !matches!(problem.status, 429 | 503);
                // An invitation that was made again has another id, so that one whom nobody knows may be of anybody.
                let is_no_user = is_user && problem.code == Refusal::UnknownMember.as_str();
                // The contrary was asked for since of somebody who is known: that goes for nobody else.
                let is_void = problem.code == Refusal::Superseded.as_str();
                let goes_on = is_refusal && (action == Action::Revoke || is_no_user || is_void);
                names_nobody |= action == Action::Grant && !is_void;
                stays |= action == Action::Revoke;
                if let Some(first) = refused.take() {
                    let detail = format!("{} {}", first.detail, problem.detail);
                    let told = if is_refusal { first } else { problem };
                    problem = Problem { detail, ..told };
                }
                refused = Some(problem);
                if !goes_on {
                    untried.extend(left.iter().map(shown));
                    untried.extend(coming.map(|subject| taken_out(&subject)));
                    break;
                }
            }
        }
    }
    refused.map_or(Ok(effective), |problem| Err(stopped(problem, &done, &untried)))
}

/// Whether an invitation is of somebody who was given the same a moment ago under the id that they have since they accepted, whether the last sync knows
/// that yet or not: to take it from the invitation would take it from them.
async fn has_accepted<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
    member: Principal,
    given: &[String],
) -> Result<bool, Problem> {
    let Principal::Invitation(membership) = member else { return Ok(false) };
    if given.is_empty() {
        return Ok(false);
    }
    let mut row = snapshot.get(call.ports, &member.to_string()).await.map_err(paging::unreadable)?;
    if row.is_none() {
        let accepted = principal::accepted(call.ports, snapshot, &[membership].into()).await?;
        if let Some(user) = accepted.get(&membership) {
            row = snapshot.get(call.ports, &user.to_string()).await.map_err(paging::unreadable)?;
        }
    }
    let invited = row.as_ref().and_then(Row::as_member);
    Ok(invited.is_some_and(|invited| given.iter().any(|email| address::same(email, &invited.email))))
}

/// A step that was not tried, in words.
fn shown(step: &Step) -> String {
    let sign = if step.action == Action::Grant { "add" } else { "remove" };
    format!("{sign} {}", id::of_principal(step.member))
}

/// The same of somebody who was to be taken out, and is on no list.
fn taken_out(subject: &Subject) -> String {
    format!("remove {}", subject.shown())
}

/// The problem of one step, or of several, with what was done all the same and what was not tried after it.
fn stopped(mut problem: Problem, done: &[String], untried: &[String]) -> Problem {
    if problem.code == Refusal::UnknownMember.as_str() {
        // The Group is there; it is the value that is wrong.
        (problem.status, problem.code) = (400, "invalidValue");
    }
    if !done.is_empty() {
        problem.detail = format!("{} Done besides that: {}", problem.detail, done.join(" "));
    }
    if !untried.is_empty() {
        problem.detail = format!("{} Not tried after that: {}.", problem.detail, untried.join(", "));
    }
    problem
}

fn missing(id: &str) -> Problem {
    let shown: String = id.chars().take(100).collect();
    Problem::new(404, "not_found", format!("there is no Group {shown:?}; GET /Groups has them"))
}

/// What an id of a Group means.
struct Found {
    entitlement: Entitlement,
    /// An id by which it is found in what an invitation holds: the permission group's or the user group's; nothing where that is not known.
    held_as: String,
    /// The Group as the lists have it, where they do.
    group: Option<Value>,
    /// What they have it from.
    snapshot: Snapshot,
}

/// Which Group is meant by an id.
async fn find<P: Ports>(call: &Call<'_, P>, id: &str, with_members: bool) -> Result<Found, Problem> {
    let entitlement = id::entitlement(id).ok_or_else(|| missing(id))?;
    // What is changed is worked out from who is in it by the newest generation.
    let snapshot = match call.request.method {
        Method::Get => paging::open(call.ports, None).await?,
        _ => paging::open_newest(call.ports).await?,
    };
    let row = snapshot.get(call.ports, &entitlement.resource()).await.map_err(paging::unreadable)?;
    let held_as = Row::held_as(entitlement, row.as_ref());
    let Some((entitlement, name)) = row.as_ref().and_then(Row::offered) else {
        return Ok(Found { entitlement, held_as, group: None, snapshot });
    };
    let mut members = None;
    if with_members {
        let mut held = lists::holders(call, &snapshot, &[entitlement].into(), usize::MAX).await?;
        members = Some(held.remove(&entitlement).unwrap_or_default());
    }
    let group = Some(resource::group(&call.base, entitlement, &name, members));
    Ok(Found { entitlement, held_as, group, snapshot })
}

#[cfg(test)]
mod tests {
    use super::{Action, Problem, Step, shown, stopped};
    use crate::model::grant::Principal;

    #[test]
    fn a_failure_in_the_middle_says_what_was_done_and_what_was_not() {
        let left = Step { action: Action::Revoke, member: Principal::User("a".repeat(32).parse().unwrap()) };
        let left = [shown(&left)];
        let told = stopped(Problem::new(404, "unknown_member", "Nobody."), &["Granted A.".to_owned()], &left);
        assert_eq!((told.status, told.code), (400, "invalidValue"));
        let expected =
            format!("Nobody. Done besides that: Granted A. Not tried after that: remove {}.", "a".repeat(32));
        assert_eq!(told.detail, expected);
    }
}
