//! The one place that decides and writes: a Durable Object per account, here without the runtime around it. It runs the
//! sync's steps, serialises provisioning per member, and owns the one alarm that all of this shares.
//!
//! **Invariant:** nothing else writes to the Cloudflare account, or to the snapshot.

mod alarm;
mod batch;
mod connect;
mod decisions;
mod examine;
mod explain;
mod follow;
mod listen;
mod memory;
mod metrics;
mod operations;
mod protocol;
mod public_url;
mod ring;
mod schema;
mod settings;
pub mod succession;
mod tokens_seen;
mod what_if;
mod wire;

pub use alarm::rang;
pub use examine::Examination;
pub use memory::{Coordinator, Ports};
pub use protocol::{Ask, Command, LedgerAnswer, Reply, Requests, RequestsLeft, Status, Unreachable};
pub use public_url::{LearnedUrl, RequestTarget};
pub use settings::Settings;
pub use what_if::{Thinking, Who};

use memory::{failed, unusable};

use crate::account::{expiry, overlay};
use crate::base::jobs;
use crate::base::ports::{Clock, Level, Sql, SqlError};
use crate::base::rows;
use crate::decide::record;
use crate::findings;
use crate::ledger::{self, past};
use crate::provision;
use crate::provision::journal;
use crate::push;
use crate::signal;
use crate::sync;

/// Brings the tables of an earlier version to this one, and creates those that are missing. Called before anything else, each time
/// the Coordinator starts.
pub fn init(ports: &dyn Sql) -> Result<(), SqlError> {
    schema::migrate(ports)?;
    rows::begin(ports)?;
    crate::cloudflare::init(ports)?;
    crate::audit::init(ports)?;
    sync::init(ports)?;
    jobs::init(ports)?;
    crate::connect::init(ports)?;
    record::init(ports)?;
    findings::init(ports)?;
    signal::init(ports)?;
    push::init(ports)?;
    tokens_seen::init(ports)?;
    metrics::init(ports)?;
    provision::init(ports)
}

