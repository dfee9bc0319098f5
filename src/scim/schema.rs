//! The schemas that `/Schemas` publishes (RFC 7643 sections 7 and 8.7): of Users and Groups as they are here, and of the documents
//! of discovery.

use serde_json::{Value, json};

use super::{GROUP, USER};

/// The schema of a schema.
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// The schema of a resource type.
pub const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// The schema of the service provider's configuration.
pub const SERVICE_PROVIDER_CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// An attribute: by default one text without regard to case, optional, read-only, returned.
struct Attribute(Value);

fn attribute(name: &str, description: &str) -> Attribute {
    Attribute(json!({
        "name": name, "type": "string", "multiValued": false, "description": description, "required": false,
        "caseExact": false, "mutability": "readOnly", "returned": "default", "uniqueness": "none",
    }))
}

impl Attribute {
    fn with(mut self, key: &str, value: Value) -> Self {
        if let Value::Object(fields) = &mut self.0 {
            fields.insert(key.to_owned(), value);
        }
        self
    }

    fn of(self, kind: &str) -> Self {
        self.with("type", kind.into())
    }

    fn exact(self) -> Self {
        self.with("caseExact", true.into())
    }

    fn required(self) -> Self {
        self.with("required", true.into())
    }

    fn many(self) -> Self {
        self.with("multiValued", true.into())
    }

    fn mutable(self, mutability: &str) -> Self {
        self.with("mutability", mutability.into())
    }

    fn one_of(self, values: &[&str]) -> Self {
        self.with("canonicalValues", values.into())
    }

    fn refers_to(self, types: &[&str]) -> Self {
        self.of("reference").exact().with("referenceTypes", types.into())
    }

    fn made_of(self, parts: impl IntoIterator<Item = Attribute>) -> Self {
        self.of("complex").with("subAttributes", parts.into_iter().map(|part| part.0).collect())
    }
}

fn schema<const N: usize>(base: &str, id: &str, name: &str, description: &str, attributes: [Attribute; N]) -> Value {
    json!({
        "schemas": [SCHEMA], "id": id, "name": name, "description": description,
        "attributes": attributes.into_iter().map(|attribute| attribute.0).collect::<Vec<_>>(),
        "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{id}") },
    })
}

/// All schemas.
pub fn all(base: &str) -> Vec<Value> {
    vec![user(base), group(base), service_provider_config(base), resource_type(base), of_schemas(base)]
}

fn external_id() -> Attribute {
    attribute("externalId", "Not kept: Cloudflare has no place for it").exact()
}

fn user(base: &str) -> Value {
    schema(
        base,
        USER,
        "User",
        "A member of the Cloudflare account, or somebody who is invited",
        [
            attribute("userName", "The e-mail address")
                .required()
                .mutable("immutable")
                .with("uniqueness", "server".into()),
            external_id(),
            attribute("displayName", "The name, or the e-mail address of a person without one"),
            attribute("name", "The name in Cloudflare, which is the person's own to change").made_of([
                attribute("formatted", "The whole name"),
                attribute("givenName", "The given name"),
                attribute("familyName", "The family name"),
            ]),
            attribute("emails", "The e-mail address").many().made_of([
                attribute("value", "The address"),
                attribute("type", "Always work").one_of(&["work"]),
                attribute("primary", "Always true").of("boolean"),
            ]),
            attribute("userType", "Whether the invitation was accepted").one_of(&["member", "invitation"]),
            attribute("active", "False removes the member, or cancels the invitation")
                .of("boolean")
                .mutable("readWrite"),
            attribute("groups", "What the person holds directly; changed through the members of Groups")
                .many()
                .made_of([
                    attribute("value", "The Group's id").exact(),
                    attribute("$ref", "The Group's URL").refers_to(&["Group"]),
                    attribute("display", "The Group's name"),
                    attribute("type", "Always direct").one_of(&["direct"]),
                ]),
            attribute("roles", "Always empty: roles are Groups").many().made_of([
                attribute("value", "The role"),
                attribute("display", "The role's name"),
                attribute("type", "The kind of role"),
                attribute("primary", "Whether it is the main one").of("boolean"),
            ]),
        ],
    )
}

