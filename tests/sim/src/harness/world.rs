//! The whole of it at once: the built Worker, its KV, and a simulator for everybody it talks to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::gateway::Gateway;
use super::kv::Kv;
use super::workerd::{Options, StartError, Worker};
use crate::client::{self, Answer, Unanswered};
use crate::conductorone::{ConductorOne, Delivery, Outcome, PUBLIC_URL};
use crate::http::{Handler, Server};

/// The host of Cloudflare's API.
pub const CLOUDFLARE_HOST: &str = "api.cloudflare.com";

/// How long a request of a test may take, or a sync: a minute on a quiet machine, for a whole file of a large account.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long to wait before looking again: at first, and at most where it takes long.
const POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// A running Worker and everything around it. All of it ends when this is dropped.
#[derive(Debug)]
pub struct World {
    /// The Worker.
    pub worker: Worker,
    /// Its KV namespace `STATE`.
    pub kv: Kv,
    /// Where its outgoing requests go.
    pub gateway: Gateway,
    /// The ConductorOne tenant.
    pub c1: ConductorOne,
    connector_token: String,
    client: reqwest::Client,
    _servers: [Server; 2],
}

/// Something did not come about in time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path} did not become as expected within {patience:?}; last: {last}")]
pub struct NotInTime {
    /// What was looked at.
    pub path: String,
    /// For how long.
    pub patience: Duration,
    /// What it said at last.
    pub last: String,
}

impl World {
    /// Starts the Worker against a Cloudflare and a ConductorOne.
    pub async fn start(cloudflare: Arc<dyn Handler>, c1: ConductorOne, options: Options) -> Result<Self, StartError> {
        Self::start_with_kv(cloudflare, c1, Kv::new(), options).await
    }

    /// Starts the Worker on a KV namespace that has something in it.
    pub async fn start_with_kv(
        cloudflare: Arc<dyn Handler>,
        c1: ConductorOne,
        kv: Kv,
        options: Options,
    ) -> Result<Self, StartError> {
        let listen = |source| StartError::Io { doing: "listen", source };
        let gateway = Gateway::new();
        gateway.route(CLOUDFLARE_HOST, cloudflare);
        gateway.route(c1.host(), c1.handler());
        let kv_server = Server::start(0, kv.handler()).await.map_err(listen)?;
        let gateway_server = Server::start(0, gateway.handler()).await.map_err(listen)?;
        let connector_token = options.vars.get("CONNECTOR_TOKEN").cloned().unwrap_or_default();
        let worker = Worker::start(options, kv_server.address, gateway_server.address).await?;
        if let Some(host) = PUBLIC_URL.strip_prefix("https://") {
            c1.reach(host, &worker.url());
        }
        Ok(Self {
            worker,
            kv,
            gateway,
            c1,
            connector_token,
            client: client::to_worker(),
            _servers: [kv_server, gateway_server],
        })
    }

    /// `GET` with the connector's bearer token.
    pub async fn get(&self, path: &str) -> Result<Answer, Unanswered> {
        self.request("GET", path, &[], None).await
    }

    /// `POST` with the connector's bearer token; a body that is `null` is none.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, Unanswered> {
        self.request("POST", path, &[], Some(body)).await
    }

    /// `PUT` with the connector's bearer token; a body that is `null` is none.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer, Unanswered> {
        self.request("PUT", path, &[], Some(body)).await
    }

    /// `DELETE` with the connector's bearer token.
    pub async fn delete(&self, path: &str) -> Result<Answer, Unanswered> {
        self.request("DELETE", path, &[], None).await
    }

    /// Any request with the connector's bearer token, and headers of one's own.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Unanswered> {
        let authorization = format!("Bearer {}", self.connector_token);
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(headers);
        self.raw(method, path, &all, body.filter(|body| !body.is_null()).map(|body| body.to_string().into_bytes()))
            .await
    }

    /// Any request, with these headers and no token unless one is among them. A body goes as JSON, unless
    /// `content-type` is among the headers.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Unanswered> {
        let method = reqwest::Method::from_bytes(method.as_bytes())
            .map_err(|error| Unanswered::Disconnected(error.to_string()))?;
        let mut request = self.client.request(method, format!("{}{path}", self.worker.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        client::send(request, PATIENCE).await
    }

    /// Delivers a webhook to the Worker by C1's rules.
    pub async fn deliver(&self, delivery: &Delivery) -> Outcome {
        self.c1.deliver(&self.worker.url(), delivery).await
    }

    /// Sends a webhook to the Worker once.
    pub async fn deliver_once(&self, delivery: &Delivery) -> Result<Answer, Unanswered> {
        self.c1.deliver_once(&self.worker.url(), delivery).await
    }

    /// Looks at a path again and again until its JSON is as wanted, and gives that. A Worker that is down is waited for.
    pub async fn wait_for(
        &self,
        path: &str,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, NotInTime> {
        let began = Instant::now();
        let deadline = began + patience;
        loop {
            let last = match self.get(path).await {
                Ok(answer) => {
                    let json = answer.json();
                    if answer.status == 200 && wanted(&json) {
                        return Ok(json);
                    }
                    format!("{} {}", answer.status, answer.text())
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(NotInTime { path: path.to_owned(), patience, last });
            }
            tokio::time::sleep((began.elapsed() / 20).clamp(POLL, LONGEST_POLL)).await;
        }
    }

    /// Waits until no sync runs and one has ended, well or not; gives `GET /v1/status`.
    pub async fn wait_for_sync(&self, patience: Duration) -> Result<Value, NotInTime> {
        self.wait_for("/v1/status", patience, |status| {
            matches!(status.get("state").and_then(Value::as_str), Some("connected" | "error"))
        })
        .await
    }

    /// Runs the cron trigger and waits for the sync that it starts; gives `GET /v1/status`.
    pub async fn sync(&self) -> Result<Value, NotInTime> {
        let patience = PATIENCE;
        let late = |last| NotInTime { path: "the cron trigger".into(), patience, last };
        match self.worker.trigger_cron().await {
            Ok(outcome) if outcome == "ok" => self.wait_for_sync(patience).await,
            Ok(outcome) => Err(late(outcome)),
            Err(error) => Err(late(error.to_string())),
        }
    }
}
