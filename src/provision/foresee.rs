//! What the guards would say to a change, from what a generation knows: nothing is asked of Cloudflare, and no place is taken. The rules
//! are those of [`guards::judge`], in their order and with their words.

use super::execute::Edit;
use super::guards::{self, Deed, Evidence, Planned};
use super::lock::Guard;
use super::removals::{self, Count};
use super::settings::{LastRole, Settings};
use super::{accounts, grants, group, outcomes, owner, policies, super_admins};
use crate::account::Stopped;
use crate::account::identity::Owner;
use crate::base::order;
use crate::base::ports::{Clock, Sql};
use crate::base::tree::BTreeSet;
use crate::cloudflare::{MemberRecord, PolicyRecord};
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::ask::Action;
use crate::model::id::{PermissionGroupId, UserGroupId};
use crate::model::operation::Outcome;
use crate::model::resource::Member;
use crate::model::super_administrator;

/// A change that somebody asks about.
#[derive(Clone, Debug)]
pub struct Thought<'a> {
    /// Whose access it is.
    pub member: &'a Member,
    /// Grant or revoke.
    pub action: Action,
    /// What it is about.
    pub about: About,
    /// Whether there is no such member yet, and one would be invited.
    pub is_new: bool,
    /// The name that people know that by; of an account that, and not what comes with it.
    pub name: &'a str,
    /// The user group through which the member has it, where there is one.
    pub through: Option<&'a str>,
    /// A user group that gives the member something, whatever that is.
    pub in_group: Option<&'a str>,
    /// Minimal Account Access, where the generation has it.
    pub minimal: Option<Atom>,
    /// What the account knows: the user groups that make their members Super Administrators, and how many other accepted ones there are.
    pub admin_groups: &'a BTreeSet<UserGroupId>,
    /// See [`Self::admin_groups`].
    pub other_admins: usize,
    /// Whose token the connector calls with, where that is known.
    pub owner: Option<Owner>,
}

/// What is granted or revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A role, as an atom.
    Atom(Atom),
    /// The membership of a user group.
    Group(UserGroupId),
    /// The membership of the account, which is taken away.
    Account,
}

/// What would become of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: it is so already.
    AlreadySo,
    /// It would be carried out: the member is this one then, or none any more.
    Made(Option<Box<Member>>),
    /// It would be refused, or put off.
    Stopped(Outcome),
}

/// What would become of a change, by the same rules that provisioning goes by.
pub async fn foresee<P: Clock + Sql>(ports: &P, settings: &Settings, of: &Thought<'_>) -> Result<Fate, Stopped> {
    match fate(ports, settings, of).await {
        Ok(fate) => Ok(fate),
        Err(Stopped::Ended(outcome)) => Ok(Fate::Stopped(outcome)),
        Err(other) => Err(other),
    }
}

async fn fate<P: Clock + Sql>(ports: &P, settings: &Settings, of: &Thought<'_>) -> Result<Fate, Stopped> {
    let (member, email, name) = (of.member, &of.member.email, of.name);
    let record = record(member);
    let mut after = member.clone();
    let would;
    let planned = match (of.about, of.action) {
        (About::Account, _) => return removal(ports, settings, of, &record).await,
        (About::Group(group), action) => {
            if member.groups.contains(&group) == (action == Action::Grant) {
                return Ok(Fate::AlreadySo);
            }
            let is_in = action == Action::Grant;
            if is_in {
                after.groups.push(group);
                order::sort(&mut after.groups);
            } else {
                after.groups.retain(|one| *one != group);
            }
            would = group::would_put(email, name, is_in);
            Planned::membership(&record, group, is_in, &would)
        }
        (About::Atom(atom), action) => {
            let held: Vec<Policy> = record.own_policies()?;
            let mut edit = Edit::of(action, atom);
            let changed = edit.apply(&held);
            if action == Action::Grant && grants::is_denied(&held, atom, changed.is_some()) {
                return Ok(Fate::Stopped(grants::denied(email, name)));
            }
            let Some(mut left) = changed else {
                return match of.through.filter(|_| action == Action::Revoke) {
                    Some(group) => Err(Stopped::Ended(grants::held_by_group(email, name, group))),
                    None => Ok(Fate::AlreadySo),
                };
            };
            guards::protected(&settings.guards, email, &[])?;
            if action == Action::Revoke && !policies::give_something(&left) {
                match (settings.guards.last_role, of.in_group) {
                    (LastRole::RemoveMember, None) => return removal(ports, settings, of, &record).await,
                    (LastRole::RemoveMember, Some(group)) => {
                        return Err(Stopped::Ended(grants::more_through(email, name, group)));
                    }
                    (LastRole::MinimalAccess, _) => {
                        edit.grant.extend(of.minimal);
                        left = edit.apply(&held).unwrap_or_default();
                    }
                    (LastRole::Refuse, _) => {}
                }
                if !policies::give_something(&left) {
                    return Err(Stopped::Ended(grants::last_role(email, name)));
                }
            }
            if held.iter().any(|policy| policy.access == Access::Unknown) {
                return Err(Stopped::Ended(outcomes::unknown_policy(email)));
            }
            after.atoms = atoms(&left).into_iter().collect();
            would = match action {
                Action::Grant if of.is_new => accounts::would_invite(email, name),
                Action::Revoke if !edit.grant.is_empty() => grants::would_leave_minimal(email, name),
                action => grants::would_change(action, email, name),
            };
            Planned::policies(&record, edit.grant.into_iter().collect(), edit.revoke.into_iter().collect(), &would)
        }
    };
    guards::judge(&Generation { ports, settings, of }, &planned).await?;
    Ok(Fate::Made(Some(Box::new(after))))
}

