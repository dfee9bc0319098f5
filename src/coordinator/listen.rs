//! The audit log, and once a day the lists of logins, in the Coordinator: read while no sync needs the requests, and handed to who listens. Members whom it names are read
//! again at once; what is no single member's is looked at by a sweep soon.

use super::memory::{Coordinator, Ports};
use super::settings::Settings;
use crate::account::identity;
use crate::audit::{entries, feed, logins};
use crate::base::ports::{Level, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{Client, Purpose};
use crate::provision::{aftercare, heard};
use crate::sync::{self, RunOutcome, Trigger, refresh};

/// While a sync is under way, it is looked this often whether that is over.
const SYNCING_SECS: i64 = 15;

/// More members than these at once are a sweep's.
const MOST_MEMBERS: usize = 20;

/// What a list or a read shows may be as much behind: whoever was changed since is read once more.
const BEHIND_MILLIS: i64 = 15_000;

/// Who could not be read again within this is left to a sweep.
const GIVE_UP_MILLIS: i64 = 5 * 60 * 1_000;

/// Sweeps that the log calls for come this far apart at least, and ten times as far as one takes.
const APART_MILLIS: i64 = 2 * 60 * 1_000;

impl Coordinator {
    /// Reads on in the log, has everybody look who waits for what it tells, and publishes what came of it.
    pub(super) async fn listen<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        if !settings.audit.feed {
            feed::turned_off(ports)?;
        } else if sync::next_due(ports)?.is_none() {
            let client = Client::new(ports, &settings.cloudflare, Purpose::Sync);
            let ours = identity::identity(ports, &client).await.ok().map(|ours| ours.token.to_string());
            feed::read_on(ports, &settings.cloudflare, ours).await?;
            self.hear(ports, settings).await?;
        }
        if sync::next_due(ports)?.is_none() {
            logins::read_on(ports, &settings.cloudflare, settings.audit.logins).await?;
        }
        aftercare::look_into_audit_log(ports)?;
        if settings.audit.feed && refresh::publish(ports, settings.plan).await? {
            self.sweep_soon(ports, settings).await?;
        }
        // A publication and what follows from it.
        Self::follow(ports, settings)
    }

    /// When the log is read next, or something waits for it.
    pub(super) fn listening_due<P: Ports>(ports: &P, settings: &Settings) -> Result<Option<Timestamp>, SqlError> {
        let looks = aftercare::audit_log_due(ports)?;
        let mut read = logins::next_due(ports)?;
        if settings.audit.feed {
            read = read.min(feed::next_due(ports)?);
        }
        if sync::next_due(ports)?.is_some() {
            read = read.max(ports.now().plus_secs(SYNCING_SECS));
        }
        if !settings.audit.feed {
            return Ok(looks.into_iter().chain([read]).min());
        }
        Ok(looks.into_iter().chain(refresh::next_due(ports, settings.plan)?).chain([read]).min())
    }

    /// Looks at what the entries name that nobody has listened to yet.
    async fn hear<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        let unheard = entries::unheard(ports)?;
        if unheard.until == 0 || sync::generations(ports)?.is_empty() {
            return Ok(());
        }
        let age = |at: Option<Timestamp>| at.map_or(i64::MAX, |at| ports.now().since(at));
        let mut needs_sweep = unheard.whole || unheard.members.len() > MOST_MEMBERS;
        let mut is_done = true;
        for (member, group) in unheard.members.iter().take(MOST_MEMBERS) {
            match heard::look_again(ports, &settings.cloudflare, &self.locks, *member, *group).await {
                Ok(is_believed) => is_done &= is_believed,
                Err(error) => {
                    is_done = false;
                    let fields = serde_json::json!({ "member": member, "error": format!("{error:?}") });
                    ports.log(Level::Warn, "a member whom the audit log names could not be read again", fields);
                }
            }
        }
        if !is_done && age(unheard.first_at) > GIVE_UP_MILLIS {
            (is_done, needs_sweep) = (true, true);
        }
        // What was read right after a change may be what was before.
        if needs_sweep && !self.sweep_soon(ports, settings).await? {
            return Ok(());
        }
        if is_done && age(unheard.last_at) >= BEHIND_MILLIS {
            entries::heard(ports, unheard.until)?;
        }
        Ok(())
    }

    /// Begins a sweep, unless the last one ended a moment ago; whether one is under way.
    async fn sweep_soon<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<bool, SqlError> {
        let status = sync::status(ports)?;
        let last = status.runs.iter().find(|run| run.requests > 0);
        let is_soon = last.is_some_and(|run| {
            ports.now().since(run.finished_at) < APART_MILLIS.max(10 * run.duration_millis)
                // A failure is no reason to hurry.
                || (run.outcome == RunOutcome::Failed && run.not_before.is_some_and(|at| at > ports.now()))
        });
        if is_soon {
            return Ok(false);
        }
        let trigger = Trigger { by: "audit feed".to_owned(), accept_removals: false };
        match sync::begin(ports, &settings.cloudflare, trigger) {
            Ok(_) | Err(sync::BeginError::AlreadyRunning(_)) => {}
            Err(sync::BeginError::Sql(error)) => return Err(error),
        }
        self.wake(ports, ports.now()).await;
        Ok(true)
    }
}
