//! `OpenAPI` 3.0 schemas as JSON Schema draft 4, which they are nearly: `nullable` becomes a type, references lead to
//! `definitions`, and what is read-only may not be in a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Map, Value, json};

const COMPONENTS: &str = "#/components/schemas/";

/// The longest message of one error, in characters; the validator quotes whole values.
const MAX_MESSAGE: usize = 200;

/// Who sends what the schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

/// The document's named schemas.
#[derive(Debug)]
pub(super) struct Schemas {
    components: BTreeMap<String, Value>,
}

impl Schemas {
    pub(super) fn of(document: &Value) -> Self {
        let components = document.pointer("/components/schemas").and_then(Value::as_object);
        let components = components.into_iter().flatten().map(|(name, schema)| (name.clone(), schema.clone()));
        Self { components: components.collect() }
    }

    /// The schema that a reference leads to, through any number of them; any other schema itself.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let mut current = schema;
        // No document nests references deeper than it has schemas.
        for _ in 0..=self.components.len() {
            match referenced(current).and_then(|name| self.components.get(name)) {
                Some(next) => current = next,
                None => break,
            }
        }
        current
    }

    /// A schema with all that it refers to, to be compiled when it is needed.
    pub(super) fn schema(&self, schema: &Value, direction: Direction) -> Schema {
        let mut wanted = BTreeSet::new();
        let mut queue = vec![schema];
        while let Some(next) = queue.pop() {
            let mut names = BTreeSet::new();
            references(next, &mut names);
            for name in names {
                if let Some(component) = self.components.get(&name)
                    && wanted.insert(name)
                {
                    queue.push(component);
                }
            }
        }
        let definitions: Map<String, Value> = wanted
            .into_iter()
            .filter_map(|name| {
                let translated = translate(self.components.get(&name)?, direction);
                Some((name, translated))
            })
            .collect();
        let document = json!({ "allOf": [translate(schema, direction)], "definitions": definitions });
        Schema { document, compiled: OnceLock::new() }
    }
}

fn referenced(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)?.strip_prefix(COMPONENTS)
}

fn references(schema: &Value, names: &mut BTreeSet<String>) {
    if let Some(name) = referenced(schema) {
        names.insert(name.to_owned());
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| references(value, names)),
        Value::Array(items) => items.iter().for_each(|value| references(value, names)),
        _ => {}
    }
}

fn translate(schema: &Value, direction: Direction) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let is_read_only = |schema: &Value| schema.get("readOnly") == Some(&Value::Bool(true));
    let nullable = fields.get("nullable") == Some(&Value::Bool(true));
    let mut translated = Map::new();
    for (key, value) in fields {
        let new = match (key.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(properties)) => {
                let properties = properties.iter().map(|(name, schema)| {
                    let forbidden = direction == Direction::Request && is_read_only(schema);
                    (name.clone(), if forbidden { json!({ "not": {} }) } else { translate(schema, direction) })
                });
                Value::Object(properties.collect())
            }
            ("required", Value::Array(names)) if direction == Direction::Request => {
                let properties = fields.get("properties");
                let wanted = names.iter().filter(|name| {
                    let property = name.as_str().and_then(|name| properties.and_then(|all| all.get(name)));
                    !property.is_some_and(is_read_only)
                });
                let wanted: Vec<Value> = wanted.cloned().collect();
                if wanted.is_empty() {
                    // Draft 4 has no empty `required`.
                    continue;
                }
                Value::Array(wanted)
            }
            ("items" | "not" | "additionalProperties", _) => translate(value, direction),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter().map(|schema| translate(schema, direction)).collect()
            }
            ("$ref", Value::String(target)) => Value::String(target.replacen(COMPONENTS, "#/definitions/", 1)),
            (
                "type" | "enum" | "required" | "format" | "pattern" | "minLength" | "maxLength" | "minimum" | "maximum"
                | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "minItems" | "maxItems" | "uniqueItems"
                | "minProperties" | "maxProperties",
                _,
            ) => value.clone(),
            // Descriptions, examples, extensions.
            _ => continue,
        };
        translated.insert(key.clone(), new);
    }
    if nullable && !translated.is_empty() {
        json!({ "anyOf": [translated, { "type": "null" }] })
    } else {
        Value::Object(translated)
    }
}

/// A schema, compiled once.
#[derive(Debug)]
pub(super) struct Schema {
    document: Value,
    compiled: OnceLock<Result<Validator, String>>,
}

impl Schema {
    /// What is wrong with a value: each error with its place in the value.
    pub(super) fn errors(&self, value: &Value) -> Vec<String> {
        let compiled = self.compiled.get_or_init(|| {
            jsonschema::options()
                .with_draft(Draft::Draft4)
                .should_validate_formats(true)
                .with_format("email", is_email)
                .with_format("date", is_date)
                .build(&self.document)
                .map_err(|error| format!("the schema itself is wrong: {error}"))
        });
        match compiled {
            Ok(validator) => validator.iter_errors(value).map(|error| describe(&error)).collect(),
            Err(error) => vec![error.clone()],
        }
    }
}

/// Addresses outside ASCII are in use, whatever the format's name says.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

/// The document says `date` where the service takes a time as well (`reference/cloudflare.md` 1.7).
fn is_date(text: &str) -> bool {
    text.parse::<chrono::NaiveDate>().is_ok() || chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

/// An error in words; of alternatives none of which fits, what each one lacks.
fn describe(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let at = if place.is_empty() { String::new() } else { format!("at {place}: ") };
    match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let branches: Vec<String> =
                context.iter().map(|branch| branch.iter().map(describe).collect::<Vec<_>>().join(" and ")).collect();
            format!("{at}no alternative fits ({})", branches.join("; or "))
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => format!("{at}more than one alternative fits"),
        ValidationErrorKind::Not { schema } if *schema == json!({}) => format!("{at}it is read-only"),
        _ => {
            let message = error.to_string();
            let short: String = message.chars().take(MAX_MESSAGE).collect();
            let ellipsis = if short.len() < message.len() { "…" } else { "" };
            format!("{at}{short}{ellipsis}")
        }
    }
}
