//! Policies that deny: whoever has nothing else has no access, and what is denied is not given by granting it.

use c1_cloudflare::provision::LastRole;
use sim::cloudflare::{Access, Atom, Cloudflare, KnownPermissionGroup, PolicySpec, Route};

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
