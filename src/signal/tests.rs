//! Queueing, what is somebody else's doing, and the texts.

use std::sync::LazyLock;

use crate::account::default_role::Configured;
use crate::base::tree::BTreeMap;

use futures::executor::block_on;
use serde_json::{Value, json};

use super::foreign::ForeignGrant;
use super::outbox::{self, Waiting, event_id};
use super::settings::{Auth, Settings};
use super::{CapReached, ToldBy, ToldFindings};
use super::{Changes, SignalKind, compose, ended, make};
use crate::base::fakes::Desk;
use crate::base::jobs::Attempt;
use crate::base::ports::{Clock as _, Secret, Sql as _};
use crate::base::rows;
use crate::base::time::Timestamp;
use crate::ledger;
use crate::model::access::{Access, Atom};
use crate::model::ask::{Action, Subject};
use crate::model::grant::{Grant, Holding};
use crate::model::id::InvalidId;
use crate::model::operation::{Effect, Origin, Outcome, Refusal, Request};
use crate::model::resource::{Group, Member, MemberStatus, Role, Row, ScopedRole, Token};
use crate::model::scope::Scope;
use crate::model::signs::Signs;
use crate::provision::journal::{self, Arrival, State};
use crate::snapshot::{
    self, Capability, Catalogue, Change, ChangeKind, Draft, Manifest, Naming, Posture, RunId, RunOutcome, RunRecord,
};

const SUPER: u8 = 1;
const MINIMAL: u8 = 2;
const DNS: u8 = 3;
const PLATFORM: u8 = 8;
const JANE: u8 = 20;

fn hex<T: std::str::FromStr<Err = InvalidId>>(n: u8) -> T {
    format!("{n:032x}").parse().unwrap()
}

fn entitlement(n: u8) -> String {
    format!("role:{n:032x}:member")
}

fn run_id(n: usize) -> RunId {
    serde_json::from_value(json!(format!("20261123T100000Z-{n:04}"))).unwrap()
}

fn run(n: usize, outcome: RunOutcome, at: Timestamp) -> RunRecord {
    RunRecord { message: "the token is refused".to_owned(), ..RunRecord::bare(run_id(n), at, outcome) }
}

static DEFAULT: LazyLock<Configured> = LazyLock::new(Configured::default);

/// Settings with which nothing is sent.
fn by(default_role: &Configured) -> ToldBy<'_> {
    ToldBy {
        settings: None,
        account_id: "eb78d65290b24279ba6f44721b3ea3c4".parse().unwrap(),
        c1_url: "https://acme.conductor.one",
        default_role,
        last_role_is_minimal: false,
        found_so_since: crate::sync::found_so_since,
    }
}

fn desk() -> Desk {
    let desk = Desk::of(by(&DEFAULT).account_id);
    crate::sync::init(&desk).unwrap();
    crate::audit::init(&desk).unwrap();
    crate::provision::init(&desk).unwrap();
    super::init(&desk).unwrap();
    desk
}

/// A signal about a run, without a text yet.
fn waiting(kind: SignalKind, run: RunRecord) -> Waiting {
    Waiting { id: 1, kind, key: run.run.to_string(), run: Some(run), bodies: None, sent: 0 }
}

/// The kinds that wait, in order; each is taken.
fn taken(desk: &Desk) -> Vec<(SignalKind, RunId)> {
    let mut all = Vec::new();
    while let Some(waiting) = outbox::next(desk, false).unwrap() {
        outbox::settle(desk, waiting.id, "sent", desk.now()).unwrap();
        all.push((waiting.kind, waiting.run.unwrap().run));
    }
    all
}

#[test]
fn a_signal_of_a_newer_version_stops_only_itself_and_is_counted() {
    let desk = desk();
    let odd = "INSERT INTO signal (version, kind, run, queued_at) VALUES (2, 'sunrise', '{}', 0)";
    desk.query(odd, &[]).unwrap();
    outbox::queue(&desk, &SignalKind::ALL, &[run(1, RunOutcome::Published, desk.now())], desk.now()).unwrap();
    assert!(!taken(&desk).is_empty());
    assert_eq!(outbox::waiting(&desk).unwrap(), 0, "what is set aside is not waited for");
    let counted = rows::counts(&desk).unwrap();
    assert_eq!((counted.len(), counted[0].table.as_str(), counted[0].rows), (1, "signal", 1));
    // One that looks like one of this version may tell something else.
    outbox::queue(&desk, &SignalKind::ALL, &[run(2, RunOutcome::Failed, desk.now())], desk.now()).unwrap();
    desk.query("UPDATE signal SET version = 2 WHERE state = 'waiting'", &[]).unwrap();
    assert_eq!(taken(&desk), []);
    assert_eq!(rows::counts(&desk).unwrap()[0].rows, 2);
}

