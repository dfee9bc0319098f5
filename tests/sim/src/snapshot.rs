//! A published snapshot of any size, put into KV without a crawl: for what only reads. It is written from the description of
//! the format alone (`src/sync/snapshot/`), and shares no code with the connector.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::kv::Kv;
use crate::harness::workerd::kv_prefix;

/// How many rows are in a chunk, as in one that the connector cuts.
const CHUNK_ROWS: usize = 256;

/// Roles of the account.
const ROLES: usize = 60;

/// How many of them each member holds.
pub const GRANTS_EACH: usize = 3;

/// One member of this many is pending.
const PENDING: usize = 20;

const TIME: &str = "2026-11-23T10:00:00Z";

/// The hexadecimal digits of a hash: ids are as random as real ones, and always the same.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn id(of: &str, n: usize) -> String {
    hash(format!("{of} {n}").as_bytes()).chars().take(32).collect()
}

/// A snapshot of an account with this many members, each with [`GRANTS_EACH`] grants. Gives its generation.
pub fn publish(kv: &Kv, account: &str, members: usize) -> String {
    let (rows, space) = (rows(members), kv_prefix(account));
    let mut chunks = Vec::new();
    for rows in rows.chunks(CHUNK_ROWS) {
        let mut body = String::new();
        for (key, row) in rows {
            // The type comes first in a line, as the connector writes it; it is the key up to the colon.
            let kind = key.split_once(':').map_or(key.as_str(), |(kind, _)| kind);
            let fields = row.to_string();
            let _ = writeln!(body, "{{\"type\":\"{kind}\",{}", fields.trim_start_matches('{'));
        }
        let hash = hash(body.as_bytes());
        chunks.push(json!({
            "hash": hash,
            "rows": rows.len(),
            "bytes": body.len(),
            "first_key": rows.first().map(|(key, _)| key),
            "last_key": rows.last().map(|(key, _)| key),
            "held": "",
        }));
        kv.put(&format!("{space}chunk/{hash}"), body);
    }
    let digest = hash(chunks.iter().filter_map(|chunk| chunk.get("hash")?.as_str()).collect::<String>().as_bytes());
    let generation = format!("20261123T100000Z-{}", digest.chars().take(8).collect::<String>());
    let pending = (0..members).filter(|n| is_pending(*n)).count();
    let manifest = json!({
        "v": 1,
        "generation": generation,
        "account_id": account,
        "previous": null,
        "started_at": TIME,
        "finished_at": TIME,
        "digest": digest,
        "counts": {
            "users": members - pending, "invitations": pending, "roles": ROLES, "scoped_roles": 0, "groups": 0,
            "tokens": 0, "entitlements": ROLES, "grants": members * GRANTS_EACH,
        },
        "capabilities": {},
        "naming": { "account_resource_group": id("resource group", 0), "roles": {} },
        "entitlements": (0..ROLES).map(|n| format!("role:{}:member", id("role", n))).collect::<Vec<_>>(),
        "chunks": chunks,
    });
    kv.put(&format!("{space}manifest/{generation}"), manifest.to_string());
    let pointer = json!({ "v": 1, "generation": generation, "digest": digest, "published_at": TIME });
    kv.put(&format!("{space}current"), pointer.to_string());
    generation
}

const fn is_pending(member: usize) -> bool {
    member % PENDING == PENDING - 1
}

/// The rows by their keys, sorted.
fn rows(members: usize) -> Vec<(String, Value)> {
    let mut rows: Vec<(String, Value)> = Vec::with_capacity(members + ROLES);
    for n in 0..ROLES {
        let id = id("role", n);
        let name = format!("Cloudflare Role Number {n}");
        rows.push((
            format!("role:{id}"),
            json!({ "id": id, "name": name, "description": format!("What {name} may do"), "permission_group": id }),
        ));
    }
    for n in 0..members {
        let (member, user) = (id("member", n), id("user", n));
        let mut held: Vec<String> = (0..GRANTS_EACH).map(|grant| id("role", (n * 7 + grant * 11) % ROLES)).collect();
        held.sort_unstable();
        let atoms: Vec<Value> =
            held.iter().map(|role| json!({ "a": "allow", "p": role, "r": id("resource group", 0) })).collect();
        let mut row = json!({
            "member_id": member,
            "email": format!("first{n}.last{}@example.com", n % 997),
            "first_name": format!("First{n}"),
            "last_name": format!("Last{}", n % 997),
            "two_factor": n % 3 > 0,
            "atoms": atoms,
        });
        let (status, key) = if is_pending(n) {
            ("pending", format!("invitation:{member}"))
        } else {
            ("accepted", format!("user:{user}"))
        };
        if let Some(fields) = row.as_object_mut() {
            fields.insert("status".to_owned(), json!(status));
            if !is_pending(n) {
                fields.insert("user_id".to_owned(), json!(user));
            }
        }
        rows.push((key, row));
    }
    rows.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
    rows
}
