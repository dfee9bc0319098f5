//! Pages that come as they came in the sync before. Most of a sync's time is reading pages of members, which are long and mostly the same
//! each time: one whose bytes are those of the sync before is not read again, and what was staged of it then is this sync's.
//!
//! **Invariant:** what stands for a page is what this build makes of the very bytes that came now, of this account, by this token.

use siphasher::sip128::SipHasher13;
use std::hash::Hasher as _;

use super::crawl::{Fetch, PageFacts};
use super::staging;
use super::unchanged::BUILD;
use crate::base::hash::{hex, hmac_sha256};
use crate::base::ports::{Sql, SqlError};
use crate::cloudflare::Settings;
use crate::snapshot::RunId;

/// What the sync before left of its pages, and how bytes are known.
pub(super) struct Repeated {
    /// The sync before, where anything is left of it.
    before: Option<String>,
    hasher: SipHasher13,
}

impl Repeated {
    /// What is left beside a run's own pages.
    pub(super) fn load(sql: &dyn Sql, settings: &Settings, run: &RunId) -> Result<Self, SqlError> {
        // Whoever chooses what stands on a page, such as somebody's own name, cannot know the key, and so makes no two pages that are taken for one.
        let told = format!("c1-cloudflare/pages/{BUILD}/{}/{}", settings.account_id, settings.url);
        let key = hmac_sha256(settings.token.expose().as_bytes(), told.as_bytes());
        let hasher = key.first_chunk().map(SipHasher13::new_with_key).unwrap_or_default();
        Ok(Self { before: staging::another_run(sql, run)?, hasher })
    }

    /// What bytes are known by.
    pub(super) fn print(&self, body: &[u8]) -> String {
        use siphasher::sip128::Hasher128 as _;
        let mut hasher = self.hasher;
        hasher.write(body);
        hex(&hasher.finish128().as_bytes())
    }

    /// The sync before and what it kept of a page, where that came as the bytes that are known by this. What cannot be looked up is read.
    pub(super) fn before(&self, sql: &dyn Sql, page: Fetch, print: &str) -> Option<(String, PageFacts)> {
        let run = self.before.as_ref()?;
        let facts = staging::facts_of(sql, run, page).ok()??;
        (facts.print == print).then(|| (run.clone(), facts))
    }
}