#[test]
fn a_cap_that_was_reached_is_queued_once_with_its_text_and_asks_for_a_job_of_its_own() {
    let desk = desk();
    let settings = Settings {
        url: Secret::new("https://acme.conductor.one/x"),
        auth: Auth::Capability,
        kinds: SignalKind::ALL.to_vec(),
    };
    let told_by = |settings| ToldBy { settings, ..by(&DEFAULT) };
    let cap = |operation| CapReached { at: desk.now(), operation, email: "jane@example.com", message: "3 revokes" };
    let queue = |settings, caps: &[CapReached<'_>]| super::queue(&desk, told_by(settings), &[], caps).unwrap();
    let others = Settings { kinds: vec![SignalKind::SyncFailed], ..settings.clone() };
    assert_eq!(queue(None, &[cap(7)]), None);
    assert_eq!(queue(Some(&others), &[cap(7)]), None, "not asked for");
    let about = queue(Some(&settings), &[cap(7)]).unwrap();
    assert_eq!(queue(Some(&settings), &[cap(7)]), Some(about.clone()), "once");
    assert_ne!(queue(Some(&settings), &[cap(8), cap(7)]), Some(about), "another one, and a job for it");
    let mut operations = Vec::new();
    while let Some(waiting) = outbox::next(&desk, false).unwrap() {
        let body: Value = serde_json::from_str(&waiting.bodies.unwrap()[0]).unwrap();
        assert_eq!((&body["event"], &body["email"]), (&json!("removal_cap_reached"), &json!("jane@example.com")));
        assert_eq!(body["event_id"], json!(event_id(waiting.kind, &waiting.key, 0)));
        operations.push(body["operation"].as_i64().unwrap());
        outbox::settle(&desk, waiting.id, "sent", desk.now()).unwrap();
    }
    assert_eq!(operations, [7, 8]);
    assert_eq!(queue(Some(&settings), &[cap(8), cap(7)]), None, "what was taken is not told again");
    // Of one that was left out while it waited nobody was told.
    assert!(queue(Some(&settings), &[cap(9)]).is_some());
    outbox::leave_out(&desk, &others.kinds, desk.now()).unwrap();
    assert_eq!(queue(Some(&others), &[cap(9)]), None);
    assert!(queue(Some(&settings), &[cap(9)]).is_some());
}

#[test]
fn findings_are_told_once_each_time_they_change_with_an_id_of_their_own_and_by_who_asked_for_them() {
    let desk = desk();
    let kinds = |kinds: &[SignalKind]| Settings {
        url: Secret::new("https://acme.conductor.one/api/v1/webhooks/incoming/abc"),
        auth: Auth::Capability,
        kinds: kinds.to_vec(),
    };
    let (with, without) = (kinds(&[SignalKind::Finding]), kinds(&[SignalKind::SyncFailed]));
    let told = |settings: &Settings, findings: Vec<Value>| {
        let by = ToldBy { settings: Some(settings), ..by(&DEFAULT) };
        let closed = findings.iter().filter(|finding| finding["state"] == "closed").count();
        let findings = ToldFindings { opened: findings.len() - closed, closed, first: findings };
        super::tell_findings(&desk, by, &run(1, RunOutcome::Published, desk.now()), findings).unwrap()
    };
    let finding = |n: usize, state: &str| json!({ "id": format!("token-unused:{n}"), "state": state, "evidence": "x".repeat(1_000) });
    assert!(!told(&without, vec![finding(1, "open")]) && !told(&with, Vec::new()));
    assert!(told(&with, vec![finding(1, "open"), finding(2, "closed")]));
    desk.advance(60);
    assert!(told(&with, (0..400).map(|n| finding(n, "open")).collect()));
    assert!(told(&with, vec![finding(2, "open")]), "another one within the second");
    let mut ids = Vec::new();
    let mut bodies: Vec<Vec<Value>> = Vec::new();
    while let Some(waiting) = outbox::next(&desk, false).unwrap() {
        outbox::settle(&desk, waiting.id, "sent", desk.now()).unwrap();
        let texts = waiting.bodies.unwrap();
        assert!(texts.iter().all(|text| text.len() <= super::compose::MAX_BODY));
        for (part, text) in texts.iter().enumerate() {
            let body: Value = serde_json::from_str(text).unwrap();
            assert_eq!(body["event_id"], event_id(SignalKind::Finding, &waiting.key, part));
            ids.push(body["event_id"].clone());
        }
        bodies.push(texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect());
    }
    assert_eq!(bodies[0][0]["summary"], json!({ "opened": 1, "closed": 1 }));
    let told: usize = bodies[1].iter().map(|body| body["findings"].as_array().unwrap().len()).sum();
    assert_eq!(bodies[1].len(), 4);
    assert_eq!(bodies[1][3]["left_out"], 400 - told, "what does not fit is counted");
    assert_eq!(ids.iter().map(Value::to_string).collect::<std::collections::BTreeSet<_>>().len(), ids.len());
}

#[test]
fn every_run_is_queued_once_and_in_order() {
    let desk = desk();
    let now = desk.now();
    let (published, failed) = (RunOutcome::Published, RunOutcome::Failed);
    let mut runs = vec![run(1, published, now)];
    outbox::queue(&desk, &SignalKind::ALL, &runs, now).unwrap();
    outbox::queue(&desk, &SignalKind::ALL, &runs, now).unwrap();
    for (n, outcome) in [(2, RunOutcome::Unchanged), (3, failed), (4, published)] {
        runs.insert(0, run(n, outcome, now));
    }
    outbox::queue(&desk, &SignalKind::ALL, &runs, now).unwrap();
    let (foreign, changed) = (SignalKind::ForeignChange, SignalKind::AccessChanged);
    let expected = [(foreign, 1), (changed, 1), (SignalKind::SyncFailed, 3), (foreign, 4), (changed, 4)];
    assert_eq!(taken(&desk), expected.map(|(kind, n)| (kind, run_id(n))));
    outbox::queue(&desk, &SignalKind::ALL, &runs, now).unwrap();
    assert_eq!(taken(&desk), []);
    // Ten more than are remembered: all that are remembered are new.
    let later: Vec<_> = (50..60).rev().map(|n| run(n, RunOutcome::Published, now)).collect();
    outbox::queue(&desk, &[SignalKind::AccessChanged], &later, now).unwrap();
    assert_eq!(taken(&desk).len(), 10);
}

#[test]
fn what_was_not_configured_is_not_made_up_for() {
    let desk = desk();
    let runs = [run(1, RunOutcome::Published, desk.now())];
    outbox::queue(&desk, &[], &runs, desk.now()).unwrap();
    outbox::queue(&desk, &SignalKind::ALL, &runs, desk.now()).unwrap();
    assert_eq!(taken(&desk), []);
}

#[test]
fn the_same_failure_again_is_told_once_a_day() {
    let desk = desk();
    let mut told = Vec::new();
    let mut n = 0;
    let mut end = |desk: &Desk, outcome| {
        n += 1;
        outbox::queue(desk, &[SignalKind::SyncFailed], &[run(n, outcome, desk.now())], desk.now()).unwrap();
        told.push(taken(desk).len());
    };
    for outcome in [RunOutcome::Failed, RunOutcome::Failed, RunOutcome::Held, RunOutcome::Unchanged, RunOutcome::Held] {
        end(&desk, outcome);
    }
    desk.advance(24 * 3600 - 1);
    end(&desk, RunOutcome::Held);
    desk.advance(1);
    end(&desk, RunOutcome::Held);
    assert_eq!(told, [1, 0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_failure_of_which_nobody_was_to_be_told_is_news_once_somebody_is() {
    let (named, others) = ([SignalKind::SyncFailed], [SignalKind::AccessChanged]);
    let sent: [&[SignalKind]; 9] = [&[], &others, &named, &named, &others, &named, &[], &named, &named];
    let desk = desk();
    let mut n = 0;
    for outcome in [RunOutcome::Failed, RunOutcome::Held] {
        let mut told = Vec::new();
        for kinds in sent {
            n += 1;
            outbox::queue(&desk, kinds, &[run(n, outcome, desk.now())], desk.now()).unwrap();
            told.push(taken(&desk).len());
        }
        assert_eq!(told, [0, 0, 1, 0, 0, 1, 0, 1, 0], "{outcome:?}");
    }
}

#[test]
fn what_waits_is_bounded_in_number_and_time() {
    for kind in [SignalKind::AccessChanged, SignalKind::ForeignChange] {
        let desk = desk();
        for n in 1..=250 {
            outbox::queue(&desk, &[kind], &[run(n, RunOutcome::Published, desk.now())], desk.now()).unwrap();
        }
        assert_eq!(outbox::give_up(&desk, desk.now()).unwrap(), 50);
        assert_eq!(outbox::next(&desk, false).unwrap().unwrap().run.unwrap().run, run_id(51), "the oldest went");
        assert_eq!(outbox::waiting(&desk).unwrap(), 200);
        desk.advance(7 * 24 * 3600 + 1);
        assert_eq!(outbox::give_up(&desk, desk.now()).unwrap(), 200);
    }
}

/// While C1 takes nothing for days, nothing that happens all the time pushes out that somebody was given access past C1.
#[test]
fn of_too_many_that_wait_what_somebody_else_did_is_given_up_last_and_that_access_changed_first() {
    let desk = desk();
    let queued = |kind, n, outcome| {
        outbox::queue(&desk, &[kind], &[run(n, outcome, desk.now())], desk.now()).unwrap();
    };
    queued(SignalKind::ForeignChange, 1, RunOutcome::Published);
    queued(SignalKind::SyncFailed, 2, RunOutcome::Failed);
    for n in 3..=252 {
        queued(SignalKind::AccessChanged, n, RunOutcome::Published);
    }
    assert_eq!(outbox::give_up(&desk, desk.now()).unwrap(), 52);
    for n in 253..=502 {
        let run = run(n, RunOutcome::Published, desk.now());
        outbox::queue_made(&desk, SignalKind::Finding, &run, &["{}".to_owned()], desk.now()).unwrap();
        assert_eq!(outbox::give_up(&desk, desk.now()).unwrap(), 1, "{n}");
    }
    let left = taken(&desk);
    let others = [(SignalKind::ForeignChange, run_id(1)), (SignalKind::SyncFailed, run_id(2))];
    assert_eq!((left.len(), &left[..2]), (200, others.as_slice()));
    assert!(left[2..].iter().all(|(kind, _)| *kind == SignalKind::Finding), "{left:?}");
}

#[test]
fn of_too_many_that_somebody_else_made_the_oldest_is_given_up_and_not_what_is_new() {
    let desk = desk();
    for n in 1..=200 {
        outbox::queue(&desk, &[SignalKind::ForeignChange], &[run(n, RunOutcome::Published, desk.now())], desk.now())
            .unwrap();
    }
    outbox::queue(&desk, &[SignalKind::SyncFailed], &[run(201, RunOutcome::Failed, desk.now())], desk.now()).unwrap();
    assert_eq!(outbox::give_up(&desk, desk.now()).unwrap(), 1);
    let left = taken(&desk);
    assert_eq!((left.len(), left[0].1.clone()), (200, run_id(2)));
    assert_eq!(left[199], (SignalKind::SyncFailed, run_id(201)));
}

#[test]
fn an_event_has_the_same_uuid_for_every_attempt_and_no_other_has_it() {
    let id = event_id(SignalKind::AccessChanged, run_id(1), 0);
    assert_eq!(id, event_id(SignalKind::AccessChanged, run_id(1), 0));
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
    assert!(id[14..].starts_with('4') && "89ab".contains(&id[19..20]), "{id}");
    for other in [
        event_id(SignalKind::ForeignChange, run_id(1), 0),
        event_id(SignalKind::AccessChanged, run_id(2), 0),
        event_id(SignalKind::AccessChanged, run_id(1), 1),
    ] {
        assert_ne!(other, id);
    }
}

/// An account of which tests change a thing or two.
#[derive(Clone)]
struct Account {
    jane: Vec<u8>,
    jane_groups: Vec<u8>,
    joe: Option<(MemberStatus, Vec<u8>)>,
    joe_is: u8,
    platform: Vec<u8>,
    naming: Vec<u8>,
    groups_can_be_read: bool,
    /// Where they cannot be read, what was known of them is kept.
    groups_are_kept: bool,
    /// Why not, as the manifest has it.
    groups_are_off_for: Option<String>,
    token_used: Option<String>,
    /// Jane's last login.
    login: Option<String>,
    /// Whether a second factor is asked for.
    enforces: Option<bool>,
}

impl Account {
    fn new() -> Self {
        Self {
            jane: vec![DNS],
            jane_groups: Vec::new(),
            joe: None,
            joe_is: 21,
            platform: vec![SUPER],
            naming: vec![SUPER, MINIMAL, DNS],
            groups_can_be_read: true,
            groups_are_kept: false,
            groups_are_off_for: None,
            token_used: None,
            login: None,
            enforces: None,
        }
    }

    fn rows(&self) -> Vec<Row> {
        let atom = |n: &u8| Atom { access: Access::Allow, permission_group: hex(n + 100), resource_group: hex(99) };
        let signs = |login: Option<&String>| Signs { last_login_day: login.cloned(), ..Signs::default() };
        let member = |n: u8, email: &str, status: MemberStatus, roles: &[u8], groups: &[u8]| {
            Row::member(Member {
                member_id: hex(n),
                user_id: (status == MemberStatus::Accepted).then(|| hex(n)),
                email: email.to_owned(),
                status,
                first_name: None,
                last_name: None,
                two_factor: None,
                atoms: roles.iter().map(atom).collect(),
                groups: groups.iter().map(|&n| hex(n)).collect(),
                signs: signs(self.login.as_ref().filter(|_| n == JANE)),
            })
        };
        let role = |n: u8, label: &str| {
            let id = if self.naming.contains(&n) { hex(n) } else { hex(n + 100) };
            Row::Role(Role {
                id,
                name: format!("Role {n}"),
                description: None,
                permission_group: Some(hex(n + 100)),
                label: Some(label.to_owned()),
                ends: None,
            })
        };
        let mut rows = vec![
            role(SUPER, "super_admin"),
            role(MINIMAL, "minimal_account_access"),
            role(DNS, "dns"),
            member(JANE, "Jane@example.com", MemberStatus::Accepted, &self.jane, &self.jane_groups),
            Row::ApiToken(Token { last_used_day: self.token_used.clone(), ..Token::bare(hex(70), "ci".to_owned()) }),
        ];
        if self.groups_can_be_read || self.groups_are_kept {
            let atoms = self.platform.iter().map(atom).collect();
            rows.push(Row::Group(Group { id: hex(PLATFORM), name: "Platform".to_owned(), atoms }));
        }
        if let Some((status, roles)) = &self.joe {
            rows.push(member(self.joe_is, "joe@example.com", *status, roles, &[]));
        }
        rows.sort_by_key(Row::key);
        rows
    }

    fn publish(&self, desk: &Desk, previous: Option<Manifest>) -> Manifest {
        self.publish_with(desk, previous, Vec::new())
    }

    /// With more rows.
    fn publish_with(&self, desk: &Desk, previous: Option<Manifest>, more: Vec<Row>) -> Manifest {
        desk.advance(900);
        let kept_from = previous.as_ref().filter(|_| self.groups_are_kept).map(|it| it.generation.clone());
        let message = self.groups_are_off_for.clone();
        let groups = Capability { on: self.groups_can_be_read, message, kept_from, unreadable: None };
        let draft = Draft {
            account_id: by(&DEFAULT).account_id,
            started_at: desk.now(),
            posture: Posture { enforces_two_factor: self.enforces, ..Posture::default() },
            capabilities: BTreeMap::from([("user_groups".to_owned(), groups)]),
            naming: Naming {
                account_resource_group: Some(hex(99)),
                roles: self.naming.iter().map(|n| (hex(n + 100), hex(*n))).collect(),
            },
            previous,
        };
        desk.advance(60);
        let mut rows = [self.rows(), more].concat();
        rows.sort_by_cached_key(Row::key);
        block_on(snapshot::publish(desk, draft, rows)).unwrap().manifest
    }
}

/// Notes an operation of ours.
fn operation(desk: &Desk, action: Action, email: &str, entitlement: &str, outcome: Option<Outcome>) {
    operation_during(desk, action, email, entitlement, outcome, |_| ());
}

/// The same, with something in between its arrival and its end.
fn operation_during(
    desk: &Desk,
    action: Action,
    email: &str,
    entitlement: &str,
    outcome: Option<Outcome>,
    meanwhile: impl FnOnce(&Desk),
) {
    let what: Holding = entitlement.parse().unwrap();
    let request = Request {
        key: None,
        action,
        target: what.into(),
        subject: Subject { emails: vec![email.to_owned()], ..Subject::default() },
        origin: Origin::default(),
    };
    let Arrival::New(id) = journal::arrive(desk, &request, desk.now(), desk.now()).unwrap() else { panic!() };
    journal::note(desk, id, State::Writing, "writing", desk.now()).unwrap();
    journal::resolved(desk, id, "m", email, what).unwrap();
    meanwhile(desk);
    if let Some(outcome) = outcome {
        journal::settle(desk, id, &outcome, desk.now()).unwrap();
    }
}

fn done(effect: Effect) -> Outcome {
    Outcome::Done { effect, message: "Done.".to_owned(), account: None }
}

/// What is signalled after the account became another, with `meanwhile` between the two syncs: to whom, and what.
fn signalled(
    desk: &Desk,
    before: &Account,
    after: &Account,
    meanwhile: impl FnOnce(&Desk),
) -> Vec<(String, String, bool)> {
    let text = foreign_text(desk, by(&DEFAULT), before, after, meanwhile);
    let Some(body) = text else { return Vec::new() };
    let grants = body["grants"].as_array().unwrap();
    grants
        .iter()
        .map(|grant| {
            let text = |field: &str| grant[field].as_str().unwrap().to_owned();
            (text("to"), text("name"), grant["super_administrator"] == true)
        })
        .collect()
}

fn foreign_text(
    desk: &Desk,
    by: ToldBy<'_>,
    before: &Account,
    after: &Account,
    meanwhile: impl FnOnce(&Desk),
) -> Option<Value> {
    let old = before.publish(desk, None);
    meanwhile(desk);
    let new = after.publish(desk, Some(old));
    let mut record = run(2, RunOutcome::Published, desk.now());
    record.generation = Some(new.generation);
    let waiting = waiting(SignalKind::ForeignChange, record);
    let bodies = block_on(make(desk, by, &waiting)).unwrap().unwrap().bodies;
    assert!(bodies.len() <= 1);
    bodies.first().map(|body| serde_json::from_str(body).unwrap())
}

fn jane(name: &str, super_administrator: bool) -> (String, String, bool) {
    ("Jane@example.com".to_owned(), name.to_owned(), super_administrator)
}

#[test]
fn a_grant_that_nobody_asked_us_for_is_somebody_elses() {
    let before = Account::new();
    let after = Account { jane: vec![SUPER, DNS], ..before.clone() };
    assert_eq!(signalled(&desk(), &before, &after, |_| ()), [jane("Role 1", true)]);
    let fewer = Account { jane: Vec::new(), ..before.clone() };
    assert_eq!(signalled(&desk(), &before, &fewer, |_| ()), [], "a role that is gone was not given");
    let joins = Account { jane_groups: vec![PLATFORM], ..before.clone() };
    assert_eq!(signalled(&desk(), &before, &joins, |_| ()), [jane("Platform", true)], "through the group");
    let group = Account { platform: vec![SUPER, DNS], ..before.clone() };
    let platform = ("Platform".to_owned(), "Role 3".to_owned(), false);
    assert_eq!(signalled(&desk(), &before, &group, |_| ()), [platform]);
}

#[test]
fn an_operation_of_ours_explains_what_it_gave_and_nothing_else() {
    let before = Account::new();
    let after = Account { jane: vec![SUPER, DNS, MINIMAL], ..before.clone() };
    let (grant, email) = (Action::Grant, "jane@example.com");
    let super_alone = [jane("Role 1", true)];
    let both = [jane("Role 1", true), jane("Role 2", false)];
    let check = |expected: &[_], meanwhile: &dyn Fn(&Desk)| {
        assert_eq!(signalled(&desk(), &before, &after, meanwhile), expected);
    };
    let minimal = entitlement(MINIMAL);
    check(&super_alone, &|desk| operation(desk, grant, email, &minimal, Some(done(Effect::Granted))));
    check(&super_alone, &|desk| {
        operation(desk, grant, email, &entitlement(MINIMAL + 100), Some(done(Effect::Granted)));
    });
    check(&super_alone, &|desk| operation(desk, grant, email, &minimal, None));
    let gave_up = || Some(Outcome::refused(Refusal::GaveUp, "No."));
    check(&super_alone, &|desk| operation(desk, grant, email, &minimal, gave_up()));
    check(&both, &|desk| operation(desk, grant, "joe@example.com", &minimal, Some(done(Effect::Granted))));
    check(&both, &|desk| operation(desk, grant, email, &entitlement(DNS), Some(done(Effect::Granted))));
    check(&both, &|desk| operation(desk, Action::Revoke, email, &minimal, Some(done(Effect::Revoked))));
    let refused = || Some(Outcome::refused(Refusal::ProvisioningOff, "No."));
    check(&both, &|desk| operation(desk, grant, email, &minimal, refused()));
    // An account that we gave brings its first role, and no other.
    check(&super_alone, &|desk| operation(desk, grant, email, "account", Some(done(Effect::Invited))));
}

/// Whoever has it already has it from somebody else.
#[test]
fn an_operation_that_found_there_what_it_was_to_give_explains_it_only_where_it_wrote() {
    let before = Account::new();
    let with_role = Account { jane: vec![SUPER, DNS], ..before.clone() };
    let in_group = Account { jane_groups: vec![PLATFORM], ..before.clone() };
    for (what, after) in [(entitlement(SUPER), with_role), (format!("group:{PLATFORM:032x}:member"), in_group)] {
        for (effect, wrote, expected) in [
            (Effect::AlreadyGranted, 0, 1),
            // The controls: what gave it, and what may have.
            (Effect::Granted, 0, 0),
            (Effect::Granted, 1, 0),
            (Effect::AlreadyGranted, 1, 0),
        ] {
            let told = signalled(&desk(), &before, &after, |desk| {
                operation(desk, Action::Grant, "jane@example.com", &what, Some(done(effect)));
                desk.query("UPDATE operation SET wrote = ?", &[wrote.into()]).unwrap();
            });
            assert_eq!(told.len(), expected, "{what} {effect:?} {wrote}: {told:?}");
        }
    }
}

#[test]
fn the_first_role_of_an_account_that_we_invited_is_ours_by_whatever_id_it_is_configured() {
    let before = Account::new();
    let after = Account { jane: vec![SUPER, DNS, MINIMAL], ..before.clone() };
    let (by_role, by_group) = (entitlement(SUPER), entitlement(SUPER + 100));
    let (by_role, by_group) = (Configured::read(&by_role), Configured::read(&by_group));
    for (default, foreign) in [(&*DEFAULT, "Role 1"), (&by_role, "Role 2"), (&by_group, "Role 2")] {
        let invited = |desk: &Desk| {
            operation(desk, Action::Grant, "jane@example.com", "account", Some(done(Effect::Invited)));
        };
        let told = foreign_text(&desk(), by(default), &before, &after, invited).unwrap();
        let told: Vec<&str> =
            told["grants"].as_array().unwrap().iter().map(|grant| grant["name"].as_str().unwrap()).collect();
        assert_eq!(told, [foreign], "{default:?}");
    }
}

/// Somebody else may give a member just the role that an invitation would bring.
#[test]
fn the_first_role_is_ours_where_we_invited_and_not_where_the_person_was_there_before() {
    let before = Account::new();
    let group = format!("group:{PLATFORM:032x}:member");
    let operations =
        [("account", Effect::Invited, Effect::AlreadyGranted), (group.as_str(), Effect::Granted, Effect::Granted)];
    for (what, invited, was_there) in operations {
        let jane_groups = if what == "account" { Vec::new() } else { vec![PLATFORM] };
        let member = Account { jane: vec![DNS, MINIMAL], jane_groups, ..before.clone() };
        let told = signalled(&desk(), &before, &member, |desk| {
            operation(desk, Action::Grant, "jane@example.com", what, Some(done(was_there)));
        });
        assert_eq!(told, [jane("Role 2", false)], "{what}");
        for status in [MemberStatus::Pending, MemberStatus::Accepted] {
            let new = Account { joe: Some((status, vec![MINIMAL])), ..before.clone() };
            let told = signalled(&desk(), &before, &new, |desk| {
                operation(desk, Action::Grant, "Joe@example.com", what, Some(done(invited)));
            });
            assert_eq!(told, [], "{what} {status:?}");
        }
    }
    // Nor does a renewal bring a first role, and somebody who was there already was invited by somebody else.
    for (email, effect) in [("jane@example.com", Effect::Renewed), ("joe@example.com", Effect::AlreadyGranted)] {
        let joe = email.starts_with("joe").then(|| (MemberStatus::Pending, vec![MINIMAL]));
        let jane = if joe.is_some() { vec![DNS] } else { vec![DNS, MINIMAL] };
        let after = Account { jane, joe, ..before.clone() };
        let told = signalled(&desk(), &before, &after, |desk| {
            operation(desk, Action::Grant, email, "account", Some(done(effect)));
        });
        assert_eq!(told.len(), 1, "{email} {effect:?}");
    }
}

#[test]
fn an_operation_counts_from_the_older_crawl_on_and_up_to_the_newer_publication() {
    let before = Account::new();
    let after = Account { jane: vec![DNS, MINIMAL], ..before.clone() };
    let granted = |desk: &Desk| {
        operation(desk, Action::Grant, "jane@example.com", &entitlement(MINIMAL), Some(done(Effect::Granted)));
    };
    let told = |early: i64| {
        let desk = desk();
        granted(&desk);
        // The older crawl begins 900 s after this, and 600 s before it an operation may still have been missed by it.
        desk.advance(early - 900);
        signalled(&desk, &before, &after, |_| ()).len()
    };
    assert_eq!((told(599), told(601)), (0, 1));

    let desk = desk();
    let old = before.publish(&desk, None);
    let new = after.publish(&desk, Some(old));
    desk.advance(1);
    granted(&desk);
    let mut record = run(2, RunOutcome::Published, desk.now());
    record.generation = Some(new.generation);
    let waiting = waiting(SignalKind::ForeignChange, record);
    let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
    assert_eq!(bodies.len(), 1, "asked for after it was seen");
}

#[test]
fn what_we_gave_and_took_back_explains_nothing_that_comes_after() {
    let before = Account::new();
    let after = Account { jane: vec![SUPER, DNS], ..before.clone() };
    let email = "jane@example.com";
    let (role, other) = (entitlement(SUPER), entitlement(DNS));
    let grant = |desk: &Desk| operation(desk, Action::Grant, email, &role, Some(done(Effect::Granted)));
    let end = |desk: &Desk, what: &str, effect| operation(desk, Action::Revoke, email, what, Some(done(effect)));
    let told = |meanwhile: &dyn Fn(&Desk)| {
        let steps = |desk: &Desk| {
            desk.advance(60);
            meanwhile(desk);
        };
        signalled(&desk(), &before, &after, steps).len()
    };
    let later = |desk: &Desk| desk.advance(180);
    for (what, effect) in [
        (role.as_str(), Effect::Revoked),
        (&entitlement(SUPER + 100), Effect::Revoked),
        (&role, Effect::AlreadyRevoked),
        (&role, Effect::Removed),
        ("account", Effect::Removed),
        (&other, Effect::Removed),
    ] {
        let taken_back = |desk: &Desk| {
            grant(desk);
            later(desk);
            end(desk, what, effect);
        };
        assert_eq!(told(&taken_back), 1, "{what} {effect:?}");
        let given_again = |desk: &Desk| {
            taken_back(desk);
            later(desk);
            grant(desk);
        };
        assert_eq!(told(&given_again), 0, "{what} {effect:?}: and given again by us");
    }
    // The controls: what takes nothing of it, and what may have come before it.
    let of_another = |desk: &Desk| {
        grant(desk);
        later(desk);
        end(desk, &other, Effect::Revoked);
        operation(desk, Action::Revoke, "joe@example.com", &role, Some(done(Effect::Revoked)));
        operation(desk, Action::Revoke, email, &role, Some(Outcome::refused(Refusal::ProvisioningOff, "No.")));
        operation(desk, Action::Revoke, email, &role, None);
    };
    assert_eq!(told(&of_another), 0);
    let told_late = |desk: &Desk| {
        operation_during(desk, Action::Revoke, email, &role, Some(done(Effect::Revoked)), |desk| {
            later(desk);
            grant(desk);
            later(desk);
        });
    };
    assert_eq!(told(&told_late), 0, "a revoke is told once it is proven");
    let while_it_is_read = |desk: &Desk| {
        grant(desk);
        // The newer crawl begins 900 s after this.
        operation_during(desk, Action::Revoke, email, &role, Some(done(Effect::Revoked)), |desk| {
            desk.advance(901);
        });
        desk.advance(-901);
    };
    assert_eq!(told(&while_it_is_read), 0, "it may have been read before that");
}

#[test]
fn what_came_to_nothing_explains_what_it_wrote_alone_and_a_revoke_that_was_never_proven_took_what_it_took() {
    let before = Account::new();
    let after = Account { jane: vec![SUPER, DNS], ..before.clone() };
    let (email, role) = ("jane@example.com", entitlement(SUPER));
    let gave_up = || Some(Outcome::refused(Refusal::GaveUp, "No."));
    let told = |meanwhile: &dyn Fn(&Desk)| {
        let steps = |desk: &Desk| {
            desk.advance(60);
            meanwhile(desk);
        };
        signalled(&desk(), &before, &after, steps).len()
    };
    let not_now = Some(Outcome::NotNow { message: "Not read back.".to_owned(), retry_at: None });
    for outcome in [gave_up(), not_now, None] {
        for (wrote, expected) in [(1, 0), (0, 1)] {
            let given = |desk: &Desk| {
                operation(desk, Action::Grant, email, &role, outcome.clone());
                desk.query("UPDATE operation SET wrote = ?", &[wrote.into()]).unwrap();
            };
            assert_eq!(told(&given), expected, "{outcome:?} {wrote}");
        }
    }
    let superseded = |desk: &Desk| {
        operation(desk, Action::Grant, email, &role, Some(Outcome::refused(Refusal::Superseded, "No.")));
    };
    assert_eq!(told(&superseded), 1, "the control: of what was refused it is known what became of it");
    let through = || Some(Outcome::refused(Refusal::HeldThroughGroup, "No."));
    for (what, outcome, carried_out, expected) in [
        (&role, gave_up(), 1, 1),
        (&role, through(), 1, 1),
        (&"account".to_owned(), gave_up(), 1, 1),
        // The controls: what was not carried out, or took something else.
        (&role, gave_up(), 0, 0),
        (&role, through(), 0, 0),
        (&entitlement(DNS), gave_up(), 1, 0),
    ] {
        let taken_back = |desk: &Desk| {
            operation(desk, Action::Grant, email, &role, Some(done(Effect::Granted)));
            desk.advance(180);
            operation(desk, Action::Revoke, email, what, outcome.clone());
            desk.query("UPDATE operation SET carried_out = ? WHERE id = 2", &[carried_out.into()]).unwrap();
        };
        assert_eq!(told(&taken_back), expected, "{what} {outcome:?} {carried_out}");
    }
}

#[test]
fn what_only_looks_new_is_not_told() {
    let accepted = |status| Account { joe: Some((status, vec![DNS])), ..Account::new() };
    let (pending, member) = (accepted(MemberStatus::Pending), accepted(MemberStatus::Accepted));
    assert_eq!(signalled(&desk(), &pending, &member, |_| ()), [], "the invitation was accepted");
    let more = Account { joe: Some((MemberStatus::Accepted, vec![DNS, SUPER])), ..member.clone() };
    assert_eq!(signalled(&desk(), &pending, &more, |_| ()).len(), 1, "and somebody added to it");
    for joe_is in [5, 60] {
        let invited_again = Account { joe_is, ..pending.clone() };
        assert_eq!(signalled(&desk(), &pending, &invited_again, |_| ()), [], "the invitation was sent again");
    }

    let other_ids = Account { naming: vec![SUPER, MINIMAL], ..Account::new() };
    assert_eq!(signalled(&desk(), &other_ids, &Account::new(), |_| ()), [], "the role has its older id back");
    let unread = Account { groups_can_be_read: false, jane_groups: Vec::new(), ..Account::new() };
    let read = Account { jane_groups: vec![PLATFORM], ..Account::new() };
    assert_eq!(signalled(&desk(), &unread, &read, |_| ()), [], "groups can be read again");
    let kept = Account { jane: vec![DNS, SUPER], ..read };
    assert_eq!(signalled(&desk(), &unread, &kept, |_| ()), [jane("Role 1", true)]);
}

/// Access that this connector took from an invitation comes back by somebody's hand, and not because the invitation was accepted.
#[test]
fn what_an_operation_took_from_an_invitation_and_somebody_gave_back_is_told() {
    let account = |joe_is, status| Account { joe: Some((status, vec![SUPER])), joe_is, ..Account::new() };
    let pending = account(21, MemberStatus::Pending);
    for again in [account(21, MemberStatus::Accepted), account(60, MemberStatus::Pending)] {
        let taken = |what: &str, effect| {
            signalled(&desk(), &pending, &again, |desk| {
                operation(desk, Action::Revoke, "Joe@example.com", what, Some(done(effect)));
            })
            .len()
        };
        assert_eq!((taken("account", Effect::Removed), taken(&entitlement(SUPER), Effect::Revoked)), (1, 1));
        // The controls: another role, and a revoke that found nothing to take.
        assert_eq!(
            (taken(&entitlement(DNS), Effect::Revoked), taken(&entitlement(SUPER), Effect::AlreadyRevoked)),
            (0, 0)
        );
    }
}

/// Between the removal of an invitation and the new one there may be a generation without either.
#[test]
fn what_a_renewal_brings_back_a_generation_later_is_not_somebody_elses() {
    for is_ours in [true, false] {
        let desk = desk();
        let account = |joe_is| Account { joe: Some((MemberStatus::Pending, vec![SUPER])), joe_is, ..Account::new() };
        let noted = |desk: &Desk, manifest: &Manifest| {
            ledger::record::write(desk, &block_on(ledger::record::read(desk, manifest)).unwrap()).unwrap();
        };
        let first = account(21).publish(&desk, None);
        noted(&desk, &first);
        let gone = |desk: &Desk| {
            let second = Account::new().publish(desk, Some(first.clone()));
            noted(desk, &second);
            second
        };
        let mut second = None;
        if is_ours {
            let outcome = Some(done(Effect::Renewed));
            operation_during(&desk, Action::Grant, "joe@example.com", "account", outcome, |desk| {
                second = Some(gone(desk));
            });
        } else {
            second = Some(gone(&desk));
        }
        let third = account(60).publish(&desk, second);
        let record =
            RunRecord { generation: Some(third.generation.clone()), ..run(2, RunOutcome::Published, desk.now()) };
        let bodies =
            block_on(make(&desk, by(&DEFAULT), &waiting(SignalKind::ForeignChange, record))).unwrap().unwrap().bodies;
        assert_eq!(bodies.len(), usize::from(!is_ours), "{bodies:?}");
    }
}

/// What an operation of ours took after a renewal began did not get lost with the old invitation.
#[test]
fn what_is_held_again_after_a_renewal_is_somebody_elses_where_an_operation_took_it_since() {
    let role = entitlement(SUPER);
    for (what, effect, expected) in [
        (role.as_str(), Effect::Revoked, 1),
        ("account", Effect::Removed, 1),
        // The controls: another role, and a revoke that found nothing to take.
        (&entitlement(DNS), Effect::Revoked, 0),
        (&role, Effect::AlreadyRevoked, 0),
    ] {
        let desk = desk();
        let account = |joe_is| Account { joe: Some((MemberStatus::Pending, vec![SUPER])), joe_is, ..Account::new() };
        let noted = |manifest: &Manifest| {
            ledger::record::write(&desk, &block_on(ledger::record::read(&desk, manifest)).unwrap()).unwrap();
        };
        let first = account(21).publish(&desk, None);
        noted(&first);
        let mut second = None;
        let renewed = Some(done(Effect::Renewed));
        operation_during(&desk, Action::Grant, "joe@example.com", "account", renewed, |desk| {
            // The next crawl begins 900 s after this.
            desk.advance(600);
            operation(desk, Action::Revoke, "Joe@example.com", what, Some(done(effect)));
            desk.advance(-600);
            second = Some(Account::new().publish(desk, Some(first.clone())));
        });
        noted(second.as_ref().unwrap());
        let third = account(60).publish(&desk, second);
        let record = RunRecord { generation: Some(third.generation), ..run(2, RunOutcome::Published, desk.now()) };
        let waiting = waiting(SignalKind::ForeignChange, record);
        let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
        assert_eq!(bodies.len(), expected, "{what} {effect:?}: {bodies:?}");
    }
}

/// The generation after that is compared with the one before the lost one, and finds once more what that one has told.
#[test]
fn what_we_gave_is_ours_still_after_the_generation_that_told_it_is_lost() {
    for (roles, foreign) in [(vec![DNS, MINIMAL], 0), (vec![DNS, MINIMAL, SUPER], 1)] {
        let desk = desk();
        let noted = |manifest: &Manifest| {
            ledger::record::write(&desk, &block_on(ledger::record::read(&desk, manifest)).unwrap()).unwrap();
        };
        let old = Account::new().publish(&desk, None);
        noted(&old);
        let granted = Some(done(Effect::Granted));
        operation(&desk, Action::Grant, "jane@example.com", &entitlement(MINIMAL), granted);
        let lost = Account { jane: vec![DNS, MINIMAL], ..Account::new() }.publish(&desk, Some(old.clone()));
        noted(&lost);
        desk.values.borrow_mut().remove(&desk.key(&format!("manifest/{}", lost.generation))).unwrap();
        let new = Account { jane: roles, ..Account::new() }.publish(&desk, Some(old));
        noted(&new);
        let record = RunRecord { generation: Some(new.generation), ..run(2, RunOutcome::Published, desk.now()) };
        let waiting = waiting(SignalKind::ForeignChange, record);
        let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
        assert_eq!(bodies.len(), foreign, "{bodies:?}");
        for body in &bodies {
            let body: Value = serde_json::from_str(body).unwrap();
            let named: Vec<&Value> = body["grants"].as_array().unwrap().iter().map(|grant| &grant["name"]).collect();
            assert_eq!(named, ["Role 1"], "{body}");
        }
    }
}

/// The generation after the lost ones is compared with the one before them. Where they were lost before their signals were made, nobody was told of
/// a Super Administrator.
#[test]
fn what_somebody_else_gave_is_told_once_though_the_generation_that_told_it_is_lost() {
    type Case = (Option<u8>, &'static [&'static [u8]], &'static [u8], &'static [&'static str]);
    let cases: [Case; 9] = [
        (None, &[&[DNS, MINIMAL]], &[DNS, MINIMAL], &[]),
        // The controls: something else beside it, and what was taken away in between and given once more, whoever gave it first.
        (None, &[&[DNS, MINIMAL]], &[DNS, MINIMAL, SUPER], &["Role 1"]),
        (None, &[&[DNS, MINIMAL], &[DNS]], &[DNS, MINIMAL], &["Role 2"]),
        (Some(MINIMAL), &[&[DNS, MINIMAL], &[DNS]], &[DNS, MINIMAL], &["Role 2"]),
        // What makes Super Administrators is told, unless it is ours.
        (None, &[&[DNS, SUPER, MINIMAL]], &[DNS, SUPER, MINIMAL], &["Role 1"]),
        (Some(SUPER), &[&[DNS, SUPER]], &[DNS, SUPER], &[]),
        (Some(MINIMAL), &[&[DNS, SUPER]], &[DNS, SUPER], &["Role 1"]),
        (Some(SUPER), &[&[DNS, SUPER], &[DNS]], &[DNS, SUPER], &["Role 1"]),
        (Some(SUPER), &[&[DNS, SUPER], &[DNS], &[DNS, SUPER]], &[DNS, SUPER], &["Role 1"]),
    ];
    for (ours, lost, roles, expected) in cases {
        let desk = desk();
        let noted = |manifest: &Manifest| {
            ledger::record::write(&desk, &block_on(ledger::record::read(&desk, manifest)).unwrap()).unwrap();
        };
        let old = Account::new().publish(&desk, None);
        noted(&old);
        if let Some(ours) = ours {
            let granted = Some(done(Effect::Granted));
            operation(&desk, Action::Grant, "jane@example.com", &entitlement(ours), granted);
        }
        let mut last = old.clone();
        for roles in lost {
            last = Account { jane: roles.to_vec(), ..Account::new() }.publish(&desk, Some(last));
            noted(&last);
        }
        let kept = desk.key(&format!("manifest/{}", old.generation));
        desk.values.borrow_mut().retain(|key, _| !key.contains("manifest/") || *key == kept);
        let record = RunRecord { generation: Some(last.generation), ..run(1, RunOutcome::Published, desk.now()) };
        desk.advance(601);
        let made = block_on(make(&desk, by(&DEFAULT), &waiting(SignalKind::ForeignChange, record))).unwrap().unwrap();
        assert!(made.bodies[0].contains("cannot be told one by one"), "{made:?}");
        let new = Account { jane: roles.to_vec(), ..Account::new() }.publish(&desk, Some(old));
        noted(&new);
        let record = RunRecord { generation: Some(new.generation), ..run(2, RunOutcome::Published, desk.now()) };
        let waiting = waiting(SignalKind::ForeignChange, record);
        let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
        let bodies: Vec<Value> = bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        let grants = bodies.iter().flat_map(|body| body["grants"].as_array().unwrap());
        let named: Vec<&str> = grants.map(|grant| grant["name"].as_str().unwrap()).collect();
        assert_eq!(named, expected, "{ours:?} {lost:?} {roles:?}");
    }
}

/// Who has the grant has it under the address that the login has by now.
#[test]
fn what_we_gave_is_ours_though_the_login_has_another_address_when_it_is_seen() {
    let member = |email: &str, roles: &[u8]| {
        let atom = |n: &u8| Atom { access: Access::Allow, permission_group: hex(n + 100), resource_group: hex(99) };
        Row::member(Member {
            user_id: Some(hex(61)),
            atoms: roles.iter().map(atom).collect(),
            ..Member::bare(hex(61), email.to_owned(), MemberStatus::Accepted)
        })
    };
    for (given_to, foreign) in [("ann@example.com", 0), ("ann.married@example.com", 0), ("joe@example.com", 1)] {
        let desk = desk();
        let old = Account::new().publish_with(&desk, None, vec![member("Ann@example.com", &[])]);
        operation(&desk, Action::Grant, given_to, &entitlement(SUPER), Some(done(Effect::Granted)));
        let new = Account::new().publish_with(&desk, Some(old), vec![member("Ann.Married@example.com", &[SUPER])]);
        let record = RunRecord { generation: Some(new.generation), ..run(2, RunOutcome::Published, desk.now()) };
        let waiting = waiting(SignalKind::ForeignChange, record);
        let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
        assert_eq!(bodies.len(), foreign, "{given_to}: {bodies:?}");
    }
}

/// It is told with the refusal, and not taken back.
#[test]
fn an_invitation_that_was_sent_for_a_grant_that_was_refused_then_is_ours_and_any_other_is_not() {
    let before = Account::new();
    let after = Account { joe: Some((MemberStatus::Pending, vec![MINIMAL])), ..before.clone() };
    let group = format!("group:{PLATFORM:032x}:member");
    let (role, other) = (entitlement(MINIMAL), entitlement(SUPER));
    // What was asked for, who was invited and how long after it arrived, and whether that is somebody else's doing.
    for (what, invited, secs, foreign) in [
        (group.as_str(), "m", 0, 0),
        ("account", "m", 60, 0),
        (&role, "m", 0, 0),
        (&other, "m", 0, 1),
        (&group, "m", -1, 1),
        (&group, "another", 0, 1),
    ] {
        let refused = Some(Outcome::refused(Refusal::ManagedElsewhere, "No."));
        let told = signalled(&desk(), &before, &after, |desk| {
            operation(desk, Action::Grant, "Joe@example.com", what, refused);
            let at = desk.now().plus_secs(secs);
            desk.query("INSERT INTO invited (member, at) VALUES (?, ?)", &[invited.into(), at.into()]).unwrap();
        });
        assert_eq!(told.len(), foreign, "{what} {invited} {secs}: {told:?}");
    }
}

#[test]
fn who_joined_a_group_while_what_was_known_of_groups_was_kept_is_told() {
    let desk = desk();
    let known = Account::new();
    let kept = Account { groups_can_be_read: false, groups_are_kept: true, ..known.clone() };
    let first = known.publish(&desk, None);
    let old = kept.publish(&desk, Some(first));
    let joined = Account { jane_groups: vec![PLATFORM], ..known };
    let new = joined.publish(&desk, Some(old.clone()));
    let record = RunRecord { generation: Some(new.generation.clone()), ..run(2, RunOutcome::Published, desk.now()) };
    let waiting = waiting(SignalKind::ForeignChange, record);
    let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
    let [body] = bodies.as_slice() else { panic!("{bodies:?}") };
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["summary"]["super_administrators"], 1, "{body}");
    // And in the ledger it is a gain like any other.
    ledger::record::write(&desk, &block_on(ledger::record::read(&desk, &old)).unwrap()).unwrap();
    ledger::record::write(&desk, &block_on(ledger::record::read(&desk, &new)).unwrap()).unwrap();
    let gained = ledger::record::unexplained(&desk, desk.now(), 0, 10).unwrap();
    assert!(matches!(gained.as_slice(), [one] if one.entitlement.starts_with("group:")), "{gained:?}");
}

/// What was saved before a sweep found the account as it was changed nothing that is told later.
#[test]
fn the_author_is_who_changed_something_since_the_account_was_last_found_as_it_was() {
    let told = |sweep: Option<(RunOutcome, i64)>| {
        let desk = desk();
        let of_jane = |who: &str, after: i64| {
            desk.advance(after);
            let entry = "INSERT INTO audit_entry (id, at, about, member, description, who, through) VALUES (?, ?, '', ?, 'x', ?, 'the dashboard')";
            desk.query(entry, &[who.into(), desk.now().into(), format!("{JANE:032x}").into(), who.into()]).unwrap();
        };
        let after = Account { jane: vec![DNS, SUPER], ..Account::new() };
        let text = foreign_text(&desk, by(&DEFAULT), &Account::new(), &after, |desk| {
            of_jane("joe@example.com", 3_600);
            if let Some((outcome, after)) = sweep {
                desk.advance(after);
                let generation = block_on(snapshot::latest(desk)).unwrap().unwrap().manifest().generation.clone();
                let run = RunRecord { generation: Some(generation), ..run(1, outcome, desk.now()) };
                let runs = serde_json::to_string(&[run]).unwrap();
                desk.query("INSERT INTO sync_state (name, value) VALUES ('runs', ?)", &[runs.into()]).unwrap();
            }
            of_jane("ann@example.com", 5 * 3_600);
        });
        text.unwrap()["grants"][0]["by"]["who"].as_str().unwrap().to_owned()
    };
    assert_eq!(told(Some((RunOutcome::Unchanged, 900))), "ann@example.com");
    // The controls: no sweep was between, it failed, or it began so soon that what it read may be from before.
    let both = "ann@example.com or joe@example.com";
    for sweep in [None, Some((RunOutcome::Failed, 900)), Some((RunOutcome::Unchanged, 1))] {
        assert_eq!(told(sweep), both, "{sweep:?}");
    }
}

/// An entry about what an earlier generation has of her is none about what is new.
#[test]
fn the_author_is_nobody_whose_change_an_earlier_generation_told() {
    for is_logged in [true, false] {
        let desk = desk();
        let noted = |manifest: &Manifest| {
            ledger::record::write(&desk, &block_on(ledger::record::read(&desk, manifest)).unwrap()).unwrap();
        };
        // Five minutes before the next crawl begins.
        let of_jane = |who: &str| {
            let at = desk.now().plus_secs(600);
            let entry = "INSERT INTO audit_entry (id, at, about, member, description, who, through) VALUES (?, ?, '', ?, 'x', ?, 'the dashboard')";
            desk.query(entry, &[who.into(), at.into(), format!("{JANE:032x}").into(), who.into()]).unwrap();
        };
        let first = Account::new().publish(&desk, None);
        noted(&first);
        of_jane("joe@example.com");
        let second = Account { jane: vec![DNS, MINIMAL], ..Account::new() }.publish(&desk, Some(first));
        noted(&second);
        if is_logged {
            of_jane("ann@example.com");
        }
        let third = Account { jane: vec![DNS, MINIMAL, SUPER], ..Account::new() }.publish(&desk, Some(second));
        noted(&third);
        let record = RunRecord { generation: Some(third.generation), ..run(3, RunOutcome::Published, desk.now()) };
        let waiting = waiting(SignalKind::ForeignChange, record);
        let [body] = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies.try_into().unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        let who = if is_logged { "ann@example.com" } else { "unknown" };
        assert_eq!(body["grants"][0]["by"]["who"], who, "{body}");
    }
}

/// A small publication waits for room, and has her as she was read before that.
#[test]
fn the_author_is_who_changed_something_after_the_read_that_an_earlier_generation_has_however_late_it_came() {
    // Whose read it took in, how long before it, and who is named.
    for (member, secs, who) in [(JANE, 480, "mallory@example.com"), (JANE, 10, "unknown"), (21, 480, "unknown")] {
        let desk = desk();
        let noted = |manifest: &Manifest| {
            ledger::record::write(&desk, &block_on(ledger::record::read(&desk, manifest)).unwrap()).unwrap();
        };
        let first = Account::new().publish(&desk, None);
        noted(&first);
        let second = Account { jane: vec![DNS, MINIMAL], ..Account::new() }.publish(&desk, Some(first));
        noted(&second);
        let before = |secs: i64| second.started_at.plus_secs(-secs);
        let read = "INSERT INTO overlay (member, at, kept, generation) VALUES (?, ?, '{\"member\":null}', ?)";
        let read_at = before(secs).into();
        desk.query(read, &[format!("{member:032x}").into(), read_at, (&second.generation).into()]).unwrap();
        let entry = "INSERT INTO audit_entry (id, at, about, member, description, who, through) VALUES ('m', ?, '', ?, 'x', ?, 'the dashboard')";
        desk.query(entry, &[before(80).into(), format!("{JANE:032x}").into(), "mallory@example.com".into()]).unwrap();
        let third = Account { jane: vec![DNS, MINIMAL, SUPER], ..Account::new() }.publish(&desk, Some(second.clone()));
        noted(&third);
        let record = RunRecord { generation: Some(third.generation), ..run(3, RunOutcome::Published, desk.now()) };
        let waiting = waiting(SignalKind::ForeignChange, record);
        let [body] = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies.try_into().unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["grants"][0]["by"]["who"], who, "{member} {secs}: {body}");
    }
}

#[test]
fn the_first_generation_differs_from_nothing_and_signs_of_life_are_no_change() {
    let desk = desk();
    let first = Account::new().publish(&desk, None);
    let text = |manifest: &Manifest, kind| {
        let mut record = run(2, RunOutcome::Published, desk.now());
        record.generation = Some(manifest.generation.clone());
        let waiting = waiting(kind, record);
        block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies
    };
    assert!(text(&first, SignalKind::AccessChanged).is_empty());
    let used = Account { token_used: Some("2026-11-23".to_owned()), ..Account::new() };
    let second = used.publish(&desk, Some(first));
    assert!(text(&second, SignalKind::AccessChanged).is_empty());
    let logged_in = Account { login: Some("2026-11-23".to_owned()), ..used };
    let second = logged_in.publish(&desk, Some(second));
    assert!(text(&second, SignalKind::AccessChanged).is_empty());
    let later = Account { login: Some("2026-11-24".to_owned()), ..logged_in };
    let third = Account { jane: vec![SUPER], ..later }.publish(&desk, Some(second));
    let [body] = text(&third, SignalKind::AccessChanged).try_into().unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["summary"],
        json!({"added": 0, "removed": 0, "changed": 1, "grants_added": 1, "grants_removed": 1, "more": false})
    );
    assert_eq!(body["changes"][0]["granted"], json!([{"entitlement": entitlement(SUPER), "name": "Role 1"}]));
    assert_eq!(body["changes"][0]["taken_away"], json!([{"entitlement": entitlement(DNS), "name": "Role 3"}]));
    assert_eq!((&body["left_out"], &body["changes"][0]["name"]), (&json!(0), &json!("Jane@example.com")));
}

/// How the account itself is set is in no row.
#[test]
fn that_the_account_is_set_otherwise_is_told_though_nothing_else_changed() {
    let desk = desk();
    let text = |manifest: &Manifest, kind| -> Vec<Value> {
        let record =
            RunRecord { generation: Some(manifest.generation.clone()), ..run(2, RunOutcome::Published, desk.now()) };
        let bodies = block_on(make(&desk, by(&DEFAULT), &waiting(kind, record))).unwrap().unwrap().bodies;
        bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    };
    let enforcing = Account { enforces: Some(true), ..Account::new() };
    let first = enforcing.publish(&desk, None);
    let used = Account { token_used: Some("2026-11-23".to_owned()), ..enforcing };
    let second = used.publish(&desk, Some(first));
    assert!(text(&second, SignalKind::AccessChanged).is_empty(), "the control: it is set as before");
    let letting_in = Account { enforces: Some(false), ..used };
    let third = letting_in.publish(&desk, Some(second));
    let told = text(&third, SignalKind::AccessChanged);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["posture_changed"], &told[0]["changes"]), (&json!(true), &json!([])), "{told:?}");
    assert!(text(&third, SignalKind::ForeignChange).is_empty(), "it is nobody's grant");
    let fourth = Account { jane: vec![SUPER], ..letting_in }.publish(&desk, Some(third));
    assert_eq!(text(&fourth, SignalKind::AccessChanged)[0]["posture_changed"], false);
}

