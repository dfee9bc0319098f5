//! `GET /v1/scoped-roles/{id}` and `GET /v1/resources/{key}/access`: what a role reaches, and who can do what on something.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use sim::cloudflare::{Oddity, PolicySpec, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane};
use crate::looks::assert_is_problem;

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_else(|| panic!("{field} in {item}"))
}

#[tokio::test(start_paused = true)]
async fn a_scoped_role_tells_all_that_it_reaches_and_a_zone_who_can_do_what_on_it() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let (zone, other) = (cloudflare.add_domain("pay.example"), cloudflare.add_domain("zoo.example"));
    let on = cloudflare.add_scope("rg-3f2a", &[&zone, &other]);
    let every = cloudflare.add_scope("all", &["com.cloudflare.api.account.zone.*"]);
    let elsewhere = cloudflare.add_scope("rg-9", &[&other]);
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let people: Vec<_> = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted").collect();
    let [direct, wide, without, in_group] = [0, 1, 2, 3].map(|place| people[place].clone());
    cloudflare.set_policies(&direct.id, vec![PolicySpec::allow(dns.id.clone(), on.clone())]);
    cloudflare.set_policies(&wide.id, vec![PolicySpec::allow(dns.id.clone(), every)]);
    cloudflare.set_policies(&without.id, vec![PolicySpec::allow(dns.id.clone(), elsewhere)]);
    cloudflare.set_policies(&in_group.id, vec![]);
    let group = cloudflare.truth().groups.keys().next().unwrap().clone();
    cloudflare.set_group_policies(&group, vec![PolicySpec::allow(dns.id.clone(), on.clone())]);
    cloudflare.join_group(&group, &in_group.id);
    let policy = |group: &str, on: &str| serde_json::json!([{ "id": "a".repeat(32), "effect": "allow", "resources": { on: "*" }, "permission_groups": [{ "id": "b".repeat(32), "name": group }] }]);
    let token = cloudflare.add_token(
        "deploy",
        Some(&direct.email),
        &serde_json::json!({ "policies": policy("DNS Write", &zone) }),
    );
    cloudflare.add_token("elsewhere", None, &serde_json::json!({ "policies": policy("DNS Write", &other) }));
    cloudflare.add_token(
        "off",
        None,
        &serde_json::json!({ "status": "disabled", "policies": policy("DNS Write", &zone) }),
    );
    let deployment = deployment.synced().await;

    let told = deployment.json(&format!("/v1/tokens/{token}")).await;
    assert_eq!((text(&told, "creator"), text(&told, "creator_email")), ("member", direct.email.as_str()));
    assert_eq!(text(&told, "creator_id"), format!("user:{}", direct.user_id.clone().unwrap()));
    assert_eq!(told["access"], serde_json::json!(["DNS Write on pay.example"]));
    assert_eq!(told["policies"][0]["scope"][0]["told"], "pay.example");
    let listed = deployment.list("/v1/tokens", 2).await;
    assert!(
        listed.iter().any(|one| text(one, "id") == token && one["permission_groups"][0] == "DNS Write"),
        "{listed:#?}"
    );
    assert_eq!(listed.iter().filter(|one| one["is_connector"] == true).count(), 1);

    let role = deployment.json(&format!("/v1/scoped-roles/{}-{on}", dns.id)).await;
    assert_eq!(
        (text(&role, "name"), text(&role, "reach")),
        ("Domain DNS on pay.example and 1 more", "pay.example and 1 more")
    );
    let objects: BTreeSet<(&str, &str, &str)> = role["scope"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| (text(object, "key"), text(object, "kind"), text(object, "told")))
        .collect();
    assert_eq!(
        objects,
        BTreeSet::from([(zone.as_str(), "zone", "pay.example"), (other.as_str(), "zone", "zoo.example")])
    );
    assert_eq!(role["unlisted"], 0);

    for named in [zone.as_str(), "PAY.example"] {
        let all = deployment.list(&format!("/v1/resources/{named}/access"), 1000).await;
        assert_eq!(deployment.list(&format!("/v1/resources/{named}/access"), 3).await, all, "in pages");
        let on_zones: BTreeSet<(String, &str, &str)> = all
            .iter()
            .filter(|item| item["reach"] != "account")
            .map(|item| (text(item, "email").to_owned(), text(item, "reach"), text(item, "group_id")))
            .collect();
        for expected in [
            (direct.email.clone(), "object", ""),
            (wide.email.clone(), "every", ""),
            (in_group.email.clone(), "object", group.as_str()),
        ] {
            assert!(on_zones.contains(&expected), "{expected:?} in {on_zones:#?}");
        }
        assert!(
            !all.iter().any(|item| text(item, "email") == without.email && text(item, "group_id").is_empty()),
            "{named}"
        );
        let by_token: Vec<(&str, &str)> = all
            .iter()
            .filter(|item| item["principal_type"] == "api_token" && item["reach"] != "account")
            .map(|item| (text(item, "display_name"), text(item, "role")))
            .collect();
        assert!(by_token.contains(&("deploy", "DNS Write")), "{by_token:?}");
        assert!(!by_token.iter().any(|(name, _)| ["elsewhere", "off"].contains(name)), "{by_token:?}");
        assert!(all.iter().any(|item| item["reach"] == "account"), "who holds a role on the whole account");
    }
    for (path, status, code) in [
        (format!("/v1/scoped-roles/{}-{}", dns.id, "f".repeat(32)), 404, "not_found"),
        ("/v1/resources/nothing.example/access".to_owned(), 404, "not_found"),
        ("/v1/scoped-roles/x".to_owned(), 400, "invalid_request"),
    ] {
        let answer = deployment.get(&path).await;
        assert_eq!((answer.status, assert_is_problem(&answer, &path).as_str()), (status, code));
    }
}

