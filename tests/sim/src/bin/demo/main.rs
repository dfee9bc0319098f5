//! The connector at work, to be watched: the built Worker in the real runtime, between a simulated Cloudflare account and a simulated
//! ConductorOne. Every step is checked against the account; the exit status says whether all was as it should be.

mod account;
mod dashboard;
mod files;
mod findings;
mod page;
mod progress;
mod serve;
mod sync;
mod terminal;
mod webhooks;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sim::cloudflare::{Latency, Spec};
use sim::stage::Stage;
use terminal::{Terminal, Tone};
use tokio::time::Instant;

/// Shows a sync, a grant and a revoke against simulators, and checks each of them.
#[derive(Clone, Copy, Debug, Parser)]
struct Options {
    /// How many members the account has, pending ones included.
    #[arg(long, env = "MEMBERS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=50_000))]
    members: u32,
    /// How many roles Cloudflare's roles list has.
    #[arg(long, env = "ROLES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=200))]
    roles: u32,
    /// What the account is made from; the same seed makes the same account.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Stay up afterwards, and print the URLs.
    #[arg(long, env = "SERVE", value_parser = clap::builder::FalseyValueParser::new())]
    serve: bool,
}

/// What a request to the simulated API takes, so that there is something to watch.
const LATENCY: Latency = Latency { base: Duration::from_millis(60), jitter: Duration::from_millis(60) };

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut terminal = Terminal::new();
    // 50 members take about 50 ms; a slow machine gets ten times as much, and a start; what happens in the dashboard is heard of in a minute.
    let patience = Duration::from_secs(210) + Duration::from_millis(10) * options.members;
    let shown = show(&mut terminal, options, patience).await;
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            terminal.line("");
            eprintln!("{} demo: {sentence}", terminal.paint(Tone::Bad, "✗"));
            ExitCode::FAILURE
        }
    }
}

async fn show(terminal: &mut Terminal, options: Options, patience: Duration) -> Result<(), String> {
    let began = Instant::now();
    let stage = tokio::select! {
        played = play(terminal, options, patience) => played?,
        () = tokio::time::sleep(patience) => return Err(format!("it did not end within {} s", patience.as_secs())),
        // The Worker ends with the stage, which is dropped here.
        _ = tokio::signal::ctrl_c() => return Err("interrupted".to_owned()),
    };
    terminal.line("");
    let verdict = format!("all as it should be, in {:.1} s", began.elapsed().as_secs_f64());
    let verdict = terminal.paint(Tone::Bold, &verdict);
    terminal.good(&verdict);
    if options.serve {
        serve::stay(terminal, &stage).await?;
    } else {
        terminal.line("");
        terminal.line("make demo SERVE=1 stays up, with the page to look at; make up deploys to an account of your own, and changes nobody's access there until you say so.");
    }
    Ok(())
}

async fn play(terminal: &mut Terminal, options: Options, patience: Duration) -> Result<Stage, String> {
    let stage = set(terminal, options).await?;
    sync::first(terminal, &stage, patience).await?;
    sync::second(terminal, &stage, patience).await?;
    webhooks::show(terminal, &stage).await?;
    dashboard::show(terminal, &stage).await?;
    files::show(terminal, &stage).await?;
    findings::show(terminal, &stage).await?;
    strangers(&stage)?;
    Ok(stage)
}

/// Makes the account, and starts the Worker.
async fn set(terminal: &mut Terminal, options: Options) -> Result<Stage, String> {
    let spec = Spec {
        members: usize::try_from(options.members).unwrap_or(usize::MAX),
        roles: usize::try_from(options.roles).unwrap_or(usize::MAX),
        seed: options.seed,
        ..Spec::default()
    };
    terminal.part("ConductorOne's connector to Cloudflare: the built Worker in workerd, between two simulators");
    let stage =
        Stage::set(spec, &[("AUDIT_FEED", "on"), ("LAST_LOGINS", "on")]).await.map_err(|error| error.to_string())?;
    stage.cloudflare.set_latency(LATENCY);
    let truth = stage.cloudflare.truth();
    let size = stage.size;
    terminal.row(
        "Cloudflare",
        &format!(
            "an account of {} members ({} pending), {} roles, {} user groups, {} API tokens; {} to {} ms a request; seed {}",
            size.members,
            size.pending,
            truth.roles.len(),
            truth.groups.len(),
            truth.tokens.len(),
            LATENCY.base.as_millis(),
            (LATENCY.base + LATENCY.jitter).as_millis(),
            options.seed,
        ),
    );
    terminal.row("ConductorOne", &format!("the tenant {}; it signs with EdDSA", stage.world.c1.host()));
    terminal.row("Worker", &format!("{}, with a KV namespace and a Durable Object", stage.world.worker.url()));
    Ok(stage)
}

/// Nobody was asked who should not have been.
fn strangers(stage: &Stage) -> Result<(), String> {
    if let Some(request) = stage.world.gateway.unknown().first() {
        return Err(format!("the Worker sent a request to a host it has no business with: {request}"));
    }
    if let Some(exchange) = stage.cloudflare.unexpected().first() {
        return Err(format!(
            "the Worker asked Cloudflare for what it does not have: {} {}",
            exchange.method, exchange.path
        ));
    }
    if let Some(request) = stage.world.c1.unexpected_requests().first() {
        return Err(format!("the Worker asked ConductorOne for what it does not have: {request}"));
    }
    Ok(())
}
