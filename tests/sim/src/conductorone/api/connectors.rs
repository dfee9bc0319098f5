//! Connectors in the API: read, and told to sync (`reference/conductorone.md` 8.3).

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Api, error};
use crate::conductorone::ConductorOne;
use crate::http::{Reply, Request};

/// How the syncs of a connector end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncEnd {
    /// Well.
    Done,
    /// With this error.
    Error(String),
    /// Not at all: it runs on.
    Never,
    /// It does not even begin: syncs are disabled.
    Disabled,
}

#[derive(Debug)]
pub(super) struct Connector {
    app_id: String,
    id: String,
    end: SyncEnd,
    /// How often somebody has to look until a sync that was begun shows, and then until it ends.
    looks: u32,
    seen: u32,
    status: &'static str,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    last_error: String,
    forced: usize,
}

impl Connector {
    fn look(&mut self) {
        if self.forced == 0 || matches!(self.status, "SYNC_STATUS_DISABLED") {
            return;
        }
        self.seen += 1;
        // Times differ from those of the sync before, however fast it all goes.
        let later = |at: Option<DateTime<Utc>>| at.map_or_else(Utc::now, |at| at + Duration::from_secs(1));
        if self.seen == self.looks {
            self.status = "SYNC_STATUS_RUNNING";
            self.started_at = Some(later(self.started_at));
        } else if self.seen > self.looks && self.status == "SYNC_STATUS_RUNNING" {
            match &self.end {
                SyncEnd::Done => self.status = "SYNC_STATUS_DONE",
                SyncEnd::Error(why) => {
                    self.status = "SYNC_STATUS_ERROR";
                    self.last_error.clone_from(why);
                }
                SyncEnd::Never | SyncEnd::Disabled => return,
            }
            self.completed_at = Some(later(self.completed_at));
        }
    }

    fn view(&self) -> Value {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
        json!({
            "connectorView": {
                "appPath": "", "usersPath": "", "capabilitiesPath": "",
                "connector": {
                    "id": self.id, "appId": self.app_id, "displayName": "Cloudflare", "description": "", "userIds": [],
                    "status": {
                        "status": self.status, "startedAt": time(self.started_at),
                        "completedAt": time(self.completed_at), "updatedAt": time(self.completed_at),
                        "lastError": self.last_error,
                    },
                },
            },
            "expanded": [],
        })
    }
}

impl Api {
    /// The routes below `/api/v1/apps/{app}/connectors`.
    pub(super) fn connectors(&mut self, app_id: &str, rest: &[&str], request: &Request) -> Option<Reply> {
        let (id, rest) = rest.split_first()?;
        let found = self.connectors.iter_mut().find(|connector| connector.app_id == app_id && connector.id == *id);
        let Some(connector) = found else { return Some(error(404, "no such connector")) };
        Some(match (request.method.as_str(), rest) {
            ("GET", []) => {
                connector.look();
                Reply::json(200, &connector.view())
            }
            ("POST", ["force_sync"]) if request.json() == json!({}) => {
                connector.forced += 1;
                connector.seen = 0;
                if connector.end == SyncEnd::Disabled {
                    connector.status = "SYNC_STATUS_DISABLED";
                }
                Reply::json(200, &json!({}))
            }
            ("POST", ["force_sync"]) => error(400, "the body must be an object"),
            _ => return None,
        })
    }
}

/// The connectors.
impl ConductorOne {
    /// Adds a connector, which has synced once.
    pub fn add_connector(&self, app_id: &str, id: &str) {
        let before = Utc::now() - Duration::from_hours(1);
        self.state().api.connectors.push(Connector {
            app_id: app_id.to_owned(),
            id: id.to_owned(),
            end: SyncEnd::Done,
            looks: 1,
            seen: 0,
            status: "SYNC_STATUS_DONE",
            started_at: Some(before),
            completed_at: Some(before + Duration::from_secs(10)),
            last_error: String::new(),
            forced: 0,
        });
    }

    /// Says how syncs of a connector end from now on.
    pub fn end_syncs(&self, id: &str, end: &SyncEnd) {
        for connector in self.state().api.connectors.iter_mut().filter(|connector| connector.id == id) {
            connector.end = end.clone();
        }
    }

    /// How often a connector was told to sync.
    pub fn forced_syncs(&self, id: &str) -> usize {
        self.state()
            .api
            .connectors
            .iter()
            .filter(|connector| connector.id == id)
            .map(|connector| connector.forced)
            .sum()
    }
}
