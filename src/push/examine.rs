//! Could the file be pushed? Asked of the store and of C1 themselves, by requests that leave nothing behind that anybody sees.

use super::azure::Blob;
use super::error::StoreError;
use super::s3::Object;
use super::settings::{Settings, Store};
use super::upload::Target as _;
use super::{Ports, force_sync};
use crate::base::remedy::SET_SECRET;
use crate::conductorone;
use crate::conductorone::api::Tokens;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was checked: variables by name.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found, and what to do.
    pub message: String,
}

/// Checks what is configured; nothing where nothing is.
pub async fn examine<P: Ports>(
    ports: &P,
    settings: Option<&Settings>,
    conductorone: &conductorone::Settings,
    tokens: &Tokens,
) -> Vec<Checked> {
    let Some(push) = settings else { return Vec::new() };
    let content_type = push.file.content_type();
    let mut found = Vec::new();
    match &push.store {
        None => {}
        Some(Store::S3(settings)) => {
            let object = Object { ports, settings, content_type };
            found.push(store("S3_BUCKET", &object.name(), object.examine().await));
        }
        Some(Store::Azure(settings)) => {
            let blob = Blob { ports, settings, content_type };
            found.push(store("AZURE_SAS_URL", &blob.name(), blob.examine().await));
            if let Some(at) = settings.expires_soon(ports.now()) {
                let message = format!(
                    "the SAS URL expires on {}: make a new one before then, and set it {SET_SECRET}AZURE_SAS_URL",
                    at.date()
                );
                found.push(Checked { name: "AZURE_SAS_URL (expiry)", ok: false, message });
            }
        }
    }
    if let Some(connector) = &push.connector {
        let (ok, message) = match force_sync::examine(ports, conductorone, tokens, connector).await {
            Ok(()) => (true, "the connector can be read with C1_CLIENT_ID; each push makes it sync".to_owned()),
            Err(why) => (false, why),
        };
        found.push(Checked { name: "C1_CONNECTOR_ID", ok, message });
    }
    found
}

fn store(name: &'static str, place: &str, examined: Result<(), StoreError>) -> Checked {
    let (ok, message) = match examined {
        Ok(()) => (true, format!("{place} can be written")),
        Err(error) => (false, error.to_string()),
    };
    Checked { name, ok, message }
}
