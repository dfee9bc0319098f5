//! Grants and revokes that C1 signed.

use std::time::Duration;

use serde_json::json;
use sim::cloudflare::Route;
use sim::conductorone::{App, Entitlement, Person, Task};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane, completed, named};
use crate::looks::{atom, holds, roles};

#[tokio::test(start_paused = true)]
async fn the_role_is_found_wherever_c1_may_have_put_its_id() {
    let jane = Jane::start().await;
    for (what, entitlement) in [
        ("sourceConnectorIds", named(&jane.lacks).known_by_source_connector_only()),
        ("matchBatonId", named(&jane.lacks).known_by_match_baton_id_only()),
        ("externalId", named(&jane.lacks).known_by_external_id_only()),
        ("the name alone", named(&jane.lacks).known_by_name_only()),
    ] {
        completed(&jane.deliver(&Task::grant(entitlement.clone(), jane.person())).await);
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        completed(&jane.deliver(&Task::revoke(entitlement, jane.person())).await);
        jane.changed(&[], &[]);
        eprintln!("found by {what}");
    }
}

/// A CSV file has an apostrophe before a name that a spreadsheet would take for a formula, and ConductorOne, which knows the name from there, has it too.
#[tokio::test(start_paused = true)]
async fn a_group_is_found_by_its_name_as_a_csv_file_tells_it() {
    let jane = Jane::start().await;
    let account = &jane.deployment.cloudflare;
    let groups = ["@infra", "'x", "x"].map(|name| account.add_group(name, vec![holds(account, &jane.lacks)]));
    jane.deployment.sync().await;
    for (group, shown) in groups.iter().zip(["'@infra Member", "'x Member", "x Member"]) {
        let entitlement = Entitlement::new(&format!("group:{group}:member"), shown).known_by_name_only();
        completed(&jane.deliver(&Task::grant(entitlement.clone(), jane.person())).await);
        assert_eq!(account.membership(&jane.member).unwrap().groups, [group.clone()].into(), "{shown}");
        completed(&jane.deliver(&Task::revoke(entitlement, jane.person())).await);
        assert!(account.membership(&jane.member).unwrap().groups.is_empty(), "{shown}");
    }
}

/// The hosted connector's mark of who logs in, and whatever else has an id of another type, may be called what a role is.
#[tokio::test(start_paused = true)]
async fn unknown_entitlement_is_what_has_another_connectors_id_though_a_role_has_its_name() {
    let jane = Jane::start().await;
    let called = |id: &str| Entitlement::new(id, &jane.lacks.name);
    for id in ["app:cloudflare:access", "team:7:member", "group:7:member"] {
        let says = format!("{:?} carries no id of this connector", jane.lacks.name);
        jane.refused(&Task::grant(called(id), jane.person()), &says).await;
        jane.refused(&Task::revoke(called(id), jane.person()), &says).await;
    }
    // The control: what a CSV file's are known by is no id of a connector's.
    let of_a_file = called("3f9a0d6c");
    completed(&jane.deliver(&Task::grant(of_a_file.clone(), jane.person())).await);
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    completed(&jane.deliver(&Task::revoke(of_a_file, jane.person())).await);
    jane.changed(&[], &[]);
}

