//! Questions about approvals that come under a key which was used before.

use std::time::Duration;

use c1_cloudflare::base::ports::{Sql as _, SqlValue};
use serde_json::{Value, json};
use sim::cloudflare::{Cloudflare, Fault, Latency, Oddity, Route};
use sim::conductorone::{App, Entitlement, Person, Task};

use crate::approvals::{ApprovalCase, BOSS, comment};
use crate::jane::{EMAIL, Jane};
use crate::looks::{holds, roles, small};
use sim::cloudflare::KnownPermissionGroup;

#[tokio::test(start_paused = true)]
async fn a_key_that_was_decided_for_one_app_and_action_decides_nothing_for_another() {
    let jane = Jane::start().await;
    let rules = json!({
        "allowed_domains": ["example.com"],
        "low_risk_roles": [jane.lacks.name],
        "reassign_to": [BOSS],
        "rules": [{ "name": "revokes", "when": { "action": "revoke" }, "then": "approve" }],
    });
    jane.deployment.set_var("APPROVAL_RULES", &rules.to_string());
    let entitlement = || Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let person = || Person::member(EMAIL, &jane.user, &jane.member);
    let asked = |task: Task| task.id("2task").step_id("2step").awaiting_approval();
    let ask = async |task: Task, token: &str| {
        let answer = jane.deployment.send_as(&jane.deployment.c1.task(&asked(task)), token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let serves = || {
        let told =
            jane.deployment.world().one("SELECT body FROM connect_state WHERE name = 'connection'", &[]).unwrap();
        told.as_ref().and_then(SqlValue::text).is_some_and(|body| body.contains("approvals"))
    };
    assert!(!serves());
    let first = ask(Task::grant(entitlement(), person()), "1").await;
    assert!(serves(), "whoever undoes make connect leaves the webhook in place");
    let approved = |told: &str| told.contains("\"approve\"");
    assert!(approved(&first), "{first}");
    let other = App { id: "2other".to_owned(), ..App::default() };
    let of_another_app = ask(Task::grant(entitlement(), person()).app(other), "2").await;
    assert!(!approved(&of_another_app) && of_another_app.contains("2other"), "{of_another_app}");
    let contrary = ask(Task::revoke(entitlement(), person()), "3").await;
    assert!(!approved(&contrary) && contrary.contains("asked for something else before"), "{contrary}");
    let cloudflare = &jane.deployment.cloudflare;
    let joe = cloudflare.add_member("joe@example.com", vec![crate::looks::holds(cloudflare, &jane.has)]);
    let joe = Person::member("joe@example.com", &cloudflare.membership(&joe).unwrap().user_id.unwrap(), &joe);
    let other = Entitlement::role(jane.has.governed_as(), &jane.has.name);
    for (task, token) in [(Task::grant(entitlement(), joe), "5"), (Task::grant(other, person()), "6")] {
        let told = ask(task, token).await;
        assert!(!approved(&told) && told.contains("asked for something else before"), "{told}");
    }
    // The question that was decided has its answer whenever it comes, also under the token that it came by.
    for token in ["1", "4"] {
        assert_eq!(ask(Task::grant(entitlement(), person()), token).await, first);
    }
    // Another sync may have told C1 more of the same person.
    let known_better = Person { account: None, ..person() };
    assert_eq!(ask(Task::grant(entitlement(), known_better), "7").await, first);
    let kept: Value = jane.deployment.json("/v1/decisions").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept}");
    // Nor is it told to another app whose tasks are taken as well.
    jane.deployment.set_var("ALLOWED_APPS", &format!("{},2other", App::default().id));
    let other = App { id: "2other".to_owned(), ..App::default() };
    let told = ask(Task::grant(entitlement(), person()).app(other), "9").await;
    assert!(!approved(&told) && told.contains("asked for something else before"), "{told}");
    assert_eq!(ask(Task::grant(entitlement(), person()), "10").await, first);
    // What was approved for an app is not told again once its tasks are not taken any more.
    jane.deployment.set_var("ALLOWED_APPS", "2third");
    let told = ask(Task::grant(entitlement(), person()), "8").await;
    assert!(!approved(&told) && told.contains("ALLOWED_APPS does not have it"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn the_doctor_warns_where_changes_are_carried_out_for_any_app() {
    let jane = Jane::start().await;
    let warns = async || {
        let told = jane.deployment.json("/v1/doctor").await;
        told.to_string().contains("no app is pinned")
    };
    assert!(!warns().await, "one is pinned");
    jane.deployment.set_var("ALLOWED_APPS", "");
    assert!(warns().await);
    jane.deployment.set_var("C1_APP_ID", "2app");
    assert!(!warns().await, "by C1_APP_ID as well");
    jane.deployment.set_var("C1_APP_ID", "");
    jane.deployment.set_var("PROVISIONING", "off");
    assert!(!warns().await, "nothing is carried out");
}

/// What a user group gives is known only as far as it could be read, and who is in one as well.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_of_user_groups_counts_against_a_request() {
    let billing = roles(&sim::cloudflare::Cloudflare::new(small())).remove(1);
    let desk = ApprovalCase::start(|low| {
        json!({
            "low_risk_roles": [low.name, "Platform", "Readers"],
            "reassign_to": [BOSS],
            "rules": [
                { "name": "duties-apart", "when": { "roles": [low.name], "holds": [billing.name] }, "then": "deny" },
                { "name": "revokes", "when": { "action": "revoke" }, "then": "approve" },
            ],
        })
        .to_string()
    })
    .await;
    let cloudflare = &desk.deployment.cloudflare;
    let gives = |name: &str, role| cloudflare.add_group(name, vec![holds(cloudflare, role)]);
    let reads = roles(cloudflare).remove(3);
    let (platform, readers) = (gives("Platform", &desk.super_admin), gives("Readers", &reads));
    // Without a second factor, so that what may be privileged is denied.
    cloudflare.set_two_factor(&desk.member, false);
    let asked = async |task: Task| {
        let told = desk.decided(&task.awaiting_approval()).await;
        ["approve", "reassign", "deny"].into_iter().find(|verdict| !told[*verdict].is_null()).unwrap()
    };
    let group =
        |id: &str, name: &str| Task::grant(Entitlement::new(&format!("group:{id}:member"), name), desk.jane.clone());
    let back =
        |id: &str, name: &str| Task::revoke(Entitlement::new(&format!("group:{id}:member"), name), desk.jane.clone());
    let synced = async || {
        desk.deployment.sync().await;
    };
    cloudflare.make_odd(Route::ListUserGroups, &platform, Oddity::NullInPolicies("permission_groups"));
    cloudflare.make_odd(Route::GetUserGroup, &platform, Oddity::NullInPolicies("permission_groups"));
    synced().await;
    assert_eq!(asked(group(&platform, "Platform")).await, "deny", "nothing is known of what it brings");
    assert_eq!(asked(back(&platform, "Platform")).await, "approve", "who loses it gains nothing");
    assert_eq!(asked(group(&readers, "Readers")).await, "approve", "another one is read in full");
    cloudflare.make_even();
    cloudflare.make_odd(Route::ListUserGroups, &readers, Oddity::TextInPolicies("access", "perhaps"));
    cloudflare.make_odd(Route::GetUserGroup, &readers, Oddity::TextInPolicies("access", "perhaps"));
    synced().await;
    assert_eq!(asked(group(&readers, "Readers")).await, "deny", "what a policy does is not known");
    cloudflare.make_even();
    synced().await;
    assert_eq!(asked(group(&readers, "Readers")).await, "approve", "the control");
    assert_eq!(asked(desk.asks(&desk.low)).await, "approve", "the control: she is in no group");
    // Whether she is in a group that gives the other role nobody can tell.
    let others = gives("Billing people", &billing);
    cloudflare.join_group(&others, &desk.member);
    cloudflare.break_group(&others, true);
    synced().await;
    assert_eq!(asked(desk.asks(&desk.low)).await, "deny", "she may be in it");
    cloudflare.break_group(&others, false);
    synced().await;
    assert_eq!(asked(desk.asks(&desk.low)).await, "deny", "she is");
    cloudflare.leave_group(&others, &desk.member);
    synced().await;
    assert_eq!(asked(desk.asks(&desk.low)).await, "approve", "the control: she is not");
}

/// The role of low risk must not come to whoever holds *Domain DNS* of any part of the account.
async fn apart_from_dns() -> ApprovalCase {
    ApprovalCase::start(|low| {
        let when = json!({ "roles": [low.name], "holds": ["Domain DNS"] });
        let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
        json!({ "low_risk_roles": [low.name], "reassign_to": [BOSS], "rules": [apart] }).to_string()
    })
    .await
}

/// A scoped role that no sync has seen.
fn dns_on_a_new_domain(cloudflare: &Cloudflare) -> Entitlement {
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let zone = cloudflare.add_zone("shop.example");
    Entitlement::new(&format!("scoped_role:{}-{zone}:member", dns.id), "Domain DNS on shop.example")
}

/// What no row lists yet, since nobody held it at the last sync, is held all the same.
#[tokio::test(start_paused = true)]
async fn a_scoped_role_that_was_given_since_the_last_sync_counts_against_a_request() {
    let desk = apart_from_dns().await;
    let cloudflare = &desk.deployment.cloudflare;
    let approved = desk.decided(&desk.asks(&desk.low)).await;
    assert!(!approved["approve"].is_null(), "the control: {approved}");
    let scoped = dns_on_a_new_domain(cloudflare);
    let outcome = desk.deployment.deliver(&desk.deployment.c1.task(&Task::grant(scoped, desk.jane.clone()))).await;
    assert!(outcome.completed().is_some(), "{outcome:?}");
    let denied = desk.decided(&desk.asks(&desk.low)).await;
    assert!(!denied["deny"].is_null(), "{denied}");
    desk.deployment.sync().await;
    let denied = desk.decided(&desk.asks(&desk.low)).await;
    assert!(denied["deny"]["comment"].as_str().unwrap().contains("duties-apart"), "the control: {denied}");
}

/// Nor is what is being granted, which the generation does not list either.
#[tokio::test(start_paused = true)]
async fn a_scoped_role_that_is_being_given_and_no_sync_has_listed_counts_against_a_request() {
    let desk = apart_from_dns().await;
    let cloudflare = &desk.deployment.cloudflare;
    comment(&asked_of(&desk, &desk.low, "2task1").await, "approve");
    let scoped = dns_on_a_new_domain(cloudflare);
    cloudflare.fail_next(Route::GetMember, 1_000, Fault::status(503, 1));
    let grant = desk.deployment.c1.task(&Task::grant(scoped, desk.jane.clone()));
    let taken = Box::pin(desk.deployment.send(&grant)).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    let waits = "SELECT entitlement LIKE 'scoped_role:%' FROM operation WHERE outcome IS NULL";
    let waits = desk.deployment.world().one(waits, &[]).unwrap();
    assert_eq!(waits.as_ref().and_then(SqlValue::integer), Some(1), "it is known what is being granted");
    let told = asked_of(&desk, &desk.low, "2task2").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "{told}");
    let other = grant_to("joe@example.com", &desk.low).id("2task3").awaiting_approval();
    comment(&Box::pin(desk.decided(&other)).await, "approve");
}

async fn asked_of(desk: &ApprovalCase, role: &KnownPermissionGroup, task: &str) -> Value {
    Box::pin(desk.decided(&desk.asks(role).id(task))).await
}

#[tokio::test(start_paused = true)]
async fn two_roles_that_must_not_come_together_are_not_both_approved_where_they_are_asked_for_at_once() {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let apart = |of: &str, holds: &str| json!({ "name": format!("duties-apart {of}"), "when": { "roles": [of], "holds": [holds] }, "then": "deny" });
    let apart = [apart(&billing.name, &dns.name), apart(&dns.name, &billing.name)];
    let rules = json!({ "low_risk_roles": [billing.name, dns.name], "rules": apart }).to_string();
    let desk = ApprovalCase::start(|_| rules.clone()).await;
    let asked = async |role, task: &str| asked_of(&desk, role, task).await;
    comment(&asked(&billing, "2task1").await, "approve");
    let told = asked(&dns, "2task2").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "approved a moment ago: {told}");
    comment(&asked(&billing, "2task3").await, "approve");
    // However much else is decided after it.
    let flood = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000)
        INSERT INTO decision (key, at, record) SELECT 'flood/' || n, at, json_set(record, '$.verdict', 'deny')
        FROM n, decision WHERE decision.id = 1";
    desk.deployment.world().query(flood, &[]).unwrap();
    let told = asked(&dns, "2task5").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "approved before many denials: {told}");
    desk.deployment.wait(Duration::from_hours(25)).await;
    desk.deployment.sync().await;
    let told = asked(&dns, "2task4").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "people may be asked for days after it: {told}");
    let days = "UPDATE decision SET at = at - 7 * 24 * 60 * 60 * 1000";
    desk.deployment.world().query(days, &[]).unwrap();
    comment(&asked(&dns, "2task6").await, "approve");

    // In the same moment, while what is known is read for both.
    let desk = ApprovalCase::start(|_| rules.clone()).await;
    // So that neither waits for C1's keys.
    asked_of(&desk, &known[6], "2task0").await;
    desk.deployment.world().desk.yields.set(true);
    let (one, other) = futures::join!(asked_of(&desk, &billing, "2task1"), asked_of(&desk, &dns, "2task2"));
    let approved = [&one, &other].iter().filter(|told| !told["approve"].is_null()).count();
    assert_eq!(approved, 1, "{one} {other}");
    // Without any approval of ours, as long as the grant is under way.
    let desk = ApprovalCase::start(|_| rules).await;
    desk.deployment.set_var("PROVISIONING", "on");
    desk.deployment.cloudflare.fail_next(Route::GetMember, 1_000, Fault::status(503, 1));
    let grant = Task::grant(Entitlement::role(billing.governed_as(), &billing.name), desk.jane.clone());
    let taken = desk.deployment.send(&desk.deployment.c1.task(&grant)).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    desk.deployment.wait(Duration::from_mins(1)).await;
    let told = desk.decided(&desk.asks(&dns).id("2task2")).await;
    assert!(comment(&told, "deny").contains("duties-apart"), "under way: {told}");
}

