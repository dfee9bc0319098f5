//! One run: an account, what C1 asks for, what others do meanwhile, and what must be true.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use c1_cloudflare::base::ports::Clock as _;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::model::ask::Action::{Grant, Revoke};
use c1_cloudflare::model::ask::{Action, Subject};
use c1_cloudflare::model::operation::{Effect, Origin, Outcome, Refusal, Request, Target};
use futures::future::{join_all, select};
use sim::cloudflare::{Access, Atom, Cloudflare, Fault, KnownPermissionGroup, Latency, On, PolicySpec};
use tokio::time::sleep;

use crate::lives::account::{account, settings};
use crate::lives::world::{WRITES, World};
use crate::lives::{Lives, Told};

/// The least number of Super Administrators.
const LEAST: usize = 2;

/// What is tried.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How many times slower Cloudflare is than on a good day.
    pub(crate) slow: u32,
    /// Which share of Cloudflare's answers goes wrong.
    pub(crate) faults: f64,
    /// How many writes, by that share, are carried out when nobody waits for them any more.
    pub(crate) late: f64,
    pub(crate) kills: usize,
    /// How many revokes and removals within an hour there may be.
    pub(crate) cap: usize,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        Self { seed, slow: 1, faults: 0.15, late: 0.25, kills: 0, cap: 1_000 }
    }
}

/// What somebody of the account goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Roles are granted and revoked.
    Ordinary,
    /// The same, while the person changes the address of their login; C1 goes on with the old one.
    Renamed,
    /// Somebody gives the person's user group what is being revoked.
    Grouped,
    /// The person's identity has another account, which nobody asks anything for; C1's membership id is outdated.
    Twin,
    /// Roles are granted while the account is removed.
    Leaver,
    /// The person is on the list of those whose access is never changed, and changes the address of their login as well.
    Protected,
    /// Somebody removes the person and invites them again.
    Moved,
    /// Super Administrator is taken from the person, as from too many others.
    Administrator,
}

#[derive(Clone, Debug)]
struct Person {
    part: Part,
    member: String,
    email: String,
    subject: Subject,
}

/// One task that ended.
#[derive(Clone)]
struct Ended {
    person: usize,
    action: Action,
    /// The role's place, or nothing for the account.
    role: Option<usize>,
    told: Told,
    asked_at: Timestamp,
    at: Timestamp,
}

/// Short, since a broken promise is told with everything that was asked for the person.
impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.role {
            Some(usize::MAX) => "administrator".to_owned(),
            Some(role) => format!("role {role}"),
            None => "account".to_owned(),
        };
        write!(
            f,
            "#{} {:?} {what} {}..{}: ",
            self.told.id,
            self.action,
            self.asked_at.millis() % 100_000_000,
            self.at.millis() % 100_000_000
        )?;
        match &self.told.outcome {
            Outcome::Done { effect, .. } => write!(f, "{effect:?}"),
            Outcome::Refused { code, message } => write!(f, "{code:?} ({message})"),
            Outcome::NotNow { message, .. } => write!(f, "not now ({message})"),
        }
    }
}

struct Stage {
    plan: Plan,
    lives: Lives,
    people: Vec<Person>,
    roles: Vec<KnownPermissionGroup>,
    group: String,
    /// When somebody changed what the group gives, and which of the first roles it gave from then on.
    group_gave: RefCell<Vec<(Timestamp, usize)>>,
    ended: RefCell<Vec<Ended>>,
    losses: RefCell<Vec<(Timestamp, String, Atom)>>,
    broken: RefCell<Vec<String>>,
    rng: RefCell<fastrand::Rng>,
    number: Cell<usize>,
}

