//! The lists of a snapshot, page by page.

use super::asking::Ports;
use super::catalog::{self, Item};
use super::http::{Answer, Incoming, Problem};
use super::paging::{self, Cursor, ListQuery};
use super::route::List;
use crate::model::grant::Entitlement;
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::snapshot::{Scan, Snapshot};

/// Lists resources, entitlements or grants.
pub(super) async fn list<P: Ports>(ports: &P, list: List, request: &Incoming) -> Result<Answer, Problem> {
    let listing = ListReader::begin(ports, request).await?;
    let kinds: &[Kind] = match &list {
        List::Resources(kind) => std::slice::from_ref(kind),
        List::Entitlements => Kind::OFFERING,
        List::Grants => Kind::HOLDERS,
    };
    let items_of = |row: &Row, snapshot: &Snapshot| match list {
        List::Resources(_) => vec![catalog::resource(row, snapshot.manifest())],
        List::Entitlements => catalog::entitlement(row).into_iter().collect(),
        List::Grants => catalog::grants(row, snapshot.manifest()),
    };
    listing.rows(kinds, None, &items_of).await
}

/// Lists who holds an entitlement; `principal_type=user` leaves out invitations and groups. With `missing=empty` nobody
/// holds what the snapshot does not have, where it is 404 otherwise: a client that walks a list of roles and asks for each
/// one's holders may come to a role that was there when the list began, and is gone with a newer generation.
pub(super) async fn holders<P: Ports>(
    ports: &P,
    entitlement: Entitlement,
    request: &Incoming,
) -> Result<Answer, Problem> {
    let kinds = match request.param("principal_type") {
        None | Some("") => Kind::HOLDERS.to_vec(),
        Some(name) => match Kind::parse(name).filter(|kind| kind.facts().holds) {
            Some(kind) => vec![kind],
            None => return Err(Problem::invalid("principal_type must be user, invitation or group")),
        },
    };
    let missing_is_empty = match request.param("missing") {
        None | Some("") => false,
        Some("empty") => true,
        Some(_) => return Err(Problem::invalid("missing must be empty, or left out")),
    };
    let mut listing = ListReader::begin(ports, request).await?;
    let mut is_known = has(ports, &listing.snapshot, entitlement).await?;
    if !is_known && listing.asked.cursor.is_none() {
        // The list that it is known from may be of a newer generation than KV shows here.
        listing.snapshot = paging::open_newest(ports).await?;
        is_known = has(ports, &listing.snapshot, entitlement).await?;
    }
    if !is_known && missing_is_empty {
        return Ok(paging::page(request, &listing.snapshot, Vec::<Item>::new(), None));
    }
    if !is_known {
        return Err(Problem::new(404, "not_found", format!("the snapshot has no {}", entitlement.resource())));
    }
    listing.rows(&kinds, Some(entitlement), &|row, _| catalog::holder(row, entitlement).into_iter().collect()).await
}

/// Whether a snapshot has what somebody may hold. What nobody held when the account was looked through may be held since.
async fn has<P: Ports>(ports: &P, snapshot: &Snapshot, entitlement: Entitlement) -> Result<bool, Problem> {
    let resource = snapshot.get(ports, &entitlement.resource()).await.map_err(paging::unreadable)?;
    Ok(resource.is_some() || snapshot.is_held_since(entitlement))
}

/// Shows one person by the row's key, or one scoped role or token with all that it reaches.
pub(super) async fn one<P: Ports>(ports: &P, key: &str, request: &Incoming) -> Result<Answer, Problem> {
    let snapshot = paging::open(ports, None).await?;
    match snapshot.get(ports, key).await.map_err(paging::unreadable)? {
        Some(row) => Ok(paging::tagged(request, &snapshot, &catalog::reach(&row, snapshot.manifest()))),
        None => Err(Problem::new(404, "not_found", format!("the snapshot has no {key}"))),
    }
}

/// The items that a row of a list stands for.
pub(super) type ItemsOf<'a> = &'a dyn Fn(&Row, &Snapshot) -> Vec<Item>;

/// A list that is being read.
pub(super) struct ListReader<'a, P> {
    ports: &'a P,
    request: &'a Incoming,
    asked: ListQuery,
    pub(super) snapshot: Snapshot,
}

impl<'a, P: Ports> ListReader<'a, P> {
    pub(super) async fn begin(ports: &'a P, request: &'a Incoming) -> Result<Self, Problem> {
        let asked = paging::asked(request)?;
        let snapshot = paging::open(ports, asked.cursor.as_ref()).await?;
        Ok(Self { ports, request, asked, snapshot })
    }

    /// One page of the items that rows stand for. A row may stand for many (a person's grants), so a page may end within one.
    pub(super) async fn rows(
        self,
        kinds: &[Kind],
        holding: Option<Entitlement>,
        items_of: ItemsOf<'_>,
    ) -> Result<Answer, Problem> {
        let mut items = Vec::new();
        let next = self.walk(kinds, holding, items_of, &mut items).await?;
        Ok(paging::page(self.request, &self.snapshot, items, next.as_ref()))
    }

    /// Goes through the rows of a page, and takes of the items of each what there is room for, past what was given already. Gives where the next page
    /// begins.
    async fn walk(
        &self,
        kinds: &[Kind],
        holding: Option<Entitlement>,
        items_of: ItemsOf<'_>,
        items: &mut Vec<Item>,
    ) -> Result<Option<Cursor>, Problem> {
        let (mut after, mut within) =
            self.asked.cursor.clone().map(|cursor| (cursor.after, cursor.within)).unwrap_or_default();
        let mut room = self.asked.limit;
        loop {
            let scan = Scan { kinds: kinds.to_vec(), holding, after, limit: room };
            let page = self.snapshot.scan(self.ports, &scan).await.map_err(paging::unreadable)?;
            let mut before = scan.after;
            for row in &page.rows {
                let key = row.key();
                let skip = within.take().filter(|(within, _)| *within == key).map_or(0, |(_, given)| given);
                let of_row = items_of(row, &self.snapshot);
                let left = of_row.len().saturating_sub(skip);
                items.extend(of_row.into_iter().skip(skip).take(room));
                if left > room {
                    return Ok(Some(Cursor::of(&self.snapshot, before, Some((key, skip + room)))));
                }
                room -= left;
                before = Some(key);
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
            // An empty page would make some clients stop; a scan that was cut short by its budget goes on here.
            if room < self.asked.limit {
                return Ok(Some(Cursor::of(&self.snapshot, after, None)));
            }
        }
    }
}
