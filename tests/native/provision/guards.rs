//! What provisioning must not do.

use std::collections::BTreeSet;

use c1_cloudflare::account::default_role::Configured;
use c1_cloudflare::base::ports::{Clock as _, Secret, Sql as _};
use c1_cloudflare::cloudflare::{Client, Purpose};
use c1_cloudflare::coordinator::Settings;
use c1_cloudflare::provision::LastRole;
use sim::cloudflare::{Access, Atom, Cloudflare, Fault, Membership, Oddity, On, Permission, Route};

use super::{
    Action, Bench, Effect, EntryId, JANE, NEW, Outcome, Refusal, Target, assert_done, assert_not_now, assert_refused,
    atom, group_target, holds, member, person, roles, target,
};

/// The accepted members who are Super Administrator of their own.
fn admins(account: &Cloudflare) -> Vec<Membership> {
    let wanted = atom(account, &account.permission_group("super_admin").unwrap());
    let all = account.memberships().into_iter();
    all.filter(|member| member.status == "accepted" && account.member_atoms(&member.id).contains(&wanted)).collect()
}

/// Leaves this many Super Administrators, each with another role as well.
fn leave_admins(account: &Cloudflare, count: usize) {
    let (role, all) = (roles(account)[0].clone(), admins(account));
    for admin in &all[..count] {
        account.add_policy(&admin.id, holds(account, &role));
    }
    for admin in &all[count..] {
        account.set_policies(&admin.id, vec![holds(account, &role)]);
    }
    assert_eq!(admins(account).len(), count);
}

fn super_administrator(bench: &Bench) -> Target {
    target(&bench.account().permission_group("super_admin").unwrap())
}

#[tokio::test]
async fn one_who_was_made_super_administrator_since_the_last_sync_counts() {
    let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
    let first = admins(bench.account())[0].id.clone();
    let refused = bench.operate(Action::Revoke, super_administrator(&bench), member(&first)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "make somebody else Super Administrator");
    let role = bench.account().permission_group("super_admin").unwrap();
    bench.account().add_member("newest@example.com", vec![holds(bench.account(), &role)]);
    assert_done(&bench.operate(Action::Revoke, super_administrator(&bench), member(&first)).await, Effect::Revoked);
}

#[tokio::test]
async fn one_through_a_group_counts_while_invited_or_denied_ones_do_not() {
    let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
    let account = bench.account();
    let first = admins(account)[0].id.clone();
    let role = account.permission_group("super_admin").unwrap();
    account.invite(NEW, vec![holds(account, &role)]);
    let mut denied = holds(account, &role);
    denied.access = Access::Deny;
    account.add_member("denied@example.com", vec![holds(account, &role), denied]);
    let refused = bench.operate(Action::Revoke, super_administrator(&bench), member(&first)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "Only 1 ");
    let group = account.add_group("Admins", vec![holds(account, &role)]);
    let through = account.add_member("through@example.com", vec![holds(account, &roles(account)[0])]);
    account.join_group(&group, &through);
    assert_done(&bench.operate(Action::Revoke, super_administrator(&bench), member(&first)).await, Effect::Revoked);
    // And that one cannot leave the group now, nor be removed.
    for (what, whom) in [(group_target(&group), &through), (Target::Account, &through)] {
        let refused = bench.operate(Action::Revoke, what, member(whom)).await;
        assert_refused(&refused, Refusal::MinSuperAdmins, "MIN_SUPER_ADMINS");
    }
}

#[tokio::test]
async fn a_list_that_is_not_there_for_a_moment_says_of_nobody_that_they_are_removed() {
    let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
    let account = bench.account();
    let first = admins(account)[0].id.clone();
    let role = account.permission_group("super_admin").unwrap();
    let group = account.add_group("Admins", vec![holds(account, &role)]);
    let through = account.add_member("through@example.com", vec![holds(account, &roles(account)[0])]);
    account.join_group(&group, &through);
    account.fail_next(Route::DeleteMember, 1, Fault::status(500, 10_000));
    let revoke = bench.arrive(Action::Revoke, Target::Account, member(&first));
    assert_not_now(&bench.attempt(revoke).await, "still shows");
    // The guards ask for the list: of those who are Super Administrators of their own there are not enough.
    account.fail_next(Route::ListMembers, 9, Fault::status(404, 7003));
    bench.world.advance(10);
    assert_not_now(&bench.attempt(revoke).await, "cannot be read back");
    assert!(account.membership(&first).is_some());
    account.clear_faults();
    assert_done(&bench.settle(revoke).await, Effect::Removed);
    assert!(account.membership(&first).is_none());
}

/// A connector of the same account that has synced nothing yet.
pub(super) fn unsynced(bench: &Bench) -> Bench {
    let mut world = super::World::new(sim::cloudflare::Spec::default());
    c1_cloudflare::coordinator::init(&world).unwrap();
    world.cloudflare = bench.account().clone();
    world.config = bench.world.config.clone();
    Bench { world, locks: std::cell::RefCell::default() }
}

#[tokio::test]
async fn min_super_admins_holds_before_the_first_sync_too() {
    let bench = Bench::with(|account| leave_admins(account, 1), |_| {}).await;
    let unsynced = unsynced(&bench);
    let first = admins(bench.account())[0].id.clone();
    let refused = unsynced.operate(Action::Revoke, Target::Account, member(&first)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "Only 0 ");
    // The permission group that it is stands on the second page, and the first one is not full.
    let first_page = std::cell::RefCell::new(serde_json::Value::Null);
    unsynced.world.bends.replace(Some(Box::new(move |asked, body| {
        if asked.contains("permission_groups?page=1&") {
            first_page.replace(std::mem::replace(&mut body["result"], serde_json::json!([])));
            body["result_info"]["total_pages"] = serde_json::json!(2);
        } else if asked.contains("permission_groups?page=2&") {
            body["result"] = first_page.take();
        }
    })));
    let refused = unsynced.operate(Action::Revoke, Target::Account, member(&first)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "Only 0 ");
}

#[tokio::test]
async fn two_revokes_at_once_never_both_pass() {
    for stale in [0, 1] {
        let bench = Bench::with(|account| leave_admins(account, 3), |_| {}).await;
        let all = admins(bench.account());
        bench.account().configure(|behaviour| behaviour.stale_reads_after_put = stale);
        let revoke = |n: usize| bench.operate(Action::Revoke, super_administrator(&bench), member(&all[n].id));
        let outcomes = futures::future::join_all((0..3).map(revoke)).await;
        let done =
            outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done { effect: Effect::Revoked, .. })).count();
        assert_eq!((done, admins(bench.account()).len()), (1, 2), "{outcomes:?}");
    }
}

/// The first Super Administrator owns the user token.
fn with_user_token(config: &mut Settings, account: &Cloudflare) {
    config.cloudflare.token = Secret::new(account.user_token());
}

async fn owner(bench: &Bench) -> Membership {
    let client = Client::new(&bench.world, &bench.world.config.cloudflare, Purpose::Sync);
    let user = client.token_owner().await.unwrap().to_string();
    bench.account().memberships().into_iter().find(|member| member.user_id.as_ref() == Some(&user)).unwrap()
}

#[tokio::test]
async fn token_owner_is_spared() {
    let mut bench = Bench::start().await;
    let account = bench.account().clone();
    with_user_token(&mut bench.world.config, &account);
    let owner = owner(&bench).await;
    account.add_policy(&owner.id, holds(&account, &roles(&account)[0]));
    for what in [super_administrator(&bench), Target::Account] {
        let refused = bench.operate(Action::Revoke, what, member(&owner.id)).await;
        assert_refused(&refused, Refusal::TokenOwner, &owner.email);
    }
    assert_done(&bench.operate(Action::Revoke, target(&roles(&account)[0]), member(&owner.id)).await, Effect::Revoked);
    let other = admins(&account).into_iter().find(|admin| admin.id != owner.id).unwrap();
    account.reset_log();
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&other.id)).await, Effect::Removed);
    assert_eq!(account.requests(Route::GetUser), 0, "it was asked once, before");
}

#[tokio::test]
async fn a_token_that_may_not_tell_whose_it_is_spares_every_super_administrator() {
    let mut bench = Bench::start().await;
    let account = bench.account().clone();
    with_user_token(&mut bench.world.config, &account);
    account.revoke_permission(Permission::User);
    let other = admins(&account).into_iter().nth(1).unwrap();
    let refused = bench.operate(Action::Revoke, Target::Account, member(&other.id)).await;
    assert_refused(&refused, Refusal::TokenOwner, "User Details: Read");
    let plain = account.add_member(JANE, vec![holds(&account, &roles(&account)[0])]);
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&plain)).await, Effect::Removed);
}