/// Runs a plan. An error is a promise that was not kept, in a sentence.
pub(crate) async fn run(plan: &Plan) -> Result<(), String> {
    let stage = Stage::set(plan);
    let ringing = stage.lives.ring();
    let all = async {
        stage.lives.sync().await;
        stage.make_trouble();
        let before = stage.all_atoms();
        let load = join_all((0..stage.people.len()).map(|person| stage.play(person)));
        let everything = async { tokio::join!(load, stage.meddle(), stage.kill()) };
        select(std::pin::pin!(everything), std::pin::pin!(stage.look())).await;
        stage.account().clear_faults();
        // Whatever may still arrive arrives, and the alarm looks after it. A late write takes three seconds where Cloudflare is not slowed:
        // a minute more for each time that it is slower leaves room for the looks after it too.
        sleep(Duration::from_mins(10) + Duration::from_mins(1) * plan.slow).await;
        stage.check(&before);
        stage.lives.stop();
    };
    select(std::pin::pin!(ringing), std::pin::pin!(all)).await;
    let broken = stage.broken.borrow();
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} promises were broken; the first of them:\n{}",
        broken.len(),
        broken[..broken.len().min(8)].join("\n")
    ))
}

impl Stage {
    #[allow(clippy::too_many_lines, reason = "an account, line by line")]
    fn set(plan: &Plan) -> Self {
        let cloudflare = account(40, plan.seed);
        let roles: Vec<_> = cloudflare.ordinary_roles().into_iter().take(4).collect();
        let whole = cloudflare.account_resource_group();
        let admin = cloudflare.permission_group("super_admin").unwrap();
        let group = cloudflare.add_group("Platform", vec![PolicySpec::allow(roles[3].id.clone(), whole.clone())]);
        let mut people = Vec::new();
        let parts = [
            (Part::Ordinary, 6),
            (Part::Renamed, 4),
            (Part::Grouped, 3),
            (Part::Twin, 3),
            (Part::Leaver, 4),
            (Part::Protected, 1),
            (Part::Moved, 2),
            (Part::Administrator, 5),
        ];
        let mut number = 0;
        for (part, count) in parts {
            for _ in 0..count {
                number += 1;
                let email = format!("person{number}@example.com");
                let first = vec![
                    PolicySpec::allow(roles[number % 3].id.clone(), whole.clone()),
                    PolicySpec::allow(roles[3].id.clone(), whole.clone()),
                ];
                let member = cloudflare.add_member(&email, first);
                let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
                let mut subject = Subject { emails: vec![email.clone()], has_account: true, ..Subject::default() };
                subject.member_id = Some(member.parse().unwrap());
                subject.user_id = Some(user.parse().unwrap());
                match part {
                    Part::Grouped => cloudflare.join_group(&group, &member),
                    Part::Twin => {
                        cloudflare.add_member(
                            &format!("person{number}.root@example.com"),
                            vec![PolicySpec::allow(roles[1].id.clone(), whole.clone())],
                        );
                        subject.member_id = Some(format!("{number:032x}").parse().unwrap());
                        subject.user_id = None;
                    }
                    Part::Administrator => {
                        cloudflare.add_policy(&member, PolicySpec::allow(admin.id.clone(), whole.clone()));
                    }
                    _ => {}
                }
                people.push(Person { part, member, email, subject });
            }
        }
        // Those who were administrators from the start are none, so that the five are all there are.
        for member in cloudflare.memberships() {
            if !people.iter().any(|person| person.member == member.id) {
                let rest: Vec<_> =
                    cloudflare.member_atoms(&member.id).into_iter().filter(|atom| atom.1 != admin.id).collect();
                if rest.len() < cloudflare.member_atoms(&member.id).len() {
                    cloudflare.set_policies(&member.id, vec![PolicySpec::allow(roles[0].id.clone(), whole.clone())]);
                }
            }
        }
        let protected = people.iter().find(|person| person.part == Part::Protected).unwrap().email.clone();
        let vars = [
            ("PROVISIONING", "on"),
            ("MIN_SUPER_ADMINS", &LEAST.to_string()),
            ("MAX_REMOVALS_PER_HOUR", &plan.cap.to_string()),
            ("PROTECTED_MEMBERS", &protected),
        ];
        let config = settings(&cloudflare, &vars);
        let fewest = Rc::new(Cell::new(usize::MAX));
        let (seen, whole_account) = (fewest.clone(), atom_of(&cloudflare, &admin));
        let world = World::new(cloudflare, move |account| {
            seen.set(seen.get().min(administrators(account, &whole_account)));
            assert!(seen.get() >= LEAST, "only {} Super Administrators are left", seen.get());
        });
        Self {
            plan: plan.clone(),
            lives: Lives::begin(world, config),
            people,
            roles,
            group,
            group_gave: RefCell::default(),
            ended: RefCell::default(),
            losses: RefCell::default(),
            broken: RefCell::default(),
            rng: RefCell::new(fastrand::Rng::with_seed(plan.seed)),
            number: Cell::new(0),
        }
    }

