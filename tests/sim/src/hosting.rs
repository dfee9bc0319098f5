//! Cloudflare's hosting, as far as wrangler 4 uses it to deploy, look at and take away a Worker: `CLOUDFLARE_API_BASE_URL` leads wrangler
//! here. What is no business of hosting goes on to the account that the Worker governs.
//!
//! Answers have the fields that wrangler reads, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::cloudflare::Cloudflare;
use crate::http::{Handler, Reply, ReplyFuture, Request};

/// The token that wrangler is logged in with; another one than the connector's.
pub const LOGIN: &str = "wrangler-login-of-the-tests-0123456789abcdefghij";

/// What uploads of the page's files are sent with.
const UPLOAD: &str = "upload.of.assets";

/// The account's name on workers.dev.
pub const SUBDOMAIN: &str = "acme";

/// A Worker as it is deployed.
#[derive(Clone, Debug, Default)]
pub struct Deployed {
    /// How many uploads there were.
    pub uploads: usize,
    /// Variables, by name.
    pub vars: BTreeMap<String, String>,
    /// Secrets, by name.
    pub secrets: BTreeMap<String, String>,
    /// Bindings of other types: the type, by name.
    pub bindings: BTreeMap<String, String>,
    /// The classes of Durable Objects among them, by name.
    pub classes: BTreeMap<String, String>,
    /// The namespace behind `STATE`.
    pub namespace: Option<String>,
    /// The modules by name, as they were uploaded; the entry point is first.
    pub modules: Vec<(String, Bytes)>,
    /// The page's files: path and hash.
    pub assets: BTreeMap<String, String>,
    /// The cron triggers.
    pub crons: Vec<String>,
    /// The tag of the last migration of Durable Objects.
    pub migration: Option<String>,
    /// Whether it answers at its workers.dev address.
    pub on_workers_dev: bool,
}

#[derive(Default)]
struct State {
    workers: BTreeMap<String, Deployed>,
    /// What runs in place of a Worker's newest version.
    rolled_back: BTreeMap<String, Deployed>,
    namespaces: BTreeMap<String, String>,
    /// How many namespaces were made: no two have the same id, though one be gone.
    made: usize,
    uploaded: BTreeMap<String, Bytes>,
    manifest: BTreeMap<String, String>,
    others: Vec<(String, String)>,
    abroad: BTreeMap<(String, String), Deployed>,
    filled: BTreeSet<String>,
    calls: Vec<String>,
}

/// The hosting of one account. Clones are the same one.
#[derive(Clone)]
pub struct Hosting {
    cloudflare: Cloudflare,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Hosting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosting").field("workers", &self.state().workers.len()).finish_non_exhaustive()
    }
}

impl Hosting {
    /// An account that hosts nothing so far.
    pub fn new(cloudflare: Cloudflare) -> Self {
        Self { cloudflare, state: Arc::default() }
    }

    /// Lets the login see another account as well.
    pub fn also_sees(&self, id: &str, name: &str) {
        self.state().others.push((id.to_owned(), name.to_owned()));
    }

    /// A Worker as its newest version is, which its settings tell.
    pub fn worker(&self, name: &str) -> Option<Deployed> {
        self.state().workers.get(name).cloned()
    }

    /// A Worker as it runs: its newest version, unless somebody rolled it back.
    pub fn running(&self, name: &str) -> Option<Deployed> {
        self.state().running(name).cloned()
    }

    /// Has an earlier upload run with all that it had, as *Rollback* in the dashboard does; the newest version stays what it is.
    pub fn roll_back(&self, name: &str, to: Deployed) {
        self.state().rolled_back.insert(name.to_owned(), to);
    }

    /// A file of a Worker's page, by its path, such as `/index.html`.
    pub fn asset(&self, name: &str, path: &str) -> Option<Bytes> {
        let state = self.state();
        let hash = state.running(name)?.assets.get(path)?;
        state.uploaded.get(hash).cloned()
    }