/// On a domain that no role names by itself there are the roles on every domain and on the whole account all the same.
#[tokio::test(start_paused = true)]
async fn who_can_do_what_on_a_domain_that_no_role_names_is_told_by_its_key() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let zone = cloudflare.add_domain("pay.example");
    let every = cloudflare.add_scope("all", &["com.cloudflare.api.account.zone.*"]);
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let wide = cloudflare.memberships().into_iter().find(|one| one.status == "accepted").unwrap();
    cloudflare.set_policies(&wide.id, vec![PolicySpec::allow(dns.id, every)]);
    let deployment = deployment.synced().await;
    let refused = deployment.get("/v1/resources/pay.example/access").await;
    assert_eq!((refused.status, assert_is_problem(&refused, "by name").as_str()), (404, "not_found"));
    let says = "by itself; ask by its key, such as com.cloudflare.api.account.zone.";
    assert!(refused.text().contains(says), "{}", refused.text());
    let all = deployment.list(&format!("/v1/resources/{zone}/access"), 1000).await;
    assert!(all.iter().any(|item| text(item, "email") == wide.email && text(item, "reach") == "every"), "{all:#?}");
}

/// Reviewers, people who ask for access, and programs read the same words wherever they look.
#[tokio::test(start_paused = true)]
async fn a_scoped_role_has_the_same_words_on_every_path() {
    const WORDS: &str = "Domain DNS on pay.example";
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let on = cloudflare.add_scope("rg-3f2a", &[&cloudflare.add_domain("pay.example")]);
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let somebody = cloudflare.add_member("joe@example.com", vec![PolicySpec::allow(dns.id.clone(), on.clone())]);
    let deployment = &jane.deployment;
    deployment.sync().await;

    let id = format!("scoped_role:{}-{on}:member", dns.id);
    let rest = deployment.json(&format!("/v1/scoped-roles/{}-{on}", dns.id)).await;
    assert_eq!(text(&rest, "name"), WORDS);
    let group = deployment.json(&format!("/scim/v2/Groups/scoped_role-{}-{on}", dns.id)).await;
    assert_eq!(text(&group, "displayName"), WORDS);
    let csv = deployment.get("/v1/export/grants.csv").await.text();
    assert!(csv.lines().any(|line| line.contains("joe@example.com") && line.contains(WORDS)), "{csv}");
    let file = deployment.get("/v1/export/sync.c1z").await;
    let database = zstd::stream::decode_all(&file.body[5..]).unwrap();
    assert!(database.windows(WORDS.len()).any(|part| part == WORDS.as_bytes()));
    // What an entitlement is called and what is said of it, for each kind of what can be granted.
    let offers = deployment.json("/v1/entitlements?page_size=500").await;
    let database = String::from_utf8_lossy(&database);
    let by_settings = include_str!("../../../c1/baton-http.yaml");
    let by_program = include_str!("../../../c1/connector/connector.ts");
    for kind in ["scoped_role", "role", "group"] {
        let offer = offers["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["resource_type"] == kind && (kind != "scoped_role" || it["id"] == id.as_str()));
        let offer = offer.unwrap_or_else(|| panic!("{kind}: {offers}"));
        let title = text(offer, "display_name");
        let name = title.strip_suffix(" Role").unwrap_or(title).strip_suffix(" Member").unwrap();
        for words in [title, text(offer, "description")] {
            assert!(database.contains(words), "{kind}: {words}");
            let (before, after) = words.split_once(name).unwrap();
            let before_name = if before.is_empty() { String::new() } else { format!("\"{before}\" + ") };
            let setting = format!("'cel:{before_name}resource.display_name + \"{after}\"'");
            assert!(by_settings.contains(&setting), "{kind}: {setting}");
            let template = format!("`{before}${{name}}{after}`");
            assert!(by_program.contains(&template), "{kind}: {template}");
        }
    }
    let said = format!("Has the role {WORDS} in Cloudflare");
    assert!(csv.contains(&said), "{csv}");
    // SCIM has a name for a group, and nothing beside.
    assert_eq!(group["description"], Value::Null);
    // A person who looks at the task, and one who asks what it would come to.
    let entitlement = Entitlement::new(&id, &format!("{WORDS} Member Role"));
    let task = deployment.c1.task(&Task::grant(entitlement, Person::member(EMAIL, &jane.user, &jane.member)));
    let told = deployment.send_as(&task, "1").await.text();
    assert!(told.contains(&format!("Granted {WORDS} to ")), "{told}");
    let would = deployment.json(&format!("/v1/what-if?principal=joe@example.com&revoke={id}")).await;
    assert_eq!(text(&would, "entitlement"), WORDS);
    // Somebody else takes it away, by hand.
    deployment.sync().await;
    cloudflare.set_policies(&somebody, vec![]);
    deployment.sync().await;
    deployment.wait(Duration::from_mins(30)).await;
    let history = deployment.json(&format!("/v1/history?entitlement={id}")).await.to_string();
    assert!(history.contains("lost"), "{history}");
}

#[tokio::test(start_paused = true)]
async fn who_may_reach_what_is_not_listed_is_told_with_perhaps_and_what_is_denied_with_not() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let zones: Vec<String> = (0..520).map(|n| cloudflare.add_domain(&format!("zone{n}.example"))).collect();
    let all: Vec<&str> = zones.iter().map(String::as_str).collect();
    let many = cloudflare.add_scope("many", &all);
    let one = cloudflare.add_scope("one", &[&zones[0]]);
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let people: Vec<_> = cloudflare.memberships().into_iter().filter(|one| one.status == "accepted").collect();
    let [wide, narrow, denied] = [0, 1, 2].map(|place| people[place].clone());
    cloudflare.set_policies(&wide.id, vec![PolicySpec::allow(dns.id.clone(), many.clone())]);
    cloudflare.set_policies(&narrow.id, vec![PolicySpec::allow(dns.id.clone(), one.clone())]);
    let deny = PolicySpec { access: sim::cloudflare::Access::Deny, ..PolicySpec::allow(dns.id.clone(), one.clone()) };
    cloudflare.set_policies(&denied.id, vec![deny]);
    let resources: serde_json::Map<String, Value> =
        (0..1_050).map(|n| (format!("com.cloudflare.api.account.zone.{n:032x}"), "*".into())).collect();
    let policy = serde_json::json!([{ "id": "a".repeat(32), "effect": "allow", "resources": resources, "permission_groups": [{ "id": "b".repeat(32), "name": "DNS Write" }] }]);
    cloudflare.add_token("many", None, &serde_json::json!({ "policies": policy }));
    // One of which it is not told what it is for, and one that is for something else.
    for (name, resources) in [("part", Value::Null), ("other", serde_json::json!({ (&zones[0]): "*" }))] {
        let policy = serde_json::json!([{ "id": "c".repeat(32), "effect": "allow", "resources": resources, "permission_groups": [{ "id": "b".repeat(32), "name": "DNS Write" }] }]);
        cloudflare.add_token(name, None, &serde_json::json!({ "policies": policy }));
    }
    let deployment = deployment.synced().await;

    let role = deployment.json(&format!("/v1/scoped-roles/{}-{many}", dns.id)).await;
    assert_eq!(role["unlisted"], 20);
    let listed: BTreeSet<&str> = role["scope"].as_array().unwrap().iter().map(|object| text(object, "key")).collect();
    let beyond = zones[1..].iter().find(|zone| !listed.contains(zone.as_str())).unwrap();
    let within = zones[1..].iter().find(|zone| listed.contains(zone.as_str())).unwrap();
    // Who, by what and how far, other than by what reaches the whole account.
    let told = async |zone: &str| -> BTreeSet<(String, String, String)> {
        let all = deployment.list(&format!("/v1/resources/{zone}/access"), 1000).await;
        let of = |item: &Value, field: &str| text(item, field).to_owned();
        let told = all.iter().filter(|item| item["reach"] != "account");
        told.map(|item| (of(item, "display_name") + &of(item, "email"), of(item, "role"), of(item, "reach"))).collect()
    };
    let has = |told: &BTreeSet<(String, String, String)>, email: &str, role: &str, reach: &str| {
        told.iter().any(|it| it.0.ends_with(email) && it.1.starts_with(role) && it.2 == reach)
    };
    let (inside, outside, first) = (told(within).await, told(beyond).await, told(&zones[0]).await);
    assert!(has(&inside, &wide.email, "Domain DNS", "object"), "{inside:#?}");
    assert!(has(&outside, &wide.email, "Domain DNS", "perhaps"), "{outside:#?}");
    for (name, is_told) in [("many", true), ("part", true), ("other", false)] {
        assert_eq!(has(&outside, name, "DNS Write", "perhaps"), is_told, "{name} in {outside:#?}");
    }
    assert!(has(&first, &narrow.email, "Domain DNS on zone0.example", "object"), "{} in {first:#?}", narrow.email);
    let on_one = |email: &str| outside.iter().any(|it| it.0.ends_with(email) && it.1.ends_with("on zone0.example"));
    assert!(!on_one(&narrow.email), "{outside:#?}");
    assert!(has(&first, &denied.email, "not Domain DNS", "object"), "{first:#?}");
    assert!(!on_one(&denied.email), "{outside:#?}");
    let file = deployment.get("/v1/export/sync.c1z").await;
    let database = zstd::stream::decode_all(&file.body[5..]).unwrap();
    assert!(
        database.windows(12).any(|part| part == b"and 20 more,")
            || database.windows(11).any(|part| part == b"and 20 more")
    );
}

