//! One life of the connector, with C1 in front of it and a trap in the world; what must be true at its end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use c1_cloudflare::base::ports::{Clock as _, Sql as _, SqlValue};
use c1_cloudflare::coordinator::{self, Command, Coordinator, Reply, Settings};
use c1_cloudflare::model::ask::Action::{self, Grant, Revoke};
use c1_cloudflare::model::ask::Subject;
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::operation::{Origin, Outcome, Request, Target};
use c1_cloudflare::snapshot::{self, GenerationId, RunOutcome, Scan};
use c1_cloudflare::sync;
use sim::cloudflare::{Access, Atom, Cloudflare, KnownPermissionGroup, PolicySpec, Spec, Truth};
use tokio::sync::watch;
use tokio::time::sleep;

use super::world::{Answer, Trap, World, Wrong};
use crate::lives::account::{account, settings};
use crate::lives::world as base;

/// C1 asks again for about this long.
const PATIENCE: Duration = Duration::from_hours(30);

/// So long is granted what is granted for a time: longer than a life lasts.
const ENDS_AFTER_SECS: i64 = 90 * 86_400;

/// What is asked for, one after the other.
#[derive(Clone, Debug)]
struct Task {
    what: &'static str,
    duration_secs: Option<i64>,
    action: Action,
    target: Target,
    subject: Subject,
}

pub(crate) struct Story {
    world: World,
    settings: Settings,
    now: RefCell<Rc<Coordinator>>,
    life: watch::Sender<usize>,
    roles: Vec<KnownPermissionGroup>,
    group: String,
    people: Vec<String>,
}

impl Story {
    /// Plays the life. Without a trap it tells the calls that were made, and how many of each kind.
    pub(crate) async fn play(trap: Option<Trap>) -> Result<BTreeMap<String, usize>, String> {
        let story = Self::set();
        story.world.set_trap(trap.clone());
        let mut wrong = Vec::new();
        let main = async {
            let mut known = story.account().truth();
            let first = story.sync().await;
            known = story.check_published(first.as_ref(), known, &mut wrong).await;
            let at_first = (first.and_then(|run| run.generation), story.published().await.grants);
            for (number, task) in story.tasks().into_iter().enumerate() {
                let before = story.everybody();
                let outcome = story.deliver(number, &task).await;
                story.check(&task, &outcome, &before, trap.as_ref(), &mut wrong);
                story.check_end(&task, &outcome, &mut wrong);
            }
            // Somebody else changes something, which the second sync finds.
            let whole = story.account().account_resource_group();
            story.account().add_policy(&story.people[7], PolicySpec::allow(story.roles[5].id.clone(), whole));
            let second = story.sync().await;
            story.check_published(second.as_ref(), known, &mut wrong).await;
            let calls = count(&story.world.calls.replace(None).unwrap_or_default());
            story.world.set_trap(None);
            sleep(Duration::from_hours(2)).await;
            // Whatever went wrong, the next sync is well, and what is published is the account.
            let last = story.sync().await;
            let truth = story.account().truth();
            story.check_published(last.as_ref(), truth, &mut wrong).await;
            story.check_ledger(at_first, &mut wrong).await;
            let status = story.status().await;
            if !matches!(last.as_ref().map(|run| run.outcome), Some(RunOutcome::Published | RunOutcome::Unchanged)) {
                wrong.push(format!("the sync after it is not well: {last:?}"));
            } else if last.is_some_and(|run| !run.warnings.is_empty()) {
                wrong.push("the sync after it has warnings".to_owned());
            }
            if !status.set_aside.is_empty() {
                wrong.push(format!("rows are set aside: {:?}", status.set_aside));
            }
            calls
        };
        let calls = tokio::select! {
            biased;
            () = story.keep_alive() => unreachable!("it goes on for ever"),
            () = story.ring() => unreachable!("it goes on for ever"),
            calls = main => calls,
        };
        if trap.is_some() && story.world.struck.get() == 0 {
            wrong.push("the trap did not strike".to_owned());
        }
        if wrong.is_empty() { Ok(calls) } else { Err(wrong.join("; ")) }
    }

