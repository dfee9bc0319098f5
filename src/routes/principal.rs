//! Whom the last segment of a path means: `user:<id>`, `invitation:<id>`, or an id without its type, which is all that
//! C1's generic HTTP connector can put into a URL (`reference/conductorone.md` 6.2, `.principal.id`).

use super::asking::Ports;
use super::http::Problem;
use super::paging;
use crate::base::tree::{BTreeMap, BTreeSet};
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

    /// Whom it means. An id without a type is a user's, unless the snapshot has only a membership, or only a group, under it.
    pub(super) async fn find<P: Ports>(self, ports: &P) -> Result<Principal, Problem> {
        let (user, member, group) = match self {
            Self::As(principal) => return Ok(principal),
            Self::Bare(user, member, group) => (Principal::User(user), member, Principal::Group(group)),
        };
        let snapshot = match paging::open(ports, None).await {
            Ok(snapshot) => snapshot,
            // Before the first sync nobody outside knows an invitation's id.
            Err(problem) if problem.code == paging::NO_SNAPSHOT => return Ok(user),
            Err(problem) => return Err(problem),
        };
        for principal in [user, Principal::Invitation(member), group] {
            if snapshot.get(ports, &principal.to_string()).await.map_err(paging::unreadable)?.is_some() {
                return Ok(principal);
            }
        }
        // An invitation that was accepted, and which C1 has not heard of yet: to take its id for nobody's would answer a revoke
        // as done.
        Ok(accepted(ports, &snapshot, &[member].into()).await?.get(&member).copied().unwrap_or(user))
    }
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