#[tokio::test]
async fn no_default_role_is_said_of_what_is_none_and_either_kind_of_entitlement_may_be_one() {
    let account = sim::cloudflare::Cloudflare::new(sim::cloudflare::Spec {
        members: 8,
        roles: 12,
        groups: 2,
        zones: 2,
        ..Default::default()
    });
    let role = roles(&account)[2].clone();
    let scoped = account.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let domain = account.domain_resource_groups()[0].0.clone();
    for (setting, expected) in [
        (format!("role:{}:member", role.governed_as()), Some(atom(&account, &role))),
        (role.id.clone(), Some(atom(&account, &role))),
        (role.name.clone(), Some(atom(&account, &role))),
        (
            format!("scoped_role:{}-{domain}:member", scoped.id),
            Some((Access::Allow, scoped.id.clone(), domain.clone())),
        ),
        (format!("group:{}:member", "a".repeat(32)), None),
        ("No Such Role".to_owned(), None),
    ] {
        let bench = Bench::with(|_| {}, |config| config.provision.default_role = Configured::read(&setting)).await;
        let outcome = bench.operate(Action::Grant, Target::Account, person(NEW)).await;
        match expected {
            Some(expected) => {
                assert_done(&outcome, Effect::Invited);
                let invited = bench.account().membership_of(NEW).unwrap();
                assert_eq!(bench.atoms(&invited.id), [expected].into(), "{setting}");
            }
            None => assert_refused(&outcome, Refusal::NoDefaultRole, "DEFAULT_ROLE"),
        }
    }
}

#[tokio::test]
async fn superseded_is_what_a_newer_operation_asked_the_contrary_of() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    account.fail_next(
        Route::UpdateMember,
        3,
        sim::cloudflare::Fault::TooManyRequests { retry_after: Some(1), headers: false },
    );
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    account.clear_faults();
    bench.world.advance(400);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::AlreadyGranted);
    let refused = bench.settle(revoke).await;
    assert_refused(&refused, Refusal::Superseded, "this one is void");
    assert!(bench.atoms(&jane).contains(&atom(account, &known[1])));
}

/// A member who is in a group that gives something: a sync learns from it whether member records show what groups give.
pub(super) fn somebody_in_a_group(account: &Cloudflare) {
    let known = roles(account);
    let group = account.add_group("Somebodies", vec![holds(account, &known[9])]);
    let member = account.add_member("somebody@example.com", vec![holds(account, &known[8])]);
    account.join_group(&group, &member);
}

/// Webhooks, which come again by themselves; one after another they are asked for the same kind of thing.
fn webhooks(bench: &Bench, whats: Vec<(Target, c1_cloudflare::model::ask::Subject)>) -> Vec<super::EntryId> {
    let now = bench.world.now();
    let number = std::cell::Cell::new(0);
    let arrive = |(target, subject)| {
        number.set(number.get() + 1);
        let request = c1_cloudflare::model::operation::Request {
            key: Some(format!("{}/{}", now.millis(), number.get())),
            action: Action::Revoke,
            target,
            subject,
            origin: super::Origin::default(),
        };
        match super::journal::arrive(&bench.world, &request, now, now.plus_secs(30)).unwrap() {
            super::Arrival::New(id) => id,
            other => panic!("{other:?}"),
        }
    };
    whats.into_iter().map(arrive).collect()
}

fn count(outcomes: &[Outcome]) -> (usize, usize) {
    let done = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done { .. })).count();
    (done, outcomes.iter().filter(|outcome| matches!(outcome, Outcome::NotNow { .. })).count())
}

#[tokio::test]
async fn the_removal_cap_holds_for_many_at_once_and_the_others_wait_their_turn() {
    for what in ["account", "role", "last role", "group"] {
        let bench = Bench::with(
            |_| {},
            |config| {
                config.provision.guards.max_removals_per_hour = 3;
                config.provision.guards.last_role = LastRole::RemoveMember;
            },
        )
        .await;
        let account = bench.account();
        let known = roles(account);
        let group = account.add_group("Operators", vec![holds(account, &known[5])]);
        let mut whats = Vec::new();
        for number in 0..9 {
            let mut policies = vec![holds(account, &known[0])];
            if what != "last role" {
                policies.push(holds(account, &known[1]));
            }
            let one = account.add_member(&format!("person{number}@example.com"), policies);
            if what == "group" {
                account.join_group(&group, &one);
            }
            let target = match what {
                "account" => Target::Account,
                "group" => group_target(&group),
                _ => target(&known[0]),
            };
            whats.push((target, member(&one)));
        }
        let ids = webhooks(&bench, whats);
        let mut left: Vec<_> = ids.clone();
        for hour in 0..3 {
            let outcomes = futures::future::join_all(left.iter().map(|id| bench.attempt(*id))).await;
            assert_eq!(count(&outcomes), (3, left.len() - 3), "{what}, hour {hour}: {outcomes:?}");
            left = left
                .into_iter()
                .zip(&outcomes)
                .filter(|(_, out)| matches!(out, Outcome::NotNow { .. }))
                .map(|(id, _)| id)
                .collect();
            let again = futures::future::join_all(left.iter().map(|id| bench.attempt(*id))).await;
            assert_eq!(count(&again).0, 0, "{what}: within the hour");
            bench.world.advance(3_601);
        }
        bench.assert_told("MAX_REMOVALS_PER_HOUR");
        let told = c1_cloudflare::provision::incident::latest(&bench.world).unwrap();
        assert!(told.len() <= 3, "once an hour: {told:?}");
    }
}

