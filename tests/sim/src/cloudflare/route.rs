//! The routes the simulator answers, and how a path becomes one of them.

use crate::http::Request;

/// What a token may do, as the tests switch it; Cloudflare's own permissions are coarser
/// (`reference/cloudflare.md` 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Read the account itself.
    Account,
    /// Read members.
    Members,
    /// Read the legacy roles.
    Roles,
    /// Read permission groups.
    PermissionGroups,
    /// Read resource groups.
    ResourceGroups,
    /// Read user groups and their members.
    UserGroups,
    /// Read account tokens.
    Tokens,
    /// Read OAuth clients.
    OauthClients,
    /// Read the domains that log in through an identity provider.
    Sso,
    /// Read the names of domains.
    Zones,
    /// Read the names of Workers.
    Workers,
    /// Read Access applications.
    AccessApps,
    /// Read the people whom Access knows.
    AccessUsers,
    /// Read the audit log.
    Audit,
    /// Read over SCIM.
    Scim,
    /// Read the token's own user; only a user token can have it.
    User,
    /// Change anything; reading the same needs the permission above as well.
    Write,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Account,
        Self::Members,
        Self::Roles,
        Self::PermissionGroups,
        Self::ResourceGroups,
        Self::UserGroups,
        Self::Tokens,
        Self::OauthClients,
        Self::Sso,
        Self::Zones,
        Self::Workers,
        Self::AccessApps,
        Self::AccessUsers,
        Self::Audit,
        Self::Scim,
        Self::User,
        Self::Write,
    ];
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $method:literal $path:literal $permission:expr;)*) => {
        /// A route of the API. Its template is what requests are counted under.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Route {
            $($(#[$doc])* #[doc = concat!("`", $method, " ", $path, "`")] $name,)*
        }

        impl Route {
            /// Every route there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Method and path, such as `GET /accounts/{A}/members`.
            pub const fn template(self) -> &'static str {
                match self { $(Self::$name => concat!($method, " ", $path),)* }
            }

            /// The method.
            pub const fn method(self) -> &'static str {
                match self { $(Self::$name => $method,)* }
            }

            const fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            /// What a token needs to read here; nothing where any token will do.
            pub(super) const fn permission(self) -> Option<Permission> {
                match self { $(Self::$name => $permission,)* }
            }
        }
    };
}

routes! {
    /// The account.
    GetAccount = "GET" "/accounts/{A}" Some(Permission::Account);
    /// One page of the members.
    ListMembers = "GET" "/accounts/{A}/members" Some(Permission::Members);
    /// Invite somebody.
    CreateMember = "POST" "/accounts/{A}/members" Some(Permission::Members);
    /// One member.
    GetMember = "GET" "/accounts/{A}/members/{M}" Some(Permission::Members);
    /// Replace a member's access.
    UpdateMember = "PUT" "/accounts/{A}/members/{M}" Some(Permission::Members);
    /// Remove a member or cancel an invitation.
    DeleteMember = "DELETE" "/accounts/{A}/members/{M}" Some(Permission::Members);
    /// One page of the legacy roles.
    ListRoles = "GET" "/accounts/{A}/roles" Some(Permission::Roles);
    /// One legacy role.
    GetRole = "GET" "/accounts/{A}/roles/{R}" Some(Permission::Roles);
    /// One page of the permission groups.
    ListPermissionGroups = "GET" "/accounts/{A}/iam/permission_groups" Some(Permission::PermissionGroups);
    /// One permission group.
    GetPermissionGroup = "GET" "/accounts/{A}/iam/permission_groups/{PG}" Some(Permission::PermissionGroups);
    /// All resource groups.
    ListResourceGroups = "GET" "/accounts/{A}/iam/resource_groups" Some(Permission::ResourceGroups);
    /// Create a resource group.
    CreateResourceGroup = "POST" "/accounts/{A}/iam/resource_groups" Some(Permission::ResourceGroups);
    /// One resource group.
    GetResourceGroup = "GET" "/accounts/{A}/iam/resource_groups/{RG}" Some(Permission::ResourceGroups);
    /// One page of the user groups.
    ListUserGroups = "GET" "/accounts/{A}/iam/user_groups" Some(Permission::UserGroups);
    /// Create a user group.
    CreateUserGroup = "POST" "/accounts/{A}/iam/user_groups" Some(Permission::UserGroups);
    /// One user group.
    GetUserGroup = "GET" "/accounts/{A}/iam/user_groups/{UG}" Some(Permission::UserGroups);
    /// Rename a user group or replace its policies.
    UpdateUserGroup = "PUT" "/accounts/{A}/iam/user_groups/{UG}" Some(Permission::UserGroups);
    /// Delete a user group.
    DeleteUserGroup = "DELETE" "/accounts/{A}/iam/user_groups/{UG}" Some(Permission::UserGroups);
    /// One page of a user group's members.
    ListUserGroupMembers = "GET" "/accounts/{A}/iam/user_groups/{UG}/members" Some(Permission::UserGroups);
    /// Add members to a user group.
    AddUserGroupMembers = "POST" "/accounts/{A}/iam/user_groups/{UG}/members" Some(Permission::UserGroups);
    /// Replace a user group's members.
    ReplaceUserGroupMembers = "PUT" "/accounts/{A}/iam/user_groups/{UG}/members" Some(Permission::UserGroups);
    /// One member of a user group.
    GetUserGroupMember = "GET" "/accounts/{A}/iam/user_groups/{UG}/members/{M}" Some(Permission::UserGroups);
    /// Take a member out of a user group.
    DeleteUserGroupMember = "DELETE" "/accounts/{A}/iam/user_groups/{UG}/members/{M}" Some(Permission::UserGroups);
    /// One page of the account's tokens.
    ListTokens = "GET" "/accounts/{A}/tokens" Some(Permission::Tokens);
    /// One of the account's tokens.
    GetToken = "GET" "/accounts/{A}/tokens/{T}" Some(Permission::Tokens);
    /// All OAuth clients.
    ListOauthClients = "GET" "/accounts/{A}/oauth_clients" Some(Permission::OauthClients);
    /// All domains that log in through an identity provider.
    ListSsoConnectors = "GET" "/accounts/{A}/sso_connectors" Some(Permission::Sso);
    /// One page of the domains of all accounts, or of one.
    ListZones = "GET" "/zones" Some(Permission::Zones);
    /// All Workers.
    ListWorkers = "GET" "/accounts/{A}/workers/scripts" Some(Permission::Workers);
    /// One page of the Access applications.
    ListAccessApps = "GET" "/accounts/{A}/access/apps" Some(Permission::AccessApps);
    /// One page of the people whom Access knows.
    ListAccessUsers = "GET" "/accounts/{A}/access/users" Some(Permission::AccessUsers);
    /// One page of the audit log, version 1.
    ListOldAuditLogs = "GET" "/accounts/{A}/audit_logs" Some(Permission::Audit);
    /// Is this account token valid?
    VerifyAccountToken = "GET" "/accounts/{A}/tokens/verify" None;
    /// Is this user token valid?
    VerifyUserToken = "GET" "/user/tokens/verify" None;
    /// The token's own user.
    GetUser = "GET" "/user" Some(Permission::User);
    /// Users over SCIM.
    ListScimUsers = "GET" "/accounts/{A}/scim/v2/Users" Some(Permission::Scim);
    /// The audit log, version 2.
    ListAuditLogs = "GET" "/accounts/{A}/logs/audit" Some(Permission::Audit);
}

