//! C1's connector: told to sync, and watched until it has (`reference/conductorone.md` 8.3). Each step is one look or one request; the
//! waits between them are the job's.

use serde::Serialize;
use serde_json::{Value, json};

use super::error::quote;
use super::settings::Connector;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::ports::Sign;
use crate::base::ports::{Clock, Http, Method};
use crate::base::time::Timestamp;
use crate::base::words::capitalised;
use crate::conductorone::Settings;
use crate::conductorone::api::{ApiError, Call, Client, Tokens, path};

/// How it stands with a sync that is to be forced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forcing {
    /// Since when it is to be told, not before, or was.
    since: Timestamp,
    /// What the connector showed before it was told to sync; `None` where it was not told yet.
    told: Option<SyncView>,
    /// How often was looked since.
    looks: u32,
}

impl Forcing {
    /// It is yet to be done, then at the earliest.
    pub(super) const fn begin(at: Timestamp) -> Self {
        Self { since: at, told: None, looks: 0 }
    }

    /// Whether nobody waits any more.
    const fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) > PATIENCE_SECS * 1000
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before then.
    Wait(Timestamp, Forcing),
    /// C1 has synced.
    Done(String),
    /// It did not work out this time.
    Again(String),
    /// It will not work out.
    GivenUp(String),
}

/// What a connector shows of its last sync. Its times are compared and nothing more, so they stay text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SyncView {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    started_at: Option<String>,
    #[serde(default)]
    completed_at: Option<String>,
    #[serde(default)]
    last_error: Option<String>,
}

impl SyncView {
    fn is(&self, status: &str) -> bool {
        self.status.as_deref().is_some_and(|seen| seen.strip_prefix("SYNC_STATUS_") == Some(status))
    }

    /// Whether this is of another sync than that.
    fn differs(&self, before: &Self) -> bool {
        (&self.started_at, &self.completed_at) != (&before.started_at, &before.completed_at)
    }
}

/// The wait between two looks grows from this to a minute.
const LOOK_AFTER_SECS: i64 = 2;
const LONGEST_LOOK_SECS: i64 = 60;

/// A sync of C1's that is under way is waited for, and then a new one begun: it may have read the file before this one.
const BUSY_SECS: i64 = 30;

/// After this time nobody waits any more, neither until it can be told nor for its sync. C1 has pulled by itself by then.
const PATIENCE_SECS: i64 = 2 * 60 * 60;

/// Does the next thing.
pub(super) async fn step<P: Http + Clock + Sign>(
    ports: &P,
    settings: &Settings,
    tokens: &Tokens,
    connector: &Connector,
    forcing: Forcing,
) -> Next {
    let now = ports.now();
    // Whoever asks for the push again has the job begun sooner.
    if now < forcing.since {
        return Next::Wait(forcing.since, forcing);
    }
    let Ok(client) = Client::new(ports, settings, tokens) else {
        return Next::GivenUp("C1_CLIENT_ID and C1_CLIENT_SECRET are not set any more, so ConductorOne was not told; it pulls by itself within the hour.".to_owned());
    };
    let seen = match look(&client, connector).await {
        Ok(seen) => seen,
        Err(error) => return failed(&error, forcing, now),
    };
    match &forcing.told {
        None if seen.is("RUNNING") && forcing.is_over(now) => Next::GivenUp(
            "ConductorOne is at another sync, and could not be told to begin one within two hours: it pulls by itself within the hour."
                .to_owned(),
        ),
        None if seen.is("RUNNING") => Next::Wait(now.plus_secs(BUSY_SECS), forcing),
        None => match force(&client, connector).await {
            // However long it could not be told.
            Ok(()) => {
                let told = Forcing { since: now, told: Some(seen), looks: 0 };
                Next::Wait(now.plus_secs(LOOK_AFTER_SECS), told)
            }
            Err(error) => failed(&error, forcing, now),
        },
        Some(before) => judged(&seen, before, forcing.clone(), now),
    }
}

fn judged(seen: &SyncView, before: &SyncView, forcing: Forcing, now: Timestamp) -> Next {
    if seen.is("DISABLED") {
        let why = seen.last_error.as_deref().map(|why| format!(" ({})", quote(why))).unwrap_or_default();
        return Next::GivenUp(format!(
            "The connector's syncs are disabled in ConductorOne{why}: resume them there, and push again with: POST /v1/push."
        ));
    }
    if seen.differs(before) && seen.is("ERROR") {
        let why = seen.last_error.as_deref().map_or("it does not say why".to_owned(), quote);
        return Next::GivenUp(format!(
            "ConductorOne's sync failed ({why}): look at the connector in ConductorOne, and push again with: POST /v1/push."
        ));
    }
    if seen.differs(before) && seen.is("DONE") {
        return Next::Done("ConductorOne has synced.".to_owned());
    }
    // Only now: C1 may have been out of reach since the last look.
    if forcing.is_over(now) {
        return Next::GivenUp(
            "ConductorOne has not ended a sync of it within two hours: look at the connector in ConductorOne."
                .to_owned(),
        );
    }
    let looks = forcing.looks.saturating_add(1);
    let wait = (LOOK_AFTER_SECS << looks.min(10)).min(LONGEST_LOOK_SECS);
    Next::Wait(now.plus_secs(wait), Forcing { looks, ..forcing })
}

