//! Webhooks in the API: made, listed, tested, deleted.

use serde_json::{Value, json};

use super::{Answered, Api, error, matches, page_of_body, page_of_query};
use crate::conductorone::id;
use crate::http::{Reply, Request};

#[derive(Clone, Debug)]
pub(super) struct Webhook {
    id: String,
    name: String,
    url: String,
    description: String,
}

impl Webhook {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "displayName": self.name,
            "url": self.url,
            "description": self.description,
            "callbackTimeout": "691200s",
            "createdAt": "2026-08-01T09:05:00Z",
            "updatedAt": "2026-08-01T09:05:00Z",
            "deletedAt": null,
        })
    }
}

impl Api {
    pub(super) fn webhook_list(&self) -> Vec<(String, String, String)> {
        let all = self.webhooks.iter();
        all.map(|webhook| (webhook.id.clone(), webhook.name.clone(), webhook.url.clone())).collect()
    }

    pub(super) fn add_webhook(&mut self, name: &str, url: &str) -> String {
        let webhook =
            Webhook { id: id::fresh(), name: name.to_owned(), url: url.to_owned(), description: String::new() };
        self.webhooks.push(webhook.clone());
        webhook.id
    }

    pub(super) fn knows_webhook(&self, id: &str) -> bool {
        self.webhooks.iter().any(|webhook| webhook.id == id)
    }

    fn webhooks_json(&self) -> Vec<Value> {
        self.webhooks.iter().map(Webhook::json).collect()
    }

    /// The routes below `/api/v1/webhooks`.
    pub(super) fn webhooks(&mut self, rest: &[&str], request: &Request) -> Option<Answered> {
        let find = |id: &str| self.webhooks.iter().position(|webhook| webhook.id == id);
        Some(match (request.method.as_str(), rest) {
            ("GET", []) => page_of_query("webhooks", &self.webhooks_json(), request).into(),
            ("POST", []) => self.create(&request.json()).into(),
            ("GET", [id]) => match self.webhooks.iter().find(|webhook| webhook.id == *id) {
                Some(webhook) => Reply::json(200, &json!({ "webhook": webhook.json() })).into(),
                None => error(404, "no such webhook").into(),
            },
            ("DELETE", [id]) => match find(id) {
                None => error(404, "no such webhook").into(),
                Some(_) if self.is_used(id) => error(400, "the webhook is in use").into(),
                Some(at) => {
                    self.webhooks.remove(at);
                    Reply::json(200, &json!({})).into()
                }
            },
            ("POST", [id, "test"]) => match self.webhooks.iter().find(|webhook| webhook.id == *id) {
                None => error(404, "no such webhook").into(),
                Some(webhook) => {
                    let instance =
                        json!({ "id": id::fresh(), "webhookId": id, "state": "WEBHOOK_STATE_PENDING", "attempts": 0 });
                    Answered {
                        test: Some((webhook.id.clone(), webhook.url.clone())),
                        ..Reply::json(200, &json!({ "webhook": instance })).into()
                    }
                }
            },
            _ => return None,
        })
    }

    fn create(&mut self, body: &Value) -> Reply {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, url) = (text("displayName"), text("url"));
        if name.is_empty() || !url.starts_with("https://") || url.len() > 2040 {
            return error(400, "displayName and an https url are required");
        }
        let id = self.add_webhook(name, url);
        let Some(webhook) = self.webhooks.iter_mut().find(|webhook| webhook.id == id) else {
            return error(500, "it is gone");
        };
        text("description").clone_into(&mut webhook.description);
        Reply::json(200, &json!({ "webhook": webhook.json() }))
    }

    pub(super) fn search_webhooks(&self, request: &Request) -> Reply {
        let body = request.json();
        let found: Vec<Value> = self.webhooks_json().into_iter().filter(|webhook| matches(webhook, &body)).collect();
        page_of_body("webhooks", &found, &body)
    }
}
