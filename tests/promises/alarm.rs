//! One thing that hangs stops only itself: what is due goes on while another part of the alarm's work, a member or C1 does not answer.

use std::pin::pin;
use std::time::Duration;

use c1_cloudflare::base::jobs::{self, JobKind};
use c1_cloudflare::base::ports::{Clock as _, Sql as _, SqlValue};
use c1_cloudflare::model::ask::{Action, Subject};
use c1_cloudflare::model::operation::{Effect, Origin, Outcome, Request, Target};
use futures::future::{join_all, select};
use sim::cloudflare::{Cloudflare, Fault, KnownPermissionGroup, Latency, Route, Spec};
use tokio::time::sleep;

use crate::lives::Lives;
use crate::lives::account::{account, settings};
use crate::lives::world::World;

/// A connector to an account of a few members, which was synced.
pub(crate) struct Small {
    pub(crate) lives: Lives,
    pub(crate) roles: Vec<KnownPermissionGroup>,
    pub(crate) members: Vec<String>,
}

impl Small {
    fn new(members: usize) -> Self {
        let cloudflare = account(4, Spec::default().seed);
        let roles = cloudflare.ordinary_roles();
        let held = sim::cloudflare::PolicySpec::allow(roles[0].id.clone(), cloudflare.account_resource_group());
        let members = (0..members)
            .map(|number| cloudflare.add_member(&format!("person{number}@example.com"), vec![held.clone()]))
            .collect();
        let config = settings(&cloudflare, &[("PROVISIONING", "on")]);
        let world = World::new(cloudflare, |_| {});
        Self { lives: Lives::begin(world, config), roles, members }
    }

    pub(crate) fn account(&self) -> &Cloudflare {
        &self.lives.world.cloudflare
    }

    /// Whatever is asked of a member is never answered.
    pub(crate) fn hang(&self, member: usize) {
        self.lives.world.hanging.borrow_mut().push(format!("/members/{}", self.members[member]));
    }

    /// Grants a role; how long that took.
    pub(crate) async fn grant(&self, member: usize, role: usize) -> Duration {
        self.change(member, role, Action::Grant).await
    }

    /// Revokes a role that the member has; how long that took.
    pub(crate) async fn revoke(&self, member: usize, role: usize) -> Duration {
        self.change(member, role, Action::Revoke).await
    }

    async fn change(&self, member: usize, role: usize, action: Action) -> Duration {
        let began = self.lives.world.now();
        let request = Request {
            key: Some(format!("task{member}-{role}~{action:?}")),
            action,
            target: Target::Entitlement(
                format!("role:{}:member", self.roles[role].role_id.clone().unwrap()).parse().unwrap(),
            ),
            subject: Subject {
                emails: vec![format!("person{member}@example.com")],
                member_id: Some(self.members[member].parse().unwrap()),
                has_account: true,
                ..Subject::default()
            },
            origin: Origin { by: "webhook".to_owned(), ..Origin::default() },
        };
        let told = self.lives.deliver(request).await;
        let effect = if action == Action::Grant { Effect::Granted } else { Effect::Revoked };
        assert!(matches!(&told.outcome, Outcome::Done { effect: e, .. } if *e == effect), "{:?}", told.outcome);
        Duration::from_millis(u64::try_from(self.lives.world.now().since(began)).unwrap())
    }

    pub(crate) fn one(&self, statement: &str) -> Option<i64> {
        self.lives.world.one(statement, &[]).unwrap().as_ref().and_then(SqlValue::integer)
    }
}

/// Runs a scenario with the alarm ringing beside it.
pub(crate) fn run(members: usize, scenario: impl AsyncFnOnce(&Small)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let small = Small::new(members);
        let all = async {
            small.lives.sync().await;
            small.account().set_latency(Latency { base: Duration::from_millis(40), jitter: Duration::from_millis(80) });
            scenario(&small).await;
            small.lives.stop();
        };
        select(pin!(small.lives.ring()), pin!(all)).await;
    });
}

/// A member whose grant was written twice since the first write was not answered: that one is looked for 15 s later.
async fn with_a_late_write(small: &Small, member: usize) {
    small.account().fail_next(Route::UpdateMember, 1, Fault::Reset);
    small.grant(member, 1).await;
    assert!(small.one("SELECT COUNT(*) FROM sent WHERE check_at IS NOT NULL") > Some(0));
}

