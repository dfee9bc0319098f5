//! Apps and entitlements in the API: listed, read, and how they are provisioned changed by field mask.

use serde_json::{Map, Value, json};

use super::{Api, error, matches, page_of_body, page_of_query};
use crate::conductorone::directory::{App, Entitlement, Person};
use crate::conductorone::edit::drop_unset;
use crate::http::{Reply, Request};

/// The kinds of `ProvisionPolicy`, of which one is set.
const KINDS: [&str; 9] = [
    "action",
    "connector",
    "delegated",
    "devicePlacement",
    "externalTicket",
    "manual",
    "multiStep",
    "unconfigured",
    "webhook",
];

#[derive(Debug)]
pub(super) struct AppState {
    app: App,
    entitlements: Vec<Value>,
    accounts: Vec<Value>,
}

impl Api {
    pub(super) fn add_app(&mut self, app: &App, entitlements: &[Entitlement]) {
        let connector = full(&json!({ "connector": {} }));
        let objects = entitlements.iter().map(|entitlement| {
            let mut object = entitlement.expanded(app, "");
            if let Value::Object(fields) = &mut object {
                fields.remove("@type");
                fields.insert("provisionerPolicy".into(), connector.clone());
                fields.insert("deprovisionerPolicy".into(), Value::Null);
            }
            object
        });
        if let Some(known) = self.apps.iter_mut().find(|known| known.app.id == app.id) {
            known.entitlements.extend(objects);
            return;
        }
        let entitlements = objects.collect();
        self.apps.push(AppState { app: app.clone(), entitlements, accounts: Vec::new() });
    }

    pub(super) fn add_account(&mut self, app: &App, person: &Person) {
        let known = self.apps.iter_mut().find(|known| known.app.id == app.id);
        if let (Some(known), Some(mut account)) = (known, person.expanded_account(app)) {
            if let Value::Object(fields) = &mut account {
                fields.remove("@type");
            }
            known.accounts.push(json!({ "appUser": account, "appPath": "", "identityUserPath": "" }));
        }
    }

    pub(super) fn remove_entitlement(&mut self, id: &str) {
        for app in &mut self.apps {
            app.entitlements.retain(|entitlement| entitlement.get("id") != Some(&json!(id)));
        }
    }

    pub(super) fn policies(&self, id: &str) -> (Value, Value) {
        let all = self.apps.iter().flat_map(|app| &app.entitlements);
        let found = all.into_iter().find(|entitlement| entitlement.get("id") == Some(&json!(id)));
        let policy = |field: &str| {
            let mut policy = found.and_then(|found| found.get(field)).cloned().unwrap_or_default();
            drop_unset(&mut policy);
            policy
        };
        (policy("provisionerPolicy"), policy("deprovisionerPolicy"))
    }

    pub(super) fn set_policies(&mut self, id: &str, provisioner: &Value, deprovisioner: &Value) {
        for entitlement in self.apps.iter_mut().flat_map(|app| &mut app.entitlements) {
            if entitlement.get("id") == Some(&json!(id))
                && let Value::Object(fields) = entitlement
            {
                fields.insert("provisionerPolicy".into(), full(provisioner));
                fields.insert("deprovisionerPolicy".into(), full(deprovisioner));
            }
        }
    }

    /// Whether a policy leads to the webhook, be it by one step of several.
    pub(super) fn is_used(&self, webhook_id: &str) -> bool {
        let mut all = self.apps.iter().flat_map(|app| &app.entitlements);
        all.any(|entitlement| {
            ["provisionerPolicy", "deprovisionerPolicy"]
                .iter()
                .any(|side| entitlement.get(side).is_some_and(|policy| leads_to(policy, webhook_id)))
        })
    }

    /// The routes below `/api/v1/apps`.
    pub(super) fn apps(&mut self, rest: &[&str], request: &Request) -> Option<Reply> {
        let method = request.method.as_str();
        if let ("GET", []) = (method, rest) {
            let apps: Vec<Value> = self.apps.iter().map(|app| plain(&app.app)).collect();
            return Some(page_of_query("apps", &apps, request));
        }
        let (id, rest) = rest.split_first()?;
        let at = self.apps.iter().position(|app| app.app.id == *id);
        let Some(app) = at.and_then(|at| self.apps.get(at)) else { return Some(error(404, "no such app")) };
        Some(match (method, rest) {
            ("GET", []) => Reply::json(200, &json!({ "app": plain(&app.app) })),
            ("GET", ["entitlements"]) => {
                let views: Vec<Value> = app.entitlements.iter().map(view).collect();
                page_of_query("entitlements", &views, request)
            }
            ("GET", ["app_users"]) => page_of_query("accounts", &app.accounts, request),
            ("GET", ["entitlements", id]) => match app.entitlements.iter().find(|known| has_id(known, id)) {
                Some(entitlement) => one(entitlement),
                None => error(404, "no such entitlement"),
            },
            ("POST", ["entitlements", id]) => {
                if let Err(why) = self.is_sound(&request.json()) {
                    return Some(error(400, &why));
                }
                let app = self.apps.iter_mut().find(|app| app.entitlements.iter().any(|known| has_id(known, id)));
                let found = app.and_then(|app| app.entitlements.iter_mut().find(|known| has_id(known, id)));
                match found {
                    Some(entitlement) => match update(entitlement, &request.json()) {
                        Ok(()) => one(entitlement),
                        Err(why) => error(400, &why),
                    },
                    None => error(404, "no such entitlement"),
                }
            }
            _ => return None,
        })
    }

