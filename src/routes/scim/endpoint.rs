//! Which endpoint a path under `/scim/v2` is.

use crate::base::ports::Method;

/// What a path under `/scim/v2` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::routes) enum Endpoint {
    ServiceProviderConfig,
    ResourceTypes(Option<String>),
    Schemas(Option<String>),
    List(Kind),
    Search(Kind),
    Show(Kind, String),
    Create,
    Replace(Kind, String),
    Patch(Kind, String),
    Delete(String),
    /// Something of the protocol that is not supported, by its name.
    Unsupported(&'static str),
}

impl Endpoint {
    /// Whether it changes who may do what in the account.
    pub(in crate::routes) const fn changes_access(&self) -> bool {
        match self {
            Self::Create | Self::Replace(..) | Self::Patch(..) | Self::Delete(_) => true,
            Self::ServiceProviderConfig
            | Self::ResourceTypes(_)
            | Self::Schemas(_)
            | Self::List(_)
            | Self::Search(_)
            | Self::Show(..)
            | Self::Unsupported(_) => false,
        }
    }
}

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::routes) enum Kind {
    User,
    Group,
}

/// Whether a path belongs to SCIM, where errors have SCIM's form.
pub(in crate::routes) fn owns(path: &str) -> bool {
    path.strip_prefix("/scim").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The methods of a path under `/scim/v2`.
pub(in crate::routes) fn at(segments: &[&str]) -> Vec<(Method, Endpoint)> {
    let kind = |name: &str| match name {
        "Users" => Some(Kind::User),
        "Groups" => Some(Kind::Group),
        _ => None,
    };
    match segments {
        ["ServiceProviderConfig"] => vec![(Method::Get, Endpoint::ServiceProviderConfig)],
        ["ResourceTypes"] => vec![(Method::Get, Endpoint::ResourceTypes(None))],
        ["ResourceTypes", name] => vec![(Method::Get, Endpoint::ResourceTypes(Some((*name).to_owned())))],
        ["Schemas"] => vec![(Method::Get, Endpoint::Schemas(None))],
        ["Schemas", name] => vec![(Method::Get, Endpoint::Schemas(Some((*name).to_owned())))],
        ["Me"] => [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete]
            .map(|method| (method, Endpoint::Unsupported("/Me")))
            .to_vec(),
        ["Bulk"] => vec![(Method::Post, Endpoint::Unsupported("/Bulk"))],
        [".search"] => vec![(Method::Post, Endpoint::Unsupported("/.search over all kinds of resources at once"))],
        [name] => match kind(name) {
            Some(Kind::User) => vec![(Method::Get, Endpoint::List(Kind::User)), (Method::Post, Endpoint::Create)],
            Some(Kind::Group) => vec![(Method::Get, Endpoint::List(Kind::Group))],
            None => Vec::new(),
        },
        [name, ".search"] => kind(name).map(|kind| (Method::Post, Endpoint::Search(kind))).into_iter().collect(),
        [name, text] if !text.is_empty() => match kind(name) {
            Some(kind) => {
                let mut methods = vec![
                    (Method::Get, Endpoint::Show(kind, (*text).to_owned())),
                    (Method::Put, Endpoint::Replace(kind, (*text).to_owned())),
                    (Method::Patch, Endpoint::Patch(kind, (*text).to_owned())),
                ];
                if kind == Kind::User {
                    methods.push((Method::Delete, Endpoint::Delete((*text).to_owned())));
                }
                methods
            }
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}
