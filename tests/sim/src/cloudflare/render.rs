//! The account's objects as the API tells them.

use serde_json::{Value, json};

use super::account::{Access, Account, Level, Member, PermissionGroup, Policy, ResourceGroup, UserGroup, UserTag};
use super::catalogue;
use super::spec::{Behaviour, ScopeShape};

/// Where a resource group is shown, which decides the shape of its `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    List,
    Policy,
}

/// A member. `inherited` are policies of user groups to be listed among the member's own.
pub(super) fn member(account: &Account, member: &Member, behaviour: &Behaviour, inherited: &[Policy]) -> Value {
    let mut user = json!({
        "email": member.email, "first_name": member.first_name, "last_name": member.last_name,
        "two_factor_authentication_enabled": member.two_factor,
    });
    let id = match &member.user {
        UserTag::Known(id) => Some(id.clone()),
        UserTag::Empty => Some(String::new()),
        UserTag::Zeros => Some("0".repeat(32)),
        UserTag::Absent => None,
    };
    if let Some(id) = id {
        set(&mut user, "id", json!(id));
    }
    let policies: Vec<Value> =
        member.policies.iter().chain(inherited).map(|item| policy(account, item, behaviour)).collect();
    let mut body = json!({
        "id": member.id, "email": member.email, "status": member.status, "user": user, "policies": policies,
    });
    if !behaviour.roles_api_gone {
        set(&mut body, "roles", Value::Array(projection(account, member)));
    }
    if behaviour.extra_fields {
        set(&mut body, "api_access_enabled", Value::Null);
        set(&mut body, "x_experiment", json!({ "cohort": ["b", 7], "since": null }));
    }
    body
}

/// The legacy roles that can be read off a member's policies (`reference/cloudflare.md` 2.2): account-wide ones under
/// their role id, domain-scoped ones under the permission group's id; what never was a role is left out.
fn projection(account: &Account, member: &Member) -> Vec<Value> {
    let mut ids = Vec::new();
    let mut roles = Vec::new();
    for policy in member.policies.iter().filter(|policy| policy.access == Access::Allow) {
        for group in policy.permission_groups.iter().filter_map(|id| account.permission_group(id)) {
            let (id, value) = match (group.kind, &group.legacy_role) {
                (Level::Account, Some(role_id)) if policy.resource_groups.contains(&account.whole_rg) => {
                    (role_id, role(group, role_id))
                }
                (Level::Zone, _) => (&group.id, role(group, &group.id)),
                (Level::Account, _) => continue,
            };
            if !ids.contains(&id) {
                ids.push(id);
                roles.push(value);
            }
        }
    }
    roles
}

/// A legacy role.
pub(super) fn role(group: &PermissionGroup, role_id: &str) -> Value {
    let permissions: serde_json::Map<String, Value> = catalogue::AREAS
        .iter()
        .enumerate()
        .filter(|(index, _)| !(group.name.len() + index).is_multiple_of(3))
        .map(|(index, area)| {
            let write = !group.label.contains("read") && (group.name.len() + index).is_multiple_of(2);
            // Both spellings are documented.
            let word = if group.name.len().is_multiple_of(5) { "edit" } else { "write" };
            ((*area).to_owned(), json!({ "read": true, word: write }))
        })
        .collect();
    json!({
        "id": role_id, "name": group.name, "description": description(group), "permissions": permissions,
    })
}

fn description(group: &PermissionGroup) -> String {
    format!("Can use {}.", group.name)
}

/// A permission group in full, as its own routes tell it. Every value of `meta` is a string.
pub(super) fn permission_group(group: &PermissionGroup, behaviour: &Behaviour) -> Value {
    let mut meta = json!({
        "label": group.label, "scopes": scopes(group.kind), "category": "General", "description": description(group),
        "editable": "false", "deprecated": "false", "visibility": "public",
    });
    if behaviour.blank_end_of_life {
        set(&mut meta, "eol_at", json!(""));
    }
    json!({ "id": group.id, "name": group.name, "meta": meta })
}

const fn scopes(kind: Level) -> &'static str {
    match kind {
        Level::Account => "com.cloudflare.api.account",
        Level::Zone => "com.cloudflare.api.account.zone",
    }
}

/// A resource group.
pub(super) fn resource_group(group: &ResourceGroup, behaviour: &Behaviour, place: Place) -> Value {
    let objects: Vec<Value> = group.objects.iter().map(|key| json!({ "key": key })).collect();
    let scope = json!({ "key": group.scope_key, "objects": objects });
    let as_array = match behaviour.scope {
        ScopeShape::Object => false,
        ScopeShape::Array => true,
        ScopeShape::Mixed => place == Place::List,
    };
    json!({
        "id": group.id, "name": group.name, "meta": { "editable": group.editable.to_string() },
        "scope": if as_array { json!([scope]) } else { scope },
    })
}

/// A policy with its groups told by id, name and meta.
pub(super) fn policy(account: &Account, policy: &Policy, behaviour: &Behaviour) -> Value {
    let permission_groups: Vec<Value> = policy
        .permission_groups
        .iter()
        .filter_map(|id| account.permission_group(id))
        .map(|group| {
            json!({
                "id": group.id, "name": group.name,
                "meta": { "label": group.label, "scopes": scopes(group.kind), "editable": "false" },
            })
        })
        .collect();
    let resource_groups: Vec<Value> = policy
        .resource_groups
        .iter()
        .filter_map(|id| account.resource_group(id))
        .map(|group| resource_group(group, behaviour, Place::Policy))
        .collect();
    let mut body = json!({
        "id": policy.id, "access": policy.access.as_str(), "permission_groups": permission_groups,
        "resource_groups": resource_groups,
    });
    if behaviour.extra_fields {
        set(&mut body, "status", json!("V"));
    }
    body
}

/// A user group.
pub(super) fn user_group(account: &Account, group: &UserGroup, behaviour: &Behaviour) -> Value {
    let time = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let policies: Vec<Value> = group.policies.iter().map(|item| policy(account, item, behaviour)).collect();
    json!({
        "id": group.id, "name": group.name, "created_on": time(group.created_on),
        "modified_on": time(group.modified_on), "policies": policies,
    })
}

/// A member of a user group: told by the membership id.
pub(super) fn user_group_member(member: &Member) -> Value {
    json!({ "id": member.id, "email": member.email, "status": member.status })
}

/// Sets a field of an object.
pub(super) fn set(object: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(field.to_owned(), value);
    }
}
