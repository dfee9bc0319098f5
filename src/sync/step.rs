//! The driver: begins a run, and carries it on step by step. What to fetch is [`Crawl`]'s to say, what to write the
//! snapshot's; here they are brought together with the clock, the client and the Coordinator's storage.
//!
//! **Invariant:** nothing of a step's progress is in memory only: a page counts when it is staged, and what a run decided stands
//! in its cursor.

use futures::FutureExt as _;
use serde_json::json;

use super::crawl::{Crawl, Fetch, List, Off};
use super::fetch::{FetchResult, Rows, Trouble, fetch, given_up};
use super::finish::{self, Finish};
use super::history;
use super::limits::Limits;
use super::metered::{MeteredPorts, add_use};
use super::repeated::Repeated;
use super::run::{CURSOR_KEY, Cursor, Trigger};
use super::{staging, state};
use crate::base::ports::{Clock, Http, KeyValue, Level, Log, Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::Timestamp;
use crate::base::under_way;
use crate::cloudflare::Settings;
use crate::cloudflare::{Client, Purpose};
use crate::snapshot::RunId;

/// Why no run was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// One runs already.
    #[error("the sync {0} is running")]
    AlreadyRunning(RunId),
    /// The Coordinator's storage failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// When to call [`step`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is to be done.
    Idle,
    /// At this time.
    At(Timestamp),
}

/// A step that ends in trouble is retried this many times before the run fails.
const MAX_ATTEMPTS: u32 = 5;

/// The first of these tries comes after 15 s, each further one after twice as long: 4 minutes in all.
const ATTEMPT_SECS: i64 = 15;

/// A run that started over this often does not fit its limits.
const MAX_RESTARTS: u32 = 3;

/// After a failure that waiting alone does not mend, the clock starts no run for this long: a token that is not accepted should not be
/// tried all the time (`reference/cloudflare.md` 5.8). Where a run fails within five minutes, it is over by the time the
/// cron trigger fires again.
const FAILURE_PAUSE_SECS: i64 = 10 * 60;

/// The copy of the cursor in KV is written this often at most: KV takes one write to a key in a second, and each costs.
const COPY_MILLIS: i64 = 30_000;

/// What is told of a sync that neither fails nor goes on, for hours it may be.
const WAITS: &str = "the sync waits until the limit of requests to Cloudflare lets it go on";

/// When storage itself fails, the next try comes after this.
const STORAGE_PAUSE_SECS: i64 = 60;

/// Begins a run, unless one runs. The first [`step`] is due at once.
pub fn begin<P: Sql + Clock>(ports: &P, settings: &Settings, trigger: Trigger) -> Result<RunId, BeginError> {
    if let Some(cursor) = Cursor::load(ports)? {
        return Err(BeginError::AlreadyRunning(cursor.run));
    }
    let now = ports.now();
    let runs = history::runs(ports)?;
    let mut cursor = Cursor::new(RunId::after(runs.first().map(|run| &run.run), now), trigger, settings, now);
    cursor.further.names = state::load(ports, state::NAMES_IN_USE)?.unwrap_or_default();
    staging::forget_run(ports, &cursor.run)?;
    cursor.store(ports)?;
    Ok(cursor.run)
}

/// When the running sync goes on; `None` where none runs.
pub fn next_due<P: Sql + Clock>(ports: &P) -> Result<Option<Timestamp>, SqlError> {
    let Some(cursor) = Cursor::load(ports)? else { return Ok(None) };
    Ok(Some(cursor.not_before.unwrap_or_else(|| ports.now())))
}

/// Carries the running sync on, as far as one invocation's limits allow. Never fails: what goes wrong is on the run's cursor, in the log,
/// and in the end in the run's record.
pub async fn step<P: Http + KeyValue + Clock + Sql + Log>(ports: &P, settings: &Settings, plan: Plan) -> Next {
    step_within(ports, settings, &Limits::of(plan)).await
}

/// [`step`] within limits of the caller's.
pub async fn step_within<P: Http + KeyValue + Clock + Sql + Log>(
    ports: &P,
    settings: &Settings,
    limits: &Limits,
) -> Next {
    let error = match advance(ports, settings, limits).await {
        Ok(next) => return next,
        Err(error) => error,
    };
    let message = error.to_string();
    ports.log(Level::Error, "the Coordinator's storage failed in a step of a sync", json!({ "error": message }));
    match unstored(ports, message).await {
        Ok(next) => next,
        Err(error) => {
            let fields = json!({ "error": error.to_string() });
            ports.log(Level::Error, "the trouble of a sync could not be noted", fields);
            Next::At(ports.now().plus_secs(STORAGE_PAUSE_SECS))
        }
    }
}

