//! Simulators of the two services that the connector stands between, wrong in the ways the real ones are, and the
//! harness that runs the built Worker against them.

pub mod baton;
pub mod chaos;
pub mod client;
pub mod cloudflare;
pub mod conductorone;
pub mod harness;
pub mod hosting;
pub mod http;
#[cfg(feature = "contract")]
pub mod openapi;
pub mod snapshot;
pub mod stage;
#[cfg(feature = "stores")]
pub mod stores;
