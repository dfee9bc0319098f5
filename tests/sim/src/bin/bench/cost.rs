//! What a month costs on Workers Paid, from what was counted and Cloudflare's price list.

use crate::syncs::Sync;
use crate::table;

/// The day the prices are of.
const PRICES_OF: &str = "2026";

/// What the plan costs a month.
const PLAN: f64 = 5.0;

/// A sync every 15 minutes for 30 days.
const SYNCS: f64 = 30.0 * 24.0 * 4.0;

/// Memory that is billed of a Durable Object that runs, in GB.
const GIGABYTES: f64 = 0.128;

/// Something that is billed: how much is included in the plan, and what a million more costs.
struct Price {
    name: &'static str,
    included: f64,
    a_million: f64,
    of: fn(&Sync) -> f64,
}

#[expect(clippy::cast_precision_loss, reason = "a bill in cents")]
const PRICES: [Price; 6] = [
    // The cron trigger, and as much again for who looks.
    Price { name: "Worker requests", included: 10e6, a_million: 0.30, of: |_| 2.0 },
    Price {
        name: "ms of processor time",
        included: 30e6,
        a_million: 0.02,
        of: |sync| sync.cpu.map_or(0.0, |cpu| cpu.as_secs_f64() * 1_000.0),
    },
    Price { name: "KV reads", included: 10e6, a_million: 0.50, of: |sync| sync.reads as f64 },
    Price { name: "KV writes", included: 1e6, a_million: 5.0, of: |sync| sync.writes as f64 },
    // The trigger, and one alarm for each five minutes of Cloudflare's budget that a sync waits for, rounded up generously.
    Price {
        name: "Durable Object requests",
        included: 1e6,
        a_million: 0.15,
        of: |sync| 4.0 + sync.wall.as_secs_f64() / 60.0,
    },
    Price {
        name: "GB-s of the Durable Object",
        included: 400e3,
        a_million: 12.50,
        of: |sync| sync.wall.as_secs_f64() * GIGABYTES,
    },
];

/// Prints what a month of syncs costs, each of which finds a change.
pub(crate) fn print<'s>(all: impl Iterator<Item = (usize, &'s Sync)>) {
    let mut rows = Vec::new();
    for (members, sync) in all {
        let mut total = PLAN;
        let mut row = vec![table::count(members)];
        for price in &PRICES {
            let used = (price.of)(sync) * SYNCS;
            total += (used - price.included).max(0.0) / 1e6 * price.a_million;
            row.push(format!("{:.2} of {:.1} million", used / 1e6, price.included / 1e6));
        }
        row.push(format!("${total:.2}"));
        rows.push(row);
    }
    let mut head = vec!["members"];
    head.extend(PRICES.iter().map(|price| price.name));
    head.push("a month, with the plan's $5");
    table::print(
        &format!(
            "A month on Workers Paid: a sync every 15 minutes, each of which finds a change; prices of {PRICES_OF}"
        ),
        &head,
        &rows,
    );
}
