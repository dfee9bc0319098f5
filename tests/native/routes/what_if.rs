//! `GET /v1/what-if`: what a grant or a revoke would change, held against what the change then does.

use std::collections::BTreeSet;
use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use futures::future::join;
use serde_json::{Value, json};
use sim::cloudflare::{Access, PolicySpec};
use sim::conductorone::{Entitlement, Person, Task};

use crate::jane::{EMAIL, Jane};
use crate::looks::{assert_is_problem, holds};

async fn ask(jane: &Jane, change: &str, role: &str) -> Value {
    jane.deployment.json(&format!("/v1/what-if?principal=user:{}&{change}={role}", jane.user)).await
}

fn entitlement(role: &sim::cloudflare::KnownPermissionGroup) -> String {
    format!("role:{}:member", role.governed_as())
}

#[tokio::test(start_paused = true)]
async fn what_would_be_done_is_told_and_nothing_is_written_or_asked() {
    let jane = Jane::holding(2).await;
    let before = jane.deployment.json("/v1/operations").await;
    jane.deployment.cloudflare.reset_log();
    let told = ask(&jane, "grant", &entitlement(&jane.lacks)).await;
    assert_eq!((&told["changes"], &told["refused_by"]), (&json!(true), &Value::Null), "{told}");
    assert_eq!(told["gains"][0]["entitlement_id"], entitlement(&jane.lacks));
    assert_eq!(told["gains"][0]["reach"][0]["told"], "the whole account");
    let line = told["line"].as_str().unwrap();
    assert!(line.starts_with(&format!("{EMAIL} would get {}", jane.lacks.name)), "{line}");
    let again = jane.deployment.json(&format!("/v1/what-if?principal={EMAIL}&grant={}", entitlement(&jane.has))).await;
    assert_eq!((&again["changes"], again["gains"].as_array().unwrap().len()), (&json!(false), 0), "{again}");
    let less = ask(&jane, "revoke", &entitlement(&jane.has)).await;
    assert_eq!(less["loses"][0]["entitlement_id"], entitlement(&jane.has), "{less}");
    assert_eq!(jane.deployment.cloudflare.total_requests(), 0, "nothing is asked of Cloudflare");
    assert_eq!(jane.deployment.json("/v1/operations").await, before, "and nothing is noted");
    for (path, status) in [
        (format!("/v1/what-if?principal=user:{}", jane.user), 400),
        (format!("/v1/what-if?grant={}", entitlement(&jane.has)), 400),
        (format!("/v1/what-if?principal=nobody@example.com&revoke={}", entitlement(&jane.has)), 404),
        (format!("/v1/what-if?principal=user:{}&grant=role:{}:member", jane.user, "f".repeat(32)), 404),
    ] {
        let answer = jane.deployment.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_is_problem(&answer, &path);
    }
}

