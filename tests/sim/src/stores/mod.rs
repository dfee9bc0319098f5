//! Where files are pushed to: real servers that check signatures, each behind a front that counts requests and can go wrong.

pub mod azurite;
mod front;
pub mod s3;

pub use front::{Front, Seen, StoreFault};
