//! The sync against the simulated account: what it publishes, what it costs, and what it does when things go wrong.

mod client;
mod cost;
mod drift;
mod large;
mod loss;
mod odd;
mod oracle;
mod overlay;
mod resume;
mod scopes;
mod tokens;
mod trouble;
mod truth;

use sim::cloudflare::Spec;

/// An account of a size.
fn account(members: usize) -> Spec {
    Spec { members, ..Spec::default() }
}
