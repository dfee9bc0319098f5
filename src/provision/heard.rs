//! A member whom the audit log names is read again: what somebody else changed is laid over the generation at once, as our own changes are.

use super::last_writes;
use super::lock::Locks;
use super::read;
use crate::account::overlay::{self, Aftermath};
use crate::account::{Stopped, newest};
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{self, ApiError, Client, MemberRecord, Purpose};
use crate::model::access::atoms;
use crate::model::grant::Principal;
use crate::model::id::{MemberId, UserGroupId};
use crate::model::resource::{Member, Row};
use crate::snapshot::{Scan, Snapshot};

/// Reads a member again, under the member's lock. Gives whether what was read is believed: right after a write of ours it may be behind.
pub async fn look_again<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    cloudflare: &cloudflare::Settings,
    locks: &Locks,
    id: MemberId,
    group: Option<UserGroupId>,
) -> Result<bool, Stopped> {
    let _turn = locks.acquire(&id.to_string(), || ports.now()).await;
    let client = Client::new(ports, cloudflare, Purpose::Sync).seated(locks.seats());
    let newest = newest(ports).await?;
    let snapshot = newest.last()?;
    let record = match read::member(ports, &client, id).await {
        Ok(record) => record,
        Err(ApiError::NotFound(_)) => {
            // Who was never part of a generation is nobody's loss.
            if let Some(known) = known(ports, snapshot, id).await? {
                let left = Aftermath { member: &stub(&known), gone: true, group: None };
                overlay::note(ports, Some(snapshot), left, ports.now()).await?;
            }
            return Ok(true);
        }
        Err(error) => return Err(error.into()),
    };
    if let Ok(policies) = record.own_policies()
        && last_writes::stale_until(ports, id, &atoms(&policies), ports.now())?.is_some()
    {
        return Ok(false);
    }
    let is_in = match group {
        None => None,
        Some(group) => {
            let is_in = client.is_in_group(group, id).await?;
            if last_writes::group_stale_until(ports, group, id, is_in, ports.now())?.is_some() {
                return Ok(false);
            }
            Some((group, is_in))
        }
    };
    let left = Aftermath { member: &record, gone: false, group: is_in };
    overlay::note(ports, Some(snapshot), left, ports.now()).await?;
    Ok(true)
}

/// The row that the generation, or what was laid over it since, has of a membership.
async fn known<P: KeyValue>(ports: &P, snapshot: &Snapshot, id: MemberId) -> Result<Option<Member>, Stopped> {
    if let Some(Row::Invitation(member)) = snapshot.get(ports, &Principal::Invitation(id).to_string()).await? {
        return Ok(Some(member));
    }
    let kinds = vec![crate::model::kind::Kind::User];
    let mut scan = Scan { kinds, holding: None, after: None, limit: 1_000 };
    loop {
        let page = snapshot.scan(ports, &scan).await?;
        let mut rows = page.rows.iter().filter_map(Row::as_member);
        if let Some(member) = rows.find(|member| member.member_id == id) {
            return Ok(Some(member.clone()));
        }
        scan.after = page.next;
        if scan.after.is_none() {
            return Ok(None);
        }
    }
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
