//! What the files for ConductorOne cost: time, processor time, memory, KV reads.

use std::sync::Arc;
use std::time::Duration;

use sim::cloudflare::{Cloudflare, Spec};
use sim::conductorone::ConductorOne;
use sim::harness::kv::KvCall;
use sim::harness::{Options, World};
use sim::snapshot;
use tokio::time::Instant;

use crate::table;

/// How many members the accounts have.
const MEMBERS: [usize; 3] = [1_000, 10_000, 50_000];

/// An isolate has 128 MB.
const ISOLATE: u64 = 128 * 1024 * 1024;

const FILES: [&str; 3] = ["sync.c1z", "users.csv", "grants.csv"];

/// One file, made twice by a Worker that did nothing before.
struct Made {
    bytes: usize,
    content: Option<u64>,
    wall: [Duration; 2],
    cpu: [Option<Duration>; 2],
    idle: Option<u64>,
    peak: Option<u64>,
    wasm: Option<u64>,
    reads: usize,
}

/// Measures each file of accounts of each size, from snapshots that are put into KV as they are.
pub(crate) async fn measure() -> Result<(), String> {
    let (mut costs, mut sizes) = (Vec::new(), Vec::new());
    for members in MEMBERS {
        let mut size = vec![table::count(members), table::count(members * snapshot::GRANTS_EACH)];
        for file in FILES {
            let made = make(members, file).await?;
            let grown = made.peak.zip(made.idle).map(|(peak, idle)| peak.saturating_sub(idle));
            if grown.is_some_and(|grown| grown > ISOLATE) {
                return Err(format!("{file} of {members} members took {grown:?} bytes, and an isolate has {ISOLATE}"));
            }
            costs.push(vec![
                table::count(members),
                file.to_owned(),
                table::time(made.wall[0]),
                table::time(made.wall[1]),
                table::known(made.cpu[0], table::time),
                table::known(made.cpu[1], table::time),
                made.reads.to_string(),
                table::known(made.idle, mib),
                table::known(made.peak, mib),
                table::known(grown, mib),
                table::known(made.wasm, mib),
            ]);
            size.push(table::kib(made.bytes));
            size.extend(made.content.map(|bytes| table::kib(usize::try_from(bytes).unwrap_or(usize::MAX))));
        }
        sizes.push(size);
    }
    table::print(
        "Making a file (members with 3 grants each, 60 roles)",
        &[
            "members",
            "file",
            "time, first",
            "again",
            "processor time, first",
            "again",
            "KV reads",
            "workerd's memory, idle",
            "at its peak",
            "more",
            "of it the WebAssembly's own",
        ],
        &costs,
    );
    table::print(
        "Size of the files",
        &["members", "grants", "`sync.c1z`", "the database in it", "`users.csv`", "`grants.csv`"],
        &sizes,
    );
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", table::count(usize::try_from(bytes >> 20).unwrap_or(usize::MAX)))
}

async fn make(members: usize, file: &str) -> Result<Made, String> {
    let cloudflare = Cloudflare::new(Spec { members: 1, ..Spec::default() });
    let options = Options::default()
        .var("CLOUDFLARE_ACCOUNT_ID", &cloudflare.account_id())
        .var("CLOUDFLARE_API_TOKEN", &cloudflare.token());
    let account = cloudflare.account_id();
    let world = World::start(Arc::new(cloudflare), ConductorOne::new(), options).await;
    let world = world.map_err(|error| error.to_string())?;
    snapshot::publish(&world.kv, &account, members);
    get(&world, "/healthz").await?;
    let idle = world.worker.peak_memory();
    let path = format!("/v1/export/{file}");
    let (mut wall, mut cpu, mut body) = ([Duration::ZERO; 2], [None; 2], Vec::new());
    for (wall, cpu) in wall.iter_mut().zip(&mut cpu) {
        world.kv.forget_operations();
        let (began, before) = (Instant::now(), world.worker.cpu_time());
        body = get(&world, &path).await?;
        *wall = began.elapsed();
        *cpu = table::spent(before, world.worker.cpu_time());
    }
    let lines = body.split(|byte| *byte == b'\n').count() - 1;
    let expected = match file {
        "users.csv" => Some(members + 1),
        "grants.csv" => Some(members * snapshot::GRANTS_EACH + 1),
        _ => None,
    };
    if expected.is_some_and(|expected| expected != lines) {
        return Err(format!("{file} of {members} members has {lines} lines"));
    }
    Ok(Made {
        bytes: body.len(),
        content: body.strip_prefix(b"C1ZF\0").map(content_size).transpose()?,
        wall,
        cpu,
        idle,
        peak: world.worker.peak_memory(),
        wasm: world.worker.wasm_memory(),
        reads: world.kv.count(KvCall::Get),
    })
}

async fn get(world: &World, path: &str) -> Result<Vec<u8>, String> {
    let answer = world.get(path).await.map_err(|error| format!("{path}: {error}"))?;
    if answer.status != 200 {
        return Err(format!("{path} was answered {}: {}", answer.status, answer.text()));
    }
    Ok(answer.body.to_vec())
}

/// The size of the content that a zstd frame's header tells (RFC 8878 section 3.1.1.1).
fn content_size(frame: &[u8]) -> Result<u64, String> {
    let descriptor = frame.get(4).copied().ok_or("a frame without a header")?;
    let single = descriptor >> 5 & 1 == 1;
    let (size, offset) = match descriptor >> 6 {
        0 => (usize::from(single), 0),
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    let start = 5 + usize::from(!single);
    let field = frame.get(start..start + size).filter(|field| !field.is_empty()).ok_or("a frame without its size")?;
    Ok(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)) + offset)
}
