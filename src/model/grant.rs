//! Entitlements, principals and grants, and their ids: byte for byte what `baton-cloudflare` emits for users and roles
//! (`reference/conductorone.md` 3.1), so that a tenant can change connectors and keep its history.

use std::fmt;
use std::str::FromStr;

use super::id::{InvalidId, MemberId, PermissionGroupId, ResourceGroupId, RoleId, UserGroupId, UserId};
use super::kind::Kind;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Types that are written as their text.
macro_rules! as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

as_text!(Principal, Entitlement, Holding);

/// Who can hold an entitlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// An accepted member; `user:<user id>`.
    User(UserId),
    /// A pending membership; `invitation:<member id>`.
    Invitation(MemberId),
    /// A user group, whose members hold what it holds; `group:<group id>`.
    Group(UserGroupId),
}

impl Principal {
    /// The kind of resource it is.
    pub const fn kind(self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Invitation(_) => Kind::Invitation,
            Self::Group(_) => Kind::Group,
        }
    }

    /// The resource of a kind, as one that can hold an entitlement; `None` where the kind holds nothing.
    pub fn of(kind: Kind, id: &str) -> Result<Option<Self>, InvalidId> {
        Ok(match kind {
            Kind::User => Some(Self::User(id.parse()?)),
            Kind::Invitation => Some(Self::Invitation(id.parse()?)),
            Kind::Group => Some(Self::Group(id.parse()?)),
            Kind::ApiToken | Kind::OauthClient | Kind::Role | Kind::ScopedRole => None,
        })
    }

    /// The id without the kind: 32 hexadecimal digits.
    pub fn id(self) -> String {
        self.digits().to_string()
    }

    /// Its id, of whichever kind: all are shown alike.
    const fn digits(self) -> UserId {
        match self {
            Self::User(id) => id,
            Self::Invitation(id) => UserId::of_bytes(id.bytes()),
            Self::Group(id) => UserId::of_bytes(id.bytes()),
        }
    }
}

/// A text that names nobody who can hold an entitlement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrincipal {
    /// It does not read `<type>:<id>` with a type that can hold an entitlement.
    #[error("{0:?} is no principal of this connector: expected user:<id>, invitation:<id> or group:<id>")]
    Shape(String),
    /// The shape is right and the id in it is not.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl FromStr for Principal {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        let shape = || InvalidPrincipal::Shape(text.chars().take(120).collect());
        let (kind, id) = text.split_once(':').ok_or_else(shape)?;
        Self::of(Kind::parse(kind).ok_or_else(shape)?, id)?.ok_or_else(shape)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().as_str(), self.digits())
    }
}

/// What can be granted. Its slug is always `member`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entitlement {
    /// A role on the whole account; `role:<role id>:member`.
    Role(RoleId),
    /// A permission group on a resource group; `scoped_role:<permission group id>-<resource group id>:member`.
    ScopedRole(ScopedRoleId),
    /// Membership of a user group; `group:<group id>:member`.
    Group(UserGroupId),
}

/// A scoped role's id: the pair that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopedRoleId {
    /// What may be done.
    pub permission_group: PermissionGroupId,
    /// On what.
    pub resource_group: ResourceGroupId,
}

impl fmt::Display for ScopedRoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.permission_group, self.resource_group)
    }
}

impl FromStr for ScopedRoleId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (permission_group, resource_group) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { permission_group: permission_group.parse()?, resource_group: resource_group.parse()? })
    }
}

impl Entitlement {
    /// The scoped role of a pair.
    pub const fn scoped(permission_group: PermissionGroupId, resource_group: ResourceGroupId) -> Self {
        Self::ScopedRole(ScopedRoleId { permission_group, resource_group })
    }

    /// The kind of resource it belongs to.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Role(_) => Kind::Role,
            Self::ScopedRole(_) => Kind::ScopedRole,
            Self::Group(_) => Kind::Group,
        }
    }

    /// The id of the resource it belongs to, without its kind.
    pub fn resource_id(&self) -> String {
        match self {
            Self::Role(id) => id.to_string(),
            Self::ScopedRole(id) => id.to_string(),
            Self::Group(id) => id.to_string(),
        }
    }

    /// The entitlement that a resource of a kind offers; `None` where the kind offers nothing.
    pub fn of(kind: Kind, id: &str) -> Result<Option<Self>, InvalidId> {
        Ok(match kind {
            Kind::Role => Some(Self::Role(id.parse()?)),
            Kind::ScopedRole => Some(Self::ScopedRole(id.parse()?)),
            Kind::Group => Some(Self::Group(id.parse()?)),
            Kind::ApiToken | Kind::Invitation | Kind::OauthClient | Kind::User => None,
        })
    }

    /// The Baton id of the resource it belongs to, such as `role:<role id>`.
    pub fn resource(&self) -> String {
        format!("{}{}", self.kind().prefix(), self.resource_id())
    }

    /// The entitlement that a text of C1's may name: its id, or the bare id of a role, or the id of a role's resource
    /// (`reference/conductorone.md` 2.5). `baton-scim`, to which all that can be held is a group with our SCIM id, makes
    /// `group:role-<id>:member` of a role.
    pub fn recognise(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(entitlement) = text.parse() {
            return Some(entitlement);
        }
        let resource = text.strip_prefix("bid:r:").or_else(|| text.strip_prefix("bid:e:")).unwrap_or(text);
        let resource = resource.strip_suffix(":member").unwrap_or(resource);
        let named = resource.split_once([':', '/']).and_then(|(kind, id)| {
            let (kind, id) = id.split_once('-').filter(|_| kind == Kind::Group.as_str()).unwrap_or((kind, id));
            Self::of(Kind::parse(kind)?, id).ok()?
        });
        named.or_else(|| text.parse().ok().map(Self::Role))
    }

    /// The id of the grant of this entitlement to a principal.
    pub fn grant_id(&self, principal: Principal) -> String {
        format!("{self}:{principal}")
    }
}

