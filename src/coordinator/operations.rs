//! Operations from their arrival to their answer: on disk before anything else, tried at once, tried again when that did
//! not do, and answered by callback when C1 could not be kept waiting.

use std::pin::pin;

use futures::future::{Either, select};

use super::memory::{Coordinator, Ports, failed};
use super::protocol::Reply;
use super::ring::{PAUSE_MILLIS, Ring};
use super::settings::Settings;
use crate::account::{expiry, looked_through};
use crate::base::ports::{HttpRequest, Level, Method, Sql, SqlError};
use crate::base::settings::Plan;
use crate::base::time::{Timestamp, doubled};
use crate::base::under_way::{self, do_all, next, task};
use crate::conductorone::response::Document;
use crate::model::ask::{Action, Subject};
use crate::model::operation::{Origin, Outcome, Refusal, Request};
use crate::provision::journal::{self, Arrival, Entry, EntryId, GIVE_UP_MILLIS, MOST_REQUESTS, State};
use crate::provision::{self, AttemptResult, aftercare, callback};

/// C1 waits 30 s for an answer; a third of that is left for the way here and back.
const PATIENCE_MILLIS: u32 = 20_000;

/// An operation that nobody finished is looked at again after this: its first attempt is over by then, so whoever had it is gone.
const WATCHDOG_SECS: i64 = 30;

/// The wait before an operation is tried again doubles from 5 s up to 5 minutes, where Cloudflare does not say better.
const FIRST_WAIT_SECS: i64 = 5;
const LONGEST_WAIT_SECS: i64 = 5 * 60;

/// How many times a wait that somebody named is kept as it is.
const PATIENT_TIMES: i64 = 3;

/// After this many tries, an hour or so, the waits are longer still: some 70 tries in the day after which an operation is given up.
const MANY_TIMES: i64 = 20;
const WAIT_AFTER_MANY_SECS: i64 = 30 * 60;

/// A revoke that waited for room among the removals goes on for almost as long as C1 waits, so that C1 hears of its end, whatever that is.
const IN_LINE_MILLIS: i64 = callback::EXPIRES_MILLIS - 60 * 60 * 1_000;

/// How many operations, how many callbacks and how many looks for late writes are taken on at once; the next ones follow. The free plan has 50 outgoing
/// requests in an invocation. An operation takes up to 5 of them (who leaves a user group), a callback 1 and a look 1, 7 in all. A sync's step takes 40
/// (`sync::limits`), and with one of each that is 47. Else the audit log, the logins and who is named there take some 26 (`most_at_once`), and with three
/// of each that is 47. The rest is for what follows a publication; what is more all the same is not sent, and comes with the next ring. On the
/// paid plan six connections are what is scarce: 20 operations that take turns on them are through in a second or two.
pub(super) const fn batch(plan: Plan, syncing: bool) -> i64 {
    match (plan, syncing) {
        (Plan::Free, true) => 1,
        (Plan::Free, false) => 3,
        (Plan::Paid, _) => 20,
    }
}

/// So many that are due may be in the hands of requests, or of some that were killed, and keep no other from its turn.
const MOST_IN_FLIGHT: i64 = 10;

/// How many overdue grants are ended at once; the rest with the next ring.
const EXPIRIES_AT_ONCE: i64 = 5;

/// Where no more may be asked for, it is looked this much later whether they may.
const NO_ROOM_SECS: i64 = 15 * 60;

/// How often somebody who waits for another's attempt looks whether it is done.
const LOOK_MILLIS: u32 = 250;

/// An operation's place among those in flight.
type Place<'a> = under_way::Place<'a, EntryId>;

/// An operation that is in flight for longer than this was killed with its request: an attempt is cut off long before.
const LEASE_SECS: i64 = 60;

/// How many callbacks are sent side by side: should C1 not answer, operations need the other connections.
const CALLBACKS_SIDE_BY_SIDE: usize = 2;

