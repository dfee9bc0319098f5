//! An interpreter of baton-http's configuration language, as far as `c1/baton-http.yaml` uses it: it lists resources, finds
//! their grants, and grants and revokes, each by the requests that the configuration describes. What it does not know it
//! refuses, so that nothing in the file is left unread.

mod config;
mod expression;

use serde_json::{Value, json};
use sim::conductorone::PUBLIC_URL;
use sim::harness::workerd::CONNECTOR_TOKEN;

use crate::deployment::Deployment;
use crate::found::Found;
use config::{Action, Configuration, Entitlement, Mapping, Request, Response};
use expression::{Scope, evaluate, expand};

/// The connector, running.
pub(super) struct Connector<'a> {
    deployment: &'a Deployment,
    pub(super) configuration: Configuration,
}

/// A page that never ends is an error.
const MOST_PAGES: usize = 1_000;

/// A resource that was listed.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) name: String,
}

impl Resource {
    fn scope(&self) -> Scope {
        Scope::of("resource", &json!({ "id": self.id, "display_name": self.name }))
    }
}

impl<'a> Connector<'a> {
    /// The configuration of the project, its environment being this deployment.
    pub(super) fn new(deployment: &'a Deployment) -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/c1/baton-http.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.replace("${WORKER_URL}", PUBLIC_URL).replace("${WORKER_TOKEN}", CONNECTOR_TOKEN);
        Self { deployment, configuration: serde_saphyr::from_str(&text).unwrap() }
    }

    /// Lists the resources of every type, what a type depends on first.
    pub(super) async fn resources(&self, found: &mut Found) -> Vec<Resource> {
        let mut all: Vec<Resource> = Vec::new();
        let mut done: Vec<&str> = Vec::new();
        let types = &self.configuration.resource_types;
        while done.len() < types.len() {
            let ready = types
                .iter()
                .filter(|(id, _)| !done.contains(&id.as_str()))
                .find(|(_, of)| of.depends_on.iter().all(|other| done.contains(&other.as_str())));
            let (kind, of) = ready.unwrap_or_else(|| panic!("resource types depend on each other"));
            done.push(kind);
            let Mapping::Resource(mapping) = of.list.response.mapping() else {
                panic!("{kind}: list has no resources")
            };
            for item in self.pages(&of.list.request, &of.list.response, &Scope::default()).await {
                let scope = Scope::of("item", &item);
                let text =
                    |value: &str| evaluate(value, &scope).unwrap_or_else(|error| panic!("{kind}: {error}: {item}"));
                let resource =
                    Resource { kind: kind.clone(), id: text(&mapping.id), name: text(&mapping.display_name) };
                mapping.description.as_deref().map(text);
                found.resource(kind, &resource.id, &resource.name);
                if let Some(person) = &mapping.user_traits {
                    assert!(of.traits.contains(&"user".to_owned()), "{kind}");
                    let status = text(&person.status);
                    assert!(["enabled", "disabled"].contains(&status.as_str()), "{kind}");
                    let status = (status == "enabled", text(&person.profile["status"]));
                    found.statuses.insert(resource.id.clone(), status);
                    assert_eq!(text(&person.login), text(&person.email));
                    found.emails.insert(resource.id.clone(), text(&person.email));
                }
                for traits in mapping.profiles() {
                    for value in traits.values() {
                        text(value);
                    }
                }
                all.push(resource);
            }
        }
        all
    }

    /// Finds the entitlements of resources that were listed, and who holds them.
    pub(super) async fn grants(&self, resources: &[Resource], found: &mut Found) {
        for resource in resources {
            let of = &self.configuration.resource_types[&resource.kind];
            if of.skip_entitlements_and_grants {
                continue;
            }
            let entitlement = |id: &str| format!("{}:{}:{id}", resource.kind, resource.id);
            for offered in &of.static_entitlements {
                for title in [&offered.display_name, &offered.description] {
                    let title = evaluate(title, &resource.scope()).unwrap();
                    assert!(title.contains(&resource.name), "{title}");
                }
                assert!(offered.grantable_to.contains(&"user".to_owned()) && offered.purpose == "assignment");
                assert_eq!(offered.slug, offered.id);
                found.entitlements.insert(entitlement(&offered.id));
            }
            for fetch in &of.grants {
                let Mapping::Grant(mapping) = fetch.response.mapping() else { panic!("no grants") };
                for item in self.pages(&fetch.request, &fetch.response, &resource.scope()).await {
                    let scope = resource.scope().with("item", &item);
                    let text = |value: &str| evaluate(value, &scope).unwrap_or_else(|error| panic!("{error}: {item}"));
                    let kind = text(&mapping.principal_type);
                    assert!(self.configuration.resource_types.contains_key(&kind), "{kind}");
                    let entitlement = entitlement(&text(&mapping.entitlement_name));
                    found.grant(&format!("{entitlement}:{kind}:{}", text(&mapping.principal_id)));
                }
            }
        }
    }

