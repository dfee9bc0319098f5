//! Counts what the connector's own code costs: the same code as the Worker's, compiled for this machine, on the same input each time.
//!
//! `cargo run -p counts --profile counts` tells, for each workload, how often it allocates, how many bytes it holds at its peak, how
//! often it reads KV, and the processor time: the least of several runs. Where `valgrind` is installed, also how many instructions
//! it takes, SQLite's included, but not what whoever is asked does, nor what the runtime hashes: that figure is the same each time, however busy the machine is.

mod account;
mod memory;
mod ports;

use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use c1_cloudflare::base::ports::Method;
use c1_cloudflare::coordinator::{Ask as _, Command as Asked, Reply};
use c1_cloudflare::model::ask::{Action, Subject};
use c1_cloudflare::model::grant::Entitlement;
use c1_cloudflare::model::operation::{Origin, Outcome, Request, Target};
use c1_cloudflare::routes::{self, Body, Incoming};
use c1_cloudflare::sync::{self, Limits, Next, RunOutcome, Trigger};
use futures::executor::block_on;

use account::{Account, ROLES, SCOPED, id};
use ports::BenchPorts;

/// What is measured of a workload.
type Work = Box<dyn FnMut(&BenchPorts)>;

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

/// What is measured, each with the number of members and how many runs the least time is of.
const WORKLOADS: [(&str, usize, usize); 15] = [
    ("page", 50, 40),
    ("repeated", 50, 40),
    ("first", 1_000, 10),
    ("unchanged", 1_000, 10),
    ("settled", 1_000, 10),
    ("publish", 1_000, 10),
    ("republish", 1_000, 10),
    ("grant", 1_000, 20),
    ("list", 1_000, 40),
    ("first", 18_000, 1),
    ("unchanged", 18_000, 1),
    ("publish", 18_000, 1),
    ("first", 50_000, 1),
    ("scoped", 50_000, 1),
    ("joined", 50_000, 1),
];

/// In how many user groups each member is, in an account that has any: 50,000 members are as often in one as a sync takes.
const JOINED: usize = 10;

/// A sync may take half of an isolate's 128 MiB; one of as many memberships as are taken three quarters, as counted here, where a pointer is twice as long.
fn most_memory(name: &str) -> usize {
    let mebibytes = if name == "joined" { 96 } else { 64 };
    mebibytes * 1024 * 1024
}

/// Whether it is now that it counts.
static COUNTS: AtomicBool = AtomicBool::new(false);

/// Valgrind counts in here: it is told to turn its counting on or off where a function of such a name begins and where it ends.
#[inline(never)]
fn counted_by_valgrind<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// And in here it does not.
#[inline(never)]
fn left_out_by_valgrind<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

/// The part of a workload that counts.
fn counted<T>(work: impl FnOnce() -> T) -> T {
    COUNTS.store(true, Relaxed);
    let done = counted_by_valgrind(work);
    COUNTS.store(false, Relaxed);
    done
}

/// What the runtime, or whoever is asked, does itself: it counts nowhere.
fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    if COUNTS.load(Relaxed) { left_out_by_valgrind(work) } else { work() }
}

fn trigger() -> Trigger {
    Trigger { by: "counts".to_owned(), accept_removals: false }
}

/// Carries the running sync on until it ends, or until as many steps were made.
async fn steps(desk: &BenchPorts, limits: &Limits, most: usize) -> bool {
    for _ in 0..most {
        match sync::step_within(desk, &desk.settings.coordinator.cloudflare, limits).await {
            Next::Idle => return true,
            Next::At(_) => desk.advance(60),
        }
    }
    false
}

/// The limits of a step that reads everything, and may leave the publication to the next one.
fn all(publish_apart: bool) -> Limits {
    Limits { requests: 100_000, pages: 100_000, millis: 100_000_000, in_flight: 4, key_value: u64::MAX, publish_apart }
}

fn begin(desk: &BenchPorts) {
    desk.advance(900);
    // The budget of requests is per five minutes of a clock that stands still here.
    sync::begin(desk, &desk.settings.coordinator.cloudflare, trigger()).expect("no sync runs");
}

async fn whole(desk: &BenchPorts) {
    assert!(steps(desk, &all(false), 1_000).await, "the sync does not end");
}

fn ended(desk: &BenchPorts, outcome: RunOutcome) {
    let status = sync::status(desk).expect("a status");
    let run = status.runs.first().expect("a run");
    assert_eq!(run.outcome, outcome, "{}", run.message);
}

/// Everything is read, and the last step is to publish it.
async fn until_published(desk: &BenchPorts) {
    begin(desk);
    while sync::status(desk).expect("a status").running.is_some_and(|run| run.phase != sync::Phase::Publish) {
        assert!(!steps(desk, &all(true), 1).await, "the sync ended by itself");
    }
}

