//! API tokens: those the account owns, and the one this connector calls with (`reference/cloudflare.md` 1.6); and the account's OAuth
//! clients (`reference/tokens.md` b.2).

use serde_json::Value;

use super::call::Call;
use super::client::{Client, ListPage, Record, asked_for, filled, id, moment, required};
use super::error::ApiError;
use super::{SIZES, access};
use crate::base::json::Deserialize;
use crate::base::order;
use crate::base::ports::{Clock, Http, Sql};
use crate::base::time::Timestamp;
use crate::base::tree::BTreeMap;
use crate::model::access::Access;
use crate::model::id::{TokenId, UserId};
use crate::model::resource::{OauthClient, Token, TokenPolicy};
use crate::model::scope::Scope;

/// Whose token a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The account's own; it stays when people leave.
    Account,
    /// A person's; it goes when the person goes, and shares the person's request budget.
    User,
}

/// What Cloudflare says of the token that this connector calls with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenVerification {
    /// The token's id.
    pub id: TokenId,
    /// `active`, `disabled`, `expired`.
    pub status: String,
    /// When it expires.
    pub expires_on: Option<Timestamp>,
    /// Whose it is.
    pub kind: TokenKind,
}

impl<P: Http + Clock + Sql> Client<'_, P> {
    /// One page of the account's tokens. A token that may only list its own sees those that it made, or itself, without any sign of it.
    pub async fn tokens_page(&self, page: u32) -> Result<ListPage<Token>, ApiError> {
        self.page_of(page, &SIZES, |page, size| {
            self.account_path(&format!("/tokens?page={page}&per_page={size}&direction=asc"))
        })
        .await
    }

    /// One of the account's tokens. [`ApiError::NotFound`] where it is gone.
    pub async fn token(&self, id: TokenId) -> Result<Token, ApiError> {
        let call = Call::get(self.account_path(&format!("/tokens/{id}")));
        let told: Token = self.object(call).await.map_err(ApiError::of_one)?;
        asked_for(&id, &told.id)?;
        Ok(told)
    }

    /// All OAuth clients: this list has no pages.
    pub async fn oauth_clients(&self) -> Result<ListPage<OauthClient>, ApiError> {
        self.page(Call::get_long(self.account_path("/oauth_clients"))).await
    }

    /// Asks whether the connector's token is valid, and whose it is. Each kind has a route of its own, and the other kind is
    /// refused there with code 1000; a token in the older form without a prefix is tried on both.
    pub async fn verify_token(&self) -> Result<TokenVerification, ApiError> {
        let token = self.settings().token.expose();
        if !token.starts_with("cfut_") {
            let verified = self.object::<TokenCheck>(Call::get(self.account_path("/tokens/verify"))).await;
            match verified {
                Ok(verified) => return Ok(verified.of(TokenKind::Account)),
                Err(error) if token.starts_with("cfat_") => return Err(error),
                Err(error) if error.is_retryable() => return Err(error),
                Err(_) => {}
            }
        }
        let verified = self.object::<TokenCheck>(Call::get("/user/tokens/verify".to_owned())).await?;
        Ok(verified.of(TokenKind::User))
    }

    /// The person whose token this is. An account's token has nobody, and a user's may lack the permission to tell
    /// (*User Details: Read*): both are refused.
    pub async fn token_owner(&self) -> Result<UserId, ApiError> {
        self.object::<Owner>(Call::get("/user".to_owned())).await.map(|owner| owner.0)
    }
}

struct Owner(UserId);

#[derive(Deserialize)]
pub(super) struct OwnerWire {
    id: Option<String>,
}

impl Record for Owner {
    type Wire<'de> = OwnerWire;

    fn read(wire: OwnerWire) -> Result<Self, String> {
        Ok(Self(id(wire.id.as_deref(), "id")?))
    }
}

struct TokenCheck {
    id: TokenId,
    status: String,
    expires_on: Option<Timestamp>,
}

impl TokenCheck {
    fn of(self, kind: TokenKind) -> TokenVerification {
        TokenVerification { id: self.id, status: self.status, expires_on: self.expires_on, kind }
    }
}

/// A time, where one can be read.
fn time(wire: &Value, name: &str) -> Option<Timestamp> {
    moment(wire.get(name)?.as_str()?)
}

