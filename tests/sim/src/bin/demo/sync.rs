//! The two syncs of the demo: one that finds everything, and one that finds nothing new.

use std::time::Duration;

use serde_json::Value;
use sim::baton;
use sim::harness::kv::KvCall;
use sim::stage::Stage;
use tokio::time::Instant;

use crate::progress::Progress;
use crate::terminal::Terminal;

/// How often the running sync is looked at: as often as a bar moves smoothly.
const POLL: Duration = Duration::from_millis(25);

/// A sync of an unchanged account may write this many values.
const MOST_WRITES: usize = 3;

/// The first sync: everything is found, and nothing is made up.
pub(crate) async fn first(terminal: &mut Terminal, stage: &Stage, patience: Duration) -> Result<(), String> {
    terminal.part("A first sync, started by the cron trigger");
    let (status, took) = run(terminal, stage, patience).await?;
    let generation = generation(stage)?;
    terminal.row("published", &format!("generation {generation} in {:.1} s", took.as_secs_f64()));
    let truth = stage.cloudflare.truth();
    terminal.row(
        "found",
        &format!(
            "{} users, {} invitations, {} roles, {} scoped roles, {} groups, {} tokens, {} grants",
            truth.users.len(),
            truth.invitations.len(),
            truth.roles.len(),
            truth.scoped_roles.len(),
            truth.groups.len(),
            truth.tokens.len(),
            truth.grants.len(),
        ),
    );
    capabilities(terminal, &status)?;
    let requests = stage.cloudflare.total_requests();
    terminal.row(
        "requests",
        &format!(
            "{requests} to Cloudflare; baton-cloudflare would need {} (computed: {})",
            baton::requests(stage.size),
            baton::FORMULA
        ),
    );
    stored(terminal, stage);
    let grants = stage.compare().await?;
    terminal.good(&format!("the snapshot under /v1 is the account: all {grants} grants are there, and nothing else"));
    Ok(())
}

/// The second sync: nothing changed, and nothing is written.
pub(crate) async fn second(terminal: &mut Terminal, stage: &Stage, patience: Duration) -> Result<(), String> {
    terminal.part("A second sync; nothing happened meanwhile");
    let before = generation(stage)?;
    let (_, took) = run(terminal, stage, patience).await?;
    let after = generation(stage)?;
    if after != before {
        return Err(format!("a sync of an unchanged account published {after} over {before}"));
    }
    let written = stage.world.kv.written();
    if let Some(chunk) = written.iter().find(|key| key.starts_with("chunk/") || key.starts_with("manifest/")) {
        return Err(format!("a sync of an unchanged account wrote {chunk}"));
    }
    if written.len() > MOST_WRITES {
        return Err(format!("a sync of an unchanged account wrote {} values: {}", written.len(), written.join(", ")));
    }
    terminal.row(
        "changed",
        &format!(
            "nothing, in {:.1} s; {} requests; KV: {} written, {} read, {} deleted",
            took.as_secs_f64(),
            stage.cloudflare.total_requests(),
            written.len(),
            stage.world.kv.count(KvCall::Get),
            stage.world.kv.count(KvCall::Delete),
        ),
    );
    terminal.good(&format!("{before} is still the current generation, and no chunk was written"));
    Ok(())
}

async fn run(terminal: &mut Terminal, stage: &Stage, patience: Duration) -> Result<(Value, Duration), String> {
    stage.cloudflare.reset_log();
    stage.world.kv.forget_operations();
    let mut progress = Progress::default();
    let began = Instant::now();
    let status = stage.sync(patience, POLL, |status| progress.show(terminal, status)).await?;
    Ok((status, began.elapsed()))
}

/// The current generation, as KV itself has it.
fn generation(stage: &Stage) -> Result<String, String> {
    let current = stage.world.kv.get_json("current").ok_or("KV has no current generation after a sync")?;
    let generation = current.get("generation").and_then(Value::as_str);
    generation.map(str::to_owned).ok_or_else(|| format!("KV's current names no generation: {current}"))
}

/// Which lists could be read: all, since the simulated token may read all.
fn capabilities(terminal: &mut Terminal, status: &Value) -> Result<(), String> {
    let Some(Value::Object(capabilities)) = status.get("capabilities") else {
        return Err("the status tells no capabilities".to_owned());
    };
    let mut on = Vec::new();
    for (name, capability) in capabilities {
        if capability.get("on") == Some(&Value::Bool(true)) {
            on.push(name.replace('_', " "));
        } else {
            return Err(format!("the list of {name} is off, though the token may read it: {capability}"));
        }
    }
    terminal.row("can read", &on.join(", "));
    Ok(())
}

fn stored(terminal: &mut Terminal, stage: &Stage) {
    let kv = &stage.world.kv;
    let chunks = kv.keys_under("chunk/");
    let bytes: usize = chunks.iter().filter_map(|key| kv.get(key)).map(|value| value.len()).sum();
    terminal.row(
        "stored",
        &format!(
            "{} chunks of {} KiB in all; {} KV values written",
            chunks.len(),
            bytes.div_ceil(1024),
            kv.written().len()
        ),
    );
}
