//! Pages of a list: a limit, and a cursor that pins the generation it began with, so that one who pages to the end sees
//! one consistent account.

use serde::Serialize;

use super::asking::{self, Ports};
use super::http::{Answer, Content, Incoming, Problem};
use crate::base::base64;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::coordinator::{Command, Reply};
use crate::snapshot::{self, GenerationId, Snapshot, SnapshotError, Values};
use crate::sync::GenerationSummary;

/// How many items a page has when nobody says, and at most.
const LIMITS: (usize, usize) = (100, 1000);

/// Where the next page begins. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The generation.
    #[serde(rename = "g")]
    pub(super) generation: GenerationId,
    /// The number of the overlay that the list began with: what was changed since then shows in the next list.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<i64>,
    /// The key of the last row that was given, wholly or in part.
    #[serde(rename = "a")]
    pub(super) after: Option<String>,
    /// The key of a row, and how many of its items were given already.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub(super) within: Option<(String, usize)>,
}

impl Cursor {
    /// A place in a snapshot.
    pub(super) fn of(snapshot: &Snapshot, after: Option<String>, within: Option<(String, usize)>) -> Self {
        let generation = snapshot.manifest().generation.clone();
        Self { generation, seq: Some(snapshot.freshness().0), after, within }
    }

    pub(super) fn encode(&self) -> String {
        base64::url(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        json::read(&base64::read_url(text)?).ok()
    }
}

/// What a request asks of a list.
#[derive(Debug)]
pub(super) struct ListQuery {
    pub(super) limit: usize,
    pub(super) cursor: Option<Cursor>,
}

/// Reads `limit`.
pub(super) fn limit(request: &Incoming) -> Result<usize, Problem> {
    let (default, most) = LIMITS;
    match request.param("limit") {
        None | Some("") => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| Problem::invalid(format!("limit must be a number from 1 to {most}"))),
    }
}

/// The problem of a cursor that is none.
pub(super) fn invalid_cursor() -> Problem {
    Problem::new(400, "invalid_cursor", "cursor must be a next_cursor of an earlier answer; leave it out to start over")
}

/// Reads `limit` and `cursor`.
pub(super) fn asked(request: &Incoming) -> Result<ListQuery, Problem> {
    let limit = limit(request)?;
    let cursor = match request.param("cursor") {
        None | Some("") => None,
        Some(text) => Some(Cursor::decode(text).ok_or_else(invalid_cursor)?),
    };
    Ok(ListQuery { limit, cursor })
}

/// Opens the snapshot that a request is about, the one its cursor pins or the current one, with what our own operations changed
/// since laid over it.
pub(super) async fn open<P: Ports>(ports: &P, cursor: Option<&Cursor>) -> Result<Snapshot, Problem> {
    with_changes(ports, open_published(ports, cursor).await?, cursor.and_then(|cursor| cursor.seq)).await
}

/// Opens the newest generation, by its own name where KV shows an older one here: what is changed by it must not be what it has no more.
pub(super) async fn open_newest<P: Ports>(ports: &P) -> Result<Snapshot, Problem> {
    let seen = open_published(ports, None).await?;
    let snapshot = newest(ports, seen).await?;
    with_changes(ports, snapshot, None).await
}

/// The generation that was published last, as it was published, where this one that KV shows is older. No cursor began with it, and where it is not there it is
/// to come, or a sync publishes it again.
pub(super) async fn newest<P: Ports>(ports: &P, seen: Snapshot) -> Result<Snapshot, Problem> {
    let Some(newest) = newer(ports, &seen).await? else { return Ok(seen) };
    last(ports, &newest).await.map_err(unreadable)
}

/// Opens the generation that was published last: where it is not there it is to come.
pub(super) async fn last(values: &dyn Values, generation: &GenerationId) -> Result<Snapshot, SnapshotError> {
    match Snapshot::open(values, generation).await {
        Err(SnapshotError::Gone(gone)) => Err(SnapshotError::NotReplicated(gone)),
        opened => opened,
    }
}

async fn with_changes<P: Ports>(ports: &P, snapshot: Snapshot, until: Option<i64>) -> Result<Snapshot, Problem> {
    let generation = snapshot.manifest().generation.clone();
    match asking::ask(ports, Command::Overlay { generation, until }).await? {
        Reply::Overlay(overlay) => Ok(snapshot.with(overlay)),
        _ => Err(asking::failed()),
    }
}

/// For so long a generation that is not there may be one that has not come to this place yet: KV takes a minute.
const LATE_MILLIS: i64 = 5 * 60 * 1_000;

/// The generations that were published last, as the Coordinator knows them: what KV shows here may be a minute older.
async fn published<P: Ports>(ports: &P) -> Result<Vec<GenerationSummary>, Problem> {
    match asking::ask(ports, Command::Status).await? {
        Reply::Status(status) => Ok(status.sync.generations),
        _ => Err(asking::failed()),
    }
}

