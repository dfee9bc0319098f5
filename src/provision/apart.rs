//! Tells the policies of a member's own from those of user groups before the former are written: one of a group's that is written back
//! would become the member's own. Most accounts' records show the former alone, or a sync has seen their ids
//! ([`inherited::is_all_own`]), and nothing is asked; else the user groups are, once for all who want to know at the same moment.

use crate::base::order;
use crate::base::tree::BTreeSet;
use std::rc::Rc;

use super::asking::Asking;
use super::read;
use super::shared::UserGroups;
use super::user_groups;
use crate::account::{Stopped, inherited};
use crate::base::ports::{Clock, Http, KeyValue, Sql, SqlError};
use crate::cloudflare::{ApiError, Client, MemberRecord, UserGroup};
use crate::model::access::Policy;

/// How many user groups are looked into for a member whose record tells whether it shows what the group gives.
const GROUPS_LOOKED_INTO: usize = 5;

/// The user groups as Cloudflare tells now: from a request that was begun after this was called. Of many callers one asks, and those
/// that came before it began wait for its answer; should it fail or be cut off, the next one asks.
pub(super) async fn user_groups<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
) -> Result<Rc<UserGroups>, Stopped> {
    let shared = asking.locks.user_groups();
    let asker = shared.ask();
    // Whoever has this lock waits for no other one.
    let _turn = asking.locks.acquire_at_rest("user groups", asking.ports, asking.client, asking.operation).await;
    if let Some(groups) = asker.read_since() {
        return Ok(groups);
    }
    let begun = shared.asked();
    let groups = Rc::new(user_groups::all(asking.ports, asking.client).await?);
    shared.keep(begun, &groups);
    Ok(groups)
}

/// Whether what a member shows is certain to be the member's own, so that it may be written back.
pub(super) fn is_certain(ports: &dyn Sql, member: &MemberRecord) -> Result<bool, SqlError> {
    Ok(inherited::shows_inherited(ports)? == Some(false) || inherited::is_all_own(ports, member)?)
}

/// Asks which of the policies that a member was just seen to have are user groups'. The member is read again afterwards. `false` where
/// nobody tells, and records are not known to show them.
pub(super) async fn tell<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    member: &MemberRecord,
) -> Result<bool, Stopped> {
    let ports = asking.ports;
    let Some(groups) = note(asking, member).await? else { return Ok(false) };
    if inherited::shows_inherited(ports)?.is_none() {
        let _turn = asking.locks.acquire_at_rest("what records show", ports, asking.client, asking.operation).await;
        if inherited::shows_inherited(ports)?.is_none() {
            learn(ports, asking.client, groups.listed()).await?;
        }
    }
    Ok(true)
}

/// Notes which of the policies that a member was just seen to have are user groups', and which are the member's own; nothing where nobody tells,
/// and records are not known to show them.
pub(super) async fn note<P: Http + KeyValue + Clock + Sql>(
    asking: &Asking<'_, '_, P>,
    member: &MemberRecord,
) -> Result<Option<Rc<UserGroups>>, Stopped> {
    let ports = asking.ports;
    let groups = user_groups(asking).await?;
    if let UserGroups::Hidden(error) = &*groups {
        return if inherited::shows_inherited(ports)?.is_none() { Ok(None) } else { Err(error.clone().into()) };
    }
    for group in groups.listed() {
        // What a group gives that does not tell it may be shown by its members alone.
        if let Err(what) = group.policies.all()
            && read::is_in_group(ports, asking.client, group, member.id).await?
        {
            let of = format!("the user group {}", group.name);
            return Err(ApiError::Unreadable { of, what: what.to_owned() }.into());
        }
    }
    // Others may have noted more while it was asked who is in a group.
    let mut theirs = inherited::group_policies(ports)?;
    theirs.extend(groups.listed().iter().flat_map(inherited::policy_ids).cloned());
    // The next sync forgets those that are gone.
    inherited::note_group_policies(ports, &theirs)?;
    // What the member had before the groups were read, and they did not have, is no group's.
    let own: BTreeSet<String> = inherited::shown(member).into_iter().filter(|id| !theirs.contains(id)).collect();
    inherited::note_own(ports, member.id, &own, ports.now())?;
    Ok(Some(groups))
}

/// A member without the policies that are known to be user groups'.
pub(super) fn without_theirs(sql: &dyn Sql, member: MemberRecord) -> Result<MemberRecord, SqlError> {
    Ok(member.without_inherited(&inherited::group_policies(sql)?))
}

/// A member for readers, after an operation that read the member and did not change their policies. It waits for nobody to tell whose those are: where one
/// may be a user group's, readers go on with what is known of the member.
pub(super) fn for_readers(sql: &dyn Sql, member: &MemberRecord) -> Result<MemberRecord, SqlError> {
    let mut member = member.clone();
    if !is_certain(sql, &member)? {
        member.policies = member.policies.and_unread("which policies are user groups' is not told");
    }
    Ok(member)
}

/// Learns, once for the account, whether a member's record shows the policies of the member's user groups.
async fn learn<P: Http + Clock + Sql>(ports: &P, client: &Client<'_, P>, groups: &[UserGroup]) -> Result<(), Stopped> {
    let giving = groups.iter().filter(|group| inherited::policy_ids(group).next().is_some());
    for group in giving.take(GROUPS_LOOKED_INTO) {
        let page = match client.user_group_members_page(group.id, 1).await {
            Ok(page) => page,
            Err(ApiError::NotFound(_) | ApiError::Invalid(_) | ApiError::Forbidden(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(one) = page.items.first() else { continue };
        if let Some(shows) = inherited::shows(client, group, one.id, false).await? {
            return Ok(inherited::learn_inherited(ports, shows)?);
        }
    }
    Ok(())
}

/// Notes that a member's policies are the member's own, where they are just those that were written: one of a group's would be there
/// beside them.
pub(super) fn note_written<P: Clock + Sql>(
    ports: &P,
    member: &MemberRecord,
    written: &[Policy],
) -> Result<(), SqlError> {
    if inherited::shows_inherited(ports)? == Some(false)
        || sorted(&member.own_policies().unwrap_or_default()) != sorted(written)
    {
        return Ok(());
    }
    inherited::note_own(ports, member.id, &inherited::shown(member), ports.now())
}

fn sorted(policies: &[Policy]) -> Vec<Policy> {
    let mut policies = policies.to_vec();
    for policy in &mut policies {
        order::sort(&mut policy.permission_groups);
        order::sort(&mut policy.resource_groups);
    }
    order::sort_by(&mut policies, |a, b| {
        (a.access as u8, &a.permission_groups, &a.resource_groups).cmp(&(
            b.access as u8,
            &b.permission_groups,
            &b.resource_groups,
        ))
    });
    policies
}