impl Route {
    /// Whether it changes the account.
    pub fn is_write(self) -> bool {
        self.method() != "GET"
    }

    /// Whether it answers "is this token valid", with codes of its own.
    pub(super) const fn is_verify(self) -> bool {
        matches!(self, Self::VerifyAccountToken | Self::VerifyUserToken)
    }
}

/// A request, understood.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its route.
    pub route: Route,
    /// The ids in its path after the account's, in order.
    pub ids: Vec<String>,
    /// The page asked for, as written.
    pub page: Option<u64>,
    /// The account named in the path, where one is.
    pub(super) account: Option<String>,
}

impl Call {
    /// The id at a place, empty where there is none (which no id is).
    pub(super) fn id(&self, index: usize) -> &str {
        self.ids.get(index).map_or("", String::as_str)
    }
}

/// What a path and method lead to.
#[derive(Debug)]
pub(super) enum Resolved {
    Found(Call),
    /// There is such a path, but not with this method.
    WrongMethod(&'static str),
    Unknown,
}

/// The path prefix of the API.
pub(super) const BASE: &str = "/client/v4";

/// Whether a text is an id: 32 lower-case hexadecimal digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The route of a request. An empty last segment is dropped, so that `/members/` is the list
/// (`reference/cloudflare.md` 1.1).
pub(super) fn resolve(request: &Request) -> Resolved {
    let Some(path) = request.path.strip_prefix(BASE) else { return Resolved::Unknown };
    let mut segments: Vec<String> = path.trim_start_matches('/').split('/').map(crate::http::percent_decode).collect();
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    let mut known_path = None;
    // Fixed segments come before ids: `/tokens/verify` is no token.
    let mut found: Vec<(usize, Route, Vec<String>)> = Route::ALL
        .iter()
        .filter_map(|&route| matches(route.path(), &segments).map(|ids| (ids.len(), route, ids)))
        .collect();
    found.sort_by_key(|(ids, ..)| *ids);
    for (_, route, mut ids) in found {
        if route.method() != request.method {
            known_path.get_or_insert(route.path());
            continue;
        }
        let account = route.path().starts_with("/accounts/{A}").then(|| ids.remove(0));
        let page = request.param("page").and_then(|page| page.parse().ok());
        return Resolved::Found(Call { route, ids, page, account });
    }
    known_path.map_or(Resolved::Unknown, Resolved::WrongMethod)
}

/// The ids in a path, where it fits the template.
fn matches(template: &str, segments: &[String]) -> Option<Vec<String>> {
    let pattern: Vec<&str> = template.trim_start_matches('/').split('/').collect();
    if pattern.len() != segments.len() {
        return None;
    }
    let mut ids = Vec::new();
    for (expected, segment) in pattern.iter().zip(segments) {
        if expected.starts_with('{') {
            ids.push(segment.clone());
        } else if expected != segment {
            return None;
        }
    }
    Some(ids)
}
