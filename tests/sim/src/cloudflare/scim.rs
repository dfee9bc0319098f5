//! `/accounts/{A}/scim/v2/Users`, to be read: a user by e-mail address (`reference/cloudflare.md` 1.8).

use serde_json::{Value, json};

use super::account::Account;
use super::envelope::{Answer, Success, failure};
use super::visit::Visit;

const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// GET the users who accepted, all of them or those of `filter=userName eq "x"`.
pub(super) fn list(visit: &mut Visit<'_>) -> Answer {
    let wanted = match visit.request.param("filter") {
        None => None,
        Some(filter) => Some(user_name(&filter).ok_or_else(|| failure(400, 400, "unsupported filter"))?),
    };
    let number =
        |name: &str, default: usize| visit.request.param(name).and_then(|value| value.parse().ok()).unwrap_or(default);
    let (start, count) = (number("startIndex", 1).max(1), number("count", 100));
    let mut users: Vec<(&str, Value)> = visit
        .account
        .members()
        .filter(|member| member.status == "accepted")
        .filter(|member| wanted.as_deref().is_none_or(|email| email == member.email.to_lowercase()))
        .filter_map(|member| Some((member.email.as_str(), user(visit.account, member, member.user.usable()?))))
        .collect();
    users.sort_by(|a, b| a.0.cmp(b.0));
    let total = users.len();
    let shown: Vec<Value> = users.into_iter().skip(start - 1).take(count).map(|(_, user)| user).collect();
    Ok(Success {
        body: json!({
            "schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": shown.len(),
            "Resources": shown,
        }),
        content_type: "application/scim+json",
    })
}

/// The address in `userName eq "x"`, in lower case.
fn user_name(filter: &str) -> Option<String> {
    let value = filter.trim().strip_prefix("userName")?.trim_start().strip_prefix("eq")?.trim();
    Some(value.strip_prefix('"')?.strip_suffix('"')?.to_lowercase())
}

fn user(account: &Account, member: &super::account::Member, id: &str) -> Value {
    let system = member.policies.iter().flat_map(|policy| &policy.permission_groups);
    let groups: Vec<String> = system
        .map(|group| format!("cloudflare-v1-{group}"))
        .chain(
            account
                .user_groups
                .values()
                .filter(|group| group.members.contains(&member.id))
                .map(|group| group.id.clone()),
        )
        .collect();
    json!({
        "schemas": [USER], "id": id, "userName": member.email, "active": true,
        "name": { "givenName": member.first_name.clone().unwrap_or_default(),
                  "familyName": member.last_name.clone().unwrap_or_default() },
        "emails": [{ "value": member.email, "primary": true, "type": "work" }],
        "groups": groups, "meta": { "resourceType": "User" },
    })
}
