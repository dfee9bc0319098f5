//! What reads bytes from outside, or from a store that may be damaged: each target takes any bytes at all, and checks what must hold
//! whatever they are. cargo-fuzz runs them without end (`make fuzz`), the native tests for a second.

use std::fmt::Debug;

use c1_cloudflare::base::json;
use c1_cloudflare::conductorone::jwks::KeySet;
use c1_cloudflare::conductorone::jwt::Token;
use c1_cloudflare::conductorone::payload::Webhook;
use c1_cloudflare::decide::Rules;
use c1_cloudflare::model::address;
use c1_cloudflare::model::grant::Entitlement;
use c1_cloudflare::model::resource::Row;
use c1_cloudflare::scim::{filter, patch};
use c1_cloudflare::snapshot::{ChunkRef, GenerationId, Manifest};
use serde_json::Value;

/// A target and its name, under which its corpus stands. It tells whether the bytes could be read.
pub(crate) type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub(crate) const TARGETS: [Target; 9] = [
    ("token", token),
    ("keys", keys),
    ("webhook", webhook),
    ("rules", rules),
    ("filter", scim_filter),
    ("patch", scim_patch),
    ("chunk", chunk),
    ("manifest", manifest),
    ("address", addresses),
];

/// More bytes than any of these says of one place in what it refuses.
const LONGEST_WORDS: usize = 2_000;

/// Whether it was read. What is refused is refused in words that a log can bear.
fn is_read<T, E: Debug>(text: &[u8], outcome: &Result<T, E>) -> bool {
    if let Err(error) = outcome {
        let words = format!("{error:?}").len();
        assert!(words <= LONGEST_WORDS.max(8 * text.len()), "{words} bytes of words about {} bytes", text.len());
    }
    outcome.is_ok()
}

/// What was read is written and read again as the same.
fn comes_back<T: serde::Serialize + for<'de> serde::Deserialize<'de> + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_vec(value).unwrap();
    assert_eq!(&json::read::<T>(&text).unwrap(), value);
}

fn token(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| is_read(bytes, &Token::parse(text)))
}

fn keys(bytes: &[u8]) -> bool {
    is_read(bytes, &KeySet::parse(bytes))
}

fn webhook(bytes: &[u8]) -> bool {
    is_read(bytes, &Webhook::parse(bytes))
}

fn rules(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| is_read(bytes, &Rules::parse(text)))
}

fn scim_filter(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let known = ["username", "id", "active", "emails", "emails.value", "emails.type", "meta.lastmodified"];
    let user = serde_json::json!({
        "id": "user-1", "userName": "Jane@example.com", "active": true,
        "emails": [{ "value": "jane@example.com", "type": "work" }, "odd"], "meta": { "lastModified": "2026-11-24T00:00:00Z" },
    });
    let parsed = filter::parse(text, &known, "urn:ietf:params:scim:schemas:core:2.0:User");
    if let Ok(filter) = &parsed {
        filter.matches(&user);
        filter.matches(&Value::Null);
        if let Some(id) = filter.only_id() {
            assert!(!filter.matches(&serde_json::json!({ "id": format!("{id}?") })), "{text}");
        }
    }
    is_read(bytes, &parsed)
}

fn scim_patch(bytes: &[u8]) -> bool {
    let Ok(body) = json::read::<Value>(bytes) else { return false };
    let current = serde_json::json!({
        "displayName": "Administrator", "userName": "jane@example.com", "active": true,
        "members": [{ "value": "user-1" }, { "value": "invitation-2" }],
    });
    let (of_group, of_user) = (patch::group(&body, &current), patch::user(&body, &current));
    is_read(bytes, &of_group) | is_read(bytes, &of_user)
}

fn chunk(bytes: &[u8]) -> bool {
    let chunk = ChunkRef {
        hash: "0".repeat(64),
        rows: u32::MAX,
        bytes: u32::MAX,
        first_key: String::new(),
        last_key: String::new(),
        held: String::new(),
    };
    let rows = chunk.parse(bytes);
    for row in rows.iter().flatten() {
        comes_back::<Row>(row);
        assert!(!row.key().is_empty());
    }
    is_read(bytes, &rows)
}

fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = json::read::<Manifest>(bytes) else { return false };
    comes_back(&manifest);
    assert!(GenerationId::parse(&manifest.generation.to_string()).is_some());
    for id in &manifest.entitlements {
        if let Some(entitlement) = Entitlement::recognise(id) {
            assert_eq!(Entitlement::recognise(&entitlement.to_string()), Some(entitlement));
        }
    }
    true
}

fn addresses(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let folded = address::folded(text);
    assert_eq!(address::folded(&folded), folded, "{text:?}");
    assert!(address::same(text, &folded), "{text:?}");
    let list = address::read_list(text);
    for one in list.iter().flatten() {
        assert!(one.contains('@') && address::folded(one) == *one, "{text:?}: {one:?}");
    }
    is_read(bytes, &list)
}