fn text(wire: &Value, name: &str) -> Option<String> {
    filled(wire.get(name).and_then(Value::as_str).map(str::to_owned))
}

/// Whether nothing is told.
fn is_absent(told: Option<&Value>) -> bool {
    told.is_none_or(|told| told.is_null() || told.as_str() == Some(""))
}

/// The texts of a list; whatever else stands there is none.
fn texts(wire: Option<&Value>, most: usize) -> Vec<String> {
    let all = wire.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    all.filter(|text| !text.is_empty()).take(most).map(str::to_owned).collect()
}

impl Record for TokenCheck {
    type Wire<'de> = Value;

    fn read(wire: Value) -> Result<Self, String> {
        Ok(Self {
            id: id(wire.get("id").and_then(Value::as_str), "id")?,
            status: required(text(&wire, "status"), "status")?,
            expires_on: time(&wire, "expires_on"),
        })
    }
}

impl Record for Token {
    // Each part is read where it is as expected: a policy of another form hides no token.
    type Wire<'de> = Value;

    fn read(wire: Value) -> Result<Self, String> {
        let id: TokenId = id(wire.get("id").and_then(Value::as_str), "id")?;
        let condition = wire.get("condition");
        let ip = condition.and_then(|condition| condition.get("request_ip"));
        let listed = |name: &str| ip.and_then(|ip| ip.get(name));
        let addresses = |name: &str| texts(listed(name), Self::MAX);
        // What is there and cannot be read is not absent.
        let mut untold = Vec::new();
        let is_object = |told: Option<&Value>| is_absent(told) || told.is_some_and(Value::is_object);
        let is_list = |told: Option<&Value>| {
            let all = told.and_then(Value::as_array);
            is_absent(told) || all.is_some_and(|all| all.iter().all(Value::is_string))
        };
        if !(is_object(condition) && is_object(ip) && is_list(listed("in")) && is_list(listed("not_in"))) {
            untold.push(Self::ADDRESSES.to_owned());
        }
        let mut time = |name: &str| {
            let (at, told) = (time(&wire, name), wire.get(name));
            // One that stands for none can be read.
            let is_none = || told.and_then(Value::as_str).and_then(Timestamp::parse).is_some();
            if at.is_none() && !is_absent(told) && !is_none() {
                untold.push(name.to_owned());
            }
            at
        };
        let name = text(&wire, "name").unwrap_or_else(|| id.to_string());
        let mut token = Self {
            status: text(&wire, "status").unwrap_or_else(|| "unknown".to_owned()),
            issued_on: time("issued_on"),
            expires_on: time(Self::EXPIRES),
            last_used_day: time(Self::LAST_USED).map(Timestamp::date),
            not_before: time("not_before"),
            creator: text(&wire, "creator_email_at_creation").map(|email| email.trim().to_owned()),
            provisioner: text(&wire, "provisioner_type").map(|kind| (kind, text(&wire, "provisioner_id"))),
            from: addresses("in"),
            not_from: addresses("not_in"),
            ..Self::bare(id, name)
        };
        token.untold = untold;
        let mut room = Self::MAX;
        let policies = wire.get("policies").and_then(Value::as_array);
        if policies.is_none() {
            token.unread = Some("policies is missing".to_owned());
        }
        for policy in policies.into_iter().flatten() {
            token.add(policy, &mut room);
        }
        // What each policy allows comes before the objects of any: how strong the token is must not depend on how many there are.
        for (place, policy) in policies.into_iter().flatten().enumerate() {
            token.add_objects(place, policy, &mut room);
        }
        Ok(token)
    }
}

impl Token {
    /// The status of one whose end has come. The list leaves those out, unless it is asked for them.
    pub(crate) const EXPIRED: &'static str = "expired";

    /// Keeps a permission group or an object of a policy, while there is room.
    fn keep(map: &mut BTreeMap<String, String>, key: &str, value: String, (room, unlisted): (&mut usize, &mut u32)) {
        if map.contains_key(key) {
        } else if *room > 0 {
            *room -= 1;
            map.insert(key.to_owned(), value);
        } else {
            *unlisted = unlisted.saturating_add(1);
        }
    }

