//! A run that ended: what it came to, and the generation that is current after it.

use std::fmt;

use serde::Serialize;

use super::manifest::GenerationId;
use crate::base::json::Deserialize;
use crate::base::time::Timestamp;

/// The id of a run, such as `20261123T100000Z-0007`: when it began, and the how many-th it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(String);

impl RunId {
    pub(crate) fn new(at: Timestamp, number: u64) -> Self {
        Self(format!("{}-{number:04}", at.compact()))
    }

    /// The id of a run that begins after this one, the last that is known. The number tells runs apart that begin in the same second.
    pub(crate) fn after(last: Option<&Self>, at: Timestamp) -> Self {
        let last = last.and_then(|last| last.0.rsplit_once('-')?.1.parse::<u64>().ok());
        Self::new(at, last.map_or(1, |last| last + 1))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who begins a small publication between two sweeps.
pub const BY_LOG: &str = "audit log";

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// A new generation was published.
    Published,
    /// The account is as it was; nothing was published.
    Unchanged,
    /// More people are gone than an ordinary day explains, so a person should look first; nothing was published.
    Held,
    /// It could not be finished; what was published before is as it was.
    Failed,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// Who or what started it.
    pub by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What to know about it, and what to do.
    pub message: String,
    /// From beginning to end, waits included.
    pub duration_millis: i64,
    /// Requests sent to Cloudflare.
    pub requests: u32,
    /// Key-value operations.
    pub kv: KvUse,
    /// Chunks written.
    pub chunks_written: u64,
    /// Bytes of chunks written.
    pub bytes_written: u64,
    /// The generation that is current after it.
    pub generation: Option<GenerationId>,
    /// What it found changed, where that was counted.
    pub changes: Option<ChangeCounts>,
    /// Oddities that were passed over.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The clock starts no run before then.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
}

impl RunRecord {
    /// Whether it was to look through the whole account; a small publication does not.
    pub fn is_sweep(&self) -> bool {
        self.by != BY_LOG
    }

    /// Whether it looked through the whole account, and found it changed or as it was.
    pub fn is_good_sweep(&self) -> bool {
        self.is_sweep() && matches!(self.outcome, RunOutcome::Published | RunOutcome::Unchanged)
    }
}

#[cfg(test)]
impl RunRecord {
    /// A run of the cron trigger's that took no time and read nothing.
    pub(crate) fn bare(run: RunId, at: Timestamp, outcome: RunOutcome) -> Self {
        Self {
            run,
            by: "cron".to_owned(),
            started_at: at,
            finished_at: at,
            outcome,
            message: String::new(),
            duration_millis: 0,
            requests: 0,
            kv: KvUse::default(),
            chunks_written: 0,
            bytes_written: 0,
            generation: None,
            changes: None,
            warnings: Vec::new(),
            not_before: None,
        }
    }
}

/// How much differs between two generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounts {
    /// Resources that are new.
    pub added: u64,
    /// Resources that are gone.
    pub removed: u64,
    /// Resources that differ.
    pub changed: u64,
    /// Grants that are new.
    pub grants_added: u64,
    /// Grants that are gone.
    pub grants_removed: u64,
    /// Whether there are more than were counted.
    #[serde(default)]
    pub more: bool,
}

/// Key-value operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvUse {
    /// Values read.
    pub reads: u64,
    /// Values written.
    pub writes: u64,
    /// Values deleted.
    pub deletes: u64,
}
