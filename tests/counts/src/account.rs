//! An account as Cloudflare's API tells it: each of 50 members on a page of 314 KB has some roles, and each role its map of 30
//! permissions. Ids are hashes, as random as real ones and always the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The governed account.
pub const ACCOUNT: &str = "01a7362d577a6c3019a474fd6f485823";

/// How many permission groups and roles there are.
pub const ROLES: usize = 60;

/// How many roles each member has.
const ROLES_EACH: usize = 3;

/// How many permissions a role tells of.
const PERMISSIONS: usize = 30;

/// How many roles on one domain each there are, in an account that has any.
pub const SCOPED: usize = 5_000;

/// How many user groups there are, in an account that has any.
pub const GROUPS: usize = 500;

/// Members on a page.
const PER_PAGE: usize = 50;

/// An id of something.
pub fn id(of: &str, n: usize) -> String {
    Sha256::digest(format!("{of} {n}")).iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An account of a size.
pub struct Account {
    /// How many items each list has, and its pages: made beforehand, since what is counted is the connector's work.
    lists: BTreeMap<&'static str, (usize, Vec<Vec<u8>>)>,
    members: usize,
    /// How many domains there are, with a role on each.
    domains: usize,
    /// In how many of the user groups each member is.
    joined: usize,
    /// Policies that were written since, by member.
    pub written: BTreeMap<String, Value>,
}

/// Every fifth member of these has another name in the answers.
fn member(n: usize, domains: usize) -> Value {
    let roles: Vec<usize> = (0..ROLES_EACH).map(|k| (n * 7 + k * 13) % ROLES).collect();
    let email = format!("member{n:06}@example.com");
    let on_account = roles.iter().map(|&role| policy(n, role, resource_group()));
    let on_domain = (domains > 0).then(|| policy(n, n % domains % ROLES, on_domain(n % domains.max(1))));
    json!({
        "id": id("member", n), "email": email, "status": if n % 20 == 19 { "pending" } else { "accepted" },
        "user": {
            "id": if n % 20 == 19 { String::new() } else { id("user", n) }, "email": email, "first_name": format!("First{n}"),
            "last_name": format!("Last{n}"), "two_factor_authentication_enabled": n.is_multiple_of(3),
        },
        "roles": roles.iter().map(|&role| self::role(role)).collect::<Vec<_>>(),
        "policies": on_account.chain(on_domain).collect::<Vec<_>>(),
    })
}

fn role(n: usize) -> Value {
    let permissions: serde_json::Map<String, Value> = (0..PERMISSIONS)
        .map(|k| (format!("permission_{k:02}"), json!({ "read": true, "write": k % 2 == 0 })))
        .collect();
    json!({ "id": id("role", n), "name": format!("Role {n}"), "description": format!("Can use role {n}."), "permissions": permissions })
}

fn permission_group(n: usize) -> Value {
    json!({ "id": id("permission group", n), "name": format!("Role {n}"), "meta": {
        "label": format!("role_{n}"), "scopes": "com.cloudflare.api.account", "category": "General", "editable": "false",
        "description": format!("Can use role {n}."), "deprecated": "false", "visibility": "public",
    } })
}

fn resource_group() -> Value {
    let name = format!("com.cloudflare.api.account.{ACCOUNT}");
    json!({ "id": id("resource group", 0), "name": name, "meta": { "editable": "false" }, "scope": [{ "key": name, "objects": [{ "key": "*" }] }] })
}

/// The resource group of one domain.
fn on_domain(n: usize) -> Value {
    let key = format!("com.cloudflare.api.account.zone.{}", id("zone", n));
    json!({ "id": id("domain", n), "name": key, "meta": { "editable": "false" }, "scope": [{ "key": format!("com.cloudflare.api.account.{ACCOUNT}"), "objects": [{ "key": key }] }] })
}

fn policy(member: usize, role: usize, on: Value) -> Value {
    json!({
        "id": id("policy", member * ROLES + role), "access": "allow",
        "permission_groups": [permission_group(role)], "resource_groups": [on],
    })
}

fn user_group(n: usize) -> Value {
    json!({
        "id": id("user group", n), "name": format!("Group {n}"), "policies": [policy(usize::MAX / ROLES - n, n % ROLES, resource_group())],
        "created_on": "2026-01-01T00:00:00Z", "modified_on": "2026-01-01T00:00:00Z",
    })
}

fn answer(items: &[Value], page: usize, per_page: usize, total: usize) -> Vec<u8> {
    json!({
        "success": true, "errors": [], "messages": [], "result": items, "result_info": {
            "page": page, "per_page": per_page, "count": items.len(), "total_count": total, "total_pages": total.div_ceil(per_page),
        },
    })
    .to_string()
    .into_bytes()
}

impl Account {
    /// An account with this many members.
    pub fn of(members: usize) -> Self {
        Self::with(members, 0, 0)
    }

    /// An account with this many members, each with a role on one of so many domains beside, and in so many user groups.
    pub fn with(members: usize, domains: usize, joined: usize) -> Self {
        let paged = |total: usize, item: &dyn Fn(usize) -> Value| {
            let pages = (0..total.div_ceil(PER_PAGE)).map(|page| {
                let shown: Vec<Value> = (page * PER_PAGE..total.min((page + 1) * PER_PAGE)).map(item).collect();
                answer(&shown, page + 1, PER_PAGE, total)
            });
            (total, pages.collect::<Vec<_>>())
        };
        let on: Vec<Value> = std::iter::once(resource_group()).chain((0..domains).map(on_domain)).collect();
        let zone = |n| json!({ "id": id("zone", n), "name": format!("domain{n:05}.example.com") });
        let lists = BTreeMap::from([
            ("/members", paged(members, &|n| member(n, domains))),
            ("/roles", paged(ROLES, &role)),
            ("/iam/permission_groups", paged(ROLES, &permission_group)),
            // This list ignores pages.
            ("/iam/resource_groups", (on.len(), vec![answer(&on, 1, on.len(), on.len())])),
            ("/client/v4/zones", paged(domains, &zone)),
            ("/iam/user_groups", paged(if joined > 0 { GROUPS } else { 0 }, &user_group)),
            ("/tokens", paged(0, &role)),
        ]);
        Self { lists, members, domains, joined, written: BTreeMap::new() }
    }

    /// How many bytes the first page of members has.
    pub fn page_bytes(&self) -> usize {
        self.lists.get("/members").and_then(|(_, pages)| pages.first()).map_or(0, Vec::len)
    }

    /// What the API answers.
    pub fn get(&self, path: &str, page: usize) -> (u16, Vec<u8>) {
        let rest = path.rsplit_once(ACCOUNT).map_or(path, |(_, rest)| rest);
        if let Some((total, pages)) = self.lists.get(rest) {
            return (200, pages.get(page - 1).cloned().unwrap_or_else(|| answer(&[], page, PER_PAGE, *total)));
        }
        if let Some(group) = rest.strip_prefix("/iam/user_groups/").and_then(|rest| rest.strip_suffix("/members")) {
            return (200, self.members_of(group, page));
        }
        match rest.strip_prefix("/members/").and_then(|wanted| self.one(wanted)) {
            Some(member) => (
                200,
                json!({ "success": true, "errors": [], "messages": [], "result": member }).to_string().into_bytes(),
            ),
            None => (
                404,
                br#"{"success":false,"errors":[{"code":1003,"message":"not found"}],"messages":[],"result":null}"#
                    .to_vec(),
            ),
        }
    }

    /// A page of a user group's members: of every so many in a row some are in it.
    fn members_of(&self, group: &str, page: usize) -> Vec<u8> {
        let group = (0..GROUPS).find(|&n| id("user group", n) == group).unwrap_or_default();
        let is_in = |member: usize| (member + group) % GROUPS < self.joined;
        let all: Vec<usize> = (0..self.members).filter(|&member| is_in(member)).collect();
        let shown = all.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE).map(
            |&n| json!({ "id": id("member", n), "email": format!("member{n:06}@example.com"), "status": "accepted" }),
        );
        answer(&shown.collect::<Vec<_>>(), page, PER_PAGE, all.len())
    }

    /// A member as it is now.
    pub fn one(&self, wanted: &str) -> Option<Value> {
        let n = (0..self.members).find(|&n| id("member", n) == wanted)?;
        let mut member = member(n, self.domains);
        if let Some(policies) = self.written.get(wanted) {
            member["policies"] = policies.clone();
        }
        Some(member)
    }

    /// Replaces a member's policies by those that name permission groups by these ids.
    pub fn put(&mut self, wanted: &str, body: &Value) -> Option<Value> {
        let groups: Vec<String> = (0..ROLES).map(|n| id("permission group", n)).collect();
        let policies = body["policies"].as_array()?.iter().enumerate().map(|(place, told)| {
            let named = told["permission_groups"].as_array().into_iter().flatten();
            let named = named.filter_map(|group| groups.iter().position(|known| Some(known.as_str()) == group["id"].as_str()));
            json!({ "id": id("new policy", place), "access": told["access"], "permission_groups": named.map(permission_group).collect::<Vec<_>>(), "resource_groups": [resource_group()] })
        });
        let policies = policies.collect();
        self.written.insert(wanted.to_owned(), policies);
        self.one(wanted)
    }
}
