//! The one place that decides and writes: a Durable Object per account, here without the runtime around it. It runs the
//! sync's steps, serialises provisioning per member, and owns the one alarm that all of this shares.
//!
//! **Invariant:** nothing else writes to the Cloudflare account, or to the snapshot.

mod connect;
mod decisions;
mod examine;
mod follow;
mod operations;
mod protocol;
mod schema;
mod settings;
mod wire;

pub use examine::Examination;
pub use protocol::{Ask, Command, Reply, Status, Unreachable};
pub use settings::Settings;

use futures::channel::oneshot;
use futures::future::join5;

use crate::base::jobs;
use crate::base::ports::Sign;
use crate::base::ports::{Alarm, Clock, Http, KeyValue, Level, Log, Sql, SqlError, Zstd};
use crate::conductorone::api::Tokens;
use crate::decide::record;
use crate::provision;
use crate::provision::journal;
use crate::provision::lock::Locks;
use crate::push;
use crate::signal;
use crate::sync;

/// What the Coordinator holds in memory; everything that must last is in its SQLite.
#[derive(Debug, Default)]
pub struct Coordinator {
    locks: Locks,
    in_flight: operations::InFlight,
    jobs: jobs::UnderWay,
    tokens: Tokens,
    driving: connect::Driving,
}

/// Everything the Coordinator needs of the world.
pub trait World: Http + KeyValue + Clock + Sql + Log + Alarm + Sign + Zstd {}

impl<T: Http + KeyValue + Clock + Sql + Log + Alarm + Sign + Zstd> World for T {}

/// Brings the tables of an earlier version to this one, and creates those that are missing. Called before anything else, each time
/// the Coordinator starts.
pub fn init<P: Sql>(ports: &P) -> Result<(), SqlError> {
    schema::migrate(ports)?;
    crate::cloudflare::init(ports)?;
    sync::init(ports)?;
    jobs::init(ports)?;
    crate::connect::init(ports)?;
    record::init(ports)?;
    signal::init(ports)?;
    push::init(ports)?;
    provision::init(ports)
}

impl Coordinator {
    /// Carries out a command.
    pub async fn handle<P: World>(&self, ports: &P, settings: &Settings, command: Command) -> Reply {
        match command {
            Command::BeginSync(trigger) => match begin_sync(ports, settings, trigger) {
                Ok(run) => {
                    self.wake(ports, ports.now()).await;
                    Reply::SyncBegun { run: run.to_string() }
                }
                Err(sync::BeginError::AlreadyRunning(run)) => {
                    // The alarm of a run is set with each of its steps; this is for the one that got lost.
                    self.wake(ports, ports.now()).await;
                    Reply::SyncRunning { run: run.to_string() }
                }
                Err(sync::BeginError::Sql(error)) => failed(ports, "could not start a sync", &error),
            },
            Command::Status => match status(ports) {
                Ok(status) => Reply::Status(Box::new(status)),
                Err(error) => failed(ports, "could not read the status", &error),
            },
            Command::Overlay { generation, until } => match sync::overlay::over(ports, &generation, until) {
                Ok(overlay) => Reply::Overlay(overlay),
                Err(error) => failed(ports, "could not read what was changed since the sync", &error),
            },
            Command::Operations { filter, limit } => match journal::list(ports, &filter, limit) {
                Ok(entries) => Reply::Operations(entries),
                Err(error) => failed(ports, "could not read the journal", &error),
            },
            Command::Operation(id_or_key) => match journal::find(ports, &id_or_key) {
                Ok(entry) => Reply::Operations(entry.into_iter().collect()),
                Err(error) => failed(ports, "could not read the journal", &error),
            },
            Command::Examine => {
                let mut found = examine::examine(ports, &settings.cloudflare).await;
                found.extend(self.examine_c1(ports, settings).await);
                found.extend(
                    push::examine(ports, settings.push.as_ref(), &settings.conductorone, &self.tokens)
                        .await
                        .into_iter()
                        .map(Examination::from),
                );
                Reply::Examination(found)
            }
            Command::Connect(options) => self.connect(ports, settings, options).await,
            Command::Connection { after } => Self::connection(ports, after),
            Command::TestArrived => match crate::connect::arrived(ports, ports.now()) {
                Ok(()) => Reply::Noted,
                Err(error) => failed(ports, "could not note the test event", &error),
            },
            Command::AutomationArrived => match crate::connect::came_by(ports, "automations") {
                Ok(()) => Reply::Noted,
                Err(error) => failed(ports, "could not note the automation", &error),
            },
            Command::Decide(question) => decisions::decide(ports, settings, &question).await,
            Command::Decisions { filter, limit } => match record::list(ports, &filter, limit) {
                Ok(records) => Reply::Decisions(records),
                Err(error) => failed(ports, "could not read the decisions", &error),
            },
            Command::Push if settings.push.is_none() => Reply::PushNotConfigured,
            Command::Push => match Self::push_again(ports) {
                Ok(Some(generation)) => {
                    self.wake(ports, ports.now()).await;
                    Reply::Pushing { generation }
                }
                Ok(None) => Reply::NothingToPush,
                Err(error) => failed(ports, "could not ask for a push", &error),
            },
            Command::Provision { request, callback_url } => {
                self.operate(ports, settings, &request, callback_url.as_deref()).await
            }
        }
    }

