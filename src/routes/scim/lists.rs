//! `GET /Users`, `GET /Groups`, and the same by `/.search`.

use crate::base::tree::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::call::{Call, Params, json_answer};
use super::endpoint::Kind as Of;
use crate::model::grant::Entitlement;
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::routes::asking::Ports;
use crate::routes::http::{Answer, Problem};
use crate::routes::paging;
use crate::scim::query::{self, Query};
use crate::scim::{GROUP, USER, id, resource};
use crate::snapshot::{Scan, Snapshot};

/// A page of Groups ends before it has more members than this: 2 MB of JSON, far from what an isolate holds.
const MEMBERS_PER_PAGE: usize = 10_000;

/// Lists.
pub(super) async fn list<P: Ports>(call: &Call<'_, P>, of: Of, params: &Params) -> Result<Answer, Problem> {
    let (known, schema): (&[&str], &str) = match of {
        Of::User => (&resource::USER_FILTERS, USER),
        Of::Group => (&resource::GROUP_FILTERS, GROUP),
    };
    let query = query::read(&|name| params.get(name), known, schema)?;
    let snapshot = paging::open(call.ports, None).await?;
    let (total, resources) = match of {
        Of::User => users(call, &snapshot, &query).await?,
        Of::Group => groups(call, &snapshot, &query).await?,
    };
    let resources: Vec<Value> = resources.into_iter().map(|one| query.projection.apply(one)).collect();
    Ok(json_answer(200, &resource::list(total, query.start, resources)))
}

async fn users<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
    query: &Query,
) -> Result<(usize, Vec<Value>), Problem> {
    let offered = offered(call, snapshot).await?;
    let before = query.start - 1;
    let filter = query.filter.as_ref();
    if let Some(only) = filter.and_then(|filter| filter.only_id()) {
        let row = match id::principal(only) {
            Some(principal) => snapshot.get(call.ports, &principal.to_string()).await.map_err(paging::unreadable)?,
            None => None,
        };
        let found = row.as_ref().and_then(|row| user(&call.base, snapshot, row, &offered));
        let found: Vec<Value> =
            found.into_iter().filter(|one| filter.is_none_or(|filter| filter.matches(one))).collect();
        return Ok((found.len(), found.into_iter().skip(before).take(query.count).collect()));
    }
    // Without a filter, the manifest knows how many there are and where the page begins; but not what the overlay hides.
    let counted = filter.is_none() && !snapshot.freshness().1;
    let (after, mut skip) = if counted {
        snapshot.seek(call.ports, Kind::PEOPLE, before).await.map_err(paging::unreadable)?
    } else {
        (None, before)
    };
    let mut page = Vec::new();
    let mut total = 0;
    let mut scan = Scan { kinds: Kind::PEOPLE.to_vec(), holding: None, after, limit: query::COUNTS.1 };
    if counted {
        scan.limit = skip + query.count;
    }
    while !counted || page.len() < query.count {
        let found = snapshot.scan(call.ports, &scan).await.map_err(paging::unreadable)?;
        for row in &found.rows {
            let Some(one) = user(&call.base, snapshot, row, &offered) else { continue };
            if filter.is_some_and(|filter| !filter.matches(&one)) {
                continue;
            }
            total += 1;
            if skip > 0 {
                skip -= 1;
            } else if page.len() < query.count {
                page.push(one);
            }
        }
        scan.after = found.next;
        if scan.after.is_none() {
            break;
        }
    }
    if counted {
        let counts = snapshot.manifest().counts;
        total = usize::try_from(counts.people()).unwrap_or(usize::MAX);
    }
    Ok((total, page))
}