/// Makes a workload ready, and gives what is to be measured of it.
fn prepare(name: &str, members: usize) -> (BenchPorts, Work) {
    let domains = if name == "scoped" { SCOPED.min(members) } else { 0 };
    let joined = if name == "joined" { JOINED } else { 0 };
    let desk = BenchPorts::of(Account::with(members, domains, joined));
    let syncs_before = match name {
        "page" | "first" | "scoped" | "joined" | "publish" => 0,
        // The second one notes that nothing changed by what it brought.
        "settled" => 2,
        _ => 1,
    };
    for _ in 0..syncs_before {
        begin(&desk);
        block_on(whole(&desk));
    }
    let work: Box<dyn FnMut(&BenchPorts)> = match name {
        "page" | "repeated" => {
            begin(&desk);
            // Resource groups, permission groups, roles, user groups, tokens, OAuth clients and how the account is set come before the members.
            let lists = Limits { pages: 10, in_flight: 1, ..all(true) };
            assert!(!block_on(steps(&desk, &lists, 1)), "the sync ended by itself");
            Box::new(|desk| {
                block_on(steps(desk, &Limits { pages: 1, in_flight: 1, ..all(true) }, 1));
            })
        }
        "first" | "scoped" | "joined" | "unchanged" | "settled" => {
            begin(&desk);
            Box::new(|desk| block_on(whole(desk)))
        }
        "publish" | "republish" => {
            block_on(until_published(&desk));
            Box::new(|desk| block_on(whole(desk)))
        }
        "grant" => {
            let member = id("member", 7);
            let request = Request {
                key: None,
                action: Action::Grant,
                target: Target::Entitlement(Entitlement::Role(id("role", (7 * 7 + 1) % ROLES).parse().expect("an id"))),
                subject: Subject {
                    emails: vec!["member000007@example.com".to_owned()],
                    member_id: member.parse().ok(),
                    user_id: id("user", 7).parse().ok(),
                    ..Subject::default()
                },
                origin: Origin { by: "counts".to_owned(), ..Origin::default() },
            };
            Box::new(move |desk| {
                let asked = Asked::Provision { request: Box::new(request.clone()), callback_url: None };
                let reply = block_on(desk.ask(asked)).expect("a reply");
                assert!(matches!(reply, Reply::Outcome(Outcome::Done { .. })), "{reply:?}");
            })
        }
        "list" => Box::new(|desk| {
            let incoming = Incoming {
                origin: String::new(),
                method: Method::Get,
                path: "/v1/users".to_owned(),
                query: vec![("limit".to_owned(), "100".to_owned())],
                headers: vec![("authorization".to_owned(), "Bearer 0123456789abcdef0123456789abcdef".to_owned())],
                body: Body::Read(Vec::new()),
            };
            let answer = block_on(routes::answer(desk, &Ok(desk.settings.clone()), incoming));
            assert_eq!(answer.status, 200);
        }),
        other => panic!("there is no workload {other}"),
    };
    (desk, work)
}

fn check(name: &str, desk: &BenchPorts) {
    match name {
        "first" | "scoped" | "joined" | "publish" => ended(desk, RunOutcome::Published),
        "unchanged" | "settled" | "republish" => ended(desk, RunOutcome::Unchanged),
        _ => {}
    }
}

/// Runs a workload once, for whoever counts from outside.
fn run(name: &str, members: usize) {
    let (desk, mut work) = prepare(name, members);
    counted(|| work(&desk));
    check(name, &desk);
}

/// How many instructions a workload takes; `None` where there is no valgrind.
fn instructions(name: &str, members: usize) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let told = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counts*_by_valgrind*"])
        .arg(program)
        .args(["run", name, &members.to_string()])
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

fn row(name: &str, members: usize, runs: usize, count: bool) {
    let mut least = Duration::MAX;
    let (mut reads, mut calls, mut peak) = (0, 0, 0);
    for _ in 0..runs {
        let (desk, mut work) = prepare(name, members);
        desk.reads.set(0);
        #[allow(clippy::disallowed_methods, reason = "this program is native, and measures")]
        let began = Instant::now();
        ((), calls, peak) = memory::of(|| counted(|| work(&desk)));
        least = least.min(began.elapsed());
        reads = desk.reads.get();
        check(name, &desk);
    }
    let most = most_memory(name);
    assert!(peak <= most, "{name} of {members} members takes {peak} bytes, {most} at most");
    let instructions = if count { instructions(name, members) } else { None };
    #[allow(clippy::cast_precision_loss, reason = "millions are told, with two digits")]
    let instructions = instructions.map_or_else(|| "-".to_owned(), |count| format!("{:.2} M", count as f64 / 1e6));
    println!(
        "| {name} | {members} | {instructions} | {:.2} ms | {calls} | {} KiB | {reads} |",
        least.as_secs_f64() * 1e3,
        peak.div_ceil(1024)
    );
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["row", name, members] => row(name, members.parse().expect("a number of members"), 1, false),
        ["run", name, members] => run(name, members.parse().expect("a number of members")),
        [] | ["small"] => {
            println!("A page of 50 members has {} bytes.\n", Account::of(50).page_bytes());
            println!("| workload | members | instructions | least time | allocations | most memory | KV reads |");
            println!("|---|---|---|---|---|---|---|");
            for (name, members, runs) in WORKLOADS {
                if words.is_empty() || members <= 1_000 {
                    // Valgrind takes fifty times as long: minutes for the largest, which tells nothing that the others do not.
                    row(name, members, runs, members <= 18_000);
                }
            }
        }
        _ => {
            eprintln!("counts: usage: counts [small], or counts row|run <workload> <members>");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::{memory, prepare};

    /// The whole size is measured by `make bench`, which fails where a sync of 50,000 members with 5,000 such roles takes more than 64 MiB.
    #[test]
    fn roles_on_two_thousand_domains_keep_their_bound_of_memory() {
        let (desk, mut work) = prepare("scoped", 2_000);
        let ((), _, peak) = memory::of(|| work(&desk));
        super::check("scoped", &desk);
        assert!(peak < 20 * 1024 * 1024, "{peak} bytes");
    }
}
