//! Many webhooks at once, while Cloudflare fails and the Worker is killed. What is checked is in [`sim::chaos`]: every
//! answer, every callback, the journal, and what every member holds in the end, against a model of its own.

use futures::StreamExt as _;
use sim::chaos::{Plan, Report, run};

/// How many of something: as many as are told where `SOAK` is set, as in `make soak`, or else a few.
fn many(all: usize, few: usize) -> usize {
    if std::env::var_os("SOAK").is_some() { all } else { few }
}

async fn kept(plan: Plan) -> Report {
    let report = run(&plan).await.unwrap_or_else(|broken| panic!("{plan:?}: {broken}"));
    eprintln!("{plan:?}: {report:?}");
    report
}

#[tokio::test]
async fn two_hundred_grants_at_once_are_all_there_in_the_end_whatever_fails() {
    let report = kept(Plan { refusals: 1, ..Plan::full(1) }).await;
    assert_eq!((report.deliveries, report.errored), (200, 0));
    for fault in ["429", "reset", "truncated json", "status 500/10000", "html 524 after applying"] {
        assert!(report.faults.contains_key(fault), "{fault} was not met: {report:?}");
    }
}

#[tokio::test]
async fn grants_and_revokes_at_once_end_as_the_model_says_for_every_seed() {
    let seeds = many(20, 6) as u64;
    let reports: Vec<Report> =
        futures::stream::iter(1..=seeds).map(|seed| kept(Plan::mixed(seed))).buffer_unordered(10).collect().await;
    assert_eq!(reports.len() as u64, seeds);
}

#[tokio::test]
async fn a_worker_that_is_killed_again_and_again_forgets_nothing_and_repeats_nothing() {
    let (kills, members) = (many(51, 11), many(40, 10));
    let report = kept(Plan { kills, members, ..Plan::full(2) }).await;
    assert_eq!((report.deliveries, report.errored), (5 * members, 0));
    assert!(report.kills + 1 >= kills, "{report:?}");
}

#[tokio::test]
async fn grants_take_three_calls_each_however_many_there_are_at_once() {
    let report = kept(Plan { faults: 0.0, ..Plan::full(3) }).await;
    // At most four are at it at once. Those that wait for longer than C1 does are told by callback, and may have been interrupted once.
    assert_eq!(report.answered + report.callbacks, 200, "{report:?}");
    assert!(report.calls <= 3 * report.deliveries + 3 * report.accepted, "{report:?}");
}
