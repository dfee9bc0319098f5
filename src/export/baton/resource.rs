//! Resource types and resources, with their traits.

use super::wire::Message;
use super::{MAX_NAME, at_most, resource_id};
use crate::base::time::Timestamp;
use crate::base::words::capitalised;
use crate::model::kind::{IdForm, Kind};
use crate::model::resource::{Member, MemberStatus, Row, Token, TokenPolicy};

/// `Resource.description` has at most this many bytes.
const MAX_DESCRIPTION: usize = 2048;

/// `Status.details` has at most this many bytes.
const MAX_DETAILS: usize = 1024;

/// `RESOURCE_STATUS_ENABLED` and `STATUS_ENABLED`; the values for disabled are one more.
const ENABLED: u64 = 1;

/// A text of a profile has at most this many bytes.
const MAX_TEXT: usize = 4096;

/// `NHI_TYPE_APP_REGISTRATION`: what is registered keeps a secret of its own.
const APP_REGISTRATION: u64 = 1;

/// `ACCOUNT_TYPE_HUMAN`: Cloudflare's members are people.
const HUMAN: u64 = 1;

/// `CREDENTIAL_TYPE_STATIC_SECRET`.
const STATIC_SECRET: u64 = 1;

/// What `baton-cloudflare` says of an account's API token.
const TOKEN_DETAIL: &str = "cloudflare.account_api_token";

/// A resource as an entitlement or a grant carries it: its id, its encoding, and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::export) struct EmbeddedResource {
    pub(in crate::export) kind: Kind,
    pub(in crate::export) id: String,
    pub(super) message: Message,
}

/// The resource types: id and `ResourceType`, sorted by id.
pub(in crate::export) fn resource_types() -> Vec<(&'static str, Vec<u8>)> {
    Kind::ALL.iter().map(|kind| (kind.as_str(), resource_type(*kind).into_bytes())).collect()
}

fn resource_type(kind: Kind) -> Message {
    let mut annotations = Vec::new();
    // Those that `baton-cloudflare` had before this connector, under the names it gave them.
    if kind.facts().of_baton {
        annotations.push(Message::any("V1Identifier", &Message::new().string(1, kind.as_str())));
    }
    if !kind.offers() {
        annotations.push(Message::any("SkipEntitlementsAndGrants", &Message::new()));
    }
    if kind.facts().comes_and_goes {
        annotations.push(Message::any("SkipSyncAnomalyDetection", &Message::new()));
    }
    let plain = plain_type(kind);
    annotations.iter().fold(plain, |message, annotation| message.message(4, annotation))
}

/// A resource type as an entitlement names it.
pub(super) fn plain_type(kind: Kind) -> Message {
    let facts = kind.facts();
    Message::new().string(1, facts.name).string(2, facts.title).packed(3, facts.is_a.number())
}

impl EmbeddedResource {
    /// The resource of a row, as it is carried along: without its description, and without the list of what it reaches.
    pub(in crate::export) fn of(row: &Row) -> Self {
        let (kind, id) = identity(row);
        let message = encode(row, kind, &id, None);
        Self { kind, id, message }
    }
}

/// A row's resource: type, id, and `Resource`.
pub(in crate::export) fn resource(row: &Row) -> (Kind, String, Vec<u8>) {
    let description = match row {
        Row::Role(role) => role.description.as_deref().unwrap_or_default(),
        _ => "",
    };
    let (kind, id) = identity(row);
    let message = encode(row, kind, &id, Some(at_most(description, MAX_DESCRIPTION)));
    (kind, id, message.into_bytes())
}

fn identity(row: &Row) -> (Kind, String) {
    let key = row.key();
    (row.kind(), key.split_once(':').map(|(_, id)| id.to_owned()).unwrap_or_default())
}

