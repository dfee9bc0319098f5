//! The API's ways: pages and their caps, errors, and what a write does.

use std::time::Duration;

use crate::cloudflare_support::{Api, policy};
use serde_json::{Value, json};
use sim::cloudflare::{
    ADMINISTRATOR_READ_ONLY, Collation, Denial, OutOfRange, Permission, Route, SUPER_ADMINISTRATOR, ScopeShape, Spec,
};

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_keep_to_their_caps() {
    let api = Api::start(Spec { members: 120, groups: 3, tokens: 60, ..Spec::default() }).await;
    let cases = [
        ("/members", 20, 5, 50),
        ("/roles", 20, 5, 50),
        ("/iam/permission_groups", 20, 5, 50),
        ("/tokens", 20, 5, 50),
        ("/iam/user_groups", 100, 1, 500),
    ];
    for (path, default, min, max) in cases {
        for (query, effective) in [
            (String::new(), default),
            ("?per_page=0".to_owned(), min),
            (format!("?per_page={}", min - 1), min),
            (format!("?per_page={max}"), max),
            (format!("?per_page={}", max + 1), max),
            ("?per_page=many".to_owned(), default),
        ] {
            let answer = api.get(&format!("{path}{query}")).await.json();
            assert_eq!(answer["result_info"]["per_page"], effective, "{path}{query}");
            assert_eq!(answer["result_info"]["count"], answer["result"].as_array().unwrap().len(), "{path}{query}");
        }
        let beyond = api.get(&format!("{path}?page=9000")).await.json();
        assert_eq!(beyond["result"], json!([]), "{path}");
        api.cloudflare.configure(|behaviour| behaviour.out_of_range = OutOfRange::Refuse);
        assert_eq!(api.get(&format!("{path}?per_page={}", max + 1)).await.code(), (400, 1001), "{path}");
        assert_eq!(api.get(&format!("{path}?page=0")).await.code(), (400, 1001), "{path}");
        api.cloudflare.configure(|behaviour| behaviour.out_of_range = OutOfRange::Clamp);
    }
}

#[tokio::test]
async fn resource_groups_ignore_pages_and_permission_groups_may_have_no_result_info() {
    let api = Api::of(5).await;
    let all = api.get("/iam/resource_groups").await.json();
    assert!(all.get("result_info").is_none());
    assert_eq!(api.get("/iam/resource_groups?page=2&per_page=5").await.json()["result"], all["result"]);
    assert!(all["result"][0]["scope"].is_object());
    api.cloudflare.configure(|behaviour| {
        behaviour.permission_groups_result_info = false;
        behaviour.scope = ScopeShape::Mixed;
        behaviour.blank_end_of_life = true;
    });
    let groups = api.get("/iam/permission_groups").await.json();
    assert!(groups.get("result_info").is_none());
    assert_eq!(groups["result"][0]["meta"]["eol_at"], "");
    assert!(api.get("/iam/resource_groups").await.result()[0]["scope"].is_array());
    let groups = api.get("/iam/user_groups").await.result();
    assert!(groups[0]["policies"][0]["resource_groups"][0]["scope"].is_object());
}

#[tokio::test]
async fn members_are_ordered_and_filtered_with_an_unfiltered_total() {
    let api = Api::start(Spec { members: 45, pending_share: 0.4, ..Spec::default() }).await;
    let emails = |answer: &Value| -> Vec<String> {
        answer["result"].as_array().unwrap().iter().map(|member| member["email"].as_str().unwrap().into()).collect()
    };
    let ascending = emails(&api.get("/members?per_page=50&order=user.email&direction=asc").await.json());
    let mut sorted = ascending.clone();
    sorted.sort();
    assert_eq!(ascending, sorted);
    let mut descending = emails(&api.get("/members?per_page=50&order=user.email&direction=desc").await.json());
    descending.reverse();
    assert_eq!(descending, ascending);
    api.cloudflare.configure(|behaviour| behaviour.collation = Collation::CaseInsensitive);
    let collated = emails(&api.get("/members?per_page=50&order=user.email").await.json());
    assert_ne!(collated, ascending);
    let pending = api.get("/members?per_page=50&status=pending").await.json();
    assert_eq!(pending["result"].as_array().unwrap().len(), 18);
    assert_eq!(pending["result_info"]["total_count"], 45);
    assert_eq!(api.get("/members?status=rejected").await.json()["result"], json!([]));
    for bad in ["order=email", "direction=up", "status=gone"] {
        assert_eq!(api.get(&format!("/members?{bad}")).await.code(), (400, 1001), "{bad}");
    }
}

