//! `GET /v1/doctor`: is everything in place?

use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Denial, Fault, Permission, Route};
use sim::conductorone::JwksFault;
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::calls::deployed;
use crate::deployment::Deployment;
use crate::jane::Jane;
use crate::looks::small;
use crate::told_by_doctor::{REQUIRED, misconfigured, names};

/// Every variable that is checked, and a value of it that is malformed.
const MALFORMED: [(&str, &str); 11] = [
    ("CLOUDFLARE_ACCOUNT_ID", "my-account"),
    ("CONNECTOR_TOKEN", "hunter2hunter2"),
    ("C1_TENANT", "https://acme.conductor.one/"),
    ("PUBLIC_URL", "http://connector.example.com"),
    ("CLOUDFLARE_API_URL", "not a URL"),
    ("C1_URL", "https://user:sesame@acme.conductor.one"),
    ("PROVISIONING", "yes"),
    ("PLAN", "enterprise"),
    ("CLOUDFLARE_API_TOKEN", " "),
    ("C1_APP_ID", "my app"),
    ("AUTO_WIRE", "yes"),
];

#[tokio::test(start_paused = true)]
async fn everything_that_is_malformed_is_named_at_once_and_no_value_is_shown() {
    let deployment = Deployment::with(small(), |options| {
        MALFORMED.iter().fold(options, |options, (name, value)| options.var(name, value))
    })
    .await;
    let names: Vec<&str> = MALFORMED.iter().map(|(name, _)| *name).collect();
    let report = misconfigured(&deployment, &names).await.to_string();
    for secret in ["hunter2", "sesame"] {
        assert!(!report.contains(secret));
        assert!(!deployment.logs().iter().any(|line| line.contains(secret)));
    }
}