/// The same of an address, which may be all that ConductorOne has of an account.
#[tokio::test(start_paused = true)]
async fn a_member_is_found_by_the_address_as_a_csv_file_tells_it() {
    let jane = Jane::start().await;
    let account = &jane.deployment.cloudflare;
    let held = || Vec::from([&jane.has, &jane.lacks].map(|role| holds(account, role)));
    let revoke = async |told: &str| {
        completed(&jane.deliver(&Task::revoke(named(&jane.lacks), Person::member(told, "", ""))).await)
    };
    let brien = account.add_member("brien@example.com", held());
    let members = [
        ("=eve@example.com", "'=eve@example.com"),
        ("eve|=1@example.com", "eve|'=1@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
    ]
    .map(|(login, told)| (account.add_member(login, held()), told));
    jane.deployment.sync().await;
    let file = jane.deployment.get("/v1/export/users.csv").await.text();
    for (member, told) in members {
        assert!(file.contains(&format!(",{told},")), "{file}");
        let said = revoke(told).await;
        assert_eq!(account.member_atoms(&member), [jane.atom(&jane.has)].into(), "{said}");
    }
    // The controls: nobody is there by these, and another's address is none of them.
    for told in ["never@example.com", "'=never@example.com", "'brien@example.com"] {
        let said = revoke(told).await;
        assert!(said.contains("is not a member"), "{said}");
    }
    assert_eq!(account.member_atoms(&brien).len(), 2);
}

/// The owner of another app may have what it grants given by an entitlement of this one, and only that one's people are asked.
#[tokio::test(start_paused = true)]
async fn app_not_allowed_is_a_grant_by_another_apps_task_unless_both_apps_are_pinned() {
    let jane = Jane::start().await;
    let ours = App::default().id;
    for (pinned, refuses) in [
        (ours.clone(), Some("2other")),
        ("2other".to_owned(), Some(ours.as_str())),
        (format!("{ours},2other"), None),
        (String::new(), None),
    ] {
        jane.deployment.set_var("ALLOWED_APPS", &pinned);
        let grant = jane.grant(&jane.lacks).set("/taskView/task/type/grant/appId", "2other");
        if let Some(app) = refuses {
            jane.refused(&grant, &format!("is of the app {app},")).await;
        } else {
            completed(&jane.deliver(&grant).await);
            jane.changed(&[jane.atom(&jane.lacks)], &[]);
        }
        // What is taken away is of the entitlement's app.
        let revoke = jane.revoke(&jane.lacks).set("/taskView/task/type/revoke/appId", "2other");
        assert_eq!(jane.deliver(&revoke).await.completed().is_some(), pinned != "2other", "{pinned}");
        jane.changed(&[], &[]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_webhook_again_gets_the_same_answer_and_changes_nothing() {
    let jane = Jane::start().await;
    let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    let first = completed(&jane.deployment.deliver(&delivery).await);
    // Meanwhile somebody took it away on purpose: a delivery that comes late must not bring it back.
    let policies = vec![holds(&jane.deployment.cloudflare, &jane.has)];
    jane.deployment.cloudflare.set_policies(&jane.member, policies);
    jane.deployment.cloudflare.reset_log();
    assert_eq!(completed(&jane.deployment.deliver(&delivery).await), first);
    assert_eq!(jane.deployment.cloudflare.total_requests(), 0);
    jane.changed(&[], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_or_revoke_that_holds_already_is_complete() {
    let jane = Jane::start().await;
    assert!(completed(&jane.deliver(&jane.grant(&jane.has)).await).contains("already"));
    assert!(completed(&jane.deliver(&jane.revoke(&jane.lacks)).await).contains("does not have"));
    let gone = Person::member("left.long.ago@example.com", &"a".repeat(32), &"b".repeat(32));
    let said = completed(&jane.deliver(&Task::revoke(named(&jane.has), gone)).await);
    assert!(said.contains("left.long.ago@example.com is not a member"), "{said}");
    jane.changed(&[], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoke_that_names_a_person_and_no_account_is_not_done_because_nobody_has_it_under_their_own_address() {
    let jane = Jane::start().await;
    let elsewhere = Person::newcomer("jane.work@example.com");
    jane.refused(&Task::revoke(named(&jane.has), elsewhere.clone()), "none of their accounts").await;
    jane.refused(&Task::revoke(Entitlement::access(), elsewhere), "none of their accounts").await;
    jane.changed(&[], &[]);
    // Another account of theirs, which does not have it.
    let cloudflare = &jane.deployment.cloudflare;
    let held = [&jane.lacks, roles(cloudflare).last().unwrap()].map(|role| holds(cloudflare, role));
    cloudflare.add_member("jane.work@example.com", held.into());
    let other = Person::newcomer("jane.work@example.com");
    let outcome = jane.deliver(&Task::revoke(named(&jane.has), other.clone())).await;
    assert!(outcome.errored().is_some_and(|said| said.contains("none of their accounts")), "{outcome:?}");
    // What is found is taken, and from then on the account is known.
    completed(&jane.deliver(&Task::revoke(named(&jane.lacks), other.clone())).await);
    assert!(completed(&jane.deliver(&Task::revoke(named(&jane.lacks), other)).await).contains("nothing was changed"));
}

#[tokio::test(start_paused = true)]
async fn the_address_decides_and_not_the_id_that_c1_remembers() {
    let jane = Jane::start().await;
    let somebody =
        jane.deployment.cloudflare.memberships().into_iter().find(|member| member.id != jane.member).unwrap();
    for (what, member, user) in [
        ("somebody else's membership", somebody.id.clone(), jane.user.clone()),
        ("a membership that is gone", "c".repeat(32), jane.user.clone()),
        ("ids that are none", "jane".to_owned(), "doe".to_owned()),
        ("no ids", String::new(), String::new()),
    ] {
        let person = Person::member(EMAIL, &user, &member);
        completed(&jane.deliver(&Task::grant(named(&jane.lacks), person.clone())).await);
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        completed(&jane.deliver(&Task::revoke(named(&jane.lacks), person)).await);
        jane.changed(&[], &[]);
        eprintln!("found in spite of {what}");
    }
}

/// `baton-scim` tells of an account its user id, as `user_id`, and no membership.
#[tokio::test(start_paused = true)]
async fn a_revoke_is_of_the_user_whom_baton_scim_tells_whoever_has_the_address_by_now() {
    for (tells, loses, keeps) in [(true, 0, 1), (false, 1, 0)] {
        let jane = Jane::holding(2).await;
        let account = &jane.deployment.cloudflare;
        let (both, role) = (account.member_atoms(&jane.member), named(&jane.has));
        account.change_email(&jane.member, "jane.married@example.com");
        let newcomer = account.add_member(EMAIL, [&jane.has, &jane.lacks].map(|role| holds(account, role)).into());
        jane.deployment.sync().await;
        let held = account.member_atoms(&newcomer);
        let id = if tells { jane.user.as_str() } else { "another connector's id" };
        let profile = json!({ "user_id": id, "username": EMAIL, "login": EMAIL, "first_name": "Jane" });
        let task = Task::revoke(role, Person::member(EMAIL, "", "")).set("/expanded/2/profile", profile);
        completed(&jane.deliver(&task).await);
        let now = [&jane.member, &newcomer].map(|member| account.member_atoms(member));
        let before = [both, held];
        assert_eq!(now[keeps], before[keeps], "{tells}");
        assert!(!now[loses].contains(&jane.atom(&jane.has)) && now[loses].len() == 1, "{tells}: {now:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_said_in_a_sentence_and_not_tried_again() {
    let jane = Jane::start().await;
    let nobody = Person::member("no.body@example.com", &"a".repeat(32), &"b".repeat(32));
    jane.refused(&Task::grant(named(&jane.lacks), nobody), "no.body@example.com is not a member").await;
    let unknown = Entitlement::role(&"f".repeat(32), "Nobody's");
    jane.refused(&Task::grant(unknown, jane.person()), "knows no role").await;
    for id in ["admin", "05784afa30c1afe1440e79d9351c743", "05784AFA30C1AFE1440E79D9351C7430", "../../members", ""] {
        let odd = Entitlement::role(id, "Oddly Named");
        jane.refused(&Task::grant(odd, jane.person()), "Oddly Named").await;
    }
    jane.refused(&jane.revoke(&jane.has), "last access").await;
    let two = Entitlement { match_baton_id: format!("role:{}:member", jane.has.governed_as()), ..named(&jane.lacks) };
    jane.refused(&Task::grant(two, jane.person()), "not clear which").await;
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

/// One step of a policy may have several of its own: the account is made first, and then the role is given.
#[tokio::test(start_paused = true)]
async fn what_one_step_of_a_policy_leads_to_by_two_entitlements_is_two_operations() {
    let jane = Jane::start().await;
    let (role, access) = (named(&jane.lacks), Entitlement::access());
    let told = async |entitlement: &Entitlement, token: &str| {
        let task = Task::grant(entitlement.clone(), jane.person()).id("2task").step_id("2step");
        let task = task.set("/taskView/task/type/grant/appEntitlementId", role.id.as_str());
        jane.deployment.send_as(&jane.deployment.c1.task(&task), token).await.text()
    };
    let account = told(&access, "1").await;
    assert!(account.contains("complete"), "{account}");
    jane.changed(&[], &[]);
    let given = told(&role, "2").await;
    assert!(given.contains("complete"), "{given}");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    // The control: by the same one again it is the same operation.
    assert_eq!([told(&access, "3").await, told(&role, "4").await], [account, given]);
    let kept = jane.deployment.json("/v1/operations").await;
    let keys: Vec<&str> =
        kept["items"].as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["2task/2step", format!("2task/2step/{}", access.id).as_str()], "{kept}");
    let shown = jane.deployment.json(&format!("/v1/operations/2task~2step~{}", access.id)).await;
    assert_eq!(shown["entitlement"], "account", "{shown}");
}

/// What the owner of another app has given by the account of this one is that account, and no way to something else.
#[tokio::test(start_paused = true)]
async fn a_removal_that_waits_is_void_by_another_apps_task_that_found_the_account_and_by_no_first_step_of_ours() {
    let ours = App::default().id;
    for (app, stays) in [("2other", true), (ours.as_str(), false)] {
        let jane = Jane::start().await;
        let cloudflare = &jane.deployment.cloudflare;
        jane.deployment.set_var("ALLOWED_APPS", &format!("{ours},2other"));
        jane.deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
        let member = cloudflare.add_member("joe@example.com", vec![holds(cloudflare, &jane.has)]);
        let joe = Person::member("joe@example.com", &cloudflare.membership(&member).unwrap().user_id.unwrap(), &member);
        jane.deployment.sync().await;
        for (person, status) in [(joe, 200), (jane.person(), 202)] {
            let removal = jane.deployment.c1.task(&Task::revoke(Entitlement::access(), person));
            let answer = jane.deployment.send_as(&removal, &status.to_string()).await;
            assert_eq!(answer.status, status, "there is room for one: {}", answer.text());
        }
        let grant = Task::grant(Entitlement::access(), jane.person()).set("/taskView/task/type/grant/appId", app);
        let grant = grant.set("/taskView/task/type/grant/appEntitlementId", "2something");
        assert!(completed(&jane.deliver(&grant).await).contains("already"));
        jane.deployment.wait(Duration::from_hours(2)).await;
        assert_eq!(cloudflare.membership(&jane.member).is_some(), stays, "{app}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_provisioning_off_c1_reads_what_would_have_been_done() {
    let jane = Jane::with(2, "off").await;
    jane.refused(&jane.grant(&jane.lacks), "would have granted").await;
    jane.refused(&jane.revoke(&jane.has), "would have revoked").await;
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

#[tokio::test(start_paused = true)]
async fn a_grant_before_the_first_sync_finds_its_role_by_asking() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let role = cloudflare.permission_groups().into_iter().find(|group| group.account_wide && group.role_id.is_none());
    let role = role.unwrap();
    let member = cloudflare.add_member(EMAIL, vec![holds(cloudflare, &roles(cloudflare)[0])]);
    let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
    let task = Task::grant(named(&role), Person::member(EMAIL, &user, &member));
    completed(&deployment.deliver(&deployment.c1.task(&task)).await);
    assert!(cloudflare.member_atoms(&member).contains(&atom(cloudflare, &role)));
}
