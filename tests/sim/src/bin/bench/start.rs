//! How long the first answer of a Worker takes that has just been started, and the next one.

use std::time::Duration;

use sim::cloudflare::Spec;
use sim::stage::Stage;
use tokio::time::Instant;

use crate::table;

/// How often a Worker is started; the median is told.
const STARTS: usize = 9;

/// What is asked, with the status of its answer: neither takes anything but the Worker itself.
const ASKED: [(&str, &str, u16); 2] = [("GET", "/healthz", 200), ("POST", "/webhooks/conductorone", 401)];

/// Measures both.
pub(crate) async fn measure() -> Result<(), String> {
    let stage = Stage::set(Spec { members: 1, ..Spec::default() }, &[]).await.map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (method, path, status) in ASKED {
        let (mut ready, mut first, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let began = Instant::now();
            stage.world.worker.restart().await.map_err(|error| error.to_string())?;
            ready.push(began.elapsed());
            for took in [&mut first, &mut next] {
                let began = Instant::now();
                let answer = stage.world.request(method, path, &[], None).await.map_err(|error| error.to_string())?;
                took.push(began.elapsed());
                if answer.status != status {
                    return Err(format!(
                        "{method} {path} was answered {}, not {status}: {}",
                        answer.status,
                        answer.text()
                    ));
                }
            }
        }
        rows.push(vec![
            format!("{method} {path}"),
            table::time(median(ready)),
            table::time(median(first)),
            table::time(median(next)),
        ]);
    }
    table::print(
        "A Worker that was just started (medians)",
        &["asked", "until workerd listens, the wasm compiled", "first answer", "the next"],
        &rows,
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