/// What an operation gives or takes. Written as the entitlement's id, or `account`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// An entitlement; whether the account has it is another question.
    Entitlement(Entitlement),
    /// A membership of the account.
    Account,
}

impl Holding {
    /// How the account itself is written.
    pub const ACCOUNT: &str = "account";
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entitlement(entitlement) => entitlement.fmt(f),
            Self::Account => f.write_str(Self::ACCOUNT),
        }
    }
}

impl FromStr for Holding {
    type Err = InvalidEntitlement;

    fn from_str(text: &str) -> Result<Self, InvalidEntitlement> {
        if text == Self::ACCOUNT { Ok(Self::Account) } else { text.parse().map(Self::Entitlement) }
    }
}

/// That somebody holds something. Written as its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// What is held.
    pub entitlement: Entitlement,
    /// Who holds it.
    pub principal: Principal,
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.entitlement.grant_id(self.principal))
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:member", self.resource())
    }
}

/// A text that names no entitlement of this connector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntitlement {
    /// It does not read `<type>:<id>:member` with a type that can be granted.
    #[error(
        "{0:?} is not an entitlement of this connector: expected role:<id>:member, scoped_role:<id>-<id>:member or group:<id>:member"
    )]
    Shape(String),
    /// The shape is right and an id in it is not.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl FromStr for Entitlement {
    type Err = InvalidEntitlement;

    /// Reads an entitlement id, also in Baton's other spelling `bid:e:role/<id>:member`
    /// (`reference/conductorone.md` 2.5).
    fn from_str(text: &str) -> Result<Self, InvalidEntitlement> {
        let shape = || InvalidEntitlement::Shape(text.chars().take(120).collect());
        let rest = text.strip_prefix("bid:e:").unwrap_or(text);
        let (resource, slug) = rest.rsplit_once(':').ok_or_else(shape)?;
        let (kind, id) = resource.split_once([':', '/']).ok_or_else(shape)?;
        let kind = Kind::parse(kind).filter(|_| slug == "member").ok_or_else(shape)?;
        Self::of(kind, id)?.ok_or_else(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entitlement, InvalidEntitlement, Principal};

    const ROLE: &str = "05784afa30c1afe1440e79d9351c7430";
    const OTHER: &str = "7c5dae5552338874e5053f2534d2767a";

    #[test]
    fn ids_are_batons() {
        let entitlement = Entitlement::Role(ROLE.parse().unwrap());
        assert_eq!(entitlement.to_string(), format!("role:{ROLE}:member"));
        let principal = Principal::User(OTHER.parse().unwrap());
        assert_eq!(entitlement.grant_id(principal), format!("role:{ROLE}:member:user:{OTHER}"));
    }

    #[test]
    fn every_principal_is_read_back_from_its_id() {
        let id = ROLE.parse().unwrap();
        for principal in
            [Principal::User(id), Principal::Invitation(ROLE.parse().unwrap()), Principal::Group(ROLE.parse().unwrap())]
        {
            assert_eq!(principal.to_string().parse(), Ok(principal));
        }
        for text in ["", ROLE, "user:", "user:x", "role:05784afa30c1afe1440e79d9351c7430"] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_entitlement_is_read_back_from_its_id() {
        let all = [
            Entitlement::Role(ROLE.parse().unwrap()),
            Entitlement::scoped(ROLE.parse().unwrap(), OTHER.parse().unwrap()),
            Entitlement::Group(OTHER.parse().unwrap()),
        ];
        for entitlement in all {
            assert_eq!(entitlement.to_string().parse(), Ok(entitlement));
        }
        assert_eq!(format!("bid:e:role/{ROLE}:member").parse(), Ok(all[0]));
    }

    #[test]
    fn the_ids_that_baton_scim_makes_of_ours_are_recognised() {
        let role = Entitlement::Role(ROLE.parse().unwrap());
        let scoped = Entitlement::scoped(ROLE.parse().unwrap(), OTHER.parse().unwrap());
        let group = Entitlement::Group(OTHER.parse().unwrap());
        for (text, expected) in [
            (format!("group:role-{ROLE}:member"), role),
            (format!("group:scoped_role-{ROLE}-{OTHER}:member"), scoped),
            (format!("group:group-{OTHER}:member"), group),
            (format!("bid:e:group/role-{ROLE}:member"), role),
            (format!("bid:r:group/role-{ROLE}"), role),
            (format!("group:{OTHER}:member"), group),
            (format!("bid:r:role/{ROLE}"), role),
            (format!("role:{ROLE}"), role),
            (ROLE.to_owned(), role),
        ] {
            assert_eq!(Entitlement::recognise(&text), Some(expected), "{text}");
        }
        for text in
            [format!("group:user-{ROLE}:member"), format!("group:role-{ROLE}:owner"), "group:role-x:member".to_owned()]
        {
            assert_eq!(Entitlement::recognise(&text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_entitlement_says_what_was_expected() {
        for text in [
            "",
            "role",
            "role::member",
            &format!("role:{ROLE}:owner"),
            &format!("zone:{ROLE}:member"),
            "role:../x:member",
        ] {
            let error = text.parse::<Entitlement>().unwrap_err();
            assert!(matches!(error, InvalidEntitlement::Shape(_) | InvalidEntitlement::Id(_)));
        }
    }
}
