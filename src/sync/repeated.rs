//! Pages that come as they came in the sync before. Most of a sync's time is reading pages of members, which are long and mostly the same
//! each time: one whose bytes are those of the sync before is not read again, and what was staged of it then is this sync's.
//!
//! **Invariant:** what stands for a page is what this build makes of the very bytes that came now, of this account, by this token.

use super::crawl::{Fetch, PageFacts};
use super::run::told;
use super::staging;
use super::unchanged::BUILD;
use crate::base::hash::hex;
use crate::base::ports::{KeyValue, Sql, SqlError};
use crate::cloudflare::Settings;
use crate::snapshot::RunId;

/// What the sync before left of its pages, and how bytes are known.
pub(super) struct Repeated {
    /// The sync before, where anything is left of it.
    before: Option<String>,
    /// Who asks whom, and what build reads it.
    told: String,
}

impl Repeated {
    /// What is left beside a run's own pages.
    pub(super) fn load(sql: &dyn Sql, settings: &Settings, run: &RunId) -> Result<Self, SqlError> {
        Ok(Self { before: staging::another_run(sql, run)?, told: told(BUILD, settings) })
    }

    /// What bytes are known by.
    pub(super) async fn print(&self, ports: &impl KeyValue, body: &[u8]) -> String {
        format!("{} {}", self.told, hex(&ports.sha256(body).await))
    }

    /// The sync before and what it kept of a page, where that came as the bytes that are known by this. What cannot be looked up is read.
    pub(super) fn before(&self, sql: &dyn Sql, page: Fetch, print: &str) -> Option<(String, PageFacts)> {
        let run = self.before.as_ref()?;
        let facts = staging::facts_of(sql, run, page).ok()??;
        (facts.print == print).then(|| (run.clone(), facts))
    }
}