impl Coordinator {
    /// Carries out a command.
    #[allow(clippy::too_many_lines, reason = "an arm for each command")]
    pub async fn handle<P: Ports>(&self, ports: &P, settings: &Settings, command: Command) -> Reply {
        match command {
            Command::BeginSync(trigger) if rests(ports, settings, &trigger) => {
                self.wake(ports, ports.now()).await;
                Reply::Noted
            }
            Command::BeginSync(trigger) => match begin_sync(ports, settings, trigger) {
                Ok(run) => {
                    self.wake(ports, ports.now()).await;
                    Reply::SyncBegun { run: run.to_string() }
                }
                Err(sync::BeginError::AlreadyRunning(run)) => {
                    // The alarm of a run is set with each of its steps; this is for the one that got lost, here and above.
                    self.wake(ports, ports.now()).await;
                    Reply::SyncRunning { run: run.to_string() }
                }
                Err(sync::BeginError::Sql(error)) => failed(ports, "could not start a sync", &error),
            },
            Command::Status => match status(ports, settings.overdue_minutes) {
                Ok(status) => Reply::Status(Box::new(status)),
                Err(error) => failed(ports, "could not read the status", &error),
            },
            Command::Days { before, limit } => match sync::days::latest(ports, before, limit) {
                Ok(days) => Reply::Days(days),
                Err(error) => failed(ports, "could not read what became of earlier syncs", &error),
            },
            Command::Metrics => match metrics::text(ports, ports.now()) {
                Ok(text) => Reply::Metrics(text),
                Err(error) => failed(ports, "could not read the metrics", &error),
            },
            Command::PublicUrl(seen) => {
                let taught = seen.filter(|_| settings.conductorone.public_url.is_none());
                let noted = taught.map_or(Ok(()), |seen| public_url::learn(ports, &seen, ports.now()));
                match noted.and_then(|()| public_url::learned(ports)) {
                    Ok(learned) => Reply::PublicUrl(learned),
                    Err(error) => failed(ports, "could not read where this Worker is reached", &error),
                }
            }
            Command::Answered(requests) => match metrics::answered(ports, &requests) {
                Ok(()) => Reply::Noted,
                Err(error) => failed(ports, "could not count requests", &error),
            },
            Command::Overlay { generation, until } => match overlay::over(ports, &generation, until) {
                Ok(overlay) => Reply::Overlay(overlay),
                Err(error) => failed(ports, "could not read what was changed since the sync", &error),
            },
            Command::Operations { filter, limit } => match journal::list(ports, &filter, limit) {
                Ok(entries) => Reply::Operations(entries),
                Err(error) => failed(ports, "could not read the journal", &error),
            },
            Command::Operation(id_or_key) => match journal::find(ports, &id_or_key) {
                Ok(entry) => Reply::Operations(entry.into_iter().collect()),
                Err(error) => failed(ports, "could not read the journal", &error),
            },
            Command::Examine => {
                let mut found = examine::examine(ports, &settings.cloudflare, settings.audit).await;
                found.extend(examine_apps(ports, settings));
                found.extend(self.examine_c1(ports, settings).await);
                found.extend(
                    push::examine(ports, settings.push.as_ref(), &settings.conductorone, &self.tokens)
                        .await
                        .into_iter()
                        .map(Examination::from),
                );
                Reply::Examination(found)
            }
            Command::Connect(options) => self.connect(ports, settings, options).await,
            Command::Connection { after } => Self::connection(ports, after),
            Command::TestArrived => match crate::connect::arrived(ports, ports.now()) {
                Ok(()) => Reply::Noted,
                Err(error) => failed(ports, "could not note the test event", &error),
            },
            Command::AutomationArrived => match crate::connect::came_by(ports, "automations") {
                Ok(()) => Reply::Noted,
                Err(error) => failed(ports, "could not note the automation", &error),
            },
            Command::UseToken { id, until } => match tokens_seen::use_up(ports, &id, until, ports.now()) {
                Ok(true) => Reply::Noted,
                Ok(false) => Reply::TokenUsed,
                Err(error) => failed(ports, "could not note the webhook's token", &error),
            },
            Command::Decide(question) => decisions::decide(ports, settings, &question).await,
            Command::Decisions { filter, limit } => match record::list(ports, &filter, limit) {
                Ok(records) => Reply::Decisions(records),
                Err(error) => failed(ports, "could not read the decisions", &error),
            },
            Command::Findings { filter, limit } => match findings::list(ports, &filter, limit, ports.now()) {
                Ok(found) => Reply::Findings(found),
                Err(error) => failed(ports, "could not read the findings", &error),
            },
            Command::FindingEvents { before, limit } => match findings::events(ports, before, limit) {
                Ok(events) => Reply::Findings(events),
                Err(error) => failed(ports, "could not read what happened to findings", &error),
            },
            Command::WhatIf(asked) => {
                Reply::WouldBe(match what_if::answer(ports, settings, &self.next_what_if, asked).await {
                    Ok(answer) => Ok(answer),
                    Err(what_if::NoAnswer::Unknown(why)) => Err((false, why)),
                    Err(what_if::NoAnswer::NotNow(why)) => Err((true, why)),
                })
            }
            Command::Finding(id) => match findings::one(ports, &id, ports.now()) {
                Ok(found) => Reply::Findings(found.into_iter().collect()),
                Err(error) => failed(ports, "could not read the findings", &error),
            },
            Command::AcceptFinding(acceptance) => {
                let accepted = findings::accept(ports, &acceptance, ports.now());
                let followed = accepted.and_then(|_| Self::follow(ports, settings));
                match followed.and_then(|()| findings::one(ports, &acceptance.id, ports.now())) {
                    Ok(found) => {
                        self.wake(ports, ports.now()).await;
                        Reply::Findings(found.into_iter().collect())
                    }
                    Err(error) => failed(ports, "could not note that a finding is accepted", &error),
                }
            }
            Command::History { filter, limit } => {
                let told = past::history(ports, &filter, limit);
                tell(ports, told.map(|changes| LedgerAnswer { changes, ..LedgerAnswer::default() }))
            }
            Command::Authors(asked) => {
                let told = explain::authors(ports, &asked);
                tell(ports, told.map(|changes| LedgerAnswer { changes, ..LedgerAnswer::default() }))
            }
            Command::Past { question, limit } => tell(ports, past_of(ports, &question, limit)),
            Command::Evidence(generation) => match evidence(ports, &generation) {
                Ok(told) => told,
                Err(error) => failed(ports, "could not read the findings", &error),
            },
            // Only the object that there was before has anything to give: see `succession`.
            Command::HandOver { .. } => Reply::NothingToHandOver,
            Command::Push if settings.push.is_none() => Reply::PushNotConfigured,
            Command::Push => match Self::push_again(ports, settings) {
                Ok(Some(generation)) => {
                    self.wake(ports, ports.now()).await;
                    Reply::Pushing { generation }
                }
                Ok(None) => Reply::NothingToPush,
                Err(error) => failed(ports, "could not ask for a push", &error),
            },
            Command::Provision { request, callback_url } => {
                self.operate(ports, settings, &request, callback_url.as_deref()).await
            }
        }
    }
}

