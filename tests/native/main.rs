//! The connector without the runtime around it, against the simulated account: one program, since each compiles all of
//! the connector's generic code for its own ports, and links it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "../support/access.rs"]
mod access;
#[path = "../support/approvals.rs"]
mod approvals;
mod c1;
#[path = "../support/calls.rs"]
mod calls;
#[path = "../support/connected.rs"]
mod connected;
mod deployment;
mod feed;
#[path = "../support/found.rs"]
mod found;
mod fuzz;
#[path = "../fuzz/targets.rs"]
mod fuzz_targets;
#[path = "../support/jane.rs"]
mod jane;
mod ledger;
#[path = "../lives/mod.rs"]
mod lives;
#[path = "../support/looks.rs"]
mod looks;
#[path = "../matrix/mod.rs"]
mod matrix;
mod plans;
#[path = "../promises/mod.rs"]
mod promises;
mod provision;
mod routes;
mod rows;
#[path = "../support/signals.rs"]
mod signal_case;
mod signs;
#[path = "../support/mod.rs"]
mod support;
mod sync_crawl;
#[path = "../support/doctor.rs"]
mod told_by_doctor;
