//! Enough Super Administrators there must be, always: who holds the role, counted from what Cloudflare says now, user groups
//! included.

use std::collections::BTreeSet;

use super::execute;
use super::guards::{groups_with, present, refuse};
use super::request::Refusal;
use super::resolve::{Unresolved, each, latest};
use crate::cloudflare::{ApiError, Client, GROUPS_PER_PAGE, MemberRecord, PER_PAGE, UserGroup};
use crate::config::Config;
use crate::model::access::{Access, Atom, atoms};
use crate::model::id::{MemberId, PermissionGroupId, UserGroupId};
use crate::model::resource::{Kind, MemberStatus};
use crate::ports::{Clock, Http, KeyValue, Sql};
use crate::sync;

/// The role id of Super Administrator, which the roles list leaves out.
const ROLE: &str = "33666b9c79b9a5273fc7344ff42f953d";

/// The label of its permission group.
const LABEL: &str = "super_admin";

/// So many pages of a list are read at most: 50,000 members.
const MAX_PAGES: u32 = 1_000;

/// The permission group of Super Administrator: as a sync learned it, or else asked for.
async fn permission_group<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
) -> Result<Option<PermissionGroupId>, Unresolved> {
    if let Ok(role) = ROLE.parse()
        && let Some(group) = sync::permission_group_of(ports, role)?
    {
        return Ok(Some(group));
    }
    find(async |number| {
        let page = client.permission_groups_page(number).await?;
        let found = page.items.iter().find(|group| group.label.as_deref() == Some(LABEL)).map(|group| group.id);
        Ok(Seen { found, count: page.items.len(), full: PER_PAGE, total: page.info.and_then(|info| info.total_pages) })
    })
    .await
}

/// Whether a member would stop being Super Administrator were the atom, or everything, taken away.
pub(super) async fn loses<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
    lost: Option<Atom>,
) -> Result<bool, Unresolved> {
    let Some(group) = permission_group(ports, client).await? else { return Ok(false) };
    let own = atoms(&member.own_policies());
    Ok(own.iter().filter(|atom| gives(group)(atom)).any(|atom| lost.is_none_or(|lost| lost == *atom)))
}

/// Whether a member is Super Administrator, of their own or through a user group.
pub(super) async fn is_one<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    member: &MemberRecord,
) -> Result<bool, Unresolved> {
    match permission_group(ports, client).await? {
        Some(group) => holds(client, ports, member, group).await,
        None => Ok(false),
    }
}

/// Whether a user group makes its members Super Administrators.
pub(super) async fn made_by<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    user_group: UserGroupId,
) -> Result<bool, Unresolved> {
    let Some(group) = permission_group(ports, client).await? else { return Ok(false) };
    Ok(present(client.user_group(user_group).await)?.is_some_and(|found| makes(&found, group)))
}

/// So many other accepted Super Administrators there must be. Those that the last sync saw are asked for first, each by
/// itself; where they do not suffice, the whole list is read, for one who became so since.
pub(super) async fn enough<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    config: &Config,
    client: &Client<'_, P>,
    member: &MemberRecord,
) -> Result<(), Unresolved> {
    let Some(group) = permission_group(ports, client).await? else { return Ok(()) };
    let mut count = Count { left: 0, least: config.guards.min_super_admins, seen: [member.id].into() };
    for candidate in candidates(ports, group).await? {
        if !count.seen.insert(candidate) {
            continue;
        }
        let Some(other) = present(execute::read(ports, client, candidate).await)? else { continue };
        if other.status == MemberStatus::Accepted && holds(client, ports, &other, group).await? && count.one() {
            return Ok(());
        }
    }
    if fresh(ports, client, group, &mut count).await? {
        return Ok(());
    }
    let (left, least) = (count.left, count.least);
    refuse(
        Refusal::MinSuperAdmins,
        format!(
            "Only {left} Super Administrators would be left besides {}, and MIN_SUPER_ADMINS asks for {least}. Make somebody else Super Administrator first.",
            member.email
        ),
    )
}

struct Count {
    left: usize,
    least: usize,
    seen: BTreeSet<MemberId>,
}

impl Count {
    /// One more; whether that is enough.
    const fn one(&mut self) -> bool {
        self.left += 1;
        self.left >= self.least
    }
}

