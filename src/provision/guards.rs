//! What provisioning must not do, whoever asks. Each refusal is a sentence that names the rule and what to do.
//!
//! **Invariants:** [`check`] is the one place where the rules are asked, and the one that makes a [`Cleared`], without which
//! `cloudflare` writes nothing; a guard that counts takes its place on disk before anything is asked of the network.

use crate::base::tree::BTreeSet;

use super::asking::Asking;
use super::incident::{self, Incident};
use super::journal;
use super::lock::Guard;
use super::outcomes::superseded;
use super::removals::{self, Count};
use super::settings::{Guards, Provisioning, Settings};
use super::shared::UserGroups;
use super::{apart, owner, read, super_admins};
use crate::account::Stopped;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::base::remedy::SET_VARIABLE;
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, Cleared, MemberRecord, PolicyRecord, Whom};
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::address;
use crate::model::id::UserGroupId;
use crate::model::operation::{EntryId, Outcome, Refusal};
use crate::model::resource::MemberStatus;

/// A change of somebody's access that is about to be made.
pub(super) struct Planned<'m> {
    /// The member; nobody where somebody is invited.
    member: Option<&'m MemberRecord>,
    email: &'m str,
    gains: BTreeSet<Atom>,
    loses: BTreeSet<Atom>,
    what: Deed,
    /// What the refusal says while provisioning is off.
    pub(super) would: &'m str,
}

/// What a change is, beside atoms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing else.
    Policies,
    Invite,
    Join,
    Leave(UserGroupId),
    Remove,
    /// An invitation is removed, and made again with what it held.
    Renew,
}

impl<'m> Planned<'m> {
    /// Policies change: these atoms come, and those go.
    pub(super) const fn policies(
        member: &'m MemberRecord,
        gains: BTreeSet<Atom>,
        loses: BTreeSet<Atom>,
        would: &'m str,
    ) -> Self {
        Self { member: Some(member), email: member.email.as_str(), gains, loses, what: Deed::Policies, would }
    }

    /// Somebody is invited.
    pub(super) const fn invite(email: &'m str, would: &'m str) -> Self {
        Self { member: None, email, gains: BTreeSet::new(), loses: BTreeSet::new(), what: Deed::Invite, would }
    }

    const fn of(member: &'m MemberRecord, what: Deed, would: &'m str) -> Self {
        let email = member.email.as_str();
        Self { member: Some(member), email, gains: BTreeSet::new(), loses: BTreeSet::new(), what, would }
    }

    /// A member comes into a user group, or leaves it.
    pub(super) const fn membership(member: &'m MemberRecord, group: UserGroupId, is_in: bool, would: &'m str) -> Self {
        Self::of(member, if is_in { Deed::Join } else { Deed::Leave(group) }, would)
    }

    /// The membership ends.
    pub(super) const fn remove(member: &'m MemberRecord, would: &'m str) -> Self {
        Self::of(member, Deed::Remove, would)
    }

    /// An invitation is removed and made again.
    pub(super) const fn renew(member: &'m MemberRecord, would: &'m str) -> Self {
        Self::of(member, Deed::Renew, would)
    }

    /// What is done, beside atoms.
    pub(super) const fn deed(&self) -> Deed {
        self.what
    }

    /// The atoms that go.
    pub(super) const fn loses(&self) -> &BTreeSet<Atom> {
        &self.loses
    }

    fn takes_away(&self) -> bool {
        match self.what {
            Deed::Policies => !self.loses.is_empty(),
            Deed::Leave(_) | Deed::Remove | Deed::Renew => true,
            Deed::Invite | Deed::Join => false,
        }
    }
}

/// A change that the guards let pass. Held until the change is through: two that would each leave too few Super
/// Administrators do not count each other.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) cleared: Cleared,
    /// Whether the member stops being Super Administrator by it.
    pub(super) loses_admin: bool,
    gains: BTreeSet<Atom>,
    loses: BTreeSet<Atom>,
    _turn: Option<Guard>,
}

