//! A running sync, as `GET /v1/status` tells it.

use serde_json::Value;

use crate::terminal::Terminal;

/// Shows how far the sync is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: String,
    quarter: u64,
}

impl Progress {
    /// Shows one status.
    pub(crate) fn show(&mut self, terminal: &mut Terminal, status: &Value) {
        let Some(running) = status.get("running").filter(|running| running.is_object()) else { return };
        let number = |name: &str| running.get(name).and_then(Value::as_u64);
        let phase = running.get("phase").and_then(Value::as_str).unwrap_or("starting");
        let pages = (number("pages_done").unwrap_or(0), number("pages_total").unwrap_or(0));
        let members = (number("members_seen").unwrap_or(0), number("members_total").unwrap_or(0));
        let requests = number("requests").unwrap_or(0);
        let quarter = (members.0 * 4).checked_div(members.1).unwrap_or(0);
        let step = phase != self.phase || quarter != self.quarter;
        (self.phase, self.quarter) = (phase.to_owned(), quarter);
        let of = |(done, total): (u64, u64)| if total == 0 { format!("{done}") } else { format!("{done}/{total}") };
        let text = format!("{phase:<18} pages {:<9} members {:<13} requests {requests}", of(pages), of(members));
        terminal.progress(&text, share(members), step);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of members")]
fn share((done, total): (u64, u64)) -> f64 {
    if total == 0 { 0.0 } else { done as f64 / total as f64 }
}
