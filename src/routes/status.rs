//! How the sync stands, and starting one.

use serde::Serialize;

use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::settings::Settings;
use super::{newest_first, paging, session};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::object::object_of;
use crate::base::time::Timestamp;
use crate::coordinator::{Command, LearnedUrl, Reply, Status};
use crate::sync::Day;

/// The status, and what this Worker was told wrong.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    status: &'a Status,
    /// Where C1 reaches this Worker; `null` where that is not known.
    public_url: Option<ReachableAt<'a>>,
    /// Variables whose values are wrong, with what to put there.
    wrong_variables: Vec<Wrong<'a>>,
}

#[derive(Serialize)]
struct ReachableAt<'a> {
    url: &'a str,
    /// `setting` or `learned`.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    learned_at: Option<Timestamp>,
    /// Method and path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    learned_from: Option<&'a str>,
}

fn reached<'a>(settings: &'a Settings, learned: Option<&'a LearnedUrl>) -> Option<ReachableAt<'a>> {
    if let Some(set) = &settings.coordinator.conductorone.public_url {
        return Some(ReachableAt { url: &set.base, source: "setting", learned_at: None, learned_from: None });
    }
    let LearnedUrl { url, learned_at, learned_from } = learned?;
    Some(ReachableAt { url, source: "learned", learned_at: Some(*learned_at), learned_from: Some(learned_from) })
}

#[derive(Serialize)]
struct Wrong<'a> {
    variable: &'static str,
    message: &'a str,
}

/// Shows the status.
pub(super) async fn show<P: Ports>(ports: &P, settings: &Settings) -> Result<Answer, Problem> {
    match asking::ask(ports, Command::Status).await? {
        Reply::Status(mut status) => {
            let learned = status.learned.take();
            let public_url = reached(settings, learned.as_ref());
            let problems = settings.problems.iter();
            let wrong = problems.map(|problem| Wrong { variable: problem.name, message: &problem.message }).collect();
            Ok(Answer::json(200, &Shown { status: &status, public_url, wrong_variables: wrong }))
        }
        _ => Err(asking::failed()),
    }
}

/// Lists what became of the syncs of each day, the newest first.
pub(super) async fn days<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let limit = paging::limit(request)?;
    let command = Command::Days { before: newest_first::before(request)?, limit: newest_first::most(limit) };
    match asking::ask(ports, command).await? {
        Reply::Days(days) => Ok(newest_first::page(days, limit, Day::number)),
        _ => Err(asking::failed()),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    accept_removals: bool,
}

/// Starts a sync.
pub(super) async fn begin_sync<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let body = request.bytes()?;
    let options: Options = if body.is_empty() {
        Options::default()
    } else {
        json::read(body).map_err(|error| {
            Problem::invalid(format!("the body must be empty or {{\"accept_removals\": true}}: {error}"))
        })?
    };
    let who = session::who(request);
    match asking::ask(ports, Command::begin_sync(who.as_deref().unwrap_or("api"), options.accept_removals)).await? {
        Reply::SyncBegun { run } => Ok(begun("run", run)),
        Reply::SyncRunning { run } => Err(Problem::new(
            409,
            "sync_running",
            format!("the sync {run} is running; see GET /v1/status for how far it is"),
        )),
        _ => Err(asking::failed()),
    }
}

/// That something was begun, and where to look how far it is.
fn begun(what: &str, id: String) -> Answer {
    Answer::json(202, &object_of(vec![(what, id.into()), ("status", "/v1/status".into())]))
}

/// Pushes the current generation once more.
pub(super) async fn push<P: Ports>(ports: &P) -> Result<Answer, Problem> {
    match asking::ask(ports, Command::Push).await? {
        Reply::Pushing { generation } => Ok(begun("generation", generation.to_string())),
        Reply::PushNotConfigured => Err(Problem::new(
            409,
            "push_not_configured",
            "there is nothing to push to: set S3_BUCKET and what belongs to it, AZURE_SAS_URL, or C1_CONNECTOR_ID",
        )),
        Reply::NothingToPush => Err(Problem::new(
            404,
            "nothing_to_push",
            "nothing was published yet that could be pushed; start a sync with: POST /v1/sync",
        )),
        _ => Err(asking::failed()),
    }
}