impl Coordinator {
    /// Carries out an operation, or sees to it that it will be.
    pub(super) async fn operate<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        request: &Request,
        callback_url: Option<&str>,
    ) -> Reply {
        match self.arrive(ports, settings, request, callback_url).await {
            Ok(reply) => reply,
            Err(error) => failed(ports, "the journal cannot be used", &error),
        }
    }

    async fn arrive<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        request: &Request,
        callback_url: Option<&str>,
    ) -> Result<Reply, SqlError> {
        if let Some(refused) = Self::conflict(ports, request)? {
            return Ok(Reply::Outcome(refused));
        }
        let now = ports.now();
        match journal::arrive(ports, request, now, now.plus_secs(WATCHDOG_SECS))? {
            // C1 asked again, so it has no answer yet: this is it, and the callback is not needed any more.
            Arrival::Settled(id, outcome) => {
                callback::told(ports, id, now)?;
                Ok(Reply::Outcome(outcome))
            }
            Arrival::Underway(id) => match self.take_over(ports, id)? {
                Some((place, entry)) => {
                    self.begin(ports, settings, place, &entry.request, entry.received_at, callback_url).await
                }
                None => self.join(ports, id, request, callback_url).await,
            },
            Arrival::New(id) => match self.in_flight.enter(id, ports.now(), LEASE_SECS) {
                Some(place) => self.begin(ports, settings, place, request, now, callback_url).await,
                None => self.join(ports, id, request, callback_url).await,
            },
        }
    }

    /// The refusal of what asks for something else than was asked for before under the same key: the answer to that one is none to
    /// this one.
    fn conflict<P: Ports>(ports: &P, request: &Request) -> Result<Option<Outcome>, SqlError> {
        let Some(key) = &request.key else { return Ok(None) };
        let Some(before) = journal::find(ports, key)?.filter(|before| !before.request.asks_the_same(request)) else {
            return Ok(None);
        };
        ports.log(
            Level::Error,
            "another operation under the same key",
            serde_json::json!({ "operation": before.id.0 }),
        );
        Ok(Some(Outcome::refused(
            Refusal::KeyConflict,
            format!(
                "This task and step asked for another action, person or entitlement before, which is operation {} of this connector, so nothing was changed for this one; make a new task for it.",
                before.id.0
            ),
        )))
    }

    /// Makes an attempt and answers with what came of it. The place is taken already, so that who asks for the same meanwhile waits for this.
    async fn begin<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        place: Place<'_>,
        request: &Request,
        received_at: Timestamp,
        callback_url: Option<&str>,
    ) -> Result<Reply, SqlError> {
        let id = place.what();
        self.wake(ports, ports.now().plus_secs(WATCHDOG_SECS)).await;
        let attempted = self.attempt(ports, settings, place, request, received_at).await?;
        // No part of the alarm looks at what this left behind.
        let next = if let Outcome::NotNow { .. } = attempted {
            journal::next_due(ports)?
        } else {
            // It may have been put off before, and who asked again is told now.
            callback::told(ports, id, ports.now())?;
            callback::next_due(ports)?
        };
        if let Some(at) = next.into_iter().chain(aftercare::next_due(ports)?).min() {
            self.wake(ports, at).await;
        }
        match attempted {
            Outcome::NotNow { message, retry_at } => Self::put_off(ports, id, request, callback_url, message, retry_at),
            outcome => Ok(Reply::Outcome(outcome)),
        }
    }

    /// An operation that arrived before and that nobody is at work on, because the Worker vanished meanwhile, or whose time has come.
    fn take_over<P: Ports>(&self, ports: &P, id: EntryId) -> Result<Option<(Place<'_>, Entry)>, SqlError> {
        let Some(place) = self.in_flight.enter(id, ports.now(), LEASE_SECS) else { return Ok(None) };
        let Some(entry) = journal::by_id(ports, id)? else { return Ok(None) };
        let waits = entry.state == State::PutOff && entry.due_at.is_some_and(|due_at| due_at > ports.now());
        Ok((!waits).then_some((place, entry)))
    }

    /// Waits for an attempt that is somebody else's, as long as C1 waits for us.
    async fn join<P: Ports>(
        &self,
        ports: &P,
        id: EntryId,
        request: &Request,
        callback_url: Option<&str>,
    ) -> Result<Reply, SqlError> {
        let until = ports.now().plus_millis(i64::from(PATIENCE_MILLIS));
        loop {
            if let Some(outcome) = journal::outcome(ports, id)? {
                callback::told(ports, id, ports.now())?;
                return Ok(Reply::Outcome(outcome));
            }
            if !self.in_flight.has(id) || ports.now() >= until {
                let message = "the operation is under way".to_owned();
                return Self::put_off(ports, id, request, callback_url, message, None);
            }
            ports.sleep(LOOK_MILLIS).await;
        }
    }

    /// One attempt, journalled. Cut off after a while: whatever was under way by then is found out by the next attempt,
    /// which reads first.
    async fn attempt<P: Ports>(
        &self,
        ports: &P,
        settings: &Settings,
        place: Place<'_>,
        request: &Request,
        received_at: Timestamp,
    ) -> Result<Outcome, SqlError> {
        let id = place.what();
        let begun = ports.now();
        let attempts = journal::begin(ports, id, begun.plus_secs(WATCHDOG_SECS))?;
        let looked_before = looked_through::count(ports, id)?;
        // Where it is cut off, it is dropped then and there: what it waits for must not be handed to one that goes on no more.
        let work =
            Box::pin(provision::try_once(ports, &settings.cloudflare, &settings.provision, &self.locks, id, request));
        let AttemptResult { outcome, over_at, was_turned_away } =
            match select(work, pin!(ports.sleep(PATIENCE_MILLIS))).await {
                Either::Left((attempted, _)) => attempted,
                Either::Right(_) => {
                    // Perhaps its turn did not come: others are at work on the same person.
                    let was_turned_away = self.locks.has_in_line(id);
                    let retry_at =
                        if was_turned_away { in_line(received_at, ports.now()) } else { ports.now().plus_secs(1) };
                    let message = "Cloudflare took too long".to_owned();
                    let outcome = Outcome::NotNow { message, retry_at: Some(retry_at) };
                    AttemptResult { outcome, over_at: None, was_turned_away }
                }
            };
        let now = ports.now();
        let why = given_up(ports, id, request.action, now.since(received_at), was_turned_away)?;
        let outcome = match (outcome, why) {
            (Outcome::NotNow { message, .. }, Some(why)) if provision::may_end(ports, id, request)? => {
                Outcome::refused(
                    Refusal::GaveUp,
                    format!("This {why} given up ({message}). Look at the connector's status, then ask again."),
                )
            }
            (outcome, _) => outcome,
        };
        // What nobody comes back for must not happen later by itself: when it was cut off, or has written what it could not read back, it is looked at
        // once more, and no more.
        let goes_on = request.key.is_some() || provision::must_go_on(ports, id)?;
        let comes_again = goes_on || (attempts == 1 && journal::has_written(ports, id)?);
        if let (Outcome::NotNow { message, retry_at }, true) = (&outcome, comes_again) {
            let due_at = if was_turned_away {
                retry_at.unwrap_or_else(|| after_others(received_at, now))
            } else if looked_through::count(ports, id)? > looked_before {
                // It goes on from there, and that is no failure: the list is longer than what one attempt has.
                retry_at.unwrap_or_else(|| now.plus_secs(1))
            } else if let Some(over_at) = over_at {
                journal::waits(ports, id, message, now)?;
                // The only further look comes when it can tell.
                due_while(received_at, over_at, if goes_on { *retry_at } else { Some(over_at) }, now)
            } else {
                due_again(journal::came_to_nothing(ports, id, message, now)?, *retry_at, now)
            };
            journal::put_off(ports, id, due_at)?;
            ports.log(Level::Warn, "operation put off", serde_json::json!({ "operation": id.0, "why": message }));
        } else {
            journal::settle(ports, id, &outcome, now)?;
        }
        drop(place);
        Ok(outcome)
    }

    /// Answers that it goes on. Where there is no way to call back, who asked asks again: a webhook under the same key, which then has
    /// the outcome or goes on from here. What has no key was asked once, and was given up with the attempt, unless that has written: it must not
    /// happen later, when they may have asked for the contrary.
    fn put_off<P: Ports>(
        ports: &P,
        id: EntryId,
        request: &Request,
        callback_url: Option<&str>,
        message: String,
        retry_at: Option<Timestamp>,
    ) -> Result<Reply, SqlError> {
        // The alarm may have settled it since the attempt: nothing is awaited between this look and what is noted.
        if let Some(outcome) = journal::outcome(ports, id)? {
            callback::told(ports, id, ports.now())?;
            return Ok(Reply::Outcome(outcome));
        }
        if let Some(url) = callback_url {
            callback::want(ports, id, url, ports.now())?;
            return Ok(Reply::Accepted);
        }
        let message = if request.key.is_some() {
            message
        } else {
            // It took something away that it has to bring back, or has written what it could not read back.
            format!("{message}; it goes on by itself, and GET /v1/operations/{} tells how it ends", id.0)
        };
        Ok(Reply::Outcome(Outcome::NotNow { message, retry_at }))
    }

    /// Takes on the operations that are due, and as long as one of them takes, those that become due meanwhile: one that hangs keeps no
    /// other waiting.
    pub(super) async fn catch_up<P: Ports>(&self, ports: &P, settings: &Settings, ring: &Ring) -> Result<(), SqlError> {
        Self::end_what_is_overdue(ports, settings)?;
        let mut attempts = Vec::new();
        let mut begins = true;
        let mut ended = Ok(());
        loop {
            if begins {
                let batch = batch(settings.plan, ring.is_syncing());
                let most = usize::try_from(batch).unwrap_or(1);
                for entry in journal::due(ports, ports.now(), batch + MOST_IN_FLIGHT)? {
                    if attempts.len() >= most {
                        break;
                    }
                    // What a request is at work on right now is not for the alarm.
                    let Some(place) = self.in_flight.enter(entry.id, ports.now(), LEASE_SECS) else { continue };
                    if !settings.enforce_expiry && journal::is_unwritten_end(ports, entry.id)? {
                        let why = "ENFORCE_EXPIRY is off by now, so that this connector ends nothing by itself; ask for the revoke in ConductorOne.";
                        let outcome = Outcome::refused(Refusal::ProvisioningOff, why);
                        journal::settle(ports, entry.id, &outcome, ports.now())?;
                        continue;
                    }
                    attempts.push(task(async move {
                        self.attempt(ports, settings, place, &entry.request, entry.received_at).await.map(drop)
                    }));
                }
            }
            if attempts.is_empty() {
                break;
            }
            if let Either::Left((Some(Err(error)), _)) =
                select(pin!(next(&mut attempts)), pin!(ports.sleep(PAUSE_MILLIS))).await
            {
                ended = Err(error);
            }
            begins = ended.is_ok() && ring.goes_on(ports.now());
        }
        journal::settle_unreadable(ports, ports.now())?;
        ended
    }

    /// Asks for the revoke of what was granted for a time that is over, and that C1 did not ask for, where that is wanted: an operation
    /// like any other, which passes every guard and whose journal says whose doing it is.
    fn end_what_is_overdue<P: Ports>(ports: &P, settings: &Settings) -> Result<(), SqlError> {
        if !settings.enforce_expiry {
            return Ok(());
        }
        let (now, room) = (ports.now(), Self::room_for_ends(ports, settings)?);
        for overdue in expiry::unasked(ports, now.plus_secs(-settings.overdue_minutes * 60), now, room)? {
            let granted = journal::by_id(ports, overdue.operation)?;
            let by_address = Subject { emails: vec![overdue.email.clone()], ..Subject::default() };
            let (mut subject, origin) =
                granted.map_or((by_address, Origin::default()), |it| (it.request.subject, it.request.origin));
            // It is whose the grant was written to: they may have another address by now, and may have been known by the address alone.
            subject.member_id = overdue.member.or(subject.member_id);
            // Whose address is another's by now is known by the membership alone.
            if !overdue.email.contains('@') {
                subject.emails = vec![overdue.email.clone()];
            }
            let target = overdue.what.into();
            let again = overdue.again_at.map(|at| format!("/{}", at.millis())).unwrap_or_default();
            let request = Request {
                key: Some(format!("{}{}/{}{again}", expiry::EXPIRY_KEY, overdue.operation.0, overdue.ended_at.secs())),
                action: Action::Revoke,
                target,
                subject,
                // Nobody asked for the end, nor approved it.
                origin: Origin {
                    by: "expiry".to_owned(),
                    duration_secs: None,
                    extends: false,
                    requester: None,
                    approvers: Vec::new(),
                    ..origin
                },
            };
            journal::arrive(ports, &request, now, now)?;
            expiry::asked(ports, &overdue)?;
            let fields = serde_json::json!({ "operation": overdue.operation.0, "ended_at": overdue.ended_at });
            ports.log(Level::Warn, "access that was granted for a time is overdue, and revoked", fields);
        }
        Ok(())
    }

    /// How many more revokes of our own may be asked for: few at a time, so that what C1 asks for waits behind no hundreds of them, and none that
    /// would be refused.
    fn room_for_ends<P: Ports>(ports: &P, settings: &Settings) -> Result<i64, SqlError> {
        let settings = &settings.provision;
        if settings.provisioning == provision::Provisioning::Off || settings.guards.max_removals_per_hour == 0 {
            return Ok(0);
        }
        Ok((EXPIRIES_AT_ONCE - journal::ends_under_way(ports)?).max(0))
    }

    /// When operations go on, or the next grant ends that nobody revoked.
    pub(super) fn operations_due<P: Ports>(ports: &P, settings: &Settings) -> Result<Option<Timestamp>, SqlError> {
        let mut ends =
            if settings.enforce_expiry { expiry::next_end(ports, settings.overdue_minutes * 60)? } else { None };
        // Whatever is under way has a time of its own; that provisioning is on again nobody says.
        if let Some(at) = ends.as_mut()
            && Self::room_for_ends(ports, settings)? == 0
        {
            *at = ports.now().plus_secs(NO_ROOM_SECS).max(*at);
        }
        Ok(journal::next_due(ports)?.into_iter().chain(ends).min())
    }

    /// Tells C1 of the operations whose outcome it waits for no longer.
    pub(super) async fn call_back<P: Ports>(ports: &P, settings: &Settings, is_syncing: bool) -> Result<(), SqlError> {
        let callbacks = callback::due(ports, ports.now(), batch(settings.plan, is_syncing))?;
        let sending = callbacks.iter().map(|callback| task(send(ports, settings, callback)));
        do_all(CALLBACKS_SIDE_BY_SIDE, sending).await
    }
}

