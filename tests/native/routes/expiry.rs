//! Grants for a time: what becomes of them when C1's revoke does not come.

use std::time::Duration;

use c1_cloudflare::base::ports::{Sql as _, SqlValue};
use serde_json::{Value, json};
use sim::cloudflare::{Fault, KnownPermissionGroup, Oddity, On, PolicySpec, Route};
use sim::conductorone::{CallbackFault, Entitlement, Person, Task};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane};
use crate::looks::{atom, holds as holds_role, roles, small};

async fn deliver(jane: &Jane, task: Task, token: &str) -> Value {
    let task = jane.deployment.c1.task(&task);
    let answer = jane.deployment.send_as(&task, token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn entitlement(jane: &Jane) -> Entitlement {
    Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name)
}

fn person(jane: &Jane) -> Person {
    Person::member(EMAIL, &jane.user, &jane.member)
}

fn holds(jane: &Jane) -> bool {
    jane.deployment.cloudflare.member_atoms(&jane.member).contains(&jane.atom(&jane.lacks))
}

async fn overdue(jane: &Jane) -> usize {
    jane.deployment.json("/v1/status").await["overdue_revokes"].as_array().map_or(0, Vec::len)
}

/// How many revokes of our own the journal has.
async fn asked(jane: &Jane) -> usize {
    let journal = jane.deployment.json("/v1/operations").await;
    journal["items"].as_array().unwrap().iter().filter(|one| one["request"]["origin"]["by"] == "expiry").count()
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_end_has_passed_is_overdue_is_a_finding_and_is_revoked_where_that_is_wanted() {
    for enforces in ["off", "on"] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", enforces);
        let task = Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600);
        let rita = Person::newcomer("rita.requester@example.com");
        let andy = Person::newcomer("andy.approver@example.com");
        deliver(&jane, task.requested_by(rita).approved_by(andy), "grant").await;
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(100)).await;
        assert!(holds(&jane) && overdue(&jane).await == 0, "C1 has an hour for its revoke");
        jane.deployment.wait(Duration::from_mins(25)).await;
        let id = format!("overdue-revoke:user:{}", jane.user);
        if enforces == "off" {
            assert!(holds(&jane) && overdue(&jane).await == 1);
            jane.deployment.sync().await;
            jane.deployment.wait(Duration::from_mins(1)).await;
            assert_eq!(jane.deployment.json(&format!("/v1/findings/{id}")).await["state"], "open");
        } else {
            assert!(!holds(&jane) && overdue(&jane).await == 0);
            let journal = jane.deployment.json("/v1/operations").await;
            let own = &journal["items"][0];
            assert_eq!(
                (&own["request"]["origin"]["by"], &own["request"]["action"]),
                (&json!("expiry"), &json!("revoke"))
            );
            assert_eq!(own["outcome"]["effect"], "revoked");
            // Who asked for the grant and who approved it did neither with its end.
            let origin = |entry: &Value, name: &str| entry["request"]["origin"][name].clone();
            assert_eq!((origin(own, "requester"), origin(own, "approvers")), (Value::Null, json!([])));
            let grant = &journal["items"][1];
            assert!(origin(grant, "requester").is_string(), "the control: {grant}");
            assert_eq!(origin(own, "app_id"), origin(grant, "app_id"));
        }
        // C1's own revoke comes at last.
        let told = deliver(&jane, Task::revoke(entitlement(&jane), person(&jane)), "revoke").await.to_string();
        assert!(told.contains("complete"), "{told}");
        assert!(!holds(&jane) && overdue(&jane).await == 0);
    }
}

/// Until somebody holds it, a role may be known by its permission group alone.
#[tokio::test(start_paused = true)]
async fn what_was_granted_under_the_permission_groups_id_is_overdue_though_the_roles_own_is_learned_since() {
    for extended in [None, Some(30 * 86_400), Some(0)] {
        Box::pin(granted_before_the_roles_own_id_is_learned(extended)).await;
    }
}

/// A grant for an hour, which is then made for longer, or for good where that is 0.
async fn granted_before_the_roles_own_id_is_learned(extended: Option<u32>) {
    let deployment = Deployment::with(small(), |options| options.var("PROVISIONING", "on")).await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    let is_held = |role: &KnownPermissionGroup| {
        let members = cloudflare.memberships();
        members.iter().any(|one| cloudflare.member_atoms(&one.id).contains(&atom(&cloudflare, role)))
    };
    let member = cloudflare.add_member(EMAIL, vec![holds_role(&cloudflare, &known[0])]);
    let role = known.iter().find(|role| role.governed_as() != role.id && !is_held(role)).unwrap();
    let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
    cloudflare.fail_next(Route::ListRoles, 10_000, Fault::status(404, 10_000));
    let add = |n| cloudflare.add_member(&format!("p{n}@example.com"), vec![holds_role(&cloudflare, &known[0])]);
    let others: Vec<String> = (0..20).map(add).collect();
    let deployment = deployment.synced().await;
    let granted = Task::grant(Entitlement::role(&role.id, &role.name), Person::member(EMAIL, &user, &member));
    let task = deployment.c1.task(&granted.for_seconds(3_600));
    let answer = deployment.send_as(&task, "grant").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    if extended.is_none() {
        // What a sync has learned that publishes nothing is not gone by yet: the generation that is current has the role under the other id.
        for member in &others {
            cloudflare.remove_member(member);
        }
        assert_eq!(deployment.cron_and_wait().await["runs"][0]["outcome"], "held");
        let ends = deployment.world().query("SELECT entitlement FROM expiry", &[]).unwrap();
        assert_eq!(ends, [[SqlValue::from(format!("role:{}:member", role.id))]]);
        deployment.run(&json!({ "accept_removals": true })).await;
    } else {
        deployment.sync().await;
    }
    if let Some(extended) = extended {
        // C1 knows the role by its own id since.
        let task =
            Task::grant(Entitlement::role(role.governed_as(), &role.name), Person::member(EMAIL, &user, &member));
        let task = deployment.c1.task(&if extended > 0 { task.for_seconds(extended) } else { task });
        assert_eq!(deployment.send_as(&task, "extended").await.status, 200);
    }
    deployment.wait(Duration::from_mins(125)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(1)).await;
    let grants = deployment.list("/v1/grants", 1000).await;
    let mut told = grants.iter().map(Value::to_string);
    assert!(told.any(|grant| grant.contains(role.governed_as()) && grant.contains(&user)), "it is learned: {grants:?}");
    let overdue = async || deployment.json("/v1/status").await["overdue_revokes"].as_array().map_or(0, Vec::len);
    assert_eq!(overdue().await, usize::from(extended.is_none()));
    if extended.is_some() {
        return;
    }
    let finding = format!("/v1/findings/overdue-revoke:user:{user}");
    assert_eq!(deployment.json(&finding).await["state"], "open");
    // The control: what is gone is over.
    cloudflare.set_policies(&member, vec![holds_role(&cloudflare, &known[0])]);
    for _ in 0..2 {
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
    }
    assert_eq!(overdue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_extension_moves_the_end_and_a_grant_for_good_has_none() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.wait(Duration::from_mins(50)).await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(4 * 3_600), "longer").await;
    jane.deployment.wait(Duration::from_hours(3)).await;
    assert!(holds(&jane), "the end was moved");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)), "for good").await;
    jane.deployment.wait(Duration::from_hours(12)).await;
    assert!(holds(&jane) && overdue(&jane).await == 0);
}

