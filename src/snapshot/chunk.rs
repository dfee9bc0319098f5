//! Cutting sorted rows into chunks. A chunk ends after a row whose key says so, so one row more, one less or one changed
//! touches the chunk it is in (and the next one, where that row was the end) and no other.

use crate::base::hash::fnv1a;
use crate::base::tree::BTreeSet;

use crate::model::resource::Row;

/// One key in 256 ends a chunk: about 77 KB at 300 bytes a row, 20 chunks for 5,000 members, 200 for 50,000.
const ONE_IN: u64 = 256;

/// No chunk has more rows, whatever the keys say: one in e⁴ = 55 chunks would.
const MAX_ROWS: u32 = 1024;

/// No chunk has more bytes than this, save for one row that has them alone. Far below KV's 25 MiB and the isolate's 128 MB.
const MAX_BYTES: usize = 1024 * 1024;

/// A finished chunk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// The rows as JSON lines.
    pub(super) body: Vec<u8>,
    pub(super) rows: u32,
    pub(super) first_key: String,
    pub(super) last_key: String,
    /// What somebody in this chunk holds.
    pub(super) held: BTreeSet<HeldAs>,
}

/// The number that an entitlement has while a snapshot is written: there are thousands of grants in a chunk, and hundreds of chunks.
pub(super) type HeldAs = u32;

/// Cuts rows, which must come in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    body: Vec<u8>,
    rows: u32,
    first_key: String,
    last_key: String,
    held: BTreeSet<HeldAs>,
}

impl Cutter {
    /// Takes a row with its key and what it holds; gives back a chunk when that row ended one.
    pub(super) fn push(
        &mut self,
        row: &Row,
        key: String,
        held: impl IntoIterator<Item = HeldAs>,
    ) -> Result<Option<Chunk>, serde_json::Error> {
        if self.rows == 0 {
            self.first_key.clone_from(&key);
        }
        serde_json::to_writer(&mut self.body, row)?;
        self.body.push(b'\n');
        self.rows += 1;
        self.held.extend(held);
        let ends = hash(key.as_bytes()).is_multiple_of(ONE_IN) || self.rows >= MAX_ROWS || self.body.len() >= MAX_BYTES;
        self.last_key = key;
        Ok(if ends { self.finish() } else { None })
    }

    /// Whether the last row has ended a chunk.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The last chunk, where there are rows left.
    pub(super) fn finish(&mut self) -> Option<Chunk> {
        let done = std::mem::take(self);
        (done.rows > 0).then_some(Chunk {
            body: done.body,
            rows: done.rows,
            first_key: done.first_key,
            last_key: done.last_key,
            held: done.held,
        })
    }
}

/// FNV-1a, 64 bits, with a finaliser (the last steps of `MurmurHash3`) that spreads it to the low bits that decide here. Part of the format: another
/// hash would cut every account in other places.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = fnv1a(bytes);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
