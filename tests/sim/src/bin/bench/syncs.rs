//! What a sync costs: requests, KV operations, time.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use sim::baton;
use sim::cloudflare::{Latency, PolicySpec, Spec};
use sim::harness::kv::KvCall;
use sim::stage::Stage;

use crate::table;

/// How long a sync may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often it is looked at whether a sync has ended. Seldom: each look costs processor time, which is measured here.
const POLL: Duration = Duration::from_millis(250);

/// A sync of an unchanged account writes this many values at most.
const UNCHANGED_WRITES: usize = 3;

/// One changed member rewrites this many chunks at most.
const CHANGED_CHUNKS: usize = 2;

/// What one sync did.
pub(crate) struct Sync {
    pub(crate) requests: usize,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    pub(crate) deletes: usize,
    pub(crate) chunks: usize,
    pub(crate) bytes: usize,
    pub(crate) wall: Duration,
    pub(crate) cpu: Option<Duration>,
    pub(crate) status: Value,
}

/// Measures syncs of several accounts.
pub(crate) async fn measure() -> Result<(), String> {
    let mut requests = Vec::new();
    let mut kv = Vec::new();
    let mut times = Vec::new();
    for members in [1_000, 5_000] {
        for groups in [0, 10] {
            let stage = set(members, groups).await?;
            let first = run(&stage).await?;
            let grants = stage.compare().await?;
            requests.push(requests_row(&stage, groups, &first)?);
            if groups > 0 {
                continue;
            }
            let chunks = stage.world.kv.keys_under("chunk/").len();
            kv.push(kv_row(members, &format!("first ({} grants)", table::count(grants)), &first, chunks));
            let unchanged = run(&stage).await?;
            if unchanged.chunks > 0 || unchanged.writes > UNCHANGED_WRITES {
                return Err(format!(
                    "an unchanged sync wrote {} chunks and {} values",
                    unchanged.chunks, unchanged.writes
                ));
            }
            kv.push(kv_row(members, "unchanged", &unchanged, chunks));
            let changed = one_change(&stage, PATIENCE).await?;
            kv.push(kv_row(members, "one member changed", &changed, chunks));
            times.push(times_row(&stage, &first, &unchanged, delayed(members).await?));
        }
    }
    table::print(
        "Requests to Cloudflare for one sync (60 roles)",
        &["members", "user groups", "requests", "at most", "baton-cloudflare (computed)"],
        &requests,
    );
    println!("\nComputed: {} with M members, P of them pending, R roles, T tokens.", baton::FORMULA);
    table::print(
        "Workers KV operations for one sync",
        &["members", "sync", "reads", "writes", "deletes", "chunks written", "written"],
        &kv,
    );
    table::print(
        "Time of one sync",
        &[
            "members",
            "first, API at 0 ms",
            "first, API at 50 ms",
            "unchanged, 0 ms",
            "processor time per 1,000 members, first",
            "unchanged",
            "workerd's peak memory",
            "the WebAssembly's memory",
        ],
        &times,
    );
    Ok(())
}

/// The largest accounts that are promised to fit (members, roles, user groups), and the memory of the WebAssembly that each may take: an isolate
/// has 128 MB for everything.
const LARGE: [(usize, usize, usize, u64); 2] = [(50_000, 200, 500, 64 << 20), (100_000, 200, 1_000, 96 << 20)];

/// How long a sync of them may take: Cloudflare's limit of 1,200 requests in five minutes is kept meanwhile.
const LARGE_PATIENCE: Duration = Duration::from_hours(1);

/// Measures the first sync of each of the largest accounts up to a size, and two of it unchanged. It takes ten minutes for 50,000 members, an hour for
/// 100,000, and is run where it is asked for by name.
pub(crate) async fn large(sizes: RangeInclusive<usize>) -> Result<(), String> {
    for (members, roles, groups, most) in LARGE.into_iter().filter(|(members, ..)| sizes.contains(members)) {
        large_account(members, roles, groups, most).await?;
    }
    Ok(())
}

async fn large_account(members: usize, roles: usize, groups: usize, most: u64) -> Result<(), String> {
    let spec = Spec { members, roles, groups, pending_share: 0.05, ..Spec::default() };
    let stage = Stage::set(spec, &[]).await.map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for what in ["first", "unchanged", "unchanged again"] {
        let sync = run_within(&stage, LARGE_PATIENCE).await?;
        let wasm = stage.world.worker.wasm_memory();
        eprintln!("bench: {what}: {} and {}", table::known(wasm, mib), table::known(sync.cpu, table::time));
        if wasm.is_some_and(|wasm| wasm > most) {
            return Err(format!(
                "the {what} sync of {members} members took {wasm:?} bytes of the WebAssembly's memory, and {most} are promised"
            ));
        }
        rows.push(vec![
            what.to_owned(),
            sync.requests.to_string(),
            sync.reads.to_string(),
            sync.writes.to_string(),
            table::time(sync.wall),
            table::known(sync.cpu, table::time),
            table::known(wasm, mib),
        ]);
    }
    table::print(
        &format!("Syncs of {members} members, {roles} roles, {groups} user groups"),
        &["sync", "requests", "KV reads", "KV writes", "time", "processor time", "the WebAssembly's memory"],
        &rows,
    );
    Ok(())
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", table::count(usize::try_from(bytes >> 20).unwrap_or(usize::MAX)))
}

