//! What one invocation may use.

use crate::base::settings::Plan;

/// The limits of one step (`reference/cloudflare.md` 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests to Cloudflare.
    pub requests: u32,
    /// Pages to read.
    pub pages: u32,
    /// Milliseconds, by the clock.
    pub millis: i64,
    /// Requests on their way at once. A Worker has six connections; two are left for KV and for provisioning.
    pub in_flight: usize,
    /// Key-value operations after which a publication is remembered in a step of its own: an invocation has 1,000. Of 50,000 members, in 200 chunks,
    /// up to 600 write the snapshot and 800 find out what is new in it and sweep.
    pub key_value: u64,
    /// Whether the snapshot is written in a step of its own, which has processor time of its own.
    pub publish_apart: bool,
}

impl Limits {
    /// The limits of a plan.
    pub const fn of(plan: Plan) -> Self {
        match plan {
            // 50 outgoing requests in an invocation: 40, since retries are not foreseen. 10 ms of processor time: a page
            // of 50 members takes 1 to 3 ms to read.
            Plan::Free => {
                Self { requests: 40, pages: 4, millis: 60_000, in_flight: 4, key_value: 200, publish_apart: true }
            }
            // 10,000 requests and 15 minutes; but 30 s of processor time, and 800 requests in five minutes anyway.
            Plan::Paid => {
                Self { requests: 900, pages: 400, millis: 300_000, in_flight: 4, key_value: 200, publish_apart: false }
            }
        }
    }
}