    /// The KV namespaces: id and title.
    pub fn namespaces(&self) -> BTreeMap<String, String> {
        self.state().namespaces.clone()
    }

    /// Makes a KV namespace that belongs to something else.
    pub fn add_namespace(&self, title: &str) -> String {
        self.state().add_namespace(title)
    }

    /// Takes a KV namespace away, whoever is bound to it, as the dashboard does.
    pub fn remove_namespace(&self, id: &str) {
        self.state().namespaces.remove(id);
    }

    /// Has something in a KV namespace.
    pub fn fill_namespace(&self, id: &str) {
        self.state().filled.insert(id.to_owned());
    }

    /// Takes a Worker away and leaves its KV namespace, as the dashboard does.
    pub fn remove_worker(&self, name: &str) {
        self.state().workers.remove(name);
        self.state().rolled_back.remove(name);
    }

    /// Deploys a Worker into another account that the login sees.
    pub fn add_worker_abroad(&self, account: &str, name: &str, worker: Deployed) {
        self.state().abroad.insert((account.to_owned(), name.to_owned()), worker);
    }

    /// Deploys a Worker that is something else.
    pub fn add_worker(&self, name: &str, worker: Deployed) {
        self.state().workers.insert(name.to_owned(), worker);
    }

    /// Sets a variable of a Worker, as somebody does in the dashboard; a secret of that name is none any more.
    pub fn set_variable(&self, name: &str, variable: &str, value: &str) {
        if let Some(worker) = self.state().workers.get_mut(name) {
            worker.secrets.remove(variable);
            worker.vars.insert(variable.to_owned(), value.to_owned());
        }
    }

    /// Requests that changed something, such as `PUT workers/scripts/c1-cloudflare/schedules`, in their order.
    pub fn changes(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, where the request is one of hosting's.
    fn answer(&self, request: &Request) -> Option<Reply> {
        let token = request.header("authorization")?.strip_prefix("Bearer ")?;
        let path = request.path.strip_prefix("/client/v4/")?;
        if path == "workers/assets/upload" || path.ends_with("/workers/assets/upload") {
            return Some(if token == UPLOAD {
                self.state().upload(request)
            } else {
                refused(403, 10_000, "Authentication error")
            });
        }
        if token != LOGIN {
            return None;
        }
        if path == "accounts" {
            return Some(self.accounts(request));
        }
        let account = self.cloudflare.account_id();
        if let Some(reply) = self.state().abroad(path) {
            return Some(reply);
        }
        let Some(path) = path.strip_prefix(&format!("accounts/{account}/")) else {
            return Some(refused(403, 9109, "Unauthorized to access requested resource"));
        };
        let mut state = self.state();
        if request.method != "GET" {
            state.calls.push(format!("{} {path}", request.method));
        }
        Some(state.answer(request, path))
    }

    fn accounts(&self, request: &Request) -> Reply {
        let own = (self.cloudflare.account_id(), "Simulated".to_owned());
        let all: Vec<Value> = std::iter::once(own)
            .chain(self.state().others.clone())
            .map(|(id, name)| json!({ "id": id, "name": name }))
            .collect();
        let is_first = request.param("page").is_none_or(|page| page == "1");
        ok(200, &json!(if is_first { all } else { Vec::new() }))
    }
}

impl Handler for Hosting {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        match self.answer(&request) {
            Some(reply) => Box::pin(async move { reply }),
            None => Arc::new(self.cloudflare.clone()).handle(request),
        }
    }
}

impl State {
    fn add_namespace(&mut self, title: &str) -> String {
        let id = format!("{:032x}", 0xabc0 + self.made);
        self.made += 1;
        self.namespaces.insert(id.clone(), title.to_owned());
        id
    }

    fn running(&self, name: &str) -> Option<&Deployed> {
        let newest = self.workers.get(name)?;
        Some(self.rolled_back.get(name).unwrap_or(newest))
    }