#[tokio::test]
async fn a_put_replaces_the_whole_set_and_issues_new_policy_ids() {
    let api = Api::of(30).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap();
    let (domain_group, domain) = api.domain_pair();
    let path = format!("/members/{member}");
    let policies =
        json!({ "policies": [policy("allow", &[&admin.id], &[&whole]), policy("deny", &[&domain_group], &[&domain])] });
    let first = api.put(&path, policies.clone()).await.result();
    assert_eq!(api.cloudflare.member_atoms(&member).len(), 2);
    assert_eq!(ids(&first["roles"]), [admin.role_id.clone().unwrap()]);
    let second = api.put(&path, policies).await.result();
    assert_ne!(ids(&first["policies"]), ids(&second["policies"]));
    assert_eq!(api.get(&path).await.result(), second);

    // The roles form drops the scoped policy and converts the rest.
    let scoped = json!({ "policies": [policy("allow", &[&domain_group], &[&domain])] });
    assert_eq!(ids(&api.put(&path, scoped).await.result()["roles"]), std::slice::from_ref(&domain_group));
    let both = json!([{ "id": ADMINISTRATOR_READ_ONLY }, { "id": domain_group }]);
    let roles = api.put(&path, json!({ "roles": both })).await.result();
    assert_eq!(ids(&roles["roles"]), [ADMINISTRATOR_READ_ONLY]);
    assert_eq!(roles["policies"].as_array().unwrap().len(), 1);

    // With both, policies win.
    let body = json!({ "policies": [policy("allow", &[&admin.id], &[&whole])],
                       "roles": [{ "id": SUPER_ADMINISTRATOR }] });
    assert_eq!(ids(&api.put(&path, body).await.result()["roles"]), [admin.role_id.unwrap()]);
}

#[tokio::test]
async fn a_bad_put_changes_nothing_and_says_why() {
    let api = Api::of(30).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let (domain_group, domain) = api.domain_pair();
    let unknown = "0123456789abcdef0123456789abcdef";
    let before = api.cloudflare.member_atoms(&member);
    let path = format!("/members/{member}");
    for (body, code) in [
        (json!({}), 400),
        (json!({ "policies": [] }), 400),
        (json!({ "policies": [policy("allow", &[&domain_group], &[&whole])] }), 1006),
        (json!({ "policies": [policy("allow", &[&admin], &[&domain])] }), 1006),
        (json!({ "policies": [policy("allow", &[&admin, &domain_group], &[&whole])] }), 1006),
        (json!({ "policies": [policy("permit", &[&admin], &[&whole])] }), 1001),
        (json!({ "policies": [policy("allow", &[], &[&whole])] }), 1001),
        (json!({ "policies": [policy("allow", &[unknown], &[&whole])] }), 1001),
        (json!({ "policies": [policy("allow", &[&admin], &[unknown])] }), 1001),
        (json!({ "roles": [] }), 1001),
        (json!({ "roles": [ADMINISTRATOR_READ_ONLY] }), 1001),
        (json!({ "roles": [{ "id": unknown }] }), 1001),
        (json!([]), 1001),
    ] {
        let answer = api.put(&path, body.clone()).await;
        assert_eq!(answer.code(), (400, code), "{body}");
        assert_eq!(answer.json()["success"], false);
        assert_eq!(api.cloudflare.member_atoms(&member), before, "{body}");
    }
    assert_eq!(api.put(&format!("/members/{unknown}"), json!({})).await.code(), (404, 1003));
    assert_eq!(api.get(&format!("/members/{unknown}")).await.code(), (404, 1003));
    assert_eq!(api.delete(&format!("/members/{unknown}")).await.code(), (404, 1003));
    api.cloudflare.configure(|behaviour| behaviour.accepts_empty_policies = true);
    assert_eq!(api.put(&path, json!({ "policies": [] })).await.status, 200);
    assert!(api.cloudflare.member_atoms(&member).is_empty());
}