/// A resource; without a description it is one that is carried along.
fn encode(row: &Row, kind: Kind, id: &str, description: Option<&str>) -> Message {
    let name = row.display_name();
    // A name is not required of a token or a group.
    let name = if name.is_empty() { id } else { at_most(&name, MAX_NAME) };
    let base = Message::new().message(1, &resource_id(kind, id)).string(3, name);
    let annotated = annotations(row, id).iter().fold(base, |message, annotation| message.message(4, annotation));
    let whole = description.is_some();
    let profiled = annotated.string(5, description.unwrap_or_default()).message(9, &profile(row, id, whole));
    let (status, created_at) = match row {
        Row::User(member) | Row::Invitation(member) => {
            (Some((member.status.is_live(), capitalised(status_word(member)))), None)
        }
        Row::ApiToken(token) => (Some((token.status == "active", capitalised(&token.status))), token.issued_on),
        Row::OauthClient(client) => (None, client.created_at),
        Row::Group(_) | Row::Role(_) | Row::ScopedRole(_) => (None, None),
    };
    let with_status = match status {
        Some((enabled, details)) => {
            let status = Message::new().number(1, state(enabled)).string(2, at_most(&details, MAX_DETAILS));
            profiled.message(11, &status)
        }
        None => profiled,
    };
    optional_time(with_status, 12, created_at)
}

/// Traits, and the id as Cloudflare's API has it.
fn annotations(row: &Row, id: &str) -> Vec<Message> {
    let facts = row.kind().facts();
    let a_trait = match row {
        Row::User(member) | Row::Invitation(member) => user_trait(member),
        Row::ApiToken(token) => secret_trait(token),
        Row::OauthClient(_) | Row::Role(_) | Row::ScopedRole(_) | Row::Group(_) => Message::new(),
    };
    let mut annotations = vec![Message::any(facts.is_a.annotation(), &a_trait)];
    if facts.id == IdForm::Own {
        annotations.push(Message::any("RawId", &Message::new().string(1, id)));
    }
    if let Row::OauthClient(_) = row {
        annotations.push(Message::any("NonHumanIdentityTrait", &Message::new().number(1, APP_REGISTRATION)));
    }
    annotations
}

fn user_trait(member: &Member) -> Message {
    let mut message = Message::new();
    if !member.email.is_empty() {
        message = message.message(1, &Message::new().string(1, &member.email).flag(2, true));
    }
    message = message
        .message(2, &Message::new().number(1, state(member.status.is_live())))
        .number(5, HUMAN)
        .string(6, &member.email);
    // By the day: what is known is not told more exactly than that.
    message = optional_time(message, 9, member.signs.last_login_day.as_deref().and_then(Timestamp::parse));
    if let Some(two_factor) = member.two_factor {
        message = message.message(10, &Message::new().flag(1, two_factor));
    }
    let [first, last] = names(member);
    if !first.is_empty() || !last.is_empty() {
        message = message.message(12, &Message::new().string(1, first).string(2, last));
    }
    message
}

fn secret_trait(token: &Token) -> Message {
    let message = optional_time(Message::new(), 2, token.issued_on);
    let message = optional_time(message, 3, token.expires_on);
    let last_used = token.last_used_day.as_deref().and_then(Timestamp::parse);
    let message = optional_time(message, 4, last_used);
    let message = named(message, 5, token.creator_is.as_deref());
    named(message, 6, token.provisioner_is.as_deref()).number(7, STATIC_SECRET).string(8, TOKEN_DETAIL)
}

/// A resource that is in the same file, by its key.
fn named(message: Message, field: u32, key: Option<&str>) -> Message {
    let named = key.and_then(|key| key.split_once(':')).and_then(|(kind, id)| Some((Kind::parse(kind)?, id)));
    match named {
        Some((kind, id)) => message.message(field, &resource_id(kind, id)),
        None => message,
    }
}