/// Four more hours that are asked for two hours into eight.
#[tokio::test(start_paused = true)]
async fn an_extension_ends_no_earlier_than_what_it_extends() {
    for is_extension in [true, false] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", "on");
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(8 * 3_600), "grant").await;
        jane.deployment.wait(Duration::from_hours(2)).await;
        let longer = Task::grant(entitlement(&jane), person(&jane)).for_seconds(4 * 3_600);
        let source = json!({ "isExtension": is_extension });
        deliver(&jane, longer.set("/taskView/task/type/grant/source", source), "longer").await;
        let journal = jane.deployment.json("/v1/operations").await;
        let told = &journal["items"][0]["request"]["origin"]["extends"];
        assert_eq!(told.as_bool(), is_extension.then_some(true), "{journal}");
        // ConductorOne has an hour for its revoke.
        jane.deployment.wait(Duration::from_hours(6)).await;
        assert_eq!(holds(&jane), is_extension, "what is granted once more, and is no extension, ends by its own time");
        jane.deployment.wait(Duration::from_hours(6)).await;
        assert!(!holds(&jane), "the control: the new end is one");
    }
}

/// Of what was given by hand, as before this connector was set up, or whose end a call of REST took away, ConductorOne may have a later end.
#[tokio::test(start_paused = true)]
async fn an_extension_of_what_has_no_known_end_ends_only_what_it_gives() {
    for (before, is_extension, ends) in [
        ("by hand", true, false),
        ("by REST", true, false),
        // The controls: no extension, and what had ended and is given anew.
        ("by hand", false, true),
        ("ended", true, true),
    ] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", "on");
        let account = &jane.deployment.cloudflare;
        if before == "by hand" {
            account.add_policy(&jane.member, holds_role(account, &jane.lacks));
        } else {
            deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
            if before == "by REST" {
                assert_eq!(jane.call("PUT", &jane.lacks).await.json()["status"], "already_granted");
            }
            jane.deployment.wait(Duration::from_hours(3)).await;
        }
        assert_eq!(holds(&jane), before != "ended");
        let longer = Task::grant(entitlement(&jane), person(&jane)).for_seconds(4 * 3_600);
        let source = json!({ "isExtension": is_extension });
        deliver(&jane, longer.set("/taskView/task/type/grant/source", source), "longer").await;
        assert!(holds(&jane));
        jane.deployment.wait(Duration::from_hours(12)).await;
        assert_eq!((!holds(&jane), overdue(&jane).await), (ends, 0), "{before} {is_extension}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_grant_that_was_put_off_takes_no_later_ones_end() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.cloudflare.fail_next(Route::GetMember, 1, Fault::status(503, 1));
    let task = jane.deployment.c1.task(&Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600));
    let first = jane.deployment.send_as(&task, "for an hour").await;
    assert_eq!(first.status, 202, "{}", first.text());
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(40_000), "for longer").await;
    jane.deployment.wait(Duration::from_mins(5)).await;
    let again = jane.deployment.send_as(&task, "for an hour, again").await;
    assert_eq!(again.status, 200, "{}", again.text());
    jane.deployment.wait(Duration::from_hours(4)).await;
    assert!(holds(&jane), "until the later end");
    jane.deployment.wait(Duration::from_hours(12)).await;
    assert!(!holds(&jane));
}

#[tokio::test(start_paused = true)]
async fn what_a_guard_protects_stays_though_its_end_has_passed() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.set_var("PROTECTED_MEMBERS", EMAIL);
    jane.deployment.wait(Duration::from_hours(3)).await;
    assert!(holds(&jane) && overdue(&jane).await == 1);
    assert_eq!(jane.deployment.json("/v1/operations").await["items"][0]["outcome"]["code"], "protected_member");
}

#[tokio::test(start_paused = true)]
async fn an_extension_moves_the_end_of_whoever_changed_their_address_meanwhile() {
    const LATER: &str = "jane.married@example.com";
    for extension in [Some(24 * 3_600), None] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", "on");
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        jane.deployment.cloudflare.change_email(&jane.member, LATER);
        jane.deployment.sync().await;
        let longer = Task::grant(entitlement(&jane), Person::member(LATER, &jane.user, &jane.member));
        let longer = match extension {
            Some(secs) => longer.for_seconds(secs),
            None => longer,
        };
        deliver(&jane, longer, "longer").await;
        jane.deployment.wait(Duration::from_hours(12)).await;
        assert!(
            holds(&jane) && overdue(&jane).await == 0,
            "{extension:?}: the end under the old address is none any more"
        );
        jane.deployment.wait(Duration::from_hours(14)).await;
        assert_eq!(holds(&jane), extension.is_none(), "the control: the new end is one");
    }
}

