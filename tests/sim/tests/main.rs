//! The simulators' own tests: one program, since each links the simulators and all that they need.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod baton;
mod cloudflare_account;
mod cloudflare_api;
mod cloudflare_contract;
mod cloudflare_faults;
mod cloudflare_support;
mod conductorone_api;
mod conductorone_delivery;
mod conductorone_dispatch;
mod conductorone_inbound;
mod conductorone_keys;
mod conductorone_support;
mod harness_program;
mod harness_webhook;
mod harness_worker;
mod sdks;
