//! The simulated account, as the demo shows it: whom to grant what, and what somebody holds, by name.

use std::collections::{BTreeMap, BTreeSet};

use sim::cloudflare::{Access, Atom, Cloudflare, KnownPermissionGroup, Membership, SUPER_ADMINISTRATOR};

/// Who is given what in the demo.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// An accepted member who holds something already, so that the revoke does not take the last of it.
    pub(crate) member: Membership,
    /// The member's user id.
    pub(crate) user_id: String,
    /// A role that the member does not hold.
    pub(crate) role: KnownPermissionGroup,
}

/// What every member holds.
pub(crate) type Holdings = BTreeMap<String, BTreeSet<Atom>>;

/// Chooses a member and a role.
pub(crate) fn cast(cloudflare: &Cloudflare) -> Result<Cast, String> {
    let whole = cloudflare.account_resource_group();
    let groups = cloudflare.permission_groups();
    let mut members: Vec<_> =
        cloudflare.memberships().into_iter().filter(|member| member.status == "accepted").collect();
    // Somebody with about three kinds of access, one of them on a domain, is shown best.
    members.sort_by_cached_key(|member| {
        let held = cloudflare.member_atoms(&member.id);
        let denied = held.iter().any(|(access, ..)| *access == Access::Deny);
        let scoped = held.iter().any(|(_, _, resource_group)| *resource_group != whole);
        let plain = member.email.starts_with(|first: char| first.is_ascii_lowercase());
        (denied, !scoped, held.len().abs_diff(3), !plain, member.email.clone())
    });
    for member in members {
        let held = cloudflare.member_atoms(&member.id);
        let Some(user_id) = member.user_id.clone() else { continue };
        if !held.iter().any(|(access, ..)| *access == Access::Allow) {
            continue;
        }
        let free = |group: &&KnownPermissionGroup| {
            group.account_wide
                && group.role_id.as_deref().is_some_and(|id| id != SUPER_ADMINISTRATOR)
                && !held.iter().any(|(_, permission_group, resource_group)| {
                    *permission_group == group.id && *resource_group == whole
                })
        };
        if let Some(role) = groups.iter().find(free) {
            return Ok(Cast { user_id, role: role.clone(), member });
        }
    }
    Err("the account has no accepted member with a role to grant and revoke beside: give it more members or roles"
        .to_owned())
}

/// What every member holds now.
pub(crate) fn holdings(cloudflare: &Cloudflare) -> Holdings {
    let members = cloudflare.memberships();
    members.into_iter().map(|member| (member.id.clone(), cloudflare.member_atoms(&member.id))).collect()
}

/// What somebody holds, by name; what `than` does not have is marked by `mark`.
pub(crate) fn names(
    cloudflare: &Cloudflare,
    atoms: &BTreeSet<Atom>,
    than: &BTreeSet<Atom>,
    mark: impl Fn(&str) -> String,
) -> String {
    let whole = cloudflare.account_resource_group();
    let groups = cloudflare.permission_groups();
    let domains = cloudflare.domain_resource_groups();
    let name = |(access, permission_group, resource_group): &Atom| {
        let name = groups
            .iter()
            .find(|group| group.id == *permission_group)
            .map_or(permission_group.as_str(), |group| &group.name);
        let denied = if *access == Access::Deny { "not " } else { "" };
        if *resource_group == whole {
            return format!("{denied}{name}");
        }
        let domain =
            domains.iter().find(|(id, _)| id == resource_group).map_or(resource_group.as_str(), |(_, name)| name);
        let domain = if domain.ends_with(".zone.*") { "every domain" } else { domain };
        format!("{denied}{name} on {domain}")
    };
    let mut shown: Vec<_> = atoms.iter().map(|atom| (name(atom), than.contains(atom))).collect();
    shown.sort();
    let shown: Vec<_> = shown.iter().map(|(name, known)| if *known { name.clone() } else { mark(name) }).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(" · ") }
}
