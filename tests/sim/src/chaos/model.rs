//! What is asked for, and what must be the case afterwards: sets of atoms, worked out from the tasks alone.
//!
//! Tasks about one role of one member come in four kinds. For three of them the end is certain beforehand. Where a grant and a
//! revoke are on their way at once, what is asked for *later* counts, and which that is only the journal knows: it numbers
//! operations in the order in which they arrived. The model takes that order from the journal, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::verify::Journal;
use super::{Plan, Told};
use crate::cloudflare::{Access, Atom, Cloudflare, PolicySpec};
use crate::conductorone::{Entitlement, Person};

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) grants: bool,
    pub(super) member: String,
    pub(super) person: Person,
    pub(super) entitlement: Entitlement,
    pub(super) atom: Atom,
    pub(super) task: String,
    pub(super) step: String,
}

impl Wish {
    /// What the journal knows it by.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.task, self.step)
    }

    fn contrary(&self) -> Self {
        Self { grants: !self.grants, step: format!("{}c", self.step), ..self.clone() }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.grants { "the grant" } else { "the revoke" };
        write!(f, "{verb} {} of {} for member {}", self.key(), self.entitlement.display_name, self.member)
    }
}

/// Everything that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Chains begin at once; within one, each waits for the answer to the one before.
    pub(super) chains: Vec<Vec<Wish>>,
    /// The members concerned.
    pub(super) members: Vec<String>,
}

impl Asked {
    /// Draws the tasks, and gives members what is to be revoked from them.
    pub(super) fn draw(plan: &Plan, cloudflare: &Cloudflare) -> Result<Self, String> {
        let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x0C4A_0505);
        let whole = cloudflare.account_resource_group();
        let by_group: BTreeSet<String> = cloudflare
            .memberships()
            .iter()
            .flat_map(|member| member.groups.clone())
            .flat_map(|group| cloudflare.group_atoms(&group))
            .map(|(_, permission_group, _)| permission_group)
            .collect();
        let roles: Vec<_> = cloudflare
            .permission_groups()
            .into_iter()
            .filter(|role| role.account_wide && role.label != "super_admin" && !by_group.contains(&role.id))
            .collect();
        let (mut chains, mut members) = (Vec::new(), Vec::new());
        for member in cloudflare.memberships().into_iter().skip(3).take(plan.members) {
            let user = member.user_id.clone().ok_or("a member has no user id")?;
            let held: BTreeSet<String> =
                cloudflare.member_atoms(&member.id).into_iter().map(|(_, group, _)| group).collect();
            let mut free: Vec<_> = roles.iter().filter(|role| !held.contains(&role.id)).collect();
            rng.shuffle(&mut free);
            // One more, which nobody asks about: nobody may end without any access.
            if free.len() <= plan.roles {
                return Err(format!("member {} has too many roles already", member.id));
            }
            let stays = free.split_off(plan.roles);
            let mut given: Vec<PolicySpec> =
                stays.iter().take(1).map(|role| PolicySpec::allow(role.id.clone(), whole.clone())).collect();
            for (n, role) in free.into_iter().enumerate() {
                let wish = Wish {
                    grants: true,
                    member: member.id.clone(),
                    person: Person::member(&member.email, &user, &member.id),
                    entitlement: Entitlement::role(role.governed_as(), &role.name),
                    atom: (Access::Allow, role.id.clone(), whole.clone()),
                    task: format!("task-{}-{}", members.len(), n),
                    step: format!("step-{}", rng.u32(..)),
                };
                let kind = if plan.mixed { n % 5 } else { 0 };
                let wish = if matches!(kind, 1 | 3) { wish.contrary() } else { wish };
                if !wish.grants {
                    given.push(PolicySpec::allow(role.id.clone(), whole.clone()));
                }
                match kind {
                    // One alone: a grant, or a revoke.
                    0 | 1 => chains.push(vec![wish]),
                    // One after the other's answer: the last counts.
                    2 => chains.push(vec![wish.clone(), wish.contrary()]),
                    // Both at once: the one that arrived later counts.
                    _ => chains.extend([vec![wish.contrary()], vec![wish]]),
                }
            }
            for policy in given {
                cloudflare.add_policy(&member.id, policy);
            }
            members.push(member.id);
        }
        if members.len() < plan.members {
            return Err(format!("the account has {} members to ask for", members.len()));
        }
        rng.shuffle(&mut chains);
        Ok(Self { chains, members })
    }
}

/// Who holds what.
pub(super) type Holdings = BTreeMap<String, BTreeSet<Atom>>;

/// What every member holds now.
pub(super) fn everybody(cloudflare: &Cloudflare) -> Holdings {
    let members = cloudflare.memberships().into_iter();
    members.map(|member| (member.id.clone(), cloudflare.member_atoms(&member.id))).collect()
}

/// Checks that exactly what was asked for has changed.
pub(super) fn check(before: &Holdings, told: &[Told], journal: &Journal, after: &Holdings) -> Result<(), String> {
    let mut expected = before.clone();
    for wish in in_order(told, journal)? {
        let atoms = expected.get_mut(&wish.member).ok_or("a member is gone")?;
        if wish.grants {
            atoms.insert(wish.atom.clone());
        } else {
            atoms.remove(&wish.atom);
        }
    }
    for (member, expected) in &expected {
        let found = after.get(member).ok_or_else(|| format!("member {member} is gone"))?;
        let lost: Vec<_> = expected.difference(found).collect();
        let more: Vec<_> = found.difference(expected).collect();
        if !lost.is_empty() || !more.is_empty() {
            let about = told.iter().filter(|told| {
                told.wish.member == *member && lost.iter().chain(&more).any(|atom| **atom == told.wish.atom)
            });
            let about: Vec<_> = about
                .map(|told| format!("{}: {} {:?}", told.wish, told.document, journal.get(&told.wish.key())))
                .collect();
            return Err(format!("member {member} lacks {lost:?} and has {more:?} too many; {}", about.join("; ")));
        }
    }
    Ok(())
}

fn in_order<'a>(told: &'a [Told], journal: &Journal) -> Result<Vec<&'a Wish>, String> {
    let number = |wish: &Wish| {
        journal.get(&wish.key()).map(|entry| entry.id).ok_or_else(|| format!("{wish} is not in the journal"))
    };
    let mut wishes: Vec<_> =
        told.iter().map(|told| Ok((number(&told.wish)?, &told.wish))).collect::<Result<_, String>>()?;
    wishes.sort_by_key(|(number, _)| *number);
    Ok(wishes.into_iter().map(|(_, wish)| wish).collect())
}
