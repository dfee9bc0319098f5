//! The governed resources, one row each, as a snapshot keeps them and every export reads them.
//!
//! A row carries everything that is known of its resource, its grants included, so one changed person is one changed
//! row. Rows are ordered by [`Row::key`], which is the resource's Baton id.

use serde::{Deserializer, Serialize};

use super::access::{Access, Atom};
use super::grant::{Entitlement, Principal};
use super::id::{MemberId, PermissionGroupId, ResourceGroupId, RoleId, TokenId, UserGroupId, UserId};
use super::kind::Kind;
pub use super::oauth::OauthClient;
use super::offer::Offer;
use super::scope::Scope;
use super::signs::Signs;
pub use super::token::{Token, TokenPolicy};
use crate::base::json::Deserialize;

/// Whether a membership was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// The person is a member.
    Accepted,
    /// The person was invited.
    Pending,
    /// The person declined: that is no member.
    Rejected,
    /// A value this version does not know.
    #[serde(other)]
    Other,
}

impl MemberStatus {
    /// Reads Cloudflare's word.
    pub fn read(text: &str) -> Self {
        match text {
            "accepted" => Self::Accepted,
            "pending" => Self::Pending,
            "rejected" => Self::Rejected,
            _ => Self::Other,
        }
    }

    /// Whether it is a membership at all, in whatever way.
    pub fn is_member(self) -> bool {
        self != Self::Rejected
    }

    /// Whether it is of use: a pending membership can be accepted at any time.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Rejected | Self::Other)
    }
}

/// A person's membership: a user once accepted, an invitation until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The membership's id.
    pub member_id: MemberId,
    /// The Cloudflare user, where the person has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The e-mail address as Cloudflare tells it: the key by which people know the person.
    pub email: String,
    /// Accepted or pending.
    pub status: MemberStatus,
    /// Given name, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Whether the person's Cloudflare login has a second factor (an identity provider's factor is not seen here).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_factor: Option<bool>,
    /// The person's own atoms, sorted; what comes through a user group is not among them.
    #[serde(default)]
    pub atoms: Vec<Atom>,
    /// The user groups the person is in, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<UserGroupId>,
    /// When the person was last at work, as far as it is known.
    #[serde(default, skip_serializing_if = "Signs::is_empty")]
    pub signs: Signs,
}

impl Member {
    /// A membership of which nothing else is told.
    pub fn bare(member_id: MemberId, email: String, status: MemberStatus) -> Self {
        Self {
            member_id,
            user_id: None,
            email,
            status,
            first_name: None,
            last_name: None,
            two_factor: None,
            atoms: Vec::new(),
            groups: Vec::new(),
            signs: Signs::default(),
        }
    }

    /// The principal this membership is governed as: the user when accepted, else the invitation.
    pub fn principal(&self) -> Principal {
        match self.user_id {
            Some(user) if self.status == MemberStatus::Accepted => Principal::User(user),
            _ => Principal::Invitation(self.member_id),
        }
    }

    /// First and last name, or the e-mail address of a person without either.
    pub fn display_name(&self) -> String {
        let names = [self.first_name.as_deref(), self.last_name.as_deref()];
        let name =
            names.into_iter().flatten().map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
        if name.is_empty() { self.email.clone() } else { name }
    }
}

/// A role: a permission group on the whole account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The id it is governed under.
    pub id: RoleId,
    /// The name in Cloudflare's dashboard.
    pub name: String,
    /// Cloudflare's description, where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The permission group behind it. Absent while it is not known: then the role can be seen but not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_group: Option<PermissionGroupId>,
    /// Cloudflare's stable label, such as `super_admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where Cloudflare withdraws the permission group: the day from which it is no more, or an empty text where none is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
}

/// A permission group on a resource group other than the whole account, such as one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedRole {
    /// What may be done.
    pub permission_group: PermissionGroupId,
    /// On what.
    pub resource_group: ResourceGroupId,
    /// The permission group's name.
    pub permission_group_name: String,
    /// The resource group's name.
    pub resource_group_name: String,
    /// What the resource group reaches, as far as it is known.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// How many objects it reaches beside these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u32,
    /// Where Cloudflare withdraws the permission group: the day from which it is no more, or an empty text where none is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl ScopedRole {
    /// The name people see, such as `Domain Administrator on example.com and 3 more`.
    pub fn display_name(&self) -> String {
        format!("{} on {}", self.permission_group_name, self.reach())
    }

    /// What it reaches, in a few words.
    pub fn reach(&self) -> String {
        self.scope.in_short(self.unlisted).unwrap_or_else(|| self.resource_group_name.clone())
    }

    /// The name by the resource group's own, which people may know it by too.
    fn name_by_group(&self) -> String {
        format!("{} on {}", self.permission_group_name, self.resource_group_name)
    }
}

