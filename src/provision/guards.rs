//! What provisioning must not do, whoever asks. Each refusal is a sentence that names the rule and what to do.

use super::journal::{self, EntryId};
use super::resolve::{Unresolved, each, latest};
use super::settings::Guards;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{ApiError, Client, MemberRecord};
use crate::model::access::{Access, Atom};
use crate::model::address;
use crate::model::id::{PermissionGroupId, ResourceGroupId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::operation::{Outcome, Refusal, Request};
use crate::model::resource::Row;
use crate::snapshot::Snapshot;

/// The app must be one whose tasks are carried out.
pub(super) fn app(guards: &Guards, request: &Request) -> Result<(), Unresolved> {
    let allowed = &guards.allowed_apps;
    let Some(app) = request.origin.app_id.as_ref().filter(|_| !allowed.is_empty()) else { return Ok(()) };
    if allowed.contains(app) {
        return Ok(());
    }
    refuse(
        Refusal::AppNotAllowed,
        format!(
            "This connector does not carry out tasks of the ConductorOne app {app}: ALLOWED_APPS does not have it; add it there, or assign the entitlement's provisioning to the right webhook."
        ),
    )
}

/// A protected member's access is never changed.
pub(super) fn protected(guards: &Guards, email: &str) -> Result<(), Unresolved> {
    if !guards.protected.contains(&address::folded(email)) {
        return Ok(());
    }
    refuse(
        Refusal::ProtectedMember,
        format!(
            "{email} is a protected member: PROTECTED_MEMBERS says that this connector never changes their access; change it in Cloudflare's dashboard, or take the address off that list."
        ),
    )
}

/// So many revokes and removals within an hour, and no more.
pub(super) fn removal_cap<P: Clock + Sql>(ports: &P, guards: &Guards, id: EntryId) -> Result<(), Unresolved> {
    let most = guards.max_removals_per_hour;
    let done = journal::removals_since(ports, ports.now().plus_secs(-60 * 60), id)?;
    if done < most {
        return Ok(());
    }
    refuse(
        Refusal::RemovalCap,
        format!(
            "{done} revokes and removals were carried out within the last hour, and MAX_REMOVALS_PER_HOUR allows {most}; if this many are meant, raise it; else find out who is revoking, then ask again."
        ),
    )
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

/// The user groups of a snapshot that allow an atom, with their names.
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
pub(super) fn present<T>(read: Result<T, ApiError>) -> Result<Option<T>, Unresolved> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn refuse(code: Refusal, message: String) -> Result<(), Unresolved> {
    Err(Unresolved::Refused(Outcome::refused(code, message)))
}