/// The texts of a signal about a generation.
fn texts(desk: &Desk, manifest: &Manifest, kind: SignalKind) -> Vec<Value> {
    let record =
        RunRecord { generation: Some(manifest.generation.clone()), ..run(2, RunOutcome::Published, desk.now()) };
    let bodies = block_on(make(desk, by(&DEFAULT), &waiting(kind, record))).unwrap().unwrap().bodies;
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

/// What was known is kept, so that no row tells that nobody watches it now.
#[test]
fn that_a_list_cannot_be_read_any_more_is_told_once_though_no_row_is_another() {
    let desk = desk();
    let unread = Account { groups_can_be_read: false, groups_are_kept: true, ..Account::new() };
    let first = Account::new().publish(&desk, None);
    let second = unread.publish(&desk, Some(first));
    let told = texts(&desk, &second, SignalKind::AccessChanged);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["posture_changed"], &told[0]["changes"]), (&json!(true), &json!([])), "{told:?}");
    assert!(texts(&desk, &second, SignalKind::ForeignChange).is_empty(), "it is nobody's grant");
    // The controls: it still cannot be read, and it can be again.
    let third = unread.publish(&desk, Some(second.clone()));
    assert_ne!(third.generation, second.generation);
    assert_eq!(texts(&desk, &third, SignalKind::AccessChanged), Vec::<Value>::new());
    let fourth = Account::new().publish(&desk, Some(third));
    assert_eq!(texts(&desk, &fourth, SignalKind::AccessChanged), Vec::<Value>::new());
}

