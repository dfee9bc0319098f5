//! Responses as values, for everything here that sends requests.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

/// An HTTP response, read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, named in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON, `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there was no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nothing came in time.
    #[error("no answer in time")]
    TimedOut,
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Disconnected(String),
}

/// Sends a request and reads the response, in `patience` at most.
pub async fn send(request: reqwest::RequestBuilder, patience: Duration) -> Result<Answer, Unanswered> {
    let broken = |error: reqwest::Error| Unanswered::Disconnected(error.to_string());
    let exchange = async {
        let response = request.send().await.map_err(broken)?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Ok(Answer { status: response.status().as_u16(), headers, body: response.bytes().await.map_err(broken)? })
    };
    tokio::time::timeout(patience, exchange).await.unwrap_or(Err(Unanswered::TimedOut))
}

/// A client for the Worker, which follows no redirect, and opens a connection for each request: the runtime closes those that are idle for five seconds, and a
/// test that gets no processor for as long would send its next request into one that is closed.
pub fn to_worker() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .unwrap_or_default()
}
