//! Whom the last segment of a path means: `user:<id>`, `invitation:<id>`, or an id without its type, which is all that
//! C1's generic HTTP connector can put into a URL (`reference/conductorone.md` 6.2, `.principal.id`).

use super::problem::Problem;
use super::{World, paging};
use crate::model::grant::Principal;
use crate::model::id::{InvalidId, MemberId, UserGroupId, UserId};
use crate::sync::snapshot::{self, SnapshotError};

/// A principal as a path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// With its type.
    As(Principal),
    /// Without: what it would be as a user's id, as that of a membership which is not accepted, and as a group's.
    Bare(UserId, MemberId, UserGroupId),
}

impl Named {
    /// Reads a segment.
    pub(super) fn parse(segment: &str) -> Result<Self, InvalidId> {
        Ok(match segment.split_once(':') {
            Some(("user", id)) => Self::As(Principal::User(id.parse::<UserId>()?)),
            Some(("invitation", id)) => Self::As(Principal::Invitation(id.parse::<MemberId>()?)),
            Some(("group", id)) => Self::As(Principal::Group(id.parse::<UserGroupId>()?)),
            _ => Self::Bare(segment.parse()?, segment.parse()?, segment.parse()?),
        })
    }

    /// Whom it means. An id without a type is a user's, unless the snapshot has only an invitation, or only a group, under it.
    pub(super) async fn find<P: World>(self, ports: &P) -> Result<Principal, Problem> {
        let (user, others) = match self {
            Self::As(principal) => return Ok(principal),
            Self::Bare(user, member, group) => {
                (Principal::User(user), [Principal::Invitation(member), Principal::Group(group)])
            }
        };
        // Without a snapshot nobody outside knows an invitation's id yet.
        let snapshot = match snapshot::latest(ports).await {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) | Err(SnapshotError::NoneYet) => return Ok(user),
            Err(error) => return Err(paging::unreadable(error)),
        };
        for principal in [user].into_iter().chain(others) {
            if snapshot.get(ports, &principal.to_string()).await.map_err(paging::unreadable)?.is_some() {
                return Ok(principal);
            }
        }
        Ok(user)
    }
}