/// Allowed, denied, and a word that this version does not know: three things, of tokens, of people and by user groups.
#[tokio::test(start_paused = true)]
async fn what_a_policy_of_an_unknown_kind_does_is_told_as_unknown_and_not_as_denied() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let zone = cloudflare.add_domain("odd.example");
    let scope = cloudflare.add_scope("odd", &[&zone]);
    let dns = cloudflare.permission_groups().into_iter().find(|group| group.name == "Domain DNS").unwrap();
    let holding = |email: &str| {
        let id = cloudflare.add_member(email, vec![PolicySpec::allow(dns.id.clone(), scope.clone())]);
        cloudflare.accept_invitation(&id);
        id
    };
    let [odd, _plain, member] = ["odd@example.com", "plain@example.com", "member@example.com"].map(holding);
    cloudflare.set_policies(&member, vec![]);
    let group = cloudflare.add_group("Odd ones", vec![PolicySpec::allow(dns.id.clone(), scope.clone())]);
    cloudflare.join_group(&group, &member);
    let unknown = Oddity::TextInPolicies("access", "perhaps");
    for (route, id) in [
        (Route::ListMembers, &odd),
        (Route::GetMember, &odd),
        (Route::ListUserGroups, &group),
        (Route::GetUserGroup, &group),
    ] {
        cloudflare.make_odd(route, id, unknown.clone());
    }
    for effect in ["allow", "deny", "perhaps"] {
        let policy = serde_json::json!([{ "id": "a".repeat(32), "effect": effect, "resources": { &zone: "*" }, "permission_groups": [{ "id": "b".repeat(32), "name": "DNS Write" }] }]);
        cloudflare.add_token(effect, None, &serde_json::json!({ "policies": policy }));
    }
    let deployment = deployment.synced().await;
    let all = deployment.list(&format!("/v1/resources/{zone}/access"), 1000).await;
    let told = |who: &str| -> Vec<(&str, bool)> {
        let theirs = all.iter().filter(|item| text(item, "email") == who || text(item, "display_name") == who);
        let theirs = theirs.filter(|item| text(item, "role").contains("DNS"));
        theirs.map(|item| (text(item, "role"), text(item, "entitlement_id").is_empty())).collect()
    };
    let role = "Domain DNS on odd.example";
    let unknown = format!("unknown: {role}");
    assert_eq!(told("odd@example.com"), [(unknown.as_str(), true)], "{all:#?}");
    assert_eq!(told("member@example.com"), [(unknown.as_str(), true)], "by a user group");
    assert_eq!(told("plain@example.com"), [(role, false)], "the control");
    for (token, role) in [("allow", "DNS Write"), ("deny", "not DNS Write"), ("perhaps", "unknown: DNS Write")] {
        assert_eq!(told(token), [(role, true)], "{token}");
    }
}

