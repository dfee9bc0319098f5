//! The proof that the guards have seen a change of access: every call that changes what somebody holds asks for one.
//!
//! There is one door: `Call::write`, which alone makes a request that is no GET, asks for one, and so does each call through it: grants,
//! revokes, groups, accounts, renewals, what aftercare takes back, and what SCIM and REST ask for. It cannot be made outside this crate, and
//! inside it only `provision::guards` does (tests read the sources for both):
//!
//! ```compile_fail
//! async fn remove<P>(client: &c1_cloudflare::cloudflare::Client<'_, P>, member: c1_cloudflare::model::id::MemberId)
//! where
//!     P: c1_cloudflare::base::ports::Http + c1_cloudflare::base::ports::Clock + c1_cloudflare::base::ports::Sql,
//! {
//!     client.remove_member(member).await.unwrap();
//! }
//! ```
//!
//! ```compile_fail
//! let cleared = c1_cloudflare::cloudflare::Cleared { whom: todo!(), removes: true };
//! ```
//!
//! Reading needs none:
//!
//! ```
//! async fn read<P>(client: &c1_cloudflare::cloudflare::Client<'_, P>, member: c1_cloudflare::model::id::MemberId)
//! where
//!     P: c1_cloudflare::base::ports::Http + c1_cloudflare::base::ports::Clock + c1_cloudflare::base::ports::Sql,
//! {
//!     client.member(member).await.unwrap();
//! }
//! ```

use super::error::ApiError;
use crate::model::address;
use crate::model::id::MemberId;

/// A change of access that the guards have let pass: whose, and whether the membership may end by it.
#[derive(Debug)]
pub struct Cleared {
    whom: Whom,
    removes: bool,
}

/// Whom a change is about.
#[derive(Debug)]
pub(crate) enum Whom {
    /// A membership that there is.
    Member(MemberId),
    /// Whoever is invited at this address. What the new membership gets after the invitation is another change, which the guards are asked for.
    Invited(String),
}

impl Cleared {
    /// Called by `provision::guards` alone.
    pub(crate) const fn by_guards(whom: Whom, removes: bool) -> Self {
        Self { whom, removes }
    }

    #[cfg(test)]
    pub(super) const fn in_test(whom: Whom, removes: bool) -> Self {
        Self { whom, removes }
    }

    /// Whether this is about a member.
    pub(super) fn covers(&self, member: MemberId) -> Result<(), ApiError> {
        match self.whom {
            Whom::Member(whom) if whom == member => Ok(()),
            _ => Err(ApiError::Refused("the guards have not seen this change")),
        }
    }

    /// Whether this is about an invitation to an address.
    pub(super) fn covers_invitation(&self, email: &str) -> Result<(), ApiError> {
        match &self.whom {
            Whom::Invited(whom) if address::same(whom, email) => Ok(()),
            _ => Err(ApiError::Refused("the guards have not seen this invitation")),
        }
    }

    /// Whether the membership may end.
    pub(super) fn covers_removal(&self, member: MemberId) -> Result<(), ApiError> {
        if self.removes && self.covers(member).is_ok() {
            return Ok(());
        }
        Err(ApiError::Refused("the guards have not seen this removal"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Cleared, Whom};

    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }

    #[test]
    fn the_guards_alone_make_it() {
        let mut all = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        let makes =
            |path: &&PathBuf| std::fs::read_to_string(path).unwrap().contains(concat!("Cleared::", "by_guards"));
        let found: Vec<_> = all.iter().filter(makes).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("provision/guards.rs"), "{found:?}");
    }

    #[test]
    fn there_is_one_door_to_cloudflare_and_whoever_writes_through_it_has_been_seen() {
        let mut all = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sources(&root, &mut all);
        let having = |what: &str| -> Vec<String> {
            let has = |path: &&PathBuf| std::fs::read_to_string(path).unwrap().contains(what);
            let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            let mut found: Vec<String> = all.iter().filter(has).map(name).collect();
            found.sort();
            found
        };
        // The token goes out in one place, and a request that it goes out with is made in one place.
        assert_eq!(having(concat!("bearer: Some(self.settings.", "token")), ["cloudflare/client.rs"]);
        assert_eq!(having(concat!("Self { ", "method,")), ["cloudflare/call.rs"]);
        assert_eq!(having(concat!("Call::", "write(")), ["cloudflare/groups.rs", "cloudflare/members.rs"]);
        let door = std::fs::read_to_string(root.join("cloudflare/call.rs")).unwrap();
        assert!(door.contains("pub(super) fn write(_: &Cleared,"), "{door}");
    }

    #[test]
    fn it_is_good_for_one_member_and_one_kind_of_change() {
        let (jane, joe) = (format!("{:032x}", 1).parse().unwrap(), format!("{:032x}", 2).parse().unwrap());
        let changes = Cleared::in_test(Whom::Member(jane), false);
        assert!(changes.covers(jane).is_ok() && changes.covers(joe).is_err());
        assert!(changes.covers_invitation("jane@example.com").is_err(), "an invitation is another matter");
        assert!(changes.covers_removal(jane).is_err());
        let removes = Cleared::in_test(Whom::Member(jane), true);
        assert!(removes.covers_removal(jane).is_ok() && removes.covers_removal(joe).is_err());
        let invites = |removes| Cleared::in_test(Whom::Invited("jane@example.com".to_owned()), removes);
        assert!(invites(false).covers_invitation("Jane@Example.com").is_ok());
        assert!(invites(false).covers_invitation("joe@example.com").is_err());
        assert!(invites(true).covers(jane).is_err() && invites(true).covers_removal(jane).is_err());
    }
}
