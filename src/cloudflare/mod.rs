//! The Cloudflare API v4 (`reference/cloudflare.md` 1 to 3): one method per call, records with typed ids, errors by class,
//! and a budget that every request is taken from.
//!
//! **Invariants:** nothing here retries, or waits for anything but a seat; an id in a URL is always a typed one; no request leaves without having
//! been counted in the budget that all of the account's requests share.

mod access;
mod account;
mod budget;
mod call;
mod cleared;
mod client;
mod envelope;
mod error;
mod groups;
mod lenient;
mod members;
mod odd;
mod policies;
mod scope;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use access::account_resource_group_name;
pub use access::{PERMISSION_GROUP_PAGES, PermissionGroup, ResourceGroup, RoleRecord};
pub use account::{Account, AuditEntry, AuditPage, LOGINS_PER_PAGE, LoginRecord};
pub use budget::{Purpose, requests_left};
pub use cleared::Cleared;
pub(crate) use cleared::Whom;
pub use client::{Client, ListPage, PageInfo, counts_too_few};
pub(crate) use client::{READ_MILLIS, WRITE_MILLIS};
pub(crate) use error::ray_told;
pub use error::{ApiError, Failure};
pub use groups::{GroupMember, UserGroup};
pub use members::{LegacyRole, MemberRecord};
pub use odd::Odd;
pub use policies::{Policies, PolicyRecord};
pub use scope::NamedObject;
pub use settings::Settings;
pub use tokens::{TokenKind, TokenVerification};

use crate::base::ports::{Sql, SqlError};

/// Creates the table of the rate budget.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    budget::init(sql)
}

/// Members, roles, permission groups and tokens on a page at most, and what is asked for; larger values are refused or
/// silently cut (`reference/cloudflare.md` 3.6).
pub const PER_PAGE: u32 = 50;

/// In what pages a list of [`PER_PAGE`] is read when its pages are too long. Less than 5 is not documented, and tried all the same.
const SIZES: [u32; 4] = [PER_PAGE, 25, 5, 1];

/// The same for [`GROUPS_PER_PAGE`].
const GROUP_SIZES: [u32; 4] = [GROUPS_PER_PAGE, 50, 5, 1];

/// User groups, and members of a user group, on a page at most.
pub const GROUPS_PER_PAGE: u32 = 500;
