//! Reads the log forward: a few pages at a time, from before where the last reading ended until now.

use super::state::{Reading, note};
use super::{activity, entries};
use crate::base::object::object;
use crate::base::ports::{Clock, Http, HttpError, Level, Log, Sql, SqlError};
use crate::base::time::Timestamp;
use crate::cloudflare::{ApiError, AuditEntry, Client, Purpose, Settings};

/// How long it is between two readings when nothing happens: two requests a minute.
const EVERY_SECS: i64 = 30;

/// When a reading goes on that has more pages than one turn reads.
const GO_ON_SECS: i64 = 2;

/// Pages that one turn reads at most.
const PAGES_AT_ONCE: usize = 3;

/// Entries on a page at most, and on the pages of a log whose entries are large. An entry carries what was asked and answered, some KB.
const LIMIT: u32 = 500;
const SMALL_LIMIT: u32 = 50;

/// Nothing is documented about how late an entry may be: one that is fifteen minutes late is read. Each reading goes back as far as that and the
/// time since the last one did. Where that is more than a page, most go back less far, and one in each [`WIDE_EVERY_SECS`] does.
const OVERLAP_SECS: i64 = 15 * 60 + WIDE_EVERY_SECS + 60;
const SHORT_OVERLAP_SECS: i64 = 2 * 60;
const WIDE_EVERY_SECS: i64 = 5 * 60;

/// Cloudflare's clock may be ahead of this one by as much.
const AHEAD_SECS: i64 = 5 * 60;

/// What was not read for longer is left out: the sweep has seen what it left.
const MOST_BEHIND_SECS: i64 = 24 * 60 * 60;

/// A log that may not be read is asked for again after this.
const UNREADABLE_SECS: i64 = 60 * 60;

/// After a failure that may pass, the log is asked again this much later.
const FAILURE_SECS: i64 = 60;

pub use super::state::{AuditLog, state};

/// When the log is read next.
pub fn next_due<P: Sql + Clock>(ports: &P) -> Result<Timestamp, SqlError> {
    Ok(state(ports)?.and_then(|state| state.next_at).unwrap_or_else(|| ports.now()))
}

/// Whether what happens in the account is heard of soon: the log can be read, and is read to its end.
pub fn is_healthy(sql: &dyn Sql, now: Timestamp) -> Result<bool, SqlError> {
    let fresh = |until: Timestamp| now.since(until) < 10 * EVERY_SECS * 1_000;
    Ok(state(sql)?.is_some_and(|state| state.readable && state.read_until.is_some_and(fresh)))
}

/// Notes that the log is not read. Where that is not meant, how far it was read stays.
pub fn turned_off<P: Sql + Clock>(ports: &P, is_meant: bool) -> Result<(), SqlError> {
    let known = state(ports)?;
    if known.as_ref().is_some_and(|state| !state.readable && (state.next_at.is_none() || !is_meant)) {
        return Ok(());
    }
    let known = known.filter(|_| !is_meant).unwrap_or_else(|| AuditLog::unread(ports.now()));
    let message = "AUDIT_FEED is off: the audit log is not read.".to_owned();
    note(ports, &AuditLog { message, readable: false, ..known })
}

