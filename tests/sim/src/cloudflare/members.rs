//! `/accounts/{A}/members`: list, get, invite, replace, remove (`reference/cloudflare.md` 1.2, 2.3, 2.6).

use serde_json::{Value, json};

use super::account::{Account, Member, Order, Policy, UserTag};
use super::envelope::{Answer, Failure, FailureResult, failure, page, success};
use super::paging::{ORDINARY, Window};
use super::policies::{self, For};
use super::render;
use super::visit::Visit;

/// GET the list. `total_count` ignores the status filter, as documented.
pub(super) fn list(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ORDINARY, visit.behaviour)?;
    let order = match visit.request.param("order").as_deref() {
        None => Order::Joined,
        Some("user.email") => Order::Email(visit.behaviour.collation),
        Some("user.first_name") => Order::FirstName,
        Some("user.last_name") => Order::LastName,
        Some("status") => Order::Status,
        Some(_) => return Err(invalid("unknown order")),
    };
    let status = visit.request.param("status");
    if status.as_deref().is_some_and(|status| !matches!(status, "accepted" | "pending" | "rejected")) {
        return Err(invalid("unknown status"));
    }
    let descending = visit.descending()?;
    let ids = visit.account.ordered(order);
    let account = &*visit.account;
    let hides_rejected = visit.behaviour.hides_rejected;
    let wanted = |id: &&String| {
        account.member(id).is_some_and(|member| match status.as_deref() {
            Some(status) => member.status == status,
            None => !hides_rejected || member.status != "rejected",
        })
    };
    let shown: Vec<&String> = if descending {
        window.slice(ids.iter().rev().filter(wanted))
    } else {
        window.slice(ids.iter().filter(wanted))
    };
    let members: Vec<Value> = shown
        .into_iter()
        .filter_map(|id| account.member(id))
        .filter(|member| !visit.behaviour.unlisted.contains(&member.email))
        .map(|member| {
            let inherited = inherited(account, &member.id, visit.behaviour.lists_inherited_policies_everywhere);
            render::member(account, member, visit.behaviour, &inherited)
        })
        .collect();
    let info = window.info(members.len(), account.member_count());
    Ok(page(members, info))
}

/// GET one.
pub(super) fn get(visit: &mut Visit<'_>) -> Answer {
    let id = visit.call.id(0);
    let current = visit.account.member(id).ok_or_else(not_found)?;
    let mut shown = current.clone();
    if let Some((before, left)) = visit.stale.get_mut(id) {
        shown = before.clone();
        *left = left.saturating_sub(1);
        if *left == 0 {
            visit.stale.remove(id);
        }
    }
    let inherited = inherited(visit.account, id, visit.behaviour.lists_inherited_policies);
    Ok(success(render::member(visit.account, &shown, visit.behaviour, &inherited)))
}

/// The policies of a member's user groups, where they are to be listed among the member's own.
fn inherited(account: &Account, member: &str, are_listed: bool) -> Vec<Policy> {
    let groups = account.user_groups.values().filter(|group| are_listed && group.members.contains(member));
    groups.flat_map(|group| group.policies.clone()).collect()
}

/// POST: invite. Role *strings* or policies; with policies the answer has no `roles`.
pub(super) fn create(visit: &mut Visit<'_>) -> Answer {
    let body = visit.object()?;
    let email = body
        .get("email")
        .and_then(Value::as_str)
        .filter(|email| is_email(email))
        .ok_or_else(|| invalid("a valid email is required").at("/email"))?;
    match body.get("status").map(Value::as_str) {
        None | Some(Some("pending")) => {}
        Some(Some("accepted")) if visit.behaviour.accepts_direct_add => {}
        Some(Some("accepted")) => return Err(invalid("automatic verification of new members is not allowed")),
        Some(_) => return Err(invalid("unknown status").at("/status")),
    }
    let access = access(visit, &body, Form::Create)?;
    if visit.account.member_by_email(email).is_some() {
        let code = visit.behaviour.already_member_code;
        return Err(failure(400, code, "Account member already exists for email address").in_members());
    }
    if visit.behaviour.member_limit.is_some_and(|limit| visit.account.member_count() >= limit) {
        return Err(failure(400, 429, "add limit reached").in_members());
    }
    let by_policies = matches!(access, NewAccess::Policies(_));
    let policies = access.apply(visit.account);
    let accepted = body.get("status").and_then(Value::as_str) == Some("accepted");
    let id = invite(visit.account, email, accepted, policies);
    let member = visit.account.member(&id).ok_or_else(not_found)?;
    let mut shown = render::member(visit.account, member, visit.behaviour, &[]);
    if let (true, Value::Object(fields)) = (by_policies, &mut shown) {
        fields.remove("roles");
    }
    Ok(success(shown))
}

