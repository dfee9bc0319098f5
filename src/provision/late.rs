//! How long what was sent to Cloudflare may still change something, and how long reads may be behind: everything that is remembered against
//! late writes and stale reads is remembered for as long as this says.
//!
//! Nothing here depends on how long an attempt at an operation may take. One that is cut off leaves its request under way, and the
//! time of that counts from when it was sent.

use crate::cloudflare::{READ_MILLIS, WRITE_MILLIS};

/// Cloudflare's edge waits this long for its own servers, and answers 524 then (`reference/cloudflare.md` 3.5).
const EDGE_SECS: i64 = 120;

/// From when a write is sent until nobody waits for it any more: the request may be on its way for as long as we would wait for an
/// answer, and then the edge waits for its servers.
pub(super) const AWAITED_SECS: i64 = WRITE_MILLIS as i64 / 1_000 + EDGE_SECS;

/// A server may go on with what nobody waits for; for how long is not documented. Twenty times what the edge gives it is 40 minutes.
pub(super) const LONGEST_LIFE_SECS: i64 = 20 * EDGE_SECS;

/// A read may take as long as we wait for one, and show what was there that long before it was asked for: reads are seen to catch
/// up within seconds (2.4). No longer than this, since somebody who really put an earlier state back by hand makes operations wait.
/// A write that was sent *before* is not a matter of stale reads: `open_writes` keeps it for [`LONGEST_LIFE_SECS`].
pub(super) const STALE_MILLIS: i64 = 2 * READ_MILLIS as i64;
