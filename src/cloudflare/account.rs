//! The account itself, and the audit log (`reference/cloudflare.md` 1.6 to 1.8).

use form_urlencoded::Serializer;
use serde_json::Value;

use super::call::Call;
use super::client::{Client, ListPage, Record, asked_for, filled, id, moment, required};
use super::error::ApiError;
use super::scope::NamedObject;
use crate::base::json::Deserialize;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::time::Timestamp;
use crate::model::address;
use crate::model::id::AccountId;

/// The account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The account's name.
    pub name: String,
    /// Whether members without a second factor are locked out.
    pub enforce_two_factor: Option<bool>,
    /// The organization that the account is in: id and name.
    pub organization: Option<(String, String)>,
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
    /// `user`, `account`, `system` or another word of Cloudflare's.
    pub actor_type: Option<String>,
    /// Through what: `dash`, `api_token`, `api_key`, `oauth` or another word of Cloudflare's.
    pub context: Option<String>,
    /// Which token did it, where one did.
    pub actor_token_id: Option<String>,
    /// That token's name.
    pub token_name: Option<String>,
    /// The path that was called, where told.
    pub uri: Option<String>,
    /// What was changed.
    pub resource_id: Option<String>,
    /// The product that it belongs to, such as `members`.
    pub product: Option<String>,
    /// The ray id of the request.
    pub ray: Option<String>,
}

/// One page of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, oldest first, as far as they can be read.
    pub entries: Vec<AuditEntry>,
    /// Whether nothing came, also nothing that cannot be read.
    pub is_empty: bool,
    /// Where the next page begins.
    pub cursor: Option<String>,
}

/// What a list tells of a person's last login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRecord {
    /// The Cloudflare user, where the list tells it.
    pub user: Option<String>,
    /// The person's e-mail address.
    pub email: Option<String>,
    /// When; nothing where the person never logged in.
    pub at: Option<Timestamp>,
}

/// People and logins on a page at most.
pub const LOGINS_PER_PAGE: u32 = 1_000;

/// A text of an entry is cut to this.
const LONGEST_TEXT: usize = 320;

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// The account.
    pub async fn account(&self) -> Result<Account, ApiError> {
        let told: Account = self.object(Call::get(self.account_path(""))).await?;
        asked_for(&self.settings().account_id, &told.id)?;
        Ok(told)
    }

    /// The domains with an identity provider of their own, each with how it stands: this list has no pages.
    pub async fn sso_domains(&self) -> Result<ListPage<NamedObject>, ApiError> {
        let page = self.page::<SsoDomain>(Call::get(self.account_path("/sso_connectors"))).await?;
        Ok(ListPage { items: page.items.into_iter().map(|domain| domain.0).collect(), odd: page.odd, info: page.info })
    }

    /// One page of the people whom Access knows, each with the last login through it.
    pub async fn access_users_page(&self, page: u32) -> Result<ListPage<LoginRecord>, ApiError> {
        let path = format!("/access/users?page={page}&per_page={LOGINS_PER_PAGE}");
        self.page(Call::get_long(self.account_path(&path))).await
    }

    /// One page of the logins that the audit log of version 1 tells, since a time, the oldest first.
    pub async fn logins_page(&self, since: Timestamp, page: u32) -> Result<ListPage<LoginRecord>, ApiError> {
        let path =
            format!("/audit_logs?action.type=login&since={since}&direction=asc&page={page}&per_page={LOGINS_PER_PAGE}");
        self.page(Call::get_long(self.account_path(&path))).await
    }

    /// One page of the audit log (version 2) from `since` until `before`, of at most 1,000 entries. Reads and refused requests are not
    /// in it.
    pub async fn audit_log(
        &self,
        since: Timestamp,
        before: Timestamp,
        only_successes: bool,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<AuditPage, ApiError> {
        let mut query = Serializer::new(String::new());
        query.append_pair("since", &since.to_string()).append_pair("before", &before.to_string());
        query.append_pair("direction", "asc").append_pair("limit", &limit.to_string());
        if only_successes {
            query.append_pair("action_result", "success");
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", cursor);
        }
        let page = self.page(Call::get_long(self.account_path(&format!("/logs/audit?{}", query.finish())))).await?;
        let is_empty = page.items.is_empty() && page.odd.is_empty();
        Ok(AuditPage { entries: page.items, is_empty, cursor: page.info.and_then(|info| info.cursor) })
    }
}

