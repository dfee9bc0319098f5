//! Reading a snapshot, from KV alone.

use serde::Deserialize;

use super::keys::{CURRENT, FORMAT, Pointer, chunk_key, manifest_key};
use super::manifest::{ChunkRef, GenerationId, Manifest};
use super::overlay::{Laid, Overlay};
use super::scan::{Page, Scan};
use crate::base::hash::sha256_hex;
use crate::base::ports::{KeyValue, KvError};
use crate::model::kind::Kind;
use crate::model::resource::Row;

/// A scan reads this many chunks at most before it hands back what it has: 3 MB of rows, and far from KV's 1,000
/// operations in one invocation.
const MAX_CHUNKS: usize = 40;

/// Why a snapshot cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Nothing was published yet.
    #[error("no snapshot was published yet")]
    NoneYet,
    /// The generation was swept, or never was.
    #[error("the generation {0} is not kept any more")]
    Gone(String),
    /// A value that was written has not reached this place yet; KV takes a minute at most.
    #[error("the snapshot has not reached this location yet: {0} is missing")]
    NotReplicated(String),
    /// A value is not what its name says, or of another format.
    #[error("the snapshot is damaged: {0}")]
    Corrupt(String),
    /// KV failed.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// A generation, opened.
#[derive(Clone, Debug)]
pub struct Snapshot {
    manifest: Manifest,
    overlay: Laid,
}

/// Opens the current generation, or `None` where nothing was published yet.
pub async fn latest<P: KeyValue>(kv: &P) -> Result<Option<Snapshot>, SnapshotError> {
    let Some(value) = kv.get(CURRENT).await? else { return Ok(None) };
    let pointer: Pointer = read(&value, CURRENT)?;
    if pointer.v != FORMAT {
        return Err(SnapshotError::Corrupt(format!("`current` has format {}, not {FORMAT}", pointer.v)));
    }
    match Snapshot::open(kv, &pointer.generation.to_string()).await {
        // `current` names it, so it was written: it is on its way.
        Err(SnapshotError::Gone(generation)) => Err(SnapshotError::NotReplicated(format!("manifest/{generation}"))),
        opened => opened.map(Some),
    }
}

impl Snapshot {
    /// Opens a generation by its id.
    pub async fn open<P: KeyValue>(kv: &P, generation: &str) -> Result<Self, SnapshotError> {
        let shown = || generation.chars().take(40).collect();
        let id = GenerationId::parse(generation).ok_or_else(|| SnapshotError::Gone(shown()))?;
        let key = manifest_key(&id);
        let value = kv.get(&key).await?.ok_or_else(|| SnapshotError::Gone(shown()))?;
        let manifest: Manifest = read(&value, &key)?;
        if manifest.v != FORMAT || manifest.generation != id {
            return Err(SnapshotError::Corrupt(format!(
                "{key} has format {} and is of {}",
                manifest.v, manifest.generation
            )));
        }
        Ok(Self::of(manifest))
    }

    /// The snapshot of a manifest that is at hand.
    pub fn of(manifest: Manifest) -> Self {
        Self { manifest, overlay: Laid::default() }
    }

    /// The generation with what our own operations changed since laid over it.
    #[must_use]
    pub fn with(self, overlay: Overlay) -> Self {
        Self { overlay: Laid::new(overlay), ..self }
    }

    /// How many changes of our own the overlay takes in, and whether any of them shows.
    pub fn freshness(&self) -> (i64, bool) {
        (self.overlay.seq(), !self.overlay.is_empty())
    }

    /// The table of contents.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The members that our own operations changed since, as they are now.
    pub fn changed(&self) -> impl Iterator<Item = &Row> {
        self.overlay.rows()
    }

    /// Where the row is that comes after a number of rows of some kinds: the key after which to scan, and how many of those rows a
    /// scan from there still meets. Reads only chunks that have rows of other kinds as well, and only where no change of our own
    /// shows: what the overlay hides is not counted by the manifest.
    pub async fn seek<P: KeyValue>(
        &self,
        kv: &P,
        kinds: &[Kind],
        before: usize,
    ) -> Result<(Option<String>, usize), SnapshotError> {
        let (mut after, mut left) = (None, before);
        if !self.overlay.is_empty() {
            return Ok((after, left));
        }
        for chunk in self.manifest.chunks.iter().filter(|chunk| kinds.iter().any(|kind| chunk.may_have(*kind))) {
            let all = kinds.iter().any(|kind| {
                let prefix = kind.prefix();
                chunk.first_key.starts_with(&prefix) && chunk.last_key.starts_with(&prefix)
            });
            let count = if all {
                usize::try_from(chunk.rows).unwrap_or(usize::MAX)
            } else {
                rows(kv, chunk).await?.iter().filter(|row| kinds.contains(&row.kind())).count()
            };
            if count > left {
                break;
            }
            left -= count;
            after = Some(chunk.last_key.clone());
        }
        Ok((after, left))
    }

    /// The row with a key.
    pub async fn get<P: KeyValue>(&self, kv: &P, key: &str) -> Result<Option<Row>, SnapshotError> {
        if let Some(row) = self.overlay.row(key) {
            return Ok(Some(row.clone()));
        }
        Ok(self.published(kv, key).await?.filter(|row| !self.overlay.hides(row)))
    }

