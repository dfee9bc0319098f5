//! Holds answers under `/v1` against the document that `page/openapi.mjs` writes: path, method, status, content type, and each field.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

/// The document, as it is served at `/v1/openapi.json`.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("node").arg("page/openapi.mjs").current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
});

/// What a path or a method that there is not may be answered with.
const ELSEWHERE: [&str; 8] = [
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "invalid_request",
    "unknown_entitlement",
    "not_configured",
    "not_from_the_page",
    "read_only_token",
];

static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The template that a path falls under; words come before what stands for any.
fn template(path: &str) -> Option<&'static String> {
    let asked: Vec<&str> = path.split('/').collect();
    let fits = |template: &&String| {
        let segments: Vec<&str> = template.split('/').collect();
        segments.len() == asked.len()
            && segments.iter().zip(&asked).all(
                |(known, asked)| {
                    if known.starts_with('{') { !asked.is_empty() } else { known == asked }
                },
            )
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.keys().filter(fits).min_by_key(|template| template.matches('{').count())
}

/// Panics where the answer to a request is not what the document says.
pub(crate) fn hold(method: &str, target: &str, status: u16, content_type: Option<&str>, body: &[u8]) {
    let path = target.split('?').next().unwrap_or_default();
    if !path.starts_with("/v1/") || path == "/v1/openapi.json" {
        return;
    }
    let place = format!("{method} {target} -> {status}");
    let asked = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let operation =
        template(path).and_then(|template| DOCUMENT["paths"][template].get(&asked).map(|found| (template, found)));
    let Some((template, operation)) = operation else {
        if method != "HEAD" {
            let code = serde_json::from_slice::<Value>(body).unwrap_or_default()["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert!(
                ELSEWHERE.contains(&code.as_str()),
                "{place}: the document has no such route, and the answer is {code:?}"
            );
        }
        return;
    };
    let response = &operation["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{place}: the document has no such status for {asked} {template}: {}",
        String::from_utf8_lossy(body)
    );
    let Some(content) = response.get("content").and_then(Value::as_object) else {
        assert!(body.is_empty(), "{place}: by the document there is no body");
        return;
    };
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let schema = content.get(media).map(|content| &content["schema"]);
    let schema = schema.unwrap_or_else(|| panic!("{place}: the document has no {media:?} for it"));
    if method == "HEAD" || !media.ends_with("json") || media.ends_with("ndjson") {
        return;
    }
    let validator = Arc::clone(
        COMPILED
            .lock()
            .unwrap()
            .entry(format!("{template} {asked} {status} {media}"))
            .or_insert_with(|| Arc::new(compiled(schema))),
    );
    let body: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{place}: {error}"));
    let errors: Vec<String> =
        validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{place} is not as page/openapi.mjs has it:\n{}\n{body}", errors.join("\n"));
}

/// A schema with the document's components, in which an object has no field that is not in the document.
fn compiled(schema: &Value) -> Validator {
    let mut whole = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema], "components": DOCUMENT["components"] });
    close(&mut whole);
    jsonschema::validator_for(&whole).unwrap()
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            let is_object = fields.get("type").is_some_and(|kind| kind == "object");
            if is_object && fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
