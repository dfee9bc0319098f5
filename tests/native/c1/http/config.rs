//! The configuration as the interpreter reads it. A key that it does not know is an error.

use std::collections::BTreeMap;

use serde::Deserialize;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read so that nothing in the file is unknown; what they do is the runtime's")]
pub(in crate::c1) struct Configuration {
    version: String,
    app_name: String,
    app_description: String,
    pub(in crate::c1) connect: Connect,
    http: serde_json::Value,
    error_handling: serde_json::Value,
    pub(in crate::c1) resource_types: BTreeMap<String, ResourceType>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::c1) struct Connect {
    pub(super) base_url: String,
    pub(super) auth: Auth,
    pub(super) request_defaults: Defaults,
    pub(in crate::c1) pagination: Pagination,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Defaults {
    pub(super) content_type: String,
    pub(super) headers: Texts,
    pub(super) query_params: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::c1) struct Pagination {
    pub(super) strategy: String,
    pub(super) limit_param: String,
    pub(super) cursor_param: String,
    pub(super) cursor_path: String,
    pub(in crate::c1) page_size: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "names for people are read and not used")]
pub(in crate::c1) struct ResourceType {
    name: String,
    description: String,
    pub(super) traits: Vec<String>,
    #[serde(default)]
    pub(super) depends_on: Vec<String>,
    pub(super) list: Fetch,
    #[serde(default)]
    pub(super) static_entitlements: Vec<Entitlement>,
    #[serde(default)]
    pub(super) grants: Vec<Fetch>,
    #[serde(default)]
    pub(super) skip_entitlements_and_grants: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fetch {
    pub(super) request: Request,
    pub(super) response: Response,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Response {
    pub(super) items_path: String,
    mapping_type: String,
    resource_mapping: Option<ResourceMapping>,
    grant_mapping: Option<GrantMapping>,
}

/// What a response's items become.
pub(super) enum Mapping<'a> {
    Resource(&'a ResourceMapping),
    Grant(&'a GrantMapping),
}

impl Response {
    pub(super) fn mapping(&self) -> Mapping<'_> {
        match (self.mapping_type.as_str(), &self.resource_mapping, &self.grant_mapping) {
            ("resource", Some(mapping), None) => Mapping::Resource(mapping),
            ("grant", None, Some(mapping)) => Mapping::Grant(mapping),
            (kind, ..) => panic!("a mapping of the type {kind} is not there"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceMapping {
    pub(super) id: String,
    pub(super) display_name: String,
    pub(super) description: Option<String>,
    pub(super) user_traits: Option<UserTraits>,
    group_traits: Option<GroupTraits>,
}

impl ResourceMapping {
    pub(super) fn profiles(&self) -> impl Iterator<Item = &Texts> {
        let user = self.user_traits.as_ref().map(|traits| &traits.profile);
        user.into_iter().chain(self.group_traits.as_ref().map(|traits| &traits.profile))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserTraits {
    pub(super) email: String,
    pub(super) login: String,
    pub(super) status: String,
    pub(super) profile: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTraits {
    profile: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantMapping {
    pub(super) principal_id: String,
    pub(super) principal_type: String,
    pub(super) entitlement_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entitlement {
    pub(super) id: String,
    pub(super) slug: String,
    pub(super) display_name: String,
    pub(super) description: String,
    pub(super) purpose: String,
    pub(super) grantable_to: Vec<String>,
    pub(super) provisioning: Provisioning,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provisioning {
    pub(super) grant: Action,
    pub(super) revoke: Action,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    pub(super) request: Request,
    pub(super) success_condition: String,
}
