//! The fault matrix: every call that a small life of the connector makes (two syncs, grants, revokes, a group, an invitation, a removal)
//! goes wrong once in every way that it can, cell by cell, and in each cell the same must be true: nothing wrong is published, no
//! access is told to be gone that is there, nothing is lost or done twice, and everything is well again by itself.
//!
//! The cells come of two tables: the calls that a life without faults makes, and the ways in which a call of each port goes wrong.
//! `make test` takes a part of the cells, a different one of each row; `SOAK=1` takes all of them.

mod story;
mod world;

use std::collections::BTreeMap;

use story::Story;
use world::{Answer, Moment, Trap, Wrong};

/// How a request goes wrong.
const REQUESTS: &[Wrong] = {
    use Moment::{After, Before};
    &[
        Wrong::Answer(Answer::Timeout, Before),
        Wrong::Answer(Answer::Timeout, After),
        Wrong::Answer(Answer::Reset, Before),
        Wrong::Answer(Answer::Reset, After),
        Wrong::Answer(Answer::Status(400), Before),
        Wrong::Answer(Answer::Status(401), Before),
        Wrong::Answer(Answer::Status(403), Before),
        Wrong::Answer(Answer::Status(404), Before),
        Wrong::Answer(Answer::Status(409), Before),
        Wrong::Answer(Answer::TooMany(Some(5)), Before),
        Wrong::Answer(Answer::TooMany(None), Before),
        Wrong::Answer(Answer::Status(500), Before),
        Wrong::Answer(Answer::Status(500), After),
        Wrong::Answer(Answer::Status(502), Before),
        Wrong::Answer(Answer::Status(502), After),
        Wrong::Answer(Answer::Html(520), Before),
        Wrong::Answer(Answer::Html(524), Before),
        Wrong::Answer(Answer::Html(524), After),
        Wrong::Answer(Answer::Truncated, After),
        Wrong::Answer(Answer::NoSuccess, Before),
        Wrong::Answer(Answer::NoResult, After),
        Wrong::Answer(Answer::NullResult, After),
        Wrong::Answer(Answer::Empty, After),
        Wrong::Answer(Answer::TooLarge, After),
        Wrong::Kill(Before),
        Wrong::Kill(After),
    ]
};

/// How a read of the key-value store goes wrong.
const READS: &[Wrong] = &[Wrong::Error(Moment::Before), Wrong::Stale, Wrong::Missing, Wrong::Kill(Moment::Before)];

/// How a write of the key-value store goes wrong.
const WRITES: &[Wrong] = &[
    Wrong::Error(Moment::Before),
    Wrong::Error(Moment::After),
    Wrong::Kill(Moment::Before),
    Wrong::Kill(Moment::After),
];

/// How a statement goes wrong.
const STATEMENTS: &[Wrong] = &[Wrong::Error(Moment::Before), Wrong::Error(Moment::After)];

fn ways(call: &str) -> &'static [Wrong] {
    match call.split_once(' ') {
        Some(("sql", _)) => STATEMENTS,
        Some(("kv", rest)) if rest.starts_with("get") => READS,
        Some(("kv", _)) => WRITES,
        _ => REQUESTS,
    }
}

fn play(trap: Option<Trap>) -> Result<BTreeMap<String, usize>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(Story::play(trap))
}

/// All cells: each kind of call, at its first time and at its last, in each way.
fn all_cells(calls: &BTreeMap<String, usize>) -> Vec<Trap> {
    let mut all = Vec::new();
    for (call, count) in calls {
        let mut places = vec![0, count / 2, count - 1];
        places.dedup();
        for wrong in ways(call) {
            for skip in &places {
                all.push(Trap { call: call.clone(), skip: *skip, times: 1, wrong: *wrong });
            }
            // A few times in a row: what is tried again fails again.
            all.push(Trap { call: call.clone(), skip: 0, times: 3, wrong: *wrong });
        }
    }
    all
}

/// Plays every `of`-th cell, and tells every one in which something was not as it must be.
fn hold(of: usize, port: impl Fn(&str) -> bool) {
    let kinds = play(None).unwrap();
    let cells: Vec<Trap> = all_cells(&kinds).into_iter().filter(|trap| port(&trap.call)).collect();
    let only = std::env::var("CELL").ok();
    let of = if std::env::var_os("SOAK").is_some() || only.is_some() { 1 } else { of };
    let chosen: Vec<_> = cells
        .iter()
        .enumerate()
        .filter(|(number, _)| number % of == 0)
        .filter(|(number, _)| only.as_ref().is_none_or(|only| *only == number.to_string()))
        .collect();
    let mut wrong = Vec::new();
    for (number, trap) in &chosen {
        if only.is_some() {
            // It may be one that does not end.
            println!("CELL={number} {trap:?}");
        }
        let told = std::panic::catch_unwind(|| play(Some((*trap).clone())))
            .unwrap_or_else(|panic| Err(format!("panicked: {:?}", panic.downcast_ref::<String>())));
        if let Err(told) = told {
            wrong.push(format!("CELL={number} {trap:?}: {told}"));
        }
    }
    println!("{} kinds of calls, {} cells, {} of them played", kinds.len(), cells.len(), chosen.len());
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), chosen.len(), wrong.join("\n"));
}

#[test]
fn every_request_may_go_wrong_in_every_way() {
    hold(47, |call| !call.starts_with("sql ") && !call.starts_with("kv "));
}

#[test]
fn every_use_of_the_key_value_store_may_go_wrong_in_every_way() {
    hold(11, |call| call.starts_with("kv "));
}

#[test]
fn every_statement_may_fail() {
    hold(59, |call| call.starts_with("sql "));
}
