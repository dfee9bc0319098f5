//! What every file of this room needs of the runtime: the bindings, the clock, the log, the text of an error.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, JSON, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::Env;

use super::config::Known;
use crate::base::ports::{Level, SqlError};
use crate::base::shelf::Shelf;
use crate::base::time::Timestamp;
use crate::routes::{NotConfigured, Settings};

thread_local! {
    /// The configuration as it was last read. Lost with the isolate: only ever a saving.
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
    /// What was read of the snapshot: generations and chunks never change under their names. Lost with the isolate, too.
    static SHELF: RefCell<Shelf> = RefCell::default();
}

/// The configuration of the bindings.
pub(super) fn config(env: &Env) -> Rc<Result<Settings, NotConfigured>> {
    // Variables and secrets are the same kind of binding: a text. An unset one is undefined. Of what stands without quotes in wrangler.toml wrangler
    // makes a binding of another kind: as JSON it is what was written there, and never what nobody set. A binding of a service is none of both.
    let lookup = |name: &str| {
        let value = Reflect::get(env.as_ref(), &name.into()).ok().filter(|value| !value.is_null_or_undefined())?;
        let is_plain = |value: &JsValue| Object::get_prototype_of(value) == Object::get_prototype_of(&Object::new());
        let is_data = !value.is_object() || Array::is_array(&value) || is_plain(&value);
        value.as_string().or_else(|| JSON::stringify(&value).ok().filter(|_| is_data)?.as_string())
    };
    KNOWN.with_borrow_mut(|known| match known {
        Some(known) if known.holds(lookup) => known.settings(),
        _ => known.insert(Known::read(lookup)).settings(),
    })
}

/// What was read of the snapshot, by whichever part of the Worker is in this isolate.
pub(super) fn shelf<T>(f: impl FnOnce(&mut Shelf) -> T) -> T {
    SHELF.with_borrow_mut(f)
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(i64::try_from(worker::Date::now().as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn log(level: Level, message: &str, fields: &serde_json::Value) {
    let line = serde_json::json!({ "message": message, "fields": fields }).to_string();
    match level {
        Level::Info => worker::console_log!("{line}"),
        Level::Warn => worker::console_warn!("{line}"),
        Level::Error => worker::console_error!("{line}"),
    }
}

/// The text of an error of the runtime's, causes included: its own `Display` names the category alone.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(super) fn sql_error(error: &worker::Error) -> SqlError {
    SqlError(chain(error))
}

/// Calls a method that no crate has a binding of.
pub(super) fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let method: Function = Reflect::get(object, &method.into())?.dyn_into()?;
    method.apply(object, &arguments.iter().collect::<Array>())
}
