//! The same account from a hundred members to the largest that is promised to fit: what syncs, lists and files cost, and whether it grows in
//! proportion. Counts are held to that; times are only told. It takes most of an hour, nearly all of it spent waiting for Cloudflare's budget.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sim::cloudflare::Spec;
use sim::harness::kv::KvCall;
use sim::stage::Stage;

use crate::plot::{self, Series};
use crate::syncs::{self, Sync};
use crate::{cost, table};

/// The accounts: one user group for a hundred members, but for the smallest.
const MEMBERS: [usize; 6] = [100, 1_000, 5_000, 10_000, 20_000, 50_000];

/// How long one sync may take: 800 requests in five minutes are a sync's share.
const PATIENCE: Duration = Duration::from_mins(30);

/// What a member of the largest account costs may be this many times what one of an account of 5,000 does: a smaller one lies in an isolate's
/// memory whole.
const MOST_TIMES: f64 = 1.25;

/// The largest account with which the Worker is restarted meanwhile, and how often that is.
const RESTARTED: (usize, usize) = (5_000, 5);

/// Where the plot goes.
const PLOT: &str = "docs/scale.svg";

/// One account, measured.
struct Measured {
    members: usize,
    groups: usize,
    grants: usize,
    chunks: usize,
    first: Sync,
    unchanged: Sync,
    changed: Sync,
    wasm: Option<u64>,
    users: Reading,
    list: Reading,
    differences: Reading,
    file: Reading,
}

/// What reading something to its end took.
struct Reading {
    requests: usize,
    kv_reads: usize,
    bytes: usize,
    cpu: Option<Duration>,
}

/// Measures accounts of these sizes, for who has less than an hour; the plot is of all of them.
pub(crate) async fn measure(sizes: RangeInclusive<usize>) -> Result<(), String> {
    let mut all = Vec::new();
    for members in MEMBERS.into_iter().filter(|members| sizes.contains(members)) {
        eprintln!("bench: {members} members");
        all.push(account(members).await?);
        // Each row as soon as it is there: the last ones take long.
        print(&all);
    }
    grows_in_proportion(&all)?;
    cost::print(all.iter().filter(|one| [1_000, 50_000].contains(&one.members)).map(|one| (one.members, &one.changed)));
    if *sizes.start() > 0 {
        return Ok(());
    }
    restarted(*sizes.end()).await?;
    draw(&all)
}

const fn groups_of(members: usize) -> usize {
    members / 100
}

fn spec(members: usize) -> Spec {
    Spec { members, groups: groups_of(members), roles: 60, pending_share: 0.05, ..Spec::default() }
}

async fn account(members: usize) -> Result<Measured, String> {
    let stage = Stage::set(spec(members), &[]).await.map_err(|error| error.to_string())?;
    let first = syncs::run_within(&stage, PATIENCE).await?;
    let grants = stage.compare().await?;
    let unchanged = syncs::run_within(&stage, PATIENCE).await?;
    let changed = syncs::one_change(&stage, PATIENCE).await?;
    let wasm = stage.world.worker.wasm_memory();
    let users = read_list(&stage, "users").await?;
    let list = read_list(&stage, "grants").await?;
    let differences = reading(&stage, async || {
        let page = stage.json("/v1/changes?limit=100").await?;
        Ok((1, page.to_string().len()))
    });
    let differences = differences.await?;
    let file = reading(&stage, async || match stage.world.get("/v1/export/sync.c1z").await {
        Ok(answer) if answer.status == 200 => Ok((1, answer.body.len())),
        Ok(answer) => Err(format!("the file was answered {}", answer.status)),
        Err(error) => Err(format!("the file was not answered: {error}")),
    });
    let file = file.await?;
    let chunks = stage.world.kv.keys_under("chunk/").len();
    let groups = groups_of(members);
    Ok(Measured { members, groups, grants, chunks, first, unchanged, changed, wasm, users, list, differences, file })
}

async fn read_list(stage: &Stage, list: &str) -> Result<Reading, String> {
    reading(stage, async || {
        let (mut cursor, mut requests, mut bytes) = (String::new(), 0, 0);
        loop {
            let page = stage.json(&format!("/v1/{list}?limit=1000&cursor={cursor}")).await?;
            requests += 1;
            bytes += page.to_string().len();
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) if requests < 10_000 => next.clone_into(&mut cursor),
                Some(_) => return Err(format!("/v1/{list} does not end")),
                None => return Ok((requests, bytes)),
            }
        }
    })
    .await
}

async fn reading(stage: &Stage, read: impl AsyncFnOnce() -> Result<(usize, usize), String>) -> Result<Reading, String> {
    stage.world.kv.forget_operations();
    let before = stage.world.worker.cpu_time();
    let (requests, bytes) = read().await?;
    let cpu = table::spent(before, stage.world.worker.cpu_time());
    let kv = &stage.world.kv;
    Ok(Reading { requests, kv_reads: kv.count(KvCall::Get) + kv.count(KvCall::BulkGet), bytes, cpu })
}

/// Something that is counted of an account.
type Count = fn(&Measured) -> usize;