/// Hundreds may wait, and others need the requests that their looks would cost.
#[tokio::test]
async fn what_waits_for_room_asks_for_nothing_before_its_turn_and_is_refused_once_nothing_is_removed_any_more() {
    for (then, code) in [
        ("it is its turn", None),
        ("provisioning is off", Some(Refusal::ProvisioningOff)),
        ("nothing is removed", Some(Refusal::RemovalCap)),
        ("it is granted again", Some(Refusal::Superseded)),
    ] {
        let mut bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 1).await;
        let account = bench.account().clone();
        let known = roles(&account);
        let [jane, joe] = [JANE, "joe@example.com"]
            .map(|email| account.add_member(email, vec![holds(&account, &known[0]), holds(&account, &known[1])]));
        let ids = webhooks(&bench, [&joe, &jane].map(|id| (target(&known[0]), member(id))).to_vec());
        assert_done(&bench.attempt(ids[0]).await, Effect::Revoked);
        assert_not_now(&bench.attempt(ids[1]).await, "MAX_REMOVALS_PER_HOUR allows 1");
        account.reset_log();
        assert_not_now(&bench.attempt(ids[1]).await, "MAX_REMOVALS_PER_HOUR");
        assert_eq!(account.total_requests(), 0, "{then}");
        let trail = bench.entry(ids[1]).trail;
        assert_eq!(trail.iter().filter(|line| line.contains("put off")).count(), 1, "said once: {trail:?}");
        match then {
            "provisioning is off" => {
                bench.world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::Off;
            }
            "nothing is removed" => bench.world.config.provision.guards.max_removals_per_hour = 0,
            "it is granted again" => {
                assert_done(
                    &bench.operate(Action::Grant, target(&known[0]), member(&jane)).await,
                    Effect::AlreadyGranted,
                );
            }
            _ => bench.world.advance(3_601),
        }
        account.reset_log();
        let ended = bench.attempt(ids[1]).await;
        match code {
            Some(code) => {
                assert_refused(&ended, code, "");
                assert_eq!(account.total_requests(), 0, "{then}");
            }
            None => assert_done(&ended, Effect::Revoked),
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_room_while_provisioning_is_off() {
    for is_on in [false, true] {
        let mut bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 1).await;
        let account = bench.account().clone();
        let known = roles(&account);
        let [jane, joe] = [JANE, "joe@example.com"]
            .map(|email| account.add_member(email, vec![holds(&account, &known[0]), holds(&account, &known[1])]));
        assert_done(&bench.operate(Action::Revoke, target(&known[0]), member(&joe)).await, Effect::Revoked);
        if !is_on {
            bench.world.config.provision.provisioning = c1_cloudflare::provision::Provisioning::Off;
        }
        let ids = webhooks(&bench, vec![(target(&known[0]), member(&jane))]);
        let ended = bench.attempt(ids[0]).await;
        if is_on {
            assert_not_now(&ended, "MAX_REMOVALS_PER_HOUR allows 1");
        } else {
            assert_refused(&ended, Refusal::ProvisioningOff, "would have revoked");
        }
        let told = c1_cloudflare::provision::incident::latest(&bench.world).unwrap();
        assert_eq!(told.len(), usize::from(is_on), "{told:?}");
    }
}

/// Until that is known it may count among the accounts, where there is room.
#[tokio::test]
async fn a_revoke_of_which_it_is_not_known_what_it_counts_as_does_not_stand_in_line() {
    let mut group = String::new();
    let with_group = |account: &Cloudflare| {
        leave_admins(account, 3);
        let admin = account.permission_group("super_admin").unwrap();
        group = account.add_group("Administrators", vec![holds(account, &admin)]);
    };
    let bench = Bench::with(with_group, |config| config.provision.guards.max_removals_per_hour = 1).await;
    let account = bench.account();
    let known = roles(account);
    let [jane, joe] = [JANE, "joe@example.com"]
        .map(|email| account.add_member(email, vec![holds(account, &known[0]), holds(account, &known[1])]));
    account.join_group(&group, &jane);
    assert_done(&bench.operate(Action::Revoke, target(&known[0]), member(&joe)).await, Effect::Revoked);
    let ids = webhooks(&bench, vec![(group_target(&group), member(&jane)), (target(&known[0]), member(&jane))]);
    account.fail_next(Route::GetUserGroup, 1, Fault::status(503, 1));
    assert!(matches!(bench.attempt(ids[0]).await, Outcome::NotNow { .. }));
    assert_done(&bench.attempt(ids[0]).await, Effect::Revoked);
    assert_not_now(&bench.attempt(ids[1]).await, "MAX_REMOVALS_PER_HOUR allows 1");
}

/// Else each of the two would wait for the other one.
#[tokio::test]
async fn a_revoke_that_waits_for_that_of_a_group_keeps_a_place_for_its_hour_and_none_that_it_has_not_used() {
    for is_own in [false, true] {
        let bench = Bench::with(
            |account| account.configure(|behaviour| behaviour.lists_inherited_policies = true),
            |config| config.provision.guards.max_removals_per_hour = 1,
        )
        .await;
        let account = bench.account();
        let known = roles(account);
        let group = account.add_group("Operators", vec![holds(account, &known[5])]);
        let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
        if is_own {
            account.add_policy(&jane, holds(account, &known[5]));
        }
        account.join_group(&group, &jane);
        let ids = webhooks(&bench, vec![(target(&known[5]), member(&jane)), (group_target(&group), member(&jane))]);
        assert_not_now(&bench.attempt(ids[0]).await, "which may change that, is under way");
        if is_own {
            assert_not_now(&bench.attempt(ids[1]).await, "MAX_REMOVALS_PER_HOUR allows 1");
            bench.world.advance(3_601);
        }
        assert_done(&bench.attempt(ids[1]).await, Effect::Revoked);
        let effect = if is_own { Effect::Revoked } else { Effect::AlreadyRevoked };
        assert_done(&bench.settle(ids[0]).await, effect);
    }
}

#[tokio::test]
async fn what_cloudflare_did_and_did_not_own_up_to_counts_as_removed() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 3).await;
    let account = bench.account();
    let known = roles(account);
    let people: Vec<String> = (0..8)
        .map(|n| {
            account.add_member(
                &format!("person{n}@example.com"),
                vec![holds(account, &known[0]), holds(account, &known[1])],
            )
        })
        .collect();
    // Each DELETE is carried out, answered 500, and the member cannot be read back.
    for person in &people {
        account.fail_next(Route::DeleteMember, 1, Fault::status(500, 1).after());
        account.after_next(Route::DeleteMember, |cloudflare, _| {
            cloudflare.fail_next(Route::GetMember, 1, Fault::status(503, 1));
        });
        let id = bench.arrive(Action::Revoke, Target::Account, member(person));
        bench.attempt(id).await;
        account.clear_faults();
    }
    let left = people.iter().filter(|id| account.membership(id).is_some()).count();
    assert_eq!(left, 5, "three were removed and no more");
}

#[tokio::test]
async fn what_was_refused_for_another_reason_takes_up_no_place() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 1).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    account.fail_next(Route::UpdateMember, 1, Fault::Status { status: 400, code: 1006, message: "no".into() });
    let refused = bench.operate(Action::Revoke, target(&known[0]), member(&jane)).await;
    assert_refused(&refused, Refusal::Cloudflare, "no");
    assert_done(&bench.operate(Action::Revoke, target(&known[0]), member(&jane)).await, Effect::Revoked);
}

#[tokio::test]
async fn revokes_of_roles_do_not_use_up_what_removals_of_accounts_may() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 1).await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    assert_done(&bench.operate(Action::Revoke, target(&known[0]), member(&jane)).await, Effect::Revoked);
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&jane)).await, Effect::Removed);
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    for what in [target(&known[0]), Target::Account] {
        // What was asked once, by REST, is refused and does not happen later; a webhook waits.
        let refused = bench.operate(Action::Revoke, what.clone(), member(&joe)).await;
        assert_refused(&refused, Refusal::RemovalCap, "then ask again");
        let id = webhooks(&bench, vec![(what, member(&joe))])[0];
        assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }));
        bench.world.advance(1);
    }
    assert_eq!(bench.atoms(&joe).len(), 2);
}

#[tokio::test]
async fn one_who_may_be_gone_at_any_moment_is_no_super_administrator_left() {
    for through_group in [false, true] {
        let bench = Bench::with(|account| leave_admins(account, 3), |_| {}).await;
        let account = bench.account();
        let all = admins(account);
        // The removal's answer is lost, and it is carried out later.
        account.fail_next(Route::DeleteMember, 1, Fault::Held);
        let first = bench.arrive(Action::Revoke, Target::Account, member(&all[0].id));
        assert!(matches!(bench.attempt(first).await, Outcome::NotNow { .. }));
        bench.vanish();
        let what = if through_group { super_administrator(&bench) } else { Target::Account };
        let second = bench.arrive(Action::Revoke, what, member(&all[1].id));
        assert!(matches!(bench.attempt(second).await, Outcome::NotNow { .. }), "it waits until that is known");
        assert_eq!(account.release_held(), 1);
        assert_eq!(admins(account).len(), 2);
        let refused = bench.settle(second).await;
        assert_refused(&refused, Refusal::MinSuperAdmins, "MIN_SUPER_ADMINS");
    }
}

#[tokio::test]
async fn the_last_role_of_somebody_in_a_group_removes_nobody() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.last_role = LastRole::RemoveMember).await;
    let account = bench.account();
    let known = roles(account);
    // The group is newer than the last sync.
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    account.join_group(&group, &jane);
    let refused = bench.operate(Action::Revoke, target(&known[0]), member(&jane)).await;
    assert_refused(&refused, Refusal::LastRole, "Operators");
    account.fail_next(Route::ListUserGroups, 1, Fault::status(503, 1));
    let id = bench.arrive(Action::Revoke, target(&known[0]), member(&jane));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }), "not known");
    account.clear_faults();
    account.leave_group(&group, &jane);
    assert_done(&bench.settle(id).await, Effect::Removed);
}

#[tokio::test]
async fn held_through_group_is_refused_and_gone_already_said_only_when_no_group_gives_it_as_cloudflare_tells_now() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    assert_done(&bench.operate(Action::Revoke, target(&known[5]), member(&jane)).await, Effect::AlreadyRevoked);
    bench.world.advance(3_600);
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    account.join_group(&group, &jane);
    let refused = bench.operate(Action::Revoke, target(&known[5]), member(&jane)).await;
    assert_refused(&refused, Refusal::HeldThroughGroup, "Operators");
    account.fail_next(Route::ListUserGroups, 1, Fault::status(503, 1));
    let id = bench.arrive(Action::Revoke, target(&known[5]), member(&jane));
    assert!(matches!(bench.attempt(id).await, Outcome::NotNow { .. }), "nobody knows");
    account.fail_next(Route::ListUserGroups, 1, Fault::status(403, 10_000));
    let refused = bench.operate(Action::Revoke, target(&known[6]), member(&jane)).await;
    assert_refused(&refused, Refusal::HeldThroughGroup, "Account Settings: Read");
    // An account that has no user groups at all: there is nothing to hold it through.
    account.fail_next(Route::ListUserGroups, 1, Fault::status(404, 7003));
    let outcome = bench.operate(Action::Revoke, target(&known[6]), member(&jane)).await;
    assert_done(&outcome, Effect::AlreadyRevoked);
}