fn group(base: &str) -> Value {
    schema(
        base,
        GROUP,
        "Group",
        "A role on the account, a role on a part of it, or a user group",
        [
            attribute("displayName", "The name in Cloudflare").required(),
            external_id(),
            attribute("members", "Who holds it").many().mutable("readWrite").made_of([
                attribute("value", "The member's id").exact().mutable("immutable"),
                attribute("$ref", "The member's URL").refers_to(&["User", "Group"]).mutable("immutable"),
                attribute("type", "The kind of member").one_of(&["User", "Group"]).mutable("immutable"),
                attribute("display", "The member's name"),
            ]),
        ],
    )
}

fn supported(name: &str, description: &str) -> Attribute {
    attribute(name, description)
        .required()
        .made_of([attribute("supported", "Whether it is supported").of("boolean").required()])
}

fn service_provider_config(base: &str) -> Value {
    let number = |name: &str, description: &str| attribute(name, description).of("integer").required();
    let is = || attribute("supported", "Whether it is supported").of("boolean").required();
    schema(
        base,
        SERVICE_PROVIDER_CONFIG,
        "ServiceProviderConfig",
        "What this service provider supports",
        [
            attribute("documentationUri", "The documentation").refers_to(&["external"]),
            supported("patch", "PATCH"),
            attribute("bulk", "Bulk operations").required().made_of([
                is(),
                number("maxOperations", "The most operations in one request"),
                number("maxPayloadSize", "The most bytes in one request"),
            ]),
            attribute("filter", "Filters")
                .required()
                .made_of([is(), number("maxResults", "The most resources in one answer")]),
            supported("changePassword", "Changing passwords"),
            supported("sort", "Sorted lists"),
            supported("etag", "Entity tags"),
            attribute("authenticationSchemes", "How requests are authenticated").many().required().made_of([
                attribute("type", "The kind of scheme").required().one_of(&[
                    "oauth",
                    "oauth2",
                    "oauthbearertoken",
                    "httpbasic",
                    "httpdigest",
                ]),
                attribute("name", "The scheme's name").required(),
                attribute("description", "What it is").required(),
                attribute("specUri", "Its specification").refers_to(&["external"]),
                attribute("documentationUri", "Its documentation").refers_to(&["external"]),
                attribute("primary", "Whether it is preferred").of("boolean"),
            ]),
        ],
    )
}

fn resource_type(base: &str) -> Value {
    schema(
        base,
        RESOURCE_TYPE,
        "ResourceType",
        "A kind of resource that is here",
        [
            attribute("id", "The resource type's id"),
            attribute("name", "Its name").required(),
            attribute("description", "What it is"),
            attribute("endpoint", "Its path").refers_to(&["uri"]).required(),
            attribute("schema", "Its schema").refers_to(&["uri"]).required(),
            attribute("schemaExtensions", "The schemas that extend it").many().made_of([
                attribute("schema", "The extension's schema").refers_to(&["uri"]).required(),
                attribute("required", "Whether every resource has it").of("boolean").required(),
            ]),
        ],
    )
}

fn of_schemas(base: &str) -> Value {
    let types = ["string", "complex", "boolean", "decimal", "integer", "dateTime", "reference", "binary"];
    let described = || {
        [
            attribute("name", "The attribute's name").required().exact(),
            attribute("type", "The type of its values").required().one_of(&types),
            attribute("multiValued", "Whether it has several").of("boolean").required(),
            attribute("description", "What it is"),
            attribute("required", "Whether it must be there").of("boolean"),
            attribute("canonicalValues", "The usual values").many().exact(),
            attribute("caseExact", "Whether case counts").of("boolean"),
            attribute("mutability", "Whether it can be changed").exact().one_of(&[
                "readOnly",
                "readWrite",
                "immutable",
                "writeOnly",
            ]),
            attribute("returned", "When it is returned").exact().one_of(&["always", "never", "default", "request"]),
            attribute("uniqueness", "How unique it is").exact().one_of(&["none", "server", "global"]),
            attribute("referenceTypes", "What a reference refers to").many().exact(),
        ]
    };
    let parts = attribute("subAttributes", "The parts of a complex attribute").many().made_of(described());
    schema(
        base,
        SCHEMA,
        "Schema",
        "What a schema is made of",
        [
            attribute("id", "The schema's URN").required().exact(),
            attribute("name", "Its name").required(),
            attribute("description", "What it describes"),
            attribute("attributes", "Its attributes").many().required().made_of(described().into_iter().chain([parts])),
        ],
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::all;
    use crate::scim::resource;

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
        assert_eq!(schemas.len(), 5);
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
