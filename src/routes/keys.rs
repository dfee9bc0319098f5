//! The public key with which signals and evidence are signed.

use super::asking::Ports;
use super::http::{Answer, Problem};
use super::settings::Settings;
use crate::signal;

/// Shows the key set; there is none where nothing is signed with a key.
pub(super) async fn show<P: Ports>(ports: &P, settings: &Settings) -> Result<Answer, Problem> {
    let Some(key) = &settings.coordinator.signing_key else { return Err(Problem::not_found()) };
    let set = signal::key_set(ports, key)
        .await
        .map_err(|error| Problem::unavailable("signing_failed", error.to_string(), 5))?;
    let mut answer = Answer::json(200, &set);
    answer.set("Cache-Control", "public, max-age=300");
    Ok(answer)
}
