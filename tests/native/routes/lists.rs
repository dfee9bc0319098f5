//! `GET /v1/users | invitations | roles | …`: pages, and what is told of each.

use std::collections::{BTreeMap, BTreeSet};

use c1_cloudflare::base::ports::Sql as _;
use c1_cloudflare::snapshot::{self, Catalogue};
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::looks::{assert_is_account, assert_is_problem, holds, roles, snapshot as listed};

const LISTS: [&str; 8] =
    ["users", "invitations", "roles", "scoped-roles", "groups", "tokens", "entitlements", "grants"];

#[tokio::test(start_paused = true)]
async fn every_list_is_the_same_in_pages_of_any_size() {
    let deployment = Deployment::start().await;
    let role = roles(&deployment.cloudflare)[0].clone();
    for email in ["new.hire@example.com", "newer.hire@example.com"] {
        deployment.cloudflare.invite(email, vec![holds(&deployment.cloudflare, &role)]);
    }
    let deployment = deployment.synced().await;
    for list in LISTS {
        let path = format!("/v1/{list}");
        let whole = deployment.list(&path, 1000).await;
        assert!(!whole.is_empty(), "{list}");
        for limit in [1, 3, whole.len().max(1)] {
            assert_eq!(deployment.list(&path, limit).await, whole, "{list} in pages of {limit}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_takes_one_read_of_kv_where_what_never_changes_was_read_before() {
    let deployment = Deployment::start().await.synced().await;
    let read = async |path: &str| {
        deployment.world().desk.gets.borrow_mut().clear();
        let page = deployment.json(path).await;
        (page, deployment.world().desk.gets.take().len())
    };
    let (first, cold) = read("/v1/users?limit=3").await;
    let (again, warm) = read("/v1/users?limit=3").await;
    assert_eq!((first == again, cold, warm), (true, 3, 1));
    let next = format!("/v1/users?limit=3&cursor={}", first["next_cursor"].as_str().unwrap());
    let (second, warm) = read(&next).await;
    assert_eq!((second == first, warm), (false, 1));

    // What is published since is shown all the same, and a cursor goes on with what it began with.
    let member = first["items"][0]["member_id"].as_str().unwrap().to_owned();
    deployment.cloudflare.rename(&member, Some("Renamed"), None);
    deployment.sync().await;
    let (renamed, _) = read("/v1/users?limit=3").await;
    assert_eq!(renamed["items"][0]["first_name"], "Renamed", "{renamed}");
    assert_eq!(read(&next).await, (second, 1));
}

#[tokio::test(start_paused = true)]
async fn holders_people_and_entitlements_agree_with_the_grants() {
    let deployment = Deployment::start().await.synced().await;
    let truth = deployment.cloudflare.truth();
    let mut seen = 0;
    for (collection, kind, ids) in [
        ("roles", "role", truth.roles.keys().collect::<Vec<_>>()),
        ("scoped-roles", "scoped_role", truth.scoped_roles.iter().collect()),
        ("groups", "group", truth.groups.keys().collect()),
    ] {
        for id in ids {
            let holders = deployment.list(&format!("/v1/{collection}/{id}/members"), 2).await;
            let mut grants: Vec<_> = holders.iter().map(|holder| holder["grant_id"].as_str().unwrap()).collect();
            grants.sort_unstable();
            let prefix = format!("{kind}:{id}:member:");
            let expected: Vec<_> = truth.grants.iter().filter(|grant| grant.starts_with(&prefix)).collect();
            assert_eq!(grants, expected, "{collection}/{id}");
            seen += grants.len();
        }
    }
    assert_eq!(seen, truth.grants.len());
    for user in &truth.users {
        let person = deployment.json(&format!("/v1/users/{user}")).await;
        let held = person["entitlements"].as_array().unwrap().iter();
        let grants: Vec<String> = held.map(|id| format!("{}:user:{user}", id.as_str().unwrap())).collect();
        let suffix = format!(":user:{user}");
        assert_eq!(grants.len(), truth.grants.iter().filter(|grant| grant.ends_with(&suffix)).count());
        assert!(grants.iter().all(|grant| truth.grants.contains(grant)), "{person}");
    }
    let offered = deployment.list("/v1/entitlements", 1000).await;
    assert_eq!(offered.len(), truth.roles.len() + truth.scoped_roles.len() + truth.groups.len());
    let nobody = "f".repeat(32);
    for path in [format!("/v1/users/{nobody}"), format!("/v1/roles/{nobody}/members")] {
        let answer = deployment.get(&path).await;
        assert_eq!((answer.status, assert_is_problem(&answer, &path).as_str()), (404, "not_found"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_be_granted_is_the_same_in_the_catalogue_the_rest_lists_and_the_scim_groups() {
    let deployment = Deployment::start().await.synced().await;
    let snapshot = snapshot::latest(deployment.world()).await.unwrap().unwrap();
    let catalogue = Catalogue::load(deployment.world(), &snapshot).await.unwrap();
    let expected: BTreeMap<String, String> =
        catalogue.iter().map(|it| (it.entitlement.resource(), it.name.clone())).collect();
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_else(|| panic!("{name} of {item}")).to_owned();
    let mut resources = BTreeMap::new();
    for (list, kind) in [("roles", "role"), ("scoped-roles", "scoped_role"), ("groups", "group")] {
        let items = deployment.list(&format!("/v1/{list}"), 1000).await;
        resources.extend(items.iter().map(|item| (format!("{kind}:{}", text(item, "id")), text(item, "name"))));
    }
    assert_eq!(resources, expected, "resources");
    let items = deployment.list("/v1/entitlements", 1000).await;
    let ids: BTreeSet<String> = items.iter().map(|item| text(item, "id")).collect();
    assert_eq!(ids, catalogue.iter().map(|it| it.entitlement.to_string()).collect(), "entitlements");
    let groups = deployment.json("/scim/v2/Groups?count=1000").await;
    let groups = groups["Resources"].as_array().unwrap().iter();
    let groups: BTreeMap<String, String> =
        groups.map(|item| (text(item, "id").replacen('-', ":", 1), text(item, "displayName"))).collect();
    assert_eq!(groups, expected, "SCIM's groups");
}

#[tokio::test(start_paused = true)]
async fn a_person_is_told_in_full() {
    let deployment = Deployment::start().await;
    let cloudflare = &deployment.cloudflare;
    let role = roles(cloudflare)[0].clone();
    let jane = cloudflare.add_member("jane.doe@example.com", vec![holds(cloudflare, &role)]);
    cloudflare.rename(&jane, Some("Zoë"), Some("O'Brien 李"));
    let joe = cloudflare.invite("joe.soap@example.com", vec![holds(cloudflare, &role)]);
    let deployment = deployment.synced().await;
    let user = deployment.cloudflare.membership(&jane).unwrap().user_id.unwrap();

    let person = deployment.json(&format!("/v1/users/{user}")).await;
    for (field, value) in [
        ("id", json!(user)),
        ("resource_type", json!("user")),
        ("member_id", json!(jane)),
        ("cloudflare_user_id", json!(user)),
        ("email", json!("jane.doe@example.com")),
        ("display_name", json!("Zoë O'Brien 李")),
        ("status", json!("accepted")),
        ("active", json!(true)),
        ("entitlements", json!([format!("role:{}:member", role.governed_as())])),
    ] {
        assert_eq!(person[field], value, "{field}");
    }
    let invitation = deployment.json(&format!("/v1/invitations/{joe}")).await;
    assert_eq!((&invitation["status"], &invitation["active"]), (&json!("pending"), &json!(false)));
    assert_eq!(invitation["entitlements"], json!([format!("role:{}:member", role.governed_as())]));
    let holders = deployment.list(&format!("/v1/roles/{}/members", role.governed_as()), 100).await;
    let only = deployment.json(&format!("/v1/roles/{}/members?principal_type=invitation", role.governed_as())).await;
    let invited = |holder: &&Value| holder["principal_type"] == "invitation";
    assert_eq!(only["items"].as_array().unwrap().len(), holders.iter().filter(invited).count());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_has_a_tag_and_who_has_it_is_told_so() {
    let deployment = Deployment::start().await.synced().await;
    let user = deployment.cloudflare.truth().users.into_iter().next().unwrap();
    let paths = ["/v1/users".to_owned(), "/v1/grants?limit=2".to_owned(), format!("/v1/users/{user}")];
    for path in &paths {
        let first = deployment.get(path).await;
        let tag = first.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        assert!(first.header("cache-control").unwrap().contains("no-cache"));
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = deployment.request("GET", path, &[("if-none-match", &known)], None).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        let other = deployment.request("GET", path, &[("if-none-match", "\"other\"")], None).await;
        assert_eq!((other.status, &other.body), (200, &first.body));
        let head = deployment.request("HEAD", path, &[], None).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(
            (head.header("etag"), head.header("content-type")),
            (Some(tag.as_str()), first.header("content-type"))
        );
    }
    let tag = deployment.get("/v1/users").await.header("etag").unwrap().to_owned();
    deployment.cloudflare.add_member("new.hire@example.com", Vec::new());
    deployment.run(&Value::Null).await;
    let after = deployment.request("GET", "/v1/users", &[("if-none-match", &tag)], None).await;
    assert_eq!(after.status, 200, "another account, another tag");
    assert_ne!(after.header("etag"), Some(tag.as_str()));
    let newcomer = deployment.cloudflare.memberships().into_iter().find(|member| member.email.starts_with("new.hire"));
    deployment.cloudflare.remove_member(&newcomer.unwrap().id);
    deployment.run(&Value::Null).await;
    let again = deployment.request("GET", "/v1/users?limit=2", &[("if-none-match", &tag)], None).await;
    assert_eq!(
        again.status, 200,
        "the account is as it was, and the cursor of the answer before is of a generation that will be gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cursor_stays_with_its_generation_while_a_newer_one_is_published() {
    let deployment = Deployment::start().await.synced().await;
    let old = listed(&deployment, 1000).await;
    let first = deployment.json("/v1/grants?limit=5").await;
    let mut cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let mut grants: Vec<Value> = first["items"].as_array().unwrap().clone();

    let cloudflare = &deployment.cloudflare;
    let policies = vec![holds(cloudflare, &roles(cloudflare)[0])];
    for name in ["aaa", "mmm", "zzz"] {
        cloudflare.add_member(&format!("{name}@example.com"), policies.clone());
    }
    cloudflare.remove_member(&cloudflare.memberships()[4].id);
    deployment.run(&Value::Null).await;

    for _ in 0..200 {
        let page = deployment.json(&format!("/v1/grants?limit=5&cursor={cursor}")).await;
        assert_eq!(page["generation"], first["generation"]);
        grants.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let ids: Vec<String> = grants.iter().map(|grant| grant["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), old.grants.len(), "each once");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), old.grants);
    let now = deployment.json("/v1/grants").await;
    assert_ne!(now["generation"], first["generation"]);
    assert_is_account(&deployment).await;

    let manifest = format!("manifest/{}", first["generation"].as_str().unwrap());
    deployment.lose(&manifest);
    // What does not come in minutes is gone.
    deployment.wait(std::time::Duration::from_mins(6)).await;
    let gone = deployment.get(&format!("/v1/grants?limit=5&cursor={cursor}")).await;
    assert_eq!((gone.status, assert_is_problem(&gone, "gone").as_str()), (410, "generation_gone"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_has_not_arrived_or_is_damaged_is_said_to_be() {
    let deployment = Deployment::start().await.synced().await;
    let chunk = deployment.names_under("chunk/").remove(0);
    let body = deployment.lose(&chunk);
    let missing = deployment.get("/v1/users").await;
    assert_eq!((missing.status, assert_is_problem(&missing, "missing").as_str()), (503, "not_replicated"));
    let mut damaged = body.clone();
    damaged[10] ^= 1;
    deployment.keep(&chunk, damaged);
    let corrupt = deployment.get("/v1/users").await;
    assert_eq!((corrupt.status, assert_is_problem(&corrupt, "corrupt").as_str()), (500, "snapshot_corrupt"));
    deployment.keep(&chunk, body);
    assert_eq!(deployment.get("/v1/users").await.status, 200);
}

/// A list of roles may come from a newer generation than the one that KV shows where their holders are asked for.
#[tokio::test(start_paused = true)]
async fn what_an_older_generation_does_not_have_yet_is_not_told_to_be_held_by_nobody() {
    let deployment = Deployment::start().await.synced().await;
    let cloudflare = &deployment.cloudflare;
    let pointer = || deployment.world().desk.values.borrow()[&deployment.world().desk.key("current")].clone();
    let older = pointer();
    let group = cloudflare.add_group("New", Vec::new());
    let member = cloudflare.memberships().into_iter().find(|member| member.status == "accepted").unwrap();
    cloudflare.join_group(&group, &member.id);
    deployment.sync().await;
    let newest = pointer();
    let path = format!("/v1/groups/{group}/members");
    let or_empty = format!("{path}?missing=empty");
    deployment.keep("current", older);
    deployment.restart();
    for path in [&path, &or_empty] {
        assert_eq!(deployment.json(path).await["items"].as_array().unwrap().len(), 1, "{path}");
    }
    // The control: what is gone is held by nobody, wherever KV is.
    deployment.keep("current", newest);
    deployment.restart();
    cloudflare.remove_group(&group);
    deployment.sync().await;
    let latest = pointer();
    cloudflare.add_group("Newer", Vec::new());
    deployment.sync().await;
    deployment.keep("current", latest);
    deployment.restart();
    assert_eq!(deployment.json(&or_empty).await["items"], json!([]));
    assert_eq!(deployment.get(&path).await.status, 404);
}

/// KV takes a minute to show everywhere what was written to it, and a list that is paged on at another place must not break off by that.
#[tokio::test(start_paused = true)]
async fn a_cursor_whose_generation_is_not_at_this_place_yet_is_to_come_again() {
    let deployment = Deployment::start().await.synced().await;
    let first = deployment.json("/v1/users?limit=1").await;
    let next = format!("/v1/users?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let name = deployment.names_under("manifest/").pop().unwrap();
    let manifest = deployment.lose(&name);
    deployment.restart();
    let answer = deployment.get(&next).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "late")), (503, "not_replicated".to_owned()));
    deployment.keep(&name, manifest);
    assert_eq!(deployment.get(&next).await.status, 200);
    // What does not come in minutes is gone.
    deployment.lose(&name);
    deployment.restart();
    deployment.wait(std::time::Duration::from_mins(6)).await;
    let answer = deployment.get(&next).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "gone")), (410, "generation_gone".to_owned()));
}

/// `current` names a generation a moment before it is remembered.
#[tokio::test(start_paused = true)]
async fn a_cursor_whose_generation_is_not_remembered_yet_is_to_come_again_too_and_what_never_was_is_gone() {
    let deployment = Deployment::start().await.synced().await;
    deployment.cloudflare.add_member("new.hire@example.com", Vec::new());
    deployment.sync().await;
    let first = deployment.json("/v1/users?limit=1").await;
    let next = format!("/v1/users?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let generation = first["generation"].as_str().unwrap();
    let forgets = "UPDATE sync_state SET value = json_remove(value, '$[0]') WHERE name = 'generations'";
    deployment.world().query(forgets, &[]).unwrap();
    let name = format!("manifest/{generation}");
    let manifest = deployment.lose(&name);
    deployment.restart();
    let answer = deployment.get(&next).await;
    assert_eq!((answer.status, assert_is_problem(&answer, "late")), (503, "not_replicated".to_owned()));
    deployment.keep(&name, manifest);
    assert_eq!(deployment.get(&next).await.status, 200);
    // The controls: of long ago, of no time yet, before those that are remembered, and of no time at all.
    let today = format!("{}T000000Z-00000000", &generation[..8]);
    for gone in ["20200101T000000Z-00000000", "20990101T000000Z-00000000", &*today, "nothing"] {
        let answer = deployment.get(&format!("/v1/export/users.csv?generation={gone}")).await;
        assert_eq!((answer.status, assert_is_problem(&answer, gone)), (410, "generation_gone".to_owned()));
    }
}
