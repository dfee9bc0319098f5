//! Policies that deny: whoever has nothing else has no access, and what is denied is not given by granting it.

use c1_cloudflare::provision::LastRole;
use sim::cloudflare::{Access, Atom, Cloudflare, Fault, KnownPermissionGroup, PolicySpec, Route};

use super::{
    Action, Bench, Effect, JANE, Outcome, Refusal, Target, assert_done, assert_refused, atom, holds, member, roles,
    target,
};

fn denies(account: &Cloudflare, role: &KnownPermissionGroup) -> PolicySpec {
    PolicySpec { access: Access::Deny, ..holds(account, role) }
}

fn denied(account: &Cloudflare, role: &KnownPermissionGroup) -> Atom {
    let (_, permission_group, resource_group) = atom(account, role);
    (Access::Deny, permission_group, resource_group)
}

#[tokio::test]
async fn last_role_is_the_last_that_is_allowed_and_not_denied_as_well() {
    for (last_role, left) in
        [(LastRole::Refuse, Some(true)), (LastRole::MinimalAccess, Some(false)), (LastRole::RemoveMember, None)]
    {
        // What is denied beside it: another role, or one that is allowed as well.
        for is_allowed_too in [false, true] {
            let bench = Bench::with(|_| {}, |config| config.provision.guards.last_role = last_role).await;
            let account = bench.account();
            let known = roles(account);
            let mut policies = vec![holds(account, &known[0]), holds(account, &known[1]), denies(account, &known[2])];
            if is_allowed_too {
                policies.push(holds(account, &known[2]));
            }
            let jane = account.add_member(JANE, policies);
            // The control: something is left.
            assert_done(&bench.operate(Action::Revoke, target(&known[1]), member(&jane)).await, Effect::Revoked);
            let outcome = bench.operate(Action::Revoke, target(&known[0]), member(&jane)).await;
            match left {
                Some(true) => {
                    assert_refused(&outcome, Refusal::LastRole, "the last access");
                    assert!(bench.atoms(&jane).contains(&atom(account, &known[0])));
                }
                Some(false) => {
                    assert_done(&outcome, Effect::Revoked);
                    let minimal = account.permission_group("minimal_account_access").unwrap();
                    assert!(
                        bench.atoms(&jane).is_superset(&[atom(account, &minimal), denied(account, &known[2])].into())
                    );
                    assert!(!bench.atoms(&jane).contains(&atom(account, &known[0])));
                }
                None => {
                    assert_done(&outcome, Effect::Removed);
                    assert!(account.membership(&jane).is_none());
                }
            }
        }
    }
}

#[tokio::test]
async fn not_eligible_is_who_is_denied_what_is_granted() {
    let bench = Bench::start().await;
    let account = bench.account();
    let known = roles(account);
    for is_held in [false, true] {
        let email = format!("jane{is_held}@example.com");
        let mut policies = vec![holds(account, &known[0]), denies(account, &known[1])];
        if is_held {
            policies.push(holds(account, &known[1]));
        }
        let jane = account.add_member(&email, policies);
        let before = bench.atoms(&jane);
        let refused = bench.operate(Action::Grant, target(&known[1]), member(&jane)).await;
        assert_refused(&refused, Refusal::NotEligible, "take that policy away");
        assert_eq!(bench.atoms(&jane), before);
        // What is not denied is granted, and what is denied stays so.
        assert_done(&bench.operate(Action::Grant, target(&known[2]), member(&jane)).await, Effect::Granted);
        assert!(bench.atoms(&jane).contains(&denied(account, &known[1])));
    }
    assert_eq!(account.requests(Route::UpdateMember), 2);
}

/// What a resource group has in it, policies do not tell: a denial on every domain is one on each of them.
#[tokio::test]
async fn not_eligible_is_who_is_denied_what_is_granted_on_another_resource_group() {
    let bench = Bench::start().await;
    let account = bench.account();
    let first = roles(account)[0].clone();
    let mut scoped = account.permission_groups().into_iter().filter(|group| !group.account_wide);
    let [dns, other] = [scoped.next().unwrap().id, scoped.next().unwrap().id];
    let [every, domain] = [true, false].map(|is_every| {
        let groups = account.domain_resource_groups().into_iter();
        groups.filter(|(_, name)| name.ends_with(".*") == is_every).map(|(id, _)| id).next().unwrap()
    });
    let barred = PolicySpec { access: Access::Deny, ..PolicySpec::allow(&dns, &every) };
    let jane = account.add_member(JANE, vec![holds(account, &first), barred]);
    let on_domain = |group: &str| Target::Entitlement(format!("scoped_role:{group}-{domain}:member").parse().unwrap());
    let before = bench.atoms(&jane);
    let refused = bench.operate(Action::Grant, on_domain(&dns), member(&jane)).await;
    assert_refused(&refused, Refusal::NotEligible, "take that policy away");
    assert_eq!(bench.atoms(&jane), before);
    // The controls: another permission group, and the same one once nothing denies it.
    assert_done(&bench.operate(Action::Grant, on_domain(&other), member(&jane)).await, Effect::Granted);
    bench.world.advance(70);
    account.set_policies(&jane, vec![holds(account, &first)]);
    assert_done(&bench.operate(Action::Grant, on_domain(&dns), member(&jane)).await, Effect::Granted);
    assert!(bench.atoms(&jane).contains(&(Access::Allow, dns, domain)));
}

