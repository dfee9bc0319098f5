//! The Workers runtime, and the configuration that it hands over. Here and in the entry points alone the `worker` crate is named: the
//! [`ports`](crate::base::ports) on Workers, and the runtime's requests as ours.

#[cfg(target_arch = "wasm32")]
mod broken;
pub mod config;
#[cfg(target_arch = "wasm32")]
pub mod coordinator;
#[cfg(target_arch = "wasm32")]
mod crypto;
#[cfg(target_arch = "wasm32")]
mod edge;
#[cfg(target_arch = "wasm32")]
mod env;
#[cfg(target_arch = "wasm32")]
mod fetch;
#[cfg(target_arch = "wasm32")]
mod io;
#[cfg(target_arch = "wasm32")]
mod kv;
#[cfg(target_arch = "wasm32")]
mod object;
#[cfg(target_arch = "wasm32")]
mod zstd;

#[cfg(target_arch = "wasm32")]
pub use edge::{Request, cron, respond};