fn profile(row: &Row, id: &str, whole: bool) -> Message {
    match row {
        Row::User(member) => {
            let [first, last] = names(member);
            let (signs, products) = (&member.signs, member.signs.products.join(", "));
            let (member_id, status) = (member.member_id.to_string(), capitalised(status_word(member)));
            let fields: [(&str, &str); 10] = [
                ("cloudflare_user_id", id),
                ("email", &member.email),
                ("first_name", first),
                ("last_change_at", signs.last_change_day.as_deref().unwrap_or_default()),
                ("last_change_from", signs.last_change_from.as_deref().unwrap_or_default()),
                ("last_name", last),
                ("login", &member.email),
                ("member_id", &member_id),
                ("products_changed", at_most(&products, MAX_TEXT)),
                ("status", &status),
            ];
            // What is not known of somebody's changes is left out; the rest is told of everybody.
            let is_told = |(name, text): &(&str, &str)| {
                !text.is_empty() || !(name.starts_with("last_change") || *name == "products_changed")
            };
            Message::texts(&fields.into_iter().filter(is_told).collect::<Vec<_>>())
        }
        Row::Invitation(member) => Message::texts(&[
            ("email", &member.email),
            ("member_id", &member.member_id.to_string()),
            ("status", &capitalised(status_word(member))),
        ]),
        Row::Role(role) => Message::texts(&[("role_id", id), ("role_name", &role.name)]),
        Row::ScopedRole(role) => {
            let mut told = if whole { role.scope.told() } else { Vec::new() };
            told.extend((whole && role.unlisted > 0).then(|| format!("and {} more", role.unlisted)));
            let scope = told.join(", ");
            let fields: [(&str, &str); 6] = [
                ("permission_group_id", &role.permission_group.to_string()),
                ("permission_group_name", &role.permission_group_name),
                ("resource_group_id", &role.resource_group.to_string()),
                ("resource_group_name", &role.resource_group_name),
                ("role_name", &role.display_name()),
                ("scope", &scope),
            ];
            Message::texts(fields.get(..if scope.is_empty() { 5 } else { 6 }).unwrap_or_default())
        }
        Row::Group(group) => Message::texts(&[("group_id", id), ("group_name", &group.name)]),
        Row::ApiToken(token) => {
            let told = token.policies.iter().map(TokenPolicy::told).collect::<Vec<_>>().join("; ");
            let provisioner =
                token.provisioner.as_ref().map(|(kind, id)| format!("{kind} {}", id.as_deref().unwrap_or("")));
            let (from, groups) = (token.from.join(", "), token.permission_groups().join(", "));
            let fields: [(&str, &str); 10] = [
                ("access", at_most(&told, MAX_TEXT)),
                ("allowed_from", at_most(&from, MAX_TEXT)),
                ("creator_email", token.creator.as_deref().unwrap_or_default()),
                ("creator_left", if token.creator_left() { "true" } else { "" }),
                ("is_connector", if token.is_own { "true" } else { "" }),
                ("permission_groups", at_most(&groups, MAX_TEXT)),
                ("provisioner", provisioner.as_deref().unwrap_or_default().trim_end()),
                ("status", &token.status),
                ("token_id", id),
                ("token_name", &token.name),
            ];
            let told: Vec<(&str, &str)> = fields.into_iter().filter(|(_, text)| !text.is_empty()).collect();
            Message::texts(&told)
        }
        Row::OauthClient(client) => Message::texts(&[
            ("client_id", id),
            ("client_name", &client.name),
            ("redirect_uris", at_most(&client.redirect_uris.join(", "), MAX_TEXT)),
            ("scopes", at_most(&client.scopes.join(", "), MAX_TEXT)),
            ("visibility", &client.visibility),
        ]),
    }
}

fn names(member: &Member) -> [&str; 2] {
    [&member.first_name, &member.last_name].map(|name| name.as_deref().unwrap_or_default())
}

const fn status_word(member: &Member) -> &'static str {
    match member.status {
        MemberStatus::Accepted => "accepted",
        MemberStatus::Pending => "pending",
        MemberStatus::Rejected => "rejected",
        MemberStatus::Other => "other",
    }
}

const fn state(enabled: bool) -> u64 {
    if enabled { ENABLED } else { ENABLED + 1 }
}

pub(super) fn optional_time(message: Message, field: u32, at: Option<Timestamp>) -> Message {
    match at {
        Some(at) => message.message(field, &Message::timestamp(at.millis())),
        None => message,
    }
}