#[tokio::test]
async fn what_a_group_gives_never_becomes_the_members_own() {
    for synced in [true, false] {
        let bench =
            Bench::with(|account| account.configure(|behaviour| behaviour.lists_inherited_policies = true), |_| {})
                .await;
        let account = bench.account();
        let known = roles(account);
        let group = account.add_group("Operators", vec![holds(account, &known[5])]);
        let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
        account.join_group(&group, &jane);
        if synced {
            bench.world.sync().await;
            // And the group has more since.
            account.set_group_policies(&group, vec![holds(account, &known[5]), holds(account, &known[6])]);
        }
        assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[1])].into(), "synced: {synced}");
    }
}

#[tokio::test]
async fn a_late_write_over_a_revoke_that_found_nothing_to_do_is_taken_back_before_it_is_told() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    account.clear_faults();
    bench.world.advance(70);
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    let outcome = bench.attempt(revoke).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    account.release_held();
    assert!(bench.atoms(&jane).contains(&atom(account, &known[1])), "it came back");
    bench.later_times(8, 61).await;
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into());
    let outcome = bench.attempt(revoke).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "it was sent three times, and seen twice at most: {outcome:?}");
    bench.world.advance(2_400);
    assert_done(&bench.settle(revoke).await, Effect::AlreadyRevoked);
    assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into());
    let told = c1_cloudflare::provision::incident::latest(&bench.world).unwrap();
    assert!(told.iter().any(|incident| incident.message.contains("carried out late")), "{told:?}");
}

#[tokio::test]
async fn what_a_guard_refuses_is_told_and_not_taken_back() {
    let (mut bench, known, jane) = Bench::with_jane().await;
    let account = bench.account().clone();
    account.fail_next(Route::UpdateMember, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    bench.attempt(grant).await;
    bench.world.advance(70);
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    bench.attempt(revoke).await;
    bench.world.config.provision.guards.protected = vec!["jane@example.com".to_owned()];
    account.release_held();
    let late = bench.atoms(&jane);
    account.reset_log();
    assert_left_alone(&bench, &jane, &late).await;
}

#[tokio::test]
async fn a_group_that_is_joined_late_over_a_revoke_is_left_again() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
    account.fail_next(Route::AddUserGroupMembers, 1, Fault::Held);
    let grant = bench.arrive(Action::Grant, group_target(&group), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    let revoke = bench.arrive(Action::Revoke, group_target(&group), member(&jane));
    let outcome = bench.attempt(revoke).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    assert_eq!(account.release_held(), 1);
    assert!(account.membership(&jane).unwrap().groups.contains(&group));
    for _ in 0..8 {
        bench.later(61).await;
    }
    assert!(!account.membership(&jane).unwrap().groups.contains(&group), "without the operation being tried again");
    assert!(matches!(bench.settle(revoke).await, Outcome::Done { .. }), "what came late was seen");
}

#[tokio::test]
async fn a_removal_that_was_put_off_never_undoes_a_newer_grant() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::DeleteMember, 1, Fault::TooManyRequests { retry_after: Some(1), headers: false });
    let removal = bench.arrive(Action::Revoke, Target::Account, member(&jane));
    assert!(matches!(bench.attempt(removal).await, Outcome::NotNow { .. }));
    bench.world.advance(400);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    assert_refused(&bench.settle(removal).await, Refusal::Superseded, "this one is void");
    assert_eq!(bench.atoms(&jane).len(), 2);
}

/// That both are about the same person the membership says.
#[tokio::test]
async fn a_revoke_that_was_put_off_gives_way_to_a_newer_grant_of_who_has_another_address_since() {
    for is_granted in [true, false] {
        let (bench, known, jane) = Bench::with_jane().await;
        let account = bench.account();
        account.add_policy(&jane, holds(account, &known[1]));
        account.fail_next(Route::UpdateMember, 1, Fault::status(429, 10_013));
        let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
        assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
        bench.world.advance(400);
        if is_granted {
            let granted = bench.operate(Action::Grant, target(&known[1]), member(&jane)).await;
            assert_done(&granted, Effect::AlreadyGranted);
        }
        account.change_email(&jane, "jane.married@example.com");
        let outcome = bench.settle(revoke).await;
        if is_granted {
            assert_refused(&outcome, Refusal::Superseded, "asked for the contrary later");
        } else {
            assert_done(&outcome, Effect::Revoked);
        }
        assert_eq!(bench.atoms(&jane).contains(&atom(account, &known[1])), is_granted);
    }
}

/// Whatever the alarm does, a member whom nobody may touch any more keeps what a late write left, and somebody is told why.
async fn assert_left_alone(bench: &Bench, jane: &str, late: &BTreeSet<Atom>) {
    bench.later_times(8, 61).await;
    assert_eq!((&bench.atoms(jane), bench.account().requests(Route::UpdateMember)), (late, 0));
    bench.assert_told("PROTECTED_MEMBERS");
}

#[tokio::test]
async fn nobody_is_granted_anything_who_may_be_removed_at_any_moment() {
    for arrives in [true, false] {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let jane = account.add_member("jane@example.com", vec![holds(account, &known[0])]);
        account.fail_next(Route::DeleteMember, 1, Fault::Held);
        let removal = bench.arrive(Action::Revoke, Target::Account, member(&jane));
        assert!(matches!(bench.attempt(removal).await, Outcome::NotNow { .. }));
        let grant = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
        let outcome = bench.attempt(grant).await;
        assert_not_now(&outcome, "being removed");
        assert_eq!(bench.atoms(&jane).len(), 1, "what was granted now would go with it");
        if arrives {
            assert_eq!(account.release_held(), 1);
            assert_refused(&bench.attempt(grant).await, Refusal::UnknownMember, "not a member");
        } else {
            bench.world.advance(181);
            assert_done(&bench.attempt(grant).await, Effect::Granted);
        }
    }
}

#[tokio::test]
async fn a_super_administrator_counts_among_the_accounts_that_are_removed_and_not_among_roles() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 1).await;
    let account = bench.account();
    let known = roles(account);
    let admin = account.permission_group("super_admin").unwrap();
    let add = |email: &str| account.add_member(email, vec![holds(account, &known[0]), holds(account, &admin)]);
    let [one, other, _, _] = ["a", "b", "c", "d"].map(|name| add(&format!("{name}@example.com")));
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
    assert_done(&bench.operate(Action::Revoke, target(&admin), member(&one)).await, Effect::Revoked);
    assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&joe)).await, Effect::Revoked);
    for what in [target(&admin), Target::Account] {
        let refused = bench.operate(Action::Revoke, what, member(&other)).await;
        assert_refused(&refused, Refusal::RemovalCap, "removals of accounts and of Super Administrators");
    }
}

#[tokio::test]
async fn a_super_administrator_who_waits_for_room_among_the_accounts_keeps_no_role_waiting() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.max_removals_per_hour = 1).await;
    let account = bench.account();
    let known = roles(account);
    let admin = account.permission_group("super_admin").unwrap();
    let add = |email: &str| account.add_member(email, vec![holds(account, &known[0]), holds(account, &admin)]);
    let [one, _, _, _] = ["a", "b", "c", "d"].map(|name| add(&format!("{name}@example.com")));
    let [gone, jane, joe] = ["gone@example.com", JANE, "joe@example.com"]
        .map(|email| account.add_member(email, vec![holds(account, &known[0]), holds(account, &known[1])]));
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&gone)).await, Effect::Removed);
    let ids = webhooks(
        &bench,
        vec![(target(&admin), member(&one)), (target(&known[0]), member(&jane)), (target(&known[0]), member(&joe))],
    );
    assert_not_now(&bench.attempt(ids[0]).await, "removals of accounts and of Super Administrators");
    assert_done(&bench.attempt(ids[1]).await, Effect::Revoked);
    assert_not_now(&bench.attempt(ids[2]).await, "1 revokes were carried out");
    bench.world.advance(3_601);
    for id in [ids[0], ids[2]] {
        assert_done(&bench.attempt(id).await, Effect::Revoked);
    }
}

/// A member of three roles, one of which was revoked by a write that nobody answered, and again; and who got another one since.
async fn with_a_revoke_that_may_come_late(bench: &Bench) -> String {
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    account.clear_faults();
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    bench.world.advance(120);
    jane
}

