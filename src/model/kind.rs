//! The kinds of resources that are governed.

/// The kinds of resources, under their Baton resource type ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `api_token`
    ApiToken,
    /// `group`
    Group,
    /// `invitation`
    Invitation,
    /// `role`
    Role,
    /// `scoped_role`
    ScopedRole,
    /// `user`
    User,
}

impl Kind {
    /// All kinds, in the order in which their rows stand in a snapshot.
    pub const ALL: [Self; 6] =
        [Self::ApiToken, Self::Group, Self::Invitation, Self::Role, Self::ScopedRole, Self::User];

    /// The Baton resource type id; also the prefix of the row keys, before a colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiToken => "api_token",
            Self::Group => "group",
            Self::Invitation => "invitation",
            Self::Role => "role",
            Self::ScopedRole => "scoped_role",
            Self::User => "user",
        }
    }
}