/// People may approve for days what was left to them, and nobody here is told.
#[tokio::test(start_paused = true)]
async fn what_was_left_to_people_is_kept_apart_from_what_is_asked_for_after_it() {
    let known = roles(&Cloudflare::new(small()));
    let [billing, dns, third] = [4, 5, 6].map(|place| known[place].clone());
    let both = [&billing.name, &dns.name];
    let apart = json!({ "name": "duties-apart", "when": { "roles": both, "holds": both }, "then": "deny" });
    let low_risk = [&dns.name, &third.name];
    let rules = json!({ "low_risk_roles": low_risk, "reassign_to": [BOSS], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    let asked = async |role, task: &str, verdict: &str| {
        let told = asked_of(&desk, role, task).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{task}: {told}");
    };
    asked(&billing, "2task1", "reassign").await;
    asked(&dns, "2task2", "deny").await;
    // The controls: what was denied does not come, nor is anything kept from itself; another role, and another person.
    asked(&billing, "2task3", "reassign").await;
    asked(&third, "2task4", "approve").await;
    let other = grant_to("joe@example.com", &dns).id("2task5").awaiting_approval();
    comment(&Box::pin(desk.decided(&other)).await, "approve");
    let aged = |millis: i64| {
        let statement = "UPDATE decision SET at = at - ?";
        desk.deployment.world().query(statement, &[millis.into()]).unwrap();
    };
    aged(7 * 24 * 60 * 60 * 1_000);
    asked(&dns, "2task6", "deny").await;
    aged(25 * 60 * 60 * 1_000);
    asked(&dns, "2task7", "approve").await;
}

/// The address of a Cloudflare login is its owner's to change, and which of somebody's addresses comes first is for C1 to say.
#[tokio::test(start_paused = true)]
async fn what_was_asked_for_somebody_counts_also_under_another_address_of_theirs() {
    let known = roles(&Cloudflare::new(small()));
    let [billing, dns] = [4, 5].map(|place| known[place].clone());
    let both = [&billing.name, &dns.name];
    let apart = json!({ "name": "duties-apart", "when": { "roles": both, "holds": both }, "then": "deny" });
    let low_risk = [&dns.name];
    let rules = json!({ "low_risk_roles": low_risk, "reassign_to": [BOSS], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    let cloudflare = &desk.deployment.cloudflare;
    let joe = cloudflare.add_member("joe@example.com", vec![holds(cloudflare, &known[2])]);
    let joes = cloudflare.membership(&joe).unwrap().user_id.unwrap();
    let user = cloudflare.membership(&desk.member).unwrap().user_id.unwrap();
    let asked = async |role: &KnownPermissionGroup, person: Person, task: &str, verdict: &str| {
        let task = Task::grant(Entitlement::role(role.governed_as(), &role.name), person).id(task);
        let told = Box::pin(desk.decided(&task.awaiting_approval())).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{told}");
    };
    let with = |email: &str, other: &str| Person { other_emails: vec![other.to_owned()], ..Person::newcomer(email) };
    asked(&billing, desk.jane.clone(), "2task1", "reassign").await;
    cloudflare.change_email(&desk.member, "j.smith@example.com");
    desk.deployment.sync().await;
    asked(&dns, Person::member("j.smith@example.com", &user, &desk.member), "2task2", "deny").await;
    // The control: another member, of whom nothing else was asked.
    asked(&dns, Person::member("joe@example.com", &joes, &joe), "2task3", "approve").await;
    // And somebody who is not in the account.
    asked(&billing, with("new@example.com", "New.Hire@example.com"), "2task4", "reassign").await;
    asked(&dns, with("new.hire@example.com", "hire@example.com"), "2task5", "deny").await;
    asked(&dns, with("newer@example.com", "hire@example.com"), "2task6", "approve").await;
}

/// Any grant that is carried out voids a removal that waits, so that whoever waits to be removed could stay by asking for a role of low risk.
#[tokio::test(start_paused = true)]
async fn nothing_is_approved_for_whoever_waits_to_be_removed_from_the_account() {
    const OWNER: &str = "2oWNeRQ8tYJxV9u8d1wupBMeXZ45";
    let known = roles(&Cloudflare::new(small()));
    let desk = ApprovalCase::start(|low| {
        let never = json!({ "name": "never", "when": { "roles": [known[1].name] }, "then": "deny" });
        let when = json!({ "roles": [known[5].name] });
        let asks = json!({ "name": "asks", "when": when, "then": "reassign", "reassign_to": [OWNER] });
        json!({ "low_risk_roles": [low.name], "reassign_to": [BOSS], "rules": [never, asks] }).to_string()
    })
    .await;
    let (deployment, cloudflare) = (&desk.deployment, &desk.deployment.cloudflare);
    deployment.set_var("PROVISIONING", "on");
    deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
    let first = cloudflare.add_member("joe@example.com", vec![holds(cloudflare, &desk.other)]);
    let joe = Person::member("joe@example.com", &cloudflare.membership(&first).unwrap().user_id.unwrap(), &first);
    deployment.sync().await;
    let removal = |person: &Person| deployment.c1.task(&Task::revoke(Entitlement::access(), person.clone()));
    let asked = async |person: &Person, task: &str| {
        let low = Entitlement::role(desk.low.governed_as(), &desk.low.name);
        Box::pin(desk.decided(&Task::grant(low, person.clone()).id(task).awaiting_approval())).await
    };
    comment(&asked(&desk.jane, "2task1").await, "approve");
    for person in [&joe, &desk.jane] {
        Box::pin(deployment.send(&removal(person))).await;
        deployment.wait(Duration::from_mins(1)).await;
    }
    let is_there = |member: &str| cloudflare.membership(member).is_some();
    assert!(!is_there(&first) && is_there(&desk.member), "hers waits for its place");
    let told = asked(&desk.jane, "2task2").await;
    assert!(comment(&told, "reassign").contains("to be removed from the account"), "{told}");
    let told = Box::pin(desk.decided(&desk.asks(&desk.other).id("2task6"))).await;
    assert!(comment(&told, "deny").contains("never"), "what is strict stays so: {told}");
    // Whoever is asked is told, by a rule or without one, and of what no sync has listed.
    let unlisted = Task::grant(dns_on_a_new_domain(cloudflare), desk.jane.clone()).awaiting_approval();
    for (task, asked, user, why) in [
        ("2task7", desk.asks(&known[4]), BOSS, "No rule of the connector decides"),
        ("2task8", desk.asks(&known[5]), OWNER, "leaves"),
        ("2task9", unlisted, BOSS, "did not find"),
    ] {
        let told = Box::pin(desk.decided(&asked.id(task))).await;
        let said = comment(&told, "reassign");
        assert!(said.contains("to be removed from the account") && said.contains(why), "{told}");
        assert_eq!(told["reassign"]["newStepUserIds"], json!([user]), "{told}");
    }
    // The controls: somebody else, and the owner of an app whose tasks are not taken, who learns nothing of her.
    let somebody = grant_to("new.hire@example.com", &known[5]).id("2task10").awaiting_approval();
    let elsewhere = App { id: "2other".to_owned(), ..App::default() };
    for asked in [somebody, desk.asks(&known[4]).id("2task11").app(elsewhere)] {
        let told = Box::pin(desk.decided(&asked)).await;
        assert!(!comment(&told, "reassign").contains("to be removed"), "{told}");
    }
    // The controls: a revoke voids nothing, somebody else, and Jane once she is gone.
    let back = Task::revoke(Entitlement::role(desk.low.governed_as(), &desk.low.name), desk.jane.clone()).id("2task3");
    let told = Box::pin(desk.decided(&back.awaiting_approval())).await;
    assert!(comment(&told, "reassign").starts_with("No rule of the connector decides"), "{told}");
    comment(&asked(&Person::newcomer("new.hire@example.com"), "2task4").await, "approve");
    deployment.wait(Duration::from_hours(2)).await;
    assert!(!is_there(&desk.member), "there was room for it");
    deployment.sync().await;
    comment(&asked(&Person::newcomer(EMAIL), "2task5").await, "approve");
}

/// Nobody here knows what it gives, but whoever decides may approve it.
#[tokio::test(start_paused = true)]
async fn what_no_sync_has_listed_and_was_left_to_people_counts_against_a_request() {
    let desk = apart_from_dns().await;
    let scoped = dns_on_a_new_domain(&desk.deployment.cloudflare);
    let joe = || Person::newcomer("joe@example.com");
    let nothing = Task::grant(Entitlement::new("nothing", "Nothing"), joe()).id("2task1");
    comment(&Box::pin(desk.decided(&nothing.awaiting_approval())).await, "reassign");
    let left = Task::grant(scoped, desk.jane.clone()).id("2task2").awaiting_approval();
    assert!(comment(&Box::pin(desk.decided(&left)).await, "reassign").contains("did not find"));
    let told = asked_of(&desk, &desk.low, "2task3").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "{told}");
    // The control: what is nothing here comes to nobody.
    let other = grant_to("joe@example.com", &desk.low).id("2task4").awaiting_approval();
    comment(&Box::pin(desk.decided(&other)).await, "approve");
}

/// Else whoever owns another app could have Jane's requests denied.
#[tokio::test(start_paused = true)]
async fn what_was_left_to_people_and_would_be_refused_here_counts_against_nobody() {
    let desk = apart_from_dns().await;
    let scoped = dns_on_a_new_domain(&desk.deployment.cloudflare);
    let left = |task: &str| Task::grant(scoped.clone(), desk.jane.clone()).id(task).awaiting_approval();
    let other = App { id: "2other".to_owned(), ..App::default() };
    let closed = left("2task2").set("/taskView/task/state", "TASK_STATE_CLOSED");
    for (task, why) in [(left("2task1").app(other), "ALLOWED_APPS"), (closed, "the task is closed")] {
        assert!(comment(&Box::pin(desk.decided(&task)).await, "reassign").contains(why), "{why}");
    }
    comment(&asked_of(&desk, &desk.low, "2task3").await, "approve");
    // The control: of the app that is pinned, and open.
    comment(&Box::pin(desk.decided(&left("2task4"))).await, "reassign");
    let told = asked_of(&desk, &desk.low, "2task5").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "{told}");
}

/// Every app has C1's builtin entitlement, by which no account is made here as long as none is pinned.
#[tokio::test(start_paused = true)]
async fn an_account_that_was_left_to_people_counts_with_its_first_role_where_it_would_be_made() {
    let known = roles(&Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let when = json!({ "roles": [billing.name], "holds": [dns.name] });
    let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
    let rules = json!({ "low_risk_roles": [billing.name], "reassign_to": [BOSS], "rules": [apart] }).to_string();
    for (pinned, verdict) in [(App::default().id, "deny"), (String::new(), "approve")] {
        let desk = ApprovalCase::start(|_| rules.clone()).await;
        desk.deployment.set_var("DEFAULT_ROLE", &dns.name);
        desk.deployment.set_var("ALLOWED_APPS", &pinned);
        let account = Task::grant(Entitlement::access(), Person::newcomer("new@example.com")).id("2task1");
        comment(&Box::pin(desk.decided(&account.awaiting_approval())).await, "reassign");
        let role = grant_to("new@example.com", &billing).id("2task2").awaiting_approval();
        let told = Box::pin(desk.decided(&role)).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{pinned}: {told}");
    }
}

/// By then she holds it, or nothing comes of the task any more.
#[tokio::test(start_paused = true)]
async fn what_was_left_to_people_counts_no_more_once_its_grant_was_carried_out_or_refused_here() {
    let known = roles(&Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let both = [&billing.name, &dns.name];
    let apart = json!({ "name": "duties-apart", "when": { "roles": both, "holds": both }, "then": "deny" });
    let rules = json!({ "low_risk_roles": [dns.name], "reassign_to": [BOSS], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    let (deployment, joe) = (&desk.deployment, "joe@example.com");
    let asked = async |task: Task, verdict: &str| {
        let told = Box::pin(desk.decided(&task.awaiting_approval())).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{told}");
    };
    let ends = async |task: Task| {
        let outcome = Box::pin(deployment.deliver(&deployment.c1.task(&task))).await;
        deployment.wait(Duration::from_mins(30)).await;
        outcome
    };
    let entitlement = || Entitlement::role(billing.governed_as(), &billing.name);
    let grant = |task: &str| Task::grant(entitlement(), desk.jane.clone()).id(task);
    for task in [grant("2task1"), grant("2task2"), grant_to(joe, &billing).id("2task3")] {
        asked(task, "reassign").await;
    }
    for task in [grant("2task1"), grant_to(joe, &billing).id("2task3")] {
        assert!(ends(task).await.completed().is_some());
    }
    // The control: what somebody has by it counts for as long as they have it.
    asked(grant_to(joe, &dns).id("2task4"), "deny").await;
    assert!(ends(Task::revoke(entitlement(), desk.jane.clone())).await.completed().is_some());
    asked(desk.asks(&dns).id("2task5"), "deny").await;
    // What kept that from her was the other task.
    deployment.set_var("PROVISIONING", "off");
    assert!(ends(grant("2task2")).await.errored().is_some());
    asked(desk.asks(&dns).id("2task6"), "approve").await;
}

/// Whoever is new stands under no address as long as nobody could look for them.
#[tokio::test(start_paused = true)]
async fn a_grant_that_waits_for_somebody_new_counts_against_another_however_the_address_is_written() {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let when = json!({ "roles": [dns.name], "holds": [billing.name] });
    let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
    let rules = json!({ "low_risk_roles": [billing.name, dns.name], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    desk.deployment.set_var("PROVISIONING", "on");
    desk.deployment.cloudflare.fail_next(Route::ListMembers, 1_000, Fault::status(503, 1));
    let grant = |role: &KnownPermissionGroup, email: &str| {
        Task::grant(Entitlement::role(role.governed_as(), &role.name), Person::newcomer(email))
    };
    let taken = desk.deployment.send(&desk.deployment.c1.task(&grant(&billing, "JÖRG@müller.example"))).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    for (task, email, verdict) in [
        ("2task1", "JÖRG@müller.example", "deny"),
        ("2task2", "jörg@xn--mller-kva.example", "deny"),
        ("2task3", "joe@müller.example", "approve"),
    ] {
        let asked = grant(&dns, email).id(task).awaiting_approval();
        let told = Box::pin(desk.decided(&asked)).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{told}");
    }
    let waits = desk.deployment.world().one("SELECT COUNT(*) FROM operation WHERE email IS NULL", &[]).unwrap();
    assert_eq!(waits.as_ref().and_then(SqlValue::integer), Some(1), "it still does");
}

/// A connector that carries changes out, whose rules keep whoever holds the first of two roles from the second; a third one is of low risk as well.
async fn with_two_apart() -> (ApprovalCase, [KnownPermissionGroup; 3]) {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let all = [4, 5, 6].map(|place| known[place].clone());
    let [billing, dns, third] = all.each_ref().map(|role| &role.name);
    let when = json!({ "roles": [dns], "holds": [billing] });
    let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
    let rules = json!({ "low_risk_roles": [billing, dns, third], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    desk.deployment.set_var("PROVISIONING", "on");
    // So that nothing that follows waits for C1's keys.
    comment(&asked_of(&desk, &all[2], "2task0").await, "approve");
    (desk, all)
}

fn grant_to(email: &str, role: &KnownPermissionGroup) -> Task {
    Task::grant(Entitlement::role(role.governed_as(), &role.name), Person::newcomer(email))
}

/// What is done after the account was looked at for a decision, and before that is made, is held by nobody there, and under way no more.
#[tokio::test(start_paused = true)]
async fn a_grant_that_is_done_while_another_is_decided_counts_against_it() {
    const STEP: Duration = Duration::from_millis(100);
    let (desk, [billing, dns, _]) = Box::pin(with_two_apart()).await;
    let deployment = &desk.deployment;
    deployment.world().kv_takes.set(STEP);
    let mut came_first = 0;
    // From long after the other to long before it.
    for n in 0..40_u32 {
        let email = format!("new{n}@example.com");
        let grant = deployment.c1.task(&grant_to(&email, &billing));
        let question = grant_to(&email, &dns).id(&format!("2task{}", n + 1)).awaiting_approval();
        let asked = async {
            tokio::time::sleep(STEP * 40_u32.saturating_sub(2 * n)).await;
            Box::pin(desk.decided(&question)).await
        };
        let granted = async {
            tokio::time::sleep(STEP * (2 * n).saturating_sub(40)).await;
            Box::pin(deployment.send(&grant)).await
        };
        let (told, granted) = futures::join!(asked, granted);
        assert_eq!(granted.status, 200, "{}", granted.text());
        let order = "SELECT (SELECT MAX(received_at) FROM operation) < (SELECT MAX(at) FROM decision)";
        let order = deployment.world().one(order, &[]).unwrap();
        if order.as_ref().and_then(SqlValue::integer) == Some(1) {
            assert!(comment(&told, "deny").contains("duties-apart"), "{n}: {told}");
            came_first += 1;
        }
    }
    assert!(came_first >= 20, "{came_first}");
    let control = grant_to("joe@example.com", &dns).id("2control").awaiting_approval();
    comment(&Box::pin(desk.decided(&control)).await, "approve");
}

/// Between the old invitation and the new one there is nobody, and what comes back is known to the renewal alone.
#[tokio::test(start_paused = true)]
async fn what_an_invitation_held_that_is_being_renewed_counts_against_a_request() {
    const NEW: &str = "new.hire@example.com";
    for by_rest in [true, false] {
        let (desk, [billing, dns, third]) = Box::pin(with_two_apart()).await;
        let (deployment, cloudflare) = (&desk.deployment, &desk.deployment.cloudflare);
        deployment.set_var("RENEW_INVITATIONS_AFTER_DAYS", "1");
        let invited = Box::pin(deployment.deliver(&deployment.c1.task(&grant_to(NEW, &billing)))).await;
        assert!(invited.completed().is_some(), "{invited:?}");
        deployment.wait(Duration::from_hours(25)).await;
        deployment.sync().await;
        cloudflare.fail_randomly(Route::CreateMember, 1.0, Fault::status(503, 1));
        if by_rest {
            let renewal = format!("/v1/invitations/{}/renew", cloudflare.membership_of(NEW).unwrap().id);
            let answer = Box::pin(deployment.request("POST", &renewal, &[], None)).await;
            assert_eq!(answer.status, 503, "{}", answer.text());
        } else {
            let account = Task::grant(Entitlement::access(), Person::newcomer(NEW));
            let answer = Box::pin(deployment.send(&deployment.c1.task(&account))).await;
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
        assert!(cloudflare.membership_of(NEW).is_none(), "it was taken away, to come back");
        for (task, email, role, verdict) in [
            ("2task1", NEW, &dns, "deny"),
            // The controls: somebody else, and what is kept apart from nothing.
            ("2task2", "joe@example.com", &dns, "approve"),
            ("2task3", NEW, &third, "approve"),
        ] {
            let told = Box::pin(desk.decided(&grant_to(email, role).id(task).awaiting_approval())).await;
            assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{by_rest}: {told}");
        }
    }
}

/// Cloudflare could not be asked yet what it is.
#[tokio::test(start_paused = true)]
async fn a_grant_of_what_could_not_be_looked_up_yet_counts_against_a_request() {
    let (desk, [billing, dns, _]) = Box::pin(with_two_apart()).await;
    let (deployment, cloudflare) = (&desk.deployment, &desk.deployment.cloudflare);
    comment(&asked_of(&desk, &dns, "2task1").await, "approve");
    let group = cloudflare.add_group("Since the last sync", vec![holds(cloudflare, &billing)]);
    cloudflare.fail_randomly(Route::GetUserGroup, 1.0, Fault::status(503, 1));
    let grant =
        Task::grant(Entitlement::new(&format!("group:{group}:member"), "Since the last sync"), desk.jane.clone());
    let taken = Box::pin(deployment.send(&deployment.c1.task(&grant))).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    let waits = deployment.world().one("SELECT COUNT(*) FROM operation WHERE entitlement IS NULL", &[]).unwrap();
    assert_eq!(waits.as_ref().and_then(SqlValue::integer), Some(1));
    let told = asked_of(&desk, &dns, "2task2").await;
    assert!(comment(&told, "deny").contains("duties-apart"), "{told}");
    let other = grant_to("joe@example.com", &dns).id("2task3").awaiting_approval();
    comment(&Box::pin(desk.decided(&other)).await, "approve");
}

/// By REST and SCIM somebody is named by an id, and has an address here once Cloudflare has told it.
#[tokio::test(start_paused = true)]
async fn a_grant_by_an_id_counts_against_another_before_the_member_was_read() {
    let (desk, [billing, dns, _]) = Box::pin(with_two_apart()).await;
    let (deployment, cloudflare) = (&desk.deployment, &desk.deployment.cloudflare);
    cloudflare.set_route_latency(Route::GetMember, Latency::of(Duration::from_secs(4)));
    let user = cloudflare.membership(&desk.member).unwrap().user_id.unwrap();
    let path = format!("/v1/roles/{}/members/{user}", billing.governed_as());
    let granted = Box::pin(deployment.request("PUT", &path, &[], None));
    let asked = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let other = grant_to("joe@example.com", &dns).id("2task2").awaiting_approval();
        comment(&Box::pin(desk.decided(&other)).await, "approve");
        asked_of(&desk, &dns, "2task1").await
    };
    let (granted, told) = futures::join!(granted, asked);
    assert_eq!(granted.status, 200, "{}", granted.text());
    assert!(comment(&told, "deny").contains("duties-apart"), "{told}");
}

/// Until somebody is seen to hold it, a role may be known by its permission group alone.
#[tokio::test(start_paused = true)]
async fn what_was_approved_under_the_permission_groups_id_counts_against_another_once_the_roles_own_is_learned() {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    assert_ne!(billing.governed_as(), billing.id);
    let when = json!({ "roles": [dns.name], "holds": [billing.name] });
    let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
    let rules = json!({ "low_risk_roles": [billing.name, dns.name], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    comment(&asked_of(&desk, &billing, "2task1").await, "approve");
    for (role, task, verdict) in [(&billing, "2task2", "deny"), (&known[6], "2task3", "approve")] {
        let before = "UPDATE decision SET record = json_set(record, '$.entitlement', ?)";
        desk.deployment.world().query(before, &[format!("role:{}:member", role.id).into()]).unwrap();
        let told = asked_of(&desk, &dns, task).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{told}");
    }
}

/// What is asked for does not keep itself from who asks: another step of the task, or the same once more.
#[tokio::test(start_paused = true)]
async fn two_steps_of_a_task_are_approved_where_one_rule_keeps_all_of_its_roles_apart() {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let both = [&billing.name, &dns.name];
    let apart = json!({ "name": "duties-apart", "when": { "roles": both, "holds": both }, "then": "deny" });
    let desk = ApprovalCase::start(|_| json!({ "low_risk_roles": both, "rules": [apart] }).to_string()).await;
    for step in ["2step1", "2step2"] {
        let told = desk.decided(&desk.asks(&billing).id("2task1").step_id(step)).await;
        comment(&told, "approve");
    }
    let told = desk.decided(&desk.asks(&dns).id("2task2")).await;
    assert!(comment(&told, "deny").contains("duties-apart"), "the control: {told}");
}

/// Whoever is invited has that role too, be it for an account or for a user group.
#[tokio::test(start_paused = true)]
async fn the_first_role_of_somebody_who_is_to_be_invited_is_kept_apart_from_what_must_not_come_with_it() {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let when = json!({ "roles": [billing.name], "holds": [dns.name] });
    let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
    let rules = json!({ "low_risk_roles": ["account", "Readers", billing.name], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    let cloudflare = &desk.deployment.cloudflare;
    let readers = cloudflare.add_group("Readers", vec![holds(cloudflare, &known[3])]);
    desk.deployment.sync().await;
    let readers = Entitlement::new(&format!("group:{readers}:member"), "Readers");
    let mut asked = 0;
    for (first, verdict) in [(dns.name.as_str(), "deny"), ("minimal_account_access", "approve")] {
        desk.deployment.set_var("DEFAULT_ROLE", first);
        for comes_first in [Entitlement::access(), readers.clone()] {
            asked += 1;
            let person = Person::newcomer(&format!("new{asked}@example.com"));
            let account = Task::grant(comes_first, person.clone()).id(&format!("2task{asked}")).awaiting_approval();
            comment(&Box::pin(desk.decided(&account)).await, "approve");
            let other = Entitlement::role(billing.governed_as(), &billing.name);
            let other = Task::grant(other, person).id(&format!("2other{asked}")).awaiting_approval();
            let told = Box::pin(desk.decided(&other)).await;
            assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{told}");
        }
    }
    // Of one that the generation does not list it is not known what it gives.
    let person = Person::newcomer("later@example.com");
    let account = Task::grant(Entitlement::access(), person.clone()).id("2account").awaiting_approval();
    comment(&Box::pin(desk.decided(&account)).await, "approve");
    let unlisted = format!("role:{}:member", "9".repeat(32));
    for (task, first, verdict) in [
        ("2later1", "No such role", "deny"),
        ("2later2", unlisted.as_str(), "deny"),
        ("2later3", "minimal_account_access", "approve"),
    ] {
        desk.deployment.set_var("DEFAULT_ROLE", first);
        let other = Entitlement::role(billing.governed_as(), &billing.name);
        let other = Task::grant(other, person.clone()).id(task).awaiting_approval();
        let told = Box::pin(desk.decided(&other)).await;
        assert_eq!(comment(&told, verdict).contains("duties-apart"), verdict == "deny", "{first}: {told}");
    }
}

/// The account and that role stay when the group is taken away.
#[tokio::test(start_paused = true)]
async fn who_is_invited_for_a_user_group_is_said_to_have_the_first_role_as_well() {
    let (desk, [billing, ..]) = Box::pin(with_two_apart()).await;
    let (deployment, cloudflare) = (&desk.deployment, &desk.deployment.cloudflare);
    let readers = cloudflare.add_group("Readers", vec![holds(cloudflare, &billing)]);
    deployment.sync().await;
    for (what, email, is_said) in [
        (Entitlement::new(&format!("group:{readers}:member"), "Readers"), "new1@example.com", true),
        // The control: this comes with no other role.
        (Entitlement::role(billing.governed_as(), &billing.name), "new2@example.com", false),
    ] {
        let grant = deployment.c1.task(&Task::grant(what, Person::newcomer(email)));
        let outcome = Box::pin(deployment.deliver(&grant)).await;
        let said = outcome.completed().unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(said.starts_with("Invited "), "{said}");
        assert_eq!(said.contains("with the role that DEFAULT_ROLE names"), is_said, "{said}");
    }
}

/// C1 sends all addresses of an identity, and whichever is a member's by then gets what is granted.
#[tokio::test(start_paused = true)]
async fn whoever_may_turn_out_to_have_another_address_is_judged_by_each() {
    let known = roles(&sim::cloudflare::Cloudflare::new(small()));
    let (billing, dns) = (known[4].clone(), known[5].clone());
    let when = json!({ "roles": [dns.name], "holds": [billing.name] });
    let apart = json!({ "name": "duties-apart", "when": when, "then": "deny" });
    let low_risk = [&billing.name, &dns.name];
    let rules = json!({ "low_risk_roles": low_risk, "allowed_domains": ["example.com"], "rules": [apart] }).to_string();
    let desk = ApprovalCase::start(|_| rules).await;
    for (task, role, email, other, verdict) in [
        ("2task1", &billing, "new@example.com", "new@example.org", "deny"),
        ("2task2", &billing, "new@example.com", "new.hire@example.com", "approve"),
        // What is on its way to one of them is on its way to the person.
        ("2task3", &dns, "hire@example.com", "New@example.com", "deny"),
        ("2task4", &dns, "hire@example.com", "newest@example.com", "approve"),
    ] {
        let person = Person { other_emails: vec![other.to_owned()], ..Person::newcomer(email) };
        let task = Task::grant(Entitlement::role(role.governed_as(), &role.name), person).id(task);
        let told = Box::pin(desk.decided(&task.awaiting_approval())).await;
        let is_apart = comment(&told, verdict).contains("duties-apart");
        assert_eq!(is_apart, verdict == "deny" && role.name == dns.name, "{email} {other}: {told}");
    }
    // The name by which somebody logs in at a directory is no address of theirs, whatever it looks like.
    for (task, email, others, username, verdict) in [
        ("2task5", "ann@example.com", vec![], "ann@acme.onmicrosoft.com", "approve"),
        ("2task6", "bob@example.com", vec!["bob@example.org".to_owned()], "bob@acme.onmicrosoft.com", "deny"),
        ("2task7", "eve@example.org", vec![], "eve@example.com", "deny"),
    ] {
        let named = Person { other_emails: others, username: Some(username.to_owned()), ..Person::newcomer(email) };
        let task = Task::grant(Entitlement::role(billing.governed_as(), &billing.name), named).id(task);
        comment(&Box::pin(desk.decided(&task.awaiting_approval())).await, verdict);
    }
}

/// What an account comes with is known where the generation lists the role.
#[tokio::test(start_paused = true)]
async fn an_account_is_of_low_risk_where_the_role_that_it_comes_with_is_listed() {
    let rules = |_: &_| json!({ "low_risk_roles": ["account"], "reassign_to": [BOSS] }).to_string();
    let desk = ApprovalCase::start(rules).await;
    let asked = async || {
        let person = Person::newcomer("new.hire@example.com");
        let told = desk.decided(&Task::grant(Entitlement::access(), person).awaiting_approval()).await;
        ["approve", "reassign", "deny"].into_iter().find(|verdict| !told[*verdict].is_null()).unwrap()
    };
    assert_eq!(asked().await, "approve", "Minimal Account Access, where nothing is configured");
    for (name, verdict) in
        [("minimal_account_access", "approve"), (desk.low.name.as_str(), "approve"), ("No such role", "deny")]
    {
        desk.deployment.set_var("DEFAULT_ROLE", name);
        assert_eq!(asked().await, verdict, "{name}");
    }
}

/// What was found in a generation before says nothing of the one that is decided by.
#[tokio::test(start_paused = true)]
async fn a_rule_goes_by_the_findings_of_the_generation_that_is_decided_by_and_waits_a_moment_for_them() {
    let rule = |then: &str| {
        let when = json!({ "action": "revoke", "findings": ["direct-beside-group"] });
        json!({ "reassign_to": [BOSS], "rules": [{ "name": "mine", "when": when, "then": then }] }).to_string()
    };
    let jane = Jane::start().await;
    jane.deployment.wait(std::time::Duration::from_mins(1)).await;
    let query = |statement: &str| {
        jane.deployment.world().query(statement, &[]).unwrap();
    };
    query("CREATE TABLE job_before AS SELECT * FROM job");
    let older = "UPDATE job SET subject = '20200101T000000Z-00000000 2020-01-01 0' WHERE kind = 'findings'";
    let due = "UPDATE job SET state = 'due', due_at = 99999999999999 WHERE kind = 'findings'";
    let failed = "UPDATE job SET state = 'failed' WHERE kind = 'findings'";
    for (n, (state, is_known)) in [("", true), (older, false), (due, false), (failed, false)].into_iter().enumerate() {
        for (then, expected) in [("deny", if is_known { "reassign" } else { "deny" }), ("approve", "reassign")] {
            if !state.is_empty() {
                query(state);
            }
            jane.deployment.set_var("APPROVAL_RULES", &rule(then));
            let person = Person::member(EMAIL, &jane.user, &jane.member);
            let task = Task::revoke(Entitlement::role(jane.has.governed_as(), &jane.has.name), person);
            let task = task.id(&format!("2task{n}{then}")).step_id("2step").awaiting_approval();
            let answer = jane.deployment.send(&jane.deployment.c1.task(&task)).await;
            assert!(!answer.json()[expected].is_null(), "{state} {then}: {}", answer.text());
            query("DELETE FROM job");
            query("INSERT INTO job SELECT * FROM job_before");
        }
    }
    // Those that come in the seconds after the publication are waited for.
    jane.deployment.set_var("APPROVAL_RULES", &rule("deny"));
    query(older);
    let person = Person::member(EMAIL, &jane.user, &jane.member);
    let task = Task::revoke(Entitlement::role(jane.has.governed_as(), &jane.has.name), person);
    let delivery = jane.deployment.c1.task(&task.id("2later").step_id("2step").awaiting_approval());
    let done = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        query("DELETE FROM job");
        query("INSERT INTO job SELECT * FROM job_before");
    };
    let (answer, ()) = tokio::join!(Box::pin(jane.deployment.send(&delivery)), done);
    assert!(!answer.json()["reassign"].is_null(), "{}", answer.text());
}

/// That a rule found more than are listed one by one says of nobody that it found something about them, nor that it did not.
#[tokio::test(start_paused = true)]
async fn a_rule_that_found_more_than_is_listed_approves_nobodys_request_by_that() {
    let rule = |then: &str| {
        let when = json!({ "action": "revoke", "findings": ["direct-beside-group"] });
        json!({ "reassign_to": [BOSS], "rules": [{ "name": "mine", "when": when, "then": then }] }).to_string()
    };
    let jane = Jane::start().await;
    jane.deployment.wait(std::time::Duration::from_mins(1)).await;
    for (n, (about, then, expected)) in [
        ("", "approve", "reassign"),
        ("", "deny", "reassign"),
        ("others", "approve", "reassign"),
        ("others", "deny", "deny"),
        // As an earlier version noted it.
        ("account", "approve", "reassign"),
        ("account", "deny", "deny"),
        ("jane", "approve", "approve"),
    ]
    .into_iter()
    .enumerate()
    {
        let world = jane.deployment.world();
        world.query("DELETE FROM finding", &[]).unwrap();
        let user = format!("user:{}", jane.user);
        let (id, about) = match about {
            "" => ("token-unused:more".to_owned(), "others"),
            "jane" => (format!("direct-beside-group:{user}"), user.as_str()),
            about => ("direct-beside-group:more".to_owned(), about),
        };
        let rule_name = id.split(':').next().unwrap().to_owned();
        world
            .query(
                "INSERT INTO finding (id, rule, severity, about, name, evidence, opened_at) VALUES (?, ?, 'low', ?, '', '', 1)",
                &[id.as_str().into(), rule_name.as_str().into(), about.into()],
            )
            .unwrap();
        jane.deployment.set_var("APPROVAL_RULES", &rule(then));
        let person = Person::member(EMAIL, &jane.user, &jane.member);
        let task = Task::revoke(Entitlement::role(jane.has.governed_as(), &jane.has.name), person);
        let task = task.id(&format!("2task{n}")).step_id("2step").awaiting_approval();
        let answer = jane.deployment.send(&jane.deployment.c1.task(&task)).await;
        assert!(!answer.json()[expected].is_null(), "{about} {then}: {}", answer.text());
    }
}
