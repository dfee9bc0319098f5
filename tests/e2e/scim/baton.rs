//! `baton-scim`'s walk (`docs/scim.md`), request by request as it sends them: a body on every request, `application/json`, numbers that
//! must be numbers, and a revoke that is a replace with those who remain.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sim::client::Answer;

use crate::deployment::{Deployment, holds, roles, small};

/// A client with `baton-scim`'s habits.
struct Baton<'a>(&'a Deployment);

impl Baton<'_> {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let token = format!("Bearer {}", sim::harness::workerd::CONNECTOR_TOKEN);
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/scim+json, application/json"),
        ];
        self.0.raw(method, &format!("/scim/v2{path}"), &headers, Some(format!("{body}\n").into_bytes())).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// All resources, as it pages: on by `itemsPerPage` until `totalResults`.
    async fn all(&self, path: &str, count: usize) -> Vec<Value> {
        let (mut start, mut found) = (1, Vec::new());
        for _ in 0..200 {
            let page = self.get(&format!("{path}?count={count}&startIndex={start}")).await;
            let number = |field: &str| usize::try_from(page[field].as_u64().unwrap()).unwrap();
            assert_eq!(number("startIndex"), start);
            let items = page["Resources"].as_array().unwrap();
            assert_eq!(page["itemsPerPage"], items.len());
            found.extend(items.iter().cloned());
            start += items.len();
            if start > number("totalResults") {
                return found;
            }
            assert!(!items.is_empty(), "the client would ask for ever");
        }
        panic!("{path} has no end");
    }

    async fn patch(&self, group: &str, op: &str, value: Value) -> Answer {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": op, "path": "members", "value": value }],
        });
        self.send("PATCH", &format!("/Groups/{group}"), &body).await
    }
}

/// The grants that the Groups tell, in the form that the simulator's truth has.
async fn grants(baton: &Baton<'_>) -> BTreeSet<String> {
    let mut grants = BTreeSet::new();
    for group in baton.all("/Groups", 7).await {
        let group = baton.get(&format!("/Groups/{}", group["id"].as_str().unwrap())).await;
        let resource = group["id"].as_str().unwrap().replacen('-', ":", 1);
        for member in group["members"].as_array().unwrap() {
            assert!(member["display"].is_string());
            let id = member["value"].as_str().unwrap();
            let principal = if id.contains('-') { id.replacen('-', ":", 1) } else { format!("user:{id}") };
            grants.insert(format!("{resource}:member:{principal}"));
        }
    }
    grants
}

#[tokio::test]
async fn baton_scim_reads_the_account_and_grants_and_revokes_in_it() {
    let deployment = Deployment::start_empty_role().await;
    let baton = Baton(&deployment);
    let truth = deployment.cloudflare.truth();
    baton.get("/Users?count=1&startIndex=1").await;
    for count in [1, 3, 100] {
        let users = baton.all("/Users", count).await;
        let ids: BTreeSet<String> = users.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
        let invitations = truth.invitations.iter().map(|id| format!("invitation-{id}"));
        assert_eq!(ids, truth.users.iter().cloned().chain(invitations).collect(), "pages of {count}");
        for user in &users {
            // It makes the account's name of these two.
            let [given, family] = ["givenName", "familyName"].map(|field| user["name"][field].as_str().unwrap());
            assert!(!format!("{given} {family}").trim().is_empty(), "{user}");
            assert_eq!(
                (&user["emails"][0]["primary"], &user["roles"], user["active"].is_boolean()),
                (&json!(true), &json!([]), true)
            );
        }
    }
    assert_eq!(grants(&baton).await, truth.grants);

    let role = deployment
        .cloudflare
        .truth()
        .roles
        .into_iter()
        .find(|(id, _)| !truth.grants.iter().any(|grant| grant.starts_with(&format!("role:{id}:"))));
    let (role, name) = role.unwrap();
    let page = baton
        .get(&format!("/Groups?count=100&startIndex=1&filter=displayName%20eq%20%22{}%22", name.replace(' ', "%20")))
        .await;
    assert_eq!((page["totalResults"].as_i64(), &page["Resources"][0]["id"]), (Some(1), &json!(format!("role-{role}"))));
    let group = format!("role-{role}");
    let mut members: Vec<Value> = truth.users.iter().take(2).map(|id| json!({ "value": id })).collect();
    for member in &members {
        assert_eq!(baton.patch(&group, "add", json!([member])).await.status, 200);
    }
    assert_eq!(grants(&baton).await, deployment.cloudflare.truth().grants);
    // Both at once, as from a list that is out of date.
    assert_eq!(baton.patch(&group, "replace", json!([])).await.status, 409);
    while members.pop().is_some() {
        // Of the last one it makes `null`, which from other clients says nothing of the members: that is refused, so that nobody takes a
        // revoke for done.
        if members.is_empty() {
            let refused = baton.patch(&group, "replace", Value::Null).await;
            assert!(refused.status == 400 && refused.text().contains("send []"), "{}", refused.text());
        }
        let answer = baton.patch(&group, "replace", json!(members)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["members"].as_array().unwrap().len(), members.len());
    }
    assert_eq!(deployment.cloudflare.truth().grants, truth.grants);
    assert_eq!(grants(&baton).await, truth.grants);
}

impl Deployment {
    /// An account with an invitation, and a role that nobody holds.
    async fn start_empty_role() -> Self {
        let deployment = Self::with(small(), |options| options).await;
        let policy = holds(&deployment.cloudflare, &roles(&deployment.cloudflare)[0]);
        deployment.cloudflare.invite("joe.soap@example.com", vec![policy]);
        deployment.synced().await
    }
}
