//! Read, change, write, read back: how a member's policies are changed.
//!
//! **Invariants:** between the GET whose policies are changed and the PUT that writes them there is no other I/O; what
//! is written is compared with what is read afterwards; nothing is ever sent that would leave a member without any access;
//! [`write`] and [`is_made`] alone know what a write to a member came to.

use crate::base::tree::BTreeSet;

use super::asking::Asking;
use super::guards::{self, Passage, Planned};
use super::journal::{self, State};
use super::open_writes::{self, OpenWrite};
use super::outcomes::refused;
use super::read::READ_BACK_WAITS;
use super::{apart, last_writes, late_writes, policies, read};
use crate::account::Stopped;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{Client, MemberRecord, ray_told};
use crate::model::access::{Access, Atom, Policy, atoms};
use crate::model::ask::Action;
use crate::model::id::MemberId;

/// How often the whole of GET, PUT and read-back is done: a second or third time when somebody else's write replaced ours.
const ROUNDS: usize = 3;

/// What is to be different about a member's policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// What the member shall have.
    pub grant: Vec<Atom>,
    /// What the member shall not have.
    pub revoke: Vec<Atom>,
}

impl Edit {
    /// One atom more, or less.
    pub fn of(action: Action, atom: Atom) -> Self {
        match action {
            Action::Grant => Self { grant: vec![atom], revoke: Vec::new() },
            Action::Revoke => Self { grant: Vec::new(), revoke: vec![atom] },
        }
    }

    /// The policies as they should be, or `None` where they are so already.
    pub fn apply(&self, policies: &[Policy]) -> Option<Vec<Policy>> {
        let mut edited: Option<Vec<Policy>> = None;
        for atom in &self.grant {
            edited = policies::grant(edited.as_deref().unwrap_or(policies), *atom).or(edited);
        }
        for atom in &self.revoke {
            edited = policies::revoke(edited.as_deref().unwrap_or(policies), *atom).or(edited);
        }
        edited
    }

    /// The same, and made once more what a write that came late has undone; what this edit is about is not of that.
    fn and_once_more(&self, late: &OpenWrite) -> Self {
        let (mut lost, mut back) = late.undid();
        lost.retain(|atom| !self.revoke.contains(atom));
        back.retain(|atom| !self.grant.contains(atom));
        Self { grant: [self.grant.as_slice(), &lost].concat(), revoke: [self.revoke.as_slice(), &back].concat() }
    }

    fn shows_in(&self, seen: &BTreeSet<Atom>) -> bool {
        self.grant.iter().all(|atom| seen.contains(atom)) && !self.revoke.iter().any(|atom| seen.contains(atom))
    }
}

/// How an attempt to change a member's policies ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditOutcome {
    /// It was written, and read back: this is the member since.
    Made(Box<MemberRecord>),
    /// There was nothing to write: this is the member.
    AlreadySo(Box<MemberRecord>),
    /// Writing it would have left the member without any access; nothing was sent.
    WouldBeEmpty,
    /// The member has a policy whose kind is unknown; nothing was sent.
    UnknownPolicy,
    /// It was written and is not there to be read, again and again.
    NotSeen,
}

/// How often a change is put before the guards: again where it turns out to be more than they let pass, since a late write has to
/// be taken back along with it.
const CLEARANCES: usize = 6;