    fn account(&self) -> &Cloudflare {
        &self.lives.world.cloudflare
    }

    fn broken(&self, what: String) {
        self.broken.borrow_mut().push(what);
    }

    fn make_trouble(&self) {
        let (slow, share) = (self.plan.slow, self.plan.faults);
        let account = self.account();
        account
            .set_latency(Latency { base: Duration::from_millis(40) * slow, jitter: Duration::from_millis(80) * slow });
        if share <= 0.0 {
            return;
        }
        let faults = [
            (On::Any, Fault::status(500, 10_000)),
            (On::Any, Fault::status(502, 10_000).after()),
            (On::Any, Fault::Reset),
            (On::Any, Fault::Reset.after()),
            (On::Any, Fault::TruncatedJson),
            (On::Any, Fault::Html { status: 524 }.after()),
        ];
        for (on, fault) in faults {
            account.fail_randomly(on, share / 8.0, fault);
        }
        for route in WRITES {
            account.fail_randomly(route, share * self.plan.late, Fault::Late(Duration::from_secs(3) * slow));
        }
    }

    /// What one person goes through.
    async fn play(&self, person: usize) {
        let chain = |role: usize, actions: Vec<Action>| async move {
            for action in actions {
                self.pause().await;
                self.ask(person, action, Some(role)).await;
            }
        };
        match self.people[person].part {
            Part::Ordinary | Part::Renamed | Part::Moved | Part::Twin => {
                let first = if self.random(2) == 0 { vec![Grant, Revoke] } else { vec![Revoke, Grant, Revoke] };
                tokio::join!(chain(0, first), chain(1, vec![Grant, Revoke, Grant]), chain(2, vec![Revoke]));
            }
            Part::Grouped | Part::Protected => {
                tokio::join!(chain(0, vec![Revoke]), chain(1, vec![Revoke]), chain(2, vec![Revoke, Grant]));
            }
            Part::Leaver => {
                let leave = async {
                    self.pause().await;
                    self.ask(person, Revoke, None).await;
                };
                tokio::join!(chain(0, vec![Grant]), chain(1, vec![Grant]), leave);
            }
            Part::Administrator => self.ask(person, Revoke, Some(usize::MAX)).await,
        }
    }

    async fn pause(&self) {
        sleep(Duration::from_millis(self.random(3_000)) * self.plan.slow).await;
    }

    fn random(&self, below: u64) -> u64 {
        self.rng.borrow_mut().u64(0..below)
    }

    async fn ask(&self, person: usize, action: Action, role: Option<usize>) {
        let number = self.number.get();
        self.number.set(number + 1);
        let target = match role {
            Some(role) => target(&self.role(role)),
            None => Target::Account,
        };
        let request = Request {
            key: Some(format!("task{number}~step")),
            action,
            target,
            subject: self.people[person].subject.clone(),
            origin: Origin { by: "webhook".to_owned(), ..Origin::default() },
        };
        let asked_at = self.lives.world.now();
        let told = self.lives.deliver(request).await;
        let ended = Ended { person, action, role, told, asked_at, at: self.lives.world.now() };
        self.check_now(&ended);
        self.ended.borrow_mut().push(ended);
    }

    fn role(&self, role: usize) -> KnownPermissionGroup {
        self.roles.get(role).cloned().unwrap_or_else(|| self.account().permission_group("super_admin").unwrap())
    }

