//! Two hundred webhooks at once, while Cloudflare fails and the Worker is killed. Every promise is checked on the way.

use sim::chaos::{Plan, Report, run};

use crate::table;

/// Runs the scenario whole, with kills, and some of its mixed kind.
pub(crate) async fn measure() -> Result<(), String> {
    let mut rows = Vec::new();
    for (name, plan) in [
        ("200 grants, nothing fails", Plan { faults: 0.0, ..Plan::full(1) }),
        ("200 grants, one answer in ten fails, one 429", Plan { refusals: 1, ..Plan::full(1) }),
        ("200 grants, one in ten fails, 51 kills", Plan { kills: 51, ..Plan::full(2) }),
        ("grants and revokes mixed, seed 1", Plan::mixed(1)),
        ("grants and revokes mixed, seed 2", Plan::mixed(2)),
        ("grants and revokes mixed, seed 3", Plan::mixed(3)),
    ] {
        let report = run(&plan).await.map_err(|broken| format!("{name}: {broken}"))?;
        rows.push(row(name, &report));
    }
    table::print(
        "Webhooks at once, API at 50 ms: everything is there at the end, and each operation is settled once",
        &[
            "what",
            "webhooks",
            "attempts",
            "faults",
            "stale reads planned",
            "kills",
            "calls to Cloudflare",
            "for each",
            "answered 200",
            "answered 202",
            "superseded",
            "callbacks taken",
            "sent again after a kill",
            "in all",
        ],
        &rows,
    );
    Ok(())
}

fn row(name: &str, report: &Report) -> Vec<String> {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let each = report.calls as f64 / report.deliveries.max(1) as f64;
    vec![
        name.to_owned(),
        report.deliveries.to_string(),
        report.attempts.to_string(),
        report.faults.values().sum::<usize>().to_string(),
        report.stale.to_string(),
        report.kills.to_string(),
        table::count(report.calls),
        format!("{each:.2}"),
        report.answered.to_string(),
        report.accepted.to_string(),
        report.errored.to_string(),
        report.callbacks.to_string(),
        report.repeated.to_string(),
        table::time(report.took),
    ]
}
