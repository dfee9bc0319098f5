//! Reading a member, and what became of what was read.

use crate::account::{Stopped, inherited};
use crate::base::ports::{Clock, Http, Sql};
use crate::cloudflare::{ApiError, Client, MemberRecord};
use crate::model::id::MemberId;

/// The wait before a member is read again whose record came without something.
const READ_AGAIN_WAIT: u32 = 500;

/// Reads a member. Policies that are a user group's, where Cloudflare lists those too, are not the member's own: written back
/// they would become so.
pub(super) async fn member<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: MemberId,
) -> Result<MemberRecord, ApiError> {
    let mut member = client.member(id).await?;
    if member.unread().is_some() {
        // An answer that leaves something out may be followed by one that does not.
        ports.sleep(READ_AGAIN_WAIT).await;
        member = client.member(id).await?;
    }
    let theirs = inherited::group_policies(ports)?;
    if inherited::shown(&member).iter().any(|id| theirs.contains(id)) {
        inherited::learn_inherited(ports, true)?;
    }
    Ok(member.without_inherited(&theirs))
}

/// What was read, or nothing where it is gone.
pub(super) fn present<T>(read: Result<T, ApiError>) -> Result<Option<T>, Stopped> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ApiError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
