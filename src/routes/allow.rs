//! Whether a request may do what its route does.

use super::auth::Right;
use super::http::{Incoming, Problem};
use super::route::Route;
use super::session;
use super::settings::Settings;
use crate::base::time::Timestamp;

/// Whether a request may do what its route does, and what right it has.
pub(super) fn allow(settings: &Settings, route: &Route, request: &Incoming, now: Timestamp) -> Result<Right, Problem> {
    let (tokens, own) = session::signers(settings);
    let right = match session::right((tokens, &own), request, now)? {
        Some(right) => right,
        None => settings.tokens.right(request)?,
    };
    right.suffice(route.needs())?;
    if settings.rest_provisioning || !route.changes_access() {
        return Ok(right);
    }
    Err(off())
}

/// Why access is not changed otherwise, nor an app taken whose owner could change it.
pub(super) fn off() -> Problem {
    Problem::new(
        403,
        "rest_provisioning_off",
        "REST_PROVISIONING is off, so access is changed by ConductorOne's webhooks alone; ask for it in ConductorOne (for an app, set C1_APP_ID), or set REST_PROVISIONING to on and deploy",
    )
}

#[cfg(test)]
mod tests {
    use super::allow;
    use crate::base::ports::Method;
    use crate::base::settings::Reader;
    use crate::base::time::Timestamp;
    use crate::routes::http::{Body, Incoming};
    use crate::routes::route;
    use crate::routes::settings::Settings;

    const FULL: &str = "full-0123456789abcdef0123456789abcdef";
    const READ: &str = "read-0123456789abcdef0123456789abcdef";

    /// The status and the code that a request is stopped with; 200 where it is not.
    fn stopped(rest: &str, token: &str, method: Method, path: &str) -> (u16, &'static str) {
        let lookup = |name: &str| {
            let value = match name {
                "CLOUDFLARE_ACCOUNT_ID" => "eb78d65290b24279ba6f44721b3ea3c4",
                "CLOUDFLARE_API_TOKEN" => "cfat_secret",
                "CONNECTOR_TOKEN" => FULL,
                "CONNECTOR_READ_TOKEN" => READ,
                "C1_TENANT" => "acme.conductor.one",
                "PUBLIC_URL" => "https://connector.example.com",
                "REST_PROVISIONING" => rest,
                _ => return None,
            };
            Some(value.to_owned())
        };
        let settings = Settings::read(&mut Reader::new(&lookup)).unwrap();
        let headers = vec![("authorization".to_owned(), format!("Bearer {token}"))];
        let request = Incoming {
            method,
            origin: String::new(),
            path: path.to_owned(),
            query: Vec::new(),
            headers,
            body: Body::Read(Vec::new()),
        };
        let allowed = allow(&settings, &route::find(&request).unwrap(), &request, Timestamp::from_secs(1_800_000_000));
        allowed.map_or_else(|problem| (problem.status, problem.code), |_| (200, ""))
    }

    #[test]
    fn a_token_that_reads_changes_nothing_and_rest_may_be_off() {
        let id = "05784afa30c1afe1440e79d9351c7430";
        let (role, user) = (format!("/v1/roles/{id}/members/{id}"), format!("/scim/v2/Users/{id}"));
        for path in
            ["/v1/users", "/v1/grants", "/v1/status", "/v1/operations", "/v1/export/sync.c1z", "/scim/v2/Users", &user]
        {
            for (rest, token) in [("on", READ), ("off", READ), ("on", FULL), ("off", FULL)] {
                assert_eq!(stopped(rest, token, Method::Get, path), (200, ""), "{path} {token}");
            }
            assert_eq!(stopped("on", "neither", Method::Get, path), (401, "unauthorized"));
        }
        assert_eq!(stopped("off", READ, Method::Post, "/scim/v2/Users/.search"), (200, ""));
        for (method, path) in [
            (Method::Put, role.as_str()),
            (Method::Delete, &role),
            (Method::Post, "/v1/accounts"),
            (Method::Post, "/scim/v2/Users"),
            (Method::Patch, &user),
            (Method::Delete, &user),
        ] {
            assert_eq!(stopped("on", FULL, method, path), (200, ""), "{path}");
            assert_eq!(stopped("off", FULL, method, path), (403, "rest_provisioning_off"), "{path}");
            for rest in ["on", "off"] {
                assert_eq!(stopped(rest, READ, method, path), (403, "read_only_token"), "{path}");
            }
        }
        for path in ["/v1/sync", "/v1/push", "/v1/connect"] {
            assert_eq!(stopped("off", FULL, Method::Post, path), (200, ""), "{path}");
            assert_eq!(stopped("on", READ, Method::Post, path), (403, "read_only_token"), "{path}");
        }
    }
}
