//! C1's apps and their entitlements, as its API shows them (`reference/conductorone.md` 8.3 and appendix A). A list is
//! `{"list":[…],"nextPageToken":"…"}`; an entitlement stands in a view, `{"appEntitlement":{…}}`, and a single one's view under
//! `appEntitlementView`.

use serde_json::{Map, Value, json};

use super::api::{ApiError, Call, Client, path};
use crate::base::json::Deserialize;
use crate::base::order;
use crate::base::ports::Sign;
use crate::base::ports::{Clock, Http, Method};
use crate::model::ask::EntitlementRef;
use crate::model::id::MemberId;

/// An app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// C1's id of it.
    pub id: String,
    /// Its name.
    pub display_name: String,
}

/// An entitlement of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppEntitlement {
    /// C1's id of it.
    pub id: String,
    /// What names it.
    pub named: EntitlementRef,
    /// How it is granted.
    pub provisioner: Policy,
    /// How it is revoked.
    pub deprovisioner: Policy,
}

/// How an entitlement is granted or revoked: C1's `ProvisionPolicy`, of which one kind is set, such as
/// `{"webhook":{"webhookId":"…"}}`. What is unset (`null`, `""`, `[]`, `…_UNSPECIFIED`) is left out, so that equal policies are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Value);

impl Policy {
    /// The policy of a webhook.
    pub fn webhook(id: &str) -> Self {
        Self(json!({ "webhook": { "webhookId": id } }))
    }

    /// As C1 tells it.
    pub fn of(value: Option<Value>) -> Self {
        let mut value = value.unwrap_or_default();
        drop_unset(&mut value);
        match &value {
            Value::Object(fields) if !fields.is_empty() => Self(value),
            _ => Self(Value::Null),
        }
    }

    /// As it is sent and stored; `null` is none.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The kind that is set, and what it says.
    pub fn kind(&self) -> Option<(&str, &Value)> {
        self.0.as_object()?.iter().next().map(|(kind, what)| (kind.as_str(), what))
    }

    /// The webhook that it leads to, where it does.
    pub fn webhook_id(&self) -> Option<&str> {
        self.0.pointer("/webhook/webhookId").and_then(Value::as_str)
    }
}

/// Drops what is unset. An empty object stays: in a policy it is a kind that is set and has no fields.
fn drop_unset(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.retain(|_, field| {
            drop_unset(field);
            match field {
                Value::Null | Value::Bool(false) => false,
                Value::String(text) => !text.is_empty() && !text.ends_with("_UNSPECIFIED"),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            }
        }),
        Value::Array(items) => items.iter_mut().for_each(drop_unset),
        _ => {}
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// The token of the next page, where there is one.
    pub next: Option<String>,
}

/// As large as C1's pages get.
const PAGE_SIZE: &str = "100";

/// The query that asks for a page.
pub(super) fn page_query(page: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("page_size", PAGE_SIZE);
    if let Some(page) = page {
        query.append_pair("page_token", page);
    }
    format!("?{}", query.finish())
}