#[test]
fn that_a_list_cannot_be_read_for_another_reason_is_told_once_and_what_may_pass_by_itself_is_not() {
    let desk = desk();
    let off = |why: &str| Account {
        groups_can_be_read: false,
        groups_are_kept: true,
        groups_are_off_for: Some(format!("{why}; what generation {} says of them is kept", desk.now())),
        ..Account::new()
    };
    let refused = |said: &str| off(&format!("the API token may not read the user groups (HTTP 403, code 1: {said})"));
    let absent = |said: &str| off(&format!("{} user groups (HTTP 404, code 1: {said})", snapshot::ABSENT));
    let failing = format!("{} the user groups again and again (HTTP 503: down); tried again", snapshot::FAILED);
    let emptied = format!("Cloudflare tells of no user groups, and told of some before: {}", snapshot::TAKEN_LATER);
    // No sync mends what is counted wrong.
    let counted = format!(
        "{} the user groups again and again (the list tells of more than it gives; where what it gives is right, accept that)",
        snapshot::FAILED
    );
    // The members of one user group are refused, with what else is told of others.
    let one = |also: &str| off(&format!("the members of user group a cannot be read (HTTP 400, code 1: odd); {also}"));
    let beside = format!("the members of user group b cannot be read ({} it again and again)", snapshot::FAILED);
    let more = off("the members of user group a, user group c cannot be read (HTTP 400, code 1: odd)");
    let mut last = Account::new().publish(&desk, None);
    for (n, (account, is_told)) in [
        (off(&emptied), false),
        (off(&failing), false),
        (refused("this"), true),
        (refused("this"), false),
        (refused("that"), false),
        (absent("this"), true),
        (absent("that"), false),
        (off(&counted), true),
        (off(&counted), false),
        (off(&failing), false),
        (Account::new(), false),
        (off(&failing), false),
        (one(&beside), true),
        (one("those known before are kept"), false),
        (one(&beside), false),
        (more, true),
    ]
    .into_iter()
    .enumerate()
    {
        let new = account.publish(&desk, Some(last));
        let told = texts(&desk, &new, SignalKind::AccessChanged);
        assert_eq!(told.len(), usize::from(is_told), "{n}: {told:?}");
        assert!(told.iter().all(|told| told["posture_changed"] == true && told["changes"] == json!([])), "{told:?}");
        last = new;
    }
}