    async fn published<P: KeyValue>(&self, kv: &P, key: &str) -> Result<Option<Row>, SnapshotError> {
        let Some(chunk) = self.manifest.chunks.iter().find(|chunk| chunk.last_key.as_str() >= key) else {
            return Ok(None);
        };
        if chunk.first_key.as_str() > key {
            return Ok(None);
        }
        Ok(rows(kv, chunk).await?.into_iter().find(|row| row.key() == key))
    }

    /// Shows every row of some kinds, in the order of their keys. A few chunks are in memory at a time.
    pub async fn each<P: KeyValue>(
        &self,
        kv: &P,
        kinds: &[Kind],
        mut see: impl FnMut(Row),
    ) -> Result<(), SnapshotError> {
        // A limit within a chunk would have that chunk read twice.
        let mut scan = Scan { kinds: kinds.to_vec(), holding: None, after: None, limit: usize::MAX };
        loop {
            let page = self.scan(kv, &scan).await?;
            page.rows.into_iter().for_each(&mut see);
            scan.after = page.next;
            if scan.after.is_none() {
                return Ok(());
            }
        }
    }

    /// Rows of some kinds, in the order of their keys, from one key on.
    pub async fn scan<P: KeyValue>(&self, kv: &P, scan: &Scan) -> Result<Page, SnapshotError> {
        let page = self.scan_published(kv, scan).await?;
        Ok(self.overlay.over(page, scan, &self.manifest))
    }

    async fn scan_published<P: KeyValue>(&self, kv: &P, scan: &Scan) -> Result<Page, SnapshotError> {
        let mut page = Page::default();
        let place = match scan.holding {
            None => None,
            Some(entitlement) => {
                let name = entitlement.to_string();
                match self.manifest.entitlements.iter().position(|known| *known == name) {
                    Some(place) => Some((entitlement, place)),
                    // Nobody holds what is not listed.
                    None => return Ok(page),
                }
            }
        };
        let mut read = 0;
        for chunk in &self.manifest.chunks {
            let behind = scan.after.as_deref().is_some_and(|after| chunk.last_key.as_str() <= after);
            let other = !scan.kinds.iter().any(|kind| chunk.may_have(*kind));
            let unheld = place.is_some_and(|(_, place)| !chunk.holds(place));
            if behind || other || unheld {
                continue;
            }
            if read == MAX_CHUNKS || page.rows.len() >= scan.limit {
                // All that is before this chunk was seen; the chunk's own first row is not.
                page.next = page.next.or_else(|| scan.after.clone());
                return Ok(page);
            }
            read += 1;
            for row in rows(kv, chunk).await? {
                let key = row.key();
                let wanted = scan.kinds.contains(&row.kind())
                    && scan.after.as_deref().is_none_or(|after| key.as_str() > after)
                    && place.is_none_or(|(entitlement, _)| {
                        self.manifest.grants_of(&row).iter().any(|(held, _)| *held == entitlement)
                    });
                if !wanted {
                    continue;
                }
                if page.rows.len() >= scan.limit {
                    page.next = page.rows.last().map(Row::key);
                    return Ok(page);
                }
                page.rows.push(row);
            }
            page.next = Some(chunk.last_key.clone());
        }
        page.next = None;
        Ok(page)
    }
}

/// The rows of a chunk.
pub(super) async fn rows<P: KeyValue>(kv: &P, chunk: &ChunkRef) -> Result<Vec<Row>, SnapshotError> {
    chunk.parse(&chunk.read(kv).await?)
}

impl ChunkRef {
    /// The chunk's bytes, which must have the hash that is its name.
    pub async fn read<P: KeyValue>(&self, kv: &P) -> Result<Vec<u8>, SnapshotError> {
        let key = chunk_key(&self.hash);
        let body = kv.get(&key).await?.ok_or_else(|| SnapshotError::NotReplicated(key.clone()))?;
        if sha256_hex(&body) != self.hash {
            return Err(SnapshotError::Corrupt(format!("{key} does not have the content its name says")));
        }
        Ok(body)
    }

    /// The rows that a chunk's bytes are, in the order of their keys.
    pub fn parse(&self, body: &[u8]) -> Result<Vec<Row>, SnapshotError> {
        let key = chunk_key(&self.hash);
        body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(|line| row(line, &key)).collect()
    }
}

/// A row. Nearly all are people, and a member whose line says so first is read at once: by way of the tagged enum each of
/// its fields would be copied before it is known what they are of.
fn row(line: &[u8], key: &str) -> Result<Row, SnapshotError> {
    if line.starts_with(b"{\"type\":\"user\",") {
        return read(line, key).map(Row::User);
    }
    if line.starts_with(b"{\"type\":\"invitation\",") {
        return read(line, key).map(Row::Invitation);
    }
    read(line, key)
}

fn read<'a, T: Deserialize<'a>>(value: &'a [u8], key: &str) -> Result<T, SnapshotError> {
    serde_json::from_slice(value).map_err(|error| SnapshotError::Corrupt(format!("{key} cannot be read: {error}")))
}
