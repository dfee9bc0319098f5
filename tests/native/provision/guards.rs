//! What provisioning must not do.

use c1_cloudflare::base::ports::Secret;
use c1_cloudflare::cloudflare::{Client, Purpose};
use c1_cloudflare::coordinator::Settings;
use sim::cloudflare::{Access, Cloudflare, Membership, Permission, Route};

use super::{
    Action, Bench, Effect, NEW, Outcome, Refusal, Target, assert_done, assert_refused, atom, group_target, holds,
    member, person, roles, target,
};

/// The accepted members who are Super Administrator of their own.
fn admins(account: &Cloudflare) -> Vec<Membership> {
    let wanted = atom(account, &account.permission_group("super_admin").unwrap());
    let all = account.memberships().into_iter();
    all.filter(|member| member.status == "accepted" && account.member_atoms(&member.id).contains(&wanted)).collect()
}

/// Leaves so many Super Administrators, each with another role as well.
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
async fn it_holds_before_the_first_sync_too() {
    let bench = Bench::with(|account| leave_admins(account, 1), |_| {}).await;
    let mut fresh = super::World::new(sim::cloudflare::Spec::default());
    super::provision::init(&fresh).unwrap();
    fresh.cloudflare = bench.account().clone();
    fresh.config = bench.world.config.clone();
    let first = admins(bench.account())[0].id.clone();
    let unsynced = Bench { world: fresh, locks: std::cell::RefCell::default() };
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
async fn the_tokens_own_user_is_spared() {
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
    let plain = account.add_member("jane.doe@example.com", vec![holds(&account, &roles(&account)[0])]);
    assert_done(&bench.operate(Action::Revoke, Target::Account, member(&plain)).await, Effect::Removed);
}

#[tokio::test]
async fn the_default_role_may_be_an_entitlement_of_either_kind() {
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
        let bench = Bench::with(|_| {}, |config| config.provision.default_role = Some(setting.clone())).await;
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
async fn a_newer_operation_that_asked_for_the_contrary_wins() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    let jane = account.add_member("jane.doe@example.com", vec![holds(account, &known[0]), holds(account, &known[1])]);
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
    assert_refused(&refused, Refusal::Superseded, "nothing was changed");
    assert!(bench.atoms(&jane).contains(&atom(account, &known[1])));
}
