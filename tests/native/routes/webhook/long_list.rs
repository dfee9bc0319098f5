//! A list of members that takes longer than one attempt has: the next one goes on where it was cut off.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::Value;
use sim::cloudflare::{Latency, Route, Spec};
use sim::conductorone::{Person, Task, Verdict};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, named};
use crate::looks::{atom, holds, roles, small};

/// Pages of the list: more than an attempt of 20 s reads at 1.5 s each.
const PAGES: usize = 27;

/// An account with a long list, which was synced, and in it somebody with two roles: their user and their membership.
async fn long_list() -> (Deployment, String, String) {
    let spec = Spec { members: PAGES * 50 - 20, groups: 0, ..small() };
    let deployment = Deployment::with(spec, |options| options.var("PROVISIONING", "on")).await;
    let cloudflare = &deployment.cloudflare;
    let policies = roles(cloudflare).iter().take(2).map(|role| holds(cloudflare, role)).collect();
    let member = cloudflare.add_member(EMAIL, policies);
    let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
    let deployment = deployment.synced().await;
    let slow = Latency::of(Duration::from_millis(1_500));
    deployment.cloudflare.set_route_latency(Route::ListMembers, slow);
    deployment.cloudflare.reset_log();
    (deployment, user, member)
}

/// Asks for the revoke of the second role of the person, and waits for the callback.
async fn revoked(deployment: &Deployment, person: Person) -> Value {
    let role = roles(&deployment.cloudflare)[1].clone();
    let task = Task::revoke(named(&role), person);
    let delivery = deployment.c1.task(&task);
    assert_eq!(deployment.deliver(&delivery).await.verdict, Verdict::Accepted);
    deployment.callback(&delivery).await
}

fn pages_read(deployment: &Deployment) -> usize {
    let read = deployment.cloudflare.requests(Route::ListMembers);
    deployment.cloudflare.reset_log();
    read
}

#[tokio::test(start_paused = true)]
async fn that_somebody_is_gone_from_a_large_account_is_proved_by_several_attempts() {
    let (deployment, user, member) = long_list().await;
    let cloudflare = &deployment.cloudflare;
    cloudflare.remove_member(&member);
    let person = || Person::member(EMAIL, &user, &member);
    let document = revoked(&deployment, person()).await;
    assert!(document["complete"]["comment"].as_str().unwrap().contains("not a member"), "{document}");
    let read = pages_read(&deployment);
    // Twice each, since it took longer than one attempt; and what was cut off once more.
    assert!((2 * PAGES..2 * PAGES + 8).contains(&read), "{read}");
    let operation = deployment.json("/v1/operations?limit=1").await["items"][0].clone();
    assert_eq!(operation["outcome"]["effect"], "already_revoked", "{operation}");
    assert!(operation["trail"].as_array().unwrap().len() < 8, "what goes on is no failure: {operation}");

    // Somebody invites them again while the list is read, on a page that was read before.
    let role = roles(cloudflare)[1].clone();
    cloudflare.after_page(Route::ListMembers, 20, move |cloudflare, _| {
        let both = roles(cloudflare).iter().take(2).map(|role| holds(cloudflare, role)).collect();
        cloudflare.add_member(EMAIL, both);
    });
    let document = revoked(&deployment, person()).await;
    assert!(document["complete"]["comment"].as_str().unwrap().contains("Revoked"), "{document}");
    let again = cloudflare.membership_of(EMAIL).unwrap().id;
    assert!(!cloudflare.member_atoms(&again).contains(&atom(cloudflare, &role)));

    // The Worker is lost again and again meanwhile.
    cloudflare.remove_member(&again);
    pages_read(&deployment);
    let delivery = deployment.c1.task(&Task::revoke(named(&role), person()));
    assert_eq!(deployment.deliver(&delivery).await.verdict, Verdict::Accepted);
    for _ in 0..6 {
        deployment.wait(Duration::from_secs(9)).await;
        deployment.restart();
    }
    let document = deployment.callback(&delivery).await;
    assert!(document["complete"]["comment"].as_str().unwrap().contains("not a member"), "{document}");
    let read = pages_read(&deployment);
    assert!(read < 2 * PAGES + 16, "{read}");
    let left = deployment.world().query("SELECT 1 FROM looked_through", &[]).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn super_administrators_are_counted_in_a_large_account_by_several_attempts() {
    let (deployment, _, _) = long_list().await;
    deployment.set_var("MIN_SUPER_ADMINS", "500");
    let cloudflare = &deployment.cloudflare;
    let role = cloudflare.permission_group("super_admin").unwrap();
    let makes = atom(cloudflare, &role);
    let admins: Vec<_> = cloudflare
        .memberships()
        .into_iter()
        .filter(|member| member.user_id.is_some() && cloudflare.member_atoms(&member.id).contains(&makes))
        .collect();
    let admin = admins[0].clone();
    let person = Person::member(&admin.email, admin.user_id.as_deref().unwrap(), &admin.id);
    let delivery = deployment.c1.task(&Task::revoke(named(&role), person));
    assert_eq!(deployment.deliver(&delivery).await.verdict, Verdict::Accepted);
    let document = deployment.callback(&delivery).await;
    assert!(document.to_string().contains("MIN_SUPER_ADMINS asks for 500"), "{document}");
    assert!(cloudflare.member_atoms(&admin.id).contains(&makes));
    let read = pages_read(&deployment);
    // Those on which there are some are read again by each attempt.
    assert!(read < PAGES + 4 + admins.len(), "{read} pages, {} administrators", admins.len());
}