/// What the ledger says of a part of the account as of a time.
fn past_of<P: Ports>(ports: &P, question: &past::Question, limit: i64) -> Result<LedgerAnswer, SqlError> {
    let people = past::people(ports, question.person.as_deref(), &question.principals)?;
    Ok(LedgerAnswer {
        facts: past::facts(ports, question, &people, limit)?,
        names: past::names_then(ports, question, &people, limit)?,
        people,
        ..LedgerAnswer::default()
    })
}

/// What the ledger says, with how far it goes.
fn tell<P: Ports>(ports: &P, told: Result<LedgerAnswer, SqlError>) -> Reply {
    match told.and_then(|told| Ok(LedgerAnswer { reach: past::reach(ports, None)?, ..told })) {
        Ok(told) => Reply::Ledger(Box::new(told)),
        Err(error) => failed(ports, "could not read the ledger", &error),
    }
}

/// Whether the cron trigger need not begin a sync yet: the last one failed a moment ago; or the account was looked through a while ago, and
/// changes are heard of since; or the day's writes to KV would not suffice for what this one may write.
fn rests<P: Ports>(ports: &P, settings: &Settings, trigger: &sync::Trigger) -> bool {
    let (now, within) = (ports.now(), settings.sweep_minutes * 60_000);
    let is_heard = || settings.audit.feed == Some(true) && crate::audit::feed::is_healthy(ports, now).unwrap_or(false);
    // What called for one that failed or was held back is still to be looked at.
    let may_wait = |run: &sync::RunRecord| {
        run.not_before.is_some_and(|at| at > now)
            || (run.is_good_sweep() && now.since(run.finished_at) < within && is_heard())
    };
    let is_idle = || {
        sync::status(ports)
            .is_ok_and(|status| status.running.is_none() && sync::last_sweep(&status.runs).is_some_and(may_wait))
    };
    trigger.by == "cron" && (is_idle() || sync::room::owes_too_much(ports, settings.plan).unwrap_or(false))
}

/// Starts a sync, and forgets operations that have been kept long enough: about as often is often enough for that.
fn begin_sync<P: Ports>(
    ports: &P,
    settings: &Settings,
    trigger: sync::Trigger,
) -> Result<sync::RunId, sync::BeginError> {
    let oldest = ports.now().plus_secs(-settings.journal_days * 24 * 60 * 60);
    if let Err(error) = journal::purge(ports, oldest).and_then(|()| record::purge(ports, oldest)) {
        ports.log(Level::Warn, "could not purge the journal", serde_json::json!({ "error": error.to_string() }));
    }
    let purged = findings::told_since(ports).and_then(|told_since| ledger::purge(ports, oldest, told_since));
    if let Err(error) = purged {
        unusable(ports, "could not purge the ledger", &error);
    }
    // A place that has not seen for a while which generations are kept reads one from a day ago at most, and an hour is for clocks that differ.
    if let Err(error) = overlay::purge(ports, ports.now().plus_secs(-25 * 60 * 60)) {
        unusable(ports, "could not purge the overlay", &error);
    }
    sync::begin(ports, &settings.cloudflare, trigger)
}

/// What was open when a generation's evidence was first asked for; as long as something of it is not settled, of which it is. Of a generation that is
/// kept no more it is not known what that was, and it would be told as it is now.
fn evidence<P: Ports>(ports: &P, generation: &crate::snapshot::GenerationId) -> Result<Reply, SqlError> {
    let looked_at = findings::looked_at(ports)?;
    let is_done = looked_at.as_ref() >= Some(generation) && crate::snapshot::is_kept(ports, generation)?;
    if is_done && ledger::record::is_explained(ports, generation)? {
        let reach = past::reach(ports, Some(generation))?;
        return Ok(Reply::Findings(findings::cut(ports, generation, &reach, ports.now())?));
    }
    let (settled, open) = match &looked_at {
        Some(looked_at) => ledger::record::newest_explained(ports, looked_at, generation)?,
        None => (None, None),
    };
    let told_until = explain::told_until(ports)?;
    let secs = open.map_or(0, |at| at.since(told_until) / 1_000).max(60);
    Ok(Reply::NotSettled { settled, secs })
}

