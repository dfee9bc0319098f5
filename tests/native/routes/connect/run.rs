//! Connecting when all goes well.

use serde_json::{Value, json};
use sim::conductorone::{ApiFault, App, Entitlement, Person, Task};

use crate::connected::{Connected, lines, prepared};
use crate::looks::{assert_is_problem, roles};

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let connected = prepared(|options| options).await;
    let report = connected.run(json!({ "dry_run": true })).await;
    assert_eq!(report["state"], "done", "{report}");
    assert_eq!(lines(&report, "would_change").len(), connected.roles.len() + 2, "{report}");
    assert_eq!(connected.writes(), 0);
    assert!(connected.c1.webhooks().is_empty());
    connected.assert_untouched();
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["message"], "There was nothing to put back.");
}

#[tokio::test(start_paused = true)]
async fn what_people_set_up_on_purpose_stays_until_they_say_otherwise() {
    let connected = prepared(|options| options).await;
    let theirs = connected.c1.add_webhook("Theirs", "https://other.example.com/hook");
    let steps = json!({ "multiStep": { "provisionSteps": [{ "webhook": { "webhookId": theirs } }] } });
    let ticket = json!({ "externalTicket": { "instructions": "Ask Jane." } });
    connected.c1.set_policies(&connected.roles[0].id, &steps, &Value::Null);
    connected.c1.set_policies(&connected.roles[1].id, &json!({ "connector": {} }), &ticket);
    let report = connected.run(json!({})).await;
    assert_eq!(
        (report["state"].as_str(), report["entitlements"]["custom"].as_u64()),
        (Some("done"), Some(2)),
        "{report}"
    );
    assert_eq!(connected.c1.policies(&connected.roles[0].id), (steps, Value::Null));
    assert_eq!(connected.c1.policies(&connected.roles[1].id).1, ticket);
    let left = lines(&report, "left").join("\n");
    assert!(
        left.contains("provisioning is several steps") && left.contains("deprovisioning is an external ticket"),
        "{left}"
    );

    let report = connected.run(json!({ "overwrite": true })).await;
    assert_eq!(report["entitlements"]["changed"], 2, "{report}");
    connected.assert_wired(&connected.webhook());
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_leads_here_already_is_taken() {
    let connected = prepared(|options| options).await;
    let found = connected.c1.add_webhook("By hand", "https://connector.example.com/webhooks/conductorone");
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "done", "{report}");
    connected.assert_wired(&found);
    let undo = connected.run(json!({ "undo": true })).await;
    assert_eq!(undo["state"], "done", "{undo}");
    connected.assert_untouched();
    assert_eq!(connected.c1.webhooks().len(), 1, "it was there before, and stays");
}