/// What would become of a removal from the account.
async fn removal<P: Clock + Sql>(
    ports: &P,
    settings: &Settings,
    of: &Thought<'_>,
    record: &MemberRecord,
) -> Result<Fate, Stopped> {
    let would = accounts::would_remove(&of.member.email, of.member.status);
    guards::judge(&Generation { ports, settings, of }, &Planned::remove(record, &would)).await?;
    Ok(Fate::Made(None))
}

/// The record that Cloudflare would give of a member.
fn record(member: &Member) -> MemberRecord {
    MemberRecord {
        id: member.member_id,
        user_id: member.user_id,
        email: member.email.clone(),
        status: member.status,
        first_name: member.first_name.clone(),
        last_name: member.last_name.clone(),
        two_factor: member.two_factor,
        roles: Vec::new(),
        policies: member.atoms.iter().map(PolicyRecord::of).collect::<Vec<_>>().into(),
    }
}

/// What a generation knows, with nothing taken.
struct Generation<'a, P> {
    ports: &'a P,
    settings: &'a Settings,
    of: &'a Thought<'a>,
}

impl<P: Clock + Sql> Generation<'_, P> {
    /// The permission group of Super Administrator that a sync learned, else the role's own id.
    fn admin(&self) -> Result<Option<PermissionGroupId>, Stopped> {
        Ok(super_admins::learned_group(self.ports)?.or_else(|| Some(super_administrator::role()?.into())))
    }
}

impl<P: Clock + Sql> Evidence for Generation<'_, P> {
    fn settings(&self) -> &Settings {
        self.settings
    }

    fn asked_for(&self) -> &[String] {
        &[]
    }

    async fn room(&self, planned: &Planned<'_>, count: Count) -> Result<(), Stopped> {
        let guards = &self.settings.guards;
        guards::some_removals(guards)?;
        let counted = removals::counted(self.ports, count, self.ports.now())?;
        if counted < guards.max_removals_per_hour {
            return Ok(());
        }
        guards::provisioning(self.settings, planned.would)?;
        Err(Stopped::Ended(Outcome::NotNow { message: guards::no_room(guards, count, counted), retry_at: None }))
    }

    async fn loses_admin(&self, member: &MemberRecord, planned: &Planned<'_>) -> Result<bool, Stopped> {
        let Some(admin) = self.admin()? else { return Ok(false) };
        let held = member.own_policies()?;
        let through = self.of.member.groups.iter().any(|group| self.of.admin_groups.contains(group));
        Ok(match planned.deed() {
            Deed::Remove | Deed::Renew => through || super_admins::make(&held, admin),
            Deed::Leave(group) => self.of.admin_groups.contains(&group) && !super_admins::make(&held, admin),
            Deed::Policies => super_admins::loses_of(admin, &atoms(&held), planned.loses()),
            Deed::Invite | Deed::Join => false,
        })
    }

    async fn spared(&self, member: &MemberRecord, loses_admin: bool) -> Result<(), Stopped> {
        self.of.owner.map_or(Ok(()), |owner| owner::spared_by(owner, member, loses_admin))
    }

    async fn enough(
        &self,
        planned: &Planned<'_>,
        member: &MemberRecord,
        count: Count,
    ) -> Result<Option<Guard>, Stopped> {
        if count == Count::Access {
            self.room(planned, Count::Account).await?;
        }
        let (left, least) = (self.of.other_admins, self.settings.guards.min_super_admins);
        if left < least { Err(super_admins::too_few(left, least, &member.email)) } else { Ok(None) }
    }
}
