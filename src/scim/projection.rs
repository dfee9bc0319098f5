//! `attributes` and `excludedAttributes` (RFC 7644 section 3.9): which parts of a resource are returned.

use serde_json::{Map, Value};

/// Returned whatever is asked (RFC 7643 sections 3.1 and 7, `returned: always`).
const ALWAYS: [&str; 2] = ["schemas", "id"];

/// What of a resource is returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// Only these, where there are any; in lower case, without a schema's URN.
    pub only: Vec<String>,
    /// All but these.
    pub without: Vec<String>,
}

impl Projection {
    /// Reads the two lists of names.
    pub fn new<'a>(only: impl Iterator<Item = &'a str>, without: impl Iterator<Item = &'a str>) -> Self {
        Self { only: only.filter_map(plain).collect(), without: without.filter_map(plain).collect() }
    }

    /// Whether an attribute, or a part of it, is returned.
    pub fn returns(&self, attribute: &str) -> bool {
        let asked = |name: &String| name.split('.').next() == Some(attribute);
        if self.only.is_empty() {
            !self.without.iter().any(|name| name == attribute)
        } else {
            self.only.iter().any(asked)
        }
    }

    /// The resource with only what is returned.
    pub fn apply(&self, resource: Value) -> Value {
        let Value::Object(fields) = resource else { return resource };
        let mut returned = Map::new();
        for (name, value) in fields {
            returned.extend(if self.only.is_empty() { self.left(name, value) } else { self.kept(name, value) });
        }
        Value::Object(returned)
    }

    fn kept(&self, name: String, value: Value) -> Option<(String, Value)> {
        let lower = name.to_ascii_lowercase();
        if ALWAYS.contains(&lower.as_str()) || self.only.contains(&lower) {
            return Some((name, value));
        }
        let asked = |part: &str| self.only.contains(&format!("{lower}.{}", part.to_ascii_lowercase()));
        let value = parts(value, &asked);
        (value != Value::Null).then_some((name, value))
    }

    fn left(&self, name: String, value: Value) -> Option<(String, Value)> {
        let lower = name.to_ascii_lowercase();
        if ALWAYS.contains(&lower.as_str()) {
            return Some((name, value));
        }
        if self.without.contains(&lower) {
            return None;
        }
        if !self.without.iter().any(|other| other.starts_with(&format!("{lower}."))) {
            return Some((name, value));
        }
        let stays = |part: &str| !self.without.contains(&format!("{lower}.{}", part.to_ascii_lowercase()));
        Some((name, parts(value, &stays)))
    }
}

/// The parts of a complex value, or of each of several; `null` where none is left.
fn parts(value: Value, stays: &dyn Fn(&str) -> bool) -> Value {
    match value {
        Value::Object(mut fields) => {
            fields.retain(|name, _| stays(name));
            if fields.is_empty() { Value::Null } else { Value::Object(fields) }
        }
        Value::Array(items) => {
            let items: Vec<Value> =
                items.into_iter().map(|item| parts(item, stays)).filter(|item| *item != Value::Null).collect();
            if items.is_empty() { Value::Null } else { Value::Array(items) }
        }
        _ => Value::Null,
    }
}

/// A name without the URN of a schema before it. A version in it, `2.0`, has a dot of its own.
fn plain(name: &str) -> Option<String> {
    let name = name.trim();
    let plain = if name.to_ascii_lowercase().starts_with("urn:") { name.rsplit(':').next()? } else { name };
    (!plain.is_empty()).then(|| plain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Projection;

    fn check(only: &[&str], without: &[&str], expected: &Value) {
        let resource = json!({
            "schemas": ["s"], "id": "1", "userName": "jane", "name": { "givenName": "Jane", "familyName": "Doe" },
            "emails": [{ "value": "j@example.com", "primary": true }], "active": true,
        });
        let projection = Projection::new(only.iter().copied(), without.iter().copied());
        assert_eq!(projection.apply(resource), *expected, "{only:?} {without:?}");
    }

    #[test]
    fn only_what_is_asked_for_is_returned_and_always_the_id() {
        check(&["userName"], &[], &json!({ "schemas": ["s"], "id": "1", "userName": "jane" }));
        check(
            &["NAME.givenname", "emails.value"],
            &[],
            &json!({ "schemas": ["s"], "id": "1", "name": { "givenName": "Jane" }, "emails": [{ "value": "j@example.com" }] }),
        );
        check(
            &["urn:ietf:params:scim:schemas:core:2.0:User:active", "nickName"],
            &[],
            &json!({ "schemas": ["s"], "id": "1", "active": true }),
        );
    }

    #[test]
    fn what_is_excluded_is_left_out_but_never_the_id() {
        check(
            &[],
            &["id", "name", "emails.primary", "active"],
            &json!({ "schemas": ["s"], "id": "1", "userName": "jane", "emails": [{ "value": "j@example.com" }] }),
        );
    }

    #[test]
    fn an_attribute_that_is_not_returned_need_not_be_worked_out() {
        let names = |names: &'static [&str]| names.iter().copied();
        assert!(Projection::default().returns("members"));
        assert!(!Projection::new(names(&[]), names(&["members"])).returns("members"));
        assert!(!Projection::new(names(&["displayName"]), names(&[])).returns("members"));
        assert!(Projection::new(names(&["members.value"]), names(&[])).returns("members"));
    }
}