impl Passage {
    /// Whether a change of policies is within what was let pass.
    pub(super) fn covers(&self, gains: &BTreeSet<Atom>, loses: &BTreeSet<Atom>) -> bool {
        gains.is_subset(&self.gains) && loses.is_subset(&self.loses)
    }
}

/// What the rules are asked of: Cloudflare, with places taken on disk ([`Asking`]), or a generation, with nothing taken
/// ([`super::foresee`]).
pub(super) trait Evidence {
    /// How provisioning is set.
    fn settings(&self) -> &Settings;

    /// The addresses by which the person was asked for.
    fn asked_for(&self) -> &[String];

    /// Whether there is room for one more revoke or removal within the hour.
    async fn room(&self, planned: &Planned<'_>, count: Count) -> Result<(), Stopped>;

    /// Whether an accepted member stops being Super Administrator by a change.
    async fn loses_admin(&self, member: &MemberRecord, planned: &Planned<'_>) -> Result<bool, Stopped>;

    /// Whether the member may be spared: nobody is locked out by whom the connector works.
    async fn spared(&self, member: &MemberRecord, loses_admin: bool) -> Result<(), Stopped>;

    /// Whether enough other Super Administrators are left, and the turn of whoever changes one.
    async fn enough(
        &self,
        planned: &Planned<'_>,
        member: &MemberRecord,
        count: Count,
    ) -> Result<Option<Guard>, Stopped>;
}

/// Asks all rules about a change, ours of our own accord included. The cheap ones come first; those that count take their place
/// before the network is asked.
pub(super) async fn check<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    planned: &Planned<'_>,
) -> Result<Passage, Stopped> {
    let judged = judge(asking, planned).await;
    if let Err(Stopped::Ended(Outcome::NotNow { message, .. })) = &judged
        && removals::stand_in_line(asking.ports, asking.operation)?
    {
        // This is said once, and not with each look.
        journal::waits(asking.ports, asking.operation, message, asking.ports.now())?;
    }
    let (loses_admin, turn) = judged?;
    let whom = match planned.member {
        Some(member) => Whom::Member(member.id),
        None => Whom::Invited(planned.email.to_owned()),
    };
    let cleared = Cleared::by_guards(whom, planned.what == Deed::Remove || planned.what == Deed::Renew);
    Ok(Passage { cleared, loses_admin, gains: planned.gains.clone(), loses: planned.loses.clone(), _turn: turn })
}

/// The rules in their order: whether the member stops being Super Administrator, and the turn that was taken for it. This gives no clearance.
pub(super) async fn judge<E: Evidence>(evidence: &E, planned: &Planned<'_>) -> Result<(bool, Option<Guard>), Stopped> {
    let settings = evidence.settings();
    protected(&settings.guards, planned.email, evidence.asked_for())?;
    let takes_away = planned.takes_away();
    let count = if planned.what == Deed::Remove { Count::Account } else { Count::Access };
    let mut full = if takes_away { evidence.room(planned, count).await.err() } else { None };
    // Super Administrator has room of its own, which revokes of roles do not use up.
    let is_final = count == Count::Account || settings.guards.max_removals_per_hour == 0;
    if let Some(stopped) = full.take_if(|_| is_final) {
        return Err(stopped);
    }
    let member = planned.member.filter(|_| takes_away);
    let loses_admin = match member {
        Some(member) => member.status == MemberStatus::Accepted && evidence.loses_admin(member, planned).await?,
        None => false,
    };
    if let Some(stopped) = full.filter(|_| !loses_admin) {
        return Err(stopped);
    }
    let mut turn = None;
    if let Some(member) = member {
        if planned.what == Deed::Remove || loses_admin {
            evidence.spared(member, loses_admin).await?;
        }
        if loses_admin {
            turn = evidence.enough(planned, member, count).await?;
        }
    }
    provisioning(settings, planned.would)?;
    Ok((loses_admin, turn))
}

impl<P: Http + KeyValue + Clock + Sql> Evidence for Asking<'_, '_, P> {
    fn settings(&self) -> &Settings {
        self.settings
    }

    fn asked_for(&self) -> &[String] {
        self.asked_for
    }