#[tokio::test(start_paused = true)]
async fn of_several_apps_with_these_ids_it_says_which_there_are() {
    let connected = prepared(|options| options).await;
    let twin = App { id: "2TwinTwinTwinTwinTwinTwinTw".into(), display_name: "Cloudflare (old)".into() };
    let group = Entitlement { id: "2TwinGroup".into(), ..connected.roles.last().unwrap().clone() };
    connected.c1.add_app(&twin, &[group]);
    let report = connected.run(json!({})).await;
    assert_eq!(report["state"], "failed");
    let message = report["message"].as_str().unwrap();
    for name in ["\"Cloudflare\"", "\"Cloudflare (old)\"", &twin.id, &connected.app.id] {
        assert!(message.contains(name), "{message}");
    }
    assert_eq!(connected.writes(), 0);

    let report = connected.run(json!({ "app_id": connected.app.id })).await;
    assert_eq!(report["state"], "done", "{report}");
    connected.assert_wired(&connected.webhook());
    assert_eq!(connected.run(json!({})).await["state"], "done", "which one it was is remembered");
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_every_app_that_was_connected_are_taken_and_of_none_that_could_not_be() {
    let connected = prepared(|options| options).await;
    connected.unset_var("ALLOWED_APPS");
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let twin = App { id: "2TwinTwinTwinTwinTwinTwinTw".into(), display_name: "Cloudflare (old)".into() };
    let group = Entitlement { id: "2TwinGroup".into(), ..connected.roles.last().unwrap().clone() };
    connected.c1.add_app(&twin, &[group]);
    let is_taken = async |app: &App, email: &str| {
        let task = Task::grant(connected.roles[0].clone(), Person::newcomer(email)).app(app.clone());
        connected.deliver(&connected.c1.task(&task)).await.completed().is_some()
    };
    connected.set_var("PUBLIC_URL", "https://wrong.example.com");
    assert_eq!(connected.run(json!({ "app_id": twin.id })).await["state"], "failed");
    connected.set_var("PUBLIC_URL", sim::conductorone::PUBLIC_URL);
    assert!(is_taken(&connected.app, "one@example.com").await && !is_taken(&twin, "two@example.com").await);
    assert_eq!(connected.run(json!({ "app_id": twin.id })).await["state"], "done");
    assert!(is_taken(&connected.app, "three@example.com").await && is_taken(&twin, "four@example.com").await);
    let other = App { id: "2OtherOtherOtherOtherOtherO".into(), display_name: "Another".into() };
    assert!(!is_taken(&other, "five@example.com").await, "the control");
}

/// What is pinned stands above what was connected, so the doctor says which connected app has its tasks refused.
#[tokio::test(start_paused = true)]
async fn app_not_allowed_is_foretold_by_the_doctor_of_an_app_that_is_connected_and_not_pinned() {
    for provisioning in ["on", "off"] {
        let connected = prepared(|options| options.var("PROVISIONING", provisioning)).await;
        let twin = App { id: "2TwinTwinTwinTwinTwinTwinTw".into(), display_name: "Cloudflare (old)".into() };
        let group = Entitlement { id: "2TwinGroup".into(), ..connected.roles.last().unwrap().clone() };
        connected.c1.add_app(&twin, &[group]);
        let told = async || {
            let report = connected.json("/v1/doctor").await;
            let checks = report["checks"].as_array().unwrap().clone();
            checks.into_iter().find(|check| check["name"] == "ALLOWED_APPS" && check["ok"] == false)
        };
        assert_eq!(connected.run(json!({ "app_id": connected.app.id })).await["state"], "done");
        assert_eq!(told().await, None, "the one that is pinned");
        assert_eq!(connected.run(json!({ "app_id": twin.id })).await["state"], "done");
        let check = told().await.expect("its tasks are refused");
        assert!(check["message"].as_str().unwrap().contains(&twin.id) && check["required"] == false, "{check}");
        let task = Task::grant(connected.roles[0].clone(), Person::newcomer("new.hire@example.com")).app(twin.clone());
        let refused = connected.deliver(&connected.c1.task(&task)).await;
        assert!(refused.errored().is_some_and(|said| said.contains("ALLOWED_APPS")), "{refused:?}");
        connected.set_var("ALLOWED_APPS", &format!("{},{}", connected.app.id, twin.id));
        assert_eq!(told().await, None, "both are pinned");
        connected.set_var("ALLOWED_APPS", "2other");
        assert!(told().await.is_some());
        assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done");
        assert_eq!(told().await, None, "none is connected any more");
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_with_ids_that_every_account_has_is_not_taken_for_this_ones() {
    let connected = prepared(|options| options).await;
    let another = App { id: "2OtherOtherOtherOtherOtherO".into(), display_name: "Cloudflare (staging)".into() };
    let role = Entitlement { id: "2OtherRole".into(), ..connected.roles[0].clone() };
    connected.c1.add_app(&another, std::slice::from_ref(&role));
    // Nor is the app that has a group of this account's: whoever owns an app may give it one, and the other may be this account's.
    let report = connected.run(json!({})).await;
    let message = report["message"].as_str().unwrap();
    assert_eq!(report["state"], "failed", "{report}");
    assert!(message.contains(&another.id) && message.contains(&connected.app.id), "{message}");
    assert_eq!((connected.writes(), connected.c1.webhooks().len()), (0, 0), "nothing is changed on a guess");
    // The control: by who is in it, the other one is another account's, and no question.
    let theirs = Person::member("joe@example.com", &format!("{:032x}", 7), &format!("{:032x}", 8));
    connected.c1.add_account(&another, &theirs);
    assert_eq!(connected.run(json!({})).await["state"], "done");
    connected.assert_wired(&connected.webhook());
    assert_eq!(connected.c1.policies(&role.id).0, json!({ "connector": {} }));
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done");

    connected.c1.remove_entitlement(&connected.roles.last().unwrap().id);
    let another = App { id: "2AnotherAnotherAnotherAnothe".into(), ..another };
    connected.c1.add_app(&another, &[Entitlement { id: "2AnotherRole".into(), ..role }]);
    let writes = connected.writes();
    let report = connected.run(json!({})).await;
    let message = report["message"].as_str().unwrap();
    assert_eq!(report["state"], "failed", "{report}");
    assert!(message.contains("every Cloudflare account") && message.contains(&another.id), "{message}");
    assert_eq!(connected.writes(), writes, "nothing is changed on a guess");
    assert_eq!(connected.run(json!({ "app_id": connected.app.id })).await["state"], "done");
}

/// Whoever owns an app may give an entitlement the id of one of this account's user groups, and this account's own app may have none.
#[tokio::test(start_paused = true)]
async fn where_the_api_key_may_not_list_an_apps_accounts_no_other_one_is_taken_for_this_accounts() {
    for (is_seen, beside, said) in [
        (false, "group", "Several apps"),
        (false, "role", "may stand for this account"),
        (false, "nothing", "may stand for this account"),
        // The controls: its accounts tell, and what is another account's by its own beside it is no question.
        (true, "group", "Several apps"),
        (true, "role", "Several apps"),
        (true, "another account", ""),
        (true, "nothing", ""),
    ] {
        let what = format!("{is_seen} {beside}");
        let connected = prepared(|options| options).await;
        let group = connected.roles.last().unwrap();
        connected.c1.remove_entitlement(&group.id);
        let jane = connected.cloudflare.memberships().remove(0);
        let jane = Person::member(&jane.email, jane.user_id.as_deref().unwrap_or_default(), &jane.id);
        connected.c1.add_account(&connected.app, &jane);
        let other = App { id: "2OtherOtherOtherOtherOtherO".into(), display_name: "Cloudflare (another)".into() };
        let of = if beside == "group" { group } else { &connected.roles[0] };
        let theirs = Entitlement { id: "2Theirs".into(), ..of.clone() };
        if beside != "nothing" {
            connected.c1.add_app(&other, std::slice::from_ref(&theirs));
        }
        if beside == "another account" {
            let joe = Person::member("joe@example.com", &format!("{:032x}", 7), &format!("{:032x}", 8));
            connected.c1.add_account(&other, &joe);
        }
        if !is_seen {
            connected.c1.forbid_api(&format!("GET /api/v1/apps/{}/app_users", connected.app.id));
        }
        let report = connected.run(json!({})).await;
        if said.is_empty() {
            assert_eq!((&report["state"], &report["app"]["id"]), (&json!("done"), &json!(connected.app.id)), "{what}");
            continue;
        }
        assert_eq!(report["state"], "failed", "{what}: {report}");
        let message = report["message"].as_str().unwrap();
        assert!(message.contains(said) && message.contains(&connected.app.id), "{what}: {message}");
        assert_eq!(message.contains(&other.id), beside != "nothing", "{what}: {message}");
        assert_eq!((connected.writes(), connected.c1.webhooks().len()), (0, 0), "{what}: nothing on a guess");
        let report = connected.run(json!({ "app_id": connected.app.id })).await;
        assert_eq!(report["state"], "done", "{what}: whoever says which one it is has it connected: {report}");
    }
}

/// An app of somebody in the account, to which they uploaded a file: with the id of a role, and an account with that of their own membership.
fn forged(connected: &Connected) -> App {
    let app = App { id: "2ForgedForgedForgedForgedFor".into(), display_name: "Cloudflare accounts".into() };
    connected.c1.add_app(&app, &[Entitlement { id: "2ForgedRole".into(), ..connected.roles[0].clone() }]);
    let jane = connected.cloudflare.memberships().remove(0);
    let jane = Person::member(&jane.email, jane.user_id.as_deref().unwrap_or_default(), &jane.id);
    connected.c1.add_account(&app, &jane);
    app
}

#[tokio::test(start_paused = true)]
async fn an_app_with_a_members_id_is_not_taken_where_another_one_may_be_this_accounts() {
    let connected = prepared(|options| options).await;
    connected.c1.remove_entitlement(&connected.roles.last().unwrap().id);
    let forged = forged(&connected);
    for dry_run in [true, false] {
        let report = connected.run(json!({ "dry_run": dry_run })).await;
        let message = report["message"].as_str().unwrap();
        assert_eq!(report["state"], "failed", "{report}");
        assert!(message.contains("Several apps") && message.contains("Say which one it is"), "{message}");
        assert!(message.contains(&forged.id) && message.contains(&connected.app.id), "{message}");
    }
    assert_eq!((connected.writes(), connected.c1.webhooks().len()), (0, 0), "nothing is changed on a guess");
    // The control: the one that is named.
    let report = connected.run(json!({ "app_id": connected.app.id })).await;
    assert_eq!((&report["state"], &report["app"]["id"]), (&json!("done"), &json!(connected.app.id)), "{report}");
}

/// The entitlements of this account's app, which come by a CSV file, have no ids, so another one alone looks like it.
#[tokio::test(start_paused = true)]
async fn with_rest_provisioning_off_no_app_is_connected_that_was_looked_for() {
    let connected = prepared(|options| options).await;
    for role in &connected.roles {
        connected.c1.remove_entitlement(&role.id);
        connected.c1.add_entitlement(&connected.app, &role.clone().known_by_name_only());
    }
    let forged = forged(&connected);
    let refused = async |body: Value| {
        let answer = connected.post(&body).await;
        let code = assert_is_problem(&answer, "REST");
        assert_eq!((answer.status, code.as_str()), (403, "rest_provisioning_off"), "{body}");
    };
    let is_connected = async |body: Value| {
        let report = connected.run(body).await;
        assert_eq!((&report["state"], &report["app"]["id"]), (&json!("done"), &json!(connected.app.id)), "{report}");
    };
    connected.set_var("REST_PROVISIONING", "off");
    for body in [json!({}), json!({ "app_id": forged.id }), json!({ "app_id": connected.app.id })] {
        refused(body).await;
    }
    // Which one it would be is told, and changes nothing.
    let report = connected.run(json!({ "dry_run": true })).await;
    assert_eq!((&report["state"], &report["app"]["id"]), (&json!("done"), &json!(forged.id)), "{report}");
    refused(json!({})).await;
    assert_eq!((connected.writes(), connected.c1.webhooks().len()), (0, 0));

    connected.set_var("C1_APP_ID", &connected.app.id);
    refused(json!({ "app_id": forged.id })).await;
    is_connected(json!({})).await;
    is_connected(json!({ "app_id": connected.app.id })).await;
    // So does what was connected before go on, and what is not to be seen any more has none looked for in its place.
    connected.unset_var("C1_APP_ID");
    is_connected(json!({})).await;
    refused(json!({ "app_id": forged.id })).await;
    let app = format!("GET /api/v1/apps/{}", connected.app.id);
    connected.c1.fail_api(&app, ApiFault::Status(404), None);
    let report = connected.run(json!({})).await;
    assert!(report["message"].as_str().unwrap().contains("There is no app"), "{report}");
    connected.c1.heal_api();
    assert_eq!(connected.run(json!({ "undo": true })).await["state"], "done", "the control");
    // The control: with it on, the one that is found is connected.
    connected.set_var("REST_PROVISIONING", "on");
    let report = connected.run(json!({})).await;
    assert_eq!((&report["state"], &report["app"]["id"]), (&json!("done"), &json!(forged.id)), "{report}");
}

/// Role ids are the same in every account, so whoever names an app may name another account's.
#[tokio::test(start_paused = true)]
async fn an_app_that_is_named_is_connected_unless_what_it_has_is_another_accounts() {
    let (none, there) = (None, Some(("STATUS_ENABLED", None)));
    // C1 keeps what a later sync of its connector does not find any more.
    let gone = [Some(("STATUS_ENABLED", Some("2026-08-20T09:00:00Z"))), Some(("STATUS_DELETED", None))];
    // How C1 has somebody of this account in it, and somebody of another one; the other one's group; whether the API key may list them.
    for (ours, theirs, group, is_seen, state, is_doubted) in [
        (none, there, false, true, "failed", false),
        (none, none, true, true, "failed", false),
        (none, none, false, true, "done", true),
        (none, there, false, false, "done", true),
        (there, none, false, true, "done", false),
        // Somebody was invited anew, and a group deleted, since C1 synced.
        (there, there, true, true, "done", false),
        (gone[0], there, false, true, "failed", false),
        (gone[1], there, false, true, "failed", false),
        (gone[0], none, false, true, "done", true),
        (none, gone[0], false, true, "done", true),
        (gone[1], gone[1], false, true, "done", true),
        (there, gone[0], false, true, "done", false),
    ] {
        let what = format!("{ours:?} {theirs:?} {group} {is_seen}");
        let connected = prepared(|options| options).await;
        let app = App { id: "2OtherOtherOtherOtherOtherO".into(), display_name: "Cloudflare (staging)".into() };
        let role = Entitlement { id: "2OtherRole".into(), ..connected.roles[0].clone() };
        connected.c1.add_app(&app, std::slice::from_ref(&role));
        let other = format!("{:032x}", 7);
        if group {
            connected.c1.add_entitlement(&app, &Entitlement::new(&format!("group:{other}:member"), "Others Member"));
        }
        // A user may be in both accounts, a membership is of one.
        let jane = connected.cloudflare.memberships().remove(0);
        for (is_there, membership) in [(ours, &jane.id), (theirs, &other)] {
            let Some((status, deleted_at)) = is_there else { continue };
            let mut person = Person::member(&jane.email, jane.user_id.as_deref().unwrap_or_default(), membership);
            let account = person.account.as_mut().unwrap();
            (account.status, account.deleted_at) = (status.to_owned(), deleted_at.map(str::to_owned));
            connected.c1.add_account(&app, &person);
        }
        if !is_seen {
            connected.c1.forbid_api(&format!("GET /api/v1/apps/{}/app_users", app.id));
        }
        for options in [json!({ "app_id": app.id }), json!({})] {
            if options == json!({}) {
                connected.set_var("C1_APP_ID", &app.id);
            }
            let report = connected.run(options).await;
            assert_eq!(report["state"], state, "{what}: {report}");
            let left = lines(&report, "left").join("\n");
            assert_eq!(left.contains("Nothing that only this account has"), is_doubted, "{what}: {report}");
            if state == "failed" {
                let said = report["message"].as_str().unwrap();
                assert!(said.contains("another Cloudflare account") && said.contains(&app.id), "{what}: {said}");
                assert!(said.contains("one user group of this account"), "{what}: {said}");
                assert_eq!((connected.writes(), connected.c1.webhooks().len()), (0, 0), "{what}");
                assert_eq!(connected.c1.policies(&role.id), (json!({ "connector": {} }), Value::Null), "{what}");
            } else {
                let policy = json!({ "webhook": { "webhookId": connected.webhook() } });
                assert_eq!(connected.c1.policies(&role.id), (policy.clone(), policy), "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn entitlements_that_carry_no_id_are_known_by_their_names_once_there_was_a_sync() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.cron_and_wait().await["state"], "connected");
    let role = &roles(&connected.cloudflare)[0];
    connected.c1.remove_entitlement(&connected.roles[0].id);
    let named = Entitlement::role(role.governed_as(), &role.name).known_by_name_only();
    let stranger = Entitlement { id: "2Stranger".into(), display_name: "No such role".into(), ..named.clone() };
    for entitlement in [&named, &stranger] {
        connected.c1.add_entitlement(&connected.app, entitlement);
    }
    let report = connected.run(json!({})).await;
    assert_eq!(
        (report["state"].as_str(), report["entitlements"]["others"].as_u64()),
        (Some("done"), Some(2)),
        "{report}"
    );
    connected.assert_wired(&connected.webhook());
    assert_eq!(connected.c1.policies(&stranger.id).0, json!({ "connector": {} }));
}

#[tokio::test(start_paused = true)]
async fn an_app_of_many_pages_is_wired_to_its_end() {
    let connected = prepared(|options| options).await;
    for n in 0..230 {
        let role = Entitlement::role(&format!("{n:032x}"), &format!("Role {n:03}"));
        connected.c1.add_entitlement(&connected.app, &role);
    }
    let report = connected.run(json!({ "app_id": connected.app.id })).await;
    assert_eq!(report["state"], "done", "{}", report["message"]);
    assert_eq!(report["entitlements"]["changed"], connected.roles.len() + 231);
    let last = Entitlement::role(&format!("{:032x}", 229), "x");
    assert_eq!(connected.c1.policies(&last.id).1, json!({ "webhook": { "webhookId": connected.webhook() } }));
}

#[tokio::test(start_paused = true)]
async fn what_was_wired_is_provisioned() {
    let connected = prepared(|options| options).await;
    assert_eq!(connected.cron_and_wait().await["state"], "connected");
    assert_eq!(connected.run(json!({})).await["state"], "done");
    let task = Task::grant(connected.roles[0].clone(), Person::newcomer("new.hire@example.com"));
    let outcome = connected.deliver(&connected.c1.task(&task)).await;
    assert!(outcome.completed().is_some(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_refused_with_what_to_do() {
    let connected = prepared(|options| options).await;
    let missing = connected.get("/v1/connect").await;
    assert_eq!((missing.status, assert_is_problem(&missing, "none yet").as_str()), (404, "not_found"));
    for body in [
        json!([]),
        json!({ "app": "x" }),
        json!({ "app_id": "../x" }),
        json!({ "undo": true, "dry_run": true }),
        // It would put back what is of other apps too.
        json!({ "undo": true, "app_id": connected.app.id }),
    ] {
        let answer = connected.post(&body).await;
        assert_eq!((answer.status, assert_is_problem(&answer, "body").as_str()), (400, "invalid_request"), "{body}");
    }
    let answer = connected.get("/v1/connect?after=x").await;
    assert_eq!(answer.status, 400);
    // The tasks of an app that is named are taken from then on, though access is to be changed by the known one's alone.
    connected.set_var("REST_PROVISIONING", "off");
    let answer = connected.post(&json!({ "app_id": connected.app.id })).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "REST").as_str()), (403, "rest_provisioning_off"));
    assert_eq!(connected.run(json!({ "dry_run": true })).await["state"], "done", "the control");
    connected.unset_var("C1_CLIENT_ID");
    connected.unset_var("C1_CLIENT_SECRET");
    let answer = connected.post(&json!({})).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "no key").as_str()), (409, "connect_not_configured"));
}
