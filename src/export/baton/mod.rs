//! Rows as Baton's data model has them (`c1.connector.v2`, `reference/conductorone.md` 3.2 and 3.4), encoded as `baton-sdk`
//! does: ids and texts are those of `baton-cloudflare`, what it leaves out is added.

mod grant;
mod insight;
#[cfg(test)]
pub(super) mod pb;
mod resource;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use grant::{entitlement, expansion, grant};
pub(super) use insight::{INSIGHT, insight, insight_type};
pub(super) use resource::{EmbeddedResource, resource, resource_types};

use wire::Message;

use crate::model::kind::Kind;

/// The `display_name` of a resource and of an entitlement has at most this many bytes.
const MAX_NAME: usize = 1024;

/// A `ResourceId`.
fn resource_id(kind: Kind, id: &str) -> Message {
    Message::new().string(1, kind.as_str()).string(2, id)
}

/// A text, cut to at most `bytes` bytes: the model has limits, and a reader refuses a row that breaks one.
fn at_most(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