#[tokio::test]
async fn what_a_late_write_took_along_comes_back_although_the_next_operation_finds_nothing_to_do() {
    for (action, place, effect) in
        [(Action::Revoke, 3, Effect::AlreadyRevoked), (Action::Grant, 0, Effect::AlreadyGranted)]
    {
        let bench = Bench::start().await;
        let account = bench.account();
        let known = roles(account);
        let jane = with_a_revoke_that_may_come_late(&bench).await;
        assert!(account.release_held() > 0);
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0])].into(), "it took the newer role along");
        assert_done(&bench.operate(action, target(&known[place]), member(&jane)).await, effect);
        bench.later_times(8, 61).await;
        assert_eq!(bench.atoms(&jane), [atom(account, &known[0]), atom(account, &known[2])].into(), "{action:?}");
    }
}

#[tokio::test]
async fn what_a_guard_refuses_to_take_back_does_not_stop_what_holds_already() {
    let mut bench = Bench::start().await;
    let jane = with_a_revoke_that_may_come_late(&bench).await;
    bench.account().release_held();
    bench.world.config.provision.guards.protected = vec![JANE.to_owned()];
    let account = bench.account().clone();
    let (known, late) = (roles(&account), bench.atoms(&jane));
    account.reset_log();
    assert_done(&bench.operate(Action::Revoke, target(&known[3]), member(&jane)).await, Effect::AlreadyRevoked);
    assert_left_alone(&bench, &jane, &late).await;
}

#[tokio::test]
async fn what_a_late_write_took_along_comes_back_although_the_revoke_that_it_followed_shows() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = with_a_revoke_that_may_come_late(&bench).await;
    assert_done(&bench.operate(Action::Grant, target(&known[3]), member(&jane)).await, Effect::Granted);
    bench.world.advance(120);
    let written: BTreeSet<_> = [atom(account, &known[0]), atom(account, &known[2])].into();
    let (whom, expected) = (jane.clone(), written.clone());
    // Between our write and the read that is to show it.
    account.after_next(Route::UpdateMember, move |account, _| {
        assert_eq!(account.member_atoms(&whom), expected);
        assert!(account.release_held() > 0);
        assert_ne!(account.member_atoms(&whom), expected, "it takes the newer role along");
    });
    assert_done(&bench.operate(Action::Revoke, target(&known[3]), member(&jane)).await, Effect::Revoked);
    assert_eq!(bench.atoms(&jane), written);
}

#[tokio::test]
async fn what_an_operation_sends_is_counted_also_where_it_is_cut_off() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let id = bench.arrive(Action::Grant, target(&known[1]), member(&jane));
    let ended = bench.world.cut_off(4, Box::pin(bench.attempt(id))).await;
    assert!(ended.is_none(), "cut off");
    let sent = i64::try_from(account.total_requests()).unwrap();
    let spent_so_far = || c1_cloudflare::provision::journal::spent(&bench.world, id).unwrap();
    // One that was cut off as it was being sent counts, and did not arrive.
    assert!(sent > 0 && spent_so_far() >= sent, "{} of {sent}", spent_so_far());
    bench.vanish();
    assert_done(&bench.settle(id).await, Effect::Granted);
    assert!(spent_so_far() > sent && spent_so_far() >= i64::try_from(account.total_requests()).unwrap());
}

#[tokio::test]
async fn one_who_shows_as_before_our_own_change_is_no_super_administrator_left() {
    let bench = Bench::with(|account| leave_admins(account, 3), |_| {}).await;
    let all = admins(bench.account());
    assert_done(&bench.operate(Action::Revoke, super_administrator(&bench), member(&all[0].id)).await, Effect::Revoked);
    // Whether that was put back by hand or the read is behind cannot be told yet.
    let role = bench.account().permission_group("super_admin").unwrap();
    bench.account().add_policy(&all[0].id, holds(bench.account(), &role));
    let revoke = async || bench.operate(Action::Revoke, super_administrator(&bench), member(&all[1].id)).await;
    assert_refused(&revoke().await, Refusal::MinSuperAdmins, "make somebody else Super Administrator");
    bench.world.advance(61);
    assert_done(&revoke().await, Effect::Revoked);
}

#[tokio::test]
async fn one_who_was_made_super_administrator_by_ourselves_and_does_not_show_it_yet_is_not_known_to_be_none() {
    let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
    let (account, all) = (bench.account(), admins(bench.account()));
    let before = vec![holds(account, &roles(account)[0])];
    let joe = account.add_member("joe@example.com", before.clone());
    assert_done(&bench.operate(Action::Grant, super_administrator(&bench), member(&joe)).await, Effect::Granted);
    // Whether that was taken back by hand or the read is behind cannot be told yet.
    account.set_policies(&joe, before);
    let revoke = bench.arrive(Action::Revoke, super_administrator(&bench), member(&all[0].id));
    assert_not_now(&bench.attempt(revoke).await, "of 1 others it is not known yet");
    bench.world.advance(61);
    assert_refused(&bench.attempt(revoke).await, Refusal::MinSuperAdmins, "make somebody else Super Administrator");
    assert_done(&bench.operate(Action::Grant, super_administrator(&bench), member(&joe)).await, Effect::Granted);
    let again = bench.operate(Action::Revoke, super_administrator(&bench), member(&all[0].id)).await;
    assert_done(&again, Effect::Revoked);
}

#[tokio::test]
async fn one_who_was_given_something_else_and_shows_as_before_stays_super_administrator() {
    let bench = Bench::with(|account| leave_admins(account, 3), |_| {}).await;
    let (account, all) = (bench.account(), admins(bench.account()));
    let role = account.permission_group("super_admin").unwrap();
    let as_before = vec![holds(account, &role), holds(account, &roles(account)[0])];
    assert_done(&bench.operate(Action::Grant, target(&roles(account)[3]), member(&all[2].id)).await, Effect::Granted);
    account.set_policies(&all[2].id, as_before);
    let revoke = bench.arrive(Action::Revoke, super_administrator(&bench), member(&all[0].id));
    assert_not_now(&bench.attempt(revoke).await, "of 1 others it is not known yet");
    bench.world.advance(61);
    assert_done(&bench.attempt(revoke).await, Effect::Revoked);
}

/// Whom we gave something else cannot be one by that.
#[tokio::test]
async fn one_who_was_given_something_else_and_shows_as_before_is_no_super_administrator_to_be() {
    let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
    let (account, all) = (bench.account(), admins(bench.account()));
    let before = vec![holds(account, &roles(account)[0])];
    let joe = account.add_member("joe@example.com", before.clone());
    assert_done(&bench.operate(Action::Grant, target(&roles(account)[3]), member(&joe)).await, Effect::Granted);
    account.set_policies(&joe, before);
    let refused = bench.operate(Action::Revoke, super_administrator(&bench), member(&all[0].id)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "make somebody else Super Administrator");
}

#[tokio::test]
async fn one_whose_policies_are_not_told_is_no_super_administrator_left() {
    let bench = Bench::with(|account| leave_admins(account, 3), |_| {}).await;
    let all = admins(bench.account());
    bench.account().make_odd(On::Reads, &all[2].id, Oddity::Without("policies"));
    let revoke = async || bench.operate(Action::Revoke, super_administrator(&bench), member(&all[0].id)).await;
    assert_refused(&revoke().await, Refusal::MinSuperAdmins, "make somebody else Super Administrator");
    bench.account().make_even();
    assert_done(&revoke().await, Effect::Revoked);
}

#[tokio::test]
async fn a_group_whose_policies_are_not_told_may_give_what_is_revoked() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let joe = account.add_member("joe@example.com", vec![holds(account, &known[0])]);
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    account.join_group(&group, &jane);
    account.make_odd(On::Reads, &group, Oddity::NullInPolicies("permission_groups"));
    let refused = bench.operate(Action::Revoke, target(&known[5]), member(&jane)).await;
    assert_refused(&refused, Refusal::UnreadableMember, "Operators");
    let outcome = bench.operate(Action::Revoke, target(&known[5]), member(&joe)).await;
    assert_done(&outcome, Effect::AlreadyRevoked);
}

