//! What a sync learns of whose the policies are that members' records show ([`inherited`]).

use crate::base::tree::BTreeSet;

use super::crawl::List;
use super::harvest::Harvest;
use super::previous::Previous;
use crate::account::inherited;
use crate::base::ports::{Clock, Http, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, Client, GROUPS_PER_PAGE, UserGroup};
use crate::model::id::MemberId;

/// How many user groups are looked into, a member of each, until one of them tells.
const GROUPS_LOOKED_INTO: usize = 3;

/// Pages of user groups that are read at most.
const MAX_PAGES: u32 = 20;

/// How many groups that are told without policies are asked for themselves.
const GROUPS_ASKED_FOR: usize = 10;

/// A user group that gave something in the generation before, and is told without policies now, is asked for itself: the list may have left them out. Where
/// that cannot be told, they are not read, unless that generation says so of the group already, and somebody accepts the lists as they are: such a group is
/// asked for wherever it stands. Of more groups than are asked for the list is believed where each that was asked for says the same.
pub(super) async fn ask_the_silent<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    harvest: &mut Harvest,
    previous: &Previous,
) -> Result<(), SqlError> {
    let Ok(groups) = &mut harvest.user_groups else { return Ok(()) };
    let gave = |id| previous.groups.iter().any(|group| group.id == id && !group.atoms.is_empty());
    let is_empty = |group: &UserGroup| group.policies.all().is_ok_and(<[_]>::is_empty);
    let mut is_right = true;
    for (place, group) in groups.iter_mut().filter(|group| is_empty(group) && gave(group.id)).enumerate() {
        let is_accepted = previous.accepts_one("user_groups", &group.id.to_string());
        if place < GROUPS_ASKED_FOR || is_accepted {
            match client.user_group(group.id).await {
                Ok(told) => {
                    *group = told;
                    is_right &= is_empty(group);
                    continue;
                }
                Err(ApiError::Storage(error)) => return Err(error),
                Err(_) => is_right = false,
            }
        }
        if !is_right && !is_accepted {
            group.policies =
                std::mem::take(&mut group.policies).and_unread("no policies are told, nor what its own record says");
        }
    }
    Ok(())
}

/// What a crawl that is all read teaches, with a request or two of its own. Whatever fails, nothing is learned.
pub(super) async fn learn<P: Http + Clock + Sql>(
    sql: &dyn Sql,
    client: &Client<'_, P>,
    harvest: &Harvest,
    began: Timestamp,
) -> Result<(), SqlError> {
    let groups = match &harvest.user_groups {
        Ok(groups) => groups.as_slice(),
        // The account has no such thing, or so it seems: those that it had are remembered.
        Err(off) if matches!(off.status, Some(404 | 410)) => &[],
        Err(_) => return Ok(()),
    };
    let stored = inherited::group_policies(sql)?;
    let mut before: BTreeSet<String> = groups.iter().flat_map(inherited::policy_ids).cloned().collect();
    // What is not told of a group is not its members' own for that: an id is never used again.
    if harvest.user_groups.is_err()
        || harvest.odd(List::UserGroups).next().is_some()
        || groups.iter().any(|group| group.policies.all().is_err())
    {
        before = before.union(&stored);
    }
    let listed = || harvest.members.iter().flat_map(|member| member.policies).filter_map(|policy| policy.id);
    // Nor is what some member shows still: the group may have been told without policies by mistake.
    for id in listed().filter(|id| stored.contains(&**id)) {
        before.insert(id.to_string());
    }
    let known = inherited::shows_inherited(sql)?;
    let giving = groups.iter().filter_map(|group| {
        inherited::policy_ids(group).next()?;
        let members = harvest.group_members.get(&group.id)?.as_ref().ok()?;
        let complete = |id: &&MemberId| harvest.members.is_unread(**id) == Some(false);
        Some((group, *members.iter().find(complete)?))
    });
    for (group, member) in giving.take(GROUPS_LOOKED_INTO) {
        match inherited::shows(client, group, member, known == Some(false)).await {
            Ok(Some(shows)) => {
                inherited::learn_inherited(sql, shows)?;
                break;
            }
            Ok(None) => {}
            Err(ApiError::Storage(error)) => return Err(error),
            Err(_) => break,
        }
    }
    if inherited::shows_inherited(sql)? == Some(false) {
        inherited::note_group_policies(sql, &before)?;
        return inherited::forget(sql);
    }
    // The groups were read before the members. Read once more afterwards, they tell which of the members' policies are nobody else's.
    let (after, is_all) = groups_now(client).await?;
    let mut theirs = after.union(&before);
    // That no group gives anything any more may be an answer that left them out, or one of a moment when there was no such list.
    let is_certain = is_all && (before.is_empty() || !after.is_empty());
    if !is_certain {
        // What an operation noted meanwhile is not forgotten by that.
        theirs = theirs.union(&inherited::group_policies(sql)?);
    }
    inherited::note_group_policies(sql, &theirs)?;
    if !is_certain {
        return Ok(());
    }
    let own = listed().filter(|id| !theirs.contains(&**id));
    inherited::note_seen(sql, own, began)
}

/// The ids of the policies that user groups have now, as far as they are told, and whether these are all.
async fn groups_now<P: Http + Clock + Sql>(client: &Client<'_, P>) -> Result<(BTreeSet<String>, bool), SqlError> {
    let mut ids = BTreeSet::new();
    let (mut number, mut total, mut is_all) = (1, 1, true);
    while number <= total {
        let page = match client.user_groups_page(number).await {
            Ok(page) => page,
            Err(ApiError::Storage(error)) => return Err(error),
            Err(error) => return Ok((ids, number == 1 && matches!(error, ApiError::NotFound(_)))),
        };
        total = page.pages(number, GROUPS_PER_PAGE);
        is_all &= page.odd.is_empty() && page.items.iter().all(|group| group.policies.all().is_ok());
        ids.extend(page.items.iter().flat_map(inherited::policy_ids).cloned());
        if total > MAX_PAGES {
            return Ok((ids, false));
        }
        number += 1;
    }
    Ok((ids, is_all))
}