fn status<P: Sql + Clock>(ports: &P, overdue_minutes: i64) -> Result<Status, SqlError> {
    let (left_for_sync, left_for_provisioning) = crate::cloudflare::requests_left(ports, ports.now())?;
    Ok(Status {
        requests_left: RequestsLeft { sync: left_for_sync, provisioning: left_for_provisioning },
        callbacks_waiting: ports
            .one(provision::callback::WAITING, &[])?
            .and_then(|count| count.integer())
            .unwrap_or_default(),
        sync: sync::status(ports)?,
        jobs: jobs::all(ports)?,
        incidents: provision::incident::latest(ports)?,
        audit_log: crate::audit::feed::state(ports)?,
        last_logins: crate::audit::logins::state(ports)?,
        overdue_revokes: expiry::overdue(ports, ports.now().plus_secs(-overdue_minutes * 60))?,
        connection: crate::connect::summary(ports)?,
        learned: public_url::learned(ports)?,
        // After what reads the tables.
        set_aside: rows::counts(ports)?,
    })
}

/// A warning where changes are carried out for any app of the tenant, or where an app is connected whose tasks are refused.
fn examine_apps(ports: &dyn Sql, settings: &Settings) -> Option<Examination> {
    let is_on = settings.provision.provisioning == provision::Provisioning::On;
    let message = match crate::connect::connected_apps(ports) {
        Ok(connected) => {
            // What was put back is pinned still, and connected no more.
            let is_connected = crate::connect::summary(ports).is_ok_and(|it| it.is_some_and(|it| it.app.is_some()));
            settings.provision.apps.warning(&connected, is_on).filter(|_| is_connected || connected.is_empty())?
        }
        Err(error) => format!("which apps are connected cannot be read: {error}"),
    };
    Some(Examination { name: "ALLOWED_APPS".to_owned(), ok: false, required: false, message })
}

#[cfg(test)]
mod tests {
    use super::{init, status};
    use crate::account::overlay;
    use crate::base::fakes::Desk;
    use crate::base::jobs::{self, JobKind};
    use crate::base::ports::{Clock as _, Sql};
    use crate::base::rows;
    use crate::connect;
    use crate::decide::record;
    use crate::model::ask::{Action, Subject};
    use crate::model::operation::{Origin, Request, Target};
    use crate::provision::callback;
    use crate::provision::incident::{Incident, IncidentKind};
    use crate::provision::journal::{self, Arrival, EntryId};
    use crate::snapshot::GenerationId;

    /// A desk with one operation, job, callback and run that can be read.
    fn desk() -> (Desk, EntryId) {
        let desk = Desk::new();
        init(&desk).unwrap();
        let request = Request {
            key: Some("t/1".to_owned()),
            action: Action::Grant,
            target: Target::Account,
            subject: Subject::default(),
            origin: Origin::default(),
        };
        let arrival = journal::arrive(&desk, &request, desk.now(), desk.now()).unwrap();
        let Arrival::New(id) = arrival else { panic!("{arrival:?}") };
        callback::want(&desk, id, "https://acme/cb/1", desk.now()).unwrap();
        callback::settled(&desk, id, desk.now()).unwrap();
        jobs::want(&desk, JobKind::Push, "g", false, desk.now()).unwrap();
        connect::begin(&desk, connect::Options::default(), "api").unwrap();
        (desk, id)
    }

    /// What goes on, as far as it can be read.
    fn read(desk: &Desk) -> (Vec<EntryId>, Vec<EntryId>, Vec<JobKind>, usize, usize) {
        let now = desk.now();
        let due = journal::due(desk, now, 10).unwrap().iter().map(|entry| entry.id).collect();
        journal::list(desk, &journal::Filter::default(), 10).unwrap();
        let callbacks = callback::due(desk, now, 10).unwrap().iter().map(|callback| callback.operation).collect();
        let jobs = jobs::due(desk, now).unwrap().iter().map(|job| job.kind).collect();
        let decisions = record::list(desk, &record::Filter::default(), 10).unwrap().len();
        let members = overlay::over(desk, &GenerationId::parse("0").unwrap(), None).unwrap().members.len();
        connect::report(desk, 0).unwrap().unwrap();
        (due, callbacks, jobs, decisions, members)
    }