#[derive(Deserialize)]
pub(super) struct AccountWire {
    id: Option<String>,
    name: Option<String>,
    settings: Option<Value>,
    managed_by: Option<Value>,
}

impl Record for Account {
    type Wire<'de> = AccountWire;

    fn read(wire: AccountWire) -> Result<Self, String> {
        let (settings, parent) = (wire.settings.unwrap_or_default(), wire.managed_by.unwrap_or_default());
        let told = |name: &str| filled(parent.get(name).and_then(Value::as_str).map(str::to_owned));
        Ok(Self {
            id: id(wire.id.as_deref(), "id")?,
            name: wire.name.unwrap_or_default(),
            // Where it was never set it is told as `null`, and is off.
            enforce_two_factor: settings
                .get("enforce_twofactor")
                .and_then(|told| told.as_bool().or(told.is_null().then_some(false))),
            organization: told("parent_org_id").map(|id| (id, told("parent_org_name").unwrap_or_default())),
        })
    }
}

/// A domain, and in one word how it stands.
struct SsoDomain(NamedObject);

impl Record for SsoDomain {
    type Wire<'de> = Value;

    fn read(wire: Value) -> Result<Self, String> {
        let domain = filled(wire.get("email_domain").and_then(Value::as_str).map(str::to_owned));
        let status = wire.pointer("/verification/status").and_then(Value::as_str).unwrap_or("unknown");
        let state = match wire.get("enabled").and_then(Value::as_bool) {
            Some(false) if status == "verified" => "disabled",
            None if status == "verified" => "unknown",
            _ => status,
        };
        Ok(Self(NamedObject { id: address::folded_domain(&required(domain, "email_domain")?), name: state.to_owned() }))
    }
}

impl Record for LoginRecord {
    // Of two lists, each with its own names.
    type Wire<'de> = Value;

    fn read(wire: Value) -> Result<Self, String> {
        let text = |path: &str| filled(wire.pointer(path).and_then(Value::as_str).map(str::to_owned));
        Ok(if wire.get("actor").is_some() {
            let is_login = text("/action/type").is_some_and(|kind| kind == "login");
            let at = text("/when").filter(|_| is_login && wire.pointer("/action/result") != Some(&Value::Bool(false)));
            Self { user: text("/actor/id"), email: text("/actor/email"), at: at.and_then(|at| moment(&at)) }
        } else {
            let at = text("/last_successful_login").and_then(|at| moment(&at));
            Self { user: None, email: Some(required(text("/email"), "email")?), at }
        })
    }
}

impl Record for AuditEntry {
    // The entry's own parts are partly untyped in Cloudflare's description; each is read where it is as expected.
    type Wire<'de> = Value;

    fn read(wire: Value) -> Result<Self, String> {
        // What is told of a change is kept, and what comes from outside must not fill the disk.
        let text = |path: &str| {
            let text = wire.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(|text| text.chars().take(LONGEST_TEXT).collect::<String>())
        };
        Ok(Self {
            id: required(text("/id"), "id")?,
            at: text("/action/time").and_then(|text| Timestamp::parse(&text)),
            action: text("/action/type"),
            description: text("/action/description"),
            actor_email: text("/actor/email"),
            actor_id: text("/actor/id"),
            actor_type: text("/actor/type"),
            context: text("/actor/context"),
            actor_token_id: text("/actor/token_id"),
            token_name: text("/actor/token_name"),
            uri: text("/raw/uri"),
            resource_id: text("/resource/id"),
            product: text("/resource/product"),
            ray: text("/raw/cf_ray_id"),
        })
    }
}