/// Why an operation of this age is given up that came to nothing once more; nothing where it goes on.
fn given_up(
    sql: &dyn Sql,
    id: EntryId,
    action: Action,
    age: i64,
    was_turned_away: bool,
) -> Result<Option<String>, SqlError> {
    if journal::spent(sql, id)? >= MOST_REQUESTS {
        let why = format!("took {MOST_REQUESTS} requests to Cloudflare and could still not be carried out, so it was");
        return Ok(Some(why));
    }
    let stood_in_line =
        age > GIVE_UP_MILLIS && action == Action::Revoke && (was_turned_away || provision::waited_for_room(sql, id)?);
    let (most, long) = if stood_in_line { (IN_LINE_MILLIS, "a week") } else { (GIVE_UP_MILLIS, "a day") };
    Ok((age > most).then(|| format!("could not be carried out for {long} and was")))
}

fn backoff(failures: i64) -> i64 {
    if failures > MANY_TIMES {
        return WAIT_AFTER_MANY_SECS;
    }
    doubled(FIRST_WAIT_SECS, failures - 1, LONGEST_WAIT_SECS)
}

/// When an operation that was put off this many times is tried again: when Cloudflare says, or a guard; but from the fourth time on every
/// wait grows, so that one that stands alone neither asks for ever nor starves the others.
fn due_again(failures: i64, retry_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let grown = now.plus_secs(backoff(failures));
    match retry_at {
        Some(at) if failures <= PATIENT_TIMES => at,
        Some(at) => at.max(grown),
        None => grown,
    }
}

