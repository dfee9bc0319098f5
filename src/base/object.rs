//! JSON objects that are put together of what there is. In the place of each field `json!` writes out how its value is turned into JSON and what happens
//! where that fails, some 150 bytes of code; here that is a call.

use serde::Serialize;
use serde_json::{Map, Value};

/// Makes a JSON object of its fields, as `json!({ "name": value })` does; a field that is an object itself is made by a macro of its own.
macro_rules! object {
    ({ $($name:tt: $value:expr),* $(,)? }) => {{
        let mut object = serde_json::Map::new();
        $($crate::base::object::put(&mut object, $name, &$value);)*
        serde_json::Value::Object(object)
    }};
}

pub(crate) use object;

/// The same of fields that are JSON already.
pub(crate) fn object_of(fields: Vec<(&str, Value)>) -> Value {
    let mut object = Map::new();
    for (name, value) in fields {
        insert(&mut object, name, value);
    }
    Value::Object(object)
}

/// Puts a field into an object. Our own types serialise; one that did not would be null.
#[inline(never)]
pub(crate) fn put<T: Serialize + ?Sized>(object: &mut Map<String, Value>, name: &str, value: &T) {
    insert(object, name, serde_json::to_value(value).unwrap_or_default());
}

/// The same for whatever type the value was of.
#[inline(never)]
fn insert(object: &mut Map<String, Value>, name: &str, value: Value) {
    object.insert(name.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_object_is_what_json_makes_of_the_same_fields() {
        const NAME: &str = "name";
        let (list, none) = (vec![Some(1), None], None::<String>);
        let made =
            object!({ NAME: "x".to_owned(), "list": list, "none": none, "in": object!({ "n": 1 + 1, "on": true }) });
        assert_eq!(made, json!({ NAME: "x", "list": [1, null], "none": null, "in": { "n": 2, "on": true } }));
    }
}
