//! Read, change, write, read back: how one atom is granted or revoked.
//!
//! **Invariants:** between the GET whose policies are changed and the PUT that writes them there is no other I/O; what
//! is written is compared with what is read afterwards; nothing is ever sent that would leave a member without a policy.

use std::collections::BTreeSet;

use super::foreign::{self, Window};
use super::journal::{self, EntryId, State};
use super::{doubt, policies, written};
use crate::cloudflare::{ApiError, Client, MemberRecord};
use crate::conductorone::payload::Action;
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::id::MemberId;
use crate::ports::{Clock, Http, Sql};
use crate::sync;

/// How often the whole of GET, PUT and read-back is done: a second or third time when somebody else's write replaced ours.
const ROUNDS: usize = 3;

/// Waits before each further read-back: reads may be stale for a moment after a write (`reference/cloudflare.md` 2.4).
pub(super) const READ_BACK_WAITS: [u32; 3] = [500, 1_000, 2_000];

/// How an attempt to change one atom of one member ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was written, and read back: this is the member since.
    Made(Box<MemberRecord>),
    /// There was nothing to write: this is the member.
    AlreadySo(Box<MemberRecord>),
    /// Writing it would have left the member without any policy; nothing was sent.
    WouldBeEmpty,
    /// The member has a policy whose kind is unknown; nothing was sent.
    UnknownPolicy,
    /// It was written and is not there to be read, again and again.
    NotSeen,
}

/// Reads a member. Policies that are a user group's, where Cloudflare lists those too, are not the member's own: written back
/// they would become so.
pub(super) async fn read<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: MemberId,
) -> Result<MemberRecord, ApiError> {
    Ok(client.member(id).await?.without_inherited(&sync::group_policies(ports)?))
}

/// Grants or revokes `atom`, given the member as just read (the first round's GET is the caller's, so that a grant that
/// goes well takes three calls in all).
pub async fn change<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    operation: EntryId,
    member: MemberRecord,
    action: Action,
    atom: Atom,
) -> Result<Change, ApiError> {
    let mut wrote = false;
    let id = member.id;
    // The caller's GET came immediately before; the clock has not moved since its answer.
    let mut read_at = ports.now();
    let mut given = Some(member);
    for _ in 0..ROUNDS {
        let member = if let Some(member) = given.take() {
            member
        } else {
            read_at = ports.now();
            read(ports, client, id).await?
        };
        let Some(member) = believable(ports, client, member).await? else { return Ok(Change::NotSeen) };
        let before = member.own_policies();
        if before.iter().any(|policy| policy.access == Access::Unknown) {
            return Ok(Change::UnknownPolicy);
        }
        let Some(planned) = apply(action, &before, atom) else {
            let member = Box::new(member);
            return Ok(if wrote { Change::Made(member) } else { Change::AlreadySo(member) });
        };
        if planned.is_empty() {
            return Ok(Change::WouldBeEmpty);
        }
        written::note(ports, id, &atoms(&before), ports.now())?;
        written::note(ports, id, &atoms(&planned), ports.now())?;
        let line = format!("{}the member's policies", journal::WRITING);
        journal::note(ports, operation, State::Writing, &line, ports.now())?;
        // A write whose outcome is unknown is settled by reading, like one that was answered.
        match client.update_policies(id, &planned).await {
            Ok(_) => {
                journal::note(ports, operation, State::Writing, &super::answered(client), ports.now())?;
            }
            Err(error) if error.outcome_unknown() => {
                doubt::lost(ports, id, operation, &atoms(&planned), ports.now())?;
                journal::note(ports, operation, State::Writing, &format!("outcome unknown: {error}"), ports.now())?;
            }
            Err(error) => return Err(error),
        }
        wrote = true;
        let (written_at, ray) = (ports.now(), client.last_ray());
        if let Some(member) = read_back(ports, client, id, action, atom, &atoms(&before)).await? {
            journal::note(ports, operation, State::Writing, "read back", ports.now())?;
            doubt::seen(ports, id, &atoms(&member.own_policies()))?;
            let window = Window { operation, member: id, read_at, written_at, ray: ray.as_deref() };
            foreign::note(ports, &window, ports.now())?;
            return Ok(Change::Made(Box::new(member)));
        }
        journal::note(ports, operation, State::Writing, "not there to be read", ports.now())?;
    }
    Ok(Change::NotSeen)
}

/// The policies as they should be, or `None` where they are so already.
pub fn apply(action: Action, policies: &[Policy], atom: Atom) -> Option<Vec<Policy>> {
    match action {
        Action::Grant => policies::grant(policies, atom),
        Action::Revoke => policies::revoke(policies, atom),
    }
}

/// The member from a read that is not older than our last write; `None` where Cloudflare goes on showing an older state.
pub(super) async fn believable<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    mut member: MemberRecord,
) -> Result<Option<MemberRecord>, ApiError> {
    let mut waits = READ_BACK_WAITS.into_iter();
    loop {
        if !written::is_stale(ports, member.id, &atoms(&member.own_policies()), ports.now())? {
            return Ok(Some(member));
        }
        let Some(wait) = waits.next() else { return Ok(None) };
        ports.sleep(wait).await;
        member = read(ports, client, member.id).await?;
    }
}

/// Reads the member until the change shows; `None` where it does not. What else differs from what was written is somebody else's doing and stays.
async fn read_back<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: MemberId,
    action: Action,
    atom: Atom,
    before: &BTreeSet<Atom>,
) -> Result<Option<MemberRecord>, ApiError> {
    let mut waits = READ_BACK_WAITS.into_iter();
    loop {
        let member = read(ports, client, id).await?;
        let seen = atoms(&member.own_policies());
        if seen.contains(&atom) == (action == Action::Grant) {
            return Ok(Some(member));
        }
        // Neither ours nor what was there before: somebody else wrote after us, and waiting would not bring ours back.
        if seen != *before {
            return Ok(None);
        }
        let Some(wait) = waits.next() else { return Ok(None) };
        ports.sleep(wait).await;
    }
}
