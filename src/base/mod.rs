//! The ground floor: time, hashes, the ports through which the world is reached, signing, and the table of jobs. It knows nothing of
//! Cloudflare, of C1, or of what is governed.

pub mod base64;
#[cfg(any(test, feature = "fakes"))]
mod database;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
pub mod hash;
pub mod jobs;
pub mod keys;
pub(crate) mod object;
pub mod order;
pub mod ports;
pub mod remedy;
pub mod rows;
pub mod seats;
pub mod settings;
pub mod shelf;
pub mod signing;
pub mod space;
pub mod time;
#[cfg(any(test, feature = "fakes"))]
pub mod timers;
pub mod tree;
pub mod under_way;
pub mod unicode;
pub mod url;
pub(crate) mod words;
pub mod zstd;

pub use ::json;