    /// What is looked at in another account that the login sees.
    fn abroad(&self, path: &str) -> Option<Reply> {
        let (account, path) = path.strip_prefix("accounts/")?.split_once('/')?;
        self.others.iter().find(|(id, _)| id == account)?;
        match *path.split('/').collect::<Vec<_>>() {
            ["workers", "subdomain"] => Some(ok(200, &json!({ "subdomain": "another" }))),
            ["storage", "kv", "namespaces"] => Some(ok(200, &json!([]))),
            ["workers", "scripts", name, "settings"] => {
                Some(match self.abroad.get(&(account.to_owned(), name.to_owned())) {
                    Some(worker) => ok(200, &json!({ "bindings": worker.shown(), "tags": [] })),
                    None => refused(404, 10_007, "This Worker does not exist on your account."),
                })
            }
            _ => None,
        }
    }

    fn answer(&mut self, request: &Request, path: &str) -> Reply {
        let segments: Vec<&str> = path.split('/').collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["workers", "subdomain"]) => ok(200, &json!({ "subdomain": SUBDOMAIN })),
            ("GET", ["workers", "scripts"]) => {
                let shown =
                    self.workers.iter().map(|(id, worker)| json!({ "id": id, "migration_tag": worker.migration }));
                ok(200, &json!(shown.collect::<Vec<_>>()))
            }
            ("POST", ["workers", "scripts", _, "assets-upload-session"]) => self.assets(request),
            ("PUT", ["workers", "scripts", name]) => match self.deploy(name, request) {
                Ok(()) => {
                    self.rolled_back.remove(*name);
                    ok(
                        200,
                        &json!({ "id": name, "etag": "etag", "startup_time_ms": 12, "deployment_id": "0".repeat(32) }),
                    )
                }
                Err(refusal) => refusal,
            },
            ("GET", ["storage", "kv", "namespaces"]) => {
                let shown = self.namespaces.iter().map(|(id, title)| json!({ "id": id, "title": title }));
                ok(200, &json!(shown.collect::<Vec<_>>()))
            }
            ("POST", ["storage", "kv", "namespaces"]) => {
                let title = text(&request.json(), "title");
                if self.namespaces.values().any(|known| *known == title) {
                    return refused(400, 10_014, "a namespace with this account ID and title already exists");
                }
                let id = self.add_namespace(&title);
                ok(200, &json!({ "id": id, "title": title }))
            }
            ("GET", ["storage", "kv", "namespaces", id, "keys"]) => {
                let shown = self.filled.contains(*id).then(|| json!({ "name": "current" }));
                ok(200, &json!(shown.into_iter().collect::<Vec<_>>()))
            }
            ("DELETE", ["storage", "kv", "namespaces", id]) => match self.namespaces.remove(*id) {
                Some(_) => {
                    self.filled.remove(*id);
                    ok(200, &Value::Null)
                }
                None => refused(404, 10_013, "get namespace: 'namespace not found'"),
            },
            ("DELETE", ["workers", "services", name]) => match self.workers.remove(*name) {
                Some(_) => {
                    self.rolled_back.remove(*name);
                    ok(200, &Value::Null)
                }
                None => refused(404, 10_090, "This Worker does not exist on your account."),
            },
            (method, ["workers", "scripts" | "services", name, rest @ ..]) => {
                self.worker_answer(method, name, rest, request)
            }
            _ => refused(404, 7003, "Could not route to that path, perhaps your object identifier is invalid?"),
        }
    }

    /// What is asked of a Worker that there is.
    fn worker_answer(&mut self, method: &str, name: &str, rest: &[&str], request: &Request) -> Reply {
        if (method, rest) == ("POST", &["versions"]) {
            return match self.deploy(name, request) {
                Ok(()) => {
                    let id = self.workers.get(name).map(Deployed::version);
                    ok(200, &json!({ "id": id, "startup_time_ms": 12, "resources": { "script": { "etag": "etag" } } }))
                }
                Err(refusal) => refusal,
            };
        }
        let Some(worker) = self.workers.get_mut(name) else {
            return refused(404, 10_007, "This Worker does not exist on your account.");
        };
        match (method, rest) {
            ("GET", []) => ok(
                200,
                &json!({ "id": name, "default_environment": { "environment": "production",
                    "script": { "id": name, "tag": "tag", "etag": "etag", "last_deployed_from": "wrangler" } } }),
            ),
            ("GET", ["deployments"]) => {
                let id = self.rolled_back.get(name).map_or_else(|| worker.version(), Deployed::version);
                let versions = json!([{ "version_id": id, "percentage": 100 }]);
                ok(200, &json!({ "deployments": [{ "id": "deployment", "versions": versions }] }))
            }
            ("POST", ["deployments"]) => {
                let wanted = request.json();
                if wanted.pointer("/versions/0/version_id").and_then(Value::as_str) == Some(worker.version().as_str()) {
                    self.rolled_back.remove(name);
                }
                ok(200, &json!({ "id": "deployment" }))
            }
            ("GET", ["versions"]) => {
                let earlier = self.rolled_back.get(name).map(Deployed::version);
                let shown = std::iter::once(worker.version()).chain(earlier).map(|id| json!({ "id": id }));
                ok(200, &json!({ "items": shown.collect::<Vec<_>>() }))
            }
            ("PATCH", ["settings"]) if self.rolled_back.contains_key(name) => {
                refused(400, 10_215, "the latest version of your Worker isn't currently deployed")
            }
            ("PATCH", ["script-settings"]) => ok(200, &json!({})),
            ("GET", ["settings"]) => ok(200, &json!({ "bindings": worker.shown(), "tags": [] })),
            ("PATCH", ["settings"]) => {
                let parts = Parts::of(request);
                let settings = parts.json("settings");
                let Some(bindings) = settings.get("bindings").and_then(Value::as_array) else {
                    return refused(400, 10_021, "no bindings");
                };
                if let Some(refusal) = doubled(bindings) {
                    return refusal;
                }
                worker.keep_or_set(bindings);
                ok(200, &json!({}))
            }
            ("GET", ["secrets"]) => {
                let shown = worker.secrets.keys().map(|name| json!({ "name": name, "type": "secret_text" }));
                ok(200, &json!(shown.collect::<Vec<_>>()))
            }
            ("DELETE", ["secrets", secret]) => match worker.secrets.remove(*secret) {
                Some(_) => ok(200, &Value::Null),
                None => refused(404, 10_056, "Secret not found"),
            },
            ("GET", ["subdomain"]) => {
                ok(200, &json!({ "enabled": worker.on_workers_dev, "previews_enabled": worker.on_workers_dev }))
            }
            ("POST", ["subdomain"]) => {
                worker.on_workers_dev = request.json().get("enabled") == Some(&Value::Bool(true));
                ok(200, &json!({ "enabled": worker.on_workers_dev, "previews_enabled": worker.on_workers_dev }))
            }
            ("GET", ["schedules"]) => ok(
                200,
                &json!({ "schedules": worker.crons.iter().map(|cron| json!({ "cron": cron })).collect::<Vec<_>>() }),
            ),
            ("PUT", ["schedules"]) => {
                worker.crons = request.json().as_array().into_iter().flatten().map(|each| text(each, "cron")).collect();
                ok(200, &json!({ "schedules": request.json() }))
            }
            _ => refused(404, 7003, "Could not route to that path, perhaps your object identifier is invalid?"),
        }
    }

    /// Which of the page's files are wanted; those that were uploaded before are not.
    fn assets(&mut self, request: &Request) -> Reply {
        let body = request.json();
        let files = body.get("manifest").and_then(Value::as_object).into_iter().flatten();
        self.manifest = files.map(|(path, file)| (path.clone(), text(file, "hash"))).collect();
        let wanted: Vec<&String> = self.manifest.values().filter(|hash| !self.uploaded.contains_key(*hash)).collect();
        let buckets = if wanted.is_empty() { json!([]) } else { json!([wanted]) };
        ok(200, &json!({ "jwt": UPLOAD, "buckets": buckets }))
    }

    fn upload(&mut self, request: &Request) -> Reply {
        for part in Parts::of(request).0 {
            let Ok(content) = base64::engine::general_purpose::STANDARD.decode(&part.body) else {
                return refused(400, 10_021, "a file is not in base64");
            };
            self.uploaded.insert(part.name, content.into());
        }
        ok(201, &json!({ "jwt": UPLOAD }))
    }

    /// Takes an upload: what Cloudflare refuses is refused here.
    fn deploy(&mut self, name: &str, request: &Request) -> Result<(), Reply> {
        let parts = Parts::of(request);
        let metadata = parts.json("metadata");
        let main = text(&metadata, "main_module");
        let mut modules: Vec<(String, Bytes)> =
            parts.0.iter().filter(|part| part.is_file).map(|part| (part.name.clone(), part.body.clone())).collect();
        modules.sort_by_key(|(name, _)| *name != main);
        if modules.first().is_none_or(|(name, _)| *name != main) {
            return Err(refused(400, 10_021, "the main module is not among the uploaded ones"));
        }
        if let Some(refusal) = metadata.get("bindings").and_then(Value::as_array).and_then(|all| doubled(all)) {
            return Err(refusal);
        }
        let before = self.workers.get(name).cloned().unwrap_or_default();
        let mut worker =
            Deployed { uploads: before.uploads + 1, modules, assets: self.manifest.clone(), ..before.clone() };
        worker.bindings = BTreeMap::new();
        let kept = metadata.get("keep_bindings").and_then(Value::as_array).into_iter().flatten();
        if !kept.into_iter().any(|kind| kind == "plain_text") {
            worker.vars = BTreeMap::new();
        }
        for binding in metadata.get("bindings").and_then(Value::as_array).into_iter().flatten() {
            let (binding_name, kind) = (text(binding, "name"), text(binding, "type"));
            match kind.as_str() {
                // In the place of a secret, where there was one of that name.
                "plain_text" => {
                    worker.secrets.remove(&binding_name);
                    worker.vars.insert(binding_name, text(binding, "text"));
                }
                "kv_namespace" => {
                    let id = text(binding, "namespace_id");
                    if !self.namespaces.contains_key(&id) {
                        return Err(refused(400, 10_041, "KV namespace not found"));
                    }
                    worker.namespace = Some(id);
                    worker.bindings.insert(binding_name, kind);
                }
                "inherit" => match before.bindings.get(&binding_name) {
                    // wrangler asks for it wherever there was a binding, and has not looked what to.
                    Some(inherited)
                        if inherited == "kv_namespace"
                            && before.namespace.as_ref().is_none_or(|id| !self.namespaces.contains_key(id)) =>
                    {
                        return Err(refused(400, 10_041, "KV namespace not found"));
                    }
                    Some(inherited) => drop(worker.bindings.insert(binding_name, inherited.clone())),
                    None => return Err(refused(400, 10_057, "there is no binding to inherit")),
                },
                _ => {
                    if let Some(class) = binding.get("class_name").and_then(Value::as_str) {
                        worker.classes.insert(binding_name.clone(), class.to_owned());
                    }
                    worker.bindings.insert(binding_name, kind);
                }
            }
        }
        if let Some(migrations) = metadata.get("migrations") {
            worker.migration = migrations.get("new_tag").and_then(Value::as_str).map(str::to_owned);
        }
        if worker.bindings.values().any(|kind| kind == "durable_object_namespace") && worker.migration.is_none() {
            return Err(refused(400, 10_061, "Cannot create binding for class that is not exported by the script"));
        }
        if self.manifest.values().any(|hash| !self.uploaded.contains_key(hash)) {
            return Err(refused(400, 10_021, "assets are missing"));
        }
        self.workers.insert(name.to_owned(), worker);
        Ok(())
    }
}