/// The grants are the same, by the same ids, and give something else.
#[test]
fn that_a_scoped_role_reaches_something_else_is_told_first_and_that_an_object_has_another_name_is_not() {
    type Objects = &'static [(&'static str, &'static str)];
    let scoped = |objects: Objects, unlisted: u32| {
        let key = |id: &str| format!("com.cloudflare.api.account.zone.{id}");
        Row::ScopedRole(ScopedRole {
            permission_group: hex(DNS + 100),
            resource_group: hex(98),
            permission_group_name: "DNS".to_owned(),
            resource_group_name: "shops".to_owned(),
            scope: Scope(objects.iter().map(|(id, name)| (key(id), (*name).to_owned())).collect()),
            unlisted,
            ends: None,
        })
    };
    let before: Objects = &[("1", "a.example")];
    let cases: [(Objects, u32, bool); 6] = [
        (&[("1", "a.example"), ("*", "")], 0, true),
        (&[("2", "b.example")], 0, true),
        (before, 1, true),
        (before, 0, false),
        (&[("1", "b.example")], 0, false),
        // Nobody knows what it reaches.
        (&[], 0, false),
    ];
    for (after, unlisted, is_told) in cases {
        let desk = desk();
        let old = Account::new().publish_with(&desk, None, vec![scoped(before, 0)]);
        let changed = Account { platform: vec![SUPER, DNS], ..Account::new() };
        let new = changed.publish_with(&desk, Some(old), vec![scoped(after, unlisted)]);
        let [told] = texts(&desk, &new, SignalKind::AccessChanged).try_into().unwrap();
        assert_eq!(told["posture_changed"], is_told, "{after:?} {unlisted}: {told}");
        let first = told["changes"][0]["key"].as_str().unwrap();
        assert_eq!(first.starts_with("scoped_role:"), is_told, "{after:?} {unlisted}: {told}");
    }
}

