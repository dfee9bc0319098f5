//! Which route a request is for.

use super::auth::Right;
use super::entry;
use super::http::{Incoming, Problem};
use super::principal::PathPrincipal;
use super::scim::endpoint::{self, Endpoint};
use crate::base::ports::Method;
use crate::conductorone::verify;
use crate::export::File;
use crate::model::ask::Action;
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::{InvalidId, MemberId, UserId};
use crate::model::kind::Kind;
use crate::model::resource::Row;

/// What the metrics call a request by which somebody signs in.
pub(crate) const SIGN_IN: &str = "sign_in";

/// A route with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Webhook,
    KeySet,
    Session,
    Entry,
    Metrics,
    Status,
    Days,
    Doctor,
    Sync,
    Push,
    Connect,
    Connection,
    List(List),
    One(String),
    Access(String),
    Holders(Entitlement),
    Changes,
    History,
    AsOf,
    Evidence,
    Decisions,
    Findings,
    WhatIf,
    Finding(String),
    AcceptFinding(String),
    Export(File),
    Invite,
    Renew(MemberId),
    Remove(PathPrincipal),
    Operations,
    Operation(String),
    Scim(Endpoint),
    Grant(Action, Entitlement, PathPrincipal),
}

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Resources(Kind),
    Entitlements,
    Grants,
}

impl Route {
    /// What a token must be allowed to.
    pub(super) const fn needs(&self) -> Right {
        match self {
            // The doctor sends requests to both services, which the account's budget pays for.
            Self::Doctor | Self::Sync | Self::Push | Self::Connect | Self::AcceptFinding(_) => Right::Full,
            _ if self.changes_access() => Right::Full,
            _ => Right::Read,
        }
    }

    /// What the metrics call it.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Webhook => "webhook",
            Self::KeySet => "key_set",
            Self::Session => "session",
            Self::Entry => SIGN_IN,
            Self::Metrics => "metrics",
            Self::Status | Self::Days => "status",
            Self::Doctor => "doctor",
            Self::Sync => "sync",
            Self::Push => "push",
            Self::Connect | Self::Connection => "connect",
            Self::List(_) | Self::One(_) | Self::Access(_) | Self::Holders(_) => "lists",
            Self::Changes | Self::History | Self::AsOf => "history",
            Self::Decisions => "decisions",
            Self::Findings | Self::Finding(_) | Self::AcceptFinding(_) => "findings",
            Self::WhatIf => "what_if",
            Self::Export(_) | Self::Evidence => "export",
            Self::Invite | Self::Renew(_) | Self::Remove(_) => "accounts",
            Self::Operations | Self::Operation(_) => "operations",
            Self::Scim(_) => "scim",
            Self::Grant(..) => "grants",
        }
    }

    /// Whether it changes who may do what in the account.
    pub(super) const fn changes_access(&self) -> bool {
        match self {
            Self::Invite | Self::Renew(_) | Self::Remove(_) | Self::Grant(..) => true,
            Self::Scim(endpoint) => endpoint.changes_access(),
            Self::Health
            | Self::Webhook
            | Self::KeySet
            | Self::Session
            | Self::Entry
            | Self::Metrics
            | Self::Status
            | Self::Days
            | Self::Doctor
            | Self::Sync
            | Self::Push
            | Self::Connect
            | Self::Connection
            | Self::List(_)
            | Self::One(_)
            | Self::Access(_)
            | Self::Holders(_)
            | Self::Changes
            | Self::History
            | Self::AsOf
            | Self::Evidence
            | Self::Decisions
            | Self::Findings
            | Self::WhatIf
            | Self::Finding(_)
            | Self::AcceptFinding(_)
            | Self::Export(_)
            | Self::Operations
            | Self::Operation(_) => false,
        }
    }
}

/// What a path leads to, for each method it allows.
type Methods = Vec<(Method, Route)>;

/// Finds the route: 404 where there is nothing at the path, 405 with `Allow` where there is for other methods.
pub(super) fn find(request: &Incoming) -> Result<Route, Problem> {
    let mut methods = at(&request.path).map_err(|error| Problem::invalid(error.to_string()))?;
    if methods.is_empty() {
        return Err(Problem::not_found());
    }
    // HEAD is GET without the body.
    let wanted = if request.method == Method::Head { Method::Get } else { request.method };
    if let Some(place) = methods.iter().position(|(method, _)| *method == wanted) {
        return Ok(methods.swap_remove(place).1);
    }
    let mut allow: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    let allow = allow.join(", ");
    let mut problem = Problem::new(405, "method_not_allowed", format!("this path allows {allow}"));
    problem.headers.push(("Allow", allow));
    Err(problem)
}

