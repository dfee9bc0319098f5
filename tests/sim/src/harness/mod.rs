//! Runs the built Worker in workerd, with a KV namespace, a ConductorOne and a Cloudflare that tests can look into and
//! break. Everything listens on loopback, on ports that the system picks, and ends with the test.

pub mod gateway;
pub mod kv;
pub mod workerd;

mod config;
mod door;
mod install;
mod world;

pub use config::COMPATIBILITY_DATE;
#[cfg(feature = "stores")]
pub(crate) use install::workspace;
pub use workerd::{Options, StartError, Worker};
pub use world::{CLOUDFLARE_HOST, NotInTime, World};