    /// Does what is due, and sees to it that the alarm rings again when the next thing is.
    ///
    /// The sync's step and what else is due go on side by side: a sync keeps nobody waiting.
    pub async fn alarm<P: World>(&self, ports: &P, settings: &Settings) {
        let (ends, ended) = oneshot::channel();
        let sync = async {
            let next = sync::step(ports, &settings.cloudflare, settings.plan).await;
            // Nothing is awaited in between: a run's end and what follows from it are on disk together.
            if let Err(error) = Self::follow(ports, settings) {
                unusable(ports, "the jobs cannot be used", &error);
            }
            // Nobody listens any more where catching up failed.
            let _ = ends.send(());
            next
        };
        let (sync, operations, jobs, aftercare, connecting) = join5(
            sync,
            self.catch_up(ports, settings, ended),
            self.work(ports, settings),
            provision::aftercare::look_after(ports, &settings.cloudflare, &settings.provision, &self.locks),
            self.go_on_connecting(ports, settings),
        )
        .await;
        if let sync::Next::At(at) = sync {
            self.wake(ports, at).await;
        }
        let connecting = connecting.and_then(|()| self.connecting_due(ports, settings));
        for due in [operations, jobs, aftercare, jobs::next_due(ports), connecting] {
            match due {
                Ok(Some(at)) => self.wake(ports, at).await,
                Ok(None) => {}
                Err(error) => {
                    unusable(ports, "the Coordinator's storage cannot be used", &error);
                    self.wake(ports, ports.now().plus_secs(60)).await;
                }
            }
        }
    }

    async fn wake<P: World>(&self, ports: &P, at: crate::base::time::Timestamp) {
        if let Err(error) = ports.wake(at).await {
            ports.log(Level::Error, "could not set the alarm", serde_json::json!({ "error": error.to_string() }));
        }
    }
}

/// Starts a sync, and forgets operations that have been kept long enough: about as often is often enough for that.
fn begin_sync<P: World>(
    ports: &P,
    settings: &Settings,
    trigger: sync::Trigger,
) -> Result<sync::RunId, sync::BeginError> {
    let oldest = ports.now().plus_secs(-settings.journal_days * 24 * 60 * 60);
    if let Err(error) = journal::purge(ports, oldest).and_then(|()| record::purge(ports, oldest)) {
        ports.log(Level::Warn, "could not purge the journal", serde_json::json!({ "error": error.to_string() }));
    }
    // A day is as long as a generation without them may be read (`sync::snapshot`), and an hour is for clocks that differ.
    if let Err(error) = sync::overlay::purge(ports, ports.now().plus_secs(-25 * 60 * 60)) {
        unusable(ports, "could not purge the overlay", &error);
    }
    sync::begin(ports, &settings.cloudflare, trigger)
}

fn status<P: World>(ports: &P) -> Result<Status, SqlError> {
    Ok(Status {
        sync: sync::status(ports)?,
        jobs: jobs::all(ports)?,
        incidents: provision::incident::latest(ports)?,
        audit_log: provision::aftercare::audit_log(ports)?,
        connection: crate::connect::summary(ports)?,
    })
}

fn failed<P: Log>(ports: &P, message: &str, error: &SqlError) -> Reply {
    unusable(ports, message, error);
    Reply::Failed { message: message.to_owned() }
}

fn unusable<P: Log>(ports: &P, message: &str, error: &SqlError) {
    ports.log(Level::Error, message, serde_json::json!({ "error": error.to_string() }));
}
