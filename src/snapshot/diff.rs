//! What changed between two generations: only the chunks that one has and the other has not are read, and of each side one
//! chunk is in memory at a time.

use std::vec::IntoIter;

use serde::Serialize;

use super::keys::Values;
use super::manifest::{ChunkRef, Manifest};
use super::read::{self, SnapshotError};
use crate::base::json::Deserialize;
use crate::base::tree::BTreeSet;
use crate::model::access::{Access, Atom};
use crate::model::grant::Grant;
use crate::model::id::MemberId;
use crate::model::resource::{Reach, Row};

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The newer generation has it.
    Added,
    /// The older generation had it.
    Removed,
    /// Both have it, differently.
    Changed,
}

/// One changed resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The resource's Baton id, such as `user:<user id>`.
    pub key: String,
    /// The name or e-mail address people know it by.
    pub name: String,
    /// The one before, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_name: Option<String>,
    /// The membership, of people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The grants that are new.
    pub grants_added: Vec<Grant>,
    /// The grants that are gone.
    pub grants_removed: Vec<Grant>,
    /// The other fields that differ.
    pub fields: Vec<String>,
}

/// The fields that tell when a person or a token was last at work.
const SIGNS: [&str; 2] = ["last_used_day", "signs"];

impl Change {
    /// Whether grants are new or gone.
    pub fn has_grants(&self) -> bool {
        !(self.grants_added.is_empty() && self.grants_removed.is_empty())
    }

    /// Whether somebody was at work, and nothing else: that is no change of the account.
    pub fn is_sign_of_life(&self) -> bool {
        let is_sign = |field: &String| SIGNS.contains(&field.as_str());
        self.kind == ChangeKind::Changed && !self.has_grants() && self.fields.iter().all(is_sign)
    }
}

/// Some changes, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes.
    pub items: Vec<Change>,
    /// Where to go on, if there are more.
    pub next: Option<String>,
}

/// The changes from `old` to `new` that come after a key, `limit` at most.
pub async fn diff(
    kv: &dyn Values,
    old: &Manifest,
    new: &Manifest,
    after: Option<&str>,
    limit: usize,
) -> Result<Changes, SnapshotError> {
    let mut before = Side::new(old, new, after);
    let mut now = Side::new(new, old, after);
    let mut changes = Changes::default();
    loop {
        before.fill(kv).await?;
        now.fill(kv).await?;
        let order = match (before.rows.as_slice().first(), now.rows.as_slice().first()) {
            (None, None) => return Ok(changes),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((left, _)), Some((right, _))) => left.cmp(right),
        };
        let left = if order.is_le() { before.rows.next() } else { None };
        let right = if order.is_ge() { now.rows.next() } else { None };
        let change = match (&left, &right) {
            (Some((_, left)), Some((_, right))) if left == right && old.naming == new.naming => None,
            (left, right) => compare(left.as_ref().map(|(_, row)| row), right.as_ref().map(|(_, row)| row), old, new),
        };
        if let Some(change) = change {
            if changes.items.len() == limit {
                changes.next = changes.items.last().map(|change| change.key.clone());
                return Ok(changes);
            }
            changes.items.push(change);
        }
    }
}

/// The rows of one generation that are not in a chunk of both.
struct Side<'a> {
    chunks: IntoIter<&'a ChunkRef>,
    rows: IntoIter<(String, Row)>,
    after: Option<&'a str>,
}

impl<'a> Side<'a> {
    fn new(own: &'a Manifest, other: &Manifest, after: Option<&'a str>) -> Self {
        let shared: BTreeSet<&str> = other.chunks.iter().map(|chunk| chunk.hash.as_str()).collect();
        // Where atoms came to mean other entitlements, equal rows stand for different grants.
        let renamed = own.naming != other.naming;
        let chunks = own
            .chunks
            .iter()
            .filter(|chunk| renamed || !shared.contains(chunk.hash.as_str()))
            .filter(|chunk| after.is_none_or(|after| chunk.last_key.as_str() > after))
            .collect::<Vec<_>>()
            .into_iter();
        Self { chunks, rows: IntoIter::default(), after }
    }

    async fn fill(&mut self, kv: &dyn Values) -> Result<(), SnapshotError> {
        while self.rows.as_slice().is_empty() {
            let Some(chunk) = self.chunks.next() else { return Ok(()) };
            let rows = read::rows(kv, chunk).await?.into_iter().map(|row| (row.key(), row));
            let rows = rows.filter(|(key, _)| self.after.is_none_or(|after| key.as_str() > after));
            self.rows = rows.collect::<Vec<_>>().into_iter();
        }
        Ok(())
    }
}

fn compare(left: Option<&Row>, right: Option<&Row>, old: &Manifest, new: &Manifest) -> Option<Change> {
    let grants = |row: Option<&Row>, manifest: &Manifest| -> Vec<Grant> {
        let held = row.map(|row| manifest.grants_of(row)).unwrap_or_default().into_iter();
        held.map(|(entitlement, principal)| Grant { entitlement, principal }).collect()
    };
    // Both are sorted, and have each once.
    let without = |these: &[Grant], others: &[Grant]| -> Vec<Grant> {
        these.iter().filter(|grant| others.binary_search(grant).is_err()).copied().collect()
    };
    let (had, has) = (grants(left, old), grants(right, new));
    let kind = match (left, right) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    let called = right.or(left).map(name).unwrap_or_default();
    let (grants_added, grants_removed) = (without(&has, &had), without(&had, &has));
    let same_grants = grants_added.is_empty() && grants_removed.is_empty();
    let change = Change {
        kind,
        key: right.or(left)?.key(),
        former_name: left.map(name).filter(|former| *former != called),
        name: called,
        member_id: right.or(left).and_then(Row::as_member).map(|member| member.member_id),
        grants_added,
        grants_removed,
        fields: fields(left, right),
    };
    (kind != ChangeKind::Changed || !same_grants || !change.fields.is_empty()).then_some(change)
}

/// What the policies of a row are made of that gives nothing: what they deny, and what is of an unknown kind.
fn withheld(row: &Row) -> impl Iterator<Item = &Atom> {
    let atoms = row.holder().map(|(_, atoms, _)| atoms).unwrap_or_default();
    atoms.iter().filter(|atom| atom.access != Access::Allow)
}

/// The names of the fields that differ, grants aside. What policies are made of is among them where one that denies something, or is of an unknown
/// kind, came or went: no grant tells that. `reach` is where a scoped role reaches other objects, and not the same by other names.
fn fields(left: Option<&Row>, right: Option<&Row>) -> Vec<String> {
    let object = |row: &Row| match serde_json::to_value(row) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    };
    let (Some(left), Some(right)) = (left, right) else { return Vec::new() };
    let denies_else = withheld(left).ne(withheld(right));
    let reaches_else = match (left.reach(), right.reach()) {
        // Where none is known, what it reaches is not known to be something else.
        (Some(Reach::Objects(had, beside)), Some(Reach::Objects(has, beside_now))) => {
            !had.is_empty() && !has.is_empty() && (beside != beside_now || had.0.keys().ne(has.0.keys()))
        }
        _ => false,
    };
    let (left, right) = (object(left), object(right));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut fields: Vec<String> = names
        .into_iter()
        .filter(|name| *name != "groups" && (denies_else || *name != "atoms") && left.get(*name) != right.get(*name))
        .cloned()
        .collect();
    if reaches_else {
        fields.push("reach".to_owned());
    }
    fields
}

fn name(row: &Row) -> String {
    row.as_member().map_or_else(|| row.display_name(), |member| member.email.clone())
}
