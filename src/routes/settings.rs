//! What requests are answered by: the Coordinator's settings, and a few more.

use std::fmt;

use super::auth::Tokens;
use super::entry::Access;
use super::http::{Incoming, Problem};
use super::route::Route;
use super::session;
use crate::base::ports::Secret;
use crate::base::settings::{self, Reader, number, switch};
use crate::base::time::Timestamp;
use crate::coordinator;

/// What requests are answered by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CONNECTOR_TOKEN` and those beside it: who may do what.
    pub tokens: Tokens,
    /// `ACCESS_TEAM_DOMAIN` and those beside it: signing in by Cloudflare Access.
    pub access: Option<Access>,
    /// `REST_PROVISIONING`: whether access is changed by REST and SCIM too, or by C1's webhooks alone.
    pub rest_provisioning: bool,
    /// `SCIM_REPLACE_MAX_REMOVALS`: how many members one SCIM operation may take out of a Group.
    pub scim_replace_max_removals: usize,
    /// The variables that are wrong and whose features are off therefore.
    pub problems: Vec<settings::Problem>,
    /// What the Coordinator works by.
    pub coordinator: coordinator::Settings,
}

/// Everything that is wrong with a configuration that nothing can go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotConfigured {
    /// The problems, in the order of docs/configuration.md.
    pub problems: Vec<settings::Problem>,
    /// The bearer token for `/v1`, where that at least is right: then it guards the list of problems too.
    pub token: Option<Secret>,
}

impl fmt::Display for NotConfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the Worker is not configured")?;
        for problem in &self.problems {
            write!(f, "; {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

impl NotConfigured {
    /// What everybody is told. The names of what is missing go to those who hold the token (`/v1/doctor`) and to the log.
    pub(super) fn problem(&self) -> Problem {
        let count = self.problems.len();
        Problem::unavailable(
            "not_configured",
            format!(
                "the Worker is not configured: {count} of its variables are missing or malformed; see GET /v1/doctor or the Worker's log"
            ),
            60,
        )
    }
}

impl Settings {
    /// Reads them, and all that is below.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Option<Secret>> {
        let tokens = Tokens::read(reader);
        let access = Access::read(reader);
        let rest_provisioning = reader.protecting("REST_PROVISIONING", switch).unwrap_or(true);
        let scim_replace_max_removals =
            reader.protecting("SCIM_REPLACE_MAX_REMOVALS", number(0, 1_000_000)).unwrap_or(1);
        let coordinator = coordinator::Settings::read(reader);
        match (tokens, coordinator) {
            (Some(tokens), Some(coordinator)) if !reader.problems.iter().any(|problem| problem.fatal) => Ok(Self {
                tokens,
                access,
                rest_provisioning,
                scim_replace_max_removals,
                problems: Vec::new(),
                coordinator,
            }),
            (tokens, _) => Err(tokens.map(|tokens| tokens.guard())),
        }
    }

    /// Whether a request may do what its route does.
    pub(super) fn allow(&self, route: &Route, request: &Incoming, now: Timestamp) -> Result<(), Problem> {
        let right = match session::right(&self.tokens, request, now)? {
            Some(right) => right,
            None => self.tokens.right(request)?,
        };
        right.suffice(route.needs())?;
        if self.rest_provisioning || !route.changes_access() {
            return Ok(());
        }
        Err(Problem::new(
            403,
            "rest_provisioning_off",
            "REST_PROVISIONING is off, so access is changed by ConductorOne's webhooks alone; ask for it in ConductorOne, or set REST_PROVISIONING to on and deploy",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::base::ports::Method;
    use crate::base::settings::Reader;
    use crate::base::time::Timestamp;
    use crate::routes::http::{Body, Incoming};
    use crate::routes::route;

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
        let request =
            Incoming { method, path: path.to_owned(), query: Vec::new(), headers, body: Body::Read(Vec::new()) };
        let allowed = settings.allow(&route::find(&request).unwrap(), &request, Timestamp::from_secs(1_800_000_000));
        allowed.map_or_else(|problem| (problem.status, problem.code), |()| (200, ""))
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
