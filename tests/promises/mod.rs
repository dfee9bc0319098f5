//! The promises, held against accounts in which everything changes at once: e-mail addresses, groups and their policies, memberships,
//! while hundreds of operations run, Cloudflare fails in every way it has, and the Worker is killed. Time is simulated, so
//! that nothing depends on how fast the machine is: with everything slowed forty times the same must be true.
//!
//! Checked are promises, and no schedule: no access that C1 was told is gone, none given to another, the minimum and the cap never
//! crossed, protected members untouched. `SOAK=<seeds>` tries more seeds than the few of every run, `SEED=<seed>` one alone.

mod alarm;
mod scenario;
mod waits;

use scenario::Plan;

/// The seeds that are tried: `SEED` alone, or as many as `SOAK` says, or else a few.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        return seed..seed + 1;
    }
    1..1 + number("SOAK").unwrap_or(few)
}

fn each(few: u64, plan: impl Fn(u64) -> Plan) {
    let mut broken = Vec::new();
    for seed in seeds(few) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let plan = plan(seed);
        if let Err(promises) = runtime.block_on(scenario::run(&plan)) {
            // At once: a long soak may be cut off.
            eprintln!("{plan:?}: {promises}");
            broken.push(seed);
        }
    }
    assert!(broken.is_empty(), "promises were broken with the seeds {broken:?}");
}

#[test]
fn promises_hold_while_everything_changes() {
    each(3, Plan::of);
}

#[test]
fn promises_hold_with_everything_slowed_forty_times() {
    each(1, |seed| Plan { slow: 40, ..Plan::of(seed) });
}

#[test]
fn promises_hold_while_every_other_write_is_carried_out_late() {
    each(1, |seed| Plan { slow: 40, late: 3.0, ..Plan::of(seed) });
}

#[test]
fn promises_hold_while_the_worker_is_killed() {
    each(2, |seed| Plan { kills: 12, ..Plan::of(seed) });
}

#[test]
fn without_faults_everything_that_is_asked_for_is_done() {
    each(2, |seed| Plan { faults: 0.0, ..Plan::of(seed) });
}

#[test]
fn the_cap_holds_whatever_fails_and_everything_is_done_in_the_end() {
    each(1, |seed| Plan { cap: 6, kills: 4, ..Plan::of(seed) });
}