impl Deployed {
    /// The id of the version that the last upload made. That a change of the settings makes another one is left out.
    fn version(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.uploads)
    }

    fn shown(&self) -> Vec<Value> {
        let vars = self.vars.iter().map(|(name, text)| json!({ "name": name, "type": "plain_text", "text": text }));
        let secrets = self.secrets.keys().map(|name| json!({ "name": name, "type": "secret_text" }));
        let others = self.bindings.iter().map(|(name, kind)| {
            let mut shown = json!({ "name": name, "type": kind });
            if let (true, Some(id), Some(fields)) = (kind == "kv_namespace", &self.namespace, shown.as_object_mut()) {
                fields.insert("namespace_id".into(), json!(id));
            }
            if let (Some(class), Some(fields)) = (self.classes.get(name), shown.as_object_mut()) {
                fields.insert("class_name".into(), json!(class));
            }
            shown
        });
        vars.chain(secrets).chain(others).collect()
    }

    /// A binding that is named without a value stays; one that is not named goes.
    fn keep_or_set(&mut self, bindings: &[Value]) {
        let named: BTreeSet<String> = bindings.iter().map(|binding| text(binding, "name")).collect();
        self.secrets.retain(|name, _| named.contains(name));
        self.vars.retain(|name, _| named.contains(name));
        for binding in bindings.iter().filter(|binding| text(binding, "type") == "secret_text") {
            if let Some(value) = binding.get("text").and_then(Value::as_str) {
                self.secrets.insert(text(binding, "name"), value.to_owned());
            }
        }
    }
}

