//! Where this Worker is reached: as `PUBLIC_URL` says, or else as the Coordinator has learned it.

use super::asking::Ports;
use super::http::Incoming;
use super::settings::Settings;
use crate::base::json;
use crate::conductorone::settings::PublicUrl;
use crate::coordinator::{Command, LearnedUrl, Reply, RequestTarget};

/// Why there is none.
const UNKNOWN: &str = "PUBLIC_URL is not set, and nobody has sent a request with CONNECTOR_TOKEN over https yet from which it is learned; sign in at the page, or set it";

/// Lets the Coordinator learn it from a request that came with the full token, or in a session that this token opened.
pub(super) async fn teach<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) {
    if settings.coordinator.conductorone.public_url.is_none() {
        let seen = RequestTarget {
            origin: request.origin.clone(),
            by: format!("{} {}", request.method.as_str(), request.path).chars().take(100).collect(),
        };
        // Where it cannot be noted, the next request teaches.
        let _ = learned(ports, Some(seen)).await;
    }
}

/// Where this Worker is reached, or why that is not known.
pub(super) async fn known<P: Ports>(ports: &P, settings: &Settings) -> Result<PublicUrl, String> {
    match &settings.coordinator.conductorone.public_url {
        Some(set) => Ok(set.clone()),
        None => learned(ports, None).await?.and_then(|it| it.public_url()).ok_or(UNKNOWN.to_owned()),
    }
}

/// What was learned. It never changes, so an isolate that has it asks no more.
pub(super) async fn learned<P: Ports>(ports: &P, seen: Option<RequestTarget>) -> Result<Option<LearnedUrl>, String> {
    let key = ports.space().key("learned");
    let kept = ports.shelf(|shelf| shelf.get(&key)).flatten();
    if let Some(known) = kept.and_then(|text| json::read(&text).ok()) {
        return Ok(Some(known));
    }
    match ports.ask(Command::PublicUrl(seen)).await {
        Ok(Reply::PublicUrl(found)) => {
            if let Some(text) = found.as_ref().and_then(|it| serde_json::to_vec(it).ok()) {
                ports.shelf(|shelf| shelf.keep(&key, &text.into()));
            }
            Ok(found)
        }
        Ok(_) => Err("the Coordinator could not say where this Worker is reached; see the Worker's log".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
