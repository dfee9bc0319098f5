//! Lists of several pages that moved while they were read. What leaves a page that is read already moves the first of the next page onto it, and
//! that one is on none of those that are read (`reference/cloudflare.md` 3.6): it would be published as gone. Members have passes of their own for
//! that; every other list is read once more.

use super::crawl::{Crawl, List, Off, PageFacts};
use super::harvest::{read_list, sightings};
use super::previous::Previous;
use super::run::Cursor;
use super::staging;
use crate::account::overlay::Changes;
use crate::base::ports::{Clock, Sql, SqlError};
use crate::base::tree::BTreeSet;
use crate::cloudflare::PermissionGroup;
use crate::model::id::{MemberId, PermissionGroupId, TokenId, UserGroupId};
use crate::model::resource::Token;

/// A list is read this often again at most; one that has moved each time is off, and what was known of it stays.
const MAX_READ_AGAIN: usize = 3;

/// Sees to it that a list is read again that moved while it was read, or of which something is missing that is known; whether there is one.
pub(super) fn read_again<P: Clock + Sql>(
    ports: &P,
    crawl: &mut Crawl,
    cursor: &mut Cursor,
    previous: Option<&Previous>,
    changes: &Changes,
) -> Result<bool, SqlError> {
    let mut again = false;
    for list in crawl.unsure_lists() {
        let name = list.to_string();
        let times = cursor.read_again.iter().filter(|read| **read == name).count();
        let has_moved = crawl.totals_differ(list);
        // What is missing once more is gone, unless the list itself says that there is more.
        let tells_more = crawl.tells_more(list);
        let lacks =
            (times == 0 || tells_more) && !has_moved && lacks_known(ports, crawl, cursor, list, previous, changes)?;
        if !has_moved && !lacks {
            continue;
        }
        if times < MAX_READ_AGAIN {
            cursor.read_again.push(name);
            staging::forget(ports, &cursor.run, list)?;
            crawl.forget(list);
            again = true;
        } else if previous.is_some() {
            let message = if has_moved { "changed each time while it was read" } else { "tells of more than it gives" };
            let off = Off { status: None, code: None, message: format!("the list {message}"), passing: true };
            let facts = PageFacts { off: Some(off), at: ports.now(), ..PageFacts::default() };
            let Some((last, _)) = crawl.pages(list).last() else { continue };
            staging::store(ports, &cursor.run, last, &facts, Vec::new())?;
            crawl.on_page(last, facts);
        }
    }
    Ok(again)
}

/// Whether a list lacks something that the current generation has, and that none of our own operations took off it.
fn lacks_known(
    sql: &dyn Sql,
    crawl: &Crawl,
    cursor: &Cursor,
    list: List,
    previous: Option<&Previous>,
    changes: &Changes,
) -> Result<bool, SqlError> {
    // Before the first generation only the list itself says that something is missing.
    let Some(previous) = previous else { return Ok(crawl.tells_more(list) && !crawl.is_cut_off(list)) };
    let pages = || crawl.pages(list).map(|(page, _)| page);
    Ok(match list {
        List::UserGroups => {
            let told: BTreeSet<UserGroupId> = crawl.groups().collect();
            previous.groups.iter().any(|group| !told.contains(&group.id))
        }
        List::GroupMembers(group) => {
            let mut told: BTreeSet<MemberId> = BTreeSet::new();
            for page in pages() {
                told.extend(read_list::<MemberId>(sql, &cursor.run, page)?);
            }
            let seen = sightings(crawl, &cursor.further.confirm);
            let is_there = |id| [&seen.first, &seen.second, &seen.confirmed].iter().any(|seen| seen.contains(id));
            let is_ours = |id| changes.members.get(id).is_some_and(|change| change.groups.contains_key(&group));
            previous
                .memberships
                .iter()
                .any(|(id, groups)| groups.contains(&group) && !told.contains(id) && is_there(id) && !is_ours(id))
        }
        List::Tokens => {
            let mut told: BTreeSet<TokenId> = BTreeSet::new();
            for page in pages() {
                told.extend(read_list::<Token>(sql, &cursor.run, page)?.into_iter().map(|token| token.id));
            }
            previous.tokens.iter().any(|token| !told.contains(&token.id))
        }
        // A permission group may be known of a member alone: only where the list says that it has more is one missing.
        List::PermissionGroups if crawl.tells_more(list) => {
            let mut told: BTreeSet<PermissionGroupId> = BTreeSet::new();
            for page in pages() {
                told.extend(read_list::<PermissionGroup>(sql, &cursor.run, page)?.into_iter().map(|group| group.id));
            }
            let of_roles = previous.roles.iter().filter_map(|role| role.permission_group);
            let scoped = previous.scoped_roles.iter().map(|role| role.permission_group);
            of_roles.chain(scoped).any(|group| !told.contains(&group))
        }
        _ => false,
    })
}