/// What each member costs in the largest account is what each costs in one of 5,000, within [`MOST_TIMES`].
fn grows_in_proportion(all: &[Measured]) -> Result<(), String> {
    let (Some(small), Some(large)) = (all.iter().find(|one| one.members == 5_000), all.last()) else { return Ok(()) };
    let counts: [(&str, Count); 5] = [
        ("requests", |one| one.first.requests),
        ("KV writes of a first sync", |one| one.first.writes),
        ("KV reads of an unchanged sync", |one| one.unchanged.reads),
        ("KV reads of all grants", |one| one.list.kv_reads),
        ("bytes written", |one| one.first.bytes),
    ];
    for (what, count) in counts {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let each = |one: &Measured| count(one) as f64 / one.members as f64;
        let times = each(large) / each(small);
        if times > MOST_TIMES {
            return Err(format!(
                "a member of {} costs {times:.2} times the {what} that one of {} does",
                large.members, small.members
            ));
        }
    }
    Ok(())
}

fn print(all: &[Measured]) {
    let time = |cpu: Option<Duration>| table::known(cpu, table::time);
    let three = |one: &Measured, count: fn(&Sync) -> usize| {
        [&one.first, &one.unchanged, &one.changed].map(|sync| table::count(count(sync))).join(" / ")
    };
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            vec![
                table::count(one.members),
                table::count(one.groups),
                table::count(one.grants),
                table::count(one.first.requests),
                three(one, |sync| sync.reads),
                three(one, |sync| sync.writes),
                table::count(one.chunks),
                table::kib(one.first.bytes),
                table::time(one.first.wall),
                [&one.first, &one.unchanged, &one.changed].map(|sync| time(sync.cpu)).join(" / "),
                table::known(one.wasm, syncs::mib),
            ]
        })
        .collect();
    table::print(
        "Syncs: the first, one that finds nothing changed, and one that finds one member changed",
        &[
            "members",
            "user groups",
            "grants",
            "requests to Cloudflare for each",
            "KV reads",
            "KV writes",
            "chunks",
            "written by the first",
            "time of the first",
            "processor time",
            "the WebAssembly's memory",
        ],
        &rows,
    );
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let mut row = vec![table::count(one.members)];
            for reading in [&one.users, &one.list, &one.differences, &one.file] {
                row.push(format!(
                    "{} requests, {} KV reads, {}",
                    reading.requests,
                    reading.kv_reads,
                    time(reading.cpu)
                ));
            }
            row.push(table::kib(one.file.bytes));
            row
        })
        .collect();
    table::print(
        "Reading to the end, 1,000 rows at once: requests to the Worker, reads of KV, processor time",
        &["members", "`/v1/users`", "`/v1/grants`", "`/v1/changes`, the first page", "`sync.c1z`", "its size"],
        &rows,
    );
}

/// A first sync during which the Worker is killed at any time: what is published is the account, and little is asked twice.
async fn restarted(most: usize) -> Result<(), String> {
    let (members, times) = (RESTARTED.0.min(most), RESTARTED.1);
    let stage = Stage::set(spec(members), &[]).await.map_err(|error| error.to_string())?;
    let worker = &stage.world.worker;
    let mut rng = fastrand::Rng::with_seed(7);
    let killing = async {
        for _ in 0..times {
            tokio::time::sleep(Duration::from_millis(rng.u64(100..600))).await;
            worker.restart().await.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    };
    stage.world.worker.trigger_cron().await.map_err(|error| error.to_string())?;
    killing.await?;
    stage.world.wait_for_sync(PATIENCE).await.map_err(|error| error.to_string())?;
    stage.compare().await?;
    let requests = stage.cloudflare.total_requests();
    println!(
        "\nA first sync of {} members during which the Worker was killed {times} times took {requests} requests, and published the account as it is.",
        table::count(members)
    );
    Ok(())
}

/// What the free plan leaves a step: 50 requests and 10 ms, and 1,000 values that are written a day.
pub(crate) async fn free() -> Result<(), String> {
    const MEMBERS: usize = 2_000;
    let stage = Stage::set(spec(MEMBERS), &[("PLAN", "free")]).await.map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for what in ["first", "unchanged"] {
        let sync = syncs::run_within(&stage, PATIENCE).await?;
        let steps = sync.requests.div_ceil(4);
        let each = sync.cpu.map(|cpu| cpu / u32::try_from(steps).unwrap_or(1));
        rows.push(vec![
            what.to_owned(),
            sync.requests.to_string(),
            steps.to_string(),
            sync.reads.to_string(),
            sync.writes.to_string(),
            table::time(sync.wall),
            table::known(sync.cpu, table::time),
            table::known(each, table::time),
        ]);
    }
    table::print(
        &format!("The free plan: syncs of {} members in steps of four pages", table::count(MEMBERS)),
        &[
            "sync",
            "requests",
            "steps, at least",
            "KV reads",
            "KV writes",
            "time",
            "processor time",
            "of a step, at most on average",
        ],
        &rows,
    );
    Ok(())
}

fn draw(all: &[Measured]) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "a plot")]
    let series = |name, value: &dyn Fn(&Measured) -> Option<usize>| Series {
        name,
        points: all.iter().filter_map(|one| Some((one.members as f64, value(one)? as f64))).collect(),
    };
    let millis = |cpu: Option<Duration>| usize::try_from(cpu?.as_millis()).ok();
    let text = plot::scale(&[
        series("first sync, ms of processor time", &|one| millis(one.first.cpu)),
        series("unchanged sync, ms of processor time", &|one| millis(one.unchanged.cpu)),
        series("requests to Cloudflare", &|one| Some(one.first.requests)),
        series("KV writes of a first sync", &|one| Some(one.first.writes)),
        series("MiB of WebAssembly memory", &|one| usize::try_from(one.wasm? >> 20).ok()),
    ]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PLOT);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("\nThe plot is in {PLOT}.");
    Ok(())
}
