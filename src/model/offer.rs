//! What a role, a scoped role or a user group offers: its one entitlement, and the words people know it by.

use super::grant::Entitlement;
use super::kind::Kind;

/// An entitlement with what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The entitlement.
    pub entitlement: Entitlement,
    /// Such as `Administrator Read Only Member Role`; the words for roles are `baton-cloudflare`'s.
    pub display_name: String,
    /// A sentence without its subject, such as `Has the Administrator Read Only role in Cloudflare`.
    pub description: String,
    /// Who can hold it.
    pub grantable_to: &'static [Kind],
}

/// The slug of every entitlement.
pub const SLUG: &str = "member";
