//! The thresholds of the rules.

use super::severity::Severity;
use crate::base::settings::{Reader, number, switch, words};
use crate::model::address;

/// The thresholds of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `MIN_SUPER_ADMINS`, the guard's own: fewer accepted Super Administrators are too few.
    pub min_super_admins: usize,
    /// `FINDINGS_MAX_SUPER_ADMINS`: more are too many.
    pub max_super_admins: usize,
    /// `FINDINGS_UNUSED_DAYS`: a token that was not used for as many days.
    pub unused_days: i64,
    /// `FINDINGS_IDLE_DAYS`: a privileged member who gave no sign of life for as many days.
    pub idle_days: i64,
    /// `FINDINGS_EXPIRY_DAYS`: a token that expires within as many days.
    pub expiry_days: i64,
    /// `FINDINGS_INVITATION_DAYS`: an invitation that was not accepted for as many days.
    pub invitation_days: i64,
    /// `FINDINGS_WITHDRAWAL_DAYS`: a permission group that ends within as many days.
    pub withdrawal_days: i64,
    /// `FINDINGS_WIDE_SCOPES`: an OAuth client that may ask for more scopes.
    pub wide_scopes: usize,
    /// `FINDINGS_SIGNALLED`: of which severity findings are signalled.
    pub signalled: Vec<Severity>,
    /// `OVERDUE_REVOKE_MINUTES`, the connector's own: a grant that was to end is overdue after as many minutes.
    pub overdue_minutes: i64,
    /// `FINDINGS_DOMAINS`: the domains of the addresses of one's own people, folded; where there are none, those that are verified for an
    /// identity provider, in use or not, and where there are none of those either, every address is as good as another.
    pub domains: Vec<String>,
    /// `FINDINGS_IN_C1Z`: what is open is in the `.c1z` too, as ConductorOne's security insights.
    pub in_c1z: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_super_admins: 2,
            max_super_admins: 4,
            unused_days: 90,
            idle_days: 90,
            overdue_minutes: 60,
            expiry_days: 30,
            invitation_days: 7,
            withdrawal_days: 90,
            wide_scopes: 20,
            signalled: vec![Severity::High, Severity::Medium],
            domains: Vec::new(),
            in_c1z: false,
        }
    }
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>, min_super_admins: usize, overdue_minutes: i64) -> Self {
        let usual = Self::default();
        Self {
            min_super_admins,
            overdue_minutes,
            max_super_admins: reader.or("FINDINGS_MAX_SUPER_ADMINS", number(1, 100_000), usual.max_super_admins),
            unused_days: reader.or("FINDINGS_UNUSED_DAYS", number(1, 3650), usual.unused_days),
            idle_days: reader.or("FINDINGS_IDLE_DAYS", number(1, 3650), usual.idle_days),
            expiry_days: reader.or("FINDINGS_EXPIRY_DAYS", number(1, 3650), usual.expiry_days),
            invitation_days: reader.or("FINDINGS_INVITATION_DAYS", number(1, 3650), usual.invitation_days),
            withdrawal_days: reader.or("FINDINGS_WITHDRAWAL_DAYS", number(1, 3650), usual.withdrawal_days),
            wide_scopes: reader.or("FINDINGS_WIDE_SCOPES", number(1, 100_000), usual.wide_scopes),
            signalled: reader.or("FINDINGS_SIGNALLED", severities, usual.signalled),
            domains: reader.or("FINDINGS_DOMAINS", domains, usual.domains),
            in_c1z: reader.optional("FINDINGS_IN_C1Z", switch).unwrap_or(false),
        }
    }
}

fn severities(text: &str) -> Result<Vec<Severity>, String> {
    let read: Option<Vec<Severity>> = words(text).iter().map(|word| Severity::parse(word)).collect();
    read.filter(|read| !read.is_empty())
        .ok_or_else(|| format!("must be some of {}, with commas", Severity::ALL.map(Severity::as_str).join(", ")))
}

fn domains(text: &str) -> Result<Vec<String>, String> {
    // What a script calls a letter is not for this to say.
    let may_have = |byte: u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let read = |name: &String| {
        let is_one = name.contains('.') && name.bytes().all(may_have) && name.len() <= 253;
        is_one.then(|| address::folded_domain(name)).ok_or_else(|| {
            format!("has {name:?}: write domains such as example.com, without an @, with commas or blanks between them")
        })
    };
    words(text).iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::domains;

    #[test]
    fn domains_may_be_in_quotes_and_what_is_no_domain_is_refused() {
        for text in ["example.com example.org", "\"Example.com\", \"example.org\"", "'example.com';\n'EXAMPLE.ORG'"] {
            assert_eq!(domains(text).unwrap(), ["example.com", "example.org"], "{text}");
        }
        assert!(domains("m\u{fc}ller.example").is_ok());
        for text in [
            "@example.com",
            "example",
            "https://example.com",
            "example.com/",
            "example.com:443",
            "*.example.com",
            "[\"example.com\"]",
            "example.org, jane@example.com",
        ] {
            assert!(domains(text).is_err(), "{text}");
        }
    }
}
