//! With provisioning off, every kind of operation says what it would have done, and nothing is written.

use c1_cloudflare::provision::{LastRole, Provisioning};
use sim::cloudflare::Route;

use super::{
    Action, Bench, JANE, NEW, Refusal, Target, assert_refused, group_target, holds, member, person, roles, target,
};

#[tokio::test]
async fn nothing_is_written_whatever_is_asked() {
    let mut bench = Bench::with(|_| {}, |config| config.provision.provisioning = Provisioning::Off).await;
    let account = bench.account().clone();
    let known = roles(&account);
    let scoped = account.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let domain = account.domain_resource_groups()[0].0.clone();
    let scoped = Target::Entitlement(format!("scoped_role:{}-{domain}:member", scoped.id).parse().unwrap());
    let group = account.add_group("Operators", vec![holds(&account, &known[5])]);
    let jane = account.add_member(JANE, vec![holds(&account, &known[0]), holds(&account, &known[1])]);
    let joe = account.add_member("joe@example.com", vec![holds(&account, &known[0])]);
    account.join_group(&group, &joe);
    let jim = account.add_member("jim@example.com", vec![holds(&account, &known[0])]);
    let invitation = account.invite("invited@example.com", vec![holds(&account, &known[0])]);
    let grant = Action::Grant;
    let revoke = Action::Revoke;
    let before = account.truth();
    for (action, what, whom, last_role, says) in [
        (grant, target(&known[2]), member(&jane), LastRole::Refuse, "would have granted"),
        (grant, scoped, member(&jane), LastRole::Refuse, "would have granted"),
        (revoke, target(&known[0]), member(&jane), LastRole::Refuse, "would have revoked"),
        (revoke, target(&known[0]), member(&joe), LastRole::MinimalAccess, "left them with Minimal Account Access"),
        (revoke, target(&known[0]), member(&jim), LastRole::RemoveMember, "would have removed jim@example.com"),
        (grant, group_target(&group), member(&jane), LastRole::Refuse, "would have put"),
        (revoke, group_target(&group), member(&joe), LastRole::Refuse, "would have taken"),
        (grant, Target::Account, person(NEW), LastRole::Refuse, "would have invited"),
        (grant, target(&known[0]), person(NEW), LastRole::Refuse, "would have invited"),
        (grant, group_target(&group), person(NEW), LastRole::Refuse, "would have invited"),
        (revoke, Target::Account, member(&jane), LastRole::Refuse, "would have removed"),
        (revoke, Target::Account, member(&invitation), LastRole::Refuse, "would have cancelled"),
        (grant, target(&known[2]), member(&invitation), LastRole::Refuse, "would have granted"),
        (grant, Target::Renewal, member(&invitation), LastRole::Refuse, "made it again"),
    ] {
        bench.world.config.provision.guards.last_role = last_role;
        let outcome = bench.operate(action, what, whom).await;
        assert_refused(&outcome, Refusal::ProvisioningOff, says);
    }
    assert_eq!(account.truth(), before);
    for route in Route::ALL.iter().filter(|route| route.method() != "GET") {
        assert_eq!(account.requests(*route), 0, "{}", route.template());
    }
}