/// A part of a form.
struct Part {
    name: String,
    is_file: bool,
    body: Bytes,
}

/// The parts of a form (RFC 7578), of what wrangler sends.
struct Parts(Vec<Part>);

impl Parts {
    fn of(request: &Request) -> Self {
        let boundary =
            request.header("content-type").and_then(|kind| kind.split_once("boundary=")).map(|(_, boundary)| boundary);
        let Some(boundary) = boundary else { return Self(Vec::new()) };
        let delimiter = format!("--{boundary}");
        let mut parts = Vec::new();
        let mut rest = request.body.clone();
        while let Some(at) = position(&rest, delimiter.as_bytes()) {
            let mut part = rest.split_to(at);
            let _ = rest.split_to(delimiter.len());
            if let Some(head) = position(&part, b"\r\n\r\n") {
                let headers = String::from_utf8_lossy(&part.split_to(head)).into_owned();
                let body = part.slice(4.min(part.len())..part.len().saturating_sub(2).max(4.min(part.len())));
                let parameter = |name: &str| {
                    headers
                        .split_once(&format!(" {name}=\""))
                        .and_then(|(_, rest)| rest.split_once('"'))
                        .map(|(value, _)| value.to_owned())
                };
                if let Some(name) = parameter("name") {
                    parts.push(Part { name, is_file: parameter("filename").is_some(), body });
                }
            }
        }
        Self(parts)
    }

