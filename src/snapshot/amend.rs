//! A small publication: a few rows of the current generation are others now, or gone. Only the chunks that they are in are read, cut again
//! as a whole publication would cut them, and written; all others are listed as they were.

use super::manifest::{ChunkRef, Counts, Manifest};
use super::publish::{Draft, Publication, PublishError, Writing};
use super::read::{self, SnapshotError};
use crate::base::ports::{Clock, KeyValue, Sql};
use crate::base::time::Timestamp;
use crate::base::tree::{BTreeMap, BTreeSet};
use crate::model::grant::Entitlement;
use crate::model::resource::Row;

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// What was published before cannot be read.
    #[error(transparent)]
    Read(#[from] SnapshotError),
    /// The new one cannot be written.
    #[error(transparent)]
    Write(#[from] PublishError),
}

/// Publishes a generation with these rows in the place of those with the same keys; none where one is gone. Where that changes nothing,
/// nothing is written.
pub async fn amend<P: KeyValue + Sql + Clock>(
    ports: &P,
    old: &Manifest,
    changes: BTreeMap<String, Option<Row>>,
    started_at: Timestamp,
) -> Result<Publication, AmendError> {
    let mut writing = Writing::new(ports);
    let listed: Vec<Option<Entitlement>> = old.listed().collect();
    let mut before = Counts::default();
    let mut rest = changes.into_iter().peekable();
    let chunks = old.chunks.len();
    for (place, chunk) in old.chunks.iter().enumerate() {
        // What lies between two chunks belongs to the second, and what lies behind all to the last.
        let is_last = place + 1 == chunks;
        let mut here = Vec::new();
        while let Some(entry) = rest.next_if(|(key, _)| is_last || *key <= chunk.last_key) {
            here.push(entry);
        }
        if here.is_empty() && writing.is_between_chunks() {
            writing.keep(chunk.clone(), held(chunk, &listed));
            continue;
        }
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for row in read::rows(ports, chunk).await? {
            before.add(&row, old.naming.grants_of(&row).len());
            rows.insert(row.key(), row);
        }
        for (key, row) in here {
            match row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
        for row in rows.into_values() {
            writing.push(&row, &old.naming).await?;
        }
    }
    for row in rest.filter_map(|(_, row)| row) {
        writing.push(&row, &old.naming).await?;
    }
    writing.end().await?;
    writing.counts.replace(&old.counts, &before);
    for entitlement in listed.iter().flatten() {
        writing.number(*entitlement);
    }
    let draft = Draft {
        account_id: old.account_id,
        started_at,
        capabilities: old.capabilities.clone(),
        posture: old.posture.clone(),
        naming: old.naming.clone(),
        previous: Some(old.clone()),
    };
    Ok(writing.finish(draft).await?)
}

/// What somebody in a chunk holds, by the list that its bits are of.
fn held(chunk: &ChunkRef, listed: &[Option<Entitlement>]) -> BTreeSet<Entitlement> {
    let holds = chunk.holdings();
    listed.iter().enumerate().filter(|(place, _)| holds(*place)).filter_map(|(_, it)| *it).collect()
}
