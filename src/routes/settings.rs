//! What requests are answered by: the Coordinator's settings, and a few more.

use std::fmt;

use crate::base::ports::Secret;
use crate::base::settings::{Problem, Reader, number, secret};
use crate::coordinator;

/// What requests are answered by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CONNECTOR_TOKEN`: the bearer token for `/v1`.
    pub token: Secret,
    /// `SCIM_REPLACE_MAX_REMOVALS`: so many members one SCIM operation may take out of a Group.
    pub scim_replace_max_removals: usize,
    /// The variables that are wrong and whose features are off therefore.
    pub problems: Vec<Problem>,
    /// What the Coordinator works by.
    pub coordinator: coordinator::Settings,
}

/// Everything that is wrong with a configuration that nothing can go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotConfigured {
    /// The problems, in the order of docs/configuration.md.
    pub problems: Vec<Problem>,
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

/// 32 hexadecimal digits are 128 bits, beyond guessing; what people type by hand is not.
const MIN_TOKEN: usize = 32;

impl Settings {
    /// Reads them, and all that is below.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Option<Secret>> {
        let token = reader.required(
            "CONNECTOR_TOKEN",
            "set it with: npx wrangler secret put CONNECTOR_TOKEN (a long random text, such as the output of: openssl rand -hex 32)",
            token,
        );
        let scim_replace_max_removals =
            reader.protecting("SCIM_REPLACE_MAX_REMOVALS", number(0, 1_000_000)).unwrap_or(1);
        let coordinator = coordinator::Settings::read(reader);
        match (token, coordinator) {
            (Some(token), Some(coordinator)) if !reader.problems.iter().any(|problem| problem.fatal) => {
                Ok(Self { token, scim_replace_max_removals, problems: Vec::new(), coordinator })
            }
            (token, _) => Err(token),
        }
    }
}

fn token(text: &str) -> Result<Secret, String> {
    if text.len() < MIN_TOKEN {
        return Err(format!("must have at least {MIN_TOKEN} characters, such as the output of: openssl rand -hex 32"));
    }
    secret(text)
}
