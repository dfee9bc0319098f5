//! Grant and revoke as operations on a member's policies: one atom more, one atom less, and nothing else.
//!
//! **Invariant:** no policy other than an `allow` one that covers the atom is changed; a `deny` policy never is.

use crate::model::access::{Access, Atom, Policy};
use crate::model::id::{PermissionGroupId, ResourceGroupId};

/// Whether policies give anything at all: whoever has nothing but what is denied, or has it denied as well, has no access.
pub fn give_something(policies: &[Policy]) -> bool {
    policies.iter().flat_map(Policy::atoms).any(|held| held.access == Access::Allow && !deny(policies, held))
}

/// Whether a policy denies what an atom names.
pub fn deny(policies: &[Policy], atom: Atom) -> bool {
    policies.iter().flat_map(Policy::atoms).any(|held| held == Atom { access: Access::Deny, ..atom })
}

/// The policies with `atom` added, or `None` where they have it already.
///
/// A permission group joins the policy for the same resource groups, where there is one: how many policies a member may
/// have is not documented, so they are kept few.
pub fn grant(policies: &[Policy], atom: Atom) -> Option<Vec<Policy>> {
    if policies.iter().flat_map(Policy::atoms).any(|held| held == atom) {
        return None;
    }
    let mut policies = policies.to_vec();
    add(&mut policies, atom.access, &[atom.permission_group], &[atom.resource_group]);
    Some(policies)
}

/// The policies without `atom`, or `None` where they do not have it. Every policy that covers the atom gives it up,
/// or the member would keep the access; what such a policy gives besides stays. The result may be empty.
pub fn revoke(policies: &[Policy], atom: Atom) -> Option<Vec<Policy>> {
    let covers = |policy: &Policy| policy.atoms().any(|held| held == atom);
    if !policies.iter().any(covers) {
        return None;
    }
    let (split, mut kept): (Vec<_>, Vec<_>) = policies.iter().cloned().partition(covers);
    for policy in split {
        let others: Vec<_> =
            policy.permission_groups.iter().copied().filter(|&group| group != atom.permission_group).collect();
        let elsewhere: Vec<_> =
            policy.resource_groups.iter().copied().filter(|&group| group != atom.resource_group).collect();
        add(&mut kept, policy.access, &others, &policy.resource_groups);
        add(&mut kept, policy.access, &[atom.permission_group], &elsewhere);
    }
    Some(kept)
}

/// Adds the product of permission groups and resource groups, joining a policy of the same kind on the same resource groups.
fn add(
    policies: &mut Vec<Policy>,
    access: Access,
    permission_groups: &[PermissionGroupId],
    resource_groups: &[ResourceGroupId],
) {
    if permission_groups.is_empty() || resource_groups.is_empty() {
        return;
    }
    let same = |policy: &&mut Policy| policy.access == access && same_set(&policy.resource_groups, resource_groups);
    if let Some(policy) = policies.iter_mut().find(same) {
        for group in permission_groups {
            if !policy.permission_groups.contains(group) {
                policy.permission_groups.push(*group);
            }
        }
        return;
    }
    policies.push(Policy {
        access,
        permission_groups: permission_groups.to_vec(),
        resource_groups: resource_groups.to_vec(),
    });
}