/// A role on something that nobody had there at the last sync is in no list of roles, and whoever has it since is told all the same.
#[tokio::test(start_paused = true)]
async fn who_was_given_a_role_that_no_sync_has_seen_is_told_at_once() {
    let jane = Jane::start().await;
    let (deployment, cloudflare) = (&jane.deployment, &jane.deployment.cloudflare);
    let (zone, _) = cloudflare.domain_resource_groups().remove(0);
    let groups = cloudflare.permission_groups();
    let [role, nobodys] = ["Domain DNS", "Domain Administrator"]
        .map(|name| groups.iter().find(|group| group.name == name).unwrap_or_else(|| panic!("{groups:?}")).id.clone());
    // An operation of ours meets what somebody else gave her.
    cloudflare.add_policy(&jane.member, PolicySpec::allow(role.clone(), zone.clone()));
    let granted = jane.call("PUT", &jane.lacks).await;
    assert_eq!(granted.status, 200, "{}", granted.text());
    let grants = deployment.list("/v1/grants", 1000).await;
    let id = format!("scoped_role:{role}-{zone}:member");
    assert!(grants.iter().any(|grant| text(grant, "entitlement_id") == id), "the control: {grants:#?}");

    let look = async |after_a_sync: bool| {
        for query in ["", "?missing=empty", "?principal_type=user"] {
            let told = deployment.json(&format!("/v1/scoped-roles/{role}-{zone}/members{query}")).await;
            let who: Vec<&str> = told["items"].as_array().unwrap().iter().map(|one| text(one, "user_id")).collect();
            assert_eq!(who, [jane.user.as_str()], "{query}");
        }
        let none = deployment.json(&format!("/v1/scoped-roles/{nobodys}-{zone}/members?missing=empty")).await;
        assert_eq!(none["items"], serde_json::json!([]));
        assert_eq!(deployment.get(&format!("/v1/scoped-roles/{nobodys}-{zone}/members")).await.status, 404);
        let object = format!("com.cloudflare.api.account.zone.{}", "e".repeat(32));
        let all = deployment.list(&format!("/v1/resources/{object}/access"), 1000).await;
        let hers: Vec<(&str, &str)> = all
            .iter()
            .filter(|item| text(item, "email") == EMAIL && text(item, "entitlement_id") == id)
            .map(|item| (text(item, "principal_id"), text(item, "reach")))
            .collect();
        let expected = [(jane.user.as_str(), if after_a_sync { "every" } else { "perhaps" })];
        assert_eq!(hers, expected, "{all:#?}");
        // A user group is no role on anything.
        assert!(all.iter().all(|item| !text(item, "entitlement_id").starts_with("group:")), "{all:#?}");
    };
    let group = deployment.json("/v1/groups").await["items"][0]["id"].as_str().unwrap().to_owned();
    let joined = deployment.request("PUT", &format!("/v1/groups/{group}/members/{}", jane.user), &[], None).await;
    assert_eq!(joined.status, 200, "{}", joined.text());
    look(false).await;
    deployment.sync().await;
    look(true).await;
}