    fn set() -> Self {
        let cloudflare = account(4, Spec::default().seed);
        let roles = cloudflare.ordinary_roles();
        let whole = cloudflare.account_resource_group();
        let holds = |role: usize| PolicySpec::allow(roles[role].id.clone(), whole.clone());
        let people: Vec<String> = (0..8)
            .map(|number| cloudflare.add_member(&format!("person{number}@example.com"), vec![holds(0), holds(1)]))
            .collect();
        let group = cloudflare.add_group("Platform", vec![holds(3)]);
        cloudflare.join_group(&group, &people[3]);
        let settings = settings(&cloudflare, &[("PROVISIONING", "on")]);
        let world = World::new(base::World::new(cloudflare, |_| {}));
        coordinator::init(&world).unwrap();
        let now = RefCell::new(Rc::new(Coordinator::default()));
        Self { world, settings, now, life: watch::Sender::new(0), roles, group, people }
    }

    fn account(&self) -> &Cloudflare {
        &self.world.inner.cloudflare
    }

    fn tasks(&self) -> Vec<Task> {
        let role = |role: usize| -> Target {
            Target::Entitlement(format!("role:{}:member", self.roles[role].governed_as()).parse().unwrap())
        };
        let group = || Target::Entitlement(format!("group:{}:member", self.group).parse().unwrap());
        let somebody = |person: usize| {
            let membership = self.account().membership(&self.people[person]).unwrap();
            Subject {
                emails: vec![membership.email],
                member_id: Some(membership.id.parse().unwrap()),
                user_id: membership.user_id.map(|id| id.parse().unwrap()),
                has_account: true,
                ..Subject::default()
            }
        };
        let new = Subject { emails: vec!["new.hire@example.com".to_owned()], ..Subject::default() };
        let (zone, _) = self.account().domain_resource_groups()[0].clone();
        let groups = self.account().permission_groups();
        let of_zones = groups.iter().find(|group| !group.account_wide).unwrap();
        let scoped = Target::Entitlement(format!("scoped_role:{}-{zone}:member", of_zones.id).parse().unwrap());
        let task = |what, action, target, subject| Task { what, duration_secs: None, action, target, subject };
        let for_a_time = |task| Task { duration_secs: Some(ENDS_AFTER_SECS), ..task };
        vec![
            for_a_time(task("a role is granted", Grant, role(4), somebody(0))),
            task("a role is revoked", Revoke, role(1), somebody(1)),
            task("a group is joined", Grant, group(), somebody(2)),
            task("a group is left", Revoke, group(), somebody(3)),
            task("a scoped role is granted", Grant, scoped, somebody(4)),
            task("an account is made", Grant, Target::Account, new.clone()),
            task("an invited person is granted a role", Grant, role(2), new),
            task("an account is removed", Revoke, Target::Account, somebody(5)),
        ]
    }

    /// Everybody's atoms and groups, by membership.
    fn everybody(&self) -> BTreeMap<String, (BTreeSet<Atom>, BTreeSet<String>)> {
        let account = self.account();
        let members = account.memberships().into_iter();
        members.map(|member| (member.id.clone(), (account.member_atoms(&member.id), member.groups))).collect()
    }

