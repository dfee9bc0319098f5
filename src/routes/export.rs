//! `GET /v1/export/<file>`: a generation as a file.

use futures::StreamExt as _;

use super::asking::{self, Ports};
use super::http::{Answer, Content, Incoming, Problem};
use super::{Settings, paging};
use crate::base::object::object_of;
use crate::base::ports::{Level, Method};
use crate::coordinator::{Command, Reply};
use crate::export::{self, ExportError, File, Insights, MAX_INSIGHTS};
use crate::findings::Filter;
use crate::snapshot::{Snapshot, SnapshotError};

/// A file's answer without its bytes, and whether that is all there is to send: the client has the file, or asks for the headers alone. Then nothing
/// is made.
pub(super) fn begun(request: &Incoming, name: &str, kind: &str, tag: String, generation: &str) -> (Answer, bool) {
    let is_known = request.knows(&tag);
    let headers = vec![
        ("Content-Type", kind.to_owned()),
        ("Content-Disposition", format!("attachment; filename=\"{name}\"")),
        ("Cache-Control", "private, no-cache".to_owned()),
        ("ETag", tag),
        ("X-Generation", generation.to_owned()),
    ];
    // The length is not known before the file is made.
    let (status, body) = if is_known { (304, Content::none()) } else { (200, Content::Unsent) };
    (Answer { status, headers, body }, is_known || request.method == Method::Head)
}

/// Notes that a file was broken off, and gives back why.
pub(super) fn broken_off<P: Ports>(ports: &P, file: &str, generation: &str, why: String) -> String {
    let fields =
        object_of(vec![("file", file.into()), ("generation", generation.into()), ("why", why.as_str().into())]);
    ports.log(Level::Error, "a file was broken off", fields);
    why
}

/// Sends a file of the generation that `generation` names, or of the current one.
pub(super) async fn download<P: Ports>(
    ports: &P,
    settings: &Settings,
    file: File,
    request: &Incoming,
) -> Result<Answer, Problem> {
    let snapshot = asked(ports, request).await?;
    let generation = snapshot.manifest().generation.to_string();
    let insights = insights(ports, settings, file).await?;
    let beside = insights.tag().map(|tag| format!("-{tag}")).unwrap_or_default();
    // Weak: another version of the runtime's compressor may make other bytes of the same content.
    let tag = format!("W/\"{}-{generation}-{}{beside}\"", file.name(), export::FORMAT);
    let (mut answer, is_all) = begun(request, file.name(), file.content_type(), tag, &generation);
    if is_all {
        return Ok(answer);
    }
    let made = export::open(ports.clone(), snapshot, file, insights).await.map_err(failed)?;
    let length = made.length();
    let log = ports.clone();
    let pieces = made
        .into_stream()
        .map(move |piece| piece.map_err(|error| broken_off(&log, file.name(), &generation, error.to_string())));
    answer.body = Content::Stream(Box::pin(pieces), length);
    Ok(answer)
}

/// The findings that are open, for a file that has room for them, where they are wanted there.
async fn insights<P: Ports>(ports: &P, settings: &Settings, file: File) -> Result<Insights, Problem> {
    if file != File::C1z || !settings.coordinator.findings.in_c1z {
        return Ok(Insights::default());
    }
    let open = Command::Findings { filter: Box::new(Filter::gravest()), limit: MAX_INSIGHTS };
    match asking::ask(ports, open).await? {
        Reply::Findings(found) => Ok(Insights::of(&found)),
        _ => Err(asking::failed()),
    }
}

/// The generation that `generation` names, or the current one.
pub(super) async fn asked<P: Ports>(ports: &P, request: &Incoming) -> Result<Snapshot, Problem> {
    match request.param("generation").filter(|generation| !generation.is_empty()) {
        Some(generation) => paging::named(ports, generation).await?.map_err(unreadable),
        None => paging::open_published(ports, None).await,
    }
}

fn failed(error: ExportError) -> Problem {
    match error {
        ExportError::Snapshot(error) => unreadable(error),
        ExportError::Sqlite(_) | ExportError::Zstd(_) => Problem::new(500, "export_failed", error.to_string()),
    }
}

fn unreadable(error: SnapshotError) -> Problem {
    match error {
        SnapshotError::Gone(generation) => Problem::new(
            410,
            "generation_gone",
            format!("the generation {generation} is no longer kept; leave `generation` out to get the current one"),
        ),
        error => paging::unreadable(error),
    }
}
