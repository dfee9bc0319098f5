//! The HTTP interface of a namespace, as workerd's client speaks it (workerd's `src/workerd/api/kv.c++`).

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{Entry, Fault, KvCall, MAX_BULK, MAX_KEY, MAX_LIST, MAX_METADATA, MAX_VALUE, MIN_TTL, Operation, State};
use crate::http::{Reply, Request, percent_decode};

impl State {
    pub(super) fn answer(&mut self, request: &Request) -> Reply {
        let key = percent_decode(request.path.strip_prefix('/').unwrap_or(&request.path));
        let kind = match (request.method.as_str(), key.as_str()) {
            ("GET", "") => KvCall::List,
            ("GET", _) => KvCall::Get,
            ("PUT", _) => KvCall::Put,
            ("DELETE", _) => KvCall::Delete,
            ("POST", "bulk/get") => KvCall::BulkGet,
            _ => return refused(405, "method not allowed"),
        };
        let asked = match kind {
            KvCall::BulkGet => bulk_keys(request),
            KvCall::List => vec![request.param("prefix").unwrap_or_default()],
            _ => vec![key],
        };
        let named = asked.first().cloned().unwrap_or_default();
        let fault = self.strike(kind, &asked);
        let reply = match &fault {
            Some(fault) if !fault.persists => refused(fault.status, "on purpose"),
            _ => match kind {
                KvCall::Get => self.get(&named),
                KvCall::BulkGet => self.bulk_get(request, &asked),
                KvCall::Put => self.put(&named, request),
                KvCall::Delete => {
                    self.write(&named, None);
                    Reply::text(200, "text/plain", "")
                }
                KvCall::List => self.list(request, &named),
            },
        };
        let reply = match fault {
            Some(fault) if fault.persists => refused(fault.status, "on purpose, after it was done"),
            _ => reply,
        };
        let (status, answered) = match &reply {
            Reply::Response { status, body, .. } => (*status, body.len()),
            Reply::Reset => (0, 0),
        };
        let bytes = match kind {
            KvCall::Put => request.body.len(),
            _ if status == 200 => answered,
            _ => 0,
        };
        self.operations.push(Operation { kind, key: named, bytes, status });
        reply
    }

    fn get(&mut self, key: &str) -> Reply {
        match self.read(key) {
            None => refused(404, "not found"),
            Some(entry) => {
                let reply = Reply::text(200, "application/octet-stream", entry.value);
                match entry.metadata {
                    Some(metadata) => reply.with_header("cf-kv-metadata", metadata),
                    None => reply,
                }
            }
        }
    }

    fn bulk_get(&mut self, request: &Request, keys: &[String]) -> Reply {
        if keys.is_empty() || keys.len() > MAX_BULK {
            return refused(400, "a bulk read is of 1 to 100 keys");
        }
        let asked = request.json();
        let as_json = asked.get("type") == Some(&json!("json"));
        let with_metadata = asked.get("withMetadata").and_then(Value::as_bool).unwrap_or(false);
        let mut found = Map::new();
        for key in keys {
            let value = self.read(key).map(|entry| {
                let value = if as_json {
                    serde_json::from_slice(&entry.value).unwrap_or(Value::Null)
                } else {
                    json!(String::from_utf8_lossy(&entry.value))
                };
                if !with_metadata {
                    return value;
                }
                let metadata = entry.metadata.and_then(|text| serde_json::from_str::<Value>(&text).ok());
                json!({ "value": value, "metadata": metadata })
            });
            found.insert(key.clone(), value.unwrap_or(Value::Null));
        }
        Reply::json(200, &Value::Object(found))
    }