/// PUT: replaces the whole set that the body names; policies get new ids.
pub(super) fn update(visit: &mut Visit<'_>) -> Answer {
    let id = visit.call.id(0).to_owned();
    let before = visit.account.member(&id).ok_or_else(not_found)?.clone();
    let body = visit.object()?;
    let access = access(visit, &body, Form::Update)?;
    let policies = access.apply(visit.account);
    let member = visit.account.member_mut(&id).ok_or_else(not_found)?;
    member.policies = policies;
    let after = member.clone();
    let inherited = inherited(visit.account, &id, visit.behaviour.lists_inherited_policies_everywhere);
    if visit.behaviour.stale_reads_after_put > 0 {
        visit.stale.insert(id, (before, visit.behaviour.stale_reads_after_put));
    }
    Ok(success(render::member(visit.account, &after, visit.behaviour, &inherited)))
}

/// DELETE: removes the member or cancels the invitation.
pub(super) fn remove(visit: &mut Visit<'_>) -> Answer {
    let removed = visit.account.remove_member(visit.call.id(0)).ok_or_else(not_found)?;
    visit.stale.remove(&removed.id);
    Ok(success(json!({ "id": removed.id })))
}

/// Adds a membership for an address nobody has; returns its id.
pub(super) fn invite(account: &mut Account, email: &str, accepted: bool, policies: Vec<Policy>) -> String {
    let id = account.new_id();
    let user = match account.known_users.get(&email.to_lowercase()).cloned() {
        Some(known) => UserTag::Known(known),
        None if accepted => UserTag::Known(account.new_id()),
        None => match account.rng.u8(..3) {
            0 => UserTag::Empty,
            1 => UserTag::Absent,
            _ => UserTag::Zeros,
        },
    };
    account.add_member(Member {
        id: id.clone(),
        sequence: 0,
        email: email.to_owned(),
        status: if accepted { "accepted" } else { "pending" }.into(),
        user,
        first_name: None,
        last_name: None,
        two_factor: false,
        policies,
    });
    id
}

/// Which of the two bodies is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// POST: roles are strings.
    Create,
    /// PUT: roles are objects.
    Update,
}

/// Checked access, not yet applied.
enum NewAccess {
    Policies(Vec<policies::Checked>),
    Roles(Vec<super::account::PolicySpec>),
}

impl NewAccess {
    fn apply(self, account: &mut Account) -> Vec<Policy> {
        match self {
            Self::Policies(checked) => policies::apply(account, checked),
            Self::Roles(specs) => account.issue(specs),
        }
    }
}

/// Policies, else roles; with both, policies win.
fn access(visit: &Visit<'_>, body: &serde_json::Map<String, Value>, form: Form) -> Result<NewAccess, Failure> {
    if let Some(value) = body.get("policies") {
        let checked =
            policies::check(visit.account, value, For::Member).map_err(super::members::InMembers::in_members)?;
        if checked.is_empty() && !visit.behaviour.accepts_empty_policies {
            return Err(failure(400, 400, "policies must not be empty").at("/policies").in_members());
        }
        return Ok(NewAccess::Policies(checked));
    }
    let Some(roles) = body.get("roles") else {
        return Err(match form {
            Form::Create => invalid("roles are required").at("/roles"),
            Form::Update => failure(400, 400, "Bad Request: nothing to update").in_members(),
        });
    };
    let ids: Option<Vec<&str>> = roles.as_array().filter(|roles| !roles.is_empty()).and_then(|roles| {
        roles
            .iter()
            .map(|role| match form {
                Form::Create => role.as_str(),
                Form::Update => role.get("id").and_then(Value::as_str),
            })
            .collect()
    });
    let ids = ids.ok_or_else(|| policies::invalid_roles().in_members())?;
    let specs = policies::from_roles(visit.account, &ids).map_err(InMembers::in_members)?;
    Ok(NewAccess::Roles(specs))
}

/// Something before an `@` and something after it, without spaces; at most 90 characters.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
        && !text.contains(char::is_whitespace)
        && text.chars().count() <= 90
}

/// Failures of these routes have `"result": []`.
trait InMembers {
    fn in_members(self) -> Failure;
}

impl InMembers for Failure {
    fn in_members(self) -> Failure {
        self.with_result(FailureResult::EmptyArray)
    }
}

fn not_found() -> Failure {
    failure(404, 1003, "Member not found for account")
}

fn invalid(message: &str) -> Failure {
    failure(400, 1001, format!("Invalid request: {message}")).in_members()
}
