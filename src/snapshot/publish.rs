//! Writing a snapshot: chunks first, the manifest next, `current` last.

use crate::base::tree::{BTreeMap, BTreeSet};

use super::chunk::{Chunk, Cutter, HeldAs};
use super::keys::{CURRENT, FORMAT, Pointer, chunk_key, manifest_key};
use super::legacy;
use super::manifest::{Capability, ChunkRef, Counts, GenerationId, Manifest, Naming, Posture, bits};
use crate::base::hash::{hex, sha256_hex};
use crate::base::ports::{Clock, KeyValue, KvError, Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::model::grant::Entitlement;
use crate::model::id::AccountId;
use crate::model::resource::Row;

/// A generation that was superseded is kept this long, for those who page through it.
const KEEP_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// At least this many generations are kept, however old they are: `/v1/changes` goes back at least as far.
const KEEP_COUNT: usize = 3;

/// At most this many values are deleted in one sweep; the Free plan has 1,000 deletions a day.
const MAX_DELETES: usize = 100;

/// What is known of a generation before its rows are.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The account.
    pub account_id: AccountId,
    /// When the sync began.
    pub started_at: Timestamp,
    /// Which lists could be read.
    pub capabilities: BTreeMap<String, Capability>,
    /// What turns atoms into entitlements.
    pub naming: Naming,
    /// How the account itself is set.
    pub posture: Posture,
    /// The manifest of the current generation.
    pub previous: Option<Manifest>,
}

/// What a publication came to.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The manifest that is current now: a new one, or the previous one where nothing changed.
    pub manifest: Manifest,
    /// Whether it is a new one.
    pub changed: bool,
    /// How many chunks were written.
    pub chunks_written: u64,
    /// How many bytes of chunks were written.
    pub bytes_written: u64,
}

impl Publication {
    /// Nothing was published: what this manifest is of is what is there.
    pub fn unchanged(manifest: Manifest) -> Self {
        Self { manifest, changed: false, chunks_written: 0, bytes_written: 0 }
    }
}

/// Why nothing was published. What was published before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// KV failed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The Coordinator's storage failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A value could not be written as JSON.
    #[error("a row cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The rows did not come in the order of their keys, each key once.
    #[error("the rows are out of order at {0}")]
    Order(String),
}

/// The ids of the generations that are kept, as SQL asks for them.
pub const KEPT: &str = "SELECT id FROM generation";

/// Creates the tables: which chunks are stored, which generations were published, what is left from before.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS stored_chunk (hash TEXT PRIMARY KEY) WITHOUT ROWID", &[])?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS generation ( \
            id TEXT PRIMARY KEY, published_at INTEGER NOT NULL, chunks TEXT NOT NULL) WITHOUT ROWID",
        &[],
    )?;
    legacy::init(sql)
}

/// Publishes rows, which must come in the order of their keys. Where they are what is published already, nothing is written.
/// Safe to repeat after any failure: what was written before is known and not written again.
pub async fn publish<P: KeyValue + Sql + Clock>(
    ports: &P,
    draft: Draft,
    rows: impl IntoIterator<Item = Row>,
) -> Result<Publication, PublishError> {
    let mut writing = Writing::new(ports);
    for row in rows {
        writing.push(&row, &draft.naming).await?;
    }
    writing.end().await?;
    writing.finish(draft).await
}

/// A generation that is being written.
pub(super) struct Writing<'a, P> {
    ports: &'a P,
    cutter: Cutter,
    /// The key of the last row.
    last: String,
    chunks: Vec<(ChunkRef, BTreeSet<HeldAs>)>,
    pub(super) counts: Counts,
    /// Everything that is offered or held, each with a number of its own, in the order in which it was met.
    entitlements: BTreeMap<Entitlement, HeldAs>,
    written: u64,
    bytes: u64,
}

impl<'a, P> Writing<'a, P> {
    pub(super) fn new(ports: &'a P) -> Self {
        Self {
            ports,
            cutter: Cutter::default(),
            last: String::new(),
            chunks: Vec::new(),
            counts: Counts::default(),
            entitlements: BTreeMap::new(),
            written: 0,
            bytes: 0,
        }
    }

    /// Whether the last row has ended a chunk.
    pub(super) const fn is_between_chunks(&self) -> bool {
        self.cutter.is_empty()
    }

    /// Takes a chunk as it was stored before, with what somebody in it holds.
    pub(super) fn keep(&mut self, chunk: ChunkRef, held: BTreeSet<Entitlement>) {
        self.last.clone_from(&chunk.last_key);
        let held = held.into_iter().map(|entitlement| self.number(entitlement)).collect();
        self.chunks.push((chunk, held));
    }

