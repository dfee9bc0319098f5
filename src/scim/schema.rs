//! The schemas that `/Schemas` publishes (RFC 7643 sections 7 and 8.7): of Users and Groups as they are here, and of the documents
//! of discovery.

use serde_json::Value;

use super::meta;
use crate::base::json::read_str;

/// The schema of a schema.
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// The schema of a resource type.
pub const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// The schema of the service provider's configuration.
pub const SERVICE_PROVIDER_CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// The schemas without what every attribute has by default: `all` fills that in.
const TOLD: &str = include_str!("schemas.json");

/// What an attribute is where nothing else is told: one text without regard to case, optional, read-only, returned.
const TEXTS: [(&str, &str); 4] =
    [("type", "string"), ("mutability", "readOnly"), ("returned", "default"), ("uniqueness", "none")];
const SWITCHES: [&str; 3] = ["multiValued", "required", "caseExact"];

/// All schemas.
pub fn all(base: &str) -> Vec<Value> {
    let mut schemas: Vec<Value> = read_str(TOLD).unwrap_or_default();
    for schema in &mut schemas {
        let Value::Object(fields) = schema else { continue };
        fill(fields.get_mut("attributes"));
        let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
        let meta = meta("Schema", format!("{base}/Schemas/{id}"));
        fields.insert("meta".to_owned(), meta);
        fields.insert("schemas".to_owned(), super::schemas(SCHEMA));
    }
    schemas
}

fn fill(attributes: Option<&mut Value>) {
    for attribute in attributes.and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(fields) = attribute else { continue };
        fill(fields.get_mut("subAttributes"));
        for (name, default) in TEXTS {
            fields.entry(name).or_insert_with(|| default.into());
        }
        for name in SWITCHES {
            fields.entry(name).or_insert(Value::Bool(false));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{RESOURCE_TYPE, SCHEMA, SERVICE_PROVIDER_CONFIG, all};
    use crate::scim::{GROUP, USER, resource};

    /// RFC 7643 section 7.
    #[test]
    fn every_attribute_is_described_in_full() {
        fn check(attribute: &Value) {
            for key in ["name", "type", "description", "mutability", "returned", "uniqueness"] {
                assert!(attribute[key].is_string(), "{key}: {attribute}");
            }
            assert_eq!(attribute["type"] == "complex", attribute["subAttributes"].is_array(), "{attribute}");
            assert_eq!(attribute["type"] == "reference", attribute["referenceTypes"].is_array(), "{attribute}");
            attribute["subAttributes"].as_array().into_iter().flatten().for_each(check);
        }
        let schemas = all("https://example.com/scim/v2");
        let ids: Vec<&str> = schemas.iter().map(|schema| schema["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [USER, GROUP, SERVICE_PROVIDER_CONFIG, RESOURCE_TYPE, SCHEMA]);
        schemas.iter().flat_map(|schema| schema["attributes"].as_array().unwrap()).for_each(check);
    }

    #[test]
    fn what_can_be_filtered_on_is_in_the_schema() {
        let schemas = all("");
        for (schema, filters) in [(&schemas[0], &resource::USER_FILTERS[..]), (&schemas[1], &resource::GROUP_FILTERS)] {
            for filter in filters.iter().filter(|filter| !["id", "schemas"].contains(filter)) {
                let mut attributes = &schema["attributes"];
                for part in filter.split('.') {
                    let found = attributes.as_array().unwrap().iter();
                    let mut found = found.filter(|one| one["name"].as_str().unwrap().eq_ignore_ascii_case(part));
                    attributes = &found.next().unwrap_or_else(|| panic!("{filter}"))["subAttributes"];
                }
            }
        }
    }
}