#[test]
fn an_alarm_that_rang_in_vain_is_set_again_and_one_that_did_not_is_left_alone() {
    run(1, async |small| {
        let world = &small.lives.world;
        let ring = async |done: Result<(), String>| {
            world.alarm.set(None);
            c1_cloudflare::coordinator::rang(world, done).await.unwrap();
            world.alarm.get().map(|at| at.since(world.now()))
        };
        assert_eq!(ring(Ok(())).await, None);
        for _ in 0..2 {
            assert_eq!(ring(Err("PROVISIONING is \"maybe\"".to_owned())).await, Some(60_000));
        }
        let told = world.desk.errors();
        assert_eq!(
            told.iter().filter(|line| line.contains("rang in vain") && line.contains("maybe")).count(),
            2,
            "{told:?}"
        );
        // What somebody asked for sooner stays.
        let sooner = world.now().plus_secs(5);
        c1_cloudflare::base::ports::Alarm::wake(world, sooner).await.unwrap();
        c1_cloudflare::coordinator::rang(world, Err("again".to_owned())).await.unwrap();
        assert_eq!(world.alarm.get(), Some(sooner));
    });
}

#[test]
fn a_look_for_a_late_write_that_hangs_keeps_no_operation_waiting() {
    run(4, async |small| {
        Box::pin(with_a_late_write(small, 0)).await;
        small.hang(0);
        let due = small.one("SELECT MIN(check_at) FROM sent").unwrap();
        let until = u64::try_from(due - small.lives.world.now().millis()).unwrap();
        // The grant is put off for five seconds, and due again while the look is under way.
        sleep(Duration::from_millis(until - 3_000)).await;
        small.account().fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
        let took = small.grant(1, 1).await;
        assert!(took > Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
    });
}

/// Twenty people whom somebody changes at once, and a grant for another that is put off for five seconds some minutes later.
#[test]
fn members_whom_the_log_names_and_who_hang_keep_no_operation_waiting_and_those_who_answer_are_read_in_one_turn() {
    for hangs in [true, false] {
        run(21, async |small| {
            let account = small.account();
            let listens = [("PROVISIONING", "on"), ("AUDIT_FEED", "on"), ("LAST_LOGINS", "off")];
            small.lives.reconfigure(settings(account, &listens));
            small.lives.sync().await;
            sleep(Duration::from_mins(3)).await;
            account.set_latency(Latency { base: Duration::from_millis(300), jitter: Duration::ZERO });
            let whole = account.account_resource_group();
            for member in 0..20 {
                account.set_policies(
                    &small.members[member],
                    vec![sim::cloudflare::PolicySpec::allow(small.roles[2].id.clone(), whole.clone())],
                );
                if hangs {
                    small.hang(member);
                }
            }
            if !hangs {
                let noted = || small.one("SELECT COUNT(DISTINCT member) FROM overlay").unwrap();
                let before = noted();
                for _ in 0..60 {
                    if noted() == before {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                // The log is read again later than that.
                sleep(Duration::from_secs(25)).await;
                assert_eq!(noted() - before, 20);
                return;
            }
            sleep(Duration::from_mins(9)).await;
            account.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
            let took = small.grant(20, 1).await;
            assert!(took > Duration::from_secs(5) && took < Duration::from_secs(20), "{took:?}");
        });
    }
}

#[test]
fn a_look_that_hangs_is_cut_off_after_ten_seconds_and_made_again() {
    run(4, async |small| {
        Box::pin(with_a_late_write(small, 0)).await;
        small.hang(0);
        let due = small.one("SELECT MIN(check_at) FROM sent").unwrap();
        let until = u64::try_from(due - small.lives.world.now().millis()).unwrap();
        sleep(Duration::from_millis(until) + Duration::from_secs(11)).await;
        let again = small.one("SELECT MIN(check_at) FROM sent").unwrap();
        assert_eq!((again - due + 500) / 1_000, 25, "ten seconds, and fifteen more");
    });
}

#[test]
fn an_operation_that_hangs_keeps_no_other_one_waiting() {
    run(4, async |small| {
        small.hang(0);
        // Cut off after 20 s, put off, and hanging again in the alarm's ring.
        let hanging = small.grant(0, 1);
        let other = async {
            sleep(Duration::from_secs(23)).await;
            small.account().fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
            let took = small.grant(1, 1).await;
            assert!(took > Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
            small.lives.world.hanging.borrow_mut().clear();
        };
        tokio::join!(hanging, other);
    });
}

/// Who dies in a ring is rung again soon only where nobody has set another time, and every other part has ended by then.
#[test]
fn an_operation_that_is_cut_off_in_a_ring_goes_on_within_a_minute_though_what_else_is_due_is_due_tomorrow() {
    run(4, async |small| {
        let world = &small.lives.world;
        let nothing_else = [("PROVISIONING", "on"), ("AUDIT_FEED", "off"), ("LAST_LOGINS", "off")];
        small.lives.reconfigure(settings(small.account(), &nothing_else));
        sleep(Duration::from_mins(10)).await;
        jobs::want(world, JobKind::Wire, "tomorrow", false, world.now().plus_secs(86_400)).unwrap();
        small.account().fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
        let killed = async {
            // The grant is put off for five seconds: its second attempt is the ring's.
            sleep(Duration::from_secs(3)).await;
            small.hang(0);
            sleep(Duration::from_secs(5)).await;
            assert!(world.under_way.get().0 > 0, "the control: it is in the middle of an attempt");
            small.lives.kill();
            world.hanging.borrow_mut().clear();
        };
        let (took, ()) = tokio::join!(small.grant(0, 1), killed);
        assert!(took > Duration::from_secs(8) && took < Duration::from_mins(1), "{took:?}");
    });
}

#[test]
fn at_most_four_of_provisionings_requests_are_under_way_at_once_and_everybody_has_their_turn() {
    run(30, async |small| {
        small.lives.world.under_way.set((0, 0));
        join_all((0..30).map(|member| small.grant(member, 1))).await;
        assert_eq!(small.lives.world.under_way.get(), (0, 4));
        let tries = small.one("SELECT SUM(put_offs) FROM operation");
        assert_eq!(tries, Some(0), "who waits for others has spent no try");
    });
}

#[test]
fn members_that_hang_keep_nobody_else_waiting_for_long() {
    run(12, async |small| {
        // As many as there are seats: nobody gets past them until they are cut off, and those come again ever later.
        (0..4).for_each(|member| small.hang(member));
        let hanging = join_all((0..4).map(|member| small.grant(member, 1)));
        let others = async {
            sleep(Duration::from_millis(100)).await;
            let took = join_all((4..12).map(|member| small.grant(member, 1))).await;
            assert!(took.iter().all(|took| *took < Duration::from_secs(50)), "{took:?}");
            let tries = small.one("SELECT SUM(put_offs) FROM operation WHERE outcome IS NOT NULL");
            assert_eq!(tries, Some(0), "who waits for others has spent no try");
            small.lives.world.hanging.borrow_mut().clear();
        };
        tokio::join!(hanging, others);
    });
}

#[test]
fn two_grants_at_once_for_somebody_new_make_one_invitation() {
    run(1, async |small| {
        let ask = async |role: usize| {
            let request = Request {
                key: Some(format!("new-{role}~step")),
                action: Action::Grant,
                target: Target::Entitlement(
                    format!("role:{}:member", small.roles[role].governed_as()).parse().unwrap(),
                ),
                subject: Subject { emails: vec!["new.hire@example.com".to_owned()], ..Subject::default() },
                origin: Origin { by: "webhook".to_owned(), ..Origin::default() },
            };
            small.lives.deliver(request).await.outcome
        };
        let told = tokio::join!(ask(1), ask(2));
        for outcome in [told.0, told.1] {
            assert!(matches!(&outcome, Outcome::Done { effect: Effect::Granted, .. }), "{outcome:?}");
        }
        assert_eq!(small.account().requests(Route::CreateMember), 1);
        assert_eq!(small.one("SELECT SUM(put_offs) FROM operation"), Some(0), "the one waited for the other");
    });
}

#[test]
fn revokes_of_super_administrator_at_once_wait_for_each_other() {
    // Whichever of them is read and written first.
    (0..12).for_each(revokes_of_super_administrator_at_once);
}

fn revokes_of_super_administrator_at_once(faster: u64) {
    run(3, async |small| {
        let account = small.account();
        let jitter = Duration::from_millis(400 - 20 * faster);
        account.set_latency(Latency { base: Duration::from_millis(10), jitter });
        let admin = account.permission_group("super_admin").unwrap();
        let whole = account.account_resource_group();
        let allow = |role: &KnownPermissionGroup| sim::cloudflare::PolicySpec::allow(role.id.clone(), whole.clone());
        for membership in account.memberships() {
            let is_one = small.members.contains(&membership.id);
            let policies =
                if is_one { vec![allow(&small.roles[0]), allow(&admin)] } else { vec![allow(&small.roles[0])] };
            account.set_policies(&membership.id, policies);
        }
        let revoke = async |member: usize| {
            let request = Request {
                key: Some(format!("admin{member}~step")),
                action: Action::Revoke,
                target: Target::Entitlement(format!("role:{}:member", admin.governed_as()).parse().unwrap()),
                subject: Subject {
                    emails: vec![format!("person{member}@example.com")],
                    member_id: Some(small.members[member].parse().unwrap()),
                    has_account: true,
                    ..Subject::default()
                },
                origin: Origin { by: "webhook".to_owned(), ..Origin::default() },
            };
            small.lives.deliver(request).await.outcome
        };
        let told = join_all((0..3).map(revoke)).await;
        let done = told.iter().filter(|outcome| matches!(outcome, Outcome::Done { .. })).count();
        let is_admin = |id: &&String| account.member_atoms(id).iter().any(|atom| atom.1 == admin.id);
        let left = small.members.iter().filter(is_admin).count();
        assert_eq!((done, left), (1, 2), "{told:?}");
    });
}