    /// What C1 was told is so, and nobody else was touched.
    fn check(
        &self,
        task: &Task,
        outcome: &Outcome,
        before: &BTreeMap<String, (BTreeSet<Atom>, BTreeSet<String>)>,
        trap: Option<&Trap>,
        wrong: &mut Vec<String>,
    ) {
        let account = self.account();
        let whole = account.account_resource_group();
        let after = self.everybody();
        let theirs = task
            .subject
            .member_id
            .map(|id| id.to_string())
            .or_else(|| account.membership_of(&task.subject.emails[0]).map(|member| member.id));
        let (mut left, mut right) = (before.clone(), after.clone());
        if let Some(theirs) = &theirs {
            left.remove(theirs);
            right.remove(theirs);
        }
        if left != right {
            wrong.push(format!("{}: somebody else was changed", task.what));
        }
        let invited = account.memberships().into_iter().filter(|member| member.email == task.subject.emails[0]).count();
        if invited > 1 {
            wrong.push(format!("{}: there are {invited} memberships", task.what));
        }
        let now = theirs.as_ref().and_then(|theirs| after.get(theirs));
        let has = |what: &Target| match what {
            Target::Account => now.is_some(),
            Target::Entitlement(entitlement) => now.is_some_and(|(atoms, groups)| {
                let id = entitlement.to_string();
                groups.iter().any(|group| id == format!("group:{group}:member"))
                    || atoms.iter().any(|(access, permissions, resources)| {
                        let as_role = self
                            .governed_as(permissions)
                            .is_some_and(|role| *resources == whole && id == format!("role:{role}:member"));
                        *access == Access::Allow
                            && (as_role || id == format!("scoped_role:{permissions}-{resources}:member"))
                    })
            }),
            other => panic!("{other:?}"),
        };
        let is_so = has(&task.target) == (task.action == Grant);
        match outcome {
            Outcome::Done { .. } if !is_so => {
                wrong.push(format!("{}: C1 was told so, and it is not so: {outcome:?}", task.what));
            }
            Outcome::Done { .. } => {
                let was = theirs.as_ref().and_then(|theirs| before.get(theirs));
                Self::check_rest(task, was, now, wrong);
            }
            Outcome::Refused { .. } if !trap.is_some_and(may_refuse) => {
                wrong.push(format!("{}: it was refused for what passes: {outcome:?}", task.what));
            }
            Outcome::Refused { .. } if is_so => {
                wrong.push(format!("{}: C1 was told that it cannot be, and it is so: {outcome:?}", task.what));
            }
            Outcome::Refused { .. } => {}
            Outcome::NotNow { .. } => wrong.push(format!("{}: C1 was told nothing: {outcome:?}", task.what)),
        }
    }

    /// The end of what was granted for a time is known, once.
    fn check_end(&self, task: &Task, outcome: &Outcome, wrong: &mut Vec<String>) {
        if task.duration_secs.is_none() || !matches!(outcome, Outcome::Done { .. }) {
            return;
        }
        let email = self.account().membership_of(&task.subject.emails[0]).map(|member| member.email);
        let ends = self.world.inner.query("SELECT ends_at FROM expiry WHERE email = ?", &[email.into()]).unwrap();
        let ends: Vec<_> = ends.iter().filter_map(|row| row[0].integer()).collect();
        let now = self.world.now().millis() + ENDS_AFTER_SECS * 1_000;
        if !matches!(ends[..], [end] if end <= now) {
            wrong.push(format!("{}: it ends {ends:?}, not by {now}", task.what));
        }
    }

    /// Whatever is published otherwise than at first, the ledger tells, or that it does not know.
    async fn check_ledger(&self, (first, before): (Option<GenerationId>, BTreeSet<String>), wrong: &mut Vec<String>) {
        let text = |value: &SqlValue| value.text().unwrap_or_default().to_owned();
        let marks =
            self.world.inner.query("SELECT kind, generation FROM ledger_mark ORDER BY generation", &[]).unwrap();
        let marks: Vec<(String, String)> = marks.iter().map(|row| (text(&row[0]), text(&row[1]))).collect();
        let begins = marks.first().map(|(_, generation)| generation.clone());
        if marks.iter().any(|(kind, _)| kind == "gap") || first.map(|id| id.to_string()) != begins {
            return;
        }
        let told = "SELECT entitlement || ':' || principal, gained FROM ledger ORDER BY id";
        let mut by_ledger = before.clone();
        for row in self.world.inner.query(told, &[]).unwrap() {
            let (grant, gained) = (text(&row[0]), row[1].integer() == Some(1));
            let is_news = if gained { by_ledger.insert(grant.clone()) } else { by_ledger.remove(&grant) };
            if !is_news {
                wrong.push(format!("the ledger tells twice that {grant} was gained, or lost: {gained}"));
            }
        }
        let after = self.published().await.grants;
        if by_ledger != after {
            let odd: Vec<_> = by_ledger.symmetric_difference(&after).take(3).collect();
            wrong.push(format!("by the ledger it is otherwise: {odd:?}, marks {marks:?}"));
        }
    }

    /// Nothing but what was asked for changed about the person.
    fn check_rest(
        task: &Task,
        was: Option<&(BTreeSet<Atom>, BTreeSet<String>)>,
        now: Option<&(BTreeSet<Atom>, BTreeSet<String>)>,
        wrong: &mut Vec<String>,
    ) {
        let (Some(was), Some(now)) = (was, now) else { return };
        let changed = was.0.symmetric_difference(&now.0).count() + usize::from(was.1 != now.1);
        let minimal = task.what == "an invited person is granted a role";
        if changed != 1 && !minimal {
            wrong.push(format!("{}: {changed} things were changed, {was:?} is {now:?}", task.what));
        }
    }

