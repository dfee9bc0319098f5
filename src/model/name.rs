//! Names of roles, groups and the like, as people write them. Whoever compares names does it here.

use crate::base::unicode;
use crate::model::address::is_invisible;

/// A spreadsheet takes a text that begins with one of these for a formula (OWASP, "CSV Injection"), or with the same sign in full width.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n'];

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

/// What of a text a spreadsheet would take for a formula. Blanks, quotes and what cannot be seen, which some programs drop before they look, do not
/// help it.
pub fn formula(text: &str) -> Option<&str> {
    let is_passed_over =
        |c: char| matches!(c, ' ' | '"' | '\u{a0}') || is_invisible(c) || c.is_control() && !FORMULA.contains(&c);
    Some(text.trim_start_matches(is_passed_over)).filter(|begins| begins.starts_with(FORMULA))
}

/// What a spreadsheet may take for the end of a cell besides the comma: it is asked for on opening, or guessed, and quotes in a line
/// that is cut at another sign than the comma are no longer quotes.
pub const SEPARATORS: [char; 5] = [';', '\t', '|', '\r', '\n'];

/// A text that ConductorOne may know from a CSV file, without the apostrophes that this puts before what would be a formula.
pub fn bare(text: &str) -> String {
    let pieces = text.split_inclusive(SEPARATORS);
    pieces.map(|piece| piece.strip_prefix('\'').filter(|rest| formula(rest).is_some()).unwrap_or(piece)).collect()
}

/// The form in which a name is looked up, also one that ConductorOne knows from a CSV file: that puts an apostrophe before what would be a formula,
/// and a semicolon in the place of a comma. Names with one such form cannot be told apart there.
pub fn key(name: &str) -> String {
    folded(&bare(&name.trim().replace(',', ";")))
}

/// What an entitlement is called without what is put behind the name of its role or group, and where something is, whether it is a user group:
/// `Administrator Member Role` is a role that is called `Administrator`, and `Administrator Member` a user group.
pub fn plain(name: &str) -> (&str, Option<bool>) {
    let name = name.trim();
    let role = name.strip_suffix(" Member Role").map(|name| (name, Some(false)));
    role.or_else(|| Some((name.strip_suffix(" Member")?, Some(true)))).unwrap_or((name, None))
}

#[cfg(test)]
mod tests {
    use super::{folded, key, plain, same};

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
    fn a_name_is_looked_up_as_a_csv_file_tells_it_and_as_it_is() {
        for (name, told) in [
            ("@infra", "'@Infra"),
            ("=1+1", " '=1+1 "),
            ("-x", "'-x"),
            ("\u{200b}=x", "'\u{200b}=x"),
            ("Cache, Purge", "Cache; Purge"),
            ("Cache|=Purge", "Cache|'=Purge"),
        ] {
            assert_eq!(key(name), key(told), "{name:?}");
        }
        // No file has an apostrophe before these.
        for name in ["x", "1", "\"x", "", "é"] {
            assert_ne!(key(name), key(&format!("'{name}")), "{name:?}");
        }
    }

    #[test]
    fn what_is_put_behind_a_name_is_no_part_of_it() {
        for (name, told) in [
            ("Admin Member", ("Admin", Some(true))),
            (" Admin Member Role ", ("Admin", Some(false))),
            ("Admin Member Member Role", ("Admin Member", Some(false))),
            (" Admin ", ("Admin", None)),
            ("Member Role", ("Member Role", None)),
            ("Member", ("Member", None)),
        ] {
            assert_eq!(plain(name), told, "{name:?}");
        }
    }
}
