//! Members that our own operations changed after a generation was crawled, laid over it by those who read it: so that C1 does not see
//! a grant disappear that it has just been told of.
//!
//! **Invariant:** a member of the overlay stands in for every row of that membership, whatever its key: an invitation that was
//! accepted, or a member who is gone, leaves no row behind.

use crate::base::json::Deserialize;
use crate::base::tree::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::manifest::Manifest;
use super::scan::{RowPage, Scan};
use crate::model::id::MemberId;
use crate::model::resource::{Member, Row};

/// Changed members, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// How many changes were taken in: a reader that names it again gets the same overlay.
    pub seq: i64,
    /// The members, and those who are gone.
    pub members: Vec<(MemberId, Option<Member>)>,
}

/// An overlay in the order in which rows are read.
#[derive(Clone, Debug, Default)]
pub(super) struct OrderedOverlay {
    seq: i64,
    hidden: BTreeSet<MemberId>,
    rows: BTreeMap<String, Row>,
}

impl OrderedOverlay {
    pub(super) fn new(overlay: Overlay) -> Self {
        let hidden = overlay.members.iter().map(|(id, _)| *id).collect();
        let rows = overlay.members.into_iter().filter_map(|(_, member)| member).map(Row::member);
        Self { seq: overlay.seq, hidden, rows: rows.map(|row| (row.key(), row)).collect() }
    }

    pub(super) const fn seq(&self) -> i64 {
        self.seq
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_empty()
    }

    /// The row with a key.
    pub(super) fn row(&self, key: &str) -> Option<&Row> {
        self.rows.get(key)
    }

    /// The rows that stand in for members.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    pub(super) fn hides(&self, row: &Row) -> bool {
        row.as_member().is_some_and(|member| self.hidden.contains(&member.member_id))
    }

    /// Lays the rows over a page of the generation.
    pub(super) fn over(&self, mut page: RowPage, scan: &Scan, manifest: &Manifest) -> RowPage {
        if self.is_empty() {
            return page;
        }
        page.rows.retain(|row| !self.hides(row));
        let after = |key: &str| scan.after.as_deref().is_none_or(|after| key > after);
        // What lies behind the page's end comes with a later page.
        let within = |key: &str| page.next.as_deref().is_none_or(|end| key <= end);
        let wanted = |row: &Row| {
            scan.kinds.contains(&row.kind())
                && scan.holding.is_none_or(|held| manifest.grants_of(row).iter().any(|(one, _)| *one == held))
        };
        let more = self.rows.iter().filter(|(key, row)| after(key) && within(key) && wanted(row));
        let mut rows: BTreeMap<String, Row> = page.rows.into_iter().map(|row| (row.key(), row)).collect();
        rows.extend(more.map(|(key, row)| (key.clone(), row.clone())));
        let mut rows: Vec<Row> = rows.into_values().collect();
        if rows.len() > scan.limit {
            rows.truncate(scan.limit);
            page.next = rows.last().map(Row::key);
        }
        RowPage { rows, next: page.next }
    }
}
