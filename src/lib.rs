//! ConductorOne's connector to Cloudflare: a Worker that crawls an account's people and access into Workers KV and
//! provisions roles when ConductorOne asks for it. ARCHITECTURE.md has the map.

// The ports are used generically within this crate, on one thread: their futures need not be `Send`.
#![allow(async_fn_in_trait)]

pub mod cloudflare;
pub mod conductorone;
pub mod config;
pub mod model;
pub mod ports;
pub mod provision;
pub mod sync;
#[cfg(test)]
mod testing;
pub mod time;
