//! The one role that every account has and that can change all others.

use super::id::RoleId;

/// The id of the Super Administrator role in every account. The roles list leaves it out.
const ROLE: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// Its permission group's label.
pub const LABEL: &str = "super_admin";

/// Its name, where Cloudflare tells none.
pub const NAME: &str = "Super Administrator - All Privileges";

/// The Super Administrator role.
pub fn role() -> Option<RoleId> {
    ROLE.parse().ok()
}