fn at(path: &str) -> Result<Methods, InvalidId> {
    let get = |route| vec![(Method::Get, route)];
    let post = |route| vec![(Method::Post, route)];
    let decoded: Vec<String> = path.strip_prefix('/').unwrap_or(path).split('/').map(decode).collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    Ok(match segments.as_slice() {
        ["healthz"] => get(Route::Health),
        [".well-known", "jwks.json"] => get(Route::KeySet),
        _ if path == verify::PATH => post(Route::Webhook),
        ["metrics"] => get(Route::Metrics),
        // As it is sent: an Access application may be in front of this spelling alone.
        ["session", "access"] if path == entry::PATH => get(Route::Entry),
        ["session"] => [Method::Post, Method::Get, Method::Delete].map(|method| (method, Route::Session)).into(),
        ["scim", "v2", rest @ ..] => {
            endpoint::at(rest).into_iter().map(|(method, endpoint)| (method, Route::Scim(endpoint))).collect()
        }
        ["v1", "status"] => get(Route::Status),
        ["v1", "days"] => get(Route::Days),
        ["v1", "doctor"] => get(Route::Doctor),
        ["v1", "sync"] => post(Route::Sync),
        ["v1", "push"] => post(Route::Push),
        ["v1", "connect"] => vec![(Method::Post, Route::Connect), (Method::Get, Route::Connection)],
        ["v1", "changes"] => get(Route::Changes),
        ["v1", "history"] => get(Route::History),
        ["v1", "evidence"] => get(Route::Evidence),
        ["v1", "as-of"] => get(Route::AsOf),
        ["v1", "decisions"] => get(Route::Decisions),
        ["v1", "what-if"] => get(Route::WhatIf),
        ["v1", "findings"] => get(Route::Findings),
        ["v1", "findings", id] if !id.is_empty() => get(Route::Finding((*id).to_owned())),
        ["v1", "findings", id, "accept"] if !id.is_empty() => post(Route::AcceptFinding((*id).to_owned())),
        ["v1", "export", name] => match File::named(name) {
            Some(file) => get(Route::Export(file)),
            None => Vec::new(),
        },
        ["v1", "accounts"] => post(Route::Invite),
        ["v1", "accounts", id] => vec![(Method::Delete, Route::Remove(PathPrincipal::parse(id)?))],
        ["v1", "invitations", id, "renew"] => post(Route::Renew(id.parse::<MemberId>()?)),
        ["v1", "operations"] => get(Route::Operations),
        ["v1", "operations", id] if !id.is_empty() => get(Route::Operation((*id).to_owned())),
        ["v1", "entitlements"] => get(Route::List(List::Entitlements)),
        ["v1", "grants"] => get(Route::List(List::Grants)),
        ["v1", collection] => match Kind::of_collection(collection) {
            Some(kind) => get(Route::List(List::Resources(kind))),
            None => Vec::new(),
        },
        ["v1", "users", id] => get(Route::One(Principal::User(id.parse::<UserId>()?).to_string())),
        ["v1", "invitations", id] => get(Route::One(Principal::Invitation(id.parse::<MemberId>()?).to_string())),
        ["v1", "scoped-roles", id] => {
            entitlement("scoped-roles", id)?.map(|it| get(Route::One(it.resource()))).unwrap_or_default()
        }
        ["v1", "tokens", id] => get(Route::One(Row::token_key(id.parse()?))),
        ["v1", "resources", object, "access"] if !object.is_empty() => get(Route::Access((*object).to_owned())),
        ["v1", collection, id, "members"] => match entitlement(collection, id)? {
            Some(entitlement) => get(Route::Holders(entitlement)),
            None => Vec::new(),
        },
        ["v1", collection, id, "members", principal] => match entitlement(collection, id)? {
            Some(entitlement) => {
                let principal = PathPrincipal::parse(principal)?;
                vec![
                    (Method::Put, Route::Grant(Action::Grant, entitlement, principal)),
                    (Method::Delete, Route::Grant(Action::Revoke, entitlement, principal)),
                ]
            }
            None => Vec::new(),
        },
        _ => Vec::new(),
    })
}

