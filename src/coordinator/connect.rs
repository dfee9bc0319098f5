//! Connecting, as the Coordinator does it: a run is carried on by the request that began it and by the alarm, one of them at a
//! time.

use super::examine::Examination;
use super::memory::{Coordinator, Ports};
use super::protocol::Reply;
use super::public_url;
use super::settings::Settings;
use crate::base::ports::{Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::Timestamp;
use crate::conductorone::api::Client;
use crate::connect::{self, Options, Within};
use crate::sync;

/// Who carries a run on for longer than this was killed meanwhile.
const LEASE_SECS: i64 = 2 * 60;

/// A request that began a run is answered after this at the latest; the alarm goes on.
const ANSWER_SECS: i64 = 20;

/// The alarm's part of a run ends after this, and the next one begins.
const ALARM_SECS: i64 = 20;

/// While a request carries the run on, the alarm looks again after this, should that end without a word.
const LOOK_SECS: i64 = 5;

/// Whether the alarm leaves its invocation to a sync: on the Free plan its outgoing requests do not suffice for both.
fn yields<P: Ports>(ports: &P, settings: &Settings) -> Result<bool, SqlError> {
    Ok(settings.plan == Plan::Free && sync::status(ports)?.running.is_some())
}

/// What could not be done where storage fails, and the reply where it does not.
pub(super) type Told = (&'static str, Result<Reply, SqlError>);

const READS: &str = "could not read how far connecting is";

/// What the latest run tells, from a line on.
pub(super) fn connection(sql: &dyn Sql, after: i64) -> Told {
    (READS, connect::report(sql, after).map(|report| Reply::Connect(report.map(Box::new))))
}

impl Coordinator {
    /// Begins a run, and carries it as far as it gets in the time of a request.
    pub(super) async fn connect<P: Ports>(&self, ports: &P, settings: &Settings, options: Options, by: &str) -> Told {
        match connect::begin(ports, options, by) {
            Ok(Some(_)) => {}
            Ok(None) => return (READS, Ok(Reply::ConnectRunning)),
            Err(error) => return ("could not begin to connect", Err(error)),
        }
        // Before anything is done: should this request be cut off, the alarm goes on.
        self.wake(ports, ports.now().plus_secs(LOOK_SECS)).await;
        if let Err(error) = self.carry_on(ports, settings, ANSWER_SECS).await {
            return ("could not note how far connecting is", Err(error));
        }
        match connect::next_due(ports) {
            Ok(Some(at)) => self.wake(ports, at).await,
            Ok(None) => {}
            Err(error) => return (READS, Err(error)),
        }
        connection(ports, 0)
    }

    /// The alarm's part of a run.
    pub(super) async fn go_on_connecting<P: Ports>(&self, ports: &P, settings: &Settings) -> Result<(), SqlError> {
        match connect::next_due(ports)? {
            Some(at) if at <= ports.now() && !yields(ports, settings)? => {
                self.carry_on(ports, settings, ALARM_SECS).await
            }
            _ => Ok(()),
        }
    }

    async fn carry_on<P: Ports>(&self, ports: &P, settings: &Settings, secs: i64) -> Result<(), SqlError> {
        let Some(_place) = self.driving.enter((), ports.now(), LEASE_SECS) else { return Ok(()) };
        // It may have begun before that was turned off, and goes on by itself for hours.
        if !settings.auto_wire {
            connect::end_auto_wire(ports)?;
        }
        let until = ports.now().plus_secs(secs);
        let mut conductorone = settings.conductorone.clone();
        if conductorone.public_url.is_none() {
            conductorone.public_url = public_url::learned(ports)?.and_then(|it| it.public_url());
        }
        connect::drive(ports, &conductorone, &self.tokens, Within::of(settings.plan, until)).await
    }

    /// When the alarm is to look after the run that is running.
    pub(super) fn connecting_due<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
    ) -> Result<Option<Timestamp>, SqlError> {
        let Some(due) = connect::next_due(ports)? else { return Ok(None) };
        let waits = self.driving.has(()) || yields(ports, settings)?;
        Ok(Some(if waits { due.max(ports.now().plus_secs(LOOK_SECS)) } else { due }))
    }

    /// Whether C1's API can be used, where there are credentials for it.
    pub(super) async fn examine_c1<P: Ports>(&self, ports: &P, settings: &Settings) -> Vec<Examination> {
        let check = |name: &str, ok, message| Examination { name: name.to_owned(), ok, required: false, message };
        let (Ok(client), Some(credentials)) =
            (Client::new(ports, &settings.conductorone, &self.tokens), settings.conductorone.credentials.as_ref())
        else {
            let message = "on, and of no use without C1_CLIENT_ID and C1_CLIENT_SECRET: set both, or set it to off";
            return settings.auto_wire.then(|| check("AUTO_WIRE", false, message.to_owned())).into_iter().collect();
        };
        if let Err(error) = client.token().await {
            return vec![check("C1_CLIENT_ID", false, error.to_string())];
        }
        let mut found = vec![check(
            "C1_CLIENT_ID",
            true,
            format!("ConductorOne issues access tokens to {}", credentials.client_id),
        )];
        let known = connect::summary(ports).ok().flatten().and_then(|connection| connection.app).map(|app| app.id);
        match settings.conductorone.app_id.clone().or(known) {
            Some(id) => match client.app(&id).await {
                Ok(app) => found.push(check("C1_APP_ID", true, format!("the app {:?} can be read", app.display_name))),
                Err(error) => found.push(check("C1_APP_ID", false, format!("the app {id}: {error}"))),
            },
            None => match client.apps_page(None).await {
                Ok(_) => found.push(check(
                    "C1_APP_ID",
                    true,
                    "apps can be listed; the one that carries this account's ids is found when it is connected"
                        .to_owned(),
                )),
                Err(error) => found.push(check("C1_APP_ID", false, error.to_string())),
            },
        }
        found
    }
}
