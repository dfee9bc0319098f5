//! Ports that count the key-value operations that go through them.

use std::cell::Cell;

use super::run::Cursor;
use crate::base::ports::{Clock, KeyValue, KvError, Sql, SqlError, SqlValue};
use crate::base::space::Space;
use crate::base::time::Timestamp;
use crate::snapshot::KvUse;

/// The same ports, counted.
#[derive(Debug)]
pub(super) struct MeteredPorts<'a, P> {
    ports: &'a P,
    used: Cell<KvUse>,
}

impl<'a, P> MeteredPorts<'a, P> {
    pub(super) fn new(ports: &'a P) -> Self {
        Self { ports, used: Cell::default() }
    }

    /// How many operations there were since [`Self::take`] was asked last.
    pub(super) fn count_so_far(&self) -> u64 {
        let used = self.used.get();
        used.reads + used.writes + used.deletes
    }

    /// What was used since this was asked last.
    pub(super) fn take(&self) -> KvUse {
        self.used.take()
    }

    fn count(&self, change: impl FnOnce(&mut KvUse)) {
        let mut used = self.used.get();
        change(&mut used);
        self.used.set(used);
    }
}

/// Adds what was used of KV to the cursor's account.
pub(super) fn add_use<P>(cursor: &mut Cursor, kv: &MeteredPorts<'_, P>) {
    let used = kv.take();
    cursor.kv.reads += used.reads;
    cursor.kv.writes += used.writes;
    cursor.kv.deletes += used.deletes;
}

impl<P: KeyValue> KeyValue for MeteredPorts<'_, P> {
    fn space(&self) -> &Space {
        self.ports.space()
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.count(|used| used.reads += 1);
        self.ports.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.count(|used| used.writes += 1);
        self.ports.put(key, value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.count(|used| used.deletes += 1);
        self.ports.delete(key).await
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        self.ports.sha256(bytes).await
    }
}

impl<P: Sql> Sql for MeteredPorts<'_, P> {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.ports.query(statement, params)
    }

    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        self.ports.whole(work)
    }
}

impl<P: Clock> Clock for MeteredPorts<'_, P> {
    fn now(&self) -> Timestamp {
        self.ports.now()
    }

    async fn sleep(&self, millis: u32) {
        self.ports.sleep(millis).await;
    }
}