#[tokio::test(start_paused = true)]
async fn each_rule_says_before_what_it_says_when_it_is_asked() {
    type Case = (&'static str, &'static str, &'static str);
    let cases: [Case; 6] = [
        ("PROTECTED_MEMBERS", EMAIL, "protected_member"),
        ("PROVISIONING", "off", "provisioning_off"),
        ("MAX_REMOVALS_PER_HOUR", "0", "removal_cap"),
        ("LAST_ROLE", "refuse", "last_role"),
        ("LAST_ROLE", "remove_member", "last_role"),
        ("LAST_ROLE", "minimal_access", "last_role"),
    ];
    for (variable, value, code) in cases {
        let mut jane = Jane::start().await;
        jane.deployment.set_var(variable, value);
        let cloudflare = &jane.deployment.cloudflare;
        let more = holds(cloudflare, &jane.lacks);
        // The last access goes with the last cases alone.
        if code != "last_role" {
            cloudflare.add_policy(&jane.member, more);
        } else if value == "remove_member" {
            let group = cloudflare.add_group("Platform", vec![more]);
            cloudflare.join_group(&group, &jane.member);
        } else if value == "minimal_access" {
            jane.has = cloudflare.permission_group("minimal_account_access").unwrap();
            cloudflare.set_policies(&jane.member, vec![holds(cloudflare, &jane.has)]);
        }
        jane.deployment.sync().await;
        let told = ask(&jane, "revoke", &entitlement(&jane.has)).await;
        assert_eq!(told["refused_by"]["code"], code, "{told}");
        assert_eq!(told["changes"], false);
        let done = jane.call("DELETE", &jane.has).await;
        assert_eq!(assert_is_problem(&done, code), code);
        assert!(done.text().contains(told["refused_by"]["message"].as_str().unwrap()), "{}\n{told}", done.text());
    }
}

/// Nobody waits for room that would be refused then.
#[tokio::test(start_paused = true)]
async fn a_revoke_for_which_there_is_no_room_is_foreseen_to_wait_and_to_be_refused_while_provisioning_is_off() {
    for provisioning in ["on", "off"] {
        let jane = Jane::holding(3).await;
        jane.deployment.set_var("MAX_REMOVALS_PER_HOUR", "1");
        jane.deployment.sync().await;
        assert_eq!(jane.call("DELETE", &jane.has).await.status, 200);
        jane.deployment.set_var("PROVISIONING", provisioning);
        let other = &crate::looks::roles(&jane.deployment.cloudflare)[1];
        let told = ask(&jane, "revoke", &entitlement(other)).await;
        let done = jane.call("DELETE", other).await;
        if provisioning == "on" {
            assert_eq!((&told["refused_by"]["code"], done.status), (&json!("not_now"), 429), "{told}");
            continue;
        }
        assert_eq!(told["refused_by"]["code"], "provisioning_off", "{told}");
        assert_eq!(assert_is_problem(&done, "off"), "provisioning_off");
        assert!(done.text().contains(told["refused_by"]["message"].as_str().unwrap()), "{}\n{told}", done.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_what_is_denied_on_whatever_part_of_the_account_is_foreseen_to_be_refused() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let domain = cloudflare.domain_resource_groups()[0].0.clone();
    let denies = PolicySpec { access: Access::Deny, ..PolicySpec::allow(&jane.lacks.id, domain) };
    cloudflare.add_policy(&jane.member, denies);
    jane.deployment.sync().await;
    let told = ask(&jane, "grant", &entitlement(&jane.lacks)).await;
    assert_eq!(told["refused_by"]["code"], "not_eligible", "{told}");
    let done = jane.call("PUT", &jane.lacks).await;
    assert_eq!(assert_is_problem(&done, "a grant"), "not_eligible");
    assert!(done.text().contains(told["refused_by"]["message"].as_str().unwrap()), "{}\n{told}", done.text());
}

/// A user group that gives nothing keeps nobody.
#[tokio::test(start_paused = true)]
async fn what_the_revoke_of_the_last_access_does_is_foreseen() {
    for (last_role, provisioning) in [("minimal_access", "on"), ("minimal_access", "off"), ("remove_member", "on")] {
        let jane = Jane::with(1, provisioning).await;
        let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
        deployment.set_var("LAST_ROLE", last_role);
        if last_role == "remove_member" {
            let denies = PolicySpec { access: Access::Deny, ..holds(cloudflare, &jane.lacks) };
            cloudflare.join_group(&cloudflare.add_group("Barred", vec![denies]), &jane.member);
        }
        deployment.sync().await;
        let minimal = cloudflare.permission_group("minimal_account_access").unwrap();
        let told = ask(&jane, "revoke", &entitlement(&jane.has)).await;
        let done = jane.call("DELETE", &jane.has).await;
        if provisioning == "off" {
            assert_eq!(told["refused_by"]["code"], "provisioning_off", "{told}");
            assert!(done.text().contains(told["refused_by"]["message"].as_str().unwrap()), "{}\n{told}", done.text());
            continue;
        }
        assert_eq!((&told["changes"], &told["refused_by"]), (&json!(true), &Value::Null), "{told}");
        assert_eq!(done.status, 200, "{}", done.text());
        let removes = last_role == "remove_member";
        assert_eq!(
            (&told["removes_member"], cloudflare.membership(&jane.member).is_none()),
            (&json!(removes), removes)
        );
        let ids = |what: &str| -> Vec<String> {
            told[what]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["entitlement_id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert!(ids("loses").contains(&entitlement(&jane.has)), "{told}");
        let left = if removes { Vec::new() } else { vec![entitlement(&minimal)] };
        assert_eq!(ids("gains"), left, "{told}");
        if !removes {
            jane.changed(&[jane.atom(&minimal)], &[jane.atom(&jane.has)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_few_super_administrators_and_what_a_group_gives_are_foreseen() {
    let jane = Jane::holding(2).await;
    let cloudflare = &jane.deployment.cloudflare;
    let (admin, whole) = (cloudflare.permission_group("super_admin").unwrap(), cloudflare.account_resource_group());
    for one in cloudflare.memberships() {
        let held: Vec<PolicySpec> = if one.id == jane.member {
            vec![
                PolicySpec::allow(admin.id.clone(), whole.clone()),
                PolicySpec::allow(jane.has.id.clone(), whole.clone()),
            ]
        } else {
            vec![PolicySpec::allow(jane.lacks.id.clone(), whole.clone())]
        };
        cloudflare.set_policies(&one.id, held);
    }
    let group = cloudflare.add_group("Platform", vec![PolicySpec::allow(jane.lacks.id.clone(), whole.clone())]);
    cloudflare.join_group(&group, &jane.member);
    jane.deployment.sync().await;
    let told = ask(&jane, "revoke", &entitlement(&admin)).await;
    assert_eq!(told["refused_by"]["code"], "min_super_admins", "{told}");
    let told = ask(&jane, "revoke", &entitlement(&jane.lacks)).await;
    assert_eq!(told["refused_by"]["code"], "held_through_group", "{told}");
    let told = ask(&jane, "revoke", &format!("group:{group}:member")).await;
    let lost: BTreeSet<&str> =
        told["loses"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(lost, BTreeSet::from(["Platform", jane.lacks.name.as_str()]), "{told}");
}

/// As the revoke itself counts them.
#[tokio::test(start_paused = true)]
async fn who_is_denied_super_administrator_is_none_of_those_who_are_left() {
    for (denied, code, status) in [("super_admin", json!("min_super_admins"), 409), ("admin", Value::Null, 200)] {
        let jane = Jane::holding(2).await;
        let cloudflare = &jane.deployment.cloudflare;
        let (admin, whole) = (cloudflare.permission_group("super_admin").unwrap(), cloudflare.account_resource_group());
        let may = |id: &str| PolicySpec::allow(id, &whole);
        let others: Vec<String> = cloudflare
            .memberships()
            .into_iter()
            .filter(|one| one.id != jane.member && one.status == "accepted")
            .map(|one| one.id)
            .collect();
        for one in cloudflare.memberships() {
            let held = if one.id == jane.member {
                vec![may(&admin.id), may(&jane.has.id)]
            } else if others[..2].contains(&one.id) {
                let denies = may(&cloudflare.permission_group(denied).unwrap().id);
                vec![may(&admin.id), PolicySpec { access: Access::Deny, ..denies }]
            } else {
                vec![may(&jane.lacks.id)]
            };
            cloudflare.set_policies(&one.id, held);
        }
        jane.deployment.sync().await;
        let told = ask(&jane, "revoke", &entitlement(&admin)).await;
        assert_eq!(told["refused_by"]["code"], code, "{denied}: {told}");
        let done = jane.call("DELETE", &admin).await;
        assert_eq!(done.status, status, "{denied}: {}", done.text());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_super_administrator_of_their_own_as_well_is_foreseen_to_leave_a_group_that_makes_them_one() {
    for is_own in [true, false] {
        let jane = Jane::holding(2).await;
        let cloudflare = &jane.deployment.cloudflare;
        let (admin, whole) = (cloudflare.permission_group("super_admin").unwrap(), cloudflare.account_resource_group());
        let may = |id: &str| PolicySpec::allow(id, &whole);
        for one in cloudflare.memberships() {
            let is_one = is_own && one.id == jane.member;
            let admin = is_one.then(|| may(&admin.id));
            cloudflare.set_policies(&one.id, admin.into_iter().chain([may(&jane.has.id)]).collect());
        }
        let group = cloudflare.add_group("Admins", vec![may(&admin.id)]);
        cloudflare.join_group(&group, &jane.member);
        jane.deployment.sync().await;
        let told = ask(&jane, "revoke", &format!("group:{group}:member")).await;
        let code = if is_own { Value::Null } else { json!("min_super_admins") };
        assert_eq!(told["refused_by"]["code"], code, "{told}");
        let path = format!("/v1/groups/{group}/members/{}", jane.user);
        let done = jane.deployment.request("DELETE", &path, &[], None).await;
        assert_eq!(done.status == 200, is_own, "{}", done.text());
    }
}

/// It is worked out where grants and revokes have their turn.
#[tokio::test(start_paused = true)]
async fn one_question_is_answered_at_a_time_and_after_one_that_took_long_none_for_a_while() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let path = format!("/v1/what-if?principal=user:{}&revoke=account", jane.user);
    let status = async || Box::pin(deployment.get(&path)).await.status;
    for _ in 0..3 {
        assert_eq!(status().await, 200, "the control: one after the other");
    }
    let (one, other) = join(Box::pin(deployment.get(&path)), Box::pin(deployment.get(&path))).await;
    let (answered, refused) = if one.status == 200 { (one, other) } else { (other, one) };
    assert_eq!((answered.status, refused.status), (200, 503), "{}", refused.text());
    assert_eq!(assert_is_problem(&refused, &path), "not_now");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(status().await, 200, "the control");

    deployment.world().kv_takes.set(Duration::from_millis(100));
    let began = deployment.millis();
    assert_eq!(status().await, 200);
    let took = u64::try_from(deployment.millis() - began).unwrap();
    assert!(took > 500, "{took}");
    assert_eq!(status().await, 503, "right after it");
    deployment.wait(Duration::from_millis(4 * took)).await;
    assert_eq!(status().await, 200);
}

#[tokio::test(start_paused = true)]
async fn findings_that_a_grant_would_open_are_told_and_then_open() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    cloudflare.set_two_factor(&jane.member, false);
    jane.deployment.sync().await;
    let admin = cloudflare.permission_group("admin").unwrap();
    let told = ask(&jane, "grant", &entitlement(&admin)).await;
    let rules: Vec<&str> =
        told["findings"]["opens"].as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["privileged-without-two-factor"], "{told}");
    let id = told["findings"]["opens"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(jane.call("PUT", &admin).await.status, 200);
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(jane.deployment.json(&format!("/v1/findings/{id}")).await["state"], "open");
    let closes = ask(&jane, "revoke", &entitlement(&admin)).await;
    assert_eq!(closes["findings"]["closes"][0]["id"], id, "{closes}");
    let events = jane.deployment.json("/v1/operations?of=findings&limit=1000").await;
    assert!(
        events["items"].as_array().unwrap().iter().any(|one| one["finding"] == id && one["what"] == "opened"),
        "{events}"
    );
}

/// As it is then: who is privileged since a moment ago is not idle.
#[tokio::test(start_paused = true)]
async fn that_somebody_silent_would_be_privileged_opens_no_finding_of_idleness_and_that_they_would_not_be_closes_one() {
    let jane = Jane::start().await;
    let deployment = &jane.deployment;
    let cloudflare = &deployment.cloudflare;
    deployment.set_var("AUDIT_FEED", "on");
    deployment.set_var("FINDINGS_IDLE_DAYS", "1");
    cloudflare.set_two_factor(&jane.member, true);
    let admin = cloudflare.permission_group("admin").unwrap();
    let is_idle = async || {
        // Something is published, and held against the rules.
        cloudflare.invite(&format!("new{}@example.com", deployment.now()), vec![]);
        deployment.sync().await;
        deployment.wait(Duration::from_mins(1)).await;
        let id = format!("privileged-idle:user:{}", jane.user);
        deployment.list("/v1/findings", 1000).await.iter().any(|one| one["id"] == id)
    };
    assert!(!is_idle().await);
    deployment.wait(Duration::from_hours(26)).await;
    assert!(!is_idle().await);
    let told = ask(&jane, "grant", &entitlement(&admin)).await;
    assert_eq!((&told["changes"], &told["findings"]["opens"]), (&json!(true), &json!([])), "{told}");
    assert_eq!(jane.call("PUT", &admin).await.status, 200);
    assert!(!is_idle().await);
    // The control: once she is, the change that ends it is told.
    deployment.wait(Duration::from_hours(26)).await;
    assert!(is_idle().await);
    let told = ask(&jane, "revoke", &entitlement(&admin)).await;
    let closes = told["findings"]["closes"].as_array().unwrap();
    assert!(closes.iter().any(|one| one["rule"] == "privileged-idle"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_removal_leaves_tokens_behind_and_says_so_before() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let account = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
    let policies = json!([{ "id": "a".repeat(32), "effect": "allow", "resources": { account: "*" }, "permission_groups": [{ "id": "b".repeat(32), "name": "Account Settings Write" }] }]);
    let token = cloudflare.add_token("hers", Some(EMAIL), &json!({ "policies": policies }));
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    let path = format!("/v1/what-if?principal=user:{}&revoke=account", jane.user);
    let told = jane.deployment.json(&path).await["findings"].clone();
    let ids = |what: &str| -> Vec<String> {
        told[what].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let opens = format!("token-of-somebody-who-left:api_token:{token}");
    assert!(ids("opens").contains(&opens), "{told}");
    // As it then is.
    assert_eq!(jane.deployment.request("DELETE", &format!("/v1/accounts/{}", jane.user), &[], None).await.status, 200);
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    let open: Vec<String> = jane
        .deployment
        .list("/v1/findings", 1000)
        .await
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    for id in ids("opens") {
        assert!(open.contains(&id), "{id} was foreseen");
    }
    for id in ids("closes") {
        assert!(!open.contains(&id), "{id} was to be over");
    }
}

#[tokio::test(start_paused = true)]
async fn an_approvals_comment_says_what_it_would_change_and_a_rule_goes_by_findings() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.set_two_factor(&jane.member, false);
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    let rules = json!({
        "low_risk_roles": [jane.lacks.name],
        "rules": [{ "name": "tidy up first", "when": { "findings": ["second-factor-not-enforced"] }, "then": "deny" }],
    });
    jane.deployment.set_var("APPROVAL_RULES", &rules.to_string());
    let asked = |n: u32| {
        let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
        let task = Task::grant(entitlement, Person::member(EMAIL, &jane.user, &jane.member));
        jane.deployment.c1.task(&task.id(&format!("2task{n}")).step_id("2step").awaiting_approval())
    };
    let told = jane.deployment.send_as(&asked(1), "1").await.text();
    assert!(told.contains("\"deny\"") && told.contains("tidy up first"), "{told}");
    // Of somebody new too, and of an account.
    let newcomer = Person::newcomer("new.person@example.com");
    for (n, wanted) in [(3, Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name)), (4, Entitlement::access())]
    {
        let task = Task::grant(wanted, newcomer.clone());
        let task = jane.deployment.c1.task(&task.id(&format!("2task{n}")).step_id("2step").awaiting_approval());
        let told = jane.deployment.send_as(&task, &n.to_string()).await.text();
        assert!(told.contains("new.person@example.com would be invited with "), "{told}");
    }
    assert!(told.contains(&format!("{EMAIL} would get {}", jane.lacks.name)), "{told}");
    // Over, and so is the rule.
    jane.deployment.cloudflare.enforce_two_factor(true);
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(1)).await;
    let told = jane.deployment.send_as(&asked(2), "2").await.text();
    assert!(told.contains("\"approve\""), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_invitation_and_a_removal_are_foreseen_with_the_words_of_their_guards() {
    const NEW: &str = "new.person@example.com";
    for (variable, value, code) in [
        ("PROVISIONING", "on", None),
        ("PROVISIONING", "off", Some("provisioning_off")),
        ("PROTECTED_MEMBERS", "jane.doe@example.com, new.person@example.com", Some("protected_member")),
        ("MAX_REMOVALS_PER_HOUR", "0", Some("removal_cap")),
    ] {
        let jane = Jane::holding(2).await;
        jane.deployment.set_var(variable, value);
        let (id, invite) = (format!("user:{}", jane.user), json!({ "email": NEW }));
        let asked = [
            (format!("principal={NEW}&grant=account"), "POST", "/v1/accounts".to_owned(), Some(&invite)),
            (format!("principal={id}&revoke=account"), "DELETE", format!("/v1/accounts/{}", jane.user), None),
        ];
        for (query, method, path, body) in asked {
            let told = jane.deployment.json(&format!("/v1/what-if?{query}")).await;
            // The cap is of removals alone.
            let code = code.filter(|code| *code != "removal_cap" || method == "DELETE");
            let done = jane.deployment.request(method, &path, &[], body).await;
            if let Some(code) = code {
                assert_eq!(told["refused_by"]["code"], code, "{told}");
                assert_eq!(assert_is_problem(&done, code), code);
                let foreseen = told["refused_by"]["message"].as_str().unwrap();
                assert!(done.text().contains(foreseen), "{}\n{told}", done.text());
                continue;
            }
            assert_eq!((&told["changes"], &told["refused_by"]), (&json!(true), &Value::Null), "{told}");
            assert_eq!(done.status, 200, "{}", done.text());
            let (more, less) = (told["gains"].as_array().unwrap().len(), told["loses"].as_array().unwrap().len());
            let (removes, line) = (&told["removes_member"], told["line"].as_str().unwrap());
            if method == "POST" {
                assert_eq!((more, less, removes, &told["principal"]), (1, 0, &json!(false), &Value::Null));
                assert!(line.starts_with(&format!("{NEW} would be invited with ")), "{line}");
            } else {
                assert_eq!((more, less, removes, &told["entitlement_id"]), (0, 2, &json!(true), &Value::Null));
                assert!(line.starts_with(&format!("{EMAIL} would be removed from the account")), "{line}");
            }
        }
    }
    let jane = Jane::start().await;
    let again = jane.deployment.json(&format!("/v1/what-if?principal={EMAIL}&grant=account")).await;
    assert_eq!(
        (&again["changes"], &again["line"]),
        (&json!(false), &json!(format!("{EMAIL} has an account already.")))
    );
    for wrong in ["principal=nobody@example.com&revoke=account", "principal=nobody&grant=account"] {
        assert_eq!(jane.deployment.get(&format!("/v1/what-if?{wrong}")).await.status, 404, "{wrong}");
    }
}

/// Whatever it is, and whoever it is of.
#[tokio::test(start_paused = true)]
async fn what_would_have_been_done_is_foreseen_in_the_sentence_that_it_is_told_in() {
    const NEW: &str = "new.person@example.com";
    let jane = Jane::with(2, "off").await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    let group = |name: &str| cloudflare.add_group(name, vec![holds(cloudflare, &jane.lacks)]);
    let (joins, leaves) = (group("Platform"), group("Operators"));
    cloudflare.join_group(&leaves, &jane.member);
    let invitation = cloudflare.invite("invited@example.com", vec![holds(cloudflare, &jane.has)]);
    deployment.sync().await;
    let (user, gets) = (&jane.user, entitlement(&jane.lacks));
    let member = |what: String| format!("/v1/{what}/members/{user}");
    let role = |role: &sim::cloudflare::KnownPermissionGroup| member(format!("roles/{}", role.governed_as()));
    let accounts = || "/v1/accounts".to_owned();
    let with = format!("would have invited {NEW} with {};", jane.lacks.name);
    for (query, method, path, body, says) in [
        (format!("user:{user}&grant={gets}"), "PUT", role(&jane.lacks), None, "would have granted"),
        (format!("user:{user}&revoke={}", entitlement(&jane.has)), "DELETE", role(&jane.has), None, "have revoked"),
        (format!("user:{user}&grant=group:{joins}:member"), "PUT", member(format!("groups/{joins}")), None, "have put"),
        (
            format!("user:{user}&revoke=group:{leaves}:member"),
            "DELETE",
            member(format!("groups/{leaves}")),
            None,
            "would have taken",
        ),
        (
            format!("{NEW}&grant=account"),
            "POST",
            accounts(),
            Some(json!({ "email": NEW })),
            "with a Cloudflare account;",
        ),
        (format!("{NEW}&grant={gets}"), "POST", accounts(), Some(json!({ "email": NEW, "entitlement": gets })), &*with),
        (format!("user:{user}&revoke=account"), "DELETE", format!("/v1/accounts/{user}"), None, "would have removed"),
        (
            format!("invitation:{invitation}&revoke=account"),
            "DELETE",
            format!("/v1/accounts/{invitation}"),
            None,
            "would have cancelled the invitation of invited@example.com",
        ),
    ] {
        let told = deployment.json(&format!("/v1/what-if?principal={query}")).await;
        assert_eq!(told["refused_by"]["code"], "provisioning_off", "{query}: {told}");
        let done = deployment.request(method, &path, &[], body.as_ref()).await;
        assert_eq!(assert_is_problem(&done, &query), "provisioning_off");
        let foreseen = told["refused_by"]["message"].as_str().unwrap();
        assert!(foreseen.contains(says), "{query}: {foreseen}");
        assert!(done.text().contains(foreseen), "{}\n{told}", done.text());
    }
}

#[tokio::test(start_paused = true)]
async fn the_removal_of_the_tokens_owner_is_foreseen_with_the_words_of_its_guard() {
    for is_admin in [true, false] {
        let jane = Jane::holding(2).await;
        let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
        deployment.set_var("CLOUDFLARE_API_TOKEN", &cloudflare.user_token());
        // The sync asks whose token it is.
        deployment.sync().await;
        let rows = deployment.world().query("SELECT owner FROM identity", &[]).unwrap();
        let owner = rows[0][0].text().unwrap().to_owned();
        let all = cloudflare.memberships();
        let member = all.iter().find(|one| one.user_id.as_ref() == Some(&owner)).unwrap();
        if !is_admin {
            cloudflare.set_policies(&member.id, vec![holds(cloudflare, &jane.has)]);
            deployment.sync().await;
        }
        let told = deployment.json(&format!("/v1/what-if?principal=user:{owner}&revoke=account")).await;
        assert_eq!((&told["refused_by"]["code"], &told["changes"]), (&json!("token_owner"), &json!(false)), "{told}");
        let done = deployment.request("DELETE", &format!("/v1/accounts/{owner}"), &[], None).await;
        assert_eq!(assert_is_problem(&done, "removal"), "token_owner");
        assert!(done.text().contains(told["refused_by"]["message"].as_str().unwrap()), "{}\n{told}", done.text());
        assert!(cloudflare.membership(&member.id).is_some());
    }
}

/// KV takes a minute to show everywhere what was written to it.
#[tokio::test(start_paused = true)]
async fn who_came_since_the_generation_that_kv_shows_is_not_said_to_be_nobody() {
    let jane = Jane::start().await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    let older = deployment.world().desk.values.borrow()[&deployment.world().desk.key("current")].clone();
    let joe = cloudflare.add_member("joe@example.com", vec![holds(cloudflare, &jane.has)]);
    let path =
        format!("/v1/what-if?principal=user:{}&revoke=account", cloudflare.membership(&joe).unwrap().user_id.unwrap());
    let status = deployment.sync().await;
    let name = format!("manifest/{}", status["generations"][0]["generation"].as_str().unwrap());
    deployment.keep("current", older);
    let manifest = deployment.lose(&name);
    let answer = deployment.get(&path).await;
    assert_eq!((answer.status, assert_is_problem(&answer, &path)), (503, "not_now".to_owned()));
    // The control: the last one is opened by its own name where that is there.
    deployment.keep(&name, manifest);
    deployment.wait(Duration::from_secs(5)).await;
    assert_eq!(deployment.get(&path).await.status, 200);
}
