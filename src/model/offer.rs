//! What a role, a scoped role or a user group offers: its one entitlement, and the words people know it by.

use super::grant::Entitlement;
use super::kind::Kind;
use super::resource::Row;

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

impl Row {
    /// What the resource offers; people and tokens offer nothing.
    pub fn offer(&self) -> Option<Offer> {
        let grantable_to = self.kind().facts().grantable_to;
        Some(match self {
            Self::Role(role) => Offer {
                entitlement: Entitlement::Role(role.id),
                display_name: format!("{} Member Role", role.name),
                description: format!("Has the {} role in Cloudflare", role.name),
                grantable_to,
            },
            Self::ScopedRole(role) => Offer {
                entitlement: Entitlement::scoped(role.permission_group, role.resource_group),
                display_name: format!("{} Member Role", role.display_name()),
                description: format!(
                    "Has the {} role on {} in Cloudflare",
                    role.permission_group_name, role.resource_group_name
                ),
                grantable_to,
            },
            Self::Group(group) => Offer {
                entitlement: Entitlement::Group(group.id),
                display_name: format!("{} Member", group.name),
                description: format!("Is in the {} user group in Cloudflare", group.name),
                grantable_to,
            },
            Self::ApiToken(_) | Self::Invitation(_) | Self::User(_) => return None,
        })
    }

    /// The name people know the resource by: a role's, a group's or a token's name, a person's first and last name.
    pub fn display_name(&self) -> String {
        match self {
            Self::ApiToken(token) => token.name.clone(),
            Self::Group(group) => group.name.clone(),
            Self::Invitation(member) | Self::User(member) => member.display_name(),
            Self::Role(role) => role.name.clone(),
            Self::ScopedRole(role) => role.display_name(),
        }
    }
}