    fn governed_as(&self, permissions: &str) -> Option<String> {
        self.roles.iter().find(|role| role.id == permissions).map(|role| role.governed_as().to_owned())
    }

    /// Compares what is published with the account; gives what may be told until the next sync.
    async fn check_published(&self, run: Option<&sync::RunRecord>, known: Truth, wrong: &mut Vec<String>) -> Truth {
        let truth = self.account().truth();
        let Some(run) = run else {
            let status = self.status().await.sync;
            wrong.push(format!(
                "a sync does not end: {:?} {:?}, alarm {:?}",
                status.running,
                status.runs,
                self.world.inner.alarm.get()
            ));
            return truth;
        };
        if !matches!(run.outcome, RunOutcome::Published | RunOutcome::Unchanged) {
            if run.message.is_empty() {
                wrong.push(format!("a sync says nothing of why it failed: {run:?}"));
            }
            return known;
        }
        let published = self.published().await;
        let is_whole =
            run.warnings.is_empty() && self.status().await.sync.capabilities.values().all(|capability| capability.on);
        let odd = |what: &str, published: &BTreeSet<String>, truth: &BTreeSet<String>, known: &BTreeSet<String>| {
            let invented: Vec<_> =
                published.iter().filter(|id| !truth.contains(*id) && !known.contains(*id)).take(3).collect();
            let missing: Vec<_> = truth.iter().filter(|id| is_whole && !published.contains(*id)).take(3).collect();
            let is_right = invented.is_empty() && missing.is_empty();
            (!is_right)
                .then(|| format!("{what}: published without being there {invented:?}, not published {missing:?}"))
        };
        wrong.extend(odd("people", &published.users, &truth.users, &known.users));
        wrong.extend(odd("invitations", &published.invitations, &truth.invitations, &known.invitations));
        wrong.extend(odd("grants", &published.grants, &truth.grants, &known.grants));
        truth
    }

    /// What the current generation says of people and their grants.
    async fn published(&self) -> Truth {
        let mut truth = Truth::default();
        let Ok(Some(snapshot)) = snapshot::latest(&self.world.inner).await else { return truth };
        let mut after = None;
        for _ in 0..1_000 {
            let scan = Scan { kinds: Kind::ALL.to_vec(), holding: None, after, limit: 1_000 };
            let page = snapshot.scan(&self.world.inner, &scan).await.unwrap();
            for row in page.rows {
                let grants = snapshot.manifest().grants_of(&row);
                truth.grants.extend(grants.into_iter().map(|(entitlement, holder)| entitlement.grant_id(holder)));
                let (kind, id) = row.key().split_once(':').map(|(kind, id)| (kind.to_owned(), id.to_owned())).unwrap();
                match kind.as_str() {
                    "user" => truth.users.insert(id),
                    "invitation" => truth.invitations.insert(id),
                    _ => false,
                };
            }
            after = page.next;
            if after.is_none() {
                return truth;
            }
        }
        panic!("the scan does not end");
    }

    /// The runtime: an isolate that is lost is followed by the next one.
    async fn keep_alive(&self) {
        loop {
            self.world.died.notified().await;
            assert!(self.world.is_dead());
            self.now.replace(Rc::new(Coordinator::default()));
            self.world.revive();
            // A start that fails is tried again, as the runtime does with the next request.
            while coordinator::init(&self.world).is_err() {
                sleep(Duration::from_secs(1)).await;
            }
            self.life.send_modify(|life| *life += 1);
        }
    }

    async fn ring(&self) {
        let mut life = self.life.subscribe();
        loop {
            if !self.world.inner.rings().await {
                continue;
            }
            life.mark_unchanged();
            let coordinator = self.now.borrow().clone();
            tokio::select! {
                biased;
                _ = life.changed() => self.world.inner.rings_again(),
                () = coordinator.alarm(&self.world, &self.settings) => {
                    // What a lost isolate still says, nobody hears.
                    if self.world.is_dead() {
                        self.world.inner.rings_again();
                    }
                }
            }
        }
    }