/// A user group: its members share its policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group's id.
    pub id: UserGroupId,
    /// The group's name.
    pub name: String,
    /// What the group holds, sorted.
    #[serde(default)]
    pub atoms: Vec<Atom>,
}

/// How a [`Row`] is read: by its `type` (`base::json`).
#[derive(serde::Deserialize)]
#[serde(remote = "Row", rename = "#type", rename_all = "snake_case")]
#[allow(dead_code, reason = "serde makes the rows themselves")]
enum ReadRow {
    ApiToken(Token),
    Group(Group),
    Invitation(Member),
    OauthClient(OauthClient),
    Role(Role),
    ScopedRole(ScopedRole),
    User(Member),
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadRow::deserialize(deserializer)
    }
}

/// One row of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Row {
    /// An account API token.
    ApiToken(Token),
    /// A user group.
    Group(Group),
    /// A pending membership.
    Invitation(Member),
    /// An OAuth client.
    OauthClient(OauthClient),
    /// An account-wide role.
    Role(Role),
    /// A role on some part of the account.
    ScopedRole(ScopedRole),
    /// An accepted member.
    User(Member),
}

impl Row {
    /// The row for a membership: `user` or `invitation`, as [`Member::principal`] says.
    pub fn member(member: Member) -> Self {
        match member.principal() {
            Principal::User(_) => Self::User(member),
            Principal::Invitation(_) | Principal::Group(_) => Self::Invitation(member),
        }
    }

    /// The membership of a user or an invitation.
    pub fn as_member(&self) -> Option<&Member> {
        match self {
            Self::User(member) | Self::Invitation(member) => Some(member),
            _ => None,
        }
    }

    /// The key of a token's row.
    pub fn token_key(id: TokenId) -> String {
        format!("{}{id}", Kind::ApiToken.prefix())
    }

    /// Whether a key is a token's row's.
    pub fn is_token_key(key: &str) -> bool {
        key.starts_with(&Kind::ApiToken.prefix())
    }

    /// The row of a token.
    pub fn token(token: Token) -> Self {
        Self::ApiToken(token)
    }

    /// A token.
    pub fn as_token(&self) -> Option<&Token> {
        if let Self::ApiToken(token) = self { Some(token) } else { None }
    }

    /// An OAuth client.
    pub fn as_client(&self) -> Option<&OauthClient> {
        if let Self::OauthClient(client) = self { Some(client) } else { None }
    }

    /// The row of a resource of which only the id is known: somebody holds it, and no list tells of it.
    pub fn untold(entitlement: Entitlement) -> Self {
        let name = entitlement.resource();
        match entitlement {
            Entitlement::Role(id) => {
                Self::Role(Role { id, name, description: None, permission_group: None, label: None, ends: None })
            }
            Entitlement::ScopedRole(id) => Self::ScopedRole(ScopedRole {
                permission_group: id.permission_group,
                resource_group: id.resource_group,
                permission_group_name: id.permission_group.to_string(),
                resource_group_name: id.resource_group.to_string(),
                scope: Scope::default(),
                unlisted: 0,
                ends: None,
            }),
            Entitlement::Group(id) => Self::Group(Group { id, name, atoms: Vec::new() }),
        }
    }

