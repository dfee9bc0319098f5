//! The generated account: its size, its content, and that the oracle says what the API tells.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloudflare_support::Api;
use serde_json::Value;
use sim::cloudflare::{Cloudflare, SUPER_ADMINISTRATOR, Spec, Truth};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[tokio::test]
async fn there_are_exactly_as_many_members_as_asked_for() {
    for members in [0, 1, 2, 3, 4, 49, 50, 51, 100] {
        let api = Api::of(members).await;
        assert_eq!(api.all("/members", 50).await.len(), members);
        let info = api.get("/members?per_page=50").await.json()["result_info"].clone();
        assert_eq!(info["total_count"], members);
        assert_eq!(info["total_pages"], members.div_ceil(50));
        let holders = api.cloudflare.memberships().into_iter().filter(|member| {
            let super_admin = api.cloudflare.permission_group("super_admin").unwrap().id;
            api.cloudflare.member_atoms(&member.id).iter().any(|atom| atom.1 == super_admin)
        });
        assert!(holders.count() >= members.min(3));
    }
}

#[test]
fn the_seed_decides_everything() {
    let truth = |seed| Cloudflare::new(Spec { members: 60, seed, ..Spec::default() }).truth();
    assert_eq!(truth(7), truth(7));
    assert!(truth(7).users.is_disjoint(&truth(8).users));
}

#[tokio::test]
async fn every_oddity_is_in_an_account_of_some_size() {
    let api = Api::start(Spec { members: 200, pending_share: 0.2, ..Spec::default() }).await;
    let members = api.all("/members", 50).await;
    let some = |what: &str, test: &dyn Fn(&Value) -> bool| assert!(members.iter().any(test), "{what}");
    let pending = |member: &Value| member["status"] == "pending";
    assert_eq!(members.iter().filter(|member| pending(member)).count(), 40);
    some("empty user id", &|member| pending(member) && member["user"]["id"] == "");
    some("no user id", &|member| pending(member) && member["user"].get("id").is_none());
    some("zero user id", &|member| pending(member) && member["user"]["id"] == "0".repeat(32));
    some("pending with a user", &|member| {
        pending(member) && member["user"]["id"].as_str().is_some_and(|id| id.len() == 32 && id != "0".repeat(32))
    });
    some("no name", &|member| member["user"]["first_name"].is_null() && member["user"]["last_name"].is_null());
    some("no policy", &|member| member["policies"] == Value::Array(Vec::new()));
    some("apostrophe in the address", &|member| text(&member["email"]).contains('\''));
    some("address outside ASCII", &|member| !text(&member["email"]).is_ascii());
    some("several permission groups", &|member| {
        items(&member["policies"]).any(|policy| items(&policy["permission_groups"]).count() > 2)
    });
    some("several resource groups", &|member| {
        items(&member["policies"]).any(|policy| items(&policy["resource_groups"]).count() > 1)
    });
    some("several policies", &|member| items(&member["policies"]).count() > 1);
    some("a denial", &|member| items(&member["policies"]).any(|policy| policy["access"] == "deny"));
    some("Super Administrator among the roles", &|member| {
        items(&member["roles"]).any(|role| role["id"] == SUPER_ADMINISTRATOR)
    });
    some("a domain role under its permission group's id", &|member| {
        items(&member["roles"]).any(|role| {
            items(&member["policies"])
                .flat_map(|policy| items(&policy["permission_groups"]))
                .any(|group| group["id"] == role["id"])
        })
    });
}

#[tokio::test]
async fn roles_and_permission_groups_have_names_in_common_and_ids_apart() {
    let api = Api::of(10).await;
    let roles = api.all("/roles", 50).await;
    assert_eq!(roles.len(), 60);
    assert!(roles.iter().all(|role| role["id"] != SUPER_ADMINISTRATOR));
    let groups = api.all("/iam/permission_groups", 50).await;
    let by_name: BTreeMap<String, String> =
        groups.iter().map(|group| (text(&group["name"]), text(&group["id"]))).collect();
    assert_eq!(by_name.len(), groups.len());
    for role in &roles {
        let group = by_name.get(&text(&role["name"])).expect("a permission group of the role's name");
        assert_ne!(*group, text(&role["id"]));
    }
    for group in &groups {
        assert!(group["meta"].as_object().unwrap().values().all(Value::is_string));
    }
    let super_admin = api.get("/iam/permission_groups?label=super_admin").await.result();
    assert_eq!(items(&super_admin).count(), 1);
    assert_eq!(api.get(&format!("/roles/{SUPER_ADMINISTRATOR}")).await.status, 404);
}