/// Changes the policies of a member as just read (the first round's GET is the caller's, so that a grant that goes well
/// takes three calls in all), as far as the guards let it pass. `would` is what is told while provisioning is off.
pub(super) async fn change<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    member: MemberRecord,
    edit: &Edit,
    would: &str,
) -> Result<EditOutcome, Stopped> {
    let (ports, client, operation) = (asking.ports, asking.client, asking.operation);
    let mut wrote = false;
    let id = member.id;
    let mut given = Some(member);
    let mut passage: Option<Passage> = None;
    let (mut rounds, mut clearances) = (0, 0);
    // Nobody tells which policies are user groups', and nothing says that records show those.
    let mut untold = false;
    while rounds < ROUNDS {
        let member = match given.take() {
            Some(member) => member,
            None => read::member(ports, client, id).await?,
        };
        let member = believable(ports, client, member, Some(edit)).await?;
        let before = member.policies_to_change()?;
        if before.iter().any(|policy| policy.access == Access::Unknown) {
            return Ok(EditOutcome::UnknownPolicy);
        }
        let late = open_writes::come_late(ports, id, &atoms(&before))?;
        let edit = &late.as_ref().map_or_else(|| edit.clone(), |late| edit.and_once_more(late));
        let is_certain = untold || apart::is_certain(ports, &member)?;
        let Some(planned) = edit.apply(&before) else {
            // What a user group gives is not granted to the member.
            if !is_certain && !edit.grant.is_empty() {
                rounds += 1;
                untold = !apart::tell(asking, &member).await?;
                continue;
            }
            open_writes::shown(ports, id, &atoms(&before))?;
            open_writes::settled(ports, id, &atoms(&before))?;
            let member = Box::new(member);
            return Ok(if wrote { EditOutcome::Made(member) } else { EditOutcome::AlreadySo(member) });
        };
        if !policies::give_something(&planned) {
            return Ok(EditOutcome::WouldBeEmpty);
        }
        let (held, holds) = (atoms(&before), atoms(&planned));
        let (gains, loses) = (holds.without(&held), held.without(&holds));
        let covered = passage.as_ref().filter(|passage| is_certain && passage.covers(&gains, &loses));
        let Some(passed) = covered else {
            if clearances == CLEARANCES {
                return Ok(EditOutcome::NotSeen);
            }
            clearances += 1;
            // Whoever holds the right to it gives it up before asking again.
            drop(passage.take());
            let asked = client.sent();
            passage = Some(guards::check(asking, &Planned::policies(&member, gains, loses, would)).await?);
            if !is_certain {
                untold = !apart::tell(asking, &member).await?;
            }
            // Where something was asked meanwhile, or waited for, what is changed is read again right before the write.
            given = (is_certain && client.sent() == asked && client.is_seated()).then_some(member);
            continue;
        };
        rounds += 1;
        let sent = write(asking, &member, &planned, passed).await?;
        wrote = true;
        if !sent.is_unknown {
            open_writes::written(ports, id, operation, &holds)?;
        }
        let read_back = match read_back(ports, client, id, edit, &held).await? {
            ReadBack::Shows(_) if sent.is_unknown && sent.was_so => ReadBack::Unchanged,
            read_back => read_back,
        };
        if let ReadBack::Shows(member) = &read_back
            && is_made(asking, member, late.as_ref(), &planned, sent.ray.as_deref())?
        {
            return Ok(EditOutcome::Made(member.clone()));
        }
        // Nobody said that it was carried out, and it does not show: it is written once more, from what is there. Should it have
        // been carried out all the same, the same is written twice.
        if sent.is_unknown && matches!(read_back, ReadBack::Unchanged) {
            last_writes::note(ports, id, &held, ports.now())?;
        }
        let line = "not there to be read".to_owned() + &ray_told(sent.ray.as_deref());
        journal::note(ports, operation, State::Writing, &line, ports.now())?;
        // One passage is for one write.
        drop(passage.take());
    }
    Ok(EditOutcome::NotSeen)
}

/// What is known of a write once its answer is there, or none.
struct Sent {
    /// Nobody said whether it was carried out.
    is_unknown: bool,
    /// What was to be written was there a moment before: a read that is behind shows it, also where it is not, and for as long after this as after
    /// any other write.
    was_so: bool,
    ray: Option<String>,
}

/// Writes a member's policies, which are on disk as an open write before they are sent. That it is unknown whether they were written is no
/// error: it is settled by reading, like a write that was answered.
async fn write<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    member: &MemberRecord,
    planned: &[Policy],
    passed: &Passage,
) -> Result<Sent, Stopped> {
    let (ports, client, operation, id) = (asking.ports, asking.client, asking.operation, member.id);
    let (held, holds) = (atoms(&member.own_policies()?), atoms(planned));
    let now = ports.now();
    // Such a read proves nothing before the write is answered, whoever makes it, and whenever this is cut off.
    let was_so = last_writes::was_so_before(ports, id, &holds, now)?;
    last_writes::note(ports, id, &held, now)?;
    if !was_so {
        last_writes::note(ports, id, &holds, now)?;
    }
    let before = journal::sending(ports, operation, "writing the member's policies", now)?;
    let noted = open_writes::begin(
        ports,
        &open_writes::Write {
            operation,
            kind: open_writes::WriteKind::Policies,
            member,
            held: &held,
            planned: &holds,
            loses_admin: passed.loses_admin,
            may_replace: true,
            read_at: client.asked_at(),
            now,
        },
    )?;
    let answer = client.update_policies(&passed.cleared, id, planned).await.map(drop);
    let ray = client.ray();
    match answer {
        Ok(()) => {
            open_writes::answered(ports, noted, ray.as_deref(), false, ports.now())?;
            if was_so {
                last_writes::note(ports, id, &holds, ports.now())?;
            }
            Ok(Sent { is_unknown: false, was_so, ray })
        }
        Err(error) if error.outcome_unknown() => {
            open_writes::answered(ports, noted, ray.as_deref(), error.may_come_late(), ports.now())?;
            journal::note(ports, operation, State::Writing, &format!("outcome unknown: {error}"), ports.now())?;
            Ok(Sent { is_unknown: true, was_so, ray })
        }
        Err(error) => {
            open_writes::refused(ports, noted)?;
            // Nothing was written: what is there is what was read.
            last_writes::note(ports, id, &held, ports.now())?;
            Err(refused(ports, operation, before, error))
        }
    }
}

