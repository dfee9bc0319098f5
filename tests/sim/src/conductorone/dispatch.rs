//! Delivering webhooks by C1's rules: what is final, what is tried again, and when it gives up
//! (`reference/conductorone.md` 1.4).

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::ConductorOne;
use super::delivery::Delivery;
use super::response::{self, InvalidDocument};
use crate::client::{self, Answer, Unanswered};

/// C1's patience. The rules are C1's; how long things take may be scaled, so that a test need not wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The shortest and the longest pause before another attempt.
    pub pause: (Duration, Duration),
    /// How many attempts there are at most.
    pub attempts: usize,
}

impl Pace {
    /// As documented: 30 s for an attempt, 3 to 15 s between them, 50 attempts.
    pub fn real() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            pause: (Duration::from_secs(3), Duration::from_secs(15)),
            attempts: 50,
        }
    }

    /// The same with pauses a thousand times shorter.
    pub fn hurried() -> Self {
        Self { pause: (Duration::from_millis(3), Duration::from_millis(15)), ..Self::real() }
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What came back.
    pub result: Result<Answer, Unanswered>,
    /// How long it took.
    pub duration: Duration,
}

/// What became of a webhook.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All attempts, in order.
    pub attempts: Vec<Attempt>,
    /// How it ended.
    pub verdict: Verdict,
}

impl Outcome {
    /// The response document, where the webhook was answered at once.
    pub fn document(&self) -> Option<&Value> {
        match &self.verdict {
            Verdict::Answered(document) => Some(document),
            _ => None,
        }
    }

    /// The comment of `complete`, where that is what the webhook was answered with.
    pub fn completed(&self) -> Option<&str> {
        self.document()?.pointer("/complete/comment")?.as_str()
    }

    /// The comment of `errored`, where that is what the webhook was answered with.
    pub fn errored(&self) -> Option<&str> {
        self.document()?.pointer("/errored/comment")?.as_str()
    }

    /// The status of the last attempt, where it had one.
    pub fn status(&self) -> Option<u16> {
        self.attempts.last()?.result.as_ref().ok().map(|answer| answer.status)
    }
}

/// How a webhook ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// With this response document.
    Answered(Value),
    /// With a 202: the answer comes to the callback URL.
    Accepted,
    /// With a 410: never again.
    Gone,
    /// With a 2xx that is not an answer.
    Invalid(InvalidDocument),
    /// After the last attempt.
    GaveUp,
}

/// No answer, at once or later.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unsettled {
    /// The webhook ended without an answer.
    #[error("ended with {0:?}")]
    Ended(Verdict),
    /// It was accepted, and then nobody called back in time.
    #[error("accepted, but there was no callback within {0:?}")]
    NoCallback(Duration),
}

impl ConductorOne {
    /// Delivers a webhook to the Worker at `worker_url` (a base such as `http://127.0.0.1:8787`), with all retries.
    pub async fn deliver(&self, worker_url: &str, delivery: &Delivery) -> Outcome {
        let mut attempts = Vec::new();
        loop {
            let began = Instant::now();
            let result = self.deliver_once(worker_url, delivery).await;
            attempts.push(Attempt { result, duration: began.elapsed() });
            if let Some(verdict) = self.judge(delivery, &attempts) {
                return Outcome { attempts, verdict };
            }
            self.pause().await;
        }
    }

    /// What the attempts so far come to, which closes the callback of what is over; `None` where there is to be another one.
    pub fn judge(&self, delivery: &Delivery, attempts: &[Attempt]) -> Option<Verdict> {
        let last = attempts.last().and_then(|attempt| verdict(delivery, attempt));
        let verdict = last.or_else(|| (attempts.len() >= self.pace().attempts).then_some(Verdict::GaveUp))?;
        if verdict != Verdict::Accepted {
            self.close_callback(delivery);
        }
        Some(verdict)
    }

    /// Waits as C1 does before another attempt.
    pub async fn pause(&self) {
        let (shortest, longest) = self.pace().pause;
        tokio::time::sleep(shortest + longest.saturating_sub(shortest).mul_f64(fastrand::f64())).await;
    }

    /// Sends a webhook once and gives what came back, whatever C1 would make of it.
    pub async fn deliver_once(&self, worker_url: &str, delivery: &Delivery) -> Result<Answer, Unanswered> {
        let (headers, body) = delivery.attempt(self);
        let url = format!("{}{}", worker_url.trim_end_matches('/'), delivery.path());
        let mut request = self.client().post(url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        client::send(request, self.pace().timeout).await
    }

    /// Delivers a webhook and waits for its answer, be it in the response or a callback within `patience` after a 202.
    pub async fn settle(&self, worker_url: &str, delivery: &Delivery, patience: Duration) -> Result<Value, Unsettled> {
        match self.deliver(worker_url, delivery).await.verdict {
            Verdict::Answered(document) => Ok(document),
            Verdict::Accepted => self.callback(delivery, patience).await.ok_or(Unsettled::NoCallback(patience)),
            other => Err(Unsettled::Ended(other)),
        }
    }
}

/// What an attempt settles; `None` is to be tried again.
fn verdict(delivery: &Delivery, attempt: &Attempt) -> Option<Verdict> {
    match attempt.result.as_ref().ok()? {
        Answer { status: 202, .. } => Some(Verdict::Accepted),
        Answer { status: 200..=299, body, .. } => Some(match response::parse(&delivery.event, body) {
            Ok(document) => Verdict::Answered(document),
            Err(invalid) => Verdict::Invalid(invalid),
        }),
        Answer { status: 410, .. } => Some(Verdict::Gone),
        Answer { .. } => None,
    }
}
