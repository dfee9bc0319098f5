//! A member whom the audit log names is read again: what somebody else changed is laid over the generation at once, as our own changes are.
//! Where it names a user group alone, that is done for whoever came into it or left it.

use super::asking::Asking;
use super::last_writes;
use super::lock::Locks;
use super::settings::Settings;
use super::{apart, read};
use crate::account::overlay::{self, Aftermath};
use crate::account::{Stopped, newest};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::base::tree::BTreeSet;
use crate::cloudflare::{self, ApiError, Client, GROUPS_PER_PAGE, MemberRecord, Purpose};
use crate::model::access::atoms;
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::{MemberId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::operation::EntryId;
use crate::model::resource::{Member, MemberStatus, Row};
use crate::snapshot::{Scan, Snapshot};

/// A user group whose members fill more pages than these is a sweep's.
const MOST_PAGES: u32 = 5;

/// What came of a look at a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// What was read is noted.
    Noted,
    /// The same, but for what was taken and is held again: that it was taken is to be published first.
    GivenBack,
    /// It is not believed: right after a write of ours it may be behind.
    Doubtful,
    /// There is no such membership, or none that counts.
    Gone,
    /// The record cannot be read in full, or the user groups whose policies it may show: a sweep keeps what is known of the rest.
    Sweep,
}

/// Reads a member again, under the member's lock.
pub async fn look_again<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    with: (&cloudflare::Settings, &Settings),
    locks: &Locks,
    id: MemberId,
    group: Option<UserGroupId>,
) -> Result<Look, Stopped> {
    let _turn = locks.acquire(&id.to_string(), || ports.now()).await;
    look(ports, with, locks, id, group).await
}

/// The same, where the caller has the member's lock.
async fn look<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    (cloudflare, settings): (&cloudflare::Settings, &Settings),
    locks: &Locks,
    id: MemberId,
    group: Option<UserGroupId>,
) -> Result<Look, Stopped> {
    let client = Client::new(ports, cloudflare, Purpose::Sync).seated(locks.seats());
    let newest = newest(ports).await?;
    let snapshot = newest.last()?;
    let mut record = match read::member(ports, &client, id).await {
        Ok(record) if !record.status.is_member() => return Ok(Look::Gone),
        Ok(record) if record.unread().is_some() => return Ok(Look::Sweep),
        Ok(record) => record,
        // Whom we wrote to a moment ago a read that is behind may not find yet.
        Err(ApiError::NotFound(_)) if last_writes::is_fresh(ports, id, group, ports.now())? => {
            return Ok(Look::Doubtful);
        }
        Err(ApiError::NotFound(_)) => return Ok(Look::Gone),
        Err(error) => return Err(error.into()),
    };
    if !apart::is_certain(ports, &record)? {
        // A policy that no sync has seen may be that of a user group that was made since.
        let asking = Asking {
            ports,
            settings,
            locks,
            client: &client,
            operation: EntryId(0),
            comes_again: true,
            asked_for: &[],
        };
        match apart::note(&asking, &record).await {
            // Which policies are a user group's is not told, and a sweep keeps what is known.
            Err(
                Stopped::NotNow(_)
                | Stopped::Until(..)
                | Stopped::Api(ApiError::Unreadable { .. } | ApiError::Forbidden(_)),
            ) => {
                return Ok(Look::Sweep);
            }
            told => drop(told?),
        }
        record = apart::without_theirs(ports, record)?;
    }
    let is_in = match group {
        None => None,
        Some(group) => {
            let is_in = client.is_in_group(group, id).await?;
            // Nobody is found in a group that is not found.
            if !is_in && read::members_are_known(&client, group).await? != Some(true) {
                return Ok(Look::Doubtful);
            }
            Some((group, is_in))
        }
    };
    // After the last request: where those took so long that the lock's lease ended, an operation may have written since the record was read.
    let now = ports.now();
    if let Ok(policies) = record.own_policies()
        && last_writes::stale_until(ports, id, &atoms(&policies), now)?.is_some()
    {
        return Ok(Look::Doubtful);
    }
    if let Some((group, is_in)) = is_in
        && last_writes::group_stale_until(ports, group, id, is_in, now)?.is_some()
    {
        return Ok(Look::Doubtful);
    }
    let mut left = Aftermath { member: &record, gone: false, group: is_in, about: None, is_fresh: false };
    let is_given_back = overlay::is_given_back(ports, &left)?;
    if is_given_back {
        left.group = None;
    }
    overlay::note(ports, Some(snapshot), left, ports.now()).await?;
    Ok(if is_given_back { Look::GivenBack } else { Look::Noted })
}