#[tokio::test(start_paused = true)]
async fn each_single_variable_counts() {
    let deployment = Deployment::start().await;
    for (name, value) in MALFORMED {
        let good = sim::harness::Options::default().vars.get(name).cloned();
        for bad in [Some(value), REQUIRED.contains(&name).then_some("")].into_iter().flatten() {
            deployment.set_var(name, bad);
            let report = deployment.get("/v1/doctor").await;
            // A mistake in an optional variable turns off its own feature, and all else goes on.
            let is_optional = ["PLAN", "AUTO_WIRE"].contains(&name);
            assert_eq!(report.status, if is_optional { 200 } else { 503 }, "{name}={bad}");
            let wrong = names(&report.json(), false);
            assert!(wrong == [name] || (is_optional && wrong.iter().any(|wrong| wrong == name)), "{name}: {wrong:?}");
        }
        match good {
            Some(good) => deployment.set_var(name, &good),
            None => deployment.unset_var(name),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_holds_until_a_mistake_is_mended_is_told() {
    let deployment = Deployment::start().await;
    let audience = "0".repeat(64);
    for (set, value, name, told) in [
        ("JOURNAL_DAYS", "for ever", "JOURNAL_DAYS", "what it is for is off until then"),
        ("OVERDUE_REVOKE_MINUTES", "1440m", "OVERDUE_REVOKE_MINUTES", "and ENFORCE_EXPIRY is off until it is"),
        ("FINDINGS_DOMAINS", "@example.com", "FINDINGS_DOMAINS", "its default holds until then"),
        ("FINDINGS_DOMAINS", "https://example.com", "FINDINGS_DOMAINS", "its default holds until then"),
        ("LAST_LOGINS", "no", "LAST_LOGINS", "what it is for is off until then"),
        ("ACCESS_AUD", &audience, "ACCESS_TEAM_DOMAIN", "is missing"),
        ("ACCESS_EDITORS", "jane@example.com", "ACCESS_EDITORS", "set ACCESS_TEAM_DOMAIN and ACCESS_AUD too"),
    ] {
        deployment.set_var(set, value);
        let report = deployment.json("/v1/doctor").await;
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
        assert!(check.is_some_and(|it| it["message"].as_str().unwrap().contains(told)), "{set}: {report}");
        deployment.unset_var(set);
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_of_what_is_missing_is_guarded_by_the_token_where_that_is_set() {
    let deployment = Deployment::with(small(), |options| options.without("C1_TENANT")).await;
    assert_eq!(deployment.raw("GET", "/v1/doctor", &[], None).await.status, 401);
    let token = format!("Bearer {CONNECTOR_TOKEN}");
    assert_eq!(deployment.raw("GET", "/v1/doctor", &[("authorization", &token)], None).await.status, 503);
}

/// As long as there is no token to compare with anybody may ask: the names of what is wrong are told, and no value.
#[tokio::test(start_paused = true)]
async fn values_are_shown_to_whoever_has_the_token_and_in_the_log_alone() {
    let (name, value) = ("PROTECTED_MEMBERS", "ceo@example.com, the-boss");
    let shown = async |deployment: &Deployment| {
        let token = format!("Bearer {CONNECTOR_TOKEN}");
        let report = deployment.raw("GET", "/v1/doctor", &[("authorization", &token)], None).await.json();
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report}"));
        check["message"].as_str().unwrap().to_owned()
    };
    let open = Deployment::with(small(), |options| options.var(name, value).without("CONNECTOR_TOKEN")).await;
    let told = shown(&open).await;
    assert!(!told.contains("the-boss") && told.contains("CONNECTOR_TOKEN") && told.contains("log"), "{told}");
    assert!(open.logs().iter().any(|line| line.contains("the-boss")), "the log says what is wrong");
    let guarded = Deployment::with(small(), |options| options.var(name, value)).await;
    assert!(shown(&guarded).await.contains("the-boss"), "the control");
}

#[tokio::test(start_paused = true)]
async fn each_permission_that_the_token_lacks_is_named_as_the_dashboard_does() {
    let deployment =
        Deployment::with(small(), |options| options.var("PROVISIONING", "off").var("AUDIT_FEED", "on")).await;
    for permission in [Permission::Tokens, Permission::UserGroups, Permission::Audit] {
        deployment.cloudflare.revoke_permission(permission);
    }
    let report = deployment.json("/v1/doctor").await;
    assert_eq!(report["ok"], true, "what is optional does not make it unwell: {report}");
    let lacking = [
        "PROVISIONING",
        "permission: user groups",
        "permission: account API tokens",
        "permission: the audit log (tells others' changes within a minute, and who made them)",
    ];
    assert_eq!(names(&report, false), lacking);
    assert!(report.to_string().contains("Account API Tokens: Read"), "{report}");

    deployment.cloudflare.revoke_permission(Permission::Members);
    let report = deployment.get("/v1/doctor").await;
    assert_eq!((report.status, &report.json()["ok"]), (503, &json!(false)));
    assert!(names(&report.json(), false).contains(&"permission: members".to_owned()));
    assert!(report.text().contains("Account Settings: Read"), "{}", report.text());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_none_is_said_to_be_none() {
    let deployment = Deployment::start().await;
    for status in ["disabled", "expired"] {
        deployment.cloudflare.set_token_status(status);
        let report = deployment.get("/v1/doctor").await;
        assert_eq!(report.status, 503);
        assert_eq!(names(&report.json(), false), ["CLOUDFLARE_API_TOKEN"]);
        assert!(report.text().contains(status), "{}", report.text());
    }
    deployment.set_var("CLOUDFLARE_API_TOKEN", "cfat_wrong0wrong0wrong0wrong0wrong0wrong0wrong");
    let report = deployment.get("/v1/doctor").await;
    assert_eq!((report.status, names(&report.json(), false)), (503, vec!["CLOUDFLARE_API_TOKEN".to_owned()]));
    assert!(!report.text().contains("cfat_wrong"));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_keys_cannot_be_had_is_named() {
    let deployment = Deployment::start().await;
    deployment.c1.fail_jwks(JwksFault::Status(404), None);
    let report = deployment.get("/v1/doctor").await;
    assert_eq!((report.status, names(&report.json(), false)), (503, vec!["C1_TENANT".to_owned()]));
}

/// A token that may list its own alone is given those that it made.
#[tokio::test(start_paused = true)]
async fn a_list_of_tokens_that_lacks_the_accounts_own_is_told_to_be_short() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let check = async || {
        let report = deployment.get("/v1/doctor").await.json();
        let checks = report["checks"].as_array().unwrap();
        let named = checks.iter().find(|check| check["name"] == "permission: account API tokens");
        named.unwrap_or_else(|| panic!("{report}")).clone()
    };
    assert_eq!(check().await["ok"], true, "the control");
    let one = cloudflare.add_token("ci", None, &json!({}));
    let other = cloudflare.add_token("cd", None, &json!({}));
    for made in [vec![], vec![one.clone()], vec![one, other]] {
        cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(made));
        let told = check().await;
        let message = told["message"].as_str().unwrap();
        assert!(told["ok"] == false && message.contains("add the permission Account API Tokens: Read"), "{told}");
    }
    // A person's is on no such list.
    deployment.set_var("CLOUDFLARE_API_TOKEN", &cloudflare.user_token());
    assert_eq!(check().await["ok"], true);
    // Of many a page is not all.
    deployment.set_var("CLOUDFLARE_API_TOKEN", &cloudflare.token());
    let many: Vec<String> = (0..60).map(|n| cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
    cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(many));
    assert_eq!(check().await["ok"], true);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_person_is_told_whose_it_is() {
    let deployment = Deployment::start().await;
    deployment.set_var("CLOUDFLARE_API_TOKEN", &deployment.cloudflare.user_token());
    let owner = |report: &Value| {
        let checks = report["checks"].as_array().unwrap().iter();
        checks.clone().find(|check| check["name"] == "the token's owner").unwrap_or_else(|| panic!("{report}")).clone()
    };
    deployment.cloudflare.revoke_permission(Permission::User);
    let unknown = owner(&deployment.json("/v1/doctor").await);
    assert_eq!(unknown["ok"], false);
    assert!(unknown.to_string().contains("User Details: Read"), "{unknown}");
    deployment.cloudflare.allow_permission(Permission::User);
    let known = owner(&deployment.json("/v1/doctor").await);
    assert!(known["ok"] == true && known.to_string().contains("those alone that they made"), "{known}");
}

/// What the doctor says of one thing.
async fn said(deployment: &Deployment, name: &str) -> String {
    let report = deployment.get("/v1/doctor").await.json();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{report}"));
    assert!(check["ok"] == false && check["required"] == true, "{check}");
    check["message"].as_str().unwrap().to_owned()
}

/// A deployment binds the namespace once more that the Worker has, be it there or not.
#[tokio::test(start_paused = true)]
async fn a_kv_namespace_that_cannot_be_read_is_told_with_what_binds_another_one() {
    let deployment = Deployment::start().await;
    deployment.world().desk.fail_reads("current", 10);
    let told = said(&deployment, "STATE").await;
    assert!(told.contains("make another one and name its id below binding = \"STATE\" in the wrangler.toml"), "{told}");
    assert!(!told.contains("deploy again"), "{told}");
    deployment.world().desk.fail_reads("current", 0);
    assert_eq!(deployment.get("/v1/doctor").await.status, 200, "the control");
}

/// It asks some twenty things each time.
#[tokio::test(start_paused = true)]
async fn who_asks_the_doctor_again_and_again_keeps_no_grant_waiting() {
    let jane = Jane::start().await;
    assert_eq!(jane.deployment.get("/v1/doctor").await.status, 200, "the control: once in a while it has enough");
    for _ in 0..100 {
        jane.deployment.get("/v1/doctor").await;
    }
    assert_eq!(jane.deployment.get("/v1/doctor").await.status, 503, "it has had its share");
    assert_eq!(jane.call("PUT", &jane.lacks).await.status, 200);
    jane.deployment.wait(Duration::from_mins(6)).await;
    assert_eq!(jane.deployment.get("/v1/doctor").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_outage_another_account_and_a_token_that_is_over_are_told_apart() {
    let deployment = deployed(|options| options).await;
    let cloudflare = &deployment.cloudflare;
    cloudflare.fail_next(Route::VerifyAccountToken, 20, Fault::Html { status: 524 });
    let outage = said(&deployment, "CLOUDFLARE_API_TOKEN").await;
    assert!(outage.contains("ask again") && !outage.contains("secret put"), "{outage}");
    cloudflare.clear_faults();
    cloudflare.set_token_status("disabled");
    let over = said(&deployment, "CLOUDFLARE_API_TOKEN").await;
    assert!(over.contains("disabled") && over.contains("dashboard") && over.contains("secret put"), "{over}");
    cloudflare.set_token_status("active");
    cloudflare.configure(|behaviour| behaviour.missing_permission = Denial::NoRoute);
    cloudflare.revoke_permission(Permission::Account);
    let elsewhere = said(&deployment, "permission: the account").await;
    assert!(elsewhere.contains("is CLOUDFLARE_ACCOUNT_ID the id of the account"), "{elsewhere}");
    cloudflare.allow_permission(Permission::Account);
    assert_eq!(deployment.get("/v1/doctor").await.status, 200);
}
