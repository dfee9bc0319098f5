//! SCIM 2.0 (RFC 7643, RFC 7644) over the snapshot: people as Users, what can be granted as Groups. What is here is the protocol
//! alone: schemas, representations, filters and patches, without any I/O. `docs/scim.md` says what maps to what.

pub mod discovery;
pub mod filter;
pub mod id;
pub mod patch;
pub mod plan;
pub mod projection;
pub mod query;
pub mod resource;
pub mod schema;

use serde_json::Value;

use crate::base::object::object_of;

/// The path under which everything is.
pub const PATH: &str = "/scim/v2";

/// The media type (RFC 7644 section 3.1).
pub const MEDIA_TYPE: &str = "application/scim+json";

/// The schema of a User (RFC 7643 section 4.1).
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// The schema of a Group (RFC 7643 section 4.2).
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The schema of an error (RFC 7644 section 3.12).
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The schema of a list (RFC 7644 section 3.4.2).
pub const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The schema of a PATCH (RFC 7644 section 3.5.2).
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The `schemas` of what has one.
pub(crate) fn schemas(schema: &str) -> Value {
    Value::Array(vec![schema.into()])
}

/// The `meta` of what has no version.
fn meta(kind: &str, location: String) -> Value {
    object_of(vec![("resourceType", kind.into()), ("location", location.into())])
}

/// Why a request cannot be carried out as it stands: status 400, with the detail error keyword of RFC 7644 table 9.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The keyword, such as `invalidFilter`.
    pub scim_type: &'static str,
    /// A sentence that says what to do.
    pub detail: String,
}

impl ScimError {
    /// An error of a kind.
    pub fn new(scim_type: &'static str, detail: impl Into<String>) -> Self {
        Self { scim_type, detail: detail.into() }
    }

    pub(crate) fn value(detail: impl Into<String>) -> Self {
        Self::new("invalidValue", detail)
    }

    pub(crate) fn mutability(detail: impl Into<String>) -> Self {
        Self::new("mutability", detail)
    }
}

/// The keywords of RFC 7644 table 9.
pub const KEYWORDS: [&str; 10] = [
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
];
