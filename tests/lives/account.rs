//! Accounts without much in them, and a connector's settings for one.

#![allow(dead_code, reason = "each test binary uses its own part")]

use c1_cloudflare::coordinator::Settings;
use c1_cloudflare::worker::config;
use sim::cloudflare::{Cloudflare, Limits, Spec};

/// An account with members of the simulator's own and nothing else that would be in a test's way: no groups, no invitations, and no
/// limit of requests that is ever met.
pub(crate) fn account(members: usize, seed: u64) -> Cloudflare {
    Cloudflare::new(Spec {
        members,
        roles: 12,
        groups: 0,
        zones: 2,
        seed,
        pending_share: 0.0,
        limits: Limits { requests: 1_000_000, ..Limits::default() },
        ..Spec::default()
    })
}

/// The settings of a connector to an account, with more variables than those that it cannot do without.
pub(crate) fn settings(cloudflare: &Cloudflare, more: &[(&'static str, &str)]) -> Settings {
    let mut vars = cloudflare.variables();
    vars.extend(more.iter().map(|&(name, value)| (name, value.to_owned())));
    config::read(|name| vars.get(name).cloned()).unwrap().coordinator
}