/// Under another address than it was granted under, what is overdue is still theirs.
#[tokio::test(start_paused = true)]
async fn what_is_overdue_of_whoever_changed_their_address_is_a_finding_about_them() {
    let jane = Jane::start().await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.cloudflare.change_email(&jane.member, "jane.married@example.com");
    jane.deployment.wait(Duration::from_hours(3)).await;
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    let id = format!("overdue-revoke:user:{}", jane.user);
    assert_eq!(jane.deployment.json(&format!("/v1/findings/{id}")).await["state"], "open");
    assert_eq!(overdue(&jane).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_overdue_of_whoever_changed_their_address_is_no_finding_about_who_has_it_since() {
    for is_there in [true, false] {
        let jane = Jane::start().await;
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        let account = &jane.deployment.cloudflare;
        if is_there {
            account.change_email(&jane.member, "jane.married@example.com");
        } else {
            account.remove_member(&jane.member);
        }
        let joe = account.add_member(EMAIL, vec![holds_role(account, &jane.lacks)]);
        jane.deployment.wait(Duration::from_hours(3)).await;
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(1)).await;
        let joe = account.membership(&joe).unwrap().user_id.unwrap();
        let told = jane.deployment.get(&format!("/v1/findings/overdue-revoke:user:{joe}")).await;
        // The control: where nobody has that membership, who has the address may be the same person, invited again.
        assert_eq!(told.status, if is_there { 404 } else { 200 }, "{}", told.text());
        assert_eq!(overdue(&jane).await, 1);
    }
}

/// C1 closes a grant that it reads to be gone, and never asks for its revoke.
#[tokio::test(start_paused = true)]
async fn what_somebody_else_took_away_is_not_overdue_for_ever() {
    let jane = Jane::start().await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    let joe = jane.deployment.cloudflare.add_member("joe@example.com", Vec::new());
    jane.deployment.cloudflare.accept_invitation(&joe);
    jane.deployment.sync().await;
    let user = jane.deployment.cloudflare.membership(&joe).unwrap().user_id.unwrap();
    let other = Person::member("joe@example.com", &user, &joe);
    deliver(&jane, Task::grant(entitlement(&jane), other).for_seconds(3_600), "joe's").await;
    jane.deployment.wait(Duration::from_hours(3)).await;
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(overdue(&jane).await, 2);
    let cloudflare = &jane.deployment.cloudflare;
    let as_before = PolicySpec::allow(jane.has.id.clone(), cloudflare.account_resource_group());
    cloudflare.set_policies(&jane.member, vec![as_before]);
    assert!(!holds(&jane));
    for (sweeps, left) in [(1, 2), (2, 1)] {
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(overdue(&jane).await, left, "{sweeps}; the control: who still holds it is overdue");
    }
}

/// One answer may leave out who is in a user group, and one of two people is believed at once to have nobody in it.
#[tokio::test(start_paused = true)]
async fn what_one_sweep_alone_does_not_find_is_overdue_still() {
    for is_gone in [false, true] {
        let jane = Jane::start().await;
        let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
        // No other group's list is doubted beside it.
        for member in cloudflare.memberships() {
            member.groups.iter().for_each(|group| cloudflare.leave_group(group, &member.id));
        }
        let few = cloudflare.add_group("Few", vec![holds_role(cloudflare, &jane.has)]);
        let joe = cloudflare.add_member("joe@example.com", vec![holds_role(cloudflare, &jane.has)]);
        cloudflare.join_group(&few, &joe);
        deployment.sync().await;
        let few_member = Entitlement::new(&format!("group:{few}:member"), "Few Member");
        deliver(&jane, Task::grant(few_member, person(&jane)).for_seconds(3_600), "grant").await;
        deployment.wait(Duration::from_hours(3)).await;
        let left = async || {
            deployment.sync().await;
            deployment.wait(Duration::from_mins(1)).await;
            overdue(&jane).await
        };
        assert_eq!(left().await, 1, "the control: she is in it");
        if is_gone {
            cloudflare.leave_group(&few, &jane.member);
        } else {
            cloudflare.answer_null(Route::ListUserGroupMembers);
        }
        assert_eq!(left().await, 1, "one sweep may have been told too little");
        cloudflare.make_even();
        assert_eq!(left().await, usize::from(!is_gone), "another one tells");
    }
}

/// What could not be read is not taken for gone.
#[tokio::test(start_paused = true)]
async fn what_somebody_else_took_away_is_overdue_as_long_as_not_all_members_can_be_read() {
    let jane = Jane::start().await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.wait(Duration::from_hours(3)).await;
    let cloudflare = &jane.deployment.cloudflare;
    cloudflare.set_policies(&jane.member, vec![holds_role(cloudflare, &jane.has)]);
    let odd = cloudflare.add_member("odd@example.com", vec![holds_role(cloudflare, &jane.has)]);
    cloudflare.make_odd(On::Reads, &odd, Oddity::NullInPolicies("permission_groups"));
    for count in [1, 0] {
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(overdue(&jane).await, count);
        cloudflare.make_even();
    }
}

/// The access that was granted for a time is there, though no revoke of it would take it away.
#[tokio::test(start_paused = true)]
async fn what_a_user_group_gives_as_well_is_overdue_until_that_is_over_too() {
    let jane = Jane::start().await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    let cloudflare = &jane.deployment.cloudflare;
    let group = cloudflare.add_group("Gives it too", vec![holds_role(cloudflare, &jane.lacks)]);
    cloudflare.join_group(&group, &jane.member);
    cloudflare.set_policies(&jane.member, vec![holds_role(cloudflare, &jane.has)]);
    jane.deployment.wait(Duration::from_hours(3)).await;
    for count in [1, 0] {
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(1)).await;
        assert_eq!(overdue(&jane).await, count);
        cloudflare.leave_group(&group, &jane.member);
    }
}

/// What is given by hand after that is no part of the grant, which was revoked as far as it could be.
#[tokio::test(start_paused = true)]
async fn what_was_taken_away_though_a_user_group_gives_it_too_is_over_and_ends_nothing_that_is_given_again() {
    for revokes in [true, false] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        deployment.set_var("ENFORCE_EXPIRY", "on");
        deployment.set_var("AUDIT_FEED", "on");
        let cloudflare = &deployment.cloudflare;
        let group = cloudflare.add_group("Gives it too", vec![holds_role(cloudflare, &jane.lacks)]);
        cloudflare.join_group(&group, &jane.member);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        assert!(holds(&jane));
        if revokes {
            let told = jane.deliver(&jane.revoke(&jane.lacks)).await;
            assert!(told.errored().is_some_and(|said| said.contains("Gives it too")), "{told:?}");
        } else {
            // The control: the end takes away as much by itself.
            deployment.wait(Duration::from_hours(3)).await;
        }
        let count = usize::from(!revokes);
        let ends = deployment.world().query("SELECT 1 FROM expiry", &[]).unwrap();
        assert_eq!((holds(&jane), overdue(&jane).await, ends.len(), asked(&jane).await), (false, 0, 0, count));
        cloudflare.leave_group(&group, &jane.member);
        cloudflare.add_policy(&jane.member, holds_role(cloudflare, &jane.lacks));
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        // All that the log tells of it was read.
        deployment.set_var("AUDIT_FEED", "off");
        deployment.wait(Duration::from_hours(30)).await;
        assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (true, 0, count));
    }
}

/// Long before its end: C1 closes the grant that is gone, and what is given after that by hand is another one.
#[tokio::test(start_paused = true)]
async fn what_somebody_took_away_and_gave_again_does_not_end_with_the_grant_of_before() {
    // What is given again, and whether it is held after the first end: by hand, and by a grant of its own until then.
    for (given, stays) in [(None, false), (Some("by hand"), true), (Some("by ConductorOne"), false)] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        deployment.set_var("ENFORCE_EXPIRY", "on");
        deployment.set_var("AUDIT_FEED", "on");
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        let grant = || Task::grant(entitlement(&jane), person(&jane)).for_seconds(4 * 3_600);
        deliver(&jane, grant(), "grant").await;
        deployment.wait(Duration::from_mins(30)).await;
        let cloudflare = &deployment.cloudflare;
        if given.is_some() {
            cloudflare.set_policies(&jane.member, vec![holds_role(cloudflare, &jane.has)]);
            deployment.wait(Duration::from_mins(2)).await;
            deployment.sync().await;
        }
        if given == Some("by ConductorOne") {
            deliver(&jane, grant(), "again").await;
        }
        deployment.wait(Duration::from_mins(40)).await;
        if given.is_some() {
            let history = deployment.json(&format!("/v1/history?person={EMAIL}")).await;
            let lost = history["items"].as_array().unwrap().iter().find(|change| change["what"] == "lost");
            assert_eq!(lost.unwrap()["cause"], "foreign", "{history}");
        }
        if given == Some("by hand") {
            cloudflare.add_policy(&jane.member, holds_role(cloudflare, &jane.lacks));
        }
        deployment.sync().await;
        assert!(holds(&jane), "{given:?}");
        deployment.wait(Duration::from_hours(5)).await;
        deployment.sync().await;
        assert_eq!((holds(&jane), overdue(&jane).await), (stays, 0), "{given:?}");
        assert_eq!(asked(&jane).await, usize::from(!stays), "{given:?}");
    }
}

