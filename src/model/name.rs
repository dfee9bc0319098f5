//! Names of roles, groups and the like, as people write them. Whoever compares names does it here.

use crate::base::unicode;

/// Whether two names are the same to a person, whatever the case of their letters and the blanks around them. No name is the same as none.
pub fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.trim(), right.trim());
    if left.is_empty() {
        return false;
    }
    // To fold them takes long, and what each member holds is compared so in each sync.
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    folded(left) == folded(right)
}

/// A name as it is compared and looked up: two names with one such form are the [`same`].
pub fn folded(name: &str) -> String {
    unicode::lower(name.trim())
}

/// What an entitlement is called without what is put behind the name of its role or group: `Administrator Member Role` is `Administrator`.
pub fn plain(name: &str) -> &str {
    let name = name.trim();
    name.strip_suffix(" Member Role").or_else(|| name.strip_suffix(" Member")).unwrap_or(name).trim()
}

#[cfg(test)]
mod tests {
    use super::{folded, plain, same};

    #[test]
    fn names_that_differ_in_case_or_blanks_are_the_same_in_any_script() {
        for (left, right, expected) in [
            ("Administrator", " ADMINISTRATOR ", true),
            ("Équipe Réseau", "équipe réseau", true),
            ("ΟΔΟΣ", "οδος", true),
            ("Admin", "Administrator", false),
            ("", " ", false),
        ] {
            assert_eq!(same(left, right), expected, "{left:?} {right:?}");
            assert_eq!(folded(left) == folded(right), expected || left.is_empty(), "{left:?} {right:?}");
        }
    }

    #[test]
    fn what_is_put_behind_a_name_is_no_part_of_it() {
        for name in ["Admin", " Admin ", "Admin Member", "Admin Member Role"] {
            assert_eq!(plain(name), "Admin", "{name:?}");
        }
        assert_eq!(plain("Member Role"), "Member Role");
    }
}
