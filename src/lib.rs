//! ConductorOne's connector to Cloudflare: a Worker that crawls an account's people and access into Workers KV and
//! provisions roles when ConductorOne asks for it. ARCHITECTURE.md has the map.
//!
//! This file has the entry points alone: `fetch`, `scheduled`, and the Durable Object class [`worker::coordinator::Coordinator`].

// The ports are used generically within this crate, on one thread: their futures need not be `Send`.
#![allow(async_fn_in_trait)]

/// What tests of the whole share names the crate from outside.
#[cfg(test)]
extern crate self as c1_cloudflare;

pub mod account;
pub mod audit;
pub mod base;
pub mod cloudflare;
pub mod conductorone;
pub mod connect;
pub mod coordinator;
pub mod decide;
pub mod export;
pub mod findings;
pub mod ledger;
pub mod model;
pub mod provision;
pub mod push;
pub mod routes;
pub mod scim;
pub mod signal;
pub mod snapshot;
pub mod sync;
pub mod worker;

#[cfg(target_arch = "wasm32")]
mod entry {
    use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
    use web_sys::ReadableStream;
    use worker::{Context, Env, event, worker_sys};

    use crate::worker::Request;

    #[event(start)]
    fn start() {
        console_error_panic_hook::set_once();
    }

    /// Exported by hand: the macro's handler brings all of the errors that the crate `worker` knows, with their texts.
    #[wasm_bindgen]
    #[allow(unreachable_pub, reason = "exported to JavaScript")]
    pub async fn fetch(
        method: String,
        url: String,
        headers: JsValue,
        body: Option<ReadableStream>,
        env: Env,
        context: worker_sys::Context,
    ) -> Result<JsValue, JsValue> {
        let request = Request { method: &method, url: &url, headers: &headers, body };
        crate::worker::respond(request, &env, &Context::new(context))
            .await
            .map_err(|message| JsValue::from_str(&message))
    }

    /// Exported by hand: the macro's handler cannot fail, and a cron that could not start a sync should show as failed.
    #[wasm_bindgen]
    #[allow(unreachable_pub, reason = "exported to JavaScript")]
    pub async fn scheduled(
        _event: worker_sys::ScheduledEvent,
        env: Env,
        _context: worker_sys::ScheduleContext,
    ) -> Result<JsValue, JsValue> {
        crate::worker::cron(&env).await.map(|()| JsValue::UNDEFINED).map_err(|message| JsValue::from_str(&message))
    }
}