    #[test]
    fn a_row_of_a_newer_version_in_any_table_stops_only_itself_and_the_status_counts_it() {
        let (desk, id) = desk();
        let good = (vec![id], vec![id], vec![JobKind::Push], 0, 0);
        assert_eq!(read(&desk), good);
        assert_eq!(status(&desk, 60).unwrap().set_aside, []);
        let odd = [
            (
                "operation",
                "INSERT INTO operation (version, key, state, request, received_at, due_at) VALUES (2, 't/2', 'dreaming', '{}', 0, 0)",
            ),
            (
                "incident",
                "INSERT INTO incident (version, operation, source, incident) VALUES (2, 1, 'x', '{\"kind\":\"eclipse\"}')",
            ),
            (
                "job",
                "INSERT INTO job (kind, version, subject, state, wanted_at, due_at) VALUES ('bake', 2, 's', 'due', 0, 0)",
            ),
            (
                "decision",
                "INSERT INTO decision (version, key, at, record) VALUES (2, 'k', 0, '{\"verdict\":\"perhaps\"}')",
            ),
            ("overlay", "INSERT INTO overlay (version, member, at, kept) VALUES (2, 'm', 0, '[2]')"),
            (
                "callback",
                "INSERT INTO callback (operation, url, attempts, due_at, expires_at) VALUES (99, x'00', 0, 0, 0)",
            ),
            (
                "connect_line",
                "INSERT INTO connect_line (run, n, what, text) SELECT MAX(id), 9, 'sang', 'la' FROM connect_run",
            ),
        ];
        for (table, statement) in odd {
            desk.query(statement, &[]).unwrap_or_else(|error| panic!("{table}: {error}"));
            assert_eq!(read(&desk), good, "{table}");
            let counted = status(&desk, 60).unwrap().set_aside;
            let of: Vec<_> =
                counted.iter().filter(|counted| counted.table == table).map(|counted| counted.rows).collect();
            assert_eq!(of, [1], "{table}: {counted:?}");
        }
        assert_eq!(rows::unlogged(&desk).unwrap().len(), odd.len());
        assert_eq!(callback::next_due(&desk).unwrap(), Some(desk.now()), "what is set aside wakes nobody");
        // Another start looks again, and finds the same.
        init(&desk).unwrap();
        assert_eq!(read(&desk), good);
        assert_eq!(status(&desk, 60).unwrap().set_aside.len(), odd.len());
    }
    /// A row of a newer version may mean something else than it seems to, so it is not acted on although it can be read.
    #[test]
    fn a_row_that_says_it_is_of_a_newer_version_is_set_aside_though_it_looks_like_one_of_this() {
        let (desk, id) = desk();
        let incident = Incident {
            kind: IncidentKind::LateWrite,
            at: desk.now(),
            operation: id,
            member: "m".to_owned(),
            email: "jane@example.com".to_owned(),
            message: "It came late.".to_owned(),
            actor: None,
            through: None,
            reference: None,
        };
        let text = serde_json::to_string(&incident).unwrap();
        desk.query("INSERT INTO incident (operation, source, incident) VALUES (1, 'x', ?)", &[text.into()]).unwrap();
        let member = format!("{:032x}", 1);
        desk.query("INSERT INTO overlay (member, at, kept) VALUES (?, 0, '{\"member\":null}')", &[member.into()])
            .unwrap();
        connect::came_by(&desk, "approvals").unwrap();
        let looks = || {
            let over = overlay::over(&desk, &GenerationId::parse("0").unwrap(), None).unwrap().members.len();
            let due = jobs::due_at(&desk, JobKind::Push).unwrap().is_some();
            let status = status(&desk, 60).unwrap();
            let run = status.connection.is_some();
            let counts = [status.jobs.len(), status.incidents.len(), over, usize::from(due), usize::from(run)];
            let set_aside: Vec<String> = status.set_aside.into_iter().map(|one| one.table).collect();
            (counts, set_aside)
        };
        assert_eq!(looks(), ([1, 1, 1, 1, 1], vec![]), "the control: each is of this version");
        let tables = [
            ("job", [0, 1, 1, 0, 1]),
            ("incident", [1, 0, 1, 1, 1]),
            ("overlay", [1, 1, 0, 1, 1]),
            ("connect_run", [1, 1, 1, 1, 0]),
            ("connect_state", [1, 1, 1, 1, 1]),
        ];
        for (table, expected) in tables {
            rows::begin(&desk).unwrap();
            desk.query(&format!("UPDATE {table} SET version = 2"), &[]).unwrap();
            assert_eq!(looks(), (expected, vec![table.to_owned()]));
            if table == "connect_state" {
                assert!(
                    connect::connected_apps(&desk).is_err(),
                    "which apps these are is not known, which is not none"
                );
                connect::came_by(&desk, "approvals").unwrap();
            }
            desk.query(&format!("UPDATE {table} SET version = 1"), &[]).unwrap();
        }
        rows::begin(&desk).unwrap();
        assert_eq!(looks(), ([1, 1, 1, 1, 1], vec![]), "and the version that wrote them reads them again");
        // What is wanted of this version takes the place of what was wanted of another.
        desk.query("UPDATE job SET version = 2", &[]).unwrap();
        jobs::want(&desk, JobKind::Push, "g2", false, desk.now()).unwrap();
        assert_eq!(jobs::due(&desk, desk.now()).unwrap().len(), 1);
    }
}