    fn json(&self, name: &str) -> Value {
        let part = self.0.iter().find(|part| part.name == name);
        part.and_then(|part| serde_json::from_slice(&part.body).ok()).unwrap_or_default()
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The refusal of bindings two of which have the same name, be they of different types.
fn doubled(bindings: &[Value]) -> Option<Reply> {
    let mut names = BTreeSet::new();
    let name = bindings.iter().map(|binding| text(binding, "name")).find(|name| !names.insert(name.clone()))?;
    let message = format!("Binding name '{name}' already in use. Please use a different name and try again.");
    Some(refused(400, 10_053, &message))
}

fn ok(status: u16, result: &Value) -> Reply {
    let mut body = json!({ "success": true, "errors": [], "messages": [], "result": result });
    if let (Some(list), Some(fields)) = (result.as_array(), body.as_object_mut()) {
        let count = list.len();
        fields.insert(
            "result_info".into(),
            json!({ "page": 1, "per_page": 1_000, "count": count, "total_count": count, "total_pages": 1 }),
        );
    }
    Reply::json(status, &body)
}

fn refused(status: u16, code: u32, message: &str) -> Reply {
    Reply::json(
        status,
        &json!({ "success": false, "errors": [{ "code": code, "message": message }], "messages": [], "result": null }),
    )
}