fn failed(error: &ApiError, forcing: Forcing, now: Timestamp) -> Next {
    // Neither of these is waited for without end.
    if !forcing.is_over(now) {
        if let ApiError::RateLimited(at) = error {
            return Next::Wait(*at, forcing);
        }
        // A sync is under way, or C1 holds one back: what it says by 409 is not documented, and passes.
        if let ApiError::Refused { status: 409, .. } = error {
            return Next::Wait(now.plus_secs(BUSY_SECS), forcing);
        }
    }
    let pulls = "It pulls by itself within the hour";
    if error.retry_at(now).is_some() {
        return Next::Again(format!("{}. {pulls}.", capitalised(&error.to_string())));
    }
    let hint = if matches!(error, ApiError::NotFound { .. }) { ": check C1_APP_ID and C1_CONNECTOR_ID" } else { "" };
    Next::GivenUp(format!(
        "{}{hint}. {pulls}; once that is put right, push again with: POST /v1/push.",
        capitalised(&error.to_string())
    ))
}

fn route(connector: &Connector, further: &[&str]) -> String {
    let mut segments = vec!["api", "v1", "apps", &connector.app_id, "connectors", &connector.connector_id];
    segments.extend(further);
    path(&segments)
}

/// The connector as C1 shows it.
async fn look<P: Http + Clock + Sign>(client: &Client<'_, P>, connector: &Connector) -> Result<SyncView, ApiError> {
    let what = "read the connector";
    let call = Call { what, method: Method::Get, path: route(connector, &[]), body: None };
    let answer: Value = client.call(call).await?;
    let status = ["/connectorView/connector/status", "/connector/status"].iter().find_map(|at| answer.pointer(at));
    match status {
        // A connector that has never synced may have no status.
        None | Some(Value::Null) if answer.pointer("/connectorView/connector").is_some() => Ok(SyncView::default()),
        Some(status) => json::of(status).map_err(|error| ApiError::Malformed { what, why: format!("status: {error}") }),
        None => Err(ApiError::Malformed { what, why: "there is no connectorView.connector in it".to_owned() }),
    }
}

/// Tells the connector to sync. An empty success means that it is queued.
async fn force<P: Http + Clock + Sign>(client: &Client<'_, P>, connector: &Connector) -> Result<(), ApiError> {
    let body = json!({});
    let call = Call {
        what: "make the connector sync",
        method: Method::Post,
        path: route(connector, &["force_sync"]),
        body: Some(&body),
    };
    client.call::<Value>(call).await.map(drop)
}

/// Whether the connector is there, and its syncs are not disabled; what is wrong, as a sentence.
pub(super) async fn examine<P: Http + Clock + Sign>(
    ports: &P,
    settings: &Settings,
    tokens: &Tokens,
    connector: &Connector,
) -> Result<(), String> {
    let client = Client::new(ports, settings, tokens).map_err(|error| error.to_string())?;
    match look(&client, connector).await {
        Ok(seen) if seen.is("DISABLED") => Err("its syncs are disabled: resume them in ConductorOne".to_owned()),
        Ok(_) => Ok(()),
        Err(error @ ApiError::NotFound { .. }) => Err(format!("{error}: check C1_APP_ID and C1_CONNECTOR_ID")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Forcing, Next, SyncView, judged};
    use crate::base::time::Timestamp;

    fn seen(status: &str, started: &str, completed: &str) -> SyncView {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        SyncView {
            status: text(status).map(|status| format!("SYNC_STATUS_{status}")),
            started_at: text(started),
            completed_at: text(completed),
            last_error: text("no such file\nat line 1"),
        }
    }

    #[test]
    fn only_a_sync_that_began_after_the_request_counts() {
        let now = Timestamp::from_secs(1_800_000_000);
        let before = seen("DONE", "t1", "t2");
        let check = |seen: SyncView| judged(&seen, &before, Forcing::begin(now), now);
        assert!(matches!(check(seen("DONE", "t1", "t2")), Next::Wait(..)), "that is the one before");
        assert!(matches!(check(seen("ERROR", "t1", "t2")), Next::Wait(..)));
        assert!(matches!(check(seen("RUNNING", "t3", "")), Next::Wait(..)));
        assert!(matches!(check(seen("", "", "")), Next::Wait(..)));
        assert!(matches!(check(seen("SOMETHING_NEW", "t3", "t4")), Next::Wait(..)));
        assert_eq!(check(seen("DONE", "t3", "t4")), Next::Done("ConductorOne has synced.".to_owned()));
        let Next::GivenUp(why) = check(seen("ERROR", "t3", "t4")) else { panic!("an error is one") };
        assert!(why.contains("(no such file)"), "{why}");
        assert!(matches!(check(seen("DISABLED", "t1", "t2")), Next::GivenUp(_)));
    }

    #[test]
    fn nobody_waits_longer_than_two_hours_for_a_sync_that_has_not_ended() {
        let now = Timestamp::from_secs(1_800_000_000);
        let before = seen("DONE", "t1", "t2");
        let after = |secs: i64, seen: &SyncView| judged(seen, &before, Forcing::begin(now), now.plus_secs(secs));
        assert!(matches!(after(7_200, &before), Next::Wait(..)));
        let Next::GivenUp(why) = after(7_201, &before) else { panic!("nobody waits any more") };
        assert!(why.contains("within two hours"), "{why}");
        assert!(matches!(after(7_201, &seen("DONE", "t3", "t4")), Next::Done(_)), "whenever that was");
    }

    #[test]
    fn looks_become_rarer_up_to_one_a_minute() {
        let now = Timestamp::from_secs(1_800_000_000);
        let before = seen("DONE", "t1", "t2");
        let mut forcing = Forcing::begin(now);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let Next::Wait(at, next) = judged(&before, &before, forcing, now) else { panic!("it waits") };
            waits.push(at.since(now) / 1000);
            forcing = next;
        }
        assert_eq!(waits, [4, 8, 16, 32, 60, 60]);
    }
}