#[tokio::test]
async fn an_invitation_from_being_sent_to_being_accepted_and_sent_again() {
    let api = Api::of(10).await;
    let whole = api.cloudflare.account_resource_group();
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let body = json!({ "email": "New.Person@example.com", "policies": [policy("allow", &[&admin], &[&whole])] });
    let invited = api.post("/members", body.clone()).await.result();
    assert!(invited.get("roles").is_none());
    assert_eq!(invited["status"], "pending");
    let id = invited["id"].as_str().unwrap().to_owned();
    assert!(api.cloudflare.truth().invitations.contains(&id));
    let again = json!({ "email": "new.person@EXAMPLE.com", "roles": [ADMINISTRATOR_READ_ONLY] });
    assert_eq!(api.post("/members", again.clone()).await.code(), (400, 1004));
    api.cloudflare.configure(|behaviour| behaviour.already_member_code = 1008);
    assert_eq!(api.post("/members", again).await.code(), (400, 1008));

    let stuck = api.cloudflare.invite("too.late@example.com", Vec::new());
    api.cloudflare.expire_invitation(&stuck);
    assert_eq!(api.cloudflare.accept_invitation(&stuck), None);
    assert_eq!(api.get(&format!("/members/{stuck}")).await.result()["status"], "pending");

    let user = api.cloudflare.accept_invitation(&id).unwrap();
    let accepted = api.get(&format!("/members/{id}")).await.result();
    assert_eq!((&accepted["status"], &accepted["user"]["id"]), (&json!("accepted"), &json!(user)));

    assert_eq!(api.delete(&format!("/members/{id}")).await.result(), json!({ "id": id }));
    let renewed = api.post("/members", body).await.result();
    assert_ne!(renewed["id"], json!(id));
    assert_eq!(renewed["user"]["id"], json!(user));
}

#[tokio::test]
async fn a_bad_invitation_is_refused() {
    let api = Api::of(10).await;
    let roles = json!([ADMINISTRATOR_READ_ONLY]);
    for (body, code) in [
        (json!({ "roles": roles }), 1001),
        (json!({ "email": "nobody", "roles": roles }), 1001),
        (json!({ "email": "a@b.example" }), 1001),
        (json!({ "email": "a@b.example", "roles": [{ "id": ADMINISTRATOR_READ_ONLY }] }), 1001),
        (json!({ "email": "a@b.example", "roles": ["0123456789abcdef0123456789abcdef"] }), 1001),
        (json!({ "email": "a@b.example", "roles": roles, "status": "accepted" }), 1001),
        (json!({ "email": "a@b.example", "policies": [] }), 400),
    ] {
        assert_eq!(api.post("/members", body.clone()).await.code(), (400, code), "{body}");
    }
    let good = json!({ "email": "a@b.example", "roles": roles });
    api.cloudflare.configure(|behaviour| behaviour.member_limit = Some(10));
    let full = api.post("/members", good.clone()).await;
    assert_eq!(full.code(), (400, 429));
    assert_eq!(full.json()["errors"][0]["message"], "add limit reached");
    api.cloudflare.configure(|behaviour| behaviour.member_limit = None);
    let added = api.post("/members", good).await.result();
    assert_eq!(ids(&added["roles"]), [ADMINISTRATOR_READ_ONLY]);
}

