//! Provisioning against the simulated account, without the runtime around it: what is written, what is refused, what others do
//! meanwhile, and what is left when the Worker vanishes at any moment.

mod answers;
mod apart;
mod apps;
mod denied;
mod ends;
mod foreign;
mod groups;
mod guards;
mod odd;
mod off;
mod people;
mod proof;
mod renewal;

use std::cell::RefCell;
use std::collections::BTreeSet;

use c1_cloudflare::account::apps::WEBHOOK;
use c1_cloudflare::account::{identity, overlay};
use c1_cloudflare::audit::feed;
use c1_cloudflare::base::ports::Clock as _;
use c1_cloudflare::cloudflare::{Client, Purpose};
use c1_cloudflare::connect;
use c1_cloudflare::coordinator::Settings;
use c1_cloudflare::model::ask::{Action, Subject};
use c1_cloudflare::model::operation::{Effect, Origin, Outcome, Refusal, Request, Target};
use c1_cloudflare::model::resource::Member;
use c1_cloudflare::provision::journal::{self, Arrival, Entry, EntryId};
use c1_cloudflare::provision::lock::Locks;
use c1_cloudflare::provision::{self, aftercare, incident};
use c1_cloudflare::snapshot;
use sim::cloudflare::{Atom, Cloudflare, KnownPermissionGroup, Spec};

use crate::looks::{atom, holds, roles};
use crate::support::{APP, World};

/// A connector to a small account that was synced, with provisioning on.
struct Bench {
    world: World,
    locks: RefCell<Locks>,
}

const NEW: &str = "new.hire@example.com";
const JANE: &str = "jane@example.com";

impl Bench {
    async fn start() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// The same, with an account and a configuration of one's own.
    async fn with(account: impl FnOnce(&Cloudflare), configure: impl FnOnce(&mut Settings)) -> Self {
        let mut world = World::new(Spec { members: 8, roles: 12, groups: 2, zones: 2, ..Spec::default() });
        provision::init(&world).unwrap();
        connect::init(&world).unwrap();
        world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::On;
        configure(&mut world.config);
        account(&world.cloudflare);
        world.sync().await;
        world.cloudflare.reset_log();
        Self { world, locks: RefCell::default() }
    }

    /// A connector, the roles there are, and a member who holds the first of them.
    async fn with_jane() -> (Self, Vec<KnownPermissionGroup>, String) {
        let bench = Self::start().await;
        let account = bench.account();
        let known = roles(account);
        let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
        (bench, known, jane)
    }

    fn account(&self) -> &Cloudflare {
        &self.world.cloudflare
    }

    /// Notes an operation as the Coordinator does.
    fn arrive(&self, action: Action, target: Target, subject: Subject) -> EntryId {
        self.arrive_of(Some(APP), action, target, subject)
    }

