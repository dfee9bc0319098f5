//! Grants for a time: what becomes of them when C1's revoke does not come.

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Fault, PolicySpec, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::jane::{EMAIL, Jane};
use crate::looks::{holds as holds_role, roles};

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
        deliver(&jane, Task::grant(entitlement(&jane), person(&jane)).for_seconds(3_600), "grant").await;
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
        }
        // C1's own revoke comes at last.
        let told = deliver(&jane, Task::revoke(entitlement(&jane), person(&jane)), "revoke").await.to_string();
        assert!(told.contains("complete"), "{told}");
        assert!(!holds(&jane) && overdue(&jane).await == 0);
    }
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
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(overdue(&jane).await, 1, "the control: who still holds it is overdue");
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
        jane.deployment.sync().await;
        jane.deployment.wait(Duration::from_mins(1)).await;
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

/// What was granted since keeps the account for longer than the journal keeps operations.
#[tokio::test(start_paused = true)]
async fn an_account_that_ends_stays_by_what_was_granted_since_though_the_journal_forgets_operations() {
    let jane = Jane::start().await;
    jane.deployment.set_var("ENFORCE_EXPIRY", "on");
    jane.deployment.set_var("JOURNAL_DAYS", "1");
    jane.deployment.set_var("AUDIT_FEED", "off");
    let new = Person::newcomer("new@example.com");
    deliver(&jane, Task::grant(Entitlement::access(), new.clone()).for_seconds(3_600), "account").await;
    deliver(&jane, Task::grant(entitlement(&jane), new.clone()), "role").await;
    deliver(&jane, Task::grant(entitlement(&jane), person(&jane)), "another's").await;
    let is_there = || jane.deployment.cloudflare.membership_of("new@example.com").is_some();
    for _ in 0..2 {
        jane.deployment.wait(Duration::from_hours(25)).await;
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
    jane.deployment.wait(Duration::from_hours(25)).await;
    jane.deployment.sync().await;
    assert_eq!(jane.deployment.json("/v1/operations").await["items"], json!([]), "nothing is kept for good");
}

/// Nor does the end of a role, where that is the last one, take away what the journal would have forgotten.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_last_role_takes_no_account_that_was_granted_since_though_the_journal_forgets_operations() {
    for is_granted in [true, false] {
        let jane = Jane::start().await;
        for (name, value) in
            [("ENFORCE_EXPIRY", "on"), ("JOURNAL_DAYS", "1"), ("AUDIT_FEED", "off"), ("LAST_ROLE", "remove_member")]
        {
            jane.deployment.set_var(name, value);
        }
        let new = Person::newcomer("new@example.com");
        deliver(&jane, Task::grant(entitlement(&jane), new.clone()).for_seconds(60 * 3_600), "role").await;
        if is_granted {
            deliver(&jane, Task::grant(Entitlement::access(), new), "account").await;
        }
        for _ in 0..3 {
            jane.deployment.wait(Duration::from_hours(25)).await;
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
