//! What requests are answered by: the Coordinator's settings, and a few more.

use std::fmt;

use super::auth::Tokens;
use super::entry::Access;
use super::http::Problem;
use crate::base::ports::Secret;
use crate::base::settings::{self, Reader, number, switch};
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
            (Some(tokens), Some(coordinator)) if !reader.problems.iter().any(settings::Problem::is_fatal) => Ok(Self {
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
}
