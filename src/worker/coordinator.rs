//! The Durable Object around the [`Coordinator`](crate::coordinator::Coordinator).

#![allow(missing_docs, reason = "what `wasm_bindgen` makes of the methods has none")]

use std::cell::Cell;
use std::time::Duration;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::Env;

use super::env::{config, log, now, shelf};
use super::kv::Namespace;
use super::object::{Object, is_former, space, standing};
use super::{crypto, fetch, io, zstd};
use crate::base::json;
use crate::base::ports::{
    Alarm, Clock, Http, HttpError, HttpRequest, HttpResponse, KeyValue, KvError, Level, Log, Sql, SqlError, SqlValue,
    Zstd, ZstdError,
};
use crate::base::ports::{Sign, SignError};
use crate::base::shelf::Shelf;
use crate::base::signing::SigningKey;
use crate::base::space::Space;
use crate::base::time::Timestamp;
use crate::coordinator::succession::{self, Standing};
use crate::coordinator::{self, Ask, Command, Reply};
use crate::routes::{NotConfigured, Settings};

/// The Durable Object class, to `shim.js`. Exported by hand: what the crate `worker` has for one brings all of the errors that it knows.
#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
pub struct Coordinator {
    /// What the runtime has for this object.
    state: JsValue,
    /// Its id.
    id: String,
    env: Env,
    core: coordinator::Coordinator,
    /// Whether the database is as this version has it.
    is_ready: Cell<bool>,
    /// Whether everything was taken over from the object that there was before, and the alarm rings again where another account was configured.
    is_whole: Cell<bool>,
    /// The earliest time that anybody asked to be woken at since the alarm last rang.
    wanted: Cell<Option<i64>>,
}

#[wasm_bindgen]
impl Coordinator {
    #[wasm_bindgen(constructor)]
    pub fn new(state: JsValue, id: String, env: Env) -> Self {
        let core = coordinator::Coordinator::default();
        let (is_ready, is_whole, wanted) = (Cell::new(false), Cell::new(false), Cell::new(None));
        Self { state, id, env, core, is_ready, is_whole, wanted }
    }

    /// Does what a command says, and answers it.
    pub async fn answer(&self, command: String) -> Result<String, JsValue> {
        let command: Command = json::read(command.as_bytes()).map_err(failed)?;
        let settings = config(&self.env);
        let reply = match self.desk(&settings) {
            Ok((desk, settings)) => match self.standing(settings) {
                Ok(Standing::Own) => match self.take_over(&desk, settings).await {
                    Ok(()) => self.core.handle(&desk, settings, command).await,
                    Err(message) => Reply::Failed { message },
                },
                Ok(Standing::Former) => self.answer_as_former(&desk, command).await,
                Ok(Standing::OfAnotherAccount) => Reply::Failed {
                    message: "CLOUDFLARE_ACCOUNT_ID names another account by now; try again in a moment".to_owned(),
                },
                Err(message) => Reply::Failed { message },
            },
            Err(message) => Reply::Failed { message },
        };
        serde_json::to_string(&reply).map_err(failed)
    }

    /// Rings.
    pub async fn alarm(&self) -> Result<(), JsValue> {
        self.wanted.set(None);
        let settings = config(&self.env);
        let done = match self.desk(&settings) {
            Ok((desk, settings)) => self.ring(&desk, settings).await,
            Err(message) => Err(message),
        };
        // Where the configuration cannot be read there is no space in KV either, and none is needed.
        let desk =
            ObjectPorts { state: &self.state, kv: None, wanted: &self.wanted, space: Space::new("none", "none") };
        coordinator::rang(&desk, done).await.map_err(failed)
    }
}

/// What the runtime is told where a call failed.
#[allow(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn failed(why: impl ToString) -> JsValue {
    js_sys::Error::new(&why.to_string()).into()
}

impl Coordinator {
    async fn ring(&self, desk: &ObjectPorts<'_>, settings: &coordinator::Settings) -> Result<(), String> {
        match self.standing(settings)? {
            Standing::Own => {
                self.take_over(desk, settings).await?;
                self.core.alarm(desk, settings).await;
            }
            Standing::OfAnotherAccount => {
                self.is_whole.set(false);
                succession::fall_asleep(desk).map_err(|error| error.to_string())?;
            }
            Standing::Former => match succession::emptied_at(desk).map_err(|error| error.to_string())? {
                Some(at) if at <= desk.now() => succession::empty(desk).map_err(|error| error.to_string())?,
                Some(at) => desk.wake(at).await.map_err(|error| error.to_string())?,
                // Something was due here: the account's own Coordinator is to see to it.
                None => match Object::of(&self.env, settings.cloudflare.account_id).ask(Command::Status).await {
                    Ok(Reply::Failed { message }) => return Err(message),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                },
            },
        }
        Ok(())
    }