    fn put(&mut self, key: &str, request: &Request) -> Reply {
        let metadata = request.header("cf-kv-metadata").map(str::to_owned);
        let now = chrono::Utc::now().timestamp();
        let number = |name: &str| request.param(name).and_then(|text| text.parse::<i64>().ok());
        let lifetime = number("expiration_ttl");
        let expires = number("expiration").or_else(|| lifetime.map(|seconds| now + seconds));
        if key.is_empty() || key == "." || key == ".." {
            return refused(400, "key name cannot be empty, \".\" or \"..\"");
        }
        if key.len() > MAX_KEY {
            return refused(414, "key length exceeds limit of 512");
        }
        if request.body.len() > MAX_VALUE {
            return refused(413, "value length exceeds limit of 26214400");
        }
        if metadata.as_ref().is_some_and(|metadata| metadata.len() > MAX_METADATA) {
            return refused(413, "metadata length exceeds limit of 1024");
        }
        if expires.is_some_and(|at| at < now + MIN_TTL) {
            return refused(400, "expiration must be at least 60 seconds in the future");
        }
        let slot = self.slots.entry(key.to_owned()).or_default();
        if self.write_limit && slot.written.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
            return refused(429, "too many requests: one write per second to the same key");
        }
        slot.written = Some(Instant::now());
        self.write(key, Some(Entry { value: request.body.clone(), metadata, expires }));
        Reply::text(200, "text/plain", "")
    }

    fn list(&self, request: &Request, prefix: &str) -> Reply {
        let limit =
            request.param("key_count_limit").and_then(|text| text.parse().ok()).unwrap_or(MAX_LIST).min(MAX_LIST);
        // The cursor is the last key of the page before.
        let after = request.param("cursor").unwrap_or_default();
        let mut keys = self
            .slots
            .keys()
            .filter(|key| key.starts_with(prefix) && key.as_str() > after.as_str())
            .filter_map(|key| self.live(key).map(|entry| (key, entry)));
        let page: Vec<_> = keys.by_ref().take(limit).collect();
        let complete = keys.next().is_none();
        let mut listing = json!({
            "keys": page
                .iter()
                .map(|(name, entry)| {
                    let mut key = json!({ "name": name });
                    if let Value::Object(fields) = &mut key {
                        fields.extend(entry.expires.map(|at| ("expiration".to_owned(), json!(at))));
                        fields.extend(entry.metadata.as_ref().map(|text| ("metadata".to_owned(), json!(text))));
                    }
                    key
                })
                .collect::<Vec<_>>(),
            "list_complete": complete,
        });
        if let (false, Some((last, _)), Value::Object(fields)) = (complete, page.last(), &mut listing) {
            fields.insert("cursor".into(), json!(last));
        }
        Reply::json(200, &listing)
    }

    /// What a reader sees, which may be behind.
    fn read(&mut self, key: &str) -> Option<Entry> {
        let stale = self.stale.iter_mut().find(|(keys, left)| *left > 0 && keys.contain(key));
        match stale {
            Some((_, left)) => {
                *left -= 1;
                self.slots.get(key)?.before.clone()
            }
            None => self.live(key).cloned(),
        }
    }

    pub(super) fn live(&self, key: &str) -> Option<&Entry> {
        let entry = self.slots.get(key)?.now.as_ref()?;
        entry.expires.is_none_or(|at| at > chrono::Utc::now().timestamp()).then_some(entry)
    }

    pub(super) fn write(&mut self, key: &str, entry: Option<Entry>) {
        let slot = self.slots.entry(key.to_owned()).or_default();
        slot.before = std::mem::replace(&mut slot.now, entry);
    }

    /// The fault that strikes this operation, if one does.
    fn strike(&mut self, kind: KvCall, keys: &[String]) -> Option<Fault> {
        let concerned = |fault: &&mut Fault| {
            fault.kind == kind && fault.times > 0 && keys.iter().any(|key| fault.keys.contain(key))
        };
        let fault = self.faults.iter_mut().find(concerned)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.clone())
    }
}

fn bulk_keys(request: &Request) -> Vec<String> {
    let keys = request.json().get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    keys.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn refused(status: u16, message: &str) -> Reply {
    Reply::text(status, "text/plain", message.to_owned())
}
