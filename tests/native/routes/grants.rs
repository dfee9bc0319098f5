//! `PUT` and `DELETE /v1/roles/{role}/members/{user}`, and what becomes of a write.

use sim::cloudflare::{Atom, Fault, KnownPermissionGroup, PolicySpec, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::jane::{EMAIL, Jane, assert_done, assert_refused};
use crate::looks::{holds, roles};

#[tokio::test(start_paused = true)]
async fn a_grant_or_revoke_that_holds_already_writes_nothing() {
    let jane = Jane::start().await;
    assert_done(&jane.call("PUT", &jane.has).await, "already_granted");
    assert_done(&jane.call("DELETE", &jane.lacks).await, "already_revoked");
    jane.changed(&[], &[]);
    // That the access is gone is said only once no user group gives it, which the second one asks.
    assert_eq!(jane.requests(), ["GET", "GET", "GET"]);
}

#[tokio::test(start_paused = true)]
async fn key_conflict_is_the_same_task_and_step_with_another_action_person_or_entitlement() {
    let jane = Jane::start().await;
    let other =
        jane.deployment.cloudflare.memberships().into_iter().find(|it| it.status == "accepted" && it.id != jane.member);
    let other = other.unwrap();
    let role = |it: &KnownPermissionGroup| Entitlement::role(it.governed_as(), &it.name);
    let person = || Person::member(EMAIL, &jane.user, &jane.member);
    let somebody = Person::member(&other.email, &other.user_id.unwrap(), &other.id);
    let told = async |task: Task, token: &str| {
        let delivery = jane.deployment.c1.task(&task.id("2task").step_id("2step"));
        jane.deployment.send_as(&delivery, token).await.text()
    };
    let first = told(Task::grant(role(&jane.lacks), person()), "1").await;
    assert!(first.contains("complete"), "{first}");
    let others = [
        Task::revoke(role(&jane.lacks), person()),
        Task::grant(role(&jane.lacks), somebody),
        Task::grant(role(&jane.has), person()),
    ];
    for (task, token) in others.into_iter().zip(["2", "3", "4"]) {
        let refused = told(task, token).await;
        assert!(refused.contains("errored") && refused.contains("asked for another action, person"), "{refused}");
    }
    assert_eq!(told(Task::grant(role(&jane.lacks), person()), "5").await, first, "the same has its answer");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_role_on_one_domain_is_granted_and_revoked_too() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let role = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let (domain, _) = cloudflare.domain_resource_groups()[0].clone();
    let path = format!("/v1/scoped-roles/{}-{domain}/members/{}", role.id, jane.user);
    let scoped = (sim::cloudflare::Access::Allow, role.id, domain);
    assert_done(&jane.deployment.request("PUT", &path, &[], None).await, "granted");
    jane.changed(&[scoped], &[]);
    assert_done(&jane.deployment.request("DELETE", &path, &[], None).await, "revoked");
    jane.changed(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn super_administrator_which_no_list_names_can_be_granted() {
    let jane = Jane::start().await;
    let role = jane.deployment.cloudflare.permission_group("super_admin").unwrap();
    assert_done(&jane.call("PUT", &role).await, "granted");
    jane.changed(&[jane.atom(&role)], &[]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_not_found() {
    let jane = Jane::start().await;
    let nobody = "f".repeat(32);
    let put = |path: String| {
        let jane = &jane;
        async move { jane.deployment.request("PUT", &path, &[], None).await }
    };
    let unknown_role = put(format!("/v1/roles/{nobody}/members/{}", jane.user)).await;
    assert_refused(&unknown_role, 404, "unknown_entitlement", &nobody);
    let unknown_user = put(format!("/v1/roles/{}/members/{nobody}", jane.lacks.governed_as())).await;
    assert_refused(&unknown_user, 404, "unknown_member", &nobody);
    let path = format!("/v1/roles/{}/members/{nobody}", jane.has.governed_as());
    let revoked = jane.deployment.request("DELETE", &path, &[], None).await;
    assert_eq!(revoked.json()["status"], "already_revoked", "nobody holds nothing: {}", revoked.text());
    let unknown_group = put(format!("/v1/groups/{nobody}/members/{}", jane.user)).await;
    assert_refused(&unknown_group, 404, "unknown_entitlement", &nobody);
    jane.changed(&[], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_role_is_not_revoked() {
    let jane = Jane::start().await;
    assert_refused(&jane.call("DELETE", &jane.has).await, 409, "last_role", EMAIL);
    jane.changed(&[], &[]);
    assert_eq!(jane.requests(), ["GET"], "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn with_provisioning_off_it_says_what_it_would_have_done() {
    let jane = Jane::with(2, "off").await;
    assert_refused(&jane.call("PUT", &jane.lacks).await, 409, "provisioning_off", "would have granted");
    assert_refused(&jane.call("DELETE", &jane.has).await, 409, "provisioning_off", "would have revoked");
    assert_done(&jane.call("PUT", &jane.has).await, "already_granted");
    jane.changed(&[], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_back_that_is_behind_is_waited_for() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.configure(|behaviour| behaviour.stale_reads_after_put = 1);
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET", "GET"], "one write, whatever was read meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_change_worked_out_from_a_read_that_is_behind_takes_nothing_back() {
    let jane = Jane::start().await;
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    // What Cloudflare shows next is Jane as she was before the grant.
    let current: Vec<PolicySpec> = [&jane.has, &jane.lacks].map(|role| holds(&jane.deployment.cloudflare, role)).into();
    jane.deployment.cloudflare.set_policies(&jane.member, current[..1].to_vec());
    jane.deployment.cloudflare.stale_reads(&jane.member, 1);
    jane.deployment.cloudflare.set_policies(&jane.member, current);
    let third = roles(&jane.deployment.cloudflare)[2].clone();
    assert_done(&jane.call("PUT", &third).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(&third)], &[]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_over_ours_is_merged_with_it() {
    let jane = Jane::start().await;
    let theirs = roles(&jane.deployment.cloudflare)[3].clone();
    let (member, before) = (jane.member.clone(), holds(&jane.deployment.cloudflare, &jane.has));
    let foreign = holds(&jane.deployment.cloudflare, &theirs);
    // Their dashboard had read Jane before our write, and saves without it.
    jane.deployment.cloudflare.after_next(Route::UpdateMember, move |cloudflare, _| {
        cloudflare.set_policies(&member, vec![before, foreign]);
    });
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(&theirs)], &[]);
    // Whose the policies are that somebody else wrote is asked in an account of which nothing is known: the groups, and who is in one.
    assert_eq!(jane.requests(), ["GET", "PUT", "GET", "GET", "GET", "GET", "GET", "PUT", "GET"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_cloudflare_forgot_is_not_called_done() {
    let jane = Jane::start().await;
    let (member, before) = (jane.member.clone(), holds(&jane.deployment.cloudflare, &jane.has));
    for _ in 0..3 {
        let (member, before) = (member.clone(), before.clone());
        jane.deployment.cloudflare.after_next(Route::UpdateMember, move |cloudflare, _| {
            cloudflare.set_policies(&member, vec![before]);
        });
    }
    let answer = jane.call("PUT", &jane.lacks).await;
    assert_refused(&answer, 503, "not_now", "does not show it");
    jane.changed(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_settled_by_reading() {
    for fault in [Fault::Reset.after(), Fault::status(500, 10_000).after(), Fault::TruncatedJson] {
        let jane = Jane::start().await;
        jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, fault.clone());
        assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_arrived_is_written_again_at_once() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::status(500, 10_000));
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_cloudflare_refuses_is_refused_with_its_words() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::status(403, 9109));
    let answer = jane.call("PUT", &jane.lacks).await;
    assert_refused(&answer, 422, "cloudflare_refused", "9109");
    jane.changed(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn grants_and_revokes_of_one_member_at_once_are_all_carried_out() {
    let jane = Jane::holding(2).await;
    let all = roles(&jane.deployment.cloudflare);
    let grants = all[3..8].iter().map(|role| jane.call("PUT", role));
    let (granted, revoked) = tokio::join!(futures::future::join_all(grants), jane.call("DELETE", &jane.has));
    for answer in &granted {
        assert_done(answer, "granted");
    }
    assert_done(&revoked, "revoked");
    let added: Vec<Atom> = all[3..8].iter().map(|role| jane.atom(role)).collect();
    jane.changed(&added, &[jane.atom(&jane.has)]);
}