#[test]
fn a_new_super_administrator_whose_key_is_last_is_named_however_much_else_changed() {
    const MANY: usize = compose::MAX_CHANGES + 1;
    let many = |day: &str, roles: &[u8], last: &[u8]| -> Vec<Row> {
        let atom = |n: &u8| Atom { access: Access::Allow, permission_group: hex(n + 100), resource_group: hex(99) };
        let member = |n: usize, roles: &[u8]| {
            let id = format!("{:032x}", 0xffff_0000 + n);
            Row::member(Member {
                user_id: Some(id.parse().unwrap()),
                atoms: roles.iter().map(atom).collect(),
                signs: Signs { last_change_day: Some(day.to_owned()), ..Signs::default() },
                ..Member::bare(id.parse().unwrap(), format!("member{n}@example.com"), MemberStatus::Accepted)
            })
        };
        (0..MANY).map(|n| member(n, roles)).chain([member(MANY, last)]).collect()
    };
    for (roles, granted) in [(&[][..], 0), (&[DNS][..], MANY)] {
        let desk = desk();
        let account = Account::new();
        let old = account.publish_with(&desk, None, many("2026-11-23", &[], &[]));
        let new = account.publish_with(&desk, Some(old), many("2026-11-24", roles, &[SUPER]));
        let record = RunRecord { generation: Some(new.generation), ..run(2, RunOutcome::Published, desk.now()) };
        let bodies = |kind| -> Vec<Value> {
            let waiting = waiting(kind, record.clone());
            let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
            bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
        };
        let foreign = bodies(SignalKind::ForeignChange);
        assert_eq!(foreign[0]["grants"][0]["to"], format!("member{MANY}@example.com"));
        assert_eq!(foreign[0]["summary"]["super_administrators"], 1);
        let changed = bodies(SignalKind::AccessChanged);
        assert_eq!(changed[0]["changes"][0]["name"], format!("member{MANY}@example.com"));
        for body in foreign.iter().chain(&changed) {
            assert_eq!(body["summary"]["more"], granted > compose::MAX_CHANGES, "{}", body["summary"]);
        }
        let known = |summary: &Value, field: &str| usize::try_from(summary[field].as_u64().unwrap()).unwrap();
        assert_eq!(known(&changed[0]["summary"], "changed"), granted.min(compose::MAX_CHANGES) + 1);
        assert_eq!(known(&foreign[0]["summary"], "grants"), granted.min(compose::MAX_CHANGES) + 1);
        let says_so = foreign[0]["message"].as_str().unwrap().starts_with("At least");
        assert_eq!(says_so, granted > compose::MAX_CHANGES);
    }
}

