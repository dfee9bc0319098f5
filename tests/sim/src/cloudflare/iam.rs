//! Legacy roles, permission groups and resource groups (`reference/cloudflare.md` 1.3, 1.4).

use serde_json::{Value, json};

use super::account::ResourceGroup;
use super::catalogue::SUPER_ADMINISTRATOR;
use super::envelope::{Answer, Failure, Success, failure, page, success};
use super::paging::{ORDINARY, Window};
use super::policies;
use super::render::{self, Place};
use super::visit::Visit;

/// GET the legacy roles: all but Super Administrator.
pub(super) fn list_roles(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ORDINARY, visit.behaviour)?;
    let mut roles: Vec<Value> = listed_roles(visit).map(|(group, id)| render::role(group, id)).collect();
    if visit.behaviour.repeats_a_role_id
        && let Some(mut again) = roles.first().cloned()
    {
        render::set(&mut again, "name", json!("Analytics Viewer"));
        roles.push(again);
    }
    let total = roles.len();
    let shown = window.slice(roles.into_iter());
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

/// GET one legacy role.
pub(super) fn get_role(visit: &mut Visit<'_>) -> Answer {
    let id = visit.call.id(0);
    let role = listed_roles(visit).find(|(_, role)| *role == id);
    role.map(|(group, role)| success(render::role(group, role)))
        .ok_or_else(|| failure(404, 1003, "Role not found for account"))
}

fn listed_roles<'a>(visit: &'a Visit<'_>) -> impl Iterator<Item = (&'a super::account::PermissionGroup, &'a str)> {
    let groups = visit.account.permission_groups.iter();
    groups
        .filter_map(|group| group.legacy_role.as_deref().map(|role| (group, role)))
        .filter(|(_, role)| *role != SUPER_ADMINISTRATOR)
}

/// GET the permission groups.
pub(super) fn list_permission_groups(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ORDINARY, visit.behaviour)?;
    let (id, name, label) = (visit.request.param("id"), visit.request.param("name"), visit.request.param("label"));
    let fits = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    let groups: Vec<_> = visit
        .account
        .permission_groups
        .iter()
        .filter(|group| fits(&id, &group.id) && fits(&name, &group.name) && fits(&label, &group.label))
        .collect();
    let total = groups.len();
    let shown: Vec<Value> = window
        .slice(groups.into_iter())
        .into_iter()
        .map(|group| render::permission_group(group, visit.behaviour))
        .collect();
    if visit.behaviour.permission_groups_result_info {
        let info = window.info(shown.len(), total);
        Ok(page(shown, info))
    } else {
        Ok(success(Value::Array(shown)))
    }
}

/// GET one permission group.
pub(super) fn get_permission_group(visit: &mut Visit<'_>) -> Answer {
    let group = visit.account.permission_group(visit.call.id(0));
    group
        .map(|group| success(render::permission_group(group, visit.behaviour)))
        .ok_or_else(|| not_found("permission group"))
}

/// GET the resource groups: all of them on every page, whatever `page` says.
pub(super) fn list_resource_groups(visit: &Visit<'_>) -> Success {
    let (id, name) = (visit.request.param("id"), visit.request.param("name"));
    let groups = visit
        .account
        .resource_groups
        .iter()
        .filter(|group| id.as_deref().is_none_or(|id| id == group.id))
        .filter(|group| name.as_deref().is_none_or(|name| name == group.name))
        .map(|group| render::resource_group(group, visit.behaviour, Place::List))
        .collect();
    success(Value::Array(groups))
}

/// GET one resource group.
pub(super) fn get_resource_group(visit: &mut Visit<'_>) -> Answer {
    let group = visit.account.resource_group(visit.call.id(0));
    group
        .map(|group| success(render::resource_group(group, visit.behaviour, Place::List)))
        .ok_or_else(|| not_found("resource group"))
}

/// POST a resource group.
pub(super) fn create_resource_group(visit: &mut Visit<'_>) -> Answer {
    let body = visit.object()?;
    let name = body.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| failure(400, 400, "name is required").at("/name"))?;
    let (scope_key, objects) = policies::scope(body.get("scope").unwrap_or(&Value::Null))?;
    let group = ResourceGroup {
        id: visit.account.new_id(),
        name: name.to_owned(),
        kind: policies::scope_kind(&objects),
        editable: true,
        scope_key,
        objects,
    };
    let shown = render::resource_group(&group, visit.behaviour, Place::List);
    visit.account.resource_groups.push(group);
    Ok(success(shown))
}

fn not_found(what: &str) -> Failure {
    failure(404, 404, format!("{what} not found"))
}