    /// What others do meanwhile.
    async fn meddle(&self) {
        let account = self.account();
        let whole = account.account_resource_group();
        let gives = |roles: &[usize]| {
            roles.iter().map(|role| PolicySpec::allow(self.roles[*role].id.clone(), whole.clone())).collect::<Vec<_>>()
        };
        for (place, person) in self.people.iter().enumerate() {
            self.pause().await;
            match person.part {
                Part::Renamed | Part::Protected => {
                    account.change_email(&person.member, &format!("married{place}@example.com"));
                }
                Part::Grouped => {
                    account.set_group_policies(&self.group, gives(&[place % 3, 3]));
                    self.group_gave.borrow_mut().push((self.lives.world.now(), place % 3));
                }
                Part::Moved if account.membership(&person.member).is_some() => {
                    let held: Vec<_> = account
                        .member_atoms(&person.member)
                        .into_iter()
                        .map(|atom| PolicySpec::allow(atom.1, atom.2))
                        .collect();
                    account.remove_member(&person.member);
                    account.add_member(&person.email, held);
                }
                _ => {}
            }
        }
    }

    async fn kill(&self) {
        for _ in 0..self.plan.kills {
            self.pause().await;
            self.lives.kill();
        }
    }

    /// Everybody's own atoms, by e-mail address at the start.
    fn all_atoms(&self) -> BTreeMap<String, BTreeSet<Atom>> {
        let account = self.account();
        account.memberships().into_iter().map(|member| (member.id.clone(), account.member_atoms(&member.id))).collect()
    }

    /// The membership that a person has now, whatever their address.
    fn membership(&self, person: usize) -> Option<String> {
        let person = &self.people[person];
        let account = self.account();
        account.membership(&person.member).or_else(|| account.membership_of(&person.email)).map(|member| member.id)
    }

    /// Whether the person has a role now, by whatever way.
    fn has(&self, person: usize, role: usize) -> bool {
        let Some(member) = self.membership(person) else { return false };
        let account = self.account();
        let atom = atom_of(account, &self.role(role));
        let groups = account.membership(&member).map(|member| member.groups).unwrap_or_default();
        account.member_atoms(&member).contains(&atom)
            || groups.iter().any(|group| account.group_atoms(group).contains(&atom))
    }

    /// What must be true at the moment in which C1 is told.
    fn check_now(&self, ended: &Ended) {
        let part = self.people[ended.person].part;
        let group_changed_at = self.group_gave.borrow().last().map(|(at, _)| *at);
        // Only what nobody asks for meanwhile can be looked at now: each role has one task at a time.
        if let (Action::Revoke, Some(role), Outcome::Done { .. }) = (ended.action, ended.role, &ended.told.outcome)
            && part != Part::Leaver
            // What somebody gives after the revoke was asked for may be given after it was carried out, too.
            && group_changed_at.is_none_or(|at| part != Part::Grouped || at < ended.asked_at)
            && self.has(ended.person, role)
        {
            self.broken(format!("C1 was told that access is gone, and it is there: {ended:?} of a {part:?}"));
        }
    }

    /// What must be true in the end.
    fn check(&self, before: &BTreeMap<String, BTreeSet<Atom>>) {
        let account = self.account();
        let ended = self.ended.borrow();
        for (place, person) in self.people.iter().enumerate() {
            let theirs: Vec<&Ended> = ended.iter().filter(|ended| ended.person == place).collect();
            self.check_answers(person, &theirs);
            if self.plan.faults <= 0.0 {
                self.check_all_is_done(person, &theirs);
            }
            match person.part {
                Part::Protected => {
                    if account.member_atoms(&person.member) != before[&person.member] {
                        self.broken(format!("a protected member was changed: {theirs:?}"));
                    }
                }
                Part::Leaver => self.check_leaver(place, &theirs),
                Part::Twin => {
                    let number = place + 1;
                    let twin = account.membership_of(&format!("person{number}.root@example.com")).unwrap();
                    if account.member_atoms(&twin.id) != before[&twin.id] {
                        self.broken(format!("somebody else's account was changed: {theirs:?}"));
                    }
                    self.check_roles(place, &theirs, before);
                }
                Part::Administrator => {}
                _ => self.check_roles(place, &theirs, before),
            }
        }
        self.check_cap();
        // Of five who are all to lose it, as many do as may.
        let left = administrators(account, &atom_of(account, &self.role(usize::MAX)));
        if self.plan.faults <= 0.0 && left != LEAST {
            self.broken(format!("{left} Super Administrators are left, and {LEAST} had to stay"));
        }
        let bystanders = account
            .memberships()
            .into_iter()
            .filter(|member| !self.people.iter().any(|person| person.member == member.id));
        for member in bystanders {
            if before.get(&member.id).is_some_and(|before| *before != account.member_atoms(&member.id)) {
                self.broken(format!("somebody who was not asked about was changed: {member:?}"));
            }
        }
    }

