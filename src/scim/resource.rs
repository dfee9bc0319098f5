//! Users and Groups as JSON. Every field is always there, since `baton-scim` trips over one that is missing.

use serde_json::Value;

use super::{GROUP, LIST, USER, id, object_of, schemas};
use crate::base::hash::sha256_hex;
use crate::model::grant::{Entitlement, Principal};
use crate::model::resource::{Member, MemberStatus, Row};

/// What can be filtered on in Users, in lower case.
pub const USER_FILTERS: [&str; 14] = [
    "id",
    "username",
    "displayname",
    "externalid",
    "active",
    "usertype",
    "name.givenname",
    "name.familyname",
    "name.formatted",
    "emails",
    "emails.value",
    "emails.type",
    "emails.primary",
    "schemas",
];

/// What can be filtered on in Groups, in lower case.
pub const GROUP_FILTERS: [&str; 7] =
    ["id", "displayname", "externalid", "members", "members.value", "members.type", "schemas"];

/// A person. `groups` are what the person holds, by [`reference`].
pub fn user(base: &str, member: &Member, groups: Vec<Value>) -> Value {
    let display_name = member.display_name();
    let accepted = member.status == MemberStatus::Accepted;
    // `baton-scim` makes an account's name of the given and the family name alone: who has neither would have none.
    let given_name = member.first_name.as_ref().or(member.last_name.is_none().then_some(&display_name));
    let email = member.email.as_str();
    let name = object_of(vec![
        ("formatted", display_name.as_str().into()),
        ("givenName", given_name.map_or("", String::as_str).into()),
        ("familyName", member.last_name.as_deref().unwrap_or_default().into()),
    ]);
    let address = object_of(vec![("value", email.into()), ("type", "work".into()), ("primary", true.into())]);
    stamped(
        base,
        "User",
        "Users",
        object_of(vec![
            ("schemas", schemas(USER)),
            ("id", id::of_principal(member.principal()).into()),
            ("userName", email.into()),
            ("displayName", display_name.as_str().into()),
            ("name", name),
            ("emails", Value::Array(vec![address])),
            ("userType", if accepted { "member" } else { "invitation" }.into()),
            // Who was invited was given the account; a client that reads `false` here would ask for it again and again.
            ("active", member.status.is_live().into()),
            ("groups", Value::Array(groups)),
            // What is held is in `groups`; the empty list is for `baton-scim`.
            ("roles", Value::Array(Vec::new())),
        ]),
    )
}

/// A User who was removed just now: nothing is held any more.
pub fn deactivated(mut user: Value) -> Value {
    if let Value::Object(fields) = &mut user {
        fields.insert("active".to_owned(), false.into());
        fields.insert("groups".to_owned(), Value::Array(Vec::new()));
        // A version that nothing has any more.
        if let Some(Value::Object(meta)) = fields.get_mut("meta") {
            meta.remove("version");
        }
    }
    user
}

/// What can be granted; `members` by [`member`], or `None` where they are not asked for.
pub fn group(base: &str, entitlement: Entitlement, name: &str, members: Option<Vec<Value>>) -> Value {
    let has_members = members.is_some();
    let mut fields =
        vec![("schemas", schemas(GROUP)), ("id", id::of_entitlement(entitlement).into()), ("displayName", name.into())];
    if let Some(members) = members {
        fields.push(("members", Value::Array(members)));
    }
    let mut group = stamped(base, "Group", "Groups", object_of(fields));
    // Without its members it would have another version.
    if let (false, Some(Value::Object(meta))) = (has_members, group.get_mut("meta")) {
        meta.remove("version");
    }
    group
}

/// A holder as a member of a Group.
pub fn member(base: &str, row: &Row) -> Option<Value> {
    let (principal, _, _) = row.holder()?;
    let (kind, path) = match principal {
        Principal::Group(_) => ("Group", "Groups"),
        Principal::User(_) | Principal::Invitation(_) => ("User", "Users"),
    };
    let display = row.as_member().map(Member::display_name).or_else(|| row.offered().map(|(_, name)| name));
    Some(named(base, path, id::of_principal(principal), kind, display.into()))
}

/// An entitlement as one of a User's groups.
pub fn reference(base: &str, entitlement: Entitlement, name: Option<&str>) -> Value {
    let id = id::of_entitlement(entitlement);
    let display = name.unwrap_or(&id).into();
    named(base, "Groups", id, "direct", display)
}

/// Another resource, as one names it.
fn named(base: &str, path: &str, id: String, kind: &str, display: Value) -> Value {
    let place = format!("{base}/{path}/{id}");
    object_of(vec![("value", id.into()), ("$ref", place.into()), ("type", kind.into()), ("display", display)])
}

/// A page of a list. `itemsPerPage` is the number returned: `baton-scim` goes on by it.
pub fn list(total: usize, start: usize, resources: Vec<Value>) -> Value {
    object_of(vec![
        ("schemas", schemas(LIST)),
        ("totalResults", total.into()),
        ("startIndex", start.into()),
        ("itemsPerPage", resources.len().into()),
        ("Resources", Value::Array(resources)),
    ])
}

/// The version of a resource: a weak entity tag of its content.
fn stamped(base: &str, kind: &str, path: &str, mut resource: Value) -> Value {
    let digest: String = sha256_hex(resource.to_string().as_bytes()).chars().take(32).collect();
    let location = format!("{base}/{path}/{}", resource.get("id").and_then(Value::as_str).unwrap_or_default());
    let version = format!("W/\"{digest}\"");
    let meta =
        object_of(vec![("resourceType", kind.into()), ("location", location.into()), ("version", version.into())]);
    if let Value::Object(fields) = &mut resource {
        fields.insert("meta".to_owned(), meta);
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::user;
    use crate::model::resource::{Member, MemberStatus};

    #[test]
    fn nobody_has_a_blank_name_for_a_client_that_reads_the_given_and_the_family_name_alone() {
        let email = "jane@example.com";
        for (first, last, expected) in [
            (None, None, [email, ""]),
            (Some("Jane"), None, ["Jane", ""]),
            (None, Some("Doe"), ["", "Doe"]),
            (Some("Jane"), Some("Doe"), ["Jane", "Doe"]),
        ] {
            let [first_name, last_name] = [first, last].map(|name| name.map(str::to_owned));
            let bare = Member::bare("a".repeat(32).parse().unwrap(), email.to_owned(), MemberStatus::Pending);
            let user = user("https://c1.example.com", &Member { first_name, last_name, ..bare }, Vec::new());
            assert_eq!(["givenName", "familyName"].map(|field| user["name"][field].clone()), expected);
        }
    }
}
