//! Reading a snapshot, from KV alone.

use std::ops::Bound;
use std::rc::Rc;

use super::keys::{CURRENT, FORMAT, Pointer, Values, chunk_key, get, manifest_key};
use super::manifest::{ChunkRef, GenerationId, Manifest};
use super::overlay::{OrderedOverlay, Overlay};
use super::scan::{RowPage, Scan};
use crate::base::hash::hex;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::KvError;
use crate::model::access::Atom;
use crate::model::grant::Entitlement;
use crate::model::id::{MemberId, UserGroupId, UserId};
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

/// A row, as much of it as tells who was there.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once, one at a time")]
pub enum Brief {
    /// A member, accepted or pending.
    Person(Person),
    /// Anything else, whole.
    Row(Row),
}

/// Who a member is.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// The membership's id.
    pub member_id: MemberId,
    /// The Cloudflare user, where the person has one.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// The user groups the person is in.
    #[serde(default)]
    pub groups: Vec<UserGroupId>,
    /// The person's own atoms.
    #[serde(default)]
    pub atoms: Vec<Atom>,
}

/// A generation, opened.
#[derive(Clone, Debug)]
pub struct Snapshot {
    manifest: Manifest,
    overlay: OrderedOverlay,
}

/// Opens the current generation, or `None` where nothing was published yet.
pub async fn latest(kv: &dyn Values) -> Result<Option<Snapshot>, SnapshotError> {
    let Some(value) = get(kv, CURRENT).await? else { return Ok(None) };
    let pointer: Pointer = read(&value, CURRENT)?;
    if pointer.v != FORMAT {
        return Err(SnapshotError::Corrupt(format!("`current` has format {}, not {FORMAT}", pointer.v)));
    }
    let kept = kv.kept(&kv.own_space().key(&manifest_key(&pointer.generation)));
    let found = match &kept {
        Some(value) => Some(checked(value, &pointer.generation)?),
        None => manifest(kv, &pointer.generation).await?,
    };
    match found {
        // `current` names it, so it was written: it is on its way.
        None => Err(SnapshotError::NotReplicated(manifest_key(&pointer.generation))),
        // Only at the root can there be another account's: this one has nothing yet.
        Some(manifest) => Ok(kv.own_space().is_of(manifest.account_id).then(|| Snapshot::of(manifest))),
    }
}

/// The manifest of a generation, whosever it is.
pub(super) async fn manifest(kv: &dyn Values, id: &GenerationId) -> Result<Option<Manifest>, SnapshotError> {
    let key = manifest_key(id);
    // Asked for even where it is in memory: a generation that was swept is gone for everybody at once.
    let Some(value) = get(kv, &key).await? else { return Ok(None) };
    let manifest = checked(&value, id)?;
    kv.keep(&kv.own_space().key(&key), &Rc::from(value));
    Ok(Some(manifest))
}

/// The manifest that a value is, which must be that of the generation it was read for.
fn checked(value: &[u8], id: &GenerationId) -> Result<Manifest, SnapshotError> {
    let key = manifest_key(id);
    let manifest: Manifest = read(value, &key)?;
    if manifest.v != FORMAT || manifest.generation != *id {
        return Err(SnapshotError::Corrupt(format!(
            "{key} has format {} and is of {}",
            manifest.v, manifest.generation
        )));
    }
    Ok(manifest)
}

impl Snapshot {
    /// Opens a generation by its id.
    pub async fn open(kv: &dyn Values, id: &GenerationId) -> Result<Self, SnapshotError> {
        let manifest = manifest(kv, id).await?.filter(|manifest| kv.own_space().is_of(manifest.account_id));
        manifest.map(Self::of).ok_or_else(|| SnapshotError::Gone(id.to_string()))
    }

    /// Opens the generation that a text names, be it from outside. What cannot be an id is one that is gone.
    pub async fn named(kv: &dyn Values, text: &str) -> Result<Self, SnapshotError> {
        match GenerationId::parse(text) {
            Some(id) => Self::open(kv, &id).await,
            None => Err(SnapshotError::Gone(text.chars().take(40).collect())),
        }
    }

    /// The snapshot of a manifest that is at hand.
    pub fn of(manifest: Manifest) -> Self {
        Self { manifest, overlay: OrderedOverlay::default() }
    }