/// Counts on through the list of members as it is now; whether there are enough.
async fn fresh<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    group: PermissionGroupId,
    count: &mut Count,
) -> Result<bool, Unresolved> {
    let through = through_groups(client, group).await?;
    let inherited = sync::group_policies(ports)?;
    let found = find(async |number| {
        let page = client.members_page(number).await?;
        let total = page.info.as_ref().and_then(|info| info.total_pages);
        let (size, mut found) = (page.items.len(), None);
        for other in page.items {
            let other = other.without_inherited(&inherited);
            let is_one = other.status == MemberStatus::Accepted
                && (through.contains(&other.id) || atoms(&other.own_policies()).iter().any(gives(group)));
            if is_one && count.seen.insert(other.id) && count.one() {
                found = Some(());
                break;
            }
        }
        Ok(Seen { found, count: size, full: PER_PAGE, total })
    })
    .await?;
    Ok(found.is_some())
}

/// The members of the user groups that make Super Administrators. An account without user groups has none.
async fn through_groups<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    group: PermissionGroupId,
) -> Result<BTreeSet<MemberId>, Unresolved> {
    let mut making = Vec::new();
    let read = find(async |number| {
        let page = client.user_groups_page(number).await?;
        making.extend(page.items.iter().filter(|found| makes(found, group)).map(|found| found.id));
        let total = page.info.and_then(|info| info.total_pages);
        Ok(Seen { found: None::<()>, count: page.items.len(), full: GROUPS_PER_PAGE, total })
    })
    .await;
    match read {
        Ok(_) => {}
        Err(Unresolved::Api(ApiError::Forbidden(_) | ApiError::NotFound(_) | ApiError::Invalid(_))) => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(error),
    }
    let mut members = BTreeSet::new();
    for user_group in making {
        find(async |number| {
            let page = client.user_group_members_page(user_group, number).await?;
            members.extend(page.items.iter().map(|member| member.id));
            let total = page.info.and_then(|info| info.total_pages);
            Ok(Seen { found: None::<()>, count: page.items.len(), full: GROUPS_PER_PAGE, total })
        })
        .await?;
    }
    Ok(members)
}

/// The memberships that the last snapshot has as Super Administrators, of their own or through a user group.
async fn candidates<P: KeyValue>(ports: &P, group: PermissionGroupId) -> Result<Vec<MemberId>, Unresolved> {
    let Some(snapshot) = latest(ports).await? else { return Ok(Vec::new()) };
    let through = groups_with(ports, &snapshot, |atom| atom.permission_group == group).await?;
    let mut found = Vec::new();
    each(ports, &snapshot, Kind::User, |row| {
        let Some(member) = row.as_member() else { return };
        let own = member.atoms.iter().any(gives(group));
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
    if atoms(&member.own_policies()).iter().any(gives(group)) {
        return Ok(true);
    }
    let Some(snapshot) = latest(ports).await? else { return Ok(false) };
    for (id, _) in groups_with(ports, &snapshot, |atom| atom.permission_group == group).await? {
        let Some(user_group) = present(client.user_group(id).await)? else { continue };
        if makes(&user_group, group) && client.is_in_group(id, member.id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn makes(user_group: &UserGroup, group: PermissionGroupId) -> bool {
    user_group.policies.iter().flat_map(|policy| atoms(&[policy.policy()])).any(|atom| gives(group)(&atom))
}

fn gives(group: PermissionGroupId) -> impl Fn(&Atom) -> bool {
    move |atom| atom.access == Access::Allow && atom.permission_group == group
}

/// What a page of a list showed.
struct Seen<T> {
    found: Option<T>,
    count: usize,
    full: u32,
    total: Option<u32>,
}

/// Reads a list page by page until something is found or the list ends (`reference/cloudflare.md` 3.6).
async fn find<T>(mut read: impl AsyncFnMut(u32) -> Result<Seen<T>, ApiError>) -> Result<Option<T>, Unresolved> {
    for number in 1..=MAX_PAGES {
        let seen = read(number).await?;
        if seen.found.is_some() {
            return Ok(seen.found);
        }
        let last = match seen.total {
            Some(total) => number >= total,
            None => seen.count < usize::try_from(seen.full).unwrap_or(usize::MAX),
        };
        if last || seen.count == 0 {
            return Ok(None);
        }
    }
    Ok(None)
}
