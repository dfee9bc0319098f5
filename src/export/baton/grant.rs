//! Entitlements and grants. What comes through a user group is told as `baton-sdk` tells it once it has expanded the grants
//! of a sync: the group's grant says that it is expandable, and its members have grants of their own that name the group as
//! their source.

use super::resource::{EmbeddedResource, plain_type};
use super::wire::Message;
use super::{MAX_NAME, at_most, resource_id};
use crate::base::order;
use crate::export::directory::PersonGrant;
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::{MemberId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::offer::{Offer, SLUG};

/// `PURPOSE_VALUE_ASSIGNMENT`.
const ASSIGNMENT: u64 = 1;

/// `Entitlement.description` has at most this many bytes.
const MAX_DESCRIPTION: usize = 2048;

/// An `Entitlement`.
pub(in crate::export) fn entitlement(offer: &Offer, resource: &EmbeddedResource) -> Vec<u8> {
    message(offer, resource).into_bytes()
}

fn message(offer: &Offer, resource: &EmbeddedResource) -> Message {
    let named = Message::new()
        .message(1, &resource.message)
        .string(2, &offer.entitlement.to_string())
        .string(3, at_most(&offer.display_name, MAX_NAME))
        .string(4, at_most(&offer.description, MAX_DESCRIPTION));
    let grantable = offer.grantable_to.iter().fold(named, |message, kind| message.message(5, &plain_type(*kind)));
    grantable.number(7, ASSIGNMENT).string(8, SLUG)
}

/// A `Grant` to a principal; `member` is the membership of a person.
pub(in crate::export) fn grant(
    held: &PersonGrant,
    offer: &Offer,
    resource: &EmbeddedResource,
    principal: Principal,
    member: Option<MemberId>,
) -> Vec<u8> {
    // `baton-sdk` makes a connector's own grants of the entitlement's id and resource, and expanded ones of all of it.
    let entitlement = if held.direct {
        Message::new().message(1, &resource.message).string(2, &offer.entitlement.to_string())
    } else {
        message(offer, resource)
    };
    let base = Message::new()
        .message(1, &entitlement)
        .message(2, &Message::new().message(1, &resource_id(principal.kind(), &principal.id())))
        .string(3, &offer.entitlement.grant_id(principal));
    let annotated = match annotation(held, principal, member) {
        Some(annotation) => base.message(4, &annotation),
        None => base,
    };
    if held.through.is_empty() { annotated } else { annotated.message(5, &sources(held)) }.into_bytes()
}

fn annotation(held: &PersonGrant, principal: Principal, member: Option<MemberId>) -> Option<Message> {
    if !held.direct {
        // It ends with the membership of the group, and cannot be revoked by itself.
        return Some(Message::any("GrantImmutable", &Message::new()));
    }
    match (held.entitlement, principal, member) {
        // The id that `baton-cloudflare` gave the grant in its first version.
        (Entitlement::Role(role), Principal::User(_), Some(member)) => {
            let id = format!("grant:membership:{role}:{member}");
            Some(Message::any("V1Identifier", &Message::new().string(1, &id)))
        }
        _ => None,
    }
}

/// `GrantSources`: the entitlements that a grant comes from, sorted, each held directly.
fn sources(held: &PersonGrant) -> Message {
    let mut ids: Vec<String> = held.through.iter().map(|&group| Entitlement::Group(group).to_string()).collect();
    if held.direct {
        ids.push(held.entitlement.to_string());
    }
    order::sort(&mut ids);
    ids.iter().fold(Message::new(), |sources, id| {
        sources.message(1, &Message::new().element(1, id).message(2, &Message::new().flag(1, true)))
    })
}

/// The `GrantExpandable` of a group's grant: those in the group hold it too.
pub(in crate::export) fn expansion(group: UserGroupId) -> Vec<u8> {
    Kind::Group
        .facts()
        .grantable_to
        .iter()
        .fold(Message::new().element(1, &Entitlement::Group(group).to_string()), |message, kind| {
            message.element(3, kind.as_str())
        })
        .into_bytes()
}