    /// Looks every few seconds at those whose roles nobody but the connector changes, and notes who lost which.
    async fn look(&self) {
        let watched: Vec<&str> = self
            .people
            .iter()
            .filter(|person| matches!(person.part, Part::Ordinary | Part::Twin | Part::Renamed))
            .map(|person| person.member.as_str())
            .collect();
        let atoms = || watched.iter().map(|member| self.account().member_atoms(member)).collect::<Vec<_>>();
        let mut before = atoms();
        loop {
            sleep(Duration::from_secs(5)).await;
            let now = atoms();
            for (member, (before, now)) in watched.iter().zip(before.iter().zip(&now)) {
                let lost =
                    before.difference(now).map(|atom| (self.lives.world.now(), (*member).to_owned(), atom.clone()));
                self.losses.borrow_mut().extend(lost);
            }
            before = now;
        }
    }

    /// Within an hour no more roles are lost than the cap says. The same one that came back and was taken again counts once.
    fn check_cap(&self) {
        let losses = self.losses.borrow();
        for (from, _, _) in losses.iter() {
            let within = losses.iter().filter(|(at, _, _)| (0..59 * 60 * 1000).contains(&at.since(*from)));
            let distinct: BTreeSet<_> = within.map(|(_, member, atom)| (member, atom)).collect();
            if distinct.len() > self.plan.cap {
                self.broken(format!(
                    "{} roles were lost within an hour, and the cap is {}",
                    distinct.len(),
                    self.plan.cap
                ));
                return;
            }
        }
    }

    /// Each role is as C1 was told last.
    fn check_roles(&self, place: usize, theirs: &[&Ended], before: &BTreeMap<String, BTreeSet<Atom>>) {
        let person = &self.people[place];
        let account = self.account();
        let mut expected = before[&person.member].clone();
        for ended in theirs {
            let (Some(role), Outcome::Done { .. }) = (ended.role, &ended.told.outcome) else { continue };
            let atom = atom_of(account, &self.role(role));
            if ended.action == Action::Grant {
                expected.insert(atom);
            } else {
                expected.remove(&atom);
            }
        }
        let own = self.membership(place).map(|member| account.member_atoms(&member)).unwrap_or_default();
        // Somebody removed and invited this person again with what they held at that moment, which is not in the tasks.
        let exact = person.part != Part::Moved;
        // What a person held and has through a group as well may have been taken before that was known, and stays with them.
        let through_group = |atom: &Atom| {
            theirs.iter().any(|ended| {
                matches!(&ended.told.outcome, Outcome::Refused { code: Refusal::HeldThroughGroup, .. })
                    && ended.role.is_some_and(|role| atom_of(account, &self.role(role)) == *atom)
            })
        };
        expected.retain(|atom| own.contains(atom) || !through_group(atom));
        let wrong: Vec<_> = if exact {
            own.symmetric_difference(&expected).collect()
        } else {
            let told = |atom: &Atom| {
                theirs.iter().any(|ended| ended.role.is_some_and(|role| atom_of(account, &self.role(role)) == *atom))
            };
            own.difference(&expected).filter(|atom| told(atom)).collect()
        };
        if !wrong.is_empty() {
            self.broken(format!(
                "a {:?} {} ({}) has not what C1 was told: {wrong:?} of {:?} after {theirs:?}",
                person.part,
                person.email,
                person.member,
                self.roles.iter().map(|role| &role.id).collect::<Vec<_>>()
            ));
        }
    }

    /// Of a removal and the grants beside it the newest that was carried out counts.
    fn check_leaver(&self, place: usize, theirs: &[&Ended]) {
        let done = |ended: &&&Ended| matches!(ended.told.outcome, Outcome::Done { .. });
        let Some(removal) = theirs.iter().find(|ended| ended.role.is_none()) else { return };
        let newer_grant =
            theirs.iter().filter(done).find(|ended| ended.role.is_some() && ended.told.id > removal.told.id);
        let gone = self.membership(place).is_none();
        match newer_grant {
            Some(grant) if !self.has(place, grant.role.unwrap()) => {
                self.broken(format!("a removal undid a newer grant: {theirs:?}"));
            }
            None if done(&removal) && !gone => {
                self.broken(format!("C1 was told that the account is gone, and it is there: {theirs:?}"));
            }
            _ => {}
        }
    }

