//! The audit log, version 2: an entry for every change, ours and other people's (`reference/cloudflare.md` 1.7).

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::account::{Account, AuditEntry};
use super::envelope::{Answer, failure, page};
use super::visit::{Credential, Owner, Visit};

/// Filters that may be given, and where in an entry their value stands.
const FILTERS: [(&str, &str); 20] = [
    ("account_name", "/account/name"),
    ("action_result", "/action/result"),
    ("action_type", "/action/type"),
    ("actor_context", "/actor/context"),
    ("actor_email", "/actor/email"),
    ("actor_id", "/actor/id"),
    ("actor_ip_address", "/actor/ip_address"),
    ("actor_token_id", "/actor/token_id"),
    ("actor_token_name", "/actor/token_name"),
    ("actor_type", "/actor/type"),
    ("audit_log_id", "/id"),
    ("id", "/id"),
    ("raw_cf_ray_id", "/raw/cf_ray_id"),
    ("raw_method", "/raw/method"),
    ("raw_status_code", "/raw/status_code"),
    ("raw_uri", "/raw/uri"),
    ("resource_id", "/resource/id"),
    ("resource_product", "/resource/product"),
    ("resource_type", "/resource/type"),
    ("resource_scope", "/resource/scope"),
];

/// A change, to be written down.
pub(super) struct AuditedCall<'a> {
    pub(super) method: &'a str,
    pub(super) uri: String,
    pub(super) resource_id: String,
    pub(super) ray: String,
}

/// Writes an entry for a change by an API caller, or by a person in the dashboard where there is none.
pub(super) fn record(account: &mut Account, change: &AuditedCall<'_>, caller: Option<&Credential>) {
    let (verb, kind) = match change.method {
        "POST" => ("Add", "create"),
        "DELETE" => ("Remove", "delete"),
        _ => ("Update", "update"),
    };
    let product = if change.uri.contains("/user_groups") {
        "user_groups"
    } else if change.uri.contains("/resource_groups") {
        "resource_groups"
    } else if change.uri.contains("/tokens") {
        "account_api_tokens"
    } else {
        "members"
    };
    let actor = match caller {
        Some(Credential { owner: Owner::Account, id, name, .. }) => json!({
            "context": "api_token", "type": "account", "id": account.id, "token_id": id, "token_name": name,
            "ip_address": "198.51.100.7",
        }),
        Some(Credential { owner: Owner::User(user), id, name, .. }) => json!({
            "context": "api_token", "type": "user", "id": user, "token_id": id, "token_name": name,
            "ip_address": "198.51.100.7",
        }),
        None => json!({
            "context": "dash", "type": "user", "id": "f6b5de0326bb5182b8a4840ee01ec774",
            "email": "somebody.else@example.com", "ip_address": "203.0.113.9",
        }),
    };
    let time = now(account);
    let shown_at = time + chrono::Duration::seconds(account.log_delay);
    let entry = json!({
        "id": account.new_id(),
        "account": { "id": account.id, "name": account.name },
        "action": {
            "description": format!("{verb} {product}"), "result": "success", "type": kind,
            "time": time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        },
        "actor": actor,
        "raw": {
            "cf_ray_id": change.ray, "method": change.method, "status_code": 200, "uri": change.uri,
            "user_agent": "simulated",
        },
        "resource": {
            "id": change.resource_id, "product": product, "type": product, "scope": "accounts", "request": {},
            "response": {},
        },
    });
    account.audit.push(AuditEntry { time, shown_at, json: entry });
}

/// What time it is for the log.
fn now(account: &Account) -> DateTime<Utc> {
    account.log_clock.unwrap_or_else(Utc::now)
}

/// Entries are kept for 18 months.
const KEPT_DAYS: i64 = 548;

/// Writes an entry of anything.
pub(super) fn write(account: &mut Account, at: Option<i64>, shown_after: i64, entry: Value) {
    let time = at.and_then(|at| DateTime::from_timestamp(at, 0)).unwrap_or_else(|| now(account));
    let shown_at = now(account) + chrono::Duration::seconds(shown_after);
    let mut whole = json!({
        "id": account.new_id(),
        "account": { "id": account.id, "name": account.name },
        "action": {
            "description": "Something", "result": "success", "type": "update",
            "time": time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        },
        "actor": { "context": "dash", "type": "user" },
        "raw": { "method": "PUT", "status_code": 200 },
        "resource": { "product": "dns", "type": "dns", "scope": "accounts", "request": {}, "response": {} },
    });
    merge(&mut whole, entry);
    account.audit.push(AuditEntry { time, shown_at, json: whole });
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// GET the entries between `since` and `before`, newest first unless asked otherwise.
pub(super) fn list(visit: &mut Visit<'_>) -> Answer {
    let bound =
        |name: &str| {
            visit.request.param(name).and_then(|text| moment(&text)).ok_or_else(|| {
                failure(400, 1001, format!("Invalid request: {name} must be a date or an RFC 3339 time"))
            })
        };
    let (since, before) = (bound("since")?, bound("before")?);
    let limit = match visit.request.param("limit").map(|limit| limit.parse::<usize>()) {
        None => 100,
        Some(Ok(limit)) if (1..=1_000).contains(&limit) => limit,
        Some(_) => return Err(failure(400, 1001, "Invalid request: limit must be between 1 and 1000")),
    };
    let start: usize = match visit.request.param("cursor").map(|cursor| cursor.strip_prefix("after-").map(str::parse)) {
        None => 0,
        Some(Some(Ok(start))) => start,
        Some(_) => return Err(failure(400, 1001, "Invalid request: unknown cursor")),
    };
    let params = visit.request.params();
    let now = now(visit.account);
    let oldest = now - chrono::Duration::days(KEPT_DAYS);
    let mut entries: Vec<&AuditEntry> = visit
        .account
        .audit
        .iter()
        .filter(|entry| entry.time >= oldest && entry.shown_at <= now)
        .filter(|entry| (since..before).contains(&entry.time) && passes(&entry.json, &params))
        .collect();
    entries.sort_by_key(|entry| entry.time);
    let mut entries: Vec<&Value> = entries.into_iter().map(|entry| &entry.json).collect();
    // Unlike elsewhere, down is the default.
    if visit.request.param("direction").as_deref() != Some("asc") {
        entries.reverse();
    }
    let total = entries.len();
    let shown: Vec<Value> = entries.into_iter().skip(start).take(limit).cloned().collect();
    let end = start + shown.len();
    // The count is a text here.
    let mut info = json!({ "count": shown.len().to_string() });
    if end < total {
        super::render::set(&mut info, "cursor", json!(format!("after-{end}")));
    }
    Ok(page(shown, info))
}

/// Each filter is any of its values; `.not` none of them.
fn passes(entry: &Value, params: &[(String, String)]) -> bool {
    let asked = |name: &str| params.iter().any(|(key, _)| key.trim_end_matches(".not") == name);
    FILTERS.iter().filter(|(name, _)| asked(name)).all(|(name, pointer)| {
        let value = match entry.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        let negated = format!("{name}.not");
        let mut wanted = params.iter().filter(|(key, _)| key == name).peekable();
        let any = wanted.peek().is_none() || wanted.any(|(_, wanted)| *wanted == value);
        any && !params.iter().any(|(key, unwanted)| *key == negated && *unwanted == value)
    })
}

/// A date (its midnight, UTC) or an RFC 3339 time.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    time.or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc()))
}