    pub(super) fn number(&mut self, entitlement: Entitlement) -> HeldAs {
        let next = HeldAs::try_from(self.entitlements.len()).unwrap_or(HeldAs::MAX);
        *self.entitlements.entry(entitlement).or_insert(next)
    }
}

impl<P: KeyValue + Sql + Clock> Writing<'_, P> {
    /// Takes the next row.
    pub(super) async fn push(&mut self, row: &Row, naming: &Naming) -> Result<(), PublishError> {
        let key = row.key();
        if key <= self.last {
            return Err(PublishError::Order(key));
        }
        self.last.clone_from(&key);
        let grants = naming.grants_of(row);
        self.counts.add(row, grants.len());
        if let Some(offer) = row.offer() {
            self.number(offer.entitlement);
        }
        let held: Vec<HeldAs> = grants.into_iter().map(|(entitlement, _)| self.number(entitlement)).collect();
        if let Some(chunk) = self.cutter.push(row, key, held)? {
            self.store(chunk).await?;
        }
        Ok(())
    }

    /// No row comes any more.
    pub(super) async fn end(&mut self) -> Result<(), PublishError> {
        match self.cutter.finish() {
            Some(chunk) => self.store(chunk).await,
            None => Ok(()),
        }
    }

    async fn store(&mut self, chunk: Chunk) -> Result<(), PublishError> {
        let bytes = u32::try_from(chunk.body.len()).unwrap_or(u32::MAX);
        let hash = hex(&self.ports.sha256(&chunk.body).await);
        let known = self.ports.query("SELECT 1 FROM stored_chunk WHERE hash = ?", &[hash.as_str().into()])?;
        if known.is_empty() {
            self.ports.put(&self.ports.space().key(&chunk_key(&hash)), chunk.body).await?;
            self.ports.query("INSERT OR IGNORE INTO stored_chunk (hash) VALUES (?)", &[hash.as_str().into()])?;
            self.written += 1;
            self.bytes += u64::from(bytes);
        }
        let reference = ChunkRef {
            hash,
            rows: chunk.rows,
            bytes,
            first_key: chunk.first_key,
            last_key: chunk.last_key,
            held: String::new(),
        };
        self.chunks.push((reference, chunk.held));
        Ok(())
    }

    pub(super) async fn finish(self, draft: Draft) -> Result<Publication, PublishError> {
        let previous = draft.previous.as_ref();
        // One that stands at the root of the namespace is not the last: it is published again, where it belongs. Nor is one after which another was
        // written that never became current: who asks for the last would be told that one.
        let last = last_published(self.ports)?;
        let is_last = previous.is_some_and(|previous| last.as_ref() == Some(&previous.generation));
        let hashes: String = self.chunks.iter().map(|(chunk, _)| chunk.hash.as_str()).collect();
        let digest = sha256_hex(hashes.as_bytes());
        if let Some(previous) = previous.filter(|previous| {
            previous.digest == digest
                && is_last
                && previous.capabilities == draft.capabilities
                && previous.naming == draft.naming
                && previous.posture == draft.posture
                && previous.account_id == draft.account_id
        }) {
            return Ok(Publication {
                manifest: previous.clone(),
                changed: false,
                chunks_written: self.written,
                bytes_written: self.bytes,
            });
        }
        // From the numbers to the places in the manifest's list.
        let places: BTreeMap<HeldAs, usize> =
            self.entitlements.values().enumerate().map(|(place, &number)| (number, place)).collect();
        // Later than the one before also where the clock was set back: what was so when is asked by this time.
        let now = self.ports.now();
        let now = previous.map_or(now, |previous| now.max(previous.finished_at.plus_millis(1)));
        let previous = draft.previous.map(|previous| previous.generation);
        let id = GenerationId::after(previous.as_ref(), draft.started_at, &digest);
        // Readers may have seen what an attempt before this one wrote and could not note: by the order of the ids it is told what a reader's generation lacks.
        let generation = match &last {
            Some(last) if id < *last => GenerationId::after(Some(last), draft.started_at, &digest),
            _ => id,
        };
        let manifest = Manifest {
            v: FORMAT,
            generation,
            account_id: draft.account_id,
            previous,
            started_at: draft.started_at,
            finished_at: now,
            digest,
            counts: self.counts,
            capabilities: draft.capabilities,
            naming: draft.naming,
            posture: draft.posture,
            chunks: self
                .chunks
                .into_iter()
                .map(|(chunk, held)| ChunkRef {
                    held: bits(held.iter().filter_map(|number| places.get(number).copied())),
                    ..chunk
                })
                .collect(),
            entitlements: self.entitlements.keys().map(ToString::to_string).collect(),
        };
        self.ports
            .put(&self.ports.space().key(&manifest_key(&manifest.generation)), serde_json::to_vec(&manifest)?)
            .await?;
        // Before the flip: a generation that is known but was never current is swept like any other.
        let hashes: Vec<&str> = manifest.chunks.iter().map(|chunk| chunk.hash.as_str()).collect();
        self.ports.query(
            "INSERT OR REPLACE INTO generation (id, published_at, chunks) VALUES (?, ?, ?)",
            &[(&manifest.generation).into(), now.into(), serde_json::to_string(&hashes)?.into()],
        )?;
        repoint(self.ports, &manifest).await?;
        Ok(Publication { manifest, changed: true, chunks_written: self.written, bytes_written: self.bytes })
    }
}

