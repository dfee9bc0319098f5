//! A run: what is asked of it, how far it is, and what it says of itself.

use serde::Serialize;

use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, KeyValue, Sign, Sql};
use crate::base::time::Timestamp;
use crate::base::words::words;

/// What is asked of a run. The body of `POST /v1/connect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// C1's id of the app; else `C1_APP_ID`, else it is looked for.
    pub app_id: Option<String>,
    /// Tell what would be changed, and change nothing.
    pub dry_run: bool,
    /// Put back what was there before.
    pub undo: bool,
    /// Replace also what people set up on purpose.
    pub overwrite: bool,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It connects.
    Connect,
    /// It tells what it would change.
    DryRun,
    /// It puts back what was there before.
    Undo,
}

impl Options {
    /// What a run with these options does.
    pub const fn mode(&self) -> Mode {
        match (self.undo, self.dry_run) {
            (true, _) => Mode::Undo,
            (false, true) => Mode::DryRun,
            (false, false) => Mode::Connect,
        }
    }
}

/// Who asks for a run after a sync that found something new.
pub const AUTO_WIRE: &str = "auto_wire";

/// Everything that connecting needs of the world.
pub trait Ports: Http + KeyValue + Clock + Sql + Sign {}

impl<T: Http + KeyValue + Clock + Sql + Sign> Ports for T {}

/// Something of C1's with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedApp {
    /// C1's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on by itself.
    Running,
    /// It went through.
    Done,
    /// Something could not be done; the message and the lines say what.
    Failed,
}

words! {
    /// What a line is about.
    pub enum What {
        /// Something that was found.
        Found = "found",
        /// Something that was changed.
        Changed = "changed",
        /// Something that would be changed.
        WouldChange = "would_change",
        /// Something that was put back.
        Restored = "restored",
        /// Something that was left as it is, for a reason.
        Left = "left",
        /// Something that could not be done.
        Failed = "failed",
    }
}

/// One thing that was found or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number within the run, from 1 on.
    pub n: i64,
    /// What it is about.
    pub what: What,
    /// C1's id of the entitlement, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<String>,
    /// A sentence.
    pub text: String,
}

/// How many entitlements came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Were looked at.
    pub total: u32,
    /// Are none of Cloudflare's, and were left alone.
    pub others: u32,
    /// Led here already.
    pub already: u32,
    /// Were changed, or would be.
    pub changed: u32,
    /// Are set up on purpose, and were left alone.
    pub custom: u32,
    /// Were put back.
    pub restored: u32,
    /// Were changed by somebody since, and were left alone.
    pub left: u32,
    /// Could not be changed.
    pub failed: u32,
}

/// What comes next in a run.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Read the app that was named, or that was found before.
    App,
    /// List apps.
    Apps { page: Option<String>, apps: Vec<NamedApp> },
    /// Look for this account's ids in each. `alike` are apps with ids that every Cloudflare account has, those `found` among them, but
    /// for those whose accounts are another account's; of the last of those `left` the next `page` is to be read: of its entitlements, or after
    /// those of its accounts (`users`). Where it is one that was named, or connected before, `another` says whether ids of another account's
    /// were found in it so far.
    Examine {
        left: Vec<NamedApp>,
        found: Vec<NamedApp>,
        #[serde(default)]
        alike: Vec<NamedApp>,
        #[serde(default)]
        page: Option<String>,
        #[serde(default)]
        users: u32,
        #[serde(default)]
        another: Option<bool>,
    },
    /// List the app's entitlements.
    List { page: Option<String> },
    /// Look for the webhook.
    Webhook { page: Option<String> },
    /// Create it.
    Create,
    /// Let C1 send the test event, and wait for it since a time.
    Verify { since: Option<Timestamp> },
    /// Change entitlements; of the one that is `pending` it is not known whether it was changed.
    Apply { after: i64, pending: Option<String> },
    /// Put entitlements back.
    Undo { after: (String, String) },
    /// See whether anything else leads to the webhook: the apps are listed, and examined for that.
    Used { page: Option<String> },
    /// Delete the webhook.
    Delete,
}

impl Phase {
    /// Looks into apps, of the last one from a page on.
    pub(super) fn examine(left: Vec<NamedApp>, page: Option<String>, another: Option<bool>) -> Self {
        Self::Examine { left, found: Vec::new(), alike: Vec::new(), page, users: 0, another }
    }
}

/// A run: what was asked, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its number.
    #[serde(skip)]
    pub id: i64,
    /// What was asked.
    pub options: Options,
    /// Who asked: who is signed in at the page by Cloudflare Access, `api`, or [`AUTO_WIRE`].
    pub by: String,
    /// How it stands.
    pub state: RunState,
    /// What comes next.
    pub(super) phase: Phase,
    /// The app.
    pub app: Option<NamedApp>,
    /// The webhook's id.
    pub webhook: Option<String>,
    /// What was found and done.
    pub counts: Counts,
    /// How it ended, or why it waits.
    pub message: Option<String>,
    /// How often in a row C1 could not be asked.
    pub(super) attempts: u32,
    /// When it goes on.
    pub(super) due_at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A run that begins now.
pub(super) fn new_run(options: Options, by: &str, now: Timestamp) -> Run {
    let phase = match options.mode() {
        Mode::Undo => Phase::Undo { after: Default::default() },
        Mode::Connect | Mode::DryRun => Phase::App,
    };
    Run {
        id: 0,
        options,
        by: by.to_owned(),
        state: RunState::Running,
        phase,
        app: None,
        webhook: None,
        counts: Counts::default(),
        message: None,
        attempts: 0,
        due_at: now,
        started_at: now,
        ended_at: None,
    }
}
