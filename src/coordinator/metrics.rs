//! What Prometheus is told, in its text form (version 0.0.4): how the sync, the budget, the journal, jobs and findings stand.
//! docs/metrics.md has the table of it.

use std::fmt::Write as _;

use super::protocol::Requests;
use crate::base::jobs;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::base::time::Timestamp;
use crate::cloudflare;
use crate::findings;
use crate::model::kind::Kind;
use crate::provision::{callback, journal};
use crate::sync::{self, SyncState};

/// What is counted by statements: a name, what it is, its labels, and a statement that gives a row of them and the number. `?1` in it is now.
const COUNTED: [(&str, &str, &[&str], &str); 7] = [
    ("sync_runs_total", "Syncs since the first one, by their outcome.", &["outcome"], sync::days::BY_OUTCOME),
    ("operations", "Operations in the journal, by what became of them.", &["outcome"], journal::BY_OUTCOME),
    ("callbacks_waiting", "Outcomes that ConductorOne still has to be told.", &[], callback::WAITING),
    ("jobs", "What follows a publication, by its kind and how it stands.", &["kind", "state"], jobs::BY_STATE),
    ("findings", "Findings that are not closed.", &["severity", "state"], findings::BY_SEVERITY),
    ("requests_total", "Requests answered, by route and status.", &["route", "status"], REQUESTS),
    ("sign_ins_failed", "Failed sign-ins at the page since the first one.", &[], SIGN_INS_FAILED),
];

// The first of the two is how an earlier version counted them.
const SIGN_INS_FAILED: &str =
    "SELECT COALESCE(SUM(n), 0) FROM counter WHERE name IN ('sign_ins_failed', 'request sign_in 401')";

/// What a count of requests is named by: this, the route, a blank, the status.
const REQUEST: &str = "request ";

const REQUESTS: &str = "SELECT substr(name, 9, instr(substr(name, 9), ' ') - 1), substr(name, 9 + instr(substr(name, 9), ' ')), n \
    FROM counter WHERE name LIKE 'request %' ORDER BY name";

/// Creates the table of what is counted here.
pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.run("CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID", &[])
}

/// Counts requests that were answered.
pub(super) fn answered(sql: &dyn Sql, requests: &Requests) -> Result<(), SqlError> {
    requests.iter().try_for_each(|(route, status, n)| count(sql, &format!("{REQUEST}{route} {status}"), i64::from(*n)))
}

fn count(sql: &dyn Sql, name: &str, n: i64) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO counter (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
        &[name.into(), n.into()],
    )
}