/// Notes that memberships are gone. Where that was seen before the members' locks were had, each is read once more, `with` these settings: an
/// operation may have been at work on the member meanwhile. Else readers are to leave them out though it cannot be read whose they were, which is a
/// sweep's to publish then.
pub async fn note_gone<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    with: Option<(&cloudflare::Settings, &Settings)>,
    locks: &Locks,
    ids: &[MemberId],
) -> Result<(), Stopped> {
    let (snapshot, known) = match whose(ports, ids).await {
        Ok((snapshot, known)) => (Some(snapshot), known),
        Err(_) if with.is_none() => (None, noted_of(ports, ids)?),
        Err(error) => return Err(error),
    };
    for member in &known {
        let _turn = locks.acquire(&member.member_id.to_string(), || ports.now()).await;
        if let Some(with) = with {
            match look(ports, with, locks, member.member_id, None).await? {
                Look::Gone => {}
                Look::Noted | Look::GivenBack => continue,
                Look::Doubtful | Look::Sweep => return Err(Stopped::NotNow("they were not gone for sure".to_owned())),
            }
        }
        let left = Aftermath { member: &stub(member), gone: true, group: None, about: None, is_fresh: false };
        overlay::note(ports, snapshot.as_ref(), left, ports.now()).await?;
    }
    Ok(())
}

/// What the changes that no generation has yet tell of memberships, and of the others no more than that they were there.
fn noted_of(sql: &dyn Sql, ids: &[MemberId]) -> Result<Vec<Member>, SqlError> {
    let noted = overlay::open(sql)?.members;
    let bare = |id| Member::bare(id, String::new(), MemberStatus::Accepted);
    let all = ids.iter().filter_map(|id| noted.get(id).map_or_else(|| Some(bare(*id)), |noted| noted.member.clone()));
    Ok(all.collect())
}

/// Whose memberships these were, by the last generation, which is given too. It is looked for once for all of them: a person's row stands under the user,
/// and what is gone tells its membership alone.
async fn whose<P: KeyValue + Sql>(ports: &P, ids: &[MemberId]) -> Result<(Snapshot, Vec<Member>), Stopped> {
    let snapshot = newest(ports).await?.last()?.clone();
    let over = overlay::over(ports, &snapshot.manifest().generation, None)?;
    let (mut known, mut unknown): (Vec<Member>, Vec<MemberId>) = (Vec::new(), Vec::new());
    for &id in ids {
        if let Some((_, noted)) = over.members.iter().find(|(member, _)| *member == id) {
            // Where it is noted to be gone, that is all.
            known.extend(noted.clone());
        } else if let Some(Row::Invitation(member)) =
            snapshot.get(ports, &Principal::Invitation(id).to_string()).await?
        {
            known.push(member);
        } else {
            unknown.push(id);
        }
    }
    let mut scan = Scan { kinds: vec![Kind::User], holding: None, after: None, limit: 1_000 };
    while !unknown.is_empty() {
        let page = snapshot.scan(ports, &scan).await?;
        for member in page.rows.iter().filter_map(Row::as_member) {
            if let Some(place) = unknown.iter().position(|id| *id == member.member_id) {
                unknown.swap_remove(place);
                known.push(member.clone());
            }
        }
        scan.after = page.next;
        // Who was never part of a generation is nobody's loss.
        if scan.after.is_none() {
            break;
        }
    }
    Ok((snapshot, known))
}

/// Whoever came into a user group or left it since the newest generation; nothing where that cannot be told, or a sweep tells it for less.
pub async fn changed_in_group<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    group: UserGroupId,
) -> Result<Option<Vec<MemberId>>, Stopped> {
    let client = Client::new(ports, cloudflare, Purpose::Sync);
    let mut now: BTreeSet<MemberId> = BTreeSet::new();
    let mut number = 1;
    loop {
        let page = match client.user_group_members_page(group, number).await {
            Ok(page) => page,
            Err(ApiError::NotFound(_) | ApiError::Forbidden(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let pages = page.pages(number, GROUPS_PER_PAGE);
        if !page.odd.is_empty() || pages > MOST_PAGES {
            return Ok(None);
        }
        now.extend(page.items.iter().map(|member| member.id));
        if number >= pages {
            break;
        }
        number += 1;
    }
    let newest = newest(ports).await?;
    let snapshot = newest.last()?.clone();
    let over = overlay::over(ports, &snapshot.manifest().generation, None)?;
    let snapshot = snapshot.with(over);
    let mut before: BTreeSet<MemberId> = BTreeSet::new();
    let holding = Some(Entitlement::Group(group));
    let mut scan = Scan { kinds: Kind::PEOPLE.to_vec(), holding, after: None, limit: 1_000 };
    loop {
        let page = snapshot.scan(ports, &scan).await?;
        before.extend(page.rows.iter().filter_map(Row::as_member).map(|member| member.member_id));
        scan.after = page.next;
        if scan.after.is_none() {
            break;
        }
    }
    Ok(Some(now.difference(&before).chain(before.difference(&now)).copied().collect()))
}

/// As much of a record as says whose it was.
fn stub(member: &Member) -> MemberRecord {
    MemberRecord {
        id: member.member_id,
        user_id: member.user_id,
        email: member.email.clone(),
        status: member.status,
        first_name: None,
        last_name: None,
        two_factor: None,
        roles: Vec::new(),
        policies: crate::cloudflare::Policies::default(),
    }
}
