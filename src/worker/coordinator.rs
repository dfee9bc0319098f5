//! The Durable Object around the [`Coordinator`](crate::coordinator::Coordinator).

#![allow(missing_docs, reason = "the `durable_object` macro's own methods have none")]

use std::cell::Cell;
use std::time::Duration;

use worker::{DurableObject, Env, Request, Response, SqlStorageValue, State, durable_object};

use super::env::{chain, config, log, now, sql_error};
use super::{crypto, fetch, kv, zstd};
use crate::base::ports::{
    Alarm, Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, Level, Log, Sql, SqlError, SqlValue,
    Zstd, ZstdError,
};
use crate::base::ports::{Sign, SignError};
use crate::base::signing::SigningKey;
use crate::base::time::Timestamp;
use crate::coordinator::{self, Command, Reply};
use crate::routes::{NotConfigured, Settings};

/// The Durable Object class.
#[durable_object]
pub struct Coordinator {
    state: State,
    env: Env,
    core: coordinator::Coordinator,
    ready: Result<(), SqlError>,
    /// The earliest time that anybody asked to be woken at since the alarm last rang.
    wanted: Cell<Option<i64>>,
}

/// An alarm that could do nothing rings again after this.
const IN_VAIN: Duration = Duration::from_mins(1);

impl DurableObject for Coordinator {
    fn new(state: State, env: Env) -> Self {
        let wanted = Cell::new(None);
        let ready = coordinator::init(&Desk { state: &state, kv: None, wanted: &wanted });
        Self { state, env, core: coordinator::Coordinator::default(), ready, wanted }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let command: Command = serde_json::from_slice(&request.bytes().await?)?;
        let settings = config(&self.env);
        let reply = match self.desk(&settings) {
            Ok((desk, settings)) => self.core.handle(&desk, settings, command).await,
            Err(message) => Reply::Failed { message },
        };
        Response::from_json(&reply)
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.wanted.set(None);
        let settings = config(&self.env);
        match self.desk(&settings) {
            Ok((desk, settings)) => self.core.alarm(&desk, settings).await,
            // Not an error of the alarm, which the runtime would try six times and then forget: it rings until the configuration is mended.
            Err(message) => {
                log(Level::Error, "the alarm rang in vain", &serde_json::json!({ "why": message }));
                self.state.storage().set_alarm(IN_VAIN).await?;
            }
        }
        Response::empty()
    }
}

impl Coordinator {
    fn desk<'a>(
        &self,
        settings: &'a Result<Settings, NotConfigured>,
    ) -> Result<(Desk<'_>, &'a coordinator::Settings), String> {
        self.ready.clone().map_err(|error| error.to_string())?;
        let settings = settings.as_ref().map_err(ToString::to_string)?;
        let kv =
            self.env.kv(kv::BINDING).map_err(|error| format!("the KV binding STATE is missing: {}", chain(&error)))?;
        Ok((Desk { state: &self.state, kv: Some(kv), wanted: &self.wanted }, &settings.coordinator))
    }
}

/// What the Coordinator works with.
struct Desk<'a> {
    state: &'a State,
    kv: Option<worker::KvStore>,
    wanted: &'a Cell<Option<i64>>,
}

impl Desk<'_> {
    fn kv(&self) -> Result<&worker::KvStore, KvError> {
        self.kv.as_ref().ok_or_else(|| KvError("the KV binding STATE is missing".to_owned()))
    }
}

impl Http for Desk<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        fetch::send(request).await
    }
}

impl KeyValue for Desk<'_> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        kv::get(self.kv()?, key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        kv::put(self.kv()?, key, &value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        kv::delete(self.kv()?, key).await
    }
}

impl Clock for Desk<'_> {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, millis: u32) {
        worker::Delay::from(Duration::from_millis(u64::from(millis))).await;
    }
}

impl Zstd for Desk<'_> {
    type Frame = zstd::Frame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError> {
        Ok(zstd::frame(content_size))
    }
}

impl Sign for Desk<'_> {
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        crypto::sign(key, message).await
    }

    async fn public_key(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        crypto::public_key(key).await
    }
}

impl Log for Desk<'_> {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        log(level, message, &fields);
    }
}

impl Alarm for Desk<'_> {
    async fn wake(&self, at: Timestamp) -> Result<(), SqlError> {
        let storage = self.state.storage();
        let earliest = || at.millis().min(self.wanted.get().unwrap_or(i64::MAX));
        self.wanted.set(Some(earliest()));
        let current = storage.get_alarm().await.map_err(|error| sql_error(&error))?;
        // Somebody else may have come between, and asked for an earlier time: the later one must not take its place.
        let at = Timestamp::from_millis(earliest());
        if current.is_some_and(|current| current <= at.millis()) {
            return Ok(());
        }
        let delay = u64::try_from(at.since(now())).unwrap_or(0);
        storage.set_alarm(Duration::from_millis(delay)).await.map_err(|error| sql_error(&error))
    }
}

impl Sql for Desk<'_> {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        let params: Vec<SqlStorageValue> = params.iter().cloned().map(to_storage).collect();
        let cursor = self.state.storage().sql().exec(statement, params).map_err(|error| sql_error(&error))?;
        cursor
            .raw()
            .map(|row| row.map(|row| row.into_iter().map(from_storage).collect()).map_err(|error| sql_error(&error)))
            .collect()
    }
}

fn to_storage(value: SqlValue) -> SqlStorageValue {
    match value {
        SqlValue::Null => SqlStorageValue::Null,
        SqlValue::Integer(number) => SqlStorageValue::Integer(number),
        SqlValue::Real(number) => SqlStorageValue::Float(number),
        SqlValue::Text(text) => SqlStorageValue::String(text),
        SqlValue::Blob(bytes) => SqlStorageValue::Blob(bytes),
    }
}

fn from_storage(value: SqlStorageValue) -> SqlValue {
    match value {
        SqlStorageValue::Null => SqlValue::Null,
        SqlStorageValue::Boolean(flag) => SqlValue::Integer(i64::from(flag)),
        SqlStorageValue::Integer(number) => SqlValue::Integer(number),
        SqlStorageValue::Float(number) => SqlValue::Real(number),
        SqlStorageValue::String(text) => SqlValue::Text(text),
        SqlStorageValue::Blob(bytes) => SqlValue::Blob(bytes),
    }
}
