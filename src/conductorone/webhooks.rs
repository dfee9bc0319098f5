//! C1's outbound webhooks, as its API shows them (`reference/conductorone.md` 1.1): `{"list":[…],"nextPageToken":"…"}` for a list,
//! `{"webhook":{…}}` for one.

use serde_json::{Value, json};

use super::api::{ApiError, Call, Client, path};
use super::apps::{ListPage, page_query, set};
use crate::base::json::Deserialize;
use crate::base::ports::Sign;
use crate::base::ports::{Clock, Http, Method};

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// C1's id of it.
    pub id: String,
    /// Its name.
    pub display_name: String,
    /// Where it leads.
    pub url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    id: Option<String>,
    display_name: Option<String>,
    url: Option<String>,
    deleted_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    list: Option<Vec<Raw>>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct One {
    webhook: Option<Raw>,
}

impl Raw {
    /// What is deleted, or has no id, is not there.
    fn read(self) -> Option<Webhook> {
        if set(self.deleted_at).is_some() {
            return None;
        }
        let (display_name, url) = (self.display_name.unwrap_or_default(), self.url.unwrap_or_default());
        Some(Webhook { id: set(self.id)?, display_name, url })
    }
}

impl<P: Http + Clock + Sign> Client<'_, P> {
    /// One page of the tenant's webhooks.
    pub async fn webhooks_page(&self, page: Option<&str>) -> Result<ListPage<Webhook>, ApiError> {
        let path = format!("{}{}", path(&["api", "v1", "webhooks"]), page_query(page));
        let list: List = self.call(Call { what: "list webhooks", method: Method::Get, path, body: None }).await?;
        let items = list.list.unwrap_or_default().into_iter().filter_map(Raw::read).collect();
        Ok(ListPage { items, next: set(list.next_page_token) })
    }

    /// Creates a webhook.
    pub async fn create_webhook(&self, display_name: &str, url: &str, description: &str) -> Result<Webhook, ApiError> {
        let what = "create a webhook";
        let body = json!({ "displayName": display_name, "url": url, "description": description });
        let path = path(&["api", "v1", "webhooks"]);
        let one: One = self.call(Call { what, method: Method::Post, path, body: Some(&body) }).await?;
        let webhook = one.webhook.and_then(Raw::read);
        webhook.ok_or_else(|| ApiError::Malformed { what, why: "there is no webhook with an id in it".to_owned() })
    }

    /// Deletes a webhook.
    pub async fn delete_webhook(&self, id: &str) -> Result<(), ApiError> {
        let path = path(&["api", "v1", "webhooks", id]);
        let call = Call { what: "delete a webhook", method: Method::Delete, path, body: Some(&json!({})) };
        self.call::<Value>(call).await.map(drop)
    }

    /// Lets C1 send the test event; its delivery is C1's business from then on.
    pub async fn test_webhook(&self, id: &str) -> Result<(), ApiError> {
        let path = path(&["api", "v1", "webhooks", id, "test"]);
        let call = Call { what: "test a webhook", method: Method::Post, path, body: Some(&json!({})) };
        self.call::<Value>(call).await.map(drop)
    }
}