/// After a failure of storage: what the step did may be lost, and the cursor is as it was before. The trouble is noted on it; after
/// too many the run fails.
async fn unstored<P: Http + KeyValue + Clock + Sql + Log>(ports: &P, message: String) -> Result<Next, SqlError> {
    let Some(mut cursor) = Cursor::load(ports)? else { return Ok(Next::Idle) };
    if cursor.attempt + 1 >= MAX_ATTEMPTS && cursor.published.is_none() {
        let message = format!("storage failed {MAX_ATTEMPTS} times in a row: {message}");
        return fail(ports, &MeteredPorts::new(ports), cursor, message).await;
    }
    let at = ports.now().plus_secs(STORAGE_PAUSE_SECS);
    cursor.attempt += 1;
    cursor.trouble = Some(message);
    cursor.not_before = Some(at);
    cursor.store(ports)?;
    Ok(Next::At(at))
}

async fn advance<P: Http + KeyValue + Clock + Sql + Log>(
    ports: &P,
    settings: &Settings,
    limits: &Limits,
) -> Result<Next, SqlError> {
    let started = ports.now();
    let Some(mut cursor) = Cursor::load(ports)? else {
        // A cursor of another version cannot be read; nothing can come of its pages.
        state::remove(ports, state::CURSOR)?;
        return Ok(Next::Idle);
    };
    let kv = MeteredPorts::new(ports);
    if cursor.is_outdated(settings, started) {
        if cursor.restarts >= MAX_RESTARTS {
            let message = "the sync does not come to an end within six hours: Cloudflare limits the requests, which the log tells, or on the free plan an account of this size needs PLAN=paid";
            return fail(ports, &kv, cursor, message.to_owned()).await;
        }
        staging::forget_run(ports, &cursor.run)?;
        cursor = cursor.restarted(settings, started);
        cursor.store(ports)?;
    }
    if let Some(until) = cursor.not_before.filter(|&until| until > started) {
        return Ok(Next::At(until));
    }
    cursor.not_before = None;
    let client = Client::new(ports, settings, Purpose::Sync);
    let mut crawl = Crawl::resume(staging::facts(ports, &cursor.run)?, cursor.further.clone());
    let repeated = Repeated::load(ports, settings, &cursor.run)?;
    let mut step =
        Step { ports, settings, limits, client: &client, kv: &kv, repeated, started, pages: 0, failing: Vec::new() };
    loop {
        match step.read(&mut crawl, &mut cursor).await? {
            Pause::AllRead => {}
            Pause::Budget => return step.put_off(&crawl, cursor, ports.now(), None).await,
            Pause::Until(at) => return step.put_off(&crawl, cursor, at, None).await,
            Pause::Trouble(message) => return step.troubled(&crawl, cursor, message).await,
            Pause::Failed(message) => return fail(ports, &kv, step.settled(&crawl, cursor), message).await,
        }
        if limits.publish_apart && step.pages > 0 {
            return step.put_off(&crawl, cursor, ports.now(), None).await;
        }
        cursor = step.settled(&crawl, cursor);
        if cursor.published.is_none() {
            if cursor.attempt >= MAX_ATTEMPTS {
                let message = format!(
                    "the sync was cut off {MAX_ATTEMPTS} times in a row while what it had read was put together, as where it needs more memory than there is"
                );
                return fail(ports, &kv, cursor, message).await;
            }
            // Where this is the end of the isolate, nobody else counts it.
            Cursor { attempt: cursor.attempt + 1, ..cursor.clone() }.store(ports)?;
        }
        match finish::finish(ports, &kv, &client, &mut crawl, &mut cursor, limits).await? {
            Finish::Ended => return Ok(Next::Idle),
            Finish::More => {
                crawl.extend(cursor.further.clone());
                cursor.store(ports)?;
            }
            Finish::Apart => return step.put_off(&crawl, cursor, ports.now(), None).await,
            Finish::Trouble(message) => return step.troubled(&crawl, cursor, message).await,
        }
    }
}

/// Why a step reads no further.
enum Pause {
    /// Everything asked for is staged.
    AllRead,
    /// The step's limits are reached.
    Budget,
    /// Cloudflare, or our own budget, says when to go on.
    Until(Timestamp),
    /// Something that may pass.
    Trouble(String),
    /// Something that will not.
    Failed(String),
}