#[tokio::test]
async fn user_groups_have_their_own_ways() {
    let api = Api::of(30).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let body = json!({ "name": "Nachtschicht", "policies": [policy("allow", &[&admin], &[&whole])] });
    api.cloudflare.configure(|behaviour| behaviour.new_group_lag = Duration::from_hours(1));
    let group = api.post("/iam/user_groups", body.clone()).await.result();
    let made = tokio::time::Instant::now();
    let path = format!("/iam/user_groups/{}", group["id"].as_str().unwrap());
    let members = format!("{path}/members");
    assert_eq!(api.post("/iam/user_groups", body).await.code(), (400, 400), "the name is taken");
    assert_eq!(api.get(&members).await.code(), (404, 404), "too fresh");
    api.cloudflare.configure(|behaviour| behaviour.new_group_lag = made.elapsed());
    assert_eq!(api.get(&members).await.result(), json!([]));

    let mut reused = policy("allow", &[&admin], &[&whole]);
    reused["id"] = group["policies"][0]["id"].clone();
    for bad in [reused, policy("deny", &[&admin], &[&whole])] {
        assert_eq!(api.put(&path, json!({ "policies": [bad] })).await.code(), (400, 400));
    }
    let good = json!({ "policies": [policy("allow", &[&admin], &[&whole])] });
    assert_ne!(ids(&api.put(&path, good).await.result()["policies"]), ids(&group["policies"]));

    for _ in 0..2 {
        let added = api.post(&members, json!([{ "id": member }])).await.result();
        assert_eq!(ids(&added), std::slice::from_ref(&member));
    }
    assert_eq!(api.get(&format!("{members}/{member}")).await.result()["id"], json!(member));
    let principal = format!("user:{}", api.cloudflare.membership(&member).unwrap().user_id.unwrap());
    let grant = format!("group:{}:member:{principal}", group["id"].as_str().unwrap());
    assert!(api.cloudflare.truth().grants.contains(&grant));
    assert_eq!(api.put(&members, json!([])).await.result(), Value::Null);
    assert_eq!(api.delete(&format!("{members}/{member}")).await.code(), (404, 404));
    let unknown = json!([{ "id": "0123456789abcdef0123456789abcdef" }]);
    assert_eq!(api.post(&members, unknown).await.code(), (400, 400));
    api.cloudflare.without_dsr(&member);
    let without_dsr = api.post(&members, json!([{ "id": member }])).await;
    assert!(without_dsr.text.contains("do not have DSR enabled"), "{}", without_dsr.text);
    api.cloudflare.break_group(group["id"].as_str().unwrap(), true);
    assert_eq!(api.get(&members).await.code(), (400, 400));
    assert_eq!(api.delete(&path).await.status, 200);
    assert_eq!(api.get(&path).await.code(), (404, 404));
}