/// What somebody gave before that is in an earlier generation tells nothing of who took away what is gone since.
#[tokio::test(start_paused = true)]
async fn what_is_gone_keeps_its_end_where_the_log_names_nobody_who_took_it() {
    for is_logged in [false, true] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        deployment.set_var("AUDIT_FEED", "on");
        deployment.sync().await;
        deployment.wait(Duration::from_mins(2)).await;
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(4 * 3_600), "grant").await;
        deployment.wait(Duration::from_mins(30)).await;
        let cloudflare = &deployment.cloudflare;
        let other = holds_role(cloudflare, &roles(cloudflare)[5]);
        // Each is seen by a sweep before the log tells of it.
        let seen = async |minutes: u64| {
            deployment.wait(Duration::from_secs(100)).await;
            deployment.sync().await;
            deployment.wait(Duration::from_mins(minutes)).await;
        };
        cloudflare.set_log_delay(120);
        cloudflare.add_policy(&jane.member, other.clone());
        seen(20).await;
        cloudflare.set_log_delay(if is_logged { 120 } else { 365 * 86_400 });
        cloudflare.set_policies(&jane.member, vec![holds_role(cloudflare, &jane.has), other]);
        seen(40).await;
        let history = deployment.json(&format!("/v1/history?person={EMAIL}")).await;
        let lost = history["items"].as_array().unwrap().iter().find(|change| change["what"] == "lost").unwrap();
        assert_eq!(lost["cause"], if is_logged { "foreign" } else { "unknown" }, "{history}");
        let ends = deployment.world().query("SELECT 1 FROM expiry", &[]).unwrap();
        assert_eq!(ends.len(), usize::from(!is_logged), "{history}");
    }
}

/// Whatever statement fails where an operation is settled, its end is known and ConductorOne is told: all of it is done again.
#[tokio::test(start_paused = true)]
async fn a_grant_that_could_not_be_settled_is_settled_with_its_end_and_its_callback() {
    for statement in ["INSERT ON expiry", "UPDATE ON callback"] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        // It takes longer than ConductorOne waits for the answer.
        let busy = Fault::TooManyRequests { retry_after: Some(20), headers: false };
        deployment.cloudflare.fail_next(Route::UpdateMember, 1, busy);
        let task = Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600);
        let delivery = deployment.c1.task(&task);
        assert_eq!(deployment.send_as(&delivery, "grant").await.status, 202, "{statement}");
        let fails = format!("CREATE TRIGGER fails BEFORE {statement} BEGIN SELECT RAISE(ABORT, 'on purpose'); END");
        deployment.world().query(&fails, &[]).unwrap();
        deployment.wait(Duration::from_mins(2)).await;
        assert!(holds(&jane), "{statement}");
        deployment.world().query("DROP TRIGGER fails", &[]).unwrap();
        let told = deployment.callback(&delivery).await;
        let ends = deployment.world().query("SELECT 1 FROM expiry", &[]).unwrap();
        assert_eq!(ends.len(), 1, "{statement}: {told:?}");
    }
}

/// What ConductorOne was not told yet it would not revoke; and what it waits for no longer has no end of its own.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_grant_begins_when_conductorone_is_told_that_it_is_there() {
    for is_told in [true, false] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        deployment.set_var("ENFORCE_EXPIRY", "on");
        deployment.c1.fail_callbacks(CallbackFault::Refused(503), u32::MAX);
        // It takes longer than ConductorOne waits for the answer.
        let busy = Fault::TooManyRequests { retry_after: Some(20), headers: false };
        deployment.cloudflare.fail_next(Route::UpdateMember, 1, busy);
        let task = Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600);
        let delivery = deployment.c1.task(&task);
        assert_eq!(deployment.send_as(&delivery, "grant").await.status, 202);
        deployment.wait(Duration::from_hours(3)).await;
        assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (true, 0, 0));
        deployment.wait(Duration::from_hours(2)).await;
        if is_told {
            deployment.c1.fail_callbacks(CallbackFault::Refused(503), 0);
            deployment.callback(&delivery).await;
            deployment.wait(Duration::from_mins(115)).await;
            assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (true, 0, 0));
            deployment.wait(Duration::from_mins(10)).await;
        } else {
            deployment.wait(Duration::from_hours(8 * 24 - 6)).await;
            assert!(holds(&jane), "ConductorOne may be told yet");
            // It is tried for eight days, the last time at most an hour after them.
            deployment.wait(Duration::from_mins(60 + 90)).await;
        }
        assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (false, 0, 1), "{is_told}");
    }
}

/// Who is in a user group may only not be told: somebody made the group unreadable, and an operator accepted what is gone by that.
#[tokio::test(start_paused = true)]
async fn that_a_user_group_lists_nobody_any_more_forgets_no_end_whoever_changed_it() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    deployment.set_var("AUDIT_FEED", "on");
    let platform = deployment.cloudflare.add_group("Platform", vec![holds_role(&deployment.cloudflare, &jane.has)]);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    deliver(
        &jane,
        Task::grant(Entitlement::new(&format!("group:{platform}:member"), "Platform Member"), person(&jane))
            .for_seconds(4 * 3_600),
        "grant",
    )
    .await;
    deployment.wait(Duration::from_mins(30)).await;
    deployment.cloudflare.leave_group(&platform, &jane.member);
    deployment.wait(Duration::from_mins(2)).await;
    deployment.sync().await;
    deployment.wait(Duration::from_mins(40)).await;
    let history = deployment.json(&format!("/v1/history?person={EMAIL}")).await;
    assert_eq!(history["items"][0]["cause"], "foreign", "the control: {history}");
    let ends = deployment.world().query("SELECT 1 FROM expiry", &[]).unwrap();
    assert_eq!(ends.len(), 1);
}

/// Who was known by the address alone has a membership by that grant, and may have another address when it ends.
#[tokio::test(start_paused = true)]
async fn what_was_granted_with_an_invitation_ends_for_that_membership_whatever_address_it_has_by_then() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    let account = &jane.deployment.cloudflare;
    for (email, later) in [("new@example.com", Some("new.name@example.com")), ("other@example.com", None)] {
        let task = Task::grant(entitlement(&jane), Person::newcomer(email)).for_seconds(3_600);
        deliver(&jane, task, email).await;
        let invited = account.membership_of(email).unwrap().id;
        account.accept_invitation(&invited);
        account.add_policy(&invited, PolicySpec::allow(jane.has.id.clone(), account.account_resource_group()));
        if let Some(later) = later {
            account.change_email(&invited, later);
            // Somebody else has the old address by then.
            let both = [&jane.has, &jane.lacks]
                .map(|role| PolicySpec::allow(role.id.clone(), account.account_resource_group()));
            account.invite(email, both.to_vec());
        }
    }
    jane.deployment.wait(Duration::from_hours(3)).await;
    let held =
        |email: &str| account.member_atoms(&account.membership_of(email).unwrap().id).contains(&jane.atom(&jane.lacks));
    assert!(!held("other@example.com") && !held("new.name@example.com"));
    assert!(held("new@example.com"), "who has the address since then has it by another hand");
    assert_eq!(overdue(&jane).await, 0);
}

