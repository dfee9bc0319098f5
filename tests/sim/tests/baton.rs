//! What `baton-cloudflare` asks for.

use sim::baton::{Size, requests};

#[test]
fn the_formula_agrees_with_what_was_measured() {
    let account = |members| Size { members, pending: members / 20, roles: 60, tokens: 6 };
    assert_eq!(requests(account(1_000)), 3_172);
    assert_eq!(requests(account(5_000)), 15_582);
}