/// The sync of a generation that was published and is not remembered yet began no longer ago.
const UNREMEMBERED_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Whether a generation that is not there was published a moment ago: it is among those that are remembered, or behind all of them, since `current` names a
/// generation before it is remembered.
async fn is_late<P: Ports>(ports: &P, generation: &str) -> Result<bool, Problem> {
    let (known, now) = (published(ports).await?, ports.now());
    let newest = known.first().map(|newest| newest.generation.clone());
    Ok(match known.into_iter().find(|known| known.generation.to_string() == generation) {
        Some(known) => now.since(known.published_at) < LATE_MILLIS,
        None => GenerationId::parse(generation)
            .filter(|generation| newest.is_none_or(|newest| newest < *generation))
            .and_then(|generation| generation.began_at())
            .is_some_and(|began| now.since(began).abs() < UNREMEMBERED_MILLIS),
    })
}

/// The newest generation that was published, where this is an older one: KV may show what is a minute old here.
pub(super) async fn newer<P: Ports>(ports: &P, current: &Snapshot) -> Result<Option<GenerationId>, Problem> {
    let newest = published(ports).await?.into_iter().next().map(|newest| newest.generation);
    Ok(newest.filter(|newest| *newest > current.manifest().generation))
}

/// Opens the generation that a text names, as it was published. One that is not there and was published a moment ago is to come.
pub(super) async fn named<P: Ports>(ports: &P, generation: &str) -> Result<Result<Snapshot, SnapshotError>, Problem> {
    Ok(match Snapshot::named(ports, generation).await {
        Err(SnapshotError::Gone(gone)) if is_late(ports, generation).await? => Err(SnapshotError::NotReplicated(gone)),
        opened => opened,
    })
}

/// Opens a generation as it was published.
pub(super) async fn open_published<P: Ports>(ports: &P, cursor: Option<&Cursor>) -> Result<Snapshot, Problem> {
    let opened = match cursor {
        Some(cursor) => named(ports, &cursor.generation.to_string()).await?,
        None => match snapshot::latest(ports).await {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => Err(SnapshotError::NoneYet),
            Err(error) => Err(error),
        },
    };
    opened.map_err(unreadable)
}

/// The code of the problem that nothing was published yet.
pub(super) const NO_SNAPSHOT: &str = "no_snapshot";

/// The problem that a snapshot's error is for a client.
#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
pub(super) fn unreadable(error: SnapshotError) -> Problem {
    let detail = error.to_string();
    match error {
        SnapshotError::NoneYet => Problem::unavailable(
            NO_SNAPSHOT,
            "there is no snapshot yet: the first sync has not finished; see GET /v1/status, or start one with POST /v1/sync",
            30,
        ),
        SnapshotError::Gone(_) => Problem::new(
            410,
            "generation_gone",
            "the generation that this cursor began with is no longer kept; read the list again from its beginning, without a cursor",
        ),
        SnapshotError::NotReplicated(_) => Problem::unavailable("not_replicated", detail, 5),
        SnapshotError::Corrupt(_) => Problem::new(500, "snapshot_corrupt", detail),
        SnapshotError::Kv(_) => Problem::unavailable("storage_failed", detail, 5),
    }
}

/// A page of a list.
#[derive(Serialize)]
pub(super) struct PageBody<T> {
    items: Vec<T>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    generation: GenerationId,
}

impl<T> PageBody<T> {
    /// The items of a page of a snapshot.
    pub(super) fn of(snapshot: &Snapshot, items: Vec<T>, next: Option<&Cursor>) -> Self {
        let generation = snapshot.manifest().generation.clone();
        Self { items, next_cursor: next.map(Cursor::encode), generation }
    }
}

/// A page as an answer, with the snapshot's `ETag`; 304 where the client has this one already.
pub(super) fn page<T: Serialize>(
    request: &Incoming,
    snapshot: &Snapshot,
    items: Vec<T>,
    next: Option<&Cursor>,
) -> Answer {
    tagged(request, snapshot, &PageBody::of(snapshot, items, next))
}

/// An answer that is the same as long as the snapshot is.
pub(super) fn tagged(request: &Incoming, snapshot: &Snapshot, body: &impl Serialize) -> Answer {
    tagged_as(request, snapshot, &|| Answer::json(200, body))
}

fn tagged_as(request: &Incoming, snapshot: &Snapshot, answer: &dyn Fn() -> Answer) -> Answer {
    // Two generations may have the same rows, and an answer names its own: whoever kept the older one would go on with a cursor that is gone.
    let generation = &snapshot.manifest().generation;
    // A change that shows makes another answer of the same generation.
    let tag = match snapshot.freshness() {
        (seq, true) => format!("\"{generation}-{seq}\""),
        (_, false) => format!("\"{generation}\""),
    };
    let mut answer =
        if request.knows(&tag) { Answer { status: 304, headers: vec![], body: Content::none() } } else { answer() };
    // To be kept, but asked for each time: the answer to a grant must not be hidden by a cache.
    answer.set("Cache-Control", "private, no-cache");
    answer.headers.push(("ETag", tag));
    answer
}