/// ConductorOne grants the same to whoever has the address by then, be it that a sync has seen the change or not.
#[tokio::test(start_paused = true)]
async fn what_was_granted_for_a_time_ends_though_who_has_the_address_since_is_granted_the_same() {
    const OLD: &str = "new@example.com";
    const NOW: &str = "new.name@example.com";
    for (enforces, secs, is_seen) in [("on", None, true), ("on", Some(24 * 3_600), false), ("off", None, true)] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", enforces);
        let account = &jane.deployment.cloudflare;
        let has = || PolicySpec::allow(jane.has.id.clone(), account.account_resource_group());
        let grant = || Task::grant(entitlement(&jane), Person::newcomer(OLD));
        deliver(&jane, grant().for_seconds(3_600), "the first").await;
        let anna = account.membership_of(OLD).unwrap().id;
        account.accept_invitation(&anna);
        account.add_policy(&anna, has());
        account.change_email(&anna, NOW);
        if is_seen {
            jane.deployment.sync().await;
        }
        let grant = match secs {
            Some(secs) => grant().for_seconds(secs),
            None => grant(),
        };
        deliver(&jane, grant, "the other").await;
        account.add_policy(&account.membership_of(OLD).unwrap().id, has());
        jane.deployment.wait(Duration::from_hours(3)).await;
        let held = |email: &str| {
            account.member_atoms(&account.membership_of(email).unwrap().id).contains(&jane.atom(&jane.lacks))
        };
        let stays = enforces == "off";
        assert_eq!((held(NOW), overdue(&jane).await), (stays, usize::from(stays)), "{secs:?}");
        assert!(held(OLD), "{secs:?}: the control: who has the address has it by a grant of their own");
        if stays {
            let told = jane.deployment.json("/v1/status").await["overdue_revokes"][0].clone();
            assert_eq!((&told["member"], &told["email"]), (&json!(anna), &json!(anna)));
        }
        jane.deployment.wait(Duration::from_hours(24)).await;
        assert_eq!(held(OLD), secs.is_none());
    }
}

/// The control: the end of a membership that is gone is nobody's.
#[tokio::test(start_paused = true)]
async fn who_was_removed_and_invited_again_under_the_same_address_has_one_end() {
    const OTHER: &str = "other@example.com";
    for enforces in ["off", "on"] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", enforces);
        let account = &jane.deployment.cloudflare;
        let grant = |secs| Task::grant(entitlement(&jane), Person::newcomer(OTHER)).for_seconds(secs);
        deliver(&jane, grant(3_600), "the first").await;
        account.remove_member(&account.membership_of(OTHER).unwrap().id);
        let has = PolicySpec::allow(jane.has.id.clone(), account.account_resource_group());
        let again = account.invite(OTHER, vec![has]);
        jane.deployment.sync().await;
        deliver(&jane, grant(24 * 3_600), "the other").await;
        let held = || account.member_atoms(&again).contains(&jane.atom(&jane.lacks));
        jane.deployment.wait(Duration::from_hours(3)).await;
        let is_known = usize::from(enforces == "off");
        assert_eq!(overdue(&jane).await, is_known, "a revoke that finds nobody ends it at once");
        for _ in 0..2 {
            jane.deployment.sync().await;
            jane.deployment.wait(Duration::from_mins(1)).await;
        }
        assert!(held() && overdue(&jane).await == 0, "{enforces}: two syncs find it over");
        jane.deployment.wait(Duration::from_hours(24)).await;
        assert_eq!((held(), overdue(&jane).await), (enforces == "off", is_known));
    }
}

