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
pub use what_if::{NoAnswer, Thinking, Who};

use memory::{failed, unusable};

use crate::account::{expiry, newest, overlay};
use crate::base::jobs;
use crate::base::ports::{Clock, Sql, SqlError};
use crate::base::rows;
use crate::decide::record;
use crate::findings;
use crate::ledger::{self, past};
use crate::provision;
use crate::provision::journal;
use crate::push;
use crate::signal;
use crate::snapshot::{self, Snapshot, SnapshotError};
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
        let wakes = matches!(command, Command::BeginSync(_) | Command::AcceptFinding(_) | Command::Push);
        let (what, done): connect::Told = match command {
            Command::BeginSync(trigger) => {
                // However lately the account was looked through.
                let may_rest = rests(ports, settings, &trigger) && is_in_place(ports).await;
                let begun = if may_rest { Ok(Reply::Noted) } else { begin_sync(ports, settings, trigger) };
                ("could not start a sync", begun)
            }
            Command::Status => (
                "could not read the status",
                status(ports, settings.overdue_minutes).map(|status| Reply::Status(Box::new(status))),
            ),
            Command::Days { before, limit } => (
                "could not read what became of earlier syncs",
                sync::days::latest(ports, before, limit).map(Reply::Days),
            ),
            Command::Metrics => ("could not read the metrics", metrics::text(ports, ports.now()).map(Reply::Metrics)),
            Command::PublicUrl(seen) => {
                let taught = seen.filter(|_| settings.conductorone.public_url.is_none());
                let noted = taught.map_or(Ok(()), |seen| public_url::learn(ports, &seen, ports.now()));
                let learned = noted.and_then(|()| public_url::learned(ports));
                ("could not read where this Worker is reached", learned.map(Reply::PublicUrl))
            }
            Command::Answered(requests) => {
                ("could not count requests", metrics::answered(ports, &requests).map(|()| Reply::Noted))
            }
            Command::Overlay { generation, until } => (
                "could not read what was changed since the sync",
                overlay::over(ports, &generation, until).map(Reply::Overlay),
            ),
            Command::Operations { filter, limit } => {
                (JOURNAL, journal::list(ports, &filter, limit).map(Reply::Operations))
            }
            Command::Operation(id_or_key) => {
                let found = journal::find(ports, &id_or_key);
                (JOURNAL, found.map(|entry| Reply::Operations(entry.into_iter().collect())))
            }
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
                return Reply::Examination(found);
            }
            Command::Connect(options, by) => self.connect(ports, settings, options, &by).await,
            Command::Connection { after } => connect::connection(ports, after),
            Command::TestArrived => {
                ("could not note the test event", crate::connect::arrived(ports, ports.now()).map(|()| Reply::Noted))
            }
            Command::AutomationArrived => {
                ("could not note the automation", crate::connect::came_by(ports, "automations").map(|()| Reply::Noted))
            }
            Command::UseToken { id, until } => {
                let is_first = tokens_seen::use_up(ports, &id, until, ports.now());
                (
                    "could not note the webhook's token",
                    is_first.map(|is_first| if is_first { Reply::Noted } else { Reply::TokenUsed }),
                )
            }
            Command::Decide(question) => {
                let decided = decisions::decide(ports, settings, &question).await;
                ("the decisions cannot be used", decided.map(|record| Reply::Decided(Box::new(record))))
            }
            Command::Decisions { filter, limit } => {
                ("could not read the decisions", record::list(ports, &filter, limit).map(Reply::Decisions))
            }
            Command::Findings { filter, limit } => {
                (FINDINGS, findings::list(ports, &filter, limit, ports.now()).map(Reply::Findings))
            }
            Command::FindingEvents { before, limit } => (
                "could not read what happened to findings",
                findings::events(ports, before, limit).map(Reply::Findings),
            ),
            Command::WhatIf(asked) => {
                return Reply::WouldBe(what_if::answer(ports, settings, &self.next_what_if, asked).await);
            }
            Command::Finding(id) => (FINDINGS, finding(ports, &id)),
            Command::AcceptFinding(acceptance) => {
                let accepted = findings::accept(ports, &acceptance, ports.now());
                let followed = accepted.and_then(|_| Self::follow(ports, settings));
                ("could not note that a finding is accepted", followed.and_then(|()| finding(ports, &acceptance.id)))
            }
            Command::History { filter, limit } => {
                let changes = past::history(ports, &filter, limit);
                (LEDGER, changes.and_then(|changes| changes_of(ports, changes)))
            }
            Command::Authors(asked) => {
                let changes = explain::authors(ports, &asked);
                (LEDGER, changes.and_then(|changes| changes_of(ports, changes)))
            }
            Command::Past { question, limit } => (LEDGER, past_of(ports, &question, limit)),
            Command::Evidence(generation) => (FINDINGS, evidence(ports, &generation)),
            // Only the object that there was before has anything to give: see `succession`.
            Command::HandOver { .. } => return Reply::NothingToHandOver,
            Command::Push if settings.push.is_none() => return Reply::PushNotConfigured,
            Command::Push => {
                let pushing = Self::push_again(ports, settings);
                let reply = |generation| Reply::Pushing { generation };
                ("could not ask for a push", pushing.map(|it| it.map_or(Reply::NothingToPush, reply)))
            }
            Command::Provision { request, callback_url } => {
                return self.operate(ports, settings, &request, callback_url.as_deref()).await;
            }
        };
        match done {
            Ok(reply) => {
                // The alarm of a run is set with each of its steps; for one that runs already this is for the one that got lost.
                if wakes && !matches!(reply, Reply::NothingToPush) {
                    self.wake(ports, ports.now()).await;
                }
                reply
            }
            Err(error) => failed(ports, what, &error),
        }
    }
}

