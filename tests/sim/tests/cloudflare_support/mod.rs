//! A simulated account on loopback and a plain client of it.

use serde_json::Value;
use sim::cloudflare::{Cloudflare, Spec};
use sim::http::Server;

/// The account, its server, and a client with the account's token.
pub(crate) struct Api {
    pub(crate) cloudflare: Cloudflare,
    pub(crate) base: String,
    client: reqwest::Client,
    _server: Server,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// `result`.
    pub(crate) fn result(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["result"].clone()
    }

    /// HTTP status and the code of the first error.
    pub(crate) fn code(&self) -> (u16, u64) {
        (self.status, self.json()["errors"][0]["code"].as_u64().unwrap_or(0))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Api {
    pub(crate) async fn start(spec: Spec) -> Self {
        let cloudflare = Cloudflare::new(spec);
        let server = cloudflare.serve(0).await.unwrap();
        Self { base: Cloudflare::api_url(&server), client: reqwest::Client::new(), cloudflare, _server: server }
    }

    pub(crate) async fn of(members: usize) -> Self {
        Self::start(Spec { members, ..Spec::default() }).await
    }

    /// A request with any path, token and body.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let method: reqwest::Method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.header("accept", "application/json").send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// A request to the account, with its token.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Result<Answer, reqwest::Error> {
        let path = format!("/accounts/{}{path}", self.cloudflare.account_id());
        let token = format!("Bearer {}", self.cloudflare.token());
        self.raw(method, &path, Some(&token), body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, Some(body)).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await.unwrap()
    }

    /// Every item of a paged list.
    pub(crate) async fn all(&self, path: &str, per_page: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        for page in 1..=10_000 {
            let answer = self.get(&format!("{path}{joint}page={page}&per_page={per_page}")).await;
            let Value::Array(found) = answer.result() else { panic!("no list: {}", answer.text) };
            let last = found.len() < per_page;
            items.extend(found);
            if last {
                break;
            }
        }
        items
    }

    /// A domain permission group and a domain resource group.
    pub(crate) fn domain_pair(&self) -> (String, String) {
        let permission_group = self.cloudflare.permission_group("domain_admin_readonly").unwrap().id;
        (permission_group, self.cloudflare.domain_resource_groups()[1].0.clone())
    }

    /// An accepted member who is no Super Administrator.
    pub(crate) fn somebody(&self) -> String {
        let super_admin = self.cloudflare.permission_group("super_admin").unwrap().id;
        let members = self.cloudflare.memberships().into_iter();
        members
            .filter(|member| member.status == "accepted")
            .find(|member| self.cloudflare.member_atoms(&member.id).iter().all(|atom| atom.1 != super_admin))
            .unwrap()
            .id
    }
}

/// A policy as a request body tells it.
pub(crate) fn policy(access: &str, permission_groups: &[&str], resource_groups: &[&str]) -> Value {
    let ids = |ids: &[&str]| ids.iter().map(|id| serde_json::json!({ "id": id })).collect::<Vec<_>>();
    serde_json::json!({
        "access": access, "permission_groups": ids(permission_groups), "resource_groups": ids(resource_groups),
    })
}
