//! `/ServiceProviderConfig` and `/ResourceTypes` (RFC 7643 sections 5 and 6, RFC 7644 section 4).

use serde_json::{Value, json};

use super::query::COUNTS;
use super::schema::{RESOURCE_TYPE, SERVICE_PROVIDER_CONFIG};
use super::{GROUP, USER};

/// What is supported.
pub fn service_provider_config(base: &str) -> Value {
    json!({
        "schemas": [SERVICE_PROVIDER_CONFIG],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": COUNTS.1 },
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The Worker's secret CONNECTOR_TOKEN, as: Authorization: Bearer <token>",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}

/// The kinds of resources.
pub fn resource_types(base: &str) -> Vec<Value> {
    let one = |name: &str, endpoint: &str, schema: &str, description: &str| {
        json!({
            "schemas": [RESOURCE_TYPE], "id": name, "name": name, "description": description,
            "endpoint": endpoint, "schema": schema,
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}") },
        })
    };
    vec![
        one("User", "/Users", USER, "Members of the Cloudflare account, and those who are invited"),
        one("Group", "/Groups", GROUP, "Roles on the account, roles on parts of it, and user groups"),
    ]
}