/// One invocation's work.
struct Step<'a, 'b, P> {
    ports: &'a P,
    settings: &'a Settings,
    limits: &'a Limits,
    client: &'a Client<'b, P>,
    kv: &'a MeteredPorts<'b, P>,
    repeated: Repeated,
    started: Timestamp,
    /// Pages staged in this step.
    pages: u32,
    /// Lists that did not come in this step, and that the sync can do without.
    failing: Vec<(Fetch, Off)>,
}

impl<P: Http + KeyValue + Clock + Sql + Log> Step<'_, '_, P> {
    /// Fetches and stages pages until all are read or the step must end. Pages on their way at that moment are awaited.
    async fn read(&mut self, crawl: &mut Crawl, cursor: &mut Cursor) -> Result<Pause, SqlError> {
        let mut in_flight = Vec::new();
        let mut pause = None;
        loop {
            while pause.is_none() && in_flight.len() < self.limits.in_flight {
                if !self.has_room(in_flight.len()) {
                    pause = (!crawl.is_all_read()).then_some(Pause::Budget);
                    break;
                }
                let Some(next) = crawl.next() else { break };
                in_flight.push(fetch(self.ports, self.settings, self.client, &self.repeated, next).boxed_local());
            }
            let Some(FetchResult { fetch, outcome }) = under_way::next(&mut in_flight).await else {
                return Ok(pause.unwrap_or(Pause::AllRead));
            };
            match outcome {
                Ok((facts, rows)) => {
                    match rows {
                        Rows::New(rows) => staging::store(self.ports, &cursor.run, fetch, &facts, rows)?,
                        Rows::AsBefore(run) => staging::take_over(self.ports, &run, &cursor.run, fetch, &facts)?,
                    }
                    crawl.on_page(fetch, facts);
                    self.pages += 1;
                    self.copy(crawl, cursor, false).await;
                }
                Err(trouble) => {
                    crawl.on_failure(fetch);
                    let found = match trouble {
                        Trouble::Until(at) => Pause::Until(at),
                        Trouble::Later(message, off) => {
                            self.failing.extend(off.map(|off| (fetch, off)));
                            Pause::Trouble(message)
                        }
                        Trouble::Failed(message) => Pause::Failed(message),
                    };
                    pause = Some(graver(pause, found));
                }
            }
        }
    }

    fn has_room(&self, in_flight: usize) -> bool {
        let coming = u32::try_from(in_flight).unwrap_or(u32::MAX);
        self.client.sent() + coming < self.limits.requests
            && self.pages + coming < self.limits.pages
            && self.ports.now().since(self.started) < self.limits.millis
    }

    /// Writes the copy of the cursor to KV, unless that was done a moment ago. It is a copy: a failure is no harm.
    async fn copy(&self, crawl: &Crawl, cursor: &mut Cursor, at_end: bool) {
        let now = self.ports.now();
        let due = match cursor.copied_at {
            Some(copied) => now.since(copied) >= COPY_MILLIS,
            // A run that one step finishes needs no copy.
            None => at_end || now.since(self.started) >= COPY_MILLIS,
        };
        if !due {
            return;
        }
        cursor.follow(crawl, now);
        cursor.copied_at = Some(now);
        if let Ok(value) = serde_json::to_vec(cursor) {
            let _ = self.kv.put(&self.kv.space().key(CURSOR_KEY), value).await;
        }
    }

    /// The cursor with what this step did.
    fn settled(&self, crawl: &Crawl, mut cursor: Cursor) -> Cursor {
        cursor.follow(crawl, self.ports.now());
        // What was sent in all steps, less what the staged pages account for.
        cursor.failed_requests = (cursor.sent_before + self.client.sent()).saturating_sub(crawl.progress().requests);
        cursor
    }

    /// Ends the step.
    async fn put_off(
        &self,
        crawl: &Crawl,
        cursor: Cursor,
        at: Timestamp,
        trouble: Option<String>,
    ) -> Result<Next, SqlError> {
        let mut cursor = self.settled(crawl, cursor);
        cursor.sent_before += self.client.sent();
        cursor.not_before = Some(at).filter(|&at| at > self.ports.now());
        if trouble.is_some() {
            cursor.attempt += 1;
            cursor.trouble = trouble;
        } else if cursor.not_before.is_some() {
            self.ports.log(Level::Warn, WAITS, json!({ "run": cursor.run, "until": at }));
            cursor.trouble = Some(WAITS.to_owned());
        }
        self.copy(crawl, &mut cursor, true).await;
        add_use(&mut cursor, self.kv);
        cursor.store(self.ports)?;
        Ok(Next::At(at))
    }

