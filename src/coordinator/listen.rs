//! The audit log in the Coordinator: read while no sync needs the requests, and handed to who listens.

use super::explain;
use super::memory::{Coordinator, World};
use super::settings::Settings;
use crate::account::identity;
use crate::audit::feed;
use crate::base::ports::SqlError;
use crate::base::time::Timestamp;
use crate::cloudflare::{Client, Purpose};
use crate::provision::aftercare;
use crate::sync;

/// While a sync is under way, it is looked this often whether that is over.
const SYNCING_SECS: i64 = 15;

impl Coordinator {
    /// Reads on in the log, and has everybody look who waits for what it tells.
    pub(super) async fn listen<P: World>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        if !settings.audit_feed {
            feed::turned_off(ports)?;
        } else if sync::next_due(ports)?.is_none() {
            let client = Client::new(ports, &settings.cloudflare, Purpose::Sync);
            let ours = identity::identity(ports, &client).await.ok().map(|ours| ours.token.to_string());
            feed::read_on(ports, &settings.cloudflare, ours).await?;
        }
        aftercare::look_into_audit_log(ports)?;
        explain::explain(ports)
    }

    /// When the log is read next, or a write is looked up that waits for it.
    pub(super) fn listening_due<P: World>(ports: &P, settings: &Settings) -> Result<Option<Timestamp>, SqlError> {
        let looks = aftercare::audit_log_due(ports)?;
        if !settings.audit_feed {
            return Ok(looks);
        }
        let mut read = feed::next_due(ports)?;
        if sync::next_due(ports)?.is_some() {
            read = read.max(ports.now().plus_secs(SYNCING_SECS));
        }
        Ok(looks.into_iter().chain([read]).min())
    }
}