/// Another invitation has taken the place of the one that was granted something for a time, and its login another address since.
#[tokio::test(start_paused = true)]
async fn what_was_granted_for_a_time_ends_for_whoever_was_invited_again_meanwhile() {
    for enforces in ["off", "on"] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", enforces);
        let account = &jane.deployment.cloudflare;
        let mut ids = Vec::new();
        for (email, later) in
            [("new@example.com", "new.name@example.com"), ("other@example.com", "another@example.com")]
        {
            let task = Task::grant(entitlement(&jane), Person::newcomer(email)).for_seconds(3_600);
            deliver(&jane, task, email).await;
            let first = account.membership_of(email).unwrap().id;
            for _ in 0..2 {
                let old = account.membership_of(email).unwrap().id;
                let renewal = format!("/v1/invitations/{old}/renew");
                let answer = jane.deployment.request("POST", &renewal, &[], None).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            let again = account.membership_of(email).unwrap().id;
            assert_ne!(first, again);
            account.accept_invitation(&again);
            account.change_email(&again, later);
            ids.push(again);
        }
        // The control: of who holds it no more there is nothing to be said.
        let has = PolicySpec::allow(jane.has.id.clone(), account.account_resource_group());
        account.set_policies(&ids[1], vec![has]);
        jane.deployment.wait(Duration::from_hours(3)).await;
        for _ in 0..2 {
            jane.deployment.sync().await;
            jane.deployment.wait(Duration::from_mins(1)).await;
        }
        assert_eq!(overdue(&jane).await, 1, "{enforces}");
        let user = |id: &str| account.membership(id).unwrap().user_id.unwrap();
        let finding = |id: &str| format!("/v1/findings/overdue-revoke:user:{}", user(id));
        assert_eq!(jane.deployment.json(&finding(&ids[0])).await["state"], "open");
        assert_eq!(jane.deployment.get(&finding(&ids[1])).await.status, 404);
        let journal = jane.deployment.json("/v1/operations").await;
        let ends = journal["items"].as_array().unwrap().iter().filter(|it| it["request"]["origin"]["by"] == "expiry");
        let about: Vec<_> = ends.map(|it| it["request"]["subject"]["emails"][0].clone()).collect();
        assert_eq!(about.contains(&json!("new@example.com")), enforces == "on", "{about:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_ends_although_roles_were_granted_since_once_they_are_taken_back() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    let new = Person::newcomer("new@example.com");
    deliver(&jane, Task::grant(Entitlement::access(), new.clone()).for_seconds(3_600), "account").await;
    let is_there = || jane.deployment.cloudflare.membership_of("new@example.com").is_some();
    deliver(&jane, Task::grant(entitlement(&jane), new.clone()), "role").await;
    // The control: what was granted since, for good, goes on.
    jane.deployment.wait(Duration::from_hours(4)).await;
    assert!(is_there() && overdue(&jane).await == 1);
    deliver(&jane, Task::revoke(entitlement(&jane), new), "take it back").await;
    jane.deployment.wait(Duration::from_hours(24)).await;
    assert!(!is_there() && overdue(&jane).await == 0, "the account's end is past");
}

/// Neither would end alone: the role is the last one, and keeps the account, whose end is older. It may be extended, and a user group may give it as well.
#[tokio::test(start_paused = true)]
async fn an_account_and_its_first_role_that_were_both_granted_for_a_time_end_together() {
    const NEW: &str = "new@example.com";
    for (role_secs, extended, in_a_group, stays) in [
        (Some(3_600), false, false, false),
        (Some(3_600), true, false, false),
        (Some(3_600), false, true, false),
        // The controls: what was granted for good, or for longer.
        (None, false, false, true),
        (Some(60 * 3_600), false, false, true),
    ] {
        let jane = Jane::start().await;
        let (deployment, account) = (&jane.deployment, &jane.deployment.cloudflare);
        deployment.set_var("ENFORCE_EXPIRY", "on");
        deployment.set_var("LAST_ROLE", "refuse");
        deployment.set_var("DEFAULT_ROLE", &jane.lacks.name);
        let new = Person::newcomer(NEW);
        deliver(&jane, Task::grant(Entitlement::access(), new.clone()).for_seconds(3_600), "account").await;
        let member = account.membership_of(NEW).unwrap().id;
        assert_eq!(account.member_atoms(&member), [jane.atom(&jane.lacks)].into());
        for time in 0..=usize::from(extended) {
            let role = Task::grant(entitlement(&jane), new.clone());
            let role = match role_secs {
                Some(secs) => role.for_seconds(secs),
                None => role,
            };
            deliver(&jane, role, &format!("role {time}")).await;
        }
        if in_a_group {
            account.accept_invitation(&member);
            account.add_policy(&member, holds_role(account, &jane.has));
            let group = account.add_group("Gives it too", vec![holds_role(account, &jane.lacks)]);
            account.join_group(&group, &member);
            deployment.sync().await;
        }
        deployment.wait(Duration::from_hours(50)).await;
        let is_there = account.membership(&member).is_some();
        let case = format!("{role_secs:?} {extended} {in_a_group}");
        assert_eq!((is_there, overdue(&jane).await), (stays, usize::from(stays)), "{case}");
    }
}

/// What another hand gave to who was removed is no part of what was granted, and they have another membership.
#[tokio::test(start_paused = true)]
async fn what_was_granted_for_a_time_ends_for_nobody_who_was_removed_and_invited_again_by_hand() {
    for is_account in [true, false] {
        for (again, stays) in [
            ("by hand", true),
            ("by hand, and seen by a sync", true),
            ("by hand, and dealt with since", true),
            ("by a renewal", false),
            ("not", false),
        ] {
            Box::pin(granted_and_invited_again(is_account, again, stays)).await;
        }
    }
}

/// A grant of the account, or of a role, for an hour to somebody new; and whether they have it after that.
async fn granted_and_invited_again(is_account: bool, again: &str, stays: bool) {
    const NEW: &str = "new@example.com";
    let jane = Jane::start().await;
    let (deployment, account) = (&jane.deployment, &jane.deployment.cloudflare);
    deployment.set_var("ENFORCE_EXPIRY", "on");
    let what = if is_account { Entitlement::access() } else { entitlement(&jane) };
    deliver(&jane, Task::grant(what, Person::newcomer(NEW)).for_seconds(3_600), "grant").await;
    let first = account.membership_of(NEW).unwrap().id;
    if again == "by a renewal" {
        let renewal = format!("/v1/invitations/{first}/renew");
        let answer = deployment.request("POST", &renewal, &[], None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    } else if stays {
        account.remove_member(&first);
        account.invite(NEW, vec![holds_role(account, &jane.lacks)]);
    }
    let now = account.membership_of(NEW).unwrap().id;
    assert!(account.accept_invitation(&now).is_some());
    account.add_policy(&now, holds_role(account, &jane.has));
    if again.ends_with("sync") {
        deployment.sync().await;
    } else if again.ends_with("since") {
        let other = || Entitlement::role(jane.has.governed_as(), &jane.has.name);
        deliver(&jane, Task::grant(other(), Person::newcomer(NEW)), "other").await;
        deliver(&jane, Task::revoke(other(), Person::newcomer(NEW)), "taken back").await;
    }
    deployment.wait(Duration::from_hours(3)).await;
    let has = if is_account {
        account.membership(&now).is_some()
    } else {
        account.member_atoms(&now).contains(&jane.atom(&jane.lacks))
    };
    let case = format!("invited again {again}, of the account: {is_account}");
    assert_eq!((has, overdue(&jane).await, asked(&jane).await), (stays, 0, 1), "{case}");
    let own = deployment.json("/v1/operations").await["items"][0].clone();
    // Of whom it is told the address alone would not say: somebody is there who has it.
    let is_named = own["outcome"]["message"].as_str().unwrap().contains(&first);
    assert_eq!((own["outcome"]["effect"] == "already_revoked", is_named), (stays, stays), "{case}: {own}");
}

/// The end has removed the membership, and could not read back that it has.
#[tokio::test(start_paused = true)]
async fn whoever_is_invited_by_hand_before_an_end_has_seen_its_removal_keeps_what_they_are_given() {
    const NEW: &str = "new@example.com";
    for is_account in [true, false] {
        let jane = Jane::start().await;
        let (deployment, account) = (&jane.deployment, &jane.deployment.cloudflare);
        deployment.set_var("ENFORCE_EXPIRY", "on");
        deployment.set_var("LAST_ROLE", "remove_member");
        let what = if is_account { Entitlement::access() } else { entitlement(&jane) };
        deliver(&jane, Task::grant(what, Person::newcomer(NEW)).for_seconds(3_600), "grant").await;
        let first = account.membership_of(NEW).unwrap().id;
        let given = [&jane.has, &jane.lacks].map(|role| holds_role(account, role)).to_vec();
        account.after_next(Route::DeleteMember, move |account, _| {
            account.invite(NEW, given);
            account.fail_next(Route::GetMember, 1, Fault::status(503, 10_000));
        });
        deployment.wait(Duration::from_hours(3)).await;
        let again = account.membership_of(NEW).unwrap().id;
        assert_ne!(first, again, "the control: the first is removed");
        assert!(account.member_atoms(&again).contains(&jane.atom(&jane.lacks)), "of the account: {is_account}");
        let own = deployment.json("/v1/operations").await["items"][0].clone();
        assert!(own["attempts"].as_i64() > Some(1), "the control: {own}");
        assert_eq!(own["outcome"]["outcome"], "done", "{own}");
    }
}

/// A renewal gives nobody anything anew: the end of what was granted stays where it was.
#[tokio::test(start_paused = true)]
async fn an_account_that_was_granted_for_a_time_ends_though_its_invitation_was_renewed() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    let email = "new@example.com";
    deliver(&jane, Task::grant(Entitlement::access(), Person::newcomer(email)).for_seconds(3_600), "account").await;
    let old = jane.deployment.cloudflare.membership_of(email).unwrap().id;
    let renewed = jane.deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    jane.deployment.wait(Duration::from_hours(4)).await;
    assert!(
        jane.deployment.cloudflare.membership_of(email).is_none(),
        "{}",
        jane.deployment.json("/v1/operations").await
    );
    assert_eq!(overdue(&jane).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_now_is_asked_for_again() {
    for reason in ["provisioning", "cloudflare"] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", "on");
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        if reason == "provisioning" {
            jane.deployment.set_var("PROVISIONING", "off");
        } else {
            jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::status(403, 10_000));
        }
        jane.deployment.wait(Duration::from_mins(130)).await;
        assert!(holds(&jane) && overdue(&jane).await == 1, "{reason}");
        assert_eq!(asked(&jane).await, usize::from(reason == "cloudflare"), "{reason}");
        jane.deployment.set_var("PROVISIONING", "on");
        jane.deployment.wait(Duration::from_hours(4)).await;
        assert!(!holds(&jane) && overdue(&jane).await == 0, "{reason}");
    }
}

/// Whoever mends what refused it has nothing else to do.
#[tokio::test(start_paused = true)]
async fn what_a_guard_refused_is_asked_for_again_each_day() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.set_var("LAST_ROLE", "refuse");
    let email = "new@example.com";
    deliver(&jane, Task::grant(entitlement(&jane), Person::newcomer(email)).for_seconds(3_600), "grant").await;
    let is_there = || jane.deployment.cloudflare.membership_of(email).is_some();
    for (hours, count) in [(3, 1), (20, 1), (5, 2)] {
        jane.deployment.wait(Duration::from_hours(hours)).await;
        assert_eq!((is_there(), overdue(&jane).await, asked(&jane).await), (true, 1, count), "{hours}");
    }
    assert_eq!(jane.deployment.json("/v1/operations").await["items"][0]["outcome"]["code"], "last_role");
    jane.deployment.set_var("LAST_ROLE", "remove_member");
    jane.deployment.wait(Duration::from_hours(25)).await;
    assert_eq!((is_there(), overdue(&jane).await, asked(&jane).await), (false, 0, 3));
}

/// An earlier version asked for that no more.
#[tokio::test(start_paused = true)]
async fn what_a_guard_refused_under_an_earlier_version_is_asked_for_again() {
    // The database is of that version, or was brought to this one before that one ran again.
    for layout in ["value = '9'", "value = value"] {
        let jane = Jane::start().await;
        let deployment = &jane.deployment;
        deployment.set_var("ENFORCE_EXPIRY", "on");
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        deployment.set_var("PROTECTED_MEMBERS", EMAIL);
        deployment.wait(Duration::from_hours(3)).await;
        assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (true, 1, 1), "{layout}");
        let it_has_run = || {
            let of_layout = format!("UPDATE meta SET {layout} WHERE name = 'schema'");
            for statement in ["UPDATE expiry SET asked = 1", of_layout.as_str()] {
                deployment.world().query(statement, &[]).unwrap();
            }
        };
        it_has_run();
        deployment.restart();
        deployment.sync().await;
        deployment.wait(Duration::from_hours(1)).await;
        assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (true, 1, 2), "{layout}");
        // And once more.
        it_has_run();
        deployment.unset_var("PROTECTED_MEMBERS");
        deployment.restart();
        deployment.sync().await;
        deployment.wait(Duration::from_hours(1)).await;
        assert_eq!((holds(&jane), overdue(&jane).await, asked(&jane).await), (false, 0, 3), "{layout}");
    }
}

