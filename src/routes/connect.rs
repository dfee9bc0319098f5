//! Connecting to C1, and what became of it.

use super::allow;
use super::asking::{self, Ports};
use super::http::{Answer, Incoming, Problem};
use super::session;
use super::settings::Settings;
use crate::base::json;
use crate::base::remedy::SET_SECRET;
use crate::conductorone::settings::app_id;
use crate::connect::{Mode, Options, RunState};
use crate::coordinator::{Command, Reply};

/// Begins a run: 200 with its report where it ended within the time of a request, well or not; 202 where it goes on.
pub(super) async fn begin<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Result<Answer, Problem> {
    let mut options = options(request)?;
    if settings.coordinator.conductorone.credentials.is_none() {
        return Err(Problem::new(
            409,
            "connect_not_configured",
            format!(
                "C1_CLIENT_ID and C1_CLIENT_SECRET are not set: make an API key in ConductorOne, and set both {SET_SECRET}C1_CLIENT_ID, and C1_CLIENT_SECRET"
            ),
        ));
    }
    // The tasks of an app that is connected are taken from then on, whoever its owner is: so it is the one that is set, else that of the last time.
    if !settings.rest_provisioning && options.mode() == Mode::Connect {
        let mut known = settings.coordinator.conductorone.app_id.clone();
        if known.is_none()
            && let Reply::Status(status) = asking::ask(ports, Command::Status).await?
        {
            known = status.connection.and_then(|connection| connection.app).map(|app| app.id);
        }
        options.app_id = options.app_id.or_else(|| known.clone());
        if known.is_none() || options.app_id != known {
            return Err(allow::off());
        }
    }
    let by = session::who(request).unwrap_or_else(|| "api".to_owned());
    match asking::ask(ports, Command::Connect(options, by)).await? {
        Reply::Connect(Some(report)) => {
            let status = if report.state == RunState::Running { 202 } else { 200 };
            Ok(Answer::json(status, &report))
        }
        Reply::ConnectRunning => Err(Problem::new(
            409,
            "connect_running",
            "this is being done already; see GET /v1/connect for how far it is",
        )),
        _ => Err(asking::failed()),
    }
}

/// Shows what the latest run did; `after` gives the lines after that one.
pub(super) async fn show<P: Ports>(ports: &P, request: &Incoming) -> Result<Answer, Problem> {
    let after = match request.param("after") {
        None | Some("") => 0,
        Some(text) => text
            .parse::<u32>()
            .map(i64::from)
            .map_err(|_| Problem::invalid("after must be the number of the last line that is known"))?,
    };
    match asking::ask(ports, Command::Connection { after }).await? {
        Reply::Connect(Some(report)) => Ok(Answer::json(200, &report)),
        Reply::Connect(None) => {
            Err(Problem::new(404, "not_found", "nothing was connected yet; POST /v1/connect does it"))
        }
        _ => Err(asking::failed()),
    }
}

fn options(request: &Incoming) -> Result<Options, Problem> {
    let body = request.bytes()?;
    if body.is_empty() {
        return Ok(Options::default());
    }
    let options: Options = json::read(body).map_err(|error| {
        Problem::invalid(format!(
            "the body must be empty, or an object with app_id, dry_run, undo or overwrite: {error}"
        ))
    })?;
    if options.undo && (options.dry_run || options.app_id.is_some()) {
        return Err(Problem::invalid(
            "undo goes with neither dry_run nor app_id: it puts back all that it finds saved, of every app",
        ));
    }
    if let Some(id) = &options.app_id {
        app_id(id).map_err(|error| Problem::invalid(format!("app_id {error}")))?;
    }
    Ok(options)
}