/// It is there, and may give anything to those who are in it.
#[tokio::test]
async fn a_group_that_cannot_be_read_keeps_no_revoke_from_those_who_are_not_in_it() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    let [odd, giving] = ["Odd", "Operators"].map(|name| account.add_group(name, vec![holds(account, &known[5])]));
    let [joe, jim] = ["joe@example.com", "jim@example.com"]
        .map(|email| account.add_member(email, vec![holds(account, &known[0]), holds(account, &known[5])]));
    let jill = account.add_member("jill@example.com", vec![holds(account, &known[0])]);
    account.join_group(&odd, &jane);
    account.join_group(&giving, &jim);
    account.make_odd(Route::ListUserGroups, &odd, Oddity::Text("policies", "x"));
    let revoke = async |whom: String| bench.operate(Action::Revoke, target(&known[5]), member(&whom)).await;
    assert_done(&revoke(joe).await, Effect::Revoked);
    assert_refused(&revoke(jane).await, Refusal::UnreadableMember, &odd);
    assert_refused(&revoke(jim).await, Refusal::HeldThroughGroup, "Operators");
    assert_done(&revoke(jill.clone()).await, Effect::AlreadyRevoked);
    // The control: of one without an id nobody can be said not to be in it.
    account.make_odd(Route::ListUserGroups, &giving, Oddity::Without("id"));
    assert_refused(&revoke(jill).await, Refusal::UnreadableMember, "a user group");
}

#[tokio::test]
async fn an_invitation_that_was_put_off_gives_way_to_a_revoke_that_was_told_since() {
    let bench = Bench::start().await;
    let account = bench.account();
    account.fail_next(Route::CreateMember, 1, Fault::TooManyRequests { retry_after: Some(1), headers: false });
    let grant = bench.arrive(Action::Grant, Target::Account, person(NEW));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    bench.world.advance(400);
    assert_done(&bench.operate(Action::Revoke, Target::Account, person(NEW)).await, Effect::AlreadyRevoked);
    assert_refused(&bench.settle(grant).await, Refusal::Superseded, "this one is void");
    assert!(account.membership_of(NEW).is_none());
    // Who asks once more has it.
    assert_done(&bench.operate(Action::Grant, Target::Account, person(NEW)).await, Effect::Invited);
}

#[tokio::test]
async fn the_last_role_is_not_taken_though_there_was_another_one_when_it_was_read_first() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    account.fail_next(Route::UpdateMember, 1, Fault::status(500, 10_000));
    let (only, whom) = (holds(account, &known[1]), jane.clone());
    // Somebody takes the other one after the first read.
    account.before_next(Route::GetMember, move |account, _| {
        account.before_next(Route::GetMember, move |account, _| account.set_policies(&whom, vec![only]));
    });
    let refused = bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await;
    assert_refused(&refused, Refusal::LastRole, "revoke the account instead");
    assert_eq!(bench.atoms(&jane), [atom(account, &known[1])].into());
}

#[tokio::test]
async fn protected_member_is_also_who_has_another_address_by_now() {
    let bench = Bench::with(|_| {}, |config| config.provision.guards.protected = vec![JANE.to_owned()]).await;
    let account = bench.account();
    let known = roles(account);
    let policies = || vec![holds(account, &known[0]), holds(account, &known[1])];
    let [jane, joe] = [JANE, "joe@example.com"].map(|email| account.add_member(email, policies()));
    let group = account.add_group("Operators", vec![holds(account, &known[5])]);
    account.join_group(&group, &jane);
    // As ConductorOne knew them before both changed the addresses of their logins.
    let [of_jane, of_joe] = [&jane, &joe].map(|id| {
        let membership = account.membership(id).unwrap();
        let user = membership.user_id.map(|user| user.parse().unwrap());
        c1_cloudflare::model::ask::Subject { user_id: user, emails: vec![membership.email], ..member(id) }
    });
    account.change_email(&jane, "jane.married@example.com");
    account.change_email(&joe, "joe.married@example.com");
    let before = bench.atoms(&jane);
    for what in [target(&known[0]), group_target(&group), Target::Account] {
        let refused = bench.operate(Action::Revoke, what, of_jane.clone()).await;
        assert_refused(&refused, Refusal::ProtectedMember, "PROTECTED_MEMBERS");
    }
    assert_eq!((bench.atoms(&jane), account.membership(&jane).unwrap().groups.contains(&group)), (before, true));
    assert_done(&bench.operate(Action::Revoke, target(&known[0]), of_joe).await, Effect::Revoked);
}

#[tokio::test]
async fn what_a_late_write_took_from_who_is_protected_is_not_given_back_under_another_address() {
    let mut bench = Bench::start().await;
    let jane = with_a_revoke_that_may_come_late(&bench).await;
    bench.account().release_held();
    bench.account().change_email(&jane, "jane.married@example.com");
    bench.world.config.provision.guards.protected = vec![JANE.to_owned()];
    let late = bench.atoms(&jane);
    bench.account().reset_log();
    assert_left_alone(&bench, &jane, &late).await;
}

#[tokio::test]
async fn what_has_to_be_taken_back_beside_what_was_asked_for_is_put_before_the_guards_too() {
    let bench = Bench::with(
        |account| {
            somebody_in_a_group(account);
            leave_admins(account, 3);
        },
        |_| {},
    )
    .await;
    let account = bench.account();
    let (known, all) = (roles(account), admins(account));
    let admin = account.permission_group("super_admin").unwrap();
    let jane = account.add_member(JANE, vec![holds(account, &known[0]), holds(account, &known[1])]);
    // Nobody answers that she is made Super Administrator, and it is asked for no more.
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let grant = bench.arrive(Action::Grant, target(&admin), member(&jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    account.clear_faults();
    bench.world.advance(70);
    let revoke = bench.arrive(Action::Revoke, target(&admin), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    // By hand two others are made less: one is left beside her.
    for other in &all[1..] {
        account.set_policies(&other.id, vec![holds(account, &known[0])]);
    }
    // It arrives after the guards have let the revoke of another role pass, which takes a request.
    let forget = "UPDATE sync_state SET value = json_remove(value, '$.roles.\"33666b9c79b9a5273fc7344ff42f953d\"')";
    bench.world.query(&format!("{forget} WHERE name = 'names'"), &[]).unwrap();
    let whom = jane.clone();
    account.before_next(Route::GetMember, move |account, _| {
        account.before_next(Route::GetMember, move |account, _| {
            assert!(account.release_held() > 0);
            assert_eq!(account.member_atoms(&whom).len(), 3);
        });
    });
    let outcome = bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await;
    assert_refused(&outcome, Refusal::MinSuperAdmins, "MIN_SUPER_ADMINS");
    assert!(bench.atoms(&jane).contains(&atom(account, &admin)));
}

#[tokio::test]
async fn what_was_told_to_be_gone_does_not_come_back_with_what_a_late_write_took_along() {
    let mut bench = Bench::start().await;
    let account = bench.account().clone();
    let known = roles(&account);
    let jane = account.add_member(JANE, vec![holds(&account, &known[0]), holds(&account, &known[1])]);
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let revoke = bench.arrive(Action::Revoke, target(&known[1]), member(&jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    account.clear_faults();
    assert_done(&bench.settle(revoke).await, Effect::Revoked);
    for role in [2, 3] {
        assert_done(&bench.operate(Action::Grant, target(&known[role]), member(&jane)).await, Effect::Granted);
    }
    bench.world.advance(120);
    assert!(account.release_held() > 0);
    assert_eq!(bench.atoms(&jane), [atom(&account, &known[0])].into(), "it took both of the newer roles along");
    // What is so already is told, although nothing may be put right at the moment.
    bench.world.config.provision.guards.protected = vec![JANE.to_owned()];
    let told = bench.operate(Action::Revoke, target(&known[3]), member(&jane)).await;
    assert_done(&told, Effect::AlreadyRevoked);
    bench.world.config.provision.guards.protected = Vec::new();
    bench.later_times(8, 61).await;
    assert_eq!(bench.atoms(&jane), [atom(&account, &known[0]), atom(&account, &known[2])].into());
}

#[tokio::test]
async fn a_look_at_what_may_be_behind_costs_one_read() {
    let (bench, known, jane) = Bench::with_jane().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 1, Fault::Held);
    assert_done(&bench.operate(Action::Grant, target(&known[1]), member(&jane)).await, Effect::Granted);
    assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
    // It comes late, and may as well be a read that is behind.
    assert!(account.release_held() > 0);
    account.reset_log();
    bench.later(16).await;
    assert_eq!((account.requests(Route::GetMember), account.requests(Route::UpdateMember)), (1, 0));
    bench.later_times(8, 61).await;
    assert_eq!(bench.atoms(&jane).len(), 3);
}

#[tokio::test]
async fn whatever_write_may_still_come_its_person_is_no_super_administrator_left() {
    for first in ["account", "role", "group"] {
        let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
        let account = bench.account();
        let (known, mut all) = (roles(account), admins(account));
        let admin = account.permission_group("super_admin").unwrap();
        let policies = if first == "group" { vec![] } else { vec![holds(account, &admin)] };
        let jane = account.add_member(JANE, [policies, vec![holds(account, &known[0])]].concat());
        let group = account.add_group("Admins", vec![holds(account, &admin)]);
        if first == "group" {
            account.join_group(&group, &jane);
        }
        // Nobody answers, and what was written is not to be seen.
        let (route, what) = match first {
            "account" => (Route::DeleteMember, Target::Account),
            "role" => (Route::UpdateMember, target(&admin)),
            _ => (Route::DeleteUserGroupMember, group_target(&group)),
        };
        account.fail_next(route, 3, Fault::Held);
        let leaving = bench.arrive(Action::Revoke, what, member(&jane));
        let outcome = bench.attempt(leaving).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "{first}: {outcome:?}");
        account.clear_faults();
        bench.vanish();
        let other = all.pop().unwrap();
        let second = bench.arrive(Action::Revoke, super_administrator(&bench), member(&other.id));
        let outcome = bench.attempt(second).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "{first}: it waits until that is known: {outcome:?}");
        assert!(account.release_held() > 0);
        assert_refused(&bench.settle(second).await, Refusal::MinSuperAdmins, "MIN_SUPER_ADMINS");
        assert!(admins(account).iter().any(|one| one.id == other.id), "{first}");
    }
}

#[tokio::test]
async fn who_is_super_administrator_of_their_own_as_well_may_leave_a_group_that_makes_them_one() {
    let mut group = String::new();
    let with_group = |account: &Cloudflare| {
        leave_admins(account, 2);
        group = account.add_group("Admins", vec![holds(account, &account.permission_group("super_admin").unwrap())]);
        for one in admins(account) {
            account.join_group(&group, &one.id);
        }
    };
    let bench = Bench::with(with_group, |_| {}).await;
    let one = admins(bench.account())[0].id.clone();
    assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&one)).await, Effect::Revoked);
    // The control: then it is the last that makes them one.
    let refused = bench.operate(Action::Revoke, super_administrator(&bench), member(&one)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "Only 1 ");
}

