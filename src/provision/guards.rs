//! What provisioning must not do, whoever asks. Each refusal is a sentence that names the rule and what to do.

use super::execute;
use super::journal::{self, EntryId};
use super::request::{Outcome, Refusal, Request};
use super::resolve::{Unresolved, each, latest};
use crate::cloudflare::{ApiError, Client, MemberRecord};
use crate::config::Config;
use crate::model::access::{Access, Atom, atoms};
use crate::model::id::{PermissionGroupId, ResourceGroupId, UserGroupId};
use crate::model::resource::{Kind, MemberStatus, Row};
use crate::ports::{Clock, Http, KeyValue, Sql};
use crate::sync;
use crate::sync::snapshot::Snapshot;

/// The role id of Super Administrator, which the roles list leaves out.
const SUPER_ADMINISTRATOR: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// The app must be one whose tasks are carried out.
pub(super) fn app(config: &Config, request: &Request) -> Result<(), Unresolved> {
    let allowed = &config.guards.allowed_apps;
    let Some(app) = request.origin.app_id.as_ref().filter(|_| !allowed.is_empty()) else { return Ok(()) };
    if allowed.contains(app) {
        return Ok(());
    }
    refuse(
        Refusal::AppNotAllowed,
        format!(
            "This connector does not carry out tasks of the ConductorOne app {app}: ALLOWED_APPS does not have it. Add it there, or assign the entitlement's provisioning to the right webhook."
        ),
    )
}

/// A protected member's access is never changed.
pub(super) fn protected(config: &Config, member: &MemberRecord) -> Result<(), Unresolved> {
    if !config.guards.protected.contains(&member.email.to_lowercase()) {
        return Ok(());
    }
    refuse(
        Refusal::ProtectedMember,
        format!(
            "{} is a protected member: PROTECTED_MEMBERS says that this connector never changes their access. Change it in Cloudflare's dashboard, or take the address off that list.",
            member.email
        ),
    )
}

/// So many revokes and removals within an hour, and no more.
pub(super) fn removal_cap<P: Clock + Sql>(ports: &P, config: &Config, id: EntryId) -> Result<(), Unresolved> {
    let most = config.guards.max_removals_per_hour;
    let done = journal::removals_since(ports, ports.now().plus_secs(-60 * 60), id)?;
    if done < most {
        return Ok(());
    }
    refuse(
        Refusal::RemovalCap,
        format!(
            "{done} revokes and removals were carried out within the last hour, and MAX_REMOVALS_PER_HOUR allows {most}. If this many are meant, raise it; else find out who is revoking, then ask again."
        ),
    )
}

/// The permission group of Super Administrator, as far as it is known.
fn super_administrator<P: Sql>(ports: &P) -> Result<Option<PermissionGroupId>, Unresolved> {
    let Ok(role) = SUPER_ADMINISTRATOR.parse() else { return Ok(None) };
    Ok(sync::permission_group_of(ports, role)?)
}

/// Whether a member would stop being Super Administrator were the atom, or everything, taken away.
pub(super) fn loses_super_administrator<P: Sql>(
    ports: &P,
    member: &MemberRecord,
    lost: Option<Atom>,
) -> Result<bool, Unresolved> {
    let Some(group) = super_administrator(ports)? else { return Ok(false) };
    let is_it = |atom: &Atom| atom.access == Access::Allow && atom.permission_group == group;
    Ok(atoms(&member.own_policies())
        .iter()
        .filter(|atom| is_it(atom))
        .any(|atom| lost.is_none_or(|lost| lost == *atom)))
}

/// So many other accepted Super Administrators there must be, each asked for now: what the last sync saw may have changed.
pub(super) async fn enough_super_administrators<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    config: &Config,
    client: &Client<'_, P>,
    member: &MemberRecord,
) -> Result<(), Unresolved> {
    let Some(group) = super_administrator(ports)? else { return Ok(()) };
    let least = config.guards.min_super_admins;
    let mut left = 0;
    for candidate in candidates(ports, group).await? {
        if candidate == member.id {
            continue;
        }
        let Some(other) = present(execute::read(ports, client, candidate).await)? else { continue };
        if other.status == MemberStatus::Accepted && holds(client, ports, &other, group).await? {
            left += 1;
            if left >= least {
                return Ok(());
            }
        }
    }
    refuse(
        Refusal::MinSuperAdmins,
        format!(
            "Only {left} Super Administrators would be left besides {}, and MIN_SUPER_ADMINS asks for {least}. Make somebody else Super Administrator first.",
            member.email
        ),
    )
}