/// What the API tells, put together as a correct crawl would.
async fn crawl(api: &Api) -> Truth {
    let mut truth = Truth::default();
    let account_group = format!("com.cloudflare.api.account.{}", api.cloudflare.account_id());
    let resource_groups = api.get("/iam/resource_groups").await.result();
    let whole = items(&resource_groups).find(|group| group["name"] == account_group.as_str()).unwrap()["id"].clone();
    let role_by_name: BTreeMap<String, String> = api
        .all("/roles", 50)
        .await
        .iter()
        .map(|role| (text(&role["name"]), text(&role["id"])))
        .chain([("Super Administrator - All Privileges".to_owned(), SUPER_ADMINISTRATOR.to_owned())])
        .collect();
    let mut role_of = BTreeMap::new();
    for group in api.all("/iam/permission_groups", 50).await {
        let (id, name) = (text(&group["id"]), text(&group["name"]));
        let role = role_by_name.get(&name).cloned().unwrap_or_else(|| id.clone());
        if group["meta"]["scopes"] == "com.cloudflare.api.account" {
            truth.roles.insert(role.clone(), name);
        }
        role_of.insert(id, role);
    }
    let held = |truth: &mut Truth, policies: &Value, principal: &str| {
        for policy in items(policies).filter(|policy| policy["access"] == "allow") {
            for group in items(&policy["permission_groups"]) {
                for resource in items(&policy["resource_groups"]) {
                    let group = text(&group["id"]);
                    if resource["id"] == whole {
                        truth.grants.insert(format!("role:{}:member:{principal}", role_of[&group]));
                    } else {
                        let scoped = format!("{group}-{}", text(&resource["id"]));
                        truth.grants.insert(format!("scoped_role:{scoped}:member:{principal}"));
                        truth.scoped_roles.insert(scoped);
                    }
                }
            }
        }
    };
    let mut principals = BTreeMap::new();
    for member in api.all("/members?order=user.email&direction=asc", 50).await {
        let (id, user) = (text(&member["id"]), member["user"]["id"].as_str().unwrap_or(""));
        let principal = if member["status"] == "accepted" {
            truth.users.insert(user.to_owned());
            format!("user:{user}")
        } else {
            truth.invitations.insert(id.clone());
            format!("invitation:{id}")
        };
        held(&mut truth, &member["policies"], &principal);
        principals.insert(id, principal);
    }
    for group in api.all("/iam/user_groups", 500).await {
        let id = text(&group["id"]);
        truth.groups.insert(id.clone(), text(&group["name"]));
        held(&mut truth, &group["policies"], &format!("group:{id}"));
        for member in api.all(&format!("/iam/user_groups/{id}/members"), 100).await {
            truth.grants.insert(format!("group:{id}:member:{}", principals[&text(&member["id"])]));
        }
    }
    truth.tokens =
        api.all("/tokens", 50).await.iter().map(|token| (text(&token["id"]), text(&token["name"]))).collect();
    truth
}

#[tokio::test]
async fn the_oracle_says_what_the_api_tells() {
    for (seed, members) in [(1, 0), (2, 1), (3, 50), (4, 51), (5, 130), (6, 260)] {
        let spec = Spec { members, seed, groups: 10, pending_share: 0.3, ..Spec::default() };
        let api = Api::start(spec).await;
        let (told, true_) = (crawl(&api).await, api.cloudflare.truth());
        let difference =
            |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).take(3).cloned().collect::<Vec<_>>();
        assert_eq!(difference(&told.grants, &true_.grants), Vec::<String>::new(), "told and not true, seed {seed}");
        assert_eq!(difference(&true_.grants, &told.grants), Vec::<String>::new(), "true and not told, seed {seed}");
        assert_eq!(told, true_, "seed {seed}");
    }
}

#[test]
fn an_account_of_fifty_thousand_is_no_burden() {
    let cloudflare = Cloudflare::new(Spec { members: 50_000, ..Spec::default() });
    assert_eq!(cloudflare.memberships().len(), 50_000);
}
