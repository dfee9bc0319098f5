//! The values of the configuration language: `cel:` expressions, by a CEL interpreter, and `tmpl:` templates, of whose Go syntax
//! only the reading of a documented variable is known here. Whatever is not there, or is `null`, is an error: baton-http
//! trips over it as well.

use cel::{Context, Program};
use serde_json::{Map, Value};

/// The variables that an expression sees.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope(Map<String, Value>);

impl Scope {
    pub(super) fn of(name: &str, value: &Value) -> Self {
        Self::default().with(name, value)
    }

    pub(super) fn with(mut self, name: &str, value: &Value) -> Self {
        self.0.insert(name.to_owned(), value.clone());
        self
    }
}

/// The text that a value comes to; a truth is `true` or `false`. A value without `cel:` is itself.
pub(super) fn evaluate(value: &str, scope: &Scope) -> Result<String, String> {
    let Some(source) = value.strip_prefix("cel:") else {
        return if value.starts_with("tmpl:") { expand(value, scope) } else { Ok(value.to_owned()) };
    };
    let program = Program::compile(source).map_err(|error| format!("{source}: {error}"))?;
    let mut context = Context::default();
    for (name, value) in &scope.0 {
        context.add_variable(name.as_str(), value).map_err(|error| format!("{name}: {error}"))?;
    }
    let result = program.execute(&context).map_err(|error| format!("{source}: {error}"))?;
    match result.json().map_err(|error| format!("{source}: {error}"))? {
        Value::String(text) => Ok(text),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(format!("{source} is {other}, and a text is wanted")),
    }
}

/// Fills in a template.
pub(super) fn expand(template: &str, scope: &Scope) -> Result<String, String> {
    let Some(mut rest) = template.strip_prefix("tmpl:") else { return Ok(template.to_owned()) };
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let (variable, after) = after.split_once("}}").ok_or_else(|| format!("{template}: }}}} is missing"))?;
        let path = variable.trim().strip_prefix('.').ok_or_else(|| format!("{template}: {variable} is no variable"))?;
        let mut keys = path.split('.');
        let first = keys.next().and_then(|name| scope.0.get(name));
        let value = keys.fold(first, |value, key| value.and_then(|value| value.get(key)));
        match value.and_then(Value::as_str) {
            Some(value) if !value.is_empty() => text.extend([before, value]),
            _ => return Err(format!("{template}: there is no .{path}")),
        }
        rest = after;
    }
    Ok(text + rest)
}

#[test]
fn expressions_are_evaluated_and_what_is_missing_is_an_error() {
    let scope = Scope::of("item", &serde_json::json!({ "name": "A", "active": false, "label": null }));
    let check = |value: &str| evaluate(value, &scope);
    assert_eq!(check("cel:item.name + \" x\""), Ok("A x".to_owned()));
    assert_eq!(check("cel:item.active ? \"enabled\" : \"disabled\""), Ok("disabled".to_owned()));
    assert_eq!(check("member"), Ok("member".to_owned()));
    assert_eq!(check("tmpl:/x/{{.item.name}}/{{ .item.name }}?"), Ok("/x/A/A?".to_owned()));
    for wrong in [
        "cel:item.label",
        "cel:item.nothing",
        "cel:other.name",
        "cel:item.name +",
        "tmpl:/{{.item.nothing}}",
        "tmpl:/{{item}}",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
