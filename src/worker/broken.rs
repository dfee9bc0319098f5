//! What happens when the WebAssembly breaks: a panic, or whatever else traps, ends a call in the middle of something. `shim.js` starts it again.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

thread_local! {
    static TELL: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Has `tell` called at the moment that this instance breaks. From then on wasm-bindgen lets nothing into it.
///
/// It takes the place of what the crate `worker` has done then. That one has wasm-bindgen start the instance again at the next call, which
/// it does between the look whether a closure is of this instance and the closure's call (as of 0.2.130): work of the old instance would go on in the
/// memory of the new one.
#[wasm_bindgen(js_name = whenBroken)]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
pub fn when_broken(tell: Function) {
    TELL.set(Some(tell));
    wasm_bindgen::handler::set_on_abort(|| {
        // In an instance that is broken, where as little as possible should be done.
        TELL.with(|told| {
            if let Ok(told) = told.try_borrow()
                && let Some(tell) = &*told
            {
                let _ = tell.call0(&JsValue::UNDEFINED);
            }
        });
    });
}
