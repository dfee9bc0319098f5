//! Every route, with good requests and bad ones, against the `OpenAPI` document of the API.

use std::collections::BTreeSet;

use crate::cloudflare_support::{Api, policy};
use serde_json::{Value, json};
use sim::cloudflare::{ADMINISTRATOR_READ_ONLY, Denial, Exchange, Fault, On, Permission, Route, ScopeShape, Spec};
use sim::openapi::{Contract, VARIABLE};

const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

/// The contract, or word that there is none; in CI there must be one.
fn contract() -> Option<Contract> {
    let contract = Contract::load();
    if contract.is_none() {
        assert!(std::env::var_os("CI").is_none(), "the OpenAPI document is missing: set {VARIABLE}");
        eprintln!("SKIPPED: no OpenAPI document found; set {VARIABLE} to its path to check the contract");
    }
    contract
}

/// Nothing is wrong with the requests and answers since the last look.
fn all_conform(contract: &Contract, api: &Api) -> BTreeSet<Route> {
    let exchanges = api.cloudflare.exchanges();
    let complaints: Vec<String> =
        exchanges.iter().filter_map(|exchange| contract.check(exchange).err()).flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    api.cloudflare.reset_log();
    exchanges.iter().filter_map(|exchange| exchange.route).collect()
}

/// Every route once or more, all going well. Ends with an audit log that has something in it.
async fn use_every_route(api: &Api) {
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap();
    let (domain_group, domain) = api.domain_pair();
    let by_role = admin.role_id.clone().unwrap();
    let account = api.cloudflare.account_id();
    for path in [
        "",
        "/members?page=1&per_page=50&order=user.email&direction=asc",
        "/members?status=pending",
        "/roles?per_page=50",
        "/iam/permission_groups?page=2&per_page=50",
        "/iam/permission_groups?label=super_admin",
        "/iam/resource_groups",
        "/iam/user_groups?per_page=500&direction=desc",
        "/tokens?per_page=50&include_expired=true",
        "/tokens/verify",
        "/scim/v2/Users?startIndex=1&count=50&filter=userName%20eq%20%22nobody%40example.com%22",
        "/scim/v2/Users",
        &format!("/members/{member}"),
        &format!("/roles/{by_role}"),
        &format!("/iam/permission_groups/{}", admin.id),
        &format!("/iam/resource_groups/{whole}"),
    ] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    let tokens = api.get("/tokens").await.result();
    api.get(&format!("/tokens/{}", tokens[0]["id"].as_str().unwrap())).await.result();
    api.cloudflare.add_worker("checkout-api");
    api.cloudflare.add_access_app("Admin site");
    for path in ["/workers/scripts", "/access/apps?page=1&per_page=50"] {
        assert!(!api.get(path).await.result().as_array().unwrap().is_empty(), "{path}");
    }
    for path in [
        "/oauth_clients",
        "/sso_connectors",
        "/access/users?page=1&per_page=1000",
        "/audit_logs?action.type=login&since=2026-01-01T00:00:00Z&direction=asc&page=1&per_page=1000",
    ] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    let token = format!("Bearer {}", api.cloudflare.token());
    let zones = format!("/zones?account.id={account}&page=1&per_page=50&order=name&direction=asc");
    assert_eq!(api.raw("GET", &zones, Some(&token), None).await.unwrap().status, 200);
    for path in ["/user", "/user/tokens/verify"] {
        let token = format!("Bearer {}", api.cloudflare.user_token());
        assert_eq!(api.raw("GET", path, Some(&token), None).await.unwrap().status, 200);
    }

    let allow = policy("allow", &[&admin.id], &[&whole]);
    let scoped = policy("deny", &[&domain_group], &[&domain]);
    let scope = json!({ "key": format!("com.cloudflare.api.account.{account}"),
                        "objects": [{ "key": "com.cloudflare.api.account.zone.1234" }] });
    let inline = json!({ "access": "allow", "permission_groups": [{ "id": domain_group }], "resource_groups": [{ "scope": scope }] });
    let path = format!("/members/{member}");
    for body in [json!({ "policies": [allow, scoped, inline] }), json!({ "roles": [{ "id": by_role }] })] {
        api.put(&path, body).await.result();
    }
    let invited = json!({ "email": "jürgen.o'neil@example.com", "policies": [allow] });
    let invited = api.post("/members", invited).await.result()["id"].as_str().unwrap().to_owned();
    api.post("/members", json!({ "email": "a@b.example", "roles": [ADMINISTRATOR_READ_ONLY] })).await.result();
    api.delete(&format!("/members/{invited}")).await.result();

    api.post("/iam/resource_groups", json!({ "name": "One more", "scope": scope })).await.result();
    let group = api.post("/iam/user_groups", json!({ "name": "开发", "policies": [allow] })).await.result();
    let group = format!("/iam/user_groups/{}", group["id"].as_str().unwrap());
    api.put(&group, json!({ "name": "Désormais" })).await.result();
    let members = format!("{group}/members");
    api.post(&members, json!([{ "id": member }])).await.result();
    api.put(&members, json!([{ "id": member }])).await.result();
    for path in [&group, &members, &format!("{members}?fuzzyEmail=x"), &format!("{members}/{member}")] {
        api.get(path).await.result();
    }
    api.delete(&format!("{members}/{member}")).await.result();
    api.put(&members, json!([])).await.result();
    api.delete(&group).await.result();
    let span = "since=2020-01-01&before=2100-01-01T00:00:00Z&resource_product=members&action_result=success";
    assert!(!api.get(&format!("/logs/audit?{span}")).await.result().as_array().unwrap().is_empty());
}

