//! The sync against the simulated account: what it publishes, what it costs, and what it does when things go wrong.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod cost;
mod drift;
mod large;
mod loss;
mod odd;
mod oracle;
mod overlay;
mod resume;
mod trouble;
mod truth;

use sim::cloudflare::Spec;

/// An account of a size.
fn account(members: usize) -> Spec {
    Spec { members, ..Spec::default() }
}