    /// Whether what goes on failing says nothing of the members' list: where not even that comes, nobody's own record is to be blamed.
    /// An error where Cloudflare was not asked, until then.
    async fn is_theirs_alone(&self) -> Result<bool, Timestamp> {
        let is_of_members = self.failing.iter().any(|(fetch, _)| matches!(fetch.list, List::Member(_)));
        if !is_of_members {
            return Ok(true);
        }
        match self.client.members_page(1).await {
            Ok(_) => Ok(true),
            Err(error) => error.retry_at().map_or(Ok(false), Err),
        }
    }

    /// Ends the step after something that may pass; after too many such steps in a row the run fails.
    async fn troubled(&self, crawl: &Crawl, cursor: Cursor, message: String) -> Result<Next, SqlError> {
        let mut cursor = self.settled(crawl, cursor);
        let fields = json!({ "run": cursor.run, "attempt": cursor.attempt + 1, "why": message });
        self.ports.log(Level::Warn, "a step of a sync ended in trouble", fields);
        // Once a list was given up, the next one that goes on failing is not waited for as long: a hundred groups are a hundred lists.
        // A member's own record is: who is gone would be published as there. So is the first list that is limited: all of them may be, for a while.
        let all = cursor.attempt + 1 >= MAX_ATTEMPTS;
        let is_limited = |off: &Off| off.status == Some(429);
        let was_limited = crawl.all_pages().any(|(_, facts)| facts.off.as_ref().is_some_and(is_limited));
        let is_next = |fetch: &Fetch, off: &Off| fetch.list.is_optional() && (was_limited || !is_limited(off));
        let is_over = |fetch: &Fetch, off: &Off| all || !off.passing || (cursor.given_up > 0 && is_next(fetch, off));
        let over: Vec<_> = self.failing.iter().filter(|(fetch, off)| is_over(fetch, off)).collect();
        let is_theirs = !over.is_empty()
            && match self.is_theirs_alone().await {
                Ok(is_theirs) => is_theirs,
                Err(until) => return self.put_off(crawl, cursor, until, None).await,
            };
        if is_theirs {
            for (fetch, off) in over {
                let (mut facts, rows) = given_up(fetch.list, off);
                facts.at = self.ports.now();
                staging::store(self.ports, &cursor.run, *fetch, &facts, rows)?;
                cursor.given_up += u32::from(off.passing);
            }
            return self.put_off(crawl, cursor, self.ports.now(), None).await;
        }
        // What is published is: the run did not fail, however long it takes until that can be remembered.
        if cursor.attempt + 1 >= MAX_ATTEMPTS && cursor.published.is_none() {
            let message = format!("the same trouble {MAX_ATTEMPTS} times in a row: {message}");
            return fail(self.ports, self.kv, cursor, message).await;
        }
        let wait = ATTEMPT_SECS << cursor.attempt.min(MAX_ATTEMPTS);
        let at = self.ports.now().plus_secs(wait);
        self.put_off(crawl, cursor, at, Some(message)).await
    }
}

/// The one of two reasons that decides. A trouble is counted also where the rest is put off: a list may be limited for good, and the next one fail for good
/// behind it. Where nothing is sent, there is none.
fn graver(known: Option<Pause>, found: Pause) -> Pause {
    let rank = |pause: &Pause| match pause {
        Pause::AllRead | Pause::Budget => 0,
        Pause::Until(_) => 1,
        Pause::Trouble(_) => 2,
        Pause::Failed(_) => 3,
    };
    match (known, found) {
        (Some(Pause::Until(known)), Pause::Until(found)) => Pause::Until(known.max(found)),
        (Some(known), found) if rank(&known) >= rank(&found) => known,
        (_, found) => found,
    }
}

async fn fail<P: KeyValue + Clock + Sql + Log>(
    ports: &P,
    kv: &MeteredPorts<'_, P>,
    cursor: Cursor,
    message: String,
) -> Result<Next, SqlError> {
    ports.log(Level::Error, "a sync failed", json!({ "run": cursor.run, "why": message }));
    let pause = kv.now().plus_secs(FAILURE_PAUSE_SECS);
    finish::end(kv, cursor, finish::Ending::failed(message, pause)).await?;
    Ok(Next::Idle)
}