/// Whether a change that is read back is made, which is noted; not where a write came late, right after this one: it may show what was to
/// be changed as well, and undo what others were told.
fn is_made<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    member: &MemberRecord,
    made_again: Option<&OpenWrite>,
    planned: &[Policy],
    ray: Option<&str>,
) -> Result<bool, Stopped> {
    let (ports, seen) = (asking.ports, atoms(&member.own_policies()?));
    if open_writes::come_late(ports, member.id, &seen)?.is_some() {
        return Ok(false);
    }
    open_writes::shown(ports, member.id, &seen)?;
    if let Some(late) = made_again {
        // One that was carried out is not carried out again.
        open_writes::checked(ports, late.id, None)?;
    }
    open_writes::settled(ports, member.id, &seen)?;
    apart::note_written(ports, member, planned)?;
    if let Some(late) = made_again {
        let and = "those were made once more, and nothing needs to be done";
        late_writes::note(ports, late, and, ports.now())?;
    }
    let ray = ray_told(ray);
    journal::note(ports, asking.operation, State::Writing, &format!("written{ray} and read back"), ports.now())?;
    Ok(true)
}

/// The member from a read that is not older than our last write. Where Cloudflare goes on showing an older state, it is not believed until
/// a time that is known: by then no read is as far behind.
///
/// A write that never arrived looks like a stale read. Where the change that is `wanted` would make of the read just what was
/// written last, the two need not be told apart: the same is written again, and is right in either case. And where nobody answered that
/// write, nothing was told of it, and it goes on not to show, it is taken for one that was not carried out, as whoever sent it would take it:
/// should it be carried out after all, that is a write that comes late.
pub(super) async fn believable<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    mut member: MemberRecord,
    wanted: Option<&Edit>,
) -> Result<MemberRecord, Stopped> {
    let mut waits = READ_BACK_WAITS.into_iter();
    loop {
        let own = member.own_policies()?;
        let seen = atoms(&own);
        let Some(until) = last_writes::stale_until(ports, member.id, &seen, ports.now())? else {
            return Ok(member);
        };
        if let Some(again) = wanted.and_then(|edit| edit.apply(&own))
            && last_writes::is_latest(ports, member.id, &atoms(&again), ports.now())?
        {
            return Ok(member);
        }
        let Some(wait) = waits.next() else {
            if open_writes::is_untold(ports, member.id, &seen)? {
                last_writes::note(ports, member.id, &seen, ports.now())?;
                return Ok(member);
            }
            let message = format!("Cloudflare shows {} as before an earlier change", member.email);
            return Err(Stopped::Until(message, until));
        };
        ports.sleep(wait).await;
        member = read::member(ports, client, member.id).await?;
    }
}

/// What a member shows after a write.
enum ReadBack {
    /// What was to be changed, whatever somebody else changed besides.
    Shows(Box<MemberRecord>),
    /// What was there before, or earlier still: that is a read that is behind.
    Unchanged,
    /// Neither: somebody else wrote after us, and waiting would not bring ours back.
    Replaced,
}

/// Reads the member until the change shows, and not in a state that one of our own writes has replaced: such a read proves nothing. What else
/// differs from what was written is somebody else's doing and stays.
async fn read_back<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: MemberId,
    edit: &Edit,
    before: &BTreeSet<Atom>,
) -> Result<ReadBack, Stopped> {
    let mut waits = READ_BACK_WAITS.into_iter();
    loop {
        let member = read::member(ports, client, id).await?;
        let seen = atoms(&member.own_policies()?);
        if last_writes::stale_until(ports, id, &seen, ports.now())?.is_none() {
            if edit.shows_in(&seen) {
                return Ok(ReadBack::Shows(Box::new(member)));
            }
            if seen != *before {
                return Ok(ReadBack::Replaced);
            }
        }
        let Some(wait) = waits.next() else { return Ok(ReadBack::Unchanged) };
        ports.sleep(wait).await;
    }
}