    /// Policies must be of one kind, and lead to a webhook that is there.
    fn is_sound(&self, body: &Value) -> Result<(), String> {
        for side in ["/entitlement/provisionerPolicy", "/entitlement/deprovisionerPolicy"] {
            let Some(Value::Object(policy)) = body.pointer(side) else { continue };
            let set: Vec<&String> = policy.iter().filter(|(_, value)| !value.is_null()).map(|(kind, _)| kind).collect();
            if set.len() > 1 || set.iter().any(|kind| !KINDS.contains(&kind.as_str())) {
                return Err(format!("a policy is of one kind, not {set:?}"));
            }
            if let Some(webhook) = policy.get("webhook").and_then(|webhook| webhook.get("webhookId")) {
                let id = webhook.as_str().unwrap_or_default();
                if !self.knows_webhook(id) {
                    return Err(format!("there is no webhook {id:?}"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn search_entitlements(&self, request: &Request) -> Reply {
        let body = request.json();
        let wanted = body.get("appIds").and_then(Value::as_array).cloned().unwrap_or_default();
        let apps = self.apps.iter().filter(|app| wanted.is_empty() || wanted.contains(&json!(app.app.id)));
        let found: Vec<Value> =
            apps.flat_map(|app| &app.entitlements).filter(|found| matches(found, &body)).map(view).collect();
        page_of_body("search", &found, &body)
    }
}

fn plain(app: &App) -> Value {
    let mut object = app.expanded();
    if let Value::Object(fields) = &mut object {
        fields.remove("@type");
    }
    object
}

fn has_id(entitlement: &Value, id: &str) -> bool {
    entitlement.get("id").and_then(Value::as_str) == Some(id)
}

fn view(entitlement: &Value) -> Value {
    json!({
        "appEntitlement": entitlement,
        "appPath": "", "appResourcePath": "", "appResourceTypePath": "", "objectPermissions": {},
    })
}

fn one(entitlement: &Value) -> Reply {
    Reply::json(200, &json!({ "appEntitlementView": view(entitlement), "expanded": [] }))
}

fn leads_to(policy: &Value, webhook_id: &str) -> bool {
    match policy {
        Value::Object(fields) => {
            fields.get("webhookId") == Some(&json!(webhook_id))
                || fields.values().any(|field| leads_to(field, webhook_id))
        }
        Value::Array(items) => items.iter().any(|item| leads_to(item, webhook_id)),
        _ => false,
    }
}

/// A policy with each kind that is not set as `null`, as C1 may write it; none at all is `null`.
fn full(policy: &Value) -> Value {
    let Value::Object(set) = policy else { return Value::Null };
    if set.values().all(Value::is_null) {
        return Value::Null;
    }
    let kinds = KINDS.iter().map(|kind| ((*kind).to_owned(), set.get(*kind).cloned().unwrap_or_default()));
    Value::Object(kinds.collect::<Map<_, _>>())
}

/// Changes the fields that the mask names, and no other; one that the mask names and the body lacks is cleared.
fn update(entitlement: &mut Value, body: &Value) -> Result<(), String> {
    let mask = body.get("updateMask").and_then(Value::as_str).unwrap_or_default();
    if mask.is_empty() {
        return Err("updateMask is empty".to_owned());
    }
    let Value::Object(fields) = entitlement else { return Err("no entitlement".to_owned()) };
    for field in mask.split(',') {
        let value = body.get("entitlement").and_then(|given| given.get(field)).cloned().unwrap_or_default();
        match field {
            "provisionerPolicy" | "deprovisionerPolicy" => fields.insert(field.to_owned(), full(&value)),
            "displayName" | "description" | "alias" | "matchBatonId" => fields.insert(field.to_owned(), value),
            other => return Err(format!("{other} cannot be changed")),
        };
    }
    Ok(())
}
