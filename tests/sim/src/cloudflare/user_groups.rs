//! `/accounts/{A}/iam/user_groups` and the members of one (`reference/cloudflare.md` 2.7).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::UserGroup;
use super::desk::Desk;
use super::envelope::{Answer, Failure, FailureResult, failure, page, success};
use super::paging::{USER_GROUPS, Window};
use super::policies::{self, For};
use super::render;

/// GET the list, by name.
pub(super) fn list(desk: &mut Desk<'_>) -> Answer {
    let window = Window::of(desk.request, USER_GROUPS, desk.behaviour)?;
    let (id, name) = (desk.request.param("id"), desk.request.param("name"));
    let fuzzy = desk.request.param("fuzzyName").map(|part| part.to_lowercase());
    let mut groups: Vec<&UserGroup> = desk
        .account
        .user_groups
        .values()
        .filter(|group| id.as_deref().is_none_or(|id| id == group.id))
        .filter(|group| name.as_deref().is_none_or(|name| name == group.name))
        .filter(|group| fuzzy.as_deref().is_none_or(|part| group.name.to_lowercase().contains(part)))
        .collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    if desk.descending()? {
        groups.reverse();
    }
    let total = groups.len();
    let shown: Vec<Value> = window
        .slice(groups.into_iter())
        .into_iter()
        .map(|group| render::user_group(desk.account, group, desk.behaviour))
        .collect();
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

/// GET one.
pub(super) fn get(desk: &mut Desk<'_>) -> Answer {
    let group = group(desk)?;
    Ok(success(render::user_group(desk.account, group, desk.behaviour)))
}

/// POST a group.
pub(super) fn create(desk: &mut Desk<'_>) -> Answer {
    let body = desk.object()?;
    let name = name(&body)?.ok_or_else(|| failure(400, 400, "name is required").at("/name"))?;
    name_is_free(desk, &name, None)?;
    let checked = policies::check(desk.account, body.get("policies").unwrap_or(&json!([])), For::UserGroup)?;
    let policies = policies::apply(desk.account, checked);
    let id = desk.account.new_id();
    let now = chrono::Utc::now();
    let group = UserGroup {
        id: id.clone(),
        name,
        created_on: now,
        modified_on: now,
        created_at: Some(Instant::now()),
        policies,
        members: BTreeSet::new(),
        broken: false,
    };
    let shown = render::user_group(desk.account, &group, desk.behaviour);
    desk.account.user_groups.insert(id, group);
    Ok(success(shown))
}

/// PUT a group: name, policies (the whole set, without ids), or both.
pub(super) fn update(desk: &mut Desk<'_>) -> Answer {
    let id = group(desk)?.id.clone();
    let body = desk.object()?;
    let name = name(&body)?;
    if name.is_none() && !body.contains_key("policies") {
        return Err(failure(400, 400, "Bad Request: nothing to update"));
    }
    if let Some(name) = &name {
        name_is_free(desk, name, Some(&id))?;
    }
    let policies = match body.get("policies") {
        Some(value) => {
            let checked = policies::check(desk.account, value, For::UserGroup)?;
            Some(policies::apply(desk.account, checked))
        }
        None => None,
    };
    let group = desk.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    group.modified_on = chrono::Utc::now();
    if let Some(name) = name {
        group.name = name;
    }
    if let Some(policies) = policies {
        group.policies = policies;
    }
    get(desk)
}

/// DELETE a group.
pub(super) fn remove(desk: &mut Desk<'_>) -> Answer {
    let removed = desk.account.user_groups.remove(desk.call.id(0)).ok_or_else(not_found)?;
    Ok(success(json!({ "id": removed.id })))
}

/// GET a group's members, by e-mail address.
pub(super) fn list_members(desk: &mut Desk<'_>) -> Answer {
    let window = Window::of(desk.request, USER_GROUPS, desk.behaviour)?;
    let group = settled(desk)?;
    if group.broken {
        return Err(failure(400, 400, "Policy validation failed"));
    }
    let fuzzy = desk.request.param("fuzzyEmail").map(|part| part.to_lowercase());
    let mut members: Vec<_> = group
        .members
        .iter()
        .filter_map(|id| desk.account.member(id))
        .filter(|member| fuzzy.as_deref().is_none_or(|part| member.email.to_lowercase().contains(part)))
        .collect();
    members.sort_by(|a, b| a.email.cmp(&b.email));
    if desk.descending()? {
        members.reverse();
    }
    let total = members.len();
    let shown: Vec<Value> = window.slice(members.into_iter()).into_iter().map(render::user_group_member).collect();
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

/// POST members: adds, and is content with those already there.
pub(super) fn add_members(desk: &mut Desk<'_>) -> Answer {
    let added = member_ids(desk)?;
    let id = settled(desk)?.id.clone();
    not_managed(desk, &id)?;
    let group = desk.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    group.members.extend(added.iter().cloned());
    Ok(success(Value::Array(shown(desk, &added))))
}

/// PUT members: replaces all; after emptying, `result` is null.
pub(super) fn replace_members(desk: &mut Desk<'_>) -> Answer {
    let members = member_ids(desk)?;
    let id = settled(desk)?.id.clone();
    let group = desk.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    group.members.clone_from(&members);
    Ok(success(if members.is_empty() { Value::Null } else { Value::Array(shown(desk, &members)) }))
}

/// GET one member of a group.
pub(super) fn get_member(desk: &mut Desk<'_>) -> Answer {
    let id = desk.call.id(1);
    let is_member = settled(desk)?.members.contains(id);
    let member = desk.account.member(id).filter(|_| is_member);
    member
        .map(|member| success(render::user_group_member(member)))
        .ok_or_else(|| failure(404, 404, "user group member not found"))
}

/// DELETE one member of a group.
pub(super) fn remove_member(desk: &mut Desk<'_>) -> Answer {
    let id = settled(desk)?.id.clone();
    not_managed(desk, &id)?;
    let member = desk.call.id(1);
    let group = desk.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    if group.members.remove(member) {
        Ok(success(json!({ "id": member })))
    } else {
        Err(failure(404, 404, "user group member not found"))
    }
}

/// The bare array of `{"id"}`, every one an existing member that may be in a group.
fn member_ids(desk: &Desk<'_>) -> Result<BTreeSet<String>, Failure> {
    let Value::Array(items) = desk.json()? else {
        return Err(failure(400, 400, "the body must be an array of members"));
    };
    let mut ids = BTreeSet::new();
    for item in &items {
        let id = item.get("id").and_then(Value::as_str).unwrap_or("");
        let member = desk.account.member(id).ok_or_else(|| failure(400, 400, "Invalid member id"))?;
        if desk.account.without_dsr.contains(id) {
            return Err(failure(400, 400, format!("The following users do not have DSR enabled: {}", member.email)));
        }
        ids.insert(id.to_owned());
    }
    Ok(ids)
}

/// What an identity provider manages is closed to everybody else; the words are not documented.
fn not_managed(desk: &Desk<'_>, group: &str) -> Result<(), Failure> {
    if desk.account.scim_managed.contains(group) {
        return Err(failure(400, 400, "This user group is managed via SCIM and cannot be modified"));
    }
    Ok(())
}

fn shown(desk: &Desk<'_>, ids: &BTreeSet<String>) -> Vec<Value> {
    ids.iter().filter_map(|id| desk.account.member(id)).map(render::user_group_member).collect()
}

fn group<'a>(desk: &'a Desk<'_>) -> Result<&'a UserGroup, Failure> {
    desk.account.user_groups.get(desk.call.id(0)).ok_or_else(not_found)
}

/// The group, once its members can be found: not yet shortly after its creation.
fn settled<'a>(desk: &'a Desk<'_>) -> Result<&'a UserGroup, Failure> {
    let group = group(desk)?;
    let age = group.created_at.map(|created| created.elapsed());
    if age.is_some_and(|age| age < desk.behaviour.new_group_lag) { Err(not_found()) } else { Ok(group) }
}

fn name(body: &serde_json::Map<String, Value>) -> Result<Option<String>, Failure> {
    match body.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(_) => Err(failure(400, 400, "name must be a text that is not empty").at("/name")),
    }
}

fn name_is_free(desk: &Desk<'_>, name: &str, except: Option<&str>) -> Result<(), Failure> {
    let taken = desk.account.user_groups.values().any(|group| group.name == name && except != Some(group.id.as_str()));
    if taken { Err(failure(400, 400, "User group name is already in use").at("/name")) } else { Ok(()) }
}

fn not_found() -> Failure {
    failure(404, 404, "user group not found").with_result(FailureResult::EmptyObject)
}
