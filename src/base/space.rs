//! Whose part of a key-value namespace is whose. Several Workers may have one namespace, each for an account of its own or for the same one:
//! what each writes stands under a prefix that no other has.

use std::fmt::Display;

/// The part of a key-value namespace that belongs to one account and one Worker.
///
/// Its prefix is the account's id and the beginning of the Coordinator's own id, which is another one in each Worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    account: String,
    prefix: String,
}

/// This many hexadecimal digits of a Durable Object's id: the id has 64, of which the first 32 are a hash of its name under its
/// Worker's key.
const OBJECT_DIGITS: usize = 16;

impl Space {
    /// The part of an account and of the Coordinator with this id.
    pub fn new(account: impl Display, coordinator: &str) -> Self {
        let account = account.to_string();
        let object: String = coordinator.chars().take(OBJECT_DIGITS).collect();
        Self { prefix: format!("{account}/{object}/"), account }
    }

    /// The full key of a value in it.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What a full key is called in it; `None` where it is not in it.
    #[cfg(any(test, feature = "fakes"))]
    pub fn name_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix.as_str())
    }

    /// Whether it belongs to an account.
    pub fn is_of(&self, account: impl Display) -> bool {
        self.account == account.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Space;

    #[test]
    fn two_accounts_and_two_workers_on_one_namespace_do_not_meet() {
        let (one, other) = ("eb78d65290b24279ba6f44721b3ea3c4", "f174e90afafe4643bbbc4a0ed4fc8415");
        let spaces =
            [(one, "a1"), (one, "b2"), (other, "a1")].map(|(account, worker)| Space::new(account, &worker.repeat(32)));
        let keys: crate::base::tree::BTreeSet<String> = spaces.iter().map(|space| space.key("current")).collect();
        assert_eq!(keys.len(), 3);
        for (n, space) in spaces.iter().enumerate() {
            let own: Vec<_> = keys.iter().filter_map(|key| space.name_of(key)).collect();
            assert_eq!(own, ["current"]);
            assert_eq!(space.is_of(one), n < 2);
        }
        assert_eq!(spaces[0].key("current"), format!("{one}/a1a1a1a1a1a1a1a1/current"));
    }
}