/// The record shows it, and no sync has seen that it is the group's.
#[tokio::test]
async fn what_a_group_gives_since_the_last_sync_makes_nobody_super_administrator_of_their_own() {
    let mut group = String::new();
    let with_group = |account: &Cloudflare| {
        account.configure(|behaviour| behaviour.lists_inherited_policies = true);
        leave_admins(account, 1);
        group = account.add_group("Admins", vec![holds(account, &account.permission_group("super_admin").unwrap())]);
        let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
        account.join_group(&group, &jane);
    };
    let bench = Bench::with(with_group, |_| {}).await;
    let account = bench.account();
    let admin = account.permission_group("super_admin").unwrap();
    let jane = account.membership_of(JANE).unwrap().id;
    account.set_group_policies(&group, vec![holds(account, &admin), holds(account, &roles(account)[1])]);
    let refused = bench.operate(Action::Revoke, group_target(&group), member(&jane)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "Only 1 ");
    assert!(account.membership(&jane).unwrap().groups.contains(&group));
    // The control: another one is left.
    account.add_member("newest@example.com", vec![holds(account, &admin)]);
    assert_done(&bench.operate(Action::Revoke, group_target(&group), member(&jane)).await, Effect::Revoked);
}

/// Makes a member Super Administrator by a write that comes late, over the revoke of it.
async fn make_super_administrator_late(bench: &Bench, jane: &str) {
    let account = bench.account();
    let admin = account.permission_group("super_admin").unwrap();
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let grant = bench.arrive(Action::Grant, target(&admin), member(jane));
    assert!(matches!(bench.attempt(grant).await, Outcome::NotNow { .. }));
    account.clear_faults();
    bench.world.advance(70);
    let revoke = bench.arrive(Action::Revoke, target(&admin), member(jane));
    assert!(matches!(bench.attempt(revoke).await, Outcome::NotNow { .. }));
    assert!(account.release_held() > 0);
    assert_eq!(bench.atoms(jane).len(), 2);
}

#[tokio::test]
async fn every_guard_holds_for_what_is_put_right_unasked() {
    for (guard, told) in [
        ("none", "carried out late"),
        ("protected", "PROTECTED_MEMBERS"),
        ("off", "Provisioning is off"),
        ("least", "MIN_SUPER_ADMINS"),
        ("cap", "MAX_REMOVALS_PER_HOUR is 0"),
        ("owner", "owns the API token"),
    ] {
        let mut bench = Bench::start().await;
        let account = bench.account().clone();
        with_user_token(&mut bench.world.config, &account);
        let policies = vec![holds(&account, &roles(&account)[0])];
        let jane = if guard == "owner" {
            let owner = owner(&bench).await.id;
            account.set_policies(&owner, policies);
            owner
        } else {
            account.add_member(JANE, policies)
        };
        make_super_administrator_late(&bench, &jane).await;
        let config = &mut bench.world.config;
        match guard {
            "protected" => config.provision.guards.protected = vec![JANE.to_owned()],
            "off" => config.provision.provisioning = c1_cloudflare::provision::Provisioning::Off,
            "least" => config.provision.guards.min_super_admins = 500,
            "cap" => config.provision.guards.max_removals_per_hour = 0,
            _ => {}
        }
        account.reset_log();
        bench.later_times(8, 61).await;
        let writes = account.requests(Route::UpdateMember);
        assert_eq!((bench.atoms(&jane).len(), writes), if guard == "none" { (1, 1) } else { (2, 0) }, "{guard}");
        bench.assert_told(told);
    }
}

#[tokio::test]
async fn token_owner_may_be_whoever_cloudflare_tells_no_user_of_who_is_not_removed() {
    let mut bench = Bench::start().await;
    let account = bench.account().clone();
    with_user_token(&mut bench.world.config, &account);
    let owner = owner(&bench).await;
    let other = account.memberships().into_iter().find(|it| it.status == "accepted" && it.id != owner.id).unwrap();
    for whom in [&owner, &other] {
        account.make_odd(On::Reads, &whom.id, Oddity::UserText("id", ""));
        let refused = bench.operate(Action::Revoke, Target::Account, member(&whom.id)).await;
        assert_refused(&refused, Refusal::UnreadableMember, "user.id is missing");
        account.make_even();
    }
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&other.id)).await, Effect::Removed);
}

#[tokio::test]
async fn min_super_admins_holds_where_the_permission_group_has_no_label_or_cannot_be_read() {
    for is_read in [true, false] {
        let bench = Bench::with(|account| leave_admins(account, 1), |_| {}).await;
        let unsynced = unsynced(&bench);
        let first = admins(bench.account())[0].id.clone();
        unsynced.world.bends.replace(Some(Box::new(move |asked, body| {
            if asked.contains("permission_groups?") {
                for group in body["result"].as_array_mut().unwrap() {
                    if group["meta"]["label"] == "super_admin" {
                        group["meta"] = serde_json::Value::Null;
                        if !is_read {
                            group["id"] = 7.into();
                        }
                    }
                }
            }
        })));
        let outcome = unsynced.operate(Action::Revoke, Target::Account, member(&first)).await;
        if is_read {
            assert_refused(&outcome, Refusal::MinSuperAdmins, "Only 0 ");
        } else {
            assert_refused(&outcome, Refusal::UnreadableMember, "a permission group");
        }
        assert_eq!(admins(bench.account()).len(), 1);
        unsynced.world.bends.take();
        let role = bench.account().permission_group("super_admin").unwrap();
        for email in ["one@example.com", "two@example.com"] {
            bench.account().add_member(email, vec![holds(bench.account(), &role)]);
        }
        assert_done(&unsynced.operate(Action::Revoke, Target::Account, member(&first)).await, Effect::Removed);
    }
}

#[tokio::test]
async fn min_super_admins_holds_where_the_label_of_the_permission_group_is_in_another_case() {
    let bench = Bench::with(|account| leave_admins(account, 1), |_| {}).await;
    let unsynced = unsynced(&bench);
    let first = admins(bench.account())[0].id.clone();
    unsynced.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("permission_groups?") {
            for group in body["result"].as_array_mut().unwrap() {
                if group["meta"]["label"] == "super_admin" {
                    group["meta"]["label"] = "Super_Admin".into();
                    group["name"] = "All of it".into();
                }
            }
        }
    })));
    let removal = unsynced.arrive(Action::Revoke, Target::Account, member(&first));
    assert_refused(&unsynced.attempt(removal).await, Refusal::MinSuperAdmins, "Only 0 ");
    let role = bench.account().permission_group("super_admin").unwrap();
    for email in ["one@example.com", "two@example.com"] {
        bench.account().add_member(email, vec![holds(bench.account(), &role)]);
    }
    assert_done(&unsynced.operate(Action::Revoke, Target::Account, member(&first)).await, Effect::Removed);
}

