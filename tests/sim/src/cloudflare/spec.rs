//! What a simulated account is made of, and which of the API's undecided behaviours it shows.

use std::time::Duration;

/// The size and seed of a simulated account. The same specification always makes the same account.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How many memberships there are, pending ones included: exactly this many.
    pub members: usize,
    /// How many legacy roles the roles list has. Super Administrator is not among them.
    pub roles: usize,
    /// The seed of everything that is random, ids included.
    pub seed: u64,
    /// Which share of the members is pending, 0.0 to 1.0; the first three members are never pending.
    pub pending_share: f64,
    /// How many user groups there are.
    pub groups: usize,
    /// How many domains there are, each with a resource group of its own.
    pub zones: usize,
    /// How many account tokens are listed. The first is the connector's own, which is listed also where there are to be none: no account has a
    /// token of its own that is not among them.
    pub tokens: usize,
    /// The account's id, 32 hexadecimal digits.
    pub account_id: String,
    /// The account token that the simulator accepts: `cfat_` and at least 40 characters.
    pub token: String,
    /// How the API behaves where its documents leave it open.
    pub behaviour: Behaviour,
    /// The rate limit.
    pub limits: Limits,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            members: 100,
            roles: 60,
            seed: 1,
            pending_share: 0.1,
            groups: 4,
            zones: 5,
            tokens: 6,
            account_id: "eb78d65290b24279ba6f44721b3ea3c4".into(),
            token: "cfat_simulated0account0token0000000000000000000000000".into(),
            behaviour: Behaviour::default(),
            limits: Limits::default(),
        }
    }
}

/// The request quota of one credential: `requests` per `window`, then 429 for `block`
/// (`reference/cloudflare.md` 3.3). Scale the clock by shortening both durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests allowed in a window.
    pub requests: u32,
    /// The window's length.
    pub window: Duration,
    /// For how long everything is refused once the quota was exceeded.
    pub block: Duration,
}

impl Limits {
    /// The documented quota with five minutes lasting `five_minutes`.
    pub const fn scaled(five_minutes: Duration) -> Self {
        Self { requests: 1_200, window: five_minutes, block: five_minutes }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::scaled(Duration::from_mins(5))
    }
}

/// What happens to a `page` or `per_page` outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// It is moved to the nearest value allowed.
    Clamp,
    /// The request is answered 400.
    Refuse,
}

/// How e-mail addresses are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collation {
    /// By their UTF-8 bytes.
    Bytes,
    /// Case ignored, and letters before digits and punctuation, as a database's collation may have it.
    CaseInsensitive,
}

/// The shape of a resource group's `scope`: an object in the API's description, an array in what was seen elsewhere
/// (`reference/cloudflare.md` 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeShape {
    /// An object everywhere.
    Object,
    /// An array of one object everywhere.
    Array,
    /// An array in `/iam/resource_groups`, an object inside policies.
    Mixed,
}

/// How a call is refused that the token lacks a permission for, or that names somebody else's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// HTTP 403 with code 9109.
    Unauthorized,
    /// HTTP 403 with code 10000.
    AuthenticationError,
    /// HTTP 404 with code 7003, as if there were no such object.
    NoRoute,
}

/// Behaviours that the API's documents leave open, or that differ between accounts. The default is what was seen live
/// or is documented; tests turn the others on.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent oddity that a test turns on")]
pub struct Behaviour {
    /// `page` and `per_page` out of range.
    pub out_of_range: OutOfRange,
    /// Whether the permission group list carries `result_info`.
    pub permission_groups_result_info: bool,
    /// Order of e-mail addresses.
    pub collation: Collation,
    /// The shape of `scope`.
    pub scope: ScopeShape,
    /// The code of "member already exists": 1004 or 1008.
    pub already_member_code: u32,
    /// Whether a member may be left with an empty policy set by `{"policies": []}`.
    pub accepts_empty_policies: bool,
    /// Whether GET of one member lists the policies of the member's user groups too.
    pub lists_inherited_policies: bool,
    /// Whether the list of members and the answer to a PUT of one list them as well.
    pub lists_inherited_policies_everywhere: bool,
    /// Whether `status: "accepted"` may be asked for when a member is added (an Enterprise entitlement).
    pub accepts_direct_add: bool,
    /// How many members there may be before "add limit reached".
    pub member_limit: Option<usize>,
    /// For how long a new user group's members answer 404.
    pub new_group_lag: Duration,
    /// How a missing token permission is told.
    pub missing_permission: Denial,
    /// How a well-formed id of another account is refused.
    pub foreign_account: Denial,
    /// Whether the token list shows only the caller's own token.
    pub lists_own_token_only: bool,
    /// Which tokens the caller made, where the token list shows no others: what a caller is given that has the permission `token.list_self`
    /// alone.
    pub lists_tokens_made: Option<Vec<String>>,
    /// Whether expired tokens are listed only with `include_expired=true`.
    pub hides_expired_tokens: bool,
    /// Whether every answer carries `Ratelimit` and `Ratelimit-Policy`.
    pub ratelimit_headers: bool,
    /// The roles API has reached its end: its routes answer 404 and members have no `roles`.
    pub roles_api_gone: bool,
    /// The roles list names its first role a second time under another name.
    pub repeats_a_role_id: bool,
    /// Objects carry fields that no document names.
    pub extra_fields: bool,
    /// The `eol_at` of a permission group without an end is an empty text instead of absent.
    pub blank_end_of_life: bool,
    /// How many reads of a member after a PUT still show it as it was before.
    pub stale_reads_after_put: usize,
    /// Addresses that the list of members does not show yet, though their memberships are there.
    pub unlisted: Vec<String>,
    /// Whether the list of members has those who declined only where it is asked for them by `status`; it counts them all the same.
    pub hides_rejected: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            out_of_range: OutOfRange::Clamp,
            permission_groups_result_info: true,
            collation: Collation::Bytes,
            scope: ScopeShape::Object,
            already_member_code: 1004,
            accepts_empty_policies: false,
            lists_inherited_policies: false,
            lists_inherited_policies_everywhere: false,
            accepts_direct_add: false,
            member_limit: None,
            new_group_lag: Duration::ZERO,
            missing_permission: Denial::Unauthorized,
            foreign_account: Denial::Unauthorized,
            lists_own_token_only: false,
            lists_tokens_made: None,
            hides_expired_tokens: false,
            ratelimit_headers: false,
            roles_api_gone: false,
            repeats_a_role_id: false,
            extra_fields: false,
            blank_end_of_life: false,
            stale_reads_after_put: 0,
            unlisted: Vec::new(),
            hides_rejected: false,
        }
    }
}
