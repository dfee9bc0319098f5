//! The sync against the simulated account: what it publishes, what it costs, and what it does when things go wrong.

mod client;
mod cost;
mod drift;
mod each_field;
mod large;
mod loss;
mod odd;
mod odd_pages;
pub(crate) mod oracle;
mod overlay;
mod refresh;
mod repeated;
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
