//! How the stateless Worker and its Coordinator talk: one command, one reply, both JSON.

use serde::{Deserializer, Serialize};

use super::batch::{Batch, Place};
use super::examine::Examination;
use super::public_url::{LearnedUrl, RequestTarget};
use super::what_if::{NoAnswer, Thinking};
use crate::account::expiry::Overdue;
use crate::audit::{AuditLog, Logins};
use crate::base::jobs::Job;
use crate::base::json;
use crate::base::json::Deserialize;
use crate::base::rows::SetAside;
use crate::base::time::Timestamp;
use crate::connect::{Options, Report, Summary};
use crate::decide::Question;
use crate::decide::record::{self, Record};
use crate::findings;
use crate::ledger::past;
use crate::model::id::AccountId;
use crate::model::operation::{Outcome, Request};
use crate::provision::incident::Incident;
use crate::provision::journal::{Entry, Filter};
use crate::snapshot::{GenerationId, Overlay};
use crate::sync::{self, SyncStatus, Trigger};

/// How many requests were answered, by route and status.
pub type Requests = Vec<(String, u16, u32)>;

/// What the Worker wants of the Coordinator.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// How things stand, for Prometheus.
    Metrics,
    /// Requests were answered.
    Answered(Requests),
    /// Tell where this Worker is reached, as it was learned; from this request, where there was none before.
    PublicUrl(Option<RequestTarget>),
    /// Start a sync, unless one runs.
    BeginSync(Trigger),
    /// Tell how the sync and the snapshot stand.
    Status,
    /// Tell what became of the syncs of each day.
    Days {
        /// Those before the day with this number.
        before: Option<i64>,
        /// How many at most.
        limit: i64,
    },
    /// Tell what our own operations changed since a generation was crawled.
    Overlay {
        /// The generation.
        generation: GenerationId,
        /// The overlay that was given before, to have the same again.
        until: Option<i64>,
    },
    /// Look operations up, the newest first.
    Operations {
        /// Which.
        filter: Box<Filter>,
        /// How many at most.
        limit: i64,
    },
    /// Look one operation up, by its number or its key.
    Operation(String),
    /// Check what the Cloudflare token may do, and whether what is pushed could be.
    Examine,
    /// Connect to C1, tell what that would change, or put back what was there before, for whom this names.
    Connect(Options, String),
    /// Tell what the latest of these runs did.
    Connection {
        /// Lines after this one.
        after: i64,
    },
    /// C1's test event has arrived.
    TestArrived,
    /// An automation's question has arrived.
    AutomationArrived,
    /// A webhook's token has arrived, with which nothing may be started twice.
    UseToken {
        /// Its `jti`, or what stands for one.
        id: String,
        /// Nobody accepts it after this.
        until: Timestamp,
    },
    /// Say whether to approve.
    Decide(Box<Question>),
    /// Look decisions up, the newest first.
    Decisions {
        /// Which.
        filter: Box<record::Filter>,
        /// How many at most.
        limit: i64,
    },
    /// Look findings up.
    Findings {
        /// Which.
        filter: Box<findings::Filter>,
        /// How many at most.
        limit: i64,
    },
    /// Look up what happened to findings, the newest first.
    FindingEvents {
        /// Those before this one.
        before: Option<i64>,
        /// How many at most.
        limit: i64,
    },
    /// Say what a change would come to.
    WhatIf(Thinking),
    /// Look one finding up by its id.
    Finding(String),
    /// Note that a finding is as it should be.
    AcceptFinding(Box<findings::Acceptance>),
    /// Look the ledger's changes up, the newest first.
    History {
        /// Which.
        filter: Box<past::Filter>,
        /// How many at most.
        limit: i64,
    },
    /// Tell who did what differs between two generations.
    Authors(Box<past::Authorship>),
    /// Tell what the ledger says of a part of the account as of a time.
    Past {
        /// Of which part, and when.
        question: Box<past::Question>,
        /// How many grants at most.
        limit: i64,
    },
    /// Tell what was open when a generation's evidence was first asked for, as soon as all that changed until then is explained.
    Evidence(GenerationId),
    /// Push the current generation once more.
    Push,
    /// Of the object that had every account: give what it knows of this one to the Coordinator that is named by it.
    HandOver {
        /// The account.
        account: AccountId,
        /// What was given before.
        from: Place,
    },
    /// Grant or revoke.
    Provision {
        /// What is asked.
        request: Box<Request>,
        /// Where the outcome may go, should it take long.
        callback_url: Option<String>,
    },
}

impl Command {
    /// Start a sync for whom this names in its record; one that publishes whoever is gone, or holds a mass disappearance back.
    pub fn begin_sync(by: &str, accept_removals: bool) -> Self {
        Self::BeginSync(Trigger { by: by.to_owned(), accept_removals })
    }
}

