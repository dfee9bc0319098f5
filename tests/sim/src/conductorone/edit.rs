//! Changes to a payload that is made already.

use serde_json::Value;

/// Drops what protobuf's JSON leaves out when it does not write defaults. Empty objects stay: a message that is set.
pub(super) fn drop_unset(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| {
                drop_unset(field);
                match field {
                    Value::Null | Value::Bool(false) => false,
                    Value::String(text) => !text.is_empty(),
                    Value::Array(items) => !items.is_empty(),
                    Value::Number(number) => number.as_f64() != Some(0.0),
                    Value::Bool(true) | Value::Object(_) => true,
                }
            });
        }
        Value::Array(items) => items.iter_mut().for_each(drop_unset),
        _ => {}
    }
}

/// Sets what a JSON pointer names, or removes it; a pointer that leads nowhere changes nothing.
pub(super) fn edit(payload: &mut Value, pointer: &str, value: Option<&Value>) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    match (payload.pointer_mut(parent), value) {
        (Some(Value::Object(fields)), Some(value)) => {
            fields.insert(name.to_owned(), value.clone());
        }
        (Some(Value::Object(fields)), None) => {
            fields.remove(name);
        }
        (Some(Value::Array(items)), value) => {
            let Some(index) = name.parse::<usize>().ok().filter(|index| *index < items.len()) else { return };
            match value {
                Some(value) => items.splice(index..=index, [value.clone()]).for_each(drop),
                None => drop(items.remove(index)),
            }
        }
        _ => {}
    }
}
