//! Reading a member, and what became of what was read.

use super::last_writes;
use crate::account::{Stopped, inherited};
use crate::base::ports::{Clock, Http, Sql};
use crate::cloudflare::{ApiError, Client, MemberRecord, UserGroup};
use crate::model::id::{MemberId, UserGroupId};

/// Waits before each further read-back: reads may be stale for a moment after a write (`reference/cloudflare.md` 2.4).
pub(super) const READ_BACK_WAITS: [u32; 3] = [500, 1_000, 2_000];

/// Reads a member. Policies that are a user group's, where Cloudflare lists those too, are not the member's own: written back
/// they would become so.
pub(super) async fn member<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: MemberId,
) -> Result<MemberRecord, ApiError> {
    member_within(ports, client, id, &READ_BACK_WAITS[..1]).await
}

/// The same, read again after each of these waits where the record came without something, or could not be read: all of [`READ_BACK_WAITS`] for the
/// member whom an operation is about, the first alone for one of many.
pub(super) async fn member_within<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: MemberId,
    waits: &[u32],
) -> Result<MemberRecord, ApiError> {
    let mut waits = waits.iter().copied();
    let member = loop {
        let told = client.member(id).await;
        let is_whole = match &told {
            Ok(member) => member.unread().is_none(),
            Err(error) => !matches!(error, ApiError::Unreadable { .. }),
        };
        // An answer that leaves something out may be followed by one that does not.
        let Some(wait) = waits.next().filter(|_| !is_whole) else { break told? };
        ports.sleep(wait).await;
    };
    let theirs = inherited::group_policies(ports)?;
    if inherited::shown(&member).iter().any(|id| theirs.contains(id)) {
        inherited::learn_inherited(ports, true)?;
    }
    Ok(member.without_inherited(&theirs))
}

/// Whether a member shows in a user group, by a read that is not older than our own last change of that.
pub(super) async fn shows_in_group<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    (group, name): (UserGroupId, &str),
    member: MemberId,
) -> Result<bool, Stopped> {
    let mut waits = READ_BACK_WAITS.into_iter();
    loop {
        let is_in = client.is_in_group(group, member).await?;
        let Some(until) = last_writes::group_stale_until(ports, group, member, is_in, ports.now())? else {
            return Ok(is_in);
        };
        let Some(wait) = waits.next() else {
            return Err(Stopped::Until(
                format!("Cloudflare shows the group {name} as before an earlier change"),
                until,
            ));
        };
        ports.sleep(wait).await;
    }
}

/// Whether a member is in a user group, for certain; an error where the group is too new for Cloudflare to know its members: then nobody is
/// found in it (`reference/cloudflare.md` 2.7).
pub(super) async fn is_in_group<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    group: &UserGroup,
    member: MemberId,
) -> Result<bool, Stopped> {
    if shows_in_group(ports, client, (group.id, &group.name), member).await? {
        return Ok(true);
    }
    match members_are_known(client, group.id).await? {
        Some(true) => Ok(false),
        // It was on the list just now, so that it cannot be found is no proof that it is gone.
        Some(false) | None => {
            Err(Stopped::NotNow(format!("Cloudflare does not know the members of the group {} yet", group.name)))
        }
    }
}

/// Whether Cloudflare knows who is in a user group; `None` where it does not find the group, which the list alone proves to be gone.
pub(super) async fn members_are_known<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    group: UserGroupId,
) -> Result<Option<bool>, ApiError> {
    match client.user_group_members_page(group, 1).await {
        // A group with an invalid policy refuses the list alone.
        Ok(_) | Err(ApiError::Invalid(_)) => Ok(Some(true)),
        Err(ApiError::NotFound(_)) => match client.user_group(group).await {
            Ok(_) => Ok(Some(false)),
            // There is no such path in an account without user groups.
            Err(error) if error.is_nowhere() => Ok(None),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// What was read, or nothing where it is gone.
pub(super) fn present<T>(read: Result<T, ApiError>) -> Result<Option<T>, Stopped> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
