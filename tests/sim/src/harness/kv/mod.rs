//! A Workers KV namespace in memory, behind the HTTP interface that workerd speaks to one
//! (`reference/workers-rs.md` 2.2), with KV's weaknesses on demand: writes that fail before or after they took effect,
//! reads that are behind.

mod serve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use crate::http::{Handler, ReplyFuture, Request};

/// A key has at most this many bytes (developers.cloudflare.com/kv/platform/limits).
pub const MAX_KEY: usize = 512;

/// A value has at most this many bytes: 25 MiB.
pub const MAX_VALUE: usize = 25 * 1024 * 1024;

/// Metadata, as JSON, has at most this many bytes.
pub const MAX_METADATA: usize = 1024;

/// Nothing lives for a shorter time, in seconds.
pub const MIN_TTL: i64 = 60;

/// A list gives at most this many keys.
pub const MAX_LIST: usize = 1000;

/// A bulk read asks for at most this many keys.
pub const MAX_BULK: usize = 100;

/// What is done to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KvCall {
    /// One value is read.
    Get,
    /// Several are read at once.
    BulkGet,
    /// A value is written.
    Put,
    /// A key is deleted.
    Delete,
    /// Keys are listed.
    List,
}

/// One operation that the Worker carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was done.
    pub kind: KvCall,
    /// The key; of a list its prefix, of a bulk read the first key.
    pub key: String,
    /// Bytes written, or read.
    pub bytes: usize,
    /// The HTTP status it was answered with.
    pub status: u16,
}

/// Operations and bytes of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many operations.
    pub operations: usize,
    /// How many bytes of values they moved.
    pub bytes: usize,
}

/// Which keys a fault or a delay is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// This one.
    Exactly(String),
    /// All that begin so; the empty prefix is every key.
    Prefixed(String),
}

impl Keys {
    fn contain(&self, key: &str) -> bool {
        match self {
            Self::Exactly(name) => name == key || name == name_of(key),
            Self::Prefixed(prefix) => key.starts_with(prefix.as_str()) || name_of(key).starts_with(prefix.as_str()),
        }
    }
}

/// What a key is called in the part of the namespace that an account and its Worker have: without `<account id>/<16 digits>/`.
pub fn name_of(key: &str) -> &str {
    let hex = |part: &str, digits| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = key.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(account), Some(worker), Some(name)) if hex(account, 32) && hex(worker, 16) => name,
        _ => key,
    }
}

/// Operations that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub kind: KvCall,
    /// On which keys.
    pub keys: Keys,
    /// With which status, such as 429 or 500.
    pub status: u16,
    /// Whether a write takes effect all the same.
    pub persists: bool,
    /// After how many operations that go well.
    pub after: u32,
    /// How often.
    pub times: u32,
}

impl Fault {
    /// Operations of a kind on some keys fail once with 500, and have no effect.
    pub fn new(kind: KvCall, keys: Keys) -> Self {
        Self { kind, keys, status: 500, persists: false, after: 0, times: 1 }
    }

    /// With this status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The write takes effect, and only its answer is lost.
    #[must_use]
    pub fn after_persisting(self) -> Self {
        Self { persists: true, ..self }
    }

    /// The first `operations` operations go well.
    #[must_use]
    pub fn after(self, operations: u32) -> Self {
        Self { after: operations, ..self }
    }

    /// `times` operations fail.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Bytes,
    metadata: Option<String>,
    expires: Option<i64>,
}

#[derive(Debug, Default)]
struct Slot {
    now: Option<Entry>,
    before: Option<Entry>,
    written: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<String, Slot>,
    operations: Vec<Operation>,
    faults: Vec<Fault>,
    stale: Vec<(Keys, u32)>,
    write_limit: bool,
}

/// The namespace. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct Kv {
    state: Arc<Mutex<State>>,
}

/// What tests do to it past the Worker: none of this is counted, limited or made to fail. A key may be given as the one Worker of a
/// test calls it ([`name_of`]).
impl Kv {
    /// An empty namespace.
    pub fn new() -> Self {
        Self::default()
    }

    /// This namespace as something that a server can serve.
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(self.clone())
    }

    /// A value.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        let state = self.state();
        state.live(&state.key(key)).map(|entry| entry.value.clone())
    }

    /// A value as JSON.
    pub fn get_json(&self, key: &str) -> Option<Value> {
        serde_json::from_slice(&self.get(key)?).ok()
    }

    /// Writes a value.
    pub fn put(&self, key: &str, value: impl Into<Bytes>) {
        self.state().write(key, Some(Entry { value: value.into(), metadata: None, expires: None }));
    }

    /// Deletes a key.
    pub fn delete(&self, key: &str) {
        let mut state = self.state();
        let key = state.key(key);
        state.write(&key, None);
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.keys_under("")
    }

    /// The keys that begin so, or are called so, in order.
    pub fn keys_under(&self, prefix: &str) -> Vec<String> {
        let state = self.state();
        let keys = Keys::Prefixed(prefix.to_owned());
        state.slots.keys().filter(|key| keys.contain(key) && state.live(key).is_some()).cloned().collect()
    }

    /// Everything in it.
    pub fn contents(&self) -> BTreeMap<String, Bytes> {
        self.keys().into_iter().filter_map(|key| self.get(&key).map(|value| (key, value))).collect()
    }

    /// What the Worker did so far, in order.
    pub fn operations(&self) -> Vec<Operation> {
        self.state().operations.clone()
    }

    /// Forgets what the Worker did so far.
    pub fn forget_operations(&self) {
        self.state().operations.clear();
    }

    /// What the Worker did so far, by kind.
    pub fn counts(&self) -> BTreeMap<KvCall, Count> {
        let mut counts = BTreeMap::<KvCall, Count>::new();
        for operation in &self.state().operations {
            let count = counts.entry(operation.kind).or_default();
            count.operations += 1;
            count.bytes += operation.bytes;
        }
        counts
    }

    /// How often the Worker did something of this kind.
    pub fn count(&self, kind: KvCall) -> usize {
        self.counts().get(&kind).map_or(0, |count| count.operations)
    }

    /// What the keys are called that the Worker wrote so far, in order; one that was written twice is there twice.
    pub fn written(&self) -> Vec<String> {
        let written = |operation: &&Operation| operation.kind == KvCall::Put && operation.status < 300;
        self.state().operations.iter().filter(written).map(|operation| name_of(&operation.key).to_owned()).collect()
    }

    /// Lets operations fail.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Ends all faults and delays.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.stale.clear();
    }

    /// Lets the next `reads` reads of some keys answer what was there before the latest write: KV is a cache, and may
    /// be a minute behind.
    pub fn stale(&self, keys: Keys, reads: u32) {
        self.state().stale.push((keys, reads));
    }

    /// Whether a second write to the same key within a second is refused with 429, as Cloudflare does.
    pub fn limit_writes(&self, limited: bool) {
        self.state().write_limit = limited;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The key that is meant: this one, else the one that is called so.
    fn key(&self, key: &str) -> String {
        if self.live(key).is_some() {
            return key.to_owned();
        }
        self.slots
            .keys()
            .find(|full| name_of(full) == key && self.live(full).is_some())
            .cloned()
            .unwrap_or_else(|| key.to_owned())
    }
}

impl Handler for Kv {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(std::future::ready(self.state().answer(&request)))
    }
}