/// Whether a generation is kept: where it cannot be read, it is late.
pub fn is_kept(sql: &dyn Sql, generation: &GenerationId) -> Result<bool, SqlError> {
    sql.has("SELECT 1 FROM generation WHERE id = ?", &[generation.into()])
}

/// The generation that was published last, as the Coordinator's own table has it.
pub(crate) fn last_published(sql: &dyn Sql) -> Result<Option<GenerationId>, SqlError> {
    let id = sql.text("SELECT id FROM generation ORDER BY published_at DESC, id DESC LIMIT 1", &[])?;
    Ok(id.as_deref().and_then(GenerationId::parse))
}

/// Makes `current` name a generation: a new one, or again one that was published before, for a key-value store that has lost it.
pub(crate) async fn repoint<P: KeyValue>(kv: &P, manifest: &Manifest) -> Result<(), PublishError> {
    let pointer = Pointer {
        v: FORMAT,
        generation: manifest.generation.clone(),
        digest: manifest.digest.clone(),
        published_at: manifest.finished_at,
    };
    kv.put(&kv.space().key(CURRENT), serde_json::to_vec(&pointer)?).await?;
    Ok(())
}

/// Forgets what is stored, so that the next publication writes everything: for a key-value store that has lost values.
pub(crate) fn forget(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("DELETE FROM stored_chunk", &[])?;
    sql.run("DELETE FROM generation", &[])
}

/// Deletes generations that nobody may be reading any more, and the chunks that only they had. Returns how many values were
/// deleted; what did not fit goes with the next sweep. `current` is never among them.
pub async fn sweep<P: KeyValue + Sql + Clock>(ports: &P, current: &GenerationId) -> Result<u64, PublishError> {
    // Without their chunks: a day has thousands of generations where access changes all the time, with hundreds of chunks each.
    let rows = ports.query("SELECT id, published_at FROM generation ORDER BY published_at DESC, id DESC", &[])?;
    let now = ports.now();
    let mut old = Vec::new();
    let mut superseded_at = None;
    for (place, row) in rows.iter().enumerate() {
        let [id, published_at] = row.as_slice() else { continue };
        let (Some(id), Some(published_at)) = (id.text(), published_at.time()) else { continue };
        let age = superseded_at.map_or(0, |at| now.since(at));
        if id != current.to_string() && place >= KEEP_COUNT && age > KEEP_MILLIS {
            old.push(id.to_owned());
        }
        superseded_at = Some(published_at);
    }
    let mut deleted = 0;
    for id in old.iter().take(MAX_DELETES) {
        if let Some(generation) = GenerationId::parse(id) {
            ports.delete(&ports.space().key(&manifest_key(&generation))).await?;
            deleted += 1;
        }
        ports.query("DELETE FROM generation WHERE id = ?", &[id.as_str().into()])?;
    }
    // Also what a publication that failed left behind: stored, and in no generation that is kept.
    let unused = ports.query(
        "SELECT hash FROM stored_chunk WHERE hash NOT IN \
            (SELECT value FROM generation, json_each(CASE WHEN json_valid(chunks) THEN chunks ELSE '[]' END)) LIMIT ?",
        &[i64::try_from(MAX_DELETES).unwrap_or(i64::MAX).into()],
    )?;
    for hash in unused.iter().filter_map(|row| row.first().and_then(SqlValue::text)) {
        // Forgotten first: a chunk that is deleted and still believed to be there would be missing for ever.
        ports.query("DELETE FROM stored_chunk WHERE hash = ?", &[hash.into()])?;
        ports.delete(&ports.space().key(&chunk_key(hash))).await?;
        deleted += 1;
    }
    // Nobody reads what is at the root any more when the oldest generation that must be kept is a day old.
    if rows.get(KEEP_COUNT - 1).and_then(|row| row.get(1)?.time()).is_some_and(|at| now.since(at) > KEEP_MILLIS) {
        deleted += legacy::sweep::<_, PublishError>(ports, MAX_DELETES).await?;
    }
    Ok(deleted)
}