/// Reads on, where it is time; gives whether there was anything new that is of the account's access. `ours` is the id of the token that
/// this connector calls with, where that is known.
pub async fn read_on<P: Http + Clock + Sql + Log>(
    ports: &P,
    settings: &Settings,
    ours: Option<String>,
) -> Result<bool, SqlError> {
    let now = ports.now();
    let known = state(ports)?;
    if known.as_ref().and_then(|known| known.next_at).is_some_and(|at| at > now) {
        return Ok(false);
    }
    let mut state = known.unwrap_or_else(|| AuditLog::unread(now));
    let mut reading = state.begin(now);
    if let (Some(from), None) = (state.read_until, state.since) {
        let fields = object!({ "from": from, "to": reading.since });
        ports.log(Level::Warn, "a part of the audit log is left out, since it was not read for so long", fields);
    }
    state.since = state.since.or(Some(reading.since));
    state.at = now;
    if let Some(new) = ours
        && !state.ours.as_ref().is_some_and(|known| known.starts_with(new.as_str()))
    {
        // What the one before did until now was our own doing too, and is looked up later.
        state.ours = Some(match state.ours.as_ref().and_then(|known| known.get(..32)) {
            Some(before) => format!("{new} {before} {}", now.plus_secs(AHEAD_SECS)),
            None => new,
        });
    }
    let client = Client::new(ports, settings, Purpose::Sync);
    let mut is_new = false;
    // A page may be empty and have a cursor all the same; so many in a row are the end, whatever cursors they have.
    let mut is_over = true;
    for _ in 0..PAGES_AT_ONCE {
        let limit = reading.limit.unwrap_or(LIMIT);
        match client.audit_log(reading.since, reading.until, true, limit, reading.cursor.as_deref()).await {
            Ok(page) => {
                is_new |= keep(ports, &page.entries, now)?;
                reading.pages += 1;
                is_over &= page.is_empty;
                reading.cursor = page.cursor.filter(|next| reading.cursor.as_ref() != Some(next));
                if reading.cursor.is_none() {
                    break;
                }
            }
            Err(error) => {
                state.fail(&error, reading, ports.now());
                note(ports, &state)?;
                return Ok(is_new);
            }
        }
    }
    if is_over {
        reading.cursor = None;
    }
    state.readable = true;
    "The audit log can be read.".clone_into(&mut state.message);
    if reading.cursor.is_some() {
        state.next_at = Some(now.plus_secs(GO_ON_SECS));
        state.reading = Some(reading);
    } else {
        state.next_at = Some(now.plus_secs(EVERY_SECS));
        state.read_until = state.read_until.max(Some(reading.began_at));
        // What takes more than a page is gone through whole only now and then.
        if reading.wide {
            state.wide_at = (reading.pages > 1).then_some(reading.began_at);
        }
        entries::purge(ports, now)?;
    }
    note(ports, &state)?;
    Ok(is_new)
}

impl AuditLog {
    /// The reading that goes on, or one that begins. Where something was not read for too long, there is a gap before it.
    fn begin(&mut self, now: Timestamp) -> Reading {
        let behind = now.plus_secs(-MOST_BEHIND_SECS);
        if let Some(reading) = self.reading.take().filter(|reading| reading.began_at > behind) {
            return reading;
        }
        let from = self.read_until.filter(|&until| until > behind);
        if from.is_none() {
            self.since = None;
        }
        let narrow = self.wide_at.is_some_and(|at| now.since(at) < WIDE_EVERY_SECS * 1_000);
        let overlap = if narrow { SHORT_OVERLAP_SECS } else { OVERLAP_SECS };
        // A clock that was set back must not make a reading that ends before it begins.
        let since = from.unwrap_or(now).min(now).plus_secs(-overlap);
        let until = now.plus_secs(AHEAD_SECS);
        Reading { since, until, began_at: now, wide: !narrow, pages: 0, limit: None, cursor: None }
    }

    /// Takes note of a reading that failed.
    fn fail(&mut self, error: &ApiError, mut reading: Reading, now: Timestamp) {
        let later = now.plus_secs(FAILURE_SECS);
        self.message = format!("The audit log could not be read: {error}.");
        self.next_at = Some(error.retry_at().unwrap_or(later).max(later));
        match error {
            ApiError::Forbidden(_) | ApiError::NotFound(_) | ApiError::Unauthorized(_) => {
                self.readable = false;
                self.message = format!(
                    "The audit log cannot be read ({error}), so others' changes are found by the next sync alone, without their author, and those that were overwritten are not found; give the token Account Settings: Read."
                );
                self.next_at = Some(now.plus_secs(UNREADABLE_SECS));
            }
            // A cursor that is refused is begun without.
            ApiError::Invalid(_) => {}
            ApiError::Transport(HttpError::TooLarge(_)) => {
                self.next_at = Some(now.plus_secs(GO_ON_SECS));
                match reading.limit {
                    // One entry alone is too large: what is around it is a gap, and the log is read from now on.
                    Some(1) => self.read_until = None,
                    limit => {
                        reading.limit = Some(limit.map_or(SMALL_LIMIT, |limit| (limit / 10).max(1)));
                        self.reading = Some(reading);
                    }
                }
            }
            _ => self.reading = Some(reading),
        }
    }
}

/// Hands entries to those who listen; whether one of them is new and of the account's access.
fn keep(sql: &dyn Sql, page: &[AuditEntry], now: Timestamp) -> Result<bool, SqlError> {
    activity::note(sql, page, now)?;
    entries::note(sql, page, now)
}
