//! `/ServiceProviderConfig` and `/ResourceTypes` (RFC 7643 sections 5 and 6, RFC 7644 section 4).

use serde_json::Value;

use super::query::COUNTS;
use super::schema::{RESOURCE_TYPE, SERVICE_PROVIDER_CONFIG};
use super::{GROUP, USER, meta, object_of, schemas};
use crate::base::json::read_str;

/// What is supported, but for what is told elsewhere in the code.
const SUPPORTED: &str = r#"{
    "patch": { "supported": true },
    "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
    "changePassword": { "supported": false },
    "sort": { "supported": false },
    "etag": { "supported": true },
    "authenticationSchemes": [{
        "type": "oauthbearertoken",
        "name": "Bearer token",
        "description": "The Worker's secret CONNECTOR_TOKEN, as: Authorization: Bearer <token>",
        "specUri": "https://www.rfc-editor.org/info/rfc6750",
        "primary": true
    }]
}"#;

/// What is supported.
pub fn service_provider_config(base: &str) -> Value {
    let mut config: Value = read_str(SUPPORTED).unwrap_or_default();
    if let Value::Object(fields) = &mut config {
        fields.insert("schemas".to_owned(), schemas(SERVICE_PROVIDER_CONFIG));
        let filter = object_of(vec![("supported", true.into()), ("maxResults", COUNTS.1.into())]);
        fields.insert("filter".to_owned(), filter);
        let meta = meta("ServiceProviderConfig", format!("{base}/ServiceProviderConfig"));
        fields.insert("meta".to_owned(), meta);
    }
    config
}

/// The kinds of resources.
pub fn resource_types(base: &str) -> Vec<Value> {
    let one = |name: &str, endpoint: &str, schema: &str, description: &str| {
        object_of(vec![
            ("schemas", schemas(RESOURCE_TYPE)),
            ("id", name.into()),
            ("name", name.into()),
            ("description", description.into()),
            ("endpoint", endpoint.into()),
            ("schema", schema.into()),
            ("meta", meta("ResourceType", format!("{base}/ResourceTypes/{name}"))),
        ])
    };
    vec![
        one("User", "/Users", USER, "Members of the Cloudflare account, and those who are invited"),
        one("Group", "/Groups", GROUP, "Roles on the account, roles on parts of it, and user groups"),
    ]
}