#[tokio::test]
async fn who_may_be_super_administrator_through_a_group_that_nobody_tells_of_is_removed_only_where_enough_are_left() {
    for is_odd in [true, false] {
        let bench = Bench::with(|account| leave_admins(account, 0), |_| {}).await;
        let account = bench.account();
        let (admin, plain) = (account.permission_group("super_admin").unwrap(), roles(account)[0].clone());
        let group = account.add_group("Admins", vec![holds(account, &admin)]);
        let [one, other] = ["one@example.com", "other@example.com"]
            .map(|email| account.add_member(email, vec![holds(account, &plain)]));
        account.join_group(&group, &one);
        account.join_group(&group, &other);
        if is_odd {
            account.make_odd(Route::ListUserGroups, &group, Oddity::Null("name"));
        } else {
            account.fail_randomly(Route::ListUserGroups, 1.0, Fault::status(403, 10_000));
        }
        let refused = bench.operate(Action::Revoke, Target::Account, member(&one)).await;
        assert_refused(&refused, Refusal::MinSuperAdmins, "MIN_SUPER_ADMINS");
        assert!(is_odd || matches!(&refused, Outcome::Refused { message, .. } if message.contains("user groups")));
        // Those who are for certain are enough, whatever the groups give.
        for email in ["a@example.com", "b@example.com"] {
            account.add_member(email, vec![holds(account, &admin)]);
        }
        assert_done(&bench.operate(Action::Revoke, Target::Account, member(&one)).await, Effect::Removed);
    }
}

#[tokio::test]
async fn a_list_of_permission_groups_without_super_administrator_makes_nobody_less_than_one() {
    let bench = Bench::with(|account| leave_admins(account, 1), |_| {}).await;
    let unsynced = unsynced(&bench);
    let first = admins(bench.account())[0].id.clone();
    unsynced.world.bends.replace(Some(Box::new(|asked, body| {
        if asked.contains("permission_groups?") {
            body["result"] = serde_json::json!([]);
        }
    })));
    let removal = unsynced.arrive(Action::Revoke, Target::Account, member(&first));
    assert_not_now(&unsynced.attempt(removal).await, "no permission group of Super Administrators");
    unsynced.world.bends.take();
    assert_refused(&unsynced.attempt(removal).await, Refusal::MinSuperAdmins, "Only 0 ");
}

#[tokio::test]
async fn room_that_was_taken_to_put_something_right_and_not_used_is_given_back() {
    let mut bench = Bench::start().await;
    let account = bench.account().clone();
    let jane = account.add_member(JANE, vec![holds(&account, &roles(&account)[0])]);
    make_super_administrator_late(&bench, &jane).await;
    let granted = EntryId(1);
    assert_refused(&bench.settle(granted).await, Refusal::Superseded, "the contrary");
    bench.world.config.provision.guards.min_super_admins = 500;
    bench.later_times(8, 61).await;
    bench.assert_told("MIN_SUPER_ADMINS");
    let taken = bench.world.query("SELECT 1 FROM removal WHERE operation = ? AND writes >= 0", &[granted.0.into()]);
    assert_eq!(taken, Ok(Vec::new()));
}

/// What somebody was when a write was sent does not tell what they stop being by it.
#[tokio::test]
async fn who_was_made_super_administrator_after_a_write_that_may_still_come_is_none_left() {
    for removal in [true, false] {
        for comes in [true, false] {
            let bench = Bench::with(|account| leave_admins(account, 2), |_| {}).await;
            let account = bench.account();
            let known = roles(account);
            let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
            let route = if removal { Route::DeleteMember } else { Route::UpdateMember };
            account.fail_next(route, 1, Fault::Held);
            let (action, what) =
                if removal { (Action::Revoke, Target::Account) } else { (Action::Grant, target(&known[2])) };
            let first = bench.arrive(action, what, member(&jane));
            let outcome = bench.attempt(first).await;
            assert_eq!(matches!(outcome, Outcome::NotNow { .. }), removal, "{outcome:?}");
            account.clear_faults();
            bench.world.advance(200);
            let made = bench.operate(Action::Grant, super_administrator(&bench), member(&jane)).await;
            assert_done(&made, Effect::Granted);
            if removal {
                assert_refused(&bench.settle(first).await, Refusal::Superseded, "asked for the contrary");
            }
            let one = admins(account).into_iter().find(|one| one.id != jane).unwrap();
            let second = bench.arrive(Action::Revoke, super_administrator(&bench), member(&one.id));
            let outcome = bench.attempt(second).await;
            assert!(matches!(outcome, Outcome::NotNow { .. }), "it waits until that is known: {outcome:?}");
            if comes {
                assert_eq!(account.release_held(), 1);
                assert_refused(&bench.settle(second).await, Refusal::MinSuperAdmins, "MIN_SUPER_ADMINS");
                assert_eq!(admins(account).len(), 2);
            } else {
                bench.world.advance(2_400);
                bench.later(1).await;
                assert_done(&bench.settle(second).await, Effect::Revoked);
                assert_eq!(admins(account).len(), 2);
            }
        }
    }
}

#[tokio::test]
async fn who_lost_it_by_a_write_that_was_answered_with_an_error_is_no_super_administrator_left() {
    let bench = Bench::with(|account| leave_admins(account, 3), |_| {}).await;
    let account = bench.account();
    let all = admins(account);
    account.fail_next(Route::UpdateMember, 1, Fault::status(500, 10_000).after());
    account.before_next_put(|account, member| account.stale_reads(member, 12));
    let [first, second] = [0, 1].map(|place| {
        let member = member(&all[place].id);
        bench.arrive(Action::Revoke, super_administrator(&bench), member)
    });
    let outcomes = tokio::join!(bench.attempt(first), bench.attempt(second));
    assert!(admins(account).len() >= 2, "{outcomes:?}");
    let told = [bench.settle(first).await, bench.settle(second).await];
    assert_eq!((admins(account).len(), count(&told).0), (2, 1), "{told:?}");
}

/// Between the read by which somebody holds nothing more and the removal, an administrator gives them something else.
#[tokio::test]
async fn nobody_is_removed_for_a_last_role_who_was_given_another_one_meanwhile() {
    for by_group in [false, true] {
        let bench = Bench::with(|_| {}, |config| config.provision.guards.last_role = LastRole::RemoveMember).await;
        let account = bench.account();
        let known = roles(account);
        let group = account.add_group("Operators", vec![holds(account, &known[5])]);
        let jane = account.add_member(JANE, vec![holds(account, &known[0])]);
        let whom = jane.clone();
        account.after_next(Route::GetUserGroupMember, move |account, _| {
            if by_group {
                // Another look finds nobody in it yet.
                account.after_next(Route::GetUserGroupMember, move |account, _| account.join_group(&group, &whom));
            } else {
                account.add_policy(&whom, holds(account, &known[1]));
            }
        });
        let revoke = bench.arrive(Action::Revoke, target(&roles(account)[0]), member(&jane));
        let outcome = bench.attempt(revoke).await;
        assert!(matches!(outcome, Outcome::NotNow { .. }), "{by_group}: {outcome:?}");
        assert!(account.membership(&jane).is_some());
        let settled = bench.settle(revoke).await;
        if by_group {
            assert_refused(&settled, Refusal::LastRole, "Operators");
        } else {
            assert_done(&settled, Effect::Revoked);
        }
        assert!(account.membership(&jane).is_some());
    }
}

/// The token's rights end with its owner's membership, whatever the owner may do in the account.
#[tokio::test]
async fn token_owner_is_not_removed_who_is_no_super_administrator_either() {
    let mut bench = Bench::start().await;
    let account = bench.account().clone();
    with_user_token(&mut bench.world.config, &account);
    let owner = owner(&bench).await;
    account.set_policies(&owner.id, vec![holds(&account, &roles(&account)[0])]);
    let refused = bench.operate(Action::Revoke, Target::Account, member(&owner.id)).await;
    assert_refused(&refused, Refusal::TokenOwner, &owner.email);
    assert!(account.membership(&owner.id).is_some());
}