    /// Asks the Coordinator; nothing where it was lost meanwhile.
    async fn ask(&self, command: Command) -> Option<Reply> {
        let mut life = self.life.subscribe();
        life.mark_unchanged();
        let coordinator = self.now.borrow().clone();
        tokio::select! {
            biased;
            _ = life.changed() => None,
            reply = coordinator.handle(&self.world, &self.settings, command) => (!self.world.is_dead()).then_some(reply),
        }
    }

    async fn status(&self) -> coordinator::Status {
        for _ in 0..100 {
            if let Some(Reply::Status(status)) = self.ask(Command::Status).await {
                return *status;
            }
            sleep(Duration::from_secs(1)).await;
        }
        panic!("there is no status");
    }

    /// Syncs as the cron trigger does: once more a while after a sync that failed.
    async fn sync(&self) -> Option<sync::RunRecord> {
        for _ in 0..3 {
            let run = self.sync_once().await;
            if !run.as_ref().is_some_and(|run| run.outcome == RunOutcome::Failed) {
                return run;
            }
            sleep(Duration::from_mins(15)).await;
        }
        self.sync_once().await
    }

    /// Starts a sync and waits for its end; nothing where it has none.
    async fn sync_once(&self) -> Option<sync::RunRecord> {
        let before = self.status().await.sync.runs.first().map(|run| run.run.clone());
        let mut run = None;
        for _ in 0..20 {
            match self.ask(Command::begin_sync("api", true)).await {
                Some(Reply::SyncBegun { .. } | Reply::SyncRunning { .. }) => break,
                _ => sleep(Duration::from_mins(15)).await,
            }
        }
        for _ in 0..4_000 {
            sleep(Duration::from_millis(500)).await;
            if sync::next_due(&self.world.inner).unwrap().is_some() {
                continue;
            }
            let status = self.status().await.sync;
            if status.running.is_none() && status.runs.first().map(|run| run.run.clone()) != before {
                run = status.runs.first().cloned();
                break;
            }
        }
        run
    }

    /// Delivers a task as C1 does, until it is told how that ended.
    async fn deliver(&self, number: usize, task: &Task) -> Outcome {
        let key = format!("task{number}~step");
        let request = Request {
            key: Some(key.clone()),
            action: task.action,
            target: task.target.clone(),
            subject: task.subject.clone(),
            origin: Origin { by: "webhook".to_owned(), duration_secs: task.duration_secs, ..Origin::default() },
        };
        let told = tokio::time::timeout(PATIENCE, async {
            loop {
                let command = Command::Provision {
                    request: Box::new(request.clone()),
                    callback_url: Some(format!("{}{key}", base::CALLBACKS)),
                };
                match self.ask(command).await {
                    Some(Reply::Outcome(Outcome::NotNow { .. }) | Reply::Failed { .. }) | None => {
                        sleep(Duration::from_secs(2)).await;
                    }
                    Some(Reply::Outcome(outcome)) => return outcome,
                    Some(Reply::Accepted) => {
                        while !self.world.inner.callbacks.borrow().contains_key(&key) {
                            self.world.inner.called_back.notified().await;
                        }
                        break self.settled(&key).await;
                    }
                    Some(other) => panic!("{key}: {other:?}"),
                }
            }
        })
        .await;
        if let Ok(outcome) = told {
            return outcome;
        }
        let message = format!("never told, though it is {:?}", self.settled(&key).await);
        Outcome::NotNow { message, retry_at: None }
    }

    /// What the journal says of an operation.
    async fn settled(&self, key: &str) -> Outcome {
        for _ in 0..100 {
            if let Some(Reply::Operations(entries)) = self.ask(Command::Operation(key.to_owned())).await {
                let entry = entries.into_iter().next();
                let never = || format!("never settled: {entry:?}");
                return entry
                    .as_ref()
                    .and_then(|entry| entry.outcome.clone())
                    .unwrap_or_else(|| Outcome::NotNow { message: never(), retry_at: None });
            }
            sleep(Duration::from_secs(1)).await;
        }
        panic!("{key} cannot be looked up");
    }
}

/// Whether Cloudflare's answer is one that a person has to do something about, so that the operation may be refused for it.
fn may_refuse(trap: &Trap) -> bool {
    matches!(trap.wrong, Wrong::Answer(Answer::Status(400 | 401 | 403 | 404), _))
}

fn count(calls: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.clone()).or_default() += 1;
    }
    counts
}
