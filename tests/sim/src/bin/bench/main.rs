//! Measures the built Worker in the real runtime and prints the figures as Markdown. Counts are checked against what is
//! promised; times are only told, since they are this machine's.

mod chaos;
mod cost;
mod export;
mod grants;
mod hot;
mod load;
mod plot;
mod scale;
mod size;
mod start;
mod syncs;
mod table;

use std::ops::RangeInclusive;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("bench: {sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), String> {
    println!("{}", machine());
    // Without arguments everything; `bench export` measures that alone.
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("size") {
        size::measure()?;
    }
    if wanted("syncs") {
        syncs::measure().await?;
    }
    if let Some(sizes) = sizes_of("large", &parts) {
        syncs::large(sizes).await?;
    }
    if let Some(sizes) = sizes_of("scale", &parts) {
        scale::measure(sizes).await?;
    }
    if wanted("start") {
        start::measure().await?;
    }
    if wanted("hot") {
        hot::measure().await?;
    }
    if wanted("free") {
        scale::free().await?;
    }
    if wanted("grants") {
        grants::measure().await?;
    }
    let of_large = parts.iter().any(|part| part == "load-large");
    if wanted("load") || of_large {
        load::measure(of_large).await?;
    }
    if wanted("chaos") {
        chaos::measure().await?;
    }
    if wanted("export") {
        export::measure().await?;
    }
    Ok(())
}

/// Which accounts a part is of: `scale` is all of them, `scale=5000` those up to 5,000 members, `scale=50000-50000` that size alone.
fn sizes_of(name: &str, parts: &[String]) -> Option<RangeInclusive<usize>> {
    let part = parts
        .iter()
        .filter_map(|part| part.strip_prefix(name))
        .find(|rest| rest.is_empty() || rest.starts_with('='))?;
    let sizes = part.strip_prefix('=').unwrap_or_default();
    let (least, most) = sizes.split_once('-').unwrap_or(("0", sizes));
    Some(least.parse().unwrap_or(0)..=most.parse().unwrap_or(usize::MAX))
}

/// Where this was measured.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let model = model.map(|name| format!(" ({name})")).unwrap_or_default();
    format!("Measured with workerd on {}, {cores} cores{model}, both simulators beside it.", std::env::consts::OS)
}
