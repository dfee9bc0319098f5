//! The messages of `c1.connector.v2` that are written here, for `prost` to read: another implementation than the one under
//! test, made of the field list alone (`reference/conductorone.md` 3.2).

use std::collections::BTreeMap;

use prost::{Message, Oneof};

macro_rules! messages {
    ($($name:ident { $($(#[$field:meta])* $id:ident: $type:ty,)* })*) => {$(
        #[derive(Clone, PartialEq, Message)]
        pub(crate) struct $name { $($(#[$field])* pub(crate) $id: $type,)* }
    )*};
}

messages! {
    Any {
        #[prost(string, tag = 1)] type_url: String,
        #[prost(bytes = "vec", tag = 2)] value: Vec<u8>,
    }
    Timestamp {
        #[prost(int64, tag = 1)] seconds: i64,
        #[prost(int32, tag = 2)] nanos: i32,
    }
    Struct {
        #[prost(btree_map = "string, message", tag = 1)] fields: BTreeMap<String, Text>,
    }
    Text {
        #[prost(oneof = "ValueKind", tags = "3")] kind: Option<ValueKind>,
    }
    ResourceType {
        #[prost(string, tag = 1)] id: String,
        #[prost(string, tag = 2)] display_name: String,
        #[prost(int32, repeated, tag = 3)] traits: Vec<i32>,
        #[prost(message, repeated, tag = 4)] annotations: Vec<Any>,
        #[prost(string, tag = 5)] description: String,
        #[prost(bool, tag = 6)] sourced_externally: bool,
    }
    ResourceId {
        #[prost(string, tag = 1)] resource_type: String,
        #[prost(string, tag = 2)] resource: String,
        #[prost(bool, tag = 3)] baton_resource: bool,
    }
    Status {
        #[prost(int32, tag = 1)] status: i32,
        #[prost(string, tag = 2)] details: String,
    }
    Resource {
        #[prost(message, optional, tag = 1)] id: Option<ResourceId>,
        #[prost(message, optional, tag = 2)] parent_resource_id: Option<ResourceId>,
        #[prost(string, tag = 3)] display_name: String,
        #[prost(message, repeated, tag = 4)] annotations: Vec<Any>,
        #[prost(string, tag = 5)] description: String,
        #[prost(message, optional, tag = 9)] profile: Option<Struct>,
        #[prost(message, optional, tag = 11)] status: Option<Status>,
        #[prost(message, optional, tag = 12)] created_at: Option<Timestamp>,
    }
    Entitlement {
        #[prost(message, optional, tag = 1)] resource: Option<Resource>,
        #[prost(string, tag = 2)] id: String,
        #[prost(string, tag = 3)] display_name: String,
        #[prost(string, tag = 4)] description: String,
        #[prost(message, repeated, tag = 5)] grantable_to: Vec<ResourceType>,
        #[prost(message, repeated, tag = 6)] annotations: Vec<Any>,
        #[prost(int32, tag = 7)] purpose: i32,
        #[prost(string, tag = 8)] slug: String,
    }
    Source {
        #[prost(bool, tag = 1)] is_direct: bool,
    }
    Sources {
        #[prost(btree_map = "string, message", tag = 1)] sources: BTreeMap<String, Source>,
    }
    Grant {
        #[prost(message, optional, tag = 1)] entitlement: Option<Entitlement>,
        #[prost(message, optional, tag = 2)] principal: Option<Resource>,
        #[prost(string, tag = 3)] id: String,
        #[prost(message, repeated, tag = 4)] annotations: Vec<Any>,
        #[prost(message, optional, tag = 5)] sources: Option<Sources>,
    }
    Email {
        #[prost(string, tag = 1)] address: String,
        #[prost(bool, tag = 2)] is_primary: bool,
    }
    MfaStatus {
        #[prost(bool, tag = 1)] mfa_enabled: bool,
    }
    StructuredName {
        #[prost(string, tag = 1)] given_name: String,
        #[prost(string, tag = 2)] family_name: String,
    }
    UserTrait {
        #[prost(message, repeated, tag = 1)] emails: Vec<Email>,
        #[prost(message, optional, tag = 2)] status: Option<Status>,
        #[prost(int32, tag = 5)] account_type: i32,
        #[prost(string, tag = 6)] login: String,
        #[prost(message, optional, tag = 9)] last_login: Option<Timestamp>,
        #[prost(message, optional, tag = 10)] mfa_status: Option<MfaStatus>,
        #[prost(message, optional, tag = 12)] structured_name: Option<StructuredName>,
    }
    SecretTrait {
        #[prost(message, optional, tag = 2)] created_at: Option<Timestamp>,
        #[prost(message, optional, tag = 3)] expires_at: Option<Timestamp>,
        #[prost(message, optional, tag = 4)] last_used_at: Option<Timestamp>,
        #[prost(message, optional, tag = 5)] created_by_id: Option<ResourceId>,
        #[prost(message, optional, tag = 6)] identity_id: Option<ResourceId>,
        #[prost(int32, tag = 7)] credential_type: i32,
        #[prost(string, tag = 8)] credential_detail: String,
    }
    Issue {
        #[prost(string, tag = 1)] value: String,
        #[prost(string, tag = 2)] severity: String,
    }
    UserTarget {
        #[prost(string, tag = 1)] email: String,
    }
    SecurityInsightTrait {
        #[prost(message, optional, tag = 2)] issue: Option<Issue>,
        #[prost(message, optional, tag = 3)] observed_at: Option<Timestamp>,
        #[prost(message, optional, tag = 4)] user: Option<UserTarget>,
        #[prost(message, optional, tag = 5)] resource_id: Option<ResourceId>,
    }
    Id {
        #[prost(string, tag = 1)] id: String,
    }
    GrantExpandable {
        #[prost(string, repeated, tag = 1)] entitlement_ids: Vec<String>,
        #[prost(bool, tag = 2)] shallow: bool,
        #[prost(string, repeated, tag = 3)] resource_type_ids: Vec<String>,
    }
    Nothing {}
}

/// `google.protobuf.Value`, of which only texts are written.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ValueKind {
    #[prost(string, tag = 3)]
    StringValue(String),
}

/// Reads a message.
pub(crate) fn read<T: Message + Default>(bytes: &[u8]) -> T {
    T::decode(bytes).unwrap()
}

/// Reads a message that `prost` writes to the same bytes: fields in order, defaults left out. Only where a map has an empty text
/// do the two differ: Go's implementation writes it, `prost` does not.
pub(crate) fn exact<T: Message + Default>(bytes: &[u8]) -> T {
    let message: T = read(bytes);
    assert_eq!(message.encode_to_vec(), bytes);
    message
}

impl Any {
    /// The message in it, which must be of this name.
    pub(crate) fn unpack<T: Message + Default>(&self, name: &str) -> T {
        assert_eq!(self.type_url, format!("type.googleapis.com/c1.connector.v2.{name}"));
        exact(&self.value)
    }
}

impl Struct {
    /// The texts by name.
    pub(crate) fn texts(&self) -> BTreeMap<&str, &str> {
        let texts = self.fields.iter().map(|(name, value)| match &value.kind {
            Some(ValueKind::StringValue(text)) => (name.as_str(), text.as_str()),
            None => panic!("{name} is no text"),
        });
        texts.collect()
    }
}