#[tokio::test]
async fn inherited_policies_are_listed_when_asked_for() {
    let api = Api::of(20).await;
    let (member, whole) = (api.somebody(), api.cloudflare.account_resource_group());
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let group = api.cloudflare.add_group("Inheritors", vec![sim::cloudflare::PolicySpec::allow(admin.clone(), whole)]);
    api.cloudflare.join_group(&group, &member);
    let path = format!("/members/{member}");
    let own = api.get(&path).await.result();
    api.cloudflare.configure(|behaviour| behaviour.lists_inherited_policies = true);
    let all = api.get(&path).await.result();
    let given = api.get(&format!("/iam/user_groups/{group}")).await.result();
    let inherited = given["policies"][0]["id"].as_str().unwrap().to_owned();
    assert!(!ids(&own["policies"]).contains(&inherited));
    assert!(ids(&all["policies"]).contains(&inherited));
    // The list, and the answer to a write, do so by a switch of their own.
    let whole = api.cloudflare.account_resource_group();
    let body = json!({ "policies": [policy("allow", &[&admin], &[&whole])] });
    for everywhere in [false, true] {
        api.cloudflare.configure(|behaviour| behaviour.lists_inherited_policies_everywhere = everywhere);
        let listed = api.all("/members", 50).await.into_iter().find(|one| one["id"] == member.as_str()).unwrap();
        let written = api.put(&path, body.clone()).await.result();
        for shown in [listed, written] {
            assert_eq!(ids(&shown["policies"]).contains(&inherited), everywhere, "{shown}");
        }
    }
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let api = Api::of(5).await;
    let account = format!("/accounts/{}/members", api.cloudflare.account_id());
    let stranger = format!("Bearer cfat_{}", "x".repeat(48));
    for (authorization, code) in [
        (None, (400, 6003)),
        (Some("Bearer short"), (400, 6003)),
        (Some("Basic Zm9vOmJhcg=="), (400, 6003)),
        (Some(stranger.as_str()), (401, 10_000)),
    ] {
        let answer = api.raw("GET", &account, authorization, None).await.unwrap();
        assert_eq!(answer.code(), code, "{authorization:?}");
        if code.1 == 6003 {
            assert_eq!(answer.json()["errors"][0]["error_chain"][0]["code"], 6111);
        }
    }
    let token = format!("Bearer {}", api.cloudflare.token());
    for (method, path, code) in [
        ("GET", "/accounts/nonsense/members", (404, 7003)),
        ("GET", "/accounts/0123456789abcdef0123456789abcdef/members", (403, 9109)),
        ("GET", "/no/such/route", (404, 7003)),
        ("PATCH", account.as_str(), (405, 10_405)),
        ("DELETE", &format!("{account}/"), (405, 10_405)),
        ("GET", &format!("{account}/ABC"), (404, 7003)),
    ] {
        assert_eq!(api.raw(method, path, Some(&token), None).await.unwrap().code(), code, "{method} {path}");
    }
    assert_eq!(api.raw("GET", &format!("{account}/"), Some(&token), None).await.unwrap().status, 200);
    assert_eq!(api.cloudflare.unexpected().len(), 3);
    api.cloudflare.revoke_permission(Permission::UserGroups);
    assert_eq!(api.get("/iam/user_groups").await.code(), (403, 9109));
    assert_eq!(api.get("/members").await.status, 200);
    api.cloudflare.revoke_permission(Permission::Write);
    api.cloudflare.configure(|behaviour| behaviour.missing_permission = Denial::AuthenticationError);
    assert_eq!(api.delete(&format!("/members/{}", api.somebody())).await.code(), (403, 10_000));
    api.cloudflare.set_token_status("disabled");
    assert_eq!(api.get("/members").await.code(), (401, 10_000));
}

#[tokio::test]
async fn each_kind_of_token_is_verified_on_its_own_route() {
    let api = Api::of(5).await;
    let account = format!("/accounts/{}/tokens/verify", api.cloudflare.account_id());
    let of_account = format!("Bearer {}", api.cloudflare.token());
    let of_user = format!("Bearer {}", api.cloudflare.user_token());
    for (path, authorization, expected) in [
        (account.as_str(), Some(of_account.as_str()), Ok("active")),
        ("/user/tokens/verify", Some(of_user.as_str()), Ok("active")),
        ("/user/tokens/verify", Some(of_account.as_str()), Err((401, 1000))),
        (account.as_str(), Some(of_user.as_str()), Err((401, 1000))),
        (account.as_str(), None, Err((400, 1001))),
        ("/user", Some(of_account.as_str()), Err((403, 9109))),
    ] {
        let answer = api.raw("GET", path, authorization, None).await.unwrap();
        match expected {
            Ok(status) => {
                assert_eq!(answer.result()["status"], status);
                assert_eq!(answer.json()["messages"][0]["code"], 10_000);
            }
            Err(code) => assert_eq!(answer.code(), code, "{path}"),
        }
    }
    let user = api.raw("GET", "/user", Some(&of_user), None).await.unwrap().result();
    assert!(api.cloudflare.truth().users.contains(user["id"].as_str().unwrap()));
    api.cloudflare.set_token_status("expired");
    assert_eq!(api.raw("GET", &account, Some(&of_account), None).await.unwrap().result()["status"], "expired");
}

