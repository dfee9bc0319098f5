//! The words in rules: each kind of text as a type, read with what was expected.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::address;
use crate::model::grant::Entitlement;
use crate::model::id::{PermissionGroupId, RoleId};
use crate::model::name;
use crate::snapshot::CatalogueEntry;

/// What names a role, a scoped role, a user group or the account, in any of the ways people name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoleName {
    /// As it stands in the rules.
    pub(super) text: String,
    id: Option<Id>,
}

/// An id in the place of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Entitlement(Entitlement),
    /// The bare id of a role, of its permission group or of a user group.
    Role(RoleId),
}

impl From<String> for RoleName {
    fn from(text: String) -> Self {
        let entitlement = text.parse().ok().map(Id::Entitlement);
        let id = entitlement.or_else(|| text.parse().ok().map(Id::Role));
        Self { text, id }
    }
}

impl RoleName {
    /// Whether something is called so itself, and not by what it is of.
    pub(super) fn is_called(&self, it: &CatalogueEntry) -> bool {
        self.id.is_none()
            && [Some(&it.name), it.also.as_ref()].into_iter().flatten().any(|name| name::same(name, &self.text))
    }

    /// Whether this is the name of something. The name of a permission group means it on the whole account and on every part; a role's id, the role alone.
    pub(super) fn is(&self, it: &CatalogueEntry) -> bool {
        match self.id {
            Some(Id::Entitlement(entitlement)) => return it.entitlement == entitlement,
            Some(Id::Role(id)) => {
                return it.entitlement == Entitlement::Role(id)
                    || matches!(it.entitlement, Entitlement::Group(group) if group.bytes() == id.bytes())
                    || it.permission_group == Some(PermissionGroupId::from(id));
            }
            None => {}
        }
        let names = [Some(&it.name), it.also.as_ref(), it.permission_group_name.as_ref(), it.label.as_ref()];
        names.into_iter().flatten().any(|name| name::same(name, &self.text))
    }

    /// The id, where it is that of a role on the whole account, or of its permission group.
    pub(super) const fn role(&self) -> Option<RoleId> {
        match self.id {
            Some(Id::Entitlement(Entitlement::Role(id)) | Id::Role(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether this means having an account at all.
    pub(super) fn is_account(&self) -> bool {
        name::same(&self.text, "account")
    }
}

/// The part of an address after the `@`, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain(pub(super) String);

impl Domain {
    /// A domain as Cloudflare tells it.
    pub(super) fn of(told: &str) -> Self {
        Self(address::folded_domain(told))
    }

    /// Whether an address is of this domain; one of a subdomain is not.
    pub(super) fn has(&self, address: &str) -> bool {
        address.rsplit_once('@').is_some_and(|(_, domain)| address::folded_domain(domain) == self.0)
    }
}

/// The id of a C1 user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserId(pub(super) String);

/// A rule's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

/// A rule's own sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment(pub(super) String);

/// A number of hours, from 1 to a year's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hours(pub(super) i64);

impl Default for Hours {
    fn default() -> Self {
        Self(24)
    }
}

/// A number of days, from 1 to ten years'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days(pub(super) i64);

macro_rules! texts {
    ($($name:ident: $expected:literal, $check:expr, $to:expr;)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let text = text.trim();
                let check: fn(&str) -> bool = $check;
                let to: fn(&str) -> String = $to;
                if check(text) { Ok(Self::from(to(text))) } else { Err(D::Error::custom(concat!("expected ", $expected))) }
            }
        }
    )*};
}

/// Whether a letter may stand in a domain. What a script calls a letter is a table of its own; here it is whatever is no space and no sign of ASCII.
fn in_domain(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '.' || c == '-' } else { !c.is_whitespace() && !c.is_control() }
}

texts! {
    RoleName: "the name or the id of a role, a scoped role or a user group, or account",
        |text| !text.is_empty() && text.len() <= 300, str::to_owned;
    Domain: "a domain such as example.com, without an @",
        |text| text.contains('.') && text.len() <= 253 && text.chars().all(in_domain), address::folded_domain;
    UserId: "the id of a ConductorOne user, such as 2fCjgK8tYJxV9u8d1wupBMeXZ45",
        |text| !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), str::to_owned;
    Name: "a name of 1 to 64 characters",
        |text| !text.is_empty() && text.chars().count() <= 64, str::to_owned;
    Comment: "a text of 1 to 500 characters",
        |text| !text.is_empty() && text.chars().count() <= 500, str::to_owned;
}

macro_rules! plain_texts {
    ($($name:ident)*) => {$(
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    )*};
}

plain_texts! { Domain UserId Name Comment }

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hours = i64::deserialize(deserializer)?;
        if (1..=8784).contains(&hours) {
            Ok(Self(hours))
        } else {
            Err(D::Error::custom("expected a number of hours from 1 to 8784"))
        }
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let days = i64::deserialize(deserializer)?;
        if (1..=3650).contains(&days) {
            Ok(Self(days))
        } else {
            Err(D::Error::custom("expected a number of days from 1 to 3650"))
        }
    }
}

/// A struct that is written as an object: by itself, serde reads one from a list as well.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::RoleName;
    use crate::model::grant::Entitlement;
    use crate::snapshot::CatalogueEntry;

    #[test]
    fn a_scoped_role_is_named_by_what_it_reaches_and_by_its_resource_group() {
        let id = |digit: char| digit.to_string().repeat(32);
        let it = CatalogueEntry {
            entitlement: Entitlement::scoped(id('1').parse().unwrap(), id('2').parse().unwrap()),
            name: "Domain DNS on example.com and 3 more".to_owned(),
            also: Some("Domain DNS on rg-3f2a".to_owned()),
            permission_group_name: Some("Domain DNS".to_owned()),
            label: None,
            permission_group: None,
            ends: None,
            brings: Vec::new(),
            may_bring_more: false,
        };
        for (name, is) in [
            ("Domain DNS on example.com and 3 more", true),
            ("domain dns on RG-3F2A", true),
            ("Domain DNS", true),
            ("Domain DNS on example.com", false),
            ("Domain DNS on other.example", false),
        ] {
            assert_eq!(RoleName::from(name.to_owned()).is(&it), is, "{name}");
        }
    }
}
