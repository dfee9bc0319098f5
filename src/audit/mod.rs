//! Cloudflare's audit log, read forward in one place that everybody else listens to (`reference/cloudflare.md` 1.7,
//! `reference/activity.md`): `feed.rs` reads, `entries.rs` keeps what is of the account's access, `activity.rs` who was last active;
//! and who last logged in (`logins.rs`). `signs.rs` is what rows show of both.
//!
//! The log tells neither order nor how late an entry may come, so each reading begins before the last one's end, and what is kept is
//! told apart by its id. What it says is a hint: the sweep stays the truth.
//!
//! **Invariant:** an entry is listened to once, however often it is read.

pub mod activity;
pub mod entries;
pub mod feed;
pub mod logins;
pub mod signs;
mod state;

pub use entries::{Author, Entry};
pub use logins::Logins;
pub use state::AuditLog;

use crate::base::ports::{Sql, SqlError};
use crate::base::settings::{Reader, switch};

/// What is read of what people do. Where a variable is wrong nobody knows: then nothing is read, and nothing that was read is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `AUDIT_FEED`: whether the audit log is read all the time.
    pub feed: Option<bool>,
    /// `LAST_LOGINS`: whether the lists that tell last logins are read.
    pub logins: Option<bool>,
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        // Whoever sets one and mistypes it meant to say something of what is read of people.
        let mut is_on = |name| if reader.text(name).is_none() { Some(true) } else { reader.optional(name, switch) };
        Self { feed: is_on("AUDIT_FEED"), logins: is_on("LAST_LOGINS") }
    }
}

/// Creates the tables.
pub fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    state::init(sql)?;
    entries::init(sql)?;
    activity::init(sql)?;
    logins::init(sql)
}