/// All of it as a text.
pub(super) fn text(sql: &dyn Sql, now: Timestamp) -> Result<String, SqlError> {
    let mut text = Text(String::new());
    let status = sync::status(sql)?;
    let secs = |at: Timestamp| at.millis() / 1_000;
    text.of("sync_state", "1 for the state that the sync is in.");
    for state in SyncState::ALL {
        text.value("sync_state", &[("state", state.as_str())], i64::from(status.state == state));
    }
    if let Some(run) = sync::last_sweep(&status.runs) {
        text.one("sync_finished_timestamp_seconds", "When the latest sync ended.", secs(run.finished_at));
        text.one("sync_duration_seconds", "How long the latest sync took.", run.duration_millis / 1_000);
        text.one("sync_requests", "Requests to Cloudflare of the latest sync.", i64::from(run.requests));
    }
    if let Some(current) = status.generations.first() {
        // What was found unchanged is as new as what was published. Where none of the runs found anything, it is older than all of them.
        let seen = sync::last_good_sweep(&status.runs).or(status.runs.last());
        let at = seen.map_or(current.published_at, |run| run.finished_at);
        text.one("data_timestamp_seconds", "When the data was last found to be so.", secs(at));
        text.one("data_age_seconds", "How old the data is.", now.since(at) / 1_000);
        text.of("resources", "What the account has.");
        let counts = &current.counts;
        let of_kinds = Kind::ALL.iter().map(|&kind| (kind.as_str(), counts.of(kind)));
        for (kind, count) in of_kinds.chain([("grant", counts.grants)]) {
            text.value("resources", &[("kind", kind)], i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    let (for_sync, for_provisioning) = cloudflare::requests_left(sql, now)?;
    text.of("cloudflare_requests_left", "Requests to Cloudflare that are left in these five minutes.");
    text.value("cloudflare_requests_left", &[("purpose", "sync")], i64::from(for_sync));
    text.value("cloudflare_requests_left", &[("purpose", "provisioning")], i64::from(for_provisioning));
    for (name, help, labels, statement) in COUNTED {
        text.of(name, help);
        let now = [SqlValue::Integer(now.millis())];
        for row in sql.query(statement, if statement.contains("?1") { &now } else { &[] })? {
            let Some((number, words)) = row.split_last() else { continue };
            let labels: Vec<(&str, &str)> =
                labels.iter().copied().zip(words.iter().map(|word| word.text().unwrap_or("unknown"))).collect();
            text.value(name, &labels, number.integer().unwrap_or(0));
        }
    }
    Ok(text.0)
}

struct Text(String);

impl Text {
    fn of(&mut self, name: &str, help: &str) {
        // Writing to a String does not fail.
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let _ = write!(self.0, "# HELP connector_{name} {help}\n# TYPE connector_{name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], number: i64) {
        self.0.push_str("connector_");
        self.0.push_str(name);
        for (n, (label, word)) in labels.iter().enumerate() {
            // The words are this program's own; were one not, it could not end its quotes.
            let word: String = word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let _ = write!(self.0, "{}{label}=\"{word}\"", if n == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {number}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, help: &str, number: i64) {
        self.of(name, help);
        self.value(name, &[], number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fakes::Desk;
    use crate::base::ports::Clock as _;

    #[test]
    fn every_line_is_a_number_of_a_metric_that_was_announced_and_what_is_counted_is_in_it() {
        let desk = Desk::default();
        crate::coordinator::init(&desk).unwrap();
        let failed =
            |text: &str| text.lines().find(|line| line.starts_with("connector_sign_ins_failed")).map(str::to_owned);
        assert_eq!(failed(&text(&desk, desk.now()).unwrap()).as_deref(), Some("connector_sign_ins_failed 0"));
        answered(&desk, &vec![("sign_in".to_owned(), 401, 1), ("sign_in".to_owned(), 200, 1)]).unwrap();
        count(&desk, "sign_ins_failed", 1).unwrap();
        for _ in 0..2 {
            answered(&desk, &vec![("key_set".to_owned(), 200, 3), ("lists".to_owned(), 401, 1)]).unwrap();
        }
        jobs::want(&desk, jobs::JobKind::Push, "g1", false, desk.now()).unwrap();
        let text = text(&desk, desk.now()).unwrap();
        assert_eq!(failed(&text).as_deref(), Some("connector_sign_ins_failed 2"));
        assert!(text.contains("\nconnector_jobs{kind=\"push\",state=\"due\"} 1\n"), "{text}");
        assert!(text.contains("connector_requests_total{route=\"key_set\",status=\"200\"} 6\n"), "{text}");
        assert!(text.contains("connector_requests_total{route=\"lists\",status=\"401\"} 2\n"), "{text}");
        assert!(text.contains("# TYPE connector_requests_total counter\n"), "{text}");
        assert!(text.contains("connector_sync_state{state=\"not_connected\"} 1\n"), "{text}");
        assert!(text.contains("connector_cloudflare_requests_left{purpose=\"provisioning\"} 1150\n"), "{text}");
        let mut announced = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                announced.push(rest.split(' ').next().unwrap());
            } else if !line.starts_with('#') {
                let (name, number) = line.rsplit_once(' ').unwrap();
                assert!(number.parse::<i64>().is_ok(), "{line}");
                assert!(announced.contains(&name.split('{').next().unwrap()), "{line}");
            }
        }
    }
}