#[test]
fn where_every_generation_was_lost_it_is_said_that_nobody_knows_what_changed() {
    for is_first in [true, false] {
        let desk = desk();
        let noted = |manifest: &Manifest| {
            ledger::record::write(&desk, &block_on(ledger::record::read(&desk, manifest)).unwrap()).unwrap();
        };
        if !is_first {
            noted(&Account::new().publish(&desk, None));
            desk.values.borrow_mut().clear();
        }
        let new = Account { jane: vec![SUPER], ..Account::new() }.publish(&desk, None);
        noted(&new);
        for kind in [SignalKind::AccessChanged, SignalKind::ForeignChange] {
            let record =
                RunRecord { generation: Some(new.generation.clone()), ..run(2, RunOutcome::Published, desk.now()) };
            let made = block_on(make(&desk, by(&DEFAULT), &waiting(kind, record))).unwrap().unwrap();
            assert_eq!((made.bodies.is_empty(), made.untold.is_none()), (is_first, is_first), "{made:?}");
            let is_said = |body: &String| body.contains("cannot be told one by one") && !body.contains("Jane");
            assert!(made.bodies.iter().all(is_said), "{made:?}");
        }
    }
}

#[test]
fn a_generation_that_is_gone_is_said_to_be() {
    let desk = desk();
    let mut record = run(2, RunOutcome::Published, desk.now());
    record.generation = snapshot::GenerationId::parse("20261123T100000Z-7f3a09c1");
    let waiting = waiting(SignalKind::AccessChanged, record);
    assert!(block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().is_err(), "it may be on its way");
    desk.advance(601);
    let bodies = block_on(make(&desk, by(&DEFAULT), &waiting)).unwrap().unwrap().bodies;
    assert!(bodies[0].contains("not kept any more"), "{bodies:?}");
}