    /// Adds a policy with its permission groups, as far as there is room.
    fn add(&mut self, told: &Value, room: &mut usize) {
        let access = match told.get("effect").and_then(Value::as_str) {
            Some("allow") => Access::Allow,
            Some("deny") => Access::Deny,
            _ => Access::Unknown,
        };
        let mut policy = TokenPolicy { access, groups: BTreeMap::new(), scope: Scope::default() };
        // What is absent is unknown, and not nothing.
        let (groups, resources) = (told.get("permission_groups"), told.get("resources"));
        let (groups, resources) = (groups.and_then(Value::as_array), resources.and_then(Value::as_object));
        let has_ids = || groups.into_iter().flatten().all(|group| text(group, "id").is_some());
        let missing = [
            ("effect", !told.get("effect").is_some_and(Value::is_string)),
            ("permission_groups", groups.is_none()),
            ("resources", resources.is_none()),
            ("permission_groups[].id", !has_ids()),
        ];
        if let Some((name, _)) = missing.into_iter().find(|(_, is_missing)| *is_missing) {
            self.unread = Some(format!("{name} of a policy is missing"));
        }
        for group in groups.into_iter().flatten() {
            let Some(id) = text(group, "id") else { continue };
            let name = text(group, "name").unwrap_or_default();
            if let Some(end) = group.get("meta").and_then(ending) {
                self.ending.insert(if name.is_empty() { id.clone() } else { name.clone() }, end);
            }
            Self::keep(&mut policy.groups, &id, name, (room, &mut self.unlisted));
        }
        self.policies.push(policy);
    }

    /// Adds the objects of a policy that was added, as far as there is room.
    fn add_objects(&mut self, place: usize, told: &Value, room: &mut usize) {
        let Some(policy) = self.policies.get_mut(place) else { return };
        for (key, inside) in told.get("resources").and_then(Value::as_object).into_iter().flatten() {
            let mut keep = |key: &String| {
                Self::keep(&mut policy.scope.0, key, String::new(), (&mut *room, &mut self.unlisted));
            };
            match inside.as_object() {
                // What is in an object of the account: the account is where it is, not what is meant.
                Some(inside) => inside.keys().for_each(&mut keep),
                None => keep(key),
            }
        }
    }
}

/// Where a permission group's `meta` says that it is withdrawn: the day, or an empty text where none is told.
fn ending(meta: &Value) -> Option<String> {
    access::ending(meta.get("deprecated").and_then(Value::as_str), meta.get("eol_at").and_then(Value::as_str))
}

impl Record for OauthClient {
    type Wire<'de> = Value;

