//! What `baton-cloudflare` asks of Cloudflare for one sync, by the way it lists things (`reference/conductorone.md` 3.4 and
//! 3.5). Computed, not measured.

/// The size of an account, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Memberships, pending ones included.
    pub members: usize,
    /// Pending memberships.
    pub pending: usize,
    /// Legacy roles in the roles list; Super Administrator is added to them.
    pub roles: usize,
    /// Account tokens.
    pub tokens: usize,
}

/// The formula, for people.
pub const FORMULA: &str = "(R+1)·(⌈M/20⌉+1) + (⌈M/20⌉+1) + (⌈P/20⌉+1) + (⌈R/20⌉+1) + (⌈T/50⌉+1)";

/// How many requests a sync takes: all members once for each role, then users, invitations, roles and tokens, each list
/// with the empty page at which it stops.
pub const fn requests(size: Size) -> usize {
    let members = list(size.members, 20);
    (size.roles + 1) * members + members + list(size.pending, 20) + list(size.roles, 20) + list(size.tokens, 50)
}

const fn list(items: usize, per_page: usize) -> usize {
    items.div_ceil(per_page) + 1
}