/// Each of them would be refused, and asked for once more after three hours.
#[tokio::test(start_paused = true)]
async fn no_end_is_asked_for_while_nothing_may_be_removed() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.set_var("MAX_REMOVALS_PER_HOUR", "0");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.wait(Duration::from_hours(24)).await;
    assert!(holds(&jane) && overdue(&jane).await == 1);
    assert_eq!(asked(&jane).await, 0);
    jane.deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_hours(1)).await;
    assert!(!holds(&jane) && overdue(&jane).await == 0, "the control");
    assert_eq!(asked(&jane).await, 1);
}

#[tokio::test(start_paused = true)]
async fn few_ends_are_under_way_at_once_and_the_alarm_rests_meanwhile() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    let roles = jane.deployment.cloudflare.permission_groups().into_iter();
    let roles = roles.filter(|role| {
        role.account_wide
            && role.label != "super_admin"
            && !jane.deployment.cloudflare.member_atoms(&jane.member).contains(&jane.atom(role))
    });
    for (n, role) in roles.take(8).enumerate() {
        let grant = Task::grant(Entitlement::role(role.governed_as(), &role.name), person(&jane));
        deliver(&jane, grant.for_seconds(3_600), &format!("grant {n}")).await;
    }
    // What another one was in for a time.
    let account = &jane.deployment.cloudflare;
    let group = account.add_group("For a time", vec![]);
    let other =
        account.memberships().into_iter().find(|one| one.status == "accepted" && one.id != jane.member).unwrap();
    let person = Person::member(&other.email, other.user_id.as_ref().unwrap(), &other.id);
    let grant =
        Task::grant(Entitlement::new(&format!("group:{group}:member"), "For a time"), person).for_seconds(3_700);
    deliver(&jane, grant, "a group").await;
    account.fail_next(Route::UpdateMember, 100_000, Fault::status(503, 1));
    account.reset_log();
    jane.deployment.wait(Duration::from_secs(120 * 60 + 10)).await;
    assert_eq!(asked(&jane).await, 5);
    // Those that fail again and again keep the others back for no longer than it takes to see that.
    jane.deployment.wait(Duration::from_mins(90)).await;
    assert_eq!(asked(&jane).await, 9);
    assert!(account.membership(&other.id).unwrap().groups.is_empty() && overdue(&jane).await == 8);
    assert!(account.total_requests() < 3_500, "{}", account.total_requests());
    jane.deployment.cloudflare.clear_faults();
    jane.deployment.wait(Duration::from_hours(6)).await;
    assert_eq!(overdue(&jane).await, 0, "{}", jane.deployment.json("/v1/operations").await);
}

/// The cap is full for hours, and whatever waits for room keeps what is asked for later waiting.
#[tokio::test(start_paused = true)]
async fn few_ends_wait_for_room_among_the_removals_and_what_conductorone_revokes_has_its_turn() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.set_var("MAX_REMOVALS_PER_HOUR", "2");
    let account = &jane.deployment.cloudflare;
    let known = roles(account);
    for (n, role) in known.iter().skip(1).take(10).enumerate() {
        let grant = Task::grant(Entitlement::role(role.governed_as(), &role.name), person(&jane));
        deliver(&jane, grant.for_seconds(3_600), &format!("grant {n}")).await;
    }
    let joe =
        account.add_member("joe@example.com", vec![holds_role(account, &known[0]), holds_role(account, &known[1])]);
    let user = account.membership(&joe).unwrap().user_id.unwrap();
    jane.deployment.wait(Duration::from_mins(155)).await;
    assert_eq!((asked(&jane).await, overdue(&jane).await), (7, 8), "two were ended, and five wait");
    let revoke = Task::revoke(
        Entitlement::role(known[1].governed_as(), &known[1].name),
        Person::member("joe@example.com", &user, &joe),
    );
    let revoke = jane.deployment.c1.task(&revoke);
    assert_eq!(jane.deployment.send_as(&revoke, "revoke").await.status, 202);
    jane.deployment.wait(Duration::from_hours(3)).await;
    assert!(!account.member_atoms(&joe).contains(&jane.atom(&known[1])), "behind the five, and no others");
    jane.deployment.wait(Duration::from_hours(4)).await;
    assert_eq!(overdue(&jane).await, 0);
}