/// What the Coordinator says.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A sync was started.
    SyncBegun {
        /// The run's id.
        run: String,
    },
    /// A sync runs already.
    SyncRunning {
        /// The run's id.
        run: String,
    },
    /// How things stand.
    Status(Box<Status>),
    /// Days, the newest first.
    Days(Vec<sync::Day>),
    /// What is laid over a generation.
    Overlay(Overlay),
    /// Operations that were looked up.
    Operations(Vec<Entry>),
    /// The state of things for Prometheus.
    Metrics(String),
    /// Where this Worker is reached, as far as that was learned.
    PublicUrl(Option<LearnedUrl>),
    /// What the token may do.
    Examination(Vec<Examination>),
    /// What the latest run of connecting tells; nothing where there was none.
    Connect(Option<Box<Report>>),
    /// Such a run is running already.
    ConnectRunning,
    /// It is noted.
    Noted,
    /// The token was used before.
    TokenUsed,
    /// Whether to approve: what was decided now, or when it was asked before.
    Decided(Box<Record>),
    /// Decisions that were looked up.
    Decisions(Vec<Record>),
    /// What a change would come to; or why that cannot be said.
    WouldBe(Result<serde_json::Value, NoAnswer>),
    /// Findings that were looked up, as they are shown.
    Findings(Vec<serde_json::Value>),
    /// The evidence of a generation is not settled: the newest of which it is, and how soon that may be so of this one.
    NotSettled {
        /// That one, where there is one.
        settled: Option<GenerationId>,
        /// Not before.
        secs: i64,
    },
    /// What the ledger says.
    Ledger(Box<LedgerAnswer>),
    /// How an operation ended.
    Outcome(Outcome),
    /// It goes on, and the outcome will be sent to the callback URL.
    Accepted,
    /// The generation is on its way.
    Pushing {
        /// Its id.
        generation: GenerationId,
    },
    /// Nothing was published yet that could be pushed.
    NothingToPush,
    /// There is no place to push to, and no connector to tell.
    PushNotConfigured,
    /// Rows of what is handed over.
    HandedOver(Batch),
    /// There is nothing of that account.
    NothingToHandOver,
    /// The Coordinator's own storage failed.
    Failed {
        /// What could not be done.
        message: String,
    },
}

/// What of a [`Status`] is its own, beside the sync's.
#[derive(Deserialize)]
struct Beside {
    jobs: Vec<Job>,
    connection: Option<Summary>,
    incidents: Vec<Incident>,
    audit_log: Option<AuditLog>,
    #[serde(default)]
    last_logins: Option<Logins>,
    #[serde(default)]
    overdue_revokes: Vec<Overdue>,
    #[serde(default)]
    set_aside: Vec<SetAside>,
    #[serde(default)]
    learned: Option<LearnedUrl>,
    #[serde(default)]
    requests_left: RequestsLeft,
    #[serde(default)]
    callbacks_waiting: i64,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = json::Text::deserialize(deserializer)?;
        let beside: Beside = text.read()?;
        Ok(Self {
            sync: text.read()?,
            jobs: beside.jobs,
            connection: beside.connection,
            incidents: beside.incidents,
            audit_log: beside.audit_log,
            last_logins: beside.last_logins,
            overdue_revokes: beside.overdue_revokes,
            set_aside: beside.set_aside,
            learned: beside.learned,
            requests_left: beside.requests_left,
            callbacks_waiting: beside.callbacks_waiting,
        })
    }
}

/// What the ledger says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LedgerAnswer {
    /// Changes, as they are shown.
    pub changes: Vec<serde_json::Value>,
    /// Grants as of a time.
    pub facts: Vec<past::Fact>,
    /// The names of then, of those who are called otherwise since.
    pub names: Vec<(String, String)>,
    /// The principals that are meant, where some are.
    pub people: Vec<String>,
    /// How far the ledger goes.
    pub reach: past::Reach,
}

/// How things stand.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The sync and the snapshot.
    #[serde(flatten)]
    pub sync: SyncStatus,
    /// What follows a publication, where anything is configured that does.
    pub jobs: Vec<Job>,
    /// The connection to C1, where it was ever made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Summary>,
    /// The latest things that happened to members beside what was asked for, the newest first.
    pub incidents: Vec<Incident>,
    /// How the audit log, by which others' changes are heard of, stood when it was last asked.
    pub audit_log: Option<AuditLog>,
    /// How the lists of last logins stood when they were last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_logins: Option<Logins>,
    /// What was granted for a time that is over, and is not revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overdue_revokes: Vec<Overdue>,
    /// Rows that this version cannot read, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
    /// Where this Worker is reached, as far as that was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedUrl>,
    /// What is left of Cloudflare's budget.
    pub requests_left: RequestsLeft,
    /// Outcomes that C1 still has to be told.
    pub callbacks_waiting: i64,
}

/// Requests to Cloudflare that are left in these five minutes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RequestsLeft {
    /// For a sync.
    pub sync: u32,
    /// For changes of access.
    pub provisioning: u32,
}

/// The Coordinator did not answer; what became of the command is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Coordinator does not answer: {0}")]
pub struct Unreachable(pub String);

/// Asks the Coordinator.
pub trait Ask {
    /// Sends a command and waits for the reply.
    async fn ask(&self, command: Command) -> Result<Reply, Unreachable>;
}
