//! The built Worker in the real runtime, from outside: what ConductorOne, Cloudflare and people see of it. The modules are
//! named for the URL paths they are about.
//!
//! Each test has a small account and a Worker of its own. Whatever a test is about, its [`Deployment`] also checks every
//! answer, every log line and every outgoing request for what must never be there.
//!
//! [`Deployment`]: deployment::Deployment

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where, in its helpers as well"
)]

mod access;
#[path = "../support/access.rs"]
mod access_team;
mod accounts;
mod adverse;
mod another_account;
#[path = "../support/approvals.rs"]
mod approvals;
mod auth;
mod broken;
mod c1;
#[path = "../support/calls.rs"]
mod calls;
mod chaos;
mod connect;
#[path = "../support/connected.rs"]
mod connected;
mod deployment;
mod doctor;
mod export;
#[path = "../support/found.rs"]
mod found;
mod grants;
mod invitations;
#[path = "../support/jane.rs"]
mod jane;
#[path = "../support/looks.rs"]
mod looks;
mod openapi;
mod push;
mod scim;
#[path = "../support/signals.rs"]
mod signal_case;
mod signals;
mod sync;
#[path = "../support/doctor.rs"]
mod told_by_doctor;
mod undone;
mod walk;
mod webhook;
