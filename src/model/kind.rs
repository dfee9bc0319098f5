//! The kinds of resources that are governed: a table, of which everything that differs by kind alone is read.
//!
//! What a kind's rows are made of stands in [`Row`](super::resource::Row); ARCHITECTURE.md has what one more kind takes.

/// How a resource's id is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdForm {
    /// It is Cloudflare's own: 32 hexadecimal digits, or an OAuth client's id.
    Own,
    /// It is ours: two of Cloudflare's with a hyphen between.
    Pair,
}

/// What C1 takes a resource for: `ResourceType.Trait` of `c1.connector.v2` (`reference/conductorone.md` 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// Somebody with access.
    User = 1,
    /// Something that people are in.
    Group = 2,
    /// Something that is granted.
    Role = 3,
    /// An application, for which nobody is to hold anything.
    App = 4,
    /// Something that gives access to whoever knows it.
    Secret = 5,
}

impl Trait {
    /// Its number in `ResourceType`.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name of its annotation.
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::User => "UserTrait",
            Self::Group => "GroupTrait",
            Self::Role => "RoleTrait",
            Self::App => "AppTrait",
            Self::Secret => "SecretTrait",
        }
    }
}

/// What differs from kind to kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a line of a table, with columns of yes and no")]
pub struct Facts {
    /// The Baton resource type id; also the prefix of the row keys, before a colon.
    pub name: &'static str,
    /// The segment of `/v1/…` under which they are listed.
    pub collection: &'static str,
    /// What people call it, in C1 and in files that stand for themselves.
    pub title: &'static str,
    /// What C1 shows as the type in a list of grants.
    pub short_title: &'static str,
    /// What C1 takes it for.
    pub is_a: Trait,
    /// How its id is made.
    pub id: IdForm,
    /// Who can be granted it; nobody where it offers nothing. The order is that of the files.
    pub grantable_to: &'static [Kind],
    /// Whether it can hold what is granted.
    pub holds: bool,
    /// Whether it stands for a person.
    pub person: bool,
    /// The list of the account that tells of it, by the name under which a manifest says whether it could be read;
    /// `None` where a snapshot without it is not published.
    pub capability: Option<&'static str>,
    /// Whether `baton-cloudflare` had it under this name before this connector.
    pub of_baton: bool,
    /// Whether a day without any is nothing odd.
    pub comes_and_goes: bool,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident { $($field:ident: $value:expr),* $(,)? })*) => {
        /// The kinds of resources, under their Baton resource type ids.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All kinds, in the order in which their rows stand in a snapshot.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The kind's line in the table.
            pub const fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$kind => &Facts { $($field: $value),* },)*
                }
            }
        }
    };
}

kinds! {
    /// An API token that the account owns.
    ApiToken {
        name: "api_token", collection: "tokens", title: "API Token", short_title: "API Token",
        is_a: Trait::Secret, id: IdForm::Own, grantable_to: &[], holds: false, person: false,
        capability: Some("tokens"), of_baton: false, comes_and_goes: false,
    }
    /// A user group, whose members hold what it holds.
    Group {
        name: "group", collection: "groups", title: "User Group", short_title: "Group",
        is_a: Trait::Group, id: IdForm::Own, grantable_to: &[Kind::User, Kind::Invitation], holds: true, person: false,
        capability: Some("user_groups"), of_baton: false, comes_and_goes: false,
    }
    /// A membership that is not accepted.
    Invitation {
        name: "invitation", collection: "invitations", title: "Invitation", short_title: "Invitation",
        is_a: Trait::User, id: IdForm::Own, grantable_to: &[], holds: true, person: true,
        capability: None, of_baton: true, comes_and_goes: true,
    }
    /// An OAuth client that the account registered.
    OauthClient {
        name: "oauth_client", collection: "oauth-clients", title: "OAuth Client", short_title: "OAuth Client",
        is_a: Trait::App, id: IdForm::Own, grantable_to: &[], holds: false, person: false,
        capability: Some("oauth_clients"), of_baton: false, comes_and_goes: true,
    }
    /// A role on the whole account.
    Role {
        name: "role", collection: "roles", title: "Role", short_title: "Role",
        is_a: Trait::Role, id: IdForm::Own, grantable_to: &[Kind::User, Kind::Invitation, Kind::Group],
        holds: false, person: false,
        capability: Some("permission_groups"), of_baton: true, comes_and_goes: false,
    }
    /// A role on some part of the account.
    ScopedRole {
        name: "scoped_role", collection: "scoped-roles", title: "Scoped Role", short_title: "Scoped Role",
        is_a: Trait::Role, id: IdForm::Pair, grantable_to: &[Kind::User, Kind::Invitation, Kind::Group],
        holds: false, person: false,
        capability: Some("permission_groups"), of_baton: false, comes_and_goes: false,
    }
    /// An accepted member.
    User {
        name: "user", collection: "users", title: "User", short_title: "User",
        is_a: Trait::User, id: IdForm::Own, grantable_to: &[], holds: true, person: true,
        capability: None, of_baton: true, comes_and_goes: false,
    }
}