/// Whether a user group makes its members Super Administrators.
pub(super) async fn group_makes_super_administrators<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    user_group: UserGroupId,
) -> Result<bool, Unresolved> {
    let Some(group) = super_administrator(ports)? else { return Ok(false) };
    let Some(found) = present(client.user_group(user_group).await)? else { return Ok(false) };
    let all = found.policies.iter().flat_map(|policy| atoms(&[policy.policy()]));
    Ok(all.into_iter().any(|atom| atom.access == Access::Allow && atom.permission_group == group))
}

/// Whether a member is Super Administrator, of their own or through a user group.
pub(super) async fn may_be_super_administrator<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
) -> Result<bool, Unresolved> {
    match super_administrator(ports)? {
        Some(group) => holds(client, ports, member, group).await,
        None => Ok(false),
    }
}

/// The memberships that the last snapshot has as Super Administrators, of their own or through a user group.
async fn candidates<P: KeyValue>(
    ports: &P,
    group: PermissionGroupId,
) -> Result<Vec<crate::model::id::MemberId>, Unresolved> {
    let Some(snapshot) = latest(ports).await? else { return Ok(Vec::new()) };
    let through = groups_with(ports, &snapshot, |atom| atom.permission_group == group).await?;
    let mut found = Vec::new();
    each(ports, &snapshot, Kind::User, |row| {
        let Some(member) = row.as_member() else { return };
        let own = member.atoms.iter().any(|atom| atom.access == Access::Allow && atom.permission_group == group);
        if own || member.groups.iter().any(|group| through.iter().any(|(id, _)| id == group)) {
            found.push(member.member_id);
        }
    })
    .await?;
    Ok(found)
}

async fn holds<P: Http + KeyValue + Clock + Sql>(
    client: &Client<'_, P>,
    ports: &P,
    member: &MemberRecord,
    group: PermissionGroupId,
) -> Result<bool, Unresolved> {
    let is_it = |atom: &Atom| atom.access == Access::Allow && atom.permission_group == group;
    if atoms(&member.own_policies()).iter().any(is_it) {
        return Ok(true);
    }
    let Some(snapshot) = latest(ports).await? else { return Ok(false) };
    for (id, _) in groups_with(ports, &snapshot, |atom| atom.permission_group == group).await? {
        let Some(user_group) = present(client.user_group(id).await)? else { continue };
        let gives = user_group.policies.iter().flat_map(|policy| atoms(&[policy.policy()])).any(|atom| is_it(&atom));
        if gives && client.is_in_group(id, member.id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The user group through which a member holds what a revoke could not find among the member's own policies.
pub(super) async fn held_through<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
    permission_group: PermissionGroupId,
    resource_group: ResourceGroupId,
) -> Result<Option<String>, Unresolved> {
    let Some(snapshot) = latest(ports).await? else { return Ok(None) };
    let gives = |atom: &Atom| atom.permission_group == permission_group && atom.resource_group == resource_group;
    for (id, name) in groups_with(ports, &snapshot, gives).await? {
        if client.is_in_group(id, member.id).await? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn groups_with<P: KeyValue>(
    ports: &P,
    snapshot: &Snapshot,
    gives: impl Fn(&Atom) -> bool,
) -> Result<Vec<(UserGroupId, String)>, Unresolved> {
    let mut found = Vec::new();
    each(ports, snapshot, Kind::Group, |row| {
        if let Row::Group(group) = row
            && group.atoms.iter().any(|atom| atom.access == Access::Allow && gives(atom))
        {
            found.push((group.id, group.name.clone()));
        }
    })
    .await?;
    Ok(found)
}

/// What was read, or nothing where it is gone.
fn present<T>(read: Result<T, ApiError>) -> Result<Option<T>, Unresolved> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn refuse(code: Refusal, message: String) -> Result<(), Unresolved> {
    Err(Unresolved::Refused(Outcome::refused(code, message)))
}
