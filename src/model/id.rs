//! Identifiers. Cloudflare's are 32 lower-case hexadecimal digits; each kind is a type of its own, parsed once at the edge.
//!
//! **Invariant:** an id that is part of a URL went through one of these types. An empty or odd segment would make
//! Cloudflare's router fall through to the *list* route (`reference/cloudflare.md` 1.1).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::base::json::hex;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that was to be an id and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be 32 lower-case hexadecimal digits, not {shown:?}")]
pub struct InvalidId {
    /// Which kind of id was expected, such as `role id`.
    pub kind: &'static str,
    /// The text, cut to a length that is safe to show.
    pub shown: String,
}

/// The order of ids is that of their bytes, and so of their digits. Two numbers are compared where the derived order compares sixteen
/// bytes, and in one place: it is asked for wherever ids are sorted or looked up.
#[inline(never)]
fn compare(one: &[u8; 16], other: &[u8; 16]) -> Ordering {
    u128::from_be_bytes(*one).cmp(&u128::from_be_bytes(*other))
}

fn parse_hex(kind: &'static str, text: &str) -> Result<[u8; 16], InvalidId> {
    hex::parse(text.as_bytes()).ok_or_else(|| InvalidId { kind, shown: text.chars().take(40).collect() })
}

fn write_hex(bytes: [u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(std::str::from_utf8(&hex::digits(bytes)).map_err(|_| fmt::Error)?)
}

/// Written without going through a formatter: a snapshot has ten ids in a row.
fn serialize_hex<S: Serializer>(bytes: [u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(std::str::from_utf8(&hex::digits(bytes)).map_err(serde::ser::Error::custom)?)
}

/// Reads an id from the text in its place, which is not copied.
struct Hex(&'static str);

impl Visitor<'_> for Hex {
    type Value = [u8; 16];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; 16], E> {
        parse_hex(self.0, text).map_err(E::custom)
    }
}

macro_rules! hex_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 16]);

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                compare(&self.0, &other.0)
            }
        }

        impl $name {
            /// What this kind of id is called in messages.
            pub const KIND: &'static str = $kind;

            /// The id as the 16 bytes that its digits stand for.
            pub const fn bytes(self) -> [u8; 16] {
                self.0
            }

            /// The id of 16 bytes.
            pub const fn of_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hex(Self::KIND, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize_hex(self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Hex(Self::KIND)).map(Self)
            }
        }
    )*};
}

hex_ids! {
    /// The Cloudflare account that is governed.
    AccountId = "account id";
    /// A membership of the account: one person's seat. A new invitation of the same person has a new one.
    MemberId = "member id";
    /// A Cloudflare user (the "user tag"): the same in every account, absent until an invitee has a login.
    UserId = "user id";
    /// A role, as governed: the legacy role id where there is one, else the permission group's id.
    RoleId = "role id";
    /// A permission group: what may be done.
    PermissionGroupId = "permission group id";
    /// A resource group: on what it may be done (the whole account, or some domains).
    ResourceGroupId = "resource group id";
    /// A user group: members who share policies.
    UserGroupId = "user group id";
    /// An API token owned by the account.
    TokenId = "token id";
}

impl From<PermissionGroupId> for RoleId {
    /// A permission group that never had a legacy role is governed under its own id.
    fn from(id: PermissionGroupId) -> Self {
        Self(id.0)
    }
}

impl From<RoleId> for PermissionGroupId {
    /// Domain-scoped permission groups appear in the legacy roles list under their own id.
    fn from(id: RoleId) -> Self {
        Self(id.0)
    }
}

impl UserId {
    /// Cloudflare also says "no user yet" with an id of 32 zeros (`reference/cloudflare.md` 6, no. 19).
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }
}

#[cfg(test)]
mod tests {
    use super::{MemberId, PermissionGroupId, RoleId};

    #[test]
    fn an_id_is_32_lower_case_hex_digits() {
        let text = "05784afa30c1afe1440e79d9351c7430";
        let id: RoleId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert_eq!(PermissionGroupId::from(id).to_string(), text);
    }

    #[test]
    fn anything_else_is_refused_with_the_kind_and_a_bounded_excerpt() {
        let long = "x".repeat(5000);
        for text in [
            "",
            "..",
            "05784AFA30C1AFE1440E79D9351C7430",
            "05784afa30c1afe1440e79d9351c743",
            "05784afa30c1afe1440e79d9351c743/",
            &long,
        ] {
            let error = text.parse::<MemberId>().unwrap_err().to_string();
            assert!(error.starts_with("member id must be 32"), "{error}");
            assert!(error.len() < 120, "{error}");
        }
    }
}
