//! Measures the built Worker in the real runtime and prints the figures as Markdown. Counts are checked against what is
//! promised; times are only told, since they are this machine's.

mod export;
mod grants;
mod size;
mod syncs;
mod table;

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
    size::measure()?;
    syncs::measure().await?;
    grants::measure().await?;
    export::measure().await
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