#[tokio::test]
async fn every_route_conforms_when_all_is_well() {
    let Some(contract) = contract() else { return };
    let spec = Spec { members: 60, pending_share: 0.3, ..Spec::default() };
    let api = Api::start(spec).await;
    use_every_route(&api).await;
    assert_eq!(all_conform(&contract, &api), Route::ALL.iter().copied().collect(), "each route was used");

    api.cloudflare.configure(|behaviour| {
        behaviour.permission_groups_result_info = false;
        behaviour.scope = ScopeShape::Array;
        behaviour.blank_end_of_life = true;
        behaviour.lists_inherited_policies = true;
        behaviour.extra_fields = true;
        behaviour.ratelimit_headers = true;
        behaviour.repeats_a_role_id = true;
    });
    let member = api.cloudflare.membership_of("a@b.example").unwrap().id;
    api.cloudflare.remove_member(&member);
    use_every_route(&api).await;
    all_conform(&contract, &api);
}

#[tokio::test]
async fn every_page_of_large_and_empty_accounts_conforms() {
    let Some(contract) = contract() else { return };
    for members in [0, 1, 300] {
        let api = Api::start(Spec { members, seed: 9, pending_share: 0.3, groups: 12, ..Spec::default() }).await;
        for path in ["/members", "/roles", "/iam/permission_groups", "/tokens"] {
            api.all(path, 50).await;
        }
        for group in api.all("/iam/user_groups", 500).await {
            api.all(&format!("/iam/user_groups/{}/members", group["id"].as_str().unwrap()), 100).await;
        }
        all_conform(&contract, &api);
    }
}