    /// The kind of resource.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ApiToken(_) => Kind::ApiToken,
            Self::Group(_) => Kind::Group,
            Self::Invitation(_) => Kind::Invitation,
            Self::OauthClient(_) => Kind::OauthClient,
            Self::Role(_) => Kind::Role,
            Self::ScopedRole(_) => Kind::ScopedRole,
            Self::User(_) => Kind::User,
        }
    }

    /// The row's key: the Baton id of its resource, `<type>:<id>`. Snapshots are sorted by its bytes.
    pub fn key(&self) -> String {
        match self {
            Self::ApiToken(token) => Self::token_key(token.id),
            Self::Group(group) => Principal::Group(group.id).to_string(),
            Self::OauthClient(client) => format!("{}:{}", Kind::OauthClient.as_str(), client.id),
            Self::Invitation(member) | Self::User(member) => member.principal().to_string(),
            Self::Role(role) => Entitlement::Role(role.id).resource(),
            Self::ScopedRole(role) => Entitlement::scoped(role.permission_group, role.resource_group).resource(),
        }
    }

    /// The entitlement that this row's resource offers, and the name that people know it by.
    pub fn offered(&self) -> Option<(Entitlement, String)> {
        Some((self.offer()?.entitlement, self.display_name()))
    }

    /// All names that people may call it by, its own first. The last one does not change with what is reached: ConductorOne knows a scoped role by it
    /// where it came by CSV, or was synced while it was called by its resource group.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.display_name()];
        if let Self::ScopedRole(role) = self {
            names.push(role.name_by_group());
        }
        names
    }

    /// What whoever holds it can act on, where its row tells.
    pub fn reach(&self) -> Option<Reach<'_>> {
        match self {
            Self::Role(_) => Some(Reach::WholeAccount),
            Self::ScopedRole(role) => Some(Reach::Objects(&role.scope, role.unlisted)),
            Self::ApiToken(_) | Self::Group(_) | Self::Invitation(_) | Self::OauthClient(_) | Self::User(_) => None,
        }
    }

    /// Who holds what this row lists; `None` for resources that hold nothing.
    pub fn holder(&self) -> Option<(Principal, &[Atom], &[UserGroupId])> {
        match self {
            Self::Group(group) => Some((Principal::Group(group.id), &group.atoms, &[])),
            Self::Invitation(member) | Self::User(member) => Some((member.principal(), &member.atoms, &member.groups)),
            Self::ApiToken(_) | Self::OauthClient(_) | Self::Role(_) | Self::ScopedRole(_) => None,
        }
    }

    /// By what a membership tells that it has an entitlement, whose row this is: the user group's id, or the permission group's. Empty where no row tells it.
    pub fn held_as(entitlement: Entitlement, row: Option<&Self>) -> String {
        match (entitlement, row) {
            (Entitlement::Group(id), _) => id.to_string(),
            (Entitlement::ScopedRole(id), _) => id.permission_group.to_string(),
            (Entitlement::Role(_), Some(Self::Role(role))) => {
                role.permission_group.map(|id| id.to_string()).unwrap_or_default()
            }
            (Entitlement::Role(_), _) => String::new(),
        }
    }

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
                description: format!("Has the role {} in Cloudflare", role.display_name()),
                grantable_to,
            },
            Self::Group(group) => Offer {
                entitlement: Entitlement::Group(group.id),
                display_name: format!("{} Member", group.name),
                description: format!("Is in the {} user group in Cloudflare", group.name),
                grantable_to,
            },
            Self::ApiToken(_) | Self::Invitation(_) | Self::OauthClient(_) | Self::User(_) => return None,
        })
    }

    /// The name people know the resource by: a role's, a group's or a token's name, a person's first and last name.
    pub fn display_name(&self) -> String {
        match self {
            Self::ApiToken(token) => token.name.clone(),
            Self::Group(group) => group.name.clone(),
            Self::OauthClient(client) => client.name.clone(),
            Self::Invitation(member) | Self::User(member) => member.display_name(),
            Self::Role(role) => role.name.clone(),
            Self::ScopedRole(role) => role.display_name(),
        }
    }
}

/// What a role reaches.
#[derive(Clone, Copy, Debug)]
pub enum Reach<'a> {
    /// All of the account.
    WholeAccount,
    /// These objects, and this many that are not listed.
    Objects(&'a Scope, u32),
}

impl<'a> Reach<'a> {
    /// The objects that are listed one by one.
    pub const fn scope(self) -> Option<&'a Scope> {
        match self {
            Self::WholeAccount => None,
            Self::Objects(scope, _) => Some(scope),
        }
    }
}

/// The allowed atoms of a list: a denied one grants nothing.
pub fn allowed(atoms: &[Atom]) -> impl Iterator<Item = &Atom> {
    atoms.iter().filter(|atom| atom.access == Access::Allow)
}
