//! Who logged in when: the people whom Access knows, and the audit log of version 1 (`reference/activity.md` c.2). The two populations
//! differ: Access knows people who are no members, and does not know members who sign in with a password.

use serde_json::{Value, json};

use super::envelope::{Answer, page, success};
use super::paging::{Sizes, Window};
use super::visit::Visit;
use super::{Cloudflare, lock};

/// Both lists have at most 1,000 on a page.
const ACCESS: Sizes = Sizes { default: 1_000, min: 1, max: 1_000 };
const OLD_LOG: Sizes = Sizes { default: 100, min: 1, max: 1_000 };

/// GET the people whom Access knows.
pub(super) fn list_access_users(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ACCESS, visit.behaviour)?;
    let people = &visit.account.access_users;
    let shown: Vec<Value> = window.slice(people.iter()).into_iter().cloned().collect();
    let info = window.info(shown.len(), people.len());
    Ok(page(shown, info))
}

/// GET entries of the audit log, version 1: of those that this account has, logins alone. There is no `result_info`.
pub(super) fn list_old_audit_logs(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, OLD_LOG, visit.behaviour)?;
    let since = visit.request.param("since").unwrap_or_default();
    let wanted = visit.request.param("action.type");
    let mut entries: Vec<&Value> = visit
        .account
        .logins
        .iter()
        .filter(|entry| wanted.as_deref().is_none_or(|wanted| told(entry, "/action/type") == wanted))
        .filter(|entry| told(entry, "/when") >= since.as_str())
        .collect();
    entries.sort_by_key(|entry| told(entry, "/when"));
    if visit.request.param("direction").as_deref() != Some("asc") {
        entries.reverse();
    }
    let shown: Vec<Value> = window.slice(entries.into_iter()).into_iter().cloned().collect();
    Ok(success(shown.into()))
}

fn told<'a>(record: &'a Value, path: &str) -> &'a str {
    record.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

impl Cloudflare {
    /// Says when somebody last logged in through Access, at RFC 3339; `null` where the person never did.
    pub fn set_access_user(&self, email: &str, last_login: Option<&str>) {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        let uuid = super::objects::uuid(&id);
        let user = json!({
            "id": uuid, "uid": id, "email": email, "name": "", "access_seat": true, "gateway_seat": false, "seat_uid": id,
            "active_device_count": 0, "last_successful_login": last_login,
            "created_at": "2025-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        });
        match account.access_users.iter_mut().find(|known| told(known, "/email") == email) {
            // Where the person stands in the list stays.
            Some(known) => *known = user,
            None => account.access_users.push(user),
        }
    }

    /// Writes an entry of one's own into the audit log of version 1: a login, or something else.
    pub fn log_login(&self, user: &str, email: &str, when: &str, kind: &str) {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        account.logins.push(json!({
            "id": id, "when": when, "action": { "type": kind, "result": true }, "interface": "UI",
            "actor": { "id": user, "email": email, "type": "user", "ip": "203.0.113.9" },
            "owner": { "id": account.id }, "resource": { "id": account.id, "type": "account" }, "metadata": {},
            "newValue": "", "oldValue": "",
        }));
    }
}
