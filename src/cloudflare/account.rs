//! The account itself, and what else is asked of it: a person by e-mail address through SCIM, and the audit log
//! (`reference/cloudflare.md` 1.6 to 1.8).

use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::client::{Call, Client, Record, filled, id, malformed, required};
use super::error::ApiError;
use crate::base::json;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::time::Timestamp;
use crate::model::address;
use crate::model::id::{AccountId, UserId};

/// The account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The account's name.
    pub name: String,
    /// Whether members without a second factor are locked out.
    pub enforce_two_factor: Option<bool>,
}

/// A member as the SCIM routes tell it: the only look-up by e-mail address. Reading needs no Enterprise plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimUser {
    /// The user's id: the user tag, not the membership's id.
    pub id: UserId,
    /// The e-mail address.
    pub user_name: String,
    /// Whether the membership is active.
    pub active: Option<bool>,
    /// There where an identity provider manages the person.
    pub external_id: Option<String>,
}

/// What entries of the audit log are wanted; all given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilters {
    /// The id of what was changed.
    pub resource_id: Option<String>,
    /// The product it belongs to, such as `members`.
    pub resource_product: Option<String>,
    /// `create`, `delete`, `view` or `update`.
    pub action_type: Option<String>,
    /// `success` or `failure`.
    pub action_result: Option<String>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The entry's id.
    pub id: String,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// `create`, `delete`, `view` or `update`.
    pub action: Option<String>,
    /// What happened, in words.
    pub description: Option<String>,
    /// Whose e-mail address did it.
    pub actor_email: Option<String>,
    /// The id of the user or account that did it.
    pub actor_id: Option<String>,
    /// Which token did it, where one did.
    pub actor_token_id: Option<String>,
    /// The path that was called, where told.
    pub uri: Option<String>,
    /// What was changed.
    pub resource_id: Option<String>,
    /// The ray id of the request.
    pub ray: Option<String>,
}

/// One page of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, oldest first.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins.
    pub cursor: Option<String>,
}

/// Entries of the audit log on a page at most.
const AUDIT_LIMIT: u32 = 1_000;

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// The account.
    pub async fn account(&self) -> Result<Account, ApiError> {
        self.object(Call::get(self.account_path(""))).await
    }

    /// The user whose token this is; refused for an account's own token, and without `User Details: Read`.
    pub async fn user_id(&self) -> Result<UserId, ApiError> {
        self.object::<User>(Call::get("/user".to_owned())).await.map(|user| user.0)
    }

    /// Finds a person by e-mail address.
    pub async fn find_scim_user(&self, email: &str) -> Result<Option<ScimUser>, ApiError> {
        let filter = format!("userName eq \"{}\"", email.replace('\\', "\\\\").replace('"', "\\\""));
        let query = Serializer::new(String::new()).append_pair("filter", &filter).finish();
        let mut call = Call::get(self.account_path(&format!("/scim/v2/Users?{query}")));
        call.accept = "application/scim+json, application/json";
        let response = self.call(call).await?;
        let list: ScimList = json::read(&response.body).map_err(|error| malformed(&error.to_string(), &response))?;
        let users = required(list.resources, "Resources").map_err(|what| malformed(&what, &response))?;
        for user in users {
            let user = ScimUser::read(user).map_err(|what| malformed(&format!("Resources: {what}"), &response))?;
            // The filter is the server's to apply; that it did is checked here.
            if address::same(&user.user_name, email) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    /// One page of the audit log (version 2) from `since` until `before`. Reads and refused requests are not in it.
    pub async fn audit_log(
        &self,
        since: Timestamp,
        before: Timestamp,
        filters: &AuditFilters,
        cursor: Option<&str>,
    ) -> Result<AuditPage, ApiError> {
        let mut query = Serializer::new(String::new());
        query.append_pair("since", &since.to_string()).append_pair("before", &before.to_string());
        query.append_pair("direction", "asc").append_pair("limit", &AUDIT_LIMIT.to_string());
        let filters = [
            ("resource_id", &filters.resource_id),
            ("resource_product", &filters.resource_product),
            ("action_type", &filters.action_type),
            ("action_result", &filters.action_result),
        ];
        for (name, value) in filters {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", cursor);
        }
        let page = self.page(Call::get(self.account_path(&format!("/logs/audit?{}", query.finish())))).await?;
        Ok(AuditPage { entries: page.items, cursor: page.info.and_then(|info| info.cursor) })
    }
}

struct User(UserId);

#[derive(Deserialize)]
pub(super) struct UserWire {
    id: Option<String>,
}

impl Record for User {
    type Wire = UserWire;

    fn read(wire: UserWire) -> Result<Self, String> {
        Ok(Self(id(wire.id.as_deref(), "id")?))
    }
}

#[derive(Deserialize)]
pub(super) struct AccountWire {
    id: Option<String>,
    name: Option<String>,
    settings: Option<Value>,
}

impl Record for Account {
    type Wire = AccountWire;

    fn read(wire: AccountWire) -> Result<Self, String> {
        let settings = wire.settings.unwrap_or_default();
        Ok(Self {
            id: id(wire.id.as_deref(), "id")?,
            name: wire.name.unwrap_or_default(),
            enforce_two_factor: settings.get("enforce_twofactor").and_then(Value::as_bool),
        })
    }
}

#[derive(Deserialize)]
struct ScimList {
    #[serde(rename = "Resources")]
    resources: Option<Vec<ScimWire>>,
}

#[derive(Deserialize)]
pub(super) struct ScimWire {
    id: Option<String>,
    #[serde(rename = "userName")]
    user_name: Option<String>,
    active: Option<bool>,
    #[serde(rename = "externalId")]
    external_id: Option<String>,
}

impl Record for ScimUser {
    type Wire = ScimWire;

    fn read(wire: ScimWire) -> Result<Self, String> {
        Ok(Self {
            id: id(wire.id.as_deref(), "id")?,
            user_name: required(wire.user_name, "userName")?,
            active: wire.active,
            external_id: filled(wire.external_id),
        })
    }
}

impl Record for AuditEntry {
    // The entry's own parts are partly untyped in Cloudflare's description; each is read where it is as expected.
    type Wire = Value;

    fn read(wire: Value) -> Result<Self, String> {
        let text = |path: &str| wire.pointer(path).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            id: required(text("/id"), "id")?,
            at: text("/action/time").and_then(|text| Timestamp::parse(&text)),
            action: text("/action/type"),
            description: text("/action/description"),
            actor_email: text("/actor/email"),
            actor_id: text("/actor/id"),
            actor_token_id: text("/actor/token_id"),
            uri: text("/raw/uri"),
            resource_id: text("/resource/id"),
            ray: text("/raw/cf_ray_id"),
        })
    }
}
