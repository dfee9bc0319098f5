//! The JSON shapes of `/v1`. Every field is always there; what is not known of a person's name is `""`, because the
//! mapping languages that read this trip over `null`.

use serde::Serialize;
use serde_json::Value;

use crate::base::object::object_of;
use crate::base::time::Timestamp;
use crate::model::grant::{Entitlement, Principal};
use crate::model::kind::Kind;
use crate::model::offer::SLUG;
use crate::model::resource::{Member, MemberStatus, Row, Token};
use crate::model::scope::{self, ObjectKind, Scope};
use crate::snapshot::Manifest;

/// An item of any list: one type, so that what reads a list and writes a page is compiled once.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Item {
    Person(Person),
    Role(Role),
    ScopedRole(ScopedRole),
    Group(Group),
    Entitlement(EntitlementItem),
    Grant(Grant),
    Holder(Holder),
    /// A token or an OAuth client, or what somebody can do on an object.
    Other(Value),
}

#[derive(Debug, Serialize)]
pub(super) struct Person {
    id: String,
    resource_type: &'static str,
    member_id: String,
    cloudflare_user_id: String,
    email: String,
    display_name: String,
    first_name: String,
    last_name: String,
    status: &'static str,
    active: bool,
    two_factor: Option<bool>,
    last_login: String,
    last_change_at: String,
    last_change_from: String,
    products_changed: Vec<String>,
    entitlements: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Role {
    id: String,
    resource_type: &'static str,
    name: String,
    description: String,
    entitlement_id: String,
    permission_group_id: Option<String>,
    label: Option<String>,
    grantable: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ScopedRole {
    id: String,
    resource_type: &'static str,
    name: String,
    entitlement_id: String,
    permission_group_id: String,
    permission_group_name: String,
    resource_group_id: String,
    resource_group_name: String,
    /// What it reaches, in a few words.
    reach: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Group {
    id: String,
    resource_type: &'static str,
    name: String,
    entitlement_id: String,
    entitlements: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct EntitlementItem {
    id: String,
    slug: &'static str,
    display_name: String,
    description: String,
    purpose: &'static str,
    resource_type: &'static str,
    resource_id: String,
    grantable_to: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Grant {
    id: String,
    entitlement_id: String,
    principal_type: &'static str,
    principal_id: String,
    /// The entitlement whose holders hold this one too; for a group's grants.
    expandable: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Holder {
    grant_id: String,
    principal_type: &'static str,
    principal_id: String,
    user_id: Option<String>,
    email: Option<String>,
    display_name: String,
}

/// A resource of any kind.
pub(super) fn resource(row: &Row, manifest: &Manifest) -> Item {
    let held = || manifest.grants_of(row).into_iter().map(|(entitlement, _)| entitlement.to_string()).collect();
    match row {
        Row::User(member) | Row::Invitation(member) => Item::Person(person(member, held())),
        Row::Role(role) => Item::Role(Role {
            id: role.id.to_string(),
            resource_type: row.kind().as_str(),
            name: role.name.clone(),
            description: role.description.clone().unwrap_or_default(),
            entitlement_id: Entitlement::Role(role.id).to_string(),
            permission_group_id: role.permission_group.map(|id| id.to_string()),
            label: role.label.clone(),
            grantable: role.permission_group.is_some(),
        }),
        Row::ScopedRole(role) => {
            let entitlement = Entitlement::scoped(role.permission_group, role.resource_group);
            Item::ScopedRole(ScopedRole {
                id: format!("{}-{}", role.permission_group, role.resource_group),
                resource_type: row.kind().as_str(),
                name: role.display_name(),
                entitlement_id: entitlement.to_string(),
                permission_group_id: role.permission_group.to_string(),
                permission_group_name: role.permission_group_name.clone(),
                resource_group_id: role.resource_group.to_string(),
                resource_group_name: role.resource_group_name.clone(),
                reach: role.reach(),
            })
        }
        Row::Group(group) => Item::Group(Group {
            id: group.id.to_string(),
            resource_type: row.kind().as_str(),
            name: group.name.clone(),
            entitlement_id: Entitlement::Group(group.id).to_string(),
            entitlements: held(),
        }),
        Row::ApiToken(token) => Item::Other(self::token(token, row.kind())),
        Row::OauthClient(client) => Item::Other(object_of(vec![
            ("id", client.id.to_string().into()),
            ("resource_type", row.kind().as_str().into()),
            ("name", client.name.as_str().into()),
            ("visibility", client.visibility.as_str().into()),
            ("scopes", texts(&client.scopes)),
            ("redirect_uris", texts(&client.redirect_uris)),
            ("created_at", time(client.created_at)),
        ])),
    }
}

fn texts(texts: &[impl AsRef<str>]) -> Value {
    let mut list = Vec::new();
    for text in texts {
        list.push(Value::from(text.as_ref()));
    }
    Value::Array(list)
}

fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}

fn person(member: &Member, entitlements: Vec<String>) -> Person {
    let principal = member.principal();
    Person {
        id: principal.id(),
        resource_type: principal.kind().as_str(),
        member_id: member.member_id.to_string(),
        cloudflare_user_id: member.user_id.map(|id| id.to_string()).unwrap_or_default(),
        email: member.email.clone(),
        display_name: member.display_name(),
        first_name: member.first_name.clone().unwrap_or_default(),
        last_name: member.last_name.clone().unwrap_or_default(),
        status: match member.status {
            MemberStatus::Accepted => "accepted",
            MemberStatus::Pending => "pending",
            MemberStatus::Rejected | MemberStatus::Other => "other",
        },
        active: member.status == MemberStatus::Accepted,
        two_factor: member.two_factor,
        // A day is told as its beginning: what reads it expects a time.
        last_login: of_day(member.signs.last_login_day.as_deref()),
        last_change_at: of_day(member.signs.last_change_day.as_deref()),
        last_change_from: member.signs.last_change_from.clone().unwrap_or_default(),
        products_changed: member.signs.products.clone(),
        entitlements,
    }
}

fn of_day(day: Option<&str>) -> String {
    day.map(|day| format!("{day}T00:00:00Z")).unwrap_or_default()
}

/// A token: who made it, what it may do in words, from where, and until when.
fn token(token: &Token, kind: Kind) -> Value {
    let creator = match (&token.creator, token.creator()) {
        (None, _) => "unknown",
        (Some(_), None) => "left",
        (Some(_), Some(Principal::Invitation(_))) => "invited",
        (Some(_), Some(_)) => "member",
    };
    let provisioner = token.provisioner.as_ref();
    let mut access = Vec::new();
    for policy in &token.policies {
        access.push(policy.told());
    }
    object_of(vec![
        ("id", token.id.to_string().into()),
        ("resource_type", kind.as_str().into()),
        ("name", token.name.as_str().into()),
        ("status", token.status.as_str().into()),
        ("issued_on", time(token.issued_on)),
        ("not_before", time(token.not_before)),
        ("expires_on", time(token.expires_on)),
        ("last_used_on", token.last_used_day.clone().into()),
        ("unreadable", texts(&token.untold)),
        ("creator_email", token.creator.as_deref().unwrap_or_default().into()),
        ("creator_id", token.creator_is.as_deref().unwrap_or_default().into()),
        // `left` is somebody who is no member any more, or has another address by now.
        ("creator", creator.into()),
        ("provisioner_type", provisioner.map_or("", |(kind, _)| kind.as_str()).into()),
        ("provisioner_id", provisioner.and_then(|(_, id)| id.as_deref()).unwrap_or_default().into()),
        ("access", texts(&access)),
        ("permission_groups", texts(&token.permission_groups())),
        ("allowed_from", texts(&token.from)),
        ("refused_from", texts(&token.not_from)),
        ("is_connector", token.is_own.into()),
    ])
}

/// A scoped role or a token with all that it reaches: each object's key, kind, id and name, as far as they are known; anything else as it is.
pub(super) fn reach(row: &Row, manifest: &Manifest) -> Item {
    let mut told = match resource(row, manifest) {
        Item::Other(told) => told,
        Item::ScopedRole(role) => serde_json::to_value(role).unwrap_or_default(),
        other => return other,
    };
    let Value::Object(fields) = &mut told else { return Item::Other(told) };
    let (name, value, unlisted) = match row {
        Row::ScopedRole(role) => ("scope", objects(&role.scope), role.unlisted),
        Row::ApiToken(token) => {
            let mut policies = Vec::new();
            for policy in &token.policies {
                let mut groups = Vec::new();
                for (id, name) in &policy.groups {
                    groups.push(object_of(vec![("id", id.as_str().into()), ("name", name.as_str().into())]));
                }
                policies.push(object_of(vec![
                    ("access", serde_json::to_value(policy.access).unwrap_or_default()),
                    ("told", policy.told().into()),
                    ("permission_groups", Value::Array(groups)),
                    ("scope", objects(&policy.scope)),
                ]));
            }
            ("policies", Value::Array(policies), token.unlisted)
        }
        _ => return Item::Other(told),
    };
    fields.insert(name.to_owned(), value);
    fields.insert("unlisted".to_owned(), unlisted.into());
    Item::Other(told)
}

fn objects(scope: &Scope) -> Value {
    let mut objects = Vec::new();
    for (key, name) in &scope.0 {
        let (kind, id) = ObjectKind::of(key);
        objects.push(object_of(vec![
            ("key", key.as_str().into()),
            ("kind", kind.as_str().into()),
            ("id", id.into()),
            ("name", name.as_str().into()),
            ("told", scope::told(key, name).into()),
        ]));
    }
    Value::Array(objects)
}

/// The entitlement that a role, scoped role or group offers.
pub(super) fn entitlement(row: &Row) -> Option<Item> {
    let offer = row.offer()?;
    Some(Item::Entitlement(EntitlementItem {
        id: offer.entitlement.to_string(),
        slug: SLUG,
        display_name: offer.display_name,
        description: offer.description,
        purpose: "assignment",
        resource_type: row.kind().as_str(),
        resource_id: offer.entitlement.resource_id(),
        grantable_to: offer.grantable_to.iter().map(|kind| kind.as_str()).collect(),
    }))
}

/// What a person or a group holds.
pub(super) fn grants(row: &Row, manifest: &Manifest) -> Vec<Item> {
    let mut grants = Vec::new();
    for (entitlement, principal) in manifest.grants_of(row) {
        grants.push(Item::Grant(Grant {
            id: entitlement.grant_id(principal),
            entitlement_id: entitlement.to_string(),
            principal_type: principal.kind().as_str(),
            principal_id: principal.id(),
            expandable: match principal {
                Principal::Group(id) => Some(Entitlement::Group(id).to_string()),
                Principal::User(_) | Principal::Invitation(_) => None,
            },
        }));
    }
    grants
}

/// One who holds an entitlement.
pub(super) fn holder(row: &Row, entitlement: Entitlement) -> Option<Item> {
    let (principal, _, _) = row.holder()?;
    let member = row.as_member();
    let display_name = match row {
        Row::Group(group) => group.name.clone(),
        _ => member.map(Member::display_name).unwrap_or_default(),
    };
    Some(Item::Holder(Holder {
        grant_id: entitlement.grant_id(principal),
        principal_type: principal.kind().as_str(),
        principal_id: principal.id(),
        user_id: match principal {
            Principal::User(id) => Some(id.to_string()),
            Principal::Invitation(_) | Principal::Group(_) => None,
        },
        email: member.map(|member| member.email.clone()),
        display_name,
    }))
}