    async fn room(&self, planned: &Planned<'_>, count: Count) -> Result<(), Stopped> {
        removal_cap(self, planned, count)
    }

    async fn loses_admin(&self, member: &MemberRecord, planned: &Planned<'_>) -> Result<bool, Stopped> {
        match planned.what {
            Deed::Remove | Deed::Renew => super_admins::is_one(self.ports, self.client, member).await,
            Deed::Leave(group) => super_admins::loses_by_leaving(self.ports, self.client, member, group).await,
            Deed::Policies => super_admins::loses(self.ports, self.client, member, &planned.loses).await,
            Deed::Invite | Deed::Join => Ok(false),
        }
    }

    async fn spared(&self, member: &MemberRecord, loses_admin: bool) -> Result<(), Stopped> {
        owner::spared(self.ports, self.client, member, loses_admin).await
    }

    async fn enough(
        &self,
        planned: &Planned<'_>,
        member: &MemberRecord,
        count: Count,
    ) -> Result<Option<Guard>, Stopped> {
        if count == Count::Access {
            removal_cap(self, planned, Count::Account)?;
        }
        let turn = self.locks.acquire_at_rest("super administrators", self.ports, self.client, self.operation).await;
        let least = self.settings.guards.min_super_admins;
        super_admins::enough(self, least, member).await?;
        Ok(Some(turn))
    }
}

/// A protected member's access is never changed, not either where they have changed the address of their login since: by the addresses
/// under which they were asked for, where none of those is the one that they have now.
pub(super) fn protected(guards: &Guards, email: &str, asked_for: &[String]) -> Result<(), Stopped> {
    let is_listed = |address: &&str| guards.protected.contains(&address::folded(address));
    let asked_for = if asked_for.iter().any(|known| address::same(known, email)) { &[] } else { asked_for };
    let Some(listed) = [email].into_iter().chain(asked_for.iter().map(String::as_str)).find(is_listed) else {
        return Ok(());
    };
    refuse(
        Refusal::ProtectedMember,
        format!(
            "{listed} is a protected member: PROTECTED_MEMBERS says that this connector never changes their access; change it in Cloudflare's dashboard, or take the address off that list."
        ),
    )
}

/// Nothing is written while provisioning is off; the refusal says what would have been.
pub(super) fn provisioning(settings: &Settings, would: &str) -> Result<(), Stopped> {
    if settings.provisioning == Provisioning::On {
        return Ok(());
    }
    refuse(
        Refusal::ProvisioningOff,
        format!(
            "Provisioning is off in this connector, which {would}; to have it done, set PROVISIONING to on {SET_VARIABLE}."
        ),
    )
}

/// Nothing is revoked or removed where none may be.
pub(super) fn some_removals(guards: &Guards) -> Result<(), Stopped> {
    if guards.max_removals_per_hour > 0 {
        return Ok(());
    }
    refuse(
        Refusal::RemovalCap,
        "MAX_REMOVALS_PER_HOUR is 0, so this connector revokes and removes nothing; raise it, or do this in Cloudflare's dashboard.".to_owned(),
    )
}

/// What is told where there is no room for another removal.
pub(super) fn no_room(guards: &Guards, count: Count, counted: i64) -> String {
    let most = guards.max_removals_per_hour;
    let what = match count {
        Count::Access => "revokes",
        Count::Account => "removals of accounts and of Super Administrators",
    };
    format!(
        "{counted} {what} were carried out within the last hour or are under way, and MAX_REMOVALS_PER_HOUR allows {most}; if this many are meant, raise it; else find out who is revoking"
    )
}

/// What a revoke is told that waits for its place, before Cloudflare is asked for anything: hundreds may wait, and others need those requests.
/// Whatever ends it without a place ends it here.
pub(super) fn in_line(sql: &dyn Sql, settings: &Settings, operation: EntryId, now: Timestamp) -> Result<(), Stopped> {
    let waits = removals::waits(sql, operation)?;
    if waits.is_empty() {
        return Ok(());
    }
    if let Some(newer) = journal::superseded_by(sql, operation)? {
        return Err(Stopped::Ended(superseded(newer)));
    }
    some_removals(&settings.guards)?;
    provisioning(settings, "would have carried out this revoke once there is room")?;
    let retry_at = removals::before_its_turn(sql, operation, &waits, settings.guards.max_removals_per_hour, now)?;
    if retry_at.is_none() {
        return Ok(());
    }
    let message = "MAX_REMOVALS_PER_HOUR leaves no room for it yet".to_owned();
    Err(Stopped::Ended(Outcome::NotNow { message, retry_at }))
}

/// At most `MAX_REMOVALS_PER_HOUR` within an hour. Who finds no place is put off until there is one, and the status says so.
fn removal_cap<P: Clock + Sql>(asking: &Asking<'_, '_, P>, planned: &Planned<'_>, count: Count) -> Result<(), Stopped> {
    let (ports, now) = (asking.ports, asking.ports.now());
    let guards = &asking.settings.guards;
    some_removals(guards)?;
    if count == Count::Account {
        // It is counted once, and keeps no role waiting while it waits for a place among the accounts.
        removals::give_back_one(ports, asking.operation, Count::Access)?;
    }
    let Err(retry_at) = removals::reserve(ports, asking.operation, count, guards.max_removals_per_hour, now)? else {
        return Ok(());
    };
    // Nobody waits for what would be refused then.
    provisioning(asking.settings, planned.would)?;
    let message = no_room(guards, count, removals::counted(ports, count, now)?);
    let incident = Incident {
        kind: incident::IncidentKind::RemovalCap,
        at: now,
        operation: asking.operation,
        member: planned.member.map(|member| member.id.to_string()).unwrap_or_default(),
        email: planned.email.to_owned(),
        message: format!(
            "{message}; those that are asked for by webhook wait until there is room, also once they are cancelled in ConductorOne: with MAX_REMOVALS_PER_HOUR at 0, or PROVISIONING off, each of them is refused within 15 minutes."
        ),
        actor: None,
        through: None,
        reference: None,
    };
    // Once within the time that is counted is enough for the operator.
    incident::note_once(ports, &format!("cap/{}", count.as_str()), removals::WINDOW_SECS, &incident)?;
    if !asking.comes_again {
        return refuse(Refusal::RemovalCap, format!("{message}, then ask again."));
    }
    Err(Stopped::Ended(Outcome::NotNow { message, retry_at: Some(retry_at) }))
}

/// The user group through which a member holds an atom, asked of Cloudflare now; `None` is the proof that there is none.
pub(super) async fn held_through<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    member: &MemberRecord,
    wanted: &dyn Fn(&Atom) -> bool,
) -> Result<Option<String>, Stopped> {
    let client = asking.client;
    let groups = apart::user_groups(asking).await?;
    let groups = match &*groups {
        UserGroups::Listed(groups) => groups,
        UserGroups::Absent => return Ok(None),
        UserGroups::Hidden(error) => {
            return Err(Stopped::refused(
                Refusal::HeldThroughGroup,
                format!(
                    "The connector's API token may not read the account's user groups ({error}), so it cannot be known whether {} has this through one of them; give the token Account Settings: Read, then ask again.",
                    member.email
                ),
            ));
        }
    };
    for group in groups {
        let known: Vec<Policy> = group.policies.readable().iter().map(PolicyRecord::policy).collect();
        let gives = atoms(&known).iter().any(|atom| atom.access == Access::Allow && wanted(atom));
        let unread = group.policies.all().err();
        if (gives || unread.is_some()) && read::is_in_group(asking.ports, client, group, member.id).await? {
            if let (false, Some(what)) = (gives, unread) {
                return Err(ApiError::Unreadable {
                    of: format!("the user group {}", group.name),
                    what: what.to_owned(),
                }
                .into());
            }
            return Ok(Some(group.name.clone()));
        }
    }
    Ok(None)
}

pub(super) fn refuse(code: Refusal, message: String) -> Result<(), Stopped> {
    Err(Stopped::refused(code, message))
}