#[tokio::test]
async fn tokens_may_be_hidden_and_the_roles_api_may_be_gone() {
    let api = Api::of(5).await;
    assert_eq!(api.get("/tokens").await.json()["result_info"]["total_count"], 6);
    api.cloudflare.configure(|behaviour| behaviour.hides_expired_tokens = true);
    assert_eq!(api.get("/tokens").await.json()["result_info"]["total_count"], 5);
    assert_eq!(api.get("/tokens?include_expired=true").await.json()["result_info"]["total_count"], 6);
    api.cloudflare.configure(|behaviour| {
        behaviour.lists_own_token_only = true;
        behaviour.roles_api_gone = true;
        behaviour.extra_fields = true;
    });
    assert_eq!(ids(&api.get("/tokens").await.result()), [api.cloudflare.token_id()]);
    assert_eq!(api.get("/roles").await.code(), (404, 7003));
    let member = api.get("/members").await.result()[0].clone();
    assert!(member.get("roles").is_none() && member.get("x_experiment").is_some());
}

#[tokio::test]
async fn scim_finds_a_user_by_address() {
    let api = Api::of(20).await;
    let member = api.cloudflare.membership(&api.somebody()).unwrap();
    let filter = format!("userName eq \"{}\"", member.email.to_uppercase());
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("filter", &filter).finish();
    let found = api.get(&format!("/scim/v2/Users?{query}")).await;
    assert_eq!(found.header("content-type"), Some("application/scim+json"));
    assert_eq!(found.json()["totalResults"], 1);
    assert_eq!(found.json()["Resources"][0]["id"], json!(member.user_id));
    assert_eq!(api.get("/scim/v2/Users?count=3&startIndex=2").await.json()["itemsPerPage"], 3);
    assert_eq!(api.get("/scim/v2/Users?filter=name%20sw%20x").await.status, 400);
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what() {
    let api = Api::of(10).await;
    let member = api.somebody();
    let whole = api.cloudflare.account_resource_group();
    let admin = api.cloudflare.permission_group("admin").unwrap().id;
    let path = format!("/members/{member}");
    api.put(&path, json!({ "policies": [policy("allow", &[&admin], &[&whole])] })).await.result();
    api.put(&path, json!({})).await;
    api.cloudflare.add_policy(&member, sim::cloudflare::PolicySpec::allow(admin, whole));
    let span = "since=2020-01-01&before=2100-01-01T00:00:00Z";
    let entries = api.get(&format!("/logs/audit?{span}&resource_id={member}&direction=asc")).await;
    let entries = entries.json();
    assert_eq!(entries["result_info"]["count"], "2", "refused writes are not logged");
    assert_eq!(entries["result"][0]["actor"]["token_id"], json!(api.cloudflare.token_id()));
    assert_eq!(entries["result"][1]["actor"]["context"], "dash");
    let foreign = format!("/logs/audit?{span}&actor_token_id.not={}", api.cloudflare.token_id());
    assert_eq!(api.get(&foreign).await.result().as_array().unwrap().len(), 1);
    let first = api.get(&format!("/logs/audit?{span}&limit=1")).await.json();
    let cursor = first["result_info"]["cursor"].as_str().unwrap().to_owned();
    let last = api.get(&format!("/logs/audit?{span}&limit=1&cursor={cursor}")).await.json();
    assert!(last["result_info"].get("cursor").is_none());
    assert_ne!(first["result"][0]["id"], last["result"][0]["id"]);
    assert_eq!(api.get("/logs/audit").await.code(), (400, 1001));
    assert_eq!(api.cloudflare.requests(Route::ListAuditLogs), 5);
}
