//! The ids of Users and Groups: stable, and of characters that no URL encodes. Baton's ids with a colon are read as well.

use crate::model::grant::{Entitlement, Principal};
use crate::model::kind::Kind;

/// A User's id: the Cloudflare user id, or `invitation-<membership id>` while the person has not accepted.
pub fn of_principal(principal: Principal) -> String {
    match principal {
        Principal::User(id) => id.to_string(),
        Principal::Invitation(id) => format!("invitation-{id}"),
        Principal::Group(id) => of_entitlement(Entitlement::Group(id)),
    }
}

/// A Group's id: `role-<id>`, `scoped_role-<id>-<id>` or `group-<id>`.
pub fn of_entitlement(entitlement: Entitlement) -> String {
    entitlement.resource().replacen(':', "-", 1)
}

/// Reads a User's id.
pub fn principal(id: &str) -> Option<Principal> {
    let found = match id.split_once(['-', ':']) {
        None => id.parse().ok().map(Principal::User),
        Some((kind, id)) => Principal::of(Kind::parse(kind)?, id).ok()?,
    };
    found.filter(|found| !matches!(found, Principal::Group(_)))
}

/// Reads a Group's id.
pub fn entitlement(id: &str) -> Option<Entitlement> {
    let (kind, id) = id.split_once(['-', ':'])?;
    Entitlement::of(Kind::parse(kind)?, id).ok()?
}

/// Reads the id of what can be a member of a Group: a User, or a user group that holds a role.
pub fn member(id: &str) -> Option<Principal> {
    principal(id).or_else(|| match entitlement(id) {
        Some(Entitlement::Group(id)) => Some(Principal::Group(id)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{entitlement, member, of_entitlement, of_principal, principal};
    use crate::model::grant::{Entitlement, Principal};

    const ID: &str = "05784afa30c1afe1440e79d9351c7430";

    #[test]
    fn every_id_is_read_back_also_in_batons_spelling() {
        let id = ID.parse().unwrap();
        for known in [Principal::User(id), Principal::Invitation(ID.parse().unwrap())] {
            assert_eq!(principal(&of_principal(known)), Some(known));
            assert_eq!(principal(&known.to_string()), Some(known));
        }
        let all = [
            Entitlement::Role(ID.parse().unwrap()),
            Entitlement::scoped(ID.parse().unwrap(), ID.parse().unwrap()),
            Entitlement::Group(ID.parse().unwrap()),
        ];
        for known in all {
            assert_eq!(entitlement(&of_entitlement(known)), Some(known));
            assert_eq!(entitlement(&known.resource()), Some(known));
            assert!(of_entitlement(known).chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
        }
        assert_eq!(member(&of_entitlement(all[2])), Some(Principal::Group(ID.parse().unwrap())));
    }

    #[test]
    fn anything_else_is_no_id() {
        for text in ["", "-", "..", "jane", "role-", "user-x", &format!("role-{ID}"), &format!("zone-{ID}")] {
            assert_eq!(principal(text), None, "{text}");
            assert_eq!(entitlement(text).is_some(), text.starts_with("role-0"), "{text}");
        }
    }
}
