//! What scopes may name: domains, Workers and Access applications, with the lists that tell their names.

use serde_json::{Value, json};

use super::account::{Account, Level, ResourceGroup};
use super::envelope::{Answer, Success, page, success};
use super::paging::{ORDINARY, Sizes, Window};
use super::visit::Visit;
use super::{Cloudflare, lock};

/// Access applications: at most 1,000 on a page, which is the default too.
const ACCESS: Sizes = Sizes { default: 1_000, min: 1, max: 1_000 };

/// An object that has a name.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// A domain's or application's id, a Worker's tag.
    pub(super) id: String,
    pub(super) name: String,
}

/// GET the domains of the account that the request names.
pub(super) fn list_zones(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ORDINARY, visit.behaviour)?;
    let account = &*visit.account;
    let wanted = visit.request.param("account.id");
    let of_account = wanted.is_none_or(|wanted| wanted == account.id);
    let mut zones: Vec<&Object> = account.zones.iter().filter(|_| of_account).collect();
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    let total = zones.len();
    let shown: Vec<Value> =
        window.slice(zones.into_iter()).into_iter().map(|zone| render_zone(account, zone)).collect();
    let info = window.info(shown.len(), total);
    Ok(page(shown, info))
}

fn render_zone(account: &Account, zone: &Object) -> Value {
    json!({
        "id": zone.id, "name": zone.name, "status": "active", "paused": false, "type": "full", "development_mode": 0,
        "account": { "id": account.id, "name": account.name }, "owner": { "id": null, "type": "user", "name": null },
        "meta": { "step": 2, "phishing_detected": false }, "name_servers": ["a.ns.example", "b.ns.example"],
        "original_name_servers": null, "original_registrar": null, "original_dnshost": null,
        "created_on": "2021-03-01T09:12:00Z", "modified_on": "2021-03-01T09:12:00Z", "activated_on": null,
        "plan": { "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "name": "Free Website" },
    })
}

/// GET the Workers: all of them, whatever page is asked for.
pub(super) fn list_workers(visit: &Visit<'_>) -> Success {
    let workers = visit.account.workers.iter();
    success(workers.map(|worker| json!({ "id": worker.name, "tag": worker.id, "tags": [], "etag": "e" })).collect())
}

/// GET the Access applications.
pub(super) fn list_access_apps(visit: &mut Visit<'_>) -> Answer {
    let window = Window::of(visit.request, ACCESS, visit.behaviour)?;
    let apps = visit.account.access_apps.iter();
    let shown: Vec<Value> = window
        .slice(apps)
        .into_iter()
        .map(|app| json!({ "id": app.id, "name": app.name, "type": "self_hosted", "domain": "admin.example.com" }))
        .collect();
    let info = window.info(shown.len(), visit.account.access_apps.len());
    Ok(page(shown, info))
}

/// 32 hexadecimal digits as a UUID.
pub(super) fn uuid(hex: &str) -> String {
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Cloudflare {
    /// Adds a resource group that reaches these objects, by their keys; returns its id.
    pub fn add_scope(&self, name: &str, keys: &[&str]) -> String {
        let account = &mut lock(&self.shared.state).account;
        let (id, scope_key) = (account.new_id(), account.key());
        let objects: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let kind = super::policies::scope_kind(&objects);
        let group = ResourceGroup { id: id.clone(), name: name.to_owned(), kind, editable: true, scope_key, objects };
        account.resource_groups.push(group);
        id
    }

    /// Adds many resource groups that nobody holds, each for one domain that is in no list.
    pub fn add_idle_scopes(&self, count: usize) {
        let account = &mut lock(&self.shared.state).account;
        for _ in 0..count {
            let (id, zone, scope_key) = (account.new_id(), account.new_id(), account.key());
            let (name, kind) = (format!("rg-{}", &id[..4]), Level::Zone);
            let objects = vec![format!("com.cloudflare.api.account.zone.{zone}")];
            account.resource_groups.push(ResourceGroup { id, name, kind, editable: true, scope_key, objects });
        }
    }

    /// Adds a domain without a resource group; returns the key of it.
    pub fn add_domain(&self, name: &str) -> String {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        account.zones.push(Object { id: id.clone(), name: name.to_owned() });
        format!("com.cloudflare.api.account.zone.{id}")
    }

    /// Adds a Worker; returns the key of it.
    pub fn add_worker(&self, name: &str) -> String {
        let account = &mut lock(&self.shared.state).account;
        let id = account.new_id();
        account.workers.push(Object { id: id.clone(), name: name.to_owned() });
        format!("com.cloudflare.edge.worker.script.{id}")
    }

    /// Adds an Access application; returns the key of it.
    pub fn add_access_app(&self, name: &str) -> String {
        let account = &mut lock(&self.shared.state).account;
        let hex = account.new_id();
        let id = uuid(&hex);
        account.access_apps.push(Object { id: id.clone(), name: name.to_owned() });
        format!("com.cloudflare.api.account.access.app.{id}")
    }

    /// Deletes a domain, Worker or Access application. Resource groups go on naming it.
    pub fn delete_object(&self, name: &str) {
        let account = &mut lock(&self.shared.state).account;
        for list in [&mut account.zones, &mut account.workers, &mut account.access_apps] {
            list.retain(|object| object.name != name);
        }
    }

    /// The keys of the domains, and their names.
    pub fn domains(&self) -> Vec<(String, String)> {
        let state = lock(&self.shared.state);
        let zones = state.account.zones.iter();
        zones.map(|zone| (format!("com.cloudflare.api.account.zone.{}", zone.id), zone.name.clone())).collect()
    }
}
