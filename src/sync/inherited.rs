//! What a sync learns of whose the policies are that members' records show ([`inherited`]).

use crate::base::tree::BTreeSet;

use super::crawl::List;
use super::harvest::Harvest;
use super::previous::Previous;
use crate::account::inherited;
use crate::base::ports::{Clock, Http, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, Client, GROUPS_PER_PAGE, UserGroup};
use crate::model::id::{MemberId, UserGroupId};

/// How many user groups are looked into, a member of each, until one of them tells.
const GROUPS_LOOKED_INTO: usize = 3;

/// Pages of user groups that are read at most.
const MAX_PAGES: u32 = 20;

/// How many groups that gave something in the generation before, and are told without policies, are asked for themselves.
const GROUPS_ASKED_FOR: u32 = 10;

/// How long those that no sync was told of are asked for: each may take as long as an answer is waited for.
pub(super) const ASKED_FOR_SECS: i64 = 60;

/// A user group that gave something in the generation before, and is told without policies now, is asked for itself: the list may have left them out. So is
/// one that no sync was told of, or that changed since, `room` of them at most, and none `until` or later: which of them give nothing is remembered, and the
/// next syncs ask for the others. Where it cannot be told, they are not read, unless that generation says so of the group already, and somebody accepts the lists as they are: such a group is
/// asked for wherever it stands. Of more groups that gave something than are asked for the list is believed where each that was asked for says the same.
/// Whether any group's policies are not as the list tells them.
pub(super) async fn ask_the_silent<P: Http + Clock + Sql>(
    sql: &dyn Sql,
    client: &Client<'_, P>,
    harvest: &mut Harvest,
    previous: Option<&Previous>,
    room: u32,
    until: Timestamp,
) -> Result<bool, SqlError> {
    let Ok(groups) = &mut harvest.user_groups else { return Ok(false) };
    let before = inherited::known_to_give_nothing(sql)?;
    let gave_before = |id: UserGroupId| {
        previous.is_some_and(|it| it.groups.iter().any(|group| group.id == id && !group.atoms.is_empty()))
    };
    let is_empty = |group: &UserGroup| group.policies.all().is_ok_and(<[_]>::is_empty);
    let (mut of_new, mut of_known, mut is_right, mut is_unsure) = (room, GROUPS_ASKED_FOR, true, false);
    let mut silent = BTreeSet::new();
    // What was accepted stands: those come last, so that they take nothing from the others, of which nothing is told until they are asked.
    let was_accepted =
        |group: &&mut UserGroup| before.contains(&inherited::accepted_key(&inherited::silent_key(group)));
    let (last, first): (Vec<_>, Vec<_>) = groups.iter_mut().filter(|group| is_empty(group)).partition(was_accepted);
    for group in first.into_iter().chain(last) {
        // As the list has it: what its own record tells may be of later, and the next list then tells of a change.
        let (key, is_silent, gave) = (inherited::silent_key(group), group.is_silent, gave_before(group.id));
        let (mut is_told, accepted) = (true, inherited::accepted_key(&key));
        if gave || (is_silent && !before.contains(&key)) {
            is_unsure = true;
            let is_accepted = previous.is_some_and(|it| it.accepts_one("user_groups", &group.id.to_string()));
            if client.asked_at().is_some_and(|at| at >= until) {
                of_new = 0;
            }
            let left = if gave { &mut of_known } else { &mut of_new };
            is_told = false;
            if *left > 0 || is_accepted {
                *left = left.saturating_sub(1);
                match client.user_group(group.id).await {
                    Ok(told) => {
                        (*group, is_told) = (told, true);
                        is_right &= !gave || is_empty(group);
                    }
                    Err(ApiError::Storage(error)) => return Err(error),
                    Err(_) => is_right &= !gave,
                }
            }
            is_told |= gave && is_right;
            let stays = is_accepted || (!gave && before.contains(&accepted));
            if !is_told && !stays {
                group.policies = std::mem::take(&mut group.policies)
                    .and_unread("no policies are told, nor what its own record says");
            }
        }
        if is_silent && is_empty(group) {
            silent.insert(if is_told { key } else { accepted });
        }
    }
    // One that was doubted meanwhile is asked for again.
    let now = inherited::known_to_give_nothing(sql)?;
    silent.retain(|key| !before.contains(key) || now.contains(key));
    if silent != now {
        inherited::note_giving_nothing(sql, &silent)?;
    }
    Ok(is_unsure)
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
    let (after, is_all) = groups_now(client, groups).await?;
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

/// The ids of the policies that user groups have now, as far as they are told, and whether these are all, beside those that are `known`.
async fn groups_now<P: Http + Clock + Sql>(
    client: &Client<'_, P>,
    known: &[UserGroup],
) -> Result<(BTreeSet<String>, bool), SqlError> {
    // What one gives that is told without policies is known by its own record alone.
    let is_told = |group: &UserGroup| {
        let is_read = |known: &UserGroup| known.id == group.id && known.policies.all().is_ok();
        group.policies.all().is_ok() && (!group.is_silent || known.iter().any(is_read))
    };
    let mut ids = BTreeSet::new();
    let (mut number, mut total, mut is_all) = (1, 1, true);
    while number <= total {
        let page = match client.user_groups_page(number).await {
            Ok(page) => page,
            Err(ApiError::Storage(error)) => return Err(error),
            Err(error) => return Ok((ids, number == 1 && matches!(error, ApiError::NotFound(_)))),
        };
        total = page.pages(number, GROUPS_PER_PAGE);
        is_all &= page.odd.is_empty() && page.items.iter().all(is_told);
        ids.extend(page.items.iter().flat_map(inherited::policy_ids).cloned());
        if total > MAX_PAGES {
            return Ok((ids, false));
        }
        number += 1;
    }
    Ok((ids, is_all))
}