    /// Everything there is.
    pub(super) async fn sync(&self) -> Found {
        let mut found = Found::default();
        let resources = self.resources(&mut found).await;
        self.grants(&resources, &mut found).await;
        found
    }

    /// Grants the entitlement of a resource to a principal, of whom C1 knows the id and the e-mail address; gives whether
    /// the success condition holds, and the answer's body.
    pub(super) async fn grant(&self, kind: &str, id: &str, principal: (&str, &str)) -> (bool, Value) {
        let action = |entitlement: &Entitlement| entitlement.provisioning.grant.clone();
        self.provision(kind, id, principal, action).await
    }

    /// Revokes it.
    pub(super) async fn revoke(&self, kind: &str, id: &str, principal: (&str, &str)) -> (bool, Value) {
        let action = |entitlement: &Entitlement| entitlement.provisioning.revoke.clone();
        self.provision(kind, id, principal, action).await
    }

    async fn provision(
        &self,
        kind: &str,
        id: &str,
        (principal, email): (&str, &str),
        action: impl Fn(&Entitlement) -> Action,
    ) -> (bool, Value) {
        let [entitlement] = self.configuration.resource_types[kind].static_entitlements.as_slice() else {
            panic!("{kind} has one entitlement")
        };
        let action = action(entitlement);
        let resource = Resource { kind: kind.to_owned(), id: id.to_owned(), name: "a name".to_owned() };
        let scope =
            resource.scope().with("principal", &json!({ "id": principal, "traits": { "user": { "email": email } } }));
        let (status, body) = self.send(&action.request, &scope, &[]).await;
        let answer = Scope::of("response", &json!({ "status_code": status }));
        (evaluate(&action.success_condition, &answer).unwrap() == "true", body)
    }

    /// The items of every page.
    async fn pages(&self, request: &Request, response: &Response, scope: &Scope) -> Vec<Value> {
        let paging = &self.configuration.connect.pagination;
        assert_eq!(paging.strategy, "cursor");
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let mut query = vec![(paging.limit_param.clone(), paging.page_size.to_string())];
            query.extend(cursor.take().map(|cursor| (paging.cursor_param.clone(), cursor)));
            let (status, page) = self.send(request, scope, &query).await;
            assert_eq!(status, 200, "{}: {page}", request.url);
            items.extend(at(&page, &response.items_path).as_array().unwrap().iter().cloned());
            match at(&page, &paging.cursor_path).as_str() {
                Some(next) if !next.is_empty() => cursor = Some(next.to_owned()),
                _ => return items,
            }
        }
        panic!("{} has no end", request.url);
    }

    async fn send(&self, request: &Request, scope: &Scope, query: &[(String, String)]) -> (u16, Value) {
        let connect = &self.configuration.connect;
        let url = format!("{}{}", connect.base_url, expand(&request.url, scope).unwrap());
        let path = url.strip_prefix(PUBLIC_URL).unwrap().to_owned();
        let query = connect.request_defaults.query_params.iter().chain(query.iter().map(|(name, value)| (name, value)));
        let query: Vec<String> = query.map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(connect.auth.kind, "bearer");
        let bearer = format!("Bearer {}", connect.auth.token);
        let mut headers =
            vec![("authorization", bearer.as_str()), ("content-type", &connect.request_defaults.content_type)];
        headers.extend(connect.request_defaults.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let path = format!("{path}?{}", query.join("&"));
        let answer = self.deployment.raw(&request.method, &path, &headers, None).await;
        (answer.status, answer.json())
    }
}

/// The value at a dotted path, `null` where there is none.
fn at(value: &Value, path: &str) -> Value {
    path.split('.').fold(value.clone(), |inner, key| inner[key].clone())
}
