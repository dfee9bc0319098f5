//! What the Coordinator holds in memory, what it needs of the world, and what all of its parts say alike.

use std::cell::Cell;

use super::protocol::Reply;
use crate::base::jobs;
use crate::base::ports::{Alarm, Clock, Http, KeyValue, Level, Log, Sign, Sql, SqlError, Zstd};
use crate::base::time::Timestamp;
use crate::base::under_way::UnderWay;
use crate::conductorone::api::Tokens;
use crate::provision::journal::EntryId;
use crate::provision::lock::Locks;

/// What the Coordinator holds in memory; everything that must last is in its SQLite.
#[derive(Debug, Default)]
pub struct Coordinator {
    pub(super) locks: Locks,
    /// The operations that are being carried out right now.
    pub(super) in_flight: UnderWay<EntryId>,
    /// The parts of the alarm's work that are under way.
    pub(super) parts: UnderWay<Part>,
    /// Whether a run of connecting is carried on by somebody.
    pub(super) driving: UnderWay<()>,
    pub(super) tokens: Tokens,
    /// What was looked at last to explain changes: how far the log had told, the newest change, and when that was.
    pub(super) explained: Cell<Option<(Timestamp, i64, Timestamp)>>,
    /// Which entry of the audit log is the last that nobody has listened to, and since when that is known.
    pub(super) unheard: Cell<Option<(i64, Timestamp)>>,
    /// Up to which change they were looked at, where there are more than are looked at at once.
    pub(super) explained_to: Cell<i64>,
    /// When the next question may be answered of what a change would come to.
    pub(super) next_what_if: Cell<Option<Timestamp>>,
}

/// A part of what the alarm does. The parts go on side by side, and none waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A step of the running sync, and what follows from a run that ends.
    Sync,
    /// Operations that were put off or cut off.
    Operations,
    /// What C1 is told of operations that it does not wait for any more.
    Callbacks,
    /// The job of a kind.
    Job(jobs::JobKind),
    /// Looks for writes that come late.
    LateWrites,
    /// The audit log, and what follows from what it tells.
    AuditLog,
    /// A run of connecting.
    Connecting,
}

/// Everything the Coordinator needs of the world.
pub trait Ports: Http + KeyValue + Clock + Sql + Log + Alarm + Sign + Zstd {}

impl<T: Http + KeyValue + Clock + Sql + Log + Alarm + Sign + Zstd> Ports for T {}

impl Coordinator {
    pub(super) async fn wake<P: Ports>(&self, ports: &P, at: Timestamp) {
        if let Err(error) = ports.wake(at).await {
            ports.log(Level::Error, "could not set the alarm", serde_json::json!({ "error": error.to_string() }));
        }
    }
}

pub(super) fn failed<P: Log>(ports: &P, message: &str, error: &SqlError) -> Reply {
    unusable(ports, message, error);
    Reply::Failed { message: message.to_owned() }
}

pub(super) fn unusable<P: Log>(ports: &P, message: &str, error: &SqlError) {
    ports.log(Level::Error, message, serde_json::json!({ "error": error.to_string() }));
}
