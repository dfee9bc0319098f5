//! Lists of several pages that moved while they were read. What leaves a page that is read already moves the first of the next page onto it, and
//! that one is on none of those that are read (`reference/cloudflare.md` 3.6): it would be published as gone. Members have passes of their own for
//! that; every other list is read once more.

use std::fmt::Display;

use super::crawl::{Crawl, List, Off, PageFacts, id_hash};
use super::harvest::{Sightings, sightings};
use super::previous::Previous;
use super::run::Cursor;
use super::staging;
use crate::account::overlay::Changes;
use crate::base::ports::{Clock, Sql, SqlError};
use crate::snapshot::TELLS_MORE;

/// A list is read this often again at most; one that has moved each time is off, and what was known of it stays.
const MAX_READ_AGAIN: usize = 3;

/// Sees to it that a list is read again that moved while it was read, or of which something is missing that is known; whether there is one. A
/// list that tells of more than it gives is taken as it is where it was off for that, and somebody accepts it.
pub(super) fn read_again<P: Clock + Sql>(
    ports: &P,
    crawl: &mut Crawl,
    cursor: &mut Cursor,
    previous: Option<&Previous>,
    changes: &Changes,
) -> Result<bool, SqlError> {
    let (mut again, mut seen) = (false, None);
    for list in crawl.unsure_lists() {
        let name = list.to_string();
        let times = cursor.read_again.iter().filter(|read| **read == name).count();
        let has_moved = crawl.totals_differ(list);
        // What is missing once more is gone, unless the list itself says that there is more, and nobody accepts that there is not.
        let is_accepted = previous.is_some_and(|previous| previous.accepts_more(list));
        let tells_more = crawl.tells_more(list) && !is_accepted;
        let lacks =
            (times == 0 || tells_more) && !has_moved && lacks_known(crawl, cursor, list, previous, changes, &mut seen);
        if !has_moved && !lacks {
            continue;
        }
        if times < MAX_READ_AGAIN {
            cursor.read_again.push(name);
            staging::forget(ports, &cursor.run, list)?;
            crawl.forget(list);
            again = true;
        } else if previous.is_some() {
            let message = if has_moved { "changed each time while it was read" } else { TELLS_MORE };
            let off = Off { status: None, code: None, message: format!("the list {message}"), passing: true };
            let facts = PageFacts { off: Some(off), at: ports.now(), ..PageFacts::default() };
            let Some((last, _)) = crawl.pages(list).last() else { continue };
            staging::store(ports, &cursor.run, last, &facts, Vec::new())?;
            crawl.on_page(last, facts);
        }
    }
    Ok(again)
}

/// Whether a list lacks something that the current generation has, and that none of our own operations took off it. Who was seen is looked up once for
/// all lists: there may be thousands.
fn lacks_known(
    crawl: &Crawl,
    cursor: &Cursor,
    list: List,
    previous: Option<&Previous>,
    changes: &Changes,
    seen: &mut Option<Sightings>,
) -> bool {
    // Before the first generation only the list itself says that something is missing.
    let Some(previous) = previous else { return crawl.tells_more(list) && !crawl.is_cut_off(list) };
    let given = crawl.given(list);
    let lacks = |id: &dyn Display| !given.contains(&id_hash(&id.to_string()));
    match list {
        List::UserGroups => previous.groups.iter().any(|group| lacks(&group.id)),
        List::GroupMembers(group) => {
            let seen = seen.get_or_insert_with(|| sightings(crawl, &cursor.further.confirm));
            let is_ours = |id| changes.members.get(id).is_some_and(|change| change.groups.contains_key(&group));
            previous
                .memberships
                .iter()
                .any(|(id, groups)| groups.contains(&group) && lacks(id) && seen.has(id) && !is_ours(id))
        }
        List::Tokens => previous.tokens.iter().any(|token| lacks(&token.id)),
        // One may be known of a member alone: its list is read once more for that, and no oftener unless it says that it has more.
        List::PermissionGroups => {
            let of_roles = previous.roles.iter().filter_map(|role| role.permission_group);
            let scoped = previous.scoped_roles.iter().map(|role| role.permission_group);
            of_roles.chain(scoped).any(|group| lacks(&group))
        }
        _ => false,
    }
}