/// A text that says something: unset ones may be absent, `null` or empty.
pub(super) fn set(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    list: Option<Vec<T>>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawApp {
    id: Option<String>,
    display_name: Option<String>,
    deleted_at: Option<String>,
}

impl RawApp {
    fn read(self) -> Option<App> {
        if set(self.deleted_at).is_some() {
            return None;
        }
        Some(App { id: set(self.id)?, display_name: self.display_name.unwrap_or_default() })
    }
}

#[derive(Deserialize)]
struct OneApp {
    app: Option<RawApp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    app_entitlement: Option<RawEntitlement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneView {
    app_entitlement_view: Option<View>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntitlement {
    id: Option<String>,
    display_name: Option<String>,
    #[serde(default)]
    source_connector_ids: Option<Map<String, Value>>,
    match_baton_id: Option<String>,
    external_id: Option<String>,
    system_builtin: Option<bool>,
    provisioner_policy: Option<Value>,
    deprovisioner_policy: Option<Value>,
    deleted_at: Option<String>,
}

impl RawEntitlement {
    fn read(self) -> Option<AppEntitlement> {
        if set(self.deleted_at).is_some() {
            return None;
        }
        let id = set(self.id)?;
        Some(AppEntitlement {
            named: EntitlementRef {
                id: Some(id.clone()),
                candidates: candidates(self.source_connector_ids.as_ref(), [self.match_baton_id, self.external_id]),
                display_name: set(self.display_name),
                builtin: self.system_builtin.unwrap_or(false),
            },
            id,
            provisioner: Policy::of(self.provisioner_policy),
            deprovisioner: Policy::of(self.deprovisioner_policy),
        })
    }
}

/// The texts that may be the connector's id of an entitlement, the likeliest first: what its connectors call it, then what its other fields say.
pub(super) fn candidates(
    sources: Option<&Map<String, Value>>,
    fields: impl IntoIterator<Item = Option<String>>,
) -> Vec<String> {
    let sources = sources.into_iter().flat_map(Map::values);
    let mut candidates: Vec<String> = sources.filter_map(Value::as_str).map(str::to_owned).collect();
    order::sort(&mut candidates);
    candidates.extend(fields.into_iter().flatten());
    candidates.retain(|candidate| !candidate.is_empty());
    candidates.dedup();
    candidates
}

impl<P: Http + Clock + Sign> Client<'_, P> {
    /// One page of the tenant's apps.
    pub async fn apps_page(&self, page: Option<&str>) -> Result<ListPage<App>, ApiError> {
        let path = format!("{}{}", path(&["api", "v1", "apps"]), page_query(page));
        let list: List<RawApp> = self.call(Call { what: "list apps", method: Method::Get, path, body: None }).await?;
        let items = list.list.unwrap_or_default().into_iter().filter_map(RawApp::read).collect();
        Ok(ListPage { items, next: set(list.next_page_token) })
    }

    /// One app.
    pub async fn app(&self, id: &str) -> Result<App, ApiError> {
        let what = "read the app";
        let path = path(&["api", "v1", "apps", id]);
        let one: OneApp = self.call(Call { what, method: Method::Get, path, body: None }).await?;
        let app = one.app.and_then(RawApp::read);
        app.ok_or_else(|| ApiError::NotFound { what, said: "it was deleted".to_owned() })
    }

    /// One page of an app's entitlements.
    pub async fn entitlements_page(&self, app: &str, page: Option<&str>) -> Result<ListPage<AppEntitlement>, ApiError> {
        let path = format!("{}{}", path(&["api", "v1", "apps", app, "entitlements"]), page_query(page));
        let call = Call { what: "list the app's entitlements", method: Method::Get, path, body: None };
        let list: List<View> = self.call(call).await?;
        let views = list.list.unwrap_or_default().into_iter();
        let items = views.filter_map(|view| view.app_entitlement?.read()).collect();
        Ok(ListPage { items, next: set(list.next_page_token) })
    }

    /// The membership ids on one page of an app's accounts, as far as its connector told any; one that C1 has as deleted is none of them.
    pub async fn memberships_page(&self, app: &str, page: Option<&str>) -> Result<ListPage<MemberId>, ApiError> {
        let path = format!("{}{}", path(&["api", "v1", "apps", app, "app_users"]), page_query(page));
        let call = Call { what: "list the app's accounts", method: Method::Get, path, body: None };
        let list: List<Value> = self.call(call).await?;
        let views = list.list.unwrap_or_default();
        let id = |view: &Value| {
            let text = |at: &str| view.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty());
            let is_deleted =
                text("/appUser/deletedAt").is_some() || text("/appUser/status/status") == Some("STATUS_DELETED");
            text("/appUser/profile/member_id").filter(|_| !is_deleted)?.parse().ok()
        };
        Ok(ListPage { items: views.iter().filter_map(id).collect(), next: set(list.next_page_token) })
    }

    /// One entitlement.
    pub async fn entitlement(&self, app: &str, id: &str) -> Result<AppEntitlement, ApiError> {
        let what = "read an entitlement";
        let path = path(&["api", "v1", "apps", app, "entitlements", id]);
        let one: OneView = self.call(Call { what, method: Method::Get, path, body: None }).await?;
        let entitlement = one.app_entitlement_view.and_then(|view| view.app_entitlement?.read());
        entitlement.ok_or_else(|| ApiError::NotFound { what, said: "it was deleted".to_owned() })
    }

    /// Sets how an entitlement is granted, revoked, or both, and nothing else of it; gives the entitlement as it is then.
    pub async fn set_policies(
        &self,
        app: &str,
        id: &str,
        provisioner: Option<&Policy>,
        deprovisioner: Option<&Policy>,
    ) -> Result<AppEntitlement, ApiError> {
        let sides = [("provisionerPolicy", provisioner), ("deprovisionerPolicy", deprovisioner)];
        let sides: Vec<_> = sides.into_iter().filter_map(|(field, policy)| Some((field, policy?))).collect();
        let mask = sides.iter().map(|(field, _)| *field).collect::<Vec<_>>().join(",");
        // A field that the mask names and the entitlement lacks is cleared.
        let mut fields = Map::new();
        for (field, policy) in sides {
            if !policy.value().is_null() {
                fields.insert(field.to_owned(), policy.value().clone());
            }
        }
        let body = json!({ "entitlement": fields, "updateMask": mask });
        let what = "change an entitlement's provisioning";
        let path = path(&["api", "v1", "apps", app, "entitlements", id]);
        let one: OneView = self.call(Call { what, method: Method::Post, path, body: Some(&body) }).await?;
        match one.app_entitlement_view.and_then(|view| view.app_entitlement?.read()) {
            Some(entitlement) => Ok(entitlement),
            None => self.entitlement(app, id).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Policy, RawEntitlement, page_query};

    #[test]
    fn policies_that_say_the_same_are_equal() {
        let full = json!({ "webhook": { "webhookId": "w" }, "connector": null, "manual": null, "multiStep": null });
        assert_eq!(Policy::of(Some(full)), Policy::webhook("w"));
        for unset in [None, Some(Value::Null), Some(json!({})), Some(json!({ "connector": null }))] {
            assert_eq!(Policy::of(unset), Policy::default());
        }
        let set = Policy::of(Some(json!({ "connector": {} })));
        assert_eq!(set.kind(), Some(("connector", &json!({}))), "a kind without fields is set");
        assert_eq!(Policy::webhook("w").webhook_id(), Some("w"));
    }

    #[test]
    fn an_entitlement_is_read_whether_unset_fields_are_there_or_not() {
        let read = |value: Value| serde_json::from_value::<RawEntitlement>(value).unwrap().read();
        let bare = read(json!({ "id": "e" })).unwrap();
        let full = read(json!({
            "id": "e", "displayName": "", "sourceConnectorIds": null, "matchBatonId": "", "externalId": null,
            "systemBuiltin": false, "provisionerPolicy": null, "deprovisionerPolicy": {}, "deletedAt": null, "x": [1],
        }));
        assert_eq!(full, Some(bare));
        assert_eq!(read(json!({ "id": "" })), None, "an empty id would lead to the list");
        assert_eq!(read(json!({ "id": "e", "deletedAt": "2026-08-01T00:00:00Z" })), None);
        let named =
            read(json!({ "id": "e", "sourceConnectorIds": { "c2": "b", "c1": "a" }, "externalId": "x" })).unwrap();
        assert_eq!(named.named.candidates, ["a", "b", "x"]);
    }

    #[test]
    fn a_page_token_is_encoded() {
        assert_eq!(page_query(Some("a+b=&c")), "?page_size=100&page_token=a%2Bb%3D%26c");
    }
}
