//! The request quota per credential: a number in a window, then everything refused for a while.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::spec::Limits;

/// What the limiter says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on; `left` requests remain until the window ends.
    Allowed { left: u32, resets_in: Duration },
    /// Refused until the block ends.
    Blocked { ends_in: Duration },
}

#[derive(Clone, Copy, Debug)]
enum Meter {
    Counting { since: Instant, used: u32 },
    Blocked { until: Instant },
}

/// Counts requests per credential.
#[derive(Debug)]
pub(super) struct Limiter {
    pub(super) limits: Limits,
    meters: HashMap<String, Meter>,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, meters: HashMap::new() }
    }

    /// Forgets every count and block.
    pub(super) fn reset(&mut self) {
        self.meters.clear();
    }

    /// Counts one request.
    pub(super) fn take(&mut self, credential: &str, now: Instant) -> Verdict {
        let limits = self.limits;
        let fresh = Meter::Counting { since: now, used: 0 };
        let meter = self.meters.entry(credential.to_owned()).or_insert(fresh);
        let over = match *meter {
            Meter::Counting { since, .. } => now >= since + limits.window,
            Meter::Blocked { until } => now >= until,
        };
        if over {
            *meter = fresh;
        }
        match *meter {
            Meter::Blocked { until } => Verdict::Blocked { ends_in: until - now },
            Meter::Counting { used, .. } if used >= limits.requests => {
                *meter = Meter::Blocked { until: now + limits.block };
                Verdict::Blocked { ends_in: limits.block }
            }
            Meter::Counting { since, used } => {
                *meter = Meter::Counting { since, used: used + 1 };
                Verdict::Allowed { left: limits.requests - used - 1, resets_in: since + limits.window - now }
            }
        }
    }
}

/// Whole seconds, rounded up, as the headers tell them.
pub(super) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The documented headers: remaining requests and seconds to the reset, and the quota itself.
pub(super) fn headers(limits: Limits, left: u32, resets_in: Duration) -> [(&'static str, String); 2] {
    [
        ("ratelimit", format!("\"default\";r={left};t={}", seconds(resets_in))),
        ("ratelimit-policy", format!("\"default\";q={};w={}", limits.requests, seconds(limits.window))),
    ]
}