const FINDINGS: &str = "could not read the findings";
const JOURNAL: &str = "could not read the journal";
const LEDGER: &str = "could not read the ledger";

/// One finding, as it is shown now.
fn finding<P: Sql + Clock>(ports: &P, id: &str) -> Result<Reply, SqlError> {
    Ok(Reply::Findings(findings::one(ports, id, ports.now())?.into_iter().collect()))
}

/// What the ledger says of a part of the account as of a time, with how far it goes.
fn past_of(sql: &dyn Sql, question: &past::Question, limit: i64) -> Result<Reply, SqlError> {
    let people = past::people(sql, question.person.as_deref(), &question.principals)?;
    Ok(Reply::Ledger(Box::new(LedgerAnswer {
        changes: Vec::new(),
        facts: past::facts(sql, question, &people, limit)?,
        names: past::names_then(sql, question, &people, limit)?,
        people,
        reach: past::reach(sql, None)?,
    })))
}

/// Changes that the ledger tells of, with how far it goes.
fn changes_of(sql: &dyn Sql, changes: Vec<serde_json::Value>) -> Result<Reply, SqlError> {
    let reach = past::reach(sql, None)?;
    Ok(Reply::Ledger(Box::new(LedgerAnswer { changes, reach, ..LedgerAnswer::default() })))
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

/// Whether readers have what was published last. What cannot be read any more a sync publishes again, and what `current` does not name, since that is lost
/// or came to name an older one, it names again, unless the last one failed or was held back: another would come to the same. What KV does not tell just now
/// is as it was.
async fn is_in_place<P: Ports>(ports: &P) -> bool {
    let Ok(newest) = newest(ports).await else { return true };
    let Some(last) = newest.snapshot.as_ref().map(Snapshot::manifest).filter(|_| newest.is_last) else {
        return newest.is_last;
    };
    let was_good =
        sync::runs(ports).is_ok_and(|runs| sync::last_sweep(&runs).is_some_and(sync::RunRecord::is_good_sweep));
    if !was_good || ports.now().since(last.finished_at) < sync::LOST_AFTER_SECS * 1_000 {
        return true;
    }
    match snapshot::latest(ports).await {
        Ok(shown) => shown.is_some_and(|shown| shown.manifest().generation >= last.generation),
        Err(error) => !matches!(error, SnapshotError::NotReplicated(_)),
    }
}

/// Starts a sync, and forgets operations that have been kept long enough: about as often is often enough for that.
fn begin_sync<P: Ports>(ports: &P, settings: &Settings, trigger: sync::Trigger) -> Result<Reply, SqlError> {
    let oldest = ports.now().plus_secs(-settings.journal_days * 24 * 60 * 60);
    let told_since = findings::told_since(ports);
    for (what, purged) in [
        ("could not purge the journal", journal::purge(ports, oldest).and_then(|()| record::purge(ports, oldest))),
        ("could not purge the ledger", told_since.and_then(|told_since| ledger::purge(ports, oldest, told_since))),
        // A place that has not seen for a while which generations are kept reads one from a day ago at most, and an hour is for clocks that differ.
        ("could not purge the overlay", overlay::purge(ports, ports.now().plus_secs(-25 * 60 * 60))),
    ] {
        if let Err(error) = purged {
            unusable(ports, what, &error);
        }
    }
    match sync::begin(ports, &settings.cloudflare, trigger) {
        Ok(run) => Ok(Reply::SyncBegun { run: run.to_string() }),
        Err(sync::BeginError::AlreadyRunning(run)) => Ok(Reply::SyncRunning { run: run.to_string() }),
        Err(sync::BeginError::Sql(error)) => Err(error),
    }
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
        callbacks_waiting: (ports as &dyn Sql).number(provision::callback::WAITING, &[])?.unwrap_or_default(),
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