async fn set(members: usize, groups: usize) -> Result<Stage, String> {
    let spec = Spec { members, groups, roles: 60, pending_share: 0.05, ..Spec::default() };
    Stage::set(spec, &[]).await.map_err(|error| error.to_string())
}

async fn run(stage: &Stage) -> Result<Sync, String> {
    run_within(stage, PATIENCE).await
}

pub(crate) async fn run_within(stage: &Stage, patience: Duration) -> Result<Sync, String> {
    stage.cloudflare.reset_log();
    stage.world.kv.forget_operations();
    let cpu = stage.world.worker.cpu_time();
    let status = stage.sync(patience, POLL, |_| {}).await?;
    let wall = status.pointer("/runs/0/duration_millis").and_then(Value::as_u64);
    let wall = Duration::from_millis(wall.ok_or("the status does not tell how long the sync took")?);
    let cpu = table::spent(cpu, stage.world.worker.cpu_time());
    let kv = &stage.world.kv;
    let written = kv.written();
    Ok(Sync {
        requests: stage.cloudflare.total_requests(),
        reads: kv.count(KvCall::Get) + kv.count(KvCall::BulkGet) + kv.count(KvCall::List),
        writes: kv.count(KvCall::Put),
        deletes: kv.count(KvCall::Delete),
        chunks: written.iter().filter(|key| key.starts_with("chunk/")).count(),
        bytes: kv.counts().get(&KvCall::Put).map_or(0, |count| count.bytes),
        wall,
        cpu,
        status,
    })
}

/// A sync after one member was given one role: the difference that is reported is exactly that.
pub(crate) async fn one_change(stage: &Stage, patience: Duration) -> Result<Sync, String> {
    let cloudflare = &stage.cloudflare;
    let whole = cloudflare.account_resource_group();
    let member = cloudflare.memberships().into_iter().find(|member| member.status == "accepted");
    let member = member.ok_or("the account has no accepted member")?;
    let held = cloudflare.member_atoms(&member.id);
    let groups = cloudflare.permission_groups();
    let role = groups.iter().find(|group| {
        group.account_wide
            && !held
                .iter()
                .any(|(_, permission_group, resource_group)| *permission_group == group.id && *resource_group == whole)
    });
    let role = role.ok_or("the member has every role")?;
    cloudflare.add_policy(&member.id, PolicySpec::allow(&role.id, &whole));
    let sync = run_within(stage, patience).await?;
    let changes = sync.status.pointer("/runs/0/changes").cloned().unwrap_or_default();
    let reported =
        ["added", "removed", "changed", "grants_added", "grants_removed"].map(|name| changes.get(name)?.as_u64());
    if reported != [Some(0), Some(0), Some(1), Some(1), Some(0)] {
        return Err(format!("one member was given one role, and the sync reports {changes}"));
    }
    if sync.chunks > CHANGED_CHUNKS {
        return Err(format!("one changed member rewrote {} chunks", sync.chunks));
    }
    Ok(sync)
}

/// How long a first sync takes when the API takes 50 ms for a request.
async fn delayed(members: usize) -> Result<Duration, String> {
    let stage = set(members, 0).await?;
    stage.cloudflare.set_latency(Latency { base: Duration::from_millis(50), jitter: Duration::ZERO });
    Ok(run(&stage).await?.wall)
}

fn requests_row(stage: &Stage, groups: usize, sync: &Sync) -> Result<Vec<String>, String> {
    let size = stage.size;
    let permission_groups = stage.cloudflare.permission_groups().len();
    let lists = size.members.div_ceil(50) + size.roles.div_ceil(50) + permission_groups.div_ceil(50) + groups + 9;
    // Three ask whether a member's record shows what a group gives, and three lists have the names of what scopes reach.
    let most = lists + 3 + 3;
    if sync.requests > most {
        return Err(format!(
            "a sync of {} members took {} requests, and {most} are promised",
            size.members, sync.requests
        ));
    }
    Ok(vec![
        table::count(size.members),
        groups.to_string(),
        sync.requests.to_string(),
        most.to_string(),
        table::count(baton::requests(size)),
    ])
}

fn kv_row(members: usize, what: &str, sync: &Sync, chunks: usize) -> Vec<String> {
    vec![
        table::count(members),
        what.to_owned(),
        sync.reads.to_string(),
        sync.writes.to_string(),
        sync.deletes.to_string(),
        format!("{} of {chunks}", sync.chunks),
        table::kib(sync.bytes),
    ]
}

fn times_row(stage: &Stage, first: &Sync, unchanged: &Sync, delayed: Duration) -> Vec<String> {
    let members = u32::try_from(stage.size.members).unwrap_or(u32::MAX);
    let share = |cpu: Option<Duration>| table::known(cpu, |cpu| table::time(cpu * 1_000 / members));
    vec![
        table::count(stage.size.members),
        table::time(first.wall),
        table::time(delayed),
        table::time(unchanged.wall),
        share(first.cpu),
        share(unchanged.cpu),
        table::known(stage.world.worker.peak_memory(), mib),
        table::known(stage.world.worker.wasm_memory(), mib),
    ]
}