    fn read(wire: Value) -> Result<Self, String> {
        let id = required(text(&wire, "client_id"), "client_id")?;
        let mut scopes = texts(wire.get("scopes"), Self::MAX);
        order::sort(&mut scopes);
        scopes.dedup();
        Ok(Self {
            name: text(&wire, "client_name").unwrap_or_else(|| id.clone()),
            id: id.parse()?,
            visibility: required(text(&wire, "visibility"), "visibility")?,
            scopes,
            redirect_uris: texts(wire.get("redirect_uris"), Self::MAX),
            created_at: time(&wire, "created_at"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: impl FnOnce(&mut Value)) -> Token {
        let mut wire = json!({
            "id": "1".repeat(32), "name": "ci", "status": "active", "creator_email_at_creation": " Jane@example.com ",
            "provisioner_type": "oauth", "provisioner_id": null, "not_before": "2026-01-01T00:00:00Z",
            "condition": { "request_ip": { "in": ["192.0.2.0/24"], "not_in": ["192.0.2.1/32", ""] } },
            "policies": [
                {
                    "id": "p", "effect": "allow", "resources": { "com.cloudflare.api.account.a": { "com.cloudflare.api.account.zone.*": "*" } },
                    "permission_groups": [{ "id": "g1", "name": "DNS Write", "meta": { "deprecated": "true", "eol_at": "2027-01-01T00:00:00Z" } }],
                },
                { "id": "q", "effect": "deny", "resources": { "com.cloudflare.api.account.zone.z": "*" }, "permission_groups": [{ "id": "g2" }] },
            ],
        });
        change(&mut wire);
        Token::read(wire).unwrap()
    }

    #[test]
    fn what_a_token_may_do_by_whom_and_from_where_is_read() {
        let token = read(|_| {});
        assert_eq!(
            (token.creator.as_deref(), token.provisioner),
            (Some("Jane@example.com"), Some(("oauth".to_owned(), None)))
        );
        assert_eq!((token.from, token.not_from), (vec!["192.0.2.0/24".to_owned()], vec!["192.0.2.1/32".to_owned()]));
        assert_eq!(token.ending.get("DNS Write").map(String::as_str), Some("2027-01-01"));
        let told: Vec<String> = token.policies.iter().map(TokenPolicy::told).collect();
        assert_eq!(told, ["DNS Write on every domain", "not g2 on domain z"]);
    }

    #[test]
    fn a_part_of_another_form_hides_no_token() {
        for odd in [json!(null), json!(7), json!("text"), json!([[1], "x", null]), json!({ "a": [1] })] {
            for field in [
                "name",
                "status",
                "condition",
                "policies",
                "not_before",
                "creator_email_at_creation",
                "provisioner_type",
            ] {
                let token = read(|wire| wire[field] = odd.clone());
                assert_eq!(token.id.to_string(), "1".repeat(32), "{field} {odd}");
                let is_unread = field == "policies";
                assert_eq!(token.unread.is_some(), is_unread, "what is absent is not nothing: {field} {odd}");
                let is_untold = match field {
                    "condition" => !odd.is_object() && !odd.is_null(),
                    "not_before" => !odd.is_null(),
                    _ => false,
                };
                assert_eq!(!token.untold.is_empty(), is_untold, "{field} {odd}: {:?}", token.untold);
            }
            let token = read(|wire| wire["policies"][0] = odd.clone());
            assert_eq!(token.policies.last().unwrap().access, Access::Deny, "{odd}");
            assert!(token.unread.is_some(), "{odd}");
            let token = read(|wire| wire["policies"][0]["effect"] = odd.clone());
            assert_eq!(token.policies[0].access, Access::Unknown, "{odd}");
            assert_eq!(token.unread.is_some(), !odd.is_string(), "a word is told, whatever it means: {odd}");
            let token = read(|wire| wire["policies"][0]["permission_groups"][0]["id"] = odd.clone());
            assert_eq!(token.unread.is_some(), !odd.is_string(), "what it may do is not less by that: {odd}");
        }
    }

    /// Some of Cloudflare's parts write a time of the first year for none.
    #[test]
    fn a_time_of_the_first_year_is_none_and_is_told() {
        let times = |token: &Token| {
            let at = [token.issued_on, token.expires_on, token.not_before].map(|at| at.is_some());
            (at, token.last_used_day.is_some(), token.ending.get("DNS Write").cloned(), token.untold.len())
        };
        for (at, is_one, ending) in [
            ("0001-01-01T00:00:00Z", false, ""),
            ("0001-01-01", false, ""),
            ("1970-01-01T00:00:00Z", false, ""),
            // The control.
            ("2026-01-01T00:00:00Z", true, "2026-01-01"),
        ] {
            let token = read(|wire| {
                for field in ["issued_on", "expires_on", "not_before", "last_used_on"] {
                    wire[field] = json!(at);
                }
                wire["policies"][0]["permission_groups"][0]["meta"]["eol_at"] = json!(at);
            });
            assert_eq!(times(&token), ([is_one; 3], is_one, Some(ending.to_owned()), 0), "{at}");
        }
    }

    #[test]
    fn a_token_of_more_than_a_row_takes_tells_how_much_more() {
        let resources: serde_json::Map<String, Value> =
            (0..1_200).map(|n| (format!("com.cloudflare.api.account.zone.{n}"), json!("*"))).collect();
        let token = read(|wire| wire["policies"][1]["resources"] = json!(resources));
        let kept: usize = token.policies.iter().map(|policy| policy.groups.len() + policy.scope.0.len()).sum();
        assert_eq!((kept, token.unlisted), (1_000, 203));
    }

    #[test]
    fn what_a_token_may_do_is_told_of_all_its_policies_however_many_objects_one_of_them_has() {
        let resources: serde_json::Map<String, Value> =
            (0..1_200).map(|n| (format!("com.cloudflare.api.account.zone.{n}"), json!("*"))).collect();
        let token = read(|wire| wire["policies"][0]["resources"] = json!(resources));
        let groups: Vec<usize> = token.policies.iter().map(|policy| policy.groups.len()).collect();
        let objects: Vec<usize> = token.policies.iter().map(|policy| policy.scope.0.len()).collect();
        assert_eq!((groups, objects, token.unlisted), (vec![1, 1], vec![998, 0], 203));
    }
}