/// The kinds of which something is so, in the order of the table.
macro_rules! those {
    ($kind:ident => $is_so:expr) => {{
        const COUNT: usize = {
            let (mut count, mut rest) = (0, Kind::ALL);
            while let [$kind, others @ ..] = rest {
                count += $is_so as usize;
                rest = others;
            }
            count
        };
        const THOSE: [Kind; COUNT] = {
            let (mut those, mut next, mut rest) = ([Kind::User; COUNT], 0, Kind::ALL);
            while let [$kind, others @ ..] = rest {
                if $is_so {
                    those[next] = *$kind;
                    next += 1;
                }
                rest = others;
            }
            those
        };
        &THOSE
    }};
}

impl Kind {
    /// Those that can be granted.
    #[allow(clippy::indexing_slicing, reason = "at compile time")]
    pub const OFFERING: &'static [Self] = those!(kind => kind.offers());

    /// Those that can hold something.
    #[allow(clippy::indexing_slicing, reason = "at compile time")]
    pub const HOLDERS: &'static [Self] = those!(kind => kind.facts().holds);

    /// Those that stand for people.
    #[allow(clippy::indexing_slicing, reason = "at compile time")]
    pub const PEOPLE: &'static [Self] = those!(kind => kind.facts().person);

    /// Those that give access to whoever knows them.
    #[allow(clippy::indexing_slicing, reason = "at compile time")]
    pub const SECRETS: &'static [Self] = those!(kind => matches!(kind.facts().is_a, Trait::Secret));

    /// What is neither granted nor granted anything.
    #[allow(clippy::indexing_slicing, reason = "at compile time")]
    pub const APART: &'static [Self] = those!(kind => !kind.facts().holds && !kind.offers());

    /// People, and what else may do something without being granted it.
    #[allow(clippy::indexing_slicing, reason = "at compile time")]
    pub const ACTING: &'static [Self] =
        those!(kind => kind.facts().person || matches!(kind.facts().is_a, Trait::Secret));

    /// The Baton resource type id; also the prefix of the row keys, before a colon.
    pub const fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// The kind of a Baton resource type id.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The kind that is listed under a segment of `/v1/…`.
    pub fn of_collection(segment: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.facts().collection == segment)
    }

    /// Whether it can be granted.
    pub const fn offers(self) -> bool {
        !self.facts().grantable_to.is_empty()
    }

    /// What the keys of its rows begin with.
    pub fn prefix(self) -> String {
        format!("{}:", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn the_lists_of_kinds_are_read_of_the_table() {
        assert_eq!(Kind::OFFERING, [Kind::Group, Kind::Role, Kind::ScopedRole]);
        assert_eq!(Kind::HOLDERS, [Kind::Group, Kind::Invitation, Kind::User]);
        assert_eq!(Kind::PEOPLE, [Kind::Invitation, Kind::User]);
        for kind in Kind::ALL {
            assert!(kind.facts().grantable_to.iter().all(|holder| holder.facts().holds), "{kind:?}");
        }
    }

    #[test]
    fn every_name_means_one_kind_and_the_order_is_that_of_the_keys() {
        let prefixes: Vec<String> = Kind::ALL.iter().map(|kind| kind.prefix()).collect();
        assert!(prefixes.is_sorted(), "{prefixes:?}");
        for &kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(Kind::of_collection(kind.facts().collection), Some(kind));
        }
    }
}