/// When an operation comes again that time alone helps: ever later the longer it has waited, and never later than when that is over. No
/// try of its own is spent, so that whatever fails afterwards is not waited for as if it had failed before.
fn due_while(received_at: Timestamp, over_at: Timestamp, retry_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let quarter = (now.since(received_at) / 4).clamp(0, LONGEST_WAIT_SECS * 1_000);
    let grown = now.plus_millis(quarter).max(retry_at.unwrap_or(now));
    // Never at once: what is over at this very moment is asked for in the next one.
    grown.min(over_at).max(now.plus_secs(1))
}

/// When an operation comes again that others were before: the longer it has waited, the later, and no try of its own is spent.
fn after_others(received_at: Timestamp, now: Timestamp) -> Timestamp {
    let waited = now.since(received_at).clamp(FIRST_WAIT_SECS * 1_000, 60_000);
    now.plus_millis(waited)
}

/// When an operation stands in line again that others of the same person were before: soon, since nobody else may be there by then.
fn in_line(received_at: Timestamp, now: Timestamp) -> Timestamp {
    now.plus_millis((now.since(received_at) / 10).clamp(1_000, 30_000))
}

async fn send<P: Ports>(ports: &P, settings: &Settings, callback: &callback::Callback) -> Result<(), SqlError> {
    let operation = callback.operation;
    let drop_it = |why: &str| {
        ports.log(Level::Error, why, serde_json::json!({ "operation": operation.0 }));
        journal::remark(ports, operation, why, ports.now())?;
        callback::given_up(ports, operation, ports.now())
    };
    if ports.now() > callback.expires_at {
        return drop_it("callback given up: C1 waits no longer");
    }
    let try_again = |why: &str, may_be_told: bool| {
        let again = callback::failed(ports, callback, may_be_told, ports.now())?;
        let tenant = &settings.conductorone.tenant;
        ports.log(
            Level::Warn,
            "callback not delivered",
            serde_json::json!({ "operation": operation.0, "tenant": tenant, "why": why, "again": again.to_string() }),
        );
        Ok(())
    };
    // A newer version may have noted one that cannot be read, and be back before C1 waits no longer.
    let Some(outcome) = journal::outcome(ports, operation)? else {
        return try_again("its outcome cannot be read", false);
    };
    let request = HttpRequest {
        method: Method::Post,
        url: callback.url.clone(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        bearer: None,
        body: Some(Document::of(outcome).to_json().into_bytes()),
        timeout_millis: 15_000,
        max_bytes: 64 * 1024,
    };
    // Whoever sends it may be gone when the answer comes, and C1 has the outcome.
    callback::failed(ports, callback, true, ports.now())?;
    match ports.send(request).await {
        Ok(response) if (200..300).contains(&response.status) => callback::told(ports, operation, ports.now()),
        // Delivered before, or expired: C1 says 400 to both, and 410 says that for good by its own meaning. What it answered otherwise it does not have.
        Ok(response) if matches!(response.status, 400 | 410) && callback.may_be_told() => {
            callback::told(ports, operation, ports.now())
        }
        // To the first ones it may say so because our 202 is still on its way, or was lost, and C1 has not noted that it is to wait.
        Ok(response) if matches!(response.status, 400 | 410) && !callback.may_be_early() => {
            drop_it("callback given up: C1 waits no longer, or was told already")
        }
        Ok(response) => {
            // By these somebody before C1 says that C1 did not answer.
            let may_be_told = matches!(response.status, 502 | 504 | 520..=599);
            try_again(&format!("HTTP status {}", response.status), may_be_told)
        }
        Err(error) => try_again(&error.to_string(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::{GIVE_UP_MILLIS, due_again, due_while};
    use crate::base::time::Timestamp;

    #[test]
    fn every_wait_grows_after_the_third_time_and_a_day_has_few_tries() {
        let (start, mut now, mut tries) = (Timestamp::from_secs(0), Timestamp::from_secs(0), 0);
        while now.since(start) < GIVE_UP_MILLIS {
            tries += 1;
            let due = due_again(tries, Some(now.plus_secs(2)), now);
            assert!(due > now);
            assert!(tries > 3 || due == now.plus_secs(2), "the first waits are as asked for");
            now = due;
        }
        assert!((40..100).contains(&tries), "{tries}");
        let (asked, over) = (now, now.plus_secs(2_400));
        let mut looks = 0;
        while now < over {
            looks += 1;
            let due = due_while(asked, over, Some(now.plus_secs(10).min(over)), now);
            assert!(due > now && due <= over, "what time alone mends is waited for no longer than that");
            now = due;
        }
        assert!((10..30).contains(&looks), "{looks}");
        let later = now.plus_secs(3_600);
        assert_eq!(due_again(9, Some(later), now), later, "never sooner than Cloudflare said");
    }
}