/// What has come and waits for room among the removals is overdue, and is not asked for a second time.
#[tokio::test(start_paused = true)]
async fn no_end_is_asked_for_whose_revoke_by_conductorone_is_under_way() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
    let account = &jane.deployment.cloudflare;
    let known: Vec<_> = roles(account).into_iter().skip(1).take(2).collect();
    let of = |role: &KnownPermissionGroup| Entitlement::role(role.governed_as(), &role.name);
    for (n, role) in known.iter().enumerate() {
        deliver(&jane, Task::grant(of(role), person(&jane)).for_seconds(3_600), &format!("grant {n}")).await;
    }
    jane.deployment.wait(Duration::from_mins(70)).await;
    for (n, (role, status)) in known.iter().zip([200, 202]).enumerate() {
        let revoke = jane.deployment.c1.task(&Task::revoke(of(role), person(&jane)));
        assert_eq!(jane.deployment.send_as(&revoke, &format!("revoke {n}")).await.status, status);
    }
    jane.deployment.wait(Duration::from_mins(55)).await;
    assert_eq!((overdue(&jane).await, asked(&jane).await), (1, 0));
    jane.deployment.wait(Duration::from_mins(25)).await;
    assert_eq!((overdue(&jane).await, asked(&jane).await), (0, 0));
    assert_eq!(account.member_atoms(&jane.member).len(), 1);
}

/// What was granted since keeps the account for longer than the journal keeps operations.
#[tokio::test(start_paused = true)]
async fn an_account_that_ends_stays_by_what_was_granted_since_though_the_journal_forgets_operations() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.set_var("JOURNAL_DAYS", "9");
    jane.deployment.set_var("AUDIT_FEED", "off");
    let new = Person::newcomer("new@example.com");
    deliver(&jane, Task::grant(Entitlement::access(), new.clone()).for_seconds(3_600), "account").await;
    deliver(&jane, Task::grant(entitlement(&jane), new.clone()), "role").await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)), "another's").await;
    let is_there = || jane.deployment.cloudflare.membership_of("new@example.com").is_some();
    for _ in 0..2 {
        jane.deployment.wait(Duration::from_hours(9 * 24 + 1)).await;
        jane.deployment.sync().await;
        assert!(is_there() && overdue(&jane).await == 1);
    }
    let journal = jane.deployment.json("/v1/operations").await;
    let emails: Vec<_> = journal["items"].as_array().unwrap().iter().map(|one| one["email"].clone()).collect();
    assert!(!emails.contains(&json!(EMAIL)) && !emails.is_empty(), "the control: {emails:?}");
    deliver(&jane, Task::revoke(entitlement(&jane), new), "take it back").await;
    jane.deployment.wait(Duration::from_hours(25)).await;
    assert!(!is_there() && overdue(&jane).await == 0, "the account's end is past");
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_hours(9 * 24 + 1)).await;
    jane.deployment.sync().await;
    assert_eq!(jane.deployment.json("/v1/operations").await["items"], json!([]), "nothing is kept for good");
}

/// Nor does the end of a role, where that is the last one, take away what the journal would have forgotten.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_role_takes_no_account_that_was_granted_since_though_the_journal_forgets_operations() {
    for is_granted in [true, false] {
        let jane = Jane::start().await;
        for (name, value) in
            [("ENFORCE_EXPIRY", "on"), ("JOURNAL_DAYS", "9"), ("AUDIT_FEED", "off"), ("LAST_ROLE", "remove_member")]
        {
            jane.deployment.set_var(name, value);
        }
        let new = Person::newcomer("new@example.com");
        deliver(&jane, Task::grant(entitlement(&jane), new.clone()).for_seconds(12 * 24 * 3_600), "role").await;
        if is_granted {
            deliver(&jane, Task::grant(Entitlement::access(), new), "account").await;
        }
        // One of the syncs forgets what is nine days old, before the role ends.
        for _ in 0..4 {
            jane.deployment.wait(Duration::from_hours(75)).await;
            jane.deployment.sync().await;
        }
        let is_there = jane.deployment.cloudflare.membership_of("new@example.com").is_some();
        assert_eq!(is_there, is_granted);
    }
}

/// Also of those that were asked for before.
#[tokio::test(start_paused = true)]
async fn enforce_expiry_that_is_off_ends_nothing() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 100_000, Fault::status(503, 10_000));
    jane.deployment.wait(Duration::from_hours(3)).await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "off");
    jane.deployment.cloudflare.clear_faults();
    jane.deployment.wait(Duration::from_hours(5)).await;
    let own = jane.deployment.json("/v1/operations").await["items"][0].clone();
    assert_eq!(own["outcome"]["code"], "provisioning_off", "{own}");
    assert!(holds(&jane) && overdue(&jane).await == 1);
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_hours(1)).await;
    assert!(!holds(&jane) && overdue(&jane).await == 0, "the control");
}

/// By the default, access that was to stay for a day would be gone after an hour.
#[tokio::test(start_paused = true)]
async fn enforce_expiry_ends_nothing_while_overdue_revoke_minutes_cannot_be_read() {
    for (minutes, ends) in [("1440m", false), ("", true)] {
        let jane = Jane::start().await;
        jane.deployment.set_var("ENFORCE_EXPIRY", "on");
        jane.deployment.set_var("OVERDUE_REVOKE_MINUTES", minutes);
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_hours(3)).await;
        assert_eq!((!holds(&jane), overdue(&jane).await), (ends, usize::from(!ends)), "{minutes:?}");
        jane.deployment.set_var("OVERDUE_REVOKE_MINUTES", "60");
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(5)).await;
        assert!(!holds(&jane) && overdue(&jane).await == 0, "mended, it goes on: {minutes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_gave_up_after_a_day_is_asked_for_again() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 100_000, Fault::status(503, 10_000));
    jane.deployment.wait(Duration::from_hours(28)).await;
    let own = jane.deployment.json("/v1/operations").await["items"][0].clone();
    assert_eq!(
        (&own["request"]["origin"]["by"], &own["outcome"]["code"]),
        (&json!("expiry"), &json!("gave_up")),
        "{own}"
    );
    assert!(holds(&jane) && overdue(&jane).await == 1 && asked(&jane).await == 1);
    jane.deployment.cloudflare.clear_faults();
    jane.deployment.wait(Duration::from_hours(4)).await;
    assert!(!holds(&jane) && overdue(&jane).await == 0);
}
