//! The one role that every account has and that can change all others.

use super::id::RoleId;
use super::name;

/// The id of the Super Administrator role in every account. The roles list leaves it out.
const ROLE: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// Its permission group's label.
const LABEL: &str = "super_admin";

/// Its name, where Cloudflare tells none.
pub const NAME: &str = "Super Administrator - All Privileges";

/// The Super Administrator role.
pub fn role() -> Option<RoleId> {
    ROLE.parse().ok()
}

/// Whether a label, or a name that somebody wrote in its place, is that of its permission group.
pub fn is_label(label: Option<&str>) -> bool {
    label.is_some_and(|label| name::same(label, LABEL))
}

#[cfg(test)]
mod tests {
    use super::is_label;

    #[test]
    fn its_label_is_known_in_any_case_and_no_other_is_taken_for_it() {
        for (label, expected) in [
            (Some("super_admin"), true),
            (Some(" Super_Admin "), true),
            (Some("SUPER_ADMIN"), true),
            (Some("admin"), false),
            (Some("super_admin_readonly"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_label(label), expected, "{label:?}");
        }
    }
}
