//! Ports for unit tests: a clock that is set, a key-value store that fails on chosen keys, SQLite in memory.

#![allow(
    unknown_lints,
    clippy::unused_async_trait_impl,
    reason = "async because the ports are; older Clippys do not know it"
)]

use crate::base::tree::{BTreeMap, BTreeSet};
use std::cell::{Cell, RefCell};

use ed25519_dalek::Signer as _;

use crate::base::database::Database;
use crate::base::ports::{Clock, KeyValue, KvError, Sql, SqlError, SqlValue};
use crate::base::ports::{Sign, SignError};
use crate::base::signing::SigningKey;
use crate::base::space::Space;
use crate::base::time::Timestamp;
use crate::base::timers::Timers;

/// When a write of a chosen key fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    BeforePersisting,
    AfterPersisting,
}

/// A desk with everything on it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) space: Space,
    pub(crate) values: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) puts: RefCell<Vec<String>>,
    pub(crate) gets: RefCell<Vec<String>>,
    pub(crate) faults: RefCell<BTreeMap<String, Fault>>,
    /// Values that are seen only after a number of reads in vain.
    pub(crate) late: RefCell<BTreeMap<String, (u32, Vec<u8>)>>,
    pub(crate) time: Cell<Timestamp>,
    timers: Timers,
    database: Database,
}

impl Desk {
    /// The desk of an account whose id nobody looks at.
    pub(crate) fn new() -> Self {
        Self::of(format!("{:032x}", 7))
    }

    /// The desk of an account.
    pub(crate) fn of(account: impl std::fmt::Display) -> Self {
        Self {
            space: Space::new(account, "0123456789abcdef"),
            values: RefCell::default(),
            puts: RefCell::default(),
            gets: RefCell::default(),
            faults: RefCell::default(),
            late: RefCell::default(),
            time: Cell::new(Timestamp::from_secs(1_800_000_000)),
            timers: Timers::default(),
            database: Database::new().unwrap(),
        }
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.values.borrow().keys().cloned().collect()
    }

    pub(crate) fn advance(&self, secs: i64) {
        self.time.set(self.time.get().plus_secs(secs));
    }

    /// The account whose desk it is.
    pub(crate) fn account<T: std::str::FromStr<Err: std::fmt::Debug>>(&self) -> T {
        self.space.key("").split('/').next().unwrap().parse().unwrap()
    }

    /// The key of a value of this account's.
    pub(crate) fn key(&self, name: &str) -> String {
        self.space.key(name)
    }

    /// What the keys of the values are called.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.keys().iter().map(|key| self.space.name_of(key).unwrap_or(key).to_owned()).collect()
    }

    /// The first key with a prefix that has a fault decides.
    fn fault(&self, key: &str) -> Option<Fault> {
        let name = self.space.name_of(key).unwrap_or(key);
        self.faults.borrow().iter().find(|(prefix, _)| name.starts_with(prefix.as_str())).map(|(_, fault)| *fault)
    }
}

impl KeyValue for Desk {
    fn space(&self) -> &Space {
        &self.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.gets.borrow_mut().push(key.to_owned());
        let late = self.late.borrow_mut().remove(key);
        if let Some((reads, value)) = late {
            if reads > 0 {
                self.late.borrow_mut().insert(key.to_owned(), (reads - 1, value));
            } else {
                self.values.borrow_mut().insert(key.to_owned(), value);
            }
        }
        Ok(self.values.borrow().get(key).cloned())
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        let fault = self.fault(key);
        if fault != Some(Fault::BeforePersisting) {
            self.values.borrow_mut().insert(key.to_owned(), value);
            self.puts.borrow_mut().push(key.to_owned());
        }
        fault.map_or(Ok(()), |fault| Err(KvError(format!("{fault:?}"))))
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.values.borrow_mut().remove(key);
        Ok(())
    }
}

impl Clock for Desk {
    fn now(&self) -> Timestamp {
        self.time.get()
    }

    async fn sleep(&self, millis: u32) {
        let set = |millis| self.time.set(Timestamp::from_millis(millis));
        self.timers.sleep(millis, || self.time.get().millis(), set).await;
    }
}

impl Sign for Desk {
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(ed25519_dalek::SigningKey::from_bytes(key.expose()).sign(message).to_bytes().to_vec())
    }

    async fn public_key(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        Ok(ed25519_dalek::SigningKey::from_bytes(key.expose()).verifying_key().to_bytes().to_vec())
    }
}

impl Sql for Desk {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.database.query(statement, params)
    }
}

impl crate::base::ports::Zstd for Desk {
    type Frame = crate::base::zstd::RawFrame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, crate::base::ports::ZstdError> {
        Ok(crate::base::zstd::RawFrame::new(content_size))
    }
}