    /// What may be refused, and what may not.
    fn check_answers(&self, person: &Person, theirs: &[&Ended]) {
        for ended in theirs {
            let Outcome::Refused { code, .. } = &ended.told.outcome else { continue };
            let right = match person.part {
                // Twins' outdated membership ids, and addresses that changed: a grant may be refused for that, a revoke not.
                Part::Renamed => ended.action == Action::Grant,
                Part::Ordinary | Part::Twin => false,
                Part::Grouped => matches!(code, Refusal::HeldThroughGroup),
                // Once the address is another one, a grant under the old one is nobody's.
                Part::Protected => {
                    *code == Refusal::ProtectedMember
                        || (ended.action == Action::Grant && *code == Refusal::AmbiguousMember)
                }
                Part::Moved | Part::Leaver => true,
                // Where everything is slow, to ask who else is one may never fit into an attempt: then it is said, and nothing was changed.
                Part::Administrator => {
                    *code == Refusal::MinSuperAdmins || (self.plan.slow > 1 && *code == Refusal::GaveUp)
                }
            };
            if !right {
                self.broken(format!("a {:?} was refused: {ended:?}", person.part));
            }
        }
        let granted =
            |ended: &&&Ended| matches!(&ended.told.outcome, Outcome::Done { effect, .. } if *effect == Effect::Granted);
        if self.plan.faults <= 0.0 && person.part == Part::Ordinary && !theirs.iter().any(|ended| granted(&ended)) {
            self.broken(format!("nothing was granted: {theirs:?}"));
        }
    }

    /// Whether somebody had the group give a role at any time from when a task was asked for until it ended.
    fn gave_meanwhile(&self, role: usize, ended: &Ended) -> bool {
        let gave = self.group_gave.borrow();
        let until = |place: usize| gave.get(place + 1).map(|(until, _)| *until);
        gave.iter().enumerate().any(|(place, (from, given))| {
            *given == role && *from <= ended.at && until(place).is_none_or(|until| until >= ended.asked_at)
        })
    }

    /// Where nothing fails, whoever leaves is refused only what another of their own tasks makes void, and whoever is in a user group only what that gives.
    fn check_all_is_done(&self, person: &Person, theirs: &[&Ended]) {
        let is_done = |ended: &Ended| matches!(ended.told.outcome, Outcome::Done { .. });
        for ended in theirs.iter().copied().filter(|ended| !is_done(ended)) {
            let mut others = theirs.iter().copied().filter(|other| is_done(other));
            let Outcome::Refused { code, .. } = &ended.told.outcome else {
                self.broken(format!("a task came to no end: {ended:?}"));
                continue;
            };
            let is_right = match (person.part, ended.role) {
                // A newer grant was carried out before the removal.
                (Part::Leaver, None) => {
                    *code == Refusal::Superseded && others.any(|other| other.told.id > ended.told.id)
                }
                // Whom the removal took away nothing is given.
                (Part::Leaver, Some(_)) => others.any(|other| other.role.is_none()),
                (Part::Grouped, Some(role)) => {
                    *code == Refusal::HeldThroughGroup && ended.action == Revoke && self.gave_meanwhile(role, ended)
                }
                _ => true,
            };
            if !is_right {
                self.broken(format!("what could be done was refused: {ended:?} of {theirs:?}"));
            }
        }
    }
}

fn atom_of(account: &Cloudflare, role: &KnownPermissionGroup) -> Atom {
    (Access::Allow, role.id.clone(), account.account_resource_group())
}

fn administrators(account: &Cloudflare, atom: &Atom) -> usize {
    account.holders(atom)
}

fn target(role: &KnownPermissionGroup) -> Target {
    Target::Entitlement(format!("role:{}:member", role.governed_as()).parse().unwrap())
}
