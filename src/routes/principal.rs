//! Whom the last segment of a path means: `user:<id>`, `invitation:<id>`, or an id without its type, which is all that
//! C1's generic HTTP connector can put into a URL (`reference/conductorone.md` 6.2, `.principal.id`).

use super::asking::Ports;
use super::http::Problem;
use super::{paging, provisioning};
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::model::ask::Subject;
use crate::model::grant::{InvalidPrincipal, Principal};
use crate::model::id::{InvalidId, MemberId, UserGroupId, UserId};
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::snapshot::{Scan, Snapshot};

/// A principal as a path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathPrincipal {
    /// With its type.
    As(Principal),
    /// Without: what it would be as a user's id, as that of a membership which is not accepted, and as a group's.
    Bare(UserId, MemberId, UserGroupId),
}

impl PathPrincipal {
    /// Reads a segment.
    pub(super) fn parse(segment: &str) -> Result<Self, InvalidId> {
        match segment.parse() {
            Ok(principal) => Ok(Self::As(principal)),
            Err(InvalidPrincipal::Id(invalid)) => Err(invalid),
            Err(InvalidPrincipal::Shape(_)) => Ok(Self::Bare(segment.parse()?, segment.parse()?, segment.parse()?)),
        }
    }

    /// Whom it means, and as what it is named in a grant's id. An id without a type is what the snapshot has under it; where that has nothing, it
    /// may be a user's, or that of an invitation which is not there any more, and to take it for the one alone would answer a revoke as done whose
    /// access the person keeps under the other.
    pub(super) async fn find<P: Ports>(self, ports: &P) -> Result<(Principal, Subject), Problem> {
        let found = match self {
            Self::As(principal) => Some(principal),
            Self::Bare(user, member, group) => known(ports, user, member, group).await?,
        };
        match (found, self) {
            (Some(principal), _) | (None, Self::As(principal)) => Ok((principal, provisioning::subject(principal)?)),
            (None, Self::Bare(user, member, _)) => Ok((Principal::User(user), Subject::of_untyped(user, member))),
        }
    }
}

/// What the snapshot has under an id.
async fn known<P: Ports>(
    ports: &P,
    user: UserId,
    member: MemberId,
    group: UserGroupId,
) -> Result<Option<Principal>, Problem> {
    let snapshot = match paging::open(ports, None).await {
        Ok(snapshot) => snapshot,
        Err(problem) if problem.code == paging::NO_SNAPSHOT => return Ok(None),
        Err(problem) => return Err(problem),
    };
    for principal in [Principal::User(user), Principal::Invitation(member), Principal::Group(group)] {
        if snapshot.get(ports, &principal.to_string()).await.map_err(paging::unreadable)?.is_some() {
            return Ok(Some(principal));
        }
    }
    // An invitation that was accepted, and which C1 has not heard of yet.
    Ok(accepted(ports, &snapshot, &[member].into()).await?.get(&member).copied())
}

/// Who has accepted which of some invitations, as far as the snapshot has them.
pub(super) async fn accepted<P: Ports>(
    ports: &P,
    snapshot: &Snapshot,
    invitations: &BTreeSet<MemberId>,
) -> Result<BTreeMap<MemberId, Principal>, Problem> {
    let mut found = BTreeMap::new();
    let mut after = None;
    while found.len() < invitations.len() {
        let scan = Scan { kinds: vec![Kind::User], holding: None, after, limit: 1000 };
        let page = snapshot.scan(ports, &scan).await.map_err(paging::unreadable)?;
        let members = page.rows.iter().filter_map(Row::as_member);
        let wanted = members.filter(|member| invitations.contains(&member.member_id));
        found.extend(wanted.map(|member| (member.member_id, member.principal())));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}