#[tokio::test]
async fn answers_to_bad_requests_and_in_bad_times_conform() {
    let Some(contract) = contract() else { return };
    let api = Api::of(20).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let (domain_group, _) = api.domain_pair();
    let accounts = format!("/accounts/{}", api.cloudflare.account_id());
    let token = format!("Bearer {}", api.cloudflare.token());
    let path = format!("/members/{member}");
    for body in [json!({}), json!({ "policies": [] }), json!({ "roles": ["x"] }), json!([])] {
        assert_eq!(api.put(&path, body).await.status, 400);
    }
    api.put(&path, json!({ "policies": [policy("allow", &[&domain_group], &[&whole])] })).await;
    api.post("/members", json!({ "email": "x" })).await;
    api.post("/iam/user_groups", json!({})).await;
    api.post("/iam/resource_groups", json!({})).await;
    for route in Route::ALL {
        let (method, template) = route.template().split_once(' ').unwrap();
        let unknown = template.replace("{A}", &api.cloudflare.account_id());
        let unknown: String = unknown
            .split('/')
            .map(|segment| if segment.starts_with('{') { UNKNOWN } else { segment })
            .collect::<Vec<_>>()
            .join("/");
        let odd = unknown.replace(UNKNOWN, "odd");
        let body = (method != "GET" && method != "DELETE").then(|| json!({}));
        for (path, authorization) in [
            (&unknown, Some(token.as_str())),
            (&odd, Some(token.as_str())),
            (&unknown, None),
            (&unknown, Some("Bearer nonsense")),
            (&unknown, Some("Bearer cfat_unknownunknownunknownunknownunknownunknown")),
        ] {
            api.raw(method, path, authorization, body.clone()).await.unwrap();
        }
        for denial in [Denial::Unauthorized, Denial::AuthenticationError, Denial::NoRoute] {
            api.cloudflare.configure(|behaviour| behaviour.missing_permission = denial);
            api.cloudflare.set_permissions([]);
            api.raw(method, &unknown, Some(&token), body.clone()).await.unwrap();
        }
        api.cloudflare.set_permissions(Permission::ALL);
        for fault in [
            Fault::status(500, 500),
            Fault::TooManyRequests { retry_after: Some(1), headers: true },
            Fault::TooManyRequests { retry_after: None, headers: false },
            Fault::Html { status: 524 },
            Fault::Problem { status: 502, retryable: true, retry_after: None },
            Fault::Reset,
        ] {
            api.cloudflare.fail_next(On::Any, 1, fault);
            let _ = api.raw(method, &unknown, Some(&token), body.clone()).await;
        }
    }
    api.raw("PATCH", &format!("{accounts}/members"), Some(&token), None).await.unwrap();
    api.raw("GET", &format!("{accounts}/nothing"), Some(&token), None).await.unwrap();
    let exchanges = api.cloudflare.exchanges();
    let complaints: Vec<String> =
        exchanges.iter().filter_map(|exchange| contract.check_response(exchange).err()).flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// What the contract says of an exchange that is changed a little.
fn complaints(contract: &Contract, exchange: &Exchange, change: impl FnOnce(&mut Exchange)) -> String {
    let mut changed = exchange.clone();
    change(&mut changed);
    contract.check(&changed).expect_err("a complaint").join("\n")
}

#[tokio::test]
async fn what_is_wrong_is_said_and_where() {
    let Some(contract) = contract() else { return };
    let api = Api::of(10).await;
    api.get("/members").await;
    let whole = api.cloudflare.account_resource_group();
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let body = json!({ "policies": [policy("allow", &[&admin], &[&whole])] });
    api.put(&format!("/members/{}", api.somebody()), body.clone()).await;
    let [list, put] = api.cloudflare.exchanges().try_into().unwrap();
    let bytes = |value: &Value| value.to_string().into_bytes().into();

    let expect = |complaint: String, parts: &[&str]| {
        for part in parts {
            assert!(complaint.contains(part), "{part:?} is not in: {complaint}");
        }
    };
    let with_query = |query: &str| complaints(&contract, &list, |exchange| exchange.query = query.into());
    expect(with_query("per_page=51"), &["query parameter per_page", "51", "50"]);
    expect(with_query("page=x"), &["query parameter page", "number"]);
    expect(with_query("order=email"), &["query parameter order"]);
    expect(with_query("page=1&page=2"), &["more than once"]);
    expect(with_query("cursor=1"), &["query parameter cursor", "not documented"]);
    let wrong_id = complaints(&contract, &put, |exchange| exchange.path.push('X'));
    expect(wrong_id, &["path parameter member_id"]);
    let unknown = complaints(&contract, &list, |exchange| exchange.path = "/client/v4/zoos".into());
    expect(unknown, &["no such path"]);
    let with_body = |body: &Value| complaints(&contract, &put, |exchange| exchange.request_body = bytes(body));
    expect(with_body(&json!({})), &["request body", "policies", "roles"]);
    expect(with_body(&json!({ "policies": [] })), &["request body", "/policies"]);
    let mut echoed = body.clone();
    echoed["policies"][0]["resource_groups"][0]["name"] = json!("echoed");
    expect(with_body(&echoed), &["/policies/0/resource_groups/0", "name"]);
    let mut reused = body;
    reused["policies"][0]["id"] = json!(UNKNOWN);
    expect(with_body(&reused), &["/policies/0/id", "read-only"]);
    let no_type = complaints(&contract, &put, |exchange| exchange.request_headers.clear());
    expect(no_type, &["request", "content type"]);

    let mut answer = list.response_json();
    answer["result"][3]["status"] = json!("gone");
    answer["result"][4]["id"] = Value::Null;
    let wrong = complaints(&contract, &list, |exchange| exchange.response_body = bytes(&answer));
    expect(wrong, &["response body: at /result/3/status", "response body: at /result/4/id"]);
    let truncated = complaints(&contract, &list, |exchange| exchange.response_body = bytes(&answer).slice(..40));
    expect(truncated, &["response body", "not JSON"]);
    let status = complaints(&contract, &list, |exchange| exchange.status = Some(204));
    expect(status, &["status 204 is not documented"]);
    assert_eq!(contract.operation_id(&put), Some("account-members-update-member"));
}