/// A segment of a path as it was before it was percent-encoded (RFC 3986, 2.1): programs encode the colon of `invitation:<id>` too.
fn decode(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| {
            after.get(at).and_then(|&byte| char::from(byte).to_digit(16)).and_then(|it| u8::try_from(it).ok())
        };
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push(16 * high + low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn entitlement(collection: &str, id: &str) -> Result<Option<Entitlement>, InvalidId> {
    Kind::of_collection(collection).map_or(Ok(None), |kind| Entitlement::of(kind, id))
}

#[cfg(test)]
mod tests {
    use super::{List, Route, find};
    use crate::base::ports::Method;
    use crate::export::File;
    use crate::model::kind::Kind;
    use crate::routes::{Body, Incoming};

    const ID: &str = "05784afa30c1afe1440e79d9351c7430";

    fn check(method: Method, path: &str) -> Result<Route, (u16, Option<String>)> {
        let request = Incoming {
            origin: String::new(),
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Read(Vec::new()),
        };
        find(&request).map_err(|problem| (problem.status, problem.headers.into_iter().map(|(_, value)| value).next()))
    }

    #[test]
    fn paths_lead_to_routes() {
        assert_eq!(check(Method::Get, "/healthz"), Ok(Route::Health));
        assert_eq!(check(Method::Head, "/v1/users"), Ok(Route::List(List::Resources(Kind::User))));
        assert_eq!(check(Method::Post, "/webhooks/conductorone"), Ok(Route::Webhook));
        assert_eq!(check(Method::Get, "/v1/export/sync.c1z"), Ok(Route::Export(File::C1z)));
        assert_eq!(check(Method::Head, "/v1/export/users.csv"), Ok(Route::Export(File::UsersCsv)));
        assert!(matches!(check(Method::Put, &format!("/v1/roles/{ID}/members/{ID}")), Ok(Route::Grant(..))));
        for principal in [ID.to_owned(), format!("user:{ID}"), format!("invitation:{ID}"), format!("group:{ID}")] {
            let path = format!("/v1/roles/{ID}/members/{principal}");
            assert!(matches!(check(Method::Delete, &path), Ok(Route::Grant(..))), "{path}");
        }
        assert!(matches!(check(Method::Get, &format!("/v1/scoped-roles/{ID}-{ID}/members")), Ok(Route::Holders(_))));
    }

    #[test]
    fn a_segment_may_be_percent_encoded() {
        let plain = check(Method::Delete, &format!("/v1/accounts/invitation:{ID}"));
        assert!(matches!(plain, Ok(Route::Remove(_))));
        assert_eq!(check(Method::Delete, &format!("/v1/accounts/invitation%3A{ID}")), plain);
        assert_eq!(check(Method::Delete, &format!("/v1/accounts/%69nvitation%3a{ID}")), plain);
        // What is no encoding stands for itself, and a slash that is encoded separates nothing.
        for wrong in ["%", "%3", "%zz", "%F0", "..%2F..", &format!("{ID}%2F{ID}")] {
            assert_eq!(check(Method::Delete, &format!("/v1/accounts/{wrong}")).unwrap_err().0, 400, "{wrong}");
        }
    }

    #[test]
    fn unknown_paths_are_not_found() {
        for path in [
            "/",
            "",
            "/v1",
            "/v1/",
            "/v2/users",
            "/v1/users/",
            "/V1/users",
            "/healthz/",
            "/v1/zones",
            "//healthz",
            "/v1/export",
            "/v1/export/sync.csv",
        ] {
            let status = check(Method::Get, path).unwrap_err().0;
            assert!(status == 404 || (status == 400 && path == "/v1/users/"), "{path}: {status}");
        }
    }

    #[test]
    fn a_path_with_another_method_says_which_it_allows() {
        assert_eq!(check(Method::Delete, "/v1/users"), Err((405, Some("GET, HEAD".to_owned()))));
        assert_eq!(check(Method::Get, "/v1/sync"), Err((405, Some("POST".to_owned()))));
        assert_eq!(
            check(Method::Post, &format!("/v1/roles/{ID}/members/{ID}")),
            Err((405, Some("PUT, DELETE".to_owned())))
        );
    }

    #[test]
    fn an_id_that_is_none_is_an_invalid_request() {
        for path in
            ["/v1/roles/admin/members", "/v1/users/..", "/v1/roles//members", &format!("/v1/roles/{ID}/members/jane")]
        {
            let method = if path.ends_with("jane") { Method::Put } else { Method::Get };
            assert_eq!(check(method, path).unwrap_err().0, 400, "{path}");
        }
    }
}