    /// The generation with what our own operations changed since laid over it.
    #[must_use]
    pub fn with(self, overlay: Overlay) -> Self {
        Self { overlay: OrderedOverlay::new(overlay), ..self }
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

    /// Whether one of them holds this.
    pub fn is_held_since(&self, entitlement: Entitlement) -> bool {
        self.changed().any(|row| self.manifest.grants_of(row).iter().any(|(held, _)| *held == entitlement))
    }

    /// Where the row is that comes after a number of rows of some kinds: the key after which to scan, and how many of those rows a
    /// scan from there still meets. Reads only chunks that have rows of other kinds as well, and only where no change of our own
    /// shows: what the overlay hides is not counted by the manifest.
    pub async fn seek(
        &self,
        kv: &dyn Values,
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
                let body = chunk.at_hand(kv).await?;
                let lines = Lines::of(&body, chunk);
                let mut count = 0;
                for place in 0..lines.len() {
                    count += usize::from(lines.kind(place)?.is_some_and(|kind| kinds.contains(&kind)));
                }
                count
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
    pub async fn get(&self, kv: &dyn Values, key: &str) -> Result<Option<Row>, SnapshotError> {
        if let Some(row) = self.overlay.row(key) {
            return Ok(Some(row.clone()));
        }
        Ok(self.published(kv, key).await?.filter(|row| !self.overlay.hides(row)))
    }

    async fn published(&self, kv: &dyn Values, key: &str) -> Result<Option<Row>, SnapshotError> {
        let Some(chunk) = self.manifest.chunks.iter().find(|chunk| chunk.last_key.as_str() >= key) else {
            return Ok(None);
        };
        if chunk.first_key.as_str() > key {
            return Ok(None);
        }
        let body = chunk.at_hand(kv).await?;
        let lines = Lines::of(&body, chunk);
        let place = lines.after(key, Bound::Included(()))?;
        Ok(lines.row(place)?.filter(|row| row.key() == key))
    }

    /// Shows every row of some kinds, in the order of their keys. A few chunks are in memory at a time.
    pub async fn each(&self, kv: &dyn Values, kinds: &[Kind], mut see: impl FnMut(Row)) -> Result<(), SnapshotError> {
        self.all(kv, kinds, &mut see).await
    }

    /// The same for whatever looks at the rows: it is compiled once.
    async fn all(&self, kv: &dyn Values, kinds: &[Kind], see: &mut dyn FnMut(Row)) -> Result<(), SnapshotError> {
        // A limit within a chunk would have that chunk read twice.
        let mut scan = Scan { kinds: kinds.to_vec(), holding: None, after: None, limit: usize::MAX };
        loop {
            let page = self.scan(kv, &scan).await?;
            page.rows.into_iter().for_each(&mut *see);
            scan.after = page.next;
            if scan.after.is_none() {
                return Ok(());
            }
        }
    }

    /// Shows every row of the generation as it was published; of people, which nearly all are, only who they are, what they hold and the user
    /// groups they are in is read. One chunk is in memory at a time.
    pub async fn each_in_brief(&self, kv: &dyn Values, mut see: impl FnMut(Brief)) -> Result<(), SnapshotError> {
        for chunk in &self.manifest.chunks {
            let body = chunk.read(kv).await?;
            let lines = Lines::of(&body, chunk);
            for (place, line) in lines.lines.iter().enumerate() {
                match lines.kind(place)? {
                    Some(Kind::User | Kind::Invitation) => {
                        let person = json::read(line);
                        see(Brief::Person(person.map_err(|error| unreadable(&chunk_key(&chunk.hash), &error))?));
                    }
                    _ => lines.row(place)?.into_iter().for_each(|row| see(Brief::Row(row))),
                }
            }
        }
        Ok(())
    }

    /// Looks whether every chunk of the generation is there and is what its name says.
    pub async fn is_whole(&self, kv: &dyn Values) -> Result<(), SnapshotError> {
        for chunk in &self.manifest.chunks {
            chunk.read(kv).await?;
        }
        Ok(())
    }

    /// Rows of some kinds, in the order of their keys, from one key on.
    pub async fn scan(&self, kv: &dyn Values, scan: &Scan) -> Result<RowPage, SnapshotError> {
        let page = self.scan_published(kv, scan).await?;
        Ok(self.overlay.over(page, scan, &self.manifest))
    }

    async fn scan_published(&self, kv: &dyn Values, scan: &Scan) -> Result<RowPage, SnapshotError> {
        let mut page = RowPage::default();
        let place = match scan.holding {
            None => None,
            Some(entitlement) => match self.manifest.place_of(entitlement) {
                Some(place) => Some((entitlement, place)),
                // Nobody holds what is not listed.
                None => return Ok(page),
            },
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
            let body = chunk.at_hand(kv).await?;
            let lines = Lines::of(&body, chunk);
            let begin = match scan.after.as_deref().filter(|after| chunk.first_key.as_str() <= *after) {
                None => 0,
                Some(after) => lines.after(after, Bound::Excluded(()))?,
            };
            for line in begin..lines.len() {
                // A row of another kind is not read, and neither is the first beyond the limit, unless it has to be looked into.
                if !lines.kind(line)?.is_some_and(|kind| scan.kinds.contains(&kind)) {
                    continue;
                }
                let is_full = page.rows.len() >= scan.limit;
                let row = if is_full && place.is_none() { None } else { lines.row(line)? };
                let wanted = row.as_ref().is_none_or(|row| {
                    place.is_none_or(|(entitlement, _)| {
                        self.manifest.grants_of(row).iter().any(|(held, _)| *held == entitlement)
                    })
                });
                if !wanted {
                    continue;
                }
                if is_full {
                    page.next = page.rows.last().map(Row::key);
                    return Ok(page);
                }
                page.rows.extend(row);
            }
            page.next = Some(chunk.last_key.clone());
        }
        page.next = None;
        Ok(page)
    }
}

/// The rows of a chunk.
pub(super) async fn rows(kv: &dyn Values, chunk: &ChunkRef) -> Result<Vec<Row>, SnapshotError> {
    chunk.parse(&chunk.read(kv).await?)
}

impl ChunkRef {
    /// The chunk's bytes, which must have the hash that is its name.
    pub async fn read(&self, kv: &dyn Values) -> Result<Vec<u8>, SnapshotError> {
        let key = chunk_key(&self.hash);
        let body = get(kv, &key).await?.ok_or_else(|| SnapshotError::NotReplicated(key.clone()))?;
        if hex(&kv.hash(&body).await) != self.hash {
            return Err(SnapshotError::Corrupt(format!("{key} does not have the content its name says")));
        }
        Ok(body)
    }

    /// The chunk's bytes, from memory where they were read before.
    async fn at_hand(&self, kv: &dyn Values) -> Result<Rc<[u8]>, SnapshotError> {
        let key = kv.own_space().key(&chunk_key(&self.hash));
        if let Some(body) = kv.kept(&key) {
            return Ok(body);
        }
        let body = Rc::from(self.read(kv).await?);
        kv.keep(&key, &body);
        Ok(body)
    }

    /// The rows that a chunk's bytes are, in the order of their keys.
    pub fn parse(&self, body: &[u8]) -> Result<Vec<Row>, SnapshotError> {
        let lines = Lines::of(body, self);
        (0..lines.len()).filter_map(|place| lines.row(place).transpose()).collect()
    }
}

/// The rows of a chunk, none of which is read before it is asked for. They are in the order of their keys, so a row is found by
/// looking into a few of them.
struct Lines<'a> {
    lines: Vec<&'a [u8]>,
    chunk: &'a ChunkRef,
}

impl<'a> Lines<'a> {
    fn of(body: &'a [u8], chunk: &'a ChunkRef) -> Self {
        let mut lines = Vec::with_capacity(usize::try_from(chunk.rows).unwrap_or_default().min(body.len()));
        // What a newer version has published of a kind that this one does not know is passed over.
        let is_known =
            |line: &&[u8]| !line.is_empty() && kind_word(line).is_none_or(|word| Kind::parse(word).is_some());
        lines.extend(body.split(|&byte| byte == b'\n').filter(is_known));
        Self { lines, chunk }
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn row(&self, place: usize) -> Result<Option<Row>, SnapshotError> {
        self.lines.get(place).map(|line| row(line, &self.chunk.hash)).transpose()
    }

    /// The kind of a row: its line says so first.
    fn kind(&self, place: usize) -> Result<Option<Kind>, SnapshotError> {
        match self.lines.get(place).and_then(|line| kind_word(line)).and_then(Kind::parse) {
            Some(kind) => Ok(Some(kind)),
            None => Ok(self.row(place)?.map(|row| row.kind())),
        }
    }

    /// The place of the first row whose key comes after another, or, where that is included, is it.
    fn after(&self, key: &str, bound: Bound<()>) -> Result<usize, SnapshotError> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let Some(row) = self.row(middle)? else { break };
            let found = row.key();
            let is_before = found.as_str() < key || (bound == Bound::Excluded(()) && found == key);
            if is_before { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

/// The word for a row's kind, which its line begins with.
fn kind_word(line: &[u8]) -> Option<&str> {
    let told = line.strip_prefix(b"{\"type\":\"")?;
    let end = told.iter().position(|&byte| byte == b'"')?;
    std::str::from_utf8(told.get(..end)?).ok()
}

/// A row. Nearly all are people, and a member whose line says so first is read at once: by way of the tagged enum each of
/// its fields would be copied before it is known what they are of.
fn row(line: &[u8], hash: &str) -> Result<Row, SnapshotError> {
    let read = if line.starts_with(b"{\"type\":\"user\",") {
        json::read(line).map(Row::User)
    } else if line.starts_with(b"{\"type\":\"invitation\",") {
        json::read(line).map(Row::Invitation)
    } else {
        json::read(line)
    };
    read.map_err(|error| unreadable(&chunk_key(hash), &error))
}

fn read<'a, T: Deserialize<'a>>(value: &'a [u8], key: &str) -> Result<T, SnapshotError> {
    json::read(value).map_err(|error| unreadable(key, &error))
}

fn unreadable(key: &str, error: &serde_json::Error) -> SnapshotError {
    SnapshotError::Corrupt(format!("{key} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::base::tree::BTreeMap;
    use std::ops::Bound;

    use futures::executor::block_on;

    use super::{Lines, Snapshot};
    use crate::base::fakes::Desk;
    use crate::base::hash::sha256_hex;
    use crate::base::time::Timestamp;
    use crate::model::kind::Kind;
    use crate::model::resource::{Member, MemberStatus, Row};
    use crate::snapshot::keys::chunk_key;
    use crate::snapshot::manifest::{ChunkRef, Counts, GenerationId, Manifest, Naming};
    use crate::snapshot::scan::Scan;

    fn user(n: usize) -> Row {
        Row::User(Member {
            member_id: format!("{n:032x}").parse().unwrap(),
            user_id: format!("{n:032x}").parse().ok(),
            email: format!("{n}@example.com"),
            status: MemberStatus::Accepted,
            first_name: None,
            last_name: None,
            two_factor: None,
            atoms: vec![],
            groups: vec![],
            signs: crate::model::signs::Signs::default(),
        })
    }

    /// A chunk of users 0, 2, 4 and so on to 398, whose lines at some places say that they are users and nothing that can be read.
    fn chunk(broken: impl Fn(usize) -> bool) -> (ChunkRef, Vec<u8>) {
        let mut body = Vec::new();
        for place in 0..200 {
            if broken(place) {
                body.extend_from_slice(b"{\"type\":\"user\",broken}");
            } else {
                serde_json::to_writer(&mut body, &user(2 * place)).unwrap();
            }
            body.push(b'\n');
        }
        let chunk = ChunkRef {
            hash: sha256_hex(&body),
            rows: 200,
            bytes: 0,
            first_key: user(0).key(),
            last_key: user(398).key(),
            held: String::new(),
        };
        (chunk, body)
    }

    #[test]
    fn every_row_is_found_and_every_place_between_two_rows() {
        let (chunk, body) = chunk(|_| false);
        let lines = Lines::of(&body, &chunk);
        for n in 0..399 {
            let key = user(n).key();
            assert_eq!(lines.after(&key, Bound::Included(())).unwrap(), n.div_ceil(2), "{n}");
            assert_eq!(lines.after(&key, Bound::Excluded(())).unwrap(), n / 2 + 1, "{n}");
        }
        assert_eq!(lines.after("a", Bound::Included(())).unwrap(), 0);
        assert_eq!(lines.after("z", Bound::Excluded(())).unwrap(), 200);
    }

    #[test]
    fn what_is_not_asked_for_is_not_read() {
        // Of 200 rows, eight are looked into to find one; a list reads its own.
        let (chunk, body) = chunk(|place| place % 2 == 1 && place > 101);
        assert!(chunk.parse(&body).is_err(), "the control: all of them cannot be read");
        let desk = Desk::new();
        desk.values.borrow_mut().insert(chunk_key(&chunk.hash), body);
        let at = Timestamp::from_secs(1_800_000_000);
        let snapshot = Snapshot::of(Manifest {
            v: 1,
            generation: GenerationId::new(at, "0"),
            account_id: format!("{:032x}", 1).parse().unwrap(),
            previous: None,
            started_at: at,
            finished_at: at,
            digest: String::new(),
            counts: Counts::default(),
            capabilities: BTreeMap::new(),
            naming: Naming::default(),
            posture: crate::snapshot::Posture::default(),
            entitlements: vec![],
            chunks: vec![chunk],
        });
        assert_eq!(block_on(snapshot.get(&desk, &user(200).key())).unwrap(), Some(user(200)));
        assert_eq!(block_on(snapshot.get(&desk, &user(4).key())).unwrap(), Some(user(4)));
        assert!(block_on(snapshot.get(&desk, &user(206).key())).is_err(), "the control: this one is broken");
        let scan = Scan { kinds: vec![Kind::User], holding: None, after: Some(user(2).key()), limit: 100 };
        let page = block_on(snapshot.scan(&desk, &scan)).unwrap();
        assert_eq!((page.rows.len(), page.next), (100, Some(user(202).key())));
        let other = Scan { kinds: vec![Kind::Invitation], limit: 100, ..scan };
        assert!(block_on(snapshot.scan(&desk, &other)).unwrap().rows.is_empty(), "rows of other kinds");
    }
}
