//! The account itself, its tokens, token verification, and the token's own user (`reference/cloudflare.md` 1.6).

use serde_json::{Value, json};

use super::account::{Token, UserTag, generated_time};
use super::envelope::{Answer, FailureResult, Success, failure, page, success, success_body};
use super::paging::{ORDINARY, Window};
use super::render::set;
use super::visit::{Credential, Owner, Visit};

/// GET the account.
pub(super) fn account(visit: &Visit<'_>) -> Success {
    let posture = &visit.account.posture;
    let mut managed_by = json!({});
    if let Some((id, name)) = &posture.organization {
        managed_by = json!({ "parent_org_id": id, "parent_org_name": name });
    }
    success(json!({
        "id": visit.account.id, "name": visit.account.name, "type": "enterprise",
        "created_on": time(visit.account.created_on), "managed_by": managed_by,
        "settings": { "enforce_twofactor": posture.enforces_two_factor, "abuse_contact_email": null, "api_access_enabled": true },
    }))
}

/// GET the account's tokens; the secret is never told.
pub(super) fn list(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ORDINARY, visit.behaviour)?;
    let with_expired =
        !visit.behaviour.hides_expired_tokens || visit.request.param("include_expired").as_deref() == Some("true");
    let mut tokens: Vec<&Token> = visit
        .account
        .tokens
        .iter()
        .filter(|token| with_expired || token.status != "expired")
        .filter(|token| is_shown(visit, token))
        .collect();
    if visit.descending()? {
        tokens.reverse();
    }
    let total = tokens.len();
    let shown: Vec<Value> = window.slice(tokens.into_iter()).into_iter().map(|token| render(visit, token)).collect();
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

/// GET one of the account's tokens.
pub(super) fn get(visit: &Visit<'_>) -> Answer {
    let mut tokens = visit.account.tokens.iter();
    let token = tokens.find(|token| token.id == visit.call.id(0)).filter(|token| is_shown(visit, token));
    let token = token.ok_or_else(|| failure(404, 1003, "Invalid or missing token id"))?;
    Ok(success(render(visit, token)))
}

/// Whether the caller is told of a token. That others are left out is not said.
fn is_shown(visit: &Visit<'_>, token: &Token) -> bool {
    let is_made = visit.behaviour.lists_tokens_made.as_ref().is_none_or(|made| made.contains(&token.id));
    is_made && (!visit.behaviour.lists_own_token_only || token.id == visit.caller.id)
}

/// What each kind of token may do, in turn; the first is the connector's own.
fn policies(visit: &Visit<'_>, token: &Token) -> Value {
    let key = visit.account.key();
    let group = |id: char, name: &str| json!({ "id": String::from(id).repeat(32), "name": name });
    let policy = |groups: Vec<Value>, resources: Value| json!([{ "id": token.id, "effect": "allow", "resources": resources, "permission_groups": groups }]);
    let zones = json!({ &key: { "com.cloudflare.api.account.zone.*": "*" } });
    let place = visit.account.tokens.iter().position(|known| known.id == token.id).unwrap_or_default();
    match place {
        0 => {
            let mut groups = vec![group('1', "Account Settings Write")];
            groups.extend((!visit.behaviour.lists_own_token_only).then(|| group('2', "Account API Tokens Read")));
            policy(groups, json!({ &key: "*" }))
        }
        _ if place.is_multiple_of(2) => policy(vec![group('3', "DNS Write"), group('4', "Zone Read")], zones),
        _ => policy(vec![group('5', "Workers Scripts Write")], json!({ &key: "*" })),
    }
}

fn render(visit: &Visit<'_>, token: &Token) -> Value {
    let mut body = json!({
        "id": token.id, "name": token.name, "status": token.status, "issued_on": time(token.issued_on),
        "modified_on": time(token.issued_on),
        "policies": policies(visit, token),
        "condition": {},
    });
    let optional = [
        ("last_used_on", token.last_used_on.map(time)),
        ("expires_on", token.expires_on.map(time)),
        ("creator_email_at_creation", token.creator.clone()),
    ];
    for (field, value) in optional {
        if let Some(value) = value {
            set(&mut body, field, json!(value));
        }
    }
    for (field, value) in &token.more {
        set(&mut body, field, value.clone());
    }
    body
}

/// GET `tokens/verify`, each kind of token on the route of its kind; the other kind is "Invalid API Token".
pub(super) fn verify(caller: &Credential, expected_account_owned: bool) -> Answer {
    if (caller.owner == Owner::Account) != expected_account_owned {
        return Err(failure(401, 1000, "Invalid API Token").with_result(FailureResult::Missing));
    }
    let mut result = json!({ "id": caller.id, "status": caller.status });
    if caller.status == "expired" {
        set(&mut result, "expires_on", json!(time(generated_time(6_000))));
    }
    let message = match caller.status {
        "active" => "This API Token is valid and active".to_owned(),
        other => format!("This API Token is {other}"),
    };
    Ok(success_body(json!({
        "success": true, "errors": [], "messages": [{ "code": 10_000, "message": message }],
        "result": result,
    })))
}

/// GET `/user`: for user tokens alone.
pub(super) fn user(visit: &mut Visit<'_>) -> Answer {
    let Owner::User(id) = &visit.caller.owner else {
        return Err(failure(403, 9109, "Valid user-level authentication not found").with_result(FailureResult::Null));
    };
    let known = UserTag::Known(id.clone());
    let member = visit.account.members().find(|member| member.user == known);
    Ok(success(json!({
        "id": id, "email": member.map(|member| member.email.clone()),
        "first_name": member.and_then(|member| member.first_name.clone()),
        "last_name": member.and_then(|member| member.last_name.clone()),
        "two_factor_authentication_enabled": member.is_some_and(|member| member.two_factor),
        "suspended": false, "organizations": [],
    })))
}

fn time(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