#[test]
fn a_damaged_or_lost_chunk_of_the_older_generation_holds_up_no_signal() {
    for damage in [Some(b"not what was written".to_vec()), None] {
        let desk = desk();
        let old = Account::new().publish(&desk, None);
        let new = Account { jane: vec![SUPER], ..Account::new() }.publish(&desk, Some(old.clone()));
        let mut record = run(2, RunOutcome::Published, desk.now());
        record.generation = Some(new.generation.clone());
        let waiting = |kind| waiting(kind, record.clone());
        let made = |kind| block_on(make(&desk, by(&DEFAULT), &waiting(kind))).unwrap();
        let whole = made(SignalKind::AccessChanged).unwrap();
        assert!(whole.untold.is_none() && whole.bodies[0].contains("Jane@example.com"), "{whole:?}");

        let shared: Vec<_> = new.chunks.iter().map(|chunk| &chunk.hash).collect();
        let own = old.chunks.iter().find(|chunk| !shared.contains(&&chunk.hash)).unwrap();
        let key = desk.key(&format!("chunk/{}", own.hash));
        match damage {
            Some(body) => desk.values.borrow_mut().insert(key, body),
            None => desk.values.borrow_mut().remove(&key),
        };
        assert!(made(SignalKind::AccessChanged).is_err(), "it may be on its way");
        desk.advance(601);
        for kind in [SignalKind::AccessChanged, SignalKind::ForeignChange] {
            let made = made(kind).unwrap();
            assert!(made.untold.is_some() && made.bodies[0].contains("cannot be told one by one"), "{made:?}");
        }
    }
    let Attempt::Done(told) = ended(2, None, Some("What changed cannot be told.".to_owned())) else { panic!() };
    assert_eq!(told, "Sent 2 signals. What changed cannot be told.");
}

#[test]
fn what_does_not_fit_is_left_out_and_counted_and_super_administrator_comes_first() {
    let desk = desk();
    let manifest = Account::new().publish(&desk, None);
    let snapshot = snapshot::Snapshot::of(manifest.clone());
    let catalogue = block_on(Catalogue::load(&desk, &snapshot)).unwrap();
    let change = |n: usize, grants: usize, role: u8| Change {
        former_name: None,
        member_id: None,
        kind: ChangeKind::Changed,
        key: format!("user:{n:032x}"),
        name: format!("member{n}@example.com\u{e9}\n\"{}", "x".repeat(1000)),
        grants_added: vec![
            Grant {
                entitlement: format!("role:{role:032x}:member").parse().unwrap(),
                principal: format!("user:{n:032x}").parse().unwrap(),
            };
            grants
        ],
        grants_removed: Vec::new(),
        fields: Vec::new(),
    };
    for (count, grants) in [(1, 1), (1, 5000), (10, 60), (5_000, 1)] {
        let mut items: Vec<Change> = (0..count).map(|n| change(n, grants, DNS)).collect();
        items.push(change(99_999, 1, SUPER));
        let changes = Changes { items, ..Changes::default() };
        let text = compose::access_changed(
            "account",
            "id",
            &run(1, RunOutcome::Published, desk.now()),
            &manifest,
            &catalogue,
            &changes,
        );
        assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
        let body: Value = serde_json::from_str(&text).unwrap();
        let shown = body["changes"].as_array().unwrap();
        assert_eq!(shown.len() + usize::try_from(body["left_out"].as_u64().unwrap()).unwrap(), count + 1);
        assert!(shown[0]["name"].as_str().unwrap().starts_with("member99999@"), "first of all");
        assert_eq!(body["summary"]["grants_added"], count * grants + 1);
        if grants > 50 {
            let (listed, left_out) = (shown[1]["granted"].as_array().unwrap().len(), &shown[1]["grants_left_out"]);
            assert_eq!(json!(grants - listed), *left_out);
        }
    }
}

#[test]
fn every_new_super_administrator_is_named_in_as_many_parts_as_that_takes() {
    let desk = desk();
    let manifest = Account::new().publish(&desk, None);
    let grant = |n: usize, super_administrator| ForeignGrant {
        by: crate::audit::Author::unknown(),
        to: format!("member{n}@example.com"),
        principal: format!("user:{n:032x}").parse().unwrap(),
        entitlement: entitlement(if super_administrator { SUPER } else { DNS }).parse().unwrap(),
        name: "x".repeat(5000),
        super_administrator,
    };
    let grants: Vec<_> = (0..3_000).map(|n| grant(n, n % 3 == 0)).collect();
    let record = run(1, RunOutcome::Published, desk.now());
    let bodies = compose::foreign_change("account", |part| format!("id{part}"), &record, &manifest, &grants, false);
    assert!(bodies.len() > 1);
    let mut named = Vec::new();
    for (part, text) in bodies.iter().enumerate() {
        assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
        let body: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&body["part"], &body["event_id"]), (&json!(part + 1), &json!(format!("id{part}"))));
        named.extend(
            body["grants"].as_array().unwrap().iter().map(|it| (it["to"].clone(), it["super_administrator"] == true)),
        );
        assert_eq!(body["left_out"], json!(3_000 - named.len()), "what is not in this part or one before");
    }
    assert_eq!(named.iter().filter(|(_, is)| *is).count(), 1_000);
    let few = compose::foreign_change("account", |part| format!("id{part}"), &record, &manifest, &grants[1..3], false);
    assert_eq!(few.len(), 1);
    assert!(compose::foreign_change("account", |_| String::new(), &record, &manifest, &[], false).is_empty());
}

/// All parts of a signal stand in one value of the storage, which takes 2 MB.
#[test]
fn thousands_of_new_super_administrators_stop_no_other_signal() {
    for name in ["Super Administrator - All Privileges".to_owned(), "\"".repeat(400)] {
        let desk = desk();
        let settings = Settings {
            url: Secret::new("https://acme.conductor.one/x"),
            auth: Auth::Capability,
            kinds: vec![SignalKind::ForeignChange, SignalKind::RemovalCapReached],
        };
        let cap = CapReached { at: desk.now(), operation: 7, email: "jane@example.com", message: "3 revokes" };
        let told_by = ToldBy { settings: Some(&settings), ..by(&DEFAULT) };
        super::queue(&desk, told_by, &[run(1, RunOutcome::Published, desk.now())], &[cap]).unwrap();
        let manifest = Account::new().publish(&desk, None);
        let grant = |n: usize| ForeignGrant {
            by: crate::audit::Author::unknown(),
            to: format!("{n}{name}"),
            principal: format!("user:{n:032x}").parse().unwrap(),
            entitlement: entitlement(SUPER).parse().unwrap(),
            name: name.clone(),
            super_administrator: true,
        };
        let grants: Vec<_> = (0..8_000).map(grant).collect();
        let unmade = outbox::next(&desk, true).unwrap().unwrap();
        assert_eq!(unmade.kind, SignalKind::ForeignChange);
        let record = unmade.run.as_ref().unwrap();
        let id = |part| event_id(unmade.kind, &unmade.key, part);
        let bodies = compose::foreign_change("account", id, record, &manifest, &grants, false);
        outbox::made(&desk, unmade.id, &bodies, desk.now()).unwrap();
        assert_eq!(outbox::next(&desk, true).unwrap(), None);

        let made = outbox::next(&desk, false).unwrap().unwrap();
        assert_eq!((made.id, made.bodies.as_ref()), (unmade.id, Some(&bodies)));
        let told: Vec<Value> = bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        let named: usize = told.iter().map(|body| body["grants"].as_array().unwrap().len()).sum();
        let last = told.last().unwrap();
        assert_eq!(last["left_out"], 8_000 - named, "who is not named is counted");
        assert_eq!(last["summary"]["super_administrators"], 8_000);
        assert!(named > 400, "{named}");
        outbox::settle(&desk, made.id, "sent", desk.now()).unwrap();
        let behind = outbox::next(&desk, false).unwrap().unwrap();
        assert!(behind.kind == SignalKind::RemovalCapReached && behind.bodies.is_some(), "{behind:?}");
    }
}
