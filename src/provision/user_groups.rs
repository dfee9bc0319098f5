//! The account's user groups, as Cloudflare tells now: a list of them that says of no group that it is gone where that is not certain.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::read::present;
use super::resolve::each;
use super::shared::UserGroups;
use crate::account::{self, Stopped, inherited};
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::{ApiError, Client, GROUPS_PER_PAGE, Policies, UserGroup};
use crate::model::id::UserGroupId;
use crate::model::kind::Kind;
use crate::model::resource::Row;

/// Pages of user groups that are read at most.
const MAX_USER_GROUP_PAGES: u32 = 20;

/// All user groups; an error where one of them cannot be read, not even which one it is.
pub(super) fn all<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
) -> impl Future<Output = Result<UserGroups, Stopped>> {
    listed(ports, client, true)
}

/// Those that can be read, as the list tells them: enough where what is left out counts for nothing.
pub(super) fn readable<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
) -> impl Future<Output = Result<UserGroups, Stopped>> {
    listed(ports, client, false)
}

/// A list of several pages of which one may have slipped from one page to another tells nothing of what is not on it, nor does one that
/// is longer than what is read, nor one that is not there all of a sudden. One that has fewer records than it says is read twice, since what Cloudflare
/// counts may be wrong for good; at once, since an attempt has no time for more, and those that the last sync saw are asked for besides. What a group gives
/// that is told without policies, its own record tells.
async fn listed<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    all: bool,
) -> Result<UserGroups, Stopped> {
    let mut before: Option<BTreeMap<UserGroupId, UserGroup>> = None;
    let mut counted = BTreeSet::new();
    loop {
        let mut groups: BTreeMap<UserGroupId, UserGroup> = BTreeMap::new();
        let (mut number, mut total, mut records) = (1, 1, 0);
        while number <= total {
            let page = match client.user_groups_page(number).await {
                Ok(page) => page,
                Err(ApiError::NotFound(_)) if number == 1 => return absent(ports).await,
                Err(error @ ApiError::Forbidden(_)) => return Ok(UserGroups::Hidden(error)),
                Err(error) => return Err(error.into()),
            };
            for odd in page.odd.iter().filter(|_| all) {
                let Some(group) = UserGroup::unread(odd) else {
                    return Err(ApiError::Unreadable { of: "a user group".to_owned(), what: odd.why.clone() }.into());
                };
                groups.insert(group.id, group);
            }
            total = page.pages(number, GROUPS_PER_PAGE);
            if total > MAX_USER_GROUP_PAGES {
                return Err(Stopped::NotNow(format!(
                    "the list of user groups has {total} pages, and {MAX_USER_GROUP_PAGES} are looked through at most"
                )));
            }
            counted.extend(page.info.as_ref().and_then(|info| info.total_count));
            records += page.items.len() + page.odd.len();
            groups.extend(page.items.into_iter().map(|group| (group.id, group)));
            number += 1;
        }
        let is_other = before.as_ref().is_some_and(|before| !before.keys().eq(groups.keys()));
        let has_one_twice = all && number > 2 && groups.len() < records;
        if is_other || has_one_twice || counted.len() > 1 {
            return Err(Stopped::NotNow("the list of user groups changed while it was looked through".to_owned()));
        }
        let is_short = counted.first().is_some_and(|count| usize::try_from(*count).is_ok_and(|count| count > records));
        if is_short && before.is_none() {
            before = Some(groups);
            continue;
        }
        if is_short || records == 0 {
            none_left_out(ports, client, &groups).await?;
        }
        if all {
            tell_the_silent(ports, client, &mut groups).await?;
        }
        return Ok(UserGroups::Listed(groups.into_values().collect()));
    }
}

/// Asks the groups themselves that are told without policies, since a list may have left them out: but for those of which the syncs know that they
/// give nothing. A generation does not tell these: it names few of those that could not be read in full, and its list may be that of before.
async fn tell_the_silent<P: Http + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    groups: &mut BTreeMap<UserGroupId, UserGroup>,
) -> Result<(), Stopped> {
    let known = inherited::known_to_give_nothing(ports)?;
    for group in groups.values_mut().filter(|group| group.is_silent) {
        let key = inherited::silent_key(group);
        if known.contains(&key) {
            continue;
        }
        let told = present(client.user_group(group.id).await);
        // Somebody accepted what the list tells: so it is where the group's own record cannot be read for good.
        if !matches!(told, Ok(Some(_))) && known.contains(&inherited::accepted_key(&key)) {
            continue;
        }
        match told? {
            Some(told) => *group = told,
            // The list had it just now: that it is not found says nothing of what it gives.
            None => group.policies = Policies::default().and_unread("its own record is not found"),
        }
    }
    Ok(())
}

/// How many of the groups that a list does not have are asked for.
const GROUPS_ASKED_FOR: usize = 10;

/// A list without any, or with fewer than it says, may be an answer that left some out: those that the last sync saw are asked for by their ids.
async fn none_left_out<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    listed: &BTreeMap<UserGroupId, UserGroup>,
) -> Result<(), Stopped> {
    let newest = account::newest(ports).await?;
    let known = match newest.last() {
        // Nothing was published yet.
        Err(_) if newest.is_last => return Ok(()),
        known => known?,
    };
    let mut missing = Vec::new();
    if known.manifest().counts.of(Kind::Group) > 0 {
        each(ports, known, Kind::Group, &mut |row| {
            if let Row::Group(group) = row
                && missing.len() < GROUPS_ASKED_FOR
                && !listed.contains_key(&group.id)
            {
                missing.push(group.id);
            }
        })
        .await?;
    }
    for group in missing {
        if present(client.user_group(group).await)?.is_some() {
            return Err(Stopped::NotNow(format!(
                "Cloudflare lists no user group {group} and tells of it all the same"
            )));
        }
    }
    Ok(())
}

/// Cloudflare says that there is no such list. It may say so for a moment only, where there may be some: also where a sync met the same fault.
async fn absent<P: KeyValue + Sql>(ports: &P) -> Result<UserGroups, Stopped> {
    if account::newest(ports).await?.may_have_user_groups() {
        let message = "Cloudflare lists no user groups, and there may be some: where there are none any more, start a sync with accept_removals";
        return Err(Stopped::NotNow(message.to_owned()));
    }
    Ok(UserGroups::Absent)
}
