//! What every file of this room needs of the runtime: the bindings, the clock, the log.

use std::cell::RefCell;
use std::rc::Rc;

use worker::Env;

use super::config::Known;
use super::io;
use crate::base::object::object_of;
use crate::base::ports::Level;
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
    let lookup = |name: &str| io::variable(env.as_ref(), name);
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
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds without a fraction, as JavaScript tells the time")]
    Timestamp::from_millis(js_sys::Date::now() as i64)
}

pub(super) fn log(level: Level, message: &str, fields: &serde_json::Value) {
    let line = object_of(vec![("message", message.into()), ("fields", fields.clone())]).to_string();
    match level {
        Level::Info => worker::console_log!("{line}"),
        Level::Warn => worker::console_warn!("{line}"),
        Level::Error => worker::console_error!("{line}"),
    }
}
