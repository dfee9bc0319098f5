//! The thresholds of the rules.

use crate::base::settings::{Reader, number};
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
    /// `FINDINGS_EXPIRY_DAYS`: a token that expires within as many days.
    pub expiry_days: i64,
    /// `FINDINGS_DOMAINS`: the domains of the addresses of one's own people, folded; empty where every address is as good as another.
    pub domains: Vec<String>,
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>, min_super_admins: usize) -> Self {
        Self {
            min_super_admins,
            max_super_admins: reader.optional("FINDINGS_MAX_SUPER_ADMINS", number(1, 100_000)).unwrap_or(4),
            unused_days: reader.optional("FINDINGS_UNUSED_DAYS", number(1, 3650)).unwrap_or(90),
            expiry_days: reader.optional("FINDINGS_EXPIRY_DAYS", number(1, 3650)).unwrap_or(30),
            domains: reader.optional("FINDINGS_DOMAINS", domains).unwrap_or_default(),
        }
    }
}

fn domains(text: &str) -> Result<Vec<String>, String> {
    let names = text.split([',', ';', ' ', '\n', '\t', '\r']).map(str::trim).filter(|name| !name.is_empty());
    let read = |name: &str| {
        let is_one = name.contains('.') && !name.contains('@') && name.len() <= 253;
        is_one.then(|| address::folded_domain(name)).ok_or_else(|| {
            format!("has {name:?}: write domains such as example.com, without an @, with commas or blanks between them")
        })
    };
    names.map(read).collect()
}