async fn groups<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
    query: &Query,
) -> Result<(usize, Vec<Value>), Problem> {
    let mut offered: Vec<(Entitlement, String)> = offered(call, snapshot).await?.into_iter().collect();
    let filter = query.filter.as_ref();
    let mut members = None;
    if filter.is_some_and(|filter| filter.reads("members")) {
        // Where the filter names one Group, the members of the others change nothing: all together may be more than an isolate holds.
        let only = filter.and_then(|filter| filter.only_id());
        let is_asked = |one: &Entitlement| only.is_none_or(|only| only == id::of_entitlement(*one));
        let asked = offered.iter().map(|(one, _)| *one).filter(is_asked).collect();
        members = Some(holders(call, snapshot, &asked, usize::MAX).await?);
    }
    if let Some(filter) = filter {
        offered.retain(|(entitlement, name)| {
            let of = members.as_ref().and_then(|members| members.get(entitlement)).cloned();
            filter.matches(&resource::group(&call.base, *entitlement, name, Some(of.unwrap_or_default())))
        });
    }
    let total = offered.len();
    let page: Vec<_> = offered.into_iter().skip(query.start - 1).take(query.count).collect();
    if members.is_none() && query.projection.returns("members") {
        members = Some(holders(call, snapshot, &page.iter().map(|(one, _)| *one).collect(), MEMBERS_PER_PAGE).await?);
    }
    let mut resources = Vec::new();
    let mut shown = 0;
    for (entitlement, name) in page {
        let of = members.as_mut().map(|members| members.remove(&entitlement).unwrap_or_default());
        shown += of.as_ref().map_or(0, Vec::len);
        if shown > MEMBERS_PER_PAGE && !resources.is_empty() {
            break;
        }
        resources.push(resource::group(&call.base, entitlement, &name, of));
    }
    Ok((total, resources))
}

/// A person's row as a User.
pub(super) fn user(
    base: &str,
    snapshot: &Snapshot,
    row: &Row,
    offered: &BTreeMap<Entitlement, String>,
) -> Option<Value> {
    let member = row.as_member()?;
    let held = snapshot.manifest().grants_of(row).into_iter();
    let groups: Vec<Value> =
        held.map(|(held, _)| resource::reference(base, held, offered.get(&held).map(String::as_str))).collect();
    Some(resource::user(base, member, groups))
}

/// Everything that can be granted, with its name, in the order of its id.
pub(super) async fn offered<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
) -> Result<BTreeMap<Entitlement, String>, Problem> {
    let mut offered = BTreeMap::new();
    each(call, snapshot, Kind::OFFERING, None, &mut |row| offered.extend(row.offered())).await?;
    Ok(offered)
}

/// The members of some Groups: of the first ones, as far as they have no more than `most` together, and one more Group that has more than that, so that
/// a page which ends before it can tell.
pub(super) async fn holders<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
    wanted: &BTreeSet<Entitlement>,
    most: usize,
) -> Result<BTreeMap<Entitlement, Vec<Value>>, Problem> {
    let mut members: BTreeMap<Entitlement, Vec<Value>> = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(members);
    }
    // One alone is looked for where the manifest says that somebody holds it.
    let only = wanted.first().copied().filter(|_| wanted.len() == 1);
    let mut count = 0;
    each(call, snapshot, Kind::HOLDERS, only, &mut |row| {
        for (held, _) in snapshot.manifest().grants_of(row) {
            if wanted.contains(&held) {
                let Some(member) = resource::member(&call.base, row) else { continue };
                members.entry(held).or_default().push(member);
                count += 1;
            }
        }
        while let Some((last, before)) = members
            .last_key_value()
            .map(|(last, theirs)| (*last, count - theirs.len()))
            .filter(|(_, before)| *before > most)
        {
            members.remove(&last);
            count = before;
        }
    })
    .await?;
    Ok(members)
}

async fn each<P: Ports>(
    call: &Call<'_, P>,
    snapshot: &Snapshot,
    kinds: &[Kind],
    holding: Option<Entitlement>,
    see: &mut dyn FnMut(&Row),
) -> Result<(), Problem> {
    let mut scan = Scan { kinds: kinds.to_vec(), holding, after: None, limit: query::COUNTS.1 };
    loop {
        let page = snapshot.scan(call.ports, &scan).await.map_err(paging::unreadable)?;
        page.rows.iter().for_each(&mut *see);
        scan.after = page.next;
        if scan.after.is_none() {
            return Ok(());
        }
    }
}
