//! `/accounts/{A}/iam/user_groups` and the members of one (`reference/cloudflare.md` 2.7).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::UserGroup;
use super::envelope::{Answer, Failure, FailureResult, failure, page, success};
use super::paging::{USER_GROUPS, Window};
use super::policies::{self, For};
use super::render;
use super::visit::Visit;

/// GET the list, by name.
pub(super) fn list(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, USER_GROUPS, visit.behaviour)?;
    let (id, name) = (visit.request.param("id"), visit.request.param("name"));
    let fuzzy = visit.request.param("fuzzyName").map(|part| part.to_lowercase());
    let mut groups: Vec<&UserGroup> = visit
        .account
        .user_groups
        .values()
        .filter(|group| id.as_deref().is_none_or(|id| id == group.id))
        .filter(|group| name.as_deref().is_none_or(|name| name == group.name))
        .filter(|group| fuzzy.as_deref().is_none_or(|part| group.name.to_lowercase().contains(part)))
        .collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    if visit.descending()? {
        groups.reverse();
    }
    let total = groups.len();
    let shown: Vec<Value> = window
        .slice(groups.into_iter())
        .into_iter()
        .map(|group| render::user_group(visit.account, group, visit.behaviour))
        .collect();
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

/// GET one.
pub(super) fn get(visit: &mut Visit<'_>) -> Answer {
    let group = group(visit)?;
    Ok(success(render::user_group(visit.account, group, visit.behaviour)))
}

/// POST a group.
pub(super) fn create(visit: &mut Visit<'_>) -> Answer {
    let body = visit.object()?;
    let name = name(&body)?.ok_or_else(|| failure(400, 400, "name is required").at("/name"))?;
    name_is_free(visit, &name, None)?;
    let checked = policies::check(visit.account, body.get("policies").unwrap_or(&json!([])), For::UserGroup)?;
    let policies = policies::apply(visit.account, checked);
    let id = visit.account.new_id();
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
    let shown = render::user_group(visit.account, &group, visit.behaviour);
    visit.account.user_groups.insert(id, group);
    Ok(success(shown))
}

/// PUT a group: name, policies (the whole set, without ids), or both.
pub(super) fn update(visit: &mut Visit<'_>) -> Answer {
    let id = group(visit)?.id.clone();
    let body = visit.object()?;
    let name = name(&body)?;
    if name.is_none() && !body.contains_key("policies") {
        return Err(failure(400, 400, "Bad Request: nothing to update"));
    }
    if let Some(name) = &name {
        name_is_free(visit, name, Some(&id))?;
    }
    let policies = match body.get("policies") {
        Some(value) => {
            let checked = policies::check(visit.account, value, For::UserGroup)?;
            Some(policies::apply(visit.account, checked))
        }
        None => None,
    };
    let group = visit.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    group.modified_on = chrono::Utc::now();
    if let Some(name) = name {
        group.name = name;
    }
    if let Some(policies) = policies {
        group.policies = policies;
    }
    get(visit)
}

/// DELETE a group.
pub(super) fn remove(visit: &mut Visit<'_>) -> Answer {
    let removed = visit.account.user_groups.remove(visit.call.id(0)).ok_or_else(not_found)?;
    Ok(success(json!({ "id": removed.id })))
}

/// GET a group's members, by e-mail address.
pub(super) fn list_members(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, USER_GROUPS, visit.behaviour)?;
    let group = settled(visit)?;
    if group.broken {
        return Err(failure(400, 400, "Policy validation failed"));
    }
    let fuzzy = visit.request.param("fuzzyEmail").map(|part| part.to_lowercase());
    let mut members: Vec<_> = group
        .members
        .iter()
        .filter_map(|id| visit.account.member(id))
        .filter(|member| fuzzy.as_deref().is_none_or(|part| member.email.to_lowercase().contains(part)))
        .collect();
    members.sort_by(|a, b| a.email.cmp(&b.email));
    if visit.descending()? {
        members.reverse();
    }
    let total = members.len();
    let shown: Vec<Value> = window.slice(members.into_iter()).into_iter().map(render::user_group_member).collect();
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

