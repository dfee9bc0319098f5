//! What a list is asked for, by the query's parameters (RFC 7644 section 3.4.2) or by the body of `/.search` (section 3.4.3).

use serde_json::Value;

use super::ScimError;
use super::filter::{self, Filter};
use super::projection::Projection;

/// How many resources a page has when nobody says, and at most.
pub const COUNTS: (usize, usize) = (100, 1000);

/// What is asked of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The first resource's place, from 1 on.
    pub start: usize,
    /// How many resources at most; 0 for their number alone.
    pub count: usize,
    /// Which.
    pub filter: Option<Filter>,
    /// What of each.
    pub projection: Projection,
}

/// Reads a list's parameters. Names are compared without regard to case. `known` and `schema` as [`filter::parse`] has them.
pub fn read<'a>(params: &dyn Fn(&str) -> Option<&'a Value>, known: &[&str], schema: &str) -> Result<Query, ScimError> {
    let number = |name: &str, default: usize| -> Result<usize, ScimError> {
        match params(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => integer(value)
                // What is below the least is the least (RFC 7644 section 3.4.2.4).
                .map(|number| usize::try_from(number.max(0)).unwrap_or(usize::MAX))
                .ok_or_else(|| ScimError::value(format!("{name} must be a number"))),
        }
    };
    let filter = match params("filter") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(filter::parse(text, known, schema)?),
        Some(_) => return Err(ScimError::new("invalidFilter", "filter must be a text")),
    };
    Ok(Query {
        start: number("startIndex", 1)?.max(1),
        count: number("count", COUNTS.0)?.min(COUNTS.1),
        filter,
        projection: projection(params)?,
    })
}

/// Reads `attributes` and `excludedAttributes`: a text with commas, or a list.
pub fn projection<'a>(params: &dyn Fn(&str) -> Option<&'a Value>) -> Result<Projection, ScimError> {
    let names = |name: &str| -> Result<Vec<&'a str>, ScimError> {
        let wrong = || ScimError::value(format!("{name} must be names of attributes"));
        match params(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text.split(',').collect()),
            Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect(),
            Some(_) => Err(wrong()),
        }
    };
    let (only, without) = (names("attributes")?, names("excludedAttributes")?);
    let projection = Projection::new(only.into_iter(), without.into_iter());
    if !projection.only.is_empty() && !projection.without.is_empty() {
        return Err(ScimError::value("attributes and excludedAttributes exclude each other (RFC 7644 section 3.9)"));
    }
    Ok(projection)
}

/// A whole number, also as a text.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Query, read};
    use crate::scim::{ScimError, USER};

    fn check(params: &Value) -> Result<Query, ScimError> {
        read(&|name| params.get(name), &["username"], USER)
    }

    #[test]
    fn places_and_counts_are_numbers_or_texts_within_bounds() {
        for (params, start, count) in [
            (json!({}), 1, 100),
            (json!({ "startIndex": "3", "count": "2" }), 3, 2),
            (json!({ "startIndex": 0, "count": 0 }), 1, 0),
            (json!({ "startIndex": -7, "count": -1 }), 1, 0),
            (json!({ "count": 1_000_000 }), 1, 1000),
        ] {
            let query = check(&params).unwrap();
            assert_eq!((query.start, query.count), (start, count), "{params}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_which_parameter_it_is() {
        for (params, scim_type) in [
            (json!({ "count": "many" }), "invalidValue"),
            (json!({ "startIndex": [1] }), "invalidValue"),
            (json!({ "filter": 7 }), "invalidFilter"),
            (json!({ "filter": "userName" }), "invalidFilter"),
            (json!({ "attributes": "a", "excludedAttributes": ["b"] }), "invalidValue"),
        ] {
            assert_eq!(check(&params).unwrap_err().scim_type, scim_type, "{params}");
        }
    }
}