fn same_set(left: &[ResourceGroupId], right: &[ResourceGroupId]) -> bool {
    left.iter().all(|group| right.contains(group)) && right.iter().all(|group| left.contains(group))
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeSet;

    use proptest::prelude::*;

    use super::{grant, revoke};
    use crate::cloudflare::{MemberRecord, PermissionGroup, PolicyRecord, ResourceGroup};
    use crate::model::access::{Access, Atom, Policy, atoms};
    use crate::model::id::{PermissionGroupId, ResourceGroupId};
    use crate::model::resource::MemberStatus;

    fn named(id: PermissionGroupId) -> PermissionGroup {
        serde_json::from_value(serde_json::json!({ "id": id })).unwrap()
    }

    fn on(id: ResourceGroupId) -> ResourceGroup {
        serde_json::from_value(serde_json::json!({ "id": id })).unwrap()
    }

    fn permission_group(n: u8) -> PermissionGroupId {
        format!("{n:032x}").parse().unwrap()
    }

    fn resource_group(n: u8) -> ResourceGroupId {
        format!("{:032x}", 0xa0 + u32::from(n)).parse().unwrap()
    }

    fn policy(access: Access, permission_groups: &[u8], resource_groups: &[u8]) -> Policy {
        Policy {
            access,
            permission_groups: permission_groups.iter().map(|&n| permission_group(n)).collect(),
            resource_groups: resource_groups.iter().map(|&n| resource_group(n)).collect(),
        }
    }

    /// Small ranges, so that policies overlap often.
    fn any_policy() -> impl Strategy<Value = Policy> {
        let access = prop_oneof![4 => Just(Access::Allow), 1 => Just(Access::Deny)];
        let groups = || prop::collection::vec(0..4_u8, 1..4);
        (access, groups(), groups())
            .prop_map(|(access, permissions, resources)| policy(access, &permissions, &resources))
    }

    fn any_case() -> impl Strategy<Value = (Vec<Policy>, Atom)> {
        let atom = (0..5_u8, 0..5_u8).prop_map(|(p, r)| Atom::allow(permission_group(p), resource_group(r)));
        (prop::collection::vec(any_policy(), 0..6), atom)
    }

    fn denied(policies: &[Policy]) -> Vec<Policy> {
        policies.iter().filter(|policy| policy.access == Access::Deny).cloned().collect()
    }

    proptest! {
        #[test]
        fn after_a_grant_there_is_exactly_that_atom_more((policies, atom) in any_case()) {
            let before = atoms(&policies);
            match grant(&policies, atom) {
                None => prop_assert!(before.contains(&atom)),
                Some(granted) => {
                    let mut expected: BTreeSet<Atom> = before.clone();
                    prop_assert!(expected.insert(atom), "it was not there before");
                    prop_assert_eq!(atoms(&granted), expected);
                    prop_assert_eq!(denied(&granted), denied(&policies));
                    prop_assert!(granted.len() <= policies.len() + 1);
                    prop_assert_eq!(grant(&granted, atom), None, "a second grant finds it");
                }
            }
        }

        #[test]
        fn after_a_revoke_there_is_exactly_that_atom_less((policies, atom) in any_case()) {
            let before = atoms(&policies);
            match revoke(&policies, atom) {
                None => prop_assert!(!before.contains(&atom)),
                Some(revoked) => {
                    let mut expected: BTreeSet<Atom> = before.clone();
                    prop_assert!(expected.remove(&atom), "it was there before");
                    prop_assert_eq!(atoms(&revoked), expected);
                    prop_assert_eq!(denied(&revoked), denied(&policies));
                    prop_assert!(revoked.iter().all(|policy| policy.atoms().next().is_some()), "no empty policy");
                    prop_assert_eq!(revoke(&revoked, atom), None, "a second revoke finds nothing");
                }
            }
        }

        #[test]
        fn what_does_not_cover_the_atom_stays_as_it_is((policies, atom) in any_case()) {
            if let Some(granted) = grant(&policies, atom) {
                let changed = policies.iter().filter(|policy| !granted.contains(policy)).count();
                prop_assert!(changed <= 1, "one policy at most is joined: {:?}", granted);
            }
            if let Some(revoked) = revoke(&policies, atom) {
                for policy in policies.iter().filter(|policy| policy.atoms().all(|held| held != atom)) {
                    // As it is, or joined by what is left of a policy on the same resource groups.
                    let kept = revoked.iter().any(|kept| {
                        kept.access == policy.access
                            && kept.resource_groups == policy.resource_groups
                            && policy.permission_groups.iter().all(|group| kept.permission_groups.contains(group))
                    });
                    prop_assert!(kept, "{:?} is not in {:?}", policy, revoked);
                }
            }
        }

        #[test]
        fn the_order_of_the_policies_does_not_matter((policies, atom) in any_case(), turn in 0..6_usize) {
            let mut turned = policies.clone();
            turned.rotate_left(turn.min(policies.len()));
            turned.reverse();
            let access = |changed: Option<Vec<Policy>>| changed.map(|policies| atoms(&policies));
            prop_assert_eq!(access(grant(&turned, atom)), access(grant(&policies, atom)));
            prop_assert_eq!(access(revoke(&turned, atom)), access(revoke(&policies, atom)));
        }

        #[test]
        fn what_comes_through_a_group_is_neither_taken_for_the_members_own_nor_written_back(
            (own, atom) in any_case(),
            (inherited, _) in any_case(),
        ) {
            let record = |prefix: &str, n: usize, policy: &Policy| PolicyRecord {
                id: Some(format!("{prefix}{n}")),
                access: policy.access,
                permission_groups: policy.permission_groups.iter().map(|&id| named(id)).collect(),
                resource_groups: policy.resource_groups.iter().map(|&id| on(id)).collect(),
            };
            let all = |prefix, policies: &[Policy]| -> Vec<PolicyRecord> {
                policies.iter().enumerate().map(|(n, policy)| record(prefix, n, policy)).collect()
            };
            let group_policies = (0..inherited.len()).map(|n| format!("group{n}")).collect();
            let member = MemberRecord {
                id: format!("{:032x}", 1).parse().unwrap(),
                user_id: format!("{:032x}", 2).parse().ok(),
                email: "jane@example.com".into(),
                status: MemberStatus::Accepted,
                first_name: None,
                last_name: None,
                two_factor: None,
                roles: Vec::new(),
                policies: [all("own", &own), all("group", &inherited)].concat().into(),
            }
            .without_inherited(&group_policies);
            prop_assert_eq!(member.own_policies().unwrap(), own.clone());
            let mut expected = atoms(&own);
            if let Some(granted) = grant(&member.own_policies().unwrap(), atom) {
                expected.insert(atom);
                prop_assert_eq!(atoms(&granted), expected);
            }
        }

        #[test]
        fn a_grant_and_its_revoke_leave_the_access_as_it_was((policies, atom) in any_case()) {
            if let Some(granted) = grant(&policies, atom) {
                prop_assert_eq!(atoms(&revoke(&granted, atom).unwrap()), atoms(&policies));
            }
        }
    }

    #[test]
    fn a_permission_group_joins_the_policy_for_the_same_resource_group() {
        let policies = [policy(Access::Allow, &[1], &[0, 1]), policy(Access::Allow, &[1], &[0])];
        let granted = grant(&policies, Atom::allow(permission_group(2), resource_group(0))).unwrap();
        assert_eq!(granted, [policies[0].clone(), policy(Access::Allow, &[1, 2], &[0])]);
    }

    #[test]
    fn a_policy_with_several_of_both_is_split() {
        let policies = [policy(Access::Allow, &[1, 2], &[0, 1])];
        let revoked = revoke(&policies, Atom::allow(permission_group(1), resource_group(0))).unwrap();
        assert_eq!(revoked, [policy(Access::Allow, &[2], &[0, 1]), policy(Access::Allow, &[1], &[1])]);
    }

    #[test]
    fn the_last_atom_leaves_no_policy() {
        let policies = [policy(Access::Allow, &[1], &[0]), policy(Access::Allow, &[1, 1], &[0])];
        assert_eq!(revoke(&policies, Atom::allow(permission_group(1), resource_group(0))).unwrap(), []);
    }
}
