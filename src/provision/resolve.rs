//! Who and what is meant: from the names in a request to a member and an atom of the account.

use crate::account::apps::Apps;
use crate::account::default_role::Configured;
use crate::account::entitlement::named;
use crate::account::names::Names;
use crate::account::{self, Newest, Stopped};
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{ApiError, Client, PER_PAGE, PERMISSION_GROUP_PAGES};
use crate::model::access::Atom;
use crate::model::grant::{Entitlement, Holding};
use crate::model::id::{PermissionGroupId, ResourceGroupId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::operation::{Refusal, Target};
use crate::model::resource::Row;
use crate::snapshot::{self, Snapshot};

/// What people are told of a membership of the account itself.
pub(crate) const ACCOUNT: &str = "a Cloudflare account";

/// What is to be granted or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct What {
    pub(super) id: Holding,
    /// The name people know it by.
    pub(super) name: String,
    /// What it is in Cloudflare.
    pub(super) access: Counterpart,
}

/// What an entitlement is in Cloudflare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counterpart {
    /// An atom among the member's policies.
    Atom(Atom),
    /// Membership of a user group.
    Group(UserGroupId),
    /// A membership of the account.
    Account,
}

/// Finds the entitlement that is meant, and what it is in Cloudflare.
pub(super) async fn entitlement<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    newest: &Newest,
    apps: &Apps,
    target: &Target,
) -> Result<What, Stopped> {
    let account = || What { id: Holding::Account, name: ACCOUNT.to_owned(), access: Counterpart::Account };
    match named(ports, newest, apps, target).await? {
        Holding::Account => Ok(account()),
        Holding::Entitlement(entitlement) => describe(ports, client, newest, entitlement).await,
    }
}

async fn describe<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    newest: &Newest,
    entitlement: Entitlement,
) -> Result<What, Stopped> {
    let known = match &newest.snapshot {
        Some(snapshot) => {
            snapshot.get(ports, &entitlement.resource()).await?.and_then(|row| row.offered()).map(|(_, title)| title)
        }
        None => None,
    };
    // What several ids may name has one by which operations are told to be about the same: a role also has its permission group's, and is
    // a role on the resource group that is the whole account.
    let (learned, id) = (Names::load(ports)?, Holding::Entitlement);
    let naming = learned.naming();
    Ok(match entitlement {
        Entitlement::Role(role) => {
            let (permission_group, found) = match learned.permission_group_of(role) {
                Some(group) => (group, None),
                // A role that was not there at the last sync may be a permission group's own id.
                None => match client.permission_group(role.into()).await {
                    Ok(group) => (group.id, Some(group.name)),
                    Err(ApiError::NotFound(_) | ApiError::Invalid(_)) => {
                        // Only a sync tells which permission group a legacy role is.
                        newest.last()?;
                        return Err(Stopped::refused(
                            Refusal::UnknownEntitlement,
                            format!(
                                "Cloudflare knows no role {role} in this account; it may have been withdrawn since the last sync."
                            ),
                        ));
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            let atom = Atom::allow(permission_group, whole_account(client, &learned).await?);
            // Before the first sync Cloudflare's own list tells the name. An answer without one is one all the same.
            let name = match known.or(found) {
                None => client.permission_group(permission_group).await.ok().map(|group| group.name),
                name => name,
            };
            let id = id(Entitlement::Role(naming.role_of(permission_group)));
            What { id, name: name.unwrap_or_else(|| role.to_string()), access: Counterpart::Atom(atom) }
        }
        Entitlement::ScopedRole(role) => {
            let atom = Atom::allow(role.permission_group, role.resource_group);
            let id = id(naming.entitlement_of(role.permission_group, role.resource_group));
            What { id, name: known.unwrap_or_else(|| role.to_string()), access: Counterpart::Atom(atom) }
        }
        Entitlement::Group(group) => {
            let name = match known {
                Some(name) => name,
                None => match client.user_group(group).await {
                    Ok(found) => found.name,
                    Err(error) if is_unknown(newest, &error) => {
                        return Err(Stopped::refused(
                            Refusal::UnknownEntitlement,
                            format!(
                                "Cloudflare knows no user group {group} in this account; it may have been deleted since the last sync."
                            ),
                        ));
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            What { id: id(entitlement), name, access: Counterpart::Group(group) }
        }
    })
}

/// Whether an error says that there is no such user group; that there is no such path says it where there are none at all.
fn is_unknown(newest: &Newest, error: &ApiError) -> bool {
    matches!(error, ApiError::NotFound(_) | ApiError::Invalid(_))
        || (error.is_no_path() && !newest.may_have_user_groups())
}

/// The resource group that is the whole account.
async fn whole_account<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    learned: &Names,
) -> Result<ResourceGroupId, Stopped> {
    match learned.account_resource_group {
        Some(group) => Ok(group),
        None => Ok(client.account_resource_group().await?),
    }
}

/// The atom that a configured role means: by an entitlement id, by the id of a role or permission group, or by a role's name or
/// label in Cloudflare, which Cloudflare's own list is asked for where no generation has it. "Not now" where neither can tell.
pub(super) async fn configured_role<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    configured: &Configured,
) -> Result<Option<Atom>, Stopped> {
    let learned = Names::load(ports)?;
    let group = match configured {
        Configured::Id(Entitlement::ScopedRole(scoped)) => {
            return Ok(Some(Atom::allow(scoped.permission_group, scoped.resource_group)));
        }
        Configured::Id(Entitlement::Group(_)) => return Ok(None),
        Configured::Id(Entitlement::Role(id)) => learned.permission_group_of(*id).unwrap_or_else(|| (*id).into()),
        Configured::Name(_) => match called(ports, client, configured).await? {
            Some(group) => group,
            None => return Ok(None),
        },
    };
    Ok(Some(Atom::allow(group, whole_account(client, &learned).await?)))
}

/// The permission group of the only role that has a name or a label.
async fn called<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    configured: &Configured,
) -> Result<Option<PermissionGroupId>, Stopped> {
    let newest = account::newest(ports).await?;
    let mut found = Vec::new();
    if let Some(snapshot) = &newest.snapshot {
        each(ports, snapshot, Kind::Role, &mut |row| {
            if let Row::Role(known) = row
                && configured.is_called(&known.name, known.label.as_deref())
            {
                found.extend(known.permission_group);
            }
        })
        .await?;
    }
    if found.is_empty() {
        let (mut number, mut total) = (1, 1);
        while number <= total {
            let page = client.permission_groups_page(number).await?;
            total = page.pages(number, PER_PAGE).min(PERMISSION_GROUP_PAGES);
            let called = page.items.into_iter().filter(|it| configured.is_called(&it.name, it.label.as_deref()));
            found.extend(called.map(|group| group.id));
            number += 1;
        }
    }
    match found.as_slice() {
        [one] => Ok(Some(*one)),
        // A role that Cloudflare has no permission group of this name for, and that a sync may know.
        [] => newest.last().map(|_| None),
        _ => Ok(None),
    }
}

/// Shows every row of a kind.
pub(super) async fn each<P: KeyValue>(
    ports: &P,
    snapshot: &Snapshot,
    kind: Kind,
    see: &mut dyn FnMut(&Row),
) -> Result<(), Stopped> {
    Ok(snapshot.each(ports, &[kind], |row| see(&row)).await?)
}

pub(super) async fn latest<P: KeyValue>(ports: &P) -> Result<Option<Snapshot>, Stopped> {
    Ok(snapshot::latest(ports).await?)
}