    fn standing(&self, settings: &coordinator::Settings) -> Result<Standing, String> {
        standing(&self.env, &self.id, settings.cloudflare.account_id)
    }

    async fn take_over(&self, desk: &ObjectPorts<'_>, settings: &coordinator::Settings) -> Result<(), String> {
        if self.is_whole.get() {
            return Ok(());
        }
        let account = settings.cloudflare.account_id;
        let wakes = succession::take_over(desk, account, &Object::former(&self.env)).await;
        if wakes.map_err(|error| error.to_string())? {
            desk.wake(desk.now()).await.map_err(|error| error.to_string())?;
        }
        self.is_whole.set(true);
        Ok(())
    }

    async fn answer_as_former(&self, desk: &ObjectPorts<'_>, command: Command) -> Reply {
        let reply = succession::answer(desk, command).await;
        let emptied = match succession::emptied_at(desk) {
            Ok(Some(at)) => desk.wake(at).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match emptied {
            Ok(()) => reply,
            Err(error) => Reply::Failed { message: error.to_string() },
        }
    }

    /// Sees to it that the database is as this version has it. Where that fails, the next one to come tries again.
    fn ready(&self) -> Result<(), SqlError> {
        if self.is_ready.get() {
            return Ok(());
        }
        let space = Space::new("none", "none");
        let desk = ObjectPorts { state: &self.state, kv: None, wanted: &self.wanted, space };
        // The object that there was before is not made where it was not.
        if !is_former(&self.env, &self.id) || succession::was_in_use(&desk) != Ok(false) {
            coordinator::init(&desk)?;
        }
        self.is_ready.set(true);
        Ok(())
    }

    fn desk<'a>(
        &self,
        settings: &'a Result<Settings, NotConfigured>,
    ) -> Result<(ObjectPorts<'_>, &'a coordinator::Settings), String> {
        self.ready().map_err(|error| error.to_string())?;
        let settings = settings.as_ref().map_err(ToString::to_string)?;
        let kv = Namespace::of(&self.env).map_err(|error| error.to_string())?;
        let space = space(&self.env, settings.coordinator.cloudflare.account_id)?;
        Ok((ObjectPorts { state: &self.state, kv: Some(kv), wanted: &self.wanted, space }, &settings.coordinator))
    }
}

/// What the Coordinator works with.
struct ObjectPorts<'a> {
    state: &'a JsValue,
    kv: Option<Namespace>,
    wanted: &'a Cell<Option<i64>>,
    space: Space,
}

impl ObjectPorts<'_> {
    fn kv(&self) -> Result<&Namespace, KvError> {
        self.kv.as_ref().ok_or_else(Namespace::missing)
    }
}

impl Http for ObjectPorts<'_> {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        fetch::send(request).await
    }
}

impl KeyValue for ObjectPorts<'_> {
    fn space(&self) -> &Space {
        &self.space
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.kv()?.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        self.kv()?.put(key, &value).await
    }

    async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.kv()?.delete(key).await
    }

    async fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        crypto::sha256(bytes).await
    }

    fn shelf<T>(&self, f: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        Some(shelf(f))
    }
}

impl Clock for ObjectPorts<'_> {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, millis: u32) {
        worker::Delay::from(Duration::from_millis(u64::from(millis))).await;
    }
}

impl Zstd for ObjectPorts<'_> {
    type Frame = zstd::Frame;

    fn frame(&self, content_size: u64) -> Result<Self::Frame, ZstdError> {
        Ok(zstd::frame(content_size))
    }
}

impl Sign for ObjectPorts<'_> {
    async fn sign(&self, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SignError> {
        crypto::sign(key, message).await
    }

    async fn public_key(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        crypto::public_key(key).await
    }
}

impl Log for ObjectPorts<'_> {
    fn log(&self, level: Level, message: &str, fields: serde_json::Value) {
        log(level, message, &fields);
    }
}

impl Alarm for ObjectPorts<'_> {
    async fn wake(&self, at: Timestamp) -> Result<(), SqlError> {
        let earliest = || at.millis().min(self.wanted.get().unwrap_or(i64::MAX));
        self.wanted.set(Some(earliest()));
        let current = io::alarm_of(self.state).await.map_err(SqlError)?;
        // Somebody else may have come between, and asked for an earlier time: the later one must not take its place.
        let at = Timestamp::from_millis(earliest());
        if current.is_some_and(|current| current <= at.millis()) {
            return Ok(());
        }
        io::wake(self.state, at.max(now()).millis()).await.map_err(SqlError)
    }
}

impl Sql for ObjectPorts<'_> {
    fn query(&self, statement: &str, params: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        io::of_sql(self.state, statement, params).map_err(SqlError)
    }

    fn whole(&self, work: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
        let mut came_to = Ok(());
        let done = io::all_or_nothing(self.state, &mut || {
            came_to = work();
            came_to.is_ok()
        });
        came_to?;
        done.map_err(SqlError)
    }
}