/// Jane, who has a role, and the grant of a permission group on a domain, with what allows that and what denies the same on every domain.
async fn barred_elsewhere() -> (Bench, String, Target, [PolicySpec; 2]) {
    let bench = Bench::start().await;
    let account = bench.account();
    let dns = account.permission_groups().into_iter().find(|group| !group.account_wide).unwrap().id;
    let [every, domain] = [true, false].map(|is_every| {
        let groups = account.domain_resource_groups().into_iter();
        groups.filter(|(_, name)| name.ends_with(".*") == is_every).map(|(id, _)| id).next().unwrap()
    });
    let jane = account.add_member(JANE, vec![holds(account, &roles(account)[0])]);
    let barred = PolicySpec { access: Access::Deny, ..PolicySpec::allow(&dns, &every) };
    let what = Target::Entitlement(format!("scoped_role:{dns}-{domain}:member").parse().unwrap());
    let allowed = PolicySpec::allow(&dns, &domain);
    (bench, jane, what, [allowed, barred])
}

/// Nothing would be written, and an end that ConductorOne moves is moved.
#[tokio::test]
async fn what_is_held_already_is_so_though_it_is_denied_on_another_resource_group() {
    let (bench, jane, what, policies) = barred_elsewhere().await;
    for policy in policies {
        bench.account().add_policy(&jane, policy);
    }
    let before = bench.atoms(&jane);
    assert_done(&bench.operate(Action::Grant, what, member(&jane)).await, Effect::AlreadyGranted);
    assert_eq!(bench.atoms(&jane), before);
}

#[tokio::test]
async fn what_an_attempt_has_granted_is_granted_though_it_is_denied_on_another_resource_group_since() {
    let (bench, jane, what, [_, barred]) = barred_elsewhere().await;
    let account = bench.account();
    account.fail_next(Route::UpdateMember, 3, Fault::Held);
    let grant = bench.arrive(Action::Grant, what, member(&jane));
    let outcome = bench.attempt(grant).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    assert!(account.release_held() > 0);
    account.add_policy(&jane, barred);
    bench.world.advance(10);
    assert_done(&bench.settle(grant).await, Effect::Granted);
}

/// That goes for grants alone: who has something on one domain that is denied on another has access.
#[tokio::test]
async fn what_is_denied_on_another_resource_group_is_something_that_is_left() {
    let bench = Bench::start().await;
    let account = bench.account();
    let first = roles(account)[0].clone();
    let dns = account.permission_groups().into_iter().find(|group| !group.account_wide).unwrap().id;
    let domains: Vec<String> = account.domain_resource_groups().into_iter().map(|(id, _)| id).collect();
    let barred = PolicySpec { access: Access::Deny, ..PolicySpec::allow(&dns, &domains[1]) };
    let policies = vec![holds(account, &first), PolicySpec::allow(&dns, &domains[2]), barred];
    let jane = account.add_member(JANE, policies);
    assert_done(&bench.operate(Action::Revoke, target(&first), member(&jane)).await, Effect::Revoked);
}

#[tokio::test]
async fn min_super_admins_does_not_count_who_is_one_through_a_group_and_is_denied_it() {
    let bench = Bench::start().await;
    let account = bench.account();
    let (role, known) = (account.permission_group("super_admin").unwrap(), roles(account));
    let wanted = atom(account, &role);
    let admins: Vec<_> =
        account.memberships().into_iter().filter(|it| account.member_atoms(&it.id).contains(&wanted)).collect();
    for admin in &admins[1..] {
        account.set_policies(&admin.id, vec![holds(account, &known[0])]);
    }
    let group = account.add_group("Admins", vec![holds(account, &role)]);
    for name in ["one", "two"] {
        let policies = vec![holds(account, &known[0]), denies(account, &role)];
        let through = account.add_member(&format!("{name}@example.com"), policies);
        account.join_group(&group, &through);
    }
    let refused = bench.operate(Action::Revoke, Target::Account, member(&admins[0].id)).await;
    assert_refused(&refused, Refusal::MinSuperAdmins, "Only 0 ");
    for name in ["three", "four"] {
        let through = account.add_member(&format!("{name}@example.com"), vec![holds(account, &known[0])]);
        account.join_group(&group, &through);
    }
    let outcome: Outcome = bench.operate(Action::Revoke, Target::Account, member(&admins[0].id)).await;
    assert_done(&outcome, Effect::Removed);
}