/// POST members: adds, and is content with those already there.
pub(super) fn add_members(visit: &mut Visit<'_>) -> Answer {
    let added = member_ids(visit)?;
    let id = settled(visit)?.id.clone();
    not_managed(visit, &id)?;
    let group = visit.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    group.members.extend(added.iter().cloned());
    Ok(success(Value::Array(shown(visit, &added))))
}

/// PUT members: replaces all; after emptying, `result` is null.
pub(super) fn replace_members(visit: &mut Visit<'_>) -> Answer {
    let members = member_ids(visit)?;
    let id = settled(visit)?.id.clone();
    let group = visit.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    group.members.clone_from(&members);
    Ok(success(if members.is_empty() { Value::Null } else { Value::Array(shown(visit, &members)) }))
}

/// GET one member of a group.
pub(super) fn get_member(visit: &mut Visit<'_>) -> Answer {
    let id = visit.call.id(1);
    let is_member = settled(visit)?.members.contains(id);
    let member = visit.account.member(id).filter(|_| is_member);
    member
        .map(|member| success(render::user_group_member(member)))
        .ok_or_else(|| failure(404, 404, "user group member not found"))
}

/// DELETE one member of a group.
pub(super) fn remove_member(visit: &mut Visit<'_>) -> Answer {
    let id = settled(visit)?.id.clone();
    not_managed(visit, &id)?;
    let member = visit.call.id(1);
    let group = visit.account.user_groups.get_mut(&id).ok_or_else(not_found)?;
    if group.members.remove(member) {
        Ok(success(json!({ "id": member })))
    } else {
        Err(failure(404, 404, "user group member not found"))
    }
}

/// The bare array of `{"id"}`, every one an existing member that may be in a group.
fn member_ids(visit: &Visit<'_>) -> Result<BTreeSet<String>, Failure> {
    let Value::Array(items) = visit.json()? else {
        return Err(failure(400, 400, "the body must be an array of members"));
    };
    let mut ids = BTreeSet::new();
    for item in &items {
        let id = item.get("id").and_then(Value::as_str).unwrap_or("");
        let member = visit.account.member(id).ok_or_else(|| failure(400, 400, "Invalid member id"))?;
        if visit.account.without_dsr.contains(id) {
            return Err(failure(400, 400, format!("The following users do not have DSR enabled: {}", member.email)));
        }
        ids.insert(id.to_owned());
    }
    Ok(ids)
}

/// What an identity provider manages is closed to everybody else; the words are not documented.
fn not_managed(visit: &Visit<'_>, group: &str) -> Result<(), Failure> {
    if visit.account.scim_managed.contains(group) {
        return Err(failure(400, 400, "This user group is managed via SCIM and cannot be modified"));
    }
    Ok(())
}

fn shown(visit: &Visit<'_>, ids: &BTreeSet<String>) -> Vec<Value> {
    ids.iter().filter_map(|id| visit.account.member(id)).map(render::user_group_member).collect()
}

fn group<'a>(visit: &'a Visit<'_>) -> Result<&'a UserGroup, Failure> {
    visit.account.user_groups.get(visit.call.id(0)).ok_or_else(not_found)
}

/// The group, once its members can be found: not yet shortly after its creation.
fn settled<'a>(visit: &'a Visit<'_>) -> Result<&'a UserGroup, Failure> {
    let group = group(visit)?;
    let age = group.created_at.map(|created| created.elapsed());
    if age.is_some_and(|age| age < visit.behaviour.new_group_lag) { Err(not_found()) } else { Ok(group) }
}

fn name(body: &serde_json::Map<String, Value>) -> Result<Option<String>, Failure> {
    match body.get("name") {
        None => Ok(None),
        Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
        Some(_) => Err(failure(400, 400, "name must be a text that is not empty").at("/name")),
    }
}

fn name_is_free(visit: &Visit<'_>, name: &str, except: Option<&str>) -> Result<(), Failure> {
    let taken = visit.account.user_groups.values().any(|group| group.name == name && except != Some(group.id.as_str()));
    if taken { Err(failure(400, 400, "User group name is already in use").at("/name")) } else { Ok(()) }
}

fn not_found() -> Failure {
    failure(404, 404, "user group not found").with_result(FailureResult::EmptyObject)
}
