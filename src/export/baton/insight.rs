//! `SecurityInsightTrait`: what is wrong with somebody or something.

use super::resource::optional_time;
use super::wire::Message;
use super::{at_most, resource_id};
use crate::export::insight::Insight;

/// The resource type of insights.
pub(in crate::export) const INSIGHT: &str = "security_insight";

/// `TRAIT_SECURITY_INSIGHT`.
const TRAIT: u8 = 6;

/// `Issue.value` has at most this many bytes, and so has its severity.
const MAX_ISSUE: usize = 1024;

/// The resource type: an insight offers nothing and holds nothing.
pub(in crate::export) fn insight_type() -> Vec<u8> {
    let skipped = Message::any("SkipEntitlementsAndGrants", &Message::new());
    let plain = Message::new().string(1, INSIGHT).string(2, "Security insight").packed(3, TRAIT);
    plain.message(4, &skipped).into_bytes()
}

/// An insight's resource. About a person it names the address, by which C1 knows whom it means; about anything else, the resource.
pub(in crate::export) fn insight(insight: &Insight, address: Option<&str>) -> Vec<u8> {
    let id = Message::new().string(1, INSIGHT).string(2, &insight.id);
    let issue = Message::new().string(1, at_most(&insight.title, MAX_ISSUE)).string(2, &insight.severity);
    let observed = optional_time(Message::new().message(2, &issue), 3, insight.since);
    let about = match address {
        Some(address) => observed.message(4, &Message::new().string(1, address)),
        None => observed.message(5, &resource_id(insight.kind, &insight.about)),
    };
    Message::new()
        .message(1, &id)
        .string(3, at_most(&insight.title, MAX_ISSUE))
        .message(4, &Message::any("SecurityInsightTrait", &about))
        .string(5, at_most(&insight.evidence, 2 * MAX_ISSUE))
        .into_bytes()
}
