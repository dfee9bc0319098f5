//! Policies and roles in a request body: read, checked whole, and only then applied.

use serde_json::Value;

use super::account::{Access, Account, Level, Policy, PolicySpec, ResourceGroup};
use super::envelope::{Failure, failure};

/// Who the policies are for; user groups are stricter (`reference/cloudflare.md` 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Member,
    UserGroup,
}

/// A resource group named in a policy: an existing one, or one to be made up from an inline `scope`.
#[derive(Debug)]
enum Named {
    Existing(String),
    Anonymous { key: String, objects: Vec<String>, kind: Level },
}

/// A policy that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    access: Access,
    permission_groups: Vec<String>,
    resource_groups: Vec<Named>,
}

/// Reads and checks an array of policies, all or nothing.
pub(super) fn check(account: &Account, policies: &Value, owner: For) -> Result<Vec<Checked>, Failure> {
    let Value::Array(items) = policies else { return Err(invalid("policies must be an array").at("/policies")) };
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            check_one(account, item, owner).map_err(|failure| failure.at(format!("/policies/{index}")))
        })
        .collect()
}

fn check_one(account: &Account, item: &Value, owner: For) -> Result<Checked, Failure> {
    if owner == For::UserGroup && item.get("id").is_some() {
        return Err(failure(400, 400, "Cannot re-use policy IDs"));
    }
    let access = match item.get("access").and_then(Value::as_str) {
        Some("allow") => Access::Allow,
        Some("deny") if owner == For::UserGroup => return Err(failure(400, 400, "Policy validation failed")),
        Some("deny") => Access::Deny,
        _ => return Err(invalid("a policy's access must be allow or deny")),
    };
    let mut kinds = Vec::new();
    let mut permission_groups = Vec::new();
    for group in list(item, "permission_groups")? {
        let id = group.get("id").and_then(Value::as_str).ok_or_else(|| invalid("a permission group has no id"))?;
        let known = account.permission_group(id).ok_or_else(|| invalid("unknown permission group"))?;
        kinds.push(known.kind);
        permission_groups.push(id.to_owned());
    }
    let mut resource_groups = Vec::new();
    for group in list(item, "resource_groups")? {
        let named = named(account, group)?;
        kinds.push(match &named {
            Named::Existing(id) => account.resource_group(id).map_or(Level::Account, |group| group.kind),
            Named::Anonymous { kind, .. } => *kind,
        });
        resource_groups.push(named);
    }
    if kinds.windows(2).any(|pair| matches!(pair, [a, b] if a != b)) {
        return Err(failure(400, 1006, "invalid permission group and resource group combination"));
    }
    Ok(Checked { access, permission_groups, resource_groups })
}

fn list<'a>(policy: &'a Value, field: &str) -> Result<&'a Vec<Value>, Failure> {
    policy
        .get(field)
        .and_then(Value::as_array)
        .filter(|items| !items.is_empty())
        .ok_or_else(|| invalid(format!("a policy needs {field}")))
}

fn named(account: &Account, group: &Value) -> Result<Named, Failure> {
    if let Some(id) = group.get("id").and_then(Value::as_str) {
        return match account.resource_group(id) {
            Some(_) => Ok(Named::Existing(id.to_owned())),
            None => Err(invalid("unknown resource group")),
        };
    }
    let (key, objects) = scope(group.get("scope").unwrap_or(&Value::Null))?;
    let kind = scope_kind(&objects);
    Ok(Named::Anonymous { key, objects, kind })
}

/// Reads a `scope`: its key and the keys of its objects.
pub(super) fn scope(scope: &Value) -> Result<(String, Vec<String>), Failure> {
    let key = scope.get("key").and_then(Value::as_str);
    let objects = scope.get("objects").and_then(Value::as_array).and_then(|objects| {
        objects.iter().map(|object| object.get("key").and_then(Value::as_str).map(str::to_owned)).collect()
    });
    match (key, objects) {
        (Some(key), Some(objects)) => Ok((key.to_owned(), objects)),
        _ => Err(invalid("a resource group needs an id or a scope with key and objects")),
    }
}

/// What kind of resource group a scope makes.
pub(super) fn scope_kind(objects: &[String]) -> Level {
    if objects.iter().any(|key| key.starts_with("com.cloudflare.api.account.zone.")) {
        Level::Zone
    } else {
        Level::Account
    }
}

/// Turns checked policies into policies with ids, each with a new one; inline scopes become resource groups.
pub(super) fn apply(account: &mut Account, checked: Vec<Checked>) -> Vec<Policy> {
    let mut specs = Vec::new();
    for policy in checked {
        let mut resource_groups = Vec::new();
        for named in policy.resource_groups {
            match named {
                Named::Existing(id) => resource_groups.push(id),
                Named::Anonymous { key, objects, kind } => {
                    let id = account.new_id();
                    account.resource_groups.push(ResourceGroup {
                        id: id.clone(),
                        name: format!("anonymous-{id}"),
                        kind,
                        editable: true,
                        scope_key: key,
                        objects,
                    });
                    resource_groups.push(id);
                }
            }
        }
        specs.push(PolicySpec { access: policy.access, permission_groups: policy.permission_groups, resource_groups });
    }
    account.issue(specs)
}

/// Legacy roles as policies: one account-wide policy for each. A domain-scoped one, which members' `roles` show under
/// its permission group's id, is dropped without a word: the trap of the roles form (`reference/cloudflare.md` 2.3).
pub(super) fn from_roles(account: &Account, ids: &[&str]) -> Result<Vec<PolicySpec>, Failure> {
    let mut policies = Vec::new();
    for id in ids {
        if let Some(group) = account.behind_role(id) {
            policies.push(PolicySpec::allow(group.id.clone(), account.whole_rg.clone()));
        } else if account.permission_group(id).is_none_or(|group| group.kind != Level::Zone) {
            return Err(invalid_roles());
        }
    }
    Ok(policies)
}

/// "Invalid role assignments found".
pub(super) fn invalid_roles() -> Failure {
    failure(400, 1001, "Invalid role assignments found")
}

fn invalid(message: impl std::fmt::Display) -> Failure {
    failure(400, 1001, format!("Invalid request: {message}"))
}
