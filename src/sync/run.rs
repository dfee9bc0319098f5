//! The running sync: its id, its cursor, and where both are kept.

use serde::Serialize;

use super::crawl::{Crawl, Further, Phase};
use super::state;
use crate::base::hash::{hex, hmac_sha256};
use crate::base::json::Deserialize;
use crate::base::ports::{Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::Settings;
use crate::snapshot::{GenerationId, KvUse, Publication, RunId};

/// What starts a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Who or what: `cron`, `api`.
    pub by: String,
    /// Where the last sync was held, publish what it was held for; where it was not, drop what is no longer readable, and take a list as it is that
    /// tells of more than it gives.
    #[serde(default)]
    pub accept_removals: bool,
}

/// What a run published, as long as it is not remembered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    pub(super) generation: GenerationId,
    pub(super) chunks_written: u64,
    pub(super) bytes_written: u64,
    pub(super) warnings: Vec<String>,
}

impl Published {
    pub(super) fn of(publication: &Publication, warnings: &[String]) -> Self {
        Self {
            generation: publication.manifest.generation.clone(),
            chunks_written: publication.chunks_written,
            bytes_written: publication.bytes_written,
            warnings: warnings.to_vec(),
        }
    }
}

/// The version of everything that a run keeps. Another one makes a run start over.
const FORMAT: u32 = 4;

/// How far a run is. Kept in SQLite; a copy goes to KV under [`CURSOR_KEY`].
///
/// The pages that are staged say which pages are done, so this need not be written with each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) v: u32,
    pub(super) run: RunId,
    pub(super) trigger: Trigger,
    /// What the crawl depends on; see [`cfg_hash`].
    pub(super) cfg_hash: String,
    pub(super) started_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// Nothing is done before this.
    #[serde(default)]
    pub(super) not_before: Option<Timestamp>,
    /// Where the crawl is, for those who read the copy in KV.
    pub(super) phase: Phase,
    pub(super) page: u32,
    pub(super) pages_done: u32,
    pub(super) members_total: Option<u32>,
    /// Whether the members moved while they were read.
    #[serde(default)]
    pub(super) dirty: bool,
    /// What is read beyond the first pass.
    #[serde(default)]
    pub(super) further: Further,
    /// Whether members were asked what their user groups give: once in a run.
    #[serde(default)]
    pub(super) learned: bool,
    /// Whether it has forgotten what is stored of a generation that is lost: once in a run, so that what it wrote since is not written again.
    #[serde(default)]
    pub(super) forgot: bool,
    /// What it published: from then on nothing is left of it but to remember that.
    #[serde(default)]
    pub(super) published: Option<Published>,
    /// Requests sent in earlier steps.
    #[serde(default)]
    pub(super) sent_before: u32,
    /// Requests that brought no page.
    #[serde(default)]
    pub(super) failed_requests: u32,
    /// Steps in a row that ended at the same trouble.
    #[serde(default)]
    pub(super) attempt: u32,
    /// That trouble.
    #[serde(default)]
    pub(super) trouble: Option<String>,
    /// Lists that went on failing, and are done without.
    #[serde(default)]
    pub(super) given_up: u32,
    /// How often a list of roles was asked for again that Cloudflare says is not there.
    #[serde(default)]
    pub(super) refused: u32,
    /// Lists of several pages that were read once more, since they had moved while they were read, or lacked something that was on them: each as
    /// often as it was.
    #[serde(default)]
    pub(super) read_again: Vec<String>,
    /// How often the run started over.
    #[serde(default)]
    pub(super) restarts: u32,
    /// Key-value operations so far.
    #[serde(default)]
    pub(super) kv: KvUse,
    /// When the copy in KV was written.
    #[serde(default)]
    pub(super) copied_at: Option<Timestamp>,
    /// Grows with everything that is done; of two copies the one with more is the newer.
    pub(super) progress: u64,
}

/// What the cursor's copy in KV is called.
pub(super) const CURSOR_KEY: &str = "sync/cursor";

/// A run that takes longer than this started from a picture of the account that is too old: it starts over.
const MAX_AGE_MILLIS: i64 = 6 * 60 * 60 * 1000;

impl Cursor {
    pub(super) fn new(run: RunId, trigger: Trigger, settings: &Settings, now: Timestamp) -> Self {
        Self {
            v: FORMAT,
            run,
            trigger,
            cfg_hash: cfg_hash(settings),
            started_at: now,
            updated_at: now,
            not_before: None,
            phase: Phase::Lists,
            page: 0,
            pages_done: 0,
            members_total: None,
            dirty: false,
            further: Further::default(),
            learned: false,
            forgot: false,
            published: None,
            sent_before: 0,
            failed_requests: 0,
            attempt: 0,
            trouble: None,
            given_up: 0,
            refused: 0,
            read_again: Vec::new(),
            restarts: 0,
            kv: KvUse::default(),
            copied_at: None,
            progress: 0,
        }
    }

    pub(super) fn load(sql: &dyn Sql) -> Result<Option<Self>, SqlError> {
        state::load(sql, state::CURSOR)
    }

    pub(super) fn store(&self, sql: &dyn Sql) -> Result<(), SqlError> {
        state::store(sql, state::CURSOR, self)
    }

    /// Whether what was read so far is of no use any more.
    pub(super) fn is_outdated(&self, settings: &Settings, now: Timestamp) -> bool {
        self.v != FORMAT || self.cfg_hash != cfg_hash(settings) || now.since(self.started_at) > MAX_AGE_MILLIS
    }

    /// The cursor of the same run from its beginning. It accepts no removals any more: another token may be shown less, and hours later more is gone,
    /// than was told to whoever accepted.
    pub(super) fn restarted(self, settings: &Settings, now: Timestamp) -> Self {
        Self {
            restarts: self.restarts + 1,
            kv: self.kv,
            copied_at: self.copied_at,
            progress: self.progress + 1,
            further: Further { names: self.further.names, ..Further::default() },
            ..Self::new(self.run, Trigger { accept_removals: false, ..self.trigger }, settings, now)
        }
    }

    /// Takes over where the crawl is.
    pub(super) fn follow(&mut self, crawl: &Crawl, now: Timestamp) {
        let progress = crawl.progress();
        if progress.pages_done > self.pages_done {
            // Something came: whatever the trouble was, it is over.
            self.attempt = 0;
            self.trouble = None;
        }
        self.phase = crawl.phase();
        self.page = crawl.last_page();
        self.pages_done = progress.pages_done;
        self.members_total = progress.members_total;
        self.updated_at = now;
        self.progress += 1;
    }
}

/// What a crawl depends on beside its format: pages read for another account are not for this one, nor those of another token, which may be shown
/// more or less.
fn cfg_hash(settings: &Settings) -> String {
    told("run", settings)
}

/// Who asks whom, and something beside: from it nobody learns the token.
pub(super) fn told(beside: &str, settings: &Settings) -> String {
    let told = format!("c1-cloudflare/pages/{beside}/{}/{}", settings.account_id, settings.url);
    hex(&hmac_sha256(settings.token.expose().as_bytes(), told.as_bytes())).chars().take(32).collect()
}