    /// The same, of a task of an app's.
    fn arrive_of(&self, app: Option<&str>, action: Action, target: Target, subject: Subject) -> EntryId {
        let origin = Origin { by: WEBHOOK.to_owned(), app_id: app.map(str::to_owned), ..Origin::default() };
        let request = Request { key: None, action, target, subject, origin };
        let now = self.world.now();
        match journal::arrive(&self.world, &request, now, now.plus_secs(30)).unwrap() {
            Arrival::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// One attempt at an operation, settled if it comes to an end.
    async fn attempt(&self, id: EntryId) -> Outcome {
        let entry = self.entry(id);
        let locks = self.locks.borrow().clone();
        journal::begin(&self.world, id, self.world.now()).unwrap();
        let (cloudflare, settings) = (&self.world.config.cloudflare, &self.world.config.provision);
        let attempt = provision::try_once(&self.world, cloudflare, settings, &locks, id, &entry.request).await;
        let outcome = attempt.outcome;
        if !matches!(outcome, Outcome::NotNow { .. }) {
            journal::settle(&self.world, id, &outcome, self.world.now()).unwrap();
        }
        outcome
    }

    /// Attempts until an operation is settled.
    async fn settle(&self, id: EntryId) -> Outcome {
        for _ in 0..20 {
            match self.attempt(id).await {
                Outcome::NotNow { .. } => self.world.advance(10),
                outcome => return outcome,
            }
        }
        panic!("it is never settled: {:?}", self.entry(id));
    }

    async fn operate(&self, action: Action, target: Target, subject: Subject) -> Outcome {
        self.settle(self.arrive(action, target, subject)).await
    }

    fn entry(&self, id: EntryId) -> Entry {
        journal::find(&self.world, &id.0.to_string()).unwrap().unwrap()
    }

    fn atoms(&self, member: &str) -> BTreeSet<Atom> {
        self.account().member_atoms(member)
    }

    /// What readers see of a member in the place of the generation's row: nobody where they are gone. Nothing where that one counts.
    async fn laid_over(&self, member: &str) -> Option<Option<Member>> {
        let snapshot = snapshot::latest(&self.world).await.unwrap().unwrap();
        let over = overlay::over(&self.world, &snapshot.manifest().generation, None).unwrap();
        over.members.into_iter().find(|(id, _)| id.to_string() == member).map(|(_, row)| row)
    }

    /// Lets time pass, and lets the alarm do what is due.
    async fn later(&self, secs: i64) {
        self.world.advance(secs);
        let locks = self.locks.borrow().clone();
        let (cloudflare, settings) = (&self.world.config.cloudflare, &self.world.config.provision);
        let client = Client::new(&self.world, cloudflare, Purpose::Sync);
        let ours = identity::identity(&self.world, &client).await.unwrap().token.to_string();
        feed::read_on(&self.world, cloudflare, Some(ours)).await.unwrap();
        aftercare::look_for_late_writes(&self.world, cloudflare, settings, &locks, 10).await.unwrap();
        aftercare::look_into_audit_log(&self.world).unwrap();
    }

    /// The same a number of times, each a while after the one before.
    async fn later_times(&self, times: usize, secs: i64) {
        for _ in 0..times {
            self.later(secs).await;
        }
    }

    /// Somebody is told of an incident, in words that name this.
    fn assert_told(&self, what: &str) {
        let told = incident::latest(&self.world).unwrap();
        assert!(told.iter().any(|incident| incident.message.contains(what)), "{told:?}");
    }

    /// The isolate is lost: its locks are, too.
    fn vanish(&self) {
        self.locks.replace(Locks::default());
    }
}

fn target(role: &KnownPermissionGroup) -> Target {
    Target::Entitlement(format!("role:{}:member", role.governed_as()).parse().unwrap())
}

fn group_target(group: &str) -> Target {
    Target::Entitlement(format!("group:{group}:member").parse().unwrap())
}

fn member(id: &str) -> Subject {
    Subject { member_id: Some(id.parse().unwrap()), has_account: true, ..Subject::default() }
}

/// An account that is known by its address alone.
fn account_of(email: &str) -> Subject {
    Subject { has_account: true, ..person(email) }
}

fn person(email: &str) -> Subject {
    Subject { emails: vec![email.to_owned()], ..Subject::default() }
}

fn assert_done(outcome: &Outcome, expected: Effect) {
    assert!(matches!(outcome, Outcome::Done { effect, .. } if *effect == expected), "{outcome:?}");
}

/// It is not known yet, or cannot be now, and the message says why.
fn assert_not_now(outcome: &Outcome, says: &str) {
    assert!(matches!(outcome, Outcome::NotNow { message, .. } if message.contains(says)), "{outcome:?}");
}

/// A refusal is one sentence, and contains what to do.
fn assert_refused(outcome: &Outcome, expected: Refusal, says: &str) {
    let Outcome::Refused { code, message } = outcome else { panic!("{outcome:?}") };
    assert_eq!(*code, expected, "{message}");
    assert!(message.contains(says), "{message}");
    assert!(message.ends_with('.') && !message.trim_end_matches('.').contains(". "), "one sentence: {message}");
}
